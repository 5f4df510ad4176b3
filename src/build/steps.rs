//! The stages of a Dockerfile and their instructions, one after the other (moby, builder/dockerfile).

use crate::build::Request;
use crate::build::args::Args;
use crate::build::context::Context;
use crate::build::copy::{self, Source, Target};
use crate::build::dockerfile::{self, Dockerfile, Line};
use crate::build::report::Report;
use crate::build::run::{Bench, Command};
use crate::engine::Engine;
use crate::error::{Context as _, Error, Result};
use crate::id;
use crate::image::built::{self, Built, Pending, Step};
use crate::image::change::{self, Instruction};
use crate::image::inside::components;
use crate::image::pack::{Form, Packer};
use crate::image::view::{Base, View};
use crate::image::words;
use crate::oci::image::Config;
use crate::oci::spec::User;
use crate::runtime::user;
use crate::store::staging::Staging;
use crate::sys::fs;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// What an image without it gets (moby, system.DefaultPathEnv).
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A Dockerfile in stages.
pub struct Plan {
    globals: Vec<Line>,
    stages: Vec<Stage>,
    escape: char,
    warnings: String,
}

struct Stage {
    from: Line,
    /// Lower case; empty without one.
    name: String,
    lines: Vec<Line>,
}

impl Plan {
    /// What is wrong with a Dockerfile as a whole is told here, before anything runs.
    pub fn new(text: &[u8], request: &Request) -> Result<Plan> {
        let Dockerfile {
            lines,
            escape,
            warnings,
        } = dockerfile::parse(text)?;
        let (mut globals, mut stages) = (Vec::new(), Vec::<Stage>::new());
        for line in lines {
            match (&line.name[..], stages.last_mut()) {
                ("FROM", _) => stages.push(Stage {
                    name: line
                        .rest
                        .split_whitespace()
                        .nth(2)
                        .unwrap_or("")
                        .to_ascii_lowercase(),
                    from: line,
                    lines: Vec::new(),
                }),
                ("ARG", None) => globals.push(line),
                (_, None) => return Err(Error::invalid("no build stage in current context")),
                (_, Some(stage)) => stage.lines.push(line),
            }
        }
        if !request.target.is_empty() {
            let target = request.target.to_ascii_lowercase();
            let number = target.parse::<usize>().ok().filter(|n| *n < stages.len());
            let named = stages.iter().position(|stage| stage.name == target);
            let last = named.or(number).ok_or_else(|| {
                Error::invalid(format!(
                    "target stage {:?} could not be found",
                    request.target
                ))
            })?;
            stages.truncate(last + 1);
        }
        let Some(last) = stages.last_mut() else {
            return Err(Error::invalid("no build stage in current context"));
        };
        last.lines.extend(labels(request, escape));
        Ok(Plan {
            globals,
            stages,
            escape,
            warnings,
        })
    }

    fn count(&self) -> usize {
        let lines = self.stages.iter().map(|stage| stage.lines.len() + 1);
        self.globals.len() + lines.sum::<usize>()
    }
}

/// `--label` as an instruction at the end.
fn labels(request: &Request, escape: char) -> Option<Line> {
    let quoted = |text: &str| {
        let mut word = String::from("\"");
        for c in text.chars() {
            if matches!(c, '"' | '$') || c == escape {
                word.push(escape);
            }
            word.push(c);
        }
        word + "\""
    };
    let (mut shown, mut rest) = (String::from("LABEL"), String::new());
    for (name, value) in request.labels.iter() {
        shown.push_str(&format!(" {name}={value}"));
        rest.push_str(&format!("{}={} ", quoted(name), quoted(value)));
    }
    (!rest.is_empty()).then(|| Line {
        number: 0,
        name: "LABEL".to_string(),
        original: shown,
        flags: Vec::new(),
        rest,
        heredocs: Vec::new(),
    })
}

