//! What this kernel can, found out once by making the rules and taking them away in one go.

use super::rules::{self, ALL, CONNTRACK, FIB, MASQUERADE, NAT};
use crate::error::{Error, Result};
use crate::kernel::{self, Feature};
use crate::net::netlink::{NETLINK_NETFILTER, Netlink};
use crate::net::nft::{self, INET, IPV4, IPV6, Table};
use crate::sys::is;
use rustix::io::Errno;
use std::sync::OnceLock;

/// One family's table for both, or one for each where the kernel has no such family.
#[derive(Default)]
pub struct Features {
    /// With what their rules can be.
    pub tables: Vec<(Table, u8)>,
    /// Why there are none.
    refusal: Option<Error>,
}

/// What of the kernel makes the parts of a table.
const PARTS: [(u8, Feature); 4] = [
    (CONNTRACK, Feature::NftCt),
    (NAT, Feature::NftNat),
    (MASQUERADE, Feature::NftMasq),
    (FIB, Feature::NftFib),
];

/// Of the table that is made and taken away in the same transaction.
const TRIAL: &str = "tug_trial";

impl Features {
    pub fn probe() -> &'static Features {
        static PROBED: OnceLock<Features> = OnceLock::new();
        PROBED.get_or_init(|| {
            Features::find().unwrap_or_else(|error| Features {
                refusal: Some(error),
                ..Features::default()
            })
        })
    }

    fn find() -> Result<Features> {
        let mut netlink = Netlink::open(NETLINK_NETFILTER)?;
        let inet = can(&mut netlink, INET);
        if let Ok(ALL) = inet {
            return Ok(of(&[(INET, ALL)]));
        }
        let four = can(&mut netlink, IPV4).unwrap_or(0);
        match inet {
            // A family's own table is worth it only where it can more.
            Ok(can) if can | four == can => Ok(of(&[(INET, can)])),
            Err(error) if four == 0 => Err(error),
            _ => {
                let mut found = of(&[(IPV4, four)]);
                if let Ok(six) = can(&mut netlink, IPV6) {
                    found.tables.extend(of(&[(IPV6, six)]).tables);
                }
                Ok(found)
            }
        }
    }

    /// Whether the kernel has it. None where it is nothing of a table, or nobody may ask.
    pub fn has(&self, feature: Feature) -> Option<bool> {
        let is_refused = |error: &Error| is(error, Errno::PERM) || is(error, Errno::ACCESS);
        if self.refusal.as_ref().is_some_and(is_refused) {
            return None;
        }
        let can = self.tables.first().map(|(_, can)| *can);
        if feature == Feature::NfTables {
            return Some(can.is_some());
        }
        let (part, _) = PARTS.iter().find(|(_, known)| *known == feature)?;
        Some(can.is_some_and(|can| can & part != 0))
    }

    /// What is missing, and what happens instead.
    pub fn warnings(&self) -> Vec<String> {
        let Some((_, can)) = self.tables.first() else {
            let why = self.refusal.as_ref().map(Error::to_string);
            return vec![format!(
                "{}: {}",
                kernel::warning(Feature::NfTables),
                why.unwrap_or_default()
            )];
        };
        let lacks = PARTS.iter().filter(|(part, _)| can & part == 0);
        lacks
            .map(|(_, feature)| kernel::warning(*feature))
            .collect()
    }
}

fn of(families: &[(u8, u8)]) -> Features {
    let table = |(family, can): &(u8, u8)| {
        let table = Table {
            family: *family,
            name: rules::NAME,
        };
        (table, *can)
    };
    Features {
        tables: families.iter().map(table).collect(),
        refusal: None,
    }
}

/// The parts that tables of a family can have; or why there can be no table.
fn can(netlink: &mut Netlink, family: u8) -> Result<u8> {
    let mut works = |can: u8| {
        let table = Table {
            family,
            name: TRIAL,
        };
        let mut messages = vec![table.create("")];
        rules::make(table, can, &mut messages);
        messages.push(table.delete());
        netlink.transaction(nft::SUBSYSTEM, None, messages)
    };
    if works(ALL).is_ok() {
        return Ok(ALL);
    }
    // A transaction that fails makes the kernel wait for all its processors: some milliseconds.
    works(0)?;
    let mut found = 0;
    for part in [NAT, CONNTRACK, FIB, MASQUERADE] {
        if works(found | part).is_ok() {
            found |= part;
        }
    }
    Ok(found)
}
