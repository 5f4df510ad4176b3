//! `tug manifest inspect`: what a registry has under a name, without pulling it.
//!
//! The engine asks: it knows how registries are reached. It answers with the document itself in
//! `Raw`, as engines of Docker's do not.

use super::credentials;
use super::options::{Options, Verb, flag};
use super::print;
use super::remote::{Engine, parse};
use crate::base64;
use crate::error::{Error, Kind, Result};
use crate::http::client::Body;
use crate::http::query;
use crate::json::node::Node;
use crate::json::object::{self, Object};

pub const VERB: Verb = Verb {
    names: &["manifest inspect"],
    usage: "[OPTIONS] MANIFEST",
    about: "Display an image manifest, or manifest list, of a registry",
    flags: &[&[
        flag(
            "--insecure",
            "Allow communication with an insecure registry",
        ),
        flag(
            "-v, --verbose",
            "Output additional info including layers and platform",
        ),
    ]],
    args: (1, 1),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let name = &options.args[0];
    let found = Found::get(engine, name, options.is("insecure"))?;
    let manifest = found.manifest()?;
    let list = manifest.member("manifests");
    let text = match (options.is("verbose"), list) {
        (false, _) => manifest.json().to_string(),
        (true, None) => found.described(name, None)?,
        (true, Some(list)) => {
            let mut all = Vec::new();
            for entry in list.items() {
                let digest = entry.at("digest").text();
                let bare = name.split('@').next().unwrap_or(name);
                let found = Found::get(engine, &digested(bare, &digest), options.is("insecure"))?;
                all.push(found.described(&format!("{bare}@{digest}"), Some(entry))?);
            }
            object::list(&all)
        }
    };
    print::line(&credentials::with_tabs(&text)).map(|()| 0)
}

/// `name` without its tag, which a digest takes the place of.
fn digested(name: &str, digest: &str) -> String {
    let bare = match name.rsplit_once(':') {
        Some((bare, tag)) if !tag.contains('/') => bare,
        _ => name,
    };
    format!("{bare}@{digest}")
}

struct Found {
    answer: String,
    /// The document, and it in base64.
    text: String,
    raw: String,
}

impl Found {
    fn get(engine: &Engine, name: &str, is_insecure: bool) -> Result<Found> {
        let insecure = u8::from(is_insecure);
        let path = format!(
            "/distribution/{}/json?insecure={insecure}",
            query::encode(name)
        );
        let answer = match engine.send_as_user("GET", &path, name, Body::Empty) {
            Err(error) if error.kind == Kind::NotFound => {
                return Err(Error::not_found(format!("no such manifest: {name}")));
            }
            answer => answer?.text()?,
        };
        let raw = parse(&answer)?.at("Raw").text();
        let bytes = base64::decode(&raw).filter(|bytes| !bytes.is_empty());
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text
            .ok_or_else(|| Error::unsupported("this engine tells no manifests: tug's own does"))?;
        Ok(Found { answer, text, raw })
    }

    fn manifest(&self) -> Result<Node<'_>> {
        Node::new(&self.text, "the manifest")
    }

    /// As Docker's client shows one with all that is known; `entry` is that of the list it is in.
    fn described(&self, name: &str, entry: Option<Node<'_>>) -> Result<String> {
        let answer = parse(&self.answer)?;
        let media_type = answer.at("Descriptor.mediaType").text();
        let descriptor = match entry {
            Some(entry) => entry.json().to_string(),
            None => {
                let mut descriptor = Object::new();
                for (member, value) in answer.at("Descriptor").pairs() {
                    descriptor.put(&member, value.json());
                }
                if let Some(platform) = answer.at("Platforms").items().first() {
                    descriptor.put("platform", platform.json());
                }
                descriptor.finish()
            }
        };
        let kind = match media_type.contains("vnd.oci.") {
            true => "OCIManifest",
            false => "SchemaV2Manifest",
        };
        let mut object = Object::new();
        object.text("Ref", name).put("Descriptor", &descriptor);
        object.text("Raw", &self.raw);
        Ok(object.put(kind, self.manifest()?.json()).finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_takes_the_place_of_a_tag() {
        assert_eq!(digested("a/b:1", "sha256:0"), "a/b@sha256:0");
        assert_eq!(digested("h:5/b", "sha256:0"), "h:5/b@sha256:0");
    }
}
