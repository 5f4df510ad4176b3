//! Volumes and images that are mounted: where the runtime finds them.
//!
//! An image's files, or a directory within a volume, are nowhere on the host under a path of their own.
//! The shim mounts those in its mount namespace, below the run directory.

use crate::engine::Engine;
use crate::engine::container::Container;
use crate::engine::spec::wanted::Kind;
use crate::error::Result;
use crate::json::map::Map;
use crate::shim::parts::Part;
use std::path::Path;

impl Engine {
    /// By their places in the container; and what the shim has to mount for that.
    pub(in crate::engine) fn sources(
        &self,
        container: &Container,
        run_dir: &Path,
    ) -> Result<(Map<String>, Vec<Part>)> {
        let text = |path: &Path| path.display().to_string();
        let (mut sources, mut parts) = (Map::new(), Vec::new());
        for mount in container.wanted()? {
            let layers = match mount.kind {
                Kind::Bind | Kind::Tmpfs => continue,
                Kind::Volume => {
                    let data = text(&self.volumes.data(&mount.source));
                    if mount.subpath.is_empty() {
                        sources.insert(mount.destination, data);
                        continue;
                    }
                    vec![data]
                }
                Kind::Image => {
                    let id = container.named.get(&mount.destination);
                    let layers = self.images.lower_dirs(id.unwrap_or(&mount.source))?;
                    layers.iter().map(|layer| text(layer)).collect()
                }
            };
            let place = text(&run_dir.join(format!("part-{}", parts.len())));
            sources.insert(mount.destination.clone(), place.clone());
            parts.push(Part {
                destination: mount.destination,
                place,
                layers,
                subpath: mount.subpath,
            });
        }
        Ok((sources, parts))
    }
}
