//! `tug build`: the context, packed as it is read, to the engine's classic builder.

use super::create::{self, Create, Place};
use super::options::{Flag, Options, Verb, flag};
use super::progress::Display;
use super::remote::{Engine, parse};
use super::{human, limits, print, values};
use crate::build::ignore::Ignore;
use crate::error::{Context, Error, Kind, Result};
use crate::http::client::{Body, Response};
use crate::http::query;
use crate::id;
use crate::image::inside::{self, joined, kind};
use crate::image::pack::{self, Form, Packer};
use crate::image::unpack;
use crate::json;
use crate::json::map::Map;
use crate::json::node::quote;
use crate::sys::fs::{self, ModifiedAt};
use crate::sys::is;
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

pub const VERB: Verb = Verb {
    names: &["build", "image build", "builder build"],
    usage: "[OPTIONS] PATH | URL | -",
    about: "Build an image from a Dockerfile",
    flags: &[FLAGS],
    args: (1, 1),
    has_command: false,
    main,
};

const FLAGS: &[Flag] = &[
    flag(
        "--add-host list",
        "Add a custom host-to-IP mapping (host:ip)",
    )
    .into(Place::Other(values::add_host)),
    flag("--build-arg list", "Set build-time variables"),
    flag(
        "--cache-from strings",
        "Images to consider as cache sources",
    ),
    flag(
        "--cgroup-parent string",
        "Optional parent cgroup for the container",
    )
    .into(Place::Text(|c| &mut c.host.cgroup_parent)),
    flag("--compress", "Compress the build context using gzip"),
    flag(
        "--cpu-period int",
        "Limit the CPU CFS (Completely Fair Scheduler) period",
    )
    .into(Place::Integer(|c| &mut c.host.cpu_period)),
    flag(
        "--cpu-quota int",
        "Limit the CPU CFS (Completely Fair Scheduler) quota",
    )
    .into(Place::Integer(|c| &mut c.host.cpu_quota)),
    flag("-c, --cpu-shares int", "CPU shares (relative weight)")
        .into(Place::Integer(|c| &mut c.host.cpu_shares)),
    flag(
        "--cpuset-cpus string",
        "CPUs in which to allow execution (0-3, 0,1)",
    )
    .into(Place::Text(|c| &mut c.host.cpuset_cpus)),
    flag(
        "--cpuset-mems string",
        "MEMs in which to allow execution (0-3, 0,1)",
    )
    .into(Place::Text(|c| &mut c.host.cpuset_mems)),
    flag(
        "--disable-content-trust",
        "Skip image verification (default true)",
    ),
    flag(
        "-f, --file string",
        "Name of the Dockerfile (Default is 'PATH/Dockerfile')",
    ),
    flag("--force-rm", "Always remove intermediate containers"),
    flag("--iidfile string", "Write the image ID to the file"),
    flag("--isolation string", "Container isolation technology"),
    flag("--label list", "Set metadata for an image").into(Place::Other(values::label)),
    flag("-m, --memory bytes", "Memory limit").into(Place::Bytes(|c| &mut c.host.memory)),
    flag(
        "--memory-swap bytes",
        "Swap limit equal to memory plus swap: '-1' to enable unlimited swap",
    )
    .into(Place::Other(limits::memory_swap)),
    flag(
        "--network string",
        "Set the networking mode for the RUN instructions during build (default \"default\")",
    ),
    flag("--no-cache", "Do not use cache when building the image"),
    flag(
        "--platform string",
        "Set platform if server is multi-platform capable",
    ),
    flag(
        "--pull",
        "Always attempt to pull a newer version of the image",
    ),
    flag(
        "-q, --quiet",
        "Suppress the build output and print image ID on success",
    ),
    flag(
        "--rm",
        "Remove intermediate containers after a successful build (default true)",
    ),
    flag("--security-opt strings", "Security options").into(Place::Other(values::security_opt)),
    flag("--shm-size bytes", "Size of /dev/shm").into(Place::Bytes(|c| &mut c.host.shm_size)),
    flag(
        "-t, --tag list",
        "Name and optionally a tag in the 'name:tag' format",
    ),
    flag("--target string", "Set the target build stage to build."),
    flag("--ulimit ulimit", "Ulimit options (default [])").into(Place::Other(limits::ulimit)),
    // What only BuildKit has: better said than unknown.
    flag("--cache-to strings", "Refused: needs BuildKit"),
    flag("-o, --output strings", "Refused: needs BuildKit"),
    flag("--secret strings", "Refused: needs BuildKit"),
    flag("--squash", "Refused: layers stay as they are"),
    flag("--ssh strings", "Refused: needs BuildKit"),
];

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    for refused in ["cache-to", "output", "secret", "squash", "ssh"] {
        if options.get(refused).is_some_and(|value| value != "false") {
            return Err(Error::invalid(format!(
                "--{refused} is not supported: this is the classic builder, without BuildKit"
            )));
        }
    }
    let iidfile = options.get("iidfile");
    if let Some(path) = iidfile {
        // One that is left from before would lie, should this build fail.
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(format_args!("remove {path}"), &e));
            }
            _ => {}
        }
    }

    let place = &options.args[0];
    let mut path = target(options)?;
    let headers = engine.accounts_header()?;
    let is_quiet = options.is("quiet");
    let mut input = std::io::stdin().lock();
    let file = options.get("file");
    let response = match &place[..] {
        url if is_url(url) => {
            path.push_str(&format!("&remote={}", query::encode(url)));
            add_dockerfile(&mut path, file.unwrap_or_default());
            engine.send_with("POST", &path, &headers, Body::Empty)?
        }
        "-" if file == Some("-") => {
            return Err(Error::invalid(
                "invalid argument: can't use stdin for both build context and dockerfile",
            ));
        }
        "-" => {
            let (source, is_archive) = piped(&mut input)?;
            let name = file.filter(|_| is_archive).unwrap_or_default();
            add_dockerfile(&mut path, name);
            upload(engine, &path, &headers, source, is_quiet)?
        }
        _ => {
            let tree = Tree::open(place)?;
            let file = tree.dockerfile(file, &mut input)?;
            add_dockerfile(&mut path, &file.name);
            let leave_out = |path: &[u8], _: &OwnedFd| Ok(file.leaves_out(path));
            let root = tree.root.try_clone().map_err(|e| Error::io("dup", &e))?;
            let packer = Packer::edited(root, b"", Form::Tree, &|entry| {
                (entry.uid, entry.gid) = (0, 0);
            });
            let source = Source {
                head: file.head(),
                taken: 0,
                rest: Some(&mut packer?.leave_out(&leave_out)),
                bytes: 0,
            };
            upload(engine, &path, &headers, source, is_quiet)?
        }
    };
    let (code, id) = follow(response, is_quiet)?;
    if let Some(path) = iidfile.filter(|_| code == 0) {
        std::fs::write(path, id).map_err(|e| Error::io(format_args!("write {path}"), &e))?;
    }
    Ok(code)
}

