//! A boot from its first instruction to its last.

use crate::boot::conditions::{self, Wanted, Watch};
use crate::boot::machine::Work;
use crate::boot::orders::{self, Order};
use crate::boot::service::{Pass, Service};
use crate::boot::status::{MACHINE, PENDING};
use crate::boot::watchdog::Watchdog;
use crate::boot::{console, dir, modules, mounts, shutdown};
use crate::error::{Error, Result};
use crate::plan::machine::Machine;
use crate::plan::{self, Condition};
use crate::shim::reboot;
use crate::sys::power;
use crate::sys::{init, memory, mount, poll, service, signal, socket, supervisor};
use rustix::event::PollFlags;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How a boot is to be.
pub struct Options {
    pub plan: PathBuf,
    /// Somebody wants to look around first.
    pub has_rescue: bool,
    /// Work off `machine.json` under another init too.
    pub applies_machine: bool,
}

/// What the rooms above know.
pub struct Above {
    /// By the engine's options.
    pub place: fn(&[OsString]) -> Result<Place>,
}

/// Where an engine serves, and whose its socket is.
pub struct Place {
    pub exec_root: PathBuf,
    pub data_root: PathBuf,
    pub group: Option<u32>,
}

pub struct Boot {
    pub is_init: bool,
    pub machine: Machine,
    pub work: Work,
    pub exec_root: PathBuf,
    data_root: PathBuf,
    pub signals: OwnedFd,
    pub service: Service,
    pub watchdog: Option<Watchdog>,
    watch: Watch,
    /// Entries that wait for the outside, each with what it waits for.
    pending: Vec<Vec<Condition>>,
    is_ready: bool,
}

/// PID 1 comes back from here only if there is no life for it.
pub fn run(options: &Options, above: &Above) -> Result<u8> {
    let is_init = init::is_first_process();
    // First of all, so that no order is missed.
    signal::set_mask(orders::signals())?;
    let signals = signal::descriptor(orders::signals())?;
    supervisor::set_name(orders::NAME);
    if is_init {
        begin_machine();
    }
    if is_init && options.has_rescue {
        look_around(options);
    }
    let mut boot = Boot::begin(options, above, is_init, signals)?;
    loop {
        match boot.until_order()? {
            Order::End(end) => shutdown::end(&mut boot, end),
            Order::Leave => {
                shutdown::leave(&mut boot);
                return Ok(0);
            }
            _ => boot.reload(&options.plan),
        }
    }
}

/// What everything else needs.
fn begin_machine() {
    // Without it containers work as well (runtime::pivot), but for user namespaces.
    if let Err(error) = mount::cover_initramfs() {
        console::say(error);
    }
    mounts::usual();
    if init::has_machine() {
        console::take();
        modules::answer_kernel();
    }
    // The kernel may have had no console for us before /dev was there.
    if let Err(error) = console::open() {
        console::say(error);
    }
    // A machine in a container has no keys, and the kernel says EINVAL.
    let _ = power::hear_keys();
}

/// The boot loader's user wants a shell first. Then it goes on as ever.
fn look_around(options: &Options) {
    let machine = plan::machine(&options.plan).ok().flatten();
    let rescue = machine.and_then(|machine| machine.rescue);
    let command = rescue.and_then(|rescue| rescue.command);
    let command = command.unwrap_or_else(|| vec!["/bin/sh".to_string()]);
    if let Err(error) = shutdown::run_shell(&command) {
        console::say(error);
    }
}

impl Boot {
    fn begin(options: &Options, above: &Above, is_init: bool, signals: OwnedFd) -> Result<Boot> {
        let read = plan::machine(&options.plan);
        let machine = match &read {
            Ok(machine) => machine.clone().unwrap_or_default(),
            Err(_) => Machine::default(),
        };
        let mut work = match is_init || options.applies_machine {
            true => Work::begin(&machine),
            false => Work::default(),
        };
        if let Err(error) = read {
            work.complain("machine.json", &error);
        }
        let engine = machine.engine.clone().unwrap_or_default();
        let mut words: Vec<OsString> = ["-H", "fd://"].map(OsString::from).to_vec();
        words.extend(engine.iter().map(OsString::from));
        let place = (above.place)(&words).unwrap_or_else(|error| {
            // The engine will not start with them either, and say so; but the board is up.
            work.complain("engine", &error);
            Place {
                exec_root: PathBuf::from("/run/tug"),
                data_root: PathBuf::from("/var/lib/tug"),
                group: None,
            }
        });
        let socket = open(&place)?;
        let watchdog = match is_init || options.applies_machine {
            true => open_watchdog(&machine, &place, &mut work),
            false => None,
        };
        let mut boot = Boot {
            service: Service::new(&options.plan, &engine, socket)?,
            is_init,
            machine,
            work,
            exec_root: place.exec_root,
            data_root: place.data_root,
            signals,
            watchdog,
            watch: Watch::default(),
            pending: Vec::new(),
            is_ready: false,
        };
        boot.advance();
        boot.look_out();
        boot.save();
        Ok(boot)
    }

