//! `check`: does the store hold what its records say?
//!
//! There is a truth for all of it. An image's id is the digest of its configuration, which names the
//! layers; a layer's diff id is the digest of its archive, which can be made again out of its files
//! (`rebuild`). Before that each entry of the archive is looked for in the tree, so that what is
//! wrong has a name. What somebody has added to a layer's tree is not looked for.

use crate::error::{Error, Result};
use crate::id;
use crate::image::archive::{Archive, Entry, Kind};
use crate::image::inside::{self, as_path, components, is_whiteout, kind, shown};
use crate::image::rebuild::Rebuild;
use crate::image::source::Stream;
use crate::image::{Images, layer, shelf};
use crate::json;
use crate::oci::image::Image;
use crate::store::{record, staging};
use crate::sys::fs;
use rustix::fs::{FileType, Stat};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Files of one layer that are told; a layer without any would be a long list.
const FILES_MAX: usize = 20;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A name of the image, or the digits of its id; of a layer that several have, the first.
    pub image: String,
    /// Digits of the diff id.
    pub layer: Option<String>,
    pub what: String,
}

impl Problem {
    pub fn shown(&self) -> String {
        let Problem { image, layer, what } = self;
        match layer {
            Some(layer) => format!("{image}: layer {}: {what}", id::short(layer)),
            None => format!("{image}: {what}"),
        }
    }
}

/// What there is to repair; digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    pub images: Vec<String>,
    pub layers: Vec<String>,
}

#[derive(Debug, Default)]
pub struct Checked {
    pub images: usize,
    pub layers: usize,
    pub problems: usize,
    pub damage: Damage,
}

pub type Tell<'a> = &'a mut dyn FnMut(&Problem) -> Result<()>;

impl Images {
    /// Look at every image and layer. `is_quick` leaves out the content of files.
    pub fn check(&self, is_quick: bool, tell: Tell<'_>) -> Result<Checked> {
        let mut checked = Checked::default();
        let mut report = |checked: &mut Checked, problem: Problem| {
            checked.problems += 1;
            tell(&problem)
        };
        for name in self.set_aside()? {
            let image = name.trim_end_matches(record::ASIDE).to_string();
            if id::is_full(&image) {
                checked.damage.images.push(image.clone());
            }
            let what = "it could not be read and was set aside".to_string();
            let problem = Problem {
                image,
                layer: None,
                what,
            };
            report(&mut checked, problem)?;
        }

        for store in &self.readonly {
            if let Some(fault) = &store.fault {
                let problem = Problem {
                    image: store.path.display().to_string(),
                    layer: None,
                    what: fault.clone(),
                };
                report(&mut checked, problem)?;
            }
        }

        let mut seen: Vec<String> = Vec::new();
        for held in self.all() {
            checked.images += 1;
            let digits = &held.digits;
            // It may have been removed while we looked.
            let is_there = || self.held(digits).is_ok();
            let problem = |layer: Option<&String>, what: String| Problem {
                image: self.called(digits),
                layer: layer.cloned(),
                what,
            };
            if let Err(error) = self.check_records(digits, &held.layers)
                && is_there()
            {
                checked.damage.images.push(digits.clone());
                report(&mut checked, problem(None, error.message.clone()))?;
            }
            for diff in &held.layers {
                if seen.contains(diff) {
                    continue;
                }
                seen.push(diff.clone());
                checked.layers += 1;
                let wrong = self.check_layer(diff, is_quick);
                if wrong.is_empty() || !is_there() {
                    continue;
                }
                checked.damage.layers.push(diff.clone());
                for what in wrong {
                    report(&mut checked, problem(Some(diff), what))?;
                }
            }
        }
        Ok(checked)
    }

    /// Digits of the layers of an image.
    pub fn layers_of(&self, id: &str) -> Result<Vec<String>> {
        self.held(&self.resolve(id)?).map(|held| held.layers)
    }

    /// Records of images that could not be read at a start.
    fn set_aside(&self) -> Result<Vec<String>> {
        if !self.images.exists() {
            return Ok(Vec::new());
        }
        let mut names = staging::names(&self.images)?;
        names.retain(|name| name.ends_with(record::ASIDE));
        Ok(names)
    }

    fn called(&self, digits: &str) -> String {
        let names = self.names(digits);
        let name = names.first().map(|name| name.familiar());
        name.unwrap_or_else(|| id::short(digits).to_string())
    }

    fn check_records(&self, digits: &str, layers: &[String]) -> Result<()> {
        let dir = self.image_dir(digits);
        let there = shelf::read_image(dir.parent().unwrap_or(&dir), digits)?;
        let image: Image = json::parse_bytes(&shelf::config(&dir)?, "image configuration")?;
        let named = image.rootfs.and_then(|rootfs| rootfs.diff_ids);
        let named = named.unwrap_or_default();
        let is_same =
            |(diff_id, diff): (&String, &String)| id::digest_hex(diff_id).ok() == Some(diff);
        let are_same =
            named.len() == there.layers.len() && named.iter().zip(&there.layers).all(is_same);
        match are_same && there.layers == *layers {
            true => Ok(()),
            false => Err(Error::invalid(
                "its record has other layers than its configuration",
            )),
        }
    }

