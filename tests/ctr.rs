//! `tug ctr`: looking and rescuing without the engine.

use crate::harness::command::{Output, Running, run};
use crate::harness::registry::{Options, PASSWORD, Registry, USER, is_installed};
use crate::harness::rootfs::{Archive, busybox, docker_archive, sha256};
use crate::harness::{Host, IMAGE, PATIENCE, eventually, is_running, json, send_signal, skip};
use std::process::Command;

/// `tug ctr` with the host's directories.
fn command(host: &Host, args: &[&str]) -> Command {
    let mut command = host.client(&host.binary, &["ctr"]);
    command
        .arg("--data-root")
        .arg(host.data_root())
        .arg("--exec-root")
        .arg(host.exec_root())
        .arg("--config-file")
        .arg(host.dir.join("daemon.json"))
        .args(args);
    command
}

fn ctr_with(host: &Host, args: &[&str], input: &[u8]) -> Output {
    run(command(host, args), input, PATIENCE)
}

fn ctr(host: &Host, args: &[&str]) -> Output {
    ctr_with(host, args, b"")
}

#[track_caller]
fn ok(host: &Host, args: &[&str]) -> String {
    let output = ctr(host, args);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{args:?}");
    output.stdout.trim_end_matches('\n').to_string()
}

/// The cells of each line of a table.
fn cells(table: &str) -> Vec<Vec<&str>> {
    table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect()
}

#[test]
fn what_runs_is_rescued_while_the_engine_is_dead() {
    let mut host = Host::with_image("ctr-rescue");
    let script = "trap 'echo term; exit 4' TERM; echo up; while :; do sleep 0.1; done";
    let id = host.ok(&["run", "-d", "--name", "web", IMAGE, "sh", "-c", script]);
    let pid = host.pid("web").to_string();
    host.kill_engine();

    let table = ok(&host, &["tasks", "ls"]);
    assert_eq!(
        cells(&table),
        [["TASK", "PID", "STATUS"], [&id, &pid, "RUNNING"]]
    );
    assert_eq!(ok(&host, &["t", "list", "-q"]), id);
    let table = ok(&host, &["containers", "ls"]);
    assert_eq!(
        cells(&table),
        [
            ["CONTAINER", "IMAGE", "RUNTIME", "NAME"],
            [&id, IMAGE, "tug", "web"]
        ]
    );
    let info = json::parse(&ok(&host, &["c", "info", &id[..6]]));
    assert_eq!(info.string("Asked.id"), id);
    assert_eq!(info.text("Happened.running"), "true");
    let processes = ok(&host, &["tasks", "ps", "web"]);
    assert!(
        cells(&processes)[1].starts_with(&[&pid, "sh"]),
        "{processes}"
    );

    let output = ctr_with(
        &host,
        &[
            "exec",
            "-e",
            "A=b",
            "--cwd",
            "/tmp",
            "web",
            "sh",
            "-c",
            "cat; echo $A $PWD; exit 3",
        ],
        b"typed\n",
    );
    assert_eq!(output, Output::new(3, "typed\nb /tmp\n", ""));
    let who = ok(&host, &["tasks", "exec", "-u", "7:8", "web", "id"]);
    assert_eq!(who, "uid=7 gid=8 groups=8");
    ok(&host, &["tasks", "exec", "-d", "web", "touch", "/tmp/made"]);
    eventually("it has run", || {
        ctr(&host, &["exec", "web", "test", "-e", "/tmp/made"]).code == 0
    });
    ctr(&host, &["exec", "web", "nosuch"]).assert_refused(127, "executable file not found");

    assert_eq!(ok(&host, &["logs", "web"]), "up");
    ok(&host, &["tasks", "pause", "web"]);
    assert_eq!(cells(&ok(&host, &["tasks", "ls"]))[1][2], "PAUSED");
    ok(&host, &["tasks", "resume", "web"]);
    let metrics = ok(&host, &["tasks", "metrics", "web"]);
    let names: Vec<&str> = cells(&metrics).iter().map(|row| row[0]).collect();
    assert!(names.contains(&"cpu.usage_usec"), "{metrics}");

    let mut attached = Running::start(command(&host, &["tasks", "attach", "web"]));
    let mut follower = Running::start(command(&host, &["logs", "-f", "--tail", "0", "web"]));
    ctr(&host, &["tasks", "delete", "web"])
        .assert_refused(1, "task must be stopped before deletion");
    ok(&host, &["kill", "web"]);
    assert_eq!(attached.wait(PATIENCE).code, 4);
    assert_eq!(follower.wait(PATIENCE).code, 0);
    assert_eq!(cells(&ok(&host, &["tasks", "ls"]))[1][2], "STOPPED");
    assert_eq!(ctr(&host, &["tasks", "delete", "web"]).code, 4);
    assert_eq!(ok(&host, &["logs", "--tail", "1", "web"]), "term");

    // The next engine knows it all.
    host.start_engine();
    assert_eq!(host.inspect("web", "State.ExitCode"), "4");
    assert_eq!(host.inspect("web", "State.Status"), "\"exited\"");
}

