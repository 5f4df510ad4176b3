//! What of a process's place in the machine config.json asks for: scheduler, priority of its disk
//! accesses, CPUs, memory nodes, personality.
//!
//! What is asked for is understood before anything is made (`validate`), with runc's sentences.

use crate::error::{Context, Error, Result};
use crate::oci::spec::{CpuAffinity, IoPriority, MemoryPolicy, Personality, Scheduler};
use crate::sys::schedule::{self as sys, Attributes, Numbers};

/// Names by the kernel's number (sched(7)).
const POLICIES: [&str; 7] = ["OTHER", "FIFO", "RR", "BATCH", "ISO", "IDLE", "DEADLINE"];
const REAL_TIME: [u32; 2] = [1, 2];
const DEADLINE: u32 = 6;

/// Flags by bit (sched_setattr(2)). The two of utilization clamping are not here: the spec has no
/// members for their values.
const FLAGS: [&str; 7] = [
    "RESET_ON_FORK",
    "RECLAIM",
    "DL_OVERRUN",
    "KEEP_POLICY",
    "KEEP_PARAMS",
    "UTIL_CLAMP_MIN",
    "UTIL_CLAMP_MAX",
];

/// Names by the kernel's number (set_mempolicy(2)).
pub const MODES: [&str; 7] = [
    "DEFAULT",
    "PREFERRED",
    "BIND",
    "INTERLEAVE",
    "LOCAL",
    "PREFERRED_MANY",
    "WEIGHTED_INTERLEAVE",
];

pub const MODE_FLAGS: [(&str, u32); 3] = [
    ("MPOL_F_STATIC_NODES", 1 << 15),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
];

/// The number of `name` without its prefix.
fn position(names: &[&str], prefix: &str, name: &str) -> Option<u32> {
    let short = name.strip_prefix(prefix)?;
    let at = names.iter().position(|known| *known == short)?;
    u32::try_from(at).ok()
}

fn refuse<T>(message: String) -> Result<T> {
    Err(Error::invalid(message))
}

pub fn attributes(asked: &Scheduler) -> Result<Attributes> {
    let name = asked.policy.as_deref().unwrap_or_default();
    if name.is_empty() {
        return refuse("scheduler policy is required".to_string());
    }
    let Some(policy) = position(&POLICIES, "SCHED_", name) else {
        return refuse(format!("invalid scheduler policy: {name}"));
    };
    let mut flags = 0;
    for flag in asked.flags.iter().flatten() {
        match position(&FLAGS, "SCHED_FLAG_", flag) {
            Some(bit) => flags |= 1 << bit,
            None => return refuse(format!("invalid scheduler flag: {flag}")),
        }
    }
    let nice = asked.nice.unwrap_or(0);
    if !(-20..=19).contains(&nice) {
        return refuse(format!("invalid scheduler.nice: {nice}"));
    }
    let priority = asked.priority.unwrap_or(0);
    if priority != 0 && !REAL_TIME.contains(&policy) {
        return refuse(
            "scheduler.priority can only be specified for SchedFIFO or SchedRR policy".to_string(),
        );
    }
    let Ok(priority) = u32::try_from(priority) else {
        return refuse(format!("invalid scheduler.priority: {priority}"));
    };
    let times = [asked.runtime, asked.deadline, asked.period].map(|time| time.unwrap_or(0));
    if policy != DEADLINE && times != [0; 3] {
        return refuse(
            "scheduler runtime/deadline/period can only be specified for SchedDeadline policy"
                .to_string(),
        );
    }
    Ok(Attributes {
        policy,
        flags,
        nice,
        priority,
        runtime: times[0],
        deadline: times[1],
        period: times[2],
        ..Attributes::default()
    })
}

/// Class and priority for ioprio_set(2).
pub fn io_priority(asked: &IoPriority) -> Result<(u32, u32)> {
    let class = match asked.class.as_deref().unwrap_or_default() {
        "IOPRIO_CLASS_RT" => 1,
        "IOPRIO_CLASS_BE" => 2,
        "IOPRIO_CLASS_IDLE" => 3,
        other => return refuse(format!("invalid io priority class: {other}")),
    };
    match asked.priority.unwrap_or(0) {
        priority @ 0..=7 => Ok((class, priority as u32)),
        priority => refuse(format!("invalid ioPriority.Priority: {priority}")),
    }
}

