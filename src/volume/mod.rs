//! Volumes: directories that outlive the containers that see them.
//!
//! `<data-root>/volumes/<name>/` holds `_data`, which containers see, and `volume.json`, what was
//! asked for. The directory appears whole by one rename and leaves by one. One whose record is
//! missing or cannot be read is a volume all the same: what lies in it is somebody's.
//!
//! Some volumes have nothing in `_data` but what is mounted there while somebody uses them: see
//! `local`. Knows nothing of containers; who uses a volume has a name, and no more.

mod filling;
pub mod local;
pub mod options;
pub mod part;

use crate::error::{Error, Result};
use crate::id;
use crate::json;
use crate::json::map::Map;
use crate::json::value::json_struct;
use crate::store::staging::{self, Staging};
use crate::store::{limit, record, tree, usage};
use crate::sys::fs;
use crate::time::Time;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The only driver. Docker's name for what it has built in.
pub const DRIVER: &str = "local";

/// On a volume that got its name from the engine.
pub const ANONYMOUS: &str = "com.docker.volume.anonymous";

const RECORD: &str = "volume.json";
const DATA: &str = "_data";

/// There while `_data` is being filled from an image: what lies in it then is a part.
const FILLING: &str = "filling";

json_struct! {
    /// volume.json.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Asked {
        pub created: Option<String>,
        pub labels: Option<Map<String>>,
        pub options: Option<Map<String>>,
    }
}

/// One volume.
#[derive(Clone, Debug)]
pub struct Volume {
    pub name: String,
    pub asked: Asked,
    /// What containers see.
    pub data: PathBuf,
}

impl Volume {
    pub fn options(&self) -> impl Iterator<Item = (&String, &String)> {
        self.asked.options.iter().flat_map(Map::iter)
    }

    pub fn option(&self, name: &str) -> &str {
        let options = self.asked.options.as_ref();
        options
            .and_then(|all| all.get(name))
            .map_or("", String::as_str)
    }

    pub fn is_anonymous(&self) -> bool {
        let labels = self.asked.labels.as_ref();
        labels.is_some_and(|labels| labels.contains_key(ANONYMOUS))
    }

    /// What it takes of the disk.
    pub fn bytes(&self) -> Result<u64> {
        match limit::used_bytes(self.dir()) {
            Some(bytes) => Ok(bytes),
            None => usage::bytes(&self.data),
        }
    }

    fn dir(&self) -> &Path {
        self.data.parent().unwrap_or(&self.data)
    }
}

