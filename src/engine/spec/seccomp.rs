//! `--security-opt seccomp=…`: which filter a container gets.
//!
//! A profile comes in Docker's format, which is the OCI's with conditions. They are worked out here,
//! for this machine and the container's capabilities (moby, profiles/seccomp).

use crate::engine::info::go_arch;
use crate::error::{Context, Error, Result};
use crate::json;
use crate::json::value::json_struct;
use crate::oci::spec::{Seccomp, SeccompArg, SeccompRule};
use crate::seccomp::{self, builtin};
use crate::wire::container::HostConfig;

json_struct! {
    #[derive(Default)]
    struct Profile {
        default_action: Option<String> = "defaultAction",
        default_errno_ret: Option<u32> = "defaultErrnoRet",
        architectures: Option<Vec<String>>,
        /// In place of `architectures`: by the machine's own.
        arch_map: Option<Vec<ArchMap>> = "archMap",
        flags: Option<Vec<String>>,
        listener_path: Option<String> = "listenerPath",
        listener_metadata: Option<String> = "listenerMetadata",
        syscalls: Option<Vec<Rule>>,
    }

    #[derive(Default)]
    struct ArchMap {
        architecture: Option<String>,
        sub_architectures: Option<Vec<String>> = "subArchitectures",
    }

    #[derive(Default)]
    struct Rule {
        /// The one name of profiles from before `names`.
        name: Option<String>,
        names: Option<Vec<String>>,
        action: Option<String>,
        errno_ret: Option<u32> = "errnoRet",
        args: Option<Vec<SeccompArg>>,
        includes: Option<Conditions>,
        excludes: Option<Conditions>,
    }

    /// When a rule applies, or does not.
    #[derive(Default)]
    struct Conditions {
        /// Of the bounding set.
        caps: Option<Vec<String>>,
        /// As Go names them.
        arches: Option<Vec<String>>,
        /// `4.8`.
        min_kernel: Option<String> = "minKernel",
    }
}

/// What a container runs on and with.
pub struct Host<'a> {
    /// Whether the kernel has filters.
    pub has_seccomp: bool,
    /// `6.1.0-9-amd64`
    pub kernel: &'a str,
}

/// The value of the last `seccomp=` (or, as it once was, `seccomp:`) among the security options.
fn asked(host: &HostConfig) -> Option<&str> {
    let mut options = host.security_opt.iter().flatten().rev();
    options.find_map(|option| option.strip_prefix("seccomp")?.strip_prefix(['=', ':']))
}

/// The filter for a container with the bounding set `caps`.
pub fn of(config: &HostConfig, caps: &[String], host: &Host<'_>) -> Result<Option<Seccomp>> {
    let text = match asked(config) {
        Some("unconfined") => return Ok(None),
        None if config.privileged == Some(true) => return Ok(None),
        // `info` warns of such a kernel.
        None | Some("" | builtin::NAME) if !host.has_seccomp => return Ok(None),
        None | Some("" | builtin::NAME) => {
            return Ok(Some(Seccomp {
                profile: Some(builtin::NAME.to_string()),
                ..Default::default()
            }));
        }
        Some(text) => text,
    };
    if !host.has_seccomp {
        return Err(Error::invalid(
            "seccomp is not enabled in your kernel, cannot run a custom seccomp profile",
        ));
    }
    let profile = json::parse(text, "Decoding seccomp profile failed")?;
    let seccomp = resolve(profile, caps, host.kernel)?;
    // Here, where the user is told, rather than at each start.
    seccomp::compile(&seccomp).context(|| "seccomp profile")?;
    Ok(Some(seccomp))
}

