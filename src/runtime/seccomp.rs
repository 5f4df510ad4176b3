//! Seccomp filters of processes: made once for a container, kept for `exec`, loaded last of all.
//!
//! The filter is loaded right before execve(2), so that a profile need allow nothing for our sake
//! but that (and sendmsg(2), where an agent is to be asked); where there are startContainer hooks,
//! before those, as with runc: their programs are the image's. Without no_new_privs loading takes
//! CAP_SYS_ADMIN; `Program` keeps it until then, and execve takes it away.

use crate::error::{Context, Error, Kind, Result};
use crate::json;
use crate::kernel::{Feature, lacks};
use crate::oci::spec::{Seccomp, Spec, VERSION};
use crate::oci::state::{ContainerProcessState, State};
use crate::runtime::plan::Plan;
use crate::runtime::{record, report};
use crate::seccomp::{self, Filter};
use crate::sys::{self, failed, socket};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// The filter for the container's processes, checked against this kernel.
fn compile(spec: &Spec) -> Result<Option<Filter>> {
    let Some(profile) = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref()) else {
        return Ok(None);
    };
    let filter = match profile.profile.as_deref() {
        Some(seccomp::builtin::NAME) => Some(seccomp::builtin::filter(bounding(spec))?),
        _ => seccomp::compile(profile)?,
    };
    let Some(filter) = filter else {
        return Ok(None);
    };
    if !sys::seccomp::is_known(0) {
        return Err(Error::unsupported(format!(
            "seccomp: config provided but seccomp not supported {}",
            lacks(Feature::SeccompFilter)
        )));
    }
    check_flags(profile)?;
    if filter.notifies && listener_path(profile).is_none() {
        return Err(Error::invalid("seccomp listenerPath is not set"));
    }
    Ok(Some(filter))
}

fn bounding(spec: &Spec) -> &[String] {
    let process = spec.process.as_ref();
    let capabilities = process.and_then(|process| process.capabilities.as_ref());
    let list = capabilities.and_then(|capabilities| capabilities.bounding.as_deref());
    list.unwrap_or_default()
}

fn listener_path(profile: &Seccomp) -> Option<&str> {
    profile
        .listener_path
        .as_deref()
        .filter(|path| !path.is_empty())
}

/// Flags that are asked for by name must be there.
fn check_flags(profile: &Seccomp) -> Result<()> {
    for flag in profile.flags.iter().flatten() {
        if !is_flag_supported(flag) {
            return Err(Error::unsupported(format!(
                "seccomp flag {flag} is not supported by this kernel"
            )));
        }
    }
    Ok(())
}

/// Whether this kernel has the flag, one of `seccomp::FLAGS`.
pub fn is_flag_supported(flag: &str) -> bool {
    // Some flags are for listeners alone.
    let is_known = |bit| sys::seccomp::is_known(bit | sys::seccomp::NEW_LISTENER);
    seccomp::flag_bit(flag).is_some_and(is_known)
}

/// Whether this kernel has filters at all.
pub fn is_supported() -> bool {
    sys::seccomp::is_known(0)
}

fn file(root: &Path, id: &str) -> PathBuf {
    record::dir(root, id).join("seccomp.bpf")
}

/// Keep the filter for those that join later.
fn keep(root: &Path, id: &str, bytes: &[u8]) -> Result<()> {
    let path = file(root, id);
    std::fs::write(&path, bytes)
        .map_err(|error| Error::io(format_args!("write {}", path.display()), &error))
}

/// Flags, whether it asks an agent, and then the instructions as the kernel takes them.
fn to_bytes(filter: &Filter) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + filter.instructions.len() * 8);
    bytes.extend(filter.flags.to_le_bytes());
    bytes.extend(u32::from(filter.notifies).to_le_bytes());
    for instruction in &filter.instructions {
        bytes.extend(instruction.to_le_bytes());
    }
    bytes
}

/// `None`: a torn file, or another one.
fn from_bytes(bytes: &[u8]) -> Option<Filter> {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
    let head = words.next().filter(|_| rest.is_empty())?;
    let filter = Filter {
        flags: head as u32,
        notifies: head >> 32 != 0,
        instructions: words.collect(),
    };
    (!filter.instructions.is_empty()).then_some(filter)
}