#[test]
fn a_container_is_run_without_an_engine_and_known_to_the_next() {
    let mut host = Host::with_image("ctr-run");
    host.kill_engine();
    let output = ctr_with(
        &host,
        &[
            "run",
            "--rm",
            "-i",
            "--network",
            "none",
            IMAGE,
            "one",
            "sh",
            "-c",
            "cat; echo err >&2; exit 5",
        ],
        b"typed\n",
    );
    assert_eq!(output, Output::new(5, "typed\n", "err\n"));
    assert_eq!(cells(&ok(&host, &["containers", "ls"])).len(), 1);
    ctr(
        &host,
        &["run", "--network", "none", IMAGE, "wrong", "nosuch"],
    )
    .assert_refused(127, "executable file not found in $PATH");
    assert_eq!(ok(&host, &["containers", "rm", "wrong"]), "wrong");

    let run = [
        "run",
        "-d",
        "--network",
        "none",
        "--env",
        "A=b",
        IMAGE,
        "web",
    ];
    let script = "echo $A; trap 'exit 6' TERM; while :; do sleep 0.1; done";
    let id = ok(&host, &[&run[..], &["sh", "-c", script]].concat());
    host.note_container(&id);
    ctr(&host, &["run", "-d", IMAGE, "web", "true"])
        .assert_refused(125, "The container name \"/web\" is already in use");
    let pid = cells(&ok(&host, &["tasks", "ls"]))[1][1].to_string();

    host.start_engine();
    assert_eq!(host.ok(&["ps", "-q", "--no-trunc"]), id);
    assert_eq!(host.pid("web").to_string(), pid);
    assert_eq!(host.ok(&["logs", "web"]), "b");
    host.ok(&["stop", "web"]);
    assert_eq!(host.inspect("web", "State.ExitCode"), "6");

    // And again without one, in the foreground.
    host.kill_engine();
    let mut client = Running::start(command(&host, &["tasks", "start", "web"]));
    client.until_stdout("it is up", |text| text == "b\n");
    // While it runs the lock is free: an engine comes, and takes it over.
    host.start_engine();
    assert_eq!(host.ok(&["exec", "web", "echo", "in"]), "in");
    send_signal(client.pid(), "TERM");
    assert_eq!(client.wait(PATIENCE), Output::new(6, "b\n", ""));
    host.until_state("web", "exited");
    assert_eq!(host.inspect("web", "State.ExitCode"), "6");
}

#[test]
fn beside_an_engine_it_leaves_the_records_to_it() {
    let host = Host::with_image("ctr-beside");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    for (args, verb) in [
        (&["run", IMAGE, "other", "true"][..], "run"),
        (&["tasks", "start", "-d", "web"], "run"),
        (&["containers", "rm", "web"], "rm"),
        (&["images", "tag", IMAGE, "other"], "tag"),
        (&["images", "rm", IMAGE], "rmi"),
        (&["images", "import", "-"], "load"),
    ] {
        let output = ctr(&host, args);
        assert_ne!(output.code, 0, "{output:?}");
        let sentence = format!("an engine is at work here: use `tug {verb}`");
        assert!(output.stderr.contains(&sentence), "{output:?}");
    }
    // What goes to the shim, the engine hears of.
    assert_eq!(ok(&host, &["exec", "web", "echo", "in"]), "in");
    assert_eq!(ctr(&host, &["tasks", "delete", "-f", "web"]).code, 137);
    host.until_state("web", "exited");
    assert_eq!(host.inspect("web", "State.ExitCode"), "137");
}

#[test]
fn a_container_without_its_shim_is_cleared_up() {
    let mut host = Host::with_image("ctr-lost");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let (pid, shim) = (host.pid("web"), host.shim_pid("web"));
    host.kill_engine();
    send_signal(shim, "KILL");
    eventually("the shim is gone", || !is_running(shim));
    assert_eq!(cells(&ok(&host, &["tasks", "ls"]))[1][2], "STOPPED");
    ctr(&host, &["tasks", "exec", "web", "true"]).assert_refused(1, "is not running");
    ok(&host, &["tasks", "delete", "web"]);
    eventually("the program is gone", || !is_running(pid));
    host.start_engine();
    assert_eq!(host.inspect("web", "State.ExitCode"), "137");
}

