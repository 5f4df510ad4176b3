//! `tug apply`: a set of containers becomes what a directory of plan files, a compose file or a
//! bundle says, with a way back. Not Docker's.
//!
//! All that is needed is fetched and made before anything changes; the engine does the rest (see
//! `sets`).

use super::list::{self, Columns, Row};
use super::load;
use super::options::{Flag, Options, Verb, flag};
use super::planned::RESOLVER;
use super::progress::{Display, Shown};
use super::remote::{Engine, parse};
use super::sets::{self, View};
use super::{print, ps};
use crate::error::{Context, Error, Kind, Result};
use crate::http::client::Body;
use crate::http::query;
use crate::image::archive::{self, Archive};
use crate::image::source::Input;
use crate::json::value::Raw;
use crate::plan::{self, Entry, Made, Phase, Until};
use crate::store::staging::{self, Staging};
use crate::wire::set::{After, List, Request, Set, Wish};
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

pub const VERB: Verb = Verb {
    names: &["apply"],
    usage: "[OPTIONS] FILE|DIR",
    about: "Make containers what a plan, compose file or bundle says, with a way back",
    flags: &[&[NAME], sets::FLAGS],
    args: (1, 1),
    has_command: false,
    main,
};

const NAME: Flag = flag(
    "--name string",
    "Name of the set (default: the compose project's, or that of the file or directory)",
);

pub const STATUS: Verb = Verb {
    names: &["apply status"],
    usage: "[OPTIONS] [SET]",
    about: "Show the sets of containers, or one of them with its last changes",
    flags: &[&[flag("--format string", ps::FORMAT)]],
    args: (0, 1),
    has_command: false,
    main: status,
};

pub const COMMIT: Verb = Verb {
    names: &["apply commit"],
    usage: "SET",
    about: "Keep a set that is on trial",
    flags: &[&[]],
    args: (1, 1),
    has_command: false,
    main: |engine, options| decide(engine, options, "commit", "committed"),
};

pub const ROLLBACK: Verb = Verb {
    names: &["apply rollback"],
    usage: "SET",
    about: "Take a set that is on trial back to what it was",
    flags: &[&[]],
    args: (1, 1),
    has_command: false,
    main: |engine, options| decide(engine, options, "rollback", "rolled back"),
};

/// More than any plan has.
const PLAN_BYTES_MAX: u64 = 1 << 20;

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let path = Path::new(options.args.first().map_or("", String::as_str));
    let request = sets::request(engine, options)?;
    let mut source = Source::open(engine, path, options)?;
    let plan = source.read()?;
    let request = Request {
        name: Some(name(&plan, path, options)),
        members: Some(wishes(engine, &plan.entries, options)?),
        ..request
    };
    // Before anything is made.
    let made = Things::make(engine, &plan)?;
    let sent = sets::send(engine, &request, options);
    // Where a set was begun, it may have use of them.
    if sent.is_ok() || engine.text(&sets::path(&request)).is_ok() {
        made.keep();
    }
    sent
}

/// What is applied: a file or a directory, or a bundle that has been taken apart.
struct Source {
    path: PathBuf,
    /// Holds a bundle's plan.
    _unpacked: Option<Staging>,
}

impl Source {
    /// Images that come along are loaded here.
    fn open(engine: &Engine, path: &Path, options: &Options) -> Result<Source> {
        if is_tar(path) && path.is_file() {
            let unpacked = Staging::new(&std::env::temp_dir())?;
            unpack(engine, path, unpacked.path(), options)
                .context(|| format!("bundle {}", path.display()))?;
            return Ok(Source {
                path: unpacked.path().to_path_buf(),
                _unpacked: Some(unpacked),
            });
        }
        for dir in [path.to_path_buf(), path.join("images")] {
            if !dir.is_dir() {
                continue;
            }
            for name in staging::names(&dir)? {
                let file = dir.join(name);
                if is_tar(&file) {
                    let mut archive = load::open(&file.display().to_string())?;
                    load_images(engine, &mut archive, options)
                        .context(|| file.display().to_string())?;
                }
            }
        }
        Ok(Source {
            path: path.to_path_buf(),
            _unpacked: None,
        })
    }

