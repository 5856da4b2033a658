//! A side of a pair on two hosts, as a test sees it: a process that tells events, and can be asked, stopped and killed.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long anything may take on a machine that others use, too.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The command, in a namespace or on this host.
pub(crate) fn colo(namespace: Option<&str>, arguments: &[&str]) -> Command {
    let program = env!("CARGO_BIN_EXE_colo");
    let mut command = match namespace {
        None => Command::new(program),
        Some(name) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", name, program]);
            command
        }
    };
    command.args(arguments).stdin(Stdio::null());
    command
}

/// A process whose lines of JSON are read as they come, and that is killed in the end.
pub(crate) struct Telling {
    child: Child,
    lines: Receiver<Value>,
    said: Vec<Value>,
}

impl Telling {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, said: Vec::new() }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said until now.
    pub(crate) fn said(&mut self) -> &[Value] {
        self.said.extend(self.lines.try_iter());
        &self.said
    }

    /// Waits until it says something of this kind.
    pub(crate) fn wait(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.said.iter().find(|value| wanted(value)) {
                return found.clone();
            }
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(value) => self.said.push(value),
                Err(RecvTimeoutError::Timeout) => panic!("no {what} in {:?}", self.said),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it has ended ({:?}), without {what}: {:?}", self.child.wait(), self.said)
                }
            }
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Its exit code, when it has ended.
    pub(crate) fn code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it does not end: {:?}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child.wait().unwrap().code()
    }

    /// The processes that it has started.
    pub(crate) fn children(&self) -> Vec<Pid> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let children = |task: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(task.ok()?.path().join("children")).ok()
        };
        let lists: Vec<String> = std::fs::read_dir(tasks).unwrap().filter_map(children).collect();
        let numbers = lists.iter().flat_map(|list| list.split_whitespace());
        numbers.filter_map(|number| Pid::from_raw(number.parse().ok()?)).collect()
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One side.
pub(crate) struct Side {
    pub(crate) telling: Telling,
    control: PathBuf,
}

impl Side {
    /// A side of these flags, in a namespace or on this host, whose control socket is made in `directory`.
    pub(crate) fn start(name: &str, namespace: Option<&str>, flags: &[&str], directory: &Path) -> Self {
        let control = directory.join(format!("{name}.control"));
        let mut command = colo(namespace, &["run"]);
        command.args(flags).arg("--control").arg(&control).arg("--json");
        Self { telling: Telling::start(command), control }
    }

    /// Waits for an event.
    pub(crate) fn happens(&mut self, event: &str) -> Value {
        self.telling.wait(event, |value| value["event"] == event)
    }

    /// Whether an event has happened.
    pub(crate) fn happened(&mut self, event: &str) -> bool {
        self.telling.said().iter().any(|value| value["event"] == event)
    }

    /// Asks it for something.
    pub(crate) fn ctl(&self, words: &[&str]) -> Output {
        let mut command = colo(None, &["ctl"]);
        command.args(words).arg("--control").arg(&self.control).output().unwrap()
    }

    /// How it stands.
    pub(crate) fn status(&self) -> Value {
        let output = self.ctl(&["status", "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["return"].clone()
    }

    /// The process of its node.
    pub(crate) fn node(&self) -> Pid {
        let children = self.telling.children();
        assert_eq!(children.len(), 1, "a side has one node");
        children[0]
    }
}
