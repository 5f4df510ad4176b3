//! `tug runtime`: many commands on one container, and what a crash leaves.

use crate::harness::bundle::Bundle;
use crate::harness::command::Output;
use crate::harness::{eventually, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const CROWD: usize = 6;

/// Run the command that many times at once. Their output goes to files: a container that stays
/// would keep a pipe open.
fn crowd(bundle: &Bundle, args: &[&str]) -> Vec<Output> {
    let said = |n: usize| bundle.host.dir.join(format!("said-{n}"));
    let spawn = |n: usize| quiet(bundle.command(args), &said(n)).spawn().unwrap();
    let children: Vec<Child> = (0..CROWD).map(spawn).collect();
    let outputs = children.into_iter().enumerate().map(|(n, mut child)| {
        let code = child.wait().unwrap().code().unwrap();
        Output::new(code, "", &std::fs::read_to_string(said(n)).unwrap())
    });
    outputs.collect()
}

fn quiet(mut command: Command, stderr: &Path) -> Command {
    let stderr = std::fs::File::create(stderr).unwrap();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr);
    command
}

/// One has won, and all others say one of `sentences`.
#[track_caller]
fn one_winner(outputs: &[Output], sentences: &[&str]) {
    let winners = outputs.iter().filter(|output| output.code == 0).count();
    assert_eq!(winners, 1, "{outputs:?}");
    for loser in outputs.iter().filter(|output| output.code != 0) {
        assert!(
            loser.code == 1 && sentences.iter().any(|text| loser.stderr.contains(text)),
            "{loser:?}"
        );
    }
}

/// Random enough for a test that is to hit every moment of a command once in a while.
struct Dice(u64);

impl Dice {
    fn pause(&mut self, microseconds_max: u64) {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        std::thread::sleep(Duration::from_micros(self.0 % microseconds_max));
    }
}

fn state_dir(bundle: &Bundle) -> PathBuf {
    bundle.host.dir.join("runtime-root").join(&bundle.id)
}

#[track_caller]
fn delete_by_force(bundle: &Bundle) {
    let deleted = bundle.runtime(&["delete", "--force", &bundle.id]);
    assert_eq!(deleted, Output::new(0, "", ""));
    assert!(!state_dir(bundle).exists());
}

#[test]
fn of_many_that_make_or_start_or_remove_one_container_one_does() {
    let bundle = Bundle::new("runtime-crowd");
    bundle.script("sleep 1000");
    for _ in 0..4 {
        let outputs = crowd(&bundle, &["create", &bundle.id]);
        one_winner(&outputs, &["container with given ID already exists"]);
        assert_eq!(bundle.status(), "created");

        let outputs = crowd(&bundle, &["start", &bundle.id]);
        one_winner(&outputs, &["cannot start an already running container"]);
        assert_eq!(bundle.status(), "running");

        let outputs = crowd(&bundle, &["delete", &bundle.id]);
        assert!(outputs.iter().all(|output| output.code == 1), "{outputs:?}");
        assert_eq!(bundle.runtime(&["kill", &bundle.id, "KILL"]).code, 0);
        eventually("it is stopped", || bundle.status() == "stopped");
        let outputs = crowd(&bundle, &["delete", &bundle.id]);
        one_winner(&outputs, &["container does not exist"]);
        assert!(!state_dir(&bundle).exists());
    }
}

#[test]
fn a_container_that_is_removed_while_it_is_made_is_there_or_gone() {
    let bundle = Bundle::new("runtime-made-removed");
    bundle.script("sleep 1000");
    let mut dice = Dice(0x2545_F491_4F6C_DD1D);
    for round in 0..40 {
        let said = bundle.host.dir.join("said");
        let mut create = quiet(bundle.command(&["create", &bundle.id]), &said)
            .spawn()
            .unwrap();
        dice.pause(30_000);
        let deleted = bundle.runtime(&["delete", "--force", &bundle.id]);
        assert_eq!(deleted, Output::new(0, "", ""), "round {round}");
        let made = create.wait().unwrap();
        // Whichever came first, the container is whole or there is none.
        let said = std::fs::read_to_string(&said).unwrap();
        assert!(made.success(), "round {round}: {said}");
        if state_dir(&bundle).exists() {
            assert_eq!(bundle.status(), "created");
        }
        delete_by_force(&bundle);
    }
}

