//! An overlay of an image's layers below a container's own directory.

use crate::error::{Context, Error, Result};
use crate::kernel::{Feature, explain, lacks};
use crate::sys::{self, fs};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Mount `layers` (top first) on `target`, with changes going to `upper`. `work` is an empty
/// directory on the file system of `upper`.
///
/// mount(2) takes one page of options, which 30 absolute names of layers would fill. So the
/// layers are opened, and the options name them by their numbers in /proc/self/fd, the current
/// directory for the time of the call. That moves the whole process: the caller has one thread.
/// No name on the disk can spoil the options with a comma or a colon either.
///
/// Without layers `upper` is all there is, and is mounted as it is.
///
/// `volatile` is for an upper directory that nobody wants after this mount: nothing of it is
/// synced, neither by programs nor at the end (overlayfs.rst, "Volatile mount").
pub fn mount(
    layers: &[PathBuf],
    upper: &Path,
    work: &Path,
    target: &Path,
    volatile: bool,
) -> Result<()> {
    if layers.is_empty() {
        let tree = sys::mount::clone_tree(upper, false)?;
        return sys::mount::attach(&tree, fs::open_path(target)?, target.display());
    }
    let changes = Some((upper, work, volatile));
    mount_on(layers, changes, target)
}

/// The same without a directory for changes: to read only. Two layers at least.
pub fn mount_readonly(layers: &[PathBuf], target: &Path) -> Result<()> {
    mount_on(layers, None, target)
}

fn mount_on(
    layers: &[PathBuf],
    changes: Option<(&Path, &Path, bool)>,
    target: &Path,
) -> Result<()> {
    if layers.is_empty() {
        return Err(Error::invalid("an overlay needs at least one layer"));
    }
    let here = fs::open_path(Path::new("."))?;
    // The target may be named from here; its descriptor is good from anywhere.
    let on = fs::open_path(target)?;
    let lower = layers
        .iter()
        .map(|layer| fs::open_path(layer))
        .collect::<Result<Vec<OwnedFd>>>()?;
    let changes = match changes {
        Some((upper, work, volatile)) => {
            Some((fs::open_path(upper)?, fs::open_path(work)?, volatile))
        }
        None => None,
    };

    let options = options(&lower, changes.as_ref())?;
    let numbers = Path::new("/proc/self/fd");
    sys::process::change_dir(numbers)
        .map_err(|errno| sys::failed("chdir", "/proc/self/fd (is /proc mounted?)", errno))?;
    let on = PathBuf::from(on.as_raw_fd().to_string());
    // The kernel writes to `upper` as who has mounted it, and ext4 holds nobody to a quota who has this.
    let resource = sys::capability::bit("CAP_SYS_RESOURCE").unwrap_or(0);
    let mounted = sys::capability::without(resource, || sys::mount::overlay(&on, &options))
        .map_err(|error| explain(error, &[Errno::NODEV], &|| lacks(Feature::OverlayFs)))
        .context(|| format!("mount {} layers on {}", layers.len(), target.display()));
    let back = sys::process::change_dir_to(&here, Path::new("the former directory"));
    mounted.and(back)
}

/// Some kernels are built with the index on; with it a layer could not serve two containers
/// without a complaint (overlayfs.rst, "Sharing and copying layers").
fn options(lower: &[OwnedFd], changes: Option<&(OwnedFd, OwnedFd, bool)>) -> Result<CString> {
    let mut text = String::from("index=off,lowerdir=");
    for (n, layer) in lower.iter().enumerate() {
        if n > 0 {
            text.push(':');
        }
        text.push_str(&layer.as_raw_fd().to_string());
    }
    if let Some((upper, work, volatile)) = changes {
        text.push_str(",upperdir=");
        text.push_str(&upper.as_raw_fd().to_string());
        text.push_str(",workdir=");
        text.push_str(&work.as_raw_fd().to_string());
        if *volatile {
            text.push_str(",volatile");
        }
    }
    // The kernel would cut silently at a page.
    if text.len() >= 4096 {
        return Err(Error::invalid(format!(
            "an overlay of {} layers is more than the kernel takes",
            lower.len()
        )));
    }
    CString::new(text).map_err(|_| Error::invalid("overlay options"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::staging::Staging;

    /// A layer of an image is a directory of ours in a store with any name, hundreds of them.
    #[test]
    fn hundreds_of_layers_with_odd_names_fit_one_mount() {
        if !rustix::process::geteuid().is_root() {
            println!("skip: hundreds_of_layers_with_odd_names_fit_one_mount: needs root");
            return;
        }
        let dir = Staging::new(&std::env::temp_dir()).unwrap();
        let store = dir.path().join("a:b,c\\d".repeat(12));
        let mut layers = Vec::new();
        for n in 0..300 {
            let layer = store.join(format!("layer-{n}"));
            std::fs::create_dir_all(&layer).unwrap();
            std::fs::write(layer.join(format!("file-{n}")), "").unwrap();
            std::fs::write(layer.join("shared"), n.to_string()).unwrap();
            layers.insert(0, layer);
        }
        let [upper, work, target] = ["upper", "work", "target"].map(|name| {
            let path = store.join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        });
        // In a mount namespace of its own thread-wide: an unshare in a test thread stays there.
        // CLONE_FS comes with it, so that the chdir moves this thread alone.
        let found = std::thread::spawn(move || {
            sys::mount::private();
            let before = std::env::current_dir().unwrap();
            mount(&layers, &upper, &work, &target, false).unwrap();
            assert_eq!(std::env::current_dir().unwrap(), before);
            std::fs::write(target.join("shared"), "mine").unwrap();
            assert_eq!(std::fs::read(upper.join("shared")).unwrap(), b"mine");
            std::fs::read_dir(&target).unwrap().count()
        });
        assert_eq!(found.join().unwrap(), 301);
    }
}
