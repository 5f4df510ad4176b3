//! Seccomp filters, by really making the calls that they are about.
//!
//! What every call number gets is tested beside the compiler, on an interpreter; here the kernel
//! has the last word: that the filters load, when, for whom, and what a program sees of them.

use crate::harness::bundle::{Bundle, member};
use crate::harness::command::{Output, Running, run};
use crate::harness::{Host, IMAGE, PATIENCE, json, rootfs, skip};
use linux_raw_sys::general as kernel;
use miniserde::json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// 128 and SIGSYS.
const BAD_CALL: i32 = 128 + 31;

/// tests/harness/probe.c, built; `None` where there is no C compiler with a static libc.
pub fn probe(test: &str) -> Option<PathBuf> {
    static PROBE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = PROBE.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/harness/probe.c");
        let probe = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("probe");
        let new = probe.with_extension(std::process::id().to_string());
        let mut command = Command::new("cc");
        command.args(["-static", "-O1", "-o"]).arg(&new).arg(source);
        let is_built = command.output().is_ok_and(|output| output.status.success());
        // Another run of the tests may be executing the old one.
        (is_built && std::fs::rename(&new, &probe).is_ok()).then_some(probe)
    });
    if built.is_none() {
        skip(test, "there is no C compiler with a static libc");
    }
    built.clone()
}

/// A bundle whose program is filtered by the profile `seccomp`.
struct Filtered {
    bundle: Bundle,
}

impl Filtered {
    fn new(name: &'static str, seccomp: &str, script: &str) -> Option<Filtered> {
        let probe = probe(name)?;
        let bundle = Bundle::new(name);
        std::fs::copy(probe, format!("{}/rootfs/bin/probe", bundle.dir)).unwrap();
        let filtered = Filtered { bundle };
        filtered.set(seccomp, script, &|_| {});
        Some(filtered)
    }

    /// Change the profile, the script, and what else `change` does to config.json.
    fn set(&self, seccomp: &str, script: &str, change: &dyn Fn(&mut Value)) {
        self.bundle.script(script);
        let text = std::fs::read_to_string(self.bundle.config()).unwrap();
        let mut spec = json::parse(&text).0;
        *member(member(&mut spec, "linux"), "seccomp") = json::parse(seccomp).0;
        change(&mut spec);
        std::fs::write(self.bundle.config(), miniserde::json::to_string(&spec)).unwrap();
    }

    fn run(&self) -> Output {
        let command = self.bundle.command(&["run", &self.bundle.id]);
        run(command, b"", PATIENCE)
    }

    #[track_caller]
    fn prints(&self, seccomp: &str, script: &str, expected: &str) {
        self.set(seccomp, script, &|_| {});
        assert_eq!(self.run(), Output::new(0, expected, ""), "{seccomp}");
    }
}

/// All that is not named is allowed; `rules` are for the others.
fn allowing(rules: &str) -> String {
    format!(
        r#"{{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86",
        "SCMP_ARCH_AARCH64","SCMP_ARCH_ARM"],"syscalls":[{rules}]}}"#
    )
}

