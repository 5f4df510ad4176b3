//! The rules. They never change; what they look up does.
//!
//! A packet's way, and who stands at it:
//!
//! ```text
//!   from a link --> protect --> prerouting --> forward --> postrouting --> to a link
//!   from here ----------------> output ------------------> postrouting --> to a link
//! ```
//!
//! `forward` goes by `ct status dnat`, which only a connection to a published port has, and by the
//! direction, not by `ct state established`: a connection that came to be in a moment without rules
//! (somebody flushed them) is cut off, too.

use crate::net::netlink::Message;
use crate::net::nft::{
    Chain, DIRECTION, FAMILY, FROM4_NET, Hook, IN_LINK, INET, IPV4, IPV6, Key, OUT_LINK, PORT,
    PROTOCOL, Part, STATE, STATUS, Set, TO_TYPE, TO4, TO4_NET, TO6, Table,
};

pub const NAME: &str = "tug";
pub const ABOUT: &str = "made by tug: networks and published ports of containers";

/// What of the kernel rules need.
pub const NAT: u8 = 1;
pub const MASQUERADE: u8 = 2;
pub const FIB: u8 = 4;
pub const CONNTRACK: u8 = 8;
pub const ALL: u8 = 15;

/// Links of networks have the family beside them, as its rules may be off for one of them.
const LINK: &[&Key] = &[&FAMILY, &IN_LINK];
const FROM: &[&Key] = &[&FAMILY, &IN_LINK];
const INTO: &[&Key] = &[&FAMILY, &OUT_LINK];
const ACROSS: &[&Key] = &[&FAMILY, &IN_LINK, &OUT_LINK];
const EXACT4: &[&Key] = &[&TO4, &PROTOCOL, &PORT];
const EXACT6: &[&Key] = &[&TO6, &PROTOCOL, &PORT];
const ANY: &[&Key] = &[&PROTOCOL, &PORT];
const LED4: &[&Key] = &[&TO4, &PORT];
const LED6: &[&Key] = &[&TO6, &PORT];

macro_rules! sets {
    ($($NAME:ident $id:literal $name:literal $keys:ident $data:expr, $comment:literal;)+) => {
        $(pub static $NAME: Set = Set {
            name: $name,
            id: $id,
            keys: $keys,
            data: $data,
            comment: $comment,
        };)+
        /// All of them.
        pub static SETS: &[&Set] = &[$(&$NAME,)+];
    };
}

sets! {
    BRIDGES 1 "bridges" LINK &[], "links of all networks";
    INTERNAL 2 "internal" LINK &[], "networks that nothing leaves or enters";
    NEIGHBOURS 3 "neighbours" ACROSS &[], "networks whose containers talk to each other";
    MASQUERADED 4 "masqueraded" LINK &[], "networks that go out with the host's address";
    BY_PROXY 5 "by_proxy" LINK &[], "networks whose own containers reach published ports by tug proxy";
    LOOPBACK4 6 "loopback4" EXACT4 &[], "ports published for this host alone";
    PUBLISHED4 7 "published4" EXACT4 LED4, "ports published at one address";
    PUBLISHED6 8 "published6" EXACT6 LED6, "ports published at one address";
    ANYWHERE4 9 "anywhere4" ANY LED4, "ports published at all addresses";
    ANYWHERE6 10 "anywhere6" ANY LED6, "ports published at all addresses";
}

const fn hook(kind: &'static str, number: u32, priority: i32) -> Option<Hook> {
    Some(Hook {
        kind,
        number,
        priority,
    })
}

const PROTECT: &str = "protect";
const PUBLISH: &str = "publish";
const PREROUTING: &str = "prerouting";
pub const OUTPUT: &str = "output";
const FORWARD: &str = "forward";
const POSTROUTING: &str = "postrouting";

/// NF_INET_LOCAL_OUT, before its routing: where destinations are changed (NF_IP_PRI_NAT_DST).
pub const LOCAL_OUT: Option<Hook> = hook("nat", 3, -100);

