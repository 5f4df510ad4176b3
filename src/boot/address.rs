//! The network as far as a board can have it without asking anybody: the loopback, static addresses,
//! and what the boot loader says in the kernel's `ip=` (Documentation/admin-guide/nfs/nfsroot.rst).

use crate::boot::console;
use crate::error::{Context, Error, Result};
use crate::net::address::Address;
use crate::net::link::{self, IFF_UP};
use crate::net::netlink::{NETLINK_ROUTE, Netlink};
use crate::net::{loopback_up, route};
use crate::plan::machine;
use crate::sys::{is, mount};
use rustix::io::Errno;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

const CMDLINE: &str = "/proc/cmdline";
/// What the kernel's own configuration found (Feature::IpPnp).
const PNP: &str = "/proc/net/pnp";
const RESOLV: &str = "/etc/resolv.conf";

/// The loopback, and the addresses that the kernel's command line asks for. A kernel with
/// Feature::IpPnp has given them already, which is no harm.
pub fn of_kernel() -> Vec<machine::Address> {
    if let Err(error) = loopback_up() {
        console::say(error);
    }
    let line = std::fs::read_to_string(CMDLINE).unwrap_or_default();
    let words = line.split_ascii_whitespace();
    words
        .filter_map(|word| parse(word.strip_prefix("ip=")?))
        .collect()
}

/// `<client>:<server>:<gateway>:<netmask>:<hostname>:<device>:<autoconf>:…`. Without an address it asks
/// for a protocol (dhcp, bootp), which is the kernel's to speak.
fn parse(text: &str) -> Option<machine::Address> {
    let fields: Vec<&str> = text.split(':').collect();
    let field = |at: usize| fields.get(at).copied().filter(|field| !field.is_empty());
    let client: Ipv4Addr = field(0)?.parse().ok()?;
    let mask: Option<Ipv4Addr> = field(3).and_then(|mask| mask.parse().ok());
    let prefix = mask.map_or(class(client), |mask| u32::from(mask).leading_ones());
    Some(machine::Address {
        device: Some(field(5).unwrap_or("eth0").to_string()),
        address: Some(format!("{client}/{prefix}")),
        gateway: field(2).map(str::to_string),
    })
}

/// The kernel's guess where no mask is given: by the old classes.
fn class(client: Ipv4Addr) -> u32 {
    match client.octets()[0] {
        ..128 => 8,
        128..192 => 16,
        _ => 24,
    }
}

/// Give a link its address, and the machine its way out. `Ok(false)`: there is no such link yet.
pub fn set(wanted: &machine::Address) -> Result<bool> {
    let device = wanted.device.as_deref().unwrap_or("eth0");
    let mut netlink = Netlink::open(NETLINK_ROUTE)?;
    let index = match link::find(&mut netlink, device) {
        Err(error) if is(&error, Errno::NODEV) => return Ok(false),
        found => found?.index(),
    };
    set_on(&mut netlink, index, wanted).context(|| format!("address of {device}"))?;
    Ok(true)
}

fn set_on(netlink: &mut Netlink, index: u32, wanted: &machine::Address) -> Result<()> {
    netlink.ask(link::change(index, IFF_UP)).map(drop)?;
    if let Some(text) = &wanted.address {
        match netlink.ask(Address::parse(text)?.add(index)) {
            Err(error) if is(&error, Errno::EXIST) => {}
            other => other.map(drop)?,
        }
    }
    let Some(text) = &wanted.gateway else {
        return Ok(());
    };
    let gateway: IpAddr = text
        .parse()
        .map_err(|_| Error::invalid(format!("invalid gateway {text:?}")))?;
    let way = route::Default {
        is_ipv6: gateway.is_ipv6(),
        gateway: Some(gateway),
        index,
    };
    way.set(netlink).context(|| format!("gateway {text}"))
}

/// Name servers: the plan's, or what the kernel was told by DHCP, if nobody has written any. On a
/// read-only root they lie in /run, and are mounted over the file.
pub fn name_servers(wanted: &[String]) -> Result<()> {
    let mut text = String::new();
    for server in wanted {
        text.push_str(&format!("nameserver {server}\n"));
    }
    if wanted.is_empty() {
        let is_written = std::fs::metadata(RESOLV).is_ok_and(|found| found.len() > 0);
        let told = std::fs::read_to_string(PNP).unwrap_or_default();
        if is_written || !told.contains("nameserver") {
            return Ok(());
        }
        text = told;
    }
    if std::fs::write(RESOLV, &text).is_ok() {
        return Ok(());
    }
    let own = Path::new("/run/resolv.conf");
    std::fs::write(own, &text)
        .map_err(|e| Error::io(format_args!("write {}", own.display()), &e))?;
    let tree = mount::clone_tree(own, false)?;
    let target = crate::sys::fs::open_path(Path::new(RESOLV))?;
    mount::attach(tree, target, RESOLV)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read() {
        let shown = |text: &str| {
            parse(text).map(|found| {
                let text = |text: Option<String>| text.unwrap_or_default();
                let words = [found.device, found.address, found.gateway].map(text);
                words.join(" ")
            })
        };
        for (text, expected) in [
            (
                "10.0.2.15::10.0.2.2:255.255.255.0:board:eth1:off",
                Some("eth1 10.0.2.15/24 10.0.2.2"),
            ),
            ("192.168.1.5", Some("eth0 192.168.1.5/24 ")),
            ("10.1.2.3:::", Some("eth0 10.1.2.3/8 ")),
            ("dhcp", None),
            (":::::eth0:dhcp", None),
            ("off", None),
            ("", None),
        ] {
            assert_eq!(shown(text).as_deref(), expected, "{text}");
        }
    }
}
