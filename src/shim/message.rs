//! What engine and shim say to each other on `shim.sock`.
//!
//! A connection carries one call: a line of JSON, with descriptors beside it, and a line back.
//! `watch` keeps its connection and gets a line for each event.
//!
//! ```text
//!   engine                                shim
//!     | -- {"verb":"attach",…} + fd -----> |
//!     | <-------------------- {"pid":…} -- |   or {"kind":"Conflict","message":"…"}
//!
//!     | -- {"verb":"watch"} -------------> |
//!     | <----------------------------- {} -|
//!     | <--------- {"event":"execexit",…} -|   any time later
//!     | <------- {"event":"exit","exit":…} -|   it will restart
//!     | <------- {"event":"start","pid":…} -|   and has done so
//!     | <------- {"event":"exit","exit":…} -|   the exit file is on disk by then; closes
//! ```

use crate::error::{Error, Kind, Result};
use crate::json::value::json_struct;
use crate::oci::spec::{Process, Resources};
use crate::shim::exit::Exit;
use crate::shim::log::reader::Mark;
use crate::shim::wear::Wear;
use crate::wire::container::{Health, RestartPolicy, WriteBudget};

/// The longest line. An exec carries a whole environment, which execve(2) bounds to 2 MiB at the
/// usual stack limit; JSON may double some of it.
pub const LINE_BYTES_MAX: usize = 4 << 20;

json_struct! {
    #[derive(Clone, Debug, Default)]
    pub struct Request {
        pub verb: Option<String>,
        /// An exec's id.
        pub id: Option<String>,
        pub signal: Option<i32>,
        pub height: Option<u16>,
        pub width: Option<u16>,
        pub process: Option<Process>,
        pub resources: Option<Resources>,
        pub attach: Option<Attach>,
        /// Of a signal: the container shall not start again after it.
        pub is_stop: Option<bool>,
        pub restart: Option<RestartPolicy>,
        /// As the user writes it.
        pub budget: Option<String>,
        pub health_on_failure: Option<String>,
    }

    /// How to join a client to a process's streams; the client's connection comes beside the line.
    #[derive(Clone, Debug, Default)]
    pub struct Attach {
        pub stdin: Option<bool>,
        pub stdout: Option<bool>,
        pub stderr: Option<bool>,
        pub detach_keys: Option<String>,
        /// Input that was read with the request already, as hex digits.
        pub leftover: Option<String>,
        /// The client has the log up to here, and gets what has come since before what comes.
        pub log_file: Option<u64>,
        pub log_offset: Option<u64>,
    }
}

impl Attach {
    pub fn mark(&self) -> Option<Mark> {
        Some(Mark {
            file: self.log_file?,
            offset: self.log_offset?,
        })
    }
}

json_struct! {
    /// An answer or an event. With a `kind` it is an error.
    #[derive(Clone, Debug, Default)]
    pub struct Reply {
        pub kind: Option<String>,
        pub errno: Option<i32>,
        pub message: Option<String>,
        pub pid: Option<i32>,
        pub started_at: Option<String>,
        pub running: Option<bool>,
        pub exit_code: Option<i32>,
        /// `exit`, `start`, `ready`, `execexit`, `health`, `budget` or `oom`.
        pub event: Option<String>,
        pub id: Option<String>,
        /// The end of the last run, where there was one.
        pub exit: Option<Exit>,
        pub restarts: Option<u32>,
        pub is_paused: Option<bool>,
        /// The ids of those that run.
        pub execs: Option<Vec<String>>,
        /// It waits for its next start.
        pub is_waiting: Option<bool>,
        /// Its program is kept back until a device is there.
        pub is_held: Option<bool>,
        /// The user has sent it a signal.
        pub is_stopped: Option<bool>,
        /// As an event with results: the container's last words about it.
        pub health: Option<Health>,
        pub group: Option<String>,
        pub wear: Option<Wear>,
        pub budget: Option<WriteBudget>,
    }
}

const KINDS: [(Kind, &str); 14] = [
    (Kind::Help, "Help"),
    (Kind::Usage, "Usage"),
    (Kind::Run, "Run"),
    (Kind::CannotInvoke, "CannotInvoke"),
    (Kind::ProgramMissing, "ProgramMissing"),
    (Kind::Invalid, "Invalid"),
    (Kind::NotFound, "NotFound"),
    (Kind::Conflict, "Conflict"),
    (Kind::NotModified, "NotModified"),
    (Kind::Denied, "Denied"),
    (Kind::TooLarge, "TooLarge"),
    (Kind::Unsupported, "Unsupported"),
    (Kind::Gone, "Gone"),
    (Kind::System, "System"),
];

impl Reply {
    pub fn error(error: &Error) -> Reply {
        let name = KINDS.iter().find(|(kind, _)| *kind == error.kind);
        Reply {
            kind: Some(name.map_or("System", |(_, name)| name).to_string()),
            errno: error.errno,
            message: Some(error.message.clone()),
            ..Default::default()
        }
    }

    /// The answer, or the error that it carries, with its kind.
    pub fn into_result(self) -> Result<Reply> {
        let Some(name) = &self.kind else {
            return Ok(self);
        };
        // A kind from a newer shim is at least a failure.
        let kind = KINDS.iter().find(|(_, known)| known == name);
        Err(Error::with_errno(
            kind.map_or(Kind::System, |(kind, _)| *kind),
            self.errno,
            self.message.unwrap_or_default(),
        ))
    }
}

/// Bytes from hex digits; nothing for what is no hex.
pub fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks_exact(2)
        .map_while(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn an_error_keeps_its_kind_on_the_way() {
        for (kind, _) in KINDS {
            let error = Error::with_errno(kind, Some(2), "start: \"x\"\n".to_string());
            let line = json::to_string(&Reply::error(&error));
            assert!(!line.contains('\n'), "{line}");
            let reply: Reply = json::parse(&line, "reply").unwrap();
            let back = reply.into_result().unwrap_err();
            assert_eq!(back.kind, kind);
            assert_eq!(back.errno, Some(2));
            assert_eq!(back.message, "start: \"x\"\n");
        }
    }

    #[test]
    fn an_unknown_kind_is_a_failure() {
        let reply: Reply = json::parse(r#"{"kind":"Soup","message":"m"}"#, "reply").unwrap();
        assert_eq!(reply.into_result().unwrap_err().kind, Kind::System);
    }

    #[test]
    fn bytes_come_back_from_hex() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(unhex(&crate::id::hex(&bytes)), bytes);
        assert_eq!(unhex("zz"), b"");
        assert_eq!(unhex("é1"), b"");
    }
}
