//! Many clients at once: one winner where there can be one, and in the end the engine's list, its
//! records and the kernel agree.

use crate::harness::command::Output;
use crate::harness::{Chance, Host, IMAGE, eventually, http, is_running, json, rounds};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const CLIENTS: usize = 64;
const NAMES: u64 = 16;

/// Nobody waits longer than this for an answer, whatever the others do.
const ANSWER: Duration = Duration::from_secs(20);

fn create(socket: &Path, name: &str) -> http::Reply {
    let body = format!(r#"{{"Image":"{IMAGE}","Cmd":["sleep","1000"]}}"#);
    let target = format!("/containers/create?name={name}");
    http::request(socket, "POST", &target, &body)
}

#[test]
fn of_many_that_create_one_name_one_wins() {
    let host = Host::with_image("one-wins");
    let socket = host.socket();
    for round in 0..rounds(5, 100) {
        let name = format!("prize-{round}");
        let (won, lost) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| match create(&socket, &name).status {
                    201 => won.fetch_add(1, Ordering::Relaxed),
                    409 => lost.fetch_add(1, Ordering::Relaxed),
                    other => panic!("create answers {other}"),
                });
            }
        });
        assert_eq!(won.into_inner(), 1, "winners of round {round}");
        assert_eq!(lost.into_inner(), CLIENTS - 1, "losers of round {round}");
    }
    assert_eq!(host.ok(&["ps", "-aq"]).lines().count(), rounds(5, 100));
}

/// What the clients did, as far as the engine told them.
#[derive(Default)]
struct Sums {
    /// Containers made less containers removed.
    containers: AtomicI64,
    ids: Mutex<BTreeSet<String>>,
    slowest: Mutex<Duration>,
}

fn turn(socket: &Path, chance: &mut Chance, sums: &Sums) {
    let name = format!("n{}", chance.below(NAMES));
    let of = |verb: &str| format!("/containers/{name}/{verb}");
    let begin = Instant::now();
    let (method, target) = match chance.below(9) {
        0 | 1 => {
            let reply = create(socket, &name);
            if reply.status == 201 {
                sums.containers.fetch_add(1, Ordering::Relaxed);
                let id = json::parse(&reply.body).string("Id");
                sums.ids.lock().unwrap().insert(id);
            }
            assert!([201, 409].contains(&reply.status), "create: {reply:?}");
            return;
        }
        2 | 3 => ("POST", of("start")),
        4 => ("POST", of("stop?t=0")),
        5 => ("POST", of("kill")),
        6 => ("DELETE", format!("/containers/{name}?force=1")),
        7 => ("POST", of(&format!("rename?name=n{}", chance.below(NAMES)))),
        _ => ("GET", of("json")),
    };
    let reply = http::request(socket, method, &target, "");
    let took = begin.elapsed();
    assert!(took < ANSWER, "{method} {target} took {took:?}: {reply:?}");
    {
        let mut slowest = sums.slowest.lock().unwrap();
        *slowest = took.max(*slowest);
    }
    let known = [200, 204, 304, 400, 404, 409];
    assert!(
        known.contains(&reply.status),
        "{method} {target}: {} {}",
        reply.status,
        reply.body
    );
    if method == "DELETE" && reply.status == 204 {
        sums.containers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[test]
fn random_work_of_many_clients_ends_in_one_truth() {
    let mut host = Host::with_image("random-work");
    let socket = host.socket();
    let sums = Sums::default();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let mut chance = Chance::new();
            let (socket, sums) = (&socket, &sums);
            scope.spawn(move || {
                for _ in 0..rounds(12, 500) {
                    turn(socket, &mut chance, sums);
                }
            });
        }
    });
    println!("the slowest answer took {:?}", sums.slowest.lock().unwrap());
    let ids = sums.ids.lock().unwrap().clone();
    ids.iter().for_each(|id| host.note_container(id));
    check_truth(&host, sums.containers.load(Ordering::Relaxed));
    // What a new engine reads from the disk is no other truth.
    let before = listed(&host);
    host.kill_engine();
    host.start_engine();
    assert_eq!(listed(&host), before);
}

/// Id, name and state of all containers.
fn listed(host: &Host) -> Vec<(String, String, String)> {
    let mut all: Vec<_> = host
        .get("/containers/json?all=1")
        .items()
        .iter()
        .map(|c| (c.string("Id"), c.string("Names.0"), c.string("State")))
        .collect();
    all.sort();
    all
}

fn check_truth(host: &Host, expected: i64) {
    let all = listed(host);
    assert_eq!(all.len() as i64, expected, "made less removed: {all:?}");
    let names: BTreeSet<&String> = all.iter().map(|(_, name, _)| name).collect();
    assert_eq!(names.len(), all.len(), "a name is taken twice: {all:?}");
    let mut pids = BTreeSet::new();
    for (id, _, _) in &all {
        let found = host.get(&format!("/containers/{id}/json"));
        let pid: i32 = found.text("State.Pid").parse().unwrap();
        match found.text("State.Running").as_str() {
            "true" => {
                assert!(is_running(pid), "{id} runs without a process");
                assert!(pids.insert(pid), "{pid} is two containers");
            }
            _ => assert_eq!(pid, 0, "{id} ended with a process"),
        }
    }
    let data = std::fs::read_dir(host.data_root().join("containers")).unwrap();
    assert_eq!(data.count(), all.len(), "directories and containers");
}

/// The last words of a program, and its code, are told to the client even if all is over within a
/// millisecond.
#[test]
fn fast_exits_lose_no_byte_and_no_code() {
    let host = Host::with_image("fast-exits");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let script = "i=0; while [ $i -lt 1024 ]; do \
                  echo 0123456789012345678901234567890123456789012345678901234567890ab; \
                  i=$((i+1)); done; exit";
    let line = format!("{}ab\n", "0123456789".repeat(7).get(..61).unwrap());
    let words = line.repeat(1024);
    std::thread::scope(|scope| {
        for worker in 0..4usize {
            let (host, words) = (&host, &words);
            scope.spawn(move || {
                for round in 0..rounds(25, 2500) {
                    let code = (worker * 40 + round) % 124;
                    let exit = format!("exit {code}");
                    let none = Output::new(code as i32, "", "");
                    match round % 3 {
                        0 => {
                            let loud = format!("{script} {code}");
                            let output = host.tug(&["run", "--rm", IMAGE, "sh", "-c", &loud]);
                            let length = output.stdout.len();
                            assert!(output.stdout == *words, "{length} bytes came");
                            assert_eq!(output.code, code as i32);
                        }
                        1 => {
                            let args = ["run", "--rm", IMAGE, "sh", "-c", &exit];
                            assert_eq!(host.tug(&args), none);
                        }
                        _ => {
                            assert_eq!(host.tug(&["exec", "web", "sh", "-c", &exit]), none);
                        }
                    }
                }
            });
        }
    });
}

/// The engine has no thread and no lock to spare for those who only wait.
#[test]
fn who_waits_delays_nobody() {
    let host = Host::with_image("waiting");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let mut waiting: Vec<_> = (0..50).map(|_| host.spawn(&["wait", "web"])).collect();
    eventually("all wait", || {
        let threads = std::fs::read_dir(format!("/proc/{}/task", host.engine_pid()));
        threads.unwrap().count() > 50
    });
    let begin = Instant::now();
    assert_eq!(host.ok(&["exec", "web", "echo", "hello"]), "hello");
    assert!(begin.elapsed() < ANSWER);
    host.ok(&["kill", "web"]);
    for client in &mut waiting {
        assert_eq!(client.wait(ANSWER), Output::new(0, "137\n", ""));
    }
}
