//! HTTP/1.1 over any stream, both ends.
