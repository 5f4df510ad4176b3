//! What happened, for those who follow `events`: the last 256 in memory, a bell per follower.

use crate::engine::container::Container;
use crate::engine::filter::Filters;
use crate::engine::network::Network;
use crate::engine::{Engine, lock};
use crate::error::Result;
use crate::json::map::Map;
use crate::sys::poll::Bell;
use crate::time::Time;
use crate::wire::event::{Actor, Event};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// As many as Docker keeps for `--since`.
const KEPT: usize = 256;

pub struct Log(Mutex<Ring>);

#[derive(Default)]
struct Ring {
    /// The number of the event after the last one in `events`.
    next: u64,
    events: VecDeque<Arc<Event>>,
    followers: Vec<Arc<Bell>>,
}

impl Log {
    pub fn new() -> Log {
        Log(Mutex::new(Ring::default()))
    }

    pub fn publish(&self, event: Event) {
        let mut ring = lock(&self.0);
        if ring.events.len() == KEPT {
            ring.events.pop_front();
        }
        ring.events.push_back(Arc::new(event));
        ring.next += 1;
        for bell in &ring.followers {
            bell.ring();
        }
    }

    pub fn follow(&self) -> Result<Follower<'_>> {
        let bell = Arc::new(Bell::new()?);
        let mut ring = lock(&self.0);
        ring.followers.push(Arc::clone(&bell));
        Ok(Follower {
            log: self,
            next: ring.next,
            bell,
        })
    }

    pub fn followers(&self) -> usize {
        lock(&self.0).followers.len()
    }
}

/// One reader of the events. It never holds up the others: who falls more than the ring behind
/// misses the oldest.
pub struct Follower<'a> {
    log: &'a Log,
    next: u64,
    pub bell: Arc<Bell>,
}

impl Follower<'_> {
    /// Go back to the oldest event that is still kept.
    pub fn rewind(&mut self) {
        self.next = 0;
    }

    /// The events since the last call.
    pub fn take(&mut self) -> Vec<Arc<Event>> {
        self.bell.clear();
        let ring = lock(&self.log.0);
        let first = ring.next - ring.events.len() as u64;
        let skip = usize::try_from(self.next.saturating_sub(first)).unwrap_or(usize::MAX);
        self.next = ring.next;
        ring.events.iter().skip(skip).cloned().collect()
    }
}

impl Drop for Follower<'_> {
    fn drop(&mut self) {
        lock(&self.log.0)
            .followers
            .retain(|other| !Arc::ptr_eq(other, &self.bell));
    }
}

impl Engine {
    /// Tell that `action` happened to `container`; `more` are attributes beside image, name and
    /// labels.
    pub(super) fn tell(&self, container: &Container, action: &str, more: &[(&str, &str)]) {
        let mut attributes = container.config.labels.clone().unwrap_or_default();
        attributes.insert("image".into(), container.image.clone());
        attributes.insert("name".into(), container.name());
        for (key, value) in more {
            attributes.insert((*key).into(), (*value).into());
        }
        self.events
            .publish(event("container", action, &container.id, attributes));
    }

    /// Tell that `action` happened to an image; its labels are attributes, too, while it is there.
    pub(super) fn tell_image(&self, action: &str, id: &str, name: &str) {
        let config = self
            .images
            .find(id)
            .ok()
            .and_then(|found| found.image.config);
        let mut attributes = config.and_then(|config| config.labels).unwrap_or_default();
        attributes.insert("name".into(), name.into());
        self.events.publish(event("image", action, id, attributes));
    }

    /// Tell that a container has come to its networks (`connect`), or left them.
    pub(super) fn tell_network(&self, container: &Container, action: &str) {
        for (name, settings) in container.networks().iter() {
            let id = settings.network_id.as_deref().unwrap_or(name);
            if let Ok(network) = self.find_network(id) {
                self.tell_of_network(&network, action, Some(container));
            }
        }
    }

    /// Tell that `action` happened to a network.
    pub(super) fn tell_of_network(
        &self,
        network: &Network,
        action: &str,
        container: Option<&Container>,
    ) {
        let mut attributes = Map::new();
        let mut set = |key: &str, value: &str| attributes.insert(key.into(), value.to_string());
        set("name", &network.name);
        set("type", &network.driver);
        if let Some(container) = container {
            set("container", &container.id);
        }
        self.events
            .publish(event("network", action, &network.id, attributes));
    }

    /// Tell that `action` happened to a volume.
    pub(super) fn tell_volume(&self, name: &str, action: &str, attributes: &[(&str, &str)]) {
        let mut all = Map::from([("driver".to_string(), crate::volume::DRIVER.to_string())]);
        for (key, value) in attributes {
            all.insert((*key).into(), (*value).into());
        }
        self.events.publish(event("volume", action, name, all));
    }

    /// Tell that `action` happened to the engine itself.
    pub(super) fn tell_daemon(&self, action: &str, mut attributes: Map<String>) {
        let name = super::host::name();
        let id = format!("tug-{name}");
        attributes.insert("name".into(), name);
        self.events
            .publish(event("daemon", action, &id, attributes));
    }

    /// Tell that all unused things of a kind were removed.
    pub fn tell_prune(&self, kind: &str, reclaimed: u64) {
        let attributes = Map::from([("reclaimed".to_string(), reclaimed.to_string())]);
        self.events.publish(event(kind, "prune", "", attributes));
    }
}

