//! The arbiter on the command line: which there are, who is refused one, wrong suspicions by the dozen, and what is said
//! when it is gone.
#![expect(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::no_kvm;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const SMALL: [&str; 4] = ["--memory-mib", "16", "--interval-ms", "5"];

fn colo(arguments: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_colo"));
    command.arg("run").args(arguments).args(SMALL).current_dir(directory);
    command
}

fn texts(output: Output) -> (Option<i32>, String, String) {
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code(), stdout, stderr)
}

#[test]
fn whoever_has_no_use_for_an_arbiter_or_names_none_is_told_what_is_expected() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, problem) in [
        (
            &["v12", "--arbiter", "file:."][..],
            "--arbiter: nobody asks an arbiter under v12, expected rules with",
        ),
        (
            &["v12", "--suspicions", "3"],
            "--suspicions: nobody asks an arbiter under v12, expected rules with",
        ),
        (&["bug:waits-for-a-manager", "--suspicions", "3"], "expected detection = \"timeout\""),
        (
            &["strict", "--arbiter", "file:missing"],
            "file:missing: there is no such directory, expected one that",
        ),
        (&["strict", "--arbiter", "floppy:a"], "there is no arbiter \"floppy\", expected file:DIRECTORY"),
        #[cfg(not(feature = "etcd"))]
        (&["strict", "--arbiter", "etcd:here:1"], "--features etcd makes one with it"),
        #[cfg(feature = "etcd")]
        (&["strict", "--arbiter", "etcd:here"], "\"here\" is no endpoint of etcd, expected HOST:PORT"),
        (&["strict", "--suspicions", "0"], "invalid value '0' for '--suspicions <N>'"),
        (&["strict", "--jobs", "2"], "--suspicions <N>"),
        (&["strict", "--suspicions", "3", "--trace", "t"], "--trace with --suspicions is for one service"),
    ] {
        let (code, _, stderr) = texts(colo(arguments, directory.path()).output().unwrap());
        assert_eq!(code, Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(problem), "{arguments:?}: {stderr}");
    }
}

#[test]
fn of_a_pair_in_which_the_living_is_taken_for_dead_one_serves_each_time() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["strict", "--suspicions", "20", "--arbiter", "file:.", "--json"];
    let (code, stdout, stderr) = texts(colo(&arguments, directory.path()).output().unwrap());
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (summary, rows) = lines.split_last().unwrap();
    assert_eq!(rows.len(), 10, "ways: {stdout}");
    for row in rows {
        let served =
            row["served"]["primary"].as_u64().unwrap() + row["served"]["secondary"].as_u64().unwrap();
        assert_eq!((&row["runs"], served, &row["wrong"]), (&2.into(), 2, &0.into()), "{row}");
        assert!(row["arbiter_us"]["p50"].as_u64().unwrap() > 0, "{row}");
    }
    let summary = &summary["summary"];
    assert_eq!((&summary["verdict"], &summary["runs"]), (&"holds".into(), &20.into()));
    assert!(summary["points"].as_u64().unwrap() > 10, "{summary}");
    // A claim a run, and nothing else.
    assert_eq!(generations(directory.path()), [0; 20]);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 20);
}

/// The names of the claims in a directory, without the run's: the generations, in order.
fn generations(directory: &Path) -> Vec<u64> {
    let names =
        std::fs::read_dir(directory).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    let generation =
        |name: String| name.strip_suffix(".claim").and_then(|it| it.rsplit('-').next()?.parse().ok());
    let mut generations: Vec<_> = names.filter_map(generation).collect();
    generations.sort_unstable();
    generations
}

#[test]
fn one_service_goes_through_wrong_suspicions_and_claims_each_generation_once() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["strict", "--suspicions", "5", "--reprotect", "--arbiter", "file:.", "--json"];
    let (code, stdout, stderr) = texts(colo(&arguments, directory.path()).output().unwrap());
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let document: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&document["failovers"], &document["protected_again"]), (&5.into(), &5.into()));
    assert_eq!(generations(directory.path()), [0, 1, 2, 3, 4]);
}

/// Rules that let output out too early: an arbiter does not help them, and a wrong suspicion shows it.
#[test]
fn a_suspicion_that_went_wrong_can_be_had_again() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let rules = "base = \"strict\"\nrelease = \"at-suspend\"\n";
    std::fs::write(directory.path().join("early.toml"), rules).unwrap();
    let (code, stdout, stderr) =
        texts(colo(&["early.toml", "--suspicions", "40"], directory.path()).output().unwrap());
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    assert!(stdout.contains(" first: contradicted: "), "{stdout}");
    let agains: Vec<_> =
        stderr.lines().filter_map(|line| line.strip_prefix("again      colo run ")).collect();
    assert!(!agains.is_empty(), "{stderr}");
    // Which of the two serves is chance, and one of them contradicts nothing.
    let breaks = |again: &&str| {
        let words: Vec<_> = again.split(' ').collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_colo"));
        let output = command.arg("run").args(words).current_dir(directory.path()).output().unwrap();
        output.status.code() == Some(1)
    };
    assert!((0..5).any(|_| agains.iter().any(breaks)), "{stderr}");
}

#[test]
fn a_run_whose_arbiter_is_gone_has_no_verdict_and_says_why() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (shared, plan) = (directory.path().join("shared"), directory.path().join("cut.toml"));
    std::fs::create_dir(&shared).unwrap();
    let cut =
        "schema = 1\n[[fault]]\nat = \"primary checkpoint 300 during effect send-ram\"\naction = \"cut\"\n";
    std::fs::write(&plan, cut).unwrap();
    let arguments =
        ["strict", "--arbiter", "file:shared", "--plan", "cut.toml", "--checkpoints", "400", "--json"];
    let mut command = colo(&arguments, directory.path());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(700));
    std::fs::remove_dir(&shared).unwrap();
    let (code, stdout, stderr) = texts(child.wait_with_output().unwrap());
    assert_eq!(code, Some(4), "{stdout}{stderr}");
    let document: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&document["verdict"], &document["failovers"]), (&"incomplete".into(), &0.into()));
    let violation = document["violation"].as_str().unwrap();
    assert!(violation.contains("the arbiter (file:shared) does not answer: cannot "), "{violation}");
    let said =
        stderr.lines().filter(|line| line.starts_with("colo: the arbiter (file:shared) does not answer"));
    let said: Vec<_> = said.collect();
    assert!(said.len() == 1 && said[0].ends_with("; nobody takes over until it does"), "{stderr}");
}
