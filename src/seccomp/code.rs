//! Writes instructions, the last one first.
//!
//! Jumps lead forward alone, the conditional ones by 255 instructions at most. Written backwards, a
//! jump knows where it leads; what has come too far away gets a stop on the way.

use crate::seccomp::policy::{Action, Condition, Test};

/// Where `struct seccomp_data` has what a filter may look at.
pub const NUMBER: u32 = 0;
pub const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Instructions of classic BPF (include/uapi/linux/bpf_common.h).
const LOAD: u64 = 0x20;
const AND: u64 = 0x54;
const RETURN: u64 = 0x06;
const JUMP: u64 = 0x05;
const JUMP_EQUAL: u64 = 0x15;
const JUMP_GREATER: u64 = 0x25;
const JUMP_AT_LEAST: u64 = 0x35;

/// An instruction is named by its place from the end.
#[derive(Default)]
pub struct Code {
    reversed: Vec<u64>,
    /// The nearest return of each action.
    returns: Vec<(Action, usize)>,
}

impl Code {
    pub fn finish(mut self) -> Vec<u64> {
        self.reversed.reverse();
        self.reversed
    }

    /// `struct sock_filter`: code, two jumps, operand.
    fn push(&mut self, code: u64, yes: usize, no: usize, operand: u32) -> usize {
        let jumps = (yes as u64) << 16 | (no as u64) << 24;
        self.reversed.push(code | jumps | u64::from(operand) << 32);
        self.reversed.len() - 1
    }

    /// How many instructions the next one skips to reach `target`.
    fn distance(&self, target: usize) -> usize {
        self.reversed.len() - 1 - target
    }

    /// End with `action`.
    pub fn ret(&mut self, action: Action) -> usize {
        let known = self.returns.iter().position(|(one, _)| *one == action);
        match known {
            Some(known) if self.is_near(self.returns[known].1) => self.returns[known].1,
            known => {
                let place = self.push(RETURN, 0, 0, action);
                match known {
                    Some(known) => self.returns[known].1 = place,
                    None => self.returns.push((action, place)),
                }
                place
            }
        }
    }

    /// A few less than 255: a conditional jump may need a stop for each of its ways.
    fn is_near(&self, target: usize) -> bool {
        self.distance(target) <= 250
    }

    /// `target`, or a stop on the way to it.
    fn near(&mut self, target: usize) -> usize {
        if self.is_near(target) {
            return target;
        }
        match self.reversed[target] {
            end if end & 0xffff == RETURN => self.ret((end >> 32) as Action),
            _ => self.push(JUMP, 0, 0, self.distance(target) as u32),
        }
    }

    fn jump(&mut self, code: u64, operand: u32, yes: usize, no: usize) -> usize {
        let (yes, no) = (self.near(yes), self.near(no));
        self.push(code, self.distance(yes), self.distance(no), operand)
    }

    pub fn jump_if_equal(&mut self, operand: u32, yes: usize, no: usize) -> usize {
        self.jump(JUMP_EQUAL, operand, yes, no)
    }

    pub fn jump_if_at_least(&mut self, operand: u32, yes: usize, no: usize) -> usize {
        self.jump(JUMP_AT_LEAST, operand, yes, no)
    }

    /// Load what lies at `offset`, then go on at `next`.
    pub fn load(&mut self, offset: u32, next: usize) -> usize {
        if self.distance(next) > 0 {
            self.push(JUMP, 0, 0, self.distance(next) as u32);
        }
        self.push(LOAD, 0, 0, offset)
    }

    /// Where `condition` holds go to `yes`, otherwise to `no`. Narrow ABIs have arguments of 32 bits.
    pub fn condition(
        &mut self,
        condition: &Condition,
        is_wide: bool,
        yes: usize,
        no: usize,
    ) -> usize {
        let is_wide = is_wide && !condition.is_int;
        let low = ARGUMENTS + 8 * u32::from(condition.index);
        let high = low + 4;
        let (value_low, value_high) = halves(condition.value);
        // The machine lacks three of the tests; they are the others with their ways exchanged.
        let (test, yes, no) = match condition.test {
            Test::Equal | Test::Greater | Test::GreaterOrEqual => (condition.test, yes, no),
            Test::NotEqual => (Test::Equal, no, yes),
            Test::Less => (Test::GreaterOrEqual, no, yes),
            Test::LessOrEqual => (Test::Greater, no, yes),
        };
        let jump = match test {
            Test::Greater => JUMP_GREATER,
            Test::GreaterOrEqual => JUMP_AT_LEAST,
            _ => {
                let (mask_low, mask_high) = halves(condition.mask);
                let next = self.masked(low, mask_low, value_low, yes, no);
                return match is_wide {
                    true => self.masked(high, mask_high, value_high, next, no),
                    false => next,
                };
            }
        };
        let next = self.jump(jump, value_low, yes, no);
        let mut next = self.load(low, next);
        if is_wide {
            next = self.jump(JUMP_EQUAL, value_high, next, no);
            next = self.jump(JUMP_GREATER, value_high, yes, next);
            next = self.load(high, next);
        }
        next
    }

    /// Whether the bits of `mask` are those of `value`.
    fn masked(&mut self, offset: u32, mask: u32, value: u32, yes: usize, no: usize) -> usize {
        if mask == 0 {
            return yes;
        }
        self.jump(JUMP_EQUAL, value, yes, no);
        if mask != u32::MAX {
            self.push(AND, 0, 0, mask);
        }
        let next = self.reversed.len() - 1;
        self.load(offset, next)
    }
}

fn halves(value: u64) -> (u32, u32) {
    (value as u32, (value >> 32) as u32)
}
