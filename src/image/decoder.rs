//! Whatever an archive is packed with, a stream of the plain archive.

use crate::error::{Error, Result};
use crate::image::gzip::Gzip;
use crate::image::source::{Format, Restart, SNIFF_BYTES, Source, Stream, failed, sniff};
use crate::image::zstd::Zstd;

/// What `from` holds, unpacked on the way.
pub fn open<'a>(from: &'a mut Source<'_>) -> Result<Box<dyn Stream + 'a>> {
    let head = from.peek(SNIFF_BYTES);
    let format = sniff(head.map_err(|e| failed("read archive", &e))?);
    stream(format, from)
}

/// The same from a place where it can begin: `from` begins there.
pub fn resume<'a>(
    format: Format,
    from: &'a mut Source<'_>,
    restart: &Restart,
) -> Result<Box<dyn Stream + 'a>> {
    match format {
        Format::Gzip if restart.input > 0 => match Gzip::resume(from, restart) {
            Some(gzip) => Ok(Box::new(gzip)),
            None => Err(Error::invalid("invalid state of a decoder")),
        },
        Format::Zstd => Ok(Box::new(Zstd::resume(from, restart.output))),
        format => stream(format, from),
    }
}

/// The same where somebody has looked already.
pub fn stream<'a>(format: Format, from: &'a mut Source<'_>) -> Result<Box<dyn Stream + 'a>> {
    Ok(match format {
        Format::Tar => Box::new(from),
        Format::Gzip => Box::new(Gzip::new(from)),
        Format::Zstd => Box::new(Zstd::new(from)),
        Format::Foreign(name) => {
            return Err(Error::invalid(format!(
                "{name}-compressed archives are not supported: decompress it, or use gzip or zstd"
            )));
        }
        Format::Empty => return Err(Error::invalid("the archive is empty")),
        Format::Json | Format::Delta | Format::Unknown => {
            return Err(Error::invalid("this is not a tar archive"));
        }
    })
}
