//! The processes of a running pair are confined, each thread of them.
#![expect(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::no_kvm;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// As `/proc/PID/status` has a thread to which seccomp's filters apply.
const FILTERED: &str = "2";

/// A command that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn field(status: &str, name: &str) -> Option<String> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(|value| value.trim().to_owned())
}

/// What the kernel says of each thread of each child: whether it is filtered. Threads that KVM keeps in the process have
/// names of their own; any may end meanwhile.
fn filters_of_children(parent: u32) -> Vec<Vec<String>> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok).filter(|entry| {
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        field(&status, "PPid") == Some(parent.to_string())
    });
    let threads = processes.map(|process| {
        let tasks = fs::read_dir(process.path().join("task")).into_iter().flatten().filter_map(Result::ok);
        let statuses = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
        let own = statuses.filter(|status| field(status, "Name").is_some_and(|name| name == "colo"));
        own.filter_map(|status| field(&status, "Seccomp")).collect()
    });
    threads.collect()
}

/// The same, once it is as expected; or what it is in the end.
fn filters_in_the_end(parent: u32, expected: &[Vec<String>]) -> Vec<Vec<String>> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let filters = filters_of_children(parent);
        if filters == expected || Instant::now() > deadline {
            return filters;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_threads_of_a_running_node_are_confined() {
    if no_kvm() {
        return;
    }
    for (pair, nodes) in [(&["run", "v12"][..], 2), (&["run", "--unprotected"], 1)] {
        let directory = tempfile::tempdir().unwrap();
        let run = Command::new(env!("CARGO_BIN_EXE_colo"))
            .args(pair)
            .args(["--memory-mib", "16", "--checkpoints", "1000000"])
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let run = Running(run);
        // The node's own thread and its guest's.
        let expected = vec![vec![FILTERED.to_owned(); 2]; nodes];
        assert_eq!(filters_in_the_end(run.0.id(), &expected), expected, "{pair:?}");
    }
}