/// Build what `plan` says. Answers the id of the last image, `sha256:…`.
pub fn build(
    engine: &Arc<Engine>,
    request: &Request,
    context: &Context,
    plan: Plan,
    report: &mut Report<'_>,
) -> Result<String> {
    let platform = built::own_platform();
    let mut known = Vec::new();
    for (prefix, text) in [("TARGET", &request.platform[..]), ("BUILD", "")] {
        let text = if text.is_empty() { &platform } else { text };
        let mut parts = text.splitn(3, '/').map(str::to_string);
        let names = match prefix {
            "TARGET" => ["TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT"],
            _ => ["BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT"],
        };
        known.push((names[0], text.to_string()));
        for name in &names[1..] {
            known.push((name, parts.next().unwrap_or_default()));
        }
    }
    let mut builder = Builder {
        bench: Bench {
            engine,
            request,
            context,
        },
        report,
        args: Args::new(request.args.clone(), &known),
        escape: plan.escape,
        done: Vec::new(),
        pending: Pending::default(),
        built: Built::scratch(),
        config: Config::default(),
        author: String::new(),
        has_cmd: false,
        uses_cache: false,
    };
    let outcome = builder.all(plan);
    // What went well can be gone on from.
    let settled = engine.images.settle(&mut builder.pending);
    outcome.and_then(|id| settled.map(|()| id))
}

struct Builder<'a, 'r> {
    bench: Bench<'a>,
    report: &'a mut Report<'r>,
    args: Args,
    escape: char,
    /// Stages that are done, by their names.
    done: Vec<(String, Built)>,
    pending: Pending,
    /// How far this stage has come.
    built: Built,
    config: Config,
    author: String,
    /// This stage has said what is to run.
    has_cmd: bool,
    /// Until a step was not found in it: what follows cannot be there.
    uses_cache: bool,
}

impl Builder<'_, '_> {
    fn all(&mut self, plan: Plan) -> Result<String> {
        if !plan.warnings.is_empty() {
            self.report
                .say(&format!("\x1b[91m{}\x1b[0m", plan.warnings))?;
        }
        let count = plan.count();
        let mut number = 0;
        for line in &plan.globals {
            self.announce(line, &mut number, count)?;
            for word in words::split(&line.rest, self.escape) {
                let (name, value) = self.argument(&word, false)?;
                self.args.declare_global(&name, value);
            }
        }
        for stage in &plan.stages {
            if !stage.name.is_empty() && self.done.iter().any(|(name, _)| *name == stage.name) {
                return Err(Error::invalid(format!(
                    "{} stage name already used",
                    stage.name
                )));
            }
            self.announce(&stage.from, &mut number, count)?;
            self.begin(stage)?;
            self.arrived()?;
            self.triggers()?;
            for line in &stage.lines {
                self.report.check()?;
                self.announce(line, &mut number, count)?;
                self.step(line)?;
                self.arrived()?;
            }
            self.report.tell_id(&self.built.id)?;
            self.done.push((stage.name.clone(), self.built.clone()));
        }
        if self.built.id.is_empty() {
            return Err(Error::invalid(
                "No image was generated. Is your Dockerfile empty?",
            ));
        }
        let unused = self.args.unused().join(" ");
        if !unused.is_empty() {
            self.report.say(&format!(
                "[Warning] One or more build-args [{unused}] were not consumed\n"
            ))?;
        }
        Ok(self.built.id.clone())
    }

    fn announce(&mut self, line: &Line, number: &mut usize, count: usize) -> Result<()> {
        *number += 1;
        let original = &line.original;
        self.report
            .say(&format!("Step {number}/{count} : {original}\n"))
    }

    fn arrived(&mut self) -> Result<()> {
        let id = self.built.id.strip_prefix("sha256:").unwrap_or_default();
        self.report.say(&format!(" ---> {}\n", id::short(id)))
    }

    /// What a variable is worth now: the environment comes before the arguments.
    fn value(&self, name: &str) -> Option<String> {
        let env = self.config.env.as_deref().unwrap_or_default();
        change::value(env, name).or_else(|| self.args.value(name))
    }

