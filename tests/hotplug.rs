//! Devices that come and go while a container runs: loop devices, which the kernel makes on demand.

use crate::harness::command::run;
use crate::harness::{Host, IMAGE, PATIENCE, cgroup2, eventually, skip};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, Protocol, SendFlags, SocketType, sendto, socket};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

// <linux/loop.h>
const LOOP_CTL_ADD: u32 = 0x4c80;
const LOOP_CTL_REMOVE: u32 = 0x4c81;

/// What `comes and goes` may take until the container sees it.
const SOON: Duration = Duration::from_secs(1);

/// A loop device of a number that nobody else has.
pub struct Loop(usize);

impl Loop {
    /// A number without a device.
    pub fn absent() -> Loop {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let number = 1000 + std::process::id() % 9000 * 10 + next;
        let loops = Loop(number as usize);
        assert!(!loops.sys().exists());
        loops
    }

    pub fn name(&self) -> String {
        format!("loop{}", self.0)
    }

    fn sys(&self) -> std::path::PathBuf {
        Path::new("/sys/block").join(self.name())
    }

    fn control(&self, request: u32) -> bool {
        let script = "open(D, '<', '/dev/loop-control') or die; ioctl(D, $ARGV[0] + 0, $ARGV[1] + 0) // die $!";
        let mut perl = Command::new("perl");
        perl.args(["-e", script, &request.to_string(), &self.0.to_string()]);
        run(perl, b"", PATIENCE).code == 0
    }

    pub fn add(&self) {
        assert!(self.control(LOOP_CTL_ADD));
    }

    pub fn remove(&self) {
        // udev, where there is one, may look at it still.
        eventually("the loop device goes", || self.control(LOOP_CTL_REMOVE));
    }

