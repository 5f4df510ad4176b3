//! exec: further commands in a running container.

use crate::engine::container::{Container, Exec, ExecPhase};
use crate::engine::start::{running, running_shim};
use crate::engine::{Engine, links, spec};
use crate::error::{Error, Kind, Result};
use crate::id;
use crate::shim::client::{self, Attach};
use crate::wire::exec::{CreateRequest, CreateResponse, Inspect, ProcessConfig, StartRequest};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

/// Ended execs that each container remembers, for those who ask how they ended.
const ENDED_KEPT: usize = 32;

/// What `start` learns of an exec before the client is handed over.
pub struct Ready {
    container: Arc<Container>,
    pub request: CreateRequest,
    id: String,
}

impl Engine {
    pub fn exec_create(
        &self,
        container: &Container,
        request: CreateRequest,
    ) -> Result<CreateResponse> {
        let command = request.cmd.clone().unwrap_or_default();
        if command.is_empty() {
            return Err(Error::invalid("No exec command specified"));
        }
        if let Some(keys) = &request.detach_keys {
            crate::shim::keys::parse(keys)?;
        }
        let id = id::random()?;
        {
            let mut state = container.lock();
            running(&container.id, &state)?;
            let is_ended = |exec: &Exec| matches!(exec.phase, ExecPhase::Exited(_));
            if state.execs.iter().filter(|exec| is_ended(exec)).count() >= ENDED_KEPT
                && let Some(oldest) = state.execs.iter().position(is_ended)
            {
                state.execs.remove(oldest);
            }
            state.execs.push(Exec {
                id: id.clone(),
                request,
                phase: ExecPhase::Created,
                pid: 0,
            });
        }
        let action = format!("exec_create: {}", command.join(" "));
        self.tell(container, &action, &[("execID", &id)]);
        Ok(CreateResponse { id: Some(id) })
    }

    /// Check that the exec can start, while an error can still be an answer of its own.
    pub fn exec_ready(&self, id: &str, start: &StartRequest) -> Result<Ready> {
        let container = self.exec_container(id)?;
        let mut state = container.lock();
        running(&container.id, &state)?;
        let Some(exec) = state.execs.iter_mut().find(|exec| exec.id == id) else {
            return Err(unknown(id));
        };
        match exec.phase {
            ExecPhase::Created => exec.phase = ExecPhase::Running,
            ExecPhase::Running => {
                return Err(Error::conflict(format!(
                    "exec command {id} is already running"
                )));
            }
            ExecPhase::Exited(_) => {
                return Err(Error::conflict(format!(
                    "exec command {id} has already run"
                )));
            }
        }
        if start.console_size.is_some() {
            exec.request.console_size.clone_from(&start.console_size);
        }
        let request = exec.request.clone();
        drop(state);
        Ok(Ready {
            container,
            request,
            id: id.to_string(),
        })
    }

