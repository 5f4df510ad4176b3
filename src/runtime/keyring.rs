//! The session keyring of a container (keyrings(7)): the keys of whoever started us are not for
//! those that we become.

use crate::error::{Error, Result};
use crate::sys::{failed, raw};
use rustix::io::Errno;
use std::ffi::CString;

/// What a new session keyring lets its possessor and its user do, and the user search it as well:
/// without that nobody who joins the container later finds it by name.
const PERMISSIONS: u32 = 0x1f1b_0000;

/// Join the container's keyring, which is called as runc calls it.
pub fn join(id: &str) -> Result<()> {
    let name = CString::new(format!("_ses.{id}"))
        .map_err(|_| Error::invalid("a zero byte in the container's ID"))?;
    // One of the same name may be there that belongs to another user, or none may be found by
    // name in this user namespace. Empty and our own it is then, all the same.
    let joined = raw::join_keyring(Some(&name)).or_else(|_| raw::join_keyring(None));
    match joined {
        Ok(keyring) => {
            let _ = raw::set_key_permissions(keyring, PERMISSIONS);
            Ok(())
        }
        // A kernel without keyrings, or a filter around us that lets nobody inside use them.
        Err(Errno::NOSYS | Errno::PERM) => Ok(()),
        Err(errno) => Err(failed(
            "join session keyring",
            format_args!("_ses.{id}"),
            errno,
        )),
    }
}
