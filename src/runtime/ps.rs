//! Processes as the host's `ps` shows them, read from /proc: small systems have no `ps`, or one that
//! knows no options. Times of day are in UTC.

use crate::error::{Error, Kind, Result};
use crate::sys::machine::{self, TICKS_PER_SECOND};
use crate::sys::process;
use crate::time::Time;
use std::os::unix::fs::MetadataExt;

/// What the columns show of one process.
struct Process {
    pid: i32,
    uid: u32,
    gid: u32,
    /// Its short name.
    name: String,
    /// Its command line; the name in brackets where it has none.
    command: String,
    /// From the third on (proc_pid_stat(5)): the state.
    fields: Vec<String>,
}

/// What is the same for all of them.
struct Machine {
    passwd: String,
    group: String,
    /// Seconds since 1970 when it started.
    booted: u64,
    now: u64,
    memory_kib: u64,
}

/// One column: what `-o` calls it, its title, its text.
type Column = (&'static str, &'static str, fn(&Process, &Machine) -> String);

/// Those that procps shows under these names (ps(1), STANDARD FORMAT SPECIFIERS).
const COLUMNS: &[Column] = &[
    ("uid", "UID", |p, _| p.uid.to_string()),
    ("user", "USER", user),
    ("euser", "EUSER", user),
    ("gid", "GID", |p, _| p.gid.to_string()),
    ("group", "GROUP", |p, m| named(&m.group, p.gid)),
    ("pid", "PID", |p, _| p.pid.to_string()),
    ("ppid", "PPID", |p, _| p.text(4)),
    ("pgid", "PGID", |p, _| p.text(5)),
    ("sid", "SID", |p, _| p.text(6)),
    ("c", "C", |p, m| {
        (p.tenths_of_cpu(m) / 10).min(99).to_string()
    }),
    ("pcpu", "%CPU", |p, m| tenths(p.tenths_of_cpu(m))),
    ("pmem", "%MEM", |p, m| {
        tenths(p.resident_kib() * 1000 / m.memory_kib.max(1))
    }),
    ("vsz", "VSZ", |p, _| (p.number(23) >> 10).to_string()),
    ("rss", "RSS", |p, _| p.resident_kib().to_string()),
    ("tty", "TTY", terminal_of),
    ("tt", "TT", terminal_of),
    ("stat", "STAT", states),
    ("s", "S", |p, _| p.text(3)),
    ("ni", "NI", |p, _| p.text(19)),
    ("pri", "PRI", |p, _| {
        (39 - p.text(18).parse().unwrap_or(0)).to_string()
    }),
    ("nlwp", "NLWP", |p, _| p.text(20)),
    ("psr", "PSR", |p, _| p.text(39)),
    ("stime", "STIME", began),
    ("start", "START", began),
    ("etime", "ELAPSED", |p, m| span(p.age(m), 2)),
    ("etimes", "ELAPSED", |p, m| p.age(m).to_string()),
    ("time", "TIME", |p, _| span(p.used(), 3)),
    ("bsdtime", "TIME", |p, _| {
        format!("{}:{:02}", p.used() / 60, p.used() % 60)
    }),
    ("comm", "COMMAND", |p, _| p.name.clone()),
    ("ucmd", "CMD", |p, _| p.name.clone()),
    ("cmd", "CMD", |p, _| p.command.clone()),
    ("args", "COMMAND", |p, _| p.command.clone()),
];

/// Further names of theirs.
const ALIASES: [(&str, &str); 14] = [
    ("%cpu", "pcpu"),
    ("%mem", "pmem"),
    ("command", "args"),
    ("cputime", "time"),
    ("nice", "ni"),
    ("pgrp", "pgid"),
    ("rssize", "rss"),
    ("rsz", "rss"),
    ("sess", "sid"),
    ("start_time", "stime"),
    ("state", "s"),
    ("thcount", "nlwp"),
    ("tname", "tty"),
    ("vsize", "vsz"),
];

/// What `ps -f`, `ps u`, `ps -e` and `ps ax` show.
const FULL: &str = "user=UID,pid,ppid,c,stime,tty,time,cmd";
const OF_USERS: &str = "user,pid,pcpu,pmem,vsz,rss,tty,stat,start,bsdtime=TIME,args";
const SHORT: &str = "pid,tty,time,ucmd";
const BSD: &str = "pid,tty,stat,bsdtime=TIME,args";

#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    pub titles: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// The table that `ps` with these arguments shows, of these processes only.
pub fn table(pids: &[i32], args: &str) -> Result<Table> {
    let mut columns: Vec<(String, &Column)> = Vec::new();
    for wanted in format(args)?
        .split([',', ' '])
        .filter(|name| !name.is_empty())
    {
        let (name, title) = match wanted.split_once('=') {
            Some((name, title)) => (name, Some(title)),
            None => (wanted, None),
        };
        let column = find(name)?;
        columns.push((title.unwrap_or(column.1).to_string(), column));
    }
    let machine = Machine::read();
    let mut table = Table {
        titles: columns.iter().map(|(title, _)| title.clone()).collect(),
        rows: Vec::new(),
    };
    for pid in pids {
        // Gone meanwhile is gone.
        if let Some(process) = Process::read(*pid) {
            let cell = |(_, column): &(String, &Column)| (column.2)(&process, &machine);
            table.rows.push(columns.iter().map(cell).collect());
        }
    }
    Ok(table)
}

