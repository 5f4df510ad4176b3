//! `tug init PROGRAM`: process 1 of a container, with tini's job and options.
//!
//! Starts one program, passes signals on to it, reaps every process that is left to it, and exits
//! as the program did. It sleeps in sigwaitinfo(2) in between. What it says is what tini says, for
//! whoever looks for that in a log.

use crate::error::{Error, Kind, Result};
use crate::sys::init::{self, Split};
use crate::sys::signal::{self, Set};
use crate::sys::{spawn, supervisor};
use lexopt::prelude::*;
use rustix::io::Errno;
use std::ffi::OsString;
use std::io::Write;

const HELP: &str = "\
Usage: tug init [OPTIONS] [--] PROGRAM [ARGS]

Run PROGRAM as a container's first process should: pass signals on to it, reap
orphaned processes, and exit with its exit code (128 and the number of the
signal, if one ended it). Takes the options of tini.

Options:
  -s          adopt orphans even when not process 1 (child subreaper)
  -p SIGNAL   get SIGNAL when the parent of this process ends
  -g          pass signals on to the program's whole process group
  -e CODE     exit with 0 when the program exits with CODE; may be repeated
  -w          warn when an orphan is reaped
  -v          say more; may be repeated up to three times
  -l          print the license
  -h          print this
  --version   print the version

Environment: TINI_SUBREAPER (as -s), TINI_KILL_PROCESS_GROUP (as -g),
TINI_VERBOSITY=NUMBER (0 silences warnings; 1 is the default)
";

/// Signals that tell of a fault of our own, or of our own terminal: they are not passed on.
const OWN: [i32; 9] = [
    4,  // ILL
    5,  // TRAP
    6,  // ABRT
    7,  // BUS
    8,  // FPE
    11, // SEGV
    31, // SYS
    signal::SIGTTIN,
    signal::SIGTTOU,
];

#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    is_subreaper: bool,
    parent_death_signal: Option<i32>,
    to_group: bool,
    /// Exit codes that count as 0.
    as_success: Vec<u8>,
    warns_of_orphans: bool,
    verbosity: i32,
    program: OsString,
    args: Vec<OsString>,
}

pub fn main(args: &[OsString]) -> Result<u8> {
    let options = parse(args, &|name| std::env::var(name).ok())?;
    if let Some(signal) = options.parent_death_signal {
        init::signal_on_parent_death(signal)?;
    }
    if options.is_subreaper {
        supervisor::adopt_orphans()?;
    } else if !init::is_first_process() && !supervisor::adopts_orphans() {
        options.say(WARN, NOT_FIRST);
    }

    // Blocked before the program starts, so that no signal is missed.
    let passed_on = OWN.iter().fold(Set::ALL, |set, own| set.without(*own));
    let inherited = signal::set_mask(passed_on)?;
    match init::split()? {
        Split::Child => Ok(options.exec(inherited)),
        Split::Parent { child } => {
            let name = options.program.to_string_lossy();
            options.say(
                INFO,
                &format!("Spawned child process '{name}' with pid '{child}'"),
            );
            options.look_after(child, passed_on)
        }
    }
}

const NOT_FIRST: &str = "Tini is not running as PID 1 and isn't registered as a child subreaper.
Zombie processes will not be re-parented to Tini, so zombie reaping won't work.
To fix the problem, use the -s option or set the environment variable TINI_SUBREAPER to register Tini as a child subreaper, or run Tini as PID 1.";

