//! Who is called what: the containers of a network, as their shims tell each other.
//!
//! ```text
//!   <exec-root>/networks/<network's id>/<container's id>    {"names":["web","www"],"ipv4":"10.1.0.2"}
//! ```
//!
//! A shim writes its container's file before the container's program runs and takes it away at the
//! end. No engine is needed for it. Readers look at the directory's time before they believe what
//! they have read; a file that makes no sense is nobody's name.

use crate::error::{Error, Result};
use crate::json;
use crate::json::value::json_struct;
use crate::net::plan::{Endpoint, Plan};
use crate::store::{record, staging};
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Larger files are not ours, and more of them no network of one machine has.
const BYTES_MAX: u64 = 16 << 10;
const MEMBERS_MAX: usize = 4096;

/// The time of a directory moves in the kernel's ticks, of 10 ms at most: what changes within the tick
/// of the last look would not be seen by its time.
const TICK: Duration = Duration::from_millis(50);

json_struct! {
    /// A container in one network. Its own name stands first.
    #[derive(Default)]
    struct Entry {
        names: Option<Vec<String>>,
        ipv4: Option<String>,
        ipv6: Option<String>,
    }
}

/// Tell the network of `endpoint` its names; on one without names (the default bridge) nobody asks.
pub fn write(networks_dir: &Path, id: &str, endpoint: &Endpoint) -> Result<()> {
    let names: Vec<String> = endpoint.names.iter().flatten().cloned().collect();
    let Some(dir) = dir(networks_dir, endpoint).filter(|_| !names.is_empty()) else {
        return Ok(());
    };
    let entry = Entry {
        names: Some(names),
        ipv4: endpoint.ipv4.clone(),
        ipv6: endpoint.ipv6.clone(),
    };
    let text = json::to_string(&entry);
    // Whoever leaves last takes the directory along, perhaps just now.
    let mut tries = 0..3;
    loop {
        staging::make_dir(&dir)?;
        match record::replace_unsynced(&dir, id, text.as_bytes()) {
            Err(_) if tries.next().is_some() && !dir.exists() => {}
            outcome => return outcome,
        }
    }
}

/// The container is not there any more. Nothing is said of one that never was.
pub fn remove(networks_dir: &Path, id: &str, endpoint: &Endpoint) -> Result<()> {
    let Some(dir) = dir(networks_dir, endpoint) else {
        return Ok(());
    };
    let file = dir.join(id);
    match std::fs::remove_file(&file) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            return Err(Error::io(format_args!("remove {}", file.display()), &e));
        }
        _ => {}
    }
    // Unless others are in it.
    let _ = std::fs::remove_dir(&dir);
    Ok(())
}

fn dir(networks_dir: &Path, endpoint: &Endpoint) -> Option<PathBuf> {
    let network = endpoint.network.as_deref().filter(|id| !id.is_empty())?;
    Some(networks_dir.join(network))
}

/// What one container can ask for: the members of its own networks.
#[derive(Default)]
pub struct Table {
    networks: Vec<Network>,
    /// Moves on with each answer, so that the first address is another's each time.
    turn: usize,
}

struct Network {
    dir: PathBuf,
    name: String,
    /// Names that this container alone has for others.
    links: Vec<(String, String)>,
    members: Vec<Member>,
    /// Which directory it was, and when we first saw it so and last read it.
    stamp: Option<(u64, i64, i64)>,
    seen: Instant,
    read: Instant,
}

struct Member {
    names: Vec<String>,
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
}

impl Table {
    pub fn of(plan: &Plan, networks_dir: &Path) -> Table {
        let now = Instant::now();
        let network = |endpoint: &Endpoint| {
            // One without names is the default bridge, where nobody has any.
            endpoint.names.as_ref()?;
            let links = endpoint.links.iter().flat_map(|links| links.iter());
            Some(Network {
                dir: dir(networks_dir, endpoint)?,
                name: endpoint.network_name.clone().unwrap_or_default(),
                links: links.map(|(a, b)| (a.clone(), b.clone())).collect(),
                members: Vec::new(),
                stamp: None,
                seen: now,
                read: now,
            })
        };
        let endpoints = plan.endpoints.iter().flatten();
        Table {
            networks: endpoints.filter_map(network).collect(),
            turn: 0,
        }
    }

    /// The addresses of whoever is called `name`, and the next one's first each time; `None` if nobody
    /// is. As with Docker, `a.b.c` is a container `a.b.c`, or `a.b` in the network `c`, or `a` in `b.c`.
    pub fn find(&mut self, name: &str) -> Option<Vec<IpAddr>> {
        self.refresh();
        let mut found = self.addresses(name, None);
        let dots = name.rmatch_indices('.').map(|(at, _)| at);
        for at in dots {
            if !found.is_empty() {
                break;
            }
            found = self.addresses(&name[..at], Some(&name[at + 1..]));
        }
        if found.is_empty() {
            return None;
        }
        self.turn = self.turn.wrapping_add(1);
        let first = self.turn % found.len();
        found.rotate_left(first);
        Some(found)
    }

