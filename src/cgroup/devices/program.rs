//! Device rules as a BPF program: comparisons, jumps, and two ends.
//!
//! The kernel's verifier follows every way through a program, and most of what loading costs is
//! the number of jumps: so one comparison is enough for a device, and all ends are shared. With
//! three comparisons and an end for each rule, loading took four times as long.

use super::{ANY_ACCESS, BLOCK, CHAR, Rule};
use crate::error::{Error, Result};

/// Operations of the BPF machine (Documentation/bpf/standardization/instruction-set.rst). All but
/// the jump without a condition are those of 32 bits.
mod op {
    pub const LOAD_WORD: u8 = 0x61;
    pub const MOVE: u8 = 0xbc;
    pub const AND: u8 = 0x54;
    pub const OR: u8 = 0x4c;
    pub const SHIFT_LEFT: u8 = 0x64;
    pub const SHIFT_RIGHT: u8 = 0x74;
    pub const MOVE_VALUE: u8 = 0xb4;
    pub const JUMP: u8 = 0x05;
    pub const JUMP_EQUAL: u8 = 0x16;
    pub const JUMP_UNEQUAL: u8 = 0x56;
    pub const JUMP_ANY_BIT: u8 = 0x46;
    pub const EXIT: u8 = 0x95;
}

/// Registers: what the program is called with, and what it takes from there. The answer goes into
/// the first.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
/// Both numbers, as the kernel packs them.
const DEVICE: u8 = 6;

/// Numbers of devices have 12 and 20 bits (MINORBITS of <linux/kdev_t.h>).
const MINOR_BITS: u32 = 20;
const MAJOR_BITS: u32 = 12;

/// What stands in an instruction's offset.
#[derive(Clone, Copy)]
enum Jump {
    None,
    /// Over so many instructions; of a load, so many bytes into what is loaded from.
    Over(usize),
    /// To the end that allows or denies.
    End(bool),
}

#[derive(Clone, Copy)]
struct Instruction {
    operation: u8,
    to: u8,
    from: u8,
    value: u32,
    jump: Jump,
}

impl Instruction {
    /// In the kernel's layout: opcode, registers, offset, value.
    fn encode(self, offset: usize) -> u64 {
        let registers = match cfg!(target_endian = "little") {
            true => self.from << 4 | self.to,
            false => self.to << 4 | self.from,
        };
        let mut bytes = [0u8; 8];
        bytes[0] = self.operation;
        bytes[1] = registers;
        bytes[2..4].copy_from_slice(&(offset as u16).to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.value.to_ne_bytes());
        u64::from_ne_bytes(bytes)
    }
}

fn plain(operation: u8, to: u8, from: u8, value: u32) -> Instruction {
    Instruction {
        operation,
        to,
        from,
        value,
        jump: Jump::None,
    }
}

/// A word of what the program is called with.
fn load(register: u8, offset: usize) -> Instruction {
    Instruction {
        jump: Jump::Over(offset),
        ..plain(op::LOAD_WORD, register, CONTEXT, 0)
    }
}

fn jump(operation: u8, register: u8, value: u32, jump: Jump) -> Instruction {
    Instruction {
        operation,
        to: register,
        from: 0,
        value,
        jump,
    }
}

