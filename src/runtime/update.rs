//! `update`: other limits for a container while it lives.

use crate::error::{Error, Result};
use crate::oci::spec::{BlockIo, Cpu, Memory, Resources};
use crate::runtime::record;
use crate::runtime::state::{self, Status};
use std::path::Path;

/// Set what `changes` names and leave the rest. Device rules stay what they were, as in runc.
pub fn update(root: &Path, id: &str, mut changes: Resources) -> Result<()> {
    record::check_id(id)?;
    // Two at once would each keep half of what they set.
    let claim = record::wait_for_claim(root, id, &|_| {})?;
    let record = record::load(root, id)?;
    if claim.is_none() || state::status(root, &record) == Status::Stopped {
        return Err(Error::conflict("container not running"));
    }
    let Some(group) = record.group() else {
        return crate::cgroup::set_up(None, None, Some(&changes), false).map(drop);
    };
    changes.devices = None;
    let mut spec = record::config(root, id)?;
    let linux = spec.linux.get_or_insert_default();
    let resources = linux.resources.get_or_insert_default();
    complete_memory(resources, &mut changes);
    group.apply(Some(&changes))?;

    merge(resources, changes);
    record::replace_config(root, id, &spec)
}

/// config.json counts memory and swap together, cgroup v2 swap alone: where one of the two limits
/// changes, the other one that was given has a part in it.
fn complete_memory(old: &Resources, changes: &mut Resources) {
    let (Some(old), Some(new)) = (&old.memory, &mut changes.memory) else {
        return;
    };
    let is_set = |limit: Option<i64>| limit.is_some_and(|limit| limit != 0);
    match (is_set(new.limit), is_set(new.swap)) {
        // Without a limit for memory, one for both would be none for memory.
        (true, false) if new.limit != Some(-1) => new.swap = old.swap,
        (false, true) => new.limit = old.limit,
        _ => {}
    }
}

/// Each member of `new` that is given takes the place of the old one.
macro_rules! replace {
    ($old:expr, $new:expr, $($member:ident),+) => {
        $( $old.$member = $new.$member.or($old.$member.take()); )+
    };
}

fn merge(old: &mut Resources, new: Resources) {
    if let Some(new) = new.memory {
        let old: &mut Memory = old.memory.get_or_insert_default();
        replace!(old, new, limit, reservation, swap, check_before_update);
    }
    if let Some(new) = new.cpu {
        let old: &mut Cpu = old.cpu.get_or_insert_default();
        replace!(old, new, shares, quota, period, burst, idle, cpus, mems);
    }
    if let Some(new) = new.block_io {
        let old: &mut BlockIo = old.block_io.get_or_insert_default();
        replace!(old, new, weight, weight_device, throttle_read_bps);
        replace!(
            old,
            new,
            throttle_write_bps,
            throttle_read_iops,
            throttle_write_iops
        );
    }
    replace!(old, new, pids, hugepage_limits, rdma);
    if let Some(new) = new.unified {
        old.unified.get_or_insert_default().extend(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn a_new_memory_limit_leaves_the_one_for_memory_and_swap() {
        let told = |changes: &str| {
            let parse = |text: &str| json::parse::<Resources>(text, "test").unwrap();
            let mut changes = parse(changes);
            complete_memory(&parse(r#"{"memory":{"limit":64,"swap":96}}"#), &mut changes);
            let memory = changes.memory.unwrap_or_default();
            (memory.limit, memory.swap)
        };
        assert_eq!(told(r#"{"memory":{"limit":80}}"#), (Some(80), Some(96)));
        assert_eq!(told(r#"{"memory":{"swap":80}}"#), (Some(64), Some(80)));
        assert_eq!(told(r#"{"memory":{"limit":-1}}"#), (Some(-1), None));
        assert_eq!(
            told(r#"{"memory":{"limit":1,"swap":2}}"#),
            (Some(1), Some(2))
        );
        assert_eq!(told(r#"{"memory":{"reservation":1}}"#), (None, None));
        assert_eq!(told("{}"), (None, None));
    }

    #[test]
    fn what_is_given_replaces_what_was() {
        let parse = |text: &str| json::parse::<Resources>(text, "test").unwrap();
        let mut old = parse(
            r#"{"memory":{"limit":1,"swap":2},"cpu":{"cpus":"0"},"devices":[],"unified":{"a.b":"1"}}"#,
        );
        merge(
            &mut old,
            parse(
                r#"{"memory":{"limit":3},"cpu":{"idle":1},"pids":{"limit":4},"unified":{"c.d":"2"}}"#,
            ),
        );
        assert_eq!(
            json::to_string(&old),
            concat!(
                r#"{"devices":[],"memory":{"limit":3,"swap":2},"cpu":{"idle":1,"cpus":"0"},"#,
                r#""pids":{"limit":4},"unified":{"a.b":"1","c.d":"2"}}"#
            )
        );
    }
}
