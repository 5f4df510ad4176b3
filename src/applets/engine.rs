//! `tug engine`, `tugd`, `dockerd`: serve the API until told to end.

use crate::api;
use crate::engine::runtimes::Runtimes;
use crate::engine::{Engine, Options as EngineOptions, watch};
use crate::error::{Context, Error, Kind, Result};
use crate::http::address::{self, Address};
use crate::shim::client;
use crate::sys::poll;
use crate::sys::signal::{self, Set};
use crate::sys::{fs, socket};
use crate::wire::system::Runtime;
use lexopt::prelude::*;
use rustix::event::PollFlags;
use std::ffi::OsString;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const HELP: &str = "\
Usage: tug engine [OPTION]...

Serve Docker's HTTP API (1.24 to 1.51) and run containers. Stays in the
foreground; SIGTERM ends it, and its containers live on.

  -H, --host ADDRESS    serve here; may be given more than once:
                          unix:///path/to/socket  (default: EXEC-ROOT/tug.sock)
                          fd://                   sockets of systemd activation
  -G, --group GROUP     group of the unix sockets (default: docker, where it
                        exists)
      --data-root DIR   images and containers (default: /var/lib/tug)
      --exec-root DIR   what is true for this boot (default: /run/tug)
      --add-runtime NAME=PATH
                        an OCI runtime that containers may ask for
      --default-runtime NAME
                        the one of those that don't (default: tug, built in)
  -p, --pidfile FILE    write the process id there
  -D, --debug           say more on standard error
  -h, --help            print this
  -v, --version         print the version
";

/// Connections served at once, a small thread each; those beyond it are told to come again.
const CONNECTIONS_MAX: usize = 256;

/// SIGINT, by its number (signal(7)).
const SIGINT: i32 = 2;

struct Options {
    hosts: Vec<String>,
    group: Option<String>,
    data_root: PathBuf,
    exec_root: PathBuf,
    pidfile: Option<PathBuf>,
    debug: bool,
    runtimes: Runtimes,
    default_runtime: Option<String>,
}

pub fn main(args: &[OsString]) -> Result<u8> {
    let options = parse(lexopt::Parser::from_args(args))?;
    run(&options).map(|()| 0)
}

fn parse(mut args: lexopt::Parser) -> Result<Options> {
    let mut options = Options {
        hosts: Vec::new(),
        group: None,
        data_root: PathBuf::from("/var/lib/tug"),
        exec_root: PathBuf::from("/run/tug"),
        pidfile: None,
        debug: false,
        runtimes: Runtimes::new(),
        default_runtime: None,
    };
    while let Some(arg) = args.next()? {
        match arg {
            Short('H') | Long("host") => options.hosts.push(args.value()?.string()?),
            Short('G') | Long("group") => options.group = Some(args.value()?.string()?),
            Long("data-root") => options.data_root = args.value()?.into(),
            Long("exec-root") => options.exec_root = args.value()?.into(),
            Short('p') | Long("pidfile") => options.pidfile = Some(args.value()?.into()),
            Short('D') | Long("debug") => options.debug = true,
            Long("add-runtime") => add_runtime(&mut options.runtimes, &args.value()?.string()?)?,
            Long("default-runtime") => options.default_runtime = Some(args.value()?.string()?),
            Short('h') | Long("help") => return Err(Error::new(Kind::Help, HELP)),
            Short('v') | Long("version") => {
                let version = concat!("tug engine ", env!("CARGO_PKG_VERSION"));
                return Err(Error::new(Kind::Help, version));
            }
            other => return Err(other.unexpected().into()),
        }
    }
    for root in [&mut options.data_root, &mut options.exec_root] {
        // Shims and containers have other working directories.
        *root = std::path::absolute(&*root)
            .map_err(|e| Error::io(format_args!("find {}", root.display()), &e))?;
    }
    Ok(options)
}

/// `NAME=PATH` of --add-runtime.
fn add_runtime(runtimes: &mut Runtimes, text: &str) -> Result<()> {
    let (name, path) = text
        .split_once('=')
        .ok_or_else(|| Error::new(Kind::Usage, format!("invalid runtime added: {text}")))?;
    let runtime = Runtime {
        path: Some(path.to_string()),
        ..Runtime::default()
    };
    match runtimes.insert(name.to_string(), runtime) {
        None => Ok(()),
        Some(_) => Err(Error::new(
            Kind::Usage,
            format!("runtime '{name}' was already defined"),
        )),
    }
}