    fn expand(&self, word: &str) -> Result<String> {
        words::expand(word, self.escape, &|name| self.value(name))
    }

    /// `NAME` or `NAME=default`.
    fn argument(&self, word: &str, is_local: bool) -> Result<(String, Option<String>)> {
        let expand = |word: &str| match is_local {
            true => self.expand(word),
            false => words::expand(word, self.escape, &|name| self.args.global(name)),
        };
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        if name.is_empty() {
            return Err(Error::invalid("ARG names can not be blank"));
        }
        Ok((expand(name)?, value.map(expand).transpose()?))
    }

    /// FROM.
    fn begin(&mut self, stage: &Stage) -> Result<()> {
        let global = |word: &str| words::expand(word, self.escape, &|name| self.args.global(name));
        let given = stage
            .from
            .rest
            .split_whitespace()
            .next()
            .unwrap_or_default();
        let name = global(given)?;
        if name.is_empty() {
            return Err(Error::invalid(format!(
                "base name ({given}) should not be blank"
            )));
        }
        let platform = global(stage.from.flag("platform"))?;
        let platform = match platform.is_empty() {
            true => self.bench.request.platform.clone(),
            false => platform,
        };
        self.built = self.base(&name, &platform)?;
        self.config = self.built.image.config.clone().unwrap_or_default();
        let env = self.config.env.get_or_insert_default();
        if change::value(env, "PATH").is_none() {
            env.push(PATH.to_string());
        }
        self.author = String::new();
        self.has_cmd = false;
        self.uses_cache = !self.bench.request.no_cache;
        self.args.begin_stage();
        Ok(())
    }

    /// A stage, `scratch`, or an image, which is pulled where it is missing.
    fn base(&mut self, name: &str, platform: &str) -> Result<Built> {
        if let Some(built) = self.stage(name) {
            return Ok(built);
        }
        if name == "scratch" {
            return Ok(Built::scratch());
        }
        let (engine, request) = (self.bench.engine, self.bench.request);
        let id = super::base::find(engine, request, name, platform, self.report)?;
        engine.images.built(&id)
    }

    fn stage(&self, name: &str) -> Option<Built> {
        let name = name.to_ascii_lowercase();
        let mut found = self.done.iter().filter(|(known, _)| *known == name);
        found.next().map(|(_, built)| built.clone())
    }

    /// What the image has kept for those who build on it.
    fn triggers(&mut self) -> Result<()> {
        let triggers = self.config.on_build.take().unwrap_or_default();
        if triggers.is_empty() {
            return Ok(());
        }
        let s = if triggers.len() > 1 { "s" } else { "" };
        self.report.say(&format!(
            "# Executing {} build trigger{s}\n",
            triggers.len()
        ))?;
        for trigger in &triggers {
            self.step(&dockerfile::trigger(trigger)?)?;
        }
        Ok(())
    }

    fn step(&mut self, line: &Line) -> Result<()> {
        match &line.name[..] {
            "RUN" => self.run(line),
            "ADD" | "COPY" => self.copy(line),
            "ARG" => self.arg(line),
            "WORKDIR" => self.workdir(line),
            _ => self.describe(line),
        }
    }

    /// An instruction that changes the configuration and nothing else.
    fn describe(&mut self, line: &Line) -> Result<()> {
        let (config, said) = self.instructed(line)?;
        match &line.name[..] {
            "MAINTAINER" => self.author.clone_from(&line.rest),
            "CMD" => self.has_cmd = true,
            _ => {}
        }
        self.plain(config, &said, "")
    }

    fn instructed(&self, line: &Line) -> Result<(Config, String)> {
        let mut config = self.config.clone();
        let instruction = Instruction {
            name: &line.name,
            flags: &line.flags,
            rest: &line.rest,
            escape: self.escape,
            values: Some(&|name| self.value(name)),
        };
        let said = instruction.apply(&mut config)?;
        // The arguments of the base belong to the entrypoint of the base.
        if line.name == "ENTRYPOINT" && !self.has_cmd {
            config.cmd = None;
        }
        Ok((config, said))
    }

