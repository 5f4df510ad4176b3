//! Which devices a group may use: cgroup v2 asks a BPF program (BPF_PROG_TYPE_CGROUP_DEVICE).
//!
//! Rules are read from the last to the first, and what none of them names is denied. The program
//! that we write compares and jumps; it is a few dozen instructions, so there is no compiler here.

use crate::cgroup::Group;
use crate::error::{Error, Result};
use crate::oci::spec::{DeviceRule, Resources};
use crate::sys::{capability, raw};
use std::os::fd::AsFd;

/// What keeps a container from devices that are not its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The rules allow everything.
    Open,
    /// The BPF program.
    Filter,
    /// No program: then the container cannot make device nodes, nor use those of its image.
    NoNodes,
}

impl Guard {
    pub fn forbids_nodes(self) -> bool {
        self == Guard::NoNodes
    }

    /// The capabilities that the guard leaves.
    pub fn capabilities(self) -> u64 {
        match self {
            Guard::NoNodes => !capability::bit("CAP_MKNOD").unwrap_or(0),
            Guard::Open | Guard::Filter => u64::MAX,
        }
    }

    /// The guard for a host whose kernel cannot filter.
    pub fn without_filter(resources: Option<&Resources>) -> Guard {
        match allow_all(&rules(resources)) {
            true => Guard::Open,
            false => Guard::NoNodes,
        }
    }
}

/// Put the rules into force on `group`.
pub fn apply(group: &Group, resources: Option<&Resources>) -> Result<Guard> {
    let rules = rules(resources);
    if allow_all(&rules) {
        return Ok(Guard::Open);
    }
    let program = program(&rules)?;
    let loaded = raw::load_device_program(&program)
        .and_then(|loaded| raw::attach_device_program(group.as_fd(), loaded.as_fd()));
    // Small kernels lack CONFIG_CGROUP_BPF, user namespaces may not load.
    match loaded {
        Ok(()) => Ok(Guard::Filter),
        Err(_) => Ok(Guard::NoNodes),
    }
}

/// A rule in the kernel's terms. `None`: any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    allow: bool,
    /// BPF_DEVCG_DEV_BLOCK or BPF_DEVCG_DEV_CHAR.
    kind: Option<u32>,
    major: Option<u32>,
    minor: Option<u32>,
    /// BPF_DEVCG_ACC_MKNOD, READ, WRITE.
    access: u32,
}

impl Rule {
    fn is_for_all(&self) -> bool {
        self.kind.is_none()
            && self.major.is_none()
            && self.minor.is_none()
            && self.access == ANY_ACCESS
    }
}

const BLOCK: u32 = 1;
const CHAR: u32 = 2;
const MKNOD: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;
const ANY_ACCESS: u32 = MKNOD | READ | WRITE;

const fn allow(kind: u32, major: Option<u32>, minor: Option<u32>, access: u32) -> Rule {
    Rule {
        allow: true,
        kind: Some(kind),
        major,
        minor,
        access,
    }
}

/// What every container may: make any node (and then not use it), and the devices that the
/// runtime itself puts into /dev (runc's AllowedDevices).
const ALWAYS: [Rule; 10] = [
    allow(CHAR, None, None, MKNOD),
    allow(BLOCK, None, None, MKNOD),
    allow(CHAR, Some(1), Some(3), ANY_ACCESS),
    allow(CHAR, Some(1), Some(8), ANY_ACCESS),
    allow(CHAR, Some(1), Some(7), ANY_ACCESS),
    allow(CHAR, Some(5), Some(0), ANY_ACCESS),
    allow(CHAR, Some(1), Some(5), ANY_ACCESS),
    allow(CHAR, Some(1), Some(9), ANY_ACCESS),
    allow(CHAR, Some(136), None, ANY_ACCESS),
    allow(CHAR, Some(5), Some(2), ANY_ACCESS),
];

fn rules(resources: Option<&Resources>) -> Vec<Rule> {
    let asked = resources.and_then(|resources| resources.devices.as_ref());
    let mut rules: Vec<Rule> = asked.into_iter().flatten().map(rule).collect();
    rules.extend(ALWAYS);
    rules
}

fn rule(asked: &DeviceRule) -> Rule {
    let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
    let access = asked.access.as_deref().unwrap_or("rwm");
    Rule {
        allow: asked.allow == Some(true),
        kind: match asked.kind.as_deref() {
            Some("c" | "u") => Some(CHAR),
            Some("b") => Some(BLOCK),
            _ => None,
        },
        major: number(asked.major),
        minor: number(asked.minor),
        access: access.chars().fold(0, |all, letter| match letter {
            'm' => all | MKNOD,
            'r' => all | READ,
            'w' => all | WRITE,
            _ => all,
        }),
    }
}

