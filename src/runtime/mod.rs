//! The OCI runtime: a bundle directory in, a running process out.
//!
//! Knows nothing of images, networks or Docker. Every verb can be repeated after a crash.
