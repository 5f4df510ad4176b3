//! What rules are made of.

use super::key::{FAMILY, Key, length, load, register};
use super::set::Set;
use super::{IPV4, IPV6, data, number};
use crate::net::netlink::Message;

/// A condition, or what is done with a packet that fulfils those before it.
#[derive(Clone, Copy)]
pub enum Part<'a> {
    /// IPV4 or IPV6.
    Family(u8),
    Is(&'a Key, &'a [u8]),
    IsNot(&'a Key, &'a [u8]),
    /// One of these bits is set.
    Has(&'a Key, u32),
    In(&'a Set, &'a [&'a Key]),
    NotIn(&'a Set, &'a [&'a Key]),
    /// Lead the connection to what the map holds for these keys, if it does.
    Lead(&'a Set, &'a [&'a Key]),
    /// Lead it to an address and a port.
    LeadTo([u8; 4], u16),
    Masquerade,
    Accept,
    Drop,
    Jump(&'a str),
}

/// NFT_JUMP
const JUMP: i32 = -3;

/// An expression that is being written.
pub(super) struct Open {
    element: usize,
    attributes: usize,
}

/// NFTA_LIST_ELEM with NFTA_EXPR_NAME, NFTA_EXPR_DATA
pub(super) fn expression(message: &mut Message, name: &str) -> Open {
    let element = message.open(1);
    message.text(1, name);
    let attributes = message.open(2);
    Open {
        element,
        attributes,
    }
}

impl Open {
    pub(super) fn close(self, message: &mut Message) {
        message.close(self.attributes);
        message.close(self.element);
    }
}

impl Part<'_> {
    pub(super) fn write(&self, message: &mut Message) {
        match *self {
            Part::Family(family) => {
                FAMILY.load(message, 0);
                compare(message, 0, &[family]);
            }
            Part::Is(key, bytes) => {
                key.load(message, 0);
                compare(message, 0, bytes);
            }
            Part::IsNot(key, bytes) => {
                key.load(message, 0);
                compare(message, 1, bytes);
            }
            Part::Has(key, bits) => {
                key.load(message, 0);
                mask(message, bits);
                compare(message, 1, &[0; 4]);
            }
            Part::In(set, keys) => look_up(message, set, keys, Lookup::Is),
            Part::NotIn(set, keys) => look_up(message, set, keys, Lookup::IsNot),
            Part::Lead(map, keys) => {
                look_up(message, map, keys, Lookup::Load);
                let bytes = length(map.data) - 4;
                let family = if bytes == 4 { IPV4 } else { IPV6 };
                lead(message, family, register(bytes / 4));
            }
            Part::LeadTo(address, port) => {
                immediate(message, 1, |message| data(message, 2, &address));
                immediate(message, 2, |message| data(message, 2, &port.to_be_bytes()));
                lead(message, IPV4, 2);
            }
            Part::Masquerade => expression(message, "masq").close(message),
            Part::Accept => verdict(message, 1, ""),
            Part::Drop => verdict(message, 0, ""),
            Part::Jump(chain) => verdict(message, JUMP, chain),
        }
    }
}

/// The first register with `bytes`: 0 for equal, 1 for not equal.
fn compare(message: &mut Message, how: u32, bytes: &[u8]) {
    let at = expression(message, "cmp");
    number(message, 1, 1);
    number(message, 2, how);
    data(message, 3, bytes);
    at.close(message);
}

/// Leave `bits` of the first register.
fn mask(message: &mut Message, bits: u32) {
    let at = expression(message, "bitwise");
    number(message, 1, 1);
    number(message, 2, 1);
    number(message, 3, 4);
    data(message, 4, &bits.to_ne_bytes());
    data(message, 5, &[0; 4]);
    at.close(message);
}

#[derive(PartialEq)]
enum Lookup {
    Is,
    IsNot,
    /// What is found, into the first register and those that follow.
    Load,
}

fn look_up(message: &mut Message, set: &Set, keys: &[&Key], how: Lookup) {
    load(message, keys);
    let at = expression(message, "lookup");
    number(message, 2, 1);
    if how == Lookup::Load {
        number(message, 3, 1);
    }
    message.text(1, set.name);
    number(message, 4, set.id);
    if how == Lookup::IsNot {
        number(message, 5, 1);
    }
    at.close(message);
}

/// NFT_NAT_DNAT, the address in the first register.
fn lead(message: &mut Message, family: u8, port: u32) {
    let at = expression(message, "nat");
    number(message, 1, 1);
    number(message, 2, family.into());
    number(message, 3, 1);
    number(message, 5, port);
    at.close(message);
}

fn immediate(message: &mut Message, register: u32, fill: impl FnOnce(&mut Message)) {
    let at = expression(message, "immediate");
    number(message, 1, register);
    fill(message);
    at.close(message);
}

/// Into the register that ends the rule.
fn verdict(message: &mut Message, code: i32, chain: &str) {
    immediate(message, 0, |message| {
        let value = message.open(2);
        let verdict = message.open(2);
        number(message, 1, code.cast_unsigned());
        if !chain.is_empty() {
            message.text(2, chain);
        }
        message.close(verdict);
        message.close(value);
    });
}
