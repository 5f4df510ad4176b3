//! The layers of an image on their way: download, verify, decompress, unpack in one pass, several at
//! once, and what is told of it.
//!
//! ```text
//!   pull's thread                       a thread for each download
//!     | tells what has changed,           | takes the next layer and a place among all downloads
//!     | ten times a second at most        | reads, unpacks; each read is counted
//!     | <--------- changed -------------- | another stage is reached, or the end
//!     | -- stopped ---------------------> | the client has gone, or another layer has failed
//! ```

use crate::error::{Context, Error, Kind, Result};
use crate::id;
use crate::image::delta;
use crate::image::layer::Staged;
use crate::image::part::{self, Blob};
use crate::image::pull::{Audience, Pull};
use crate::image::{Images, locked};
use crate::log;
use crate::oci::image::Descriptor;
use crate::registry;
use crate::sys::thread;
use crate::wire::image::{Progress, ProgressDetail};
use rustix::io::Errno;
use std::io::{self, Read};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// How often is told how far a layer is, and looked whether anybody listens.
const PAUSE: Duration = Duration::from_millis(100);

/// For TLS; only what is touched takes memory.
const STACK_BYTES: usize = 512 << 10;

/// A layer that a manifest names.
pub struct Layer {
    pub blob: Descriptor,
    /// Digits of the diff id that the configuration has for it.
    pub diff: String,
}

impl Layer {
    fn digest(&self) -> &str {
        digest(&self.blob)
    }

    pub fn size(&self) -> u64 {
        self.blob.size.unwrap_or(0)
    }
}

fn digest(blob: &Descriptor) -> &str {
    blob.digest.as_deref().unwrap_or_default()
}

/// What Docker says of a layer, in this order.
const STAGES: [&str; 7] = [
    "Pulling fs layer",
    "Waiting",
    "Downloading",
    "Verifying Checksum",
    "Download complete",
    "Extracting",
    "Pull complete",
];
const WAITING: usize = 1;
const DOWNLOADING: usize = 2;
const COMPLETE: usize = 4;
const EXTRACTING: usize = 5;

const REFUSED: &str = "Delta does not do: pulling the whole layer";

/// How far a layer is.
#[derive(Clone, Copy, Default)]
struct Track {
    stage: usize,
    current: u64,
    total: u64,
    /// It comes as a delta; or it did, and that did not do.
    is_delta: bool,
    is_refused: bool,
    /// Seconds until the registry is asked again; 0 when it is not waited for.
    pause: u64,
}

/// The layers of one pull.
pub struct Transfer<'a> {
    images: &'a Images,
    pull: &'a Pull<'a>,
    /// Those that are missing, no two the same.
    layers: Vec<Layer>,
    /// What comes in the place of each.
    deltas: Vec<Option<Descriptor>>,
    /// Those that the store has.
    there: Vec<Layer>,
    state: Mutex<State>,
    changed: Condvar,
    told: Vec<Track>,
}

/// Guarded by `Transfer::state`.
struct State {
    tracks: Vec<Track>,
    next: usize,
    threads: usize,
    staged: Vec<Staged>,
    failure: Option<Error>,
}

