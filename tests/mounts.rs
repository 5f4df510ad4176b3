//! The mounts of a bundle, option by option: what the container sees, and what it can do there.

use crate::harness::PATIENCE;
use crate::harness::bundle::Bundle;
use crate::harness::command::{Output, run};
use crate::harness::mounts::{bundle, go, line, mount, prints, set_mounts};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn each_flag_is_what_the_container_sees() {
    let cases = [
        ("ro", "ro", true),
        ("ro rw", "ro", false),
        ("nosuid", "nosuid", true),
        ("nosuid suid", "nosuid", false),
        ("nodev", "nodev", true),
        ("nodev dev", "nodev", false),
        ("noexec", "noexec", true),
        ("noexec exec", "noexec", false),
        ("noatime", "noatime", true),
        ("noatime atime", "relatime", true),
        ("noatime relatime", "relatime", true),
        ("strictatime", "relatime", false),
        ("strictatime nostrictatime", "relatime", true),
        ("relatime norelatime", "relatime", true),
        ("nodiratime", "nodiratime", true),
        ("nodiratime diratime", "nodiratime", false),
        ("nosymfollow", "nosymfollow", true),
        ("nosymfollow symfollow", "nosymfollow", false),
        ("defaults silent loud iversion noiversion", "rw", true),
        ("rro", "ro", true),
        ("rro rrw", "ro", false),
        ("rnosuid", "nosuid", true),
        ("rnosuid rsuid", "nosuid", false),
        ("rnodev", "nodev", true),
        ("rnodev rdev", "nodev", false),
        ("rnoexec", "noexec", true),
        ("rnoexec rexec", "noexec", false),
        ("rnoatime", "noatime", true),
        ("rnoatime ratime", "relatime", true),
        ("rnoatime rrelatime", "relatime", true),
        ("rstrictatime", "relatime", false),
        ("rstrictatime rnostrictatime", "relatime", true),
        ("rnorelatime", "relatime", true),
        ("rnodiratime", "nodiratime", true),
        ("rnodiratime rdiratime", "nodiratime", false),
        ("rnosymfollow", "nosymfollow", true),
        ("rnosymfollow rsymfollow", "nosymfollow", false),
    ];
    let mut mounts = Vec::new();
    for (number, (options, _, _)) in cases.iter().enumerate() {
        mounts.push(mount(&format!("/new{number}"), "tmpfs", "tmpfs", options));
        let bind = format!("bind {options}");
        mounts.push(mount(&format!("/bound{number}"), "none", "source", &bind));
    }
    let bundle = bundle("mount-flags", &mounts, "cat /proc/self/mountinfo");
    bundle.host.make_dir("bundle/source");
    let output = go(&bundle);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    for (number, (options, flag, set)) in cases.iter().enumerate() {
        for point in [format!("/new{number}"), format!("/bound{number}")] {
            let flags = line(&output.stdout, &point).flags;
            let has = flags.iter().any(|found| found == flag);
            assert_eq!(has, *set, "{point} {options}: {flags:?}");
        }
    }
}

#[test]
fn flags_of_a_file_system_reach_it() {
    let mounts = [
        mount("/sync", "tmpfs", "tmpfs", "sync dirsync mand"),
        mount("/lazy", "tmpfs", "tmpfs", "lazytime"),
        mount("/not", "tmpfs", "tmpfs", "sync async lazytime nolazytime"),
        mount("/sized", "tmpfs", "box", "size=1m mode=711 nr_inodes=50"),
        mount("/bound", "bind", "source", "bind sync mand lazytime"),
    ];
    let bundle = bundle(
        "mount-super",
        &mounts,
        "stat -c %a /sized; cat /proc/self/mountinfo",
    );
    bundle.host.make_dir("bundle/source");
    let output = go(&bundle);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.starts_with("711\n"), "{output:?}");
    let of = |point: &str| line(&output.stdout, point);
    let has = |point: &str, flag: &str| of(point).of_all.iter().any(|found| found == flag);
    assert!(has("/sync", "sync") && has("/sync", "dirsync"));
    assert!(has("/lazy", "lazytime"));
    assert!(!has("/not", "sync") && !has("/not", "lazytime"));
    assert!(has("/sized", "size=1024k") && has("/sized", "nr_inodes=50"));
    assert_eq!(of("/sized").source, "box");
    of("/bound");
}

