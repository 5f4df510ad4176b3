//! Repairing what `check` has found: what is damaged steps aside, is fetched again by whoever can, and
//! goes when the new one is there; else it comes back.
//!
//! A layer or image that stands aside is called NAME.bad. After a power cut the next start finds
//! either both, and the old one goes, or only the old one, which comes back.

use crate::error::{Context, Result};
use crate::id;
use crate::image::check::Damage;
use crate::image::load::read_all;
use crate::image::shelf::{self, Held};
use crate::image::source::sha256;
use crate::image::{Images, layer};
use crate::store::{record, staging};
use crate::sys::fs;
use std::io::Read;
use std::path::Path;

impl Images {
    /// Have what is damaged fetched again. Answers what has been repaired.
    pub fn repair(&self, damage: &Damage, fetch: &mut dyn FnMut()) -> Result<Damage> {
        let mut away = Vec::new();
        {
            let _change = self.change();
            for diff in &damage.layers {
                step_aside(&self.layers, diff)?;
            }
            for digits in &damage.images {
                step_aside(&self.images, digits)?;
                self.shelf_mut(|shelf| {
                    let is_it = |held: &Held| held.digits == *digits;
                    away.extend(shelf.images.iter().filter(|held| is_it(held)).cloned());
                    shelf.images.retain(|held| !is_it(held));
                });
            }
        }
        fetch();

        let _change = self.change();
        let mut repaired = damage.clone();
        repaired
            .layers
            .retain(|diff| replace_or_return(&self.layers, diff));
        repaired.images.retain(|digits| {
            // One that was aside before stays so.
            let was_known = away.iter().any(|held| held.digits == *digits);
            match self.shelf().held(digits).is_some() || was_known {
                true => replace_or_return(&self.images, digits),
                false => false,
            }
        });
        let is_back = |held: &Held| self.shelf().held(&held.digits).is_none();
        away.retain(is_back);
        self.shelf_mut(|shelf| shelf.images.extend(away));
        fs::sync_dir(&self.layers)?;
        fs::sync_dir(&self.images)?;
        self.clear_up()?;
        Ok(repaired)
    }

    /// The names by digest of the images that are damaged: with those a registry gives just them.
    pub fn known_by_digest(&self, damage: &Damage) -> Vec<String> {
        let shelf = self.shelf();
        let is_damaged = |held: &&Held| {
            damage.images.contains(&held.digits)
                || held.layers.iter().any(|diff| damage.layers.contains(diff))
        };
        let mut known = Vec::new();
        for held in shelf.images.iter().filter(is_damaged) {
            let mut names = shelf.names(&held.digits).into_iter();
            known.extend(names.find(|name| name.digest.is_some()));
        }
        known.iter().map(|name| name.familiar()).collect()
    }

    /// Of an archive as `load` takes it, what is missing of the damaged. Names stay as they are, but
    /// those of an image that is made again.
    pub fn load_damaged(&self, from: &mut dyn Read, damage: &Damage) -> Result<()> {
        let mut members = read_all(self, None, true, from).context(|| "load")?;
        let mut images = members.images().context(|| "load")?;
        members
            .staged
            .retain(|layer| damage.layers.contains(&layer.diff));
        images.retain(|image| damage.images.contains(&sha256(&image.config)));
        self.commit(members.staged, images)
    }

    /// Remove records that can't be repaired and that no image or container misses.
    pub fn drop_set_aside(&self, is_used: &dyn Fn(&str) -> bool) -> Result<Vec<String>> {
        let _change = self.change();
        let mut dropped = Vec::new();
        for name in staging::names(&self.images)? {
            let Some(what) = name.strip_suffix(record::ASIDE) else {
                continue;
            };
            if !is_used(&format!("sha256:{what}")) {
                staging::remove(&self.images.join(&name))?;
                dropped.push(what.to_string());
            }
        }
        self.clear_up()?;
        Ok(dropped)
    }

    /// Layers that nobody has, unless one of the set-aside might. The caller holds `change`.
    fn clear_up(&self) -> Result<()> {
        let is_bad = |name: &String| name.ends_with(record::ASIDE);
        if !staging::names(&self.images)?.iter().any(is_bad) {
            layer::sweep(&self.layers, &|diff| self.is_wanted(diff))?;
        }
        Ok(())
    }
}

fn step_aside(parent: &Path, name: &str) -> Result<()> {
    match parent.join(name).exists() {
        true => record::set_aside(parent, name),
        false => Ok(()),
    }
}

/// True if there is a new one.
fn replace_or_return(parent: &Path, name: &str) -> bool {
    let aside = parent.join(format!("{name}{}", record::ASIDE));
    let place = parent.join(name);
    if place.exists() {
        // What can't be removed now is removed at the next start.
        let _ = staging::discard(&aside);
        return true;
    }
    let _ = fs::rename(&aside, &place);
    false
}

/// After a crash in the midst of a repair (or of what comes before it): see above.
pub fn settle(images: &Path, layers: &Path) -> Result<()> {
    for parent in [images, layers] {
        for name in staging::names(parent)? {
            let Some(what) = name.strip_suffix(record::ASIDE) else {
                continue;
            };
            let is_good =
                || parent == layers || shelf::read_image_in(&parent.join(&name), what).is_ok();
            if id::is_full(what) && (parent.join(what).exists() || is_good()) {
                replace_or_return(parent, what);
            }
        }
    }
    Ok(())
}
