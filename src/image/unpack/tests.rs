use super::*;
use crate::image::source::Input;
use crate::image::testing::{Tar, attributes, is_root, is_whiteout, names, scratch, tree};
use crate::store::staging::Staging;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

/// `root` to unpack into, and beside it a canary that must not change.
pub struct Cage {
    dir: Staging,
    before: Vec<String>,
}

impl Cage {
    pub fn new() -> Cage {
        let dir = scratch();
        let canary = dir.path().join("canary");
        std::fs::create_dir_all(canary.join("dir")).unwrap();
        std::fs::write(canary.join("file"), "alive").unwrap();
        std::fs::write(canary.join("dir/file"), "alive").unwrap();
        std::fs::create_dir(dir.path().join("root")).unwrap();
        let before = tree(&canary);
        Cage { dir, before }
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn unpack(&self, tar: Tar) -> Result<Unpacked> {
        let bytes = tar.end();
        let outcome = self.unpack_here(&bytes);
        crate::image::lay::tests::compare(&bytes, &self.root(), &outcome);
        outcome
    }

    /// Into the root alone, not into an EROFS as well: at the limits each has its own.
    pub fn unpack_here(&self, mut bytes: &[u8]) -> Result<Unpacked> {
        unpack(&self.root(), &mut Archive::new(&mut Input(&mut bytes)))
    }

    /// Nothing outside has changed, and nothing new is there.
    pub fn check(&self, what: &str) {
        assert_eq!(tree(&self.dir.path().join("canary")), self.before, "{what}");
        let mut names: Vec<_> = std::fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["canary", "root"], "{what}");
    }
}

fn unpacked(tar: Tar) -> Cage {
    let cage = Cage::new();
    cage.unpack(tar).unwrap();
    cage
}

/// GNU tar cuts the name in the header after 100 bytes, which may be behind a slash.
#[test]
fn a_file_with_a_long_name_is_none_of_its_directories() {
    if !is_root("a_file_with_a_long_name_is_none_of_its_directories") {
        return;
    }
    let dir = format!("{}/", "d".repeat(99));
    let cage = unpacked(
        Tar::new()
            .entry(b'L', "././@LongLink", "", format!("{dir}file\0").as_bytes())
            .file(&dir, "content")
            .file("next", "more"),
    );
    let read = |path: &str| std::fs::read_to_string(cage.root().join(path)).unwrap();
    assert_eq!(read(&format!("{dir}file")), "content");
    assert_eq!(read("next"), "more");
}

/// An archive made with the path of the canary.
type Attack<'a> = &'a dyn Fn(Tar, &str) -> Tar;

