//! The `filters` parameter of lists and events: `{"status":["running"]}`, or the older
//! `{"status":{"running":true}}`.

use crate::engine::pattern::Pattern;
use crate::error::{Error, Result};
use crate::json::map::Map;
use crate::json::node::Node;
use crate::time::{Time, moment};

/// Keys with their values, in the order given.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Filters(Vec<(String, Vec<String>)>);

impl Filters {
    /// Read the parameter; only the keys in `known` make sense to the caller.
    pub fn parse(text: Option<&str>, known: &[&str]) -> Result<Filters> {
        let text = text.unwrap_or_default();
        if text.is_empty() {
            return Ok(Filters::default());
        }
        let filters = read(text).ok_or_else(|| Error::invalid("invalid filter"))?;
        match filters
            .0
            .iter()
            .find(|(key, _)| !known.contains(&key.as_str()))
        {
            Some((key, _)) => Err(Error::invalid(format!("invalid filter '{key}'"))),
            None => Ok(filters),
        }
    }

    pub fn get(&self, key: &str) -> &[String] {
        self.0
            .iter()
            .find(|(other, _)| other == key)
            .map_or(&[], |(_, values)| values)
    }

    /// Whether `value` is one of those asked for; true when the key was not given.
    pub fn allows(&self, key: &str, matches: impl Fn(&str) -> bool) -> bool {
        let values = self.get(key);
        values.is_empty() || values.iter().any(|value| matches(value))
    }

    /// Whether `text` is one of those asked for or begins with one.
    pub fn allows_prefix(&self, key: &str, text: &str) -> bool {
        self.allows(key, |value| text.starts_with(value))
    }

    /// The values as patterns. What is no pattern may still be somebody's name to the letter.
    pub fn patterns(&self, key: &str) -> Patterns {
        Patterns {
            texts: self.get(key).to_vec(),
            patterns: self
                .get(key)
                .iter()
                .filter_map(|text| Pattern::parse(text).ok())
                .collect(),
        }
    }

    /// A key that says yes or no; `None` when it was not given.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>> {
        let is = |word: &str| self.get(key).iter().any(|value| value == word);
        match (is("true") || is("1"), is("false") || is("0")) {
            _ if self.get(key).is_empty() => Ok(None),
            (true, false) => Ok(Some(true)),
            (false, true) => Ok(Some(false)),
            _ => Err(Error::invalid(format!(
                "invalid filter '{key}=[{}]'",
                self.get(key).join(" ")
            ))),
        }
    }

    /// The moment that `until` says, for prune.
    pub fn until(&self) -> Result<Option<Time>> {
        match self.get("until") {
            [] => Ok(None),
            [text] => moment::parse(text, Time::now()).map(Some),
            _ => Err(Error::invalid("more than one until filter specified")),
        }
    }

    /// Whether `labels` has all that were asked for with `label` (`key` or `key=value`), and none
    /// of `label!`.
    pub fn allows_labels(&self, labels: Option<&Map<String>>) -> bool {
        let has = |wanted: &String| {
            let (key, value) = match wanted.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (wanted.as_str(), None),
            };
            let found = labels.and_then(|labels| labels.get(key));
            found.is_some_and(|found| value.is_none_or(|value| value == found))
        };
        self.get("label").iter().all(has) && !self.get("label!").iter().any(has)
    }
}

/// The values of a key that are regular expressions.
pub struct Patterns {
    texts: Vec<String>,
    patterns: Vec<Pattern>,
}

impl Patterns {
    /// Whether one of them fits; true when there are none.
    pub fn allow(&self, text: &str) -> bool {
        self.texts.is_empty()
            || self.texts.iter().any(|other| other == text)
            || self.patterns.iter().any(|pattern| pattern.fits(text))
    }
}

fn read(text: &str) -> Option<Filters> {
    let object = Node::new(text, "filters").ok()?;
    if !object.json().starts_with('{') {
        return None;
    }
    let mut filters = Vec::new();
    for (key, value) in object.pairs() {
        let values: Vec<String> = match value.json().as_bytes().first()? {
            b'[' => {
                let values = value.items().into_iter();
                let text = |value: Node<'_>| value.json().starts_with('"').then(|| value.text());
                values.map(text).collect::<Option<_>>()?
            }
            b'{' => {
                let pairs = value.pairs().into_iter();
                let wanted = pairs.filter(|(_, wanted)| wanted.json() != "false");
                wanted.map(|(value, _)| value).collect()
            }
            _ => return None,
        };
        filters.push((key, values));
    }
    Some(Filters(filters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_filters_mean_the_same() {
        let new = Filters::parse(Some(r#"{"status":["running","exited"]}"#), &["status"]).unwrap();
        let old = r#"{"status":{"exited":true,"running":true,"paused":false}}"#;
        let old = Filters::parse(Some(old), &["status"]).unwrap();
        for filters in [new, old] {
            assert!(filters.allows("status", |value| value == "running"));
            assert!(filters.allows("status", |value| value == "exited"));
            assert!(!filters.allows("status", |value| value == "paused"));
        }
    }

    #[test]
    fn a_filter_that_is_unknown_or_malformed_is_refused() {
        let error = Filters::parse(Some(r#"{"colour":["red"]}"#), &["status"]).unwrap_err();
        assert_eq!(error.message, "invalid filter 'colour'");
        for text in ["[]", "{", r#"{"a":1}"#, r#"{"a":[1]}"#, "\"x\""] {
            assert!(Filters::parse(Some(text), &["a"]).is_err(), "{text}");
        }
        assert_eq!(Filters::parse(Some(""), &[]).unwrap(), Filters::default());
    }

    #[test]
    fn names_are_patterns_or_are_taken_to_the_letter() {
        let filters = Filters::parse(Some(r#"{"name":["^we","("]}"#), &["name"]).unwrap();
        let patterns = filters.patterns("name");
        assert!(patterns.allow("web") && patterns.allow("("));
        assert!(!patterns.allow("a web"));
        assert!(filters.patterns("id").allow("anything"));
    }

    #[test]
    fn yes_and_no_are_told_from_nonsense() {
        let read = |text: &str| Filters::parse(Some(text), &["dangling"]).unwrap();
        let dangling = |text: &str| read(text).boolean("dangling");
        assert_eq!(dangling("{}").unwrap(), None);
        assert_eq!(dangling(r#"{"dangling":["1"]}"#).unwrap(), Some(true));
        assert_eq!(dangling(r#"{"dangling":["false"]}"#).unwrap(), Some(false));
        let error = dangling(r#"{"dangling":["x"]}"#).unwrap_err();
        assert_eq!(error.message, "invalid filter 'dangling=[x]'");
    }

    #[test]
    fn labels_match_by_key_or_by_key_and_value() {
        let labels: Map<String> = [("a".to_string(), "1".to_string())].into();
        for (text, expected) in [
            (r#"{"label":["a"]}"#, true),
            (r#"{"label":["a=1"]}"#, true),
            (r#"{"label":["a=2"]}"#, false),
            (r#"{"label":["a","b"]}"#, false),
            (r#"{"label!":["a"]}"#, false),
            (r#"{"label!":["b","a=2"]}"#, true),
            ("{}", true),
        ] {
            let filters = Filters::parse(Some(text), &["label", "label!"]).unwrap();
            assert_eq!(filters.allows_labels(Some(&labels)), expected, "{text}");
        }
    }
}
