//! Namespaces of a container: new, joined by path, kept from the host; their users and clocks.

use crate::harness::bundle::Bundle;
use crate::harness::command::Output;
use crate::harness::eventually;
use crate::harness::namespaces::{Holder, MAPS, TYPES, bundle, give, link, list, map_users};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn every_namespace_that_is_listed_is_new() {
    let names = TYPES.map(|(name, _)| name);
    let script = TYPES
        .map(|(_, file)| format!("readlink /proc/self/ns/{file};"))
        .concat();
    let new = bundle("ns-new", &script, &names);
    let said = new.says();
    for ((name, file), inside) in TYPES.iter().zip(said.lines()) {
        assert!(inside.starts_with(file), "{name}: {inside}");
        assert_ne!(inside, link(&format!("/proc/self/ns/{file}")), "{name}");
    }
    assert_eq!(said.lines().count(), TYPES.len());
}

#[test]
fn a_namespace_that_is_not_listed_is_the_hosts() {
    let script = TYPES
        .map(|(_, file)| format!("readlink /proc/self/ns/{file};"))
        .concat();
    let kept = bundle("ns-kept", &script, &["mount"]);
    // Without a process namespace of its own a procfs shows the host's processes.
    kept.set("hostname", "null");
    let said = kept.says();
    for ((name, file), inside) in TYPES.iter().zip(said.lines()) {
        let is_hosts = inside == link(&format!("/proc/self/ns/{file}"));
        assert_eq!(is_hosts, *name != "mount", "{name}: {inside}");
    }
    assert_eq!(said.lines().count(), TYPES.len());
}

#[test]
fn every_namespace_is_joined_by_its_path() {
    let names = TYPES.map(|(name, _)| name);
    let first = bundle("ns-first", "sleep 1000", &names);
    first.leave(&["run", "--detach", &first.id]);
    let pid = first.pid();
    let second = Bundle::new("ns-second");
    for (name, file) in TYPES.iter().filter(|(name, _)| *name != "mount") {
        let path = format!("/proc/{pid}/ns/{file}");
        let joined = format!("{name}={path}");
        let list = names.map(|other| {
            if other == *name {
                joined.as_str()
            } else {
                other
            }
        });
        second.script(&format!("readlink /proc/self/ns/{file}"));
        second.set("linux.namespaces", &self::list(&list));
        assert_eq!(second.says(), format!("{}\n", link(&path)), "{name}");
    }
    first.runtime(&["delete", "--force", &first.id]);
}

#[test]
fn a_process_namespace_that_is_joined_is_shared() {
    let first = bundle("ns-pid-1", "exec sleep 1234", &["pid", "mount", "uts"]);
    first.leave(&["run", "--detach", &first.id]);
    let joined = format!("pid=/proc/{}/ns/pid", first.pid());
    let second = bundle("ns-pid-2", "ps; kill -9 1", &[&joined, "mount", "uts"]);
    let said = second.says();
    assert!(
        said.contains("1 root      0:00 sleep 1234") || said.contains("sleep 1234"),
        "{said}"
    );
    // Its own first process is a guest there: the end of the other ends both, not the reverse.
    assert_eq!(first.status(), "running");
    assert_eq!(first.runtime(&["delete", "--force", &first.id]).code, 0);
}

#[test]
fn a_mount_namespace_is_joined_by_its_path() {
    let holder = Holder::new(&["--mount"]);
    let path = holder.file("--mount");
    let joined = format!("mount={path}");
    let script = "readlink /proc/self/ns/mnt; ls /; sleep 1000";
    let bundle = bundle("ns-mount", script, &["pid", "uts", &joined]);
    let told = bundle.host.dir.join("said");
    let mut command = bundle.command(&["run", "--detach", &bundle.id]);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command.stdout(fs::File::create(&told).unwrap());
    assert!(command.status().unwrap().success());
    eventually("it has spoken", || {
        fs::read_to_string(&told).unwrap().lines().count() > 3
    });
    let said = fs::read_to_string(&told).unwrap();
    assert_eq!(said.lines().next(), Some(link(&path).as_str()));
    assert!(
        said.contains("\nbin\n") && !said.contains("\nboot\n"),
        "{said}"
    );
    // A process that joins has the container's root, which is not the namespace's.
    let inside = bundle.runtime(&[
        "exec",
        &bundle.id,
        "sh",
        "-c",
        "readlink /proc/self/ns/mnt; ls /",
    ]);
    assert_eq!(inside, Output::new(0, &said, ""));
    // What was mounted is seen there and nowhere else.
    assert_eq!(mounts_below(&bundle.dir), [""; 0]);
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).code, 0);
    drop(holder);
}

