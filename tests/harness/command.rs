//! Programs with a time limit: run to the end, or left running.

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How a program ended and all that it printed.
#[derive(Debug, PartialEq, Eq)]
pub struct Output {
    /// The exit code, or minus the signal that killed it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    pub fn new(code: i32, stdout: &str, stderr: &str) -> Output {
        Output {
            code,
            stdout: stdout.to_string(),
            stderr: stderr.to_string(),
        }
    }

    /// The lines of its standard output.
    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }

    /// It must have failed with `code`, printed nothing to stdout, and said `sentence`.
    #[track_caller]
    pub fn assert_refused(&self, code: i32, sentence: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{self:?}");
        assert!(
            self.stderr.contains(sentence),
            "{sentence:?} is not in {self:?}"
        );
    }
}

/// Run to the end with `input` on standard input.
#[track_caller]
pub fn run(mut command: Command, input: &[u8], limit: Duration) -> Output {
    command.stdin(Stdio::piped());
    let mut running = Running::start(command);
    let mut stdin = running.child.stdin.take().unwrap();
    let input = input.to_vec();
    // On a thread: a program that does not read must not stop us from reading what it writes.
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = running.wait(limit);
    let _ = writer.join();
    output
}

/// A program that runs beside the test.
pub struct Running {
    pub child: Child,
    what: String,
    stdout: Collected,
    stderr: Collected,
}

struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Collected {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }
}

impl Running {
    #[track_caller]
    pub fn start(mut command: Command) -> Running {
        let what = format!("{command:?}");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        Running {
            child,
            what,
            stdout,
            stderr,
        }
    }

    /// The same on a terminal of 40 rows and 100 columns, of which `keys` gets the other side. What
    /// appears on it counts as standard output.
    #[track_caller]
    pub fn on_a_terminal(mut command: Command) -> (Running, OwnedFd) {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = rustix::termios::Winsize {
            ws_row: 40,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = std::fs::File::options()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        let what = format!("{command:?}");
        let child = command
            .env("TERM", "xterm")
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave)
            .spawn()
            .unwrap();
        let running = Running {
            child,
            what,
            // It ends, with an error, when the last slave is closed.
            stdout: collect(std::fs::File::from(master.try_clone().unwrap())),
            stderr: collect(std::io::empty()),
        };
        (running, master)
    }

    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    #[track_caller]
    pub fn until_stdout(&self, what: &str, condition: impl Fn(&str) -> bool) {
        super::eventually(&format!("{} prints {what}", self.what), || {
            condition(&self.stdout())
        });
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Wait for its end, which must come within `limit`.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> Output {
        let deadline = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                panic!(
                    "{} did not end; it printed {:?} and {:?}",
                    self.what,
                    self.stdout.text(),
                    self.stderr.text()
                );
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        // The pipes end when nobody holds them any more: a leaked descriptor shows here.
        for stream in [&mut self.stdout, &mut self.stderr] {
            let reader = stream.reader.take();
            while reader.as_ref().is_some_and(|reader| !reader.is_finished()) {
                assert!(
                    Instant::now() < deadline,
                    "{}: somebody keeps its output open",
                    self.what
                );
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        use std::os::unix::process::ExitStatusExt;
        Output {
            code: status
                .code()
                .unwrap_or_else(|| -status.signal().unwrap_or(0)),
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(mut from: impl Read + Send + 'static) -> Collected {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&bytes);
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            into.lock().unwrap().extend_from_slice(&buffer[..count]);
        }
    });
    Collected {
        bytes,
        reader: Some(reader),
    }
}
