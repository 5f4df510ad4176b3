//! What comes out is run by an interpreter of its machine, and compared with what the profile says
//! read call by call.

use super::abi::ABIS;
use super::policy::{ALLOW, ENOSYS, ERRNO, KILL_PROCESS, KILL_THREAD, LOG, NOTIFY, TRACE, TRAP};
use super::{Filter, builtin, compile, table};
use crate::json;
use crate::oci::spec::{Seccomp, SeccompArg};

/// What a filter looks at (`struct seccomp_data`).
#[derive(Clone, Copy, Debug)]
struct Call {
    number: u32,
    audit: u32,
    args: [u64; 6],
}

/// The kernel's machine, with its checks: every jump leads forward and inside.
fn run(filter: &Filter, call: Call) -> u32 {
    let mut at = 0;
    let mut register = 0u32;
    loop {
        let instruction = filter.instructions[at];
        let operand = (instruction >> 32) as u32;
        let (yes, no) = ((instruction >> 16) as u8, (instruction >> 24) as u8);
        at += 1;
        let holds = match instruction as u16 {
            0x06 => return operand,
            0x20 => {
                register = load(call, operand);
                continue;
            }
            0x54 => {
                register &= operand;
                continue;
            }
            0x05 => {
                at += operand as usize;
                continue;
            }
            0x15 => register == operand,
            0x25 => register > operand,
            0x35 => register >= operand,
            other => panic!("instruction {other:#x} at {at}"),
        };
        at += usize::from(if holds { yes } else { no });
    }
}

fn load(call: Call, offset: u32) -> u32 {
    match offset {
        0 => call.number,
        4 => call.audit,
        16..64 if offset.is_multiple_of(4) => {
            let arg = call.args[(offset as usize - 16) / 8];
            (arg >> (offset % 8 * 8)) as u32
        }
        _ => panic!("load at {offset}"),
    }
}

/// What `profile` says of a call, as its documentation does: slowly.
fn expected(profile: &Seccomp, call: Call) -> u32 {
    let listed = profile.architectures.as_deref().unwrap_or_default();
    let is_listed = |name: &str| listed.iter().any(|other| other == name);
    // A tracer skips a call by making it number -1.
    let is_skipped = call.number == u32::MAX && !is_listed("SCMP_ARCH_X32");
    let is_x32 = call.audit == 0xc000_003e && call.number >= 0x4000_0000 && !is_skipped;
    let wide = call.audit & 0x8000_0000 != 0;
    let abi = ABIS
        .iter()
        .position(|abi| abi.audit == call.audit && (abi.base != 0) == is_x32);
    let Some(abi) = abi else {
        return KILL_THREAD;
    };
    if abi != 0 && !is_listed(ABIS[abi].name) {
        return KILL_THREAD;
    }
    let default = action(profile.default_action.as_deref(), profile.default_errno_ret);
    let rules = profile.syscalls.as_deref().unwrap_or_default();
    let number = |name: &str| table::number(table::find(name)?, abi);

    let mut newest = 0;
    let mut conditional = None;
    for rule in rules {
        let verdict = action(rule.action.as_deref(), rule.errno_ret);
        let args = rule.args.as_deref().unwrap_or_default();
        for name in rule.names.as_deref().unwrap_or_default() {
            let Some(named) = number(name) else { continue };
            if named & !0xffff != 0xf0000 {
                newest = newest.max(named);
            }
            if named != call.number || verdict == default {
                continue;
            }
            if args.is_empty() {
                return verdict;
            }
            if conditional.is_none() && holds(args, call, wide && !is_x32) {
                conditional = Some(verdict);
            }
        }
    }
    if let Some(verdict) = conditional {
        return verdict;
    }
    let permissive = matches!(default & 0xffff_0000, ALLOW | LOG | TRACE);
    let is_new = call.number > newest && !(is_skipped && call.audit == 0xc000_003e);
    match !permissive && newest > 0 && is_new {
        true => ERRNO | ENOSYS,
        false => default,
    }
}

fn action(name: Option<&str>, data: Option<u32>) -> u32 {
    match name.unwrap() {
        "SCMP_ACT_ALLOW" => ALLOW,
        "SCMP_ACT_ERRNO" => ERRNO | data.unwrap_or(1),
        "SCMP_ACT_TRACE" => TRACE | data.unwrap_or(1),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS" => KILL_PROCESS,
        "SCMP_ACT_LOG" => LOG,
        "SCMP_ACT_TRAP" => TRAP,
        "SCMP_ACT_NOTIFY" => NOTIFY,
        other => panic!("{other}"),
    }
}

fn holds(args: &[SeccompArg], call: Call, wide: bool) -> bool {
    let index = |arg: &SeccompArg| arg.index.unwrap();
    let any = args
        .iter()
        .enumerate()
        .any(|(at, arg)| args[..at].iter().any(|other| index(other) == index(arg)));
    let cut = |value: u64| if wide { value } else { value & 0xffff_ffff };
    let one = |arg: &SeccompArg| {
        let given = cut(call.args[index(arg) as usize]);
        let value = cut(arg.value.unwrap());
        match arg.op.as_deref().unwrap() {
            "SCMP_CMP_EQ" => given == value,
            "SCMP_CMP_NE" => given != value,
            "SCMP_CMP_LT" => given < value,
            "SCMP_CMP_LE" => given <= value,
            "SCMP_CMP_GE" => given >= value,
            "SCMP_CMP_GT" => given > value,
            "SCMP_CMP_MASKED_EQ" => given & value == cut(arg.value_two.unwrap()) & value,
            other => panic!("{other}"),
        }
    };
    match any {
        true => args.iter().any(one),
        false => args.iter().all(one),
    }
}

