//! Known bugs on real machines: the checker's counterexample, followed by two virtual machines, and what clients see of it.
#![expect(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::no_kvm;
use std::path::Path;
use std::process::Command;

/// What a command prints, and how it ends.
fn colo(arguments: &[&str], directory: &Path) -> (String, Option<i32>) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_colo")).args(arguments).current_dir(directory).output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (String::from_utf8(printed).unwrap(), output.status.code())
}

#[test]
fn clients_of_real_machines_see_the_bugs_that_the_checker_finds() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for (bug, good) in [
        ("release-at-suspend", "holds"),
        ("failover-while-loading", "holds"),
        // Neither node is of any use after this: good rules say so.
        ("failed-load-forgotten", "unanswered: neither node can serve"),
    ] {
        let rules = format!("bug:{bug}");
        assert_eq!(colo(&["check", &rules], directory.path()).1, Some(1), "{bug}");
        let file = |extension| format!("colo-traces/bug-{bug}.output-commit.{extension}");
        let (printed, code) = colo(&["replay", &file("jsonl"), "--on", "real"], directory.path());
        assert!(
            code == Some(1) && printed.contains("VIOLATED   client history: contradicted"),
            "{bug}: {printed}"
        );
        let (printed, _) =
            colo(&["replay", &file("toml"), "--rules", "v12", "--on", "real"], directory.path());
        assert!(printed.contains(good) && !printed.contains("contradicted"), "{bug}: {printed}");
    }
}

#[test]
fn what_real_machines_cannot_do_is_said_before_they_are_started() {
    let directory = tempfile::tempdir().unwrap();
    let at = "at = \"primary checkpoint 1 after effect release\"";
    let plan = format!("schema = 1\n[[fault]]\n{at}\naction = \"fail-disk\"\nnode = \"primary\"\n");
    std::fs::write(directory.path().join("disk.toml"), plan).unwrap();
    std::fs::write(directory.path().join("empty.toml"), "schema = 1\n").unwrap();
    for (arguments, problem) in [
        (&["disk.toml", "--rules", "v12"][..], "fail-disk cannot be carried out on real machines"),
        (&["empty.toml", "--rules", "v12", "--seed", "3"], "--seed: nothing is drawn on real machines"),
    ] {
        let (printed, code) = colo(&[&["replay", "--on", "real"], arguments].concat(), directory.path());
        assert!(code == Some(2) && printed.contains(problem), "{printed}");
    }
}
