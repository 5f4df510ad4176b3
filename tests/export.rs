//! export: all files of a container as one archive.

use crate::harness::command::Output;
use crate::harness::rootfs::busybox_with;
use crate::harness::{Host, IMAGE, docker_client, skip};
use std::path::Path;
use std::process::Command;

/// What GNU tar makes of an archive: a line an entry, numbers for users.
fn listed(archive: &str) -> Vec<String> {
    let output = Command::new("tar")
        .args(["--numeric-owner", "-tvf", archive])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_string).collect()
}

/// Unpack with GNU tar, attributes included.
fn unpacked(host: &Host, archive: &str, name: &str) -> String {
    let dir = host.make_dir(name);
    let output = Command::new("tar")
        .args([
            "-C",
            &dir,
            "--numeric-owner",
            "--xattrs",
            "--xattrs-include=*",
            "-xpf",
        ])
        .arg(archive)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    dir
}

/// A line for all that there is to know about each file below `dir`.
fn picture(dir: &str) -> String {
    let script = "find . ! -name . -printf '%P %y %m %U:%G %s %T@ %l %n\\n' | sed 's/ d \\([^ ]*\\) \\([^ ]*\\) [0-9]*/ d \\1 \\2 -/' | sort; \
        find . -type f -exec sha256sum {} + | sort -k2; find . \\( -type b -o -type c \\) -exec stat -c '%n %t:%T' {} + | sort; \
        getfattr -R -h -d -m - -e hex . 2>/dev/null | grep -v overlay";
    let output = Command::new("sh")
        .args(["-c", script])
        .current_dir(dir)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

const MAKE: &str = "mkdir -p /t/dir; cd /t; echo one >one; ln one two; ln one dir/three; ln -s ../one dir/link; \
    ln -s /t/dir abs; mkfifo fifo; mknod null c 1 3; mknod disk b 8 17; : >empty; \
    dd if=/dev/zero of=big bs=1000 count=777 2>/dev/null; chmod 4711 big; chown 1234:5678 big; \
    n=$(printf %0120d 7); mkdir $n; echo x >$n/$n; echo y >'with space'; printf 'a\\nb' >'new\nline'; \
    chown 4000000000:3000000000 empty; touch -d '1960-01-02 03:04:05' old";

/// What is in a container comes out as it is, links, devices, big numbers and all.
#[test]
fn the_archive_holds_what_the_container_holds() {
    let host = Host::with_image("export");
    host.ok(&["run", "--name", "web", IMAGE, "sh", "-c", MAKE]);
    let archive = host.dir.join("out.tar").display().to_string();
    assert_eq!(
        host.tug(&["export", "-o", &archive, "web"]),
        Output::new(0, "", "")
    );
    let ours = unpacked(&host, &archive, "ours");

    // The same tree by GNU tar, of the overlay as we mount it ourselves.
    let id = host.inspect("web", "Id").trim_matches('"').to_string();
    let upper = host.data_root().join("containers").join(id).join("upper");
    let theirs = host.make_dir("theirs");
    let copied = Command::new("cp")
        .args(["-a"])
        .arg(upper.join("t"))
        .arg(Path::new(&theirs).join("t"))
        .output()
        .unwrap();
    assert!(copied.status.success(), "{copied:?}");
    assert_eq!(
        picture(&format!("{ours}/t")),
        picture(&format!("{theirs}/t"))
    );
    assert!(Path::new(&ours).join("bin/busybox").exists());

    // One container gives one archive; the names are sorted, and the mount points empty.
    let again = host.dir.join("again.tar").display().to_string();
    host.ok(&["container", "export", "--output", &again, "web"]);
    assert_eq!(
        std::fs::read(&archive).unwrap(),
        std::fs::read(&again).unwrap()
    );
    let names: Vec<String> = listed(&archive);
    assert!(names[0].ends_with(" bin/"), "{}", names[0]);
    let of = |dir: &str| names.iter().filter(|line| line.contains(dir)).count();
    assert_eq!((of(" proc/"), of(" sys/")), (1, 1));
}

#[test]
fn an_exported_container_can_be_imported_and_run() {
    let host = Host::with_image("export-import");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    host.ok(&["exec", "web", "sh", "-c", "echo kept >/kept; rm /etc/group"]);
    let file = host.dir.join("c.tar").display().to_string();
    // While it runs.
    host.ok(&["export", "-o", &file, "web"]);
    host.ok(&["import", &file, "again"]);
    assert_eq!(
        host.ok(&["run", "--rm", "again", "sh", "-c", "cat /kept; ls /etc"]),
        "kept\nhostname\nhosts\npasswd\nresolv.conf"
    );
}

#[test]
fn attributes_come_out_too() {
    let host = Host::new("export-attributes");
    host.import(
        "plain",
        &busybox_with(|archive| {
            archive.file("capable", 0o755, "");
        }),
    );
    host.ok(&["create", "--name", "web", "plain", "true"]);
    let id = host.inspect("web", "Id").trim_matches('"').to_string();
    let file = host
        .data_root()
        .join("containers")
        .join(id)
        .join("upper/marked");
    std::fs::write(&file, "x").unwrap();
    // VFS_CAP_REVISION_2 with cap_net_bind_service, as setcap writes it.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let set = |name: &str, value: &[u8]| {
        rustix::fs::setxattr(&file, name, value, rustix::fs::XattrFlags::empty()).unwrap();
    };
    set("security.capability", &capability);
    set("user.note", b"a\nb=c\0");
    let archive = host.dir.join("c.tar").display().to_string();
    host.ok(&["export", "-o", &archive, "web"]);
    let dir = unpacked(&host, &archive, "out");
    let mut buffer = [0u8; 64];
    let marked = Path::new(&dir).join("marked");
    let count = rustix::fs::getxattr(&marked, "security.capability", &mut buffer[..]).unwrap();
    assert_eq!(buffer[..count], capability);
    let count = rustix::fs::getxattr(&marked, "user.note", &mut buffer[..]).unwrap();
    assert_eq!(&buffer[..count], b"a\nb=c\0");
}

