//! `--change` of import and commit: instructions of a Dockerfile applied to an image's configuration.

use crate::error::{Error, Result};
use crate::json;
use crate::oci::image::{Config, Empty, HealthConfig};

/// Apply one instruction, such as `CMD ["sh"]` or `ENV A=b`.
pub fn apply(config: &mut Config, change: &str) -> Result<()> {
    let change = change.trim();
    let (instruction, rest) = change
        .split_once(char::is_whitespace)
        .unwrap_or((change, ""));
    let rest = rest.trim();
    let instruction = instruction.to_ascii_uppercase();
    if !matches!(
        &instruction[..],
        "CMD"
            | "ENTRYPOINT"
            | "ENV"
            | "EXPOSE"
            | "LABEL"
            | "ONBUILD"
            | "HEALTHCHECK"
            | "USER"
            | "VOLUME"
            | "WORKDIR"
            | "STOPSIGNAL"
    ) {
        return Err(Error::invalid(format!(
            "{} is not a valid change command",
            instruction.to_ascii_lowercase()
        )));
    }
    if rest.is_empty() && !matches!(&instruction[..], "CMD" | "ENTRYPOINT") {
        return Err(Error::invalid(format!(
            "{instruction} requires at least one argument"
        )));
    }
    match &instruction[..] {
        "CMD" => config.cmd = Some(command(rest)),
        "ENTRYPOINT" => config.entrypoint = Some(command(rest)),
        "ENV" => {
            let env = config.env.get_or_insert_default();
            for (name, value) in pairs(rest, &instruction)? {
                env.retain(|known| known.split('=').next() != Some(&name));
                env.push(format!("{name}={value}"));
            }
        }
        "LABEL" => {
            let labels = config.labels.get_or_insert_default();
            labels.extend(pairs(rest, &instruction)?);
        }
        "EXPOSE" => {
            let ports = config.exposed_ports.get_or_insert_default();
            for word in words(rest)? {
                for port in ports_of(&word)? {
                    ports.insert(port, Empty {});
                }
            }
        }
        "VOLUME" => {
            let volumes = config.volumes.get_or_insert_default();
            let paths = match json::parse::<Vec<String>>(rest, "VOLUME") {
                Ok(list) => list,
                Err(_) => words(rest)?,
            };
            for path in paths {
                if path.trim().is_empty() {
                    return Err(Error::invalid(
                        "VOLUME specified can not be an empty string",
                    ));
                }
                volumes.insert(path, Empty {});
            }
        }
        "USER" => config.user = Some(rest.to_string()),
        "STOPSIGNAL" => config.stop_signal = Some(rest.to_string()),
        "WORKDIR" => {
            let before = config.working_dir.take().unwrap_or_default();
            config.working_dir = Some(directory(&before, rest));
        }
        "ONBUILD" => {
            let trigger = rest.split_whitespace().next().unwrap_or_default();
            match &trigger.to_ascii_uppercase()[..] {
                "ONBUILD" => {
                    return Err(Error::invalid(
                        "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
                    ));
                }
                trigger @ ("FROM" | "MAINTAINER") => {
                    return Err(Error::invalid(format!(
                        "{trigger} isn't allowed as an ONBUILD trigger"
                    )));
                }
                _ => {}
            }
            config
                .on_build
                .get_or_insert_default()
                .push(rest.to_string());
        }
        _ => config.healthcheck = Some(health(rest)?),
    }
    Ok(())
}

/// `NONE`, or `[--interval=30s …] CMD …`.
fn health(rest: &str) -> Result<HealthConfig> {
    let mut health = HealthConfig::default();
    let mut rest = rest;
    while let Some(option) = rest.strip_prefix("--") {
        let (option, after) = option
            .split_once(char::is_whitespace)
            .unwrap_or((option, ""));
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let time = || {
            duration(value).ok_or_else(|| {
                Error::invalid(format!("time: invalid duration {value:?} for --{name}"))
            })
        };
        match name {
            "interval" => health.interval = Some(time()?),
            "timeout" => health.timeout = Some(time()?),
            "start-period" => health.start_period = Some(time()?),
            "start-interval" => health.start_interval = Some(time()?),
            "retries" => {
                let retries = value.parse::<i64>().ok().filter(|retries| *retries >= 0);
                health.retries = Some(retries.ok_or_else(|| {
                    Error::invalid(format!("--retries must be a number and not {value:?}"))
                })?);
            }
            _ => return Err(Error::invalid(format!("unknown flag: {name}"))),
        }
        rest = after.trim_start();
    }
    let (kind, what) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let what = what.trim();
    health.test = Some(match &kind.to_ascii_uppercase()[..] {
        "NONE" if what.is_empty() => vec!["NONE".into()],
        "NONE" => return Err(Error::invalid("HEALTHCHECK NONE takes no arguments")),
        "CMD" if what.is_empty() => {
            return Err(Error::invalid("missing command after HEALTHCHECK CMD"));
        }
        "CMD" => match json::parse::<Vec<String>>(what, "command") {
            Ok(list) => [vec!["CMD".to_string()], list].concat(),
            Err(_) => vec!["CMD-SHELL".into(), what.into()],
        },
        _ => {
            return Err(Error::invalid(format!(
                "unknown type {kind:?} in HEALTHCHECK (try CMD)"
            )));
        }
    });
    Ok(health)
}

