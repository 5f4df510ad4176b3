//! The name server in a network namespace, its clients and other servers beside it in there.

use super::message::tests::question;
use super::message::{A, AAAA, PTR, id, set_id};
use super::*;
use crate::net::loopback_up;
use crate::net::plan::{Endpoint, Resolver as Settings, Server};
use crate::store::staging::Staging;
use crate::sys::poll;
use rustix::event::PollFlags;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

const MX: u16 = 15;
const HTTPS: u16 = 65;

struct Lab {
    resolver: Resolver,
    client: UdpSocket,
    _dir: Staging,
}

/// Run `work` in a network namespace of its own.
fn in_lab(work: impl FnOnce()) {
    let netns = namespace::create().unwrap();
    let outcome = namespace::within(&netns, || {
        loopback_up()?;
        work();
        Ok(())
    });
    outcome.unwrap();
}

fn endpoint(names: &[&str], ipv4: &str, ipv6: Option<&str>) -> Endpoint {
    Endpoint {
        network: Some("0".repeat(64)),
        network_name: Some("lab".to_string()),
        names: Some(names.iter().map(|name| name.to_string()).collect()),
        ipv4: Some(ipv4.to_string()),
        ipv6: ipv6.map(str::to_string),
        ..Endpoint::default()
    }
}

fn plan(servers: &[&str]) -> Plan {
    let server = |address: &&str| Server {
        address: Some(address.to_string()),
        is_of_host: None,
    };
    Plan {
        endpoints: Some(vec![endpoint(&["me"], "10.1.0.9/24", None)]),
        resolver: Some(Settings {
            servers: Some(servers.iter().map(server).collect()),
            ..Settings::default()
        }),
        ..Plan::default()
    }
}

impl Lab {
    fn open(plan: &Plan) -> Lab {
        let dir = Staging::new(&std::env::temp_dir()).unwrap();
        for (id, endpoint) in [
            (
                "a",
                endpoint(&["web", "www"], "10.1.0.2/24", Some("fd00::2/64")),
            ),
            ("b", endpoint(&["db", "www"], "10.1.0.3/24", None)),
        ] {
            names::write(dir.path(), id, &endpoint).unwrap();
        }
        let netns = crate::sys::namespace::of_thread("net").unwrap();
        let resolver = Resolver::open(&netns, plan, dir.path()).unwrap();
        Lab {
            resolver,
            client: client(),
            _dir: dir,
        }
    }

    /// Let the resolver work until `client` has something to read.
    fn serve(&mut self, client: impl AsFd) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            assert!(Instant::now() < end, "no answer");
            let now = Instant::now();
            let deadline = self.resolver.deadline();
            let timeout = deadline.map_or(Duration::from_secs(1), |at| at.duration_since(now));
            let fds = [self.resolver.fd(), client.as_fd()].map(|fd| (fd, PollFlags::IN));
            let ready = poll::wait(&fds, Some(timeout)).unwrap();
            if !ready[1].is_empty() {
                return;
            }
            self.resolver.ready().unwrap();
        }
    }

    fn ask(&mut self, query: &[u8]) -> Vec<u8> {
        self.client.send(query).unwrap();
        let client = self.client.try_clone().unwrap();
        self.serve(&client);
        receive(&client)
    }

    /// The code, and the data of each record, of an answer from us (they have no names in them).
    fn look_up(&mut self, name: &str, kind: u16) -> (u8, Vec<Vec<u8>>) {
        let query = question(7, name, kind);
        let answer = self.ask(&query);
        assert_eq!(answer[..3], [0, 7, 0x81]);
        assert_eq!(answer[12..query.len()], query[12..]);
        let mut rest = &answer[query.len()..];
        let mut records = Vec::new();
        while !rest.is_empty() {
            assert_eq!(rest[..10], [0xc0, 12, 0, kind as u8, 0, 1, 0, 0, 2, 88]);
            let end = 12 + usize::from(rest[11]);
            records.push(rest[12..end].to_vec());
            rest = &rest[end..];
        }
        (answer[3] & 15, records)
    }
}

