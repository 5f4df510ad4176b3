//! What a command gets from its caller besides its arguments: files, and open descriptors.

use crate::error::{Error, Kind, Result};
use crate::json;
use crate::json::value::Value;
use crate::oci::spec::Spec;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// Far more than any engine writes. Whoever can name a file here could also name one without end.
const BYTES_MAX: u64 = 8 << 20;

/// A bundle's config.json.
pub fn spec(bundle: &Path) -> Result<Spec> {
    let path = bundle.join("config.json");
    let file = std::fs::File::open(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound if !bundle.exists() => Error::not_found(format!(
            "chdir {}: no such file or directory",
            bundle.display()
        )),
        ErrorKind::NotFound => Error::not_found(format!(
            "JSON specification file config.json not found in {}",
            bundle.display()
        )),
        _ => Error::io(format_args!("open {}", path.display()), &error),
    })?;
    let mut spec = parse(file, &path.display().to_string())?;
    forget_old_zero(&mut spec);
    Ok(spec)
}

/// Until runtime-spec 1.3 said what a `pids.limit` of 0 is, engines wrote it for "no limit"
/// (Podman 4 does), and the runtimes of their time took it so.
fn forget_old_zero(spec: &mut Spec) {
    let version = spec.oci_version.as_deref().unwrap_or_default();
    let is_old = ["1.0", "1.1", "1.2"]
        .iter()
        .any(|old| version.starts_with(old));
    let linux = spec.linux.as_mut();
    let resources = linux.and_then(|linux| linux.resources.as_mut());
    if let Some(pids) = resources.and_then(|resources| resources.pids.as_mut())
        && is_old
    {
        pids.limit = pids.limit.filter(|limit| *limit != 0);
    }
}

/// A file of JSON; `-` is standard input where `may_be_stdin`.
pub fn file<T: Value + Default>(path: &Path, may_be_stdin: bool) -> Result<T> {
    if may_be_stdin && path == Path::new("-") {
        return parse(std::io::stdin(), "standard input");
    }
    let name = path.display().to_string();
    let file = std::fs::File::open(path)
        .map_err(|error| Error::io(format_args!("open {name}"), &error))?;
    parse(file, &name)
}

fn parse<T: Value + Default>(from: impl Read, name: &str) -> Result<T> {
    json::parse_without_zeros(&read(&mut from.take(BYTES_MAX + 1), name)?, name)
}

/// Not generic, so that there is one of it.
fn read(from: &mut dyn Read, name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)
        .map_err(|error| Error::io(format_args!("read {name}"), &error))?;
    match bytes.len() as u64 > BYTES_MAX {
        true => Err(Error::invalid(format!(
            "{name} is larger than {} MiB",
            BYTES_MAX >> 20
        ))),
        false => Ok(bytes),
    }
}

/// How many sockets systemd has given us for the program (sd_listen_fds(3)).
pub fn listening() -> u32 {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    match number("LISTEN_PID") == Some(std::process::id()) {
        true => number("LISTEN_FDS").unwrap_or(0),
        false => 0,
    }
}

/// Whether the descriptors are open that the program is to keep: `listening` from 3 on, then
/// `count`. A closed one would become whatever we open next, and that is nobody's to see.
pub fn check_preserved(listening: u32, count: u32) -> Result<()> {
    let is_open = |fd: u32| std::fs::metadata(format!("/proc/self/fd/{fd}"));
    for number in 0..listening.saturating_add(count) {
        let fd = number.saturating_add(3);
        is_open(fd).map_err(|error| {
            let what = match number.checked_sub(listening) {
                Some(at) => format!("unable to stat preserved-fd {at} (of {count})"),
                None => format!("unable to stat socket {number} of LISTEN_FDS={listening}"),
            };
            Error::io(format_args!("{what}: descriptor {fd}"), &error)
        })?;
    }
    Ok(())
}

/// The number that the option `name` takes.
pub fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| bad(name, text))
}

pub fn bad(name: &str, text: &str) -> Error {
    Error::new(
        Kind::Usage,
        format!("invalid value for {name}: {text:?} is no number that it can be"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_processes_at_all_is_asked_for_in_no_old_config() {
        let limit = |version: &str, limit: &str| {
            let text = format!(
                r#"{{"ociVersion":"{version}","linux":{{"resources":{{"pids":{{"limit":{limit}}}}}}}}}"#
            );
            let mut spec: Spec = json::parse(&text, "test").unwrap();
            forget_old_zero(&mut spec);
            spec.linux.unwrap().resources.unwrap().pids.unwrap().limit
        };
        assert_eq!(limit("1.0.2-dev", "0"), None);
        assert_eq!(limit("1.2.1", "7"), Some(7));
        assert_eq!(limit("1.3.0", "0"), Some(0));
    }
}
