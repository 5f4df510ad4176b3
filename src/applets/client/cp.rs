//! `tug cp`: files out of a container, or into it.
//!
//! The engine speaks archives and directories; what `cp SRC DEST` means for each combination of
//! files, directories and slashes is decided here, as Docker's client decides it.

use super::export::pass_on;
use super::human;
use super::options::{Options, Verb, flag};
use super::print;
use super::remote::{Engine, parse};
use crate::base64;
use crate::error::{Error, Kind, Result};
use crate::http::client::{Body, Response};
use crate::http::query;
use crate::image::inside::components;
use crate::image::pack::{Form, Packer};
use crate::image::unpack::{self, Copy, Owner};
use crate::sys::fs;
use std::ffi::CString;
use std::fs::Metadata;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::{Duration, Instant};

pub const VERB: Verb = Verb {
    names: &["cp", "container cp"],
    usage: "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n        tug cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    about: "Copy files/folders between a container and the local filesystem",
    flags: &[&[
        flag(
            "-a, --archive",
            "Archive mode (copy all uid/gid information)",
        ),
        flag("-L, --follow-link", "Always follow symbol link in SRC_PATH"),
        flag(
            "-q, --quiet",
            "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached",
        ),
    ]],
    args: (2, 2),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let [source, destination] = [&options.args[0], &options.args[1]];
    if source.is_empty() {
        return Err(Error::invalid("source can not be empty"));
    }
    if destination.is_empty() {
        return Err(Error::invalid("destination can not be empty"));
    }
    let job = Job {
        engine,
        follow_link: options.is("follow-link"),
        archive: options.is("archive"),
        shows: !options.is("quiet") && io::stdout().is_terminal(),
    };
    match (split(source), split(destination)) {
        ((Some(container), path), (None, local)) => job.copy_out(container, path, local)?,
        ((None, local), (Some(container), path)) => job.copy_in(local, container, path)?,
        ((Some(_), _), (Some(_), _)) => {
            return Err(Error::invalid(
                "copying between containers is not supported",
            ));
        }
        _ => return Err(Error::invalid("must specify at least one container source")),
    }
    Ok(0)
}

/// `CONTAINER:PATH`, or a local path: one that begins with `/` or `.` may have colons.
fn split(arg: &str) -> (Option<&str>, &str) {
    match arg.split_once(':') {
        Some((container, path)) if !arg.starts_with(['/', '.']) => (Some(container), path),
        _ => (None, arg),
    }
}

struct Job<'a> {
    engine: &'a Engine,
    follow_link: bool,
    archive: bool,
    /// Whether somebody watches.
    shows: bool,
}

