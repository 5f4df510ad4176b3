//! The API over TCP: who gets in, who does not, and that everything works through it.

use crate::harness::command::{self, Output};
use crate::harness::{Host, IMAGE, PATIENCE, docker_client, eventually, skip};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A directory with a CA, and certificates of it made with Debian's openssl.
struct Certificates<'a> {
    host: &'a Host,
}

impl Certificates<'_> {
    fn path(&self, name: &str) -> String {
        self.host.dir.join(name).to_str().unwrap().to_string()
    }

    fn openssl(&self, line: &str) {
        let mut openssl = Command::new("openssl");
        openssl.args(line.split(' ')).current_dir(&self.host.dir);
        let output = command::run(openssl, b"", PATIENCE);
        assert_eq!(output.code, 0, "openssl {line}: {output:?}");
    }

    fn ca(&self, name: &str) {
        self.openssl(&format!(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -keyout {name}-key.pem -out {name}.pem"
        ));
    }

    /// NAME.pem and NAME-key.pem, signed by `ca`, with these extensions, between these days from now.
    fn sign(&self, name: &str, ca: &str, key: &str, extensions: &str, days: (i64, i64)) {
        self.openssl(&format!(
            "req -newkey {key} -nodes -subj /CN={name} -keyout {name}-key.pem -out {name}.csr"
        ));
        let database = format!("{name}.db");
        self.host.write(&database, "");
        self.host.write(&format!("{database}.attr"), "");
        self.host.write(
            &format!("{name}.cnf"),
            format!(
                "[ca]\ndefault_ca=own\n[own]\ndatabase={database}\nnew_certs_dir=.\nrand_serial=yes\n\
                 default_md=sha256\npolicy=any\nunique_subject=no\n[any]\ncommonName=supplied\n\
                 [extensions]\nbasicConstraints=CA:false\n{extensions}\n"
            ),
        );
        let (from, to) = (date(days.0), date(days.1));
        self.openssl(&format!(
            "ca -batch -notext -config {name}.cnf -extensions extensions -cert {ca}.pem -keyfile {ca}-key.pem \
             -startdate {from} -enddate {to} -in {name}.csr -out {name}.pem"
        ));
    }
}

const RSA: &str = "rsa:2048";
const EC: &str = "ec -pkeyopt ec_paramgen_curve:prime256v1";
const FOR_SERVERS: &str = "extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1,DNS:localhost";
const FOR_CLIENTS: &str = "extendedKeyUsage=clientAuth";

/// openssl's way to say a day from now.
fn date(days: i64) -> String {
    let mut date = Command::new("date");
    date.args(["-u", "-d", &format!("{days} days"), "+%Y%m%d%H%M%SZ"]);
    command::run(date, b"", PATIENCE).stdout.trim().to_string()
}

/// An engine on TCP of this machine with TLS, and its port.
fn with_tls(host: &mut Host) -> u16 {
    {
        let certificates = Certificates { host };
        certificates.ca("ca");
        certificates.sign("server", "ca", RSA, FOR_SERVERS, (-1, 1));
        certificates.sign("client", "ca", EC, FOR_CLIENTS, (-1, 1));
    }
    let path = |name: &str| host.dir.join(name).to_str().unwrap().to_string();
    host.write(
        "daemon.json",
        format!(
            r#"{{"tlsverify": true, "tlscacert": "{}", "tlscert": "{}", "tlskey": "{}", "debug": true}}"#,
            path("ca.pem"),
            path("server.pem"),
            path("server-key.pem")
        ),
    );
    start_on_tcp(host, &[])
}

fn start_on_tcp(host: &mut Host, flags: &[&str]) -> u16 {
    let line = host.engine_command();
    let mut engine = Command::new(&line[0]);
    engine
        .args(&line[1..])
        .args(["-H", "tcp://127.0.0.1:0"])
        .args(flags);
    host.start_engine_as(engine);
    let log = host.engine_log();
    let port = log.rsplit("tcp://127.0.0.1:").next().unwrap();
    let digits = port
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(port.len());
    port[..digits].parse().unwrap()
}

/// A client's command line with the files of `name`.
fn tls_command(host: &Host, program: &Path, port: u16, name: &str, args: &[&str]) -> Command {
    let file = |name: &str| host.dir.join(name);
    let mut command = host.client(program, &[]);
    command
        .env_remove("DOCKER_HOST")
        .args(["-H", &format!("tcp://127.0.0.1:{port}"), "--tlsverify"])
        .arg("--tlscacert")
        .arg(file("ca.pem"))
        .arg("--tlscert")
        .arg(file(&format!("{name}.pem")))
        .arg("--tlskey")
        .arg(file(&format!("{name}-key.pem")))
        .args(args);
    command
}

