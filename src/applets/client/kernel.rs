//! `tug check`: this kernel, or one that does not run, against what tug needs and uses. Needs no
//! engine. Not Docker's; names and groups are those of moby's check-config.

mod fragment;
mod host;

use super::options::{Options, Verb, flag, usage};
use super::remote::Engine;
use super::{format, print};
use crate::error::{Error, Result};
use crate::image::gzip::Gzip;
use crate::image::source::{Input, Source, Stream};
use crate::json::object::{self, Object};
use crate::kernel::config::{BYTES_MAX, Config};
use crate::kernel::probe::{Running, State};
use crate::kernel::{About, FLOOR, Feature, Group, NOT_NEEDED, Version, release, version_of};
use crate::net::firewall::Features;
use crate::net::link;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

pub const VERB: Verb = Verb {
    names: &["check"],
    usage: "[OPTIONS]",
    about: "Check the kernel for what containers need",
    flags: &[&[
        flag(
            "--all",
            "With --emit: all options, not only those that are missing",
        ),
        flag(
            "--config string",
            "Configuration of a kernel that does not run, plain or gzip (default: of this one)",
        ),
        flag(
            "--data-root string",
            "Try whether images can lie here (default /var/lib/tug, if it is there)",
        ),
        flag(
            "--emit string",
            "Write what is missing as a fragment for: config, buildroot, yocto",
        ),
        flag(
            "-f, --format string",
            "Print as JSON (json) or by a Go template",
        ),
    ]],
    args: (0, 0),
    has_command: false,
    main,
};

/// What was found out about a kernel.
struct Report {
    version: Version,
    /// Where it comes from, for people.
    source: String,
    rows: Vec<(About, State)>,
}

impl Report {
    fn is_good(&self) -> bool {
        let is_lacking = |(about, state): &(About, State)| {
            about.group == Group::Necessary && matches!(state, State::Missing | State::Absent)
        };
        self.version >= FLOOR && !self.rows.iter().any(is_lacking)
    }

    /// Whether it is known to be there, by itself or as a module.
    fn has(&self, feature: Feature) -> bool {
        let row = self.rows.iter().find(|(about, _)| about.feature == feature);
        row.is_some_and(|(_, state)| matches!(state, State::Enabled | State::Module))
    }
}

fn main(_: &Engine, options: &Options) -> Result<u8> {
    let emit = options.get("emit").map(fragment::form).transpose()?;
    if options.is("all") && emit.is_none() {
        return Err(usage("--all needs --emit".to_string()));
    }
    let foreign = options.get("config").map(Path::new);
    let report = match foreign {
        Some(path) => of_config(path)?,
        None => of_this_kernel(),
    };
    if let Some(form) = emit {
        print::out(fragment::write(&report, form, options.is("all")))?;
        return Ok(0);
    }
    let sections = match foreign {
        Some(_) => Vec::new(),
        None => host::sections(&report, options.get("data-root").map(Path::new)),
    };
    match options.get("format") {
        Some(form) => print::line(&format::document(form, &json(&report, &sections))?)?,
        None => print::out(text(&report, &sections))?,
    }
    Ok(u8::from(!report.is_good()))
}

fn of_config(path: &Path) -> Result<Report> {
    let config = read(path)?;
    let state = |about: &About| config.state(about);
    Ok(Report {
        version: config.version(),
        source: path.display().to_string(),
        rows: rows(&state),
    })
}

/// By its configuration, if it can be found; else by asking it.
fn of_this_kernel() -> Report {
    let release = release();
    let places = [
        PathBuf::from("/proc/config.gz"),
        PathBuf::from(format!("/boot/config-{release}")),
        PathBuf::from(format!("/lib/modules/{release}/config")),
        PathBuf::from(format!("/lib/modules/{release}/build/.config")),
    ];
    let version = version_of(&release);
    let running = Running::look();
    let found = places
        .iter()
        .find_map(|path| Some((path, read(path).ok()?)));
    if let Some((path, mut config)) = found {
        config.version = Some(version);
        return Report {
            version,
            source: path.display().to_string(),
            rows: rows(&|about| running.installed(about, config.state(about))),
        };
    }
    let ask = |feature| link::is_known(feature).or_else(|| Features::probe().has(feature));
    Report {
        version,
        source: "the kernel itself, which does not tell its configuration".to_string(),
        rows: rows(&|about| running.state(about, &ask)),
    }
}

fn rows(state: &dyn Fn(&About) -> State) -> Vec<(About, State)> {
    Feature::all().map(|about| (about, state(&about))).collect()
}

fn read(path: &Path) -> Result<Config> {
    let name = path.display();
    let failed = |e: std::io::Error| Error::io(format_args!("read {name}"), &e);
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut input = Input(&mut file);
    let mut source = Source::new(&mut input);
    let is_packed = source.peek(2).map_err(failed)?.starts_with(&[0x1f, 0x8b]);
    let bytes = match is_packed {
        true => all(&mut Gzip::new(&mut source)),
        false => all(&mut source),
    };
    let bytes = bytes.map_err(failed)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(Error::invalid(format!(
            "{name} is not a kernel configuration: it has more than {} MiB",
            BYTES_MAX >> 20
        )));
    }
    Config::read(
        String::from_utf8_lossy(&bytes).into_owned(),
        &name.to_string(),
    )
}

