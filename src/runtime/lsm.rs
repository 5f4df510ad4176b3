//! Labels of the security modules: AppArmor profiles and SELinux contexts, taken at execve(2).

use crate::error::{Error, Result};
use crate::kernel::{Feature, lacks};
use crate::oci::spec::Process;
use crate::runtime::procfs::Procfs;
use rustix::io::Errno;
use std::path::Path;

/// Refuse, in runc's words, a label that this kernel would not know.
pub fn check(process: &Process) -> Result<()> {
    if given(&process.selinux_label).is_some() && !has_selinux() {
        return Err(Error::invalid(format!(
            "selinux label is specified in config, but selinux is disabled or not supported {}",
            lacks(Feature::Selinux)
        )));
    }
    if given(&process.apparmor_profile).is_some() && !has_apparmor() {
        return Err(Error::invalid(format!(
            "unable to apply apparmor profile: apparmor: config provided but apparmor not supported {}",
            lacks(Feature::Apparmor)
        )));
    }
    Ok(())
}

/// Have the kernel change to the labels with the next execve(2).
pub fn apply(process: &Process) -> Result<()> {
    let mut proc = Procfs::default();
    let dir = format!("{}/attr", std::process::id());
    if let Some(profile) = given(&process.apparmor_profile) {
        let value = format!("exec {profile}");
        // Its own file is of Linux 5.1; in the shared one the first module listens.
        let wrote = match proc.try_write(&format!("{dir}/apparmor/exec"), &value)? {
            Err(Errno::NOENT) => proc.try_write(&format!("{dir}/exec"), &value)?,
            other => other,
        };
        wrote.map_err(|errno| {
            Error::system(
                format_args!("unable to apply apparmor profile: apparmor failed to apply profile: write {dir}/exec"),
                errno.raw_os_error(),
            )
        })?;
    }
    if let Some(label) = given(&process.selinux_label) {
        proc.try_write(&format!("{dir}/exec"), label)?
            .map_err(|errno| {
                Error::system(
                    format_args!("can't set process label: write {dir}/exec"),
                    errno.raw_os_error(),
                )
            })?;
    }
    Ok(())
}

fn given(label: &Option<String>) -> Option<&str> {
    label.as_deref().filter(|label| !label.is_empty())
}

pub fn has_selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

pub fn has_apparmor() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|text| text.first() == Some(&b'Y'))
}
