//! `tug proxy`: carries the traffic of published ports, with docker-proxy's options for one port, or
//! of all that the shim has claimed.
//!
//! ```text
//!   whoever starts it (dockerd)        proxy
//!     | -- 3: a pipe ----------------> |
//!     | -- 4: the socket, or none ---> |
//!     | <----------- 3: "0\n", or "1\n" and why not
//!     | -- SIGTERM, SIGINT ----------> |   exits with 0
//! ```

use crate::error::{Error, Kind, Result};
use crate::log;
use crate::net::proxy::{Proxy, Service};
use crate::sys::inet::{self, Protocol};
use crate::sys::supervisor;
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

const HELP: &str = "\
Usage: tug proxy [OPTIONS]

Carry the traffic of a published port to a container, with docker-proxy's
options, with one dash or two:
  -proto tcp|udp|sctp    the protocol (default: tcp)
  -host-ip ADDRESS       where to listen (default: 0.0.0.0)
  -host-port PORT
  -container-ip ADDRESS  where it leads; of either family
  -container-port PORT
  -use-listen-fd         serve the socket that is descriptor 4
  -v, -version           print the version

Descriptor 3 is told when it serves (\"0\"), or why it cannot (\"1\" and a line).

Or carry that of many ports, whose sockets are passed as descriptors:
  -sockets               read a line for each of them from standard input:
                         descriptor, protocol, target (5 tcp 172.17.0.2:80).
                         Ends after a minute without traffic.
";

/// What dockerd passes.
const STATUS: i32 = 3;
const SOCKET: i32 = 4;

/// Who claimed the ports takes them back after so much silence.
const IDLE: Duration = Duration::from_secs(60);

/// As Go's flag package.
const BAD_FLAGS: u8 = 2;

#[derive(Debug, PartialEq)]
enum Options {
    /// A port of docker-proxy's.
    Port(Port),
    Sockets,
}

#[derive(Debug, PartialEq)]
struct Port {
    protocol: Protocol,
    host: SocketAddr,
    container: SocketAddr,
    is_passed: bool,
}

pub fn main(args: &[OsString]) -> Result<u8> {
    let options = parse(args);
    // Taken before anything else is opened, or it might be something of our own.
    let mut status = None;
    if !matches!(options, Ok(Options::Sockets)) {
        status = inet::inherited(STATUS).map(File::from);
    }
    let mut tell = |text: &str| {
        // By hand there is no pipe.
        if let Some(mut pipe) = status.take() {
            let _ = pipe.write_all(text.as_bytes());
        }
    };
    let port = match options {
        Ok(Options::Sockets) => {
            supervisor::set_name(c"tug-proxy");
            let list = std::io::read_to_string(std::io::stdin())
                .map_err(|error| Error::io("read standard input", &error))?;
            return Proxy::new(services(&list)?)?.run(Some(IDLE)).map(|()| 0);
        }
        Ok(Options::Port(port)) => port,
        Err(error) if error.kind == Kind::Help => return Err(error),
        Err(error) => {
            tell(&format!("1\n{error}"));
            log::line("docker-proxy", format_args!("{error}, see -help"));
            return Ok(BAD_FLAGS);
        }
    };
    let serving = open(&port).and_then(|socket| {
        Proxy::new(vec![Service {
            socket,
            protocol: port.protocol,
            target: port.container,
        }])
    });
    let proxy = serving.inspect_err(|error| tell(&format!("1\n{error}")))?;
    tell("0\n");
    proxy.run(None).map(|()| 0)
}

/// The socket to serve: a passed one, or one that listens on the host's address.
fn open(port: &Port) -> Result<OwnedFd> {
    if port.is_passed {
        return inet::inherited(SOCKET)
            .ok_or_else(|| Error::invalid("-use-listen-fd: descriptor 4 is not open"));
    }
    listen(port.protocol, &port.host).map_err(|errno| {
        let (protocol, host) = (port.protocol.name(), port.host);
        let family = if host.is_ipv4() { 4 } else { 6 };
        let words = inet::words(errno);
        // In full as moby's, whose users look for its middle.
        Error::with_errno(
            Kind::System,
            Some(errno.raw_os_error()),
            format!("failed to listen on {host}: listen {protocol}{family} {host}: bind: {words}"),
        )
    })
}

fn listen(protocol: Protocol, host: &SocketAddr) -> std::result::Result<OwnedFd, Errno> {
    let socket = inet::open(protocol, &host.ip())?;
    if protocol == Protocol::Udp {
        inet::bind(&socket, host)?;
    } else {
        inet::reuse_address(&socket)?;
        inet::bind(&socket, host)?;
        inet::listen(&socket)?;
    }
    Ok(socket)
}

/// What `-sockets` reads.
fn services(list: &str) -> Result<Vec<Service>> {
    let mut services = Vec::new();
    for line in list.lines() {
        let mut words = line.split(' ');
        let mut next = || words.next().unwrap_or_default();
        let (number, protocol, target) = (next(), next(), next());
        let is_taken = |number: i32| {
            let mut sockets = services
                .iter()
                .map(|service: &Service| service.socket.as_raw_fd());
            sockets.any(|taken| taken == number)
        };
        let service = number.parse().ok();
        let service = service.filter(|number| *number > 2 && !is_taken(*number));
        let service = service.and_then(|number| {
            Some(Service {
                protocol: Protocol::named(protocol)?,
                target: target.parse().ok()?,
                socket: inet::inherited(number)?,
            })
        });
        services.push(service.ok_or_else(|| {
            Error::invalid(format!(
                "-sockets: {line:?} is not an open descriptor, a protocol and a target"
            ))
        })?);
    }
    Ok(services)
}

/// Options as Go's flag package takes them: `-name value`, `-name=value`, with one dash or two.
fn parse(args: &[OsString]) -> Result<Options> {
    let mut protocol = Protocol::Tcp;
    let mut host_ip = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let mut container_ip = None;
    let (mut host_port, mut container_port) = (None, None);
    let (mut is_passed, mut with_sockets) = (false, false);
    let mut args = args.iter().map(|arg| arg.to_str().unwrap_or_default());
    while let Some(arg) = args.next() {
        let Some(flag) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')) else {
            return Err(Error::invalid(format!("unexpected argument {arg:?}")));
        };
        let (name, given) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, None),
        };
        let wrong =
            |value: &str| Error::invalid(format!("invalid value {value:?} for flag -{name}"));
        match name {
            "h" | "help" => return Err(Error::new(Kind::Help, HELP)),
            "v" | "version" => return Err(Error::new(Kind::Help, VERSION)),
            "use-listen-fd" | "sockets" => {
                let value = given.unwrap_or("true");
                let flag = if name == "sockets" {
                    &mut with_sockets
                } else {
                    &mut is_passed
                };
                *flag = value.parse().map_err(|_| wrong(value))?;
                continue;
            }
            "proto" | "host-ip" | "host-port" | "container-ip" | "container-port" => {}
            _ => {
                return Err(Error::invalid(format!(
                    "flag provided but not defined: -{name}"
                )));
            }
        }
        let Some(value) = given.or_else(|| args.next()) else {
            return Err(Error::invalid(format!("flag needs an argument: -{name}")));
        };
        match name {
            "proto" => {
                protocol = Protocol::named(value)
                    .ok_or_else(|| Error::invalid(format!("unsupported protocol {value}")))?;
            }
            "host-ip" => host_ip = value.parse().map_err(|_| wrong(value))?,
            "container-ip" => container_ip = Some(value.parse().map_err(|_| wrong(value))?),
            "host-port" => host_port = Some(value.parse().map_err(|_| wrong(value))?),
            _ => container_port = Some(value.parse().map_err(|_| wrong(value))?),
        }
    }
    if with_sockets {
        return Ok(Options::Sockets);
    }
    let missing = |name| Error::invalid(format!("-{name} is needed"));
    let container_ip = container_ip.ok_or_else(|| missing("container-ip"))?;
    let container_port = container_port.ok_or_else(|| missing("container-port"))?;
    let host_port = match host_port {
        None if is_passed => 0,
        port => port.ok_or_else(|| missing("host-port"))?,
    };
    Ok(Options::Port(Port {
        protocol,
        host: SocketAddr::new(host_ip, host_port),
        container: SocketAddr::new(container_ip, container_port),
        is_passed,
    }))
}

