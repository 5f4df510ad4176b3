//! The store as a whole: archives in, images out, and nothing left of what failed.

use super::*;
use crate::image::gzip::tests::gzip;
use crate::image::import::Import;
use crate::image::load::Loaded;
use crate::image::testing::{Tar, is_root, names, scratch, tree};
use std::process::Command;

fn layer(name: &str) -> Vec<u8> {
    Tar::new()
        .dir("etc")
        .file(&format!("etc/{name}"), name)
        .end()
}

fn config(layers: &[&[u8]]) -> String {
    let diff_ids: Vec<String> = layers
        .iter()
        .map(|layer| format!("\"sha256:{}\"", sha256(layer)))
        .collect();
    format!(
        r#"{{"os":"linux","config":{{"Cmd":["sh"]}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diff_ids.join(",")
    )
}

fn put(tar: Tar, path: &str, data: &[u8]) -> Tar {
    tar.entry(b'0', path, "", data)
}

/// The layout of `docker save` before 25: directories of layers, repetitions as links.
fn old_layout(tag: &str) -> Vec<u8> {
    let (one, two) = (layer("one"), layer("two"));
    let config = config(&[&one, &two, &one]);
    let manifest = format!(
        r#"[{{"Config":"{0}.json","RepoTags":["{tag}"],"Layers":["a/layer.tar","b/layer.tar","c/layer.tar"]}}]"#,
        sha256(config.as_bytes())
    );
    let tar = put(
        Tar::new()
            .dir("a/")
            .file("a/VERSION", "1.0")
            .file("a/json", "{}"),
        "a/layer.tar",
        &one,
    );
    let tar = put(tar.dir("b/"), "b/layer.tar", &two);
    let tar = tar.dir("c/").symlink("c/layer.tar", "../a/layer.tar");
    let tar = put(
        tar,
        &format!("{}.json", sha256(config.as_bytes())),
        config.as_bytes(),
    );
    tar.file("manifest.json", &manifest)
        .file("repositories", "{}")
        .end()
}

/// An OCI layout: each blob under its digest.
struct Layout {
    tar: Tar,
}

impl Layout {
    fn new() -> Layout {
        let tar = Tar::new().file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
        Layout { tar }
    }

    /// Adds a blob; answers its descriptor without the closing brace.
    fn blob(&mut self, bytes: &[u8]) -> String {
        let digits = sha256(bytes);
        let tar = std::mem::take(&mut self.tar);
        self.tar = put(
            tar.with_mode(0o644),
            &format!("blobs/sha256/{digits}"),
            bytes,
        );
        format!(r#"{{"digest":"sha256:{digits}","size":{}"#, bytes.len())
    }

    /// Adds an image of the given (perhaps compressed) layers; answers its descriptor.
    fn image(&mut self, config: &str, layers: &[&[u8]]) -> String {
        let config = self.blob(config.as_bytes());
        let layers: Vec<String> = layers.iter().map(|l| self.blob(l) + "}").collect();
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{config}}},"layers":[{}]}}"#,
            layers.join(",")
        );
        self.blob(manifest.as_bytes())
    }

    fn end(self, manifests: &str) -> Vec<u8> {
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{manifests}]}}"#);
        self.tar.file("index.json", &index).end()
    }
}

const NAME: &str = r#""annotations":{"io.containerd.image.name":"docker.io/library/layout:1"}}"#;

fn oci_layout() -> Vec<u8> {
    let (one, two) = (layer("one"), layer("two"));
    let mut layout = Layout::new();
    let image = layout.image(&config(&[&one, &two]), &[&gzip(&one), &two]);
    layout.end(&format!("{image},{NAME}"))
}

/// All that lies in the store. The time of a directory tells only that something was tried there.
fn picture(root: &Path) -> Vec<String> {
    let without_time = |line: String| {
        let parts = line.split(' ').enumerate().filter(|(n, _)| *n != 3);
        parts.map(|(_, part)| part).collect::<Vec<&str>>().join(" ")
    };
    tree(root).into_iter().map(without_time).collect()
}

fn load(store: &Images, mut archive: &[u8]) -> Result<Vec<Loaded>> {
    store.load(&mut archive, None)
}

/// What a store holds, by name, without the digits.
fn files_of_layers(store: &Images, id: &str) -> Vec<Vec<String>> {
    let dirs = store.lower_dirs(id).unwrap();
    dirs.iter().map(|dir| names(dir)).collect()
}

