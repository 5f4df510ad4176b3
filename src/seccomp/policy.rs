//! A profile with its names resolved: what the compiler works from.

use crate::error::{Context, Error, Result};
use crate::oci::spec::{Seccomp, SeccompArg, SeccompRule};
use crate::seccomp::abi::{self, ABIS, NATIVE};
use crate::seccomp::table::{self, Call};

/// What the kernel does with a call: `SECCOMP_RET_…`, with its data in the lower half.
pub type Action = u32;

pub const KILL_PROCESS: Action = 0x8000_0000;
pub const KILL_THREAD: Action = 0;
pub const TRAP: Action = 0x0003_0000;
pub const ERRNO: Action = 0x0005_0000;
pub const NOTIFY: Action = 0x7fc0_0000;
pub const TRACE: Action = 0x7ff0_0000;
pub const LOG: Action = 0x7ffc_0000;
pub const ALLOW: Action = 0x7fff_0000;

pub const EPERM: u32 = 1;
pub const ENOSYS: u32 = 38;

/// The greatest that the kernel gives as an error (`MAX_ERRNO`).
const ERRNO_MAX: u32 = 4095;

pub const ACTIONS: &[&str] = &[
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

/// In the order of `ACTIONS`.
const ACTION_VALUES: [Action; 9] = [
    ALLOW,
    ERRNO,
    KILL_THREAD,
    KILL_PROCESS,
    KILL_THREAD,
    LOG,
    NOTIFY,
    TRACE,
    TRAP,
];

pub const OPERATORS: &[&str] = &[
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];

/// In the order of `OPERATORS`.
const TESTS: [Test; 7] = [
    Test::Equal,
    Test::GreaterOrEqual,
    Test::Greater,
    Test::LessOrEqual,
    Test::Less,
    Test::Equal,
    Test::NotEqual,
];

pub const FLAGS: &[&str] = &[
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// In the order of `FLAGS`. We have a single thread to filter, so TSYNC changes nothing.
const FLAG_BITS: [u32; 4] = [1 << 1, SPEC_ALLOW, 0, WAIT_KILLABLE];

/// What a profile that does not mention flags gets, as from runc.
const SPEC_ALLOW: u32 = 1 << 2;

pub const WAIT_KILLABLE: u32 = 1 << 5;

/// The kernel's bit for a flag of `FLAGS`.
pub fn flag_bit(flag: &str) -> Option<u32> {
    let known = FLAGS.iter().position(|known| *known == flag);
    known.map(|at| FLAG_BITS[at])
}

/// Calls that profiles look into, and which of their arguments (by bit) the kernel takes as `int`.
///
/// A program may put anything into the upper half of such an argument's register, and the kernel
/// does not see it. A filter that does lets socket(0x1_0000_0028), which is AF_VSOCK, pass for a
/// family above 40: the hole of CVE-2019-10063, which libseccomp leaves to the author of a profile.
static INTS: [(Call, u8); 17] = {
    use table::place;
    [
        (place("arch_prctl"), 0b1),
        (place("bpf"), 0b1),
        (place("clone"), 0b1),
        (place("fcntl"), 0b11),
        (place("getsockopt"), 0b111),
        (place("ioctl"), 0b11),
        (place("keyctl"), 0b1),
        (place("kill"), 0b11),
        (place("open"), 0b10),
        (place("openat"), 0b101),
        (place("personality"), 0b1),
        (place("prctl"), 0b1),
        (place("seccomp"), 0b11),
        (place("setns"), 0b11),
        (place("setsockopt"), 0b111),
        (place("socket"), 0b111),
        (place("socketpair"), 0b111),
    ]
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What one argument must be.
#[derive(Clone, Copy, Debug)]
pub struct Condition {
    /// 0 to 5.
    pub index: u8,
    pub test: Test,
    /// Which bits of the argument count; all of them but for `SCMP_CMP_MASKED_EQ`.
    pub mask: u64,
    pub value: u64,
    /// The kernel takes the argument as an `int`: its upper half is never looked at.
    pub is_int: bool,
}

/// An action for a call if all its conditions hold.
#[derive(Clone, Copy)]
pub struct Rule {
    pub call: Call,
    pub action: Action,
    /// First condition of the policy's, and how many.
    pub conditions: (u32, u32),
}

pub struct Policy {
    pub default: Action,
    /// In the profile's order. Those that say what happens anyway are left out.
    pub rules: Vec<Rule>,
    pub conditions: Vec<Condition>,
    /// The ABIs of `ABIS` with rules of their own, by bit; calls by another one kill.
    pub abis: u32,
    /// Those where calls newer than `newest` are unknown, by bit.
    pub dated: u32,
    /// The highest number that is named, for each of `ABIS`.
    pub newest: [u32; ABIS.len()],
    /// `SECCOMP_FILTER_FLAG_…`.
    pub flags: u32,
    pub notifies: bool,
}

impl Policy {
    pub fn new(default: Action) -> Policy {
        Policy {
            default,
            rules: Vec::new(),
            conditions: Vec::new(),
            abis: 0,
            dated: 0,
            newest: [0; ABIS.len()],
            flags: SPEC_ALLOW,
            notifies: false,
        }
    }

    /// A profile that says what it allows has a date: calls newer than all that it names did not
    /// exist for its author. A program that meets ENOSYS falls back to an older call; one that meets
    /// EPERM gives up. Profiles that let through what they don't know need no date.
    pub fn list_abi(&mut self, abi: usize) {
        self.abis |= 1 << abi;
        if !matches!(self.default & 0xffff_0000, ALLOW | LOG | TRACE) {
            self.dated |= 1 << abi;
        }
    }

    /// Note that the profile knows `call`, whatever it does with it.
    pub fn name(&mut self, call: Call) {
        for (abi, newest) in self.newest.iter_mut().enumerate() {
            let number = table::number(call, abi).filter(|number| !table::is_private(*number));
            *newest = (*newest).max(number.unwrap_or(0));
        }
    }

    pub fn add(&mut self, call: Call, action: Action, conditions: &[Condition]) {
        self.name(call);
        if action == self.default {
            return;
        }
        let range = self.keep(call, conditions);
        self.rules.push(Rule {
            call,
            action,
            conditions: range,
        });
        self.add_multiplexed(call, action, conditions);
    }

    /// Whether sendmsg(2) is let through whatever its arguments.
    fn lets_send(&self) -> bool {
        let call = table::find("sendmsg");
        let mut rules = self.rules.iter().filter(|rule| Some(rule.call) == call);
        let plain = rules.find(|rule| rule.conditions.1 == 0);
        let action = plain.map_or(self.default, |rule| rule.action);
        matches!(action, ALLOW | LOG)
    }

    fn keep(&mut self, call: Call, conditions: &[Condition]) -> (u32, u32) {
        let first = self.conditions.len();
        let ints = INTS.iter().find(|(one, _)| *one == call);
        let ints = ints.map_or(0, |(_, arguments)| *arguments);
        let kept = conditions.iter().map(|condition| Condition {
            is_int: ints & 1 << condition.index != 0,
            ..*condition
        });
        self.conditions.extend(kept);
        (first as u32, conditions.len() as u32)
    }

    /// 32-bit x86 has an older way to its socket and SysV IPC calls, by a number in the first
    /// argument of one call for all: what holds for the call holds there too. Its real arguments
    /// lie in memory, where no filter can look. No other ABI of the machine has the two calls.
    #[cfg(target_arch = "x86_64")]
    fn add_multiplexed(&mut self, call: Call, action: Action, conditions: &[Condition]) {
        let Ok(found) = MULTIPLEXED.binary_search_by_key(&call, |(one, ..)| *one) else {
            return;
        };
        let (_, gate, number) = MULTIPLEXED[found];
        let first = self.conditions.len() as u32;
        let others = conditions.iter().filter(|condition| condition.index != 0);
        self.conditions.extend(others);
        self.conditions.push(Condition {
            index: 0,
            test: Test::Equal,
            mask: u64::MAX,
            value: u64::from(number),
            is_int: true,
        });
        self.rules.push(Rule {
            call: gate,
            action,
            conditions: (first, self.conditions.len() as u32 - first),
        });
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn add_multiplexed(&mut self, _: Call, _: Action, _: &[Condition]) {}
}

/// A call, the call that it may go by, and its number there (socketcall(2), ipc(2)); sorted by name.
/// Its send and recv are no calls by themselves on x86, so they have no name here.
#[cfg(target_arch = "x86_64")]
pub static MULTIPLEXED: [(Call, Call, u8); 30] = {
    use table::place;
    const SOCKETCALL: Call = place("socketcall");
    const IPC: Call = place("ipc");
    [
        (place("accept"), SOCKETCALL, 5),
        (place("accept4"), SOCKETCALL, 18),
        (place("bind"), SOCKETCALL, 2),
        (place("connect"), SOCKETCALL, 3),
        (place("getpeername"), SOCKETCALL, 7),
        (place("getsockname"), SOCKETCALL, 6),
        (place("getsockopt"), SOCKETCALL, 15),
        (place("listen"), SOCKETCALL, 4),
        (place("msgctl"), IPC, 14),
        (place("msgget"), IPC, 13),
        (place("msgrcv"), IPC, 12),
        (place("msgsnd"), IPC, 11),
        (place("recvfrom"), SOCKETCALL, 12),
        (place("recvmmsg"), SOCKETCALL, 19),
        (place("recvmsg"), SOCKETCALL, 17),
        (place("semctl"), IPC, 3),
        (place("semget"), IPC, 2),
        (place("semop"), IPC, 1),
        (place("semtimedop"), IPC, 4),
        (place("sendmmsg"), SOCKETCALL, 20),
        (place("sendmsg"), SOCKETCALL, 16),
        (place("sendto"), SOCKETCALL, 11),
        (place("setsockopt"), SOCKETCALL, 14),
        (place("shmat"), IPC, 21),
        (place("shmctl"), IPC, 24),
        (place("shmdt"), IPC, 22),
        (place("shmget"), IPC, 23),
        (place("shutdown"), SOCKETCALL, 13),
        (place("socket"), SOCKETCALL, 1),
        (place("socketpair"), SOCKETCALL, 8),
    ]
};

/// Check a profile and resolve its names. The sentences are runc's.
pub fn read(seccomp: &Seccomp) -> Result<Policy> {
    let default = action(
        seccomp.default_action.as_deref(),
        seccomp.default_errno_ret,
        "defaultErrnoRet",
    )
    .context(|| "linux.seccomp.defaultAction")?;
    if default == NOTIFY {
        return Err(Error::invalid(
            "SCMP_ACT_NOTIFY cannot be used as default action",
        ));
    }
    let mut policy = Policy::new(default);
    policy.list_abi(NATIVE);
    for (index, name) in seccomp.architectures.iter().flatten().enumerate() {
        if !abi::NAMES.contains(&name.as_str()) {
            return Err(Error::invalid(format!(
                "linux.seccomp.architectures[{index}]: string {name} is not a valid arch for seccomp"
            )));
        }
        if let Some(abi) = ABIS.iter().position(|abi| abi.name == name) {
            policy.list_abi(abi);
        }
    }
    if let Some(list) = &seccomp.flags {
        policy.flags = flags(list)?;
    }
    for (index, rule) in seccomp.syscalls.iter().flatten().enumerate() {
        add_rule(&mut policy, rule).context(|| format!("linux.seccomp.syscalls[{index}]"))?;
    }
    if policy.notifies && !policy.lets_send() {
        return Err(Error::invalid(
            "linux.seccomp: SCMP_ACT_NOTIFY needs sendmsg to be allowed: the listener is handed over with it",
        ));
    }
    Ok(policy)
}

/// `given` is the errno or the tracer's data, which `member` holds.
fn action(name: Option<&str>, given: Option<u32>, member: &str) -> Result<Action> {
    let name = name.unwrap_or_default();
    let known = ACTIONS.iter().position(|known| *known == name);
    let kind = known.map(|at| ACTION_VALUES[at]).ok_or_else(|| {
        Error::invalid(format!("string {name} is not a valid action for seccomp"))
    })?;
    let most = match kind {
        ERRNO => ERRNO_MAX,
        TRACE => 0xffff,
        _ => 0,
    };
    match given {
        Some(data) if most == 0 => Err(Error::invalid(format!(
            "{member} {data}: {name} returns no error"
        ))),
        Some(data) if data > most => Err(Error::invalid(format!(
            "{member} {data} is above {most}, the most for {name}"
        ))),
        Some(data) => Ok(kind | data),
        None if most > 0 => Ok(kind | EPERM),
        None => Ok(kind),
    }
}

fn flags(list: &[String]) -> Result<u32> {
    list.iter().try_fold(0, |all, flag| {
        let bit = flag_bit(flag)
            .ok_or_else(|| Error::invalid(format!("seccomp flag {flag} is not known to runc")))?;
        Ok(all | bit)
    })
}

fn add_rule(policy: &mut Policy, rule: &SeccompRule) -> Result<()> {
    let action = action(rule.action.as_deref(), rule.errno_ret, "errnoRet")?;
    let names = rule.names.as_deref().unwrap_or_default();
    if names.iter().any(String::is_empty) {
        return Err(Error::invalid("empty string is not a valid syscall"));
    }
    if action == NOTIFY {
        policy.notifies = true;
        // With sendmsg we hand the listener over, and nobody could answer before that. runc needs
        // write for it, and so do profiles made for it.
        if let Some(name) = names
            .iter()
            .find(|name| matches!(name.as_str(), "write" | "sendmsg"))
        {
            return Err(Error::invalid(format!(
                "SCMP_ACT_NOTIFY cannot be used for the {name} syscall"
            )));
        }
    }
    let args = rule.args.as_deref().unwrap_or_default();
    let conditions = args
        .iter()
        .enumerate()
        .map(|(index, arg)| condition(arg).context(|| format!("args[{index}]")))
        .collect::<Result<Vec<Condition>>>()?;
    // Several conditions on one argument never were meant to hold together: any of all is enough.
    let is_any = (0..6).any(|index| {
        let same = conditions
            .iter()
            .filter(|condition| condition.index == index);
        same.count() > 1
    });
    if names.len().saturating_mul(conditions.len())
        > CONDITIONS_MAX.saturating_sub(policy.conditions.len())
    {
        return Err(Error::invalid(format!(
            "args: more than {CONDITIONS_MAX} conditions in all fit into no filter"
        )));
    }
    // What this machine does not have is skipped: profiles are written for many.
    for call in names.iter().filter_map(|name| table::find(name)) {
        match is_any {
            true => conditions
                .chunks(1)
                .for_each(|one| policy.add(call, action, one)),
            false => policy.add(call, action, &conditions),
        }
    }
    Ok(())
}

/// More than any program that the kernel takes can check. Keeps a hostile profile from eating memory.
const CONDITIONS_MAX: usize = 8192;

fn condition(arg: &SeccompArg) -> Result<Condition> {
    let name = arg.op.as_deref().unwrap_or_default();
    let known = OPERATORS.iter().position(|known| *known == name);
    let operator = known.ok_or_else(|| {
        Error::invalid(format!(
            "op: string {name} is not a valid operator for seccomp"
        ))
    })?;
    let index = arg.index.unwrap_or(0);
    if index > 5 {
        return Err(Error::invalid(format!(
            "index: syscalls only have up to 6 arguments ({index} given)"
        )));
    }
    let value = arg.value.unwrap_or(0);
    let (mask, value) = match name {
        "SCMP_CMP_MASKED_EQ" => (value, arg.value_two.unwrap_or(0) & value),
        _ => (u64::MAX, value),
    };
    Ok(Condition {
        index: index as u8,
        test: TESTS[operator],
        mask,
        value,
        is_int: false,
    })
}
