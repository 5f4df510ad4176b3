//! Volumes while somebody uses them: a container that runs, or somebody who looks into one.

use crate::engine::Engine;
use crate::engine::container::Container;
use crate::engine::spec::wanted::Kind;
use crate::engine::volume::names;
use crate::error::{Kind as ErrorKind, Result};
use crate::id;

/// Those of a container are ready as long as this lives.
pub struct Held<'a> {
    engine: &'a Engine,
    user: String,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.engine.release_volumes(&self.user);
    }
}

impl Engine {
    /// Before the container starts. They stay ready until `release_volumes`, whatever becomes of us.
    pub(in crate::engine) fn ready_volumes(&self, container: &Container, user: &str) -> Result<()> {
        for name in names(container) {
            self.volumes
                .get(&name)
                .and_then(|volume| self.volumes.prepare(&volume, user))
                .inspect_err(|_| self.release_volumes(user))
                // To a client that starts a container 404 says that there is none.
                .map_err(|error| match error.kind {
                    ErrorKind::NotFound => error.with_kind(ErrorKind::System),
                    _ => error,
                })?;
        }
        Ok(())
    }

    /// `user` has ended.
    pub(in crate::engine) fn release_volumes(&self, user: &str) {
        for error in self.volumes.release(user) {
            self.note(error);
        }
    }

    /// For a moment's look.
    pub(in crate::engine) fn hold_volumes(&self, container: &Container) -> Result<Held<'_>> {
        let user = id::random()?;
        self.ready_volumes(container, &user)?;
        Ok(Held { engine: self, user })
    }

    /// After the start of the engine: what runs uses its volumes, and nobody uses others.
    pub(in crate::engine) fn recover_volumes(&self) {
        for container in self.containers() {
            // One whose shim has not answered yet may run.
            if !container.is_running() && !self.run_dir(&container.id).exists() {
                continue;
            }
            for name in names(&container) {
                if let Some(volume) = self.volumes.find(&name) {
                    self.volumes.claim(&volume, &container.id);
                }
            }
        }
        for error in self.volumes.settle() {
            self.note(error);
        }
    }

    /// Tell that a container has begun to use its volumes.
    pub(in crate::engine) fn tell_mounts(&self, container: &Container) {
        for wanted in container.wanted().unwrap_or_default() {
            if wanted.kind == Kind::Volume {
                let access = if wanted.readonly { "false" } else { "true" };
                let attributes = [
                    ("container", container.id.as_str()),
                    ("destination", &wanted.destination),
                    ("propagation", &wanted.propagation),
                    ("read/write", access),
                ];
                self.tell_volume(&wanted.source, "mount", &attributes);
            }
        }
    }

    /// Tell that it uses them no more.
    pub(in crate::engine) fn tell_unmounts(&self, container: &Container) {
        for name in names(container) {
            self.tell_volume(&name, "unmount", &[("container", &container.id)]);
        }
    }

    /// Remove those that the container had for itself alone.
    pub(in crate::engine) fn remove_anonymous(&self, container: &Container) {
        for wanted in container.wanted().unwrap_or_default() {
            let own = container.named.get(&wanted.destination);
            if wanted.kind != Kind::Volume || own != Some(&wanted.source) {
                continue;
            }
            match self.volume_remove(&wanted.source, true) {
                // Another container has it by `--volumes-from`.
                Err(error) if error.kind == ErrorKind::Conflict => {}
                Err(error) => self.note(error),
                Ok(()) => {}
            }
        }
    }
}