/// The verbosity from which on something is said, and its name.
type Level = (i32, &'static str);
const FATAL: Level = (i32::MIN, "FATAL");
const WARN: Level = (1, "WARN ");
const INFO: Level = (2, "INFO ");
const DEBUG: Level = (3, "DEBUG");

impl Options {
    /// Become the program, with the mask of signals that we were started with, and whatever was
    /// ignored then. Answers an exit code when that fails.
    fn exec(&self, mask: Set) -> u8 {
        // From the background, if that is where we are, the terminal would stop us for this, were
        // the signal not blocked (tcsetpgrp(3)).
        let isolated = signal::set_mask(Set::ALL)
            .and_then(|_| init::take_foreground())
            .and_then(|()| signal::set_mask(mask));
        if let Err(error) = isolated {
            self.say(FATAL, &error.message);
            return 1;
        }
        let error = self.become_program().unwrap_or_else(|errno| errno);
        let name = self.program.to_string_lossy();
        let (why, code) = match error {
            Errno::NOENT => ("No such file or directory".to_string(), 127),
            Errno::ACCESS | Errno::PERM => ("Permission denied".to_string(), 126),
            _ => (error.to_string(), 1),
        };
        self.say(FATAL, &format!("exec {name} failed: {why}"));
        code
    }

    /// Both ways it is why not.
    fn become_program(&self) -> std::result::Result<Errno, Errno> {
        let program = spawn::c_string(&self.program)?;
        let mut args = vec![program.clone()];
        for word in &self.args {
            args.push(spawn::c_string(word)?);
        }
        Ok(spawn::exec(&program, &args))
    }

    /// Pass signals on and reap, until the program has ended.
    fn look_after(&self, child: i32, signals: Set) -> Result<u8> {
        // Our child has the terminal's foreground; writing a warning must not stop us.
        signal::ignore(signal::SIGTTIN)?;
        signal::ignore(signal::SIGTTOU)?;
        let target = if self.to_group { -child } else { child };
        loop {
            let signal = signal::wait(signals)?;
            if signal != signal::SIGCHLD {
                self.say(DEBUG, &format!("Passing signal: '{signal}'"));
                // It may be dead already, and its end on its way to us.
                if let Err(error) = signal::kill(target, signal) {
                    self.say(WARN, &error.message);
                }
                continue;
            }
            self.say(DEBUG, "Received SIGCHLD");
            let mut outcome = None;
            while let Some(ended) = signal::reap()? {
                self.say(DEBUG, &format!("Reaped child with pid: '{}'", ended.pid));
                if ended.pid == child {
                    let code = ended.code;
                    self.say(INFO, &format!("Main child exited (with status '{code}')"));
                    outcome = Some(self.exit_code(code));
                } else if self.warns_of_orphans {
                    let pid = ended.pid;
                    self.say(WARN, &format!("Reaped zombie process with pid={pid}"));
                }
            }
            if let Some(code) = outcome {
                return Ok(code);
            }
        }
    }

    fn exit_code(&self, code: i32) -> u8 {
        // At most 128 + 64.
        let code = u8::try_from(code).unwrap_or(255);
        if self.as_success.contains(&code) {
            0
        } else {
            code
        }
    }

    fn say(&self, level: Level, message: &str) {
        if self.verbosity < level.0 {
            return;
        }
        let line = format!("[{} tini ({})] {message}\n", level.1, std::process::id());
        let _ = match level {
            INFO | DEBUG => std::io::stdout().write_all(line.as_bytes()),
            _ => std::io::stderr().write_all(line.as_bytes()),
        };
    }
}

fn parse(args: &[OsString], environment: &dyn Fn(&str) -> Option<String>) -> Result<Options> {
    let mut options = Options {
        is_subreaper: environment("TINI_SUBREAPER").is_some(),
        to_group: environment("TINI_KILL_PROCESS_GROUP").is_some(),
        verbosity: 1,
        ..Default::default()
    };
    let mut args = lexopt::Parser::from_args(args);
    loop {
        let Some(arg) = args.next().map_err(usage)? else {
            return Err(Error::invalid("a program is needed, see -h"));
        };
        match arg {
            Short('h') | Long("help") => return Err(Error::new(Kind::Help, HELP)),
            Short('l') => return Err(Error::new(Kind::Help, "Apache License, Version 2.0")),
            Long("version") => return Err(Error::new(Kind::Help, VERSION)),
            Short('s') => options.is_subreaper = true,
            Short('g') => options.to_group = true,
            Short('w') => options.warns_of_orphans = true,
            Short('v') => options.verbosity += 1,
            Short('p') => {
                let name = args.value().and_then(ValueExt::string).map_err(usage)?;
                let signal = signal::parse(&name).map_err(|_| no_value("-p", &name))?;
                options.parent_death_signal = Some(signal);
            }
            Short('e') => {
                let code = args.value().and_then(ValueExt::string).map_err(usage)?;
                let code = code.parse().map_err(|_| no_value("-e", &code))?;
                options.as_success.push(code);
            }
            // The options end here; all that follows is the program's.
            Value(program) => {
                options.program = program;
                options.args = args.raw_args().map_err(usage)?.collect();
                break;
            }
            other => return Err(usage(other.unexpected())),
        }
    }
    if let Some(verbosity) = environment("TINI_VERBOSITY") {
        // As tini reads it: what is no number is 0.
        options.verbosity = verbosity.trim().parse().unwrap_or(0);
    }
    Ok(options)
}

/// Whoever starts an init asks for this line and looks for the first three words (moby,
/// daemon/info_unix.go: parseInitVersion).
const VERSION: &str = concat!("tini version 0.19.0 - tug ", env!("CARGO_PKG_VERSION"));

fn no_value(option: &str, value: &str) -> Error {
    Error::invalid(format!("Not a valid option for {option}: {value}"))
}

/// tini exits with 1, not with the client's 125.
fn usage(error: lexopt::Error) -> Error {
    Error::invalid(format!("{error}, see -h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str], environment: &[&str]) -> Result<Options> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        let value = |name: &str| environment.contains(&name).then(|| "2".to_string());
        parse(&args, &value)
    }

    #[test]
    fn options_end_at_the_program() {
        let options = parsed(
            &[
                "-gs", "-vv", "-p", "KILL", "-e3", "-e", "143", "sh", "-c", "--",
            ],
            &[],
        );
        let options = options.unwrap();
        assert!(options.is_subreaper && options.to_group && !options.warns_of_orphans);
        assert_eq!(options.parent_death_signal, Some(9));
        assert_eq!(options.as_success, [3, 143]);
        assert_eq!(options.verbosity, 3);
        assert_eq!(options.program, "sh");
        assert_eq!(options.args, ["-c", "--"]);

        let options = parsed(&["--", "-s", "-g"], &[]).unwrap();
        assert_eq!(options.program, "-s");
        assert_eq!(options.args, ["-g"]);
        assert!(!options.is_subreaper);
    }

    #[test]
    fn the_environment_stands_for_options() {
        let names = [
            "TINI_SUBREAPER",
            "TINI_KILL_PROCESS_GROUP",
            "TINI_VERBOSITY",
        ];
        let options = parsed(&["true"], &names).unwrap();
        assert!(options.is_subreaper && options.to_group);
        assert_eq!(options.verbosity, 2);
    }

    #[test]
    fn nonsense_is_refused() {
        for args in [
            &[][..],
            &["-x", "true"],
            &["-p", "SOUP", "true"],
            &["-e", "256", "true"],
            &["-e", "-1", "true"],
            &["-p"],
        ] {
            assert_eq!(
                parsed(args, &[]).unwrap_err().kind,
                Kind::Invalid,
                "{args:?}"
            );
        }
    }

    #[test]
    fn codes_can_count_as_success() {
        let options = parsed(&["-e", "143", "true"], &[]).unwrap();
        assert_eq!(options.exit_code(143), 0);
        assert_eq!(options.exit_code(137), 137);
        assert_eq!(options.exit_code(192), 192);
    }
}
