//! Where the engine can be reached: unix sockets, TCP, and sockets that another process holds.

use super::options::Config;
use crate::error::{Context, Error, Result};
use crate::http::address::{self, Address};
use crate::http::tls::{Files, Server};
use crate::log;
use crate::sys::socket::{self, Inherited};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

pub struct Listener {
    pub fd: OwnedFd,
    /// What its connections speak.
    pub tls: Option<Arc<Server>>,
}

#[derive(Default)]
pub struct Listeners {
    pub all: Vec<Listener>,
    /// For people.
    pub names: Vec<String>,
    /// The socket files that we made.
    pub paths: Vec<PathBuf>,
}

/// Open all that the configuration names.
pub fn listen(config: &Config, group: Option<u32>) -> Result<Listeners> {
    let mut listeners = Listeners::default();
    let mut door = Door { config, tls: None };
    let own = format!(
        "unix://{}",
        config.options.exec_root.join("tug.sock").display()
    );
    let hosts = match config.hosts.as_slice() {
        [] => &[own],
        hosts => hosts,
    };
    for host in hosts {
        door.open(host, group, &mut listeners)
            .context(|| format!("serve {host}"))?;
    }
    Ok(listeners)
}

/// Who guards TCP.
struct Door<'a> {
    config: &'a Config,
    /// Read from its files once.
    tls: Option<Arc<Server>>,
}

impl Door<'_> {
    fn open(&mut self, host: &str, group: Option<u32>, to: &mut Listeners) -> Result<()> {
        match address::parse(host, self.config.tls.is_some())? {
            Address::Unix(path) => {
                let fd = socket::listen(&path, 0o660, group)?;
                to.all.push(Listener { fd, tls: None });
                to.names.push(format!("unix://{}", path.display()));
                to.paths.push(path);
            }
            Address::Tcp(host) => {
                let tls = self.guard()?;
                let address = address::number(&host)?;
                let listener = TcpListener::bind(address)
                    .map_err(|e| Error::io(format_args!("listen on {address}"), &e))?;
                // A port that the kernel chose is worth telling.
                let address = listener.local_addr().unwrap_or(address);
                to.names.push(format!("tcp://{address}"));
                to.all.push(Listener {
                    fd: listener.into(),
                    tls,
                });
            }
            Address::Fd(name) => {
                let mut count = 0;
                for Inherited { fd, name: own } in socket::inherited(&name)? {
                    let tls = match socket::is_local(&fd)? {
                        true => None,
                        false => self.guard()?,
                    };
                    to.names.push(format!("fd://{own}"));
                    to.all.push(Listener { fd, tls });
                    count += 1;
                }
                if count == 0 {
                    return Err(Error::invalid(format!(
                        "no inherited socket has the name {name:?}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// What connections of TCP have to show: whoever gets in is root on this machine.
    fn guard(&mut self) -> Result<Option<Arc<Server>>> {
        if let Some(tls) = &self.tls {
            return Ok(Some(Arc::clone(tls)));
        }
        let is_guarded = self.config.tls.as_ref().is_some_and(|tls| tls.verify);
        if !is_guarded && !self.config.is_insecure {
            return Err(Error::invalid(
                "whoever reaches a TCP port of the engine is root on this machine, so it needs TLS with client certificates: give --tlsverify with --tlscacert, --tlscert and --tlskey, or use a unix socket, for instance through ssh (or --insecure-tcp, if nobody else can reach the port)",
            ));
        }
        if !is_guarded {
            log::line(
                "tugd",
                "WARNING: TCP is served without client certificates: whoever reaches the port is root on this machine",
            );
        }
        let Some(files) = &self.config.tls else {
            return Ok(None);
        };
        let server = Server::new(
            &Files {
                ca: &files.ca,
                own: Some((&files.certificate, &files.key)),
            },
            files.verify,
        )?;
        let server = Arc::new(server);
        self.tls = Some(Arc::clone(&server));
        Ok(Some(server))
    }
}

/// The group's number. The default group need not exist; one that was asked for must.
pub fn find_group(name: Option<&str>) -> Result<Option<u32>> {
    let wanted = name.unwrap_or("docker");
    if wanted.is_empty() {
        return Ok(None);
    }
    if let Ok(number) = wanted.parse() {
        return Ok(Some(number));
    }
    let text = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let number = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == wanted).then(|| fields.nth(1)?.parse().ok())?
    });
    match (number, name) {
        (None, Some(name)) => Err(Error::invalid(format!("group {name} not found"))),
        (number, _) => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_a_name_or_a_number() {
        assert_eq!(find_group(Some("0")).unwrap(), Some(0));
        assert_eq!(find_group(Some("root")).unwrap(), Some(0));
        assert_eq!(find_group(Some("")).unwrap(), None);
        let error = find_group(Some("no-such-group")).unwrap_err();
        assert_eq!(error.message, "group no-such-group not found");
    }
}
