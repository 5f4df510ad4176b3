//! Instructions of a Dockerfile that change an image's configuration and nothing else: for `build`,
//! and for `--change` of import and commit.

use crate::error::{Error, Result};
use crate::image::words::{self, Values};
use crate::json::node::Node;
use crate::oci::image::{Config, Empty, HealthConfig};
use crate::sys::signal;
use crate::time::moment;

/// What runs lines of an image that names no shell of its own.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// One instruction, split as far as all of them are.
pub struct Instruction<'a> {
    /// In capitals.
    pub name: &'a str,
    /// `--name=value` before the rest.
    pub flags: &'a [String],
    pub rest: &'a str,
    pub escape: char,
    /// What the variables are worth. None: to see whether it could be applied at all, before any
    /// value is known.
    pub values: Option<Values<'a>>,
}

/// Apply one line, such as `CMD ["sh"]` or `ENV A=b`.
pub fn apply(config: &mut Config, change: &str) -> Result<()> {
    let (name, rest) = split(change);
    let name = name.to_ascii_uppercase();
    let (flags, rest) = flags(rest);
    if matches!(&name[..], "SHELL" | "MAINTAINER") || !is_known(&name) {
        let name = name.to_ascii_lowercase();
        return Err(Error::invalid(format!(
            "{name} is not a valid change command"
        )));
    }
    let env = config.env.clone().unwrap_or_default();
    let instruction = Instruction {
        name: &name,
        flags: &flags,
        rest,
        escape: '\\',
        values: Some(&|name| value(&env, name)),
    };
    instruction.apply(config).map(drop)
}

/// Whether an instruction is one of these.
pub fn is_known(name: &str) -> bool {
    const NAMES: [&str; 13] = [
        "CMD",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    ];
    NAMES.contains(&name)
}

/// The first word, and what follows.
pub fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (first, rest.trim_start())
}

/// The flags in front, and what follows.
pub fn flags(mut rest: &str) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    while rest.starts_with("--") {
        let (flag, after) = split(rest);
        rest = after;
        if flag == "--" {
            break;
        }
        flags.push(flag.to_string());
    }
    (flags, rest)
}

/// What a variable is worth in an environment.
pub fn value(env: &[String], name: &str) -> Option<String> {
    let pairs = env.iter().filter_map(|entry| entry.split_once('='));
    let mut found = pairs.filter(|(known, _)| *known == name);
    found.next().map(|(_, value)| value.to_string())
}

/// What runs a line.
pub fn shell(config: &Config) -> Vec<String> {
    match &config.shell {
        Some(shell) if !shell.is_empty() => shell.clone(),
        _ => SHELL.map(str::to_string).to_vec(),
    }
}

/// A list in JSON; `None` for what is none.
pub fn list(rest: &str) -> Result<Option<Vec<String>>> {
    if !rest.starts_with('[') {
        return Ok(None);
    }
    let Ok(node) = Node::new(rest, "list") else {
        return Ok(None);
    };
    let items = node.items();
    if items.iter().any(|item| !item.json().starts_with('"')) {
        return Err(Error::invalid(
            "when using JSON array syntax, arrays must be comprised of strings only",
        ));
    }
    Ok(Some(items.into_iter().map(Node::text).collect()))
}

