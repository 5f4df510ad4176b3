//! commit: an image out of what a container has changed.

use crate::harness::rootfs::busybox_with;
use crate::harness::{Host, IMAGE, PATIENCE, skip};
use std::path::PathBuf;
use std::process::Command;

fn host(name: &'static str) -> Host {
    let host = Host::new(name);
    host.import(
        IMAGE,
        &busybox_with(|archive| {
            archive.dir("data/", 0o755);
            archive.file("data/gone", 0o644, "old");
            archive.file("data/kept", 0o644, "old");
            archive.dir("data/dir/", 0o755);
            archive.file("data/dir/one", 0o644, "old");
            archive.dir("data/replaced/", 0o755);
            archive.file("data/replaced/two", 0o644, "old");
        }),
    );
    host
}

const CHANGE: &str = "cd /data; rm gone; echo new >added; chmod 600 kept; rm -r dir; mkdir dir; \
    echo new >dir/three; rm -r replaced; echo file >replaced; ln added hard; ln -s /nowhere link; \
    mkfifo fifo; mknod null c 1 3; chown 12:34 added; chmod 4755 added; echo x >'.wh.odd name'; rm '.wh.odd name'; \
    mkdir -p /etc/deep/er; echo y >/etc/deep/er/file";

/// The entries of an export with everything that tar knows of them, without what is mounted on in
/// every container.
fn listed(host: &Host, container: &str) -> Vec<String> {
    let archive = host.dir.join("listed.tar").display().to_string();
    host.ok(&["export", "-o", &archive, container]);
    let output = Command::new("tar")
        .args(["--numeric-owner", "--full-time", "-tvf", &archive])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mounted = [
        "dev/",
        "proc/",
        "sys/",
        "etc/",
        "etc/hosts",
        "etc/hostname",
        "etc/resolv.conf",
    ];
    text.lines()
        .filter(|line| {
            !mounted
                .iter()
                .any(|name| line.ends_with(&format!(" {name}")))
        })
        .map(str::to_string)
        .collect()
}

#[test]
fn the_new_image_holds_what_the_container_held() {
    let host = host("commit");
    host.ok(&["run", "--name", "web", IMAGE, "sh", "-c", CHANGE]);
    let id = host.ok(&[
        "commit",
        "-a",
        "me <me@x>",
        "-m",
        "a message",
        "web",
        "made:1.0",
    ]);
    assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
    host.ok(&["run", "--name", "again", "made:1.0", "true"]);
    assert_eq!(listed(&host, "again"), listed(&host, "web"));
    assert_eq!(host.ok(&["diff", "again"]), "");

    let image = host.get("/images/made:1.0/json");
    assert_eq!(image.string("Id"), id);
    assert_eq!(image.string("Author"), "me <me@x>");
    assert_eq!(image.string("Comment"), "a message");
    let history = host.get("/images/made:1.0/history");
    let steps: Vec<String> = history
        .items()
        .iter()
        .map(|step| {
            let size = step.text("Size").parse::<u64>().unwrap();
            let about = (
                step.string("CreatedBy"),
                step.string("Comment"),
                size < 1000,
            );
            format!("{}|{}|{}", about.0, about.1, about.2)
        })
        .collect();
    assert_eq!(
        steps,
        [
            format!("sh -c {CHANGE}|a message|true"),
            "|Imported from -|false".to_string()
        ]
    );
    // The layer is what it is called: its name is in the store, and in the image.
    let layers = image.text("RootFS.Layers");
    let names: Vec<String> = layers
        .trim_matches(['[', ']'])
        .split(',')
        .map(|name| name.trim_matches('"').replace("sha256:", ""))
        .collect();
    assert_eq!(names.len(), 2);
    assert!(
        names
            .iter()
            .all(|name| host.data_root().join("layers").join(name).is_dir())
    );

    // The same changes are the same layer, whoever commits them.
    let other = host.ok(&["container", "commit", "web"]);
    assert_ne!(other, id);
    let other = host.get(&format!("/images/{other}/json"));
    assert_eq!(other.text("RootFS.Layers"), layers);
    assert_eq!(other.text("RepoTags"), "[]");
    // The old image can't go while the new one stands on it; the layer stays for both.
    host.ok(&["rm", "web", "again"]);
    host.ok(&["rmi", IMAGE]);
    assert_eq!(
        host.ok(&["run", "--rm", "made:1.0", "cat", "/data/added"]),
        "new"
    );
}

