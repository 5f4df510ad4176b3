//! An image for those who look at it without the engine: its files on a directory of the host, and
//! its documents and layers by their digests.

use crate::error::{Context, Error, Result};
use crate::id;
use crate::image::rebuild::Rebuild;
use crate::image::source::{self, Stream, sha256};
use crate::image::{Images, overlay};
use crate::json::node::Node;
use crate::store::record;
use crate::sys::mount::{self, Attributes};
use crate::sys::{failed, fs};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountPropagationFlags};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;

/// The manifest that an image came with, the exact bytes.
const SOURCE: &str = "source.json";

/// Nobody writes, and what an image holds acts on no host: no device opens, no program gains rights.
const SAFE: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOSUID);

impl Images {
    /// Mount the image's files on `target`, to read, until somebody unmounts them. Nobody keeps
    /// record of it.
    pub fn mount(&self, name: &str, target: &Path) -> Result<()> {
        let layers = self.lower_dirs(name)?;
        let mounted = match &layers[..] {
            // Overlayfs wants two; one can be seen as it is.
            [only] => mount::clone_tree(only, false)
                .and_then(|tree| mount::attach(&tree, fs::open_path(target)?, target.display())),
            layers => overlay::mount_readonly(layers, target),
        };
        mounted.context(|| format!("mount {name}"))?;

        let tree = fs::open_path(target)?;
        let safe = Attributes {
            set: SAFE,
            ..Attributes::default()
        };
        let private = MountPropagationFlags::PRIVATE;
        let set = match mount::set_attributes(&tree, safe, private) {
            // Linux before 5.12.
            Err(Errno::NOSYS) => mount::remount(tree.as_fd(), safe),
            set => set,
        };
        drop(tree);
        set.map_err(|errno| {
            // Not as it should be: better not at all.
            let _ = mount::unmount(target);
            failed("mount_setattr", target.display(), errno)
        })
    }

    /// The manifest that an image was pulled or loaded with: media type, digest, bytes.
    pub fn source(&self, id: &str) -> Option<(String, String, Vec<u8>)> {
        let digits = id.strip_prefix("sha256:").unwrap_or(id);
        let bytes = record::load(&self.image_dir(digits), SOURCE).ok()??;
        let text = String::from_utf8(bytes).ok()?;
        let media_type = Node::new(&text, SOURCE).ok()?.at("mediaType").text();
        let digest = format!("sha256:{}", sha256(text.as_bytes()));
        Some((media_type, digest, text.into_bytes()))
    }

    /// Write what has `digest`: a configuration, a manifest, or a layer's archive, made again.
    pub fn content(&self, digest: &str, to: &mut dyn Write) -> Result<()> {
        let digits = id::digest_hex(digest)?;
        let write = |to: &mut dyn Write, bytes: &[u8]| {
            to.write_all(bytes)
                .map_err(|error| Error::io(format_args!("write {digest}"), &error))
        };
        if let Some(layers) = self.layers_with(digits) {
            let mut archive = Rebuild::open(&layers, digits)?;
            let mut buffer = vec![0; 64 << 10];
            loop {
                let read = archive.read(&mut buffer);
                match read.map_err(|e| source::failed(&format!("read {digest}"), &e))? {
                    0 => return Ok(()),
                    count => write(to, &buffer[..count])?,
                }
            }
        }
        if self.held(digits).is_ok() {
            return write(to, &self.config(digest)?);
        }
        let held = self.all();
        let mut sources = held.iter().filter_map(|held| self.source(&held.digits));
        match sources.find(|(_, own, _)| own == digest) {
            Some((_, _, bytes)) => write(to, &bytes),
            None => Err(Error::not_found(format!("content {digest}: not found"))),
        }
    }
}