impl Instruction<'_> {
    /// Answers what the history says of it.
    pub fn apply(&self, config: &mut Config) -> Result<String> {
        let (name, rest) = (self.name, self.rest);
        if name != "HEALTHCHECK" {
            self.check_flags(&[])?;
        }
        if rest.is_empty() && !matches!(name, "CMD" | "ENTRYPOINT") {
            let what = match name {
                "USER" | "WORKDIR" | "STOPSIGNAL" | "MAINTAINER" => "exactly",
                _ => "at least",
            };
            return Err(Error::invalid(format!(
                "{name} requires {what} one argument"
            )));
        }
        let said = match name {
            "CMD" => {
                let words = self.command(config)?;
                let said = quoted(&words);
                config.cmd = Some(words);
                said
            }
            "ENTRYPOINT" => {
                let words = self.command(config)?;
                let said = quoted(&words);
                config.entrypoint = Some(words).filter(|words| !words.is_empty());
                said
            }
            "ENV" => {
                let env = config.env.get_or_insert_default();
                let pairs = self.pairs()?;
                for (name, value) in &pairs {
                    set(env, name, value);
                }
                joined(&pairs)
            }
            "LABEL" => {
                let pairs = self.pairs()?;
                let labels = config.labels.get_or_insert_default();
                labels.extend(pairs.iter().cloned());
                joined(&pairs)
            }
            "EXPOSE" => self.expose(config)?,
            "VOLUME" => self.volume(config)?,
            "SHELL" => {
                let words = list(rest)?.ok_or_else(|| {
                    Error::invalid("SHELL requires the arguments to be in JSON form")
                })?;
                if words.is_empty() {
                    return Err(Error::invalid("SHELL requires at least one argument"));
                }
                let said = format!("[{}]", words.join(" "));
                config.shell = Some(words);
                said
            }
            "USER" => {
                let user = self.expand(rest)?;
                config.user = Some(user.clone());
                user
            }
            "STOPSIGNAL" => {
                let text = self.expand(rest)?;
                if self.values.is_some() && signal::parse(&text).is_err() {
                    return Err(Error::invalid(format!("Invalid signal: {text}")));
                }
                config.stop_signal = Some(text.clone());
                text
            }
            "WORKDIR" => {
                let before = config.working_dir.take().unwrap_or_default();
                let path = directory(&before, &self.expand(rest)?);
                config.working_dir = Some(path.clone());
                path
            }
            "ONBUILD" => {
                check_trigger(rest)?;
                config
                    .on_build
                    .get_or_insert_default()
                    .push(rest.to_string());
                rest.to_string()
            }
            "HEALTHCHECK" => {
                let health = self.health()?;
                let said = shown(&health);
                config.healthcheck = Some(health);
                said
            }
            _ => rest.to_string(),
        };
        Ok(format!("{name} {said}"))
    }

    /// Refuse all flags but these.
    fn check_flags(&self, known: &[&str]) -> Result<()> {
        for flag in self.flags {
            let name = flag.trim_start_matches('-');
            let name = name.split('=').next().unwrap_or_default();
            if !known.contains(&name) {
                return Err(Error::invalid(format!("Unknown flag: {name}")));
            }
        }
        Ok(())
    }

    fn expand(&self, word: &str) -> Result<String> {
        match self.values {
            Some(values) => words::expand(word, self.escape, values),
            None => Ok(word.to_string()),
        }
    }

    /// A JSON list is the command itself; anything else is a line for the shell.
    fn command(&self, config: &Config) -> Result<Vec<String>> {
        if let Some(words) = list(self.rest)? {
            return Ok(words);
        }
        let mut words = shell(config);
        if !self.rest.is_empty() {
            words.push(self.rest.to_string());
        }
        Ok(words)
    }

    /// `NAME=value …` with quotes, or the old form `NAME the rest of the line`.
    fn pairs(&self) -> Result<Vec<(String, String)>> {
        let words = words::split(self.rest, self.escape);
        if !words.first().is_some_and(|word| word.contains('=')) {
            let (first, tail) = split(self.rest);
            if tail.is_empty() {
                let name = self.name;
                return Err(Error::invalid(format!("{name} must have two arguments")));
            }
            return Ok(vec![(self.expand(first)?, self.expand(tail)?)]);
        }
        let pair = |word: &String| {
            let (name, value) = word.split_once('=').ok_or_else(|| {
                Error::invalid(format!(
                    "Syntax error - can't find = in {word:?}. Must be of the form: name=value"
                ))
            })?;
            if name.is_empty() {
                let name = self.name;
                return Err(Error::invalid(format!("{name} names can not be blank")));
            }
            Ok((self.expand(name)?, self.expand(value)?))
        };
        words.iter().map(pair).collect()
    }

    fn expose(&self, config: &mut Config) -> Result<String> {
        let mut words = Vec::new();
        for word in self.rest.split_whitespace() {
            let word = self.expand(word)?;
            words.extend(word.split_whitespace().map(str::to_string));
        }
        words.sort_unstable();
        if self.values.is_some() {
            let ports = config.exposed_ports.get_or_insert_default();
            for word in &words {
                for port in ports_of(word)? {
                    ports.insert(port, Empty {});
                }
            }
        }
        Ok(words.join(" "))
    }

    fn volume(&self, config: &mut Config) -> Result<String> {
        let volumes = config.volumes.get_or_insert_default();
        let given = match list(self.rest)? {
            Some(list) => list,
            None => self.rest.split_whitespace().map(str::to_string).collect(),
        };
        let mut paths = Vec::new();
        for path in given {
            let path = self.expand(&path)?;
            if path.trim().is_empty() {
                return Err(Error::invalid(
                    "VOLUME specified can not be an empty string",
                ));
            }
            volumes.insert(path.clone(), Empty {});
            paths.push(path);
        }
        Ok(format!("[{}]", paths.join(" ")))
    }

    /// `NONE`, or `[--interval=30s …] CMD …`.
    fn health(&self) -> Result<HealthConfig> {
        let mut health = HealthConfig::default();
        let times = [
            ("interval", &mut health.interval),
            ("timeout", &mut health.timeout),
            ("start-period", &mut health.start_period),
            ("start-interval", &mut health.start_interval),
        ];
        let of = |name: &str| {
            let value = |flag: &String| {
                let rest = flag.strip_prefix("--")?.strip_prefix(name)?;
                Some(rest.strip_prefix('=')?.to_string())
            };
            self.flags.iter().find_map(value)
        };
        self.check_flags(&[
            "interval",
            "timeout",
            "start-period",
            "start-interval",
            "retries",
        ])?;
        for (name, time) in times {
            if let Some(text) = of(name) {
                *time = Some(duration(&text, name)?);
            }
        }
        if let Some(text) = of("retries") {
            let retries = text.parse::<i64>().ok().filter(|retries| *retries >= 0);
            health.retries = Some(retries.ok_or_else(|| {
                Error::invalid(format!("--retries must be a number and not {text:?}"))
            })?);
        }

        let (kind, what) = split(self.rest);
        health.test = Some(match &kind.to_ascii_uppercase()[..] {
            "NONE" if what.is_empty() => vec!["NONE".into()],
            "NONE" => return Err(Error::invalid("HEALTHCHECK NONE takes no arguments")),
            "CMD" if what.is_empty() => {
                return Err(Error::invalid("Missing command after HEALTHCHECK CMD"));
            }
            "CMD" => match list(what)? {
                Some(list) => [vec!["CMD".to_string()], list].concat(),
                None => vec!["CMD-SHELL".into(), what.into()],
            },
            kind => {
                return Err(Error::invalid(format!(
                    "Unknown type {kind:?} in HEALTHCHECK (try CMD)"
                )));
            }
        });
        Ok(health)
    }
}

