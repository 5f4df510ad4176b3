//! The table of what can be asked for.

use crate::api::{
    Call, Reply, build, check, containers, exec, files, images, networks, registries, sets,
    streams, system, volumes,
};
use crate::error::Result;
use crate::http::query;

pub type Handler = fn(&mut Call<'_>) -> Result<Reply>;

/// `{}` stands for one part of the path, `{*}` for one or more: names of images have slashes. The
/// first row that fits decides.
const ROUTES: &[(&str, &str, Handler)] = &[
    ("GET", "/_ping", system::ping),
    ("HEAD", "/_ping", system::ping),
    ("GET", "/version", system::version),
    ("GET", "/info", system::info),
    ("GET", "/events", streams::events),
    ("POST", "/system/check", check::check),
    ("GET", "/system/df", system::df),
    ("GET", "/tug/wear", system::wear),
    ("POST", "/system/repair", check::repair),
    ("GET", "/tug/sets", sets::list),
    ("POST", "/tug/sets", sets::apply),
    ("GET", "/tug/sets/{}", sets::inspect),
    ("POST", "/tug/sets/{}/commit", sets::commit),
    ("POST", "/tug/sets/{}/rollback", sets::rollback),
    ("POST", "/auth", registries::auth),
    ("POST", "/build", build::build),
    ("POST", "/build/prune", build::prune),
    ("POST", "/session", system::no_buildkit),
    ("POST", "/grpc", system::no_buildkit),
    ("GET", "/distribution/{*}/json", registries::distribution),
    ("GET", "/networks", networks::list),
    ("GET", "/networks/{}", networks::inspect),
    ("DELETE", "/networks/{}", networks::remove),
    ("POST", "/networks/create", networks::create),
    ("POST", "/networks/prune", networks::prune),
    ("POST", "/networks/{}/connect", networks::connect),
    ("POST", "/networks/{}/disconnect", networks::disconnect),
    ("GET", "/plugins", system::no_plugins),
    ("GET", "/volumes", volumes::list),
    ("GET", "/volumes/{}", volumes::inspect),
    ("PUT", "/volumes/{}", volumes::update),
    ("DELETE", "/volumes/{}", volumes::remove),
    ("POST", "/volumes/create", volumes::create),
    ("POST", "/volumes/prune", volumes::prune),
    ("GET", "/containers/json", containers::list),
    ("POST", "/commit", files::commit),
    ("POST", "/containers/create", containers::create),
    ("POST", "/containers/prune", containers::prune),
    ("GET", "/containers/{}/json", containers::inspect),
    ("GET", "/containers/{}/logs", streams::logs),
    ("POST", "/tug/logs/{}/persist", containers::persist_log),
    ("GET", "/containers/{}/stats", streams::stats),
    ("GET", "/containers/{}/top", containers::top),
    ("GET", "/containers/{}/checkpoints", system::checkpoint),
    ("POST", "/containers/{}/checkpoints", system::checkpoint),
    ("POST", "/containers/{}/start", containers::start),
    ("POST", "/containers/{}/stop", containers::stop),
    ("POST", "/containers/{}/restart", containers::restart),
    ("POST", "/containers/{}/kill", containers::kill),
    ("POST", "/containers/{}/wait", streams::wait),
    ("POST", "/containers/{}/attach", streams::attach),
    ("GET", "/containers/{}/attach/ws", streams::attach_websocket),
    ("POST", "/containers/{}/resize", containers::resize),
    ("POST", "/containers/{}/rename", containers::rename),
    ("POST", "/containers/{}/pause", containers::pause),
    ("POST", "/containers/{}/unpause", containers::unpause),
    ("POST", "/containers/{}/update", containers::update),
    ("HEAD", "/containers/{}/archive", files::archive_head),
    ("GET", "/containers/{}/archive", files::archive_get),
    ("PUT", "/containers/{}/archive", files::archive_put),
    ("GET", "/containers/{}/changes", files::changes),
    ("GET", "/containers/{}/export", files::export),
    ("POST", "/containers/{}/exec", exec::create),
    ("DELETE", "/containers/{}", containers::remove),
    ("POST", "/exec/{}/start", exec::start),
    ("POST", "/exec/{}/resize", exec::resize),
    ("GET", "/exec/{}/json", exec::inspect),
    ("GET", "/images/json", images::list),
    ("POST", "/images/create", images::create),
    ("POST", "/images/load", images::load),
    ("POST", "/images/prune", images::prune),
    ("GET", "/images/search", registries::search),
    ("GET", "/images/get", images::save),
    ("GET", "/images/{*}/get", images::save),
    ("GET", "/images/{*}/json", images::inspect),
    ("GET", "/images/{*}/history", images::history),
    ("GET", "/images/{*}/delta", images::delta),
    ("GET", "/images/{*}/verify", images::verify),
    ("POST", "/images/{*}/delta", images::push_delta),
    ("POST", "/images/{*}/push", images::push),
    ("POST", "/images/{*}/tag", images::tag),
    ("DELETE", "/images/{*}", images::remove),
];

/// What only a swarm has, with everything below it.
const SWARM: [&str; 6] = ["configs", "nodes", "secrets", "services", "swarm", "tasks"];

/// The handler of a request, and what stood for `{}`.
pub fn find<'a>(method: &str, path: &'a str) -> Option<(Handler, &'a str)> {
    if SWARM.contains(&path.split('/').nth(1)?) {
        return Some((system::swarm, ""));
    }
    ROUTES
        .iter()
        .filter(|(known, _, _)| *known == method)
        .find_map(|(_, pattern, handler)| Some((*handler, fit(pattern, path)?)))
}

