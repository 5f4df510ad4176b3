//! What a container has mounted: Docker's defaults, the three files that the engine writes, and
//! what the user asked for.

use crate::engine::container::Container;
use crate::engine::spec::{INIT, Place};
use crate::error::{Error, Result};
use crate::oci::spec::Mount;
use crate::wire::container::{HostConfig, MountPoint};

/// A bind mount or tmpfs as the user asked for it, whichever way it was spelled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// None: a tmpfs.
    pub source: Option<String>,
    pub destination: String,
    pub readonly: bool,
    /// Of a bind: `rprivate`, `rslave`…; of a tmpfs: its mount options.
    pub options: Vec<String>,
    /// The text after the second colon, which inspect shows.
    pub mode: String,
    /// Make the source directory if it does not exist: `-v` does, `--mount` does not.
    pub create_source: bool,
}

/// Docker's default for a bind mount.
const PRIVATE: &str = "rprivate";

/// All mounts, in the order in which they are to be made.
pub fn all(container: &Container, place: &Place<'_>) -> Result<Vec<Mount>> {
    let mut wanted = wanted(&container.host)?;
    // Parents before children, whatever order they were given in.
    wanted.sort_by_key(|mount| mount.destination.matches('/').count());

    let mut mounts = defaults(&container.host);
    for name in ["resolv.conf", "hostname", "hosts"] {
        let source = place.data_dir.join(name).display().to_string();
        mounts.push(bind(&source, &format!("/etc/{name}"), &["rbind", PRIVATE]));
    }
    if container.host.init == Some(true) {
        let binary = place.binary.display().to_string();
        mounts.push(bind(&binary, INIT, &["bind", "ro"]));
    }
    mounts.retain(|mount| {
        let same = |wanted: &Wanted| Some(&wanted.destination) == mount.destination.as_ref();
        !wanted.iter().any(same)
    });
    mounts.extend(wanted.into_iter().map(Wanted::into_mount));
    Ok(mounts)
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: Some(destination.to_string()),
        kind: Some(kind.to_string()),
        source: Some(source.to_string()),
        options: Some(options.iter().map(|option| (*option).to_string()).collect()),
        ..Mount::default()
    }
}

fn bind(source: &str, destination: &str, options: &[&str]) -> Mount {
    mount(destination, "bind", source, options)
}

fn defaults(host: &HostConfig) -> Vec<Mount> {
    let access = if host.privileged == Some(true) {
        "rw"
    } else {
        "ro"
    };
    let quiet = ["nosuid", "noexec", "nodev"];
    let dev = ["nosuid", "strictatime", "mode=755", "size=65536k"];
    let pts = [
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
        "gid=5",
    ];
    let system = ["nosuid", "noexec", "nodev", access];
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &quiet),
        mount("/dev", "tmpfs", "tmpfs", &dev),
        mount("/dev/pts", "devpts", "devpts", &pts),
        mount("/sys", "sysfs", "sysfs", &system),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &system),
        mount("/dev/mqueue", "mqueue", "mqueue", &quiet),
    ];
    match host.ipc_mode.as_deref() {
        Some("host") => mounts.push(bind("/dev/shm", "/dev/shm", &["rbind", PRIVATE])),
        Some("none") => {}
        _ => {
            let size = format!("size={}", host.shm_size.unwrap_or(SHM_BYTES));
            let shm = ["nosuid", "noexec", "nodev", "mode=1777", &size];
            mounts.push(mount("/dev/shm", "tmpfs", "shm", &shm));
        }
    }
    mounts
}

/// Docker's default for --shm-size.
pub const SHM_BYTES: i64 = 64 << 20;

impl Wanted {
    fn into_mount(self) -> Mount {
        let mut options = self.options;
        let kind = match self.source {
            Some(_) => {
                options.insert(0, "rbind".to_string());
                "bind"
            }
            None => "tmpfs",
        };
        if self.readonly {
            options.push("ro".to_string());
        }
        Mount {
            destination: Some(self.destination),
            kind: Some(kind.to_string()),
            source: Some(self.source.unwrap_or_else(|| "tmpfs".to_string())),
            options: Some(options),
            ..Mount::default()
        }
    }
}

/// The mounts that `-v`, `--mount` and `--tmpfs` ask for.
pub fn wanted(host: &HostConfig) -> Result<Vec<Wanted>> {
    let mut all = Vec::new();
    for text in host.binds.iter().flatten() {
        all.push(parse_bind(text)?);
    }
    for request in host.mounts.iter().flatten() {
        all.push(parse_mount(request)?);
    }
    for (destination, options) in host.tmpfs.iter().flatten() {
        check_destination(destination)?;
        let given: Vec<&str> = options
            .split(',')
            .filter(|option| !option.is_empty())
            .collect();
        all.push(tmpfs(destination, &given));
    }
    for (at, mount) in all.iter().enumerate() {
        if all[..at]
            .iter()
            .any(|other| other.destination == mount.destination)
        {
            let destination = &mount.destination;
            return Err(Error::invalid(format!(
                "Duplicate mount point: {destination}"
            )));
        }
    }
    Ok(all)
}

