//! Where an engine listens: `unix://PATH`, `tcp://HOST:PORT`, `fd://`.

use crate::error::{Error, Result};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the engine listens and the client calls when nobody says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/tug/tug.sock";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Unix(PathBuf),
    /// `HOST:PORT`.
    Tcp(String),
    /// Listening sockets that were inherited (sd_listen_fds(3)): the one of this name or number, or
    /// all.
    Fd(String),
}

/// Docker's forms. A path or a port left out is the default one, which with TLS is another.
pub fn parse(text: &str, has_tls: bool) -> Result<Address> {
    // Docker's client has the same sentence.
    let unknown = || Error::invalid(format!("unable to parse docker host `{text}`"));
    let (scheme, rest) = text.split_once("://").ok_or_else(unknown)?;
    match scheme {
        "unix" if rest.is_empty() => Ok(Address::Unix(DEFAULT_SOCKET.into())),
        "unix" if rest.starts_with('/') => Ok(Address::Unix(rest.into())),
        "unix" => Err(Error::invalid(format!("{text}: the path must be absolute"))),
        "tcp" => {
            let host = rest.trim_end_matches('/');
            if host.is_empty() || host.contains('/') {
                return Err(unknown());
            }
            // A colon within brackets belongs to an IPv6 address.
            let has_port = host.rfind(':') > host.rfind(']');
            let port = match has_tls {
                _ if has_port => "",
                true => ":2376",
                false => ":2375",
            };
            Ok(Address::Tcp(format!("{host}{port}")))
        }
        "fd" => Ok(Address::Fd(rest.to_string())),
        _ => Err(unknown()),
    }
}

/// The socket address that `HOST:PORT` stands for. There is no resolver: it would cost more than the
/// rest of this room.
pub fn number(host: &str) -> Result<SocketAddr> {
    let number = match host.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => host.to_string(),
    };
    number
        .parse()
        .map_err(|_| Error::invalid(format!("{host}: give the IP address and port")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_forms_are_read() {
        for (text, address) in [
            ("unix:///run/a.sock", Address::Unix("/run/a.sock".into())),
            ("unix://", Address::Unix(DEFAULT_SOCKET.into())),
            (
                "tcp://127.0.0.1:2376",
                Address::Tcp("127.0.0.1:2376".into()),
            ),
            ("tcp://127.0.0.1/", Address::Tcp("127.0.0.1:2375".into())),
            ("tcp://[::1]", Address::Tcp("[::1]:2375".into())),
            ("tcp://[::1]:1", Address::Tcp("[::1]:1".into())),
            ("fd://", Address::Fd(String::new())),
        ] {
            assert_eq!(parse(text, false).unwrap(), address, "{text}");
        }
        let secure = parse("tcp://10.0.0.1", true).unwrap();
        assert_eq!(secure, Address::Tcp("10.0.0.1:2376".into()));
        for text in [
            "",
            "/run/a.sock",
            "unix://a.sock",
            "tcp://",
            "ssh://me@there",
            "npipe://x",
        ] {
            assert!(parse(text, false).is_err(), "{text}");
        }
    }
}
