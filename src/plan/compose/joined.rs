//! What a service is joined to: ports, volumes, networks.

use super::made;
use super::service::Reading;
use crate::error::{Context, Result};
use crate::json::node::Node;
use crate::plan::words;

impl Reading<'_> {
    pub(super) fn ports(&mut self, value: Node<'_>) -> Result<()> {
        let file = self.file;
        for item in value.items() {
            if !item.json().starts_with('{') {
                let port = file.word(item)?;
                self.draft.option("publish", &port);
                continue;
            }
            let known = [
                "app_protocol",
                "host_ip",
                "mode",
                "name",
                "protocol",
                "published",
                "target",
            ];
            file.only(item, &known)?;
            let mut port = String::new();
            let host = file.member(item, "host_ip")?;
            if let Some(host) = &host {
                port.push_str(&match host.contains(':') {
                    true => format!("[{host}]:"),
                    false => format!("{host}:"),
                });
            }
            match (file.member(item, "published")?, host) {
                (Some(published), _) => port.push_str(&format!("{published}:")),
                (None, Some(_)) => port.push(':'),
                (None, None) => {}
            }
            port.push_str(&file.member(item, "target")?.unwrap_or_default());
            if let Some(protocol) = file.member(item, "protocol")? {
                port.push_str(&format!("/{protocol}"));
            }
            self.draft.option("publish", &port);
        }
        Ok(())
    }

    pub(super) fn volumes(&mut self, value: Node<'_>) -> Result<()> {
        for item in value.items() {
            match item.json().starts_with('{') {
                true => self.long_volume(item)?,
                false => {
                    let text = self.file.word(item)?;
                    let volume = match text.split_once(':') {
                        Some((source, rest)) => format!("{}:{rest}", self.source(source)?),
                        None => text,
                    };
                    self.draft.option("volume", &volume);
                }
            }
        }
        Ok(())
    }

    /// A path, or a volume that the file declares.
    fn source(&mut self, source: &str) -> Result<String> {
        let home = std::env::var("HOME").unwrap_or_else(|_| "/root".to_string());
        if let Some(path) = source.strip_prefix('~') {
            return Ok(format!("{home}{path}"));
        }
        if source.starts_with('/') {
            return Ok(source.to_string());
        }
        if source.starts_with('.') {
            let bind = words::localise("volume", &format!("{source}:"), self.file.dir);
            return Ok(bind.trim_end_matches(':').to_string());
        }
        let name = made::name(self.file, "volumes", source)?;
        if !self.volumes.iter().any(|known| known == source) {
            self.volumes.push(source.to_string());
        }
        Ok(name)
    }

    fn long_volume(&mut self, item: Node<'_>) -> Result<()> {
        let file = self.file;
        let kind = file.member(item, "type")?.unwrap_or_default();
        let target = file.member(item, "target")?.unwrap_or_default();
        let mut mount = format!("type={kind},target={target}");
        if let Some(source) = file.member(item, "source")? {
            mount.push_str(&format!(",source={}", self.source(&source)?));
        }
        for (member, field) in [
            ("read_only", "readonly"),
            ("consistency", "consistency"),
            ("bind.propagation", "bind-propagation"),
            ("volume.nocopy", "volume-nocopy"),
            ("volume.subpath", "volume-subpath"),
            ("tmpfs.size", "tmpfs-size"),
            ("tmpfs.mode", "tmpfs-mode"),
        ] {
            if let Some(value) = file.member(item, member)? {
                mount.push_str(&format!(",{field}={value}"));
            }
        }
        // As with the short form, a directory is made where there is none, unless it says not to.
        if kind == "bind" && file.member(item, "bind.create_host_path")?.as_deref() != Some("false")
        {
            mount.push_str(",bind-create-src=true");
        }
        self.draft.option("mount", &mount);
        Ok(())
    }

    /// Those it names, or the project's own; it is known by its service's name in each.
    pub(super) fn networks(&mut self) -> Result<()> {
        let file = self.file;
        if self.node.member("network_mode").is_some() {
            return Ok(());
        }
        let node = self.node.at("networks");
        let mut wanted = Vec::new();
        match node.json().as_bytes().first() {
            Some(b'{') => wanted = node.pairs(),
            Some(b'[') => {
                for name in file.words(node)? {
                    wanted.push((name, file.root.at("-")));
                }
            }
            _ => {}
        }
        if wanted.is_empty() {
            wanted.push(("default".to_string(), file.root.at("-")));
        }
        let priority = |node: Node<'_>| -node.at("priority").integer();
        wanted.sort_by_key(|(_, node)| priority(*node));
        for (key, node) in wanted {
            self.network(&key, node)
                .context(|| format!("networks.{key}"))?;
        }
        Ok(())
    }

    fn network(&mut self, key: &str, node: Node<'_>) -> Result<()> {
        let file = self.file;
        let known = [
            "aliases",
            "driver_opts",
            "gw_priority",
            "ipv4_address",
            "ipv6_address",
            "link_local_ips",
            "mac_address",
            "priority",
        ];
        file.only(node, &known)?;
        let name = made::name(file, "networks", key)?;
        let mut network = format!("name={name},alias={}", self.name);
        for (member, field) in [
            ("aliases", "alias"),
            ("ipv4_address", "ip"),
            ("ipv6_address", "ip6"),
            ("link_local_ips", "link-local-ip"),
            ("mac_address", "mac-address"),
            ("gw_priority", "gw-priority"),
        ] {
            for value in file.words(node.at(member))? {
                network.push_str(&format!(",{field}={value}"));
            }
        }
        for (name, value) in file.pairs(node.at("driver_opts"))? {
            let value = value.unwrap_or_default();
            network.push_str(&format!(",driver-opt={name}={value}"));
        }
        self.draft.option("network", &network);
        if !self.networks.iter().any(|known| known == key) {
            self.networks.push(key.to_string());
        }
        Ok(())
    }
}
