//! Plans: what containers a board or a directory of files asks for, as data.
//!
//! A plan is made of small files that people write: our JSON (`entry`), quadlet units (`quadlet`),
//! a compose file (`compose`). Each becomes *arguments of `tug create`*, so that a plan can say what
//! the command line can, in its words, and no second parser says what they mean: whoever reads a
//! plan is handed the client's as a `Resolver`.
//!
//! Promised: a broken file never stops the others, it is listed with its sentence. What is asked for
//! and cannot be had is refused by name; what is without effect here is noted. The room knows neither
//! engine nor client, makes nothing and starts nothing.

mod compose;
mod entry;
pub mod hint;
mod keys;
pub mod machine;
pub mod order;
mod quadlet;
mod read;
#[cfg(test)]
mod tests;
mod unit;
mod words;
mod yaml;

use self::machine::Machine;
use self::order::Order;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The plan in `dir`: what lies in the directories of its phases, and files of services beside them.
pub fn read_dir(dir: &Path) -> Result<Set> {
    read::dir(dir)
}

/// The set that one file asks for.
pub fn read_file(path: &Path) -> Result<Set> {
    // What a file refers to lies beside it, and its directory names a project: also of a file that is
    // named without its directory.
    let path = std::path::absolute(path)
        .map_err(|e| Error::io(format_args!("find {}", path.display()), &e))?;
    read::file(&path)
}

/// The plan's `machine.json`, where it has one.
pub fn machine(dir: &Path) -> Result<Option<Machine>> {
    read::machine(dir)
}

/// A condition as it is written, and shown: `device:/dev/ttyUSB0`, `network`.
pub fn condition(text: &str) -> Result<Condition> {
    words::condition(text)
}

/// In which order entries start, and which cannot.
pub fn order(entries: &[Entry]) -> Order {
    order::order(entries)
}

/// All that was read, and what was wrong with the rest.
#[derive(Debug, Default)]
pub struct Set {
    /// By phase, and in the order of the files' names.
    pub entries: Vec<Entry>,
    pub volumes: Vec<Made>,
    pub networks: Vec<Made>,
    /// What is left out: the other files count.
    pub broken: Vec<Remark>,
    /// What is read and without effect here.
    pub notes: Vec<Remark>,
}

/// One container.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    pub phase: Phase,
    /// Of `tug create`, image and command included.
    pub arguments: Vec<String>,
    pub image: String,
    pub after: Vec<Dependency>,
    pub conditions: Vec<Condition>,
    /// For an onboot entry: until it has ended; for a service: until it is healthy.
    pub timeout: Option<Duration>,
    pub critical: bool,
    /// The health check's `Test`, where no option of `create` can say it: a command without shell.
    pub health: Option<Vec<String>>,
    pub file: PathBuf,
}

/// When an entry runs. The words are linuxkit's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Once, one after the other; each must end well.
    Onboot,
    /// Supervised.
    Service,
    /// Once, before the machine goes down.
    Onshutdown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    pub name: String,
    pub until: Until,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Until {
    #[default]
    Started,
    Healthy,
    /// Ended with exit code 0.
    Completed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    Device(PathBuf),
    Mount(PathBuf),
    /// A default route, or an address that is not this host's alone.
    Network,
    /// The clock was set.
    Clock,
}

/// A volume or a network: the arguments of `tug volume create` or `tug network create`.
#[derive(Clone, Debug)]
pub struct Made {
    pub name: String,
    pub arguments: Vec<String>,
    pub file: PathBuf,
}

/// What is to say of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    pub file: PathBuf,
    /// The whole sentence; it names the file.
    pub text: String,
}

/// What the client's parser makes of arguments. The applets hand it down, as nothing below knows
/// their options.
pub struct Resolver {
    pub container: fn(&Entry) -> Result<Resolved>,
    /// The bodies of `POST /volumes/create` and `POST /networks/create`.
    pub volume: fn(&Made) -> Result<String>,
    pub network: fn(&Made) -> Result<String>,
}

/// An entry as a request.
pub struct Resolved {
    /// Of `POST /containers/create?name=…`.
    pub body: String,
    /// `always`, `missing` or `never`.
    pub pull: String,
    pub platform: Option<String>,
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Condition::Device(path) => write!(f, "device:{}", path.display()),
            Condition::Mount(path) => write!(f, "mount:{}", path.display()),
            Condition::Network => f.write_str("network"),
            Condition::Clock => f.write_str("clock"),
        }
    }
}
