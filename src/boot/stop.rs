//! The end of the containers, in the engine: what the plan has for it, then all of them, each before
//! those that it comes after.

use crate::boot::console;
use crate::boot::make::Maker;
use crate::engine::Engine;
use crate::engine::container::{Container, State};
use crate::error::Result;
use crate::plan::{self, Entry, Phase, Resolver, Set};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For everything together, where `machine.json` says nothing.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// How long an onshutdown entry may run that does not say.
const ONSHUTDOWN: Duration = Duration::from_secs(10);

pub fn stop(engine: &Arc<Engine>, plan: &Path, resolver: &Resolver) {
    let set = plan::read_dir(plan).unwrap_or_default();
    let machine = plan::machine(plan).ok().flatten().unwrap_or_default();
    let deadline = machine.shutdown.and_then(|shutdown| shutdown.deadline);
    let end = Instant::now() + deadline.map_or(DEADLINE, |span| span.0);
    let maker = Maker { engine, resolver };
    let order = plan::order(&set.entries);
    for entry in order.places.iter().filter_map(|at| set.entries.get(*at)) {
        if entry.phase != Phase::Onshutdown {
            continue;
        }
        if let Err(error) = run(&maker, entry, end) {
            console::say(format_args!("{}: {error}", entry.name));
        }
    }
    engine.stop_in_order(&|a, b| comes_after(&set, a, b), end);
}

/// Once, to its end, while the services still run.
fn run(maker: &Maker<'_>, entry: &Entry, end: Instant) -> Result<()> {
    let recipe = maker.prepare(entry)?;
    let container = maker.container(entry, &recipe)?;
    maker.start(&container)?;
    let left = end.saturating_duration_since(Instant::now());
    let limit = entry.timeout.unwrap_or(ONSHUTDOWN).min(left);
    let ended = |state: &State| !state.phase.is_up();
    if !container.wait_until(&ended, None, Some(limit))? {
        console::say(format_args!(
            "{} had not ended after {} s",
            entry.name,
            limit.as_secs()
        ));
        maker.engine.kill(&container, None)?;
    }
    Ok(())
}

/// Whether `a` is to be stopped before `b`: it comes after it, or is none of the plan's.
fn comes_after(set: &Set, a: &Container, b: &Container) -> bool {
    let (a, b) = (a.name(), b.name());
    let find = |name: &str| set.entries.iter().find(|entry| entry.name == name);
    match (find(&a), find(&b)) {
        (Some(entry), Some(_)) => entry.after.iter().any(|after| after.name == b),
        (None, Some(_)) => true,
        _ => false,
    }
}
