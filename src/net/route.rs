//! Default routes.

use crate::error::Result;
use crate::net::address::{self, AF_INET, AF_INET6};
use crate::net::netlink::{Message, Netlink};
use crate::sys::is;
use linux_raw_sys::netlink as kernel;
use rustix::io::Errno;
use std::net::IpAddr;

/// `<linux/rtnetlink.h>`: main table, who boots, to one receiver.
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RTN_UNICAST: u8 = 1;
const RT_SCOPE_LINK: u8 = 253;

const GATEWAY: u32 = kernel::rtattr_type_t::RTA_GATEWAY as u32;
const OUT: u32 = kernel::rtattr_type_t::RTA_OIF as u32;

/// The way out of a family's packets.
pub struct Default {
    pub is_ipv6: bool,
    /// Without one everything is on the link itself.
    pub gateway: Option<IpAddr>,
    pub index: u32,
}

impl Default {
    /// Whatever way there was before.
    pub fn set(&self, netlink: &mut Netlink) -> Result<()> {
        netlink.ask(self.message()).map(drop)
    }

    fn message(&self) -> Message {
        let flags = kernel::NLM_F_CREATE | kernel::NLM_F_REPLACE;
        let scope = if self.gateway.is_some() || self.is_ipv6 {
            0
        } else {
            RT_SCOPE_LINK
        };
        let header = header(self.is_ipv6, RTPROT_BOOT, scope, RTN_UNICAST);
        let mut message = Message::new(kernel::RTM_NEWROUTE as u32, flags, &header);
        if let Some(gateway) = self.gateway {
            message.put(GATEWAY, &address::bytes(gateway));
        }
        message.number(OUT, self.index);
        message
    }
}

/// Close a family's way out; none is a success.
pub fn remove_default(netlink: &mut Netlink, is_ipv6: bool) -> Result<()> {
    let header = header(is_ipv6, 0, RT_SCOPE_NOWHERE, 0);
    let message = Message::new(kernel::RTM_DELROUTE as u32, 0, &header);
    match netlink.ask(message) {
        // Where there was never a route of the family, there is no table.
        Err(error) if is(&error, Errno::SRCH) || is(&error, Errno::NOENT) => Ok(()),
        other => other.map(drop),
    }
}

/// Any scope, for what is to go.
const RT_SCOPE_NOWHERE: u8 = 255;

/// struct rtmsg of the route to everywhere.
fn header(is_ipv6: bool, protocol: u8, scope: u8, kind: u8) -> [u8; 12] {
    let family = if is_ipv6 { AF_INET6 } else { AF_INET };
    [
        family,
        0,
        0,
        0,
        RT_TABLE_MAIN,
        protocol,
        scope,
        kind,
        0,
        0,
        0,
        0,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn routes_are_set_as_by_ip() {
        let mut way = Default {
            is_ipv6: false,
            gateway: Some([10, 1, 0, 1].into()),
            index: 4,
        };
        // As in `link`: ip route replace default via 10.1.0.1 dev tug0
        assert_eq!(
            way.message().hex(),
            "2c00000018000505000000000000000002000000fe03000100000000080005000a010001\
             0800040004000000"
        );
        // ip route replace default dev tug0
        way.gateway = None;
        assert_eq!(
            way.message().hex(),
            "2400000018000505000000000000000002000000fe03fd01000000000800040004000000"
        );
    }
}
