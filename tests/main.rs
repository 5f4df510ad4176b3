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
mod apply;
mod bad_input;
mod boot;
mod build;
mod cgroup;
mod check;
mod commit;
mod completion;
mod compose;
mod concurrency;
mod connections;
mod cp;
mod crashes;
mod create_effects;
mod create_members;
mod ctr;
mod daemon_config;
mod delta;
mod devices;
mod df;
mod diff;
mod dns;
mod docker_client;
mod engine_restart;
mod escape;
mod events;
mod exec;
mod export;
mod firewall;
mod footprint;
mod front_ends;
mod full_disk;
mod health;
mod hooks;
mod hostile_image;
mod hotplug;
mod idle_exit;
mod images;
mod init;
mod joining;
mod leak;
mod lifecycle;
mod limits;
mod listen;
mod log_drivers;
mod login;
mod logs;
mod mounts;
mod name_files;
mod names;
mod namespaces;
mod net_devices;
mod network_client;
mod network_links;
mod network_plan;
mod networks;
mod oci_config;
mod orchestration;
mod output;
mod pause;
mod plan;
mod policy;
mod ports;
mod power_cuts;
mod power_loss;
mod propagation;
mod proxy;
mod prune;
mod pull;
mod registry;
mod restart;
mod resume;
mod rootless;
mod roots;
mod round_trip;
mod run;
mod run_flags;
mod runtime_cli;
mod runtime_exec;
mod runtime_lifecycle;
mod runtime_refusals;
mod runtimes;
mod seccomp;
mod secrets;
mod security;
mod shim_lost;
mod shutdown;
mod sizes;
mod slow_clients;
mod start_order;
mod stats;
mod storage_driver;
mod store_build;
mod store_check;
mod store_ro;
mod stuck;
mod terminal;
mod tls;
mod top;
mod under_engines;
mod update;
mod volume_copyup;
mod volumes;
mod watch;
mod wear;
mod websocket;
