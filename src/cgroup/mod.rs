//! The cgroup v2 tree: limits, stats, kill, OOM.
