//! `colo run` on rules under which both virtual machines execute: what is said of the comparison, what is judged, and what
//! is refused before anything runs.
#![expect(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::no_kvm;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const HYBRID: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/hybrid.toml");

/// What a command prints, and how it ends.
fn colo(arguments: &str, directory: &Path) -> (String, Option<i32>) {
    let arguments: Vec<_> =
        arguments.split(' ').map(|word| if word == "HYBRID" { HYBRID } else { word }).collect();
    let output =
        Command::new(env!("CARGO_BIN_EXE_colo")).args(arguments).current_dir(directory).output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (String::from_utf8(printed).unwrap(), output.status.code())
}

#[test]
fn a_run_says_what_was_compared_and_what_it_forced_and_its_record_conforms() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for (work, diverges) in
        [("--guest kv", false), ("--divergence 1/50 --seed 3", true), ("--guest clock", true)]
    {
        let run =
            format!("run HYBRID --memory-mib 16 --interval-ms 100 --checkpoints 8 {work} --trace run.jsonl");
        let (printed, code) = colo(&format!("{run} --json"), directory.path());
        assert_eq!(code, Some(0), "{work}: {printed}");
        let comparison = serde_json::from_str::<Value>(&printed).unwrap()["comparison"].clone();
        let count = |name: &str| comparison[name].as_u64().unwrap();
        assert!(count("released") > 0 && count("compared") >= count("released"), "{work}: {comparison}");
        assert_eq!(count("forced"), count("differences") + count("held_too_long"), "{work}: {comparison}");
        assert_eq!(count("forced") > 0, diverges, "{work}: {comparison}");
        let (printed, code) = colo("conform run.jsonl", directory.path());
        assert!(code == Some(0) && printed.contains("verdict    conforms"), "{work}: {printed}");
    }
    let run = "run HYBRID --memory-mib 16 --interval-ms 100 --checkpoints 3 --divergence 1/50 --seed 3";
    let (printed, _) = colo(run, directory.path());
    for words in ["left because they were the same", "by a difference", "guest lost", "seed 3"] {
        assert!(printed.contains(words), "{words}: {printed}");
    }
}

#[test]
fn failovers_of_a_hybrid_pair_lose_nothing_and_go_on_from_where_the_core_says() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for guest in ["kv", "clock"] {
        let run = format!(
            "run HYBRID --crash-points all --failovers 12 --memory-mib 16 --interval-ms 5 --guest {guest}"
        );
        let (printed, code) = colo(&run, directory.path());
        assert_eq!(code, Some(0), "{printed}");
        assert!(
            printed.contains("12 failovers: nothing that a client saw was lost or contradicted"),
            "{printed}"
        );
        // What a guest that tells the time does cannot be foreseen; of another, when a release comes depends on how fast its peer is.
        let not_predicted = printed.matches("not predicted").count();
        assert!(if guest == "clock" { not_predicted > 0 } else { not_predicted <= 2 }, "{printed}");
    }
}

#[test]
fn a_plan_for_both_guests_is_followed_by_real_ones() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = "at = \"primary checkpoint 0 after effect resume-vm\"";
    let plan = format!("schema = 1\n[[fault]]\n{at}\naction = \"diverge\"\n");
    std::fs::write(directory.path().join("diverge.toml"), plan).unwrap();
    let (printed, code) = colo("replay diverge.toml --rules HYBRID --on real", directory.path());
    assert!(code == Some(0) && printed.contains("outputs-differ"), "{printed}");
}

#[test]
fn what_means_nothing_is_refused_before_anything_runs() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, problem) in [
        ("run v12 --divergence 1/100", "--divergence: under v12 the secondary's guest does not execute"),
        ("run HYBRID --divergence 3/2", "expected N/M, so many of so many requests"),
        ("run HYBRID --divergence 1/0", "expected N/M, so many of so many requests"),
        ("run HYBRID --seed 3", "--seed: nothing is drawn, expected --load or --divergence"),
    ] {
        let (printed, code) = colo(arguments, directory.path());
        assert!(code == Some(2) && printed.contains(problem), "{arguments}: {printed}");
    }
}
