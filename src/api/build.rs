//! POST /build and /build/prune: the classic builder.

use crate::api::images::with_tag;
use crate::api::{Call, JSON, Reply};
use crate::base64;
use crate::build::context::Context;
use crate::build::report::Report;
use crate::build::steps::Plan;
use crate::build::{self, Request};
use crate::engine::filter::Filters;
use crate::error::{Context as _, Error, Result};
use crate::image::reference::Reference;
use crate::json;
use crate::wire::container::HostConfig;

/// What only BuildKit has, and a client may ask for.
const REFUSED: [&str; 3] = ["outputs", "squash", "session"];

pub fn build(call: &mut Call<'_>) -> Result<Reply> {
    let (request, name) = request(call)?;
    let engine = call.engine;
    let remote = call.query("remote").unwrap_or_default().to_string();
    let context = match &remote[..] {
        "" | "client-session" => {
            let body = &mut call.connection.body();
            Context::receive(engine, body, &name)
        }
        url => build::context::fetch(engine, url, &name),
    }?;
    let plan = Plan::new(&context.dockerfile, &request)?;
    let mut wear = engine.wear_of("build");
    for tag in &request.tags {
        wear.name(tag);
    }

    let client = call.connection.fd().try_clone_to_owned();
    let client = client.map_err(|e| Error::io("keep the connection", &e))?;
    let is_quiet = call.flag("q");
    let mut stream = call.connection.stream(200, JSON)?;
    let mut report = Report::new(&mut stream, client, is_quiet);
    let mut outcome = build::steps::build(engine, &request, &context, plan, &mut report);
    if let Ok(id) = &outcome {
        let told = finish(engine, &request, id, &mut report);
        outcome = told.and(outcome);
    }
    // Nothing of it is left when the client has the answer.
    drop(context);
    match report.end(&outcome) {
        Ok(()) => stream.finish().map(|()| Reply::Done),
        Err(_) => Ok(Reply::Close),
    }
}

fn finish(
    engine: &crate::engine::Engine,
    request: &Request,
    id: &str,
    report: &mut Report<'_>,
) -> Result<()> {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    report.say(&format!(
        "Successfully built {}\n",
        crate::id::short(digits)
    ))?;
    for tag in &request.tags {
        engine.image_tag(id, tag)?;
        let name = Reference::parse(tag)?.with_default_tag().familiar();
        report.say(&format!("Successfully tagged {name}\n"))?;
    }
    Ok(())
}

/// The query as the request that it is, and the Dockerfile's path.
fn request(call: &Call<'_>) -> Result<(Request, String)> {
    let text = |name: &str| call.query(name).unwrap_or_default();
    if text("version") == "2" {
        return Err(Error::invalid(
            "BuildKit is not supported by daemon: use the classic builder (DOCKER_BUILDKIT=0)",
        ));
    }
    for name in REFUSED {
        if !matches!(text(name), "" | "0" | "false" | "[]" | "null") {
            return Err(Error::unsupported(format!(
                "build with {name} is not supported: this is the classic builder"
            )));
        }
    }
    let mut tags = Vec::new();
    for tag in call.request.query.all("t").filter(|tag| !tag.is_empty()) {
        let reference = Reference::parse(tag)?;
        if reference.digest.is_some() {
            return Err(Error::invalid("build tag cannot contain a digest"));
        }
        tags.extend(with_tag(&reference.with_default_tag().full(), None));
    }
    let host = HostConfig {
        network_mode: Some(text("networkmode"))
            .filter(|mode| !matches!(*mode, "" | "default"))
            .map(str::to_string),
        memory: call.number("memory")?,
        memory_swap: call.number("memswap")?,
        cpu_shares: call.number("cpushares")?,
        cpu_period: call.number("cpuperiod")?,
        cpu_quota: call.number("cpuquota")?,
        cpuset_cpus: Some(text("cpusetcpus").to_string()),
        cpuset_mems: Some(text("cpusetmems").to_string()),
        cgroup_parent: Some(text("cgroupparent").to_string()),
        shm_size: call.number("shmsize")?,
        extra_hosts: Some(hosts(call)?),
        ulimits: parsed(text("ulimits"), "ulimits")?,
        security_opt: parsed(text("securityopt"), "securityopt")?,
        ..HostConfig::default()
    };
    let request = Request {
        tags,
        args: parsed(text("buildargs"), "buildargs")?.unwrap_or_default(),
        labels: parsed(text("labels"), "labels")?.unwrap_or_default(),
        target: text("target").to_string(),
        platform: text("platform").to_string(),
        no_cache: call.flag("nocache"),
        pull: call.flag("pull"),
        removes: text("rm").is_empty() || call.flag("rm"),
        force_removes: call.flag("forcerm"),
        host,
        registries: registries(call)?,
    };
    let name = match text("dockerfile") {
        "" => "Dockerfile",
        name => name,
    };
    Ok((request, name.to_string()))
}

fn parsed<T: json::value::Value + Default>(text: &str, what: &str) -> Result<Option<T>> {
    match text {
        "" | "null" => Ok(None),
        text => json::parse(text, what).map(Some),
    }
}

/// A list in JSON, or names one by one.
fn hosts(call: &Call<'_>) -> Result<Vec<String>> {
    let given: Vec<&str> = call.request.query.all("extrahosts").collect();
    match given[..] {
        [one] if one.starts_with('[') || one == "null" => {
            Ok(parsed(one, "extrahosts")?.unwrap_or_default())
        }
        _ => Ok(given
            .into_iter()
            .filter(|host| !host.is_empty())
            .map(str::to_string)
            .collect()),
    }
}

/// Whom the client is at each registry.
fn registries(call: &Call<'_>) -> Result<String> {
    let Some(header) = call.request.headers.get("x-registry-config") else {
        return Ok(String::new());
    };
    // As it is written in URLs (RFC 4648, section 5).
    let header = header.replace('-', "+").replace('_', "/");
    let decoded = base64::decode(&header).and_then(|bytes| String::from_utf8(bytes).ok());
    decoded
        .ok_or_else(|| Error::invalid("X-Registry-Config is not base64"))
        .context(|| "build")
}

pub fn prune(call: &mut Call<'_>) -> Result<Reply> {
    Filters::parse(
        call.query("filters"),
        &[
            "until",
            "id",
            "parent",
            "type",
            "description",
            "inuse",
            "shared",
            "private",
        ],
    )?;
    let bytes = build::prune(call.engine)?;
    Ok(Reply::Json(
        200,
        format!("{{\"CachesDeleted\":null,\"SpaceReclaimed\":{bytes}}}"),
    ))
}
