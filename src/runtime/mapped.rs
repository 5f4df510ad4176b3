//! Idmapped mounts: trees whose owners are seen through a user namespace.
//!
//! They are made by the parent: the call wants rights over the file system, which a container's
//! first process has lost when it is in a user namespace (mount_setattr(2), ID-mapped mounts).

use crate::error::{Context, Error, Result};
use crate::kernel::{Feature, lacks};
use crate::oci::spec::{IdMapping, Mount};
use crate::runtime::options::Options;
use crate::runtime::plan::Plan;
use crate::runtime::{birth, idmap, mount};
use crate::sys::namespace::{self, Forked};
use crate::sys::{self, failed, process, raw, socket};
use linux_raw_sys::general as kernel;
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// Detached trees, each with the number of its mount in config.json.
pub type Trees = Vec<(usize, OwnedFd)>;

/// The trees of all idmapped mounts.
pub fn trees(plan: &Plan<'_>) -> Result<Trees> {
    let mut trees = Vec::new();
    for (number, mount) in plan.spec.mounts.iter().flatten().enumerate() {
        let options = Options::parse(mount).context(|| mount::invalid(mount))?;
        if let Some(recursive) = options.idmap {
            let tree = tree(plan, mount, &options, recursive).context(|| mount::invalid(mount))?;
            trees.push((number, tree));
        }
    }
    Ok(trees)
}

fn tree(plan: &Plan<'_>, mount: &Mount, options: &Options<'_>, deep: bool) -> Result<OwnedFd> {
    if options.bind.is_none() {
        return Err(Error::invalid(
            "id-mapped mounts are only supported for bind-mounts",
        ));
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Error::invalid(
            "id-mapped mounts are not supported for rootless containers",
        ));
    }
    let namespace = namespace(plan, mount)?;
    let tree = mount::source_tree(plan, mount, options)?;
    sys::mount::map_ids(&tree, &namespace, deep).map_err(|errno| {
        let source = mount.source.as_deref().unwrap_or_default();
        let failure = failed("set MOUNT_ATTR_IDMAP on", source, errno);
        match errno {
            Errno::INVAL => Error::with_errno(
                failure.kind,
                failure.errno,
                format!(
                    "{} (maybe the filesystem used doesn't support idmap mounts on this kernel?)",
                    failure.message
                ),
            ),
            Errno::NOSYS => Error::unsupported(format!(
                "set MOUNT_ATTR_IDMAP on {source} {}",
                lacks(Feature::MountSetattr)
            )),
            _ => failure,
        }
    })?;
    Ok(tree)
}

/// The user namespace whose maps the mount is to have: its own, or else the container's.
fn namespace(plan: &Plan<'_>, mount: &Mount) -> Result<OwnedFd> {
    let own = (mount.uid_mappings.as_deref(), mount.gid_mappings.as_deref());
    let joined = plan
        .joined
        .iter()
        .find(|joined| joined.kind.flag == kernel::CLONE_NEWUSER);
    let (uids, gids) = match (own, joined) {
        ((None, None), Some(joined)) => {
            return joined
                .file
                .try_clone()
                .map_err(|error| Error::io("dup user namespace", &error));
        }
        ((None, None), None) => idmap::ranges(plan),
        ((uids, gids), _) => (uids.unwrap_or_default(), gids.unwrap_or_default()),
    };
    if uids.is_empty() || gids.is_empty() {
        return Err(Error::invalid(
            "id-mapped mounts must have both uid and gid mappings specified",
        ));
    }
    make_namespace(uids, gids)
}

/// A user namespace with these maps. It needs a process to be born with, and then lives with its
/// descriptor.
fn make_namespace(uids: &[IdMapping], gids: &[IdMapping]) -> Result<OwnedFd> {
    let (ours, theirs) = socket::pair()?;
    let forked = birth::fork_in(kernel::CLONE_NEWUSER, None)
        .map_err(|errno| failed("clone3", "user namespace of a mount", errno))?;
    let Forked::Parent { pid, pidfd } = forked else {
        drop(ours);
        // Until the maker has what it wants, or has died.
        let _ = socket::receive(&theirs, &mut [0u8; 1]);
        raw::exit(0)
    };
    drop(theirs);
    let made = idmap::write_maps(pid, uids, gids).and_then(|()| namespace::of_process(pid, "user"));
    drop(ours);
    process::reap(pidfd.as_fd())?;
    made
}
