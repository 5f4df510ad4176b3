//! An engine that leaves when nobody needs it, and is back on the next request.

use crate::harness::{Host, IMAGE, PATIENCE, command, eventually, http, is_running};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What systemd does for a socket unit: hold the socket, start the engine when somebody calls, and
/// again when it has gone.
struct Activator {
    stop: Arc<AtomicBool>,
    starts: Arc<AtomicU32>,
    engine: Arc<Mutex<Option<Child>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Activator {
    fn new(host: &Host, flags: &[&str]) -> Activator {
        let listener = UnixListener::bind(host.socket()).unwrap();
        let line: Vec<String> = host
            .engine_command()
            .into_iter()
            .filter(|word| word != "-H" && *word != host.address())
            .collect();
        let mut words: Vec<String> = ["-c", SCRIPT, "sh"].map(String::from).to_vec();
        words.extend(line);
        words.extend(["-H", "fd://"].map(String::from));
        words.extend(flags.iter().map(|flag| (*flag).to_string()));

        let log = host.dir.join("engine.log");
        let activator = Activator {
            stop: Arc::default(),
            starts: Arc::default(),
            engine: Arc::default(),
            thread: None,
        };
        let (stop, starts) = (Arc::clone(&activator.stop), Arc::clone(&activator.starts));
        let engine = Arc::clone(&activator.engine);
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let is_called = {
                    let mut fds = [rustix::event::PollFd::from_borrowed_fd(
                        listener.as_fd(),
                        rustix::event::PollFlags::IN,
                    )];
                    let limit = rustix::event::Timespec {
                        tv_sec: 0,
                        tv_nsec: 5_000_000,
                    };
                    rustix::event::poll(&mut fds, Some(&limit)).unwrap() > 0
                };
                let mut engine = engine.lock().unwrap();
                if let Some(child) = engine.as_mut() {
                    if child.try_wait().unwrap().is_none() {
                        drop(engine);
                        std::thread::sleep(Duration::from_millis(5));
                        continue;
                    }
                    *engine = None;
                }
                if is_called {
                    let log = std::fs::File::options()
                        .create(true)
                        .append(true)
                        .open(&log)
                        .unwrap();
                    let child = Command::new("sh")
                        .args(&words)
                        .stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())))
                        .stdout(log.try_clone().unwrap())
                        .stderr(log)
                        .spawn()
                        .unwrap();
                    *engine = Some(child);
                    starts.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Activator {
            thread: Some(thread),
            ..activator
        }
    }

    fn starts(&self) -> u32 {
        self.starts.load(Ordering::Relaxed)
    }

    fn is_engine_there(&self) -> bool {
        let mut engine = self.engine.lock().unwrap();
        engine
            .as_mut()
            .is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    fn until_gone(&self) {
        eventually("the engine has gone", || !self.is_engine_there());
    }

    /// Let it be; the engine goes by itself, or is told to.
    fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        let child = self.engine.lock().unwrap().take();
        if let Some(mut child) = child {
            // It may have gone by itself, and then its number is nobody's or another's.
            if child.try_wait().unwrap().is_none() {
                crate::harness::send_signal(child.id().cast_signed(), "TERM");
            }
            assert!(child.wait().unwrap().success());
        }
    }
}

const SCRIPT: &str = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\"";

#[test]
fn the_engine_leaves_and_is_back_with_its_containers_untouched() {
    let host = Host::without_engine("idle-exit");
    let activator = Activator::new(&host, &["--idle-exit", "1"]);
    assert_eq!(activator.starts(), 0, "nobody has called yet");
    host.import(IMAGE, &crate::harness::rootfs::busybox());
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let pid = host.pid("web");
    let starts = activator.starts();
    activator.until_gone();
    assert!(is_running(pid));

    assert!(host.ok(&["ps"]).contains("web"));
    assert_eq!(activator.starts(), starts + 1);
    assert_eq!(host.pid("web"), pid);
    assert_eq!(host.ok(&["exec", "web", "echo", "well"]), "well");

    // One that ends while no engine lives has ended as it has.
    host.ok(&[
        "run",
        "-d",
        "--name",
        "short",
        IMAGE,
        "sh",
        "-c",
        "sleep 2; exit 7",
    ]);
    host.ok(&["run", "-d", "--rm", "--name", "gone", IMAGE, "sleep", "2"]);
    let shim = host.shim_pid("short");
    activator.until_gone();
    eventually("the short one has ended", || !is_running(shim));
    assert_eq!(host.inspect("short", "State.ExitCode"), "7");
    eventually("the disposable one has gone", || {
        host.http("GET", "/containers/gone/json", "").status == 404
    });
    host.ok(&["rm", "-f", "web", "short"]);
    activator.end();
    std::fs::remove_file(host.socket()).unwrap();
}

#[test]
fn the_engine_stays_as_long_as_somebody_needs_it() {
    let host = Host::without_engine("idle-busy");
    let activator = Activator::new(&host, &["--idle-exit", "1"]);
    // Somebody needs it from here to the end, however slow this machine is: else it may leave between
    // two of our steps, rightly.
    let idle = http::connect(&host.socket()).unwrap();
    host.import(IMAGE, &crate::harness::rootfs::busybox());
    let create = ["create", "--name", "web", IMAGE, "sh", "-c"];
    host.ok(&[&create[..], &["sleep 2; echo out"]].concat());
    let starts = activator.starts();

    // A connection without a request, one that has attached before the start, and one that waits.
    std::thread::sleep(Duration::from_millis(1500));
    assert!(activator.is_engine_there());
    let mut attached = http::connect(&host.socket()).unwrap();
    let attach = http::head("POST", "/containers/web/attach?stream=1&stdout=1", "");
    attached.write_all(attach.as_bytes()).unwrap();
    drop(idle);
    std::thread::sleep(Duration::from_millis(1500));
    assert!(activator.is_engine_there());
    let mut waiting = http::connect(&host.socket()).unwrap();
    let wait = http::head("POST", "/containers/web/wait?condition=next-exit", "");
    waiting.write_all(wait.as_bytes()).unwrap();
    host.ok(&["start", "web"]);
    let mut heard = String::new();
    attached.read_to_string(&mut heard).unwrap();
    assert!(heard.ends_with("out\n"), "{heard}");
    assert_eq!(activator.starts(), starts, "it was one engine all the time");
    let mut head = [0; 15];
    waiting.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    drop(waiting);
    drop(attached);
    host.ok(&["rm", "web"]);
    activator.until_gone();
    activator.end();
    std::fs::remove_file(host.socket()).unwrap();
}

#[test]
fn nobody_would_call_an_engine_back_that_holds_its_own_socket() {
    let host = Host::without_engine("idle-refused");
    let line = host.engine_command();
    let mut engine = Command::new(&line[0]);
    engine.args(&line[1..]).args(["--idle-exit", "5"]);
    let output = command::run(engine, b"", PATIENCE);
    assert_eq!(output.code, 1);
    assert!(
        output
            .stderr
            .contains("idle-exit needs sockets that another process holds"),
        "{output:?}"
    );
}
