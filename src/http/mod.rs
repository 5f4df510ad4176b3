//! HTTP/1.1 over any stream, both ends.
//!
//! Promises: a message is taken apart as RFC 9112 says or refused, so no second request can hide
//! in a body; every size and every wait before a request has a bound; what was read beyond a head
//! is never lost, so a connection can be handed on after an upgrade.
//!
//! Knows nothing of Docker: paths, versions and JSON bodies are `api`'s and the client's.

pub mod address;
pub mod body;
pub mod client;
pub mod head;
pub mod link;
pub mod lobby;
pub mod pump;
pub mod query;
pub mod server;
mod sha1;
#[cfg(test)]
mod tests;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
pub mod tls;
pub mod websocket;
