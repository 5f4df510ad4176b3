//! What registries say: login, search, and what they have under a name.

use crate::api::{BODY_BYTES_MAX, Call, Reply};
use crate::engine::distribution::SEARCH_FILTERS;
use crate::engine::filter::Filters;
use crate::error::Result;
use crate::json::object::Object;

pub fn auth(call: &mut Call<'_>) -> Result<Reply> {
    let account = call.connection.text(BODY_BYTES_MAX)?;
    let token = call.engine.login(&account)?;
    let mut answer = Object::new();
    answer.text("IdentityToken", &token);
    let text = answer.text("Status", "Login Succeeded").finish();
    Ok(Reply::Json(200, text))
}

pub fn search(call: &mut Call<'_>) -> Result<Reply> {
    let filters = Filters::parse(call.query("filters"), SEARCH_FILTERS)?;
    let (term, limit) = (
        call.query("term").unwrap_or_default(),
        call.number("limit")?,
    );
    let credentials = call.credentials()?;
    let found = call
        .engine
        .search(term, limit, &filters, credentials.as_ref())?;
    Ok(Reply::Json(200, found))
}

pub fn distribution(call: &mut Call<'_>) -> Result<Reply> {
    let credentials = call.credentials()?;
    let found =
        call.engine
            .distribution(&call.name, call.flag("insecure"), credentials.as_ref())?;
    Ok(Reply::Json(200, found))
}
