//! Network devices of the host that are given to a container (config.json's `netDevices`).

use crate::error::{Context, Error, Result};
use crate::json::map::Map;
use crate::net::address::HEADER;
use crate::net::link::{self, IFF_UP, IFNAMSIZ, change, find};
use crate::net::namespace;
use crate::net::netlink::{self, Message, NETLINK_ROUTE, Netlink};
use crate::oci::spec::NetDevice;
use crate::sys::is;
use linux_raw_sys::netlink as kernel;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, OwnedFd};

const IFA_F_PERMANENT: u32 = 0x80;

/// Whether the kernel takes such names.
pub fn check(devices: &Map<NetDevice>) -> Result<()> {
    let mut names: Vec<&str> = Vec::new();
    for (name, device) in devices {
        let inside = name_inside(name, device);
        for name in [name.as_str(), inside] {
            if !link::is_name(name) {
                return Err(Error::invalid(format!(
                    "invalid network device name {name:?}"
                )));
            }
        }
        if names.contains(&inside) && !inside.contains("%d") {
            return Err(Error::invalid(format!(
                "config.json: two network devices are to be called {inside:?}"
            )));
        }
        names.push(inside);
    }
    Ok(())
}

fn name_inside<'a>(name: &'a str, device: &'a NetDevice) -> &'a str {
    let given = device.name.as_deref().filter(|name| !name.is_empty());
    given.unwrap_or(name)
}

/// Move the devices into `target`, a network namespace, each with its addresses, and up.
pub fn give(devices: &Map<NetDevice>, target: &OwnedFd) -> Result<()> {
    let mut here = Netlink::open(NETLINK_ROUTE)?;
    let mut there = namespace::within(target, || Netlink::open(NETLINK_ROUTE))?;
    for (name, device) in devices {
        let inside = free_name(&mut there, name_inside(name, device))?;
        give_one(&mut here, &mut there, target, name, &inside)
            .context(|| format!("network device {name:?}"))?;
    }
    Ok(())
}

fn give_one(
    here: &mut Netlink,
    there: &mut Netlink,
    target: &OwnedFd,
    name: &str,
    inside: &str,
) -> Result<()> {
    let index = find(here, name)?.index();
    let addresses = addresses_of(here, index).context(|| "read addresses")?;

    // One message for both, so that the old name never shows in the container. The kernel takes
    // the device down and its addresses away.
    let mut message = change(index, 0);
    let namespace = target.as_raw_fd().cast_unsigned();
    message
        .number(kernel::IFLA_NET_NS_FD as u32, namespace)
        .text(kernel::IFLA_IFNAME as u32, inside);
    here.ask(message).context(|| "move")?;

    let index = find(there, inside)?.index();
    for address in addresses {
        there
            .ask(address.message(index))
            .context(|| "add address")?;
    }
    there
        .ask(change(index, IFF_UP))
        .context(|| "bring up")
        .map(drop)
}

/// `%d` in a name stands for the first number that is free, as for the kernel.
fn free_name(there: &mut Netlink, name: &str) -> Result<String> {
    if !name.contains("%d") {
        return Ok(name.to_string());
    }
    for number in 0..=u16::MAX {
        let candidate = name.replacen("%d", &number.to_string(), 1);
        if candidate.len() < IFNAMSIZ
            && find(there, &candidate).is_err_and(|error| is(&error, Errno::NODEV))
        {
            return Ok(candidate);
        }
    }
    Err(Error::invalid(format!(
        "no network device name {name:?} is free"
    )))
}

/// An address to be kept.
struct Address {
    /// Family and length of the prefix.
    kind: [u8; 2],
    attributes: Vec<(u32, Vec<u8>)>,
}

impl Address {
    fn message(&self, index: u32) -> Message {
        let mut header = vec![self.kind[0], self.kind[1], 0, 0];
        header.extend(index.to_ne_bytes());
        let flags = kernel::NLM_F_CREATE | kernel::NLM_F_REPLACE;
        let mut message = Message::new(kernel::RTM_NEWADDR as u32, flags, &header);
        for (kind, value) in &self.attributes {
            message.put(*kind, value);
        }
        message
    }
}

/// The addresses that somebody has set, of global scope: others mean something on the host alone.
fn addresses_of(netlink: &mut Netlink, index: u32) -> Result<Vec<Address>> {
    let message = Message::new(kernel::RTM_GETADDR as u32, 0, &[0; HEADER]);
    let answers = netlink.dump(&message)?;
    let own = answers
        .iter()
        .filter(|answer| netlink::number(answer, 4) == index);
    Ok(own.filter_map(|answer| address(answer)).collect())
}

fn address(answer: &[u8]) -> Option<Address> {
    let [family, prefix, flags, scope] = answer.get(..4)?.try_into().ok()?;
    let is_global = scope == kernel::rt_scope_t::RT_SCOPE_UNIVERSE as u8;
    if !is_global || u32::from(flags) & IFA_F_PERMANENT == 0 {
        return None;
    }
    let kept = [
        kernel::IFA_ADDRESS as u32,
        kernel::IFA_LOCAL as u32,
        kernel::IFA_BROADCAST as u32,
    ];
    let attributes = netlink::attributes(answer.get(HEADER..)?)
        .filter(|(kind, _)| kept.contains(kind))
        .map(|(kind, value)| (kind, value.to_vec()));
    Some(Address {
        kind: [family, prefix],
        attributes: attributes.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(pairs: &[(&str, &str)]) -> Result<()> {
        let device = |name: &str| NetDevice {
            name: (!name.is_empty()).then(|| name.to_string()),
        };
        let pairs = pairs
            .iter()
            .map(|(name, inside)| ((*name).to_string(), device(inside)));
        check(&pairs.collect())
    }

    #[test]
    fn names_are_those_that_the_kernel_takes() {
        assert!(checked(&[("eth0", ""), ("eth1", "lan%d"), ("eth2", "lan%d")]).is_ok());
        assert!(checked(&[("exactly15bytes_", "")]).is_ok());
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "a:1",
            "sixteen_bytes_xx",
            "a\0b",
        ] {
            assert!(checked(&[(bad, "good")]).is_err(), "{bad:?}");
        }
        assert!(checked(&[("eth0", "sixteen_bytes_xx")]).is_err());
        assert!(checked(&[("eth0", "same"), ("eth1", "same")]).is_err());
        assert!(checked(&[("eth0", "eth1"), ("eth1", "")]).is_err());
    }

    #[test]
    fn structures_have_the_kernels_sizes() {
        assert_eq!(link::HEADER, size_of::<kernel::ifinfomsg>());
        assert_eq!(size_of::<kernel::ifaddrmsg>(), HEADER);
    }
}
