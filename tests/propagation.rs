//! What a container's mounts and those of its maker show each other.

use crate::harness::PATIENCE;
use crate::harness::bundle::Bundle;
use crate::harness::command::{Output, run};
use crate::harness::mounts::{all_capabilities, bundle, mount, set_mounts};
use std::process::Command;

/// What the test's own mount namespace and the container show each other.
fn propagated(bundle: &Bundle, before: &str, during: &str) -> Output {
    // The host of a system that systemd started: everything is shared.
    let script = format!(
        "points() {{ cut -d' ' -f5 /proc/self/mountinfo | sort; }}\n\
         mount --make-rshared /\n{before}\npoints >before\n\
         \"$@\" run --detach \"$ID\" >out 2>&1 || {{ cat out; exit 1; }}\n\
         points | diff before -\n{during}\n\
         \"$@\" delete --force \"$ID\""
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", &script, "sh"]);
    let runtime = bundle.command(&[]);
    command.arg(runtime.get_program()).args(runtime.get_args());
    command.env("ID", &bundle.id).current_dir(&bundle.dir);
    run(command, b"", PATIENCE)
}

#[test]
fn mounts_propagate_as_asked() {
    let bundle = bundle("mount-propagation", &[], "sleep 1000");
    all_capabilities(&bundle, "CAP_SYS_ADMIN");
    bundle.host.make_dir("bundle/data");
    let before = "mount -t tmpfs data data && mount --make-shared data && mkdir data/in data/out";
    let during = "mount -t tmpfs in data/in; \
        \"$@\" exec \"$ID\" mount -t tmpfs out /data/out; \
        \"$@\" exec \"$ID\" grep -c ' /data/in ' /proc/self/mountinfo; \
        grep -c ' .*/data/out ' /proc/self/mountinfo";
    for (root, volume, text) in [
        ("shared", "rbind rshared", "1\n1\n"),
        ("shared", "rbind rslave", "1\n0\n"),
        ("shared", "rbind rprivate", "0\n0\n"),
        ("slave", "rbind rslave", "1\n0\n"),
        ("rslave", "rbind rslave slave shared", "1\n0\n"),
        ("", "rbind rprivate", "0\n0\n"),
        ("private", "rbind rprivate", "0\n0\n"),
        ("rprivate", "rbind rslave", "0\n0\n"),
        ("unbindable", "rbind runbindable", "0\n0\n"),
    ] {
        bundle.set("linux.rootfsPropagation", &format!("{root:?}"));
        set_mounts(&bundle, &[mount("/data", "bind", "data", volume)]);
        let output = propagated(&bundle, before, during);
        assert_eq!(
            (output.stdout.as_str(), output.stderr.as_str()),
            (text, ""),
            "{root} {volume}"
        );
    }
    bundle.set("linux.rootfsPropagation", r#""sideways""#);
    bundle.refuses("rootfsPropagation=sideways is not supported");
}

#[test]
fn the_root_itself_propagates_as_asked() {
    let bundle = bundle("mount-root-propagation", &[], "sleep 1000");
    let before = "mount --bind rootfs rootfs && mount --make-shared rootfs && mkdir -p rootfs/late";
    let during = "\"$@\" exec \"$ID\" grep ' / / \\| /bundle/rootfs / \\|/rootfs / ' /proc/self/mountinfo \
        | head -1 | sed 's/ - .*//;s/[0-9]//g' | cut -d' ' -f7-; \
        mount -t tmpfs late rootfs/late; \"$@\" exec \"$ID\" grep -c ' /late ' /proc/self/mountinfo; \
        grep -c 'rootfs/proc' /proc/self/mountinfo";
    for (root, text) in [
        ("", "\n0\n0\n"),
        ("private", "\n0\n0\n"),
        ("shared", "shared:\n0\n0\n"),
        ("rshared", "shared:\n0\n0\n"),
        ("slave", "master:\n1\n0\n"),
        ("unbindable", "unbindable\n0\n0\n"),
    ] {
        bundle.set("linux.rootfsPropagation", &format!("{root:?}"));
        let output = propagated(&bundle, before, during);
        let said: String = output
            .stdout
            .lines()
            .map(|line| format!("{}\n", line.trim()))
            .collect();
        assert_eq!(
            (said.as_str(), output.stderr.as_str()),
            (text, ""),
            "{root}"
        );
    }
}
