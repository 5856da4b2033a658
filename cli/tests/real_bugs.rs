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
    for (bug, seen, good) in [
        ("release-at-suspend", &["client history"][..], "holds"),
        ("failover-while-loading", &["client history"], "holds"),
        // A guest with half a checkpoint: it finds that its disk is another's, or its clients find out first. Neither node is
        // of any use after this: good rules say so.
        ("failed-load-forgotten", &["client history", "disk"], "unanswered: neither node can serve"),
    ] {
        let rules = format!("bug:{bug}");
        assert_eq!(colo(&["check", &rules], directory.path()).1, Some(1), "{bug}");
        let file = |extension| format!("colo-traces/bug-{bug}.output-commit.{extension}");
        let (printed, code) = colo(&["replay", &file("jsonl"), "--on", "real"], directory.path());
        let is_seen = seen.iter().any(|what| printed.contains(&format!("VIOLATED   {what}: contradicted")));
        assert!(code == Some(1) && is_seen, "{bug}: {printed}");
        let (printed, _) =
            colo(&["replay", &file("toml"), "--rules", "v12", "--on", "real"], directory.path());
        assert!(printed.contains(good) && !printed.contains("contradicted"), "{bug}: {printed}");
    }
}

/// The checker's counterexample to "disk": the survivor has the memory of a checkpoint, and the disk of the one before.
#[test]
fn new_memory_on_the_old_disk_is_seen_on_real_disks() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(colo(&["check", "bug:load-after-failover"], directory.path()).1, Some(1));
    let trace = "colo-traces/bug-load-after-failover.disk.jsonl";
    let (printed, code) = colo(&["replay", trace, "--on", "real"], directory.path());
    let found = printed.contains("VIOLATED   disk: ") && printed.contains("is missing");
    assert!(code == Some(1) && found, "{printed}");
}

/// The checker's counterexample to "shutdown": the guest has asked to be off, its primary goes on alone, and forgets it.
#[test]
fn a_guest_that_asked_to_be_off_in_vain_is_seen_on_real_machines() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let rules = "bug:forgotten-shutdown";
    assert_eq!(colo(&["check", rules], directory.path()).1, Some(1));
    let file = |extension| format!("colo-traces/bug-forgotten-shutdown.shutdown.{extension}");
    let (printed, code) = colo(&["replay", &file("jsonl"), "--on", "real"], directory.path());
    assert!(code == Some(1) && printed.contains("VIOLATED   shutdown: left on"), "{printed}");
    let again = ["replay", &file("toml"), "--rules", "v12", "--on", "real"];
    let (printed, code) = colo(&again, directory.path());
    assert!(code == Some(0) && printed.contains("  shut-down"), "{printed}");
}

/// A plan in which the guest is reset, and later wants to be off: the run ends with that, and is none the worse for it.
#[test]
fn a_guest_that_powers_off_ends_its_run() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let fault = |checkpoint: u8, action: &str| {
        let at = format!("at = \"primary checkpoint {checkpoint} after effect vmstate-size\"");
        format!("[[fault]]\n{at}\naction = \"{action}\"\nnode = \"primary\"\n")
    };
    let plan = format!("schema = 1\n{}{}", fault(2, "guest-reset"), fault(4, "guest-shutdown"));
    std::fs::write(directory.path().join("power.toml"), plan).unwrap();
    let run =
        "run v12 --plan power.toml --guest journal --memory-mib 16 --interval-ms 10 --json --trace run.jsonl";
    let words: Vec<_> = run.split(' ').collect();
    let (printed, code) = colo(&words, directory.path());
    let document: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let ends = [&document["verdict"], &document["powered_off"], &document["failovers"]];
    let expected = [&"holds".into(), &serde_json::json!(["primary", "secondary"]), &0.into()];
    assert_eq!((code, ends), (Some(0), expected), "{printed}");
    assert!(
        document["checkpoints"].as_u64().unwrap() < 10,
        "not the hundred of a run that goes on: {printed}"
    );
    let (printed, code) = colo(&["conform", "run.jsonl"], directory.path());
    assert_eq!(code, Some(0), "{printed}");
}

#[test]
fn a_plan_for_disks_needs_a_guest_with_a_disk() {
    let directory = tempfile::tempdir().unwrap();
    let at = "at = \"primary checkpoint 1 after effect release\"";
    let plan = format!("schema = 1\n[[fault]]\n{at}\naction = \"fail-disk\"\nnode = \"secondary\"\n");
    std::fs::write(directory.path().join("disk.toml"), plan).unwrap();
    let (printed, code) = colo(&["run", "v12", "--plan", "disk.toml"], directory.path());
    let expected = "fail-disk: this guest has no disk, expected --guest journal";
    assert!(code == Some(2) && printed.contains(expected), "{printed}");
    if no_kvm() {
        return;
    }
    let run = [
        "run",
        "v12",
        "--plan",
        "disk.toml",
        "--guest",
        "journal",
        "--memory-mib",
        "16",
        "--checkpoints",
        "3",
    ];
    let (printed, code) = colo(&[&run[..], &["--interval-ms", "10", "--json"]].concat(), directory.path());
    let document: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(
        (code, &document["verdict"], &document["failovers"]),
        (Some(0), &"holds".into(), &1.into()),
        "{printed}"
    );
    let of_the_disk = |what: &str| document["disk"][what].as_u64().unwrap();
    assert!(of_the_disk("writes") > 0 && of_the_disk("verified_blocks") > 0, "{printed}");
    assert!(of_the_disk("replicated_bytes") > 4096, "{printed}");
}

#[test]
fn images_are_left_where_they_were_asked_for_and_nowhere_else() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let run = [
        "run",
        "fast",
        "--guest",
        "journal",
        "--memory-mib",
        "16",
        "--checkpoints",
        "3",
        "--interval-ms",
        "10",
    ];
    let asked = [&run[..], &["--disk-dir", "disks"]].concat();
    let (printed, code) = colo(&asked, directory.path());
    assert_eq!(code, Some(0), "{printed}");
    let files = std::fs::read_dir(directory.path().join("disks")).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort_unstable();
    let expected =
        ["primary.image", "secondary.hidden-0", "secondary.hidden-1", "secondary.image", "secondary.intent"];
    assert_eq!(files, expected);
    // Somebody's disks are not written over.
    let (printed, code) = colo(&asked, directory.path());
    assert!(code != Some(0) && printed.contains("has disks in it already"), "{printed}");
}

#[test]
fn what_real_machines_cannot_do_is_said_before_they_are_started() {
    let directory = tempfile::tempdir().unwrap();
    let at = "at = \"primary checkpoint 1 after effect release\"";
    let plan =
        format!("schema = 1\n[[fault]]\n{at}\naction = \"slow-disk\"\nnode = \"primary\"\nfor_ms = 9\n");
    std::fs::write(directory.path().join("disk.toml"), plan).unwrap();
    std::fs::write(directory.path().join("empty.toml"), "schema = 1\n").unwrap();
    for (arguments, problem) in [
        (&["disk.toml", "--rules", "v12"][..], "slow-disk cannot be carried out on real machines"),
        (&["empty.toml", "--rules", "v12", "--seed", "3"], "--seed: nothing is drawn on real machines"),
    ] {
        let (printed, code) = colo(&[&["replay", "--on", "real"], arguments].concat(), directory.path());
        assert!(code == Some(2) && printed.contains(problem), "{printed}");
    }
}
