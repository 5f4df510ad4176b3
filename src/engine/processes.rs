//! The processes of a container, as the host numbers them, and `top`.

use crate::cgroup::{self, Group};
use crate::engine::Engine;
use crate::engine::container::Container;
use crate::error::{Error, Result};
use crate::json;
use crate::json::object::Object;
use crate::runtime::{list, ps};
use crate::sys::process;
use std::path::Path;

impl Engine {
    /// What `ps` with these arguments shows of the container's processes, in JSON (API,
    /// ContainerTopResponse).
    pub fn top(&self, container: &Container, args: &str) -> Result<String> {
        let pid = {
            let state = container.lock();
            if !state.phase.is_up() {
                let id = &container.id;
                return Err(Error::conflict(format!("container {id} is not running")));
            }
            if state.pid == 0 {
                return Err(Error::conflict(format!(
                    "Container {} is restarting, wait until the container is running",
                    container.id
                )));
            }
            state.pid
        };
        let table = ps::table(&self.pids(container, pid), args)?;
        // Docker's ps shows every process, and it picks those of the container by this column.
        if !table.titles.iter().any(|title| title == "PID") {
            return Err(Error::invalid("Couldn't find PID field in ps output"));
        }
        self.tell(container, "top", &[]);
        let mut answer = Object::new();
        answer
            .put("Processes", &json::to_string(&table.rows))
            .put("Titles", &json::to_string(&table.titles));
        Ok(answer.finish())
    }

    /// The cgroup of a running container, if it has one of its own.
    pub(super) fn group(&self, container: &Container, pid: i32) -> Option<Group> {
        let own = list::find(&self.runtime_root(), &container.id);
        if let Ok(found) = own {
            return found.record.group();
        }
        // Another runtime made it. One that was told to do without, or that has its groups in cgroup
        // v1, leaves the container in its shim's group, and that is not the container's alone.
        cgroup::of_process(pid)
            .ok()?
            .filter(|group| group.path().ends_with(&container.id))
    }

    /// All processes; `pid` is the first.
    pub(super) fn pids(&self, container: &Container, pid: i32) -> Vec<i32> {
        let of_group = self.group(container, pid).map(|group| group.pids());
        match of_group {
            Some(Ok(pids)) if !pids.is_empty() => pids,
            _ => beside(pid),
        }
    }
}

/// Without a group: all in the process namespace of `pid`, or only itself where that is ours.
fn beside(pid: i32) -> Vec<i32> {
    let namespace =
        |pid: &str| std::fs::read_link(Path::new("/proc").join(pid).join("ns/pid")).ok();
    let own = namespace("self");
    let wanted = namespace(&pid.to_string());
    if wanted.is_none() || wanted == own {
        return vec![pid];
    }
    let mut pids = process::all();
    pids.retain(|pid| namespace(&pid.to_string()) == wanted);
    pids.sort_unstable();
    pids
}
