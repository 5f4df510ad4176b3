//! Registries as the engine was told to reach them, and the credentials that come with a request.

use crate::base64;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::json::node::Node;
use crate::registry::{Credentials, Settings};
use crate::time::Time;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

impl Engine {
    /// How registries are reached now.
    pub fn registries(&self) -> Settings {
        let settings = self.settings();
        Settings {
            mirrors: settings.registry_mirrors.clone(),
            insecure: settings.insecure_registries.clone(),
            proxies: settings.proxies.clone().with_environment(),
            attempts: settings.download_attempts_max,
            newest: newest(&self.options.data_root),
            ..Settings::default()
        }
    }
}

/// When the newest record of a store was written. Each image's counts: what a wrong clock writes now
/// must not make us forget the time that there was.
pub fn newest(root: &Path) -> Time {
    let images = root.join("images");
    let entries = std::fs::read_dir(&images).into_iter().flatten().flatten();
    let mut newest = changed(&images);
    for entry in entries {
        newest = newest.max(changed(&entry.path()));
    }
    Time {
        seconds: u64::try_from(newest).unwrap_or(0),
        nanos: 0,
    }
}

fn changed(path: &Path) -> i64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.mtime())
}

/// The header `X-Registry-Auth`: JSON in base64 for URLs. `None` where it says nothing.
pub fn credentials(header: &str) -> Result<Option<Credentials>> {
    // The alphabet for URLs is Docker's; some send the other.
    let text = header.trim().replace('-', "+").replace('_', "/");
    // The sentence must not have the secret in it.
    let wrong = || Error::invalid("invalid X-Registry-Auth header: not JSON in base64");
    let bytes = base64::decode(&text).ok_or_else(wrong)?;
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    let node = Node::new(&text, "").map_err(|_| wrong())?;
    let credentials = of_json(node);
    Ok((credentials != Credentials::default()).then_some(credentials))
}

/// `{"username":…,"password":…,"identitytoken":…,"registrytoken":…}`, as in the header and in the body
/// of a login; `auth` is name and password in base64.
pub fn of_json(node: Node<'_>) -> Credentials {
    let mut credentials = Credentials {
        username: node.at("username").text(),
        password: node.at("password").text(),
        identity_token: node.at("identitytoken").text(),
        registry_token: node.at("registrytoken").text(),
    };
    let pair =
        base64::decode(&node.at("auth").text()).and_then(|pair| String::from_utf8(pair).ok());
    if credentials.username.is_empty()
        && let Some((username, password)) = pair.as_deref().and_then(|pair| pair.split_once(':'))
    {
        credentials.username = username.to_string();
        credentials.password = password.to_string();
    }
    credentials
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_read_in_both_alphabets_and_never_told() {
        let read = |json: &str| credentials(&base64::encode(json.as_bytes())).unwrap();
        let own = read(r#"{"username":"me","password":"a?>b~","serveraddress":"x"}"#).unwrap();
        assert_eq!(
            (own.username.as_str(), own.password.as_str()),
            ("me", "a?>b~")
        );
        let urls = base64::encode(r#"{"username":"me","password":"??>>~~"}"#.as_bytes());
        let urls = urls.replace('+', "-").replace('/', "_");
        assert_eq!(credentials(&urls).unwrap().unwrap().password, "??>>~~");
        let pair = format!(r#"{{"auth":"{}"}}"#, base64::encode(b"me:a:b"));
        assert_eq!(read(&pair).unwrap().password, "a:b");
        assert_eq!(
            read(r#"{"identitytoken":"t"}"#).unwrap().identity_token,
            "t"
        );
        for nothing in ["", "{}", "null", r#"{"username":""}"#] {
            assert_eq!(read(nothing), None, "{nothing}");
        }
        for wrong in ["!", &base64::encode(b"{canary"), &base64::encode(b"\xff")] {
            let error = credentials(wrong).unwrap_err().to_string();
            assert_eq!(error, "invalid X-Registry-Auth header: not JSON in base64");
        }
    }
}
