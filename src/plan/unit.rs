//! Unit files as systemd has them: sections, keys, values (systemd.syntax(7)), and what the values
//! mean: booleans, spans of time, specifiers (systemd.unit(5)).

use crate::error::{Error, Result};
use std::path::Path;
use std::time::Duration;

/// Assignments in their order.
#[derive(Debug, Default)]
pub struct Unit {
    lines: Vec<Line>,
}

#[derive(Debug)]
pub struct Line {
    pub section: String,
    pub key: String,
    pub value: String,
}

impl Unit {
    /// Add what `text` says: a unit file first, then its drop-ins.
    pub fn add(&mut self, text: &str) -> Result<()> {
        let mut section = String::new();
        let mut lines = text.lines().zip(1..);
        while let Some((line, number)) = lines.next() {
            let line = line.trim();
            if line.is_empty() || is_comment(line) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                section = name.to_string();
                continue;
            }
            let mut whole = line.to_string();
            while let Some(begun) = whole.strip_suffix('\\') {
                // Comments in between are none of it.
                let mut next = lines.by_ref().map(|(line, _)| line.trim());
                let next = next.find(|line| !is_comment(line));
                whole = format!("{begun} {}", next.unwrap_or_default());
            }
            let assignment = whole.split_once('=').filter(|_| !section.is_empty());
            let Some((key, value)) = assignment else {
                return Err(Error::invalid(format!(
                    "line {number}: KEY=VALUE in a [Section] is wanted"
                )));
            };
            self.lines.push(Line {
                section: section.clone(),
                key: key.trim().to_string(),
                value: value.trim().to_string(),
            });
        }
        Ok(())
    }

    /// The keys of a section, each once.
    pub fn keys(&self, section: &str) -> Vec<&str> {
        let mut keys: Vec<&str> = Vec::new();
        for line in self.lines.iter().filter(|line| line.section == section) {
            if !keys.contains(&line.key.as_str()) {
                keys.push(&line.key);
            }
        }
        keys
    }

    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|line| line.section.as_str())
    }

    /// All values of a key since the last empty one, which begins anew.
    pub fn all(&self, section: &str, key: &str) -> Vec<&str> {
        let mut values = Vec::new();
        let is_it = |line: &&Line| line.section == section && line.key == key;
        for line in self.lines.iter().filter(is_it) {
            match line.value.as_str() {
                "" => values.clear(),
                value => values.push(value),
            }
        }
        values
    }

    pub fn last(&self, section: &str, key: &str) -> Option<&str> {
        self.all(section, key).pop()
    }
}

fn is_comment(line: &str) -> bool {
    line.starts_with(['#', ';'])
}

/// As systemd reads one.
pub fn boolean(text: &str) -> Result<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Ok(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Ok(false),
        _ => Err(Error::invalid(format!("{text:?} is neither yes nor no"))),
    }
}

/// `90`, `5min 20s`; none for `infinity` (systemd.time(7)).
pub fn span(text: &str) -> Result<Option<Duration>> {
    const UNITS: [(&str, u64); 17] = [
        ("us", 1),
        ("usec", 1),
        ("ms", 1_000),
        ("msec", 1_000),
        ("", 1_000_000),
        ("s", 1_000_000),
        ("sec", 1_000_000),
        ("second", 1_000_000),
        ("m", 60_000_000),
        ("min", 60_000_000),
        ("minute", 60_000_000),
        ("h", 3_600_000_000),
        ("hr", 3_600_000_000),
        ("hour", 3_600_000_000),
        ("d", 86_400_000_000),
        ("day", 86_400_000_000),
        ("week", 604_800_000_000),
    ];
    if text == "infinity" {
        return Ok(None);
    }
    let wrong = || Error::invalid(format!("{text:?} is no span of time"));
    let mut total = 0u64;
    let mut rest = text.trim();
    loop {
        let end = rest.find(|c: char| !c.is_ascii_digit());
        let (number, behind) = rest.split_at(end.unwrap_or(rest.len()));
        let behind = behind.trim_start();
        let end = behind.find(|c: char| !c.is_ascii_alphabetic());
        let (unit, behind) = behind.split_at(end.unwrap_or(behind.len()));
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let is_it = |(name, _): &&(&str, u64)| {
            *name == unit || name.len() > 2 && unit.strip_suffix('s') == Some(name)
        };
        let (_, micros) = UNITS.iter().find(is_it).ok_or_else(wrong)?;
        let part = number.checked_mul(*micros).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = behind.trim_start();
        if rest.is_empty() {
            return Ok(Some(Duration::from_micros(total)));
        }
    }
}

/// What the specifiers of one unit stand for.
pub struct Names<'a> {
    /// Without an ending: `web`, `web@1`.
    pub unit: &'a str,
    pub path: &'a Path,
}

