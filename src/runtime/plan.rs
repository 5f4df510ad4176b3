//! What a bundle asks for, checked and worked out before anything is made.

use crate::error::{Error, Kind, Result};
use crate::oci::spec::{Process, Spec};
use crate::sys::namespace::{self, Type};
use linux_raw_sys::general as kernel;
use std::path::{Path, PathBuf};

pub struct Plan<'a> {
    pub spec: &'a Spec,
    pub process: &'a Process,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    /// CLONE_NEW… bits for the clone. The cgroup namespace is not among them: it is to begin at
    /// the container's own group, so the process makes it when it is inside.
    pub new: u32,
    pub cgroup_namespace: bool,
    /// Namespaces to join, by path.
    pub joined: Vec<(Type, PathBuf)>,
}

impl Plan<'_> {
    pub fn new<'a>(bundle: &Path, spec: &'a Spec) -> Result<Plan<'a>> {
        let process = spec
            .process
            .as_ref()
            .ok_or_else(|| Error::invalid("config.json: process is missing"))?;
        if process.args.as_ref().is_none_or(Vec::is_empty) {
            return Err(Error::invalid("args must not be empty"));
        }
        let bundle = absolute(bundle)?;
        let root = spec.root.as_ref().and_then(|root| root.path.as_deref());
        let rootfs = absolute(&bundle.join(root.unwrap_or("rootfs")))?;

        let mut plan = Plan {
            spec,
            process,
            bundle,
            rootfs,
            new: 0,
            cgroup_namespace: false,
            joined: Vec::new(),
        };
        plan.take_namespaces()?;
        if !plan.has(kernel::CLONE_NEWNS) {
            return Err(Error::invalid(
                "config.json: a new mount namespace is needed",
            ));
        }
        if spec.hostname.is_some() && !plan.has(kernel::CLONE_NEWUTS) {
            return Err(Error::invalid(
                "unable to set hostname without a private UTS namespace",
            ));
        }
        Ok(plan)
    }

    fn take_namespaces(&mut self) -> Result<()> {
        let list = self.spec.linux.as_ref().and_then(|l| l.namespaces.as_ref());
        for namespace in list.into_iter().flatten() {
            let name = namespace.kind.as_deref().unwrap_or_default();
            let kind = Type::named(name)
                .ok_or_else(|| Error::invalid(format!("namespace {name:?} does not exist")))?;
            // Linux may be built without time or user namespaces.
            if !Path::new("/proc/self/ns").join(kind.file).exists() {
                return Err(Error::new(
                    Kind::Unsupported,
                    format!("this kernel has no {name} namespaces"),
                ));
            }
            let seen = self.new & kind.flag != 0
                || self.joined.iter().any(|(other, _)| *other == kind)
                || (kind.name == "cgroup" && self.cgroup_namespace);
            if seen {
                return Err(Error::invalid(format!("namespace {name:?} is given twice")));
            }
            match namespace.path.as_deref().filter(|path| !path.is_empty()) {
                Some(_) if matches!(kind.name, "mount" | "user") => {
                    return Err(Error::unsupported(format!(
                        "joining a {name} namespace is not supported"
                    )));
                }
                Some(path) => self.joined.push((kind, PathBuf::from(path))),
                None if kind.name == "cgroup" => self.cgroup_namespace = true,
                None => self.new |= kind.flag,
            }
        }
        Ok(())
    }

    /// Whether the container has its own namespace of this type, new or joined.
    pub fn has(&self, flag: u32) -> bool {
        self.namespaces() & flag != 0
    }

    /// The CLONE_NEW… bits of all namespaces that are not the caller's.
    pub fn namespaces(&self) -> u32 {
        let joined = self.joined.iter().fold(0, |all, (kind, _)| all | kind.flag);
        let cgroup = match self.cgroup_namespace {
            true => kernel::CLONE_NEWCGROUP,
            false => 0,
        };
        self.new | joined | cgroup
    }

    pub fn is_terminal(&self) -> bool {
        self.process.terminal == Some(true)
    }

    /// Open the namespace to join of type `name`, if there is one.
    pub fn open_joined(&self, name: &str) -> Result<Option<(Type, std::fs::File)>> {
        let Some((kind, path)) = self.joined.iter().find(|(kind, _)| kind.name == name) else {
            return Ok(None);
        };
        let file = std::fs::File::open(path).map_err(|error| {
            Error::io(
                format_args!("open {name} namespace {}", path.display()),
                &error,
            )
        })?;
        Ok(Some((*kind, file)))
    }
}

/// Join what has a path; the process namespace is the maker's business.
pub fn join(plan: &Plan<'_>) -> Result<()> {
    for (kind, path) in &plan.joined {
        if kind.name == "pid" {
            continue;
        }
        if let Some((kind, file)) = plan.open_joined(kind.name)? {
            namespace::join(&file, kind).map_err(|errno| {
                Error::system(
                    format_args!("join {} namespace {}", kind.name, path.display()),
                    errno.raw_os_error(),
                )
            })?;
        }
    }
    Ok(())
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::fs::canonicalize(path)
        .map_err(|error| Error::io(format_args!("open {}", path.display()), &error))
}
