//! `spec`: a config.json to start from, the one that `runc spec` writes.

use crate::error::{Error, Kind, Result};
use lexopt::prelude::*;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

const CONFIG: &str = include_str!("config.json");

pub fn main(mut args: lexopt::Parser) -> Result<u8> {
    let mut bundle = PathBuf::from(".");
    while let Some(arg) = args.next()? {
        match arg {
            Short('b') | Long("bundle") => bundle = PathBuf::from(args.value()?),
            Short('h') | Long("help") => return Err(Error::new(Kind::Help, super::HELP)),
            other => return Err(other.unexpected().into()),
        }
    }
    let path = bundle.join("config.json");
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .and_then(|mut file| file.write_all(CONFIG.as_bytes()))
        .map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Error::conflict("File config.json exists. Remove it first"),
            _ => Error::io(format_args!("write {}", path.display()), &error),
        })?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_is_one_that_we_can_run() {
        let spec: crate::oci::spec::Spec = crate::json::parse(CONFIG, "config.json").unwrap();
        assert_eq!(spec.process.unwrap().args.unwrap(), ["sh"]);
        assert_eq!(spec.mounts.unwrap().len(), 7);
        assert_eq!(spec.linux.unwrap().namespaces.unwrap().len(), 6);
    }
}
