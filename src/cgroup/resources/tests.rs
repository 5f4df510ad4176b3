use super::*;
use crate::oci::spec::{Network, NetworkPriority, Pids};

/// The writes that a new group gets.
fn told(resources: &Resources) -> Vec<String> {
    told_with(resources, &|_| None)
}

fn told_with(resources: &Resources, current: Current<'_>) -> Vec<String> {
    let limits = limits(resources, current).unwrap();
    limits
        .iter()
        .map(|limit| format!("{}={}", limit.file, limit.value))
        .collect()
}

/// The resources of a config.json.
fn parsed(text: &str) -> Resources {
    crate::json::parse_bytes(text.as_bytes(), "resources").unwrap()
}

fn refusal(text: &str) -> String {
    limits(&parsed(text), &|_| None).unwrap_err().to_string()
}

#[test]
fn limits_are_converted_as_runc_does() {
    let resources = parsed(
        r#"{"memory":{"limit":100,"swap":150,"reservation":50},
            "cpu":{"shares":1024,"quota":50000,"period":200000,"cpus":"0-1","mems":"0"},
            "pids":{"limit":20},
            "hugepageLimits":[{"pageSize":"2MB","limit":4194304}],
            "rdma":{"mlx5_1":{"hcaHandles":3,"hcaObjects":10000},"mlx4_0":{"hcaObjects":1}}}"#,
    );
    assert_eq!(
        told(&resources),
        [
            "pids.max=20",
            "memory.swap.max=50",
            "memory.max=100",
            "memory.low=50",
            "cpu.weight=100",
            "cpu.max=50000 200000",
            "cpuset.cpus=0-1",
            "cpuset.mems=0",
            "hugetlb.2MB.max=4194304",
            "hugetlb.2MB.rsvd.max=4194304",
            "rdma.max=mlx4_0 hca_object=1",
            "rdma.max=mlx5_1 hca_handle=3 hca_object=10000",
        ]
    );
}

#[test]
fn what_is_not_asked_for_is_not_written() {
    for nothing in [
        "{}",
        r#"{"memory":{},"cpu":{"shares":0},"blockIO":{"weight":0},"network":{"classID":0}}"#,
        r#"{"memory":{"limit":0,"swap":0,"reservation":0,"disableOOMKiller":false}}"#,
        r#"{"cpu":{"cpus":"","mems":"","realtimeRuntime":0},"hugepageLimits":[],"rdma":{}}"#,
        // cgroup v1 alone, and passed over by runc.
        r#"{"memory":{"kernel":1,"kernelTCP":1,"swappiness":60,"disableOOMKiller":true}}"#,
        r#"{"blockIO":{"leafWeight":10,"weightDevice":[{"major":8,"minor":0,"leafWeight":10}]}}"#,
    ] {
        assert_eq!(told(&parsed(nothing)), Vec::<String>::new(), "{nothing}");
        assert_eq!(first(Some(&parsed(nothing))).unwrap(), None, "{nothing}");
    }
}

