//! The files that a build may copy, unpacked in a directory of their own, and its Dockerfile.

use crate::build::ignore::Ignore;
use crate::build::{dockerfile, room, run};
use crate::engine::Engine;
use crate::error::{Context as _, Error, Result};
use crate::image::inside::{self, components, joined, kind};
use crate::image::unpack::{self, Copy, Owner};
use crate::registry;
use crate::store::staging::{self, Staging};
use crate::sys::fs::{self};
use crate::sys::is;
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Enough to tell an archive.
const HEAD_BYTES: u64 = 512;

const IGNORE: &str = ".dockerignore";

pub struct Context {
    staging: Staging,
    root: OwnedFd,
    /// Its content.
    pub dockerfile: Vec<u8>,
}

/// The context that lies at a URL: an archive, or a Dockerfile alone.
pub fn fetch(engine: &Engine, url: &str, name: &str) -> Result<Context> {
    if !url.starts_with("http://") && !url.starts_with("https://") || url.ends_with(".git") {
        return Err(Error::unsupported(format!(
            "git is not supported: clone {url} and build the directory"
        )));
    }
    let mut answer = registry::download(&engine.registries(), url)?;
    let failed = |e| Error::io(format_args!("download {url}"), &e);
    let mut head = Vec::new();
    let mut first = (&mut answer).take(HEAD_BYTES);
    first.read_to_end(&mut head).map_err(failed)?;
    if unpack::may_be_archive(&head) {
        return Context::receive(engine, &mut (&head[..]).chain(answer), name);
    }
    let rest = (dockerfile::BYTES_MAX as u64 + 1).saturating_sub(head.len() as u64);
    answer.take(rest).read_to_end(&mut head).map_err(failed)?;
    if head.len() > dockerfile::BYTES_MAX {
        return Err(Error::invalid(format!(
            "{url} is neither an archive nor a Dockerfile"
        )));
    }
    Context::empty(engine, head)
}

impl Context {
    /// Unpack an archive, compressed or not. `name` is the Dockerfile's path in it. When this is
    /// dropped, all of it goes.
    pub fn receive(engine: &Engine, from: &mut dyn Read, name: &str) -> Result<Context> {
        let mut context = Context::empty(engine, Vec::new())?;
        let how = Copy {
            base: Vec::new(),
            name: "/".to_string(),
            owner: Owner::Archive,
            keep_kinds: false,
            rename: None,
            may_go_on: &|| Ok(()),
        };
        let root = context.root.try_clone();
        let root = root.map_err(|e| Error::io("dup", &e))?;
        unpack::copy_any(root, &how, from).context(|| "unpack the build context")?;
        context.find_dockerfile(name)?;
        Ok(context)
    }

    /// A build without files.
    pub fn empty(engine: &Engine, dockerfile: Vec<u8>) -> Result<Context> {
        let room = room(engine);
        staging::make_dir(&room)?;
        let staging = Staging::new(&room)?;
        let root = staging.path().join("context");
        for dir in [&root, &staging.path().join(run::CONTAINERS)] {
            staging::make_dir(dir)?;
        }
        Ok(Context {
            root: fs::open_dir(&root)?,
            staging,
            dockerfile,
        })
    }

    pub fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// Where the root lies, for mounts.
    pub fn place(&self) -> std::path::PathBuf {
        self.staging.path().join("context")
    }

    /// A directory for what the build needs beside its files.
    pub fn beside(&self) -> &Path {
        self.staging.path()
    }

    /// Docker's client sends the Dockerfile and `.dockerignore` even where they are ignored, so that
    /// we can read them; no instruction is to see them then.
    fn find_dockerfile(&mut self, name: &str) -> Result<()> {
        let mut path = components(name.as_bytes());
        if name == "Dockerfile" && self.read(&path)?.is_none() {
            let lower = vec![b"dockerfile".to_vec()];
            if self.read(&lower)?.is_some() {
                path = lower;
            }
        }
        self.dockerfile = self
            .read(&path)?
            .ok_or_else(|| Error::invalid(format!("Cannot locate specified Dockerfile: {name}")))?;
        if self.dockerfile.is_empty() {
            return Err(Error::invalid(format!(
                "the Dockerfile ({name}) cannot be empty"
            )));
        }
        let ignore_path = vec![IGNORE.as_bytes().to_vec()];
        let Some(text) = self.read(&ignore_path)? else {
            return Ok(());
        };
        let ignore = Ignore::parse(&text);
        for path in [path, ignore_path] {
            if ignore.ignores(&path.join(&b'/')) {
                self.remove(&path)?;
            }
        }
        Ok(())
    }

    /// A regular file of the context's, which is not large; `None` where there is none.
    fn read(&self, path: &[Vec<u8>]) -> Result<Option<Vec<u8>>> {
        let shown = inside::shown(&path.join(&b'/'));
        // A fifo shall not keep us waiting.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = match fs::open_inside(&self.root, &joined(path), flags) {
            Err(e) if is(&e, Errno::NOENT) || is(&e, Errno::NOTDIR) => return Ok(None),
            opened => opened?,
        };
        if kind(&fs::stat(file.as_fd())?) != FileType::RegularFile {
            return Err(Error::invalid(format!("{shown} is not a regular file")));
        }
        let mut bytes = Vec::new();
        let max = dockerfile::BYTES_MAX;
        std::fs::File::from(file)
            .take(max as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| Error::io(format_args!("read {shown}"), &e))?;
        match bytes.len() > max {
            true => Err(Error::invalid(format!(
                "{shown} is longer than {max} bytes"
            ))),
            false => Ok(Some(bytes)),
        }
    }

    fn remove(&self, path: &[Vec<u8>]) -> Result<()> {
        let Some((name, dir)) = path.split_last() else {
            return Ok(());
        };
        let dir = inside::open_dir(&self.root, dir)?;
        fs::unlink_at(dir.as_fd(), &inside::c_string(name)?)
    }
}
