//! A server that a test scripts: a closure answers each request, truthfully or not.
//!
//! Nothing but std, since the unit tests of `src/registry` use this file too.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Heard {
    pub method: String,
    pub target: String,
    /// Start line and headers.
    pub head: String,
    pub body: Vec<u8>,
}

impl Heard {
    pub fn header(&self, name: &str) -> Option<String> {
        self.head.lines().skip(1).find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_string())
        })
    }
}

/// What is sent; afterwards the connection is closed, unless the answer is complete by its
/// Content-Length.
pub struct Reply {
    pub bytes: Vec<u8>,
    pub then: Then,
}

pub enum Then {
    Close,
    /// Zeros for ever.
    Endless,
    /// Nothing for ever.
    Silence,
    /// These, a megabyte each 200 ms, and after eleven of them one a second.
    Slowly(Vec<u8>),
}

/// A whole answer, kept alive. `headers` are lines that end with `\r\n`.
pub fn reply(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Reply {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status} x\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    raw([head.as_bytes(), body].concat())
}

/// These very bytes.
pub fn raw(bytes: impl Into<Vec<u8>>) -> Reply {
    Reply {
        bytes: bytes.into(),
        then: Then::Close,
    }
}

pub trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// Makes of a connection what requests are read from: TLS, perhaps. `None` ends it.
pub type Accept = Box<dyn Fn(TcpStream) -> Option<Box<dyn Wire>> + Send + Sync>;

pub struct Liar {
    pub port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Liar {
    pub fn start(answer: impl Fn(&Heard) -> Reply + Send + Sync + 'static) -> Liar {
        Liar::start_with(Box::new(|stream| Some(Box::new(stream))), answer)
    }

    pub fn start_with(
        accept: Accept,
        answer: impl Fn(&Heard) -> Reply + Send + Sync + 'static,
    ) -> Liar {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let (all, over) = (Arc::clone(&heard), Arc::clone(&is_over));
        let shared = Arc::new((accept, answer));
        let thread = std::thread::spawn(move || {
            let mut threads = Vec::new();
            while let Ok((stream, _)) = listener.accept() {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                // So that each thread notices the end soon.
                stream
                    .set_read_timeout(Some(Duration::from_millis(50)))
                    .unwrap();
                let (all, over, shared) =
                    (Arc::clone(&all), Arc::clone(&over), Arc::clone(&shared));
                threads.push(std::thread::spawn(move || {
                    if let Some(mut wire) = shared.0(stream) {
                        while serve(&mut *wire, &all, &over, &shared.1).is_some() {}
                    }
                }));
            }
            for thread in threads {
                let _ = thread.join();
            }
        });
        Liar {
            port,
            heard,
            is_over,
            thread: Some(thread),
        }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// All requests so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// `METHOD TARGET` of each.
    pub fn lines(&self) -> Vec<String> {
        let heard = self.heard();
        heard
            .iter()
            .map(|h| format!("{} {}", h.method, h.target))
            .collect()
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One request; `None` when the connection is over.
fn serve(
    wire: &mut dyn Wire,
    all: &Mutex<Vec<Heard>>,
    over: &AtomicBool,
    answer: &(dyn Fn(&Heard) -> Reply + Send + Sync),
) -> Option<()> {
    let heard = hear(wire, over)?;
    all.lock().unwrap().push(heard.clone());
    let reply = answer(&heard);
    wire.write_all(&reply.bytes).ok()?;
    wire.flush().ok()?;
    match reply.then {
        Then::Close | Then::Slowly(_) => {}
        Then::Endless => {
            while !over.load(Ordering::SeqCst) && wire.write_all(&[0; 4096]).is_ok() {}
        }
        Then::Silence => {
            while !over.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
    if let Then::Slowly(bytes) = &reply.then {
        for (n, piece) in bytes.chunks(1_000_000).enumerate() {
            wire.write_all(piece).ok()?;
            let pause = if n < 11 { 200 } else { 1000 };
            std::thread::sleep(Duration::from_millis(pause));
        }
    }
    let text = String::from_utf8_lossy(&reply.bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))?;
    (heard.method == "HEAD" || length.parse() == Ok(body.len())).then_some(())
}

fn hear(wire: &mut dyn Wire, over: &AtomicBool) -> Option<Heard> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(byte(wire, over)?);
        // The beginning of TLS, which it does not speak.
        if !head[0].is_ascii_uppercase() {
            return None;
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split(' ').map(str::to_string);
    let mut heard = Heard {
        method: words.next()?,
        target: words.next()?,
        head,
        body: Vec::new(),
    };
    let length: usize = heard
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    for _ in 0..length {
        heard.body.push(byte(wire, over)?);
    }
    if heard.header("transfer-encoding").is_some() {
        loop {
            let mut line = String::new();
            while !line.ends_with("\r\n") {
                line.push(char::from(byte(wire, over)?));
            }
            let count = usize::from_str_radix(line.trim(), 16).unwrap();
            for at in 0..count + 2 {
                let byte = byte(wire, over)?;
                if at < count {
                    heard.body.push(byte);
                }
            }
            if count == 0 {
                break;
            }
        }
    }
    Some(heard)
}

fn byte(wire: &mut dyn Wire, over: &AtomicBool) -> Option<u8> {
    let mut byte = [0];
    loop {
        match wire.read(&mut byte) {
            Ok(1) => return Some(byte[0]),
            Err(e)
                if e.kind() == std::io::ErrorKind::WouldBlock && !over.load(Ordering::SeqCst) => {}
            _ => return None,
        }
    }
}
