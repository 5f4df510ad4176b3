//! The distribution protocol: nothing here yet.
