//! What a plan's entries ask for, as requests: the arguments that a plan has read go through the
//! parser of the command line, so that a file can say what the command line can and no more.

use super::options::{Options, Verb};
use super::{create, network, volume};
use crate::error::{Context, Error, Kind, Result};
use crate::plan::hint::hint;
use crate::plan::{Entry, Made, Resolved, Resolver};
use std::ffi::OsString;
use std::path::Path;

pub const RESOLVER: Resolver = Resolver {
    container,
    volume: |made| body(&volume::CREATE, made, volume::request),
    network: |made| body(&network::CREATE, made, network::request),
};

fn container(entry: &Entry) -> Result<Resolved> {
    let resolve = || {
        let mut options = read(&create::VERB, &entry.arguments)?;
        if entry.critical {
            options.set_default(&create::VERB, "critical", true.to_string());
        }
        let mut request = create::request(&options)?;
        if let Some(test) = &entry.health {
            let health = request.config.healthcheck.get_or_insert_default();
            health.test = Some(test.clone());
        }
        Ok(Resolved {
            body: create::body(request),
            pull: options.get("pull").unwrap_or("missing").to_string(),
            platform: options.get("platform").map(str::to_string),
        })
    };
    of_file(&entry.file, resolve())
}

fn body(
    verb: &'static Verb,
    made: &Made,
    request: fn(&Options) -> Result<String>,
) -> Result<String> {
    let options = read(verb, &made.arguments);
    of_file(&made.file, options.and_then(|options| request(&options)))
}

/// A mistake is the file's, whatever it would be on a command line.
fn of_file<T>(file: &Path, outcome: Result<T>) -> Result<T> {
    outcome
        .map_err(|error| error.with_kind(Kind::Invalid))
        .context(|| file.display())
}

fn read(verb: &'static Verb, arguments: &[String]) -> Result<Options> {
    let options = || arguments.iter().take_while(|argument| *argument != "--");
    for name in options().filter_map(|option| option.strip_prefix("--")) {
        let name = name.split('=').next().unwrap_or_default();
        let mut known = verb.flags.iter().copied().flatten();
        if !known.any(|flag| flag.long() == name) {
            return Err(unknown(verb, name));
        }
    }
    let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    Options::read(verb.flags, verb.has_command, &arguments)
}

fn unknown(verb: &'static Verb, name: &str) -> Error {
    let mut known = verb.flags.iter().copied().flatten().map(|flag| flag.long());
    let hint = hint(name, &mut known);
    let verb = verb.names.first().copied().unwrap_or_default();
    Error::invalid(format!("tug {verb} has no option {name}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;

    fn resolved(text: &str) -> Result<String> {
        let dir = std::env::temp_dir().join(format!("tug-planned-{}", crate::id::random()?));
        let file = dir.join("web.json");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(&file, text).unwrap();
        let set = plan::read_file(&file);
        std::fs::remove_dir_all(&dir).unwrap();
        let resolved = (RESOLVER.container)(&set?.entries[0]);
        let plain = |text: String| text.replace(&format!("{}/", dir.display()), "");
        match resolved {
            Ok(resolved) => Ok(plain(resolved.body)),
            Err(error) => Err(Error::new(error.kind, plain(error.message.clone()))),
        }
    }

    #[test]
    fn an_entry_asks_for_what_the_command_line_would() {
        let body = resolved(
            r#"{"image":"web:1","command":["serve","--port=80"],"memory":"64m","init":true,
            "env":{"A":1},"publish":"80:80"}"#,
        )
        .unwrap();
        for part in [
            r#""Image":"web:1""#,
            r#""Cmd":["serve","--port=80"]"#,
            r#""Memory":67108864"#,
            r#""Init":true"#,
            r#""Env":["A=1"]"#,
        ] {
            assert!(body.contains(part), "{part} in {body}");
        }
    }

    #[test]
    fn options_that_do_not_exist_are_named_with_the_nearest() {
        for (text, expected) in [
            (
                r#"{"image":"a","pubish":"80:80"}"#,
                "web.json: tug create has no option pubish (did you mean publish?)",
            ),
            (
                r#"{"image":"a","nothing":1}"#,
                "web.json: tug create has no option nothing",
            ),
            (
                r#"{"image":"a","init":"maybe"}"#,
                "web.json: invalid argument \"maybe\" for \"--init\" flag: \
                 strconv.ParseBool: parsing \"maybe\": invalid syntax",
            ),
        ] {
            let error = resolved(text).unwrap_err();
            assert_eq!(error.kind, Kind::Invalid);
            assert_eq!(error.to_string(), expected, "{text}");
        }
    }
}
