//! Volumes: create, list, inspect.

use crate::json::map::Map;
use crate::json::value::{Raw, json_struct};

json_struct! {
    /// POST /volumes/create.
    #[derive(Clone, Debug, Default)]
    pub struct CreateRequest {
        pub name: Option<String> = "Name",
        pub driver: Option<String> = "Driver",
        pub driver_opts: Option<Map<String>> = "DriverOpts",
        pub labels: Option<Map<String>> = "Labels",
        /// Of a swarm.
        pub cluster_volume_spec: Option<Raw> = "ClusterVolumeSpec",
    }

    /// GET /volumes/{name}, and a row of GET /volumes.
    #[derive(Clone, Debug, Default)]
    pub struct Volume {
        pub created_at: Option<String> = "CreatedAt",
        pub driver: Option<String> = "Driver",
        pub labels: Option<Map<String>> = "Labels",
        pub mountpoint: Option<String> = "Mountpoint",
        pub name: Option<String> = "Name",
        pub options: Option<Map<String>> = "Options",
        pub scope: Option<String> = "Scope",
        /// Only in disk usage.
        pub usage_data: Option<UsageData> = "UsageData",
    }

    /// What a volume takes, and how many containers have it.
    #[derive(Clone, Debug, Default)]
    pub struct UsageData {
        pub ref_count: Option<i64> = "RefCount",
        /// Bytes.
        pub size: Option<i64> = "Size",
    }
}
