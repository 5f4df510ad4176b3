//! Who we are: passwords, tokens, and where they may go.
//!
//!   us                      registry                     token server
//!    | -- GET manifest ------> |                              |
//!    | <---- 401, realm ------ |                              |
//!    | -- GET realm?scope, with the password ---------------> |
//!    | <------------------------------------------- token --- |
//!    | -- GET manifest, token-> |
//!
//! A registry chooses its realm. So a password goes there only by TLS, if the registry has TLS, and
//! only within the registry's domain (`hosts::is_trusted_realm`).

use crate::base64;
use crate::error::{Context, Error, Kind, Result};
use crate::http::head::Headers;
use crate::http::query::encode;
use crate::json::node::Node;
use crate::registry::hosts;
use crate::registry::transport::{Body, Transport, lock};
use crate::registry::url::Url;
use crate::registry::{Credentials, refusal};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// More than any token; those of some are some kB.
const TOKEN_BYTES_MAX: usize = 1 << 20;

/// What a token is good for where its server does not say (the token specification).
const LIFE_S: i64 = 60;
/// It must still be good when it arrives.
const MARGIN: Duration = Duration::from_secs(5);

/// What we have to show. Guarded by its own lock; bound to the origin of the registry.
pub struct Keys {
    credentials: Option<Credentials>,
    held: Mutex<Vec<Held>>,
}

struct Held {
    origin: String,
    scope: String,
    /// A whole header line.
    line: String,
    until: Option<Instant>,
}

/// What a token server has given.
pub struct Token {
    token: String,
    pub refresh: Option<String>,
    life: Duration,
}

impl Keys {
    pub fn new(credentials: Option<&Credentials>) -> Keys {
        Keys {
            credentials: credentials.cloned(),
            held: Mutex::default(),
        }
    }

    /// What is known to open `url` for `scope`: a header line or nothing.
    pub fn line(&self, url: &Url, scope: &str) -> String {
        let origin = url.origin();
        let mut held = lock(&self.held);
        held.retain(|held| held.until.is_none_or(|until| Instant::now() < until));
        let fits = |held: &&Held| held.origin == origin && held.scope == scope;
        held.iter()
            .find(fits)
            .map(|held| held.line.clone())
            .unwrap_or_default()
    }

    fn keep(&self, url: &Url, scope: &str, line: String, life: Option<Duration>) {
        let origin = url.origin();
        let mut held = lock(&self.held);
        held.retain(|held| held.origin != origin || held.scope != scope);
        held.push(Held {
            origin,
            scope: scope.to_string(),
            line,
            until: life.map(|life| Instant::now() + life),
        });
    }

    /// Answer the challenge in `headers` of the registry at `url` with a header line. `is_ours`: the
    /// registry may have the credentials; mirrors may not. `None`: there is no challenge that we can
    /// answer.
    pub fn answer(
        &self,
        transport: &Arc<Transport>,
        url: &Url,
        is_ours: bool,
        headers: &Headers,
        scope: &str,
    ) -> Result<Option<String>> {
        let credentials = self.credentials.as_ref().filter(|_| is_ours);
        let all = challenges(headers);
        let (line, life) = match (named(&all, "bearer"), named(&all, "basic")) {
            (Some(_), _) if credentials.is_some_and(|own| !own.registry_token.is_empty()) => {
                let token = credentials.map_or("", |own| &own.registry_token);
                (bearer(token), None)
            }
            (Some(challenge), _) => {
                let token = self.token(transport, url, challenge, scope, credentials, false)?;
                (bearer(&token.token), Some(token.life))
            }
            (None, Some(_)) => match credentials.filter(|own| !own.username.is_empty()) {
                Some(own) => (basic(own), None),
                None => return Err(Error::new(Kind::System, "no basic auth credentials")),
            },
            (None, None) => return Ok(None),
        };
        self.keep(url, scope, line.clone(), life);
        Ok(Some(line))
    }

