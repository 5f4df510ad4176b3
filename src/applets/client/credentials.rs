//! Accounts at registries: from `config.json`, and from the helper programs that it names.
//!
//! `auths` holds them in base64, which hides nothing from who may read the file; `credHelpers` (for
//! one registry) and `credsStore` (for all) name programs `docker-credential-NAME` that keep them in
//! a better place. A registry's account comes from the one place that is meant for it: a program that
//! fails is an error and no reason to look elsewhere (CVE-2021-41092). Secrets go to programs by
//! their standard input and to the engine in a header, never into arguments or messages.

use super::config::Config;
use crate::error::{Context, Error, Result};
use crate::json::node::{self, Node, quote};
use crate::json::object::Object;
use crate::sys::process::{self, Ended};
use crate::sys::spawn::{self, Program};
use crate::{base64, id};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Under this name Docker keeps the account at its own registry, docker.io.
pub const HUB: &str = "https://index.docker.io/v1/";

/// What helpers call a user without a password, whose secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// What a helper says, and exits with 1, when it knows nobody at a registry.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// A user at a registry.
#[derive(Clone, Default, PartialEq)]
pub struct Account {
    pub server: String,
    pub user: String,
    pub password: String,
    /// In place of a password: what the registry gave for one.
    pub identity_token: String,
    /// In place of both: what is shown to the registry itself.
    pub registry_token: String,
}

impl Account {
    /// As the API reads it (AuthConfig).
    pub fn json(&self) -> String {
        let mut object = Object::new();
        for (name, value) in [
            ("username", &self.user),
            ("password", &self.password),
            ("serveraddress", &self.server),
            ("identitytoken", &self.identity_token),
            ("registrytoken", &self.registry_token),
        ] {
            if !value.is_empty() {
                object.text(name, value);
            }
        }
        object.finish()
    }

    fn has_secret(&self) -> bool {
        ![&self.password, &self.identity_token, &self.registry_token]
            .iter()
            .all(|text| text.is_empty())
    }
}

/// A line for a request's head: `json` in base64 as it is written in URLs (RFC 4648, section 5).
pub fn header(name: &str, json: &str) -> String {
    let text = base64::encode(json.as_bytes());
    format!("{name}: {}\r\n", text.replace('+', "-").replace('/', "_"))
}

/// The name of the account that an image's name asks for. What stands before the first slash is a
/// host only if it looks like one.
pub fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if is_host(host) => server_of(host),
        _ => HUB,
    }
}

