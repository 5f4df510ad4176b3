//! `tug completion SHELL`: what makes a shell complete our command lines.
//!
//! The script asks us each time: `tug __complete WORDS`, the last word being the one that is
//! typed. All answers come out of the table of verbs: their names, options, and usage lines, whose
//! words say what an argument is. A line is a word, a tab and what it means; `:files` alone asks
//! the shell for names of files.

use super::config::Config;
use super::options::{Flag, Options, Tables, Verb};
use super::remote::{Engine, parse};
use super::tls::Tls;
use super::{GLOBAL, GROUPS, VERBS, find, is_group, print};
use crate::error::{Error, Result};
use crate::id;
use std::ffi::OsString;

pub const VERB: Verb = Verb {
    names: &["completion"],
    usage: "bash|fish|zsh",
    about: "Generate the autocompletion script for a shell",
    flags: &[&[]],
    args: (1, 1),
    has_command: false,
    main,
};

const BASH: &str = r#"# bash completion for NAME: source <(NAME completion bash)
_NAME() {
    local line=${COMP_LINE:0:COMP_POINT} words word about behind
    read -ra words <<<"$line"
    case $line in *[[:blank:]]) words+=("") ;; esac
    COMPREPLY=()
    # Bash splits words at colons too and wants what is behind the last.
    behind=${words[-1]##*[:=]}
    while IFS=$'\t' read -r word about; do
        case $word in
        :files) compopt -o default 2>/dev/null ;;
        ?*) COMPREPLY+=("${word#"${words[-1]%"$behind"}"}") ;;
        esac
    done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
    [[ ${COMPREPLY[0]-} == *: ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -F _NAME NAME
"#;

const FISH: &str = r#"# fish completion for NAME: NAME completion fish | source
function __NAME_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in ($words[1] __complete $words[2..-1] 2>/dev/null)
        switch $line
            case ':files'
                __fish_complete_path (commandline -ct)
            case '*'
                printf '%s\n' $line
        end
    end
end
complete -c NAME -f -a '(__NAME_complete)'
"#;

const ZSH: &str = r#"#compdef NAME
# zsh completion for NAME: source <(NAME completion zsh)
_NAME() {
    local line
    local -a items
    for line in "${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        case $line in
        :files) _files; return ;;
        ?*) items+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
        esac
    done
    _describe NAME items
}
compdef _NAME NAME
"#;

fn main(_: &Engine, options: &Options) -> Result<u8> {
    let script = match options.args[0].as_str() {
        "bash" => BASH,
        "fish" => FISH,
        "zsh" => ZSH,
        shell => {
            return Err(Error::invalid(format!(
                "no completion for {shell:?}: there is bash, fish and zsh"
            )));
        }
    };
    // For the name that was typed: `docker` may be another program's.
    let called = std::env::args_os().next().unwrap_or_default();
    let name = match called.to_string_lossy().rsplit('/').next() {
        Some("docker") => "docker",
        _ => "tug",
    };
    print::out(script.replace("NAME", name))?;
    Ok(0)
}

/// `__complete`: print what may stand for the last of `args`.
pub fn complete(args: &[OsString]) -> Result<u8> {
    let words: Vec<String> = args
        .iter()
        .map(|arg| arg.to_string_lossy().into())
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut text = String::new();
    for (word, about) in candidates(&words) {
        match word.as_str() {
            FILES => text.push_str(&format!("{FILES}\n")),
            word => text.push_str(&format!("{word}\t{about}\n")),
        }
    }
    print::out(text)?;
    Ok(0)
}

const FILES: &str = ":files";

/// Words and what they mean.
type Candidates = Vec<(String, String)>;

fn candidates(words: &[&str]) -> Candidates {
    let (typed, before) = words.split_last().unwrap_or((&"", &[]));
    let global = Line::read(GLOBAL, true, before);
    let rest = before.get(global.count..).unwrap_or_default();
    let all = if global.count < before.len() {
        match find(rest) {
            Some((verb, count)) => of_verb(verb, &rest[count..], typed, &global),
            None => of_group(rest),
        }
    } else {
        match global.waiting {
            Some(flag) => of_value(flag, &global),
            None if typed.starts_with('-') => of_flags(GLOBAL),
            None => of_nothing(),
        }
    };
    let fits = |word: &str| word == FILES || word.starts_with(typed);
    all.into_iter().filter(|(word, _)| fits(word)).collect()
}