/// Behaviours after containerd's TestBreakouts and the advisories of other unpackers.
#[test]
fn nothing_gets_out_of_the_root() {
    if !is_root("nothing_gets_out_of_the_root") {
        return;
    }
    let cases: Vec<(&str, Attack)> = vec![
        ("path up and out", &|t, _| t.file("../canary/new", "x")),
        ("path up, much too far", &|t, c| {
            t.file(&format!("../../../../../../../..{c}/new"), "x")
        }),
        ("absolute path", &|t, c| t.file(&format!("{c}/new"), "x")),
        ("up from within", &|t, _| {
            t.dir("a").file("a/../../canary/new", "x")
        }),
        ("symlink absolute", &|t, c| {
            t.symlink("l", c).file("l/new", "x")
        }),
        ("symlink up and out", &|t, _| {
            t.symlink("l", "../canary").file("l/new", "x")
        }),
        ("symlink to the file", &|t, c| {
            t.symlink("l", &format!("{c}/file")).file("l", "x")
        }),
        ("two symlinks", &|t, _| {
            t.symlink("a", "..")
                .symlink("b", "a/canary")
                .file("b/new", "x")
        }),
        ("three symlinks", &|t, _| {
            t.dir("d")
                .symlink("d/up", "..")
                .symlink("d/up/up2", "..")
                .file("d/up/up2/canary/new", "x")
        }),
        ("symlink with a slash at its end", &|t, c| {
            t.symlink("l/", c).file("l/new", "x")
        }),
        ("symlink to a directory that is missing", &|t, c| {
            t.symlink("l", &format!("{c}/missing")).file("l/new", "x")
        }),
        ("symlink loop", &|t, _| {
            t.symlink("a", "b").symlink("b", "a").file("a/x", "x")
        }),
        ("symlink through /proc", &|t, _| {
            t.symlink("l", "/proc/self/cwd").file("l/new", "x")
        }),
        ("directory over symlink, its mode", &|t, c| {
            t.symlink("l", c)
                .with_mode(0o777)
                .entry(b'5', "l", "", b"")
                .file("l/new", "x")
        }),
        ("symlink mode", &|t, c| {
            t.with_mode(0o777).symlink("l", &format!("{c}/file"))
        }),
        ("directory through symlink, its mode", &|t, _| {
            t.symlink("l", "../canary")
                .with_mode(0o777)
                .entry(b'5', "l/dir", "", b"")
        }),
        ("hard link up and out", &|t, _| {
            t.hard("l", "../canary/file")
        }),
        ("hard link absolute", &|t, c| {
            t.hard("l", &format!("{c}/file"))
        }),
        ("hard link and write", &|t, c| {
            t.hard("l", &format!("{c}/file")).file("l", "x")
        }),
        ("hard link from within", &|t, _| {
            t.hard("l", "../root/../canary/file")
        }),
        ("hard link through a symlink", &|t, _| {
            t.symlink("s", "../canary").hard("l", "s/file")
        }),
        ("hard link through an absolute symlink", &|t, c| {
            t.symlink("s", c).hard("l", "s/file").file("l", "x")
        }),
        ("hard link to a symlink, then written", &|t, c| {
            t.symlink("s", &format!("{c}/file"))
                .hard("l", "s")
                .file("l", "x")
        }),
        ("hard link to a symlink, its mode", &|t, c| {
            t.symlink("s", &format!("{c}/file"))
                .with_mode(0o777)
                .hard("l", "s")
        }),
        ("hard link to a directory", &|t, _| {
            t.hard("l", "../canary/dir")
        }),
        (
            "hard link in the current directory of the engine",
            &|t, _| t.hard("l", "Cargo.toml"),
        ),
        ("whiteout of the root's parent", &|t, _| {
            t.file(".wh...", "")
        }),
        ("whiteout of the root", &|t, _| t.file(".wh..", "")),
        ("whiteout of nothing", &|t, _| t.file(".wh.", "")),
        ("whiteout up and out", &|t, _| {
            t.file("../canary/.wh.file", "")
        }),
        ("whiteout through a symlink", &|t, c| {
            t.symlink("l", c).file("l/.wh.file", "")
        }),
        ("whiteout of a symlink's parent", &|t, _| {
            t.symlink("l", "../canary").file("l/.wh.dir", "")
        }),
        ("opaque through a symlink", &|t, c| {
            t.symlink("l", c).file("l/.wh..wh..opq", "")
        }),
        ("opaque up and out", &|t, _| {
            t.file("../canary/.wh..wh..opq", "")
        }),
        ("fifo over symlink", &|t, c| {
            t.symlink("l", &format!("{c}/file"))
                .with_mode(0o777)
                .entry(b'6', "l", "", b"")
        }),
        ("file replaced while a symlink leads to it", &|t, _| {
            t.symlink("a", "../canary/dir").dir("a").file("a/file", "x")
        }),
        ("symlink with an empty target", &|t, _| {
            t.symlink("l", "").file("l/new", "x")
        }),
        ("file with an empty name", &|t, _| t.file("", "x")),
        ("symlink over a directory, then through it", &|t, c| {
            t.dir("l")
                .file("l/old", "x")
                .symlink("l", c)
                .file("l/new", "x")
        }),
        ("symlink over a directory with a slash", &|t, c| {
            t.dir("l/").symlink("l/", c).file("l/file", "x")
        }),
        ("symlink over a file, then written", &|t, c| {
            t.file("l", "x")
                .symlink("l", &format!("{c}/file"))
                .file("l", "x")
        }),
        ("symlink to a parent, then a directory below", &|t, _| {
            t.symlink("l", "..")
                .dir("l/canary")
                .file("l/canary/new", "x")
        }),
        (
            "hard link to a symlink before its target is made",
            &|t, c| {
                t.symlink("s", &format!("{c}/new"))
                    .hard("l", "s")
                    .file("l/x", "x")
                    .file("s", "x")
            },
        ),
        ("hard link down and out", &|t, _| {
            t.dir("a").hard("l", "a/../../canary/file")
        }),
        ("hard link to a device that is none of ours", &|t, _| {
            t.hard("l", "/dev/null")
        }),
        ("whiteout of the current directory", &|t, _| {
            t.dir("d").file("d/.wh..", "")
        }),
        ("whiteout of a parent from within", &|t, _| {
            t.dir("d").file("d/.wh...", "")
        }),
        ("whiteout with a name of a path", &|t, _| {
            t.file(".wh.../canary", "").file(".wh.canary/../x", "")
        }),
        ("whiteout that is a directory", &|t, _| {
            t.dir("../canary/.wh.dir").dir(".wh.x")
        }),
        ("whiteout below a dead symlink", &|t, c| {
            t.symlink("l", &format!("{c}/nothing"))
                .file("l/.wh.file", "")
        }),
        ("whiteout that is a symlink", &|t, c| {
            t.symlink(".wh.x", c).file(".wh.x/new", "x")
        }),
        (
            "late symlink: a parent is replaced after it was used",
            &|t, c| {
                t.dir("d")
                    .file("d/one", "x")
                    .symlink("d", c)
                    .file("d/two", "x")
                    .dir("d/dir")
            },
        ),
        ("attribute on a symlink", &|t, c| {
            t.pax(&[("SCHILY.xattr.trusted.x", b"1")])
                .symlink("l", &format!("{c}/file"))
        }),
    ];
    for (what, case) in cases {
        let cage = Cage::new();
        let canary = cage.dir.path().join("canary").display().to_string();
        // A refusal is as good as a confinement.
        let _ = cage.unpack(case(Tar::new(), &canary));
        cage.check(what);
        // Nothing in the root is a second name of something outside, either.
        for path in [cage.root().join("l"), cage.root().join("s")] {
            if let Ok(meta) = std::fs::symlink_metadata(path) {
                assert!(meta.nlink() < 3, "{what}");
            }
        }
    }
    // Ours is the current directory with a Cargo.toml.
    assert_eq!(std::fs::metadata("Cargo.toml").unwrap().nlink(), 1);
}

