//! `tug info`: the engine about itself and its host.

use super::options::{Options, Verb, flag};
use super::remote::{Engine, parse};
use super::version::FORMAT;
use super::{format, human, print};
use crate::error::Result;
use crate::json::node::Node;
use crate::json::object;

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
        let client = format!(
            "{{\"Debug\":false,\"Version\":\"{}\",\"Context\":\"default\",\"Plugins\":[]}}",
            env!("CARGO_PKG_VERSION")
        );
        let text = object::complete(text.trim(), &[("ClientInfo", &client)]);
        print::line(&format::document(format, &text)?)?;
        return Ok(0);
    }
    let version = env!("CARGO_PKG_VERSION");
    print::out(format!(
        "Client:\n Version:    {version}\n Context:    default\n Debug Mode: false\n\nServer:\n"
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

/// Titles, and the members they show, in Docker's order. What is no text, number or boolean is
/// shown by `several`.
const LINES: [(&str, &str); 37] = [
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
    ("Plugins", "Plugins"),
    ("CDI spec directories", "CDISpecDirs"),
    ("Swarm", "Swarm.LocalNodeState"),
    ("Runtimes", "Runtimes"),
    ("Default Runtime", "DefaultRuntime"),
    ("Init Binary", "InitBinary"),
    ("containerd version", "ContainerdCommit.ID"),
    ("runc version", "RuncCommit.ID"),
    ("init version", "InitCommit.ID"),
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
    ("Labels", "Labels"),
    ("Experimental", "ExperimentalBuild"),
    (
        "Insecure Registries",
        "RegistryConfig.InsecureRegistryCIDRs",
    ),
    ("Registry Mirrors", "RegistryConfig.Mirrors"),
    ("Live Restore Enabled", "LiveRestoreEnabled"),
    ("Last Reboot For Health", "LastReboot"),
];

fn describe(text: &mut String, info: Node<'_>) {
    for (title, name) in LINES {
        let node = info.at(name);
        let value = match node.json() {
            json if json.starts_with(['{', '[']) => {
                several(text, title, name, node);
                continue;
            }
            // Older engines lack some; Docker shows those as empty, but not a list.
            "null" if matches!(name, "CDISpecDirs" | "LastReboot") => continue,
            "null" => String::new(),
            json if json.starts_with('"') => node.text(),
            _ if name == "MemTotal" => human::memory(node.integer()),
            json => json.to_string(),
        };
        text.push_str(&format!(" {title}: {value}\n"));
        if name == "Debug" && node.is_true() {
            for (title, name) in [
                ("File Descriptors", "NFd"),
                ("Goroutines", "NGoroutines"),
                ("System Time", "SystemTime"),
                ("EventsListeners", "NEventsListener"),
            ] {
                let value = info.at(name).json().trim_matches('"');
                text.push_str(&format!("  {title}: {value}\n"));
            }
        }
    }
    text.push('\n');
}

/// A title, with what a list or an object holds on lines of their own.
fn several(text: &mut String, title: &str, name: &str, node: Node<'_>) {
    let words = |node: Node<'_>| {
        let words: Vec<String> = node.items().iter().map(|word| word.text()).collect();
        words
    };
    match name {
        "DriverStatus" => {
            for pair in node.items() {
                text.push_str(&format!("  {}\n", words(pair).join(": ")));
            }
        }
        "Runtimes" => {
            let names: Vec<String> = node.pairs().into_iter().map(|(name, _)| name).collect();
            text.push_str(&format!(" {title}: {}\n", names.join(" ")));
        }
        "Plugins" => {
            text.push_str(" Plugins:\n");
            for (kind, plugins) in node.pairs() {
                let is_shown = kind != "Authorization" || !plugins.items().is_empty();
                if is_shown {
                    text.push_str(&format!("  {kind}: {}\n", words(plugins).join(" ")));
                }
            }
        }
        "SecurityOptions" => {
            text.push_str(" Security Options:\n");
            for option in node.items() {
                security_option(text, &option.text());
            }
        }
        // Docker says nothing of those where there are none.
        _ if node.items().is_empty() => {}
        _ => {
            text.push_str(&format!(" {title}:\n"));
            for word in words(node) {
                text.push_str(&format!("  {word}\n"));
            }
        }
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
