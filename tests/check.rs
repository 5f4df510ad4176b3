//! `tug check`: this kernel, and others by their configuration, against what tug needs and uses; and
//! that whoever meets a missing feature names it in the same words.

use crate::harness::command::{Output, run};
use crate::harness::rootfs::gzip;
use crate::harness::{Host, IMAGE, PATIENCE, json, skip};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A kernel that has all: what the table itself says, so that no name stands here twice.
fn whole(host: &Host, version: &str) -> String {
    let bare = config(host, version, "");
    let output = host.tug(&["check", "--config", &bare, "--emit", "config", "--all"]);
    assert_eq!(output.code, 0, "{output:?}");
    output.stdout
}

/// A file in the form of a kernel's configuration.
fn config(host: &Host, version: &str, rest: &str) -> String {
    let head = format!(
        "#\n# Automatically generated file; DO NOT EDIT.\n# Linux/arm64 {version} Kernel Configuration\n#\nCONFIG_64BIT=y\n"
    );
    written(host, "config", format!("{head}{rest}").as_bytes())
}

fn written(host: &Host, name: &str, content: &[u8]) -> String {
    let path = host.dir.join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

fn check(host: &Host, file: &str) -> Output {
    host.tug(&["check", "--config", file])
}

/// The line of an option.
fn line<'a>(output: &'a Output, option: &str) -> &'a str {
    let start = format!("- CONFIG_{option}: ");
    let found = output.stdout.lines().find(|line| line.starts_with(&start));
    found.unwrap_or_else(|| panic!("{option} is not in {}", output.stdout))
}

#[test]
fn a_kernel_that_has_all_is_good_and_one_without_namespaces_is_not() {
    let host = Host::without_engine("check-good");
    let good = whole(&host, "6.12.0");
    let output = check(&host, &config(&host, "6.12.0", &good));
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
    assert!(!output.stdout.contains("missing"), "{}", output.stdout);
    assert!(
        output
            .stdout
            .contains("\nGenerally Necessary:\n- Linux 5.10 or newer: 6.12\n")
    );
    assert_eq!(line(&output, "MEMCG"), "- CONFIG_MEMCG: enabled");
    // A pipe is no terminal.
    assert!(!output.stdout.contains('\x1b'));

    let lacking = good.replace("CONFIG_PID_NS=y", "# CONFIG_PID_NS is not set");
    let output = check(&host, &config(&host, "6.12.0", &lacking));
    assert_eq!(output.code, 1, "{output:?}");
    assert_eq!(line(&output, "PID_NS"), "- CONFIG_PID_NS: missing");
}

#[test]
fn what_is_not_necessary_costs_something_and_no_more() {
    let host = Host::without_engine("check-optional");
    let all = whole(&host, "6.1.0")
        .replace("CONFIG_OVERLAY_FS=y\n", "")
        .replace("CONFIG_VETH=y", "CONFIG_VETH=m");
    let output = check(&host, &config(&host, "6.1.0", &all));
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(line(&output, "VETH"), "- CONFIG_VETH: enabled (as module)");
    assert!(
        output.stdout.contains(
            "- CONFIG_OVERLAY_FS: missing\n    layers cannot be stacked; instead: each container gets a copy of its image (--storage-driver vfs)\n"
        ),
        "{}",
        output.stdout
    );
}

#[test]
fn a_kernel_older_than_the_floor_is_not_good() {
    let host = Host::without_engine("check-old");
    let all = whole(&host, "5.4.0");
    let output = check(&host, &config(&host, "5.4.0", &all));
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output
            .stdout
            .contains("- Linux 5.10 or newer: 5.4 is too old\n")
    );
    assert!(
        output
            .stdout
            .contains("- cgroup.kill (Linux 5.14): missing\n")
    );
    // Of the names of an option the one that such a kernel knows.
    assert!(all.contains("CONFIG_MEMCG_SWAP=y\n"), "{all}");
    assert!(whole(&host, "6.1.0").contains("CONFIG_SWAP=y\n"));
}

