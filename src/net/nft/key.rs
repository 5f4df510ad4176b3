//! What of a packet rules look at and sets are keyed by.

use super::number;
use super::part::expression;
use crate::net::netlink::Message;

/// An expression that loads it into a register.
pub struct Key {
    expression: &'static str,
    /// Its attributes, all of them numbers; `REGISTER` stands for the register's.
    attributes: &'static [(u32, u32)],
    /// Bytes of it.
    pub length: u32,
    /// nft(8)'s number of the type, without which it could not print a set.
    kind: u32,
}

const REGISTER: u32 = u32::MAX;

/// The attributes of each expression stand in libnftnl's order (linux/netfilter/nf_tables.h).
const fn payload(attributes: &'static [(u32, u32)], length: u32, kind: u32) -> Key {
    Key {
        expression: "payload",
        attributes,
        length,
        kind,
    }
}

const fn meta(attributes: &'static [(u32, u32)], length: u32, kind: u32) -> Key {
    Key {
        expression: "meta",
        attributes,
        length,
        kind,
    }
}

const fn ct(attributes: &'static [(u32, u32)], length: u32) -> Key {
    Key {
        expression: "ct",
        attributes,
        length,
        kind: 0,
    }
}

/// NFT_META_NFPROTO, IIFNAME, OIFNAME, L4PROTO
pub const FAMILY: Key = meta(&[(2, 15), (1, REGISTER)], 1, 2);
pub const IN_LINK: Key = meta(&[(2, 6), (1, REGISTER)], 16, 41);
pub const OUT_LINK: Key = meta(&[(2, 7), (1, REGISTER)], 16, 41);
pub const PROTOCOL: Key = meta(&[(2, 16), (1, REGISTER)], 1, 12);

/// NFT_PAYLOAD_NETWORK_HEADER: addresses, and the first byte of them.
pub const TO4: Key = payload(&[(1, REGISTER), (2, 1), (3, 16), (4, 4)], 4, 7);
pub const TO6: Key = payload(&[(1, REGISTER), (2, 1), (3, 24), (4, 16)], 16, 8);
pub const TO4_NET: Key = payload(&[(1, REGISTER), (2, 1), (3, 16), (4, 1)], 1, 0);
pub const FROM4_NET: Key = payload(&[(1, REGISTER), (2, 1), (3, 12), (4, 1)], 1, 0);
/// NFT_PAYLOAD_TRANSPORT_HEADER: where TCP, UDP and SCTP have the destination's port.
pub const PORT: Key = payload(&[(1, REGISTER), (2, 2), (3, 2), (4, 2)], 2, 13);

/// NFT_CT_STATE, STATUS, DIRECTION
pub const STATE: Key = ct(&[(2, 0), (1, REGISTER)], 4);
pub const STATUS: Key = ct(&[(2, 2), (1, REGISTER)], 4);
pub const DIRECTION: Key = ct(&[(2, 1), (1, REGISTER)], 1);

/// NFTA_FIB_F_DADDR, NFT_FIB_RESULT_ADDRTYPE: what the destination is to this host (RTN_LOCAL …).
pub const TO_TYPE: Key = Key {
    expression: "fib",
    attributes: &[(3, 2), (2, 3), (1, REGISTER)],
    length: 4,
    kind: 0,
};

impl Key {
    /// Put it into the register that begins `words` words after the first.
    pub(super) fn load(&self, message: &mut Message, words: u32) {
        let at = expression(message, self.expression);
        for (kind, value) in self.attributes {
            let value = match *value {
                REGISTER => register(words),
                value => value,
            };
            number(message, *kind, value);
        }
        at.close(message);
    }
}

/// Load keys behind each other, as a set of several wants them.
pub(super) fn load(message: &mut Message, keys: &[&Key]) {
    let mut words = 0;
    for key in keys {
        key.load(message, words);
        words += key.length.div_ceil(4);
    }
}

/// NFT_REG_1 and those that follow have 16 bytes, NFT_REG32_00 and those that follow are the same
/// memory by 4 bytes.
pub(super) fn register(words: u32) -> u32 {
    match words % 4 {
        0 => 1 + words / 4,
        _ => 8 + words,
    }
}

/// Bytes of them behind each other, each filled up to words.
pub(super) fn length(keys: &[&Key]) -> u32 {
    let lengths = keys.iter().map(|key| key.length.next_multiple_of(4));
    match keys {
        [key] => key.length,
        _ => lengths.sum(),
    }
}

/// nft(8)'s number of a row of types.
pub(super) fn kind(keys: &[&Key]) -> u32 {
    keys.iter().fold(0, |kind, key| kind << 6 | key.kind)
}
