//! The log driver and its options.

use super::not_yet;
use crate::error::{Error, Result};
use crate::wire::container::{HostConfig, LogConfig};

/// Take the default driver where none is asked for.
pub fn check(host: &mut HostConfig) -> Result<()> {
    let log = host.log_config.get_or_insert_with(LogConfig::default);
    match log.kind.as_deref() {
        None | Some("") => log.kind = Some("json-file".to_string()),
        Some("json-file" | "none") => {}
        Some(other) => return Err(not_yet(format_args!("logging driver \"{other}\""))),
    }
    limits(log)?;
    Ok(())
}

/// `max-size` in bytes and `max-file` of the json-file driver.
pub fn limits(log: &LogConfig) -> Result<(Option<u64>, Option<u32>)> {
    let (mut bytes, mut files) = (None, None);
    for (key, value) in log.config.iter().flatten() {
        let invalid = || Error::invalid(format!("invalid value \"{value}\" for log opt \"{key}\""));
        match key.as_str() {
            "max-size" => bytes = Some(parse_size(value).ok_or_else(invalid)?),
            "max-file" => {
                let count = value.parse().ok().filter(|count| *count > 0);
                files = Some(count.ok_or_else(invalid)?);
            }
            other => {
                return Err(Error::invalid(format!(
                    "unknown log opt '{other}' for json-file log driver"
                )));
            }
        }
    }
    if files.is_some_and(|files| files > 1) && bytes.is_none() {
        return Err(Error::invalid(
            "max-file cannot be more than 1 without max-size",
        ));
    }
    Ok((bytes, files))
}

/// `10m`, `512k`, `1g`, `-1` (no limit) or plain bytes, in powers of 1024.
fn parse_size(text: &str) -> Option<u64> {
    if text == "-1" {
        return Some(0);
    }
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let lower = lower.strip_suffix('i').unwrap_or(lower);
    let (digits, shift) = match lower.as_bytes().last()? {
        b'k' => (lower.strip_suffix('k')?, 10),
        b'm' => (lower.strip_suffix('m')?, 20),
        b'g' => (lower.strip_suffix('g')?, 30),
        _ => (lower, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_logs_are_read_as_docker_reads_them() {
        assert_eq!(parse_size("10m"), Some(10 << 20));
        assert_eq!(parse_size("1KiB"), Some(1024));
        assert_eq!(parse_size("7"), Some(7));
        assert_eq!(parse_size("-1"), Some(0));
        for bad in ["", "m", "1.5m", "-2", "99999999999g"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }
}
