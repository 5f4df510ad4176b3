//! RUN: a container of the image so far, its output, its end.

use crate::build::context::Context;
use crate::build::dockerfile::Line;
use crate::build::report::{Report, cancelled};
use crate::build::steps::{Change, Keep};
use crate::build::{Request, caches};
use crate::engine::Engine;
use crate::engine::container::Container;
use crate::engine::remove::Removal;
use crate::engine::view::Purpose;
use crate::error::{Context as _, Error, Kind, Result};
use crate::id;
use crate::image::inside;
use crate::json::map::Map;
use crate::oci::image::HealthConfig;
use crate::shim::client::Attach;
use crate::store::staging;
use crate::sys::{fs, poll, socket};
use crate::wire::container::{Config, CreateRequest, HostConfig, LogConfig, Placement};
use crate::wire::stdcopy::{self, HEADER_BYTES, Stream};
use rustix::event::PollFlags;
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Beside the context: a file for each container that runs for the build, called by its id.
pub const CONTAINERS: &str = "containers";

/// Of output, sent in one piece.
const PIECE_BYTES: usize = 16 << 10;

/// What is to run.
pub struct Command<'a> {
    pub image: &'a str,
    pub words: Vec<String>,
    pub env: Vec<String>,
    pub host: HostConfig,
}

/// What is the same for all commands of a build.
pub struct Bench<'a> {
    pub engine: &'a Arc<Engine>,
    pub request: &'a Request,
    pub context: &'a Context,
}