fn resolve(profile: Profile, caps: &[String], kernel: &str) -> Result<Seccomp> {
    let mut architectures = profile.architectures.unwrap_or_default();
    let map = profile.arch_map.unwrap_or_default();
    if !architectures.is_empty() && !map.is_empty() {
        return Err(Error::invalid(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'",
        ));
    }
    let own = map
        .into_iter()
        .find(|entry| entry.architecture.as_deref() == Some(seccomp::NATIVE_ARCH));
    if let Some(own) = own {
        architectures.extend(own.architecture);
        architectures.extend(own.sub_architectures.unwrap_or_default());
    }
    let mut syscalls = Vec::new();
    for rule in profile.syscalls.into_iter().flatten() {
        let names = match (rule.name.filter(|name| !name.is_empty()), rule.names) {
            (Some(_), Some(names)) if !names.is_empty() => {
                return Err(Error::invalid(
                    "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'",
                ));
            }
            (Some(name), _) => vec![name],
            (None, names) => names.unwrap_or_default(),
        };
        if is_excluded(rule.excludes.as_ref(), caps, kernel)?
            || !is_included(rule.includes.as_ref(), caps, kernel)?
        {
            continue;
        }
        syscalls.push(SeccompRule {
            names: Some(names),
            action: rule.action,
            errno_ret: rule.errno_ret,
            args: rule.args,
        });
    }
    Ok(Seccomp {
        profile: None,
        default_action: profile.default_action,
        default_errno_ret: profile.default_errno_ret,
        architectures: Some(architectures),
        flags: profile.flags,
        listener_path: profile.listener_path,
        listener_metadata: profile.listener_metadata,
        syscalls: Some(syscalls),
    })
}

/// One of the conditions is enough.
fn is_excluded(conditions: Option<&Conditions>, caps: &[String], kernel: &str) -> Result<bool> {
    let Some(conditions) = conditions else {
        return Ok(false);
    };
    Ok(names_us(&conditions.arches)
        || conditions
            .caps
            .iter()
            .flatten()
            .any(|cap| caps.contains(cap))
        || match &conditions.min_kernel {
            Some(least) => is_at_least(kernel, least)?,
            None => false,
        })
}

/// All that are given must hold.
fn is_included(conditions: Option<&Conditions>, caps: &[String], kernel: &str) -> Result<bool> {
    let Some(conditions) = conditions else {
        return Ok(true);
    };
    let any_arch = conditions.arches.as_ref().is_none_or(Vec::is_empty);
    Ok((any_arch || names_us(&conditions.arches))
        && conditions
            .caps
            .iter()
            .flatten()
            .all(|cap| caps.contains(cap))
        && match &conditions.min_kernel {
            Some(least) => is_at_least(kernel, least)?,
            None => true,
        })
}

fn names_us(arches: &Option<Vec<String>>) -> bool {
    arches.iter().flatten().any(|arch| arch == go_arch())
}

