//! The command from outside: exit codes, what is printed, and what bad input gets.
#![expect(clippy::unwrap_used, reason = "a test may")]

mod common;

use colo_protocol::BUGS;
use common::no_kvm;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn colo(arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_str().unwrap();
    let whole = |word: &&str| {
        word.replace("DATA/", &format!("{project}/protocol/tests/data/qemu-7.2/"))
            .replace("EXAMPLES/", &format!("{project}/examples/"))
    };
    let arguments = arguments.iter().map(whole);
    Command::new(env!("CARGO_BIN_EXE_colo")).args(arguments).current_dir(directory.path()).output().unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn exit_codes_say_how_it_ended() {
    for (arguments, code) in [
        (&["check", "v12"][..], 0),
        (&["check", "bug:release-at-suspend"], 1),
        (&["check", "bug:failover-while-loading"], 1),
        (&["check", "v13"], 2),
        (&["check", "--checkpoints", "many"], 2),
        (&["check", "--max-depth", "5"], 4),
        (&["check", "strict", "--time-limit", "0"], 4),
        (&["check", "--time-limit", "soon"], 2),
        (&["check", "--allow-vacuous", "everything"], 2),
        (&["decode", "no-such-file"], 2),
        (&["decode", "."], 2),
        (&["sim", "--seeds", "5..5"], 2),
        (&["sim", "--seeds", "0..50"], 0),
        (&["sim", "bug:release-at-suspend", "--seed", "43"], 1),
        (&["rules"], 0),
        (&["rules", "--check"], 0),
        (&["run", "--plan", "no-such-file"], 2),
        (&["run", "--memory-mib", "0"], 2),
        (&["run", "--checkpoints", "0"], 2),
        (&["run", "--load", "0/s"], 2),
        (&["run", "--load", "10/s", "--clients", "2"], 2),
        (&["run", "--seed", "1"], 2),
        (&["run", "--soak", "soon"], 2),
        (&["report"], 2),
        (&["report", "no-such-file"], 2),
        (&["report", "/dev/null"], 2),
        (&["run", "--dirty-rate", "1000000/s"], 2),
        (&["run", "--guest", "dirtier"], 2),
        (&["run", "--guest", "mixed", "--dirty", "4096"], 2),
        (&["run", "--dirty-pattern", "hot"], 2),
        (&["run", "--dirty-pattern", "cold", "--dirty", "4096"], 2),
        (&["run", "--dirty", "4096", "--dirty-area", "17000000", "--memory-mib", "16"], 2),
        (&["run", "--unprotected", "--trace", "file"], 2),
        (&["sim", "--checkpoints", "18446744073709551615"], 2),
        (&["sim", "--seeds", "0..50", "--shard", "1/4294967295"], 2),
        (&["sim", "--seed", "3", "--shard", "1/2"], 2),
        (&["check", "--checkpoints", "256"], 2),
        (&["check", "--outputs", "-1"], 2),
        (&["check", "--max-memory", "0"], 4),
        (&["decode", "/dev/null"], 2),
    ] {
        let output = colo(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_counterexample_is_a_diagram_that_fits_a_terminal() {
    let text = printed(&colo(&["check", "bug:release-at-suspend"]));
    let diagram: Vec<_> = text.lines().skip_while(|line| !line.trim_start().starts_with("step ")).collect();
    assert!(text.contains("*** crash of the primary") && text.contains("!!! output commit"), "{text}");
    let rows = diagram.iter().take_while(|line| !line.is_empty());
    assert!(rows.clone().count() > 19 && rows.clone().all(|line| line.chars().count() <= 100), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert!(text.lines().last().unwrap().starts_with("trace"), "{text}");
}

#[test]
fn json_is_one_document_and_nothing_else() {
    let check: serde_json::Value = serde_json::from_slice(&colo(&["check", "v12", "--json"]).stdout).unwrap();
    for field in [
        "schema",
        "rules",
        "verdict",
        "properties",
        "generated",
        "distinct",
        "transitions",
        "depth",
        "seconds",
        "cpu_seconds",
        "bytes_per_state",
        "collision_probability",
        "bounds",
        "never_fired",
        "transitions_taken",
    ] {
        assert!(!check[field].is_null(), "{field}: {check}");
    }
    assert_eq!((check["verdict"].as_str(), check["schema"].as_u64()), (Some("holds"), Some(1)));
    let rules: serde_json::Value =
        serde_json::from_slice(&colo(&["rules", "--check", "--json"]).stdout).unwrap();
    let bugs = rules["bugs"].as_array().unwrap();
    let with = |status: &str| bugs.iter().filter(|bug| bug["status"] == status).count();
    assert_eq!((with("missed"), with("deferred")), (0, 0), "{rules}");
    assert_eq!(with("found") + with("not-expressible"), bugs.len());
    let by_rules = bugs.iter().filter(|bug| !bug["field"].is_null() && bug["status"] == "found").count();
    assert_eq!(by_rules, BUGS.len(), "{rules}");
    for bug in bugs {
        let found =
            bug["status"] == "found" && bug["length"].as_u64() > Some(0) && bug["seconds"].is_number();
        assert!(found || !bug["reason"].as_str().unwrap().is_empty(), "{bug}");
    }
}

#[test]
fn real_qemu_bytes_decode_at_their_offsets() {
    let text = printed(&colo(&["decode", "DATA/idle.p2s.colo.bin", "--base-offset", "1670133"]));
    let requests: Vec<_> = text.lines().filter(|line| line.contains("checkpoint-request")).collect();
    let offsets: Vec<_> = requests.iter().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(offsets, ["1670133", "1691340", "1708436", "1729636", "1750836"]);
}

#[test]
fn a_capture_from_the_middle_of_a_block_needs_the_blocks_name() {
    let capture = "DATA/tcg-first-checkpoint.p2s.first-page.bin";
    let without = colo(&["decode", capture]);
    let error = String::from_utf8(without.stderr).unwrap();
    assert_eq!(without.status.code(), Some(2));
    assert!(error.contains("expected a block name") && error.contains("--block"), "{error}");
    // The capture is cut behind its first page: that is said, and what came before is printed.
    let with = colo(&["decode", capture, "--block", "pc.ram"]);
    assert!(printed(&with).contains("1 page, "), "{with:?}");
    assert!(String::from_utf8(with.stderr).unwrap().contains("the stream ended"));
}

#[test]
fn garbage_is_named_with_its_offset_and_what_came_before_is_not_lost() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("garbage");
    // checkpoint-request, then a number that no message has.
    std::fs::write(&file, [0, 0, 0, 1, 0, 0, 0, 99]).unwrap();
    let output = colo(&["decode", file.to_str().unwrap()]);
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains("offset 4") && error.contains("99"), "{error}");
    assert!(printed(&output).contains("checkpoint-request"), "{output:?}");
}

#[test]
fn a_check_that_is_interrupted_says_what_it_has_seen() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_colo"));
    let mut child = command.args(["check", "strict"]).stdout(Stdio::piped()).spawn().unwrap();
    // Long before so many states are explored, and after the handler is there.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let id = i32::try_from(child.id()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(id).unwrap(), rustix::process::Signal::INT)
        .unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(4), "{text}");
    assert!(text.contains("NOT all there is"), "{text}");
}

#[test]
fn a_check_that_has_no_time_left_says_what_it_has_seen() {
    let output = colo(&["check", "strict", "--time-limit", "300ms", "--coverage"]);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.contains("NOT all there is") && text.contains("verdict    incomplete"), "{text}");
    assert!(text.contains(" primary    wait-ready "), "{text}");
}