impl Bench<'_> {
    /// Run a command to its end, and let `use_it` have the container if it went well.
    pub fn run<T>(
        &self,
        command: Command<'_>,
        report: &mut Report<'_>,
        use_it: impl FnOnce(&Container) -> Result<T>,
    ) -> Result<T> {
        let words = command.words.join(" ");
        let (container, note) = self.create(command, report)?;
        let outcome = self.follow(&container, &words, report);
        let outcome = outcome.and_then(|()| use_it(&container));
        let is_gone = matches!(&outcome, Err(error) if error.kind == Kind::Gone);
        let removes = match outcome.is_ok() {
            true => self.request.removes,
            false => is_gone,
        };
        if removes || self.request.force_removes {
            if !is_gone {
                report.say(&format!(
                    "Removing intermediate container {}\n",
                    id::short(&container.id)
                ))?;
            }
            self.engine.remove(&container, Removal::ALL)?;
        }
        // It stays, as the user's.
        forget(&note)?;
        outcome
    }

    /// Let `change` write into the files of an image, and `keep` have what it has changed. They are
    /// those of a container that is never started.
    pub fn change(&self, image: &str, change: Change<'_>, keep: Keep<'_>) -> Result<()> {
        let request = CreateRequest {
            is_step: true,
            member: None,
            volumes: Map::new(),
            config: Config {
                image: Some(image.to_string()),
                cmd: Some(vec!["/".to_string()]),
                entrypoint: Some(vec![String::new()]),
                ..Config::default()
            },
            placement: Placement {
                host_config: Some(HostConfig {
                    auto_remove: Some(true),
                    network_mode: Some("none".to_string()),
                    ..HostConfig::default()
                }),
                networking_config: None,
            },
        };
        let (container, note, _) = self.note(request)?;
        let outcome = self
            .engine
            .view(&container, Purpose::Write)
            .and_then(|view| change(&view.root))
            .and_then(|()| self.engine.read_changes(&container, |layer| keep(layer)));
        let removed = self.engine.remove(&container, Removal::ALL);
        forget(&note)?;
        outcome.and(removed)
    }

    /// A new container, its note, and what the engine says against it.
    fn note(&self, request: CreateRequest) -> Result<(Arc<Container>, PathBuf, Vec<String>)> {
        let created = self.engine.create(None, request)?;
        let id = created.id.unwrap_or_default();
        let note = self.context.beside().join(CONTAINERS).join(&id);
        std::fs::write(&note, "")
            .map_err(|e| Error::io(format_args!("write {}", note.display()), &e))?;
        let warnings = created.warnings.unwrap_or_default();
        Ok((self.engine.find(&id)?, note, warnings))
    }

    fn create(
        &self,
        command: Command<'_>,
        report: &mut Report<'_>,
    ) -> Result<(Arc<Container>, PathBuf)> {
        let request = CreateRequest {
            is_step: true,
            member: None,
            volumes: Map::new(),
            config: Config {
                image: Some(command.image.to_string()),
                cmd: Some(command.words),
                // The image's own does not count.
                entrypoint: Some(vec![String::new()]),
                env: Some(command.env),
                attach_stdout: Some(true),
                attach_stderr: Some(true),
                healthcheck: Some(HealthConfig {
                    test: Some(vec!["NONE".to_string()]),
                    ..HealthConfig::default()
                }),
                ..Config::default()
            },
            placement: Placement {
                host_config: Some(HostConfig {
                    log_config: Some(LogConfig {
                        kind: Some("none".to_string()),
                        config: None,
                    }),
                    ..command.host
                }),
                networking_config: None,
            },
        };
        let (container, note, warnings) = self.note(request)?;
        for warning in warnings {
            report.say(&format!(" ---> [Warning] {warning}\n"))?;
        }
        let id = id::short(&container.id);
        report.say(&format!(" ---> Running in {id}\n"))?;
        Ok((container, note))
    }

    /// Start it, and pass on what it says until it ends.
    fn follow(
        &self,
        container: &Arc<Container>,
        words: &str,
        report: &mut Report<'_>,
    ) -> Result<()> {
        let (ours, theirs) = socket::pair()?;
        let attach = Attach {
            stdout: true,
            stderr: true,
            ..Attach::default()
        };
        self.engine.attach(container, attach, theirs.as_fd())?;
        drop(theirs);
        self.engine.start(container)?;
        let ended = Output::new(File::from(ours)).copy(report);
        let ended = ended.and_then(|()| {
            let is_down = |state: &crate::engine::container::State| !state.phase.is_up();
            match container.wait_until(&is_down, Some(report.client()), None)? {
                true => Ok(()),
                false => Err(cancelled()),
            }
        });
        if let Err(error) = ended {
            // Nobody waits for it any more.
            let _ = self.engine.kill(container, None);
            return Err(error);
        }
        let (code, why) = {
            let state = container.lock();
            (state.exit_code, state.error.clone())
        };
        if code == 0 {
            return Ok(());
        }
        report.code = Some(code);
        let why = match why.is_empty() {
            true => String::new(),
            false => format!(": {why}"),
        };
        Err(Error::new(
            Kind::Run,
            format!("The command '{words}' returned a non-zero code: {code}{why}"),
        ))
    }

    /// `--mount` and `--network` of a RUN, as far as they are the business of this engine.
    pub fn host(&self, line: &Line, expand: &dyn Fn(&str) -> Result<String>) -> Result<HostConfig> {
        let mut host = self.request.host.clone();
        for refused in ["security", "device"] {
            if !line.flag(refused).is_empty() {
                return Err(Error::unsupported(format!(
                    "RUN --{refused} is not supported: a step of a build runs with the defences of any container"
                )));
            }
        }
        match line.flag("network") {
            "" | "default" => {}
            mode @ ("none" | "host") => host.network_mode = Some(mode.to_string()),
            other => {
                return Err(Error::invalid(format!(
                    "unsupported network mode {other:?}"
                )));
            }
        }
        for mount in line.all("mount") {
            self.mount(&expand(mount)?, &mut host)
                .context(|| "RUN --mount")?;
        }
        Ok(host)
    }

    fn mount(&self, text: &str, host: &mut HostConfig) -> Result<()> {
        let (mut kind, mut target, mut source, mut id) = ("bind", "", "", "");
        let mut is_writable = None;
        let mut size = None;
        for part in text.split(',') {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match &key.to_ascii_lowercase()[..] {
                "type" => kind = value,
                "target" | "dst" | "destination" => target = value,
                "source" | "src" => source = value,
                "id" => id = value,
                "size" => size = Some(value),
                "ro" | "readonly" => is_writable = Some(value == "false"),
                "rw" | "readwrite" => is_writable = Some(value != "false"),
                "sharing" if matches!(value, "shared" | "private" | "locked") => {}
                "from" => {
                    return Err(Error::unsupported(
                        "from is not supported: copy what is needed with COPY --from",
                    ));
                }
                other => {
                    return Err(Error::invalid(format!(
                        "unexpected key {other:?} in {text:?}"
                    )));
                }
            }
        }
        if target.is_empty() {
            return Err(Error::invalid("target is required"));
        }
        let source = match kind {
            "tmpfs" => {
                let options = size.map_or(String::new(), |size| format!("size={size}"));
                let list = host.tmpfs.get_or_insert_default();
                list.insert(target.to_string(), options);
                return Ok(());
            }
            "bind" if is_writable == Some(true) => {
                return Err(Error::unsupported("a writable bind is not supported"));
            }
            "bind" => self.inside_context(source)?,
            "cache" => self.cache(if id.is_empty() { target } else { id })?,
            "secret" | "ssh" => {
                return Err(Error::unsupported(format!(
                    "type={kind} is not supported: it needs BuildKit"
                )));
            }
            other => {
                return Err(Error::invalid(format!("unsupported mount type {other:?}")));
            }
        };
        let mode = match kind == "cache" && is_writable != Some(false) {
            true => "rw",
            false => "ro",
        };
        let source = source.display();
        let bind = format!("{source}:{target}:{mode}");
        host.binds.get_or_insert_default().push(bind);
        Ok(())
    }

    /// Nobody else changes the context, so a path without links leads where it says.
    fn inside_context(&self, path: &str) -> Result<PathBuf> {
        let root = self.context.root();
        let path = inside::components(path.as_bytes());
        let real = inside::joined(&inside::real(root, &path, None)?);
        fs::open_inside(root, &real, OFlags::PATH | OFlags::NOFOLLOW)?;
        without_colon(
            self.context
                .place()
                .join(real.strip_prefix(".").unwrap_or(&real)),
        )
    }

    /// Kept for the next builds, whoever's they are, as BuildKit does.
    fn cache(&self, id: &str) -> Result<PathBuf> {
        let name = id::hex(&Sha256::digest(id));
        let path = caches(self.engine).join(name);
        if !path.exists() {
            staging::make_dir(&path)?;
            set_mode(&path, 0o755)?;
        }
        without_colon(path)
    }

    /// A script for `RUN <<EOF` whose first line says what runs it.
    pub fn script(&self, name: &str, text: &str, host: &mut HostConfig) -> Result<String> {
        let path = self.context.beside().join("script");
        std::fs::write(&path, text)
            .map_err(|e| Error::io(format_args!("write {}", path.display()), &e))?;
        set_mode(&path, 0o755)?;
        let place = format!("/dev/pipes/{}", name.replace(['/', ':'], "_"));
        let source = without_colon(path)?;
        let bind = format!("{}:{place}:ro", source.display());
        host.binds.get_or_insert_default().push(bind);
        Ok(place)
    }
}

