//! `list`: every container below a root.

use crate::error::{Error, Kind, Result};
use crate::log;
use crate::runtime::record::{self, Record};
use crate::runtime::state::{self, Status};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub struct Item {
    pub record: Record,
    pub status: Status,
    /// The user that made it.
    pub owner: u32,
}

/// One container.
pub fn find(root: &Path, id: &str) -> Result<Item> {
    let record = record::load(root, id)?;
    Ok(item(root, record))
}

fn item(root: &Path, record: Record) -> Item {
    let dir = std::fs::metadata(record::dir(root, &record.id));
    Item {
        status: state::status(root, &record),
        owner: dir.map_or(0, |data| data.uid()),
        record,
    }
}

/// Containers by id. A directory without a record is passed over: it may be a container that is
/// being made or removed just now. Of one with a record that cannot be read is warned, as it hides
/// no other.
pub fn list(root: &Path) -> Result<Vec<Item>> {
    let failed = |error| Error::io(format_args!("read {}", root.display()), &error);
    let entries = match std::fs::read_dir(root) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut items = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        match name.to_str().map(|id| record::load(root, id)) {
            Some(Ok(record)) => items.push(item(root, record)),
            Some(Err(error)) if error.kind != Kind::NotFound => {
                log::warn(format_args!("load container {}: {error}", name.display()));
            }
            _ => {}
        }
    }
    items.sort_unstable_by(|a, b| a.record.id.cmp(&b.record.id));
    Ok(items)
}