#[test]
fn an_old_docker_archive_loads_with_links_between_its_layers() {
    let dir = scratch();
    let store = Images::open(dir.path()).unwrap();
    for archive in [old_layout("test:1"), gzip(&old_layout("test:1"))] {
        let loaded = load(&store, &archive).unwrap();
        assert_eq!(loaded.len(), 1);
        assert_eq!(loaded[0].reference.as_deref(), Some("test:1"));
        let found = store.find("test:1").unwrap();
        assert_eq!(found.id, loaded[0].id);
        assert_eq!(found.tags, ["test:1"]);
        assert_eq!(found.size, 9);
        assert_eq!(found.image.config.unwrap().cmd.unwrap(), ["sh"]);
        // The layer that is there twice is there once, on top.
        assert_eq!(
            files_of_layers(&store, &found.id),
            [["etc", "etc/one"], ["etc", "etc/two"]]
        );
    }
}

#[test]
fn an_oci_layout_loads_and_shares_layers_with_what_is_there() {
    let dir = scratch();
    let store = Images::open(dir.path()).unwrap();
    load(&store, &old_layout("test:1")).unwrap();
    let loaded = load(&store, &oci_layout()).unwrap();
    assert_eq!(loaded[0].reference.as_deref(), Some("layout:1"));
    assert_eq!(store.list().unwrap().len(), 2);
    assert_eq!(staging::names(&dir.path().join("layers")).unwrap().len(), 2);
    // A new engine finds the same.
    drop(store);
    let store = Images::open(dir.path()).unwrap();
    assert_eq!(
        store.find("layout").unwrap_err().message,
        "No such image: layout:latest"
    );
    assert_eq!(store.find("layout:1").unwrap().id, loaded[0].id);
}