/// What real images have, and what hardened unpackers have refused by mistake.
#[test]
fn links_mean_what_they_mean_in_a_container() {
    let read = |cage: &Cage, path: &str| std::fs::read_to_string(cage.root().join(path)).unwrap();

    let cage = unpacked(Tar::new().file("usr/bin/a", "x").hard("b", "/usr/bin/a"));
    assert_eq!(read(&cage, "b"), "x");
    assert_eq!(cage.root().join("b").metadata().unwrap().nlink(), 2);

    let var_run = Tar::new().dir("run").dir("var").symlink("var/run", "/run");
    let cage = unpacked(var_run.file("var/run/pid", "1").hard("x", "var/run/pid"));
    assert_eq!(
        names(&cage.root()),
        ["run", "run/pid", "var", "var/run", "x"]
    );
    assert_eq!(read(&cage, "x"), "1");

    // The link comes before what it leads to.
    let cage = unpacked(
        Tar::new()
            .symlink("var/run", "/run")
            .file("var/run/a/b", "1"),
    );
    assert_eq!(
        names(&cage.root()),
        ["run", "run/a", "run/a/b", "var", "var/run"]
    );

    let cage = unpacked(
        Tar::new()
            .symlink("a/up", "../../../b/./c/..")
            .file("a/up/x", "1"),
    );
    assert_eq!(names(&cage.root()), ["a", "a/up", "b", "b/c", "b/x"]);

    // An absolute name, and one with dots, lie in the root.
    let cage = unpacked(Tar::new().file("/etc/passwd", "a").file("./etc/../x", "b"));
    assert_eq!(names(&cage.root()), ["etc", "etc/passwd", "x"]);
}

