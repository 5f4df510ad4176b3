//! After a reboot containers start in the order in which they need each other.

use crate::harness::{Host, IMAGE, eventually};

/// A container of the project `shop` that notes when it starts, in hundredths of a second.
fn service(host: &Host, name: &str, needs: &str, more: &[&str], then: &str) {
    let volume = format!("{}:/data", host.dir.join("starts").display());
    let labels = [
        "com.docker.compose.project=shop".to_string(),
        format!("com.docker.compose.service={name}"),
        format!("com.docker.compose.depends_on={needs}"),
    ];
    let script = format!("cut -d ' ' -f 1 /proc/uptime | tr -d . > /data/{name}; {then}");
    let mut args = vec!["run", "-d", "--name", name, "-v", &volume];
    for label in &labels {
        args.extend(["--label", label]);
    }
    args.extend(more);
    args.extend([IMAGE, "sh", "-c", &script]);
    host.ok(&args);
}

fn started(host: &Host, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(host.dir.join("starts").join(name)).ok()?;
    text.trim().parse().ok()
}

/// The host goes down and comes back.
fn reboot(host: &mut Host) {
    host.kill_engine();
    host.power_cut();
    for entry in std::fs::read_dir(host.dir.join("starts")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    host.start_engine();
}

fn at(host: &Host, name: &str) -> u64 {
    eventually(&format!("{name} has started"), || {
        started(host, name).is_some()
    });
    started(host, name).unwrap()
}

const ALWAYS: &[&str] = &["--restart", "always"];

#[test]
fn services_start_when_what_they_need_is_there() {
    let mut host = Host::with_image("order-boot");
    host.make_dir("starts");
    let check = |script| {
        [
            "--restart",
            "always",
            "--health-cmd",
            script,
            "--health-interval",
            "100ms",
            "--health-start-interval",
            "100ms",
            "--health-retries",
            "1",
            "--health-start-period",
            "5s",
        ]
    };
    let needs = "db:service_healthy:true,cache:service_started:false,job:service_completed_successfully:false";
    // The one that needs the others is the oldest.
    service(&host, "web", needs, ALWAYS, "exec sleep 1000");
    service(
        &host,
        "db",
        "",
        &check("test -e /ready"),
        "rm -f /ready; sleep 1; touch /ready; exec sleep 1000",
    );
    service(&host, "cache", "", ALWAYS, "exec sleep 1000");
    service(
        &host,
        "job",
        "",
        &["--restart", "on-failure"],
        "sleep 1; exit 0",
    );
    service(&host, "alone", "", ALWAYS, "exec sleep 1000");
    service(&host, "sick", "", &check("false"), "exec sleep 1000");
    service(
        &host,
        "nurse",
        "sick:service_healthy:false,nobody:service_started:true",
        ALWAYS,
        "exec sleep 1000",
    );
    service(
        &host,
        "hen",
        "egg:service_started:false",
        ALWAYS,
        "exec sleep 1000",
    );
    service(
        &host,
        "egg",
        "hen:service_started:false",
        ALWAYS,
        "exec sleep 1000",
    );
    // It is up again when the host goes down.
    host.until_state("job", "exited");
    host.ok(&["start", "job"]);

    reboot(&mut host);
    let (web, db, cache, alone) = (
        at(&host, "web"),
        at(&host, "db"),
        at(&host, "cache"),
        at(&host, "alone"),
    );
    assert!(web >= db + 90, "db {db}, web {web}");
    assert!(
        web >= cache && web >= at(&host, "job") + 90,
        "cache {cache}, web {web}"
    );
    assert!(alone + 50 < web, "alone {alone}, web {web}");
    // Neither a ring nor one that does not get well holds anything up for good.
    assert!(at(&host, "nurse") >= at(&host, "sick"));
    at(&host, "hen");
    at(&host, "egg");
    let log = host.engine_log();
    for told in [
        "start nurse after boot all the same: sick is not healthy",
        "start nurse after boot: it depends on nobody, of which project shop has no container",
        "after boot all the same: ",
    ] {
        assert!(log.contains(told), "{told}: {log}");
    }
    let ring = ["hen does not run", "egg does not run"];
    assert!(ring.iter().any(|told| log.contains(told)), "{log}");
    assert!(!log.contains("start web"), "{log}");
}

#[test]
fn who_shares_with_another_starts_after_it() {
    let mut host = Host::with_image("order-shared");
    host.make_dir("starts");
    // Of the same age, so that they would start at once.
    for n in 0..3 {
        let (donor, joiner) = (format!("donor{n}"), format!("joiner{n}"));
        let mode = format!("container:{donor}");
        service(
            &host,
            &donor,
            "",
            &["--restart", "always", "--network", "none"],
            "exec sleep 1000",
        );
        let joins = ["--restart", "always", "--network", &mode, "--pid", &mode];
        service(&host, &joiner, "", &joins, "exec sleep 1000");
        host.ok(&["rename", &donor, &format!("other{n}")]);
    }
    reboot(&mut host);
    for n in 0..3 {
        let (donor, joiner) = (
            at(&host, &format!("donor{n}")),
            at(&host, &format!("joiner{n}")),
        );
        assert!(joiner >= donor, "{donor} {joiner}");
        host.until_state(&format!("joiner{n}"), "running");
    }
}
