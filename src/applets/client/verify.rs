//! `tug image verify`: may images be used, by the engine's policy, and what is signed of them?

use super::options::{ANY, Options, Verb};
use super::print;
use super::remote::{Engine, each, parse};
use crate::error::Result;
use crate::http::query;

pub const VERB: Verb = Verb {
    names: &["image verify"],
    usage: "IMAGE [IMAGE...]",
    about: "Check images against the engine's policy of signatures (--signature-policy)",
    flags: &[&[]],
    args: (1, ANY),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    each(&options.args, |name| {
        let text = engine.text(&format!("/images/{}/verify", query::encode(name)))?;
        let answer = parse(&text)?;
        let policy = answer.at("Policy").text();
        match policy.is_empty() {
            true => print::line(&format!("{name}: there is no policy"))?,
            false => print::line(&format!("{name}: accepted by {policy}"))?,
        }
        for signed in answer.at("Signatures").items() {
            let (digest, name) = (signed.at("Digest").text(), signed.at("Reference").text());
            print::line(&format!("  signed: {digest} as {name}"))?;
        }
        Ok(())
    })
}