impl<'a> Transfer<'a> {
    /// The caller has claimed the layers.
    pub fn new(images: &'a Images, pull: &'a Pull<'a>, layers: Vec<Layer>) -> Transfer<'a> {
        let (mut missing, mut there): (Vec<Layer>, Vec<Layer>) = (Vec::new(), Vec::new());
        for layer in layers {
            let is_coming = missing.iter().any(|known| known.diff == layer.diff);
            match is_coming || images.layers_with(&layer.diff).is_some() {
                true => there.push(layer),
                false => missing.push(layer),
            }
        }
        let track = |n| Track {
            stage: if n < pull.downloads_max { 0 } else { WAITING },
            ..Track::default()
        };
        Transfer {
            images,
            pull,
            told: Vec::new(),
            state: Mutex::new(State {
                tracks: (0..missing.len()).map(track).collect(),
                next: 0,
                threads: 0,
                staged: Vec::new(),
                failure: None,
            }),
            deltas: Vec::new(),
            layers: missing,
            there,
            changed: Condvar::new(),
        }
    }

    /// Bytes to download.
    pub fn bytes_missing(&self) -> u64 {
        let sizes = self.layers.iter().map(Layer::size);
        sizes.fold(0, u64::saturating_add)
    }

    /// Look whether the registry has deltas from what is here to the image with this manifest.
    pub fn look_for_deltas(&mut self, manifest: &str, known: Option<String>) {
        let (images, repository) = (self.images, self.pull.repository);
        self.deltas = images.find_deltas(repository, manifest, known, &self.layers);
    }

    /// Get them all, or none.
    pub fn run(&mut self, audience: &mut dyn Audience) -> Result<Vec<Staged>> {
        for layer in &self.there {
            tell(audience, layer, "Already exists", None)?;
        }
        for layer in &self.layers {
            tell(audience, layer, STAGES[0], None)?;
        }
        self.told = vec![Track::default(); self.layers.len()];
        let mut told = std::mem::take(&mut self.told);
        std::thread::scope(|scope| {
            for _ in 0..self.layers.len().min(self.pull.downloads_max.max(1)) {
                self.state().threads += 1;
                let work = Box::new(|| self.work());
                let thread = thread::spawn_scoped(scope, "pull", STACK_BYTES, work);
                if let Err(error) = thread {
                    self.state().threads -= 1;
                    self.fail(error);
                }
            }
            self.watch(&mut told, audience);
        });
        self.told = told;
        let mut state = self.state();
        match state.failure.take() {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut state.staged)),
        }
    }

    /// The image is part of the store.
    pub fn finish(&mut self, audience: &mut dyn Audience) -> Result<()> {
        for layer in &self.layers {
            tell(audience, layer, STAGES[STAGES.len() - 1], None)?;
        }
        let (mut came, mut is_used) = (self.bytes_missing(), false);
        let forms = self.layers.iter().zip(&self.deltas).zip(&self.told);
        for ((layer, delta), track) in forms {
            let size = delta.as_ref().and_then(|delta| delta.size).unwrap_or(0);
            is_used |= track.is_delta;
            came += if track.is_delta || track.is_refused {
                size
            } else {
                0
            };
            came -= if track.is_delta { layer.size() } else { 0 };
        }
        match is_used {
            true => {
                let line = delta::saved(came, self.bytes_missing());
                audience.tell(&Progress::message("", &line))
            }
            false => Ok(()),
        }
    }

    /// Tell what happens until the threads have ended.
    fn watch(&self, told: &mut [Track], audience: &mut dyn Audience) {
        loop {
            let (tracks, has_ended) = {
                let state = self.state();
                (state.tracks.clone(), state.threads == 0)
            };
            let outcome = match audience.has_gone() {
                true => Err(Error::new(Kind::Gone, "context canceled")),
                false => self.report(told, &tracks, audience),
            };
            if let Err(error) = outcome {
                self.fail(error);
            }
            if has_ended {
                return;
            }
            let state = self.state();
            // What has changed since is in the next round.
            drop(self.changed.wait_timeout(state, PAUSE));
        }
    }

    fn report(
        &self,
        told: &mut [Track],
        tracks: &[Track],
        audience: &mut dyn Audience,
    ) -> Result<()> {
        for (n, (told, now)) in told.iter_mut().zip(tracks).enumerate() {
            let layer = &self.layers[n];
            if now.is_refused && !told.is_refused {
                tell(audience, layer, REFUSED, None)?;
            }
            let stages = STAGES.iter().enumerate().skip(told.stage + 1);
            for (stage, words) in stages.take(now.stage - told.stage) {
                let is_past = stage == WAITING && now.stage > WAITING;
                let detail = (stage == EXTRACTING).then_some((now.total, now.total));
                if !is_past && stage != DOWNLOADING {
                    tell(audience, layer, words, detail)?;
                }
            }
            if now.stage == DOWNLOADING && now.current > told.current {
                let detail = Some((now.current, now.total));
                tell(audience, layer, STAGES[DOWNLOADING], detail)?;
            }
            let mut now = *now;
            if now.stage == DOWNLOADING {
                let form = self.delta(n).filter(|_| now.is_delta);
                let form = form.unwrap_or(&layer.blob);
                now.pause = self.pull.repository.pausing(digest(form));
                if now.pause > 0 && now.pause != told.pause {
                    let plural = if now.pause == 1 { "" } else { "s" };
                    let words = format!("Retrying in {} second{plural}", now.pause);
                    tell(audience, layer, &words, None)?;
                }
            }
            *told = now;
        }
        Ok(())
    }

    fn work(&self) {
        while let Some(n) = self.next() {
            let layer = &self.layers[n];
            let place = self
                .images
                .place_among_downloads(self.pull.downloads_max, &|| self.has_stopped());
            let Some(place) = place else { break };
            let outcome = self
                .layer(n)
                .context(|| format!("layer {}", id::short(layer.digest())));
            drop(place);
            match outcome {
                Ok(staged) => {
                    let mut state = self.state();
                    state.staged.push(staged);
                    state.tracks[n].stage = EXTRACTING;
                }
                Err(error) => self.fail(error),
            }
            self.changed.notify_all();
        }
        self.state().threads -= 1;
        self.changed.notify_all();
    }

    fn next(&self) -> Option<usize> {
        let mut state = self.state();
        let n = state.next;
        (state.failure.is_none() && n < self.layers.len()).then(|| {
            state.next += 1;
            n
        })
    }

    fn delta(&self, n: usize) -> Option<&Descriptor> {
        self.deltas.get(n)?.as_ref()
    }

    /// One layer, all the way: out of a delta, if there is one and it will do.
    fn layer(&self, n: usize) -> Result<Staged> {
        let layer = &self.layers[n];
        let staged = match self.delta(n) {
            Some(delta) => self.form(n, delta, true),
            None => self.form(n, &layer.blob, false),
        };
        let mut staged = match staged {
            Err(error) if self.may_do_without(n, &error) => {
                log::warn(format_args!(
                    "layer {}: the delta does not do, the whole layer is pulled: {error}",
                    id::short(layer.digest())
                ));
                self.state().tracks[n].is_refused = true;
                self.form(n, &layer.blob, false)?
            }
            staged => staged?,
        };
        staged.note_blob(&layer.blob)?;
        self.state().tracks[n].stage = COMPLETE;
        self.changed.notify_all();
        Ok(staged)
    }

    /// Whether it was a delta that failed, and by itself. On a full disk the layer has no place either.
    fn may_do_without(&self, n: usize, error: &Error) -> bool {
        let is_full = error.errno == Some(Errno::NOSPC.raw_os_error());
        self.delta(n).is_some() && !is_full && !self.has_stopped()
    }

    /// The layer in one of its forms.
    fn form(&self, n: usize, form: &Descriptor, is_delta: bool) -> Result<Staged> {
        let layer = &self.layers[n];
        let (name, size) = (digest(form), form.size.unwrap_or(0));
        {
            let track = &mut self.state().tracks[n];
            track.stage = DOWNLOADING;
            (track.current, track.total) = (0, size);
            track.is_delta = is_delta;
        }
        let blob = Blob {
            digest: id::digest_hex(name)?,
            size,
            base: is_delta.then_some(self.images),
        };
        let staged = part::fetch(&self.images.layers, blob, &mut |from| {
            let blob = self.pull.repository.blob(name, size, from)?;
            Ok(Box::new(Arriving {
                blob,
                transfer: self,
                track: n,
            }))
        })?;
        if staged.diff != layer.diff {
            staged.refuse()?;
            return Err(Error::invalid(format!(
                "it is not what the image was made of: its archive is sha256:{}, expected sha256:{}",
                staged.diff, layer.diff
            )));
        }
        Ok(staged)
    }

    /// The first failure counts; the others follow from it.
    fn fail(&self, error: Error) {
        self.state().failure.get_or_insert(error);
        // Who waits for the registry need not wait any longer.
        self.pull.repository.stop();
    }

    fn has_stopped(&self) -> bool {
        self.state().failure.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

fn tell(
    audience: &mut dyn Audience,
    layer: &Layer,
    status: &str,
    detail: Option<(u64, u64)>,
) -> Result<()> {
    let mut progress = Progress::message(id::short(layer.digest()), status);
    let number = |bytes: u64| i64::try_from(bytes).ok();
    progress.progress_detail = Some(match detail {
        Some((current, total)) => ProgressDetail {
            current: number(current),
            total: number(total),
        },
        None => ProgressDetail::default(),
    });
    audience.tell(&progress)
}

/// A layer's bytes as they come: counted, and at an end when the transfer is stopped.
struct Arriving<'a> {
    blob: registry::blob::Blob,
    transfer: &'a Transfer<'a>,
    track: usize,
}

