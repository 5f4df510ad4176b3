//! The options of `run`, `create` and `update`: the real docker client's, with its values, its
//! requests and its words.

use crate::harness::command::Output;
use crate::harness::rootfs::busybox;
use crate::harness::{Host, IMAGE, skip};
use std::collections::BTreeSet;

/// A host with the test image, unless there is no docker client of today to compare with.
fn host(name: &'static str) -> Option<Host> {
    // What both say is compared, not what this machine can limit.
    let mut host = Host::without_engine(name);
    host.write("daemon.json", r#"{"limits":"best-effort"}"#);
    host.start_engine();
    host.import(IMAGE, &busybox());
    let version = host
        .docker(&["--version"])
        .unwrap_or_else(|| Output::new(1, "", ""));
    let major = version
        .stdout
        .strip_prefix("Docker version ")
        .and_then(|rest| rest.split('.').next());
    match major.and_then(|major| major.parse::<u32>().ok()) {
        Some(28..) => Some(host),
        _ => {
            skip(name, "no docker client of version 28 or later in PATH");
            None
        }
    }
}

/// Options with letter, name and the word for the value, as help shows them.
fn options(help: &str) -> BTreeSet<String> {
    let heads = help.lines().filter_map(|line| {
        let head = line.strip_prefix("  ")?.trim_start();
        let indent = line.len() - head.len();
        (head.starts_with('-') && indent <= 6).then(|| head.split("   ").next())?
    });
    heads.map(|head| head.trim().to_string()).collect()
}

/// What we do not have, and why.
const LEFT_OUT: [&str; 2] = [
    // Ours answers to it as well, and leaves it out of the list.
    "--help",
    // An experiment of Docker's: it hands the engine's socket and the user's logins to the container.
    "--use-api-socket",
];

/// What Docker's client does not have.
const OURS_ALONE: &[&str] = &[
    "--critical",
    "--device-match",
    "--health-on-failure",
    "--health-probe",
    "--write-budget",
];

#[test]
fn run_create_and_update_have_every_option_of_dockers() {
    let Some(host) = host("flags-names") else {
        return;
    };
    for verb in ["run", "create", "update"] {
        // Theirs leaves out what an engine on Linux does not have, and refuses it all the same.
        let is_windows = |head: &String| {
            head.starts_with("--cpu-count")
                || head.starts_with("--cpu-percent")
                || head.starts_with("--io-max")
        };
        let mut theirs = options(&host.docker(&[verb, "--help"]).unwrap().stdout);
        let mut ours = options(&host.ok(&[verb, "--help"]));
        theirs.retain(|head| !LEFT_OUT.contains(&head.as_str()));
        let is_ours = |head: &String| {
            let name = head.split(' ').next().unwrap();
            OURS_ALONE.contains(&name)
        };
        ours.retain(|head| !is_windows(head) && !is_ours(head));
        assert!(theirs.len() > 10, "{theirs:?}");
        assert_eq!(ours, theirs, "{verb}");
    }
}

/// What remains of an error: the sentence.
fn sentence(output: &Output) -> (i32, String) {
    let text = output.stderr.split("\n\n").next().unwrap_or_default();
    let text = text.lines().map(|line| {
        let line = line
            .strip_prefix("docker: ")
            .or(line.strip_prefix("tug: "))
            .unwrap_or(line);
        // How Go and we tell what the kernel says.
        let plain = line.split(" (os error ").next().unwrap_or_default();
        plain.replace("No such file", "no such file")
    });
    (output.code, text.collect::<Vec<_>>().join("\n"))
}

/// Options in a line of words; `''` is an empty one, and `_` a space.
fn words(line: &str) -> Vec<String> {
    let word = |word: &str| match word {
        "''" => String::new(),
        word => word.replace('~', " "),
    };
    line.split(' ').map(word).collect()
}

/// What is wrong in some way, mostly for the client to tell.
const WRONG: &str = "\
--add-host foo
--add-host foo:bar
--add-host :1.2.3.4
-a foo
--blkio-weight x
--blkio-weight 70000
--blkio-weight-device foo
--blkio-weight-device /dev/null:
--blkio-weight-device /dev/null:9
--blkio-weight-device null:10
--cap-add foo
--cgroup-parent foo/../bar
--cgroupns foo
--cidfile /etc/passwd
--cidfile /nonexistent/x
--cpu-count 1
--cpu-count x
--cpu-percent 1
--io-maxbandwidth x
--io-maxiops 1
--cpu-period x
--cpu-period 9999999999999999999999
--cpus x
--cpus 0.0000000001
--device /dev/null:/dev/x:foo
--device /dev/null:x
--device ''
--device a:b:c:d
--device-cgroup-rule foo
--device-cgroup-rule z~1:3~rwm
--device-read-bps /dev/null
--device-read-bps /dev/null:x
--device-write-bps x:1
--device-read-iops /dev/null:1k
--device-write-iops /dev/null:-1
--dns foo
--dns-search a~b
--dns-search -x
--dns-search a..b
-e =x
-e ''
--env-file /nonexistent
--expose foo
--expose 80:80
--expose 90-80
--expose 70000
--expose ''
--gpus all
--gpus foo
--gpus ''
--gpus foo=1
--gpus 1,count=2
--gpus driver=nvidia,capabilities=compute
--health-interval 1
--health-interval foo
--health-interval 5y
--health-interval -1s
--health-timeout -1s
--health-retries -1
--health-retries x
--health-start-period -1s
--health-start-interval -1s
--health-cmd x --no-healthcheck
-h a~b
--ip foo
--network none --ip 1.2.3.4
--ipc foo
--isolation foo
-l =b
--label-file /nonexistent
--link a:b:c
--link ''
--log-driver foo
--log-driver none --log-opt a=b
--log-opt foo=1
--mac-address foo
-m x
-m -1
--memory-swappiness 101
--memory-swappiness x
--mount type=bind,src=/nonexistent,dst=/a
--mount type=bind,src=/tmp,dst=/a,bind-recursive=readonly,ro
--mount type=bind,src=/tmp,dst=/a,bind-recursive=foo
--mount type=bind,src=/tmp,dst=/a,bind-propagation=foo
--mount type=bind,src=/tmp
--mount type=bind,dst=/a
--mount type=foo,dst=/a
--mount type=tmpfs,dst=/a,tmpfs-size=x
--mount type=tmpfs,dst=/a,tmpfs-mode=9
--mount type=tmpfs,src=/x,dst=/a
--mount type=tmpfs,dst=/a,volume-nocopy
--mount foo
--mount foo=bar
--mount ''
--mount a\"b
--mount \"a
--mount type=bind,src=/tmp,dst=a
--mount type=bind,src=/tmp,dst=/
--name foo!
--network name=none,foo
--network foo=bar
--network none --network none
--network none --network-alias x
--network name=host,gw-priority=x
--network name=host,driver-opt=a
--oom-kill-disable=x
--oom-score-adj 2000
--oom-score-adj x
--pid foo
--pid container:
--pid container:nosuch
--ipc container:nosuch
--network container:nosuch
--volumes-from nosuch
--volumes-from ''
--pids-limit x
-p 80:
-p 80:foo
-p foo:80
-p 1.2.3:80:80
-p 80-81:90-92
-p 70000
-p 80/xyz
-p ''
-p :
-p published=80,x
-p published=80,target=81,protocol=foo
--pull foo
--restart on-failure:x
--restart on-failure:-1
--restart foo
--restart :3
--restart always:3
--rm --restart always
--runtime foo
--security-opt seccomp=/nonexistent
--security-opt foo
--security-opt foo=bar
--security-opt systempaths=foo
--security-opt ''
--shm-size x
--shm-size -1
--stop-signal foo
--stop-timeout x
--storage-opt foo
--sysctl foo=1
--sysctl foo
--sysctl net.ipv4.ip_forward=1 --network host
--tmpfs /t:foo
--tmpfs t
--ulimit nofile=20:10
--ulimit nofile=-1:10
--ulimit foo=1
--ulimit nofile
--ulimit nofile=x
--ulimit nofile=1:2:3
--userns foo
--uts foo
-v /tmp:/a:foo
-v /tmp:a
-v :/a
-v a:b:c:d
-v ''
-v /tmp:/
-v /tmp:/a -v /etc:/a
-w foo
--foo
-Z
-e";

#[test]
fn a_wrong_option_is_told_in_dockers_words() {
    let Some(host) = host("flags-wrong") else {
        return;
    };
    for (number, line) in WRONG.lines().enumerate() {
        // Both verbs read options the same way, but for the exit code.
        let verb = ["run", "create"][number % 2];
        let mut args = vec![verb.to_string()];
        args.extend(words(line));
        if line != "-e" {
            args.extend([IMAGE, "true"].map(String::from));
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let theirs = host.docker(&args).unwrap();
        assert_ne!(theirs.code, 0, "{line}");
        assert_eq!(sentence(&host.tug(&args)), sentence(&theirs), "{line}");
    }
}

/// Options in groups that go together.
const GOOD: &str = "\
--add-host foo:1.2.3.4 --add-host bar=::1 --add-host gw:host-gateway --annotation a=b -a stdin -a STDOUT
--cap-add NET_ADMIN --cap-drop all --cgroup-parent /foo --cgroupns host --cpu-shares 512 --cpuset-cpus 0
--device /dev/null --device /dev/null:/dev/x --device /dev/null:/dev/y:rw --device /dev/null:rw
--device-cgroup-rule c~1:3~rwm --device-read-bps /dev/null:1mb --device-write-iops /dev/null:10
--dns 1.1.1.1 --dns ::1 --dns-option ndots:2 --dns-search foo.com --domainname x -h box
--entrypoint '' -e HOME --expose 80 --expose 81-83/udp --group-add 12 --init
--no-healthcheck --ipc private -i -t -l a=b -l c --log-driver json-file --log-opt max-size=1m
-i -a stdout -m 64m --memory-reservation 32m --memory-swap -1 --memory-swappiness 10 --kernel-memory 9m
--mount type=bind,src=/tmp,dst=/a,ro,bind-propagation=rslave,consistency=cached --mount TYPE=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770
--mount type=bind,src=/tmp,dst=/a,readonly=false,bind-nonrecursive --mount \"type=bind\",\"src=/tmp\",\"dst=/a,b\"
--mount type=bind,src=/tmp,dst=/a,bind-recursive=readonly,ro,bind-propagation=rprivate
--network none --oom-kill-disable --oom-score-adj 100 --pid host --pids-limit 10 --privileged
--network host --uts host --userns host --ipc host --platform linux/amd64 -q --pull never
--read-only -v /tmp:/a:ro,z --restart on-failure:3 --security-opt no-new-privileges --security-opt seccomp=unconfined
--security-opt label=disable --security-opt systempaths=unconfined --shm-size 1m --stop-signal USR1
--stop-timeout -1 --ulimit core=-1 --sysctl net.ipv4.ip_forward=1 --tmpfs /t:size=1m,mode=700 --tmpfs /u --rm
--ulimit nofile=10:20 -u 1:2 -v .:/b -w /foo --isolation default";

#[test]
fn both_clients_ask_for_the_same() {
    let Some(host) = host("flags-same") else {
        return;
    };
    for line in GOOD.lines() {
        let words = words(line);
        let options = words.iter().map(String::as_str);
        let args: Vec<&str> = ["create"]
            .into_iter()
            .chain(options)
            .chain([IMAGE, "true"])
            .collect();
        let theirs = host.docker(&args).unwrap();
        let ours = host.tug(&args);
        assert_eq!(
            (theirs.code, ours.code),
            (0, 0),
            "{line}\n{theirs:?}\n{ours:?}"
        );
        assert_eq!(ours.stderr, theirs.stderr, "{line}");
        let seen = |output: &Output| {
            let id = output.stdout.trim();
            // The host name is the id's beginning, unless it was asked for.
            ["Config", "HostConfig", "NetworkSettings.Networks"]
                .map(|member| host.inspect(id, member).replace(&id[..12], "ID"))
        };
        let (ours, theirs) = (seen(&ours), seen(&theirs));
        for (ours, theirs) in ours.iter().zip(&theirs) {
            // We leave out the list that they send empty.
            assert_eq!(
                ours,
                &theirs.replace("\"SecurityOpt\":[]", "\"SecurityOpt\":null"),
                "{line}"
            );
        }
    }
}
