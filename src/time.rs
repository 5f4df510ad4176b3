//! Wall-clock times as Docker writes them: RFC 3339 in UTC with nanoseconds.

pub mod moment;

use crate::error::{Error, Result};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Docker's "never": the zero time of Go.
pub const NEVER: &str = "0001-01-01T00:00:00Z";

/// Seconds and nanoseconds since 1970, UTC. Times before 1970 do not occur on our hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    pub seconds: u64,
    pub nanos: u32,
}

impl Time {
    pub fn now() -> Time {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Time {
            seconds: since.as_secs(),
            nanos: since.subsec_nanos(),
        }
    }

    /// `2026-01-02T03:04:05.123456789Z`, as Docker's API and logs have it. Like Go's
    /// RFC3339Nano, without trailing zeros in the fraction.
    pub fn rfc3339(self) -> String {
        let mut text = self.to_second();
        if self.nanos != 0 {
            let fraction = format!(".{:09}", self.nanos);
            text.push_str(fraction.trim_end_matches('0'));
        }
        text.push('Z');
        text
    }

    /// `Jan  2 03:04:05`, as old syslog has it (RFC 3164, 4.1.2).
    pub fn stamp(self) -> String {
        const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
        let (_, month, day) = civil_from_days(self.seconds / 86_400);
        let from = (month as usize - 1) * 3;
        let name = MONTHS.get(from..from + 3).unwrap_or_default();
        let text = self.to_second();
        let clock = text.get(11..).unwrap_or_default();
        format!("{name} {day:2} {clock}")
    }

    fn to_second(self) -> String {
        let (year, month, day) = civil_from_days(self.seconds / 86_400);
        let second = self.seconds % 86_400;
        format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
            second / 3600,
            second / 60 % 60,
            second % 60
        )
    }

    /// Reads RFC 3339 with `Z` or an offset. Go's zero time and anything before 1970 read as 1970.
    pub fn parse(text: &str) -> Result<Time> {
        parse_rfc3339(text).ok_or_else(|| Error::invalid(format!("invalid time {text:?}")))
    }

    pub fn since(self, earlier: Time) -> Duration {
        let to = Duration::new(self.seconds, self.nanos);
        to.saturating_sub(Duration::new(earlier.seconds, earlier.nanos))
    }
}

/// Howard Hinnant's `civil_from_days`, for days since 1970.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

fn parse_rfc3339(text: &str) -> Option<Time> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        digits.parse().ok()
    };
    let sign = |at: usize, what: &[u8]| text.as_bytes().get(at).filter(|b| what.contains(b));
    sign(4, b"-")?;
    sign(7, b"-")?;
    sign(10, b"Tt ")?;
    sign(13, b":")?;
    sign(16, b":")?;
    let (month, day) = (number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let mut seconds =
        days_from_civil(number(0..4)?, month, day) * 86_400 + hour * 3600 + minute * 60 + second;

    let mut rest = text.get(19..)?;
    let mut nanos = 0u32;
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let mut padded = fraction.get(..digits.clamp(1, 9))?.to_string();
        while padded.len() < 9 {
            padded.push('0');
        }
        nanos = padded.parse().ok()?;
        rest = fraction.get(digits..)?;
    }
    match rest {
        "Z" | "z" => {}
        offset => {
            let at = text.len() - offset.len();
            let sign = match offset.as_bytes().first()? {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            if offset.len() != 6 || offset.as_bytes().get(3) != Some(&b':') {
                return None;
            }
            seconds -= sign * (number(at + 1..at + 3)? * 3600 + number(at + 4..at + 6)? * 60);
        }
    }
    Some(Time {
        seconds: u64::try_from(seconds).unwrap_or(0),
        nanos,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_back_as_they_were_written() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2026-11-21T05:07:28.000000001Z",
            "2039-02-28T23:59:59.5Z",
            "2400-02-29T00:00:00Z",
        ] {
            assert_eq!(Time::parse(text).unwrap().rfc3339(), text);
        }
    }

    #[test]
    fn old_stamps_have_one_width() {
        let stamp = |text| Time::parse(text).unwrap().stamp();
        assert_eq!(stamp("2026-01-02T03:04:05.6Z"), "Jan  2 03:04:05");
        assert_eq!(stamp("2026-12-31T23:59:59Z"), "Dec 31 23:59:59");
    }

    #[test]
    fn offsets_are_taken_off() {
        assert_eq!(
            Time::parse("2026-01-01T01:30:00+01:30").unwrap(),
            Time::parse("2026-01-01T00:00:00Z").unwrap()
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "now",
            "2026-13-01T00:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+1:00",
            "é026-01-01T00:00:00Z",
        ] {
            assert!(Time::parse(text).is_err(), "{text:?}");
        }
    }
}
