//! The engine's reports on long work, as Docker's client shows them: a line for each thing that
//! goes on, redrawn in place on a terminal; elsewhere only what is not a bar.

use super::remote::parse;
use super::{human, print};
use crate::error::{Error, Result};
use crate::http::client::Response;
use crate::json::node::Node;
use crate::sys::terminal;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::Path;
use std::time::{Duration, Instant};

pub struct Display {
    /// The terminal's width, where it is one.
    width: Option<u16>,
    is_quiet: bool,
    shown: Shown,
    /// Whose lines are on the screen, from the top; the cursor is below the last.
    ids: Vec<String>,
}

/// How far something is (API, ProgressDetail).
#[derive(Default)]
pub struct Bar {
    pub current: i64,
    pub total: i64,
    /// Bytes where it is empty.
    pub units: String,
    pub without_counts: bool,
}

/// Where the reports go.
#[derive(Clone, Copy, PartialEq)]
pub enum Shown {
    Out,
    Err,
    /// Errors alone are told, as they always are.
    Nothing,
}

impl Display {
    /// Quiet: what is told at the end is shown, how it comes about is not.
    pub fn new(is_quiet: bool) -> Display {
        Display {
            is_quiet,
            ..Display::on(Shown::Out)
        }
    }

    pub fn on(shown: Shown) -> Display {
        // Docker's default where the terminal does not know.
        let width = |size: Option<(u16, u16)>| size.map_or(200, |(_, columns)| columns);
        let (out, err) = (std::io::stdout(), std::io::stderr());
        let width = match shown {
            Shown::Out if out.is_terminal() => Some(width(terminal::size(&out))),
            Shown::Err if err.is_terminal() => Some(width(terminal::size(&err))),
            _ => None,
        };
        Display {
            width,
            is_quiet: false,
            shown,
            ids: Vec::new(),
        }
    }

    /// Show an answer to its end; an error in it is the outcome of the whole.
    pub fn follow(&mut self, response: Response) -> Result<u8> {
        for line in BufReader::new(response).lines() {
            let line = line.map_err(|error| Error::io("read the engine's answer", &error))?;
            if !line.trim().is_empty() {
                let text = self.message(parse(&line)?)?;
                match self.shown {
                    Shown::Out => print::out(text)?,
                    Shown::Err => print::err(text)?,
                    Shown::Nothing => {}
                }
            }
        }
        Ok(0)
    }

    /// The text that shows one message.
    pub fn message(&mut self, message: Node<'_>) -> Result<String> {
        let text = |name: &str| message.at(name).text();
        if message.member("error").is_some() || message.member("errorDetail").is_some() {
            let mut what = text("errorDetail.message");
            if what.is_empty() {
                what = text("error");
            }
            return Err(Error::invalid(what));
        }
        // Meant for programs.
        if message.member("aux").is_some() {
            return Ok(String::new());
        }
        let detail = message.at("progressDetail");
        let bar = detail.json().starts_with('{').then(|| Bar {
            current: detail.at("current").integer(),
            total: detail.at("total").integer(),
            units: detail.at("units").text(),
            without_counts: detail.at("hidecounts").is_true(),
        });
        let stream = text("stream");
        let words = match stream.is_empty() {
            true => text("status"),
            false => stream,
        };
        let is_whole = message.member("stream").is_some();
        Ok(self.line(&text("id"), &words, bar.as_ref(), is_whole))
    }

    /// `is_whole`: `words` have their own line end.
    pub fn line(&mut self, id: &str, words: &str, bar: Option<&Bar>, is_whole: bool) -> String {
        if self.is_quiet && bar.is_some() {
            return String::new();
        }
        let shown = bar.map(|bar| bar.show(self.width.unwrap_or(200)));
        let Some(shown) = shown.filter(|_| !is_whole) else {
            self.ids.clear();
            let end = if is_whole { "" } else { "\n" };
            return format!("{}{words}{end}", front(id));
        };
        if self.width.is_none() {
            // A bar is for people who watch; without one it is news.
            return match shown.as_str() {
                "" => format!("{}{words}\n", front(id)),
                _ => String::new(),
            };
        }
        if id.is_empty() {
            self.ids.clear();
            return format!("\x1b[2K\r{words} {shown}\r");
        }
        let mut text = String::new();
        let place = self.ids.iter().position(|known| known == id);
        let place = place.unwrap_or_else(|| {
            self.ids.push(id.to_string());
            text.push('\n');
            self.ids.len() - 1
        });
        let up = self.ids.len() - place;
        text.push_str(&format!(
            "\x1b[{up}A\x1b[2K\r{}{words} {shown}\r\x1b[{up}B",
            front(id)
        ));
        text
    }
}

fn front(id: &str) -> String {
    match id {
        "" => String::new(),
        id => format!("{id}: "),
    }
}

impl Bar {
    /// `[=====>    ]  1.2MB/3.4MB`, in `width` columns.
    fn show(&self, width: u16) -> String {
        if self.current <= 0 && self.total <= 0 {
            return String::new();
        }
        let count = |count: i64| match self.units.as_str() {
            "" => human::size_in_four(count),
            _ => count.to_string(),
        };
        let units = match self.units.as_str() {
            "" => String::new(),
            units => format!(" {units}"),
        };
        let padded = |text: String| match units.is_empty() {
            true => format!("{text:>8}"),
            false => text,
        };
        if self.total <= 0 {
            return padded(count(self.current)) + &units;
        }
        let mut text = String::new();
        if width > 110 {
            let share = i128::from(self.current) * 50 / i128::from(self.total);
            let done = usize::try_from(share).unwrap_or(0).min(50);
            text = format!("[{}>{}] ", "=".repeat(done), " ".repeat(50 - done));
        }
        if !self.without_counts {
            text.push_str(&padded(count(self.current)));
            // A total that has been passed is none.
            if self.current <= self.total {
                text.push_str(&format!("/{}", count(self.total)));
            }
            text.push_str(&units);
        }
        text
    }
}