fn forget(note: &Path) -> Result<()> {
    std::fs::remove_file(note).map_err(|e| Error::io(format_args!("remove {}", note.display()), &e))
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(|e| Error::io(format_args!("chmod {}", path.display()), &e))
}

/// In a bind it would end the path.
fn without_colon(path: PathBuf) -> Result<PathBuf> {
    match path.as_os_str().as_encoded_bytes().contains(&b':') {
        true => Err(Error::invalid(format!(
            "{} cannot be mounted: there is a colon in its name",
            path.display()
        ))),
        false => Ok(path),
    }
}

/// What a container says, as it comes from its shim.
struct Output {
    from: File,
    /// The beginning of a character whose end has not come.
    rest: Vec<u8>,
}

impl Output {
    fn new(from: File) -> Output {
        Output {
            from,
            rest: Vec::new(),
        }
    }

    /// Errors are red, as Docker has it.
    fn copy(&mut self, report: &mut Report<'_>) -> Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        let mut last = Stream::Stdout;
        loop {
            let mut header = [0; HEADER_BYTES];
            if !self.fill(&mut header, report)? {
                return self.say(b"", last, true, report);
            }
            let Some((stream, length)) = stdcopy::parse(header) else {
                return Err(Error::invalid("the shim's output makes no sense"));
            };
            if stream != last {
                self.say(b"", last, true, report)?;
                last = stream;
            }
            let mut left = length as usize;
            while left > 0 {
                let count = left.min(piece.len());
                if !self.fill(&mut piece[..count], report)? {
                    return Ok(());
                }
                self.say(&piece[..count], stream, false, report)?;
                left -= count;
            }
        }
    }

    fn say(
        &mut self,
        bytes: &[u8],
        stream: Stream,
        is_end: bool,
        report: &mut Report<'_>,
    ) -> Result<()> {
        self.rest.extend(bytes);
        let whole = match std::str::from_utf8(&self.rest) {
            // Only what may become a character waits.
            Err(e) if !is_end && e.error_len().is_none() => e.valid_up_to(),
            _ => self.rest.len(),
        };
        let text = String::from_utf8_lossy(&self.rest[..whole]).into_owned();
        self.rest.drain(..whole);
        match stream {
            _ if text.is_empty() => Ok(()),
            Stream::Stderr => report.say(&format!("\x1b[91m{text}\x1b[0m")),
            _ => report.say(&text),
        }
    }

    /// False at the end of the stream. An error when the client has gone.
    fn fill(&mut self, into: &mut [u8], report: &Report<'_>) -> Result<bool> {
        let mut filled = 0;
        while filled < into.len() {
            let fds = [
                (self.from.as_fd(), PollFlags::IN),
                (report.client(), PollFlags::empty()),
            ];
            let ready = poll::wait(&fds, None)?;
            if ready.get(1).is_some_and(|flags| !flags.is_empty()) {
                return Err(cancelled());
            }
            let count = self.from.read(&mut into[filled..]);
            match count.map_err(|e| Error::io("read the container's output", &e))? {
                0 => return Ok(false),
                count => filled += count,
            }
        }
        Ok(true)
    }
}
