//! `--mount`, `--gpus`, `--network`: lines of CSV with `key=value` fields.

use super::create::Create;
use super::human;
use super::options::parse_boolean;
use super::values::{self, absolute};
use crate::error::{Error, Kind, Result};
use crate::json;
use crate::json::map::Map;
use crate::json::node::quote;
use crate::json::object::{self, Object};
use crate::json::value::Raw;
use crate::wire::container::{
    BindOptions, EndpointSettings, ImageOptions, MountRequest, TmpfsOptions, VolumeDriver,
    VolumeOptions,
};

/// The fields of one line of CSV; a quoted one may hold commas (Go's encoding/csv).
pub fn fields(line: &str) -> Result<Vec<String>> {
    let wrong = |at: usize, what: &str| {
        Error::invalid(format!("parse error on line 1, column {}: {what}", at + 1))
    };
    if line.is_empty() {
        return Err(Error::invalid("EOF"));
    }
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let rest = &line[at..];
        let mut field = String::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            at += 1;
            let mut letters = quoted.char_indices().peekable();
            loop {
                match letters.next() {
                    None => {
                        return Err(wrong(
                            line.len(),
                            "extraneous or missing \" in quoted-field",
                        ));
                    }
                    // Two of them stand for one.
                    Some((_, '"')) if letters.next_if(|(_, next)| *next == '"').is_some() => {
                        field.push('"');
                    }
                    Some((end, '"')) => {
                        at += end + 1;
                        break;
                    }
                    Some((_, letter)) => field.push(letter),
                }
            }
            if !line[at..].is_empty() && !line[at..].starts_with(',') {
                return Err(wrong(at, "extraneous or missing \" in quoted-field"));
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            if let Some(found) = rest[..end].find('"') {
                return Err(wrong(at + found, "bare \" in non-quoted-field"));
            }
            field.push_str(&rest[..end]);
            at += end;
        }
        fields.push(field);
        match line[at..].starts_with(',') {
            true => at += 1,
            false => return Ok(fields),
        }
    }
}

/// `type=bind,source=…,target=…[,readonly]`.
pub fn mount(create: &mut Create, value: &str) -> Result<()> {
    let mut mount = MountRequest {
        kind: Some("volume".to_string()),
        ..MountRequest::default()
    };
    for field in fields(value)? {
        let (key, text) = field.split_once('=').unwrap_or((&field, ""));
        let key = key.to_ascii_lowercase();
        // The switches may stand alone.
        let text = match field.contains('=') {
            true => text,
            false if is_switch(&key) => "true",
            false => {
                return Err(Error::invalid(format!(
                    "invalid field '{field}' must be a key=value pair"
                )));
            }
        };
        let invalid = || Error::invalid(format!("invalid value for {key}: {text}"));
        let boolean = || match parse_boolean(text) {
            Some(is_on) => Ok(is_on.then_some(true)),
            None => Err(invalid()),
        };
        let some = || Some(text.to_string());
        match key.as_str() {
            "type" => mount.kind = Some(text.to_ascii_lowercase()),
            "source" | "src" => mount.source = Some(absolute(text)),
            "target" | "dst" | "destination" => mount.target = some(),
            "readonly" | "ro" => mount.read_only = boolean()?,
            "consistency" => mount.consistency = Some(text.to_ascii_lowercase()),
            "bind-propagation" => {
                bind(&mut mount).propagation = Some(text.to_ascii_lowercase());
            }
            "bind-nonrecursive" => bind(&mut mount).non_recursive = boolean()?,
            "bind-recursive" => bind_recursive(bind(&mut mount), text)?,
            "bind-create-src" => bind(&mut mount).create_mountpoint = boolean()?,
            "volume-subpath" => volume(&mut mount).subpath = some(),
            "volume-nocopy" => volume(&mut mount).no_copy = boolean()?,
            "volume-label" => add_pair(&mut volume(&mut mount).labels, text),
            "volume-driver" => volume_driver(&mut mount).name = some(),
            "volume-opt" => add_pair(&mut volume_driver(&mut mount).options, text),
            "image-subpath" => mount.image_options = Some(ImageOptions { subpath: some() }),
            "tmpfs-size" => {
                let bytes = human::parse_size(text).map_err(|_| invalid())?;
                tmpfs(&mut mount).size_bytes = Some(bytes);
            }
            "tmpfs-mode" => {
                let mode = u32::from_str_radix(text, 8).map_err(|_| invalid())?;
                tmpfs(&mut mount).mode = Some(mode);
            }
            _ => {
                return Err(Error::invalid(format!(
                    "unexpected key '{key}' in '{field}'"
                )));
            }
        }
    }
    check(&mount)?;
    create.host.mounts.get_or_insert_default().push(mount);
    Ok(())
}