    /// Ask the realm of `challenge` for a token. `is_login`: and for one that lasts.
    pub fn token(
        &self,
        transport: &Arc<Transport>,
        url: &Url,
        challenge: &Challenge,
        scope: &str,
        credentials: Option<&Credentials>,
        is_login: bool,
    ) -> Result<Token> {
        let realm = realm(
            transport,
            url,
            challenge.get("realm"),
            credentials.is_some(),
        )?;
        let service = challenge.get("service");
        let identity = credentials.filter(|own| !own.identity_token.is_empty());
        let answer = match identity {
            Some(own) => {
                let body = format!(
                    "grant_type=refresh_token&service={}&client_id=tug&scope={}&refresh_token={}",
                    encode(service),
                    encode(scope),
                    encode(&own.identity_token)
                );
                let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
                transport.send("POST", &realm, kind, Body::Bytes(body.as_bytes()))?
            }
            None => {
                let target = token_target(&realm.target, service, scope, credentials, is_login);
                let line = credentials.map(basic).unwrap_or_default();
                transport.follow("GET", &realm.at(&target)?, "", &line)?
            }
        };
        if answer.status >= 400 {
            return Err(refusal::read(answer).plain());
        }
        let bytes = answer.bytes(TOKEN_BYTES_MAX, "the token")?;
        read_token(&bytes).context(|| format!("token from {}", realm.origin()))
    }
}

/// The query that asks for a token (the token specification of distribution).
fn token_target(
    target: &str,
    service: &str,
    scope: &str,
    credentials: Option<&Credentials>,
    is_login: bool,
) -> String {
    let mut target = target.to_string();
    let mut add = |name: &str, value: &str| {
        target.push(if target.contains('?') { '&' } else { '?' });
        target.push_str(name);
        target.push('=');
        target.push_str(&encode(value));
    };
    if let Some(own) = credentials {
        add("account", &own.username);
    }
    if is_login {
        add("client_id", "tug");
        add("offline_token", "true");
    }
    // Each scope of its own: a blank between two is not understood everywhere.
    for scope in scope.split_ascii_whitespace() {
        add("scope", scope);
    }
    if !service.is_empty() {
        add("service", service);
    }
    target
}

fn read_token(bytes: &[u8]) -> Result<Token> {
    let text = String::from_utf8_lossy(bytes);
    let node = Node::new(&text, "answer")?;
    let member = |name| Some(node.at(name).text()).filter(|text| is_token(text));
    let token = member("token")
        .or_else(|| member("access_token"))
        .ok_or_else(|| {
            Error::new(
                Kind::System,
                "authorization server did not include a token in the response",
            )
        })?;
    // Counted from now by our own clock, which may know nothing of the date that it was issued at.
    let life = match node.at("expires_in").integer() {
        ..=0 => LIFE_S,
        seconds => seconds.min(86_400),
    };
    Ok(Token {
        token,
        refresh: member("refresh_token"),
        life: Duration::from_secs(life.cast_unsigned()).saturating_sub(MARGIN),
    })
}

/// What may stand in a header line.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

pub fn basic(own: &Credentials) -> String {
    let pair = format!("{}:{}", own.username, own.password);
    format!(
        "Authorization: Basic {}\r\n",
        base64::encode(pair.as_bytes())
    )
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// The token server, if it is one that the registry at `url` may name.
fn realm(transport: &Transport, url: &Url, realm: &str, has_secret: bool) -> Result<Url> {
    let doing = || format!("token server of {}", url.origin());
    let realm = Url::parse(realm).context(doing)?;
    url.check_way_to(&realm).context(doing)?;
    if has_secret && !hosts::is_trusted_realm(&transport.certs, url, &realm.host) {
        return Err(Error::new(
            Kind::System,
            format!(
                "{} wants the password sent to {}, of another domain: not sent (the file realms in \
                 certs.d/{} can allow it: a host a line)",
                url.origin(),
                realm.host,
                url.authority()
            ),
        ));
    }
    Ok(realm)
}

/// One of what a `WWW-Authenticate` header offers (RFC 9110, section 11.6.1).
#[derive(Debug, PartialEq, Eq)]
pub struct Challenge {
    pub scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    fn get(&self, name: &str) -> &str {
        let mut all = self.parameters.iter();
        all.find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value)
    }
}

pub fn challenges(headers: &Headers) -> Vec<Challenge> {
    let mut all = Vec::new();
    for value in headers.all("www-authenticate") {
        parse(value, &mut all);
    }
    all
}

fn named<'a>(all: &'a [Challenge], scheme: &str) -> Option<&'a Challenge> {
    all.iter()
        .find(|one| one.scheme.eq_ignore_ascii_case(scheme))
}