fn rule(names: &str, action: &str, more: &str) -> String {
    format!(r#"{{"names":["{names}"],"action":"SCMP_ACT_{action}"{more}}}"#)
}

const GETPPID: u32 = kernel::__NR_getppid;
const SOCKET: u32 = kernel::__NR_socket;

#[test]
fn every_action_does_what_it_says() {
    let Some(container) = Filtered::new("seccomp-actions", "{}", "true") else {
        return;
    };
    let script = format!("probe {GETPPID}; echo after");
    let prints = |action, more, expected| {
        container.prints(&allowing(&rule("getppid", action, more)), &script, expected);
    };
    prints("ALLOW", "", "1\nafter\n");
    prints("LOG", "", "1\nafter\n");
    prints("ERRNO", "", "-1\nafter\n");
    prints("ERRNO", r#","errnoRet":95"#, "-95\nafter\n");
    // Nobody traces, so there is no such call (seccomp(2)).
    prints("TRACE", "", "-38\nafter\n");
    let script = format!("exec probe {GETPPID}");
    for action in ["KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP"] {
        container.set(&allowing(&rule("getppid", action, "")), &script, &|_| {});
        assert_eq!(container.run(), Output::new(BAD_CALL, "", ""), "{action}");
    }
}

#[test]
fn arguments_decide_where_a_rule_says_so() {
    let Some(container) = Filtered::new("seccomp-arguments", "{}", "true") else {
        return;
    };
    // No family has these numbers: what is allowed gets EAFNOSUPPORT.
    let script =
        format!("probe {SOCKET},60 {SOCKET},61 {SOCKET},62 {SOCKET},0x10000003d {SOCKET},61,2");
    let arg = |op: &str, value: u64, more: &str| {
        format!(r#"{{"index":0,"op":"SCMP_CMP_{op}","value":{value}{more}}}"#)
    };
    let prints = |args: &[String], expected| {
        let more = format!(r#","args":[{}]"#, args.join(","));
        let rules = rule("socket", "ERRNO", &more);
        container.prints(&allowing(&rules), &script, expected);
    };
    // The kernel takes the family as an int: what lies above that hides nothing from a filter.
    prints(&[arg("EQ", 61, "")], "-97\n-1\n-97\n-1\n-1\n");
    prints(&[arg("NE", 61, "")], "-1\n-97\n-1\n-97\n-97\n");
    prints(&[arg("LT", 61, "")], "-1\n-97\n-97\n-97\n-97\n");
    prints(&[arg("LE", 61, "")], "-1\n-1\n-97\n-1\n-1\n");
    prints(&[arg("GT", 61, "")], "-97\n-97\n-1\n-97\n-97\n");
    prints(&[arg("GE", 61, "")], "-97\n-1\n-1\n-1\n-1\n");
    let masked = arg("MASKED_EQ", 0xff, r#","valueTwo":61"#);
    prints(&[masked], "-97\n-1\n-97\n-1\n-1\n");
    // On one argument: any of them. On several: all of them.
    prints(
        &[arg("EQ", 60, ""), arg("EQ", 62, "")],
        "-1\n-97\n-1\n-97\n-97\n",
    );
    let second = r#"{"index":1,"op":"SCMP_CMP_EQ","value":2}"#.to_string();
    prints(&[arg("EQ", 61, ""), second], "-97\n-97\n-97\n-97\n-1\n");
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    let names = r#"["execve","write","exit_group","brk","arch_prctl","set_tid_address","set_robust_list",
        "rseq","prlimit64","readlinkat","readlink","getrandom","mprotect","newfstatat","fstat","fstat64",
        "uname","set_tls","ugetrlimit","statx"]"#;
    let seccomp = format!(
        r#"{{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":13,"architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_AARCH64",
        "SCMP_ARCH_ARM"],"syscalls":[{{"names":{names},"action":"SCMP_ACT_ALLOW"}}]}}"#
    );
    let Some(container) = Filtered::new("seccomp-newer", "{}", "true") else {
        return;
    };
    // Nothing but these is allowed: of our own calls only execve comes after the filter, with
    // no_new_privs and without, as root and as somebody.
    for (no_new_privileges, uid) in [(true, 0), (false, 0), (true, 1000), (false, 1000)] {
        container.set(&seccomp, "true", &|spec| {
            let process = member(spec, "process");
            *member(process, "noNewPrivileges") = Value::Bool(no_new_privileges);
            *member(member(process, "user"), "uid") = json::parse(&format!("{uid}")).0;
            let args = ["probe", &format!("{GETPPID}"), "500", "100000"];
            let args = args.map(|arg| Value::String(arg.to_string()));
            *member(process, "args") = Value::Array(args.into_iter().collect());
        });
        assert_eq!(container.run(), Output::new(0, "-13\n-38\n-38\n", ""));
    }
}

#[test]
fn the_filter_holds_with_and_without_no_new_privileges_for_anybody() {
    let Some(container) = Filtered::new("seccomp-privileges", "{}", "true") else {
        return;
    };
    for (no_new_privileges, uid) in [(true, 0), (false, 0), (true, 1000), (false, 1000)] {
        let script = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; mkdir /tmp/x 2>&1";
        let seccomp = allowing(&format!(
            "{},{}",
            rule("mkdir", "ERRNO", ""),
            rule("mkdirat", "ERRNO", "")
        ));
        container.set(&seccomp, script, &|spec| {
            let process = member(spec, "process");
            *member(process, "noNewPrivileges") = Value::Bool(no_new_privileges);
            *member(member(process, "user"), "uid") = json::parse(&format!("{uid}")).0;
            for set in ["inheritable", "ambient"] {
                *member(member(process, "capabilities"), set) = json::parse("[]").0;
            }
        });
        // The right that loading takes is gone with execve.
        let held = if uid == 0 {
            "0000000020000420"
        } else {
            "0000000000000000"
        };
        let expected = format!(
            "CapInh:\t0000000000000000\nCapPrm:\t{held}\nCapEff:\t{held}\nCapBnd:\t0000000020000420\n\
             CapAmb:\t0000000000000000\nNoNewPrivs:\t{}\nSeccomp:\t2\n\
             mkdir: can't create directory '/tmp/x': Operation not permitted\n",
            i32::from(no_new_privileges)
        );
        assert_eq!(container.run(), Output::new(1, &expected, ""));
    }
}

/// The programs of these hooks are the image's, which is as little to be trusted as its program.
#[test]
fn hooks_in_the_container_are_filtered_as_its_program() {
    let Some(container) = Filtered::new("seccomp-hooks", "{}", "true") else {
        return;
    };
    let look = "grep -E '^(CapEff|CapPrm|Seccomp:)' /proc/self/status; mkdir /tmp/x 2>&1";
    let hook = format!(
        r#"{{"startContainer":[{{"path":"/bin/busybox","args":["busybox","sh","-c","{{ {look}; true; }} > /tmp/seen"]}}]}}"#
    );
    let refusing = format!(
        "{},{}",
        rule("mkdir", "ERRNO", ""),
        rule("mkdirat", "ERRNO", "")
    );
    for no_new_privileges in [true, false] {
        container.set(
            &allowing(&refusing),
            "cat /tmp/seen; rm /tmp/seen",
            &|spec| {
                let process = member(spec, "process");
                *member(process, "noNewPrivileges") = Value::Bool(no_new_privileges);
                *member(member(process, "user"), "uid") = json::parse("1000").0;
                *member(spec, "hooks") = json::parse(&hook).0;
            },
        );
        let tmp = format!("{}/rootfs/tmp", container.bundle.dir);
        std::fs::create_dir_all(&tmp).unwrap();
        std::os::unix::fs::chown(&tmp, Some(1000), None).unwrap();
        let expected = "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nSeccomp:\t2\n\
             mkdir: can't create directory '/tmp/x': Operation not permitted\n";
        assert_eq!(container.run(), Output::new(0, expected, ""));
    }
}

#[test]
fn processes_that_join_are_filtered_too() {
    let seccomp = allowing(&rule("getppid", "ERRNO", ""));
    let Some(container) = Filtered::new("seccomp-exec", &seccomp, "sleep 1000") else {
        return;
    };
    let bundle = &container.bundle;
    bundle.leave(&["run", "--detach", &bundle.id]);
    // What the bundle says by now is not what the container was made from.
    container.set("{}", "true", &|_| {});
    let call = GETPPID.to_string();
    let expected = Output::new(0, "-1\n", "");
    assert_eq!(
        bundle.runtime(&["exec", &bundle.id, "probe", &call]),
        expected
    );
    let user = ["exec", "--user", "1000", &bundle.id, "probe", &call];
    assert_eq!(bundle.runtime(&user), expected);
    bundle.runtime(&["delete", "--force", &bundle.id]);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn calls_by_other_ways_are_filtered_or_killed() {
    let Some(container) = Filtered::new("seccomp-32bit", "{}", "true") else {
        return;
    };
    // 64 is getppid and 102 socketcall, by which 1 is socket.
    let rules = [
        rule("getppid", "ERRNO", r#","errnoRet":95"#),
        rule("socket", "ERRNO", ""),
    ]
    .join(",");
    container.prints(
        &allowing(&rules),
        "probe x86:64 x86:20,0 x86:102,1,0 x86:359,2,2 | sed s/[0-9][0-9]*$/X/2",
        "-95\n2\n-1\n-1\n",
    );
    // Not listed: killed.
    let native =
        r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],"syscalls":[]}"#;
    for call in ["x86:20", "x32:39"] {
        container.set(native, &format!("exec probe {call}"), &|_| {});
        assert_eq!(container.run(), Output::new(BAD_CALL, "", ""), "{call}");
    }
}

#[test]
fn an_agent_answers_for_the_kernel() {
    let Some(container) = Filtered::new("seccomp-notify", "{}", "true") else {
        return;
    };
    let bundle = &container.bundle;
    let path = bundle.host.dir.join("agent.sock");
    let path = path.to_str().unwrap();
    let mut command = Command::new(probe("seccomp-notify").unwrap());
    command.args(["agent", path]);
    let agent = Running::start(command);
    agent.until_stdout("ready", |text| text.contains("ready"));

    let seccomp = format!(
        r#"{{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"{path}","listenerMetadata":"some \"data\"",
        "syscalls":[{}]}}"#,
        [rule("getppid", "NOTIFY", ""), rule("chroot", "NOTIFY", "")].join(",")
    );
    let chroot = kernel::__NR_chroot;
    let script = format!("echo 1 >/started; probe {GETPPID} {chroot},0; sleep 1000");
    container.set(&seccomp, &script, &|spec| {
        *member(member(spec, "process"), "noNewPrivileges") = Value::Bool(false);
    });
    bundle.leave(&["run", "--detach", "--pid-file", "pid", &bundle.id]);
    agent.until_stdout("both calls", |text| {
        text.contains(&format!("call {chroot}"))
    });
    let first = agent.stdout();
    let state = json::parse(
        first
            .lines()
            .find_map(|line| line.strip_prefix("state "))
            .unwrap(),
    );
    let pid = std::fs::read_to_string(format!("{}/pid", bundle.dir)).unwrap();
    assert_eq!(state.text("fds"), r#"["seccompFd"]"#);
    assert_eq!(state.string("metadata"), "some \"data\"");
    assert_eq!(state.number("pid").to_string(), pid);
    assert_eq!(state.string("state.id"), bundle.id);
    assert_eq!(state.number("state.pid").to_string(), pid);
    assert_eq!(state.string("state.bundle"), bundle.dir);

    let call = GETPPID.to_string();
    let exec = ["exec", &bundle.id, "probe", &call, &format!("{chroot},0")];
    assert_eq!(bundle.runtime(&exec), Output::new(0, "4242\n-18\n", ""));
    let second = agent
        .stdout()
        .lines()
        .filter(|line| line.starts_with("state "))
        .count();
    assert_eq!(
        second, 2,
        "the agent gets a listener for each process that is started"
    );
    bundle.runtime(&["delete", "--force", &bundle.id]);
}