/// Deeper than any path the kernel takes, with more directories than an engine may have open.
#[test]
fn the_depth_of_a_tree_does_not_matter() {
    let host = Host::with_image("export-deep");
    let script =
        "i=0; while [ $i -lt 600 ]; do mkdir d && cd d || exit 1; i=$((i+1)); done; echo end >end";
    host.ok(&["run", "--name", "web", IMAGE, "sh", "-c", script]);
    let archive = host.dir.join("c.tar").display().to_string();
    host.ok(&["export", "-o", &archive, "web"]);
    let deepest = listed(&archive)
        .iter()
        .map(|line| line.matches("d/").count())
        .max();
    assert_eq!(deepest, Some(600));
}

#[test]
fn a_place_that_takes_no_file_is_refused() {
    let host = Host::with_image("export-refused");
    host.ok(&["create", "--name", "web", IMAGE, "true"]);
    let dir = host.make_dir("dir");
    for (path, sentence) in [
        (
            dir.as_str(),
            "failed to export container: cannot write to a directory",
        ),
        (
            "/dev/null",
            "failed to export container: cannot write to a character device file",
        ),
        (
            "/nonexistent/x",
            "failed to export container: invalid output path: stat /nonexistent: no such file or directory",
        ),
    ] {
        host.tug(&["export", "-o", path, "web"])
            .assert_refused(1, sentence);
    }
    let file = host.write("kept.tar", "before");
    host.tug(&["export", "-o", &file, "nope"])
        .assert_refused(1, "Error response from daemon: No such container: nope");
    assert_eq!(std::fs::read(&file).unwrap(), b"before");
    assert_eq!(
        std::fs::read_dir(&host.dir)
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().contains(".tmp-"))
            .count(),
        0
    );
}

#[test]
fn the_docker_client_exports_the_same_bytes() {
    if docker_client().is_none() {
        return skip("export: the docker client", "no docker client in PATH");
    }
    let host = Host::with_image("export-docker");
    host.ok(&["run", "--name", "web", IMAGE, "sh", "-c", MAKE]);
    let [ours, theirs] =
        ["ours.tar", "theirs.tar"].map(|name| host.dir.join(name).display().to_string());
    host.ok(&["export", "-o", &ours, "web"]);
    let output = host.docker(&["export", "-o", &theirs, "web"]).unwrap();
    assert_eq!(output, Output::new(0, "", ""));
    assert_eq!(std::fs::read(ours).unwrap(), std::fs::read(theirs).unwrap());
}