    fn arg(&mut self, line: &Line) -> Result<()> {
        let mut said = String::from("ARG");
        for word in words::split(&line.rest, self.escape) {
            let (name, value) = self.argument(&word, true)?;
            said.push_str(&format!(" {name}"));
            if let Some(value) = &value {
                said.push_str(&format!("={value}"));
            }
            self.args.declare(&name, value);
        }
        self.plain(self.config.clone(), &said, "")
    }

    fn plain(&mut self, config: Config, said: &str, key: &str) -> Result<()> {
        let shell = change::shell(&config).join(" ");
        self.make(&config, &format!("{shell} #(nop)  {said}"), key, None)
    }

    /// The next image, from the cache or new.
    fn make(
        &mut self,
        config: &Config,
        created_by: &str,
        key: &str,
        layer: Option<Make<'_>>,
    ) -> Result<()> {
        let author = self.author.clone();
        let step = Step {
            config,
            author: &author,
            created_by,
            key,
        };
        let images = &self.bench.engine.images;
        let cached = match self.uses_cache {
            true => images.cached(&self.built, &step),
            false => None,
        };
        self.uses_cache &= cached.is_some();
        self.built = match (cached, layer) {
            (Some(cached), _) => {
                self.report.say(" ---> Using cache\n")?;
                cached
            }
            (None, None) => images.build_step(&self.built, &step, None, &mut self.pending)?,
            (None, Some(make)) => {
                let (mut pending, base) = (std::mem::take(&mut self.pending), self.built.clone());
                images.settle(&mut pending)?;
                let mut made = None;
                make(self, &mut |layer| {
                    made = Some(images.build_step(&base, &step, Some(layer), &mut pending)?);
                    Ok(())
                })?;
                self.pending = pending;
                made.ok_or_else(|| Error::invalid("the step has made no layer"))?
            }
        };
        self.config = config.clone();
        Ok(())
    }

