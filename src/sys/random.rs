//! Random bytes from the kernel.

use crate::error::Result;
use crate::sys::failed;
use rustix::rand::{GetRandomFlags, getrandom};

/// Fill `bytes` from getrandom(2). Without GRND_RANDOM: ids need to be unique, not secret, and a
/// board must not wait for entropy at boot; GRND_INSECURE (5.6) never blocks.
pub fn fill(bytes: &mut [u8]) -> Result<()> {
    fill_with(bytes, GetRandomFlags::INSECURE)
}

/// The same for what nobody may guess; early at boot it waits until the kernel can promise that.
#[cfg(feature = "tls")]
pub fn fill_secret(bytes: &mut [u8]) -> Result<()> {
    fill_with(bytes, GetRandomFlags::empty())
}

fn fill_with(bytes: &mut [u8], flags: GetRandomFlags) -> Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match getrandom(&mut bytes[done..], flags) {
            Ok(count) => done += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(failed("getrandom", "bytes", errno)),
        }
    }
    Ok(())
}
