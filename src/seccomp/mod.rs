//! Seccomp filters: a profile in, a program for the kernel's classic BPF machine out.
//!
//! The meaning of a profile is runc's with libseccomp: what the profile does not name gets its
//! default action, calls newer than all that it names are unknown (ENOSYS), and calls by ways that
//! it does not list kill. No system call is made here; `runtime::seccomp` loads what comes out.
//!
//! ```text
//!   oci::spec::Seccomp --policy::read--> Policy --filter::compile--> Filter --> the kernel
//!        Docker's default --builtin::policy--^
//! ```

mod abi;
pub mod builtin;
mod code;
mod filter;
mod policy;
mod table;
#[cfg(test)]
mod tests;

use crate::error::Result;
use crate::oci::spec::Seccomp;
pub use filter::Filter;
pub use policy::{ACTIONS, FLAGS, OPERATORS, flag_bit};

/// The architectures that a profile may list.
pub const ARCHS: &[&str] = &abi::NAMES;

/// What this machine is, among `ARCHS`.
pub const NATIVE_ARCH: &str = abi::ABIS[abi::NATIVE].name;

/// The program for `seccomp`; `None` where it asks for nothing.
pub fn compile(seccomp: &Seccomp) -> Result<Option<Filter>> {
    // Without a default action and without calls: runc takes it for switched off.
    let is_empty = seccomp.syscalls.as_ref().is_none_or(Vec::is_empty);
    if is_empty && seccomp.default_action.as_deref().is_none_or(str::is_empty) {
        return Ok(None);
    }
    filter::compile(&policy::read(seccomp)?).map(Some)
}