    /// Live until somebody wants something else of us.
    fn until_order(&mut self) -> Result<Order> {
        let mut had_engine = false;
        loop {
            let timeout = [
                self.service.delay(),
                self.work.patience(),
                self.watchdog.as_ref().map(Watchdog::delay),
            ];
            let ready = {
                let mut fds = vec![(self.signals.as_fd(), PollFlags::IN)];
                let socket = self.service.socket().filter(|_| !self.work.is_held());
                let socket = socket.map_or(self.signals.as_fd(), AsFd::as_fd);
                fds.push((socket, PollFlags::IN));
                fds.extend(self.watch.fds());
                // At the last moment: whatever ran after it would bring its pages back.
                let has_engine = self.service.is_running();
                if std::mem::replace(&mut had_engine, has_engine) && !has_engine {
                    memory::forget_code();
                }
                poll::wait(&fds, timeout.into_iter().flatten().min())?
            };
            let is_ready = |at: usize| ready.get(at).is_some_and(|flags| !flags.is_empty());
            if is_ready(0) {
                if let Some(order) = self.hear() {
                    return Ok(order);
                }
            } else if is_ready(1) {
                self.service.start();
            }
            if (2..ready.len()).any(is_ready) {
                self.watch.clear();
                self.look_out();
            }
            self.advance();
            self.feed();
        }
    }

    /// The engine waits for mounts that the plan says it needs: its own directories may lie there.
    fn advance(&mut self) {
        if !self.work.is_held() {
            self.service.advance();
        }
    }

    fn feed(&mut self) {
        let watchdog = self.watchdog.as_mut();
        if let Some(why) = watchdog.and_then(|watchdog| watchdog.tick(Instant::now())) {
            self.work.note_watchdog(&why);
            self.save();
        }
    }

    /// Take the signals that are there. Some are for us, and the first order that is not.
    fn hear(&mut self) -> Option<Order> {
        while let Some(number) = signal::take(&self.signals) {
            match orders::of(number, self.is_init) {
                Some(Order::Reap) => self.reap(),
                Some(Order::PassDone) => self.pass_done(),
                None => {}
                order => return order,
            }
        }
        None
    }

    /// Ours is the engine; the others are orphans, shims among them.
    pub fn reap(&mut self) {
        loop {
            match signal::reap() {
                Ok(Some(ended)) => {
                    self.service.take_end(ended);
                }
                Ok(None) => return,
                Err(error) => return console::say(error),
            }
        }
    }

    fn pass_done(&mut self) {
        self.service.pass_done();
        let path = dir(&self.exec_root).join(PENDING);
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = |line: &str| {
            let words = line
                .split('\t')
                .filter_map(|word| plan::condition(word).ok());
            words.collect::<Vec<Condition>>()
        };
        self.pending = text.lines().map(line).collect();
        if !self.is_ready {
            self.is_ready = true;
            service::notify("READY=1");
            if let Ok(Some(last)) = reboot::last(&self.data_root) {
                self.work.note_reboot(&last.words());
                self.save();
            }
        }
        self.look_out();
    }

    /// Listen to what is waited for, and see whether something of it has come to pass.
    fn look_out(&mut self) {
        let mut wanted = Wanted::default();
        let all = self.pending.iter().flatten();
        all.for_each(|condition| wanted.add(condition));
        self.work.wants(&mut wanted);
        self.watch.set(wanted);

        if self.work.is_waiting() {
            self.work.go_on();
            self.save();
        }
        let is_met = |entry: &Vec<Condition>| conditions::missing(entry).is_empty();
        // An engine that is at a pass tells what is left of it at its end.
        if self.service.pass == Pass::Done && self.pending.iter().any(is_met) {
            self.service.want_pass();
        }
    }

    fn save(&self) {
        if let Err(error) = self.work.status.save(&self.exec_root, MACHINE) {
            console::say(error);
        }
    }

    fn reload(&mut self, plan: &Path) {
        match plan::machine(plan) {
            Ok(machine) => self.machine.shutdown = machine.unwrap_or_default().shutdown,
            Err(error) => self.work.complain("machine.json", &error),
        }
        self.service.want_pass();
        self.advance();
    }
}

/// The board's watchdog, if the plan wants it fed and nobody else does.
fn open_watchdog(machine: &Machine, place: &Place, work: &mut Work) -> Option<Watchdog> {
    let wanted = machine.watchdog.as_ref()?;
    match Watchdog::open(wanted, &place.data_root, &place.exec_root) {
        Ok(watchdog) => {
            if watchdog.has_reset() {
                console::say("the board was reset by its watchdog");
            }
            work.note_watchdog("");
            Some(watchdog)
        }
        Err(error) => {
            work.complain("watchdog", &error);
            None
        }
    }
}

/// The API's socket, and who we are for those who send orders.
fn open(place: &Place) -> Result<OwnedFd> {
    let dir = dir(&place.exec_root);
    std::fs::create_dir_all(&dir)
        .map_err(|e| Error::io(format_args!("make directory {}", dir.display()), &e))?;
    let note = dir.join("pid");
    let pid = format!("{}\n", std::process::id());
    std::fs::write(&note, pid)
        .map_err(|e| Error::io(format_args!("write {}", note.display()), &e))?;
    let path = place.exec_root.join("tug.sock");
    if socket::connect(&path).is_ok() {
        return Err(Error::conflict(format!(
            "{} is served already: end that engine first",
            path.display()
        )));
    }
    socket::listen(&path, 0o660, place.group)
}

/// When there is no life for PID 1.
pub fn rescue(options: &Options, error: &Error) -> ! {
    console::say(format_args!("cannot go on: {error}"));
    let machine = plan::machine(&options.plan).ok().flatten();
    shutdown::rescue(machine.and_then(|machine| machine.rescue).as_ref())
}