const VERSION: &str = concat!("docker-proxy (tug) version ", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Options> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        parse(&args)
    }

    #[test]
    fn flags_are_docker_proxys() {
        let port = Port {
            protocol: Protocol::Udp,
            host: "[::]:53".parse().unwrap(),
            container: "172.17.0.2:5353".parse().unwrap(),
            is_passed: true,
        };
        let line = "-proto udp --host-ip :: -host-port=53 --container-ip=172.17.0.2 \
                    -container-port 5353 -use-listen-fd";
        let args: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(parsed(&args).unwrap(), Options::Port(port));
        assert_eq!(parsed(&["-sockets"]).unwrap(), Options::Sockets);
        assert_eq!(parsed(&["-v"]).unwrap_err().kind, Kind::Help);
    }

    #[test]
    fn bad_flags_are_told_in_gos_words() {
        for (line, message) in [
            ("-nosuch", "flag provided but not defined: -nosuch"),
            ("-host-ip", "flag needs an argument: -host-ip"),
            ("-host-port x", "invalid value \"x\" for flag -host-port"),
            (
                "-host-port=65536",
                "invalid value \"65536\" for flag -host-port",
            ),
            (
                "-host-ip=1.2.3",
                "invalid value \"1.2.3\" for flag -host-ip",
            ),
            (
                "-use-listen-fd=2",
                "invalid value \"2\" for flag -use-listen-fd",
            ),
            ("-proto icmp", "unsupported protocol icmp"),
            ("80", "unexpected argument \"80\""),
            ("-host-port 80", "-container-ip is needed"),
            (
                "-container-ip ::1 -container-port 1",
                "-host-port is needed",
            ),
        ] {
            let args: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(parsed(&args).unwrap_err().message, message, "{line}");
        }
    }
}