/// Give a variable of an environment a value, in its old place if it has one.
pub fn set(env: &mut Vec<String>, name: &str, value: &str) {
    let entry = format!("{name}={value}");
    let is_it = |known: &&mut String| known.split('=').next() == Some(name);
    match env.iter_mut().find(is_it) {
        Some(known) => *known = entry,
        None => env.push(entry),
    }
}

fn joined(pairs: &[(String, String)]) -> String {
    let words: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
    words.join(" ")
}

/// Go's `%q` of a list.
pub fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", words.join(" "))
}

/// Go's `%q` of a pointer to a HealthConfig, which is what Docker's history has.
fn shown(health: &HealthConfig) -> String {
    let time = |time: Option<i64>| {
        let nanos = u64::try_from(time.unwrap_or(0)).unwrap_or(0);
        moment::shown(std::time::Duration::from_nanos(nanos))
    };
    let retries = health.retries.unwrap_or(0);
    let letter = match u8::try_from(retries) {
        Ok(code @ 7..=13) => format!("\\{}", char::from(b"abtnvfr"[usize::from(code - 7)])),
        Ok(code @ 32..=126) => char::from(code).to_string(),
        _ => format!("\\x{retries:02x}"),
    };
    format!(
        "&{{{} {:?} {:?} {:?} {:?} '{letter}'}}",
        quoted(health.test.as_deref().unwrap_or_default()),
        time(health.interval),
        time(health.timeout),
        time(health.start_period),
        time(health.start_interval),
    )
}

/// At least a millisecond, or 0 for the default.
fn duration(text: &str, name: &str) -> Result<i64> {
    const LEAST: i64 = 1_000_000;
    let time = match text {
        "0" => Some(0),
        text => moment::parse_duration(text),
    };
    match time {
        Some(time) if time == 0 || time >= LEAST => Ok(time),
        Some(_) => Err(Error::invalid(format!(
            "Interval {name:?} cannot be less than 1ms"
        ))),
        None => Err(Error::invalid(format!(
            "time: invalid duration {text:?} for --{name}"
        ))),
    }
}

/// What `ONBUILD` may keep for later.
fn check_trigger(rest: &str) -> Result<()> {
    match &split(rest).0.to_ascii_uppercase()[..] {
        "ONBUILD" => Err(Error::invalid(
            "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
        )),
        trigger @ ("FROM" | "MAINTAINER") => Err(Error::invalid(format!(
            "{trigger} isn't allowed as an ONBUILD trigger"
        ))),
        _ => Ok(()),
    }
}

