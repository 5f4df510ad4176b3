/* Makes system calls by number and tells what came back; and answers those of others as a seccomp
 * agent. Built by tests/seccomp.rs.
 *
 *   probe CALL...      each CALL is [abi:]number[,argument...]; abi is x86 or x32
 *   probe agent PATH   listens there, prints the state that comes and each call that it answers
 *   probe blind COMMAND...  executes it as if the kernel had no seccomp(2)
 *   probe old COMMAND...    executes it as if the kernel were 5.10, as far as we would notice
 *   probe older COMMAND...  executes it as if the kernel had no openat2(2)
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static long call(const char *abi, unsigned long number, const unsigned long *arg)
{
	long result;
#ifdef __x86_64__
	if (strcmp(abi, "x86") == 0) {
		__asm__ volatile("int $0x80" : "=a"(result)
			: "a"(number), "b"(arg[0]), "c"(arg[1]), "d"(arg[2]), "S"(arg[3]), "D"(arg[4])
			: "memory", "r8", "r9", "r10", "r11");
		return (int)result;
	}
	if (strcmp(abi, "x32") == 0)
		number |= 0x40000000;
#endif
	result = syscall(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
	return result == -1 ? -errno : result;
}

static void probe(char *text)
{
	unsigned long arg[6] = {0};
	const char *abi = "";
	char *colon = strchr(text, ':');
	if (colon != NULL) {
		*colon = 0;
		abi = text;
		text = colon + 1;
	}
	unsigned long number = strtoul(text, &text, 0);
	for (int at = 0; *text == ',' && at < 6; at++)
		arg[at] = strtoul(text + 1, &text, 0);
	printf("%ld\n", call(abi, number, arg));
	fflush(stdout);
}

static void answer(int listener)
{
	struct seccomp_notif asked;
	struct seccomp_notif_resp reply;
	for (;;) {
		memset(&asked, 0, sizeof(asked));
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0)
			return;
		memset(&reply, 0, sizeof(reply));
		reply.id = asked.id;
		/* getppid gets an answer of ours, everything else an error. */
		if (asked.data.nr == SYS_getppid)
			reply.val = 4242;
		else
			reply.error = -EXDEV;
		printf("call %d\n", asked.data.nr);
		fflush(stdout);
		ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &reply);
	}
}

static void serve(int client)
{
	char text[4096];
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec part = {text, sizeof(text) - 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control)};
	ssize_t count = recvmsg(client, &message, 0);
	if (count <= 0 || CMSG_FIRSTHDR(&message) == NULL)
		exit(1);
	text[count] = 0;
	printf("state %s\n", text);
	fflush(stdout);
	int listener;
	memcpy(&listener, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(listener));
	answer(listener);
	exit(0);
}

static int execute_with(struct sock_filter *code, int length, char **command)
{
	struct sock_fprog program = {length, code};
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		return 1;
	execv(command[0], command);
	return 1;
}

static int without(int call, char **command)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	return execute_with(code, 4, command);
}

static int old(char **command)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 442 /* mount_setattr */, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 436 /* close_range */, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 32 /* flags, CLOSE_RANGE_CLOEXEC */),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 4, 1, 2),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	return execute_with(code, 8, command);
}

int main(int count, char **words)
{
	if (count > 2 && strcmp(words[1], "blind") == 0)
		return without(SYS_seccomp, words + 2);
	if (count > 2 && strcmp(words[1], "old") == 0)
		return old(words + 2);
	if (count > 2 && strcmp(words[1], "older") == 0)
		return without(437 /* openat2 */, words + 2);
	if (count != 3 || strcmp(words[1], "agent") != 0) {
		for (int at = 1; at < count; at++)
			probe(words[at]);
		return 0;
	}
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	strncpy(address.sun_path, words[2], sizeof(address.sun_path) - 1);
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(listener, 8) != 0)
		return 1;
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		int client = accept(listener, NULL, NULL);
		if (client >= 0 && fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			serve(client);
		}
		close(client);
	}
}