/// What was mounted for it is taken away with it: the namespace stays.
#[test]
fn a_container_in_its_makers_mount_namespace_leaves_no_mount() {
    let script = "readlink /proc/self/ns/mnt; ls /; exec sleep 1000";
    let bundle = bundle("ns-no-mount", script, &["pid", "uts", "ipc", "network"]);
    bundle.set("linux.maskedPaths", "[]");
    bundle.set("linux.readonlyPaths", "[]");
    let mounts = || mounts_below(&bundle.dir);
    let told = bundle.host.dir.join("said");
    let mut command = bundle.command(&["run", "--detach", &bundle.id]);
    command
        .stdin(Stdio::null())
        .stdout(fs::File::create(&told).unwrap());
    assert!(command.status().unwrap().success());
    let said = || fs::read_to_string(&told).unwrap();
    eventually("it has spoken", || said().lines().count() > 3);
    assert_eq!(
        said().lines().next(),
        Some(link("/proc/self/ns/mnt").as_str())
    );
    assert!(said().contains("\nbin\n") && !said().contains("\nboot\n"));
    assert_ne!(mounts(), [""; 0]);
    let inside = bundle.runtime(&[
        "exec",
        &bundle.id,
        "sh",
        "-c",
        "readlink /proc/self/ns/mnt; ls /",
    ]);
    assert_eq!(inside, Output::new(0, &said(), ""));
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).code, 0);
    assert_eq!(mounts(), [""; 0]);

    // Nor does one that fails on its way.
    bundle.set("process.args", r#"["/no/such/program"]"#);
    bundle.refuses("/no/such/program");
    bundle.set("process.cwd", r#""/bin/busybox/x""#);
    bundle.refuses("/bin/busybox/x");
    assert_eq!(mounts(), [""; 0]);
}

/// What our own mount namespace has there.
fn mounts_below(dir: &str) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let lines = mounts.lines().filter(|line| line.contains(dir));
    lines.map(String::from).collect()
}

#[test]
fn paths_that_are_no_such_namespace_are_refused() {
    let bundle = Bundle::new("ns-bad");
    bundle.script("true");
    let fifo = bundle.host.dir.join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let fifo = fifo.display().to_string();
    for (path, sentence) in [
        (
            "/nowhere/at/all",
            "namespace path: lstat /nowhere/at/all: no such file or directory",
        ),
        (
            "/proc/self/ns/uts",
            "namespace path: /proc/self/ns/uts is not a network namespace",
        ),
        (
            "/etc/passwd",
            "namespace path: /etc/passwd is not a network namespace",
        ),
        (
            "/dev/null",
            "namespace path: /dev/null is not a network namespace",
        ),
        (fifo.as_str(), "is not a network namespace"),
    ] {
        let joined = format!("network={path}");
        bundle.set("linux.namespaces", &list(&["pid", "mount", "uts", &joined]));
        bundle.refuses(sentence);
    }
}

