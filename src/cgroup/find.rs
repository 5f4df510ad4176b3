//! Where cgroup v2 is, and what it offers.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// The mount point of cgroup v2: /sys/fs/cgroup, or /sys/fs/cgroup/unified on hybrid hosts.
pub fn mount_point() -> Result<Option<PathBuf>> {
    let path = "/proc/self/mountinfo";
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::io(format_args!("read {path}"), &error))?;
    Ok(parse(&text).map(|point| PathBuf::from(unescape(point))))
}

/// The field is the fifth; the type follows the lone dash (proc_pid_mountinfo(5)).
fn parse(text: &str) -> Option<&str> {
    text.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let is_cgroup2 = kind.split(' ').next() == Some("cgroup2");
        is_cgroup2.then(|| mount.split(' ').nth(4)).flatten()
    })
}

/// Blanks and the like stand in mountinfo as a backslash and three octal digits.
pub fn unescape(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| {
                let text = std::str::from_utf8(digits).ok()?;
                u8::from_str_radix(text, 8).ok()
            });
        match octal {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The controllers that v2 offers on this host: `memory`, `cpu`, … Empty without cgroup v2.
pub fn controllers() -> Vec<String> {
    let Ok(Some(point)) = mount_point() else {
        return Vec::new();
    };
    words(&point, "cgroup.controllers")
}

/// The words of a group's file; none if it cannot be read.
pub fn words(group: &Path, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(group.join(file)).unwrap_or_default();
    text.split_whitespace().map(str::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_is_found_on_hybrid_hosts_too() {
        let hybrid = "36 31 0:33 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
            38 31 0:38 / /sys/fs/cgroup/uni\\040fied rw,relatime shared:3 - cgroup2 cgroup2 rw\n";
        assert_eq!(
            parse(hybrid).map(unescape).unwrap(),
            "/sys/fs/cgroup/uni fied"
        );
        assert_eq!(parse("22 1 0:2 / /proc rw - proc proc rw\n"), None);
    }

    #[test]
    fn escapes_are_undone_and_stray_backslashes_stay() {
        assert_eq!(unescape("a\\134b\\"), "a\\b\\");
        assert_eq!(unescape("\\999"), "\\999");
    }
}