    /// All of it, or what is wrong with it.
    fn read(&mut self) -> Result<plan::Set> {
        let mut set = match self.path.is_dir() {
            true => plan::read_dir(&self.path)?,
            false => plan::read_file(&self.path)?,
        };
        set.broken.retain(|broken| !is_tar(&broken.file));
        for note in &set.notes {
            print::err(format!("WARNING: {}\n", note.text))?;
        }
        // What ends a machine is not for now.
        set.entries.retain(|entry| entry.phase != Phase::Onshutdown);
        let order = plan::order(&set.entries);
        let mut broken = set
            .broken
            .iter()
            .chain(&order.broken)
            .map(|broken| &*broken.text);
        match broken.next() {
            None => Ok(set),
            Some(first) => Err(Error::invalid(
                broken.fold(first.to_string(), |all, text| format!("{all}\n{text}")),
            )),
        }
    }
}

/// A bundle is a tar of plan files and of archives of images. It is read once, as it comes.
fn unpack(engine: &Engine, path: &Path, to: &Path, options: &Options) -> Result<()> {
    let failed = |e: std::io::Error| Error::io("read", &e);
    let mut file = File::open(path).map_err(failed)?;
    let mut source = Input(&mut file);
    let mut archive = Archive::new(&mut source);
    while let Some(entry) = archive.next().map_err(failed)? {
        if entry.kind != archive::Kind::File {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path).into_owned();
        let name = Path::new(&name);
        if is_tar(name) {
            load_images(engine, &mut Member(&mut archive), options)
                .context(|| name.display().to_string())?;
            continue;
        }
        let is_plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if !name.components().all(is_plain) || entry.size > PLAN_BYTES_MAX {
            return Err(Error::invalid(format!("{}: no plan file", name.display())));
        }
        let mut text = Vec::new();
        let mut member = Member(&mut archive);
        member.read_to_end(&mut text).map_err(failed)?;
        let file = to.join(name);
        if let Some(dir) = file.parent() {
            staging::make_dir(dir)?;
        }
        crate::sys::fs::write_private(&file, &text)?;
    }
    match archive.has_end() {
        true => Ok(()),
        false => Err(Error::invalid("it has no end: the rest of it is missing")),
    }
}

fn is_tar(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "tar")
}

/// One file of an archive.
struct Member<'a, 'b>(&'a mut Archive<'b>);

impl Read for Member<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.read_piece(into).map(|(_, count)| count)
    }
}

fn load_images(engine: &Engine, archive: &mut dyn Read, options: &Options) -> Result<()> {
    let response = engine.send("POST", "/images/load?quiet=1", Body::Stream(archive))?;
    let shown = match options.is("quiet") {
        true => Shown::Nothing,
        false => Shown::Out,
    };
    Display::on(shown).follow(response).map(drop)
}

fn name(plan: &plan::Set, path: &Path, options: &Options) -> String {
    const PROJECT: &str = "--label=com.docker.compose.project=";
    let words = plan.entries.iter().flat_map(|entry| &entry.arguments);
    let project = words.filter_map(|word| word.strip_prefix(PROJECT)).next();
    // `.` has a name, too.
    let path = path.canonicalize().unwrap_or(path.to_path_buf());
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let given = options.get("name").or(project);
    given.map_or_else(|| stem.into_owned(), str::to_string)
}

/// The members that the plan asks for; their images are there.
fn wishes(engine: &Engine, entries: &[Entry], options: &Options) -> Result<Vec<Wish>> {
    let mut wishes = Vec::new();
    for entry in entries {
        if let Some(condition) = entry.conditions.first() {
            print::err(format!(
                "WARNING: {}: nobody waits for {condition} here: that is for a boot\n",
                entry.name
            ))?;
        }
        let mut entry = entry.clone();
        let says = |option: &str| entry.arguments.iter().any(|word| word.starts_with(option));
        let is_compose = says("--label=com.docker.compose.project=");
        if entry.phase == Phase::Service && !is_compose && !says("--restart=") && !says("--rm=") {
            // Supervised, as after a boot.
            entry.arguments.insert(0, "--restart=always".to_string());
        }
        let resolved = (RESOLVER.container)(&entry)?;
        let policy = options.get("pull").unwrap_or(&resolved.pull);
        sets::fetch(engine, &entry.image, policy, options)?;
        let is_waited_for = entries.iter().any(|other| {
            let mut after = other.after.iter();
            after.any(|after| after.name == entry.name && after.until == Until::Completed)
        });
        let after = entry.after.iter().map(|after| After {
            name: Some(after.name.clone()),
            until: Some(
                match after.until {
                    Until::Started => "started",
                    Until::Healthy => "healthy",
                    Until::Completed => "completed",
                }
                .to_string(),
            ),
        });
        wishes.push(Wish {
            name: Some(entry.name.clone()),
            create: Some(Raw(resolved.body)),
            image: None,
            after: Some(after.collect()),
            completes: Some(entry.phase == Phase::Onboot || is_waited_for),
        });
    }
    Ok(wishes)
}

