use super::*;
use crate::json;

/// A config with a bit of everything that is checked.
const GOOD: &str = r#"{
  "ociVersion": "1.3.0",
  "root": {"path": "rootfs"},
  "process": {
    "cwd": "/", "args": ["sh"], "env": ["A=b", "C="],
    "user": {"uid": 1, "gid": 2, "umask": 18, "additionalGids": [3]},
    "capabilities": {"bounding": ["CAP_KILL"], "ambient": []},
    "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 18446744073709551615}],
    "oomScoreAdj": -5, "noNewPrivileges": true,
    "scheduler": {"policy": "SCHED_FIFO", "priority": 1, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
    "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 7},
    "execCPUAffinity": {"initial": "0-1", "final": "0"}
  },
  "hostname": "h",
  "mounts": [{"destination": "/proc", "type": "proc", "source": "proc", "options": ["ro"]}],
  "hooks": {"poststop": [{"path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 5}]},
  "annotations": {"a.b": "c"},
  "linux": {
    "namespaces": [{"type": "mount"}, {"type": "uts"}, {"type": "network"}, {"type": "ipc"}],
    "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}],
    "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}],
    "netDevices": {"eth0": {"name": "inside"}, "eth1": {}},
    "resources": {
      "devices": [{"allow": false, "access": "rwm"}],
      "hugepageLimits": [{"pageSize": "2MB", "limit": 4096}],
      "rdma": {"mlx5_1": {"hcaHandles": 3}},
      "memory": {"limit": 1048576}
    },
    "rootfsPropagation": "rslave",
    "sysctl": {"net.core.somaxconn": "128"},
    "personality": {"domain": "LINUX"},
    "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0"},
    "timeOffsets": {"monotonic": {"secs": -1, "nanosecs": 1}}
  }
}"#;

fn outcome(text: &str) -> String {
    let parsed = json::parse_without_zeros::<Spec>(text.as_bytes(), "config.json");
    match parsed.and_then(|spec| check(&spec)) {
        Ok(()) => "good".to_string(),
        Err(error) => error.to_string().replace("config.json: ", ""),
    }
}

#[test]
fn what_the_spec_allows_is_accepted() {
    assert_eq!(outcome(GOOD), "good");
    for good in [
        r#"{"ociVersion":"1.0.0","root":{"path":"rootfs"}}"#,
        r#"{"ociVersion":"0.5.0-dev","root":{"path":"/r"},"linux":{}}"#,
        r#"{"ociVersion":"1.0.2-dev","root":{"path":"r"},"process":{"cwd":"/","args":["sh"],"user":{"uid":0,"gid":0}}}"#,
        r#"{"ociVersion":"1.99.0","root":{"path":"r"},"windows":{},"new":[{"x":1}],"linux":{"new":null}}"#,
        r#"{"ociVersion":"1.0.0","root":{"path":"r"},"linux":{"netDevices":{"eth0":{"name":"a_b"},"ens4":{}}}}"#,
        r#"{"ociVersion":"1.0.0","root":{"path":"r"},"linux":{"resources":{"rdma":{"a":{"hcaHandles":3,"hcaObjects":1},"b":{}}}}}"#,
    ] {
        assert_eq!(outcome(good), "good", "{good}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (from, to, expected) in [
        ("\"1.3.0\"", "\"\"", "ociVersion is missing"),
        (
            "\"1.3.0\"",
            "\"2.0.0\"",
            "ociVersion \"2.0.0\" is none that we know: use 1.x.y",
        ),
        (
            "\"1.3.0\"",
            "\"1\"",
            "ociVersion \"1\" is none that we know: use 1.x.y",
        ),
        ("\"root\"", "\"noroot\"", "root must be specified"),
        (
            "\"path\": \"rootfs\"",
            "\"path\": \"\"",
            "root.path is missing",
        ),
        ("\"cwd\": \"/\", ", "", "Cwd property must not be empty"),
        (
            "\"cwd\": \"/\"",
            "\"cwd\": \"a\"",
            "Cwd must be an absolute path",
        ),
        ("[\"sh\"]", "[]", "args must not be empty"),
        (
            "\"A=b\", \"C=\"",
            "\"A\"",
            "invalid environment variable: missing '='",
        ),
        (
            "\"A=b\", \"C=\"",
            "\"=b\"",
            "invalid environment variable: name cannot be empty",
        ),
        (
            "RLIMIT_CORE",
            "RLIMIT_CORES",
            "wrong rlimit value: RLIMIT_CORES",
        ),
        ("RLIMIT_CORE", "CORE", "wrong rlimit value: CORE"),
        (
            "\"soft\": 0, ",
            "",
            "process.rlimits[0] needs soft and hard",
        ),
        (
            "\"rlimits\": [",
            "\"rlimits\": [{\"type\":\"RLIMIT_CORE\",\"soft\":0,\"hard\":0},",
            "process.rlimits[1] limits what another one limits already",
        ),
        (
            "\"oomScoreAdj\": -5",
            "\"oomScoreAdj\": 1001",
            "process.oomScoreAdj must be in the range -1000 to 1000",
        ),
        (
            "SCHED_FIFO",
            "SCHED_FOO",
            "invalid scheduler policy: SCHED_FOO",
        ),
        (
            "SCHED_FIFO",
            "SCHED_OTHER",
            "scheduler.priority can only be specified for SchedFIFO or SchedRR policy",
        ),
        (
            "IOPRIO_CLASS_IDLE",
            "IDLE",
            "invalid io priority class: IDLE",
        ),
        (
            "\"priority\": 7",
            "\"priority\": 8",
            "invalid ioPriority.Priority: 8",
        ),
        (
            "\"final\": \"0\"",
            "\"final\": \"1-0\"",
            "bad CPU affinity: invalid range: 1-0",
        ),
        (
            "\"/bin/true\"",
            "\"bin/true\"",
            "hooks.poststop[0]: path must be an absolute path",
        ),
        (
            "\"timeout\": 5",
            "\"timeout\": 0",
            "hooks.poststop[0]: timeout must be greater than zero",
        ),
        (
            ", \"size\": 1}",
            "}",
            "linux.uidMappings[0] needs containerID, hostID and size",
        ),
        (
            "/dev/fuse",
            "dev/fuse",
            "linux.devices[0] path must be an absolute path",
        ),
        (
            "\"type\": \"c\"",
            "\"type\": \"x\"",
            "linux.devices[0] type must be c, b, u or p",
        ),
        (
            ", \"minor\": 229",
            "",
            "linux.devices[0] major and minor are needed",
        ),
        ("\"eth0\"", "\"e/0\"", "invalid network device name \"e/0\""),
        (
            "\"inside\"",
            "\"sixteen-letters-\"",
            "invalid network device name \"sixteen-letters-\"",
        ),
        (
            ", \"access\": \"rwm\"",
            "",
            "device access at 0 field cannot be empty",
        ),
        (
            "2MB",
            "64kB",
            "linux.resources.hugepageLimits[0].pageSize \"64kB\" is not a size such as 2MB or 64KB",
        ),
        (
            "2MB",
            "02MB",
            "linux.resources.hugepageLimits[0].pageSize \"02MB\" is not a size such as 2MB or 64KB",
        ),
        (
            ", \"limit\": 4096",
            "",
            "linux.resources.hugepageLimits[0].limit is missing",
        ),
        (
            "rslave",
            "master",
            "rootfsPropagation=master is not supported",
        ),
        (
            "net.core.somaxconn",
            "vm.overcommit_memory",
            "sysctl \"vm.overcommit_memory\" is not in a separate kernel namespace",
        ),
        ("\"LINUX\"", "\"BSD\"", "invalid personality domain BSD"),
        ("MPOL_BIND", "MPOL", "invalid memory policy mode \"MPOL\""),
        (
            "\"monotonic\"",
            "\"realtime\"",
            "linux.timeOffsets.realtime is no clock with an offset: use monotonic or boottime",
        ),
        (
            "\"nanosecs\": 1",
            "\"nanosecs\": 1000000000",
            "linux.timeOffsets.monotonic.nanosecs must be below one second",
        ),
        // Of the wrong type, or out of range.
        (
            "\"limit\": 1048576",
            "\"limit\": \"1m\"",
            "invalid JSON: linux.resources.memory.limit cannot be this string",
        ),
        (
            "\"limit\": 1048576",
            "\"limit\": 18446744073709551615",
            "invalid JSON: linux.resources.memory.limit cannot be this number",
        ),
        (
            "\"hcaHandles\": 3",
            "\"hcaHandles\": \"three\"",
            "invalid JSON: linux.resources.rdma.mlx5_1.hcaHandles cannot be this string",
        ),
        (
            "[\"ro\"]",
            "[\"ro\", 1]",
            "invalid JSON: mounts[0].options[1] cannot be this number",
        ),
        (
            "\"uid\": 1",
            "\"uid\": 4294967296",
            "invalid JSON: process.user.uid cannot be this number",
        ),
        ("\"h\"", "\"a\\u0000\"", "hostname holds a zero byte"),
        (
            "[\"sh\"]",
            "[\"sh\", \"\\u0000\"]",
            "process.args[1] holds a zero byte",
        ),
        (
            "[\"ro\"]",
            "[\"r\\u0000o\"]",
            "mounts[0].options[0] holds a zero byte",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        assert_eq!(
            outcome(&GOOD.replacen(from, to, 1)),
            expected,
            "{from} -> {to}"
        );
    }
}

/// Numbers that look random and are the same in each run (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// A text like `GOOD` with something done to it that a tired hand or an enemy could do.
fn mutated(dice: &mut Dice) -> Vec<u8> {
    const PIECES: [&str; 20] = [
        "null",
        "{}",
        "[]",
        "-1",
        "1e999",
        "18446744073709551616",
        "NaN",
        "\"\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "true",
        "[[[[",
        "}}",
        "\"/\"",
        "\"../..\"",
        ":",
        ",",
        "\\",
        "\u{1}",
        "é",
    ];
    let mut bytes = GOOD.as_bytes().to_vec();
    for _ in 0..=dice.below(3) {
        let at = dice.below(bytes.len());
        let end = (at + dice.below(12)).min(bytes.len());
        match dice.below(5) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes[at] = dice.below(256) as u8,
            2 => {
                let part = bytes[at..end].to_vec();
                let to = dice.below(bytes.len());
                bytes.splice(to..to, part);
            }
            _ => {
                // In place of a value, most often.
                let from = bytes[at..]
                    .iter()
                    .position(|byte| *byte == b':')
                    .map_or(at, |n| at + n + 1);
                let to = bytes[from..]
                    .iter()
                    .position(|byte| b",}]".contains(byte))
                    .map_or(from, |n| from + n);
                let piece = PIECES[dice.below(PIECES.len())];
                bytes.splice(from..to, piece.bytes());
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

#[test]
fn no_mutation_of_a_config_brings_us_down() {
    let mut dice = Dice(0x7461_675f_6f63_6921);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..4_000 {
        let bytes = mutated(&mut dice);
        match json::parse_without_zeros::<Spec>(&bytes, "config.json").and_then(|s| check(&s)) {
            Ok(()) => good += 1,
            Err(error) => {
                bad += 1;
                assert!(!error.message.is_empty() && error.message.len() < 4096);
            }
        }
    }
    assert!(good > 100 && bad > 1_000, "{good} good, {bad} bad");
}