fn profile(text: &str) -> Seccomp {
    json::parse(text, "profile").unwrap()
}

fn filter(profile: &Seccomp) -> Filter {
    let filter = compile(profile).unwrap().unwrap();
    // The kernel refuses programs with jumps beyond their end or a last instruction that goes on.
    for (at, instruction) in filter.instructions.iter().enumerate() {
        let left = filter.instructions.len() - at;
        let far = match *instruction as u16 {
            0x06 => 0,
            0x05 => (instruction >> 32) as usize + 1,
            _ => 1 + (((instruction >> 16) as u8).max((instruction >> 24) as u8)) as usize,
        };
        assert!(far < left.max(1), "{at}: {instruction:#x}");
    }
    filter
}

/// Every ABI of this machine and two that are not.
fn audits() -> Vec<u32> {
    let mut audits: Vec<u32> = ABIS.iter().map(|abi| abi.audit).collect();
    audits.extend([0x8000_0016, 0]);
    audits
}

/// All numbers that exist, some that don't, and the edges.
fn numbers() -> Vec<u32> {
    let x32 = 0x4000_0000;
    let mut numbers: Vec<u32> = (0..=600).collect();
    numbers.extend(x32..=x32 + 600);
    numbers.extend(0xf0000..=0xf0010);
    numbers.extend([
        x32 - 1,
        i32::MAX as u32,
        0x8000_0000,
        u32::MAX - 1,
        u32::MAX,
    ]);
    numbers
}

#[track_caller]
fn check(profile: &Seccomp, args: &[[u64; 6]]) {
    let filter = filter(profile);
    for audit in audits() {
        for number in numbers() {
            for args in args {
                let call = Call {
                    number,
                    audit,
                    args: *args,
                };
                // 32-bit x86's socketcall and ipc have a test of their own.
                if audit == 0x4000_0003 && matches!(number, 102 | 117) {
                    continue;
                }
                assert_eq!(run(&filter, call), expected(profile, call), "{call:x?}");
            }
        }
    }
}

const ALL_ABIS: &str = r#""architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86","SCMP_ARCH_X32",
    "SCMP_ARCH_AARCH64","SCMP_ARCH_ARM","SCMP_ARCH_MIPS"]"#;

#[test]
fn every_call_gets_what_the_profile_says() {
    let lists = [
        "",
        ALL_ABIS,
        r#""architectures":["SCMP_ARCH_X86","SCMP_ARCH_ARM"]"#,
    ];
    let rules = [
        r#"[]"#,
        r#"[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]"#,
        r#"[{"names":["write","read","no_such_call","clone3","setxattrat","stime"],"action":"SCMP_ACT_ALLOW"},
            {"names":["mkdir","rmdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":30},
            {"names":["chmod","read"],"action":"SCMP_ACT_LOG"},
            {"names":["ptrace"],"action":"SCMP_ACT_TRACE","errnoRet":7},
            {"names":["reboot"],"action":"SCMP_ACT_KILL_PROCESS"},
            {"names":["kexec_load"],"action":"SCMP_ACT_KILL"},
            {"names":["chroot"],"action":"SCMP_ACT_KILL_THREAD"},
            {"names":["cacheflush","acct"],"action":"SCMP_ACT_TRAP"}]"#,
    ];
    let defaults = [
        r#""defaultAction":"SCMP_ACT_ERRNO""#,
        r#""defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":95"#,
        r#""defaultAction":"SCMP_ACT_KILL""#,
        r#""defaultAction":"SCMP_ACT_KILL_PROCESS""#,
        r#""defaultAction":"SCMP_ACT_TRAP""#,
        r#""defaultAction":"SCMP_ACT_ALLOW""#,
        r#""defaultAction":"SCMP_ACT_LOG""#,
        r#""defaultAction":"SCMP_ACT_TRACE""#,
    ];
    for list in lists {
        for rules in rules {
            for default in defaults {
                let comma = if list.is_empty() { "" } else { "," };
                let text = format!(r#"{{{default}{comma}{list},"syscalls":{rules}}}"#);
                check(&profile(&text), &[[0; 6]]);
            }
        }
    }
}

/// Around every value of `VALUES`, in both halves.
fn edges() -> Vec<u64> {
    let mut edges = Vec::new();
    for value in VALUES {
        for near in [value.wrapping_sub(1), value, value.wrapping_add(1)] {
            edges.extend([near, near ^ 1 << 32, near << 32, near & 0xffff_ffff]);
        }
    }
    edges.sort_unstable();
    edges.dedup();
    edges
}

const VALUES: [u64; 6] = [0, 38, 0x7e02_0000, 0xffff_ffff, 0x1_0000_0005, u64::MAX];

#[test]
fn every_operator_compares_all_that_the_abi_has() {
    let operators = super::OPERATORS;
    for value in VALUES {
        for operator in operators {
            for two in [0, 0x2000_0000u64, 0x1_0000_0001] {
                let text = format!(
                    r#"{{"defaultAction":"SCMP_ACT_ERRNO",{ALL_ABIS},"syscalls":[{{"names":["dup3","mkdir"],
                    "action":"SCMP_ACT_ALLOW","args":[{{"index":2,"value":{value},"valueTwo":{two},"op":"{operator}"}}]}}]}}"#
                );
                let profile = profile(&text);
                let filter = filter(&profile);
                for (abi, this) in ABIS.iter().enumerate() {
                    let number = table::number(table::find("dup3").unwrap(), abi).unwrap();
                    for edge in edges() {
                        let call = Call {
                            number,
                            audit: this.audit,
                            args: [7, 7, edge, 7, 7, 7],
                        };
                        assert_eq!(
                            run(&filter, call),
                            expected(&profile, call),
                            "{text}: {call:x?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn conditions_on_different_arguments_hold_together_and_those_on_one_by_themselves() {
    let text = format!(
        r#"{{"defaultAction":"SCMP_ACT_ERRNO",{ALL_ABIS},"syscalls":[
        {{"names":["dup3"],"action":"SCMP_ACT_ALLOW","args":[{{"index":0,"value":1,"op":"SCMP_CMP_EQ"}},
            {{"index":1,"value":2,"op":"SCMP_CMP_GT"}},{{"index":5,"value":1,"op":"SCMP_CMP_NE"}}]}},
        {{"names":["dup3"],"action":"SCMP_ACT_LOG","args":[{{"index":0,"value":5,"op":"SCMP_CMP_EQ"}},
            {{"index":0,"value":6,"op":"SCMP_CMP_EQ"}},{{"index":1,"value":4,"op":"SCMP_CMP_EQ"}}]}},
        {{"names":["dup3"],"action":"SCMP_ACT_TRAP","args":[{{"index":0,"value":8,"op":"SCMP_CMP_GE"}}]}}]}}"#
    );
    let mut args = Vec::new();
    for first in 0..10 {
        for second in 0..6 {
            args.extend([[first, second, 0, 0, 0, 0], [first, second, 0, 0, 0, 1]]);
        }
    }
    check(&profile(&text), &args);
}

