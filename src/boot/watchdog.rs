//! The board's watchdog: fed as long as the board does what it is for, and no longer.
//!
//! It is fed at a third of its time, and only while every critical container is well
//! (`shim::critical`) and the store takes what is written. Otherwise the hardware resets the board.
//! So what a reset cannot heal must not be a reason: a full disk is none, nor is one that has been
//! read-only since the boot.
//!
//! Process 1 must not wait for a disk. A child writes, at most once a minute for the sake of flash, and
//! says so through a pipe; one that hangs in a dying card says nothing.

use crate::error::{Context, Error, Result};
use crate::kernel::{Feature, explain, lacks};
use crate::plan::machine;
use crate::shim::critical;
use crate::sys::namespace::{self, Forked};
use crate::sys::stream::{self, Moved};
use crate::sys::watchdog::Device;
use crate::sys::{clock, failed, raw};
use rustix::io::Errno;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const DEVICE: &str = "/dev/watchdog";

/// Where neither the plan nor the device says.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The least time between two feedings.
const INTERVAL_MIN: Duration = Duration::from_millis(200);

/// What a disk that works may say as well: it is full, or there is no engine's directory yet; and what
/// a child that was killed comes to.
const ANSWERS: [Errno; 4] = [Errno::NOSPC, Errno::DQUOT, Errno::NOENT, Errno::INTR];

/// In the data root.
const FILE: &str = "watchdog";

/// Between two looks at the store, and how long one may take.
const STORE_INTERVAL: Duration = Duration::from_secs(60);
const STORE_TIMEOUT: Duration = Duration::from_secs(30);

pub struct Watchdog {
    device: Device,
    exec_root: PathBuf,
    interval: Duration,
    due: Instant,
    store: Store,
    /// Why it was not fed the last time; empty when it was.
    why: String,
}

/// Said where no driver stands behind the name.
const NO_DEVICE: &[Errno] = &[Errno::NOENT, Errno::NXIO, Errno::NODEV];

fn lacking() -> String {
    lacks(match Path::new("/sys/class/watchdog").exists() {
        true => Feature::SoftWatchdog,
        false => Feature::Watchdog,
    })
}

impl Watchdog {
    /// Open the device, which starts its time. The roots are the engine's.
    pub fn open(
        wanted: &machine::Watchdog,
        data_root: &Path,
        exec_root: &Path,
    ) -> Result<Watchdog> {
        let path = wanted.device.as_deref().unwrap_or(DEVICE);
        let device = Device::open(Path::new(path))
            .map_err(|error| explain(error, NO_DEVICE, &lacking))
            .context(|| "watchdog")?;
        if let Some(timeout) = &wanted.timeout {
            let seconds = u32::try_from(timeout.0.as_secs()).unwrap_or(u32::MAX);
            // What it cannot do it does not; then its own time holds.
            let _ = device.set_timeout(seconds.max(1));
        }
        let told = device.timeout();
        let told = told.map(|seconds| Duration::from_secs(seconds.into()));
        let asked = wanted.timeout.as_ref().map(|timeout| timeout.0);
        let timeout = told.or(asked).unwrap_or(TIMEOUT);
        let third = timeout / 3;
        let interval = wanted.interval.as_ref().map(|interval| interval.0);
        let interval = interval.filter(|interval| *interval < timeout);
        let now = Instant::now();
        Ok(Watchdog {
            device,
            exec_root: exec_root.to_path_buf(),
            interval: interval.unwrap_or(third).max(INTERVAL_MIN),
            due: now,
            store: Store::new(data_root),
            why: String::new(),
        })
    }

    /// The board came up because it had not been fed.
    pub fn has_reset(&self) -> bool {
        self.device.has_reset()
    }

    /// How long until it is to be fed.
    pub fn delay(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }

    /// Feed it if it is due and all is well. Answers what has changed: why it is not fed, or empty
    /// words where it is fed again.
    pub fn tick(&mut self, now: Instant) -> Option<String> {
        if now < self.due {
            return None;
        }
        self.due = now + self.interval;
        let mut why = ill(&self.exec_root);
        // A disk that nobody works with can be as it likes (`state`).
        if why.is_empty() && !self.exec_root.join("data").exists() {
            why = self.store.look(now);
        }
        if why.is_empty()
            && let Err(error) = self.device.feed()
        {
            return self.news(error.to_string());
        }
        self.news(why)
    }

    fn news(&mut self, why: String) -> Option<String> {
        if self.why == why {
            return None;
        }
        self.why.clone_from(&why);
        Some(why)
    }