/// `source:destination[:options]` of `-v`.
fn parse_bind(text: &str) -> Result<Wanted> {
    let invalid =
        |why: &str| Error::invalid(format!("invalid volume specification: '{text}'{why}"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, destination, mode) = match parts[..] {
        [source, destination] => (source, destination, ""),
        [source, destination, mode] => (source, destination, mode),
        _ => return Err(invalid("")),
    };
    if source.is_empty() {
        return Err(invalid(""));
    }
    if !source.starts_with('/') {
        return Err(Error::invalid(format!(
            "volume \"{source}\": named volumes are not supported yet"
        )));
    }
    let destination = check_destination(destination).map_err(|error| {
        let why = &error.message;
        invalid(&format!(": invalid mount config for type \"bind\": {why}"))
    })?;
    let mut wanted = Wanted {
        source: Some(clean(source)),
        destination,
        mode: mode.to_string(),
        create_source: true,
        ..Wanted::default()
    };
    let mut propagation = PRIVATE;
    for option in mode.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => wanted.readonly = true,
            // SELinux labels and Docker Desktop's consistency have nothing to do here.
            "rw" | "z" | "Z" | "nocopy" | "consistent" | "cached" | "delegated" => {}
            _ if PROPAGATIONS.contains(&option) => propagation = option,
            _ => return Err(Error::invalid(format!("invalid mode: {mode}"))),
        }
    }
    wanted.options.push(propagation.to_string());
    Ok(wanted)
}

const PROPAGATIONS: [&str; 6] = [
    "private", "rprivate", "shared", "rshared", "slave", "rslave",
];

/// One `--mount`.
fn parse_mount(request: &crate::wire::container::MountRequest) -> Result<Wanted> {
    let kind = request.kind.as_deref().unwrap_or("volume");
    let invalid =
        |why: String| Error::invalid(format!("invalid mount config for type \"{kind}\": {why}"));
    let target = request.target.as_deref().unwrap_or_default();
    if target.is_empty() {
        return Err(invalid("field Target must not be empty".to_string()));
    }
    let destination = check_destination(target).map_err(|error| invalid(error.to_string()))?;
    let readonly = request.read_only == Some(true);
    let source = request.source.as_deref().unwrap_or_default();
    match kind {
        "bind" => {
            if source.is_empty() {
                return Err(invalid("field Source must not be empty".to_string()));
            }
            if !source.starts_with('/') {
                let why = format!("invalid mount path: '{source}' mount path must be absolute");
                return Err(invalid(why));
            }
            let options = request.bind_options.clone().unwrap_or_default();
            let propagation = options.propagation.unwrap_or_default();
            let propagation = match propagation.as_str() {
                "" => PRIVATE,
                given if PROPAGATIONS.contains(&given) => given,
                other => return Err(invalid(format!("invalid propagation mode: {other}"))),
            };
            Ok(Wanted {
                source: Some(clean(source)),
                destination,
                readonly,
                options: vec![propagation.to_string()],
                create_source: options.create_mountpoint == Some(true),
                ..Wanted::default()
            })
        }
        "tmpfs" => {
            if !source.is_empty() {
                return Err(invalid("field Source must not be specified".to_string()));
            }
            let options = request.tmpfs_options.clone().unwrap_or_default();
            let mut mount = tmpfs(&destination, &[]);
            mount.readonly = readonly;
            let size = options.size_bytes.filter(|bytes| *bytes > 0);
            mount
                .options
                .extend(size.map(|bytes| format!("size={bytes}")));
            let mode = options.mode.filter(|mode| *mode > 0);
            mount
                .options
                .extend(mode.map(|mode| format!("mode={mode:o}")));
            Ok(mount)
        }
        "volume" | "npipe" | "cluster" | "image" => Err(Error::invalid(format!(
            "mounts of type \"{kind}\" are not supported yet"
        ))),
        other => Err(Error::invalid(format!("mount type unknown: \"{other}\""))),
    }
}

