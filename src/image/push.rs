//! `push`: an image into a registry.
//!
//! What the registry has is not sent: it is asked for each form of a layer that we know of, and to
//! take one from another of its repositories. What it lacks is compressed while it goes out, without
//! a copy. If in the end it has all that the image's own manifest names, that one is pushed to the
//! byte; else a new one.

use crate::error::{Error, Kind, Result};
use crate::id;
use crate::image::deflate::Gzipped;
use crate::image::manifest::{DOCKER_IMAGE, OCI_IMAGE};
use crate::image::pull::Audience;
use crate::image::reference::Reference;
use crate::image::save::{self, Stored, descriptor};
use crate::image::source::{Stream, sha256};
use crate::image::{Images, layer, shelf};
use crate::json;
use crate::oci::image::{Descriptor, Manifest, Platform};
use crate::registry::Repository;
use crate::wire::image::{Aux, Progress, ProgressDetail};
use std::io;
use std::time::{Duration, Instant};

/// How often is told how far a layer is.
const PAUSE: Duration = Duration::from_millis(100);

/// After a failure; so much more after each further one (moby, distribution/xfer).
const RETRY_PAUSE_SECONDS: u32 = if cfg!(debug_assertions) { 1 } else { 5 };

/// Repositories of the same registry that are asked for a layer.
const MOUNTS_MAX: usize = 4;

const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// What to push.
pub struct Push<'a> {
    pub repository: &'a Repository,
    /// With a tag.
    pub reference: &'a Reference,
    /// What the image must be for.
    pub platform: Option<&'a Platform>,
    /// How often a layer is tried.
    pub attempts: u32,
}

/// A layer on its way.
struct Layer {
    stored: Stored,
    /// The forms that some registry has or had.
    known: Vec<Descriptor>,
}

impl Images {
    pub fn push(&self, push: &Push<'_>, audience: &mut dyn Audience) -> Result<()> {
        let reference = push.reference;
        let digits = self.named(&reference.full()).ok_or_else(|| {
            let name = reference.familiar();
            Error::not_found(format!("tag does not exist: {name}"))
        })?;
        let dir = self.image_dir(&digits);
        let config = shelf::config(&dir)?;
        if let Some(wanted) = push.platform {
            save::check_platform(wanted, &config, std::slice::from_ref(reference), &digits)?;
        }
        let source = Source::read(&dir);
        let layers = self.outgoing(&digits, source.as_ref())?;
        for (n, layer) in distinct(&layers).rev().enumerate() {
            tell(audience, layer, "Preparing", None)?;
            if n > 0 {
                tell(audience, layer, "Waiting", None)?;
            }
        }

        let mut there: Vec<Descriptor> = Vec::new();
        for (n, layer) in layers.iter().enumerate() {
            let twin = layers[..n]
                .iter()
                .position(|l| l.stored.diff == layer.stored.diff);
            let pushed = match twin {
                Some(twin) => there[twin].clone(),
                None => self.bring(push, layer, audience)?,
            };
            there.push(pushed);
        }
        bring_config(push, &config, &digits)?;

        let (media_type, bytes) = match source {
            Some(source) if source.is_of(&digits, &there) => (source.media_type(), source.bytes),
            source => made(&config, &there, source.as_ref()),
        };
        let tag = reference.tag.clone().unwrap_or_default();
        let digest = push.repository.put_manifest(&tag, &media_type, &bytes)?;
        self.note_push(&digits, &reference.with(&digest)?)?;
        let size = bytes.len();
        audience.tell(&Progress::message(
            "",
            &format!("{tag}: digest: {digest} size: {size}"),
        ))?;
        audience.tell(&Progress {
            progress_detail: Some(ProgressDetail::default()),
            aux: Some(Aux {
                tag: Some(tag),
                digest: Some(digest),
                size: i64::try_from(size).ok(),
            }),
            ..Progress::default()
        })
    }

    /// The layers of an image, lowest first.
    fn outgoing(&self, digits: &str, source: Option<&Source>) -> Result<Vec<Layer>> {
        let own = source.and_then(|source| source.manifest.layers.as_deref());
        let stored = self.stored(digits)?;
        let own = own
            .filter(|own| own.len() == stored.len())
            .unwrap_or_default();
        let mut layers = Vec::new();
        for (n, stored) in stored.into_iter().enumerate() {
            let record = layer::read(&stored.place, &stored.diff).unwrap_or_default();
            let mut known: Vec<Descriptor> = Vec::new();
            for form in [own.get(n).cloned(), record.blob, record.pushed] {
                let form = form.filter(is_sound);
                let is_new = |form: &Descriptor| known.iter().all(|k| k.digest != form.digest);
                known.extend(form.filter(is_new));
            }
            layers.push(Layer { stored, known });
        }
        Ok(layers)
    }

