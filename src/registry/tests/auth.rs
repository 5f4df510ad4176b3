//! Who gets to see a password, and who does not.

use super::*;
use crate::base64;
use crate::registry::login;
use std::sync::atomic::{AtomicUsize, Ordering};

const TOKEN: &str = "Bearer sesame";

/// A registry that wants a token of `realm`.
fn guarded(realm: String) -> Liar {
    Liar::start(
        move |heard| match heard.header("authorization").as_deref() {
            Some(TOKEN) => reply(200, "", manifest("c", "l")),
            _ => {
                let wanted = format!(
                    "WWW-Authenticate: Bearer realm=\"{realm}\",service=\"reg\",scope=\"x\"\r\n"
                );
                reply(
                    401,
                    &wanted,
                    r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#,
                )
            }
        },
    )
}

/// A token server that gives what opens `guarded` to who has the password.
fn token_server(life: &'static str) -> Liar {
    Liar::start(move |heard| {
        let line = heard
            .header("authorization")
            .map(|value| format!("Authorization: {value}"));
        match line == Some(basic()) {
            true => reply(200, "", format!(r#"{{"token":"sesame"{life}}}"#)),
            false => reply(
                401,
                "",
                r#"{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}"#,
            ),
        }
    })
}

#[test]
fn a_token_is_fetched_once_and_used_until_it_expires() {
    let tokens = token_server(r#","expires_in":300"#);
    let server = guarded(format!("http://{}/token?x=1", tokens.host()));
    let repository = mine(&Settings::default(), &server.host());
    for _ in 0..3 {
        repository.manifest("t").unwrap();
    }
    assert_eq!(
        tokens.lines(),
        ["GET /token?x=1&account=me&scope=repository%3Aa%2Fb%3Apull&service=reg"]
    );
    assert_eq!(server.lines().len(), 4);
    // The registry itself never saw the password.
    for heard in server.heard() {
        assert!(
            heard
                .header("authorization")
                .is_none_or(|value| value == TOKEN)
        );
    }

    // One that is as good as over is fetched each time.
    let tokens = token_server(r#","expires_in":1"#);
    let server = guarded(format!("http://{}/token", tokens.host()));
    let repository = mine(&Settings::default(), &server.host());
    repository.manifest("t").unwrap();
    repository.manifest("t").unwrap();
    assert_eq!(tokens.lines().len(), 2);

    // Nobody's pull asks without a password; the refusal is the token server's.
    let error = pull(&Settings::default(), &server.host())
        .manifest("t")
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "unauthorized: incorrect username or password"
    );
}

#[test]
fn a_token_that_was_good_is_renewed_once() {
    let tokens = token_server("");
    let realm = format!("http://{}/token", tokens.host());
    let count = AtomicUsize::new(0);
    // It takes each token but once.
    let server = Liar::start(move |heard| {
        let is_good = heard.header("authorization").is_some()
            && count.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        match is_good {
            true => reply(200, "", manifest("c", "l")),
            false => reply(
                401,
                &format!("WWW-Authenticate: Bearer realm=\"{realm}\"\r\n"),
                "",
            ),
        }
    });
    let repository = mine(&Settings::default(), &server.host());
    repository.manifest("t").unwrap();
    repository.manifest("t").unwrap();
    assert_eq!(tokens.lines().len(), 2);
    // And one that is never good ends in an error.
    let tokens = token_server("");
    let realm = format!("http://{}/token", tokens.host());
    let server = Liar::start(move |_| {
        reply(
            401,
            &format!("WWW-Authenticate: Bearer realm=\"{realm}\"\r\n"),
            "",
        )
    });
    let error = mine(&Settings::default(), &server.host())
        .manifest("t")
        .unwrap_err();
    assert_eq!(error.to_string(), "unauthorized: authentication required");
    assert_eq!((server.lines().len(), tokens.lines().len()), (2, 1));
}

#[test]
fn an_identity_token_buys_tokens_and_a_registry_token_is_shown() {
    let tokens = Liar::start(|heard| {
        let body = String::from_utf8_lossy(&heard.body).into_owned();
        assert!(heard.header("authorization").is_none());
        match body.contains("refresh_token=ident%2Fity")
            && body.contains("grant_type=refresh_token")
        {
            true => reply(
                200,
                "",
                r#"{"access_token":"sesame","refresh_token":"new"}"#,
            ),
            false => reply(401, "", ""),
        }
    });
    let server = guarded(format!("http://{}/token", tokens.host()));
    let own = Credentials {
        identity_token: "ident/ity".to_string(),
        ..Credentials::default()
    };
    let open = |own: &Credentials| {
        Repository::open(
            &Settings::default(),
            &server.host(),
            "a/b",
            Access::Pull,
            Some(own),
        )
        .unwrap()
    };
    open(&own).manifest("t").unwrap();
    let body = String::from_utf8(tokens.heard()[0].body.clone()).unwrap();
    assert_eq!(
        body,
        "grant_type=refresh_token&service=reg&client_id=tug&scope=repository%3Aa%2Fb%3Apull&refresh_token=ident%2Fity"
    );
    let own = Credentials {
        registry_token: "sesame".to_string(),
        ..Credentials::default()
    };
    open(&own).manifest("t").unwrap();
    assert_eq!(tokens.lines().len(), 1);
}

#[test]
fn a_realm_elsewhere_gets_no_password() {
    let tokens = token_server("");
    // Another name, if not another machine.
    let server = guarded(format!("http://localhost:{}/token", tokens.port));
    let error = mine(&Settings::default(), &server.host())
        .manifest("t")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("wants the password sent to localhost, of another domain: not sent"),
        "{error}"
    );
    assert_kept(&tokens, &error);
    assert!(tokens.lines().is_empty());

    // Unless the machine's owner says so.
    let certs = std::env::temp_dir().join(format!("tug-realms-{}", std::process::id()));
    let dir = certs.join(server.host());
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("realms"), "other\nlocalhost\n").unwrap();
    let settings = Settings {
        certs: vec![certs.clone()],
        ..Settings::default()
    };
    let fetched = mine(&settings, &server.host()).manifest("t");
    std::fs::remove_dir_all(certs).unwrap();
    fetched.unwrap();

    for realm in [
        "http://169.254.169.254/latest",
        "https://169.254.169.254/latest",
        "http://2852039166/",
        "http://[fe80::1]/",
        "file:///etc/passwd",
        "",
        "http://user:pass@127.0.0.1/",
    ] {
        let server = guarded(realm.to_string());
        let error = mine(&Settings::default(), &server.host())
            .manifest("t")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("token server of http://127.0.0.1"),
            "{error}"
        );
        assert_kept(&server, &error);
    }
}