#[test]
fn an_exec_has_a_terminal_of_its_own() {
    let mut host = Host::with_image("ctr-tty");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    host.kill_engine();
    let script = "stty size; read line; echo got $line; exit 7";
    let args = ["tasks", "exec", "-t", "web", "sh", "-c", script];
    let (mut client, keys) = Running::on_a_terminal(command(&host, &args));
    client.until_stdout("its size", |text| text.contains("40 100"));
    rustix::io::write(&keys, b"keys\r").unwrap();
    let output = client.wait(PATIENCE);
    assert_eq!(output.code, 7, "{output:?}");
    assert!(output.stdout.ends_with("got keys\r\n"), "{output:?}");
    host.start_engine();
}

#[test]
fn events_tell_of_starts_and_ends() {
    let mut host = Host::with_image("ctr-events");
    host.kill_engine();
    let events = Running::start(command(&host, &["events"]));
    let script = "sleep 0.3; exit 3";
    let args = [
        "run",
        "-d",
        "--network",
        "none",
        IMAGE,
        "web",
        "sh",
        "-c",
        script,
    ];
    let id = ok(&host, &args);
    host.note_container(&id);
    let topics = |text: &str| -> Vec<String> {
        let topic = |line: &str| line.split(' ').nth(2).map(str::to_string);
        text.lines().filter_map(topic).collect()
    };
    events.until_stdout("start and end", |text| {
        topics(text) == ["/tasks/start", "/tasks/exit"]
    });
    let line = events.stdout();
    let line = line.lines().last().unwrap();
    let told = json::parse(&line[line.find('{').unwrap()..]);
    assert_eq!(told.string("container_id"), id);
    assert_eq!(told.number("exit_status"), 3);
    host.start_engine();
}

#[test]
fn the_store_is_shown_as_it_lies() {
    let host = Host::with_image("ctr-store");
    let image = host.get(&format!("/images/{IMAGE}/json"));
    let image_id = image.string("Id");
    let layer = image.text("RootFS.Layers");
    let layer = layer.trim_matches(['[', ']', '"']);
    let id = host.ok(&["create", "--name", "web", IMAGE, "true"]);

    let images = ok(&host, &["images", "ls"]);
    assert_eq!(
        cells(&images)[1][..3],
        [
            &format!("{IMAGE}:latest"),
            "application/vnd.oci.image.config.v1+json",
            &image_id
        ]
    );
    assert_eq!(ok(&host, &["i", "list", "-q"]), format!("{IMAGE}:latest"));
    let info = json::parse(&ok(&host, &["images", "info", IMAGE]));
    assert_eq!(info.string("os"), "linux");
    let content = ok(&host, &["content", "ls", "-q"]);
    assert_eq!(content, format!("{image_id}\n{layer}"));
    let snapshots = ok(&host, &["snapshots", "ls"]);
    assert_eq!(
        cells(&snapshots)[1..],
        [vec![layer, "Committed"], vec![&id, layer, "Active"]]
    );
    let info = json::parse(&ok(&host, &["snapshots", "info", "web"]));
    assert_eq!(info.string("Parent"), layer);
    let tree = ok(&host, &["snapshots", "tree"]);
    assert_eq!(tree, format!(" {layer}\n  \\_ {id}"));
    let mount = ok(&host, &["snapshots", "mounts", "/mnt", layer]);
    assert!(
        mount.starts_with("mount -t bind ") && mount.ends_with("/diff /mnt -o rbind,ro"),
        "{mount}"
    );
    let mount = ok(&host, &["snapshots", "mounts", "/mnt", "web"]);
    assert!(
        mount.contains(",upperdir=") && mount.contains(",lowerdir="),
        "{mount}"
    );
    let usage = ok(&host, &["snapshots", "usage", layer, "web"]);
    assert_ne!(cells(&usage)[1][1], "0", "{usage}");
    assert_eq!(cells(&usage)[2], [&id, "0", "KiB"]);
}