fn upload(
    engine: &Engine,
    path: &str,
    headers: &str,
    mut source: Source<'_>,
    is_quiet: bool,
) -> Result<Response> {
    let response = engine.send_with("POST", path, headers, Body::Stream(&mut source))?;
    if !is_quiet {
        let size = human::size_in_four(source.bytes);
        print::line(&format!("Sending build context to Docker daemon  {size}"))?;
    }
    Ok(response)
}

fn add_dockerfile(path: &mut String, name: &str) {
    if !name.is_empty() {
        path.push_str(&format!("&dockerfile={}", query::encode(name)));
    }
}

fn is_url(place: &str) -> bool {
    [
        "http://",
        "https://",
        "git://",
        "git@",
        "ssh://",
        "github.com/",
    ]
    .iter()
    .any(|front| place.starts_with(front))
        && !Path::new(place).exists()
}

/// Path and query, without the Dockerfile and the context.
fn target(options: &Options) -> Result<String> {
    let place = &options.args[0];
    let is_git =
        !place.starts_with("http") || place.split('#').next().is_some_and(|p| p.ends_with(".git"));
    if is_url(place) && is_git {
        return Err(Error::invalid(format!(
            "git is not supported: clone {place} and build the directory"
        )));
    }
    let mut create = Create::default();
    for (flag, value) in options.given() {
        create::place(&mut create, flag, value)?;
    }
    let host = create.host;
    let mut args: Map<Option<String>> = Map::new();
    for given in options.all("build-arg") {
        let (name, value) = match given.split_once('=') {
            Some((name, value)) => (name, Some(value.to_string())),
            // What our environment says.
            None => (given, std::env::var(given).ok()),
        };
        args.insert(name.to_string(), value);
    }

    let mut path = String::from("/build?");
    let mut put = |name: &str, value: &str| {
        if !value.is_empty() {
            path.push_str(&format!("{name}={}&", query::encode(value)));
        }
    };
    put("buildargs", &json::to_string(&args));
    put(
        "labels",
        &json::to_string(&create.config.labels.unwrap_or_default()),
    );
    let images: Vec<&str> = options
        .all("cache-from")
        .flat_map(|given| given.split(','))
        .collect();
    put(
        "cachefrom",
        &json::to_string(&images.iter().map(|i| i.to_string()).collect::<Vec<_>>()),
    );
    for (name, value) in [
        ("cgroupparent", &host.cgroup_parent),
        ("cpusetcpus", &host.cpuset_cpus),
        ("cpusetmems", &host.cpuset_mems),
    ] {
        put(name, value.as_deref().unwrap_or_default());
    }
    for (name, value) in [
        ("cpuperiod", host.cpu_period),
        ("cpuquota", host.cpu_quota),
        ("cpushares", host.cpu_shares),
        ("memory", host.memory),
        ("memswap", host.memory_swap),
        ("shmsize", host.shm_size),
    ] {
        put(
            name,
            &value.map_or(String::new(), |value| value.to_string()),
        );
    }
    for (name, long) in [
        ("networkmode", "network"),
        ("platform", "platform"),
        ("target", "target"),
    ] {
        put(name, options.get(long).unwrap_or_default());
    }
    for host in host.extra_hosts.iter().flatten() {
        put("extrahosts", host);
    }
    if let Some(list) = &host.security_opt {
        put("securityopt", &json::to_string(list));
    }
    if let Some(list) = &host.ulimits {
        put("ulimits", &json::to_string(list));
    }
    for tag in options.all("tag") {
        put("t", tag);
    }
    for (name, long) in [
        ("forcerm", "force-rm"),
        ("nocache", "no-cache"),
        ("pull", "pull"),
        ("q", "quiet"),
    ] {
        put(name, if options.is(long) { "1" } else { "" });
    }
    put(
        "rm",
        if options.get("rm") == Some("false") {
            "0"
        } else {
            "1"
        },
    );
    path.push_str("version=1");
    Ok(path)
}

