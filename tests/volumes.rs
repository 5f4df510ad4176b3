//! Volumes: made, listed, used by containers, removed; and what is refused.

use crate::harness::command::Output;
use crate::harness::json::parse;
use crate::harness::{Host, IMAGE};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

fn volumes_dir(host: &Host) -> PathBuf {
    host.data_root().join("volumes")
}

/// Where a volume's data are.
fn data(host: &Host, name: &str) -> PathBuf {
    volumes_dir(host).join(name).join("_data")
}

fn names(host: &Host) -> String {
    let names = host.ok(&["volume", "ls", "-q"]);
    names.lines().collect::<Vec<_>>().join(" ")
}

/// Run the image's shell once; what it printed.
fn sh(host: &Host, options: &[&str], script: &str) -> Output {
    let mut line = vec!["run", "--rm", "--network", "none"];
    line.extend(options);
    line.extend([IMAGE, "sh", "-c", script]);
    host.tug(&line)
}

#[test]
fn a_volume_is_made_shown_and_removed_as_docker_does() {
    let host = Host::new("volume-verbs");
    assert_eq!(
        host.ok(&["volume", "create", "--label", "a=1", "data"]),
        "data"
    );
    let mountpoint = data(&host, "data");
    let created = host.get("/volumes/data").string("CreatedAt");
    assert_eq!(
        host.ok(&["volume", "inspect", "data"]),
        format!(
            "[\n    {{\n        \"CreatedAt\": \"{created}\",\n        \"Driver\": \"local\",\n        \"Labels\": {{\n            \"a\": \"1\"\n        }},\n        \"Mountpoint\": \"{}\",\n        \"Name\": \"data\",\n        \"Options\": null,\n        \"Scope\": \"local\"\n    }}\n]",
            mountpoint.display()
        )
    );
    assert_eq!(mountpoint.metadata().unwrap().mode() & 0o7777, 0o755);
    let anonymous = host.ok(&["volume", "create"]);
    assert_eq!(anonymous.len(), 64);
    assert_eq!(
        host.get(&format!("/volumes/{anonymous}")).text("Labels"),
        r#"{"com.docker.volume.anonymous":""}"#
    );
    host.ok(&["volume", "rm", &anonymous]);
    assert_eq!(
        host.ok(&["volume", "ls"]),
        "DRIVER    VOLUME NAME\nlocal     data"
    );
    assert_eq!(
        host.ok(&["volume", "ls", "--format", "json"]),
        format!(
            r#"{{"Availability":"N/A","Driver":"local","Group":"N/A","Labels":"a=1","Links":"N/A","Mountpoint":"{}","Name":"data","Scope":"local","Size":"N/A","Status":"N/A"}}"#,
            mountpoint.display()
        )
    );
    // Again: it is what it is.
    assert_eq!(
        host.ok(&["volume", "create", "--label", "b=2", "data"]),
        "data"
    );
    assert_eq!(host.get("/volumes/data").text("Labels"), r#"{"a":"1"}"#);
    assert_eq!(host.ok(&["volume", "rm", "data"]), "data");
    assert_eq!(names(&host), "");
    assert_eq!(std::fs::read_dir(volumes_dir(&host)).unwrap().count(), 0);
    host.tug(&["volume", "rm", "data"])
        .assert_refused(1, "get data: no such volume");
    assert_eq!(host.http("DELETE", "/volumes/data?force=1", "").status, 204);
}

#[test]
fn containers_share_a_volume_that_outlives_them() {
    let host = Host::with_image("volume-share");
    let output = sh(&host, &["-v", "data:/data"], "echo hello > /data/file");
    assert_eq!(output.code, 0, "{output:?}");
    let output = sh(
        &host,
        &["-v", "data:/other:ro"],
        "cat /other/file; touch /other/x",
    );
    assert_eq!(output.stdout, "hello\n");
    assert!(
        output.stderr.contains("Read-only file system"),
        "{output:?}"
    );
    let text = std::fs::read_to_string(data(&host, "data").join("file")).unwrap();
    assert_eq!(text, "hello\n");

    host.ok(&[
        "create",
        "--name",
        "idle",
        "-v",
        "data:/data",
        IMAGE,
        "true",
    ]);
    let id = host.get("/containers/idle/json").string("Id");
    host.tug(&["volume", "rm", "-f", "data"])
        .assert_refused(1, &format!("remove data: volume is in use - [{id}]"));
    assert_eq!(
        host.inspect("idle", "Mounts"),
        format!(
            r#"[{{"Destination":"/data","Driver":"local","Mode":"z","Name":"data","Propagation":"","RW":true,"Source":"{}","Type":"volume"}}]"#,
            data(&host, "data").display()
        )
    );
    assert_eq!(
        host.ok(&["ps", "-aq", "--no-trunc", "-f", "volume=data"]),
        id
    );
    host.ok(&["rm", "-v", "idle"]);
    assert_eq!(names(&host), "data");
}

#[test]
fn volumes_without_a_name_go_when_asked_and_with_rm() {
    let host = Host::with_image("volume-anonymous");
    let change = ["import", "-c", "VOLUME /declared", "-", "declares"];
    host.tug_with_input(&change, &crate::harness::rootfs::busybox());
    let run = ["run", "--rm", "-v", "/own", "declares", "touch", "/own/x"];
    assert_eq!(host.tug(&run).code, 0);
    assert_eq!(names(&host), "");

    host.ok(&[
        "create", "--name", "first", "-v", "/own", "declares", "true",
    ]);
    assert_eq!(names(&host).split(' ').count(), 2);
    assert_eq!(
        host.inspect("first", "Config.Volumes"),
        r#"{"/declared":{},"/own":{}}"#
    );
    assert_eq!(host.ok(&["volume", "ls", "-q", "-f", "dangling=true"]), "");
    host.ok(&[
        "create",
        "--name",
        "second",
        "--volumes-from",
        "first:ro",
        IMAGE,
        "true",
    ]);
    let mounts = |name: &str| {
        let mut all: Vec<String> = parse(&host.inspect(name, "Mounts"))
            .items()
            .iter()
            .map(|mount| mount.string("Destination") + &mount.string("Name"))
            .collect();
        all.sort();
        all
    };
    assert_eq!(mounts("first"), mounts("second"));
    assert_eq!(host.inspect("second", "Mounts.0.RW"), "false");
    // The other has them still.
    host.ok(&["rm", "-v", "first"]);
    assert_eq!(names(&host).split(' ').count(), 2);
    host.ok(&["rm", "-v", "second"]);
    assert_eq!(names(&host), "");

    // They stay without -v, and without a container that has them they dangle.
    host.ok(&["run", "--name", "third", "declares", "true"]);
    let name = names(&host);
    host.ok(&["rm", "third"]);
    assert_eq!(host.ok(&["volume", "ls", "-q", "-f", "dangling=1"]), name);
    assert_eq!(
        host.ok(&["volume", "prune", "-f"]),
        format!("Deleted Volumes:\n{name}\n\nTotal reclaimed space: 0B")
    );
    assert_eq!(std::fs::read_dir(volumes_dir(&host)).unwrap().count(), 0);
}

/// What is mounted at a path on this machine, by its type.
fn mounted(path: &std::path::Path) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let point = format!(" {} ", path.display());
    let lines = table.lines().filter(|line| line.contains(&point));
    lines
        .map(|line| {
            let (_, kind) = line.split_once(" - ").unwrap();
            kind.split(' ').next().unwrap().to_string()
        })
        .collect()
}

