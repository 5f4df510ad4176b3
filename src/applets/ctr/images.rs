//! `tug ctr images`: what can be run.

use super::{Ctr, print_list, size};
use crate::applets::client::config::Config;
use crate::applets::client::options::{Flag, Options, flag};
use crate::applets::client::{credentials, print};
use crate::engine::pull::Wanted;
use crate::error::{Error, Result};
use crate::image::check::Problem;
use crate::image::pull::Audience;
use crate::image::reference::Reference;
use crate::image::{Images, Record, manifest};
use crate::json::node;
use crate::registry::Credentials;
use crate::sys::mount;
use crate::wire::image::Progress;
use std::io::{Read, Write};
use std::path::Path;

pub const FORCE: &[Flag] = &[flag("--force", "Take the name from another image")];

pub const PLATFORM: &[Flag] = &[flag(
    "--platform string",
    "For this platform: os/arch[/variant]",
)];
pub const USER: &[Flag] = &[flag(
    "-u, --user string",
    "user[:password] at the registry (default what `tug login` has kept)",
)];

/// What the documents of an image are called where it was pulled, else here.
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";

pub fn list(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let store = ctr.images()?;
    let mut rows = String::from("REF\tTYPE\tDIGEST\tSIZE\tPLATFORMS\tLABELS\n");
    for image in store.list()? {
        let (kind, digest) = target(&store, &image);
        let os = image.image.os.as_deref().unwrap_or_default();
        let machine = image.image.architecture.as_deref().unwrap_or_default();
        let size = size(image.size);
        for name in names(&image) {
            rows.push_str(&format!(
                "{name}\t{kind}\t{digest}\t{size}\t{os}/{machine}\t-\n"
            ));
        }
    }
    print_list(&rows, options)
}

/// An image's type and digest: those of its manifest, where it has come with one.
fn target(store: &Images, image: &Record) -> (String, String) {
    match store.source(&image.id) {
        Some((kind, digest, _)) => (kind, digest),
        None => (CONFIG_TYPE.to_string(), image.id.clone()),
    }
}

fn names(image: &Record) -> Vec<String> {
    match image.tags.is_empty() {
        true => vec!["<none>".to_string()],
        false => image.tags.clone(),
    }
}

/// The configuration, as its digest names it.
pub fn info(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let store = ctr.images()?;
    let text = store.config(&options.args[0])?;
    print::line(&node::pretty(&String::from_utf8_lossy(&text)))?;
    Ok(0)
}

/// Whether all that an image needs is there; with `--verify` what `tug system check` finds, as well.
pub fn check(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let store = ctr.images()?;
    let mut rows = String::from("REF\tTYPE\tDIGEST\tSTATUS\tSIZE\tUNPACKED\n");
    let mut code = 0;
    for image in store.list()? {
        let is_complete = store.lower_dirs(&image.id).is_ok();
        if !is_complete {
            code = 1;
        }
        if options.is("quiet") && !is_complete {
            continue;
        }
        let status = if is_complete {
            "complete"
        } else {
            "incomplete"
        };
        let layers = store.layer_sizes(&image.id)?.len();
        let (kind, digest) = target(&store, &image);
        let size = size(image.size);
        for name in names(&image) {
            rows.push_str(&format!(
                "{name}\t{kind}\t{digest}\t{status} ({layers} layers)\t{size}\t{is_complete}\n"
            ));
        }
    }
    print_list(&rows, options)?;
    if options.is("verify") {
        let tell = &mut |problem: &Problem| print::err(format!("{}\n", problem.shown()));
        let checked = store.check(false, tell)?;
        code |= u8::from(checked.problems > 0);
    }
    Ok(code)
}

pub fn mount(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let store = ctr.images()?;
    let target = &options.args[1];
    store.mount(&options.args[0], Path::new(target))?;
    print::line(target)?;
    Ok(0)
}

pub fn unmount(_: &Ctr, options: &mut Options) -> Result<u8> {
    for target in &options.args {
        mount::unmount(Path::new(target))?;
        print::line(target)?;
    }
    Ok(0)
}

