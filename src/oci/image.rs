//! An image's configuration, manifest and index (image-spec 1.1; Docker's schema 2 has the same
//! members under other media types).

use crate::json::map::Map;
use miniserde::{Deserialize, Serialize};

/// An empty object, as Go's `struct{}` in maps used as sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// `config.json` of an image; its SHA-256 is the image's id.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Image {
    pub created: Option<String>,
    pub author: Option<String>,
    pub architecture: Option<String>,
    pub variant: Option<String>,
    pub os: Option<String>,
    pub config: Option<Config>,
    pub rootfs: Option<RootFs>,
    pub history: Option<Vec<History>>,
    pub comment: Option<String>,
}

/// What a container of the image runs with unless told otherwise.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Config {
    #[serde(rename = "User")]
    pub user: Option<String>,
    #[serde(rename = "ExposedPorts")]
    pub exposed_ports: Option<Map<Empty>>,
    #[serde(rename = "Env")]
    pub env: Option<Vec<String>>,
    #[serde(rename = "Entrypoint")]
    pub entrypoint: Option<Vec<String>>,
    #[serde(rename = "Cmd")]
    pub cmd: Option<Vec<String>>,
    #[serde(rename = "Volumes")]
    pub volumes: Option<Map<Empty>>,
    #[serde(rename = "WorkingDir")]
    pub working_dir: Option<String>,
    #[serde(rename = "Labels")]
    pub labels: Option<Map<String>>,
    #[serde(rename = "StopSignal")]
    pub stop_signal: Option<String>,
    #[serde(rename = "Shell")]
    pub shell: Option<Vec<String>>,
    /// Docker's; image-spec reserves the name.
    #[serde(rename = "Healthcheck")]
    pub healthcheck: Option<HealthConfig>,
    /// Docker's as well: instructions for images that are built from this one.
    #[serde(rename = "OnBuild")]
    pub on_build: Option<Vec<String>>,
}

/// How to find out whether it works (API, HealthConfig). Durations in nanoseconds; 0 inherits.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HealthConfig {
    /// `NONE`, `CMD` and arguments, or `CMD-SHELL` and a line for the shell.
    #[serde(rename = "Test")]
    pub test: Option<Vec<String>>,
    #[serde(rename = "Interval")]
    pub interval: Option<i64>,
    #[serde(rename = "Timeout")]
    pub timeout: Option<i64>,
    #[serde(rename = "Retries")]
    pub retries: Option<i64>,
    #[serde(rename = "StartPeriod")]
    pub start_period: Option<i64>,
    #[serde(rename = "StartInterval")]
    pub start_interval: Option<i64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RootFs {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Digests of the uncompressed layers, lowest first.
    pub diff_ids: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct History {
    pub created: Option<String>,
    pub created_by: Option<String>,
    pub author: Option<String>,
    pub comment: Option<String>,
    pub empty_layer: Option<bool>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Platform {
    pub architecture: Option<String>,
    pub os: Option<String>,
    pub variant: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Descriptor {
    #[serde(rename = "mediaType")]
    pub media_type: Option<String>,
    pub digest: Option<String>,
    pub size: Option<u64>,
    pub platform: Option<Platform>,
    pub annotations: Option<Map<String>>,
}

/// A manifest (`config` and `layers`) or an index (`manifests`): a document has one or the other.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Manifest {
    #[serde(rename = "schemaVersion")]
    pub schema_version: Option<u32>,
    #[serde(rename = "mediaType")]
    pub media_type: Option<String>,
    pub config: Option<Descriptor>,
    pub layers: Option<Vec<Descriptor>>,
    pub manifests: Option<Vec<Descriptor>>,
}