fn is_host(text: &str) -> bool {
    text.contains(['.', ':'])
        || text == "localhost"
        || text.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// Docker's registry has several names and one account.
pub fn server_of(host: &str) -> &str {
    match host {
        "" | "docker.io" | "index.docker.io" | "registry-1.docker.io" | HUB => HUB,
        host => host_of(host),
    }
}

/// `https://HOST/v1/`, as old clients wrote it, is HOST.
pub fn host_of(server: &str) -> &str {
    let rest = server
        .strip_prefix("https://")
        .or_else(|| server.strip_prefix("http://"))
        .unwrap_or(server);
    rest.split('/').next().unwrap_or(rest)
}

impl Config {
    /// The user's account at `server`, a host or `HUB`.
    pub fn account(&self, server: &str) -> Result<Option<Account>> {
        match self.helper(server) {
            Some(helper) => helper_get(&helper, server),
            None => self.account_in_file(server),
        }
    }

    /// The head's line with every account: for a build, whose stages may come from several registries.
    pub fn accounts_header(&self) -> Result<String> {
        let root = self.root();
        let at = |name: &str| root.map_or(Vec::new(), |root| root.at(name).pairs());
        let mut servers: Vec<String> = Vec::new();
        for (server, _) in at("credHelpers").into_iter().chain(at("auths")) {
            servers.push(server);
        }
        if let Some(helper) = self.helper("") {
            let list = ask(&helper, "list", "listing", "")?.unwrap_or_default();
            let what = format!("the list of docker-credential-{helper}");
            for (server, _) in Node::new(&list, &what)?.pairs() {
                servers.push(server);
            }
        }
        servers.sort_unstable();
        servers.dedup();
        let mut all = Object::new();
        for server in servers {
            if let Some(account) = self.account(&server)? {
                all.put(&server, &account.json());
            }
        }
        Ok(header("X-Registry-Config", &all.finish()))
    }

    /// Keep an account where accounts at its registry are kept. Answers whether that is a file
    /// that did not hold it before.
    pub fn keep(&self, account: &Account) -> Result<bool> {
        let server = &account.server;
        let Some(helper) = self.helper(server) else {
            if self.account_in_file(server)?.as_ref() == Some(account) {
                return Ok(false);
            }
            self.write_account(server, Some(&encoded(account)))?;
            return Ok(!account.password.is_empty());
        };
        let (user, secret) = match account.identity_token.as_str() {
            "" => (account.user.as_str(), &account.password),
            _ => (TOKEN_USER, &account.identity_token),
        };
        let mut object = Object::new();
        object.text("ServerURL", server).text("Username", user);
        let input = object.text("Secret", secret).finish();
        ask(&helper, "store", "storing", &input)?;
        // The file says that there is an account, and no more.
        if self.entry(server).is_none_or(|entry| entry.json() != "{}") {
            self.write_account(server, Some("{}"))?;
        }
        Ok(false)
    }

    /// Forget the account at `server`, wherever it is kept.
    pub fn forget(&self, server: &str) -> Result<()> {
        if let Some(helper) = self.helper(server) {
            ask(&helper, "erase", "erasing", server)?;
            // As old clients have named it, perhaps.
            for scheme in ["http", "https"] {
                let _ = ask(&helper, "erase", "erasing", &format!("{scheme}://{server}"));
            }
        }
        let root = self.root();
        let known = root.map_or(Vec::new(), |root| root.at("auths").pairs());
        match known.iter().any(|(name, _)| is_of(name, server)) {
            true => self.write_account(server, None),
            false => Ok(()),
        }
    }

    /// The program that keeps the account at `server`; for an empty one, all that have no program
    /// of their own.
    fn helper(&self, server: &str) -> Option<String> {
        let root = self.root()?;
        let own = root.at("credHelpers").member(server);
        let name = own.or_else(|| root.member("credsStore"))?.text();
        (!name.is_empty()).then_some(name)
    }

    fn entry(&self, server: &str) -> Option<Node<'_>> {
        self.root()?.member("auths")?.member(server)
    }

    fn account_in_file(&self, server: &str) -> Result<Option<Account>> {
        let root = self.root();
        let known = root.map_or(Vec::new(), |root| root.at("auths").pairs());
        let exact = known.iter().find(|(name, _)| name == server);
        let found = exact.or_else(|| known.iter().find(|(name, _)| is_of(name, server)));
        let Some((name, entry)) = found else {
            return Ok(None);
        };
        let mut account = Account {
            server: server.to_string(),
            user: entry.at("username").text(),
            password: entry.at("password").text(),
            identity_token: entry.at("identitytoken").text(),
            registry_token: entry.at("registrytoken").text(),
        };
        let auth = entry.at("auth").text();
        if !auth.is_empty() {
            (account.user, account.password) = decoded(&auth).ok_or_else(|| {
                let sentence = "is no base64 of USER:PASSWORD: log out and in again";
                Error::invalid(format!("config.json: auths: auth of {name:?} {sentence}"))
            })?;
        }
        Ok(account.has_secret().then_some(account))
    }

    /// Write the file anew, with another entry for `server` among its `auths`, or without one. It
    /// is read again for that: another login may have written it meanwhile, and what cannot be read
    /// must not be lost.
    fn write_account(&self, server: &str, entry: Option<&str>) -> Result<()> {
        let path = self.path.as_deref().ok_or_else(|| {
            Error::invalid("nowhere to keep it: set HOME or DOCKER_CONFIG, or use --config")
        })?;
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "{}".to_string(),
            text => text.map_err(|e| Error::io(format_args!("read {}", path.display()), &e))?,
        };
        let root = Node::new(&text, &path.display().to_string())?;

        let mut auths = Object::new();
        for (name, old) in root.at("auths").pairs() {
            if !is_of(&name, server) {
                auths.put(&name, old.json());
            }
        }
        if let Some(entry) = entry {
            auths.put(server, entry);
        }
        let auths = auths.finish();
        let mut whole = Object::new();
        for (name, old) in root.pairs() {
            whole.put(&name, if name == "auths" { &auths } else { old.json() });
        }
        if root.member("auths").is_none() {
            whole.put("auths", &auths);
        }
        write_private(path, &with_tabs(&whole.finish()))
            .context(|| format!("write {}", path.display()))
    }
}