    /// As `--device-match` has it.
    pub fn wish(&self, more: &str) -> String {
        format!("subsystem=block,devname={}{more}", self.name())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let end = Instant::now() + SOON;
        while self.sys().exists() && !self.control(LOOP_CTL_REMOVE) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

pub fn has_loops(test: &str) -> bool {
    let has = Path::new("/dev/loop-control").exists() && cgroup2().is_some();
    if !has {
        skip(test, "no loop devices, or no cgroup v2");
    }
    has
}

pub fn soon(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < end, "{what} takes more than a second");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What a shell in the container says.
pub fn says(host: &Host, container: &str, script: &str) -> String {
    let output = host.tug(&["exec", container, "sh", "-c", script]);
    format!("{}{}", output.stdout, output.stderr)
        .trim()
        .to_string()
}

fn shim_log(host: &Host, container: &str) -> String {
    let id = host.inspect(container, "Id").replace('"', "");
    let path = host.exec_root().join(format!("containers/{id}/shim.log"));
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn a_device_comes_and_goes_in_a_container_that_asks_for_it() {
    if !has_loops("hotplug: comes and goes") {
        return;
    }
    let host = Host::with_image("hotplug-comes");
    let device = Loop::absent();
    let name = device.name();
    let wish = device.wish(",perm=rw,mode=0640");
    let sleep = [IMAGE, "sleep", "1000"];
    let mut own = vec!["run", "-d", "--name", "own", "--device-match", &wish];
    own.extend(sleep);
    host.ok(&own);
    let mut other = vec!["run", "-d", "--name", "other"];
    other.extend(sleep);
    host.ok(&other);

    let node = format!("stat -c '%F %t:%T %a' /dev/{name}; head -c 0 /dev/{name} && echo opened");
    let made = format!("mknod /made b 7 {}; head -c 0 /made", device.0);
    let number = format!("7:{:x}", device.0);
    for _ in 0..2 {
        assert_eq!(
            says(&host, "own", &format!("ls /dev/{name} 2>/dev/null")),
            ""
        );
        device.add();
        soon("the node", || {
            says(&host, "own", &node) == format!("block special file {number} 640\nopened")
        });
        assert!(says(&host, "other", &made).contains("Operation not permitted"));
        assert!(says(&host, "other", &format!("ls /dev/{name}")).contains("No such file"));

        device.remove();
        soon("its end", || {
            says(&host, "own", &format!("ls /dev/{name}")).contains("No such file")
        });
        assert!(
            says(&host, "own", &format!("rm -f /made; {made}")).contains("Operation not permitted")
        );
    }
    host.ok(&["rm", "-f", "own", "other"]);
}

#[test]
fn what_is_there_before_is_given_at_each_start() {
    if !has_loops("hotplug: before") {
        return;
    }
    let host = Host::with_image("hotplug-before");
    let device = Loop::absent();
    device.add();
    let name = device.name();
    let script = format!("[ -b /dev/{name} ] && head -c 0 /dev/{name} && echo here; exit 1");
    let (wish, any) = (
        device.wish(""),
        format!("devname={}*", &name[..name.len() - 1]),
    );
    host.ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "--restart",
        "on-failure:2",
        "--device-match",
        &wish,
        "--device-match",
        &any,
        IMAGE,
        "sh",
        "-c",
        &script,
    ]);
    host.ok(&["wait", "web"]);
    host.until_state("web", "exited");
    assert_eq!(host.ok(&["logs", "web"]), "here\nhere\nhere");
    device.remove();
    host.ok(&["start", "web"]);
    host.until_state("web", "exited");
    assert_eq!(host.ok(&["logs", "web"]), "here\nhere\nhere");
    host.ok(&["rm", "web"]);
}

#[test]
fn a_container_waits_for_its_device_with_and_without_an_engine() {
    if !has_loops("hotplug: waits") {
        return;
    }
    let mut host = Host::with_image("hotplug-waits");
    let device = Loop::absent();
    let wish = device.wish(",wait,on-remove=KILL");
    for name in ["one", "two"] {
        host.ok(&[
            "run",
            "-d",
            "--name",
            name,
            "--restart",
            "always",
            "--device-match",
            &wish,
            IMAGE,
            "sh",
            "-c",
            "echo here; exec sleep 1000",
        ]);
    }
    let status = |host: &Host, name: &str| {
        let filter = format!("name={name}");
        host.ok(&["ps", "-a", "--filter", &filter, "--format", "{{.Status}}"])
    };
    assert!(
        status(&host, "one").ends_with("(waiting for a device)"),
        "{}",
        status(&host, "one")
    );
    assert_eq!(host.inspect("one", "State.Status"), "\"running\"");
    let refused = host.tug(&["exec", "one", "true"]);
    assert!(refused.stdout.contains("waits for a device"), "{refused:?}");

    host.kill_engine();
    host.start_engine();
    assert!(
        status(&host, "one").ends_with("(waiting for a device)"),
        "{}",
        status(&host, "one")
    );
    host.ok(&["stop", "two"]);
    assert_eq!(status(&host, "two").split(' ').next(), Some("Exited"));
    assert_eq!(host.ok(&["logs", "one"]), "");

    // One that stands still cannot be let go.
    host.ok(&["pause", "one"]);
    device.add();
    eventually("it is seen", || shim_log(&host, "one").contains("is there"));
    assert_eq!(host.ok(&["logs", "one"]), "");
    host.ok(&["unpause", "one"]);
    soon("the program", || host.ok(&["logs", "one"]) == "here");
    soon("the status", || !status(&host, "one").contains("waiting"));
    assert_eq!(
        says(
            &host,
            "one",
            &format!("[ -b /dev/{} ] && echo yes", device.name())
        ),
        "yes"
    );

    // It goes, and so does the program: its policy starts it again, and that waits.
    device.remove();
    eventually("it waits again", || {
        status(&host, "one").ends_with("(waiting for a device)")
    });
    device.add();
    eventually("the program", || host.ok(&["logs", "one"]) == "here\nhere");
    host.ok(&["rm", "-f", "one", "two"]);
}

#[test]
fn what_a_container_has_under_the_name_is_left_alone() {
    if !has_loops("hotplug: names") {
        return;
    }
    let host = Host::with_image("hotplug-names");
    let device = Loop::absent();
    let name = device.name();
    let canary = host.write("canary", "sings");
    let wish = device.wish("");
    let bind = format!("{}:/canary", host.dir.join("canary").display());
    host.ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "-v",
        &bind,
        "--device-match",
        &wish,
        IMAGE,
        "sh",
        "-c",
        &format!("ln -s /canary /dev/{name}; exec sleep 1000"),
    ]);
    eventually("the link", || {
        says(&host, "web", &format!("readlink /dev/{name}")) == "/canary"
    });
    device.add();
    eventually("it is told", || {
        shim_log(&host, "web").contains("something else of this name")
    });
    device.remove();
    eventually("its end", || shim_log(&host, "web").contains("has gone"));
    assert_eq!(
        says(&host, "web", &format!("readlink /dev/{name}")),
        "/canary"
    );
    assert_eq!(std::fs::read_to_string(canary).unwrap(), "sings");

    // The host's own /dev is not ours to change.
    let wish = device.wish("");
    host.ok(&[
        "run",
        "-d",
        "--name",
        "bound",
        "-v",
        "/dev:/dev",
        "--device-match",
        &wish,
        IMAGE,
        "sleep",
        "1000",
    ]);
    device.add();
    soon("the right", || {
        says(
            &host,
            "bound",
            &format!("head -c 0 /dev/{name} && echo opened"),
        ) == "opened"
    });
    assert!(Path::new("/dev").join(&name).exists());
    host.ok(&["rm", "-f", "bound", "web"]);
}

