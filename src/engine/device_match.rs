//! `--device-match`: devices by what they are, whenever they are there.
//!
//! In the API it is a device request (`HostConfig.DeviceRequests`, which compose has as
//! `deploy.resources.reservations.devices`) of the driver `tug.match`:
//!
//! ```json
//! {"Driver": "tug.match", "Capabilities": [["match"]], "Options": {"subsystem": "tty", "vendor": "0403"}}
//! ```

use crate::error::{Error, Result};
use crate::json::node::Node;
use crate::shim::hotplug::Match;
use crate::sys::signal;
use crate::wire::container::HostConfig;

const DRIVER: &str = "tug.match";
const CAPABILITY: &str = "match";

/// So many at most: each device is held against all of them.
const MATCHES_MAX: usize = 64;

/// Whether a device request is ours to answer.
pub fn is_one(request: Node<'_>) -> bool {
    let alternatives = request.at("Capabilities").items();
    let has_it = |list: &Node<'_>| list.items().iter().any(|word| word.text() == CAPABILITY);
    match request.at("Driver").text().as_str() {
        DRIVER => true,
        "" => alternatives.iter().any(has_it),
        _ => false,
    }
}

/// What the container is to be given; other requests are refused elsewhere.
pub fn of(host: &HostConfig) -> Result<Vec<Match>> {
    let mut matches = Vec::new();
    for request in host.device_requests.iter().flatten() {
        if is_one(request.node()) {
            matches.push(parse(request.node())?);
        }
    }
    match matches.len() > MATCHES_MAX {
        true => Err(invalid(format_args!("more than {MATCHES_MAX} of them"))),
        false => Ok(matches),
    }
}

fn invalid(why: impl std::fmt::Display) -> Error {
    Error::invalid(format!("invalid device match: {why}"))
}

fn parse(request: Node<'_>) -> Result<Match> {
    if !request.at("DeviceIDs").items().is_empty() {
        return Err(invalid("it has no device ids: say what the device is"));
    }
    let mut wish = Match::default();
    let mut is_optional = false;
    for (key, value) in request.at("Options").pairs() {
        let text = value.text();
        let wrong = || invalid(format_args!("{key}={text:?}"));
        let is_on = || match text.as_str() {
            "" | "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(wrong()),
        };
        let place = match key.as_str() {
            "subsystem" => &mut wish.subsystem,
            "devname" => &mut wish.devname,
            "vendor" => &mut wish.vendor,
            "product" => &mut wish.product,
            "serial" => &mut wish.serial,
            "perm" => &mut wish.access,
            "mode" => {
                let mode = u32::from_str_radix(&text, 8).ok();
                wish.mode = Some(mode.filter(|mode| *mode <= 0o777).ok_or_else(wrong)?);
                continue;
            }
            "on-remove" => {
                wish.signal = Some(signal::parse(&text)?);
                continue;
            }
            "wait" => {
                wish.is_needed = Some(is_on()?);
                continue;
            }
            "optional" => {
                is_optional = is_on()?;
                continue;
            }
            _ => {
                return Err(invalid(format_args!(
                    "unknown key {key:?}: there are subsystem, devname, vendor, product, serial, \
                     perm, mode, on-remove, wait and optional"
                )));
            }
        };
        let is_good = match key.as_str() {
            "vendor" | "product" => {
                let digits = text.trim_start_matches("0x");
                digits
                    .bytes()
                    .all(|b| b.is_ascii_hexdigit() || b"*?".contains(&b))
            }
            "perm" => text.bytes().all(|b| b"rwm".contains(&b)),
            _ => true,
        };
        if text.is_empty() || !is_good {
            return Err(wrong());
        }
        *place = Some(text);
    }
    if is_optional && wish.is_needed == Some(true) {
        return Err(invalid("it is either optional or to be waited for"));
    }
    let texts = [
        &wish.subsystem,
        &wish.devname,
        &wish.vendor,
        &wish.product,
        &wish.serial,
    ];
    match texts.iter().all(|text| text.is_none()) {
        true => Err(invalid(
            "it needs one of subsystem, devname, vendor, product and serial",
        )),
        false => Ok(wish),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn asked(request: &str) -> String {
        let host = format!(r#"{{"DeviceRequests":[{request}]}}"#);
        match of(&json::parse(&host, "test").unwrap()) {
            Ok(matches) => json::to_string(&matches),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_match_says_what_the_device_is() {
        for (options, expected) in [
            (
                r#""subsystem":"tty","vendor":"0403","devname":"ttyUSB*","perm":"rw","optional":"""#,
                r#"[{"subsystem":"tty","devname":"ttyUSB*","vendor":"0403","access":"rw"}]"#,
            ),
            (
                r#""serial":"A","mode":"0666","wait":"true","on-remove":"HUP""#,
                r#"[{"serial":"A","mode":438,"is_needed":true,"signal":1}]"#,
            ),
            (
                "",
                "invalid device match: it needs one of subsystem, devname, vendor, product and serial",
            ),
            (r#""devname":"""#, r#"invalid device match: devname="""#),
            (r#""vendor":"xyz""#, r#"invalid device match: vendor="xyz""#),
            (
                r#""devname":"a","perm":"rx""#,
                r#"invalid device match: perm="rx""#,
            ),
            (
                r#""devname":"a","mode":"1777""#,
                r#"invalid device match: mode="1777""#,
            ),
            (
                r#""devname":"a","wait":"x""#,
                r#"invalid device match: wait="x""#,
            ),
            (
                r#""devname":"a","wait":"","optional":"""#,
                "invalid device match: it is either optional or to be waited for",
            ),
        ] {
            let request = format!(
                r#"{{"Driver":"tug.match","Capabilities":[["match"]],"Options":{{{options}}}}}"#
            );
            assert_eq!(asked(&request), expected, "{options}");
        }
        let other = asked(r#"{"Driver":"tug.match","Options":{"devnam":"a"}}"#);
        assert!(
            other.contains("unknown key \"devnam\": there are subsystem, "),
            "{other}"
        );
        assert!(asked(r#"{"Capabilities":[["match"]],"DeviceIDs":["a"]}"#).contains("device ids"));
        assert_eq!(
            asked(r#"{"Driver":"nvidia","Capabilities":[["match"]]}"#),
            "[]"
        );
    }
}
