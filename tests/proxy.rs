//! `tug proxy`: docker-proxy's job and options; real traffic on loopback.

use crate::harness::command::{Output, Running, run};
use crate::harness::{Host, PATIENCE, binary, eventually, is_running, send_signal, skip};
use rustix::net::sockopt::set_socket_linger;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Long enough for what must not happen.
const WHILE: Duration = Duration::from_millis(300);

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// The proxy, its standard output being the status pipe and its descriptor 4 `socket`, if there is one.
fn command(program: &Path, args: &[&str], socket: Option<OwnedFd>) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c");
    match socket {
        Some(socket) => {
            command.arg("exec \"$0\" \"$@\" 3>&1 4<&0 </dev/null >/dev/null");
            command.stdin(Stdio::from(socket));
        }
        None => {
            command.arg("exec \"$0\" \"$@\" 3>&1 </dev/null");
        }
    }
    command.arg(program).args(args);
    command
}

/// A proxy that serves, and where.
struct Proxy {
    process: Running,
    address: SocketAddr,
}

impl Proxy {
    fn tcp(host: SocketAddr, target: SocketAddr) -> Proxy {
        let listener = TcpListener::bind(host).unwrap();
        let address = listener.local_addr().unwrap();
        Proxy::on("tcp", address, listener.into(), target)
    }

    fn udp(host: SocketAddr, target: SocketAddr) -> Proxy {
        let socket = UdpSocket::bind(host).unwrap();
        let address = socket.local_addr().unwrap();
        Proxy::on("udp", address, socket.into(), target)
    }

    fn on(protocol: &str, address: SocketAddr, socket: OwnedFd, target: SocketAddr) -> Proxy {
        let (ip, port) = (target.ip().to_string(), target.port().to_string());
        let args = [
            "proxy",
            "-proto",
            protocol,
            "-container-ip",
            &ip,
            "-container-port",
            &port,
            "-use-listen-fd",
        ];
        let process = Running::start(command(&binary(), &args, Some(socket)));
        process.until_stdout("that it serves", |text| text == "0\n");
        Proxy { process, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn descriptors(&self) -> usize {
        let dir = format!("/proc/{}/fd", self.process.pid());
        std::fs::read_dir(dir).unwrap().count()
    }

    /// In KiB; what it shares with nobody.
    fn memory(&self) -> u64 {
        let path = format!("/proc/{}/smaps_rollup", self.process.pid());
        let text = std::fs::read_to_string(path).unwrap();
        let private = text
            .lines()
            .filter(|line| line.starts_with("Private_Dirty:"));
        private
            .map(|line| {
                line.split_whitespace()
                    .nth(1)
                    .unwrap()
                    .parse::<u64>()
                    .unwrap()
            })
            .sum()
    }

    /// Time on a processor, in hundredths of a second.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.pid())).unwrap();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

/// A server that does `serve` with one client.
fn server(serve: impl FnOnce(TcpStream) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    server_at(loopback(), serve)
}

fn server_at(
    address: SocketAddr,
    serve: impl FnOnce(TcpStream) + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        serve(stream);
    });
    (address, thread)
}

/// A server that says back what it is told, to any number of clients.
fn echo(address: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut copy = stream.try_clone().unwrap();
                let _ = std::io::copy(&mut stream, &mut copy);
            });
        }
    });
    address
}

fn says_back(stream: &mut TcpStream, word: &[u8]) {
    stream.write_all(word).unwrap();
    let mut answer = vec![0; word.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, word);
}

/// Bytes that tell their place: `count` from `seed` on.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_ne_bytes());
    }
    bytes.truncate(count);
    bytes
}