#[test]
fn a_program_whose_agent_is_not_there_does_not_run() {
    let seccomp = r#"{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/nowhere/agent.sock",
        "syscalls":[{"names":["getppid"],"action":"SCMP_ACT_NOTIFY"}]}"#;
    let Some(container) = Filtered::new("seccomp-no-agent", seccomp, "sleep 1000") else {
        return;
    };
    container.run().assert_refused(
        1,
        "unable to send the seccomp listener to the agent at /nowhere/agent.sock",
    );
    let without = seccomp.replace("/nowhere/agent.sock", "");
    container.set(&without, "true", &|_| {});
    container
        .run()
        .assert_refused(1, "seccomp listenerPath is not set");
}

#[test]
fn profiles_that_cannot_be_obeyed_are_refused() {
    let Some(container) = Filtered::new("seccomp-refused", "{}", "true") else {
        return;
    };
    for (seccomp, sentence) in [
        (
            r#"{"defaultAction":"SCMP_ACT_MAYBE"}"#,
            "linux.seccomp.defaultAction: string SCMP_ACT_MAYBE is not a valid action for seccomp",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_FLY"]}"#,
            "seccomp flag SECCOMP_FILTER_FLAG_FLY is not known to runc",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["write"],"action":"SCMP_ACT_NOTIFY"}]}"#,
            "SCMP_ACT_NOTIFY cannot be used for the write syscall",
        ),
    ] {
        container.set(seccomp, "true", &|_| {});
        container.run().assert_refused(1, sentence);
    }
    for flags in [
        "[]",
        r#"["SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_SPEC_ALLOW","SECCOMP_FILTER_FLAG_TSYNC",
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]"#,
    ] {
        let seccomp = format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","flags":{flags}}}"#);
        container.prints(
            &seccomp,
            "grep ^Seccomp: /proc/self/status",
            "Seccomp:\t2\n",
        );
    }
    container.prints("{}", "grep ^Seccomp: /proc/self/status", "Seccomp:\t0\n");
}

