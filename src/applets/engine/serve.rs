//! The engine's loop: connections come in, their requests get a thread each, signals end it.

use super::heartbeat;
use super::listen::Listener;
use crate::api::{self, Api};
use crate::engine::{Engine, watch};
use crate::error::Result;
use crate::http::lobby::{Door, Lobby};
use crate::http::pump::Pumps;
use crate::http::server::Connection;
use crate::shim::client;
use crate::sys::{memory, signal, socket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The token of the signals; the listeners have theirs behind it.
const SIGNALS: u64 = 0;

/// After so long without a request the engine makes itself small.
const REST: Duration = Duration::from_secs(1);

/// How much is served at a time.
struct Limits {
    /// Requests, a small thread each; those beyond it are told to come again.
    requests: usize,
    /// Those of them that only look on (see `Api`).
    onlookers: usize,
    /// Connections without a request.
    idle: usize,
}

impl Limits {
    /// Half of the descriptors that we may have are for connections, a quarter for what their
    /// requests open; the rest is the engine's own.
    fn new(descriptors: u64) -> Limits {
        let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
        let requests = (descriptors / 8).clamp(4, 512);
        Limits {
            requests,
            onlookers: requests - requests / 4,
            idle: (descriptors / 2).saturating_sub(requests).clamp(8, 8192),
        }
    }
}

struct Service {
    api: Arc<Api>,
    pumps: Arc<Pumps>,
    lobby: Lobby,
    requests: Arc<AtomicUsize>,
    requests_max: usize,
    /// The end of each request is told to the lobby: the time without work begins then.
    is_counting: bool,
}

/// Why the engine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By a signal.
    Told,
    /// By the signal that the machine goes down.
    PowerDown,
    /// Nobody needs it for now.
    Idle,
}

/// How to serve.
pub struct Orders<'a> {
    pub listeners: &'a [Listener],
    pub signals: BorrowedFd<'a>,
    pub descriptors_max: u64,
    /// End after so long without work.
    pub idle_exit: Option<Duration>,
    /// What SIGUSR2 asks for.
    pub go_over: &'a dyn Fn(),
    /// What SIGHUP asks for.
    pub reload: &'a dyn Fn(),
}

pub fn until_end(engine: &Arc<Engine>, orders: &Orders<'_>) -> Result<End> {
    let Orders {
        listeners, signals, ..
    } = *orders;
    let limits = Limits::new(orders.descriptors_max);
    let pumps = Pumps::new()?;
    let api = Api::new(Arc::clone(engine), Arc::clone(&pumps), limits.onlookers);
    let mut service = Service {
        api: Arc::new(api),
        pumps,
        lobby: Lobby::new(limits.idle)?,
        requests: Arc::new(AtomicUsize::new(0)),
        requests_max: limits.requests,
        is_counting: orders.idle_exit.is_some(),
    };
    service.lobby.watch(signals, SIGNALS)?;
    for (listener, token) in listeners.iter().zip(SIGNALS + 1..) {
        service.lobby.watch(&listener.fd, token)?;
    }
    heartbeat::start(engine, &service.lobby.door())?;
    let mut idle_since = Instant::now();
    let mut is_small = false;
    loop {
        let rest = (!is_small).then_some(REST);
        let round = service
            .lobby
            .wait(orders.idle_exit.into_iter().chain(rest).min())?;
        if !round.is_empty() {
            is_small = false;
        } else if !is_small && service.requests.load(Ordering::Acquire) == 0 {
            memory::forget_code();
            is_small = true;
        }
        if let Some(limit) = orders.idle_exit {
            // Our own test is no work, and begins anew as often as we look here.
            let is_testing = heartbeat::is_testing();
            let is_news = !round.is_empty() && !is_testing;
            if is_news || service.is_busy(is_testing.into()) || engine.is_busy() {
                idle_since = Instant::now();
            } else if idle_since.elapsed() >= limit {
                return Ok(End::Idle);
            }
        }
        for connection in round.requests {
            service.begin(connection);
        }
        for token in round.ready {
            if token == SIGNALS {
                while let Some(signal) = signal::take(signals) {
                    match signal {
                        signal::SIGCHLD => client::reap(),
                        signal::SIGHUP => (orders.reload)(),
                        signal::SIGUSR2 => (orders.go_over)(),
                        signal::SIGPWR => return Ok(End::PowerDown),
                        _ => return Ok(End::Told),
                    }
                }
            } else if let Some(listener) = listeners.get((token - SIGNALS - 1) as usize) {
                service.accept(listener);
            }
        }
    }
}

impl Service {
    /// Whether there is anybody whom the end of the engine would cut off, beside so many of our own.
    fn is_busy(&self, own: usize) -> bool {
        let requests = self.requests.load(Ordering::Acquire);
        self.pumps.count() > 0 || self.lobby.count() + requests > own
    }

    /// Take one connection. Whatever goes wrong concerns that connection only.
    fn accept(&mut self, listener: &Listener) {
        let stream = match socket::accept(listener.fd.as_fd()) {
            Ok(stream) => stream,
            Err(error) => {
                // Out of descriptors: the connection stays in the queue and is told of at once. Who
                // only waits makes room; or those that are served get a moment to end.
                if !self.lobby.evict() {
                    crate::log::line("tugd", error);
                    std::thread::sleep(Duration::from_millis(100));
                }
                return;
            }
        };
        // Of a unix socket the kernel just says no.
        socket::set_tcp_options(&stream);
        let plain = match &listener.tls {
            None => Ok(stream),
            Some(tls) => tls
                .codec()
                .and_then(|codec| self.pumps.add(stream, codec, b"")),
        };
        match plain {
            Ok(stream) => {
                if let Some(connection) = self.lobby.enter(api::connection(stream)) {
                    self.begin(connection);
                }
            }
            Err(error) => crate::log::line("tugd", error),
        }
    }

    /// Give a request its thread.
    fn begin(&self, connection: Connection) {
        if self.requests.fetch_add(1, Ordering::AcqRel) >= self.requests_max {
            self.requests.fetch_sub(1, Ordering::AcqRel);
            return api::refuse(connection);
        }
        let (api, door) = (Arc::clone(&self.api), self.lobby.door());
        let counter = Arc::clone(&self.requests);
        let is_counting = self.is_counting;
        let spawned = watch::thread("request", move || {
            serve(&api, &door, connection);
            counter.fetch_sub(1, Ordering::AcqRel);
            if is_counting {
                door.knock();
            }
        });
        if let Err(error) = spawned {
            self.requests.fetch_sub(1, Ordering::AcqRel);
            crate::log::line("tugd", error);
        }
    }
}

fn serve(api: &Api, door: &Door, connection: Connection) {
    if let Some(connection) = api.serve(connection) {
        door.enter(connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_follow_the_descriptors_that_we_may_have() {
        for (descriptors, expected) in [
            (64, [8, 6, 24]),
            (1024, [128, 96, 384]),
            (20_000, [512, 384, 8192]),
            (1, [4, 3, 8]),
        ] {
            let limits = Limits::new(descriptors);
            assert_eq!([limits.requests, limits.onlookers, limits.idle], expected);
        }
    }
}
