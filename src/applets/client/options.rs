//! Command lines by table: a row per option, a row per verb, and the help text out of both.
//!
//! Reads what Docker's client reads (its library is pflag): `--name value`, `--name=value`, `-itd`,
//! `-eA=b`, `--rm=false`; and says the same about what it cannot read.

use super::print::wrap;
use super::remote::Engine;
use crate::applets::client::create::Place;
use crate::error::{Error, Kind, Result};
use std::ffi::OsString;
use std::num::{IntErrorKind, ParseIntError};

/// One option.
pub struct Flag {
    /// As help shows it: `-e, --env list`, `--rm`. The last word, where there is one behind the
    /// name, says what the value is; an option without it is a switch.
    head: &'static str,
    pub about: &'static str,
    /// Where the value goes, for the options of `create`.
    pub place: Place,
}

pub const fn flag(head: &'static str, about: &'static str) -> Flag {
    Flag {
        head,
        about,
        place: Place::Kept,
    }
}

impl Flag {
    pub const fn into(self, place: Place) -> Flag {
        Flag { place, ..self }
    }

    /// As Docker's messages name it: `-m, --memory`.
    fn name(&self) -> &'static str {
        match self.head.rsplit_once(' ') {
            Some((name, value)) if !value.starts_with('-') => name,
            _ => self.head,
        }
    }

    pub fn long(&self) -> &'static str {
        self.name().rsplit("--").next().unwrap_or_default()
    }

    pub fn is_short(&self, letter: char) -> bool {
        let mut short = self.head.chars().skip(1);
        short.next() == Some(letter) && short.next() == Some(',')
    }

    pub fn is_switch(&self) -> bool {
        self.name().len() == self.head.len()
    }

    /// A value that does not fit.
    pub fn invalid(&self, value: &str, why: impl std::fmt::Display) -> Error {
        let name = self.name();
        usage(format!(
            "invalid argument {value:?} for {name:?} flag: {why}"
        ))
    }

    pub fn integer(&self, value: &str) -> Result<i64> {
        parse_integer(value).map_err(|error| self.invalid(value, error))
    }

    pub fn boolean(&self, value: &str) -> Result<bool> {
        parse_boolean(value).ok_or_else(|| {
            self.invalid(
                value,
                format_args!("strconv.ParseBool: parsing {value:?}: invalid syntax"),
            )
        })
    }
}

/// Go's ParseInt, with its words, which Docker's users know.
pub fn parse_integer(text: &str) -> Result<i64> {
    text.parse()
        .map_err(|why| not_parsed("ParseInt", text, &why))
}

/// Go's ParseUint.
pub fn parse_u16(text: &str) -> Result<u16> {
    let number = text.strip_prefix('+').map_or(text, |_| "");
    number
        .parse()
        .map_err(|why| not_parsed("ParseUint", text, &why))
}

fn not_parsed(function: &str, text: &str, why: &ParseIntError) -> Error {
    let why = match why.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    Error::invalid(format!("strconv.{function}: parsing {text:?}: {why}"))
}

/// Go's ParseBool.
pub fn parse_boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Tables of options; more than one where verbs share some.
pub type Tables = &'static [&'static [Flag]];

/// One verb: all that parsing and help need to know.
pub struct Verb {
    /// First the name of its own, if it has one, then the forms with a group: `container ls`.
    pub names: &'static [&'static str],
    /// What follows the name in the usage line.
    pub usage: &'static str,
    pub about: &'static str,
    pub flags: Tables,
    /// The least and the most arguments.
    pub args: (usize, usize),
    /// Whether options end at the first argument, because the rest is a command line of its own.
    pub has_command: bool,
    pub main: fn(&Engine, &Options) -> Result<u8>,
}

pub const ANY: usize = usize::MAX;

/// What was typed.
pub struct Options {
    given: Vec<(&'static Flag, String)>,
    pub args: Vec<String>,
}

impl Options {
    /// For commands that are no verbs of the client's. `--help` is among what is given.
    pub fn read(flags: Tables, has_command: bool, args: &[OsString]) -> Result<Options> {
        let (given, args) = read(flags, has_command, args)?;
        Ok(Options { given, args })
    }

    /// Add what stood elsewhere on the same command line; its arguments take the place of ours.
    pub fn append(&mut self, other: Options) {
        self.given.extend(other.given);
        self.args = other.args;
    }

    pub fn get(&self, long: &str) -> Option<&str> {
        self.all(long).last()
    }