fn is_switch(field: &str) -> bool {
    let switches = [
        "readonly",
        "ro",
        "volume-nocopy",
        "bind-nonrecursive",
        "bind-create-src",
    ];
    switches.contains(&field)
}

fn bind(mount: &mut MountRequest) -> &mut BindOptions {
    mount.bind_options.get_or_insert_default()
}

fn tmpfs(mount: &mut MountRequest) -> &mut TmpfsOptions {
    mount.tmpfs_options.get_or_insert_default()
}

fn bind_recursive(options: &mut BindOptions, text: &str) -> Result<()> {
    match text {
        "enabled" => {}
        "disabled" => options.non_recursive = Some(true),
        "writable" => options.read_only_non_recursive = Some(true),
        "readonly" => options.read_only_force_recursive = Some(true),
        _ => {
            return Err(Error::invalid(format!(
                "invalid value for bind-recursive: {text} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
            )));
        }
    }
    Ok(())
}

/// What does not go together.
fn check(mount: &MountRequest) -> Result<()> {
    let kind = mount.kind.as_deref().unwrap_or_default();
    if kind.is_empty() {
        return Err(Error::invalid("type is required"));
    }
    if mount.target.as_deref().unwrap_or_default().is_empty() {
        return Err(Error::invalid("target is required"));
    }
    for (is_given, of) in [
        (mount.volume_options.is_some(), "volume"),
        (mount.bind_options.is_some(), "bind"),
        (mount.tmpfs_options.is_some(), "tmpfs"),
        (mount.image_options.is_some(), "image"),
    ] {
        if is_given && kind != of {
            return Err(Error::invalid(format!(
                "cannot mix '{of}-*' options with mount type '{kind}'"
            )));
        }
    }
    let options = mount.bind_options.clone().unwrap_or_default();
    for (is_given, value) in [
        (options.read_only_non_recursive, "writable"),
        (options.read_only_force_recursive, "readonly"),
    ] {
        if is_given == Some(true) && mount.read_only != Some(true) {
            return Err(Error::invalid(format!(
                "option 'bind-recursive={value}' requires 'readonly' to be specified in conjunction"
            )));
        }
    }
    if options.read_only_force_recursive == Some(true)
        && options.propagation.as_deref() != Some("rprivate")
    {
        return Err(Error::invalid(
            "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction",
        ));
    }
    Ok(())
}

fn volume(mount: &mut MountRequest) -> &mut VolumeOptions {
    mount.volume_options.get_or_insert_default()
}

fn volume_driver(mount: &mut MountRequest) -> &mut VolumeDriver {
    volume(mount).driver_config.get_or_insert_default()
}

/// One `name=value` more.
fn add_pair(map: &mut Option<Map<String>>, pair: &str) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    if !name.is_empty() {
        let map = map.get_or_insert_default();
        map.insert(name.to_string(), value.to_string());
    }
}

/// `a=b` and `c=d` as an object.
fn pairs(list: &[String]) -> String {
    let mut object = Object::new();
    for pair in list {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !name.is_empty() {
            object.text(name, value);
        }
    }
    object.finish()
}

