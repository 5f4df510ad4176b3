//! What the name of a log driver and its options ask for, in Docker's words where they ask for
//! nonsense. The engine reads them to refuse that at create, the shim to act on them.

use crate::error::{Error, Result};
use crate::json::map::Map;
use crate::shim::log::syslog::Syslog;
use crate::store::limit::parse_size;

pub type Given = Map<String>;

/// Bounded unless told otherwise (`max-size=-1`): on a device, a chatty container must not fill
/// the flash.
const FILE_BYTES_MAX: u64 = 10_000_000;
const FILES_MAX: u32 = 3;

/// The ring's, in memory; a file of what was written out grows as large.
const RING_BYTES_MAX: u64 = 256 << 10;
const RING_FILES_MAX: u32 = 2;

/// A ring holds several of the longest records, and leaves room for others' memory.
const RING_BOUNDS: std::ops::RangeInclusive<u64> = (16 << 10)..=(64 << 20);

/// What is kept for `logs` beside a driver that cannot be read back.
const CACHE_BYTES_MAX: u64 = 1 << 20;
const CACHE_FILES_MAX: u32 = 2;

/// Docker's, of `mode=non-blocking` (moby, daemon/logger/ring.go).
const BUFFER_BYTES_MAX: usize = 1_000_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    #[default]
    None,
    JsonFile,
    Ring,
    Local,
    Syslog,
    Journald,
    Kmsg,
}

/// The drivers that have options, with their own ones. Docker's other drivers send to services
/// that are not on a device.
const DRIVERS: [(&str, Driver, &str); 6] = [
    (
        "json-file",
        Driver::JsonFile,
        "max-size max-file compress tag labels labels-regex env env-regex",
    ),
    ("local", Driver::Local, "max-size max-file compress"),
    (
        "ring",
        Driver::Ring,
        "max-size max-file persist tag labels labels-regex env env-regex",
    ),
    (
        "syslog",
        Driver::Syslog,
        "syslog-address syslog-facility syslog-format syslog-tls-ca-cert syslog-tls-cert syslog-tls-key syslog-tls-skip-verify tag labels labels-regex env env-regex",
    ),
    (
        "journald",
        Driver::Journald,
        "tag labels labels-regex env env-regex",
    ),
    ("kmsg", Driver::Kmsg, "tag"),
];

/// The drivers that there are, for people.
pub fn drivers() -> Vec<&'static str> {
    let mut names: Vec<&str> = DRIVERS.iter().map(|(name, _, _)| *name).collect();
    names.push("none");
    names
}

/// The options of every driver.
const COMMON: &str =
    "mode max-buffer-size cache-disabled cache-max-size cache-max-file cache-compress";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub driver: Driver,
    /// Where records are kept for `logs`.
    pub file: Option<Files>,
    /// How much may wait for a receiver before output is dropped; without it the container waits.
    pub buffer_bytes_max: Option<usize>,
    pub syslog: Option<Syslog>,
    pub ring: Option<Ring>,
}

/// A log in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    pub bytes_max: u64,
    pub persist: Persist,
}

/// Which ends of a container have its ring written to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persist {
    Always,
    /// Those that nobody asked for and that are no success.
    Crash,
    Never,
}

/// The bounds of a log on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Files {
    /// The size at which a file is rotated; without it, never.
    pub bytes_max: Option<u64>,
    /// The files kept, the current one included.
    pub count_max: u32,
}

pub fn parse(driver: &str, given: &Given) -> Result<Settings> {
    if driver == "none" {
        return Ok(Settings::default());
    }
    let buffer_bytes_max = buffer(given)?;
    let is_cached = is_cached(given)?;
    let Some((_, kind, keys)) = DRIVERS.iter().find(|(name, ..)| *name == driver) else {
        return Err(Error::invalid(format!(
            "logger: no log driver named '{driver}' is registered"
        )));
    };
    check_keys(driver, keys, given)?;
    let syslog = match kind {
        Driver::Syslog => Some(Syslog::parse(given)?),
        _ => None,
    };
    let ring = match kind {
        Driver::Ring => Some(ring(given)?),
        _ => None,
    };
    let file = match kind {
        Driver::Ring => Some(local(given, "", RING_BYTES_MAX, RING_FILES_MAX)?),
        Driver::JsonFile => Some(json_file(given)?),
        Driver::Local => Some(local(given, "", FILE_BYTES_MAX, FILES_MAX)?),
        _ => Some(local(given, "cache-", CACHE_BYTES_MAX, CACHE_FILES_MAX)?).filter(|_| is_cached),
    };
    Ok(Settings {
        driver: *kind,
        file,
        buffer_bytes_max,
        syslog,
        ring,
    })
}

/// Whether records are kept for `logs` to read.
pub fn is_kept(driver: &str, given: &Given) -> bool {
    match driver {
        "none" => false,
        "json-file" | "local" | "ring" => true,
        _ => is_cached(given).unwrap_or(true),
    }
}

