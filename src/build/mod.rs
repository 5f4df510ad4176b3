//! Dockerfile to image, as Docker's classic builder does it.
//!
//! Each instruction makes an image of the last one: a new configuration, and a layer where files
//! come in. RUN is an ordinary container of the image so far, with the defences of any other; what
//! it has changed becomes the layer. COPY, ADD and WORKDIR write into a view of the files and start
//! nothing.
//!
//! All those images stay in the store without a name, as Docker's do: they are the cache. An image
//! knows which one it was built on and by which step (`image::built`); the same step on the same
//! image is not done again. An image that was not built here is never an answer of the cache,
//! whatever history it claims (CVE-2024-24557). `images -a` lists them; they go with the last image
//! that was built on them.
//!
//! The context is not trusted, nor is an image. A path is resolved below a descriptor of its root
//! and cannot leave it. The context lies in a directory of its own below DATA-ROOT/build while its
//! build runs, and beside it the names of the containers that run for it: what a crash leaves is
//! swept at the next start. DATA-ROOT/build/cache holds the directories of `--mount=type=cache`.

mod args;
mod base;
pub mod context;
mod copy;
pub mod dockerfile;
pub mod ignore;
mod pattern;
pub mod report;
mod run;
pub mod steps;

use crate::engine::Engine;
use crate::engine::remove::Removal;
use crate::error::Result;
use crate::json::map::Map;
use crate::store::{staging, tree, usage};
use crate::wire::container::HostConfig;
use std::path::PathBuf;
use std::sync::Arc;

/// What is asked for, beside the context.
#[derive(Default)]
pub struct Request {
    pub tags: Vec<String>,
    /// `None`: the variable of this name is not to have the value that the Dockerfile gives it.
    pub args: Map<Option<String>>,
    pub labels: Map<String>,
    pub target: String,
    pub platform: String,
    pub no_cache: bool,
    pub pull: bool,
    /// Containers of steps that went well are removed.
    pub removes: bool,
    /// Those of steps that failed, too.
    pub force_removes: bool,
    /// Of RUN's containers: limits, network, names of hosts.
    pub host: HostConfig,
    /// `X-Registry-Config`, decoded.
    pub registries: String,
}

fn room(engine: &Engine) -> PathBuf {
    engine.options.data_root.join("build")
}

fn caches(engine: &Engine) -> PathBuf {
    room(engine).join("cache")
}

/// Take away what builds have left that did not come to their end: directories and containers.
pub fn sweep(engine: &Arc<Engine>) -> Result<()> {
    let room = room(engine);
    if !room.exists() {
        return Ok(());
    }
    for name in staging::names(&room)? {
        if !staging::is_temporary(&name) {
            continue;
        }
        for id in staging::names(&room.join(&name).join(run::CONTAINERS)).unwrap_or_default() {
            if let Ok(container) = engine.find(&id) {
                engine.remove(&container, Removal::ALL)?;
            }
        }
    }
    staging::sweep(&room).map(drop)
}

/// Remove the directories of `--mount=type=cache`. Answers the bytes that are free.
pub fn prune(engine: &Engine) -> Result<u64> {
    let caches = caches(engine);
    let bytes = usage::bytes(&caches)?;
    tree::remove(&caches)?;
    engine.tell_prune("builder", bytes);
    Ok(bytes)
}
