//! What `update-image` and `apply` have in common: a set is sent to the engine, which changes it by
//! itself; the client looks on, and tells how it ends.

use super::options::{Flag, Options, flag, usage};
use super::progress::Shown;
use super::pull::pull;
use super::remote::{Engine, parse};
use super::{print, values};
use crate::error::{Error, Kind, Result};
use crate::http::client::Body;
use crate::http::query;
use crate::image::reference::Reference;
use crate::json;
use crate::wire::set::{Request, Set};
use std::time::{Duration, Instant};

pub const FLAGS: &[Flag] = &[
    flag(
        "--commit-after duration",
        "Keep the new only after it was well for so long (default 60s)",
    ),
    flag(
        "-d, --detach",
        "Leave when the change is under way: see 'tug apply status'",
    ),
    flag(
        "--on-fail string",
        "\"rollback\", \"keep\" (the new for a look, and the old for the way back), or \"reboot\" (after which the old is there) (default \"rollback\")",
    ),
    flag(
        "--pull string",
        "Pull images before (\"always\", \"missing\", \"never\") (default \"missing\")",
    ),
    flag("-q, --quiet", "Tell failures only"),
];

const SECONDS: u64 = 60;

/// How often the set is looked at.
const GLANCE: Duration = Duration::from_millis(200);

/// How long an engine may be away: it may be killed and started again meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request as the options say; the engine's counter stands in it before anything is fetched.
pub fn request(engine: &Engine, options: &Options) -> Result<Request> {
    let seconds = match options.get("commit-after") {
        None => SECONDS,
        Some(text) => {
            let nanos = values::duration(text).map_err(|why| usage(why.to_string()))?;
            u64::try_from(nanos).unwrap_or(0).div_ceil(1_000_000_000)
        }
    };
    let list = engine.text("/tug/sets")?;
    Ok(Request {
        commit_after: Some(seconds),
        on_fail: options.get("on-fail").map(str::to_string),
        written: u64::try_from(parse(&list)?.at("Written").integer()).ok(),
        ..Request::default()
    })
}

/// Have an image there, as `policy` says.
pub fn fetch(engine: &Engine, image: &str, policy: &str, options: &Options) -> Result<()> {
    let shown = match options.is("quiet") {
        true => Shown::Nothing,
        false => Shown::Out,
    };
    let is_there = || match engine.text(&format!("/images/{}/json", query::encode(image))) {
        Ok(_) => Ok(true),
        Err(error) if error.kind == Kind::NotFound => Ok(false),
        Err(error) => Err(error),
    };
    match policy {
        "never" => return Ok(()),
        "missing" if is_there()? => return Ok(()),
        "missing" | "always" => {}
        other => return Err(usage(format!("invalid pull policy: {other:?}"))),
    }
    let reference = Reference::parse(image)?.with_default_tag();
    pull(engine, &reference, None, shown)
}

/// Send it, and look on until it is decided.
pub fn send(engine: &Engine, request: &Request, options: &Options) -> Result<u8> {
    let text = json::to_string(request);
    let answer = engine
        .send("POST", "/tug/sets", Body::Json(&text))?
        .text()?;
    let mut view = View::new(options);
    let set = read(&answer)?;
    view.show(&set)?;
    // Without it there was nothing to do.
    match set.busy {
        Some(_) if !options.is("detach") => view.follow(engine, set, "committed"),
        _ => Ok(0),
    }
}

/// Where the set of a request is.
pub fn path(request: &Request) -> String {
    let name = request.name.as_deref().unwrap_or_default();
    format!("/tug/sets/{}", query::encode(name))
}

pub fn read(text: &str) -> Result<Set> {
    json::parse(text, "the engine's answer")
}

/// Looks on.
pub struct View {
    /// How many steps have been shown.
    told: usize,
    is_quiet: bool,
}

impl View {
    pub fn new(options: &Options) -> View {
        View {
            told: 0,
            is_quiet: options.is("quiet"),
        }
    }

    fn show(&mut self, set: &Set) -> Result<()> {
        let steps = set.steps.as_deref().unwrap_or_default();
        // Another engine goes on.
        self.told = if self.told > steps.len() {
            0
        } else {
            self.told
        };
        for step in steps.iter().skip(self.told).filter(|_| !self.is_quiet) {
            print::line(step)?;
        }
        self.told = steps.len();
        Ok(())
    }

    /// To the end of the change; 1 unless it is `wanted`.
    pub fn follow(&mut self, engine: &Engine, mut set: Set, wanted: &str) -> Result<u8> {
        let path = format!("/tug/sets/{}", query::encode(set.name()));
        let mut seen = Instant::now();
        while set.busy == Some(true) {
            std::thread::sleep(GLANCE);
            match engine.text(&path) {
                Ok(answer) => {
                    set = read(&answer)?;
                    seen = Instant::now();
                    self.show(&set)?;
                }
                // It is being started again; the change goes on then.
                Err(error) if error.kind == Kind::Gone && seen.elapsed() < PATIENCE => {}
                Err(error) => return Err(error),
            }
        }
        outcome(&set, wanted)
    }
}

/// How the last change of a set ended.
fn outcome(set: &Set, wanted: &str) -> Result<u8> {
    let name = set.name();
    let reason = |reason: &Option<String>| reason.clone().unwrap_or_default();
    if set.state() != "committed" {
        return Err(Error::invalid(format!(
            "set {name} is {}: {}",
            set.state(),
            reason(&set.reason)
        )));
    }
    let last = set.history.as_ref().and_then(|history| history.first());
    match last {
        Some(last) if last.outcome.as_deref() != Some(wanted) => Err(Error::invalid(format!(
            "set {name} was {}: {}",
            last.outcome.as_deref().unwrap_or_default(),
            reason(&last.reason)
        ))),
        _ => Ok(0),
    }
}
