//! Images: import, load, list, inspect, remove; and archives that are not what they should be.

use crate::harness::command::Output;
use crate::harness::rootfs::{Archive, busybox, docker_archive, gzip, oci_archive, sha256};
use crate::harness::{Host, IMAGE, json, rootfs};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;

/// All files below `dir` with their content, to see that nothing has changed.
fn picture(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.display().to_string();
            let kind = std::fs::symlink_metadata(&path).unwrap();
            if kind.is_dir() {
                open.push(path);
                found.insert(name, "dir".to_string());
            } else if kind.is_symlink() {
                let target = std::fs::read_link(&path).unwrap();
                found.insert(name, target.display().to_string());
            } else {
                found.insert(name, sha256(&std::fs::read(&path).unwrap()));
            }
        }
    }
    found
}

/// The files of all layers in the store.
fn layers(host: &Host) -> BTreeMap<String, String> {
    picture(&host.data_root().join("layers"))
}

fn cat(host: &Host, image: &str, script: &str) -> String {
    host.ok(&["run", "--rm", image, "sh", "-c", script])
}

#[test]
fn import_takes_plain_and_compressed_tars_from_a_pipe_or_a_file() {
    let host = Host::new("import");
    let plain = busybox();
    let packed = gzip(&plain);
    let file = host.write("rootfs.tar.gz", &packed);
    host.import("plain", &plain);
    host.import("packed:1.0", &packed);
    let id = host.ok(&["import", &file, "file:2.0"]);
    assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
    for image in ["plain", "packed:1.0", "file:2.0", &id] {
        assert_eq!(
            cat(&host, image, "head -1 /etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh"
        );
    }
}

/// A web server with one answer for each connection, in this order.
fn web(answers: Vec<(&'static str, Vec<u8>)>) -> (String, std::thread::JoinHandle<()>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        for (status, body) in answers {
            let (mut client, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            client.write_all(head.as_bytes()).unwrap();
            let _ = client.write_all(&body);
        }
    });
    (host, server)
}

#[test]
fn import_has_the_engine_fetch_a_url() {
    let host = Host::new("import-url");
    let packed = gzip(&busybox());
    let (server, thread) = web(vec![
        ("200 OK", packed.clone()),
        ("404 Not Found", Vec::new()),
        ("200 OK", b"no archive".to_vec()),
    ]);
    let url = format!("http://{server}/rootfs.tar.gz");
    let output = host.ok(&["import", "-c", "ENV A=b", &url, "web:1"]);
    let (first, id) = output.split_once('\n').unwrap();
    assert_eq!(first, format!("Downloading from {url}"));
    let image = host.get("/images/web:1/json");
    assert_eq!(image.string("Id"), id);
    assert_eq!(image.string("Comment"), format!("Imported from {url}"));
    assert_eq!(cat(&host, "web:1", "echo $A"), "b");
    host.tug(&["import", &url])
        .assert_refused(1, "the server answered 404");
    assert_eq!(
        host.tug(&["import", &url]),
        Output::new(
            1,
            &format!("{first}\n"),
            "tug: import: this is not a tar archive\n"
        )
    );
    thread.join().unwrap();
    host.tug(&["import", &url])
        .assert_refused(1, "connection refused");
    assert_eq!(host.ok(&["images", "-q"]).lines().count(), 1);
}

#[test]
fn import_without_a_name_and_with_changes() {
    let host = Host::new("import-changes");
    let output = host.tug_with_input(
        &[
            "import",
            "-c",
            "ENV A=one",
            "--change",
            "CMD [\"sh\", \"-c\", \"echo $A $(pwd)\"]",
            "--change",
            "WORKDIR /srv",
            "-m",
            "made by a test",
            "-",
        ],
        &busybox(),
    );
    assert_eq!(output.code, 0, "{output:?}");
    let id = output.stdout.trim_end();
    assert_eq!(host.ok(&["run", "--rm", id]), "one /srv");
    let image = host.get(&format!("/images/{id}/json"));
    assert_eq!(image.text("RepoTags"), "[]");
    assert_eq!(image.string("Comment"), "made by a test");
    assert_eq!(image.string("Os"), "linux");
    assert_eq!(image.string("Architecture"), rootfs::architecture());
}

