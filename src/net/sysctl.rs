//! Settings of the network namespace that the calling thread is in (sysctl.net(5)).

use crate::error::{Error, Result};
use crate::kernel::{Feature, lacks};
use std::path::{Path, PathBuf};

/// `net.ipv4.ip_forward`. What is called after a link has it as a directory of its own, whatever dots
/// its name has.
pub fn set(directory: &str, name: &str, value: &str) -> Result<()> {
    let path = path(directory, name);
    std::fs::write(&path, value)
        .map_err(|e| Error::io(format_args!("write {value:?} to {}", path.display()), &e))
}

/// The same where it is not so already: who only reads needs no right to write.
pub fn ensure(directory: &str, name: &str, value: &str) -> Result<()> {
    let found = std::fs::read_to_string(path(directory, name));
    match found.is_ok_and(|found| found.trim() == value) {
        true => Ok(()),
        false => set(directory, name, value),
    }
}

fn path(directory: &str, name: &str) -> PathBuf {
    Path::new("/proc/sys/net").join(directory).join(name)
}

/// Whether the kernel speaks IPv6.
pub fn has_ipv6() -> bool {
    path("ipv6", "conf").exists()
}

pub fn no_ipv6() -> Error {
    Error::unsupported(format!("there is no IPv6 {}", lacks(Feature::Ipv6)))
}

/// Set what the user wants for a link: `net.ipv4.conf.IFNAME.log_martians`, with the link's name for
/// IFNAME.
pub fn set_for_link(key: &str, interface: &str, value: &str) -> Result<()> {
    let parts = key
        .strip_prefix("net.")
        .and_then(|key| key.split_once(".IFNAME."));
    let is_plain = |part: &&str| !part.is_empty() && *part != ".." && !part.contains('/');
    let parts = parts.filter(|(before, after)| {
        before.split('.').all(|part| is_plain(&part)) && is_plain(after) && !after.contains('.')
    });
    let (before, after) = parts.ok_or_else(|| {
        Error::invalid(format!(
            "invalid sysctl {key}: for a network's link it is net.FAMILY.conf.IFNAME.NAME"
        ))
    })?;
    let directory = format!("{}/{interface}", before.replace('.', "/"));
    set(&directory, after, value)
}
