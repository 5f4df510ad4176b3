//! Manifests and lists of tags that are not what they should be.

use super::*;

/// A server with one answer to each request for a manifest.
fn serving(headers: &'static str, body: impl AsRef<[u8]>) -> Liar {
    let body = body.as_ref().to_vec();
    Liar::start(move |_| reply(200, headers, &body))
}

fn fetched(server: &Liar, reference: &str) -> Result<String, String> {
    let repository = pull(&Settings::default(), &server.host());
    let document = repository.manifest(reference);
    document
        .map(|document| document.media_type)
        .map_err(|e| e.to_string())
}

#[test]
fn a_manifest_is_what_its_digest_says() {
    let bytes = manifest("c", "l");
    let server = serving("", &bytes);
    assert_eq!(fetched(&server, &digest(&bytes)).unwrap(), MANIFEST);
    let other = digest(b"other");
    let error = fetched(&server, &other).unwrap_err();
    assert!(
        error.contains(&format!("verification failed for digest {other}")),
        "{error}"
    );

    // By tag, the registry's own word counts.
    let told: &'static str = format!("Docker-Content-Digest: {}\r\n", digest(&bytes)).leak();
    assert_eq!(fetched(&serving(told, &bytes), "t").unwrap(), MANIFEST);
    let error = fetched(&serving(told, [&bytes[..], b" "].concat()), "t").unwrap_err();
    assert!(error.contains("verification failed"), "{error}");
}

#[test]
fn a_document_is_of_one_kind() {
    const TYPE: &str =
        "Content-Type: application/vnd.oci.image.manifest.v1+json; charset=utf-8\r\n";
    const INDEX: &str = "Content-Type: application/vnd.oci.image.index.v1+json\r\n";
    const PLAIN: &str = "Content-Type: application/json\r\n";
    for (headers, body, kind) in [
        (TYPE, r#"{"schemaVersion":2,"layers":[]}"#, MANIFEST),
        (PLAIN, r#"{"schemaVersion":2,"layers":[]}"#, MANIFEST),
        (
            "",
            r#"{"manifests":[]}"#,
            "application/vnd.oci.image.index.v1+json",
        ),
        (
            INDEX,
            r#"{"manifests":[]}"#,
            "application/vnd.oci.image.index.v1+json",
        ),
        (PLAIN, r#"{"mediaType":"own","layers":[]}"#, "own"),
    ] {
        assert_eq!(
            fetched(&serving(headers, body), "t").unwrap(),
            kind,
            "{body}"
        );
    }
    for (headers, body, words) in [
        (
            INDEX,
            r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[]}"#,
            "it says that it is",
        ),
        (
            TYPE,
            r#"{"layers":[],"manifests":[]}"#,
            "both an index and a manifest",
        ),
        ("", "{}", "neither an index nor a manifest"),
        ("", r#"{"schemaVersion":1,"fsLayers":[]}"#, "schema 1"),
        (
            "Content-Type: application/vnd.docker.distribution.manifest.v1+prettyjws\r\n",
            "{}",
            "schema 1",
        ),
        (TYPE, "{", "line 1"),
        (TYPE, "\u{0}", "line 1"),
        (TYPE, "", "unexpected end"),
    ] {
        let error = fetched(&serving(headers, body), "t").unwrap_err();
        assert!(error.contains(words), "{body}: {error}");
    }
    let error = fetched(&serving(TYPE, b"{\"a\":\"\xff\"}"), "t").unwrap_err();
    assert!(error.contains("not UTF-8"), "{error}");
}

#[test]
fn a_manifest_has_a_bound() {
    let large = Liar::start(|_| raw("HTTP/1.1 200 OK\r\nContent-Length: 4194305\r\n\r\n{"));
    let endless = Liar::start(|_| Reply {
        bytes: b"HTTP/1.1 200 OK\r\n\r\n{".to_vec(),
        then: Then::Endless,
    });
    for server in [large, endless] {
        let error = fetched(&server, "t").unwrap_err();
        assert!(
            error.ends_with("the manifest is larger than 4194304 bytes"),
            "{error}"
        );
    }
    // The largest that there may be.
    let mut bytes = br#"{"layers":[]}"#.to_vec();
    bytes.resize(4 << 20, b' ');
    assert_eq!(fetched(&serving("", &bytes), "t").unwrap(), MANIFEST);
    // A head without end.
    let server = Liar::start(|_| Reply {
        bytes: b"HTTP/1.1 200 OK\r\nX: ".to_vec(),
        then: Then::Endless,
    });
    let error = fetched(&server, "t").unwrap_err();
    assert!(error.contains("head too large"), "{error}");
}

#[test]
fn half_a_manifest_is_none() {
    let server =
        Liar::start(|_| raw("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"layers\":[]}"));
    assert!(
        fetched(&server, "t")
            .unwrap_err()
            .contains("read the manifest")
    );
    let server = Liar::start(|_| {
        raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n{\"layers\":[]}\r\n")
    });
    assert!(
        fetched(&server, "t")
            .unwrap_err()
            .contains("read the manifest")
    );
    let server = Liar::start(|_| raw("nonsense\r\n\r\n"));
    assert!(
        fetched(&server, "t")
            .unwrap_err()
            .contains("malformed HTTP message")
    );
    let server = Liar::start(|_| {
        raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}")
    });
    assert!(
        fetched(&server, "t")
            .unwrap_err()
            .contains("malformed HTTP message")
    );
}

#[test]
fn a_list_of_tags_that_has_no_end_is_given_up() {
    let tags = |server: &Liar| pull(&Settings::default(), &server.host()).tags();
    // The same page again and again, a chain of empty ones, and ever new ones.
    let same = Liar::start(|_| {
        reply(
            200,
            "Link: </v2/a/b/tags/list?n=1>; rel=\"next\"\r\n",
            r#"{"tags":["x"]}"#,
        )
    });
    let empty = Liar::start(|_| reply(200, "Link: </?n=1>; rel=\"next\"\r\n", r#"{"tags":null}"#));
    let growing = Liar::start(|heard| {
        let at: u64 = heard.target.rsplit('=').next().unwrap().parse().unwrap();
        let page: Vec<String> = (at..at + 1000)
            .map(|n| format!("\"tag-number-{n}\""))
            .collect();
        let next = format!("Link: </?last={}>; rel=\"next\"\r\n", at + 1000);
        reply(200, &next, format!("{{\"tags\":[{}]}}", page.join(",")))
    });
    for server in [same, empty, growing] {
        let error = tags(&server).unwrap_err().to_string();
        assert!(
            error.ends_with("has more tags than anybody can read"),
            "{error}"
        );
        assert!(server.lines().len() <= 1000);
    }
    let endless = Liar::start(|_| Reply {
        bytes: b"HTTP/1.1 200 OK\r\n\r\n{\"tags\":[\"".to_vec(),
        then: Then::Endless,
    });
    let error = tags(&endless).unwrap_err().to_string();
    assert!(error.contains("the list of tags is larger"), "{error}");
    // Where the rest is asked for is not the registry's to say.
    let elsewhere = Liar::start(|_| reply(500, "", ""));
    let link = format!(
        "Link: <http://{}/v2/x?n=2>; rel=\"next\"\r\n",
        elsewhere.host()
    );
    let server = Liar::start(move |heard| match heard.target.ends_with("n=2") {
        false => reply(200, &link, r#"{"tags":["x"]}"#),
        true => reply(200, "", r#"{"tags":["y"]}"#),
    });
    assert_eq!(tags(&server).unwrap(), ["x", "y"]);
    assert!(elsewhere.lines().is_empty());
}
