//! Plans of every kind of file, from the disk to what `create` would be asked for.

use crate::harness::{Host, binary};
use std::path::Path;
use std::process::Command;

const COMPOSE: &str = r#"
name: shop
services:
  shop:
    image: shop:1
    command: ["serve", "--port", "80"]
    ports: ["8080:80", {target: 443, published: "8443"}]
    environment: {A: 1}
    volumes: ["data:/data", "./conf:/conf:ro", {type: bind, source: ./x, target: /x}]
    networks: {default: {aliases: [www]}}
    depends_on: {cache: {condition: service_healthy}}
    deploy: {resources: {limits: {memory: 64m, cpus: "0.5", pids: 20}}}
    ulimits: {nofile: {soft: 10, hard: 20}}
    logging: {driver: json-file, options: {max-size: 1m}}
    cap_add: [NET_ADMIN]
    devices: ["/dev/null:/dev/zilch:r"]
    sysctls: {net.core.somaxconn: 1024}
    extra_hosts: ["h:10.0.0.1"]
    tmpfs: [/tmp]
    restart: unless-stopped
    stop_grace_period: 1m
    init: true
  cache:
    image: cache:1
    healthcheck: {test: [CMD, /check], interval: 5s, retries: 2}
volumes: {data: {labels: {a: b}}}
networks: {default: {ipam: {config: [{subnet: 10.9.0.0/24, gateway: 10.9.0.1}]}}}
"#;

const UNIT: &str = "[Unit]\nAfter=db.service network-online.target\nRequires=db.service\n\
     [Container]\nImage=web:1\nVolume=state.volume:/state\nNetwork=lan.network:alias=www\n\
     PublishPort=8081:80\nReadOnly=yes\nHealthCmd=check me\nHealthInterval=10s\nUlimit=nofile=10:20\n\
     Sysctl=net.core.somaxconn=1\nTmpfs=/x:size=1m\nAddHost=h:10.0.0.1\nStopTimeout=3\nShmSize=1m\n\
     SecurityLabelDisable=yes\nLogDriver=journald\nPodmanArgs=--cpus 0.5\nExec=sh -c 'echo \"$$HOME\"'\n\
     [Service]\nRestart=always\nMemoryMax=32M\n[Install]\nWantedBy=multi-user.target\n";

fn check(dir: &str) -> (i32, String) {
    let mut tug = Command::new(binary());
    let output = tug.args(["boot", "check", dir]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).replace(&format!("{dir}/"), "");
    let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), said + &wrong)
}

#[test]
fn a_plan_of_every_kind_of_file_is_checked_as_a_whole() {
    let host = Host::without_engine("plan");
    let dir = host.make_dir("plan");
    let write = |name: &str, text: &str| {
        let path = Path::new(&dir).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "machine.json",
        r#"{"hostname":"board","watchdog":{"timeout":"30s"}}"#,
    );
    write(
        "onboot/prepare.json",
        r#"{"image":"tools:1","command":"mkfs -q /dev/sda1","privileged":true}"#,
    );
    write(
        "services/db.json",
        r#"{"image":"db:1","env":{"A":1},"volume":"./data:/data","memory":"64m","critical":true,
        "after":["prepare:completed"],"health-cmd":"check","health-interval":"10s","timeout":"1m"}"#,
    );
    write("services/web.container", UNIT);
    write("services/state.volume", "[Volume]\nLabel=a=b\n");
    write(
        "services/lan.network",
        "[Network]\nSubnet=10.8.0.0/24\nInternal=yes\n",
    );
    write("services/compose.yml", COMPOSE);
    assert_eq!(check(&dir), (0, String::new()));

    write(
        "services/db.json",
        r#"{"image":"db:1","memori":"64m","after":["web"]}"#,
    );
    write("services/half.json", r#"{"image":"#);
    write("services/pod.pod", "[Pod]\n");
    write("machine.json", r#"{"hostnam":"board"}"#);
    assert_eq!(
        check(&dir),
        (
            1,
            "machine.json: there is no member hostnam (did you mean hostname?)\n\
             services/half.json: invalid JSON: line 1, column 10: unexpected end\n\
             services/pod.pod: units of the kind .pod are not read: .container, .volume and .network are\n\
             services/db.json: db is in a circle: db after web after db\n\
             services/web.container: web is in a circle: db after web after db\n\
             services/db.json: tug create has no option memori (did you mean memory?)\n"
                .to_string()
        )
    );
    assert_eq!(
        check(&format!("{dir}/services/compose.yml")),
        (0, String::new())
    );
    let (code, said) = check(&format!("{dir}/nowhere"));
    assert_eq!(code, 1);
    assert!(said.contains("No such file or directory"), "{said}");
}

#[test]
fn a_file_is_found_from_where_one_stands() {
    let host = Host::without_engine("plan-here");
    let dir = host.make_dir("shop");
    let text = "services: {web: {image: web:1, volumes: [./www:/www]}}\n";
    std::fs::write(Path::new(&dir).join("compose.yml"), text).unwrap();
    let mut tug = Command::new(binary());
    let output = tug.args(["boot", "check", "compose.yml"]).current_dir(&dir);
    let output = output.output().unwrap();
    // Its project would have no name, its volume no place.
    assert!(output.status.success(), "{output:?}");
}
