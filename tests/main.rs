//! The real binary on the real kernel, a file a capability.
//!
//! Each test has an engine of its own in a directory of its own (`harness::Host`), and leaves the
//! machine as it found it: `Host` looks for mounts, cgroups, namespaces, processes, sockets and
//! files when it goes. They need root and Debian's busybox-static (`scripts/test` installs it).
//! `TUG_BINARY` names the binary to test; without it, it is the one that cargo has just built.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod harness;

mod api;
mod bad_input;
mod docker_client;
mod engine_restart;
mod events;
mod exec;
mod footprint;
mod images;
mod init;
mod leak;
mod lifecycle;
mod limits;
mod listen;
mod logs;
mod names;
mod power_loss;
mod run;
mod runtime_cli;
mod security;
mod shim_lost;
