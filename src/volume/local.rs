//! What backs a volume while somebody uses it: a file system that is mounted on `_data` before the
//! first use and unmounted after the last.
//!
//! Nothing on the disk says that it is mounted; the kernel does. An engine that starts claims the
//! uses of the containers that run, and unmounts the rest (`settle`).

use crate::error::{Context, Error, Kind, Result};
use crate::kernel::{explain, lacks_file_system};
use crate::store::{limit, staging};
use crate::sys::{fs, mount};
use crate::volume::filling::drop_part;
use crate::volume::options::{self, Mount};
use crate::volume::{DATA, Volume, Volumes, lock};
use rustix::io::Errno;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A volume that is more than a directory, and its users.
pub struct Use {
    name: String,
    users: Vec<String>,
    /// Held while it is mounted and unmounted, which a server far away can make long.
    busy: Arc<Mutex<()>>,
}

impl Volume {
    /// Whether something has to be done before `_data` is what it shall be.
    fn is_backed(&self) -> bool {
        ["type", "device", "size"]
            .iter()
            .any(|name| !self.option(name).is_empty())
    }
}

impl Volumes {
    /// Let `user` use the volume: what is to be mounted is mounted.
    pub fn prepare(&self, volume: &Volume, user: &str) -> Result<()> {
        if !volume.is_backed() {
            return Ok(());
        }
        let busy = self.join(&volume.name, user);
        let _busy = lock(&busy);
        back(volume)
            .context(|| format!("error while mounting volume '{}'", volume.data.display()))
            .inspect_err(|_| self.leave(&volume.name, user))
    }

    /// Count one in that uses it since before we started.
    pub fn claim(&self, volume: &Volume, user: &str) {
        drop(self.join(&volume.name, user));
    }

    /// `user` uses none any more. What cannot be unmounted is told and stays: the next use finds it.
    pub fn release(&self, user: &str) -> Vec<Error> {
        let mut last = Vec::new();
        for entry in lock(&self.uses).iter_mut() {
            let count = entry.users.len();
            entry.users.retain(|other| other != user);
            if entry.users.is_empty() && count > 0 {
                last.push((entry.name.clone(), Arc::clone(&entry.busy)));
            }
        }
        let mut failed = Vec::new();
        for (name, busy) in last {
            failed.extend(self.unmount_if_idle(&name, &busy).err());
        }
        failed
    }

    /// Unmount what nobody has claimed, and empty what was being filled: an engine before us was killed.
    pub fn settle(&self) -> Vec<Error> {
        let mut failed = Vec::new();
        for volume in self.list().unwrap_or_default() {
            let is_used = lock(&self.uses)
                .iter()
                .any(|entry| entry.name == volume.name);
            let outcome = match volume.is_backed() {
                _ if is_used => self.keep_part(&volume),
                true => unback(&volume),
                false => drop_part(&volume),
            };
            failed.extend(outcome.err());
        }
        failed
    }

    /// Before a volume is removed. A mount that nobody knows of does not take others' files along.
    pub(super) fn clear(&self, volume: &Volume) -> Result<()> {
        let is_used = |entry: &Use| entry.name == volume.name && !entry.users.is_empty();
        if lock(&self.uses).iter().any(is_used) {
            return Err(Error::new(
                Kind::System,
                format!("remove {}: volume has active mounts", volume.name),
            ));
        }
        unback(volume).context(|| format!("remove {}", volume.name))
    }

    /// What was half-removed has no business to be mounted.
    pub(super) fn unmount_half_made(&self) -> Result<()> {
        for name in staging::names(&self.dir)? {
            let data = self.dir.join(&name).join(DATA);
            if staging::is_temporary(&name) && is_mounted(&data) {
                mount::unmount(&data)?;
            }
        }
        Ok(())
    }

    fn join(&self, name: &str, user: &str) -> Arc<Mutex<()>> {
        let mut uses = lock(&self.uses);
        let at = uses.iter().position(|entry| entry.name == name);
        let at = at.unwrap_or_else(|| {
            uses.push(Use {
                name: name.to_string(),
                users: Vec::new(),
                busy: Arc::default(),
            });
            uses.len() - 1
        });
        let entry = &mut uses[at];
        if !entry.users.iter().any(|other| other == user) {
            entry.users.push(user.to_string());
        }
        Arc::clone(&entry.busy)
    }

    fn leave(&self, name: &str, user: &str) {
        let mut uses = lock(&self.uses);
        for entry in uses.iter_mut().filter(|entry| entry.name == name) {
            entry.users.retain(|other| other != user);
        }
        uses.retain(|entry| entry.name != name || !entry.users.is_empty());
    }

    fn unmount_if_idle(&self, name: &str, busy: &Mutex<()>) -> Result<()> {
        let _busy = lock(busy);
        let is_wanted = |entry: &Use| entry.name == name && !entry.users.is_empty();
        if lock(&self.uses).iter().any(is_wanted) {
            // Somebody came meanwhile, and waits for us.
            return Ok(());
        }
        let outcome = match self.find(name) {
            Some(volume) => unback(&volume).context(|| format!("volume {name}")),
            None => Ok(()),
        };
        lock(&self.uses).retain(|entry| entry.name != name || !entry.users.is_empty());
        outcome
    }
}

/// Have on `_data` what belongs there.
fn back(volume: &Volume) -> Result<()> {
    if is_mounted(&volume.data) {
        return Ok(());
    }
    match options::mount(volume, &options::resolve)? {
        Some(what) => put(&what, &volume.data)?,
        None => limit::attach_on(volume.dir(), &volume.data)?,
    }
    drop_part(volume).inspect_err(|_| {
        let _ = unback(volume);
    })
}

/// The reverse. Nothing to do is fine.
fn unback(volume: &Volume) -> Result<()> {
    while is_mounted(&volume.data) {
        mount::unmount(&volume.data)?;
    }
    Ok(())
}

/// Whether something is mounted there, which then is another mount than that of its directory.
fn is_mounted(data: &Path) -> bool {
    let id = |path: &Path| fs::open_path(path).and_then(mount::id).ok();
    let above = data.parent().and_then(id);
    above.is_some() && id(data).is_some_and(|own| Some(own) != above)
}

fn put(what: &Mount, data: &Path) -> Result<()> {
    let mounted = mount::plain(
        &what.device,
        data,
        &what.kind,
        (what.flags, what.propagation),
        &what.data,
    );
    mounted.map_err(|errno| {
        let mut doing = format!(
            "failed to mount local volume: mount {}:{}",
            what.device,
            data.display()
        );
        let flags = what.flags | what.propagation;
        if flags != 0 {
            doing.push_str(&format!(", flags: 0x{flags:x}"));
        }
        if !what.data.is_empty() {
            doing.push_str(&format!(", data: {}", without_password(&what.data)));
        }
        let error = Error::system(doing, errno.raw_os_error());
        explain(error, &[Errno::NODEV], &|| lacks_file_system(&what.kind))
    })
}

/// Errors are shown around.
fn without_password(data: &str) -> String {
    let shown = |option: &str| match option.starts_with("password=") {
        true => "password=********".to_string(),
        false => option.to_string(),
    };
    let all: Vec<String> = data.split(',').map(shown).collect();
    all.join(",")
}
