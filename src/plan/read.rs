//! Directories and files into a set.

use super::entry::{Draft, Wish};
use super::machine::Machine;
use super::unit::{Names, Unit};
use super::{
    Dependency, Entry, Phase, Remark, Set, Until, compose, entry, machine as board, quadlet,
};
use crate::error::{Context, Error, Result};
use crate::sys;
use std::cell::RefCell;
use std::path::{Path, PathBuf};

/// More than any plan file has.
const SIZE_MAX: u64 = 1 << 20;

/// A phase's directory.
const PHASES: [(&str, Phase); 3] = [
    ("onboot", Phase::Onboot),
    ("services", Phase::Service),
    ("onshutdown", Phase::Onshutdown),
];

const MACHINE: &str = "machine.json";

pub fn dir(dir: &Path) -> Result<Set> {
    let mut gathered = Gathered::default();
    // First what is there, so that a plan that is missing is no empty one.
    let files = list(dir)?;
    for (name, phase) in PHASES {
        let dir = dir.join(name);
        match list(&dir) {
            Ok(files) => gathered.read_all(files, phase),
            Err(_) if !dir.exists() => {}
            Err(error) => gathered.set.refuse(&dir, &error),
        }
    }
    gathered.read_all(files, Phase::Service);
    Ok(gathered.finish())
}

pub fn file(path: &Path) -> Result<Set> {
    let mut gathered = Gathered::default();
    gathered.read(path, Phase::Service)?;
    Ok(gathered.finish())
}

pub fn machine(dir: &Path) -> Result<Option<Machine>> {
    let path = dir.join(MACHINE);
    match path.exists() {
        false => Ok(None),
        true => text(&path)
            .and_then(|text| board::read(&text))
            .map(Some)
            .context(|| path.display()),
    }
}