fn event(kind: &str, action: &str, id: &str, attributes: Map<String>) -> Event {
    let now = Time::now();
    let seconds = i64::try_from(now.seconds).unwrap_or(i64::MAX);
    let text = |text: &str| Some(text.to_string());
    let is_container = kind == "container";
    // Members of old API versions: Docker sends them for containers and images to this day.
    let old = |value: &str| text(value).filter(|_| is_container || kind == "image");
    Event {
        status: old(action),
        id: old(id).filter(|id| !id.is_empty()),
        from: attributes.get("image").filter(|_| is_container).cloned(),
        kind: text(kind),
        action: text(action),
        actor: Some(Actor {
            id: text(id),
            attributes: Some(attributes),
        }),
        scope: text("local"),
        time: Some(seconds),
        time_nano: Some(
            seconds
                .saturating_mul(1_000_000_000)
                .saturating_add(now.nanos.into()),
        ),
    }
}

pub const FILTERS: &[&str] = &[
    "builder",
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];

/// Whether a follower with these filters wants `event`.
pub fn wanted(event: &Event, filters: &Filters) -> bool {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (kind, action) = (text(&event.kind), text(&event.action));
    let actor = event.actor.clone().unwrap_or_default();
    let (id, attributes) = (text(&actor.id), actor.attributes.unwrap_or_default());
    let attribute = |key: &str| attributes.get(key).map_or("", String::as_str);

    // `container=web`, `network=none`…: things of this kind by the beginning of id or name.
    let by_thing = |key: &str| {
        filters.get(key).is_empty()
            || kind == key
                && (filters.allows_prefix(key, &id)
                    || filters.allows_prefix(key, attribute("name")))
    };
    let by_image = |value: &str| {
        let name = attribute(if kind == "image" { "name" } else { "image" });
        let bare = name.rsplit_once(':').map_or(name, |(bare, _)| bare);
        (kind == "image" && id == value) || name == value || bare == value
    };
    // `exec_create: ls -l` is found by `exec_create`.
    let bare_action = action
        .split_once(':')
        .map_or(action.as_str(), |(bare, _)| bare);

    filters.allows("type", |value| value == kind)
        && filters.allows("event", |value| value == action || value == bare_action)
        && filters.allows("image", by_image)
        && filters.allows("scope", |value| value == "local")
        && THINGS.iter().all(|key| by_thing(key))
        && filters.allows_labels(Some(&attributes))
}

/// Kinds of things that a filter of the same name looks for.
const THINGS: [&str; 9] = [
    "builder",
    "config",
    "container",
    "daemon",
    "network",
    "node",
    "plugin",
    "secret",
    "volume",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn named(action: &str, name: &str) -> Event {
        let attributes = Map::from([
            ("name".to_string(), name.to_string()),
            ("image".to_string(), "busybox:latest".to_string()),
        ]);
        event("container", action, &"ab".repeat(32), attributes)
    }

    fn actions(follower: &mut Follower<'_>) -> Vec<String> {
        let taken = follower.take();
        taken.iter().map(|e| e.action.clone().unwrap()).collect()
    }

    #[test]
    fn a_follower_gets_what_happens_after_it_came_unless_it_rewinds() {
        let log = Log::new();
        log.publish(named("create", "web"));
        let mut follower = log.follow().unwrap();
        assert!(actions(&mut follower).is_empty());
        log.publish(named("start", "web"));
        assert_eq!(actions(&mut follower), ["start"]);
        assert!(actions(&mut follower).is_empty());
        follower.rewind();
        assert_eq!(actions(&mut follower), ["create", "start"]);
        drop(follower);
        assert_eq!(log.followers(), 0);
    }

    #[test]
    fn a_slow_follower_misses_the_oldest_events() {
        let log = Log::new();
        let mut follower = log.follow().unwrap();
        for n in 0..KEPT + 10 {
            log.publish(named(&n.to_string(), "web"));
        }
        let got = actions(&mut follower);
        assert_eq!((got.len(), got[0].as_str()), (KEPT, "10"));
    }

    #[test]
    fn filters_choose_by_type_action_container_and_image() {
        let event = named("exec_create: ls -l", "web");
        for (text, expected) in [
            (r#"{"type":["container"],"event":["exec_create"]}"#, true),
            (r#"{"event":["exec_create: ls -l"]}"#, true),
            (r#"{"event":["start"]}"#, false),
            (r#"{"container":["web"]}"#, true),
            (r#"{"container":["abab"]}"#, true),
            (r#"{"container":["we"]}"#, true),
            (r#"{"container":["eb"]}"#, false),
            (r#"{"network":["web"]}"#, false),
            (r#"{"label":["name=web"]}"#, true),
            (r#"{"scope":["swarm"]}"#, false),
            (r#"{"image":["busybox"]}"#, true),
            (r#"{"image":["busybox:latest"]}"#, true),
            (r#"{"image":["alpine"]}"#, false),
            (r#"{"type":["network"]}"#, false),
        ] {
            let filters = Filters::parse(Some(text), FILTERS).unwrap();
            assert_eq!(wanted(&event, &filters), expected, "{text}");
        }
    }
}