impl Job<'_> {
    fn copy_out(&self, container: &str, path: &str, local: &str) -> Result<()> {
        let local = match local {
            "-" => local.to_string(),
            local => absolute(local)?,
        };
        check_output(&local)?;
        let mut source = path.to_string();
        let mut rebase = None;
        if self.follow_link
            && let Some(link) = self.stat(container, path)?.and_then(|stat| stat.link)
        {
            (source, rebase) = rebased(path, &link);
        }
        let target = archive_of(container, &source, "");
        let mut response = self.engine.send("GET", &target, Body::Empty)?;
        if local == "-" {
            return pass_on(&mut response, &mut io::stdout().lock());
        }

        let is_dir = Stat::of(&response).is_some_and(|stat| stat.is_dir);
        let source = Info {
            path: source,
            exists: true,
            is_dir,
            rebase,
        };
        let plan = plan(&source, &local_destination(&local)?)?;
        let root = fs::open_dir(Path::new(&plan.dir))?;
        let mut counted = Counted::new(&mut response, "Copying from container - ", self.shows);
        let how = Copy {
            base: Vec::new(),
            name: plan.dir.clone(),
            owner: Owner::Caller,
            keep_kinds: true,
            rename: plan.rename,
            may_go_on: &|| Ok(()),
        };
        unpack::copy_any(root, &how, &mut counted)?;
        counted.done(&local)
    }

    fn copy_in(&self, local: &str, container: &str, path: &str) -> Result<()> {
        let destination = self.destination(container, path)?;
        if local == "-" {
            if !destination.is_dir {
                return Err(Error::invalid(format!(
                    "destination \"{container}:{path}\" must be a directory"
                )));
            }
            let mut stdin = io::stdin().lock();
            let mut counted = Counted::new(&mut stdin, "Copying to container - ", self.shows);
            return self.put(container, &destination.path, &mut counted);
        }

        let source = local_source(&absolute(local)?, self.follow_link)?;
        let plan = plan(&source, &destination)?;
        let (dir, base) = split_entry(&source.path);
        let name = match &plan.rename {
            Some((_, new)) => new.clone(),
            None => base.clone().into_bytes(),
        };
        let parent = fs::open_path(Path::new(&dir))?;
        let base = CString::new(base).map_err(|_| Error::invalid("name with a NUL in it"))?;
        let named = fs::name_at(parent.as_fd(), &base)?.ok_or_else(|| absent(&source.path))?;
        let mut packer = Packer::new(named, &name, Form::Tree)?;
        let mut counted = Counted::new(&mut packer, "Copying to container - ", self.shows);
        self.put(container, &plan.dir, &mut counted)?;
        counted.done(&format!("{container}:{}", destination.path))
    }

    fn put(&self, container: &str, dir: &str, content: &mut dyn Read) -> Result<()> {
        let mut more = String::from("&noOverwriteDirNonDir=true");
        if self.archive {
            more.push_str("&copyUIDGID=true");
        }
        let target = archive_of(container, dir, &more);
        let mut content = content;
        self.engine
            .send("PUT", &target, Body::Stream(&mut content))
            .map(drop)
    }

    /// What is in the container at `path`, if anything; a link's target in its place.
    fn destination(&self, container: &str, path: &str) -> Result<Info> {
        let mut info = Info {
            path: path.to_string(),
            exists: false,
            is_dir: false,
            rebase: None,
        };
        let mut found = self.stat(container, path)?;
        if let Some(link) = found.as_ref().and_then(|stat| stat.link.clone()) {
            found = self.stat(container, &link)?;
            info.path = link;
        }
        // Without an answer the engine has the word: the parent may exist.
        if let Some(stat) = found {
            if stat.is_device {
                return Err(Error::invalid(format!(
                    "destination \"{container}:{path}\" must be a directory or a regular file: got a device"
                )));
            }
            (info.exists, info.is_dir) = (true, stat.is_dir);
        }
        Ok(info)
    }

    fn stat(&self, container: &str, path: &str) -> Result<Option<Stat>> {
        let target = archive_of(container, path, "");
        match self.engine.send("HEAD", &target, Body::Empty) {
            Ok(response) => Ok(Stat::of(&response)),
            Err(error) if error.kind == Kind::Gone => Err(error),
            // An answer to HEAD says no more than that.
            Err(_) => Ok(None),
        }
    }
}

fn archive_of(container: &str, path: &str, more: &str) -> String {
    format!(
        "/containers/{}/archive?path={}{more}",
        query::encode(container),
        query::encode(path)
    )
}

/// Of what the engine says about a path, the part that matters here.
struct Stat {
    is_dir: bool,
    is_device: bool,
    link: Option<String>,
}

impl Stat {
    fn of(response: &Response) -> Option<Stat> {
        /// Bits of Go's os.FileMode.
        const DIR: i64 = 1 << 31;
        const LINK: i64 = 1 << 27;
        const DEVICE: i64 = 1 << 26;
        let header = response.headers.get("X-Docker-Container-Path-Stat")?;
        let text = String::from_utf8(base64::decode(header)?).ok()?;
        let stat = parse(&text).ok()?;
        let mode = stat.at("mode").integer();
        Some(Stat {
            is_dir: mode & DIR != 0,
            is_device: mode & DEVICE != 0,
            link: (mode & LINK != 0).then(|| stat.at("linkTarget").text()),
        })
    }
}

