//! Watching: native probes, what is done when they fail, and what is told to the board's watchdog.

use crate::events::actions;
use crate::harness::json::Json;
use crate::harness::rootfs::{Archive, busybox, docker_archive};
use crate::harness::{Host, IMAGE, eventually, http, send_signal};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Run a container that is probed every 20 ms; the directory is its /data.
fn start(host: &Host, name: &str, probe: &str, more: &[&str], command: &[&str]) -> PathBuf {
    let dir = host.make_dir(name);
    let volume = format!("{dir}:/data");
    let interval = ["--health-interval", "20ms", "--health-retries", "2"];
    let line = [
        &[
            "run",
            "-d",
            "--name",
            name,
            "-v",
            &volume,
            "--health-probe",
            probe,
        ][..],
        &interval,
        more,
        &[IMAGE],
        command,
    ]
    .concat();
    host.ok(&line);
    dir.into()
}

/// The same in the host's network, where the test's own servers are.
fn watch(host: &Host, name: &str, probe: &str) -> PathBuf {
    start(
        host,
        name,
        probe,
        &["--network", "host"],
        &["sleep", "1000"],
    )
}

fn found(host: &Host, name: &str) -> Json {
    host.get(&format!("/containers/{name}/json"))
}

/// A member that is text.
fn member(host: &Host, name: &str, path: &str) -> String {
    found(host, name).string(path)
}

fn status(host: &Host, name: &str) -> String {
    found(host, name).string("State.Health.Status")
}

/// Wait for a status, and for words that a check has found.
fn until(host: &Host, name: &str, expected: &str, words: &str) {
    let mut last = String::new();
    eventually(&format!("{name} is {expected}: {words}"), || {
        let found = found(host, name);
        last = found.text("State.Health");
        found.string("State.Health.Status") == expected && last.contains(words)
    });
}

/// A server on loopback that does with each connection what `serve` says.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(stream));
        }
    });
    port
}

/// One that reads a request and answers with these bytes.
fn answering(answer: &'static str) -> u16 {
    server(move |mut stream| {
        let mut request = [0u8; 1024];
        let _ = stream.read(&mut request);
        let _ = stream.write_all(answer.as_bytes());
    })
}

fn descriptors(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count()
}