pub fn tag(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let (source, targets) = options.args.split_at(1);
    let is_forced = options.is("force");
    ctr.as_engine("tag", |engine| {
        for target in targets {
            if !is_forced && engine.image_inspect(target, None).is_ok() {
                let sentence = format!("image {target:?}: already exists, see --force");
                return Err(Error::conflict(sentence));
            }
            engine.image_tag(&source[0], target)?;
            print::line(target)?;
        }
        Ok(0)
    })
}

pub fn remove(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    ctr.as_engine("rmi", |engine| {
        for name in &options.args {
            engine.image_remove(name, false)?;
            print::line(name)?;
        }
        Ok(0)
    })
}

/// What the engine tells of a pull or push: a line each, but for the bytes on their way.
struct Lines;

impl Audience for Lines {
    fn tell(&mut self, progress: &Progress) -> Result<()> {
        let (Some(status), None) = (&progress.status, &progress.progress_detail) else {
            return Ok(());
        };
        match &progress.id {
            Some(id) => print::line(&format!("{id}: {status}")),
            None => print::line(status),
        }
    }

    fn has_gone(&self) -> bool {
        false
    }
}

/// The account that --user says, else the one that `tug login` has kept.
fn account(options: &Options, image: &str) -> Result<Option<Credentials>> {
    if let Some(user) = options.get("user") {
        let (username, password) = user.split_once(':').unwrap_or((user, ""));
        return Ok(Some(Credentials {
            username: username.to_string(),
            password: password.to_string(),
            ..Credentials::default()
        }));
    }
    let kept = Config::load(None)?.account(credentials::registry_of(image))?;
    Ok(kept.map(|account| Credentials {
        username: account.user,
        password: account.password,
        identity_token: account.identity_token,
        registry_token: account.registry_token,
    }))
}

pub fn pull(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let image = options.args[0].clone();
    // Without a tag the engine's API means all of them.
    let name = Reference::parse(&image)?.with_default_tag();
    let wanted = Wanted {
        image: name.full(),
        platform: options.get("platform").unwrap_or_default().to_string(),
        credentials: account(options, &image)?,
        ..Wanted::default()
    };
    ctr.as_engine("pull", |engine| engine.image_pull(&wanted, &mut Lines))?;
    Ok(0)
}

pub fn push(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let remote = &options.args[0];
    let name = Reference::parse(remote)?.with_default_tag();
    let credentials = account(options, remote)?;
    ctr.as_engine("push", |engine| {
        // Under the name of another image it goes as that one, and has the name no longer.
        let mut is_lent = false;
        if let Some(local) = options.args.get(1) {
            is_lent = engine.image_inspect(remote, None).is_err();
            engine.image_tag(local, remote)?;
        }
        let pushed = engine.image_push(&name, None, credentials.as_ref(), &mut Lines);
        if is_lent {
            engine.image_remove(remote, true)?;
        }
        pushed
    })?;
    Ok(0)
}

/// Reads the store alone: an engine may be at work.
pub fn export(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let names: Vec<&str> = options.args[1..].iter().map(String::as_str).collect();
    let platform = options
        .get("platform")
        .map(manifest::platform)
        .transpose()?;
    let mut archive = ctr.images()?.save(&names, platform.as_ref())?;
    let path = options.args[0].as_str();
    let failed = |e: &std::io::Error| Error::io(format_args!("write {path}"), e);
    let mut to: Box<dyn Write> = match path {
        "-" => Box::new(std::io::stdout().lock()),
        path => Box::new(std::fs::File::create(path).map_err(|e| failed(&e))?),
    };
    let copied = std::io::copy(&mut archive, &mut to);
    copied.and_then(|_| to.flush()).map_err(|e| failed(&e))?;
    Ok(0)
}

pub fn import(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let path = &options.args[0];
    let mut from: Box<dyn Read> = match path.as_str() {
        "-" => Box::new(std::io::stdin().lock()),
        path => {
            let file = std::fs::File::open(path);
            Box::new(file.map_err(|e| Error::io(format_args!("open {path}"), &e))?)
        }
    };
    let loaded = ctr.as_engine("load", |engine| engine.image_load(&mut from, None))?;
    for image in loaded {
        let name = image.reference.as_ref().unwrap_or(&image.id);
        print::line(&format!("unpacking {name} ({})...done", image.id))?;
    }
    Ok(0)
}
