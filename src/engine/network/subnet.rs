//! Addresses as numbers, and ranges of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `10.1.0.0/16`. Both families are counted in the same numbers, and never mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    pub first: u128,
    pub prefix: u8,
    pub is_v6: bool,
}

pub fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

pub fn address(number: u128, is_v6: bool) -> IpAddr {
    match is_v6 {
        true => IpAddr::V6(Ipv6Addr::from_bits(number)),
        false => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
    }
}

/// An address, and behind a slash how many of its bits are the network's.
pub fn parse(text: &str) -> Option<(IpAddr, Subnet)> {
    let (address, prefix) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let is_plain = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
    let prefix = prefix.parse::<u8>().ok().filter(|_| is_plain)?;
    Some((address, Subnet::around(address, prefix)?))
}

impl Subnet {
    /// The one of so many bits that holds `address`.
    pub fn around(address: IpAddr, prefix: u8) -> Option<Subnet> {
        let is_v6 = address.is_ipv6();
        let mut subnet = Subnet {
            first: 0,
            prefix,
            is_v6,
        };
        (prefix <= subnet.bits()).then(|| {
            subnet.first = number(address) & !subnet.rest();
            subnet
        })
    }

    /// Of an address of its family.
    pub fn bits(&self) -> u8 {
        match self.is_v6 {
            true => 128,
            false => 32,
        }
    }

    /// The bits that are not the network's, all set.
    fn rest(&self) -> u128 {
        match self.bits() - self.prefix {
            128 => u128::MAX,
            bits => (1 << bits) - 1,
        }
    }

    pub fn last(&self) -> u128 {
        self.first | self.rest()
    }

    pub fn holds(&self, address: IpAddr) -> bool {
        address.is_ipv6() == self.is_v6 && (self.first..=self.last()).contains(&number(address))
    }

    pub fn overlaps(&self, other: &Subnet) -> bool {
        self.is_v6 == other.is_v6 && self.first <= other.last() && other.first <= self.last()
    }

    pub fn address(&self, number: u128) -> IpAddr {
        address(number, self.is_v6)
    }

    /// The first and the last that a machine in it may have: the one before is the network itself
    /// (RFC 4291, 2.6.1: its routers), the last of IPv4 all of its machines. Networks of two addresses
    /// or one have neither (RFC 3021).
    pub fn usable(&self) -> (u128, u128) {
        match self.bits() - self.prefix {
            0 | 1 => (self.first, self.last()),
            _ => (self.first + 1, self.last() - u128::from(!self.is_v6)),
        }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(self.first), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        parse(text).unwrap().1
    }

    #[test]
    fn ranges_are_read_and_written() {
        for (text, whole) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("192.168.0.0/16", "192.168.0.0/16"),
            ("1.2.3.4/32", "1.2.3.4/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("fd00::5/64", "fd00::/64"),
            ("::/0", "::/0"),
            ("fd00::5/128", "fd00::5/128"),
        ] {
            assert_eq!(subnet(text).to_string(), whole);
        }
        for text in [
            "",
            "/",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0/8",
            "::/129",
            "a/8",
            "10.0.0.0/8/8",
            "10.0.0.0/256",
            "10.0.0.0/ 8",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn ranges_know_what_they_hold() {
        let net = subnet("172.17.0.0/16");
        assert!(net.holds("172.17.255.255".parse().unwrap()));
        assert!(!net.holds("172.18.0.0".parse().unwrap()));
        assert!(!subnet("::/0").holds("10.0.0.1".parse().unwrap()));
        for (a, b, expected) in [
            ("10.0.0.0/8", "10.5.0.0/16", true),
            ("10.0.0.0/16", "10.1.0.0/16", false),
            ("0.0.0.0/0", "10.1.0.0/16", true),
            ("0.0.0.0/0", "::/0", false),
            ("fd00::/48", "fd00::1:0:0:0:0/64", true),
        ] {
            assert_eq!(subnet(a).overlaps(&subnet(b)), expected, "{a} {b}");
            assert_eq!(subnet(b).overlaps(&subnet(a)), expected, "{a} {b}");
        }
    }

    #[test]
    fn some_addresses_are_no_machines() {
        for (text, first, last) in [
            ("10.0.0.0/24", "10.0.0.1", "10.0.0.254"),
            ("10.0.0.0/31", "10.0.0.0", "10.0.0.1"),
            ("10.0.0.0/32", "10.0.0.0", "10.0.0.0"),
            ("fd00::/126", "fd00::1", "fd00::3"),
            ("::/0", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            let net = subnet(text);
            let (from, to) = net.usable();
            assert_eq!(net.address(from).to_string(), first);
            assert_eq!(net.address(to).to_string(), last);
        }
    }
}
