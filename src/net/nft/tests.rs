use super::*;

static NAMES: &[&Key] = &[&FAMILY, &OUT_LINK];
static PLACE: &[&Key] = &[&TO4, &PROTOCOL, &PORT];
static LED: &[&Key] = &[&TO4, &PORT];

static BRIDGES: Set = Set {
    name: "bridges",
    id: 1,
    keys: NAMES,
    data: &[],
    comment: "",
};
static PUBLISHED: Set = Set {
    name: "published4",
    id: 2,
    keys: PLACE,
    data: LED,
    comment: "",
};

const TABLE: Table = Table {
    family: INET,
    name: "tug",
};

/// The bytes of a message, without its length, number and port, and without the flag that asks for an
/// answer, as text.
fn bytes(message: Message) -> String {
    let mut bytes = Vec::new();
    message.write(0, false, &mut bytes).unwrap();
    let bytes = [&bytes[4..8], &bytes[16..]].concat();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn only(fill: impl FnOnce(&mut Vec<Message>)) -> String {
    let mut messages = Vec::new();
    fill(&mut messages);
    assert_eq!(messages.len(), 1);
    bytes(messages.remove(0))
}

/// `captured.txt` says how they were captured.
fn captured() -> Vec<&'static str> {
    let lines = include_str!("captured.txt").lines();
    lines.filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn the_bytes_are_those_of_nft() {
    const IS_IPV4: Part<'static> = Part::Family(IPV4);
    let hooked = |name, kind, number, priority| Chain {
        name,
        hook: Some(Hook {
            kind,
            number,
            priority,
        }),
        comment: "",
    };
    let publish = Chain {
        name: "publish",
        hook: None,
        comment: "why",
    };
    let bridge = Element {
        set: &BRIDGES,
        key: [&[IPV4, 0, 0, 0], &b"tug0\0\0\0\0\0\0\0\0\0\0\0\0"[..]].concat(),
        data: Vec::new(),
    };
    let port = Element {
        set: &PUBLISHED,
        key: vec![10, 0, 0, 1, 6, 0, 0, 0, 0, 80, 0, 0],
        data: vec![172, 17, 0, 2, 0x1f, 0x90, 0, 0],
    };
    let elements = [bridge, port];
    let published = [IS_IPV4, Part::Lead(&PUBLISHED, &[&TO4, &PROTOCOL, &PORT])];
    let local = [
        Part::Is(&TO_TYPE, &2u32.to_ne_bytes()),
        Part::Jump("publish"),
    ];
    let own = [
        bytes(TABLE.create("hi")),
        bytes(TABLE.chain(&publish)),
        bytes(TABLE.chain(&hooked("prerouting", "nat", 0, -100))),
        bytes(TABLE.chain(&hooked("forward", "filter", 2, 0))),
        bytes(TABLE.chain(&hooked("postrouting", "nat", 4, 100))),
        bytes(TABLE.set(&BRIDGES)),
        only(|messages| TABLE.add(&BRIDGES, &elements, messages)),
        bytes(TABLE.set(&PUBLISHED)),
        only(|messages| TABLE.add(&PUBLISHED, &elements, messages)),
        bytes(TABLE.rule("publish", &published, "x")),
        bytes(TABLE.rule("prerouting", &local, "")),
        bytes(TABLE.rule("forward", &[Part::Has(&STATUS, 1 << 5), Part::Accept], "")),
        bytes(TABLE.rule("forward", &[Part::NotIn(&BRIDGES, NAMES), Part::Accept], "")),
        bytes(TABLE.rule("forward", &[Part::Drop], "")),
        bytes(TABLE.rule(
            "postrouting",
            &[Part::In(&BRIDGES, NAMES), Part::Masquerade],
            "",
        )),
    ];
    let captured = captured();
    for (own, captured) in own.iter().zip(&captured) {
        assert_eq!(own, captured);
    }
    assert_eq!(own.len(), captured.len());
}

#[test]
fn many_elements_are_split_into_messages_that_hold_them() {
    let element = |number: u16| Element {
        set: &PUBLISHED,
        key: [
            &[10, 0, 0, 1, 6, 0, 0, 0],
            &number.to_be_bytes()[..],
            &[0, 0],
        ]
        .concat(),
        data: vec![0; 20],
    };
    let elements: Vec<Element> = (0..1001).map(element).collect();
    let mut messages = Vec::new();
    TABLE.add(&PUBLISHED, &elements, &mut messages);
    TABLE.remove(&BRIDGES, &elements, &mut messages);
    assert_eq!(messages.len(), 3);
    for message in messages {
        assert!(message.write(1, true, &mut Vec::new()).is_ok());
    }
}