fn client() -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect((ADDRESS, PORT)).unwrap();
    client
}

fn receive(client: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 65_536];
    let count = client.recv(&mut buffer).unwrap();
    buffer[..count].to_vec()
}

/// Another name server: `say` answers to each query, as often as it likes.
fn server(address: &str, mut say: impl FnMut(&UdpSocket, SocketAddr, Vec<u8>) + Send + 'static) {
    let socket = UdpSocket::bind(format!("{address}:53")).unwrap();
    // Ends with the query that no test waits for.
    let patience = Some(Duration::from_secs(10));
    socket.set_read_timeout(patience).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((count, client)) = socket.recv_from(&mut buffer) {
            say(&socket, client, buffer[..count].to_vec());
        }
    });
}

/// `query` made an answer with one address.
fn reply(mut query: Vec<u8>, last: u8) -> Vec<u8> {
    query[2] |= 0x80;
    query[3] = 0x80;
    query[7] = 1;
    query.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, last]);
    query
}

/// The last byte of an answer that `reply` made.
fn told(answer: &[u8]) -> u8 {
    assert_eq!(answer[3] & 15, 0, "{answer:?}");
    assert_eq!(answer[7], 1, "{answer:?}");
    answer[answer.len() - 1]
}

#[test]
fn it_knows_the_containers_and_nobody_is_asked_for_them() {
    in_lab(|| {
        let mut lab = Lab::open(&plan(&[]));
        let v6 = "fd00::2".parse::<std::net::Ipv6Addr>().unwrap();
        assert_eq!(lab.look_up("web", A), (0, vec![vec![10, 1, 0, 2]]));
        assert_eq!(lab.look_up("WEB.Lab", A), (0, vec![vec![10, 1, 0, 2]]));
        assert_eq!(lab.look_up("web", AAAA), (0, vec![v6.octets().to_vec()]));
        // The name is there, such a thing is not.
        assert_eq!(lab.look_up("db", AAAA), (0, vec![]));
        assert_eq!(lab.look_up("db", MX), (0, vec![]));
        assert_eq!(lab.look_up("db", HTTPS), (0, vec![]));
        let name = message::encode("web.lab").unwrap();
        assert_eq!(
            lab.look_up("2.0.1.10.in-addr.arpa", PTR),
            (0, vec![name.clone()])
        );
        let zeros = "0.".repeat(27);
        assert_eq!(
            lab.look_up(&format!("2.0.0.{zeros}d.f.ip6.arpa"), PTR),
            (0, vec![name])
        );
        // Nobody else can be asked.
        for name in ["nobody", "web.other", "example.org", "9.9.9.9.in-addr.arpa"] {
            assert_eq!(lab.look_up(name, A), (2, vec![]), "{name}");
        }
        let firsts: Vec<_> = (0..4).map(|_| lab.look_up("www", A).1[0][3]).collect();
        assert_eq!(
            firsts.iter().filter(|last| **last == 2).count(),
            2,
            "{firsts:?}"
        );
    });
}

#[test]
fn with_ndots_names_without_a_dot_stay_inside() {
    in_lab(|| {
        server("127.0.0.53", |socket, client, query| {
            let _ = socket.send_to(&reply(query, 1), client);
        });
        let mut plan = plan(&["127.0.0.53"]);
        let mut lab = Lab::open(&plan);
        assert_eq!(told(&lab.ask(&question(1, "printer", A))), 1);
        plan.resolver.as_mut().unwrap().has_ndots = Some(true);
        lab.resolver.update(&plan);
        assert_eq!(lab.look_up("printer", A), (0, vec![]));
        assert_eq!(lab.look_up("web", A), (0, vec![vec![10, 1, 0, 2]]));
        assert_eq!(told(&lab.ask(&question(1, "printer.lan", A))), 1);
    });
}

