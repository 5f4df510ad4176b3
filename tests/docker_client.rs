//! The real docker client drives the engine; where both clients print a table, they print the same.

use crate::harness::command::Output;
use crate::harness::registry::{Options, PASSWORD, Registry, USER, is_installed};
use crate::harness::rootfs::{busybox, docker_archive};
use crate::harness::{
    Host, IMAGE, PATIENCE, can_init, docker_client, eventually, has_new_docker_client, skip,
};
use crate::login;

/// A host with the test image, unless there is no docker client to try it with.
fn host(name: &'static str) -> Option<Host> {
    if docker_client().is_none() {
        skip(
            &format!("docker_client: {name}"),
            "no docker client in PATH",
        );
        return None;
    }
    Some(Host::with_image(name))
}

fn docker(host: &Host, args: &[&str]) -> Output {
    host.docker(args).unwrap()
}

#[test]
fn it_runs_containers() {
    let Some(host) = host("docker-run") else {
        return;
    };
    if !can_init("docker-run") {
        return;
    }
    assert_eq!(
        docker(
            &host,
            &[
                "run",
                "--rm",
                IMAGE,
                "sh",
                "-c",
                "echo out; echo err >&2; exit 3"
            ]
        ),
        Output::new(3, "out\n", "err\n")
    );
    assert_eq!(
        docker(
            &host,
            &[
                "run",
                "--rm",
                "--network",
                "none",
                "--init",
                "-e",
                "A=1",
                "-w",
                "/etc",
                "-u",
                "guest",
                "--hostname",
                "lab",
                IMAGE,
                "sh",
                "-c",
                "echo $A $PWD $(id -un) $(hostname)"
            ]
        ),
        Output::new(0, "1 /etc guest lab\n", "")
    );
    let mut command = host.client(
        &docker_client().unwrap(),
        &["run", "--rm", "-i", IMAGE, "cat"],
    );
    command.current_dir("/");
    assert_eq!(
        crate::harness::command::run(command, b"typed", PATIENCE),
        Output::new(0, "typed", "")
    );
    assert_eq!(
        docker(&host, &["run", "--rm", "-t", IMAGE, "tty"]).stdout,
        "/dev/pts/0\r\n"
    );
    for (program, code) in [("nosuch", 127), ("/etc/passwd", 126)] {
        let output = docker(&host, &["run", "--rm", IMAGE, program]);
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (code, ""),
            "{output:?}"
        );
    }
    assert_eq!(docker(&host, &["ps", "-aq"]), Output::new(0, "", ""));
}

#[test]
fn it_follows_a_containers_life() {
    let Some(host) = host("docker-life") else {
        return;
    };
    let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 1 & wait; done";
    let created = docker(
        &host,
        &["run", "-d", "--name", "web", IMAGE, "sh", "-c", script],
    );
    assert_eq!((created.code, created.stdout.len()), (0, 65), "{created:?}");
    eventually("it is ready", || {
        docker(&host, &["logs", "web"]).stdout == "ready\n"
    });
    assert_eq!(
        docker(&host, &["exec", "web", "echo", "hello"]),
        Output::new(0, "hello\n", "")
    );
    assert_eq!(
        docker(&host, &["exec", "web", "sh", "-c", "exit 5"]).code,
        5
    );
    assert_eq!(
        docker(&host, &["logs", "--tail", "1", "web"]).stdout,
        "ready\n"
    );
    assert_eq!(docker(&host, &["stop", "web"]), Output::new(0, "web\n", ""));
    assert_eq!(docker(&host, &["wait", "web"]), Output::new(0, "7\n", ""));
    assert_eq!(
        docker(&host, &["start", "web"]),
        Output::new(0, "web\n", "")
    );
    assert_eq!(docker(&host, &["kill", "web"]), Output::new(0, "web\n", ""));
    assert_eq!(docker(&host, &["wait", "web"]), Output::new(0, "137\n", ""));
    let format = [
        "inspect",
        "-f",
        "{{.State.Status}} {{.State.ExitCode}} {{.Name}}",
        "web",
    ];
    assert_eq!(
        docker(&host, &format),
        Output::new(0, "exited 137 /web\n", "")
    );
    assert_eq!(docker(&host, &["rm", "web"]), Output::new(0, "web\n", ""));
    let again = docker(&host, &["rm", "web"]);
    again.assert_refused(1, "No such container: web");
}

