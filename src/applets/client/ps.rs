//! `tug ps`: the list of containers.

use super::list::{self, Columns, Row};
use super::options::{Options, Verb, flag};
use super::remote::{Engine, parse};
use super::{human, print};
use crate::error::Result;
use crate::http::query;
use crate::id;
use crate::json::node::{self, Node};

pub const FORMAT: &str = "Format output using a custom template: 'table' (default), 'table TEMPLATE', 'json', or a Go template such as '{{.ID}}'";
pub const FILTER: &str = "Filter output based on conditions provided";

pub const VERB: Verb = Verb {
    names: &["ps", "container ls", "container list", "container ps"],
    usage: "[OPTIONS]",
    about: "List containers",
    flags: &[&[
        flag(
            "-a, --all",
            "Show all containers (default shows just running)",
        ),
        flag("-f, --filter filter", FILTER),
        flag("--format string", FORMAT),
        flag(
            "-n, --last int",
            "Show n last created containers (includes all states) (default -1)",
        ),
        flag(
            "-l, --latest",
            "Show the latest created container (includes all states)",
        ),
        flag("--no-trunc", "Don't truncate output"),
        flag("-q, --quiet", "Only display container IDs"),
        flag("-s, --size", "Display total file sizes"),
    ]],
    args: (0, 0),
    has_command: false,
    main,
};

const COLUMNS: &str =
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";

const RAW: &str = "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\n\
    created_at: {{.CreatedAt}}\nstate: {{- pad .State 1 0}}\nstatus: {{- pad .Status 1 0}}\n\
    names: {{.Names}}\nlabels: {{- pad .Labels 1 0}}\nports: {{- pad .Ports 1 0}}\n";

pub const FIELDS: [&str; 15] = [
    "Command",
    "CreatedAt",
    "ID",
    "Image",
    "Labels",
    "LocalVolumes",
    "Mounts",
    "Names",
    "Networks",
    "Platform",
    "Ports",
    "RunningFor",
    "Size",
    "State",
    "Status",
];

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let last = match options.integer("last")? {
        _ if options.is("latest") => 1,
        last => last.unwrap_or(-1),
    };
    let format = options.get("format").unwrap_or("table");
    let has_size = options.is("size") || format.contains(".Size");
    let mut path = String::from("/containers/json?");
    for (is_on, part) in [
        (options.is("all"), "all=1&".to_string()),
        (last > 0, format!("limit={last}&")),
        (has_size, "size=1&".to_string()),
    ] {
        if is_on {
            path.push_str(&part);
        }
    }
    path.push_str(&filters(options)?);
    let answer = engine.text(path.trim_end_matches(['&', '?']))?;

    let is_whole = options.is("no-trunc");
    let mut rows: Vec<Row> = Vec::new();
    for container in parse(&answer)?.items() {
        rows.push(row(container, is_whole));
    }
    let format = match options.get("format") {
        None if options.is("quiet") => "{{.ID}}",
        _ => format,
    };
    let size = if options.is("size") {
        "\t{{.Size}}"
    } else {
        ""
    };
    let raw = match (options.is("quiet"), options.is("size")) {
        (true, _) => "container_id: {{.ID}}".to_string(),
        (false, true) => format!("{RAW}size: {{{{.Size}}}}\n"),
        (false, false) => RAW.to_string(),
    };
    let format = if format == "raw" { &raw } else { format };
    let columns = Columns {
        fields: &FIELDS,
        id: "CONTAINER ID",
        table: &format!("{COLUMNS}{size}"),
    };
    list::list(format, &columns, &rows)?;
    Ok(0)
}

/// `-f name=value…` as the query that the engine reads (API, ContainerList).
pub fn filters(options: &Options) -> Result<String> {
    filters_with(options, None)
}

/// The same with one more, a name and its value.
pub fn filters_with(options: &Options, more: Option<(&str, &str)>) -> Result<String> {
    let mut given: Vec<(&str, &str)> = Vec::new();
    for (flag, filter) in options.given().filter(|(flag, _)| flag.long() == "filter") {
        let why = "bad format of filter (expected name=value)";
        given.push(
            filter
                .split_once('=')
                .ok_or_else(|| flag.invalid(filter, why))?,
        );
    }
    given.extend(more);
    let mut names: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in given {
        let name = name.trim().to_ascii_lowercase();
        let value = format!("{}:true", node::quote(value.trim()));
        match names.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => names.push((name, vec![value])),
        }
    }
    if names.is_empty() {
        return Ok(String::new());
    }
    let members: Vec<String> = names
        .iter()
        .map(|(name, values)| format!("{}:{{{}}}", node::quote(name), values.join(",")))
        .collect();
    Ok(format!(
        "filters={}",
        query::encode(&format!("{{{}}}", members.join(",")))
    ))
}

pub fn shown_id(id: Node<'_>, is_whole: bool) -> String {
    let id = id.text();
    match is_whole {
        true => id,
        false => id::short(&id).to_string(),
    }
}

