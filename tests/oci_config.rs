//! `config.json`: what it says of a process is what the process has, and what makes no sense is
//! refused with its name, before anything is made.

use crate::harness::bundle::Bundle;
use crate::harness::command::Output;
use crate::harness::eventually;

/// Run `script` with these members set; what it printed.
#[track_caller]
fn run(bundle: &Bundle, script: &str, members: &[(&str, &str)]) -> Output {
    prepare(bundle, script, members);
    bundle.runtime(&["run", &bundle.id])
}

fn prepare(bundle: &Bundle, script: &str, members: &[(&str, &str)]) {
    bundle.script(script);
    for (path, value) in members {
        bundle.set(path, value);
    }
}

/// `run` fails before anything is made, and says `sentence`.
#[track_caller]
fn assert_refused(bundle: &Bundle, members: &[(&str, &str)], sentence: &str) {
    let config = std::fs::read_to_string(bundle.config()).unwrap();
    let output = run(bundle, "echo ran", members);
    std::fs::write(bundle.config(), config).unwrap();
    assert!(
        output.code != 0 && output.stdout.is_empty() && output.stderr.contains(sentence),
        "{members:?}: {sentence:?} is not in {output:?}"
    );
    assert_eq!(bundle.runtime(&["list", "-q"]), Output::new(0, "", ""));
}

/// The words after `name:` in a text like /proc/PID/status.
fn field(text: &str, name: &str) -> String {
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name}:")));
    found
        .unwrap_or_else(|| panic!("no {name} in {text}"))
        .trim()
        .to_string()
}

#[test]
fn user_groups_umask_and_rights_are_as_asked() {
    let bundle = Bundle::new("config-user");
    let script = "cat /proc/self/status; umask; cat /proc/self/oom_score_adj";
    let output = run(
        &bundle,
        script,
        &[
            (
                "process.user",
                r#"{"uid":1000,"gid":1001,"umask":63,"additionalGids":[5,6]}"#,
            ),
            (
                "process.capabilities",
                r#"{"bounding":["CAP_KILL","CAP_CHOWN","CAP_NET_RAW"],"permitted":["CAP_KILL","CAP_CHOWN"],
                   "effective":["CAP_KILL"],"inheritable":["CAP_KILL"],"ambient":["CAP_KILL","CAP_NET_RAW"]}"#,
            ),
            ("process.noNewPrivileges", "true"),
            ("process.oomScoreAdj", "123"),
        ],
    );
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
    let status = &output.stdout;
    assert_eq!(field(status, "Uid"), "1000\t1000\t1000\t1000");
    assert_eq!(field(status, "Gid"), "1001\t1001\t1001\t1001");
    assert_eq!(field(status, "Groups"), "5 6");
    // Beyond the permitted and the inheritable ones nothing becomes ambient.
    assert_eq!(field(status, "CapBnd"), "0000000000002021");
    assert_eq!(field(status, "CapInh"), "0000000000000020");
    assert_eq!(field(status, "CapPrm"), "0000000000000020");
    assert_eq!(field(status, "CapEff"), "0000000000000020");
    assert_eq!(field(status, "CapAmb"), "0000000000000020");
    assert_eq!(field(status, "NoNewPrivs"), "1");
    assert!(status.ends_with("\n0077\n123\n"), "{status}");
}

