//! Option values with an inner structure: mounts, devices, ports, limits, environment.

use super::create::Create;
use super::mount;
use super::options::Options;
use crate::error::{Error, Kind, Result};
use crate::json::node::{self, Node};
use crate::oci::image::Empty;
use crate::time::moment;
use crate::wire::container::{DeviceMapping, HostConfig, RestartPolicy};
use std::net::IpAddr;

pub fn attach(create: &mut Create, value: &str) -> Result<()> {
    let config = &mut create.config;
    let stream = match value.to_ascii_lowercase().as_str() {
        "stdin" => &mut config.attach_stdin,
        "stdout" => &mut config.attach_stdout,
        "stderr" => &mut config.attach_stderr,
        _ => return Err(Error::invalid("valid streams are STDIN, STDOUT and STDERR")),
    };
    *stream = Some(true);
    Ok(())
}

/// An empty value is an entry point too: none instead of the image's.
pub fn entrypoint(create: &mut Create, value: &str) -> Result<()> {
    create.config.entrypoint = Some(vec![value.to_string()]);
    Ok(())
}

/// `host[:container[:permissions]]`, or what CDI calls a device: `vendor.com/class=name`.
pub fn device(create: &mut Create, value: &str) -> Result<()> {
    if !value.starts_with('/') && value.contains('/') && value.contains('=') {
        return mount::cdi(create, value);
    }
    let parts: Vec<&str> = value.split(':').collect();
    let (source, inside, mode) = match parts[..] {
        [source] => (source, source, "rwm"),
        [source, mode] if is_device_mode(mode) => (source, source, mode),
        [source, inside] => (source, inside, "rwm"),
        [source, inside, mode] => (source, inside, mode),
        _ => return Err(run(format!("bad format for path: {value}"))),
    };
    if source.is_empty() {
        return Err(run(format!("bad format for path: {value}")));
    }
    if !is_device_mode(mode) {
        return Err(run(format!("bad mode specified: {mode}")));
    }
    if !inside.starts_with('/') {
        return Err(run(format!("{inside} is not an absolute path")));
    }
    let devices = create.host.devices.get_or_insert_default();
    devices.push(DeviceMapping {
        path_on_host: Some(source.to_string()),
        path_in_container: Some(inside.to_string()),
        cgroup_permissions: Some(mode.to_string()),
    });
    Ok(())
}

/// Of `rwm`, each at most once.
fn is_device_mode(mode: &str) -> bool {
    let known = |letter: char| "rwm".contains(letter) && mode.matches(letter).count() == 1;
    !mode.is_empty() && mode.chars().all(known)
}

/// Capabilities by their whole names, each once; what is added is not dropped.
pub fn settle_capabilities(host: &mut HostConfig) {
    let whole = |name: &String| {
        let name = name.trim().to_ascii_uppercase();
        match name.starts_with("CAP_") || name == "ALL" {
            true => name,
            false => format!("CAP_{name}"),
        }
    };
    let settle = |list: &Option<Vec<String>>| {
        let mut names: Vec<String> = list.iter().flatten().map(whole).collect();
        names.sort_unstable();
        names.dedup();
        if names.iter().any(|name| name == "ALL") {
            names = vec!["ALL".to_string()];
        }
        names
    };
    let (added, mut dropped) = (settle(&host.cap_add), settle(&host.cap_drop));
    dropped.retain(|name| !added.contains(name));
    host.cap_add = Some(added).filter(|names| !names.is_empty());
    host.cap_drop = Some(dropped).filter(|names| !names.is_empty());
}

/// `type major:minor access`.
pub fn device_cgroup_rule(create: &mut Create, value: &str) -> Result<()> {
    let number = |text: &str| text == "*" || text.parse::<u32>().is_ok();
    let is_good = match value.split(' ').collect::<Vec<_>>()[..] {
        ["a" | "b" | "c", numbers, access] => {
            let numbers = numbers.split_once(':');
            numbers.is_some_and(|(major, minor)| number(major) && number(minor))
                && (1..=3).contains(&access.len())
                && access.bytes().all(|letter| b"rwm".contains(&letter))
        }
        _ => false,
    };
    if !is_good {
        return Err(Error::invalid(format!(
            "invalid device cgroup format '{value}'"
        )));
    }
    let rules = create.host.device_cgroup_rules.get_or_insert_default();
    rules.push(value.to_string());
    Ok(())
}

