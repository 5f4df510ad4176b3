//! `tug runtime`: an OCI bundle, a container, no engine.

use crate::harness::bundle::Bundle;
use crate::harness::command::{Output, run};
use crate::harness::{PATIENCE, eventually, json};
use std::path::Path;

#[test]
fn spec_writes_a_default_bundle_once() {
    let bundle = Bundle::new("runtime-spec");
    let spec = json::parse(&std::fs::read_to_string(bundle.config()).unwrap());
    assert!(spec.string("ociVersion").starts_with("1."));
    assert_eq!(spec.string("root.path"), "rootfs");
    assert_eq!(spec.text("process.args"), r#"["sh"]"#);
    let again = bundle.runtime(&["spec"]);
    assert_ne!(again.code, 0);
    assert!(again.stderr.contains("config.json"), "{again:?}");
}

#[test]
fn run_is_create_start_and_delete_in_one() {
    let bundle = Bundle::new("runtime-run");
    bundle.script("echo out; echo err >&2; cat; exit 3");
    let output = run(bundle.command(&["run", &bundle.id]), b"typed\n", PATIENCE);
    assert_eq!(output, Output::new(3, "out\ntyped\n", "err\n"));
    let elsewhere = bundle.dir.clone();
    let mut command = bundle.command(&["run", "--bundle", &elsewhere, &bundle.id]);
    command.current_dir("/");
    assert_eq!(run(command, b"", PATIENCE).code, 3);
}

#[test]
fn the_verbs_lead_through_the_states() {
    let bundle = Bundle::new("runtime-verbs");
    bundle.script("touch /started; sleep 1000");
    bundle.leave(&["create", "--pid-file", "pid", &bundle.id]);

    let state = json::parse(&bundle.runtime(&["state", &bundle.id]).stdout);
    assert_eq!(state.string("status"), "created");
    assert_eq!(state.string("id"), bundle.id);
    assert_eq!(state.string("bundle"), bundle.dir);
    let pid = std::fs::read_to_string(format!("{}/pid", bundle.dir)).unwrap();
    assert_eq!(state.number("pid").to_string(), pid);
    let started = Path::new(&bundle.dir).join("rootfs/started");
    assert!(!started.exists(), "create has started it");

    let again = bundle.runtime(&["create", &bundle.id]);
    assert_ne!(again.code, 0);
    assert!(
        again
            .stderr
            .contains("container with given ID already exists"),
        "{again:?}"
    );

    assert_eq!(
        bundle.runtime(&["start", &bundle.id]),
        Output::new(0, "", "")
    );
    assert_eq!(bundle.status(), "running");
    eventually("the program runs", || started.exists());
    let twice = bundle.runtime(&["start", &bundle.id]);
    assert_ne!(twice.code, 0, "{twice:?}");

    let list = bundle.runtime(&["list"]);
    let lines = list.lines();
    let words = |line: &str| {
        line.split_whitespace()
            .map(String::from)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        words(lines[0]),
        ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    );
    assert_eq!(
        words(lines[1])[..4],
        [&bundle.id, &pid, "running", &bundle.dir]
    );
    assert_eq!(
        bundle.runtime(&["list", "-q"]),
        Output::new(0, &format!("{}\n", bundle.id), "")
    );

    assert_eq!(
        bundle.runtime(&["exec", &bundle.id, "sh", "-c", "echo inside; exit 6"]),
        Output::new(6, "inside\n", "")
    );
    let early = bundle.runtime(&["delete", &bundle.id]);
    assert_ne!(early.code, 0);
    assert!(
        early.stderr.contains(&format!(
            "cannot delete container {} that is not stopped: running",
            bundle.id
        )),
        "{early:?}"
    );

    assert_eq!(
        bundle.runtime(&["kill", &bundle.id, "KILL"]),
        Output::new(0, "", "")
    );
    eventually("it is stopped", || bundle.status() == "stopped");
    assert_eq!(
        bundle.runtime(&["delete", &bundle.id]),
        Output::new(0, "", "")
    );
    let gone = bundle.runtime(&["state", &bundle.id]);
    assert_ne!(gone.code, 0);
    assert!(gone.stderr.contains("container does not exist"), "{gone:?}");
}

#[test]
fn delete_by_force_ends_a_running_container() {
    let bundle = Bundle::new("runtime-force");
    bundle.script("sleep 1000 & sleep 1000");
    for _ in 0..10 {
        bundle.leave(&["run", "--detach", &bundle.id]);
        assert_eq!(bundle.status(), "running");
        assert_eq!(
            bundle.runtime(&["delete", "--force", &bundle.id]),
            Output::new(0, "", "")
        );
    }
    // Nothing to delete is no error by force, as with runc.
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).code, 0);
}