#[test]
fn nonsense_is_refused() {
    let host = Host::without_engine("ctr-nonsense");
    std::fs::write(host.dir.join("daemon.json"), "{}").unwrap();
    for (args, code, sentence) in [
        (&["soup"][..], 125, "unknown command: soup"),
        (&[], 125, "a command is needed"),
        (
            &["tasks", "kill"],
            125,
            "Usage: tug ctr tasks kill CONTAINER",
        ),
        (&["tasks", "kill", "nosuch"], 1, "No such container: nosuch"),
        (
            &["tasks", "kill", "-s", "SOUP", "x"],
            1,
            "invalid signal: SOUP",
        ),
        (
            &["tasks", "metrics", "--soup", "x"],
            125,
            "unknown flag: --soup",
        ),
        (&["images", "info", "nosuch"], 1, "No such image: nosuch"),
        (
            &["snapshots", "info", "nosuch"],
            1,
            "snapshot nosuch does not exist",
        ),
        (
            &["run", "--name", "x", "a", "b"],
            125,
            "ctr run knows no --name",
        ),
        (&["run", "nosuch", "web"], 125, "No such image: nosuch"),
    ] {
        ctr(&host, args).assert_refused(code, sentence);
    }
    assert_eq!(ok(&host, &["tasks", "ls"]), "TASK      PID       STATUS");
    // To look, the configuration need not be right.
    std::fs::write(host.dir.join("daemon.json"), "{").unwrap();
    assert_eq!(ok(&host, &["-n", "moby", "-a", "/x", "c", "ls", "-q"]), "");
    assert!(ok(&host, &["--help"]).contains("snapshots usage"));
    assert!(ok(&host, &["tasks", "exec", "--help"]).contains("--exec-id"));
}

/// The options of the mount at `path`, if there is one.
fn mount_options(path: &str) -> Option<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let fields = |line: &str| line.split(' ').map(str::to_string).collect::<Vec<_>>();
    let found = table.lines().map(fields).rfind(|fields| fields[4] == path);
    found.map(|fields| fields[5].clone())
}

#[test]
fn an_image_is_shown_on_a_directory_until_it_is_unmounted() {
    let mut host = Host::with_image("ctr-mount");
    let mut upper = Archive::new();
    upper.file("etc/.wh.passwd", 0o644, "");
    upper.file("etc/added", 0o644, "added");
    let archive = docker_archive("layered:1", &[busybox(), upper.finish()], "{}");
    assert_eq!(host.tug_with_input(&["load"], &archive).code, 0);
    let dir = host.make_dir("mnt");
    let file = |name: &str| std::fs::read_to_string(format!("{dir}/etc/{name}"));

    // With an engine beside, and without one.
    for is_killed in [false, true] {
        if is_killed {
            host.kill_engine();
        }
        assert_eq!(ok(&host, &["images", "mount", IMAGE, &dir]), dir);
        assert!(file("passwd").unwrap().starts_with("root:"));
        let refused = std::fs::write(format!("{dir}/new"), "").unwrap_err();
        assert_eq!(
            refused.raw_os_error(),
            Some(30),
            "it can be written: {refused}"
        );
        let options = mount_options(&dir).unwrap();
        for option in ["ro", "nosuid", "nodev"] {
            assert!(options.split(',').any(|o| o == option), "{options}");
        }
        assert_eq!(ok(&host, &["images", "unmount", &dir]), dir);
        assert_eq!(mount_options(&dir), None);

        ok(&host, &["images", "mount", "layered:1", &dir]);
        assert!(file("passwd").is_err());
        assert_eq!(file("added").unwrap(), "added");
        ok(&host, &["images", "unmount", &dir]);
    }
    ctr(&host, &["images", "unmount", &dir]).assert_refused(1, &format!("unmount {dir}"));
    ctr(&host, &["images", "mount", "nosuch", &dir]).assert_refused(1, "No such image: nosuch");
    let nowhere = format!("{dir}/nowhere");
    ctr(&host, &["images", "mount", IMAGE, &nowhere]).assert_refused(1, "nowhere");
    host.start_engine();
}

#[test]
fn what_has_a_digest_is_written_to_the_byte() {
    let host = Host::with_image("ctr-content");
    let tar = busybox();
    let layer = format!("sha256:{}", sha256(&tar));
    let output = host.dir.join("out");
    let get = |digest: &str| {
        let mut command = command(&host, &["content", "get", digest]);
        let file = std::fs::File::create(&output).unwrap();
        assert!(command.stdout(file).status().unwrap().success());
        sha256(&std::fs::read(&output).unwrap())
    };
    let config = host.get(&format!("/images/{IMAGE}/json")).string("Id");
    for digest in [&layer, &config] {
        assert_eq!(format!("sha256:{}", get(digest)), *digest);
    }
    let other = format!("sha256:{}", "0".repeat(64));
    ctr(&host, &["content", "get", &other])
        .assert_refused(1, &format!("content {other}: not found"));
    ctr(&host, &["content", "get", "soup"]).assert_refused(1, "soup");
}

