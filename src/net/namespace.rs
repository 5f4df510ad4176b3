//! Network namespaces that nothing but a descriptor holds: when it is closed, and nobody is inside,
//! the kernel takes the namespace away with all its links.
//!
//! The calling thread goes there and comes back; other threads stay where they are.

use crate::error::{Context, Result};
use crate::kernel::{Feature, explain, lacks};
use crate::sys::failed;
use crate::sys::namespace::{self, NETWORK};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// A new one, in which everything is down.
pub fn create() -> Result<OwnedFd> {
    away(namespace::unshare_network)
        .and_then(|away| away.within(|| namespace::of_thread("net")))
        .map_err(|error| explain(error, &[Errno::INVAL], &|| lacks(Feature::NetNs)))
        .context(|| "make a network namespace")
}

/// Do `work` inside. Sockets that it makes are of that namespace for ever.
pub fn within<T>(target: &OwnedFd, work: impl FnOnce() -> Result<T>) -> Result<T> {
    away(|| join(target))?.within(work)
}

/// The namespace that we have left.
struct Away(OwnedFd);

/// Not generic, so that there is one of it.
fn away(leave: impl FnOnce() -> Result<()>) -> Result<Away> {
    let home = namespace::of_thread("net")?;
    // Who may not come back does not leave: a user namespace can be allowed to make network
    // namespaces and not to enter the one that it is in.
    join(&home)?;
    leave()?;
    Ok(Away(home))
}

impl Away {
    fn within<T>(self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let done = work();
        drop(self);
        done
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        // It was allowed a moment ago. Anywhere else than at home this thread would do harm.
        assert!(
            join(&self.0).is_ok(),
            "cannot go back to the network namespace"
        );
    }
}

fn join(target: &OwnedFd) -> Result<()> {
    namespace::join(target, NETWORK).map_err(|errno| failed("setns", "network namespace", errno))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fs;
    use std::os::fd::AsFd;

    fn inode(namespace: &OwnedFd) -> u64 {
        fs::stat(namespace.as_fd()).unwrap().st_ino
    }

    #[test]
    fn a_thread_goes_into_a_namespace_and_comes_back() {
        let home = inode(&namespace::of_thread("net").unwrap());
        let made = create().unwrap();
        assert_ne!(inode(&made), home);
        let there = within(&made, || namespace::of_thread("net")).unwrap();
        assert_eq!(inode(&there), inode(&made));
        assert!(
            within(&made, || -> Result<()> {
                Err(crate::error::Error::invalid("no"))
            })
            .is_err()
        );
        assert_eq!(inode(&namespace::of_thread("net").unwrap()), home);
        let none: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
        assert!(within(&none, || Ok(())).is_err());
        assert_eq!(inode(&namespace::of_thread("net").unwrap()), home);
    }
}