#[test]
fn of_an_index_the_image_for_this_machine_is_taken() {
    let (mine, other) = (layer("mine"), layer("other"));
    let mut layout = Layout::new();
    let own = manifest::own_platform().architecture.unwrap();
    let platform =
        |arch: &str| format!(r#","platform":{{"os":"linux","architecture":"{arch}"}}}}"#);
    let foreign = layout.image(&config(&[&other]), &[&gzip(&other)]) + &platform("s390x");
    let native = layout.image(&config(&[&mine]), &[&gzip(&mine)]) + &platform(&own);
    let proof = layout.blob(b"{\"layers\":[]}") + &platform("unknown");
    let inner = format!(r#"{{"manifests":[{foreign},{proof},{native}]}}"#);
    let inner = layout.blob(inner.as_bytes());

    let dir = scratch();
    let store = Images::open(dir.path()).unwrap();
    let loaded = load(&store, &layout.end(&format!("{inner}}}"))).unwrap();
    assert_eq!(loaded.len(), 1);
    assert_eq!(loaded[0].reference, None);
    assert_eq!(
        files_of_layers(&store, &loaded[0].id),
        [["etc", "etc/mine"]]
    );
    // What was unpacked for the other machine has gone.
    assert_eq!(staging::names(&dir.path().join("layers")).unwrap().len(), 1);
}

#[test]
fn of_an_index_the_image_for_the_wanted_machine_is_taken() {
    let mut layout = Layout::new();
    let mut all = Vec::new();
    for arch in ["s390x", "riscv64"] {
        let layer = layer(arch);
        let platform = format!(r#","platform":{{"os":"linux","architecture":"{arch}"}}"#);
        let image = layout.image(&config(&[&layer]), &[&gzip(&layer)]);
        all.push(format!("{image}{platform},{NAME}"));
    }
    let archive = layout.end(&all.join(","));
    let dir = scratch();
    let store = Images::open(dir.path()).unwrap();
    for (text, expected) in [("linux/s390x", "etc/s390x"), ("riscv64", "etc/riscv64")] {
        let platform = manifest::platform(text).unwrap();
        let loaded = store.load(&mut &archive[..], Some(&platform)).unwrap();
        assert_eq!(loaded[0].reference.as_deref(), Some("layout:1"));
        let files = files_of_layers(&store, &loaded[0].id);
        assert_eq!(files, [["etc", expected]]);
    }
    let platform = manifest::platform("linux/arm/v5").unwrap();
    let error = store.load(&mut &archive[..], Some(&platform)).unwrap_err();
    assert_eq!(
        error.message,
        "load: no matching manifest for linux/arm/v5 in the manifest list entries"
    );
}

/// As with Docker: an archive of what is new, for a store that has the rest.
#[test]
fn an_archive_need_not_bring_the_layers_that_are_there() {
    let (one, two) = (layer("one"), layer("two"));
    let config = config(&[&one, &two]);
    let manifest = r#"[{"Config":"c.json","RepoTags":["delta:1"],"Layers":["one.tar","two.tar"]}]"#;
    let whole = |tar: Tar| put(tar, "one.tar", &one);
    let delta = |tar: Tar| put(tar, "c.json", config.as_bytes()).end();
    let archive = put(Tar::new().file("manifest.json", manifest), "two.tar", &two);

    let dir = scratch();
    let store = Images::open(dir.path()).unwrap();
    let error = load(&store, &delta(archive.clone())).unwrap_err();
    assert_eq!(error.message, "load: one.tar is missing in the archive");
    let base = r#"[{"Config":"b.json","RepoTags":["base:1"],"Layers":["one.tar"]}]"#;
    let base = whole(Tar::new().file("manifest.json", base));
    let base = put(base, "b.json", self::config(&[&one]).as_bytes()).end();
    load(&store, &base).unwrap();
    load(&store, &delta(archive)).unwrap();
    let found = store.find("delta:1").unwrap();
    assert_eq!(found.size, 6);
    assert_eq!(files_of_layers(&store, &found.id).len(), 2);
}

/// Whichever way round: documents first or last, links before what they lead to.
#[test]
fn the_order_of_an_archives_members_does_not_matter() {
    for archive in [old_layout("test:1"), oci_layout()] {
        let mut members: Vec<Vec<u8>> = Vec::new();
        let mut rest = &archive[..archive.len() - 1024];
        while !rest.is_empty() {
            let size = std::str::from_utf8(&rest[124..135]).unwrap();
            let size = usize::from_str_radix(size, 8)
                .unwrap()
                .next_multiple_of(512);
            let (member, after) = rest.split_at(512 + size);
            members.push(member.to_vec());
            rest = after;
        }
        let mut ids = Vec::new();
        for round in 0..members.len() {
            members.rotate_left(1);
            if round % 2 == 0 {
                members.reverse();
            }
            let dir = scratch();
            let store = Images::open(dir.path()).unwrap();
            let bytes = [members.concat(), vec![0; 1024]].concat();
            ids.push(load(&store, &bytes).unwrap()[0].id.clone());
        }
        ids.dedup();
        assert_eq!(ids.len(), 1);
    }
}

/// It may have come from a registry, and goes back as it was.
#[test]
fn the_manifest_of_a_layout_is_kept_and_known_by_its_digest() {
    let dir = scratch();
    let store = Images::open(dir.path()).unwrap();
    let layers = [layer("one"), layer("two")].map(|layer| gzip(&layer));
    let mut layout = Layout::new();
    let config = config(&[&layer("one"), &layer("two")]);
    let image = layout.image(&config, &[&layers[0], &layers[1]]);
    let archive = layout.end(&format!("{image},{NAME}"));
    let id = load(&store, &archive).unwrap()[0].id.clone();
    let found = store.find(&id).unwrap();
    assert_eq!(found.tags, ["layout:1"]);
    let digest = found.digests[0].strip_prefix("layout@sha256:").unwrap();
    let source = shelf::source(&store.image_dir(&id[7..])).unwrap();
    assert_eq!(sha256(&source), digest);
    assert_eq!(store.find(&found.digests[0]).unwrap().id, id);
}

#[test]
fn an_image_without_layers_has_an_empty_directory_below() {
    let mut layout = Layout::new();
    let image = layout.image(&config(&[]), &[]) + "}";
    let dir = scratch();
    let store = Images::open(dir.path()).unwrap();
    let loaded = load(&store, &layout.end(&image)).unwrap();
    assert_eq!(files_of_layers(&store, &loaded[0].id), [[""; 0]]);
    drop(store);
    assert!(
        Images::open(dir.path())
            .unwrap()
            .find(&loaded[0].id)
            .is_ok()
    );
}

/// Each is refused with a sentence, and the store is as it was.
#[test]
fn an_archive_that_is_not_what_it_says_leaves_nothing() {
    let dir = scratch();
    let store = Images::open(dir.path()).unwrap();
    load(&store, &old_layout("kept:1")).unwrap();
    let before = picture(dir.path());
    let (one, two) = (layer("one"), layer("new"));
    let packed = gzip(&two);

    let layout = |change: &dyn Fn(&mut Layout) -> String| {
        let mut layout = Layout::new();
        let manifests = change(&mut layout);
        layout.end(&manifests)
    };
    let saved = |manifest: &str| {
        put(Tar::new(), "l.tar", &two)
            .file("c.json", &config(&[&two]))
            .file("manifest.json", manifest)
    };
    let item =
        |config: &str, layers: &str| format!(r#"[{{"Config":"{config}","Layers":[{layers}]}}]"#);
    let mut wrong_blob = oci_layout();
    let at = wrong_blob.windows(4).position(|w| w == b"\"sh\"").unwrap();
    wrong_blob[at + 1] = b'z';
    let good = oci_layout();

    for (archive, message) in [
        (Vec::new(), "load: the archive is empty"),
        (b"hello".to_vec(), "load: this is not a tar archive"),
        (
            b"\xfd7zXZ\0\0".to_vec(),
            "xz-compressed archives are not supported: decompress it, or use gzip or zstd",
        ),
        (
            Tar::new().file("readme", "x").end(),
            "there is neither manifest.json nor index.json in it",
        ),
        (
            Tar::new().file("repositories", "{}").end(),
            "the archive is of Docker 1.9 or older",
        ),
        (good[..good.len() / 2].to_vec(), "unexpected end of archive"),
        (gzip(&good)[..500].to_vec(), "unexpected end of archive"),
        (
            wrong_blob,
            "the content does not match the digest: it is sha256:",
        ),
        (saved("[").end(), "manifest.json: "),
        (saved("[]").end(), "load: the archive holds no image"),
        (saved("{}").end(), "manifest.json: "),
        (
            saved(&item("c.json", "")).end(),
            "invalid manifest, layers length mismatch: expected 1, got 0",
        ),
        (
            saved(&item("c.json", "\"m.tar\"")).end(),
            "m.tar is missing in the archive",
        ),
        (
            saved(&item("l.tar", "\"l.tar\"")).end(),
            "l.tar is no JSON document",
        ),
        (
            saved(&item("c.json", "\"c.json\"")).end(),
            "c.json is no layer",
        ),
        (
            saved(&item("../c.json", "\"l.tar\"")).end(),
            "invalid name \"../c.json\" in the archive",
        ),
        (
            saved(&item("/c.json", "\"l.tar\"")).end(),
            "invalid name \"/c.json\" in the archive",
        ),
        (
            saved(&item("c.json", "\"l.tar\""))
                .file("./c.json", "{}")
                .end(),
            "c.json is twice in the archive",
        ),
        (
            saved(&item("c.json", "\"l.tar\"")).file("../x", "{}").end(),
            "invalid name \"../x\" in the archive",
        ),
        (
            saved(&item("x", "\"l.tar\"")).symlink("x", "x").end(),
            "x is missing in the archive",
        ),
        (
            put(Tar::new(), "l.tar", &one)
                .file("c.json", &config(&[&two]))
                .file("manifest.json", &item("c.json", "\"l.tar\""))
                .end(),
            "layer l.tar is not what the image was made of: it is sha256:",
        ),
        (
            put(Tar::new(), "l.tar", b"\xfd7zXZ\0\0")
                .file("c.json", &config(&[&two]))
                .file("manifest.json", &item("c.json", "\"l.tar\""))
                .end(),
            "layer l.tar: xz-compressed layers are not supported",
        ),
        (
            put(Tar::new(), "l.tar", &packed[..packed.len() - 9])
                .file("c.json", &config(&[&two]))
                .file("manifest.json", &item("c.json", "\"l.tar\""))
                .end(),
            "layer l.tar: read archive: ",
        ),
        (
            saved(
                &item("c.json", "\"l.tar\"")
                    .replace("\"Layers\"", "\"RepoTags\":[\"A\"],\"Layers\""),
            )
            .end(),
            "image name \"A\": invalid reference format: repository name (library/A) must be lowercase",
        ),
        (
            layout(&|l| {
                l.image(&config(&[&two]), &[&packed])
                    .replace("\"size\":", "\"size\":4")
                    + "}"
            }),
            "are declared",
        ),
        (
            layout(&|l| {
                l.image(&config(&[&two]), &[&packed])
                    .replace("\"size\":", "\"size\":-")
                    + "}"
            }),
            "index.json: ",
        ),
        (
            layout(&|_| r#"{"digest":"sha256:../../x"}"#.into()),
            "invalid digest \"sha256:../../x\"",
        ),
        (
            layout(&|_| r#"{"digest":"md5:00"}"#.into()),
            "invalid digest \"md5:00\"",
        ),
        (layout(&|_| "{}".into()), "invalid digest \"\""),
        (
            layout(&|l| l.blob(b"{\"layers\":[],\"manifests\":[]}") + "}"),
            "is ambiguous: it has both manifests and layers",
        ),
        (
            layout(&|l| {
                let mut descriptor = l.blob(b"{\"manifests\":[]}");
                for _ in 0..6 {
                    descriptor = l.blob(format!("{{\"manifests\":[{descriptor}}}]}}").as_bytes());
                }
                descriptor + "}"
            }),
            "indexes are nested too deep",
        ),
        (
            layout(&|l| l.blob(b"{\"manifests\":[]}") + "}"),
            "no matching manifest for linux/",
        ),
        (
            layout(&|_| String::new()),
            "load: the archive holds no image",
        ),
    ] {
        let error = load(&store, &archive).unwrap_err();
        assert!(
            error.message.contains(message),
            "{} != {message}",
            error.message
        );
        assert!(error.message.starts_with("load: ") && !error.message.contains('\n'));
        assert_eq!(picture(dir.path()), before, "{message}");
    }
    assert_eq!(store.list().unwrap().len(), 1);
}

fn import(store: &Images, bytes: &[u8], reference: &str) -> Result<String> {
    let what = Import {
        reference: Some(reference.to_string()),
        ..Import::default()
    };
    store.import(&mut &bytes[..], &what)
}

#[test]
fn an_import_is_an_image_with_what_was_said_about_it() {
    let dir = scratch();
    let store = Images::open(dir.path()).unwrap();
    let what = Import {
        reference: Some("Rootfs".to_string()),
        ..Import::default()
    };
    assert!(store.import(&mut &b""[..], &what).is_err());
    let what = Import {
        from: "-".to_string(),
        reference: Some("rootfs".to_string()),
        changes: vec!["CMD [\"/bin/sh\"]".to_string()],
        message: None,
        platform: Some("linux/arm/v6".to_string()),
    };
    let id = store.import(&mut &gzip(&layer("x"))[..], &what).unwrap();
    let found = store.find("rootfs").unwrap();
    assert_eq!(found.id, id);
    assert_eq!(found.tags, ["rootfs:latest"]);
    assert_eq!(found.image.architecture.as_deref(), Some("arm"));
    assert_eq!(found.image.variant.as_deref(), Some("v6"));
    assert_eq!(found.image.comment.as_deref(), Some("Imported from -"));
    assert_eq!(found.image.config.unwrap().cmd.unwrap(), ["/bin/sh"]);

    // What ends between two entries may be cut there, and no digest would tell.
    let cut = Tar::new().file("a", "x").without_end();
    let error = import(&store, &cut, "cut").unwrap_err();
    assert_eq!(
        error.message,
        "import: read archive: unexpected end of archive"
    );
    assert_eq!(store.list().unwrap().len(), 1);
    assert!(import(&store, &layer("x"), &format!("a@{id}")).is_err());
}

#[test]
fn images_are_found_by_names_ids_and_beginnings_of_ids() {
    let dir = scratch();
    let store = Images::open(dir.path()).unwrap();
    let id = import(&store, &layer("x"), "ghcr.io/a/b:t").unwrap();
    for name in [&id[..], &id[7..], &id[7..19], &id[..15], "ghcr.io/a/b:t"] {
        assert_eq!(store.find(name).unwrap().id, id, "{name}");
    }
    let message = |name: &str| store.find(name).unwrap_err().to_string();
    assert_eq!(message("nosuch"), "No such image: nosuch:latest");
    assert_eq!(message("ghcr.io/a/b"), "No such image: ghcr.io/a/b:latest");
    let digits = "0".repeat(64);
    assert_eq!(message(&digits), format!("No such image: sha256:{digits}"));
    assert_eq!(message("a:b:c"), "invalid reference format");

    // Some two of these ids begin with the same digit.
    for n in 0..16 {
        import(&store, &layer(&n.to_string()), "many").unwrap();
    }
    let ambiguous = "0123456789abcdef".chars().filter(|digit| {
        let found = store.find(&digit.to_string());
        found.is_err_and(|e| e.message.starts_with("ambiguous reference: "))
    });
    assert!(ambiguous.count() > 0);

    // A name that looks like an id comes first.
    store.tag(&id, &id[7..11]).unwrap();
    assert_eq!(store.find(&id[7..11]).unwrap().id, id);
    assert!(store.tag("nosuch", "x").is_err());
    assert!(store.tag(&id, "sha256:x").is_err());
}

#[test]
fn removing_follows_dockers_rules_and_sentences() {
    let dir = scratch();
    let store = Images::open(dir.path()).unwrap();
    load(&store, &old_layout("a:1")).unwrap();
    let id = store.find("a:1").unwrap().id;
    let other = load(&store, &oci_layout()).unwrap()[0].id.clone();
    store.tag("a:1", "b").unwrap();
    let short = &id[7..19];
    let unused = |_: &str| None;
    let stopped = |_: &str| Some("stopped container 0123456789ab".to_string());
    let running = |_: &str| Some("running container 0123456789ab".to_string());
    let refused = |name: &str, force, by: &dyn Fn(&str) -> Option<String>| {
        store.remove(name, force, by).unwrap_err().to_string()
    };
    let steps = |deleted: Vec<crate::wire::image::Deleted>| -> Vec<String> {
        let step = |d: crate::wire::image::Deleted| match (d.untagged, d.deleted) {
            (Some(name), None) => format!("Untagged: {name}"),
            (None, Some(id)) => format!("Deleted: {}", &id[..10]),
            _ => String::new(),
        };
        deleted.into_iter().map(step).collect()
    };

    assert_eq!(
        refused(&id, false, &unused),
        format!(
            "conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
        )
    );
    assert_eq!(
        steps(store.remove("b", false, &running).unwrap()),
        ["Untagged: b:latest"]
    );
    assert_eq!(
        refused("a:1", false, &stopped),
        format!(
            "conflict: unable to remove repository reference \"a:1\" (must force) - container 0123456789ab is using its referenced image {short}"
        )
    );
    assert_eq!(
        refused(&id, true, &running),
        format!(
            "conflict: unable to delete {short} (cannot be forced) - image is being used by running container 0123456789ab"
        )
    );
    assert_eq!(
        refused(short, false, &stopped),
        format!(
            "conflict: unable to delete {short} (must be forced) - image is being used by stopped container 0123456789ab"
        )
    );
    // What a container needs stays, whatever is forced.
    assert_eq!(
        steps(store.remove("a:1", true, &running).unwrap()),
        ["Untagged: a:1"]
    );
    assert_eq!(store.lower_dirs(&id).unwrap().len(), 2);
    assert!(refused(&id, true, &stopped).contains("(cannot be forced)"));

    // Its layers are the other image's as well.
    let deleted = steps(store.remove(&id, false, &unused).unwrap());
    assert_eq!(deleted, [format!("Deleted: {}", &id[..10])]);
    assert_eq!(store.lower_dirs(&other).unwrap().len(), 2);
    let deleted = steps(store.remove("layout:1", false, &unused).unwrap());
    assert_eq!(deleted.len(), 5);
    assert_eq!(deleted[0], "Untagged: layout:1");
    assert!(deleted[1].starts_with("Untagged: layout@sha256:"));
    assert_eq!(store.list().unwrap().len(), 0);
    assert!(
        staging::names(&dir.path().join("layers"))
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        refused("layout:1", true, &unused),
        "No such image: layout:1"
    );
}

/// What a power cut may leave at each step of a load and of a removal is swept, and what was there
/// before is whole.
#[test]
fn what_a_power_cut_leaves_is_swept_at_the_next_start() {
    let dir = scratch();
    load(&Images::open(dir.path()).unwrap(), &old_layout("kept:1")).unwrap();
    let before = picture(dir.path());

    // Layers that are half-made, and whole ones that no image has yet or any more.
    let layers = dir.path().join("layers");
    std::fs::create_dir_all(layers.join(".new-0123/diff/etc")).unwrap();
    std::fs::create_dir_all(layers.join(".old-0123/diff/etc")).unwrap();
    let orphan = layers.join("e".repeat(64));
    std::fs::create_dir_all(orphan.join("diff/etc")).unwrap();
    std::fs::write(orphan.join("layer.json"), "{}").unwrap();
    // An image in the making, and a record in the making.
    std::fs::create_dir_all(dir.path().join("images/.new-0123")).unwrap();
    let store = Images::open(dir.path()).unwrap();
    assert_eq!(picture(dir.path()), before);
    assert_eq!(store.find("kept:1").unwrap().size, 9);
}

#[test]
fn a_record_that_can_not_be_read_is_set_aside_and_the_others_load() {
    let dir = scratch();
    let store = Images::open(dir.path()).unwrap();
    let good = import(&store, &layer("good"), "good").unwrap();
    let bad = import(&store, &layer("bad"), "bad").unwrap();
    drop(store);
    let record = dir
        .path()
        .join("images")
        .join(&bad[7..])
        .join("config.json");
    std::fs::write(&record, "").unwrap();

    let store = Images::open(dir.path()).unwrap();
    assert_eq!(store.list().unwrap().len(), 1);
    assert_eq!(store.find("good").unwrap().id, good);
    assert!(store.find("bad").is_err());
    // Its layer stays as long as it lies there, for who may repair it.
    assert_eq!(staging::names(&dir.path().join("layers")).unwrap().len(), 2);
    assert!(
        dir.path()
            .join("images")
            .join(format!("{}.bad", &bad[7..]))
            .exists()
    );

    std::fs::write(dir.path().join("images/refs.json"), "{\"refs\":{\"x").unwrap();
    let store = Images::open(dir.path()).unwrap();
    assert_eq!(store.find(&good).unwrap().tags, [""; 0]);
    store.tag(&good, "good").unwrap();
    assert_eq!(
        Images::look(dir.path(), Vec::new())
            .unwrap()
            .list()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_full_disk_is_told_and_nothing_is_left() {
    if !is_root("a_full_disk_is_told_and_nothing_is_left") {
        return;
    }
    let dir = scratch();
    let path = dir.path().to_path_buf();
    let test = move || {
        crate::sys::mount::private();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=1m,nr_inodes=200", "none"])
            .arg(&path);
        assert!(mount.status().unwrap().success());
        let store = Images::open(&path).unwrap();
        load(&store, &old_layout("kept:1")).unwrap();
        let before = picture(&path);

        let data = "x".repeat(2 << 20);
        let large = Tar::new().file("small", "x").file("large", &data).end();
        let mut many = Tar::new();
        for n in 0..300 {
            many = many.file(&n.to_string(), "");
        }
        for bytes in [large.clone(), gzip(&large), many.end()] {
            let error = import(&store, &bytes, "large").unwrap_err();
            assert_eq!(error.errno, Some(28));
            assert!(
                error.message.contains("No space left on device"),
                "{}",
                error.message
            );
            assert_eq!(picture(&path), before);
        }
        let config = config(&[&large]);
        let manifest = r#"[{"Config":"c.json","Layers":["l.tar"]}]"#;
        let archive = put(Tar::new(), "l.tar", &large).file("c.json", &config);
        let error = load(&store, &archive.file("manifest.json", manifest).end()).unwrap_err();
        assert!(
            error.message.contains("No space left on device"),
            "{}",
            error.message
        );
        assert_eq!(picture(&path), before);

        // With no byte left at all, removing works.
        let _ = std::fs::write(path.join("filler"), &data);
        let removed = store.remove("kept:1", false, &|_| None);
        assert_eq!(removed.unwrap().len(), 5);
        assert!(staging::names(&path.join("layers")).unwrap().is_empty());
    };
    std::thread::spawn(test).join().unwrap();
}

/// Loads and removals at once: each is whole or not there.
#[test]
fn loads_and_removals_do_not_get_in_each_others_way() {
    let dir = scratch();
    let store = std::sync::Arc::new(Images::open(dir.path()).unwrap());
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let store = store.clone();
            std::thread::spawn(move || {
                let tag = format!("w{worker}:1");
                for _ in 0..8 {
                    load(&store, &old_layout(&tag)).unwrap();
                    let _ = store.list().unwrap();
                    store.remove(&tag, false, &|_| None).unwrap();
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    assert_eq!(store.list().unwrap().len(), 0);
    assert!(
        staging::names(&dir.path().join("layers"))
            .unwrap()
            .is_empty()
    );
}
