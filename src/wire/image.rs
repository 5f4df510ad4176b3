//! Images: list, inspect, remove, and the progress stream of import and load.

use crate::json::map::Map;
use crate::oci::image::Config;
use crate::wire::container::GraphDriver;
use miniserde::{Deserialize, Serialize};

/// One row of GET /images/json.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    /// `sha256:…`.
    #[serde(rename = "Id")]
    pub id: Option<String>,
    #[serde(rename = "ParentId")]
    pub parent_id: Option<String>,
    #[serde(rename = "RepoTags")]
    pub repo_tags: Option<Vec<String>>,
    #[serde(rename = "RepoDigests")]
    pub repo_digests: Option<Vec<String>>,
    /// Seconds since 1970.
    #[serde(rename = "Created")]
    pub created: Option<i64>,
    /// Bytes of all layers, unpacked.
    #[serde(rename = "Size")]
    pub size: Option<i64>,
    /// -1: not computed.
    #[serde(rename = "SharedSize")]
    pub shared_size: Option<i64>,
    /// As `Size`; read by clients before API 1.44.
    #[serde(rename = "VirtualSize")]
    pub virtual_size: Option<i64>,
    #[serde(rename = "Labels")]
    pub labels: Option<Map<String>>,
    /// -1: not computed.
    #[serde(rename = "Containers")]
    pub containers: Option<i64>,
}

/// GET /images/{name}/json.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Inspect {
    #[serde(rename = "Id")]
    pub id: Option<String>,
    #[serde(rename = "RepoTags")]
    pub repo_tags: Option<Vec<String>>,
    #[serde(rename = "RepoDigests")]
    pub repo_digests: Option<Vec<String>>,
    #[serde(rename = "Parent")]
    pub parent: Option<String>,
    #[serde(rename = "Comment")]
    pub comment: Option<String>,
    #[serde(rename = "Created")]
    pub created: Option<String>,
    #[serde(rename = "DockerVersion")]
    pub docker_version: Option<String>,
    #[serde(rename = "Author")]
    pub author: Option<String>,
    #[serde(rename = "Config")]
    pub config: Option<Config>,
    #[serde(rename = "Architecture")]
    pub architecture: Option<String>,
    #[serde(rename = "Variant")]
    pub variant: Option<String>,
    #[serde(rename = "Os")]
    pub os: Option<String>,
    /// Bytes of all layers, unpacked.
    #[serde(rename = "Size")]
    pub size: Option<i64>,
    #[serde(rename = "VirtualSize")]
    pub virtual_size: Option<i64>,
    #[serde(rename = "GraphDriver")]
    pub graph_driver: Option<GraphDriver>,
    #[serde(rename = "RootFS")]
    pub root_fs: Option<RootFs>,
    #[serde(rename = "Metadata")]
    pub metadata: Option<Metadata>,
}

/// The layers of an image.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RootFs {
    #[serde(rename = "Type")]
    pub kind: Option<String>,
    #[serde(rename = "Layers")]
    pub layers: Option<Vec<String>>,
}

/// What the store knows beside the image itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Metadata {
    #[serde(rename = "LastTagTime")]
    pub last_tag_time: Option<String>,
}

/// One row of GET /images/{name}/history, newest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HistoryItem {
    /// `<missing>` for all but the newest.
    #[serde(rename = "Id")]
    pub id: Option<String>,
    /// Seconds since 1970.
    #[serde(rename = "Created")]
    pub created: Option<i64>,
    #[serde(rename = "CreatedBy")]
    pub created_by: Option<String>,
    #[serde(rename = "Tags")]
    pub tags: Option<Vec<String>>,
    /// Bytes.
    #[serde(rename = "Size")]
    pub size: Option<i64>,
    #[serde(rename = "Comment")]
    pub comment: Option<String>,
}

/// One step of DELETE /images/{name}.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Deleted {
    #[serde(rename = "Untagged")]
    pub untagged: Option<String>,
    #[serde(rename = "Deleted")]
    pub deleted: Option<String>,
}

/// A line of the stream that import, load and pull answer with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    pub status: Option<String>,
    pub id: Option<String>,
    /// Text to print as it is; load's answer.
    pub stream: Option<String>,
    pub progress: Option<String>,
    #[serde(rename = "progressDetail")]
    pub progress_detail: Option<ProgressDetail>,
    pub error: Option<String>,
    #[serde(rename = "errorDetail")]
    pub error_detail: Option<ErrorDetail>,
}

/// Bytes done and to do.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ProgressDetail {
    pub current: Option<i64>,
    pub total: Option<i64>,
}

/// The failure that ended a stream.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ErrorDetail {
    pub code: Option<i64>,
    pub message: Option<String>,
}
