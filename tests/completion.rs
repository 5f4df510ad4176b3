//! Shell completion: the scripts, and what a real bash makes of them.

use crate::harness::command::{Output, run};
use crate::harness::{Host, IMAGE, PATIENCE, skip};
use std::path::Path;
use std::process::Command;

/// Where a shell is, if it is installed.
fn shell(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path).map(|dir| dir.join(name));
    places.find(|file| file.is_file())
}

/// What bash offers for `line`, with the cursor at its end.
fn offered(host: &Host, name: &str, line: &str) -> Vec<String> {
    let script = format!(
        "source <({name} completion bash) || exit; COMP_LINE='{line}' COMP_POINT=${{#COMP_LINE}}; \
         COMP_POINT=${{#COMP_LINE}}; _{name}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let mut command = host.client(&shell("bash").unwrap(), &["--norc", "-c", &script]);
    let own = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{own}", host.dir.display()));
    let output = run(command, b"", PATIENCE);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{line}");
    output.lines().into_iter().map(String::from).collect()
}

#[test]
fn bash_completes_verbs_options_and_names() {
    let host = Host::with_image("completion-bash");
    if shell("bash").is_none() {
        return skip("completion: bash", "no bash in PATH");
    }
    let id = host.ok(&["run", "-d", "--name", "asleep", IMAGE, "sleep", "1000"]);
    host.ok(&["create", "--name", "as-new", IMAGE, "true"]);
    for name in ["tug", "docker"] {
        std::os::unix::fs::symlink(&host.binary, host.dir.join(name)).unwrap();
        for (line, expected) in [
            ("resta", "restart"),
            ("container rest", "restart"),
            ("stop as", "asleep"),
            ("start as", "as-new"),
            ("rm as", "as-new asleep"),
            ("rm -f as-new as", "as-new asleep"),
            ("-D exec -it as", "asleep"),
            ("exec -it asleep l", ""),
            ("run --rm te", "test:latest"),
            ("run --rm test:la", "latest"),
            ("image inspect te", "test:latest"),
            ("inspect as", "as-new asleep"),
            ("stop --tim", "--timeout"),
            ("run --pull ", "always missing never"),
            ("completion f", "fish"),
            ("network rm ho", "host"),
            ("run --network no", "none"),
            ("network connect bridge as", "as-new asleep"),
            ("nosuch ", ""),
        ] {
            let line = format!("{name} {line}");
            let mut words = offered(&host, name, &line);
            words.sort();
            assert_eq!(words.join(" "), expected, "{line}");
        }
        let typed = &id[..6];
        assert_eq!(
            offered(&host, name, &format!("{name} stop {typed}")),
            [&id[..12]]
        );
        assert!(offered(&host, name, &format!("{name} ")).contains(&"container".to_string()));
    }
}

#[test]
fn each_shell_accepts_its_script() {
    let host = Host::without_engine("completion-scripts");
    for (name, options) in [("bash", &["-n"][..]), ("zsh", &["-n"]), ("fish", &["-n"])] {
        let script = host.tug(&["completion", name]);
        assert_eq!((script.code, script.stderr.as_str()), (0, ""));
        assert!(!script.stdout.contains("NAME"), "{}", script.stdout);
        let file = host.write(name, &script.stdout);
        let Some(program) = shell(name) else {
            skip(&format!("completion: {name}"), "it is not in PATH");
            continue;
        };
        let mut command = Command::new(program);
        command.args(options).arg(Path::new(&file));
        assert_eq!(
            run(command, b"", PATIENCE),
            Output::new(0, "", ""),
            "{name}"
        );
    }
    host.tug(&["completion", "csh"])
        .assert_refused(1, "no completion for \"csh\": there is bash, fish and zsh");
}
