//! JSON as a test wants it: `State.ExitCode`, and a panic when it is not there.

use miniserde::json::{Number, Value};

pub struct Json(pub Value);

#[track_caller]
pub fn parse(text: &str) -> Json {
    match miniserde::json::from_str(text) {
        Ok(value) => Json(value),
        Err(_) => panic!("not JSON: {text:?}"),
    }
}

impl Json {
    /// The value at a dotted path; numbers count array elements. `Null` where there is none.
    pub fn at(&self, path: &str) -> &Value {
        let mut value = &self.0;
        for step in path.split('.').filter(|step| !step.is_empty()) {
            value = match value {
                Value::Object(members) => members.get(step).unwrap_or(&Value::Null),
                Value::Array(items) => items
                    .get(step.parse::<usize>().unwrap())
                    .unwrap_or(&Value::Null),
                _ => &Value::Null,
            };
        }
        value
    }

    /// The value at a path as JSON text.
    pub fn text(&self, path: &str) -> String {
        miniserde::json::to_string(self.at(path))
    }

    #[track_caller]
    pub fn string(&self, path: &str) -> String {
        match self.at(path) {
            Value::String(text) => text.clone(),
            other => panic!(
                "{path} is no string but {}",
                miniserde::json::to_string(other)
            ),
        }
    }

    #[track_caller]
    pub fn number(&self, path: &str) -> i64 {
        match self.at(path) {
            Value::Number(Number::U64(number)) => i64::try_from(*number).unwrap(),
            Value::Number(Number::I64(number)) => *number,
            other => panic!(
                "{path} is no number but {}",
                miniserde::json::to_string(other)
            ),
        }
    }

    /// The elements of an array.
    #[track_caller]
    pub fn items(&self) -> Vec<Json> {
        match &self.0 {
            Value::Array(items) => items
                .iter()
                .map(|item| parse(&miniserde::json::to_string(item)))
                .collect(),
            other => panic!("no array: {}", miniserde::json::to_string(other)),
        }
    }
}
