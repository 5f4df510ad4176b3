//! The syslog driver: where its messages go and how they look (RFC 3164, RFC 5424), as Docker has
//! them.

use crate::error::{Error, Result};
use crate::shim::log::options::{Given, failed, no_tls};
use crate::sys::socket;
use crate::time::Time;
use crate::wire::stdcopy::Stream;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    target: Target,
    facility: u8,
    form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    /// Where this host's syslog listens.
    Own,
    Datagram(PathBuf),
    Stream(PathBuf),
    Udp(SocketAddr),
    Tcp(SocketAddr),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Docker's default: RFC 3164 without a host, as for a local socket.
    Local,
    Rfc3164,
    Rfc5424,
    Rfc5424Micro,
}

/// In the order of their numbers (RFC 5424, 6.2.1).
const FACILITIES: &str = "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp \
    - - - - local0 local1 local2 local3 local4 local5 local6 local7";

const DAEMON: u8 = 3;

/// How long a start waits for a server on the network.
const CONNECT_MAX: Duration = Duration::from_secs(5);

impl Syslog {
    pub fn parse(given: &Given) -> Result<Syslog> {
        let get = |key: &str| given.get(key).map_or("", String::as_str);
        Ok(Syslog {
            target: target(get("syslog-address"))?,
            facility: facility(get("syslog-facility"))?,
            form: match get("syslog-format") {
                "" => Form::Local,
                "rfc3164" => Form::Rfc3164,
                "rfc5424" => Form::Rfc5424,
                "rfc5424micro" => Form::Rfc5424Micro,
                _ => return Err(Error::invalid("Invalid syslog format")),
            },
        })
    }

    pub fn connect(&self) -> Result<OwnedFd> {
        match &self.target {
            Target::Own => ["/dev/log", "/var/run/syslog", "/var/run/log"]
                .iter()
                .find_map(|path| {
                    let path = Path::new(path);
                    let datagram = socket::connect_datagram(path);
                    datagram.or_else(|_| socket::connect(path)).ok()
                })
                .ok_or_else(|| Error::invalid("Unix syslog delivery error")),
            Target::Datagram(path) => socket::connect_datagram(path),
            Target::Stream(path) => socket::connect(path),
            Target::Udp(address) => {
                udp(*address).map_err(|e| Error::io(format_args!("dial udp {address}"), &e))
            }
            Target::Tcp(address) => TcpStream::connect_timeout(address, CONNECT_MAX)
                .map(OwnedFd::from)
                .map_err(|e| Error::io(format_args!("dial tcp {address}"), &e)),
        }
    }

    /// A message as it is sent. `host` is this machine's name.
    pub fn message(&self, stream: Stream, host: &str, tag: &str, text: &[u8]) -> Vec<u8> {
        let priority = priority(self.facility, stream);
        let (now, pid) = (Time::now(), std::process::id());
        let head = match self.form {
            Form::Local => format!("<{priority}>{} {tag}[{pid}]: ", now.stamp()),
            Form::Rfc3164 => format!("<{priority}>{} {host} {tag}[{pid}]: ", now.stamp()),
            Form::Rfc5424 => {
                let second = Time { nanos: 0, ..now }.rfc3339();
                format!("<{priority}>1 {second} {host} {tag} {pid} {tag} - ")
            }
            Form::Rfc5424Micro => {
                let second = Time { nanos: 0, ..now }.rfc3339();
                let second = second.trim_end_matches('Z');
                let micros = now.nanos / 1000;
                format!("<{priority}>1 {second}.{micros:06}Z {host} {tag} {pid} {tag} - ")
            }
        };
        [head.as_bytes(), text, b"\n"].concat()
    }
}

/// stderr is an error, stdout is information (RFC 5424, 6.2.1).
pub fn priority(facility: u8, stream: Stream) -> u8 {
    let severity = if stream == Stream::Stderr { 3 } else { 6 };
    (facility << 3) | severity
}

pub fn daemon(stream: Stream) -> u8 {
    priority(DAEMON, stream)
}

fn udp(address: SocketAddr) -> std::io::Result<OwnedFd> {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(address)?;
    Ok(socket.into())
}

