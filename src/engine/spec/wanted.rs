//! The mounts that a user asks for: `-v`, `--mount`, `--tmpfs` and `--volumes-from` become one list.
//!
//! What is said about mistakes is moby's (volume/mounts, linux_parser.go).

use crate::error::{Error, Result};
use crate::json::map::Map;
use crate::wire::container::{
    BindOptions, Config, HostConfig, ImageOptions, MountRequest, TmpfsOptions, VolumeOptions,
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    Tmpfs,
    Bind,
    Volume,
    Image,
}

impl Kind {
    /// As the API names it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Tmpfs => "tmpfs",
            Kind::Bind => "bind",
            Kind::Volume => "volume",
            Kind::Image => "image",
        }
    }
}

/// A mount, whichever way it was spelled.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub kind: Kind,
    /// Of a bind the directory; of a volume its name, and until it has got one nothing; of an image
    /// what the user calls it.
    pub source: String,
    pub destination: String,
    pub readonly: bool,
    /// Of a bind: `rprivate`, `rslave`…
    pub propagation: String,
    /// Of a bind: without the mounts below the source.
    pub is_shallow: bool,
    /// Of a read-only bind: the mounts below stay as they are.
    pub is_shallow_readonly: bool,
    /// Of a tmpfs: its mount options.
    pub options: Vec<String>,
    /// The text after the second colon, which inspect shows.
    pub mode: String,
    /// Make the source directory if it does not exist: `-v` does, `--mount` does not.
    pub create_source: bool,
    /// Of `Tmpfs`, which inspect does not list.
    pub is_unlisted: bool,
    /// Of a volume.
    pub volume: VolumeOptions,
    /// Of a volume or an image: the directory in it that is mounted, if not all.
    pub subpath: String,
}

/// Docker's default for a bind mount.
pub const PRIVATE: &str = "rprivate";

const PROPAGATIONS: [&str; 6] = [
    "private", "rprivate", "shared", "rshared", "slave", "rslave",
];

/// All that `host` asks for by itself.
pub fn of(host: &HostConfig) -> Result<Vec<Wanted>> {
    let mut all = Vec::new();
    for text in host.binds.iter().flatten() {
        all.push(parse_bind(text, host.volume_driver.as_deref())?);
    }
    for request in host.mounts.iter().flatten() {
        all.push(parse_mount(request)?);
    }
    for (destination, options) in host.tmpfs.iter().flatten() {
        let given: Vec<&str> = options.split(',').filter(|o| !o.is_empty()).collect();
        check_tmpfs(&given)?;
        all.push(Wanted {
            is_unlisted: true,
            ..tmpfs(&check_destination(destination)?, &given)
        });
    }
    for (at, mount) in all.iter().enumerate() {
        let same = |other: &Wanted| other.destination == mount.destination;
        if all[..at].iter().any(same) {
            let destination = &mount.destination;
            return Err(Error::invalid(format!(
                "Duplicate mount point: {destination}"
            )));
        }
    }
    Ok(all)
}

/// The same, and what was `inherited` from other containers at create, where nothing takes its
/// place; and the volumes that the engine has named, by their places.
pub fn with_inherited(
    host: &HostConfig,
    inherited: &[MountRequest],
    named: &Map<String>,
) -> Result<Vec<Wanted>> {
    let own = of(host)?;
    let mut all = Vec::new();
    for request in inherited {
        let mut mount = parse_mount(request)?;
        let same = |other: &Wanted| other.destination == mount.destination;
        if !own.iter().any(same) {
            all.retain(|other| !same(other));
            // It is the donor's.
            mount.mode.clear();
            all.push(mount);
        }
    }
    all.extend(own);
    for (destination, name) in named.iter() {
        match all
            .iter_mut()
            .find(|mount| mount.destination == *destination)
        {
            Some(mount) if mount.kind == Kind::Volume && mount.source.is_empty() => {
                mount.source.clone_from(name);
            }
            Some(_) => {}
            None => all.push(Wanted {
                mode: String::new(),
                source: name.clone(),
                ..volume(destination)
            }),
        }
    }
    Ok(all)
}

/// Where the config (the image's, too) wants a volume without a name and nothing else is mounted.
pub fn unnamed(config: &Config, all: &[Wanted]) -> Result<Vec<Wanted>> {
    let mut unnamed: Vec<Wanted> = Vec::new();
    for place in config.volumes.iter().flat_map(Map::keys) {
        let destination = check_destination(place)?;
        let mut known = all.iter().chain(&unnamed);
        if !known.any(|mount| mount.destination == destination) {
            unnamed.push(volume(&destination));
        }
    }
    Ok(unnamed)
}

