use super::*;
use crate::image::erofs::{FIRST, ROOT, SECOND};
use crate::image::source::Input;
use crate::image::testing::{Tar, is_root, scratch, tree};
use crate::sys::fs::ModifiedAt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An EROFS in `dir` whose first directory has the layer `bytes`, as `layer/diff`.
fn image(dir: &Path, bytes: &[u8]) -> Result<PathBuf> {
    let mut writer = Writer::new(dir, ModifiedAt::default())?;
    let mut tree = Tree::new(Node::directory(0o700));
    let root = tree.add(0, b"diff", Node::directory(0o755))?;
    let mut from = bytes;
    let mut input = Input(&mut from);
    let mut archive = Archive::new(&mut input);
    Layer::new(&mut writer, &mut tree, root).all(&mut archive)?;
    let layer = writer.tree(&tree, FIRST)?;
    let format = writer.file(b"1\n")?;
    let format = writer.tree(&Tree::new(format), ROOT)?;
    let layers = vec![("layer".to_string(), layer, FileType::Directory)];
    let names = ["layers", "images"];
    writer.finish(names, [layers, Vec::new()], ("format", format), [7; 16])
}

/// What the kernel shows of the layer in an EROFS of ours; `None`, aloud, if it can't mount one.
fn shown_by_kernel(image: &Path) -> Option<Vec<String>> {
    let image = image.to_path_buf();
    let look = move || {
        crate::sys::mount::private();
        let place = image.with_file_name("mounted");
        std::fs::create_dir(&place).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "erofs", "-o", "loop,ro"]);
        let is_mounted = mount.arg(&image).arg(&place).status().unwrap().success();
        if !is_mounted {
            println!("skip: the kernel's EROFS: not in this kernel");
        }
        is_mounted.then(|| tree(&place.join("layers/layer/diff")))
    };
    std::thread::spawn(look).join().unwrap()
}

fn fsck(image: &Path, args: &[&str]) {
    let checked = Command::new("fsck.erofs").args(args).arg(image).output();
    let checked = checked.expect("fsck.erofs (erofs-utils) is missing");
    let said = String::from_utf8_lossy(&checked.stderr);
    let told = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{told}{said}");
    assert!(!told.contains("corrupt"), "{told}{said}");
}

/// A whiteout of ours has no time; in a directory it has the moment when it was made.
fn timeless(lines: Vec<String>) -> Vec<String> {
    let time = |line: String| match line.ends_with(" dev 0") {
        true => line
            .split(' ')
            .filter(|word| !word.contains('.'))
            .collect::<Vec<_>>()
            .join(" "),
        false => line,
    };
    lines.into_iter().map(time).collect()
}

/// What `unpack` has made of an archive in the directory `root` is what we make of it.
pub fn compare(bytes: &[u8], root: &Path, outcome: &Result<Unpacked>) {
    let dir = scratch();
    match (image(dir.path(), bytes), outcome) {
        (Ok(image), Ok(_)) => {
            fsck(&image, &[]);
            if let Some(shown) = shown_by_kernel(&image) {
                assert_eq!(timeless(shown), timeless(tree(root)));
            }
        }
        (Err(ours), Err(theirs)) => assert_eq!(ours.errno, theirs.errno, "{ours}, {theirs}"),
        (ours, theirs) => panic!("{ours:?}, but unpack: {theirs:?}"),
    }
}

#[test]
fn the_same_archive_gives_the_same_bytes() {
    let tar = Tar::new()
        .dir("d/")
        .file("d/.wh.x", "")
        .file("d/f", &"x".repeat(5000))
        .symlink("l", "d/f")
        .end();
    let make = || {
        let dir = scratch();
        std::fs::read(image(dir.path(), &tar).unwrap()).unwrap()
    };
    let once = make();
    assert_eq!(once.len() % 4096, 0);
    assert!(once == make());
}