/// All of it, or a little more than the most that it may be.
fn all(stream: &mut dyn Stream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; 32 << 10];
    while bytes.len() as u64 <= BYTES_MAX {
        match stream.read(&mut piece)? {
            0 => break,
            count => bytes.extend_from_slice(piece.get(..count).unwrap_or_default()),
        }
    }
    Ok(bytes)
}

const GROUPS: [Group; 8] = [
    Group::Necessary,
    Group::Cgroups,
    Group::Storage,
    Group::Network,
    Group::Security,
    Group::Devices,
    Group::Debugging,
    Group::Versions,
];

/// Letters of a terminal, where there is one (and NO_COLOR does not forbid it).
struct Paint(bool);

impl Paint {
    fn new() -> Paint {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Paint(std::io::stdout().is_terminal() && !forbidden)
    }

    fn put(&self, color: u8, text: &str) -> String {
        match self.0 {
            true => format!("\x1b[{color}m{text}\x1b[0m"),
            false => text.to_string(),
        }
    }

    fn state(&self, state: State) -> String {
        let color = match state {
            State::Enabled | State::Module => GREEN,
            State::Missing | State::Absent => RED,
            State::Unknown => YELLOW,
        };
        self.put(color, word(state))
    }
}

const RED: u8 = 31;
const GREEN: u8 = 32;
const YELLOW: u8 = 33;

/// check-config's words.
fn word(state: State) -> &'static str {
    match state {
        State::Enabled => "enabled",
        State::Module => "enabled (as module)",
        State::Missing => "missing",
        State::Absent => "missing (its module is not in /lib/modules)",
        State::Unknown => "not known",
    }
}

/// What is told of the machine beside its kernel: a title, and lines with whether each is good.
type Section = (&'static str, Vec<(bool, String)>);

fn text(report: &Report, sections: &[Section]) -> String {
    let paint = Paint::new();
    let mut text = format!("info: reading kernel config from {} ...\n", report.source);
    for group in GROUPS {
        text.push_str(&format!("\n{}:\n", group.title()));
        if group == Group::Necessary {
            text.push_str(&floor(report, &paint));
        }
        for (about, state) in report.rows.iter().filter(|(about, _)| about.group == group) {
            let label = about.label(report.version);
            text.push_str(&format!("- {label}: {}\n", paint.state(*state)));
            if matches!(state, State::Missing | State::Absent) {
                text.push_str(&format!("    {}\n", cost(about)));
            }
        }
    }
    text.push_str(NOT_NEEDED);
    for (title, lines) in sections {
        text.push_str(&format!("\n{title}:\n"));
        for (is_good, line) in lines {
            let color = if *is_good { GREEN } else { YELLOW };
            text.push_str(&format!("- {}\n", paint.put(color, line)));
        }
    }
    text
}

fn floor(report: &Report, paint: &Paint) -> String {
    let ((major, minor), (own, own_minor)) = (FLOOR, report.version);
    let state = match report.version >= FLOOR {
        _ if own == u32::MAX => paint.put(YELLOW, "not known"),
        true => paint.put(GREEN, &format!("{own}.{own_minor}")),
        false => paint.put(RED, &format!("{own}.{own_minor} is too old")),
    };
    format!("- Linux {major}.{minor} or newer: {state}\n")
}

fn cost(about: &About) -> String {
    match about.fallback {
        "" => about.cost.to_string(),
        fallback => format!("{}; instead: {fallback}", about.cost),
    }
}

fn json(report: &Report, sections: &[Section]) -> String {
    let feature = |(about, state): &(About, State)| {
        let mut object = Object::new();
        object
            .text("Name", &about.label(report.version))
            .text("Group", about.group.title())
            .text("State", word(*state))
            .text("Module", about.module)
            .text("Cost", about.cost)
            .text("Fallback", about.fallback);
        object.finish()
    };
    let line = |(is_good, text): &(bool, String)| {
        let good = if *is_good { "true" } else { "false" };
        Object::new().put("Good", good).text("Text", text).finish()
    };
    let mut host = Object::new();
    for (title, lines) in sections {
        let lines: Vec<String> = lines.iter().map(line).collect();
        host.put(title, &object::list(&lines));
    }
    let features: Vec<String> = report.rows.iter().map(feature).collect();
    let (major, minor) = report.version;
    Object::new()
        .text("Source", &report.source)
        .text("Version", &format!("{major}.{minor}"))
        .put(
            "Sufficient",
            if report.is_good() { "true" } else { "false" },
        )
        .put("Features", &object::list(&features))
        .put("Host", &host.finish())
        .finish()
}
