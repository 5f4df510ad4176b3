//! In place of `tls`, where the feature of that name is off: what it promises is refused.

use crate::error::{Error, Result};
use crate::http::pump::Codec;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::Path;

#[allow(dead_code)]
pub struct Files<'a> {
    pub ca: &'a Path,
    pub own: Option<(&'a Path, &'a Path)>,
}

fn unsupported<T>() -> Result<T> {
    Err(Error::unsupported("this tug was built without TLS"))
}

pub struct Server;

impl Server {
    pub fn new(_files: &Files<'_>, _verify: bool) -> Result<Server> {
        unsupported()
    }

    pub fn codec(&self) -> Result<Box<dyn Codec>> {
        unsupported()
    }
}

pub struct Client;

impl Client {
    pub fn new(_files: &Files<'_>) -> Result<Client> {
        unsupported()
    }

    pub fn connect(&self, _stream: TcpStream, _host: &str) -> Result<OwnedFd> {
        unsupported()
    }
}