#[test]
fn other_names_are_asked_for_with_new_ids_from_new_ports() {
    in_lab(|| {
        let (send, seen) = std::sync::mpsc::channel();
        server("127.0.0.53", move |socket, client, query| {
            send.send((id(&query), client.port())).unwrap();
            let _ = socket.send_to(&reply(query, 1), client);
        });
        let mut lab = Lab::open(&plan(&["127.0.0.53"]));
        for _ in 0..20 {
            let query = question(0x4242, "Example.org", A);
            let answer = lab.ask(&query);
            assert_eq!(told(&answer), 1);
            // The client's own id, and its spelling.
            assert_eq!(answer[..2], [0x42; 2]);
            assert_eq!(answer[12..query.len()], query[12..]);
        }
        let (mut ids, mut ports): (Vec<_>, Vec<_>) = seen.try_iter().unzip();
        ids.sort();
        ids.dedup();
        ports.sort();
        ports.dedup();
        assert!(ids.len() > 17 && ports.len() > 10, "{ids:?} {ports:?}");
        assert!(lab.resolver.deadline().is_none());
    });
}

#[test]
fn a_liar_is_not_believed() {
    in_lab(|| {
        server("127.0.0.53", |socket, client, query| {
            let stranger = UdpSocket::bind("127.0.0.66:53").unwrap();
            let _ = stranger.send_to(&reply(query.clone(), 66), client);
            let mut other_id = reply(query.clone(), 66);
            other_id[1] ^= 1;
            let _ = socket.send_to(&other_id, client);
            let mut other_question = reply(query.clone(), 66);
            other_question[13] ^= 1;
            let _ = socket.send_to(&other_question, client);
            let _ = socket.send_to(&query, client);
            let _ = socket.send_to(&[], client);
            let _ = socket.send_to(&[0xff; 60_000], client);
            // And the truth, twice.
            let _ = socket.send_to(&reply(query.clone(), 1), client);
            let _ = socket.send_to(&reply(query, 66), client);
        });
        let mut lab = Lab::open(&plan(&["127.0.0.53"]));
        for n in 0..10 {
            assert_eq!(told(&lab.ask(&question(n, "example.org", A))), 1);
        }
        // Nothing of it is left over for the client.
        lab.resolver.ready().unwrap();
        lab.client.set_nonblocking(true).unwrap();
        assert!(lab.client.recv(&mut [0; 512]).is_err());
    });
}

#[test]
fn who_floods_or_fails_or_is_not_there_makes_room_for_the_next() {
    in_lab(|| {
        server("127.0.0.51", |socket, client, query| {
            let mut lie = reply(query, 66);
            for n in 0..u16::MAX {
                set_id(&mut lie, n);
                lie[14] = b'!';
                if socket.send_to(&lie, client).is_err() {
                    return;
                }
            }
        });
        server("127.0.0.53", |socket, client, query| {
            let _ = socket.send_to(&reply(query, 1), client);
        });
        server("127.0.0.54", |socket, client, mut query| {
            query[2] |= 0x80;
            query[3] = 2;
            let _ = socket.send_to(&query, client);
        });
        let begin = Instant::now();
        for first in ["127.0.0.51", "127.0.0.52", "127.0.0.54", "240.0.0.1"] {
            let mut lab = Lab::open(&plan(&[first, "127.0.0.53"]));
            assert_eq!(told(&lab.ask(&question(1, "example.org", A))), 1, "{first}");
        }
        assert!(begin.elapsed() < Duration::from_secs(2));
        let mut lab = Lab::open(&plan(&["127.0.0.54", "127.0.0.52"]));
        assert_eq!(lab.look_up("example.org", A), (2, vec![]));
    });
}