impl Read for Arriving<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.blob.read(into)?;
        let mut state = self.transfer.state();
        if state.failure.is_some() {
            return Err(io::Error::other("the pull has been stopped"));
        }
        state.tracks[self.track].current = self.blob.position();
        Ok(count)
    }
}

/// Who downloads what, of all pulls together.
#[derive(Debug, Default)]
pub struct Downloads {
    state: Mutex<Claims>,
    changed: Condvar,
}

/// Guarded by `Downloads::state`.
#[derive(Debug, Default)]
struct Claims {
    /// Diff ids of the layers of images that are being pulled: they must not be removed, and nobody
    /// else gets them.
    claimed: Vec<String>,
    running: usize,
}

/// The layers of one image are one pull's alone. All or none of them, so that no two pulls wait for
/// each other.
pub struct Claim<'a> {
    downloads: &'a Downloads,
    layers: Vec<String>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut claims = locked(&self.downloads.state);
        claims.claimed.retain(|diff| !self.layers.contains(diff));
        self.downloads.changed.notify_all();
    }
}

/// One of the places for downloads.
struct Place<'a>(&'a Downloads);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        locked(&self.0.state).running -= 1;
        self.0.changed.notify_all();
    }
}

impl Downloads {
    pub fn claims(&self, diff: &str) -> bool {
        locked(&self.state)
            .claimed
            .iter()
            .any(|known| known == diff)
    }