    /// Run it. With a client its connection is handed over.
    pub fn exec_start(
        &self,
        ready: &Ready,
        client: Option<(Attach, BorrowedFd<'_>)>,
    ) -> Result<()> {
        let Ready {
            container,
            request,
            id,
        } = ready;
        let (attach, connection) = client.unzip();
        let mut process = spec::exec_process(container, request, &self.options);
        let links = self.links(container).unwrap_or_default();
        links::add_variables(container, &links, &mut process.env);
        let exec = client::Exec {
            id: id.clone(),
            process,
            attach,
        };
        let action = format!(
            "exec_start: {}",
            request.cmd.clone().unwrap_or_default().join(" ")
        );
        self.tell(container, &action, &[("execID", id)]);
        let started = running_shim(container).and_then(|shim| shim.exec(exec, connection));
        match started {
            Ok(pid) => {
                container.update(|state| {
                    let found = state.execs.iter_mut().find(|exec| exec.id == *id);
                    if let Some(exec) = found {
                        exec.pid = pid;
                    }
                });
                Ok(())
            }
            Err(error) => {
                let code = match error.kind {
                    Kind::ProgramMissing => 127,
                    _ => 126,
                };
                self.exec_ended(container, id, code);
                Err(error)
            }
        }
    }

    /// Record the end of an exec, once.
    pub(super) fn exec_ended(&self, container: &Container, id: &str, code: i32) {
        let mut is_news = false;
        container.update(|state| {
            let found = state.execs.iter_mut().find(|exec| exec.id == id);
            if let Some(exec) = found
                && !matches!(exec.phase, ExecPhase::Exited(_))
            {
                exec.phase = ExecPhase::Exited(code);
                is_news = true;
            }
        });
        if is_news {
            let code = code.to_string();
            self.tell(
                container,
                "exec_die",
                &[("execID", id), ("exitCode", &code)],
            );
        }
    }

    pub fn exec_inspect(&self, id: &str) -> Result<Inspect> {
        let container = self.exec_container(id)?;
        self.exec_refresh(&container, id);
        let state = container.lock();
        let Some(exec) = state.execs.iter().find(|exec| exec.id == id) else {
            return Err(unknown(id));
        };
        let request = &exec.request;
        let mut command = request.cmd.clone().unwrap_or_default().into_iter();
        let code = match exec.phase {
            ExecPhase::Exited(code) => Some(code.into()),
            _ => None,
        };
        Ok(Inspect {
            id: Some(id.to_string()),
            running: Some(exec.phase == ExecPhase::Running),
            exit_code: code,
            process_config: Some(ProcessConfig {
                tty: Some(request.tty == Some(true)),
                entrypoint: command.next(),
                arguments: Some(command.collect()),
                privileged: Some(request.privileged == Some(true)),
                user: request.user.clone().filter(|user| !user.is_empty()),
            }),
            open_stdin: Some(request.attach_stdin == Some(true)),
            open_stderr: Some(request.attach_stderr == Some(true)),
            open_stdout: Some(request.attach_stdout == Some(true)),
            can_remove: Some(code.is_some()),
            container_id: Some(container.id.clone()),
            detach_keys: Some(request.detach_keys.clone().unwrap_or_default()),
            pid: Some(exec.pid),
        })
    }

    pub fn exec_resize(&self, id: &str, height: u16, width: u16) -> Result<()> {
        let container = self.exec_container(id)?;
        running_shim(&container)?.resize(Some(id), height, width)
    }

    /// A client asks for the exit code as soon as its stream has ended, which can be before the
    /// watcher has heard of it: ask the shim.
    fn exec_refresh(&self, container: &Container, id: &str) {
        let is_running = |state: &crate::engine::container::State| {
            let mut execs = state.execs.iter();
            execs.any(|exec| exec.id == id && exec.phase == ExecPhase::Running)
        };
        let shim = {
            let state = container.lock();
            state.shim.clone().filter(|_| is_running(&state))
        };
        let Some(shim) = shim else { return };
        match shim.exec_state(id) {
            Ok(found) => {
                if let Some(code) = found.exit_code.filter(|_| !found.running) {
                    self.exec_ended(container, id, code);
                }
            }
            // The container ended too, and its shim left: its last words are on their way to the
            // watcher.
            Err(error) if error.kind == Kind::Gone => {
                let settled = |state: &crate::engine::container::State| !is_running(state);
                let _ = container.wait_until(&settled, None, Some(Duration::from_secs(1)));
            }
            Err(_) => {}
        }
    }

    /// The container of an exec. One that was started before this engine was is known to the
    /// container's shim.
    fn exec_container(&self, id: &str) -> Result<Arc<Container>> {
        let containers = self.containers();
        let known = |container: &&Arc<Container>| {
            let state = container.lock();
            state.execs.iter().any(|exec| exec.id == id)
        };
        if let Some(container) = containers.iter().find(known) {
            return Ok(Arc::clone(container));
        }
        if !id::is_full(id) {
            return Err(unknown(id));
        }
        for container in &containers {
            let Ok(shim) = running_shim(container) else {
                continue;
            };
            let Ok(found) = shim.exec_state(id) else {
                continue;
            };
            container.update(|state| {
                state.execs.push(Exec {
                    id: id.to_string(),
                    request: CreateRequest::default(),
                    phase: match found.exit_code.filter(|_| !found.running) {
                        Some(code) => ExecPhase::Exited(code),
                        None => ExecPhase::Running,
                    },
                    pid: found.pid,
                });
            });
            return Ok(Arc::clone(container));
        }
        Err(unknown(id))
    }
}

fn unknown(id: &str) -> Error {
    Error::not_found(format!("No such exec instance: {id}"))
}

/// For a container that has ended: nothing runs in it any more.
pub(super) fn end_all(engine: &Engine, container: &Container) {
    let running: Vec<String> = {
        let state = container.lock();
        let execs = state.execs.iter();
        execs
            .filter(|exec| exec.phase == ExecPhase::Running)
            .map(|exec| exec.id.clone())
            .collect()
    };
    for id in running {
        engine.exec_ended(container, &id, 137);
    }
    // Those that never started never will.
    container
        .lock()
        .execs
        .retain(|exec| exec.phase != ExecPhase::Created);
}
