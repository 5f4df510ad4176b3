//! Threads. The library's `spawn` is compiled anew for each closure, 2 to 3 kB a time; these two are
//! compiled once.

use crate::error::{Error, Result};
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};

/// Start a thread with a stack of that many bytes.
pub fn spawn(name: &str, stack: usize, work: Box<dyn FnOnce() + Send>) -> Result<JoinHandle<()>> {
    builder(name, stack)
        .spawn(work)
        .map_err(|e| failed(name, &e))
}

/// One that may borrow, and ends before `scope` does.
pub fn spawn_scoped<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    stack: usize,
    work: Box<dyn FnOnce() + Send + 'scope>,
) -> Result<ScopedJoinHandle<'scope, ()>> {
    builder(name, stack)
        .spawn_scoped(scope, work)
        .map_err(|e| failed(name, &e))
}

fn builder(name: &str, stack: usize) -> Builder {
    Builder::new().name(name.to_string()).stack_size(stack)
}

fn failed(name: &str, error: &std::io::Error) -> Error {
    Error::io(format_args!("start thread {name}"), error)
}
