//! `tug boot`: process 1 of a board, in namespaces of its own, and the same under another init.

use crate::harness::command::{Output, Running, run};
use crate::harness::{Host, IMAGE, PATIENCE, binary, eventually, http, rounds, send_signal};
use std::path::PathBuf;
use std::process::Command;

/// A service's program: it ends on SIGTERM.
const TIDY: &str = r#"["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait; done"]"#;

/// A board in a directory: `tug` is process 1 of its pid namespace and has mounts, a host name and a
/// network of its own. The image `test` is in its store.
struct Board {
    host: Host,
    init: Option<Running>,
}

impl Board {
    fn new(name: &'static str) -> Board {
        let mut host = Host::with_image(name);
        host.stop_engine();
        // What has been started is this boot's and no other engine's.
        std::fs::remove_dir_all(host.exec_root()).unwrap();
        let board = Board { host, init: None };
        for dir in ["onboot", "services", "onshutdown"] {
            std::fs::create_dir_all(board.plan().join(dir)).unwrap();
        }
        board.machine("");
        board
    }

    fn plan(&self) -> PathBuf {
        self.host.dir.join("plan")
    }

    /// `machine.json`, with these members beside the engine's options.
    fn machine(&self, members: &str) {
        let text = |path: PathBuf| path.display().to_string();
        let engine = [
            "--config-file",
            &text(self.host.dir.join("daemon.json")),
            "--data-root",
            &text(self.host.data_root()),
            "--exec-root",
            &text(self.host.exec_root()),
            "--bridge",
            "none",
            "--idle-exit",
            "1",
        ];
        self.write(
            "machine.json",
            &format!(r#"{{"engine": {engine:?}{members}}}"#),
        );
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.plan().join(name), text).unwrap();
    }

    /// An entry of the image, without a network.
    fn entry(&self, name: &str, command: &str, members: &str) {
        let text =
            format!(r#"{{"image": "{IMAGE}", "network": "none", "command": {command}{members}}}"#);
        self.write(&format!("{name}.json"), &text);
    }

    fn words(&self, init: &[&str]) -> Vec<String> {
        let words = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ];
        let more = ["--uts", "--net", "--ipc", "--"];
        let all = words.iter().chain(&more).chain(init);
        all.map(|word| (*word).to_string()).collect()
    }

    /// Power on.
    fn start(&mut self) {
        let plan = format!("--plan={}", self.plan().display());
        let tug = binary();
        // The kernel calls it init.
        let script = format!("exec -a init {} {plan}", tug.display());
        let words = self.words(&["bash", "-c", &script]);
        self.start_as(&words);
    }

    fn start_as(&mut self, words: &[String]) {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_remove("DOCKER_HOST");
        self.init = Some(Running::start(command));
    }

    /// Process 1, as the machine that runs the tests numbers it.
    fn pid(&self) -> i32 {
        let unshare = self.init.as_ref().unwrap().child.id();
        let children = format!("/proc/{unshare}/task/{unshare}/children");
        let mut pid = 0;
        eventually("unshare has a child", || {
            let text = std::fs::read_to_string(&children).unwrap_or_default();
            pid = text.trim().parse().unwrap_or(0);
            pid != 0
        });
        pid
    }

    fn socket(&self) -> PathBuf {
        self.host.exec_root().join("tug.sock")
    }