fn in_engine(host: &Host, options: &[&str], words: &[&str]) -> Output {
    host.tug(&[&["run", "--rm"], options, &[IMAGE], words].concat())
}

const MODE: [&str; 3] = ["grep", "^Seccomp:", "/proc/self/status"];

#[test]
fn containers_have_dockers_profile_unless_they_are_let_go() {
    let host = Host::with_image("seccomp-default");
    let mode = |options: &[&str]| in_engine(&host, options, &MODE).stdout;
    assert_eq!(mode(&[]), "Seccomp:\t2\n");
    assert_eq!(mode(&["-u", "guest"]), "Seccomp:\t2\n");
    assert_eq!(
        mode(&["--security-opt", "seccomp=builtin"]),
        "Seccomp:\t2\n"
    );
    assert_eq!(mode(&["--privileged"]), "Seccomp:\t0\n");
    assert_eq!(
        mode(&["--security-opt", "seccomp=unconfined"]),
        "Seccomp:\t0\n"
    );
    let options = host.get("/info").text("SecurityOptions");
    assert_eq!(
        options,
        r#"["name=seccomp,profile=builtin","name=cgroupns"]"#
    );
    let info = host.tug(&["info"]);
    assert!(
        info.stdout.contains("  seccomp\n   Profile: builtin\n"),
        "{info:?}"
    );

    let denied = in_engine(&host, &[], &["unshare", "-m", "true"]);
    assert_eq!(denied.code, 1, "{denied:?}");
    assert!(
        denied.stderr.contains("Operation not permitted"),
        "{denied:?}"
    );
    let free = [
        "--security-opt",
        "seccomp=unconfined",
        "--cap-add",
        "SYS_ADMIN",
    ];
    for options in [&free[..], &free[2..]] {
        assert_eq!(
            in_engine(&host, options, &["unshare", "-m", "true"]).code,
            0
        );
    }

    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let exec = |options: &[&str]| host.ok(&[&["exec"], options, &["web"], &MODE].concat());
    assert_eq!(exec(&[]), "Seccomp:\t2");
    assert_eq!(exec(&["-u", "guest"]), "Seccomp:\t2");
    assert_eq!(exec(&["--privileged"]), "Seccomp:\t2");
}

