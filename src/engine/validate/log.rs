//! The log driver and its options.

use crate::engine::config::Options;
use crate::engine::logging::{self, Told};
use crate::error::{Context, Result};
use crate::shim::log::options;
use crate::wire::container::{HostConfig, LogConfig};

/// Take the engine's driver where none is asked for, and its options where they are for the driver
/// that is asked for (moby, daemon/logs.go: mergeAndVerifyLogConfig).
pub fn check(host: &mut HostConfig, engine: &Options) -> Result<()> {
    let log = host.log_config.get_or_insert_with(LogConfig::default);
    let driver = log.kind.get_or_insert_default();
    if driver.is_empty() {
        driver.clone_from(&engine.log_driver);
    }
    let given = log.config.get_or_insert_default();
    if *driver == engine.log_driver {
        for (key, value) in &engine.log_opts {
            given.add(key, value);
        }
    }
    options::parse(driver, given)?;
    logging::tag(driver, given, &Told::default())?;
    Ok(())
}

/// What the engine itself was told, before a container is asked for.
pub fn check_default(engine: &Options) -> Result<()> {
    options::parse(&engine.log_driver, &engine.log_opts).context(|| "failed to set log opts")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_options_are_for_its_own_driver() {
        let engine = Options {
            log_driver: "local".to_string(),
            log_opts: [("max-size".to_string(), "1m".to_string())].into(),
            ..Options::default()
        };
        let checked = |kind: &str, max_file: &str| {
            let mut host = HostConfig {
                log_config: Some(LogConfig {
                    kind: Some(kind.to_string()),
                    config: Some([("max-file".to_string(), max_file.to_string())].into()),
                }),
                ..HostConfig::default()
            };
            check(&mut host, &engine).unwrap();
            let log = host.log_config.unwrap();
            (log.kind.unwrap(), log.config.unwrap().into_iter().collect())
        };
        let options = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            let text = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
            pairs.iter().map(text).collect()
        };
        let both = options(&[("max-file", "2"), ("max-size", "1m")]);
        assert_eq!(checked("", "2"), ("local".to_string(), both));
        let own = options(&[("max-file", "2")]);
        assert_eq!(checked("json-file", "2"), ("json-file".to_string(), own));
    }
}
