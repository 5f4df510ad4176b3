//! Volumes: create, list, inspect, remove, prune.

use crate::api::{Call, JSON, Reply, message, parse_body};
use crate::engine::filter::Filters;
use crate::engine::volume::{FILTERS, PRUNE_FILTERS};
use crate::error::Result;
use crate::json::object::{self, Object};

pub fn list(call: &mut Call<'_>) -> Result<Reply> {
    let filters = Filters::parse(call.query("filters"), FILTERS)?;
    Ok(Reply::Json(200, call.engine.volume_list(&filters)?))
}

pub fn inspect(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::Json(200, call.engine.volume_inspect(&call.name)?))
}

pub fn create(call: &mut Call<'_>) -> Result<Reply> {
    let request = parse_body(&call.body_text()?)?;
    Ok(Reply::Json(201, call.engine.volume_create(request)?))
}

pub fn remove(call: &mut Call<'_>) -> Result<Reply> {
    call.engine.volume_remove(&call.name, call.flag("force"))?;
    Ok(Reply::Status(204))
}

/// Before 1.42 there was no difference between volumes with and without a name of their own.
pub fn prune(call: &mut Call<'_>) -> Result<Reply> {
    let filters = Filters::parse(call.query("filters"), PRUNE_FILTERS)?;
    let (deleted, reclaimed) = call.engine.prune_volumes(&filters, call.is_before(42))?;
    let deleted: Vec<&str> = deleted.iter().map(String::as_str).collect();
    let mut answer = Object::new();
    answer.put("VolumesDeleted", &object::strings(&deleted));
    let text = answer.number("SpaceReclaimed", reclaimed).finish();
    Ok(Reply::Json(200, text))
}

/// In Docker's words: what can be updated belongs to a swarm.
pub fn update(call: &mut Call<'_>) -> Result<Reply> {
    let text = "volume update only valid for cluster volumes, but swarm is unavailable";
    call.connection
        .respond(503, JSON, message(text).as_bytes())?;
    Ok(Reply::Done)
}