#[test]
fn the_default_profile_gives_its_golden_verdicts() {
    let Some(probe) = probe("seccomp-golden") else {
        return;
    };
    let host = Host::with_image("seccomp-golden");
    let volume = format!("{}:/probe:ro", probe.display());
    let verdicts = |options: &[&str], calls: &[(u32, &str)]| {
        let words: Vec<String> = calls
            .iter()
            .map(|(call, args)| format!("{call}{args}"))
            .collect();
        let mut all = vec!["/probe"];
        all.extend(words.iter().map(String::as_str));
        let output = in_engine(&host, &[&["-v", &volume], options].concat(), &all);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
        output.stdout
    };
    let newer = 5000;
    let calls = [
        (SOCKET, ",38,5"),
        (SOCKET, ",40,1"),
        // The same two with a bit that the kernel does not look at.
        (SOCKET, ",0x100000026,5"),
        (SOCKET, ",0x8000000000000028,1"),
        (SOCKET, ",61,1"),
        (kernel::__NR_keyctl, ",0"),
        (kernel::__NR_add_key, ""),
        (kernel::__NR_request_key, ""),
        (kernel::__NR_bpf, ""),
        (kernel::__NR_io_uring_setup, ""),
        (kernel::__NR_userfaultfd, ""),
        (kernel::__NR_personality, ",0x40000"),
        (kernel::__NR_personality, ",0xffffffff"),
        (kernel::__NR_clone3, ""),
        (kernel::__NR_mount, ""),
        (kernel::__NR_setns, ""),
        (kernel::__NR_reboot, ""),
        (kernel::__NR_open_tree, ""),
        (kernel::__NR_ptrace, ",99"),
        (kernel::__NR_mseal, ",1"),
        (newer, ""),
    ];
    assert_eq!(
        verdicts(&[], &calls),
        "-1\n-1\n-1\n-1\n-97\n-1\n-1\n-1\n-1\n-1\n-1\n-1\n0\n-38\n-1\n-1\n-1\n-1\n-3\n-22\n-38\n"
    );
    // clone3 and setns reach the kernel, and chroot without its capability does not.
    let calls = [
        (kernel::__NR_clone3, ""),
        (kernel::__NR_setns, ",999,0"),
        (kernel::__NR_keyctl, ",0"),
    ];
    assert_eq!(
        verdicts(&["--cap-add", "SYS_ADMIN"], &calls),
        "-22\n-9\n-1\n"
    );
    let calls = [(kernel::__NR_chroot, ",0")];
    assert_eq!(verdicts(&[], &calls), "-14\n");
    if cfg!(target_arch = "x86_64") {
        let words = [
            "/probe",
            "x86:20",
            "x86:359,38,5",
            "x86:120,0x10000000",
            "x86:5000",
            "x32:5000",
        ];
        let output = in_engine(&host, &["-v", &volume], &words);
        let answers: Vec<&str> = output.stdout.lines().skip(1).collect();
        assert_eq!(answers, ["-1", "-1", "-38", "-38"], "{output:?}");
    }
}

