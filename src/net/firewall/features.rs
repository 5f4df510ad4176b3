//! What this kernel can, found out once by making the rules and taking them away in one go.

use super::rules::{self, ALL, CONNTRACK, FIB, MASQUERADE, NAT};
use crate::error::{Error, Result};
use crate::net::netlink::{NETLINK_NETFILTER, Netlink};
use crate::net::nft::{self, INET, IPV4, IPV6, Table};
use std::sync::OnceLock;

/// One family's table for both, or one for each where the kernel has no such family.
#[derive(Default)]
pub struct Features {
    /// With what their rules can be.
    pub tables: Vec<(Table, u8)>,
    /// Why there are none.
    refusal: Option<Error>,
}

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

    /// What is missing, and what happens instead.
    pub fn warnings(&self) -> Vec<String> {
        const LACKS: [(u8, &str); 4] = [
            (
                CONNTRACK,
                "NFT_CT: containers are reachable from outside by their own addresses",
            ),
            (NAT, "NFT_NAT: published ports go through tug proxy"),
            (
                MASQUERADE,
                "NFT_MASQ: containers reach the outside only where routes lead back to them",
            ),
            (
                FIB,
                "NFT_FIB_INET: ports published at all addresses go through tug proxy",
            ),
        ];
        let Some((_, can)) = self.tables.first() else {
            let why = self.refusal.as_ref().map(Error::to_string);
            return vec![format!(
                "WARNING: No packet filter in the kernel (CONFIG_NF_TABLES): networks are not isolated, published ports go through tug proxy, containers reach the outside only where routes lead back to them: {}",
                why.unwrap_or_default()
            )];
        };
        let lacks = LACKS.iter().filter(|(need, _)| can & need == 0);
        lacks
            .map(|(_, lack)| format!("WARNING: No CONFIG_{lack}"))
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
