//! What a volume of the driver `local` may be told, and what becomes of it: a file system of `type`
//! on `device`, with the options `o` (moby, volume/local; the names of flags are mount(8)'s).

use crate::error::{Context, Error, Result};
use crate::json::map::Map;
use crate::json::node::quote;
use crate::store::limit;
use crate::volume::Volume;
use rustix::mount::{MountFlags, MountPropagationFlags};
use std::net::{IpAddr, ToSocketAddrs};

/// Each with those that it does not go without.
const KNOWN: [(&str, &[&str]); 4] = [
    ("device", &["type"]),
    ("o", &["device", "type"]),
    ("size", &[]),
    ("type", &["device"]),
];

pub fn check(options: Option<&Map<String>>) -> Result<()> {
    let Some(options) = options else {
        return Ok(());
    };
    for name in options.keys() {
        let Some((_, needed)) = KNOWN.iter().find(|(known, _)| known == name) else {
            return Err(Error::invalid(format!("invalid option: {}", quote(name))));
        };
        if let Some(missing) = needed.iter().find(|name| !options.contains_key(name)) {
            return Err(Error::invalid(format!(
                "missing required option: {missing:?}"
            )));
        }
    }
    let text = |name: &str| options.get(name).map_or("", String::as_str);
    if size(Some(options))?.is_some() && !text("type").is_empty() {
        return Err(Error::invalid(
            "the option size is for volumes without type: use o=size=... for a tmpfs",
        ));
    }
    if text("type") == "cifs" && share_host(text("device")).is_some_and(|host| host.contains(':')) {
        return Err(Error::invalid(
            "port not allowed in CIFS device URL, include 'port' in 'o='",
        ));
    }
    Ok(())
}

/// What a volume may take that is a plain directory.
pub fn size(options: Option<&Map<String>>) -> Result<Option<u64>> {
    let text = options.and_then(|options| options.get("size"));
    let size = text.map(|text| limit::parse(text)).transpose()?;
    Ok(size.filter(|bytes| *bytes > 0))
}

/// A mount, as the kernel wants it told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Mount {
    pub device: String,
    pub kind: String,
    pub flags: u32,
    pub propagation: u32,
    pub data: String,
}

/// What to mount for a volume; `None` for one that is a plain directory.
pub fn mount(volume: &Volume, resolve: &dyn Fn(&str) -> Result<IpAddr>) -> Result<Option<Mount>> {
    let (kind, mut device) = (volume.option("type"), volume.option("device").to_string());
    if kind.is_empty() && device.is_empty() {
        return Ok(None);
    }
    if device.is_empty() {
        return Err(Error::invalid("missing device in volume options"));
    }
    let mut options = volume.option("o").to_string();
    let unresolved = || "error resolving passed in network volume address";
    if matches!(kind, "nfs" | "nfs4" | "cifs") {
        let address = options
            .split(',')
            .find_map(|option| option.strip_prefix("addr="));
        if let Some(name) = address.map(str::to_string) {
            if !name.is_empty() && name.parse::<IpAddr>().is_err() {
                let address = resolve(&name).context(unresolved)?;
                options = options.replacen(&format!("addr={name}"), &format!("addr={address}"), 1);
            }
        } else if kind == "cifs"
            && let Some(host) = share_host(&device).filter(|host| host.parse::<IpAddr>().is_err())
        {
            let address = resolve(host).context(unresolved)?;
            device = device.replacen(host, &address.to_string(), 1);
        }
    }
    let mut mount = Mount {
        device,
        kind: kind.to_string(),
        ..Mount::default()
    };
    mount.take(&options);
    Ok(Some(mount))
}

/// The host of `//host/share`.
fn share_host(device: &str) -> Option<&str> {
    let (_, rest) = device.split_once("//")?;
    rest.split('/').next().filter(|host| !host.is_empty())
}

/// As the host's resolver has it.
pub fn resolve(name: &str) -> Result<IpAddr> {
    let found = (name, 0).to_socket_addrs();
    let found = found.map_err(|e| Error::io(format_args!("lookup {name}"), &e))?;
    // A list of both: what Go's net.ResolveIPAddr takes is the first of version 4, if there is one.
    let all: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    let best = all.iter().find(|ip| ip.is_ipv4()).or(all.first());
    best.copied()
        .ok_or_else(|| Error::not_found(format!("lookup {name}: no address")))
}

/// Names of flags: what they set and what they take away.
const FLAGS: [(&str, MountFlags, bool); 22] = [
    ("async", MountFlags::SYNCHRONOUS, false),
    ("atime", MountFlags::NOATIME, false),
    ("bind", MountFlags::BIND, true),
    ("dev", MountFlags::NODEV, false),
    ("diratime", MountFlags::NODIRATIME, false),
    ("dirsync", MountFlags::DIRSYNC, true),
    ("exec", MountFlags::NOEXEC, false),
    ("mand", MountFlags::PERMIT_MANDATORY_FILE_LOCKING, true),
    ("noatime", MountFlags::NOATIME, true),
    ("nodev", MountFlags::NODEV, true),
    ("nodiratime", MountFlags::NODIRATIME, true),
    ("noexec", MountFlags::NOEXEC, true),
    ("nomand", MountFlags::PERMIT_MANDATORY_FILE_LOCKING, false),
    ("norelatime", MountFlags::RELATIME, false),
    ("nostrictatime", MountFlags::STRICTATIME, false),
    ("nosuid", MountFlags::NOSUID, true),
    ("relatime", MountFlags::RELATIME, true),
    ("ro", MountFlags::RDONLY, true),
    ("rw", MountFlags::RDONLY, false),
    ("strictatime", MountFlags::STRICTATIME, true),
    ("suid", MountFlags::NOSUID, false),
    ("sync", MountFlags::SYNCHRONOUS, true),
];

