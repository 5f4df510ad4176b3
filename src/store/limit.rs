//! Sizes that hold: what a thing may write, so that one greedy container does not take the disk.
//!
//! The disk's own quota of projects does it where it is on (ext4, XFS, f2fs; `prjquota`): the thing's
//! directories become a project with a limit. Elsewhere the thing gets a disk of its own: a sparse
//! file with an ext4 of that size in it (`ext4`), mounted by whoever needs it, where he needs it. What
//! is deleted in there goes back to the disk below, for it is mounted with discards.
//!
//! ```text
//! THING/disk.ext4      the file; that it is there says how the size is held
//!       disk/          where it is mounted, for processes in a mount namespace of their own
//! ```
//!
//! All mounts of one disk are the same file system to the kernel, as they share its loop device: who
//! mounts keeps the others off until the device is seen to be in use. The kernel lets it go with the
//! last mount, so nothing is left of who was killed.

use crate::error::{Context, Error, Result};
use crate::kernel::{Feature, NO_LOOP, explain, lacks};
use crate::store::{ext4, staging};
use crate::sys::{fs, loops, mount, quota, random};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const FILE: &str = "disk.ext4";
const MOUNTED: &str = "disk";

/// Directories that were just made, within a limit or without.
pub struct Made {
    /// Reaches them as long as this lives.
    pub place: PathBuf,
    _disk: Option<OwnedFd>,
}

impl Made {
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }
}

/// Make the directories `names` of the thing in `dir`; together they may take `bytes`.
pub fn make(dir: &Path, names: &[&str], bytes: Option<u64>) -> Result<Made> {
    let disk = match bytes {
        Some(bytes) if !has_quotas(dir)? => Some(make_disk(dir, bytes)?),
        _ => None,
    };
    let place = match &disk {
        Some(tree) => {
            staging::make_dir(&dir.join(MOUNTED))?;
            fs::proc_fd(tree.as_fd())
        }
        None => dir.to_path_buf(),
    };
    for name in names {
        staging::make_dir(&place.join(name))?;
    }
    if let Some(bytes) = bytes.filter(|_| disk.is_none()) {
        make_project(dir, names, bytes)?;
    }
    Ok(Made { place, _disk: disk })
}

/// Bound what the directory `name` of the thing in `dir` may take, which is empty: the disk, if it
/// gets one, is to be attached on it.
pub fn bound(dir: &Path, name: &str, bytes: u64) -> Result<()> {
    match has_quotas(dir)? {
        true => make_project(dir, &[name], bytes),
        false => {
            let disk = make_disk(dir, bytes)?;
            fs::sync_file_system(&fs::proc_fd(disk.as_fd()))
        }
    }
}

fn has_quotas(dir: &Path) -> Result<bool> {
    fs::open_dir(dir).map(|dir| quota::is_enforced(dir.as_fd()))
}

/// Any number that nobody uses will do: the directories remember it.
fn make_project(dir: &Path, names: &[&str], bytes: u64) -> Result<()> {
    let dir = fs::open_dir(dir)?;
    let mut project;
    loop {
        let mut number = [0; 4];
        random::fill(&mut number)?;
        // Numbers with the highest bit are negative to some tools, small ones are people's own.
        project = u32::from_le_bytes(number) >> 1 | 1 << 24;
        if quota::is_unused(dir.as_fd(), project)? {
            break;
        }
    }
    quota::set_limit(dir.as_fd(), project, bytes)?;
    for name in names {
        let named = fs::open_dir_at(dir.as_fd(), Path::new(name))?;
        quota::set_project(named.as_fd(), project)?;
    }
    Ok(())
}

fn make_disk(dir: &Path, bytes: u64) -> Result<OwnedFd> {
    let path = dir.join(FILE);
    let mut options = File::options();
    let file = options.read(true).write(true).create_new(true).mode(0o600);
    let file = file
        .open(&path)
        .map_err(|e| Error::io(format_args!("create {}", path.display()), &e))?;
    let mut uuid = [0; 16];
    random::fill(&mut uuid)?;
    ext4::write(&file, bytes, uuid)?;
    mount_disk(&path).context(|| {
        "a size is held by project quotas (ext4, xfs: prjquota; Linux 5.14), which the disk does not have on, or by a file with an ext4 in it"
    })
}

