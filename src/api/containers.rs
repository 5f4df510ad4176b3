//! Containers: everything that is one request and one answer.

use crate::api::{Call, Reply, parse_body};
use crate::engine::container::Container;
use crate::engine::filter::Filters;
use crate::engine::list;
use crate::engine::prune;
use crate::engine::remove::Removal;
use crate::error::{Error, Result};
use crate::json::object::Object;
use crate::wire::container::{CreateRequest, CreateResponse};
use std::sync::Arc;

impl Call<'_> {
    /// The container that the path names.
    pub(super) fn container(&self) -> Result<Arc<Container>> {
        self.engine.find(&self.name)
    }
}

pub fn list(call: &mut Call<'_>) -> Result<Reply> {
    // Docker takes a negative or zero limit for none.
    let limit = call.number::<i64>("limit")?.filter(|limit| *limit > 0);
    let options = list::Options {
        all: call.flag("all"),
        limit: limit.and_then(|limit| usize::try_from(limit).ok()),
        size: call.flag("size"),
        filters: Filters::parse(call.query("filters"), list::FILTERS)?,
    };
    Reply::json(200, &call.engine.list(&options)?)
}

pub fn create(call: &mut Call<'_>) -> Result<Reply> {
    let body = call.body_text()?;
    let request = CreateRequest {
        config: parse_body(&body)?,
        placement: parse_body(&body)?,
        ..CreateRequest::default()
    };
    check_platform(call.query("platform"))?;
    Reply::json(201, &call.engine.create(call.query("name"), request)?)
}

/// Containers run on this machine's own processor.
fn check_platform(platform: Option<&str>) -> Result<()> {
    let Some(platform) = platform.filter(|platform| !platform.is_empty()) else {
        return Ok(());
    };
    let own = crate::engine::info::go_arch();
    let mut parts = platform.split('/');
    let fits = match (parts.next(), parts.next()) {
        (Some("linux"), None) => true,
        (Some("linux"), Some(arch)) => arch == own,
        (Some(arch), None) => arch == own,
        _ => false,
    };
    match fits {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "platform {platform} cannot run here: this engine is linux/{own}"
        ))),
    }
}

pub fn inspect(call: &mut Call<'_>) -> Result<Reply> {
    let container = call.container()?;
    let text = call.engine.inspect(&container, call.flag("size"))?;
    Ok(Reply::Json(200, text))
}

pub fn top(call: &mut Call<'_>) -> Result<Reply> {
    let container = call.container()?;
    let args = call.query("ps_args").filter(|args| !args.is_empty());
    let table = call.engine.top(&container, args.unwrap_or("-ef"))?;
    Ok(Reply::Json(200, table))
}

pub fn prune(call: &mut Call<'_>) -> Result<Reply> {
    let filters = Filters::parse(call.query("filters"), prune::CONTAINER_FILTERS)?;
    let (removed, reclaimed) = call.engine.prune_containers(&filters)?;
    let mut answer = Object::new();
    match removed.is_empty() {
        true => answer.put("ContainersDeleted", "null"),
        false => answer.put("ContainersDeleted", &crate::json::to_string(&removed)),
    };
    let text = answer.number("SpaceReclaimed", reclaimed).finish();
    Ok(Reply::Json(200, text))
}

pub fn start(call: &mut Call<'_>) -> Result<Reply> {
    let container = call.container()?;
    call.engine.start(&container)?;
    Ok(Reply::Status(204))
}

pub fn stop(call: &mut Call<'_>) -> Result<Reply> {
    let container = call.container()?;
    call.engine
        .stop(&container, call.query("signal"), call.number("t")?)?;
    Ok(Reply::Status(204))
}

pub fn restart(call: &mut Call<'_>) -> Result<Reply> {
    let container = call.container()?;
    call.engine
        .restart(&container, call.query("signal"), call.number("t")?)?;
    Ok(Reply::Status(204))
}

pub fn kill(call: &mut Call<'_>) -> Result<Reply> {
    let container = call
        .container()
        .map_err(|error| cannot_kill(&call.name, error))?;
    call.engine
        .kill(&container, call.query("signal"))
        .map_err(|error| cannot_kill(&call.name, error))?;
    Ok(Reply::Status(204))
}

/// Docker's words before every reason (moby, postContainersKill).
fn cannot_kill(name: &str, mut error: Error) -> Error {
    error.message = format!("cannot kill container: {name}: {}", error.message);
    error
}

pub fn update(call: &mut Call<'_>) -> Result<Reply> {
    let container = call.container()?;
    let changes = call.body()?;
    let warnings = call.engine.update(&container, changes)?;
    Reply::json(
        200,
        &CreateResponse {
            id: None,
            warnings: Some(warnings),
        },
    )
}

pub fn resize(call: &mut Call<'_>) -> Result<Reply> {
    let container = call.container()?;
    let (height, width) = size(call)?;
    call.engine.resize(&container, height, width)?;
    Ok(Reply::Status(200))
}

/// `h` and `w`.
pub(super) fn size(call: &Call<'_>) -> Result<(u16, u16)> {
    let side = |name: &str| call.number::<u16>(name).map(Option::unwrap_or_default);
    Ok((side("h")?, side("w")?))
}

pub fn rename(call: &mut Call<'_>) -> Result<Reply> {
    let container = call.container()?;
    call.engine
        .rename(&container, call.query("name").unwrap_or_default())?;
    Ok(Reply::Status(204))
}

pub fn pause(call: &mut Call<'_>) -> Result<Reply> {
    let container = call.container()?;
    call.engine.pause(&container)?;
    Ok(Reply::Status(204))
}

pub fn persist_log(call: &mut Call<'_>) -> Result<Reply> {
    let container = call.container()?;
    call.engine.persist_log(&container)?;
    Ok(Reply::Status(204))
}

pub fn unpause(call: &mut Call<'_>) -> Result<Reply> {
    let container = call.container()?;
    call.engine.unpause(&container)?;
    Ok(Reply::Status(204))
}

pub fn remove(call: &mut Call<'_>) -> Result<Reply> {
    let container = call.container()?;
    if call.flag("link") {
        // A link's own name, `web/db`, is none of a container.
        return Err(Error::conflict(
            "Conflict, cannot remove the default link name of the container",
        ));
    }
    let removal = Removal {
        force: call.flag("force"),
        volumes: call.flag("v"),
    };
    call.engine.remove(&container, removal)?;
    Ok(Reply::Status(204))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machines_platform_runs() {
        let own = crate::engine::info::go_arch();
        for good in [
            "",
            "linux",
            own,
            &format!("linux/{own}"),
            &format!("linux/{own}/v8"),
        ] {
            assert!(check_platform(Some(good)).is_ok(), "{good}");
        }
        for bad in ["windows/amd64", "linux/s390x", "riscv64"] {
            assert!(check_platform(Some(bad)).is_err(), "{bad}");
        }
    }
}
