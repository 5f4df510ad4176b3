use super::*;
use crate::net::namespace::{create, within};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;

/// In a network namespace of its own, where nothing is but the loopback.
fn alone(test: impl FnOnce()) {
    let namespace = create().unwrap();
    within(&namespace, || {
        crate::net::loopback_up().unwrap();
        test();
        Ok(())
    })
    .unwrap();
}

fn nft(arguments: &[&str]) -> String {
    let output = Command::new("nft").args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn names_are_asked_at_the_ports_of_the_name_server() {
    alone(|| {
        let udp = UdpSocket::bind("127.0.0.11:0").unwrap();
        let tcp = TcpListener::bind("127.0.0.11:0").unwrap();
        let port = |address: std::net::SocketAddr| address.port();
        let ports = [
            port(udp.local_addr().unwrap()),
            port(tcp.local_addr().unwrap()),
        ];
        redirect_names(1, 1).unwrap();
        redirect_names(ports[0], ports[1]).unwrap();

        let client = UdpSocket::bind("0.0.0.0:0").unwrap();
        client.connect("127.0.0.11:53").unwrap();
        client.send(b"question").unwrap();
        let mut buffer = [0; 16];
        let (_, from) = udp.recv_from(&mut buffer).unwrap();
        udp.send_to(b"answer", from).unwrap();
        let count = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"answer");

        // A server of the container's own has the port to itself, on other addresses and on all.
        let own = TcpListener::bind("0.0.0.0:53").unwrap();
        TcpStream::connect("127.0.0.11:53").unwrap();
        tcp.accept().unwrap();
        TcpStream::connect("127.0.0.1:53").unwrap();
        own.accept().unwrap();
        let listed = nft(&["list", "ruleset"]);
        assert_eq!(listed.matches("dnat to 127.0.0.11:").count(), 2, "{listed}");
    });
}
