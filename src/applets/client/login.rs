//! `tug login`: an account at a registry, proved and kept.

use super::credentials::{self, Account};
use super::options::{Options, Verb, flag};
use super::print;
use super::remote::{Engine, parse};
use crate::error::{Context, Error, Result};
use crate::http::client::Body;
use crate::sys::terminal;
use std::io::{BufRead, IsTerminal, Read};

pub const VERB: Verb = Verb {
    names: &["login"],
    usage: "[OPTIONS] [SERVER]",
    about: "Authenticate to a registry",
    flags: &[&[
        flag(
            "-p, --password string",
            "Password or Personal Access Token (PAT)",
        ),
        flag(
            "--password-stdin",
            "Take the Password or Personal Access Token (PAT) from stdin",
        ),
        flag("-u, --username string", "Username"),
    ]],
    args: (0, 1),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    check(options)?;
    let server = options.args.first().map_or("", String::as_str);
    let server = credentials::server_of(server);
    let config = &engine.config;
    let (user, password) = (options.get("username"), options.get("password"));
    if password.is_some() {
        print::err("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n")?;
    }

    let mut account = Account {
        server: server.to_string(),
        user: user.unwrap_or_default().to_string(),
        ..Account::default()
    };
    account.password = match options.is("password-stdin") {
        true => read_password()?,
        false => password.unwrap_or_default().to_string(),
    };
    if user.is_none() && password.is_none() {
        let known = config.account(server);
        if let Some(known) = known.context(|| "Error getting credentials")? {
            if let Some(done) = with_known(engine, &known)? {
                return Ok(done);
            }
            account.user = known.user;
        }
    }
    ask_for_missing(&mut account, user.is_some())?;
    prove(engine, account)?;
    print::line("Login Succeeded").map(|()| 0)
}

/// The sentences here and below are those of Docker's client.
fn check(options: &Options) -> Result<()> {
    let is_empty = |name: &str| options.get(name).is_some_and(str::is_empty);
    let sentence = match options.is("password-stdin") {
        _ if is_empty("username") => "username is empty",
        _ if is_empty("password") => "password is empty",
        true if options.get("password").is_some() => {
            "conflicting options: cannot specify both --password and --password-stdin"
        }
        true if options.get("username").is_none() => {
            "the --password-stdin option requires --username to be set"
        }
        _ => return Ok(()),
    };
    Err(Error::invalid(sentence))
}

fn read_password() -> Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Error::io("read standard input", &error))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_string())
}

/// Try what was kept by an earlier login.
fn with_known(engine: &Engine, known: &Account) -> Result<Option<u8>> {
    let who = match known.user.as_str() {
        "" => String::new(),
        user => format!(" [Username: {user}]"),
    };
    print::err(format!(
        "Authenticating with existing credentials...{who}\n\n \
         Info -> To login with a different account, run 'tug logout' followed by 'tug login'\n\n\n"
    ))?;
    match prove(engine, known.clone()) {
        Ok(()) => print::line("Login Succeeded").map(|()| Some(0)),
        Err(error) if std::io::stdin().is_terminal() => {
            print::err(format!("Login did not succeed, error: {error}\n"))?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn ask_for_missing(account: &mut Account, is_user_given: bool) -> Result<()> {
    if is_user_given && !account.password.is_empty() {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Error::invalid(
            "Error: Cannot perform an interactive login from a non TTY device",
        ));
    }
    if !is_user_given {
        let default = match account.user.as_str() {
            "" => String::new(),
            user => format!(" ({user})"),
        };
        print::out(format!("Username{default}: "))?;
        let mut line = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut line)
            .map_err(|error| Error::io("read user name", &error))?;
        let line = line.trim();
        if !line.is_empty() {
            account.user = line.to_string();
        }
        if account.user.is_empty() {
            return Err(Error::invalid("Error: Non-null Username Required"));
        }
    }
    if account.password.is_empty() {
        print::out("Password: ")?;
        let typed = type_password();
        print::out("\n")?;
        account.password = typed?;
    }
    match account.password.is_empty() {
        true => Err(Error::invalid("Error: Password Required")),
        false => Ok(()),
    }
}

/// A line from the terminal that does not show it. Byte by byte in raw mode: were only the echo
/// off, Ctrl-C would leave the user with a silent terminal.
fn type_password() -> Result<String> {
    let mut stdin = std::io::stdin().lock();
    let _raw = terminal::raw(std::io::stdin())?;
    let mut typed = Vec::new();
    let mut byte = [0];
    loop {
        let count = stdin
            .read(&mut byte)
            .map_err(|error| Error::io("read password", &error))?;
        match (count, byte[0]) {
            (0, _) | (_, b'\r' | b'\n' | 0x04) => break,
            (_, 0x03) => return Err(Error::invalid("interrupted")),
            (_, 0x15) => typed.clear(),
            (_, 0x08 | 0x7f) => drop(typed.pop()),
            (_, byte) => typed.push(byte),
        }
    }
    String::from_utf8(typed).map_err(|_| Error::invalid("the password is not UTF-8"))
}

/// Have the engine ask the registry, and keep the account if it is right.
fn prove(engine: &Engine, mut account: Account) -> Result<()> {
    let answer = engine.send("POST", "/auth", Body::Json(&account.json()))?;
    let answer = answer.text()?;
    let token = parse(&answer)?.at("IdentityToken").text();
    if !token.is_empty() {
        account.password.clear();
        account.identity_token = token;
    }
    let config = &engine.config;
    let kept = config.keep(&account);
    let is_in_file = kept.context(|| "Error saving credentials")?;
    match &config.path {
        Some(path) if is_in_file => print::err(format!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\n\
             Configure a credential helper to remove this warning. See\n\
             https://docs.docker.com/go/credential-store/\n\n",
            path.display()
        )),
        _ => Ok(()),
    }
}
