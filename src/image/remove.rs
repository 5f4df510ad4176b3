//! Removing names and images, with Docker's rules and sentences.

use crate::error::{Error, Result};
use crate::id;
use crate::image::readonly::ReadOnly;
use crate::image::reference::Reference;
use crate::image::shelf::Shelf;
use crate::image::{Images, layer, part, shelf};
use crate::json;
use crate::oci::image::Image;
use crate::store::staging;
use crate::wire::image::Deleted;
use sha2::{Digest, Sha256};

impl Images {
    /// Remove what pulls have left that did not come to their end and that nobody goes on with.
    pub fn drop_unfinished(&self) -> Result<()> {
        part::sweep(&self.layers, true)
    }

    /// Take away the name `name`, and the image with its last name; or the image, where `name` is
    /// an id. `used_by` says which container was made from an image, if there is one, in the words
    /// for a sentence: `running container 0123456789ab`. It is asked while no lock of ours is held.
    ///
    /// `force` takes away the names of what is in use; the image itself stays, without a name, until
    /// its containers have gone. (Docker deletes it, and its layers stay for the container alone.)
    pub fn remove(
        &self,
        name: &str,
        force: bool,
        used_by: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<Deleted>> {
        let digits = self.resolve(name)?;
        let user = used_by(&format!("sha256:{digits}"));
        let _change = self.change();
        let names = self.names(&digits);
        let given = named(name, &names);
        if let Some(store) = self.readonly_with(&digits) {
            return self.remove_readonly(name, &digits, given, store);
        }

        if let Some(given) = &given {
            if let Some(user) = user.as_deref().filter(|_| !force && is_single(&names)) {
                let container = user.rsplit(' ').next().unwrap_or(user);
                return Err(Error::conflict(format!(
                    "conflict: unable to remove repository reference \"{}\" (must force) - container {container} is using its referenced image {}",
                    name,
                    id::short(&digits)
                )));
            }
            let going = going_with(given, &names);
            if going.len() < names.len() {
                return self.untag(&going);
            }
        } else {
            check_id(&digits, force, &names, user.as_deref())?;
        }

        let has_children = self.shelf().has_children(&digits);
        if has_children && names.is_empty() {
            let why = "image has dependent child images";
            return Err(unable(&digits, "cannot be forced", why));
        }
        match user {
            // Others are built on it: only its name goes.
            _ if has_children => self.untag(&names),
            Some(_) => self.untag(&names),
            None => self.delete_with_parents(&digits, &names, used_by),
        }
    }

    /// What an image was built of goes with it, as far as it has no name and nobody else needs it.
    fn delete_with_parents(
        &self,
        digits: &str,
        names: &[Reference],
        used_by: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<Deleted>> {
        let mut parent = self.parent_of(digits);
        let mut deleted = self.delete(digits, names)?;
        while let Some(digits) = parent {
            let is_needed = {
                let shelf = self.shelf();
                shelf.held(&digits).is_none()
                    || shelf.has_children(&digits)
                    || !shelf.names(&digits).is_empty()
            };
            if is_needed || used_by(&format!("sha256:{digits}")).is_some() {
                break;
            }
            parent = self.parent_of(&digits);
            deleted.extend(self.delete(&digits, &[])?);
        }
        Ok(deleted)
    }

    fn parent_of(&self, digits: &str) -> Option<String> {
        let shelf = self.shelf();
        let origin = shelf.held(digits)?.origin.as_ref()?;
        origin.parent.clone().filter(|parent| !parent.is_empty())
    }

    /// What others have made stays; of a name that was given to it here, the caller is the master.
    fn remove_readonly(
        &self,
        name: &str,
        digits: &str,
        given: Option<Reference>,
        store: &ReadOnly,
    ) -> Result<Vec<Deleted>> {
        let is_ours = |name: &Reference| self.shelf().refs.contains_key(&name.full());
        let Some(given) = given.filter(is_ours) else {
            let short = id::short(digits);
            return Err(Error::conflict(format!(
                "conflict: unable to remove {name} (cannot be forced) - image {short} is in the read-only store {}",
                store.path.display()
            )));
        };
        let deleted = self.untag(&[given])?;
        // The records were for that name; the store has its own.
        if self.shelf().names(digits).is_empty() {
            staging::remove(&self.images.join(digits))?;
            self.shelf_mut(|shelf| shelf.images.retain(|held| held.digits != digits));
        }
        Ok(deleted)
    }

    fn untag(&self, names: &[Reference]) -> Result<Vec<Deleted>> {
        self.rename(&|shelf| forget(shelf, names))?;
        Ok(names.iter().map(untagged).collect())
    }

    /// The image first, then its layers, as far as no other has them. What a power cut leaves of
    /// them is swept at the next start, and names that lead nowhere are not read.
    fn delete(&self, digits: &str, names: &[Reference]) -> Result<Vec<Deleted>> {
        let chains = chain_ids(&shelf::config(&self.images.join(digits))?);
        staging::remove(&self.images.join(digits))?;
        let layers = self.shelf().held(digits).map(|held| held.layers.clone());
        let layers = layers.unwrap_or_default();
        self.shelf_mut(|shelf| {
            forget(shelf, names);
            shelf.images.retain(|held| held.digits != digits);
        });
        let swept = layer::sweep(&self.layers, &|diff| self.is_wanted(diff))?;
        // Last, because it needs space, which the layers have given back. Should it fail, then the
        // old file says the same.
        if !names.is_empty() {
            let _ = self.rename(&|_| {});
        }

        let removed = |id: String| Deleted {
            untagged: None,
            deleted: Some(id),
        };
        let mut deleted: Vec<Deleted> = names.iter().map(untagged).collect();
        deleted.push(removed(format!("sha256:{digits}")));
        for (diff, chain) in layers.iter().zip(chains).rev() {
            if swept.contains(diff) {
                deleted.push(removed(chain));
            }
        }
        Ok(deleted)
    }
}

fn forget(shelf: &mut Shelf, names: &[Reference]) {
    for name in names {
        shelf.refs.remove(&name.full());
    }
}

fn untagged(name: &Reference) -> Deleted {
    Deleted {
        untagged: Some(name.familiar()),
        deleted: None,
    }
}

/// The name of the image that `name` says, or `None` where it says an id.
fn named(name: &str, names: &[Reference]) -> Option<Reference> {
    let key = Reference::parse(name).ok()?.key();
    names.iter().find(|known| known.full() == key).cloned()
}

/// `given` and what goes with it: with the last tag of a repository go the digests that the image
/// was pulled by from there.
fn going_with(given: &Reference, names: &[Reference]) -> Vec<Reference> {
    let mut going = vec![given.clone()];
    let others = names.iter().filter(|name| is_beside(given, name));
    let (tags, digests): (Vec<_>, Vec<_>) = others.partition(|name| name.digest.is_none());
    if given.digest.is_none() && tags.is_empty() {
        going.extend(digests.into_iter().cloned());
    }
    going
}

/// Whether they are two names of one repository.
fn is_beside(one: &Reference, other: &Reference) -> bool {
    one != other && one.domain == other.domain && one.path == other.path
}

/// Whether an image has no more than one tag, and digests of that tag's repository alone (moby,
/// image_delete.go: isSingleReference).
fn is_single(names: &[Reference]) -> bool {
    let tags = names.iter().filter(|name| name.digest.is_none()).count();
    tags <= 1
        && names
            .iter()
            .all(|name| *name == names[0] || is_beside(name, &names[0]))
}

/// What stands against removing an image by its id.
fn check_id(digits: &str, force: bool, names: &[Reference], user: Option<&str>) -> Result<()> {
    let used = |by: &str| format!("image is being used by {by}");
    match user {
        Some(by) if by.starts_with("running ") || (force && names.is_empty()) => {
            Err(unable(digits, "cannot be forced", &used(by)))
        }
        _ if force => Ok(()),
        _ if !is_single(names) => {
            let why = "image is referenced in multiple repositories";
            Err(unable(digits, "must be forced", why))
        }
        Some(by) => Err(unable(digits, "must be forced", &used(by))),
        None => Ok(()),
    }
}

fn unable(digits: &str, force: &str, why: &str) -> Error {
    let short = id::short(digits);
    Error::conflict(format!(
        "conflict: unable to delete {short} ({force}) - {why}"
    ))
}

/// Docker names layers by all that lies below, too (image-spec, config.md, Layer ChainID), and says
/// those names when it removes them.
fn chain_ids(config: &[u8]) -> Vec<String> {
    let image: Image = json::parse_bytes(config, "image configuration").unwrap_or_default();
    let mut chains: Vec<String> = Vec::new();
    for diff_id in image.rootfs.and_then(|r| r.diff_ids).unwrap_or_default() {
        let chain = match chains.last() {
            None => diff_id,
            Some(below) => {
                let both = Sha256::digest(format!("{below} {diff_id}"));
                format!("sha256:{}", id::hex(&both))
            }
        };
        chains.push(chain);
    }
    chains
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of one image, `#` for a digest.
    fn names(list: &str) -> Vec<Reference> {
        let digest = format!("@sha256:{}", "0".repeat(64));
        let parse = |name: &str| Reference::parse(&name.replace('#', &digest)).unwrap();
        list.split_whitespace().map(parse).collect()
    }

    #[test]
    fn with_the_last_tag_of_a_repository_go_its_digests() {
        for (given, all, count) in [
            ("a:1", "a:1 a# b#", 2),
            ("a:1", "a:1 a:2 a#", 1),
            ("a#", "a:1 a#", 1),
            ("a:1", "a:1 b:1 b#", 1),
            ("x/a:1", "x/a:1 y/a#", 1),
        ] {
            let going = going_with(&names(given)[0], &names(all));
            assert_eq!(going.len(), count, "{given} of {all}");
        }
    }

    #[test]
    fn a_tag_and_the_digests_of_its_repository_are_one_name() {
        for (all, expected) in [
            ("", true),
            ("a:1", true),
            ("a#", true),
            ("a:1 a#", true),
            ("a:1 a:2", false),
            ("a:1 b#", false),
            ("a# b#", false),
        ] {
            assert_eq!(is_single(&names(all)), expected, "{all}");
        }
    }
}
