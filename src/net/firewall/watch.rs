//! Noticing that somebody else has taken our rules away, and having them restored.
//!
//! The kernel tells of each change in nf_tables; at the end of each transaction it names the program.
//! What the engine itself has done is known by its sockets' ports; shims only ever take elements out.

use super::rules::NAME;
use crate::error::{Context, Result};
use crate::net::netlink::{NETLINK_NETFILTER, Netlink, Notice, attribute};
use crate::net::nft::{GENERATION_BY, SUBSYSTEM};
use crate::sys::{poll, thread};
use rustix::event::PollFlags;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// NFNLGRP_NFTABLES
const GROUP: u32 = 7;

const STACK_BYTES: usize = 64 << 10;

/// Who reloads a firewall does so in several steps; and with somebody who takes our rules away each
/// time, we do not quarrel all day long.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Rules that have been left alone for so long are not being quarrelled about.
const PEACE: Duration = Duration::from_secs(2);

/// nf_tables.h: NFT_MSG_DELTABLE, _DELCHAIN, _DELRULE, _DELSET, _DELSETELEM, _NEWGEN
const DELTABLE: u16 = 2;
const DELCHAIN: u16 = 5;
const DELRULE: u16 = 8;
const DELSET: u16 = 11;
const DELSETELEM: u16 = 14;
const NEWGEN: u16 = 15;

/// The first attribute of all of them.
const TABLE: u32 = 1;

/// Ports of the sockets that this process has changed the table by, the latest ones.
static OWN: [AtomicU32; 16] = [const { AtomicU32::new(0) }; 16];
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// What this socket does is ours.
pub(super) fn is_ours(netlink: &Netlink) {
    let place = NEXT.fetch_add(1, Ordering::Relaxed) % OWN.len();
    if let Some(place) = OWN.get(place) {
        place.store(netlink.port(), Ordering::SeqCst);
    }
}

/// Call `restore` whenever somebody has taken something away, from now on. One thread for all time, in
/// the network namespace of the caller.
pub fn watch(restore: Box<dyn Fn() + Send>) -> Result<()> {
    let mut netlink = Netlink::open(NETLINK_NETFILTER)?;
    netlink
        .join(GROUP)
        .context(|| "watch the packet filter's rules")?;
    let work = move || {
        let mut watch = Watch::default();
        let mut pause = PAUSE_MIN;
        let mut restored: Option<Instant> = None;
        while poll::wait(&[(netlink.as_fd(), PollFlags::IN)], None).is_ok() {
            if !watch.take(netlink.notices()) {
                continue;
            }
            // At once: until then nothing keeps networks apart.
            restore();
            let is_quarrel = restored.is_some_and(|last| last.elapsed() < PEACE + pause);
            pause = match is_quarrel {
                true => (pause * 2).min(PAUSE_MAX),
                false => PAUSE_MIN,
            };
            restored = Some(Instant::now());
            std::thread::sleep(pause);
        }
    };
    thread::spawn("firewall", STACK_BYTES, Box::new(work)).map(drop)
}

/// What has been taken away in the transaction that is being told of.
#[derive(Default)]
struct Watch {
    rules: bool,
    elements: bool,
}

impl Watch {
    /// Whether somebody else has taken something away.
    fn take(&mut self, notices: Result<Vec<Notice>>) -> bool {
        // More than the socket could hold: it may have been ours.
        let Ok(notices) = notices else {
            return true;
        };
        let mut is_touched = false;
        for notice in notices {
            is_touched |= self.take_one(&notice);
        }
        is_touched
    }

    fn take_one(&mut self, notice: &Notice) -> bool {
        let [kind, subsystem] = notice.kind.to_le_bytes();
        let attributes = notice.payload.get(4..).unwrap_or_default();
        if subsystem != SUBSYSTEM {
            return false;
        }
        match u16::from(kind) {
            DELTABLE | DELCHAIN | DELRULE | DELSET => self.rules |= is_of_table(attributes),
            DELSETELEM => self.elements |= is_of_table(attributes),
            NEWGEN => {
                let ended = std::mem::take(self);
                let is_own = OWN
                    .iter()
                    .any(|port| port.load(Ordering::SeqCst) == notice.port);
                let program = attribute(attributes, GENERATION_BY).unwrap_or_default();
                let is_shims = program.starts_with(b"tug-shim");
                return !is_own && (ended.rules || (ended.elements && !is_shims));
            }
            _ => {}
        }
        false
    }
}

fn is_of_table(attributes: &[u8]) -> bool {
    attribute(attributes, TABLE).and_then(|name| name.strip_suffix(&[0])) == Some(NAME.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(kind: u16, port: u32, attributes: &[(u16, &[u8])]) -> Notice {
        let mut payload = vec![1, 0, 0, 0];
        for (kind, value) in attributes {
            payload.extend((value.len() as u16 + 4).to_ne_bytes());
            payload.extend(kind.to_ne_bytes());
            payload.extend(*value);
            payload.resize(payload.len().next_multiple_of(4), 0);
        }
        Notice {
            kind: u16::from(SUBSYSTEM) << 8 | kind,
            port,
            payload,
        }
    }

    #[test]
    fn what_others_take_from_our_table_counts() {
        let netlink = Netlink::open(NETLINK_NETFILTER).unwrap();
        is_ours(&netlink);
        let foreign = netlink.port().wrapping_add(7);
        type Case<'a> = (u16, &'a [u8], u32, &'a [u8], bool);
        let cases: [Case<'_>; 8] = [
            (DELTABLE, b"tug\0", foreign, b"nft\0", true),
            (DELRULE, b"tug\0", foreign, b"nft\0", true),
            (DELRULE, b"tug\0", foreign, b"tug-shim\0", true),
            (DELRULE, b"tugs\0", foreign, b"nft\0", false),
            (DELTABLE, b"tug\0", netlink.port(), b"tugd\0", false),
            (DELSETELEM, b"tug\0", foreign, b"nft\0", true),
            (DELSETELEM, b"tug\0", foreign, b"tug-shim\0", false),
            (6, b"tug\0", foreign, b"nft\0", false),
        ];
        let mut watch = Watch::default();
        for (n, (kind, table, port, program, is_touched)) in cases.into_iter().enumerate() {
            let notices = vec![
                notice(kind, port, &[(1, table), (2, b"forward\0")]),
                notice(NEWGEN, port, &[(1, &[0, 0, 0, 9]), (3, program)]),
            ];
            assert_eq!(watch.take(Ok(notices)), is_touched, "{n}");
        }
        let torn = Notice {
            kind: u16::from(SUBSYSTEM) << 8 | DELTABLE,
            port: 1,
            payload: vec![1, 0],
        };
        assert!(!watch.take(Ok(vec![torn])));
    }
}
