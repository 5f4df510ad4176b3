//! Whether to speak TLS with the engine, and with which files: Docker's options and variables.

use super::config::variable;
use crate::error::{Error, Result};
use crate::http::tls::{Client, Files};
use std::path::PathBuf;

pub struct Tls {
    pub is_on: bool,
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    /// Our certificate was asked for, so it must be there.
    is_own_needed: bool,
}

impl Tls {
    /// `value` answers what the command line says.
    pub fn new<'a>(value: &dyn Fn(&str) -> Option<&'a str>) -> Result<Tls> {
        let is_on = match value("tlsverify") {
            Some(text) => text == "true",
            None => variable("DOCKER_TLS_VERIFY").is_some(),
        };
        if value("tls") == Some("true") && !is_on {
            return Err(Error::unsupported(
                "with --tls alone anybody could answer in the engine's place: use --tlsverify",
            ));
        }
        let home = || variable("HOME").unwrap_or_else(|| "/root".to_string()) + "/.docker";
        let dir = PathBuf::from(
            variable("DOCKER_CERT_PATH")
                .or_else(|| value("config").map(str::to_string))
                .or_else(|| variable("DOCKER_CONFIG"))
                .unwrap_or_else(home),
        );
        let file = |option: &str, name: &str| {
            let given = value(option).filter(|path| !path.is_empty());
            given.map_or_else(|| dir.join(name), PathBuf::from)
        };
        Ok(Tls {
            is_on,
            ca: file("tlscacert", "ca.pem"),
            certificate: file("tlscert", "cert.pem"),
            key: file("tlskey", "key.pem"),
            is_own_needed: value("tlscert").or(value("tlskey")).is_some(),
        })
    }

    /// What speaks it; nothing when it is off.
    pub fn client(&self) -> Result<Option<Client>> {
        if !self.is_on {
            return Ok(None);
        }
        let has_own = self.is_own_needed || self.certificate.exists() || self.key.exists();
        Client::new(&Files {
            ca: &self.ca,
            own: has_own.then_some((&self.certificate, &self.key)),
        })
        .map(Some)
    }
}
