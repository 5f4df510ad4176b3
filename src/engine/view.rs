//! A container's files, for the verbs that read and write them from outside: whatever state it is in.

use crate::engine::container::{Container, Phase};
use crate::engine::spec::wanted::Kind;
use crate::engine::{Engine, lock, volume};
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::image::view::{Base, Extra, View};
use crate::shim::client::{self, Shim};
use crate::store::limit;
use crate::store::staging::Staging;
use crate::sys::{namespace, process};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The layers alone, as `export` has them: with nothing of what is mounted.
    Layers,
    /// All that the user sees inside.
    Read,
    Write,
}

/// Who writes to the files of a container that does not run. A start or a removal takes them away:
/// it does not wait for a client that sends an archive slowly.
#[derive(Default)]
pub struct Writers(Mutex<Turn>);

/// Guarded by `Writers`.
#[derive(Default)]
struct Turn {
    number: u64,
    /// Two overlays over one directory would not see each other's changes: writers share one.
    view: Weak<View>,
}

/// The files of a container's image.
pub struct Layers {
    pub view: View,
    /// Made for this look, where they cannot be mounted.
    _copy: Option<Staging>,
}

impl Writers {
    /// From now on nobody who writes goes on.
    pub fn stop(&self) {
        let mut turn = lock(&self.0);
        turn.number += 1;
        turn.view = Weak::new();
    }

    pub fn turn(&self) -> u64 {
        lock(&self.0).number
    }

    pub fn may_go_on(&self, turn: u64) -> Result<()> {
        match self.turn() == turn {
            true => Ok(()),
            false => Err(Error::conflict(
                "the container was started or removed while files were copied into it: copy them again",
            )),
        }
    }
}

impl Engine {
    /// The container's files. As long as the answer lives, they can be reached.
    pub fn view(&self, container: &Container, purpose: Purpose) -> Result<Arc<View>> {
        let extra = match purpose {
            Purpose::Layers => Vec::new(),
            _ => self.extra(container)?,
        };
        // As long as we mount; the mounts themselves then hold what they show.
        let _held = match purpose {
            Purpose::Layers => None,
            _ => Some(self.hold_volumes(container)?),
        };
        let shim = container.lock().shim.clone();
        if let Some(shim) = shim {
            match self.mounted(container, &shim, &extra) {
                // The container has ended. A shim unmounts before it stops to listen; it may stay for
                // clients that have not read everything.
                Err(error) if error.kind == ErrorKind::Gone => {}
                view => return view.map(Arc::new),
            }
        }

        // While we mount, nobody starts or removes it.
        let _busy = container.occupy();
        let phase = container.lock().phase;
        if matches!(phase, Phase::Removing | Phase::Dead | Phase::Removed) {
            return Err(Error::conflict(format!(
                "container {} is marked for removal",
                container.id
            )));
        }
        match purpose {
            Purpose::Write => self.writable(container, &extra),
            // Before the first start the places of volumes may be missing, and have to be made.
            Purpose::Read if phase == Phase::Created && !volume::names(container).is_empty() => {
                self.writable(container, &extra)
            }
            _ => self.unmounted(container, &extra).map(Arc::new),
        }
    }

    /// The layers of the image, without what the container has changed.
    pub(super) fn layers(&self, container: &Container) -> Result<Layers> {
        let mut layers = self.lower_dirs(container)?;
        let mut copy = None;
        if container.is_copied {
            let new = Staging::new(&self.containers_dir())?;
            self.images.merge(&container.image_id, new.path())?;
            layers.push(new.path().to_path_buf());
            copy = Some(new);
        }
        let place = self.data_dir(&container.id);
        Ok(Layers {
            view: View::open(&Base::Layers(&layers), &[], &place, true)?,
            _copy: copy,
        })
    }

    /// What the container has changed, running or not.
    pub(super) fn upper(&self, container: &Container) -> Result<OwnedFd> {
        limit::open(&self.data_dir(&container.id), "upper")
    }

