//! `tug ctr logs`: what a container has printed, from the file that its shim writes.

use super::Ctr;
use crate::applets::client::options::{Flag, Options, flag};
use crate::applets::client::print;
use crate::error::{Error, Result};
use crate::shim::client;
use crate::shim::log::reader::{Reader, Select};
use crate::shim::log::ring;
use crate::sys::notify::Changes;
use crate::sys::poll;
use crate::wire::stdcopy::Stream;
use rustix::event::PollFlags;
use std::os::fd::AsFd;
use std::time::Duration;

pub const FLAGS: &[Flag] = &[
    flag("-f, --follow", "Go on until the container has ended"),
    flag("--tail string", "So many of the last lines (default all)"),
    flag("-t, --timestamps", "With the time of each line"),
];

/// Whether a shim that has not answered by then is still there is looked at so often.
const LOOK: Duration = Duration::from_millis(200);

pub fn logs(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let id = ctr.find(&options.args[0])?;
    let dir = ctr.data_dir(&id);
    let path = ["log.json", "log.local"]
        .map(|name| dir.join(name))
        .into_iter()
        .find(|path| path.exists());
    let run_dir = ctr.run_dir(&id);
    let shim = client::connect(&run_dir).ok();
    let in_memory = shim.and_then(|shim| ring::seen_from_outside(shim.pid(), &run_dir));
    let (live, older) = match (in_memory, path) {
        (Some(ring), path) => (ring, path),
        (None, Some(path)) => (path, None),
        (None, None) => {
            return Err(Error::not_found(format!("container {id} has no log here")));
        }
    };
    let tail = match options.get("tail") {
        None | Some("all") => None,
        Some(_) => options
            .integer("tail")?
            .and_then(|count| u64::try_from(count).ok()),
    };
    let select = Select {
        stdout: true,
        stderr: true,
        tail,
        ..Select::default()
    };
    let changes = Changes::of_dir(live.parent().unwrap_or(&dir))?;
    let mut reader = Reader::open_both(&live, older.as_deref(), select)?;
    loop {
        changes.clear();
        // Ask first, then read to the end: nothing of the end is missed.
        let is_live = options.is("follow") && client::connect(&ctr.run_dir(&id)).is_ok();
        while let Some(line) = reader.next()? {
            let mut text = line.text;
            if options.is("timestamps") {
                text.splice(0..0, format!("{} ", line.time).into_bytes());
            }
            match line.stream {
                Stream::Stderr => print::err(text)?,
                _ => print::out(text)?,
            }
        }
        if !is_live {
            return Ok(0);
        }
        poll::wait(&[(changes.as_fd(), PollFlags::IN)], Some(LOOK))?;
    }
}