    fn run(&mut self, line: &Line) -> Result<()> {
        if self.built.id.is_empty() {
            return Err(Error::invalid(
                "Please provide a source image with `from` prior to run",
            ));
        }
        let mut host = self.bench.host(line, &|word| self.expand(word))?;
        let (mut words, key) = self.command(line, &mut host)?;
        let env = self.config.env.clone().unwrap_or_default();
        let (args, counted) = self.args.environment(&env);
        let mut said = words.join(" ");
        if !args.is_empty() {
            let count = counted.len();
            let list: String = counted.iter().map(|arg| format!("{arg} ")).collect();
            said = format!("|{count} {list}{said}");
        }
        let make: Make<'_> = &mut |builder, keep| {
            let image = builder.built.id.clone();
            let command = Command {
                image: &image,
                words: std::mem::take(&mut words),
                env: [&env[..], &args].concat(),
                host: std::mem::take(&mut host),
            };
            let engine = builder.bench.engine;
            builder.bench.run(command, builder.report, |container| {
                engine.read_changes(container, |layer| keep(layer))
            })
        };
        self.make(&self.config.clone(), &said, &key, Some(make))
    }

    /// The words that run, and what else tells this command from another.
    fn command(
        &self,
        line: &Line,
        host: &mut crate::wire::container::HostConfig,
    ) -> Result<(Vec<String>, String)> {
        let flags = line.flags.join(" ");
        if let Some(list) = change::list(&line.rest)? {
            return Ok((list, flags));
        }
        let mut text = line.rest.clone();
        if let [heredoc] = &line.heredocs[..]
            && dockerfile::heredoc(&line.rest).is_some()
        {
            text = heredoc.text();
            if text.starts_with("#!") {
                let place = self.bench.script(&heredoc.name, &text, host)?;
                return Ok((vec![place], flags + &text));
            }
        } else {
            // The shell knows them, too.
            for heredoc in &line.heredocs {
                text.push_str(&format!("\n{}{}", heredoc.content, heredoc.name));
            }
        }
        let mut words = change::shell(&self.config);
        words.push(text);
        Ok((words, flags))
    }

    fn workdir(&mut self, line: &Line) -> Result<()> {
        let (config, said) = self.instructed(line)?;
        let path = config.working_dir.clone().unwrap_or_default();
        let shell = change::shell(&config).join(" ");
        let make: Make<'_> =
            &mut |builder, keep| builder.write(&mut |root| copy::make_dirs(root, &path), keep);
        self.make(&config, &format!("{shell} #(nop) {said}"), "", Some(make))
    }

    fn copy(&mut self, line: &Line) -> Result<()> {
        let name = &line.name[..];
        let (words, dest) = self.operands(line)?;
        let from = self.expand(line.flag("from"))?;
        let chown = self.expand(line.flag("chown"))?;
        let mode = mode(&self.expand(line.flag("chmod"))?)?;
        for refused in ["exclude", "parents", "keep-git-dir", "unpack"] {
            if line.flags.iter().any(|flag| flag[2..].starts_with(refused)) {
                return Err(Error::unsupported(format!(
                    "{name} --{refused} is not supported"
                )));
            }
        }

        let view = match from.is_empty() {
            true => None,
            false => Some(self.source_view(&from)?),
        };
        let context = self.bench.context;
        let root = view.as_ref().map_or(context.root(), |view| &view.root);
        let mut sources = self.heredocs(line)?;
        let mut downloads = Vec::new();
        for word in &words {
            if let Some(staging) = self.sources(line, root, word, &dest, &mut sources)? {
                downloads.push(staging);
            }
        }
        if sources.is_empty() {
            return Err(Error::invalid(format!(
                "{name} failed: no source files were specified"
            )));
        }
        if sources.len() > 1 && !dest.ends_with('/') {
            return Err(Error::invalid(format!(
                "When using {name} with more than one source file, the destination must be a directory and end with a /"
            )));
        }

        // Without another owner the files of an image keep theirs.
        let keeps_owner = view.is_some() && chown.is_empty();
        let digests: Result<Vec<String>> = sources
            .iter()
            .map(|source| source.digest(keeps_owner))
            .collect();
        let digest = together(digests?);
        let shell = change::shell(&self.config).join(" ");
        let owner = match chown.is_empty() {
            true => String::new(),
            false => format!("--chown={chown}"),
        };
        let said = format!("{shell} #(nop) {name} {owner}{digest} in {dest} ");
        let workdir = self.config.working_dir.clone().unwrap_or_default();
        let make: Make<'_> = &mut |builder, keep| {
            let client = builder.report.client();
            let client = client
                .try_clone_to_owned()
                .map_err(|e| Error::io("dup", &e))?;
            let may_go_on = || super::report::check(client.as_fd());
            let mut write = |root: &OwnedFd| {
                let owner = match keeps_owner {
                    true => None,
                    false => Some(owner_in(root, &chown)?),
                };
                let target = Target {
                    root,
                    path: components(change::directory(&workdir, &dest).as_bytes()),
                    is_directory: dest.ends_with('/') || dest.ends_with("/.") || dest == ".",
                    owner,
                    mode,
                    unpacks: name == "ADD",
                    may_go_on: &may_go_on,
                };
                let copied = sources.iter().try_for_each(|source| source.copy(&target));
                copied.context(|| "failed to copy files")
            };
            builder.write(&mut write, keep)
        };
        let key = format!("{mode:?}");
        self.make(&self.config.clone(), &said, &key, Some(make))
    }

    /// What is to be copied, without here-documents, and where to.
    fn operands(&self, line: &Line) -> Result<(Vec<String>, String)> {
        let mut words = Vec::new();
        for word in dockerfile::arguments(line, self.escape)? {
            if line.heredocs.is_empty() || dockerfile::heredoc(&word).is_none() {
                words.push(self.expand(&word)?);
            }
        }
        match words.pop() {
            Some(dest) if !dest.is_empty() => Ok((words, dest)),
            _ => Err(Error::invalid(format!("{} needs a destination", line.name))),
        }
    }

    fn heredocs(&self, line: &Line) -> Result<Vec<Source>> {
        let source = |heredoc: &dockerfile::Heredoc| {
            let mut text = heredoc.text();
            if heredoc.expands {
                text = words::expand_text(&text, self.escape, &|name| self.value(name))?;
            }
            Ok(Source::text(&heredoc.name, text))
        };
        line.heredocs.iter().map(source).collect()
    }

    /// What a word means, behind the other `sources`; and where it was downloaded to.
    fn sources(
        &self,
        line: &Line,
        root: &OwnedFd,
        word: &str,
        dest: &str,
        sources: &mut Vec<Source>,
    ) -> Result<Option<Staging>> {
        let name = &line.name[..];
        let starts = |fronts: &[&str]| fronts.iter().any(|front| word.starts_with(front));
        let is_url = starts(&["http://", "https://"]);
        let path = word.split(['#', '?']).next().unwrap_or_default();
        let is_git = starts(&["git@", "git://", "ssh://"]) || is_url && path.ends_with(".git");
        let refused = match name {
            "ADD" if is_git => Some(Error::unsupported(format!(
                "git is not supported: clone {word} before the build"
            ))),
            "COPY" if is_url => Some(Error::invalid("source can't be a URL for COPY")),
            _ => None,
        };
        let failed = || format!("{name} failed");
        if let Some(error) = refused {
            return Err(error).context(failed);
        }
        if !is_url {
            let is_context = line.flag("from").is_empty();
            sources.extend(copy::find(root, word, is_context).context(failed)?);
            return Ok(None);
        }
        let checksum = self.expand(line.flag("checksum"))?;
        let found = super::base::download(&self.bench, word, &checksum, dest, self.report);
        let (staging, source) = found.context(failed)?;
        sources.push(source);
        Ok(Some(staging))
    }

    /// The files of a stage, by its name or number, or of an image.
    fn source_view(&mut self, from: &str) -> Result<Files> {
        let number = from.parse::<usize>().ok();
        let built = match number.and_then(|number| self.done.get(number)) {
            Some((_, built)) => built.clone(),
            None => {
                let based = self.base(from, &self.bench.request.platform.clone());
                based.context(|| format!("invalid from flag value {from}"))?
            }
        };
        self.bench.engine.images.settle(&mut self.pending)?;
        Files::of(&self.bench, &built.id)
    }

    /// Let `change` write into the files of the image so far, and `keep` have what came of it.
    fn write(&mut self, change: Change<'_>, keep: Keep<'_>) -> Result<()> {
        if !self.built.id.is_empty() {
            return self.bench.change(&self.built.id, change, keep);
        }
        let upper = Staging::new(self.bench.context.beside())?;
        change(&fs::open_dir(upper.path())?)?;
        keep(&mut Packer::new(
            fs::open_path(upper.path())?,
            b"",
            Form::Layer,
        )?)
    }
}

