//! Ways: redirects, proxies, and hosts where nobody is.

use super::*;
use crate::base64;
use crate::registry::proxy::Proxies;

#[test]
fn redirects_have_a_bound() {
    let server = Liar::start(|_| reply(302, "Location: /again\r\n", ""));
    let error = pull(&Settings::default(), &server.host())
        .manifest("t")
        .unwrap_err()
        .to_string();
    assert!(error.ends_with("stopped after 10 redirects"), "{error}");
    assert_eq!(server.lines().len(), 11);
    // Not to the cloud's metadata, and not to what is no HTTP.
    for location in [
        "http://169.254.169.254/x",
        "ftp://a/",
        "http://a b/",
        "http://me:pw@127.0.0.1/",
    ] {
        let line = format!("Location: {location}\r\n");
        let server = Liar::start(move |_| reply(302, &line, ""));
        let error = pull(&Settings::default(), &server.host())
            .manifest("t")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("refused") || error.contains("is no address of HTTP"),
            "{error}"
        );
    }
    // One without a place to go is an answer like any other.
    let server = Liar::start(|_| reply(302, "", ""));
    let error = pull(&Settings::default(), &server.host())
        .manifest("t")
        .unwrap_err()
        .to_string();
    assert_eq!(error, "unexpected status from the registry: 302");
}

#[test]
fn nobody_there_is_told_in_gos_words() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = format!("127.0.0.1:{}", free.local_addr().unwrap().port());
    drop(free);
    let error = pull(&Settings::default(), &host)
        .manifest("t")
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        format!(
            "Get \"http://{host}/v2/a/b/manifests/t\": dial tcp {host}: connect: connection refused"
        )
    );
    let error = pull(&Settings::default(), "nowhere.invalid")
        .manifest("t")
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with(
            "Get \"https://nowhere.invalid/v2/a/b/manifests/t\": dial tcp: lookup nowhere.invalid: "
        ),
        "{error}"
    );
}

#[test]
fn plain_requests_go_through_the_proxy_with_its_password() {
    let proxy = Liar::start(|heard| match heard.method.as_str() {
        // Nobody there speaks TLS.
        "CONNECT" => reply(502, "", ""),
        _ => reply(200, "", manifest("c", "l")),
    });
    let address = format!("http://pro:x%79z@{}", proxy.host());
    let settings = Settings {
        insecure: vec!["registry.test:5000".to_string()],
        proxies: Proxies {
            http: address.clone(),
            https: address,
            no_proxy: String::new(),
        },
        ..Settings::default()
    };
    pull(&settings, "registry.test:5000").manifest("t").unwrap();
    let mut expected = vec!["GET http://registry.test:5000/v2/a/b/manifests/t"];
    if cfg!(feature = "tls") {
        expected.insert(0, "CONNECT registry.test:5000");
    }
    assert_eq!(proxy.lines(), expected);
    for heard in proxy.heard() {
        let expected = format!("Basic {}", base64::encode(b"pro:xyz"));
        assert_eq!(heard.header("proxy-authorization"), Some(expected));
        assert_eq!(heard.header("host").as_deref(), Some("registry.test:5000"));
    }
    // A proxy that wants another password.
    let proxy = Liar::start(|_| reply(407, "", ""));
    let settings = Settings {
        proxies: Proxies {
            https: format!("http://pro:{SECRET}@{}", proxy.host()),
            ..Proxies::default()
        },
        ..Settings::default()
    };
    let error = pull(&settings, "registry.test")
        .manifest("t")
        .unwrap_err()
        .to_string();
    if cfg!(feature = "tls") {
        assert!(error.ends_with("Proxy Authentication Required"), "{error}");
    }
    assert!(!error.contains(SECRET), "{error}");
}

#[test]
fn a_registry_with_tls_is_not_asked_without() {
    let proxy = Liar::start(|_| reply(200, "", manifest("c", "l")));
    let settings = Settings {
        proxies: Proxies {
            http: proxy.host(),
            https: proxy.host(),
            no_proxy: String::new(),
        },
        ..Settings::default()
    };
    let error = pull(&settings, "registry.test")
        .manifest("t")
        .unwrap_err()
        .to_string();
    assert!(
        proxy.lines().iter().all(|line| line.starts_with("CONNECT")),
        "{error}"
    );
}

#[cfg(not(feature = "tls"))]
#[test]
fn what_was_built_without_tls_says_so() {
    let error = pull(&Settings::default(), "registry.test")
        .manifest("t")
        .unwrap_err()
        .to_string();
    assert!(error.ends_with("this tug was built without TLS"), "{error}");
}