#[test]
fn files_of_every_length_and_directories_of_every_size_are_whole() {
    let mut tar = Tar::new();
    for length in [
        0, 1, 31, 4031, 4032, 4033, 4095, 4096, 4097, 8191, 8192, 12_289, 70_000,
    ] {
        let content: String = ('a'..='z').cycle().take(length).collect();
        tar = tar.file(&format!("f{length}"), &content);
    }
    for (dir, count) in [("none", 0), ("one", 1), ("some", 60), ("many", 3000)] {
        tar = tar.dir(dir);
        for n in 0..count {
            tar = tar.file(&format!("{dir}/{}{n}", "!name-".repeat(n % 12)), "x");
        }
    }
    for length in [1, 99, 4030, 4031, 4032, 4095] {
        let target = "t".repeat(length);
        tar = tar.pax(&[("linkpath", target.as_bytes())]);
        tar = tar.symlink(&format!("link{length}"), "t");
    }
    let large = "v".repeat(3900);
    for (n, value) in ["", "1", &large].into_iter().enumerate() {
        let records: &[(&str, &[u8])] = &[
            ("SCHILY.xattr.user.a", value.as_bytes()),
            (
                "SCHILY.xattr.security.capability",
                b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            ),
        ];
        tar = tar.pax(records).file(&format!("attributes{n}"), "content");
    }
    let bytes = tar.end();
    let dir = scratch();
    let image = image(dir.path(), &bytes).unwrap();
    fsck(&image, &[]);
    if !is_root("files_of_every_length_and_directories_of_every_size_are_whole") {
        return;
    }

    // What the tools of the format's makers take out of it is what GNU tar takes out of the archive.
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
    fsck(&image, &[&format!("--extract={}", ours.display())]);
    std::fs::create_dir(&theirs).unwrap();
    std::fs::write(dir.path().join("tar"), &bytes).unwrap();
    let mut gnu = Command::new("tar");
    gnu.args(["--xattrs", "--xattrs-include=*", "-xpf"]);
    let gnu = gnu.arg(dir.path().join("tar")).arg("-C").arg(&theirs);
    assert!(gnu.status().unwrap().success());
    let extracted = tree(&ours.join("layers/layer/diff"));
    assert!(extracted.len() > 3080);
    // Attributes are beyond their older versions.
    let without = |line: String| {
        let end = [" security.", " user."].map(|key| line.find(key).unwrap_or(line.len()));
        line[..end[0].min(end[1])].to_string()
    };
    let gnu: Vec<String> = tree(&theirs).into_iter().map(without).collect();
    assert_eq!(extracted, gnu);
    if let Some(shown) = shown_by_kernel(&image) {
        assert_eq!(shown, tree(&theirs));
    }
}

#[test]
fn what_no_file_system_takes_is_refused() {
    let long = "n".repeat(256);
    for (tar, errno) in [
        (
            Tar::new().pax(&[("path", long.as_bytes())]).file("x", ""),
            Errno::NAMETOOLONG,
        ),
        (
            Tar::new()
                .pax(&[("linkpath", "t".repeat(4096).as_bytes())])
                .symlink("x", "t"),
            Errno::NAMETOOLONG,
        ),
        (
            Tar::new()
                .pax(&[("SCHILY.xattr.user.x", "v".repeat(65_536).as_bytes())])
                .file("x", "content"),
            Errno::TOOBIG,
        ),
    ] {
        let dir = scratch();
        let error = image(dir.path(), &tar.end()).unwrap_err();
        assert!(crate::sys::is(&error, errno), "{error}");
    }
    assert_ne!(SECOND, FIRST);
}

/// Larger than a block, which no disk file system here takes.
#[test]
fn a_large_attribute_goes_over_blocks() {
    if !is_root("a_large_attribute_goes_over_blocks") {
        return;
    }
    let dir = scratch();
    let value = vec![b'v'; 9000];
    let tar = Tar::new().pax(&[
        ("SCHILY.xattr.user.a", &value),
        ("SCHILY.xattr.user.b", b"b"),
    ]);
    let image = image(dir.path(), &tar.file("x", "content").end()).unwrap();
    fsck(&image, &[]);
    if let Some(shown) = shown_by_kernel(&image) {
        let expected = format!(" user.a={value:?} user.b=[98]");
        assert!(shown[0].ends_with(&expected), "{shown:?}");
    }
}
