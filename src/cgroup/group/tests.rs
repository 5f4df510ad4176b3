use super::*;
use std::ffi::CString;
use std::process::{Child, Command};

/// A directory of our own in the tree, for a test that makes groups; it goes with the value.
struct Top(PathBuf);

impl Top {
    fn new(test: &str) -> Option<Top> {
        let Some(point) = find::mount_point().unwrap() else {
            println!("skip: {test}: no cgroup v2 here");
            return None;
        };
        let top = point.join(format!("tug-test-{test}-{}", std::process::id()));
        if std::fs::create_dir(&top).is_err() {
            println!("skip: {test}: needs root");
            return None;
        }
        Some(Top(top))
    }

    fn group(&self) -> Group {
        Group::create(&self.0.join("group"), false).unwrap()
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        let top = Group::open(&self.0).unwrap();
        top.kill(9).unwrap();
        top.remove().unwrap();
    }
}

/// A shell in the group, which makes more processes than one; it begins when it is there.
fn shell(group: &Group, script: &str) -> Child {
    let script = format!("read go; {script}");
    let mut child = Command::new("sh")
        .args(["-c", &script])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    group.add(child.id() as i32).unwrap();
    drop(child.stdin.take());
    child
}

fn until_pids(group: &Group, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while group.pids().unwrap().len() < count {
        assert!(Instant::now() < deadline, "no {count} processes");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn groups_come_and_go_while_their_parent_does() {
    let Some(top) = Top::new("races") else { return };
    let threads: Vec<_> = (0..4)
        .map(|n| {
            let path = top.0.join(PARENT).join(n.to_string());
            std::thread::spawn(move || {
                for _ in 0..3000 {
                    Group::create(&path, false)?.remove()?;
                }
                Ok(())
            })
        })
        .collect();
    let ends: Vec<Result<()>> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    assert!(ends.iter().all(Result::is_ok), "{ends:?}");
}

#[test]
fn places_are_absolute_or_beside_ourselves() {
    let Some(top) = find::mount_point().unwrap() else {
        return println!("skip: places: no cgroup v2 here");
    };
    let own = find::clean(&find::of_process("self").unwrap());
    let beside = top.join(own.parent().unwrap_or(Path::new("")));
    let place = |asked| Group::place(asked, "id-of-none").unwrap().unwrap();
    assert_eq!(place(None), beside.join("id-of-none"));
    assert_eq!(place(Some("")), beside.join("id-of-none"));
    assert_eq!(place(Some("a/b")), beside.join("a/b"));
    assert_eq!(place(Some("../../a/b")), beside.join("a/b"));
    assert_eq!(place(Some("/tug/web")), top.join("tug/web"));
    assert_eq!(place(Some("/../../x/./y/")), top.join("x/y"));
    assert_eq!(place(Some("/a:b:c")), top.join("a:b:c"));
    let refusal = |asked| Group::place(Some(asked), "x").unwrap_err().to_string();
    assert!(refusal("system.slice:tug:web").contains("systemd"));
    assert!(refusal("/").contains("root group"));
    assert!(refusal("/a/../..").contains("root group"));
}

#[test]
fn a_group_in_use_or_frozen_is_refused_and_left_alone() {
    let Some(top) = Top::new("in-use") else {
        return;
    };
    let path = top.0.join("group");
    let group = top.group();
    let mut child = shell(&group, "sleep 1000 & wait");
    until_pids(&group, 2);
    let found = find::mount_point().unwrap().unwrap();
    let asked = Path::new("/").join(path.strip_prefix(found).unwrap());
    let asked = asked.to_str().unwrap();
    for refused in [
        Group::create(&path, false).map(drop),
        Group::place(Some(asked), "x").map(drop),
    ] {
        let sentence = refused.unwrap_err().to_string();
        assert_eq!(
            sentence,
            "container's cgroup is not empty: 2 process(es) found"
        );
    }
    assert_eq!(group.pids().unwrap().len(), 2);
    group.kill(9).unwrap();
    child.wait().unwrap();

    group
        .until("populated 0", Instant::now() + REMOVE_TIMEOUT)
        .unwrap();
    Group::create(&path, false).unwrap();
    group.freeze(true).unwrap();
    let sentence = Group::create(&path, false).unwrap_err().to_string();
    assert_eq!(sentence, "container's cgroup unexpectedly frozen");
    assert!(path.exists());
}

#[test]
fn frozen_is_answered_when_it_is_so() {
    let Some(top) = Top::new("freeze") else {
        return;
    };
    let group = top.group();
    let mut child = shell(&group, "while :; do :; done");
    group.freeze(true).unwrap();
    let events = group.read("cgroup.events").unwrap();
    assert!(events.contains("frozen 1"), "{events}");
    assert!(group.is_frozen());
    group.freeze(false).unwrap();
    assert!(!group.is_frozen());
    group.kill(9).unwrap();
    child.wait().unwrap();
}

#[test]
fn kernels_without_cgroup_kill_are_helped_by_the_freezer() {
    let Some(top) = Top::new("kill") else { return };
    let group = top.group();
    // Forks all the time: who lists processes and kills them would always miss some.
    let storm = "for i in 1 2 3 4; do sh -c 'while :; do sh -c : & wait; done' & done; wait";
    let mut child = shell(&group, storm);
    until_pids(&group, 5);
    group.freeze_and_kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    assert!(group.until("populated 0", deadline).unwrap());
    assert!(!group.is_frozen());
}

#[test]
fn nested_groups_are_counted_killed_and_removed() {
    let Some(top) = Top::new("nested") else {
        return;
    };
    let group = top.group();
    // Deeper than a path can say.
    let mut dir = fs::open_dir(&group.path).unwrap();
    let name = CString::new("n".repeat(200)).unwrap();
    for _ in 0..30 {
        rustix::fs::mkdirat(&dir, &name, rustix::fs::Mode::RWXU).unwrap();
        rustix::fs::mkdirat(&dir, c"beside", rustix::fs::Mode::RWXU).unwrap();
        dir = fs::open_dir_at(dir.as_fd(), Path::new(name.to_str().unwrap())).unwrap();
    }
    let mut child = shell(&group, "exec sleep 1000");
    cgroup::write(dir.as_fd(), "cgroup.procs", &child.id().to_string()).unwrap();
    assert_eq!(group.pids().unwrap(), [child.id() as i32]);
    group.kill(9).unwrap();
    child.wait().unwrap();
    group.remove().unwrap();
    assert!(!&group.path.exists());
    // Gone already is gone.
    group.remove().unwrap();
}

#[test]
fn device_rules_are_replaced_not_piled_up() {
    let Some(top) = Top::new("devices") else {
        return;
    };
    let group = top.group();
    let rules = |allow| Resources {
        devices: Some(vec![crate::oci::spec::DeviceRule {
            allow: Some(allow),
            access: Some("rwm".to_string()),
            ..Default::default()
        }]),
        ..Resources::default()
    };
    if group.apply(Some(&rules(false))).unwrap() != Guard::Filter {
        return println!("skip: devices: this kernel cannot filter");
    }
    let count = || {
        crate::sys::raw::device_programs(group.as_fd())
            .unwrap()
            .len()
    };
    assert_eq!(count(), 1);
    let living = Group::open(&group.path).unwrap();
    for _ in 0..3 {
        assert_eq!(living.apply(Some(&rules(false))).unwrap(), Guard::Filter);
        assert_eq!(count(), 1);
    }
    // An update that says nothing of devices leaves them, one that opens them does that.
    living.apply(Some(&Resources::default())).unwrap();
    assert_eq!(count(), 1);
    let mut child = shell(
        &group,
        "read x </dev/kmsg; head -c 0 /dev/kmsg && exit 7; exit 8",
    );
    assert_eq!(child.wait().unwrap().code(), Some(8));
    living.apply(Some(&rules(true))).unwrap();
    assert_eq!(count(), 1);
    let mut child = shell(&group, "head -c 0 /dev/kmsg && exit 7; exit 8");
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

#[test]
fn what_a_parent_lacks_is_asked_of_it_in_one_write() {
    let offered = ["cpu".to_string(), "io".to_string(), "pids".to_string()];
    assert_eq!(lacking(&offered, "io cpuset\n"), ["+cpu", "+pids"]);
    assert_eq!(
        lacking(&offered, "cpu io pids memory"),
        Vec::<String>::new()
    );
    assert_eq!(
        parents(Path::new("/a/b/c/d"), Path::new("/a/b")),
        [Path::new("/a/b"), Path::new("/a/b/c")]
    );
}