/// Each with what it needs (linux/netfilter.h: enum nf_inet_hooks, nf_ip_hook_priorities).
pub static CHAINS: &[(u8, Chain)] = &[
    (
        0,
        Chain {
            name: PROTECT,
            hook: hook("filter", 0, -300),
            comment: "addresses of the loopback, from outside",
        },
    ),
    (
        NAT,
        Chain {
            name: PUBLISH,
            hook: None,
            comment: "published ports",
        },
    ),
    (
        NAT,
        Chain {
            name: PREROUTING,
            hook: hook("nat", 0, -100),
            comment: "",
        },
    ),
    (
        NAT,
        Chain {
            name: OUTPUT,
            hook: LOCAL_OUT,
            comment: "",
        },
    ),
    (
        0,
        Chain {
            name: FORWARD,
            hook: hook("filter", 2, 0),
            comment: "who reaches containers, and whom they reach",
        },
    ),
    (
        NAT,
        Chain {
            name: POSTROUTING,
            hook: hook("nat", 4, 100),
            comment: "the host's address in place of the container's",
        },
    ),
];

pub struct Rule {
    pub chain: &'static str,
    /// The one family that it is for; 0 for both.
    pub family: u8,
    /// What it needs of the kernel, and what stands in its stead.
    pub needs: u8,
    pub unless: u8,
    pub parts: &'static [Part<'static>],
    pub comment: &'static str,
}