#[test]
fn a_fragment_makes_the_kernel_good() {
    let host = Host::without_engine("check-emit");
    let bad = "CONFIG_NAMESPACES=y\n# CONFIG_NET_NS is not set\nCONFIG_VETH=m\n";
    for (form, mark) in [
        ("config", "merge_config.sh"),
        ("buildroot", "BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES"),
        ("yocto", "KERNEL_FEATURES:append = \" tug.scc\""),
    ] {
        let file = config(&host, "6.12.0", bad);
        assert_eq!(check(&host, &file).code, 1);
        let fragment = host.ok(&["check", "--config", &file, "--emit", form]);
        assert!(fragment.contains(mark), "{fragment}");
        // Only what is missing, and nothing but comments and options.
        assert!(!fragment.contains("CONFIG_NAMESPACES") && !fragment.contains("CONFIG_VETH"));
        for line in fragment.lines().filter(|line| !line.is_empty()) {
            assert!(
                line.starts_with('#') || line.starts_with("CONFIG_") && line.ends_with("=y"),
                "{line}"
            );
        }
        let file = config(&host, "6.12.0", &format!("{bad}{fragment}\n"));
        let output = check(&host, &file);
        assert_eq!(output.code, 0, "{output:?}");
        assert_eq!(line(&output, "NET_NS"), "- CONFIG_NET_NS: enabled");
        assert_eq!(line(&output, "VETH"), "- CONFIG_VETH: enabled (as module)");
        // Nothing is left to say but what helps to look for faults.
        let rest = host.ok(&["check", "--config", &file, "--emit", form]);
        assert!(!rest.contains("\nCONFIG_"), "{rest}");
    }
    let refused = host.tug(&["check", "--emit", "make"]);
    refused.assert_refused(125, "config, buildroot or yocto");
    host.tug(&["check", "--all"])
        .assert_refused(125, "--all needs --emit");
}

#[test]
fn a_packed_configuration_is_read_as_it_is() {
    let host = Host::without_engine("check-gzip");
    let all = whole(&host, "6.6.1");
    let plain = config(&host, "6.6.1", &all);
    let packed = gzip(&std::fs::read(&plain).unwrap());
    let whole = check(&host, &written(&host, "config", &packed));
    assert_eq!(whole.code, 0, "{whole:?}");
    let torn = check(&host, &written(&host, "torn", &packed[..packed.len() / 2]));
    assert_eq!((torn.code, torn.stdout.as_str()), (1, ""), "{torn:?}");
    assert!(torn.stderr.starts_with("tug: read "), "{torn:?}");
}

