//! Failovers of real pairs by the hundred: what is said of them, what is kept of one that went wrong, and when it ends.
#![expect(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::no_kvm;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const SMALL: [&str; 4] = ["--memory-mib", "16", "--interval-ms", "5"];

fn colo(arguments: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_colo"));
    command.args(arguments).current_dir(directory);
    command
}

fn run(arguments: &[&str], directory: &Path) -> Output {
    colo(&[arguments, &SMALL].concat(), directory).output().unwrap()
}

#[test]
fn failovers_are_spread_over_the_points_and_go_on_from_where_the_core_says() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let output =
        run(&["run", "v12", "--crash-points", "all", "--failovers", "12", "--json"], directory.path());
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (summary, rows) = lines.split_last().unwrap();
    assert_eq!(rows.len(), 12);
    for node in ["primary", "secondary"] {
        assert_eq!(rows.iter().filter(|row| row["killed"] == node).count(), 6, "{stdout}");
    }
    for row in rows {
        assert_eq!(
            (&row["runs"], &row["failovers"], &row["wrong"]),
            (&1.into(), &1.into(), &0.into()),
            "{row}"
        );
        let seen = row["went_on_from"].as_object().unwrap().keys();
        let predicted = row["predicted"].as_array().unwrap();
        assert!(seen.clone().count() == 1 && seen.cloned().all(|it| predicted.contains(&it.into())), "{row}");
    }
    assert_eq!(
        (&summary["summary"]["verdict"], &summary["summary"]["failovers"]),
        (&"holds".into(), &12.into())
    );
}

#[test]
fn a_failover_that_went_wrong_can_be_had_again() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let many = ["run", "bug:release-at-suspend", "--crash-points", "all", "--failovers", "60"];
    let output = run(&many, directory.path());
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    assert!(stdout.contains("WRONG 1, first: contradicted: "), "{stdout}");
    let again = stderr.lines().find_map(|line| line.strip_prefix("again      colo ")).unwrap();
    let words: Vec<_> = again.split(' ').collect();
    let output = colo(&words, directory.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{again}\n{}", String::from_utf8(output.stdout).unwrap());
}

#[test]
fn ctrl_c_ends_a_run_with_what_there_is() {
    if no_kvm() {
        return;
    }
    for (arguments, told) in [
        (
            &["run", "v12", "--crash-points", "all", "--failovers", "100000"][..],
            ", and then Ctrl-C: nothing that a client saw was lost or contradicted",
        ),
        (&["run", "strict", "--suspicions", "100000"], ", and then Ctrl-C: one served each time"),
        (&["run", "v12", "--checkpoints", "1000000"], "stopped      by Ctrl-C"),
        (&["run", "--unprotected", "--checkpoints", "1000000"], "stopped      by Ctrl-C"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let arguments = [arguments, &SMALL].concat();
        let child = colo(&arguments, directory.path()).stdout(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_secs(3));
        kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {stdout}");
        assert!(stdout.contains(told), "{stdout}");
    }
}

/// The end finds the pair wherever it is: in a failover, or on the way to protection.
#[test]
fn a_service_goes_on_through_failovers_for_a_time() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for time in ["1s", "2s", "3s"] {
        let output = run(
            &["run", "v12", "--soak", time, "--crash-points", "all", "--reprotect", "--json"],
            directory.path(),
        );
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{time}: {document}");
        assert!(document["failovers"].as_u64().unwrap() > 0, "{time}: {document}");
    }
}

#[test]
fn failovers_without_crash_points_are_no_command() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(&["run", "--failovers", "10"], directory.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--crash-points"));
}