/// `all`, a count, or `driver=…,count=…,device=…,capabilities=…,options=…`.
pub fn gpus(create: &mut Create, value: &str) -> Result<()> {
    let (mut driver, mut count, mut devices) = (String::new(), None, Vec::new());
    let mut capabilities = vec![quote("gpu")];
    let mut options = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for field in fields(value)? {
        let (key, text) = field.split_once('=').unwrap_or(("count", &field));
        if seen.iter().any(|other| other == key) {
            return Err(Error::invalid(format!(
                "gpu request key '{key}' can be specified only once"
            )));
        }
        seen.push(key.to_string());
        match key {
            "driver" => driver = text.to_string(),
            "count" => count = Some(gpu_count(text)?),
            "device" => devices = text.split(',').map(quote).collect(),
            "capabilities" => {
                capabilities = text.split(',').map(quote).collect();
                capabilities.push(quote("gpu"));
            }
            "options" => options = fields(text)?,
            _ => {
                return Err(Error::invalid(format!(
                    "unexpected key '{key}' in '{field}'"
                )));
            }
        }
    }
    let default = i64::from(devices.is_empty());
    let mut request = Object::new();
    request
        .text("Driver", &driver)
        .put("Count", &count.unwrap_or(default).to_string())
        .put("DeviceIDs", &object::list(&devices))
        .put(
            "Capabilities",
            &object::list(&[object::list(&capabilities)]),
        )
        .put("Options", &pairs(&options));
    ask_for_device(create, &request.finish())
}

/// `subsystem=tty,vendor=0403,devname=ttyUSB*,perm=rw,wait`: our engine's own driver of devices.
pub fn device_match(create: &mut Create, value: &str) -> Result<()> {
    let mut options = Object::new();
    let mut seen: Vec<String> = Vec::new();
    for field in fields(value)? {
        let (key, text) = field.split_once('=').unwrap_or((&field, ""));
        let key = key.trim().to_ascii_lowercase();
        if seen.contains(&key) {
            return Err(Error::invalid(format!(
                "device match key '{key}' can be specified only once"
            )));
        }
        options.text(&key, text.trim());
        seen.push(key);
    }
    let mut request = Object::new();
    request
        .text("Driver", "tug.match")
        .put("Count", "0")
        .put("DeviceIDs", "null")
        .put("Capabilities", "[[\"match\"]]")
        .put("Options", &options.finish());
    ask_for_device(create, &request.finish())
}

/// A device by the name that CDI knows it by.
pub fn cdi(create: &mut Create, name: &str) -> Result<()> {
    let mut request = Object::new();
    request
        .text("Driver", "cdi")
        .put("Count", "0")
        .put("DeviceIDs", &object::list(&[quote(name)]))
        .put("Capabilities", "null")
        .put("Options", "null");
    ask_for_device(create, &request.finish())
}

fn ask_for_device(create: &mut Create, request: &str) -> Result<()> {
    let requests = create.host.device_requests.get_or_insert_default();
    requests.push(json::parse(request, "device request")?);
    Ok(())
}

fn gpu_count(text: &str) -> Result<i64> {
    match text {
        "all" => Ok(-1),
        text => text.parse().map_err(|_| {
            Error::invalid(format!(
                "invalid count ({text}): value must be either \"all\" or an integer: invalid syntax"
            ))
        }),
    }
}

/// A network to join.
#[derive(Default)]
pub struct Network {
    pub name: String,
    pub endpoint: EndpointSettings,
    pub ipam: Ipam,
}

impl Network {
    /// Whether it is one that a user made.
    pub fn is_users(&self) -> bool {
        let name = self.name.as_str();
        !matches!(name, "default" | "bridge" | "host" | "none") && !name.starts_with("container:")
    }

    pub fn check(&self) -> Result<()> {
        let refuse = |message: &str| Err(Error::new(Kind::Run, message));
        if self.endpoint.aliases.is_some() && !self.is_users() {
            return refuse("network-scoped aliases are only supported for user-defined networks");
        }
        match &self.endpoint.mac_address {
            Some(address) => values::mac_address(&mut Create::default(), address),
            None => Ok(()),
        }
    }
}