#[test]
fn silence_is_waited_for_two_seconds_and_the_flights_are_bounded() {
    in_lab(|| {
        server("127.0.0.51", |_, _, _| {});
        server("127.0.0.53", |socket, client, query| {
            let _ = socket.send_to(&reply(query, 1), client);
        });
        let mut lab = Lab::open(&plan(&["127.0.0.51", "127.0.0.53"]));
        for n in 0..120 {
            // Asked again, it is the same query.
            for _ in 0..2 {
                lab.client.send(&question(n, "example.org", A)).unwrap();
            }
        }
        let client = lab.client.try_clone().unwrap();
        let begin = Instant::now();
        let mut codes = [0; 16];
        for _ in 0..140 {
            lab.serve(&client);
            codes[usize::from(receive(&client)[3] & 15)] += 1;
        }
        let waited = begin.elapsed().as_secs_f32();
        assert_eq!((codes[0], codes[5]), (100, 40));
        assert!((1.8..4.0).contains(&waited), "{waited}");
        // Meanwhile containers are found.
        assert_eq!(lab.look_up("web", A), (0, vec![vec![10, 1, 0, 2]]));
    });
}

#[test]
fn answers_that_do_not_fit_are_cut_and_come_whole_over_tcp() {
    in_lab(|| {
        let long = |query: Vec<u8>, length: usize| {
            let mut answer = reply(query, 1);
            answer.resize(length, 0x55);
            answer
        };
        server("127.0.0.53", move |socket, client, query| {
            let _ = socket.send_to(&long(query, 5000), client);
        });
        let listener = TcpListener::bind("127.0.0.53:53").unwrap();
        thread::spawn(move || {
            for length in [300, 65_535] {
                let (mut peer, _) = listener.accept().unwrap();
                let mut query = [0; 512];
                let count = peer.read(&mut query).unwrap();
                let answer = long(query[2..count].to_vec(), length);
                // In pieces.
                peer.write_all(&(length as u16).to_be_bytes()).unwrap();
                for piece in answer.chunks(7000) {
                    thread::sleep(Duration::from_millis(2));
                    peer.write_all(piece).unwrap();
                }
            }
        });
        let mut lab = Lab::open(&plan(&["127.0.0.53"]));
        let query = question(9, "example.org", A);
        let answer = lab.ask(&query);
        assert_eq!(answer[..4], [0, 9, 0x83, 0x80]);
        assert_eq!(answer.len(), query.len());

        let mut tcp = TcpStream::connect((ADDRESS, PORT)).unwrap();
        for length in [300, 65_535] {
            // In pieces too, and the next query follows on the same connection.
            let mut sent = (query.len() as u16).to_be_bytes().to_vec();
            sent.extend(&query);
            for piece in sent.chunks(5) {
                tcp.write_all(piece).unwrap();
                lab.resolver.ready().unwrap();
            }
            let mut answer: Vec<u8> = Vec::new();
            while answer.len() < 2 + length {
                lab.serve(&tcp);
                let mut buffer = [0; 65_537];
                let count = tcp.read(&mut buffer).unwrap();
                answer.extend(&buffer[..count]);
            }
            assert_eq!(answer[..2], (length as u16).to_be_bytes());
            assert_eq!(answer[2..4], [0, 9]);
            assert_eq!(answer.len(), 2 + length);
        }
    });
}