#[test]
fn a_volume_with_options_is_mounted_while_a_container_uses_it() {
    let mut host = Host::with_image("volume-options");
    let create =
        "volume create -o type=tmpfs -o device=tmpfs -o o=size=1m,mode=0750,uid=7,nodev mem";
    host.ok(&create.split(' ').collect::<Vec<_>>());
    let path = data(&host, "mem");
    host.ok(&["create", "--name", "idle", "-v", "mem:/data", IMAGE, "true"]);
    assert_eq!(mounted(&path), [""; 0]);

    let sleep = ["-v", "mem:/data", IMAGE, "sleep", "1000"];
    for name in ["one", "two"] {
        host.ok(&[&["run", "-d", "--name", name][..], &sleep].concat());
    }
    assert_eq!(mounted(&path), ["tmpfs"]);
    assert_eq!(
        host.ok(&["exec", "one", "stat", "-c", "%a %u", "/data"]),
        "750 7"
    );
    host.ok(&["exec", "one", "sh", "-c", "echo shared > /data/file"]);
    host.ok(&["rm", "-f", "one"]);
    assert_eq!(host.ok(&["exec", "two", "cat", "/data/file"]), "shared");

    // An engine that was killed finds it used, and unused after the end.
    host.kill_engine();
    host.start_engine();
    assert_eq!(mounted(&path), ["tmpfs"]);
    let copied = host.dir.join("copied");
    host.ok(&["cp", "two:/data/file", copied.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(&copied).unwrap(), "shared\n");
    host.tug(&["volume", "rm", "mem"])
        .assert_refused(1, "volume is in use");
    host.kill_engine();
    crate::harness::send_signal(host_pid(&host, "two"), "KILL");
    host.start_engine();
    host.until_state("two", "exited");
    crate::harness::eventually("the volume is unmounted", || mounted(&path).is_empty());
    host.ok(&["start", "two"]);
    assert_eq!(mounted(&path), ["tmpfs"]);
    assert_eq!(host.ok(&["exec", "two", "ls", "/data"]), "");
    host.ok(&["rm", "-f", "two", "idle"]);
    assert_eq!(mounted(&path), [""; 0]);
    assert_eq!(host.ok(&["volume", "rm", "mem"]), "mem");
    assert!(!path.exists());
}

/// The first process of a container, asked of its shim's run directory: there may be no engine.
fn host_pid(host: &Host, name: &str) -> i32 {
    let _ = name;
    let run = host.exec_root().join("runtime");
    let state = std::fs::read_dir(run)
        .unwrap()
        .find_map(|entry| std::fs::read_to_string(entry.unwrap().path().join("state.json")).ok());
    let state = crate::harness::json::parse(&state.unwrap());
    i32::try_from(state.number("pid")).unwrap()
}

#[test]
fn a_directory_of_the_host_can_be_a_volume_and_stays_when_that_goes() {
    let host = Host::with_image("volume-bind");
    let dir = host.make_dir("outside");
    std::fs::write(host.dir.join("outside/mine"), "mine").unwrap();
    let device = format!("device={dir}");
    for options in ["bind", "rbind,ro"] {
        let o = format!("o={options}");
        host.ok(&[
            "volume",
            "create",
            "-o",
            "type=none",
            "-o",
            &device,
            "-o",
            &o,
            "out",
        ]);
        let output = sh(
            &host,
            &["-v", "out:/data"],
            "cat /data/mine; touch /data/new",
        );
        assert_eq!(output.stdout, "mine", "{output:?}");
        assert_eq!(output.code == 0, options == "bind", "{output:?}");
        assert_eq!(host.ok(&["volume", "rm", "out"]), "out");
    }
    let mut left: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["mine", "new"]);
}

