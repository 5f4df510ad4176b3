//! The engine itself: ping, version, info; and the lists that are always empty so far.

use crate::api::{Call, Reply};
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
    Reply::json(200, &call.engine.info()?)
}

pub fn no_networks(_call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::Json(200, "[]".to_string()))
}

pub fn no_volumes(_call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::Json(
        200,
        r#"{"Volumes":[],"Warnings":[]}"#.to_string(),
    ))
}

pub fn auth(_call: &mut Call<'_>) -> Result<Reply> {
    Err(Error::unsupported("registries are not supported yet"))
}
