//! One binary, many names.

use crate::harness::command::{Output, run};
use crate::harness::{Host, PATIENCE, binary};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Every name, and the part that it selects.
const NAMES: [(&str, &str); 16] = [
    ("tug", "client"),
    ("docker", "client"),
    ("tugd", "engine"),
    ("dockerd", "engine"),
    ("tug-boot", "boot"),
    ("tug-shim", "shim"),
    ("containerd-shim", "shim"),
    ("tug-runtime", "runtime"),
    ("runc", "runtime"),
    ("tug-init", "init"),
    ("docker-init", "init"),
    ("tini", "init"),
    ("tug-proxy", "proxy"),
    ("docker-proxy", "proxy"),
    ("tug-ctr", "ctr"),
    ("ctr", "ctr"),
];

const PARTS: [&str; 7] = ["engine", "boot", "shim", "runtime", "init", "proxy", "ctr"];

const VERBS: [&str; 22] = [
    "run", "ps", "logs", "exec", "stop", "kill", "rm", "wait", "images", "rmi", "import", "load",
    "inspect", "events", "version", "info", "history", "port", "rename", "stats", "tag", "top",
];

fn call(program: &Path, name: &str, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.arg0(name).args(args).env_clear();
    run(command, b"", PATIENCE)
}

/// The help of the part behind `name`, which tells the parts apart.
fn help_of(part: &str) -> String {
    let args = if part == "client" {
        vec!["--help"]
    } else {
        vec![part, "--help"]
    };
    let output = call(&binary(), "tug", &args);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{part}");
    output.stdout
}

/// Help names the caller in its usage line; the rest tells the part.
fn body(help: &str) -> Vec<&str> {
    help.lines()
        .filter(|line| !line.starts_with("Usage:"))
        .collect()
}

#[test]
fn argv0_selects_the_part() {
    for (name, part) in NAMES {
        for called in [
            name.to_string(),
            format!("/some/where/{name}"),
            format!("-{name}"),
        ] {
            let output = call(&binary(), &called, &["--help"]);
            assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{called}");
            assert_eq!(body(&output.stdout), body(&help_of(part)), "{called}");
        }
    }
}

#[test]
fn tug_and_a_name_is_that_part() {
    for (name, part) in NAMES {
        let output = call(&binary(), "tug", &[name, "--help"]);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{name}");
        assert_eq!(body(&output.stdout), body(&help_of(part)), "{name}");
    }
}

#[test]
fn a_suffix_does_not_hide_the_name() {
    for (called, part) in [
        ("containerd-shim-runc-v2", "shim"),
        ("runc-1.3", "runtime"),
        ("tug.new", "client"),
        ("dockerd_old", "engine"),
        ("tug-init-static", "init"),
    ] {
        let output = call(&binary(), called, &["--help"]);
        assert_eq!(body(&output.stdout), body(&help_of(part)), "{called}");
    }
}

#[test]
fn links_of_both_kinds_select_the_part() {
    let host = Host::without_engine("links");
    // A copy, because a hard link cannot leave the file system of the build.
    let copy = host.dir.join("copy");
    std::fs::copy(binary(), &copy).unwrap();
    for (name, part) in NAMES {
        for way in ["symlink", "hardlink"] {
            let link = host.dir.join(way).join(name);
            host.make_dir(way);
            match way {
                "symlink" => symlink(&copy, &link).unwrap(),
                _ => std::fs::hard_link(&copy, &link).unwrap(),
            }
            let output = call(&link, link.to_str().unwrap(), &["--help"]);
            assert_eq!(
                body(&output.stdout),
                body(&help_of(part)),
                "{}",
                link.display()
            );
        }
    }
}

#[test]
fn list_prints_every_name_on_a_line() {
    let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
    let expected = Output::new(0, &(names.join("\n") + "\n"), "");
    assert_eq!(call(&binary(), "tug", &["--list"]), expected);
}

