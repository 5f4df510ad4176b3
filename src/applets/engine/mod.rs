//! `tug engine`, `tugd`, `dockerd`: serve the API until told to end.

mod options;
mod serve;
mod values;

use self::options::Config;
use crate::engine::config::{Options, Settings};
use crate::engine::{API_VERSION, Engine};
use crate::error::{Context, Error, Result};
use crate::http::address::{self, Address};
use crate::shim::client;
use crate::sys::signal::{self, Set};
use crate::sys::{fs, process, socket};
use std::ffi::OsString;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub fn main(args: &[OsString]) -> Result<u8> {
    let config = options::parse(args)?;
    if config.is_check {
        let _ = writeln!(std::io::stderr(), "configuration OK");
        return Ok(0);
    }
    run(&config).map(|()| 0)
}

fn run(config: &Config) -> Result<()> {
    // Before any thread: all inherit the mask, so that the signals wait for the descriptor. (SIGPIPE
    // is ignored by Rust's start-up code.)
    let signals = Set::of(&[signal::SIGTERM, signal::SIGINT, signal::SIGCHLD]);
    signal::set_mask(signals)?;
    let signals = signal::descriptor(signals)?;

    let (descriptors, descriptors_before) = process::raise_descriptors();
    // What was good for us would be much for programs that close all descriptors one by one.
    client::limit_descriptors(descriptors_before);

    let options = &config.options;
    let group = find_group(config.group.as_deref())?;
    let lock = hold(options, group)?;
    let engine = Engine::open(options.clone(), config.settings.clone())?;

    let listeners = listen(config, group)?;
    if let Some(path) = &config.pidfile {
        std::fs::write(path, format!("{}\n", std::process::id()))
            .map_err(|e| Error::io(format_args!("write {}", path.display()), &e))?;
    }
    for long in &config.unused {
        engine.info_line(format_args!("--{long} has no effect yet"));
    }
    engine.info_line(format_args!(
        "serving API {API_VERSION} on {}",
        listeners.names()
    ));
    let served = serve::until_told(&engine, &listeners.sockets, signals.as_fd(), descriptors);

    // The socket files go; containers and their shims stay.
    for path in listeners.paths.iter().chain(&config.pidfile) {
        let _ = std::fs::remove_file(path);
    }
    drop(lock);
    served
}

/// What an engine with these arguments would work with, for `tug ctr`.
pub fn configuration(args: &[OsString]) -> Result<(Options, Settings)> {
    options::parse(args).map(|config| (config.options, config.settings))
}

/// Make the roots, and be the only one to work in them while the answer lives.
pub fn hold(options: &Options, group: Option<u32>) -> Result<std::fs::File> {
    make_root(&options.data_root, 0o700, None)?;
    let mode = if group.is_some() { 0o710 } else { 0o700 };
    make_root(&options.exec_root, mode, group)?;
    take_lock(&options.exec_root.join("engine.lock"))
}

/// A root directory of ours, tight even if an older one was loose. The group may pass through the
/// exec root to the socket, and see nothing of it.
fn make_root(path: &Path, mode: u32, group: Option<u32>) -> Result<()> {
    let make = || {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(path)?;
        if group.is_some() {
            std::os::unix::fs::chown(path, None, group)?;
        }
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
    };
    make().map_err(|e| Error::io(format_args!("make directory {}", path.display()), &e))
}

/// One engine per exec root. The lock goes with the process, however it ends.
fn take_lock(path: &Path) -> Result<std::fs::File> {
    let failed = |e: std::io::Error| Error::io(format_args!("lock {}", path.display()), &e);
    let mut file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    // A child that a killed engine was about to execute holds its lock for a moment.
    let mut is_locked = fs::try_lock(&file, path)?;
    for _ in 0..50 {
        if is_locked {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
        is_locked = fs::try_lock(&file, path)?;
    }
    if !is_locked {
        let mut holder = String::new();
        let _ = file.read_to_string(&mut holder);
        return Err(Error::conflict(format!(
            "another engine (process {}) holds {}: end it first, or choose another --exec-root",
            holder.trim(),
            path.display()
        )));
    }
    let write = |file: &mut std::fs::File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file).map_err(failed)?;
    Ok(file)
}

/// The group's number. The default group need not exist; one that was asked for must.
fn find_group(name: Option<&str>) -> Result<Option<u32>> {
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

struct Listeners {
    sockets: Vec<OwnedFd>,
    /// The files that we made.
    paths: Vec<PathBuf>,
    inherited: usize,
}

impl Listeners {
    fn names(&self) -> String {
        let mut names: Vec<String> = self
            .paths
            .iter()
            .map(|path| format!("unix://{}", path.display()))
            .collect();
        if self.inherited > 0 {
            names.push(format!("{} inherited sockets", self.inherited));
        }
        names.join(", ")
    }
}

fn listen(config: &Config, group: Option<u32>) -> Result<Listeners> {
    let mut listeners = Listeners {
        sockets: Vec::new(),
        paths: Vec::new(),
        inherited: 0,
    };
    let mut hosts = config.hosts.clone();
    if hosts.is_empty() {
        hosts.push(format!(
            "unix://{}",
            config.options.exec_root.join("tug.sock").display()
        ));
    }
    for host in &hosts {
        match address::parse(host)? {
            Address::Unix(path) => {
                let listener =
                    socket::listen(&path, 0o660, group).context(|| format!("serve {host}"))?;
                listeners.sockets.push(listener);
                listeners.paths.push(path);
            }
            Address::Tcp(_) => {
                return Err(Error::unsupported(format!(
                    "{host}: whoever reaches a TCP port of the engine is root on this machine, so it needs TLS with client certificates, which is not supported yet: use a unix socket, for instance through ssh"
                )));
            }
            Address::Fd => {
                let sockets = socket::inherited()?;
                listeners.inherited += sockets.len();
                listeners.sockets.extend(sockets);
            }
        }
    }
    Ok(listeners)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Config> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        options::parse(&args)
    }

    #[test]
    fn tcp_without_tls_is_refused() {
        let options = parsed(&["-H", "tcp://127.0.0.1:2375"]).unwrap();
        let error = listen(&options, None).err().unwrap();
        assert!(error.message.contains("needs TLS"), "{error}");
    }

    #[test]
    fn a_group_is_a_name_or_a_number() {
        assert_eq!(find_group(Some("0")).unwrap(), Some(0));
        assert_eq!(find_group(Some("root")).unwrap(), Some(0));
        assert_eq!(find_group(Some("")).unwrap(), None);
        let error = find_group(Some("no-such-group")).unwrap_err();
        assert_eq!(error.message, "group no-such-group not found");
    }
}
