//! nf_tables: tables, chains, rules and sets as plain data, and as the messages that make them.
//!
//! Knows nothing of containers. A rule is a row of `Part`s, a set a row of `Key`s; nothing here talks
//! to the kernel (`net::netlink` does). The bytes are those that nft(8) sends for the same objects,
//! so that it lists ours in full.

mod key;
mod part;
mod set;
mod table;

pub use self::key::*;
pub use self::part::Part;
pub use self::set::{Element, Set};
pub use self::table::{Chain, GENERATION_BY, GENERATION_ID, Hook, Table, generation};

use crate::net::netlink::Message;

/// linux/netfilter.h: enum nfproto
pub const INET: u8 = 1;
pub const IPV4: u8 = 2;
pub const IPV6: u8 = 10;

/// The part of netfilter that such messages go to (linux/netfilter/nfnetlink.h).
pub const SUBSYSTEM: u8 = 10;

/// Numbers in attributes are in the network's order.
fn number(message: &mut Message, kind: u32, value: u32) {
    message.put(kind, &value.to_be_bytes());
}

/// Bytes that registers and elements hold: NFTA_DATA_VALUE in an attribute of its own.
fn data(message: &mut Message, kind: u32, bytes: &[u8]) {
    let at = message.open(kind);
    message.put(1, bytes);
    message.close(at);
}

/// What nft(8) prints as `comment`, as the object's NFTA_…_USERDATA.
fn comment(message: &mut Message, kind: u32, tag: u8, text: &str) {
    if !text.is_empty() {
        let mut bytes = vec![tag, text.len() as u8 + 1];
        bytes.extend(text.as_bytes());
        bytes.push(0);
        message.put(kind, &bytes);
    }
}

#[cfg(test)]
mod tests;
