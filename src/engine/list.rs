//! list: the containers that `ps` shows.

use crate::engine::Engine;
use crate::engine::container::{Container, Phase, State};
use crate::engine::filter::Filters;
use crate::engine::spec::mounts;
use crate::error::Result;
use crate::time::Time;
use crate::wire::container::{EndpointSettings, Summary, SummaryHostConfig, SummaryNetworks};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

#[derive(Default)]
pub struct Options {
    /// Those that do not run as well.
    pub all: bool,
    /// So many of the newest; includes those that do not run.
    pub limit: Option<usize>,
    pub filters: Filters,
}

pub const FILTERS: &[&str] = &[
    "ancestor", "before", "exited", "id", "label", "name", "network", "since", "status",
];

impl Engine {
    pub fn list(&self, options: &Options) -> Result<Vec<Summary>> {
        let filters = &options.filters;
        let all = options.all || options.limit.is_some() || !filters.get("status").is_empty();
        let created = |key: &str| -> Result<Option<String>> {
            let name = filters.get(key).first();
            name.map(|name| self.find(name).map(|c| c.created.clone()))
                .transpose()
        };
        let (before, since) = (created("before")?, created("since")?);
        let ancestors: Vec<Option<String>> = filters
            .get("ancestor")
            .iter()
            .map(|name| self.images.find(name).ok().map(|image| image.id))
            .collect();
        let is_wanted = |container: &&Arc<Container>| {
            let state = container.lock();
            (all || state.phase == Phase::Running)
                && before.as_ref().is_none_or(|time| container.created < *time)
                && since.as_ref().is_none_or(|time| container.created > *time)
                && (ancestors.is_empty() || ancestors.contains(&Some(container.image_id.clone())))
                && passes(container, &state, filters)
        };
        let containers = self.containers();
        Ok(containers
            .iter()
            .filter(is_wanted)
            .take(options.limit.unwrap_or(usize::MAX))
            .map(|container| summary(container))
            .collect())
    }
}

fn passes(container: &Container, state: &State, filters: &Filters) -> bool {
    let exited =
        |value: &str| state.phase == Phase::Exited && value.parse::<i64>() == Ok(state.exit_code);
    filters.allows("id", |value| container.id.starts_with(value))
        && filters.allows("name", |value| name_matches(value, &state.name))
        && filters.allows("status", |value| value == state.phase.name())
        && filters.allows("exited", exited)
        && filters.allows("network", |value| {
            container.host.network_mode.as_deref() == Some(value)
        })
        && filters.allows_labels(container.config.labels.as_ref())
}

/// Docker takes a regular expression here. We know its anchors, which is what people use.
fn name_matches(pattern: &str, name: &str) -> bool {
    let (start, pattern) = match pattern.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let (end, pattern) = match pattern.strip_suffix('$') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let pattern = pattern.strip_prefix('/').unwrap_or(pattern);
    match (start, end) {
        (true, true) => name == pattern,
        (true, false) => name.starts_with(pattern),
        (false, true) => name.ends_with(pattern),
        (false, false) => name.contains(pattern),
    }
}

fn summary(container: &Container) -> Summary {
    let state = container.lock();
    // Docker's quoting, for the eye alone: a quote inside is not escaped.
    let quoted = |arg: &String| match arg.contains(' ') {
        true => format!("'{arg}'"),
        false => arg.clone(),
    };
    let mut command = vec![container.path.clone()];
    command.extend(container.args.iter().map(quoted));
    let network = container.host.network_mode.clone().unwrap_or_default();
    let created = Time::parse(&container.created).map_or(0, |time| time.seconds);
    Summary {
        id: Some(container.id.clone()),
        names: Some(vec![format!("/{}", state.name)]),
        image: Some(container.image.clone()),
        image_id: Some(container.image_id.clone()),
        command: Some(command.join(" ")),
        created: i64::try_from(created).ok(),
        ports: Some(Vec::new()),
        size_rw: None,
        size_root_fs: None,
        labels: Some(container.config.labels.clone().unwrap_or_default()),
        state: Some(state.phase.name().to_string()),
        status: Some(status(&state, Time::now())),
        host_config: Some(SummaryHostConfig {
            network_mode: Some(network.clone()),
        }),
        network_settings: Some(SummaryNetworks {
            networks: Some(BTreeMap::from([(network, EndpointSettings::default())])),
        }),
        mounts: Some(mounts::points(&container.host)),
    }
}

/// Docker's STATUS column.
fn status(state: &State, now: Time) -> String {
    let since =
        |text: &str| human(Time::parse(text).map_or(Duration::ZERO, |time| now.since(time)));
    match state.phase {
        Phase::Created => "Created".to_string(),
        Phase::Running => format!("Up {}", since(&state.started_at)),
        Phase::Exited => format!(
            "Exited ({}) {} ago",
            state.exit_code,
            since(&state.finished_at)
        ),
        Phase::Removing => "Removal In Progress".to_string(),
        Phase::Removed => "Dead".to_string(),
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
    fn names_match_by_part_or_by_anchors() {
        for (pattern, name, expected) in [
            ("eb", "web", true),
            ("^web$", "web", true),
            ("^/web$", "web", true),
            ("^eb", "web", false),
            ("we$", "web", false),
            ("web", "web2", true),
        ] {
            assert_eq!(name_matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
