//! Accounts at registries: proved, kept where `config.json` says, shown to nobody else. And what
//! registries say without a pull.

use crate::harness::command::{Output, Running, run};
use crate::harness::liar::{Liar, reply};
use crate::harness::registry::{Options, PASSWORD, Registry, USER, is_installed};
use crate::harness::rootfs::sha256;
use crate::harness::{Host, PATIENCE, has_new_docker_client, json, skip};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

/// An engine, and a registry with a password, unless there is none on this machine.
fn start(name: &'static str) -> Option<(Host, Registry)> {
    if !is_installed() {
        skip(
            &format!("login: {name}"),
            "docker-registry is not installed",
        );
        return None;
    }
    let options = Options {
        has_password: true,
        ..Options::default()
    };
    Some((Host::new(name), Registry::start_with(&options)))
}

fn config_file(host: &Host) -> PathBuf {
    host.dir.join(".docker/config.json")
}

fn config(host: &Host) -> String {
    std::fs::read_to_string(config_file(host)).unwrap_or_default()
}

fn write_config(host: &Host, text: &str) {
    std::fs::create_dir_all(host.dir.join(".docker")).unwrap();
    std::fs::write(config_file(host), text).unwrap();
}

fn mode(path: PathBuf) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn log_in(host: &Host, server: &str, password: &str) -> Output {
    let args = ["login", "-u", USER, "--password-stdin", server];
    host.tug_with_input(&args, format!("{password}\n").as_bytes())
}

const WARNING: &str = "Configure a credential helper to remove this warning.";

#[test]
fn an_account_is_proved_kept_for_its_owner_and_forgotten() {
    let Some((host, registry)) = start("login-file") else {
        return;
    };
    let server = registry.host();
    let refused = log_in(&host, &server, "wrong");
    refused.assert_refused(1, "failed with status: 401 Unauthorized");
    assert!(!config_file(&host).exists());

    let output = log_in(&host, &server, PASSWORD);
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (0, "Login Succeeded\n")
    );
    assert!(output.stderr.contains(WARNING), "{output:?}");
    let kept = config(&host);
    // base64 of tester:canary-of-the-registry
    let auth = "dGVzdGVyOmNhbmFyeS1vZi10aGUtcmVnaXN0cnk=";
    let expected = format!(
        "{{\n\t\"auths\": {{\n\t\t\"{server}\": {{\n\t\t\t\"auth\": \"{auth}\"\n\t\t}}\n\t}}\n}}"
    );
    assert_eq!(kept, expected);
    assert_eq!(mode(config_file(&host)), 0o600);
    assert_eq!(mode(host.dir.join(".docker")), 0o700);

    // It serves the next login; what is known already is not written or warned of again.
    let before = std::fs::metadata(config_file(&host))
        .unwrap()
        .modified()
        .unwrap();
    let output = host.tug(&["login", &server]);
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (0, "Login Succeeded\n")
    );
    assert!(
        output
            .stderr
            .contains("existing credentials... [Username: tester]"),
        "{output:?}"
    );
    assert!(!output.stderr.contains(WARNING), "{output:?}");
    let after = std::fs::metadata(config_file(&host))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(before, after);

    // What other programs have written there stays, readable for its owner alone.
    let more = kept.replacen(
        '{',
        "{\n\t\"currentContext\":\"default\", \"plugins\": {\"x\": [1]},",
        1,
    );
    write_config(&host, &more);
    std::fs::set_permissions(config_file(&host), PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(
        log_in(&host, &format!("http://{server}/v1/"), PASSWORD).code,
        0
    );
    let goodbye = format!("Removing login credentials for {server}");
    assert_eq!(host.ok(&["logout", &server]), goodbye);
    let text = config(&host);
    let left = json::parse(&text);
    assert_eq!(
        (left.text("auths"), left.text("plugins.x")),
        ("{}".into(), "[1]".into())
    );
    assert_eq!(left.string("currentContext"), "default");
    assert_eq!(mode(config_file(&host)), 0o600);
    let names = std::fs::read_dir(host.dir.join(".docker")).unwrap().count();
    assert_eq!(names, 1, "something is left beside it");
}

#[test]
fn what_cannot_be_read_is_not_overwritten() {
    let Some((host, registry)) = start("login-broken") else {
        return;
    };
    write_config(&host, "{\"auths\": {");
    let output = log_in(&host, &registry.host(), PASSWORD);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stderr.contains("Error saving credentials: "),
        "{output:?}"
    );
    assert_eq!(config(&host), "{\"auths\": {");
}