/// One end of a copy.
#[derive(Debug)]
struct Info {
    path: String,
    exists: bool,
    is_dir: bool,
    /// What the archive calls it, where that is not the path's last name.
    rebase: Option<String>,
}

/// Where an archive is to be unpacked, and what its first name becomes.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    dir: String,
    rename: Option<(Vec<u8>, Vec<u8>)>,
}

/// What `cp` means (moby, PrepareArchiveCopy; the sentences are its, too).
fn plan(source: &Info, destination: &Info) -> Result<Plan> {
    let (_, base) = split_entry(&source.path);
    let base = base.into_bytes();
    if destination.exists && destination.is_dir {
        let rebase = source.rebase.clone();
        return Ok(Plan {
            dir: destination.path.clone(),
            rename: rebase.map(|name| (base, name.into_bytes())),
        });
    }
    if destination.exists && source.is_dir {
        return Err(Error::invalid("cannot copy directory"));
    }
    if !destination.exists && !source.is_dir && asserts_dir(&destination.path) {
        return Err(Error::invalid("no such directory"));
    }
    // Into the parent, under the destination's name.
    let (dir, new) = split_entry(&destination.path);
    Ok(Plan {
        dir,
        rename: Some((base, new.into_bytes())),
    })
}

/// Directory and last name; of a path that ends in `.` that is the name.
fn split_entry(path: &str) -> (String, String) {
    let cleaned = clean(path);
    if is_current(path) {
        return (cleaned, ".".to_string());
    }
    match cleaned.rsplit_once('/') {
        Some(("", "")) => ("/".to_string(), "/".to_string()),
        Some(("", name)) => ("/".to_string(), name.to_string()),
        Some((dir, name)) => (dir.to_string(), name.to_string()),
        None => (".".to_string(), cleaned),
    }
}

fn is_current(path: &str) -> bool {
    path.rsplit('/').next() == Some(".")
}

fn asserts_dir(path: &str) -> bool {
    path.ends_with('/') || is_current(path)
}

/// Go's filepath.Clean for an absolute path; others are taken for one, as the engine does.
fn clean(path: &str) -> String {
    let parts = components(path.as_bytes());
    let path = [&b"/"[..], &parts.join(&b'/')].concat();
    String::from_utf8_lossy(&path).into_owned()
}

/// Absolute and clean, but for a slash or `/.` at the end, which means something.
fn absolute(path: &str) -> Result<String> {
    let whole = match path.starts_with('/') {
        true => path.to_string(),
        false => {
            let here = std::env::current_dir().map_err(|e| Error::io("find this directory", &e))?;
            format!("{}/{path}", here.display())
        }
    };
    Ok(keep_end(clean(&whole), path))
}

fn keep_end(mut cleaned: String, original: &str) -> String {
    if !asserts_dir(original) {
        return cleaned;
    }
    if !cleaned.ends_with('/') {
        cleaned.push('/');
    }
    if is_current(original) {
        cleaned.push('.');
    }
    cleaned
}

/// A link's target in the link's place: the path to ask for, and the name that the copy keeps.
fn rebased(path: &str, target: &str) -> (String, Option<String>) {
    let name = |path: &str| clean(path).rsplit('/').next().map(str::to_string);
    let rebase = name(path).filter(|old| name(target).as_ref() != Some(old) && !is_current(path));
    (keep_end(target.to_string(), path), rebase)
}

fn absent(path: &str) -> Error {
    Error::not_found(format!("lstat {path}: no such file or directory"))
}