#[test]
fn a_bundle_that_cannot_run_leaves_nothing() {
    let bundle = Bundle::new("runtime-bad");
    bundle.script("true");
    let good = std::fs::read_to_string(bundle.config()).unwrap();
    for (what, bad) in [
        ("no JSON", "{".to_string()),
        ("empty", String::new()),
        ("no root", good.replace("\"rootfs\"", "\"nowhere\"")),
        ("no program", good.replace("\"sh\"", "\"nosuch\"")),
        ("an array", "[]".to_string()),
    ] {
        std::fs::write(bundle.config(), bad).unwrap();
        let output = bundle.runtime(&["run", &bundle.id]);
        assert!(
            output.code != 0 && output.stdout.is_empty(),
            "{what}: {output:?}"
        );
        assert!(!output.stderr.is_empty(), "{what}");
        assert_eq!(
            bundle.runtime(&["list", "-q"]),
            Output::new(0, "", ""),
            "{what}"
        );
    }
    for id in ["../escape", "", "a/b", ".", ".."] {
        assert_ne!(bundle.runtime(&["run", id]).code, 0, "{id:?}");
    }
}
#[test]
fn options_are_taken_behind_the_id_too() {
    let bundle = Bundle::new("runtime-behind");
    bundle.script("trap 'exit 5' TERM; touch /ready; while :; do sleep 0.1; done");
    let id = bundle.id.as_str();
    let dir = bundle.dir.clone();
    bundle.leave(&[
        "create",
        id,
        "--bundle",
        &dir,
        "--pid-file",
        "pid",
        "--no-new-keyring",
    ]);
    bundle.leave(&["start", "--", id]);
    let ready = Path::new(&dir).join("rootfs/ready");
    eventually("it is ready", || ready.exists());
    let pids = bundle.runtime(&["ps", id, "-f", "json"]);
    let pid = std::fs::read_to_string(format!("{dir}/pid")).unwrap();
    assert!(pids.stdout.starts_with(&format!("[{pid}")), "{pids:?}");
    assert_eq!(bundle.runtime(&["kill", id, "TERM", "--all"]).code, 0);
    eventually("it is stopped", || bundle.status() == "stopped");
    assert_eq!(bundle.runtime(&["delete", id, "--force"]).code, 0);

    let output = bundle.runtime(&["run", id, "--detach", "--keep", "--frob"]);
    output.assert_refused(1, "--frob");
}

#[test]
fn signals_have_names_and_numbers() {
    let bundle = Bundle::new("runtime-signals");
    bundle.script(
        "for s in HUP USR1 TERM 35 64; do trap \"echo $s >>/seen\" $s; done
        touch /ready; while :; do sleep 0.05; done",
    );
    bundle.leave(&["run", "-d", &bundle.id]);
    let file = |name: &str| Path::new(&bundle.dir).join("rootfs").join(name);
    eventually("it is ready", || file("ready").exists());
    let mut expected = String::new();
    for (name, seen) in [
        ("TERM", "TERM"),
        ("SIGTERM", "TERM"),
        ("15", "TERM"),
        ("sighup", "HUP"),
        ("usr1", "USR1"),
        ("RTMIN+1", "35"),
        ("SIGRTMAX", "64"),
        ("", "TERM"),
    ] {
        assert_eq!(
            bundle.runtime(&["kill", &bundle.id, name]),
            Output::new(0, "", "")
        );
        expected += &format!("{seen}\n");
        let seen = || std::fs::read_to_string(file("seen")).unwrap_or_default();
        eventually(&format!("{name:?} arrives"), || seen() == expected);
    }
    // Nothing is sent, but it is there.
    assert_eq!(bundle.runtime(&["kill", &bundle.id, "0"]).code, 0);
    assert_eq!(bundle.status(), "running");
    assert_eq!(bundle.runtime(&["delete", "-f", &bundle.id]).code, 0);
}

