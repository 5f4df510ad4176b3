//! PID 1 and boot-time containers: nothing here yet.
