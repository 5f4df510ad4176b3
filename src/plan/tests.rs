//! Plans as people write them, from files to arguments.

use super::*;
use std::path::PathBuf;

/// A directory with files, gone with the value.
struct Plan(PathBuf);

impl Plan {
    fn new(files: &[(&str, &str)]) -> Plan {
        let id = crate::id::random().unwrap();
        let dir = std::env::temp_dir().join(format!("tug-plan-{id}"));
        for (name, text) in files {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Plan(dir)
    }

    /// Names with their phases, and what is wrong.
    fn shown(&self) -> (String, Vec<String>) {
        let set = read_dir(&self.0).unwrap();
        let names: Vec<String> = set
            .entries
            .iter()
            .map(|entry| format!("{}:{:?}", entry.name, entry.phase))
            .collect();
        let dir = format!("{}/", self.0.display());
        let plain = |remark: &Remark| remark.text.replace(&dir, "");
        (names.join(" "), set.broken.iter().map(plain).collect())
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_plan_is_read_by_phase_and_name_and_a_broken_file_stops_no_other() {
    let image = r#"{"image":"a"}"#;
    let plan = Plan::new(&[
        ("machine.json", "{}"),
        ("onboot/20-second.json", image),
        ("onboot/10-first.json", image),
        ("services/web.json", image),
        ("services/.hidden.json", "{"),
        ("services/web.json~", "{"),
        ("services/broken.json", "{"),
        ("services/what.txt", "x"),
        ("onshutdown/bye.json", image),
        ("onshutdown/other.json", r#"{"image":"a","name":"web"}"#),
        ("late.json", image),
    ]);
    let (entries, broken) = plan.shown();
    assert_eq!(
        entries,
        "10-first:Onboot 20-second:Onboot web:Service bye:Onshutdown late:Service"
    );
    assert_eq!(
        broken,
        [
            "services/broken.json: invalid JSON: line 1, column 2: unexpected end",
            "services/what.txt: no plan file: NAME.json, .container, .volume, .network or .yml is wanted",
            "onshutdown/other.json: services/web.json has a container web too",
        ]
    );
}

#[test]
fn a_missing_plan_is_no_empty_one() {
    let error = read_dir(Path::new("/nowhere/plan")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "read /nowhere/plan: No such file or directory (os error 2)"
    );
    assert!(machine(Path::new("/nowhere/plan")).unwrap().is_none());
}

#[test]
fn what_is_no_file_of_text_is_refused() {
    let plan = Plan::new(&[("services/a.json", ""), ("machine.json", "{\"dns\":1}")]);
    std::fs::write(plan.0.join("services/latin.json"), b"{\"image\":\"\xe4\"}").unwrap();
    let large = " ".repeat((1 << 20) + 1);
    std::fs::write(plan.0.join("services/large.json"), large).unwrap();
    std::os::unix::fs::symlink("/dev/zero", plan.0.join("services/zero.json")).unwrap();
    assert_eq!(
        plan.shown().1,
        [
            "services/a.json: invalid JSON: line 1, column 1: unexpected end",
            "services/large.json: larger than 1 MiB: no plan file is",
            "services/latin.json: not UTF-8",
            "services/zero.json: no file",
        ]
    );
    let error = machine(&plan.0).unwrap_err().to_string();
    assert!(error.ends_with("machine.json: dns cannot be this number"));
}

/// The arguments of each entry, volume and network, what it comes after, and what is to say.
fn told(files: &[(&str, &str)]) -> Vec<String> {
    let plan = Plan::new(files);
    let set = read_dir(&plan.0).unwrap();
    let mut lines = Vec::new();
    for entry in &set.entries {
        let mut line = entry.arguments.join(" ");
        for after in &entry.after {
            line.push_str(&format!(" after {}:{:?}", after.name, after.until));
        }
        for condition in &entry.conditions {
            line.push_str(&format!(" when {condition}"));
        }
        if let Some(timeout) = entry.timeout {
            line.push_str(&format!(" within {timeout:?}"));
        }
        if let Some(test) = &entry.health {
            line.push_str(&format!(" health {}", test.join("|")));
        }
        lines.push(line);
    }
    let made = set.volumes.iter().chain(&set.networks);
    lines.extend(made.map(|made| made.arguments.join(" ")));
    lines.extend(set.notes.iter().map(|note| format!("note {}", note.text)));
    lines.extend(
        set.broken
            .iter()
            .map(|broken| format!("broken {}", broken.text)),
    );
    let dir = format!("{}/", plan.0.display());
    lines.iter().map(|line| line.replace(&dir, "")).collect()
}

const WEB: &str = r#"
[Unit]
Description=The web server
After=db.service network-online.target data.mount
Requires=db.service
Wants=cache.service
BindsTo=dev-ttyUSB0.device

[Container]
ContainerName=www
Image=registry.example/web:1
# Two variables, one with a blank.
Environment=A=1 "B=2 3"
Environment=NAME=%p
EnvironmentFile=web.env -missing.env
Volume=web-data.volume:/data
Volume=./conf:/etc/web:ro
Network=lan.network:ip=10.1.0.5,alias=www
PublishPort=8080:80
PublishPort=443:443/tcp
AddCapability=NET_ADMIN SYS_TIME
DropCapability=ALL
AddDevice=-/dev/does-not-exist
AddDevice=/dev/null
ReadOnly=yes
NoNewPrivileges=true
RunInit=true
SeccompProfile=unconfined
User=1000
Group=100
HealthCmd=["/bin/check", "--fast"]
HealthInterval=10s
PodmanArgs=--cpus 0.5
LogDriver=k8s-file
AutoUpdate=registry
StopTimeout=5
Exec=serve --listen=:80 \
  "two words" $$x

[Service]
Restart=on-failure
TimeoutStartSec=1min 30s
MemoryMax=64M
CPUQuota=150%
Slice=web.slice

[Install]
WantedBy=multi-user.target
"#;

const DB: &str = "[Container]\nImage=db\nNotify=healthy\nHealthCmd=check\n";
const VOLUME: &str = "[Volume]\nLabel=a=b\nDevice=tmpfs\nType=tmpfs\nOptions=size=1m\nUser=5\n";
const NETWORK: &str =
    "[Network]\nNetworkName=lan0\nSubnet=10.1.0.0/24\nGateway=10.1.0.1\nInternal=yes\n";

#[test]
fn quadlet_units_become_arguments() {
    let lines = told(&[
        ("services/web.container", WEB),
        ("services/db.container", DB),
        ("services/web-data.volume", VOLUME),
        ("services/lan.network", NETWORK),
    ]);
    assert_eq!(
        lines,
        [
            "--name=db --health-cmd=check -- db",
            "--name=www --env=A=1 --env=B=2 3 --env=NAME=web --env-file=services/web.env \
             --volume=web-data:/data --volume=services/conf:/etc/web:ro \
             --network=name=lan0,ip=10.1.0.5,alias=www --publish=8080:80 --publish=443:443/tcp \
             --cap-add=NET_ADMIN --cap-add=SYS_TIME --cap-drop=ALL --device=/dev/null \
             --read-only=true --tmpfs=/run --tmpfs=/tmp --tmpfs=/var/tmp \
             --security-opt=no-new-privileges --init=true --security-opt=seccomp=unconfined \
             --user=1000:100 --health-interval=10s --cpus 0.5 --log-driver=json-file \
             --stop-timeout=5 --restart=on-failure --memory=64M --cpus=1.50 \
             -- registry.example/web:1 serve --listen=:80 two words $x \
             after db:Healthy when network when mount:/data when device:/dev/ttyUSB0 \
             within 90s health CMD|/bin/check|--fast",
            "--label=a=b --opt=device=tmpfs --opt=type=tmpfs --opt=o=size=1m,uid=5 -- web-data",
            "--subnet=10.1.0.0/24 --gateway=10.1.0.1 --internal=true -- lan0",
            "note services/web.container: [Container] AutoUpdate= is without effect: \
             images change when you say: tug update-image",
            "note services/web.container: [Service] Slice= is without effect: it is systemd's",
            "note services/web.container: it comes after cache, which is not here",
        ]
    );
}

#[test]
fn what_a_unit_asks_for_in_vain_is_named() {
    for (unit, expected) in [
        ("", "image is missing"),
        (
            "[Container]\nImage",
            "line 2: KEY=VALUE in a [Section] is wanted",
        ),
        ("[Pod]\nA=b", "[Pod] has no place here"),
        (
            "[Container]\nImage=a\nPublishPorts=80",
            "[Container] PublishPorts=: there is no such key (did you mean PublishPort?)",
        ),
        (
            "[Container]\nImage=a\nSecret=x",
            "[Container] Secret=: cannot be had: write Volume= or EnvironmentFile=",
        ),
        (
            "[Container]\nImage=a\nReadOnly=perhaps",
            "[Container] ReadOnly=: \"perhaps\" is neither yes nor no",
        ),
        (
            "[Container]\nImage=a\nVolume=x.volume:/x",
            "[Container] Volume=: x.volume: No such file or directory (os error 2)",
        ),
        (
            "[Container]\nImage=a\nUserNS=keep-id",
            "[Container] UserNS=: keep-id cannot be had here",
        ),
        (
            "[Container]\nImage=a\nHostName=%d",
            "[Container] HostName=: %d has no meaning without systemd: \
             write what it stands for, or %% for a percent sign",
        ),
        (
            "[Container]\nImage=a\nGroup=1",
            "[Container] Group=: there is no User= with it",
        ),
        (
            "[Unit]\nConditionArchitecture=arm64\n[Container]\nImage=a",
            "[Unit] ConditionArchitecture=: this cannot be waited for",
        ),
        (
            "[Container]\nImage=a\n[Service]\nExecStartPre=/bin/true",
            "[Service] ExecStartPre=: cannot be had: it runs a program of the host",
        ),
        (
            "[Container]\nImage=a\n[Service]\nTimeoutStartSec=soon",
            "[Service] TimeoutStartSec=: \"soon\" is no span of time",
        ),
    ] {
        let lines = told(&[("services/a1.container", unit)]);
        let expected = format!("broken services/a1.container: {expected}");
        let lines: Vec<String> = lines
            .iter()
            .map(|l| {
                l.replace("read services/x.volume: ", "")
                    .replace("read: ", "")
            })
            .collect();
        assert_eq!(lines, [expected], "{unit}");
    }
}

#[test]
fn drop_ins_and_templates() {
    let lines = told(&[
        (
            "services/a1.container",
            "[Container]\nImage=a\nEnvironment=A=1\n",
        ),
        (
            "services/a1.container.d/20-b.conf",
            "[Container]\nImage=c\n",
        ),
        (
            "services/a1.container.d/10-a.conf",
            "[Container]\nImage=b\nEnvironment=\nEnvironment=B=2\n",
        ),
        ("services/a1.container.d/readme", "nothing"),
        ("services/t@.container", "[Container]\nImage=a\n"),
        (
            "services/t@x.container",
            "[Container]\nImage=a:%i\nContainerName=%p-%i\n[Unit]\nBefore=a1.service\n",
        ),
        ("services/p.pod", "[Pod]\n"),
    ]);
    assert_eq!(
        lines,
        [
            "--name=a1 --env=B=2 -- c after t-x:Started",
            "--name=t-x -- a:x",
            "broken services/p.pod: units of the kind .pod are not read: \
             .container, .volume and .network are",
            "broken services/t@.container: a template starts nothing: name an instance",
        ]
    );
}

#[test]
fn a_missing_requirement_is_told_by_the_order() {
    let plan = Plan::new(&[(
        "services/a1.container",
        "[Container]\nImage=a\n[Unit]\nRequires=b1.service\n",
    )]);
    let set = read_dir(&plan.0).unwrap();
    let order = order(&set.entries);
    assert!(order.places.is_empty());
    assert!(
        order.broken[0]
            .text
            .ends_with("a1 comes after b1, which is not in the plan")
    );
}

#[test]
fn one_unit_brings_the_units_that_it_names() {
    let plan = Plan::new(&[
        (
            "web.container",
            "[Container]\nImage=a\nVolume=d.volume:/d\nNetwork=n.network\n",
        ),
        ("d.volume", "[Volume]\n"),
        ("n.network", "[Network]\nNope=1\n"),
    ]);
    let set = read_file(&plan.0.join("web.container")).unwrap();
    assert_eq!(
        (set.entries.len(), set.volumes.len(), set.networks.len()),
        (1, 1, 0)
    );
    assert!(
        set.broken[0]
            .text
            .ends_with("n.network: [Network] Nope=: there is no such key")
    );
}

#[test]
fn what_is_waited_for_until_it_ends_is_not_started_again() {
    let lines = told(&[
        ("services/job.json", r#"{"image":"a"}"#),
        (
            "services/once.container",
            "[Container]\nImage=a\n[Service]\nType=oneshot\n",
        ),
        (
            "services/web.json",
            r#"{"image":"a","after":["job:completed"]}"#,
        ),
        (
            "services/late.container",
            "[Container]\nImage=a\n[Unit]\nAfter=once.service\n",
        ),
    ]);
    assert_eq!(
        lines,
        [
            "--name=job --restart=no -- a",
            "--name=late -- a after once:Completed",
            "--name=once --restart=no -- a",
            "--name=web -- a after job:Completed",
        ]
    );
}

/// Every beginning of every sample: whatever is half written is read or refused.
#[test]
fn half_a_file_is_read_or_refused() {
    for (name, text) in [
        ("web.container", WEB),
        ("db.container", DB),
        ("d.volume", VOLUME),
        ("n.network", NETWORK),
        (
            "web.json",
            r#"{"image":"a","env":{"A":"1"},"after":["b:healthy"],"timeout":"1m"}"#,
        ),
    ] {
        let plan = Plan::new(&[(name, "")]);
        let path = plan.0.join(name);
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            std::fs::write(&path, &text[..end]).unwrap();
            let _ = read_file(&path);
        }
    }
}

const COMPOSE: &str = r#"
name: shop
x-common: &common
  restart: unless-stopped
  logging: {driver: json-file, options: {max-size: 1m}}
services:
  web:
    <<: *common
    image: "web:${TAG:-1}"
    command: serve --title 'a b'
    entrypoint: ["/entry", "-v"]
    environment:
      A: 1
      B: ${NOT_SET_ANYWHERE}
      C:
    env_file: web.env
    ports:
      - "8080:80"
      - target: 443
        published: 8443
        protocol: tcp
        host_ip: 127.0.0.1
    volumes:
      - data:/data
      - ./conf:/etc/web:ro
      - type: tmpfs
        target: /tmp
        tmpfs: {size: 1m}
    networks:
      front: {aliases: [www], ipv4_address: 10.9.0.5}
      back:
    depends_on:
      db: {condition: service_healthy}
    healthcheck:
      test: ["CMD", "/check", "it"]
      interval: 5s
    deploy:
      resources:
        limits: {memory: 64m, cpus: "0.5"}
    ulimits:
      nofile: {soft: 10, hard: 20}
    stop_grace_period: 1m
    extra_hosts: ["h:10.0.0.1"]
    sysctls:
      net.core.somaxconn: 1024
  db:
    image: db
    container_name: the-db
    networks: [back]
  debug:
    image: d
    profiles: [debug]
  built:
    build: .
networks:
  front:
    ipam:
      config: [{subnet: 10.9.0.0/24}]
  back: {internal: true}
volumes:
  data:
    labels: [a=b]
"#;

#[test]
fn a_compose_file_becomes_arguments() {
    let lines = told(&[
        ("compose.yml", COMPOSE),
        ("web.env", "A=0\nFILE='x y'\n"),
        (".env", "TAG=7\n"),
    ]);
    // The hash and the temporary directory differ each time.
    let plain = |line: &String| {
        let words = line.split(" --").filter(|word| {
            !word.starts_with("label=com.docker.compose.config-hash=")
                && !word.starts_with("label=com.docker.compose.project.")
        });
        words.collect::<Vec<_>>().join(" --")
    };
    let lines: Vec<String> = lines.iter().map(plain).collect();
    let labels = |service: &str| {
        format!(
            "--label=com.docker.compose.container-number=1 --label=com.docker.compose.oneoff=False \
             --label=com.docker.compose.project=shop --label=com.docker.compose.service={service}"
        )
    };
    assert_eq!(
        lines[0],
        format!(
            "--name=shop-web-1 --entrypoint=/entry --publish=8080:80 \
             --publish=127.0.0.1:8443:443/tcp --volume=shop_data:/data --volume=conf:/etc/web:ro \
             --mount=type=tmpfs,target=/tmp,tmpfs-size=1m --health-interval=5s --cpus=0.5 \
             --memory=64m --ulimit=nofile=10:20 --stop-timeout=60 --add-host=h:10.0.0.1 \
             --sysctl=net.core.somaxconn=1024 --restart=unless-stopped --log-driver=json-file \
             --log-opt=max-size=1m --network=name=shop_front,alias=web,alias=www,ip=10.9.0.5 \
             --network=name=shop_back,alias=web --env=FILE=x y --env=A=1 --env=B= {} -- web:7 \
             -v serve --title a b after the-db:Healthy health CMD|/check|it",
            labels("web")
        )
    );
    assert_eq!(
        lines[1..],
        [
            format!("--name=the-db --network=name=shop_back,alias=db {} -- db", labels("db")),
            "--label=a=b --label=com.docker.compose.volume=data \
             --label=com.docker.compose.project=shop -- shop_data"
                .to_string(),
            "--subnet=10.9.0.0/24 --label=com.docker.compose.network=front \
             --label=com.docker.compose.project=shop -- shop_front"
                .to_string(),
            "--internal=true --label=com.docker.compose.network=back \
             --label=com.docker.compose.project=shop -- shop_back"
                .to_string(),
            "note compose.yml: the variable NOT_SET_ANYWHERE is not set: it is empty".to_string(),
            "broken compose.yml: services.built: build: build the image, and name it with image:"
                .to_string(),
            "broken web.env: no plan file: NAME.json, .container, .volume, .network or .yml is wanted"
                .to_string(),
        ]
    );
}

#[test]
fn what_a_compose_file_asks_for_in_vain_is_named() {
    let service = |text: &str| format!("name: p1\nservices:\n  aa:\n    image: i\n{text}");
    for (text, expected) in [
        ("a: [", "line 1, column 5: expected ',' or ']'"),
        ("services: {}", "there are no services"),
        (
            "service: {}",
            "service is not read here (did you mean services?)",
        ),
        (
            "include: [a.yml]\nservices: {a: {}}",
            "include is not read here",
        ),
        (
            &service("    imag: x\n"),
            "services.aa: imag: there is no such member (did you mean image?)",
        ),
        (
            &service("    secrets: [a]\n"),
            "services.aa: secrets: cannot be had: write volumes: or env_file:",
        ),
        (
            &service("    volumes: [\"d:/d\"]\n"),
            "services.aa: volumes: undefined volume: volumes has no d",
        ),
        (
            &service("    networks: [n]\n"),
            "services.aa: networks.n: undefined network: networks has no n",
        ),
        (
            &service("    depends_on: [b]\n"),
            "services.aa: depends_on: there is no service b",
        ),
        (
            &service("    scale: 2\n"),
            "services.aa: scale: one container of a service runs here",
        ),
        (
            &service("    environment: {A: [1]}\n"),
            "services.aa: environment: A: a string, a number or a boolean is wanted",
        ),
        (
            &service("    hostname: ${A\n"),
            "services.aa: hostname: invalid interpolation format in \"${A\"",
        ),
        (
            &service("    healthcheck: {test: [x]}\n"),
            "services.aa: healthcheck: test: NONE, CMD or CMD-SHELL is wanted first",
        ),
        (
            "services: {aa: {command: x}}",
            "plan-aa-1: image is missing",
        ),
    ] {
        let lines = told(&[("plan/compose.yml", text)]);
        assert!(lines.is_empty());
        let plan = Plan::new(&[("plan/compose.yml", text)]);
        let error = match read_file(&plan.0.join("plan/compose.yml")) {
            Ok(set) => set.broken[0].text.clone(),
            Err(error) => error.to_string(),
        };
        let found = error.split_once("compose.yml: ").unwrap().1;
        assert_eq!(found, expected, "{text}");
    }
}
