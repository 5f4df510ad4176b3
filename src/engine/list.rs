//! list: the containers that `ps` shows.

use crate::engine::Engine;
use crate::engine::container::{Container, Phase, State};
use crate::engine::filter::{Filters, Patterns};
use crate::engine::spec::mounts;
use crate::error::{Error, Result};
use crate::json::map::Map;
use crate::store::{limit, usage};
use crate::time::Time;
use crate::volume::Volumes;
use crate::wire::container::{Summary, SummaryHostConfig, SummaryNetworks};
use std::sync::Arc;
use std::time::Duration;

#[derive(Default)]
pub struct Options {
    /// Those that do not run as well.
    pub all: bool,
    /// So many of the newest; includes those that do not run.
    pub limit: Option<usize>,
    /// Measure what each has written.
    pub size: bool,
    pub filters: Filters,
}

pub const FILTERS: &[&str] = &[
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];

const STATES: [&str; 7] = [
    "created",
    "restarting",
    "running",
    "removing",
    "paused",
    "exited",
    "dead",
];

const HEALTHS: [&str; 4] = ["starting", "healthy", "unhealthy", "none"];

impl Engine {
    pub fn list(&self, options: &Options) -> Result<Vec<Summary>> {
        let wanted = Wanted::read(self, &options.filters)?;
        let all =
            options.all || options.limit.is_some() || !options.filters.get("status").is_empty();
        let is_listed = |container: &&Arc<Container>| {
            (all || container.lock().phase.is_up()) && wanted.has(container)
        };
        let containers = self.containers();
        containers
            .iter()
            .filter(is_listed)
            .take(options.limit.unwrap_or(usize::MAX))
            .map(|container| self.summary(container, options.size))
            .collect()
    }
}

/// What the filters ask for, made ready for many containers.
struct Wanted<'a> {
    volumes: &'a Volumes,
    filters: &'a Filters,
    ids: Patterns,
    names: Patterns,
    /// Created before and after these moments.
    before: Option<String>,
    since: Option<String>,
    /// Ids of images; `None` where there is no image of the name.
    ancestors: Vec<Option<String>>,
    exited: Vec<i64>,
    exposed: Vec<Ports>,
    published: Vec<Ports>,
    is_task: bool,
}

impl<'a> Wanted<'a> {
    fn read(engine: &'a Engine, filters: &'a Filters) -> Result<Wanted<'a>> {
        for (key, known) in [("status", &STATES[..]), ("health", &HEALTHS)] {
            let mut values = filters.get(key).iter();
            if let Some(value) = values.find(|value| !known.contains(&value.as_str())) {
                return Err(Error::invalid(format!("invalid filter '{key}={value}'")));
            }
        }
        let created = |key: &str| -> Result<Option<String>> {
            let name = filters.get(key).first();
            name.map(|name| engine.find(name).map(|c| c.created.clone()))
                .transpose()
        };
        let exited = |value: &String| {
            value.parse().map_err(|_| {
                Error::invalid(format!("strconv.Atoi: parsing \"{value}\": invalid syntax"))
            })
        };
        let ports = |key: &'static str| {
            let values = filters.get(key).iter();
            values.map(move |value| Ports::parse(key, value))
        };
        let image = |name: &String| engine.images.id(name).ok();
        Ok(Wanted {
            volumes: &engine.volumes,
            filters,
            ids: filters.patterns("id"),
            names: filters.patterns("name"),
            before: created("before")?,
            since: created("since")?,
            ancestors: filters.get("ancestor").iter().map(image).collect(),
            exited: filters
                .get("exited")
                .iter()
                .map(exited)
                .collect::<Result<_>>()?,
            exposed: ports("expose").collect::<Result<_>>()?,
            published: ports("publish").collect::<Result<_>>()?,
            is_task: filters.boolean("is-task")? == Some(true),
        })
    }

    fn has(&self, container: &Container) -> bool {
        let state = container.lock();
        let filters = self.filters;
        let name = state.name.as_str();
        let ended = state.phase == Phase::Exited;
        let created = &container.created;
        // There is no swarm that would have given us a task.
        !self.is_task
            && self.ids.allow(&container.id)
            && (self.names.allow(name) || self.names.allow(&format!("/{name}")))
            && self.before.as_ref().is_none_or(|time| created < time)
            && self.since.as_ref().is_none_or(|time| created > time)
            && (self.ancestors.is_empty()
                || self.ancestors.contains(&Some(container.image_id.clone())))
            && (self.exited.is_empty() || ended && self.exited.contains(&state.exit_code))
            && filters.allows("status", |value| value == state.phase.name())
            && filters.allows("health", |value| value == health(&state))
            && filters.allows("network", |value| {
                state.networks.iter().any(|(name, settings)| {
                    let id = settings.network_id.as_deref().unwrap_or_default();
                    name == value || !value.is_empty() && id.starts_with(value)
                })
            })
            && filters.allows("volume", |value| has_mount(container, self.volumes, value))
            && filters.allows_labels(container.config.labels.as_ref())
            && has_port(&self.exposed, container.config.exposed_ports.as_ref())
            && has_port(&self.published, container.host.port_bindings.as_ref())
    }
}

