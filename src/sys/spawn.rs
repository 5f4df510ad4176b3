//! Programs as children, by posix_spawn(3) of libc, which needs no copy of our memory and may be
//! called beside other threads; and execvp(3).
//!
//! What std's `Command` offers and we use, without its maps of the environment. As there, a child has
//! our signals, but for SIGPIPE, which Rust's start-up ignores.

use crate::sys::{raw, signal};
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions};
use std::ffi::{CStr, CString, c_char, c_int, c_short};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// Room for a structure of libc's whose members are its own: `posix_spawnattr_t` has 336 bytes in
/// glibc and musl, `posix_spawn_file_actions_t` 80.
type Opaque = [u64; 64];

/// From <spawn.h>.
const POSIX_SPAWN_SETSIGDEF: c_short = 0x04;
const POSIX_SPAWN_SETSIGMASK: c_short = 0x08;

/// `sigset_t` of both, 128 bytes: a bit per signal from 1 on.
type SignalSet = [u64; 16];

const SIGPIPE_ONLY: SignalSet = {
    let mut set = [0; 16];
    set[0] = 1 << (signal::SIGPIPE - 1);
    set
};

unsafe extern "C" {
    static environ: *const *const c_char;

    fn dup2(from: c_int, to: c_int) -> c_int;
    fn execvp(file: *const c_char, argv: *const *const c_char) -> c_int;
    fn posix_spawnp(
        pid: *mut c_int,
        file: *const c_char,
        actions: *const Opaque,
        attributes: *const Opaque,
        argv: *const *const c_char,
        envp: *const *const c_char,
    ) -> c_int;
    fn posix_spawnattr_init(attributes: *mut Opaque) -> c_int;
    fn posix_spawnattr_setflags(attributes: *mut Opaque, flags: c_short) -> c_int;
    fn posix_spawnattr_setsigdefault(attributes: *mut Opaque, set: *const SignalSet) -> c_int;
    fn posix_spawn_file_actions_init(actions: *mut Opaque) -> c_int;
    fn posix_spawn_file_actions_adddup2(actions: *mut Opaque, from: c_int, to: c_int) -> c_int;
    fn posix_spawn_file_actions_addchdir_np(actions: *mut Opaque, path: *const c_char) -> c_int;
    fn posix_spawn_file_actions_destroy(actions: *mut Opaque) -> c_int;
}

/// A program to run. Without a slash in its name it is looked for in our PATH.
pub struct Program<'a> {
    pub path: &'a Path,
    /// With the name that it is called by.
    pub args: Vec<CString>,
    /// `None`: ours.
    pub env: Option<&'a [CString]>,
    /// `None`: where we are.
    pub dir: Option<&'a Path>,
    /// Standard input, output and error; `None`: ours.
    pub stdio: [Option<BorrowedFd<'a>>; 3],
    /// Begin as a shell's would, with no signal blocked or ignored: what supervises waits for its own
    /// by signalfd(2), and children would inherit that.
    pub resets_signals: bool,
}

impl Program<'_> {
    /// Start it. Answers its process id, which is the child's until it is reaped; or why it cannot
    /// be executed.
    pub fn spawn(&self) -> Result<i32, Errno> {
        let path = c_string(self.path)?;
        let dir = self.dir.map(c_string).transpose()?;
        let args = raw::pointers(&self.args);
        let env = self.env.map(raw::pointers);
        let (defaults, flags) = match self.resets_signals {
            true => (
                [u64::MAX; 16],
                POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK,
            ),
            false => (SIGPIPE_ONLY, POSIX_SPAWN_SETSIGDEF),
        };
        let (mut attributes, mut actions): (Opaque, Opaque) = ([0; 64], [0; 64]);
        let mut pid = 0;
        // SAFETY: the structures have room for libc's, are made by their init functions and not
        // moved; the mask that init makes is empty. Strings and null-terminated arrays of them are alive until after the call, and
        // nothing writes to `environ`.
        let error = unsafe {
            posix_spawnattr_init(&mut attributes);
            posix_spawnattr_setsigdefault(&mut attributes, &defaults);
            posix_spawnattr_setflags(&mut attributes, flags);
            posix_spawn_file_actions_init(&mut actions);
            let mut error = 0;
            for (to, from) in (0..).zip(&self.stdio) {
                if let Some(from) = from {
                    error |= posix_spawn_file_actions_adddup2(&mut actions, from.as_raw_fd(), to);
                }
            }
            if let Some(dir) = &dir {
                error |= posix_spawn_file_actions_addchdir_np(&mut actions, dir.as_ptr());
            }
            if error == 0 {
                let env = env.as_ref().map_or(environ, |env| env.as_ptr());
                error = posix_spawnp(
                    &mut pid,
                    path.as_ptr(),
                    &actions,
                    &attributes,
                    args.as_ptr(),
                    env,
                );
            }
            posix_spawn_file_actions_destroy(&mut actions);
            error
        };
        match error {
            0 => Ok(pid),
            error => Err(Errno::from_raw_os_error(error)),
        }
    }
}