#[test]
fn who_cannot_type_says_it_all_on_the_command_line() {
    let host = Host::new("login-options");
    for (args, sentence) in [
        (
            &["login", "-u", "", "-p", "x", "h"][..],
            "username is empty",
        ),
        (&["login", "-u", "x", "-p", "", "h"], "password is empty"),
        (
            &["login", "-u", "x", "-p", "y", "--password-stdin", "h"],
            "conflicting options: cannot specify both --password and --password-stdin",
        ),
        (
            &["login", "--password-stdin", "h"],
            "the --password-stdin option requires --username to be set",
        ),
        (
            &["login", "-u", "x", "h"],
            "Error: Cannot perform an interactive login from a non TTY device",
        ),
        (
            &["login", "h"],
            "Error: Cannot perform an interactive login from a non TTY device",
        ),
    ] {
        host.tug(args).assert_refused(1, sentence);
    }
}

#[test]
fn a_typed_password_does_not_show() {
    let Some((host, registry)) = start("login-typed") else {
        return;
    };
    let server = registry.host();
    let command = host.client(&host.binary, &["login", &server]);
    let (mut client, keys) = Running::on_a_terminal(command);
    client.until_stdout("the question", |text| text.contains("Username: "));
    rustix::io::write(&keys, format!("{USER}\r").as_bytes()).unwrap();
    client.until_stdout("the question", |text| text.contains("Password: "));
    // With a mistake that is taken back.
    rustix::io::write(&keys, format!("{PASSWORD}x\x7f\r").as_bytes()).unwrap();
    let output = client.wait(PATIENCE);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.ends_with("Login Succeeded\r\n"), "{output:?}");
    assert!(!output.stdout.contains("canary"), "{output:?}");
    assert!(config(&host).contains(&server));
}

/// A helper program that keeps one secret in a file, and notes what it is asked.
const HELPER: &str = "#!/bin/sh
cd \"$(dirname \"$0\")\" && said=$(cat) && echo \"$1 $said\" >>asked
case $1 in
get) [ -f kept ] && cat kept || { echo 'credentials not found in native keychain'; exit 1; } ;;
store) echo \"$said\" >kept ;;
erase) rm -f kept ;;
esac";

/// Put `docker-credential-NAME` where the client finds it; its directory.
fn helper(host: &Host, name: &str, script: &str) -> String {
    let dir = host.make_dir("helpers");
    let path = format!("{dir}/docker-credential-{name}");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    dir
}

fn with_helpers(host: &Host, dir: &str, args: &[&str], input: &str) -> Output {
    let mut command: Command = host.client(&host.binary, args);
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{dir}:{path}"));
    run(command, input.as_bytes(), PATIENCE)
}

#[test]
fn a_helper_program_keeps_the_secret() {
    let Some((host, registry)) = start("login-helper") else {
        return;
    };
    let server = registry.host();
    let dir = helper(&host, "lab", HELPER);
    write_config(&host, "{\"credsStore\":\"lab\",\"psFormat\":\"table\"}");
    let asked = || std::fs::read_to_string(format!("{dir}/asked")).unwrap_or_default();

    let args = ["login", "-u", USER, "--password-stdin", &server];
    let output = with_helpers(&host, &dir, &args, PASSWORD);
    assert_eq!(output, Output::new(0, "Login Succeeded\n", ""));
    let secret = format!(
        "store {{\"ServerURL\":\"{server}\",\"Username\":\"{USER}\",\"Secret\":\"{PASSWORD}\"}}\n"
    );
    assert_eq!(asked(), secret);
    let entry = json::parse(&config(&host)).text("auths");
    assert_eq!(entry, format!("{{\"{server}\":{{}}}}"));

    // The registry knows us by it.
    let name = format!("{server}/nothing:1");
    let output = with_helpers(&host, &dir, &["manifest", "inspect", &name], "");
    output.assert_refused(1, &format!("no such manifest: {name}"));
    assert!(asked().ends_with(&format!("get {server}\n")), "{}", asked());

    assert_eq!(with_helpers(&host, &dir, &["logout", &server], "").code, 0);
    assert!(
        asked().contains(&format!("erase {server}\n")),
        "{}",
        asked()
    );
    assert!(!std::path::Path::new(&format!("{dir}/kept")).exists());
    // Who is unknown to the helper comes as nobody, and this registry takes nobody.
    let output = with_helpers(&host, &dir, &["manifest", "inspect", &name], "");
    assert_eq!(output.code, 1, "{output:?}");
    assert!(!output.stderr.contains("no such manifest"), "{output:?}");
}