#[test]
fn flags_do_what_they_say() {
    let mounts = [
        mount("/ro", "bind", "source", "rbind ro"),
        mount("/rw", "bind", "source", "rbind"),
        mount("/noexec", "bind", "source", "bind noexec"),
        mount("/nodev", "bind", "source", "bind nodev"),
        mount("/nofollow", "bind", "source", "bind nosymfollow"),
        mount("/tmp", "tmpfs", "tmpfs", "ro"),
    ];
    let script = "touch /rw/new && ! touch /ro/no 2>/dev/null && ! touch /tmp/no 2>/dev/null \
        && /rw/program && ! /noexec/program 2>/dev/null \
        && true </rw/null && ! true 2>/dev/null </nodev/null \
        && cat /rw/link && ! cat /nofollow/link 2>/dev/null && echo done";
    let bundle = bundle("mount-behaviour", &mounts, script);
    let source = PathBuf::from(bundle.host.make_dir("bundle/source"));
    let program = bundle
        .host
        .write("bundle/source/program", "#!/bin/sh\necho program\n");
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
    bundle.host.write("bundle/source/file", "linked\n");
    symlink("file", source.join("link")).unwrap();
    let mut mknod = Command::new("mknod");
    mknod.arg(source.join("null")).args(["c", "1", "3"]);
    assert_eq!(run(mknod, b"", PATIENCE).code, 0);
    prints(&bundle, "program\nlinked\ndone\n");
    assert!(source.join("new").exists() && !source.join("no").exists());
}

#[test]
fn recursive_flags_go_deep_and_others_do_not() {
    let mounts = [
        mount("/flat", "bind", "source", "rbind ro"),
        mount("/deep", "bind", "source", "rbind rro"),
        mount("/both", "bind", "source", "rbind noexec rro rnosuid"),
        mount("/alone", "bind", "source", "bind"),
    ];
    let script = "ls /alone/below; cat /proc/self/mountinfo";
    let bundle = bundle("mount-deep", &mounts, script);
    let below = bundle.host.make_dir("bundle/source/below");
    // A mount below the source, in a mount namespace that ends with the test.
    let mut command = Command::new("unshare");
    command.args([
        "-m",
        "sh",
        "-c",
        "mount -t tmpfs below \"$0\" && : >\"$0/file\" && exec \"$@\"",
        &below,
    ]);
    let runtime = bundle.command(&["run", &bundle.id]);
    command.arg(runtime.get_program()).args(runtime.get_args());
    command.current_dir(&bundle.dir);
    let output = run(command, b"", PATIENCE);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        !output.stdout.starts_with("file"),
        "bind took the mounts below along"
    );
    let has = |point: &str, flag: &str| line(&output.stdout, point).flags.iter().any(|f| f == flag);
    assert!(has("/flat", "ro") && has("/flat/below", "rw"));
    assert!(has("/deep", "ro") && has("/deep/below", "ro"));
    assert!(has("/both", "noexec") && !has("/both/below", "noexec"));
    assert!(has("/both/below", "ro") && has("/both/below", "nosuid"));
}

#[test]
fn anything_can_be_bound() {
    let mounts = [
        mount("/new/dir", "bind", "dir", "bind"),
        mount(
            "/new/file",
            "bind",
            "./dir/file",
            "bind,ro".replace(',', " ").as_str(),
        ),
        mount("/new/fifo", "bind", "fifo", "bind"),
        mount("/new/socket", "bind", "socket", "bind"),
        mount("/new/null", "bind", "/dev/null", "bind"),
        mount("relative", "bind", "dir", "bind"),
        mount("/link", "bind", "link", "bind src-nofollow"),
        mount("/etc/over", "bind", "dir/file", "bind dest-nofollow"),
    ];
    let script = "cat /new/dir/file /new/file /relative/file; readlink /link; cat /etc/over; \
        for f in fifo socket null; do stat -c %F /new/$f; done";
    let bundle = bundle("mount-kinds", &mounts, script);
    bundle.host.make_dir("bundle/dir");
    bundle.host.write("bundle/dir/file", "text\n");
    let at = |name: &str| Path::new(&bundle.dir).join(name);
    symlink("nowhere", at("link")).unwrap();
    symlink("/nowhere/either", at("rootfs/etc/over")).unwrap();
    let mut mkfifo = Command::new("mkfifo");
    mkfifo.arg(at("fifo"));
    assert_eq!(run(mkfifo, b"", PATIENCE).code, 0);
    let socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    prints(
        &bundle,
        "text\ntext\ntext\nnowhere\ntext\nfifo\nsocket\ncharacter special file\n",
    );
    drop(socket);
}