#[test]
fn the_later_entry_wins() {
    let cage = unpacked(
        Tar::new()
            .file("twice", "old")
            .file("twice", "new")
            .dir("a")
            .file("a/b/c", "x")
            .file("a", "now a file")
            .file("d", "x")
            .dir("d")
            .file("d/e", "x")
            .symlink("s", "a")
            .dir("s")
            .file("s/f", "x")
            .file("t", "x")
            .symlink("t", "a")
            .dir("kept")
            .file("kept/x", "x")
            .with_mode(0o700)
            .entry(b'5', "kept", "", b"")
            .hard("same", "twice")
            .hard("same", "same"),
    );
    assert_eq!(
        names(&cage.root()),
        [
            "a", "d", "d/e", "kept", "kept/x", "s", "s/f", "same", "t", "twice"
        ]
    );
    let root = cage.root();
    assert_eq!(std::fs::read(root.join("twice")).unwrap(), b"new");
    assert_eq!(root.join("t").read_link().unwrap(), Path::new("a"));
    let mode = root.join("kept").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
    // The root's own entry is the mounter's business.
    let cage = unpacked(
        Tar::new()
            .with_mode(0)
            .entry(b'5', "./", "", b"")
            .file(".", "x"),
    );
    assert!(names(&cage.root()).is_empty());
}

#[test]
fn whiteouts_are_made_as_overlayfs_wants_them() {
    if !is_root("whiteouts_are_made_as_overlayfs_wants_them") {
        return;
    }
    let opaque =
        |path: &Path| attributes(path).get("trusted.overlay.opaque") == Some(&b"y".to_vec());
    let cage = unpacked(
        Tar::new()
            .file(".wh.gone", "")
            .file("a/.wh.b", "")
            .dir("o")
            .file("o/.wh..wh..opq", "")
            .file("o/new", "x")
            // The layer's own come back, before or after.
            .file("file", "x")
            .file(".wh.file", "")
            .file(".wh.file2", "")
            .file("file2", "x")
            .dir("dir")
            .file("dir/x", "x")
            .file(".wh.dir", "")
            .file(".wh.dir2", "")
            .dir("dir2")
            .file("dir2/x", "x")
            .file(".wh.twice", "")
            .file(".wh.twice", "")
            .file(".wh..wh.plnk/123", "x")
            .file(".wh..wh.aufs", "x"),
    );
    let root = cage.root();
    assert_eq!(
        names(&root),
        [
            "a", "a/b", "dir", "dir/x", "dir2", "dir2/x", "file", "file2", "gone", "o", "o/new",
            "twice"
        ]
    );
    for name in ["gone", "a/b", "twice"] {
        assert!(is_whiteout(&root.join(name)), "{name}");
    }
    for (name, expected) in [("o", true), ("dir", true), ("dir2", true), ("a", false)] {
        assert_eq!(opaque(&root.join(name)), expected, "{name}");
    }
}

#[test]
fn an_image_can_not_steer_overlayfs() {
    let cage = unpacked(
        Tar::new()
            .pax(&[
                ("SCHILY.xattr.trusted.overlay.redirect", b"/../../etc"),
                ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
                ("SCHILY.xattr.user.overlay.opaque", b"y"),
                ("SCHILY.xattr.user.mine", b"a\nb"),
            ])
            .dir("d"),
    );
    let found = attributes(&cage.root().join("d"));
    assert_eq!(
        found.into_iter().collect::<Vec<_>>(),
        [("user.mine".into(), b"a\nb".to_vec())]
    );
}

#[test]
fn numbers_that_the_kernel_does_not_have_are_refused() {
    let device = |major: &str, minor: &str| {
        Cage::new().unpack(Tar::new().header(b'3', b"d", "", b"", [major, minor]))
    };
    for (major, minor) in [
        ("0010000", "0"),
        ("0", "4000000"),
        ("\u{7f}", "0"),
        ("-1", "0"),
    ] {
        let error = device(major, minor).unwrap_err();
        assert!(
            error.message.contains("out of range") || error.message.contains("invalid tar header"),
            "{}",
            error.message
        );
    }
    for id in ["4294967295", "4294967296", "9223372036854775807"] {
        let tar = Tar::new().pax(&[("uid", id.as_bytes())]).file("f", "");
        let error = Cage::new().unpack(tar).unwrap_err();
        assert_eq!(
            error.message,
            format!("unpack f: user or group {id} is out of range")
        );
    }
}

#[test]
fn a_failure_names_the_entry() {
    let message = |tar: Tar| Cage::new().unpack(tar).unwrap_err().to_string();
    assert_eq!(
        message(Tar::new().hard("b", "missing/a")),
        "unpack b: link to missing/a: open in root ./missing: No such file or directory (os error 2)"
    );
    assert_eq!(
        message(Tar::new().file("f", "").file("f/g\n", "")),
        "unpack f/g?: open in root ./f: Not a directory (os error 20)"
    );
    assert_eq!(
        message(Tar::new().entry(b'D', "dump", "", b"")),
        "read archive: dump: tar entry of type 'D' is not supported"
    );
}