#[test]
fn a_container_that_did_nothing_adds_no_layer() {
    let host = host("commit-nothing");
    host.ok(&["run", "--name", "web", IMAGE, "true"]);
    host.ok(&["commit", "web", "same"]);
    let layers = |image: &str| {
        host.get(&format!("/images/{image}/json"))
            .text("RootFS.Layers")
    };
    assert_eq!(layers("same"), layers(IMAGE));
    assert_eq!(
        host.ok(&["run", "--rm", "same", "cat", "/data/kept"]),
        "old"
    );
}

#[test]
fn changes_and_the_containers_own_configuration_become_the_images() {
    let host = host("commit-changes");
    host.ok(&[
        "create",
        "--name",
        "web",
        "-e",
        "OLD=1",
        "-e",
        "BOTH=old",
        "-w",
        "/data",
        "-l",
        "from=container",
        IMAGE,
        "sleep",
        "1",
    ]);
    let changes = [
        "CMD [\"sh\", \"-c\", \"echo $OLD $BOTH $(pwd)\"]",
        "ENV BOTH=new",
        "EXPOSE 80 53/udp",
        "LABEL a=b",
        "ONBUILD RUN x",
        "USER guest",
        "VOLUME /vol",
        "HEALTHCHECK --interval=5s CMD true",
        "STOPSIGNAL SIGINT",
    ];
    let mut line = vec!["commit"];
    for change in &changes {
        line.extend(["-c", change]);
    }
    line.extend(["web", "changed"]);
    host.ok(&line);
    let image = host.get("/images/changed/json");
    for (member, expected) in [
        ("Cmd", r#"["sh","-c","echo $OLD $BOTH $(pwd)"]"#),
        ("ExposedPorts", r#"{"53/udp":{},"80/tcp":{}}"#),
        ("Labels", r#"{"a":"b","from":"container"}"#),
        ("OnBuild", r#"["RUN x"]"#),
        ("User", "\"guest\""),
        ("Volumes", r#"{"/vol":{}}"#),
        ("WorkingDir", "\"/data\""),
        ("StopSignal", "\"SIGINT\""),
        (
            "Healthcheck",
            r#"{"Interval":5000000000,"Test":["CMD-SHELL","true"]}"#,
        ),
    ] {
        assert_eq!(
            image.text(&format!("Config.{member}")),
            expected,
            "{member}"
        );
    }
    let env = image.text("Config.Env");
    assert!(
        env.contains("\"BOTH=new\"") && env.contains("\"OLD=1\"") && !env.contains("BOTH=old"),
        "{env}"
    );

    // The API's body comes before all.
    let reply = host.http(
        "POST",
        "/commit?container=web&repo=body&tag=1&changes=ENV%20X%3D1",
        r#"{"Cmd":["q"],"Labels":{"z":"z"}}"#,
    );
    assert_eq!(reply.status, 201, "{}", reply.body);
    let image = host.get("/images/body:1/json");
    assert_eq!(image.text("Config.Cmd"), "[\"q\"]");
    assert_eq!(
        image.text("Config.Labels"),
        r#"{"from":"container","z":"z"}"#
    );
}

#[test]
fn a_running_container_stands_still_meanwhile_and_goes_on() {
    let host = host("commit-running");
    host.ok(&[
        "run",
        "-d",
        "--name",
        "web",
        IMAGE,
        "sh",
        "-c",
        "echo here >/here; while :; do echo; sleep 0.1; done",
    ]);
    crate::harness::eventually("the file is there", || {
        host.tug(&["exec", "web", "cat", "/here"]).stdout == "here\n"
    });
    let id = host.ok(&["commit", "-m", "why", "web", "running"]);
    assert_eq!(host.inspect("web", "State.Status"), "\"running\"");
    assert_eq!(host.ok(&["exec", "web", "echo", "alive"]), "alive");
    assert_eq!(host.ok(&["run", "--rm", "running", "cat", "/here"]), "here");
    host.ok(&["commit", "--pause=false", "web", "unpaused"]);

    let until = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
        + 1;
    let events = host.http("GET", &format!("/events?since=1&until={until}"), "");
    let told: Vec<_> = events
        .body
        .lines()
        .map(crate::harness::json::parse)
        .collect();
    let actions: Vec<String> = told.iter().map(|event| event.string("Action")).collect();
    let of = |action: &str| actions.iter().filter(|found| *found == action).count();
    if crate::harness::cgroup2().is_some() {
        assert_eq!((of("pause"), of("unpause")), (1, 1), "{actions:?}");
    } else {
        skip("commit: pause", "no cgroup v2 on this host");
    }
    let commit = told
        .iter()
        .find(|event| event.string("Action") == "commit")
        .unwrap();
    assert_eq!(commit.string("Actor.Attributes.comment"), "why");
    assert_eq!(commit.string("Actor.Attributes.imageID"), id);
    assert_eq!(commit.string("Actor.Attributes.imageRef"), "running:latest");
    assert_eq!(of("commit"), 2);
}

#[test]
fn a_paused_container_is_committed_and_copied_as_it_stands() {
    if crate::harness::cgroup2().is_none() {
        return skip("commit: a paused container", "no cgroup v2 on this host");
    }
    let host = host("commit-paused");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    host.ok(&["exec", "web", "sh", "-c", "echo here >/here"]);
    assert_eq!(host.http("POST", "/containers/web/pause", "").status, 204);
    host.ok(&["commit", "web", "made"]);
    assert_eq!(host.ok(&["run", "--rm", "made", "cat", "/here"]), "here");
    let out = host.dir.join("out").display().to_string();
    host.ok(&["cp", "web:/here", &out]);
    host.ok(&["cp", &out, "web:/there"]);
    assert_eq!(host.ok(&["diff", "web"]), "A /here\nA /there");
    assert_eq!(host.inspect("web", "State.Status"), "\"paused\"");
    assert_eq!(host.http("POST", "/containers/web/unpause", "").status, 204);
    assert_eq!(host.ok(&["exec", "web", "cat", "/there"]), "here");
}

#[test]
fn what_makes_no_image_is_refused_in_dockers_words() {
    let host = host("commit-refused");
    host.ok(&["create", "--name", "web", IMAGE, "true"]);
    let digest = format!("x@sha256:{}", "1".repeat(64));
    for (args, sentence) in [
        (
            &["nope"][..],
            "Error response from daemon: No such container: nope",
        ),
        (
            &["web", "UPPER"],
            "repository name (library/UPPER) must be lowercase",
        ),
        (&["web", "a:b:c"], "invalid reference format"),
        (
            &["web", &digest],
            "refusing to create a tag with a digest reference",
        ),
        (&["-c", "RUN x", "web"], "run is not a valid change command"),
        (
            &["-c", "FROM x", "web"],
            "from is not a valid change command",
        ),
    ] {
        let line = [&["commit"], args].concat();
        host.tug(&line).assert_refused(1, sentence);
    }
    let before = host.ok(&["images", "-q"]);
    assert_eq!(before.lines().count(), 1);
    let reply = host.http("POST", "/commit", "");
    assert_eq!(
        reply.error(),
        (400, "invalid name or ID supplied: \"\"".to_string())
    );
}

#[test]
fn the_docker_client_commits() {
    let clients = ["/usr/bin/docker", "/usr/local/bin/docker"].map(PathBuf::from);
    let clients: Vec<PathBuf> = clients.into_iter().filter(|path| path.exists()).collect();
    if clients.is_empty() {
        return skip("commit: the docker client", "no docker client here");
    }
    let host = host("commit-docker");
    host.ok(&["run", "--name", "web", IMAGE, "sh", "-c", "echo new >/new"]);
    for (n, client) in clients.iter().enumerate() {
        let name = format!("docker{n}:tag");
        let args = [
            "commit",
            "-a",
            "me",
            "-m",
            "msg",
            "-c",
            "CMD cat /new",
            "web",
            &name,
        ];
        let output = crate::harness::command::run(host.client(client, &args), b"", PATIENCE);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
        assert!(output.stdout.starts_with("sha256:"), "{output:?}");
        assert_eq!(host.ok(&["run", "--rm", &name]), "new");
    }
}