#[test]
fn all_capabilities_are_those_that_we_have() {
    let bundle = Bundle::new("config-caps");
    let all: Vec<String> = (0..41).map(|n| format!("\"{}\"", NAMES[n])).collect();
    let all = format!("[{}]", all.join(","));
    let sets = format!(r#"{{"bounding":{all},"permitted":{all},"effective":{all}}}"#);
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let output = run(
        &bundle,
        "cat /proc/self/status",
        &[("process.capabilities", &sets)],
    );
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(field(&output.stdout, "CapBnd"), field(&own, "CapBnd"));
    assert_eq!(field(&output.stdout, "CapEff"), field(&own, "CapPrm"));
    assert_eq!(field(&output.stdout, "CapInh"), "0000000000000000");

    // Of a newer kernel than ours: told, and gone without.
    let unknown = r#"{"bounding":["CAP_KILL","CAP_TIME_TRAVEL"],"permitted":["CAP_KILL"]}"#;
    let output = run(
        &bundle,
        "grep CapBnd /proc/self/status",
        &[("process.capabilities", unknown)],
    );
    assert_eq!(output.stdout, "CapBnd:\t0000000000000020\n");
    assert!(
        output
            .stderr
            .contains("ignoring unknown or unavailable capabilities: [CAP_TIME_TRAVEL]"),
        "{output:?}"
    );
}

const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

#[test]
fn resource_limits_are_as_asked() {
    let bundle = Bundle::new("config-rlimits");
    let limits = r#"[{"type":"RLIMIT_NOFILE","soft":100,"hard":200},
        {"type":"RLIMIT_CORE","soft":0,"hard":18446744073709551615},
        {"type":"RLIMIT_CPU","soft":77,"hard":78}]"#;
    let output = run(
        &bundle,
        "cat /proc/self/limits",
        &[("process.rlimits", limits)],
    );
    assert_eq!(output.code, 0, "{output:?}");
    let line = |name: &str| {
        let found = output
            .stdout
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap();
        found[name.len()..]
            .split_whitespace()
            .take(2)
            .map(String::from)
            .collect::<Vec<_>>()
    };
    assert_eq!(line("Max open files"), ["100", "200"]);
    assert_eq!(line("Max core file size"), ["0", "unlimited"]);
    assert_eq!(line("Max cpu time"), ["77", "78"]);

    let none = r#"[{"type":"RLIMIT_NOFILES","soft":1,"hard":1}]"#;
    assert_refused(
        &bundle,
        &[("process.rlimits", none)],
        "wrong rlimit value: RLIMIT_NOFILES",
    );
    let upside = r#"[{"type":"RLIMIT_CPU","soft":2,"hard":1}]"#;
    assert_refused(
        &bundle,
        &[("process.rlimits", upside)],
        "error setting rlimit type 0: invalid argument",
    );
}

/// Fields 18 (priority), 19 (nice), 40 (real-time priority) and 41 (policy) of /proc/self/stat.
const SCHEDULING: &str = "cut -d' ' -f 19,40,41 /proc/$$/stat; ionice";

#[test]
fn scheduler_and_io_priority_are_as_asked_for_the_first_process_and_for_others() {
    let bundle = Bundle::new("config-sched");
    for (scheduler, io, expected) in [
        (
            r#"{"policy":"SCHED_OTHER","nice":7}"#,
            r#"{"class":"IOPRIO_CLASS_BE","priority":2}"#,
            "7 0 0\nbest-effort: prio 2\n",
        ),
        (
            r#"{"policy":"SCHED_BATCH","nice":-3,"flags":["SCHED_FLAG_RESET_ON_FORK"]}"#,
            r#"{"class":"IOPRIO_CLASS_RT","priority":5}"#,
            "-3 0 3\nrealtime: prio 5\n",
        ),
        (
            r#"{"policy":"SCHED_FIFO","priority":9}"#,
            r#"{"class":"IOPRIO_CLASS_IDLE"}"#,
            "0 9 1\nidle\n",
        ),
        (
            r#"{"policy":"SCHED_IDLE"}"#,
            "null",
            "0 0 5\nnone: prio 0\n",
        ),
    ] {
        let members = [("process.scheduler", scheduler), ("process.ioPriority", io)];
        assert_eq!(
            run(&bundle, SCHEDULING, &members),
            Output::new(0, expected, ""),
            "{scheduler}"
        );
    }
    let deadline = r#"{"policy":"SCHED_DEADLINE","runtime":10000000,"deadline":20000000,"period":30000000,
        "flags":["SCHED_FLAG_RESET_ON_FORK"]}"#;
    let output = run(
        &bundle,
        "cut -d' ' -f 41 /proc/$$/stat",
        &[
            ("process.scheduler", deadline),
            ("process.ioPriority", "null"),
        ],
    );
    assert!(
        output == Output::new(0, "6\n", "") || output.stderr.contains("error setting scheduler"),
        "{output:?}"
    );

    // What joins has its own.
    prepare(&bundle, "sleep 1000", &[("process.scheduler", "null")]);
    bundle.leave(&["run", "--detach", &bundle.id]);
    let process = format!(
        r#"{{"cwd":"/","args":["sh","-c","{SCHEDULING}; cat /proc/self/oom_score_adj"],"env":["PATH=/bin"],
            "scheduler":{{"policy":"SCHED_RR","priority":4}},"oomScoreAdj":321,
            "ioPriority":{{"class":"IOPRIO_CLASS_BE","priority":1}}}}"#
    );
    let file = format!("{}/process.json", bundle.dir);
    std::fs::write(&file, process).unwrap();
    let output = bundle.runtime(&["exec", "--process", &file, &bundle.id]);
    assert_eq!(
        output,
        Output::new(0, "0 4 2\nbest-effort: prio 1\n321\n", "")
    );
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).code, 0);
}