/// Whether an entry called `name` is for `server`.
fn is_of(name: &str, server: &str) -> bool {
    name == server || host_of(name) == server
}

/// An entry of `auths`.
fn encoded(account: &Account) -> String {
    let mut entry = Object::new();
    if !account.password.is_empty() || account.identity_token.is_empty() {
        let both = format!("{}:{}", account.user, account.password);
        entry.text("auth", &base64::encode(both.as_bytes()));
    } else {
        // Docker's client wants a user beside the token.
        let user = format!("{}:", account.user);
        entry.text("auth", &base64::encode(user.as_bytes()));
    }
    if !account.identity_token.is_empty() {
        entry.text("identitytoken", &account.identity_token);
    }
    entry.finish()
}

fn decoded(auth: &str) -> Option<(String, String)> {
    let text = String::from_utf8(base64::decode(auth)?).ok()?;
    let (user, password) = text.split_once(':')?;
    // Old clients filled the password up.
    let password = password.trim_matches('\0');
    Some((user.to_string(), password.to_string()))
}

/// As Docker's client writes it.
pub fn with_tabs(json: &str) -> String {
    let mut text = String::new();
    for line in node::pretty(json).lines() {
        let rest = line.trim_start_matches(' ');
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&"\t".repeat((line.len() - rest.len()) / 4));
        text.push_str(rest);
    }
    text
}

/// Replace a file with one that its owner alone may read. A link stays one.
fn write_private(path: &Path, text: &str) -> Result<()> {
    let failed = |e: std::io::Error| Error::io("replace it", &e);
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let dir = path.parent().unwrap_or(Path::new("/"));
    let mut maker = fs::DirBuilder::new();
    maker
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(failed)?;

    let beside = PathBuf::from(format!("{}.{}", path.display(), id::short(&id::random()?)));
    let write = || {
        let mut options = fs::File::options();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&beside)?;
        // Under sudo it is the user's still.
        if let Ok(old) = fs::metadata(&path) {
            std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&beside);
        failed(error)
    })
}

fn helper_get(helper: &str, server: &str) -> Result<Option<Account>> {
    let Some(answer) = ask(helper, "get", "getting", server)? else {
        return Ok(None);
    };
    // The answer is a secret: an error must not show it.
    let broken = |_| Error::invalid(format!("docker-credential-{helper} get: no JSON"));
    let answer = Node::new(&answer, "").map_err(broken)?;
    let mut account = Account {
        server: server.to_string(),
        user: answer.at("Username").text(),
        password: answer.at("Secret").text(),
        ..Account::default()
    };
    if account.user == TOKEN_USER {
        account.identity_token = std::mem::take(&mut account.password);
        account.user.clear();
    }
    Ok(account.has_secret().then_some(account))
}

