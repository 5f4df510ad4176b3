//! PAX records: what a tar header has no room for (POSIX, pax Extended Header).

use crate::image::source::bad;
use crate::sys::fs::ModifiedAt;
use std::io;

/// What the records before an entry say about it. The last record of a kind wins.
#[derive(Debug, Default)]
pub struct Pax {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<i64>,
    pub gid: Option<i64>,
    pub modified: Option<ModifiedAt>,
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse: Option<Sparse>,
}

/// GNU's sparse files in PAX records.
#[derive(Debug, Default)]
pub struct Sparse {
    pub path: Option<Vec<u8>>,
    pub size: i64,
    /// Offsets and lengths in turn; without it (format 1.0) the map stands in front of the data.
    pub map: Option<Vec<i64>>,
}

/// Where GNU tar and Docker keep extended attributes.
const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";

/// Parse records of the form `LENGTH KEY=VALUE\n`. The length decides where a record ends: values
/// are binary.
pub fn parse(mut data: &[u8]) -> io::Result<Pax> {
    let mut pax = Pax::default();
    while !data.is_empty() {
        let (record, rest) = split(data).ok_or_else(malformed)?;
        data = rest;
        let equals = record.iter().position(|byte| *byte == b'=');
        let (key, value) = record.split_at(equals.ok_or_else(malformed)?);
        pax.apply(key, &value[1..]).ok_or_else(malformed)?;
    }
    Ok(pax)
}

fn malformed() -> io::Error {
    bad("malformed PAX header")
}

/// The first record without its length and newline, and what follows it.
fn split(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = data.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&data[..space])?).ok()?;
    let record = data.get(space + 1..length)?;
    Some((record.strip_suffix(b"\n")?, data.get(length..)?))
}

impl Pax {
    fn apply(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        if let Some(name) = key.strip_prefix(ATTRIBUTE) {
            if name.is_empty() || name.contains(&0) {
                return None;
            }
            self.attributes.retain(|(known, _)| known != name);
            self.attributes.push((name.to_vec(), value.to_vec()));
            return Some(());
        }
        // An empty value takes back an earlier record.
        let is_given = !value.is_empty();
        match key {
            b"path" if is_given => self.path = Some(text(value)?),
            b"linkpath" if is_given => self.link = Some(text(value)?),
            b"size" if is_given => self.size = Some(decimal(value)? as u64),
            b"uid" if is_given => self.uid = Some(decimal(value)?),
            b"gid" if is_given => self.gid = Some(decimal(value)?),
            b"mtime" if is_given => self.modified = Some(time(value)?),
            b"path" => self.path = None,
            b"linkpath" => self.link = None,
            b"size" => self.size = None,
            b"uid" => self.uid = None,
            b"gid" => self.gid = None,
            b"mtime" => self.modified = None,
            _ => {
                if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    self.apply_sparse(key, value)?;
                }
            }
        }
        Some(())
    }

    fn apply_sparse(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let sparse = self.sparse.get_or_insert_default();
        match key {
            b"name" => sparse.path = text(value),
            b"size" | b"realsize" => sparse.size = decimal(value)?,
            b"map" => {
                let numbers = value.split(|byte| *byte == b',').map(decimal);
                sparse.map = Some(numbers.collect::<Option<Vec<i64>>>()?);
            }
            b"major" | b"minor" | b"numblocks" => {}
            // Format 0.0 (GNU tar 1.14) repeats `offset` and `numbytes`.
            _ => return None,
        }
        Some(())
    }
}

/// A name can't hold a NUL; a reader that cuts there would see another file than one that does not.
fn text(value: &[u8]) -> Option<Vec<u8>> {
    (!value.contains(&0)).then(|| value.to_vec())
}

/// Decimal digits and nothing else, up to what a signed 64-bit number holds.
pub fn decimal(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0i64, |value, byte| match byte {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    })
}

/// `[-]SECONDS[.FRACTION]`.
fn time(value: &[u8]) -> Option<ModifiedAt> {
    let (is_negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let mut parts = value.splitn(2, |byte| *byte == b'.');
    let seconds = decimal(parts.next()?)?;
    let mut nanos = 0;
    if let Some(fraction) = parts.next() {
        if !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        for at in 0..9 {
            nanos = nanos * 10 + u32::from(fraction.get(at).map_or(0, |byte| byte - b'0'));
        }
    }
    // The kernel counts nanoseconds forward from the second before.
    Some(match (is_negative, nanos) {
        (false, _) => ModifiedAt { seconds, nanos },
        (true, 0) => ModifiedAt {
            seconds: -seconds,
            nanos,
        },
        (true, _) => ModifiedAt {
            seconds: -seconds - 1,
            nanos: 1_000_000_000 - nanos,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_binary_and_the_last_record_wins() {
        let pax = parse(
            b"10 path=a\n9 path=b\n13 size=1234\n33 SCHILY.xattr.user.x=a\nb=c\0d\ne\n\
              22 mtime=-1.250000000\n",
        );
        let pax = pax.unwrap();
        assert_eq!(pax.path.unwrap(), b"b");
        assert_eq!(pax.size, Some(1234));
        assert_eq!(
            pax.attributes,
            [(b"user.x".to_vec(), b"a\nb=c\0d\ne".to_vec())]
        );
        let modified = pax.modified.unwrap();
        assert_eq!((modified.seconds, modified.nanos), (-2, 750_000_000));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for data in [
            &b"11 path=a\n"[..],
            b"8 path=a\n",
            b"10 path=a ",
            b"path=a\n",
            b"-1 path=a\n",
            b"+10 path=a\n",
            b"99999999999999999999 path=a\n",
            b"9 pathaa\n",
            b"11 path=a\0\n",
            b"11 size=-1\n",
            b"28 size=9223372036854775808\n",
            b"10 uid=0x\n",
            b"12 mtime=1e\n",
            b"2 \n",
            b"1\n",
            b"24 GNU.sparse.offset=12\n",
        ] {
            assert!(parse(data).is_err(), "{:?}", String::from_utf8_lossy(data));
        }
    }

    #[test]
    fn an_empty_value_takes_a_record_back() {
        let pax = parse(b"10 path=a\n8 path=\n").unwrap();
        assert_eq!(pax.path, None);
    }
}
