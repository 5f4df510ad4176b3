use super::*;
use crate::store::staging::Staging;

fn scratch() -> (Staging, Volumes) {
    let dir = Staging::new(&std::env::temp_dir()).unwrap();
    let (volumes, notes) = Volumes::open(dir.path()).unwrap();
    assert!(notes.is_empty());
    (dir, volumes)
}

#[test]
fn names_that_could_lead_elsewhere_are_refused() {
    for name in ["a1", "a_b.c-d", "0x", &"f".repeat(255)] {
        assert!(check_name(name).is_ok(), "{name}");
    }
    for name in [
        "",
        "a",
        ".new-x",
        "../x",
        "a/b",
        "-a",
        "_a",
        "a b",
        "ä1",
        &"f".repeat(256),
    ] {
        assert!(check_name(name).is_err(), "{name}");
    }
    assert_eq!(
        check_name("$$$").unwrap_err().message,
        "\"$$$\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
    );
}

#[test]
fn a_volume_is_made_once_and_comes_back_as_it_was_made() {
    let (dir, volumes) = scratch();
    let asked = Asked {
        labels: Some(Map::from([("a".to_string(), "1".to_string())])),
        ..Asked::default()
    };
    let (made, is_new) = volumes.create("data", asked, true).unwrap();
    assert!(is_new);
    let (again, is_new) = volumes.create("data", Asked::default(), true).unwrap();
    assert!(!is_new);
    assert_eq!(again.asked, made.asked);
    let (volumes, notes) = Volumes::open(dir.path()).unwrap();
    assert!(notes.is_empty());
    assert_eq!(volumes.get("data").unwrap().asked, made.asked);
    volumes.remove("data", &Vec::new).unwrap();
    let error = volumes.remove("data", &Vec::new).unwrap_err();
    assert_eq!(error.message, "get data: no such volume");
    assert_eq!(
        staging::names(&dir.path().join("volumes")).unwrap(),
        [""; 0]
    );
}

#[test]
fn who_uses_or_reserves_a_volume_keeps_it() {
    let (_dir, volumes) = scratch();
    volumes.create("data", Asked::default(), true).unwrap();
    let reserved = volumes.reserve("data", "second");
    let error = volumes
        .remove("data", &|| vec!["first".to_string()])
        .unwrap_err();
    assert_eq!(
        error.message,
        "remove data: volume is in use - [first, second]"
    );
    drop(reserved);
    volumes.remove("data", &Vec::new).unwrap();
}

/// Every picture that a power cut or somebody's hand can leave on the disk: the data are there.
#[test]
fn a_volume_with_a_torn_record_is_a_volume() {
    let (dir, volumes) = scratch();
    for (name, record) in [
        ("torn", Some("{\"lab")),
        ("empty", Some("")),
        ("none", None),
    ] {
        let (volume, _) = volumes.create(name, Asked::default(), true).unwrap();
        std::fs::write(volume.data.join("file"), name).unwrap();
        let path = volume.dir().join(RECORD);
        match record {
            Some(text) => std::fs::write(path, text).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
    }
    staging::make_dir(&dir.path().join("volumes/.new-0123/_data/x")).unwrap();
    staging::make_dir(&dir.path().join("volumes/.old-0123/_data/x")).unwrap();
    let (volumes, notes) = Volumes::open(dir.path()).unwrap();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert_eq!(volumes.names().unwrap(), ["empty", "none", "torn"]);
    for volume in volumes.list().unwrap() {
        let text = std::fs::read_to_string(volume.data.join("file")).unwrap();
        assert_eq!(text, volume.name);
    }
    assert_eq!(
        staging::names(&dir.path().join("volumes")).unwrap().len(),
        3
    );
}
