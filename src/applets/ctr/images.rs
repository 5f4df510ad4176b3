//! `tug ctr images`: what can be run.

use super::{Ctr, print_list, size};
use crate::applets::client::options::{Flag, Options, flag};
use crate::applets::client::print;
use crate::error::{Error, Result};
use crate::image::{Images, Record};
use crate::json::node;
use crate::sys::mount;
use std::io::Read;
use std::path::Path;

pub const FORCE: &[Flag] = &[flag("--force", "Take the name from another image")];

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

/// Whether all that an image needs is there. What its files hold, `tug system check` looks at.
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
