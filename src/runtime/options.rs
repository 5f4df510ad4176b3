//! The options of a mount, by the names that the runtime spec, mount(8) and runc give them.

use crate::error::{Error, Result};
use crate::oci::spec::Mount;
use crate::sys::mount::Attributes;
use rustix::mount::{MountAttrFlags, MountPropagationFlags};

/// Mount options, understood.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options<'a> {
    /// For the mount itself.
    pub top: Attributes,
    /// For all mounts below it as well (`rro` and its like).
    pub deep: Attributes,
    /// In the order in which they are to be set: a mount can be a slave and shared.
    pub propagation: Vec<MountPropagationFlags>,
    /// A bind mount; with what is mounted below the source if true.
    pub bind: Option<bool>,
    /// Change what is mounted there.
    pub remount: bool,
    /// Fill a tmpfs with what it covers.
    pub copy_up: bool,
    /// Owners are seen through a user namespace; also below if true.
    pub idmap: Option<bool>,
    /// A symbolic link at the source, or at the destination, is meant itself.
    pub source_nofollow: bool,
    pub target_nofollow: bool,
    /// For the file system itself.
    pub data: Vec<&'a str>,
}

/// A propagation by its name.
pub fn propagation(name: &str) -> Option<MountPropagationFlags> {
    let (name, recursive) = match name.strip_prefix('r') {
        Some(rest) => (rest, MountPropagationFlags::REC),
        None => (name, MountPropagationFlags::empty()),
    };
    let kind = match name {
        "private" => MountPropagationFlags::PRIVATE,
        "slave" => MountPropagationFlags::DOWNSTREAM,
        "shared" => MountPropagationFlags::SHARED,
        "unbindable" => MountPropagationFlags::UNBINDABLE,
        _ => return None,
    };
    Some(kind | recursive)
}

/// A flag of a mount by its name: what to set, or (false) to clear.
fn flag(name: &str) -> Option<(MountAttrFlags, bool)> {
    Some(match name {
        "ro" => (MountAttrFlags::MOUNT_ATTR_RDONLY, true),
        "rw" => (MountAttrFlags::MOUNT_ATTR_RDONLY, false),
        "nosuid" => (MountAttrFlags::MOUNT_ATTR_NOSUID, true),
        "suid" => (MountAttrFlags::MOUNT_ATTR_NOSUID, false),
        "nodev" => (MountAttrFlags::MOUNT_ATTR_NODEV, true),
        "dev" => (MountAttrFlags::MOUNT_ATTR_NODEV, false),
        "noexec" => (MountAttrFlags::MOUNT_ATTR_NOEXEC, true),
        "exec" => (MountAttrFlags::MOUNT_ATTR_NOEXEC, false),
        "nodiratime" => (MountAttrFlags::MOUNT_ATTR_NODIRATIME, true),
        "diratime" => (MountAttrFlags::MOUNT_ATTR_NODIRATIME, false),
        "nosymfollow" => (MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW, true),
        "symfollow" => (MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW, false),
        "noatime" => (MountAttrFlags::MOUNT_ATTR_NOATIME, true),
        "strictatime" => (MountAttrFlags::MOUNT_ATTR_STRICTATIME, true),
        // The kernel's default, which all of them come to.
        "relatime" | "atime" | "norelatime" | "nostrictatime" => {
            (MountAttrFlags::MOUNT_ATTR__ATIME, false)
        }
        _ => return None,
    })
}

/// Flags that belong to a file system as a whole: fsconfig(2) knows these by name.
const OF_THE_FILE_SYSTEM: [&str; 7] = [
    "sync",
    "async",
    "dirsync",
    "lazytime",
    "nolazytime",
    "mand",
    "nomand",
];

/// Nothing to do: defaults, what is for the kernel's log (MS_SILENT), and what file systems decide
/// for themselves since they count versions (MS_I_VERSION).
const WITHOUT_EFFECT: [&str; 5] = ["defaults", "silent", "loud", "iversion", "noiversion"];

