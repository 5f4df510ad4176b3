//! The user's terminal, and what else stands between a client and the container it is attached to:
//! signals, detach keys, sizes.

use crate::harness::command::Running;
use crate::harness::{Host, IMAGE, PATIENCE, send_signal};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use std::os::fd::OwnedFd;

/// A client on a terminal of its own.
struct Session {
    client: Running,
    keys: OwnedFd,
    before: Termios,
}

impl Session {
    fn start(host: &Host, args: &[&str]) -> Session {
        let (client, keys) = Running::on_a_terminal(host.client(&host.binary, args));
        // Of a fresh terminal, however far the client has come: all of them are alike.
        let (fresh, _slave) = fresh_terminal();
        let before = tcgetattr(&fresh).unwrap();
        Session {
            client,
            keys,
            before,
        }
    }

    #[track_caller]
    fn until(&self, text: &str) {
        self.client.until_stdout(text, |shown| shown.contains(text));
    }

    fn type_keys(&self, keys: &[u8]) {
        rustix::io::write(&self.keys, keys).unwrap();
    }

    fn is_raw(&self) -> bool {
        use rustix::termios::LocalModes;
        let modes = tcgetattr(&self.keys).unwrap().local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// The exit code and what was shown; the terminal must be as it was.
    #[track_caller]
    fn end(&mut self) -> (i32, String) {
        let output = self.client.wait(PATIENCE);
        let modes = tcgetattr(&self.keys).unwrap();
        assert_eq!(
            format!("{modes:?}"),
            format!("{:?}", self.before),
            "the terminal's mode stays changed"
        );
        (output.code, output.stdout.replace('\r', ""))
    }
}

fn fresh_terminal() -> (OwnedFd, std::fs::File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = std::fs::File::open(name.to_str().unwrap()).unwrap();
    (master, slave)
}

const CAT: [&str; 4] = [IMAGE, "sh", "-c", "echo ready; exec cat"];

/// A host with a container `web` that echoes what is typed, and a session with it.
fn cat(name: &'static str) -> (Host, Session) {
    let host = Host::with_image(name);
    let session = Session::start(
        &host,
        &[&["run", "-it", "--name", "web"], &CAT[..]].concat(),
    );
    session.until("ready");
    assert!(session.is_raw());
    (host, session)
}

#[test]
fn the_terminal_is_as_before_however_the_session_ends() {
    let (mut host, mut session) = cat("terminal-restored");
    session.type_keys(b"\x10\x11");
    assert_eq!(session.end(), (0, "ready\n".to_string()));

    // Detached from attach and exec, which tell so, as Docker's do.
    for args in [
        &["attach", "web"][..],
        &["attach", "--detach-keys", "a,ctrl-b", "web"],
        &["exec", "-it", "web", "cat"],
    ] {
        let mut session = Session::start(&host, args);
        session.type_keys(b"here\n");
        session.until("here\r\nhere");
        session.type_keys(match args.contains(&"--detach-keys") {
            true => b"a\x02",
            false => b"\x10\x11",
        });
        let (code, shown) = session.end();
        assert_eq!(code, 1, "{args:?}");
        assert!(shown.ends_with("tug: read escape sequence\n"), "{shown:?}");
    }

    // A signal for the client itself.
    let mut session = Session::start(&host, &["exec", "-it", "web", "cat"]);
    session.type_keys(b"here\n");
    session.until("here\r\nhere");
    send_signal(session.client.pid(), "TERM");
    assert_eq!(session.end().0, 128 + 15);

    // A program that cannot be started.
    let mut session = Session::start(&host, &["exec", "-it", "web", "nosuch"]);
    assert_eq!(session.end().0, 127);

    // The engine dies, and the terminal goes on; the next engine knows the exit code.
    let mut session = Session::start(&host, &["attach", "web"]);
    session.type_keys(b"here\n");
    session.until("here\r\nhere");
    host.kill_engine();
    session.type_keys(b"there\n");
    session.until("there\r\nthere");
    session.type_keys(b"\x04");
    host.start_engine();
    let (code, shown) = session.end();
    assert_eq!(code, 0, "{shown:?}");
}

#[test]
fn a_stopped_container_is_started_and_attached_to_at_once() {
    let (host, mut session) = cat("terminal-start");
    session.type_keys(b"\x04");
    assert_eq!(session.end().0, 0);
    host.tug(&["attach", "web"]).assert_refused(
        1,
        "You cannot attach to a stopped container, start it first",
    );
    let mut session = Session::start(&host, &["start", "-ai", "web"]);
    session.until("ready");
    session.type_keys(b"again\n");
    session.until("again\r\nagain");
    session.type_keys(b"\x10\x11");
    assert_eq!(session.end().0, 0);
    assert_eq!(host.inspect("web", "State.Running"), "true");
    host.ok(&["pause", "web"]);
    host.tug(&["attach", "web"]).assert_refused(
        1,
        "You cannot attach to a paused container, unpause it first",
    );
    host.ok(&["unpause", "web"]);
    host.tug(&["start", "-ai", "web", "web"])
        .assert_refused(1, "you cannot start and attach multiple containers at once");
}

#[test]
fn a_program_sees_the_size_of_the_terminal_and_each_change() {
    let host = Host::with_image("terminal-size");
    // The first size may come a moment after the start, as with Docker.
    let script = "is() { until [ \"$(stty size)\" = \"$1\" ]; do sleep 0.05; done; }; \
                  is '40 100'; echo ready; is '21 54'; echo resized; read line";
    host.ok(&["run", "-dit", "--name", "web", IMAGE, "sh", "-c", script]);
    host.ok(&["run", "-d", "--name", "other", IMAGE, "sleep", "1000"]);
    for args in [
        &["run", "--rm", "-it", IMAGE, "sh", "-c", script][..],
        &["attach", "web"],
        &["start", "-ai", "web"],
        &["exec", "-it", "other", "sh", "-c", script],
    ] {
        let mut session = Session::start(&host, args);
        session.until("ready");
        let size = Winsize {
            ws_row: 21,
            ws_col: 54,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&session.keys, size).unwrap();
        // The kernel tells the session that the terminal belongs to, of which we are none.
        send_signal(session.client.pid(), "WINCH");
        session.until("resized");
        session.type_keys(b"\r");
        assert_eq!(session.end().0, 0, "{args:?}");
    }
}

/// Prints each signal that comes, and ends with the code 5 at QUIT.
const TELL: &str = "for s in HUP INT USR1 WINCH TSTP TERM; do trap \"echo $s\" $s; done; \
                    trap 'exit 5' QUIT; echo ready; while :; do sleep 0.1; done";

#[test]
fn signals_are_for_the_container() {
    let host = Host::with_image("terminal-signals");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sh", "-c", TELL]);
    for args in [
        &["run", "--rm", IMAGE, "sh", "-c", TELL][..],
        &["run", "--rm", "-it", IMAGE, "sh", "-c", TELL],
        &["attach", "web"],
        &["start", "-a", "web"],
    ] {
        let is_terminal = args.contains(&"-it");
        let mut session = Session::start(&host, args);
        if args[0] != "attach" {
            session.until("ready");
        } else {
            // There is nothing to see until something is said.
            crate::harness::eventually("the client is attached", || {
                send_signal(session.client.pid(), "WINCH");
                session.client.stdout().contains("WINCH")
            });
        }
        for name in ["HUP", "INT", "USR1", "WINCH", "TSTP", "TERM"] {
            if is_terminal && name == "WINCH" {
                continue;
            }
            send_signal(session.client.pid(), name);
            session.until(name);
        }
        host.ok(&["kill", "-s", "QUIT", &host.ok(&["ps", "-lq"])]);
        assert_eq!(session.end().0, 5, "{args:?}");
    }
}

#[test]
fn who_asks_three_times_need_not_wait() {
    let host = Host::with_image("terminal-three");
    let script = "trap '' INT; echo ready; while :; do sleep 1; done";
    let mut session = Session::start(&host, &["run", "--name", "web", IMAGE, "sh", "-c", script]);
    session.until("ready");
    for count in 1..=3 {
        send_signal(session.client.pid(), "INT");
        // Two that are pending at once would be one.
        crate::harness::eventually("the client has taken the signal", || {
            let status = format!("/proc/{}/status", session.client.pid());
            let status = std::fs::read_to_string(status).unwrap_or_default();
            count == 3 || status.contains("ShdPnd:\t0000000000000000")
        });
    }
    let (code, shown) = session.end();
    assert_eq!(code, 1);
    assert!(
        shown.ends_with("got 3 SIGTERM/SIGINTs, forcefully exiting\n"),
        "{shown:?}"
    );
    assert_eq!(host.inspect("web", "State.Running"), "true");
}

#[test]
fn without_sig_proxy_signals_are_the_clients() {
    let host = Host::with_image("terminal-no-proxy");
    let mut client = host.spawn(&[
        "run",
        "--name",
        "web",
        "--sig-proxy=false",
        IMAGE,
        "sh",
        "-c",
        TELL,
    ]);
    client.until_stdout("ready", |text| text == "ready\n");
    send_signal(client.pid(), "TERM");
    assert_eq!(client.wait(PATIENCE).code, -15);
    assert_eq!(host.inspect("web", "State.Running"), "true");
}

#[test]
fn attached_without_stdin_nothing_is_typed() {
    let host = Host::with_image("terminal-no-stdin");
    let script = "until [ -e /go ]; do echo tick; sleep 0.1; done; \
                  read line; echo \"got $line\"; exit 7";
    host.ok(&["run", "-di", "--name", "web", IMAGE, "sh", "-c", script]);
    let mut command = host.client(&host.binary, &["attach", "--no-stdin", "web"]);
    command.stdin(std::process::Stdio::piped());
    let mut watcher = Running::start(command);
    watcher.until_stdout("a tick", |text| text.contains("tick"));
    host.ok(&["exec", "web", "touch", "/go"]);
    for output in [
        host.tug_with_input(&["attach", "web"], b"text\n"),
        watcher.wait(PATIENCE),
    ] {
        assert_eq!((output.code, output.stderr.as_str()), (7, ""));
        assert!(output.stdout.ends_with("got text\n"), "{output:?}");
    }
}

#[test]
fn the_configuration_says_how_to_detach_and_how_lists_look() {
    let (host, mut session) = cat("terminal-config");
    let dir = host.make_dir("config");
    host.write(
        "config/config.json",
        r#"{"psFormat":"{{.Names}}!","imagesFormat":"{{.Repository}}?","detachKeys":"a,b"}"#,
    );
    assert_eq!(host.ok(&["--config", &dir, "ps"]), "web!");
    assert_eq!(host.ok(&["--config", &dir, "images"]), "test?");
    assert_eq!(host.ok(&["--config", &dir, "ps", "-q"]).len(), 12);
    assert_eq!(
        host.ok(&["--config", &dir, "ps", "--format", "{{.Image}}"]),
        "test"
    );
    let mut other = Session::start(&host, &["--config", &dir, "attach", "web"]);
    other.type_keys(b"here\n");
    other.until("here\r\nhere");
    other.type_keys(b"ab");
    assert_eq!(other.end().0, 1);
    session.type_keys(b"\x10\x11");
    assert_eq!(session.end().0, 0);

    host.write("config/config.json", "{\"psFormat\": ");
    let output = host.tug(&["--config", &dir, "ps", "-q"]);
    assert_eq!(output.code, 0);
    assert!(
        output
            .stderr
            .starts_with("WARNING: Error parsing config file ("),
        "{output:?}"
    );
}