fn assert_reset(stream: &mut TcpStream) {
    let mut buffer = [0; 16];
    let error = stream.read(&mut buffer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_hundred_megabytes_arrive_whole_in_both_directions_at_once() {
    const BYTES: usize = 100 << 20;
    let there = noise(1, BYTES);
    let back = noise(2, BYTES);
    let (expected, answer) = (there.clone(), back.clone());
    let (target, served) = server(move |mut stream| {
        let mut writer = stream.try_clone().unwrap();
        let sender = std::thread::spawn(move || {
            writer.write_all(&answer).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        assert!(got == expected, "{} bytes", got.len());
        sender.join().unwrap();
    });
    let proxy = Proxy::tcp(loopback(), target);
    let mut client = proxy.connect();
    let mut writer = client.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        // Small and large ones, for either way of carrying.
        let (small, large) = there.split_at(1 << 20);
        small
            .chunks(1_000)
            .for_each(|bytes| writer.write_all(bytes).unwrap());
        writer.write_all(large).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert!(got == back, "{} bytes", got.len());
    sender.join().unwrap();
    served.join().unwrap();
}

#[test]
fn either_end_may_have_said_all_while_the_other_goes_on() {
    let (target, served) = server(|mut stream| {
        let mut question = String::new();
        stream.read_to_string(&mut question).unwrap();
        std::thread::sleep(WHILE);
        write!(stream, "answer to {question}").unwrap();
    });
    let proxy = Proxy::tcp(loopback(), target);
    let mut client = proxy.connect();
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer to question");
    served.join().unwrap();

    let (target, served) = server(|mut stream| {
        stream.write_all(b"greeting").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert_eq!(said, "said later");
    });
    let proxy = Proxy::tcp(loopback(), target);
    let mut client = proxy.connect();
    let mut greeting = String::new();
    client.read_to_string(&mut greeting).unwrap();
    assert_eq!(greeting, "greeting");
    std::thread::sleep(WHILE);
    client.write_all(b"said later").unwrap();
    drop(client);
    served.join().unwrap();
}

#[test]
fn who_does_not_read_stops_who_sends_and_costs_no_memory() {
    let (target, served) = server(|mut stream| {
        let bytes = noise(3, 1 << 20);
        // Until nothing was taken for a while: the kernel has its buffers too.
        stream.set_write_timeout(Some(WHILE)).unwrap();
        let mut sent = 0;
        while let Ok(count @ 1..) = stream.write(&bytes[sent % bytes.len()..]) {
            sent += count;
            assert!(sent < 1 << 30, "everything is taken");
        }
        stream.set_write_timeout(None).unwrap();
        stream.write_all(&bytes[sent % bytes.len()..]).unwrap();
    });
    let proxy = Proxy::tcp(loopback(), target);
    let mut client = proxy.connect();
    let before = proxy.memory();
    std::thread::sleep(WHILE * 4);
    let after = proxy.memory();
    assert!(after < before + 1024, "{before} KiB, then {after} KiB");
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert!(got.len() > 1 << 20 && got.len().is_multiple_of(1 << 20));
    assert!(got.chunks(1 << 20).all(|part| part == noise(3, 1 << 20)));
    served.join().unwrap();
}

#[test]
fn nothing_waits_for_more_when_there_is_none() {
    let proxy = Proxy::tcp(loopback(), echo(loopback()));
    let mut client = proxy.connect();
    let mut writer = client.try_clone().unwrap();
    let mut took = Vec::new();
    for bytes in [1, 1_000, 16 << 10, 64 << 10, 65 << 10, 256 << 10, 999_999] {
        for _ in 0..10 {
            let began = Instant::now();
            let block = noise(7, bytes);
            let mut answer = vec![0; bytes];
            std::thread::scope(|scope| {
                scope.spawn(|| writer.write_all(&block).unwrap());
                client.read_exact(&mut answer).unwrap();
            });
            assert!(answer == block, "{bytes}");
            took.push(began.elapsed());
        }
    }
    // A segment that is kept back leaves after 200 ms.
    took.sort_unstable();
    assert!(
        took[took.len() * 9 / 10] < Duration::from_millis(150),
        "{took:?}"
    );
}

#[test]
fn a_reset_is_passed_on() {
    let (target, served) = server(|mut stream| {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        assert_reset(&mut stream);
    });
    let proxy = Proxy::tcp(loopback(), target);
    let mut client = proxy.connect();
    client.write_all(b"x").unwrap();
    std::thread::sleep(WHILE);
    set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    drop(client);
    served.join().unwrap();

    let (target, served) = server(|stream| {
        std::thread::sleep(WHILE);
        set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    });
    let proxy = Proxy::tcp(loopback(), target);
    let mut client = proxy.connect();
    assert_reset(&mut client);
    served.join().unwrap();
    eventually("the proxy has closed both", || proxy.descriptors() < 12);
}

#[test]
fn a_server_that_answers_without_reading_all_is_heard() {
    let (target, served) = server(|mut stream| {
        let mut some = [0; 1000];
        stream.read_exact(&mut some).unwrap();
        stream.write_all(b"413 too large").unwrap();
        // Closed with unread input: a reset comes behind the answer.
    });
    let proxy = Proxy::tcp(loopback(), target);
    let mut client = proxy.connect();
    let _ = client.write_all(&noise(4, 1 << 20));
    let mut answer = [0; 13];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"413 too large");
    served.join().unwrap();
}

#[test]
fn a_target_that_refuses_is_told_by_a_reset() {
    let nobody = TcpListener::bind(loopback()).unwrap().local_addr().unwrap();
    let proxy = Proxy::tcp(loopback(), nobody);
    for _ in 0..100 {
        let mut client = proxy.connect();
        assert_reset(&mut client);
    }
    eventually("nothing is left of them", || proxy.descriptors() < 12);
}

#[test]
fn two_thousand_connections_rest_in_little_memory() {
    const VARIABLE: &str = "TUG_TEST_WITH_DESCRIPTORS";
    const CONNECTIONS: usize = 2_000;
    // Both their ends are ours. The limit is raised in a process of its own: this one has other tests.
    if std::env::var_os(VARIABLE).is_none() {
        let mut own = Command::new("sh");
        own.args(["-c", "ulimit -n 9000 && exec \"$0\" \"$@\""]);
        own.arg(std::env::current_exe().unwrap());
        own.arg("proxy::two_thousand_connections_rest_in_little_memory");
        own.args(["--exact", "--nocapture"]).env(VARIABLE, "yes");
        let output = run(own, b"", PATIENCE * 2);
        assert_eq!(output.code, 0, "{output:?}");
        return;
    }
    let listener = TcpListener::bind(loopback()).unwrap();
    let proxy = Proxy::tcp(loopback(), listener.local_addr().unwrap());
    let before = (proxy.memory(), proxy.descriptors());
    let mut pairs = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = proxy.connect();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        server.write_all(b"y").unwrap();
        client.read_exact(&mut [0]).unwrap();
        pairs.push((client, server));
    }
    let after = (proxy.memory(), proxy.descriptors());
    assert_eq!(after.1, before.1 + 2 * CONNECTIONS, "a pipe is held");
    assert!(
        after.0 < before.0 + 600,
        "{} KiB, then {} KiB",
        before.0,
        after.0
    );
    let ticks = proxy.ticks();
    std::thread::sleep(WHILE);
    assert_eq!(proxy.ticks(), ticks, "it works without work");
    drop(pairs);
    eventually("all are closed", || proxy.descriptors() == before.1);
}

#[test]
fn without_descriptors_it_waits_and_goes_on() {
    let target = echo(loopback());
    let listener = TcpListener::bind(loopback()).unwrap();
    let address = listener.local_addr().unwrap();
    let port = target.port().to_string();
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "ulimit -n 60 && exec \"$0\" \"$@\" 3>&1 4<&0 </dev/null",
    ]);
    command
        .arg(binary())
        .args(["proxy", "-container-ip", "127.0.0.1"]);
    command.args(["-container-port", &port, "-use-listen-fd"]);
    command.stdin(Stdio::from(OwnedFd::from(listener)));
    let process = Running::start(command);
    process.until_stdout("that it serves", |text| text == "0\n");
    let proxy = Proxy { process, address };

    let mut clients: Vec<TcpStream> = (0..40).map(|_| proxy.connect()).collect();
    let (served, waiting) = clients.split_at_mut(10);
    served
        .iter_mut()
        .for_each(|client| says_back(client, b"first"));
    let last = waiting.last_mut().unwrap();
    last.write_all(b"later").unwrap();
    last.set_read_timeout(Some(WHILE)).unwrap();
    assert!(
        last.read(&mut [0; 5]).is_err(),
        "there were descriptors for all"
    );
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    let ticks = proxy.ticks();
    std::thread::sleep(WHILE * 3);
    assert!(proxy.ticks() <= ticks + 5, "it spins");

    let mut last = clients.pop().unwrap();
    drop(clients);
    let mut answer = [0; 5];
    last.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"later");
}