#[test]
fn lists_that_make_no_sense_are_refused() {
    let bundle = Bundle::new("ns-list");
    bundle.script("true");
    let good = fs::read_to_string(bundle.config()).unwrap();
    let map = r#"[{"containerID":0,"hostID":100000,"size":1000}]"#;
    for (names, members, sentence) in [
        (
            &["mount", "pid", "uts", "frob"][..],
            &[][..],
            r#"namespace "frob" does not exist"#,
        ),
        (
            &["mount", "pid", "uts", "pid"],
            &[],
            r#"malformed spec file: duplicated ns "pid""#,
        ),
        (
            &["pid", "uts"],
            &[],
            "unable to restrict sys entries without a private MNT namespace",
        ),
        (
            &["mount", "pid"],
            &[],
            "unable to set hostname without a private UTS namespace",
        ),
        (
            &["mount", "pid"],
            &[("hostname", "null"), ("domainname", r#""x""#)],
            "unable to set domainname without a private UTS namespace",
        ),
        (
            &["mount", "uts", "user"],
            &[],
            "user namespaces enabled, but no gid mappings found",
        ),
        (
            &["mount", "uts"],
            &[("linux.uidMappings", map)],
            "User namespace mappings specified, but USER namespace isn't enabled in the config",
        ),
        (
            &["mount", "uts"],
            &[("linux.timeOffsets", r#"{"boottime":{"secs":1}}"#)],
            "time namespace offsets specified, but time namespace isn't enabled in the config",
        ),
        (
            &["mount", "uts", "time"],
            &[("linux.timeOffsets", r#"{"noclock":{"secs":1}}"#)],
            "linux.timeOffsets.noclock is no clock with an offset",
        ),
        (
            &["mount", "uts"],
            &[("linux.netDevices", r#"{"eth0":{}}"#)],
            "unable to move network devices without a private NET namespace",
        ),
        (
            &["mount", "uts", "network"],
            &[("linux.netDevices", r#"{"no/slash":{}}"#)],
            r#"invalid network device name "no/slash""#,
        ),
        (
            &["mount", "uts", "network"],
            &[(
                "linux.netDevices",
                r#"{"eth0":{"name":"sixteen_bytes_xx"}}"#,
            )],
            r#"invalid network device name "sixteen_bytes_xx""#,
        ),
        (
            &["mount", "uts", "network"],
            &[("linux.netDevices", r#"{"no-such-device":{}}"#)],
            r#"network device "no-such-device""#,
        ),
    ] {
        fs::write(bundle.config(), &good).unwrap();
        bundle.set("linux.namespaces", &list(names));
        for (member, value) in members {
            bundle.set(member, value);
        }
        bundle.refuses(sentence);
    }
}

#[test]
fn a_user_namespace_has_its_maps_and_its_root_owns_what_is_made() {
    let script = "id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; \
                  touch /made; ls -ln /made | tr -s ' ' | cut -d' ' -f3,4; \
                  touch /other; chown 1005:1005 /other; \
                  cat /dev/zero | head -c 3 | wc -c; echo x > /dev/null; ls /proc/self/fd | wc -l; \
                  hostname inside; hostname; mount -t tmpfs none /mnt && echo mounted";
    let names = ["pid", "network", "mount", "ipc", "uts", "cgroup", "user"];
    let bundle = bundle("ns-user", script, &names);
    fs::create_dir(format!("{}/rootfs/mnt", bundle.dir)).unwrap();
    let caps = r#"["CAP_SYS_ADMIN","CAP_CHOWN"]"#;
    for set in ["bounding", "effective", "permitted"] {
        bundle.set(&format!("process.capabilities.{set}"), caps);
    }
    map_users(&bundle, MAPS, 100_000);
    let map = " 0 100000 1000\n 1000 300000 10\n";
    let expected = format!("0\n0\n{map}{map}0 0\n3\n4\ninside\nmounted\n");
    assert_eq!(bundle.says(), expected);
    let owner = |name: &str| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(format!("{}/rootfs/{name}", bundle.dir))
            .unwrap()
            .uid()
    };
    assert_eq!((owner("made"), owner("other")), (100_000, 300_005));
}

#[test]
fn a_user_namespace_without_a_root_works_for_those_that_it_has() {
    let bundle = bundle(
        "ns-no-root",
        "id -u; id -g; touch /tmp/x && echo made",
        &["pid", "network", "ipc", "mount", "uts", "user"],
    );
    fs::create_dir_all(format!("{}/rootfs/tmp", bundle.dir)).unwrap();
    map_users(
        &bundle,
        r#"[{"containerID":5,"hostID":100005,"size":20}]"#,
        100_006,
    );
    bundle.set("process.user", r#"{"uid":6,"gid":7}"#);
    // devpts and tmpfs options name ids that are not mapped; the kernel has no way round that.
    bundle.set(
        "mounts",
        r#"[{"destination":"/proc","type":"proc","source":"proc"},
            {"destination":"/dev","type":"tmpfs","source":"tmpfs"}]"#,
    );
    assert_eq!(bundle.says(), "6\n7\nmade\n");
    bundle.set("process.user", r#"{"uid":0,"gid":7}"#);
    bundle.refuses("cannot set uid to unmapped user in user namespace: uid 0");
    bundle.set("process.user", r#"{"uid":6,"gid":70}"#);
    bundle.refuses("cannot set gid to unmapped user in user namespace: gid 70");
}

#[test]
fn a_user_namespace_is_joined_alone_and_with_all_it_owns() {
    let names = [
        "pid", "network", "mount", "ipc", "uts", "cgroup", "time", "user",
    ];
    let first = bundle("ns-user-1", "exec sleep 1000", &names);
    map_users(&first, MAPS, 100_000);
    first.leave(&["run", "--detach", &first.id]);
    let pid = first.pid();
    let path = |file: &str| format!("/proc/{pid}/ns/{file}");
    let user = format!("user={}", path("user"));

    let second = bundle(
        "ns-user-2",
        "readlink /proc/self/ns/user; id -u; hostname",
        &["pid", "network", "ipc", "mount", "uts", &user],
    );
    give(&Path::new(&second.dir).join("rootfs"), 100_000);
    assert_eq!(second.says(), format!("{}\n0\nrunc\n", link(&path("user"))));

    let all: Vec<String> = TYPES
        .iter()
        .filter(|(name, _)| *name != "mount")
        .map(|(name, file)| format!("{name}={}", path(file)))
        .chain([user, "mount".to_string()])
        .collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let script = "readlink /proc/self/ns/user; readlink /proc/self/ns/net; readlink /proc/1/ns/pid; ps | grep -c '[s]leep 1000'";
    second.script(script);
    second.set("hostname", "null");
    second.set("linux.namespaces", &list(&all));
    let expected = ["user", "net", "pid"]
        .map(|file| format!("{}\n", link(&path(file))))
        .concat();
    assert_eq!(second.says(), format!("{expected}1\n"));

    let joining = first.runtime(&[
        "exec",
        &first.id,
        "sh",
        "-c",
        "id -u; readlink /proc/self/ns/user; touch /by-exec",
    ]);
    assert_eq!(
        joining,
        Output::new(0, &format!("0\n{}\n", link(&path("user"))), "")
    );
    use std::os::unix::fs::MetadataExt;
    let made = fs::metadata(format!("{}/rootfs/by-exec", first.dir)).unwrap();
    assert_eq!(made.uid(), 100_000);
    let refused = first.runtime(&["exec", "--user", "5000", &first.id, "true"]);
    assert!(
        refused
            .stderr
            .contains("cannot set uid to unmapped user in user namespace: uid 5000"),
        "{refused:?}"
    );
    second.set("linux.uidMappings", MAPS);
    second.refuses("a user namespace that is joined has its mappings");
    first.runtime(&["delete", "--force", &first.id]);
}

/// Who is in a new user namespace may not join the host's any more: it is done before.
#[test]
fn a_new_user_namespace_goes_with_a_network_of_the_hosts() {
    let holder = Holder::new(&["--net"]);
    let path = holder.file("--net");
    let joined = format!("network={path}");
    let bundle = bundle(
        "ns-user-net",
        "readlink /proc/self/ns/net; id -u",
        &["pid", "ipc", "mount", "uts", "user", &joined],
    );
    map_users(&bundle, MAPS, 100_000);
    assert_eq!(bundle.says(), format!("{}\n0\n", link(&path)));
}

#[test]
fn clocks_of_a_time_namespace_are_set() {
    let script = "cut -d. -f1 /proc/uptime; tr -s ' ' < /proc/self/timens_offsets";
    let bundle = bundle(
        "ns-time",
        script,
        &["pid", "network", "ipc", "mount", "uts", "time"],
    );
    let offsets = r#"{"boottime":{"secs":100000000},"monotonic":{"secs":500,"nanosecs":5}}"#;
    bundle.set("linux.timeOffsets", offsets);
    let check = |said: &str| {
        let (uptime, offsets) = said.split_once('\n').unwrap();
        assert!(uptime.parse::<u64>().unwrap() > 100_000_000, "{said}");
        assert_eq!(offsets, "monotonic 500 5\nboottime 100000000 0\n");
    };
    check(&bundle.says());
    bundle.set(
        "linux.namespaces",
        &list(&["pid", "network", "ipc", "mount", "uts", "time", "user"]),
    );
    map_users(&bundle, MAPS, 100_000);
    check(&bundle.says());
    // Who joins has the same clocks.
    bundle.script("sleep 1000");
    bundle.leave(&["run", "--detach", &bundle.id]);
    check(
        &bundle
            .runtime(&["exec", &bundle.id, "sh", "-c", script])
            .stdout,
    );
    bundle.runtime(&["delete", "--force", &bundle.id]);
}