#[test]
fn what_cannot_be_mounted_is_named() {
    let bundle = bundle("mount-refused", &[], "echo ran");
    bundle.host.make_dir("bundle/dir");
    bundle.host.write("bundle/file", "");
    bundle.host.write("bundle/rootfs/etc/here", "");
    let missing = format!("stat {}/missing: no such file or directory", bundle.dir);
    let cases = [
        (mount("/mnt", "bind", "missing", "bind"), missing.as_str()),
        (
            mount("/mnt", "bind", "missing", "bind"),
            "error mounting \"missing\" to rootfs at \"/mnt\"",
        ),
        (
            mount("/mnt", "bind", "", "bind"),
            "a bind mount needs a source",
        ),
        (mount("/mnt", "tmpfs", "tmpfs", "wonder"), "wonder"),
        (mount("/mnt", "tmpfs", "tmpfs", "size=much"), "size=much"),
        (
            mount("/mnt", "bind", "dir", "bind wonder"),
            "bind mounts cannot have any filesystem-specific options applied",
        ),
        (mount("/mnt", "nosuchfs", "none", ""), "No such device"),
        (
            mount("/etc/here", "bind", "dir", "bind"),
            "Are you trying to mount a directory onto a file (or vice-versa)?",
        ),
        (
            mount("/etc", "bind", "file", "bind"),
            "Are you trying to mount a directory onto a file (or vice-versa)?",
        ),
        (
            mount("/", "bind", "dir", "bind"),
            "cannot mount over the root of the container",
        ),
        (
            mount("/x/../..", "bind", "dir", "bind"),
            "cannot mount over the root of the container",
        ),
        (
            mount("/proc", "bind", "dir", "bind"),
            "cannot be mounted because it is not of type proc",
        ),
        (
            mount("/proc", "bind", "/proc/self", "bind"),
            "cannot be mounted because it is not of type proc",
        ),
        (
            mount("/proc/sys", "tmpfs", "tmpfs", ""),
            "cannot be mounted because it is inside /proc",
        ),
        (
            mount("/mnt", "tmpfs", "tmpfs", "idmap"),
            "id-mapped mounts are only supported for bind-mounts",
        ),
        (
            mount("/mnt", "bind", "dir", "bind idmap"),
            "id-mapped mounts must have both uid and gid mappings specified",
        ),
    ];
    for (mount, sentence) in cases {
        set_mounts(&bundle, &[mount]);
        bundle.refuses(sentence);
    }
    // The twins of those over /proc: a procfs, and the files that lxcfs serves.
    let proc = mount("/proc", "bind", "/proc", "rbind");
    set_mounts(
        &bundle,
        &[proc, mount("/proc/uptime", "bind", "file", "bind")],
    );
    prints(&bundle, "ran\n");
}

#[test]
fn the_kernels_file_systems_take_their_options() {
    let mounts = [
        mount("/proc", "proc", "proc", "nosuid hidepid=2"),
        mount("/sys", "sysfs", "sysfs", "ro nosuid noexec nodev"),
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev"),
        mount("/dev/shm", "tmpfs", "shm", "nosuid mode=1777 size=64k"),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            "ro nosuid noexec nodev relatime",
        ),
        mount("/group2", "cgroup2", "cgroup2", ""),
    ];
    let script = "cat /proc/self/mountinfo; ls /group2/cgroup.procs; mkdir /sys/fs/cgroup/x";
    let bundle = bundle("mount-kernel", &mounts, script);
    bundle.set(
        "linux.namespaces",
        r#"[{"type":"mount"},{"type":"pid"},{"type":"ipc"},{"type":"network"},{"type":"cgroup"}]"#,
    );
    bundle.set("hostname", "null");
    let output = go(&bundle);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stderr.contains("Read-only file system"),
        "{output:?}"
    );
    assert!(
        output.stdout.ends_with("/group2/cgroup.procs\n"),
        "{output:?}"
    );
    let of = |point: &str| line(&output.stdout, point);
    assert!(
        of("/proc")
            .of_all
            .iter()
            .any(|option| option.starts_with("hidepid="))
    );
    assert!(of("/sys").flags.contains(&"ro".to_string()));
    assert_eq!(of("/dev/mqueue").kind, "mqueue");
    assert_eq!(
        (
            of("/dev/shm").source.as_str(),
            of("/dev/shm").of_all.contains(&"size=64k".into())
        ),
        ("shm", true)
    );
    assert_eq!(
        (of("/sys/fs/cgroup").kind, of("/group2").kind),
        ("cgroup2".into(), "cgroup2".into())
    );
}

