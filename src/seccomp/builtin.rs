//! Docker's default profile (moby, profiles/seccomp/default.json), as it applies to this machine.
//!
//! What it allows depends on the capabilities that a container may have. Its conditions on
//! architectures are met by what calls a machine has, and those on kernels by every one that we run
//! on. Names become numbers at compile time.

use crate::error::Result;
use crate::oci::spec::{Seccomp, SeccompArg, SeccompRule};
use crate::seccomp::abi::ABIS;
use crate::seccomp::filter::{self, Filter};
use crate::seccomp::policy::{ALLOW, Action, Condition, ENOSYS, EPERM, ERRNO, Policy, Test};
use crate::seccomp::table::{self, COUNT, Call, place};

/// As `--security-opt seccomp=` names it.
pub const NAME: &str = "builtin";

/// The filter for a container with the bounding set `caps`.
pub fn filter(caps: &[String]) -> Result<Filter> {
    filter::compile(&policy(caps))
}

pub fn policy(caps: &[String]) -> Policy {
    let mut policy = Policy::new(ERRNO | EPERM);
    (0..ABIS.len()).for_each(|abi| policy.list_abi(abi));
    each_rule(caps, &mut |call, action, conditions| {
        policy.add(call, action, conditions);
    });
    policy
}

/// The same as config.json spells it, for runtimes that do not know it by its name.
pub fn profile(caps: &[String]) -> Seccomp {
    let mut allowed = Vec::new();
    let mut rules = Vec::new();
    each_rule(caps, &mut |call, action, conditions| {
        let name = table::name(call).to_string();
        match (action, conditions) {
            (ALLOW, []) => allowed.push(name),
            _ => rules.push(rule(vec![name], action, conditions)),
        }
    });
    rules.push(rule(allowed, ALLOW, &[]));
    Seccomp {
        default_action: Some("SCMP_ACT_ERRNO".to_string()),
        default_errno_ret: Some(EPERM),
        architectures: Some(ABIS.iter().map(|abi| abi.name.to_string()).collect()),
        syscalls: Some(rules),
        ..Default::default()
    }
}

fn rule(names: Vec<String>, action: Action, conditions: &[Condition]) -> SeccompRule {
    let args = conditions.iter().map(|condition| {
        let (op, is_masked) = match condition.test {
            Test::Less => ("SCMP_CMP_LT", false),
            Test::Greater => ("SCMP_CMP_GT", false),
            _ if condition.mask != u64::MAX => ("SCMP_CMP_MASKED_EQ", true),
            _ => ("SCMP_CMP_EQ", false),
        };
        SeccompArg {
            index: Some(condition.index.into()),
            value: Some(if is_masked {
                condition.mask
            } else {
                condition.value
            }),
            value_two: Some(condition.value).filter(|_| is_masked),
            op: Some(op.to_string()),
        }
    });
    let name = if action == ALLOW {
        "SCMP_ACT_ALLOW"
    } else {
        "SCMP_ACT_ERRNO"
    };
    SeccompRule {
        names: Some(names),
        action: Some(name.to_string()),
        errno_ret: Some(action & 0xffff).filter(|_| action != ALLOW),
        args: Some(args.collect()),
    }
}

fn each_rule(caps: &[String], rule: &mut dyn FnMut(Call, Action, &[Condition])) {
    let has = |name: &str| caps.iter().any(|cap| cap == name);
    let by_capability = BY_CAPABILITY.iter().filter(|(cap, _)| has(cap));
    for calls in std::iter::once(&ALLOWED[..]).chain(by_capability.map(|(_, calls)| *calls)) {
        for call in calls.iter().filter(|call| usize::from(**call) < COUNT) {
            rule(*call, ALLOW, &[]);
        }
    }
    // Neither AF_ALG (38) nor AF_VSOCK (40).
    for (test, family) in [(Test::Less, 38), (Test::Equal, 39), (Test::Greater, 40)] {
        rule(SOCKET, ALLOW, &[condition(test, u64::MAX, family)]);
    }
    for personality in [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff] {
        let same = condition(Test::Equal, u64::MAX, personality);
        rule(PERSONALITY, ALLOW, &[same]);
    }
    if !has("CAP_SYS_ADMIN") {
        rule(CLONE, ALLOW, &[condition(Test::Equal, NAMESPACES, 0)]);
        // Its flags lie in memory, where a filter can't look. Without it libc takes clone.
        rule(CLONE3, ERRNO | ENOSYS, &[]);
    }
}

/// On the first argument.
fn condition(test: Test, mask: u64, value: u64) -> Condition {
    Condition {
        index: 0,
        test,
        mask,
        value,
        is_int: false,
    }
}

/// The flags of clone(2) that make namespaces, but for the time namespace, whose bit is an exit
/// signal's there.
const NAMESPACES: u64 = 0x7e02_0000;

const SOCKET: Call = place("socket");
const PERSONALITY: Call = place("personality");
const CLONE: Call = place("clone");
const CLONE3: Call = place("clone3");

