//! cp: files out of a container and into it, as Docker does it, and nothing else.

use crate::harness::command::{Output, Running, run};
use crate::harness::http::{self, Reply};
use crate::harness::rootfs::{Archive, busybox_with, gzip};
use crate::harness::{Host, IMAGE, PATIENCE, docker_client, eventually, rounds, skip};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

/// A host with the image `test` that has a few files, links and directories, and a container `web`
/// of it that runs.
fn host(name: &'static str) -> Host {
    let host = Host::new(name);
    host.import(
        IMAGE,
        &busybox_with(|archive| {
            archive.dir("data/", 0o755);
            archive.file("data/one", 0o640, "one\n");
            archive.dir("data/sub/", 0o700);
            archive.file("data/sub/two", 0o644, "two\n");
            archive.symlink("data/sub/rel", "../one");
            archive.symlink("data/abs", "/data/one");
            archive.symlink("link", "/data/sub");
            archive.symlink("broken", "/nowhere/x");
            archive.dir("run/", 0o755);
            archive.dir("var/", 0o755);
            archive.symlink("var/run", "/run");
        }),
    );
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    host
}

fn put(host: &Host, container: &str, query: &str, body: &[u8]) -> (u16, String) {
    let reply = put_reply(host, container, query, body);
    match reply.status {
        200 => (200, String::new()),
        _ => reply.error(),
    }
}

fn put_reply(host: &Host, container: &str, query: &str, body: &[u8]) -> Reply {
    let mut stream = http::connect(&host.socket()).unwrap();
    let target = format!("/containers/{container}/archive?{query}");
    let headers = format!(
        "Connection: close\r\nContent-Type: application/x-tar\r\nContent-Length: {}\r\n",
        body.len()
    );
    stream
        .write_all(http::head("PUT", &target, &headers).as_bytes())
        .unwrap();
    // The engine may refuse before it has read all.
    let _ = stream.write_all(body);
    http::read_reply(&mut stream, false).unwrap()
}

/// The names in the archive of `path`, as GNU tar lists them.
fn names(host: &Host, container: &str, path: &str) -> String {
    let mut tug = host.client(&host.binary, &["cp", &format!("{container}:{path}"), "-"]);
    let output = tug.output().unwrap();
    assert!(output.status.success(), "{path}: {output:?}");
    let mut tar = Command::new("tar")
        .arg("tf")
        .arg("-")
        .env("TAR_OPTIONS", "-P")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    tar.stdin.take().unwrap().write_all(&output.stdout).unwrap();
    let listed = tar.wait_with_output().unwrap();
    assert!(listed.status.success(), "{path}: {listed:?}");
    String::from_utf8(listed.stdout).unwrap().replace('\n', " ")
}

