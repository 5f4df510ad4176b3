//! Where the engine listens.

use crate::harness::{Host, PATIENCE, command};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::Command;

#[test]
fn a_socket_that_systemd_holds_is_served() {
    let mut host = Host::without_engine("inherited");
    let listener = UnixListener::bind(host.socket()).unwrap();
    // The shell moves its standard input to where systemd's first socket is, and becomes the engine.
    let mut script = Command::new("sh");
    script
        .args([
            "-c",
            "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\" -H fd://",
            "sh",
        ])
        .args(
            host.engine_command()
                .into_iter()
                .filter(|word| word != "-H" && *word != host.address()),
        );
    host.start_engine_with(script, OwnedFd::from(listener).into());
    assert_eq!(host.ok(&["version", "--format", "{{.Server.Os}}"]), "linux");
    assert_eq!(host.stop_engine(), Some(0));
    // The socket is systemd's: it stays, for the next start.
    assert!(host.socket().exists());
    std::fs::remove_file(host.socket()).unwrap();
}

#[test]
fn what_cannot_be_served_safely_is_refused() {
    for (address, sentence) in [
        ("tcp://127.0.0.1:0", "TLS"),
        ("fd://", "systemd"),
        ("ftp://x", "ftp://x"),
        ("unix://", "unix://"),
    ] {
        let host = Host::without_engine("refused-address");
        let mut line = host.engine_command();
        let at = line.iter().position(|word| word == "-H").unwrap();
        line[at + 1] = address.to_string();
        let mut engine = Command::new(&line[0]);
        engine.args(&line[1..]);
        let output = command::run(engine, b"", PATIENCE);
        assert_ne!(output.code, 0, "{address}");
        assert!(output.stderr.contains(sentence), "{address}: {output:?}");
        // Beside what this host cannot limit.
        let said = output
            .stderr
            .lines()
            .filter(|line| !line.contains("WARNING: "));
        assert_eq!(said.count(), 1, "{output:?}");
    }
}
