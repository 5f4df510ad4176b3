//! Images and programs that try to reach what lies outside the container's root.

use crate::harness::PATIENCE;
use crate::harness::bundle::Bundle;
use crate::harness::command::{Output, run};
use crate::harness::mounts::{all_capabilities, bundle, go, mount, prints, set_mounts};
use crate::harness::rounds;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// CVE-2019-19921, CVE-2026-41579, CVE-2025-52565: places that we mount on are links of the image.
#[test]
fn links_in_the_image_lead_nowhere_outside() {
    let bundle = bundle("mount-links", &[], "echo ran");
    let canary = PathBuf::from(bundle.host.make_dir("canary"));
    std::fs::write(canary.join("ptmx"), "marker").unwrap();
    let root = Path::new(&bundle.dir).join("rootfs");
    let whole = |what: &str| {
        let names: Vec<_> = std::fs::read_dir(&canary)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["ptmx"], "{what}");
        assert_eq!(
            std::fs::read_to_string(canary.join("ptmx")).unwrap(),
            "marker",
            "{what}"
        );
    };
    let up = PathBuf::from(format!("../../../../../../..{}", canary.display()));
    for name in ["dev", "proc", "sys"] {
        for target in [&canary, &up] {
            let place = root.join(name);
            let _ = std::fs::remove_dir(&place);
            symlink(target, &place).unwrap();
            set_mounts(&bundle, &[mount("/sys", "sysfs", "sysfs", "ro")]);
            bundle.refuses("must be mounted on ordinary directory");
            whole(name);
            std::fs::remove_file(&place).unwrap();
        }
    }

    // Without a mount there: devices, links and the console are made in the image's directory.
    bundle.set(
        "mounts",
        r#"[{"destination":"/proc","type":"proc","source":"proc"}]"#,
    );
    bundle.set("linux.maskedPaths", "[]");
    std::fs::remove_dir_all(root.join("dev")).unwrap();
    for target in [&canary, &up] {
        let _ = std::fs::remove_file(root.join("dev"));
        symlink(target, root.join("dev")).unwrap();
        go(&bundle);
        whole("devices");
    }
    std::fs::remove_file(root.join("dev")).unwrap();
    std::fs::create_dir(root.join("dev")).unwrap();
    for name in ["pts", "console", "null", "ptmx", "fd"] {
        symlink(canary.join("ptmx"), root.join("dev").join(name)).unwrap();
    }
    set_mounts(&bundle, &[]);
    prints(&bundle, "ran\n");
    bundle.set(
        "mounts",
        r#"[{"destination":"/proc","type":"proc","source":"proc"}]"#,
    );
    go(&bundle);
    whole("names in /dev");
    bundle.set("process.terminal", "true");
    go(&bundle);
    whole("with a terminal");
}

/// A process whose root is further down than its working directory climbs as far as there is
/// something to climb to (chroot(2)). It tells what it finds at `path`, counted from up there.
fn climber(bundle: &Bundle, path: &str) {
    let script = format!(
        "exec 3</; chroot /x /bin/busybox sh -c 'cd /proc/self/fd/3 && cat ../../../../../../..{path}; \
         ls -d ../../../../../bin/busybox; ls ../../../.. | tr \"\\n\" \" \"'"
    );
    bundle.script(&script);
    all_capabilities(bundle, "CAP_SYS_CHROOT");
    let root = Path::new(&bundle.dir).join("rootfs");
    std::fs::create_dir_all(root.join("x/bin")).unwrap();
    std::fs::copy(root.join("bin/busybox"), root.join("x/bin/busybox")).unwrap();
    set_mounts(bundle, &[mount("/x/proc", "proc", "proc", "")]);
}

#[track_caller]
fn stays_inside(output: &Output) {
    assert!(
        !output.stdout.contains("canary"),
        "it reached the host: {output:?}"
    );
    // The climb itself worked: it sees the container's root, which is above its own.
    assert!(output.stdout.contains("bin/busybox"), "{output:?}");
    assert!(
        output.stderr.contains("No such file or directory"),
        "{output:?}"
    );
}

#[test]
fn a_chroot_inside_cannot_be_climbed_out_of() {
    let bundle = Bundle::new("mount-climb");
    let canary = bundle.host.write("found", "canary\n");
    climber(&bundle, &canary);
    stays_inside(&go(&bundle));
    stays_inside(&bundle.runtime(&["run", "--no-pivot", &bundle.id]));
}