#[test]
fn without_a_process_namespace_all_its_processes_are_killed() {
    let bundle = Bundle::new("runtime-nopidns");
    bundle.script("sleep 1000 & sleep 1000");
    let config = std::fs::read_to_string(bundle.config()).unwrap();
    let shared = config.replace(r#"{"type":"pid"},"#, "");
    assert_ne!(shared, config);
    std::fs::write(bundle.config(), shared).unwrap();
    bundle.leave(&["run", "-d", &bundle.id]);
    let pids = || bundle.runtime(&["ps", "-f", "json", &bundle.id]).stdout;
    eventually("all run", || pids().split(',').count() >= 2);
    assert_eq!(bundle.runtime(&["kill", &bundle.id, "KILL"]).code, 0);
    eventually("none runs", || pids() == "[]\n");
    assert_eq!(bundle.runtime(&["delete", &bundle.id]).code, 0);
}

#[test]
fn a_paused_container_waits() {
    let bundle = Bundle::new("runtime-pause");
    bundle.script("sleep 1000");
    let id = bundle.id.as_str();
    bundle.leave(&["create", id]);
    assert_eq!(bundle.runtime(&["pause", id]), Output::new(0, "", ""));
    assert_eq!(bundle.status(), "paused");
    bundle
        .runtime(&["start", id])
        .assert_refused(1, "cannot start a container in the paused state");
    bundle
        .runtime(&["exec", id, "true"])
        .assert_refused(255, "cannot exec in a paused container");
    bundle.runtime(&["delete", id]).assert_refused(
        1,
        &format!("cannot delete container {id} that is not stopped: paused"),
    );
    bundle
        .runtime(&["pause", id])
        .assert_refused(1, "container not running");
    assert_eq!(bundle.runtime(&["resume", id]), Output::new(0, "", ""));
    bundle
        .runtime(&["resume", id])
        .assert_refused(1, "container not paused");
    assert_eq!(bundle.runtime(&["start", id]), Output::new(0, "", ""));
    assert_eq!(bundle.runtime(&["pause", id]).code, 0);
    // By force, frozen or not.
    assert_eq!(
        bundle.runtime(&["delete", "--force", id]),
        Output::new(0, "", "")
    );
}

#[test]
fn a_container_that_was_only_created_needs_no_force() {
    let bundle = Bundle::new("runtime-created");
    bundle.script("sleep 1000");
    bundle.leave(&["create", &bundle.id]);
    assert_eq!(
        bundle.runtime(&["delete", &bundle.id]),
        Output::new(0, "", "")
    );
    bundle
        .runtime(&["state", &bundle.id])
        .assert_refused(1, "container does not exist");
}

#[test]
fn list_prints_tables_json_and_ids() {
    let bundle = Bundle::new("runtime-list");
    assert_eq!(
        bundle.runtime(&["list", "--format", "json"]),
        Output::new(0, "null\n", "")
    );
    assert_eq!(bundle.runtime(&["list", "--quiet"]), Output::new(0, "", ""));
    assert_eq!(bundle.runtime(&["list"]).lines().len(), 1);
    bundle.script("sleep 1000");
    bundle.set("annotations", r#"{"org.example.a":"b"}"#);
    bundle.leave(&["create", &bundle.id]);
    let list = bundle.runtime(&["list", "-f", "json"]);
    let item = &json::parse(&list.stdout).items()[0];
    let state = bundle.runtime(&["state", &bundle.id]);
    let state = json::parse(&state.stdout);
    for name in [
        "ociVersion",
        "id",
        "status",
        "bundle",
        "rootfs",
        "created",
        "owner",
    ] {
        assert_eq!(item.string(name), state.string(name), "{name}");
    }
    assert_eq!(item.number("pid"), state.number("pid"));
    assert_eq!(item.string("owner"), "root");
    assert_eq!(state.text("annotations"), r#"{"org.example.a":"b"}"#);
    assert_eq!(bundle.runtime(&["delete", &bundle.id]).code, 0);
}

#[test]
fn ps_shows_the_containers_processes_alone() {
    let bundle = Bundle::new("runtime-ps");
    bundle.script("sleep 1234 & sleep 4321");
    let id = bundle.id.as_str();
    bundle.leave(&["run", "-d", id]);
    let shown = || bundle.runtime(&["ps", id]).stdout;
    eventually("both run", || shown().lines().count() == 3);
    let with_ps = shown();
    assert!(
        with_ps.contains("sleep 1234") && with_ps.contains("sleep 4321"),
        "{with_ps}"
    );

    // Where there is no ps, we read /proc ourselves.
    let mut command = bundle.command(&["ps", id]);
    command.env("PATH", "/nowhere");
    let own = run(command, b"", PATIENCE).stdout;
    let columns = |text: &str| -> Vec<Vec<String>> {
        let words = |line: &str| line.split_whitespace().map(String::from).collect();
        text.lines().map(words).collect()
    };
    let (own, theirs) = (columns(&own), columns(&with_ps));
    assert_eq!(
        own[0],
        ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    );
    if theirs[0] == own[0] {
        for (own, theirs) in own.iter().zip(&theirs) {
            assert_eq!((&own[..3], &own[7..]), (&theirs[..3], &theirs[7..]));
        }
        let options = bundle.runtime(&["ps", id, "-o", "pid,args"]);
        assert_eq!(
            options.lines()[0].split_whitespace().count(),
            2,
            "{options:?}"
        );
        assert_eq!(options.lines().len(), 3, "{options:?}");
    }
    let mut command = bundle.command(&["ps", id, "-x"]);
    command.env("PATH", "/nowhere");
    run(command, b"", PATIENCE).assert_refused(1, "run ps");
    assert_eq!(bundle.runtime(&["delete", "-f", id]).code, 0);
}

#[test]
fn spec_takes_a_directory_and_makes_a_rootless_one() {
    let bundle = Bundle::new("runtime-rootless-spec");
    let dir = bundle.host.make_dir("other");
    assert_eq!(
        bundle.runtime(&["spec", "--rootless", "--bundle", &dir]),
        Output::new(0, "", "")
    );
    let text = std::fs::read_to_string(format!("{dir}/config.json")).unwrap();
    // Indented by tabs, as runc's.
    assert!(text.starts_with("{\n\t\"ociVersion\": \"1"), "{text}");
    let spec = json::parse(&text);
    let map = r#"[{"containerID":0,"hostID":0,"size":1}]"#;
    assert_eq!(spec.text("linux.uidMappings"), map);
    assert_eq!(spec.text("linux.gidMappings"), map);
    let namespaces = spec.text("linux.namespaces");
    assert!(
        namespaces.contains("user") && !namespaces.contains("network"),
        "{namespaces}"
    );
    assert!(!text.contains("\"resources\""), "{text}");
    bundle
        .runtime(&["spec", "--bundle", &dir])
        .assert_refused(1, "File config.json exists. Remove it first");
}

#[test]
fn features_lists_what_there_is() {
    let bundle = Bundle::new("runtime-features");
    let output = bundle.runtime(&["features"]);
    assert!(
        output
            .stdout
            .starts_with("{\n    \"ociVersionMin\": \"1.0.0\",\n"),
        "{output:?}"
    );
    let features = json::parse(&output.stdout);
    assert_eq!(features.string("ociVersionMax"), "1.3.0");
    assert_eq!(
        features.text("hooks"),
        r#"["prestart","createRuntime","createContainer","startContainer","poststart","poststop"]"#
    );
    let has = |path: &str, item: &str| {
        let list = features.text(path);
        assert!(
            list.contains(&format!("\"{item}\"")),
            "{path}: {item}: {list}"
        );
    };
    for kind in [
        "cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts",
    ] {
        has("linux.namespaces", kind);
    }
    has("linux.capabilities", "CAP_CHECKPOINT_RESTORE");
    for option in ["rbind", "rro", "idmap", "tmpcopyup", "nosymfollow"] {
        has("mountOptions", option);
    }
    has("linux.memoryPolicy.modes", "MPOL_BIND");
    has("linux.memoryPolicy.flags", "MPOL_F_STATIC_NODES");
    has("linux.seccomp.actions", "SCMP_ACT_NOTIFY");
    has("linux.seccomp.operators", "SCMP_CMP_MASKED_EQ");
    for (path, expected) in [
        ("linux.cgroup.v1", "false"),
        ("linux.cgroup.v2", "true"),
        ("linux.cgroup.systemd", "false"),
        ("linux.seccomp.enabled", "true"),
        ("linux.intelRdt.enabled", "false"),
        ("linux.mountExtensions.idmap.enabled", "true"),
        ("linux.netDevices.enabled", "true"),
        ("potentiallyUnsafeConfigAnnotations", "[]"),
    ] {
        assert_eq!(features.text(path), expected, "{path}");
    }
}