    /// Those in the first network that knows the name. A link goes before a name.
    fn addresses(&self, name: &str, network: Option<&str>) -> Vec<IpAddr> {
        let is_meant = |other: &&Network| network.is_none_or(|name| is_same(name, &other.name));
        let networks = || self.networks.iter().filter(is_meant);
        let link = networks().find_map(|network| {
            let mut links = network.links.iter();
            let (_, other) = links.find(|(alias, _)| is_same(alias, name))?;
            Some(network.addresses(other))
        });
        let named = || networks().map(|network| network.addresses(name));
        link.into_iter()
            .chain(named())
            .find(|found| !found.is_empty())
            .unwrap_or_default()
    }

    /// The name of the container at `address`, with its network's: `web.lab`.
    pub fn name_of(&mut self, address: IpAddr) -> Option<String> {
        self.refresh();
        self.networks.iter().find_map(|network| {
            let mut members = network.members.iter();
            let member = members.find(|member| member.addresses().any(|own| own == address))?;
            Some(format!("{}.{}", member.names.first()?, network.name))
        })
    }

    /// Read again what has changed.
    fn refresh(&mut self) {
        let now = Instant::now();
        for network in &mut self.networks {
            let stamp = std::fs::metadata(&network.dir).ok().as_ref().map(stamp);
            let is_same = stamp == network.stamp;
            if !is_same {
                network.stamp = stamp;
                network.seen = now;
            }
            if !is_same || network.read < network.seen + TICK {
                network.members = members(&network.dir);
                network.read = now;
            }
        }
    }
}

fn stamp(dir: &Metadata) -> (u64, i64, i64) {
    (dir.ino(), dir.mtime(), dir.mtime_nsec())
}

impl Network {
    fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let is_called = |member: &&Member| member.names.iter().any(|own| is_same(own, name));
        let members = self.members.iter().filter(is_called);
        members.flat_map(Member::addresses).collect()
    }
}

impl Member {
    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let v6 = self.v6.map(IpAddr::from);
        self.v4.map(IpAddr::from).into_iter().chain(v6)
    }
}

/// RFC 4343.
fn is_same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

fn members(dir: &Path) -> Vec<Member> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    // Those that are being written begin with a dot.
    let entries = entries.filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
    let members = entries.filter_map(|entry| member(&entry.path()));
    members.take(MEMBERS_MAX).collect()
}

fn member(path: &Path) -> Option<Member> {
    // No link: only shims write here, and they write files.
    let is_file = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
    let mut text = Vec::new();
    let file = File::open(path).ok().filter(|_| is_file)?;
    file.take(BYTES_MAX).read_to_end(&mut text).ok()?;
    let entry: Entry = json::parse_bytes(&text, "").ok()?;
    let names = entry.names.unwrap_or_default();
    let member = Member {
        names: names.into_iter().filter(|name| !name.is_empty()).collect(),
        v4: address(entry.ipv4.as_deref()),
        v6: address(entry.ipv6.as_deref()),
    };
    (member.v4.is_some() || member.v6.is_some()).then_some(member)
}