/// CPUs until the process is in the container's group, and from then on.
pub fn affinity(asked: &CpuAffinity) -> Result<[Option<Numbers>; 2]> {
    let parse = |text: &Option<String>| {
        let text = text.as_deref().filter(|text| !text.is_empty());
        text.map(numbers).transpose().context(|| "bad CPU affinity")
    };
    Ok([parse(&asked.initial)?, parse(&asked.last)?])
}

pub fn set_affinity(cpus: &Numbers, which: &str) -> Result<()> {
    sys::set_affinity(cpus).map_err(|errno| {
        Error::system(
            format_args!("error setting {which} CPU affinity"),
            errno.raw_os_error(),
        )
    })
}

/// The mode with its flags, and the nodes.
pub fn memory_policy(asked: &MemoryPolicy) -> Result<(u32, Numbers)> {
    let name = asked.mode.as_deref().unwrap_or_default();
    let Some(mode) = position(&MODES, "MPOL_", name) else {
        return refuse(format!("invalid memory policy mode {name:?}"));
    };
    let text = asked.nodes.as_deref().unwrap_or_default();
    let nodes = match text {
        "" => Numbers::EMPTY,
        text => numbers(text).context(|| format!("invalid memory policy nodes {text:?}"))?,
    };
    match (MODES[mode as usize], nodes.count()) {
        ("DEFAULT" | "LOCAL", count @ 1..) => {
            return refuse(format!(
                "memory policy mode requires 0 nodes but got {count}"
            ));
        }
        ("DEFAULT" | "LOCAL" | "PREFERRED", _) | (_, 1..) => {}
        (_, 0) => {
            return refuse("memory policy mode requires at least one node but got 0".to_string());
        }
    }
    let mut flags = 0;
    for flag in asked.flags.iter().flatten() {
        match MODE_FLAGS.iter().find(|(known, _)| known == flag) {
            Some((_, bit)) => flags |= bit,
            None => return refuse(format!("invalid memory policy flag {flag:?}")),
        }
    }
    Ok((mode | flags, nodes))
}

/// The number for personality(2). Flags are not defined by the spec yet.
pub fn personality(asked: &Personality) -> Result<u32> {
    match asked.domain.as_deref().unwrap_or_default() {
        "LINUX" => Ok(0),
        "LINUX32" => Ok(8),
        other => refuse(format!("invalid personality domain {other}")),
    }
}

/// A list such as `0-3,7`; blanks around numbers and empty elements are allowed, as by runc.
fn numbers(text: &str) -> Result<Numbers> {
    let mut all = Numbers::EMPTY;
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) else {
            return refuse(format!("invalid number or range: {part}"));
        };
        if first > last {
            return refuse(format!("invalid range: {part}"));
        }
        if last > Numbers::MAX {
            return refuse(format!(
                "values larger than {} are not supported",
                Numbers::MAX
            ));
        }
        (first..=last).for_each(|number| all.add(number));
    }
    match all.count() {
        0 => refuse(format!("no CPUs found in {text:?}")),
        _ => Ok(all),
    }
}

/// Do what `process` asks for, while we may. The personality is not its own but the container's.
pub fn apply(process: &crate::oci::spec::Process) -> Result<()> {
    if let Some(asked) = &process.scheduler {
        let attributes = attributes(asked)?;
        sys::set_attributes(attributes)
            .map_err(|errno| Error::system("error setting scheduler", errno.raw_os_error()))?;
    }
    if let Some(asked) = &process.io_priority {
        let (class, priority) = io_priority(asked)?;
        sys::set_io_priority(class, priority).context(|| "failed to set io priority")?;
    }
    Ok(())
}

/// Whether there is something that the container wants of each of its processes.
pub fn is_for_all(spec: &crate::oci::spec::Spec) -> bool {
    let linux = spec.linux.as_ref();
    linux.is_some_and(|linux| linux.memory_policy.is_some() || linux.personality.is_some())
}

