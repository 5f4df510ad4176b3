//! What a template works with: JSON text, and what Go would hold in its place.

use crate::json::node;

/// How deep a document is shown.
const DEPTH_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// What a map does not have; shown as `<no value>`.
    Missing,
    /// A member that the document does not have.
    Absent(String),
    Nil,
    Bool(bool),
    Number(String),
    Text(String),
    /// JSON: `[…]`.
    List(String),
    /// JSON: `{…}`. In Go some of these are maps and some are structs.
    Map(String),
    Struct(String),
}

/// Members that are maps in Docker's types; other objects are structs.
const MAPS: [&str; 19] = [
    "Annotations",
    "Attributes",
    "Data",
    "Details",
    "DriverOpts",
    "ExposedPorts",
    "Labels",
    "Networks",
    "Options",
    "PortBindings",
    "Ports",
    "Runtimes",
    "StorageOpt",
    "SystemStatus",
    "Sysctls",
    "Tmpfs",
    "Volumes",
    "runtimes",
    "status",
];

/// Members that are lists: an empty one may be sent as `null`.
const LISTS: [&str; 26] = [
    "Aliases",
    "Binds",
    "BlkioWeightDevice",
    "CapAdd",
    "CapDrop",
    "Cmd",
    "DeviceCgroupRules",
    "DeviceRequests",
    "Devices",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "Entrypoint",
    "Env",
    "ExtraHosts",
    "GroupAdd",
    "Links",
    "MaskedPaths",
    "Mounts",
    "OnBuild",
    "ReadonlyPaths",
    "RepoDigests",
    "RepoTags",
    "SecurityOpt",
    "Shell",
    "VolumesFrom",
];

/// Members that Docker's client has in its types while the engine leaves them out when they are
/// empty, beside the maps and lists.
const POINTERS: [&str; 7] = [
    "Health",
    "Healthcheck",
    "Init",
    "ImageManifestDescriptor",
    "SizeRootFs",
    "SizeRw",
    "StopTimeout",
];
const TEXTS: [&str; 6] = [
    "Author",
    "Comment",
    "MacAddress",
    "StopSignal",
    "Variant",
    "Runtime",
];

/// What Go has for a member of this name that is `null` or not there.
fn zero(name: &str) -> Option<Value> {
    if MAPS.contains(&name) {
        Some(Value::Map("{}".to_string()))
    } else if LISTS.contains(&name) {
        Some(Value::List("[]".to_string()))
    } else if POINTERS.contains(&name) {
        Some(Value::Nil)
    } else if TEXTS.contains(&name) {
        Some(Value::Text(String::new()))
    } else {
        None
    }
}

impl Value {
    /// The value of member `name` with the JSON `text`.
    pub fn of_json(text: &str, name: &str) -> Value {
        match text.as_bytes().first() {
            Some(b'"') => Value::Text(node::unquote(text)),
            Some(b't' | b'f') => Value::Bool(text == "true"),
            Some(b'[') => Value::List(text.to_string()),
            Some(b'{') if MAPS.contains(&name) => Value::Map(text.to_string()),
            Some(b'{') => Value::Struct(text.to_string()),
            Some(b'n') | None => zero(name).unwrap_or(Value::Nil),
            _ => Value::Number(text.to_string()),
        }
    }

