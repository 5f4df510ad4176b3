//! A subnet for a network that was given none: one that neither another network has, nor any route
//! of this host.

use crate::engine::config::Options;
use crate::engine::network::subnet::{self, Subnet};
use crate::engine::network::{Network, digest};
use crate::error::{Error, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Docker's own (libnetwork, ipamutils): ranges, and how many bits each network gets.
const POOLS: [(&str, u8); 7] = [
    ("172.17.0.0/16", 16),
    ("172.18.0.0/16", 16),
    ("172.19.0.0/16", 16),
    ("172.20.0.0/14", 16),
    ("172.24.0.0/14", 16),
    ("172.28.0.0/14", 16),
    ("192.168.0.0/16", 20),
];

/// More tries than that in one range are a range that is used up.
const TRIES_MAX: usize = 1 << 16;

/// The first that is free.
pub fn choose(options: &Options, others: &[Arc<Network>], is_v6: bool) -> Result<Subnet> {
    let mut taken: Vec<Subnet> = subnets(others);
    taken.extend(routes(is_v6));
    let mut pools: Vec<(Subnet, u8)> = options
        .address_pools
        .iter()
        .filter_map(|(base, size)| Some((subnet::parse(base)?.1, *size)))
        .collect();
    if options.address_pools.is_empty() {
        let known = POOLS.iter();
        pools.extend(known.filter_map(|(base, size)| Some((subnet::parse(base)?.1, *size))));
    }
    if is_v6 && !pools.iter().any(|(base, _)| base.is_v6) {
        pools.push((own_range(), 64));
    }
    let found = pools
        .iter()
        .filter(|(base, size)| base.is_v6 == is_v6 && (base.prefix..=base.bits()).contains(size))
        .find_map(|(base, size)| first_free(*base, *size, &taken));
    found.ok_or_else(|| Error::invalid("all predefined address pools have been fully subnetted"))
}

/// Those of networks.
pub fn subnets(networks: &[Arc<Network>]) -> Vec<Subnet> {
    let pools = networks.iter().flat_map(|network| &network.pools);
    pools.map(|pool| pool.subnet).collect()
}

fn first_free(base: Subnet, size: u8, taken: &[Subnet]) -> Option<Subnet> {
    let mut candidate = Subnet {
        prefix: size,
        ..base
    };
    for _ in 0..TRIES_MAX {
        let Some(other) = taken.iter().find(|other| other.overlaps(&candidate)) else {
            return Some(candidate);
        };
        // Behind whichever of the two is the larger.
        let end = other.last().max(candidate.last());
        candidate.first = end.checked_add(1).filter(|first| *first <= base.last())?;
    }
    None
}

/// A range for this machine alone (RFC 4193), that is the same after each start.
fn own_range() -> Subnet {
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let digest = digest(&["networks of ", machine.trim(), &crate::engine::host::name()]);
    let bits = digest
        .get(..10)
        .and_then(|hex| u128::from_str_radix(hex, 16).ok());
    Subnet {
        first: 0xfd << 120 | bits.unwrap_or_default() << 80,
        prefix: 48,
        is_v6: true,
    }
}

/// Where this host sends packets, as /proc tells it (proc_pid_net(5)). The default route is no
/// reason to leave a range alone.
fn routes(is_v6: bool) -> Vec<Subnet> {
    let file = match is_v6 {
        true => "/proc/self/net/ipv6_route",
        false => "/proc/self/net/route",
    };
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let read = if is_v6 { route6 } else { route4 };
    let all = text.lines().filter_map(read);
    all.filter(|route| route.prefix > 0).collect()
}

/// Link, destination, gateway, flags, three numbers, mask: hexadecimal, as the memory has them.
fn route4(line: &str) -> Option<Subnet> {
    let mut words = line.split_whitespace();
    let word = |text: Option<&str>| u32::from_str_radix(text?, 16).ok().map(u32::to_ne_bytes);
    let address = Ipv4Addr::from(word(words.nth(1))?);
    let mask = u32::from_be_bytes(word(words.nth(5))?);
    Subnet::around(IpAddr::V4(address), mask.leading_ones() as u8)
}

/// Destination and its bits, hexadecimal; the tenth and last word is the link. Those of `lo` are
/// this host's own addresses, which are part of the others; ff00::/8 and fe80::/64 are everywhere.
fn route6(line: &str) -> Option<Subnet> {
    let mut words = line.split_whitespace();
    let address = Ipv6Addr::from_bits(u128::from_str_radix(words.next()?, 16).ok()?);
    let prefix = u8::from_str_radix(words.next()?, 16).ok()?;
    let is_plain = words.last()? != "lo" && !address.is_multicast();
    Subnet::around(IpAddr::V6(address), prefix).filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        subnet::parse(text).unwrap().1
    }

    #[test]
    fn the_first_free_part_of_a_range_is_found() {
        let free = |base: &str, size: u8, taken: &[&str]| {
            let taken: Vec<Subnet> = taken.iter().map(|text| subnet(text)).collect();
            let found = first_free(subnet(base), size, &taken);
            found.map_or(String::new(), |found| found.to_string())
        };
        assert_eq!(free("10.0.0.0/8", 24, &[]), "10.0.0.0/24");
        assert_eq!(
            free("10.0.0.0/8", 24, &["10.0.0.0/24", "10.0.1.128/25"]),
            "10.0.2.0/24"
        );
        assert_eq!(free("10.0.0.0/8", 24, &["10.0.0.0/9"]), "10.128.0.0/24");
        assert_eq!(free("10.0.0.0/8", 16, &["10.0.3.0/24"]), "10.1.0.0/16");
        assert_eq!(free("10.0.0.0/8", 16, &["0.0.0.0/1"]), "");
        assert_eq!(
            free("10.0.0.0/24", 25, &["10.0.0.0/25", "10.0.0.128/25"]),
            ""
        );
        assert_eq!(free("255.255.255.0/24", 24, &["255.255.255.255/32"]), "");
        assert_eq!(free("fd00::/48", 64, &["fd00::/64"]), "fd00:0:0:1::/64");
    }

    #[test]
    fn a_machines_own_range_is_a_local_one() {
        let range = own_range();
        assert_eq!(range, own_range());
        assert!(subnet("fd00::/8").overlaps(&range) && range.prefix == 48);
    }

    #[test]
    fn routes_of_the_kernel_are_read() {
        let line = "eth0\t0002A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0";
        if cfg!(target_endian = "little") {
            assert_eq!(route4(line), Some(subnet("192.168.2.0/24")));
        }
        for bad in [
            "Iface\tDestination\tGateway",
            "",
            "eth0\t0002A8C0",
            "eth0 zz 0 0 0 0 0 FF",
        ] {
            assert_eq!(route4(bad), None, "{bad}");
        }
        let zeros = "0".repeat(32);
        let line =
            |to: &str, link: &str| format!("{to} 40 {zeros} 00 {zeros} 00000100 1 0 1 {link}");
        let lan = "fd001122334400000000000000000000";
        assert_eq!(
            route6(&line(lan, "eth0")),
            Some(subnet("fd00:1122:3344::/64"))
        );
        assert_eq!(route6(&line(lan, "lo")), None);
        assert_eq!(route6("zz"), None);
    }
}
