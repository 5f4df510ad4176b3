//! Networks: create, list, inspect, connect, remove.

use crate::api::{Call, Reply};
use crate::engine::filter::Filters;
use crate::engine::network::inspect::FILTERS;
use crate::engine::network::remove::PRUNE_FILTERS;
use crate::error::Result;
use crate::json;
use crate::json::object::Object;

pub fn list(call: &mut Call<'_>) -> Result<Reply> {
    let filters = Filters::parse(call.query("filters"), FILTERS)?;
    Ok(Reply::Json(200, call.engine.network_list(&filters)?))
}

pub fn inspect(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::Json(200, call.engine.network_inspect(&call.name)?))
}

pub fn create(call: &mut Call<'_>) -> Result<Reply> {
    let request = call.body()?;
    Reply::json(201, &call.engine.network_create(request)?)
}

pub fn remove(call: &mut Call<'_>) -> Result<Reply> {
    call.engine.network_remove(&call.name)?;
    Ok(Reply::Status(204))
}

pub fn connect(call: &mut Call<'_>) -> Result<Reply> {
    let request = call.body()?;
    call.engine.network_connect(&call.name, request)?;
    Ok(Reply::Status(200))
}

pub fn disconnect(call: &mut Call<'_>) -> Result<Reply> {
    let request = call.body()?;
    call.engine.network_disconnect(&call.name, request)?;
    Ok(Reply::Status(200))
}

pub fn prune(call: &mut Call<'_>) -> Result<Reply> {
    let filters = Filters::parse(call.query("filters"), PRUNE_FILTERS)?;
    let removed = call.engine.network_prune(&filters)?;
    let mut answer = Object::new();
    match removed.is_empty() {
        true => answer.put("NetworksDeleted", "null"),
        false => answer.put("NetworksDeleted", &json::to_string(&removed)),
    };
    Ok(Reply::Json(200, answer.finish()))
}