fn check_keys(driver: &str, keys: &str, given: &Given) -> Result<()> {
    for key in given.keys() {
        let mut known = keys.split(' ').chain(COMMON.split(' '));
        if !known.any(|known| known == key) {
            return Err(Error::invalid(match driver {
                "local" => format!("unknown log opt '{key}' for log driver local"),
                _ => format!("unknown log opt '{key}' for {driver} log driver"),
            }));
        }
        if key.ends_with("-regex") {
            let plain = key.trim_end_matches("-regex");
            return Err(Error::invalid(format!(
                "log opt '{key}' is not supported: list the names in '{plain}' instead"
            )));
        }
        if key.starts_with("syslog-tls-") {
            return Err(no_tls(key));
        }
    }
    Ok(())
}

pub fn no_tls(what: &str) -> Error {
    Error::invalid(format!(
        "log opt '{what}' is not supported: send to a syslog server on this host, and let it speak TLS"
    ))
}

fn buffer(given: &Given) -> Result<Option<usize>> {
    let mode = given.get("mode").map_or("", String::as_str);
    let is_blocking = match mode {
        "" | "blocking" => true,
        "non-blocking" => false,
        _ => {
            return Err(Error::invalid(format!(
                "logger: logging mode not supported: {mode}"
            )));
        }
    };
    let size = given.get("max-buffer-size");
    if is_blocking && size.is_some() {
        return Err(Error::invalid(
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
        ));
    }
    let size = size.map(|text| {
        parse_size(text, 1024)
            .map(|size| usize::try_from(size).unwrap_or(usize::MAX))
            .map_err(|error| prefixed("error parsing option max-buffer-size", &error))
    });
    let size = size.transpose()?.unwrap_or(BUFFER_BYTES_MAX);
    Ok((!is_blocking).then_some(size))
}

fn is_cached(given: &Given) -> Result<bool> {
    let text = given.get("cache-disabled").map_or("", String::as_str);
    match text.is_empty() {
        true => Ok(true),
        false => truth(text).map(|is_disabled| !is_disabled).map_err(|_| {
            Error::invalid(format!("invalid value for option cache-disabled: {text}"))
        }),
    }
}

fn json_file(given: &Given) -> Result<Files> {
    let size = given.get("max-size").map(String::as_str);
    let bytes_max = match size {
        None => Some(FILE_BYTES_MAX),
        Some("-1") => None,
        Some(text) => match parse_size(text, 1000).map_err(|error| failed(&error))? {
            0 => return Err(failed("max-size must be a positive number")),
            bytes => Some(bytes),
        },
    };
    // Who gives a size has counted with Docker's one file.
    let count_max = match given.get("max-file") {
        None if size.is_some() => 1,
        None => FILES_MAX,
        Some(text) => integer(text).map_err(|error| failed(&error))?,
    };
    if count_max < 1 {
        return Err(failed("max-file cannot be less than 1"));
    }
    if let Some(text) = given.get("compress") {
        refuse_compression("compress", truth(text).map_err(|error| failed(&error))?)?;
    }
    Ok(Files {
        bytes_max,
        count_max,
    })
}

/// The options of Docker's compact log; the cache has the same ones behind `prefix`.
fn local(given: &Given, prefix: &str, bytes_max: u64, count_max: u32) -> Result<Files> {
    let get = |name: &str| given.get(&format!("{prefix}{name}")).map(String::as_str);
    let invalid = |name: &str, text: &str, error: &str| {
        failed(&format!(
            "invalid value for {prefix}{name}: {text}: {error}"
        ))
    };
    let bytes_max = match get("max-size") {
        None => Some(bytes_max),
        Some("-1") => None,
        Some(text) => match parse_size(text, 1024).map_err(|e| invalid("max-size", text, &e))? {
            0 => return Err(failed("max size should be a positive number")),
            bytes => Some(bytes),
        },
    };
    let count_max = match get("max-file") {
        None => count_max,
        Some(text) => integer(text).map_err(|e| invalid("max-file", text, &e))?,
    };
    if count_max < 1 {
        return Err(failed("max file count cannot be less than 1"));
    }
    if let Some(text) = get("compress") {
        let is_wanted = truth(text).map_err(|e| invalid("compress", text, &e))?;
        refuse_compression(&format!("{prefix}compress"), is_wanted)?;
    }
    Ok(Files {
        bytes_max,
        count_max,
    })
}

/// The size and the files have been looked at by `local`.
fn ring(given: &Given) -> Result<Ring> {
    let files = local(given, "", RING_BYTES_MAX, RING_FILES_MAX)?;
    let bytes_max = files
        .bytes_max
        .filter(|bytes| RING_BOUNDS.contains(bytes))
        .ok_or_else(|| failed("max-size of a ring must be between 16k and 64m"))?;
    let persist = match given.get("persist").map_or("crash", String::as_str) {
        "always" => Persist::Always,
        "crash" => Persist::Crash,
        "never" => Persist::Never,
        other => {
            return Err(failed(&format!(
                "invalid value for persist: {other}: it is always, crash or never"
            )));
        }
    };
    Ok(Ring { bytes_max, persist })
}

fn refuse_compression(name: &str, is_wanted: bool) -> Result<()> {
    if is_wanted {
        return Err(Error::invalid(format!(
            "log opt '{name}' is not supported: bound the log with max-size and max-file"
        )));
    }
    Ok(())
}

