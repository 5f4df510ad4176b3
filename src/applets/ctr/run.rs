//! `tug ctr run` and `tasks start`: a container from its image to its shim, without an engine.
//!
//! The engine's rooms are open only until the container runs, and in a process of their own; what
//! follows is between the user, the streams and the shim. So an engine may start at any moment
//! after, and finds the container.

use super::streams::{self, Session};
use super::{Ctr, GLOBAL};
use crate::applets::client::create::{self, Create};
use crate::applets::client::options::{Flag, Options, Tables, flag};
use crate::applets::client::print;
use crate::engine::Engine;
use crate::engine::container::{Container, Phase};
use crate::engine::remove::Removal;
use crate::error::{Error, Kind, Result};
use crate::json;
use crate::shim::client::{self, Attach};
use crate::shim::exit;
use crate::shim::message::Reply;
use crate::sys::init::{self, Split};
use crate::sys::{socket, terminal};
use crate::wire::container::{CreateRequest, Placement};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

pub const DETACH: &[Flag] = &[flag("-d, --detach", "Do not stay with it")];
pub const FLAGS: Tables = &[DETACH, create::FLAGS, GLOBAL];

/// How long the removal of a container with --rm may take.
const REMOVAL: Duration = Duration::from_secs(30);

/// What starts a container, as the engine: answers its id.
type Starter<'a> = &'a dyn Fn(&Arc<Engine>, Option<BorrowedFd<'_>>) -> Result<String>;

pub fn run(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    // containerd's order: the image, then the name.
    let name = options.args.remove(1);
    // What Docker's client does beside the request.
    for option in ["name", "cidfile", "pull", "platform"] {
        if options.get(option).is_some() {
            let sentence = format!("ctr run knows no --{option}, see tug ctr run --help");
            return Err(Error::new(Kind::Usage, sentence));
        }
    }
    let mut create = create::request(options)?;
    let is_detached = options.is("detach");
    let tty = create.config.tty == Some(true);
    let size = terminal::size(std::io::stdout()).filter(|_| tty && !is_detached);
    if let Some((height, width)) = size {
        create.host.console_size = Some(vec![height.into(), width.into()]);
    }
    let stdin = create.config.open_stdin == Some(true);
    let starter = |engine: &Arc<Engine>, client: Option<BorrowedFd<'_>>| {
        let created = engine.create(Some(&name), request(&create))?;
        for warning in created.warnings.unwrap_or_default() {
            print::err(format!("WARNING: {warning}\n"))?;
        }
        let id = created.id.unwrap_or_default();
        launch(engine, &*engine.find(&id)?, client, stdin)?;
        engine.start(&engine.find(&id)?)?;
        Ok(id)
    };
    let removes = create.host.auto_remove == Some(true);
    follow(ctr, &starter, is_detached, tty, stdin, removes).map_err(create::run_error)
}

fn request(create: &Create) -> CreateRequest {
    CreateRequest {
        config: create.config.clone(),
        placement: Placement {
            host_config: Some(create.host.clone()),
            networking_config: None,
        },
        ..CreateRequest::default()
    }
}

pub fn start(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let name = options.args[0].clone();
    let config = ctr.asked(&ctr.find(&name)?).and_then(|asked| asked.config);
    let config = config.unwrap_or_default();
    let stdin = config.open_stdin == Some(true);
    let starter = |engine: &Arc<Engine>, client: Option<BorrowedFd<'_>>| {
        let container = engine.find(&name)?;
        launch(engine, &container, client, stdin)?;
        engine.start(&container)?;
        Ok(container.id.clone())
    };
    let tty = config.tty == Some(true);
    follow(ctr, &starter, options.is("detach"), tty, stdin, false)
}

/// Join the user's streams before the start, so that nothing is missed.
fn launch(
    engine: &Engine,
    container: &Container,
    client: Option<BorrowedFd<'_>>,
    stdin: bool,
) -> Result<()> {
    let Some(client) = client else {
        return Ok(());
    };
    let attach = Attach {
        stdin,
        stdout: true,
        stderr: true,
        ..Default::default()
    };
    engine.attach(container, attach, client)
}

/// Start it and, unless detached, stay with it until its end; answers its exit code.
fn follow(
    ctr: &Ctr,
    starter: Starter<'_>,
    is_detached: bool,
    tty: bool,
    stdin: bool,
    removes: bool,
) -> Result<u8> {
    if is_detached {
        let id = ctr.as_engine("run", |engine| starter(engine, None))?;
        print::line(&id)?;
        return Ok(0);
    }
    let (ours, theirs) = socket::pair()?;
    let guard = streams::guard(true, tty && stdin)?;
    let id = apart(theirs, &|client| {
        ctr.as_engine("run", |engine| starter(engine, Some(client)))
    })?;

    let run_dir = ctr.run_dir(&id);
    let code = match client::connect(&run_dir) {
        Ok(shim) => {
            let session = Session {
                shim: &shim,
                exec: None,
                tty,
                stdin,
            };
            session.carry(&guard, ours)?;
            super::tasks::exit_code(&run_dir, &shim)?
        }
        // It has ended already, and what it said waits in the socket.
        Err(error) if error.kind == Kind::Gone => {
            let mut output = crate::applets::client::pump::Output::new(tty);
            let mut said = Vec::new();
            let _ = std::fs::File::from(ours).read_to_end(&mut said);
            output.write(&said)?;
            exit::read(&run_dir)?.map_or(255, |exit| exit.code)
        }
        Err(error) => return Err(error),
    };
    drop(guard);
    if removes {
        remove(ctr, &id)?;
    }
    Ok(u8::try_from(code).unwrap_or(255))
}

/// Do `work` in a process of its own, so that its threads, its lock and its records end with it.
fn apart(client: OwnedFd, work: &dyn Fn(BorrowedFd<'_>) -> Result<String>) -> Result<String> {
    let (ours, theirs) = socket::pair()?;
    match init::split()? {
        Split::Child => {
            drop(ours);
            let reply = match work(client.as_fd()) {
                Ok(id) => Reply {
                    id: Some(id),
                    ..Default::default()
                },
                Err(error) => Reply::error(&error),
            };
            let _ = std::fs::File::from(theirs).write_all(json::to_string(&reply).as_bytes());
            std::process::exit(0)
        }
        Split::Parent { .. } => {
            drop((theirs, client));
            let mut text = String::new();
            std::fs::File::from(ours)
                .read_to_string(&mut text)
                .map_err(|e| Error::io("read from the process that starts it", &e))?;
            let reply: Reply = json::parse(&text, "answer of the process that starts it")?;
            Ok(reply.into_result()?.id.unwrap_or_default())
        }
    }
}

/// A container with --rm: whoever is the engine then removes it.
fn remove(ctr: &Ctr, id: &str) -> Result<()> {
    let removed = ctr.as_engine("rm", |engine| {
        let Ok(container) = engine.find(id) else {
            return Ok(());
        };
        // Recovery may be at it already.
        let _ = engine.remove(&container, Removal::default());
        let is_gone = container.wait_until(&|s| s.phase == Phase::Removed, None, Some(REMOVAL))?;
        match is_gone {
            true => Ok(()),
            false => Err(Error::conflict(format!(
                "container {id} is not removed yet"
            ))),
        }
    });
    match removed {
        // An engine has come meanwhile.
        Err(error) if error.message.starts_with("an engine is at work here") => Ok(()),
        other => other,
    }
}