/// A tmpfs with Docker's careful defaults, where `given` does not say the contrary.
fn tmpfs(destination: &str, given: &[&str]) -> Wanted {
    let mut options: Vec<String> = ["noexec", "nosuid", "nodev"]
        .iter()
        .filter(|default| !given.contains(&&default[2..]) && !given.contains(default))
        .map(|default| (*default).to_string())
        .collect();
    options.extend(given.iter().map(|option| (*option).to_string()));
    Wanted {
        destination: clean(destination),
        options,
        ..Wanted::default()
    }
}

fn check_destination(path: &str) -> Result<String> {
    if !path.starts_with('/') {
        return Err(Error::invalid(format!(
            "invalid mount path: '{path}' mount path must be absolute"
        )));
    }
    let path = clean(path);
    if path == "/" {
        return Err(Error::invalid(
            "invalid specification: destination can't be '/'",
        ));
    }
    Ok(path)
}

/// The path without `.`, `..`, doubled and trailing slashes (Go's filepath.Clean). Links are the
/// kernel's business.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// A bind with `shared` or `slave` propagation needs a root that lets mounts through.
pub fn root_propagation(container: &Container) -> Option<String> {
    let wanted = wanted(&container.host).unwrap_or_default();
    let uses = |kind: &str| {
        let matches = |option: &String| option.ends_with(kind);
        wanted.iter().any(|mount| mount.options.iter().any(matches))
    };
    match (uses("shared"), uses("slave")) {
        (true, _) => Some("shared".to_string()),
        (false, true) => Some("slave".to_string()),
        _ => None,
    }
}

/// As inspect lists them.
pub fn points(host: &HostConfig) -> Vec<MountPoint> {
    let wanted = wanted(host).unwrap_or_default();
    let mut points: Vec<MountPoint> = wanted.into_iter().map(point).collect();
    // Those of --tmpfs are not listed by Docker; they have no source and no `--mount`.
    points.retain(|point| {
        let given = |tmpfs: &std::collections::BTreeMap<String, String>| {
            tmpfs.contains_key(point.destination.as_deref().unwrap_or_default())
        };
        !host.tmpfs.as_ref().is_some_and(given)
    });
    points
}

fn point(wanted: Wanted) -> MountPoint {
    let is_bind = wanted.source.is_some();
    let kind = if is_bind { "bind" } else { "tmpfs" };
    MountPoint {
        kind: Some(kind.to_string()),
        name: None,
        source: Some(wanted.source.unwrap_or_default()),
        destination: Some(wanted.destination),
        driver: None,
        mode: Some(wanted.mode),
        rw: Some(!wanted.readonly),
        propagation: Some(
            wanted
                .options
                .into_iter()
                .next()
                .filter(|_| is_bind)
                .unwrap_or_default(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        parse_bind(text).unwrap_err().to_string()
    }

    #[test]
    fn a_bind_is_read_as_docker_reads_it() {
        let plain = parse_bind("/srv/./data/:/data//").unwrap();
        assert_eq!(plain.source.as_deref(), Some("/srv/data"));
        assert_eq!(
            (plain.destination.as_str(), plain.readonly),
            ("/data", false)
        );
        assert_eq!(plain.options, ["rprivate"]);
        let careful = parse_bind("/a:/b:ro,rslave,z").unwrap();
        assert_eq!(
            (careful.readonly, careful.options),
            (true, vec!["rslave".to_string()])
        );
    }

    #[test]
    fn a_bind_that_makes_no_sense_is_refused() {
        assert_eq!(
            refusal("/a:/b:ro:x"),
            "invalid volume specification: '/a:/b:ro:x'"
        );
        assert_eq!(refusal("/a"), "invalid volume specification: '/a'");
        assert_eq!(
            refusal("data:/b"),
            "volume \"data\": named volumes are not supported yet"
        );
        assert_eq!(
            refusal("/a:b"),
            "invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount path: 'b' mount path must be absolute"
        );
        assert_eq!(
            refusal("/a:/x/.."),
            "invalid volume specification: '/a:/x/..': invalid mount config for type \"bind\": invalid specification: destination can't be '/'"
        );
        assert_eq!(refusal("/a:/b:rx"), "invalid mode: rx");
    }

    #[test]
    fn the_same_destination_twice_is_refused() {
        let host = HostConfig {
            binds: Some(vec!["/a:/x".into(), "/b:/x/".into()]),
            ..HostConfig::default()
        };
        assert_eq!(
            wanted(&host).unwrap_err().message,
            "Duplicate mount point: /x"
        );
    }

    #[test]
    fn a_tmpfs_is_careful_unless_told_otherwise() {
        assert_eq!(tmpfs("/t", &[]).options, ["noexec", "nosuid", "nodev"]);
        assert_eq!(
            tmpfs("/t", &["exec", "size=1m"]).options,
            ["nosuid", "nodev", "exec", "size=1m"]
        );
    }
}
