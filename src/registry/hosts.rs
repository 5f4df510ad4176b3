//! Where a registry is reached: mirrors, TLS or not, certificates of its own.

use crate::error::{Error, Result};
use crate::registry::url::{Nearness, Url, nearness, split_port};
use crate::registry::{Access, Settings};
use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// Docker's own registry, by the name that references have, and the host that serves it.
const HUB: &str = "docker.io";
const HUB_HOST: &str = "registry-1.docker.io";

/// One place to ask.
pub struct Endpoint {
    /// Ends with a slash.
    pub url: Url,
    pub kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Gets no credentials, and whatever it fails at the next one is asked.
    Mirror,
    /// Where nobody listens for TLS, the next one is asked.
    Trial,
    Registry,
}

/// Where to ask for what `host` has, in this order.
pub fn endpoints(settings: &Settings, host: &str, access: Access) -> Result<Vec<Endpoint>> {
    let mut endpoints = Vec::new();
    if host == HUB && access == Access::Pull {
        for mirror in &settings.mirrors {
            endpoints.push(Endpoint {
                url: Url::parse(mirror)?,
                kind: Kind::Mirror,
            });
        }
    }
    let host = if host == HUB { HUB_HOST } else { host };
    let is_insecure = is_insecure(&settings.insecure, host);
    let has_tls = cfg!(feature = "tls") || !is_insecure;
    if has_tls {
        endpoints.push(Endpoint {
            url: Url::parse(&format!("https://{host}/"))?,
            kind: if is_insecure {
                Kind::Trial
            } else {
                Kind::Registry
            },
        });
    }
    if is_insecure {
        endpoints.push(Endpoint {
            url: Url::parse(&format!("http://{host}/"))?,
            kind: Kind::Registry,
        });
    }
    Ok(endpoints)
}

/// Whether `host`, with its port, is listed as one whose certificate nobody checks. This machine's
/// own are, as with Docker.
pub fn is_insecure(listed: &[String], host: &str) -> bool {
    if listed.iter().any(|entry| entry == host) {
        return true;
    }
    let name = split_port(host).map_or(host, |(name, _)| name);
    if nearness(name) == Nearness::Loopback {
        return true;
    }
    let networks: Vec<Network> = listed.iter().filter_map(|e| Network::parse(e)).collect();
    if networks.is_empty() {
        return false;
    }
    let holds = |address: IpAddr| networks.iter().any(|network| network.holds(address));
    match name.parse() {
        Ok(address) => holds(address),
        // A name that cannot be resolved belongs to no network.
        Err(_) => (name, 0)
            .to_socket_addrs()
            .is_ok_and(|mut found| found.any(|address| holds(address.ip()))),
    }
}

/// `ADDRESS/PREFIX`.
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    pub fn parse(text: &str) -> Option<Network> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let prefix = prefix.parse().ok()?;
        (prefix <= bits(address).1).then_some(Network { address, prefix })
    }

    pub fn holds(&self, address: IpAddr) -> bool {
        let ((own, width), (other, other_width)) = (bits(self.address), bits(address));
        width == other_width && (own ^ other).checked_shr(width - self.prefix).unwrap_or(0) == 0
    }
}

/// As a number, and of how many bits.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u32::from(address).into(), 32),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => (u32::from(address).into(), 32),
            None => (address.into(), 128),
        },
    }
}