    pub fn all<'a>(&'a self, long: &str) -> impl Iterator<Item = &'a str> {
        self.given
            .iter()
            .filter(move |(flag, _)| flag.long() == long)
            .map(|(_, value)| value.as_str())
    }

    /// Whether a switch is on.
    pub fn is(&self, long: &str) -> bool {
        self.get(long) == Some("true")
    }

    pub fn integer(&self, long: &str) -> Result<Option<i64>> {
        let given = self.given.iter().rfind(|(flag, _)| flag.long() == long);
        given.map(|(flag, value)| flag.integer(value)).transpose()
    }

    /// Have `value` for an option that was not given; nothing where the verb has no such option.
    pub fn set_default(&mut self, verb: &'static Verb, long: &str, value: String) {
        let mut flags = verb.flags.iter().copied().flatten();
        if let Some(flag) = flags.find(|flag| flag.long() == long)
            && self.get(long).is_none()
        {
            self.given.push((flag, value));
        }
    }

    /// Every option in the order of the command line.
    pub fn given(&self) -> impl Iterator<Item = (&'static Flag, &str)> {
        self.given
            .iter()
            .map(|(flag, value)| (*flag, value.as_str()))
    }
}

pub fn usage(message: impl Into<String>) -> Error {
    Error::new(Kind::Usage, message)
}

/// An argument as text: JSON, and so the engine, knows no other.
pub fn text(arg: &OsString) -> Result<&str> {
    arg.to_str()
        .ok_or_else(|| usage(format!("argument {arg:?} is not UTF-8")))
}

/// The options given, and the arguments.
type Read = (Vec<(&'static Flag, String)>, Vec<String>);

/// Read a verb's command line.
pub fn parse(verb: &Verb, args: &[OsString]) -> Result<Options> {
    let (given, args) = read(verb.flags, verb.has_command, args)?;
    if given
        .iter()
        .any(|(flag, value)| flag.long() == "help" && value == "true")
    {
        return Err(Error::new(Kind::Help, help(verb)));
    }
    let (least, most) = verb.args;
    if args.len() < least || args.len() > most {
        return Err(Error::invalid(format!(
            "'tug {}' {}\n\n{}",
            verb.names[0],
            wanted(least, most),
            hint(verb)
        )));
    }
    Ok(Options { given, args })
}

fn wanted(least: usize, most: usize) -> String {
    let (word, count) = match (least, most) {
        (_, 0) => return "accepts no arguments".to_string(),
        (least, most) if least == most => ("requires", least),
        (0, most) => ("requires at most", most),
        (least, _) => ("requires at least", least),
    };
    let s = if count == 1 { "" } else { "s" };
    format!("{word} {count} argument{s}")
}

/// The usage line, for an error of usage.
pub fn hint(verb: &Verb) -> String {
    let name = verb.names[0];
    format!(
        "Usage:  tug {name} {}\n\nRun 'tug {name} --help' for more information",
        verb.usage
    )
}

/// Every command has it; it is left out of the tables and the help text.
static HELP: Flag = flag("--help", "");

/// Split `args` into options and arguments.
pub fn read(flags: Tables, has_command: bool, args: &[OsString]) -> Result<Read> {
    let mut given = Vec::new();
    let mut rest = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let arg = text(arg)?;
        if let Some(long) = arg.strip_prefix("--").filter(|long| !long.is_empty()) {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (long, None),
            };
            let flag =
                find_long(flags, name).ok_or_else(|| usage(format!("unknown flag: --{name}")))?;
            let needs = || usage(format!("flag needs an argument: --{name}"));
            given.push(take(flag, value, &mut args, needs)?);
        } else if arg.len() > 1 && arg.starts_with('-') && arg != "--" {
            read_shorts(flags, arg, &mut args, &mut given)?;
        } else {
            if arg != "--" {
                rest.push(arg.to_string());
            }
            if arg == "--" || has_command {
                for arg in args.by_ref() {
                    rest.push(text(arg)?.to_string());
                }
            }
        }
    }
    Ok((given, rest))
}

/// `-d`, `-it`, `-eA=b`, `-e=A=b`, `-t=false`.
fn read_shorts(
    flags: Tables,
    arg: &str,
    args: &mut std::slice::Iter<'_, OsString>,
    given: &mut Vec<(&'static Flag, String)>,
) -> Result<()> {
    let mut letters = arg[1..].chars();
    while let Some(letter) = letters.next() {
        // Docker keeps -h for the host name where there is one.
        let flag = flags
            .iter()
            .copied()
            .flatten()
            .find(|flag| flag.is_short(letter))
            .or((letter == 'h').then_some(&HELP))
            .ok_or_else(|| usage(format!("unknown shorthand flag: {letter:?} in {arg}")))?;
        let rest = letters.as_str();
        let value = match rest.strip_prefix('=') {
            Some(value) => Some(value),
            None if flag.is_switch() || rest.is_empty() => None,
            None => Some(rest),
        };
        let needs = || usage(format!("flag needs an argument: {letter:?} in {arg}"));
        given.push(take(flag, value, args, needs)?);
        if value.is_some() {
            break;
        }
    }
    Ok(())
}

fn find_long(flags: Tables, name: &str) -> Option<&'static Flag> {
    // Docker's old or hidden spellings.
    let name = match name {
        "net" => "network",
        "net-alias" => "network-alias",
        "dns-opt" => "dns-option",
        "time" => "timeout",
        name => name,
    };
    flags
        .iter()
        .copied()
        .flatten()
        .find(|flag| flag.long() == name)
        .or((name == "help").then_some(&HELP))
}