pub struct Volumes {
    dir: PathBuf,
    /// Held while a volume appears or leaves.
    naming: Mutex<()>,
    /// Names, and who is about to use them.
    reserved: Mutex<Vec<(String, String)>>,
    uses: Mutex<Vec<local::Use>>,
    /// Held while one is filled from an image.
    filling: Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Volumes {
    /// Those below `data_root`. What was half-made or half-removed is swept away. Answers, too, what
    /// is to be told about those with a record that cannot be read.
    pub fn open(data_root: &Path) -> Result<(Volumes, Vec<Error>)> {
        let dir = data_root.join("volumes");
        make_dir(&dir, 0o701)?;
        let volumes = Volumes {
            dir,
            naming: Mutex::new(()),
            reserved: Mutex::new(Vec::new()),
            uses: Mutex::new(Vec::new()),
            filling: Mutex::new(()),
        };
        let mut notes = Vec::new();
        notes.extend(volumes.unmount_half_made().err());
        notes.extend(staging::sweep(&volumes.dir).err());
        for name in volumes.names()? {
            notes.extend(volumes.read(&name).err().map(|error| {
                let why = "its data are there, what it was created with is not known";
                Error::invalid(format!("volume {name}: {error}: {why}"))
            }));
        }
        Ok((volumes, notes))
    }

    /// Sorted.
    pub fn names(&self) -> Result<Vec<String>> {
        let mut names = staging::names(&self.dir)?;
        names.retain(|name| check_name(name).is_ok() && self.dir.join(name).is_dir());
        Ok(names)
    }

    pub fn list(&self) -> Result<Vec<Volume>> {
        let names = self.names()?;
        Ok(names.iter().filter_map(|name| self.find(name)).collect())
    }

    pub fn find(&self, name: &str) -> Option<Volume> {
        check_name(name).ok()?;
        let dir = self.dir.join(name);
        let made = std::fs::symlink_metadata(&dir)
            .ok()
            .filter(|m| m.is_dir())?;
        let mut asked = self.read(name).unwrap_or_default();
        // That of a container with `--rm` is not synced: a power cut leaves the name alone.
        if asked.created.is_none() && id::is_full(name) {
            let labels = asked.labels.get_or_insert_default();
            labels.insert(ANONYMOUS.to_string(), String::new());
        }
        asked.created.get_or_insert_with(|| {
            let time = Time {
                seconds: u64::try_from(made.ctime()).unwrap_or(0),
                nanos: 0,
            };
            time.rfc3339()
        });
        Some(Volume {
            name: name.to_string(),
            asked,
            data: dir.join(DATA),
        })
    }

    /// In Docker's words.
    pub fn get(&self, name: &str) -> Result<Volume> {
        let missing = || Error::not_found(format!("get {name}: no such volume"));
        self.find(name).ok_or_else(missing)
    }

    fn read(&self, name: &str) -> Result<Asked> {
        match record::load(&self.dir.join(name), RECORD)? {
            Some(bytes) => json::parse_bytes(&bytes, RECORD),
            None => Ok(Asked::default()),
        }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the data of the volume `name` are, if there is one.
    pub fn data(&self, name: &str) -> PathBuf {
        self.dir.join(name).join(DATA)
    }

    /// The volume `name`, made if it is not there, and whether it was. One that is there stays what
    /// it is, whatever is asked for now (as in Docker). What is not `durable` is not synced.
    pub fn create(&self, name: &str, mut asked: Asked, durable: bool) -> Result<(Volume, bool)> {
        check_name(name)?;
        options::check(asked.options.as_ref())?;
        let _naming = lock(&self.naming);
        if let Some(volume) = self.find(name) {
            return Ok((volume, false));
        }
        let now = Time {
            nanos: 0,
            ..Time::now()
        };
        asked.created = Some(now.rfc3339());
        let new = Staging::new(&self.dir)?;
        make_dir(&new.path().join(DATA), 0o755)?;
        if let Some(bytes) = options::size(asked.options.as_ref())? {
            limit::bound(new.path(), DATA, bytes)?;
        }
        let text = json::to_string(&asked);
        match durable {
            true => record::replace(new.path(), RECORD, text.as_bytes())?,
            false => record::replace_unsynced(new.path(), RECORD, text.as_bytes())?,
        }
        let dir = self.dir.join(name);
        new.keep(&dir)?;
        if durable {
            fs::sync_dir(&self.dir)?;
        }
        let data = dir.join(DATA);
        let name = name.to_string();
        Ok((Volume { name, asked, data }, true))
    }

    /// Remove a volume and all that is in it. `users` answers who wants it, beside those who have it
    /// reserved.
    pub fn remove(&self, name: &str, users: &dyn Fn() -> Vec<String>) -> Result<Volume> {
        let naming = lock(&self.naming);
        let volume = self.get(name)?;
        let mut users = users();
        for (reserved, user) in lock(&self.reserved).iter() {
            if reserved == name && !users.contains(user) {
                users.push(user.clone());
            }
        }
        if !users.is_empty() {
            let users = users.join(", ");
            return Err(Error::conflict(format!(
                "remove {name}: volume is in use - [{users}]"
            )));
        }
        self.clear(&volume)?;
        limit::release(volume.dir(), DATA)?;
        let leaving = staging::set_off(volume.dir(), true)?;
        // It has gone; taking it apart can take long.
        drop(naming);
        if let Some(leaving) = leaving {
            tree::remove(&leaving)?;
        }
        Ok(volume)
    }

    /// Until the answer is dropped nobody removes the volume, which need not be there yet.
    pub fn reserve(&self, name: &str, user: &str) -> Reserved<'_> {
        lock(&self.reserved).push((name.to_string(), user.to_string()));
        Reserved {
            volumes: self,
            name: name.to_string(),
            user: user.to_string(),
        }
    }
}

pub struct Reserved<'a> {
    volumes: &'a Volumes,
    name: String,
    user: String,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut reserved = lock(&self.volumes.reserved);
        let is_it = |(name, user): &(String, String)| *name == self.name && *user == self.user;
        if let Some(at) = reserved.iter().position(is_it) {
            reserved.swap_remove(at);
        }
    }
}

/// Docker's rule and sentences (moby, volume/local: validateName). It becomes the name of a directory.
pub fn check_name(name: &str) -> Result<()> {
    if name.len() == 1 {
        return Err(Error::invalid(
            "volume name is too short, names should be at least two alphanumeric characters",
        ));
    }
    let is_word = |b: u8| b.is_ascii_alphanumeric();
    let mut bytes = name.bytes();
    if !bytes.next().is_some_and(is_word)
        || !bytes.all(|b| is_word(b) || matches!(b, b'_' | b'.' | b'-'))
    {
        return Err(Error::invalid(format!(
            "{} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path",
            json::node::quote(name)
        )));
    }
    match name.len() {
        ..=255 => Ok(()),
        _ => Err(Error::invalid(
            "volume name is too long, it has more than 255 characters",
        )),
    }
}

fn make_dir(path: &Path, mode: u32) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .mode(mode)
        .create(path)
        .and_then(|()| {
            use std::os::unix::fs::PermissionsExt;
            // Whatever our umask is.
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        })
        .map_err(|e| Error::io(format_args!("mkdir {}", path.display()), &e))
}

#[cfg(test)]
mod tests;
