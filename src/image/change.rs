//! `--change` of import: instructions of a Dockerfile applied to an image's configuration.

use crate::error::{Error, Result};
use crate::json;
use crate::oci::image::{Config, Empty};

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
        _ => {
            return Err(Error::unsupported(format!(
                "{instruction} is not supported yet"
            )));
        }
    }
    Ok(())
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
        let ports: Vec<String> = config.exposed_ports.unwrap().into_keys().collect();
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
        let volumes: Vec<String> = config.volumes.unwrap().into_keys().collect();
        assert_eq!(volumes, ["/a b", "/c", "/d", "/e"]);
        assert_eq!(config.user.unwrap(), "1000:1000");
        assert_eq!(config.working_dir.unwrap(), "/var/lib");
        assert_eq!(config.stop_signal.unwrap(), "SIGINT");
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
            ("ONBUILD RUN x", "ONBUILD is not supported yet"),
        ] {
            let error = apply(&mut Config::default(), change).unwrap_err();
            assert_eq!(error.message, message);
        }
        assert!(apply(&mut Config::default(), "ENV A=\"b").is_err());
    }
}