/// Go's notation, such as `1m30s` or `1.5s`, in nanoseconds. At least a millisecond, or 0 for the
/// default.
fn duration(text: &str) -> Option<i64> {
    const UNITS: [(&str, u64); 7] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    const LEAST: i64 = 1_000_000;
    if text == "0" {
        return Some(0);
    }
    let mut total = 0u64;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        // Nine digits are as many as a nanosecond has of an hour, give or take.
        let fraction = fraction.get(..fraction.len().min(9))?;
        let part: u64 = fraction.parse().ok()?;
        let part = u128::from(part) * u128::from(*nanos) / 10u128.pow(fraction.len() as u32);
        let whole: u64 = whole.parse().ok()?;
        total = total
            .checked_add(whole.checked_mul(*nanos)?)?
            .checked_add(u64::try_from(part).ok()?)?;
        rest = after;
    }
    i64::try_from(total).ok().filter(|total| *total >= LEAST)
}

/// A JSON list is the command itself; anything else is a line for the shell.
fn command(rest: &str) -> Vec<String> {
    if let Ok(list) = json::parse(rest, "command") {
        return list;
    }
    if rest.is_empty() {
        return Vec::new();
    }
    vec!["/bin/sh".into(), "-c".into(), rest.into()]
}

/// `NAME=value …` with quotes, or the old form `NAME the rest of the line`.
fn pairs(rest: &str, instruction: &str) -> Result<Vec<(String, String)>> {
    let (first, tail) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    if !first.contains('=') {
        if tail.is_empty() {
            return Err(Error::invalid(format!(
                "{instruction} must have two arguments"
            )));
        }
        return Ok(vec![(first.to_string(), tail.trim().to_string())]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_string(), value.to_string())),
        _ => Err(Error::invalid(format!(
            "Syntax error - can't find = in {word:?}. Must be of the form: name=value"
        ))),
    };
    words(rest)?.into_iter().map(pair).collect()
}

/// Split at white space, outside of quotes; a backslash takes the next character as it is.
fn words(text: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(q), c) if q == c => quote = None,
            (None | Some('"'), '\\') => {
                let next = characters.next();
                word.get_or_insert_default().extend(next);
            }
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(Error::invalid(format!(
            "unexpected end of statement while looking for matching quote in {text:?}"
        )));
    }
    words.extend(word);
    Ok(words)
}

/// `80`, `53/udp`, `8000-8010` as the ports they stand for.
fn ports_of(word: &str) -> Result<Vec<String>> {
    let invalid = || Error::invalid(format!("invalid containerPort: {word}"));
    let (range, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(&protocol[..], "tcp" | "udp" | "sctp") {
        return Err(Error::invalid(format!("invalid proto: {protocol}")));
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
fn directory(before: &str, path: &str) -> String {
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
                "B=two words",
                "C=a b",
                "D=$x \"y\"",
                "OLD=the rest  of it",
                "A=2"
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
            ("EXPOSE http", "invalid containerPort: http"),
            ("EXPOSE 80/icmp", "invalid proto: icmp"),
            ("EXPOSE 70000", "invalid containerPort: 70000"),
            ("EXPOSE 9-8", "invalid containerPort: 9-8"),
            ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
            (
                "onbuild onbuild RUN x",
                "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
            ),
            ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
            ("HEALTHCHECK CMD", "missing command after HEALTHCHECK CMD"),
            (
                "HEALTHCHECK curl x",
                "unknown type \"curl\" in HEALTHCHECK (try CMD)",
            ),
            (
                "HEALTHCHECK --interval=1 CMD x",
                "time: invalid duration \"1\" for --interval",
            ),
            ("HEALTHCHECK --every=1s CMD x", "unknown flag: every"),
        ] {
            let error = apply(&mut Config::default(), change).unwrap_err();
            assert_eq!(error.message, message);
        }
        assert!(apply(&mut Config::default(), "ENV A=\"b").is_err());
    }
}
