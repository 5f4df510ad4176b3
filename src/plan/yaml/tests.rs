//! YAML as people write it, and as they should not.

use super::*;

fn read(text: &str) -> String {
    match to_json(text) {
        Ok(json) => {
            Node::new(&json, "yaml").unwrap();
            json
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn yaml_becomes_json() {
    for (yaml, expected) in [
        ("", "null"),
        ("# nothing\n", "null"),
        ("---\na: 1\n...\n", r#"{"a":1}"#),
        ("a: b # comment\nc: d#e\n", r#"{"a":"b","c":"d#e"}"#),
        (
            "a:\n  b: true\n  c: ~\nd:\n- 1\n- x y\n",
            r#"{"a":{"b":true,"c":null},"d":[1,"x y"]}"#,
        ),
        (
            "- a: 1\n  b: 2\n-   c: 3\n- - 4\n  - 5\n-\n  d: 6\n",
            r#"[{"a":1,"b":2},{"c":3},[4,5],{"d":6}]"#,
        ),
        (
            "ports:\n  - \"80:80\"\n  - 8080:80\n  - '[::1]:1:2'\n",
            r#"{"ports":["80:80","8080:80","[::1]:1:2"]}"#,
        ),
        (
            "cmd: [\"sh\", -c, 'it''s', {a: b, \"c\": 1}, ]\n",
            r#"{"cmd":["sh","-c","it's",{"a":"b","c":1}]}"#,
        ),
        (
            "a: [\n  1, # one\n  2\n ]\nb: {}\n",
            r#"{"a":[1,2],"b":{}}"#,
        ),
        ("a: \"x\\n\\u00e4\\x41\\\n   y\"\n", r#"{"a":"x\näAy"}"#),
        ("a: 'x\n   y\n\n   z'\n", r#"{"a":"x y\nz"}"#),
        ("a: x\n  y\n\n  z\nb: 1\n", r#"{"a":"x y\nz","b":1}"#),
        (
            "a: |\n  x\n   y\n\n  z\nb: |-\n  q\n\nc: |+\n  r\n\n",
            r#"{"a":"x\n y\n\nz\n","b":"q","c":"r\n\n"}"#,
        ),
        (
            "a: >\n  x\n  y\n\n  z\n   w\n  v\nb: >-\n  q\n",
            r#"{"a":"x y\nz\n w\nv\n","b":"q"}"#,
        ),
        ("a: |2\n   x\n", r#"{"a":" x\n"}"#),
        (
            "x: &base\n  a: 1\n  b: 2\ny:\n  <<: *base\n  b: 3\nz: *base\n",
            r#"{"x":{"a":1,"b":2},"y":{"b":3,"a":1},"z":{"a":1,"b":2}}"#,
        ),
        (
            "a: &x 1\nb: &y\n  - 2\nc: {<<: [{p: 1}, {p: 2, q: 3}]}\nd: *y\n",
            r#"{"a":1,"b":[2],"c":{"p":1,"q":3},"d":[2]}"#,
        ),
        (
            "\"a b\": 1\n'c:d': 2\ne f : 3\n",
            r#"{"a b":1,"c:d":2,"e f":3}"#,
        ),
        (
            "a: 1.10\nb: 0644\nc: 1e3\nd: yes\ne: -1\n",
            r#"{"a":1.10,"b":"0644","c":1e3,"d":"yes","e":-1}"#,
        ),
        (
            "a: http://x:80/y\nb: ${A:-b}\nc: -x\n",
            r#"{"a":"http://x:80/y","b":"${A:-b}","c":"-x"}"#,
        ),
        ("a:\r\n  - b\r\n", r#"{"a":["b"]}"#),
    ] {
        assert_eq!(read(yaml), expected, "{yaml}");
    }
}

#[test]
fn what_is_not_read_is_located() {
    for (yaml, expected) in [
        (
            "a: b: c\n",
            "line 1, column 4: a map begins on a line of its own",
        ),
        (
            "a: - b\n",
            "line 1, column 4: a list begins on a line of its own",
        ),
        (
            "a: 1\n  b: 2\n",
            "line 2, column 3: a map begins on a line of its own",
        ),
        (
            "a:\n  b: 1\n c: 2\n",
            "line 3, column 2: a key is wanted here, as far in as those above",
        ),
        (
            "a: 1\na: 2\n",
            "line 2, column 1: this key stands there twice",
        ),
        ("a: *b\n", "line 1, column 4: there is no such anchor above"),
        (
            "a: !reset []\n",
            "line 1, column 4: this sign is not read here",
        ),
        ("a: \"x\n", "line 1, column 4: string without end"),
        ("a: [1, 2\n", "line 2, column 1: expected ',' or ']'"),
        (
            "a: [1] 2\n",
            "line 1, column 8: the end of the line is wanted",
        ),
        ("a: {b: 1\n", "line 2, column 1: expected ',' or '}'"),
        ("\ta: 1\n", "line 1, column 2: a tab does not indent"),
        (
            "a: 1\n---\nb: 2\n",
            "line 2, column 1: one document is wanted",
        ),
        ("a: \"\\q\"\n", "line 1, column 6: there is no such escape"),
        (
            "a: 1\nb\n",
            "line 2, column 1: a key is wanted here, as far in as those above",
        ),
        ("? a\n: b\n", "line 1, column 1: this sign is not read here"),
    ] {
        assert_eq!(read(yaml), expected, "{yaml}");
    }
    let deep = "[".repeat(100);
    assert!(read(&deep).ends_with("nested too deeply"));
    let deep: String = (0..100).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    assert!(read(&deep).ends_with("nested too deeply"));
}

#[test]
fn aliases_of_aliases_have_an_end() {
    let mut yaml = String::from("a0: &a0 [xxxxxxxxxx]\n");
    for n in 1..12 {
        let alias = format!("*a{}, ", n - 1);
        yaml.push_str(&format!("a{n}: &a{n} [{}]\n", alias.repeat(10)));
    }
    assert!(read(&yaml).ends_with("its aliases make too much of it"));
}
