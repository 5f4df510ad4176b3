//! What an image says about itself never steers the engine: labels, signals, health checks, volumes
//! and ports of a stranger's making have no effect outside the fields that Docker documents.

use crate::harness::rootfs::{Archive, busybox, docker_archive, gzip};
use crate::harness::{Host, PATIENCE, command};
use std::process::Command;

/// Load an image with this configuration, or say how it was refused.
fn load(host: &Host, config: &str) -> command::Output {
    let archive = docker_archive("hostile:latest", &[busybox()], config);
    let mut client = host.client(&host.binary, &["load"]);
    client.stdin(std::process::Stdio::piped());
    command::run(client, &archive, PATIENCE)
}

#[test]
fn labels_are_nothing_but_labels() {
    let host = Host::with_image("labels");
    let marker = host.dir.join("marker");
    let names = [
        "tug.restart",
        "tug.privileged",
        "tug.runtime",
        "tug.log",
        "containerd.io/gc.root",
        "io.containerd.runc.v2.options",
        "com.docker.compose.project",
        "org.opencontainers.image.ref.name",
        "run.oci.hooks.stderr",
        "run.oci.handler",
    ];
    let value = format!("/bin/touch {}", marker.display());
    let labels: Vec<String> = names.map(|name| format!("\"{name}\":\"{value}\"")).to_vec();
    let config = format!(
        r#"{{"Cmd":["sleep","1000"],"Labels":{{{}}}}}"#,
        labels.join(",")
    );
    assert_eq!(load(&host, &config).code, 0);
    host.ok(&["run", "-d", "--name", "web", "hostile"]);
    assert_eq!(host.inspect("web", "HostConfig.Privileged"), "false");
    assert_eq!(
        host.inspect("web", "HostConfig.RestartPolicy.Name"),
        "\"no\""
    );
    assert_eq!(host.inspect("web", "HostConfig.Runtime"), "\"tug\"");
    let bundle = host.exec_root().join("containers");
    let id = host.ok(&["ps", "-q", "--no-trunc"]);
    let spec = std::fs::read_to_string(bundle.join(id).join("bundle/config.json")).unwrap();
    assert!(
        !spec.contains("touch"),
        "labels reach the runtime, which may obey annotations: {spec}"
    );
    assert!(!marker.exists());
}