#[test]
fn a_runtime_in_a_chroot_leaves_nothing_to_climb_to() {
    let bundle = Bundle::new("mount-chroot");
    let canary = bundle.host.write("found", "canary\n");
    climber(&bundle, &canary);
    let top = bundle.host.make_dir("chroot");
    let program = bundle.command(&[]).get_program().to_os_string();
    let script = r#"set -e
        cd "$TOP"
        [ -z "$MOUNTED" ] || { mount --bind . .; cd "$TOP"; }
        mkdir -p bundle state tug proc sys dev tmp
        for dir in usr lib lib64 bin etc; do
            [ -e "/$dir" ] || continue
            mkdir -p "$dir"
            mount --rbind "/$dir" "$dir"
        done
        for dir in proc sys dev; do mount --rbind "/$dir" "$dir"; done
        mount --bind "$BUNDLE" bundle
        mount --bind "$(dirname "$PROGRAM")" tug
        [ -z "$SHARED" ] || mount --make-rshared /
        cut -d" " -f5 /proc/self/mountinfo >before
        status=0
        chroot . "/tug/$(basename "$PROGRAM")" runtime --root /state run --bundle /bundle $OPTIONS "$ID" || status=$?
        cut -d" " -f5 /proc/self/mountinfo | diff before - || echo LOST
        exit "$status""#;
    for (mounted, shared, options) in [
        ("1", "", ""),
        ("", "", ""),
        ("", "1", ""),
        ("1", "1", ""),
        ("1", "", "--no-pivot"),
        ("", "", "--no-pivot"),
    ] {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script]);
        command
            .env("TOP", &top)
            .env("MOUNTED", mounted)
            .env("OPTIONS", options);
        command
            .env("BUNDLE", &bundle.dir)
            .env("PROGRAM", &program)
            .env("ID", &bundle.id);
        command.env("SHARED", shared);
        let output = run(command, b"", PATIENCE);
        stays_inside(&output);
        assert!(!output.stdout.contains("LOST"), "{output:?}");
    }
}

/// `--no-pivot` leaves nothing of the host behind either.
#[test]
fn without_pivot_root_the_old_tree_is_gone() {
    let bundle = bundle(
        "mount-nopivot",
        &[],
        "cut -d' ' -f5 /proc/self/mountinfo | sort | tr '\\n' ' '; ls /proc/1/root/",
    );
    bundle.set("linux.maskedPaths", "[]");
    bundle.set("linux.readonlyPaths", "[]");
    let usual = go(&bundle);
    assert_eq!(usual.code, 0, "{usual:?}");
    assert_eq!(bundle.runtime(&["run", "--no-pivot", &bundle.id]), usual);
    assert!(
        usual.stdout.starts_with("/ /dev /dev/pts /proc "),
        "{usual:?}"
    );
    bundle.leave(&["run", "--no-pivot", "--detach", &bundle.id]);
    bundle.runtime(&["delete", "--force", &bundle.id]);
    bundle.script("sleep 1000");
    bundle.leave(&["run", "--no-pivot", "--detach", &bundle.id]);
    let exec = bundle.runtime(&["exec", &bundle.id, "ls", "/"]);
    assert_eq!(
        (exec.code, exec.stdout.contains("bin")),
        (0, true),
        "{exec:?}"
    );
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).code, 0);
    bundle.set("linux.rootfsPropagation", r#""private""#);
    let output = bundle.runtime(&["run", "--no-pivot", &bundle.id]);
    assert!(
        output
            .stderr
            .contains("rootfsPropagation of [r]private is not safe without pivot_root"),
        "{output:?}"
    );
}

/// The image swaps directories for links while we start (CVE-2021-30465, CVE-2024-45310,
/// CVE-2025-52881, GHSA-3q8j-pf29-vwv8, CVE-2026-55686).
#[test]
fn swapped_directories_lead_nowhere_outside() {
    let starts = rounds(150, 10_000);
    let bundle = Bundle::new("mount-swap");
    let canary = PathBuf::from(bundle.host.make_dir("canary"));
    let root = Path::new(&bundle.dir).join("rootfs");
    let inside = root.join(canary.strip_prefix("/").unwrap());
    let names = ["target", "masked", "fixed", "devices", "cwd"];
    for name in names {
        std::fs::create_dir_all(root.join("swap").join(name)).unwrap();
        // Where the link leads, in here and out there.
        std::fs::create_dir_all(inside.join(name)).unwrap();
        std::fs::create_dir_all(canary.join(name)).unwrap();
        let up = format!("../../../../../../../..{}/{name}", canary.display());
        symlink(up, root.join(format!("swap/{name}-link"))).unwrap();
    }
    let picture = || {
        let mut command = Command::new("find");
        command.arg(&canary).args(["-printf", "%p %y %i %m %T@\\n"]);
        run(command, b"", PATIENCE).stdout
    };
    let before = picture();

    bundle.script("cat /proc/self/mountinfo");
    set_mounts(
        &bundle,
        &[mount("/swap/target/new/deep", "tmpfs", "aim", "")],
    );
    bundle.set("linux.maskedPaths", r#"["/swap/masked"]"#);
    bundle.set("linux.readonlyPaths", r#"["/swap/fixed"]"#);
    bundle.set(
        "linux.devices",
        r#"[{"path":"/swap/devices/sub/node","type":"c","major":1,"minor":3}]"#,
    );
    bundle.set("process.cwd", r#""/swap/cwd/sub""#);

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let pairs = names.map(|name| {
                (
                    root.join("swap").join(name),
                    root.join(format!("swap/{name}-link")),
                )
            });
            while !stop.load(Ordering::Relaxed) {
                for (dir, link) in &pairs {
                    renameat_with(CWD, dir, CWD, link, RenameFlags::EXCHANGE).unwrap();
                }
            }
        });
        let mut started = 0;
        for _ in 0..starts {
            let output = go(&bundle);
            if output.code != 0 {
                // It found something gone between two of its steps, which is no harm.
                continue;
            }
            started += 1;
            let has = |wanted: &str, flag: &str| {
                output.stdout.lines().any(|line| {
                    let fields: Vec<&str> = line.split(' ').collect();
                    fields[4].contains(wanted) && fields[5].split(',').any(|found| found == flag)
                })
            };
            let all = has("/fixed", "ro") && has("/masked", "ro") && has("/new/deep", "rw");
            if !all {
                stop.store(true, Ordering::Relaxed);
            }
            assert!(all, "{}", output.stdout);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(started > starts / 10, "only {started} of {starts} started");
    });
    assert_eq!(picture(), before, "something outside has changed");
    let node = std::fs::symlink_metadata(canary.join("devices")).unwrap();
    assert!(node.is_dir() && node.nlink() == 2);
}