    /// A list of strings.
    pub fn list<'a>(texts: impl Iterator<Item = &'a str>) -> Value {
        let quoted: Vec<String> = texts.map(node::quote).collect();
        Value::List(format!("[{}]", quoted.join(",")))
    }

    pub fn number(number: usize) -> Value {
        Value::Number(number.to_string())
    }

    pub fn integer(&self) -> Option<i64> {
        match self {
            Value::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The JSON of a list or an object.
    fn document(&self) -> Option<&str> {
        match self {
            Value::List(text) | Value::Map(text) | Value::Struct(text) => Some(text),
            _ => None,
        }
    }

    /// Members with their names (empty in lists), as Go goes through them: maps by name.
    pub fn members(&self) -> Option<Vec<(String, Value)>> {
        let mut members = Vec::new();
        for (key, text) in node::members(self.document()?) {
            let name = match key {
                "" => String::new(),
                key => node::unquote(key),
            };
            // In a map the names are the user's.
            let known = if matches!(self, Value::Struct(_)) {
                name.as_str()
            } else {
                ""
            };
            let known = match known {
                // Of `LogConfig`, not the container's.
                "Config" if members.iter().any(|(name, _)| name == "Type") => "Options",
                known => known,
            };
            let value = Value::of_json(text, known);
            members.push((name, value));
        }
        if matches!(self, Value::Map(_)) {
            members.sort_by(|a, b| a.0.cmp(&b.0));
        }
        Some(members)
    }

    /// Member `name`; an error is Go's sentence.
    pub fn field(&self, name: &str) -> Result<Value, String> {
        let find = |is_it: &dyn Fn(&str) -> bool| {
            let members = self.members().unwrap_or_default().into_iter();
            let mut found = members.filter(|(key, _)| is_it(key));
            found.next().map(|(_, value)| value)
        };
        match self {
            Value::Missing => Ok(Value::Missing),
            Value::Absent(missing) => Err(no_entry(missing)),
            Value::Map(_) => Ok(find(&|key| key == name).unwrap_or(Value::Missing)),
            // Docker's client knows members by their names in Go and in JSON; these differ in
            // capitals only: `ID` and `Id`, `NanoCPUs` and `NanoCpus`, `Scope` and `scope`.
            Value::Struct(_) => Ok(find(&|key| key == name)
                .or_else(|| find(&|key| key.eq_ignore_ascii_case(name)))
                .or_else(|| zero(name))
                .unwrap_or_else(|| Value::Absent(name.to_string()))),
            Value::Nil => Err(format!("nil pointer evaluating {name}")),
            value => Err(format!(
                "can't evaluate field {name} in type {}",
                value.type_name()
            )),
        }
    }

    /// Go's name for its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Missing | Value::Absent(_) | Value::Nil => "nil",
            Value::Bool(_) => "bool",
            Value::Number(_) => "int",
            Value::Text(_) => "string",
            Value::List(_) => "[]interface {}",
            Value::Map(_) | Value::Struct(_) => "map[string]interface {}",
        }
    }

    pub fn is_nothing(&self) -> bool {
        matches!(self, Value::Missing | Value::Absent(_) | Value::Nil)
    }

    /// Go's truth: what is not empty; a struct always is.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Missing | Value::Absent(_) | Value::Nil => false,
            Value::Bool(value) => *value,
            Value::Number(text) => text.bytes().any(|b| matches!(b, b'1'..=b'9')),
            Value::Text(text) => !text.is_empty(),
            Value::List(_) | Value::Map(_) => {
                self.members().is_some_and(|members| !members.is_empty())
            }
            Value::Struct(_) => true,
        }
    }

    pub fn json(&self) -> String {
        match self {
            Value::Missing | Value::Absent(_) | Value::Nil => "null".to_string(),
            Value::Bool(value) => value.to_string(),
            Value::Number(text) => text.clone(),
            Value::Text(text) => node::quote(text),
            Value::List(text) | Value::Map(text) | Value::Struct(text) => node::compact(text),
        }
    }

    /// As Go prints it.
    pub fn show(&self) -> String {
        let mut text = String::new();
        self.show_to(&mut text, 0);
        text
    }

    fn show_to(&self, to: &mut String, depth: usize) {
        let (open, close) = match self {
            Value::Missing => return to.push_str("<no value>"),
            Value::Absent(_) | Value::Nil => return to.push_str("<nil>"),
            Value::Bool(value) => return to.push_str(if *value { "true" } else { "false" }),
            Value::Number(text) | Value::Text(text) => return to.push_str(text),
            Value::List(_) => ("[", "]"),
            Value::Map(_) => ("map[", "]"),
            Value::Struct(_) => ("{", "}"),
        };
        to.push_str(open);
        let members = match depth < DEPTH_MAX {
            true => self.members().unwrap_or_default(),
            false => Vec::new(),
        };
        for (n, (key, value)) in members.iter().enumerate() {
            if n > 0 {
                to.push(' ');
            }
            if matches!(self, Value::Map(_)) {
                to.push_str(key);
                to.push(':');
            }
            value.show_to(to, depth + 1);
        }
        to.push_str(close);
    }
}

pub fn no_entry(name: &str) -> String {
    format!("map has no entry for key {name:?}")
}