#[test]
fn install_makes_a_working_link_for_every_name_and_can_be_repeated() {
    let host = Host::without_engine("install");
    let dir = host.make_dir("bin");
    for _ in 0..2 {
        assert_eq!(
            call(&binary(), "tug", &["--install", &dir]),
            Output::new(0, "", "")
        );
        let mut found: Vec<String> = std::fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        let mut expected: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
    for (name, _) in NAMES {
        let link = Path::new(&dir).join(name);
        let output = call(&link, link.to_str().unwrap(), &["--version"]);
        assert_eq!(output.code, 0, "{name}: {output:?}");
    }
}

#[test]
fn install_leaves_a_strangers_file_alone() {
    let host = Host::without_engine("install-stranger");
    let dir = host.make_dir("bin");
    let docker = host.write("bin/docker", "the real one");
    let output = call(&binary(), "tug", &["--install", &dir]);
    assert_ne!(output.code, 0);
    assert!(output.stderr.contains(&docker), "{output:?}");
    assert_eq!(std::fs::read_to_string(&docker).unwrap(), "the real one");
}

#[test]
fn an_unknown_name_prints_what_exists() {
    let output = call(&binary(), "frobnicate", &["--help"]);
    assert_eq!((output.code, output.stdout.as_str()), (125, ""));
    for (name, _) in NAMES {
        assert!(
            output.stderr.contains(name),
            "{name} is not in {}",
            output.stderr
        );
    }
}

#[test]
fn an_unknown_verb_is_refused() {
    let output = call(&binary(), "tug", &["frobnicate"]);
    output.assert_refused(output.code, "frobnicate");
    assert_ne!(output.code, 0);
    let output = call(&binary(), "docker", &["frobnicate"]);
    output.assert_refused(1, "frobnicate");
}

#[test]
fn every_part_tells_its_version() {
    for (name, _) in NAMES {
        let output = call(&binary(), name, &["--version"]);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{name}");
        assert!(
            output.stdout.contains(env!("CARGO_PKG_VERSION")) && output.stdout.lines().count() >= 1,
            "{name}: {output:?}"
        );
    }
}

#[test]
fn help_fits_a_terminal_and_is_complete() {
    let mut pages = vec![help_of("client")];
    for verb in VERBS {
        assert!(
            pages[0].contains(&format!(" {verb} ")),
            "{verb} is missing in {}",
            pages[0]
        );
    }
    for part in PARTS {
        pages.push(help_of(part));
    }
    for verb in VERBS {
        let output = call(&binary(), "tug", &[verb, "--help"]);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{verb}");
        pages.push(output.stdout);
    }
    for page in pages {
        assert!(page.to_lowercase().contains("usage"), "{page}");
        for line in page.lines() {
            assert!(line.chars().count() <= 80, "longer than 80 columns: {line}");
        }
    }
}

#[test]
fn help_of_run_names_every_option() {
    let page = call(&binary(), "tug", &["run", "--help"]).stdout;
    for option in [
        "--detach",
        "--interactive",
        "--tty",
        "--rm",
        "--name",
        "--env",
        "--workdir",
        "--user",
        "--entrypoint",
        "--hostname",
        "--volume",
        "--init",
    ] {
        assert!(page.contains(option), "{option} is missing in {page}");
    }
}

#[test]
fn without_an_engine_the_client_says_so_and_how_to_start_one() {
    let host = Host::without_engine("no-engine");
    for verb in ["ps", "images", "version", "info"] {
        let output = host.tug(&[verb]);
        assert_eq!(output.code, 1, "{verb}: {output:?}");
        let sentence = format!(
            "Cannot connect to the Docker daemon at {}. Is the docker daemon running?",
            host.address()
        );
        assert!(output.stderr.contains(&sentence), "{verb}: {output:?}");
        assert!(output.stderr.contains("tug engine"), "{verb}: {output:?}");
    }
    let output = host.tug(&["run", "--rm", "test", "true"]);
    assert_eq!(output.code, 125, "{output:?}");
}

#[test]
fn the_address_comes_from_the_option_or_the_environment() {
    let host = Host::new("address");
    let bare = |args: &[&str], name: &str| {
        let mut command = host.client(&host.binary, args);
        command.env_remove("DOCKER_HOST");
        if !name.is_empty() {
            command.env(name, host.address());
        }
        run(command, b"", PATIENCE).code
    };
    assert_eq!(bare(&["ps"], "DOCKER_HOST"), 0);
    assert_eq!(bare(&["ps"], "TUG_HOST"), 0);
    assert_eq!(bare(&["-H", &host.address(), "ps"], ""), 0);
    assert_eq!(bare(&["--host", &host.address(), "ps"], ""), 0);
    assert_eq!(
        bare(&["-H", "unix:///nowhere/tug.sock", "ps"], "DOCKER_HOST"),
        1
    );
}
