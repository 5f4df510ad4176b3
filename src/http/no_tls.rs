//! In place of `tls`, where the feature of that name is off: what it promises is refused.

use crate::error::{Error, Result};
use crate::http::pump::Codec;
use crate::time::Time;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

#[allow(dead_code)]
pub struct Files<'a> {
    pub ca: &'a Path,
    pub own: Option<(&'a Path, &'a Path)>,
}

fn unsupported<T>() -> Result<T> {
    Err(Error::unsupported("this tug was built without TLS"))
}

#[allow(dead_code)]
pub struct Trust<'a> {
    pub authorities: &'a [PathBuf],
    pub own: Option<(&'a Path, &'a Path)>,
    pub verify: bool,
    pub floor: Time,
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

    pub fn trusting(_trust: &Trust<'_>) -> Result<Client> {
        unsupported()
    }

    pub fn connect(&self, _stream: TcpStream, _host: &str) -> Result<OwnedFd> {
        unsupported()
    }
}
