//! The engine itself: ping, version, info, disk usage; and what Docker has that is not here.

use crate::api::{Call, JSON, Reply, message};
use crate::error::{Error, Result};

/// Clients read the version from the headers, which every answer has; Docker's own adds these.
pub fn ping(call: &mut Call<'_>) -> Result<Reply> {
    let headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Cache-Control", "no-cache, no-store, must-revalidate"),
        ("Pragma", "no-cache"),
        ("Builder-Version", "1"),
        ("Swarm", "inactive"),
    ];
    call.connection.respond_with(200, &headers, b"OK")?;
    Ok(Reply::Done)
}

pub fn version(call: &mut Call<'_>) -> Result<Reply> {
    Reply::json(200, &call.engine.version())
}

pub fn info(call: &mut Call<'_>) -> Result<Reply> {
    let mut text = call.engine.info()?;
    if call.is_before(42) {
        let old = [("KernelMemory", "false"), ("KernelMemoryTCP", "false")];
        text = crate::json::object::complete(&text, &old);
    }
    Ok(Reply::Json(200, text))
}

pub fn df(call: &mut Call<'_>) -> Result<Reply> {
    let kinds: Vec<&str> = call.request.query.all("type").collect();
    let mut text = call.engine.disk_usage(&kinds, call.is_before(44))?;
    if call.is_before(42) {
        text = crate::json::object::complete(&text, &[("BuilderSize", "0")]);
    }
    Ok(Reply::Json(200, text))
}

pub fn wear(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::Json(200, call.engine.system_wear()))
}

/// Clients try BuildKit's way first and fall back.
pub fn no_buildkit(_call: &mut Call<'_>) -> Result<Reply> {
    Err(Error::unsupported("BuildKit is not supported"))
}

pub fn checkpoint(_call: &mut Call<'_>) -> Result<Reply> {
    Err(Error::unsupported(
        "checkpoint and restore are not supported",
    ))
}

pub fn no_plugins(_call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::Json(200, "[]".to_string()))
}

/// Whatever belongs to a swarm's manager, in Docker's words; clients know them.
pub fn swarm(call: &mut Call<'_>) -> Result<Reply> {
    let text = match call.request.path.rsplit('/').next() {
        Some("leave") => "This node is not part of a swarm",
        Some("init" | "join") => {
            return Err(Error::unsupported(
                "swarm mode is not supported: this engine runs the containers of its own machine",
            ));
        }
        _ => {
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again."
        }
    };
    call.connection
        .respond(503, JSON, message(text).as_bytes())?;
    Ok(Reply::Done)
}