/// The program that answers as `rules` mean it.
pub fn of(rules: &[Rule]) -> Result<Vec<u64>> {
    // What stands before a rule for everything is never asked.
    let wide = rules.iter().rposition(Rule::is_for_all);
    let default = wide.is_some_and(|at| rules[at].allow);
    let asked = &rules[wide.map_or(0, |at| at + 1)..];
    let chars = section(asked, CHAR, default);
    let blocks = section(asked, BLOCK, default);

    // struct bpf_cgroup_dev_ctx: access and kind in one word, major, minor.
    let mut code = vec![
        load(KIND, 0),
        plain(op::MOVE, ACCESS, KIND, 0),
        plain(op::AND, KIND, 0, 0xffff),
        plain(op::SHIFT_RIGHT, ACCESS, 0, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
        plain(op::MOVE, DEVICE, MAJOR, 0),
        plain(op::SHIFT_LEFT, DEVICE, 0, MINOR_BITS),
        plain(op::OR, DEVICE, MINOR, 0),
        jump(op::JUMP_UNEQUAL, KIND, CHAR, Jump::Over(chars.len())),
    ];
    code.extend(chars);
    code.extend(blocks);
    assemble(code)
}

/// The tests for devices of one kind, from the last rule to the first.
fn section(rules: &[Rule], kind: u32, default: bool) -> Vec<Instruction> {
    let mut code = Vec::new();
    for rule in rules.iter().rev().filter(|rule| rule.kind == Some(kind)) {
        let (register, number) = match (rule.major, rule.minor) {
            (Some(major), Some(minor)) => (DEVICE, major << MINOR_BITS | minor),
            (Some(major), None) => (MAJOR, major),
            (None, Some(minor)) => (MINOR, minor),
            (None, None) => (DEVICE, 0),
        };
        let is_any = rule.major.is_none() && rule.minor.is_none();
        let end = Jump::End(rule.allow);
        let is_all_access = rule.access == ANY_ACCESS;
        // There is no such device: it would be taken for another.
        let is_impossible = rule.major.is_some_and(|major| major >> MAJOR_BITS != 0)
            || rule.minor.is_some_and(|minor| minor >> MINOR_BITS != 0);
        match (is_any, is_all_access) {
            _ if is_impossible => continue,
            // The rules before it are never asked, and the verifier refuses what nobody reaches.
            (true, true) => {
                code.push(jump(op::JUMP, 0, 0, end));
                return code;
            }
            (false, true) => {
                code.push(jump(op::JUMP_EQUAL, register, number, end));
                continue;
            }
            _ => {}
        }
        let access = match rule.allow {
            // Allowed if nothing beyond it is asked,
            true => vec![
                jump(
                    op::JUMP_ANY_BIT,
                    ACCESS,
                    ANY_ACCESS & !rule.access,
                    Jump::Over(1),
                ),
                jump(op::JUMP, 0, 0, end),
            ],
            // denied if any of it is.
            false => vec![jump(op::JUMP_ANY_BIT, ACCESS, rule.access, end)],
        };
        if !is_any {
            let over = Jump::Over(access.len());
            code.push(jump(op::JUMP_UNEQUAL, register, number, over));
        }
        code.extend(access);
    }
    code.push(jump(op::JUMP, 0, 0, Jump::End(default)));
    code
}

/// Put the ends behind the code, those that it jumps to.
fn assemble(mut code: Vec<Instruction>) -> Result<Vec<u64>> {
    // Offsets of jumps have 15 bits for the way forward.
    if code.len() > 0x7000 {
        return Err(Error::invalid("too many device rules"));
    }
    let mut ends = [0; 2];
    for allow in [true, false] {
        let is_end = |one: &Instruction| matches!(one.jump, Jump::End(to) if to == allow);
        if code.iter().any(is_end) {
            ends[usize::from(allow)] = code.len();
            code.push(plain(op::MOVE_VALUE, ANSWER, 0, u32::from(allow)));
            code.push(plain(op::EXIT, 0, 0, 0));
        }
    }
    let encoded = code.iter().enumerate().map(|(at, one)| {
        one.encode(match one.jump {
            Jump::None => 0,
            Jump::Over(count) => count,
            Jump::End(allow) => ends[usize::from(allow)] - at - 1,
        })
    });
    Ok(encoded.collect())
}

/// The BPF machine, as far as our programs use it.
#[cfg(test)]
pub mod machine {
    use super::op;

    pub fn run(code: &[u64], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let context = [access << 16 | kind, major, minor];
        let mut registers = [0u32; 11];
        let mut at = 0;
        loop {
            let bytes = code[at].to_ne_bytes();
            let (to, from) = (usize::from(bytes[1] & 15), usize::from(bytes[1] >> 4));
            let offset = usize::from(u16::from_ne_bytes([bytes[2], bytes[3]]));
            let value = u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
            at += 1;
            match bytes[0] {
                op::LOAD_WORD => registers[to] = context[offset / 4],
                op::MOVE => registers[to] = registers[from],
                op::AND => registers[to] &= value,
                op::OR => registers[to] |= registers[from],
                op::SHIFT_LEFT => registers[to] <<= value,
                op::SHIFT_RIGHT => registers[to] >>= value,
                op::MOVE_VALUE => registers[to] = value,
                op::JUMP => at += offset,
                op::JUMP_EQUAL if registers[to] == value => at += offset,
                op::JUMP_UNEQUAL if registers[to] != value => at += offset,
                op::JUMP_ANY_BIT if registers[to] & value != 0 => at += offset,
                op::JUMP_EQUAL | op::JUMP_UNEQUAL | op::JUMP_ANY_BIT => {}
                op::EXIT => return registers[0] != 0,
                other => panic!("opcode {other:#x}"),
            }
        }
    }
}