#[test]
fn a_stop_signal_that_is_none_is_refused() {
    let host = Host::with_image("stop-signal");
    for (signal, is_good) in [
        ("SIGQUIT", true),
        ("SIGNOPE", false),
        ("99999999999", false),
        ("9; reboot", false),
        ("-1", false),
    ] {
        let config = format!(r#"{{"Cmd":["true"],"StopSignal":"{signal}"}}"#);
        assert_eq!(load(&host, &config).code, 0);
        let output = host.tug(&["create", "hostile"]);
        match is_good {
            true => assert_eq!(output.code, 0, "{signal}: {output:?}"),
            false => output.assert_refused(1, "invalid signal"),
        }
    }
}

#[test]
fn a_health_check_of_the_image_runs_inside_and_within_bounds() {
    let host = Host::with_image("image-health");
    let canary = host.write("canary", "untouched");
    for (test, interval) in [
        // Times below Docker's least, negative ones, and absurd ones.
        (r#"["CMD-SHELL","echo ran > CANARY"]"#, "100000000"),
        (r#"["CMD-SHELL","exit 1"]"#, "9223372036854775807"),
        (r#"["CMD","/proc/self/exe"]"#, "1000000000"),
        (r#"["NONE"]"#, "0"),
        (r#"[]"#, "0"),
    ] {
        let test = test.replace("CANARY", &canary);
        let config = format!(
            r#"{{"Cmd":["sleep","1000"],"Healthcheck":{{"Test":{test},"Interval":{interval}}}}}"#
        );
        assert_eq!(load(&host, &config).code, 0);
        let output = host.tug(&["run", "-d", "--name", "web", "hostile"]);
        if output.code == 0 {
            host.until_state("web", "running");
            host.ok(&["rm", "-f", "web"]);
        } else {
            assert!(output.stderr.contains("ealth"), "{test}: {output:?}");
            host.tug(&["rm", "-f", "web"]);
        }
    }
    for (interval, word) in [("-1", "Interval"), ("5", "Interval")] {
        let config = format!(
            r#"{{"Cmd":["sleep","1000"],"Healthcheck":{{"Test":["CMD","true"],"Interval":{interval}}}}}"#
        );
        assert_eq!(load(&host, &config).code, 0);
        let output = host.tug(&["create", "hostile"]);
        output.assert_refused(1, word);
    }
    assert_eq!(std::fs::read_to_string(&canary).unwrap(), "untouched");
}

#[test]
fn volumes_and_ports_of_the_image_cannot_name_the_host() {
    let host = Host::with_image("image-volumes");
    let outside = host.make_dir("outside");
    for volumes in [
        format!(r#"{{"../../..{outside}":{{}}}}"#),
        format!(r#"{{"/proc/1/root{outside}":{{}}}}"#),
        r#"{"/proc":{}}"#.to_string(),
        r#"{"":{}}"#.to_string(),
        r#"{"/a:/b":{}}"#.to_string(),
    ] {
        let ports = r#"{"99999/tcp":{},"x/y/z":{},"80/tcp":{}}"#;
        let config = format!(
            r#"{{"Cmd":["sh","-c","ls {outside} 2>/dev/null"],"Volumes":{volumes},"ExposedPorts":{ports}}}"#
        );
        assert_eq!(load(&host, &config).code, 0);
        let output = host.tug(&["run", "--rm", "hostile"]);
        assert_eq!(output.stdout, "", "{volumes}: {output:?}");
        assert_eq!(
            std::fs::read_dir(&outside).unwrap().count(),
            0,
            "{volumes}: something was made in a directory of the host"
        );
    }
}

/// A tar header for `size` bytes at `path`.
fn header(path: &str, size: u64) -> [u8; 512] {
    let mut header = tar::Header::new_ustar();
    header.set_path(path).unwrap();
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    *header.as_bytes()
}

/// Ten gigabytes of zeros, in ten megabytes.
fn zeros(count: usize) -> Vec<u8> {
    gzip(&vec![0; 16 << 20]).repeat(count)
}

#[test]
fn bombs_of_every_kind_end_in_bounded_memory_and_leave_nothing() {
    let mut host = Host::without_engine("bombs");
    host.make_dir("data");
    let mount = format!(
        "mount -t tmpfs -o size=96m,nr_inodes=20000 bombs {} && exec \"$@\"",
        host.data_root().display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &mount, "sh"]);
    command.args(host.engine_command());
    host.start_engine_as(command);
    let peak = |host: &Host| {
        let path = format!("/proc/{}/status", host.engine_pid());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let number = line.unwrap().split_whitespace().nth(1).unwrap();
        number.parse::<u64>().unwrap()
    };
    let before = peak(&host);

    let empty: Vec<u8> = (0..30_000)
        .flat_map(|n| header(&format!("f{n}"), 0))
        .collect();
    let again: Vec<u8> = (0..1000)
        .flat_map(|n| header(&format!("d{}/", n % 9), 0))
        .collect();
    let end = gzip(&[0; 1024]);
    let window = [&[0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3], &[1, 0, 0][..]].concat();
    let deep = |byte: &str| {
        let mut archive = Archive::new();
        archive.file("manifest.json", 0o644, byte.repeat(1 << 20));
        archive.finish()
    };
    let full = "No space left on device";
    for (what, verb, bytes, sentence) in [
        (
            "a large file",
            "import",
            [gzip(&header("f", 10 << 30)), zeros(640)].concat(),
            full,
        ),
        ("many files", "import", gzip(&empty), full),
        (
            "a large window",
            "import",
            window,
            "more than 64 MiB of memory",
        ),
        ("deep lists", "load", deep("["), "load: "),
        ("deep objects", "load", deep("{\"a\":"), "load: "),
        (
            "a file behind the end",
            "load",
            zeros(4),
            "neither manifest.json nor index.json",
        ),
    ] {
        let args = match verb {
            "import" => vec!["import", "-", "bomb"],
            verb => vec![verb],
        };
        let output = host.tug_with_input(&args, &bytes);
        assert!(
            output.code != 0 && output.stderr.contains(sentence),
            "{what}: {output:?}"
        );
        let root = host.data_root();
        let layers = format!("/proc/{}/root{}/layers", host.engine_pid(), root.display());
        assert_eq!(std::fs::read_dir(layers).unwrap().count(), 0, "{what}");
    }
    // What is only long is taken: 64 MiB of padding, and directories said 50 000 times.
    for bytes in [
        [gzip(&header("f", 0)), end.clone(), zeros(4)].concat(),
        [gzip(&again).repeat(50), end].concat(),
    ] {
        let output = host.tug_with_input(&["import", "-", "long"], &bytes);
        assert_eq!(output.code, 0, "{output:?}");
    }
    let growth = peak(&host) - before;
    assert!(growth < 32 << 10, "the engine grew by {growth} kB");
}