#[test]
fn an_image_directory_under_a_tmpfs_keeps_its_mode_and_its_content_where_asked() {
    let mounts = [
        mount("/kept", "tmpfs", "tmpfs", ""),
        mount("/told", "tmpfs", "tmpfs", "mode=700"),
        mount("/filled", "tmpfs", "tmpfs", "ro tmpcopyup"),
        mount("/fresh", "tmpfs", "tmpfs", "tmpcopyup"),
    ];
    let script = "stat -c '%a' /kept /told /fresh; cd /filled; find . | sort | xargs stat -c '%n %A %u:%g'; \
        cat file; readlink link; ! touch new 2>/dev/null && echo done";
    let bundle = bundle("mount-copyup", &mounts, script);
    let root = Path::new(&bundle.dir).join("rootfs");
    for name in ["kept", "told", "filled/sub/deep"] {
        std::fs::create_dir_all(root.join(name)).unwrap();
    }
    std::fs::set_permissions(root.join("kept"), std::fs::Permissions::from_mode(0o2750)).unwrap();
    bundle.host.write("bundle/rootfs/filled/file", "content\n");
    std::fs::set_permissions(
        root.join("filled/file"),
        std::fs::Permissions::from_mode(0o4755),
    )
    .unwrap();
    std::os::unix::fs::chown(root.join("filled/sub"), Some(7), Some(8)).unwrap();
    symlink("/etc/shadow", root.join("filled/link")).unwrap();
    let mut mkfifo = Command::new("mkfifo");
    mkfifo.arg(root.join("filled/fifo"));
    assert_eq!(run(mkfifo, b"", PATIENCE).code, 0);
    std::fs::set_permissions(
        root.join("filled/fifo"),
        std::fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    std::os::unix::fs::chown(root.join("filled/file"), Some(5), Some(6)).unwrap();
    std::fs::set_permissions(
        root.join("filled/file"),
        std::fs::Permissions::from_mode(0o4755),
    )
    .unwrap();
    prints(
        &bundle,
        "2750\n700\n1777\n. drwxr-xr-x 0:0\n./fifo prw------- 0:0\n./file -rwsr-xr-x 5:6\n./link lrwxrwxrwx 0:0\n\
         ./sub drwxr-xr-x 7:8\n./sub/deep drwxr-xr-x 0:0\ncontent\n/etc/shadow\ndone\n",
    );
    assert!(root.join("filled/file").exists());
}

#[test]
fn a_mount_can_be_changed_by_a_later_one() {
    let mounts = [
        mount("/box", "tmpfs", "tmpfs", "size=1m"),
        mount("/box", "tmpfs", "tmpfs", "remount ro nosuid size=2m"),
    ];
    let bundle = bundle("mount-again", &mounts, "cat /proc/self/mountinfo");
    let output = go(&bundle);
    assert_eq!(output.code, 0, "{output:?}");
    let found = line(&output.stdout, "/box");
    assert!(found.flags.contains(&"ro".into()) && found.flags.contains(&"nosuid".into()));
    assert!(
        found.of_all.contains(&"size=2048k".into()),
        "{:?}",
        found.of_all
    );
}

/// fsconfig(2) takes 255 bytes of a value and mount(2) a page of all.
#[test]
fn options_may_be_long() {
    let bundle = bundle("mount-long", &[], "cat /over/file; ls /over | wc -l");
    let mut lower = Vec::new();
    for number in 0..12 {
        let dir = bundle
            .host
            .make_dir(&format!("bundle/a-layer-with-a-long-name-{number}"));
        bundle.host.write(
            &format!("bundle/a-layer-with-a-long-name-{number}/{number}"),
            "",
        );
        lower.push(dir);
    }
    bundle
        .host
        .write("bundle/a-layer-with-a-long-name-3/file", "from the third\n");
    let lower = format!("ro lowerdir={}", lower.join(":"));
    assert!(lower.len() > 300);
    set_mounts(&bundle, &[mount("/over", "overlay", "overlay", &lower)]);
    prints(&bundle, "from the third\n13\n");
    let long = format!("lowerdir={}", "/x:".repeat(1500));
    set_mounts(&bundle, &[mount("/over", "overlay", "overlay", &long)]);
    bundle.refuses("mount options of overlay");
    // Many short ones are no problem at all.
    let many = "mode=700 ".repeat(1000);
    set_mounts(&bundle, &[mount("/over", "tmpfs", "tmpfs", &many)]);
    bundle.script("stat -c %a /over");
    prints(&bundle, "700\n");
}

#[test]
fn owners_are_mapped_where_asked() {
    let dir = "stat -c '%u:%g' /mapped /mapped/file /mapped/below/file";
    let bundle = bundle("mount-idmap", &[], dir);
    bundle.host.make_dir("bundle/data");
    // The test's directory may be on a file system without idmapped mounts: a tmpfs of our own.
    let inner = "mount -t tmpfs data data && mkdir data/below && mount -t tmpfs below data/below \
        && : >data/file && : >data/below/file && chown 1000:1000 data data/file data/below data/below/file && exec \"$@\"";
    let go = || {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-ec", inner, "sh"]);
        let runtime = bundle.command(&["run", &bundle.id]);
        command.arg(runtime.get_program()).args(runtime.get_args());
        command.current_dir(&bundle.dir);
        run(command, b"", PATIENCE)
    };
    let maps = r#""uidMappings":[{"containerID":1000,"hostID":2000,"size":1}],"gidMappings":[{"containerID":1000,"hostID":3000,"size":1}]"#;
    for (option, below) in [("idmap", "1000:1000"), ("ridmap", "2000:3000")] {
        let one = mount("/mapped", "bind", "data", &format!("rbind {option}"));
        let one = format!("{},{maps}}}", one.strip_suffix('}').unwrap());
        set_mounts(&bundle, &[one]);
        let text = format!("2000:3000\n2000:3000\n{below}\n");
        assert_eq!(go(), Output::new(0, &text, ""), "{option}");
    }

    // The container's own maps, by default: what root owns on the host root owns inside.
    bundle.set(
        "linux.namespaces",
        r#"[{"type":"mount"},{"type":"pid"},{"type":"ipc"},{"type":"user"}]"#,
    );
    bundle.set("hostname", "null");
    bundle.set(
        "linux.uidMappings",
        r#"[{"containerID":0,"hostID":100000,"size":65536}]"#,
    );
    bundle.set(
        "linux.gidMappings",
        r#"[{"containerID":0,"hostID":100000,"size":65536}]"#,
    );
    set_mounts(
        &bundle,
        &[
            mount("/mapped", "bind", "data", "bind idmap"),
            mount("/plain", "bind", "data", "rbind"),
        ],
    );
    bundle.script("stat -c '%u:%g' /mapped/file /plain/file");
    open_up(&bundle);
    assert_eq!(go(), Output::new(0, "1000:1000\n65534:65534\n", ""));
}

/// Let users of a user namespace reach the bundle, and own its root.
fn open_up(bundle: &Bundle) {
    for dir in Path::new(&bundle.dir).ancestors().take(2) {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut chown = Command::new("chown");
    chown
        .args(["-R", "100000:100000"])
        .arg(Path::new(&bundle.dir).join("rootfs"));
    assert_eq!(run(chown, b"", PATIENCE).code, 0);
}

/// In a user namespace the mounts of the host are locked as they are, nodes cannot be made, and
/// still the usual container starts.
#[test]
fn a_user_namespace_keeps_what_is_locked() {
    let mounts = [
        mount("/locked", "bind", "data", "bind noexec"),
        mount("/sys", "sysfs", "sysfs", "ro nosuid noexec nodev"),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            "ro nosuid noexec nodev",
        ),
    ];
    let script = "cat /proc/self/mountinfo; echo x >/dev/null; head -c 3 /dev/zero | wc -c; ls -l /dev/tty | cut -c1-10";
    let bundle = bundle("mount-locked", &mounts, script);
    bundle.host.make_dir("bundle/data");
    bundle.set(
        "linux.namespaces",
        r#"[{"type":"mount"},{"type":"pid"},{"type":"ipc"},{"type":"user"}]"#,
    );
    bundle.set("hostname", "null");
    bundle.set(
        "linux.uidMappings",
        r#"[{"containerID":0,"hostID":100000,"size":65536}]"#,
    );
    bundle.set(
        "linux.gidMappings",
        r#"[{"containerID":0,"hostID":100000,"size":65536}]"#,
    );
    open_up(&bundle);
    let go = || {
        let mut command = Command::new("unshare");
        command.args([
            "-m",
            "sh",
            "-ec",
            "mount -t tmpfs -o nosuid,nodev,ro data data; exec \"$@\"",
            "sh",
        ]);
        let runtime = bundle.command(&["run", &bundle.id]);
        command.arg(runtime.get_program()).args(runtime.get_args());
        command.current_dir(&bundle.dir);
        run(command, b"", PATIENCE)
    };
    let output = go();
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
    assert!(output.stdout.ends_with("3\ncrw-rw-rw-\n"), "{output:?}");
    let flags = line(&output.stdout, "/locked").flags;
    for flag in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(flags.contains(&flag.to_string()), "{flag}: {flags:?}");
    }
    assert!(line(&output.stdout, "/sys").flags.contains(&"ro".into()));

    set_mounts(&bundle, &[mount("/locked", "bind", "data", "bind rw")]);
    let output = go();
    assert!(
        output.code != 0 && output.stderr.contains("locked mount flags"),
        "{output:?}"
    );
}

