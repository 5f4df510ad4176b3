//! `tug system df`: what takes the space.

use crate::harness::rootfs::busybox;
use crate::harness::{Host, IMAGE};

#[test]
fn layers_count_once_and_containers_by_what_they_wrote() {
    let host = Host::with_image("df");
    let write = "head -c 5000 /dev/zero > /tmp/file; ln /tmp/file /tmp/again; exec sleep 1000";
    host.ok(&["run", "-d", "--name", "up", IMAGE, "sh", "-c", write]);
    let small = "head -c 70 /dev/zero > /tmp/file";
    host.ok(&["run", "--name", "ended", IMAGE, "sh", "-c", small]);
    host.tug_with_input(&["import", "-c", "CMD true", "-", "other"], &busybox());
    crate::harness::eventually("all is written", || {
        host.get("/containers/up/json?size=1").number("SizeRw") == 5000
    });

    let usage = host.get("/system/df");
    let size = host.get("/images/test/json").number("Size");
    assert_eq!(usage.number("LayersSize"), size);
    for (image, users) in [("0", 0), ("1", 2)] {
        let of = |member: &str| usage.number(&format!("Images.{image}.{member}"));
        assert_eq!(
            (of("Size"), of("SharedSize"), of("Containers")),
            (size, size, users)
        );
    }
    assert_eq!(usage.number("Containers.0.SizeRw"), 70);
    assert_eq!(usage.number("Containers.1.SizeRw"), 5000);
    assert_eq!(usage.number("Containers.1.SizeRootFs"), size + 5000);
    assert_eq!(
        (usage.text("Volumes"), usage.text("BuildCache")),
        ("[]".into(), "[]".into())
    );
    assert_eq!(usage.text("BuilderSize"), "null");
    let old = host.get("/v1.41/system/df");
    assert_eq!(old.text("BuilderSize"), "0");
    assert_eq!(old.number("Images.0.VirtualSize"), size);

    let row = "{{.Type}}|{{.TotalCount}}|{{.Active}}|{{.Size}}|{{.Reclaimable}}";
    let shown = host.ok(&["system", "df", "--format", row]);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("Images|2|1|"), "{shown}");
    assert_eq!(lines[1], "Containers|2|1|5.07kB|70B (1%)");
    assert_eq!(
        lines[2..],
        ["Local Volumes|0|0|0B|0B", "Build Cache|0|0|0B|0B"]
    );
}

#[test]
fn one_kind_can_be_asked_for() {
    let host = Host::with_image("df-type");
    let usage = host.get("/system/df?type=container&type=volume");
    assert_eq!(
        (usage.text("Images"), usage.text("Containers")),
        ("null".into(), "[]".into())
    );
    assert_eq!(usage.number("LayersSize"), 0);
    let reply = host.http("GET", "/system/df?type=cheese", "");
    assert_eq!(
        reply.error(),
        (400, "unknown object type: cheese".to_string())
    );
}

#[test]
fn the_tables_are_dockers() {
    let host = Host::with_image("df-table");
    host.ok(&["create", "--name", "idle", IMAGE, "true"]);
    let shown = host.ok(&["system", "df"]);
    let title = "TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE";
    assert_eq!(shown.lines().next(), Some(title));
    assert!(
        shown.contains("\nContainers      1         0         0B        0B\n"),
        "{shown}"
    );
    let shown = host.ok(&["system", "df", "-v"]);
    for part in [
        "Images space usage:\n\nREPOSITORY   TAG       IMAGE ID ",
        "Containers space usage:\n\nCONTAINER ID   IMAGE     COMMAND ",
        "   LOCAL VOLUMES   SIZE      CREATED ",
        "Local Volumes space usage:\n\nVOLUME NAME   LINKS     SIZE\n\nBuild cache usage: 0B\n",
    ] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
}
