//! What `scripts/bench proxy` measures with: a server, its clients, and the floor below every proxy,
//! which is a loop around splice(2).
//!
//! ```text
//! floor splice LISTEN TARGET      accept, connect, splice both ways: nothing else, no error is met
//! floor serve ADDRESS             a client's first byte says what: e, send all back; d, discard it
//! floor stream ADDRESS SECONDS    Gbit/s through one connection
//! floor connect ADDRESS SECONDS   connections a second, each with a byte there and back
//! floor ping ADDRESS SECONDS      microseconds for 64 bytes there and back, the median
//! floor idle ADDRESS COUNT        so many connections, a byte there and back on each; waits for input
//! floor ports COUNT TARGET PROGRAM...   run it with so many listening sockets, as tug's shim does
//! ```

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags};
use std::io::{Error, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

const CHUNK: usize = 1 << 17;

pub fn run(args: &[&str]) -> Option<Result<()>> {
    let time = |seconds: &str| {
        seconds
            .parse()
            .map(Duration::from_secs)
            .map_err(Error::other)
    };
    Some(match args {
        ["splice", listen, target] => splice(listen, target),
        ["serve", address] => serve(address),
        ["stream", address, seconds] => time(seconds).and_then(|time| stream(address, time)),
        ["connect", address, seconds] => time(seconds).and_then(|time| connect(address, time)),
        ["ping", address, seconds] => time(seconds).and_then(|time| ping(address, time)),
        ["idle", address, count] => idle(address, count),
        ["ports", count, target, program @ ..] => ports(count, target, program),
        _ => return None,
    })
}

/// A loop over what is ready; `act` answers whether the thing of this number is over.
struct Loop {
    epoll: OwnedFd,
    events: Vec<Event>,
}

const LISTENER: u64 = u64::MAX;

impl Loop {
    fn new(listener: &TcpListener) -> Result<Loop> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            listener,
            EventData::new_u64(LISTENER),
            EventFlags::IN,
        )?;
        let events = Vec::with_capacity(64);
        Ok(Loop { epoll, events })
    }

    fn add(&self, stream: impl AsFd, number: u64, flags: EventFlags) -> Result<()> {
        Ok(epoll::add(
            &self.epoll,
            stream,
            EventData::new_u64(number),
            flags,
        )?)
    }

    fn wait(&mut self) -> Result<Vec<u64>> {
        self.events.clear();
        epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut self.events),
            None,
        )?;
        Ok(self.events.iter().map(|event| event.data.u64()).collect())
    }
}

/// The first free place of a list.
fn place<T>(list: &mut Vec<Option<T>>) -> usize {
    let free = list.iter().position(Option::is_none);
    free.unwrap_or_else(|| {
        list.push(None);
        list.len() - 1
    })
}

/// Two sockets, a pipe for each way, and whether that has ended.
struct Pair {
    ends: [TcpStream; 2],
    pipes: [(OwnedFd, OwnedFd); 2],
    over: [bool; 2],
}

fn splice(listen: &str, target: &str) -> Result<()> {
    let listener = TcpListener::bind(listen)?;
    let mut ready = Loop::new(&listener)?;
    let mut pairs: Vec<Option<Pair>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    loop {
        for number in ready.wait()? {
            if number == LISTENER {
                let (client, _) = listener.accept()?;
                let ends = [client, TcpStream::connect(target)?];
                let at = free.pop().unwrap_or(pairs.len());
                for end in &ends {
                    end.set_nonblocking(true)?;
                    end.set_nodelay(true)?;
                    ready.add(
                        end,
                        at as u64,
                        EventFlags::IN | EventFlags::OUT | EventFlags::ET,
                    )?;
                }
                let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
                let pair = Some(Pair {
                    ends,
                    pipes: [pipe()?, pipe()?],
                    over: [false; 2],
                });
                match pairs.get_mut(at) {
                    Some(slot) => *slot = pair,
                    None => pairs.push(pair),
                }
                continue;
            }
            let at = number as usize;
            let Some(slot) = pairs.get_mut(at) else {
                continue;
            };
            if let Some(pair) = slot {
                let [one, other] = &pair.ends;
                for (way, (from, to)) in [(one, other), (other, one)].into_iter().enumerate() {
                    if !pair.over[way] {
                        pair.over[way] = carry(from, to, &pair.pipes[way])?;
                    }
                }
                if pair.over == [true; 2] {
                    *slot = None;
                    free.push(at);
                }
            }
        }
    }
}

