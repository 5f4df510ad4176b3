//! `list`: every container below a root.

use crate::error::{Error, Result};
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

/// Containers by id. A directory without a readable record is passed over: it may be a container
/// that is being made or removed just now.
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
        let Some(Ok(record)) = name.to_str().map(|id| record::load(root, id)) else {
            continue;
        };
        items.push(item(root, record));
    }
    items.sort_by(|a, b| a.record.id.cmp(&b.record.id));
    Ok(items)
}