#[test]
fn a_password_is_shown_to_the_registry_only() {
    let elsewhere = Liar::start(|_| reply(401, "WWW-Authenticate: Basic realm=x\r\n", ""));
    let there = format!("Location: http://{}/x?signature=1\r\n", elsewhere.host());
    let server = Liar::start(move |heard| match heard.header("authorization") {
        None => reply(401, "WWW-Authenticate: Basic realm=x\r\n", ""),
        Some(_) if heard.target.contains("here") => reply(200, "", manifest("c", "l")),
        Some(_) if heard.target.ends_with("/t") => reply(302, "Location: /here\r\n", ""),
        Some(_) => reply(307, &there, ""),
    });
    let repository = mine(&Settings::default(), &server.host());
    // Within the origin it goes along; beyond it does not, not even when it is asked for.
    repository.manifest("t").unwrap();
    let error = repository.manifest("away").unwrap_err().to_string();
    assert_eq!(elsewhere.lines(), ["GET /x?signature=1"]);
    assert_kept(&elsewhere, &error);
    // Nor where an upload goes on.
    let there = format!("Location: http://{}/upload\r\n", elsewhere.host());
    let server = Liar::start(move |heard| match heard.header("authorization") {
        None => reply(401, "WWW-Authenticate: Basic realm=x\r\n", ""),
        Some(_) => reply(202, &there, ""),
    });
    let repository = Repository::open(
        &Settings::default(),
        &server.host(),
        "a/b",
        Access::Push,
        Some(&me()),
    )
    .unwrap();
    let error = repository
        .upload(&mut &b"content"[..])
        .unwrap_err()
        .to_string();
    assert_eq!(elsewhere.lines().last().unwrap(), "PATCH /upload");
    assert_kept(&elsewhere, &error);
}