#[test]
fn a_process_that_joins_runs_on_the_cpus_asked_for() {
    let bundle = Bundle::new("config-cpus");
    prepare(&bundle, "sleep 1000", &[]);
    bundle.leave(&["run", "--detach", &bundle.id]);
    let file = format!("{}/process.json", bundle.dir);
    let exec = |affinity: &str| {
        let process = format!(
            r#"{{"cwd":"/","args":["grep","Cpus_allowed_list","/proc/self/status"],"env":["PATH=/bin"],
                "execCPUAffinity":{affinity}}}"#
        );
        std::fs::write(&file, process).unwrap();
        bundle.runtime(&["exec", "--process", &file, &bundle.id])
    };
    let on = |list: &str| Output::new(0, &format!("Cpus_allowed_list:\t{list}\n"), "");
    assert_eq!(exec(r#"{"initial":"0"}"#), on("0"));
    assert_eq!(exec(r#"{"final":"0"}"#), on("0"));
    let all = std::fs::read_to_string("/proc/self/status").unwrap();
    let all = field(&all, "Cpus_allowed_list");
    assert_eq!(exec("{}"), on(&all));
    if all != "0" {
        assert_eq!(
            exec(&format!(r#"{{"initial":"0","final":"{all}"}}"#)),
            on(&all)
        );
    }
    let refused = exec(r#"{"final":"0-"}"#);
    refused.assert_refused(
        refused.code,
        "bad CPU affinity: invalid number or range: 0-",
    );
    let refused = exec(r#"{"initial":"1023"}"#);
    refused.assert_refused(refused.code, "error setting initial CPU affinity");
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).code, 0);
}

#[test]
fn personality_and_memory_policy_are_every_process_s() {
    let bundle = Bundle::new("config-policy");
    let script = "cat /proc/self/personality; head -n 1 /proc/self/numa_maps | cut -d ' ' -f 2";
    let members = [
        ("linux.personality", r#"{"domain":"LINUX32"}"#),
        (
            "linux.memoryPolicy",
            r#"{"mode":"MPOL_BIND","nodes":"0","flags":["MPOL_F_STATIC_NODES"]}"#,
        ),
    ];
    if !std::path::Path::new("/proc/self/numa_maps").exists() {
        println!("skipped: this kernel is built without NUMA");
        return;
    }
    let expected = Output::new(0, "00000008\nbind=static:0\n", "");
    assert_eq!(run(&bundle, script, &members), expected);

    prepare(&bundle, "sleep 1000", &members);
    bundle.leave(&["run", "--detach", &bundle.id]);
    let output = bundle.runtime(&["exec", &bundle.id, "sh", "-c", script]);
    assert_eq!(output, expected);
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).code, 0);

    let members = [
        ("linux.personality", "null"),
        (
            "linux.memoryPolicy",
            r#"{"mode":"MPOL_INTERLEAVE","nodes":"0"}"#,
        ),
    ];
    assert_eq!(
        run(&bundle, script, &members).stdout,
        "00000000\ninterleave:0\n"
    );
    let far = r#"{"mode":"MPOL_BIND","nodes":"1000"}"#;
    assert_refused(
        &bundle,
        &[("linux.memoryPolicy", far)],
        "error setting memory policy: set_mempolicy 2: Invalid argument",
    );
}

#[test]
fn sysctls_of_the_containers_namespaces_are_set_and_others_refused() {
    let bundle = Bundle::new("config-sysctl");
    let before = std::fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").unwrap();
    let output = run(
        &bundle,
        "cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/msgmax /proc/sys/fs/mqueue/msg_max",
        &[(
            "linux.sysctl",
            r#"{"net.ipv4.ip_default_ttl":"77","kernel/msgmax":"5000","fs.mqueue.msg_max":"11"}"#,
        )],
    );
    assert_eq!(output, Output::new(0, "77\n5000\n11\n", ""));
    let after = std::fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").unwrap();
    assert_eq!(before, after);
    for (sysctl, sentence) in [
        (
            "vm.swappiness",
            "sysctl \"vm.swappiness\" is not in a separate kernel namespace",
        ),
        (
            "kernel.hostname",
            "sysctl \"kernel.hostname\" is not allowed as it conflicts with the OCI \"hostname\" field",
        ),
        (
            "net/../kernel/panic",
            "is not in a separate kernel namespace",
        ),
    ] {
        let list = format!(r#"{{"{sysctl}":"1"}}"#);
        assert_refused(&bundle, &[("linux.sysctl", &list)], sentence);
    }
    // With the host's network, by absence or by path, its sysctls stay as they are.
    let host = r#"[{"type":"mount"},{"type":"pid"},{"type":"network","path":"/proc/self/ns/net"}]"#;
    let members = [
        ("linux.namespaces", host),
        ("hostname", "null"),
        ("linux.sysctl", r#"{"net.ipv4.ip_default_ttl":"77"}"#),
    ];
    assert_refused(
        &bundle,
        &members,
        "sysctl \"net.ipv4.ip_default_ttl\" not allowed in host network namespace",
    );
    let nonsense = r#"{"net.ipv4.no_such_thing":"1"}"#;
    assert_refused(
        &bundle,
        &[("linux.sysctl", nonsense)],
        "/proc/sys/net/ipv4/no_such_thing: No such file or directory",
    );
}

#[test]
fn the_environment_is_as_given_with_the_last_of_each_name_and_a_home() {
    let bundle = Bundle::new("config-env");
    let environ = |members: &[(&str, &str)]| {
        bundle.script("");
        bundle.set("process.args", r#"["cat","/proc/self/environ"]"#);
        for (path, value) in members {
            bundle.set(path, value);
        }
        let output = bundle.runtime(&["run", &bundle.id]);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
        output.stdout
    };
    let variables = r#"["A=1","PATH=/none","B=x=y","A=2","EMPTY=","PATH=/bin"]"#;
    assert_eq!(
        environ(&[("process.env", variables)]),
        "B=x=y\0A=2\0EMPTY=\0PATH=/bin\0HOME=/root\0"
    );
    let members = [
        ("process.env", r#"["HOME=","PATH=/bin"]"#),
        ("process.user", r#"{"uid":1000,"gid":1000}"#),
    ];
    assert_eq!(environ(&members), "PATH=/bin\0HOME=/home/guest\0");
    let members = [("process.env", r#"["HOME=/x","PATH=/bin"]"#)];
    assert_eq!(environ(&members), "HOME=/x\0PATH=/bin\0");
}

#[test]
fn a_working_directory_is_made_and_a_relative_one_refused() {
    let bundle = Bundle::new("config-cwd");
    let output = run(&bundle, "pwd", &[("process.cwd", "\"/new/deep/one\"")]);
    assert_eq!(output, Output::new(0, "/new/deep/one\n", ""));
    for (cwd, sentence) in [
        ("\"\"", "Cwd property must not be empty"),
        ("null", "Cwd property must not be empty"),
        ("\"tmp\"", "Cwd must be an absolute path"),
        ("\"/bin/busybox\"", "/bin/busybox"),
        ("\"/a\\u0000b\"", "process.cwd holds a zero byte"),
    ] {
        assert_refused(&bundle, &[("process.cwd", cwd)], sentence);
    }
}

#[test]
fn what_this_kernel_lacks_is_refused_clearly() {
    let bundle = Bundle::new("config-lacks");
    if !std::path::Path::new("/sys/module/apparmor").exists() {
        let sentence = "apparmor: config provided but apparmor not supported";
        assert_refused(
            &bundle,
            &[("process.apparmorProfile", "\"docker-default\"")],
            sentence,
        );
    }
    if !std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        let label = "\"system_u:system_r:svirt_lxc_net_t:s0:c1,c2\"";
        let sentence =
            "selinux label is specified in config, but selinux is disabled or not supported";
        assert_refused(&bundle, &[("process.selinuxLabel", label)], sentence);
        assert_refused(&bundle, &[("linux.mountLabel", label)], "linux.mountLabel");
    }
    assert_refused(
        &bundle,
        &[(
            "linux.intelRdt",
            r#"{"closID":"guaranteed","memBwSchema":"MB:0=20"}"#,
        )],
        "linux.intelRdt is specified in config, but Intel RDT is not supported",
    );
    // An empty label is none.
    let none = [
        ("process.apparmorProfile", "\"\""),
        ("process.selinuxLabel", "\"\""),
    ];
    assert_eq!(run(&bundle, "echo ran", &none), Output::new(0, "ran\n", ""));
}

#[test]
fn nonsense_is_refused_by_its_name_and_nothing_is_made() {
    let bundle = Bundle::new("config-nonsense");
    for (path, value, sentence) in [
        ("ociVersion", "null", "ociVersion is missing"),
        ("ociVersion", "\"3.0.0\"", "ociVersion \"3.0.0\""),
        ("ociVersion", "1.0", "ociVersion cannot be this number"),
        ("root", "null", "root must be specified"),
        ("root.path", "\"\"", "root.path is missing"),
        ("root.path", "\"nowhere\"", "nowhere"),
        ("process", "null", "process property must not be empty"),
        ("process.args", "[]", "args must not be empty"),
        ("process.args", "null", "args must not be empty"),
        (
            "process.args",
            "[\"\"]",
            "executable file not found in $PATH",
        ),
        (
            "process.args",
            "\"sh\"",
            "process.args cannot be this string",
        ),
        (
            "process.env",
            "[\"A\"]",
            "invalid environment variable: missing '='",
        ),
        (
            "process.oomScoreAdj",
            "2000",
            "process.oomScoreAdj must be in the range",
        ),
        (
            "process.user.uid",
            "-1",
            "process.user.uid cannot be this number",
        ),
        ("hostname", "\"a\\u0000b\"", "hostname holds a zero byte"),
        ("hostname", "{}", "hostname cannot be an object"),
        ("mounts", "{}", "mounts cannot be an object"),
        (
            "mounts",
            r#"[{"destination":"/a","options":["ro",7]}]"#,
            "mounts[0].options[1] cannot be this number",
        ),
        (
            "mounts",
            r#"[{"destination":"/a","type":"tmpfs","options":["size=\u00001"]}]"#,
            "mounts[0].options[0] holds a zero byte",
        ),
        (
            "linux.resources",
            r#"{"hugepageLimits":[{"pageSize":"64kB","limit":1}]}"#,
            "linux.resources.hugepageLimits[0].pageSize \"64kB\"",
        ),
        (
            "linux.resources",
            r#"{"memory":{"limit":"1g"}}"#,
            "linux.resources.memory.limit cannot be this string",
        ),
        (
            "linux.netDevices",
            r#"{"eth0":{"name":5}}"#,
            "linux.netDevices.eth0.name cannot be this number",
        ),
        (
            "linux.rootfsPropagation",
            "\"x\"",
            "rootfsPropagation=x is not supported",
        ),
        (
            "hooks.createRuntime",
            r#"[{"path":"/bin/true"},{"path":"true"}]"#,
            "hooks.createRuntime[1]: path must be an absolute path",
        ),
        (
            "hooks.poststart",
            r#"[{"path":"/bin/true","timeout":-1}]"#,
            "hooks.poststart[0]: timeout must be greater than zero",
        ),
    ] {
        assert_refused(&bundle, &[(path, value)], sentence);
    }
}

#[test]
fn the_smallest_config_can_be_created_and_with_a_process_run() {
    let bundle = Bundle::new("config-small");
    let config = |more: &str| {
        let text = format!(r#"{{"ociVersion":"1.0.0","root":{{"path":"rootfs"}}{more}}}"#);
        std::fs::write(bundle.config(), text).unwrap();
    };
    config("");
    bundle.leave(&["create", &bundle.id]);
    assert_eq!(bundle.status(), "created");
    let output = bundle.runtime(&["start", &bundle.id]);
    output.assert_refused(output.code, "process property must not be empty");
    bundle.leave(&["delete", "--force", &bundle.id]);

    config(r#","process":{"cwd":"/","args":["/bin/echo","ran"],"user":{"uid":0,"gid":0}}"#);
    assert_eq!(
        bundle.runtime(&["run", &bundle.id]),
        Output::new(0, "ran\n", "")
    );
}

#[test]
fn a_monster_of_a_config_is_run_or_refused_and_never_a_crash() {
    let bundle = Bundle::new("config-monster");
    bundle.script("");
    bundle.set("process.args", "[\"env\"]");
    bundle.set("process.env", "[\"PATH=/bin\"]");
    let bare = "PATH=/bin\nHOME=/root\n";
    let good = std::fs::read_to_string(bundle.config()).unwrap();
    let run_text = |text: &str| {
        std::fs::write(bundle.config(), text).unwrap();
        bundle.runtime(&["run", &bundle.id])
    };
    let raw = |member: &str| good.replacen('{', &format!("{{{member},"), 1);

    // Megabytes that mean nothing, and more of them than anybody needs.
    let note = |mib: usize| format!("\"annotations\":{{\"n\":\"{}\"}}", "x".repeat(mib << 20));
    assert_eq!(run_text(&raw(&note(7))), Output::new(0, bare, ""));
    run_text(&raw(&note(10))).assert_refused(1, "config.json is larger than 8 MiB");

    // 100,000 small variables are within what execve(2) takes, 2 MiB; beyond it says so.
    let variables = |value: &str| {
        let list: Vec<String> = (0..100_000).map(|n| format!("\"V{n}={value}\"")).collect();
        let env = format!("\"PATH=/bin\",{}", list.join(","));
        run_text(&good.replace("\"PATH=/bin\"", &env))
    };
    let output = variables("1");
    assert_eq!((output.code, output.lines().len()), (0, 100_002));
    let output = variables("a value of some length");
    output.assert_refused(output.code, "argument list too long");

    let deep = format!("\"deep\":{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let wide = format!(
        "\"hostname\":{}\"a\"{}",
        "{\"a\":".repeat(10_000),
        "}".repeat(10_000)
    );
    for (text, sentence) in [
        (raw(&deep), "nested too deeply"),
        (raw(&wide), "nested too deeply"),
        (raw("\"x\":NaN"), "expected a value"),
        (raw("\"x\":Infinity"), "expected a value"),
        (raw("\"x\":1,\"x\""), "expected ':'"),
        (raw("\"x\":\"\u{1}\""), "control character in a string"),
        (
            good.replace("\"hostname\":\"", "\"hostname\":9e999,\"x\":\""),
            "hostname",
        ),
        (good[..good.len() / 2].to_string(), "invalid JSON"),
        ("[".repeat(1 << 20), "nested too deeply"),
        (String::new(), "unexpected end"),
        ("null".to_string(), "invalid JSON"),
    ] {
        let output = run_text(&text);
        assert!(
            output.code != 0 && output.stdout.is_empty() && output.stderr.contains(sentence),
            "{sentence}: {output:?}"
        );
    }
    let mut bytes = good.clone().into_bytes();
    bytes.splice(1..1, b"\"x\":\"\xff\xfe\",".iter().copied());
    std::fs::write(bundle.config(), &bytes).unwrap();
    let output = bundle.runtime(&["run", &bundle.id]);
    output.assert_refused(output.code, "not UTF-8");

    // Said twice: the last counts, as in Go. Numbers that nobody asks for may be any.
    let output = run_text(&raw("\"hostname\":\"first\",\"new\":[1e300,-0]"));
    assert_eq!(output, Output::new(0, bare, ""));
    assert_eq!(bundle.runtime(&["list", "-q"]), Output::new(0, "", ""));
}

#[test]
fn a_missing_part_is_told_with_runcs_sentence() {
    let bundle = Bundle::new("config-missing");
    bundle.script("true");
    let id = bundle.id.as_str();
    let told = |args: &[&str], sentence: &str| {
        let output = bundle.runtime(args);
        assert!(
            output.code != 0 && output.stdout.is_empty() && output.stderr.contains(sentence),
            "{args:?}: {sentence:?} is not in {output:?}"
        );
    };
    told(
        &["run", "--bundle", "/no/such/bundle", id],
        "/no/such/bundle",
    );
    told(&["run", "--bundle", "/tmp", id], "config.json not found");
    told(&["start", "nobody"], "container does not exist");
    told(&["exec", "nobody", "true"], "container does not exist");
    for bad in ["a/b", "..", "../x", "a b"] {
        told(&["run", bad], "invalid container ID format");
    }
    bundle.leave(&["create", id]);
    told(&["run", id], "container with given ID already exists");
    bundle.leave(&["delete", "--force", id]);
    eventually("it is gone", || bundle.runtime(&["state", id]).code != 0);
    bundle.set("process.args", r#"["/no/such/program"]"#);
    told(
        &["run", id],
        "exec: \"/no/such/program\": stat /no/such/program: no such file or directory",
    );
    bundle.set("process.args", r#"["nosuch"]"#);
    told(
        &["run", id],
        "exec: \"nosuch\": executable file not found in $PATH",
    );
}
