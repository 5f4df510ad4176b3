//! rename: another name for a container.

use crate::engine::container::Container;
use crate::engine::{Engine, names};
use crate::error::{Context, Error, Result};

impl Engine {
    pub fn rename(&self, container: &Container, name: &str) -> Result<()> {
        if name.is_empty() {
            return Err(Error::invalid("Neither old nor new names may be empty"));
        }
        self.check_not_aside(&container.id)?;
        let allocating = || "Error when allocating new name";
        let slashed = format!("/{}", name.trim_start_matches('/'));
        let name = names::check(&slashed).context(allocating)?;
        let _busy = container.occupy();
        let old = container.name();
        if name == old {
            return Err(Error::invalid(
                "Renaming a container with the same name as its current name",
            ));
        }
        self.reserve_name(name, &container.id).context(allocating)?;
        container.lock().name = name.to_string();
        self.persist(container);
        self.release_name(&old, &container.id);
        self.rename_in_networks(container);
        self.tell(container, "rename", &[("oldName", &format!("/{old}"))]);
        Ok(())
    }
}