/// `name:address` or `name=address`.
pub fn add_host(create: &mut Create, value: &str) -> Result<()> {
    let (name, address) = value
        .split_once(['=', ':'])
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| Error::invalid(format!("bad format for add-host: {value:?}")))?;
    let plain = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(address);
    if address != "host-gateway" && plain.parse::<IpAddr>().is_err() {
        return Err(Error::invalid(format!(
            "invalid IP address in add-host: {address:?}"
        )));
    }
    let hosts = create.host.extra_hosts.get_or_insert_default();
    hosts.push(format!("{name}:{plain}"));
    Ok(())
}

pub fn dns(create: &mut Create, value: &str) -> Result<()> {
    if value.trim().parse::<IpAddr>().is_err() {
        return Err(Error::invalid(format!(
            "IP address is not correctly formatted: {value}"
        )));
    }
    let servers = create.host.dns.get_or_insert_default();
    servers.push(value.trim().to_string());
    Ok(())
}

pub fn dns_search(create: &mut Create, value: &str) -> Result<()> {
    let value = value.trim();
    // A dot alone asks for no list at all.
    if value != "." && !is_domain(value) {
        return Err(Error::invalid(format!("{value} is not a valid domain")));
    }
    let domains = create.host.dns_search.get_or_insert_default();
    domains.push(value.to_string());
    Ok(())
}

fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(is_inside) && label.trim_matches('-') == label
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    text.len() < 255
        && name.bytes().any(|byte| byte.is_ascii_alphabetic())
        && name.split('.').all(is_label)
}

pub fn sysctl(create: &mut Create, value: &str) -> Result<()> {
    const KNOWN: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let (name, text) = value.split_once('=').unwrap_or(("", ""));
    let is_known =
        KNOWN.contains(&name) || name.starts_with("net.") || name.starts_with("fs.mqueue.");
    if !is_known {
        return Err(Error::invalid(format!("sysctl '{value}' is not allowed")));
    }
    let sysctls = create.host.sysctls.get_or_insert_default();
    sysctls.insert(name.to_string(), text.to_string());
    Ok(())
}

/// `container[:alias]`.
pub fn link(create: &mut Create, value: &str) -> Result<()> {
    if value.is_empty() {
        return Err(Error::invalid("empty string specified for links"));
    }
    if value.matches(':').count() > 1 {
        return Err(Error::invalid(format!("bad format for links: {value}")));
    }
    create
        .host
        .links
        .get_or_insert_default()
        .push(value.to_string());
    Ok(())
}

/// It is an endpoint's.
pub fn mac_address(_: &mut Create, value: &str) -> Result<()> {
    let (count, digits) = match value.contains('.') {
        true => (3, 4),
        false => (6, 2),
    };
    let parts: Vec<&str> = value.split([':', '-', '.']).collect();
    let is_part =
        |part: &&str| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    if parts.len() != count || !parts.iter().all(is_part) {
        return Err(run(format!("{value} is not a valid mac address")));
    }
    Ok(())
}

pub fn storage_opt(create: &mut Create, value: &str) -> Result<()> {
    let (name, text) = value
        .split_once('=')
        .ok_or_else(|| run("invalid storage option".to_string()))?;
    let options = create.host.storage_opt.get_or_insert_default();
    options.insert(name.to_string(), text.to_string());
    Ok(())
}

