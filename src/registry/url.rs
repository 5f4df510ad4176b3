//! Where requests go: `http(s)://HOST[:PORT]/PATH?QUERY`.

use crate::error::{Error, Result};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub is_secure: bool,
    /// In lower case; IPv6 without brackets.
    pub host: String,
    pub port: u16,
    /// Path and query.
    pub target: String,
}

impl Url {
    /// User names within are refused: what comes from a registry chooses no credentials.
    pub fn parse(text: &str) -> Result<Url> {
        parse(text).ok_or_else(|| {
            // Without its query: there are addresses that are a signature.
            let shown = text.split('?').next().unwrap_or_default();
            Error::invalid(format!("{shown:?} is no address of HTTP"))
        })
    }

    /// The address that `location`, perhaps relative, means in an answer from here.
    pub fn join(&self, location: &str) -> Result<Url> {
        let scheme = if self.is_secure { "https" } else { "http" };
        if let Some(rest) = location.strip_prefix("//") {
            return Url::parse(&format!("{scheme}://{rest}"));
        }
        if !location.starts_with('/') {
            let path = self.target.split('?').next().unwrap_or_default();
            let dir = path.rfind('/').map_or("/", |at| &path[..=at]);
            return match location.contains("://") {
                true => Url::parse(location),
                false => self.at(&format!("{dir}{location}")),
            };
        }
        self.at(location)
    }

    /// Another target of the same origin.
    pub fn at(&self, target: &str) -> Result<Url> {
        Url::parse(&format!("{}{target}", self.origin()))
    }

    /// `HOST[:PORT]`, the port where it is not the scheme's own.
    pub fn authority(&self) -> String {
        let (open, close) = match self.host.contains(':') {
            true => ("[", "]"),
            false => ("", ""),
        };
        let own = if self.is_secure { 443 } else { 80 };
        match self.port == own {
            true => format!("{open}{}{close}", self.host),
            false => format!("{open}{}{close}:{}", self.host, self.port),
        }
    }

    /// Scheme, host and port: what credentials are bound to.
    pub fn origin(&self) -> String {
        let scheme = if self.is_secure { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    /// Whether a registry at `self` may send us to `other`. Not from TLS to what anybody can read,
    /// and not to this machine or its neighbour, the cloud's metadata, unless it is there itself.
    pub fn check_way_to(&self, other: &Url) -> Result<()> {
        if self.is_secure && !other.is_secure {
            return Err(Error::invalid(format!(
                "{} leads to {other} without TLS: refused",
                self.origin()
            )));
        }
        let near = nearness(&other.host);
        if near != Nearness::Far && near != nearness(&self.host) {
            return Err(Error::invalid(format!(
                "{} leads to {other}, an address that only this machine has: refused",
                self.origin()
            )));
        }
        Ok(())
    }
}

/// Without the query.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.target.split('?').next().unwrap_or_default();
        write!(f, "{}{path}", self.origin())
    }
}

