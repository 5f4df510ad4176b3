//! What an image says about itself never steers the engine: labels, signals, health checks, volumes
//! and ports of a stranger's making have no effect outside the fields that Docker documents.

use crate::harness::rootfs::{busybox, docker_archive};
use crate::harness::{Host, PATIENCE, command};

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
