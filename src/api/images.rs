//! Images: list, inspect, history, import, load, tag, remove.

use crate::api::files::send;
use crate::api::listener::Listener;
use crate::api::{Call, JSON, Reply};
use crate::engine::filter::Filters;
use crate::engine::image::FILTERS;
use crate::engine::inspect::CONFIG;
use crate::engine::prune::IMAGE_FILTERS;
use crate::engine::pull::Wanted;
use crate::error::{Error, Result};
use crate::image::import::Import;
use crate::image::manifest;
use crate::image::reference::Reference;
use crate::json;
use crate::json::object::{self, Object};
use crate::oci::image::Platform;
use crate::wire::image::Progress;

/// Tells what a delta has saved.
const DELTA: &str = "Tug-Delta";

pub fn list(call: &mut Call<'_>) -> Result<Reply> {
    let filters = Filters::parse(call.query("filters"), FILTERS)?;
    let mut images = call.engine.image_list(&filters, call.flag("all"))?;
    if call.flag("shared-size") {
        call.engine.measure_shared(&mut images);
    }
    if call.flag("manifests") {
        call.engine.describe_manifests(&mut images)?;
    }
    for image in &mut images {
        if call.is_before(44) {
            image.virtual_size = image.size;
        }
        if call.is_before(51) {
            image.containers = Some(-1);
        }
        // Clients of then know an image without a name by this one.
        let names = (image.repo_tags.as_mut(), image.repo_digests.as_mut());
        if let (Some(tags), Some(digests)) = names
            && call.is_before(43)
            && tags.is_empty()
            && digests.is_empty()
        {
            tags.push("<none>:<none>".to_string());
            digests.push("<none>@<none>".to_string());
        }
    }
    Reply::json(200, &images)
}

/// Older clients read members that newer versions of the API have no more.
pub fn inspect(call: &mut Call<'_>) -> Result<Reply> {
    let platform = platform(call)?;
    let mut image = call.engine.image_inspect(&call.name, platform.as_ref())?;
    if call.is_before(44) {
        image.virtual_size = image.size;
    }
    let mut text = json::to_string(&image);
    if call.is_before(50) {
        let config = json::to_string(&image.config.unwrap_or_default());
        let config = object::complete(&config, CONFIG);
        text = object::replace(&text, "Config", &config);
    }
    if call.is_before(45) {
        // What the image was once committed from: nobody recorded that for decades.
        let config = object::complete("{}", CONFIG);
        let old = [("Container", "\"\""), ("ContainerConfig", config.as_str())];
        text = object::complete(&text, &old);
    }
    Ok(Reply::Json(200, text))
}

pub fn prune(call: &mut Call<'_>) -> Result<Reply> {
    let filters = Filters::parse(call.query("filters"), IMAGE_FILTERS)?;
    let (deleted, reclaimed) = call.engine.prune_images(&filters)?;
    let mut answer = Object::new();
    match deleted.is_empty() {
        true => answer.put("ImagesDeleted", "null"),
        false => answer.put("ImagesDeleted", &json::to_string(&deleted)),
    };
    let text = answer.number("SpaceReclaimed", reclaimed).finish();
    Ok(Reply::Json(200, text))
}

pub fn history(call: &mut Call<'_>) -> Result<Reply> {
    let platform = platform(call)?;
    Reply::json(
        200,
        &call.engine.image_history(&call.name, platform.as_ref())?,
    )
}

pub fn remove(call: &mut Call<'_>) -> Result<Reply> {
    Reply::json(
        200,
        &call.engine.image_remove(&call.name, call.flag("force"))?,
    )
}

pub fn tag(call: &mut Call<'_>) -> Result<Reply> {
    let repo = call.query("repo").unwrap_or_default();
    // By itself: 64 hexadecimal digits are no name, and would be one with a tag behind them.
    if !repo.is_empty() {
        Reference::parse(repo)?;
    }
    let reference = with_tag(repo, call.query("tag")).ok_or_else(|| {
        Error::invalid("invalid reference format: repository name must not be empty")
    })?;
    call.engine.image_tag(&call.name, &reference)?;
    Ok(Reply::Status(201))
}

/// `repo` and `tag` as one name; a digest as tag is joined by `@`.
pub(super) fn with_tag(repo: &str, tag: Option<&str>) -> Option<String> {
    if repo.is_empty() {
        return None;
    }
    Some(match tag.unwrap_or_default() {
        "" => repo.to_string(),
        digest if digest.starts_with("sha256:") => format!("{repo}@{digest}"),
        tag => format!("{repo}:{tag}"),
    })
}

/// Pull (`fromImage`), or import (`fromSrc=-`).
pub fn create(call: &mut Call<'_>) -> Result<Reply> {
    if call
        .query("fromImage")
        .is_some_and(|image| !image.is_empty())
    {
        return pull(call);
    }
    let from = match call.query("fromSrc").unwrap_or_default() {
        "" => return Err(Error::invalid("fromImage or fromSrc is required")),
        from if from == "-" || from.contains("://") => from.to_string(),
        host => format!("http://{host}"),
    };
    let text = |name: &str| {
        call.query(name)
            .filter(|text| !text.is_empty())
            .map(str::to_string)
    };
    let import = Import {
        from,
        reference: with_tag(call.query("repo").unwrap_or_default(), call.query("tag")),
        changes: call
            .request
            .query
            .all("changes")
            .map(str::to_string)
            .collect(),
        message: text("message"),
        platform: text("platform"),
    };
    if import.from != "-" {
        let engine = call.engine;
        let mut listener = Listener::new(call.connection)?;
        let outcome = engine.image_fetch(&import, &mut listener);
        return listener.end(outcome);
    }
    // The body has been read when the answer begins, so that a failure can have its own status.
    let id = call
        .engine
        .image_import(&mut call.connection.body(), &import)?;
    progress(
        call,
        &[Progress {
            status: Some(id),
            ..Progress::default()
        }],
    )
}

