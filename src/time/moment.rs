//! Spans and moments of time as people write them: `10m`, `1h30m`, `2026-01-02`, `1136073845.5`.

use crate::error::{Error, Result};
use crate::time::Time;
use std::time::Duration;

/// `since`, `until`: a time, a date (UTC), seconds since 1970, or how long before `now`.
pub fn parse(text: &str, now: Time) -> Result<Time> {
    if let Some(nanos) = parse_duration(text).and_then(|nanos| u64::try_from(nanos).ok()) {
        let now = Duration::new(now.seconds, now.nanos);
        let then = now.saturating_sub(Duration::from_nanos(nanos));
        return Ok(Time {
            seconds: then.as_secs(),
            nanos: then.subsec_nanos(),
        });
    }
    if let Some(time) = parse_seconds(text) {
        return Ok(time);
    }
    // What Docker lets one leave out at the end.
    let full = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        13 => format!("{text}:00:00Z"),
        16 => format!("{text}:00Z"),
        19 => format!("{text}Z"),
        _ => text.to_string(),
    };
    Time::parse(&full)
        .or_else(|_| Time::parse(&format!("{text}Z")))
        .map_err(|_| {
            Error::invalid(format!(
                "failed to parse value as time or duration: {text:?}"
            ))
        })
}

/// Seconds since 1970, with a fraction or without.
fn parse_seconds(text: &str) -> Option<Time> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(seconds) || !is_number(fraction) {
        return None;
    }
    let nanos = format!("{fraction:0<9}");
    Some(Time {
        seconds: seconds.parse().ok()?,
        nanos: nanos.get(..9)?.parse().ok()?,
    })
}

/// `number`, which may have a fraction, times `unit`.
pub fn parse_decimal(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits = |text: &str| match text {
        "" => Some(0),
        text if text.bytes().all(|b| b.is_ascii_digit()) => text.parse::<i64>().ok(),
        _ => None,
    };
    let fraction = fraction.get(..12).unwrap_or(fraction);
    let part = i128::from(digits(fraction)?) * i128::from(unit) / 10i128.pow(fraction.len() as u32);
    digits(whole)?
        .checked_mul(unit)?
        .checked_add(i64::try_from(part).ok()?)
}

/// Go's durations: `42m`, `1h30m`, `1.5s`, in nanoseconds.
pub fn parse_duration(text: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 7] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let mut total = 0i64;
    let mut rest = text;
    while !rest.is_empty() || text.is_empty() {
        let at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(at);
        let end = behind
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(parse_decimal(number, *nanos)?)?;
        rest = behind;
    }
    Some(total)
}

/// The same in writing: `5m0s`, `1.5s`, `20ms`.
pub fn shown(duration: std::time::Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    let part = |whole: u64, fraction: u32, digits: usize, unit: &str| {
        let fraction = format!("{fraction:0digits$}");
        match fraction.trim_end_matches('0') {
            "" => format!("{whole}{unit}"),
            fraction => format!("{whole}.{fraction}{unit}"),
        }
    };
    let below = match (seconds, nanos) {
        (0, 1..1_000) => return format!("{nanos}ns"),
        (0, 1_000..1_000_000) => return part(u64::from(nanos / 1_000), nanos % 1_000, 3, "µs"),
        (0, 1_000_000..) => return part(u64::from(nanos / 1_000_000), nanos % 1_000_000, 6, "ms"),
        _ => part(seconds % 60, nanos, 9, "s"),
    };
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => below,
        (0, minutes) => format!("{minutes}m{below}"),
        (hours, minutes) => format!("{hours}h{minutes}m{below}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_as_go_shows_them() {
        for text in [
            "0s",
            "1s",
            "1.5s",
            "5m0s",
            "1h0m0s",
            "25h1m0.25s",
            "20ms",
            "1.5ms",
            "7µs",
            "9ns",
        ] {
            let nanos = u64::try_from(parse_duration(text).unwrap()).unwrap();
            assert_eq!(shown(std::time::Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn moments_are_read_in_all_of_dockers_forms() {
        let now = Time {
            seconds: 1_800_000_000,
            nanos: 0,
        };
        for (text, seconds, nanos) in [
            ("42m", 1_799_997_480, 0),
            ("1h30m", 1_799_994_600, 0),
            ("1.5s", 1_799_999_998, 500_000_000),
            ("1136073845", 1_136_073_845, 0),
            ("1136073845.5", 1_136_073_845, 500_000_000),
            ("1.000000001", 1, 1),
            ("2013-01-02T13:23:37Z", 1_357_133_017, 0),
            ("2013-01-02T13:23:37.5", 1_357_133_017, 500_000_000),
            ("2013-01-02T14:23:37+01:00", 1_357_133_017, 0),
            ("2013-01-02", 1_357_084_800, 0),
            ("2013-01-02T13:23", 1_357_132_980, 0),
        ] {
            let expected = Time { seconds, nanos };
            assert_eq!(parse(text, now).unwrap(), expected, "{text}");
        }
        for text in ["", "yesterday", "2013-13-01", "1x", "1.x", ".", "-1"] {
            assert!(parse(text, now).is_err(), "{text}");
        }
    }
}
