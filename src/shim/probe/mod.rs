//! Native probes: health checks that the shim makes itself, without starting a process.
//!
//! A probe is a URL, and stands in a Healthcheck as `["PROBE", URL]`:
//!
//! | URL | healthy |
//! |---|---|
//! | `http://[HOST]:PORT/PATH[#200-299]` | a GET is answered with such a status; 200 to 399 if none is said |
//! | `tcp://[HOST]:PORT` | a connection is accepted |
//! | `unix:///path` | the same, of a socket in the container's files |
//! | `file:/path[?max-age=30s]` | the file is there, and was touched not long ago |
//! | `process:NAME` | a process of that name is among the container's |
//! | `pressure:memory=20` | of the last 10 seconds its processes waited for memory (or cpu, io) less than 20 % |
//!
//! It does what the container's own program could do, and no more, so an image may bring one as it
//! may bring a command: sockets are made in the container's network namespace, files are looked for in
//! its root and with its user's rights, nothing but a GET is ever sent, and of an answer only the
//! status is shown. Sockets never make the shim wait: they are in its loop, and end with the check's
//! deadline.

mod file;
mod place;
pub mod run;
mod talk;

use crate::cgroup::Group;
use crate::error::{Error, Result};
use crate::kernel::{self, Feature};
use crate::sys::{fs, process};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Instant;

pub use talk::Talk;

/// The first word of a Healthcheck's `Test`.
pub const KIND: &str = "PROBE";

/// What a check has found, in words.
pub type Verdict = std::result::Result<String, String>;

/// The longest URL that is taken.
const URL_BYTES_MAX: usize = 1024;

/// As much of its name as the kernel keeps of a process (TASK_COMM_LEN).
const NAME_BYTES_MAX: usize = 15;

pub enum Probe {
    Connect(talk::Target),
    File(file::Wanted),
    Process(String),
    /// The group's file, and hundredths of a percent.
    Pressure(&'static str, u32),
}

/// A probe that has begun: it goes on, or that was all.
pub enum Begun {
    Talking(Talk),
    Known(Verdict),
}

/// Where a probe is made.
pub struct Place<'a> {
    /// The container's first process.
    pub pid: i32,
    pub group: Option<&'a Group>,
    pub now: Instant,
}

/// The probe of a Healthcheck's `Test`, if that is one.
pub fn of(test: Option<&[String]>) -> Option<Result<Probe>> {
    match test? {
        [kind, urls @ ..] if kind == KIND => Some(match urls {
            [url] => parse(url),
            _ => Err(Error::invalid(r#"a health probe is ["PROBE", URL]"#)),
        }),
        _ => None,
    }
}

fn parse(url: &str) -> Result<Probe> {
    let refused = |why: &str| Error::invalid(format!("invalid health probe {url:?}: {why}"));
    // It goes into a request, where a blank or a line's end would begin something else.
    if url.len() > URL_BYTES_MAX || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused(
            "it has blanks, other letters than ASCII's, or too many",
        ));
    }
    let (scheme, rest) = url.split_once(':').unwrap_or_default();
    let parsed = match scheme {
        "http" => http(rest).ok_or("use http://[HOST]:PORT/PATH, HOST being an address"),
        "tcp" => tcp(rest).ok_or("use tcp://[HOST]:PORT, HOST being an address"),
        "unix" => path(rest).map(|path| Probe::Connect(talk::Target::Path(path.to_string()))),
        "file" => file::parse(rest).map(Probe::File),
        "process" if is_name(rest) => Ok(Probe::Process(rest.to_string())),
        "process" => Err("use process:NAME"),
        "pressure" => pressure(rest).ok_or("use pressure:cpu=PERCENT, or memory, or io"),
        "https" => Err("TLS is not spoken: use http or tcp, or a command"),
        _ => Err("use http, tcp, unix, file, process or pressure"),
    };
    parsed.map_err(refused)
}

