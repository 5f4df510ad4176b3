//! `--log`: logrus' lines, from which engines read why a command has failed.

use crate::error::{Error, Kind, Result};
use crate::json::node::quote;
use crate::time::Time;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Default)]
pub struct Log {
    pub file: Option<PathBuf>,
    pub is_json: bool,
    /// `--debug`.
    pub is_verbose: bool,
}

impl Log {
    /// Refuse a file that can't be written before anything is done, and have the warnings there.
    pub fn begin(&self) -> Result<()> {
        let Some(path) = &self.file else {
            return Ok(());
        };
        self.open(path)
            .map_err(|error| Error::io(format_args!("open {}", path.display()), &error))?;
        let log = self.clone();
        crate::log::divert(Box::new(move |message| log.warn(message)));
        Ok(())
    }

    fn open(&self, path: &Path) -> std::io::Result<File> {
        OpenOptions::new().append(true).create(true).open(path)
    }

    /// containerd, CRI-O and Podman read the last line of level error.
    pub fn error(&self, error: &Error) {
        if self.file.is_some() && error.kind != Kind::Help {
            self.write("error", &error.message);
        }
    }

    /// Goes to standard error where there is no file.
    pub fn debug(&self, message: &str) {
        if self.is_verbose {
            self.write("debug", message);
        }
    }

    pub fn warn(&self, message: &str) {
        self.write("warning", message);
    }

    fn write(&self, level: &str, message: &str) {
        let now = Time {
            nanos: 0,
            ..Time::now()
        };
        let now = now.rfc3339();
        let message = quote(message);
        let line = match self.is_json {
            true => {
                format!("{{\"level\":\"{level}\",\"msg\":{message},\"time\":\"{now}\"}}\n")
            }
            false => format!("time=\"{now}\" level={level} msg={message}\n"),
        };
        // The failure itself goes to standard error whatever happens here.
        let _ = match &self.file {
            None => std::io::stderr().write_all(line.as_bytes()),
            Some(path) => self
                .open(path)
                .and_then(|mut file| file.write_all(line.as_bytes())),
        };
    }
}
