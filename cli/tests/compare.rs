//! `colo compare` from outside: the table, its exit codes, its JSON, and what bad input gets.
#![expect(clippy::unwrap_used, reason = "a test may")]

use colo_protocol::PRESETS;
use serde_json::Value;
use std::io::Read;
use std::process::{Command, Output, Stdio};

/// Bounds within which every preset is checked in a moment, and something is wrong with some.
const SMALL: [&str; 5] = ["--outputs=1", "--disk-writes=0", "--crashes=1", "--cuts=0", "--load-errors=0"];

fn colo(arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_colo"));
    command.args(arguments).current_dir(directory.path()).output().unwrap()
}

/// Compares within the small bounds.
fn compare(arguments: &[&str]) -> Output {
    colo(&[&["compare"], arguments, &SMALL].concat())
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The text without its virtual times: whoever changes what the simulator draws changes no table.
fn without_times(text: &str) -> String {
    let mask = |word: &str| match word.split_once('.') {
        Some((whole, tenths)) if (whole.to_owned() + tenths).bytes().all(|byte| byte.is_ascii_digit()) => {
            "#".repeat(word.len())
        }
        _ => word.to_owned(),
    };
    text.split(' ')
        .map(|words| words.split('\n').map(mask).collect::<Vec<_>>().join("\n"))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn variants_stand_side_by_side() {
    let output = compare(&["v12", "remus", "qemu", "bug:release-at-suspend", "bug:waits-for-a-manager"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = printed(&output);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    insta::assert_snapshot!("terminal", without_times(&text));
    let output = compare(&["v12", "bug:release-at-suspend", "--markdown"]);
    insta::assert_snapshot!("markdown", without_times(&printed(&output)));
}

#[test]
fn a_comparison_is_no_judgement_and_what_is_not_explored_is_said() {
    for (arguments, code) in [
        (&["v12", "bug:release-at-suspend"][..], 0),
        (&["v12", "bug:release-at-suspend", "--json"], 0),
        (&["v12", "--max-memory", "0"], 4),
        (&["v12", "--max-memory", "0", "--json"], 4),
        (&["v13"], 2),
        (&["v12", "no-such-file.toml"], 2),
        (&["v12", "--json", "--markdown"], 2),
        (&["v12", "--threads", "0"], 2),
        (&["v12", "--checkpoints", "many"], 2),
    ] {
        let output = compare(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    }
    let text = printed(&compare(&["v12", "--max-memory", "0"]));
    assert!(text.contains("v12: NOT all there is was explored"), "{text}");
    let error = String::from_utf8(compare(&["v13"]).stderr).unwrap();
    assert!(error.contains("no rules \"v13\"") && error.contains("late-release"), "{error}");
    let help = printed(&colo(&["compare", "--help"]));
    assert!(help.contains("Exit codes: a comparison is no judgement."), "{help}");
}

#[test]
fn json_has_every_field_and_the_presets_are_compared_when_nothing_is_named() {
    let output = compare(&["--json"]);
    let document = document(&output);
    assert_eq!(document["schema"], 1, "{document}");
    let rows = document["rows"].as_array().unwrap();
    let names: Vec<_> = rows.iter().map(|row| row["rules"].as_str().unwrap()).collect();
    assert_eq!(names, PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>());
    for row in rows {
        let row = row.as_object().unwrap();
        for field in ["safety", "liveness", "distinct", "pause_us", "transaction_us", "shortest"] {
            assert!(row.contains_key(field), "{field}: {row:?}");
        }
        assert_eq!((&row["messages_per_checkpoint"], &row["round_trips"]), (&6.into(), &2.into()));
        assert_eq!(row["complete"], true, "{row:?}");
    }
    let row = |name: &str| rows.iter().find(|row| row["rules"] == name).unwrap();
    let [v12, fast, remus, qemu] = ["v12", "fast", "remus", "qemu"].map(row);
    assert_eq!((&v12["safety"], &v12["shortest"]), (&"holds".into(), &Value::Null), "{v12}");
    let [v12_pause, fast_pause, remus_pause] =
        [v12, fast, remus].map(|row| row["pause_us"].as_u64().unwrap());
    assert!(v12_pause > 2 * fast_pause && fast_pause > remus_pause, "{document}");
    assert!(qemu["pause_us"].as_u64() > Some(0), "both of its VMs execute, and stand still: {qemu}");
}

#[test]
fn a_row_says_what_check_says() {
    let name = "bug:release-at-suspend";
    let check = document(&colo(&["check", name, "--json"]));
    let compared = document(&colo(&["compare", name, "--json"]));
    let row = &compared["rows"][0];
    let broken = |property: &&Value| property["verdict"] == "violated" && property["claimed"] == true;
    let broken: Vec<_> = check["properties"].as_array().unwrap().iter().filter(broken).collect();
    let violated = row["violated"].as_array().unwrap();
    assert_eq!((&row["distinct"], &row["safety"]), (&check["distinct"], &"violated".into()), "{row}");
    assert_eq!(broken.len(), violated.len(), "{row}");
    for (property, violation) in broken.iter().zip(violated) {
        assert_eq!((&property["name"], &property["length"]), (&violation["name"], &violation["length"]));
    }
    assert_eq!(row["shortest"].as_u64(), broken.iter().filter_map(|it| it["length"].as_u64()).min());
}

#[test]
fn a_liveness_bug_is_held_against_what_it_is_named_for() {
    let rows = document(&colo(&["compare", "bug:no-abort", "--json"]))["rows"].clone();
    assert_eq!((&rows[0]["safety"], &rows[0]["liveness"]), (&"holds".into(), &"violated".into()), "{rows}");
    // Where checkpoints are counted nothing is said of progress, and nothing is not "holds".
    let output = colo(&["compare", "v12", "--checkpoints", "1", "--json"]);
    let rows = document(&output)["rows"].clone();
    assert_eq!((output.status.code(), &rows[0]["liveness"]), (Some(0), &Value::Null), "{rows}");
}

#[test]
fn a_variant_of_ones_own_is_a_row() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("eager.toml");
    std::fs::write(&file, "base = \"remus\"\nrelease = \"after-loaded\"\n").unwrap();
    let rows = document(&compare(&["remus", file.to_str().unwrap(), "--json"]))["rows"].clone();
    assert_eq!(rows[1]["rules"].as_str(), file.to_str(), "{rows}");
    assert!(rows[0]["release_us"].as_u64() < rows[1]["release_us"].as_u64(), "{rows}");
}

#[test]
fn a_comparison_that_is_interrupted_says_what_it_has_seen() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_colo"));
    let mut child = command.args(["compare", "strict", "v12"]).stdout(Stdio::piped()).spawn().unwrap();
    // Long before so many states are explored, and after the handler is there.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let id = i32::try_from(child.id()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(id).unwrap(), rustix::process::Signal::INT)
        .unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(4), "{text}");
    for name in ["strict", "v12"] {
        assert!(text.contains(&format!("{name}: NOT all there is")), "{text}");
    }
}
