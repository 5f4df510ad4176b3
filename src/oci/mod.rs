//! The Open Container Initiative's JSON: runtime spec, image spec, state. Data only.
//!
//! Every member is an `Option`, because clients leave members out or send `null`; accessors with
//! the spec's defaults stand beside them. Sources: runtime-spec 1.3 `config.md`, `config-linux.md`,
//! `runtime.md`; image-spec 1.1 `config.md`, `manifest.md`, `image-index.md`.

pub mod image;
pub mod spec;
pub mod state;
