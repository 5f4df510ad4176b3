//! Datagrams: a flow for each client of a service, which is a socket connected to the target, so that
//! answers are told apart and errors come back.
//!
//! An answer leaves from the address that the client has asked. What the target's host refuses
//! (ECONNREFUSED, from an ICMP message) is the datagram's misfortune, not the flow's: the program may
//! just not listen yet.

use super::{Common, FLOW, ROUNDS, SERVICE, Service, Slots, token};
use crate::sys::inet::{self, Local, Protocol};
use rustix::io::Errno;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// A flow ends after so long without a datagram, as docker-proxy's.
const TIMEOUT: Duration = Duration::from_secs(90);

/// With more, the one that rests longest makes room.
const FLOWS_MAX: usize = 4096;

#[derive(Default)]
pub struct Flows {
    flows: Slots<Flow>,
    /// By service and client, sorted.
    places: Vec<(Key, u32)>,
}

type Key = (u32, SocketAddr);

struct Flow {
    key: Key,
    /// Where the client's last datagram was sent to.
    local: Local,
    socket: OwnedFd,
    used_at: Instant,
}

impl Flows {
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    pub fn forget_ended(&mut self) -> bool {
        self.flows.forget_ended()
    }

    /// Datagrams of clients.
    pub fn receive(&mut self, at: usize, service: &Service, common: &mut Common) {
        for _ in 0..ROUNDS {
            let (count, client, local) =
                match inet::receive_from(&service.socket, &mut common.buffer) {
                    Ok((count, Some(client), local)) => (count, client, local),
                    Err(Errno::AGAIN) => return,
                    _ => continue,
                };
            let Some(flow) = self.flow((at as u32, client), service, common) else {
                continue;
            };
            flow.local = local;
            flow.used_at = common.now;
            let bytes = common.buffer.get(..count).unwrap_or_default();
            // The error may be of an earlier one, and this one was not sent then.
            if inet::send(&flow.socket, bytes) == Err(Errno::CONNREFUSED) {
                let _ = inet::send(&flow.socket, bytes);
            }
        }
        common.again.push(token(SERVICE, at));
    }

    /// Datagrams of a target.
    pub fn answer(&mut self, at: usize, services: &[Service], common: &mut Common) {
        let Some(flow) = self.flows.get(at) else {
            return;
        };
        let (service, client) = flow.key;
        let Some(service) = services.get(service as usize) else {
            return;
        };
        for _ in 0..ROUNDS {
            match inet::receive(&flow.socket, &mut common.buffer) {
                Ok(count) => {
                    flow.used_at = common.now;
                    let bytes = common.buffer.get(..count).unwrap_or_default();
                    let _ = inet::send_to(&service.socket, bytes, &client, &flow.local);
                }
                Err(Errno::AGAIN) => return,
                Err(_) => {}
            }
        }
        common.again.push(token(FLOW, at));
    }

    fn flow(&mut self, key: Key, service: &Service, common: &mut Common) -> Option<&mut Flow> {
        let mut place = self.place(&key);
        if let Ok(place) = place {
            let (_, at) = self.places.get(place)?;
            return self.flows.get(*at as usize);
        }
        if self.places.len() >= FLOWS_MAX || common.room == 0 {
            self.evict(common);
            place = self.place(&key);
        }
        let (Err(place), true) = (place, common.room > 0) else {
            return None;
        };
        let socket = inet::open(Protocol::Udp, &service.target.ip()).ok()?;
        inet::connect(&socket, &service.target).ok()?;
        let at = self.flows.next();
        common
            .epoll
            .add_edges(&socket, token(FLOW, at), false)
            .ok()?;
        common.room -= 1;
        self.places.insert(place, (key, at as u32));
        self.flows.put(Flow {
            key,
            local: Local::default(),
            socket,
            used_at: common.now,
        });
        self.flows.get(at)
    }

    fn place(&self, key: &Key) -> Result<usize, usize> {
        self.places.binary_search_by(|(known, _)| known.cmp(key))
    }

    fn evict(&mut self, common: &mut Common) {
        let flows = self.flows.list.iter().flatten();
        if let Some(oldest) = flows.map(|flow| flow.used_at).min() {
            self.end_until(oldest, common);
        }
    }

    /// End those that are over.
    pub fn sweep(&mut self, common: &mut Common) {
        if let Some(until) = common.now.checked_sub(TIMEOUT) {
            self.end_until(until, common);
        }
    }

    fn end_until(&mut self, until: Instant, common: &mut Common) {
        let Flows { flows, places } = self;
        places.retain(|(_, at)| {
            let at = *at as usize;
            let is_over = flows.get(at).is_none_or(|flow| flow.used_at <= until);
            if is_over && flows.take(at).is_some() {
                common.room += 1;
            }
            !is_over
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::Proxy;
    use super::*;
    use std::net::UdpSocket;

    fn proxy() -> (Proxy, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let service = Service {
            socket: socket.into(),
            protocol: Protocol::Udp,
            target: address,
        };
        (Proxy::new(vec![service]).unwrap(), address)
    }

    impl Proxy {
        fn arrive(&mut self, client: SocketAddr) -> bool {
            let flow = self
                .flows
                .flow((0, client), &self.services[0], &mut self.common);
            flow.map(|flow| flow.used_at = self.common.now).is_some()
        }

        fn has(&mut self, client: SocketAddr) -> bool {
            self.flows.place(&(0, client)).is_ok()
        }
    }

    fn client(number: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, (number / 200) as u8, (number % 200) as u8], 9))
    }

    #[test]
    fn a_flow_ends_ninety_seconds_after_its_last_datagram() {
        let (mut proxy, _) = proxy();
        let start = proxy.common.now;
        assert!(proxy.arrive(client(1)) && proxy.arrive(client(2)));
        proxy.common.now = start + Duration::from_secs(60);
        assert!(proxy.arrive(client(2)));
        for (seconds, first, second) in [(89, true, true), (91, false, true), (151, false, false)] {
            proxy.common.now = start + Duration::from_secs(seconds);
            proxy.flows.sweep(&mut proxy.common);
            assert_eq!(
                (proxy.has(client(1)), proxy.has(client(2))),
                (first, second),
                "{seconds}"
            );
        }
        proxy.flows.forget_ended();
        assert!(proxy.flows.is_empty());
    }

    #[test]
    fn the_oldest_flow_makes_room() {
        let (mut proxy, _) = proxy();
        proxy.common.room = 5;
        let start = proxy.common.now;
        for number in 0..20 {
            proxy.common.now = start + Duration::from_secs(number);
            assert!(proxy.arrive(client(number as usize)));
        }
        let kept: Vec<usize> = (0..20)
            .filter(|number| proxy.has(client(*number)))
            .collect();
        assert_eq!(kept, [15, 16, 17, 18, 19]);
        assert_eq!(proxy.common.room, 0);
    }
}
