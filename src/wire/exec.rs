//! Commands run in a running container.

use crate::json::value::json_struct;

json_struct! {
    /// POST /containers/{id}/exec.
    #[derive(Clone, Debug, Default)]
    pub struct CreateRequest {
        pub attach_stdin: Option<bool> = "AttachStdin",
        pub attach_stdout: Option<bool> = "AttachStdout",
        pub attach_stderr: Option<bool> = "AttachStderr",
        pub detach_keys: Option<String> = "DetachKeys",
        pub tty: Option<bool> = "Tty",
        /// Height, width.
        pub console_size: Option<Vec<u32>> = "ConsoleSize",
        pub env: Option<Vec<String>> = "Env",
        pub cmd: Option<Vec<String>> = "Cmd",
        pub privileged: Option<bool> = "Privileged",
        pub user: Option<String> = "User",
        pub working_dir: Option<String> = "WorkingDir",
    }

    /// 201 of create.
    #[derive(Clone, Debug, Default)]
    pub struct CreateResponse {
        pub id: Option<String> = "Id",
    }

    /// POST /exec/{id}/start.
    #[derive(Clone, Debug, Default)]
    pub struct StartRequest {
        pub detach: Option<bool> = "Detach",
        pub tty: Option<bool> = "Tty",
        /// Height, width.
        pub console_size: Option<Vec<u32>> = "ConsoleSize",
    }

    /// GET /exec/{id}/json.
    #[derive(Clone, Debug, Default)]
    pub struct Inspect {
        pub id: Option<String> = "ID",
        pub running: Option<bool> = "Running",
        pub exit_code: Option<i64> = "ExitCode",
        pub process_config: Option<ProcessConfig> = "ProcessConfig",
        pub open_stdin: Option<bool> = "OpenStdin",
        pub open_stderr: Option<bool> = "OpenStderr",
        pub open_stdout: Option<bool> = "OpenStdout",
        pub can_remove: Option<bool> = "CanRemove",
        pub container_id: Option<String> = "ContainerID",
        pub detach_keys: Option<String> = "DetachKeys",
        pub pid: Option<i32> = "Pid",
    }

    /// What it runs.
    #[derive(Clone, Debug, Default)]
    pub struct ProcessConfig {
        pub tty: Option<bool>,
        pub entrypoint: Option<String>,
        pub arguments: Option<Vec<String>>,
        pub privileged: Option<bool>,
        pub user: Option<String>,
    }
}