/// Whether no denial is left after a rule that allows everything.
fn allow_all(rules: &[Rule]) -> bool {
    let last_wide = rules.iter().rposition(Rule::is_for_all);
    last_wide.is_some_and(|at| rules[at].allow && rules[at..].iter().all(|rule| rule.allow))
}

/// Operations of the BPF machine (Documentation/bpf/standardization/instruction-set.rst).
mod op {
    pub const LOAD_WORD: u8 = 0x61;
    pub const MOVE: u8 = 0xbf;
    pub const AND: u8 = 0x54;
    pub const SHIFT_RIGHT: u8 = 0x74;
    pub const MOVE_VALUE: u8 = 0xb7;
    pub const JUMP_EQUAL: u8 = 0x15;
    pub const JUMP_UNEQUAL: u8 = 0x55;
    pub const EXIT: u8 = 0x95;
}

/// One instruction in the kernel's layout: opcode, registers, offset, value.
fn instruction(opcode: u8, to: u8, from: u8, offset: i16, value: u32) -> u64 {
    let registers = match cfg!(target_endian = "little") {
        true => from << 4 | to,
        false => to << 4 | from,
    };
    let mut bytes = [0u8; 8];
    bytes[0] = opcode;
    bytes[1] = registers;
    bytes[2..4].copy_from_slice(&offset.to_ne_bytes());
    bytes[4..8].copy_from_slice(&value.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

/// The program: registers 2 to 5 hold type, access, major and minor of what is asked (struct
/// bpf_cgroup_dev_ctx); each rule, from the last, jumps to the next if it does not match.
fn program(rules: &[Rule]) -> Result<Vec<u64>> {
    let mut code = vec![
        instruction(op::LOAD_WORD, 2, 1, 0, 0),
        instruction(op::AND, 2, 0, 0, 0xffff),
        instruction(op::LOAD_WORD, 3, 1, 0, 0),
        instruction(op::SHIFT_RIGHT, 3, 0, 0, 16),
        instruction(op::LOAD_WORD, 4, 1, 4, 0),
        instruction(op::LOAD_WORD, 5, 1, 8, 0),
    ];
    // What stands before a rule for everything is never asked, and the kernel's verifier refuses
    // code that nothing reaches.
    let first = rules.iter().rposition(Rule::is_for_all);
    for rule in rules[first.unwrap_or(0)..]
        .iter()
        .rev()
        .filter(|rule| rule.access != 0)
    {
        append(&mut code, rule);
    }
    if first.is_none() {
        code.push(instruction(op::MOVE_VALUE, 0, 0, 0, 0));
        code.push(instruction(op::EXIT, 0, 0, 0, 0));
    }
    match code.len() <= 4096 {
        true => Ok(code),
        false => Err(Error::invalid("too many device rules")),
    }
}

fn append(code: &mut Vec<u64>, rule: &Rule) {
    // Each test: registers to compare, and the instructions before its jump.
    let mut tests: Vec<Vec<(u8, u8, u8, u32)>> = Vec::new();
    if let Some(kind) = rule.kind {
        tests.push(vec![(op::JUMP_UNEQUAL, 2, 0, kind)]);
    }
    if rule.access != ANY_ACCESS {
        let (mask, jump) = match rule.allow {
            // Allowed if nothing beyond it is asked,
            true => (ANY_ACCESS & !rule.access, op::JUMP_UNEQUAL),
            // denied if any of it is.
            false => (rule.access, op::JUMP_EQUAL),
        };
        tests.push(vec![
            (op::MOVE, 1, 3, 0),
            (op::AND, 1, 0, mask),
            (jump, 1, 0, 0),
        ]);
    }
    for (register, number) in [(4, rule.major), (5, rule.minor)] {
        if let Some(number) = number {
            tests.push(vec![(op::JUMP_UNEQUAL, register, 0, number)]);
        }
    }
    let tests: Vec<(u8, u8, u8, u32)> = tests.into_iter().flatten().collect();
    // Behind the tests stand two more instructions: the verdict and the exit.
    let length = tests.len() + 2;
    for (at, (opcode, to, from, value)) in tests.iter().enumerate() {
        let is_jump = matches!(*opcode, op::JUMP_EQUAL | op::JUMP_UNEQUAL);
        let offset = if is_jump { length - at - 1 } else { 0 };
        code.push(instruction(*opcode, *to, *from, offset as i16, *value));
    }
    code.push(instruction(op::MOVE_VALUE, 0, 0, 0, u32::from(rule.allow)));
    code.push(instruction(op::EXIT, 0, 0, 0, 0));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The BPF machine, as far as our programs use it.
    fn run(code: &[u64], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let context = [access << 16 | kind, major, minor];
        let mut registers = [0u32; 11];
        let mut at = 0;
        loop {
            let bytes = code[at].to_ne_bytes();
            let (to, from) = (usize::from(bytes[1] & 15), usize::from(bytes[1] >> 4));
            let offset = i16::from_ne_bytes([bytes[2], bytes[3]]);
            let value = u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
            at += 1;
            match bytes[0] {
                op::LOAD_WORD => registers[to] = context[offset as usize / 4],
                op::MOVE => registers[to] = registers[from],
                op::AND => registers[to] &= value,
                op::SHIFT_RIGHT => registers[to] >>= value,
                op::MOVE_VALUE => registers[to] = value,
                op::JUMP_EQUAL if registers[to] == value => at += offset as usize,
                op::JUMP_UNEQUAL if registers[to] != value => at += offset as usize,
                op::JUMP_EQUAL | op::JUMP_UNEQUAL => {}
                op::EXIT => return registers[0] != 0,
                other => panic!("opcode {other:#x}"),
            }
        }
    }

    /// The meaning of a list of rules, said plainly.
    fn meaning(rules: &[Rule], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let hit = rules.iter().rev().find(|rule| {
            rule.kind.is_none_or(|wanted| wanted == kind)
                && rule.major.is_none_or(|wanted| wanted == major)
                && rule.minor.is_none_or(|wanted| wanted == minor)
                && match rule.allow {
                    true => access & !rule.access == 0,
                    false => access & rule.access != 0,
                }
        });
        hit.is_some_and(|rule| rule.allow)
    }

    fn asked(allow: bool, kind: &str, major: i64, minor: i64, access: &str) -> DeviceRule {
        DeviceRule {
            allow: Some(allow),
            kind: Some(kind.to_string()),
            major: Some(major),
            minor: Some(minor),
            access: Some(access.to_string()),
        }
    }

    #[test]
    fn the_program_says_what_the_rules_mean() {
        let lists = [
            vec![],
            vec![asked(false, "a", -1, -1, "rwm")],
            vec![
                asked(false, "a", -1, -1, "rwm"),
                asked(true, "b", 8, -1, "r"),
            ],
            vec![
                asked(true, "c", 10, 200, "rw"),
                asked(false, "c", 10, 200, "w"),
            ],
            vec![
                asked(true, "a", -1, -1, "rwm"),
                asked(false, "b", 8, 1, "rw"),
            ],
        ];
        for list in lists {
            let resources = Resources {
                devices: Some(list),
                ..Resources::default()
            };
            let rules = rules(Some(&resources));
            let code = program(&rules).unwrap();
            for kind in [BLOCK, CHAR] {
                for (major, minor) in [(1, 3), (1, 1), (8, 0), (8, 1), (10, 200), (136, 9), (5, 2)]
                {
                    for access in 1..=ANY_ACCESS {
                        assert_eq!(
                            run(&code, kind, access, major, minor),
                            meaning(&rules, kind, access, major, minor),
                            "{kind} {major}:{minor} {access} {rules:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn by_default_nodes_can_be_made_and_disks_not_opened() {
        let code = program(&rules(None)).unwrap();
        assert!(run(&code, BLOCK, MKNOD, 8, 0));
        assert!(!run(&code, BLOCK, READ, 8, 0));
        assert!(!run(&code, CHAR, READ, 1, 1));
        assert!(run(&code, CHAR, READ | WRITE, 1, 3));
    }

    #[test]
    fn a_privileged_container_needs_no_program() {
        let all = asked(true, "a", -1, -1, "rwm");
        let with = |list| Resources {
            devices: Some(list),
            ..Resources::default()
        };
        assert!(allow_all(&rules(Some(&with(vec![all.clone()])))));
        let denied = asked(false, "c", 10, 229, "rwm");
        assert!(!allow_all(&rules(Some(&with(vec![all, denied])))));
        assert!(!allow_all(&rules(None)));
    }
}