/// The positive twin of the one above: links that stay inside are followed.
#[test]
fn links_inside_the_image_are_followed() {
    let mounts = [
        mount("/var/run/data", "bind", "data", "bind"),
        mount("/var/run/new/deep", "tmpfs", "tmpfs", ""),
    ];
    let bundle = bundle(
        "mount-inside",
        &mounts,
        "pwd -P; cat /run/data/file; [ -c /run/node ]; ls /run/new",
    );
    bundle.host.make_dir("bundle/data");
    bundle.host.write("bundle/data/file", "content\n");
    let root = Path::new(&bundle.dir).join("rootfs");
    std::fs::create_dir_all(root.join("run")).unwrap();
    std::fs::create_dir_all(root.join("var")).unwrap();
    symlink("/run", root.join("var/run")).unwrap();
    bundle.set(
        "linux.devices",
        r#"[{"path":"/var/run/node","type":"c","major":1,"minor":3}]"#,
    );
    bundle.set("process.cwd", r#""/var/run/work""#);
    prints(&bundle, "/run/work\ncontent\ndeep\n");
}

/// CVE-2019-16884, CVE-2025-52881: what is written to procfs for the container goes to a procfs,
/// whatever the image has in its place.
#[test]
fn a_false_procfs_of_the_image_is_not_written_to() {
    let script =
        "mkdir -p /real; mount -t proc proc /real; cat /real/sys/net/ipv4/ping_group_range";
    let bundle = bundle("false-proc", &[], script);
    all_capabilities(&bundle, "CAP_SYS_ADMIN");
    bundle.set("mounts", "[]");
    bundle.set("linux.maskedPaths", "[]");
    bundle.set("linux.readonlyPaths", "[]");
    bundle.set("linux.sysctl", r#"{"net.ipv4.ping_group_range":"7 9"}"#);
    let canary = bundle.host.write("canary", "whole");
    let dir = Path::new(&bundle.dir).join("rootfs/proc/sys/net/ipv4");
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("ping_group_range");
    let up = format!("../../../../../../../../../../..{canary}");
    for target in [None, Some(&canary), Some(&up)] {
        let _ = std::fs::remove_file(&file);
        match target {
            None => std::fs::write(&file, "whole").unwrap(),
            Some(target) => symlink(target, &file).unwrap(),
        }
        prints(&bundle, "7\t9\n");
        let seen = std::fs::read_to_string(if target.is_none() {
            &file
        } else {
            Path::new(&canary)
        });
        assert_eq!(seen.unwrap(), "whole", "{target:?}");
    }

    // Where none of our own may be mounted, the one that is there must be one.
    let mut chown = Command::new("chown");
    chown
        .args(["-R", "100000:100000", "rootfs"])
        .current_dir(&bundle.dir);
    assert_eq!(run(chown, b"", PATIENCE).code, 0);
    bundle.set(
        "linux.namespaces",
        r#"[{"type":"pid"},{"type":"network"},{"type":"mount"},{"type":"user"},{"type":"uts"}]"#,
    );
    for map in ["uidMappings", "gidMappings"] {
        let map = format!("linux.{map}");
        bundle.set(&map, r#"[{"containerID":0,"hostID":100000,"size":1000}]"#);
    }
    bundle.refuses("/proc in the container is not a procfs");
    assert_eq!(std::fs::read_to_string(&canary).unwrap(), "whole");
}