fn take(
    flag: &'static Flag,
    value: Option<&str>,
    args: &mut std::slice::Iter<'_, OsString>,
    needs: impl FnOnce() -> Error,
) -> Result<(&'static Flag, String)> {
    if flag.is_switch() {
        let value = value.map_or(Ok(true), |value| flag.boolean(value))?;
        return Ok((flag, value.to_string()));
    }
    let value = match value {
        Some(value) => value,
        None => text(args.next().ok_or_else(needs)?)?,
    };
    Ok((flag, value.to_string()))
}

/// The whole help text of a verb.
pub fn help(verb: &Verb) -> String {
    let name = verb.names[0];
    let mut text = format!("Usage:  tug {name} {}\n\n{}\n", verb.usage, verb.about);
    if verb.names.len() > 1 {
        let mut aliases: Vec<String> = Vec::new();
        aliases.extend(verb.names.iter().map(|name| format!("tug {name}")));
        text.push_str("\nAliases:\n");
        wrap(&mut text, 2, &aliases.join(", "));
    }
    if verb.flags.iter().any(|table| !table.is_empty()) {
        text.push_str("\nOptions:\n");
        list_flags(&mut text, verb.flags);
    }
    text
}

/// A line or more per option, within 80 columns.
pub fn list_flags(text: &mut String, flags: &[&[Flag]]) {
    // Names without a letter stand where the others have theirs.
    let indent = |flag: &Flag| if flag.head.starts_with("--") { 6 } else { 2 };
    let width = flags
        .iter()
        .copied()
        .flatten()
        .map(|flag| indent(flag) + flag.head.len())
        .max()
        .unwrap_or(0)
        + 3;
    let mut sorted: Vec<&Flag> = flags.iter().copied().flatten().collect();
    sorted.sort_by_key(|flag| flag.long());
    for flag in sorted {
        let indent = indent(flag);
        let rest = width - indent;
        text.push_str(&format!("{:indent$}{:<rest$}", "", flag.head));
        wrap(text, width, flag.about);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        flag("-i, --interactive", "Keep stdin open"),
        flag("-t, --tty", "Have a terminal"),
        flag("--rm", "Remove"),
        flag("-e, --env list", "Set environment variables"),
        flag("-h, --hostname string", "Host name"),
        flag("--timeout int", "Seconds"),
    ];

    fn typed(has_command: bool, line: &str) -> Result<Read> {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        read(&[FLAGS], has_command, &args)
    }

    fn seen(has_command: bool, line: &str) -> String {
        match typed(has_command, line) {
            Ok((given, rest)) => {
                let given: Vec<String> = given
                    .iter()
                    .map(|(flag, value)| format!("{}={value}", flag.long()))
                    .collect();
                format!("{} | {}", given.join(" "), rest.join(" "))
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn options_are_read_as_docker_reads_them() {
        for (line, expected) in [
            ("-it a", "interactive=true tty=true | a"),
            ("-eA=b -e=C=d -e E a", "env=A=b env=C=d env=E | a"),
            ("-ite A a", "interactive=true tty=true env=A | a"),
            ("--env=A=b --env C --rm a", "env=A=b env=C rm=true | a"),
            ("--rm=false -t=0 a", "rm=false tty=false | a"),
            ("a -i -- -t", "interactive=true | a -t"),
            ("a - -i", "interactive=true | a -"),
            ("-h web --time 3", "hostname=web timeout=3 | "),
            ("--help", "help=true | "),
        ] {
            assert_eq!(seen(false, line), expected, "{line}");
        }
    }

    #[test]
    fn a_command_keeps_its_own_options() {
        assert_eq!(
            seen(true, "-i a sh -t -- -x"),
            "interactive=true | a sh -t -- -x"
        );
        assert_eq!(seen(true, "-i -- a -t"), "interactive=true | a -t");
    }

    #[test]
    fn mistakes_are_told_in_dockers_words() {
        for (line, expected) in [
            ("--foo", "unknown flag: --foo"),
            ("--foo=bar", "unknown flag: --foo"),
            ("-iz", "unknown shorthand flag: 'z' in -iz"),
            ("--env", "flag needs an argument: --env"),
            ("-ie", "flag needs an argument: 'e' in -ie"),
            (
                "--rm=maybe",
                "invalid argument \"maybe\" for \"--rm\" flag: \
                 strconv.ParseBool: parsing \"maybe\": invalid syntax",
            ),
        ] {
            assert_eq!(seen(false, line), expected, "{line}");
        }
    }

    #[test]
    fn help_lists_options_in_columns() {
        let mut text = String::new();
        list_flags(&mut text, &[&FLAGS[2..4]]);
        assert_eq!(
            text,
            "  -e, --env list   Set environment variables\n      --rm         Remove\n"
        );
    }
}