/// The path without empty parts, `.` and `..`, percent-encoded; `None` when it has none of those.
pub fn cleaned(path: &str) -> Option<String> {
    let is_odd = |part: &&str| matches!(*part, "" | "." | "..");
    let whole = path.strip_suffix('/').unwrap_or(path);
    whole.split('/').skip(1).find(is_odd)?;
    let mut parts: Vec<String> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(query::encode(part).replace("%3A", ":")),
        }
    }
    let end = if path.ends_with('/') && !parts.is_empty() {
        "/"
    } else {
        ""
    };
    Some(format!("/{}{end}", parts.join("/")))
}

/// What stands in `path` for the pattern's `{}`; empty for a pattern without one.
fn fit<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let (marker, may_have_slashes) = match pattern.contains("{*}") {
        true => ("{*}", true),
        false => ("{}", false),
    };
    let Some((before, after)) = pattern.split_once(marker) else {
        return (pattern == path).then_some("");
    };
    let name = path.strip_prefix(before)?.strip_suffix(after)?;
    (!name.is_empty() && (may_have_slashes || !name.contains('/'))).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_paths_only() {
        assert_eq!(fit("/info", "/info"), Some(""));
        assert_eq!(fit("/info", "/info/"), None);
        assert_eq!(
            fit("/containers/{}/json", "/containers/web/json"),
            Some("web")
        );
        assert_eq!(fit("/containers/{}/json", "/containers//json"), None);
        assert_eq!(fit("/containers/{}/json", "/containers/json"), None);
        assert_eq!(fit("/containers/{}/json", "/containers/a/b/json"), None);
        assert_eq!(fit("/containers/{}", "/containers/web/x"), None);
        assert_eq!(
            fit("/images/{*}/json", "/images/r.io:5000/a/b:1/json"),
            Some("r.io:5000/a/b:1")
        );
    }

    #[test]
    fn odd_paths_lead_to_plain_ones() {
        for (path, expected) in [
            ("//version", Some("/version")),
            ("/v1.41//version", Some("/v1.41/version")),
            ("/a/./b/../c", Some("/a/c")),
            ("/a//", Some("/a/")),
            ("//", Some("/")),
            ("/../..", Some("/")),
            ("/containers//a b:1/json", Some("/containers/a%20b:1/json")),
            ("/version", None),
            ("/version/", None),
            ("/", None),
            ("/a.b/..c", None),
        ] {
            assert_eq!(cleaned(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn the_method_belongs_to_the_route() {
        assert!(find("GET", "/containers/json").is_some());
        assert!(find("POST", "/containers/json").is_none());
        assert_eq!(
            find("DELETE", "/images/a/b").map(|(_, name)| name),
            Some("a/b")
        );
        assert!(find("GET", "/nowhere").is_none());
    }

    #[test]
    fn an_image_may_be_called_json() {
        assert_eq!(
            find("GET", "/images/json/json").map(|(_, name)| name),
            Some("json")
        );
    }
}
