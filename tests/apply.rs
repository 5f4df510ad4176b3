//! Containers are updated with a way back: alone (`update-image`) or as a set (`apply`).

use crate::crashes::Trap;
use crate::harness::command::{Output, run};
use crate::harness::rootfs::{Archive, busybox_with, docker_archive};
use crate::harness::{Chance, Host, IMAGE, PATIENCE, eventually, json, rounds, skip};
use crate::power_loss;
use crate::watch::start_below_init;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::Duration;

/// Two images that can be told from each other by a file.
fn host(name: &'static str) -> Host {
    let host = Host::new(name);
    import(&host);
    host
}

fn import(host: &Host) {
    for version in ["one", "two"] {
        host.import(
            version,
            &busybox_with(|more| {
                more.file("version", 0o644, version.as_bytes());
            }),
        );
    }
}

fn version(host: &Host, container: &str) -> String {
    host.ok(&["exec", container, "cat", "/version"])
}

/// Names and states of all containers.
fn all(host: &Host) -> Vec<String> {
    let mut rows: Vec<String> = host
        .ok(&["ps", "-a", "--format", "{{.Names}} {{.State}} {{.Image}}"])
        .lines()
        .map(str::to_string)
        .collect();
    rows.sort();
    rows
}

fn set(host: &Host, name: &str, member: &str) -> String {
    host.get(&format!("/tug/sets/{name}")).text(member)
}

#[test]
fn a_container_gets_another_image_and_keeps_all_else() {
    let host = host("apply-update");
    host.ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "--stop-timeout",
        "0",
        "-e",
        "A=1",
        "-v",
        "/data",
        "-v",
        "named:/named",
        "--label",
        "x=y",
        "one",
        "sleep",
        "1000",
    ]);
    host.ok(&[
        "exec",
        "web",
        "sh",
        "-c",
        "echo kept > /data/file; echo kept > /named/file",
    ]);
    let before = host.inspect("web", "Id");
    let told = host.ok(&["update-image", "web", "two", "--commit-after", "1s"]);
    assert_eq!(
        told,
        "web: made\nweb: stopped\nweb: started\non trial for 1 seconds\ncommitted"
    );
    assert_eq!(version(&host, "web"), "two");
    assert_ne!(host.inspect("web", "Id"), before);
    assert_eq!(all(&host), ["web running two"]);
    assert_eq!(
        host.ok(&["exec", "web", "cat", "/data/file", "/named/file"]),
        "kept\nkept"
    );
    assert_eq!(host.ok(&["exec", "web", "sh", "-c", "echo $A"]), "1");
    assert_eq!(host.inspect("web", "Config.Labels"), r#"{"x":"y"}"#);
    assert_eq!(host.ok(&["volume", "ls", "-q"]).lines().count(), 2);
    assert_eq!(set(&host, "web", "State"), "\"committed\"");
}

#[test]
fn what_ends_in_its_trial_is_taken_back() {
    let host = host("apply-back");
    let script =
        "test $(cat /version) = one && exec sleep 1000; sleep 0.3; echo no luck >&2; exit 7";
    host.ok(&[
        "run",
        "-d",
        "--stop-timeout=0",
        "--name=web",
        "one",
        "sh",
        "-c",
        script,
    ]);
    let before = host.inspect("web", "Id");
    let output = host.tug(&["update-image", "-q", "web", "two", "--commit-after", "60s"]);
    assert_eq!(
        (output.code, output.stderr.as_str()),
        (
            1,
            "tug: set web was rolled back: web ended with exit code 7: no luck\n"
        )
    );
    assert_eq!(host.inspect("web", "Id"), before);
    assert_eq!(version(&host, "web"), "one");
    assert_eq!(all(&host), ["web running one"]);
}

fn is_on_trial(host: &Host) -> bool {
    set(host, "pair", "Deadline") != "null"
}

