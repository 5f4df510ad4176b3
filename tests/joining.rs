//! Who joins a container: what it gets, what it keeps, and what is not shown to those inside.

use crate::harness::bundle::Bundle;
use crate::harness::command::{Output, run};
use crate::harness::{PATIENCE, eventually, rootfs};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// The mount namespace of whoever is in a chroot has the whole host at its root, and setns(2) goes
/// there.
#[test]
fn a_container_that_is_made_in_a_chroot_holds_who_joins_it() {
    let bundle = Bundle::new("ns-chroot");
    bundle.script("touch /inside; ls /; exec sleep 1000");
    let jail = bundle.host.make_dir("jail");
    let script = r#"
        jail=$1; binary=$2; bundle=$3; id=$4; kind=$5
        mount --make-rprivate /
        if [ "$kind" = mount ]; then mount --bind "$jail" "$jail"; fi
        mkdir -p "$jail"/usr "$jail"/proc "$jail"/sys "$jail"/dev "$jail"/run "$jail"/tmp "$jail"/bundle
        for dir in bin lib lib64 sbin; do [ -e "$jail/$dir" ] || ln -s usr/$dir "$jail/$dir"; done
        mount --rbind /usr "$jail"/usr; mount --rbind /sys "$jail"/sys; mount --rbind /dev "$jail"/dev
        mount -t proc proc "$jail"/proc; mount --bind "$bundle" "$jail"/bundle
        cp "$binary" "$jail"/tug
        runtime="chroot $jail /tug runtime --root /run/tug"
        $runtime run --detach --bundle /bundle "$id" < /dev/null > "$jail"/said 2>&1 || cat "$jail"/said
        for n in 1 2 3 4 5 6 7 8 9 10; do grep -q tmp "$jail"/said && break; sleep 0.2; done
        cat "$jail"/said; echo --; $runtime exec "$id" ls /; echo --
        $runtime exec "$id" sh -c 'cd ../../..; ls; echo --; ls /..'
        $runtime delete --force "$id"
    "#;
    for kind in ["plain", "mount"] {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh", &jail]);
        command
            .arg(&bundle.host.binary)
            .args([&bundle.dir, &bundle.id, kind]);
        let output = run(command, b"", PATIENCE);
        let views: Vec<&str> = output.stdout.split("--\n").collect();
        assert_eq!(views.len(), 4, "{kind}: {output:?}");
        assert!(views[0].contains("inside\n"), "{kind}: {output:?}");
        assert!(
            views.iter().all(|view| view == &views[0]),
            "{kind}: {output:?}"
        );
    }
    // What the copy of the binary was run from is gone; the rest goes with the directory.
    assert!(!bundle.runtime(&["state", &bundle.id]).stderr.is_empty());
}

/// Descriptors that are not the program's, for `run` and `exec`; a leak of ours or of our caller.
#[test]
fn only_the_three_streams_and_what_is_preserved_are_inside() {
    let bundle = Bundle::new("ns-fds");
    // The shell itself opens none; `ls` opens the directory that it lists.
    bundle.script("ls /proc/self/fd; exec sleep 1000");
    let leaky = |args: &[&str], fds: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec \"$@\" {fds}"), "sh"]);
        let runtime = bundle.command(args);
        command
            .arg(runtime.get_program())
            .args(runtime.get_args())
            .current_dir(&bundle.dir);
        command
    };
    let fds = "3</etc/passwd 4</etc/group 9</ 8</proc";
    let ended = |mut command: Command, lines: usize| {
        let said = bundle.host.dir.join("said");
        command
            .stdin(Stdio::null())
            .stdout(fs::File::create(&said).unwrap());
        command.stderr(fs::File::options().append(true).open(&said).unwrap());
        assert!(command.status().unwrap().success());
        let count = move |said: &str| said.lines().count() >= lines;
        eventually("it has listed", || {
            count(&fs::read_to_string(&said).unwrap())
        });
        fs::read_to_string(&said).unwrap()
    };
    assert_eq!(
        ended(leaky(&["run", "--detach", &bundle.id], fds), 4),
        "0\n1\n2\n3\n"
    );
    let list = ["exec", &bundle.id, "ls", "/proc/self/fd"];
    assert_eq!(
        run(leaky(&list, fds), b"", PATIENCE),
        Output::new(0, "0\n1\n2\n3\n", "")
    );
    let list = [
        "exec",
        "--preserve-fds",
        "2",
        &bundle.id,
        "sh",
        "-c",
        "ls /proc/self/fd; cat <&3 | head -c 5; cat <&4 | head -c 5",
    ];
    assert_eq!(
        run(leaky(&list, fds), b"", PATIENCE),
        Output::new(0, "0\n1\n2\n3\n4\n5\nroot:root:", "")
    );
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).code, 0);

    bundle.script("cat <&3 | head -c 5; cat <&4 | head -c 5; ls /proc/self/fd; exec sleep 1000");
    let said = ended(
        leaky(&["run", "--detach", "--preserve-fds", "2", &bundle.id], fds),
        6,
    );
    assert_eq!(said, "root:root:0\n1\n2\n3\n4\n5\n");
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).code, 0);
}