const fn places<const N: usize>(names: [&str; N]) -> [Call; N] {
    let mut calls = [0; N];
    let mut at = 0;
    while at < N {
        calls[at] = place(names[at]);
        at += 1;
    }
    calls
}

static BY_CAPABILITY: [(&str, &[Call]); 14] = [
    (
        "CAP_DAC_READ_SEARCH",
        &const { places(["open_by_handle_at"]) },
    ),
    (
        "CAP_SYS_ADMIN",
        &const {
            places([
                "bpf",
                "clone",
                "clone3",
                "fanotify_init",
                "fsconfig",
                "fsmount",
                "fsopen",
                "fspick",
                "lookup_dcookie",
                "lsm_get_self_attr",
                "lsm_list_modules",
                "lsm_set_self_attr",
                "mount",
                "mount_setattr",
                "move_mount",
                "open_tree",
                "perf_event_open",
                "quotactl",
                "quotactl_fd",
                "setdomainname",
                "sethostname",
                "setns",
                "syslog",
                "umount",
                "umount2",
                "unshare",
            ])
        },
    ),
    ("CAP_SYS_BOOT", &const { places(["reboot"]) }),
    ("CAP_SYS_CHROOT", &const { places(["chroot"]) }),
    (
        "CAP_SYS_MODULE",
        &const { places(["delete_module", "finit_module", "init_module"]) },
    ),
    ("CAP_SYS_PACCT", &const { places(["acct"]) }),
    (
        "CAP_SYS_PTRACE",
        &const {
            places([
                "kcmp",
                "pidfd_getfd",
                "process_madvise",
                "process_vm_readv",
                "process_vm_writev",
                "ptrace",
            ])
        },
    ),
    ("CAP_SYS_RAWIO", &const { places(["ioperm", "iopl"]) }),
    (
        "CAP_SYS_TIME",
        &const { places(["clock_settime", "clock_settime64", "settimeofday", "stime"]) },
    ),
    ("CAP_SYS_TTY_CONFIG", &const { places(["vhangup"]) }),
    (
        "CAP_SYS_NICE",
        &const {
            places([
                "get_mempolicy",
                "mbind",
                "set_mempolicy",
                "set_mempolicy_home_node",
            ])
        },
    ),
    ("CAP_SYSLOG", &const { places(["syslog"]) }),
    ("CAP_BPF", &const { places(["bpf"]) }),
    ("CAP_PERFMON", &const { places(["perf_event_open"]) }),
];