#[test]
fn a_read_only_root_is_read_only_and_so_is_dev() {
    let bundle = bundle(
        "mount-readonly",
        &[],
        "touch /x; touch /dev/x; touch /tmp/x; echo >/dev/null; ls -l /dev/fd | cut -d'>' -f2",
    );
    bundle.set("root.readonly", "true");
    let mounts = format!(
        "{},{},{}",
        r#"{"destination":"/proc","type":"proc","source":"proc"}"#,
        mount("/dev", "tmpfs", "tmpfs", "nosuid ro mode=755"),
        mount("/tmp", "tmpfs", "tmpfs", "")
    );
    bundle.set("mounts", &format!("[{mounts}]"));
    let output = go(&bundle);
    assert_eq!(
        output,
        Output::new(
            0,
            " /proc/self/fd\n",
            "touch: /x: Read-only file system\ntouch: /dev/x: Read-only file system\n"
        )
    );
}

#[test]
fn a_root_that_is_missing_or_the_hosts_own_is_refused() {
    let bundle = bundle("mount-rootless", &[], "echo ran");
    bundle.set("root.path", r#""nowhere""#);
    bundle.refuses(&format!(
        "invalid rootfs: stat {}/nowhere: no such file or directory",
        bundle.dir
    ));
    for root in [r#""/""#, r#""../../../../../../../..""#] {
        bundle.set("root.path", root);
        bundle.refuses("invalid rootfs: it is the root of the host");
    }
}

/// Linux 5.10 has neither mount_setattr(2) nor close_range(2)'s flag for later: what is read-only
/// must be so all the same, and no descriptor may be left.
#[test]
fn an_old_kernel_gives_the_same_container_and_one_too_old_says_so() {
    let Some(probe) = crate::seccomp::probe("old-kernel") else {
        return;
    };
    let script = "cut -d ' ' -f 5-6 /proc/self/mountinfo; ls /proc/self/fd; touch /x /volume/x 2>&1; \
        echo 1 > /proc/sys/kernel/panic";
    let bundle = bundle("old-kernel", &[], script);
    let volume = bundle.host.make_dir("volume");
    let bind = mount("/volume", "bind", &volume, "rbind ro nosuid nodev rprivate");
    set_mounts(
        &bundle,
        &[mount("/sys", "sysfs", "sysfs", "ro noexec"), bind],
    );
    bundle.set("root.readonly", "true");
    let on = |kernel: &str| {
        let ours = bundle.command(&["run", &bundle.id]);
        let mut command = Command::new(&probe);
        command
            .arg(kernel)
            .arg(ours.get_program())
            .args(ours.get_args())
            .env_clear()
            .current_dir(&bundle.dir);
        run(command, b"", PATIENCE)
    };
    let new = go(&bundle);
    assert_eq!(
        new.stderr.matches("Read-only file system").count(),
        1,
        "{new:?}"
    );
    assert_eq!(
        new.stdout.matches("Read-only file system").count(),
        2,
        "{new:?}"
    );
    assert!(new.stdout.contains("\n/volume ro,nosuid,nodev"), "{new:?}");
    assert!(new.stdout.contains("\n0\n1\n2\n3\n"), "{new:?}");
    assert_eq!(on("old"), new);
    on("older").assert_refused(1, "Linux 5.10 or newer is needed");
}