/// All that there is to know about each file below `dir`.
fn picture(dir: &Path) -> String {
    let script = "find . -printf '%p %y %m %U:%G %s %T@ %C@ %l %n\\n' | sort; \
        find . -type f -exec sha256sum {} + | sort -k2; getfattr -R -h -d -m - . 2>/dev/null";
    let output = Command::new("sh")
        .args(["-c", script])
        .current_dir(dir)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A tree outside, which nothing may change, and of which nothing may be read.
struct Canary {
    dir: PathBuf,
    before: String,
}

impl Canary {
    fn new(host: &Host) -> Canary {
        let dir = PathBuf::from(host.make_dir("canary"));
        std::fs::write(dir.join("secret"), "of the host").unwrap();
        std::fs::create_dir(dir.join("sub")).unwrap();
        std::fs::write(dir.join("sub/secret"), "of the host").unwrap();
        symlink("secret", dir.join("link")).unwrap();
        rustix::fs::mknodat(
            CWD,
            dir.join("fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let before = picture(&dir);
        Canary { dir, before }
    }

    #[track_caller]
    fn check(&self, what: &str) {
        assert_eq!(picture(&self.dir), self.before, "{what}");
    }
}

#[test]
fn a_file_comes_out_and_another_goes_in() {
    let host = host("cp");
    let out = host.make_dir("out");
    assert_eq!(
        host.tug(&["cp", "web:/data/one", &out]),
        Output::new(0, "", "")
    );
    let copied = Path::new(&out).join("one");
    assert_eq!(std::fs::read(&copied).unwrap(), b"one\n");
    let metadata = std::fs::metadata(&copied).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o640);
    assert_eq!(metadata.mtime(), 1_700_000_000);

    let file = host.write("mine", "mine\n");
    host.ok(&["cp", &file, "web:/data/sub/"]);
    host.ok(&["container", "cp", &file, "web:/data/yours"]);
    assert_eq!(
        host.ok(&["exec", "web", "cat", "/data/sub/mine", "/data/yours"]),
        "mine\nmine"
    );
}

/// docker cp's documentation as a table: what is copied, where to, and what is there then.
#[test]
fn files_and_directories_meet_as_docker_says() {
    let host = host("cp-table");
    for (n, (source, destination, expected)) in [
        ("/data/one", "new", "new"),
        ("/data/one", "old", "old"),
        ("/data/one", "dir", "dir dir/one"),
        ("/data/one", "dir/", "dir dir/one"),
        ("/data/one", "new/", "! no such directory"),
        ("/data/sub", "new", "new new/rel new/two"),
        ("/data/sub", "new/", "new new/rel new/two"),
        ("/data/sub/", "dir", "dir dir/sub dir/sub/rel dir/sub/two"),
        ("/data/sub", "old", "! cannot copy directory"),
        ("/data/sub/.", "dir", "dir dir/rel dir/two"),
        ("/data/sub/.", "new", "new new/rel new/two"),
        ("/link", "new", "new"),
        ("/link/", "new", "new new/rel new/two"),
        ("/link/.", "dir", "dir dir/rel dir/two"),
        ("/link", "dir", "dir dir/link"),
        ("/link/", "dir", "dir dir/link dir/link/rel dir/link/two"),
        ("/broken", "new", "new"),
    ]
    .into_iter()
    .enumerate()
    {
        // Out of the container, and the same with the sides exchanged.
        let base = PathBuf::from(host.make_dir(&format!("out-{n}")));
        std::fs::create_dir(base.join("dir")).unwrap();
        std::fs::write(base.join("old"), "").unwrap();
        let to = format!("{}/{destination}", base.display());
        let from = format!("web:{source}");
        let out = host.tug(&["cp", &from, &to]);
        let shown = |listing: String, output: &Output| match output.code {
            0 => listing,
            _ => output.stderr.trim_end().replace("tug: ", "! "),
        };
        let find = "find * | sort | grep -vx -e old -e dir | tr '\\n' ' '";
        let listing = Command::new("sh")
            .args(["-c", find])
            .current_dir(&base)
            .output()
            .unwrap();
        let listing = String::from_utf8(listing.stdout).unwrap();
        let wanted = |expected: &str| {
            let words = expected
                .split(' ')
                .filter(|word| !matches!(*word, "old" | "dir"));
            words.map(|word| format!("{word} ")).collect::<String>()
        };
        let expected = match expected.starts_with('!') {
            true => expected.to_string(),
            false => wanted(expected),
        };
        assert_eq!(shown(listing, &out), expected, "{from} {to}");

        let script = format!("mkdir -p /in-{n}/dir; : >/in-{n}/old");
        host.ok(&["exec", "web", "sh", "-c", &script]);
        let local = PathBuf::from(host.make_dir("local"));
        if n == 0 {
            host.ok(&["cp", "web:/data", local.to_str().unwrap()]);
            symlink("data/sub", local.join("link")).unwrap();
            symlink("/nowhere/x", local.join("broken")).unwrap();
        }
        let from = format!("{}{source}", local.display());
        let to = format!("web:/in-{n}/{destination}");
        let into = host.tug(&["cp", &from, &to]);
        let script = format!("cd /in-{n}; {find}");
        let listing = host.tug(&["exec", "web", "sh", "-c", &script]).stdout;
        assert_eq!(shown(listing, &into), expected, "{from} {to}");
    }
}

#[test]
fn the_engine_tells_what_is_at_a_path_as_docker_does() {
    let host = host("cp-stat");
    for (path, expected) in [
        ("/data/one", r#"one 4 416 ""#),
        ("data/one", r#"one 4 416 ""#),
        ("../../data/one", r#"one 4 416 ""#),
        ("/data/sub/", r#"sub - 2147484096 ""#),
        ("/data/sub/.", r#". - 2147484096 ""#),
        ("/link", r#"link 9 134218239 "/data/sub"#),
        ("/link/", r#"link - 2147484096 ""#),
        ("/broken", r#"broken 10 134218239 "/nowhere/x"#),
        ("/data/sub/rel", r#"rel 6 134218239 "/data/one"#),
        ("/var/run", r#"run 4 134218239 "/run"#),
        ("/tmp", r#"tmp - 2148532735 ""#),
    ] {
        let reply = host.http("HEAD", &format!("/containers/web/archive?path={path}"), "");
        assert_eq!(reply.status, 200, "{path}");
        let header = reply.header("X-Docker-Container-Path-Stat").unwrap();
        let decoded = run_with("base64", &["-d"], header.as_bytes());
        let stat = crate::harness::json::parse(&decoded);
        let size = stat.text("size");
        let mode = stat.text("mode");
        let is_dir = mode.parse::<u64>().unwrap() >= 1 << 31;
        let found = format!(
            "{} {} {mode} \"{}",
            stat.string("name"),
            if is_dir { "-" } else { &size },
            stat.string("linkTarget")
        );
        assert_eq!(found, expected, "{path}");
        if path == "/data/one" {
            assert_eq!(stat.string("mtime"), "2023-11-14T22:13:20Z");
        }
    }
    for (method, path, status, sentence) in [
        (
            "GET",
            "/nope",
            404,
            "Could not find the file /nope in container web",
        ),
        (
            "GET",
            "/nope/x",
            404,
            "Could not find the file /nope/x in container web",
        ),
        ("GET", "", 400, "bad parameter: path cannot be empty"),
        (
            "GET",
            "/proc/self",
            404,
            "Could not find the file /proc/self in container web",
        ),
    ] {
        let reply = host.http(method, &format!("/containers/web/archive?path={path}"), "");
        assert_eq!(reply.error(), (status, sentence.to_string()), "{path}");
    }
    let reply = host.http("HEAD", "/containers/web/archive?path=/nope", "");
    assert_eq!((reply.status, reply.body.as_str()), (404, ""));
    let reply = host.http("GET", "/containers/nope/archive?path=/", "");
    assert_eq!(reply.error(), (404, "No such container: nope".to_string()));
}

fn run_with(program: &str, args: &[&str], input: &[u8]) -> String {
    let mut command = Command::new(program);
    command.args(args);
    run(command, input, PATIENCE).stdout
}

#[test]
fn archives_begin_with_the_name_that_was_asked_for() {
    let host = host("cp-names");
    for (path, expected) in [
        ("/data/one", "one "),
        ("/data/sub", "sub/ sub/rel sub/two "),
        ("/data/sub/", "sub/ sub/rel sub/two "),
        ("/data/sub/.", "./ ./rel ./two "),
        ("/link", "link "),
        ("/link/", "link/ link/rel link/two "),
        ("/var/run/.", "./ "),
    ] {
        assert_eq!(names(&host, "web", path), expected, "{path}");
    }
    let all = names(&host, "web", "/");
    assert!(all.starts_with("/ /bin/ /bin/"), "{all}");
    // What is mounted for every container stays out.
    assert!(all.contains(" /proc/ ") && !all.contains(" /proc/1"));
    assert!(names(&host, "web", "/.").starts_with("./ ./bin/ "));
}

#[test]
fn dash_is_an_archive_on_standard_input_or_output() {
    let host = host("cp-dash");
    let mut archive = Archive::new();
    archive.dir("in/", 0o755);
    archive.file("in/file", 0o600, "content\n");
    let archive = archive.finish();
    for (n, bytes) in [archive.clone(), gzip(&archive)].iter().enumerate() {
        host.ok(&["exec", "web", "mkdir", &format!("/t{n}")]);
        let output = host.tug_with_input(&["cp", "-", &format!("web:/t{n}")], bytes);
        assert_eq!(output, Output::new(0, "", ""));
        let cat = host.ok(&[
            "exec",
            "web",
            "sh",
            "-c",
            &format!("cd /t{n}/in; stat -c %a file; cat file"),
        ]);
        assert_eq!(cat, "600\ncontent");
    }
    for path in ["/etc/passwd", "/nope"] {
        let to = format!("web:{path}");
        host.tug_with_input(&["cp", "-", &to], &archive)
            .assert_refused(1, &format!("destination \"{to}\" must be a directory"));
    }
}

/// CVE-2019-14271 and its kind: no program of the image unpacks anything, nor is one of ours asked.
#[test]
fn a_compression_that_we_do_not_read_is_refused_and_nobody_elses_program_runs() {
    let host = Host::new("cp-trojan");
    let trojan = "#!/bin/sh\necho ran >>/trojan-ran\n";
    host.import(
        IMAGE,
        &busybox_with(|archive| {
            archive.dir("usr/", 0o755);
            archive.dir("usr/bin/", 0o755);
            for name in [
                "xz", "gzip", "unpigz", "pigz", "zstd", "bzip2", "tar", "getent",
            ] {
                archive.file(&format!("usr/bin/{name}"), 0o755, trojan);
            }
            archive.dir("lib/", 0o755);
            archive.file("lib/libnss_files.so.2", 0o755, trojan);
        }),
    );
    host.ok(&[
        "run", "-d", "--name", "web", "--user", "guest", IMAGE, "sleep", "1000",
    ]);
    let mut archive = Archive::new();
    archive.file("file", 0o644, "content");
    let archive = archive.finish();
    for (program, name) in [("xz", "xz"), ("bzip2", "bzip2"), ("zstd", "")] {
        let mut command = Command::new(program);
        command
            .arg("-c")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            skip(&format!("cp: {program}"), "not installed");
            continue;
        };
        child.stdin.take().unwrap().write_all(&archive).unwrap();
        let packed = child.wait_with_output().unwrap().stdout;
        let expected = match name {
            "" => (200, String::new()),
            name => (
                400,
                format!(
                    "{name}-compressed archives are not supported: decompress it, or use gzip or zstd"
                ),
            ),
        };
        assert_eq!(put(&host, "web", "path=/tmp", &packed), expected);
    }
    assert_eq!(
        put(&host, "web", "path=/tmp&copyUIDGID=1", &gzip(&archive)),
        (200, String::new())
    );
    assert_eq!(
        host.ok(&["exec", "web", "stat", "-c", "%u:%g", "/tmp/file"]),
        "1000:1000"
    );
    host.ok(&["cp", "web:/usr", host.dir.to_str().unwrap()]);
    host.ok(&["exec", "web", "sh", "-c", "[ ! -e /trojan-ran ]"]);
    assert!(!Path::new("/trojan-ran").exists());
}

#[test]
fn what_the_user_has_mounted_is_there_running_or_not() {
    let host = host("cp-mounts");
    let dir = host.make_dir("bound");
    host.write("bound/file", "of the volume\n");
    let file = host.write("single", "single\n");
    let (bind, ro, single) = (
        format!("{dir}:/bound"),
        format!("{dir}:/fixed:ro"),
        format!("{file}:/etc/single"),
    );
    let options = ["--name", "vols", "-v", &bind, "-v", &ro, "-v", &single];
    let line = [
        &["create"][..],
        &options,
        &["--tmpfs", "/scratch", IMAGE, "sleep", "1000"],
    ]
    .concat();
    host.ok(&line);
    let out = host.make_dir("out");
    let mine = host.write("mine", "mine\n");

    // Not started yet: writing makes the mount points, as Docker does.
    host.ok(&["cp", &mine, "vols:/bound/early"]);
    assert_eq!(
        std::fs::read(host.dir.join("bound/early")).unwrap(),
        b"mine\n"
    );
    for state in ["created", "running", "exited"] {
        match state {
            "running" => drop(host.ok(&["start", "vols"])),
            "exited" => drop(host.ok(&["stop", "-t", "0", "vols"])),
            _ => {}
        }
        host.ok(&["cp", "vols:/bound/file", &out]);
        host.ok(&["cp", "vols:/etc/single", &out]);
        assert_eq!(
            std::fs::read(format!("{out}/file")).unwrap(),
            b"of the volume\n",
            "{state}"
        );
        assert_eq!(
            std::fs::read(format!("{out}/single")).unwrap(),
            b"single\n",
            "{state}"
        );
        host.ok(&["cp", &mine, &format!("vols:/bound/{state}")]);
        assert!(host.dir.join("bound").join(state).exists(), "{state}");
        host.tug(&["cp", &mine, "vols:/fixed/x"])
            .assert_refused(1, "mounted volume is marked read-only");
        if state != "created" {
            assert!(
                names(&host, "vols", "/etc").contains("etc/hosts "),
                "{state}"
            );
        }
    }
    assert!(!host.dir.join("bound/x").exists());

    // A running container's tmpfs is the container's own.
    host.ok(&["start", "vols"]);
    host.ok(&["exec", "vols", "sh", "-c", "echo inside >/scratch/file"]);
    host.ok(&["cp", "vols:/scratch/file", &format!("{out}/scratch")]);
    assert_eq!(
        std::fs::read(format!("{out}/scratch")).unwrap(),
        b"inside\n"
    );
    host.ok(&["cp", &mine, "vols:/scratch/mine"]);
    assert_eq!(host.ok(&["exec", "vols", "cat", "/scratch/mine"]), "mine");
}

#[test]
fn a_read_only_container_takes_nothing_but_into_its_volumes() {
    let host = host("cp-readonly");
    let dir = host.make_dir("bound");
    let bind = format!("{dir}:/bound");
    host.ok(&[
        "run",
        "-d",
        "--name",
        "fixed",
        "--read-only",
        "-v",
        &bind,
        IMAGE,
        "sleep",
        "1000",
    ]);
    let mine = host.write("mine", "mine\n");
    host.tug(&["cp", &mine, "fixed:/tmp/x"]).assert_refused(
        1,
        "Error response from daemon: container rootfs is marked read-only",
    );
    let mut archive = Archive::new();
    archive.file("x", 0o644, "");
    let archive = archive.finish();
    assert_eq!(put(&host, "fixed", "path=/tmp", &archive).0, 403);
    // The answer comes through although most of the file was never read.
    let large = host.write("large", vec![7u8; 20 << 20]);
    host.tug(&["cp", &large, "fixed:/tmp/x"]).assert_refused(
        1,
        "Error response from daemon: container rootfs is marked read-only",
    );
    host.ok(&["cp", &mine, "fixed:/bound/"]);
    assert_eq!(std::fs::read(format!("{dir}/mine")).unwrap(), b"mine\n");
}

#[test]
fn what_would_change_its_kind_stays_and_is_told() {
    let host = host("cp-kinds");
    host.ok(&[
        "exec",
        "web",
        "sh",
        "-c",
        "mkdir /t /t/file; echo kept >/t/dir",
    ]);
    let mut archive = Archive::new();
    archive.file("file", 0o644, "");
    let file = archive.finish();
    let mut archive = Archive::new();
    archive.dir("dir/", 0o755);
    let dir = archive.finish();
    let refused = |body: &[u8]| put(&host, "web", "path=/t&noOverwriteDirNonDir=true", body);
    assert_eq!(
        refused(&file),
        (
            400,
            "unpack file: cannot overwrite directory \"/t/file\" with non-directory \"/t\"".into()
        )
    );
    assert_eq!(
        refused(&dir),
        (
            400,
            "unpack dir/: cannot overwrite non-directory \"/t/dir\" with directory \"/t\"".into()
        )
    );
    assert_eq!(put(&host, "web", "path=/t", &file), (200, String::new()));
    assert_eq!(put(&host, "web", "path=/t", &dir), (200, String::new()));
    assert_eq!(
        host.ok(&["exec", "web", "sh", "-c", "cd /t; ls -F"]),
        "dir/\nfile"
    );

    assert_eq!(
        put(&host, "web", "path=/etc/passwd", &file),
        (400, "extraction point is not a directory".into())
    );
    assert_eq!(
        put(&host, "web", "path=/nope", &file),
        (404, "Could not find the file /nope in container web".into())
    );
    assert_eq!(put(&host, "web", "path=/t", b"no archive").0, 400);
    assert_eq!(
        put(&host, "web", "path=/t", &file[..700]),
        (400, "read archive: unexpected end of archive".into())
    );
    assert_eq!(put(&host, "web", "path=/t", b""), (200, String::new()));
}

#[test]
fn mistakes_are_told_in_dockers_words() {
    let host = host("cp-mistakes");
    let file = host.write("file", "");
    let dir = host.make_dir("dir");
    let missing = format!("{dir}/nope");
    let below_missing = format!("{dir}/nope/x/y");
    let slash = format!("{file}/");
    for (source, destination, sentence) in [
        ("", "web:/x", "source can not be empty"),
        ("web:/x", "", "destination can not be empty"),
        (
            "web:/a",
            "web:/b",
            "copying between containers is not supported",
        ),
        ("a", "b", "must specify at least one container source"),
        (
            &missing,
            "web:/",
            &format!("lstat {missing}: no such file or directory"),
        ),
        (&slash, "web:/", "not a directory"),
        (
            &file,
            "web:/nope/x",
            "Error response from daemon: Could not find the file /nope in container web",
        ),
        (&file, "web:/nope/", "no such directory"),
        (&dir, "web:/etc/passwd", "cannot copy directory"),
        (
            "web:/nope",
            &dir,
            "Error response from daemon: Could not find the file /nope in container web",
        ),
        ("web:/data", &file, "cannot copy directory"),
        (
            "web:/data/one",
            &below_missing,
            &format!("invalid output path: directory \"{dir}/nope/x\" does not exist"),
        ),
        (
            "web:/data/one",
            "/dev/null",
            "invalid output path: \"/dev/null\" must be a directory or a regular file: got a device",
        ),
        (
            "nope:/x",
            &dir,
            "Error response from daemon: No such container: nope",
        ),
        (
            &file,
            "nope:/x",
            "Error response from daemon: No such container: nope",
        ),
    ] {
        let output = host.tug(&["cp", source, destination]);
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (1, ""),
            "{source} {destination}"
        );
        assert_eq!(
            output.stderr,
            format!("tug: {sentence}\n"),
            "{source} {destination}"
        );
    }
}

#[test]
fn links_are_followed_where_it_is_asked_for() {
    let host = host("cp-follow");
    let out = host.make_dir("out");
    host.ok(&["cp", "-L", "web:/data/abs", &out]);
    assert_eq!(std::fs::read(format!("{out}/abs")).unwrap(), b"one\n");
    assert!(!Path::new(&out).join("abs").is_symlink());
    host.ok(&["cp", "--follow-link", "web:/link", &out]);
    assert_eq!(std::fs::read(format!("{out}/link/two")).unwrap(), b"two\n");

    let file = host.write("file", "content\n");
    symlink(&file, host.dir.join("to-file")).unwrap();
    let link = host.dir.join("to-file").display().to_string();
    host.ok(&["cp", &link, "web:/as-link"]);
    host.ok(&["cp", "-L", &link, "web:/as-file"]);
    let script = "readlink /as-link; cat /as-file";
    assert_eq!(
        host.ok(&["exec", "web", "sh", "-c", script]),
        format!("{file}\ncontent")
    );

    // In the container, a link as the destination is followed; so is one here.
    host.ok(&["cp", &file, "web:/data/abs"]);
    assert_eq!(host.ok(&["exec", "web", "cat", "/data/one"]), "content");
    host.ok(&["cp", "web:/data/sub/two", &link]);
    assert_eq!(std::fs::read(&file).unwrap(), b"two\n");
    // The positive twin of all that is confined: /var/run leads to /run.
    host.ok(&["cp", &file, "web:/var/run/pid"]);
    assert_eq!(host.ok(&["exec", "web", "cat", "/run/pid"]), "two");
}

#[test]
fn who_watches_sees_what_was_copied() {
    let host = host("cp-terminal");
    let out = host.dir.join("out").display().to_string();
    let on_terminal = |args: &[&str]| {
        let (mut tug, _keys) = Running::on_a_terminal(host.client(&host.binary, args));
        tug.wait(PATIENCE).stdout
    };
    assert_eq!(
        on_terminal(&["cp", "web:/data/one", &out]),
        format!("Successfully copied 2.05kB to {out}\r\n")
    );
    assert_eq!(
        on_terminal(&["cp", &out, "web:/tmp/there"]),
        "Successfully copied 2.05kB to web:/tmp/there\r\n"
    );
    assert_eq!(on_terminal(&["cp", "-q", "web:/data/one", &out]), "");
}

/// What an archive may try, with the canary's path for `{}`.
fn attacks(canary: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let path = canary.to_str().unwrap();
    let up = format!("../../../../../../..{path}");
    let mut attacks = Vec::new();
    let mut attack = |name, make: &dyn Fn(&mut Archive)| {
        let mut archive = Archive::new();
        make(&mut archive);
        attacks.push((name, archive.finish()));
    };
    attack("dots", &|a| {
        a.file(&format!("{up}/new"), 0o644, "x");
    });
    attack("absolute", &|a| {
        a.file(&format!("{path}/secret"), 0o644, "x");
    });
    attack("absolute link, then through it", &|a| {
        a.symlink("l", path).file("l/secret", 0o666, "x");
    });
    attack("relative link, then through it", &|a| {
        a.symlink("l", &up).file("l/secret", 0o666, "x");
    });
    attack("link, then a directory of its name", &|a| {
        a.symlink("l", path).dir("l/", 0o777);
    });
    attack("hard link out", &|a| {
        a.hard_link("h", &format!("{path}/secret"))
            .file("h", 0o666, "x");
    });
    attack("hard link out by dots", &|a| {
        a.hard_link("h", &format!("{up}/secret"));
    });
    attack("hard link through a link", &|a| {
        a.symlink("l", path).hard_link("h", "l/secret");
    });
    attack("link to a link", &|a| {
        a.symlink("a", "b")
            .symlink("b", &up)
            .file("a/secret", 0o666, "x");
    });
    attack("through the process", &|a| {
        a.symlink("l", "/proc/self/root")
            .file(&format!("l{path}/secret"), 0o666, "x");
    });
    attacks
}

#[test]
fn no_archive_gets_out_of_a_container() {
    let host = host("cp-hostile");
    let canary = Canary::new(&host);
    host.ok(&["create", "--name", "idle", IMAGE, "true"]);
    for container in ["web", "idle"] {
        for (name, archive) in attacks(&canary.dir) {
            let (status, message) = put(&host, container, "path=/tmp", &archive);
            assert!(
                matches!(status, 200 | 400 | 500),
                "{name}: {status} {message}"
            );
            canary.check(name);
            // Nor does a file of the host's come out by a link that has gone in.
            for path in ["/tmp/l/secret", "/tmp/h", "/tmp/a/secret"] {
                let reply = host.http(
                    "GET",
                    &format!("/containers/{container}/archive?path={path}"),
                    "",
                );
                assert!(!reply.body.contains("of the host"), "{name} {path}");
            }
        }
    }
    // A device goes in, as with Docker, but nobody here opens it.
    let made = host.tug(&[
        "exec",
        "web",
        "sh",
        "-c",
        "mknod /tmp/zero c 1 5; ln -s zero /tmp/to-zero",
    ]);
    assert_eq!(made.code, 0, "{made:?}");
    assert_eq!(names(&host, "web", "/tmp/zero"), "zero ");
}

/// The same from the other side: an engine that sends what it likes.
#[test]
fn no_archive_gets_out_of_the_users_directory() {
    let host = host("cp-hostile-engine");
    let canary = Canary::new(&host);
    for (n, (name, archive)) in attacks(&canary.dir).into_iter().enumerate() {
        let socket = host.dir.join(format!("fake-{n}.sock"));
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            let _ = std::io::Read::read(&mut stream, &mut buffer);
            // {"name":"d","size":0,"mode":2147484141}
            let head = format!(
                "HTTP/1.1 200 OK\r\nX-Docker-Container-Path-Stat: eyJuYW1lIjoiZCIsInNpemUiOjAsIm1vZGUiOjIxNDc0ODQxNDF9\r\nContent-Length: {}\r\n\r\n",
                archive.len()
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&archive);
        });
        let out = host.make_dir(&format!("out-{n}"));
        let mut command = host.client(&host.binary, &["cp", "x:/d", &out]);
        command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
        run(command, b"", PATIENCE);
        server.join().unwrap();
        std::fs::remove_file(socket).unwrap();
        canary.check(name);
    }
}

/// CVE-2018-15664: the container swaps a directory and a link while we look.
#[test]
fn a_container_that_swaps_links_meanwhile_gains_nothing() {
    let host = host("cp-race");
    let canary = Canary::new(&host);
    let bound = host.make_dir("bound");
    let volume = format!("{bound}:/job/dir/mounted");
    host.ok(&[
        "run", "-d", "--name", "racer", "-v", &volume, IMAGE, "sleep", "1000",
    ]);
    let script =
        "mkdir -p /swap/dir/sub; echo inside >/swap/dir/secret; echo inside >/swap/dir/sub/secret";
    host.ok(&["exec", "racer", "sh", "-c", script]);
    let root = PathBuf::from(format!("/proc/{}/root/swap", host.pid("racer")));
    let ups = format!("../../../../../../..{}", canary.dir.display());
    symlink(&canary.dir, root.join("absolute")).unwrap();
    symlink(ups, root.join("relative")).unwrap();
    let mut archive = Archive::new();
    archive.file("secret", 0o666, "written");
    archive.file("sub/secret", 0o666, "written");
    let into_dir = archive.finish();
    let mut archive = Archive::new();
    archive.dir("dir/", 0o777);
    archive.file("dir/secret", 0o666, "written");
    let into_parent = archive.finish();

    // Those below its directory: the tests beside this one come and go with theirs.
    let ours = host.dir.display().to_string();
    let mounts = || -> Vec<String> {
        let path = format!("/proc/{}/mountinfo", host.engine_pid());
        let all = std::fs::read_to_string(path).unwrap();
        let all = all.lines().filter(|line| line.contains(&ours));
        all.map(str::to_string).collect()
    };
    let before = mounts();
    // The place of a volume, too.
    let work = PathBuf::from(format!("/proc/{}/root/job", host.pid("racer")));
    symlink(&canary.dir, work.join("away")).unwrap();
    host.write("bound/secret", "inside");

    let stop = AtomicBool::new(false);
    let (mut found, mut written) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (dir, links) = (
                root.join("dir"),
                ["absolute", "relative"].map(|name| root.join(name)),
            );
            while !stop.load(Ordering::Relaxed) {
                for _ in 0..2 {
                    let (place, link) = (work.join("dir"), work.join("away"));
                    let _ = renameat_with(CWD, place, CWD, link, RenameFlags::EXCHANGE);
                }
                for link in &links {
                    // Twice: each is where it was.
                    let _ = renameat_with(CWD, &dir, CWD, link, RenameFlags::EXCHANGE);
                    let _ = renameat_with(CWD, &dir, CWD, link, RenameFlags::EXCHANGE);
                }
            }
        });
        for n in 0..rounds(100, 2000) {
            for path in [
                "/swap/dir/secret",
                "/swap/dir/sub",
                "/swap/dir/.",
                "/swap",
                "/swap/absolute/",
                "/job/dir/mounted",
            ] {
                let reply = host.http("GET", &format!("/containers/racer/archive?path={path}"), "");
                let is_clean = !reply.body.contains("of the host");
                found += usize::from(reply.body.contains("inside"));
                if !is_clean {
                    stop.store(true, Ordering::Relaxed);
                }
                assert!(is_clean, "{path}: content of the host came out");
            }
            let puts = [("path=/swap/dir", &into_dir), ("path=/swap", &into_parent)];
            for (query, archive) in puts {
                written += usize::from(put(&host, "racer", query, archive).0 == 200);
            }
            if n % 10 == 0 {
                // The client, both ways.
                let out = host.make_dir("out");
                host.tug(&["cp", "racer:/swap/dir", &out]);
                host.tug(&["cp", &out, "racer:/swap/dir/sub"]);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(found > 0 && written > 0, "{found} found, {written} written");
    canary.check("after the races");
    assert_eq!(mounts(), before, "mounts of the engine");
    let out = picture(&host.dir.join("out"));
    assert!(!out.contains("of the host"));
}

/// No mount, descriptor or thread stays behind a copy.
#[test]
fn a_hundred_copies_leave_nothing_in_the_engine() {
    let host = host("cp-leak");
    let dir = host.make_dir("bound");
    let bind = format!("{dir}:/bound");
    host.ok(&["create", "--name", "idle", "-v", &bind, IMAGE, "true"]);
    let count = |what: &str| {
        let path = format!("/proc/{}/{what}", host.engine_pid());
        std::fs::read_dir(path).unwrap().count()
    };
    let mut archive = Archive::new();
    archive.file("x", 0o644, "x");
    let archive = archive.finish();
    let copy = || {
        for container in ["web", "idle"] {
            let path = format!("/containers/{container}/archive?path=/data");
            assert_eq!(host.http("GET", &path, "").status, 200);
            assert_eq!(host.http("GET", &format!("{path}/nope"), "").status, 404);
            assert_eq!(put(&host, container, "path=/tmp", &archive).0, 200);
        }
    };
    // Those of this engine: the tests beside this one have theirs.
    let ours = host.dir.display().to_string();
    let mounts = || {
        let all = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        all.lines().filter(|line| line.contains(&ours)).count()
    };
    copy();
    let before = (count("fd"), mounts());
    for _ in 0..50 {
        copy();
    }
    eventually("the engine is as it was", || {
        (count("fd"), mounts()) == before
    });
}

/// Half an archive is in when the container is started, or removed, or the engine is killed.
#[test]
fn a_slow_sender_holds_up_nobody() {
    let mut host = host("cp-slow");
    let begin = |host: &Host, container: &str| {
        let mut stream = http::connect(&host.socket()).unwrap();
        let target = format!("/containers/{container}/archive?path=/tmp");
        let headers = "Content-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n";
        stream
            .write_all(http::head("PUT", &target, headers).as_bytes())
            .unwrap();
        let mut archive = Archive::new();
        archive.file("first", 0o644, "x");
        archive.file("second", 0o644, "x");
        let archive = archive.finish();
        // The first file, and the head of the second without its data.
        let half = &archive[..1536];
        stream
            .write_all(format!("{:x}\r\n", half.len()).as_bytes())
            .unwrap();
        stream.write_all(half).unwrap();
        stream.write_all(b"\r\n").unwrap();
        stream
    };
    let upper = |host: &Host, container: &str| {
        let id = host.inspect(container, "Id").trim_matches('"').to_string();
        host.data_root()
            .join("containers")
            .join(id)
            .join("upper/tmp")
    };
    for name in ["started", "removed", "killed"] {
        host.ok(&["create", "--name", name, IMAGE, "sleep", "1000"]);
    }
    let mut stream = begin(&host, "started");
    let there = upper(&host, "started");
    eventually("the first file is there", || there.join("first").exists());
    host.ok(&["start", "started"]);
    assert_eq!(host.ok(&["exec", "started", "cat", "/tmp/first"]), "x");
    stream.write_all(b"200\r\n").unwrap();
    stream.write_all(&[b'y'; 512]).unwrap();
    stream.write_all(b"\r\n0\r\n\r\n").unwrap();
    let reply = http::read_reply(&mut stream, false).unwrap();
    let (status, message) = reply.error();
    assert_eq!(status, 409, "{message}");
    assert!(
        message.contains("was started or removed while files were copied into it"),
        "{message}"
    );

    let _sender = begin(&host, "removed");
    let there = upper(&host, "removed");
    eventually("the first file is there", || there.join("first").exists());
    host.ok(&["rm", "-f", "removed"]);

    let _sender = begin(&host, "killed");
    let there = upper(&host, "killed");
    eventually("the first file is there", || there.join("first").exists());
    host.kill_engine();
    host.start_engine();
    host.ok(&["start", "killed"]);
    assert_eq!(host.ok(&["exec", "killed", "cat", "/tmp/first"]), "x");
}

/// A client that does not read what it has asked for.
#[test]
fn a_slow_reader_holds_up_nobody() {
    let host = host("cp-reader");
    let script = "dd if=/dev/zero of=/big bs=1000000 count=20";
    for name in ["stopped", "ended", "running"] {
        host.tug(&["run", "--name", name, IMAGE, "sh", "-c", script]);
    }
    host.ok(&["run", "-d", "--name", "alive", IMAGE, "sleep", "1000"]);
    host.tug(&["exec", "alive", "sh", "-c", script]);
    let begin = |target: &str| {
        let mut stream = http::connect(&host.socket()).unwrap();
        let head = http::head("GET", target, "");
        stream.write_all(head.as_bytes()).unwrap();
        let mut first = [0; 64];
        std::io::Read::read_exact(&mut stream, &mut first).unwrap();
        assert!(first.starts_with(b"HTTP/1.1 200 OK"));
        stream
    };
    let _readers = [
        begin("/containers/stopped/archive?path=/big"),
        begin("/containers/ended/export"),
        begin("/containers/alive/archive?path=/big"),
    ];
    let started = std::time::Instant::now();
    host.ok(&["start", "stopped"]);
    host.ok(&["rm", "-f", "ended"]);
    assert_eq!(host.ok(&["exec", "alive", "echo", "on"]), "on");
    host.ok(&["rm", "-f", "alive"]);
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

/// Both of Docker's clients that are about.
#[test]
fn the_docker_client_copies_both_ways() {
    let clients = ["/usr/bin/docker", "/usr/local/bin/docker"].map(PathBuf::from);
    let clients: Vec<PathBuf> = clients
        .into_iter()
        .filter(|path| path.exists())
        .chain(docker_client().filter(|path| !path.starts_with("/usr")))
        .collect();
    if clients.is_empty() {
        return skip("cp: the docker client", "no docker client in PATH");
    }
    let host = host("cp-docker");
    for (n, client) in clients.iter().enumerate() {
        let docker = |args: &[&str], input: &[u8]| run(host.client(client, args), input, PATIENCE);
        let out = host.make_dir(&format!("out-{n}"));
        let copied = docker(&["cp", "web:/data", &out], b"");
        assert_eq!((copied.code, copied.stdout.as_str()), (0, ""), "{copied:?}");
        assert_eq!(
            std::fs::read(format!("{out}/data/sub/two")).unwrap(),
            b"two\n"
        );
        let into = format!("web:/tmp/{n}");
        let copied = docker(&["cp", "-a", &out, &into], b"");
        assert_eq!(copied.code, 0, "{copied:?}");
        let path = format!("/tmp/{n}/data/sub/two");
        assert_eq!(host.ok(&["exec", "web", "cat", &path]), "two");

        let archived = docker(&["cp", "-L", "web:/data/abs", "-"], b"");
        assert_eq!(archived.code, 0, "{archived:?}");
        let copied = docker(&["cp", "-", &into], archived.stdout.as_bytes());
        assert_eq!(copied.code, 0, "{copied:?}");
        assert_eq!(
            host.ok(&["exec", "web", "cat", &format!("/tmp/{n}/one")]),
            "one"
        );
        let refused = docker(&["cp", "web:/nope", &out], b"");
        assert_eq!(refused.code, 1, "{refused:?}");
        // 20.10 has words of its own for a 404.
        let says = |text: &str| refused.stderr.contains(text);
        assert!(
            says("Could not find the file /nope in container web")
                || says("No such container:path: web:/nope"),
            "{refused:?}"
        );
    }
}
