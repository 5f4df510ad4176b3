//! The volumes of a container in the making: made where they are not there, and safe from removal
//! until the container itself is known to have them.

use crate::engine::Engine;
use crate::engine::record::Asked as Container;
use crate::engine::spec::wanted::{self, Kind, Wanted};
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::json::map::Map;
use crate::volume::{Asked, Reserved};
use crate::wire::container::HostConfig;

/// Dropped before it is kept, it takes the volumes away that were made for this container alone.
pub struct Claim<'a> {
    engine: &'a Engine,
    named: Map<String>,
    made: Vec<String>,
    reserved: Vec<Reserved<'a>>,
    heritage: &'a Map<String>,
}

impl Engine {
    /// For what is asked for; its names are added. The config is merged with the image's. A volume
    /// without a name is that of `heritage` at the same place, if there is one.
    pub(in crate::engine) fn claim_volumes<'a>(
        &'a self,
        asked: &mut Container,
        heritage: &'a Map<String>,
    ) -> Result<Claim<'a>> {
        let host = asked.host_config.clone().unwrap_or_default();
        let inherited = asked.inherited.as_deref().unwrap_or_default();
        let named = asked.named.clone().unwrap_or_default();
        let mut all = wanted::with_inherited(&host, inherited, &named)?;
        if let Some(config) = &asked.config {
            all.extend(wanted::unnamed(config, &all)?);
        }
        let id = asked.id.clone().unwrap_or_default();
        let durable = host.auto_remove != Some(true);
        let mut claim = Claim {
            engine: self,
            named,
            made: Vec::new(),
            reserved: Vec::new(),
            heritage,
        };
        for mount in all {
            match mount.kind {
                Kind::Volume => claim.volume(&id, mount, &host, durable).map_err(unfit)?,
                Kind::Image => {
                    let image = self.images.find(&mount.source).map_err(unfit)?;
                    claim.named.insert(mount.destination, image.id);
                }
                Kind::Bind | Kind::Tmpfs => {}
            }
        }
        let named = Some(std::mem::take(&mut claim.named));
        asked.named = named.filter(|named| !named.is_empty());
        Ok(claim)
    }
}

/// Its client would take 404 for an image that must be pulled.
fn unfit(error: Error) -> Error {
    match error.kind {
        ErrorKind::NotFound => error.with_kind(ErrorKind::Invalid),
        _ => error,
    }
}

impl Claim<'_> {
    fn volume(&mut self, id: &str, mount: Wanted, host: &HostConfig, durable: bool) -> Result<()> {
        let Wanted {
            source,
            destination,
            volume: options,
            ..
        } = mount;
        let config = options.driver_config.unwrap_or_default();
        let mut driver = config.name.unwrap_or_default();
        if driver.is_empty() && source.is_empty() {
            driver = host.volume_driver.clone().unwrap_or_default();
        }
        let asked = Asked {
            labels: options.labels,
            options: config.options,
            ..Asked::default()
        };
        // Before it is made: nobody shall remove it in between.
        if !source.is_empty() {
            self.reserved.push(self.engine.volumes.reserve(&source, id));
        }
        let is_unnamed = source.is_empty();
        let inherited = self.heritage.get(&destination).filter(|_| is_unnamed);
        if let Some(name) = inherited.filter(|name| self.engine.volumes.find(name).is_some()) {
            self.reserved.push(self.engine.volumes.reserve(name, id));
            self.named.insert(destination, name.clone());
            return Ok(());
        }
        let (volume, _) =
            self.engine
                .make_volume(&source, &driver, asked, durable || !is_unnamed)?;
        if is_unnamed {
            self.reserved
                .push(self.engine.volumes.reserve(&volume.name, id));
            self.made.push(volume.name.clone());
            self.named.insert(destination, volume.name);
        }
        Ok(())
    }

    /// The container is there, and has them.
    pub fn keep(mut self) {
        self.made.clear();
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.reserved.clear();
        for name in std::mem::take(&mut self.made) {
            if let Err(error) = self.engine.volume_remove(&name, true) {
                self.engine.note(error);
            }
        }
    }
}
