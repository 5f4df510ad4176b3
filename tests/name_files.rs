//! hosts and resolv.conf of containers in networks, and links between them.

use crate::harness::{Host, IMAGE, eventually};
use std::os::unix::fs::MetadataExt;

fn address(host: &Host, container: &str, network: &str, member: &str) -> String {
    let member = format!("NetworkSettings.Networks.{network}.{member}");
    host.inspect(container, &member).replace('"', "")
}

fn cat(host: &Host, container: &str, file: &str) -> String {
    host.ok(&["exec", container, "cat", file]) + "\n"
}

/// resolv.conf without what is for people.
fn resolv_conf(host: &Host, container: &str) -> String {
    let text = cat(host, container, "/etc/resolv.conf");
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}

const LOCAL: &str = "127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
";

fn start(host: &Host, name: &str, options: &[&str]) {
    let mut args = vec!["run", "-d", "--name", name];
    args.extend(options);
    args.extend([IMAGE, "sleep", "10000"]);
    host.ok(&args);
}

#[test]
fn hosts_has_what_docker_writes_there() {
    let host = Host::in_network("hosts-file");
    start(
        &host,
        "web",
        &[
            "-h",
            "box",
            "--domainname",
            "lan",
            "--add-host",
            "x:192.0.2.7",
            "--add-host",
            "gate:host-gateway",
        ],
    );
    let (own, gateway) = (
        address(&host, "web", "bridge", "IPAddress"),
        address(&host, "web", "bridge", "Gateway"),
    );
    let first = format!("{LOCAL}192.0.2.7\tx\n{gateway}\tgate\n{own}\tbox.lan box\n");
    assert_eq!(cat(&host, "web", "/etc/hosts"), first);
    assert_eq!(cat(&host, "web", "/etc/hostname"), "box\n");

    // Another network, in the same file; what the container wrote stays.
    host.ok(&[
        "exec",
        "web",
        "sh",
        "-c",
        "echo '10.9.9.9 mine' >> /etc/hosts",
    ]);
    let file = host.inspect("web", "HostsPath").replace('"', "");
    let inode = std::fs::metadata(&file).unwrap().ino();
    host.ok(&["network", "create", "lab"]);
    host.ok(&["network", "connect", "lab", "web"]);
    let second = address(&host, "web", "lab", "IPAddress");
    let both = cat(&host, "web", "/etc/hosts");
    for line in [
        format!("{own}\tbox.lan box\n"),
        format!("{second}\tbox.lan box\n"),
        "10.9.9.9 mine\n".to_string(),
        LOCAL.to_string(),
    ] {
        assert!(both.contains(&line), "{line:?} in {both}");
    }
    assert_eq!(std::fs::metadata(&file).unwrap().ino(), inode);
    host.ok(&["network", "disconnect", "bridge", "web"]);
    let left = cat(&host, "web", "/etc/hosts");
    assert!(!left.contains(&own) && left.contains(&second), "{left}");
    assert!(left.contains("10.9.9.9 mine\n"), "{left}");

    start(
        &host,
        "plain",
        &[
            "--sysctl",
            "net.ipv6.conf.all.disable_ipv6=1",
            "-h",
            "plain",
        ],
    );
    let own = address(&host, "plain", "bridge", "IPAddress");
    let expected = format!("127.0.0.1\tlocalhost\n{own}\tplain\n");
    assert_eq!(cat(&host, "plain", "/etc/hosts"), expected);
}