/// The files of an image, to read.
struct Files {
    root: OwnedFd,
    /// Where they are mounted, or copied to.
    _view: Option<View>,
    _copy: Option<Staging>,
}

impl Files {
    fn of(bench: &Bench<'_>, id: &str) -> Result<Files> {
        let place = Staging::new(bench.context.beside())?;
        let images = &bench.engine.images;
        if id.is_empty() || bench.engine.is_copying() {
            if !id.is_empty() {
                images.merge(id, place.path())?;
            }
            return Ok(Files {
                root: fs::open_dir(place.path())?,
                _view: None,
                _copy: Some(place),
            });
        }
        let layers = images.lower_dirs(id)?;
        let view = View::open(&Base::Layers(&layers), &[], place.path(), true)?;
        let root = view.root.try_clone();
        Ok(Files {
            root: root.map_err(|e| Error::io("dup", &e))?,
            _view: Some(view),
            _copy: Some(place),
        })
    }
}

/// Takes the archive of a layer.
pub type Keep<'a> = &'a mut dyn FnMut(&mut dyn Read) -> Result<()>;
pub type Change<'a> = &'a mut dyn FnMut(&OwnedFd) -> Result<()>;
/// Does what a step does, and gives its layer away.
type Make<'a> = &'a mut dyn FnMut(&mut Builder<'_, '_>, Keep<'_>) -> Result<()>;

/// Docker's way to tell several sources at once.
fn together(mut digests: Vec<String>) -> String {
    match digests.len() {
        1 => digests.remove(0),
        _ => {
            use sha2::{Digest, Sha256};
            format!("multi:{}", id::hex(&Sha256::digest(digests.join(","))))
        }
    }
}

/// `--chmod` in octal.
fn mode(text: &str) -> Result<Option<u32>> {
    if text.is_empty() {
        return Ok(None);
    }
    let mode = u32::from_str_radix(text, 8).ok();
    match mode.filter(|mode| *mode <= 0o7777 && !text.starts_with('+')) {
        Some(mode) => Ok(Some(mode)),
        None => Err(Error::invalid(format!(
            "Error parsing chmod: invalid mode {text:?}, it should be octal, such as 755"
        ))),
    }
}

/// `USER[:GROUP]` by the files of the image; a user alone stands for a group of the same name.
fn owner_in(root: &OwnedFd, chown: &str) -> Result<(u32, u32)> {
    if chown.is_empty() {
        return Ok((0, 0));
    }
    let both = match chown.contains(':') {
        true => chown.to_string(),
        false => format!("{chown}:{chown}"),
    };
    let user = User {
        username: Some(both),
        ..User::default()
    };
    let found = user::resolve_in(root.as_fd(), &user);
    let found = found.context(|| "unable to convert uid/gid chown string to host mapping")?;
    Ok((found.ids.uid, found.ids.gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str, target: &str) -> Result<Plan> {
        let request = Request {
            target: target.to_string(),
            labels: [("l".to_string(), "a \"b\" $c \\".to_string())].into(),
            ..Request::default()
        };
        Plan::new(text.as_bytes(), &request)
    }

    #[test]
    fn a_dockerfile_has_stages_up_to_the_target() {
        let text = "ARG x\nFROM a AS One\nRUN b\nFROM c\nCMD d\n";
        let count = |target: &str| plan(text, target).unwrap().count();
        assert_eq!(
            (count(""), count("one"), count("0"), count("1")),
            (6, 4, 4, 6)
        );
        for (text, target, message) in [
            (text, "two", "target stage \"two\" could not be found"),
            (text, "2", "target stage \"2\" could not be found"),
            ("RUN x", "", "no build stage in current context"),
            ("ARG x", "", "no build stage in current context"),
        ] {
            let error = plan(text, target).err().unwrap().to_string();
            assert_eq!(error, message);
        }
    }

    #[test]
    fn a_label_of_the_command_line_is_taken_as_it_is() {
        let line = plan("FROM a", "").unwrap().stages[0].lines[0].clone();
        assert_eq!(line.original, "LABEL l=a \"b\" $c \\");
        let mut config = Config::default();
        let instruction = Instruction {
            name: "LABEL",
            flags: &[],
            rest: &line.rest,
            escape: '\\',
            values: Some(&|_| None),
        };
        instruction.apply(&mut config).unwrap();
        assert_eq!(config.labels.unwrap()["l"], "a \"b\" $c \\");
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(mode("").unwrap(), None);
        assert_eq!(mode("0755").unwrap(), Some(0o755));
        for text in ["888", "u+x", "+7", "17777", "-1"] {
            assert!(mode(text).is_err(), "{text}");
        }
    }
}