#[test]
fn ipv6_leads_to_ipv4_and_back() {
    let Ok(six) = TcpListener::bind("[::1]:0") else {
        return skip("ipv6_leads_to_ipv4_and_back", "this machine has no ::1");
    };
    drop(six);
    let six: SocketAddr = "[::1]:0".parse().unwrap();
    for (host, target) in [(six, loopback()), (loopback(), six)] {
        let proxy = Proxy::tcp(host, echo(target));
        says_back(&mut proxy.connect(), b"other family");

        let server = UdpSocket::bind(target).unwrap();
        let proxy = Proxy::udp(host, server.local_addr().unwrap());
        let client = udp_client(proxy.address);
        client.send(b"question").unwrap();
        answer(&server);
        assert_eq!(receive(&client), "answer to question");
    }
}

fn udp_client(address: SocketAddr) -> UdpSocket {
    let own = SocketAddr::new(
        if address.is_ipv4() {
            loopback().ip()
        } else {
            address.ip()
        },
        0,
    );
    let client = UdpSocket::bind(own).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.connect(address).unwrap();
    client
}

fn receive(socket: &UdpSocket) -> String {
    let mut buffer = [0; 1 << 16];
    let count = socket.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..count].to_vec()).unwrap()
}

/// Answer one question.
fn answer(server: &UdpSocket) {
    let mut buffer = [0; 1 << 16];
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let (count, from) = server.recv_from(&mut buffer).unwrap();
    let answer = [b"answer to ", &buffer[..count]].concat();
    server.send_to(&answer, from).unwrap();
}