fn http(rest: &str) -> Option<Probe> {
    let (rest, codes) = match rest.strip_prefix("//")?.split_once('#') {
        Some((rest, codes)) => (rest, statuses(codes)?),
        None => (rest.strip_prefix("//")?, (200, 399)),
    };
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let slash = if path.starts_with('/') { "" } else { "/" };
    Some(Probe::Connect(talk::Target::Http {
        address: address(authority, Some(80))?,
        request: format!(
            "GET {slash}{path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: tug\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            if authority.starts_with(':') {
                format!("localhost{authority}")
            } else {
                authority.to_string()
            }
        ),
        codes,
    }))
}

fn tcp(rest: &str) -> Option<Probe> {
    let address = address(rest.strip_prefix("//")?, None)?;
    Some(Probe::Connect(talk::Target::Tcp(address)))
}

/// `HOST:PORT`. No host is the container itself. Names are not asked for: that would be a second check
/// in the first.
fn address(authority: &str, port: Option<u16>) -> Option<SocketAddr> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, port?),
    };
    let ip = match host {
        "" | "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        _ => match host.strip_prefix('[') {
            Some(host) => IpAddr::V6(host.strip_suffix(']')?.parse().ok()?),
            None => IpAddr::V4(host.parse().ok()?),
        },
    };
    (port > 0).then_some(SocketAddr::new(ip, port))
}

/// `200` or `200-204`.
fn statuses(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (100 <= first && first <= last && last <= 599).then_some((first, last))
}

/// An absolute path, which may stand behind an empty host.
fn path(rest: &str) -> std::result::Result<&str, &'static str> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    match path.starts_with('/') && path.len() > 1 {
        true => Ok(path),
        false => Err("use an absolute path"),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('/')
}

fn pressure(rest: &str) -> Option<Probe> {
    let (what, percent) = rest.split_once('=')?;
    let file = match what {
        "cpu" => "cpu.pressure",
        "memory" => "memory.pressure",
        "io" => "io.pressure",
        _ => return None,
    };
    let bound = hundredths(percent.trim_end_matches('%'))?;
    (0 < bound && bound <= 10_000).then_some(Probe::Pressure(file, bound))
}

/// `20` or `1.50`, in hundredths.
fn hundredths(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{part:0<2}");
    let part: u32 = digits.get(..2)?.parse().ok()?;
    whole
        .parse::<u32>()
        .ok()?
        .checked_mul(100)?
        .checked_add(part)
}

impl Probe {
    /// Whether this kernel can have it.
    pub fn check(&self) -> Result<()> {
        match self {
            Probe::Pressure(..) if !Path::new("/proc/pressure").exists() => {
                Err(Error::unsupported(format!(
                    "a health probe of pressure is not possible {}",
                    kernel::lacks(Feature::Psi)
                )))
            }
            _ => Ok(()),
        }
    }

    pub fn begin(&mut self, place: &Place<'_>) -> Begun {
        let known = match self {
            Probe::Connect(target) => match target.call(place) {
                Ok(talk) => return Begun::Talking(talk),
                Err(error) => Err(error),
            },
            Probe::File(wanted) => wanted.check(place),
            Probe::Process(name) => Ok(find(name, place)),
            Probe::Pressure(file, bound) => Ok(pressed(file, *bound, place)),
        };
        Begun::Known(known.unwrap_or_else(|error| Err(error.to_string())))
    }
}

/// A process of that name among the container's.
fn find(name: &str, place: &Place<'_>) -> Verdict {
    let name = name.get(..NAME_BYTES_MAX).unwrap_or(name);
    // Without a group the container has a pid namespace, or is not to be told from others.
    let pids = match place.group.map(Group::pids) {
        Some(Ok(pids)) => pids,
        Some(Err(error)) => return Err(error.to_string()),
        None => place::neighbours(place.pid),
    };
    let is_one = |pid: &&i32| {
        let path = format!("/proc/{pid}/comm");
        let comm = fs::read_text(&path).unwrap_or_default();
        comm.trim_end() == name && !process::is_ending(**pid)
    };
    match pids.iter().find(is_one) {
        Some(_) => Ok(format!("{name} runs")),
        None => Err(format!("no process {name}")),
    }
}

