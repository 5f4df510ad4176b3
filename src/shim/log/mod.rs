//! A container's output on disk: Docker's json-file lines, a record a line.
//!
//! `{"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.6Z"}`. A line of output longer
//! than 16 KiB becomes several records, of which only the last ends in a newline. When `log.json`
//! has reached its size it is renamed to `log.json.1`, and the oldest goes.

pub mod file;
pub mod options;
pub mod reader;
pub mod record;
mod remote;
pub mod ring;
mod syslog;
pub mod writer;
