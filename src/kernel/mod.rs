//! What tug needs and uses of the kernel: one table of it (`table`), how a kernel that runs is asked
//! (`probe`), and how the configuration of one that does not run is read (`config`).
//!
//! Whoever meets a missing feature says so by `lacks`, so that it has one name everywhere: in a
//! refusal, in the engine's log, in `tug check`. Knows nothing of containers.

pub mod config;
pub mod probe;
mod table;

pub use table::{Feature, NOT_NEEDED};

use crate::error::Error;
use crate::sys;
use rustix::io::Errno;
use std::fmt;

/// A kernel's version, as far as features go by it.
pub type Version = (u32, u32);

/// Older kernels lack calls that have no way round here.
pub const FLOOR: Version = (5, 10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Without it no container starts.
    Necessary,
    Cgroups,
    Storage,
    Network,
    Security,
    Devices,
    Debugging,
    /// What came with a version and has no option of its own.
    Versions,
}

impl Group {
    pub fn title(self) -> &'static str {
        match self {
            Group::Necessary => "Generally Necessary",
            Group::Cgroups => "Limits and figures (cgroup v2)",
            Group::Storage => "Storage",
            Group::Network => "Network",
            Group::Security => "Security",
            Group::Devices => "Devices and booting",
            Group::Debugging => "Debugging",
            Group::Versions => "Came with a version",
        }
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct About {
    pub feature: Feature,
    pub group: Group,
    /// `NAME`, or what else it was called, `OLD|NEW@6.1`: each from a version on, if there is one.
    names: &'static str,
    /// Empty where it is never one.
    pub module: &'static str,
    /// How a kernel that runs is asked: see `probe`.
    probe: &'static str,
    /// What is not there without it.
    pub cost: &'static str,
    /// What is done instead; empty where nothing is.
    pub fallback: &'static str,
}

impl About {
    /// Its option, without `CONFIG_`, in kernels of that version. None is a feature that such a
    /// kernel cannot have, or one that came without an option.
    pub fn option(&self, version: Version) -> Option<&'static str> {
        let mut fitting = self.options().rev().filter(|(_, since)| version >= *since);
        let name = fitting.next().map(|(name, _)| name);
        name.filter(|_| self.group != Group::Versions)
    }

    /// What it is called in a list: `CONFIG_MEMCG`, or the call that a version brought.
    pub fn label(&self, version: Version) -> String {
        let ((name, since), is_option) = match self.option(version) {
            Some(option) => ((option, (0, 0)), true),
            None => (
                self.options().next_back().unwrap_or_default(),
                self.group != Group::Versions,
            ),
        };
        let prefix = if is_option { "CONFIG_" } else { "" };
        match since {
            (0, 0) => format!("{prefix}{name}"),
            (major, minor) => format!("{prefix}{name} (Linux {major}.{minor})"),
        }
    }

    /// The first version that has it.
    pub fn since(&self) -> Version {
        self.options().next().map_or((0, 0), |(_, since)| since)
    }

    /// All its options, oldest first, each with its first version.
    fn options(&self) -> impl DoubleEndedIterator<Item = (&'static str, Version)> {
        self.names
            .split('|')
            .map(|name| match name.split_once('@') {
                Some((name, since)) => (name, version_of(since)),
                None => (name, (0, 0)),
            })
    }
}

/// The first two numbers in `5.10.0-9-arm64`.
pub fn version_of(text: &str) -> Version {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next().and_then(|part| part.parse().ok());
    (number().unwrap_or(0), number().unwrap_or(0))
}

/// The kernel's version, such as `6.1.0-9-amd64`.
pub fn release() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    text.trim_end().to_string()
}

/// Why something cannot be, for the end of a refusal: `(this kernel lacks CONFIG_MACVLAN, module
/// macvlan: see `tug check`)`.
pub fn lacks(feature: Feature) -> String {
    parenthesis(&feature.about())
}

/// The same without the advice, for `tug check` itself.
pub fn why_not(feature: Feature) -> String {
    why(&feature.about())
}

/// The same of the file system `kind`.
pub fn lacks_file_system(kind: &str) -> String {
    lacks_probed("fs:", kind)
}

/// The same of what would show as `path`.
pub fn lacks_path(path: &str) -> String {
    lacks_probed("path:", path)
}

/// What is said where there is no loop device.
pub const NO_LOOP: &[Errno] = &[Errno::NOENT, Errno::NXIO, Errno::NODEV, Errno::NOTTY];

fn lacks_probed(kind: &str, object: &str) -> String {
    let is_it = |about: &About| about.probe.strip_prefix(kind) == Some(object);
    match Feature::all().find(is_it) {
        Some(about) => parenthesis(&about),
        None => format!("(this kernel does not know {object}: see `tug check`)"),
    }
}

fn parenthesis(about: &About) -> String {
    format!("({}: see `tug check`)", why(about))
}

fn why(about: &About) -> String {
    probe::withheld(about.probe).unwrap_or_else(|| about.to_string())
}

/// The line of `info` and of the engine's log for a feature that is missed.
pub fn warning(feature: Feature) -> String {
    let about = feature.about();
    let instead = match about.fallback {
        "" => String::new(),
        fallback => format!(", instead: {fallback}"),
    };
    format!("WARNING: {}{instead} {}", about.cost, parenthesis(&about))
}

/// `error`, with the reason behind it where the kernel said one of these.
pub fn explain(mut error: Error, said: &[Errno], why: &dyn Fn() -> String) -> Error {
    if said.iter().any(|errno| sys::is(&error, *errno)) {
        error.message = format!("{} {}", error.message, why());
    }
    error
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let release = release();
        let Some(option) = self.option(version_of(&release)) else {
            let (major, minor) = self.since();
            return write!(f, "Linux {major}.{minor} has it, this is {release}");
        };
        write!(f, "this kernel lacks CONFIG_{option}")?;
        match self.module {
            "" => Ok(()),
            module => write!(f, ", module {module}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_option_and_the_module() {
        assert_eq!(
            lacks(Feature::Macvlan),
            "(this kernel lacks CONFIG_MACVLAN, module macvlan: see `tug check`)"
        );
        assert_eq!(
            lacks(Feature::NetNs),
            "(this kernel lacks CONFIG_NET_NS: see `tug check`)"
        );
    }

    #[test]
    fn an_option_has_the_name_of_its_version() {
        let swap = Feature::MemcgSwap.about();
        assert_eq!(swap.option((5, 10)), Some("MEMCG_SWAP"));
        assert_eq!(swap.option((6, 1)), Some("SWAP"));
        let backed = Feature::ErofsBackedByFile.about();
        assert_eq!(backed.option((6, 11)), None);
        assert_eq!(
            backed.label((6, 11)),
            "CONFIG_EROFS_FS_BACKED_BY_FILE (Linux 6.12)"
        );
        assert_eq!(backed.since(), (6, 12));
        assert_eq!(Feature::CgroupKill.about().option((6, 11)), None);
    }

    #[test]
    fn a_version_is_its_first_two_numbers() {
        for (text, version) in [
            ("6.1.0-9-amd64", (6, 1)),
            ("5.10", (5, 10)),
            ("6.12-rc1", (6, 12)),
            ("", (0, 0)),
            ("x.y", (0, 0)),
            ("99999999999.1", (0, 1)),
        ] {
            assert_eq!(version_of(text), version, "{text}");
        }
    }
}
