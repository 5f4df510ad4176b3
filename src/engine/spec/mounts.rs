//! What a container has mounted: Docker's defaults, the three files that the engine writes, and
//! what the user asked for.

use crate::engine::container::Container;
use crate::engine::host;
use crate::engine::spec::wanted::{Kind, PRIVATE, Wanted};
use crate::engine::spec::{INIT, Place, security};
use crate::error::Result;
use crate::oci::spec::Mount;
use crate::volume::{DRIVER, Volumes};
use crate::wire::container::{HostConfig, MountPoint};

/// All mounts, in the order in which they are to be made.
pub fn all(container: &Container, place: &Place<'_>) -> Result<Vec<Mount>> {
    let mut wanted = container.wanted()?;
    // Parents before children, whatever order they were given in.
    wanted.sort_by_key(|mount| mount.destination.matches('/').count());

    let mut mounts = defaults(&container.host, place);
    for name in ["resolv.conf", "hostname", "hosts"] {
        let source = place.files_dir.join(name).display().to_string();
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
    mounts.extend(wanted.into_iter().map(|mount| into_mount(mount, place)));
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

fn defaults(asked: &HostConfig, place: &Place<'_>) -> Vec<Mount> {
    let access = |is_open: bool| if is_open { "rw" } else { "ro" };
    let privileged = asked.privileged == Some(true);
    let options = asked.security_opt.as_deref();
    let cgroup = security::switch(options, "writable-cgroups").unwrap_or(privileged);
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
    let system = |is_open: bool| ["nosuid", "noexec", "nodev", access(is_open)];
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &quiet),
        mount("/dev", "tmpfs", "tmpfs", &dev),
        mount("/dev/pts", "devpts", "devpts", &pts),
        mount("/sys", "sysfs", "sysfs", &system(privileged)),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &system(cgroup)),
        mount("/dev/mqueue", "mqueue", "mqueue", &quiet),
    ];
    match asked.ipc_mode.as_deref() {
        Some("host") => mounts.push(bind("/dev/shm", "/dev/shm", &["rbind", PRIVATE])),
        Some("none") => {}
        _ if place.shm.is_some() => {
            let shm = place.shm.unwrap_or(place.data_dir).display().to_string();
            mounts.push(bind(&shm, "/dev/shm", &["bind", PRIVATE]));
        }
        _ => {
            let size = format!(
                "size={}",
                asked.shm_size.unwrap_or(place.options.shm_size_bytes)
            );
            let shm = ["nosuid", "noexec", "nodev", "mode=1777", &size];
            mounts.push(mount("/dev/shm", "tmpfs", "shm", &shm));
        }
    }
    mounts
}

/// A mount that was asked for, as the runtime takes it.
fn into_mount(wanted: Wanted, place: &Place<'_>) -> Mount {
    let is_bind = wanted.kind != Kind::Tmpfs;
    let source = match (wanted.kind, place.sources.get(&wanted.destination)) {
        (Kind::Tmpfs, _) => "tmpfs".to_string(),
        (_, Some(source)) => source.clone(),
        (_, None) => wanted.source,
    };
    let mut options = wanted.options;
    if is_bind {
        let bind = if wanted.is_shallow { "bind" } else { "rbind" };
        let propagation = match wanted.kind {
            Kind::Bind => wanted.propagation,
            _ => PRIVATE.to_string(),
        };
        options.extend([bind.to_string(), propagation]);
    }
    if wanted.readonly {
        // As Docker does since 25: also what is mounted below, where the kernel can.
        let is_shallow = wanted.is_shallow_readonly || !host::makes_readonly_recursively();
        let deep = is_bind && !is_shallow;
        options.push(if deep { "rro" } else { "ro" }.to_string());
    }
    Mount {
        destination: Some(wanted.destination),
        kind: Some(if is_bind { "bind" } else { "tmpfs" }.to_string()),
        source: Some(source),
        options: Some(options),
        ..Mount::default()
    }
}

/// A bind with `shared` or `slave` propagation needs a root that lets mounts through.
pub fn root_propagation(container: &Container) -> Option<String> {
    let wanted = container.wanted().unwrap_or_default();
    let uses = |kind: &str| wanted.iter().any(|mount| mount.propagation.ends_with(kind));
    match (uses("shared"), uses("slave")) {
        (true, _) => Some("shared".to_string()),
        (false, true) => Some("slave".to_string()),
        _ => None,
    }
}

/// As inspect lists them.
pub fn points(container: &Container, volumes: &Volumes) -> Vec<MountPoint> {
    let wanted = container.wanted().unwrap_or_default();
    let listed = wanted.into_iter().filter(|mount| !mount.is_unlisted);
    listed.map(|mount| point(mount, volumes)).collect()
}

fn point(wanted: Wanted, volumes: &Volumes) -> MountPoint {
    let (name, source, driver) = match wanted.kind {
        Kind::Volume => {
            let data = volumes.data(&wanted.source).display().to_string();
            (Some(wanted.source), data, Some(DRIVER.to_string()))
        }
        // Mounted in the shim's mount namespace only.
        Kind::Image => (Some(wanted.source), String::new(), None),
        Kind::Bind | Kind::Tmpfs => (None, wanted.source, None),
    };
    MountPoint {
        kind: Some(wanted.kind.name().to_string()),
        name,
        source: Some(source),
        destination: Some(wanted.destination),
        driver,
        mode: Some(wanted.mode),
        rw: Some(!wanted.readonly),
        propagation: Some(wanted.propagation),
    }
}