    /// See to it that the registry has the layer. Answers in which form.
    fn bring(
        &self,
        push: &Push<'_>,
        layer: &Layer,
        audience: &mut dyn Audience,
    ) -> Result<Descriptor> {
        for form in &layer.known {
            if push.repository.has_blob(digest(form))?.is_some() {
                tell(audience, layer, "Layer already exists", None)?;
                return Ok(form.clone());
            }
        }
        let neighbours = match layer.known.is_empty() {
            true => Vec::new(),
            false => self.neighbours(push.reference, &layer.stored.diff),
        };
        for form in &layer.known {
            for from in &neighbours {
                if push.repository.mount_blob(digest(form), from)? {
                    tell(audience, layer, &format!("Mounted from {from}"), None)?;
                    return Ok(form.clone());
                }
            }
        }

        let pushed = upload(push, layer, audience)?;
        tell(audience, layer, "Pushed", None)?;
        // If it can't be noted, as in a read-only store, it will be sent again another time.
        let diff = &layer.stored.diff;
        if layer::exists(&self.layers, diff)
            && let Err(error) = layer::note_pushed(&self.layers, diff, &pushed)
        {
            crate::log::warn(error);
        }
        Ok(pushed)
    }

    /// Other repositories of the same registry that should have the layer.
    fn neighbours(&self, reference: &Reference, diff: &String) -> Vec<String> {
        let mut paths = Vec::new();
        for held in self.all() {
            if !held.layers.contains(diff) {
                continue;
            }
            // A digest says that it was pulled from there, or pushed.
            let names = self.names(&held.digits).into_iter();
            for name in names.filter(|name| name.digest.is_some()) {
                let is_other = name.domain == reference.domain && name.path != reference.path;
                if is_other && !paths.contains(&name.path) {
                    paths.push(name.path);
                }
            }
        }
        paths.truncate(MOUNTS_MAX);
        paths
    }

    /// From now on the image is known by that digest, too.
    fn note_push(&self, digits: &str, name: &Reference) -> Result<()> {
        let _change = self.change();
        let full = name.full();
        if self.named(&full).as_deref() == Some(digits) {
            return Ok(());
        }
        self.adopt(digits)?;
        self.rename(&|shelf| {
            shelf.refs.insert(full.clone(), digits.to_string());
        })
    }
}

/// Each layer once.
fn distinct(layers: &[Layer]) -> impl DoubleEndedIterator<Item = &Layer> {
    let is_first = |n: usize, diff: &String| layers[..n].iter().all(|l| l.stored.diff != *diff);
    let layers = layers.iter().enumerate();
    layers.filter_map(move |(n, layer)| is_first(n, &layer.stored.diff).then_some(layer))
}

/// The manifest with which the image has come.
struct Source {
    bytes: Vec<u8>,
    manifest: Manifest,
}

impl Source {
    /// One that can't be read is as good as none.
    fn read(dir: &std::path::Path) -> Option<Source> {
        let bytes = shelf::source(dir)?;
        let manifest = json::parse_bytes(&bytes, "manifest").ok()?;
        Some(Source { bytes, manifest })
    }

    fn media_type(&self) -> String {
        let own = self.manifest.media_type.clone();
        own.unwrap_or_else(|| OCI_IMAGE.to_string())
    }

    /// Whether it names this configuration and these layers.
    fn is_of(&self, digits: &str, layers: &[Descriptor]) -> bool {
        let config = self.manifest.config.as_ref();
        let named = self.manifest.layers.iter().flatten().map(digest);
        config.is_some_and(|config| digest(config).strip_prefix("sha256:") == Some(digits))
            && named.eq(layers.iter().map(digest))
    }
}

fn digest(descriptor: &Descriptor) -> &str {
    descriptor.digest.as_deref().unwrap_or_default()
}

fn is_sound(form: &Descriptor) -> bool {
    id::digest_hex(digest(form)).is_ok() && form.size.is_some() && form.media_type.is_some()
}