#[test]
fn images_come_and_go_without_an_engine_and_the_next_knows() {
    let mut host = Host::new("ctr-images");
    host.kill_engine();
    let archive = docker_archive("one:1", &[busybox()], "{}");
    let output = ctr_with(&host, &["images", "import", "-"], &archive);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output.stdout.starts_with("unpacking one:1 (sha256:"),
        "{output:?}"
    );

    assert_eq!(
        ok(&host, &["images", "tag", "one:1", "two:1", "three:1"]),
        "two:1\nthree:1"
    );
    ctr(&host, &["images", "tag", "one:1", "two:1"])
        .assert_refused(1, "image \"two:1\": already exists");
    ok(&host, &["images", "tag", "--force", "one:1", "two:1"]);
    assert_eq!(ok(&host, &["images", "rm", "three:1"]), "three:1");
    assert_eq!(ok(&host, &["i", "ls", "-q"]), "one:1\ntwo:1");
    let check = ok(&host, &["images", "check"]);
    assert!(check.contains("complete (1 layers)"), "{check}");
    assert_eq!(ok(&host, &["images", "check", "-q"]), "one:1\ntwo:1");

    host.start_engine();
    assert_eq!(host.ok(&["run", "--rm", "two:1", "echo", "ran"]), "ran");
    host.kill_engine();
    let layers = host.data_root().join("layers");
    let layer = layers.join(sha256(&busybox()));
    std::fs::rename(&layer, host.dir.join("layer")).unwrap();
    let output = ctr(&host, &["images", "check"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stdout.contains("incomplete (1 layers)"),
        "{output:?}"
    );
    std::fs::rename(host.dir.join("layer"), &layer).unwrap();
    ok(&host, &["images", "rm", "one:1", "two:1"]);
    assert_eq!(ok(&host, &["content", "ls", "-q"]), "");
    host.start_engine();
}

#[test]
fn images_go_through_a_registry_and_an_archive_without_an_engine() {
    if !is_installed() {
        skip("ctr: registry", "docker-registry is not installed");
        return;
    }
    let registry = Registry::start_with(&Options {
        has_password: true,
        ..Options::default()
    });
    let name = format!("{}/lab/one:1", registry.host());
    let mut host = Host::with_image("ctr-registry");
    let id = host.get(&format!("/images/{IMAGE}/json")).string("Id");
    let user = format!("{USER}:{PASSWORD}");
    let export = host.dir.join("images.tar");
    let export = export.to_str().unwrap();
    // To read, an engine beside is no hindrance.
    ok(&host, &["images", "export", export, IMAGE]);
    host.kill_engine();

    let output = ctr(&host, &["images", "push", &name, IMAGE]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stderr.contains("no basic auth credentials"),
        "{output:?}"
    );
    let pushed = ok(&host, &["images", "push", "-u", &user, &name, IMAGE]);
    assert!(pushed.contains("digest: sha256:"), "{pushed}");
    assert_eq!(ok(&host, &["i", "ls", "-q"]), format!("{IMAGE}:latest"));
    ok(&host, &["images", "rm", IMAGE]);

    ctr(&host, &["images", "pull", &name]).assert_refused(1, "no basic auth credentials");
    let pulled = ok(&host, &["images", "pull", "--user", &user, &name]);
    assert!(
        pulled.contains("Status: Downloaded newer image for"),
        "{pulled}"
    );
    let content = ok(&host, &["content", "ls"]);
    let manifest = content
        .lines()
        .find(|line| line.ends_with("manifest"))
        .unwrap();
    let digest = manifest.split_whitespace().next().unwrap();
    let text = ok(&host, &["content", "get", digest]);
    assert_eq!(format!("sha256:{}", sha256(text.as_bytes())), digest);
    let table = ok(&host, &["images", "ls"]);
    assert_eq!(cells(&table)[1][2], digest, "{table}");

    ok(&host, &["images", "rm", &name]);
    let output = ctr(&host, &["images", "import", export]);
    let expected = format!("unpacking {IMAGE}:latest ({id})...done\n");
    assert_eq!(output, Output::new(0, &expected, ""));
    host.start_engine();
    assert_eq!(host.ok(&["run", "--rm", IMAGE, "echo", "ran"]), "ran");
    ctr(&host, &["images", "pull", &name])
        .assert_refused(1, "an engine is at work here: use `tug pull`");
}
