//! The state of a container as runtimes print it (runtime-spec, `runtime.md`, State).

use crate::json::map::Map;
use crate::json::value::json_struct;

json_struct! {
    /// What goes to a seccomp agent with the listener (`config-linux.md`, The Container Process State).
    #[derive(Clone, Debug, Default)]
    pub struct ContainerProcessState {
        pub oci_version: Option<String> = "ociVersion",
        /// What the descriptors are that come along.
        pub fds: Option<Vec<String>>,
        /// The process that is filtered, as the host numbers it.
        pub pid: Option<i32>,
        pub metadata: Option<String>,
        pub state: Option<State>,
    }

    /// What `state` prints and what hooks get on their standard input.
    #[derive(Clone, Debug, Default)]
    pub struct State {
        pub oci_version: Option<String> = "ociVersion",
        pub id: Option<String>,
        /// `creating`, `created`, `running`, `stopped`; runc adds `paused`.
        pub status: Option<String>,
        /// The first process, as the host numbers it; 0 once stopped.
        pub pid: Option<i32>,
        pub bundle: Option<String>,
        pub annotations: Option<Map<String>>,
    }
}
