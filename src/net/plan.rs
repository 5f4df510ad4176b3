//! `network.json`: how one running container is to be joined to its networks.
//!
//! The engine decides and writes it, before anything is made; the container's shim reads it and makes
//! it so, for each of its runs, whether there is an engine or not. It lies in the run directory, so
//! it is true for this boot only: together these files say which addresses and ports are taken, and
//! an engine that starts reads them again.
//!
//! ```text
//!   engine                              shim
//!     | network.json, launch ----------> | claims the ports, makes the namespace, the links, the rules
//!     | network.json, "network" -------> | compares, joins and leaves networks of a running container
//! ```

use crate::json::map::Map;
use crate::json::value::json_struct;

pub const FILE: &str = "network.json";

/// Where the endpoints that run are told to each other's name servers, below the exec root: a file
/// for each container in the directory of its network's id.
pub const NAMES_DIR: &str = "networks";

json_struct! {
    #[derive(Clone, Debug, Default, PartialEq)]
    pub struct Plan {
        /// The container's id.
        pub id: Option<String>,
        pub endpoints: Option<Vec<Endpoint>>,
        pub ports: Option<Vec<Port>>,
        /// The name server at 127.0.0.11, which containers of user networks have.
        pub resolver: Option<Resolver>,
        /// Whether rules of the kernel's packet filter are wanted (`iptables`, `ip6tables`).
        pub filters4: Option<bool>,
        pub filters6: Option<bool>,
        /// Whether a proxy may serve what rules cannot (`userland-proxy`).
        pub proxies: Option<bool>,
    }

    /// A place in one network.
    #[derive(Clone, Debug, Default, PartialEq)]
    pub struct Endpoint {
        /// The network's id and name.
        pub network: Option<String>,
        pub network_name: Option<String>,
        /// `bridge`, `macvlan` or `ipvlan`.
        pub driver: Option<String>,
        /// The host's link: the bridge to join, or what a macvlan or ipvlan is made upon. Empty for one
        /// of the latter two that is to have no way out.
        pub parent: Option<String>,
        /// Of macvlan `bridge`, `private`, `vepa`, `passthru`; of ipvlan `l2`, `l3`, `l3s`, and behind a
        /// colon its flag `bridge`, `private` or `vepa`.
        pub mode: Option<String>,
        /// The link's name in the container: `eth0`.
        pub interface: Option<String>,
        /// The name of the host's end of a veth pair: it comes of the container's and the network's id.
        pub host_interface: Option<String>,
        /// `02:42:ac:11:00:02`. Without one the kernel chooses.
        pub mac: Option<String>,
        /// With the prefix: `172.17.0.2/16`.
        pub ipv4: Option<String>,
        pub ipv6: Option<String>,
        /// The default gateway, where this endpoint has it. Without an address but with `is_default` the
        /// default route leads to the link itself.
        pub gateway4: Option<String>,
        pub gateway6: Option<String>,
        pub is_default: Option<bool>,
        pub mtu: Option<u32>,
        /// Nothing leaves or enters the network.
        pub is_internal: Option<bool>,
        /// The network's containers do not talk to each other (`icc` is off).
        pub is_isolated: Option<bool>,
        /// To be set for this link; IFNAME stands for its name (`net.ipv4.conf.IFNAME.log_martians`).
        pub sysctls: Option<Map<String>>,
        /// What the network's other containers find it under: its name, aliases, short id.
        pub names: Option<Vec<String>>,
        /// Names that mean others for this container alone (`--link`), each with that one's name.
        pub links: Option<Map<String>>,
    }

    /// Published ports that follow each other, one or more.
    #[derive(Clone, Debug, Default, PartialEq)]
    pub struct Port {
        /// `tcp`, `udp` or `sctp`.
        pub protocol: Option<String>,
        /// The host's address, `0.0.0.0` and `::` for all.
        pub host_ip: Option<String>,
        /// The first of them.
        pub host_port: Option<u16>,
        pub container_port: Option<u16>,
        pub count: Option<u16>,
        /// The container's address that they lead to. It may be of the other family than `host_ip`: then
        /// only a proxy can serve it.
        pub container_ip: Option<String>,
    }

    /// Where the container's own name server asks what it does not know.
    #[derive(Clone, Debug, Default, PartialEq)]
    pub struct Resolver {
        pub servers: Option<Vec<Server>>,
        /// Its networks are internal: nothing is asked outside.
        pub is_closed: Option<bool>,
        /// The user has set how many dots a name has that is no name to be completed (`ndots`).
        pub has_ndots: Option<bool>,
    }

    #[derive(Clone, Debug, Default, PartialEq)]
    pub struct Server {
        /// Without a port.
        pub address: Option<String>,
        /// It is asked from the host's network: a server on the host's loopback.
        pub is_of_host: Option<bool>,
    }
}
