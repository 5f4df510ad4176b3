//! Networks (API, Network; what creates one has the same members).

use crate::json::map::Map;
use crate::json::value::json_struct;
use crate::wire::container::EndpointSettings;

json_struct! {
    /// As it is asked for, kept on disk, and shown.
    #[derive(Clone, Debug, Default)]
    pub struct Network {
        pub name: Option<String> = "Name",
        pub id: Option<String> = "Id",
        pub created: Option<String> = "Created",
        /// `local`.
        pub scope: Option<String> = "Scope",
        /// `bridge`, `macvlan`, `ipvlan`, `host`, `null`.
        pub driver: Option<String> = "Driver",
        pub enable_ipv4: Option<bool> = "EnableIPv4",
        pub enable_ipv6: Option<bool> = "EnableIPv6",
        pub ipam: Option<Ipam> = "IPAM",
        pub internal: Option<bool> = "Internal",
        pub attachable: Option<bool> = "Attachable",
        /// Of a swarm.
        pub ingress: Option<bool> = "Ingress",
        pub config_from: Option<ConfigReference> = "ConfigFrom",
        /// It only lends its configuration to others.
        pub config_only: Option<bool> = "ConfigOnly",
        pub options: Option<Map<String>> = "Options",
        pub labels: Option<Map<String>> = "Labels",
        /// Of our record alone: its bridge was there before, and stays what it is.
        pub is_found: Option<bool> = "Found",
    }

    /// Where its addresses come from.
    #[derive(Clone, Debug, Default)]
    pub struct Ipam {
        pub driver: Option<String> = "Driver",
        pub options: Option<Map<String>> = "Options",
        pub config: Option<Vec<IpamConfig>> = "Config",
    }

    #[derive(Clone, Debug, Default, PartialEq)]
    pub struct IpamConfig {
        pub subnet: Option<String> = "Subnet",
        /// Only these are given to containers.
        pub ip_range: Option<String> = "IPRange",
        pub gateway: Option<String> = "Gateway",
        /// Names and addresses that no container gets.
        pub auxiliary: Option<Map<String>> = "AuxiliaryAddresses",
        /// Of our record alone: nobody asked for this subnet, we chose it.
        pub is_chosen: Option<bool> = "Chosen",
    }

    /// The network whose configuration another one has.
    #[derive(Clone, Debug, Default)]
    pub struct ConfigReference {
        pub network: Option<String> = "Network",
    }

    /// 201 of POST /networks/create.
    #[derive(Clone, Debug, Default)]
    pub struct CreateResponse {
        pub id: Option<String> = "Id",
        pub warning: Option<String> = "Warning",
    }

    /// POST /networks/{id}/connect, and disconnect.
    #[derive(Clone, Debug, Default)]
    pub struct ConnectRequest {
        pub container: Option<String> = "Container",
        pub endpoint_config: Option<EndpointSettings> = "EndpointConfig",
        pub force: Option<bool> = "Force",
    }
}
