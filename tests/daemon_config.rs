//! daemon.json and the flags of the engine.

use crate::harness::command::{self, Output};
use crate::harness::{Host, PATIENCE};
use std::process::Command;

/// Run the engine to its end, which should be near.
fn refused(host: &Host, file: &str, flags: &[&str]) -> Output {
    host.write("daemon.json", file);
    let line = host.engine_command();
    let mut engine = Command::new(&line[0]);
    engine.args(&line[1..]).args(flags);
    command::run(engine, b"", PATIENCE)
}

#[test]
fn the_file_configures_the_engine_and_info_shows_it() {
    let mut host = Host::without_engine("daemon-json");
    host.write(
        "daemon.json",
        r#"{"labels": ["place=roof"], "debug": true, "live-restore": true,
            "runtimes": {"other": {"path": "/usr/bin/other"}}, "features": {"new": true},
            "registry-mirrors": ["https://mirror"], "insecure-registries": ["old:5000", "10.0.0.0/8"]}"#,
    );
    host.start_engine();
    let info = host.get("/info");
    assert_eq!(info.text("Labels"), r#"["place=roof"]"#);
    assert_eq!(info.text("Debug"), "true");
    assert_eq!(info.text("LiveRestoreEnabled"), "true");
    assert_eq!(info.text("Runtimes.other.path"), r#""/usr/bin/other""#);
    assert_eq!(
        info.text("RegistryConfig.Mirrors"),
        r#"["https://mirror/"]"#
    );
    assert_eq!(
        info.text("RegistryConfig.InsecureRegistryCIDRs"),
        r#"["10.0.0.0/8"]"#
    );
    let old = info.text("RegistryConfig.IndexConfigs.old:5000.Secure");
    assert_eq!(old, "false");
    // What has no effect yet is said, not promised.
    let log = host.engine_log();
    assert!(log.contains("tugd: --feature has no effect yet\n"), "{log}");
    assert!(log.contains("GET /info: 200"), "{log}");
}

#[test]
fn what_the_engine_cannot_follow_is_refused_in_one_line() {
    let host = Host::without_engine("daemon-json-refused");
    let file = host.dir.join("daemon.json");
    let file = file.display();
    for (content, flags, sentence) in [
        (
            r#"{"colour": "red"}"#,
            &[][..],
            "the following directives don't match any configuration option: colour",
        ),
        (
            r#"{"labels": ["a=b"]}"#,
            &["--label", "a=c"],
            "the following directives are specified both as a flag and in the configuration file: \
             labels: (from flag: [a=c], from file: [a=b])",
        ),
        (r#"{"debug": 1}"#, &[], "debug must be true or false, not 1"),
        (
            r#"{"debug": true"#,
            &[],
            "configuration: invalid JSON: line 1, column 15: unexpected end",
        ),
    ] {
        let output = refused(&host, content, flags);
        let expected = format!(
            "tug engine: unable to configure the Docker daemon with file {file}: {sentence}\n"
        );
        assert_eq!((output.code, output.stderr), (1, expected), "{content}");
    }
    let output = refused(&host, "{}", &["--debug=perhaps"]);
    assert_eq!(output.code, 125);
    assert!(
        output
            .stderr
            .contains("invalid argument \"perhaps\" for \"-D, --debug\" flag")
    );
    // Nothing was made before the refusal.
    assert!(!host.data_root().exists() && !host.exec_root().exists());
}

#[test]
fn validate_checks_and_starts_nothing() {
    let host = Host::without_engine("daemon-json-validate");
    let output = refused(&host, r#"{"debug": true}"#, &["--validate"]);
    assert_eq!(
        (output.code, output.stderr.as_str(), output.stdout.as_str()),
        (0, "configuration OK\n", "")
    );
    assert_ne!(
        refused(&host, r#"{"debugg": true}"#, &["--validate"]).code,
        0
    );
    assert!(!host.data_root().exists());

    let mut engine = Command::new(&host.binary);
    engine.args([
        "engine",
        "--validate",
        "--config-file",
        "/nonexistent/daemon.json",
    ]);
    let output = command::run(engine, b"", PATIENCE);
    assert_eq!(output.code, 1);
    assert!(
        output
            .stderr
            .contains("read /nonexistent/daemon.json: No such file"),
        "{output:?}"
    );
}
