//! What a process in the making tells its maker, over a socket that exec closes.
//!
//! A message is a letter: `C` the console's master (a descriptor comes along), `P` the process
//! itself (pid and pidfd), `M` mounted, `R` ready, `A` about to exec, `S` filtered, with the
//! listener of its seccomp filter; or `E`, then kind, errno and sentence of a failure until the
//! end.

use crate::error::{Error, Kind, Result};
use crate::sys::{self, socket};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Every kind, in the order of its number on the wire.
const KINDS: [Kind; 14] = [
    Kind::Help,
    Kind::Usage,
    Kind::Run,
    Kind::CannotInvoke,
    Kind::ProgramMissing,
    Kind::Invalid,
    Kind::NotFound,
    Kind::Conflict,
    Kind::NotModified,
    Kind::Denied,
    Kind::TooLarge,
    Kind::Unsupported,
    Kind::Gone,
    Kind::System,
];

#[derive(Debug)]
pub enum Message {
    Console(OwnedFd),
    Process {
        pid: i32,
        pidfd: OwnedFd,
    },
    /// The file tree is whole; a word is awaited before it is entered.
    Mounted,
    Ready,
    Executing,
    Listener(OwnedFd),
    Failed(Error),
}

pub fn console(socket: impl AsFd, master: BorrowedFd<'_>) -> Result<()> {
    socket::send(socket, b"C", &[master])
}

pub fn process(socket: impl AsFd, pid: i32, pidfd: BorrowedFd<'_>) -> Result<()> {
    let mut bytes = vec![b'P'];
    bytes.extend(pid.to_le_bytes());
    socket::send(socket, &bytes, &[pidfd])
}

pub fn mounted(socket: impl AsFd) -> Result<()> {
    socket::send(socket, b"M", &[])
}

pub fn ready(socket: impl AsFd) -> Result<()> {
    socket::send(socket, b"R", &[])
}

pub fn executing(socket: impl AsFd) -> Result<()> {
    socket::send(socket, b"A", &[])
}

pub fn listener(socket: impl AsFd, listener: BorrowedFd<'_>) -> Result<()> {
    socket::send(socket, b"S", &[listener])
}

/// Tell a failure. If even that fails, the maker sees the socket close.
pub fn failed(socket: impl AsFd, error: &Error) {
    let kind = KINDS.iter().position(|kind| *kind == error.kind);
    let mut bytes = vec![b'E', kind.unwrap_or(KINDS.len() - 1) as u8];
    bytes.extend(error.errno.unwrap_or(0).to_le_bytes());
    bytes.extend(error.message.as_bytes());
    let _ = socket::send(socket, &bytes, &[]);
}

/// The next message; `None` when the other side has closed: by exec, or by its end.
pub fn next(socket: BorrowedFd<'_>) -> Result<Option<Message>> {
    let mut letter = [0u8; 1];
    let (count, fds) = receive(socket, &mut letter)?;
    let fd = fds.into_iter().next();
    let garbled = || Error::new(Kind::Gone, "garbled message from the container's process");
    match (count, letter[0], fd) {
        (0, ..) => Ok(None),
        (_, b'C', Some(fd)) => Ok(Some(Message::Console(fd))),
        (_, b'S', Some(fd)) => Ok(Some(Message::Listener(fd))),
        (_, b'P', Some(pidfd)) => {
            let rest = read(socket, 4)?;
            let bytes = rest.try_into().map_err(|_| garbled())?;
            let pid = i32::from_le_bytes(bytes);
            Ok(Some(Message::Process { pid, pidfd }))
        }
        (_, b'M', _) => Ok(Some(Message::Mounted)),
        (_, b'R', _) => Ok(Some(Message::Ready)),
        (_, b'A', _) => Ok(Some(Message::Executing)),
        (_, b'E', _) => {
            let rest = read(socket, LONGEST)?;
            decode(&rest)
                .ok_or_else(garbled)
                .map(|error| Some(Message::Failed(error)))
        }
        _ => Err(garbled()),
    }
}

/// A reset is an end too: the other side has not read all that we told it (unix(7)).
fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<(usize, Vec<OwnedFd>)> {
    match socket::receive(socket, buffer) {
        Err(error) if sys::is(&error, Errno::CONNRESET) => Ok((0, Vec::new())),
        other => other,
    }
}

/// Bytes of the longest failure that we take.
const LONGEST: usize = 64 * 1024;

/// Up to `count` bytes, fewer where the socket ends.
pub fn read(socket: BorrowedFd<'_>, count: usize) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut buffer = [0u8; 512];
    while all.len() < count {
        let want = buffer.len().min(count - all.len());
        match receive(socket, &mut buffer[..want])? {
            (0, _) => break,
            (got, _) => all.extend_from_slice(&buffer[..got]),
        }
    }
    Ok(all)
}

fn decode(bytes: &[u8]) -> Option<Error> {
    let errno = i32::from_le_bytes(bytes.get(1..5)?.try_into().ok()?);
    Some(Error::with_errno(
        *KINDS.get(usize::from(*bytes.first()?))?,
        (errno != 0).then_some(errno),
        String::from_utf8_lossy(bytes.get(5..)?).into_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_arrives_as_it_was() {
        let (ours, theirs) = socket::pair().unwrap();
        let error = Error::system("open /x", 2).with_kind(Kind::ProgramMissing);
        failed(&theirs, &error);
        drop(theirs);
        match next(ours.as_fd()).unwrap() {
            Some(Message::Failed(told)) => {
                assert_eq!(told.kind, Kind::ProgramMissing);
                assert_eq!(told.errno, Some(2));
                assert_eq!(told.message, error.message);
            }
            other => panic!("{other:?}"),
        }
        assert!(next(ours.as_fd()).unwrap().is_none());
    }

    #[test]
    fn a_failure_arrives_even_from_who_has_not_listened() {
        let (ours, theirs) = socket::pair().unwrap();
        socket::send(&ours, b"G", &[]).unwrap();
        failed(&theirs, &Error::system("open /x", 2));
        drop(theirs);
        assert!(matches!(
            next(ours.as_fd()).unwrap(),
            Some(Message::Failed(_))
        ));
        assert!(next(ours.as_fd()).unwrap().is_none());
    }

    #[test]
    fn messages_that_arrive_together_are_told_apart() {
        let (ours, theirs) = socket::pair().unwrap();
        process(&theirs, 77, ours.as_fd()).unwrap();
        ready(&theirs).unwrap();
        executing(&theirs).unwrap();
        drop(theirs);
        assert!(matches!(
            next(ours.as_fd()).unwrap(),
            Some(Message::Process { pid: 77, .. })
        ));
        assert!(matches!(next(ours.as_fd()).unwrap(), Some(Message::Ready)));
        assert!(matches!(
            next(ours.as_fd()).unwrap(),
            Some(Message::Executing)
        ));
        assert!(next(ours.as_fd()).unwrap().is_none());
    }
}