/// The files in `dir` that may be read, by name. Hidden ones and what editors leave are none.
fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| Error::io(format_args!("read {}", dir.display()), &error);
    let mut files = Vec::new();
    for found in std::fs::read_dir(dir).map_err(failed)? {
        let path = found.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_left = name.starts_with('.') || name.ends_with('~') || name == MACHINE;
        if !is_left && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The text of a plan file. What else may lie there, such as a FIFO, would never end.
pub fn text(path: &Path) -> Result<String> {
    let failed = |error| Error::io("read", &error);
    let about = std::fs::metadata(path).map_err(failed)?;
    if !about.is_file() {
        return Err(Error::invalid("no file"));
    }
    if about.len() > SIZE_MAX {
        return Err(Error::invalid("larger than 1 MiB: no plan file is"));
    }
    let text = String::from_utf8(sys::fs::read(path)?);
    text.map_err(|_| Error::invalid("not UTF-8"))
}

/// A unit of systemd's, with its drop-ins.
fn unit(path: &Path) -> Result<Unit> {
    let mut unit = Unit::default();
    unit.add(&text(path)?)?;
    let mut dir = path.as_os_str().to_os_string();
    dir.push(".d");
    let dir = PathBuf::from(dir);
    if dir.is_dir() {
        for path in list(&dir)? {
            if path.extension().is_some_and(|kind| kind == "conf") {
                text(&path)
                    .and_then(|text| unit.add(&text))
                    .context(|| path.display())?;
            }
        }
    }
    Ok(unit)
}

/// `web` of `/etc/tug/boot/services/web.container`, and `container`.
fn parts(path: &Path) -> (&str, &str) {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.unwrap_or_default();
    name.rsplit_once('.').unwrap_or((name, ""))
}

/// A set in the making.
#[derive(Default)]
struct Gathered {
    set: Set,
    /// Of each entry: what else its file said.
    extras: Vec<Extra>,
}

struct Extra {
    service: String,
    until: Until,
    wishes: Vec<Wish>,
    before: Vec<String>,
}

impl Gathered {
    fn read_all(&mut self, files: Vec<PathBuf>, phase: Phase) {
        for path in files {
            if let Err(error) = self.read(&path, phase) {
                self.set.refuse(&path, &error);
            }
        }
    }

    /// One file, by its name's ending.
    fn read(&mut self, path: &Path, phase: Phase) -> Result<()> {
        self.read_kind(path, phase).context(|| path.display())
    }

    fn read_kind(&mut self, path: &Path, phase: Phase) -> Result<()> {
        let dir = path.parent().unwrap_or(Path::new("/"));
        let (stem, kind) = parts(path);
        match kind {
            "json" => {
                let draft = entry::read(&text(path)?, stem, dir)?;
                self.add(draft, path, phase)
            }
            "container" => self.read_container(path, phase),
            "volume" | "network" => self.read_made(path),
            "yml" | "yaml" => self.read_compose(path, phase),
            "kube" | "pod" | "image" | "build" => Err(Error::invalid(format!(
                "units of the kind .{kind} are not read: .container, .volume and .network are"
            ))),
            _ => Err(Error::invalid(
                "no plan file: NAME.json, .container, .volume, .network or .yml is wanted",
            )),
        }
    }

    fn read_container(&mut self, path: &Path, phase: Phase) -> Result<()> {
        let (name, _) = parts(path);
        if name.ends_with('@') {
            return Err(Error::invalid(
                "a template starts nothing: name an instance",
            ));
        }
        let dir = path.parent().unwrap_or(Path::new("/"));
        let used = RefCell::new(Vec::new());
        let sibling = |name: &str| {
            let path = dir.join(name);
            used.borrow_mut().push(path.clone());
            let (stem, _) = parts(&path);
            let names = Names {
                unit: stem,
                path: &path,
            };
            unit(&path)
                .and_then(|unit| quadlet::name(&unit, &names))
                .context(|| name.to_string())
        };
        let names = Names { unit: name, path };
        let draft = quadlet::container(&unit(path)?, &names, &sibling)?;
        self.add(draft, path, phase)?;
        for path in used.take() {
            let is_made = parts(&path).1 != "container";
            // A broken one is listed under its own name.
            if is_made && let Err(error) = self.read(&path, phase) {
                self.set.refuse(&path, &error);
            }
        }
        Ok(())
    }

    /// A volume or network; the units that use one ask for it too.
    fn read_made(&mut self, path: &Path) -> Result<()> {
        let (stem, kind) = parts(path);
        let made = match kind {
            "volume" => &self.set.volumes,
            _ => &self.set.networks,
        };
        let is_broken = self.set.broken.iter().any(|remark| remark.file == path);
        if is_broken || made.iter().any(|made| made.file == path) {
            return Ok(());
        }
        let names = Names { unit: stem, path };
        let (new, notes) = quadlet::made(&unit(path)?, &names)?;
        if let Some(other) = made.iter().find(|made| made.name == new.name) {
            let (other, name) = (other.file.display(), &new.name);
            return Err(Error::invalid(format!("{other} has a {kind} {name} too")));
        }
        match kind {
            "volume" => self.set.volumes.push(new),
            _ => self.set.networks.push(new),
        }
        self.note(path, notes);
        Ok(())
    }

    fn read_compose(&mut self, path: &Path, phase: Phase) -> Result<()> {
        let mut project = compose::read(&text(path)?, path)?;
        self.set.broken.extend(project.remarks(path));
        self.set.volumes.append(&mut project.volumes);
        self.set.networks.append(&mut project.networks);
        for draft in project.drafts {
            let name = draft.name.clone();
            if let Err(error) = self.add(draft, path, phase) {
                let text = format!("{}: {name}: {error}", path.display());
                self.set.refuse(path, &Error::invalid(text));
            }
        }
        self.note(path, project.notes);
        Ok(())
    }

    fn note(&mut self, path: &Path, notes: Vec<String>) {
        for note in notes {
            self.set.notes.push(Remark {
                file: path.to_path_buf(),
                text: format!("{}: {note}", path.display()),
            });
        }
    }

    fn add(&mut self, mut draft: Draft, path: &Path, phase: Phase) -> Result<()> {
        let extra = Extra {
            service: std::mem::take(&mut draft.service),
            until: draft.until,
            wishes: std::mem::take(&mut draft.wishes),
            before: std::mem::take(&mut draft.before),
        };
        let notes = std::mem::take(&mut draft.notes);
        let entry = draft.finish(path, phase)?;
        let name = &entry.name;
        let mut entries = self.set.entries.iter();
        if let Some(other) = entries.find(|other| other.name == *name) {
            let other = other.file.display();
            return Err(Error::invalid(format!(
                "{other} has a container {name} too"
            )));
        }
        self.set.entries.push(entry);
        self.extras.push(extra);
        self.note(path, notes);
        Ok(())
    }

    /// Units name each other as systemd would; here they are containers.
    fn finish(mut self) -> Set {
        for place in 0..self.extras.len() {
            let Some(extra) = self.extras.get_mut(place) else {
                break;
            };
            let wishes = std::mem::take(&mut extra.wishes);
            let before = std::mem::take(&mut extra.before);
            for wish in wishes {
                self.grant(place, &wish);
            }
            for later in before {
                if let Some(other) = self.find(&later) {
                    self.put_after(other, place);
                }
            }
        }
        self.let_end();
        self.set
    }

    /// Who is waited for until it has ended is not started again by default.
    fn let_end(&mut self) {
        let after = self.set.entries.iter().flat_map(|entry| &entry.after);
        let ending = after.filter(|after| after.until == Until::Completed);
        let ending: Vec<String> = ending.map(|after| after.name.clone()).collect();
        for entry in &mut self.set.entries {
            let is_said = |word: &String| word.starts_with("--restart");
            if ending.contains(&entry.name) && !entry.arguments.iter().any(is_said) {
                entry.arguments.insert(1, "--restart=no".to_string());
            }
        }
    }

    fn find(&self, service: &str) -> Option<usize> {
        let by_service = |extra: &Extra| extra.service == service && !service.is_empty();
        let by_name = |entry: &Entry| entry.name == service;
        let place = self.extras.iter().position(by_service);
        place.or_else(|| self.set.entries.iter().position(by_name))
    }

    fn grant(&mut self, place: usize, wish: &Wish) {
        let service = &wish.service;
        match self.find(service) {
            Some(other) => self.put_after(place, other),
            // `order` says that it is missing.
            None if wish.is_needed => self.depend(place, service.clone(), Until::Started),
            None => {
                let file = self.set.entries.get(place).map(|entry| entry.file.clone());
                let note = format!("it comes after {service}, which is not here");
                self.note(&file.unwrap_or_default(), vec![note]);
            }
        }
    }

    fn put_after(&mut self, place: usize, earlier: usize) {
        let entry = self.set.entries.get(earlier);
        let extra = self.extras.get(earlier);
        if let (Some(entry), Some(extra)) = (entry, extra) {
            self.depend(place, entry.name.clone(), extra.until);
        }
    }

    fn depend(&mut self, place: usize, name: String, until: Until) {
        if let Some(entry) = self.set.entries.get_mut(place)
            && !entry.after.iter().any(|after| after.name == name)
        {
            entry.after.push(Dependency { name, until });
        }
    }
}

impl Set {
    fn refuse(&mut self, file: &Path, error: &Error) {
        self.broken.push(Remark {
            file: file.to_path_buf(),
            text: error.to_string(),
        });
    }
}
