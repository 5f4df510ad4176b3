//! The end: containers stop in order, the rest is killed, nothing is left to be written, and the
//! machine goes where it was told to.
//!
//! Nothing here may keep a machine up: each step has its time, and a failure is told and passed.

use crate::boot::init::Boot;
use crate::boot::orders::Order;
use crate::boot::stop::DEADLINE;
use crate::boot::{console, mounts, orders, status};
use crate::error::Result;
use crate::plan::machine::Rescue;
use crate::sys::init;
use crate::sys::power::{self, End};
use crate::sys::signal::{self, SIGKILL, SIGTERM};
use crate::sys::spawn::Program;
use crate::sys::{failed, mount, poll, process, service};
use rustix::event::PollFlags;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// What processes outside containers get between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// How long the engine may take to leave before it is killed.
const ENGINE: Duration = Duration::from_secs(2);

/// What is left of a boot that cannot go on: time to read why.
const RESCUE: Duration = Duration::from_secs(30);

/// End the machine. Comes back only if the kernel refuses to.
pub fn end(boot: &mut Boot, end: End) {
    let what = match end {
        End::PowerOff => "power off",
        End::Reboot => "reboot",
        End::Halt => "halt",
    };
    console::say(what);
    stop_containers(boot);
    kill_the_rest(boot);
    power::sync();
    match init::has_machine() {
        true => {
            swap_off();
            mounts::take_down();
            power::sync();
        }
        // Inside a container disks are not ours to lock: what becomes read-only is so for everybody.
        false => unmount_own(&boot.work.mounted),
    }
    end_watchdog(boot, end);
    if let Err(error) = power::end(end) {
        console::say(error);
    }
}

fn end_watchdog(boot: &mut Boot, end: End) {
    if let Some(watchdog) = boot.watchdog.take() {
        watchdog.end(matches!(end, End::Reboot));
    }
}

/// Leave as another init's child: the containers end, and with them what we are here for.
pub fn leave(boot: &mut Boot) {
    service::notify("STOPPING=1");
    stop_containers(boot);
    end_watchdog(boot, End::Halt);
    unmount_own(&boot.work.mounted);
    let dir = crate::boot::dir(&boot.exec_root);
    // The next one begins from the beginning.
    for name in ["../tug.sock", "pid", status::ENTRIES, status::PENDING] {
        let _ = std::fs::remove_file(dir.join(name));
    }
}

/// A new engine does it, whatever the one that may run is at: it is cut off, and the records of both
/// are on the disk.
fn stop_containers(boot: &mut Boot) {
    let deadline = boot.machine.shutdown.as_ref();
    let deadline = deadline.and_then(|shutdown| shutdown.deadline);
    let deadline = deadline.map_or(DEADLINE, |span| span.0);
    if let Some(pid) = boot.service.begin_end() {
        let _ = signal::kill(pid, SIGTERM);
        wait_for(boot, ENGINE, &mut |boot| !boot.service.is_running());
        if boot.service.is_running() {
            let _ = signal::kill(pid, SIGKILL);
        }
    }
    let stopper = match boot.service.start_stop() {
        Ok(pid) => pid,
        Err(error) => return console::say(error),
    };
    // It keeps to the deadline itself; this is for one that hangs.
    let limit = deadline + ENGINE;
    if !wait_for(boot, limit, &mut |_| has_ended(stopper)) {
        console::say("the containers did not stop in time");
        let _ = signal::kill(stopper, SIGKILL);
    }
}

/// Of a child that somebody else may reap.
fn has_ended(pid: i32) -> bool {
    signal::kill(pid, 0).is_err()
}

/// Everything that is not ours. Only in a pid namespace of our own: elsewhere this would be the
/// machine of others.
fn kill_the_rest(boot: &mut Boot) {
    if !boot.is_init {
        return;
    }
    // Not asked of kill(-1): the kernel's own threads answer it for ever. Whatever lives of the others
    // is our child, or becomes it when its parent ends.
    let is_alone = &mut |_: &mut Boot| !signal::has_children();
    let _ = signal::kill(-1, SIGTERM);
    if !wait_for(boot, GRACE, is_alone) {
        let _ = signal::kill(-1, SIGKILL);
        wait_for(boot, GRACE, is_alone);
    }
}

/// Reap until `done`, but no longer than `limit`. Orders that come now are heard and forgotten, but
/// for a second Ctrl-Alt-Del: whoever presses it again is in a hurry.
fn wait_for(boot: &mut Boot, limit: Duration, done: &mut dyn FnMut(&mut Boot) -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        boot.reap();
        if done(boot) {
            return true;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let mut nap = left;
        if let Some(watchdog) = &mut boot.watchdog {
            watchdog.feed(Instant::now());
            nap = nap.min(watchdog.delay());
        }
        let fds = [(boot.signals.as_fd(), PollFlags::IN)];
        if poll::wait(&fds, Some(nap)).is_err() {
            return false;
        }
        while let Some(number) = signal::take(&boot.signals) {
            let order = orders::of(number, boot.is_init);
            if number == signal::SIGINT && matches!(order, Some(Order::End(_))) {
                return false;
            }
        }
    }
}

fn unmount_own(mounted: &[String]) {
    for target in mounted.iter().rev() {
        if let Err(error) = mount::unmount(Path::new(target)) {
            console::say(error);
        }
    }
}

fn swap_off() {
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    for line in swaps.lines().skip(1) {
        if let Some(path) = line.split_ascii_whitespace().next() {
            let _ = power::swap_off(Path::new(path));
        }
    }
}

/// What is left of a boot that cannot go on: a program of the plan's for whoever sits there, or time to
/// read why; then once more from the beginning. PID 1 must not exit, which is the kernel's panic.
pub fn rescue(wanted: Option<&Rescue>) -> ! {
    let command = wanted.and_then(|rescue| rescue.command.as_ref());
    loop {
        match command.map(|command| run_shell(command)) {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                console::say(error);
                std::thread::sleep(RESCUE);
            }
            None => std::thread::sleep(RESCUE),
        }
        power::sync();
        let _ = power::end(End::Reboot);
    }
}

/// Run a program on the console to its end, and reap what others leave meanwhile.
pub fn run_shell(command: &[String]) -> Result<()> {
    let args = process::c_strings(command)?;
    let path = Path::new(command.first().map_or("", String::as_str));
    let program = Program {
        path,
        args,
        env: None,
        dir: None,
        stdio: [None; 3],
        resets_signals: true,
    };
    let pid = program
        .spawn()
        .map_err(|errno| failed("execute", path.display(), errno))?;
    loop {
        while let Some(ended) = signal::reap()? {
            if ended.pid == pid {
                return Ok(());
            }
        }
        signal::wait(orders::signals())?;
    }
}
