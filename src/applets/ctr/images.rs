//! `tug ctr images`: what can be run.

use super::{Ctr, print_list};
use crate::applets::client::options::Options;
use crate::applets::client::print;
use crate::error::{Error, Result};
use crate::image::Record;
use crate::json::node;

pub fn list(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let mut rows = String::from("REF\tDIGEST\tSIZE\tPLATFORMS\n");
    for image in ctr.images()?.list()? {
        let (id, size) = (&image.id, image.size.div_ceil(1024));
        let os = image.image.os.unwrap_or_default();
        let machine = image.image.architecture.unwrap_or_default();
        let mut tags = image.tags;
        if tags.is_empty() {
            tags.push("<none>".to_string());
        }
        for tag in tags {
            rows.push_str(&format!("{tag}\t{id}\t{size} KiB\t{os}/{machine}\n"));
        }
    }
    print_list(&rows, options)
}

/// The configuration, as its digest names it.
pub fn info(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let name = &options.args[0];
    let digits = name.strip_prefix("sha256:").unwrap_or(name);
    let store = ctr.images()?;
    let images = store.list()?;
    let is_meant = |image: &&Record| {
        let tagged = |tag: &String| tag == name || tag.strip_suffix(":latest") == Some(name);
        image.tags.iter().any(tagged) || image.id["sha256:".len()..].starts_with(digits)
    };
    let image = images
        .iter()
        .find(is_meant)
        .ok_or_else(|| Error::not_found(format!("No such image: {name}")))?;
    let text = store.config(&image.id)?;
    print::line(&node::pretty(&String::from_utf8_lossy(&text)))?;
    Ok(0)
}