/// As the filter names it.
fn health(state: &State) -> &str {
    let health = state.health.as_ref();
    health
        .and_then(|health| health.status.as_deref())
        .unwrap_or("none")
}

/// Whether it has a volume or a bind mount of this name, source or place.
fn has_mount(container: &Container, volumes: &Volumes, value: &str) -> bool {
    let is = |text: &Option<String>| text.as_deref() == Some(value);
    let points = mounts::points(container, volumes);
    points
        .iter()
        .any(|point| is(&point.name) || is(&point.source) || is(&point.destination))
}

fn has_port<T>(wanted: &[Ports], ports: Option<&Map<T>>) -> bool {
    let mut names = ports.into_iter().flat_map(|ports| ports.keys());
    wanted.is_empty() || names.any(|name| wanted.iter().any(|wanted| wanted.has(name)))
}

/// `80`, `80/udp`, `8000-8010/tcp`.
#[derive(Debug, PartialEq, Eq)]
struct Ports {
    first: u16,
    last: u16,
    protocol: String,
}

impl Ports {
    fn parse(key: &str, value: &str) -> Result<Ports> {
        if value.contains(':') {
            return Err(Error::invalid(format!(
                "filter for '{key}' should not contain ':': {value}"
            )));
        }
        let (range, protocol) = value.split_once('/').unwrap_or((value, "tcp"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let port = |text: &str| {
            text.parse::<u16>().map_err(|_| {
                Error::invalid(format!(
                    "error while looking up for {key} {value}: invalid port {text:?}"
                ))
            })
        };
        Ok(Ports {
            first: port(first)?,
            last: port(last)?,
            protocol: protocol.to_string(),
        })
    }

    /// `80/tcp`, as configurations name a port.
    fn has(&self, name: &str) -> bool {
        Ports::parse("", name).is_ok_and(|other| {
            other.protocol == self.protocol && self.first <= other.first && other.last <= self.last
        })
    }
}

impl Engine {
    pub(super) fn summary(&self, container: &Container, size: bool) -> Result<Summary> {
        let mode = container.host.network_mode.clone().unwrap_or_default();
        let created = Time::parse(&container.created).map_or(0, |time| time.seconds);
        let (written, whole) = match size {
            true => self.sizes(container)?,
            false => (0, 0),
        };
        let shown = |bytes: u64| i64::try_from(bytes).ok().filter(|bytes| *bytes > 0);
        let (networks, ports) = (self.endpoints(container), self.ports_shown(container));
        let state = container.lock();
        Ok(Summary {
            id: Some(container.id.clone()),
            names: Some(vec![format!("/{}", state.name)]),
            image: Some(self.image_shown(container)),
            image_id: Some(container.image_id.clone()),
            command: Some(command(container)),
            created: i64::try_from(created).ok(),
            ports: Some(ports),
            size_rw: shown(written),
            size_root_fs: shown(whole),
            labels: Some(container.config.labels.clone().unwrap_or_default()),
            state: Some(state.phase.name().to_string()),
            status: Some(status(&state, Time::now())),
            host_config: Some(SummaryHostConfig {
                network_mode: Some(mode),
            }),
            network_settings: Some(SummaryNetworks {
                networks: Some(networks),
            }),
            mounts: Some(mounts::points(container, &self.volumes)),
        })
    }

    /// The image as the user named it, as long as the name still means it.
    fn image_shown(&self, container: &Container) -> String {
        match self.images.id(&container.image) {
            Ok(id) if id == container.image_id => container.image.clone(),
            _ => container.image_id.clone(),
        }
    }

    /// The bytes that a container has written, and those together with its image's. A copy of the
    /// image is its own.
    pub(super) fn sizes(&self, container: &Container) -> Result<(u64, u64)> {
        let data_dir = self.data_dir(&container.id);
        let written = match limit::used_bytes(&data_dir) {
            Some(bytes) => bytes,
            None => usage::bytes(&data_dir.join("upper"))?,
        };
        if container.is_copied {
            return Ok((written, written));
        }
        let image = self.images.size(&container.image_id).unwrap_or(0);
        Ok((written, written + image))
    }
}

/// Docker's quoting, for the eye alone: a quote inside is not escaped.
fn command(container: &Container) -> String {
    let quoted = |arg: &String| match arg.contains(' ') {
        true => format!("'{arg}'"),
        false => arg.clone(),
    };
    let mut words = vec![container.path.clone()];
    words.extend(container.args.iter().map(quoted));
    words.join(" ")
}

/// Docker's STATUS column.
fn status(state: &State, now: Time) -> String {
    let since =
        |text: &str| human(Time::parse(text).map_or(Duration::ZERO, |time| now.since(time)));
    match state.phase {
        Phase::Created => "Created".to_string(),
        Phase::Running => {
            let up = format!("Up {}", since(&state.started_at));
            if state.is_held {
                return format!("{up} (waiting for a device)");
            }
            match health(state) {
                "none" => up,
                "starting" => format!("{up} (health: starting)"),
                status => format!("{up} ({status})"),
            }
        }
        Phase::Paused => format!("Up {} (Paused)", since(&state.started_at)),
        Phase::Restarting => format!(
            "Restarting ({}) {} ago",
            state.exit_code,
            since(&state.finished_at)
        ),
        Phase::Exited => format!(
            "Exited ({}) {} ago",
            state.exit_code,
            since(&state.finished_at)
        ),
        Phase::Removing => "Removal In Progress".to_string(),
        Phase::Dead | Phase::Removed => "Dead".to_string(),
    }
}

/// A span of time in words (docker/go-units, HumanDuration).
fn human(span: Duration) -> String {
    let seconds = span.as_secs();
    let minutes = seconds / 60;
    // Rounded, so that 90 minutes are 2 hours.
    let hours = (seconds + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".to_string(),
        () if seconds == 1 => "1 second".to_string(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_string(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_string(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_dockers_words() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3600, "About an hour"),
            (5400, "2 hours"),
            (86_400, "24 hours"),
            (2 * 86_400, "2 days"),
            (14 * 86_400, "2 weeks"),
            (60 * 86_400, "2 months"),
            (800 * 86_400, "2 years"),
        ] {
            assert_eq!(human(Duration::from_secs(seconds)), text, "{seconds}");
        }
    }

    #[test]
    fn ports_are_found_by_number_range_and_protocol() {
        for (wanted, name, expected) in [
            ("80", "80/tcp", true),
            ("80", "80/udp", false),
            ("80/udp", "80/udp", true),
            ("80-90", "85/tcp", true),
            ("80-90", "91/tcp", false),
            ("80", "81/tcp", false),
        ] {
            let ports = Ports::parse("expose", wanted).unwrap();
            assert_eq!(ports.has(name), expected, "{wanted} {name}");
        }
        for (value, message) in [
            (
                "x",
                "error while looking up for expose x: invalid port \"x\"",
            ),
            (
                "99999",
                "error while looking up for expose 99999: invalid port \"99999\"",
            ),
            ("1:2", "filter for 'expose' should not contain ':': 1:2"),
        ] {
            assert_eq!(Ports::parse("expose", value).unwrap_err().message, message);
        }
    }
}
