//! `tug rm`.

use super::options::{ANY, Options, Verb, flag};
use super::print;
use super::remote::{Engine, each};
use crate::error::{Kind, Result};
use crate::http::client::Body;
use crate::http::query;

pub const VERB: Verb = Verb {
    names: &["rm", "container rm", "container remove"],
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Remove one or more containers",
    flags: &[&[
        flag(
            "-f, --force",
            "Force the removal of a running container (uses SIGKILL)",
        ),
        flag("-l, --link", "Remove the specified link"),
        flag(
            "-v, --volumes",
            "Remove anonymous volumes associated with the container",
        ),
    ]],
    args: (1, ANY),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let mut query = String::new();
    for (name, parameter) in [("force", "force"), ("link", "link"), ("volumes", "v")] {
        if options.is(name) {
            query.push_str(&format!("&{parameter}=1"));
        }
    }
    let query = query.replacen('&', "?", 1);
    each(&options.args, |name| {
        // As rm(1): with --force it is enough that nothing of the name is there.
        let path = format!("/containers/{}{query}", query::encode(name));
        match engine.send("DELETE", &path, Body::Empty) {
            Err(error) if error.kind == Kind::NotFound && options.is("force") => {
                return print::err(format!("{}\n", error.message));
            }
            outcome => outcome?,
        };
        print::line(name)
    })
}
