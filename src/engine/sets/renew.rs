//! The request for a container like another one, which may get another image.

use crate::engine::Engine;
use crate::engine::container::Container;
use crate::id;
use crate::json::map::Map;
use crate::oci::image::{Config as ImageConfig, Empty, HealthConfig};
use crate::wire::container::{Config, HostConfig, NetworkingConfig, Placement};

/// What it was asked for. Its records hold what became of that together with its image: what the
/// image says is taken out again, so that the next one's counts.
pub(super) fn request(engine: &Engine, container: &Container) -> (Config, Placement) {
    let image = engine.images.find(&container.image_id).ok();
    let image = image.and_then(|found| found.image.config);
    let mut config = without(container.config.clone(), &image.unwrap_or_default());
    config.image = Some(container.image.clone());
    if config.hostname.as_deref() == Some(id::short(&container.id)) {
        config.hostname = None;
    }
    let host = HostConfig::clone(&container.current_host());
    if matches!(host.network_mode.as_deref(), Some(mode) if mode == "host" || mode.starts_with("container:"))
    {
        // It is the other's.
        config.hostname = None;
    }
    let networks = Map::clone(&container.networks());
    let placement = Placement {
        host_config: Some(host),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(networks).filter(|map| !map.is_empty()),
        }),
    };
    (config, placement)
}

/// The other way round of what `create` merges.
fn without(mut config: Config, image: &ImageConfig) -> Config {
    for (ours, theirs) in [
        (&mut config.user, &image.user),
        (&mut config.working_dir, &image.working_dir),
        (&mut config.stop_signal, &image.stop_signal),
    ] {
        if ours == theirs {
            *ours = None;
        }
    }
    // Arguments that are not the image's stay, and its entrypoint may still be its.
    if config.cmd == image.cmd && config.entrypoint == image.entrypoint {
        config.cmd = None;
    }
    if config.entrypoint == image.entrypoint {
        config.entrypoint = None;
    } else if config.entrypoint.is_none() {
        // Somebody took the image's away.
        config.entrypoint = Some(vec![String::new()]);
    }
    if config.shell == image.shell {
        config.shell = None;
    }
    if let (Some(ours), Some(theirs)) = (&mut config.env, &image.env) {
        ours.retain(|entry| !theirs.contains(entry));
    }
    if let (Some(ours), Some(theirs)) = (&mut config.labels, &image.labels) {
        ours.retain(|key, value| theirs.get(key) != Some(value));
    }
    for (ours, theirs) in [
        (&mut config.volumes, &image.volumes),
        (&mut config.exposed_ports, &image.exposed_ports),
    ] {
        if let (Some(ours), Some(theirs)) = (ours.as_mut(), theirs.as_ref()) {
            ours.retain(|key, _: &Empty| !theirs.contains_key(key));
        }
    }
    if let (Some(ours), Some(theirs)) = (&mut config.healthcheck, &image.healthcheck) {
        disinherit(ours, theirs);
    }
    config
}

fn disinherit(ours: &mut HealthConfig, theirs: &HealthConfig) {
    if ours.test == theirs.test {
        ours.test = None;
    }
    for (ours, theirs) in [
        (&mut ours.interval, theirs.interval),
        (&mut ours.timeout, theirs.timeout),
        (&mut ours.retries, theirs.retries),
        (&mut ours.start_period, theirs.start_period),
        (&mut ours.start_interval, theirs.start_interval),
    ] {
        if *ours == theirs {
            *ours = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn what_the_image_says_is_the_next_images_to_say() {
        let image: ImageConfig = json::parse(
            r#"{"User":"app","Env":["PATH=/bin","A=1"],"Cmd":["serve"],"Entrypoint":["/entry"],
                "Labels":{"version":"1","mine":"no"},"Volumes":{"/data":{}},"WorkingDir":"/",
                "Healthcheck":{"Test":["CMD","ok"],"Interval":5}}"#,
            "test",
        )
        .unwrap();
        for (given, expected) in [
            (
                r#"{"User":"app","Env":["B=2","PATH=/bin","A=1"],"Cmd":["serve"],"Entrypoint":["/entry"],
                    "Labels":{"version":"1","mine":"yes"},"Volumes":{"/data":{},"/own":{}},
                    "WorkingDir":"/","Healthcheck":{"Test":["CMD","ok"],"Interval":7}}"#,
                r#"{"Env":["B=2"],"Volumes":{"/own":{}},"Labels":{"mine":"yes"},"Healthcheck":{"Interval":7}}"#,
            ),
            (
                r#"{"Cmd":["other"],"Entrypoint":["/entry"],"User":"root"}"#,
                r#"{"User":"root","Cmd":["other"]}"#,
            ),
            (
                r#"{"Cmd":["serve"],"Entrypoint":["/own"]}"#,
                r#"{"Cmd":["serve"],"Entrypoint":["/own"]}"#,
            ),
            (r#"{"Cmd":["x"]}"#, r#"{"Cmd":["x"],"Entrypoint":[""]}"#),
        ] {
            let config = json::parse(given, "test").unwrap();
            assert_eq!(json::to_string(&without(config, &image)), expected);
        }
    }
}
