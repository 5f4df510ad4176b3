//! The `filters` parameter of lists and events: `{"status":["running"]}`, or the older
//! `{"status":{"running":true}}`.

use crate::error::{Error, Result};
use miniserde::json::Value;

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

    /// Whether `labels` has all that were asked for: `key` or `key=value`.
    pub fn allows_labels(
        &self,
        labels: Option<&std::collections::BTreeMap<String, String>>,
    ) -> bool {
        self.get("label").iter().all(|wanted| {
            let (key, value) = match wanted.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (wanted.as_str(), None),
            };
            let found = labels.and_then(|labels| labels.get(key));
            found.is_some_and(|found| value.is_none_or(|value| value == found))
        })
    }
}

fn read(text: &str) -> Option<Filters> {
    let Ok(Value::Object(object)) = miniserde::json::from_str::<Value>(text) else {
        return None;
    };
    let mut filters = Vec::new();
    for (key, value) in &object {
        let mut values = Vec::new();
        match value {
            Value::Array(array) => {
                for value in array {
                    let Value::String(value) = value else {
                        return None;
                    };
                    values.push(value.clone());
                }
            }
            Value::Object(set) => {
                let wanted = |value: &Value| !matches!(value, Value::Bool(false));
                values.extend(
                    set.iter()
                        .filter(|(_, v)| wanted(v))
                        .map(|(k, _)| k.clone()),
                );
            }
            _ => return None,
        }
        filters.push((key.clone(), values));
    }
    Some(Filters(filters))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

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
    fn labels_match_by_key_or_by_key_and_value() {
        let labels: BTreeMap<String, String> = [("a".to_string(), "1".to_string())].into();
        for (text, expected) in [
            (r#"{"label":["a"]}"#, true),
            (r#"{"label":["a=1"]}"#, true),
            (r#"{"label":["a=2"]}"#, false),
            (r#"{"label":["a","b"]}"#, false),
            ("{}", true),
        ] {
            let filters = Filters::parse(Some(text), &["label"]).unwrap();
            assert_eq!(filters.allows_labels(Some(&labels)), expected, "{text}");
        }
    }
}
