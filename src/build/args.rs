//! What ARG declares, and what `--build-arg` makes of it.

use crate::image::change;
use crate::json::map::Map;

/// Known without a declaration, and no part of what tells one image from another unless declared.
const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

pub struct Args {
    /// `--build-arg`.
    given: Map<Option<String>>,
    /// Before the first FROM, with what is always known.
    global: Map<Option<String>>,
    /// In this stage.
    local: Map<Option<String>>,
    /// All that were ever declared.
    seen: Vec<String>,
}

impl Args {
    pub fn new(given: Map<Option<String>>, platforms: &[(&str, String)]) -> Args {
        let known = |(name, value): &(&str, String)| (name.to_string(), Some(value.clone()));
        Args {
            given,
            global: platforms.iter().map(known).collect(),
            local: Map::new(),
            seen: Vec::new(),
        }
    }

    pub fn declare_global(&mut self, name: &str, value: Option<String>) {
        self.seen.push(name.to_string());
        let value = self.valued(name, value);
        self.global.insert(name.to_string(), value);
    }

    pub fn declare(&mut self, name: &str, value: Option<String>) {
        self.seen.push(name.to_string());
        self.local.insert(name.to_string(), value);
    }

    pub fn begin_stage(&mut self) {
        self.local = Map::new();
    }

    fn valued(&self, name: &str, default: Option<String>) -> Option<String> {
        match self.given.get(name) {
            Some(given) => given.clone(),
            None => default,
        }
    }

    pub fn global(&self, name: &str) -> Option<String> {
        self.global.get(name).cloned().flatten()
    }

    /// What a declared variable is worth, or a proxy.
    pub fn value(&self, name: &str) -> Option<String> {
        match self.local.get(name) {
            Some(default) => {
                let default = default.clone().or_else(|| self.global(name));
                self.valued(name, default)
            }
            None if PROXIES.contains(&name) => self.valued(name, None),
            None => None,
        }
    }

    /// `NAME=value` of all that RUN gets, sorted, as far as the image's environment does not say
    /// otherwise; and those of them that belong to what is done.
    pub fn environment(&self, env: &[String]) -> (Vec<String>, Vec<String>) {
        let mut names: Vec<&str> = self.local.keys().map(String::as_str).collect();
        names.extend(PROXIES.iter().filter(|name| !self.local.contains_key(name)));
        names.sort_unstable();
        let (mut all, mut counted) = (Vec::new(), Vec::new());
        for name in names {
            if change::value(env, name).is_some() {
                continue;
            }
            if let Some(value) = self.value(name) {
                let entry = format!("{name}={value}");
                if !PROXIES.contains(&name) || self.seen.iter().any(|seen| seen == name) {
                    counted.push(entry.clone());
                }
                all.push(entry);
            }
        }
        (all, counted)
    }

    /// What was given and nobody has asked for.
    pub fn unused(&self) -> Vec<&str> {
        let names = self.given.keys().map(String::as_str);
        names
            .filter(|name| !PROXIES.contains(name) && !self.seen.iter().any(|seen| seen == name))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_counts_where_it_is_declared() {
        let some = |text: &str| Some(text.to_string());
        let given = [
            ("A".to_string(), some("given")),
            ("NOPE".to_string(), some("x")),
            ("http_proxy".to_string(), some("p")),
        ];
        let platforms = [("TARGETARCH", "arm".to_string())];
        let mut args = Args::new(given.into(), &platforms);
        args.declare_global("A", some("default"));
        args.declare_global("G", some("global"));
        assert_eq!(args.global("A"), some("given"));
        assert_eq!((args.value("A"), args.value("TARGETARCH")), (None, None));

        args.declare("A", None);
        args.declare("G", None);
        args.declare("L", some("local"));
        args.declare("TARGETARCH", None);
        args.declare("E", some("arg"));
        assert_eq!(args.value("G"), some("global"));
        assert_eq!(args.value("TARGETARCH"), some("arm"));
        let (all, counted) = args.environment(&["E=env".to_string()]);
        let declared = ["A=given", "G=global", "L=local", "TARGETARCH=arm"];
        assert_eq!(counted, declared);
        assert_eq!(all[4..], ["http_proxy=p"]);
        assert_eq!(args.unused(), ["NOPE"]);
        args.begin_stage();
        assert_eq!(args.value("A"), None);
    }
}
