//! Networks of a test's own: a machine for its engine, LANs, neighbours. All of them are network
//! namespaces, which the machine that runs the tests sees nothing of and which end with the test.

use crate::harness::command::{Output, run};
use crate::harness::{PATIENCE, eventually};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A machine, as far as its network goes: a namespace, held by a process that sleeps in it. Nothing
/// is there but a loopback that is up.
pub struct Machine(Child);

impl Machine {
    pub fn new() -> Machine {
        let child = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up && exec sleep 10000"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let machine = Machine(child);
        let comm = format!("/proc/{}/comm", machine.0.id());
        eventually("a network namespace is there", || {
            std::fs::read_to_string(&comm).is_ok_and(|name| name == "sleep\n")
        });
        machine
    }

    /// The namespace, for who joins it.
    pub fn file(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    /// The beginning of a command line that becomes a command inside.
    pub fn enter(&self) -> Vec<String> {
        vec![
            String::from("nsenter"),
            format!("--net={}", self.file()),
            String::from("--"),
        ]
    }

    /// A command inside.
    pub fn command(&self, program: &str, args: &[&str]) -> Command {
        let enter = self.enter();
        let mut command = Command::new(&enter[0]);
        command.args(&enter[1..]).arg(program).args(args);
        command
    }

    /// Run a shell's script inside.
    pub fn try_sh(&self, script: &str) -> Output {
        run(self.command("sh", &["-ec", script]), b"", PATIENCE)
    }

    /// The same, which must succeed; what it printed.
    #[track_caller]
    pub fn sh(&self, script: &str) -> String {
        let output = self.try_sh(script);
        assert_eq!(output.code, 0, "{script}: {output:?}");
        output.stdout
    }

    /// Whether an answer comes to an echo request (ping(8)); a lost one is sent again.
    pub fn reaches(&self, address: &str) -> bool {
        let family = if address.contains(':') { "-6" } else { "-4" };
        let script = format!("ping {family} -n -c 3 -i 0.2 -W 1 {address} >&2");
        self.try_sh(&script).code == 0
    }

    /// Whether the kernel has such links upon others.
    pub fn knows(&self, kind: &str) -> bool {
        let other = Machine::new();
        other.sh("ip link add one type veth peer name two");
        other
            .try_sh(&format!("ip link add link one name three type {kind}"))
            .code
            == 0
    }

    /// The names of its links, sorted.
    pub fn links(&self) -> Vec<String> {
        let names = self.sh("ip -o link show");
        let mut names: Vec<String> = names
            .lines()
            .filter_map(|line| line.split(": ").nth(1))
            .map(|name| name.split('@').next().unwrap().to_string())
            .collect();
        names.sort();
        names
    }

    /// Everything that containers could leave: links, addresses, routes, rules. Two pictures are equal
    /// when nothing has been added or taken away between them.
    pub fn picture(&self) -> String {
        self.sh("ip -o link show | cut -d: -f2 | cut -d@ -f1; \
             ip -o addr show scope global | sed 's/ valid_lft.*//; s/^[0-9]*: //'; \
             ip -4 route show table all | sed 's/ linkdown//'; \
             ip -6 route show table all | sed 's/ linkdown//' | grep -v 'fe80:\\|ff00:' || true; \
             nft -s list ruleset 2>/dev/null || true")
    }

    /// The ends of containers' links; the kernel takes them away with the containers' namespaces, some
    /// time after the last process.
    pub fn ends(&self) -> Vec<String> {
        let is_end = |name: &String| {
            let digits = name.strip_prefix("tug").unwrap_or_default();
            digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        self.links().into_iter().filter(is_end).collect()
    }

    /// What of them is still there when it should have gone.
    pub fn left(&self) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let ends = self.ends();
            if ends.is_empty() || Instant::now() > deadline {
                return ends.iter().map(|name| format!("link {name}")).collect();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A switch that machines are plugged into.
pub struct Lan(Machine);

impl Lan {
    pub fn new() -> Lan {
        let switch = Machine::new();
        switch.sh("ip link add switch type bridge forward_delay 0 && ip link set switch up");
        Lan(switch)
    }

    /// The switch itself, for who listens to all that passes: its link is `switch`.
    pub fn switch(&self) -> &Machine {
        &self.0
    }

    /// Give `machine` a link `name` in this LAN, with these addresses.
    pub fn plug(&self, machine: &Machine, name: &str, addresses: &[&str]) {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let port = format!("port{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.0.sh(&format!(
            "ip link add {port} master switch type veth peer name {name} netns {pid}; \
             ip link set {port} up",
            pid = machine.0.id()
        ));
        machine.sh(&format!("ip link set {name} up"));
        for address in addresses {
            let nodad = if address.contains(':') { "nodad" } else { "" };
            machine.sh(&format!("ip addr add {address} dev {name} {nodad}"));
        }
    }

    /// Another machine in this LAN, whose link is `eth0`.
    pub fn neighbour(&self, addresses: &[&str]) -> Machine {
        let machine = Machine::new();
        self.plug(&machine, "eth0", addresses);
        machine
    }
}

#[test]
fn machines_of_one_lan_reach_each_other_and_no_others() {
    let (lan, other) = (Lan::new(), Lan::new());
    let machine = Machine::new();
    let before = machine.picture();
    lan.plug(&machine, "eth0", &["192.0.2.1/24", "2001:db8::1/64"]);
    assert_ne!(machine.picture(), before);
    let near = lan.neighbour(&["192.0.2.2/24", "2001:db8::2/64"]);
    let far = other.neighbour(&["192.0.2.3/24"]);
    assert!(machine.reaches("192.0.2.2") && near.reaches("2001:db8::1"));
    assert!(!far.reaches("192.0.2.1"));
    assert_eq!(machine.links(), ["eth0", "lo"]);
    assert_eq!(machine.ends(), Vec::<String>::new());
    machine.sh("ip link del eth0");
    assert_eq!(machine.picture(), before);
}
