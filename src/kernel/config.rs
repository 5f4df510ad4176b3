//! A kernel's configuration: the `.config` that it was built by, as a text.

use super::{About, Group, Version, version_of};
use crate::error::{Error, Result};
use crate::kernel::probe::State;

/// Distributions' are a quarter of a megabyte.
pub const BYTES_MAX: u64 = 8 << 20;

pub struct Config {
    text: String,
    /// Of the kernel, as the file's head says. Without a head it is taken for a new one.
    pub version: Option<Version>,
}

impl Config {
    /// `text` is what `name` holds.
    pub fn read(text: String, name: &str) -> Result<Config> {
        if !text.lines().any(|line| setting(line).is_some()) {
            return Err(Error::invalid(format!(
                "{name} is not a kernel configuration: it has no line like CONFIG_NAMESPACES=y"
            )));
        }
        let version = version(&text);
        Ok(Config { text, version })
    }

    pub fn state(&self, about: &About) -> State {
        let version = self.version();
        if about.group == Group::Versions {
            return State::of(version >= about.since());
        }
        let mut options = about.options().filter(|(_, since)| version >= *since);
        let value = options.find_map(|(name, _)| self.value(name).filter(|value| *value != "n"));
        match value {
            None => State::Missing,
            Some("m") => State::Module,
            Some(_) => State::Enabled,
        }
    }

    pub fn version(&self) -> Version {
        self.version.unwrap_or((u32::MAX, 0))
    }

    /// What is said last holds: that is how fragments are merged.
    fn value(&self, name: &str) -> Option<&str> {
        let mut settings = self.text.lines().rev().filter_map(setting);
        settings
            .find(|(other, _)| *other == name)
            .map(|(_, value)| value)
    }
}

/// `CONFIG_NAME=value`, or `# CONFIG_NAME is not set`.
fn setting(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    match line.strip_prefix("CONFIG_") {
        Some(set) => set.split_once('='),
        None => {
            let name = line.strip_prefix("# CONFIG_")?;
            Some((name.strip_suffix(" is not set")?, "n"))
        }
    }
}

/// `# Linux/arm64 6.1.0 Kernel Configuration` stands among the first lines.
fn version(text: &str) -> Option<Version> {
    let line = text
        .lines()
        .take(16)
        .find_map(|line| line.strip_prefix("# Linux/"))?;
    let version = version_of(line.split(' ').nth(1)?);
    (version.0 > 0).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Feature;

    fn state(text: &str, feature: Feature) -> State {
        let config = Config::read(text.to_string(), "x").unwrap();
        config.state(&feature.about())
    }

    #[test]
    fn an_option_is_in_the_kernel_a_module_or_missing() {
        let text = "CONFIG_NET_NS=y\nCONFIG_VETH=m\n# CONFIG_DUMMY is not set\nCONFIG_NR=17\n";
        assert_eq!(state(text, Feature::NetNs), State::Enabled);
        assert_eq!(state(text, Feature::Veth), State::Module);
        assert_eq!(state(text, Feature::Dummy), State::Missing);
        assert_eq!(state(text, Feature::Bridge), State::Missing);
    }

    #[test]
    fn the_last_word_counts() {
        assert_eq!(
            state("# CONFIG_VETH is not set\nCONFIG_VETH=y", Feature::Veth),
            State::Enabled
        );
        assert_eq!(
            state("CONFIG_VETH=y\n# CONFIG_VETH is not set", Feature::Veth),
            State::Missing
        );
        assert_eq!(state("CONFIG_VETH=n", Feature::Veth), State::Missing);
    }

    #[test]
    fn versions_decide_what_an_option_means() {
        let of = |version: &str, rest: &str| {
            format!("#\n# Linux/arm64 {version} Kernel Configuration\n{rest}")
        };
        let swap = "CONFIG_SWAP=y\n";
        assert_eq!(
            state(&of("5.10.1", swap), Feature::MemcgSwap),
            State::Missing
        );
        assert_eq!(
            state(&of("6.1.1", swap), Feature::MemcgSwap),
            State::Enabled
        );
        assert_eq!(state(swap, Feature::MemcgSwap), State::Enabled);
        assert_eq!(
            state(&of("5.11.0", swap), Feature::MountSetattr),
            State::Missing
        );
        assert_eq!(
            state(&of("5.12.0", swap), Feature::MountSetattr),
            State::Enabled
        );
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        for text in ["", "\n\n", "hello", "config y", "# CONFIG_X", "CONFIG_"] {
            assert!(Config::read(text.to_string(), "x").is_err(), "{text}");
        }
    }
}
