//! An etcd of a test's own: on free ports of the loopback, its data in a directory that outlives its process.

use colo_real::arbiter::ArbiterAddress;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long etcd may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Whether to run at all. Without etcd a test says loudly that it is skipped; with `COLO_REQUIRE_ETCD=1` it fails instead.
pub(crate) fn etcd_or_skip(test: &str) -> bool {
    let version = Command::new("etcd").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if version.is_ok_and(|status| status.success()) {
        return true;
    }
    assert!(std::env::var("COLO_REQUIRE_ETCD").as_deref() != Ok("1"), "{test}: there is no etcd");
    eprintln!("SKIPPED {test}: there is no etcd");
    false
}

/// A cluster of one.
pub(crate) struct Etcd {
    data: TempDir,
    client: String,
    peer: String,
    child: Child,
}

impl Etcd {
    pub(crate) fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        // Both at once: of two that were asked for one after the other, the second may be the first.
        let ports = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let [client, peer] = ports.each_ref().map(|port| port.local_addr().unwrap().to_string());
        drop(ports);
        let child = run(&data, &client, &peer);
        let etcd = Self { data, client, peer, child };
        etcd.wait_until_ready();
        etcd
    }

    pub(crate) fn arbiter(&self) -> ArbiterAddress {
        format!("etcd:{}", self.client).parse().unwrap()
    }

    /// Stops it with SIGSTOP: what it is asked waits, and nobody is answered.
    pub(crate) fn stop(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, with what it has on its disk.
    pub(crate) fn restart(&mut self) {
        self.child = run(&self.data, &self.client, &self.peer);
        self.wait_until_ready();
    }

    fn wait_until_ready(&self) {
        let begun = Instant::now();
        while !self.is_ready() {
            assert!(begun.elapsed() < READY_WITHIN, "etcd does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn is_ready(&self) -> bool {
        let mut answer = String::new();
        let asked = TcpStream::connect(&self.client).and_then(|mut stream| {
            stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
            stream.read_to_string(&mut answer)
        });
        asked.is_ok() && answer.contains("\"health\":\"true\"")
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It fails when it has been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(data: &TempDir, client: &str, peer: &str) -> Child {
    let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
    Command::new("etcd")
        .args(["--name", "one", "--log-level", "error", "--data-dir"])
        .arg(data.path().join("data"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("one={peer}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
