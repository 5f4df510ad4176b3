//! What only process 1 asks for: the machine's end, its name, its modules.

use crate::error::Result;
use crate::sys::{failed, raw};
use rustix::system::RebootCommand;
use std::ffi::CStr;
use std::os::fd::AsFd;
use std::path::Path;

/// How the machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    PowerOff,
    Reboot,
    Halt,
}

/// reboot(2): now, with nothing written out. In a pid namespace that is not the first it ends the
/// namespace, with SIGHUP for a reboot and SIGINT for the others.
pub fn end(end: End) -> Result<()> {
    let command = match end {
        End::PowerOff => RebootCommand::PowerOff,
        End::Reboot => RebootCommand::Restart,
        End::Halt => RebootCommand::Halt,
    };
    rustix::system::reboot(command).map_err(|errno| failed("reboot", "machine", errno))
}

/// Have Ctrl-Alt-Del sent to process 1 as SIGINT, in place of a reboot at once.
pub fn hear_keys() -> Result<()> {
    rustix::system::reboot(RebootCommand::CadOff)
        .map_err(|errno| failed("reboot", "CAD_OFF", errno))
}

pub fn set_host_name(name: &str) -> Result<()> {
    rustix::system::sethostname(name.as_bytes()).map_err(|errno| failed("sethostname", name, errno))
}

/// finit_module(2). The kernel itself takes a compressed one apart where told and able to.
pub fn load_module(
    file: impl AsFd,
    parameters: &CStr,
    is_compressed: bool,
) -> std::result::Result<(), rustix::io::Errno> {
    // MODULE_INIT_COMPRESSED_FILE of <linux/module.h>, Linux 5.17.
    const COMPRESSED: i32 = 4;
    let flags = if is_compressed { COMPRESSED } else { 0 };
    rustix::system::finit_module(file, parameters, flags)
}

/// swapoff(2).
pub fn swap_off(path: &Path) -> Result<()> {
    raw::swap_off(path).map_err(|errno| failed("swapoff", path.display(), errno))
}

/// The kernel's release, as /lib/modules has a directory for it.
pub fn kernel_release() -> String {
    let name = rustix::system::uname();
    name.release().to_string_lossy().into_owned()
}

/// sync(2): everything that is to be written, of all file systems.
pub fn sync() {
    rustix::fs::sync();
}
