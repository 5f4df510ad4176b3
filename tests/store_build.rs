//! `store build`: a store for a device, made anywhere by anybody, and used there with `--store-ro`.

use crate::harness::command::{Output, run};
use crate::harness::registry::{self, Registry};
use crate::harness::rootfs::{
    Archive, architecture, busybox, docker_archive, gzip, image_config, oci_archive, sha256,
};
use crate::harness::{Host, PATIENCE};
use crate::store_ro::{loops, sh, use_stores};
use std::path::Path;
use std::process::Command;

const CONFIG: &str = r#"{"Cmd":["cat","/opt/name"],"Env":["PATH=/bin"]}"#;

fn layer(name: &str, content: &str) -> Vec<u8> {
    let mut archive = Archive::new();
    archive.dir("opt/", 0o755);
    archive.file(&format!("opt/{name}"), 0o4755, content);
    archive.hard_link(&format!("opt/{name}-too"), &format!("opt/{name}"));
    archive.finish()
}

/// Takes away what busybox brought.
fn whiteouts() -> Vec<u8> {
    let mut archive = Archive::new();
    archive.file("etc/.wh.group", 0o644, "");
    archive.file("home/.wh..wh..opq", 0o644, "");
    archive.finish()
}

fn layers() -> Vec<Vec<u8>> {
    vec![busybox(), layer("name", "one"), whiteouts()]
}

/// A host without an engine, whose directory and binary are everybody's.
fn anywhere(name: &'static str) -> Host {
    let mut host = Host::without_engine(name);
    host.copy_binary();
    sh(&format!(
        "chmod 777 '{0}'; chmod 755 '{0}/tug'",
        host.dir.display()
    ));
    host
}

/// `tug store build` by somebody who has no rights.
fn build_as_nobody(host: &Host, args: &[&str]) -> Output {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command
        .arg(&host.binary)
        .args(["store", "build"])
        .args(args);
    command.current_dir(&host.dir).env("HOME", &host.dir);
    command.env_remove("SOURCE_DATE_EPOCH");
    run(command, b"", PATIENCE)
}

#[track_caller]
fn built(host: &Host, args: &[&str]) -> String {
    let output = build_as_nobody(host, args);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{args:?}");
    output.stdout
}

#[track_caller]
fn refused(host: &Host, args: &[&str], sentence: &str) {
    let output = build_as_nobody(host, args);
    assert!(
        output.code != 0 && output.stderr.contains(sentence),
        "{output:?}"
    );
}

#[test]
fn what_nobody_has_built_an_engine_runs_from() {
    let mut host = anywhere("store-build");
    host.write("app.tar", oci_archive("app:1", &layers(), CONFIG));
    let said = built(&host, &["-o", "store.erofs", "app.tar"]);
    assert!(
        said.starts_with("sha256:") && said.contains(" app:1 "),
        "{said}"
    );
    let file = host.dir.join("store.erofs");
    let file = file.to_str().unwrap();
    sh(&format!("fsck.erofs '{file}'"));

    use_stores(&mut host, &[file]);
    assert_eq!(host.ok(&["run", "--rm", "app:1"]), "one");
    let look = "id -u; stat -c '%u %a %h %Y' /opt/name; ls /etc; ls /home | wc -l";
    let seen = host.ok(&["run", "--rm", "app:1", "sh", "-c", look]);
    assert_eq!(
        seen,
        "0\n0 4755 2 1700000000\nhostname\nhosts\npasswd\nresolv.conf\n0"
    );
    let id = host.get("/images/app:1/json").string("Id");
    assert!(said.starts_with(&id));
    let sizes = host.get("/images/app:1/json").number("Size");
    assert_eq!(
        sizes,
        3 + i64::try_from(std::fs::metadata("/bin/busybox").unwrap().len()).unwrap()
            + size_of_texts()
    );

    // What comes out of it again is what went in: the layers' archives to the byte.
    let saved = host.dir.join("saved.tar");
    host.ok(&["save", "-o", saved.to_str().unwrap(), "app:1"]);
    let listed = sh(&format!("tar -tf '{}'", saved.display()));
    for layer in layers() {
        let blob = format!("blobs/sha256/{}", sha256(&layer));
        assert!(listed.contains(&blob), "{blob}: {listed}");
    }
    host.stop_engine();
    crate::harness::eventually("the loop device has gone", || loops(file) == 0);
}