/// Whatever the capabilities.
static ALLOWED: [Call; 371] = places([
    "_llseek",
    "_newselect",
    "accept",
    "accept4",
    "access",
    "adjtimex",
    "alarm",
    "arch_prctl",
    "arm_fadvise64_64",
    "arm_sync_file_range",
    "bind",
    "breakpoint",
    "brk",
    "cacheflush",
    "cachestat",
    "capget",
    "capset",
    "chdir",
    "chmod",
    "chown",
    "chown32",
    "clock_adjtime",
    "clock_adjtime64",
    "clock_getres",
    "clock_getres_time64",
    "clock_gettime",
    "clock_gettime64",
    "clock_nanosleep",
    "clock_nanosleep_time64",
    "close",
    "close_range",
    "connect",
    "copy_file_range",
    "creat",
    "dup",
    "dup2",
    "dup3",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_ctl_old",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "epoll_wait_old",
    "eventfd",
    "eventfd2",
    "execve",
    "execveat",
    "exit",
    "exit_group",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fadvise64_64",
    "fallocate",
    "fanotify_mark",
    "fchdir",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fchown",
    "fchown32",
    "fchownat",
    "fcntl",
    "fcntl64",
    "fdatasync",
    "fgetxattr",
    "flistxattr",
    "flock",
    "fork",
    "fremovexattr",
    "fsetxattr",
    "fstat",
    "fstat64",
    "fstatat64",
    "fstatfs",
    "fstatfs64",
    "fsync",
    "ftruncate",
    "ftruncate64",
    "futex",
    "futex_requeue",
    "futex_time64",
    "futex_wait",
    "futex_waitv",
    "futex_wake",
    "futimesat",
    "get_robust_list",
    "get_thread_area",
    "getcpu",
    "getcwd",
    "getdents",
    "getdents64",
    "getegid",
    "getegid32",
    "geteuid",
    "geteuid32",
    "getgid",
    "getgid32",
    "getgroups",
    "getgroups32",
    "getitimer",
    "getpeername",
    "getpgid",
    "getpgrp",
    "getpid",
    "getppid",
    "getpriority",
    "getrandom",
    "getresgid",
    "getresgid32",
    "getresuid",
    "getresuid32",
    "getrlimit",
    "getrusage",
    "getsid",
    "getsockname",
    "getsockopt",
    "gettid",
    "gettimeofday",
    "getuid",
    "getuid32",
    "getxattr",
    "getxattrat",
    "inotify_add_watch",
    "inotify_init",
    "inotify_init1",
    "inotify_rm_watch",
    "io_cancel",
    "io_destroy",
    "io_getevents",
    "io_pgetevents",
    "io_pgetevents_time64",
    "io_setup",
    "io_submit",
    "ioctl",
    "ioprio_get",
    "ioprio_set",
    "ipc",
    "kill",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "lchown",
    "lchown32",
    "lgetxattr",
    "link",
    "linkat",
    "listen",
    "listmount",
    "listxattr",
    "listxattrat",
    "llistxattr",
    "lremovexattr",
    "lseek",
    "lsetxattr",
    "lstat",
    "lstat64",
    "madvise",
    "map_shadow_stack",
    "membarrier",
    "memfd_create",
    "memfd_secret",
    "mincore",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "mlock",
    "mlock2",
    "mlockall",
    "mmap",
    "mmap2",
    "modify_ldt",
    "mprotect",
    "mq_getsetattr",
    "mq_notify",
    "mq_open",
    "mq_timedreceive",
    "mq_timedreceive_time64",
    "mq_timedsend",
    "mq_timedsend_time64",
    "mq_unlink",
    "mremap",
    "mseal",
    "msgctl",
    "msgget",
    "msgrcv",
    "msgsnd",
    "msync",
    "munlock",
    "munlockall",
    "munmap",
    "name_to_handle_at",
    "nanosleep",
    "newfstatat",
    "open",
    "openat",
    "openat2",
    "pause",
    "pidfd_open",
    "pidfd_send_signal",
    "pipe",
    "pipe2",
    "pkey_alloc",
    "pkey_free",
    "pkey_mprotect",
    "poll",
    "ppoll",
    "ppoll_time64",
    "prctl",
    "pread64",
    "preadv",
    "preadv2",
    "prlimit64",
    "process_mrelease",
    "process_vm_readv",
    "process_vm_writev",
    "pselect6",
    "pselect6_time64",
    "ptrace",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "read",
    "readahead",
    "readlink",
    "readlinkat",
    "readv",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmmsg_time64",
    "recvmsg",
    "remap_file_pages",
    "removexattr",
    "removexattrat",
    "rename",
    "renameat",
    "renameat2",
    "restart_syscall",
    "rmdir",
    "rseq",
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigqueueinfo",
    "rt_sigreturn",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "rt_sigtimedwait_time64",
    "rt_tgsigqueueinfo",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "sched_getaffinity",
    "sched_getattr",
    "sched_getparam",
    "sched_getscheduler",
    "sched_rr_get_interval",
    "sched_rr_get_interval_time64",
    "sched_setaffinity",
    "sched_setattr",
    "sched_setparam",
    "sched_setscheduler",
    "sched_yield",
    "seccomp",
    "select",
    "semctl",
    "semget",
    "semop",
    "semtimedop",
    "semtimedop_time64",
    "send",
    "sendfile",
    "sendfile64",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "set_robust_list",
    "set_thread_area",
    "set_tid_address",
    "set_tls",
    "setfsgid",
    "setfsgid32",
    "setfsuid",
    "setfsuid32",
    "setgid",
    "setgid32",
    "setgroups",
    "setgroups32",
    "setitimer",
    "setpgid",
    "setpriority",
    "setregid",
    "setregid32",
    "setresgid",
    "setresgid32",
    "setresuid",
    "setresuid32",
    "setreuid",
    "setreuid32",
    "setrlimit",
    "setsid",
    "setsockopt",
    "setuid",
    "setuid32",
    "setxattr",
    "setxattrat",
    "shmat",
    "shmctl",
    "shmdt",
    "shmget",
    "shutdown",
    "sigaltstack",
    "signalfd",
    "signalfd4",
    "sigprocmask",
    "sigreturn",
    "socketcall",
    "socketpair",
    "splice",
    "stat",
    "stat64",
    "statfs",
    "statfs64",
    "statmount",
    "statx",
    "symlink",
    "symlinkat",
    "sync",
    "sync_file_range",
    "sync_file_range2",
    "syncfs",
    "sysinfo",
    "tee",
    "tgkill",
    "time",
    "timer_create",
    "timer_delete",
    "timer_getoverrun",
    "timer_gettime",
    "timer_gettime64",
    "timer_settime",
    "timer_settime64",
    "timerfd_create",
    "timerfd_gettime",
    "timerfd_gettime64",
    "timerfd_settime",
    "timerfd_settime64",
    "times",
    "tkill",
    "truncate",
    "truncate64",
    "ugetrlimit",
    "umask",
    "uname",
    "unlink",
    "unlinkat",
    "uretprobe",
    "utime",
    "utimensat",
    "utimensat_time64",
    "utimes",
    "vfork",
    "vmsplice",
    "wait4",
    "waitid",
    "waitpid",
    "write",
    "writev",
]);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp;

    #[test]
    fn the_profile_that_others_read_makes_the_same_filter() {
        for caps in [&[][..], &["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"]] {
            let caps: Vec<String> = caps.iter().map(ToString::to_string).collect();
            let spelled = seccomp::compile(&profile(&caps)).unwrap().unwrap();
            assert_eq!(spelled, filter(&caps).unwrap(), "{caps:?}");
        }
    }
}