fn volume(destination: &str) -> Wanted {
    Wanted {
        kind: Kind::Volume,
        destination: destination.to_string(),
        // What Docker writes here for SELinux, and shows everywhere.
        mode: "z".to_string(),
        ..Wanted::default()
    }
}

/// `source:destination[:options]` of `-v`, or a destination alone.
fn parse_bind(text: &str, driver: Option<&str>) -> Result<Wanted> {
    let invalid =
        |why: &str| Error::invalid(format!("invalid volume specification: '{text}'{why}"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, destination, mode) = match parts[..] {
        // What looks like a path and a mode is neither a bind nor a volume.
        [_, mode] if is_mode(mode) => return Err(invalid("")),
        [destination] if !destination.is_empty() => ("", destination, ""),
        [source, destination] if !source.is_empty() => (source, destination, ""),
        [source, destination, mode] if !source.is_empty() => (source, destination, mode),
        _ => return Err(invalid("")),
    };
    if !is_mode(mode) {
        return Err(Error::invalid(format!("invalid mode: {mode}")));
    }
    let is_bind = source.starts_with('/');
    let kind = if is_bind { Kind::Bind } else { Kind::Volume };
    let bad = |why: &dyn std::fmt::Display| {
        let name = kind.name();
        invalid(&format!(": invalid mount config for type {name:?}: {why}"))
    };
    let nocopy = mode.split(',').any(|option| option == "nocopy");
    let propagation = mode.split(',').find(|option| PROPAGATIONS.contains(option));
    match kind {
        Kind::Bind if nocopy => return Err(bad(&"field VolumeOptions must not be specified")),
        Kind::Volume if propagation.is_some() => {
            return Err(bad(&"field BindOptions must not be specified"));
        }
        _ => {}
    }
    let destination = check_destination(destination).map_err(|error| bad(&error))?;
    let readonly = mode.split(',').any(|option| option == "ro");
    if is_bind {
        return Ok(Wanted {
            kind,
            source: clean(source),
            destination,
            readonly,
            propagation: propagation.unwrap_or(PRIVATE).to_string(),
            mode: mode.to_string(),
            create_source: true,
            ..Wanted::default()
        });
    }
    let mut wanted = Wanted {
        source: source.to_string(),
        readonly,
        ..volume(&destination)
    };
    if !mode.is_empty() {
        wanted.mode = mode.to_string();
    }
    wanted.volume.no_copy = nocopy.then_some(true);
    if let Some(driver) = driver.filter(|driver| !driver.is_empty()) {
        let config = wanted.volume.driver_config.get_or_insert_default();
        config.name = Some(driver.to_string());
    }
    Ok(wanted)
}

/// Whether `mode` is options of a bind or a volume, at most one of each kind. SELinux labels and
/// Docker Desktop's consistency are known and have nothing to do here.
fn is_mode(mode: &str) -> bool {
    const KINDS: [&[&str]; 5] = [
        &["rw", "ro"],
        &["z", "Z"],
        &PROPAGATIONS,
        &["nocopy"],
        &["consistent", "cached", "delegated"],
    ];
    let mut seen = [false; KINDS.len()];
    mode.is_empty()
        || mode.split(',').all(|option| {
            let kind = KINDS.iter().position(|kind| kind.contains(&option));
            kind.is_some_and(|kind| !std::mem::replace(&mut seen[kind], true))
        })
}

/// One `--mount`.
fn parse_mount(request: &MountRequest) -> Result<Wanted> {
    let kind = request.kind.as_deref().unwrap_or_default();
    let invalid = |why: &dyn std::fmt::Display| {
        Error::invalid(format!("invalid mount config for type {kind:?}: {why}"))
    };
    let target = request.target.as_deref().unwrap_or_default();
    if target.is_empty() {
        return Err(invalid(&"field Target must not be empty"));
    }
    let destination = check_destination(target).map_err(|error| invalid(&error))?;
    let foreign = [
        ("bind", "BindOptions", request.bind_options.is_some()),
        ("volume", "VolumeOptions", request.volume_options.is_some()),
        ("image", "ImageOptions", request.image_options.is_some()),
        ("tmpfs", "TmpfsOptions", request.tmpfs_options.is_some()),
        (
            "cluster",
            "ClusterOptions",
            request.cluster_options.is_some(),
        ),
    ];
    let is_known = foreign.iter().any(|(known, ..)| *known == kind);
    if !is_known && kind != "npipe" {
        return Err(invalid(&"mount type unknown"));
    }
    let extra = foreign
        .iter()
        .find(|(of, _, is_given)| *is_given && *of != kind);
    if let Some((_, member, _)) = extra {
        return Err(invalid(&format_args!(
            "field {member} must not be specified"
        )));
    }
    let wanted = match kind {
        "bind" => mount_bind(request).map_err(|error| invalid(&error))?,
        "volume" => mount_volume(request).map_err(|error| invalid(&error))?,
        "image" => mount_image(request).map_err(|error| invalid(&error))?,
        "tmpfs" if request.source.as_ref().is_some_and(|text| !text.is_empty()) => {
            return Err(invalid(&"field Source must not be specified"));
        }
        "tmpfs" => {
            let options = request.tmpfs_options.clone().unwrap_or_default();
            let given = tmpfs_options(options).map_err(|error| invalid(&error))?;
            let given: Vec<&str> = given.iter().map(String::as_str).collect();
            tmpfs(&destination, &given)
        }
        _ => {
            return Err(Error::invalid(format!(
                "mounts of type \"{kind}\" are not supported"
            )));
        }
    };
    Ok(Wanted {
        destination,
        readonly: request.read_only == Some(true) || wanted.kind == Kind::Image,
        ..wanted
    })
}

fn mount_volume(request: &MountRequest) -> Result<Wanted> {
    let options = request.volume_options.clone().unwrap_or_default();
    let source = request.source.clone().unwrap_or_default();
    let subpath = options.subpath.clone().unwrap_or_default();
    if !subpath.is_empty() && source.is_empty() {
        return Err(Error::invalid(
            "must not set Subpath when using anonymous volumes",
        ));
    }
    check_subpath(&subpath)?;
    Ok(Wanted {
        source,
        subpath,
        volume: options,
        ..volume("")
    })
}

fn mount_image(request: &MountRequest) -> Result<Wanted> {
    let source = request.source.clone().unwrap_or_default();
    if source.is_empty() {
        return Err(Error::invalid("field Source must not be empty"));
    }
    let options = request.image_options.clone().unwrap_or_default();
    let subpath = options.subpath.unwrap_or_default();
    check_subpath(&subpath)?;
    Ok(Wanted {
        kind: Kind::Image,
        source,
        subpath,
        propagation: PRIVATE.to_string(),
        ..Wanted::default()
    })
}

/// By its text alone; where its links lead is seen when it is mounted.
fn check_subpath(path: &str) -> Result<()> {
    let mut depth = 0i32;
    let leaves = path.split('/').any(|part| {
        depth += match part {
            "" | "." => 0,
            ".." => -1,
            _ => 1,
        };
        depth < 0
    });
    match path.starts_with('/') || leaves {
        true => Err(Error::invalid(
            "subpath must be a relative path within the volume",
        )),
        false => Ok(()),
    }
}

fn mount_bind(request: &MountRequest) -> Result<Wanted> {
    let source = request.source.as_deref().unwrap_or_default();
    if source.is_empty() {
        return Err(Error::invalid("field Source must not be empty"));
    }
    if !source.starts_with('/') {
        return Err(Error::invalid(format!(
            "invalid mount path: '{source}' mount path must be absolute"
        )));
    }
    let options = request.bind_options.clone().unwrap_or_default();
    check_readonly(&options, request.read_only == Some(true))?;
    let propagation = options.propagation.unwrap_or_default();
    if !propagation.is_empty() && !PROPAGATIONS.contains(&propagation.as_str()) {
        return Err(Error::invalid(format!(
            "invalid propagation mode: {propagation}"
        )));
    }
    Ok(Wanted {
        kind: Kind::Bind,
        source: clean(source),
        propagation: match propagation.as_str() {
            "" => PRIVATE.to_string(),
            _ => propagation,
        },
        is_shallow: options.non_recursive == Some(true),
        is_shallow_readonly: options.read_only_non_recursive == Some(true),
        create_source: options.create_mountpoint == Some(true),
        ..Wanted::default()
    })
}

/// Which kinds of "read-only" go together.
fn check_readonly(options: &BindOptions, is_readonly: bool) -> Result<()> {
    let shallow = options.read_only_non_recursive == Some(true);
    let forced = options.read_only_force_recursive == Some(true);
    for (is_asked, name) in [
        (shallow, "ReadOnlyNonRecursive"),
        (forced, "ReadOnlyForceRecursive"),
    ] {
        if is_asked && !is_readonly {
            return Err(Error::invalid(format!(
                "mount option {name} requires ReadOnly"
            )));
        }
    }
    if shallow && forced {
        return Err(Error::invalid(
            "ReadOnlyForceRecursive must not be specified with ReadOnlyNonRecursive",
        ));
    }
    if forced && !crate::engine::host::makes_readonly_recursively() {
        return Err(Error::invalid(
            "recursive read-only mounts need Linux 5.12 or newer",
        ));
    }
    Ok(())
}

fn tmpfs_options(options: TmpfsOptions) -> Result<Vec<String>> {
    let mut given = Vec::new();
    for option in options.options.iter().flatten() {
        let [name] = &option[..] else {
            return Err(Error::invalid("invalid option array length"));
        };
        if !matches!(name.as_str(), "exec" | "noexec") {
            return Err(Error::invalid(format!("invalid option: {name}")));
        }
        given.push(name.clone());
    }
    let size = options.size_bytes.filter(|bytes| *bytes > 0);
    given.extend(size.map(|bytes| format!("size={bytes}")));
    let mode = options.mode.filter(|mode| *mode > 0);
    given.extend(mode.map(|mode| format!("mode={mode:o}")));
    Ok(given)
}

/// What a tmpfs may be told (moby, pkg/mount: mergeTmpfsOptions).
fn check_tmpfs(given: &[&str]) -> Result<()> {
    const FLAGS: [&str; 21] = [
        "defaults",
        "ro",
        "rw",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "exec",
        "noexec",
        "sync",
        "async",
        "dirsync",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
        "mand",
    ];
    const VALUES: [&str; 7] = [
        "size",
        "mode",
        "uid",
        "gid",
        "nr_inodes",
        "nr_blocks",
        "mpol",
    ];
    for option in given {
        let is_known = match option.split_once('=') {
            Some((name, _)) => VALUES.contains(&name),
            None => FLAGS.contains(option) || PROPAGATIONS.contains(option),
        };
        if !is_known {
            return Err(Error::invalid(format!("invalid tmpfs option {given:?}")));
        }
    }
    Ok(())
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
        destination: destination.to_string(),
        options,
        ..Wanted::default()
    }
}