impl<'a> Options<'a> {
    pub fn parse(mount: &'a Mount) -> Result<Options<'a>> {
        let mut options = Options {
            bind: (mount.kind.as_deref() == Some("bind")).then_some(false),
            ..Options::default()
        };
        options.deep.recursive = true;
        for option in mount.options.iter().flatten() {
            options.take(option);
        }
        if mount.uid_mappings.is_some() || mount.gid_mappings.is_some() {
            options.idmap = options.idmap.or(Some(false));
        }
        if options.bind.is_none() {
            return Ok(options);
        }
        // A bind mount has no file system of its own to tell; mount(2) drops these as well.
        let of_others = |option: &&str| !OF_THE_FILE_SYSTEM.contains(option);
        match options.data.iter().copied().find(of_others) {
            None => {
                options.data.clear();
                Ok(options)
            }
            Some(unknown) => Err(Error::invalid(format!(
                "bind mounts cannot have any filesystem-specific options applied: {unknown:?}"
            ))),
        }
    }

    fn take(&mut self, option: &'a str) {
        match option {
            "bind" => self.bind = Some(self.bind.unwrap_or(false)),
            "rbind" => self.bind = Some(true),
            "remount" => self.remount = true,
            "tmpcopyup" => self.copy_up = true,
            "idmap" => self.idmap = Some(false),
            "ridmap" => self.idmap = Some(true),
            "src-nofollow" => self.source_nofollow = true,
            "dest-nofollow" => self.target_nofollow = true,
            _ if WITHOUT_EFFECT.contains(&option) => {}
            _ => self.take_flag(option),
        }
    }

    fn take_flag(&mut self, option: &'a str) {
        let recursive = option.strip_prefix('r').and_then(flag);
        if let Some(change) = flag(option) {
            record(&mut self.top, change);
        } else if let Some(change) = recursive {
            record(&mut self.deep, change);
        } else if let Some(propagation) = propagation(option) {
            self.propagation.push(propagation);
        } else {
            self.data.push(option);
        }
    }

    pub fn is_readonly(&self) -> bool {
        let flag = MountAttrFlags::MOUNT_ATTR_RDONLY;
        self.top.set.contains(flag) || self.deep.set.contains(flag)
    }
}

/// The last word on a flag counts.
fn record(changes: &mut Attributes, (flag, on): (MountAttrFlags, bool)) {
    // The times of access are one field of which a value is chosen: cleared, then set.
    if MountAttrFlags::MOUNT_ATTR__ATIME.contains(flag) {
        changes.clear |= MountAttrFlags::MOUNT_ATTR__ATIME;
        changes.set.remove(MountAttrFlags::MOUNT_ATTR__ATIME);
    } else {
        changes.clear.remove(flag);
        changes.set.remove(flag);
    }
    match on {
        true => changes.set |= flag,
        false => changes.clear |= flag,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(kind: &str, options: &[&str]) -> Mount {
        Mount {
            kind: Some(kind.to_string()),
            options: Some(options.iter().map(|text| (*text).to_string()).collect()),
            ..Mount::default()
        }
    }

    #[test]
    fn flags_propagation_and_data_are_told_apart() {
        let list = ["nosuid", "strictatime", "mode=755", "sync", "rprivate"];
        let mount = mount("tmpfs", &list);
        let options = Options::parse(&mount).unwrap();
        assert_eq!(options.data, ["mode=755", "sync"]);
        assert_eq!(
            options.top.set,
            MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_STRICTATIME
        );
        assert_eq!(options.top.clear, MountAttrFlags::MOUNT_ATTR__ATIME);
        assert_eq!(
            options.propagation,
            [MountPropagationFlags::PRIVATE | MountPropagationFlags::REC]
        );
        assert_eq!(options.bind, None);
    }

    #[test]
    fn the_last_word_on_a_flag_counts_and_deep_ones_stay_apart() {
        let mount = mount(
            "none",
            &["bind", "ro", "rbind", "rw", "rro", "noatime", "atime"],
        );
        let options = Options::parse(&mount).unwrap();
        assert_eq!(options.bind, Some(true));
        assert_eq!(options.deep.set, MountAttrFlags::MOUNT_ATTR_RDONLY);
        assert!(options.deep.recursive && options.deep.clear.is_empty());
        assert!(options.top.set.is_empty() && !options.top.recursive);
        let cleared = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR__ATIME;
        assert_eq!(options.top.clear, cleared);
    }

    #[test]
    fn a_bind_mount_takes_no_option_that_it_would_drop_unseen() {
        let known = mount(
            "bind",
            &["rbind", "sync", "silent", "idmap", "rslave", "slave"],
        );
        let options = Options::parse(&known).unwrap();
        assert_eq!((options.idmap, options.propagation.len()), (Some(false), 2));
        for bad in ["wonder", "size=3", "rwonder"] {
            assert!(Options::parse(&mount("bind", &[bad])).is_err(), "{bad}");
        }
    }
}