/// How often a bar is redrawn.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes on their way to the engine, with a bar on a terminal.
pub struct Upload<'a> {
    source: &'a mut dyn Read,
    display: &'a mut Display,
    name: String,
    bar: Bar,
    shown: Option<Instant>,
}

impl<'a> Upload<'a> {
    /// `path` names `source`; `-` is standard input, of which nobody knows the size.
    pub fn new(source: &'a mut dyn Read, path: &str, display: &'a mut Display) -> Upload<'a> {
        let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        let name = Path::new(path).file_name();
        Upload {
            source,
            display,
            name: match path {
                "-" => "stdin".to_string(),
                _ => name.unwrap_or_default().to_string_lossy().into(),
            },
            bar: Bar {
                total: i64::try_from(size).unwrap_or(0),
                ..Bar::default()
            },
            shown: None,
        }
    }
}

impl Read for Upload<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.bar.current += i64::try_from(count).unwrap_or(0);
        if self.display.width.is_some() && !self.display.is_quiet {
            let is_due = self.shown.is_none_or(|shown| shown.elapsed() > PAUSE);
            if count == 0 || is_due {
                let line = self
                    .display
                    .line(&self.name, "Loading", Some(&self.bar), false);
                print::out(line)?;
                self.shown = Some(Instant::now());
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(width: Option<u16>, is_quiet: bool, messages: &[&str]) -> String {
        let mut display = Display {
            width,
            is_quiet,
            shown: Shown::Out,
            ids: Vec::new(),
        };
        let mut text = String::new();
        for message in messages {
            match display.message(parse(message).unwrap()) {
                Ok(line) => text.push_str(&line),
                Err(error) => text.push_str(&format!("error: {error}")),
            }
        }
        text
    }

    const PULL: [&str; 6] = [
        r#"{"status":"Pulling from library/x","id":"latest"}"#,
        r#"{"status":"Pulling fs layer","progressDetail":{},"id":"aa"}"#,
        r#"{"status":"Waiting","progressDetail":{},"id":"bb"}"#,
        r#"{"status":"Downloading","progressDetail":{"current":500000,"total":1000000},"id":"aa"}"#,
        r#"{"aux":{"ID":"sha256:1"}}"#,
        r#"{"status":"Digest: sha256:1"}"#,
    ];

    /// What docker 28.2 writes for the same messages.
    #[test]
    fn on_a_terminal_each_line_is_redrawn_in_its_place() {
        let bar = format!("[{}>{}]", "=".repeat(25), " ".repeat(25));
        assert_eq!(
            shown(Some(120), false, &PULL),
            format!(
                "latest: Pulling from library/x\n\
                 \n\x1b[1A\x1b[2K\raa: Pulling fs layer \r\x1b[1B\
                 \n\x1b[1A\x1b[2K\rbb: Waiting \r\x1b[1B\
                 \x1b[2A\x1b[2K\raa: Downloading {bar}    500kB/1MB\r\x1b[2B\
                 Digest: sha256:1\n"
            )
        );
        assert!(shown(Some(80), false, &PULL).contains("aa: Downloading    500kB/1MB\r"));
    }

    #[test]
    fn elsewhere_bars_are_left_out() {
        assert_eq!(
            shown(None, false, &PULL),
            "latest: Pulling from library/x\naa: Pulling fs layer\nbb: Waiting\nDigest: sha256:1\n"
        );
        assert_eq!(
            shown(None, true, &PULL),
            "latest: Pulling from library/x\nDigest: sha256:1\n"
        );
    }

    #[test]
    fn streams_and_errors_are_told_as_they_are() {
        let messages = [
            r#"{"stream":"Loaded image: x\n"}"#,
            r#"{"stream":"no end"}"#,
            r#"{"errorDetail":{"message":"disk full"},"error":"old words"}"#,
        ];
        assert_eq!(
            shown(None, false, &messages),
            "Loaded image: x\nno enderror: disk full"
        );
    }

    #[test]
    fn bars_count_what_is_known() {
        let bar = |current, total, units: &str| {
            let units = units.to_string();
            Bar {
                current,
                total,
                units,
                without_counts: false,
            }
            .show(80)
        };
        for (text, expected) in [
            (bar(0, 0, ""), ""),
            (bar(1500, 0, ""), "   1.5kB"),
            (bar(1500, 1000, ""), "   1.5kB"),
            (bar(0, 1000, ""), "      0B/1kB"),
            (bar(3, 7, "files"), "3/7 files"),
            (bar(3, 0, "files"), "3 files"),
        ] {
            assert_eq!(text, expected);
        }
        let full = Bar {
            current: i64::MAX,
            total: i64::MAX,
            without_counts: true,
            ..Bar::default()
        };
        assert_eq!(full.show(120), format!("[{}>] ", "=".repeat(50)));
    }
}