/// The share of the last 10 seconds in which some process of the group waited.
fn pressed(file: &str, bound: u32, place: &Place<'_>) -> Verdict {
    let text = place.group.and_then(|group| group.read(file));
    let text =
        text.ok_or_else(|| format!("{file} cannot be read {}", kernel::lacks(Feature::Psi)))?;
    let some = text.lines().find_map(|line| line.strip_prefix("some "));
    let average =
        some.and_then(|line| line.split(' ').find_map(|word| word.strip_prefix("avg10=")));
    let average = average.unwrap_or("0");
    let words = format!("{file} {average} %");
    match hundredths(average).is_some_and(|found| found < bound) {
        true => Ok(words),
        false => Err(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str) -> (String, String, (u16, u16)) {
        match parse(url).unwrap() {
            Probe::Connect(talk::Target::Http {
                address,
                request,
                codes,
            }) => {
                let mut lines = request.lines();
                let line = lines.next().unwrap().to_string();
                let host = lines.next().unwrap();
                (format!("{line} {host}"), address.to_string(), codes)
            }
            _ => panic!("{url}"),
        }
    }

    #[test]
    fn a_url_becomes_a_request() {
        for (url, line, address, codes) in [
            (
                "http://:8080/healthz",
                "GET /healthz HTTP/1.1 Host: localhost:8080",
                "127.0.0.1:8080",
                (200, 399),
            ),
            (
                "http://[::1]:81?a=b#204",
                "GET /?a=b HTTP/1.1 Host: [::1]:81",
                "[::1]:81",
                (204, 204),
            ),
            (
                "http://10.0.0.9#200-299",
                "GET / HTTP/1.1 Host: 10.0.0.9",
                "10.0.0.9:80",
                (200, 299),
            ),
        ] {
            let expected = (line.to_string(), address.to_string(), codes);
            assert_eq!(request(url), expected, "{url}");
        }
    }

    #[test]
    fn what_is_no_probe_is_refused() {
        for url in [
            "",
            "http",
            "http:",
            "http://:0/",
            "http://:66000/",
            "http://web:80/",
            "http://[::1/",
            "http://:80/#20",
            "http://:80/#300-200",
            "http://:80/a b",
            "http://:80/a\r\nX: y",
            "https://:443/",
            "tcp://:",
            "tcp://127.0.0.1",
            "unix:relative",
            "file:relative",
            "file:/",
            "file:/a?max-age=soon",
            "file:/a?min-age=1s",
            "process:",
            "process:/bin/sh",
            "pressure:memory",
            "pressure:disk=5",
            "pressure:cpu=0",
            "pressure:cpu=101",
            "CMD",
        ] {
            assert!(parse(url).is_err(), "{url:?}");
        }
        let long = format!("http://:80/{}", "x".repeat(1100));
        assert!(parse(&long).is_err());
        for url in [
            "tcp://:5432",
            "tcp://[::1]:1",
            "unix:///run/app.sock",
            "unix:/run/app.sock",
            "file:/run/ready",
            "file:///run/ready?max-age=1m30s",
            "process:nginx",
            "pressure:memory=20",
            "pressure:io=0.5%",
        ] {
            assert!(parse(url).is_ok(), "{url:?}");
        }
    }

    #[test]
    fn pressure_is_counted_in_hundredths() {
        for (text, expected) in [
            ("20", Some(2000)),
            ("0.5", Some(50)),
            ("1.25", Some(125)),
            ("0.00", Some(0)),
            ("", None),
            ("x", None),
            ("5000000000", None),
        ] {
            assert_eq!(hundredths(text), expected, "{text}");
        }
    }
}
