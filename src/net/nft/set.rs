//! Sets and maps, and what is in them.

use super::key::{Key, kind, length};
use super::table::Table;
use super::{comment, data, number};
use crate::net::netlink::Message;
use linux_raw_sys::netlink as kernel;

/// One that maps to something has `data`.
pub struct Set {
    pub name: &'static str,
    /// Its number among those that the same transaction makes.
    pub id: u32,
    pub keys: &'static [&'static Key],
    pub data: &'static [&'static Key],
    pub comment: &'static str,
}

/// What is, or is to be, in a set.
pub struct Element {
    pub set: &'static Set,
    pub key: Vec<u8>,
    pub data: Vec<u8>,
}

/// An attribute, and so the list of elements in a message, has at most 64 kB. The longest of our
/// elements takes 64 bytes.
const ELEMENTS_MAX: usize = 500;

const NFT_MSG_NEWSET: u32 = 9;
const NFT_MSG_NEWSETELEM: u32 = 12;
const NFT_MSG_DELSETELEM: u32 = 14;

/// NFT_SET_MAP
const MAP: u32 = 8;

impl Table {
    pub fn set(&self, set: &Set) -> Message {
        let mut message = self.message(NFT_MSG_NEWSET, kernel::NLM_F_CREATE);
        let is_map = !set.data.is_empty();
        message.text(2, set.name);
        number(&mut message, 3, if is_map { MAP } else { 0 });
        number(&mut message, 4, kind(set.keys));
        number(&mut message, 5, length(set.keys));
        if is_map {
            number(&mut message, 6, kind(set.data));
            number(&mut message, 7, length(set.data));
        }
        number(&mut message, 10, set.id);
        comment(&mut message, 13, 7, set.comment);
        message
    }

    /// Put those elements into their sets that belong into `set`. What is there already, stays.
    pub fn add(&self, set: &Set, elements: &[Element], messages: &mut Vec<Message>) {
        self.elements(NFT_MSG_NEWSETELEM, set, elements, messages);
    }

    pub fn remove(&self, set: &Set, elements: &[Element], messages: &mut Vec<Message>) {
        self.elements(NFT_MSG_DELSETELEM, set, elements, messages);
    }

    fn elements(&self, kind: u32, set: &Set, elements: &[Element], messages: &mut Vec<Message>) {
        let own: Vec<&Element> = elements.iter().filter(|e| e.set.id == set.id).collect();
        for some in own.chunks(ELEMENTS_MAX) {
            let is_new = kind == NFT_MSG_NEWSETELEM;
            let flags = if is_new { kernel::NLM_F_CREATE } else { 0 };
            let mut message = self.message(kind, flags);
            message.text(2, set.name);
            let list = message.open(3);
            for element in some {
                let at = message.open(1);
                data(&mut message, 1, &element.key);
                if is_new && !element.data.is_empty() {
                    data(&mut message, 2, &element.data);
                }
                message.close(at);
            }
            message.close(list);
            messages.push(message);
        }
    }
}