/// As another container inherits it, with `mode` behind the name of its donor.
pub fn inherit(mount: Wanted, mode: &str) -> MountRequest {
    let readonly = mount.readonly || mode.split(',').any(|option| option == "ro");
    let mut request = MountRequest {
        kind: Some(mount.kind.name().to_string()),
        target: Some(mount.destination.clone()),
        read_only: Some(readonly),
        ..MountRequest::default()
    };
    let subpath = Some(mount.subpath).filter(|path| !path.is_empty());
    match mount.kind {
        Kind::Bind => {
            request.bind_options = Some(BindOptions {
                propagation: Some(mount.propagation.clone()),
                non_recursive: Some(mount.is_shallow),
                read_only_non_recursive: Some(readonly && mount.is_shallow_readonly),
                create_mountpoint: Some(mount.create_source),
                ..BindOptions::default()
            });
        }
        Kind::Volume => {
            request.volume_options = Some(VolumeOptions {
                no_copy: Some(true),
                subpath,
                ..VolumeOptions::default()
            });
        }
        Kind::Image => request.image_options = Some(ImageOptions { subpath }),
        Kind::Tmpfs => {
            let value = |option: &String, name: &str| option.strip_prefix(name).map(str::to_string);
            let find = |name| mount.options.iter().find_map(|option| value(option, name));
            let execs = mount.options.iter().any(|option| option == "exec");
            request.tmpfs_options = Some(TmpfsOptions {
                size_bytes: find("size=").and_then(|size| size.parse().ok()),
                mode: find("mode=").and_then(|mode| u32::from_str_radix(&mode, 8).ok()),
                options: execs.then(|| vec![vec!["exec".to_string()]]),
            });
            return request;
        }
    }
    request.source = Some(mount.source);
    request
}