/// Bytes of busybox's passwd and group, as the image has them.
fn size_of_texts() -> i64 {
    let dir = sh("mktemp -d");
    std::fs::write(format!("{dir}/b.tar"), busybox()).unwrap();
    let bytes = sh(&format!(
        "cd '{dir}'; tar -xf b.tar etc; cat etc/* | wc -c; rm -r '{dir}'"
    ));
    bytes.parse().unwrap()
}

#[test]
fn the_same_sources_give_the_same_bytes() {
    let host = anywhere("store-build-same");
    let plain = docker_archive("app:1", &layers(), CONFIG);
    host.write("plain.tar", &plain);
    host.write("packed.tar.gz", gzip(&plain));
    let read = |name: &str| std::fs::read(host.dir.join(name)).unwrap();
    built(&host, &["-o", "a.erofs", "plain.tar"]);
    built(&host, &["-o", "b.erofs", "packed.tar.gz"]);
    assert!(read("a.erofs") == read("b.erofs"));
    // Over one that is there.
    built(&host, &["-o", "b.erofs", "plain.tar"]);
    assert!(read("a.erofs") == read("b.erofs"));

    let mut command = Command::new(&host.binary);
    command.args(["store", "build", "-o", "c.erofs", "plain.tar"]);
    command
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .current_dir(&host.dir);
    assert_eq!(run(command, b"", PATIENCE).code, 0);
    assert!(read("a.erofs") != read("c.erofs"));
    let about = sh(&format!("cd '{}'; dump.erofs c.erofs", host.dir.display()));
    assert!(about.contains("2023"), "{about}");
}

#[test]
fn images_of_many_sources_share_their_layers() {
    let mut host = anywhere("store-build-many");
    let two = [busybox(), layer("name", "two")];
    host.write("one.tar", docker_archive("one:1", &layers(), CONFIG));
    host.write("two.tar", oci_archive("two:1", &two, CONFIG));
    host.write(
        "named.tar",
        docker_archive("other:1", &[busybox(), layer("name", "three")], CONFIG),
    );
    let layout = host.make_dir("layout");
    sh(&format!("cd '{layout}'; tar -xf ../two.tar"));

    // As umoci and skopeo write it: with a tag and no name.
    let nameless = sh(&format!(
        "cd '{layout}'; sed 's/\"io.containerd[^,]*,//' index.json"
    ));
    let tagged = host.make_dir("tagged");
    sh(&format!("cp -r '{layout}'/* '{tagged}'"));
    std::fs::write(format!("{tagged}/index.json"), nameless).unwrap();
    let warned = build_as_nobody(&host, &["-o", "store.erofs", "tagged"]);
    assert!(
        warned.code == 0
            && warned
                .stderr
                .contains(" has no name: NAME=SOURCE gives it one")
    );

    let sources = [
        "one.tar",
        "named/by-us=tagged",
        "layout",
        "here/three:3=named.tar",
        "two.tar",
    ];
    let said = built(&host, &[&["-o", "store.erofs"], &sources[..]].concat());
    assert_eq!(said.lines().count(), 3, "{said}");
    let file = host.dir.join("store.erofs");
    let busybox_bytes = std::fs::metadata("/bin/busybox").unwrap().len();
    let bytes = std::fs::metadata(&file).unwrap().len();
    assert!(bytes < busybox_bytes + (1 << 20), "{bytes}");

    use_stores(&mut host, &[file.to_str().unwrap()]);
    for (name, content) in [
        ("one:1", "one"),
        ("two:1", "two"),
        ("here/three:3", "three"),
        ("named/by-us", "two"),
    ] {
        assert_eq!(host.ok(&["run", "--rm", name]), content);
    }
}