#[test]
fn a_file_system_on_a_block_device_can_be_a_volume() {
    let host = Host::with_image("volume-device");
    let file = host.dir.join("disk");
    let made = std::fs::File::create(&file).and_then(|file| file.set_len(8 << 20));
    made.unwrap();
    let tool = |line: &[&str]| {
        let output = std::process::Command::new(line[0])
            .args(&line[1..])
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_string();
        output.status.success().then_some(text)
    };
    let path = file.to_str().unwrap();
    if tool(&["mkfs.ext4", "-q", "-F", path]).is_none() {
        return crate::harness::skip(
            "a_file_system_on_a_block_device_can_be_a_volume",
            "no mkfs.ext4",
        );
    }
    let Some(device) = tool(&["losetup", "-f", "--show", path]) else {
        return crate::harness::skip(
            "a_file_system_on_a_block_device_can_be_a_volume",
            "no loop device",
        );
    };
    let device_option = format!("device={device}");
    let create = [
        "volume",
        "create",
        "-o",
        "type=ext4",
        "-o",
        &device_option,
        "disk",
    ];
    host.ok(&create);
    // Another container that runs all the while does not hold on to it.
    let first = sh(&host, &["-v", "disk:/data"], "echo kept > /data/file; sync");
    host.ok(&[
        "run",
        "-d",
        "--name",
        "user",
        "-v",
        "disk:/data",
        IMAGE,
        "sleep",
        "1000",
    ]);
    host.ok(&["run", "-d", "--name", "other", IMAGE, "sleep", "1000"]);
    let shown = host.ok(&["exec", "user", "cat", "/data/file"]);
    host.ok(&["rm", "-f", "user"]);
    // With O_EXCL a block device can be opened by one who is alone with it.
    let is_free = || {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::EXCL.bits().cast_signed();
        std::fs::File::options()
            .read(true)
            .custom_flags(flags)
            .open(&device)
            .is_ok()
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !is_free() && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let was_free = is_free();
    let removed = host.tug(&["volume", "rm", "disk"]);
    tool(&["losetup", "-d", &device]);
    assert_eq!((first.code, shown.as_str()), (0, "kept"), "{first:?}");
    assert!(was_free, "somebody holds the device");
    assert_eq!(removed.code, 0, "{removed:?}");
    host.ok(&["rm", "-f", "other"]);
}

#[test]
fn what_makes_no_sense_is_refused_and_leaves_nothing() {
    let host = Host::with_image("volume-bad");
    for (line, sentence) in [
        (
            "volume create $$$",
            "create $$$: \"$$$\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path",
        ),
        (
            "volume create x",
            "create x: volume name is too short, names should be at least two alphanumeric characters",
        ),
        (
            "volume create -d foo data",
            "create data: error looking up volume plugin foo: plugin \"foo\" not found",
        ),
        (
            "volume create -o foo=1 data",
            "create data: invalid option: \"foo\"",
        ),
        (
            "volume create -o type=nfs data",
            "create data: missing required option: \"device\"",
        ),
        (
            "volume create -o device=x data",
            "create data: missing required option: \"type\"",
        ),
        (
            "volume create --name a1 data",
            "conflicting options: cannot specify a volume name through both --name and as a positional arg",
        ),
        ("volume inspect nope", "get nope: no such volume"),
        ("volume rm nope", "get nope: no such volume"),
        ("volume update nope", "get nope: no such volume"),
        ("volume ls -f colour=red", "invalid filter 'colour'"),
        (
            "volume ls -f dangling=maybe",
            "invalid filter 'dangling=[maybe]'",
        ),
        (
            "volume prune -f --filter until=1h",
            "invalid filter 'until'",
        ),
        (
            "create -v data:/x -v other:/x test true",
            "Duplicate mount point: /x",
        ),
        (
            "create -v data:/ test true",
            "invalid specification: destination can't be '/'",
        ),
        ("create -v data:x test true", "mount path must be absolute"),
        (
            "create -v x:/x test true",
            "create x: volume name is too short",
        ),
        ("create -v ../x:/x:foo test true", "invalid mode: foo"),
        (
            "create -v data:/x:rslave test true",
            "field BindOptions must not be specified",
        ),
        (
            "create --volume-driver foo -v data:/x test true",
            "error looking up volume plugin foo",
        ),
        (
            "create --volume-driver foo -v /x test true",
            "error looking up volume plugin foo",
        ),
        (
            "create --mount type=volume,src=data,dst=/x,volume-subpath=../y test true",
            "subpath must be a relative path within the volume",
        ),
        (
            "create --mount type=volume,dst=/x,volume-subpath=y test true",
            "must not set Subpath when using anonymous volumes",
        ),
        (
            "create --mount type=image,dst=/x test true",
            "field Source must not be empty",
        ),
        (
            "create --mount type=image,src=nope,dst=/x test true",
            "No such image: nope:latest",
        ),
        (
            "create --volumes-from nope test true",
            "No such container: nope",
        ),
    ] {
        let line: Vec<&str> = line.split(' ').collect();
        let output = host.tug(&line);
        assert!(output.stderr.contains(sentence), "{line:?}: {output:?}");
        assert!(matches!(output.code, 1 | 125), "{line:?}: {output:?}");
    }
    // What was named in vain may have been made before, as in Docker; nothing else.
    for name in names(&host).split_whitespace() {
        assert_eq!(name, "data");
    }
    assert_eq!(host.ok(&["ps", "-aq"]), "");
}

#[test]
fn what_cannot_be_mounted_says_why_and_hides_what_is_secret() {
    let host = Host::with_image("volume-unmountable");
    let create = |options: &[&str]| {
        let mut line = vec!["volume", "create"];
        for option in options {
            line.extend(["-o", option]);
        }
        line.push("bad");
        host.ok(&line);
    };
    let path = data(&host, "bad");
    let path = path.display();
    for (options, sentence) in [
        (
            &["type=none", "o=bind", "device=/nonexistent"][..],
            format!(
                "error while mounting volume '{path}': failed to mount local volume: mount /nonexistent:{path}, flags: 0x1000: No such file or directory (os error 2)"
            ),
        ),
        (
            &["type=nosuchfs", "device=x", "o=password=secret,a=b"],
            format!(
                "failed to mount local volume: mount x:{path}, data: password=********,a=b: No such device (os error 19)"
            ),
        ),
        (
            &["type=nfs", "device=:/x", "o=addr=no.such.host.invalid"],
            "error resolving passed in network volume address: lookup no.such.host.invalid: "
                .to_string(),
        ),
    ] {
        create(options);
        let run = ["run", "--rm", "-v", "bad:/data", IMAGE, "true"];
        let output = host.tug(&run);
        assert!(matches!(output.code, 125 | 127), "{output:?}");
        assert!(output.stderr.contains(&sentence), "{output:?}");
        assert_eq!(mounted(&data(&host, "bad")), [""; 0]);
        assert_eq!(host.ok(&["ps", "-aq"]), "");
        host.ok(&["volume", "rm", "bad"]);
    }
}

#[test]
fn lists_are_filtered_and_prune_takes_what_nobody_has() {
    let host = Host::with_image("volume-filters");
    for (name, label) in [("data1", "a=1"), ("data2", "a=2"), ("logs", "b")] {
        host.ok(&["volume", "create", "--label", label, name]);
    }
    let anonymous = host.ok(&["volume", "create"]);
    host.ok(&[
        "create",
        "--name",
        "user",
        "-v",
        "data1:/data",
        IMAGE,
        "true",
    ]);
    std::fs::write(data(&host, "data2").join("file"), [0u8; 1000]).unwrap();
    for (filter, expected) in [
        ("name=data", "data1 data2"),
        ("name=^data1$", "data1"),
        ("label=a", "data1 data2"),
        ("label=a=2", "data2"),
        ("dangling=false", "data1"),
        ("driver=local", &format!("data1 data2 logs {anonymous}")),
        ("driver=other", ""),
    ] {
        let mut found: Vec<String> = host
            .ok(&["volume", "ls", "-q", "-f", filter])
            .lines()
            .map(str::to_string)
            .collect();
        found.sort();
        let mut expected: Vec<&str> = expected.split_whitespace().collect();
        expected.sort_unstable();
        assert_eq!(found, expected, "{filter}");
    }
    let usage = host.get("/system/df?type=volume");
    let rows = parse(&usage.text("Volumes")).items();
    let row = rows
        .iter()
        .find(|row| row.string("Name") == "data2")
        .unwrap();
    assert_eq!(row.text("UsageData"), r#"{"RefCount":0,"Size":1000}"#);
    let verbose = host.ok(&["system", "df", "-v"]);
    assert!(verbose.contains("data2"), "{verbose}");
    assert!(
        host.ok(&[
            "system",
            "df",
            "--format",
            "{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}"
        ])
        .contains("Local Volumes 4 1 1kB 1kB (100%)")
    );

    let pruned = host.ok(&["system", "prune", "-f", "--volumes"]);
    assert!(
        pruned.contains(&format!("Deleted Volumes:\n{anonymous}\n")),
        "{pruned}"
    );
    host.ok(&[
        "create",
        "--name",
        "user",
        "-v",
        "data1:/data",
        IMAGE,
        "true",
    ]);
    assert_eq!(
        host.ok(&["volume", "prune", "-af", "--filter", "label=a"]),
        "Deleted Volumes:\ndata2\n\nTotal reclaimed space: 1kB"
    );
    // For clients of long ago all are alike.
    let reply = host.http("POST", "/v1.41/volumes/prune", "");
    assert_eq!(
        reply.body,
        r#"{"VolumesDeleted":["logs"],"SpaceReclaimed":0}"#
    );
    assert_eq!(names(&host), "data1");
    let reply = host.http("PUT", "/volumes/data1?version=1", "{}");
    let sentence = "volume update only valid for cluster volumes, but swarm is unavailable";
    assert_eq!(reply.error(), (503, sentence.to_string()));
}

#[test]
fn a_directory_or_file_within_a_volume_can_be_mounted_and_links_do_not_lead_out() {
    let host = Host::with_image("volume-subpath");
    let script = "mkdir -p /v/a/b; echo deep > /v/a/b/file; ln -s a/b /v/in; ln -s /etc /v/out; ln -s ../../.. /v/up";
    assert_eq!(sh(&host, &["-v", "data:/v"], script).code, 0);
    let run = |subpath: &str, script: &str| {
        let mount = format!("type=volume,src=data,dst=/x,volume-subpath={subpath}");
        sh(&host, &["--mount", &mount], script)
    };
    for path in ["a/b", "in", "a/../a/b"] {
        assert_eq!(run(path, "cat /x/file").stdout, "deep\n", "{path}");
    }
    assert_eq!(run("a/b/file", "cat /x").stdout, "deep\n");
    let root = data(&host, "data");
    let root = root.display();
    for (path, sentence) in [
        (
            "out",
            format!("path concatenation escapes the base directory, base: {root}, subpath: out"),
        ),
        (
            "out/passwd",
            format!(
                "path concatenation escapes the base directory, base: {root}, subpath: out/passwd"
            ),
        ),
        (
            "up",
            format!("path concatenation escapes the base directory, base: {root}, subpath: up"),
        ),
        (
            "nope",
            format!("cannot access path {root}/nope: No such file or directory"),
        ),
    ] {
        let output = run(path, "true");
        // As Docker's client takes "no such file" for that of the program.
        assert!(matches!(output.code, 125 | 127), "{output:?}");
        assert!(output.stderr.contains(&sentence), "{output:?}");
    }

    // Seen again at each start, and by cp.
    let mount = "type=volume,src=data,dst=/x,volume-subpath=a/b";
    host.ok(&[
        "create", "--name", "user", "--mount", mount, IMAGE, "cat", "/x/file",
    ]);
    let copied = host.dir.join("copied");
    host.ok(&["cp", "user:/x/file", copied.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(&copied).unwrap(), "deep\n");
    assert_eq!(
        sh(
            &host,
            &["-v", "data:/v"],
            "mv /v/a/b /v/a/c; ln -s /etc /v/a/b"
        )
        .code,
        0
    );
    let refused = host.tug(&["start", "-a", "user"]);
    let sentence = "path concatenation escapes the base directory";
    assert!(
        refused.code != 0 && refused.stderr.contains(sentence),
        "{refused:?}"
    );
    assert_eq!(
        sh(&host, &["-v", "data:/v"], "rm /v/a/b; mv /v/a/c /v/a/b").code,
        0
    );
    assert_eq!(host.ok(&["start", "-a", "user"]), "deep");
}

#[test]
fn another_images_files_can_be_mounted_to_read() {
    let host = Host::with_image("volume-image");
    let mut archive = crate::harness::rootfs::Archive::new();
    archive.dir("lib/", 0o755).dir("lib/sub/", 0o755);
    archive.file("lib/sub/file", 0o644, "of the image");
    let first = archive.finish();
    let mut archive = crate::harness::rootfs::Archive::new();
    archive.dir("lib/", 0o755).file("lib/upper", 0o644, "upper");
    let tar = crate::harness::rootfs::docker_archive("parts:1", &[first, archive.finish()], "{}");
    host.tug_with_input(&["load", "-q"], &tar);

    let script = "ls /x/lib; cat /x/lib/sub/file; touch /x/new";
    let output = sh(&host, &["--mount", "type=image,src=parts:1,dst=/x"], script);
    assert_eq!(output.stdout, "sub\nupper\nof the image");
    assert!(
        output.stderr.contains("Read-only file system"),
        "{output:?}"
    );
    let mount = "type=image,src=parts:1,dst=/x,image-subpath=lib/sub";
    assert_eq!(
        sh(&host, &["--mount", mount], "cat /x/file").stdout,
        "of the image"
    );
    let mount = "type=image,src=parts:1,dst=/x,image-subpath=lib/sub/file";
    assert_eq!(
        sh(&host, &["--mount", mount], "cat /x").stdout,
        "of the image"
    );
    let mount = "type=image,src=test,dst=/x,image-subpath=bin";
    assert_eq!(sh(&host, &["--mount", mount], "ls /x | head -n 1").code, 0);

    let mount = "type=image,src=parts:1,dst=/x";
    host.ok(&["create", "--name", "user", "--mount", mount, IMAGE, "true"]);
    assert_eq!(host.inspect("user", "Mounts.0.Name"), "\"parts:1\"");
    assert_eq!(host.inspect("user", "Mounts.0.RW"), "false");
    // By its id: a name may go on to another image. What is used is not removed.
    let tag = ["import", "-", "parts:1"];
    host.tug_with_input(&tag, &crate::harness::rootfs::busybox());
    host.ok(&["image", "prune", "-f"]);
    assert_eq!(host.tug(&["start", "-a", "user"]).code, 0);
}

#[test]
fn files_are_copied_into_volumes_and_out_whatever_state_the_container_is_in() {
    let host = Host::with_image("volume-cp");
    host.ok(&[
        "create",
        "--name",
        "user",
        "-v",
        "data:/data",
        "-v",
        "logs:/logs:ro",
        IMAGE,
        "sleep",
        "1000",
    ]);
    let file = host.write("file", "brought");
    let out = host.dir.join("out");
    for _ in 0..2 {
        host.ok(&["cp", &file, "user:/data/file"]);
        assert_eq!(
            std::fs::read_to_string(data(&host, "data").join("file")).unwrap(),
            "brought"
        );
        host.ok(&["cp", "user:/data/file", out.to_str().unwrap()]);
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "brought");
        host.tug(&["cp", &file, "user:/logs/file"])
            .assert_refused(1, "mounted volume is marked read-only");
        std::fs::remove_file(data(&host, "data").join("file")).unwrap();
        host.ok(&["start", "user"]);
    }
    // They are nobody's layer.
    host.ok(&["exec", "user", "touch", "/data/x"]);
    let changes = host.ok(&["diff", "user"]);
    assert!(!changes.contains("/data/x"), "{changes}");
    host.ok(&["commit", "user", "committed"]);
    assert_eq!(host.ok(&["run", "--rm", "committed", "ls", "/data"]), "");
    host.ok(&["rm", "-f", "user"]);
}

#[test]
fn events_tell_of_volumes() {
    let host = Host::with_image("volume-events");
    host.ok(&["volume", "create", "data"]);
    host.ok(&["run", "--rm", "-v", "data:/data:ro", IMAGE, "true"]);
    crate::harness::eventually("the container has gone", || {
        host.ok(&["ps", "-aq"]).is_empty()
    });
    host.ok(&["volume", "rm", "data"]);
    let events = host.ok(&[
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "-f",
        "volume=data",
        "--format",
        "{{.Action}} {{json .Actor.Attributes}}",
    ]);
    let lines: Vec<String> = events
        .lines()
        .map(|line| {
            let at = line.find(r#""container":""#).map(|at| at + 13);
            match at {
                Some(at) => line[..at].to_string() + &line[at + 64..],
                None => line.to_string(),
            }
        })
        .collect();
    assert_eq!(
        lines,
        [
            r#"create {"driver":"local"}"#,
            r#"mount {"container":"","destination":"/data","driver":"local","propagation":"","read/write":"false"}"#,
            r#"unmount {"container":"","driver":"local"}"#,
            r#"destroy {"driver":"local"}"#,
        ]
    );
}

#[test]
fn many_make_use_and_remove_one_volume_at_a_time() {
    let host = Host::with_image("volume-race");
    std::thread::scope(|scope| {
        for n in 0..4 {
            let host = &host;
            scope.spawn(move || {
                for round in 0..crate::harness::rounds(4, 40) {
                    if n % 2 == 0 {
                        assert_eq!(host.ok(&["volume", "create", "data"]), "data");
                    } else {
                        let name = format!("box-{n}-{round}");
                        host.ok(&["create", "--name", &name, "-v", "data:/data", IMAGE, "true"]);
                        assert!(
                            data(host, "data").is_dir(),
                            "it was removed under a container"
                        );
                        host.ok(&["rm", &name]);
                    }
                    let output = host.tug(&["volume", "rm", "data"]);
                    let is_told = ["no such volume", "volume is in use"];
                    assert!(
                        output.code == 0 || is_told.iter().any(|s| output.stderr.contains(s)),
                        "{output:?}"
                    );
                }
            });
        }
    });
    host.ok(&["volume", "rm", "-f", "data"]);
    assert_eq!(std::fs::read_dir(volumes_dir(&host)).unwrap().count(), 0);
}

#[test]
fn dockers_own_client_knows_our_volumes() {
    let host = Host::with_image("volume-docker");
    let Some(output) = host.docker(&["volume", "create", "--label", "a=1", "data"]) else {
        return crate::harness::skip("dockers_own_client_knows_our_volumes", "no docker client");
    };
    assert_eq!(output, Output::new(0, "data\n", ""));
    let docker = |line: &str| {
        let line: Vec<&str> = line.split(' ').collect();
        host.docker(&line).unwrap()
    };
    assert_eq!(
        docker("run --rm -v data:/x -v /y test touch /x/file").code,
        0
    );
    docker("create --name user --mount type=volume,src=data,dst=/x,volume-label=b=2 test true");
    for line in [
        "volume ls",
        "volume ls -q",
        "volume ls --format json",
        "volume ls --format raw",
        "volume ls -f name=da",
        "volume inspect data",
        "volume inspect -f {{.Mountpoint}} data",
        "system df",
        "ps -a --format {{.Mounts}}|{{.LocalVolumes}}",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(host.tug(&words), docker(line), "{line}");
    }
    let line = ["system", "df", "-v", "--format", "{{json .Volumes}}"];
    let theirs = host.docker(&line).unwrap();
    assert_eq!(host.ok(&line), theirs.stdout.trim_end());
    let refused = docker("volume rm data");
    assert!(refused.stderr.contains("volume is in use"), "{refused:?}");
    assert_eq!(docker("rm -v user").code, 0);
    let pruned = docker("volume prune -af");
    assert!(
        pruned.stdout.contains("Deleted Volumes:\ndata\n"),
        "{pruned:?}"
    );
}
