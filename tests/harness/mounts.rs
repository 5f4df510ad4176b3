//! Bundles whose mounts a test chooses, and what their container says of them.

use crate::harness::bundle::Bundle;
use crate::harness::command::Output;

const BASE: &str = r#"{"destination":"/proc","type":"proc","source":"proc"},
    {"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","strictatime","mode=755"]},
    {"destination":"/dev/pts","type":"devpts","source":"devpts","options":["nosuid","noexec","newinstance","ptmxmode=0666","mode=0620"]}"#;

/// A mount of config.json.
pub fn mount(destination: &str, kind: &str, source: &str, options: &str) -> String {
    let options: Vec<String> = options
        .split_whitespace()
        .map(|option| format!("{option:?}"))
        .collect();
    format!(
        r#"{{"destination":{destination:?},"type":{kind:?},"source":{source:?},"options":[{}]}}"#,
        options.join(",")
    )
}

/// A bundle with these mounts beside the usual ones, to run `script`.
pub fn bundle(name: &'static str, mounts: &[String], script: &str) -> Bundle {
    let bundle = Bundle::new(name);
    bundle.script(script);
    set_mounts(&bundle, mounts);
    bundle
}

pub fn set_mounts(bundle: &Bundle, mounts: &[String]) {
    let all = [&[BASE.to_string()], mounts].concat();
    bundle.set("mounts", &format!("[{}]", all.join(",")));
}

pub fn all_capabilities(bundle: &Bundle, names: &str) {
    let names: Vec<String> = names.split(' ').map(|name| format!("{name:?}")).collect();
    let list = format!("[{}]", names.join(","));
    for set in ["bounding", "effective", "permitted"] {
        bundle.set(&format!("process.capabilities.{set}"), &list);
    }
}

pub fn go(bundle: &Bundle) -> Output {
    bundle.runtime(&["run", &bundle.id])
}

#[track_caller]
pub fn prints(bundle: &Bundle, text: &str) {
    assert_eq!(go(bundle), Output::new(0, text, ""));
}

/// A line of mountinfo.
pub struct Line {
    pub flags: Vec<String>,
    pub kind: String,
    pub source: String,
    pub of_all: Vec<String>,
}

/// What `cat /proc/self/mountinfo` printed of the last mount at `point`.
#[track_caller]
pub fn line(text: &str, point: &str) -> Line {
    let found = text
        .lines()
        .rev()
        .find(|line| line.split(' ').nth(4) == Some(point));
    let found = found.unwrap_or_else(|| panic!("no mount at {point} in\n{text}"));
    let (mount, rest) = found.split_once(" - ").unwrap();
    let fields: Vec<&str> = mount.split(' ').collect();
    let rest: Vec<&str> = rest.split(' ').collect();
    let list = |text: &str| text.split(',').map(String::from).collect();
    Line {
        flags: list(fields[5]),
        kind: rest[0].to_string(),
        source: rest[1].to_string(),
        of_all: list(rest[2]),
    }
}