/// What is copied from here. Links before the last name are followed; the last one only if it is
/// asked for, or a slash behind it says so.
fn local_source(path: &str, follow_link: bool) -> Result<Info> {
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => absent(path),
        io::ErrorKind::NotADirectory => Error::invalid("not a directory"),
        _ => Error::io(format_args!("lstat {path}"), &e),
    };
    let canonical = |path: &str| {
        let real = Path::new(path).canonicalize().map_err(failed)?;
        Ok::<String, Error>(String::from_utf8_lossy(real.as_os_str().as_bytes()).into_owned())
    };
    let (resolved, rebase) = if follow_link || asserts_dir(path) {
        rebased(path, &canonical(path)?)
    } else {
        let (dir, name) = split_entry(path);
        let dir = canonical(&dir)?;
        (clean(&format!("{dir}/{name}")), None)
    };
    let found = std::fs::symlink_metadata(&resolved).map_err(failed)?;
    Ok(Info {
        path: resolved,
        exists: true,
        is_dir: found.is_dir(),
        rebase,
    })
}

/// What is at the destination here, links followed; of a link into nothing, where it points.
fn local_destination(path: &str) -> Result<Info> {
    const LINKS_MAX: usize = 10;
    let mut at = path.to_string();
    for _ in 0..=LINKS_MAX {
        match std::fs::symlink_metadata(&at) {
            Ok(found) if found.is_symlink() => {
                let link = std::fs::read_link(&at)
                    .map_err(|e| Error::io(format_args!("readlink {at}"), &e))?;
                let (dir, _) = split_entry(&at);
                at = clean(&Path::new(&dir).join(link).to_string_lossy());
            }
            Ok(found) => {
                return Ok(Info {
                    path: at,
                    exists: true,
                    is_dir: found.is_dir(),
                    rebase: None,
                });
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let (dir, _) = split_entry(&at);
                let parent = std::fs::metadata(&dir)
                    .map_err(|e| Error::io(format_args!("stat {dir}"), &e))?;
                if !parent.is_dir() {
                    return Err(Error::invalid("not a directory"));
                }
                return Ok(Info {
                    path: at,
                    exists: false,
                    is_dir: false,
                    rebase: None,
                });
            }
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
                return Err(Error::invalid("not a directory"));
            }
            Err(e) => return Err(Error::io(format_args!("lstat {at}"), &e)),
        }
    }
    Err(Error::invalid(format!("too many symlinks in {path}")))
}

/// Docker's sentences about a place that cannot take files.
fn check_output(path: &str) -> Result<()> {
    let (dir, _) = split_entry(path);
    if path != "-" && !Path::new(&dir).exists() {
        return Err(Error::invalid(format!(
            "invalid output path: directory \"{dir}\" does not exist"
        )));
    }
    let is_device = |there: &Metadata| {
        let kind = there.file_type();
        kind.is_char_device() || kind.is_block_device()
    };
    match std::fs::metadata(path) {
        Ok(there) if path != "-" && is_device(&there) => Err(Error::invalid(format!(
            "invalid output path: \"{path}\" must be a directory or a regular file: got a device"
        ))),
        _ => Ok(()),
    }
}

/// Counts what is copied, and shows it to who watches, as Docker does.
struct Counted<'a> {
    from: &'a mut dyn Read,
    about: &'static str,
    shows: bool,
    bytes: i64,
    shown_at: Instant,
    has_shown: bool,
}

/// Between two looks at the progress.
const PACE: Duration = Duration::from_millis(75);