/// A plan: each container with its image and what else it asks for.
fn plan(host: &Host, dir: &str, members: &[(&str, &str, &str)]) -> String {
    let path = host.dir.join(dir);
    let _ = std::fs::remove_dir_all(&path);
    host.make_dir(dir);
    for (name, image, more) in members {
        let command = match more.contains("\"command\"") {
            true => "",
            false => r#""command":["sleep","1000"],"#,
        };
        let text =
            format!(r#"{{"image":"{image}",{command}"network":"none","stop-timeout":0{more}}}"#);
        host.write(&format!("{dir}/{name}.json"), text);
    }
    path.display().to_string()
}

fn apply(host: &Host, plan: &str, more: &[&str]) -> Output {
    let args = [
        "apply",
        plan,
        "--name",
        "pair",
        "--commit-after",
        "0s",
        "-q",
    ];
    host.tug(&[&args, more].concat())
}

fn pair(host: &Host, image: &str) -> String {
    let dir = format!("pair-{image}");
    plan(
        host,
        &dir,
        &[("aa", image, ""), ("bb", image, r#","after":"aa""#)],
    )
}

fn good(output: &Output) {
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
}

fn bad(output: &Output, why: &str) {
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains(why), "{why}: {output:?}");
}

fn ids(host: &Host) -> Vec<String> {
    let mut ids: Vec<String> = host
        .ok(&["ps", "-aq"])
        .lines()
        .map(str::to_string)
        .collect();
    ids.sort();
    ids
}

#[test]
fn a_set_becomes_what_its_plan_says() {
    let host = host("apply-set");
    let one = [
        ("db", "one", ""),
        ("job", "one", r#","command":["true"],"restart":"no""#),
        ("web", "one", r#","after":["db","job:completed"]"#),
        ("old", "one", ""),
    ];
    good(&apply(&host, &plan(&host, "plan", &one), &[]));
    assert_eq!(
        all(&host),
        [
            "db running one",
            "job exited one",
            "old running one",
            "web running one"
        ]
    );
    let before = host.inspect("db", "Id");
    assert_eq!(
        host.inspect("web", "HostConfig.RestartPolicy.Name"),
        "\"always\""
    );

    // The same again: nothing is touched.
    let then = ids(&host);
    let told = host.ok(&["apply", &plan(&host, "plan", &one), "--name", "pair"]);
    assert_eq!(told, "all is as wanted already");
    assert_eq!(ids(&host), then);

    // One changed, one gone, one new.
    let two = [
        ("db", "one", ""),
        ("job", "one", r#","command":["true"],"restart":"no""#),
        ("web", "two", r#","after":["db","job:completed"]"#),
        ("new", "two", r#","after":"web""#),
    ];
    good(&apply(&host, &plan(&host, "plan", &two), &[]));
    assert_eq!(
        all(&host),
        [
            "db running one",
            "job exited one",
            "new running two",
            "web running two"
        ]
    );
    assert_eq!(host.inspect("db", "Id"), before);
    assert_eq!(set(&host, "pair", "Generation"), "2");

    // One of them alone, which stays a member.
    host.ok(&["update-image", "-q", "--commit-after=0s", "db", "two"]);
    assert_eq!(set(&host, "pair", "Generation"), "3");
    assert_eq!(set(&host, "pair", "Members").matches("\"Name\"").count(), 4);
    let text = host.ok(&["apply", "status", "pair"]);
    assert!(
        text.contains("Container:   db ") && text.contains("db=two"),
        "{text}"
    );
    assert!(
        host.ok(&["apply", "status"])
            .contains("pair      committed   3")
    );
}

#[test]
fn what_is_not_well_takes_the_whole_set_back() {
    let host = host("apply-ill");
    good(&apply(&host, &pair(&host, "one"), &[]));
    let before = ids(&host);
    let check =
        r#","health-cmd":"echo no luck; false","health-interval":"100ms","health-retries":2"#;
    for (name, more, why) in [
        (
            "loop",
            r#","command":["sh","-c","sleep 0.2; exit 3"]"#,
            "bb ended with exit code 3",
        ),
        ("ill", check, "bb is unhealthy: no luck"),
        ("none", r#","command":["/missing"]"#, "start bb: "),
        (
            "end",
            r#","command":["true"],"restart":"no""#,
            "bb ended with exit code 0",
        ),
        (
            "late",
            r#","after":"aa:completed""#,
            "bb needs more than there is",
        ),
    ] {
        let job = match name {
            "late" => r#","command":["false"],"restart":"no""#,
            _ => "",
        };
        let plan = plan(&host, name, &[("aa", "two", job), ("bb", "two", more)]);
        bad(&apply(&host, &plan, &["--commit-after=30s"]), why);
        assert_eq!(ids(&host), before, "{name}");
        assert_eq!(all(&host), ["aa running one", "bb running one"], "{name}");
        assert!(set(&host, "pair", "History").contains(why), "{name}");
    }
}

#[test]
fn what_cannot_be_prepared_changes_nothing() {
    let host = host("apply-refused");
    good(&apply(&host, &pair(&host, "one"), &[]));
    host.ok(&[
        "run",
        "-d",
        "--name=other",
        "--network=none",
        "--stop-timeout=0",
        "one",
        "sleep",
        "1000",
    ]);
    host.ok(&[
        "run",
        "-d",
        "--name=guest",
        "--network=container:other",
        "--stop-timeout=0",
        "one",
        "sleep",
        "1000",
    ]);
    host.ok(&["create", "--name=fleeting", "--rm", "one", "true"]);
    let before = all(&host);
    for (members, why) in [
        (
            vec![("aa", "two", ""), ("bb", "missing:1", "")],
            "No such image: missing:1",
        ),
        (
            vec![
                ("aa", "two", r#","after":"bb""#),
                ("bb", "two", r#","after":"aa""#),
            ],
            "aa",
        ),
        (
            vec![("aa", "two", r#","rm":true"#), ("bb", "two", "")],
            "aa is removed when it ends (--rm)",
        ),
        (
            vec![("aa", "two", r#","memory":"1k""#), ("bb", "two", "")],
            "aa: ",
        ),
        (
            vec![("other", "two", "")],
            "guest shares a namespace with other",
        ),
    ] {
        let plan = plan(&host, "bad", &members);
        bad(&apply(&host, &plan, &["--pull=never"]), why);
        assert_eq!(all(&host), before, "{why}");
    }
    for (args, why) in [
        (
            &["update-image", "nobody", "two"][..],
            "No such container: nobody",
        ),
        (
            &["update-image", "--pull=never", "aa", "missing:1"],
            "No such image: missing:1",
        ),
        (
            &["update-image", "fleeting", "two"],
            "fleeting is removed when it ends (--rm)",
        ),
        (
            &["update-image", "other", "two"],
            "guest shares a namespace with other",
        ),
        (
            &["update-image", "--on-fail=explode", "aa", "two"],
            "it is rollback, keep or reboot",
        ),
        (&["apply", "/nonexistent"], "/nonexistent"),
        (
            &["apply", "rollback", "pair"],
            "set pair is committed: nothing of it is on trial",
        ),
        (&["apply", "commit", "nobody"], "No such set: nobody"),
    ] {
        bad(&host.tug(args), why);
        assert_eq!(all(&host), before, "{args:?}");
    }
    // A circle is named by the engine, too.
    let member = |name: &str, after: &str| {
        format!(r#"{{"Name":"{name}","Create":{{"Image":"one"}},"After":[{{"Name":"{after}"}}]}}"#)
    };
    let body = format!(
        r#"{{"Name":"xx","Members":[{},{}]}}"#,
        member("xa", "xb"),
        member("xb", "xa")
    );
    let reply = host.http("POST", "/tug/sets", &body);
    assert_eq!(reply.status, 400);
    assert!(
        reply
            .body
            .contains("set xx: a circle: xa after xb after xa"),
        "{}",
        reply.body
    );
    host.ok(&["rm", "-f", "guest"]);
}

#[test]
fn a_trial_is_ended_by_hand_and_guards_what_it_is_about() {
    let host = host("apply-hand");
    good(&apply(&host, &pair(&host, "one"), &[]));
    let before = ids(&host);
    let two = pair(&host, "two");
    let detached = ["--commit-after=1h", "--detach"];
    for (verdict, image) in [("rollback", "one"), ("commit", "two")] {
        good(&apply(&host, &two, &detached));
        eventually("it is on trial", || is_on_trial(&host));
        let rows = [
            "aa running two",
            "aa.previous exited one",
            "bb running two",
            "bb.previous exited one",
        ];
        assert_eq!(all(&host), rows);
        if let Some(docker) = host.docker(&["ps", "--format", "{{.Names}} {{.Image}}"]) {
            let mut rows: Vec<&str> = docker.stdout.lines().collect();
            rows.sort_unstable();
            assert_eq!(rows, ["aa two", "bb two"]);
        }
        bad(&apply(&host, &two, &detached), "set pair is ");
        bad(&host.tug(&["update-image", "aa", "one"]), "set pair is ");
        for args in [
            &["rm", "-f", "aa.previous"][..],
            &["start", "aa.previous"],
            &["rename", "aa.previous", "x"],
        ] {
            bad(&host.tug(args), "belongs to a change that is under way");
        }
        host.ok(&["container", "prune", "-f"]);
        assert_eq!(all(&host), rows);
        good(&host.tug(&["apply", verdict, "pair"]));
        assert_eq!(
            all(&host),
            [format!("aa running {image}"), format!("bb running {image}")]
        );
        assert_eq!(ids(&host) == before, verdict == "rollback");
    }
    // On request a failed one stays, and the way back too.
    let broken = plan(
        &host,
        "broken",
        &[("aa", "one", ""), ("bb", "one", r#","command":["false"]"#)],
    );
    bad(
        &apply(&host, &broken, &["--on-fail=keep", "--commit-after=1h"]),
        "set pair is failed: bb ended",
    );
    assert_eq!(set(&host, "pair", "State"), "\"failed\"");
    assert_eq!(version(&host, "aa"), "one");
    good(&host.tug(&["apply", "rollback", "pair"]));
    assert_eq!(all(&host), ["aa running two", "bb running two"]);
}

#[test]
fn a_trial_outlives_its_engine_and_not_its_boot() {
    let mut host = host("apply-outlives");
    good(&apply(&host, &pair(&host, "one"), &[]));
    let before = ids(&host);
    let two = pair(&host, "two");
    // The engine is killed: the client waits, and the next one commits.
    let mut client = host.spawn(&["apply", &two, "--name=pair", "--commit-after=3s"]);
    eventually("it is on trial", || is_on_trial(&host));
    let pid = host.pid("aa");
    host.kill_engine();
    host.start_engine();
    assert_eq!(host.pid("aa"), pid);
    let output = client.wait(PATIENCE);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(all(&host), ["aa running two", "bb running two"]);
    let now = ids(&host);
    assert!(now.iter().all(|id| !before.contains(id)));

    // The engine is stopped with all containers: the trial begins again.
    good(&apply(
        &host,
        &pair(&host, "one"),
        &["--commit-after=1h", "-d"],
    ));
    eventually("it is on trial", || is_on_trial(&host));
    assert_eq!(host.stop_engine(), Some(0));
    host.start_engine();
    eventually("it is on trial again", || is_on_trial(&host));
    assert_eq!(version(&host, "bb"), "one");

    // The machine goes down.
    host.kill_engine();
    host.power_cut();
    host.start_engine();
    settled(&host, "after the power cut");
    assert_eq!(ids(&host), now);
    assert_eq!(all(&host), ["aa running two", "bb running two"]);
    let history = set(&host, "pair", "History");
    assert!(
        history.contains("the machine went down before the commit"),
        "{history}"
    );
}

#[test]
fn a_port_that_a_stranger_has_takes_the_set_back() {
    let host = Host::in_network("apply-port");
    host.ok(&[
        "run",
        "-d",
        "--name=stranger",
        "--stop-timeout=0",
        "-p",
        "80:80",
        IMAGE,
        "sleep",
        "1000",
    ]);
    let own = |port: &str| {
        let text = format!(
            r#"{{"image":"{IMAGE}","command":["sleep","1000"],"stop-timeout":0,"publish":"{port}:80"}}"#
        );
        host.make_dir("own");
        host.write("own/web.json", text);
        host.dir.join("own").display().to_string()
    };
    good(&apply(&host, &own("81"), &[]));
    let before = host.inspect("web", "Id");
    // Its own it can have again.
    host.ok(&["update-image", "-q", "--commit-after=0s", "web", IMAGE]);
    assert_ne!(host.inspect("web", "Id"), before);
    let before = host.inspect("web", "Id");
    bad(&apply(&host, &own("80"), &[]), "start web: ");
    assert_eq!(host.inspect("web", "Id"), before);
    assert_eq!(
        all(&host),
        [
            format!("stranger running {IMAGE}"),
            format!("web running {IMAGE}")
        ]
    );
}

/// Nothing is under way, and the set is one or the other: which.
fn settled(host: &Host, what: &str) -> String {
    eventually(&format!("{what}: an end"), || {
        let set = host.http("GET", "/tug/sets/pair", "");
        let set = json::parse(&set.body);
        set.text("State") == "\"committed\"" && set.text("Busy") != "true"
    });
    eventually(
        &format!(
            "{what}: both run, and nothing is left beside them: {:?}\n{}",
            all(host),
            host.engine_log()
        ),
        || {
            let rows = all(host);
            let is = |image: &str| {
                rows == [format!("aa running {image}"), format!("bb running {image}")]
            };
            is("one") || is("two")
        },
    );
    version(host, "aa")
}

fn other(image: &str) -> &'static str {
    match image {
        "one" => "two",
        _ => "one",
    }
}

/// The calls at which what is on disk, or runs, may change.
const CALLS: [&str; 4] = [
    "rename,renameat,renameat2",
    "fsync,fdatasync",
    "mkdir,mkdirat",
    "sendmsg,sendto",
];

/// What happens at one of the calls.
fn at_each_call(host: &mut Host, fault: &str, calls: &[&str], step: usize) -> usize {
    let [one, two] = ["one", "two"].map(|image| pair(host, image));
    let plan_of = |image: &str| {
        if image == "one" {
            one.clone()
        } else {
            two.clone()
        }
    };
    good(&apply(host, &one, &[]));
    let mut faults = 0;
    for calls in calls {
        for number in (1..).step_by(step) {
            let target = other(&settled(host, "before"));
            let trap = Trap::inject(host, calls, fault, number);
            let plan = plan_of(target);
            let args = ["apply", &plan, "--name=pair", "--commit-after=0s", "-q"];
            let mut client = host.spawn(&args);
            eventually("the fault, or the end", || {
                client.has_ended() || !host.engine_is_alive()
            });
            let was_hit = trap.lift();
            if !host.engine_is_alive() {
                host.kill_engine();
                host.start_engine();
            }
            let output = client.wait(PATIENCE);
            let what = format!("{fault} at {calls} {number}: {output:?}");
            let found = settled(host, &what);
            if output.code == 0 {
                assert_eq!(found, target, "{what}");
            }
            let again = apply(host, &plan, &[]);
            assert_eq!((again.code, again.stderr.as_str()), (0, ""), "{what}");
            assert_eq!(settled(host, &what), target, "{what}");
            if !was_hit {
                break;
            }
            faults += 1;
        }
    }
    println!("{faults} faults");
    faults
}

#[test]
fn a_kill_at_each_system_call_leaves_the_old_set_or_the_new() {
    if !has_strace("apply: kills") {
        return;
    }
    let mut host = host("apply-kills");
    let kills = at_each_call(&mut host, "signal=KILL", &CALLS, rounds(11, 1));
    assert!(kills > 4, "the traps did not work");
}

#[test]
fn a_full_disk_at_each_step_leaves_the_old_set_or_the_new() {
    if !has_strace("apply: full disk") {
        return;
    }
    let mut host = host("apply-full");
    let full = "error=ENOSPC";
    let calls = [
        "rename,renameat,renameat2",
        "fsync,fdatasync",
        "mkdir,mkdirat",
    ];
    let faults = at_each_call(&mut host, full, &calls, rounds(9, 1));
    // What was half-removed goes with the next start.
    host.kill_engine();
    host.start_engine();
    assert_eq!(host.ok(&["ps", "-aq"]).lines().count(), 2);
    assert!(faults > 4, "the traps did not work");
}

fn has_strace(test: &str) -> bool {
    let found = run(Command::new("sh"), b"command -v strace", PATIENCE).code == 0;
    if !found {
        skip(test, "strace is not installed");
    }
    found
}

#[test]
fn a_power_cut_at_any_moment_of_a_change_leaves_the_old_set_or_the_new() {
    let Some(mut host) = power_loss::host("apply-power") else {
        return;
    };
    import(&host);
    let [one, two] = ["one", "two"].map(|image| pair(&host, image));
    good(&apply(&host, &one, &[]));
    let mut chance = Chance::new();
    let mut ends = [0, 0];
    for round in 0..rounds(8, 100) {
        let before = settled(&host, "before");
        let target = other(&before);
        let plan = if target == "one" { &one } else { &two };
        let args = ["apply", plan, "--name=pair", "--commit-after=1s", "-q"];
        let client = host.spawn(&args);
        std::thread::sleep(Duration::from_millis(chance.below(2500)));
        power_loss::cut_power(&mut host);
        // Its store is out of our sight.
        for running in std::fs::read_dir(host.exec_root().join("containers")).unwrap() {
            host.note_container(&running.unwrap().file_name().to_string_lossy());
        }
        host.power_cut();
        drop(client);
        power_loss::power_on(&mut host);
        let found = settled(&host, &format!("round {round}"));
        ends[usize::from(found == target)] += 1;
        good(&apply(&host, plan, &[]));
        assert_eq!(settled(&host, "again"), target);
    }
    println!("{} were the old set, {} the new", ends[0], ends[1]);
}

#[test]
fn a_compose_file_and_a_bundle_with_its_images_are_applied() {
    let host = host("apply-files");
    let compose = |image: &str| {
        host.write(
            "compose.yml",
            format!(
                "name: shop\nservices:\n  aa: &aa\n    image: {image}\n    command: sleep 1000\n    \
                 network_mode: none\n    stop_grace_period: 0s\n  bb:\n    image: {image}\n    \
                 command: sleep 1000\n    network_mode: none\n    stop_grace_period: 0s\n    \
                 depends_on: [aa]\n    volumes: [data:/data]\nvolumes:\n  data:\n"
            ),
        )
    };
    for image in ["one", "two"] {
        good(&host.tug(&["apply", &compose(image), "-q", "--commit-after=0s"]));
        let rows = ["shop-aa-1", "shop-bb-1"].map(|name| format!("{name} running {image}"));
        assert_eq!(all(&host), rows);
    }
    let label = "{{ index .Config.Labels \"com.docker.compose.depends_on\" }}";
    assert_eq!(
        host.ok(&["inspect", "-f", label, "shop-bb-1"]),
        "aa:service_started:false"
    );
    assert_eq!(host.ok(&["volume", "ls", "-q"]), "shop_data");

    // An image that nobody has yet comes along, in a directory as in a bundle.
    let image = |tag: &str| docker_archive(tag, &[busybox_with(|_| {})], "{}");
    let entry = |tag: &str| {
        format!(
            r#"{{"image":"{tag}","command":["sleep","1000"],"network":"none","stop-timeout":0}}"#
        )
    };
    let dir = host.make_dir("stick/images");
    std::fs::write(format!("{dir}/any.tar"), image("three:1")).unwrap();
    host.write("stick/web.json", entry("three:1"));
    let stick = host.dir.join("stick").display().to_string();
    good(&host.tug(&["apply", &stick, "-q", "--commit-after=0s", "--pull=never"]));
    let mut bundle = Archive::new();
    bundle.file("services/web.json", 0o644, entry("four:1"));
    bundle.file("images/any.tar", 0o644, image("four:1"));
    let bundle = bundle.finish();
    let file = host.write("stick.tar", &bundle[..bundle.len() - 1024]);
    bad(
        &host.tug(&["apply", &file, "--pull=never"]),
        "it has no end",
    );
    let file = host.write("stick.tar", &bundle);
    good(&host.tug(&["apply", &file, "-q", "--commit-after=0s", "--pull=never"]));
    assert!(all(&host).contains(&"web running four:1".to_string()));
    assert_eq!(set(&host, "stick", "Generation"), "2");

    // With nothing in it, all go.
    let empty = host.make_dir("empty");
    good(&host.tug(&["apply", &empty, "--name=stick", "-q", "--commit-after=0s"]));
    assert_eq!(all(&host).len(), 2);
    let evil = {
        let mut archive = Archive::new();
        archive.file("../evil.json", 0o644, entry("four:1"));
        host.write("evil.tar", archive.finish())
    };
    bad(&host.tug(&["apply", &evil]), "../evil.json: no plan file");
}

#[test]
fn on_request_the_machine_reboots_into_the_set_of_before() {
    let mut host = Host::without_engine("apply-reboot");
    let signals = start_below_init(&mut host, None);
    import(&host);
    good(&apply(&host, &pair(&host, "one"), &[]));
    let broken = [("aa", "two", ""), ("bb", "two", r#","command":["false"]"#)];
    let broken = plan(&host, "broken", &broken);
    let output = apply(&host, &broken, &["--on-fail=reboot", "--commit-after=1h"]);
    match std::fs::read_to_string(&signals) {
        Ok(told) => {
            assert_eq!(told, "INT\n");
            bad(
                &output,
                "set pair is rolling-back: bb ended with exit code 1",
            );
        }
        // Where the note of it would not outlive a reboot there is none, and the way back is taken.
        Err(_) => bad(
            &output,
            "set pair was rolled back: bb ended with exit code 1",
        ),
    }
    host.kill_engine();
    host.power_cut();
    host.start_engine();
    assert_eq!(settled(&host, "after the reboot"), "one");
}

#[test]
fn an_idle_engine_stays_for_a_trial() {
    let mut host = Host::without_engine("apply-idle");
    let listener = UnixListener::bind(host.socket()).unwrap();
    let script = r#"exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@""#;
    let start = |host: &mut Host| {
        let mut engine = Command::new("sh");
        engine.args(["-c", script, "sh"]);
        let address = host.address();
        let line = host.engine_command().into_iter();
        engine.args(line.filter(|word| word != "-H" && *word != address));
        engine.args(["-H", "fd://", "--idle-exit", "1"]);
        let socket = std::os::fd::OwnedFd::from(listener.try_clone().unwrap());
        host.start_engine_with(engine, socket.into());
    };
    start(&mut host);
    import(&host);
    let one = pair(&host, "one");
    good(&apply(&host, &one, &["--commit-after=4s", "-d"]));
    let record = host.data_root().join("sets/pair.json");
    let is_committed = || {
        let text = std::fs::read_to_string(&record).unwrap();
        text.contains(r#""State":"committed""#)
    };
    eventually("the commit", || {
        assert!(host.engine_is_alive(), "it has left a trial");
        is_committed()
    });
    eventually("it leaves", || !host.engine_is_alive());
    host.kill_engine();
    start(&mut host);
    assert_eq!(all(&host), ["aa running one", "bb running one"]);
}
