//! Health checks: what the shim is told to run, and what it tells.

use crate::engine::config::Options;
use crate::engine::container::{Container, Phase};
use crate::engine::{Engine, spec};
use crate::oci::image::HealthConfig;
use crate::oci::spec::Process;
use crate::shim::probe;
use crate::wire::container::{Config, Health};
use crate::wire::exec;

/// What a request leaves open comes from the image (moby, runconfig: Merge).
pub fn inherit(ours: &mut HealthConfig, image: &HealthConfig) {
    if ours.test.as_ref().is_none_or(Vec::is_empty) {
        ours.test.clone_from(&image.test);
    }
    for (ours, image) in [
        (&mut ours.interval, image.interval),
        (&mut ours.timeout, image.timeout),
        (&mut ours.retries, image.retries),
        (&mut ours.start_period, image.start_period),
        (&mut ours.start_interval, image.start_interval),
    ] {
        if ours.is_none_or(|number| number == 0) {
            *ours = image;
        }
    }
}

/// The words of the check; none with `NONE`, without a test, and for a kind that nobody knows.
fn command(config: &Config) -> Option<Vec<String>> {
    let test = config.healthcheck.as_ref()?.test.as_deref()?;
    let (kind, words) = test.split_first()?;
    let shell = match kind.as_str() {
        _ if words.is_empty() => return None,
        "CMD" => Vec::new(),
        "CMD-SHELL" => match config.shell.clone() {
            Some(shell) if !shell.is_empty() => shell,
            _ => vec!["/bin/sh".to_string(), "-c".to_string()],
        },
        _ => return None,
    };
    Some([shell, words.to_vec()].concat())
}

/// The process of a check, where there is one.
pub fn process(container: &Container, options: &Options) -> Option<Process> {
    let request = exec::CreateRequest {
        cmd: Some(command(&container.config)?),
        ..Default::default()
    };
    Some(spec::exec_process(container, &request, options))
}

/// Whether there is something to check.
pub fn is_checked(config: &Config) -> bool {
    let test = config
        .healthcheck
        .as_ref()
        .and_then(|health| health.test.as_deref());
    probe::of(test).is_some() || command(config).is_some()
}

/// What is known before the first check.
pub fn starting(config: &Config) -> Option<Health> {
    is_checked(config).then(|| Health {
        status: Some("starting".to_string()),
        failing_streak: Some(0),
        log: Some(Vec::new()),
    })
}

/// What is known of one that does not run: its results went with the shim.
pub fn ended(config: &Config) -> Option<Health> {
    starting(config).map(|health| Health {
        status: Some("unhealthy".to_string()),
        ..health
    })
}

impl Engine {
    /// The shim has told. With results it is the whole, and no news.
    pub(super) fn hear_health(&self, container: &Container, told: Health) {
        let is_news = told.log.is_none();
        let status = told.status.clone().unwrap_or_default();
        container.update(|state| {
            let log = state.health.take().and_then(|health| health.log);
            state.health = Some(Health {
                log: told.log.or(log),
                ..told
            });
        });
        if is_news {
            self.tell(container, &format!("health_status: {status}"), &[]);
        }
    }

    /// What inspect shows. The results are with the shim, as long as there is one.
    pub(super) fn health(&self, container: &Container) -> Option<Health> {
        let (known, shim) = {
            let state = container.lock();
            let is_checked = matches!(state.phase, Phase::Running | Phase::Paused);
            let shim = state.shim.clone().filter(|_| is_checked);
            (state.health.clone()?, shim)
        };
        let found = shim.and_then(|shim| shim.health().ok().flatten());
        Some(found.unwrap_or(known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Option<Vec<String>> {
        Some(list.iter().map(|word| (*word).to_string()).collect())
    }

    fn config(test: &[&str], shell: &[&str]) -> Config {
        Config {
            healthcheck: Some(HealthConfig {
                test: words(test),
                ..Default::default()
            }),
            shell: words(shell),
            ..Default::default()
        }
    }

    #[test]
    fn a_test_becomes_a_command() {
        for (test, shell, expected) in [
            (
                &["CMD", "check", "-x"][..],
                &[][..],
                words(&["check", "-x"]),
            ),
            (
                &["CMD-SHELL", "a || b"],
                &[],
                words(&["/bin/sh", "-c", "a || b"]),
            ),
            (
                &["CMD-SHELL", "a"],
                &["/bin/ash", "-ec"],
                words(&["/bin/ash", "-ec", "a"]),
            ),
            (&["NONE"], &[], None),
            (&["CMD"], &[], None),
            (&["CMD-SHELL"], &[], None),
            (&[], &[], None),
            (&["SOUP", "x"], &[], None),
        ] {
            assert_eq!(command(&config(test, shell)), expected, "{test:?}");
        }
        assert_eq!(command(&Config::default()), None);
    }

    #[test]
    fn zero_inherits_from_the_image() {
        let image = HealthConfig {
            test: words(&["CMD", "image"]),
            interval: Some(1),
            timeout: Some(2),
            retries: Some(3),
            start_period: Some(4),
            start_interval: Some(5),
        };
        let mut ours = HealthConfig {
            timeout: Some(7),
            retries: Some(0),
            ..Default::default()
        };
        inherit(&mut ours, &image);
        assert_eq!(ours.test, image.test);
        assert_eq!(
            [
                ours.interval,
                ours.timeout,
                ours.retries,
                ours.start_period,
                ours.start_interval
            ],
            [Some(1), Some(7), Some(3), Some(4), Some(5)]
        );
        let mut none = HealthConfig {
            test: words(&["NONE"]),
            ..Default::default()
        };
        inherit(&mut none, &image);
        assert_eq!(none.test, words(&["NONE"]));
    }
}
