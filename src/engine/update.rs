//! update: other limits and another restart policy for a container, while it runs or not.
//!
//! config.json is replaced: it holds what was asked for, and this is asking again. Then the limits
//! of a running container are changed; where the kernel refuses them, the old record comes back.

use crate::engine::container::{Container, Phase};
use crate::engine::record::{self, Asked};
use crate::engine::spec::resources;
use crate::engine::validate::{self, restart};
use crate::engine::{Engine, host, lock};
use crate::error::{Context, Error, Kind, Result};
use crate::json;
use crate::json::map::Map;
use crate::oci::spec::Spec;
use crate::shim::remedy::Action;
use crate::wire::container::{HostConfig, RestartPolicy};
use std::sync::Arc;

impl Engine {
    /// Change what `changes` says anything about. Answers the warnings.
    pub fn update(&self, container: &Container, mut changes: HostConfig) -> Result<Vec<String>> {
        let mut warnings = Vec::new();
        discard(&mut changes, &mut warnings);
        let controllers = host::controllers();
        validate::check_limits(
            &mut changes,
            controllers,
            true,
            self.options.limits,
            &mut warnings,
        )?;
        Action::of(changes.health_on_failure.as_deref())?;
        let policy = changes.restart_policy.take();
        if let Some(policy) = &policy {
            restart::check_policy(policy)?;
        }

        let _busy = container.occupy();
        let failed = || format!("Cannot update container {}", container.id);
        let phase = container.lock().phase;
        if matches!(phase, Phase::Removing | Phase::Dead | Phase::Removed) {
            return Err(Error::conflict(
                "container is marked for removal and cannot be \"update\"",
            ))
            .context(failed);
        }
        let old = container.current_host();
        let mut new = HostConfig::clone(&old);
        check_conflicts(&old, &changes).context(failed)?;
        merge(&mut new, &changes);
        if let Some(mut policy) = policy.filter(is_named) {
            if old.auto_remove == Some(true) && !restart::is_none(&policy) {
                return Err(Error::conflict(
                    "Restart policy cannot be updated because AutoRemove is enabled for the container",
                ))
                .context(failed);
            }
            policy.maximum_retry_count.get_or_insert(0);
            new.restart_policy = Some(policy);
        }

        let new = Arc::new(new);
        self.record_update(container, &new).context(failed)?;
        if let Err(error) = self.apply_update(container, &new) {
            self.record_update(container, &old)?;
            return Err(error).context(failed);
        }
        if let Some(budget) = &changes.write_budget {
            self.tell_budget(container, budget).context(failed)?;
        }
        self.tell_restart_policy(container, &new).context(failed)?;
        self.tell(container, "update", &[]);
        Ok(warnings)
    }

    fn record_update(&self, container: &Container, host: &Arc<HostConfig>) -> Result<()> {
        let asked = Asked {
            id: Some(container.id.clone()),
            name: Some(container.name()),
            created: Some(container.created.clone()),
            image: Some(container.image.clone()),
            image_id: Some(container.image_id.clone()),
            path: Some(container.path.clone()),
            args: Some(container.args.clone()),
            config: Some(container.config.clone()),
            host_config: Some(HostConfig::clone(host)),
            inherited: Some(container.inherited.clone()).filter(|list| !list.is_empty()),
            named: Some(container.named.clone()).filter(|named| !named.is_empty()),
            copied: container.is_copied.then_some(true),
            networks: Some(Map::clone(&container.networks())),
            member: container.member.clone(),
        };
        let _recording = lock(&container.recording);
        let dir = self.data_dir(&container.id);
        record::write_asked(&dir, &asked, !container.is_disposable())?;
        container.lock().updated = Some(Arc::clone(host));
        Ok(())
    }

    /// The shim may start the container again by itself, with the limits of then.
    fn update_bundle(&self, container: &Container) -> Result<()> {
        let path = self.run_dir(&container.id).join("bundle/config.json");
        let what = path.display();
        let text = std::fs::read(&path).map_err(|e| Error::io(format_args!("read {what}"), &e))?;
        let mut spec: Spec = json::parse_bytes(&text, "config.json")?;
        let linux = spec.linux.get_or_insert_default();
        linux.resources = Some(resources::of(container, host::controllers())?);
        let new = path.with_extension("new");
        crate::sys::fs::write_private(&new, json::to_string(&spec).as_bytes())?;
        crate::sys::fs::rename(&new, &path)
    }

    /// As `apply_update`.
    fn tell_budget(&self, container: &Container, budget: &str) -> Result<()> {
        let shim = {
            let state = container.lock();
            state.shim.clone().filter(|_| state.phase.is_up())
        };
        match shim.map_or(Ok(()), |shim| shim.set_budget(budget)) {
            Err(error) if matches!(error.kind, Kind::Gone | Kind::Conflict) => Ok(()),
            other => other,
        }
    }

    /// A container that does not run has its limits at the next start.
    fn apply_update(&self, container: &Container, host: &HostConfig) -> Result<()> {
        let shim = {
            let state = container.lock();
            state.shim.clone().filter(|_| state.phase.is_up())
        };
        let Some(shim) = shim else { return Ok(()) };
        let limits = resources::limits(host, host::controllers())?;
        self.update_bundle(container)?;
        match shim.update(limits) {
            // It has ended meanwhile.
            Err(error) if matches!(error.kind, Kind::Gone | Kind::Conflict) => Ok(()),
            other => other,
        }
    }
}