fn tug(host: &Host, port: u16, name: &str, args: &[&str], input: &[u8]) -> Output {
    let command = tls_command(host, &host.binary, port, name, args);
    command::run(command, input, PATIENCE)
}

fn ok(host: &Host, port: u16, args: &[&str]) -> String {
    let output = tug(host, port, "client", args, b"");
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{args:?}");
    output.stdout.trim_end().to_string()
}

#[test]
fn everything_works_through_tls() {
    let mut host = Host::without_engine("tls");
    let port = with_tls(&mut host);
    // Much in one direction: an image in, a log out.
    let output = tug(
        &host,
        port,
        "client",
        &["import", "-", IMAGE],
        &crate::harness::rootfs::busybox(),
    );
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    let script =
        "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo err >&2; exit 7";
    let output = tug(
        &host,
        port,
        "client",
        &["run", "--name", "web", IMAGE, "sh", "-c", script],
        b"",
    );
    assert_eq!((output.code, output.stderr.as_str()), (7, "err\n"));
    assert_eq!(output.stdout.lines().count(), 20_000);
    assert!(output.stdout.ends_with("line 19999\n"));
    let output = tug(&host, port, "client", &["logs", "web"], b"");
    assert_eq!(output.stdout.lines().count(), 20_000);

    // Input with an end of its own, which is half a connection's end.
    let large = "y".repeat(200_000);
    let output = tug(
        &host,
        port,
        "client",
        &["run", "-i", "--rm", IMAGE, "wc", "-c"],
        large.as_bytes(),
    );
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (0, "200000\n"),
        "{output:?}"
    );
    ok(
        &host,
        port,
        &["run", "-d", "--name", "bg", IMAGE, "sleep", "1000"],
    );
    let output = tug(
        &host,
        port,
        "client",
        &["exec", "-i", "bg", "cat"],
        b"through exec",
    );
    assert_eq!((output.code, output.stdout.as_str()), (0, "through exec"));
    assert_eq!(ok(&host, port, &["stop", "-t", "0", "bg"]), "bg");
    host.note_container(&host.get("/containers/bg/json").string("Id"));
}

#[test]
fn dockers_own_client_works_through_tls() {
    let Some(docker) = docker_client() else {
        return skip("docker-tls", "there is no docker client");
    };
    let mut host = Host::without_engine("tls-docker");
    let port = with_tls(&mut host);
    host.import(IMAGE, &crate::harness::rootfs::busybox());
    let run = |args: &[&str], input: &[u8]| {
        let command = tls_command(&host, &docker, port, "client", args);
        command::run(command, input, PATIENCE)
    };
    let output = run(&["run", "-i", "--rm", IMAGE, "cat"], b"hello");
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (0, "hello"),
        "{output:?}"
    );
    let output = run(
        &[
            "run",
            "--name",
            "web",
            IMAGE,
            "sh",
            "-c",
            "echo out; echo err >&2; exit 3",
        ],
        b"",
    );
    assert_eq!(
        (output.code, output.stdout.as_str(), output.stderr.as_str()),
        (3, "out\n", "err\n")
    );
    let output = run(&["ps", "-a", "--format", "{{.Names}}"], b"");
    assert_eq!(output.stdout, "web\n", "{output:?}");

    // By variables, as most people say it.
    let file = |name: &str, as_name: &str| {
        std::fs::copy(host.dir.join(name), host.dir.join("certs").join(as_name)).unwrap();
    };
    host.make_dir("certs");
    file("ca.pem", "ca.pem");
    file("client.pem", "cert.pem");
    file("client-key.pem", "key.pem");
    for program in [&docker, &host.binary] {
        let mut command = host.client(program, &["ps", "-aq"]);
        command
            .env("DOCKER_HOST", format!("tcp://127.0.0.1:{port}"))
            .env("DOCKER_TLS_VERIFY", "1")
            .env("DOCKER_CERT_PATH", host.dir.join("certs"));
        let output = command::run(command, b"", PATIENCE);
        assert_eq!(
            (output.code, output.stdout.lines().count()),
            (0, 1),
            "{output:?}"
        );
    }
}

