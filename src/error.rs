//! One error type for the whole program: a kind for programs, a sentence for people.
//!
//! The kind is set where something is decided. One `match` turns it into an exit code
//! (`main.rs`), another into an HTTP status (`api`). There is no `From<Errno>`: whoever makes
//! a system call names the object of it.

use std::fmt;

/// What sort of failure this is, for the code that picks an exit code or an HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Not a failure: `--help` or `--version` ended the parsing; the message is the text to print.
    Help,
    /// The command line is wrong (exit code 125, as Docker's client).
    Usage,
    /// A command failed before the container's program ran (exit code 125).
    Run,
    /// The program of a container was found and could not be executed (exit code 126).
    CannotInvoke,
    /// The program of a container was not found (exit code 127).
    ProgramMissing,
    /// `tug runtime exec` did not come to run its program (exit code 255, as runc's).
    Exec,
    /// What was asked makes no sense: HTTP 400.
    Invalid,
    /// The thing does not exist: HTTP 404.
    NotFound,
    /// The thing is in the wrong state or the name is taken: HTTP 409.
    Conflict,
    /// Already so: HTTP 304.
    NotModified,
    /// Not allowed: HTTP 403.
    Denied,
    /// More than we take: HTTP 413.
    TooLarge,
    /// Known, and not offered here: HTTP 501.
    Unsupported,
    /// The peer went away or did not answer.
    Gone,
    /// The kernel said no; `errno` says how: HTTP 500.
    System,
}

impl Kind {
    /// What kept a container's program from running, by the words of whichever runtime said so
    /// (moby, daemon/start.go: setExitCodeFromError).
    pub fn of_words(message: &str) -> Option<Kind> {
        const MISSING: [&str; 3] = [
            "executable file not found",
            "no such file or directory",
            "system cannot find the file specified",
        ];
        const DENIED: [&str; 4] = [
            "permission denied",
            "is a directory",
            "not a directory",
            "exec format error",
        ];
        let words = message.to_ascii_lowercase();
        let holds = |known: &&str| words.contains(*known);
        if MISSING.iter().any(holds) {
            return Some(Kind::ProgramMissing);
        }
        DENIED.iter().any(holds).then_some(Kind::CannotInvoke)
    }
}

/// A failure: see `Failure`. Boxed, because every `?` in the program moves one: as one pointer it
/// costs a tenth less code than as a struct of five words.
#[derive(Clone, Debug)]
pub struct Error(Box<Failure>);

/// Its kind, the kernel's error number where there was one, and the whole sentence.
#[derive(Clone, Debug)]
pub struct Failure {
    pub kind: Kind,
    /// The kernel's errno, positive, where a system call failed.
    pub errno: Option<i32>,
    pub message: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error::with_errno(kind, None, message.into())
    }

    /// One whose kind somebody decided although the kernel said it.
    pub fn with_errno(kind: Kind, errno: Option<i32>, message: String) -> Error {
        Error(Box::new(Failure {
            kind,
            errno,
            message,
        }))
    }

    /// A failed system call. `doing` is the call and its object: `open_tree /srv/data`.
    pub fn system(doing: impl fmt::Display, errno: i32) -> Error {
        Error::failed(&doing, &std::io::Error::from_raw_os_error(errno))
    }

    /// A failed read or write through `std::io`; keeps an errno where there is one.
    pub fn io(doing: impl fmt::Display, error: &std::io::Error) -> Error {
        Error::failed(&doing, error)
    }

    /// Not generic, so that there is one of it.
    fn failed(doing: &dyn fmt::Display, error: &std::io::Error) -> Error {
        let message = format!("{doing}: {error}");
        Error::with_errno(Kind::System, error.raw_os_error(), message)
    }

    /// Put what was being done in front of the sentence.
    fn put_before(&mut self, doing: &dyn fmt::Display) {
        self.message = format!("{doing}: {}", self.message);
    }

    pub fn invalid(message: impl Into<String>) -> Error {
        Error::new(Kind::Invalid, message)
    }

    pub fn not_found(message: impl Into<String>) -> Error {
        Error::new(Kind::NotFound, message)
    }

    pub fn conflict(message: impl Into<String>) -> Error {
        Error::new(Kind::Conflict, message)
    }

    pub fn unsupported(message: impl Into<String>) -> Error {
        Error::new(Kind::Unsupported, message)
    }

    /// The same failure seen as another kind.
    pub fn with_kind(mut self, kind: Kind) -> Error {
        self.kind = kind;
        self
    }
}

impl std::ops::Deref for Error {
    type Target = Failure;

    fn deref(&self) -> &Failure {
        &self.0
    }
}

impl std::ops::DerefMut for Error {
    fn deref_mut(&mut self) -> &mut Failure {
        &mut self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// An error turned into `std::io::Error`, for code below a `Read` or `Write`.
impl From<Error> for std::io::Error {
    fn from(error: Error) -> std::io::Error {
        std::io::Error::other(error.0.message)
    }
}

impl From<lexopt::Error> for Error {
    fn from(error: lexopt::Error) -> Error {
        Error::new(Kind::Usage, error.to_string())
    }
}

/// Puts what the caller was doing in front of a failure's sentence.
pub trait Context<T> {
    fn context<D: fmt::Display>(self, doing: impl FnOnce() -> D) -> Result<T>;
}

impl<T> Context<T> for Result<T> {
    fn context<D: fmt::Display>(self, doing: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|mut error| {
            error.put_before(&doing());
            error
        })
    }
}