/// Show the answer to its end. The exit code, and the id of the image.
fn follow(response: Response, is_quiet: bool) -> Result<(u8, String)> {
    let mut display = Display::new(false);
    let mut id = String::new();
    for line in BufReader::new(response).lines() {
        let line = line.map_err(|error| Error::io("read the engine's answer", &error))?;
        if line.trim().is_empty() {
            continue;
        }
        let message = parse(&line)?;
        let code = message.at("errorDetail.code").integer();
        let (told, stream) = (message.at("aux.ID").text(), message.at("stream").text());
        if !told.is_empty() {
            id = told;
        } else if is_quiet && stream.starts_with("sha256:") {
            id = stream.trim().to_string();
        }
        match display.message(message) {
            // The code of the command that failed is ours as well.
            Err(error) if code != 0 => {
                print::err(format!("{}\n", error.message))?;
                return Ok((u8::try_from(code).unwrap_or(1), id));
            }
            Err(error) => return Err(error.with_kind(Kind::Invalid)),
            Ok(text) => print::out(text)?,
        }
    }
    Ok((0, id))
}

/// What is sent, counted.
struct Source<'a> {
    head: Vec<u8>,
    taken: usize,
    rest: Option<&'a mut dyn Read>,
    bytes: i64,
}

impl Read for Source<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let head = &self.head[self.taken..];
        let count = if head.is_empty() {
            match &mut self.rest {
                Some(rest) => rest.read(into)?,
                None => 0,
            }
        } else {
            let count = head.len().min(into.len());
            into[..count].copy_from_slice(&head[..count]);
            self.taken += count;
            count
        };
        self.bytes += count as i64;
        Ok(count)
    }
}

/// Standard input: an archive, or a Dockerfile alone.
fn piped(input: &mut dyn Read) -> Result<(Source<'_>, bool)> {
    const HEAD_BYTES: u64 = 512;
    let failed = |e| Error::io("read standard input", &e);
    let mut head = Vec::new();
    let mut first = (&mut *input).take(HEAD_BYTES);
    first.read_to_end(&mut head).map_err(failed)?;
    if head.is_empty() {
        return Err(Error::invalid(
            "the Dockerfile (Dockerfile) cannot be empty",
        ));
    }
    let is_archive = unpack::may_be_archive(&head);
    if !is_archive {
        input.read_to_end(&mut head).map_err(failed)?;
        head = pack::file(b"Dockerfile", &head, ModifiedAt::default(), &|_| {});
        head.extend(pack::END);
    }
    let source = Source {
        head,
        taken: 0,
        rest: is_archive.then_some(input),
        bytes: 0,
    };
    Ok((source, is_archive))
}

/// The directory of the context.
struct Tree {
    root: OwnedFd,
    place: String,
}

/// The Dockerfile, and what to add for it.
struct Dockerfile {
    name: String,
    /// It lies elsewhere.
    content: Option<Vec<u8>>,
    ignore: Ignore,
    ignore_text: Vec<u8>,
}

