//! Option values with an inner structure: mounts, devices, ports, limits, environment.

use super::create::Create;
use super::options::Options;
use crate::error::{Error, Kind, Result};
use crate::json::node::{self, Node};
use crate::oci::image::Empty;
use crate::time::moment;
use crate::wire::container::{DeviceMapping, MountRequest, PortBinding, RestartPolicy, Ulimit};

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

pub fn cpus(create: &mut Create, value: &str) -> Result<()> {
    let nano = moment::parse_decimal(value, 1_000_000_000)
        .ok_or_else(|| Error::invalid(format!("failed to parse {value} as a rational number")))?;
    create.host.nano_cpus = Some(nano);
    Ok(())
}

pub fn oom_score_adj(create: &mut Create, value: &str) -> Result<()> {
    let number = value.parse().map_err(|_| {
        Error::invalid(format!(
            "strconv.ParseInt: parsing {value:?}: invalid syntax"
        ))
    })?;
    create.host.oom_score_adj = Some(number);
    Ok(())
}

/// An empty value is an entry point too: none instead of the image's.
pub fn entrypoint(create: &mut Create, value: &str) -> Result<()> {
    create.config.entrypoint = Some(vec![value.to_string()]);
    Ok(())
}

/// `host[:container[:permissions]]`.
pub fn device(create: &mut Create, value: &str) -> Result<()> {
    let is_mode = |text: &str| !text.is_empty() && text.bytes().all(|b| b"rwm".contains(&b));
    let parts: Vec<&str> = value.split(':').collect();
    let (inside, mode) = match parts[..] {
        [host] => (host, "rwm"),
        [host, mode] if is_mode(mode) => (host, mode),
        [_, inside] => (inside, "rwm"),
        [_, inside, mode] if is_mode(mode) => (inside, mode),
        _ => {
            return Err(Error::invalid(format!(
                "invalid device specification: {value}"
            )));
        }
    };
    create
        .host
        .devices
        .get_or_insert_default()
        .push(DeviceMapping {
            path_on_host: Some(parts[0].to_string()),
            path_in_container: Some(inside.to_string()),
            cgroup_permissions: Some(mode.to_string()),
        });
    Ok(())
}

/// `port[/protocol]`, as the engine's maps name it.
fn port(text: &str) -> Result<String> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if number.contains('-') {
        return Err(Error::invalid("ranges of ports are not supported yet"));
    }
    if number.parse::<u16>().is_err() || !matches!(protocol, "tcp" | "udp" | "sctp") {
        return Err(Error::invalid(format!("invalid containerPort: {text}")));
    }
    Ok(format!("{number}/{protocol}"))
}

pub fn expose(create: &mut Create, value: &str) -> Result<()> {
    let ports = create.config.exposed_ports.get_or_insert_default();
    ports.insert(port(value)?, Empty {});
    Ok(())
}

/// `[[ip:]host port:]container port[/protocol]`.
pub fn publish(create: &mut Create, value: &str) -> Result<()> {
    let (rest, inside) = value.rsplit_once(':').unwrap_or(("", value));
    let (ip, outside) = rest.rsplit_once(':').unwrap_or(("", rest));
    let inside = port(inside)?;
    if !outside.is_empty() && outside.parse::<u16>().is_err() {
        return Err(Error::invalid(format!("invalid hostPort: {outside}")));
    }
    let ports = create.config.exposed_ports.get_or_insert_default();
    ports.insert(inside.clone(), Empty {});
    let bindings = create.host.port_bindings.get_or_insert_default();
    bindings.entry(inside).or_default().push(PortBinding {
        host_ip: Some(ip.trim_matches(['[', ']']).to_string()),
        host_port: Some(outside.to_string()),
    });
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

/// `type=bind,source=…,target=…[,readonly]` (a line of CSV).
pub fn mount(create: &mut Create, value: &str) -> Result<()> {
    let mut mount = MountRequest {
        kind: Some("volume".to_string()),
        ..MountRequest::default()
    };
    for field in value.split(',') {
        let (key, text) = field.split_once('=').unwrap_or((field, ""));
        match key.to_ascii_lowercase().as_str() {
            "type" => mount.kind = Some(text.to_ascii_lowercase()),
            "source" | "src" => mount.source = Some(absolute(text)),
            "target" | "dst" | "destination" => mount.target = Some(text.to_string()),
            "readonly" | "ro" => {
                let is_on = match text {
                    "" | "1" | "true" => true,
                    "0" | "false" => false,
                    _ => return Err(Error::invalid(format!("invalid value for {key}: {text}"))),
                };
                mount.read_only = Some(is_on);
            }
            _ => {
                return Err(Error::invalid(format!(
                    "unexpected key '{key}' in '{field}'"
                )));
            }
        }
    }
    if mount.target.as_deref().unwrap_or_default().is_empty() {
        return Err(Error::invalid("target is required"));
    }
    create.host.mounts.get_or_insert_default().push(mount);
    Ok(())
}

/// What begins with a dot is relative to where the user is; the engine is somewhere else.
fn absolute(path: &str) -> String {
    match path.starts_with('.').then(|| std::path::absolute(path)) {
        Some(Ok(absolute)) => absolute.to_string_lossy().into_owned(),
        _ => path.to_string(),
    }
}

/// `[source:]destination[:options]`. Without a source: an anonymous volume.
pub fn volume(create: &mut Create, value: &str) -> Result<()> {
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
        Some((name, count)) => (name, Some(count)),
        None => (value, None),
    };
    let count = count.map(str::parse).transpose().map_err(|_| {
        Error::invalid("invalid restart policy format: maximum retry count must be an integer")
    })?;
    create.host.restart_policy = Some(RestartPolicy {
        name: Some(name.to_string()),
        maximum_retry_count: count,
    });
    Ok(())
}

