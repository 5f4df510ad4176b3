//! Sizes and times as people write and read them (Docker's go-units).

use crate::error::{Error, Result};
use crate::time::Time;
use crate::time::moment::parse_decimal;
use std::time::Duration;

const DECIMAL: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
const BINARY: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// `4.26MB`: three digits that count.
pub fn size(bytes: i64) -> String {
    scaled(u64::try_from(bytes).unwrap_or(0), 1000, 3, &DECIMAL)
}

/// The same with four digits: what sums of sizes are told in.
pub fn size_in_four(bytes: i64) -> String {
    scaled(u64::try_from(bytes).unwrap_or(0), 1000, 4, &DECIMAL)
}

/// `7.654GiB`: four digits that count.
pub fn memory(bytes: i64) -> String {
    scaled(u64::try_from(bytes).unwrap_or(0), 1024, 4, &BINARY)
}

/// In integers: floating point would cost more code than all of this.
fn scaled(bytes: u64, base: u64, digits: u32, units: &[&str]) -> String {
    let (mut unit, mut whole) = (0, 1u64);
    while bytes / whole >= base && unit + 1 < units.len() {
        whole *= base;
        unit += 1;
    }
    let before = (bytes / whole).checked_ilog10().unwrap_or(0) + 1;
    let after = digits.saturating_sub(before);
    let ten = 10u128.pow(after);
    let rounded = (u128::from(bytes) * ten + u128::from(whole) / 2) / u128::from(whole);
    let mut text = (rounded / ten).to_string();
    if after > 0 {
        let fraction = format!(".{:0width$}", rounded % ten, width = after as usize);
        text.push_str(fraction.trim_end_matches('0').trim_end_matches('.'));
    }
    text.push_str(units.get(unit).unwrap_or(&""));
    text
}

/// `3 minutes`, `About an hour`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let hours = (seconds + 1800) / 3600;
    let (count, unit) = match seconds {
        0 => return "Less than a second".to_string(),
        1 => return "1 second".to_string(),
        2..60 => (seconds, "seconds"),
        60..120 => return "About a minute".to_string(),
        120..3600 => (seconds / 60, "minutes"),
        _ if hours == 1 => return "About an hour".to_string(),
        _ if hours < 48 => (hours, "hours"),
        _ if hours < 24 * 7 * 2 => (hours / 24, "days"),
        _ if hours < 24 * 30 * 2 => (hours / 24 / 7, "weeks"),
        _ if hours < 24 * 365 * 2 => (hours / 24 / 30, "months"),
        _ => (seconds / 3600 / 24 / 365, "years"),
    };
    format!("{count} {unit}")
}

/// `3 minutes ago`, for a time in seconds since 1970.
pub fn ago(seconds: i64) -> String {
    let then = Time {
        seconds: u64::try_from(seconds).unwrap_or(0),
        nanos: 0,
    };
    format!("{} ago", duration(Time::now().since(then)))
}

/// `2026-01-02 03:04:05 +0000 UTC`: Go's way of printing a time.
pub fn date(seconds: i64) -> String {
    let time = Time {
        seconds: u64::try_from(seconds).unwrap_or(0),
        nanos: 0,
    };
    let text = time.rfc3339();
    format!("{} +0000 UTC", text.trim_end_matches('Z').replace('T', " "))
}

/// `512m`, `1.5g`, `64KiB`, `100`: in steps of 1024.
pub fn parse_size(text: &str) -> Result<i64> {
    let invalid = || Error::invalid(format!("invalid size: '{text}'"));
    let at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let unit = unit.trim_start_matches(' ').to_ascii_lowercase();
    let shift = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return Err(invalid()),
    };
    parse_decimal(number, 1 << shift).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_digits_that_count() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (4_261_502, "4.26MB"),
            (77_800_000, "77.8MB"),
            (123_456_789, "123MB"),
            (1_130_000_000, "1.13GB"),
            (i64::MAX, "9.22EB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(memory(8_217_640_960), "7.653GiB");
        assert_eq!(memory(1024), "1KiB");
    }

    #[test]
    fn durations_read_like_dockers() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (180, "3 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (5400, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (15 * 86_400, "2 weeks"),
            (70 * 86_400, "2 months"),
            (3 * 365 * 86_400, "3 years"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn sizes_are_read_in_steps_of_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("100", 100),
            ("100b", 100),
            ("4k", 4096),
            ("512m", 512 << 20),
            ("1.5g", 3 << 29),
            ("64KiB", 64 << 10),
            (".5M", 1 << 19),
        ] {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for text in [
            "",
            "abc",
            "-1",
            "1x",
            "1.2.3",
            ".",
            "99999999999999999999",
            "9999999p",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