/// Go's durations, which may be negative and must have units.
pub fn duration(text: &str) -> Result<i64> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if let Some(nanos) = moment::parse_duration(rest).filter(|_| !rest.is_empty()) {
        return Ok(sign * nanos);
    }
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let (number, unit) = rest.split_at(rest.find(|c| !is_number(c)).unwrap_or(rest.len()));
    let unit = unit.split(is_number).next().unwrap_or_default();
    Err(Error::invalid(match (number, unit) {
        ("" | ".", _) => format!("time: invalid duration {text:?}"),
        (_, "") => format!("time: missing unit in duration {text:?}"),
        (_, "ns" | "us" | "µs" | "ms" | "s" | "m" | "h") => {
            format!("time: invalid duration {text:?}")
        }
        _ => format!("time: unknown unit {unit:?} in duration {text:?}"),
    }))
}

pub fn health_cmd(create: &mut Create, value: &str) -> Result<()> {
    if !value.is_empty() {
        let health = create.config.healthcheck.get_or_insert_default();
        health.test = Some(vec!["CMD-SHELL".to_string(), value.to_string()]);
    }
    Ok(())
}

/// The engine knows which there are.
pub fn health_probe(create: &mut Create, value: &str) -> Result<()> {
    let health = create.config.healthcheck.get_or_insert_default();
    health.test = Some(vec!["PROBE".to_string(), value.to_string()]);
    Ok(())
}

/// What does not go together, or not with Linux.
pub fn check(options: &Options, create: &Create) -> Result<()> {
    for name in ["cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops"] {
        if options.get(name).is_some() {
            return Err(Error::invalid(format!(
                "\"--{name}\" is only supported on a Docker daemon running on windows, but the Docker daemon is running on linux"
            )));
        }
    }
    if options.get("disable-content-trust") == Some("false") {
        return Err(run("content trust is not supported".to_string()));
    }
    let pull = options.get("pull").unwrap_or("missing");
    if !matches!(pull, "always" | "missing" | "never") {
        return Err(run(format!(
            "invalid pull option: '{pull}': must be one of \"always\", \"missing\" or \"never\""
        )));
    }
    let host = &create.host;
    let modes = [
        (&host.pid_mode, "--pid: invalid PID mode", true),
        (&host.uts_mode, "--uts: invalid UTS mode", false),
        (&host.userns_mode, "--userns: invalid USER mode", false),
    ];
    for (mode, sentence, may_be_shared) in modes {
        let mode = mode.as_deref().unwrap_or_default();
        let donor = mode.strip_prefix("container:").unwrap_or_default();
        let is_known = matches!(mode, "" | "host") || (may_be_shared && !donor.is_empty());
        if !is_known {
            return Err(run(sentence.to_string()));
        }
    }
    if !matches!(
        host.cgroupns_mode.as_deref(),
        None | Some("" | "private" | "host")
    ) {
        return Err(run("--cgroupns: invalid CGROUP mode".to_string()));
    }
    let log = host.log_config.clone().unwrap_or_default();
    if log.kind.as_deref() == Some("none") && log.config.is_some_and(|map| !map.is_empty()) {
        return Err(run("invalid logging opts for driver none".to_string()));
    }
    check_health(options, create)
}

fn check_health(options: &Options, create: &Create) -> Result<()> {
    let Some(health) = &create.config.healthcheck else {
        return Ok(());
    };
    if options.is("no-healthcheck") {
        return Err(run(
            "--no-healthcheck conflicts with --health-* options".to_string()
        ));
    }
    if options.get("health-cmd").is_some() && options.get("health-probe").is_some() {
        return Err(run(
            "conflicting options: cannot specify both --health-cmd and --health-probe".to_string(),
        ));
    }
    for (number, name) in [
        (health.interval, "interval"),
        (health.timeout, "timeout"),
        (health.retries, "retries"),
        (health.start_period, "start-period"),
        (health.start_interval, "start-interval"),
    ] {
        if number.is_some_and(|number| number < 0) {
            return Err(run(format!("--health-{name} cannot be negative")));
        }
    }
    Ok(())
}