/// The file system of a disk, mounted nowhere.
fn mount_disk(path: &Path) -> Result<OwnedFd> {
    let open = File::options().read(true).write(true).open(path);
    let file = open.map_err(|e| Error::io(format_args!("open {}", path.display()), &e))?;
    // Goes with this descriptor, which is not the one that the device has.
    fs::lock(&file, path)?;
    let (_device, name) = loops::attach(path, ext4::unit_bytes(&file), false)
        .map_err(|error| explain(error, NO_LOOP, &|| lacks(Feature::Loop)))?;
    let name = name.display().to_string();
    mount::new_tree("ext4", Some(&name), &[], MountAttrFlags::empty())
        .map_err(|error| explain(error, &[Errno::NODEV], &|| lacks(Feature::Ext4)))
        .context(|| format!("mount {}", path.display()))
}

fn disk(dir: &Path) -> Option<PathBuf> {
    Some(dir.join(FILE)).filter(|path| path.exists())
}

/// Where a thing's directories are, for who has it attached if it has a disk.
pub fn place(dir: &Path) -> PathBuf {
    match disk(dir) {
        Some(_) => dir.join(MOUNTED),
        None => dir.to_path_buf(),
    }
}

/// Mount the thing's disk, if it has one, at its place in this mount namespace.
pub fn attach(dir: &Path) -> Result<()> {
    attach_on(dir, &dir.join(MOUNTED))
}

pub fn attach_on(dir: &Path, on: &Path) -> Result<()> {
    match disk(dir) {
        Some(disk) => mount::attach(mount_disk(&disk)?, fs::open_path(on)?, on.display()),
        None => Ok(()),
    }
}

/// Open a directory of the thing, attached or not.
pub fn open(dir: &Path, name: &str) -> Result<OwnedFd> {
    match disk(dir) {
        Some(disk) => fs::open_dir_at(mount_disk(&disk)?.as_fd(), Path::new(name)),
        None => fs::open_dir(&dir.join(name)),
    }
}

/// What the thing's disk takes of the disk below it.
pub fn used_bytes(dir: &Path) -> Option<u64> {
    let about = std::fs::metadata(dir.join(FILE)).ok()?;
    Some(about.blocks() * 512)
}

/// The thing goes: its project, that of its directory `name`, is nobody's any more.
pub fn release(dir: &Path, name: &str) -> Result<()> {
    let Ok(opened) = fs::open_dir(dir) else {
        return Ok(());
    };
    let Ok(own) = fs::open_dir_at(opened.as_fd(), Path::new(name)) else {
        return Ok(());
    };
    // What all of the data root belongs to is not ours.
    match quota::project(own.as_fd()) {
        Some(project @ 1..) if quota::project(opened.as_fd()) != Some(project) => {
            quota::set_limit(own.as_fd(), project, 0)
        }
        _ => Ok(()),
    }
}

/// A size that can be held; 0 is none.
pub fn parse(text: &str) -> Result<u64> {
    let bytes = parse_size(text, 1024).map_err(Error::invalid)?;
    match bytes == 0 || ext4::BYTES.contains(&bytes) {
        true => Ok(bytes),
        false => Err(Error::invalid(format!(
            "invalid size: '{text}': use 64k to 15t"
        ))),
    }
}

/// go-units' sizes: `10m`, `1.5GiB`, `512`. In powers of `base`, as some
/// logs count in thousands.
pub fn parse_size(text: &str, base: u64) -> std::result::Result<u64, String> {
    bytes(text, base).ok_or_else(|| format!("invalid size: '{text}'"))
}

fn bytes(text: &str, base: u64) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let lower = lower.strip_suffix('i').unwrap_or(lower);
    let power = lower.bytes().last().and_then(|last| {
        let letters = b"kmgtp";
        letters.iter().position(|letter| *letter == last)
    });
    let number = match power {
        Some(_) => lower.get(..lower.len() - 1)?,
        None => lower,
    };
    let unit = base.checked_pow(power.map_or(0, |power| power as u32 + 1))?;

    let (whole, fraction) = number
        .trim_end()
        .split_once('.')
        .unwrap_or((number.trim_end(), "0"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let part = fraction.parse::<u64>().ok()?.checked_mul(unit)? / 10u64.pow(fraction.len() as u32);
    whole
        .parse::<u64>()
        .ok()?
        .checked_mul(unit)?
        .checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_go_units_does() {
        for (text, base, expected) in [
            ("10m", 1000, 10_000_000),
            ("10m", 1024, 10 << 20),
            ("1KiB", 1024, 1024),
            ("1.5k", 1024, 1536),
            ("1 gb", 1000, 1_000_000_000),
            ("7", 1000, 7),
        ] {
            assert_eq!(parse_size(text, base).ok(), Some(expected), "{text}");
        }
        for bad in ["", "m", "-2", "1.2.3k", "k1", "99999999999g"] {
            assert_eq!(
                parse_size(bad, 1024).unwrap_err(),
                format!("invalid size: '{bad}'")
            );
        }
    }
}