/// The volumes and networks that were not there. Dropped, they are removed.
struct Things<'a> {
    engine: &'a Engine,
    paths: Vec<String>,
}

impl<'a> Things<'a> {
    fn make(engine: &'a Engine, plan: &plan::Set) -> Result<Things<'a>> {
        let mut things = Things {
            engine,
            paths: Vec::new(),
        };
        for made in &plan.volumes {
            things.make_one("volumes", made, RESOLVER.volume)?;
        }
        for made in &plan.networks {
            things.make_one("networks", made, RESOLVER.network)?;
        }
        Ok(things)
    }

    fn make_one(
        &mut self,
        kind: &str,
        made: &Made,
        body: fn(&Made) -> Result<String>,
    ) -> Result<()> {
        let path = format!("/{kind}/{}", query::encode(&made.name));
        match self.engine.text(&path) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind == Kind::NotFound => {}
            Err(error) => return Err(error),
        }
        let create = format!("/{kind}/create");
        self.engine
            .send("POST", &create, Body::Json(&body(made)?))?
            .text()?;
        self.paths.push(path);
        Ok(())
    }

    fn keep(mut self) {
        self.paths.clear();
    }
}

impl Drop for Things<'_> {
    fn drop(&mut self) {
        for path in &self.paths {
            // The failure that has led here is the one to tell.
            let _ = self.engine.send("DELETE", path, Body::Empty);
        }
    }
}

fn decide(engine: &Engine, options: &Options, verdict: &str, wanted: &str) -> Result<u8> {
    let name = options.args.first().map_or("", String::as_str);
    let path = format!("/tug/sets/{}/{verdict}", query::encode(name));
    let answer = engine.send("POST", &path, Body::Empty)?.text()?;
    let mut view = View::new(options);
    view.follow(engine, sets::read(&answer)?, wanted)
}

const FIELDS: [&str; 5] = ["Generation", "Members", "Name", "Reason", "State"];

fn status(engine: &Engine, options: &Options) -> Result<u8> {
    let format = options.get("format");
    let columns = Columns {
        fields: &FIELDS,
        id: "",
        table: "{{.Name}}\t{{.State}}\t{{.Generation}}\t{{.Members}}\t{{.Reason}}",
    };
    let Some(name) = options.args.first() else {
        let all: List = crate::json::parse(&engine.text("/tug/sets")?, "the engine's answer")?;
        let rows: Vec<Row> = all.sets.iter().flatten().map(row).collect();
        list::list(format.unwrap_or("table"), &columns, &rows)?;
        return Ok(0);
    };
    let text = engine.text(&format!("/tug/sets/{}", query::encode(name)))?;
    let set = sets::read(&text)?;
    match format {
        Some("json") => print::line(parse(&text)?.json())?,
        Some(_) => list::list(format.unwrap_or("table"), &columns, &[row(&set)])?,
        None => print::out(described(&set))?,
    }
    Ok(0)
}

fn row(set: &Set) -> Row {
    let members = set.members().iter().filter(|member| member.id.is_some());
    let names: Vec<&str> = members.map(|member| member.name()).collect();
    vec![
        ("Generation", set.generation.unwrap_or(0).to_string()),
        ("Members", names.join(",")),
        ("Name", set.name().to_string()),
        ("Reason", set.reason.clone().unwrap_or_default()),
        ("State", set.state().to_string()),
    ]
}

fn described(set: &Set) -> String {
    let mut text = format!(
        "Set:         {}\nState:       {}\n",
        set.name(),
        set.state()
    );
    let mut line = |title: &str, value: &str| text.push_str(&format!("{title:<13}{value}\n"));
    line("Generation:", &set.generation.unwrap_or(0).to_string());
    if let Some(reason) = &set.reason {
        line("Reason:", reason);
    }
    for member in set.members() {
        let id = member.id.as_deref().map_or("(removed)", crate::id::short);
        let image = member.image.as_deref().unwrap_or_default();
        line("Container:", &format!("{} {id} {image}", member.name()));
    }
    for past in set.history.iter().flatten() {
        let field = |text: &Option<String>| text.clone().unwrap_or_default();
        let images = past.images.as_deref().unwrap_or_default().join(" ");
        let mut what = format!(
            "{} {} {}: {images}, {} bytes written",
            past.generation.unwrap_or(0),
            field(&past.at),
            field(&past.outcome),
            past.written.unwrap_or(0)
        );
        if let Some(reason) = &past.reason {
            what.push_str(&format!(" ({reason})"));
        }
        line("Change:", &what);
    }
    text
}
