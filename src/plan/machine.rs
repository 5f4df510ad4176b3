//! `machine.json`: what a board is besides its containers.
//!
//! `boot` says what the members mean. Here they are read, and a member that nobody knows is refused:
//! a slip in a file that is read once a boot would be found in the field.

use super::hint::hint;
use super::words;
use crate::error::{Error, Result};
use crate::json::map::Map;
use crate::json::node::Node;
use crate::json::value::{Members, Outcome, Reader, Refused, Value, json_struct};
use std::time::Duration;

json_struct! {
    #[derive(Clone, Debug, Default)]
    pub struct Machine {
        pub hostname: Option<String>,
        /// Each as modprobe takes it: a name, and parameters behind it.
        pub modules: Option<Vec<String>>,
        pub sysctl: Option<Map<Word>>,
        pub mounts: Option<Vec<Point>>,
        pub addresses: Option<Vec<Address>>,
        /// Name servers.
        pub dns: Option<Vec<String>>,
        pub watchdog: Option<Watchdog>,
        /// Options of `tug engine`.
        pub engine: Option<Vec<String>>,
        pub shutdown: Option<Shutdown>,
        pub rescue: Option<Rescue>,
    }

    /// One line of an fstab.
    #[derive(Clone, Debug, Default)]
    pub struct Point {
        pub source: Option<String>,
        pub target: Option<String>,
        pub kind: Option<String> = "type",
        /// `ro,noatime`.
        pub options: Option<String>,
        /// How long to wait for the device.
        pub timeout: Option<Span>,
        /// The board boots without it.
        pub optional: Option<bool>,
    }

    /// A static address. Those of the kernel's `ip=` are there before us.
    #[derive(Clone, Debug, Default)]
    pub struct Address {
        pub device: Option<String>,
        /// With the length of its prefix: `192.168.1.5/24`.
        pub address: Option<String>,
        pub gateway: Option<String>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct Watchdog {
        /// `/dev/watchdog` unless said.
        pub device: Option<String>,
        /// After which the hardware resets the board.
        pub timeout: Option<Span>,
        /// Between two feedings.
        pub interval: Option<Span>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct Shutdown {
        /// For stopping the containers.
        pub deadline: Option<Span>,
    }

    /// What runs when nothing else can.
    #[derive(Clone, Debug, Default)]
    pub struct Rescue {
        pub command: Option<Vec<String>>,
    }
}

/// `1m30s` in a document, or a number of seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Span(pub Duration);

/// A string, or a number or boolean as it is written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Word(pub String);

impl Value for Word {
    fn read(&mut self, from: &mut Reader<'_>) -> Outcome {
        self.0 = from.word()?;
        Ok(())
    }

    fn write(&self, to: &mut String) {
        self.0.write(to);
    }
}

impl Value for Span {
    fn read(&mut self, from: &mut Reader<'_>) -> Outcome {
        let mut text = from.word()?;
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            text.push('s');
        }
        self.0 = words::duration(&text).map_err(|_| Refused)?;
        Ok(())
    }

    fn write(&self, to: &mut String) {
        crate::time::moment::shown(self.0).write(to);
    }
}

pub fn read(text: &str) -> Result<Machine> {
    let node = super::entry::document(text)?;
    let machine: Machine = crate::json::parse(text, "").map_err(|mut error| {
        let plain = error.message.trim_start_matches(": invalid JSON: ");
        error.message = plain.to_string();
        error
    })?;
    known(node, machine.names(), "")?;
    for (member, names) in [
        ("mounts", Point::default().names()),
        ("addresses", Address::default().names()),
        ("watchdog", Watchdog::default().names()),
        ("shutdown", Shutdown::default().names()),
        ("rescue", Rescue::default().names()),
    ] {
        let value = node.at(member);
        match value.json().starts_with('[') {
            true => value
                .items()
                .into_iter()
                .try_for_each(|item| known(item, names, member))?,
            false => known(value, names, member)?,
        }
    }
    Ok(machine)
}

/// Refuse members that are not among `names`.
fn known(node: Node<'_>, names: &str, of: &str) -> Result<()> {
    let dot = if of.is_empty() { "" } else { "." };
    let mut seen: Vec<String> = Vec::new();
    for (member, _) in node.pairs() {
        if seen.contains(&member) {
            return Err(Error::invalid(format!(
                "{of}{dot}{member} stands there twice"
            )));
        }
        let mut known = names.split_terminator(' ');
        if !known.clone().any(|known| known == member) {
            let hint = hint(&member, &mut known);
            return Err(Error::invalid(format!(
                "there is no member {of}{dot}{member}{hint}"
            )));
        }
        seen.push(member);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_read() {
        let machine = read(
            r#"{"hostname":"board","modules":["ext4","usbserial vendor=0x1"],
            "sysctl":{"net.ipv4.ip_forward":1,"kernel.panic":"10"},
            "mounts":[{"source":"/dev/mmcblk0p2","target":"/data","type":"ext4","timeout":"10s"}],
            "addresses":[{"device":"eth0","address":"10.0.2.15/24","gateway":"10.0.2.2"}],
            "watchdog":{"timeout":30,"interval":"10s"},"shutdown":{"deadline":"20s"}}"#,
        )
        .unwrap();
        assert_eq!(machine.hostname.as_deref(), Some("board"));
        let sysctl = machine.sysctl.unwrap();
        assert_eq!(sysctl["net.ipv4.ip_forward"].0, "1");
        let watchdog = machine.watchdog.unwrap();
        assert_eq!(watchdog.timeout, Some(Span(Duration::from_secs(30))));
        assert_eq!(watchdog.interval, Some(Span(Duration::from_secs(10))));
        let mounts = machine.mounts.unwrap();
        assert_eq!(mounts[0].kind.as_deref(), Some("ext4"));
    }

    #[test]
    fn slips_are_refused() {
        for (text, expected) in [
            (
                r#"{"hostnam":"b"}"#,
                "there is no member hostnam (did you mean hostname?)",
            ),
            (
                r#"{"watchdog":{"interwal":"1s"}}"#,
                "there is no member watchdog.interwal (did you mean interval?)",
            ),
            (
                r#"{"mounts":[{"target":"/a"},{"path":"/a"}]}"#,
                "there is no member mounts.path",
            ),
            (
                r#"{"watchdog":{"timeout":"soon"}}"#,
                "watchdog.timeout cannot be this value",
            ),
            (r#"{"modules":"ext4"}"#, "modules cannot be this string"),
            (r#"{"dns":[],"dns":[]}"#, "dns stands there twice"),
            (r#"{"sysctl":{"a":[]}}"#, "sysctl.a cannot be a list"),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), expected, "{text}");
        }
    }
}
