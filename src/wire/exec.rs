//! Commands run in a running container.

use miniserde::{Deserialize, Serialize};

/// POST /containers/{id}/exec.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CreateRequest {
    #[serde(rename = "AttachStdin")]
    pub attach_stdin: Option<bool>,
    #[serde(rename = "AttachStdout")]
    pub attach_stdout: Option<bool>,
    #[serde(rename = "AttachStderr")]
    pub attach_stderr: Option<bool>,
    #[serde(rename = "DetachKeys")]
    pub detach_keys: Option<String>,
    #[serde(rename = "Tty")]
    pub tty: Option<bool>,
    /// Height, width.
    #[serde(rename = "ConsoleSize")]
    pub console_size: Option<Vec<u32>>,
    #[serde(rename = "Env")]
    pub env: Option<Vec<String>>,
    #[serde(rename = "Cmd")]
    pub cmd: Option<Vec<String>>,
    #[serde(rename = "Privileged")]
    pub privileged: Option<bool>,
    #[serde(rename = "User")]
    pub user: Option<String>,
    #[serde(rename = "WorkingDir")]
    pub working_dir: Option<String>,
}

/// 201 of create.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CreateResponse {
    #[serde(rename = "Id")]
    pub id: Option<String>,
}

/// POST /exec/{id}/start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StartRequest {
    #[serde(rename = "Detach")]
    pub detach: Option<bool>,
    #[serde(rename = "Tty")]
    pub tty: Option<bool>,
    /// Height, width.
    #[serde(rename = "ConsoleSize")]
    pub console_size: Option<Vec<u32>>,
}

/// GET /exec/{id}/json.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Inspect {
    #[serde(rename = "ID")]
    pub id: Option<String>,
    #[serde(rename = "Running")]
    pub running: Option<bool>,
    #[serde(rename = "ExitCode")]
    pub exit_code: Option<i64>,
    #[serde(rename = "ProcessConfig")]
    pub process_config: Option<ProcessConfig>,
    #[serde(rename = "OpenStdin")]
    pub open_stdin: Option<bool>,
    #[serde(rename = "OpenStderr")]
    pub open_stderr: Option<bool>,
    #[serde(rename = "OpenStdout")]
    pub open_stdout: Option<bool>,
    #[serde(rename = "CanRemove")]
    pub can_remove: Option<bool>,
    #[serde(rename = "ContainerID")]
    pub container_id: Option<String>,
    #[serde(rename = "DetachKeys")]
    pub detach_keys: Option<String>,
    #[serde(rename = "Pid")]
    pub pid: Option<i32>,
}

/// What it runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ProcessConfig {
    pub tty: Option<bool>,
    pub entrypoint: Option<String>,
    pub arguments: Option<Vec<String>>,
    pub privileged: Option<bool>,
    pub user: Option<String>,
}
