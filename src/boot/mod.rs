//! PID 1 and boot-time containers: from the kernel's first exec to a board that works, and back.
//!
//! ```text
//!   kernel                 tug boot (PID 1)                        tug engine (comes and goes)
//!     | -- exec ------------> |  mounts, modules, sysctls, address
//!     |                       |  binds the API's socket
//!     |                       | -- start, --boot-plan DIR ----------> |  a pass: onboot in order,
//!     |                       |                                       |  then services
//!     |                       | <--- boot/pending, then SIGURG ------ |  what waits for the outside
//!     |                       |                                       |  leaves when idle
//!     |                       |  reaps; watches devices, mounts,
//!     |                       |  network, clock for what waits
//!     |                       | -- start, or SIGUSR2: once more ----> |
//!     |                       | -- start at an API request ---------> |
//!     |                       |
//!   signal or key ----------> | -- start, --boot-stop --------------> |  onshutdown, then stop all,
//!     | <-- reboot(2) ------- |  kills the rest, unmounts             |  the last ones first
//! ```
//!
//! PID 1 makes no container, has one thread and is small, so that it has little to die of; whatever
//! the engine does, it is started again. Containers live in their shims: at rest there are those and
//! PID 1. Both sides work from files below `<exec-root>/boot` that `cat` can read:
//!
//! - `status.json`: the plan's entries, what became of each and why (the pass writes it)
//! - `machine.json`: the same for the steps before (PID 1 writes it)
//! - `pending`: entries that wait for the outside, a line each (the pass writes it)
//! - `pid`: who watches
//!
//! Under another init `tug boot` does the same, but for what concerns the machine.

mod address;
mod conditions;
mod console;
pub mod init;
mod machine;
mod make;
pub mod modules;
mod mounts;
mod needs;
pub mod orders;
pub mod pass;
mod service;
mod shutdown;
pub mod state;
pub mod status;
pub mod stop;
mod watchdog;

use std::path::{Path, PathBuf};

/// Where a plan lies unless somebody says otherwise.
pub const PLAN: &str = "/etc/tug/boot";

/// Below the exec root.
fn dir(exec_root: &Path) -> PathBuf {
    exec_root.join("boot")
}
