//! Projects of several services: docker-compose as Debian has it, and the plugin of today, bring them
//! up on our socket with networks, aliases, volumes, published ports, health and dependencies.

use crate::harness::command::{Output, run};
use crate::harness::net::Lan;
use crate::harness::{Host, PATIENCE, eventually, skip};
use std::path::{Path, PathBuf};

/// `web` finds `db` by its alias in a network that leads nowhere, and shows what it said.
const PROJECT: &str = r#"
version: "2.4"
services:
  db:
    image: test
    command: sh -c "cat /data/visits; echo x >> /data/visits; mkdir -p /www; wc -l < /data/visits > /www/page; touch /tmp/ready; exec httpd -f -p 8080 -h /www"
    volumes: ["data:/data"]
    networks:
      back:
        aliases: [store]
    healthcheck:
      test: ["CMD", "test", "-f", "/tmp/ready"]
      interval: 100ms
  web:
    image: test
    command: sh -c "mkdir /www; wget -q -O /www/index.html http://store:8080/page && exec httpd -f -p 80 -h /www"
    depends_on:
      db:
        condition: service_healthy
    networks: [front, back]
    ports: ["8080:80", "127.0.0.1:8081:80"]
    restart: unless-stopped
  lonely:
    image: test
    command: sleep 1000
    networks: [front]
    extra_hosts: ["far:192.0.2.9"]
networks:
  front: {}
  back:
    internal: true
    ipam:
      config: [{subnet: 10.77.0.0/24}]
volumes:
  data: {}
"#;

/// Debian's, and the plugin where `TUG_COMPOSE` says that it is.
fn programs(test: &str) -> Vec<PathBuf> {
    let plugin = std::env::var("TUG_COMPOSE").unwrap_or_default();
    let all = ["/usr/bin/docker-compose".to_string(), plugin];
    let (here, missing): (Vec<_>, Vec<_>) = all.into_iter().partition(|p| Path::new(p).exists());
    for program in missing {
        skip(
            &format!("compose: {test}"),
            &format!("no program {program:?}"),
        );
    }
    here.into_iter().map(PathBuf::from).collect()
}

fn compose(host: &Host, program: &Path, args: &[&str]) -> Output {
    let file = host.write("compose.yml", PROJECT);
    let args = [&["-f", file.as_str(), "-p", "lab"], args].concat();
    let mut command = host.client(program, &args);
    command.env("COMPOSE_HTTP_TIMEOUT", "60");
    run(command, b"", PATIENCE)
}

/// The container of a service: the two join their words differently.
fn container(host: &Host, service: &str) -> String {
    let filter = format!("label=com.docker.compose.service={service}");
    host.ok(&["ps", "-q", "--filter", &filter])
}

#[test]
fn a_project_of_networks_volumes_and_health_comes_up_and_goes() {
    for program in programs("project") {
        let host = Host::in_network("compose-project");
        let lan = Lan::new();
        lan.plug(host.network(), "lan", &["192.0.2.1/24"]);
        let neighbour = lan.neighbour(&["192.0.2.2/24"]);
        let before = host.ok(&["network", "ls", "-q"]);

        let up = compose(&host, &program, &["up", "-d"]);
        assert_eq!(up.code, 0, "{up:?}");
        let (web, db) = (container(&host, "web"), container(&host, "db"));
        assert_eq!(host.inspect(&db, "State.Health.Status"), "\"healthy\"");
        let page = |address: &str| format!("curl -s -m 5 http://{address}/");
        let visits = |expected: &str| {
            eventually("the published page is there", || {
                neighbour.try_sh(&page("192.0.2.1:8080")).stdout == expected
            });
        };
        visits("1\n");
        assert_eq!(host.network().sh(&page("127.0.0.1:8080")), "1\n");
        assert_eq!(host.network().sh(&page("127.0.0.1:8081")), "1\n");
        assert_ne!(neighbour.try_sh(&page("192.0.2.1:8081")).code, 0);

        // Who is in which network, under which names.
        let lonely = container(&host, "lonely");
        let ask = |from: &str, script: &str| host.tug(&["exec", from, "sh", "-c", script]);
        assert_eq!(
            ask(&lonely, "timeout 5 wget -q -O - http://web/").stdout,
            "1\n"
        );
        assert_ne!(ask(&lonely, "nslookup store").code, 0);
        assert_eq!(
            ask(&lonely, "grep -c 192.0.2.9.*far /etc/hosts").stdout,
            "1\n"
        );
        assert!(ask(&web, "ip addr").stdout.contains("inet 10.77.0."));
        let way_out = ask(&db, "ping -c 1 -W 1 192.0.2.2");
        assert_ne!(way_out.code, 0, "{way_out:?}");

        // The same again changes nothing.
        let running = host.ok(&["ps", "-q"]);
        assert_eq!(compose(&host, &program, &["up", "-d"]).code, 0);
        assert_eq!(host.ok(&["ps", "-q"]), running);
        let restart = compose(&host, &program, &["restart", "-t", "0", "db", "web"]);
        assert_eq!(restart.code, 0, "{restart:?}");

        // The volume outlives its containers, and goes with `-v`.
        let down = compose(&host, &program, &["down", "-t", "0"]);
        assert_eq!(down.code, 0, "{down:?}");
        assert_eq!(host.ok(&["ps", "-aq"]), "");
        assert_eq!(host.ok(&["network", "ls", "-q"]), before);
        assert_eq!(host.ok(&["volume", "ls", "-q"]), "lab_data");
        assert_eq!(compose(&host, &program, &["up", "-d"]).code, 0);
        visits("3\n");
        let down = compose(&host, &program, &["down", "-v", "-t", "0"]);
        assert_eq!(down.code, 0, "{down:?}");
        assert_eq!(host.ok(&["volume", "ls", "-q"]), "");
    }
}

#[test]
fn services_of_more_than_one_container_share_their_name() {
    for program in programs("scale") {
        let host = Host::in_network("compose-scale");
        let up = compose(
            &host,
            &program,
            &["up", "-d", "--scale", "lonely=3", "lonely"],
        );
        assert_eq!(up.code, 0, "{up:?}");
        let ids = container(&host, "lonely");
        assert_eq!(ids.lines().count(), 3, "{ids}");
        let asked = ids.lines().next().unwrap();
        let answer = host.ok(&["exec", asked, "nslookup", "lonely"]);
        let addresses = answer
            .lines()
            .filter(|line| line.starts_with("Address: 172."));
        assert_eq!(addresses.count(), 3, "{answer}");
        let down = compose(&host, &program, &["down", "-t", "0"]);
        assert_eq!(down.code, 0, "{down:?}");
    }
}