/// A seccomp profile is a file of the client's; the engine gets its content.
pub fn security_opt(create: &mut Create, value: &str) -> Result<()> {
    let profile = value
        .strip_prefix("seccomp=")
        .or(value.strip_prefix("seccomp:"));
    let option = match profile.filter(|path| !matches!(*path, "unconfined" | "builtin")) {
        Some(path) => format!("seccomp={}", seccomp_profile(path)?),
        None => value.to_string(),
    };
    create
        .host
        .security_opt
        .get_or_insert_default()
        .push(option);
    Ok(())
}

fn seccomp_profile(path: &str) -> Result<String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| run(format!("opening seccomp profile ({path}) failed: {error}")))?;
    match Node::new(&text, "JSON") {
        Ok(_) => Ok(node::compact(&text)),
        Err(error) => Err(run(format!(
            "compacting json for seccomp profile ({path}) failed: {error}"
        ))),
    }
}

/// `name=soft[:hard]`.
pub fn ulimit(create: &mut Create, value: &str) -> Result<()> {
    let invalid = || Error::invalid(format!("invalid ulimit argument: {value}"));
    let (name, limits) = value.split_once('=').ok_or_else(invalid)?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let soft: i64 = soft.parse().map_err(|_| invalid())?;
    let hard: i64 = hard.parse().map_err(|_| invalid())?;
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(Error::invalid(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )));
    }
    create.host.ulimits.get_or_insert_default().push(Ulimit {
        name: Some(name.to_string()),
        soft: Some(soft),
        hard: Some(hard),
    });
    Ok(())
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

fn run(message: String) -> Error {
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
             --mount type=bind,src=/a,dst=/b,ro --sysctl a.b=1 --stop-timeout 3 image sh -c x",
        )
        .unwrap();
        assert_eq!(
            json::to_string(&create.config),
            r#"{"Hostname":"box","User":"1:2","AttachStdin":true,"AttachStdout":true,"AttachStderr":true,"ExposedPorts":{"8080/udp":{}},"Tty":true,"OpenStdin":true,"StdinOnce":true,"Env":["A=b"],"Cmd":["sh","-c","x"],"Entrypoint":["sh"],"Image":"image","Volumes":{"/data":{}},"WorkingDir":"/srv","Labels":{"a":"b"},"StopTimeout":3}"#
        );
        assert_eq!(
            json::to_string(&create.host),
            r#"{"Binds":["/a:/b:ro"],"NetworkMode":"none","PortBindings":{"8080/udp":[{"HostIp":"127.0.0.1","HostPort":"80"}]},"RestartPolicy":{"Name":"no"},"AutoRemove":true,"Mounts":[{"Type":"bind","Source":"/a","Target":"/b","ReadOnly":true}],"CapAdd":["NET_ADMIN"],"ReadonlyRootfs":true,"Tmpfs":{"/t":"size=1m"},"Sysctls":{"a.b":"1"},"Memory":67108864,"NanoCpus":500000000,"Devices":[{"PathOnHost":"/dev/null","PathInContainer":"/dev/x","CgroupPermissions":"r"}],"MemorySwap":-1,"Init":true,"PidsLimit":10,"Ulimits":[{"Name":"nofile","Soft":10,"Hard":20}]}"#
        );
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