#[test]
fn what_is_no_configuration_is_refused() {
    let host = Host::without_engine("check-garbage");
    let mut noise: Vec<u8> = (0..200_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for (name, content) in [
        ("empty", &b""[..]),
        ("text", b"Hello, world!\n"),
        ("json", b"{\"CONFIG_NET_NS\": \"y\"}"),
        ("noise", &noise),
        ("packed-nothing", &gzip(b"")),
    ] {
        let output = check(&host, &written(&host, name, content));
        output.assert_refused(1, "is not a kernel configuration");
    }
    noise.splice(..2, [0x1f, 0x8b]);
    let output = check(&host, &written(&host, "broken", &noise));
    assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{output:?}");
    check(&host, "/no/such/file").assert_refused(1, "read /no/such/file: No such file");
    check(&host, "/").assert_refused(1, "read /: ");
    // What never ends is not read to its end, packed or not.
    check(&host, "/dev/zero").assert_refused(1, "more than 8 MiB");
    let bomb = gzip(&vec![b'\n'; 64 << 20]);
    let output = check(&host, &written(&host, "bomb", &bomb));
    output.assert_refused(1, "more than 8 MiB");
}

#[test]
fn json_says_the_same() {
    let host = Host::without_engine("check-json");
    let file = config(&host, "6.1.0", "CONFIG_NET_NS=y\nCONFIG_VETH=m\n");
    let output = host.tug(&["check", "--config", &file, "--format", "json"]);
    assert_eq!(output.code, 1, "{output:?}");
    let report = json::parse(&output.stdout);
    assert_eq!(report.string("Source"), file);
    assert_eq!(report.string("Version"), "6.1");
    assert_eq!(report.text("Sufficient"), "false");
    let features = json::parse(&report.text("Features")).items();
    let state = |name: &str| {
        let found = features.iter().find(|one| one.string("Name") == name);
        found.unwrap_or_else(|| panic!("{name}")).string("State")
    };
    assert_eq!(state("CONFIG_NET_NS"), "enabled");
    assert_eq!(state("CONFIG_VETH"), "enabled (as module)");
    assert_eq!(state("CONFIG_BRIDGE"), "missing");
    let template = ["check", "--config", &file, "--format", "{{.Version}}"];
    assert_eq!(host.tug(&template).stdout, "6.1\n");
}

/// `script` in a mount namespace of its own, as in a rescue shell.
fn in_namespace(script: &str) -> Output {
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-ec", script]);
    run(command, b"", PATIENCE)
}

#[test]
fn the_running_kernel_is_good_whether_it_tells_its_configuration_or_not() {
    let host = Host::without_engine("check-running");
    let binary = host.binary.display();
    let told = host.tug(&["check"]);
    assert_eq!((told.code, told.stderr.as_str()), (0, ""), "{told:?}");
    for title in ["Control groups", "Limits of the system"] {
        assert!(
            told.stdout.contains(&format!("\n{title}:\n- ")),
            "{}",
            told.stdout
        );
    }

    // Where it tells nothing it is asked, and says of none that it has that it is missing.
    let hide = "for file in /proc/config.gz /boot/config-$(uname -r); do \
        [ ! -e $file ] || mount --bind /dev/null $file; done; \
        [ ! -d /lib/modules ] || mount -t tmpfs none /lib/modules;";
    let asked = in_namespace(&format!("{hide} exec '{binary}' check"));
    assert_eq!((asked.code, asked.stderr.as_str()), (0, ""), "{asked:?}");
    if !told.stdout.contains("reading kernel config from /") {
        return skip(
            "check-running",
            "this kernel does not tell its configuration",
        );
    }
    assert!(
        asked.stdout.contains("from the kernel itself"),
        "{}",
        asked.stdout
    );
    let states = |output: &Output| -> Vec<(String, String)> {
        let rows = output.stdout.lines().filter_map(|line| {
            let (name, state) = line.strip_prefix("- CONFIG_")?.split_once(": ")?;
            Some((name.to_string(), state.to_string()))
        });
        rows.collect()
    };
    let asked = states(&asked);
    // A module that lies nowhere is missing, and these can be built in and switched off.
    let is_off = [
        "SECURITY_APPARMOR",
        "SECURITY_SELINUX",
        "MAGIC_SYSRQ",
        "MODULES",
        "IKCONFIG_PROC",
    ];
    for (name, state) in states(&told) {
        let (_, other) = asked.iter().find(|(known, _)| *known == name).unwrap();
        let is_same = match state.as_str() {
            "missing" => other != "enabled",
            "enabled" => other != "missing" || is_off.contains(&name.as_str()),
            _ => true,
        };
        assert!(
            is_same,
            "{name}: {state} by its configuration, {other} by asking"
        );
    }
}

#[test]
fn a_data_root_is_tried() {
    let host = Host::without_engine("check-disk");
    let (binary, dir) = (host.binary.display(), host.dir.join("disk"));
    std::fs::create_dir(&dir).unwrap();
    let dir = dir.display();
    let tried =
        |before: &str| in_namespace(&format!("{before} exec '{binary}' check --data-root {dir}"));
    let good = tried(&format!("mount -t tmpfs none {dir};"));
    assert_eq!(good.code, 0, "{good:?}");
    let sentence = format!("- {dir} is on tmpfs\n- layers can be stacked (overlay2)\n");
    assert!(good.stdout.contains(&sentence), "{}", good.stdout);
    let bad = tried(&format!("mount -t ramfs none {dir};"));
    for sentence in [
        format!("- {dir} is on ramfs\n- each container gets a copy of its image (vfs): "),
        "- d_type: names tell what they are of: supported\n- trusted attributes: missing\n"
            .to_string(),
    ] {
        assert!(bad.stdout.contains(&sentence), "{}", bad.stdout);
    }
    // Nothing is left of the trial.
    assert_eq!(std::fs::read_dir(host.dir.join("disk")).unwrap().count(), 0);
    let missing = host.tug(&["check", "--data-root", "/no/such/dir"]);
    assert!(
        missing.stdout.contains("/no/such/dir"),
        "{}",
        missing.stdout
    );
}

/// The command line and the table of controllers are a board's with the memory controller off.
#[test]
fn a_board_without_its_memory_controller_is_told_what_to_boot_with() {
    let host = Host::without_engine("check-board");
    let binary = host.binary.display();
    let line = written(
        &host,
        "cmdline",
        b"console=ttyS0 cgroup_disable=memory quiet\n",
    );
    let table = written(
        &host,
        "cgroups",
        b"#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t0\t9\t1\nmemory\t0\t9\t0\n",
    );
    let boot = host.dir.join("firmware");
    std::fs::create_dir(&boot).unwrap();
    std::fs::write(boot.join("cmdline.txt"), "console=ttyS0\n").unwrap();
    let output = in_namespace(&format!(
        "mount --bind {line} /proc/cmdline; mount --bind {table} /proc/cgroups; \
         mount -t tmpfs none /boot; mkdir /boot/firmware; mount --bind {} /boot/firmware; \
         exec '{binary}' check",
        boot.display()
    ));
    if output.stdout.contains("- memory: available") {
        return skip("check-board", "memory is on cgroup v2 here");
    }
    for sentence in [
        "- memory: missing (the memory controller is switched off: boot with cgroup_enable=memory)\n",
        "cgroup_enable=memory cgroup_memory=1\n",
        "- boot without cgroup_disable=memory, if you can: switches controllers off\n",
        "- add to the line in /boot/firmware/cmdline.txt: cgroup_",
    ] {
        assert!(output.stdout.contains(sentence), "{output:?}");
    }
}

/// All files below `dir`.
fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => files(&entry.path(), found),
            false => found.push(entry.path()),
        }
    }
}