/// `80`, `53/udp`, `8000-8010` as the ports they stand for.
fn ports_of(word: &str) -> Result<Vec<String>> {
    let invalid = || Error::invalid(format!("Invalid containerPort: {word}"));
    let (range, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(&protocol[..], "tcp" | "udp" | "sctp") {
        return Err(Error::invalid(format!("Invalid proto: {protocol}")));
    }
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let first: u16 = first.parse().map_err(|_| invalid())?;
    let last: u16 = last.parse().map_err(|_| invalid())?;
    if last < first {
        return Err(invalid());
    }
    Ok((first..=last)
        .map(|port| format!("{port}/{protocol}"))
        .collect())
}

/// A relative directory is one below the last.
pub fn directory(before: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let whole = match path.strip_prefix('/') {
        Some(_) => path.to_string(),
        None => format!("{before}/{path}"),
    };
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(changes: &[&str]) -> Config {
        let mut config = Config::default();
        for change in changes {
            apply(&mut config, change).unwrap();
        }
        config
    }

    #[test]
    fn instructions_change_the_configuration() {
        let config = applied(&[
            r#"CMD ["sh", "-l"]"#,
            "entrypoint exec top -b",
            r#"ENV A=1 B="two words" C=a\ b D='$x "y"'"#,
            "ENV OLD the rest  of it",
            "ENV A=2",
            "EXPOSE 80 53/udp 8000-8002",
            "LABEL org.x.y=z empty=",
            r#"VOLUME ["/a b", "/c"]"#,
            "VOLUME /d /e",
            "USER 1000:1000",
            "WORKDIR /srv",
            "WORKDIR ../var/./lib",
            "STOPSIGNAL SIGINT",
        ]);
        assert_eq!(config.cmd.unwrap(), ["sh", "-l"]);
        assert_eq!(config.entrypoint.unwrap(), ["/bin/sh", "-c", "exec top -b"]);
        assert_eq!(
            config.env.unwrap(),
            [
                "A=2",
                "B=two words",
                "C=a b",
                "D=$x \"y\"",
                "OLD=the rest  of it"
            ]
        );
        let ports: Vec<String> = config.exposed_ports.unwrap().keys().cloned().collect();
        assert_eq!(
            ports,
            ["53/udp", "80/tcp", "8000/tcp", "8001/tcp", "8002/tcp"]
        );
        let labels: Vec<(String, String)> = config.labels.unwrap().into_iter().collect();
        assert_eq!(
            labels,
            [
                ("empty".to_string(), String::new()),
                ("org.x.y".to_string(), "z".to_string())
            ]
        );
        let volumes: Vec<String> = config.volumes.unwrap().keys().cloned().collect();
        assert_eq!(volumes, ["/a b", "/c", "/d", "/e"]);
        assert_eq!(config.user.unwrap(), "1000:1000");
        assert_eq!(config.working_dir.unwrap(), "/var/lib");
        assert_eq!(config.stop_signal.unwrap(), "SIGINT");
    }

    #[test]
    fn health_checks_and_triggers_are_kept() {
        let config = applied(&[
            "ONBUILD RUN make",
            "ONBUILD COPY . /src",
            r#"HEALTHCHECK --interval=1m30s --timeout=1.5s --retries=3 CMD ["check", "-x"]"#,
        ]);
        assert_eq!(config.on_build.unwrap(), ["RUN make", "COPY . /src"]);
        let health = config.healthcheck.unwrap();
        assert_eq!(health.test.unwrap(), ["CMD", "check", "-x"]);
        let times = (health.interval, health.timeout, health.retries);
        assert_eq!(times, (Some(90_000_000_000), Some(1_500_000_000), Some(3)));
        let test = |line: &str| applied(&[line]).healthcheck.unwrap().test.unwrap();
        assert_eq!(test("HEALTHCHECK none"), ["NONE"]);
        assert_eq!(
            test("HEALTHCHECK --start-period=0 CMD curl -f x || exit 1"),
            ["CMD-SHELL", "curl -f x || exit 1"]
        );
    }

    #[test]
    fn nonsense_is_refused_in_dockers_words() {
        for (change, message) in [
            ("RUN ls", "run is not a valid change command"),
            ("", " is not a valid change command"),
            ("ENV", "ENV requires at least one argument"),
            ("ENV A", "ENV must have two arguments"),
            ("EXPOSE http", "Invalid containerPort: http"),
            ("EXPOSE 80/icmp", "Invalid proto: icmp"),
            ("EXPOSE 70000", "Invalid containerPort: 70000"),
            ("EXPOSE 9-8", "Invalid containerPort: 9-8"),
            ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
            (
                "onbuild onbuild RUN x",
                "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
            ),
            ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
            ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
            (
                "HEALTHCHECK curl x",
                "Unknown type \"CURL\" in HEALTHCHECK (try CMD)",
            ),
            (
                "HEALTHCHECK --interval=1 CMD x",
                "time: invalid duration \"1\" for --interval",
            ),
            ("HEALTHCHECK --every=1s CMD x", "Unknown flag: every"),
        ] {
            let error = apply(&mut Config::default(), change).unwrap_err();
            assert_eq!(error.message, message);
        }
        assert!(apply(&mut Config::default(), "ENV A=\"b").is_err());
    }
}
