//! How a critical container is, for whom feeds the watchdog: `<exec-root>/critical/<container id>`.
//!
//! ```text
//!   starting          one of WORDS
//!   web               the container's name
//!   1234              of `starting`: until when, in seconds since the boot; 0 is for ever
//! ```
//!
//! The shim replaces the file whole when something has changed, and only then, and holds a lock on
//! it: a file without a lock is a dead shim's, and means `down`. What the user stops or removes, and
//! what ends with the host, has no file.

use crate::error::{Context, Result};
use crate::log;
use crate::shim::health::Health;
use crate::shim::serve::{Supervisor, WHO};
use crate::store::staging;
use crate::sys::{clock, fs};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// In the exec root.
pub const DIR: &str = "critical";

/// A program without a health check that has ended by itself is trusted again after so long; as with
/// restart policies.
const GOOD_RUN: Duration = Duration::from_secs(10);

/// How long a container may take to get well again once it has ended.
const GRACE_SECONDS: u64 = 60;

/// How one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Starting,
    Healthy,
    Running,
    Unhealthy,
    Down,
}

const WORDS: [(&str, Word); 5] = [
    ("starting", Word::Starting),
    ("healthy", Word::Healthy),
    ("running", Word::Running),
    ("unhealthy", Word::Unhealthy),
    ("down", Word::Down),
];

impl Word {
    pub fn text(self) -> &'static str {
        let known = WORDS.iter().find(|(_, word)| *word == self);
        known.map_or("", |(text, _)| text)
    }
}

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub word: Word,
    pub name: String,
    /// Seconds since the boot; 0 is for ever.
    pub until: u64,
}

impl Told {
    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.word.text(), self.name, self.until)
    }

    fn parse(text: &str) -> Option<Told> {
        let mut lines = text.lines();
        let word = lines.next()?;
        Some(Told {
            word: WORDS.iter().find(|(known, _)| *known == word)?.1,
            name: lines.next()?.to_string(),
            until: lines.next()?.parse().ok()?,
        })
    }

    /// Whether the board is to go on with it.
    pub fn is_well(&self, uptime_seconds: u64) -> bool {
        match self.word {
            Word::Healthy | Word::Running => true,
            Word::Starting => self.until == 0 || uptime_seconds < self.until,
            Word::Unhealthy | Word::Down => false,
        }
    }
}

/// Every critical container of an exec root.
pub fn all(exec_root: &Path) -> Vec<Told> {
    let dir = exec_root.join(DIR);
    let names = staging::names(&dir).unwrap_or_default();
    let files = names.iter().filter(|name| !staging::is_temporary(name));
    files.filter_map(|name| read(&dir.join(name))).collect()
}

fn read(path: &Path) -> Option<Told> {
    loop {
        let file = File::open(path).ok()?;
        let text = std::io::read_to_string(&file).ok()?;
        // What cannot be read is no reason to be calm.
        let mut told = Told::parse(&text).unwrap_or_else(|| Told {
            word: Word::Down,
            name: path.display().to_string(),
            until: 0,
        });
        if !fs::try_lock_shared(&file, path).unwrap_or(true) {
            return Some(told);
        }
        // Nobody holds it: it is a dead shim's, or it has just been replaced.
        if std::fs::metadata(path).ok()?.ino() == file.metadata().ok()?.ino() {
            told.word = Word::Down;
            return Some(told);
        }
    }
}

/// The user does not want it up.
pub fn forget(exec_root: &Path, id: &str) {
    let path = exec_root.join(DIR).join(id);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            log::line(WHO, format_args!("remove {}: {error}", path.display()));
        }
        _ => {}
    }
}

/// It should be up, and no shim could be started for it.
pub fn is_down(exec_root: &Path, id: &str, name: &str) -> Result<()> {
    let told = Told {
        word: Word::Down,
        name: name.to_string(),
        until: 0,
    };
    write(&exec_root.join(DIR), id, &told).map(drop)
}

/// The file is the answer's as long as that lives.
fn write(dir: &Path, id: &str, told: &Told) -> Result<File> {
    staging::make_dir(dir)?;
    let path = dir.join(id);
    let temporary = dir.join(format!(".{id}.new"));
    fs::write_private(&temporary, told.text().as_bytes())?;
    let file = fs::open_file(&temporary)
        .map_err(|errno| crate::sys::failed("open", temporary.display(), errno))?;
    let file = File::from(file);
    fs::try_lock(&file, &temporary)?;
    fs::rename(&temporary, &path)?;
    Ok(file)
}

/// The file of a shim's container.
pub struct Critical {
    dir: PathBuf,
    id: String,
    told: Told,
    /// Its lock.
    file: Option<File>,
    /// It has ended by itself: until when it has to be well again.
    trouble: u64,
    /// When it will have been up for long enough.
    trusted: Option<Instant>,
    /// The end of the host, or the user's will.
    is_over: bool,
}

