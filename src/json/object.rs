//! JSON written member by member: for answers that are read by others only, where a struct with its
//! derived code would cost more than it saves.

use super::node::{members, quote};

/// An object that is being written.
#[derive(Default)]
pub struct Object(String);

impl Object {
    pub fn new() -> Object {
        Object(String::from("{"))
    }

    /// A member whose value is JSON already.
    pub fn put(&mut self, name: &str, value: &str) -> &mut Object {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&quote(name));
        self.0.push(':');
        self.0.push_str(value);
        self
    }

    pub fn text(&mut self, name: &str, value: &str) -> &mut Object {
        self.put(name, &quote(value))
    }

    /// `None` is left out.
    pub fn number(&mut self, name: &str, value: impl Into<Option<u64>>) -> &mut Object {
        match value.into() {
            Some(value) => self.put(name, &value.to_string()),
            None => self,
        }
    }

    pub fn finish(&mut self) -> String {
        self.0.push('}');
        std::mem::take(&mut self.0)
    }
}

/// A list of strings.
pub fn strings(items: &[&str]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| quote(item)).collect();
    list(&quoted)
}

pub fn list(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}

/// `text`, an object, with `value` as its member `name`, which it has already.
pub fn replace(text: &str, name: &str, value: &str) -> String {
    let mut object = Object::new();
    for (key, old) in members(text) {
        let key = key.trim_matches('"');
        object.put(key, if key == name { value } else { old });
    }
    object.finish()
}

/// `text`, an object, with the members of `defaults` (names and JSON) in front and in their order,
/// each with the value that it has in `text`, if it is there.
pub fn complete(text: &str, defaults: &[(&str, &str)]) -> String {
    let mut known = members(text);
    let mut object = Object::new();
    for (name, default) in defaults {
        let is_it = |(key, _): &(&str, &str)| key.trim_matches('"') == *name;
        let value = match known.iter().position(is_it) {
            Some(at) => known.remove(at).1,
            None => default,
        };
        object.put(name, value);
    }
    for (key, value) in known {
        object.put(key.trim_matches('"'), value);
    }
    object.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_in_their_order() {
        let mut object = Object::new();
        object.number("b", 1).text("a", "\"x\"").put("c", "[null]");
        assert_eq!(object.finish(), r#"{"b":1,"a":"\"x\"","c":[null]}"#);
        assert_eq!(Object::new().finish(), "{}");
    }

    #[test]
    fn what_is_missing_is_added_and_what_is_there_stays() {
        assert_eq!(
            complete(r#"{"a":{"x":[1]},"b":2}"#, &[("b", "0"), ("c", "null")]),
            r#"{"b":2,"c":null,"a":{"x":[1]}}"#
        );
        assert_eq!(replace(r#"{"a":1,"b":2}"#, "b", "[]"), r#"{"a":1,"b":[]}"#);
        assert_eq!(complete("{}", &[("c", "null")]), r#"{"c":null}"#);
    }
}