/// The columns that `args` ask for. Which processes they select has no meaning here: it is the
/// container's.
fn format(args: &str) -> Result<String> {
    let unknown = |word: &str| {
        Error::invalid(format!(
            "ps: {word:?} is not understood here: use -ef, aux, or -o with the names of columns"
        ))
    };
    let mut words = args.split_whitespace();
    let (mut columns, mut format) = (String::new(), SHORT);
    while let Some(word) = words.next() {
        if let Some(list) = word.strip_prefix("--format") {
            let list = list.strip_prefix('=').or_else(|| words.next());
            columns.push_str(list.ok_or_else(|| unknown(word))?);
            continue;
        }
        // procps takes this for `aux`, too, where nobody is called `x`.
        let is_bsd = !word.starts_with('-') || word == "-aux";
        let letters = word.trim_start_matches('-');
        for (at, letter) in letters.char_indices() {
            match letter {
                'o' => {
                    let rest = &letters[at + 1..];
                    let list = Some(rest).filter(|rest| !rest.is_empty());
                    let list = list.or_else(|| words.next());
                    columns.push_str(list.ok_or_else(|| unknown(word))?);
                    columns.push(',');
                    break;
                }
                'f' if !is_bsd => format = FULL,
                'u' if is_bsd => format = OF_USERS,
                'a' | 'x' if is_bsd && format == SHORT => format = BSD,
                'a' | 'x' | 'w' => {}
                'e' | 'A' if !is_bsd => {}
                _ => return Err(unknown(word)),
            }
        }
    }
    Ok(match columns.is_empty() {
        true => format.to_string(),
        false => columns,
    })
}

fn find(name: &str) -> Result<&'static Column> {
    let lower = name.to_ascii_lowercase();
    let alias = ALIASES.iter().find(|(alias, _)| *alias == lower);
    let plain = alias.map_or(lower.as_str(), |(_, plain)| *plain);
    let column = COLUMNS.iter().find(|(known, _, _)| *known == plain);
    column.ok_or_else(|| {
        // As procps says it.
        Error::new(
            Kind::System,
            format!("ps: error: unknown user-defined format specifier {name:?}"),
        )
    })
}

impl Process {
    fn read(pid: i32) -> Option<Process> {
        let dir = format!("/proc/{pid}");
        let stat = std::fs::read(format!("{dir}/stat")).ok()?;
        let end = stat.iter().rposition(|byte| *byte == b')')?;
        let name = stat.iter().position(|byte| *byte == b'(')?;
        let name = String::from_utf8_lossy(stat.get(name + 1..end)?).into_owned();
        let owner = std::fs::metadata(&dir).ok()?;
        let command = std::fs::read(format!("{dir}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let command = match command.trim_end() {
            "" => format!("[{name}]"),
            command => command.to_string(),
        };
        Some(Process {
            pid,
            uid: owner.uid(),
            gid: owner.gid(),
            name,
            command,
            fields: process::fields(&stat)?.map(str::to_string).collect(),
        })
    }

    fn text(&self, at: usize) -> String {
        self.fields.get(at - 3).cloned().unwrap_or_default()
    }

    fn number(&self, at: usize) -> u64 {
        let field = self.fields.get(at - 3);
        field.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// Seconds of processor time.
    fn used(&self) -> u64 {
        (self.number(14) + self.number(15)) / TICKS_PER_SECOND
    }

    /// Seconds since 1970.
    fn began(&self, machine: &Machine) -> u64 {
        machine.booted + self.number(22) / TICKS_PER_SECOND
    }

    fn age(&self, machine: &Machine) -> u64 {
        machine.now.saturating_sub(self.began(machine))
    }

    fn tenths_of_cpu(&self, machine: &Machine) -> u64 {
        self.used() * 1000 / self.age(machine).max(1)
    }

    fn resident_kib(&self) -> u64 {
        let text = process::status(self.pid, "VmRSS:").unwrap_or_default();
        let kib = text.trim_end_matches("kB").trim();
        kib.parse().unwrap_or(0)
    }
}

impl Machine {
    fn read() -> Machine {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Machine {
            passwd: text("/etc/passwd"),
            group: text("/etc/group"),
            booted: machine::clock().booted,
            now: Time::now().seconds,
            memory_kib: machine::memory_bytes() >> 10,
        }
    }
}

fn user(process: &Process, machine: &Machine) -> String {
    named(&machine.passwd, process.uid)
}

/// The name of a number in the host's `passwd` or `group`, or the number.
pub fn named(file: &str, id: u32) -> String {
    let id = id.to_string();
    let name = file.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1) == Some(&id)).then_some(name)
    });
    name.map(str::to_string).unwrap_or(id)
}

