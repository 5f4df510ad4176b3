//! resolv.conf of containers: the host's, with what the user set in its place, as a container's
//! network needs it (moby, libnetwork/internal/resolvconf).

use crate::net::dns;
use crate::net::plan::{Resolver, Server};
use std::net::IpAddr;

/// Where Docker sends a container whose host has no name server that could be reached.
const FALLBACK: [&str; 4] = [
    "8.8.8.8",
    "8.8.4.4",
    "2001:4860:4860::8888",
    "2001:4860:4860::8844",
];

const HEAD: &str =
    "# Made by tug from the host's. It may be edited: then it stays so until the next start.\n\n";

/// What the user set of it, for the container or for all.
#[derive(Default)]
pub struct Given {
    pub servers: Vec<String>,
    pub search: Vec<String>,
    pub options: Vec<String>,
}

pub struct ResolvConf {
    servers: Vec<String>,
    search: Vec<String>,
    options: Vec<String>,
    /// Lines of other kinds.
    other: Vec<String>,
    /// The servers are the user's: they are taken as they are.
    is_given: bool,
}

impl ResolvConf {
    pub fn of(host: &str, given: &Given) -> ResolvConf {
        let mut conf = ResolvConf {
            servers: Vec::new(),
            search: Vec::new(),
            options: Vec::new(),
            other: Vec::new(),
            is_given: !given.servers.is_empty(),
        };
        for line in host.lines() {
            conf.take(line);
        }
        if conf.is_given {
            conf.servers.clone_from(&given.servers);
        }
        if !given.search.is_empty() {
            // Docker's way to ask for no search list at all.
            let search = given.search.iter().filter(|domain| *domain != ".");
            conf.search = search.cloned().collect();
        }
        if !given.options.is_empty() {
            conf.options.clone_from(&given.options);
        }
        conf
    }

    fn take(&mut self, line: &str) {
        let mut words = line.split_whitespace().map(str::to_string);
        let Some(key) = words.next().filter(|key| !key.starts_with(['#', ';'])) else {
            return;
        };
        match key.as_str() {
            "nameserver" => {
                let address = words.next().filter(|text| address(text).is_some());
                self.servers.extend(address);
            }
            // The last one counts (resolv.conf(5)).
            "domain" | "search" => self.search = words.collect(),
            "options" => self.options.extend(words),
            _ => self.other.push(line.to_string()),
        }
    }

    /// For a network where nobody serves names: the host's own loopback is not reachable there.
    pub fn reachable(mut self, has_v6: bool) -> ResolvConf {
        if self.is_given {
            return self;
        }
        self.servers
            .retain(|server| !is_loopback(server) && (has_v6 || !server.contains(':')));
        if self.servers.is_empty() {
            self.servers = fallback(has_v6);
        }
        self
    }

    /// For a container that has our name server, and what that asks. A server of the host's that
    /// only the host can reach is asked from there.
    pub fn served(mut self, has_v6: bool) -> (ResolvConf, Resolver) {
        let mut servers = std::mem::replace(&mut self.servers, vec![dns::ADDRESS.to_string()]);
        if servers.is_empty() {
            servers = fallback(has_v6);
        }
        let has_zone = |server: &str| server.contains('%');
        let is_of_host = |server: &str| {
            let is_v6 = server.contains(':');
            !self.is_given && (is_loopback(server) || has_zone(server) || is_v6 && !has_v6)
        };
        let servers = servers.into_iter().map(|address| Server {
            is_of_host: Some(is_of_host(&address)),
            address: Some(address),
        });
        let resolver = Resolver {
            servers: Some(servers.collect()),
            has_ndots: Some(self.ndots().is_some()),
            ..Resolver::default()
        };
        // Without dots too a name is asked for before the search list is tried: containers' have none.
        let is_number = |option: &str| option.parse::<u32>().is_ok();
        self.options.retain(|option| {
            let ndots = option.split_once(':').filter(|(key, _)| *key == "ndots");
            option != "ndots" && ndots.is_none_or(|(_, value)| is_number(value))
        });
        if self.ndots().is_none() {
            self.options.push("ndots:0".to_string());
        }
        (self, resolver)
    }

    fn ndots(&self) -> Option<&String> {
        let is_it = |option: &&String| option.split(':').next() == Some("ndots");
        self.options.iter().find(is_it)
    }

    /// The file. `asked` is whom our name server asks, for who comes to see.
    pub fn text(&self, asked: Option<&Resolver>) -> String {
        let mut text = String::from(HEAD);
        let mut line = |key: &str, words: &[String]| {
            if !words.is_empty() {
                text.push_str(key);
                text.push_str(&words.join(" "));
                text.push('\n');
            }
        };
        for server in &self.servers {
            line("nameserver ", std::slice::from_ref(server));
        }
        line("search ", &self.search);
        line("options ", &self.options);
        for other in &self.other {
            line("", std::slice::from_ref(other));
        }
        let server = |server: &Server| match (&server.address, server.is_of_host) {
            (Some(address), Some(true)) => format!("host({address})"),
            (address, _) => address.clone().unwrap_or_default(),
        };
        let servers = asked.and_then(|resolver| resolver.servers.as_ref());
        let servers: Vec<String> = servers.into_iter().flatten().map(server).collect();
        line("\n# ExtServers: ", &servers);
        text
    }
}

