//! One process per container: its stdio, log, exit status.
//!
//! Promises that a container's life does not hang on the engine: output is logged, clients are
//! served, the exit status is written to disk and the container started again as its restart policy
//! says, whoever else lives. A shim serves a container from its start to its last end. Knows a run
//! directory with a bundle and a `shim.json`, and nothing of images, names or Docker's API.
//!
//! The engine's side is `client`; the process itself is `serve`.

pub mod answer;
pub mod attached;
pub mod backend;
pub mod backlog;
pub mod budget;
pub mod call;
pub mod client;
pub mod config;
pub mod critical;
pub mod exit;
pub mod finish;
pub mod health;
pub mod helper;
pub mod hotplug;
pub mod keys;
pub mod log;
pub mod message;
pub mod network;
pub mod parts;
pub mod policy;
pub mod ports;
pub mod probe;
pub mod reboot;
pub mod remedy;
pub mod run;
pub mod serve;
pub mod setup;
mod shm;
pub mod task;
pub mod wear;