pub fn row(container: Node<'_>, is_whole: bool) -> Row {
    let text = |name: &str| container.at(name).text();
    let created = container.at("Created").integer();
    let mut command = text("Command");
    let mut image = text("Image");
    if !is_whole {
        command = print::ellipsis(&command, 20);
        if image.starts_with("sha256:") || image == text("ImageID") {
            image = id::short(&image).to_string();
        }
    }
    if image.is_empty() {
        image = "<no image>".to_string();
    }
    let mut names = Vec::new();
    for name in container.at("Names").items() {
        let name = name.text().trim_start_matches('/').to_string();
        // Those with a slash inside are of links.
        if !name.contains('/') {
            names.push(name);
        }
    }
    let mut labels = Vec::new();
    for (name, value) in container.at("Labels").pairs() {
        labels.push(format!("{name}={}", value.text()));
    }
    let mut mounts = Vec::new();
    for mount in container.at("Mounts").items() {
        let mut name = mount.at("Name").text();
        if name.is_empty() {
            name = mount.at("Source").text();
        }
        mounts.push(if is_whole {
            name
        } else {
            print::ellipsis(&name, 15)
        });
    }
    let local = |mount: &&Node<'_>| mount.at("Driver").text() == "local";
    let volumes = container.at("Mounts").items().iter().filter(local).count();
    let mut networks = Vec::new();
    for (name, _) in container.at("NetworkSettings.Networks").pairs() {
        networks.push(name);
    }
    vec![
        ("Command", node::quote(&command)),
        ("CreatedAt", human::date(created)),
        ("ID", shown_id(container.at("Id"), is_whole)),
        ("Image", image),
        ("Labels", labels.join(",")),
        ("LocalVolumes", volumes.to_string()),
        ("Mounts", mounts.join(",")),
        ("Names", names.join(",")),
        ("Networks", networks.join(",")),
        ("Platform", String::new()),
        ("Ports", ports(container.at("Ports"))),
        ("RunningFor", human::ago(created)),
        ("Size", size(container)),
        ("State", text("State")),
        ("Status", text("Status")),
    ]
}

fn size(container: Node<'_>) -> String {
    let own = human::size(container.at("SizeRw").integer());
    match container.at("SizeRootFs").integer() {
        0 => own,
        all => format!("{own} (virtual {})", human::size(all)),
    }
}

/// `53/udp, 0.0.0.0:8000-8010->8000-8010/tcp, [::]:8080->80/tcp`: ports that follow each other are
/// one where they have the same number outside, and those with another come last.
fn ports(list: Node<'_>) -> String {
    let mut ports = Vec::new();
    for port in list.items() {
        let number = |name: &str| port.at(name).integer();
        let (inside, outside) = (number("PrivatePort"), number("PublicPort"));
        ports.push((
            inside,
            port.at("IP").text(),
            outside,
            port.at("Type").text(),
        ));
    }
    ports.sort_unstable();
    // Address and protocol, and the first and last port.
    let mut open: Vec<(String, String, i64, i64)> = Vec::new();
    let (mut done, mut mapped) = (Vec::new(), Vec::new());
    for (inside, ip, outside, protocol) in ports {
        if !ip.is_empty() && inside != outside {
            let host = in_brackets(&ip);
            mapped.push(format!("{host}:{outside}->{inside}/{protocol}"));
            continue;
        }
        let mut groups = open.iter_mut();
        match groups.find(|group| group.0 == ip && group.1 == protocol) {
            None => open.push((ip, protocol, inside, inside)),
            Some(group) if inside == group.3 + 1 => group.3 = inside,
            Some(group) => {
                done.push(shown_group(group));
                (group.2, group.3) = (inside, inside);
            }
        }
    }
    done.extend(open.iter().map(shown_group));
    done.append(&mut mapped);
    done.join(", ")
}

fn shown_group((ip, protocol, first, last): &(String, String, i64, i64)) -> String {
    let range = match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    match ip.is_empty() {
        true => format!("{range}/{protocol}"),
        false => format!("{}:{range}->{range}/{protocol}", in_brackets(ip)),
    }
}

/// An address as it stands before a port.
pub fn in_brackets(ip: &str) -> String {
    match ip.contains(':') {
        true => format!("[{ip}]"),
        false => ip.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_that_follow_each_other_are_shown_as_one() {
        let mut all = Vec::new();
        let mut add = |ip: &str, inside: u16, outside: u16, protocol: &str| {
            all.push(format!(
                r#"{{"IP":"{ip}","PrivatePort":{inside},"PublicPort":{outside},"Type":"{protocol}"}}"#
            ));
        };
        for port in 8000..=8010 {
            add("0.0.0.0", port, port, "tcp");
            add("::", port, port, "tcp");
        }
        for port in [60, 53, 54] {
            add("", port, 0, "udp");
        }
        add("0.0.0.0", 80, 8080, "tcp");
        add("::", 80, 8080, "tcp");
        add("0.0.0.0", 9000, 9000, "udp");
        add("", 8500, 0, "tcp");
        let list = format!("[{}]", all.join(","));
        assert_eq!(
            ports(parse(&list).unwrap()),
            "53-54/udp, 60/udp, 0.0.0.0:8000-8010->8000-8010/tcp, [::]:8000-8010->8000-8010/tcp, \
             8500/tcp, 0.0.0.0:9000->9000/udp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"
        );
    }
}
