//! What an image has where a volume is mounted comes into the volume, whole or not at all.

use crate::harness::command::Output;
use crate::harness::rootfs::{Archive, busybox_with, docker_archive};
use crate::harness::{Chance, Host, IMAGE, PATIENCE, rounds};
use crate::power_loss;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn data(host: &Host, name: &str) -> PathBuf {
    host.data_root().join("volumes").join(name).join("_data")
}

fn sh(host: &Host, options: &[&str], script: &str) -> Output {
    let mut line = vec!["run", "--rm", "--network", "none"];
    line.extend(options);
    line.extend([IMAGE, "sh", "-c", script]);
    host.tug(&line)
}

/// An image with files below /srv, as one can have them.
fn image(host: &Host) {
    let root = host.dir.join("image");
    let at = |name: &str| root.join(name);
    std::fs::create_dir_all(at("srv/sub/deep")).unwrap();
    std::fs::create_dir(at("empty")).unwrap();
    std::fs::write(at("srv/file"), "content").unwrap();
    std::fs::hard_link(at("srv/file"), at("srv/sub/hard")).unwrap();
    symlink("/etc/passwd", at("srv/link")).unwrap();
    std::fs::write(at("srv/program"), "x").unwrap();
    let mode = |path: &str, mode| {
        std::fs::set_permissions(at(path), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    std::os::unix::fs::chown(at("srv/file"), Some(5), Some(6)).unwrap();
    std::os::unix::fs::chown(at("srv"), Some(7), Some(8)).unwrap();
    std::os::unix::fs::chown(at("empty"), Some(9), Some(10)).unwrap();
    mode("srv/program", 0o4755);
    mode("srv/sub", 0o1777);
    mode("srv", 0o2770);
    mode("empty", 0o700);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("srv/null"),
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::from_raw_mode(0o666),
        rustix::fs::makedev(1, 3),
    )
    .unwrap();
    for (path, name) in [("srv/file", "trusted.of"), ("srv", "trusted.root")] {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(at(path), name, b"value", flags).unwrap();
    }
    let tar = std::process::Command::new("tar")
        .args(["--xattrs", "--xattrs-include=*", "-cf", "-", "-C"])
        .arg(&root)
        .arg(".")
        .output()
        .unwrap();
    assert!(tar.status.success(), "{tar:?}");
    let layers = [busybox_with(|_| {}), tar.stdout];
    let archive = docker_archive(&format!("{IMAGE}:latest"), &layers, "{}");
    let loaded = host.tug_with_input(&["load", "-q"], &archive);
    assert_eq!(loaded.code, 0, "{loaded:?}");
}

fn check_copied(host: &Host, name: &str) {
    let root = data(host, name);
    let stat = |path: &str| root.join(path).symlink_metadata().unwrap();
    let of = |path: &str| {
        let stat = stat(path);
        (stat.mode() & 0o7777, stat.uid(), stat.gid())
    };
    assert_eq!(of(""), (0o2770, 7, 8));
    assert_eq!(of("file"), (0o644, 5, 6));
    assert_eq!(of("program"), (0o4755, 0, 0));
    assert_eq!(of("sub"), (0o1777, 0, 0));
    assert_eq!(
        std::fs::read_to_string(root.join("sub/hard")).unwrap(),
        "content"
    );
    assert_eq!(stat("sub/hard").ino(), stat("file").ino());
    assert_eq!(
        std::fs::read_link(root.join("link")).unwrap(),
        PathBuf::from("/etc/passwd")
    );
    assert!(stat("null").file_type().is_char_device());
    assert_eq!(stat("null").rdev(), rustix::fs::makedev(1, 3));
    for (path, name) in [("file", "trusted.of"), ("", "trusted.root")] {
        let mut value = [0u8; 8];
        let length = rustix::fs::getxattr(root.join(path), name, &mut value[..]).unwrap();
        assert_eq!(&value[..length], b"value", "{path}");
    }
}

#[test]
fn an_empty_volume_gets_what_the_image_has() {
    let host = Host::new("copyup");
    image(&host);
    host.ok(&[
        "create",
        "--name",
        "first",
        "-v",
        "full:/srv",
        "-v",
        "bare:/empty",
        "-v",
        "none:/nowhere",
        IMAGE,
        "true",
    ]);
    check_copied(&host, "full");
    let bare = data(&host, "bare").metadata().unwrap();
    assert_eq!(
        (bare.mode() & 0o7777, bare.uid(), bare.gid()),
        (0o700, 9, 10)
    );
    let none = data(&host, "none").metadata().unwrap();
    assert_eq!((none.mode() & 0o7777, none.uid()), (0o755, 0));
    assert!(
        !data(&host, "full")
            .parent()
            .unwrap()
            .join("filling")
            .exists()
    );

    // What is in it stays, and so does what was taken out of it while the container was there.
    std::fs::write(data(&host, "bare").join("mine"), "mine").unwrap();
    assert_eq!(sh(&host, &["-v", "bare:/srv"], "ls /srv").stdout, "mine\n");
    std::fs::remove_dir_all(data(&host, "full")).unwrap();
    std::fs::create_dir(data(&host, "full")).unwrap();
    host.ok(&["start", "-a", "first"]);
    assert_eq!(std::fs::read_dir(data(&host, "full")).unwrap().count(), 0);

    for options in [
        &["-v", "plain:/srv:nocopy"][..],
        &["--mount", "type=volume,src=plain,dst=/srv,volume-nocopy"],
    ] {
        assert_eq!(sh(&host, options, "ls /srv").stdout, "");
    }
    let output = sh(&host, &["-v", "file:/srv/file"], "true");
    assert!(
        output
            .stderr
            .contains("cannot mount volume over existing file, file exists /srv/file"),
        "{output:?}"
    );
}

#[test]
fn copies_of_images_serve_as_well_as_overlays() {
    let mut host = Host::without_engine("copyup-vfs");
    host.write("daemon.json", r#"{"storage-driver":"vfs"}"#);
    host.start_engine();
    image(&host);
    assert_eq!(sh(&host, &["-v", "full:/srv"], "true").code, 0);
    check_copied(&host, "full");
}

#[test]
fn links_of_the_image_lead_nowhere_but_into_the_image() {
    let host = Host::new("copyup-hostile");
    let tar = busybox_with(|archive| {
        archive
            .symlink("etc-link", "/etc")
            .symlink("up", "../../../../../../etc")
            .symlink("root", "/proc/1/root/etc")
            .symlink("loop", "loop");
    });
    let change = ["import", "-c", "VOLUME /etc-link /up", "-", IMAGE];
    let imported = host.tug_with_input(&change, &tar);
    assert_eq!(imported.code, 0, "{imported:?}");
    host.ok(&["create", "--name", "box", "-v", "root:/root", IMAGE, "true"]);
    for name in host.ok(&["volume", "ls", "-q"]).lines() {
        for secret in ["shadow", "passwd", "machine-id", "ssh"] {
            let path = data(&host, name).join(secret);
            let is_hosts = path.exists()
                && std::fs::read(&path).ok() == std::fs::read(format!("/etc/{secret}")).ok();
            assert!(!is_hosts, "{} is the host's", path.display());
        }
    }
    let output = host.tug(&["create", "-v", "x1:/loop", IMAGE, "true"]);
    assert_ne!(output.code, 0, "{output:?}");
    host.ok(&["rm", "-v", "box"]);
}

/// Killed at any moment of a create: the volume is empty or whole, and the next container has it whole.
#[test]
fn a_kill_at_any_moment_leaves_a_volume_empty_or_whole() {
    const FILES: usize = 400;
    let mut host = Host::new("copyup-kill");
    let tar = busybox_with(|archive: &mut Archive| {
        archive.dir("srv/", 0o755);
        for n in 0..FILES {
            archive.file(&format!("srv/{n}"), 0o644, format!("{n} ").repeat(500));
        }
    });
    host.import(IMAGE, &tar);
    let create = ["create", "--name", "box", "-v", "data:/srv", IMAGE, "true"];
    let count = |host: &Host| std::fs::read_dir(data(host, "data")).map_or(0, Iterator::count);
    let begin = Instant::now();
    host.ok(&create);
    let took = u64::try_from(begin.elapsed().as_micros()).unwrap();
    let mut chance = Chance::new();
    let (mut empty, mut whole) = (0, 0);
    for round in 0..rounds(10, 200) {
        host.ok(&["rm", "-f", "box"]);
        host.ok(&["volume", "rm", "-f", "data"]);
        let mut client = host.spawn(&create);
        std::thread::sleep(Duration::from_micros(chance.below(took * 5 / 4)));
        host.kill_engine();
        client.wait(PATIENCE);
        host.start_engine();
        let has = match count(&host) {
            0 => &mut empty,
            FILES => &mut whole,
            other => panic!("round {round}: {other} of {FILES} files"),
        };
        *has += 1;
        let half: Vec<String> = std::fs::read_dir(host.data_root().join("volumes"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "data")
            .collect();
        assert_eq!(half, [""; 0]);
        // A container that is there has its volume.
        if host.tug(&["inspect", "box"]).code == 0 {
            assert_eq!(count(&host), FILES, "round {round}");
        } else {
            host.ok(&create);
            assert_eq!(count(&host), FILES, "round {round}");
        }
    }
    println!("after the kill {whole} were whole and {empty} empty");
}

/// The same for the power: what no sync has put on the disk is gone.
#[test]
fn a_power_cut_at_any_moment_leaves_a_volume_empty_or_whole() {
    const FILES: usize = 300;
    let Some(mut host) = power_loss::host("copyup-power") else {
        return;
    };
    let content = |n: usize| format!("{n} ").repeat(200);
    let tar = busybox_with(|archive: &mut Archive| {
        archive.dir("srv/", 0o751);
        for n in 0..FILES {
            archive.file(&format!("srv/{n}"), 0o644, content(n));
        }
    });
    host.import(IMAGE, &tar);
    let create = ["create", "--name", "box", "-v", "data:/srv", IMAGE, "true"];
    let data = |host: &Host| power_loss::store(host).join("volumes/data/_data");
    let begin = Instant::now();
    host.ok(&create);
    let took = u64::try_from(begin.elapsed().as_micros()).unwrap();
    let mut chance = Chance::new();
    for round in 0..rounds(6, 200) {
        host.ok(&["rm", "-f", "box"]);
        host.ok(&["volume", "rm", "-f", "data"]);
        let mut client = host.spawn(&create);
        std::thread::sleep(Duration::from_micros(chance.below(took * 5 / 4)));
        power_loss::cut_power(&mut host);
        client.wait(PATIENCE);
        power_loss::power_on(&mut host);
        let count = std::fs::read_dir(data(&host)).map_or(0, Iterator::count);
        assert!(matches!(count, 0 | FILES), "round {round}: {count} files");
        if host.tug(&["inspect", "box"]).code != 0 {
            host.ok(&create);
        }
        for n in 0..FILES {
            let found = std::fs::read_to_string(data(&host).join(n.to_string()));
            assert_eq!(found.ok(), Some(content(n)), "round {round}");
        }
        assert_eq!(data(&host).metadata().unwrap().mode() & 0o7777, 0o751);
    }
}