#[test]
fn it_attaches_to_a_created_container() {
    let Some(host) = host("docker-attach") else {
        return;
    };
    let created = docker(
        &host,
        &[
            "create",
            "--name",
            "web",
            IMAGE,
            "sh",
            "-c",
            "echo hi; exit 4",
        ],
    );
    assert_eq!(created.code, 0, "{created:?}");
    assert_eq!(
        docker(&host, &["start", "-a", "web"]),
        Output::new(4, "hi\n", "")
    );
}

#[test]
fn it_manages_images() {
    let Some(host) = host("docker-images") else {
        return;
    };
    let tar = host.write("rootfs.tar", busybox());
    let imported = docker(&host, &["import", &tar, "imported:1"]);
    assert!(
        imported.code == 0 && imported.stdout.starts_with("sha256:"),
        "{imported:?}"
    );
    let saved = docker_archive("loaded:2", &[busybox()], r#"{"Cmd":["echo","default"]}"#);
    let saved = host.write("saved.tar", saved);
    assert_eq!(
        docker(&host, &["load", "-i", &saved]),
        Output::new(0, "Loaded image: loaded:2\n", "")
    );
    assert_eq!(
        docker(&host, &["run", "--rm", "loaded:2"]),
        Output::new(0, "default\n", "")
    );
    let format = [
        "image",
        "inspect",
        "-f",
        "{{.Os}} {{index .RepoTags 0}}",
        "loaded:2",
    ];
    assert_eq!(
        docker(&host, &format),
        Output::new(0, "linux loaded:2\n", "")
    );
    assert_eq!(docker(&host, &["rmi", "imported:1"]).code, 0);
    assert_eq!(docker(&host, &["rmi", "imported:1"]).code, 1);
}

#[test]
fn it_understands_version_info_and_events() {
    let Some(host) = host("docker-system") else {
        return;
    };
    let version = docker(&host, &["version"]);
    assert_eq!(
        (version.code, version.stderr.as_str()),
        (0, ""),
        "{version:?}"
    );
    assert!(version.stdout.contains("Server"), "{version:?}");
    let info = docker(&host, &["info"]);
    assert_eq!(info.code, 0, "{info:?}");
    assert!(info.stdout.contains(" Images: 1\n"), "{info:?}");
    docker(&host, &["run", "--rm", "--name", "web", IMAGE, "true"]);
    let events = || {
        let seconds = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        // The second that is not over yet counts too.
        let range = ["--since", "1", "--until", &(seconds + 1).to_string()];
        let what = ["--filter", "type=container", "--format", "{{.Action}}"];
        docker(&host, &[&["events"], &range[..], &what].concat()).stdout
    };
    eventually("all events are told", || {
        events() == "create\nattach\nstart\ndie\ndestroy\n"
    });
}

#[test]
fn both_clients_print_the_same() {
    let Some(host) = host("docker-same") else {
        return;
    };
    host.ok(&[
        "run", "-d", "--name", "asleep", "-l", "a=1", "-l", "x.y-z=2", IMAGE, "sleep", "1000",
    ]);
    host.ok(&[
        "run",
        "-d",
        "--name",
        "ended",
        IMAGE,
        "sh",
        "-c",
        "echo a long command; exit 3",
    ]);
    host.ok(&["wait", "ended"]);
    for args in [
        &["ps"][..],
        &["ps", "-a"],
        &["ps", "-a", "--no-trunc"],
        &["ps", "-aq"],
        &["ps", "-as", "-f", "name=^e"],
        &["top", "asleep"],
        &["top", "asleep", "aux"],
        &["top", "ended"],
        &[
            "stats",
            "--no-stream",
            "--format",
            "{{.Name}} {{.PIDs}} {{.NetIO}}",
        ],
        &["stats", "--no-stream", "nosuch"],
        &["system", "df"],
        &["port", "asleep"],
        &["rename", "nosuch", "other"],
        &["container", "prune", "-f", "--filter", "foo=x"],
        &["system", "prune", "-f", "--filter", "until=1h"],
        &["inspect", "-s", "asleep"],
        &["inspect", "--type", "network", "none"],
        &["history", IMAGE],
        &["images"],
        &["images", "--no-trunc"],
        &["images", "-q"],
        &[
            "ps",
            "--format",
            "{{.ID}} {{.Names}}|{{.Label \"a\"}}|{{json .Names}}|{{pad .Status 2 3}}|{{.Labels}}",
        ],
        &[
            "ps",
            "-a",
            "--format",
            "table {{upper .Names}}\\t{{.Image}}\\t{{.Label \"x.y-z\"}}",
        ],
        &["ps", "-a", "--format", "raw"],
        &["images", "--format", "{{.Repository}}:{{.Tag}} {{.Size}}"],
        &[
            "inspect",
            "-f",
            "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}{{with .State}}{{.Status}}\
             {{printf \"%5d|%q\" .ExitCode .Error}}{{end}} {{.State.Health}} {{.Config.Cmd}} \
             {{.HostConfig.LogConfig.Type}} {{.Config.Labels.nosuch}} {{json .Config.Cmd}}",
            "asleep",
            "ended",
        ],
        &["inspect", "asleep"],
        &["inspect", "ended"],
        // Of an image, each version of the API tells other members.
        &[
            "inspect",
            "-f",
            "{{.Id}} {{.Size}} {{.RootFS.Layers}}",
            IMAGE,
        ],
        &["inspect", "nosuch"],
        &["logs", "ended"],
        &["wait", "ended"],
        &["rm", "nosuch"],
        &["kill", "ended"],
        &["stop", "nosuch"],
        &["rmi", "nosuch"],
        &["exec", "ended", "true"],
        &["logs", "nosuch"],
        &["rm", "asleep"],
    ] {
        // Times go on between the two calls: once in a few tries they fall together.
        let mut pair = (docker(&host, args), host.tug(args));
        for _ in 0..5 {
            if pair.0.stdout == pair.1.stdout {
                break;
            }
            pair = (docker(&host, args), host.tug(args));
        }
        // Our own client names itself before an error.
        pair.1.stderr = pair.1.stderr.replace("tug: ", "");
        // Older ones, as Debian's, begin what was not found in their own way and show no tag.
        if pair.0.stderr.starts_with("Error: No such ") {
            let daemon = "Error response from daemon: No such ";
            pair.1.stderr = pair.1.stderr.replace(daemon, "Error: No such ");
        }
        if !pair.0.stderr.contains(":latest") {
            pair.1.stderr = pair.1.stderr.replace("nosuch:latest", "nosuch");
        }
        assert_eq!(pair.0, pair.1, "docker and tug differ in {args:?}");
    }
}

/// Without the colours that Docker's client prints even into pipes.
fn plain(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let first = parts.next().unwrap_or_default().to_string();
    first
        + &parts
            .map(|part| part.split_once('m').unwrap().1)
            .collect::<String>()
}

#[test]
fn both_clients_print_images_the_same() {
    let Some(host) = host("docker-same-images") else {
        return;
    };
    host.ok(&["tag", IMAGE, "a.b:5000/second/name:x"]);
    host.import(IMAGE, &busybox());
    let registry = login::registry_with(String::new());
    let pulled = format!("{}/lab/pulled", registry.host());
    host.ok(&["pull", "-q", &format!("{pulled}:one")]);
    let [_, (_, _, digits)] = login::documents();
    let by_digest = format!("{}/other@sha256:{digits}", registry.host());
    host.ok(&["pull", "-q", &by_digest]);
    host.ok(&["tag", &format!("{pulled}:one"), "own:1"]);

    if has_new_docker_client() {
        // Before there is a container: the client's version of the API does not count them.
        for args in [
            &["images", "--tree"][..],
            &["images", "--tree", "-a"],
            &["images", "--tree", "-q"],
            &["image", "inspect", "--platform", "linux/riscv64", "own:1"],
            &["history", "--platform", "linux/riscv64", "own:1"],
        ] {
            compare(&host, args);
        }
    }
    host.ok(&["create", "--name", "user", "a.b:5000/second/name:x", "true"]);
    for args in [
        &["images"][..],
        &["images", "-a"],
        &["images", "--digests"],
        &["images", "--digests", "--no-trunc"],
        &["images", &pulled],
        &["images", "[a-t]e??"],
        &["images", "a.b:5000/*/n[^b]me"],
        &["images", "[x"],
        &["images", "-f", "dangling=true"],
        &["images", "-f", "dangling=maybe"],
        &["images", "-f", "before=own:1", "-f", "reference=*"],
        &["images", "-f", "since=nosuch"],
        &["images", "-f", "nosuch=1"],
        &["history", "--no-trunc", "own:1"],
        &["history", "-q", IMAGE],
        &["history", "-H=false", IMAGE],
        &["tag", IMAGE, "sha256:x"],
        &["rmi", &pulled],
        &["rmi", "a.b:5000/second/name:x"],
        &["rmi", "nosuch", "other"],
        &["image", "prune", "-f", "--filter", "label=nosuch"],
        &["image", "prune", "-f", "--filter", "nosuch=1"],
    ] {
        compare(&host, args);
    }
    // What has no fixed order there.
    let row = "{{.Repository}} {{.Tag}} {{.Digest}} {{.ID}} {{.Size}}";
    let args = ["images", "--digests", "--format", row];
    assert_eq!(
        sorted(&docker(&host, &args).stdout, &["images"]),
        sorted(&host.ok(&args), &["images"])
    );
    let by_name = host.ok(&[
        "images",
        "--format",
        "{{.Repository}} {{.Tag}} {{.Digest}}",
        &by_digest,
    ]);
    assert_eq!(
        by_name,
        format!("{}/other <none> sha256:{digits}", registry.host())
    );
    let gone = host.ok(&["rmi", &by_digest]);
    assert_eq!(gone, format!("Untagged: {by_digest}"));
}

fn compare(host: &Host, args: &[&str]) {
    let mut pair = (docker(host, args), host.tug(args));
    for _ in 0..5 {
        if plain(&pair.0.stdout) == pair.1.stdout {
            break;
        }
        pair = (docker(host, args), host.tug(args));
    }
    let (mut theirs, mut ours) = pair;
    theirs.stdout = sorted(&plain(&theirs.stdout), args);
    ours.stdout = sorted(&ours.stdout, args);
    ours.stderr = ours.stderr.replace("tug: ", "");
    if !has_new_docker_client() {
        let daemon = "Error response from daemon: No such";
        ours.stderr = ours.stderr.replace(daemon, "Error: No such");
        ours.stderr = ours.stderr.replace(":latest", "");
    }
    assert_eq!(theirs, ours, "docker and tug differ in {args:?}");
}

/// Docker's client takes the names of an image as they come out of a map.
fn sorted(text: &str, args: &[&str]) -> String {
    if args[0] != "images" || args.contains(&"--tree") {
        return text.to_string();
    }
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn it_uses_a_registry_that_wants_a_password() {
    if !is_installed() {
        skip(
            "docker_client: registry",
            "docker-registry is not installed",
        );
        return;
    }
    let Some(host) = host("docker-registry") else {
        return;
    };
    let registry = Registry::start_with(&Options {
        has_password: true,
        ..Options::default()
    });
    let server = registry.host();
    let name = format!("{server}/lab/one:1");
    host.ok(&["tag", IMAGE, &name]);
    let refused = docker(&host, &["login", "-u", USER, "-p", "wrong", &server]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("401 Unauthorized"), "{refused:?}");
    let output = docker(&host, &["login", "-u", USER, "-p", PASSWORD, &server]);
    assert!(output.stdout.ends_with("Login Succeeded\n"), "{output:?}");

    // What Docker's client has kept serves ours, and the other way round.
    let pushed = host.tug(&["push", "-q", &name]);
    assert_eq!(pushed, Output::new(0, &format!("{name}\n"), ""));
    host.ok(&["rmi", &name]);
    let pulled = docker(&host, &["pull", "-q", &name]);
    assert_eq!(pulled, Output::new(0, &format!("{name}\n"), ""));
    host.ok(&["logout", &server]);
    host.ok(&["rmi", "-f", &name]);
    let refused = docker(&host, &["pull", "-q", &name]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("no basic auth credentials"),
        "{refused:?}"
    );
    let args = ["login", "-u", USER, "--password-stdin", &server];
    assert_eq!(host.tug_with_input(&args, PASSWORD.as_bytes()).code, 0);
    assert_eq!(docker(&host, &["pull", "-q", &name]).code, 0);

    // A pulled image is one like others.
    let script = "echo new >/new; rm /etc/passwd; chmod 700 /bin";
    host.ok(&["run", "--name", "web", &name, "sh", "-c", script]);
    let changes = docker(&host, &["diff", "web"]);
    let mut lines = changes.lines();
    lines.sort_unstable();
    assert_eq!(lines, ["A /new", "C /bin", "C /etc", "D /etc/passwd"]);
    let to = host.dir.join("copied");
    host.ok(&["cp", "web:/new", to.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(to).unwrap(), "new\n");
}
