//! The network of a container: for now its own loopback.