    fn try_claim(&self, layers: &[Layer]) -> Option<Claim<'_>> {
        let mut claims = locked(&self.state);
        if layers
            .iter()
            .any(|layer| claims.claimed.contains(&layer.diff))
        {
            return None;
        }
        let layers: Vec<String> = layers.iter().map(|layer| layer.diff.clone()).collect();
        claims.claimed.extend(layers.iter().cloned());
        Some(Claim {
            downloads: self,
            layers,
        })
    }

    fn wait(&self) {
        let claims = locked(&self.state);
        drop(self.changed.wait_timeout(claims, PAUSE));
    }
}

impl Images {
    /// Wait until no other pull works on one of the layers, and keep it so.
    pub(super) fn claim(&self, layers: &[Layer], audience: &mut dyn Audience) -> Result<Claim<'_>> {
        let mut is_waiting = false;
        loop {
            {
                // Nobody removes layers meanwhile.
                let _change = self.change();
                if let Some(claim) = self.downloads.try_claim(layers) {
                    return Ok(claim);
                }
            }
            if !is_waiting {
                is_waiting = true;
                for layer in layers {
                    tell(audience, layer, STAGES[WAITING], None)?;
                }
            }
            if audience.has_gone() {
                return Err(Error::new(Kind::Gone, "context canceled"));
            }
            self.downloads.wait();
        }
    }

    /// Wait for a place; `None` when it is no longer wanted.
    fn place_among_downloads(
        &self,
        max: usize,
        has_stopped: &dyn Fn() -> bool,
    ) -> Option<Place<'_>> {
        while !has_stopped() {
            {
                let mut claims = locked(&self.downloads.state);
                if claims.running < max.max(1) {
                    claims.running += 1;
                    return Some(Place(&self.downloads));
                }
            }
            self.downloads.wait();
        }
        None
    }
}