#[test]
fn unlimited_is_written_and_asks_for_no_controller() {
    let resources = parsed(r#"{"memory":{"limit":-1},"pids":{"limit":-1}}"#);
    assert_eq!(
        told(&resources),
        ["pids.max=max", "memory.swap.max=max", "memory.max=max"]
    );
    assert_eq!(first(Some(&resources)).unwrap(), None);
    let resources = parsed(r#"{"pids":{"limit":-1},"cpu":{"shares":2}}"#);
    assert_eq!(first(Some(&resources)).unwrap().unwrap(), "cpu.weight");
    let resources = parsed(r#"{"unified":{"memory.high":"1"}}"#);
    assert_eq!(first(Some(&resources)).unwrap().unwrap(), "memory.high");
}

#[test]
fn a_pids_limit_of_zero_is_one() {
    let resources = Resources {
        pids: Some(Pids { limit: Some(0) }),
        ..Resources::default()
    };
    assert_eq!(told(&resources), ["pids.max=1"]);
}

#[test]
fn swap_needs_memory_and_room() {
    let swap = |memory, both| swap_alone(memory, both).map_err(|error| error.to_string());
    assert_eq!(swap(0, 0), Ok(None));
    assert_eq!(swap(100, 0), Ok(None));
    for (memory, both, expected) in [
        (100, 100, "0"),
        (100, 150, "50"),
        (100, -1, "max"),
        (0, -1, "max"),
        (-1, 0, "max"),
        (-1, -1, "max"),
        (-1, 100, "100"),
    ] {
        assert_eq!(swap(memory, both), Ok(Some(expected.to_string())));
    }
    for (memory, both, sentence) in [
        (0, 100, "unable to set swap limit without memory limit"),
        (100, 50, "memory+swap limit should be >= memory limit"),
        (100, -2, "memory+swap limit should be >= memory limit"),
        (-2, 50, "invalid memory value: -2"),
    ] {
        assert_eq!(swap(memory, both), Err(sentence.to_string()));
    }
    assert_eq!(
        refusal(r#"{"memory":{"limit":-2}}"#),
        "invalid memory value: -2"
    );
}

#[test]
fn half_a_pair_is_completed_by_what_the_group_has() {
    let living = |file: &str| match file {
        "memory.max" => Some("100\n".to_string()),
        "cpu.max" => Some("5000 20000\n".to_string()),
        _ => None,
    };
    let both = parsed(r#"{"memory":{"swap":150},"cpu":{"period":50000}}"#);
    assert_eq!(
        told_with(&both, &living),
        ["memory.swap.max=50", "cpu.max=5000 50000"]
    );
    let quota = parsed(r#"{"cpu":{"quota":1000}}"#);
    assert_eq!(told_with(&quota, &living), ["cpu.max=1000"]);
    let none = parsed(r#"{"cpu":{"quota":-1}}"#);
    assert_eq!(told_with(&none, &living), ["cpu.max=max"]);
    let period = parsed(r#"{"cpu":{"period":50000}}"#);
    assert_eq!(told(&period), ["cpu.max=max 50000"]);
}

#[test]
fn a_limit_below_what_is_used_is_refused_if_asked_to() {
    let living = |file: &str| (file == "memory.current").then(|| "1000\n".to_string());
    let refusal = |text: &str| {
        limits(&parsed(text), &living)
            .map_err(|error| error.to_string())
            .map(drop)
    };
    assert_eq!(
        refusal(r#"{"memory":{"limit":1000,"checkBeforeUpdate":true}}"#),
        Err("rejecting memory limit 1000 <= usage 1000".to_string())
    );
    assert_eq!(
        refusal(r#"{"memory":{"limit":500,"swap":900,"checkBeforeUpdate":true}}"#),
        Err("rejecting memory+swap limit 900 <= usage 1000".to_string())
    );
    assert_eq!(
        refusal(r#"{"memory":{"limit":1001,"checkBeforeUpdate":true}}"#),
        Ok(())
    );
    assert_eq!(refusal(r#"{"memory":{"limit":1000}}"#), Ok(()));
}

#[test]
fn burst_is_tried_before_the_quota_and_after() {
    let cpu = parsed(r#"{"cpu":{"quota":50000,"burst":20000,"idle":0,"shares":2048}}"#);
    assert_eq!(
        told(&cpu),
        [
            "cpu.idle=0",
            "cpu.weight=174",
            "cpu.max.burst=20000",
            "cpu.max=50000",
            "cpu.max.burst=20000",
        ]
    );
    // The weight of an idle group can't be set.
    let idle = parsed(r#"{"cpu":{"idle":1,"shares":2048}}"#);
    assert_eq!(told(&idle), ["cpu.idle=1"]);
    assert_eq!(
        refusal(r#"{"cpu":{"quota":5000,"burst":9000}}"#),
        "linux.resources.cpu.burst is 9000, more than the quota, 5000"
    );
}

#[test]
fn block_devices_are_lines_of_io_max() {
    let io = parsed(
        r#"{"blockIO":{"weight":500,
            "weightDevice":[{"major":8,"minor":16,"weight":100}],
            "throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1048576}],
            "throttleWriteBpsDevice":[{"major":8,"minor":0,"rate":0}],
            "throttleReadIOPSDevice":[{"major":8,"minor":0,"rate":10},{"major":9,"minor":1,"rate":11}],
            "throttleWriteIOPSDevice":[{"major":8,"minor":0,"rate":12}]}}"#,
    );
    let throttles = [
        "io.max=8:0 rbps=1048576",
        "io.max=8:0 wbps=max",
        "io.max=8:0 riops=10",
        "io.max=9:1 riops=11",
        "io.max=8:0 wiops=12",
    ];
    let with = |weights: [&'static str; 2]| [&weights[..], &throttles].concat();
    assert_eq!(told(&io), with(["io.weight=4950", "io.weight=8:16 910"]));
    let bfq = |file: &str| (file == "io.bfq.weight").then(|| "default 100\n".to_string());
    assert_eq!(
        told_with(&io, &bfq),
        with(["io.bfq.weight=500", "io.bfq.weight=8:16 100"])
    );
    assert_eq!(
        refusal(r#"{"blockIO":{"weight":9}}"#),
        "linux.resources.blockIO.weight is 9: 10 to 1000 are possible"
    );
}

#[test]
fn limits_that_only_v1_has_are_named() {
    for (text, member) in [
        (r#"{"cpu":{"realtimeRuntime":1000}}"#, "cpu.realtimeRuntime"),
        (r#"{"cpu":{"realtimePeriod":1000}}"#, "cpu.realtimePeriod"),
        (r#"{"network":{"classID":1}}"#, "network.classID"),
    ] {
        assert_eq!(
            refusal(text),
            format!("linux.resources.{member} cannot be set: cgroup v2 has no such limit")
        );
    }
    let resources = Resources {
        network: Some(Network {
            class_id: None,
            priorities: Some(vec![NetworkPriority::default()]),
        }),
        ..Resources::default()
    };
    let error = limits(&resources, &|_| None).unwrap_err().to_string();
    assert!(error.contains("network.priorities"), "{error}");
}

#[test]
fn names_that_become_files_are_checked() {
    for good in ["2MB", "1GB", "64KB", "512MB"] {
        assert!(is_page_size(good), "{good:?}");
    }
    for bad in [
        "", "MB", "2", "2mb", "64kB", "02MB", "../x", "2MB/..", "2.MB", "2 MB", "-2MB", "é2MB",
    ] {
        assert!(!is_page_size(bad), "{bad:?}");
    }
    assert_eq!(
        refusal(r#"{"hugepageLimits":[{"pageSize":"../x","limit":1}]}"#),
        r#"linux.resources.hugepageLimits: pageSize "../x" is not a size such as 2MB or 64KB"#
    );
    assert!(refusal(r#"{"rdma":{"a b":{"hcaHandles":1}}}"#).contains("is no device"));

    let unified = |name: &str| {
        let map = Map::from([(name.to_string(), String::new())]);
        check_unified(&map).map_err(|error| error.to_string())
    };
    for good in [
        "memory.high",
        "cpu.max",
        "cgroup.max.descendants",
        "misc.max",
    ] {
        assert_eq!(unified(good), Ok(()), "{good:?}");
    }
    assert_eq!(
        unified("../x"),
        Err(r#"unified resource "../x" must be a file name (no slashes)"#.to_string())
    );
    assert_eq!(
        unified("memory"),
        Err(r#"unified resource "memory" must be in the form CONTROLLER.PARAMETER"#.to_string())
    );
    for bad in [
        "memory/../../x",
        "memory.",
        ".high",
        "..",
        "cgroup.procs",
        "cgroup.kill",
        "cgroup.freeze",
        "cgroup.type",
    ] {
        assert!(unified(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn threaded_groups_can_have_cpu_and_pids_alone() {
    let needs = |text| needs_domain(&parsed(text)).unwrap();
    assert!(!needs(
        r#"{"cpu":{"shares":2,"cpus":"0"},"pids":{"limit":9}}"#
    ));
    assert!(needs(r#"{"memory":{"limit":9}}"#));
    assert!(needs(r#"{"unified":{"io.max":"8:0 rbps=1"}}"#));
    assert!(!needs(r#"{"unified":{"cpu.weight":"1"}}"#));
}
