//! Network devices of the host that are given to a container (config.json's `netDevices`).

use crate::error::{Context, Error, Kind, Result};
use crate::json::map::Map;
use crate::net::namespace;
use crate::net::netlink::{self, Message, NETLINK_ROUTE, Netlink};
use crate::oci::spec::NetDevice;
use crate::sys::is;
use linux_raw_sys::netlink as kernel;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, OwnedFd};

/// With the zero byte at its end (netdevice(7)).
const IFNAMSIZ: usize = 16;

/// Length of struct ifaddrmsg.
const ADDRESS_HEADER: usize = 8;

const IFF_UP: u32 = 1;
const IFA_F_PERMANENT: u32 = 0x80;

/// Whether the kernel takes such names.
pub fn check(devices: &Map<NetDevice>) -> Result<()> {
    let mut names: Vec<&str> = Vec::new();
    for (name, device) in devices {
        let inside = name_inside(name, device);
        for name in [name.as_str(), inside] {
            let is_good =
                |byte: u8| byte != b'/' && byte != b':' && !byte.is_ascii_whitespace() && byte != 0;
            let fits = !name.is_empty() && name.len() < IFNAMSIZ && name.bytes().all(is_good);
            if !fits || name == "." || name == ".." {
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
    let index = index_of(here, name).context(|| "find")?;
    let addresses = addresses_of(here, index).context(|| "read addresses")?;

    // One message for both, so that the old name never shows in the container. The kernel takes
    // the device down and its addresses away.
    let mut message = Message::new(kernel::RTM_NEWLINK as u32, 0, &link(index, 0));
    let namespace = target.as_raw_fd().cast_unsigned();
    message
        .number(kernel::IFLA_NET_NS_FD as u32, namespace)
        .text(kernel::IFLA_IFNAME as u32, inside);
    here.ask(message).context(|| "move")?;

    let index = index_of(there, inside).context(|| "find in the container")?;
    for address in addresses {
        there
            .ask(address.message(index))
            .context(|| "add address")?;
    }
    let up = Message::new(kernel::RTM_NEWLINK as u32, 0, &link(index, IFF_UP));
    there.ask(up).context(|| "bring up").map(drop)
}

/// struct ifinfomsg; `flags` are to be set and no other changed.
fn link(index: u32, flags: u32) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    for number in [index, flags, flags] {
        bytes.extend(number.to_ne_bytes());
    }
    bytes
}

fn index_of(netlink: &mut Netlink, name: &str) -> Result<u32> {
    let mut message = Message::new(kernel::RTM_GETLINK as u32, 0, &link(0, 0));
    message.text(kernel::IFLA_IFNAME as u32, name);
    let answers = netlink.ask(message)?;
    let answer = answers.first();
    let answer =
        answer.ok_or_else(|| Error::new(Kind::System, "the kernel tells nothing of it"))?;
    Ok(netlink::number(answer, 4))
}

/// `%d` in a name stands for the first number that is free, as for the kernel.
fn free_name(there: &mut Netlink, name: &str) -> Result<String> {
    if !name.contains("%d") {
        return Ok(name.to_string());
    }
    for number in 0..=u16::MAX {
        let candidate = name.replacen("%d", &number.to_string(), 1);
        let is_free = |found: Result<u32>| found.is_err_and(|error| is(&error, Errno::NODEV));
        if candidate.len() < IFNAMSIZ && is_free(index_of(there, &candidate)) {
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
    let message = Message::new(kernel::RTM_GETADDR as u32, 0, &[0; ADDRESS_HEADER]);
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
    let attributes = netlink::attributes(answer.get(ADDRESS_HEADER..)?)
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
        assert_eq!(link(1, 0).len(), size_of::<kernel::ifinfomsg>());
        assert_eq!(size_of::<kernel::ifaddrmsg>(), ADDRESS_HEADER);
    }
}