    /// A command on the board.
    fn on(&self, words: &[&str]) -> Output {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.pid()));
        command.args(["--mount", "--pid", "--uts", "--net", "--ipc"]);
        command
            .args(words)
            .env("DOCKER_HOST", format!("unix://{}", self.socket().display()));
        run(command, b"", PATIENCE)
    }

    fn tug(&self, words: &[&str]) -> Output {
        let tug = binary().display().to_string();
        let mut all = vec![tug.as_str()];
        all.extend(words);
        self.on(&all)
    }

    /// `tug boot WORD` for this board.
    fn boot(&self, word: &str) -> Output {
        let exec_root = self.host.exec_root().display().to_string();
        self.tug(&["boot", "--exec-root", &exec_root, word])
    }

    fn file(&self, name: &str) -> String {
        let path = self.host.exec_root().join("boot").join(name);
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// `state why` of an entry.
    fn state(&self, name: &str) -> String {
        let text = self.file("status.json");
        let start = format!("{{\"name\":\"{name}\",");
        let line = text.lines().find(|line| line.starts_with(&start));
        let member = |member: &str| {
            let text = line?.split(&format!("\"{member}\":\"")).nth(1)?;
            text.split("\",\"").next().map(str::to_string)
        };
        let words = [member("state"), member("why")].map(Option::unwrap_or_default);
        words.join(" ").trim_end().to_string()
    }

    fn until(&self, name: &str, state: &str) {
        eventually(&format!("{name} is {state:?}"), || {
            self.state(name) == state
        });
    }

    fn has_engine(&self) -> bool {
        let line = format!("--boot-plan\0{}\0", self.plan().display());
        std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let text = String::from_utf8_lossy(&words).into_owned();
            text.starts_with("tugd\0") && text.contains(&line)
        })
    }

    /// How process 1 ended, and what was on the console.
    fn end(&mut self) -> Output {
        self.init.take().unwrap().wait(PATIENCE)
    }

    /// Power off by a word, and nothing is left.
    fn power_off(&mut self) -> String {
        assert_eq!(self.boot("poweroff"), Output::new(0, "", ""));
        let output = self.end();
        // A namespace ends as if by SIGINT (pid_namespaces(7), reboot).
        assert_eq!(output.code, -2, "{output:?}");
        output.stderr
    }

    /// What the containers have said into the file that all of them have.
    fn said(&self) -> String {
        std::fs::read_to_string(self.host.dir.join("said")).unwrap_or_default()
    }

    /// The member that gives a container the file.
    fn with_said(&self) -> String {
        let path = self.host.dir.join("said");
        std::fs::File::options()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap();
        format!(r#", "volume": "{}:/said""#, path.display())
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        if let Some(mut init) = self.init.take() {
            // What is on the console says why; the namespace goes with unshare (--kill-child).
            let _ = init.child.kill();
            let output = init.wait(PATIENCE);
            eprintln!("console of {}:\n{}", self.host.name, output.stderr);
            eprintln!("{}", self.file("status.json"));
        }
        // The board is thrown away. Nothing of its containers may be left on this machine.
        let roots = [self.host.data_root(), self.host.exec_root()];
        for containers in roots.map(|root| root.join("containers")) {
            for entry in std::fs::read_dir(&containers).into_iter().flatten() {
                let name = entry.unwrap().file_name();
                self.host.note_container(name.to_str().unwrap());
            }
            let _ = std::fs::remove_dir_all(containers);
        }
        let _ = std::fs::remove_dir_all(self.host.exec_root());
    }
}