    fn unmounted(&self, container: &Container, extra: &[Extra]) -> Result<View> {
        let files = limit::place(&self.data_dir(&container.id));
        let mut layers = vec![files.join("upper")];
        layers.extend(self.lower_dirs(container)?);
        let place = self.data_dir(&container.id);
        View::open(&Base::Layers(&layers), extra, &place, true)
    }

    fn writable(&self, container: &Container, extra: &[Extra]) -> Result<Arc<View>> {
        let mut turn = lock(&container.writers.0);
        if let Some(view) = turn.view.upgrade() {
            return Ok(view);
        }
        let layers = self.lower_dirs(container)?;
        let data_dir = self.data_dir(&container.id);
        let files = limit::place(&data_dir);
        let base = Base::Writable {
            layers: &layers,
            upper: &files.join("upper"),
            work: &files.join("work"),
        };
        let view = Arc::new(View::open(&base, extra, &data_dir, is_readonly(container))?);
        turn.view = Arc::downgrade(&view);
        Ok(view)
    }

    /// The files as a shim has them mounted. `ErrorKind::Gone`: it has left.
    fn mounted(&self, container: &Container, shim: &Shim, extra: &[Extra]) -> Result<View> {
        // 0 when it does not run.
        let pid = container.lock().pid;
        let run_dir = self.run_dir(&container.id);
        let base = Base::Mounted {
            shim: mounts_of(shim, &run_dir)?,
            rootfs: &run_dir.join("bundle/rootfs"),
            container: inner(pid),
        };
        let place = self.data_dir(&container.id);
        View::open(&base, extra, &place, is_readonly(container))
    }

    /// What is mounted for the user, parents first, and the three files that the engine writes.
    pub(super) fn extra(&self, container: &Container) -> Result<Vec<Extra>> {
        let data_dir = self.data_dir(&container.id);
        let mut extra = Vec::new();
        for name in ["hostname", "hosts", "resolv.conf"] {
            let source = data_dir.join(name);
            if source.exists() {
                extra.push(Extra {
                    source: Some(source),
                    destination: Path::new("/etc").join(name),
                    readonly: false,
                    subpath: String::new(),
                });
            }
        }
        for wanted in container.wanted()? {
            let destination = PathBuf::from(&wanted.destination);
            let source = match wanted.kind {
                Kind::Tmpfs => None,
                Kind::Bind => Some(PathBuf::from(wanted.source)),
                Kind::Volume => Some(self.volumes.data(&wanted.source)),
                Kind::Image => continue,
            };
            extra.retain(|other| other.destination != destination);
            extra.push(Extra {
                source,
                subpath: wanted.subpath,
                destination,
                readonly: wanted.readonly,
            });
        }
        extra.sort_by_key(|mount| mount.destination.components().count());
        Ok(extra)
    }
}

fn is_readonly(container: &Container) -> bool {
    container.host.readonly_rootfs == Some(true)
}

/// The shim's mount namespace. The number of a process may be another's by now; that the shim still
/// serves after we have looked says that it was not.
fn mounts_of(shim: &Shim, run_dir: &Path) -> Result<OwnedFd> {
    let gone = || Error::new(ErrorKind::Gone, "the container's shim has left");
    let namespace = namespace::of_process(shim.pid(), "mnt").map_err(|_| gone())?;
    match client::connect(run_dir)?.pid() == shim.pid() {
        true => Ok(namespace),
        false => Err(gone()),
    }
}

/// The mount namespace of the container's first process, if it lives on: held by a descriptor while
/// we look, so that it is no other's.
fn inner(pid: i32) -> Option<OwnedFd> {
    let process = process::open(pid).ok()?;
    let namespace = namespace::of_process(pid, "mnt").ok()?;
    process::signal(&process, 0).ok().map(|()| namespace)
}