impl Critical {
    pub fn new(run_dir: &Path, id: &str, name: &str) -> Critical {
        // The run directory is two below the root.
        let root = run_dir.ancestors().nth(2).unwrap_or(run_dir);
        let told = Told {
            word: Word::Down,
            name: name.to_string(),
            until: 0,
        };
        let mut critical = Critical {
            dir: root.join(DIR),
            id: id.to_string(),
            told,
            file: None,
            trouble: 0,
            trusted: None,
            is_over: false,
        };
        critical.tell(
            Word::Starting,
            clock::since_boot().as_secs() + GRACE_SECONDS,
        );
        critical
    }

    fn tell(&mut self, word: Word, until: u64) {
        if self.is_over
            || (self.file.is_some() && self.told.word == word && self.told.until == until)
        {
            return;
        }
        self.told.word = word;
        self.told.until = until;
        let written = write(&self.dir, &self.id, &self.told);
        match written.context(|| "tell how a critical container is") {
            Ok(file) => self.file = Some(file),
            // The old one stands, and says something else: without its lock it says `down`.
            Err(error) => {
                log::line(WHO, error);
                self.file = None;
            }
        }
    }

    /// The program waits for a device, which is no illness.
    pub fn held(&mut self) {
        self.tell(Word::Starting, 0);
    }

    /// The program has been started.
    pub fn started(&mut self, health: Option<&Health>, now: Instant) {
        let uptime = clock::since_boot().as_secs();
        match health {
            Some(health) => {
                let until = match self.trouble {
                    0 => uptime + health.patience().as_secs() + GRACE_SECONDS,
                    until => until,
                };
                self.tell(Word::Starting, until);
            }
            None if self.trouble == 0 => self.tell(Word::Running, 0),
            None => self.trusted = Some(now + GOOD_RUN),
        }
    }

    pub fn checked(&mut self, is_healthy: bool) {
        match is_healthy {
            true => {
                self.trouble = 0;
                self.tell(Word::Healthy, 0);
            }
            false => self.tell(Word::Unhealthy, 0),
        }
    }

    /// The program has ended, and will be started again.
    pub fn resting(&mut self) {
        self.trusted = None;
        if self.trouble == 0 {
            self.trouble = clock::since_boot().as_secs() + GRACE_SECONDS;
        }
        self.tell(Word::Starting, self.trouble);
    }

    /// There will be no other run; `is_meant`: somebody wanted it so.
    pub fn ended(&mut self, is_meant: bool) {
        if is_meant {
            forget(self.dir.parent().unwrap_or(&self.dir), &self.id);
        } else {
            self.tell(Word::Down, 0);
        }
        self.is_over = true;
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.trusted
    }

    pub fn tend(&mut self, now: Instant) {
        if self.trusted.take_if(|at| now >= *at).is_some() {
            self.trouble = 0;
            self.tell(Word::Running, 0);
        }
    }
}

impl Supervisor {
    pub fn tell_critical(&mut self, tell: impl FnOnce(&mut Critical)) {
        if let Some(critical) = &mut self.critical {
            tell(critical);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(word: Word, until: u64) -> Told {
        Told {
            word,
            name: "web".to_string(),
            until,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for one in [told(Word::Starting, 77), told(Word::Unhealthy, 0)] {
            assert_eq!(Told::parse(&one.text()), Some(one));
        }
        for text in [
            "",
            "fine\nweb\n0\n",
            "healthy\n",
            "healthy\nweb\n",
            "starting\nweb\nx\n",
        ] {
            assert_eq!(Told::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_start_that_takes_too_long_is_no_start() {
        for (word, until, is_well) in [
            (Word::Starting, 101, true),
            (Word::Starting, 100, false),
            (Word::Starting, 0, true),
            (Word::Healthy, 0, true),
            (Word::Running, 0, true),
            (Word::Unhealthy, 0, false),
            (Word::Down, 0, false),
        ] {
            assert_eq!(told(word, until).is_well(100), is_well, "{word:?} {until}");
        }
    }

    #[test]
    fn a_file_without_a_shim_is_down() {
        let root = std::env::temp_dir().join(format!("tug-critical-{}", std::process::id()));
        let run_dir = root.join("containers/abc");
        std::fs::create_dir_all(&run_dir).unwrap();
        let mut critical = Critical::new(&run_dir, "abc", "web");
        let now = Instant::now();
        critical.started(None, now);
        assert_eq!(all(&root), [told(Word::Running, 0)]);
        critical.resting();
        let first = all(&root).remove(0);
        assert_eq!(first.word, Word::Starting);
        // Again and again: the time does not begin anew.
        critical.started(None, now);
        critical.tend(now);
        critical.resting();
        assert_eq!(all(&root), [first]);
        critical.started(None, now);
        critical.tend(now + GOOD_RUN);
        assert_eq!(all(&root), [told(Word::Running, 0)]);

        drop(critical);
        assert_eq!(all(&root), [told(Word::Down, 0)]);
        let mut critical = Critical::new(&run_dir, "abc", "web");
        critical.checked(true);
        assert_eq!(all(&root), [told(Word::Healthy, 0)]);
        std::fs::write(root.join("critical/def"), "garbage").unwrap();
        assert_eq!(all(&root)[1].word, Word::Down);
        forget(&root, "def");
        critical.ended(true);
        critical.checked(false);
        assert_eq!(all(&root), []);
        std::fs::remove_dir_all(&root).unwrap();
    }
}