const fn rule(chain: &'static str, needs: u8, parts: &'static [Part<'static>]) -> Rule {
    Rule {
        chain,
        family: 0,
        needs,
        unless: 0,
        parts,
        comment: "",
    }
}

impl Rule {
    const fn of(mut self, family: u8) -> Rule {
        self.family = family;
        self
    }

    const fn unless(mut self, feature: u8) -> Rule {
        self.unless = feature;
        self
    }

    const fn because(mut self, comment: &'static str) -> Rule {
        self.comment = comment;
        self
    }
}

const LO: &[u8; 16] = b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const IS_IPV4: Part<'static> = Part::Family(IPV4);
const IS_IPV6: Part<'static> = Part::Family(IPV6);
const TO_LOOPBACK: Part<'static> = Part::Is(&TO4_NET, &[127]);
const FROM_LOOPBACK: Part<'static> = Part::Is(&FROM4_NET, &[127]);
/// RTN_LOCAL of linux/rtnetlink.h. Without it, what passes through to the same port of another host
/// would be led astray, too (CVE-2025-67499).
const TO_HOST: Part<'static> = Part::Is(&TO_TYPE, &2u32.to_ne_bytes());
/// IPS_DST_NAT: the connection has been led to where it goes.
const IS_LED: Part<'static> = Part::Has(&STATUS, 1 << 5);
/// IP_CT_RELATED, as nft_ct has it: ICMP's answers to something else.
const IS_RELATED: Part<'static> = Part::Has(&STATE, 1 << 2);
const IS_REPLY: Part<'static> = Part::Is(&DIRECTION, &[1]);
const FROM_BRIDGE: Part<'static> = Part::In(&BRIDGES, FROM);
const INTO_BRIDGE: Part<'static> = Part::In(&BRIDGES, INTO);
const NOT_INTO_BRIDGE: Part<'static> = Part::NotIn(&BRIDGES, INTO);

/// In this order.
pub static RULES: &[Rule] = &[
    rule(PROTECT, 0, &[Part::Is(&IN_LINK, LO), Part::Accept]),
    rule(
        PROTECT,
        0,
        &[
            IS_IPV4,
            TO_LOOPBACK,
            Part::In(&LOOPBACK4, EXACT4),
            Part::Drop,
        ],
    )
    .of(IPV4)
    .because("where route_localnet is on"),
    rule(PROTECT, 0, &[IS_IPV4, TO_LOOPBACK, FROM_BRIDGE, Part::Drop]).of(IPV4),
    rule(
        PROTECT,
        0,
        &[IS_IPV4, FROM_LOOPBACK, FROM_BRIDGE, Part::Drop],
    )
    .of(IPV4),
    rule(PUBLISH, NAT, &[IS_IPV4, Part::Lead(&PUBLISHED4, EXACT4)]).of(IPV4),
    rule(PUBLISH, NAT, &[IS_IPV6, Part::Lead(&PUBLISHED6, EXACT6)]).of(IPV6),
    // Connections to addresses of the loopback itself are tug proxy's.
    rule(
        PUBLISH,
        NAT | FIB,
        &[
            IS_IPV4,
            Part::IsNot(&TO4_NET, &[127]),
            Part::Lead(&ANYWHERE4, ANY),
        ],
    )
    .of(IPV4),
    rule(
        PUBLISH,
        NAT | FIB,
        &[
            IS_IPV6,
            Part::IsNot(&TO6, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            Part::Lead(&ANYWHERE6, ANY),
        ],
    )
    .of(IPV6),
    rule(PREROUTING, NAT, &[Part::In(&BY_PROXY, FROM), Part::Accept])
        .because("bridge-nf-call-iptables is on"),
    rule(PREROUTING, NAT | FIB, &[TO_HOST, Part::Jump(PUBLISH)]),
    rule(PREROUTING, NAT, &[Part::Jump(PUBLISH)])
        .unless(FIB)
        .because("no NFT_FIB_INET"),
    rule(OUTPUT, NAT | FIB, &[TO_HOST, Part::Jump(PUBLISH)]),
    rule(OUTPUT, NAT, &[Part::Jump(PUBLISH)]).unless(FIB),
    rule(FORWARD, 0, &[Part::In(&NEIGHBOURS, ACROSS), Part::Accept]),
    rule(FORWARD, 0, &[Part::In(&INTERNAL, FROM), Part::Drop]),
    rule(FORWARD, 0, &[Part::In(&INTERNAL, INTO), Part::Drop]),
    rule(FORWARD, CONNTRACK, &[IS_LED, Part::Accept]).because("published"),
    rule(FORWARD, 0, &[NOT_INTO_BRIDGE, Part::Accept]),
    rule(FORWARD, 0, &[FROM_BRIDGE, Part::Drop]).because("from another network"),
    rule(FORWARD, CONNTRACK, &[IS_REPLY, Part::Accept]).because("what containers began"),
    rule(FORWARD, CONNTRACK, &[IS_RELATED, Part::Accept]),
    rule(FORWARD, CONNTRACK, &[Part::Drop]).because("not published"),
    // Else a container would answer a neighbour directly, who has asked somebody else.
    rule(
        POSTROUTING,
        NAT | MASQUERADE | CONNTRACK,
        &[INTO_BRIDGE, IS_LED, FROM_BRIDGE, Part::Masquerade],
    )
    .because("published ports, from containers"),
    rule(
        POSTROUTING,
        NAT | MASQUERADE,
        &[INTO_BRIDGE, IS_IPV4, FROM_LOOPBACK, Part::Masquerade],
    )
    .of(IPV4),
    rule(
        POSTROUTING,
        NAT | MASQUERADE,
        &[
            NOT_INTO_BRIDGE,
            Part::In(&MASQUERADED, FROM),
            Part::Masquerade,
        ],
    ),
];

/// The family that a set is for, 0 for both: it stands in its name.
pub fn family(set: &Set) -> u8 {
    match set.name.as_bytes().last() {
        Some(b'4') => IPV4,
        Some(b'6') => IPV6,
        _ => 0,
    }
}

/// Whether a table has what is for `family`.
pub fn fits(table: Table, family: u8) -> bool {
    table.family == INET || family == 0 || table.family == family
}

/// What a map is good for without the rules that look it up: nothing.
fn needs(set: &Set) -> u8 {
    match (set.data.len(), set.keys.len()) {
        (0, _) => 0,
        (_, 2) => NAT | FIB,
        _ => NAT,
    }
}

/// Those of a table.
pub fn sets(table: Table, can: u8) -> impl Iterator<Item = &'static Set> {
    let is_its = move |set: &&Set| needs(set) & !can == 0 && fits(table, family(set));
    SETS.iter().copied().filter(is_its)
}

/// All that is in a table but elements.
pub fn make(table: Table, can: u8, messages: &mut Vec<Message>) {
    let can_all = |needs: u8| needs & !can == 0;
    let chains = CHAINS.iter().filter(|(needs, _)| can_all(*needs));
    messages.extend(chains.map(|(_, chain)| table.chain(chain)));
    messages.extend(sets(table, can).map(|set| table.set(set)));
    let rules = RULES
        .iter()
        .filter(|rule| can_all(rule.needs) && rule.unless & can == 0 && fits(table, rule.family));
    for rule in rules {
        // In a table of one family nft(8) would stumble over the question for it.
        let is_asked =
            |part: &&Part<'static>| table.family == INET || !matches!(part, Part::Family(_));
        let parts: Vec<Part<'_>> = rule.parts.iter().filter(is_asked).copied().collect();
        messages.push(table.rule(rule.chain, &parts, rule.comment));
    }
}
