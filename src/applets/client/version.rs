//! `tug version`: which versions client and engine have.

use super::options::{Options, Verb, flag};
use super::remote::{Engine, parse};
use super::{format, print};
use crate::error::Result;

pub const FORMAT: &str =
    "Format output using a custom template: 'json', or a Go template such as '{{json .}}'";

pub const VERB: Verb = Verb {
    names: &["version"],
    usage: "[OPTIONS]",
    about: "Show the version information of client and engine",
    flags: &[&[flag("-f, --format string", FORMAT)]],
    args: (0, 0),
    has_command: false,
    main,
};

const OWN: &str = env!("CARGO_PKG_VERSION");
const API: &str = "1.51";

/// Go's name of this machine's architecture, which Docker's users know.
pub fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    // The client's half is told even where no engine answers; then the outcome is the error.
    let answer = engine.text("/version");
    if let Some(format) = options.get("format") {
        let server = match &answer {
            Ok(text) => text.trim(),
            Err(_) => "null",
        };
        let document = format!(
            "{{\"Client\":{{\"Version\":\"{OWN}\",\"ApiVersion\":\"{API}\",\"DefaultAPIVersion\":\"{API}\",\"Os\":\"linux\",\"Arch\":\"{}\"}},\"Server\":{server}}}",
            arch()
        );
        print::line(&format::document(format, &document)?)?;
        return answer.map(|_| 0);
    }
    let mut text = String::from("Client:\n");
    line(&mut text, 1, "Version", OWN);
    line(&mut text, 1, "API version", API);
    line(&mut text, 1, "OS/Arch", &format!("linux/{}", arch()));
    print::out(&text)?;

    let answer = answer?;
    let version = parse(&answer)?;
    let name = version.at("Platform.Name").text();
    let mut text = match name.is_empty() {
        true => String::from("\nServer:\n"),
        false => format!("\nServer: {name}\n"),
    };
    for component in version.at("Components").items() {
        let detail = |name: &str| component.at("Details").at(name).text();
        text.push_str(&format!(" {}:\n", component.at("Name").text()));
        line(&mut text, 2, "Version", &component.at("Version").text());
        if !detail("ApiVersion").is_empty() {
            let least = detail("MinAPIVersion");
            let api = format!("{} (minimum version {least})", detail("ApiVersion"));
            line(&mut text, 2, "API version", &api);
            line(
                &mut text,
                2,
                "OS/Arch",
                &format!("{}/{}", detail("Os"), detail("Arch")),
            );
            line(&mut text, 2, "Kernel", &detail("KernelVersion"));
        }
        if !detail("GitCommit").is_empty() {
            line(&mut text, 2, "Git commit", &detail("GitCommit"));
        }
    }
    print::out(text)?;
    Ok(0)
}

/// ` Name:             value`; values stand below each other.
fn line(text: &mut String, indent: usize, name: &str, value: &str) {
    let name = format!("{}{name}:", " ".repeat(indent));
    text.push_str(&format!("{name:<19} {value}\n"));
}