/// Do that.
pub fn apply_container(linux: &crate::oci::spec::Linux) -> Result<()> {
    if let Some(asked) = &linux.memory_policy {
        let (mode, nodes) = memory_policy(asked)?;
        sys::set_memory_policy(mode, &nodes).context(|| "error setting memory policy")?;
    }
    if let Some(asked) = &linux.personality {
        sys::set_personality(personality(asked)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: &[u32]) -> Numbers {
        let mut all = Numbers::EMPTY;
        list.iter().for_each(|number| all.add(*number));
        all
    }

    #[test]
    fn lists_of_numbers_are_read_as_runc_reads_them() {
        for (text, expected) in [
            ("0", &[0][..]),
            ("0-2,7", &[0, 1, 2, 7]),
            (" 1 ,, 3-3,", &[1, 3]),
            ("1023", &[1023]),
        ] {
            assert_eq!(numbers(text).unwrap(), of(expected), "{text}");
        }
        for (text, expected) in [
            ("2-1", "invalid range: 2-1"),
            ("0-1024", "values larger than 1023 are not supported"),
            ("4294967295", "values larger than 1023 are not supported"),
            ("4294967296", "invalid number or range: 4294967296"),
            ("-1", "invalid number or range: -1"),
            ("a", "invalid number or range: a"),
            ("1-2-3", "invalid number or range: 1-2-3"),
            (",", "no CPUs found in \",\""),
        ] {
            assert_eq!(numbers(text).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn schedulers_are_understood_or_refused_in_runcs_words() {
        let good = Scheduler {
            policy: Some("SCHED_DEADLINE".to_string()),
            flags: Some(vec!["SCHED_FLAG_RESET_ON_FORK".to_string()]),
            runtime: Some(1),
            deadline: Some(2),
            period: Some(3),
            ..Scheduler::default()
        };
        let attributes = super::attributes(&good).unwrap();
        assert_eq!((attributes.policy, attributes.flags), (6, 1));
        let refusal = |change: fn(&mut Scheduler)| {
            let mut asked = good.clone();
            change(&mut asked);
            super::attributes(&asked).unwrap_err().to_string()
        };
        assert_eq!(refusal(|s| s.policy = None), "scheduler policy is required");
        assert_eq!(
            refusal(|s| s.policy = Some("SCHED_X".to_string())),
            "invalid scheduler policy: SCHED_X"
        );
        assert_eq!(refusal(|s| s.nice = Some(20)), "invalid scheduler.nice: 20");
        assert_eq!(
            refusal(|s| s.priority = Some(1)),
            "scheduler.priority can only be specified for SchedFIFO or SchedRR policy"
        );
        assert_eq!(
            refusal(|s| s.policy = Some("SCHED_IDLE".to_string())),
            "scheduler runtime/deadline/period can only be specified for SchedDeadline policy"
        );
        assert_eq!(
            refusal(|s| s.flags = Some(vec!["RESET".to_string()])),
            "invalid scheduler flag: RESET"
        );
    }

    #[test]
    fn memory_policies_are_understood_or_refused_in_runcs_words() {
        let policy = |mode: &str, nodes: &str, flag: Option<&str>| {
            memory_policy(&MemoryPolicy {
                mode: Some(mode.to_string()),
                nodes: Some(nodes.to_string()),
                flags: flag.map(|flag| vec![flag.to_string()]),
            })
            .map_err(|error| error.to_string())
        };
        let bind = policy("MPOL_BIND", "0-1", Some("MPOL_F_STATIC_NODES"));
        assert_eq!(bind, Ok((2 | 1 << 15, of(&[0, 1]))));
        assert_eq!(policy("MPOL_PREFERRED", "", None), Ok((1, of(&[]))));
        for (mode, nodes, flag, expected) in [
            ("BIND", "0", None, "invalid memory policy mode \"BIND\""),
            (
                "MPOL_LOCAL",
                "0",
                None,
                "memory policy mode requires 0 nodes but got 1",
            ),
            (
                "MPOL_BIND",
                "",
                None,
                "memory policy mode requires at least one node but got 0",
            ),
            (
                "MPOL_BIND",
                "x",
                None,
                "invalid memory policy nodes \"x\": invalid number or range: x",
            ),
            (
                "MPOL_BIND",
                "0",
                Some("X"),
                "invalid memory policy flag \"X\"",
            ),
        ] {
            assert_eq!(policy(mode, nodes, flag), Err(expected.to_string()));
        }
    }
}