/// `ID[:mode]` of `--volumes-from`.
pub fn parse_donor(text: &str) -> Result<(&str, &str)> {
    if text.is_empty() {
        return Err(Error::invalid(
            "volumes-from specification cannot be an empty string",
        ));
    }
    let (id, mode) = text.split_once(':').unwrap_or((text, ""));
    // Propagation is the donor's own.
    let is_foreign = |option: &str| option == "nocopy" || PROPAGATIONS.contains(&option);
    match is_mode(mode) && !mode.split(',').any(is_foreign) {
        true => Ok((id, mode)),
        false => Err(Error::invalid(format!("invalid mode: {mode}"))),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        parse_bind(text, None).unwrap_err().to_string()
    }

    #[test]
    fn a_bind_is_read_as_docker_reads_it() {
        let plain = parse_bind("/srv/./data/:/data//", None).unwrap();
        assert_eq!(
            (plain.kind, plain.source.as_str()),
            (Kind::Bind, "/srv/data")
        );
        assert_eq!(
            (plain.destination.as_str(), plain.readonly),
            ("/data", false)
        );
        assert_eq!(plain.propagation, "rprivate");
        let careful = parse_bind("/a:/b:ro,rslave,z", None).unwrap();
        assert_eq!((careful.readonly, &*careful.propagation), (true, "rslave"));
    }

    #[test]
    fn a_bind_that_makes_no_sense_is_refused() {
        for (text, expected) in [
            ("/a:/b:ro:x", "invalid volume specification: '/a:/b:ro:x'"),
            ("", "invalid volume specification: ''"),
            ("/a:ro", "invalid volume specification: '/a:ro'"),
            (
                "data:/b:rslave",
                "invalid volume specification: 'data:/b:rslave': invalid mount config for type \"volume\": field BindOptions must not be specified",
            ),
            (
                "data:/",
                "invalid volume specification: 'data:/': invalid mount config for type \"volume\": invalid specification: destination can't be '/'",
            ),
            (
                "/a:b",
                "invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount path: 'b' mount path must be absolute",
            ),
            (
                "/a:/x/..",
                "invalid volume specification: '/a:/x/..': invalid mount config for type \"bind\": invalid specification: destination can't be '/'",
            ),
            (
                "/a:/b:nocopy",
                "invalid volume specification: '/a:/b:nocopy': invalid mount config for type \"bind\": field VolumeOptions must not be specified",
            ),
            ("/a:/b:rx", "invalid mode: rx"),
            ("/a:/b:ro,rw", "invalid mode: ro,rw"),
            ("/a:/b:z,Z", "invalid mode: z,Z"),
            ("/a:/b:,", "invalid mode: ,"),
        ] {
            assert_eq!(refusal(text), expected);
        }
    }

    #[test]
    fn a_mount_that_makes_no_sense_is_refused() {
        for (text, expected) in [
            (
                r#"{"Type":"foo","Target":"/x"}"#,
                "invalid mount config for type \"foo\": mount type unknown",
            ),
            (
                r#"{"Target":"/x"}"#,
                "invalid mount config for type \"\": mount type unknown",
            ),
            (
                r#"{"Type":"bind","Target":"/x"}"#,
                "invalid mount config for type \"bind\": field Source must not be empty",
            ),
            (
                r#"{"Type":"bind","Source":"/a"}"#,
                "invalid mount config for type \"bind\": field Target must not be empty",
            ),
            (
                r#"{"Type":"bind","Source":"/a","Target":"/x","TmpfsOptions":{}}"#,
                "invalid mount config for type \"bind\": field TmpfsOptions must not be specified",
            ),
            (
                r#"{"Type":"bind","Source":"/a","Target":"/x","BindOptions":{"Propagation":"x"}}"#,
                "invalid mount config for type \"bind\": invalid propagation mode: x",
            ),
            (
                r#"{"Type":"bind","Source":"/a","Target":"/x","BindOptions":{"ReadOnlyNonRecursive":true}}"#,
                "invalid mount config for type \"bind\": mount option ReadOnlyNonRecursive requires ReadOnly",
            ),
            (
                r#"{"Type":"tmpfs","Source":"/a","Target":"/x"}"#,
                "invalid mount config for type \"tmpfs\": field Source must not be specified",
            ),
            (
                r#"{"Type":"tmpfs","Target":"/x","TmpfsOptions":{"Options":[["suid"]]}}"#,
                "invalid mount config for type \"tmpfs\": invalid option: suid",
            ),
            (
                r#"{"Type":"volume","Target":"/x","VolumeOptions":{"Subpath":"a"}}"#,
                "invalid mount config for type \"volume\": must not set Subpath when using anonymous volumes",
            ),
            (
                r#"{"Type":"volume","Source":"v1","Target":"/x","VolumeOptions":{"Subpath":"a/../../b"}}"#,
                "invalid mount config for type \"volume\": subpath must be a relative path within the volume",
            ),
            (
                r#"{"Type":"image","Source":"v1","Target":"/x","ImageOptions":{"Subpath":"/a"}}"#,
                "invalid mount config for type \"image\": subpath must be a relative path within the volume",
            ),
            (
                r#"{"Type":"image","Target":"/x"}"#,
                "invalid mount config for type \"image\": field Source must not be empty",
            ),
            (
                r#"{"Type":"volume","Source":"v1","Target":"/x","BindOptions":{}}"#,
                "invalid mount config for type \"volume\": field BindOptions must not be specified",
            ),
            (
                r#"{"Type":"npipe","Target":"/x"}"#,
                "mounts of type \"npipe\" are not supported",
            ),
        ] {
            let request = crate::json::parse(text, "test").unwrap();
            assert_eq!(
                parse_mount(&request).unwrap_err().message,
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn the_same_destination_twice_is_refused() {
        let host = HostConfig {
            binds: Some(vec!["/a:/x".into(), "/b:/x/".into()]),
            ..HostConfig::default()
        };
        assert_eq!(of(&host).unwrap_err().message, "Duplicate mount point: /x");
    }

    #[test]
    fn a_tmpfs_is_careful_unless_told_otherwise() {
        assert_eq!(tmpfs("/t", &[]).options, ["noexec", "nosuid", "nodev"]);
        assert_eq!(
            tmpfs("/t", &["exec", "size=1m"]).options,
            ["nosuid", "nodev", "exec", "size=1m"]
        );
        assert_eq!(
            check_tmpfs(&["size=1m", "foo"]).unwrap_err().message,
            "invalid tmpfs option [\"size=1m\", \"foo\"]"
        );
    }

    #[test]
    fn a_donors_mounts_come_over_and_own_ones_take_their_place() {
        let donor = HostConfig {
            binds: Some(vec!["/a:/x:rslave".into(), "/b:/y".into()]),
            ..HostConfig::default()
        };
        let (id, mode) = parse_donor("web:ro").unwrap();
        assert_eq!((id, mode), ("web", "ro"));
        let all = of(&donor).unwrap().into_iter();
        let inherited: Vec<MountRequest> = all.map(|mount| inherit(mount, mode)).collect();
        let host = HostConfig {
            binds: Some(vec!["/c:/y".into()]),
            ..HostConfig::default()
        };
        let all = with_inherited(&host, &inherited, &Map::new()).unwrap();
        let seen: Vec<_> = all
            .iter()
            .map(|mount| {
                (
                    &*mount.source,
                    &*mount.destination,
                    mount.readonly,
                    &*mount.propagation,
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("/a", "/x", true, "rslave"),
                ("/c", "/y", false, "rprivate")
            ]
        );
        for bad in ["web:x", "web:rslave", "web:nocopy"] {
            assert!(
                parse_donor(bad)
                    .unwrap_err()
                    .message
                    .starts_with("invalid mode: ")
            );
        }
    }

    #[test]
    fn volumes_have_names_or_get_some() {
        let host = HostConfig {
            binds: Some(vec!["data:/a:ro,nocopy".into(), "/b".into()]),
            volume_driver: Some("local".into()),
            ..HostConfig::default()
        };
        let donor = inherit(
            Wanted {
                source: "theirs".into(),
                ..volume("/c")
            },
            "",
        );
        let named = [("/b", "first"), ("/c", "theirs"), ("/d", "second")];
        let mut map = Map::new();
        map.extend(named.map(|(at, name)| (at.to_string(), name.to_string())));
        let all = with_inherited(&host, &[donor], &map).unwrap();
        let seen: Vec<_> = all
            .iter()
            .map(|mount| (&*mount.destination, &*mount.source, &*mount.mode))
            .collect();
        assert_eq!(
            seen,
            [
                ("/c", "theirs", ""),
                ("/a", "data", "ro,nocopy"),
                ("/b", "first", "z"),
                ("/d", "second", "")
            ]
        );
        assert!(all.iter().all(|mount| mount.kind == Kind::Volume));
        let driver = all[1].volume.driver_config.clone().unwrap();
        assert_eq!(driver.name.as_deref(), Some("local"));
        assert_eq!(all[1].volume.no_copy, Some(true));

        let config = r#"{"Volumes":{"/a":{},"/e/":{},"/e":{}}}"#;
        let config = crate::json::parse(config, "test").unwrap();
        let more = unnamed(&config, &all).unwrap();
        let more: Vec<&str> = more.iter().map(|mount| &*mount.destination).collect();
        assert_eq!(more, ["/e"]);
    }
}