fn pull(call: &mut Call<'_>) -> Result<Reply> {
    let text = |name: &str| call.query(name).unwrap_or_default().to_string();
    let wanted = Wanted {
        image: text("fromImage"),
        tag: text("tag"),
        platform: text("platform"),
        credentials: call.credentials()?,
    };
    let mut listener = Listener::new(call.connection)?;
    let outcome = call.engine.image_pull(&wanted, &mut listener);
    listener.end(outcome)
}

pub fn push(call: &mut Call<'_>) -> Result<Reply> {
    let mut name = Reference::parse(&call.name)?;
    if let Some(tag) = call.query("tag").filter(|tag| !tag.is_empty()) {
        name = name
            .with(tag)
            .map_err(|_| Error::invalid("invalid tag format"))?;
    }
    let platform = platform(call)?;
    let credentials = call.credentials()?;
    let engine = call.engine;
    let mut listener = Listener::new(call.connection)?;
    let outcome = engine.image_push(
        &name,
        platform.as_ref(),
        credentials.as_ref(),
        &mut listener,
    );
    listener.end(outcome)
}

pub fn save(call: &mut Call<'_>) -> Result<Reply> {
    let platform = platform(call)?;
    let mut names: Vec<&str> = call.request.query.all("names").collect();
    if !call.name.is_empty() {
        names = vec![&call.name];
    }
    if names.is_empty() {
        return Err(Error::invalid("no images to save"));
    }
    let mut archive = call.engine.image_save(&names, platform.as_ref())?;
    send(call, "application/x-tar", &[], &mut archive)
}

/// Ours: what makes this image out of the one called `base`, as an archive.
pub fn delta(call: &mut Call<'_>) -> Result<Reply> {
    let mut made = call.engine.image_delta(base(call)?, &call.name)?;
    let headers = [(DELTA, &made.shown()[..])];
    send(call, "application/x-tar", &headers, &mut made)
}

/// The same, into the registry.
pub fn push_delta(call: &mut Call<'_>) -> Result<Reply> {
    let (base, name) = (base(call)?.to_string(), call.name.clone());
    let credentials = call.credentials()?;
    let engine = call.engine;
    let mut listener = Listener::new(call.connection)?;
    let outcome = engine.image_delta_push(&base, &name, credentials.as_ref(), &mut listener);
    listener.end(outcome)
}

fn base<'a>(call: &'a Call<'_>) -> Result<&'a str> {
    let base = call.query("base").filter(|base| !base.is_empty());
    base.ok_or_else(|| Error::invalid("base is required: the image that the delta starts from"))
}

/// The image for which machine is meant.
fn platform(call: &Call<'_>) -> Result<Option<Platform>> {
    let text = call.query("platform").filter(|text| !text.is_empty());
    text.map(manifest::platform).transpose()
}

pub fn load(call: &mut Call<'_>) -> Result<Reply> {
    let platform = platform(call)?;
    let mut body = call.connection.body();
    let loaded = call.engine.image_load(&mut body, platform.as_ref())?;
    let lines: Vec<Progress> = loaded
        .iter()
        .flat_map(|image| {
            let line = match &image.reference {
                Some(reference) => format!("Loaded image: {reference}\n"),
                None => format!("Loaded image ID: {}\n", image.id),
            };
            let saved = image.saved.as_ref().map(|saved| format!("{saved}\n"));
            saved.into_iter().chain([line])
        })
        .map(|line| Progress {
            stream: Some(line),
            ..Progress::default()
        })
        .collect();
    progress(call, &lines)
}

/// A stream of JSON lines, as progress comes.
fn progress(call: &mut Call<'_>, lines: &[Progress]) -> Result<Reply> {
    let text: Vec<String> = lines
        .iter()
        .map(|line| json::to_string(line) + "\r\n")
        .collect();
    call.connection
        .respond(200, JSON, text.concat().as_bytes())?;
    Ok(Reply::Done)
}

/// Whether the policy lets an image be used, and what is signed of it.
pub fn verify(call: &mut Call<'_>) -> Result<Reply> {
    let images = &call.engine.images;
    let signed = images.verify(&call.name)?;
    let signed: Vec<String> = signed
        .iter()
        .map(|(digest, name)| {
            let mut one = Object::new();
            one.text("Digest", digest).text("Reference", name).finish()
        })
        .collect();
    let policy = images.policy_path().map(|path| path.display().to_string());
    let mut answer = Object::new();
    answer
        .text("Policy", &policy.unwrap_or_default())
        .put("Signatures", &object::list(&signed));
    Ok(Reply::Json(200, answer.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_and_tag_make_a_name() {
        assert_eq!(with_tag("", Some("x")), None);
        assert_eq!(with_tag("a/b", None).as_deref(), Some("a/b"));
        assert_eq!(with_tag("a/b", Some("1")).as_deref(), Some("a/b:1"));
        assert_eq!(
            with_tag("a", Some("sha256:0")).as_deref(),
            Some("a@sha256:0")
        );
    }
}
