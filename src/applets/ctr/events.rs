//! `tug ctr events`: what shims tell, as containerd's `ctr` prints it.

use super::Ctr;
use crate::applets::client::options::Options;
use crate::applets::client::print;
use crate::error::Result;
use crate::json::object::Object;
use crate::shim::client::{self, Event, Watch};
use crate::store::staging;
use crate::sys::notify::Changes;
use crate::sys::poll;
use crate::time::Time;
use rustix::event::PollFlags;
use std::os::fd::AsFd;
use std::time::Duration;

/// How often new containers are asked whether their shims listen by now.
const LOOK: Duration = Duration::from_millis(20);

struct Watched {
    id: String,
    watch: Watch,
    is_started: bool,
}

pub fn follow(ctr: &Ctr, _: &mut Options) -> Result<u8> {
    let dir = ctr.exec_root.join("containers");
    staging::make_dir(&dir)?;
    let changes = Changes::of_dir(&dir)?;
    let mut all: Vec<Watched> = Vec::new();
    let mut is_first = true;
    loop {
        changes.clear();
        let mut is_waiting = false;
        for id in ctr.run()? {
            if all.iter().any(|watched| watched.id == id) {
                continue;
            }
            let shim = client::connect(&ctr.run_dir(&id));
            match shim.and_then(|shim| Ok((shim.watch()?, shim.state()?))) {
                Ok((watch, state)) => {
                    let is_started = is_first && !state.started_at.is_empty();
                    all.push(Watched {
                        id,
                        watch,
                        is_started,
                    });
                }
                // It is being made, or has ended.
                Err(_) => is_waiting |= !ctr.run_dir(&id).join("exit").exists(),
            }
        }
        is_first = false;
        for watched in all.iter_mut().filter(|watched| !watched.is_started) {
            let shim = client::connect(&ctr.run_dir(&watched.id));
            match shim.and_then(|shim| shim.state()) {
                Ok(state) if !state.started_at.is_empty() => {
                    watched.is_started = true;
                    tell(&watched.id, "start", |event| {
                        event.number("pid", u64::from(state.pid.unsigned_abs()));
                    })?;
                }
                _ => is_waiting = true,
            }
        }

        let mut fds = vec![(changes.as_fd(), PollFlags::IN)];
        fds.extend(
            all.iter()
                .map(|watched| (watched.watch.as_fd(), PollFlags::IN)),
        );
        let ready = poll::wait(&fds, is_waiting.then_some(LOOK))?;
        let mut flags = ready.into_iter().skip(1);
        let mut failed = Ok(());
        all.retain_mut(|watched| {
            let is_ready = flags.next().is_some_and(|flags| !flags.is_empty());
            if !is_ready {
                return true;
            }
            match hear(watched) {
                Ok(is_live) => is_live,
                Err(error) => {
                    failed = Err(error);
                    false
                }
            }
        });
        failed?;
    }
}

/// Tell one event. False when its shim will say no more.
fn hear(watched: &mut Watched) -> Result<bool> {
    let id = &watched.id;
    match watched.watch.next() {
        Ok(Some(Event::Exit(exit))) => tell(id, "exit", |event| {
            event
                .number("exit_status", u64::from(exit.code.unsigned_abs()))
                .text("exited_at", &exit.finished_at);
        })?,
        Ok(Some(Event::ExecExit { id: exec, code })) => tell(id, "exit", |event| {
            event
                .text("id", &exec)
                .number("exit_status", u64::from(code.unsigned_abs()));
        })?,
        Ok(Some(Event::Start(started))) => tell(id, "start", |event| {
            event.number("pid", u64::from(started.pid.unsigned_abs()));
        })?,
        Ok(Some(Event::Health(_) | Event::Ready | Event::Budget(_))) => {}
        Ok(Some(Event::Paused(is_paused))) => {
            tell(id, if is_paused { "paused" } else { "resumed" }, |_| {})?;
        }
        Ok(Some(Event::Oom)) => tell(id, "oom", |_| {})?,
        Ok(None) | Err(_) => return Ok(false),
    }
    Ok(true)
}

fn tell(id: &str, topic: &str, more: impl FnOnce(&mut Object)) -> Result<()> {
    let mut event = Object::new();
    event.text("container_id", id);
    more(&mut event);
    let now = Time::now().rfc3339();
    print::line(&format!("{now} tug /tasks/{topic} {}", event.finish()))
}
