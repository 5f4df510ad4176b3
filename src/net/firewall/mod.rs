//! The packet filter: published ports, the host's address for what leaves, who reaches whom.
//!
//! One table of ours in nf_tables, `inet tug`, whose rules never change (`rules`); networks and ports
//! are elements of its sets. Each change is one transaction, which the kernel makes as a whole, so
//! there is no moment with half of it, and each can be repeated. Engine and shims change it side by
//! side: the engine makes the table from what should be (`sync`), a shim puts its container's ports
//! in (`publish`) and takes them out (`withdraw`). What somebody else takes away, `watch` sees.
//!
//! `nft list table inet tug` shows all of it.
//!
//! Without nf_tables, or parts of it, everything but isolation and masquerade works by `tug proxy`:
//! what rules do not take comes to the ports that the shim has bound.

mod elements;
mod features;
mod rules;
mod watch;

pub use self::features::Features;
pub use self::watch::watch;

use self::rules::{ABOUT, ALL, LOCAL_OUT, NAME, OUTPUT};
use super::conntrack::{self, Ports, UDP};
use super::netlink::{Message, NETLINK_NETFILTER, Netlink, attribute};
use super::nft::{self, Chain, Element, INET, IPV4, IPV6, PORT, PROTOCOL, Part, Set, TO4, Table};
use super::plan::Plan;
use crate::error::{Context, Result};
use crate::sys::is;
use rustix::io::Errno;
use std::net::IpAddr;

/// A network with a bridge, as rules see it.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// The bridge.
    pub link: String,
    /// Whether there are to be rules at all (`iptables`, `ip6tables`).
    pub filters4: bool,
    pub filters6: bool,
    /// Whether containers reach the outside with the host's address.
    pub masquerade4: bool,
    pub masquerade6: bool,
    /// Nothing leaves or enters it.
    pub is_internal: bool,
    /// Its containers do not talk to each other.
    pub is_isolated: bool,
    /// Whether a proxy may serve what rules cannot (`userland-proxy`).
    pub proxies: bool,
}

/// Whether the kernel leads all of a container's published ports, but for those of the loopback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    pub ipv4: bool,
    pub ipv6: bool,
}

/// How often what should be is read anew because something has changed meanwhile.
const READS_MAX: usize = 8;

/// Make the table hold what `read` says: networks, and the plans of containers that run. Without a
/// network that wants rules there is no table.
///
/// What a shim publishes or withdraws between reading and writing makes us read again.
pub fn sync(read: &mut dyn FnMut() -> Result<(Vec<Network>, Vec<Plan>)>) -> Result<()> {
    let mut netlink = Netlink::open(NETLINK_NETFILTER)?;
    watch::is_ours(&netlink);
    for tries in 0..READS_MAX {
        let is_last = tries + 1 == READS_MAX;
        let generation = generation(&mut netlink).filter(|_| !is_last);
        let (networks, plans) = read()?;
        match write(&mut netlink, generation, &networks, &plans) {
            Err(error) if is(&error, Errno::RESTART) => {}
            other => return other.context(|| "write the packet filter's rules"),
        }
    }
    Ok(())
}

/// Of all that is in nf_tables: it counts the transactions.
fn generation(netlink: &mut Netlink) -> Option<u32> {
    let answers = netlink.ask(nft::generation()).ok()?;
    let id = attribute(answers.first()?.get(4..)?, nft::GENERATION_ID)?;
    Some(u32::from_be_bytes(id.try_into().ok()?))
}

fn write(
    netlink: &mut Netlink,
    generation: Option<u32>,
    networks: &[Network],
    plans: &[Plan],
) -> Result<()> {
    let mut elements = elements::of_networks(networks);
    let is_wanted = !elements.is_empty();
    if is_wanted {
        elements.extend(plans.iter().flat_map(elements::of_plan));
    }
    for (table, can) in &Features::probe().tables {
        if !is_wanted && netlink.ask(table.get()).is_err() {
            continue;
        }
        // Made first, so that it can be deleted, whether or not it is there.
        let mut messages = vec![table.create(ABOUT), table.delete()];
        if is_wanted {
            messages.push(table.create(ABOUT));
            rules::make(*table, *can, &mut messages);
            for set in rules::sets(*table, *can) {
                table.add(set, &elements, &mut messages);
            }
        }
        change(netlink, generation, messages)?;
    }
    Ok(())
}

/// Have connections to the container's ports led to it.
///
/// Its ports are bound already: what the table has for the same ports is a lost container's.
pub fn publish(plan: &Plan) -> Result<Published> {
    let published = publish_by(&mut Netlink::open(NETLINK_NETFILTER)?, plan);
    forget_datagrams(plan);
    Ok(published)
}

fn publish_by(netlink: &mut Netlink, plan: &Plan) -> Published {
    let elements = elements::of_plan(plan);
    let mut published = Published::default();
    for table in present(netlink) {
        let refused = put(netlink, table, &elements, Table::add);
        let is_left = |element: &&Element| {
            let mut messages = Vec::new();
            table.remove(element.set, std::slice::from_ref(*element), &mut messages);
            table.add(element.set, std::slice::from_ref(*element), &mut messages);
            change(netlink, None, messages).is_err()
        };
        let left: Vec<&Element> = refused.into_iter().filter(is_left).collect();
        let is_whole = |family| {
            let mut left = left.iter();
            rules::fits(table, family) && left.all(|e| rules::family(e.set) != family)
        };
        published.ipv4 |= is_whole(IPV4);
        published.ipv6 |= is_whole(IPV6);
    }
    published.ipv4 &= plan.filters4 == Some(true);
    published.ipv6 &= plan.filters6 == Some(true);
    published
}