/// The members of the API's UpdateConfig, which are all of Resources, that a running container cannot
/// be given: Docker drops them without a word.
fn discard(changes: &mut HostConfig, warnings: &mut Vec<String>) {
    fn drop<T>(list: &mut Option<Vec<T>>) -> bool {
        list.take().is_some_and(|list| !list.is_empty())
    }
    let parent = changes.cgroup_parent.take().unwrap_or_default();
    for (was_asked, name) in [
        (!parent.is_empty(), "CgroupParent"),
        (drop(&mut changes.blkio_weight_device), "BlkioWeightDevice"),
        (
            drop(&mut changes.blkio_device_read_bps),
            "BlkioDeviceReadBps",
        ),
        (
            drop(&mut changes.blkio_device_write_bps),
            "BlkioDeviceWriteBps",
        ),
        (
            drop(&mut changes.blkio_device_read_iops),
            "BlkioDeviceReadIOps",
        ),
        (
            drop(&mut changes.blkio_device_write_iops),
            "BlkioDeviceWriteIOps",
        ),
        (drop(&mut changes.devices), "Devices"),
        (drop(&mut changes.device_cgroup_rules), "DeviceCgroupRules"),
        (drop(&mut changes.device_requests), "DeviceRequests"),
        (drop(&mut changes.ulimits), "Ulimits"),
        (changes.init.take() == Some(true), "Init"),
    ] {
        if was_asked {
            warnings.push(format!("{name} cannot be updated. {name} discarded."));
        }
    }
}

fn is_named(policy: &RestartPolicy) -> bool {
    policy.name.as_ref().is_some_and(|name| !name.is_empty())
}

/// What cannot be together with what the container has (moby, container_unix.go, UpdateContainer).
fn check_conflicts(old: &HostConfig, new: &HostConfig) -> Result<()> {
    let set = |limit: Option<i64>| limit.unwrap_or(0) > 0;
    let nano = "Conflicting options: Nano CPUs cannot be updated as CPU";
    let refusal = if set(new.nano_cpus) && set(old.cpu_period) {
        format!("{nano} Period has already been set")
    } else if set(new.nano_cpus) && set(old.cpu_quota) {
        format!("{nano} Quota has already been set")
    } else if set(new.cpu_period) && set(old.nano_cpus) {
        "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set".into()
    } else if set(new.cpu_quota) && set(old.nano_cpus) {
        "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set".into()
    } else if set(new.memory)
        && new.memory > old.memory_swap.or(Some(0))
        && new.memory_swap.unwrap_or(0) == 0
    {
        "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time".into()
    } else {
        return Ok(());
    };
    Err(Error::conflict(refusal))
}

/// Each limit that is given takes the place of the old one.
fn merge(old: &mut HostConfig, new: &HostConfig) {
    for (old, new) in [
        (&mut old.blkio_weight, new.blkio_weight),
        (&mut old.cpu_shares, new.cpu_shares),
        (&mut old.nano_cpus, new.nano_cpus),
        (&mut old.cpu_period, new.cpu_period),
        (&mut old.cpu_quota, new.cpu_quota),
        (&mut old.memory, new.memory),
        (&mut old.memory_swap, new.memory_swap),
        (&mut old.memory_reservation, new.memory_reservation),
        (&mut old.pids_limit, new.pids_limit),
    ] {
        *old = new.or(*old);
    }
    for (old, new) in [
        (&mut old.cpuset_cpus, &new.cpuset_cpus),
        (&mut old.cpuset_mems, &new.cpuset_mems),
        (&mut old.write_budget, &new.write_budget),
        (&mut old.health_on_failure, &new.health_on_failure),
    ] {
        *old = new.clone().or(old.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn host(text: &str) -> HostConfig {
        json::parse(text, "test").unwrap()
    }

    #[test]
    fn what_cannot_be_together_is_refused_in_dockers_words() {
        let swap = "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time";
        for (old, new, expected) in [
            (r#"{"Memory":1,"MemorySwap":2}"#, r#"{"Memory":3}"#, swap),
            (r#"{"MemorySwap":-1}"#, r#"{"Memory":3}"#, swap),
            ("{}", r#"{"Memory":3}"#, swap),
            (r#"{"Memory":1,"MemorySwap":2}"#, r#"{"Memory":2}"#, ""),
            (
                r#"{"Memory":1,"MemorySwap":2}"#,
                r#"{"Memory":3,"MemorySwap":4}"#,
                "",
            ),
            (
                r#"{"NanoCpus":1}"#,
                r#"{"CpuQuota":1}"#,
                "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set",
            ),
            (
                r#"{"CpuPeriod":1}"#,
                r#"{"NanoCpus":1}"#,
                "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set",
            ),
        ] {
            let told = check_conflicts(&host(old), &host(new)).err();
            assert_eq!(
                told.map_or(String::new(), |e| e.to_string()),
                expected,
                "{new}"
            );
        }
    }

    #[test]
    fn what_is_given_replaces_what_was() {
        let mut old = host(r#"{"Memory":1,"CpuShares":2,"CpusetCpus":"0","AutoRemove":true}"#);
        merge(
            &mut old,
            &host(r#"{"Memory":3,"PidsLimit":-1,"CpusetCpus":"1"}"#),
        );
        assert_eq!(
            json::to_string(&old),
            r#"{"AutoRemove":true,"CpuShares":2,"Memory":3,"CpusetCpus":"1","PidsLimit":-1}"#
        );
    }

    #[test]
    fn what_cannot_be_updated_is_told() {
        let mut changes =
            host(r#"{"Memory":3,"Ulimits":[{"Name":"nofile"}],"Devices":[],"Init":false}"#);
        let mut warnings = Vec::new();
        discard(&mut changes, &mut warnings);
        assert_eq!(warnings, ["Ulimits cannot be updated. Ulimits discarded."]);
        assert_eq!(json::to_string(&changes), r#"{"Memory":3}"#);
    }
}