/// What Docker says when it is about to start the container; we look earlier.
pub fn failed(error: &str) -> Error {
    prefixed("failed to initialize logging driver", error)
}

fn prefixed(what: &str, error: &str) -> Error {
    Error::invalid(format!("{what}: {error}"))
}

/// strconv.Atoi.
fn integer(text: &str) -> std::result::Result<u32, String> {
    text.parse::<i64>()
        .map(|number| u32::try_from(number.max(0)).unwrap_or(u32::MAX))
        .map_err(|_| format!("strconv.Atoi: parsing \"{text}\": invalid syntax"))
}

/// strconv.ParseBool.
fn truth(text: &str) -> std::result::Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!(
            "strconv.ParseBool: parsing \"{text}\": invalid syntax"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Given {
        let text = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
        pairs.iter().map(text).collect()
    }

    #[test]
    fn the_default_is_bounded_and_a_size_alone_means_dockers_one_file() {
        let files = |driver: &str, pairs: &[(&str, &str)]| {
            let file = parse(driver, &given(pairs)).unwrap().file.unwrap();
            (file.bytes_max, file.count_max)
        };
        assert_eq!(files("json-file", &[]), (Some(10_000_000), 3));
        assert_eq!(
            files("json-file", &[("max-size", "1m")]),
            (Some(1_000_000), 1)
        );
        assert_eq!(files("json-file", &[("max-size", "-1")]), (None, 1));
        assert_eq!(
            files("json-file", &[("max-file", "5")]),
            (Some(10_000_000), 5)
        );
        assert_eq!(files("local", &[("max-size", "1m")]), (Some(1 << 20), 3));
        assert_eq!(files("journald", &[]), (Some(1 << 20), 2));
        assert_eq!(files("kmsg", &[("cache-max-size", "2k")]), (Some(2048), 2));
        let none = parse("kmsg", &given(&[("cache-disabled", "1")])).unwrap();
        assert_eq!(none.file, None);
        // As Docker's, it does not look.
        assert_eq!(parse("none", &given(&[("x", "y")])).unwrap().file, None);
    }

    #[test]
    fn nonsense_is_refused_in_dockers_words() {
        let failed = "failed to initialize logging driver: ";
        for (driver, key, value, message) in [
            (
                "foo",
                "",
                "",
                "logger: no log driver named 'foo' is registered".to_string(),
            ),
            (
                "json-file",
                "foo",
                "1",
                "unknown log opt 'foo' for json-file log driver".into(),
            ),
            (
                "local",
                "labels",
                "x",
                "unknown log opt 'labels' for log driver local".into(),
            ),
            (
                "syslog",
                "foo",
                "x",
                "unknown log opt 'foo' for syslog log driver".into(),
            ),
            (
                "json-file",
                "max-size",
                "x",
                format!("{failed}invalid size: 'x'"),
            ),
            (
                "json-file",
                "max-size",
                "0",
                format!("{failed}max-size must be a positive number"),
            ),
            (
                "json-file",
                "max-file",
                "0",
                format!("{failed}max-file cannot be less than 1"),
            ),
            (
                "json-file",
                "max-file",
                "x",
                format!("{failed}strconv.Atoi: parsing \"x\": invalid syntax"),
            ),
            (
                "ring",
                "max-size",
                "-1",
                format!("{failed}max-size of a ring must be between 16k and 64m"),
            ),
            (
                "ring",
                "persist",
                "x",
                format!("{failed}invalid value for persist: x: it is always, crash or never"),
            ),
            (
                "json-file",
                "compress",
                "x",
                format!("{failed}strconv.ParseBool: parsing \"x\": invalid syntax"),
            ),
            (
                "local",
                "max-size",
                "x",
                format!("{failed}invalid value for max-size: x: invalid size: 'x'"),
            ),
            (
                "json-file",
                "mode",
                "x",
                "logger: logging mode not supported: x".into(),
            ),
            (
                "json-file",
                "max-buffer-size",
                "1m",
                "logger: max-buffer-size option is only supported with 'mode=non-blocking'".into(),
            ),
            (
                "syslog",
                "cache-disabled",
                "x",
                "invalid value for option cache-disabled: x".into(),
            ),
        ] {
            let pairs = [(key, value)];
            let pairs = if key.is_empty() { &[][..] } else { &pairs[..] };
            let error = parse(driver, &given(pairs)).unwrap_err();
            assert_eq!(error.message, message);
        }
    }

    #[test]
    fn a_buffer_belongs_to_the_non_blocking_mode() {
        let buffer = |pairs| parse("syslog", &given(pairs)).unwrap().buffer_bytes_max;
        assert_eq!(buffer(&[]), None);
        assert_eq!(buffer(&[("mode", "blocking")]), None);
        assert_eq!(buffer(&[("mode", "non-blocking")]), Some(1_000_000));
        let pairs = [("mode", "non-blocking"), ("max-buffer-size", "4k")];
        assert_eq!(buffer(&pairs), Some(4096));
    }
}