#[test]
fn a_container_has_a_keyring_of_its_own_and_who_joins_has_it_too() {
    let bundle = Bundle::new("ns-keys");
    bundle.script("sleep 1000");
    // What the kernel lists of those that the reader may see. A second of the name would be one
    // that exec has made for itself.
    let script = format!("grep -c '_ses.{}:' /proc/keys", bundle.id);
    let keys = || {
        bundle
            .runtime(&["exec", &bundle.id, "sh", "-c", &script])
            .stdout
    };
    if !Path::new("/proc/keys").exists() {
        return crate::harness::skip("keyring", "this kernel has no keyrings");
    }
    bundle.set("linux.maskedPaths", "[]");
    bundle.leave(&["run", "--detach", &bundle.id]);
    assert_eq!(keys(), "1\n");
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).code, 0);
    // Under another name: a keyring that nobody has is listed until the kernel collects it.
    let other = format!("{}-other", bundle.id);
    let script = format!("grep -c '_ses.{other}:' /proc/keys");
    bundle.leave(&["run", "--detach", "--no-new-keyring", &other]);
    let output = bundle.runtime(&["exec", &other, "sh", "-c", &script]);
    assert_eq!(output.stdout, "0\n");
    assert_eq!(bundle.runtime(&["delete", "--force", &other]).code, 0);
}

#[test]
fn exec_runs_in_a_group_below_the_containers() {
    let bundle = Bundle::new("ns-group");
    bundle.script("sleep 1000");
    bundle.leave(&["run", "--detach", &bundle.id]);
    let Some(group) = group_of(bundle.pid()) else {
        bundle.runtime(&["delete", "--force", &bundle.id]);
        return crate::harness::skip("exec --cgroup", "no cgroup v2 here");
    };
    fs::create_dir(group.join("jobs")).unwrap();
    let exec = |path: &str| {
        bundle.runtime(&[
            "exec",
            "--cgroup",
            path,
            &bundle.id,
            "grep",
            "0::",
            "/proc/self/cgroup",
        ])
    };
    assert_eq!(exec("/jobs"), Output::new(0, "0::/jobs\n", ""));
    assert_eq!(exec("jobs"), Output::new(0, "0::/jobs\n", ""));
    assert_eq!(exec("/"), Output::new(0, "0::/\n", ""));
    for (bad, sentence) in [
        ("/nosuch", "nosuch: No such file or directory"),
        ("../../", "../../ is not a sub cgroup path"),
        ("memory:/jobs", "give the path alone"),
    ] {
        let output = exec(bad);
        assert!(
            output.code != 0 && output.stderr.contains(sentence),
            "{output:?}"
        );
    }
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).code, 0);
    assert!(!group.exists());
}

/// As systemd inside does: the kernel then allows no process in the container's own group.
#[test]
fn exec_goes_where_the_first_process_has_gone() {
    let bundle = Bundle::new("ns-busy");
    bundle.script("sleep 1000");
    bundle.leave(&["run", "--detach", &bundle.id]);
    let pid = bundle.pid();
    let Some(group) = group_of(pid) else {
        bundle.runtime(&["delete", "--force", &bundle.id]);
        return crate::harness::skip("exec beside systemd", "no cgroup v2 here");
    };
    let inner = group.join("init.scope");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("cgroup.procs"), pid.to_string()).unwrap();
    let offered = fs::read_to_string(group.join("cgroup.controllers")).unwrap();
    let handed = offered.split_whitespace().any(|controller| {
        fs::write(
            group.join("cgroup.subtree_control"),
            format!("+{controller}"),
        )
        .is_ok()
    });
    let output = bundle.runtime(&["exec", &bundle.id, "grep", "0::", "/proc/self/cgroup"]);
    let place = if handed { "0::/init.scope\n" } else { "0::/\n" };
    assert_eq!(output, Output::new(0, place, ""));
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).code, 0);
    assert!(!group.exists());
}

fn group_of(pid: i64) -> Option<std::path::PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let own = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
        .iter()
        .map(|top| Path::new(top).join(own))
        .find(|path| path.join("cgroup.procs").exists())
}