/// Clients that have been sending all the time reach the container now.
fn forget_datagrams(plan: &Plan) {
    let ports = plan.ports.iter().flatten();
    let datagrams = ports.filter(|port| elements::protocol(port) == Some(UDP));
    let ports: Vec<Ports> = datagrams
        .filter_map(|port| Some((port.host_port?, port.count.unwrap_or(1))))
        .collect();
    for (family, is_filtered) in [(IPV4, plan.filters4), (IPV6, plan.filters6)] {
        if !ports.is_empty() && is_filtered == Some(true) {
            // Where the kernel cannot (Feature::NfCtNetlink), they wait until it forgets by itself.
            let _ = conntrack::forget_datagrams(family, &ports);
        }
    }
}

/// Take the container's ports out, as far as they are in and lead to it.
pub fn withdraw(plan: &Plan) -> Result<Withdrawn> {
    let mut netlink = Netlink::open(NETLINK_NETFILTER)?;
    watch::is_ours(&netlink);
    withdraw_by(&mut netlink, plan);
    Ok(Withdrawn(netlink))
}

/// The kernel takes elements apart a while after they have left their sets, and who closes a socket
/// waits for that: some 15 ms. To be kept until there is nothing else to do.
#[must_use]
pub struct Withdrawn(#[allow(dead_code)] Netlink);

fn withdraw_by(netlink: &mut Netlink, plan: &Plan) {
    let elements = elements::of_plan(plan);
    for table in present(netlink) {
        // Added first, so that they can be removed, whether or not they are there. The kernel refuses
        // to add one that is there and leads elsewhere: that is another container's by now.
        let fill: Fill = |table, set, some, messages| {
            table.add(set, some, messages);
            table.remove(set, some, messages);
        };
        put(netlink, table, &elements, fill);
    }
}

/// Have the kernel forget what still flows to the container's published ports: it has gone, or its
/// address is another's soon.
pub fn forget(plan: &Plan) {
    let ports = plan.ports.iter().flatten();
    let mut addresses: Vec<IpAddr> = ports
        .filter_map(|port| port.container_ip.as_deref()?.parse().ok())
        .collect();
    addresses.dedup();
    for address in addresses {
        let is_filtered = match address {
            IpAddr::V4(_) => plan.filters4,
            IpAddr::V6(_) => plan.filters6,
        };
        if is_filtered == Some(true) {
            let _ = conntrack::forget_address(address);
        }
    }
}

type Fill = fn(&Table, &Set, &[Element], &mut Vec<Message>);

/// Change all at once; where the kernel refuses, set by set, and one by one. The refused.
fn put<'a>(
    netlink: &mut Netlink,
    table: Table,
    elements: &'a [Element],
    fill: Fill,
) -> Vec<&'a Element> {
    let mut all = Vec::new();
    for set in rules::sets(table, ALL) {
        fill(&table, set, elements, &mut all);
    }
    if change(netlink, None, all).is_ok() {
        return Vec::new();
    }
    let mut refused = Vec::new();
    for set in rules::sets(table, ALL) {
        let mut own = Vec::new();
        fill(&table, set, elements, &mut own);
        let Err(error) = change(netlink, None, own) else {
            continue;
        };
        // A set that is not there has no elements that could be.
        let is_lost = is(&error, Errno::NOENT);
        for element in elements.iter().filter(|element| element.set.id == set.id) {
            let mut one = Vec::new();
            fill(&table, set, std::slice::from_ref(element), &mut one);
            if is_lost || change(netlink, None, one).is_err() {
                refused.push(element);
            }
        }
    }
    refused
}

/// Our tables that there are.
fn present(netlink: &mut Netlink) -> Vec<Table> {
    let tables = [INET, IPV4, IPV6].map(|family| Table { family, name: NAME });
    let [inet, four, six] = tables;
    match netlink.ask(inet.get()) {
        Ok(_) => vec![inet],
        Err(_) => [four, six]
            .into_iter()
            .filter(|table| netlink.ask(table.get()).is_ok())
            .collect(),
    }
}

fn change(netlink: &mut Netlink, generation: Option<u32>, messages: Vec<Message>) -> Result<()> {
    netlink.transaction(nft::SUBSYSTEM, generation, messages)
}

/// In the current network namespace, a container's: lead what is for 127.0.0.11, port 53, to these
/// ports of that address.
pub fn redirect_names(udp: u16, tcp: u16) -> Result<()> {
    let table = Table {
        family: IPV4,
        name: NAME,
    };
    let chain = Chain {
        name: OUTPUT,
        hook: LOCAL_OUT,
        comment: "",
    };
    let mut messages = vec![
        table.create(""),
        table.delete(),
        table.create(ABOUT_NAMES),
        table.chain(&chain),
    ];
    for (protocol, port) in [(17, udp), (6, tcp)] {
        let parts = [
            Part::Is(&TO4, &RESOLVER),
            Part::Is(&PROTOCOL, &[protocol]),
            Part::Is(&PORT, &53u16.to_be_bytes()),
            Part::LeadTo(RESOLVER, port),
        ];
        messages.push(table.rule(chain.name, &parts, ""));
    }
    change(&mut Netlink::open(NETLINK_NETFILTER)?, None, messages)
        .context(|| "lead 127.0.0.11 to the container's name server")
}

const RESOLVER: [u8; 4] = [127, 0, 0, 11];
const ABOUT_NAMES: &str = "made by tug: the container's name server";

#[cfg(test)]
mod tests;
