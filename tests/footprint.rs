//! Memory of an idle engine and of a sleeping container: what makes tug fit on a device.

use crate::harness::{Host, IMAGE, skip};

/// A process's proportional share of every page that it holds: summed over all processes, the
/// memory that they really take.
fn pss_kib(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.unwrap()
        .trim()
        .strip_suffix(" kB")
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

/// The engine and these shims, once they have had nothing to do for a while: asking the engine who
/// they are would be something to do.
fn total(host: &Host, shims: &[i32]) -> u64 {
    std::thread::sleep(std::time::Duration::from_millis(2500));
    let shims = shims.iter().map(|pid| pss_kib(*pid));
    pss_kib(host.engine_pid()) + shims.sum::<u64>()
}

#[test]
fn an_idle_engine_and_a_sleeping_container_are_small() {
    if std::env::var_os("TUG_BINARY").is_none() {
        return skip(
            "footprint",
            "TUG_BINARY names no release binary, and a debug build is large",
        );
    }
    // A binary of its own: the tests beside this one share the pages of theirs.
    let mut host = Host::without_engine("footprint");
    host.copy_binary();
    host.start_engine();
    host.import(IMAGE, &crate::harness::rootfs::busybox());
    for _ in 0..10 {
        assert_eq!(host.http("GET", "/_ping", "").status, 200);
    }
    let idle = total(&host, &[]);
    println!("idle engine: {idle} KiB PSS");
    assert!(
        idle <= 1536,
        "an idle engine takes {idle} KiB PSS; 1536 are allowed"
    );

    // They share the pages of the binary, so the more there are, the less each adds.
    let names: Vec<String> = (1..=10).map(|number| format!("sleeper-{number}")).collect();
    for name in &names {
        host.ok(&["run", "-d", "--name", name, IMAGE, "sleep", "1000"]);
    }
    let shims: Vec<i32> = names.iter().map(|name| host.shim_pid(name)).collect();
    let added = total(&host, &shims).saturating_sub(idle) / 10;
    println!("each of ten containers adds {added} KiB PSS");
    assert!(
        added <= 150,
        "each of ten containers adds {added} KiB PSS; 150 are allowed"
    );
}
