//! From a run directory to a container that waits for its start.

use crate::error::{Context, Result};
use crate::image::overlay;
use crate::shim::backend::Backend;
use crate::shim::budget::{self, Budget};
use crate::shim::config::{self, Config};
use crate::shim::critical::Critical;
use crate::shim::exit;
use crate::shim::health::Health;
use crate::shim::helper;
use crate::shim::hotplug::Hotplug;
use crate::shim::log::writer::Writer;
use crate::shim::network::Network;
use crate::shim::parts;
use crate::shim::policy::{Policy, Restarts};
use crate::shim::remedy::Remedy;
use crate::shim::run::Run;
use crate::shim::serve::Supervisor;
use crate::shim::shm;
use crate::shim::wear::{Counter, Disk};
use crate::store::{limit, tree};
use crate::sys::memory::Pages;
use crate::sys::signal::{self, Set};
use crate::sys::{socket, stream, supervisor};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

impl Supervisor {
    pub fn set_up(run_dir: &Path) -> Result<Supervisor> {
        let config = config::read(run_dir)?;
        let backend = Backend::of(run_dir, &config)?;
        // A container whose shim was lost waits as if we had seen its last end.
        let delay = config.delay_ms.map(Duration::from_millis);
        let last = match delay {
            Some(_) => exit::read(run_dir)?,
            None => None,
        };
        exit::forget(run_dir)?;
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
        let log =
            Writer::open(&config, run_dir).context(|| "failed to initialize logging driver")?;
        mount(run_dir, &config)?;
        parts::drop_others(&config);
        parts::mount_all(config.parts.as_deref().unwrap_or_default())?;
        if let Some(pid) = config.shm_of {
            shm::share(pid, &run_dir.join(config::SHM))?;
        }
        let policy = Policy::of(config.restart.as_ref());
        let restarts = Restarts::new(policy, config.restarts.unwrap_or(0));
        // Without a layer of its own a container has at least its records there.
        let own = config.upper.as_deref().or(config.log.as_deref());
        let run_disk = own
            .and_then(|own| Path::new(own).parent())
            .unwrap_or(run_dir);
        let wear = Counter::new(Disk::below(run_disk));
        let wanted = budget::parse(config.write_budget.as_deref().unwrap_or_default())?;
        let file = Path::new(config.budget_file.as_deref().unwrap_or_default());
        let budget = wanted.map(|wanted| Budget::open(wanted, wear.disk(), file));
        let budget = budget.transpose()?;
        let health = config.health.as_ref().map(Health::new);
        let remedy = Remedy::new(config.health_on_failure.as_deref());
        let network = Network::set_up(run_dir)?;
        let critical = match config.critical {
            Some(true) => {
                let name = config.name.as_deref().unwrap_or_default();
                Some(Critical::new(run_dir, config.id()?, name))
            }
            _ => None,
        };
        let mut supervisor = Supervisor {
            run_dir: run_dir.to_path_buf(),
            config,
            backend,
            signals,
            listener: Some(listener),
            calls: Vec::new(),
            tasks: Vec::new(),
            ended: Vec::new(),
            leaving: Vec::new(),
            log,
            run: Run::default(),
            oom_score_adj: helper::oom_score_adj(),
            started_at: None,
            restarts,
            health,
            remedy,
            critical,
            hotplug: Hotplug::open(run_dir)?,
            network,
            wear,
            budget,
            waiting: delay.map(|delay| Instant::now() + delay),
            last,
            buffer: Pages::default(),
            is_tired: false,
        };
        if delay.is_none() {
            supervisor.make()?;
        }
        helper::protect();
        Ok(supervisor)
    }
}

/// The container's root, in our own mount namespace: no mount of ours can be left on the host.
fn mount(run_dir: &Path, config: &Config) -> Result<()> {
    let Some(upper) = &config.upper else {
        return Ok(());
    };
    if let Some(dir) = &config.disk_of {
        limit::attach(Path::new(dir))?;
    }
    let volatile = config.volatile.unwrap_or(false);
    let layers: Vec<PathBuf> = config.layers.iter().flatten().map(PathBuf::from).collect();
    let work = Path::new(config.work.as_deref().unwrap_or_default());
    if volatile && !layers.is_empty() {
        // A volatile overlay leaves a mark there, lest someone trusts its upper directory after a
        // crash. `restart` does.
        tree::remove(&work.join("work"))?;
    }
    let rootfs = run_dir.join("bundle/rootfs");
    overlay::mount(&layers, Path::new(upper), work, &rootfs, volatile)
}
