//! The power fails at any moment of a load, pull, commit or removal: each image is there and whole
//! afterwards, or not there, and doing it again makes it whole.

use crate::harness::command::Running;
use crate::harness::registry::{self, Registry};
use crate::harness::rootfs::{Archive, busybox, docker_archive};
use crate::harness::{Chance, Host, IMAGE, PATIENCE, rounds};
use crate::power_loss::{cut_power, host, power_on, store};
use std::process::Command;
use std::time::{Duration, Instant};

/// Many files, small and large: what a disk likes to forget.
fn layer(seed: &str) -> Vec<u8> {
    let mut layer = Archive::new();
    layer.dir("files/", 0o755);
    for n in 0..300 {
        let content = format!("{seed} {n} ").repeat(1 + n % 50);
        layer.file(&format!("files/{n}"), 0o644, content);
    }
    layer.file("large", 0o644, seed.repeat(200_000));
    layer.finish()
}

/// What is done when the power fails.
struct Work {
    /// Makes what it needs.
    before: Vec<String>,
    act: Vec<String>,
    /// The image that comes or goes.
    image: String,
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_string).collect()
}

fn run(host: &Host, words: &[String]) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if !words.is_empty() {
        let output = host.tug(&words);
        assert_eq!(output.code, 0, "{words:?}: {output:?}");
    }
}

fn start(host: &Host, words: &[String]) -> Running {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    host.spawn(&words)
}

/// Put an image into a registry, with a tool that has nothing to do with us.
fn push(registry: &Registry, file: &str, name: &str) -> String {
    let image = format!("{}/{name}", registry.host());
    let pushed = Command::new("skopeo")
        .args(["copy", "-q", "--dest-tls-verify=false"])
        .arg(format!("docker-archive:{file}"))
        .arg(format!("docker://{image}"))
        .output()
        .unwrap();
    assert!(pushed.status.success(), "{pushed:?}");
    image
}

#[test]
fn a_power_cut_at_any_moment_leaves_each_image_absent_or_whole() {
    let Some(mut host) = host("power-cuts") else {
        return;
    };
    host.import(IMAGE, &busybox());
    let script = "mkdir /made; for n in $(seq 100); do echo $n > /made/$n; done";
    host.ok(&["run", "--name", "box", IMAGE, "sh", "-c", script]);

    let archive = docker_archive("loaded:1", &[busybox(), layer("loaded")], "{}");
    let file = host.write("loaded.tar", &archive);
    let load = words(&format!("load -q -i {file}"));
    let mut works = vec![
        Work {
            before: Vec::new(),
            act: load.clone(),
            image: "loaded:1".to_string(),
        },
        Work {
            before: Vec::new(),
            act: words("commit box committed:1"),
            image: "committed:1".to_string(),
        },
        Work {
            before: load,
            act: words("rmi loaded:1"),
            image: "loaded:1".to_string(),
        },
    ];
    let registry = registry::is_installed().then(Registry::start);
    if let Some(registry) = &registry {
        let archive = docker_archive("x:1", &[layer("pulled"), layer("more")], "{}");
        let file = host.write("pulled.tar", archive);
        let image = push(registry, &file, "power/pulled:1");
        works.push(Work {
            before: Vec::new(),
            act: words(&format!("pull -q {image}")),
            image,
        });
    }

    let mut chance = Chance::new();
    let (mut whole, mut absent) = (0, 0);
    for round in 0..rounds(8, 200) {
        let work = &works[round % works.len()];
        run(&host, &work.before);
        // Once to its end, to know how long it takes.
        let begin = Instant::now();
        run(&host, &work.act);
        let took = u64::try_from(begin.elapsed().as_micros()).unwrap();
        if host.tug(&["image", "inspect", &work.image]).code == 0 {
            host.ok(&["rmi", &work.image]);
        }
        run(&host, &work.before);

        let mut client = start(&host, &work.act);
        std::thread::sleep(Duration::from_micros(chance.below(took * 5 / 4)));
        cut_power(&mut host);
        client.wait(PATIENCE);
        power_on(&mut host);

        let found = host.tug(&["system", "check"]);
        assert!(
            found.code == 0 && found.stderr.is_empty(),
            "round {round}, {:?}: {found:?}\n{}",
            work.act,
            host.engine_log()
        );
        for dir in ["images", "layers", "containers"] {
            let names = std::fs::read_dir(store(&host).join(dir)).unwrap();
            let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let half: Vec<String> = names
                .filter(|n| n.starts_with(".new-") || n.starts_with(".old-") || n.ends_with(".bad"))
                .collect();
            assert_eq!(half, [""; 0], "{dir}");
        }
        match host.tug(&["image", "inspect", &work.image]).code {
            0 => whole += 1,
            _ => absent += 1,
        }
        // Again, and it is there; or it is gone.
        if work.act[0] != "rmi" {
            run(&host, &work.act);
            assert_eq!(host.tug(&["system", "check"]).code, 0);
            host.ok(&["rmi", &work.image]);
        } else if host.tug(&["image", "inspect", &work.image]).code == 0 {
            host.ok(&["rmi", &work.image]);
        }
    }
    println!("after the cut {whole} were whole and {absent} absent");
    assert_eq!(host.ok(&["run", "--rm", IMAGE, "echo", "up"]), "up");
}