/// A budget that these rules cannot spend: the check says so, and fails, unless that is accepted.
#[test]
fn what_is_vacuous_fails_the_check_unless_it_is_accepted_by_name() {
    let check = |accepted: &[&str]| {
        let bounds = ["check", "v12", "--outputs", "1", "--disk-writes", "0", "--mismatches", "1"];
        colo(&[&bounds[..], accepted].concat())
    };
    let output = check(&[]);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.contains("           never reached: any of mismatches\n"), "{text}");
    let verdict = "verdict    v12 is vacuous, and nothing claimed: any of mismatches\n";
    assert!(text.contains(verdict), "{text}");
    let json: serde_json::Value = serde_json::from_slice(&check(&["--json"]).stdout).unwrap();
    assert_eq!(
        (&json["verdict"], &json["never_fired"][0]),
        (&"incomplete".into(), &"any of mismatches".into())
    );

    let output = check(&["--allow-vacuous", "any of mismatches"]);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("excused    any of mismatches: --allow-vacuous\n"), "{text}");

    let output = check(&["--allow-vacuous", "any of missmatches"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("any of missmatches") && error.contains("single server; "), "{error}");
}

#[test]
fn every_transition_is_in_the_table_and_in_the_document() {
    let text = printed(&colo(&["check", "v12", "--coverage"]));
    let rows = text.lines().skip(1).take_while(|line| !line.is_empty());
    let json: serde_json::Value = serde_json::from_slice(&colo(&["check", "v12", "--json"]).stdout).unwrap();
    let transitions = json["transitions_taken"].as_array().unwrap();
    assert_eq!(rows.clone().count(), transitions.len());
    for (row, transition) in rows.zip(transitions) {
        let words: Vec<_> = row.split_whitespace().collect();
        assert_eq!(words[..4].join(" "), transition["name"].as_str().unwrap());
        assert_eq!(words[4].replace(',', ""), transition["times"].to_string());
        assert!(transition["times"].as_u64() > Some(0) && transition["required"] == true, "{transition}");
    }
    let all = transitions.len();
    assert!(text.contains(&format!("\ntaken      {all} of {all} transitions\n")), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert!(text.contains("\nscope      crash, cut, failed load\nbounds     "), "{text}");
}

#[test]
fn nothing_is_taken_for_something() {
    let directory = tempfile::tempdir().unwrap();
    for (name, content, problem) in [
        ("empty.toml", &b""[..], "there is nothing in it"),
        ("other.toml", b"\xff\xfe", "expected rules in TOML"),
        ("third.toml", b"base = \"v12\"\n\ndeferral = 3", "line 3"),
    ] {
        let file = directory.path().join(name);
        std::fs::write(&file, content).unwrap();
        let output = colo(&["check", file.to_str().unwrap()]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && error.contains(problem), "{error}");
    }
    let missing = colo(&["check", "rules/missing.toml"]);
    assert!(String::from_utf8(missing.stderr).unwrap().contains("No such file"));
}

#[test]
fn a_verdict_is_not_lost_with_a_file_that_cannot_be_written() {
    for arguments in [
        &["check", "bug:release-at-suspend", "--trace-dir", "/proc/none"][..],
        &["sim", "bug:release-at-suspend", "--seed", "43", "--plan-dir", "/proc/none"],
    ] {
        let output = colo(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(printed(&output).contains("output commit"), "{output:?}");
        assert!(String::from_utf8(output.stderr).unwrap().contains("cannot write"));
    }
}

#[test]
fn a_fault_that_never_came_proves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let plan = directory.path().join("plan.toml");
    let fault = "[[fault]]\nat = \"primary checkpoint 99 during effect send-ram\"\naction = \"cut\"\n";
    std::fs::write(&plan, format!("schema = 1\n{fault}")).unwrap();
    assert_eq!(colo(&["sim", "--seed", "1", "--plan", plan.to_str().unwrap()]).status.code(), Some(4));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_colo"));
    let mut child =
        command.args(["sim", "--seeds", "0..200", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    // And no reason to call fine what is violated.
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_colo"));
    command.current_dir(directory.path()).args([
        "sim",
        "bug:release-at-suspend",
        "--seeds",
        "0..200",
        "--json",
    ]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_variant_is_a_file_and_a_misspelt_field_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (good, bad) = (directory.path().join("good.toml"), directory.path().join("bad.toml"));
    std::fs::write(&good, "base = \"v12\"\ndeferral = \"never\"\n").unwrap();
    std::fs::write(&bad, "base = \"v12\"\ndeferal = \"never\"\n").unwrap();
    assert_eq!(colo(&["check", good.to_str().unwrap()]).status.code(), Some(1));
    let output = colo(&["check", bad.to_str().unwrap()]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains("unknown field `deferal`"), "{error}");
}

#[test]
fn a_real_primary_dies_in_mid_transfer_and_no_client_notices_unless_output_left_too_early() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let plan = directory.path().join("plan.toml");
    let text = "schema = 1\n[[fault]]\nat = \"primary checkpoint 3 during effect send-ram\"\naction = \"crash\"\nnode = \"primary\"\n";
    std::fs::write(&plan, text).unwrap();
    for (rules, code) in [("v12", 0), ("remus", 0), ("bug:release-at-suspend", 1)] {
        let plan = plan.to_str().unwrap();
        let output =
            colo(&["run", rules, "--memory-mib", "16", "--interval-ms", "10", "--plan", plan, "--json"]);
        let outcome: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (output.status.code(), outcome["failovers"].as_u64()),
            (Some(code), Some(1)),
            "{rules}: {outcome}"
        );
    }
}

/// The document of a short run under load.
fn under_load(arguments: &[&str]) -> serde_json::Value {
    let run =
        ["run", "--load", "500/s", "--seed", "7", "--memory-mib", "16", "--interval-ms", "40", "--json"];
    let output = colo(&[&run, arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_request_under_protection_waits_for_a_checkpoint_and_without_for_nothing() {
    if no_kvm() {
        return;
    }
    let protected = under_load(&["--soak", "2s"]);
    let unprotected = under_load(&["--soak", "2s", "--unprotected"]);
    let median = |document: &serde_json::Value| document["latency_us"]["p50"].as_u64().unwrap();
    // Half of the interval, on average; a loaded machine makes it longer, and nothing makes it shorter.
    assert!(median(&protected) > 15_000, "{protected}");
    assert!(median(&unprotected) < 15_000, "{unprotected}");
    let asked = |document: &serde_json::Value| document["latency_us"]["count"].as_u64().unwrap();
    for document in [&protected, &unprotected] {
        assert!((850..1_150).contains(&asked(document)), "{document}");
        assert_eq!(document["linearizable"]["operations"].as_u64(), Some(asked(document)));
        assert_eq!(document["soak"]["problem"], serde_json::Value::Null, "{document}");
        let slices = document["slices"].as_array().unwrap();
        let sum = slices.iter().filter_map(|slice| slice["latency_us"]["count"].as_u64()).sum::<u64>();
        assert_eq!(sum, asked(document));
    }
    assert!(protected["soak"]["memory"].as_array().unwrap().len() == 2, "{protected}");
    assert_eq!((&protected["protected"], &unprotected["protected"]), (&true.into(), &false.into()));
}

#[test]
fn a_run_is_drawn_from_its_document_and_from_its_trace() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let [document, trace, picture] =
        ["run.json", "run.jsonl", "picture.svg"].map(|name| directory.path().join(name));
    let under_load = under_load(&["--soak", "1s", "--dirty", "40960", "--trace", trace.to_str().unwrap()]);
    std::fs::write(&document, under_load.to_string()).unwrap();
    let files = [document.to_str().unwrap(), trace.to_str().unwrap(), "--out", picture.to_str().unwrap()];
    let output = colo(&[&["report"][..], &files].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let drawn = std::fs::read_to_string(picture).unwrap();
    for named in ["run (v12, every 40 ms)", "run (v12, output held back)", "dirty memory of a checkpoint"] {
        assert!(drawn.contains(named), "{named}: {drawn}");
    }
}

#[test]
fn requests_that_are_open_when_the_primary_dies_are_answered_and_told_apart() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let plan = directory.path().join("plan.toml");
    let text = "schema = 1\n[[fault]]\nat = \"primary checkpoint 9 during effect send-ram\"\naction = \"crash\"\nnode = \"primary\"\n";
    std::fs::write(&plan, text).unwrap();
    let outcome = under_load(&["--plan", plan.to_str().unwrap(), "--soak", "1s"]);
    assert_eq!(outcome["failovers"].as_u64(), Some(1), "{outcome}");
    let open = outcome["at_failover_us"]["count"].as_u64().unwrap();
    assert!((1..400).contains(&open), "{outcome}");
    assert!(outcome["lasted_ms"].as_u64().unwrap() >= 1_000, "{outcome}");
}

#[test]
fn the_examples_do_what_they_are_said_to_do() {
    for (arguments, code) in [
        (&["check", "EXAMPLES/eager-failover.toml"][..], 1),
        (&["check", "EXAMPLES/hybrid.toml", "--disk-writes", "0"], 0),
        (&["sim", "--seed", "1", "--plan", "EXAMPLES/primary-dies-in-mid-transfer.toml"], 0),
        (&["sim", "strict", "--seed", "1", "--plan", "EXAMPLES/link-cut-and-arbiter.toml"], 0),
    ] {
        let output = colo(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    }
}