/// CVE-2021-41092.
#[test]
fn a_helper_that_fails_is_an_error_and_nobody_is_asked() {
    let host = Host::new("login-bad-helper");
    let registry = Liar::start(|_| reply(200, "", "{}"));
    let server = format!("127.0.0.1:{}", registry.port);
    let script = "#!/bin/sh\necho the vault is on fire; exit 1";
    let dir = helper(&host, "bad", script);
    let name = format!("{server}/x");
    for (helper, sentence) in [
        (
            "bad",
            "error getting credentials - err: exit status 1, out: `the vault is on fire`",
        ),
        (
            "none",
            "error getting credentials - err: exec: \"docker-credential-none\": executable file not \
             found in $PATH, out: ``",
        ),
    ] {
        // An account beside it must not take the helper's place.
        let auth = format!("\"auths\":{{\"{server}\":{{\"auth\":\"bWU6cHc=\"}}}}");
        for member in [
            format!("\"credsStore\":\"{helper}\""),
            format!("\"credHelpers\":{{\"{server}\":\"{helper}\"}}"),
        ] {
            write_config(&host, &format!("{{{member},{auth}}}"));
            for args in [&["manifest", "inspect", &name][..], &["login", &server]] {
                with_helpers(&host, &dir, args, "").assert_refused(1, sentence);
            }
        }
    }
    assert!(registry.heard().is_empty(), "{:?}", registry.heard());
}

/// CHECKS: secrets.
#[test]
fn a_password_shows_in_no_log_no_event_and_no_error() {
    let Some((mut host, registry)) = start("login-secret") else {
        return;
    };
    // With all that it has to say.
    host.stop_engine();
    let mut line = host.engine_command();
    line.push("--debug".to_string());
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]);
    host.start_engine_as(command);

    let server = registry.host();
    let output = log_in(&host, &server, PASSWORD);
    assert_eq!(output.code, 0, "{output:?}");
    let name = format!("{server}/nothing:1");
    let answers = [
        host.tug(&["manifest", "inspect", &name]),
        host.tug(&["search", &name]),
        log_in(&host, &format!("127.0.0.1:1/{PASSWORD}"), PASSWORD),
    ];
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let events = host.http(
        "GET",
        &format!("/events?since=1&until={}", now.unwrap().as_secs()),
        "",
    );
    let encoded = "dGVzdGVyOmNhbmFyeS1vZi10aGUtcmVnaXN0cnk";
    for secret in [PASSWORD, encoded] {
        assert!(!host.engine_log().contains(secret), "{}", host.engine_log());
        assert!(!events.body.contains(secret), "{}", events.body);
        for answer in &answers {
            assert!(!answer.stderr.contains(secret), "{answer:?}");
        }
    }
    assert!(
        host.engine_log().contains("POST /v1.51/auth: 200"),
        "it has not logged the request"
    );

    // A body or a header that is none is not shown either.
    let (status, message) = host.http("POST", "/auth", &format!("{{{PASSWORD}")).error();
    assert_eq!(
        (status, message.as_str()),
        (400, "invalid JSON of an account")
    );
}

/// A manifest and its configuration; and a list with that manifest in it.
pub fn documents() -> [(String, &'static str, String); 2] {
    let config = r#"{"architecture":"arm","variant":"v7","os":"linux","rootfs":{}}"#;
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:{}","size":{}}},"layers":[]}}"#,
        sha256(config.as_bytes()),
        config.len()
    );
    [
        (
            config.to_string(),
            "application/octet-stream",
            sha256(config.as_bytes()),
        ),
        (
            manifest.clone(),
            "application/vnd.oci.image.manifest.v1+json",
            sha256(manifest.as_bytes()),
        ),
    ]
}

/// A registry with these documents, and with `list` under the tag `list`.
pub fn registry_with(list: String) -> Liar {
    let [config, manifest] = documents();
    Liar::start(move |heard| {
        let find = |name: &str| match name.rsplit(['/', ':']).next().unwrap_or_default() {
            "list" => Some((list.clone(), "application/vnd.oci.image.index.v1+json")),
            "one" => Some((manifest.0.clone(), manifest.1)),
            digits if *digits == manifest.2 => Some((manifest.0.clone(), manifest.1)),
            digits if *digits == config.2 => Some((config.0.clone(), config.1)),
            "v2" | "" => Some(("{}".to_string(), "application/json")),
            _ => None,
        };
        match find(&heard.target) {
            Some((text, kind)) => reply(200, &format!("Content-Type: {kind}\r\n"), text),
            None => reply(
                404,
                "Content-Type: application/json\r\n",
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
            ),
        }
    })
}