fn carry(from: &TcpStream, to: &TcpStream, (out, into): &(OwnedFd, OwnedFd)) -> Result<bool> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        let read = rustix::pipe::splice(from, None, into, None, 1 << 20, flags);
        let written = rustix::pipe::splice(out, None, to, None, 1 << 20, flags);
        match (read, written) {
            (Ok(0), _) => {
                to.shutdown(std::net::Shutdown::Write)?;
                return Ok(true);
            }
            (Err(Errno::AGAIN), Err(Errno::AGAIN)) => return Ok(false),
            (Err(Errno::AGAIN) | Ok(_), Err(Errno::AGAIN) | Ok(_)) => {}
            _ => return Ok(true),
        }
    }
}

fn serve(address: &str) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    let mut ready = Loop::new(&listener)?;
    // With what the client has said it wants.
    let mut clients: Vec<Option<(TcpStream, u8)>> = Vec::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        for number in ready.wait()? {
            if number == LISTENER {
                let (client, _) = listener.accept()?;
                client.set_nodelay(true)?;
                let at = place(&mut clients);
                ready.add(&client, at as u64, EventFlags::IN)?;
                clients[at] = Some((client, 0));
                continue;
            }
            let slot = &mut clients[number as usize];
            let Some((client, wish)) = slot else {
                continue;
            };
            let count = client.read(&mut buffer).unwrap_or(0);
            if *wish == 0 && count > 0 {
                *wish = buffer[0];
            }
            if count == 0 || *wish == b'e' && client.write_all(&buffer[..count]).is_err() {
                *slot = None;
            }
        }
    }
}

fn client(address: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn say(text: std::fmt::Arguments<'_>) -> Result<()> {
    writeln!(std::io::stdout(), "{text}")
}

fn stream(address: &str, time: Duration) -> Result<()> {
    let mut stream = client(address)?;
    let bytes = vec![b'd'; CHUNK];
    let begin = Instant::now();
    let mut sent = 0;
    while begin.elapsed() < time {
        stream.write_all(&bytes)?;
        sent += bytes.len();
    }
    let rate = sent as f64 * 8.0 / begin.elapsed().as_secs_f64() / 1e9;
    say(format_args!("{rate:.2}"))
}

fn connect(address: &str, time: Duration) -> Result<()> {
    let begin = Instant::now();
    let mut count = 0u32;
    while begin.elapsed() < time {
        let mut stream = client(address)?;
        stream.write_all(b"e")?;
        stream.read_exact(&mut [0])?;
        count += 1;
    }
    say(format_args!(
        "{:.0}",
        f64::from(count) / begin.elapsed().as_secs_f64()
    ))
}

fn ping(address: &str, time: Duration) -> Result<()> {
    let mut stream = client(address)?;
    let mut buffer = [b'e'; 64];
    let mut took = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < time {
        let from = Instant::now();
        stream.write_all(&buffer)?;
        stream.read_exact(&mut buffer)?;
        took.push(from.elapsed().as_nanos());
    }
    took.sort_unstable();
    say(format_args!("{:.1}", took[took.len() / 2] as f64 / 1e3))
}

fn idle(address: &str, count: &str) -> Result<()> {
    let count: usize = count.parse().map_err(Error::other)?;
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = client(address)?;
        stream.write_all(b"e")?;
        stream.read_exact(&mut [0])?;
        streams.push(stream);
    }
    say(format_args!("ready"))?;
    std::io::stdin().read(&mut [0]).map(drop)
}

/// The list on its standard input is a file without a name.
fn ports(count: &str, target: &str, program: &[&str]) -> Result<()> {
    let count: usize = count.parse().map_err(Error::other)?;
    let mut list = String::new();
    let mut sockets = Vec::new();
    for _ in 0..count {
        let socket = TcpListener::bind("127.0.0.1:0")?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty())?;
        list.push_str(&format!("{} tcp {target}\n", socket.as_raw_fd()));
        sockets.push(socket);
    }
    let file = rustix::fs::memfd_create("list", rustix::fs::MemfdFlags::CLOEXEC)?;
    rustix::io::pwrite(&file, list.as_bytes(), 0)?;
    if let Some(first) = sockets.first() {
        // Where to reach the first of them.
        say(format_args!("{}", first.local_addr()?))?;
    }
    let mut command = Command::new(program.first().copied().unwrap_or_default());
    command.args(program.get(1..).unwrap_or_default());
    Err(command.stdin(file).exec())
}
