//! What a bundle asks for, checked and worked out before anything is made.

use crate::error::{Error, Kind, Result};
use crate::json::map::Map;
use crate::oci::spec::{Hook, Hooks, IdMapping, NetDevice, Process, Spec, TimeOffset, VERSION};
use crate::oci::state::State;
use crate::runtime::program::reason;
use crate::sys::fs;
use crate::sys::namespace::{self, Type};
use linux_raw_sys::general as kernel;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

pub struct Plan<'a> {
    pub id: &'a str,
    pub spec: &'a Spec,
    pub process: &'a Process,
    /// Absolute, as `rootfs`. Links in them are followed where they are used.
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    /// CLONE_NEW… bits for the clone. Two namespaces are not among them, but made by the process
    /// itself: `cgroup`, which is to begin at the container's own group, when it is inside; and
    /// `time` with offsets, which can be set only before somebody is in it.
    pub new: u32,
    pub cgroup_namespace: bool,
    pub time_namespace: bool,
    /// Namespaces to join.
    pub joined: Vec<Joined>,
}

/// A namespace that config.json gives by its path.
pub struct Joined {
    pub kind: Type,
    pub path: PathBuf,
    pub file: OwnedFd,
}

impl Plan<'_> {
    pub fn new<'a>(id: &'a str, bundle: &Path, spec: &'a Spec) -> Result<Plan<'a>> {
        // Without one a container can be created, and not started (runtime-spec, `config.md`).
        let process = match &spec.process {
            Some(process) => process,
            None => Box::leak(Box::default()),
        };
        let bundle = absolute(bundle)?;
        let root = spec.root.as_ref().and_then(|root| root.path.as_deref());
        let rootfs = absolute(&bundle.join(root.unwrap_or("rootfs")))?;
        rustix::fs::stat(&rootfs).map_err(|errno| {
            let message = format!(
                "invalid rootfs: stat {}: {}",
                rootfs.display(),
                reason(errno)
            );
            Error::with_errno(Kind::Invalid, Some(errno.raw_os_error()), message)
        })?;

        let mut plan = Plan {
            id,
            spec,
            process,
            bundle,
            rootfs,
            new: 0,
            cgroup_namespace: false,
            time_namespace: false,
            joined: Vec::new(),
        };
        plan.take_namespaces()?;
        plan.check()?;
        Ok(plan)
    }

    fn take_namespaces(&mut self) -> Result<()> {
        let linux = self.spec.linux.as_ref();
        let list = linux.and_then(|linux| linux.namespaces.as_ref());
        let has_offsets = self.time_offsets().next().is_some();
        for namespace in list.into_iter().flatten() {
            let name = namespace.kind.as_deref().unwrap_or_default();
            let kind = Type::named(name)
                .ok_or_else(|| Error::invalid(format!("namespace {name:?} does not exist")))?;
            if self.has(kind.flag) {
                return Err(Error::invalid(format!(
                    "malformed spec file: duplicated ns {name:?}"
                )));
            }
            match namespace.path.as_deref().filter(|path| !path.is_empty()) {
                Some(path) => self.join(kind, Path::new(path))?,
                None if kind.flag == kernel::CLONE_NEWCGROUP => self.cgroup_namespace = true,
                None if kind.flag == kernel::CLONE_NEWTIME && has_offsets => {
                    self.time_namespace = true;
                }
                None => self.new |= kind.flag,
            }
        }
        Ok(())
    }

    pub fn time_offsets(&self) -> impl Iterator<Item = (&String, &TimeOffset)> {
        let linux = self.spec.linux.as_ref();
        let offsets = linux.and_then(|linux| linux.time_offsets.as_ref());
        offsets.into_iter().flatten()
    }

    /// Open a namespace to join, which must be one, and of the type that is told.
    fn join(&mut self, kind: Type, path: &Path) -> Result<()> {
        let file = fs::open_file(path).map_err(|errno| {
            let message = format!(
                "namespace path: lstat {}: {}",
                path.display(),
                reason(errno)
            );
            Error::with_errno(Kind::Invalid, Some(errno.raw_os_error()), message)
        })?;
        if namespace::type_of(&file) != Ok(kind.flag) {
            return Err(Error::invalid(format!(
                "namespace path: {} is not a {} namespace",
                path.display(),
                kind.name
            )));
        }
        // The kernel refuses to join one's own user namespace; there is nothing to do.
        if kind.flag != kernel::CLONE_NEWUSER || !is_own_user_namespace(&file) {
            self.joined.push(Joined {
                kind,
                path: path.to_path_buf(),
                file,
            });
        }
        Ok(())
    }

    /// What cannot be without a namespace of the container's own.
    fn check(&self) -> Result<()> {
        let linux = self.spec.linux.as_ref();
        let is_mapped = linux.is_some_and(|linux| {
            let some =
                |map: &Option<Vec<IdMapping>>| map.as_ref().is_some_and(|map| !map.is_empty());
            some(&linux.uid_mappings) || some(&linux.gid_mappings)
        });
        let is_root = rustix::process::geteuid().is_root();
        let makes_user = self.new & kernel::CLONE_NEWUSER != 0;
        let restricts = linux.is_some_and(|linux| {
            let some =
                |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
            some(&linux.masked_paths) || some(&linux.readonly_paths)
        });
        let refusal = if restricts && !self.has(kernel::CLONE_NEWNS) {
            "unable to restrict sys entries without a private MNT namespace"
        } else if self.spec.hostname.is_some() && !self.has(kernel::CLONE_NEWUTS) {
            "unable to set hostname without a private UTS namespace"
        } else if self.spec.domainname.is_some() && !self.has(kernel::CLONE_NEWUTS) {
            "unable to set domainname without a private UTS namespace"
        } else if self.time_offsets().next().is_some() && !self.time_namespace {
            "time namespace offsets specified, but time namespace isn't enabled in the config"
        } else if is_mapped && !self.has(kernel::CLONE_NEWUSER) {
            "User namespace mappings specified, but USER namespace isn't enabled in the config"
        } else if is_mapped && !makes_user {
            "config.json: a user namespace that is joined has its mappings: leave them out"
        } else if !is_root && !self.has(kernel::CLONE_NEWUSER) {
            "rootless container requires user namespaces"
        } else if self.net_devices().is_some() && !self.has(kernel::CLONE_NEWNET) {
            "unable to move network devices without a private NET namespace"
        } else if self.net_devices().is_some() && !is_root {
            "network devices are not supported for rootless containers"
        } else {
            return Ok(());
        };
        Err(Error::invalid(refusal))
    }

    /// Devices of the host that become the container's.
    pub fn net_devices(&self) -> Option<&Map<NetDevice>> {
        let linux = self.spec.linux.as_ref();
        let devices = linux.and_then(|linux| linux.net_devices.as_ref());
        devices.filter(|devices| !devices.is_empty())
    }

    /// Whether the mounts that we make are seen by nobody outside the container.
    pub fn has_own_mounts(&self) -> bool {
        self.new & kernel::CLONE_NEWNS != 0
    }

    /// Whether the first process needs another that joins namespaces for it.
    pub fn needs_helper(&self) -> bool {
        let before = kernel::CLONE_NEWUSER | kernel::CLONE_NEWPID;
        let joins = |flags: u32| {
            self.joined
                .iter()
                .any(|joined| joined.kind.flag & flags != 0)
        };
        joins(before) || (self.new & kernel::CLONE_NEWUSER != 0 && !self.joined.is_empty())
    }

    pub fn joined(&self, flag: u32) -> Option<&Joined> {
        self.joined.iter().find(|joined| joined.kind.flag == flag)
    }

    /// Whether the container has its own namespace of this type, new or joined.
    pub fn has(&self, flag: u32) -> bool {
        self.namespaces() & flag != 0
    }

    /// The CLONE_NEW… bits of all namespaces that are not the caller's.
    pub fn namespaces(&self) -> u32 {
        let joined = self
            .joined
            .iter()
            .fold(0, |all, joined| all | joined.kind.flag);
        let bit = |is: bool, flag: u32| if is { flag } else { 0 };
        self.new
            | joined
            | bit(self.cgroup_namespace, kernel::CLONE_NEWCGROUP)
            | bit(self.time_namespace, kernel::CLONE_NEWTIME)
    }

    /// What hooks learn of the container while it is made.
    pub fn state(&self, status: &str, pid: i32) -> State {
        State {
            oci_version: Some(VERSION.to_string()),
            id: Some(self.id.to_string()),
            status: Some(status.to_string()),
            pid: Some(pid),
            bundle: Some(self.bundle.display().to_string()),
            annotations: self.spec.annotations.clone(),
        }
    }

    /// Hooks of the kind that `of` picks, where there are any.
    pub fn hooks(&self, of: fn(&Hooks) -> &Option<Vec<Hook>>) -> Option<&Vec<Hook>> {
        let hooks = self
            .spec
            .hooks
            .as_ref()
            .and_then(|hooks| of(hooks).as_ref());
        hooks.filter(|list| !list.is_empty())
    }

    /// Whether the maker has something to run when the file tree is built.
    pub fn has_runtime_hooks(&self) -> bool {
        self.hooks(|hooks| &hooks.prestart).is_some()
            || self.hooks(|hooks| &hooks.create_runtime).is_some()
    }

    /// Whether something is to run when the program has been started, or has ended.
    pub fn has_late_hooks(&self) -> bool {
        self.hooks(|hooks| &hooks.poststart).is_some()
            || self.hooks(|hooks| &hooks.poststop).is_some()
    }

    pub fn has_seccomp(&self) -> bool {
        let linux = self.spec.linux.as_ref();
        linux.is_some_and(|linux| linux.seccomp.is_some())
    }

    pub fn is_terminal(&self) -> bool {
        self.process.terminal == Some(true)
    }
}

/// Whether the open namespace is the user namespace that we are in.
pub fn is_own_user_namespace(file: &OwnedFd) -> bool {
    match (
        rustix::fs::stat("/proc/self/ns/user"),
        rustix::fs::fstat(file),
    ) {
        (Ok(own), Ok(other)) => fs::is_same(&own, &other),
        _ => false,
    }
}

/// Without looking for links on the way, whoever uses the path follows them anyway; but for `..`,
/// which means another place behind a link.
fn absolute(path: &Path) -> Result<PathBuf> {
    let climbs = path.components().any(|part| part == Component::ParentDir);
    match climbs {
        true => std::fs::canonicalize(path),
        false => std::path::absolute(path),
    }
    .map_err(|error| Error::io(format_args!("open {}", path.display()), &error))
}
