//! `tug store build`: a store of images for a device's firmware, made on any machine without an
//! engine.

use super::credentials::server_of;
use super::human;
use super::options::{ANY, Options, Verb, flag};
use super::print;
use super::remote::Engine;
use crate::error::{Context, Error, Result};
use crate::image::manifest;
use crate::image::offline::{self, Build, From, Origin};
use crate::image::policy::Policy;
use crate::image::reference::Reference;
use crate::registry::proxy::Proxies;
use crate::registry::{Access, Credentials, Repository, Settings};
use crate::sys::fs::ModifiedAt;
use std::path::Path;

pub const VERB: Verb = Verb {
    names: &["store build"],
    usage: "[OPTIONS] -o FILE|DIR/ [NAME=]SOURCE...",
    about: "Make a store of images for a device's firmware",
    flags: &[&[
        flag(
            "--insecure-registry list",
            "Registry that may be reached without TLS",
        ),
        flag(
            "-o, --output string",
            "An EROFS file, for which no root is needed; a directory, for root, if it is one or has a slash behind",
        ),
        flag(
            "--signature-policy string",
            "Which images may be in it (default: all)",
        ),
        flag(
            "--platform string",
            "Machine that the store is for, such as linux/arm/v7 (default this one)",
        ),
    ]],
    args: (1, ANY),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let Some(output) = options.get("output").filter(|path| !path.is_empty()) else {
        return Err(Error::invalid("store build needs an output: -o FILE|DIR/"));
    };
    let platform = match options.get("platform") {
        Some(text) => manifest::platform(text)?,
        None => manifest::own_platform(),
    };
    let modified = modified(std::env::var("SOURCE_DATE_EPOCH").ok())?;
    let settings = Settings {
        insecure: options.all("insecure-registry").map(String::from).collect(),
        proxies: Proxies::default().with_environment(),
        ..Settings::default()
    };
    let sources = options
        .args
        .iter()
        .map(|text| source(engine, &settings, text));
    let sources = sources.collect::<Result<Vec<From>>>()?;
    let path = Path::new(output);
    let policy = match options.get("signature-policy") {
        Some(path) => Policy::new(Some(path.into())),
        None => Policy::default(),
    };
    let build = Build {
        policy: &policy,
        platform: &platform,
        output: path,
        is_directory: output.ends_with('/') || path.is_dir(),
        modified,
    };
    let images = offline::build(&build, &sources).context(|| "store build")?;
    for image in images {
        let tagged = image.names.iter().filter(|name| name.tag.is_some());
        let names: Vec<String> = tagged.map(Reference::familiar).collect();
        let size = human::size_in_four(i64::try_from(image.size).unwrap_or(i64::MAX));
        if names.is_empty() {
            let id = &image.id;
            print::err(format!(
                "WARNING: {id} has no name: NAME=SOURCE gives it one\n"
            ))?;
        }
        print::line(&format!("{} {} {size}", image.id, names.join(" ")))?;
    }
    Ok(0)
}

/// What a file has for its time that has none in an archive.
fn modified(text: Option<String>) -> Result<ModifiedAt> {
    let text = text.unwrap_or("0".to_string());
    let invalid = |_| Error::invalid(format!("SOURCE_DATE_EPOCH={text} is no number of seconds"));
    Ok(ModifiedAt {
        seconds: text.parse().map_err(invalid)?,
        nanos: 0,
    })
}

/// `[NAME=]SOURCE`. A file of that whole name comes first.
fn source(engine: &Engine, settings: &Settings, text: &str) -> Result<From> {
    let named = || {
        let (name, rest) = text.split_once('=')?;
        let name = Reference::parse(name)
            .ok()
            .filter(|name| name.digest.is_none())?;
        Some((name.with_default_tag(), rest))
    };
    let (name, rest) = match named() {
        Some((name, rest)) if !Path::new(text).exists() => (Some(name), rest),
        _ => (None, text),
    };
    let path = Path::new(rest);
    // What is no file and looks like one is a mistake, and no question to a registry.
    let is_path = path.exists() || rest.starts_with(['/', '.']) || rest.ends_with(".tar");
    let origin = match is_path {
        true => Origin::of(path)?,
        false => registry(engine, settings, rest).context(|| rest)?,
    };
    Ok(From {
        text: rest.to_string(),
        name,
        origin,
    })
}

fn registry(engine: &Engine, settings: &Settings, name: &str) -> Result<Origin> {
    let reference = Reference::parse(name)?.with_default_tag();
    let account = engine.config.account(server_of(&reference.domain))?;
    let credentials = account.map(|account| Credentials {
        username: account.user,
        password: account.password,
        identity_token: account.identity_token,
        registry_token: account.registry_token,
    });
    let (domain, path) = (&reference.domain, &reference.path);
    let repository = Repository::open(settings, domain, path, Access::Pull, credentials.as_ref())?;
    Ok(Origin::Registry(repository, reference))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_build_is_the_environments() {
        assert_eq!(modified(None).unwrap(), ModifiedAt::default());
        assert_eq!(modified(Some("5".into())).unwrap().seconds, 5);
        let error = modified(Some("now".into())).unwrap_err();
        assert_eq!(
            error.message,
            "SOURCE_DATE_EPOCH=now is no number of seconds"
        );
    }
}