/// What stands in front of the typed word, as far as a table of options knows it.
struct Line {
    /// How many words are options and their values, up to the first argument.
    count: usize,
    arguments: usize,
    /// The option that the typed word is the value of.
    waiting: Option<&'static Flag>,
    /// `-H`, `--host` and its like, with values.
    given: Vec<(&'static Flag, String)>,
}

impl Line {
    fn read(flags: Tables, has_command: bool, words: &[&str]) -> Line {
        let mut line = Line {
            count: 0,
            arguments: 0,
            waiting: None,
            given: Vec::new(),
        };
        for word in words {
            if let Some(flag) = line.waiting.take() {
                line.given.push((flag, word.to_string()));
            } else if word.len() > 1 && word.starts_with('-') && !word.contains('=') {
                let mut all = flags.iter().copied().flatten();
                let is_it = |flag: &&Flag| match word.strip_prefix("--") {
                    Some(long) => flag.long() == long,
                    // `-itv` waits for what `-v` waits for.
                    None => word.chars().last().is_some_and(|c| flag.is_short(c)),
                };
                line.waiting = all.find(is_it).filter(|flag| !flag.is_switch());
            } else if !word.starts_with('-') {
                line.arguments += 1;
            }
            if has_command && line.arguments > 0 {
                break;
            }
            line.count += usize::from(line.arguments == 0);
        }
        line
    }

