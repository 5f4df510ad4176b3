//! Exec: further commands in a running container.

use crate::api::containers::size;
use crate::api::streams::stream_type;
use crate::api::{Call, Reply};
use crate::error::{Error, Result};
use crate::json::{self, object};
use crate::shim::client::Attach;
use crate::wire::exec::{CreateRequest, StartRequest};
use crate::wire::stdcopy;
use std::io::Write;

pub fn create(call: &mut Call<'_>) -> Result<Reply> {
    let request: CreateRequest = call.body()?;
    let container = call.container()?;
    Reply::json(201, &call.engine.exec_create(&container, request)?)
}

pub fn start(call: &mut Call<'_>) -> Result<Reply> {
    let start: StartRequest = call.body()?;
    let ready = call.engine.exec_ready(&call.name, &start)?;
    if start.detach == Some(true) {
        call.engine.exec_start(&ready, None)?;
        return Ok(Reply::Status(200));
    }

    let terminal = ready.request.tty == Some(true);
    let leftover = call
        .connection
        .upgrade(&call.request, stream_type(terminal, &call.request))?;
    let wants = |flag: Option<bool>| flag == Some(true);
    let attach = Attach {
        stdin: wants(ready.request.attach_stdin),
        stdout: wants(ready.request.attach_stdout),
        stderr: wants(ready.request.attach_stderr),
        detach_keys: ready.request.detach_keys.clone(),
        leftover,
        log: None,
    };
    let client = call.connection.fd();
    if let Err(error) = call.engine.exec_start(&ready, Some((attach, client))) {
        // HTTP is over: like Docker, tell it where the output would have been.
        tell(client, terminal, &error);
    }
    Ok(Reply::Close)
}

fn tell(client: std::os::fd::BorrowedFd<'_>, terminal: bool, error: &Error) {
    let text = format!("{}\r\n", error.message);
    let mut message = Vec::new();
    if !terminal {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        message.extend(stdcopy::header(stdcopy::Stream::Stdout, length));
    }
    message.extend_from_slice(text.as_bytes());
    if let Ok(fd) = client.try_clone_to_owned() {
        let _ = std::fs::File::from(fd).write_all(&message);
    }
}

pub fn resize(call: &mut Call<'_>) -> Result<Reply> {
    let (height, width) = size(call)?;
    call.engine.exec_resize(&call.name, height, width)?;
    Ok(Reply::Status(200))
}

pub fn inspect(call: &mut Call<'_>) -> Result<Reply> {
    let inspect = json::to_string(&call.engine.exec_inspect(&call.name)?);
    // While there is no code yet, clients look the member up all the same.
    let text = object::complete(&inspect, &[("ExitCode", "null")]);
    Ok(Reply::Json(200, text))
}
