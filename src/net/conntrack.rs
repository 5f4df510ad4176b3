//! Connections that the kernel keeps in mind (ctnetlink), and making it forget some.
//!
//! What has begun to flow goes on as it began, whatever the rules say by now. A client that sends
//! datagrams without a pause would never reach a container that has come, or would send to one that
//! has gone for ever.

use super::netlink::{Message, NETLINK_NETFILTER, Netlink, attribute, attributes};
use super::nft::{IPV4, IPV6};
use crate::error::Result;
use std::net::IpAddr;

/// linux/netfilter/nfnetlink_conntrack.h: NFNL_SUBSYS_CTNETLINK with IPCTNL_MSG_CT_GET, _DELETE
const GET: u32 = 1 << 8 | 1;
const DELETE: u32 = 1 << 8 | 2;

/// CTA_TUPLE_ORIG, CTA_TUPLE_REPLY
const THERE: u32 = 1;
const BACK: u32 = 2;
const CTA_ID: u32 = 12;
const CTA_ZONE: u32 = 18;
/// Since Linux 5.8. Its CTA_FILTER_ORIG_FLAGS and CTA_FILTER_REPLY_FLAGS have the numbers of the tuples.
const CTA_FILTER: u32 = 25;

/// In a tuple: CTA_TUPLE_IP, CTA_TUPLE_PROTO.
const ADDRESSES: u32 = 1;
const PROTOCOL: u32 = 2;
/// CTA_PROTO_NUM, CTA_PROTO_DST_PORT
const NUMBER: u32 = 1;
const PORT: u32 = 3;

/// net/netfilter/nf_internals.h: CTA_FILTER_F_CTA_IP_SRC, CTA_FILTER_F_CTA_PROTO_NUM
const BY_SOURCE: u32 = 1;
const BY_PROTOCOL: u32 = 1 << 3;

pub const UDP: u8 = 17;

/// Of our network namespace.
const COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";

/// Ports that follow each other: the first, and how many.
pub type Ports = (u16, u16);

/// Forget all that leads to `address`.
pub fn forget_address(address: IpAddr) -> Result<()> {
    let (family, kind, bytes) = match address {
        IpAddr::V4(four) => (IPV4, 1, four.octets().to_vec()),
        IpAddr::V6(six) => (IPV6, 3, six.octets().to_vec()),
    };
    let mut question = question(family, BACK, BY_SOURCE);
    let tuple = question.open(BACK);
    let addresses = question.open(ADDRESSES);
    question.put(kind, &bytes);
    question.close(addresses);
    question.close(tuple);
    forget(family, question, &|_| true)
}

/// Forget datagrams that go to these ports, wherever they have been led.
pub fn forget_datagrams(family: u8, ports: &[Ports]) -> Result<()> {
    let mut question = question(family, THERE, BY_PROTOCOL);
    let tuple = question.open(THERE);
    let protocol = question.open(PROTOCOL);
    question.put(NUMBER, &[UDP]);
    question.close(protocol);
    question.close(tuple);
    forget(family, question, &|flow| {
        let port = attribute(flow, THERE)
            .and_then(|tuple| attribute(tuple, PROTOCOL))
            .and_then(|protocol| attribute(protocol, PORT)?.try_into().ok())
            .map(u16::from_be_bytes);
        let is_in = |(first, count): &Ports| {
            port.is_some_and(|port| port.checked_sub(*first).is_some_and(|n| n < *count))
        };
        ports.iter().any(is_in)
    })
}

/// struct nfgenmsg; the kernel shows only what agrees in these parts of that tuple.
fn question(family: u8, tuple: u32, parts: u32) -> Message {
    let mut message = Message::new(GET, 0, &[family, 0, 0, 0]);
    let filter = message.open(CTA_FILTER);
    message.number(tuple, parts);
    message.close(filter);
    message
}

fn forget(family: u8, question: Message, is_meant: &dyn Fn(&[u8]) -> bool) -> Result<()> {
    // To show them, the kernel goes through a table of up to a quarter of a million places, which
    // takes some milliseconds.
    if std::fs::read(COUNT).is_ok_and(|count| count == b"0\n") {
        return Ok(());
    }
    let mut netlink = Netlink::open(NETLINK_NETFILTER)?;
    let mut messages = Vec::new();
    for flow in netlink.dump(&question)? {
        let flow = flow.get(4..).unwrap_or_default();
        if !is_meant(flow) {
            continue;
        }
        let mut message = Message::new(DELETE, 0, &[family, 0, 0, 0]);
        // With its id, so that it is this one and none that has come since.
        for (kind, value) in attributes(flow) {
            match kind {
                THERE => {
                    let at = message.open(THERE);
                    message.append(value);
                    message.close(at);
                }
                CTA_ID | CTA_ZONE => {
                    message.put(kind, value);
                }
                _ => {}
            }
        }
        messages.push(message);
    }
    // One that has ended meanwhile is refused, and all is well.
    let _ = netlink.batch(messages);
    Ok(())
}