#[test]
fn who_has_no_good_certificate_stays_outside() {
    let mut host = Host::without_engine("tls-refused");
    let port = with_tls(&mut host);
    {
        let certificates = Certificates { host: &host };
        certificates.ca("other");
        certificates.sign("stranger", "other", EC, FOR_CLIENTS, (-1, 1));
        certificates.sign("expired", "ca", EC, FOR_CLIENTS, (-3, -1));
        certificates.sign("future", "ca", EC, FOR_CLIENTS, (1, 3));
        certificates.sign("serverlike", "ca", EC, FOR_SERVERS, (-1, 1));
        certificates.sign("good-rsa", "ca", RSA, FOR_CLIENTS, (-1, 1));
        let _ = certificates.path("ca.pem");
    }
    for name in ["stranger", "expired", "future", "serverlike"] {
        let output = tug(&host, port, name, &["ps"], b"");
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (1, ""),
            "{name}: {output:?}"
        );
    }
    // Without any certificate.
    let mut bare = host.client(
        &host.binary,
        &["-H", &format!("tcp://127.0.0.1:{port}"), "--tlsverify"],
    );
    bare.arg("--tlscacert")
        .arg(host.dir.join("ca.pem"))
        .arg("ps");
    let output = command::run(bare, b"", PATIENCE);
    assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{output:?}");
    // Without TLS.
    let mut plain = TcpStream::connect(("127.0.0.1", port)).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain
        .write_all(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");

    // No request was ever heard, and the log says what was wrong, and what time it thinks it is.
    let log = host.engine_log();
    assert!(
        !log.contains("GET /v1") && !log.contains("/containers/json"),
        "{log}"
    );
    for words in [
        "a connection is refused: the certificate has expired: the clock says 20",
        "a connection is refused: the certificate is not valid yet: the clock says 20",
    ] {
        assert!(log.contains(words), "{words}: {log}");
    }
    assert_eq!(tug(&host, port, "good-rsa", &["ps", "-q"], b"").code, 0);

    // And the client trusts no engine of another CA.
    let mut wary = tls_command(&host, &host.binary, port, "client", &[]);
    wary.arg("--tlscacert")
        .arg(host.dir.join("other.pem"))
        .arg("ps");
    let output = command::run(wary, b"", PATIENCE);
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("UnknownIssuer"), "{output:?}");
}

#[test]
fn a_handshake_that_does_not_come_costs_nobody_else() {
    let mut host = Host::without_engine("tls-slow");
    let port = with_tls(&mut host);
    let begin = Instant::now();
    let mut silent = Vec::new();
    for n in 0..100 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        // The beginning of a handshake that has no end.
        if n % 2 == 0 {
            stream.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
        }
        silent.push(stream);
    }
    assert_eq!(ok(&host, port, &["ps", "-q"]), "");
    let mut first = silent.remove(0);
    first.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = first.read_to_end(&mut Vec::new());
    let took = begin.elapsed();
    assert!(
        took > Duration::from_secs(8) && took < Duration::from_secs(30),
        "{took:?}"
    );
}

#[test]
fn a_client_that_leaves_takes_its_request_along() {
    let mut host = Host::without_engine("tls-leave");
    let port = with_tls(&mut host);
    let mut command = tls_command(&host, &host.binary, port, "client", &["events"]);
    let mut client = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let listeners = || host.get("/info").number("NEventsListener");
    eventually("somebody listens", || listeners() == 1);
    client.kill().unwrap();
    client.wait().unwrap();
    eventually("nobody listens", || listeners() == 0);
}

#[test]
fn tcp_without_client_certificates_must_be_asked_for() {
    let mut host = Host::without_engine("tls-insecure");
    let line = host.engine_command();
    let mut engine = Command::new(&line[0]);
    engine
        .args(&line[1..])
        .args(["-H", "tcp://127.0.0.1:0", "--tls"]);
    let output = command::run(engine, b"", PATIENCE);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output
            .stderr
            .contains("it needs TLS with client certificates"),
        "{output:?}"
    );

    let port = start_on_tcp(&mut host, &["--insecure-tcp"]);
    let log = host.engine_log();
    assert!(
        log.contains("WARNING: TCP is served without client certificates"),
        "{log}"
    );
    let command = host.client(
        &host.binary,
        &["-H", &format!("tcp://localhost:{port}"), "ps", "-q"],
    );
    let output = command::run(command, b"", PATIENCE);
    assert_eq!(
        (output.code, output.stdout.as_str(), output.stderr.as_str()),
        (0, "", "")
    );
}