/// Everything that a file system can hold, packed by GNU tar in each of its formats.
#[test]
fn a_tree_comes_out_as_gnu_tar_unpacks_it() {
    if !is_root("a_tree_comes_out_as_gnu_tar_unpacks_it") {
        return;
    }
    let dir = scratch();
    let from = dir.path().join("from");
    make_everything(&from);
    for options in [
        &["--format=gnu"][..],
        &["--format=gnu", "--sparse"],
        &["--format=posix", "--xattrs", "--xattrs-include=*"],
        &["--format=posix", "--sparse", "--sparse-version=0.1"],
        &["--format=posix", "--sparse", "--sparse-version=1.0"],
        &["--format=oldgnu", "--numeric-owner"],
    ] {
        let tar = dir.path().join("tar");
        let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
        std::fs::create_dir(&ours).unwrap();
        std::fs::create_dir(&theirs).unwrap();
        let run = |command: &mut Command| assert!(command.status().unwrap().success());
        run(Command::new("tar")
            .args(options)
            .arg("-C")
            .arg(&from)
            .arg("-cf")
            .arg(&tar)
            .arg("."));
        let xattrs = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"];
        run(Command::new("tar")
            .arg("-C")
            .arg(&theirs)
            .args(xattrs)
            .arg(&tar));

        let mut file = std::fs::File::open(&tar).unwrap();
        let mut input = Input(&mut file);
        let mut archive = Archive::new(&mut input);
        unpack(&ours, &mut archive).unwrap();
        assert!(archive.has_end());
        let (ours_tree, theirs_tree) = (tree(&ours), tree(&theirs));
        assert!(ours_tree.len() > 40);
        for (a, b) in ours_tree.iter().zip(&theirs_tree) {
            assert_eq!(a, b, "{options:?}");
        }
        assert_eq!(ours_tree.len(), theirs_tree.len());
        if options.contains(&"--sparse") {
            let blocks = ours.join("sparse").metadata().unwrap().blocks();
            assert!(blocks < 1000, "{blocks} blocks of a sparse file");
        }
        tree::remove(&ours).unwrap();
        tree::remove(&theirs).unwrap();
    }
}