#[test]
fn each_sender_of_datagrams_gets_its_own_answers() {
    let server = UdpSocket::bind(loopback()).unwrap();
    let proxy = Proxy::udp(loopback(), server.local_addr().unwrap());
    let before = proxy.descriptors();
    let clients: Vec<UdpSocket> = (0..200).map(|_| udp_client(proxy.address)).collect();
    for round in 0..2 {
        for (number, client) in clients.iter().enumerate() {
            client.send(format!("{round} {number}").as_bytes()).unwrap();
            answer(&server);
        }
        for (number, client) in clients.iter().enumerate() {
            assert_eq!(receive(client), format!("answer to {round} {number}"));
        }
    }
    assert_eq!(proxy.descriptors(), before + 200, "a flow is not kept");

    // An empty one, and the largest.
    for length in [0, 65_507 - "answer to ".len()] {
        let question = "x".repeat(length);
        clients[0].send(question.as_bytes()).unwrap();
        answer(&server);
        assert_eq!(receive(&clients[0]), format!("answer to {question}"));
    }
}

#[test]
fn datagrams_are_answered_from_the_address_that_was_asked() {
    let server = UdpSocket::bind(loopback()).unwrap();
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let proxy = Proxy::udp(any, server.local_addr().unwrap());
    for last in [1, 2, 77] {
        let asked = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
        // A connected socket hears nobody else.
        let client = udp_client(SocketAddr::new(asked, proxy.address.port()));
        client.send(b"who?").unwrap();
        answer(&server);
        assert_eq!(receive(&client), "answer to who?");
    }
}

#[test]
fn a_refused_datagram_does_not_end_its_flow() {
    let target = UdpSocket::bind(loopback()).unwrap().local_addr().unwrap();
    let proxy = Proxy::udp(loopback(), target);
    let client = udp_client(proxy.address);
    client.set_read_timeout(Some(WHILE)).unwrap();
    for _ in 0..3 {
        client.send(b"nobody there").unwrap();
        assert!(client.recv(&mut [0; 16]).is_err());
    }
    let before = proxy.descriptors();
    let server = UdpSocket::bind(target).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send(b"and now?").unwrap();
    answer(&server);
    assert_eq!(receive(&client), "answer to and now?");
    assert_eq!(proxy.descriptors(), before, "it is another flow");
}