impl<'a> Counted<'a> {
    fn new(from: &'a mut dyn Read, about: &'static str, shows: bool) -> Counted<'a> {
        Counted {
            from,
            about,
            shows,
            bytes: 0,
            shown_at: Instant::now(),
            has_shown: false,
        }
    }

    fn show(&mut self) {
        if !self.shows || self.shown_at.elapsed() < PACE || !io::stderr().is_terminal() {
            return;
        }
        let text = format!("\r{}{}\x1b[K", self.about, human::size(self.bytes));
        let _ = print::err(text);
        self.shown_at = Instant::now();
        self.has_shown = true;
    }

    fn done(self, to: &str) -> Result<()> {
        if !self.shows {
            return Ok(());
        }
        let back = if self.has_shown { "\r\x1b[K" } else { "" };
        let size = human::size(self.bytes);
        print::err(format!("{back}Successfully copied {size} to {to}\n"))
    }
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(into)?;
        self.bytes += count as i64;
        self.show();
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_names_a_container_unless_the_path_is_explicit() {
        for (arg, container, path) in [
            ("web:/etc", Some("web"), "/etc"),
            ("web:", Some("web"), ""),
            ("web:a:b", Some("web"), "a:b"),
            ("/a:b", None, "/a:b"),
            ("./a:b", None, "./a:b"),
            ("file", None, "file"),
            ("-", None, "-"),
        ] {
            assert_eq!(split(arg), (container, path), "{arg}");
        }
    }

    fn info(path: &str, exists: bool, is_dir: bool) -> Info {
        Info {
            path: path.to_string(),
            exists,
            is_dir,
            rebase: None,
        }
    }

    /// The table of docker cp's documentation.
    #[test]
    fn files_and_directories_meet_as_docker_says() {
        let (file, dir, inside) = (
            info("/s/f", true, false),
            info("/s/d", true, true),
            info("/s/d/.", true, true),
        );
        let (there, gone, gone_dir, old) = (
            info("/t/dir", true, true),
            info("/t/new", false, false),
            info("/t/new/", false, false),
            info("/t/old", true, false),
        );
        let planned = |source: &Info, destination: &Info| match plan(source, destination) {
            Err(error) => error.to_string(),
            Ok(plan) => match plan.rename {
                None => plan.dir,
                Some((old, new)) => format!(
                    "{} {}->{}",
                    plan.dir,
                    String::from_utf8(old).unwrap(),
                    String::from_utf8(new).unwrap()
                ),
            },
        };
        for (source, destination, expected) in [
            (&file, &gone, "/t f->new"),
            (&file, &gone_dir, "no such directory"),
            (&file, &old, "/t f->old"),
            (&file, &there, "/t/dir"),
            (&dir, &gone, "/t d->new"),
            (&dir, &gone_dir, "/t d->new"),
            (&dir, &old, "cannot copy directory"),
            (&dir, &there, "/t/dir"),
            (&inside, &gone, "/t .->new"),
            (&inside, &old, "cannot copy directory"),
            (&inside, &there, "/t/dir"),
        ] {
            assert_eq!(
                planned(source, destination),
                expected,
                "{source:?} {destination:?}"
            );
        }
    }

    #[test]
    fn a_path_keeps_what_its_end_means() {
        for (path, expected) in [
            ("/a/../b", "/b"),
            ("/a/b/", "/a/b/"),
            ("/a/b/.", "/a/b/."),
            ("/", "/"),
            ("/.", "/."),
            ("/a/..", "/"),
        ] {
            assert_eq!(absolute(path).unwrap(), expected);
        }
        assert_eq!(rebased("/l", "/d/x"), ("/d/x".into(), Some("l".into())));
        assert_eq!(rebased("/l/", "/d/x"), ("/d/x/".into(), Some("l".into())));
        assert_eq!(rebased("/l/.", "/d/x"), ("/d/x/.".into(), None));
        assert_eq!(rebased("/x", "/d/x"), ("/d/x".into(), None));
    }

    #[test]
    fn names_are_split_as_docker_splits_them() {
        for (path, dir, name) in [
            ("/a/b", "/a", "b"),
            ("/a/b/", "/a", "b"),
            ("/a/b/.", "/a/b", "."),
            ("/a", "/", "a"),
            ("/", "/", "/"),
            ("/.", "/", "."),
        ] {
            assert_eq!(split_entry(path), (dir.into(), name.into()), "{path}");
        }
    }
}