/// Become a program, which is looked for in PATH, with SIGPIPE as `spawn` gives it; comes back only
/// with an error.
pub fn exec(program: &CStr, args: &[CString]) -> Errno {
    let _ = signal::restore(signal::SIGPIPE);
    let args = raw::pointers(args);
    // SAFETY: C strings and a null-terminated array of them, all alive across the call.
    let result = unsafe { execvp(program.as_ptr(), args.as_ptr()) };
    raw::check(result.into()).err().unwrap_or(Errno::NOEXEC)
}

/// In a forked child: become the program, with `sockets` as systemd hands them down
/// (sd_listen_fds(3)) and our environment else. Comes back only with an error.
pub fn exec_with_sockets(program: &CStr, args: &[CString], sockets: &[BorrowedFd<'_>]) -> Errno {
    // First above where they are to be: one may lie where another goes.
    let first = 3 + i32::try_from(sockets.len()).unwrap_or(0);
    let mut copies = Vec::new();
    for socket in sockets {
        match rustix::io::fcntl_dupfd_cloexec(socket, first) {
            Ok(copy) => copies.push(copy),
            Err(errno) => return errno,
        }
    }
    for (copy, number) in copies.iter().zip(3..) {
        // SAFETY: takes plain numbers; whatever had this one is nobody's in this process, which
        // becomes another program.
        if unsafe { dup2(copy.as_raw_fd(), number) } < 0 {
            return Errno::BADF;
        }
    }
    let mut env: Vec<CString> = std::env::vars_os()
        .filter(|(name, _)| !name.as_encoded_bytes().starts_with(b"LISTEN_"))
        .filter_map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            c_string(name).ok()
        })
        .collect();
    let own = [
        format!("LISTEN_PID={}", std::process::id()),
        format!("LISTEN_FDS={}", sockets.len()),
    ];
    env.extend(own.into_iter().filter_map(|text| c_string(text).ok()));
    let _ = signal::set_mask(signal::Set::EMPTY);
    raw::execve(program, args, &env)
}

/// Whether a child of ours has ended and is still to be reaped.
pub fn is_to_reap(pid: i32) -> bool {
    let flags = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let Some(pid) = Pid::from_raw(pid) else {
        return false;
    };
    matches!(
        rustix::process::waitid(WaitId::Pid(pid), flags),
        Ok(Some(_))
    )
}

/// Reap a child of ours if it has ended; true once it has.
pub fn has_ended(pid: i32) -> bool {
    let ended = rustix::process::waitpid(Pid::from_raw(pid), WaitOptions::NOHANG);
    !matches!(ended, Ok(None))
}

/// A pipe for a child's stream: its read end and its write end.
pub fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
}

/// A word for a program.
pub fn c_string(text: impl Into<std::ffi::OsString>) -> Result<CString, Errno> {
    CString::new(text.into().into_vec()).map_err(|_| Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::{self, Ended};
    use std::io::Read;
    use std::os::fd::AsFd;

    fn run(script: &str, env: Option<&[CString]>, resets_signals: bool) -> (String, Ended) {
        let (ours, theirs) = pipe().unwrap();
        let program = Program {
            path: Path::new("sh"),
            args: ["shell", "-c", script]
                .map(|word| c_string(word).unwrap())
                .into(),
            env,
            dir: Some(Path::new("/proc")),
            stdio: [None, Some(theirs.as_fd()), Some(theirs.as_fd())],
            resets_signals,
        };
        let pidfd = process::open(program.spawn().unwrap()).unwrap();
        drop(theirs);
        let mut said = String::new();
        std::fs::File::from(ours).read_to_string(&mut said).unwrap();
        (said, process::wait(pidfd).unwrap())
    }

    #[test]
    fn a_program_gets_its_streams_its_directory_and_no_ignored_signals() {
        let (said, ended) = run(
            "echo $0; pwd; grep SigIgn self/status >&2; exit 3",
            None,
            true,
        );
        assert_eq!(said, "shell\n/proc\nSigIgn:\t0000000000000000\n");
        assert_eq!(ended, Ended::Exited(3));
        assert_eq!(run("kill -9 $$", None, false).1, Ended::Signalled(9));
        let env = [c"A=b".to_owned()];
        assert_eq!(run("echo $A$HOME", Some(&env), false).0, "b\n");
    }

    #[test]
    fn a_program_that_is_not_there_or_not_executable_is_told() {
        let spawn = |path: &str| {
            let program = Program {
                path: Path::new(path),
                args: vec![c"x".to_owned()],
                env: None,
                dir: None,
                stdio: [None; 3],
                resets_signals: false,
            };
            program.spawn().err()
        };
        assert_eq!(spawn("no-such-program"), Some(Errno::NOENT));
        assert_eq!(spawn("/proc/self/status"), Some(Errno::ACCESS));
    }
}