#[test]
fn it_listens_by_itself_and_tells_on_descriptor_3() {
    let free = TcpListener::bind(loopback()).unwrap().local_addr().unwrap();
    let port = free.port().to_string();
    let target = echo(loopback()).port().to_string();
    let args = [
        "-proto=tcp",
        "--host-ip",
        "127.0.0.1",
        "-host-port",
        &port,
        "-container-ip=127.0.0.1",
        "-container-port",
        &target,
    ];
    // By docker-proxy's name.
    let host = Host::without_engine("docker-proxy");
    let link = host.dir.join("docker-proxy");
    std::os::unix::fs::symlink(binary(), &link).unwrap();
    let mut process = Running::start(command(&link, &args, None));
    process.until_stdout("that it serves", |text| text == "0\n");
    says_back(&mut TcpStream::connect(free).unwrap(), b"hello");

    let second = run(command(&link, &args, None), b"", PATIENCE);
    let told = format!("listen tcp4 {free}: bind: address already in use");
    assert_eq!(second.code, 1);
    assert_eq!(
        second.stdout,
        format!("1\nfailed to listen on {free}: {told}")
    );

    // A connection does not keep it from ending.
    let mut client = TcpStream::connect(free).unwrap();
    says_back(&mut client, b"again");
    let began = Instant::now();
    send_signal(process.pid(), "TERM");
    assert_eq!(process.wait(PATIENCE), Output::new(0, "0\n", ""));
    assert!(began.elapsed() < Duration::from_secs(1));
    // Its address can be had again at once.
    let mut process = Running::start(command(&link, &args, None));
    process.until_stdout("that it serves", |text| text == "0\n");
    send_signal(process.pid(), "INT");
    assert_eq!(process.wait(PATIENCE).code, 0);
    std::fs::remove_file(link).unwrap();
}

#[test]
fn bad_flags_are_refused_with_gos_code() {
    for (args, sentence) in [
        (&["-nosuch"][..], "flag provided but not defined: -nosuch"),
        (
            &["-host-port", "http"],
            "invalid value \"http\" for flag -host-port",
        ),
        (&["-host-port", "80"], "-container-ip is needed"),
    ] {
        let args = [&["proxy"], args].concat();
        let output = run(command(&binary(), &args, None), b"", PATIENCE);
        assert_eq!(output.code, 2, "{args:?}");
        assert_eq!(output.stdout, format!("1\n{sentence}"));
        assert_eq!(
            output.stderr,
            format!("docker-proxy: {sentence}, see -help\n")
        );
    }
    let args = [
        "proxy",
        "-container-ip",
        "127.0.0.1",
        "-container-port",
        "1",
        "-use-listen-fd",
    ];
    run(command(&binary(), &args, None), b"", PATIENCE)
        .assert_refused_with("1\n-use-listen-fd: descriptor 4 is not open");
}

impl Output {
    fn assert_refused_with(&self, status: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (1, status), "{self:?}");
    }
}

#[test]
fn one_process_serves_many_sockets() {
    let streams = TcpListener::bind(loopback()).unwrap();
    let datagrams = UdpSocket::bind(loopback()).unwrap();
    let (tcp, udp) = (
        streams.local_addr().unwrap(),
        datagrams.local_addr().unwrap(),
    );
    let server = UdpSocket::bind(loopback()).unwrap();
    let host = Host::without_engine("sockets");
    let list = format!(
        "5 tcp {}\n6 udp {}\n",
        echo(loopback()),
        server.local_addr().unwrap()
    );
    let list = host.write("list", list);
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" proxy -sockets 5<&0 6<&1 <\"$1\" >&2"]);
    command
        .arg(binary())
        .arg(&list)
        .stdin(Stdio::from(OwnedFd::from(streams)));
    command.stdout(Stdio::from(OwnedFd::from(datagrams)));
    let mut process = command.spawn().unwrap();
    let pid = process.id().cast_signed();

    says_back(&mut TcpStream::connect(tcp).unwrap(), b"stream");
    let client = udp_client(udp);
    client.send(b"datagram").unwrap();
    answer(&server);
    assert_eq!(receive(&client), "answer to datagram");
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert_eq!(name, "tug-proxy\n");
    assert!(is_running(pid));
    send_signal(pid, "TERM");
    assert_eq!(process.wait().unwrap().code(), Some(0));

    for bad in [
        "999 tcp 127.0.0.1:80",
        "0 tcp 127.0.0.1:80",
        "5 tcp web:80",
        "5 icmp 127.0.0.1:80",
    ] {
        let mut command = Command::new(binary());
        command.args(["proxy", "-sockets"]);
        let output = run(command, bad.as_bytes(), PATIENCE);
        output.assert_refused(
            1,
            &format!("-sockets: {bad:?} is not an open descriptor, a protocol and a target"),
        );
    }
    std::fs::remove_file(list).unwrap();
}