/// `Bearer realm="…",service="…", Basic realm=x`: a word that no `=` follows begins the next one.
fn parse(text: &str, all: &mut Vec<Challenge>) {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        let end = rest.find([',', ' ', '\t', '=']).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        if word.is_empty() {
            return;
        }
        let Some(behind) = behind.strip_prefix('=') else {
            all.push(Challenge {
                scheme: word.to_string(),
                parameters: Vec::new(),
            });
            rest = behind;
            continue;
        };
        let (value, behind) = parameter(behind);
        if let Some(challenge) = all.last_mut() {
            challenge.parameters.push((word.to_string(), value));
        }
        rest = behind;
    }
}

/// A quoted string or a word, and what is behind it.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (word, behind) = text.split_at(end);
        return (word.to_string(), behind);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, letter)) = chars.next() {
        match letter {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, letter)| letter)),
            letter => value.push(letter),
        }
    }
    (value, "")
}

/// Check the credentials with the registry at `url`; answers a token to keep in the password's place,
/// if it has such.
pub fn log_in(
    transport: &Arc<Transport>,
    url: &Url,
    credentials: &Credentials,
) -> Result<Option<String>> {
    let answer = transport.follow("GET", &url.at("/v2/")?, "", "")?;
    let all = challenges(&answer.headers);
    let status = answer.status;
    answer.finish();
    let (line, refresh) = match (status, named(&all, "bearer"), named(&all, "basic")) {
        (401, Some(challenge), _) => {
            let token =
                Keys::new(None).token(transport, url, challenge, "", Some(credentials), true)?;
            (bearer(&token.token), token.refresh)
        }
        (401, None, Some(_)) => (basic(credentials), None),
        // Who asks for nothing takes everybody.
        (200, ..) => (String::new(), None),
        _ => return Err(unexpected(url, status)),
    };
    let answer = transport.follow("GET", &url.at("/v2/")?, "", &line)?;
    let status = answer.status;
    if status == 200 {
        answer.finish();
        return Ok(refresh);
    }
    Err(match status {
        401 => unexpected(url, status),
        _ => refusal::read(answer).plain(),
    })
}

/// Docker's sentence.
fn unexpected(url: &Url, status: u16) -> Error {
    let reason = match status {
        401 => " Unauthorized",
        404 => " Not Found",
        _ => "",
    };
    Error::new(
        Kind::System,
        format!(
            "login attempt to {}/v2/ failed with status: {status}{reason}",
            url.origin()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_taken_apart() {
        let parse = |text: &str| {
            let mut all = Vec::new();
            super::parse(text, &mut all);
            all
        };
        let all = parse(
            r#"Bearer realm="https://a/t?x=1,2",service="s \"q\"",scope="repository:x:pull,push" , Basic realm=plain"#,
        );
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].get("REALM"), "https://a/t?x=1,2");
        assert_eq!(all[0].get("service"), "s \"q\"");
        assert_eq!(all[0].get("scope"), "repository:x:pull,push");
        assert_eq!(
            (all[1].scheme.as_str(), all[1].get("realm")),
            ("Basic", "plain")
        );
        assert_eq!(parse("Negotiate, basic")[1].scheme, "basic");
        for text in [
            "",
            ",,",
            "=",
            "a=b",
            "Bearer realm=\"x",
            "Bearer =",
            "Bearer \"",
            "é=\"\\",
        ] {
            let _ = parse(text);
        }
    }

    #[test]
    fn tokens_come_by_either_name_and_live_by_our_clock() {
        let token = read_token(
            br#"{"access_token":"abc","expires_in":300,"issued_at":"1970-01-01T00:00:00Z"}"#,
        );
        let token = token.unwrap();
        assert_eq!((token.token.as_str(), token.life.as_secs()), ("abc", 295));
        let token = read_token(br#"{"token":"abc","refresh_token":"r"}"#).unwrap();
        assert_eq!(
            (token.life.as_secs(), token.refresh.as_deref()),
            (55, Some("r"))
        );
        for text in [
            r#"{"token":"a\r\nX: y"}"#,
            "{}",
            "[]",
            "nothing",
            r#"{"token":""}"#,
        ] {
            assert!(read_token(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn the_query_names_each_scope() {
        let own = Credentials {
            username: "me you".to_string(),
            ..Credentials::default()
        };
        let target = token_target(
            "/t?a=b",
            "s",
            "repository:x:pull repository:y:pull,push",
            Some(&own),
            false,
        );
        assert_eq!(
            target,
            "/t?a=b&account=me%20you&scope=repository%3Ax%3Apull&scope=repository%3Ay%3Apull%2Cpush&service=s"
        );
    }
}