    /// Feed it without a look at anything: while containers are being stopped.
    pub fn feed(&mut self, now: Instant) {
        if now >= self.due {
            self.due = now + self.interval;
            let _ = self.device.feed();
        }
    }

    /// The board goes down. Before a reboot the time runs on, in case that hangs.
    pub fn end(self, is_reboot: bool) {
        if is_reboot {
            let _ = self.device.feed();
            // Closing it would be taken for our death by some devices, and for a stop by others.
            std::mem::forget(self.device);
        } else {
            let _ = self.device.stop();
        }
    }
}

/// The critical containers that are not well, in words.
fn ill(exec_root: &Path) -> String {
    let uptime = clock::since_boot().as_secs();
    let mut all = critical::all(exec_root);
    all.retain(|told| !told.is_well(uptime));
    let words = all.iter().map(|told| match told.word {
        critical::Word::Starting => format!("{} does not start", told.name),
        word => format!("{} is {}", told.name, word.text()),
    });
    words.collect::<Vec<String>>().join(", ")
}

/// Whether the data root takes what is written.
struct Store {
    dir: PathBuf,
    /// Its answer comes here.
    asked: Option<(OwnedFd, Instant)>,
    next: Option<Instant>,
    /// It has taken something since the boot.
    was_good: bool,
    why: String,
}

impl Store {
    fn new(dir: &Path) -> Store {
        Store {
            dir: dir.to_path_buf(),
            asked: None,
            next: None,
            was_good: false,
            why: String::new(),
        }
    }

    /// What is wrong with it, as far as one knows by now.
    fn look(&mut self, now: Instant) -> String {
        match &self.asked {
            None if self.next.is_none_or(|next| now >= next) => match ask(&self.dir) {
                Ok(answer) => self.asked = Some((answer, now)),
                Err(error) => self.why = error.to_string(),
            },
            None => {}
            Some((answer, since)) => {
                let mut byte = [0u8; 1];
                match stream::read(answer, &mut byte) {
                    Moved::Later if now < *since + STORE_TIMEOUT => {}
                    // Not a second child beside one that hangs.
                    Moved::Later => self.why = self.words("does not answer"),
                    Moved::Bytes(_) => self.answered(byte[0].into(), now),
                    // It was killed.
                    Moved::End => self.answered(Errno::INTR.raw_os_error(), now),
                }
            }
        }
        self.why.clone()
    }

    fn answered(&mut self, errno: i32, now: Instant) {
        self.asked = None;
        self.next = Some(now + STORE_INTERVAL);
        self.was_good |= errno == 0;
        let is_lasting = errno == Errno::ROFS.raw_os_error() && !self.was_good;
        let is_answer = ANSWERS.iter().any(|known| known.raw_os_error() == errno);
        self.why = match errno == 0 || is_answer || is_lasting {
            true => String::new(),
            false => {
                Error::system(format_args!("write to {}", self.dir.display()), errno).to_string()
            }
        };
    }

    fn words(&self, what: &str) -> String {
        format!("the disk of {} {what}", self.dir.display())
    }
}

/// Have a child write. Its answer is one byte: 0, or an errno.
fn ask(dir: &Path) -> Result<OwnedFd> {
    let (ours, theirs) = stream::pipe()?;
    stream::set_nonblocking(&ours)?;
    match namespace::fork_plain().map_err(|errno| failed("fork", "to try the store", errno))? {
        // Whoever reaps orphans reaps it.
        Forked::Parent { .. } => Ok(ours),
        Forked::Child => {
            let code = match write(dir) {
                Ok(()) => 0,
                Err(error) => error
                    .raw_os_error()
                    .and_then(|code| u8::try_from(code).ok())
                    .unwrap_or(u8::MAX),
            };
            let _ = File::from(theirs).write_all(&[code]);
            raw::exit(0)
        }
    }
}