impl Names<'_> {
    /// `text` with its specifiers replaced.
    pub fn expand(&self, text: &str) -> Result<String> {
        let mut expanded = String::with_capacity(text.len());
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '%' => {
                    let specifier = letters.next().unwrap_or(' ');
                    expanded.push_str(&self.specifier(specifier)?);
                }
                letter => expanded.push(letter),
            }
        }
        Ok(expanded)
    }

    fn specifier(&self, letter: char) -> Result<String> {
        let (prefix, instance) = self.unit.split_once('@').unwrap_or((self.unit, ""));
        let of_file = |path: &str| {
            let text = crate::sys::fs::read_text(path)?;
            Ok::<_, Error>(text.trim().to_string())
        };
        Ok(match letter {
            '%' => "%".to_string(),
            'n' => format!("{}.service", self.unit),
            'N' => self.unit.to_string(),
            'p' => prefix.to_string(),
            'P' => unescape(prefix),
            'i' => instance.to_string(),
            'I' => unescape(instance),
            'j' => prefix.rsplit('-').next().unwrap_or_default().to_string(),
            'H' => of_file("/proc/sys/kernel/hostname")?,
            'l' => {
                let name = of_file("/proc/sys/kernel/hostname")?;
                name.split('.').next().unwrap_or_default().to_string()
            }
            'm' => of_file("/etc/machine-id")?,
            'b' => of_file("/proc/sys/kernel/random/boot_id")?.replace('-', ""),
            'v' => of_file("/proc/sys/kernel/osrelease")?,
            'y' => self.path.display().to_string(),
            'Y' => {
                let dir = self.path.parent().unwrap_or(Path::new("/"));
                dir.display().to_string()
            }
            't' => "/run".to_string(),
            'S' => "/var/lib".to_string(),
            'C' => "/var/cache".to_string(),
            'L' => "/var/log".to_string(),
            'E' => "/etc".to_string(),
            'T' => "/tmp".to_string(),
            'V' => "/var/tmp".to_string(),
            'h' => "/root".to_string(),
            'u' | 'g' => "root".to_string(),
            'U' | 'G' => "0".to_string(),
            other => {
                return Err(Error::invalid(format!(
                    "%{other} has no meaning without systemd: write what it stands for, or %% for a percent sign"
                )));
            }
        })
    }
}

/// What systemd-escape(1) made of a path or a name: `-` is `/`, `\x2d` a byte.
pub fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let code = rest.strip_prefix("\\x").and_then(|rest| rest.get(..2));
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = rest.get(4..).unwrap_or_default();
            }
            None => {
                let letter = if letter == '-' { '/' } else { letter };
                bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                rest = rest
                    .get(rest.chars().next().map_or(0, char::len_utf8)..)
                    .unwrap_or_default();
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_read_as_systemd_reads_it() {
        let mut unit = Unit::default();
        unit.add(
            "# comment\n[Unit]\nAfter=a.service\n; other\nAfter = b.service \n\n[Container]\n\
             Exec=sh \\\n# in between\n  -c x\nLabel=\nLabel=a=b\n[Empty]\n",
        )
        .unwrap();
        unit.add("[Unit]\nAfter=\nAfter=c.service\n").unwrap();
        assert_eq!(unit.all("Unit", "After"), ["c.service"]);
        assert_eq!(unit.last("Container", "Exec"), Some("sh  -c x"));
        assert_eq!(unit.all("Container", "Label"), ["a=b"]);
        assert_eq!(unit.keys("Container"), ["Exec", "Label"]);
        for (bad, line) in [("A=b", 1), ("[A]\nb", 2), ("[A\nb=c", 1)] {
            let error = Unit::default().add(bad).unwrap_err();
            assert!(
                error.message.starts_with(&format!("line {line}: ")),
                "{bad}"
            );
        }
        // A continuation at the end of the file ends there.
        let mut unit = Unit::default();
        unit.add("[A]\nb=c\\").unwrap();
        assert_eq!(unit.last("A", "b"), Some("c"));
    }

    #[test]
    fn booleans_and_spans() {
        assert!(boolean("Yes").unwrap() && !boolean("off").unwrap() && boolean("").is_err());
        for (text, seconds) in [
            ("90", 90),
            ("5min 20s", 320),
            ("1h", 3600),
            ("2 minutes", 120),
            ("1d1h", 90_000),
        ] {
            assert_eq!(
                span(text).unwrap(),
                Some(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        assert_eq!(span("infinity").unwrap(), None);
        for bad in [
            "",
            "soon",
            "5 parsecs",
            "99999999999999999999",
            "-1",
            "9999999999999w",
        ] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn specifiers_stand_for_what_they_can_mean_here() {
        let names = Names {
            unit: "my-web@a\\x2db-c",
            path: Path::new("/etc/tug/boot/services/x.container"),
        };
        let expand = |text| names.expand(text).unwrap();
        assert_eq!(expand("%p|%i|%I|%j"), "my-web|a\\x2db-c|a-b/c|web");
        assert_eq!(
            expand("%N %n %% %Y"),
            "my-web@a\\x2db-c my-web@a\\x2db-c.service % /etc/tug/boot/services"
        );
        assert!(!expand("%H").is_empty());
        assert_eq!(
            names.expand("a%d").unwrap_err().to_string(),
            "%d has no meaning without systemd: write what it stands for, or %% for a percent sign"
        );
        assert!(names.expand("100%").is_err());
    }
}