#[test]
fn a_mirror_gets_no_password() {
    let mirror = Liar::start(|_| reply(401, "WWW-Authenticate: Basic realm=x\r\n", ""));
    let hub = Liar::start(|heard| match heard.header("authorization") {
        None => reply(401, "WWW-Authenticate: Basic realm=x\r\n", ""),
        Some(_) => reply(200, "", manifest("c", "l")),
    });
    let settings = Settings {
        mirrors: vec![format!("http://{}/", mirror.host())],
        ..Settings::default()
    };
    let mut repository =
        Repository::open(&settings, "docker.io", "a/b", Access::Pull, Some(&me())).unwrap();
    // What is the hub for everybody is on this machine for the test.
    let inner = std::sync::Arc::get_mut(&mut repository.0).unwrap();
    inner.endpoints[1].url =
        super::super::url::Url::parse(&format!("http://{}/", hub.host())).unwrap();
    repository.manifest("t").unwrap();
    assert_eq!(mirror.lines(), ["GET /v2/a/b/manifests/t"]);
    assert_kept(&mirror, "");
    assert_eq!(hub.lines().len(), 2);
    // A mirror that has it is enough.
    let mirror = Liar::start(|_| reply(200, "", manifest("c", "l")));
    let settings = Settings {
        mirrors: vec![format!("http://{}/", mirror.host())],
        ..Settings::default()
    };
    let repository =
        Repository::open(&settings, "docker.io", "a/b", Access::Pull, Some(&me())).unwrap();
    repository.manifest("t").unwrap();
    assert_kept(&mirror, "");
}

#[test]
fn a_login_is_good_or_not() {
    if skip("registry-login") {
        return;
    }
    let registry = Registry::start_with(&real::Options {
        has_password: true,
        tls: None,
    });
    let settings = Settings::default();
    let good = Credentials {
        username: real::USER.to_string(),
        password: real::PASSWORD.to_string(),
        ..Credentials::default()
    };
    assert_eq!(login(&settings, &registry.host(), &good).unwrap(), None);
    let error = login(&settings, &registry.host(), &me())
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        format!(
            "login attempt to http://{}/v2/ failed with status: 401 Unauthorized",
            registry.host()
        )
    );
    // What a pull is told without a password, with a wrong one, and with the right one.
    let error = pull(&settings, &registry.host())
        .manifest("t")
        .unwrap_err()
        .to_string();
    assert_eq!(error, "no basic auth credentials");
    let error = mine(&settings, &registry.host())
        .manifest("t")
        .unwrap_err()
        .to_string();
    assert_eq!(error, "unauthorized: authentication required");
    let repository = Repository::open(
        &settings,
        &registry.host(),
        "a/b",
        Access::Push,
        Some(&good),
    )
    .unwrap();
    let (config, _) = repository.upload(&mut &b"{}"[..]).unwrap();
    repository
        .put_manifest("t", MANIFEST, &manifest(&config, &config))
        .unwrap();
    repository.manifest("t").unwrap();
    let log = registry.log();
    assert!(
        !log.contains(SECRET) && !log.contains(real::PASSWORD),
        "{log}"
    );
    assert!(!log.contains(&base64::encode(real::PASSWORD.as_bytes())));
}

#[test]
fn a_login_with_tokens_gives_one_to_keep() {
    let tokens = token_server(r#","refresh_token":"for-later""#);
    let server = guarded(format!("http://{}/token", tokens.host()));
    let kept = login(&Settings::default(), &server.host(), &me()).unwrap();
    assert_eq!(kept.as_deref(), Some("for-later"));
    assert_eq!(
        tokens.lines(),
        ["GET /token?account=me&client_id=tug&offline_token=true&service=reg"]
    );
    let wrong = Credentials {
        password: "wrong".to_string(),
        ..me()
    };
    let error = login(&Settings::default(), &server.host(), &wrong).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unauthorized: incorrect username or password"
    );
}
