//! A real registry, Debian's `docker-registry`, on a free port of this machine.
//!
//! Nothing but std, since the unit tests of `src/registry` use this file too.
#![allow(dead_code)]

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Who may use a registry with a password.
pub const USER: &str = "tester";
pub const PASSWORD: &str = "canary-of-the-registry";
const HTPASSWD: &str = "tester:$2y$05$abcdefghijklmnopqrstuuTQLdDQ2arfM5hmv74DJrVlfO6Ojq7Qm\n";

#[derive(Default)]
pub struct Options {
    /// Only for `USER`.
    pub has_password: bool,
    /// A certificate and its key, files in PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
}

pub struct Registry {
    pub port: u16,
    pub dir: PathBuf,
    child: Child,
}

/// Whether there is one on this machine.
pub fn is_installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join("docker-registry").exists())
}

impl Registry {
    /// Open to everybody.
    pub fn start() -> Registry {
        Registry::start_with(&Options::default())
    }

    pub fn start_with(options: &Options) -> Registry {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir =
            std::env::temp_dir().join(format!("tug-registry-{}-{number}", std::process::id()));
        std::fs::create_dir_all(dir.join("data")).unwrap();
        std::fs::write(dir.join("htpasswd"), HTPASSWD).unwrap();
        loop {
            // Somebody else may take the port before the registry does: then there is another.
            let port = TcpListener::bind(("127.0.0.1", 0))
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            std::fs::write(dir.join("config.yml"), config(&dir, port, options)).unwrap();
            if let Some(child) = serve(&dir, port) {
                return Registry { port, dir, child };
            }
        }
    }

    /// `127.0.0.1:PORT`, as it stands in front of names.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// The file that holds a blob.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let digits = digest.trim_start_matches("sha256:");
        self.dir
            .join("data/docker/registry/v2/blobs/sha256")
            .join(&digits[..2])
            .join(digits)
            .join("data")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
        let is_left = self.dir.exists() || TcpStream::connect(("127.0.0.1", self.port)).is_ok();
        if !std::thread::panicking() {
            assert!(
                !is_left,
                "the registry has left something in {}",
                self.dir.display()
            );
        }
    }
}

fn config(dir: &std::path::Path, port: u16, options: &Options) -> String {
    let dir = dir.display();
    let mut text = format!(
        "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {dir}/data\n  \
         delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n"
    );
    if let Some((certificate, key)) = &options.tls {
        let (certificate, key) = (certificate.display(), key.display());
        text.push_str(&format!(
            "  tls:\n    certificate: {certificate}\n    key: {key}\n"
        ));
    }
    if options.has_password {
        text.push_str(&format!(
            "auth:\n  htpasswd:\n    realm: test\n    path: {dir}/htpasswd\n"
        ));
    }
    text
}

/// Start it and wait until it takes connections; `None` if it ends instead.
fn serve(dir: &std::path::Path, port: u16) -> Option<Child> {
    let log = std::fs::File::create(dir.join("log")).unwrap();
    let mut child = Command::new("docker-registry")
        .arg("serve")
        .arg(dir.join("config.yml"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        assert!(Instant::now() < deadline, "docker-registry does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(child)
}