#[test]
fn a_rule_without_conditions_decides_wherever_it_stands() {
    for (first, second) in [(0, 1), (1, 0)] {
        let rules = [
            r#"{"names":["dup3"],"action":"SCMP_ACT_LOG","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}"#,
            r#"{"names":["dup3"],"action":"SCMP_ACT_ALLOW"}"#,
        ];
        let text = format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{},{}]}}"#,
            rules[first], rules[second]
        );
        check(&profile(&text), &[[0; 6], [1; 6]]);
    }
}

#[test]
fn long_programs_jump_as_far_as_they_must() {
    // Every second call has conditions, so that nothing merges.
    let mut rules = Vec::new();
    for (at, name) in NATIVE_NAMES.split_ascii_whitespace().enumerate() {
        let name = name.trim_start_matches("__NR_");
        if !matches!(name, "sendmsg" | "write") {
            rules.push(match at % 3 {
                0 => format!(r#"{{"names":["{name}"],"action":"SCMP_ACT_ALLOW"}}"#),
                1 => format!(r#"{{"names":["{name}"],"action":"SCMP_ACT_ERRNO","errnoRet":{at}}}"#),
                _ => format!(
                    r#"{{"names":["{name}"],"action":"SCMP_ACT_LOG","args":[{{"index":1,"value":{at},"op":"SCMP_CMP_EQ"}}]}}"#
                ),
            });
        }
    }
    let text = format!(
        r#"{{"defaultAction":"SCMP_ACT_KILL",{ALL_ABIS},"syscalls":[{}]}}"#,
        rules.join(",")
    );
    check(&profile(&text), &[[0, 2, 0, 0, 0, 0], [0, 5, 0, 0, 0, 0]]);
}

fn native(name: &str) -> u32 {
    table::number(table::find(name).unwrap(), 0).unwrap()
}

fn ask(filter: &Filter, number: u32, first: u64) -> u32 {
    let call = Call {
        number,
        audit: ABIS[0].audit,
        args: [first, 0, 0, 0, 0, 0],
    };
    run(filter, call)
}

const DENIED: u32 = ERRNO | 1;
const UNKNOWN: u32 = ERRNO | ENOSYS;

#[test]
fn dockers_default_gives_its_golden_verdicts() {
    let plain = builtin::filter(&[]).unwrap();
    let told = |name: &str, first: u64| ask(&plain, native(name), first);
    for (family, verdict) in [
        (1, ALLOW),
        (2, ALLOW),
        (10, ALLOW),
        (16, ALLOW),
        (37, ALLOW),
    ] {
        assert_eq!(told("socket", family), verdict, "{family}");
    }
    assert_eq!(told("socket", 38), DENIED);
    assert_eq!(told("socket", 39), ALLOW);
    assert_eq!(told("socket", 40), DENIED);
    assert_eq!(told("socket", 41), ALLOW);
    for good in [0, 8, 0x20000, 0x20008, 0xffff_ffff] {
        assert_eq!(told("personality", good), ALLOW, "{good:x}");
    }
    assert_eq!(told("personality", 0x0004_0000), DENIED);
    assert_eq!(told("clone", 0x11), ALLOW);
    for namespace in [0x0002_0000, 0x0200_0000, 0x1000_0000, 0x4000_0000] {
        assert_eq!(told("clone", 0x11 | namespace), DENIED, "{namespace:x}");
    }
    assert_eq!(told("clone3", 0), UNKNOWN);
    for name in [
        "mount",
        "umount2",
        "unshare",
        "setns",
        "bpf",
        "io_uring_setup",
        "keyctl",
        "add_key",
        "request_key",
        "userfaultfd",
        "kexec_load",
        "pivot_root",
        "swapon",
        "reboot",
        "init_module",
        "open_by_handle_at",
        "perf_event_open",
        "syslog",
        "acct",
        "settimeofday",
        "mbind",
        "chroot",
        "move_pages",
        "vhangup",
        "fsopen",
        "move_mount",
        "listns",
        "open_tree_attr",
    ] {
        let new = native(name) > native("removexattrat");
        let verdict = if new { UNKNOWN } else { DENIED };
        assert_eq!(told(name, 0), verdict, "{name}");
    }
    for name in [
        "read",
        "ptrace",
        "process_vm_readv",
        "mseal",
        "futex_wake",
        "openat2",
        "landlock_add_rule",
        "statmount",
        "seccomp",
        "execve",
        "memfd_secret",
        "removexattrat",
    ] {
        if let Some(call) = table::find(name)
            && table::number(call, 0).is_some()
        {
            assert_eq!(told(name, 0), ALLOW, "{name}");
        }
    }
    for number in [467, 480, 511, 600, 5000] {
        assert_eq!(ask(&plain, number, 0), UNKNOWN, "{number}");
    }
}

#[test]
fn capabilities_open_dockers_default() {
    for (cap, calls) in [
        (
            "CAP_SYS_ADMIN",
            &["mount", "clone3", "unshare", "setns", "syslog", "bpf"][..],
        ),
        ("CAP_SYS_CHROOT", &["chroot"]),
        ("CAP_SYS_BOOT", &["reboot"]),
        (
            "CAP_SYS_MODULE",
            &["init_module", "delete_module", "finit_module"],
        ),
        ("CAP_SYS_TIME", &["settimeofday", "clock_settime"]),
        ("CAP_DAC_READ_SEARCH", &["open_by_handle_at"]),
        ("CAP_SYSLOG", &["syslog"]),
        ("CAP_BPF", &["bpf"]),
        ("CAP_PERFMON", &["perf_event_open"]),
        ("CAP_SYS_NICE", &["mbind"]),
        ("CAP_SYS_PTRACE", &["kcmp", "process_madvise"]),
    ] {
        let open = builtin::filter(&[cap.to_string()]).unwrap();
        let shut = builtin::filter(&[]).unwrap();
        for name in calls {
            assert_eq!(ask(&open, native(name), 0), ALLOW, "{cap} {name}");
            assert_ne!(ask(&shut, native(name), 0), ALLOW, "{name}");
        }
    }
    let admin = builtin::filter(&["CAP_SYS_ADMIN".to_string()]).unwrap();
    assert_eq!(ask(&admin, native("clone"), 0x1002_0000), ALLOW);
    assert!(
        admin.instructions.len() < 1000,
        "{}",
        admin.instructions.len()
    );
}

#[cfg(target_arch = "x86_64")]
#[test]
fn what_holds_for_a_socket_call_holds_for_its_old_way_too() {
    let text = format!(
        r#"{{"defaultAction":"SCMP_ACT_ALLOW",{ALL_ABIS},"syscalls":[
        {{"names":["socket"],"action":"SCMP_ACT_ERRNO","args":[{{"index":0,"value":38,"op":"SCMP_CMP_EQ"}}]}},
        {{"names":["semget"],"action":"SCMP_ACT_TRAP"}}]}}"#
    );
    assert!(super::policy::MULTIPLEXED.is_sorted_by_key(|(call, ..)| *call));
    let filter = filter(&profile(&text));
    let ask = |number, first| {
        let call = Call {
            number,
            audit: 0x4000_0003,
            args: [first, 0, 0, 0, 0, 0],
        };
        run(&filter, call)
    };
    assert_eq!(ask(102, 1), DENIED);
    assert_eq!(ask(102, 2), ALLOW);
    assert_eq!(ask(117, 2), TRAP);
    assert_eq!(ask(117, 1), ALLOW);
    assert_eq!(ask(359, 38), DENIED);
    assert_eq!(ask(359, 2), ALLOW);
    assert_eq!(ask(393, 0), TRAP);
}