pub fn label(create: &mut Create, value: &str) -> Result<()> {
    let (name, text) = value.split_once('=').unwrap_or((value, ""));
    if name.is_empty() {
        return Err(Error::invalid(format!(
            "invalid label '{value}': empty name"
        )));
    }
    let labels = create.config.labels.get_or_insert_default();
    labels.insert(name.to_string(), text.to_string());
    Ok(())
}

pub fn label_file(create: &mut Create, path: &str) -> Result<()> {
    for line in lines(path)? {
        label(create, &line)?;
    }
    Ok(())
}

/// What begins with a dot is relative to where the user is; the engine is somewhere else.
pub fn absolute(path: &str) -> String {
    match path.starts_with('.').then(|| std::path::absolute(path)) {
        Some(Ok(absolute)) => absolute.to_string_lossy().into_owned(),
        _ => path.to_string(),
    }
}

/// `[source:]destination[:options]`. Without a source: an anonymous volume.
pub fn volume(create: &mut Create, value: &str) -> Result<()> {
    if value.is_empty() {
        return Err(run("invalid empty volume spec".to_string()));
    }
    if value.contains(':') && value.split(':').any(str::is_empty) {
        return Err(run(format!(
            "invalid spec: {value}: empty section between colons"
        )));
    }
    match value.split_once(':') {
        Some((source, rest)) => {
            let bind = format!("{}:{rest}", absolute(source));
            create.host.binds.get_or_insert_default().push(bind);
        }
        None => {
            let volumes = create.config.volumes.get_or_insert_default();
            volumes.insert(value.to_string(), Empty {});
        }
    }
    Ok(())
}

pub fn tmpfs(create: &mut Create, value: &str) -> Result<()> {
    let (path, options) = value.split_once(':').unwrap_or((value, ""));
    let tmpfs = create.host.tmpfs.get_or_insert_default();
    tmpfs.insert(path.to_string(), options.to_string());
    Ok(())
}

/// `no`, `always`, `unless-stopped`, `on-failure[:count]`.
pub fn restart(create: &mut Create, value: &str) -> Result<()> {
    let (name, count) = match value.split_once(':') {
        Some(("", _)) => {
            return Err(run(
                "invalid restart policy format: no policy provided before colon".to_string(),
            ));
        }
        Some((name, count)) => (name, Some(count)),
        None => (value, None),
    };
    let count = count.map(str::parse).transpose().map_err(|_| {
        run("invalid restart policy format: maximum retry count must be an integer".to_string())
    })?;
    create.host.restart_policy = Some(RestartPolicy {
        name: Some(name.to_string()),
        maximum_retry_count: count,
    });
    Ok(())
}

/// A seccomp profile is a file of the client's; the engine gets its content. `systempaths` is no
/// option of the engine's either, but two empty lists.
pub fn security_opt(create: &mut Create, value: &str) -> Result<()> {
    let (key, text) = match value.split_once('=').or_else(|| value.split_once(':')) {
        Some(pair) => pair,
        None if value == "no-new-privileges" => (value, ""),
        None => return Err(run(format!("Invalid --security-opt: {value:?}"))),
    };
    if value == "systempaths=unconfined" {
        create.host.masked_paths = Some(Vec::new());
        create.host.readonly_paths = Some(Vec::new());
        return Ok(());
    }
    let option = match key {
        "seccomp" if !matches!(text, "unconfined" | "builtin") => {
            format!("seccomp={}", seccomp_profile(text)?)
        }
        _ => value.to_string(),
    };
    let options = create.host.security_opt.get_or_insert_default();
    options.push(option);
    Ok(())
}

fn seccomp_profile(path: &str) -> Result<String> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        run(format!(
            "opening seccomp profile ({path}) failed: open {path}: {error}"
        ))
    })?;
    match Node::new(&text, "JSON") {
        Ok(_) => Ok(node::compact(&text)),
        Err(error) => Err(run(format!(
            "compacting json for seccomp profile ({path}) failed: {error}"
        ))),
    }
}

