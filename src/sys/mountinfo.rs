//! The table of mounts as this process sees it (proc_pid_mountinfo(5)).

use crate::error::Result;
use crate::sys::fs;

/// One mount. The table also has those that others hide.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: u64,
    /// Where it is mounted, seen from our root.
    pub point: String,
    /// The file system's type: `cgroup2`.
    pub kind: String,
}

/// In the order in which they were mounted.
pub fn read() -> Result<Vec<Entry>> {
    let text = fs::read_text("/proc/self/mountinfo")?;
    Ok(text.lines().filter_map(entry).collect())
}

/// The type follows the lone dash, behind a number of fields that varies.
fn entry(line: &str) -> Option<Entry> {
    let (mount, kind) = line.split_once(" - ")?;
    let mut fields = mount.split(' ');
    Some(Entry {
        id: fields.next()?.parse().ok()?,
        point: unescape(fields.nth(3)?),
        kind: kind.split(' ').next()?.to_string(),
    })
}

/// Blanks and the like stand in mountinfo as a backslash and three octal digits.
fn unescape(field: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_a_line_with_fields_that_may_be_missing_before_the_dash() {
        let shared =
            "38 31 0:38 / /sys/fs/cgroup/uni\\040fied rw,relatime shared:3 - cgroup2 cgroup2 rw";
        let expected = Entry {
            id: 38,
            point: "/sys/fs/cgroup/uni fied".to_string(),
            kind: "cgroup2".to_string(),
        };
        assert_eq!(entry(shared), Some(expected));
        let plain = entry("22 1 0:2 / /proc rw - proc proc rw").unwrap();
        assert_eq!(
            (plain.point.as_str(), plain.kind.as_str()),
            ("/proc", "proc")
        );
        assert_eq!(entry("22 1 0:2 / /proc rw"), None);
    }

    #[test]
    fn escapes_are_undone_and_stray_backslashes_stay() {
        assert_eq!(unescape("a\\134b\\"), "a\\b\\");
        assert_eq!(unescape("\\999"), "\\999");
    }
}