fn run(options: &Options) -> Result<()> {
    // Before any thread: all inherit the mask, so that the signals wait for the descriptor. (SIGPIPE
    // is ignored by Rust's start-up code.)
    let signals = Set::of(&[signal::SIGTERM, SIGINT, signal::SIGCHLD]);
    signal::set_mask(signals)?;
    let signals = signal::descriptor(signals)?;

    let group = find_group(options.group.as_deref())?;
    make_root(&options.data_root, 0o700, None)?;
    make_root(
        &options.exec_root,
        if group.is_some() { 0o710 } else { 0o700 },
        group,
    )?;
    let lock = take_lock(&options.exec_root.join("engine.lock"))?;
    let engine = Engine::open(EngineOptions {
        data_root: options.data_root.clone(),
        exec_root: options.exec_root.clone(),
        debug: options.debug,
        runtimes: options.runtimes.clone(),
        default_runtime: options.default_runtime.clone(),
    })?;

    let listeners = listen(options, group)?;
    if let Some(path) = &options.pidfile {
        std::fs::write(path, format!("{}\n", std::process::id()))
            .map_err(|e| Error::io(format_args!("write {}", path.display()), &e))?;
    }
    crate::log::line(
        "tugd",
        format_args!(
            "serving API {} on {}",
            crate::engine::API_VERSION,
            listeners.names()
        ),
    );
    let served = accept_until_told(&engine, &listeners, signals.as_fd());

    // The socket files go; containers and their shims stay.
    for path in listeners.paths.iter().chain(&options.pidfile) {
        let _ = std::fs::remove_file(path);
    }
    drop(lock);
    served
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
    if !fs::try_lock(&file, path)? {
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

fn listen(options: &Options, group: Option<u32>) -> Result<Listeners> {
    let mut listeners = Listeners {
        sockets: Vec::new(),
        paths: Vec::new(),
        inherited: 0,
    };
    let mut hosts = options.hosts.clone();
    if hosts.is_empty() {
        hosts.push(format!(
            "unix://{}",
            options.exec_root.join("tug.sock").display()
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

fn accept_until_told(
    engine: &Arc<Engine>,
    listeners: &Listeners,
    signals: BorrowedFd<'_>,
) -> Result<()> {
    let served = Arc::new(AtomicUsize::new(0));
    let mut fds = vec![(signals, PollFlags::IN)];
    fds.extend(
        listeners
            .sockets
            .iter()
            .map(|fd| (fd.as_fd(), PollFlags::IN)),
    );
    loop {
        let ready = poll::wait(&fds, None)?;
        while let Some(signal) = signal::take(signals) {
            match signal {
                signal::SIGCHLD => client::reap(),
                _ => return Ok(()),
            }
        }
        for (listener, flags) in listeners.sockets.iter().zip(ready.iter().skip(1)) {
            if !flags.is_empty() {
                accept(engine, listener.as_fd(), &served);
            }
        }
    }
}

/// Take one connection. Whatever goes wrong concerns that connection only.
fn accept(engine: &Arc<Engine>, listener: BorrowedFd<'_>, served: &Arc<AtomicUsize>) {
    let stream = match socket::accept(listener) {
        Ok(stream) => stream,
        Err(error) => {
            crate::log::line("tugd", error);
            // Out of descriptors: the connection stays in the queue and poll says so at once. Give
            // those that are served a moment to end.
            std::thread::sleep(std::time::Duration::from_millis(20));
            return;
        }
    };
    if served.fetch_add(1, Ordering::AcqRel) >= CONNECTIONS_MAX {
        served.fetch_sub(1, Ordering::AcqRel);
        return api::refuse(stream);
    }
    let (engine, counter) = (Arc::clone(engine), Arc::clone(served));
    let spawned = watch::thread("connection", move || {
        api::serve(&engine, stream);
        counter.fetch_sub(1, Ordering::AcqRel);
    });
    if let Err(error) = spawned {
        served.fetch_sub(1, Ordering::AcqRel);
        crate::log::line("tugd", error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Options> {
        parse(lexopt::Parser::from_args(args))
    }

    #[test]
    fn options_are_dockerds() {
        let options = parsed(&[
            "-H",
            "unix:///a",
            "--host=fd://",
            "-G",
            "7",
            "--data-root",
            "/d",
            "-D",
        ])
        .unwrap();
        assert_eq!(options.hosts, ["unix:///a", "fd://"]);
        assert_eq!(options.group.as_deref(), Some("7"));
        assert_eq!(options.data_root, Path::new("/d"));
        assert!(options.debug);
        assert_eq!(options.exec_root, Path::new("/run/tug"));
    }

    #[test]
    fn a_runtime_is_a_name_and_a_path() {
        let options = parsed(&["--add-runtime", "crun=/usr/bin/crun"]).unwrap();
        let path = options.runtimes["crun"].path.as_deref();
        assert_eq!(path, Some("/usr/bin/crun"));
        for wrong in [&["x"][..], &["x=/x", "--add-runtime=x=/y"]] {
            let args = [&["--add-runtime"], wrong].concat();
            let error = parsed(&args).err().unwrap();
            assert_eq!(error.kind, Kind::Usage, "{error}");
        }
    }

    #[test]
    fn an_unknown_option_is_an_error_of_usage() {
        assert_eq!(
            parsed(&["--colour"]).err().map(|e| e.kind),
            Some(Kind::Usage)
        );
        assert_eq!(parsed(&["--help"]).err().map(|e| e.kind), Some(Kind::Help));
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
