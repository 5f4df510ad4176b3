//! What is mounted in the shim's mount namespace for the container to be bound from: the files of
//! another image, or a directory within a volume or an image.

use crate::error::{Context, Error, Result};
use crate::image::overlay;
use crate::json::value::json_struct;
use crate::shim::config::Config;
use crate::sys::{fs, mount, mountinfo};
use crate::volume::part;
use rustix::fs::FileType;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

json_struct! {
    #[derive(Clone, Debug, Default)]
    pub struct Part {
        /// Where the container sees it.
        pub destination: String,
        /// Where it is for the runtime, below the run directory; nothing is there yet.
        pub place: String,
        /// Directories that lie over each other, top first; of a volume its one.
        pub layers: Vec<String>,
        /// What is mounted of them, if not all.
        pub subpath: String,
    }
}

/// The caller has a mount namespace of its own.
pub fn mount_all(parts: &[Part]) -> Result<()> {
    parts
        .iter()
        .try_for_each(|part| mount_part(part).context(|| format!("mount {}", part.destination)))
}

/// Volumes that are mounted for other containers have come here with the rest of the host's mounts. As
/// long as we had them, nobody could let go of their devices and servers. Where the host's mounts are
/// shared they would go with the host's own; often they are not.
pub fn drop_others(config: &Config) {
    let Some(dir) = &config.volumes_dir else {
        return;
    };
    let own = config.volumes.as_deref().unwrap_or_default();
    let is_below = |point: &str, dir: &String| Path::new(point).starts_with(dir);
    // Those on top of others first.
    for mount in mountinfo::read().unwrap_or_default().iter().rev() {
        let point = mount.point.as_str();
        if is_below(point, dir) && !own.iter().any(|own| is_below(point, own)) {
            // What stays is no worse than without us.
            let _ = mount::detach(Path::new(point));
        }
    }
}

fn mount_part(wanted: &Part) -> Result<()> {
    let place = Path::new(&wanted.place);
    let layers: Vec<PathBuf> = wanted.layers.iter().map(PathBuf::from).collect();
    let tree = match &layers[..] {
        [] => return Err(Error::invalid("the image has no files")),
        [only] => clone_part(only, &wanted.subpath)?,
        layers => {
            make_dir(place)?;
            overlay::mount_readonly(layers, place)?;
            let tree = clone_part(place, &wanted.subpath);
            mount::detach(place)?;
            std::fs::remove_dir(place).map_err(|e| failed(place, &e))?;
            tree?
        }
    };
    let stat = fs::stat(tree.as_fd())?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => make_dir(place)?,
        _ => fs::write_private(place, b"")?,
    }
    mount::attach(&tree, fs::open_path(place)?, place.display())
}

fn clone_part(root: &Path, subpath: &str) -> Result<OwnedFd> {
    let found = part::open(root, subpath)?;
    mount::clone_tree_of(found, true, root.join(subpath).display())
}

fn make_dir(place: &Path) -> Result<()> {
    std::fs::create_dir(place).map_err(|e| failed(place, &e))
}

fn failed(place: &Path, error: &std::io::Error) -> Error {
    Error::io(format_args!("directory {}", place.display()), error)
}
