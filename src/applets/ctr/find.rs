//! Which containers there are, by their directories.

use super::Ctr;
use crate::engine::record::{self, Asked, Happened};
use crate::error::{Error, Result};
use crate::id;
use crate::store::staging;
use std::path::Path;

impl Ctr {
    /// Those that have a record; one that can't be read is among them.
    pub fn recorded(&self) -> Result<Vec<String>> {
        ids(&self.data_root.join("containers"))
    }

    /// Those that have run in this boot.
    pub fn run(&self) -> Result<Vec<String>> {
        ids(&self.exec_root.join("containers"))
    }

    pub fn asked(&self, id: &str) -> Option<Asked> {
        record::load_asked(&self.data_dir(id)).ok().flatten()
    }

    pub fn happened(&self, id: &str) -> Happened {
        record::load_happened(&self.data_dir(id)).unwrap_or_default()
    }

    pub fn name(&self, id: &str) -> String {
        let first = || self.asked(id).and_then(|asked| asked.name);
        self.happened(id).name.or_else(first).unwrap_or_default()
    }

    /// The id that `name` means: an id, the beginning of one, or a name.
    pub fn find(&self, name: &str) -> Result<String> {
        let mut all = self.recorded()?;
        all.extend(self.run()?);
        all.sort_unstable();
        all.dedup();
        if let Some(id) = all.iter().find(|id| self.name(id) == name) {
            return Ok(id.clone());
        }
        let mut matches = all
            .iter()
            .filter(|id| !name.is_empty() && id.starts_with(name));
        match (matches.next(), matches.next()) {
            (Some(id), None) => Ok(id.clone()),
            (Some(_), Some(_)) => Err(Error::invalid(format!(
                "multiple IDs found with provided prefix: {name}"
            ))),
            _ => Err(Error::not_found(format!("No such container: {name}"))),
        }
    }
}

/// The containers that have a directory in `dir`; none if there is no such directory.
fn ids(dir: &Path) -> Result<Vec<String>> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let mut names = staging::names(dir)?;
    names.retain(|name| id::is_full(name));
    names.sort_unstable();
    Ok(names)
}