fn tenths(tenths: u64) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// `18:11` today, `Nov27` within the last year, `2025` before.
fn began(process: &Process, machine: &Machine) -> String {
    let seconds = process.began(machine);
    let text = Time { seconds, nanos: 0 }.rfc3339();
    let age = process.age(machine);
    if age < 86_400 {
        return text[11..16].to_string();
    }
    if age > 365 * 86_400 {
        return text[..4].to_string();
    }
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = text[5..7].parse::<usize>().unwrap_or(1).clamp(1, 12);
    format!("{}{}", &MONTHS[month * 3 - 3..month * 3], &text[8..10])
}

/// `[[days-]hours:]minutes:seconds`, with at least so many parts.
fn span(seconds: u64, parts: usize) -> String {
    let rest = format!("{:02}:{:02}", seconds / 60 % 60, seconds % 60);
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    match (days, hours) {
        (0, 0) if parts < 3 => rest,
        (0, hours) => format!("{hours:02}:{rest}"),
        (days, hours) => format!("{days}-{hours:02}:{rest}"),
    }
}

/// The state, and in letters what else is special (ps(1), PROCESS STATE CODES).
fn states(process: &Process, _: &Machine) -> String {
    let mut text = process.text(3);
    let nice: i64 = process.text(19).parse().unwrap_or(0);
    let (group, session, foreground) = (process.text(5), process.text(6), process.text(8));
    for (letter, applies) in [
        ('<', nice < 0),
        ('N', nice > 0),
        ('s', session == process.pid.to_string()),
        ('l', process.number(20) > 1),
        ('+', group == foreground),
    ] {
        if applies {
            text.push(letter);
        }
    }
    text
}

fn terminal_of(process: &Process, _: &Machine) -> String {
    terminal(process.number(7))
}

/// The name of a terminal by its device number.
fn terminal(number: u64) -> String {
    let (major, minor) = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xfff00);
    match major {
        0 => "?".to_string(),
        136..=143 => format!("pts/{}", (major - 136) << 20 | minor),
        4 => format!("tty{minor}"),
        _ => format!("{major}:{minor}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_is_in_our_own_table() {
        let pid = std::process::id().cast_signed();
        let shown = table(&[pid, i32::MAX], "-eo pid,ppid=PARENT,comm").unwrap();
        assert_eq!(shown.titles, ["PID", "PARENT", "COMMAND"]);
        assert_eq!(shown.rows.len(), 1);
        assert_eq!(shown.rows[0][0], pid.to_string());
        assert_eq!(
            shown.rows[0][1],
            std::os::unix::process::parent_id().to_string()
        );
    }

    #[test]
    fn the_usual_arguments_give_the_usual_columns() {
        let titles = |args: &str| table(&[], args).unwrap().titles.join(" ");
        for (args, expected) in [
            ("-ef", "UID PID PPID C STIME TTY TIME CMD"),
            ("-e -f", "UID PID PPID C STIME TTY TIME CMD"),
            (
                "aux",
                "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND",
            ),
            (
                "-aux",
                "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND",
            ),
            ("ax", "PID TTY STAT TIME COMMAND"),
            ("-e", "PID TTY TIME CMD"),
            ("-o pid,%cpu,comm", "PID %CPU COMMAND"),
            ("-o pid -o args", "PID COMMAND"),
            ("axo pid,user,cmd", "PID USER CMD"),
            ("-opid,PPID", "PID PPID"),
            ("--format pid,s", "PID S"),
        ] {
            assert_eq!(titles(args), expected, "{args}");
        }
        for (args, message) in [
            ("-Zfoo", "ps: \"-Zfoo\" is not understood here"),
            ("-o", "ps: \"-o\" is not understood here"),
            (
                "-o nope",
                "ps: error: unknown user-defined format specifier \"nope\"",
            ),
        ] {
            let error = table(&[], args).unwrap_err();
            assert!(error.message.starts_with(message), "{args}: {error}");
        }
    }

    #[test]
    fn spans_of_time_are_written_as_ps_does() {
        assert_eq!(span(61, 3), "00:01:01");
        assert_eq!(span(61, 2), "01:01");
        assert_eq!(span(3661, 2), "01:01:01");
        assert_eq!(span(90_061, 3), "1-01:01:01");
        assert_eq!(tenths(123), "12.3");
    }

    #[test]
    fn terminals_have_names() {
        assert_eq!(terminal(0), "?");
        assert_eq!(terminal(0x8803), "pts/3");
        assert_eq!(terminal(0x0401), "tty1");
    }

    #[test]
    fn numbers_have_names_where_the_host_knows_them() {
        let file = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:";
        assert_eq!(named(file, 33), "web");
        assert_eq!(named(file, 34), "34");
    }
}