fn make_everything(from: &Path) {
    use rustix::fs::{CWD, Gid, Mode, Uid, XattrFlags};
    let long = "long-directory-name-".repeat(5);
    std::fs::create_dir_all(from.join(&long).join(&long).join(&long)).unwrap();
    let write = |name: &str, size: usize, mode: u32| {
        let path = from.join(name);
        std::fs::write(&path, "0123456789".repeat(size / 10)).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path
    };
    write(&format!("{long}/{long}/{long}/{long}"), 100, 0o644);
    write(&"n".repeat(255), 10, 0o600);
    write(&"n".repeat(100), 10, 0o600);
    for n in 0..20 {
        write(&format!("file-{n}"), n * 20_000 + n * 10, 0o644);
    }
    write("odd\nname \u{e4}\u{1F980}\\\"'", 10, 0o644);
    write("setuid", 10, 0o6755);
    write("closed", 10, 0o000);
    let owned = write("owned", 10, 0o4711);
    let ids = (
        Some(Uid::from_raw(u32::MAX - 1)),
        Some(Gid::from_raw(1_000_000)),
    );
    rustix::fs::chown(&owned, ids.0, ids.1).unwrap();
    rustix::fs::chmod(&owned, Mode::from_raw_mode(0o4711)).unwrap();
    std::fs::hard_link(&owned, from.join("second-name")).unwrap();

    let capable = write("capable", 10, 0o755);
    // VFS_CAP_REVISION_2 with cap_dac_override and cap_fowner: a newline in the middle.
    let capability = [
        1, 0, 0, 2, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let set = |path: &Path, name: &str, value: &[u8]| {
        rustix::fs::setxattr(path, name, value, XattrFlags::empty()).unwrap();
    };
    set(&capable, "security.capability", &capability);
    set(&capable, "user.binary", b"\0\n=\xff");
    set(&from.join(&long), "user.dir", b"value");

    symlink("/etc/passwd", from.join("absolute")).unwrap();
    symlink("../../nowhere", from.join("dangling")).unwrap();
    symlink("t/".repeat(120), from.join("long-link")).unwrap();
    std::fs::create_dir(from.join("sticky")).unwrap();
    std::fs::set_permissions(from.join("sticky"), PermissionsExt::from_mode(0o3777)).unwrap();
    std::fs::create_dir(from.join("sealed")).unwrap();
    std::fs::write(from.join("sealed/in"), "x").unwrap();
    std::fs::set_permissions(from.join("sealed"), PermissionsExt::from_mode(0o000)).unwrap();
    let node = |name: &str, kind, device| {
        let mode = Mode::from_raw_mode(0o622);
        rustix::fs::mknodat(CWD, from.join(name), kind, mode, device).unwrap();
    };
    node("fifo", FileType::Fifo, 0);
    node("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    node("loop", FileType::BlockDevice, rustix::fs::makedev(7, 1000));

    let sparse = std::fs::File::create(from.join("sparse")).unwrap();
    for n in [0u64, 1, 2] {
        fs::write_at(sparse.as_fd(), b"data", n << 19).unwrap();
    }
    for n in 25..60 {
        fs::write_at(sparse.as_fd(), b"more", n << 16).unwrap();
    }
    fs::set_length(sparse.as_fd(), 4 << 20).unwrap();

    // Times last: far ahead, before 1970, with and without a fraction, also on directories.
    for (name, seconds) in [
        ("file-1", 4_000_000_000),
        ("file-2", -1000),
        ("sticky", 1),
        ("dangling", 7),
    ] {
        let at = ModifiedAt { seconds, nanos: 0 };
        let dir = fs::open_dir(from).unwrap();
        fs::set_modified_at(dir.as_fd(), Path::new(name), at).unwrap();
    }
}

/// Whatever bytes come, it ends with an answer, and inside.
#[test]
fn no_damage_to_an_archive_does_damage() {
    if !is_root("no_damage_to_an_archive_does_damage") {
        return;
    }
    let canary = "../canary";
    let good = Tar::new()
        .dir("d")
        .file("d/f", &"x".repeat(700))
        .symlink("l", canary)
        .file("l/y", "z")
        .pax(&[
            ("path", b"l/x"),
            ("size", b"3"),
            ("SCHILY.xattr.user.a", b"b"),
        ])
        .file("p", "abc")
        .entry(b'L', "long", "", b"d/long\0")
        .file("q", "")
        .hard("h", "d/f")
        .file("d/.wh.x", "")
        .end();
    let cage = Cage::new();
    let mut state = 7u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize
    };
    for round in 0..3000 {
        let mut bytes = good.clone();
        for _ in 0..1 + round % 3 {
            let at = random() % bytes.len();
            bytes[at] = [0, b'/', b'.', b'0', b'7', 0xff, b'x', random() as u8][random() % 8];
        }
        // With right checksums, or hardly anything would get through.
        for block in bytes.chunks_exact_mut(512) {
            if block[257..262] == *b"ustar" {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        bytes.truncate(bytes.len() - random() % 600);
        let mut bytes = &bytes[..];
        let _ = unpack(&cage.root(), &mut Archive::new(&mut Input(&mut bytes)));
        if round % 50 == 0 {
            cage.check("damage");
            tree::remove(&cage.root()).unwrap();
            std::fs::create_dir(cage.root()).unwrap();
        }
    }
    cage.check("damage");
}

#[test]
fn declared_sizes_cost_no_memory() {
    // A name of 2 GiB, a PAX header of 2 GiB, a file of 8 EiB; then the archive ends.
    for (kind, size) in [
        (b'L', "17777777777"),
        (b'x', "17777777777"),
        (b'0', "77777777777"),
    ] {
        let mut bytes = Tar::new().entry(kind, "f", "", b"").without_end();
        bytes[124..135].copy_from_slice(size.as_bytes());
        bytes[148..156].fill(b' ');
        let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let mut bytes = &bytes[..];
        let cage = Cage::new();
        let error = unpack(&cage.root(), &mut Archive::new(&mut Input(&mut bytes))).unwrap_err();
        assert!(
            error.message.ends_with("larger than 1 MiB")
                || error.message.ends_with("unexpected end of archive"),
            "{}",
            error.message
        );
    }
}
