//! `tug network`: make networks, list them, join containers to them. `inspect` and `prune` stand
//! with their like.

use super::create::{Create, Place, place};
use super::list::{self, Columns, Row, natural};
use super::mount::{Ipam, fields};
use super::options::{ANY, Options, Verb, flag};
use super::ps::{FORMAT, filters, shown_id};
use super::remote::{Engine, each, parse};
use super::{print, values};
use crate::error::{Error, Kind, Result};
use crate::http::client::Body;
use crate::http::query;
use crate::json;
use crate::json::object::{self, Object};
use crate::wire::container::EndpointSettings;
use std::net::IpAddr;

pub const CREATE: Verb = Verb {
    names: &["network create"],
    usage: "[OPTIONS] NETWORK",
    about: "Create a network",
    flags: &[&[
        flag("--attachable", "Enable manual container attachment"),
        flag(
            "--aux-address map",
            "Auxiliary IPv4 or IPv6 addresses used by Network driver",
        ),
        flag(
            "--config-from string",
            "The network from which to copy the configuration",
        ),
        flag("--config-only", "Create a configuration only network"),
        flag(
            "-d, --driver string",
            "Driver to manage the Network (\"bridge\", \"macvlan\", \"ipvlan\") (default \"bridge\")",
        ),
        flag(
            "--gateway strings",
            "IPv4 or IPv6 Gateway for the master subnet",
        ),
        flag("--ingress", "Create swarm routing-mesh network"),
        flag("--internal", "Restrict external access to the network"),
        flag(
            "--ip-range strings",
            "Allocate container ip from a sub-range",
        ),
        flag(
            "--ipam-driver string",
            "IP Address Management Driver (default \"default\")",
        ),
        flag("--ipam-opt map", "Set IPAM driver specific options"),
        flag(
            "--ipv4",
            "Enable or disable IPv4 address assignment (default true)",
        ),
        flag("--ipv6", "Enable or disable IPv6 address assignment"),
        flag("--label list", "Set metadata on a network").into(Place::Other(values::label)),
        flag("-o, --opt map", "Set driver specific options"),
        flag("--scope string", "Control the network's scope"),
        flag(
            "--subnet strings",
            "Subnet in CIDR format that represents a network segment",
        ),
    ]],
    args: (1, 1),
    has_command: false,
    main: create,
};

pub const CONNECT: Verb = Verb {
    names: &["network connect"],
    usage: "[OPTIONS] NETWORK CONTAINER",
    about: "Connect a container to a network",
    flags: &[&[
        flag(
            "--alias strings",
            "Add network-scoped alias for the container",
        ),
        flag("--driver-opt strings", "driver options for the network"),
        flag(
            "--gw-priority int",
            "Highest gw-priority provides the default gateway. Accepts positive and negative values.",
        ),
        flag("--ip string", "IPv4 address (e.g., \"172.30.100.104\")"),
        flag("--ip6 string", "IPv6 address (e.g., \"2001:db8::33\")"),
        flag("--link list", "Add link to another container").into(Place::Other(values::link)),
        flag(
            "--link-local-ip strings",
            "Add a link-local address for the container",
        ),
        flag(
            "--mac-address string",
            "MAC address for the container on this network",
        ),
    ]],
    args: (2, 2),
    has_command: false,
    main: connect,
};

pub const DISCONNECT: Verb = Verb {
    names: &["network disconnect"],
    about: "Disconnect a container from a network",
    flags: &[&[flag(
        "-f, --force",
        "Force the container to disconnect from a network",
    )]],
    main: disconnect,
    ..CONNECT
};

pub const LIST: Verb = Verb {
    names: &["network ls", "network list"],
    usage: "[OPTIONS]",
    about: "List networks",
    flags: &[&[
        flag(
            "-f, --filter filter",
            "Provide filter values (e.g. \"driver=bridge\")",
        ),
        flag("--format string", FORMAT),
        flag("--no-trunc", "Do not truncate the output"),
        flag("-q, --quiet", "Only display network IDs"),
    ]],
    args: (0, 0),
    has_command: false,
    main: ls,
};

pub const REMOVE: Verb = Verb {
    names: &["network rm", "network remove"],
    usage: "NETWORK [NETWORK...]",
    about: "Remove one or more networks",
    flags: &[&[flag(
        "-f, --force",
        "Do not error if the network does not exist",
    )]],
    args: (1, ANY),
    has_command: false,
    main: remove,
};

