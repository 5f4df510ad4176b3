//! `tug shim RUN_DIR`: one container's parent.

use crate::error::{Error, Kind, Result};
use crate::shim::serve;
use crate::sys::process;
use lexopt::prelude::*;
use std::ffi::OsString;
use std::path::PathBuf;

const HELP: &str = "\
Usage: tug shim RUN_DIR

Be the parent of one container: keep its standard streams, its log and its exit
status, and serve the engine on RUN_DIR/shim.sock. The engine starts one for
each container that runs, and it ends with its container. It is of little use
by hand.

RUN_DIR holds bundle/config.json (an OCI bundle) and shim.json. The exit status
is left in RUN_DIR/exit, notes in RUN_DIR/shim.log.

Options:
      --nofile=N  let containers begin with this soft limit of open files
  -h, --help      print this
  -v, --version   print the version
";

pub fn main(args: &[OsString]) -> Result<u8> {
    serve::serve(&parse(args)?)
}

fn parse(args: &[OsString]) -> Result<PathBuf> {
    let mut args = lexopt::Parser::from_args(args);
    let mut run_dir = None;
    while let Some(arg) = args.next()? {
        match arg {
            Short('h') | Long("help") => return Err(Error::new(Kind::Help, HELP)),
            Short('v') | Long("version") => {
                let version = format!("tug shim {}", env!("CARGO_PKG_VERSION"));
                return Err(Error::new(Kind::Help, version));
            }
            Long("nofile") => process::set_soft_descriptors(args.value()?.parse()?),
            // How containerd calls its shims (runtime v2, shim protocol).
            Short('n' | 'i' | 'a') | Long("namespace" | "id" | "address" | "bundle") => {
                return Err(not_containerd());
            }
            Value(value) if run_dir.is_none() => {
                if value == "start" || value == "delete" {
                    return Err(not_containerd());
                }
                run_dir = Some(PathBuf::from(value));
            }
            other => return Err(other.unexpected().into()),
        }
    }
    run_dir.ok_or_else(|| Error::new(Kind::Usage, "a run directory is needed, see --help"))
}

fn not_containerd() -> Error {
    Error::new(
        Kind::Unsupported,
        "containerd's shim protocol is not supported yet: use tug runtime with containerd's own shim",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(args: &[&str]) -> Kind {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        parse(&args).unwrap_err().kind
    }

    #[test]
    fn containerd_is_told_what_we_are_not() {
        assert_eq!(kind(&["-v"]), Kind::Help);
        assert_eq!(kind(&["start"]), Kind::Unsupported);
        assert_eq!(kind(&["-namespace", "moby", "start"]), Kind::Unsupported);
        assert_eq!(
            kind(&["-id", "x", "-bundle", "y", "delete"]),
            Kind::Unsupported
        );
        assert_eq!(kind(&[]), Kind::Usage);
        assert_eq!(kind(&["a", "b"]), Kind::Usage);
    }
}
