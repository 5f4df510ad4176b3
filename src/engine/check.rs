//! system check: whether the store holds what its records say, and what to do where it does not.

use crate::engine::Engine;
use crate::engine::container::Container;
use crate::engine::pull::Wanted;
use crate::error::{Error, Result};
use crate::image::check::{Checked, Damage, Tell};
use crate::image::pull::Audience;
use crate::wire::image::Progress;
use std::io::Read;
use std::sync::Arc;

/// Where what is damaged can be had again.
pub enum Origin<'a> {
    /// An archive, as `load` takes it.
    Archive(&'a mut dyn Read),
    /// An image of a registry.
    Image(&'a Wanted),
    /// Where the images came from, as far as their names by digest say.
    Known,
}

/// What has become of all that was damaged.
#[derive(Default)]
pub struct Repair {
    pub repaired: Damage,
    /// Layers below containers that run, and what else could not be had.
    pub left: Damage,
    /// Records without any use, of images that are no more.
    pub dropped: Vec<String>,
    /// What went wrong with getting it.
    pub failures: Vec<Error>,
}

impl Engine {
    pub fn check(&self, is_quick: bool, tell: Tell<'_>) -> Result<Checked> {
        self.images.check(is_quick, tell)
    }

    /// Containers keep what they are; those that run keep their layers, too.
    pub fn repair(&self, from: &mut Origin<'_>) -> Result<Repair> {
        let mut damage = self.images.check(false, &mut |_| Ok(()))?.damage;
        let mut repair = Repair::default();
        let busy = self.busy_layers()?;
        damage.layers.retain(|diff| {
            let is_busy = busy.contains(diff);
            if is_busy {
                let failure =
                    format!("layer sha256:{diff} is below a running container: stop it first");
                repair.failures.push(Error::conflict(failure));
                repair.left.layers.push(diff.clone());
            }
            !is_busy
        });
        if damage != Damage::default() {
            let mut failures = Vec::new();
            let known = self.images.known_by_digest(&damage);
            let fetch = &mut || failures = self.fetch(&damage, from, &known);
            repair.repaired = self.images.repair(&damage, fetch)?;
            repair.failures.extend(failures);
        }
        let Damage { images, layers } = damage;
        let lists = [
            (images, &repair.repaired.images, &mut repair.left.images),
            (layers, &repair.repaired.layers, &mut repair.left.layers),
        ];
        for (damaged, repaired, left) in lists {
            left.extend(damaged.into_iter().filter(|what| !repaired.contains(what)));
        }

        let containers = self.containers();
        let is_used = |image: &str| containers.iter().any(|c| c.image_id == image);
        repair.dropped = self.images.drop_set_aside(&is_used)?;
        repair
            .left
            .images
            .retain(|digits| !repair.dropped.contains(digits));
        Ok(repair)
    }

    /// Get what is damaged. What could not be had is seen afterwards by what there is.
    fn fetch(&self, damage: &Damage, from: &mut Origin<'_>, known: &[String]) -> Vec<Error> {
        match from {
            Origin::Archive(archive) => {
                let loaded = self.images.load_damaged(archive, damage);
                loaded.err().into_iter().collect()
            }
            Origin::Image(wanted) => self
                .image_pull(wanted, &mut Nobody)
                .err()
                .into_iter()
                .collect(),
            Origin::Known if known.is_empty() => vec![Error::not_found(
                "no registry is known to have it: name an archive or an image with --from",
            )],
            Origin::Known => {
                let pull = |name: &String| {
                    let wanted = Wanted {
                        image: name.clone(),
                        ..Wanted::default()
                    };
                    self.image_pull(&wanted, &mut Nobody).err()
                };
                known.iter().filter_map(pull).collect()
            }
        }
    }

    /// Digits of the layers that overlays are mounted on.
    fn busy_layers(&self) -> Result<Vec<String>> {
        let is_mounted = |c: &Arc<Container>| !c.is_copied && c.is_running();
        let mut busy = Vec::new();
        for container in self.containers().into_iter().filter(is_mounted) {
            busy.extend(self.images.layers_of(&container.image_id)?);
        }
        Ok(busy)
    }
}

/// Of a pull for a repair only the outcome is told.
pub struct Nobody;

impl Audience for Nobody {
    fn tell(&mut self, _: &Progress) -> Result<()> {
        Ok(())
    }

    fn has_gone(&self) -> bool {
        false
    }
}