fn create(engine: &Engine, options: &Options) -> Result<u8> {
    let answer = engine.send("POST", "/networks/create", Body::Json(&request(options)?))?;
    print::line(&parse(&answer.text()?)?.at("Id").text())?;
    Ok(0)
}

/// The body of the request that the options and arguments ask for.
pub fn request(options: &Options) -> Result<String> {
    let labels = placed(options)?.config.labels.unwrap_or_default();
    let ipam = ipam(options)?;
    let mut request = Object::new();
    request.text("Name", &options.args[0]);
    for (member, option, default) in [("Driver", "driver", "bridge"), ("Scope", "scope", "")] {
        request.text(member, options.get(option).unwrap_or(default));
    }
    // Left to the engine where the user says nothing.
    for (member, option) in [("EnableIPv4", "ipv4"), ("EnableIPv6", "ipv6")] {
        if let Some(is_on) = options.get(option) {
            request.put(member, is_on);
        }
    }
    for (member, option) in [
        ("Internal", "internal"),
        ("Attachable", "attachable"),
        ("Ingress", "ingress"),
        ("ConfigOnly", "config-only"),
    ] {
        request.put(member, options.get(option).unwrap_or("false"));
    }
    if let Some(name) = options.get("config-from").filter(|name| !name.is_empty()) {
        let mut from = Object::new();
        request.put("ConfigFrom", &from.text("Network", name).finish());
    }
    request
        .put("IPAM", &ipam)
        .put("Options", &pairs(options.all("opt")))
        .put("Labels", &json::to_string(&labels));
    Ok(request.finish())
}

/// What options that `create` has too make of their values.
fn placed(options: &Options) -> Result<Create> {
    let mut placed = Create::default();
    for (flag, value) in options.given() {
        place(&mut placed, flag, value)?;
    }
    Ok(placed)
}

/// `a=b` and `c` as an object.
fn pairs<'a>(list: impl Iterator<Item = &'a str>) -> String {
    let mut object = Object::new();
    for pair in list {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        object.text(name, value);
    }
    object.finish()
}

/// What an option of a list has altogether: each value may be several.
fn all(options: &Options, long: &str) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for value in options.all(long).filter(|value| !value.is_empty()) {
        all.extend(fields(value)?);
    }
    Ok(all)
}

/// One subnet, and what else was said that lies in it.
struct Pool {
    subnet: String,
    range: Option<String>,
    gateway: Option<String>,
    reserved: Vec<(String, String)>,
}

/// Ranges, gateways and reserved addresses by the subnet that has them (API, IPAM).
fn ipam(options: &Options) -> Result<String> {
    let (ranges, gateways) = (all(options, "ip-range")?, all(options, "gateway")?);
    let mut pools: Vec<Pool> = Vec::new();
    for subnet in all(options, "subnet")? {
        for other in &pools {
            if contains(&other.subnet, &subnet)? || contains(&subnet, &other.subnet)? {
                return Err(Error::invalid(
                    "multiple overlapping subnet configuration is not supported",
                ));
            }
        }
        pools.push(Pool {
            subnet,
            range: None,
            gateway: None,
            reserved: Vec::new(),
        });
    }
    if pools.len() < ranges.len().max(gateways.len()) {
        return Err(Error::invalid(
            "every ip-range or gateway must have a corresponding subnet",
        ));
    }
    for range in ranges {
        cidr(&range).ok_or_else(|| not_cidr(&range))?;
        let pool = pool_of(&mut pools, "range", &range)?;
        set(
            &mut pool.range,
            range,
            "ranges",
            "on the same",
            &pool.subnet,
        )?;
    }
    for gateway in gateways {
        let pool = pool_of(&mut pools, "gateway", &gateway)?;
        let of = "for the same";
        set(&mut pool.gateway, gateway, "gateways", of, &pool.subnet)?;
    }
    for pair in options.all("aux-address") {
        let (name, address) = pair.split_once('=').unwrap_or((pair, ""));
        let pool = pool_of(&mut pools, "aux-address", address)?;
        pool.reserved.push((name.to_string(), address.to_string()));
    }
    let mut config = Vec::new();
    for pool in &pools {
        let mut object = Object::new();
        object.text("Subnet", &pool.subnet);
        for (name, value) in [("IPRange", &pool.range), ("Gateway", &pool.gateway)] {
            if let Some(value) = value {
                object.text(name, value);
            }
        }
        if !pool.reserved.is_empty() {
            let mut reserved = Object::new();
            for (name, address) in &pool.reserved {
                reserved.text(name, address);
            }
            object.put("AuxiliaryAddresses", &reserved.finish());
        }
        config.push(object.finish());
    }
    let mut ipam = Object::new();
    ipam.text("Driver", options.get("ipam-driver").unwrap_or("default"))
        .put("Options", &pairs(options.all("ipam-opt")))
        .put("Config", &object::list(&config));
    Ok(ipam.finish())
}

