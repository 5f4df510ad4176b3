//! What a default container may and may not, as a whole table; and images that mean harm.

use crate::harness::command::Output;
use crate::harness::rootfs::{self, Archive, busybox_with, docker_archive};
use crate::harness::{Host, IMAGE, can_init};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

/// Docker's fourteen: chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap,
/// net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap.
const DEFAULT: &str = "00000000a80425fb";
const NONE: &str = "0000000000000000";

fn run(host: &Host, options: &[&str], script: &str) -> Output {
    host.tug(&[&["run", "--rm"], options, &[IMAGE, "sh", "-c", script]].concat())
}

/// The capability lines of /proc/self/status.
fn capabilities(inherited: &str, permitted: &str, bounding: &str) -> String {
    format!(
        "CapInh:\t{inherited}\nCapPrm:\t{permitted}\nCapEff:\t{permitted}\nCapBnd:\t{bounding}\n\
         CapAmb:\t{NONE}\n"
    )
}

#[test]
fn capabilities_are_dockers_fourteen_and_never_inheritable() {
    if !can_init("capabilities") {
        return;
    }
    let host = Host::with_image("capabilities");
    let script = "grep ^Cap /proc/self/status";
    let root = Output::new(0, &capabilities(NONE, DEFAULT, DEFAULT), "");
    let guest = Output::new(0, &capabilities(NONE, NONE, DEFAULT), "");
    assert_eq!(run(&host, &[], script), root);
    assert_eq!(run(&host, &["--init"], script), root);
    assert_eq!(run(&host, &["-u", "guest"], script), guest);
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    assert_eq!(host.tug(&["exec", "web", "sh", "-c", script]), root);
    assert_eq!(
        host.tug(&["exec", "-u", "guest", "web", "sh", "-c", script]),
        guest
    );
}

/// Create and run through the API; what the program printed.
fn run_by_api(host: &Host, host_config: &str, script: &str) -> String {
    let body = format!(
        r#"{{"Image":"{IMAGE}","Cmd":["sh","-c","{script}"],"HostConfig":{{{host_config}}}}}"#
    );
    let reply = host.http("POST", "/containers/create?name=api", &body);
    assert_eq!(reply.status, 201, "{reply:?}");
    assert_eq!(host.http("POST", "/containers/api/start", "").status, 204);
    host.ok(&["wait", "api"]);
    let printed = host.ok(&["logs", "api"]);
    host.ok(&["rm", "api"]);
    printed
}

