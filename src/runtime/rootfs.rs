//! The container's file tree: built on the host, then made our root.

use crate::cgroup::devices::Guard;
use crate::error::{Context, Error, Result};
use crate::oci::spec::Linux;
use crate::runtime::console::{self, Console};
use crate::runtime::mapped::Trees;
use crate::runtime::options::propagation;
use crate::runtime::pivot::{self, Manner};
use crate::runtime::plan::Plan;
use crate::runtime::walk::{self, Leaf};
use crate::runtime::{devices, mask, mount};
use crate::sys;
use crate::sys::mount::Attributes;
use linux_raw_sys::general as kernel;
use rustix::mount::{MountAttrFlags, MountPropagationFlags};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The container's root and what its mounts need to know.
pub struct Rootfs<'a> {
    /// The top of the tree: the mount itself, not the directory below it.
    pub root: OwnedFd,
    pub plan: &'a Plan<'a>,
    /// Made by the parent, which may more than we.
    pub trees: &'a Trees,
    /// To become read-only when everything in them is made.
    pub late_readonly: Vec<OwnedFd>,
    /// The image's device nodes are of no use, wherever they end up.
    pub forbids_nodes: bool,
    /// The terminal, where one is asked for. To be taken out before `enter`.
    pub console: Option<Console>,
    propagation: Option<MountPropagationFlags>,
}

/// Build the container's file tree, up to where hooks may look at it: mounts, devices, console.
///
/// Runs in the container's first process. After an error the process is between two trees and
/// can only exit.
pub fn prepare<'a>(plan: &'a Plan<'a>, guard: &Guard, trees: &'a Trees) -> Result<Rootfs<'a>> {
    let propagation = asked_propagation(plan)?;
    let place = sys::fs::open_path(&plan.rootfs)?;
    refuse_own_root(&place)?;
    if plan.has_own_mounts() {
        shield_host(&place, propagation)?;
    }

    // pivot_root wants a mount point, so the rootfs becomes one. The descriptor names the mount.
    let root = sys::mount::clone_tree_of(&place, true, plan.rootfs.display())
        .context(|| "prepare rootfs")?;
    let mut attributes = Attributes::default();
    if guard.forbids_nodes() {
        attributes.set = MountAttrFlags::MOUNT_ATTR_NODEV;
    }
    mount::put(&root, &place, attributes, &plan.rootfs)?;
    mount::propagate(&root, own_propagation(plan, propagation))?;
    let mut rootfs = Rootfs {
        root,
        plan,
        trees,
        late_readonly: Vec::new(),
        forbids_nodes: guard.forbids_nodes(),
        console: None,
        propagation,
    };

    for (number, wanted) in plan.spec.mounts.iter().flatten().enumerate() {
        mount::make(&mut rootfs, number, wanted)?;
    }
    if devices::are_ours(plan) {
        devices::make(&rootfs)?;
    }
    if plan.is_terminal() {
        rootfs.console = Some(console::make(&rootfs)?);
    }
    Ok(rootfs)
}

impl Rootfs<'_> {
    /// What must not be there for the hooks yet (masks, a read-only root), and then leave the
    /// host's file tree for this one.
    pub fn enter(self, no_pivot: bool) -> Result<()> {
        let plan = self.plan;
        if let Some(cwd) = plan.process.cwd.as_deref().filter(|cwd| *cwd != "/") {
            walk::ensure(self.root.as_fd(), Path::new(cwd), Leaf::Dir)
                .map_err(|error| error.with_kind(crate::error::Kind::CannotInvoke))
                .context(|| format!("mkdir {cwd}"))?;
        }
        mask::hide(&self)?;
        mask::protect(&self)?;

        for tree in &self.late_readonly {
            mount::set(tree, only(MountAttrFlags::MOUNT_ATTR_RDONLY))?;
        }
        if plan.spec.root.as_ref().and_then(|root| root.readonly) == Some(true) {
            mount::set(&self.root, only(MountAttrFlags::MOUNT_ATTR_RDONLY))
                .context(|| "make the root file system read-only")?;
        }

        if !plan.has_own_mounts() {
            // pivot_root would move the root of everybody else in the namespace as well.
            return pivot::change_root(self.root.as_fd());
        }
        let is = |flag| self.propagation.is_some_and(|asked| asked.contains(flag));
        if no_pivot && is(MountPropagationFlags::PRIVATE) {
            return Err(Error::invalid(
                "rootfsPropagation of [r]private is not safe without pivot_root",
            ));
        }
        let manner = Manner {
            no_pivot,
            user_namespace: plan.has(kernel::CLONE_NEWUSER),
        };
        pivot::leave(self.root.as_fd(), manner)?;
        match self.propagation {
            // Private and slave it is from its birth.
            Some(asked)
                if is(MountPropagationFlags::SHARED) || is(MountPropagationFlags::UNBINDABLE) =>
            {
                sys::mount::propagate(Path::new("/"), asked)
            }
            _ => Ok(()),
        }
    }
}