/// In place, and only the bytes: of a few flash writes an hour one page each is as little as can be.
fn write(dir: &Path) -> std::io::Result<()> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join(FILE))?;
    file.write_all_at(&clock::since_boot().as_secs().to_ne_bytes(), 0)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    struct Board {
        dir: PathBuf,
        device: File,
        wanted: machine::Watchdog,
        watchdog: Watchdog,
    }

    impl Board {
        /// A device that is a FIFO.
        fn new(name: &str) -> Board {
            let dir =
                std::env::temp_dir().join(format!("tug-watchdog-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&dir).unwrap();
            let path = dir.join("watchdog");
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)
                .unwrap();
            let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
            let device = rustix::fs::open(&path, flags, mode).unwrap();
            let wanted = machine::Watchdog {
                device: Some(path.display().to_string()),
                timeout: Some(machine::Span(Duration::from_secs(30))),
                interval: None,
            };
            let watchdog = Watchdog::open(&wanted, &dir.join("data"), &dir.join("run")).unwrap();
            Board {
                dir,
                device: File::from(device),
                wanted,
                watchdog,
            }
        }

        /// What the device has been given since.
        fn eaten(&mut self) -> String {
            let mut bytes = [0u8; 64];
            let count = self.device.read(&mut bytes).unwrap_or(0);
            String::from_utf8_lossy(&bytes[..count]).into_owned()
        }
    }

    impl Drop for Board {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }

    #[test]
    fn it_is_fed_at_a_third_of_its_time_while_all_is_well() {
        let mut board = Board::new("fed");
        let start = board.watchdog.due;
        assert_eq!(board.watchdog.interval, Duration::from_secs(10));
        let after = |seconds| start + Duration::from_secs(seconds);
        // The store is another test's.
        board.watchdog.store.next = Some(after(3600));
        assert_eq!(board.watchdog.tick(after(0)), None);
        assert_eq!(board.watchdog.tick(after(9)), None);
        assert_eq!(board.eaten(), ".");
        assert_eq!(board.watchdog.tick(after(10)), None);
        assert_eq!(board.eaten(), ".");

        let run = board.dir.join("run");
        critical::is_down(&run, "abc", "web").unwrap();
        critical::is_down(&run, "def", "db").unwrap();
        let why = board.watchdog.tick(after(20));
        assert_eq!(why.as_deref(), Some("web is down, db is down"));
        assert_eq!(board.watchdog.tick(after(30)), None);
        assert_eq!(board.eaten(), "");
        critical::forget(&run, "abc");
        critical::forget(&run, "def");
        assert_eq!(board.watchdog.tick(after(40)).as_deref(), Some(""));
        assert_eq!(board.eaten(), ".");
        board.watchdog.feed(after(45));
        board.watchdog.feed(after(50));
        assert_eq!(board.eaten(), ".");
    }

    #[test]
    fn a_disk_that_hangs_or_fails_starves_it_and_a_full_one_does_not() {
        let mut board = Board::new("store");
        let start = board.watchdog.due;
        let after = |seconds| start + Duration::from_secs(seconds);
        // A child that says nothing, for the pipe stays open.
        let (ours, theirs) = stream::pipe().unwrap();
        stream::set_nonblocking(&ours).unwrap();
        board.watchdog.store.asked = Some((ours, start));
        assert_eq!(board.watchdog.tick(after(20)), None);
        let why = board.watchdog.tick(after(31)).unwrap();
        assert!(why.contains("does not answer"), "{why}");
        assert_eq!(board.eaten(), ".");
        // It was only slow.
        File::from(theirs).write_all(&[0]).unwrap();
        assert_eq!(board.watchdog.tick(after(41)).as_deref(), Some(""));
        assert_eq!(board.eaten(), ".");

        let store = &mut board.watchdog.store;
        for (errno, is_good) in [
            (Errno::NOSPC, true),
            (Errno::DQUOT, true),
            (Errno::IO, false),
            (Errno::ROFS, false),
        ] {
            store.answered(errno.raw_os_error(), start);
            assert_eq!(store.why.is_empty(), is_good, "{errno}");
        }
        // It was read-only from the beginning.
        let mut store = Store::new(&board.dir);
        store.answered(Errno::ROFS.raw_os_error(), start);
        assert_eq!(store.why, "");
    }

    #[test]
    fn it_is_stopped_for_a_power_off_alone() {
        let mut board = Board::new("end");
        for (is_reboot, expected) in [(true, "."), (false, "V")] {
            Watchdog::open(&board.wanted, &board.dir, &board.dir)
                .unwrap()
                .end(is_reboot);
            assert_eq!(board.eaten(), expected);
        }
    }

    #[test]
    fn the_store_is_written_in_place() {
        let dir = std::env::temp_dir().join(format!("tug-watchdog-write-{}", std::process::id()));
        assert!(write(&dir).is_err());
        std::fs::create_dir(&dir).unwrap();
        write(&dir).unwrap();
        write(&dir).unwrap();
        assert_eq!(std::fs::metadata(dir.join(FILE)).unwrap().len(), 8);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
