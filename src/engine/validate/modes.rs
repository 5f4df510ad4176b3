//! Namespaces: which of the host's or of other containers' are used. Names of containers have
//! become ids before (`shared`).

use crate::engine::config::Options;
use crate::error::{Error, Result};
use crate::wire::container::HostConfig;

/// Refuse what no namespace can be, and take the default where nothing is asked.
pub fn check(host: &mut HostConfig, options: &Options) -> Result<()> {
    let own_host = ["", "host"];
    let table = [
        (
            &mut host.ipc_mode,
            "IPC mode",
            &["", "none", "private", "shareable", "host"][..],
            true,
            options.ipc_mode.as_str(),
        ),
        (&mut host.pid_mode, "PID mode", &own_host, true, ""),
        (&mut host.uts_mode, "UTS mode", &own_host, false, ""),
        (&mut host.userns_mode, "USER mode", &own_host, false, ""),
        (
            &mut host.cgroupns_mode,
            "cgroup namespace mode",
            &["", "private", "host"],
            false,
            options.cgroupns_mode.as_str(),
        ),
    ];
    for (mode, name, known, may_be_shared, default) in table {
        let mode = mode.get_or_insert_default();
        let is_shared = may_be_shared && donor(Some(mode)).is_some_and(|id| !id.is_empty());
        if !is_shared && !known.contains(&mode.as_str()) {
            return Err(Error::invalid(format!("invalid {name}: {mode}")));
        }
        if mode.is_empty() {
            *mode = default.to_string();
        }
    }
    Ok(())
}

/// The container whose namespace the mode `container:ID` asks for.
pub fn donor(mode: Option<&str>) -> Option<&str> {
    mode?.strip_prefix("container:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_checked_in_dockers_words() {
        for (text, expected) in [
            (r#"{"IpcMode":"x"}"#, "invalid IPC mode: x"),
            (
                r#"{"IpcMode":"container:"}"#,
                "invalid IPC mode: container:",
            ),
            (r#"{"PidMode":"private"}"#, "invalid PID mode: private"),
            (
                r#"{"UTSMode":"container:x"}"#,
                "invalid UTS mode: container:x",
            ),
            (r#"{"UsernsMode":"remap"}"#, "invalid USER mode: remap"),
            (
                r#"{"CgroupnsMode":"x"}"#,
                "invalid cgroup namespace mode: x",
            ),
            (
                r#"{"IpcMode":"shareable","PidMode":"container:x","UTSMode":"host","UsernsMode":"host","CgroupnsMode":"host"}"#,
                "",
            ),
            ("{}", ""),
        ] {
            let mut host = crate::json::parse(text, "test").unwrap();
            let told = check(&mut host, &Options::default()).err();
            assert_eq!(told.map_or(String::new(), |e| e.to_string()), expected);
        }
    }
}
