//! Networks.

use super::not_yet;
use crate::error::Result;
use crate::wire::container::{HostConfig, NetworkingConfig};

/// Networks asked for at create must be the one of the network mode.
pub fn check(networking: Option<NetworkingConfig>, host: &HostConfig) -> Result<()> {
    let networking = networking.unwrap_or_default();
    for (name, endpoint) in networking.endpoints_config.unwrap_or_default() {
        let mode = host.network_mode.as_deref().unwrap_or_default();
        if name != mode && name != "default" {
            return Err(not_yet(format_args!("network \"{name}\"")));
        }
        let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        if given(&endpoint.ip_address) || given(&endpoint.mac_address) {
            return Err(not_yet(format_args!(
                "a fixed address in network \"{name}\""
            )));
        }
    }
    Ok(())
}