/// Run a helper. `None`: it does not know the registry. The words are those of Docker's client.
fn ask(helper: &str, verb: &str, doing: &str, input: &str) -> Result<Option<String>> {
    let program = format!("docker-credential-{helper}");
    let failed = |why: &str, said: &str| {
        let said = said.trim();
        Error::invalid(format!(
            "error {doing} credentials - err: {why}, out: `{said}`"
        ))
    };
    let pipe = || spawn::pipe().map_err(|errno| failed(&errno.to_string(), ""));
    let (stdin, writer) = pipe()?;
    let (reader, stdout) = pipe()?;
    let args = process::c_strings(&[&program, verb])?;
    let child = Program {
        path: Path::new(&program),
        args,
        env: None,
        dir: None,
        stdio: [Some(stdin.as_fd()), Some(stdout.as_fd()), None],
        resets_signals: false,
    };
    let child = child.spawn().map_err(|errno| match errno {
        Errno::NOENT => failed(
            &format!(
                "exec: {}: executable file not found in $PATH",
                quote(&program)
            ),
            "",
        ),
        errno => failed(&errno.to_string(), ""),
    })?;
    drop((stdin, stdout));
    // One that does not read says by its exit status what it thinks.
    let _ = File::from(writer).write_all(input.as_bytes());
    let mut said = Vec::new();
    let _ = File::from(reader).read_to_end(&mut said);
    let said = String::from_utf8_lossy(&said);
    match process::wait(process::open(child)?)? {
        Ended::Exited(0) => Ok(Some(said.into_owned())),
        _ if said.trim() == NOT_FOUND => Ok(None),
        Ended::Exited(code) => Err(failed(&format!("exit status {code}"), &said)),
        Ended::Signalled(_) => Err(failed("it was killed", &said)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config {
            text: text.to_string(),
            ..Config::empty()
        }
    }

    #[test]
    fn an_image_asks_for_the_account_of_its_registry() {
        for (image, server) in [
            ("busybox", HUB),
            ("user/busybox:1", HUB),
            ("docker.io/library/busybox", HUB),
            ("index.docker.io/busybox", HUB),
            ("localhost/x", "localhost"),
            ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000"),
            ("ghcr.io/a", "ghcr.io"),
        ] {
            assert_eq!(registry_of(image), server, "{image}");
        }
        assert_eq!(host_of("https://a.b/v1/"), "a.b");
        assert_eq!(server_of(""), HUB);
    }

    #[test]
    fn accounts_of_the_file_are_found_by_host() {
        let config = config(
            r#"{"auths":{"https://a.b/v1/":{"auth":"bWU6cDp3"},"c":{"identitytoken":"t","auth":"bWU6"},
               "https://index.docker.io/v1/":{"auth":"aHViOnB3"},"d":{},"e":{"auth":"!"}}}"#,
        );
        let found = |server: &str| config.account(server).unwrap().unwrap().json();
        assert_eq!(
            found("a.b"),
            r#"{"username":"me","password":"p:w","serveraddress":"a.b"}"#
        );
        assert_eq!(
            found("c"),
            r#"{"username":"me","serveraddress":"c","identitytoken":"t"}"#
        );
        assert!(found(HUB).starts_with(r#"{"username":"hub""#));
        assert!(config.account("d").unwrap().is_none());
        let error = config.account("e").err().unwrap();
        assert!(
            error.message.contains("auth of \"e\" is no base64"),
            "{error}"
        );
    }

    #[test]
    fn a_helper_of_its_own_comes_before_the_store_of_all() {
        let config = config(r#"{"credHelpers":{"a":"one","b":""},"credsStore":"all"}"#);
        assert_eq!(config.helper("a").as_deref(), Some("one"));
        assert_eq!(config.helper("b"), None);
        assert_eq!(config.helper("c").as_deref(), Some("all"));
        let config = self::config(r#"{"credsStore":"all"}"#);
        assert_eq!(config.helper("a").as_deref(), Some("all"));
    }

    #[test]
    fn the_file_keeps_what_we_do_not_know() {
        assert_eq!(
            with_tabs(r#"{"x":{"b":[1]},"auths":{}}"#),
            "{\n\t\"x\": {\n\t\t\"b\": [\n\t\t\t1\n\t\t]\n\t},\n\t\"auths\": {}\n}"
        );
    }

    #[test]
    fn a_header_is_written_in_the_digits_of_urls() {
        assert_eq!(header("X", "\u{3fb}\u{3ff}~"), "X: z7vPv34=\r\n");
        assert_eq!(header("X", "??>>"), "X: Pz8-Pg==\r\n");
    }
}
