//! Tables, their chains and rules.

use super::part::Part;
use super::{SUBSYSTEM, comment, number};
use crate::net::netlink::Message;
use linux_raw_sys::netlink as kernel;

#[derive(Clone, Copy)]
pub struct Table {
    pub family: u8,
    pub name: &'static str,
}

/// `hook` is `None` for one that others jump to.
pub struct Chain {
    pub name: &'static str,
    pub hook: Option<Hook>,
    pub comment: &'static str,
}

pub struct Hook {
    /// `filter` or `nat`.
    pub kind: &'static str,
    pub number: u32,
    pub priority: i32,
}

const NFT_MSG_NEWTABLE: u32 = 0;
const NFT_MSG_GETTABLE: u32 = 1;
const NFT_MSG_DELTABLE: u32 = 2;
const NFT_MSG_NEWCHAIN: u32 = 3;
const NFT_MSG_NEWRULE: u32 = 6;
const NFT_MSG_GETGEN: u32 = 16;

/// NFTA_GEN_ID in what the kernel answers to `generation`, and NFTA_GEN_PROC_NAME in its notice of one.
pub const GENERATION_ID: u32 = 1;
pub const GENERATION_BY: u32 = 3;

/// Asks for the number that each transaction counts up.
pub fn generation() -> Message {
    Message::new(kind(NFT_MSG_GETGEN), 0, &[0; 4])
}

const fn kind(kind: u32) -> u32 {
    (SUBSYSTEM as u32) << 8 | kind
}

impl Table {
    /// With the table's name, which each message begins with.
    pub(super) fn message(&self, kind: u32, flags: u32) -> Message {
        // struct nfgenmsg
        let header = [self.family, 0, 0, 0];
        let mut message = Message::new(self::kind(kind), flags, &header);
        message.text(1, self.name);
        message
    }

    /// Nothing happens if there is such a table.
    pub fn create(&self, text: &str) -> Message {
        let mut message = self.message(NFT_MSG_NEWTABLE, 0);
        number(&mut message, 2, 0);
        comment(&mut message, 6, 0, text);
        message
    }

    pub fn get(&self) -> Message {
        self.message(NFT_MSG_GETTABLE, 0)
    }

    /// With all that is in it.
    pub fn delete(&self) -> Message {
        self.message(NFT_MSG_DELTABLE, 0)
    }

    pub fn chain(&self, chain: &Chain) -> Message {
        let mut message = self.message(NFT_MSG_NEWCHAIN, kernel::NLM_F_CREATE);
        message.text(3, chain.name);
        if let Some(hook) = &chain.hook {
            message.text(7, hook.kind);
            // NF_ACCEPT is the policy.
            number(&mut message, 5, 1);
            let at = message.open(4);
            number(&mut message, 1, hook.number);
            number(&mut message, 2, hook.priority.cast_unsigned());
            message.close(at);
        }
        comment(&mut message, 12, 0, chain.comment);
        message
    }

    /// Behind those that the chain has.
    pub fn rule(&self, chain: &str, parts: &[Part<'_>], text: &str) -> Message {
        let flags = kernel::NLM_F_CREATE | kernel::NLM_F_APPEND;
        let mut message = self.message(NFT_MSG_NEWRULE, flags);
        message.text(2, chain);
        let expressions = message.open(4);
        for part in parts {
            part.write(&mut message);
        }
        message.close(expressions);
        comment(&mut message, 7, 0, text);
        message
    }
}
