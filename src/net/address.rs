//! Addresses: as they are written, and as rtnetlink(7) takes them.

use crate::error::{Error, Result};
use crate::net::netlink::Message;
use linux_raw_sys::netlink as kernel;
use std::net::IpAddr;

/// `<linux/socket.h>`
pub const AF_INET: u8 = 2;
pub const AF_INET6: u8 = 10;

/// Length of struct ifaddrmsg.
pub const HEADER: usize = 8;

/// An address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    pub ip: IpAddr,
    pub prefix: u8,
}

impl Address {
    /// `172.17.0.2/16`
    pub fn parse(text: &str) -> Result<Address> {
        let parsed = || {
            let (ip, prefix) = text.split_once('/')?;
            let (ip, prefix): (IpAddr, u8) = (ip.parse().ok()?, prefix.parse().ok()?);
            let longest = if ip.is_ipv4() { 32 } else { 128 };
            (prefix <= longest).then_some(Address { ip, prefix })
        };
        parsed().ok_or_else(|| Error::invalid(format!("invalid address {text:?}")))
    }

    /// Give it to a link.
    pub fn add(&self, index: u32) -> Message {
        let mut message = self.message(kernel::RTM_NEWADDR as u32, NEW, index);
        let bytes = bytes(self.ip);
        message.put(kernel::IFA_LOCAL as u32, &bytes);
        // Of a network of one or two addresses nothing is left for all (RFC 3021).
        if let IpAddr::V4(ip) = self.ip
            && self.prefix < 31
        {
            let all = u32::from(ip) | (u32::MAX >> self.prefix);
            message.put(kernel::IFA_BROADCAST as u32, &all.to_be_bytes());
        }
        message.put(kernel::IFA_ADDRESS as u32, &bytes);
        message
    }

    pub fn remove(&self, index: u32) -> Message {
        let mut message = self.message(kernel::RTM_DELADDR as u32, 0, index);
        message.put(kernel::IFA_LOCAL as u32, &bytes(self.ip));
        message
    }

    fn message(&self, kind: u32, flags: u32, index: u32) -> Message {
        // Whether somebody else has an IPv6 address is not waited for: we know who has which.
        let (family, told) = match self.ip {
            IpAddr::V4(_) => (AF_INET, 0),
            IpAddr::V6(_) => (AF_INET6, kernel::IFA_F_NODAD as u8),
        };
        let mut header = vec![family, self.prefix, told, 0];
        header.extend(index.to_ne_bytes());
        Message::new(kind, flags, &header)
    }
}

const NEW: u32 = kernel::NLM_F_CREATE | kernel::NLM_F_EXCL;

/// As it stands in a packet.
pub fn bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// From the bytes of a packet.
pub fn from_bytes(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(four.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// `02:42:ac:11:00:02`
pub fn mac(text: &str) -> Result<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split([':', '-']);
    let is_good = bytes.iter_mut().all(|byte| {
        let part = parts.next().filter(|part| part.len() == 2);
        let parsed = part.and_then(|part| u8::from_str_radix(part, 16).ok());
        parsed.map(|found| *byte = found).is_some()
    });
    match is_good && parts.next().is_none() {
        true => Ok(bytes),
        false => Err(Error::invalid(format!("invalid MAC address {text:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_their_prefix() {
        let address = Address::parse("172.17.0.2/16").unwrap();
        assert_eq!((address.ip, address.prefix), ([172, 17, 0, 2].into(), 16));
        assert_eq!(Address::parse("fd00::2/64").unwrap().prefix, 64);
        for bad in [
            "",
            "1.2.3.4",
            "1.2.3/8",
            "1.2.3.4/33",
            "fd00::/129",
            "x/8",
            "1.2.3.4/-1",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
        for ip in [address.ip, "fd00::2".parse().unwrap()] {
            assert_eq!(from_bytes(&bytes(ip)), Some(ip));
        }
        assert_eq!(from_bytes(&[1, 2, 3]), None);
    }

    #[test]
    fn mac_addresses_have_six_bytes() {
        assert_eq!(
            mac("02:42:ac:11:00:02").unwrap(),
            [2, 0x42, 0xac, 0x11, 0, 2]
        );
        assert_eq!(mac("02-42-AC-11-00-02").unwrap()[2], 0xac);
        for bad in [
            "",
            "02:42:ac:11:00",
            "02:42:ac:11:00:02:03",
            "2:42:ac:11:00:02",
            "xx:42:ac:11:00:02",
        ] {
            assert!(mac(bad).is_err(), "{bad}");
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn addresses_are_added_as_by_ip() {
        // As in `link`: ip addr add 10.1.0.2/16 broadcast 10.1.255.255 dev tug0
        assert_eq!(
            Address::parse("10.1.0.2/16").unwrap().add(4).hex(),
            "300000001400050600000000000000000210000004000000080002000a010002080004000a01ffff\
             080001000a010002"
        );
        // ip addr add fd00:1::2/64 dev tug0 nodad
        assert_eq!(
            Address::parse("fd00:1::2/64").unwrap().add(4).hex(),
            "400000001400050600000000000000000a4002000400000014000200fd0000010000000000000000\
             0000000214000100fd000001000000000000000000000002"
        );
    }
}
