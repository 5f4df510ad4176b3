//! What a device is, out of /sys.

use crate::oci::spec::Device;
use crate::shim::hotplug::Match;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const SYS: &str = "/sys";

/// A device that has a node.
#[derive(Debug, Default, PartialEq)]
pub struct Found {
    /// Below /dev, as the kernel names it.
    devname: String,
    mode: Option<u32>,
    subsystem: String,
    vendor: String,
    product: String,
    serial: String,
}

/// The device that a notice is about, if it is one with a node: `char/188:0`.
///
/// A notice is a line `add@/devices/…` and `NAME=value`s, each with a NUL behind it.
pub fn device_of(notice: &[u8]) -> Option<String> {
    let notice = std::str::from_utf8(notice).ok()?;
    let value = |name: &str| {
        let mut pairs = notice.split('\0').filter_map(|line| line.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    // It becomes part of a path.
    let number = |name: &str| value(name)?.parse::<u32>().ok();
    let kind = match value("SUBSYSTEM")? {
        "block" => "block",
        _ => "char",
    };
    Some(format!("{kind}/{}:{}", number("MAJOR")?, number("MINOR")?))
}

/// All devices there are.
pub fn all() -> Vec<String> {
    let mut ids = Vec::new();
    for kind in ["char", "block"] {
        let dir = Path::new(SYS).join("dev").join(kind);
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            ids.push(format!("{kind}/{}", entry.file_name().to_string_lossy()));
        }
    }
    ids
}

/// `None`: it is not there, or has no node.
pub fn look(id: &str) -> Option<Found> {
    look_in(Path::new(SYS), id)
}

fn look_in(sys: &Path, id: &str) -> Option<Found> {
    // `../../devices/pci…/ttyUSB0`
    let link = std::fs::read_link(sys.join("dev").join(id)).ok()?;
    let dir = sys.join(link.strip_prefix("../..").ok()?);
    let mut found = Found::default();
    let text = std::fs::read_to_string(dir.join("uevent")).ok()?;
    for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
        match name {
            "DEVNAME" => found.devname = value.to_string(),
            "DEVMODE" => found.mode = u32::from_str_radix(value, 8).ok(),
            _ => {}
        }
    }
    if found.devname.is_empty() {
        return None;
    }
    if let Ok(link) = std::fs::read_link(dir.join("subsystem")) {
        let name = link.file_name().unwrap_or_default();
        found.subsystem = name.to_string_lossy().into_owned();
    }
    // The nearest of each kind: a hub further up has numbers too, and so has its host controller.
    let has = |file: &str| dir.ancestors().find(|above| above.join(file).exists());
    if let Some(usb) = has("idVendor") {
        found.vendor = attribute(usb, "idVendor");
        found.product = attribute(usb, "idProduct");
        found.serial = attribute(usb, "serial");
    } else if let Some(pci) = has("subsystem_vendor") {
        found.vendor = attribute(pci, "vendor");
        found.product = attribute(pci, "device");
    }
    Some(found)
}

fn attribute(dir: &Path, name: &str) -> String {
    let text = std::fs::read_to_string(dir.join(name)).unwrap_or_default();
    text.trim().to_string()
}

impl Found {
    pub fn fits(&self, wish: &Match) -> bool {
        let devname = wish.devname.as_deref();
        let devname = devname.map(|name| name.strip_prefix("/dev/").unwrap_or(name));
        let is = |pattern: Option<&str>, text: &str| {
            pattern.is_none_or(|pattern| is_like(pattern.as_bytes(), text.as_bytes()))
        };
        let number = |pattern: &Option<String>, text: &str| {
            let plain = |text: &str| {
                text.to_ascii_lowercase()
                    .trim_start_matches("0x")
                    .to_string()
            };
            is(pattern.as_deref().map(plain).as_deref(), &plain(text))
        };
        is(wish.subsystem.as_deref(), &self.subsystem)
            && is(devname, &self.devname)
            && number(&wish.vendor, &self.vendor)
            && number(&wish.product, &self.product)
            && is(wish.serial.as_deref(), &self.serial)
    }

    /// The node for it, as the host's is, where it has one already.
    pub fn device(&self, id: &str) -> Option<Device> {
        let (kind, numbers) = id.split_once('/')?;
        let (major, minor) = numbers.split_once(':')?;
        let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
        let path = PathBuf::from(format!("/dev/{}", self.devname));
        let host = std::fs::symlink_metadata(&path);
        let host = host
            .ok()
            .filter(|host| host.rdev() == rustix::fs::makedev(major, minor));
        Some(Device {
            path: Some(path.to_string_lossy().into_owned()),
            kind: Some(kind.get(..1)?.to_string()),
            major: Some(major),
            minor: Some(minor),
            file_mode: host.as_ref().map(|host| host.mode() & 0o777).or(self.mode),
            uid: host.as_ref().map(MetadataExt::uid),
            gid: host.as_ref().map(MetadataExt::gid),
        })
    }
}