/// Make the container's filter and keep it; answers what to send to the first process: how many
/// bytes come, and the filter. Nothing, where none is asked for.
pub fn make(root: &Path, plan: &Plan<'_>) -> Result<Vec<u8>> {
    if !plan.has_seccomp() {
        return Ok(Vec::new());
    }
    let bytes = match compile(plan.spec)? {
        Some(filter) => to_bytes(&filter),
        None => Vec::new(),
    };
    if !bytes.is_empty() {
        keep(root, plan.id, &bytes)?;
    }
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    Ok([&length.to_le_bytes()[..], &bytes].concat())
}

/// What `make` has made, in the first process.
pub fn receive(maker: BorrowedFd<'_>) -> Result<Option<Filter>> {
    let torn = || Error::new(Kind::Gone, "the container's maker has ended");
    let length = report::read(maker, 4)?.try_into().map_err(|_| torn())?;
    match u32::from_le_bytes(length) as usize {
        0 => Ok(None),
        length => {
            let bytes = report::read(maker, length)?;
            let whole = Some(bytes).filter(|bytes| bytes.len() == length);
            whole
                .and_then(|bytes| from_bytes(&bytes))
                .map(Some)
                .ok_or_else(torn)
        }
    }
}

/// The filter that was kept for the container, if it has one.
pub fn kept(root: &Path, id: &str) -> Result<Option<Filter>> {
    let path = file(root, id);
    let bytes = match sys::fs::read(&path) {
        Err(error) if sys::is(&error, Errno::NOENT) => return Ok(None),
        read => read?,
    };
    // Without its filter a process would have more rights than the container: rather none.
    from_bytes(&bytes).map(Some).ok_or_else(|| {
        Error::new(
            Kind::System,
            format!("{} is no seccomp filter", path.display()),
        )
    })
}

/// From here on the filter holds for this process. Its listener goes to the maker, over `maker`.
pub fn load(filter: &Filter, maker: impl AsFd) -> Result<()> {
    let listener = match filter.notifies {
        true => sys::seccomp::NEW_LISTENER,
        false => 0,
    };
    let loaded = sys::seccomp::load(&filter.instructions, filter.flags | listener);
    match loaded.map_err(|errno| failed("seccomp", "filter", errno)) {
        Ok(Some(listener)) => report::listener(maker, listener.as_fd()),
        Ok(None) => Ok(()),
        Err(error) if sys::is(&error, Errno::ACCESS) => Err(error).context(
            || "load the seccomp filter without CAP_SYS_ADMIN (set process.noNewPrivileges)",
        ),
        Err(error) => Err(error).context(|| "load the seccomp filter"),
    }
}

/// Give the listener of process `pid` to the agent that config.json names.
pub fn hand_over(root: &Path, state: State, pid: i32, listener: BorrowedFd<'_>) -> Result<()> {
    let id = state.id.clone().unwrap_or_default();
    let spec = record::config(root, &id)?;
    let profile = spec.linux.and_then(|linux| linux.seccomp);
    let profile = profile.unwrap_or_default();
    let path =
        listener_path(&profile).ok_or_else(|| Error::invalid("seccomp listenerPath is not set"))?;
    let message = json::to_string(&ContainerProcessState {
        oci_version: Some(VERSION.to_string()),
        // The descriptors that come along, in order (runtime-spec, `config-linux.md`).
        fds: Some(vec!["seccompFd".to_string()]),
        pid: Some(pid),
        metadata: Some(profile.listener_metadata.clone().unwrap_or_default()),
        state: Some(state),
    });
    let send = || {
        let agent = socket::connect(Path::new(path))?;
        socket::send(&agent, message.as_bytes(), &[listener])
    };
    send().context(|| format!("unable to send the seccomp listener to the agent at {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_filter_comes_back_whole_or_not_at_all() {
        let root = std::env::temp_dir().join(format!("tug-seccomp-{}", std::process::id()));
        std::fs::create_dir_all(root.join("a")).unwrap();
        assert_eq!(kept(&root, "a").unwrap(), None);
        let filter = Filter {
            instructions: vec![0x7fff_0000_0000_0006, 7],
            flags: 6,
            notifies: true,
        };
        keep(&root, "a", &to_bytes(&filter)).unwrap();
        assert_eq!(kept(&root, "a").unwrap(), Some(filter));
        for broken in [&b""[..], b"12345678", b"1234567812345"] {
            std::fs::write(file(&root, "a"), broken).unwrap();
            assert!(kept(&root, "a").is_err(), "{broken:?}");
        }
        std::fs::remove_dir_all(&root).unwrap();
    }
}
