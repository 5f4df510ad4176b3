//! What a user hands to one program in confidence shows nowhere else: not in the engine's log, not in
//! a process's arguments, and not in a file that others may read.

use crate::harness::{Host, IMAGE, eventually};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const SECRET: &str = "s3cr3t-canary-of-the-test";

/// Files below `dir` that hold the secret.
fn holders(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.append(&mut holders(&path));
        } else if kind.is_file()
            && std::fs::read(&path).is_ok_and(|bytes| {
                bytes
                    .windows(SECRET.len())
                    .any(|found| found == SECRET.as_bytes())
            })
        {
            found.push(path);
        }
    }
    found
}

/// Processes whose arguments, as everybody may read them, hold the secret.
fn tellers() -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains(SECRET) {
            found.push(line.replace('\0', " "));
        }
    }
    found
}

#[test]
fn a_variable_of_a_container_shows_in_no_log_and_no_command_line() {
    let host = Host::with_image("secret-variable");
    let env = format!("TOKEN={SECRET}");
    let file = host.write("env", format!("{env}\n"));
    host.ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "--env-file",
        &file,
        IMAGE,
        "sh",
        "-c",
        "test -n \"$TOKEN\" && exec sleep 1000",
    ]);
    host.ok(&["exec", "--env-file", &file, "web", "true"]);
    // Errors name what failed, not with which secrets.
    let failed = host.tug(&["run", "--rm", "--env-file", &file, IMAGE, "no-such"]);
    assert!(!failed.stderr.contains(SECRET), "{failed:?}");
    assert_eq!(tellers(), Vec::<String>::new());
    assert!(!host.engine_log().contains(SECRET), "{}", host.engine_log());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let until = now.unwrap().as_secs();
    let events = host.http("GET", &format!("/events?since=1&until={until}"), "");
    assert!(!events.body.contains(SECRET), "{}", events.body);

    std::fs::remove_file(&file).unwrap();
    for holder in holders(&host.dir) {
        // The records have to know it. They are root's alone, as are the directories above.
        let name = holder.file_name().unwrap().to_str().unwrap();
        assert_eq!(name, "config.json", "{}", holder.display());
        let mode = std::fs::metadata(&holder).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", holder.display());
    }
}

#[test]
fn a_shim_and_the_first_process_before_its_program_leave_no_core() {
    let host = Host::with_image("secret-core");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let shim = host.shim_pid("web");
    // Not for other users to read or to trace: their memory holds every variable.
    eventually("the shim is root's", || {
        let path = format!("/proc/{shim}/environ");
        std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 == 0)
    });
    let environ = std::fs::read(format!("/proc/{shim}/environ")).unwrap();
    assert_eq!(environ, b"", "the shim has an environment of its own");
}