/// What lies in the directories of a host in `certs.d`.
#[derive(Default)]
pub struct Certificates {
    /// The directories that there are; those without any share what the machine trusts.
    pub dirs: Vec<PathBuf>,
    pub authorities: Vec<PathBuf>,
    /// Our certificate and its key.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// Docker's rules: `*.crt` are authorities, `X.cert` and `X.key` are ours.
pub fn certificates(certs: &[PathBuf], url: &Url) -> Result<Certificates> {
    let mut found = Certificates::default();
    for dir in dirs(certs, url) {
        let Ok(entries) = std::fs::read_dir(&dir) else {
            continue;
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort_unstable();
        for path in paths {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => found.authorities.push(path),
                Some("cert") => {
                    let key = path.with_extension("key");
                    if !key.exists() {
                        return Err(Error::invalid(format!(
                            "missing key {} for client certificate {}. CA certificates must use the extension .crt",
                            key.display(),
                            path.display()
                        )));
                    }
                    found.own = Some((path, key));
                }
                _ => {}
            }
        }
        found.dirs.push(dir);
    }
    Ok(found)
}

/// Where `certs.d` may have something for the host of `url`. The names hold no slash.
fn dirs(certs: &[PathBuf], url: &Url) -> Vec<PathBuf> {
    let authority = url.authority();
    let mut dirs = Vec::new();
    for dir in certs {
        dirs.push(dir.join(&authority));
        // Somebody wrote the port although it is https's own.
        if url.port == 443 {
            dirs.push(dir.join(format!("{authority}:443")));
        }
    }
    dirs
}

/// Whether passwords for the registry at `url` may go to the token server `host`: to the same host,
/// one of the same domain (`auth.docker.io` for `registry-1.docker.io`), or one that the file
/// `realms` of the registry's directory in `certs.d` lists.
pub fn is_trusted_realm(certs: &[PathBuf], url: &Url, host: &str) -> bool {
    if url.host == host || domain(&url.host).is_some_and(|own| domain(host) == Some(own)) {
        return true;
    }
    let lists = |dir: &Path| {
        let text = std::fs::read_to_string(dir.join("realms")).unwrap_or_default();
        text.lines().any(|line| line.trim() == host)
    };
    dirs(certs, url).iter().any(|dir| lists(dir))
}

/// The last two labels of a name; addresses have none.
fn domain(host: &str) -> Option<&str> {
    if host.parse::<IpAddr>().is_ok() {
        return None;
    }
    let (rest, _) = host.rsplit_once('.')?;
    Some(
        rest.rsplit_once('.')
            .map_or(host, |(before, _)| &host[before.len() + 1..]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn insecure_are_those_that_are_named_and_this_machine() {
        let listed = ["reg", "reg2:5000", "10.0.0.0/8", "fd00::/8"].map(String::from);
        for host in [
            "reg",
            "reg2:5000",
            "10.1.2.3:5000",
            "[fd00::1]:5000",
            "localhost",
            "localhost:1",
            "127.3.4.5:1",
            "[::1]:5000",
        ] {
            assert!(is_insecure(&listed, host), "{host}");
        }
        for host in ["reg:5000", "reg2", "11.0.0.1", "[fe00::1]:1", "docker.io"] {
            assert!(!is_insecure(&listed, host), "{host}");
        }
        assert!(!is_insecure(&[], "169.254.1.1:5000"));
    }

    #[test]
    fn mirrors_are_for_what_is_pulled_from_the_hub() {
        let settings = Settings {
            mirrors: vec!["https://m1/".to_string(), "http://m2:5000/".to_string()],
            ..Settings::default()
        };
        let places = |host, access| -> Vec<String> {
            let all = endpoints(&settings, host, access).unwrap();
            all.iter()
                .map(|endpoint| endpoint.url.to_string())
                .collect()
        };
        assert_eq!(
            places("docker.io", Access::Pull),
            [
                "https://m1/",
                "http://m2:5000/",
                "https://registry-1.docker.io/"
            ]
        );
        assert_eq!(
            places("docker.io", Access::Push),
            ["https://registry-1.docker.io/"]
        );
        assert_eq!(places("reg:5000", Access::Pull), ["https://reg:5000/"]);
        let local = places("localhost:5000", Access::Pull);
        assert_eq!(local.last().unwrap(), "http://localhost:5000/");
        assert_eq!(local.len(), if cfg!(feature = "tls") { 2 } else { 1 });
    }

    #[test]
    fn passwords_stay_in_the_domain() {
        let trusted = |registry: &str, host: &str| {
            let url = Url::parse(&format!("https://{registry}/")).unwrap();
            is_trusted_realm(&[], &url, host)
        };
        for (registry, host) in [
            ("registry-1.docker.io", "auth.docker.io"),
            ("registry.gitlab.com", "gitlab.com"),
            ("10.0.0.1:5000", "10.0.0.1"),
            ("reg:5000", "reg"),
        ] {
            assert!(trusted(registry, host), "{registry} {host}");
        }
        for (registry, host) in [
            ("registry-1.docker.io", "docker.io.evil.com"),
            ("a.io", "b.io"),
            ("reg", "reg2"),
            ("10.0.0.1", "11.0.0.1"),
            ("10.0.0.1", "10.1.0.1"),
        ] {
            assert!(!trusted(registry, host), "{registry} {host}");
        }
    }
}