#[test]
fn a_board_runs_its_plan_in_order_and_ends_it_in_reverse() {
    let mut board = Board::new("boot-order");
    let said = board.with_said();
    let once = |word: &str| format!(r#"["sh", "-c", "echo {word} >>/said"]"#);
    let service = |word: &str| {
        format!(
            r#"["sh", "-c", "trap 'echo -{word} >>/said; exit 0' TERM; echo +{word} >>/said; while :; do sleep 1 & wait; done"]"#
        )
    };
    board.machine(r#", "hostname": "board""#);
    board.entry("onboot/10-first", &once("first"), &said);
    board.entry("onboot/20-second", &once("second"), &said);
    board.entry(
        "services/a-web",
        &service("web"),
        &format!(r#"{said}, "after": ["z-db"]"#),
    );
    board.entry("services/z-db", &service("db"), &said);
    board.entry("onshutdown/bye", &once("bye"), &said);
    board.start();
    board.until("a-web", "running");
    eventually("web has said so", || board.said().contains("+web"));
    assert_eq!(board.said(), "first\nsecond\n+db\n+web\n");
    assert_eq!(board.state("10-first"), "completed");
    assert_eq!(board.on(&["hostname"]).stdout, "board\n");

    let console = board.power_off();
    assert_eq!(board.said(), "first\nsecond\n+db\n+web\nbye\n-web\n-db\n");
    assert_eq!(console, "tug boot: power off\n");

    // The same plan starts the same containers again.
    std::fs::remove_dir_all(board.host.exec_root()).unwrap();
    board.start();
    board.until("a-web", "running");
    let listed = board.tug(&["ps", "-a", "--format", "{{.Names}} {{.State}}"]);
    let mut lines: Vec<&str> = listed.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "10-first exited",
            "20-second exited",
            "a-web running",
            "bye exited",
            "z-db running"
        ]
    );
    board.power_off();
}

#[test]
fn the_engine_leaves_and_is_back_on_the_next_request() {
    let mut board = Board::new("boot-on-demand");
    board.entry("services/web", TIDY, "");
    board.start();
    board.until("web", "running");
    eventually("the engine has left", || !board.has_engine());
    let reply = http::request(&board.socket(), "GET", "/containers/json", "");
    assert!(reply.body.contains("/web"), "{}", reply.body);
    assert!(board.has_engine());

    // What its user has stopped stays so, whenever an engine comes and goes.
    assert_eq!(board.tug(&["stop", "web"]).code, 0);
    eventually("the engine has left", || !board.has_engine());
    assert!(!board.tug(&["ps"]).stdout.contains("web"));
    eventually("the engine has left", || !board.has_engine());
    board.power_off();
}

#[test]
fn what_waits_for_the_outside_starts_when_it_comes() {
    let mut board = Board::new("boot-conditions");
    let mount = board.host.make_dir("mount");
    let device = board.host.dir.join("device").display().to_string();
    let waits = |what: &str| format!(r#", "conditions": [{what}]"#);
    board.entry(
        "services/mounted",
        TIDY,
        &waits(&format!("\"mount:{mount}\"")),
    );
    board.entry(
        "services/plugged",
        TIDY,
        &waits(&format!("\"device:{device}\"")),
    );
    board.entry("services/online", TIDY, &waits("\"network\""));
    board.entry(
        "services/both",
        TIDY,
        &waits(&format!("\"network\", \"mount:{mount}\"")),
    );
    board.entry("services/behind", TIDY, r#", "after": ["mounted"]"#);
    board.start();
    board.until("mounted", &format!("waiting mount:{mount}"));
    board.until("online", "waiting network");
    board.until("behind", "waiting comes after mounted, which waits");
    eventually("the engine has left", || !board.has_engine());

    assert_eq!(board.on(&["mount", "-t", "tmpfs", "tmpfs", &mount]).code, 0);
    board.until("mounted", "running");
    board.until("behind", "running");
    assert_eq!(board.state("both"), "waiting network");

    for words in [
        "ip link add name up0 type veth peer name up1",
        "ip addr add 192.0.2.2/24 dev up0",
        "ip link set up1 up",
        "ip link set up0 up",
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        assert_eq!(board.on(&words).code, 0, "{words:?}");
    }
    board.until("online", "running");
    board.until("both", "running");

    // The kernel tells of a device; what it says does not matter, whoever waits is looked at.
    std::fs::write(&device, "").unwrap();
    std::fs::write("/sys/class/mem/null/uevent", "change").unwrap();
    board.until("plugged", "running");
    board.power_off();
}

#[test]
fn process_1_reaps_orphans() {
    let mut board = Board::new("boot-reap");
    board.start();
    let orphans = rounds(1_000, 10_000);
    let script = format!(
        "for n in $(seq {orphans}); do (true & true) & [ $((n % 50)) != 0 ] || wait; done; wait; \
         for n in $(seq 200); do zombies=$(grep -l '^State:.*zombie' /proc/[0-9]*/status | wc -l); \
         [ $zombies = 0 ] && break; sleep 0.05; done; echo $zombies zombies"
    );
    board.pid();
    eventually("the socket is there", || board.socket().exists());
    let output = board.on(&["sh", "-c", &script]);
    assert_eq!(output.stdout, "0 zombies\n", "{output:?}");
    board.power_off();
}

#[test]
fn signals_are_those_of_other_inits() {
    // A namespace ends as if by SIGHUP after a reboot, and by SIGINT after the others.
    for (signal, code, word) in [
        ("TERM", -1, "reboot"),
        ("INT", -1, "reboot"),
        ("USR1", -2, "halt"),
        ("USR2", -2, "power off"),
        ("PWR", -2, "power off"),
        ("RTMIN+3", -2, "halt"),
        ("RTMIN+4", -2, "power off"),
        ("RTMIN+5", -1, "reboot"),
    ] {
        let mut board = Board::new("boot-signals");
        board.start();
        eventually("the socket is there", || board.socket().exists());
        let output = board.on(&["kill", "-s", signal, "1"]);
        assert_eq!(output.code, 0, "{output:?}");
        let output = board.end();
        assert_eq!(
            (output.code, output.stderr.as_str()),
            (code, format!("tug boot: {word}\n").as_str()),
            "{signal}"
        );
    }
}

#[test]
fn a_container_that_ignores_its_end_is_killed_at_the_deadline() {
    let mut board = Board::new("boot-stubborn");
    board.machine(r#", "shutdown": {"deadline": "2s"}"#);
    board.entry(
        "services/stubborn",
        r#"["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]"#,
        r#", "stop-timeout": 60"#,
    );
    board.start();
    board.until("stubborn", "running");
    let before = std::time::Instant::now();
    board.power_off();
    assert!(before.elapsed().as_secs() < 20, "{:?}", before.elapsed());
}

#[test]
fn what_is_wrong_with_a_plan_stops_nothing_else_and_is_told() {
    let mut board = Board::new("boot-bad");
    board.machine(r#", "sysctl": {"net.no.such": 1}, "modules": ["no-such-module"]"#);
    board.write("services/torn.json", r#"{"image": "x""#);
    board.write(
        "services/odd.json",
        r#"{"image": "test", "pubish": "80:80"}"#,
    );
    board.entry("services/egg", TIDY, r#", "after": ["hen"]"#);
    board.entry("services/hen", TIDY, r#", "after": ["egg"]"#);
    board.entry("services/alone", TIDY, r#", "after": ["nobody"]"#);
    board.write(
        "services/imageless.json",
        r#"{"image": "no-such:1", "pull": "never"}"#,
    );
    board.entry("services/good", TIDY, "");
    board.entry("services/hasty", r#"["sh", "-c", "exit 7"]"#, "");
    board.entry("onboot/bad", r#"["sh", "-c", "exit 3"]"#, "");
    board.entry("onboot/worse", r#"["no-such-program"]"#, "");
    board.entry("services/needy", TIDY, r#", "after": ["bad"]"#);
    board.start();
    board.until("good", "running");
    board.until("bad", "failed ended with exit code 3: see tug logs bad");
    board.until("needy", "failed comes after bad, which has failed");
    board.until("imageless", "failed No such image: no-such:1");
    board.until(
        "hasty",
        "running ended with exit code 7 after its start: see tug logs hasty",
    );
    assert!(
        board.state("worse").starts_with("failed "),
        "{}",
        board.state("worse")
    );
    let plan = board.plan().display().to_string();
    assert!(
        board.state("torn").starts_with("broken "),
        "{}",
        board.state("torn")
    );
    assert!(
        board.state("odd").contains("did you mean publish?"),
        "{}",
        board.state("odd")
    );
    assert_eq!(
        board.state("egg"),
        format!("broken {plan}/services/egg.json: egg is in a circle: egg after hen after egg")
    );
    assert!(
        board
            .state("alone")
            .contains("nobody, which is not in the plan")
    );

    let status = board.boot("status");
    assert_eq!(status.code, 1);
    for words in [
        "net.no.such",
        "no-such-module",
        "egg after hen",
        "imageless",
    ] {
        assert!(
            status.stdout.contains(words),
            "{words} in {}",
            status.stdout
        );
    }
    let console = board.power_off();
    for words in [
        "load module no-such-module",
        "needy failed: comes after bad",
        "torn broken",
    ] {
        assert_eq!(console.matches(words).count(), 1, "{words} in {console}");
    }
}

#[test]
fn a_plan_is_checked_without_a_board() {
    let board = Board::new("boot-check");
    board.machine("");
    board.entry("services/good", TIDY, "");
    let check = |code: i32| {
        let mut command = Command::new(binary());
        command.args(["boot", "check"]).arg(board.plan());
        let output = run(command, b"", PATIENCE);
        assert_eq!(
            (output.code, output.stderr.as_str()),
            (code, ""),
            "{output:?}"
        );
        output.stdout
    };
    assert_eq!(check(0), "");
    board.write("services/torn.json", "{");
    board.entry("services/odd", TIDY, r#", "memry": "1m""#);
    board.entry("services/egg", TIDY, r#", "after": ["egg2"]"#);
    let said = check(1);
    for words in [
        "torn.json",
        "did you mean memory?",
        "egg2, which is not in the plan",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
}

#[test]
fn a_changed_plan_replaces_what_has_changed_and_nothing_else() {
    let mut board = Board::new("boot-reload");
    board.entry("services/same", TIDY, "");
    board.entry("services/other", TIDY, "");
    board.entry("services/gone", TIDY, "");
    board.start();
    board.until("same", "running");
    board.until("other", "running");
    board.until("gone", "running");
    let ids = |board: &Board| {
        let format = "{{.Names}} {{.ID}} {{.State}}";
        let output = board.tug(&["ps", "-a", "--format", format]).stdout;
        let mut lines: Vec<String> = output.lines().map(str::to_string).collect();
        lines.sort();
        lines
    };
    let before = ids(&board);
    board.entry("services/other", TIDY, r#", "env": {"A": "1"}"#);
    std::fs::remove_file(board.plan().join("services/gone.json")).unwrap();
    board.entry("services/new", TIDY, "");
    assert_eq!(board.boot("reload"), Output::new(0, "", ""));
    board.until("new", "running");
    let is_new = |lines: &[String]| {
        let find = |line: &&String| line.starts_with("other") && line.ends_with("running");
        lines.len() == 3
            && lines
                .iter()
                .find(find)
                .is_some_and(|line| !before.contains(line))
    };
    eventually("there is another one", || is_new(&ids(&board)));
    let after = ids(&board);
    let find =
        |list: &[String], name: &str| list.iter().find(|line| line.starts_with(name)).cloned();
    assert_eq!(find(&before, "same"), find(&after, "same"));
    assert_ne!(find(&before, "other"), find(&after, "other"));
    assert!(
        find(&after, "other").unwrap().ends_with("running"),
        "{after:?}"
    );
    assert_eq!(find(&after, "gone"), None);
    board.power_off();
}

#[test]
fn an_engine_that_is_killed_is_started_again_and_goes_on() {
    let mut board = Board::new("boot-engine-killed");
    board.entry("onboot/slow", r#"["sleep", "2"]"#, "");
    board.entry("services/web", TIDY, "");
    board.start();
    board.until("slow", "running");
    let pid = std::fs::read_to_string(board.host.exec_root().join("engine.lock")).unwrap();
    let output = board.on(&["kill", "-KILL", pid.trim()]);
    assert_eq!(output.code, 0, "{output:?}");
    board.until("web", "running");
    board.until("slow", "completed");
    board.power_off();
}

#[test]
fn under_another_init_the_containers_come_and_go_with_it() {
    let mut board = Board::new("boot-no-init");
    board.entry("services/web", TIDY, "");
    let plan = board.plan().display().to_string();
    let tug = binary().display().to_string();
    let words = [tug.as_str(), "boot", "--plan", &plan].map(String::from);
    board.start_as(&words);
    board.until("web", "running");
    let pid = board.init.as_ref().unwrap().child.id().cast_signed();
    send_signal(pid, "TERM");
    let output = board.end();
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
    assert!(!board.socket().exists());
    // Started again it does the same.
    board.start_as(&words);
    board.until("web", "running");
    let reply = http::request(&board.socket(), "GET", "/containers/json", "");
    assert!(reply.body.contains("/web"), "{}", reply.body);
    let pid = board.init.as_ref().unwrap().child.id().cast_signed();
    send_signal(pid, "TERM");
    assert_eq!(board.end().code, 0);
}

#[test]
fn a_data_root_that_cannot_be_written_is_replaced_by_memory() {
    let mut board = Board::new("boot-read-only");
    board.entry("services/web", TIDY, "");
    // The image is in a store beside it.
    let store = board.host.make_dir("store");
    for name in ["images", "layers"] {
        let from = board.host.data_root().join(name);
        let output = run(
            {
                let mut command = Command::new("cp");
                command.arg("-a").arg(from).arg(&store);
                command
            },
            b"",
            PATIENCE,
        );
        assert_eq!(output.code, 0, "{output:?}");
    }
    let data = board.host.make_dir("locked");
    let text = std::fs::read_to_string(board.plan().join("machine.json")).unwrap();
    let text = text.replace(&board.host.data_root().display().to_string(), &data);
    let text = text.replace(
        "\"--bridge\"",
        &format!("\"--store-ro\", {store:?}, \"--bridge\""),
    );
    board.write("machine.json", &text);
    let plan = format!("--plan={}", board.plan().display());
    let script = format!(
        "mount -t tmpfs -o ro tmpfs {data} && exec -a init {} {plan}",
        binary().display()
    );
    let words = board.words(&["bash", "-c", &script]);
    board.start_as(&words);
    board.until("web", "running");
    let console = board.power_off();
    let expected = format!("{data} cannot be written");
    assert!(console.contains(&expected), "{console}");
}

#[test]
fn a_mount_whose_device_does_not_come_is_waited_for_and_then_done_without() {
    let mut board = Board::new("boot-mounts");
    let (there, missing) = (board.host.make_dir("there"), board.host.make_dir("missing"));
    board.machine(&format!(
        r#", "mounts": [
            {{"source": "/dev/no-such", "target": "{missing}", "timeout": "1s"}},
            {{"source": "/dev/no-such-either", "target": "{missing}2", "optional": true}},
            {{"source": "tmpfs", "target": "{there}", "type": "tmpfs", "options": "size=1m,nodev"}}]"#
    ));
    let condition = |path: &str| format!(r#", "conditions": ["mount:{path}"]"#);
    board.entry("services/there", TIDY, &condition(&there));
    board.entry("services/missing", TIDY, &condition(&missing));
    board.start();
    board.until("there", "running");
    board.until("missing", &format!("waiting mount:{missing}"));
    let mounted = board.on(&["grep", &there, "/proc/self/mounts"]).stdout;
    assert!(
        mounted.contains("nodev") && mounted.contains("size=1024k"),
        "{mounted}"
    );
    let console = board.power_off();
    let expected = format!("mount {missing}: its device has not come, going on without it");
    assert!(console.contains(&expected), "{console}");
    assert!(!console.contains("no-such-either"), "{console}");
}

#[test]
fn a_critical_onboot_container_that_fails_is_the_end_of_the_plan() {
    let mut board = Board::new("boot-critical");
    board.entry(
        "onboot/first",
        r#"["sh", "-c", "exit 1"]"#,
        r#", "critical": true"#,
    );
    board.entry("onboot/second", r#"["true"]"#, "");
    board.entry("services/web", TIDY, "");
    board.start();
    board.until("web", "failed first, which is critical, has failed");
    assert_eq!(
        board.state("second"),
        "failed first, which is critical, has failed"
    );
    // The board is there for whoever comes to look.
    assert_eq!(board.tug(&["ps", "-q"]), Output::new(0, "", ""));
    board.power_off();
}

#[test]
fn a_boot_that_cannot_go_on_ends_in_the_rescue_command_and_a_reboot() {
    let mut board = Board::new("boot-rescue");
    let note = board.host.dir.join("rescued").display().to_string();
    let command = format!(r#"["/bin/sh", "-c", "echo rescued >{note}"]"#);
    board.machine(&format!(r#", "rescue": {{"command": {command}}}"#));
    std::fs::write(board.host.exec_root(), "in the way").unwrap();
    board.start();
    let output = board.end();
    std::fs::remove_file(board.host.exec_root()).unwrap();
    assert_eq!(output.code, -1, "{output:?}");
    assert!(
        output.stderr.contains("tug boot: cannot go on: "),
        "{output:?}"
    );
    assert_eq!(std::fs::read_to_string(note).unwrap(), "rescued\n");
}

#[test]
fn the_watchdog_is_fed_while_critical_containers_are_well() {
    let mut board = Board::new("boot-watchdog");
    // A FIFO takes what the device would.
    let device = board.host.dir.join("watchdog");
    assert!(
        Command::new("mkfifo")
            .arg(&device)
            .status()
            .unwrap()
            .success()
    );
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
    let fifo = rustix::fs::open(&device, flags, rustix::fs::Mode::empty()).unwrap();
    let mut fifo = std::fs::File::from(fifo);
    let mut eaten = move || {
        let mut bytes = [0u8; 4096];
        let count = std::io::Read::read(&mut fifo, &mut bytes).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    };
    let second = || std::thread::sleep(std::time::Duration::from_secs(1));
    board.machine(&format!(
        r#", "watchdog": {{"device": {device:?}, "timeout": "600ms"}}"#
    ));
    let dir = board.host.make_dir("data");
    let ready = PathBuf::from(&dir).join("ready");
    let members = format!(
        r#", "volume": "{dir}:/data", "critical": true, "restart": "no",
            "health-probe": "file:/data/ready", "health-interval": "50ms", "health-retries": 2"#
    );
    std::fs::write(&ready, "").unwrap();
    board.entry("services/web", TIDY, &members);
    board.start();
    board.until("web", "running");
    eventually("it is fed", || !eaten().is_empty());
    // Nobody needs the engine for it.
    eventually("the engine has left", || !board.has_engine());
    eaten();
    second();
    let fed = eaten();
    assert!(
        fed.len() >= 2 && fed.chars().all(|byte| byte == '.'),
        "{fed}"
    );

    std::fs::remove_file(&ready).unwrap();
    eventually("it is ill", || {
        board.file("machine.json").contains("web is unhealthy")
    });
    eaten();
    second();
    assert_eq!(eaten(), "");
    assert!(board.boot("status").stdout.contains("web is unhealthy"));
    std::fs::write(&ready, "").unwrap();
    eventually("it is fed again", || !eaten().is_empty());

    // With its shim a container is lost, whatever it said last.
    let id = std::fs::read_dir(board.host.exec_root().join("critical")).unwrap();
    let id = id
        .flatten()
        .next()
        .unwrap()
        .file_name()
        .into_string()
        .unwrap();
    let shims = board.on(&["pidof", "tug-shim"]).stdout;
    board.on(&["kill", "-9", shims.trim()]);
    eventually("it is missed", || {
        board.file("machine.json").contains("web is down")
    });
    eaten();
    second();
    assert_eq!(eaten(), "", "{id}");
    let console = board.power_off();
    assert!(
        console.contains("the watchdog is not fed: web is unhealthy"),
        "{console}"
    );
    let last = eaten();
    assert!(last.ends_with('V'), "{last}");
}

#[test]
fn an_ill_container_reboots_its_board() {
    let mut board = Board::new("boot-ill");
    if std::fs::read_to_string("/proc/mounts")
        .unwrap()
        .contains(" /tmp tmpfs ")
    {
        return crate::harness::skip("an_ill_container_reboots_its_board", "/tmp is in memory");
    }
    let members = r#", "health-on-failure": "reboot", "health-interval": "50ms", "health-retries": 1,
        "health-start-period": "1s", "health-probe": "process:nobody""#;
    board.entry("services/web", TIDY, members);
    board.start();
    // In a pid namespace a reboot is its end, as if by SIGHUP.
    let output = board.end();
    assert_eq!(output.code, -1, "{output:?}");
    let note = std::fs::read_to_string(board.host.data_root().join("last-reboot.json")).unwrap();
    assert!(
        note.contains(r#""Name":"web","Reason":"unhealthy""#),
        "{note}"
    );
    std::fs::remove_file(board.plan().join("services/web.json")).unwrap();
    std::fs::remove_dir_all(board.host.exec_root()).unwrap();
    board.start();
    eventually("it is told", || {
        board
            .boot("status")
            .stdout
            .contains("container web was unhealthy")
    });
    board.power_off();
}