#[test]
fn a_profile_of_the_users_own_comes_from_a_file() {
    let host = Host::with_image("seccomp-file");
    let profile = host.write(
        "profile.json",
        r#"{
            "defaultAction": "SCMP_ACT_ALLOW",
            "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
            "syscalls": [
                {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30,
                 "comment": "as on a read-only disk", "includes": {}, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
                {"name": "sethostname", "action": "SCMP_ACT_KILL", "includes": {"minKernel": "99.0"}}
            ]
        }"#,
    );
    let option = format!("seccomp={profile}");
    let with = |more: &[&str], words: &[&str]| {
        in_engine(&host, &[&["--security-opt", &option], more].concat(), words)
    };
    let denied = with(&[], &["mkdir", "/x"]);
    assert!(
        denied.stderr.contains("Read-only file system"),
        "{denied:?}"
    );
    assert_eq!(with(&["--cap-add", "SYS_ADMIN"], &["mkdir", "/x"]).code, 0);
    // Even in a privileged container, if it is asked for.
    assert_eq!(with(&["--privileged"], &MODE).stdout, "Seccomp:\t2\n");

    let missing = in_engine(&host, &["--security-opt", "seccomp=/nowhere"], &["true"]);
    missing.assert_refused(125, "opening seccomp profile (/nowhere) failed");
    let broken = host.write("broken.json", "{");
    let option = format!("seccomp={broken}");
    let broken = in_engine(&host, &["--security-opt", &option], &["true"]);
    broken.assert_refused(125, "compacting json for seccomp profile");
    let body = format!(
        r#"{{"Image":"{IMAGE}","Cmd":["true"],"HostConfig":{{"SecurityOpt":["seccomp=/a/file"]}}}}"#
    );
    let reply = host.http("POST", "/containers/create", &body);
    assert_eq!(reply.status, 400, "{reply:?}");
    assert!(
        format!("{reply:?}").contains("Decoding seccomp profile failed"),
        "{reply:?}"
    );
}

#[test]
fn a_kernel_without_filters_runs_what_asks_for_none_and_says_so() {
    let name = "seccomp-blind";
    let Some(probe) = probe(name) else { return };
    let container =
        Filtered::new(name, r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#, "echo ran").unwrap();
    let blind = |command: &Command| {
        let mut blind = Command::new(&probe);
        blind
            .arg("blind")
            .arg(command.get_program())
            .args(command.get_args());
        blind.current_dir(&container.bundle.dir);
        blind
    };
    let bundle = &container.bundle;
    let command = blind(&bundle.command(&["run", &bundle.id]));
    let refused = run(command, b"", PATIENCE);
    refused.assert_refused(1, "seccomp: config provided but seccomp not supported");
    container.set("{}", "echo ran", &|_| {});
    let command = blind(&bundle.command(&["run", &bundle.id]));
    assert_eq!(run(command, b"", PATIENCE), Output::new(0, "ran\n", ""));

    let mut host = Host::without_engine("seccomp-blind-engine");
    let words = host.engine_command();
    let mut command = Command::new(&probe);
    command.arg("blind").args(&words);
    host.start_engine_as(command);
    host.import(IMAGE, &rootfs::busybox());
    assert_eq!(
        host.get("/info").text("SecurityOptions"),
        r#"["name=cgroupns"]"#
    );
    let warnings = host.get("/info").text("Warnings");
    assert!(
        warnings.contains("WARNING: No seccomp support"),
        "{warnings}"
    );
    assert_eq!(
        in_engine(&host, &[], &["echo", "ran"]),
        Output::new(0, "ran\n", "")
    );
    let profile = host.write("profile.json", "{}");
    let option = format!("seccomp={profile}");
    in_engine(&host, &["--security-opt", &option], &["true"]).assert_refused(
        125,
        "seccomp is not enabled in your kernel, cannot run a custom seccomp profile",
    );
}