#[test]
fn profiles_that_make_no_sense_are_refused_by_member() {
    let told = |text: &str| match compile(&profile(text)) {
        Ok(filter) => panic!("{text}: {filter:?}"),
        Err(error) => error.to_string().replace("linux.seccomp.", ""),
    };
    let rule = |rule: &str| {
        told(&format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["read"],"action":"SCMP_ACT_ALLOW"}},{rule}]}}"#
        ))
    };
    assert_eq!(
        told(r#"{"defaultAction":"SCMP_ACT_X"}"#),
        "defaultAction: string SCMP_ACT_X is not a valid action for seccomp"
    );
    assert_eq!(
        told(r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#),
        "SCMP_ACT_NOTIFY cannot be used as default action"
    );
    assert_eq!(
        told(
            r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86","SCMP_ARCH_Z80"]}"#
        ),
        "architectures[1]: string SCMP_ARCH_Z80 is not a valid arch for seccomp"
    );
    assert_eq!(
        told(r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_X"]}"#),
        "seccomp flag SECCOMP_FILTER_FLAG_X is not known to runc"
    );
    assert_eq!(
        rule(r#"{"names":["write"],"action":"SCMP_ACT_X"}"#),
        "syscalls[1]: string SCMP_ACT_X is not a valid action for seccomp"
    );
    assert_eq!(
        rule(r#"{"names":[""],"action":"SCMP_ACT_KILL"}"#),
        "syscalls[1]: empty string is not a valid syscall"
    );
    assert_eq!(
        rule(r#"{"names":["dup"],"action":"SCMP_ACT_ERRNO","errnoRet":4096}"#),
        "syscalls[1]: errnoRet 4096 is above 4095, the most for SCMP_ACT_ERRNO"
    );
    assert_eq!(
        rule(r#"{"names":["dup"],"action":"SCMP_ACT_KILL","errnoRet":1}"#),
        "syscalls[1]: errnoRet 1: SCMP_ACT_KILL returns no error"
    );
    for name in ["write", "sendmsg"] {
        assert_eq!(
            rule(&format!(
                r#"{{"names":["dup","{name}"],"action":"SCMP_ACT_NOTIFY"}}"#
            )),
            format!("syscalls[1]: SCMP_ACT_NOTIFY cannot be used for the {name} syscall")
        );
    }
    let arg = |arg: &str| {
        rule(&format!(
            r#"{{"names":["dup"],"action":"SCMP_ACT_KILL","args":[{arg}]}}"#
        ))
    };
    assert_eq!(
        arg(r#"{"index":0,"value":1,"op":"SCMP_CMP_X"}"#),
        "syscalls[1]: args[0]: op: string SCMP_CMP_X is not a valid operator for seccomp"
    );
    assert_eq!(
        arg(r#"{"index":6,"value":1,"op":"SCMP_CMP_EQ"}"#),
        "syscalls[1]: args[0]: index: syscalls only have up to 6 arguments (6 given)"
    );
    let many = vec![r#"{"index":0,"value":1,"op":"SCMP_CMP_EQ"}"#; 9000].join(",");
    assert_eq!(
        arg(&many),
        "syscalls[1]: args: more than 8192 conditions in all fit into no filter"
    );
    let many: Vec<String> = (0..2000)
        .map(|n| format!(r#"{{"index":0,"value":{n},"op":"SCMP_CMP_EQ"}}"#))
        .collect();
    assert!(arg(&many.join(",")).contains("instructions and the kernel takes 4096"));
    assert_eq!(
        told(
            r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["dup"],"action":"SCMP_ACT_NOTIFY"}]}"#
        ),
        "linux.seccomp: SCMP_ACT_NOTIFY needs sendmsg to be allowed: the listener is handed over with it"
    );
}

#[test]
fn an_empty_profile_is_no_profile_and_flags_have_their_default() {
    assert_eq!(compile(&profile("{}")).unwrap(), None);
    assert_eq!(compile(&profile(r#"{"defaultAction":""}"#)).unwrap(), None);
    let flags = |flags: &str| {
        filter(&profile(&format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW"{flags}}}"#
        )))
        .flags
    };
    assert_eq!(flags(""), 4);
    assert_eq!(flags(r#","flags":[]"#), 0);
    assert_eq!(
        flags(r#","flags":["SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_TSYNC"]"#),
        2
    );
    // Without a listener nobody would be waited for.
    assert_eq!(
        flags(r#","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]"#),
        0
    );
    let asks = r#","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],"syscalls":[{"names":["dup"],"action":"SCMP_ACT_NOTIFY"}]"#;
    assert_eq!(flags(asks), 32);
}

/// Calls and their numbers as the kernel's headers have them.
macro_rules! numbers {
    ($($name:ident)*) => {
        const NATIVE_NAMES: &str = concat!($(stringify!($name), " "),*);
        const NATIVE_NUMBERS: &[u32] = &[$(linux_raw_sys::general::$name),*];
    };
}

#[test]
fn the_table_has_the_kernels_numbers() {
    for (name, number) in NATIVE_NAMES.split_ascii_whitespace().zip(NATIVE_NUMBERS) {
        let name = name.trim_start_matches("__NR_");
        assert_eq!(native(name), *number, "{name}");
    }
    for name in ["", "a", "zzz", "rea", "readx", "accept44"] {
        assert_eq!(table::find(name), None, "{name}");
    }
}

#[cfg(target_arch = "x86_64")]
numbers! {
    __NR__sysctl __NR_accept __NR_accept4 __NR_access __NR_acct __NR_add_key __NR_adjtimex
    __NR_afs_syscall __NR_alarm __NR_arch_prctl __NR_bind __NR_bpf __NR_brk __NR_cachestat
    __NR_capget __NR_capset __NR_chdir __NR_chmod __NR_chown __NR_chroot __NR_clock_adjtime
    __NR_clock_getres __NR_clock_gettime __NR_clock_nanosleep __NR_clock_settime __NR_clone
    __NR_clone3 __NR_close __NR_close_range __NR_connect __NR_copy_file_range __NR_creat
    __NR_create_module __NR_delete_module __NR_dup __NR_dup2 __NR_dup3 __NR_epoll_create
    __NR_epoll_create1 __NR_epoll_ctl __NR_epoll_ctl_old __NR_epoll_pwait __NR_epoll_pwait2
    __NR_epoll_wait __NR_epoll_wait_old __NR_eventfd __NR_eventfd2 __NR_execve __NR_execveat
    __NR_exit __NR_exit_group __NR_faccessat __NR_faccessat2 __NR_fadvise64 __NR_fallocate
    __NR_fanotify_init __NR_fanotify_mark __NR_fchdir __NR_fchmod __NR_fchmodat __NR_fchmodat2
    __NR_fchown __NR_fchownat __NR_fcntl __NR_fdatasync __NR_fgetxattr __NR_file_getattr
    __NR_file_setattr __NR_finit_module __NR_flistxattr __NR_flock __NR_fork __NR_fremovexattr
    __NR_fsconfig __NR_fsetxattr __NR_fsmount __NR_fsopen __NR_fspick __NR_fstat __NR_fstatfs
    __NR_fsync __NR_ftruncate __NR_futex __NR_futex_requeue __NR_futex_wait __NR_futex_waitv
    __NR_futex_wake __NR_futimesat __NR_get_kernel_syms __NR_get_mempolicy __NR_get_robust_list
    __NR_get_thread_area __NR_getcpu __NR_getcwd __NR_getdents __NR_getdents64 __NR_getegid
    __NR_geteuid __NR_getgid __NR_getgroups __NR_getitimer __NR_getpeername __NR_getpgid
    __NR_getpgrp __NR_getpid __NR_getpmsg __NR_getppid __NR_getpriority __NR_getrandom
    __NR_getresgid __NR_getresuid __NR_getrlimit __NR_getrusage __NR_getsid __NR_getsockname
    __NR_getsockopt __NR_gettid __NR_gettimeofday __NR_getuid __NR_getxattr __NR_getxattrat
    __NR_init_module __NR_inotify_add_watch __NR_inotify_init __NR_inotify_init1
    __NR_inotify_rm_watch __NR_io_cancel __NR_io_destroy __NR_io_getevents __NR_io_pgetevents
    __NR_io_setup __NR_io_submit __NR_io_uring_enter __NR_io_uring_register __NR_io_uring_setup
    __NR_ioctl __NR_ioperm __NR_iopl __NR_ioprio_get __NR_ioprio_set __NR_kcmp
    __NR_kexec_file_load __NR_kexec_load __NR_keyctl __NR_kill __NR_landlock_add_rule
    __NR_landlock_create_ruleset __NR_landlock_restrict_self __NR_lchown __NR_lgetxattr __NR_link
    __NR_linkat __NR_listen __NR_listmount __NR_listxattr __NR_listxattrat __NR_llistxattr
    __NR_lookup_dcookie __NR_lremovexattr __NR_lseek __NR_lsetxattr __NR_lsm_get_self_attr
    __NR_lsm_list_modules __NR_lsm_set_self_attr __NR_lstat __NR_madvise __NR_map_shadow_stack
    __NR_mbind __NR_membarrier __NR_memfd_create __NR_memfd_secret __NR_migrate_pages __NR_mincore
    __NR_mkdir __NR_mkdirat __NR_mknod __NR_mknodat __NR_mlock __NR_mlock2 __NR_mlockall __NR_mmap
    __NR_modify_ldt __NR_mount __NR_mount_setattr __NR_move_mount __NR_move_pages __NR_mprotect
    __NR_mq_getsetattr __NR_mq_notify __NR_mq_open __NR_mq_timedreceive __NR_mq_timedsend
    __NR_mq_unlink __NR_mremap __NR_mseal __NR_msgctl __NR_msgget __NR_msgrcv __NR_msgsnd
    __NR_msync __NR_munlock __NR_munlockall __NR_munmap __NR_name_to_handle_at __NR_nanosleep
    __NR_newfstatat __NR_nfsservctl __NR_open __NR_open_by_handle_at __NR_open_tree
    __NR_open_tree_attr __NR_openat __NR_openat2 __NR_pause __NR_perf_event_open __NR_personality
    __NR_pidfd_getfd __NR_pidfd_open __NR_pidfd_send_signal __NR_pipe __NR_pipe2 __NR_pivot_root
    __NR_pkey_alloc __NR_pkey_free __NR_pkey_mprotect __NR_poll __NR_ppoll __NR_prctl __NR_pread64
    __NR_preadv __NR_preadv2 __NR_prlimit64 __NR_process_madvise __NR_process_mrelease
    __NR_process_vm_readv __NR_process_vm_writev __NR_pselect6 __NR_ptrace __NR_putpmsg
    __NR_pwrite64 __NR_pwritev __NR_pwritev2 __NR_query_module __NR_quotactl __NR_quotactl_fd
    __NR_read __NR_readahead __NR_readlink __NR_readlinkat __NR_readv __NR_reboot __NR_recvfrom
    __NR_recvmmsg __NR_recvmsg __NR_remap_file_pages __NR_removexattr __NR_removexattrat
    __NR_rename __NR_renameat __NR_renameat2 __NR_request_key __NR_restart_syscall __NR_rmdir
    __NR_rseq __NR_rt_sigaction __NR_rt_sigpending __NR_rt_sigprocmask __NR_rt_sigqueueinfo
    __NR_rt_sigreturn __NR_rt_sigsuspend __NR_rt_sigtimedwait __NR_rt_tgsigqueueinfo
    __NR_sched_get_priority_max __NR_sched_get_priority_min __NR_sched_getaffinity
    __NR_sched_getattr __NR_sched_getparam __NR_sched_getscheduler __NR_sched_rr_get_interval
    __NR_sched_setaffinity __NR_sched_setattr __NR_sched_setparam __NR_sched_setscheduler
    __NR_sched_yield __NR_seccomp __NR_security __NR_select __NR_semctl __NR_semget __NR_semop
    __NR_semtimedop __NR_sendfile __NR_sendmmsg __NR_sendmsg __NR_sendto __NR_set_mempolicy
    __NR_set_mempolicy_home_node __NR_set_robust_list __NR_set_thread_area __NR_set_tid_address
    __NR_setdomainname __NR_setfsgid __NR_setfsuid __NR_setgid __NR_setgroups __NR_sethostname
    __NR_setitimer __NR_setns __NR_setpgid __NR_setpriority __NR_setregid __NR_setresgid
    __NR_setresuid __NR_setreuid __NR_setrlimit __NR_setsid __NR_setsockopt __NR_settimeofday
    __NR_setuid __NR_setxattr __NR_setxattrat __NR_shmat __NR_shmctl __NR_shmdt __NR_shmget
    __NR_shutdown __NR_sigaltstack __NR_signalfd __NR_signalfd4 __NR_socket __NR_socketpair
    __NR_splice __NR_stat __NR_statfs __NR_statmount __NR_statx __NR_swapoff __NR_swapon
    __NR_symlink __NR_symlinkat __NR_sync __NR_sync_file_range __NR_syncfs __NR_sysfs __NR_sysinfo
    __NR_syslog __NR_tee __NR_tgkill __NR_time __NR_timer_create __NR_timer_delete
    __NR_timer_getoverrun __NR_timer_gettime __NR_timer_settime __NR_timerfd_create
    __NR_timerfd_gettime __NR_timerfd_settime __NR_times __NR_tkill __NR_truncate __NR_tuxcall
    __NR_umask __NR_umount2 __NR_uname __NR_unlink __NR_unlinkat __NR_unshare __NR_uretprobe
    __NR_uselib __NR_userfaultfd __NR_ustat __NR_utime __NR_utimensat __NR_utimes __NR_vfork
    __NR_vhangup __NR_vmsplice __NR_vserver __NR_wait4 __NR_waitid __NR_write __NR_writev
}

#[cfg(not(target_arch = "x86_64"))]
numbers! {
    __NR_accept __NR_accept4 __NR_acct __NR_add_key __NR_adjtimex __NR_bind __NR_bpf __NR_brk
    __NR_cachestat __NR_capget __NR_capset __NR_chdir __NR_chroot __NR_clock_adjtime
    __NR_clock_getres __NR_clock_gettime __NR_clock_nanosleep __NR_clock_settime __NR_clone
    __NR_clone3 __NR_close __NR_close_range __NR_connect __NR_copy_file_range __NR_delete_module
    __NR_dup __NR_dup3 __NR_epoll_create1 __NR_epoll_ctl __NR_epoll_pwait __NR_epoll_pwait2
    __NR_eventfd2 __NR_execve __NR_execveat __NR_exit __NR_exit_group __NR_faccessat
    __NR_faccessat2 __NR_fallocate __NR_fanotify_init __NR_fanotify_mark __NR_fchdir __NR_fchmod
    __NR_fchmodat __NR_fchmodat2 __NR_fchown __NR_fchownat __NR_fcntl __NR_fdatasync
    __NR_fgetxattr __NR_file_getattr __NR_file_setattr __NR_finit_module __NR_flistxattr
    __NR_flock __NR_fremovexattr __NR_fsconfig __NR_fsetxattr __NR_fsmount __NR_fsopen __NR_fspick
    __NR_fstat __NR_fstatfs __NR_fsync __NR_ftruncate __NR_futex __NR_futex_requeue
    __NR_futex_wait __NR_futex_waitv __NR_futex_wake __NR_get_mempolicy __NR_get_robust_list
    __NR_getcpu __NR_getcwd __NR_getdents64 __NR_getegid __NR_geteuid __NR_getgid __NR_getgroups
    __NR_getitimer __NR_getpeername __NR_getpgid __NR_getpid __NR_getppid __NR_getpriority
    __NR_getrandom __NR_getresgid __NR_getresuid __NR_getrusage __NR_getsid __NR_getsockname
    __NR_getsockopt __NR_gettid __NR_gettimeofday __NR_getuid __NR_getxattr __NR_getxattrat
    __NR_init_module __NR_inotify_add_watch __NR_inotify_init1 __NR_inotify_rm_watch
    __NR_io_cancel __NR_io_destroy __NR_io_getevents __NR_io_pgetevents __NR_io_setup
    __NR_io_submit __NR_io_uring_enter __NR_io_uring_register __NR_io_uring_setup __NR_ioctl
    __NR_ioprio_get __NR_ioprio_set __NR_kcmp __NR_kexec_file_load __NR_kexec_load __NR_keyctl
    __NR_kill __NR_landlock_add_rule __NR_landlock_create_ruleset __NR_landlock_restrict_self
    __NR_lgetxattr __NR_linkat __NR_listen __NR_listmount __NR_listxattr __NR_listxattrat
    __NR_llistxattr __NR_lookup_dcookie __NR_lremovexattr __NR_lseek __NR_lsetxattr
    __NR_lsm_get_self_attr __NR_lsm_list_modules __NR_lsm_set_self_attr __NR_madvise
    __NR_map_shadow_stack __NR_mbind __NR_membarrier __NR_memfd_create __NR_migrate_pages
    __NR_mincore __NR_mkdirat __NR_mknodat __NR_mlock __NR_mlock2 __NR_mlockall __NR_mount
    __NR_mount_setattr __NR_move_mount __NR_move_pages __NR_mprotect __NR_mq_getsetattr
    __NR_mq_notify __NR_mq_open __NR_mq_timedreceive __NR_mq_timedsend __NR_mq_unlink __NR_mremap
    __NR_mseal __NR_msgctl __NR_msgget __NR_msgrcv __NR_msgsnd __NR_msync __NR_munlock
    __NR_munlockall __NR_munmap __NR_name_to_handle_at __NR_nanosleep __NR_nfsservctl
    __NR_open_by_handle_at __NR_open_tree __NR_open_tree_attr __NR_openat __NR_openat2
    __NR_perf_event_open __NR_personality __NR_pidfd_getfd __NR_pidfd_open __NR_pidfd_send_signal
    __NR_pipe2 __NR_pivot_root __NR_pkey_alloc __NR_pkey_free __NR_pkey_mprotect __NR_ppoll
    __NR_prctl __NR_pread64 __NR_preadv __NR_preadv2 __NR_prlimit64 __NR_process_madvise
    __NR_process_mrelease __NR_process_vm_readv __NR_process_vm_writev __NR_pselect6 __NR_ptrace
    __NR_pwrite64 __NR_pwritev __NR_pwritev2 __NR_quotactl __NR_quotactl_fd __NR_read
    __NR_readahead __NR_readlinkat __NR_readv __NR_reboot __NR_recvfrom __NR_recvmmsg __NR_recvmsg
    __NR_remap_file_pages __NR_removexattr __NR_removexattrat __NR_renameat __NR_renameat2
    __NR_request_key __NR_restart_syscall __NR_rseq __NR_rt_sigaction __NR_rt_sigpending
    __NR_rt_sigprocmask __NR_rt_sigqueueinfo __NR_rt_sigreturn __NR_rt_sigsuspend
    __NR_rt_sigtimedwait __NR_rt_tgsigqueueinfo __NR_sched_get_priority_max
    __NR_sched_get_priority_min __NR_sched_getaffinity __NR_sched_getattr __NR_sched_getparam
    __NR_sched_getscheduler __NR_sched_rr_get_interval __NR_sched_setaffinity __NR_sched_setattr
    __NR_sched_setparam __NR_sched_setscheduler __NR_sched_yield __NR_seccomp __NR_semctl
    __NR_semget __NR_semop __NR_semtimedop __NR_sendfile __NR_sendmmsg __NR_sendmsg __NR_sendto
    __NR_set_mempolicy __NR_set_mempolicy_home_node __NR_set_robust_list __NR_set_tid_address
    __NR_setdomainname __NR_setfsgid __NR_setfsuid __NR_setgid __NR_setgroups __NR_sethostname
    __NR_setitimer __NR_setns __NR_setpgid __NR_setpriority __NR_setregid __NR_setresgid
    __NR_setresuid __NR_setreuid __NR_setrlimit __NR_setsid __NR_setsockopt __NR_settimeofday
    __NR_setuid __NR_setxattr __NR_setxattrat __NR_shmat __NR_shmctl __NR_shmdt __NR_shmget
    __NR_shutdown __NR_sigaltstack __NR_signalfd4 __NR_socket __NR_socketpair __NR_splice
    __NR_statfs __NR_statmount __NR_statx __NR_swapoff __NR_swapon __NR_symlinkat __NR_sync
    __NR_syncfs __NR_sysinfo __NR_syslog __NR_tee __NR_tgkill __NR_timer_create __NR_timer_delete
    __NR_timer_getoverrun __NR_timer_gettime __NR_timer_settime __NR_timerfd_create
    __NR_timerfd_gettime __NR_timerfd_settime __NR_times __NR_tkill __NR_truncate __NR_umask
    __NR_umount2 __NR_uname __NR_unlinkat __NR_unshare __NR_userfaultfd __NR_utimensat
    __NR_vhangup __NR_vmsplice __NR_wait4 __NR_waitid __NR_write __NR_writev
}
