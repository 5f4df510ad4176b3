//! Sets of containers that are changed together; none of Docker's.

use crate::api::{Call, Reply};
use crate::engine::sets::Verdict;
use crate::error::Result;

pub fn list(call: &mut Call<'_>) -> Result<Reply> {
    Reply::json(200, &call.engine.set_list())
}

pub fn inspect(call: &mut Call<'_>) -> Result<Reply> {
    Reply::json(200, &call.engine.set(&call.name)?)
}

pub fn apply(call: &mut Call<'_>) -> Result<Reply> {
    let request = call.body()?;
    Reply::json(202, &call.engine.set_apply(request)?)
}

pub fn commit(call: &mut Call<'_>) -> Result<Reply> {
    Reply::json(202, &call.engine.set_decide(&call.name, Verdict::Commit)?)
}

pub fn rollback(call: &mut Call<'_>) -> Result<Reply> {
    Reply::json(202, &call.engine.set_decide(&call.name, Verdict::Rollback)?)
}