/// A name, or `name=…,alias=…,ip=…` and so on. The first is the container's network mode.
pub fn network(create: &mut Create, value: &str) -> Result<()> {
    let mut network = Network::default();
    let Network {
        name,
        endpoint,
        ipam,
    } = &mut network;
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let has_fields = value
        .as_bytes()
        .windows(3)
        .any(|three| matches!(three, [key, b'=', text] if is_word(key) && is_word(text)));
    match has_fields {
        false => *name = value.to_string(),
        true => {
            for field in fields(value)? {
                let (key, text) = field
                    .split_once('=')
                    .ok_or_else(|| Error::invalid(format!("invalid field {field}")))?;
                let text = text.trim().to_string();
                match key.trim().to_ascii_lowercase().as_str() {
                    "name" => *name = text,
                    "alias" => endpoint.aliases.get_or_insert_default().push(text),
                    "ip" => ipam.v4 = Some(text),
                    "ip6" => ipam.v6 = Some(text),
                    "mac-address" => endpoint.mac_address = Some(text),
                    "link-local-ip" => ipam.local.get_or_insert_default().push(text),
                    "driver-opt" => {
                        let (name, value) = text.split_once('=').ok_or_else(|| {
                            Error::invalid("invalid key value pair format in driver options")
                        })?;
                        let options = endpoint.driver_opts.get_or_insert_default();
                        options.insert(name.to_string(), value.to_string());
                    }
                    "gw-priority" => {
                        endpoint.gw_priority = Some(text.parse().map_err(|_| {
                            Error::invalid(format!("invalid gw-priority ({text}): invalid syntax"))
                        })?);
                    }
                    other => {
                        return Err(Error::invalid(format!("invalid field key {other}")));
                    }
                }
            }
            if name.is_empty() {
                return Err(Error::invalid("network name/id is not specified"));
            }
        }
    }
    if name.trim().is_empty() {
        return Err(Error::new(Kind::Run, "no name set for network"));
    }
    if create.networks.iter().any(|other| other.name == *name) {
        return Err(Error::new(
            Kind::Run,
            format!("network {name:?} is specified multiple times"),
        ));
    }
    create.networks.push(network);
    Ok(())
}

/// EndpointIPAMConfig of the API.
#[derive(Default)]
pub struct Ipam {
    pub v4: Option<String>,
    pub v6: Option<String>,
    pub local: Option<Vec<String>>,
}

impl Ipam {
    pub fn finish(&self) -> Option<Raw> {
        let mut object = Object::new();
        for (name, address) in [("IPv4Address", &self.v4), ("IPv6Address", &self.v6)] {
            if let Some(address) = address {
                object.text(name, address);
            }
        }
        if let Some(local) = &self.local {
            let list: Vec<String> = local.iter().map(|address| quote(address)).collect();
            object.put("LinkLocalIPs", &object::list(&list));
        }
        match object.finish().as_str() {
            "{}" => None,
            text => Some(Raw(text.to_string())),
        }
    }
}