/// MS_REC of mount(2): also for binds.
const RECURSIVE: u32 = MountPropagationFlags::REC.bits();

impl Mount {
    fn take(&mut self, options: &str) {
        let mut data = Vec::new();
        for option in options.split(',') {
            if let Some((_, flag, sets)) = FLAGS.iter().find(|(name, ..)| *name == option) {
                match sets {
                    true => self.flags |= flag.bits(),
                    false => self.flags &= !flag.bits(),
                }
                continue;
            }
            match option {
                "" | "defaults" => {}
                "rbind" => self.flags |= MountFlags::BIND.bits() | RECURSIVE,
                other => match propagation(other) {
                    Some(flags) => self.propagation |= flags,
                    None => data.push(other),
                },
            }
        }
        self.data = data.join(",");
    }
}

fn propagation(name: &str) -> Option<u32> {
    let (plain, deep) = match name.strip_prefix('r') {
        Some(plain) => (plain, RECURSIVE),
        None => (name, 0),
    };
    let kind = match plain {
        "private" => MountPropagationFlags::PRIVATE,
        "shared" => MountPropagationFlags::SHARED,
        "slave" => MountPropagationFlags::DOWNSTREAM,
        "unbindable" => MountPropagationFlags::UNBINDABLE,
        _ => return None,
    };
    Some(kind.bits() | deep)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Asked;

    fn volume(options: &[(&str, &str)]) -> Volume {
        let pair = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        let mut map = Map::new();
        map.extend(options.iter().map(pair));
        Volume {
            name: "data".to_string(),
            asked: Asked {
                options: Some(map),
                ..Asked::default()
            },
            data: "/nowhere".into(),
        }
    }

    fn told(options: &[(&str, &str)]) -> Mount {
        let resolve = |name: &str| match name {
            "server" => Ok(IpAddr::from([192, 0, 2, 7])),
            _ => Err(Error::not_found("no such host")),
        };
        mount(&volume(options), &resolve).unwrap().unwrap()
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        for (options, sentence) in [
            (&[("foo", "x")][..], "invalid option: \"foo\""),
            (&[("device", "/x")], "missing required option: \"type\""),
            (&[("type", "nfs")], "missing required option: \"device\""),
            (
                &[("o", "bind"), ("type", "none")],
                "missing required option: \"device\"",
            ),
            (
                &[("type", "cifs"), ("device", "//host:445/x")],
                "port not allowed in CIFS device URL, include 'port' in 'o='",
            ),
        ] {
            let volume = volume(options);
            let error = check(volume.asked.options.as_ref()).unwrap_err();
            assert_eq!(error.message, sentence);
        }
        assert!(check(None).is_ok());
        assert!(
            mount(&volume(&[("size", "1m")]), &resolve)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn flags_and_what_is_for_the_file_system_are_told_apart() {
        let mount = told(&[
            ("type", "tmpfs"),
            ("device", "tmpfs"),
            ("o", "size=1m,nodev,uid=7,ro,rw,noatime,rslave"),
        ]);
        assert_eq!(mount.data, "size=1m,uid=7");
        assert_eq!(
            mount.flags,
            (MountFlags::NODEV | MountFlags::NOATIME).bits()
        );
        assert_eq!(
            mount.propagation,
            (MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC).bits()
        );
        let mount = told(&[("type", "none"), ("device", "/srv"), ("o", "rbind,ro")]);
        assert_eq!((mount.flags, mount.data.as_str()), (0x5001, ""));
    }

    #[test]
    fn names_of_servers_become_addresses() {
        let of = |kind: &str, device: &str, o: &str| {
            let mount = told(&[("type", kind), ("device", device), ("o", o)]);
            (mount.device, mount.data)
        };
        let pair = |a: &str, b: &str| (a.to_string(), b.to_string());
        assert_eq!(
            of("nfs", ":/x", "addr=server,nfsvers=4,soft"),
            pair(":/x", "addr=192.0.2.7,nfsvers=4,soft")
        );
        assert_eq!(
            of("nfs4", ":/x", "addr=192.0.2.9"),
            pair(":/x", "addr=192.0.2.9")
        );
        assert_eq!(
            of("cifs", "//server/x", "username=a"),
            pair("//192.0.2.7/x", "username=a")
        );
        assert_eq!(
            of("cifs", "//other/x", "addr=server"),
            pair("//other/x", "addr=192.0.2.7")
        );
        let bad = volume(&[("type", "nfs"), ("device", ":/"), ("o", "addr=nobody")]);
        let resolve = |_: &str| Err(Error::not_found("no such host"));
        assert_eq!(
            mount(&bad, &resolve).unwrap_err().message,
            "error resolving passed in network volume address: no such host"
        );
    }
}