/// A new manifest: Docker's, as Docker makes it, unless the image has come with an OCI one or a layer
/// is in a form for which Docker has no name.
fn made(config: &[u8], layers: &[Descriptor], source: Option<&Source>) -> (String, Vec<u8>) {
    let compression = |layer: &Descriptor| {
        let media_type = layer.media_type.as_deref().unwrap_or_default();
        ["gzip", "zstd"]
            .into_iter()
            .find(|name| media_type.ends_with(name))
    };
    let is_oci = source.is_some_and(|source| source.media_type() == OCI_IMAGE)
        || layers
            .iter()
            .any(|layer| compression(layer) == Some("zstd"));
    let described = layers.iter().map(|layer| {
        let media_type = match (is_oci, compression(layer)) {
            (true, None) => save::LAYER.to_string(),
            (true, Some(name)) => format!("{}+{name}", save::LAYER),
            (false, None) => DOCKER_LAYER.to_string(),
            (false, Some(name)) => format!("{DOCKER_LAYER}.{name}"),
        };
        let digits = digest(layer).trim_start_matches("sha256:");
        descriptor(&media_type, digits, layer.size.unwrap_or(0)).finish()
    });
    let described: Vec<String> = described.collect();
    let (media_type, config_type) = match is_oci {
        true => (OCI_IMAGE, save::CONFIG),
        false => (DOCKER_IMAGE, DOCKER_CONFIG),
    };
    let config = descriptor(config_type, &sha256(config), config.len() as u64).finish();
    let text = save::manifest(media_type, &config, &described);
    (media_type.to_string(), text.into_bytes())
}

fn bring_config(push: &Push<'_>, config: &[u8], digits: &str) -> Result<()> {
    if push
        .repository
        .has_blob(&format!("sha256:{digits}"))?
        .is_some()
    {
        return Ok(());
    }
    push.repository.upload(&mut &*config).map(drop)
}

/// Send the layer, again if the connection breaks.
fn upload(push: &Push<'_>, layer: &Layer, audience: &mut dyn Audience) -> Result<Descriptor> {
    let mut tries = 0;
    loop {
        let mut rebuild = layer.stored.rebuild()?;
        let mut leaving = Leaving {
            inner: &mut rebuild,
            layer,
            audience: &mut *audience,
            bytes: 0,
            told: Instant::now(),
            failure: None,
        };
        let sent = push.repository.upload(&mut Gzipped::new(&mut leaving)?);
        let failure = leaving.failure.take();
        tries += 1;
        let error = match sent {
            Ok((digest, size)) => {
                return Ok(Descriptor {
                    media_type: Some(format!("{DOCKER_LAYER}.gzip")),
                    digest: Some(digest),
                    size: Some(size),
                    ..Descriptor::default()
                });
            }
            Err(error) => failure.unwrap_or(error),
        };
        if error.kind != Kind::Gone || tries >= push.attempts || audience.has_gone() {
            return Err(error.with_kind(Kind::System));
        }
        crate::log::warn(format_args!("push is tried again: {error}"));
        for seconds in (1..=tries * RETRY_PAUSE_SECONDS).rev() {
            let unit = if seconds == 1 { "second" } else { "seconds" };
            tell(
                audience,
                layer,
                &format!("Retrying in {seconds} {unit}"),
                None,
            )?;
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

/// A layer's archive on its way out: told of, and at an end when nobody listens.
struct Leaving<'a> {
    inner: &'a mut dyn Stream,
    layer: &'a Layer,
    audience: &'a mut dyn Audience,
    bytes: u64,
    told: Instant,
    /// Ours, not the registry's.
    failure: Option<Error>,
}

impl Stream for Leaving<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into).inspect_err(|e| {
            self.failure = Some(Error::new(Kind::System, e.to_string()));
        })?;
        self.bytes += count as u64;
        if self.told.elapsed() < PAUSE && count > 0 {
            return Ok(count);
        }
        self.told = Instant::now();
        let told = match self.audience.has_gone() {
            true => Err(Error::new(Kind::System, "context canceled")),
            false => tell(self.audience, self.layer, "Pushing", Some(self.bytes)),
        };
        match told {
            Ok(()) => Ok(count),
            Err(error) => {
                self.failure = Some(error);
                Err(io::Error::other("the push has been stopped"))
            }
        }
    }
}

fn tell(
    audience: &mut dyn Audience,
    layer: &Layer,
    status: &str,
    current: Option<u64>,
) -> Result<()> {
    let mut progress = Progress::message(id::short(&layer.stored.diff), status);
    let number = |bytes: u64| i64::try_from(bytes).ok();
    progress.progress_detail = Some(match current {
        Some(current) => ProgressDetail {
            current: number(current),
            total: number(layer.stored.size),
        },
        None => ProgressDetail::default(),
    });
    audience.tell(&progress)
}