#[test]
fn every_kind_of_probe_tells_well_from_ill() {
    let host = Host::with_image("probe-kinds");
    let good = answering("HTTP/1.1 204 No Content\r\n\r\n");
    let ill = answering("HTTP/1.0 503 Down\r\nContent-Length: 4\r\n\r\ndown");
    let early = answering("HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 302 Found\r\n\r\n");
    // Bound, and nobody accepts: the kernel refuses.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = { closed }.local_addr().unwrap().port();
    for (name, probe, expected, words) in [
        (
            "good",
            format!("http://:{good}/healthz"),
            "healthy",
            "HTTP 204",
        ),
        (
            "ill",
            format!("http://127.0.0.1:{ill}/"),
            "unhealthy",
            "HTTP 503",
        ),
        (
            "asked",
            format!("http://localhost:{ill}/#503"),
            "healthy",
            "HTTP 503",
        ),
        ("early", format!("http://:{early}"), "healthy", "HTTP 302"),
        (
            "moved",
            format!("http://:{early}/#200-299"),
            "unhealthy",
            "HTTP 302",
        ),
        ("tcp", format!("tcp://:{good}"), "healthy", "connected"),
        (
            "closed",
            format!("tcp://:{closed}"),
            "unhealthy",
            "connection refused",
        ),
        (
            "refused",
            format!("http://:{closed}/"),
            "unhealthy",
            "connection refused",
        ),
        (
            "six",
            format!("tcp://[::1]:{closed}"),
            "unhealthy",
            "onnect",
        ),
        ("runs", "process:sleep".to_string(), "healthy", "sleep runs"),
        (
            "runs-not",
            "process:nginx".to_string(),
            "unhealthy",
            "no process nginx",
        ),
    ] {
        watch(&host, name, &probe);
        until(&host, name, expected, words);
    }
    let code = |name| found(&host, name).number("State.Health.Log.0.ExitCode");
    assert_eq!((code("good"), code("ill")), (0, 1));
    assert!(host.ok(&["ps"]).contains("(healthy)"));

    let dir = watch(&host, "file", "file:/data/ready");
    until(&host, "file", "unhealthy", "No such file");
    std::fs::write(dir.join("ready"), "").unwrap();
    until(&host, "file", "healthy", "/data/ready is there");
    assert_eq!(
        actions(&host, r#"{"event":["health_status"],"container":["file"]}"#),
        ["health_status: unhealthy", "health_status: healthy"]
    );

    let dir = watch(&host, "beat", "file:/data/beat?max-age=300ms");
    std::fs::write(dir.join("beat"), "").unwrap();
    until(&host, "beat", "healthy", "");
    until(&host, "beat", "unhealthy", "/data/beat is 0 s old");
    std::fs::write(dir.join("beat"), "again").unwrap();
    until(&host, "beat", "healthy", "");

    let dir = watch(&host, "unix", "unix:///data/app.sock");
    until(&host, "unix", "unhealthy", "No such file");
    let listener = UnixListener::bind(dir.join("app.sock")).unwrap();
    until(&host, "unix", "healthy", "connected");
    drop(listener);
    until(&host, "unix", "unhealthy", "Connection refused");

    if std::path::Path::new("/proc/pressure/memory").exists() {
        watch(&host, "calm", "pressure:memory=99.9");
        until(&host, "calm", "healthy", "memory.pressure");
    } else {
        let refused = host.tug(&["create", "--health-probe", "pressure:cpu=1", IMAGE]);
        refused.assert_refused(1, "CONFIG_PSI");
    }
}

#[test]
fn whoever_answers_cannot_hold_the_shim_up() {
    let host = Host::with_image("probe-hostile");
    let pause = || std::thread::sleep(Duration::from_secs(1));
    let drip = server(move |mut stream| {
        for byte in b"HTTP/1.1 200 OK\r\n".iter().cycle() {
            pause();
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
        }
    });
    let silent = server(|stream| {
        std::thread::sleep(Duration::from_secs(600));
        drop(stream);
    });
    let hasty = server(drop);
    // It never comes to a status.
    let endless = server(|mut stream| {
        let line = "HTTP/1.1 100 Continue\r\nX: y\r\n";
        while stream.write_all(line.as_bytes()).is_ok() {}
    });
    let flood = server(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    let other = answering("SSH-2.0-OpenSSH_9.2\r\n");
    let late = "exceeded timeout (300ms)";
    for (name, port, expected, words) in [
        ("drip", drip, "unhealthy", late),
        ("silent", silent, "unhealthy", late),
        ("hasty", hasty, "unhealthy", "closed"),
        ("endless", endless, "unhealthy", "no HTTP"),
        ("flood", flood, "healthy", "HTTP 200"),
        ("other", other, "unhealthy", "no HTTP"),
    ] {
        let probe = format!("http://:{port}/");
        let more = ["--network", "host", "--health-timeout", "300ms"];
        start(&host, name, &probe, &more, &["sleep", "1000"]);
        until(&host, name, expected, words);
    }
    let output = found(&host, "silent").string("State.Health.Log.0.Output");
    assert_eq!(output, "Health check exceeded timeout (300ms)");

    // While one talks the shim does its other work, and no socket is left behind.
    let shim = host.shim_pid("silent");
    let before = descriptors(shim);
    let begun = Instant::now();
    for _ in 0..10 {
        host.ok(&["exec", "silent", "true"]);
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(descriptors(shim) <= before + 1, "{}", descriptors(shim));
    for name in ["hasty", "endless", "flood"] {
        let shim = host.shim_pid(name);
        assert!(descriptors(shim) <= before + 1, "{name}");
    }
}

/// What the shim of `name` starts in a second, as strace sees it.
fn started(host: &Host, name: &str) -> Option<usize> {
    let report = host.dir.join("strace");
    let traced = Command::new("timeout")
        .args(["-s", "INT", "1", "strace", "-f", "-e"])
        .arg("trace=clone,clone3,fork,vfork,execve")
        .arg("-o")
        .arg(&report)
        .args(["-p", &host.shim_pid(name).to_string()])
        .stderr(std::process::Stdio::null())
        .status();
    traced.ok()?;
    let report = std::fs::read_to_string(report).ok()?;
    Some(report.matches("clone").count() + report.matches("exec").count())
}

#[test]
fn a_probe_starts_no_process() {
    let host = Host::with_image("probe-alone");
    let port = answering("HTTP/1.1 200 OK\r\n\r\n");
    watch(&host, "probed", &format!("http://:{port}/"));
    let interval = ["--health-interval", "20ms", "--health-cmd", "true"];
    let line = [
        &["run", "-d", "--name", "asked"],
        &interval[..],
        &[IMAGE, "sleep", "1000"],
    ];
    host.ok(&line.concat());
    until(&host, "probed", "healthy", "");
    until(&host, "asked", "healthy", "");
    match (started(&host, "probed"), started(&host, "asked")) {
        (Some(probed), Some(asked)) => {
            assert_eq!(probed, 0);
            assert!(asked > 0, "strace sees nothing");
        }
        _ => crate::harness::skip("a_probe_starts_no_process", "no strace"),
    }
}

#[test]
fn probes_are_made_where_the_container_is() {
    let host = Host::with_image("probe-network");
    let port = answering("HTTP/1.1 200 OK\r\n\r\n");
    // The host's server is not the container's.
    let none = ["--network", "none"];
    let probe = format!("http://:{port}/");
    start(&host, "alone", &probe, &none, &["sleep", "1000"]);
    until(&host, "alone", "unhealthy", "connection refused");
    let httpd = ["busybox", "httpd", "-f", "-p", "8080", "-h", "/data"];
    let dir = start(&host, "web", "http://:8080/ready.txt", &none, &httpd);
    until(&host, "web", "unhealthy", "HTTP 404");
    std::fs::write(dir.join("ready.txt"), "fine").unwrap();
    until(&host, "web", "healthy", "HTTP 200");

    // Nor are the host's files and processes.
    let dir = start(&host, "root", "file:/data/way", &none, &["sleep", "1000"]);
    std::os::unix::fs::symlink("/../../../..", dir.join("up")).unwrap();
    std::os::unix::fs::symlink("/data/up/etc/machine", dir.join("way")).unwrap();
    std::fs::write(host.dir.join("machine"), "").unwrap();
    until(&host, "root", "unhealthy", "No such file");
    host.ok(&["exec", "root", "touch", "/etc/machine"]);
    until(&host, "root", "healthy", "");
    // The test itself is no process of the container's.
    let own = std::fs::read_to_string("/proc/self/comm").unwrap();
    start(
        &host,
        "other",
        &format!("process:{}", own.trim()),
        &none,
        &["sleep", "1000"],
    );
    until(&host, "other", "unhealthy", "no process");

    // What the container's user may not see his probe does not see.
    let user = [&none[..], &["--user", "1234:1234"]].concat();
    let dir = start(
        &host,
        "user",
        "file:/data/in/secret",
        &user,
        &["sleep", "1000"],
    );
    let hidden = dir.join("in");
    std::fs::create_dir(&hidden).unwrap();
    std::fs::write(hidden.join("secret"), "").unwrap();
    let mode = |mode| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o700);
    until(&host, "user", "unhealthy", "Permission denied");
    mode(0o755);
    until(&host, "user", "healthy", "");
}

#[test]
fn probes_go_on_without_the_engine_and_not_while_paused() {
    let mut host = Host::with_image("probe-life");
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let port = server(move |mut stream| {
        counter.fetch_add(1, Ordering::Relaxed);
        let _ = stream.read(&mut [0u8; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    });
    let count = || asked.load(Ordering::Relaxed);
    watch(&host, "web", &format!("http://:{port}/"));
    until(&host, "web", "healthy", "");
    host.kill_engine();
    let before = count();
    eventually("it is asked without an engine", || count() > before + 3);
    host.start_engine();
    assert_eq!(status(&host, "web"), "healthy");

    host.ok(&["pause", "web"]);
    let before = count();
    std::thread::sleep(Duration::from_millis(200));
    assert!(count() <= before + 1);
    host.ok(&["unpause", "web"]);
    eventually("it is asked again", || count() > before + 1);
    host.ok(&["stop", "-t", "0", "web"]);
    assert_eq!(status(&host, "web"), "unhealthy");
    let before = count();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(count(), before);
}

#[test]
fn an_image_may_bring_a_probe() {
    let host = Host::with_image("probe-image");
    let layers = [busybox()];
    let archive = |test: &str| {
        let config = format!(r#"{{"Healthcheck":{{"Test":{test},"Interval":20000000}}}}"#);
        docker_archive("probed:1", &layers, &config)
    };
    let loaded = host.tug_with_input(&["load"], &archive(r#"["PROBE","process:sleep"]"#));
    assert_eq!(loaded.code, 0, "{loaded:?}");
    host.ok(&["run", "-d", "--name", "web", "probed:1", "sleep", "1000"]);
    until(&host, "web", "healthy", "sleep runs");
    host.tug_with_input(&["load"], &archive(r#"["PROBE","file:../../etc/shadow"]"#));
    let refused = host.tug(&["run", "-d", "probed:1", "sleep", "1000"]);
    refused.assert_refused(125, "invalid health probe");
}

#[test]
fn what_is_no_probe_or_no_remedy_is_refused() {
    let host = Host::with_image("probe-refused");
    for (line, sentence) in [
        ("--health-probe ftp://:21", "invalid health probe"),
        ("--health-probe http://web:80/", "HOST being an address"),
        ("--health-probe https://:443/", "TLS is not spoken"),
        (
            "--health-on-failure panic",
            "use none, restart, stop, kill or reboot",
        ),
        (
            "--health-cmd true --health-probe process:x",
            "cannot specify both",
        ),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let refused = host.tug(&[&["create"], &words[..], &[IMAGE, "true"]].concat());
        assert!(
            refused.code != 0 && refused.stderr.contains(sentence),
            "{refused:?}"
        );
    }
    let body = format!(r#"{{"Image":"{IMAGE}","Healthcheck":{{"Test":["PROBE"]}}}}"#);
    let refused = host.http("POST", "/containers/create", &body);
    assert_eq!(refused.error().0, 400);
}

#[test]
fn an_ill_container_is_restarted_and_none_of_its_retries_are_spent() {
    let mut host = Host::with_image("remedy-restart");
    let more = [
        "--health-on-failure",
        "restart",
        "--restart",
        "on-failure:1",
    ];
    let script = "trap 'echo end >> /data/log; exit 0' TERM; echo run >> /data/log; touch /data/ready; while :; do sleep 0.02; done";
    let dir = start(
        &host,
        "web",
        "file:/data/ready",
        &more,
        &["sh", "-c", script],
    );
    let log = || std::fs::read_to_string(dir.join("log")).unwrap_or_default();
    until(&host, "web", "healthy", "");
    for round in 1..=2 {
        // The second time nobody looks on.
        if round == 2 {
            host.kill_engine();
        }
        eventually("it is ready", || dir.join("ready").exists());
        std::fs::remove_file(dir.join("ready")).unwrap();
        eventually("it is started again", || {
            log() == "run\n".to_string() + &"end\nrun\n".repeat(round)
        });
    }
    host.start_engine();
    until(&host, "web", "healthy", "");
    let found = found(&host, "web");
    assert_eq!(found.number("RestartCount"), 0);
    assert_eq!(found.string("HostConfig.HealthOnFailure"), "restart");

    // A container without a policy too; and one that does not heed is killed in the end.
    let more = ["--health-on-failure", "restart", "--stop-timeout", "0"];
    let script = "trap '' TERM; echo run >> /data/log; while :; do sleep 0.02; done";
    let dir = start(
        &host,
        "deaf",
        "file:/data/ready",
        &more,
        &["sh", "-c", script],
    );
    eventually("it is started again and again", || {
        std::fs::read_to_string(dir.join("log"))
            .unwrap_or_default()
            .lines()
            .count()
            >= 3
    });
    host.ok(&["stop", "-t", "0", "deaf"]);
    assert_eq!(member(&host, "deaf", "State.Status"), "exited");
}

#[test]
fn an_ill_container_is_stopped_or_killed_for_good() {
    let host = Host::with_image("remedy-stop");
    let script = "trap 'exit 7' TERM; while :; do sleep 0.02; done";
    for (action, code) in [("stop", "7"), ("kill", "137")] {
        let more = ["--health-on-failure", action, "--restart", "always"];
        start(
            &host,
            action,
            "file:/data/ready",
            &more,
            &["sh", "-c", script],
        );
        host.until_state(action, "exited");
        assert_eq!(host.inspect(action, "State.ExitCode"), code);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(member(&host, action, "State.Status"), "exited");
    }
    // None is the default, and update changes it.
    start(
        &host,
        "none",
        "file:/data/ready",
        &[],
        &["sh", "-c", script],
    );
    until(&host, "none", "unhealthy", "");
    assert_eq!(member(&host, "none", "State.Status"), "running");
    host.tug(&["update", "--health-on-failure", "maybe", "none"])
        .assert_refused(1, "invalid HealthOnFailure");
    host.ok(&["update", "--health-on-failure", "kill", "none"]);
    host.until_state("none", "exited");
    assert_eq!(member(&host, "none", "HostConfig.HealthOnFailure"), "kill");
}

/// What PID 1 reads of the critical containers: the words, by name.
fn critical(host: &Host) -> Vec<String> {
    let dir = host.exec_root().join("critical");
    let mut all: Vec<String> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let mut lines = text.lines();
            let word = lines.next().unwrap_or_default().to_string();
            format!("{} {word}", lines.next().unwrap_or_default())
        })
        .collect();
    all.sort();
    all
}

fn until_critical(host: &Host, expected: &[&str]) {
    let mut last = Vec::new();
    eventually(&format!("{expected:?}"), || {
        last = critical(host);
        last == expected
    });
}

#[test]
fn critical_containers_say_how_they_are() {
    let mut host = Host::with_image("critical");
    let dir = start(
        &host,
        "web",
        "file:/data/ready",
        &["--critical"],
        &["sleep", "1000"],
    );
    until_critical(&host, &["web unhealthy"]);
    std::fs::write(dir.join("ready"), "").unwrap();
    until_critical(&host, &["web healthy"]);
    // Nothing is written while nothing changes.
    let file = host
        .exec_root()
        .join("critical")
        .join(member(&host, "web", "Id"));
    let stamp = |path: &PathBuf| std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap());
    let before = stamp(&file);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(stamp(&file), before);

    host.ok(&[
        "run",
        "-d",
        "--name",
        "app",
        "--critical",
        "--restart",
        "always",
        IMAGE,
        "sleep",
        "1000",
    ]);
    host.ok(&["run", "-d", "--name", "bare", IMAGE, "sleep", "1000"]);
    until_critical(&host, &["app running", "web healthy"]);
    host.kill_engine();
    std::fs::remove_file(dir.join("ready")).unwrap();
    until_critical(&host, &["app running", "web unhealthy"]);
    host.start_engine();

    // One that ends by itself and comes again, one that ends for good, and what the user wants.
    send_signal(host.pid("app"), "KILL");
    until_critical(&host, &["app starting", "web unhealthy"]);
    send_signal(host.pid("web"), "KILL");
    until_critical(&host, &["app starting", "web down"]);
    host.ok(&["stop", "-t", "0", "app"]);
    until_critical(&host, &["web down"]);
    host.ok(&["start", "app"]);
    until_critical(&host, &["app running", "web down"]);
    host.ok(&["stop", "web"]);
    until_critical(&host, &["app running"]);
    host.ok(&["rm", "-f", "app", "web"]);
    until_critical(&host, &[]);

    // Ended for being ill, it is missed.
    let more = ["--critical", "--health-on-failure", "stop"];
    start(&host, "ill", "file:/data/ready", &more, &["sleep", "1000"]);
    until_critical(&host, &["ill down"]);
    // It cannot be started.
    let failed = host.tug(&[
        "run",
        "-d",
        "--name",
        "never",
        "--critical",
        IMAGE,
        "/no/such",
    ]);
    assert_ne!(failed.code, 0);
    until_critical(&host, &["ill down", "never down"]);
    host.ok(&["rm", "ill", "never"]);
    until_critical(&host, &[]);
}

/// Who is told what the engine tells a service manager.
struct Manager(UnixDatagram);

impl Manager {
    /// An engine that is to give a sign of life every 400 ms.
    fn start(host: &mut Host, more: &[(&str, &str)]) -> Manager {
        let path = host.dir.join("notify");
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        let line = host.engine_command();
        let mut engine = Command::new(&line[0]);
        engine
            .args(&line[1..])
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "400000")
            .envs(more.iter().copied());
        host.start_engine_as(engine);
        Manager(socket)
    }

    /// The signs of life of so long a time.
    fn beats(&self, time: Duration) -> usize {
        self.0.set_nonblocking(true).unwrap();
        let mut buffer = [0; 200];
        while self.0.recv(&mut buffer).is_ok() {}
        self.0.set_nonblocking(false).unwrap();
        let end = Instant::now() + time;
        let mut count = 0;
        while let left = end.saturating_duration_since(Instant::now())
            && left > Duration::from_millis(1)
        {
            self.0.set_read_timeout(Some(left)).unwrap();
            if let Ok(length) = self.0.recv(&mut buffer) {
                count += usize::from(&buffer[..length] == b"WATCHDOG=1");
            }
        }
        count
    }
}

const WHILE: Duration = Duration::from_millis(1500);

#[test]
fn the_engine_shows_signs_of_life_as_long_as_it_works() {
    let mut host = Host::without_engine("heartbeat");
    let manager = Manager::start(&mut host, &[]);
    eventually("it beats", || manager.beats(WHILE) >= 2);

    // Stopped, it is as good as dead.
    send_signal(host.engine_pid(), "STOP");
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(manager.beats(WHILE), 0);
    send_signal(host.engine_pid(), "CONT");
    eventually("it beats again", || manager.beats(WHILE) >= 2);

    // The thread that serves hangs, and the others do not.
    let pid = host.engine_pid().to_string();
    let hang = Command::new("timeout")
        .args(["-s", "INT", "4", "strace", "-p", &pid, "-o", "/dev/null"])
        .args(["-e", "trace=epoll_wait,epoll_pwait"])
        .args(["-e", "inject=epoll_wait,epoll_pwait:delay_enter=2500000"])
        .stderr(std::process::Stdio::null())
        .spawn();
    if let Ok(mut hang) = hang {
        std::thread::sleep(Duration::from_millis(700));
        assert_eq!(manager.beats(WHILE), 0);
        hang.wait().unwrap();
        eventually("it beats again", || manager.beats(WHILE) >= 2);
    }

    // The data root takes no file.
    let file = host.data_root().join("alive");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    eventually("it says why", || {
        host.engine_log().contains("self-test: open")
    });
    assert_eq!(manager.beats(WHILE), 0);
    std::fs::remove_dir(&file).unwrap();
    eventually("it beats again", || manager.beats(WHILE) >= 2);
    host.stop_engine();

    // It is another process's watchdog.
    let manager = Manager::start(&mut host, &[("WATCHDOG_PID", "1")]);
    assert_eq!(manager.beats(WHILE), 0);
    host.stop_engine();
}

#[test]
fn a_busy_engine_answers_and_lives() {
    let mut host = Host::without_engine("heartbeat-busy");
    let manager = Manager::start(&mut host, &[]);
    let mut layer = Archive::new();
    for n in 0..300u32 {
        let content: Vec<u8> = (0..60_000u32).map(|i| ((i * (n + 7)) >> 3) as u8).collect();
        layer.file(&format!("file{n}"), 0o644, content);
    }
    let layers = [layer.finish()];
    let archive = docker_archive("big:1", &layers, "{}");
    let path = host.write("big.tar", &archive);
    let mut busy: Vec<_> = (0..3).map(|_| host.spawn(&["load", "-i", &path])).collect();
    let mut times = Vec::new();
    let begun = Instant::now();
    let mut beats = 0;
    while begun.elapsed() < Duration::from_secs(2) {
        let asked = Instant::now();
        assert!(http::try_get(&host.socket(), "/_ping").is_some());
        times.push(asked.elapsed());
        beats += manager.beats(Duration::from_millis(60));
    }
    times.sort_unstable();
    println!(
        "_ping while loading: median {:?}, worst {:?}",
        times[times.len() / 2],
        times[times.len() - 1]
    );
    assert!(
        times[times.len() / 2] < Duration::from_millis(100),
        "{times:?}"
    );
    assert!(beats >= 2, "{beats}");
    for one in &mut busy {
        let output = one.wait(crate::harness::PATIENCE);
        assert_eq!(output.code, 0, "{output:?}");
    }
}

/// An engine below a process 1 of its own, which notes what it is told, and does not reboot.
pub fn start_below_init(host: &mut Host, uptime: Option<u64>) -> PathBuf {
    let signals = host.dir.join("signals");
    let script =
        r#"for s in INT TERM; do trap "echo $s >> $0" $s; done; "$@" & while :; do wait; done"#;
    let mut init = Command::new("unshare");
    init.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    if let Some(uptime) = uptime {
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        let now: u64 = text.split('.').next().unwrap().parse().unwrap();
        let offset = i64::try_from(uptime).unwrap() - i64::try_from(now).unwrap();
        init.args(["--time", &format!("--boottime={offset}")]);
    }
    init.args(["sh", "-c", script])
        .arg(&signals)
        .args(host.engine_command());
    host.start_engine_as(init);
    host.import(IMAGE, &busybox());
    signals
}

#[test]
fn a_reboot_is_asked_for_with_a_note_and_not_for_ever() {
    let mut host = Host::without_engine("remedy-reboot");
    let is_memory = Command::new("stat")
        .args(["-f", "-c", "%T"])
        .arg(&host.dir)
        .output()
        .unwrap();
    if is_memory.stdout.starts_with(b"tmpfs") {
        return crate::harness::skip(
            "a_reboot_is_asked_for_with_a_note_and_not_for_ever",
            "/tmp is in memory",
        );
    }
    let told = |path: &PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let note = host.data_root().join("last-reboot.json");
    let signals = start_below_init(&mut host, None);
    let more = [
        "--health-on-failure",
        "reboot",
        "--network",
        "none",
        "--stop-timeout",
        "0",
    ];
    start(&host, "web", "file:/data/ready", &more, &["sleep", "1000"]);
    eventually("process 1 is asked", || told(&signals) == "INT\n");
    let noted = crate::harness::json::parse(&told(&note));
    assert_eq!(noted.string("Name"), "web");
    assert!(!noted.text("Uptimes").contains(','), "{}", told(&note));
    // It goes on as it was, and nobody is asked every 20 ms.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(told(&signals), "INT\n");
    assert_eq!(member(&host, "web", "State.Status"), "running");
    let info = host.tug(&["info"]).stdout;
    assert!(info.contains("Last Reboot For Health: "), "{info}");
    host.ok(&["rm", "-f", "web"]);
    host.kill_engine();

    // Three such reboots within the hour: this board is not helped by a fourth.
    std::fs::write(&note, r#"{"BootID":"another","Uptimes":[61,62,63]}"#).unwrap();
    std::fs::remove_file(&signals).unwrap();
    let signals = start_below_init(&mut host, Some(60));
    let script = "echo run >> /data/log; exec sleep 1000";
    let dir = start(
        &host,
        "web",
        "file:/data/ready",
        &more,
        &["sh", "-c", script],
    );
    eventually("it is restarted", || {
        told(&dir.join("log")).lines().count() >= 3
    });
    assert_eq!(told(&signals), "");
    host.ok(&["rm", "-f", "web"]);
    host.kill_engine();
}

#[test]
fn signs_of_life_keep_no_idle_engine_here() {
    let mut host = Host::without_engine("heartbeat-idle");
    let listener = UnixListener::bind(host.socket()).unwrap();
    let script = r#"exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@""#;
    let mut engine = Command::new("sh");
    engine.args(["-c", script, "sh"]);
    let address = host.address();
    let line = host.engine_command().into_iter();
    engine.args(line.filter(|word| word != "-H" && *word != address));
    engine
        .args(["-H", "fd://", "--idle-exit", "2"])
        .env("WATCHDOG_USEC", "200000");
    host.start_engine_with(engine, std::os::fd::OwnedFd::from(listener).into());
    eventually("it leaves", || !host.engine_is_alive());
    host.kill_engine();
}
