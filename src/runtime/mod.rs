//! The OCI runtime: a bundle directory in, a running process out.
//!
//! Knows nothing of images, networks or Docker. Every verb can be repeated after a crash: what a
//! container is stands in `<root>/<id>/state.json`, what it does is asked of the kernel.
//!
//! Callers have a single thread: a container's first process is a fork of theirs.

pub mod binary;
mod child;
mod console;
pub mod create;
pub mod delete;
mod devices;
pub mod exec;
pub mod kill;
mod limits;
pub mod list;
mod mask;
mod mount;
mod plan;
mod program;
mod record;
mod report;
mod rootfs;
pub mod start;
pub mod state;
mod sysctl;
mod user;
mod walk;
