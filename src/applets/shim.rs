use crate::error::{Error, Result};
use std::ffi::OsString;

pub fn main(_args: &[OsString]) -> Result<u8> {
    Err(Error::unsupported("not written yet"))
}