fn parse(text: &str) -> Option<Url> {
    let (scheme, rest) = text.split_once("://")?;
    let is_secure = match scheme {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let rest = rest.split('#').next()?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let (host, port) = split_port(authority)?;
    let port = match port {
        "" if is_secure => 443,
        "" => 80,
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
        _ => return None,
    };
    if port == 0 || host.is_empty() || !target.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let slash = if target.starts_with('/') { "" } else { "/" };
    Some(Url {
        is_secure,
        host: host.to_ascii_lowercase(),
        port,
        target: format!("{slash}{target}"),
    })
}

/// Host without brackets, and the port or nothing.
pub fn split_port(authority: &str) -> Option<(&str, &str)> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, rest)
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            let (host, rest) = authority.split_at(end);
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
            if !host.bytes().all(allowed) {
                return None;
            }
            (host, rest)
        }
    };
    match rest {
        "" => Some((host, "")),
        rest => rest.strip_prefix(':').map(|port| (host, port)),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearness {
    Far,
    Loopback,
    /// Of this link only, no address at all, or a number in a spelling that only resolvers know.
    Link,
}

pub fn nearness(host: &str) -> Nearness {
    let host = host.trim_end_matches('.');
    if host == "localhost" || host.ends_with(".localhost") {
        return Nearness::Loopback;
    }
    let address = match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(address) => IpAddr::V4(address),
            None => IpAddr::V6(address),
        },
        Ok(address) => address,
        // `127.1`, `0x7f000001`: names end with no number.
        Err(_) => {
            let last = host.rsplit('.').next().unwrap_or_default();
            let is_number = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
            return if is_number {
                Nearness::Link
            } else {
                Nearness::Far
            };
        }
    };
    let is_of_link = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.segments()[0] & 0xffc0 == 0xfe80,
    };
    match address {
        _ if is_of_link || address.is_unspecified() => Nearness::Link,
        _ if address.is_loopback() => Nearness::Loopback,
        _ => Nearness::Far,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect(text)
    }

    #[test]
    fn addresses_are_taken_apart_and_put_together() {
        for (text, origin, target) in [
            ("https://Host", "https://host", "/"),
            ("https://host:443/v2/", "https://host", "/v2/"),
            ("http://host:443?a=b", "http://host:443", "/?a=b"),
            ("http://[::1]:5000/x#y", "http://[::1]:5000", "/x"),
            ("http://127.0.0.1:80/", "http://127.0.0.1", "/"),
        ] {
            let url = url(text);
            assert_eq!(
                (url.origin().as_str(), url.target.as_str()),
                (origin, target),
                "{text}"
            );
        }
        for text in [
            "",
            "host",
            "ftp://host",
            "http://",
            "http://:80",
            "http://a:b",
            "http://a:0",
            "http://a:65536",
            "http://user@host",
            "http://user:pass@host/",
            "http://a b/",
            "http://a/ b",
            "http://a/\r\nX: y",
            "http://[::1",
            "http://[x]/",
            "http://[::1]x/",
            "http://a\\@b/",
            "http://a:+5/",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
        let error = Url::parse("ftp://h/x?secret=1").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn locations_are_relative_or_not() {
        let here = url("https://host:5000/v2/a/blobs/uploads/?x=y");
        for (location, there) in [
            ("/z?q", "https://host:5000/z"),
            ("z", "https://host:5000/v2/a/blobs/uploads/z"),
            ("https://other/z", "https://other/z"),
            ("//other/z", "https://other/z"),
        ] {
            assert_eq!(here.join(location).unwrap().to_string(), there);
        }
        assert_eq!(here.join("/z?q=1").unwrap().target, "/z?q=1");
        assert!(here.join("ftp://other/").is_err());
    }

    #[test]
    fn no_registry_leads_to_this_machine_or_away_from_tls() {
        let check = |from: &str, to: &str| url(from).check_way_to(&url(to)).is_ok();
        for to in ["https://b/", "https://10.0.0.1/", "https://[2001:db8::1]/"] {
            assert!(check("https://a/", to), "{to}");
        }
        for to in [
            "http://a/",
            "https://127.0.0.1/",
            "https://169.254.169.254/",
            "https://[fe80::1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://2130706433/",
            "https://127.1/",
            "https://0x7f000001/",
            "https://localhost/",
            "https://x.localhost./",
            "https://0.0.0.0/",
            "https://[::]/",
            "https://[::1]/",
            "https://127.0.0.1./",
        ] {
            assert!(!check("https://a/", to), "{to}");
        }
        assert!(check("http://localhost:5000/", "http://127.0.0.1:5001/"));
        assert!(check("http://127.0.0.1/", "https://a/"));
        assert!(check("http://169.254.1.1/", "http://169.254.1.2/"));
        assert!(!check("http://127.0.0.1/", "http://169.254.169.254/"));
    }
}