fn pool_of<'a>(pools: &'a mut [Pool], what: &str, address: &str) -> Result<&'a mut Pool> {
    for pool in pools {
        if contains(&pool.subnet, address)? {
            return Ok(pool);
        }
    }
    Err(Error::invalid(format!(
        "no matching subnet for {what} {address}"
    )))
}

/// Each of them once in a subnet.
fn set(at: &mut Option<String>, new: String, what: &str, of: &str, subnet: &str) -> Result<()> {
    if let Some(old) = at {
        return Err(Error::invalid(format!(
            "cannot configure multiple {what} ({new}, {old}) {of} subnet ({subnet})"
        )));
    }
    *at = Some(new);
    Ok(())
}

/// Whether `address`, or the first of a subnet, lies in `subnet`.
fn contains(subnet: &str, address: &str) -> Result<bool> {
    let (net, prefix) = cidr(subnet)
        .ok_or_else(|| Error::invalid(format!("invalid subnet: {}", not_cidr(subnet).message)))?;
    let address = match address.contains('/') {
        true => cidr(address).ok_or_else(|| not_cidr(address))?.0,
        false => match address.parse() {
            Ok(address) => address,
            Err(_) => return Ok(false),
        },
    };
    Ok(match (net, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= prefix,
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= prefix,
        _ => false,
    })
}

fn cidr(text: &str) -> Option<(IpAddr, u32)> {
    let (address, prefix) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.parse().ok().filter(|prefix| *prefix <= most)?;
    Some((address, prefix))
}

fn not_cidr(text: &str) -> Error {
    Error::invalid(format!("invalid CIDR address: {text}"))
}

fn connect(engine: &Engine, options: &Options) -> Result<u8> {
    let mut endpoint = EndpointSettings::default();
    for option in all(options, "driver-opt")? {
        let pair = option
            .split_once('=')
            .filter(|(name, _)| !name.trim().is_empty());
        let (name, value) =
            pair.ok_or_else(|| Error::invalid("invalid key/value pair format in driver options"))?;
        let map = endpoint.driver_opts.get_or_insert_default();
        map.insert(name.trim().to_string(), value.trim().to_string());
    }
    let ipam = Ipam {
        v4: options.get("ip").map(str::to_string),
        v6: options.get("ip6").map(str::to_string),
        local: Some(all(options, "link-local-ip")?).filter(|list| !list.is_empty()),
    };
    endpoint.ipam_config = ipam.finish();
    endpoint.links = placed(options)?.host.links;
    endpoint.aliases = Some(all(options, "alias")?).filter(|list| !list.is_empty());
    endpoint.mac_address = options.get("mac-address").map(str::to_string);
    endpoint.gw_priority = options.integer("gw-priority")?;

    let mut request = Object::new();
    request
        .text("Container", &options.args[1])
        .put("EndpointConfig", &json::to_string(&endpoint));
    send(engine, options, "connect", &request.finish())
}

fn disconnect(engine: &Engine, options: &Options) -> Result<u8> {
    let mut request = Object::new();
    request
        .text("Container", &options.args[1])
        .put("Force", options.get("force").unwrap_or("false"));
    send(engine, options, "disconnect", &request.finish())
}

fn send(engine: &Engine, options: &Options, verb: &str, body: &str) -> Result<u8> {
    let path = format!("/networks/{}/{verb}", query::encode(&options.args[0]));
    engine.send("POST", &path, Body::Json(body)).map(|_| 0)
}

const COLUMNS: Columns<'_> = Columns {
    fields: &[
        "CreatedAt",
        "Driver",
        "ID",
        "IPv4",
        "IPv6",
        "Internal",
        "Labels",
        "Name",
        "Scope",
    ],
    id: "NETWORK ID",
    table: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
};

