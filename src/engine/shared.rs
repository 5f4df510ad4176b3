//! What a container has from others: namespaces (`container:NAME`) and mounts (`--volumes-from`).

use crate::engine::Engine;
use crate::engine::container::Container;
use crate::engine::spec::wanted;
use crate::engine::validate::modes;
use crate::error::{Error, Kind, Result};
use crate::json::map::Map;
use crate::wire::container::{HostConfig, MountRequest};
use std::sync::Arc;

/// A container that runs, whose namespace is joined.
pub struct Donor {
    pub container: Arc<Container>,
    /// Its first process. It may end while we look; then its namespaces cannot be opened.
    pub pid: i32,
}

impl Donor {
    /// The path of its namespace `file`, such as `net`.
    pub fn namespace(&self, file: &str) -> String {
        format!("/proc/{}/ns/{file}", self.pid)
    }
}

#[derive(Default)]
pub struct Donors {
    pub network: Option<Donor>,
    pub pid: Option<Donor>,
    pub ipc: Option<Donor>,
}

impl Engine {
    /// Put ids in place of names: the donor may be renamed later (moby does the same). Answers the
    /// donor of the network, whose host name is shared too.
    pub(super) fn resolve_donors(&self, host: &mut HostConfig) -> Result<Option<Arc<Container>>> {
        let mut network = None;
        for (at, mode) in [
            &mut host.network_mode,
            &mut host.pid_mode,
            &mut host.ipc_mode,
        ]
        .into_iter()
        .enumerate()
        {
            if let Some(name) = modes::donor(mode.as_deref()).filter(|name| !name.is_empty()) {
                let donor = self.find(name).map_err(unfit)?;
                *mode = Some(format!("container:{}", donor.id));
                network = network.or((at == 0).then_some(donor));
            }
        }
        Ok(network)
    }

    /// The donors of a container that starts; they must run.
    pub(super) fn donors(&self, container: &Container) -> Result<Donors> {
        let host = &container.host;
        let find = |mode: &Option<String>| {
            let id = modes::donor(mode.as_deref());
            id.map(|id| self.find(id)).transpose()
        };
        Ok(Donors {
            network: find(&host.network_mode)?
                .map(|donor| network(container, donor))
                .transpose()?,
            pid: find(&host.pid_mode)?.map(running).transpose()?,
            ipc: find(&host.ipc_mode)?.map(ipc).transpose()?,
        })
    }

    /// The mounts of the containers that `--volumes-from` names, as they are now; and what the engine
    /// has named of them (`Container::named`).
    pub(super) fn inherited(&self, host: &HostConfig) -> Result<(Vec<MountRequest>, Map<String>)> {
        let own = wanted::of(host)?;
        let (mut all, mut named) = (Vec::new(), Map::new());
        for text in host.volumes_from.iter().flatten() {
            let (donor, mode) = wanted::parse_donor(text)?;
            let donor = self.find(donor).map_err(unfit)?;
            for mut mount in donor.wanted()? {
                let place = mount.destination.clone();
                // As in Docker, what `--tmpfs` made is its container's own.
                if mount.is_unlisted || own.iter().any(|own| own.destination == place) {
                    continue;
                }
                named.remove(&place);
                if let Some(name) = donor.named.get(&place) {
                    mount.source.clone_from(name);
                    named.insert(place, name.clone());
                }
                all.push(wanted::inherit(mount, mode));
            }
        }
        Ok((all, named))
    }
}

/// What a request names and is not there: 400, as in Docker. Its client would take 404 for an image
/// that must be pulled.
fn unfit(error: Error) -> Error {
    error.with_kind(Kind::Invalid)
}

/// The sentences here and below are moby's (container_operations.go).
fn network(container: &Container, donor: Arc<Container>) -> Result<Donor> {
    if donor.id == container.id {
        return Err(Error::invalid("cannot join own network namespace"));
    }
    let (name, phase) = {
        let state = donor.lock();
        (state.name.clone(), state.phase)
    };
    running(donor).map_err(|_| {
        Error::conflict(format!(
            "cannot join network namespace of a non running container: container {name} is {}",
            phase.name()
        ))
    })
}

fn ipc(donor: Arc<Container>) -> Result<Donor> {
    if donor.host.ipc_mode.as_deref() != Some("shareable") {
        return Err(Error::invalid(format!(
            "container {}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)",
            donor.id
        )));
    }
    running(donor)
}

fn running(donor: Arc<Container>) -> Result<Donor> {
    let pid = donor.lock().pid;
    match donor.is_running() && pid > 0 {
        true => Ok(Donor {
            container: donor,
            pid,
        }),
        false => Err(crate::engine::start::not_running(&donor.id)),
    }
}
