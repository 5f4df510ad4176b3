//! tug: the container engine for devices, in one binary.
//!
//! `argv[0]` says which part it plays, as in busybox; `tug NAME …` does the same. This file is the
//! one place that prints an error and picks an exit code.

mod api;
mod applets;
mod base64;
mod boot;
mod build;
mod cgroup;
mod engine;
mod error;
mod http;
mod id;
mod image;
mod json;
mod kernel;
mod log;
mod net;
mod oci;
mod plan;
mod registry;
mod runtime;
mod seccomp;
mod shim;
mod store;
mod sys;
mod time;
mod volume;
mod wire;

use crate::error::{Error, Kind};
use std::io::Write;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    let (name, outcome) = applets::run(std::env::args_os().collect());
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => report(&name, &error),
    }
}

/// Print what stopped us, once, and say how to exit.
fn report(name: &str, error: &Error) -> ExitCode {
    if error.kind == Kind::Help {
        return match writeln!(std::io::stdout(), "{}", error.message.trim_end()) {
            // A closed pipe is the reader's choice, not a reason to panic as println! would.
            Err(failed) if failed.kind() != std::io::ErrorKind::BrokenPipe => {
                let _ = writeln!(
                    std::io::stderr(),
                    "{name}: write to standard output: {failed}"
                );
                ExitCode::FAILURE
            }
            _ => ExitCode::SUCCESS,
        };
    }
    let _ = writeln!(std::io::stderr(), "{name}: {}", error.message);
    ExitCode::from(match error.kind {
        Kind::Usage | Kind::Run => 125,
        Kind::CannotInvoke => 126,
        Kind::ProgramMissing => 127,
        Kind::Exec => 255,
        _ => 1,
    })
}
