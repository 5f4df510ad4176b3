//! Start lines and headers, read strictly (RFC 9112): what another reader might take for
//! something else is refused, because that is how requests are smuggled.
//!
//! Why not httparse: it takes a bare line feed for the end of a line (RFC 9112, 2.2 allows that), so
//! the text would have to be walked twice for 7 kB more, and the checks on lengths stay ours anyway.

use crate::error::{Error, Result};
use crate::http::body::Framing;
use std::fmt::Write;

/// More than any client of ours sends.
const HEADERS_MAX: usize = 128;

/// Names as they came; looked up without regard to case.
#[derive(Debug, Default)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn count(&self, name: &str) -> usize {
        self.all(name).count()
    }

    /// Whether a comma-separated list, such as `Connection`, has `token` in it.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|list| list.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(token))
    }

    /// How long the body is. `None` when no header says so.
    pub fn framing(&self) -> Result<Option<Framing>> {
        let mut codings = self.all("transfer-encoding");
        let mut lengths = self.all("content-length");
        match (codings.next(), lengths.next()) {
            (None, None) => Ok(None),
            (Some(coding), None) => {
                if !coding.eq_ignore_ascii_case("chunked") || codings.next().is_some() {
                    return Err(bad("unsupported transfer encoding"));
                }
                Ok(Some(Framing::Chunk(0)))
            }
            // Digits only: from_str alone would take `+5`.
            (None, Some(length)) => {
                let digits = length.bytes().all(|b| b.is_ascii_digit());
                match length.parse() {
                    Ok(length) if digits && lengths.next().is_none() => {
                        Ok(Some(Framing::Length(length)))
                    }
                    _ => Err(bad("bad content length")),
                }
            }
            (Some(_), Some(_)) => Err(bad("both transfer encoding and content length")),
        }
    }
}

fn bad(what: &str) -> Error {
    Error::invalid(format!("malformed HTTP message: {what}"))
}

/// Split `head`, lines that each end with CRLF, into the start line and the headers.
pub fn split(head: &[u8]) -> Result<(String, Headers)> {
    // obs-text, bytes from 0x80 up, is legal in values and means nothing to us.
    let text = String::from_utf8_lossy(head.strip_suffix(b"\r\n").unwrap_or(head));
    let mut lines = text.split("\r\n");
    let start = lines.next().unwrap_or_default();
    check_text(start)?;

    let mut headers = Vec::new();
    for line in lines {
        check_text(line)?;
        let (name, value) = line.split_once(':').ok_or_else(|| bad("header"))?;
        // A name that begins with a blank continues the line before (obs-fold), one that ends
        // with a blank hides a header from some readers; neither is a token.
        if !is_token(name) {
            return Err(bad("header name"));
        }
        if headers.len() == HEADERS_MAX {
            return Err(bad("too many headers"));
        }
        headers.push((
            name.to_string(),
            value.trim_matches([' ', '\t']).to_string(),
        ));
    }
    Ok((start.to_string(), Headers(headers)))
}

/// No control characters, which includes the CR or LF of a line that does not end with both.
fn check_text(line: &str) -> Result<()> {
    match line.bytes().all(|b| b >= b' ' && b != 0x7f || b == b'\t') {
        true => Ok(()),
        false => Err(bad("control character")),
    }
}

pub fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Method, target and whether the peer speaks 1.0.
pub fn request_line(line: &str) -> Result<(&str, &str, bool)> {
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(bad("request line"));
    };
    if !is_token(method) || target.is_empty() || !target.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(bad("request line"));
    }
    match version {
        "HTTP/1.1" => Ok((method, target, false)),
        "HTTP/1.0" => Ok((method, target, true)),
        _ => Err(bad("version")),
    }
}

pub fn status_line(line: &str) -> Result<u16> {
    line.strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5))
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| bad("status line"))
}

/// Add `Name: value`; a line break in it would begin a header that nobody meant.
pub fn push(head: &mut String, name: &str, value: &str) {
    let _ = write!(head, "{name}: ");
    head.extend(value.chars().filter(|c| !c.is_control()));
    head.push_str("\r\n");
}

pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        301 => "Moved Permanently",
        503 => "Service Unavailable",
        // Any phrase will do (RFC 9112, section 4).
        _ => "Status",
    }
}
