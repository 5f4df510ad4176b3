//! Nothing grows: not descriptors, threads, files, nor processes.

use crate::harness::{Host, IMAGE, eventually, rounds};
use std::path::Path;

fn entries(path: &str) -> usize {
    std::fs::read_dir(path).map_or(0, Iterator::count)
}

/// Files and directories below `dir`.
fn count_below(dir: &Path) -> usize {
    std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| {
            let is_dir = entry.file_type().unwrap().is_dir();
            1 + if is_dir {
                count_below(&entry.path())
            } else {
                0
            }
        })
        .sum()
}

/// One turn of everything that opens something.
fn cycle(host: &Host, round: usize) {
    let name = format!("cycle-{round}");
    host.ok(&["run", "-d", "--name", &name, IMAGE, "sleep", "1000"]);
    host.ok(&["exec", &name, "true"]);
    host.ok(&["logs", &name]);
    host.ok(&["rm", "-f", &name]);
    host.ok(&["run", "--rm", IMAGE, "true"]);
    assert_eq!(host.tug(&["run", "--rm", IMAGE, "nosuch"]).code, 127);
}

#[test]
fn a_hundred_cycles_leave_the_engine_as_it_was() {
    let host = Host::with_image("leak");
    let pid = host.engine_pid();
    let fds = || entries(&format!("/proc/{pid}/fd"));
    let threads = || entries(&format!("/proc/{pid}/task"));
    let files = || count_below(&host.data_root()) + count_below(&host.exec_root());
    cycle(&host, 0);
    let mut before = (0, 0, 0);
    // The last connection's thread ends a moment after its client.
    eventually("the engine is at rest", || {
        let now = (fds(), threads(), files());
        std::mem::replace(&mut before, now) == now
    });
    for round in 1..=rounds(100, 10_000) {
        cycle(&host, round);
    }
    eventually(
        &format!("descriptors, threads and files are {before:?} again"),
        || (fds(), threads(), files()) == before,
    );
}