    fn value(&self, long: &str) -> Option<&str> {
        let found = self.given.iter().rfind(|(flag, _)| flag.long() == long);
        found.map(|(_, value)| value.as_str())
    }
}

fn pair(word: impl Into<String>, about: &str) -> (String, String) {
    (word.into(), about.to_string())
}

fn of_nothing() -> Candidates {
    let verbs = VERBS.iter().filter(|verb| !verb.names[0].contains(' '));
    let verbs = verbs.map(|verb| pair(verb.names[0], verb.about));
    let groups = GROUPS.iter().map(|(name, about)| pair(*name, about));
    verbs.chain(groups).collect()
}

fn of_group(words: &[&str]) -> Candidates {
    let [group] = words else {
        return Vec::new();
    };
    if !is_group(group) {
        return Vec::new();
    }
    let mut all = Vec::new();
    for verb in VERBS {
        let own = verb
            .names
            .iter()
            .find_map(|name| name.strip_prefix(group)?.strip_prefix(' '));
        all.extend(own.map(|name| pair(name, verb.about)));
    }
    all
}

fn of_verb(verb: &Verb, words: &[&str], typed: &str, global: &Line) -> Candidates {
    let line = Line::read(verb.flags, verb.has_command, words);
    let is_behind_command = verb.has_command && line.arguments > 0;
    match line.waiting {
        Some(flag) => of_value(flag, global),
        None if typed.starts_with('-') && !is_behind_command => of_flags(verb.flags),
        None => of_argument(
            verb,
            line.arguments.max(arguments(verb, words)),
            typed,
            global,
        ),
    }
}

/// How many arguments are there, of a command line within as well.
fn arguments(verb: &Verb, words: &[&str]) -> usize {
    match verb.has_command {
        true => words.len() - Line::read(verb.flags, true, words).count,
        false => 0,
    }
}

fn of_flags(flags: Tables) -> Candidates {
    let mut all: Candidates = Vec::new();
    for flag in flags.iter().copied().flatten() {
        all.push(pair(format!("--{}", flag.long()), flag.about));
    }
    all.push(pair("--help", "Print usage"));
    all
}

/// Those that the help text has in quotes: `("always", "missing", "never")`. Else it may be a file.
fn of_value(flag: &Flag, global: &Line) -> Candidates {
    if flag.long() == "network" {
        return networks(global);
    }
    let quoted = flag.about.split('"').skip(1).step_by(2);
    let mut all: Candidates = Vec::new();
    for word in quoted {
        if !all.iter().any(|(known, _)| known == word) {
            all.push(pair(word, ""));
        }
    }
    if all.is_empty() {
        all.push(pair(FILES, ""));
    }
    all
}

/// By the word for argument number `n` in the usage line: `[OPTIONS] CONTAINER [CONTAINER...]`.
fn of_argument(verb: &Verb, n: usize, typed: &str, global: &Line) -> Candidates {
    let words = verb.usage.split(' ').filter(|word| *word != "[OPTIONS]");
    let words: Vec<&str> = words
        .map(|word| word.trim_matches(['[', ']', '.']))
        .collect();
    let is_list = verb.usage.ends_with("...]") || verb.usage.ends_with("...");
    let word = match words.get(n) {
        Some(word) => *word,
        None if is_list => words.last().unwrap_or(&""),
        None => return Vec::new(),
    };
    match word {
        "CONTAINER" => containers(verb, typed, global, ""),
        "IMAGE" | "OLD" | "NEW" | "REPOSITORY:TAG" => images(global),
        // A name for a new one is nobody's to know.
        "NETWORK" if verb.about.starts_with("Create") => Vec::new(),
        "NETWORK" => networks(global),
        "VOLUME" if verb.about.starts_with("Create") => Vec::new(),
        "VOLUME" => volumes(global),
        "NAME|ID" => {
            let mut all = containers(verb, typed, global, "");
            all.extend(images(global));
            all
        }
        word if word.contains("CONTAINER:") => {
            let mut all = containers(verb, typed, global, ":");
            all.push(pair(FILES, ""));
            all
        }
        word if word.bytes().all(|b| b == b'|' || b.is_ascii_lowercase()) && word.contains('|') => {
            word.split('|').map(|word| pair(word, "")).collect()
        }
        _ => vec![pair(FILES, "")],
    }
}

fn ask(global: &Line, path: &str) -> Result<String> {
    let config = Config::load(global.value("config"))?;
    let tls = Tls::new(&|long| global.value(long))?;
    Engine::new(global.value("host"), config, &tls)?.text(path)
}

/// Names, and ids where one begins as typed: of those that the verb is for, by what it says of
/// itself ("Stop one or more running containers").
fn containers(verb: &Verb, typed: &str, global: &Line, behind: &str) -> Candidates {
    let answer = ask(global, "/containers/json?all=1").unwrap_or_default();
    let mut all = Vec::new();
    for container in parse(&answer).map_or(Vec::new(), |list| list.items()) {
        let is_running = container.at("State").text() == "running";
        if verb.about.contains("running container") && !is_running
            || verb.about.contains("stopped container") && is_running
        {
            continue;
        }
        let image = container.at("Image").text();
        for name in container.at("Names").items() {
            let name = name.text();
            all.push(pair(
                format!("{}{behind}", name.trim_start_matches('/')),
                &image,
            ));
        }
        let id = container.at("Id").text();
        if !typed.is_empty() && id.starts_with(typed) {
            all.push(pair(format!("{}{behind}", id::short(&id)), &image));
        }
    }
    all
}

fn networks(global: &Line) -> Candidates {
    let answer = ask(global, "/networks").unwrap_or_default();
    let mut all = Vec::new();
    for network in parse(&answer).map_or(Vec::new(), |list| list.items()) {
        all.push(pair(
            network.at("Name").text(),
            &network.at("Driver").text(),
        ));
    }
    all
}

fn volumes(global: &Line) -> Candidates {
    let answer = ask(global, "/volumes").unwrap_or_default();
    let mut all = Vec::new();
    for volume in parse(&answer).map_or(Vec::new(), |answer| answer.at("Volumes").items()) {
        all.push(pair(volume.at("Name").text(), &volume.at("Driver").text()));
    }
    all
}

fn images(global: &Line) -> Candidates {
    let answer = ask(global, "/images/json").unwrap_or_default();
    let mut all = Vec::new();
    for image in parse(&answer).map_or(Vec::new(), |list| list.items()) {
        for tag in image.at("RepoTags").items() {
            all.push(pair(tag.text(), ""));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> String {
        let line: Vec<&str> = line.split(' ').collect();
        let words: Vec<String> = candidates(&line)
            .into_iter()
            .map(|(word, _)| word)
            .collect();
        words.join(" ")
    }

    #[test]
    fn verbs_options_and_values_come_from_the_tables() {
        for (line, expected) in [
            ("resta", "restart"),
            ("-D sto", "stop store"),
            ("-H x --config y sto", "stop store"),
            ("--log-l", "--log-level"),
            ("--log-level in", "info"),
            ("sy", "system"),
            ("container unk", ""),
            ("container sto", "stop"),
            ("image lo", "load"),
            ("stop --ti", "--timeout"),
            ("stop --timeout ", ":files"),
            ("container stop --he", "--help"),
            ("run --pull mi", "missing"),
            ("run -it --pull n", "never"),
            ("run -e A=b image -", ":files"),
            ("network disc", "disconnect"),
            ("network create --driver m", "macvlan"),
            ("network create ", ""),
            ("volume in", "inspect"),
            ("volume create ", ""),
            ("load --inp", "--input"),
            ("load --input x", ":files"),
            ("completion z", "zsh"),
            ("ps x", ""),
            ("nope x", ""),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
        assert!(words("").split(' ').any(|word| word == "container"));
        assert!(words("run -").split(' ').count() > 50);
    }

    #[test]
    fn without_an_engine_there_are_no_names() {
        for line in [
            "-H unix:///nonexistent/s stop ",
            "-H unix:///nonexistent/s run ",
        ] {
            assert_eq!(words(line), "", "{line}");
        }
    }
}
