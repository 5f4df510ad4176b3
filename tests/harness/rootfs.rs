//! Root file systems and image archives, made here: nothing is downloaded.

use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::OnceLock;

const BUSYBOX: &str = "/bin/busybox";

const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/sh
guest:x:1000:1000:Guest:/home/guest:/bin/sh
4321:x:0:0:a name of digits is no root:/:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
";

const GROUP: &str = "\
root:x:0:
guest:x:1000:
team:x:2000:guest
crew:x:2001:guest,root
nogroup:x:65534:
";

/// An archive in the making: a file a call.
pub struct Archive(tar::Builder<Vec<u8>>);

impl Archive {
    pub fn new() -> Archive {
        Archive(tar::Builder::new(Vec::new()))
    }

    pub fn dir(&mut self, path: &str, mode: u32) -> &mut Archive {
        let mut header = header(tar::EntryType::Directory, mode, 0);
        set_path(&mut header, path);
        self.append(header, &[])
    }

    pub fn file(&mut self, path: &str, mode: u32, content: impl AsRef<[u8]>) -> &mut Archive {
        let content = content.as_ref();
        let mut header = header(tar::EntryType::Regular, mode, content.len());
        set_path(&mut header, path);
        self.append(header, content)
    }

    pub fn symlink(&mut self, path: &str, target: &str) -> &mut Archive {
        self.link(tar::EntryType::Symlink, path, target)
    }

    pub fn hard_link(&mut self, path: &str, target: &str) -> &mut Archive {
        self.link(tar::EntryType::Link, path, target)
    }

    pub fn finish(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }

    fn link(&mut self, kind: tar::EntryType, path: &str, target: &str) -> &mut Archive {
        let mut header = header(kind, 0o777, 0);
        set_path(&mut header, path);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        self.append(header, &[])
    }

    fn append(&mut self, mut header: tar::Header, content: &[u8]) -> &mut Archive {
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }
}

fn header(kind: tar::EntryType, mode: u32, length: usize) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(length as u64);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_700_000_000);
    header
}

/// As bytes: the library would refuse the hostile names that we are here to send.
fn set_path(header: &mut tar::Header, path: &str) {
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
}

/// A root file system of busybox, laid out as busybox lays itself out. The same bytes each time.
pub fn busybox() -> Vec<u8> {
    static TAR: OnceLock<Vec<u8>> = OnceLock::new();
    TAR.get_or_init(|| busybox_with(|_| {})).clone()
}

/// The same with more in it.
pub fn busybox_with(add: impl FnOnce(&mut Archive)) -> Vec<u8> {
    assert!(
        Path::new(BUSYBOX).exists(),
        "{BUSYBOX} is missing: install busybox-static, or run scripts/test"
    );
    let mut archive = Archive::new();
    for dir in ["bin/", "etc/", "home/", "root/"] {
        archive.dir(dir, 0o755);
    }
    archive.dir("tmp/", 0o1777);
    archive.file("bin/busybox", 0o755, std::fs::read(BUSYBOX).unwrap());
    let list = std::process::Command::new(BUSYBOX).arg("--list").output();
    for name in String::from_utf8(list.unwrap().stdout).unwrap().lines() {
        if name != "busybox" {
            archive.symlink(&format!("bin/{name}"), "busybox");
        }
    }
    archive.file("etc/passwd", 0o644, PASSWD);
    archive.file("etc/group", 0o644, GROUP);
    add(&mut archive);
    archive.finish()
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// gzip by stored deflate blocks: larger than its content, and valid.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    out.extend_from_slice(&miniz_oxide::deflate::compress_to_vec(bytes, 1));
    out.extend_from_slice(&crc32(bytes).to_le_bytes());
    #[allow(clippy::cast_possible_truncation)] // gzip keeps the length modulo 2^32
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// The config blob of an image with these layers.
pub fn image_config(layers: &[Vec<u8>], config: &str) -> String {
    let diff_ids: Vec<String> = layers
        .iter()
        .map(|layer| format!("\"sha256:{}\"", sha256(layer)))
        .collect();
    format!(
        r#"{{"architecture":"{}","os":"linux","created":"2024-01-02T03:04:05Z","config":{config},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        architecture(),
        diff_ids.join(",")
    )
}

/// This machine, in Docker's words.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What `docker save` writes: a manifest, a config, and a folder a layer.
pub fn docker_archive(tag: &str, layers: &[Vec<u8>], config: &str) -> Vec<u8> {
    let mut archive = Archive::new();
    let config = image_config(layers, config);
    let config_name = format!("{}.json", sha256(config.as_bytes()));
    let mut names = Vec::new();
    for layer in layers {
        let dir = sha256(layer);
        names.push(format!("\"{dir}/layer.tar\""));
        archive.dir(&format!("{dir}/"), 0o755);
        archive.file(&format!("{dir}/layer.tar"), 0o644, layer);
    }
    archive.file(&config_name, 0o644, config);
    let manifest = format!(
        r#"[{{"Config":"{config_name}","RepoTags":["{tag}"],"Layers":[{}]}}]"#,
        names.join(",")
    );
    archive.file("manifest.json", 0o644, manifest);
    archive.finish()
}

/// An OCI layout in a tar: blobs by digest, layers compressed.
pub fn oci_archive(tag: &str, layers: &[Vec<u8>], config: &str) -> Vec<u8> {
    let mut archive = Archive::new();
    archive.file("oci-layout", 0o644, r#"{"imageLayoutVersion":"1.0.0"}"#);
    let mut descriptors = Vec::new();
    for layer in layers {
        descriptors.push(blob(
            &mut archive,
            "application/vnd.oci.image.layer.v1.tar+gzip",
            &gzip(layer),
            "",
        ));
    }
    let config = blob(
        &mut archive,
        "application/vnd.oci.image.config.v1+json",
        image_config(layers, config).as_bytes(),
        "",
    );
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{config},"layers":[{}]}}"#,
        descriptors.join(",")
    );
    let named = format!(
        r#","annotations":{{"io.containerd.image.name":"docker.io/library/{tag}","org.opencontainers.image.ref.name":"{}"}}"#,
        tag.rsplit(':').next().unwrap()
    );
    let manifest = blob(
        &mut archive,
        "application/vnd.oci.image.manifest.v1+json",
        manifest.as_bytes(),
        &named,
    );
    archive.file(
        "index.json",
        0o644,
        format!(r#"{{"schemaVersion":2,"manifests":[{manifest}]}}"#),
    );
    archive.finish()
}

/// Put a blob into the archive; its descriptor.
fn blob(archive: &mut Archive, media_type: &str, content: &[u8], more: &str) -> String {
    let digest = sha256(content);
    archive.file(&format!("blobs/sha256/{digest}"), 0o644, content);
    format!(
        r#"{{"mediaType":"{media_type}","digest":"sha256:{digest}","size":{}{more}}}"#,
        content.len()
    )
}
