//! An image's configuration, manifest and index (image-spec 1.1; Docker's schema 2 has the same
//! members under other media types).

use crate::json::map::Map;
use crate::json::value::json_struct;

json_struct! {
    /// An empty object, as Go's `struct{}` in maps used as sets.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Empty {}

    /// `config.json` of an image; its SHA-256 is the image's id.
    #[derive(Clone, Debug, Default)]
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
    #[derive(Clone, Debug, Default)]
    pub struct Config {
        pub user: Option<String> = "User",
        pub exposed_ports: Option<Map<Empty>> = "ExposedPorts",
        pub env: Option<Vec<String>> = "Env",
        pub entrypoint: Option<Vec<String>> = "Entrypoint",
        pub cmd: Option<Vec<String>> = "Cmd",
        pub volumes: Option<Map<Empty>> = "Volumes",
        pub working_dir: Option<String> = "WorkingDir",
        pub labels: Option<Map<String>> = "Labels",
        pub stop_signal: Option<String> = "StopSignal",
        pub shell: Option<Vec<String>> = "Shell",
        /// Docker's; image-spec reserves the name.
        pub healthcheck: Option<HealthConfig> = "Healthcheck",
        /// Docker's as well: instructions for images that are built from this one.
        pub on_build: Option<Vec<String>> = "OnBuild",
    }

    /// How to find out whether it works (API, HealthConfig). Durations in nanoseconds; 0 inherits.
    #[derive(Clone, Debug, Default)]
    pub struct HealthConfig {
        /// `NONE`, `CMD` and arguments, or `CMD-SHELL` and a line for the shell.
        pub test: Option<Vec<String>> = "Test",
        pub interval: Option<i64> = "Interval",
        pub timeout: Option<i64> = "Timeout",
        pub retries: Option<i64> = "Retries",
        pub start_period: Option<i64> = "StartPeriod",
        pub start_interval: Option<i64> = "StartInterval",
    }

    #[derive(Clone, Debug, Default)]
    pub struct RootFs {
        pub kind: Option<String> = "type",
        /// Digests of the uncompressed layers, lowest first.
        pub diff_ids: Option<Vec<String>>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct History {
        pub created: Option<String>,
        pub created_by: Option<String>,
        pub author: Option<String>,
        pub comment: Option<String>,
        pub empty_layer: Option<bool>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct Platform {
        pub architecture: Option<String>,
        pub os: Option<String>,
        pub variant: Option<String>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct Descriptor {
        pub media_type: Option<String> = "mediaType",
        pub digest: Option<String>,
        pub size: Option<u64>,
        pub platform: Option<Platform>,
        pub artifact_type: Option<String> = "artifactType",
        pub annotations: Option<Map<String>>,
    }

    /// A manifest (`config` and `layers`) or an index (`manifests`): a document has one or the other.
    #[derive(Clone, Debug, Default)]
    pub struct Manifest {
        pub schema_version: Option<u32> = "schemaVersion",
        pub media_type: Option<String> = "mediaType",
        pub config: Option<Descriptor>,
        pub layers: Option<Vec<Descriptor>>,
        pub manifests: Option<Vec<Descriptor>>,
        /// Not of an image but of what goes with one: its kind, and to what it refers.
        pub artifact_type: Option<String> = "artifactType",
        pub subject: Option<Descriptor>,
        pub annotations: Option<Map<String>>,
    }
}