/// Compare two versions by their first two numbers.
fn is_at_least(kernel: &str, least: &str) -> Result<bool> {
    let version = |text: &str| {
        let mut numbers = text
            .split(|c: char| !c.is_ascii_digit())
            .map(str::parse::<u32>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    let least = version(least).ok_or_else(|| {
        Error::invalid(format!(
            "seccomp profile: minKernel {least:?} is no version such as \"4.8\""
        ))
    })?;
    Ok(version(kernel).is_some_and(|kernel| kernel >= least))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Host<'_> = Host {
        has_seccomp: true,
        kernel: "6.1.0-9-amd64",
    };

    fn config(options: &[&str], privileged: bool) -> HostConfig {
        HostConfig {
            security_opt: Some(options.iter().map(|option| (*option).to_string()).collect()),
            privileged: Some(privileged),
            ..Default::default()
        }
    }

    fn given(option: &str, caps: &[&str]) -> Result<Option<Seccomp>> {
        let caps: Vec<String> = caps.iter().map(|cap| (*cap).to_string()).collect();
        of(&config(&[option], false), &caps, &HERE)
    }

    fn profile(rules: &str, caps: &[&str]) -> String {
        let option =
            format!(r#"seccomp={{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{rules}]}}"#);
        let seccomp = given(&option, caps).unwrap().unwrap();
        let names = seccomp.syscalls.into_iter().flatten();
        let names: Vec<String> = names.flat_map(|rule| rule.names.unwrap()).collect();
        names.join(" ")
    }

    #[test]
    fn the_default_holds_unless_something_else_is_asked_for() {
        let chosen = |options: &[&str], privileged, has_seccomp| {
            let host = Host {
                has_seccomp,
                ..HERE
            };
            let seccomp = of(&config(options, privileged), &[], &host).unwrap()?;
            seccomp.profile
        };
        let own = Some("builtin".to_string());
        assert_eq!(chosen(&[], false, true), own);
        assert_eq!(chosen(&["seccomp=builtin"], false, true), own);
        assert_eq!(chosen(&["seccomp=builtin"], true, true), own);
        assert_eq!(
            chosen(&["seccomp=unconfined", "seccomp=builtin"], false, true),
            own
        );
        assert_eq!(chosen(&[], true, true), None);
        assert_eq!(chosen(&["seccomp=unconfined"], false, true), None);
        assert_eq!(chosen(&["seccomp:unconfined"], false, true), None);
        assert_eq!(chosen(&[], false, false), None);
        let old = Host {
            has_seccomp: false,
            ..HERE
        };
        let error = of(&config(&["seccomp={}"], false), &[], &old).unwrap_err();
        assert_eq!(
            error.message,
            "seccomp is not enabled in your kernel, cannot run a custom seccomp profile"
        );
    }

    #[test]
    fn rules_apply_by_capability_architecture_and_kernel() {
        let rule = |name: &str, more: &str| {
            format!(r#"{{"names":["{name}"],"action":"SCMP_ACT_KILL","comment":"x",{more}}}"#)
        };
        let arch = go_arch();
        let rules = [
            rule("read", r#""includes":{},"excludes":null,"args":null"#),
            rule("dup", r#""includes":{"caps":["CAP_A","CAP_B"]}"#),
            rule("dup3", r#""excludes":{"caps":["CAP_A","CAP_C"]}"#),
            rule("mount", &format!(r#""includes":{{"arches":["{arch}"]}}"#)),
            rule("umount2", r#""includes":{"arches":["s390x"]}"#),
            rule("chroot", &format!(r#""excludes":{{"arches":["{arch}"]}}"#)),
            rule("ptrace", r#""includes":{"minKernel":"6.1"}"#),
            rule("kcmp", r#""includes":{"minKernel":"6.2"}"#),
            rule("acct", r#""excludes":{"minKernel":"4.8"}"#),
        ]
        .join(",");
        assert_eq!(
            profile(&rules, &["CAP_A", "CAP_B"]),
            "read dup mount ptrace"
        );
        assert_eq!(profile(&rules, &["CAP_B"]), "read dup3 mount ptrace");
        assert_eq!(
            profile(r#"{"name":"read","action":"SCMP_ACT_KILL"}"#, &[]),
            "read"
        );
    }

    #[test]
    fn the_map_of_architectures_gives_this_machines() {
        let option = format!(
            r#"seccomp={{"defaultAction":"SCMP_ACT_ALLOW","archMap":[
            {{"architecture":"SCMP_ARCH_MIPS","subArchitectures":null}},
            {{"architecture":"{}","subArchitectures":["SCMP_ARCH_X32"]}}]}}"#,
            seccomp::NATIVE_ARCH
        );
        let seccomp = given(&option, &[]).unwrap().unwrap();
        let expected = [seccomp::NATIVE_ARCH, "SCMP_ARCH_X32"];
        assert_eq!(seccomp.architectures.unwrap(), expected);
    }

    #[test]
    fn profiles_that_make_no_sense_are_refused() {
        for (text, expected) in [
            (
                "/etc/x",
                "Decoding seccomp profile failed: invalid JSON: line 1, column 1: expected a value",
            ),
            (
                r#"{"syscalls":[{"names":"read"}]}"#,
                "Decoding seccomp profile failed: invalid JSON: syscalls[0].names cannot be this string",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","archMap":[{}],"architectures":["SCMP_ARCH_X86"]}"#,
                "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"name":"b"}]}"#,
                "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"includes":{"minKernel":"new"}}]}"#,
                "seccomp profile: minKernel \"new\" is no version such as \"4.8\"",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_MAYBE"}"#,
                "seccomp profile: linux.seccomp.defaultAction: string SCMP_ACT_MAYBE is not a valid action for seccomp",
            ),
        ] {
            let error = given(&format!("seccomp={text}"), &[]).unwrap_err();
            assert_eq!(error.message, expected);
        }
    }
}
