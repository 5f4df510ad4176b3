//! The OCI runtime: a bundle directory in, a running process out.
//!
//! Knows nothing of images, networks or Docker. Every verb can be repeated after a crash: what a
//! container is stands in `<root>/<id>/state.json`, what it does is asked of the kernel.
//!
//! Callers have a single thread: a container's first process is a fork of theirs.

pub mod binary;
pub mod birth;
mod child;
mod console;
mod copyup;
pub mod create;
pub mod delete;
mod devices;
pub mod exec;
pub mod features;
mod hooks;
mod idmap;
mod kept_mounts;
mod keyring;
pub mod kill;
mod limits;
pub mod list;
pub mod lsm;
mod mapped;
mod mask;
mod mount;
mod oom;
mod options;
mod pivot;
mod plan;
pub mod plug;
mod procfs;
mod program;
pub mod ps;
mod record;
mod report;
mod rootfs;
mod schedule;
pub mod seccomp;
pub mod start;
pub mod state;
pub mod sysctl;
mod target;
pub mod update;
pub mod user;
mod validate;
mod walk;
