//! The OOM score of a process in the making.

use crate::error::{Error, Result};
use crate::oci::spec::Process;

/// Set what is asked for, where it is not so already. `pid` may be `self`.
///
/// By somebody in the host's namespaces, before the process is beyond them: in a user namespace
/// nobody may lower a score, and the host's /proc is the real one (CVE-2019-16884).
pub fn set(process: &Process, pid: &str) -> Result<()> {
    let Some(wanted) = process.oom_score_adj else {
        return Ok(());
    };
    let path = format!("/proc/{pid}/oom_score_adj");
    let now = std::fs::read_to_string(&path).ok();
    if now.is_some_and(|now| now.trim().parse() == Ok(wanted)) {
        return Ok(());
    }
    std::fs::write(&path, wanted.to_string())
        .map_err(|error| Error::io(format_args!("write {wanted} to {path}"), &error))
}