#[test]
fn images_prints_dockers_columns() {
    let host = Host::new("images");
    assert_eq!(
        host.tug(&["images"]),
        Output::new(0, "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n", "")
    );
    let id = host.import("test", &busybox());
    let table = host.tug(&["images"]);
    let lines = table.lines();
    assert_eq!(lines.len(), 2, "{table:?}");
    assert!(
        lines[0].starts_with("REPOSITORY   TAG       IMAGE ID       CREATED"),
        "{table:?}"
    );
    let row = format!("test         latest    {}   ", &id[7..19]);
    assert!(lines[1].starts_with(&row), "{table:?}");
    assert!(
        lines[1].contains(" ago ") && lines[1].ends_with("MB"),
        "{table:?}"
    );
    assert_eq!(host.ok(&["images", "-q"]), id[7..19]);
    assert_eq!(host.ok(&["images", "-q", "--no-trunc"]), id);
}

#[test]
fn a_saved_archive_loads_with_its_whiteouts() {
    let host = Host::new("load");
    let mut lower = Archive::new();
    lower.dir("data/", 0o755);
    lower.file("data/keep", 0o640, "kept");
    lower.file("data/drop", 0o644, "dropped");
    lower.file("data/change", 0o644, "old");
    lower.dir("opaque/", 0o755);
    lower.file("opaque/hidden", 0o644, "hidden");
    let mut upper = Archive::new();
    upper.dir("data/", 0o755);
    upper.file("data/.wh.drop", 0o644, "");
    upper.file("data/change", 0o644, "new");
    upper.dir("opaque/", 0o755);
    upper.file("opaque/.wh..wh..opq", 0o644, "");
    upper.file("opaque/shown", 0o644, "shown");
    let layers = [busybox(), lower.finish(), upper.finish()];

    let archive = docker_archive("layered:1", &layers, r#"{"Cmd":["sh"]}"#);
    assert_eq!(
        host.tug_with_input(&["load"], &archive),
        Output::new(0, "Loaded image: layered:1\n", "")
    );
    let file = host.write(
        "layout.tar",
        oci_archive("layout:2", &layers, r#"{"Cmd":["sh"]}"#),
    );
    assert_eq!(host.ok(&["load", "-i", &file]), "Loaded image: layout:2");
    assert_eq!(
        host.ok(&["load", "-q", "-i", &file]),
        "Loaded image: layout:2"
    );
    let packed = host.write("saved.tar.gz", gzip(&archive));
    assert_eq!(host.ok(&["load", "-i", &packed]), "Loaded image: layered:1");

    for image in ["layered:1", "layout:2"] {
        let script = "cd /data; ls -A; stat -c %a keep; cat keep change; echo; ls -A /opaque";
        assert_eq!(
            cat(&host, image, script),
            "change\nkeep\n640\nkeptnew\nshown",
            "{image}"
        );
        let found = host.get(&format!("/images/{image}/json"));
        let diff_ids: Vec<String> = layers
            .iter()
            .map(|layer| format!("\"sha256:{}\"", sha256(layer)))
            .collect();
        assert_eq!(
            found.text("RootFS.Layers"),
            format!("[{}]", diff_ids.join(","))
        );
    }
    // The same layers lie there once: both images, one removed, the other still whole.
    host.tug(&["rmi", "layered:1"]);
    assert_eq!(cat(&host, "layout:2", "cat /data/keep"), "kept");
}

#[test]
fn an_image_is_found_by_every_name_docker_takes() {
    let host = Host::new("image-names");
    let id = host.import("test:1", &busybox());
    for name in [
        "test:1",
        "library/test:1",
        "docker.io/library/test:1",
        "docker.io/test:1",
        &id,
        &id[7..],
        &id[7..19],
    ] {
        assert_eq!(
            host.get(&format!("/images/{name}/json")).string("Id"),
            id,
            "{name}"
        );
        assert_eq!(
            host.ok(&["run", "--rm", name, "echo", "ran"]),
            "ran",
            "{name}"
        );
    }
    let (status, message) = host.http("GET", "/images/test:2/json", "").error();
    assert_eq!((status, message.as_str()), (404, "No such image: test:2"));
    let bad = host.tug(&["run", "--rm", "UPPER", "true"]);
    bad.assert_refused(125, "repository name (library/UPPER) must be lowercase");
    host.tug(&["run", "--rm", "a:b:c", "true"])
        .assert_refused(125, "invalid reference format");
}

#[test]
fn rmi_untags_and_deletes() {
    let host = Host::new("rmi");
    let id = host.import("one", &busybox());
    assert_eq!(
        host.http("POST", "/images/one/tag?repo=two&tag=x", "")
            .status,
        201
    );
    assert_eq!(host.ok(&["rmi", "one"]), "Untagged: one:latest");
    let last = host.ok(&["rmi", "two:x"]);
    let lines: Vec<&str> = last.lines().collect();
    assert_eq!(
        lines[..2],
        ["Untagged: two:x", &format!("Deleted: {id}")],
        "{last}"
    );
    assert_eq!(host.ok(&["images", "-q"]), "");
    assert_eq!(layers(&host), BTreeMap::new(), "layers are left");
    host.tug(&["rmi", "one"])
        .assert_refused(1, "No such image: one:latest");
}

#[test]
fn what_is_no_name_is_not_given_as_one() {
    let host = Host::with_image("bad-tag");
    let digits = "0".repeat(64);
    let by_digest = format!("x@sha256:{digits}");
    for (name, sentence) in [
        ("UPPER", "repository name (library/UPPER) must be lowercase"),
        ("x:", "invalid reference format"),
        ("a:b:c", "invalid reference format"),
        ("", "invalid reference format"),
        (&digits, "cannot specify 64-byte hexadecimal strings"),
        (
            &by_digest,
            "refusing to create a tag with a digest reference",
        ),
        (
            "sha256:x",
            "refusing to create an ambiguous tag using digest algorithm as name",
        ),
    ] {
        host.tug(&["tag", IMAGE, name]).assert_refused(1, sentence);
    }
    assert_eq!(host.ok(&["images", "-q"]).lines().count(), 1);
}

#[test]
fn an_old_client_knows_an_image_without_a_name() {
    let host = Host::new("old-names");
    host.tug_with_input(&["import", "-"], &busybox());
    let names = |version: &str| {
        let images = host.get(&format!("/v{version}/images/json"));
        let image = &images.items()[0];
        (
            image.text("RepoTags"),
            image.text("RepoDigests"),
            image.number("Containers"),
        )
    };
    let old = (
        r#"["<none>:<none>"]"#.into(),
        r#"["<none>@<none>"]"#.into(),
        -1,
    );
    assert_eq!(names("1.42"), old);
    assert_eq!(names("1.43"), ("[]".into(), "[]".into(), -1));
    assert_eq!(names("1.51"), ("[]".into(), "[]".into(), 0));
}

#[test]
fn an_image_in_use_stays() {
    let host = Host::with_image("rmi-in-use");
    let container = host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let id = host.get(&format!("/images/{IMAGE}/json")).string("Id");
    host.tug(&["rmi", IMAGE]).assert_refused(
        1,
        &format!(
            "conflict: unable to remove repository reference \"{IMAGE}\" (must force) - \
             container {} is using its referenced image {}",
            &container[..12],
            &id[7..19]
        ),
    );
    assert_eq!(
        host.ok(&["exec", "web", "echo", "still here"]),
        "still here"
    );
    assert_eq!(host.ok(&["rm", "-f", "web"]), "web");
    assert_eq!(host.tug(&["rmi", IMAGE]).code, 0);
}

#[test]
fn a_retagged_image_keeps_its_old_self_without_a_name() {
    let host = Host::new("retag");
    let first = host.import("test", &busybox());
    let second = host.import(
        "test",
        &rootfs::busybox_with(|more| {
            more.file("etc/second", 0o644, "second");
        }),
    );
    assert_ne!(first, second);
    assert_eq!(cat(&host, "test", "cat /etc/second"), "second");
    assert_eq!(
        cat(&host, &first, "ls /etc/second 2>/dev/null; echo none"),
        "none"
    );
    let table = host.tug(&["images"]);
    assert!(table.stdout.contains("<none>       <none>"), "{table:?}");
}

#[test]
fn links_of_an_image_lead_inside_it() {
    let host = Host::new("links");
    host.import(
        "test",
        &rootfs::busybox_with(|more| {
            more.dir("real/", 0o755);
            more.file("real/file", 0o644, "content");
            more.hard_link("hard", "/real/file");
            more.symlink("run", "/real");
            more.file("run/through", 0o644, "through the link");
            more.file("twice", 0o644, "first");
            more.file("twice", 0o644, "second");
            more.symlink("var", "/real");
            more.hard_link("real/linked", "var/file");
        }),
    );
    let script = "cat /hard /real/through /twice /real/linked; stat -c %h /real/file";
    assert_eq!(
        cat(&host, "test", script),
        "contentthrough the linksecondcontent3"
    );
}

/// What a hostile archive holds.
type Attack<'a> = Box<dyn Fn(&mut Archive) + 'a>;

#[test]
fn no_archive_reaches_outside_its_layer() {
    let host = Host::new("breakout");
    let canary = host.make_dir("canary");
    host.write("canary/file", "untouched");
    let target = canary.trim_start_matches('/');
    let up = "../../../../../../../../../../../..";
    let before = picture(&host.dir.join("canary"));
    let attacks: Vec<(&str, Attack)> = vec![
        (
            "absolute name",
            Box::new(|a| {
                a.file(&format!("{canary}/a"), 0o644, "x");
            }),
        ),
        (
            "dots",
            Box::new(|a| {
                a.file(&format!("{up}/{target}/b"), 0o644, "x");
            }),
        ),
        (
            "through an absolute link",
            Box::new(|a| {
                a.symlink("out", &canary).file("out/c", 0o644, "x");
            }),
        ),
        (
            "through a link up",
            Box::new(|a| {
                a.symlink("out", &format!("{up}/{target}"))
                    .file("out/d", 0o644, "x");
            }),
        ),
        (
            "through two links",
            Box::new(|a| {
                a.symlink("one", up)
                    .symlink("two", &format!("one/{target}"));
                a.file("two/e", 0o644, "x");
            }),
        ),
        (
            "over a link",
            Box::new(|a| {
                a.symlink("over", &format!("{canary}/file"))
                    .file("over", 0o644, "x");
            }),
        ),
        (
            "hard link out",
            Box::new(|a| {
                a.hard_link("hard", &format!("{canary}/file"))
                    .file("hard", 0o644, "x");
            }),
        ),
        (
            "hard link up",
            Box::new(|a| {
                a.hard_link("hard", &format!("{up}/{target}/file"));
                a.file("hard", 0o644, "x");
            }),
        ),
        (
            "directory over a link",
            Box::new(|a| {
                a.symlink("dir", &canary)
                    .dir("dir/", 0o700)
                    .file("dir/f", 0o644, "x");
            }),
        ),
        (
            "whiteout of a link",
            Box::new(|a| {
                a.symlink("out", &canary).file("out/.wh.file", 0o644, "");
            }),
        ),
        (
            "opaque through a link",
            Box::new(|a| {
                a.symlink("out", &canary)
                    .file("out/.wh..wh..opq", 0o644, "");
            }),
        ),
        (
            "whiteout of dots",
            Box::new(|a| {
                a.file(".wh...", 0o644, "");
            }),
        ),
        (
            "whiteout of the parent",
            Box::new(|a| {
                a.file(&format!("{up}/{target}/.wh.file"), 0o644, "");
            }),
        ),
        (
            "a device",
            Box::new(|a| {
                a.symlink("dev", &canary).file("dev/null", 0o666, "x");
            }),
        ),
    ];
    for (what, attack) in &attacks {
        let mut archive = Archive::new();
        attack(&mut archive);
        // Refused or confined: what counts is that nothing outside has changed.
        let output = host.tug_with_input(&["import", "-", "attack"], &archive.finish());
        assert_eq!(
            picture(&host.dir.join("canary")),
            before,
            "{what}: {output:?}"
        );
        let mut layer = Archive::new();
        attack(&mut layer);
        let archive = docker_archive("attack:2", &[busybox(), layer.finish()], "{}");
        host.tug_with_input(&["load"], &archive);
        assert_eq!(picture(&host.dir.join("canary")), before, "load, {what}");
    }
    assert_eq!(host.http("GET", "/_ping", "").status, 200);
}

#[test]
fn a_damaged_archive_leaves_nothing() {
    let host = Host::with_image("damaged");
    let before = picture(&host.data_root());
    let tar = busybox();
    let packed = gzip(&tar);
    let mut broken = packed.clone();
    let middle = broken.len() / 2;
    broken[middle..middle + 64].fill(0xff);
    let mut wrong_sum = packed.clone();
    let sum = wrong_sum.len() - 6;
    wrong_sum[sum] ^= 0xff;
    let garbage: Vec<u8> = (0..200_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for (what, bytes) in [
        ("a truncated tar", &tar[..tar.len() / 2]),
        ("a truncated gzip", &packed[..packed.len() / 2]),
        ("a gzip without its end", &packed[..packed.len() - 4]),
        ("a gzip with another checksum", &wrong_sum),
        ("a damaged gzip", &broken),
        ("garbage", &garbage),
    ] {
        let output = host.tug_with_input(&["import", "-", "damaged"], bytes);
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (1, ""),
            "{what}: {output:?}"
        );
        assert_eq!(
            output.stderr.trim_end().lines().count(),
            1,
            "{what}: {output:?}"
        );
        assert_eq!(picture(&host.data_root()), before, "{what} left something");
        let output = host.tug_with_input(&["load"], bytes);
        assert_eq!(output.code, 1, "load of {what}: {output:?}");
        assert_eq!(
            picture(&host.data_root()),
            before,
            "load of {what} left something"
        );
    }
    assert_eq!(host.ok(&["images", "-q"]).lines().count(), 1);
}

#[test]
fn an_archive_that_lies_about_its_content_leaves_nothing() {
    let host = Host::with_image("lying");
    let before = picture(&host.data_root());
    let layer = busybox();
    let mut other = Archive::new();
    other.file("other", 0o644, "other");
    let other = other.finish();
    let name = sha256(&layer);

    let lying = |config: &str, manifest: &str, content: &[u8]| {
        let mut archive = Archive::new();
        archive.file("config.json", 0o644, config);
        archive.file(&format!("{name}/layer.tar"), 0o644, content);
        archive.file("manifest.json", 0o644, manifest);
        archive.finish()
    };
    let good = rootfs::image_config(std::slice::from_ref(&layer), "{}");
    // What the store has an archive need not bring; this one is nowhere.
    let unknown = rootfs::image_config(std::slice::from_ref(&other), "{}");
    let layer_name = format!("\"{name}/layer.tar\"");
    let manifest = |layers: &str| {
        format!(r#"[{{"Config":"config.json","RepoTags":["lying:1"],"Layers":[{layers}]}}]"#)
    };
    for (what, archive) in [
        (
            "a layer with another digest",
            lying(&good, &manifest(&layer_name), &other),
        ),
        (
            "a layer that is missing",
            lying(&unknown, &manifest("\"nowhere/layer.tar\""), &layer),
        ),
        ("a layer too few", lying(&good, &manifest(""), &layer)),
        (
            "a layer too many",
            lying(
                &good,
                &manifest(&format!("{layer_name},{layer_name}")),
                &layer,
            ),
        ),
        (
            "a config that is no JSON",
            lying("{", &manifest(&layer_name), &layer),
        ),
        ("a manifest that is no JSON", lying(&good, "[{", &layer)),
        ("an empty manifest", lying(&good, "[]", &layer)),
        (
            "a config outside",
            lying(
                &good,
                &manifest(&layer_name).replace("config.json", "../config.json"),
                &layer,
            ),
        ),
        ("no manifest at all", {
            let mut archive = Archive::new();
            archive.file("readme", 0o644, "hello");
            archive.finish()
        }),
        ("a blob with another digest", {
            let good = oci_archive("lying:1", std::slice::from_ref(&layer), "{}");
            flip_a_byte_of_a_blob(good)
        }),
    ] {
        let output = host.tug_with_input(&["load"], &archive);
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (1, ""),
            "{what}: {output:?}"
        );
        assert_eq!(
            output.stderr.trim_end().lines().count(),
            1,
            "{what}: {output:?}"
        );
        assert_eq!(picture(&host.data_root()), before, "{what} left something");
    }
}

/// Change the config blob without its name: a letter of its creation date.
fn flip_a_byte_of_a_blob(mut archive: Vec<u8>) -> Vec<u8> {
    let date = b"2024-01-02T03:04:05Z";
    let at = archive
        .windows(date.len())
        .position(|window| window == date)
        .unwrap();
    archive[at] = b'3';
    archive
}

#[test]
fn a_full_disk_while_importing_leaves_nothing() {
    let mut host = Host::without_engine("full-disk");
    host.make_dir("data");
    // In a mount namespace of the engine's own: nothing to unmount, whatever happens.
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-c"]).arg(format!(
        "mount -t tmpfs -o size=4m tmpfs {} && exec \"$@\"",
        host.data_root().display()
    ));
    command.arg("sh").args(host.engine_command());
    host.start_engine_as(command);
    let inside = format!(
        "/proc/{}/root{}",
        host.engine_pid(),
        host.data_root().display()
    );
    let inside = Path::new(&inside);
    let before = picture(inside);

    let large = rootfs::busybox_with(|more| {
        more.file("large", 0o644, vec![b'x'; 3_000_000]);
    });
    for bytes in [large.clone(), gzip(&large)] {
        let output = host.tug_with_input(&["import", "-", "large"], &bytes);
        output.assert_refused(1, "No space left on device");
        assert_eq!(picture(inside), before);
    }
    let archive = docker_archive("large:1", &[large], "{}");
    let output = host.tug_with_input(&["load"], &archive);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stderr.contains("No space left on device"),
        "{output:?}"
    );
    assert_eq!(picture(inside), before);

    // The space is free again: what fits, fits.
    host.import(IMAGE, &busybox());
    assert_eq!(host.ok(&["run", "--rm", IMAGE, "echo", "fits"]), "fits");
}

#[test]
fn the_api_streams_json_of_what_it_did() {
    let host = Host::new("import-api");
    let reply = host.http("POST", "/images/create?fromSrc=-&repo=test", "not a tar");
    let text = if reply.status == 200 {
        json::parse(reply.body.lines().last().unwrap()).string("error")
    } else {
        reply.error().1
    };
    assert!(!text.is_empty());
    let (status, _) = host
        .http("POST", "/images/create?fromImage=busybox&tag=latest", "")
        .error();
    assert!((400..=599).contains(&status), "{status}");
}
