//! Images: list, inspect, remove, and the progress stream of import and load.

use crate::json::map::Map;
use crate::json::value::{Raw, json_struct};
use crate::oci::image::Config;
use crate::wire::container::GraphDriver;

json_struct! {
    /// One row of GET /images/json.
    #[derive(Clone, Debug, Default)]
    pub struct Summary {
        /// `sha256:…`.
        pub id: Option<String> = "Id",
        pub parent_id: Option<String> = "ParentId",
        pub repo_tags: Option<Vec<String>> = "RepoTags",
        pub repo_digests: Option<Vec<String>> = "RepoDigests",
        /// Seconds since 1970.
        pub created: Option<i64> = "Created",
        /// Bytes of all layers, unpacked.
        pub size: Option<i64> = "Size",
        /// -1: not computed.
        pub shared_size: Option<i64> = "SharedSize",
        /// As `Size`; read by clients before API 1.44.
        pub virtual_size: Option<i64> = "VirtualSize",
        pub labels: Option<Map<String>> = "Labels",
        /// -1: not computed.
        pub containers: Option<i64> = "Containers",
        pub manifests: Option<Raw> = "Manifests",
    }

    /// GET /images/{name}/json.
    #[derive(Clone, Debug, Default)]
    pub struct Inspect {
        pub id: Option<String> = "Id",
        pub repo_tags: Option<Vec<String>> = "RepoTags",
        pub repo_digests: Option<Vec<String>> = "RepoDigests",
        pub parent: Option<String> = "Parent",
        pub comment: Option<String> = "Comment",
        pub created: Option<String> = "Created",
        pub docker_version: Option<String> = "DockerVersion",
        pub author: Option<String> = "Author",
        pub config: Option<Config> = "Config",
        pub architecture: Option<String> = "Architecture",
        pub variant: Option<String> = "Variant",
        pub os: Option<String> = "Os",
        /// Bytes of all layers, unpacked.
        pub size: Option<i64> = "Size",
        pub virtual_size: Option<i64> = "VirtualSize",
        pub graph_driver: Option<GraphDriver> = "GraphDriver",
        pub root_fs: Option<RootFs> = "RootFS",
        pub metadata: Option<Metadata> = "Metadata",
    }

    /// The layers of an image.
    #[derive(Clone, Debug, Default)]
    pub struct RootFs {
        pub kind: Option<String> = "Type",
        pub layers: Option<Vec<String>> = "Layers",
    }

    /// What the store knows beside the image itself.
    #[derive(Clone, Debug, Default)]
    pub struct Metadata {
        pub last_tag_time: Option<String> = "LastTagTime",
    }

    /// One row of GET /images/{name}/history, newest first.
    #[derive(Clone, Debug, Default)]
    pub struct HistoryItem {
        /// `<missing>` for all but the newest.
        pub id: Option<String> = "Id",
        /// Seconds since 1970.
        pub created: Option<i64> = "Created",
        pub created_by: Option<String> = "CreatedBy",
        pub tags: Option<Vec<String>> = "Tags",
        /// Bytes.
        pub size: Option<i64> = "Size",
        pub comment: Option<String> = "Comment",
    }

    /// One step of DELETE /images/{name}.
    #[derive(Clone, Debug, Default)]
    pub struct Deleted {
        pub untagged: Option<String> = "Untagged",
        pub deleted: Option<String> = "Deleted",
    }

    /// A line of the stream that import, load and pull answer with.
    #[derive(Clone, Debug, Default)]
    pub struct Progress {
        /// Text to print as it is; load's answer.
        pub stream: Option<String>,
        pub status: Option<String>,
        pub progress_detail: Option<ProgressDetail> = "progressDetail",
        pub id: Option<String>,
        pub error_detail: Option<ErrorDetail> = "errorDetail",
        pub error: Option<String>,
        pub aux: Option<Aux>,
    }

    /// What a push has led to, for programs.
    #[derive(Clone, Debug, Default)]
    pub struct Aux {
        pub tag: Option<String> = "Tag",
        pub digest: Option<String> = "Digest",
        pub size: Option<i64> = "Size",
    }

    /// Bytes done and to do.
    #[derive(Clone, Debug, Default)]
    pub struct ProgressDetail {
        pub current: Option<i64>,
        pub total: Option<i64>,
    }

    /// The failure that ended a stream.
    #[derive(Clone, Debug, Default)]
    pub struct ErrorDetail {
        pub code: Option<i64>,
        pub message: Option<String>,
    }
}

impl Progress {
    /// `id` says of what; empty for the whole.
    pub fn message(id: &str, status: &str) -> Progress {
        Progress {
            status: Some(status.to_string()),
            id: Some(id.to_string()).filter(|id| !id.is_empty()),
            ..Progress::default()
        }
    }

    /// The failure that ends a stream.
    pub fn failure(message: &str) -> Progress {
        Progress {
            error: Some(message.to_string()),
            error_detail: Some(ErrorDetail {
                code: None,
                message: Some(message.to_string()),
            }),
            ..Progress::default()
        }
    }
}