#[test]
fn capabilities_can_be_added_and_dropped() {
    let host = Host::with_image("cap-add");
    let effective = |config: &str| run_by_api(&host, config, "grep ^CapEff /proc/self/status");
    assert_eq!(
        effective(r#""CapDrop":["ALL"]"#),
        format!("CapEff:\t{NONE}")
    );
    assert_eq!(
        effective(r#""CapDrop":["ALL"],"CapAdd":["NET_ADMIN"]"#),
        "CapEff:\t0000000000001000"
    );
    assert_eq!(
        effective(r#""CapAdd":["CAP_SYS_TIME"]"#),
        "CapEff:\t00000000aa0425fb"
    );
    assert_eq!(
        effective(r#""CapDrop":["mknod"]"#),
        "CapEff:\t00000000a00425fb"
    );
    let body = format!(r#"{{"Image":"{IMAGE}","HostConfig":{{"CapAdd":["NOSUCH"]}}}}"#);
    let (status, message) = host.http("POST", "/containers/create", &body).error();
    assert_eq!(status, 400, "{message}");
    assert!(message.contains("NOSUCH"), "{message}");
}

#[test]
fn no_new_privileges_is_off_until_asked_for() {
    let host = Host::with_image("no-new-privs");
    let script = "grep ^NoNewPrivs /proc/self/status";
    assert_eq!(run_by_api(&host, "", script), "NoNewPrivs:\t0");
    for option in [
        "no-new-privileges",
        "no-new-privileges:true",
        "no-new-privileges=true",
    ] {
        let config = format!(r#""SecurityOpt":["{option}"]"#);
        assert_eq!(
            run_by_api(&host, &config, script),
            "NoNewPrivs:\t1",
            "{option}"
        );
    }
}

#[test]
fn a_program_has_three_descriptors_whatever_the_engine_holds() {
    if !can_init("descriptors") {
        return;
    }
    let mut host = Host::without_engine("descriptors");
    // An engine whose parent has leaked descriptors to it.
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "exec 7</ 9</ && exec \"$@\"", "sh"])
        .args(host.engine_command());
    host.start_engine_as(command);
    host.import(IMAGE, &rootfs::busybox());
    // The fourth is the listing's own.
    let three = Output::new(0, "0\n1\n2\n3\n", "");
    let list = ["ls", "/proc/self/fd"];
    assert_eq!(
        host.tug(&[&["run", "--rm", IMAGE], &list[..]].concat()),
        three
    );
    assert_eq!(
        host.tug(&[&["run", "--rm", "-i", IMAGE], &list[..]].concat()),
        three
    );
    assert_eq!(
        host.tug(&[&["run", "--rm", "--init", IMAGE], &list[..]].concat()),
        three
    );
    host.ok(&[
        "run", "-d", "--name", "web", "--init", IMAGE, "sleep", "1000",
    ]);
    assert_eq!(host.tug(&[&["exec", "web"], &list[..]].concat()), three);
    // And so has an init that is ours.
    assert_eq!(
        host.tug(&["exec", "web", "sh", "-c", "ls /proc/1/fd | head -3"])
            .stdout,
        "0\n1\n2\n"
    );
}

#[test]
fn masked_paths_are_empty() {
    let host = Host::with_image("masked");
    let script = "for path in /proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys \
        /proc/latency_stats /proc/timer_list /proc/timer_stats /proc/sched_debug /proc/scsi \
        /sys/firmware /sys/devices/virtual/powercap; do \
        if [ -d $path ]; then ls -A $path; touch $path/x 2>/dev/null && echo $path written; \
        elif [ -e $path ]; then head -c 100 $path; fi; done";
    assert_eq!(run(&host, &[], script), Output::new(0, "", ""));
}

#[test]
fn the_kernels_files_are_read_only() {
    let host = Host::with_image("read-only");
    let script = "for path in /proc/sys/kernel/domainname /proc/sysrq-trigger /proc/irq/0/x \
        /proc/bus/x /proc/fs/x /sys/kernel/x /sys/fs/cgroup/x /sys/fs/cgroup/cgroup.procs; do \
        if echo 0 2>/dev/null > $path; then echo $path written; fi; done";
    let output = run(&host, &[], script);
    assert_eq!((output.code, output.stdout.as_str()), (0, ""), "{output:?}");
    let script = "echo 1 > /proc/sys/kernel/shmmax";
    let output = run(&host, &[], script);
    assert!(
        output.stderr.contains("Read-only file system"),
        "{output:?}"
    );
}

#[test]
fn the_mounts_are_dockers() {
    let host = Host::with_image("mounts");
    let output = run(&host, &[], "cat /proc/self/mounts");
    let mounts: Vec<Vec<&str>> = output
        .stdout
        .lines()
        .map(|line| line.split(' ').collect())
        .collect();
    for (point, kind, options) in [
        ("/", "overlay", "rw"),
        ("/proc", "proc", "rw,nosuid,nodev,noexec"),
        ("/dev", "tmpfs", "rw,nosuid,size=65536k,mode=755"),
        (
            "/dev/pts",
            "devpts",
            "rw,nosuid,noexec,gid=5,mode=620,ptmxmode=666",
        ),
        ("/sys", "sysfs", "ro,nosuid,nodev,noexec"),
        ("/sys/fs/cgroup", "cgroup2", "ro,nosuid,nodev,noexec"),
        ("/dev/mqueue", "mqueue", "rw,nosuid,nodev,noexec"),
        ("/dev/shm", "tmpfs", "rw,nosuid,nodev,noexec,size=65536k"),
        ("/etc/resolv.conf", "", "rw"),
        ("/etc/hostname", "", "rw"),
        ("/etc/hosts", "", "rw"),
        ("/proc/bus", "proc", "ro,nosuid,nodev,noexec"),
        ("/proc/fs", "proc", "ro,nosuid,nodev,noexec"),
        ("/proc/irq", "proc", "ro,nosuid,nodev,noexec"),
        ("/proc/sys", "proc", "ro,nosuid,nodev,noexec"),
    ] {
        let mount = mounts
            .iter()
            .find(|mount| mount[1] == point)
            .unwrap_or_else(|| panic!("no mount on {point}:\n{}", output.stdout));
        assert!(kind.is_empty() || mount[2] == kind, "{mount:?}");
        let found: BTreeSet<&str> = mount[3].split(',').collect();
        for option in options.split(',') {
            assert!(found.contains(option), "{point} lacks {option}: {mount:?}");
        }
    }
    // All else lies over something that must not be seen.
    let known = [
        "/",
        "/proc",
        "/dev",
        "/dev/pts",
        "/sys",
        "/sys/fs/cgroup",
        "/dev/mqueue",
        "/dev/shm",
        "/etc/resolv.conf",
        "/etc/hostname",
        "/etc/hosts",
    ];
    for mount in mounts {
        assert!(
            known.contains(&mount[1])
                || mount[1].starts_with("/proc/")
                || mount[1].starts_with("/sys/firmware")
                || mount[1].starts_with("/sys/devices/"),
            "{mount:?}"
        );
    }
}

#[test]
fn no_path_of_the_host_shows_in_the_mounts_below_the_root() {
    let host = Host::with_image("mount-info");
    // The propagation of the container's mounts: none may reach the host.
    let output = run(&host, &[], "grep -c shared: /proc/self/mountinfo");
    assert_eq!(output.stdout, "0\n", "{output:?}");
}

#[test]
fn dev_holds_what_docker_puts_there() {
    let host = Host::with_image("devices");
    let mut expected = vec![
        "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
        "stdout", "tty", "urandom", "zero",
    ];
    // Docker links /dev/core to /proc/kcore where the kernel has it.
    if std::path::Path::new("/proc/kcore").exists() {
        expected.insert(0, "core");
    }
    assert_eq!(run(&host, &[], "ls /dev").lines(), expected);
    let script = "echo x > /dev/null; head -c 4 /dev/zero | od -An -tx1; \
                  head -c 4 /dev/urandom | wc -c; echo x 2>/dev/null > /dev/full || echo full; \
                  readlink /dev/fd; readlink /dev/ptmx; stat -c '%a %t:%T' /dev/null";
    let expected = " 00 00 00 00\n4\nfull\n/proc/self/fd\npts/ptmx\n666 1:3\n";
    assert_eq!(run(&host, &[], script).stdout, expected);
}

#[test]
fn a_device_of_the_host_cannot_be_opened() {
    let host = Host::with_image("mknod");
    // Making the node is Docker's allowance; using it is not. Memory and the first disks.
    let script = "for device in 'c 1 1' 'c 1 2' 'c 10 229' 'b 8 0' 'b 254 0' 'b 7 0'; do \
        rm -f /node; mknod /node $device || exit; \
        head -c 1 /node 2>/dev/null >/dev/null && echo opened $device; done; true";
    assert_eq!(run(&host, &[], script), Output::new(0, "", ""));
}

#[test]
fn only_the_containers_processes_are_seen() {
    let host = Host::with_image("processes");
    let script = "ls /proc | grep -c '^[0-9]'; cat /proc/1/cmdline | tr '\\0' ' ' | head -c 2";
    let output = run(&host, &[], script);
    let lines = output.lines();
    // sh, ls, grep; and perhaps the next pipe's.
    assert!(lines[0].parse::<i32>().unwrap() <= 6, "{output:?}");
    assert_eq!(lines[1], "sh");
    let output = run(&host, &[], "kill -0 -- -1 2>&1; kill -0 99999 2>&1; true");
    assert_eq!(output.code, 0);
}

#[test]
fn namespaces_are_all_the_containers_own() {
    let host = Host::with_image("namespaces");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let pid = host.pid("web");
    let kinds = ["mnt", "pid", "net", "ipc", "uts", "cgroup", "time"];
    for name in kinds {
        if !std::path::Path::new("/proc/self/ns").join(name).exists() {
            continue;
        }
        let of = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
        assert_ne!(of("self"), of(&pid.to_string()), "{name}");
    }
}

#[test]
fn the_filter_and_the_sysctls_are_there_for_whoever_runs_in_it() {
    let host = Host::with_image("filter-sysctls");
    let script = "grep ^Seccomp: /proc/self/status; \
        cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range";
    let expected = Output::new(0, "Seccomp:\t2\n0\n0\t2147483647\n", "");
    assert_eq!(run(&host, &[], script), expected);
    assert_eq!(run(&host, &["-u", "guest"], script), expected);
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    assert_eq!(
        host.tug(&["exec", "-u", "guest", "web", "sh", "-c", script]),
        expected
    );
    assert_eq!(
        host.tug(&["exec", "--privileged", "web", "sh", "-c", script]),
        expected
    );
}

#[test]
fn the_engines_environment_stays_outside() {
    if !can_init("leaked-environment") {
        return;
    }
    let host = Host::with_image("leaked-environment");
    let script = "cat /proc/*/environ | tr '\\0' '\\n' | grep -c TUG_TEST_MARKER";
    assert_eq!(run(&host, &["--init"], script).stdout, "0\n");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    assert_eq!(host.tug(&["exec", "web", "sh", "-c", script]).stdout, "0\n");
}

#[test]
fn the_socket_and_the_state_are_for_root_only() {
    let host = Host::with_image("modes");
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&host.socket()), 0o660);
    assert_eq!(
        mode(&host.data_root()) & 0o077 & !0o011,
        0,
        "others may list the data root"
    );
    let id = host.ok(&[
        "run", "-d", "--name", "web", "-e", "SECRET=1", IMAGE, "sleep", "1000",
    ]);
    let config = host
        .data_root()
        .join("containers")
        .join(id)
        .join("config.json");
    assert_eq!(
        mode(&config) & 0o077,
        0,
        "others may read {}",
        config.display()
    );
}

/// CVE-2019-5736: whoever runs in a container must not reach the program that put it there.
#[test]
fn the_hosts_binary_cannot_be_overwritten_from_inside() {
    if !can_init("overwrite") {
        return;
    }
    let mut host = Host::without_engine("overwrite");
    host.copy_binary();
    let before = rootfs::sha256(&std::fs::read(&host.binary).unwrap());
    host.start_engine();
    host.import(
        IMAGE,
        &busybox_with(|more| {
            more.file("self", 0o755, "#!/proc/self/exe\n");
        }),
    );
    let same = || rootfs::sha256(&std::fs::read(&host.binary).unwrap()) == before;

    host.ok(&[
        "run", "-d", "--name", "web", "--init", IMAGE, "sleep", "1000",
    ]);
    let script = "cat /bin/busybox > /proc/1/exe; echo $?; \
                  for n in /proc/1/fd/*; do cat /bin/busybox > $n/x; done; \
                  exec 5< /proc/1/exe; cat /bin/busybox > /proc/self/fd/5; echo $?";
    let output = host.tug(&["exec", "web", "sh", "-c", script]);
    assert_eq!(output.stdout, "1\n1\n", "{output:?}");
    assert!(same(), "the binary was changed through /proc/1/exe");

    // A script whose interpreter is whoever runs it: exec's last step becomes our own program.
    let attack = "exec 5< /proc/self/exe; cat /etc/passwd > /proc/self/fd/5";
    host.tug(&["run", "--rm", IMAGE, "/self", "-c", attack]);
    host.tug(&["run", "--rm", "--init", IMAGE, "/self", "-c", attack]);
    host.tug(&["exec", "web", "/self", "-c", attack]);
    assert!(same(), "the binary was changed through an interpreter");

    // And while the pid 1 that held it is gone.
    let script = "exec 5< /proc/1/exe; (sleep 1; cat /bin/busybox > /proc/self/fd/5) & exit 0";
    host.tug(&["run", "--rm", "--init", IMAGE, "sh", "-c", script]);
    assert!(same());
}

/// CVE-2024-21626: a working directory that is a leaked descriptor of the host.
#[test]
fn a_working_directory_cannot_be_a_leaked_descriptor() {
    let host = Host::with_image("cwd");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    for fd in 3..16 {
        let dir = format!("/proc/self/fd/{fd}");
        let output = host.tug(&["run", "--rm", "-w", &dir, IMAGE, "ls", "-la"]);
        assert!([125, 126, 127].contains(&output.code), "{dir}: {output:?}");
        assert_eq!(output.stdout, "", "{dir}");
        let output = host.tug(&["exec", "-w", &dir, "web", "ls", "-la"]);
        assert!(
            [1, 125, 126, 127].contains(&output.code),
            "exec {dir}: {output:?}"
        );
    }
    let mut link = Archive::new();
    link.symlink("cwd", "/proc/self/fd/7");
    let layers = [rootfs::busybox(), link.finish()];
    let archive = docker_archive("cwd:1", &layers, r#"{"WorkingDir":"/cwd"}"#);
    assert_eq!(host.tug_with_input(&["load"], &archive).code, 0);
    let output = host.tug(&["run", "--rm", "cwd:1", "ls", "-la"]);
    assert!([125, 126, 127].contains(&output.code), "{output:?}");
    assert_eq!(output.stdout, "");
}

/// CVE-2019-19921, CVE-2026-41579: a place that we mount on or write to is a link of the image's.
#[test]
fn an_image_whose_system_directories_are_links_harms_nobody() {
    let host = Host::with_image("linked-directories");
    host.make_dir("canary");
    host.write("canary/ptmx", "marker");
    let canary = host.dir.join("canary");
    let up = format!("../../../../../..{}", canary.display());
    let untouched = || {
        let names: Vec<String> = std::fs::read_dir(&canary)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let content = std::fs::read_to_string(canary.join("ptmx")).unwrap();
        (names, content) == (vec!["ptmx".to_string()], "marker".to_string())
    };
    for name in ["proc", "sys", "dev"] {
        for target in [canary.to_str().unwrap(), &up, "/bin", "."] {
            host.import(
                "linked",
                &busybox_with(|more| {
                    more.symlink(name, target);
                }),
            );
            let output = host.tug(&["run", "--rm", "linked", "echo", "ran"]);
            assert_eq!(
                (output.code, output.stdout.as_str()),
                (125, ""),
                "/{name} -> {target}"
            );
            assert!(
                untouched(),
                "/{name} -> {target} reached the host: {output:?}"
            );
        }
    }
    // Deeper places are made anew or resolved inside; either way the host is not there.
    for name in ["etc/hosts", "etc/resolv.conf", "etc/hostname", "srv"] {
        host.import(
            "linked",
            &busybox_with(|more| {
                more.symlink(
                    name,
                    &format!("{}/{}", canary.display(), name.replace('/', "-")),
                );
            }),
        );
        host.tug(&["run", "--rm", "-w", "/srv/work", "linked", "true"]);
        assert!(untouched(), "/{name} reached the host");
    }
    let volume = format!("{}:/srv/data", host.make_dir("volume"));
    host.import(
        "linked",
        &busybox_with(|more| {
            more.symlink("srv", &up);
        }),
    );
    host.tug(&["run", "--rm", "-v", &volume, "linked", "true"]);
    assert!(untouched(), "a mount point was made outside");
}

/// The twin of the test above: links that any Debian image has must go on working.
#[test]
fn ordinary_links_of_an_image_work() {
    let host = Host::new("ordinary-links");
    host.import(
        "test",
        &busybox_with(|more| {
            more.dir("run/", 0o755)
                .dir("var/", 0o755)
                .symlink("var/run", "/run");
            more.dir("usr/", 0o755).symlink("usr/bin", "/bin");
        }),
    );
    let data = host.make_dir("volume");
    host.write("volume/file", "content");
    let volume = format!("{data}:/var/run/data");
    assert_eq!(
        host.tug(&[
            "run",
            "--rm",
            "-v",
            &volume,
            "-w",
            "/var/run",
            "test",
            "/usr/bin/cat",
            "/run/data/file"
        ]),
        Output::new(0, "content", "")
    );
}

/// CVE-2019-16884: what is mounted over /proc would catch the runtime's own writes.
#[test]
fn mounts_over_proc_are_refused() {
    let host = Host::with_image("over-proc");
    let dir = host.make_dir("volume");
    for target in ["/proc", "/proc/self/attr", "/proc/sys", "/proc/1"] {
        let volume = format!("{dir}:{target}");
        let output = host.tug(&["run", "--rm", "-v", &volume, IMAGE, "echo", "ran"]);
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (125, ""),
            "{target}: {output:?}"
        );
    }
    let output = host.tug(&["run", "--rm", "-v", &format!("{dir}:/"), IMAGE, "true"]);
    output.assert_refused(125, "invalid volume specification");
}

/// CVE-2016-3697: digits are an id, whatever the image's passwd calls by that name.
#[test]
fn a_numeric_user_is_never_a_name() {
    let host = Host::with_image("numeric-user");
    let output = host.tug(&["run", "--rm", "-u", "4321", IMAGE, "id", "-u"]);
    assert_eq!(output, Output::new(0, "4321\n", ""));
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let output = host.tug(&["exec", "-u", "4321", "web", "id", "-u"]);
    assert_eq!(output, Output::new(0, "4321\n", ""));
}

/// CVE-2024-9676, CVE-2026-47262: files of the image that decide who one is.
#[test]
fn hostile_user_files_do_not_reach_the_host_and_do_not_hang() {
    let host = Host::new("hostile-passwd");
    let secret = host.write("passwd", "ghost:x:31337:31337::/:/bin/sh\n");
    host.import(
        "test",
        &busybox_with(|more| {
            more.symlink("etc/passwd", &secret);
        }),
    );
    host.tug(&["run", "--rm", "-u", "ghost", "test", "id"])
        .assert_refused(125, "unable to find user ghost");
    host.import(
        "test",
        &busybox_with(|more| {
            more.symlink("etc/passwd", "/dev/zero")
                .symlink("etc/group", "/dev/zero");
        }),
    );
    assert_ne!(
        host.tug(&["run", "--rm", "-u", "ghost", "test", "id"]).code,
        0
    );
    assert_eq!(host.http("GET", "/_ping", "").status, 200);
}
