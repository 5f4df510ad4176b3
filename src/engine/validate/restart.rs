//! Restart policies.

use crate::error::{Error, Result};
use crate::wire::container::{HostConfig, RestartPolicy};

pub fn check(host: &mut HostConfig) -> Result<()> {
    let mut policy = host.restart_policy.take().unwrap_or_default();
    check_policy(&policy)?;
    if is_none(&policy) {
        policy.name = Some("no".to_string());
    } else if host.auto_remove == Some(true) {
        return Err(Error::invalid(
            "can't create 'AutoRemove' container with restart policy",
        ));
    }
    policy.maximum_retry_count.get_or_insert(0);
    host.restart_policy = Some(policy);
    Ok(())
}

pub fn is_none(policy: &RestartPolicy) -> bool {
    matches!(policy.name.as_deref(), None | Some("" | "no"))
}

/// In moby's words (api/types/container, ValidateRestartPolicy).
pub fn check_policy(policy: &RestartPolicy) -> Result<()> {
    let count = policy.maximum_retry_count.unwrap_or(0);
    let refusal = match policy.name.as_deref().unwrap_or_default() {
        // Clients before API 1.44 send a count without a name.
        "" => return Ok(()),
        "on-failure" if count < 0 => {
            "invalid restart policy: maximum retry count cannot be negative"
        }
        "no" | "always" | "unless-stopped" if count < 0 => {
            "invalid restart policy: maximum retry count can only be used with 'on-failure' and cannot be negative"
        }
        "no" | "always" | "unless-stopped" if count > 0 => {
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
        }
        "no" | "always" | "unless-stopped" | "on-failure" => return Ok(()),
        other => {
            return Err(Error::invalid(format!(
                "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
            )));
        }
    };
    Err(Error::invalid(refusal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_checked_in_dockers_words() {
        let only = "invalid restart policy: maximum retry count can only be used with 'on-failure'";
        for (name, count, expected) in [
            ("", 5, ""),
            ("no", 0, ""),
            ("always", 0, ""),
            ("on-failure", 5, ""),
            ("always", 1, only),
            ("no", -1, &format!("{only} and cannot be negative")),
            (
                "on-failure",
                -1,
                "invalid restart policy: maximum retry count cannot be negative",
            ),
            (
                "never",
                0,
                "invalid restart policy: unknown policy 'never'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
            ),
        ] {
            let policy = RestartPolicy {
                name: Some(name.to_string()),
                maximum_retry_count: Some(count),
            };
            let told = check_policy(&policy).err();
            assert_eq!(told.map_or(String::new(), |e| e.to_string()), expected);
        }
    }
}