fn target(address: &str) -> Result<Target> {
    if address.is_empty() {
        return Ok(Target::Own);
    }
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    match scheme {
        "unix" | "unixgram" => {
            let path = PathBuf::from(rest);
            std::fs::metadata(&path).map_err(|e| Error::io(format_args!("stat {rest}"), &e))?;
            Ok(match scheme {
                "unix" => Target::Stream(path),
                _ => Target::Datagram(path),
            })
        }
        "udp" => internet(rest).map(Target::Udp),
        "tcp" => internet(rest).map(Target::Tcp),
        "tcp+tls" => Err(no_tls("syslog-address=tcp+tls://")),
        _ => Err(Error::invalid(format!(
            "syslog-address should be in form proto://address, got {address}"
        ))),
    }
}

/// `HOST[:PORT]`; syslog's port is 514.
fn internet(text: &str) -> Result<SocketAddr> {
    const PORT: u16 = 514;
    let text = text.trim_end_matches('/');
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (text, Some(PORT)),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = match host {
        "" | "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        host => host.parse().ok(),
    };
    match (address, port) {
        (Some(address), Some(port)) => Ok(SocketAddr::new(address, port)),
        _ => Err(failed(&format!(
            "syslog server '{text}' is no IP address with a port: names are not looked up"
        ))),
    }
}

fn facility(text: &str) -> Result<u8> {
    if text.is_empty() {
        return Ok(DAEMON);
    }
    let named = FACILITIES.split_whitespace().position(|name| name == text);
    let number = named
        .filter(|_| text != "-")
        .and_then(|at| u8::try_from(at).ok());
    number
        .or_else(|| text.parse().ok().filter(|number| *number < 24))
        .ok_or_else(|| Error::invalid("invalid syslog facility"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(key: &str, value: &str) -> Result<Syslog> {
        Syslog::parse(&Given::from([(key.to_string(), value.to_string())]))
    }

    #[test]
    fn addresses_and_facilities_are_read_as_docker_does() {
        for (text, expected) in [
            (
                "udp://192.0.2.1:1514",
                Target::Udp("192.0.2.1:1514".parse().unwrap()),
            ),
            (
                "tcp://192.0.2.1",
                Target::Tcp("192.0.2.1:514".parse().unwrap()),
            ),
            ("udp://[::1]", Target::Udp("[::1]:514".parse().unwrap())),
            (
                "tcp://localhost:99",
                Target::Tcp("127.0.0.1:99".parse().unwrap()),
            ),
            ("unixgram:///", Target::Datagram("/".into())),
        ] {
            assert_eq!(parse("syslog-address", text).unwrap().target, expected);
        }
        for (key, value, message) in [
            (
                "syslog-address",
                "foo",
                "syslog-address should be in form proto://address, got foo",
            ),
            (
                "syslog-address",
                "foo://x",
                "syslog-address should be in form proto://address, got foo://x",
            ),
            ("syslog-facility", "x", "invalid syslog facility"),
            ("syslog-facility", "-", "invalid syslog facility"),
            ("syslog-facility", "24", "invalid syslog facility"),
            ("syslog-format", "x", "Invalid syslog format"),
        ] {
            assert_eq!(parse(key, value).unwrap_err().message, message);
        }
        assert_eq!(facility("local7").unwrap(), 23);
        assert_eq!(facility("authpriv").unwrap(), 10);
        assert_eq!(facility("16").unwrap(), 16);
    }

    #[test]
    fn messages_have_the_shape_that_was_asked_for() {
        let pid = std::process::id();
        let message = |form| {
            let syslog = parse("syslog-format", form).unwrap();
            let bytes = syslog.message(Stream::Stderr, "host", "tag", b"text");
            String::from_utf8(bytes).unwrap()
        };
        let local = message("");
        // `Jan  2 03:04:05` is always as long.
        assert_eq!(&local[..4], "<27>");
        assert_eq!(local[19..], format!(" tag[{pid}]: text\n"));
        assert_eq!(
            message("rfc3164")[19..],
            format!(" host tag[{pid}]: text\n")
        );
        let new = message("rfc5424");
        assert_eq!(&new[..6], "<27>1 ");
        assert_eq!(new[26..], format!(" host tag {pid} tag - text\n"));
        let micro = message("rfc5424micro");
        assert_eq!(micro[33..], format!(" host tag {pid} tag - text\n"));
        assert_eq!(&micro[25..26], ".");
    }
}
