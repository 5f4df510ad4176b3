//! Whether the host has been down since an engine ran last.
//!
//! The exec root is true for one boot only, but it need not lie in memory. `boot_id` in it says
//! whose it is, and whether the containers that a boot starts have been started:
//!
//! ```text
//!   (none, or another boot's)  ->  "ID starting"  ->  "ID"
//! ```

use crate::error::{Error, Result};
use crate::shim::critical;
use crate::store::{staging, tree};
use std::path::{Path, PathBuf};

const FILE: &str = "boot_id";

/// Behind the id while containers are being started.
const STARTING: &str = " starting";

/// What of the exec root belongs to a boot: directories of containers, of runtimes' states, and how
/// critical containers are.
const STALE: [&str; 4] = ["containers", "runtime", "runtimes", critical::DIR];

pub struct Boot {
    path: PathBuf,
    id: String,
    /// What is in the exec root is an earlier boot's.
    pub is_new: bool,
    /// The containers that a boot starts are still to be started.
    pub is_starting: bool,
}

impl Boot {
    pub fn of(exec_root: &Path) -> Result<Boot> {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map_err(|e| Error::io("read boot_id", &e))?;
        let id = id.trim().to_string();
        let path = exec_root.join(FILE);
        let noted = std::fs::read_to_string(&path).unwrap_or_default();
        // Without a note there is nothing yet, or somebody has taken it away from under us.
        let is_empty = staging::names(&exec_root.join("containers")).is_ok_and(|n| n.is_empty());
        let is_new = match noted.is_empty() {
            true => is_empty,
            false => noted.trim_end_matches(STARTING) != id,
        };
        Ok(Boot {
            path,
            id,
            is_new,
            is_starting: is_new || noted.ends_with(STARTING),
        })
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// Remove what an earlier boot has left: nothing of it is mounted or runs, and its process ids
    /// are others' by now.
    pub fn begin(&self) -> Result<()> {
        let exec_root = self.path.parent().unwrap_or(Path::new("/"));
        for name in STALE {
            tree::remove(&exec_root.join(name))?;
            staging::make_dir(&exec_root.join(name))?;
        }
        self.note(STARTING)
    }

    /// The next start of an engine is like one after a boot: it starts what policies want up.
    pub fn again(&self) -> Result<()> {
        self.note(STARTING)
    }

    pub fn done(&self) -> Result<()> {
        self.note("")
    }

    fn note(&self, suffix: &str) -> Result<()> {
        std::fs::write(&self.path, format!("{}{suffix}", self.id))
            .map_err(|e| Error::io(format_args!("write {}", self.path.display()), &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_told_from_a_restart_of_the_engine() {
        let dir = std::env::temp_dir().join(format!("tug-boot-{}", std::process::id()));
        let run = dir.join("containers/abc");
        std::fs::create_dir_all(dir.join("containers")).unwrap();
        let seen = || {
            let boot = Boot::of(&dir).unwrap();
            (boot.is_new, boot.is_starting)
        };
        assert_eq!(seen(), (true, true));
        Boot::of(&dir).unwrap().begin().unwrap();
        std::fs::create_dir_all(&run).unwrap();
        // The engine died before it had started all.
        assert_eq!(seen(), (false, true));
        Boot::of(&dir).unwrap().done().unwrap();
        assert_eq!(seen(), (false, false));

        // Containers may run although the note is gone.
        std::fs::remove_file(dir.join(FILE)).unwrap();
        assert_eq!(seen(), (false, false));

        std::fs::write(dir.join(FILE), "of-another-boot").unwrap();
        assert_eq!(seen(), (true, true));
        Boot::of(&dir).unwrap().begin().unwrap();
        assert!(!run.exists());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
