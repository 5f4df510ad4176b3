//! Which address is next.
//!
//! What is taken is not kept here: it stands in the plans of the containers that are up
//! (`net::plan`), which are on disk before anything has an address. What is kept is where the last
//! one was given: the next comes after it, so that an address that was given back is not another's
//! at once, while neighbours still know it under the old link.

use crate::engine::network::subnet::{Subnet, number, parse};
use crate::wire::network::IpamConfig;
use std::net::IpAddr;

/// One subnet of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    pub subnet: Subnet,
    /// Where addresses are given from.
    pub range: Subnet,
    pub gateway: Option<IpAddr>,
    /// What no container gets.
    pub kept: Vec<IpAddr>,
    /// The user named it.
    pub is_given: bool,
}

impl Pool {
    /// Of a configuration that was checked.
    pub fn of(config: &IpamConfig) -> Option<Pool> {
        let read = |text: &Option<String>| parse(text.as_deref().unwrap_or_default());
        let (_, subnet) = read(&config.subnet)?;
        let address = |text: &String| text.parse::<IpAddr>().ok();
        Some(Pool {
            subnet,
            range: read(&config.ip_range).map_or(subnet, |(_, range)| range),
            gateway: config.gateway.as_ref().and_then(address),
            kept: config
                .auxiliary
                .iter()
                .flatten()
                .filter_map(|(_, text)| address(text))
                .collect(),
            is_given: config.is_chosen != Some(true),
        })
    }

    /// Whether no container may have it, taken or not.
    fn is_kept(&self, address: IpAddr) -> bool {
        self.gateway == Some(address) || self.kept.contains(&address)
    }

    /// Whether one who asks for it can have it.
    pub fn may_have(&self, address: IpAddr, taken: &[IpAddr]) -> bool {
        let (first, last) = self.subnet.usable();
        self.subnet.holds(address)
            && (first..=last).contains(&number(address))
            && !self.is_kept(address)
            && !taken.contains(&address)
    }

    /// The next free address after `before`; from the end it goes on at the beginning. `None`: all
    /// are taken.
    pub fn next(&self, taken: &[IpAddr], before: Option<IpAddr>) -> Option<IpAddr> {
        let (first, last) = self.subnet.usable();
        let (first, last) = (first.max(self.range.first), last.min(self.range.last()));
        let taken = taken.iter().chain(&self.kept).chain(&self.gateway);
        let mut taken: Vec<u128> = taken
            .filter(|address| self.range.holds(**address))
            .map(|address| number(*address))
            .collect();
        taken.sort_unstable();
        taken.dedup();
        let start = match before.map(number) {
            Some(before) if (first..last).contains(&before) => before + 1,
            _ => first,
        };
        let up = free(&taken, start, last);
        up.or_else(|| free(&taken, first, last))
            .map(|number| self.subnet.address(number))
    }
}

/// The first number from `from` to `to` that is not among `taken`, which are in order.
fn free(taken: &[u128], from: u128, to: u128) -> Option<u128> {
    let mut number = from;
    let above = taken.get(taken.partition_point(|taken| *taken < from)..)?;
    for taken in above {
        if *taken != number {
            break;
        }
        number = number.checked_add(1)?;
    }
    (number <= to).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(subnet: &str, range: &str, gateway: &str) -> Pool {
        let text = |text: &str| Some(text.to_string()).filter(|text| !text.is_empty());
        Pool::of(&IpamConfig {
            subnet: text(subnet),
            ip_range: text(range),
            gateway: text(gateway),
            auxiliary: Some([("a".to_string(), "10.0.0.4".to_string())].into()),
            ..IpamConfig::default()
        })
        .unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_next_address_comes_after_the_last_one() {
        let pool = pool("10.0.0.0/29", "", "10.0.0.1");
        let next = |taken: &[&str], before: Option<&str>| {
            let taken: Vec<IpAddr> = taken.iter().map(|text| ip(text)).collect();
            let next = pool.next(&taken, before.map(ip));
            next.map(|address| address.to_string()).unwrap_or_default()
        };
        assert_eq!(next(&[], None), "10.0.0.2");
        assert_eq!(next(&[], Some("10.0.0.2")), "10.0.0.3");
        assert_eq!(next(&[], Some("10.0.0.3")), "10.0.0.5");
        assert_eq!(next(&[], Some("10.0.0.6")), "10.0.0.2");
        assert_eq!(next(&["10.0.0.2"], Some("10.0.0.6")), "10.0.0.3");
        let all = ["10.0.0.2", "10.0.0.3", "10.0.0.5", "10.0.0.6"];
        assert_eq!(next(&all, Some("10.0.0.3")), "");
        assert_eq!(next(&all[1..], Some("10.0.0.3")), "10.0.0.2");
    }

    #[test]
    fn small_and_huge_networks_have_their_ends() {
        let one = pool("10.9.0.0/31", "", "10.9.0.0");
        assert_eq!(one.next(&[], None), Some(ip("10.9.0.1")));
        assert_eq!(one.next(&[ip("10.9.0.1")], None), None);
        let none = pool("10.9.0.0/32", "", "10.9.0.0");
        assert_eq!(none.next(&[], None), None);
        let range = pool("10.0.0.0/8", "10.0.0.4/30", "10.0.0.1");
        assert_eq!(range.next(&[], None), Some(ip("10.0.0.5")));
        assert_eq!(range.next(&[], Some(ip("10.0.0.7"))), Some(ip("10.0.0.5")));
        assert!(range.may_have(ip("10.200.0.1"), &[]));
        assert!(!range.may_have(ip("10.0.0.4"), &[]), "kept");
        assert!(!range.may_have(ip("10.255.255.255"), &[]), "all");
        let top = pool("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127", "", "");
        let last = ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
        assert_eq!(
            top.next(&[last], Some(last)),
            Some(ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"))
        );
        assert_eq!(pool("::/0", "", "").next(&[], None), Some(ip("::1")));
    }

    /// Against a list of all addresses: whatever is given and given back, whenever the engine
    /// forgets where it was, none is given twice, and none is refused that is free.
    #[test]
    fn no_address_is_given_twice_and_none_is_lost() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut below = |bound: usize| {
            seed ^= seed >> 12;
            seed ^= seed << 25;
            seed ^= seed >> 27;
            (seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
        };
        for range in ["", "10.0.0.8/29"] {
            let pool = pool("10.0.0.0/28", range, "10.0.0.1");
            let (from, to) = if range.is_empty() { (1, 14) } else { (8, 14) };
            let free = |taken: &[IpAddr]| {
                let all = (from..=to).map(|n| ip(&format!("10.0.0.{n}")));
                let kept = [ip("10.0.0.1"), ip("10.0.0.4")];
                all.filter(|a| !kept.contains(a) && !taken.contains(a))
                    .count()
            };
            let (mut taken, mut last) = (Vec::new(), None);
            for _ in 0..20_000 {
                match below(10) {
                    0..=4 => match pool.next(&taken, last) {
                        Some(address) => {
                            assert!(free(&taken) > 0 && pool.may_have(address, &taken));
                            taken.push(address);
                            last = Some(address);
                        }
                        None => assert_eq!(free(&taken), 0),
                    },
                    5..=8 if !taken.is_empty() => drop(taken.swap_remove(below(taken.len()))),
                    // A static one, and a start of the engine.
                    9 => {
                        let wish = ip(&format!("10.0.0.{}", below(16)));
                        if pool.may_have(wish, &taken) {
                            taken.push(wish);
                        }
                        last = None;
                    }
                    _ => {}
                }
            }
        }
    }
}
