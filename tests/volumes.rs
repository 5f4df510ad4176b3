//! Volumes: made, listed, used by containers, removed; and what is refused.

use crate::harness::command::Output;
use crate::harness::{Host, IMAGE};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

fn volumes_dir(host: &Host) -> PathBuf {
    host.data_root().join("volumes")
}

/// Where a volume's data are.
fn data(host: &Host, name: &str) -> PathBuf {
    volumes_dir(host).join(name).join("_data")
}

fn names(host: &Host) -> String {
    let names = host.ok(&["volume", "ls", "-q"]);
    names.lines().collect::<Vec<_>>().join(" ")
}

/// Run the image's shell once; what it printed.
fn sh(host: &Host, options: &[&str], script: &str) -> Output {
    let mut line = vec!["run", "--rm", "--network", "none"];
    line.extend(options);
    line.extend([IMAGE, "sh", "-c", script]);
    host.tug(&line)
}

#[test]
fn a_volume_is_made_shown_and_removed_as_docker_does() {
    let host = Host::new("volume-verbs");
    assert_eq!(
        host.ok(&["volume", "create", "--label", "a=1", "data"]),
        "data"
    );
    let mountpoint = data(&host, "data");
    let created = host.get("/volumes/data").string("CreatedAt");
    assert_eq!(
        host.ok(&["volume", "inspect", "data"]),
        format!(
            "[\n    {{\n        \"CreatedAt\": \"{created}\",\n        \"Driver\": \"local\",\n        \"Labels\": {{\n            \"a\": \"1\"\n        }},\n        \"Mountpoint\": \"{}\",\n        \"Name\": \"data\",\n        \"Options\": null,\n        \"Scope\": \"local\"\n    }}\n]",
            mountpoint.display()
        )
    );
    assert_eq!(mountpoint.metadata().unwrap().mode() & 0o7777, 0o755);
    let anonymous = host.ok(&["volume", "create"]);
    assert_eq!(anonymous.len(), 64);
    assert_eq!(
        host.get(&format!("/volumes/{anonymous}")).text("Labels"),
        r#"{"com.docker.volume.anonymous":""}"#
    );
    host.ok(&["volume", "rm", &anonymous]);
    assert_eq!(
        host.ok(&["volume", "ls"]),
        "DRIVER    VOLUME NAME\nlocal     data"
    );
    assert_eq!(
        host.ok(&["volume", "ls", "--format", "json"]),
        format!(
            r#"{{"Availability":"N/A","Driver":"local","Group":"N/A","Labels":"a=1","Links":"N/A","Mountpoint":"{}","Name":"data","Scope":"local","Size":"N/A","Status":"N/A"}}"#,
            mountpoint.display()
        )
    );
    // Again: it is what it is.
    assert_eq!(
        host.ok(&["volume", "create", "--label", "b=2", "data"]),
        "data"
    );
    assert_eq!(host.get("/volumes/data").text("Labels"), r#"{"a":"1"}"#);
    assert_eq!(host.ok(&["volume", "rm", "data"]), "data");
    assert_eq!(names(&host), "");
    assert_eq!(std::fs::read_dir(volumes_dir(&host)).unwrap().count(), 0);
    host.tug(&["volume", "rm", "data"])
        .assert_refused(1, "get data: no such volume");
    assert_eq!(host.http("DELETE", "/volumes/data?force=1", "").status, 204);
}

#[test]
fn containers_share_a_volume_that_outlives_them() {
    let host = Host::with_image("volume-share");
    let output = sh(&host, &["-v", "data:/data"], "echo hello > /data/file");
    assert_eq!(output.code, 0, "{output:?}");
    let output = sh(
        &host,
        &["-v", "data:/other:ro"],
        "cat /other/file; touch /other/x",
    );
    assert_eq!(output.stdout, "hello\n");
    assert!(
        output.stderr.contains("Read-only file system"),
        "{output:?}"
    );
    let text = std::fs::read_to_string(data(&host, "data").join("file")).unwrap();
    assert_eq!(text, "hello\n");

    host.ok(&[
        "create",
        "--name",
        "idle",
        "-v",
        "data:/data",
        IMAGE,
        "true",
    ]);
    let id = host.get("/containers/idle/json").string("Id");
    host.tug(&["volume", "rm", "-f", "data"])
        .assert_refused(1, &format!("remove data: volume is in use - [{id}]"));
    assert_eq!(
        host.inspect("idle", "Mounts"),
        format!(
            r#"[{{"Destination":"/data","Driver":"local","Mode":"z","Name":"data","Propagation":"","RW":true,"Source":"{}","Type":"volume"}}]"#,
            data(&host, "data").display()
        )
    );
    assert_eq!(
        host.ok(&["ps", "-aq", "--no-trunc", "-f", "volume=data"]),
        id
    );
    host.ok(&["rm", "-v", "idle"]);
    assert_eq!(names(&host), "data");
}