/// An OCI archive with one name for two machines.
fn two_machines() -> Vec<u8> {
    let mut archive = Archive::new();
    let mut blob = |content: &[u8]| {
        let digits = sha256(content);
        archive.file(&format!("blobs/sha256/{digits}"), 0o644, content);
        format!(r#""digest":"sha256:{digits}","size":{}"#, content.len())
    };
    let mut entries = Vec::new();
    for (machine, variant) in [("amd64", ""), ("arm", r#","variant":"v7""#)] {
        let layers = [layer("name", machine)];
        let config = image_config(&layers, CONFIG);
        let config = config.replace(architecture(), &format!(r#"{machine}"{variant},"x":""#));
        let config = blob(config.as_bytes());
        let layer = blob(&gzip(&layers[0]));
        let manifest = blob(
            format!(r#"{{"schemaVersion":2,"config":{{{config}}},"layers":[{{{layer}}}]}}"#)
                .as_bytes(),
        );
        entries.push(format!(
            r#"{{{manifest},"platform":{{"os":"linux","architecture":"{machine}"{variant}}},"annotations":{{"io.containerd.image.name":"docker.io/library/app:1"}}}}"#
        ));
    }
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
        entries.join(",")
    );
    archive.file("index.json", 0o644, index);
    archive.finish()
}

#[test]
fn the_platform_decides_and_no_other_machines_layers_come_along() {
    let host = anywhere("store-build-platform");
    host.write("app.tar", two_machines());
    for (platform, machine, other) in [
        ("linux/arm/v7", "arm", "amd64"),
        ("linux/amd64", "amd64", "arm"),
    ] {
        built(
            &host,
            &["--platform", platform, "-o", "store.erofs", "app.tar"],
        );
        let script = format!(
            "cd '{}'; fsck.erofs --extract=out store.erofs >&2; cat out/layers/*/diff/opt/name; rm -r out",
            host.dir.display()
        );
        assert_eq!(sh(&script), machine);
        let bytes = std::fs::read(host.dir.join("store.erofs")).unwrap();
        let text = format!("\"architecture\":\"{other}\"");
        assert!(
            !bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        );
    }
    let sentence = "no matching manifest for linux/riscv64 in the manifest list entries";
    let args = ["--platform", "linux/riscv64", "-o", "no.erofs", "app.tar"];
    refused(&host, &args, sentence);
}

#[test]
fn a_registry_is_a_source() {
    if !registry::is_installed() {
        println!("skip: a_registry_is_a_source: docker-registry is not installed");
        return;
    }
    let registry = Registry::start();
    let mut host = anywhere("store-build-registry");
    host.write("app.tar", docker_archive("app:1", &layers(), CONFIG));
    let name = format!("{}/some/app:1", registry.host());
    sh(&format!(
        "skopeo copy --quiet --dest-tls-verify=false 'docker-archive:{}/app.tar' 'docker://{name}'",
        host.dir.display()
    ));
    built(&host, &["-o", "store.erofs", &name]);
    let file = host.dir.join("store.erofs");
    use_stores(&mut host, &[file.to_str().unwrap()]);
    assert_eq!(host.ok(&["run", "--rm", &name]), "one");
    refused(
        &host,
        &["-o", "x", &format!("{}/none:1", registry.host())],
        "none",
    );
}

/// Entries of the host's directory, to see that nothing was left.
fn entries(host: &Host) -> Vec<String> {
    let names = std::fs::read_dir(&host.dir).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_left() {
    let host = anywhere("store-build-refused");
    let good = docker_archive("app:1", &layers(), CONFIG);
    host.write("good.tar", &good);
    let (one, other) = (image_config(&[], CONFIG), image_config(&[], "{}"));
    let mut both = Archive::new();
    both.file("1.json", 0o644, one).file("2.json", 0o644, other);
    let list = r#"[{"Config":"1.json","Layers":[]},{"Config":"2.json","Layers":[]}]"#;
    both.file("manifest.json", 0o644, list);
    host.write("both.tar", both.finish());
    let mut bent = good.clone();
    let at = bent
        .windows(8)
        .position(|part| part == b"opt/name")
        .unwrap()
        + 512;
    bent[at] ^= 1;
    host.write("bent.tar", &bent);
    host.write("cut.tar", &good[..good.len() / 2]);
    host.write("none.tar", layer("name", "no image"));
    host.write("text.tar", "this is no archive");
    let mut two = Archive::new();
    two.file(
        "manifest.json",
        0o644,
        r#"[{"Config":"c.json","RepoTags":["a:1"],"Layers":["gone.tar"]}]"#,
    );
    two.file("c.json", 0o644, image_config(&[busybox()], CONFIG));
    host.write("gone.tar", two.finish());
    std::fs::create_dir(host.dir.join("empty")).unwrap();
    let none = host.make_dir("none");
    std::fs::write(format!("{none}/index.json"), r#"{"manifests":[]}"#).unwrap();
    sh(&format!("mkfifo -m 666 '{}/fifo'", host.dir.display()));
    let before = entries(&host);

    let out = ["-o", "store.erofs"];
    for (sources, sentence) in [
        (
            &["bent.tar"][..],
            "it is not what the image was made of: it is sha256:",
        ),
        (
            &["cut.tar"],
            "cut.tar: read archive: unexpected end of archive",
        ),
        (
            &["none.tar"],
            "it holds no image: there is neither manifest.json nor index.json in it",
        ),
        (&["text.tar"], "this is not a tar archive"),
        (&["gone.tar"], "gone.tar: gone.tar is missing"),
        (&["empty"], "it holds no image: there is neither"),
        (&["none"], "none: it holds no image"),
        (
            &["x:1=both.tar"],
            "it holds more than one image: one name does not do",
        ),
        (
            &["fifo"],
            "fifo can't be read twice: write it to a file first",
        ),
        (
            &["./nowhere.tar"],
            "./nowhere.tar: No such file or directory",
        ),
        (&["NO=good.tar"], "NO=good.tar: No such file or directory"),
    ] {
        refused(&host, &[&out, sources].concat(), sentence);
        assert_eq!(entries(&host), before, "{sources:?}");
    }
    let foreign = ["--platform", "linux/s390x", "-o", "store.erofs", "good.tar"];
    let sentence = format!(
        "app:1 is for linux/{}, not for linux/s390x (--platform)",
        architecture()
    );
    refused(&host, &foreign, &sentence);
    refused(
        &host,
        &["good.tar"],
        "store build needs an output: -o FILE|DIR/",
    );
    refused(
        &host,
        &["-o", "dir/", "good.tar"],
        "a directory needs root, for the owners and devices",
    );
    refused(
        &host,
        &["-o", "/proc/nowhere/x", "good.tar"],
        "/proc/nowhere",
    );
    assert_eq!(entries(&host), before);
}

#[test]
fn a_directory_is_what_an_engine_would_have_unpacked() {
    let mut host = anywhere("store-build-dir");
    host.write("app.tar", oci_archive("app:1", &layers(), CONFIG));
    let store = host.dir.join("store");
    let store = store.to_str().unwrap();
    let mut command = host.client(&host.binary, &["store", "build", "-o"]);
    command
        .args([&format!("{store}/"), "app.tar"])
        .current_dir(&host.dir);
    let output = run(command, b"", PATIENCE);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    use_stores(&mut host, &[store]);
    assert_eq!(host.ok(&["run", "--rm", "app:1"]), "one");
    let group = ["run", "--rm", "app:1", "ls", "/etc/group"];
    assert_ne!(host.tug(&group).code, 0);

    // The file of the same has the same tree.
    built(&host, &["-o", "store.erofs", "app.tar"]);
    let list = |dir: &str| {
        let nodes = "find ./layers/*/diff ! -type d -printf '%p %M %U:%G %n %s %l\\n' | sort";
        let files = "find . -type f -exec sha256sum {} + | sort";
        sh(&format!(
            "cd '{}'; mkdir -p out; unshare -m sh -ec 'mount -o loop,ro store.erofs out; cd {dir}; {}; {}'",
            host.dir.display(),
            nodes.replace('\'', "\""),
            files
        ))
    };
    let (directory, file) = (list("store"), list("out"));
    let differ: Vec<_> = directory
        .lines()
        .zip(file.lines())
        .filter(|(a, b)| a != b)
        .collect();
    assert_eq!(differ, []);
    assert!(directory.lines().count() > 200 && file.lines().count() == directory.lines().count());
    assert!(Path::new(store).join("format").exists());
}