/// What the request says of networks: nothing where one is given by its name alone.
pub fn endpoints(given: Vec<Network>) -> Option<Map<EndpointSettings>> {
    let mut endpoints: Vec<(String, EndpointSettings)> = Vec::new();
    for mut network in given {
        network.endpoint.ipam_config = network.ipam.finish();
        endpoints.push((network.name, network.endpoint));
    }
    let says = |endpoint: &EndpointSettings| json::to_string(endpoint) != "{}";
    if endpoints.len() < 2 && !endpoints.iter().any(|(_, endpoint)| says(endpoint)) {
        return None;
    }
    Some(endpoints.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(set: fn(&mut Create, &str) -> Result<()>, value: &str) -> String {
        let mut create = Create::default();
        match set(&mut create, value) {
            Ok(()) => json::to_string(&create.host),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_line_of_csv_is_split_as_go_splits_it() {
        assert_eq!(fields("a,,b=c").unwrap(), ["a", "", "b=c"]);
        assert_eq!(fields(r#""a,b","c""d",e"#).unwrap(), ["a,b", "c\"d", "e"]);
        for (bad, expected) in [
            (
                "\"a",
                "parse error on line 1, column 3: extraneous or missing \" in quoted-field",
            ),
            (
                "a\"b",
                "parse error on line 1, column 2: bare \" in non-quoted-field",
            ),
        ] {
            assert_eq!(fields(bad).unwrap_err().message, expected);
        }
    }

    #[test]
    fn mounts_are_read_as_docker_reads_them() {
        for (value, expected) in [
            (
                "type=bind,src=/a,dst=/b,ro,bind-propagation=rslave,bind-nonrecursive",
                r#"{"Mounts":[{"Type":"bind","Source":"/a","Target":"/b","ReadOnly":true,"BindOptions":{"Propagation":"rslave","NonRecursive":true}}]}"#,
            ),
            (
                "type=bind,src=/a,dst=/b,readonly=1,bind-recursive=writable",
                r#"{"Mounts":[{"Type":"bind","Source":"/a","Target":"/b","ReadOnly":true,"BindOptions":{"ReadOnlyNonRecursive":true}}]}"#,
            ),
            (
                "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770",
                r#"{"Mounts":[{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":1048576,"Mode":1016}}]}"#,
            ),
            (
                "src=v,dst=/t,volume-nocopy,volume-driver=d,volume-opt=a=b,volume-label=c=d",
                r#"{"Mounts":[{"Type":"volume","Source":"v","Target":"/t","VolumeOptions":{"NoCopy":true,"Labels":{"c":"d"},"DriverConfig":{"Name":"d","Options":{"a":"b"}}}}]}"#,
            ),
            ("foo", "invalid field 'foo' must be a key=value pair"),
            ("type=bind,src=/a", "target is required"),
            ("type=bind,src=/a,dst=/b,ro=x", "invalid value for ro: x"),
            (
                "type=bind,src=/a,dst=/b,foo=x",
                "unexpected key 'foo' in 'foo=x'",
            ),
            (
                "type=bind,src=/a,dst=/b,volume-nocopy",
                "cannot mix 'volume-*' options with mount type 'bind'",
            ),
            (
                "type=tmpfs,dst=/b,tmpfs-mode=9",
                "invalid value for tmpfs-mode: 9",
            ),
            (
                "type=bind,src=/a,dst=/b,bind-recursive=readonly",
                "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction",
            ),
            (
                "type=bind,src=/a,dst=/b,bind-recursive=x",
                "invalid value for bind-recursive: x (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")",
            ),
            (
                "type=volume,dst=/b,image-subpath=x",
                "cannot mix 'image-*' options with mount type 'volume'",
            ),
        ] {
            assert_eq!(told(mount, value), expected, "{value}");
        }
    }

    #[test]
    fn gpus_are_asked_for_as_docker_asks() {
        for (value, expected) in [
            (
                "all",
                r#"{"DeviceRequests":[{"Driver":"","Count":-1,"DeviceIDs":[],"Capabilities":[["gpu"]],"Options":{}}]}"#,
            ),
            (
                "\"device=0,1\",driver=nvidia,capabilities=compute",
                r#"{"DeviceRequests":[{"Driver":"nvidia","Count":0,"DeviceIDs":["0","1"],"Capabilities":[["compute","gpu"]],"Options":{}}]}"#,
            ),
            ("foo=1", "unexpected key 'foo' in 'foo=1'"),
            (
                "x",
                "invalid count (x): value must be either \"all\" or an integer: invalid syntax",
            ),
            (
                "1,count=2",
                "gpu request key 'count' can be specified only once",
            ),
        ] {
            assert_eq!(told(gpus, value), expected, "{value}");
        }
    }

    #[test]
    fn devices_may_be_said_by_what_they_are() {
        assert_eq!(
            told(
                device_match,
                "subsystem=tty,vendor=0403,devname=ttyUSB*,wait"
            ),
            r#"{"DeviceRequests":[{"Driver":"tug.match","Count":0,"DeviceIDs":null,"Capabilities":[["match"]],"Options":{"subsystem":"tty","vendor":"0403","devname":"ttyUSB*","wait":""}}]}"#
        );
        assert_eq!(
            told(device_match, "devname=a,devname=b"),
            "device match key 'devname' can be specified only once"
        );
    }

    #[test]
    fn a_network_may_say_more_than_its_name() {
        let mut create = Create::default();
        network(&mut create, "name=lab,alias=a,ip=1.2.3.4,driver-opt=x=y").unwrap();
        let all = endpoints(create.networks).unwrap();
        assert_eq!(
            json::to_string(&all),
            r#"{"lab":{"Aliases":["a"],"IPAMConfig":{"IPv4Address":"1.2.3.4"},"DriverOpts":{"x":"y"}}}"#
        );
        let mut create = Create::default();
        network(&mut create, "host").unwrap();
        assert_eq!(
            network(&mut create, "").unwrap_err().message,
            "no name set for network"
        );
        assert!(endpoints(create.networks).is_none());
    }
}
