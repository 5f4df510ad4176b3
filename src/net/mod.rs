//! The network of a container, by raw netlink: a namespace, its links, addresses and routes
//! (`endpoint`), the host's bridges, the packet filter's rules (`firewall`, written in `nft`), names
//! (`dns`) and published ports where no rule leads to them (`proxy`).
//!
//! Gets a namespace's descriptor and a `plan`, and knows nothing of containers, images or records.

pub mod address;
pub mod bridge;
mod conntrack;
pub mod device;
pub mod dns;
pub mod endpoint;
pub mod firewall;
pub mod link;
pub mod namespace;
pub mod netlink;
mod nft;
pub mod plan;
pub mod proxy;
pub mod route;
pub mod sysctl;

use crate::error::Result;
use crate::sys::raw;
use crate::sys::{failed, socket};

/// Bring up `lo` in our network namespace; the kernel gives it 127.0.0.1 and ::1 itself.
pub fn loopback_up() -> Result<()> {
    let socket = socket::datagram()?;
    raw::set_link_up(&socket, c"lo").map_err(|errno| failed("bring up", "lo", errno))
}