/// The environment: files first, then what the command line says. A name alone takes the value it
/// has here.
pub fn env(options: &Options) -> Result<Option<Vec<String>>> {
    let mut env = Vec::new();
    for path in options.all("env-file") {
        for line in lines(path)? {
            let name = line.split('=').next().unwrap_or_default();
            if name.is_empty() {
                return Err(run(format!("no variable name on line '{line}'")));
            }
            if name.contains([' ', '\t']) {
                return Err(run(format!("variable '{name}' contains whitespaces")));
            }
            match std::env::var(name) {
                _ if line.contains('=') => env.push(line),
                Ok(value) => env.push(format!("{name}={value}")),
                Err(_) => {}
            }
        }
    }
    for variable in options.all("env") {
        if variable.is_empty() || variable.starts_with('=') {
            return Err(super::options::usage(format!(
                "invalid argument {variable:?} for \"-e, --env\" flag: \
                 invalid environment variable: {variable}"
            )));
        }
        match std::env::var(variable) {
            Ok(value) if !variable.contains('=') => env.push(format!("{variable}={value}")),
            // A name alone asks the engine to take the image's value away.
            _ => env.push(variable.to_string()),
        }
    }
    Ok((!env.is_empty()).then_some(env))
}

/// The lines of a file that are not blank and no comments.
fn lines(path: &str) -> Result<Vec<String>> {
    let text = read(path)?;
    Ok(text
        .trim_start_matches('\u{feff}')
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_string)
        .collect())
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| Error::io(format_args!("open {path}"), &error).with_kind(Kind::Run))
}