/// `*` stands for any text, `?` for a byte.
fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    // Where the last star stood, and what it may stand for at least.
    let (mut at, mut in_text, mut star) = (0, 0, None);
    while in_text < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, in_text));
                at += 1;
            }
            Some(byte) if *byte == b'?' || Some(byte) == text.get(in_text) => {
                at += 1;
                in_text += 1;
            }
            _ => match star {
                Some((behind, taken)) => {
                    star = Some((behind, taken + 1));
                    (at, in_text) = (behind, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn stars_and_question_marks_stand_for_what_may_be_there() {
        for (pattern, text, fits) in [
            ("ttyUSB*", "ttyUSB0", true),
            ("ttyUSB?", "ttyUSB10", false),
            ("ttyUSB?", "ttyUSB1", true),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*b*c", "axxbyybc", true),
            ("a*b*c", "axxbyyb", false),
            ("snd/*", "snd/pcmC0D0c", true),
            ("*a*a*a*a*a*a*a*b", &"a".repeat(200), false),
        ] {
            assert_eq!(
                is_like(pattern.as_bytes(), text.as_bytes()),
                fits,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn a_notice_tells_where_to_look() {
        let id = |text: &str| device_of(text.replace('|', "\0").as_bytes());
        let of = |text: &str| Some(text.to_string());
        assert_eq!(
            id("add@/devices/x|ACTION=add|SUBSYSTEM=tty|MAJOR=188|MINOR=0|DEVNAME=ttyUSB0|"),
            of("char/188:0")
        );
        assert_eq!(
            id("remove@/x|SUBSYSTEM=block|MAJOR=7|MINOR=9|"),
            of("block/7:9")
        );
        for notice in [
            "",
            "add@/x|SUBSYSTEM=net|INTERFACE=eth0|",
            "add@/x|SUBSYSTEM=tty|MAJOR=../../x|MINOR=0|",
            "add@/x|SUBSYSTEM=tty|MAJOR=1|",
        ] {
            assert_eq!(id(notice), None, "{notice}");
        }
        assert_eq!(device_of(b"\xff\0MAJOR=1\0MINOR=1\0SUBSYSTEM=a\0"), None);
    }

    #[test]
    fn numbers_are_those_of_the_usb_device_and_not_of_its_hub() {
        let sys = std::env::temp_dir().join(format!("tug-hotplug-{}", std::process::id()));
        let hub = sys.join("devices/pci0/usb1");
        let tty = hub.join("1-1/1-1:1.0/ttyUSB0/tty/ttyUSB0");
        std::fs::create_dir_all(&tty).unwrap();
        let write =
            |dir: &Path, name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
        write(&hub, "idVendor", "1d6b\n");
        write(&hub.join("1-1"), "idVendor", "0403\n");
        write(&hub.join("1-1"), "idProduct", "6001\n");
        write(&hub.join("1-1"), "serial", "A600\n");
        write(
            &tty,
            "uevent",
            "MAJOR=188\nMINOR=0\nDEVNAME=ttyUSB0\nDEVMODE=0660\n",
        );
        symlink("../../../../../../../../class/tty", tty.join("subsystem")).unwrap();
        std::fs::create_dir_all(sys.join("dev/char")).unwrap();
        let link = Path::new("../..").join(tty.strip_prefix(&sys).unwrap());
        symlink(link, sys.join("dev/char/188:0")).unwrap();

        let found = look_in(&sys, "char/188:0").unwrap();
        let expected = Found {
            devname: "ttyUSB0".into(),
            mode: Some(0o660),
            subsystem: "tty".into(),
            vendor: "0403".into(),
            product: "6001".into(),
            serial: "A600".into(),
        };
        assert_eq!(found, expected);
        assert!(look_in(&sys, "char/188:1").is_none());
        std::fs::remove_dir_all(&sys).unwrap();

        let wish = |text: &str| crate::json::parse::<Match>(text, "test").unwrap();
        for (text, fits) in [
            ("{}", true),
            (
                r#"{"subsystem":"tty","vendor":"0403","product":"0x6001"}"#,
                true,
            ),
            (r#"{"devname":"/dev/ttyUSB*","serial":"A6*"}"#, true),
            (r#"{"vendor":"1d6b"}"#, false),
            (r#"{"subsystem":"usb"}"#, false),
        ] {
            assert_eq!(found.fits(&wish(text)), fits, "{text}");
        }
    }
}
