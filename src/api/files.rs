//! A container's files: changes, export, archive, commit.

use crate::api::images::with_tag;
use crate::api::{Call, Reply, parse_body};
use crate::base64;
use crate::engine::archive::{PathStat, Put};
use crate::engine::commit::Commit;
use crate::error::{Error, Result};
use crate::json::node::quote;
use crate::sys::fs::ModifiedAt;
use crate::time::Time;
use crate::wire::container::Config;
use std::io::{Read, Write};

const PATH_STAT: &str = "X-Docker-Container-Path-Stat";

/// Of an archive, sent in one piece.
const PIECE_BYTES: usize = 32 << 10;

pub fn changes(call: &mut Call<'_>) -> Result<Reply> {
    let changes = call.engine.changes(&*call.container()?)?;
    // Go's nil.
    if changes.is_empty() {
        return Ok(Reply::Json(200, "null\n".to_string()));
    }
    let items: Vec<String> = changes
        .iter()
        .map(|(path, kind)| format!("{{\"Path\":{},\"Kind\":{}}}", quote(path), *kind as u8))
        .collect();
    Ok(Reply::Json(200, format!("[{}]\n", items.join(","))))
}

pub fn export(call: &mut Call<'_>) -> Result<Reply> {
    let mut archive = call.engine.export(&*call.container()?)?;
    send(call, "application/octet-stream", &[], &mut archive)
}

/// The path that is asked for.
fn path(call: &Call<'_>) -> Result<String> {
    match call.query("path").unwrap_or_default() {
        "" => Err(Error::invalid("bad parameter: path cannot be empty")),
        path => Ok(path.to_string()),
    }
}

pub fn archive_head(call: &mut Call<'_>) -> Result<Reply> {
    let path = path(call)?;
    let container = call.container()?;
    let stat = call.engine.archive_stat(&container, &call.name, &path)?;
    call.connection
        .respond_with(200, &[(PATH_STAT, &header(&stat))], b"")?;
    Ok(Reply::Done)
}

pub fn archive_get(call: &mut Call<'_>) -> Result<Reply> {
    let path = path(call)?;
    let container = call.container()?;
    let (stat, mut archive) = call.engine.archive_get(&container, &call.name, &path)?;
    let headers = [(PATH_STAT, &header(&stat)[..])];
    send(call, "application/x-tar", &headers, &mut archive)
}

pub fn archive_put(call: &mut Call<'_>) -> Result<Reply> {
    let path = path(call)?;
    let container = call.container()?;
    let put = Put {
        keep_kinds: call.flag("noOverwriteDirNonDir"),
        to_user: call.flag("copyUIDGID"),
    };
    let (name, engine) = (call.name.clone(), call.engine);
    engine.archive_put(&container, &name, &path, put, &mut call.connection.body())?;
    Ok(Reply::Status(200))
}

/// JSON in base64.
fn header(stat: &PathStat) -> String {
    let json = format!(
        "{{\"name\":{},\"size\":{},\"mode\":{},\"mtime\":{},\"linkTarget\":{}}}",
        quote(&stat.name),
        stat.size,
        stat.mode,
        quote(&rfc3339(stat.modified)),
        quote(&stat.link_target)
    );
    base64::encode(json.as_bytes())
}

/// Files may be older than 1970; our clock's times are not, so such a one is shown as 1970.
fn rfc3339(at: ModifiedAt) -> String {
    let time = match u64::try_from(at.seconds) {
        Ok(seconds) => Time {
            seconds,
            nanos: at.nanos,
        },
        Err(_) => Time {
            seconds: 0,
            nanos: 0,
        },
    };
    time.rfc3339()
}

pub fn commit(call: &mut Call<'_>) -> Result<Reply> {
    let body = call.body_text()?;
    let config = match body.trim() {
        "" | "null" => Config::default(),
        _ => parse_body(&body)?,
    };
    let text = |name: &str| call.query(name).unwrap_or_default().to_string();
    let name = text("container");
    if name.is_empty() {
        return Err(Error::invalid("invalid name or ID supplied: \"\""));
    }
    let container = call.engine.find(&name)?;
    let changes = call.request.query.all("changes");
    let commit = Commit {
        reference: with_tag(&text("repo"), call.query("tag")),
        author: text("author"),
        comment: text("comment"),
        changes: changes.map(str::to_string).collect(),
        pause: text("pause").is_empty() || call.flag("pause"),
        config,
    };
    let id = call.engine.commit(&container, commit)?;
    Ok(Reply::Json(201, format!("{{\"Id\":{}}}\n", quote(&id))))
}

/// Answer with an archive while it is made. A failure on the way breaks the answer off, which the
/// client sees by its missing end.
pub fn send(
    call: &mut Call<'_>,
    content_type: &str,
    headers: &[(&str, &str)],
    archive: &mut dyn Read,
) -> Result<Reply> {
    let mut stream = call.connection.stream_with(200, content_type, headers)?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let mut filled = 0;
        while filled < piece.len() {
            match archive.read(&mut piece[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) => {
                    crate::log::line("tugd", format_args!("{}: {error}", call.request.path));
                    return Ok(Reply::Close);
                }
            }
        }
        if filled == 0 {
            return stream.finish().map(|()| Reply::Done);
        }
        if stream.write_all(&piece[..filled]).is_err() {
            return Ok(Reply::Close);
        }
    }
}
