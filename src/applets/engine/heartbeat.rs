//! Signs of life for the service manager: `WATCHDOG=1` (sd_notify(3)) twice in the time that it gives
//! (`WatchdogSec=`), each after a true self-test.
//!
//! The test is a request, through the loop that serves and a thread like any other; then the locks that
//! every request needs, and a file of the data root opened for writing. One thread does one after the
//! other and waits for each: what hangs there hangs it too, and it says nothing more. An engine that is
//! busy, even with as many requests as it takes, answers and is alive.

use crate::api;
use crate::engine::{Engine, watch};
use crate::error::{Error, Kind, Result};
use crate::http::lobby::Door;
use crate::sys::{service, socket, thread};
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// In the data root.
const FILE: &str = "alive";

const REQUEST: &[u8] = b"GET /_ping HTTP/1.1\r\nHost: tug\r\nConnection: close\r\n\r\n";

/// How long the end of a request may take to be counted.
const SETTLING: Duration = Duration::from_millis(100);

static IS_TESTING: AtomicBool = AtomicBool::new(false);

/// Whether there is a request of ours, which keeps no idle engine from leaving.
pub fn is_testing() -> bool {
    IS_TESTING.load(Ordering::Acquire)
}

/// Begin, if somebody listens.
pub fn start(engine: &Arc<Engine>, door: &Arc<Door>) -> Result<()> {
    let Some(time) = service::watchdog_time() else {
        return Ok(());
    };
    let (engine, door) = (Arc::clone(engine), Arc::clone(door));
    let beat = move || {
        let mut last = String::new();
        loop {
            match test(&engine, &door) {
                Ok(()) => {
                    service::notify("WATCHDOG=1");
                    last.clear();
                }
                Err(error) => {
                    let told = error.to_string();
                    if told != last {
                        crate::log::line("tugd", format_args!("self-test: {told}"));
                    }
                    last = told;
                }
            }
            std::thread::sleep(time / 2);
        }
    };
    thread::spawn("heartbeat", watch::STACK_BYTES, Box::new(beat)).map(drop)
}

fn test(engine: &Engine, door: &Door) -> Result<()> {
    IS_TESTING.store(true, Ordering::Release);
    let answered = ping(door);
    std::thread::sleep(SETTLING);
    IS_TESTING.store(false, Ordering::Release);
    answered?;
    for container in engine.containers() {
        drop(container.lock());
    }
    let path = engine.options.data_root.join(FILE);
    let opened = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    match opened {
        Err(error) if !is_full(&error) => {
            Err(Error::io(format_args!("open {}", path.display()), &error))
        }
        _ => Ok(()),
    }
}

/// Starting anew makes no room.
fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// To the end of the answer, which is the end of the request.
fn ping(door: &Door) -> Result<()> {
    let (ours, theirs) = socket::pair()?;
    socket::send(&ours, REQUEST, &[])?;
    door.enter(api::connection(theirs));
    let mut answer = Vec::new();
    File::from(ours)
        .read_to_end(&mut answer)
        .map_err(|e| Error::io("read answer to _ping", &e))?;
    match answer.starts_with(b"HTTP/1.1 ") {
        true => Ok(()),
        false => Err(Error::new(Kind::System, "no answer to _ping")),
    }
}