#[test]
fn resolv_conf_leads_to_our_name_server_on_user_networks_only() {
    let host = Host::in_network("resolv-conf");
    host.ok(&["network", "create", "lab"]);
    let given = [
        "--dns",
        "192.0.2.9",
        "--dns-search",
        "lan",
        "--dns-option",
        "timeout:1",
    ];
    start(&host, "plain", &given);
    let plain = "nameserver 192.0.2.9\nsearch lan\noptions timeout:1";
    assert_eq!(resolv_conf(&host, "plain"), plain);
    start(&host, "web", &[&given[..], &["--network", "lab"]].concat());
    let served = "nameserver 127.0.0.11\nsearch lan\noptions timeout:1 ndots:0";
    assert_eq!(resolv_conf(&host, "web"), served);
    let whole = cat(&host, "web", "/etc/resolv.conf");
    assert!(whole.ends_with("\n\n# ExtServers: 192.0.2.9\n"), "{whole}");

    // It comes with the first user network, unless the container has a mind of its own.
    start(&host, "edited", &given);
    host.ok(&[
        "exec",
        "edited",
        "sh",
        "-c",
        "echo '# mine' >> /etc/resolv.conf",
    ]);
    for name in ["plain", "edited"] {
        host.ok(&["network", "connect", "lab", name]);
    }
    assert_eq!(resolv_conf(&host, "plain"), served);
    assert_eq!(resolv_conf(&host, "edited"), plain);
    let found = host.ok(&["exec", "plain", "ping", "-c", "1", "-W", "5", "web"]);
    assert!(
        found.contains(&address(&host, "web", "lab", "IPAddress")),
        "{found}"
    );
    host.ok(&["restart", "-t", "0", "edited"]);
    assert_eq!(resolv_conf(&host, "edited"), served);
}

#[test]
fn links_are_names_in_hosts_and_variables() {
    let host = Host::in_network("links");
    let options = [
        "-h",
        "base",
        "--expose",
        "6379",
        "--expose",
        "53/udp",
        "-e",
        "MODE=fast",
    ];
    start(&host, "db", &options);
    start(&host, "web", &["--link", "db:data-store"]);
    let db = address(&host, "db", "bridge", "IPAddress");
    let line = |db: &str| format!("{db}\tdata-store base db\n");
    let hosts = cat(&host, "web", "/etc/hosts");
    assert!(hosts.contains(&line(&db)), "{hosts}");
    assert_eq!(
        host.inspect("web", "HostConfig.Links"),
        "[\"/db:/web/data-store\"]"
    );
    let env = host.ok(&["exec", "web", "sh", "-c", "env | grep ^DATA_STORE | sort"]);
    assert_eq!(
        env,
        format!(
            "DATA_STORE_ENV_MODE=fast\nDATA_STORE_NAME=/web/data-store\n\
             DATA_STORE_PORT=tcp://{db}:6379\nDATA_STORE_PORT_53_UDP=udp://{db}:53\n\
             DATA_STORE_PORT_53_UDP_ADDR={db}\nDATA_STORE_PORT_53_UDP_PORT=53\n\
             DATA_STORE_PORT_53_UDP_PROTO=udp\nDATA_STORE_PORT_6379_TCP=tcp://{db}:6379\n\
             DATA_STORE_PORT_6379_TCP_ADDR={db}\nDATA_STORE_PORT_6379_TCP_PORT=6379\n\
             DATA_STORE_PORT_6379_TCP_PROTO=tcp"
        )
    );

    // It comes back at another address.
    host.ok(&["restart", "-t", "0", "db"]);
    let again = address(&host, "db", "bridge", "IPAddress");
    eventually("hosts follows", || {
        let hosts = cat(&host, "web", "/etc/hosts");
        hosts.contains(&line(&again)) && (again == db || !hosts.contains(&line(&db)))
    });

    host.ok(&["stop", "-t", "0", "db", "web"]);
    host.tug(&["start", "web"]).assert_refused(
        1,
        "Cannot link to a non running container: /db AS /web/data-store",
    );
    host.tug(&["run", "--rm", "--link", "nobody", IMAGE, "true"])
        .assert_refused(
            125,
            "could not get container for nobody: No such container: nobody",
        );
    host.tug(&["run", "--rm", "--network", "host", "--link", "db", IMAGE, "true"])
        .assert_refused(
            125,
            "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
        );
}