fn address(text: &str) -> Option<IpAddr> {
    let (address, _zone) = text.split_once('%').unwrap_or((text, ""));
    address.parse().ok()
}

fn is_loopback(server: &str) -> bool {
    address(server).is_some_and(|address| address.is_loopback())
}

fn fallback(has_v6: bool) -> Vec<String> {
    let count = if has_v6 { 4 } else { 2 };
    let servers = FALLBACK.iter().take(count);
    servers.map(|server| (*server).to_string()).collect()
}

/// systemd-resolved lists itself alone in /etc/resolv.conf, and whom it asks in a file of its own.
pub fn is_systemd_resolved(host: &str) -> bool {
    ResolvConf::of(host, &Given::default()).servers == ["127.0.0.53"]
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "# made by x\nnameserver 127.0.0.53\nnameserver 9.9.9.9 \n\
        nameserver nonsense\n;nameserver 1.1.1.1\nnameserver 2001:db8::1\nnameserver fe80::1%eth0\n\
        domain old\nsearch lan  home\noptions edns0\n options rotate\nsortlist 10.0.0.0\n";

    fn list(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_string).collect()
    }

    fn given(servers: &str, search: &str, options: &str) -> Given {
        Given {
            servers: list(servers),
            search: list(search),
            options: list(options),
        }
    }

    fn lines(conf: &ResolvConf) -> String {
        let text = conf.text(None);
        text.strip_prefix(HEAD).unwrap().to_string()
    }

    fn asked(resolver: &Resolver) -> String {
        let conf = ResolvConf::of("", &Given::default());
        let text = conf.text(Some(resolver));
        text.rsplit_once("# ExtServers: ").unwrap().1.to_string()
    }

    #[test]
    fn the_hosts_file_is_kept_but_for_what_the_user_sets() {
        let plain = ResolvConf::of(HOST, &Given::default());
        assert_eq!(
            lines(&plain),
            "nameserver 127.0.0.53\nnameserver 9.9.9.9\nnameserver 2001:db8::1\n\
             nameserver fe80::1%eth0\nsearch lan home\noptions edns0 rotate\nsortlist 10.0.0.0\n"
        );
        let set = ResolvConf::of(HOST, &given("127.0.0.1", ".", "ndots:2"));
        let expected = "nameserver 127.0.0.1\noptions ndots:2\nsortlist 10.0.0.0\n";
        assert_eq!(lines(&set), expected);
        assert_eq!(lines(&set.reachable(false)), expected);
    }

    #[test]
    fn without_our_name_server_only_what_can_be_reached_is_left() {
        let plain = |host: &str, has_v6| {
            let conf = ResolvConf::of(host, &Given::default());
            conf.reachable(has_v6).servers.join(" ")
        };
        assert_eq!(plain(HOST, false), "9.9.9.9");
        assert_eq!(plain(HOST, true), "9.9.9.9 2001:db8::1 fe80::1%eth0");
        let own = "nameserver 127.0.0.53\nnameserver ::1\n";
        assert_eq!(plain(own, false), "8.8.8.8 8.8.4.4");
        assert_eq!(
            plain("", true),
            "8.8.8.8 8.8.4.4 2001:4860:4860::8888 2001:4860:4860::8844"
        );
        assert!(is_systemd_resolved(
            "nameserver 127.0.0.53\noptions edns0\n"
        ));
        assert!(!is_systemd_resolved(HOST));
    }

    #[test]
    fn with_it_the_others_are_asked_by_it() {
        let (conf, resolver) = ResolvConf::of(HOST, &Given::default()).served(false);
        assert_eq!(
            lines(&conf),
            "nameserver 127.0.0.11\nsearch lan home\noptions edns0 rotate ndots:0\n\
             sortlist 10.0.0.0\n"
        );
        assert_eq!(
            asked(&resolver),
            "host(127.0.0.53) 9.9.9.9 host(2001:db8::1) host(fe80::1%eth0)\n"
        );
        assert_eq!(resolver.has_ndots, Some(false));
        let (_, resolver) = ResolvConf::of(HOST, &Given::default()).served(true);
        assert_eq!(
            asked(&resolver),
            "host(127.0.0.53) 9.9.9.9 2001:db8::1 host(fe80::1%eth0)\n"
        );
        // What the user names is the container's own, its loopback too.
        let given = given("127.0.0.1 fd00::1", "", "ndots:2");
        let (conf, resolver) = ResolvConf::of(HOST, &given).served(false);
        assert_eq!(asked(&resolver), "127.0.0.1 fd00::1\n");
        assert_eq!(resolver.has_ndots, Some(true));
        assert!(lines(&conf).contains("\noptions ndots:2\n"));
        let (conf, resolver) =
            ResolvConf::of("options ndots:x ndots\n", &Given::default()).served(false);
        assert_eq!(lines(&conf), "nameserver 127.0.0.11\noptions ndots:0\n");
        assert_eq!(asked(&resolver), "8.8.8.8 8.8.4.4\n");
    }
}