#[test]
fn no_option_of_the_kernel_is_named_but_by_the_table() {
    let mut all = Vec::new();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    files(&src, &mut all);
    for path in all
        .iter()
        .filter(|path| !path.starts_with(src.join("kernel")))
        // Writes them all into fragments.
        .filter(|path| !path.ends_with("client/kernel/fragment.rs"))
    {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        for (number, line) in text.lines().enumerate() {
            // Constants of ours that end so are none of the kernel's.
            let names = line.match_indices("CONFIG_").any(|(at, _)| {
                let before = line[..at].chars().next_back().unwrap_or(' ');
                let rest = &line[at + 7..];
                let is_own = ["BYTES_MAX", "TYPE", "TYPES"]
                    .iter()
                    .any(|own| rest.starts_with(own));
                !before.is_ascii_alphanumeric() && before != '_' && !is_own
            });
            // What a test expects is the sentence as users see it.
            let is_expected = line.contains("see `tug check`");
            assert!(
                !names || is_expected,
                "{}:{}: {line}",
                path.display(),
                number + 1
            );
        }
    }
}

#[test]
fn what_this_kernel_lacks_is_named_in_refusals() {
    let host = Host::in_network("check-refusals");
    let has = |kind: &str| host.network().knows(kind);
    let mut tried = 0;
    for (is_there, args, option) in [
        (
            has("dummy"),
            &["-d", "macvlan", "--internal"][..],
            "CONFIG_DUMMY, module dummy",
        ),
        (
            has("vlan id 7"),
            &["-d", "macvlan", "-o", "parent=lo.7"],
            "CONFIG_VLAN_8021Q, module 8021q",
        ),
    ] {
        if is_there {
            continue;
        }
        tried += 1;
        let output = host.tug(&[&["network", "create"], args, &["lab"]].concat());
        output.assert_refused(1, &format!("(this kernel lacks {option}: see `tug check`)"));
    }
    assert_eq!(
        host.ok(&["network", "ls", "-q", "--filter", "type=custom"]),
        ""
    );
    // A file system that nobody has.
    host.ok(&[
        "volume",
        "create",
        "-o",
        "type=nosuchfs",
        "-o",
        "device=x",
        "odd",
    ]);
    let output = host.tug(&["run", "--rm", "-v", "odd:/x", IMAGE, "true"]);
    assert_eq!(output.code, 125, "{output:?}");
    let sentence = "(this kernel does not know nosuchfs: see `tug check`)";
    assert!(output.stderr.contains(sentence), "{output:?}");
    if tried == 0 {
        skip("check-refusals", "this kernel has VLANs and dummy links");
    }
}

#[test]
fn the_engine_says_at_its_start_what_info_says() {
    let host = Host::new("check-start");
    let info = host.get("/info").text("Warnings");
    let log = host.engine_log();
    for warning in json::parse(&info)
        .items()
        .iter()
        .map(|item| item.string(""))
    {
        if !warning.contains("storage driver") {
            assert!(log.contains(&warning), "{warning}: {log}");
            assert!(warning.contains("see `tug check`)"), "{warning}");
        }
    }
}
