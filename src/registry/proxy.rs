//! Proxies: which requests go through which, by the rules of Go's httpproxy, as Docker's do.

use crate::base64;
use crate::error::{Error, Result};
use crate::http::query;
use crate::registry::hosts::Network;
use crate::registry::url::{Nearness, Url, nearness, split_port};
use std::fmt;
use std::net::IpAddr;

/// As they are configured; empty where there is none.
#[derive(Clone, Default)]
pub struct Proxies {
    pub http: String,
    pub https: String,
    pub no_proxy: String,
}

/// They may hold passwords.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proxies")
    }
}

/// A proxy's address as `info` shows it, in Docker's way: without user and password.
pub fn masked(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((before, host)) => {
            let scheme = before.find("://").map_or("", |at| &before[..at + 3]);
            format!("{scheme}xxxxx:xxxxx@{host}")
        }
        None => text.to_string(),
    }
}

/// One that a request goes through.
#[derive(PartialEq, Eq)]
pub struct Proxy {
    pub url: Url,
    /// The line with its password.
    pub authorization: String,
}

impl Proxies {
    /// `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, in capitals or not, for what is not set yet.
    pub fn with_environment(mut self) -> Proxies {
        for (place, name) in [
            (&mut self.http, "HTTP_PROXY"),
            (&mut self.https, "HTTPS_PROXY"),
            (&mut self.no_proxy, "NO_PROXY"),
        ] {
            for name in [name.to_string(), name.to_ascii_lowercase()] {
                if place.is_empty() {
                    *place = std::env::var(name).unwrap_or_default();
                }
            }
        }
        self
    }

    /// The proxy for a request to `url`, if it goes through one.
    pub fn pick(&self, url: &Url) -> Result<Option<Proxy>> {
        let proxy = if url.is_secure {
            &self.https
        } else {
            &self.http
        };
        if proxy.is_empty() || nearness(&url.host) == Nearness::Loopback || self.is_excluded(url) {
            return Ok(None);
        }
        parse(proxy).map(Some)
    }

    fn is_excluded(&self, url: &Url) -> bool {
        let mut items = self.no_proxy.split(',').map(str::trim);
        items.any(|item| excludes(&item.to_ascii_lowercase(), url))
    }
}

/// `*`, `NAME`, `.DOMAIN`, `*.DOMAIN`, `ADDRESS`, `ADDRESS/PREFIX`, most of them with `:PORT`.
fn excludes(item: &str, url: &Url) -> bool {
    if item == "*" {
        return true;
    }
    let address = url.host.parse::<IpAddr>();
    if let Some(network) = Network::parse(item) {
        return address.is_ok_and(|address| network.holds(address));
    }
    // An IPv6 address may stand without brackets, and then has no port.
    let (host, port) = match item.parse::<IpAddr>() {
        Ok(_) => (item, ""),
        Err(_) => match split_port(item.trim_start_matches('*')) {
            Some(parts) => parts,
            None => return false,
        },
    };
    if host.is_empty() || !port.is_empty() && port.parse() != Ok(url.port) {
        return false;
    }
    if let Ok(address) = address {
        return host.parse() == Ok(address);
    }
    // `.domain` is for the names below it only, `domain` for itself too.
    match url.host.strip_suffix(host) {
        Some("") => !host.starts_with('.'),
        Some(below) => host.starts_with('.') || below.ends_with('.'),
        None => false,
    }
}

/// `http://[USER[:PASSWORD]@]HOST[:PORT]`; the scheme may be missing.
fn parse(text: &str) -> Result<Proxy> {
    let rest = match text.split_once("://") {
        Some(("http", rest)) => rest,
        Some((scheme, _)) => {
            return Err(Error::unsupported(format!(
                "a proxy of kind {scheme}:// is not supported: only http://"
            )));
        }
        None => text,
    };
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, rest),
    };
    // The sentence must not have the password in it.
    let wrong = || Error::invalid("the proxy's address is not http://[USER:PASSWORD@]HOST[:PORT]");
    let authorization = match user.map(|user| query::decode(user, false)) {
        None => String::new(),
        Some(user) => {
            let user = user.ok_or_else(wrong)?;
            format!(
                "Proxy-Authorization: Basic {}\r\n",
                base64::encode(user.as_bytes())
            )
        }
    };
    Ok(Proxy {
        url: Url::parse(&format!("http://{rest}")).map_err(|_| wrong())?,
        authorization,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_is_read_as_go_reads_it() {
        let excluded = |no_proxy: &str, url: &str| {
            let proxies = Proxies {
                http: "proxy:3128".to_string(),
                https: "http://proxy:3128".to_string(),
                no_proxy: no_proxy.to_string(),
            };
            proxies.pick(&Url::parse(url).unwrap()).unwrap().is_none()
        };
        for (no_proxy, url) in [
            ("*", "https://a.b/"),
            ("a.b", "https://a.b/"),
            ("x, A.B", "https://a.b/"),
            ("a.b", "https://c.a.b/"),
            (".a.b", "https://c.a.b/"),
            ("*.a.b", "https://c.a.b/"),
            ("a.b:443", "https://a.b/"),
            ("10.0.0.0/8", "http://10.1.2.3/"),
            ("10.1.2.3", "http://10.1.2.3:5000/"),
            ("10.1.2.3:5000", "http://10.1.2.3:5000/"),
            ("fd00::/8", "http://[fd00::1]/"),
            ("fd00::1", "http://[fd00::1]/"),
            ("[fd00::1]:80", "http://[fd00::1]/"),
            ("", "http://localhost:5000/"),
            ("", "http://127.0.0.2/"),
            ("", "http://[::1]/"),
        ] {
            assert!(excluded(no_proxy, url), "{no_proxy} {url}");
        }
        for (no_proxy, url) in [
            ("", "https://a.b/"),
            ("a.b", "https://xa.b/"),
            (".a.b", "https://a.b/"),
            ("a.b:80", "https://a.b/"),
            ("10.0.0.0/8", "http://11.1.2.3/"),
            ("10.0.0.0/8", "http://ten/"),
            ("10.1.2.3:80", "http://10.1.2.3:5000/"),
            ("1.2.3", "http://10.1.2.3/"),
        ] {
            assert!(!excluded(no_proxy, url), "{no_proxy} {url}");
        }
    }

    #[test]
    fn a_proxys_password_is_sent_and_not_shown() {
        let proxy = parse("http://us%65r:p%40ss@proxy:3128").unwrap();
        assert_eq!(proxy.url.to_string(), "http://proxy:3128/");
        let expected = format!(
            "Proxy-Authorization: Basic {}\r\n",
            base64::encode(b"user:p@ss")
        );
        assert_eq!(proxy.authorization, expected);
        for text in [
            "socks5://user:canary@proxy",
            "http://user:canary@pro xy",
            "http://user:canary%zz@proxy",
        ] {
            let error = parse(text).err().unwrap().to_string();
            assert!(!error.contains("canary"), "{error}");
        }
        assert_eq!(
            masked("http://user:canary@proxy:1"),
            "http://xxxxx:xxxxx@proxy:1"
        );
        assert_eq!(masked("user:c@nary@proxy"), "xxxxx:xxxxx@proxy");
        assert_eq!(masked("http://proxy:1"), "http://proxy:1");
        let proxies = Proxies {
            http: "http://user:canary@proxy".to_string(),
            ..Proxies::default()
        };
        assert!(!format!("{proxies:?}").contains("canary"));
    }
}