#[test]
fn exec_waits_for_a_paused_container_only_when_told() {
    let bundle = Bundle::new("ns-paused");
    bundle.script("sleep 1000");
    bundle.leave(&["run", "--detach", &bundle.id]);
    if group_of(bundle.pid()).is_none() {
        bundle.runtime(&["delete", "--force", &bundle.id]);
        return crate::harness::skip("exec --ignore-paused", "no cgroup v2 here");
    }
    assert_eq!(
        bundle.runtime(&["pause", &bundle.id]),
        Output::new(0, "", "")
    );
    let output = bundle.runtime(&["exec", &bundle.id, "true"]);
    let sentence = "cannot exec in a paused container (use --ignore-paused to override)";
    assert!(
        output.code != 0 && output.stderr.contains(sentence),
        "{output:?}"
    );
    let mut waiting = crate::harness::command::Running::start(bundle.command(&[
        "exec",
        "--ignore-paused",
        &bundle.id,
        "echo",
        "thawed",
    ]));
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(waiting.stdout(), "");
    assert_eq!(
        bundle.runtime(&["resume", &bundle.id]),
        Output::new(0, "", "")
    );
    assert_eq!(waiting.wait(PATIENCE), Output::new(0, "thawed\n", ""));
    assert_eq!(bundle.runtime(&["kill", &bundle.id, "KILL"]).code, 0);
    eventually("it is stopped", || bundle.status() == "stopped");
    let output = bundle.runtime(&["exec", &bundle.id, "true"]);
    assert!(
        output.code != 0 && output.stderr.contains("cannot exec in a stopped container"),
        "{output:?}"
    );
    assert_eq!(bundle.runtime(&["delete", &bundle.id]).code, 0);
}

/// CVE-2019-5736: what a container executes or joins with is reached as /proc/PID/exe.
#[test]
fn the_runtimes_binary_cannot_be_written_from_inside() {
    let mut bundle = Bundle::new("ns-binary");
    bundle.host.copy_binary();
    let before = rootfs::sha256(&fs::read(&bundle.host.binary).unwrap());
    let same = || rootfs::sha256(&fs::read(&bundle.host.binary).unwrap()) == before;
    let attack = "exec 5< /proc/self/exe; (sleep 1; cat /etc/passwd > /proc/self/fd/5) 2>&1";
    fs::write(format!("{}/rootfs/self", bundle.dir), "#!/proc/self/exe\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(format!("{}/rootfs/self", bundle.dir), mode).unwrap();

    bundle.script("true");
    bundle.set("process.args", &format!(r#"["/self","-c","{attack}"]"#));
    bundle.runtime(&["run", &bundle.id]);
    assert!(same(), "changed by an entrypoint");
    bundle.script(
        "while :; do for n in /proc/[0-9]*/exe; do cat /etc/passwd > $n; done; done 2> /dev/null",
    );
    bundle.leave(&["run", "--detach", &bundle.id]);
    for _ in 0..20 {
        bundle.runtime(&["exec", &bundle.id, "/self", "-c", "true"]);
        bundle.runtime(&["exec", &bundle.id, "true"]);
    }
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).code, 0);
    assert!(same(), "changed by a process of the container");
}

/// CVE-2016-9962: who joins is not readable inside before it is the program.
#[test]
fn a_process_that_joins_shows_nothing_to_the_containers_first() {
    let bundle = Bundle::new("ns-joining");
    // The program's own descriptors are seen: that shows that the loop looks in the right place.
    bundle.script(
        "while :; do for n in /proc/[0-9]*; do case $n in /proc/1) continue;; esac; \
         exe=$(readlink $n/exe 2> /dev/null) && case $exe in */busybox) echo twin;; *) echo \"seen $n $exe\";; esac; \
         done; done > /seen 2> /dev/null",
    );
    bundle.leave(&["run", "--detach", &bundle.id]);
    for _ in 0..100 {
        assert_eq!(bundle.runtime(&["exec", &bundle.id, "true"]).code, 0);
    }
    assert_eq!(bundle.runtime(&["exec", &bundle.id, "sleep", "1"]).code, 0);
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).code, 0);
    let seen = fs::read_to_string(format!("{}/rootfs/seen", bundle.dir)).unwrap();
    assert!(seen.contains("twin"), "the loop has seen nothing at all");
    let leaks: Vec<&str> = seen
        .lines()
        .filter(|line| line.starts_with("seen"))
        .collect();
    assert!(leaks.is_empty(), "{leaks:?}");
}

#[test]
fn a_terminal_is_made_by_descriptors_alone() {
    let bundle = Bundle::new("ns-terminal");
    bundle.script("sleep 1000");
    bundle.leave(&["run", "--detach", &bundle.id]);
    let exec = |script: &str| {
        let mut command = bundle.command(&["exec", "--tty", &bundle.id, "sh", "-c", script]);
        command.stdin(Stdio::null());
        run(command, b"", PATIENCE)
    };
    let good = exec("tty; test -c /dev/pts/ptmx && echo there");
    assert_eq!(good.stdout.replace('\r', ""), "/dev/pts/0\nthere\n");
    // Whatever the container puts in the place of the multiplexer is no terminal.
    let script = "mount --bind /dev/zero /dev/pts/ptmx";
    let mut command = Command::new("nsenter");
    command.args(["-t", &bundle.pid().to_string(), "-m", "sh", "-c", script]);
    assert_eq!(run(command, b"", PATIENCE).code, 0);
    let bad = exec("true");
    assert!(
        bad.stderr
            .contains("/dev/pts/ptmx in the container is no terminal multiplexer"),
        "{bad:?}"
    );
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).code, 0);
}
