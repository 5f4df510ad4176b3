//! Capabilities, masked and read-only paths: Docker's default profile.

use crate::error::{Error, Result};
use crate::oci::spec::Capabilities;
use crate::sys::capability;

/// Docker's 14 (moby, daemon/pkg/oci/caps/options.go).
const DEFAULT: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// moby, daemon/pkg/oci/options.go. The per-CPU thermal files are added by `masked_paths`.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

pub fn masked_paths() -> Vec<String> {
    let mut paths: Vec<String> = MASKED.iter().map(|path| (*path).to_string()).collect();
    for cpu in 0.. {
        let dir = format!("/sys/devices/system/cpu/cpu{cpu}");
        if !std::path::Path::new(&dir).exists() {
            return paths;
        }
        let throttle = format!("{dir}/thermal_throttle");
        if std::path::Path::new(&throttle).exists() {
            paths.push(throttle);
        }
    }
    paths
}

pub fn readonly_paths() -> Vec<String> {
    READONLY.iter().map(|path| (*path).to_string()).collect()
}

/// `cap` as the kernel names it, or Docker's refusal. `ALL` stays `ALL`.
pub fn normal(cap: &str) -> Result<String> {
    let upper = cap.to_ascii_uppercase();
    if upper == "ALL" || upper == "CAP_ALL" {
        return Ok("ALL".to_string());
    }
    let name = match upper.starts_with("CAP_") {
        true => upper,
        false => format!("CAP_{upper}"),
    };
    match capability::bit(&name) {
        Some(_) => Ok(name),
        None => Err(Error::invalid(format!("unknown capability: \"{name}\""))),
    }
}

/// Bounding, permitted and effective alike; inheritable and ambient stay empty (CVE-2022-24769).
pub fn capabilities(privileged: bool, add: &[String], drop: &[String]) -> Capabilities {
    let named = |list: &[String], name: &str| {
        let same = |cap: &String| normal(cap).is_ok_and(|cap| cap == name);
        list.iter().any(same)
    };
    let all = privileged || named(add, "ALL");
    let drop_all = named(drop, "ALL");
    let mut caps: Vec<String> = match all {
        true => capability::names().collect(),
        false => DEFAULT.map(str::to_string).to_vec(),
    };
    caps.retain(|cap| privileged || (all || !drop_all) && !named(drop, cap));
    if !all {
        for cap in capability::names().filter(|cap| named(add, cap)) {
            if !caps.contains(&cap) {
                caps.push(cap);
            }
        }
    }
    Capabilities {
        bounding: Some(caps.clone()),
        effective: Some(caps.clone()),
        permitted: Some(caps),
        inheritable: None,
        ambient: None,
    }
}

/// A security option's name and value; `:` is the separator of old.
pub fn split(option: &str) -> Option<(&str, &str)> {
    option.split_once('=').or_else(|| option.split_once(':'))
}

/// Go's ParseBool.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// What the last security option of this name says, which may stand alone.
pub fn switch(options: Option<&[String]>, name: &str) -> Option<bool> {
    let mut options = options.unwrap_or_default().iter().rev();
    options.find_map(|option| match split(option) {
        None => (option == name).then_some(true),
        Some((key, value)) if key == name => boolean(value),
        Some(_) => None,
    })
}

/// The profile of AppArmor that is asked for.
pub fn apparmor(options: Option<&[String]>) -> Option<&str> {
    last(options, "apparmor").filter(|profile| *profile != "unconfined")
}

/// The last value of the security option `name`.
fn last<'a>(options: Option<&'a [String]>, name: &str) -> Option<&'a str> {
    let options = options.unwrap_or_default().iter().rev();
    let values = options.filter_map(|option| split(option));
    values
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value)
        .next()
}

/// The labels of SELinux that are asked for, of the process: Docker's `user`, `role`, `type` and
/// `level` in place of the parts of its default.
pub fn selinux(options: Option<&[String]>) -> Option<String> {
    let mut parts = ["system_u", "system_r", "container_t", "s0"];
    let mut is_asked = false;
    for option in options.unwrap_or_default() {
        let Some(("label", label)) = split(option) else {
            continue;
        };
        let (part, value) = label.split_once(':')?;
        let at = ["user", "role", "type", "level"]
            .iter()
            .position(|known| *known == part)?;
        parts[at] = value;
        is_asked = true;
    }
    is_asked.then(|| parts.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effective(add: &[&str], drop: &[&str]) -> Vec<String> {
        let owned = |list: &[&str]| {
            list.iter()
                .map(|cap| (*cap).to_string())
                .collect::<Vec<_>>()
        };
        capabilities(false, &owned(add), &owned(drop))
            .effective
            .unwrap()
    }

    #[test]
    fn capabilities_are_dockers_14_changed_by_add_and_drop() {
        let all: Vec<String> = capability::names().collect();
        assert_eq!(effective(&[], &[]), DEFAULT);
        assert_eq!(effective(&["ALL"], &[]), all);
        assert_eq!(effective(&[], &["all"]), [""; 0]);
        assert_eq!(effective(&["net_admin"], &["ALL"]), ["CAP_NET_ADMIN"]);
        assert_eq!(effective(&["CAP_CHOWN"], &[]), DEFAULT);
        assert_eq!(effective(&["ALL"], &["CAP_SYS_ADMIN"]).len(), all.len() - 1);
        assert!(!effective(&[], &["chown"]).contains(&"CAP_CHOWN".to_string()));
        assert_eq!(
            capabilities(true, &[], &["ALL".into()]).bounding.unwrap(),
            all
        );
    }

    #[test]
    fn the_last_security_option_of_a_name_counts() {
        let list = |options: &[&str]| -> Vec<String> {
            options.iter().map(|option| (*option).to_string()).collect()
        };
        let options = list(&[
            "no-new-privileges",
            "no-new-privileges:false",
            "x",
            "label=type:a_t",
        ]);
        let options = Some(options.as_slice());
        assert_eq!(switch(options, "no-new-privileges"), Some(false));
        assert_eq!(switch(options, "writable-cgroups"), None);
        assert_eq!(
            selinux(options).as_deref(),
            Some("system_u:system_r:a_t:s0")
        );
        let options = list(&["apparmor=a", "apparmor:b", "label=disable"]);
        assert_eq!(apparmor(Some(&options)), Some("b"));
        assert_eq!(selinux(Some(&options)), None);
    }

    #[test]
    fn an_unknown_capability_is_refused_in_dockers_words() {
        let error = normal("flying").unwrap_err();
        assert_eq!(error.message, "unknown capability: \"CAP_FLYING\"");
    }
}
