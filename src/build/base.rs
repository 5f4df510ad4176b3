//! What a build gets from elsewhere: the images it begins with, and files by their URLs.

use crate::build::Request;
use crate::build::copy::Source;
use crate::build::report::{Report, check};
use crate::build::run::Bench;
use crate::engine::Engine;
use crate::engine::pull::Wanted;
use crate::engine::registry::of_json;
use crate::error::{Error, Kind, Result};
use crate::id;
use crate::image::manifest;
use crate::image::pull::Audience;
use crate::image::reference::{DEFAULT_DOMAIN, Reference};
use crate::json::node::Node;
use crate::json::{self};
use crate::oci::image::Platform;
use crate::registry::{self, Credentials};
use crate::store::staging::Staging;
use crate::sys::fs::{self, ModifiedAt};
use crate::time::Time;
use crate::wire::image::Progress;
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

const PIECE_BYTES: usize = 32 << 10;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

impl Audience for Report<'_> {
    fn tell(&mut self, progress: &Progress) -> Result<()> {
        self.line(&json::to_string(progress))
    }

    fn has_gone(&self) -> bool {
        check(self.client()).is_err()
    }
}

/// The id of the image called `name`, pulled where it is missing, is for another platform, or the
/// newest is wanted.
pub fn find(
    engine: &Arc<Engine>,
    request: &Request,
    name: &str,
    platform: &str,
    report: &mut Report<'_>,
) -> Result<String> {
    if !request.pull {
        match engine.images.find(name) {
            Ok(found) if fits(&found.image, platform)? => {
                return engine.images.permit(name).map(|()| found.id);
            }
            Err(error) if error.kind != Kind::NotFound => return Err(error),
            _ => {}
        }
    }
    let reference = Reference::parse(name)?.with_default_tag();
    let wanted = Wanted {
        image: reference.full(),
        platform: platform.to_string(),
        credentials: credentials(&request.registries, &reference.domain)?,
        ..Wanted::default()
    };
    engine.image_pull(&wanted, report)?;
    engine.images.id(name)
}

fn fits(image: &crate::oci::image::Image, platform: &str) -> Result<bool> {
    if platform.is_empty() {
        return Ok(true);
    }
    let found = Platform {
        architecture: image.architecture.clone(),
        os: image.os.clone(),
        variant: image.variant.clone(),
    };
    Ok(manifest::runs(&found, &manifest::platform(platform)?))
}

/// Who the client is at a registry. Docker's own has several names.
fn credentials(registries: &str, domain: &str) -> Result<Option<Credentials>> {
    if registries.trim().is_empty() {
        return Ok(None);
    }
    // The sentence must not have a secret in it.
    let node = Node::new(registries, "")
        .map_err(|_| Error::invalid("invalid X-Registry-Config header: not JSON in base64"))?;
    let is_it = |(server, _): &(String, Node<'_>)| {
        let host = server.split("://").last().unwrap_or_default();
        match host.split('/').next().unwrap_or_default() {
            "index.docker.io" | "registry-1.docker.io" => domain == DEFAULT_DOMAIN,
            host => host == domain,
        }
    };
    let found = node.pairs().into_iter().find(is_it);
    Ok(found.map(|(_, account)| of_json(account)))
}

/// A file that ADD gets from the network, for as long as `Staging` lives.
pub fn download(
    bench: &Bench<'_>,
    url: &str,
    checksum: &str,
    dest: &str,
    report: &Report<'_>,
) -> Result<(Staging, Source)> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, path)| path);
    let name = path.split_once('/').map_or("", |(_, path)| path);
    let name = name.rsplit('/').next().unwrap_or_default();
    if name.is_empty() && dest.ends_with('/') {
        return Err(Error::invalid(format!(
            "cannot determine filename for source {url}"
        )));
    }
    let mut answer = registry::download(&bench.engine.registries(), url)?;
    let staging = Staging::new(bench.context.beside())?;
    let place = staging.path().join("file");
    let failed = |e| Error::io(format_args!("download {url}"), &e);
    let mut file = std::fs::File::create_new(&place).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        report.check()?;
        match answer.read(&mut piece).map_err(failed)? {
            0 => break,
            count => {
                hash.update(&piece[..count]);
                file.write_all(&piece[..count]).map_err(failed)?;
            }
        }
    }
    let digest = format!("sha256:{}", id::hex(&hash.finalize()));
    if !checksum.is_empty() && checksum != digest {
        return Err(Error::invalid(format!(
            "digest mismatch {digest}: {checksum}"
        )));
    }
    // As Docker has it: nobody but the owner reads what came from the network.
    fs::chmod(file.as_fd(), 0o600)?;
    let modified = answer.header("last-modified").and_then(moment);
    fs::set_modified(file.as_fd(), modified.unwrap_or_default())?;
    let named = fs::reopen(file.as_fd(), OFlags::PATH)?;
    Ok((staging, Source::file(named, name.as_bytes())))
}

/// `Wed, 21 Oct 2015 07:28:00 GMT`.
fn moment(text: &str) -> Option<ModifiedAt> {
    let words: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = words[..] else {
        return None;
    };
    let month = MONTHS.iter().position(|known| *known == month)? + 1;
    let time = Time::parse(&format!("{year}-{month:02}-{day}T{time}Z")).ok()?;
    Some(ModifiedAt {
        seconds: i64::try_from(time.seconds).ok()?,
        nanos: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_file_on_the_web_is_read() {
        let seconds = |text: &str| moment(text).map(|at| at.seconds);
        assert_eq!(
            seconds("Wed, 21 Oct 2015 07:28:00 GMT"),
            Some(1_445_412_480)
        );
        for text in ["", "yesterday", "Wed, 21 Foo 2015 07:28:00 GMT"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn each_registry_has_its_own_account() {
        let text = r#"{"https://index.docker.io/v1/":{"username":"hub"},"localhost:5000":{"username":"own"}}"#;
        let user = |domain: &str| {
            let found = credentials(text, domain).unwrap();
            found.map(|account| account.username)
        };
        assert_eq!(user("docker.io").as_deref(), Some("hub"));
        assert_eq!(user("localhost:5000").as_deref(), Some("own"));
        assert_eq!(user("example.org"), None);
        assert!(credentials("", "docker.io").unwrap().is_none());
        let error = credentials("secret", "docker.io").unwrap_err();
        assert!(!error.message.contains("secret"));
    }
}