#[test]
fn connections_are_bounded_and_come_to_an_end() {
    in_lab(|| {
        let mut lab = Lab::open(&plan(&[]));
        let query = question(9, "web", A);
        let mut framed = (query.len() as u16).to_be_bytes().to_vec();
        framed.extend(&query);
        let mut list: Vec<_> = (0..40)
            .map(|_| TcpStream::connect((ADDRESS, PORT)).unwrap())
            .collect();
        for _ in 0..10 {
            lab.resolver.ready().unwrap();
        }
        // The newest are served; the eldest had to go.
        let last = list.last_mut().unwrap();
        // Two at once, and no more to come.
        last.write_all(&[framed.clone(), framed.clone()].concat())
            .unwrap();
        last.shutdown(std::net::Shutdown::Write).unwrap();
        lab.serve(&*last);
        lab.resolver.ready().unwrap();
        let mut answer = Vec::new();
        last.read_to_end(&mut answer).unwrap();
        assert_eq!(answer.len(), 2 * (framed.len() + 16));
        assert_eq!(list[0].read(&mut [0; 9]).unwrap(), 0);
        // Too long a query.
        let bad = &mut list[38];
        bad.write_all(&[0xff; 2]).unwrap();
        lab.serve(&*bad);
        assert_eq!(bad.read(&mut [0; 9]).unwrap(), 0);
        drop(list);
        for _ in 0..10 {
            lab.resolver.ready().unwrap();
        }
        assert_eq!(lab.resolver.deadline(), None);
    });
}

#[test]
fn from_an_internal_network_nothing_is_asked_by_way_of_the_host() {
    // As in a shim: it is in the host's namespace itself, with the host's name server.
    in_lab(|| {
        let host = UdpSocket::bind("127.0.0.53:53").unwrap();
        host.set_nonblocking(true).unwrap();
        let mut plan = plan(&["127.0.0.53"]);
        let settings = plan.resolver.as_mut().unwrap();
        settings.servers.as_mut().unwrap()[0].is_of_host = Some(true);
        settings.is_closed = Some(true);
        let container = namespace::create().unwrap();
        let lab = namespace::within(&container, || {
            loopback_up()?;
            Ok(Lab::open(&plan))
        });
        let mut lab = lab.unwrap();
        let client = lab.client.try_clone().unwrap();
        client.send(&question(7, "example.org", A)).unwrap();
        lab.serve(&client);
        assert_eq!(receive(&client)[3], 0x82);
        assert!(host.recv(&mut [0; 512]).is_err());

        plan.resolver.as_mut().unwrap().is_closed = None;
        lab.resolver.update(&plan);
        client.send(&question(7, "example.org", A)).unwrap();
        lab.resolver.ready().unwrap();
        let mut buffer = [0; 512];
        let (count, asker) = host.recv_from(&mut buffer).unwrap();
        let answer = reply(buffer[..count].to_vec(), 5);
        host.send_to(&answer, asker).unwrap();
        lab.serve(&client);
        assert_eq!(told(&receive(&client)), 5);
    });
}

#[test]
fn a_thousand_queries_a_second_are_no_matter() {
    in_lab(|| {
        let mut lab = Lab::open(&plan(&[]));
        let client = lab.client.try_clone().unwrap();
        let begin = Instant::now();
        for n in 0..3000u16 {
            client.send(&question(n, "www", A)).unwrap();
            // As many as come while the shim does something else.
            if n % 200 == 199 {
                for _ in 0..200 {
                    lab.serve(&client);
                    assert_eq!(receive(&client)[7], 2);
                }
            }
        }
        assert!(begin.elapsed() < Duration::from_secs(3));
    });
}

#[test]
fn a_container_may_have_a_name_server_of_its_own_on_all_its_addresses() {
    in_lab(|| {
        let mut lab = Lab::open(&plan(&[]));
        if lab.resolver.udp.local_addr().unwrap().port() == PORT {
            return println!("skipped: no nf_tables here");
        }
        let own = UdpSocket::bind("0.0.0.0:53").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let listener = TcpListener::bind("0.0.0.0:53").unwrap();
        assert_eq!(lab.look_up("web", A), (0, vec![vec![10, 1, 0, 2]]));
        client.send_to(b"own", "127.0.0.1:53").unwrap();
        assert_eq!(own.recv(&mut [0; 9]).unwrap(), 3);
        let _tcp = TcpStream::connect("127.0.0.1:53").unwrap();
        listener.accept().unwrap();
    });
}