/// Without its prefix.
fn address<A: std::str::FromStr>(text: Option<&str>) -> Option<A> {
    let (address, _) = text?.split_once('/').unwrap_or((text?, ""));
    address.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::map::Map;
    use crate::store::staging::Staging;

    fn endpoint(network: &str, names: &[&str], ipv4: &str, ipv6: &str) -> Endpoint {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_string());
        Endpoint {
            network: text(network),
            network_name: Some(format!("{network}-net")),
            names: Some(names.iter().map(|name| name.to_string()).collect()),
            ipv4: text(ipv4),
            ipv6: text(ipv6),
            ..Endpoint::default()
        }
    }

    fn plan(endpoints: Vec<Endpoint>) -> Plan {
        Plan {
            endpoints: Some(endpoints),
            ..Plan::default()
        }
    }

    fn found(table: &mut Table, name: &str) -> Vec<String> {
        let found = table.find(name).unwrap_or_default();
        let mut found: Vec<String> = found.iter().map(IpAddr::to_string).collect();
        found.sort();
        found
    }

    #[test]
    fn containers_are_found_by_all_their_names_in_their_own_networks_only() {
        let scratch = Staging::new(&std::env::temp_dir()).unwrap();
        let dir = scratch.path();
        let web = endpoint(
            "lab",
            &["web", "www", "0123456789ab"],
            "10.1.0.2/16",
            "fd00::2/64",
        );
        let mut db = endpoint("lab", &["db", "www"], "10.1.0.3/16", "");
        let far = endpoint("far", &["far"], "10.2.0.2/16", "");
        write(dir, "web", &web).unwrap();
        write(dir, "db", &db).unwrap();
        write(dir, "far", &far).unwrap();
        let mut links = Map::new();
        links.insert("Store".to_string(), "web".to_string());
        db.links = Some(links);

        let mut table = Table::of(&plan(vec![db.clone()]), dir);
        assert_eq!(found(&mut table, "WEB"), ["10.1.0.2", "fd00::2"]);
        assert_eq!(found(&mut table, "0123456789ab"), ["10.1.0.2", "fd00::2"]);
        assert_eq!(found(&mut table, "web.lab-net"), ["10.1.0.2", "fd00::2"]);
        assert_eq!(found(&mut table, "store"), ["10.1.0.2", "fd00::2"]);
        assert_eq!(
            found(&mut table, "www"),
            ["10.1.0.2", "10.1.0.3", "fd00::2"]
        );
        for nobody in ["far", "web.far-net", "webb", "we", "", "."] {
            assert_eq!(table.find(nobody), None, "{nobody}");
        }
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(
            table.name_of(address("10.1.0.2")).unwrap(),
            "web.lab-net".to_string()
        );
        assert_eq!(
            table.name_of(address("fd00::2")).unwrap(),
            "web.lab-net".to_string()
        );
        assert_eq!(table.name_of(address("10.2.0.2")), None);

        // Each of the three stands first in its turn.
        let mut first: Vec<_> = (0..3).map(|_| table.find("www").unwrap()[0]).collect();
        first.sort();
        first.dedup();
        assert_eq!(first.len(), 3);

        remove(dir, "web", &web).unwrap();
        remove(dir, "web", &web).unwrap();
        assert_eq!(table.find("web"), None);
        remove(dir, "db", &db).unwrap();
        assert!(!dir.join("lab").exists());
        // And it comes again.
        write(dir, "web", &web).unwrap();
        assert_eq!(found(&mut table, "web"), ["10.1.0.2", "fd00::2"]);
    }

    #[test]
    fn a_change_is_seen_however_soon_it_comes() {
        let scratch = Staging::new(&std::env::temp_dir()).unwrap();
        let dir = scratch.path();
        let at = |n: u8| endpoint("lab", &["web"], &format!("10.1.0.{n}/16"), "");
        let mut table = Table::of(&plan(vec![at(1)]), dir);
        for n in 1..200 {
            write(dir, "web", &at(n)).unwrap();
            assert_eq!(found(&mut table, "web"), [format!("10.1.0.{n}")]);
        }
        std::thread::sleep(2 * TICK);
        table.find("web");
        // By now it believes the directory's time: a change that leaves it is not seen.
        std::fs::write(dir.join("lab/web"), "{}").unwrap();
        assert_eq!(found(&mut table, "web"), ["10.1.0.199"]);
        write(dir, "web", &at(7)).unwrap();
        assert_eq!(found(&mut table, "web"), ["10.1.0.7"]);
    }

    #[test]
    fn files_that_make_no_sense_are_nobodys() {
        let scratch = Staging::new(&std::env::temp_dir()).unwrap();
        let dir = scratch.path();
        let web = endpoint("lab", &["web"], "10.1.0.2/16", "");
        write(dir, "web", &web).unwrap();
        let lab = dir.join("lab");
        let long = format!(
            "{{\"names\":[\"{}\"],\"ipv4\":\"10.1.0.9\"}}",
            "x".repeat(20_000)
        );
        for (name, text) in [
            ("torn", "{\"names\":[\"torn\"],\"ipv4\":\"10.1"),
            ("empty", ""),
            ("list", "[]"),
            ("kind", "{\"names\":\"kind\",\"ipv4\":\"10.1.0.9\"}"),
            ("nowhere", "{\"names\":[\"nowhere\"]}"),
            ("bad", "{\"names\":[\"bad\"],\"ipv4\":\"10.1.0.999\"}"),
            ("long", &long),
            (".new", "{\"names\":[\"new\"],\"ipv4\":\"10.1.0.9\"}"),
        ] {
            std::fs::write(lab.join(name), text).unwrap();
        }
        std::os::unix::fs::symlink("web", lab.join("link")).unwrap();
        std::fs::create_dir(lab.join("dir")).unwrap();
        let mut table = Table::of(&plan(vec![web]), dir);
        assert_eq!(found(&mut table, "web"), ["10.1.0.2"]);
        for nobody in ["torn", "kind", "nowhere", "bad", "new"] {
            assert_eq!(table.find(nobody), None, "{nobody}");
        }
        assert_eq!(members(&lab).len(), 1);
    }
}
