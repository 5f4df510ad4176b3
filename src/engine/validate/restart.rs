//! Restart policies.

use super::not_yet;
use crate::error::{Error, Result};
use crate::wire::container::{HostConfig, RestartPolicy};

pub fn check(host: &mut HostConfig) -> Result<()> {
    let restart = host.restart_policy.take().unwrap_or_default();
    match restart.name.as_deref() {
        None | Some("" | "no") => {}
        Some(policy @ ("always" | "unless-stopped" | "on-failure")) => {
            return Err(not_yet(format_args!("restart policy \"{policy}\"")));
        }
        Some(policy) => {
            return Err(Error::invalid(format!(
                "invalid restart policy: unknown policy '{policy}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
            )));
        }
    }
    host.restart_policy = Some(RestartPolicy {
        name: Some("no".to_string()),
        maximum_retry_count: Some(0),
    });
    Ok(())
}
