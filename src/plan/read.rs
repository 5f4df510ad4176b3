//! Directories and files into a set.

use super::entry::Draft;
use super::machine::Machine;
use super::{Phase, Remark, Set, entry, machine as board};
use crate::error::{Context, Error, Result};
use crate::sys;
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
fn text(path: &Path) -> Result<String> {
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

/// A set in the making.
#[derive(Default)]
struct Gathered {
    set: Set,
}

impl Gathered {
    fn read_all(&mut self, files: Vec<PathBuf>, phase: Phase) {
        for path in files {
            if let Err(error) = self.read(&path, phase) {
                self.set.broken.push(Remark {
                    file: path,
                    text: error.to_string(),
                });
            }
        }
    }

    /// One file, by its name's ending.
    fn read(&mut self, path: &Path, phase: Phase) -> Result<()> {
        self.read_kind(path, phase).context(|| path.display())
    }

    fn read_kind(&mut self, path: &Path, phase: Phase) -> Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (stem, kind) = name.rsplit_once('.').unwrap_or((&name, ""));
        let dir = path.parent().unwrap_or(Path::new("/"));
        match kind {
            "json" => {
                let draft = entry::read(&text(path)?, stem, dir)?;
                self.add(draft, path, phase)
            }
            _ => Err(Error::invalid("no plan file: NAME.json is wanted")),
        }
    }

    fn add(&mut self, draft: Draft, path: &Path, phase: Phase) -> Result<()> {
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
        Ok(())
    }

    fn finish(self) -> Set {
        self.set
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with files, gone with the value.
    struct Plan(PathBuf);

    impl Plan {
        fn new(files: &[(&str, &str)]) -> Plan {
            let id = crate::id::random().unwrap();
            let dir = std::env::temp_dir().join(format!("tug-plan-{id}"));
            for (name, text) in files {
                let path = dir.join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Plan(dir)
        }

        /// Names with their phases, and what is wrong.
        fn shown(&self) -> (String, Vec<String>) {
            let set = super::dir(&self.0).unwrap();
            let names: Vec<String> = set
                .entries
                .iter()
                .map(|entry| format!("{}:{:?}", entry.name, entry.phase))
                .collect();
            let dir = format!("{}/", self.0.display());
            let plain = |remark: &Remark| remark.text.replace(&dir, "");
            (names.join(" "), set.broken.iter().map(plain).collect())
        }
    }

    impl Drop for Plan {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_plan_is_read_by_phase_and_name_and_a_broken_file_stops_no_other() {
        let image = r#"{"image":"a"}"#;
        let plan = Plan::new(&[
            ("machine.json", "{}"),
            ("onboot/20-second.json", image),
            ("onboot/10-first.json", image),
            ("services/web.json", image),
            ("services/.hidden.json", "{"),
            ("services/web.json~", "{"),
            ("services/broken.json", "{"),
            ("services/what.txt", "x"),
            ("onshutdown/bye.json", image),
            ("onshutdown/other.json", r#"{"image":"a","name":"web"}"#),
            ("late.json", image),
        ]);
        let (entries, broken) = plan.shown();
        assert_eq!(
            entries,
            "10-first:Onboot 20-second:Onboot web:Service bye:Onshutdown late:Service"
        );
        assert_eq!(
            broken,
            [
                "services/broken.json: invalid JSON: line 1, column 2: unexpected end",
                "services/what.txt: no plan file: NAME.json is wanted",
                "onshutdown/other.json: services/web.json has a container web too",
            ]
        );
    }

    #[test]
    fn a_missing_plan_is_no_empty_one() {
        let error = super::dir(Path::new("/nowhere/plan")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "read /nowhere/plan: No such file or directory (os error 2)"
        );
        assert!(
            super::machine(Path::new("/nowhere/plan"))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn what_is_no_file_of_text_is_refused() {
        let plan = Plan::new(&[("services/a.json", ""), ("machine.json", "{\"dns\":1}")]);
        std::fs::write(plan.0.join("services/latin.json"), b"{\"image\":\"\xe4\"}").unwrap();
        let large = " ".repeat(SIZE_MAX as usize + 1);
        std::fs::write(plan.0.join("services/large.json"), large).unwrap();
        std::os::unix::fs::symlink("/dev/zero", plan.0.join("services/zero.json")).unwrap();
        assert_eq!(
            plan.shown().1,
            [
                "services/a.json: invalid JSON: line 1, column 1: unexpected end",
                "services/large.json: larger than 1 MiB: no plan file is",
                "services/latin.json: not UTF-8",
                "services/zero.json: no file",
            ]
        );
        let error = super::machine(&plan.0).unwrap_err().to_string();
        assert!(error.ends_with("machine.json: dns cannot be this number"));
    }
}
