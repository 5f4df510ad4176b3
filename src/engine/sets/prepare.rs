//! Before anything changes: all that is new is made, beside what is there.

use super::change::trying;
use super::wishes::{Draft, translate};
use super::{COMMITTED, Claim, names, record};
use crate::engine::Engine;
use crate::engine::container::{Container, Phase};
use crate::engine::remove::Removal;
use crate::engine::spec::wanted;
use crate::engine::validate::modes;
use crate::error::{Context, Error, Result};
use crate::json::map::Map;
use crate::wire::container::CreateRequest;
use crate::wire::set::{Member, Membership, Request, Set};
use std::sync::Arc;

impl Engine {
    /// Begin to change a set. When this returns an error, nothing has changed.
    pub fn set_apply(self: &Arc<Engine>, request: Request) -> Result<Set> {
        let mut set = self.set_of(&request)?;
        let wishes = request.members.unwrap_or_default();
        let mut claimed: Vec<String> = wishes.iter().filter_map(|wish| wish.name.clone()).collect();
        claimed.extend(set.members().iter().map(|member| member.name().to_string()));
        let claim = self.claim(set.name(), claimed)?;
        let prepared = self
            .drafts(set.name(), &wishes)
            .and_then(|drafts| {
                let partial = request.partial == Some(true);
                self.prepare_set(&mut set, drafts, partial, &claim)
            })
            .context(|| format!("set {}", set.name()));
        let is_new = match prepared {
            Ok(is_new) => is_new,
            Err(error) => {
                claim.release();
                return Err(error);
            }
        };
        if is_new {
            self.conduct(set.clone(), claim)?;
            return self.set(set.name());
        }
        claim.release();
        let set = self.set(set.name())?;
        Ok(Set { busy: None, ..set })
    }

    /// The set that a request is about, as it is.
    fn set_of(&self, request: &Request) -> Result<Set> {
        let wishes = request.members.as_deref().unwrap_or_default();
        let partial = request.partial == Some(true);
        let first = wishes.first().and_then(|wish| wish.name.as_deref());
        let own = |name: &str| {
            let container = self.named(name);
            let set = container.and_then(|container| container.member.as_ref()?.set.clone());
            set.unwrap_or_else(|| name.to_string())
        };
        let name = match (
            request.name.as_deref().filter(|name| !name.is_empty()),
            first,
        ) {
            (Some(name), _) => name.to_string(),
            (None, Some(first)) if partial => own(first),
            _ => return Err(Error::invalid("a set needs a name")),
        };
        record::check_name(&name)?;
        match request.on_fail.as_deref().unwrap_or("rollback") {
            "rollback" | "keep" | "reboot" => {}
            other => {
                return Err(Error::invalid(format!(
                    "invalid value for what to do on failure: {other:?}: it is rollback, keep or reboot"
                )));
            }
        }
        let mut set = self.set(&name).unwrap_or_default();
        if !matches!(set.state(), "" | COMMITTED) {
            return Err(Error::conflict(format!(
                "set {name} is {}: end that first, with 'tug apply commit' or 'tug apply rollback'",
                set.state()
            )));
        }
        if set.name.is_none() && wishes.is_empty() {
            return Err(super::no_such_set(&name));
        }
        set.name = Some(name);
        set.commit_after = request.commit_after.or(Some(0));
        set.on_fail.clone_from(&request.on_fail);
        set.written = request.written.or_else(|| Some(record::written()));
        (set.reason, set.steps) = (None, None);
        Ok(set)
    }

    /// False: there is nothing to change.
    fn prepare_set(
        &self,
        set: &mut Set,
        drafts: Vec<Draft>,
        partial: bool,
        claim: &Claim,
    ) -> Result<bool> {
        // What the last change could not remove would stand in the way, with its name.
        for old in set.members().iter().filter(|member| member.is_changed()) {
            if let Some(id) = &old.previous {
                self.remove_member(id)?;
            }
        }
        let mut members = self.others(set, &drafts, partial);
        let is_new = self.set_changes(set.name(), &drafts);
        self.check_sharers(&drafts, &is_new, &members)?;
        let mut made = Made {
            engine: self,
            containers: Vec::new(),
        };
        // Those that the set loses are the first to stop: last in the order.
        let mut wanted = Vec::new();
        for (draft, is_new) in drafts.into_iter().zip(is_new) {
            let old = draft.old.clone();
            let mut member = Member {
                name: Some(draft.name.clone()),
                id: old.as_ref().map(|old| old.id.clone()),
                previous: old.as_ref().map(|old| old.id.clone()),
                was_up: old.as_ref().map(|old| old.is_running()),
                image: draft.config.image.clone(),
                completes: draft.completes.then_some(true),
            };
            if is_new {
                member.id = Some(made.make(set.name(), draft, &wanted, claim)?);
            }
            wanted.push(member);
        }
        wanted.append(&mut members);
        let has_change = wanted.iter().any(Member::is_changed);
        set.members = Some(wanted);
        if !has_change {
            claim.step("all is as wanted already");
            set.state = Some(COMMITTED.to_string());
            if self.set(set.name()).is_err() {
                self.save_set(set)?;
            }
            return Ok(false);
        }
        set.generation = Some(set.generation.unwrap_or(0) + 1);
        trying(set)?;
        self.save_set(set)?;
        made.containers.clear();
        Ok(true)
    }