fn ls(engine: &Engine, options: &Options) -> Result<u8> {
    let filters = filters(options)?;
    let path = format!("/networks?{filters}");
    let answer = engine.text(path.trim_end_matches('?'))?;
    let mut networks = parse(&answer)?.items();
    networks.sort_by(|a, b| natural(&a.at("Name").text(), &b.at("Name").text()));
    let mut rows: Vec<Row> = Vec::new();
    for network in networks {
        let text = |name: &str| network.at(name).text();
        let is_on = |name: &str| network.at(name).is_true().to_string();
        let mut labels = Vec::new();
        for (name, value) in network.at("Labels").pairs() {
            labels.push(format!("{name}={}", value.text()));
        }
        let created = text("Created").replace('T', " ").replace('Z', " +0000 UTC");
        rows.push(vec![
            ("CreatedAt", created),
            ("Driver", text("Driver")),
            ("ID", shown_id(network.at("Id"), options.is("no-trunc"))),
            ("IPv4", is_on("EnableIPv4")),
            ("IPv6", is_on("EnableIPv6")),
            ("Internal", is_on("Internal")),
            ("Labels", labels.join(",")),
            ("Name", text("Name")),
            ("Scope", text("Scope")),
        ]);
    }
    let format = match (
        options.get("format").unwrap_or("table"),
        options.is("quiet"),
    ) {
        ("table", true) => "{{.ID}}",
        ("raw", true) => "network_id: {{.ID}}",
        ("raw", false) => {
            "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n"
        }
        (format, _) => format,
    };
    list::list(format, &COLUMNS, &rows)?;
    Ok(0)
}

fn remove(engine: &Engine, options: &Options) -> Result<u8> {
    each(&options.args, |name| {
        let path = format!("/networks/{}", query::encode(name));
        match engine.send("DELETE", &path, Body::Empty) {
            Err(error) if error.kind == Kind::NotFound && options.is("force") => Ok(()),
            outcome => outcome.and_then(|_| print::line(name)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::applets::client::options;
    use std::ffi::OsString;

    fn asked(line: &str) -> String {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let options = options::parse(&CREATE, &args);
        options
            .and_then(|options| ipam(&options))
            .unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn addresses_belong_to_the_subnet_they_lie_in() {
        assert_eq!(
            asked(
                "--subnet 10.0.0.0/24,10.1.0.0/24 --gateway 10.1.0.1 --ip-range 10.0.0.128/25 \
                 --aux-address a=10.0.0.5 --ipam-opt k=v --subnet fd00::/64 --gateway fd00::1 n"
            ),
            r#"{"Driver":"default","Options":{"k":"v"},"Config":[{"Subnet":"10.0.0.0/24","IPRange":"10.0.0.128/25","AuxiliaryAddresses":{"a":"10.0.0.5"}},{"Subnet":"10.1.0.0/24","Gateway":"10.1.0.1"},{"Subnet":"fd00::/64","Gateway":"fd00::1"}]}"#
        );
        for (line, expected) in [
            ("n", r#"{"Driver":"default","Options":{},"Config":[]}"#),
            ("--aux-address x n", "no matching subnet for aux-address "),
            (
                "--gateway 1.2.3.4 n",
                "every ip-range or gateway must have a corresponding subnet",
            ),
            (
                "--subnet 10.0.0.0/8 --subnet 10.1.0.0/16 n",
                "multiple overlapping subnet configuration is not supported",
            ),
            (
                "--subnet 10.0.0.0/8 --gateway 1.2.3.4 n",
                "no matching subnet for gateway 1.2.3.4",
            ),
            (
                "--subnet 10.0.0.0/8 --ip-range 11.0.0.0/24 n",
                "no matching subnet for range 11.0.0.0/24",
            ),
            (
                "--subnet 10.0.0.0/8 --ip-range zz n",
                "invalid CIDR address: zz",
            ),
            (
                "--subnet 10.0.0.0/8 --subnet 11.0.0.0/8 --gateway 10.0.0.1 --gateway 10.0.0.2 n",
                "cannot configure multiple gateways (10.0.0.2, 10.0.0.1) for the same subnet (10.0.0.0/8)",
            ),
            (
                "--subnet x --gateway 10.0.0.1 n",
                "invalid subnet: invalid CIDR address: x",
            ),
        ] {
            assert_eq!(asked(line), expected, "{line}");
        }
    }
}
