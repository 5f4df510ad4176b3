//! A directory or file within a volume or an image (`volume-subpath`, `image-subpath`).

use crate::error::{Error, Result};
use crate::sys::{failed, fs};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;

/// What `subpath` names below `root`, which nothing leads out of: containers that share a volume may
/// put a link in the way at any moment. Only named (O_PATH). The sentences are moby's
/// (volume/safepath).
pub fn open(root: &Path, subpath: &str) -> Result<OwnedFd> {
    let opened = fs::open_path(root)?;
    if subpath.is_empty() {
        return Ok(opened);
    }
    let path = root.join(subpath);
    match fs::open_beneath(&opened, Path::new(subpath), OFlags::PATH) {
        Ok(found) => Ok(found),
        Err(Errno::XDEV) => Err(Error::invalid(format!(
            "path concatenation escapes the base directory, base: {}, subpath: {subpath}",
            root.display()
        ))),
        Err(errno) => Err(failed("cannot access path", path.display(), errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::staging::Staging;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_lead_on_within_and_never_out() {
        let dir = Staging::new(&std::env::temp_dir()).unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("root/a/b")).unwrap();
        std::fs::create_dir(at("outside")).unwrap();
        for (link, target) in [
            ("root/in", "a/b"),
            ("root/up", "../outside"),
            ("root/abs", "/etc"),
            ("root/a/back", "../.."),
            ("root/loop", "loop"),
        ] {
            symlink(target, at(link)).unwrap();
        }
        let root = at("root");
        for good in ["a/b", "in", "a/../a/b", "./in/"] {
            let found = open(&root, good).unwrap();
            let expected = fs::open_path(&at("root/a/b")).unwrap();
            let stat = |fd: &OwnedFd| fs::stat(fd.as_fd()).unwrap();
            assert!(fs::is_same(&stat(&found), &stat(&expected)), "{good}");
        }
        for bad in ["up", "abs", "abs/passwd", "a/back", "../outside", "/etc"] {
            let error = open(&root, bad).unwrap_err();
            assert_eq!(
                error.message,
                format!(
                    "path concatenation escapes the base directory, base: {}, subpath: {bad}",
                    root.display()
                )
            );
        }
        for missing in ["x", "a/x", "loop"] {
            let error = open(&root, missing).unwrap_err();
            let start = format!("cannot access path {}/{missing}: ", root.display());
            assert!(error.message.starts_with(&start), "{error}");
        }
    }
}
