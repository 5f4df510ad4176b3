//! `tug engine`, `tugd`, `dockerd`: serve the API until told to end.

mod heartbeat;
mod listen;
mod options;
mod serve;
mod values;

use self::listen::find_group;
use self::options::Config;
use self::serve::{End, Orders};
use crate::applets::client::planned::RESOLVER;
use crate::boot::init::Place;
use crate::boot::pass::Passes;
use crate::boot::{state, stop};
use crate::engine::config::{Options, Settings};
use crate::engine::{API_VERSION, Engine};
use crate::error::{Error, Result};
use crate::shim::client;
use crate::sys::signal::{self, Set};
use crate::sys::{fs, process, service, supervisor};
use std::ffi::OsString;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

pub fn main(args: &[OsString]) -> Result<u8> {
    let config = options::parse(args)?;
    if config.is_check {
        let _ = writeln!(std::io::stderr(), "configuration OK");
        return Ok(0);
    }
    let reload = |engine: &Engine| match options::parse(args) {
        Ok(config) => engine.reload(config.settings),
        Err(error) => crate::log::line("tugd", format_args!("reload: {error}")),
    };
    run(&config, &reload).map(|()| 0)
}

/// A store that was cut off while it was written may take minutes to be put right.
const RECOVERING: &str = "STATUS=recovering\nEXTEND_TIMEOUT_USEC=600000000";

fn run(config: &Config, reload: &dyn Fn(&Engine)) -> Result<()> {
    // Before any thread: all inherit the mask, so that the signals wait for the descriptor. (SIGPIPE
    // is ignored by Rust's start-up code.)
    let ends = Set::of(&[signal::SIGTERM, signal::SIGINT]);
    let signals = Set::of(&[
        signal::SIGUSR2,
        signal::SIGTERM,
        signal::SIGINT,
        signal::SIGPWR,
        signal::SIGCHLD,
        signal::SIGHUP,
    ]);
    signal::set_mask(signals)?;
    let signals = signal::descriptor(signals)?;

    let (descriptors, descriptors_before) = process::raise_descriptors();
    // What was good for us would be much for programs that close all descriptors one by one.
    client::limit_descriptors(descriptors_before);

    let mut options = config.options.clone();
    if config.boot_plan.is_some() {
        options.data_root = state::data_root(&options);
    }
    let group = find_group(config.group.as_deref())?;
    let lock = hold(&options, group)?;
    service::notify(RECOVERING);
    let engine = Engine::open(options, config.settings.clone())?;
    crate::build::sweep(&engine)?;

    let passes = config
        .boot_plan
        .as_ref()
        .map(|plan| Passes::new(&engine, plan.clone(), &RESOLVER))
        .transpose()?;
    if let Some(plan) = config.boot_plan.as_ref().filter(|_| config.is_stop) {
        stop::stop(&engine, plan, &RESOLVER);
        engine.close();
        return Ok(());
    }
    if let Some(passes) = &passes {
        // Process 1 has started us by a link that says nothing.
        supervisor::set_name(c"tugd");
        passes.want();
    }
    let listeners = listen::listen(config, group)?;
    if let Some(path) = &config.pidfile {
        std::fs::write(path, format!("{}\n", std::process::id()))
            .map_err(|e| Error::io(format_args!("write {}", path.display()), &e))?;
    }
    for long in &config.unused {
        engine.info_line(format_args!("--{long} has no effect yet"));
    }
    engine.info_line(format_args!(
        "serving API {API_VERSION} on {}",
        listeners.names.join(", ")
    ));
    service::notify("READY=1\nSTATUS=serving");
    let served = serve::until_end(
        &engine,
        &Orders {
            listeners: &listeners.all,
            signals: signals.as_fd(),
            descriptors_max: descriptors,
            idle_exit: config.idle_exit,
            go_over: &|| passes.as_ref().map_or((), Passes::want),
            reload: &|| {
                service::notify_reloading();
                reload(&engine);
                service::notify("READY=1\nSTATUS=serving");
            },
        },
    );
    service::notify("STOPPING=1\nSTATUS=stopping");
    let is_down = match served {
        Ok(End::Told) => passes.is_none() && !engine.settings().live_restore,
        // What an init script asks for where it cannot tell a restart from the end of everything:
        // containers end as if with the power, and come back as their restart policies say.
        Ok(End::PowerDown) => true,
        _ => false,
    };
    // Of the two signals alone: shims that end are no reason to hurry.
    if is_down {
        engine.stop_all(signal::descriptor(ends)?.as_fd());
    }

    engine.close();
    // The socket files go; containers that still run, and their shims, stay.
    for path in listeners.paths.iter().chain(&config.pidfile) {
        let _ = std::fs::remove_file(path);
    }
    drop(lock);
    served.map(drop)
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

/// Where an engine with these options has its socket's directory, and whose its socket is.
pub fn place(args: &[OsString]) -> Result<Place> {
    let config = options::parse(args)?;
    Ok(Place {
        group: find_group(config.group.as_deref())?,
        exec_root: config.options.exec_root,
        data_root: config.options.data_root,
    })
}