    /// The members of the set that the request does not name. They stay, or they go.
    fn others(&self, set: &Set, drafts: &[Draft], partial: bool) -> Vec<Member> {
        let mut members = Vec::new();
        for old in set.members() {
            let id = old.id.as_deref().unwrap_or_default();
            let is_named = drafts.iter().any(|draft| draft.name == old.name());
            // One that the user has removed, or put another in place of, is no member any more.
            let Some(container) = self.find(id).ok().filter(|_| !is_named && !id.is_empty()) else {
                continue;
            };
            members.push(Member {
                name: Some(container.name()),
                id: old.id.clone().filter(|_| partial),
                previous: old.id.clone(),
                was_up: Some(container.is_running()),
                ..old.clone()
            });
        }
        members
    }

    /// For each draft whether it asks for another container than there is.
    fn set_changes(&self, set: &str, drafts: &[Draft]) -> Vec<bool> {
        let mut new: Vec<&str> = Vec::new();
        let mut all = Vec::new();
        for draft in drafts {
            let is_same = draft.old.as_ref().is_some_and(|old| {
                let member = old.member.as_ref();
                let state = old.lock();
                let is_well = match draft.completes {
                    true => state.phase == Phase::Exited && state.exit_code == 0,
                    false => state.phase == Phase::Running,
                };
                is_well
                    && old.image_id == draft.image_id
                    && member.is_some_and(|member| {
                        member.set.as_deref() == Some(set)
                            && member.request.as_deref() == Some(draft.hash.as_str())
                    })
            });
            let shares = draft.shares.iter().any(|name| new.contains(&name.as_str()));
            if !is_same || shares {
                new.push(&draft.name);
            }
            all.push(!is_same || shares);
        }
        all
    }

    /// Who shares a namespace with a container, or is linked to it, cannot outlive it.
    fn check_sharers(&self, drafts: &[Draft], is_new: &[bool], others: &[Member]) -> Result<()> {
        let going = |id: &str| {
            let mut replaced = drafts.iter().zip(is_new).filter(|(_, is_new)| **is_new);
            replaced.any(|(draft, _)| draft.old.as_ref().is_some_and(|old| old.id == id))
                || others
                    .iter()
                    .any(|member| member.id.is_none() && member.previous.as_deref() == Some(id))
        };
        for sharer in self.containers() {
            if going(&sharer.id) {
                continue;
            }
            let host = &sharer.host;
            let mut ids: Vec<&str> = Vec::new();
            let modes = [&host.network_mode, &host.pid_mode, &host.ipc_mode];
            ids.extend(
                modes
                    .iter()
                    .filter_map(|mode| modes::donor(mode.as_deref())),
            );
            let links = host.links.iter().flatten();
            ids.extend(links.filter_map(|link| link.split(':').next()));
            if let Some(id) = ids.iter().find(|id| going(id)) {
                let donor = self.find(id).map(|donor| donor.name()).unwrap_or_default();
                return Err(Error::conflict(format!(
                    "{} shares a namespace with {donor} or is linked to it: change both together, or remove it first",
                    sharer.name()
                )));
            }
        }
        Ok(())
    }
}

/// The new containers. Dropped, it removes them.
struct Made<'a> {
    engine: &'a Engine,
    containers: Vec<Arc<Container>>,
}

impl Made<'_> {
    /// Make the container that `draft` asks for; its id. `before` are those that it may refer to.
    fn make(
        &mut self,
        set: &str,
        mut draft: Draft,
        before: &[Member],
        claim: &Claim,
    ) -> Result<String> {
        let engine = self.engine;
        let host = draft.placement.host_config.get_or_insert_default();
        translate(host, &mut |name| {
            let container = engine.find(name).ok();
            let old = container.map(|container| container.id.clone());
            let is_it = |m: &&Member| m.name() == name || old.is_some() && m.previous == old;
            before.iter().find(is_it)?.id.clone()
        });
        let request = CreateRequest {
            config: draft.config,
            placement: draft.placement,
            member: Some(Membership {
                set: Some(set.to_string()),
                request: Some(draft.hash),
            }),
            volumes: draft.old.as_deref().map(anonymous).unwrap_or_default(),
            ..CreateRequest::default()
        };
        let name = names::next(&draft.name);
        let created = engine
            .create(Some(&name), request)
            .context(|| &draft.name)?;
        let id = created.id.unwrap_or_default();
        engine.put_aside(&id);
        self.containers.push(engine.find(&id)?);
        for warning in created.warnings.iter().flatten() {
            claim.step(&format!("{}: {warning}", draft.name));
        }
        claim.step(&format!("{}: made", draft.name));
        Ok(id)
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        for container in self.containers.iter().rev() {
            self.engine.take_back(&container.id);
            if let Err(error) = self.engine.remove(container, Removal::ALL) {
                self.engine.note(error);
            }
        }
    }
}

/// The volumes that a container has for itself, by their places: its successor gets them.
fn anonymous(old: &Container) -> Map<String> {
    let mut volumes = Map::new();
    for mount in old.wanted().unwrap_or_default() {
        let own = old.named.get(&mount.destination);
        if mount.kind == wanted::Kind::Volume && own == Some(&mount.source) {
            volumes.insert(mount.destination, mount.source);
        }
    }
    volumes
}
