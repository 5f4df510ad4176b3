//! Networks: the built-in ones can be looked at.

use crate::api::{Call, Reply};
use crate::engine::filter::Filters;
use crate::engine::network::FILTERS;
use crate::error::{Error, Kind, Result};

pub fn list(call: &mut Call<'_>) -> Result<Reply> {
    let filters = Filters::parse(call.query("filters"), FILTERS)?;
    Ok(Reply::Json(200, call.engine.network_list(&filters)?))
}

pub fn inspect(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::Json(200, call.engine.network_inspect(&call.name)?))
}

pub fn remove(call: &mut Call<'_>) -> Result<Reply> {
    call.engine.network_inspect(&call.name)?;
    let name = &call.name;
    Err(Error::new(
        Kind::Denied,
        format!("{name} is a pre-defined network and cannot be removed"),
    ))
}

/// Create, connect and disconnect.
pub fn unsupported(_call: &mut Call<'_>) -> Result<Reply> {
    Err(Error::unsupported(
        "networks beyond none and host are not supported yet",
    ))
}

pub fn prune(call: &mut Call<'_>) -> Result<Reply> {
    let filters = Filters::parse(call.query("filters"), &["label", "label!", "until"])?;
    filters.until()?;
    call.engine.tell_prune("network", 0);
    Ok(Reply::Json(200, r#"{"NetworksDeleted":null}"#.to_string()))
}
