//! What is missing, as a text for who builds kernels.

use super::{Report, State, cost};
use crate::applets::client::options::usage;
use crate::error::Result;
use crate::kernel::Group;

#[derive(Clone, Copy)]
pub enum Form {
    Config,
    Buildroot,
    Yocto,
}

pub fn form(name: &str) -> Result<Form> {
    match name {
        "config" => Ok(Form::Config),
        "buildroot" => Ok(Form::Buildroot),
        "yocto" => Ok(Form::Yocto),
        other => Err(usage(format!(
            "unknown form {other:?} of --emit: config, buildroot or yocto"
        ))),
    }
}

/// How it is put to use.
fn head(form: Form) -> &'static str {
    match form {
        Form::Config => "# scripts/kconfig/merge_config.sh .config FILE, then make olddefconfig\n",
        Form::Buildroot => {
            "# As board/NAME/tug.config, with this in the board's defconfig:\n\
             #   BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES=\"board/NAME/tug.config\"\n"
        }
        Form::Yocto => {
            "# As tug.cfg, beside it tug.scc with these lines:\n\
             #   define KFEATURE_DESCRIPTION \"What tug needs and uses\"\n\
             #   define KFEATURE_COMPATIBILITY all\n\
             #   kconf non-hardware tug.cfg\n\
             # and in recipes-kernel/linux/linux-yocto_%.bbappend:\n\
             #   FILESEXTRAPATHS:prepend := \"${THISDIR}/files:\"\n\
             #   SRC_URI += \"file://tug.scc\"\n\
             #   KERNEL_FEATURES:append = \" tug.scc\"\n"
        }
    }
}

/// `all`: also what the kernel has, and what helps to look for faults only.
pub fn write(report: &Report, form: Form, all: bool) -> String {
    let mut text = format!(
        "# What tug uses of a kernel (tug check --emit).\n{}",
        head(form)
    );
    let mut told = String::new();
    for (about, state) in &report.rows {
        let is_wanted = all
            || about.group != Group::Debugging && matches!(state, State::Missing | State::Unknown);
        let Some(option) = about.option(report.version).filter(|_| is_wanted) else {
            continue;
        };
        let title = about.group.title();
        if told != title {
            text.push_str(&format!("\n# {title}\n"));
            told = title.to_string();
        }
        text.push_str(&format!("# Without: {}\nCONFIG_{option}=y\n", cost(about)));
    }
    text
}