#[test]
fn a_container_that_is_killed_while_it_is_started_has_one_end() {
    let bundle = Bundle::new("runtime-start-kill");
    bundle.script("sleep 1000");
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for round in 0..20 {
        bundle.leave(&["create", &bundle.id]);
        let said = bundle.host.dir.join("said");
        let mut start = quiet(bundle.command(&["start", &bundle.id]), &said)
            .spawn()
            .unwrap();
        dice.pause(8_000);
        let killed = bundle.runtime(&["kill", &bundle.id, "KILL"]);
        assert_eq!(killed, Output::new(0, "", ""), "round {round}");
        let started = start.wait().unwrap();
        let said = std::fs::read_to_string(&said).unwrap();
        assert!(
            started.success() || said.contains("cannot start a container that has stopped"),
            "round {round}: {said}"
        );
        eventually("it is stopped", || bundle.status() == "stopped");
        assert_eq!(
            bundle.runtime(&["delete", &bundle.id]),
            Output::new(0, "", "")
        );
    }
}

#[test]
fn what_a_killed_create_leaves_is_removed_by_force() {
    let bundle = Bundle::new("runtime-killed-create");
    bundle.script("sleep 1000");
    let mut dice = Dice(0xD1B5_4A32_D192_ED03);
    for round in 0..80 {
        let said = bundle.host.dir.join("said");
        let mut create = quiet(bundle.command(&["create", &bundle.id]), &said)
            .spawn()
            .unwrap();
        dice.pause(25_000);
        create.kill().unwrap();
        create.wait().unwrap();
        // Something can be said of it, whatever it is.
        let state = bundle.runtime(&["state", &bundle.id]);
        match state.code {
            0 => {
                let status = json::parse(&state.stdout).string("status");
                assert!(
                    ["creating", "created", "running", "stopped"].contains(&status.as_str()),
                    "round {round}: {state:?}"
                );
            }
            _ => state.assert_refused(1, "container does not exist"),
        }
        assert_eq!(bundle.runtime(&["list"]).code, 0);
        // Cgroups and processes with its name are looked for by the harness at the end.
        delete_by_force(&bundle);
    }
    // The name is free for a whole one.
    bundle.leave(&["create", &bundle.id]);
    delete_by_force(&bundle);
}

#[test]
fn a_state_that_cannot_be_read_is_removed_by_force() {
    let bundle = Bundle::new("runtime-torn");
    bundle.script("true");
    for (name, content) in [("", ""), ("state.json", ""), ("state.json", "{\"id\":")] {
        std::fs::create_dir_all(state_dir(&bundle)).unwrap();
        if !name.is_empty() {
            std::fs::write(state_dir(&bundle).join(name), content).unwrap();
        }
        assert_ne!(bundle.runtime(&["state", &bundle.id]).code, 0);
        let list = bundle.runtime(&["list", "-q"]);
        assert_eq!((list.code, list.stdout.as_str()), (0, ""));
        // It hides no other, and is not hidden itself; without a record it may be one in the making.
        let is_told = list.stderr.contains("warning: load container");
        assert_eq!(is_told, !name.is_empty(), "{list:?}");
        bundle
            .runtime(&["create", &bundle.id])
            .assert_refused(1, "container with given ID already exists");
        delete_by_force(&bundle);
    }
}

#[test]
fn a_container_that_another_process_holds_is_waited_for() {
    let bundle = Bundle::new("runtime-held");
    bundle.script("sleep 1000");
    bundle.leave(&["create", &bundle.id]);
    let held = std::fs::File::open(state_dir(&bundle)).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert_eq!(bundle.status(), "creating");
    bundle
        .runtime(&["start", &bundle.id])
        .assert_refused(1, "cannot start a container in the creating state");
    // By force its process is ended after a while, so that whoever makes it gives up.
    let said = bundle.host.dir.join("said");
    let mut delete = quiet(bundle.command(&["delete", "--force", &bundle.id]), &said)
        .spawn()
        .unwrap();
    eventually("its process is killed", || bundle.status() == "stopped");
    assert!(delete.try_wait().unwrap().is_none());
    drop(held);
    assert!(delete.wait().unwrap().success());
    assert!(!state_dir(&bundle).exists());
}