/// A process that speaks to the shim's socket, as only root can.
#[test]
fn notices_that_are_not_the_kernels_are_not_heard() {
    if !has_loops("hotplug: forged") {
        return;
    }
    let host = Host::with_image("hotplug-forged");
    let (device, absent) = (Loop::absent(), Loop::absent());
    device.add();
    let wishes = [device.wish(""), absent.wish("")];
    host.ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "--device-match",
        &wishes[0],
        "--device-match",
        &wishes[1],
        IMAGE,
        "sleep",
        "1000",
    ]);
    let there = |device: &Loop| {
        says(
            &host,
            "web",
            &format!("[ -b /dev/{} ] && echo yes", device.name()),
        )
    };
    assert_eq!(
        (there(&device), there(&absent)),
        ("yes".into(), String::new())
    );

    let from = socket(
        AddressFamily::NETLINK,
        SocketType::RAW,
        Some(Protocol::from_raw(std::num::NonZero::new(15).unwrap())),
    )
    .unwrap();
    let to = SocketAddrNetlink::new(host.shim_pid("web").cast_unsigned(), 0);
    for (action, of) in [("remove", &device), ("add", &absent)] {
        let text = format!(
            "{action}@/devices/virtual/block/{0}\0ACTION={action}\0SUBSYSTEM=block\0MAJOR=7\0MINOR={1}\0DEVNAME={0}\0",
            of.name(),
            of.0
        );
        sendto(&from, text.as_bytes(), SendFlags::empty(), &to).unwrap();
    }
    // Real ones, that change nothing.
    for action in ["add", "change", "remove"] {
        std::fs::write(device.sys().join("uevent"), action).unwrap();
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(
        (there(&device), there(&absent)),
        ("yes".into(), String::new())
    );
    host.ok(&["rm", "-f", "web"]);
}

#[test]
fn requests_for_devices_that_make_no_sense_are_refused() {
    let host = Host::with_image("hotplug-refused");
    for (wish, expected) in [
        ("devnam=x", "invalid device match: unknown key \"devnam\""),
        ("wait", "invalid device match: it needs one of subsystem"),
        (
            "devname=x,wait,optional",
            "either optional or to be waited for",
        ),
        ("devname=x,perm=q", "invalid device match: perm=\"q\""),
        ("devname=x,on-remove=NOPE", "NOPE"),
    ] {
        let output = host.tug(&["create", "--device-match", wish, IMAGE]);
        assert_eq!(output.code, 1, "{wish}: {output:?}");
        assert!(output.stderr.contains(expected), "{wish}: {output:?}");
    }
    let output = host.tug(&["create", "--gpus", "all", IMAGE]);
    assert_eq!(
        output.stderr,
        "tug: Error response from daemon: could not select device driver \"\" with capabilities: [[gpu]]\n"
    );
}

/// A board's serial adapters have such names, and a link may be named as well.
#[test]
fn a_device_may_be_named_by_a_link() {
    let host = Host::with_image("hotplug-by-id");
    std::os::unix::fs::symlink("/dev/full", host.dir.join("usb-adapter")).unwrap();
    std::fs::create_dir(host.dir.join("nodes")).unwrap();
    let mut mknod = Command::new("mknod");
    mknod.arg(host.dir.join("nodes/zero")).args(["c", "1", "5"]);
    assert_eq!(run(mknod, b"", PATIENCE).code, 0);
    let link = format!(
        "{}:/dev/tty-of-board:rw",
        host.dir.join("usb-adapter").display()
    );
    let dir = format!("{}:/dev/nodes", host.dir.join("nodes").display());
    let output = host.ok(&[
        "run", "--rm", "--device", &link, "--device", &dir, IMAGE, "sh", "-c",
        "stat -c '%n %F %t:%T' /dev/tty-of-board /dev/nodes/zero; head -c 2 /dev/nodes/zero | wc -c",
    ]);
    assert_eq!(
        output,
        "/dev/tty-of-board character special file 1:7\n/dev/nodes/zero character special file 1:5\n2"
    );
    for (device, expected) in [
        (
            "/dev/nonexistent",
            "error gathering device information while adding custom device \"/dev/nonexistent\": no such file or directory",
        ),
        (
            "/etc/passwd",
            "error gathering device information while adding custom device \"/etc/passwd\": not a device node",
        ),
    ] {
        let output = host.tug(&["run", "--rm", "--device", device, IMAGE, "true"]);
        assert!(output.stderr.contains(expected), "{output:?}");
    }
}