impl Tree {
    fn open(place: &str) -> Result<Tree> {
        let unable = |why: &str| Error::invalid(format!("unable to prepare context: {why}"));
        match std::fs::metadata(place) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                return Err(unable(&format!("context must be a directory: {place}")));
            }
            Err(_) => return Err(unable(&format!("path {} not found", quote(place)))),
        }
        Ok(Tree {
            root: fs::open_dir(Path::new(place))?,
            place: place.to_string(),
        })
    }

    fn dockerfile(&self, given: Option<&str>, input: &mut dyn Read) -> Result<Dockerfile> {
        let (mut name, mut content) = (String::from("Dockerfile"), None);
        match given {
            Some("-") => {
                let mut bytes = Vec::new();
                input
                    .read_to_end(&mut bytes)
                    .map_err(|e| Error::io("read standard input", &e))?;
                content = Some(bytes);
            }
            Some(path) => match self.inside(path)? {
                Some(inside) => name = inside,
                None => {
                    content =
                        Some(fs::read(Path::new(path)).context(|| "unable to prepare context")?)
                }
            },
            None => {
                // As Docker: this is seen here already.
                let is_there = |name: &str| Path::new(&self.place).join(name).exists();
                if !is_there("Dockerfile") && is_there("dockerfile") {
                    name = "dockerfile".to_string();
                }
            }
        }
        let own = match content {
            None => self.ignore(&format!("{name}.dockerignore"))?,
            Some(_) => None,
        };
        let text = match own {
            Some(text) => Some(text),
            None => self.ignore(".dockerignore")?,
        };
        if content.is_some() {
            name = format!(".dockerfile.{}", id::short(&id::random()?));
        }
        let ignore_text = text.unwrap_or_default();
        Ok(Dockerfile {
            name,
            content,
            ignore: Ignore::parse(&ignore_text),
            ignore_text,
        })
    }

    /// The name in the context of a file that was given by its path, if it lies there.
    fn inside(&self, path: &str) -> Result<Option<String>> {
        let failed = |e: std::io::Error| {
            Error::invalid(format!(
                "unable to prepare context: unable to evaluate symlinks in Dockerfile path: {path}: {e}"
            ))
        };
        let top = Path::new(&self.place).canonicalize().map_err(failed)?;
        // The last name may be a link; it is what the engine reads in the context.
        let whole = Path::new(path);
        std::fs::metadata(whole).map_err(failed)?;
        let dir = match whole.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let dir = dir.canonicalize().map_err(failed)?;
        let Ok(below) = dir.strip_prefix(&top) else {
            return Ok(None);
        };
        let named = below.join(whole.file_name().unwrap_or_default());
        Ok(Some(named.to_string_lossy().into_owned()))
    }

    /// A link in the context's place would have us read a file that is none of the context's
    /// (CVE-2022-4122).
    fn ignore(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = inside::components(name.as_bytes());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = match fs::open_inside(&self.root, &joined(&path), flags) {
            Err(e) if is(&e, Errno::NOENT) => {
                let link = fs::stat_at(self.root.as_fd(), Path::new(name)).unwrap_or(None);
                return match link {
                    Some(_) => Err(Error::invalid(format!(
                        "{name} is a link that leads out of the context: put the file there itself"
                    ))),
                    None => Ok(None),
                };
            }
            opened => opened?,
        };
        if kind(&fs::stat(file.as_fd())?) != FileType::RegularFile {
            return Err(Error::invalid(format!("{name} is not a regular file")));
        }
        let mut text = Vec::new();
        std::fs::File::from(file)
            .read_to_end(&mut text)
            .map_err(|e| Error::io(format_args!("read {name}"), &e))?;
        Ok(Some(text))
    }
}

impl Dockerfile {
    /// The Dockerfile and `.dockerignore` are sent in any case: the engine needs them, and takes
    /// them away.
    fn leaves_out(&self, path: &[u8]) -> bool {
        let name = self.name.as_bytes();
        if path == b".dockerignore" {
            // Ours has been sent already.
            return self.content.is_some();
        }
        let holds_name = name.strip_prefix(path);
        let is_on_the_way = holds_name.is_some_and(|rest| matches!(rest, [] | [b'/', ..]));
        !is_on_the_way && self.ignore.ignores(path) && !self.ignore.may_spare_below(path)
    }

    /// What goes before the context's own files.
    fn head(&self) -> Vec<u8> {
        let Some(content) = &self.content else {
            return Vec::new();
        };
        let mut head = pack::file(
            self.name.as_bytes(),
            content,
            ModifiedAt::default(),
            &|_| {},
        );
        let mut text = match self.ignore_text.is_empty() {
            true => b".dockerignore".to_vec(),
            false => self.ignore_text.clone(),
        };
        text.extend(format!("\n{}\n", self.name).bytes());
        let ignore = pack::file(b".dockerignore", &text, ModifiedAt::default(), &|_| {});
        head.extend(ignore);
        head
    }
}