    /// All that is wrong with a layer.
    fn check_layer(&self, diff: &str, is_quick: bool) -> Vec<String> {
        let Some(layers) = self.layers_with(diff) else {
            return vec!["it is missing".to_string()];
        };
        let record = layer::read(&layers, diff);
        if record.and_then(|record| record.diff_id) != Some(format!("sha256:{diff}")) {
            return vec!["layer.json cannot be read, or is another layer's".to_string()];
        }
        // Stores made elsewhere may lack what only root can give.
        let is_ours = layers == self.layers;
        let mut wrong = match compare(&layers, diff, is_ours) {
            Ok(wrong) => wrong,
            Err(error) => vec![error.message.clone()],
        };
        if wrong.is_empty()
            && !is_quick
            && let Err(error) = read_all(&layers, diff)
        {
            wrong.push(error.message.clone());
        }
        wrong
    }
}

/// Make the archive again; its end comes only if the digest is right.
fn read_all(layers: &Path, diff: &str) -> Result<()> {
    let mut rebuild = Rebuild::open(layers, diff)?;
    let mut buffer = vec![0; 64 << 10];
    while rebuild.read(&mut buffer).map_err(|e| unreadable(&e))? > 0 {}
    Ok(())
}

/// Without what `Rebuild` says to those who only want an archive.
fn unreadable(error: &std::io::Error) -> Error {
    let text = error.to_string();
    let why = text
        .split_once("is damaged: ")
        .map_or(&text[..], |(_, why)| why);
    Error::invalid(why.split(" (tug").next().unwrap_or(why))
}

/// Each entry of the archive with what lies in the tree.
fn compare(layers: &Path, diff: &str, with_owners: bool) -> Result<Vec<String>> {
    let root = fs::open_dir(&layer::diff_dir(layers, diff))?;
    let mut skim = Rebuild::skim(layers, diff)?;
    let mut archive = Archive::new(&mut skim);
    let mut wrong: Vec<(Vec<u8>, &'static str)> = Vec::new();
    let mut uncounted = 0;
    while let Some(entry) = archive.next().map_err(|e| unreadable(&e))? {
        let path = components(&entry.path);
        let found = difference(&root, &path, &entry, with_owners)?;
        let path = path.join(&b'/');
        // Of what is twice in the archive the later counts, and takes what was below the earlier.
        let is_replaced = |known: &[u8]| {
            let below = known.strip_prefix(&path[..]);
            below.is_some_and(|rest| rest.is_empty() || (found.is_none() && rest[0] == b'/'))
        };
        wrong.retain(|(known, _)| !is_replaced(known));
        match found {
            Some(what) if wrong.len() < FILES_MAX => wrong.push((path, what)),
            Some(_) => uncounted += 1,
            None => {}
        }
    }
    let mut told: Vec<String> = wrong
        .iter()
        .map(|(path, what)| format!("{} {what}", shown(path)))
        .collect();
    if uncounted > 0 {
        told.push(format!("and {uncounted} more"));
    }
    Ok(told)
}

/// What is different in the tree from what an entry says.
fn difference(
    root: &OwnedFd,
    path: &[Vec<u8>],
    entry: &Entry,
    with_owners: bool,
) -> Result<Option<&'static str>> {
    // The root belongs to whoever mounts the layer.
    let Some((name, above)) = path.split_last() else {
        return Ok(None);
    };
    let Ok(parent) = inside::open_dir(root, above) else {
        return Ok(Some("is missing"));
    };
    let parent = parent.as_fd();
    if name.starts_with(b".wh..wh.") || above.iter().any(|part| part.starts_with(b".wh..wh.")) {
        return Ok(None);
    }
    if let Some(hidden) = name.strip_prefix(b".wh.") {
        // The layer may have its own of that name; or there is a mark in place of a node.
        let is_there = |name: &[u8]| fs::stat_at(parent, as_path(name));
        let is_hidden = is_there(hidden)?.is_some() || is_there(name)?.is_some();
        return Ok((!is_hidden).then_some("is missing"));
    }
    let Some(stat) = fs::stat_at(parent, as_path(name))? else {
        return Ok(Some("is missing"));
    };
    let wanted = match entry.kind {
        Kind::File | Kind::HardLink => FileType::RegularFile,
        Kind::Directory => FileType::Directory,
        Kind::Symlink => FileType::Symlink,
        Kind::CharDevice => FileType::CharacterDevice,
        Kind::BlockDevice => FileType::BlockDevice,
        Kind::Fifo => FileType::Fifo,
    };
    // A link may be to anything but a directory.
    let is_kind = match entry.kind {
        Kind::HardLink => kind(&stat) != FileType::Directory && !is_whiteout(&stat),
        _ => kind(&stat) == wanted,
    };
    if !is_kind {
        return Ok(Some("is something else"));
    }
    if entry.kind == Kind::File && stat.st_size as u64 != entry.size {
        return Ok(Some(match stat.st_size {
            0 => "is empty",
            _ => "has another length",
        }));
    }
    if entry.kind == Kind::Symlink && fs::read_link_at(parent, as_path(name))? != entry.link {
        return Ok(Some("leads elsewhere"));
    }
    let is_owned = !with_owners || entry.kind == Kind::HardLink || has_owner(&stat, entry);
    Ok((!is_owned).then_some("has another owner or mode"))
}

fn has_owner(stat: &Stat, entry: &Entry) -> bool {
    let has_mode = entry.kind == Kind::Symlink || stat.st_mode & 0o7777 == entry.mode & 0o7777;
    has_mode && i64::from(stat.st_uid) == entry.uid && i64::from(stat.st_gid) == entry.gid
}
