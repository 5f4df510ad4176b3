//! `tug info`: the engine about itself and its host.

use super::options::{Options, Verb, flag};
use super::remote::{Engine, parse};
use super::version::FORMAT;
use super::{format, human, print};
use crate::error::Result;
use crate::json::node::Node;

pub const VERB: Verb = Verb {
    names: &["info", "system info"],
    usage: "[OPTIONS]",
    about: "Display system-wide information",
    flags: &[&[flag("-f, --format string", FORMAT)]],
    args: (0, 0),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    if let Some(format) = options.get("format") {
        let text = engine.text("/info")?;
        print::line(&format::document(format, &text)?)?;
        return Ok(0);
    }
    let version = env!("CARGO_PKG_VERSION");
    print::out(format!(
        "Client:\n Version:    {version}\n Debug Mode: false\n\nServer:\n"
    ))?;
    let answer = engine.text("/info")?;
    let info = parse(&answer)?;
    let mut text = String::new();
    describe(&mut text, info);
    print::out(text)?;
    for warning in info.at("Warnings").items() {
        print::err(format!("{}\n", warning.text()))?;
    }
    Ok(0)
}

/// Titles, and the members they show. What is no text or number is shown by `describe`.
const LINES: [(&str, &str); 27] = [
    ("Containers", "Containers"),
    (" Running", "ContainersRunning"),
    (" Paused", "ContainersPaused"),
    (" Stopped", "ContainersStopped"),
    ("Images", "Images"),
    ("Server Version", "ServerVersion"),
    ("Storage Driver", "Driver"),
    ("", "DriverStatus"),
    ("Logging Driver", "LoggingDriver"),
    ("Cgroup Driver", "CgroupDriver"),
    ("Cgroup Version", "CgroupVersion"),
    ("Runtimes", "Runtimes"),
    ("Default Runtime", "DefaultRuntime"),
    ("Init Binary", "InitBinary"),
    ("Security Options", "SecurityOptions"),
    ("Kernel Version", "KernelVersion"),
    ("Operating System", "OperatingSystem"),
    ("OSType", "OSType"),
    ("Architecture", "Architecture"),
    ("CPUs", "NCPU"),
    ("Total Memory", "MemTotal"),
    ("Name", "Name"),
    ("ID", "ID"),
    ("Docker Root Dir", "DockerRootDir"),
    ("Debug Mode", "Debug"),
    ("Experimental", "ExperimentalBuild"),
    ("Live Restore Enabled", "LiveRestoreEnabled"),
];

fn describe(text: &mut String, info: Node<'_>) {
    for (title, name) in LINES {
        let node = info.at(name);
        let mut value = match node.json() {
            string if string.starts_with('"') => node.text(),
            json => json.to_string(),
        };
        match name {
            "DriverStatus" => {
                for pair in node.items() {
                    let mut words = Vec::new();
                    for word in pair.items() {
                        words.push(word.text());
                    }
                    text.push_str(&format!("  {}\n", words.join(": ")));
                }
                continue;
            }
            "SecurityOptions" => {
                text.push_str(" Security Options:\n");
                for option in node.items() {
                    security_option(text, &option.text());
                }
                continue;
            }
            "Runtimes" => {
                value.clear();
                for (runtime, _) in node.pairs() {
                    value.push_str(&runtime);
                    value.push(' ');
                }
            }
            "MemTotal" => value = human::memory(node.integer()),
            _ => {}
        }
        text.push_str(&format!(" {title}: {}\n", value.trim_end()));
    }
}

/// `name=seccomp,profile=builtin` on two lines.
fn security_option(text: &mut String, option: &str) {
    for pair in option.split(',') {
        match pair.split_once('=') {
            Some(("name", name)) => text.push_str(&format!("  {name}\n")),
            Some(("profile", profile)) => text.push_str(&format!("   Profile: {profile}\n")),
            _ => text.push_str(&format!("   {pair}\n")),
        }
    }
}
