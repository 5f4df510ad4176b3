//! The Docker HTTP API: one routes table; request in, one engine call, response out.