fn asked_propagation(plan: &Plan<'_>) -> Result<Option<MountPropagationFlags>> {
    let of = |linux: &Linux| linux.rootfs_propagation.clone();
    let asked = plan.spec.linux.as_ref().and_then(of).unwrap_or_default();
    if asked.is_empty() {
        return Ok(None);
    }
    match propagation(&asked) {
        Some(propagation) => Ok(Some(propagation)),
        None => Err(Error::invalid(format!(
            "rootfsPropagation={asked} is not supported"
        ))),
    }
}

/// A container on the root of its maker would hold all of the host.
fn refuse_own_root(place: &OwnedFd) -> Result<()> {
    let root = sys::fs::open_path(Path::new("/"))?;
    let (root, place) = (sys::fs::stat(root.as_fd())?, sys::fs::stat(place.as_fd())?);
    match sys::fs::is_same(&root, &place) {
        true => Err(Error::invalid(
            "invalid rootfs: it is the root of the host: give the container a directory of its own",
        )),
        false => Ok(()),
    }
}

/// Nothing that we do from here on reaches the host, but for what is asked to.
fn shield_host(place: &OwnedFd, asked: Option<MountPropagationFlags>) -> Result<()> {
    let asked = asked.unwrap_or(MountPropagationFlags::empty());
    if asked.contains(MountPropagationFlags::SHARED) {
        // Volumes stay peers of what they are on the host. Our own mount has a parent that is not.
        return hold_privately(place);
    }
    let kind = match asked.contains(MountPropagationFlags::PRIVATE | MountPropagationFlags::REC) {
        true => MountPropagationFlags::PRIVATE,
        // Slave, not private: an unmount on the host still reaches us and frees its disk.
        false => MountPropagationFlags::DOWNSTREAM,
    };
    pivot::propagate_all(kind | MountPropagationFlags::REC)
}

/// Make the mount that holds the rootfs private.
fn hold_privately(place: &OwnedFd) -> Result<()> {
    let private = MountPropagationFlags::PRIVATE;
    // Of a directory inside a mount the call says EINVAL.
    if sys::mount::set_attributes(place, Attributes::default(), private).is_ok() {
        return Ok(());
    }
    let id = sys::mount::id(place)?;
    let all = sys::mountinfo::read()?;
    match all.iter().find(|mount| mount.id == id) {
        Some(mount) => sys::mount::propagate(Path::new(&mount.point), private),
        None => Err(Error::invalid(
            "rootfsPropagation=shared: the mount that holds the rootfs is out of sight: make the rootfs a mount point",
        )),
    }
}

/// How the root mount itself behaves until the container is entered.
fn own_propagation(plan: &Plan<'_>, asked: Option<MountPropagationFlags>) -> MountPropagationFlags {
    if !plan.has_own_mounts() {
        // What we mount in it must not show in the directory itself, for others see that too.
        return MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    }
    match asked.is_some_and(|asked| asked.contains(MountPropagationFlags::DOWNSTREAM)) {
        // What the host mounts in the rootfs is to appear inside; it is a slave already.
        true => MountPropagationFlags::empty(),
        false => MountPropagationFlags::PRIVATE,
    }
}

/// Set one flag of the top mount.
pub fn only(flag: MountAttrFlags) -> Attributes {
    Attributes {
        set: flag,
        ..Attributes::default()
    }
}
