//! archive: files out of a container and into it (`cp`).
//!
//! What a path means is Docker's rule: the last name is not followed if it is a link, unless a slash
//! or `/.` behind it says that a directory is meant.

use crate::engine::Engine;
use crate::engine::container::Container;
use crate::engine::export::Archive;
use crate::engine::view::Purpose;
use crate::error::{Context, Error, Kind, Result};
use crate::image::inside::{self, as_path, components, joined, kind};
use crate::image::pack::{Form, Packer};
use crate::image::unpack::{self, Copy, Owner};
use crate::image::view::{Extra, View};
use crate::oci::spec::User;
use crate::runtime::user;
use crate::sys::fs::{self, ModifiedAt};
use crate::sys::is;
use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

/// What lies at a path (API, X-Docker-Container-Path-Stat).
pub struct PathStat {
    pub name: String,
    pub size: i64,
    /// Go's os.FileMode.
    pub mode: u32,
    pub modified: ModifiedAt,
    /// Where a link leads in the end, or would if all of it were there.
    pub link_target: String,
}

#[derive(Clone, Copy, Default)]
pub struct Put {
    /// A directory stays a directory and a file a file.
    pub keep_kinds: bool,
    /// What comes belongs to the container's user.
    pub to_user: bool,
}

impl Engine {
    /// `name` is what the user calls the container, for messages.
    pub fn archive_stat(&self, container: &Container, name: &str, path: &str) -> Result<PathStat> {
        let view = self.view(container, Purpose::Read)?;
        let found = find(&view, name, path)?;
        found.describe(&view)
    }

    pub fn archive_get(
        &self,
        container: &Container,
        name: &str,
        path: &str,
    ) -> Result<(PathStat, Archive)> {
        let view = self.view(container, Purpose::Read)?;
        let found = find(&view, name, path)?;
        let stat = found.describe(&view)?;
        let packer = Packer::new(found.named, &found.name, Form::Tree)?;
        self.tell(container, "archive-path", &[]);
        Ok((stat, Archive::new(packer, view)))
    }

    pub fn archive_put(
        &self,
        container: &Container,
        name: &str,
        path: &str,
        put: Put,
        from: &mut dyn Read,
    ) -> Result<()> {
        let turn = container.writers.turn();
        let view = self.view(container, Purpose::Write)?;
        let base = real_dir(&view, path).map_err(|error| match () {
            () if is(&error, Errno::NOENT) => not_found(name, path),
            () if is(&error, Errno::NOTDIR) => {
                Error::invalid("extraction point is not a directory")
            }
            () => error,
        })?;
        let place = shown(&base);
        may_write(container, &self.extra(container)?, &place)?;
        let how = Copy {
            owner: self.owner(container, &view, put)?,
            base,
            name: place,
            keep_kinds: put.keep_kinds,
            rename: None,
            may_go_on: &|| container.writers.may_go_on(turn),
        };
        let root = dup(&view.root)?;
        unpack::copy_any(root, &how, from)?;
        self.tell(container, "extract-to-dir", &[]);
        Ok(())
    }

    fn owner(&self, container: &Container, view: &View, put: Put) -> Result<Owner> {
        let username = container.config.user.clone().unwrap_or_default();
        if !put.to_user || username.is_empty() {
            return Ok(Owner::Archive);
        }
        let user = User {
            username: Some(username),
            ..User::default()
        };
        let found = user::resolve_in(view.root.as_fd(), &user)?;
        Ok(Owner::User(found.ids.uid, found.ids.gid))
    }
}

struct Found {
    named: OwnedFd,
    stat: Stat,
    /// As the archive calls it.
    name: Vec<u8>,
    path: Vec<Vec<u8>>,
}

fn find(view: &View, container: &str, path: &str) -> Result<Found> {
    let names = components(path.as_bytes());
    let is_dot = path.rsplit('/').next() == Some(".");
    let asserts_dir = is_dot || path.ends_with('/') || names.is_empty();
    let flags = match asserts_dir {
        true => OFlags::PATH | OFlags::DIRECTORY,
        false => OFlags::PATH | OFlags::NOFOLLOW,
    };
    let named = fs::open_inside(&view.root, &joined(&names), flags).map_err(|error| {
        match is(&error, Errno::NOENT) {
            true => not_found(container, path),
            false => error,
        }
    })?;
    let name = match names.last() {
        _ if is_dot => b".".to_vec(),
        None => b"/".to_vec(),
        Some(last) => last.clone(),
    };
    Ok(Found {
        stat: fs::stat(named.as_fd())?,
        named,
        name,
        path: names,
    })
}

impl Found {
    fn describe(&self, view: &View) -> Result<PathStat> {
        let is_link = kind(&self.stat) == FileType::Symlink;
        let link_target = match is_link {
            true => shown(&inside::real(&view.root, &self.path, None)?),
            false => String::new(),
        };
        Ok(PathStat {
            name: String::from_utf8_lossy(&self.name).into_owned(),
            size: self.stat.st_size,
            mode: go_mode(&self.stat),
            modified: ModifiedAt::of(&self.stat),
            link_target,
        })
    }
}

/// The directory that `path` leads to, links followed.
fn real_dir(view: &View, path: &str) -> Result<Vec<Vec<u8>>> {
    let real = inside::real(&view.root, &components(path.as_bytes()), None)?;
    inside::open_dir(&view.root, &real)?;
    Ok(real)
}

fn shown(path: &[Vec<u8>]) -> String {
    let path = [&b"/"[..], &path.join(&b'/')].concat();
    String::from_utf8_lossy(&path).into_owned()
}

/// Docker's sentence.
fn not_found(container: &str, path: &str) -> Error {
    Error::not_found(format!(
        "Could not find the file {path} in container {container}"
    ))
}

/// Whether what lies at `place` may be written, by what the user has asked for. The kernel has the
/// last word, for those who change links in the meantime.
fn may_write(container: &Container, extra: &[Extra], place: &str) -> Result<()> {
    let within = |mount: &&Extra| as_path(place.as_bytes()).starts_with(&mount.destination);
    match extra.iter().rev().find(within) {
        Some(mount) if mount.readonly => Err(Error::new(
            Kind::Denied,
            "mounted volume is marked read-only",
        )),
        Some(_) => Ok(()),
        None if container.host.readonly_rootfs == Some(true) => Err(Error::new(
            Kind::Denied,
            "container rootfs is marked read-only",
        )),
        None => Ok(()),
    }
}

fn dup(fd: &OwnedFd) -> Result<OwnedFd> {
    fd.try_clone()
        .map_err(|e| Error::io("dup", &e))
        .context(|| "container's root")
}

/// Permission bits as they are, all others where Go's os.FileMode has them.
fn go_mode(stat: &Stat) -> u32 {
    const SETUID: u32 = 0o4000;
    const SETGID: u32 = 0o2000;
    const STICKY: u32 = 0o1000;
    let kind = match kind(stat) {
        FileType::Directory => 1 << 31,
        FileType::Symlink => 1 << 27,
        FileType::BlockDevice => 1 << 26,
        FileType::CharacterDevice => 1 << 26 | 1 << 21,
        FileType::Fifo => 1 << 25,
        FileType::Socket => 1 << 24,
        _ => 0,
    };
    let special = [(SETUID, 1 << 23), (SETGID, 1 << 22), (STICKY, 1 << 20)];
    let given = special.iter().filter(|(bit, _)| stat.st_mode & bit != 0);
    given.fold(kind | stat.st_mode & 0o777, |all, (_, bit)| all | bit)
}