pub fn run(message: String) -> Error {
    Error::new(Kind::Run, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::applets::client::create::{self, VERB};
    use crate::applets::client::options;
    use crate::json;
    use std::ffi::OsString;

    fn created(line: &str) -> Result<Create> {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        create::request(&options::parse(&VERB, &args)?)
    }

    #[test]
    fn options_fill_the_request() {
        let create = created(
            "-it --rm --name web -e A=b -w /srv -u 1:2 --entrypoint sh -h box --init --network none \
             -m 64m --memory-swap -1 --cpus 0.5 --pids-limit 10 --read-only --cap-add NET_ADMIN \
             -v /a:/b:ro -v /data --tmpfs /t:size=1m -l a=b -p 127.0.0.1:80:8080/udp \
             --ulimit nofile=10:20 --device /dev/null:/dev/x:r --restart no \
             --mount type=bind,src=/a,dst=/b,ro --sysctl net.b=1 --stop-timeout 3 image sh -c x",
        )
        .unwrap();
        assert_eq!(
            json::to_string(&create.config),
            r#"{"Hostname":"box","User":"1:2","AttachStdin":true,"AttachStdout":true,"AttachStderr":true,"ExposedPorts":{"8080/udp":{}},"Tty":true,"OpenStdin":true,"StdinOnce":true,"Env":["A=b"],"Cmd":["sh","-c","x"],"Entrypoint":["sh"],"Image":"image","Volumes":{"/data":{}},"WorkingDir":"/srv","Labels":{"a":"b"},"StopTimeout":3}"#
        );
        assert_eq!(
            json::to_string(&create.host),
            r#"{"Binds":["/a:/b:ro"],"NetworkMode":"none","PortBindings":{"8080/udp":[{"HostIp":"127.0.0.1","HostPort":"80"}]},"RestartPolicy":{"Name":"no"},"AutoRemove":true,"Mounts":[{"Type":"bind","Source":"/a","Target":"/b","ReadOnly":true}],"CapAdd":["CAP_NET_ADMIN"],"ReadonlyRootfs":true,"Tmpfs":{"/t":"size=1m"},"Sysctls":{"net.b":"1"},"Memory":67108864,"NanoCpus":500000000,"Devices":[{"PathOnHost":"/dev/null","PathInContainer":"/dev/x","CgroupPermissions":"r"}],"MemorySwap":-1,"Init":true,"PidsLimit":10,"Ulimits":[{"Name":"nofile","Soft":10,"Hard":20}]}"#
        );
    }

    #[test]
    fn what_options_say_of_addresses_is_the_first_networks() {
        let line = "--network name=a,ip=10.0.0.1 --network b --ip6 fd00::1 --link c:d \
                    --mac-address 02:00:00:00:00:01 --net-alias e image";
        let create = created(line).unwrap();
        assert_eq!(create.host.network_mode.as_deref(), Some("a"));
        assert_eq!(
            json::to_string(&mount::endpoints(create.networks)),
            r#"{"a":{"Aliases":["e"],"Links":["c:d"],"IPAMConfig":{"IPv4Address":"10.0.0.1","IPv6Address":"fd00::1"},"MacAddress":"02:00:00:00:00:01"},"b":{}}"#
        );
    }

    #[test]
    fn a_health_check_is_put_together_of_its_options() {
        let line = "--health-cmd true --health-interval 1m30s --health-timeout 3s --health-retries 2 \
                    --health-start-period 0 --health-start-interval 1.5s image";
        let config = created(line).unwrap().config;
        assert_eq!(
            json::to_string(&config.healthcheck),
            r#"{"Test":["CMD-SHELL","true"],"Interval":90000000000,"Timeout":3000000000,"Retries":2,"StartPeriod":0,"StartInterval":1500000000}"#
        );
        let config = created("--no-healthcheck image").unwrap().config;
        assert_eq!(json::to_string(&config.healthcheck), r#"{"Test":["NONE"]}"#);
    }

    #[test]
    fn values_that_do_not_fit_are_told_in_dockers_words() {
        for (line, expected) in [
            (
                "-m abc x",
                "invalid argument \"abc\" for \"-m, --memory\" flag: invalid size: 'abc'",
            ),
            (
                "--cpus abc x",
                "invalid argument \"abc\" for \"--cpus\" flag: failed to parse abc as a rational number",
            ),
            (
                "--pids-limit abc x",
                "invalid argument \"abc\" for \"--pids-limit\" flag: \
                 strconv.ParseInt: parsing \"abc\": invalid syntax",
            ),
            (
                "-l =x x",
                "invalid argument \"=x\" for \"-l, --label\" flag: invalid label '=x': empty name",
            ),
            (
                "--ulimit x y",
                "invalid argument \"x\" for \"--ulimit\" flag: invalid ulimit argument: x",
            ),
            (
                "--mount type=bind x",
                "invalid argument \"type=bind\" for \"--mount\" flag: target is required",
            ),
            (
                "--rm --restart always x",
                "conflicting options: cannot specify both --restart and --rm",
            ),
            (
                "--network name=n,ip=10.0.0.1 --ip 10.0.0.2 x",
                "conflicting options: cannot specify both --ip and per-network IPv4 address",
            ),
            (
                "--network n --network host x",
                "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
            ),
            (
                "--net-alias a x",
                "network-scoped aliases are only supported for user-defined networks",
            ),
            (
                "--network name=n,mac-address=zz x",
                "zz is not a valid mac address",
            ),
            (
                "--env-file /nonexistent x",
                "open /nonexistent: No such file or directory (os error 2)",
            ),
        ] {
            assert_eq!(created(line).err().unwrap().message, expected, "{line}");
        }
    }

    #[test]
    fn an_environment_file_has_comments_and_names_without_value() {
        let path = std::env::temp_dir().join(format!("tug-env-{}", std::process::id()));
        std::fs::write(&path, "\u{feff}# no\n\n  A=b c \nPATH\nNOT_SET_HERE\n").unwrap();
        let create = created(&format!("--env-file {} -e A=2 x", path.display()));
        std::fs::write(&path, "A B=c\n").unwrap();
        let error = created(&format!("--env-file {} x", path.display()))
            .err()
            .unwrap();
        std::fs::remove_file(&path).unwrap();
        let path = format!("PATH={}", std::env::var("PATH").unwrap());
        assert_eq!(
            create.unwrap().config.env.unwrap(),
            ["A=b c ", &path, "A=2"]
        );
        assert_eq!(error.message, "variable 'A B' contains whitespaces");
    }
}
