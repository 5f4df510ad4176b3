//! From a run directory to a container that waits for its start.

use crate::cgroup::Group;
use crate::error::{Context, Result};
use crate::image::overlay;
use crate::json;
use crate::oci::spec::Spec;
use crate::runtime::create::{Created, Io};
use crate::shim::backend::Backend;
use crate::shim::config::{self, Config};
use crate::shim::exit;
use crate::shim::log::writer::Writer;
use crate::shim::serve::Supervisor;
use crate::shim::shm;
use crate::shim::task::{Streams, Task};
use crate::sys::memory::Pages;
use crate::sys::signal::{self, Set};
use crate::sys::{fs, socket, stream, supervisor};
use std::fs::File;
use std::path::{Path, PathBuf};

impl Supervisor {
    pub fn set_up(run_dir: &Path) -> Result<Supervisor> {
        let config = config::read(run_dir)?;
        let backend = Backend::of(run_dir, &config)?;
        exit::forget(run_dir)?;
        let log = Writer::open(&config).context(|| "failed to initialize logging driver")?;
        let signals = Set::of(&[
            signal::SIGCHLD,
            signal::SIGTERM,
            signal::SIGINT,
            signal::SIGHUP,
        ]);
        signal::set_mask(signals)?;
        let signals = signal::descriptor(signals)?;
        supervisor::adopt_orphans()?;
        let listener = socket::listen(&run_dir.join("shim.sock"), 0o600, None)?;
        stream::set_nonblocking(&listener)?;

        supervisor::private_mounts()?;
        mount(run_dir, &config)?;
        if let Some(pid) = config.shm_of {
            shm::share(pid, &run_dir.join(config::SHM))?;
        }
        let spec = spec(run_dir)?;
        let inherited = oom_score_adj();
        let (task, group) = create(&backend, &config, &spec, inherited)?;
        protect();

        let given = spec.process.and_then(|process| process.oom_score_adj);
        Ok(Supervisor {
            run_dir: run_dir.to_path_buf(),
            config,
            backend,
            signals,
            listener: Some(listener),
            calls: Vec::new(),
            tasks: vec![task],
            ended: Vec::new(),
            leaving: Vec::new(),
            log,
            oom_events: group
                .as_ref()
                .and_then(|group| group.watch_oom().ok())
                .map(File::from),
            group,
            oom_kills: 0,
            oom_score_adj: given.or(inherited),
            started_at: None,
            failure: None,
            finished_at: None,
            buffer: Pages::default(),
        })
    }
}

/// The container's root, in our own mount namespace: no mount of ours can be left on the host.
fn mount(run_dir: &Path, config: &Config) -> Result<()> {
    let Some(upper) = &config.upper else {
        return Ok(());
    };
    let layers: Vec<PathBuf> = config.layers.iter().flatten().map(PathBuf::from).collect();
    let work = config.work.as_deref().unwrap_or_default();
    overlay::mount(
        &layers,
        Path::new(upper),
        Path::new(work),
        &run_dir.join("bundle/rootfs"),
        config.volatile.unwrap_or(false),
    )
}

fn spec(run_dir: &Path) -> Result<Spec> {
    let path = run_dir.join("bundle/config.json");
    let text = fs::read(&path)?;
    json::parse_bytes(&text, "config.json").context(|| format!("read {}", path.display()))
}

fn create(
    backend: &Backend,
    config: &Config,
    spec: &Spec,
    oom_score_adj: Option<i32>,
) -> Result<(Task, Option<Group>)> {
    let is_terminal = config.terminal.unwrap_or(false);
    let with_input = config.open_stdin.unwrap_or(false);
    let (io, pipes) = match is_terminal {
        true => (Io::Inherit, Streams::default()),
        false => Streams::pipes(with_input, true)?,
    };
    let Created {
        pid,
        pidfd,
        console,
        group,
        ..
    } = backend
        .create(spec, io, oom_score_adj)
        .map_err(|error| pipes.explain(error))?;
    let streams = match console {
        Some(master) => Streams::console(master, with_input)?,
        None => pipes,
    };
    let mut task = Task::new(String::new(), pid, pidfd, streams);
    task.is_terminal = is_terminal;
    task.is_stdin_once = config.stdin_once.unwrap_or(false);
    Ok((task, group))
}

const OOM_SCORE_ADJ: &str = "/proc/self/oom_score_adj";

fn oom_score_adj() -> Option<i32> {
    std::fs::read_to_string(OOM_SCORE_ADJ)
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// When memory runs out, a container dies and is reported; with its shim the report would die. An
/// engine may lack the right (CAP_SYS_RESOURCE).
fn protect() {
    let _ = std::fs::write(OOM_SCORE_ADJ, "-998");
}