#[test]
fn manifests_are_looked_at_without_a_pull() {
    let host = Host::new("manifest");
    let [_, (manifest, _, digits)] = documents();
    let entry = format!(
        r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{digits}","size":{},"platform":{{"architecture":"arm","os":"linux","variant":"v7"}}}}"#,
        manifest.len()
    );
    let list = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{entry}]}}"#
    );
    let registry = registry_with(list.clone());
    let name = format!("127.0.0.1:{}/lab/x", registry.port);
    let inspect = |args: &[&str]| host.ok(&[&["manifest", "inspect"], args].concat());
    let plain = |text: &str| json::parse(&format!("{{\"x\":{text}}}")).text("x");

    assert_eq!(plain(&inspect(&[&format!("{name}:one")])), plain(&manifest));
    assert!(inspect(&[&format!("{name}:one")]).starts_with("{\n\t\"schemaVersion\": 2,\n"));
    assert_eq!(
        plain(&inspect(&["--insecure", &format!("{name}:list")])),
        plain(&list)
    );
    let whole = json::parse(&inspect(&["-v", &format!("{name}:list")]));
    let whole = &whole.items()[0];
    assert_eq!(whole.string("Ref"), format!("{name}:list@sha256:{digits}"));
    assert_eq!(whole.text("OCIManifest"), plain(&manifest));
    assert_eq!(whole.string("Descriptor.platform.variant"), "v7");
    let one = json::parse(&inspect(&["-v", &format!("{name}:one")]));
    assert_eq!(one.string("Descriptor.platform.architecture"), "arm");

    let missing = format!("{name}:missing");
    host.tug(&["manifest", "inspect", &missing])
        .assert_refused(1, &format!("no such manifest: {missing}"));
    for tag in ["one", "list"] {
        let told = host.get(&format!("/distribution/{name}:{tag}/json"));
        let platform = r#"[{"architecture":"arm","os":"linux","variant":"v7"}]"#;
        assert_eq!(told.text("Platforms"), platform, "{tag}");
    }
    let told = host.get(&format!("/distribution/{name}:one/json"));
    assert_eq!(told.string("Descriptor.digest"), format!("sha256:{digits}"));
}

const FOUND: &str = r#"{"num_results":3,"results":[
    {"name":"lab/big","description":"A big\nimage with a description that goes on and on and on","star_count":100,"is_official":true},
    {"name":"lab/small","description":"","star_count":5,"is_official":false,"is_automated":true},
    {"name":"none","star_count":0,"is_official":false}]}"#;

#[test]
fn a_search_prints_dockers_table() {
    let host = Host::new("search");
    let registry = Liar::start(|heard| match heard.target.starts_with("/v1/search?") {
        true => reply(200, "Content-Type: application/json\r\n", FOUND),
        false => reply(404, "", ""),
    });
    let term = format!("127.0.0.1:{}/lab", registry.port);
    let all = host.ok(&["search", &term]);
    assert_eq!(
        all,
        "NAME        DESCRIPTION                                     STARS     OFFICIAL\n\
         lab/big     A big image with a description that goes on …   100       [OK]\n\
         lab/small                                                   5         \n\
         none                                                        0         "
    );
    let whole = host.ok(&["search", "--no-trunc", "--limit", "7", &term]);
    assert!(whole.contains("on and on and on"), "{whole}");
    let targets: Vec<String> = registry
        .heard()
        .into_iter()
        .map(|heard| heard.target)
        .collect();
    assert_eq!(targets, ["/v1/search?q=lab&n=25", "/v1/search?q=lab&n=7"]);

    let names = |filter: &str| host.ok(&["search", "-f", filter, "--format", "{{.Name}}", &term]);
    assert_eq!(names("stars=5"), "lab/big\nlab/small");
    assert_eq!(names("is-official=false"), "lab/small\nnone");
    let refused = |args: &[&str], sentence: &str| {
        host.tug(&[&["search"], args, &[&term]].concat())
            .assert_refused(1, sentence);
    };
    refused(&["-f", "stars=x"], "invalid filter 'stars=x'");
    refused(&["-f", "colour=red"], "invalid filter 'colour'");
    refused(
        &["--limit", "200"],
        "limit 200 is outside the range of [1, 100]",
    );
    if has_new_docker_client() {
        for args in [
            &["search", &term][..],
            &["search", "--format", "json", &term],
        ] {
            let docker = host.docker(args).unwrap().stdout;
            assert_eq!(docker, host.tug(args).stdout, "{args:?}");
        }
    }
}
