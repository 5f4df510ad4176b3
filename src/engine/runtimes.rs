//! Which OCI runtimes there are: ours, which needs no entry, and those of the configuration.

use crate::engine::Engine;
use crate::engine::container::Container;
use crate::error::{Error, Result};
use crate::json::map::Map;
use crate::wire::system::Runtime;
use std::path::{Path, PathBuf};

/// Ours, which is called in process.
pub const OWN: &str = "tug";

/// What others call theirs: they mean ours, unless one is configured by that name.
const ALIASES: [&str; 2] = ["runc", "io.containerd.runc.v2"];

/// The runtimes that a configuration names, by name.
pub type Runtimes = Map<Runtime>;

/// What a configuration may say; the sentences are dockerd's.
pub fn check(runtimes: &Runtimes, default: &str) -> Result<()> {
    for (name, runtime) in runtimes {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        // The name is also that of a directory.
        if !name.bytes().all(is_plain) || name.trim_matches('.').is_empty() {
            return Err(Error::invalid(format!("invalid runtime name: {name:?}")));
        }
        if name == OWN {
            return Err(Error::invalid(format!("runtime name '{name}' is reserved")));
        }
        if runtime.runtime_type.is_some() {
            return Err(Error::unsupported(format!(
                "runtime '{name}': a runtimeType is one of containerd's shims, which tug does not use: give the path of an OCI runtime"
            )));
        }
        if runtime.path.as_deref().unwrap_or_default().is_empty() {
            return Err(Error::invalid(format!(
                "runtime '{name}': a path must be configured"
            )));
        }
    }
    match resolve(runtimes, default) {
        None => Err(Error::invalid(format!(
            "specified default runtime '{default}' does not exist"
        ))),
        Some(_) => Ok(()),
    }
}

/// A runtime's name as a record has it.
fn resolve<'a>(runtimes: &Runtimes, name: &'a str) -> Option<&'a str> {
    match name {
        _ if runtimes.contains_key(name) => Some(name),
        OWN => Some(OWN),
        _ if ALIASES.contains(&name) => Some(OWN),
        _ => None,
    }
}

fn unknown(name: &str) -> Error {
    Error::invalid(format!("unknown or invalid runtime name: {name}"))
}

/// How to run the runtime of a container that is not ours.
pub struct Other {
    /// Absolute.
    pub path: PathBuf,
    pub args: Vec<String>,
    /// Where it keeps its states.
    pub root: PathBuf,
}

impl Engine {
    /// The runtime for a new container: what was asked for, or the default.
    pub(super) fn choose_runtime(&self, asked: Option<&str>) -> Result<String> {
        let asked = asked.filter(|name| !name.is_empty());
        let settings = self.settings();
        let name = asked.unwrap_or(&settings.default_runtime);
        let known = resolve(&settings.runtimes, name).ok_or_else(|| unknown(name))?;
        Ok(known.to_string())
    }

    /// The runtime that a container was created with, as it is configured now; `None` for ours.
    pub(super) fn other_runtime(&self, container: &Container) -> Result<Option<Other>> {
        let name = container.host.runtime.as_deref().unwrap_or(OWN);
        if name == OWN {
            return Ok(None);
        }
        let settings = self.settings();
        let found = settings.runtimes.get(name);
        let runtime = found.ok_or_else(|| unknown(name))?;
        let path = Path::new(runtime.path.as_deref().unwrap_or_default());
        Ok(Some(Other {
            path: find(path).ok_or_else(|| missing(name, path))?,
            args: runtime.runtime_args.clone().unwrap_or_default(),
            root: self.options.exec_root.join("runtimes").join(name),
        }))
    }

    /// All of them, as `info` tells; by the name that clients look for, too.
    pub(super) fn runtimes(&self) -> Runtimes {
        let own = Runtime {
            path: Some(OWN.to_string()),
            ..Runtime::default()
        };
        let mut all = self.settings().runtimes.clone();
        all.add(ALIASES[0], &own);
        all.insert(OWN.to_string(), own);
        all
    }
}

/// The program at `path`, or, for a bare name, the first of that name in PATH.
fn find(path: &Path) -> Option<PathBuf> {
    if path.components().count() > 1 {
        return Some(path.to_path_buf());
    }
    let search = std::env::var_os("PATH")?;
    std::env::split_paths(&search)
        .map(|dir| dir.join(path))
        .find(|program| program.is_file())
}

fn missing(name: &str, path: &Path) -> Error {
    Error::invalid(format!(
        "runtime {name}: {} is not in $PATH: install it, or configure its whole path",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, path: &str) -> Runtimes {
        let runtime = Runtime {
            path: Some(path.to_string()),
            ..Runtime::default()
        };
        Map::from([(name.to_string(), runtime)])
    }

    #[test]
    fn a_name_means_what_is_configured_or_ours() {
        let crun = one("crun", "/usr/bin/crun");
        assert_eq!(resolve(&crun, "crun"), Some("crun"));
        for own in ["tug", "runc", "io.containerd.runc.v2"] {
            assert_eq!(resolve(&crun, own), Some("tug"), "{own}");
        }
        assert_eq!(resolve(&crun, "kata"), None);
        assert_eq!(
            resolve(&one("runc", "/usr/sbin/runc"), "runc"),
            Some("runc")
        );
    }

    #[test]
    fn a_configuration_that_cannot_work_is_refused() {
        let refusal =
            |runtimes: &Runtimes, default| check(runtimes, default).unwrap_err().to_string();
        assert_eq!(
            refusal(&one("a/b", "/x"), OWN),
            "invalid runtime name: \"a/b\""
        );
        assert_eq!(
            refusal(&one("..", "/x"), OWN),
            "invalid runtime name: \"..\""
        );
        assert_eq!(
            refusal(&one("tug", "/x"), OWN),
            "runtime name 'tug' is reserved"
        );
        assert_eq!(
            refusal(&one("x", ""), OWN),
            "runtime 'x': a path must be configured"
        );
        assert_eq!(
            refusal(&one("x", "/x"), "y"),
            "specified default runtime 'y' does not exist"
        );
        assert!(check(&one("x", "/x"), "x").is_ok());
        assert!(check(&Runtimes::new(), "runc").is_ok());
    }
}
