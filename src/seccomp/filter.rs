//! From a policy to instructions of the kernel's classic BPF machine.
//!
//! The program looks for the ABI, then for the call's number by halves of all numbers, which are
//! cut into ranges of one verdict each. A hundred ranges take seven comparisons, and the kernel
//! remembers the calls that are let through whatever their arguments (Linux 5.11).

use crate::error::{Error, Result};
use crate::seccomp::abi::{ABIS, X32_BIT};
use crate::seccomp::code::{ARCH, Code, NUMBER};
use crate::seccomp::policy::{Action, ENOSYS, ERRNO, KILL_THREAD, Policy, WAIT_KILLABLE};
use crate::seccomp::table;

/// What is loaded into the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// `struct sock_filter` as little-endian numbers, which all our machines have.
    pub instructions: Vec<u64>,
    /// `SECCOMP_FILTER_FLAG_…`.
    pub flags: u32,
    /// Some calls wait for the answer of an agent.
    pub notifies: bool,
}

/// The kernel's limit (`BPF_MAXINSNS`).
const INSTRUCTIONS_MAX: usize = 4096;

pub fn compile(policy: &Policy) -> Result<Filter> {
    let mut code = Code::default();
    // Whoever comes by an ABI that the profile does not list is killed, as with libseccomp.
    let mut next = code.ret(KILL_THREAD);
    for (abi, this) in ABIS.iter().enumerate() {
        let is_listed = policy.abis & 1 << abi != 0;
        // x32 shares the section of x86_64.
        if is_listed && this.base == 0 {
            let ranges = ranges(policy, abi);
            let entry = tree(&mut code, policy, &ranges);
            let entry = code.load(NUMBER, entry);
            next = code.jump_if_equal(this.audit, entry, next);
        }
    }
    code.load(ARCH, next);
    let instructions = code.finish();
    if instructions.len() > INSTRUCTIONS_MAX {
        return Err(Error::invalid(format!(
            "linux.seccomp: the filter has {} instructions and the kernel takes {INSTRUCTIONS_MAX}: use fewer argument rules",
            instructions.len()
        )));
    }
    Ok(Filter {
        instructions,
        // The kernel refuses this flag without a listener, for whom it is.
        flags: match policy.notifies {
            true => policy.flags,
            false => policy.flags & !WAIT_KILLABLE,
        },
        notifies: policy.notifies,
    })
}

/// What happens to calls from `start` up to the next range.
struct Range {
    start: u32,
    verdict: Verdict,
}

#[derive(Clone, PartialEq)]
enum Verdict {
    Always(Action),
    /// These rules of the policy, the first that applies, and otherwise its default. The width of
    /// arguments is the ABI's.
    Rules {
        list: Vec<u32>,
        is_wide: bool,
    },
}

/// All numbers of the section that begins with `abi`, in order.
fn ranges(policy: &Policy, abi: usize) -> Vec<Range> {
    let mut ranges = Vec::with_capacity(256);
    add_abi(&mut ranges, policy, abi);
    if ABIS[abi].audit != X32_AUDIT {
        return ranges;
    }
    let x32 = ABIS.iter().position(|abi| abi.base == X32_BIT);
    match x32.filter(|x32| policy.abis & 1 << x32 != 0) {
        Some(x32) => add_abi(&mut ranges, policy, x32),
        None => {
            set(&mut ranges, X32_BIT, Verdict::Always(KILL_THREAD));
            // A tracer skips a call by making it number -1, which is no x32 call (seccomp(2)).
            set(&mut ranges, u32::MAX, Verdict::Always(policy.default));
        }
    }
    ranges
}

/// `AUDIT_ARCH_X86_64`, under which x32 calls come too.
const X32_AUDIT: u32 = 0xc000_003e;

fn add_abi(ranges: &mut Vec<Range>, policy: &Policy, abi: usize) {
    let newest = policy.newest[abi];
    let is_dated = policy.dated & 1 << abi != 0 && newest > 0;
    let default = Verdict::Always(policy.default);
    let unknown = Verdict::Always(ERRNO | ENOSYS);
    let rest = |number: u32| match is_dated && number > newest {
        true => unknown.clone(),
        false => default.clone(),
    };

    // Number and rule in one: sorting them is half of the work here.
    let mut named: Vec<u64> = Vec::with_capacity(policy.rules.len());
    for (index, rule) in policy.rules.iter().enumerate() {
        if let Some(number) = table::number(rule.call, abi) {
            named.push(u64::from(number) << 32 | index as u64);
        }
    }
    named.sort_unstable();

    set(ranges, ABIS[abi].base, default.clone());
    let mut is_cut = !is_dated;
    for same in named.chunk_by(|one, other| one >> 32 == other >> 32) {
        let number = (same[0] >> 32) as u32;
        if !is_cut && number > newest {
            set(ranges, newest + 1, unknown.clone());
            is_cut = true;
        }
        set(ranges, number, verdict(policy, same, ABIS[abi].is_wide));
        set(ranges, number + 1, rest(number + 1));
    }
    if !is_cut {
        set(ranges, newest + 1, unknown);
    }
}

/// A rule without conditions decides, wherever it stands among the others; the first one if there
/// are several.
fn verdict(policy: &Policy, same: &[u64], is_wide: bool) -> Verdict {
    let rules = same.iter().map(|one| *one as u32);
    let rule = |index: &u32| &policy.rules[*index as usize];
    match rules.clone().find(|index| rule(index).conditions.1 == 0) {
        Some(index) => Verdict::Always(rule(&index).action),
        None => Verdict::Rules {
            list: rules.collect(),
            is_wide,
        },
    }
}

/// Let a range begin at `start`, which is behind all others or where the last one begins.
fn set(ranges: &mut Vec<Range>, start: u32, verdict: Verdict) {
    if ranges.last().is_some_and(|last| last.start == start) {
        ranges.pop();
    }
    if ranges.last().is_none_or(|last| last.verdict != verdict) {
        ranges.push(Range { start, verdict });
    }
}

/// Comparisons that lead to the range of the number that is loaded.
fn tree(code: &mut Code, policy: &Policy, ranges: &[Range]) -> usize {
    match ranges {
        [] => code.ret(policy.default),
        [range] => match &range.verdict {
            Verdict::Always(action) => code.ret(*action),
            Verdict::Rules { list, is_wide } => rules(code, policy, list, *is_wide),
        },
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let start = high[0].start;
            let high = tree(code, policy, high);
            let low = tree(code, policy, low);
            code.jump_if_at_least(start, high, low)
        }
    }
}

fn rules(code: &mut Code, policy: &Policy, list: &[u32], is_wide: bool) -> usize {
    let mut next = code.ret(policy.default);
    for index in list.iter().rev() {
        let rule = &policy.rules[*index as usize];
        let (first, count) = rule.conditions;
        let first = first as usize;
        let conditions = &policy.conditions[first..first + count as usize];
        let mut matched = code.ret(rule.action);
        for condition in conditions.iter().rev() {
            matched = code.condition(condition, is_wide, matched, next);
        }
        next = matched;
    }
    next
}
