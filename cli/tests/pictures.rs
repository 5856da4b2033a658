//! What `colo check` leaves in files beside a verdict: pictures of the state graph, and states for other tools.
#![expect(clippy::unwrap_used, reason = "a test may")]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// One checkpoint, and nothing happens besides.
const QUIET: [&str; 12] = [
    "--checkpoints",
    "1",
    "--outputs",
    "0",
    "--disk-writes",
    "0",
    "--crashes",
    "0",
    "--cuts",
    "0",
    "--load-errors",
    "0",
];

fn check(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_colo"));
    command.arg("check").args(arguments).current_dir(directory).output().unwrap()
}

fn book(name: &str) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src");
    std::fs::read_to_string(source.join(name)).unwrap()
}

/// Whether to skip what needs graphviz; a skip is a failure where it is required.
fn no_graphviz() -> bool {
    if Command::new("dot").arg("-V").output().is_ok_and(|output| output.status.success()) {
        return false;
    }
    let required = std::env::var_os("COLO_REQUIRE_GRAPHVIZ").is_some_and(|value| value == "1");
    assert!(!required, "COLO_REQUIRE_GRAPHVIZ=1, but there is no dot");
    eprintln!("SKIPPED, no graph is drawn: no dot");
    true
}

/// What graphviz makes of a graph.
fn svg(file: &Path) -> String {
    let mut command = Command::new("dot");
    let output = command.arg("-Tsvg").arg(file).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The pieces of text in a graph, each as graphviz puts it into its picture.
fn texts(dot: &str) -> Vec<String> {
    let labels = dot.lines().filter_map(|line| line.split_once("label=\"")?.1.split_once('"'));
    let pieces = labels.flat_map(|(label, _)| label.split("\\n").flat_map(|part| part.split("\\l")));
    let escaped = |piece: &str| piece.replace('-', "&#45;").replace('\'', "&#39;");
    pieces.filter(|piece| !piece.is_empty()).map(escaped).collect()
}

fn assert_shows(picture: &str, dot: &str) {
    let texts = texts(dot);
    assert!(texts.len() > 50, "{texts:?}");
    for text in texts {
        assert!(picture.contains(&format!(">{text}</text>")), "{text}");
    }
}

#[test]
fn the_graph_in_the_book_is_the_one_that_the_checker_draws() {
    let directory = tempfile::tempdir().unwrap();
    let output = check(directory.path(), &[&["v12", "--dot", "phases.dot"], &QUIET[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let drawn = std::fs::read_to_string(directory.path().join("phases.dot")).unwrap();
    assert_eq!(book("phases.dot"), drawn);
    assert!(book("machines.md").contains(&format!("`colo check v12 {} --dot phases.dot`", QUIET.join(" "))));
}

#[test]
fn the_picture_in_the_book_is_of_the_graph_in_the_book() {
    assert_shows(&book("phases.svg"), &book("phases.dot"));
}

#[test]
fn graphviz_draws_both_graphs() {
    if no_graphviz() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let files = ["--dot", "phases.dot", "--dot-states", "states.dot"];
    check(directory.path(), &[&["bug:release-at-suspend"], &files[..], &QUIET[..], &["--json"]].concat());
    for name in ["phases.dot", "states.dot"] {
        let file = directory.path().join(name);
        assert_shows(&svg(&file), &std::fs::read_to_string(&file).unwrap());
    }
}

#[test]
fn a_graph_that_cannot_be_drawn_or_kept_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, problem) in [
        (["v12", "--dot-states", "states.dot"], "colo: --dot-states: more than 2000 states"),
        (["v12", "--dot", "no/such/directory.dot"], "colo: cannot write no/such/directory.dot: "),
    ] {
        let output = check(directory.path(), &arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.starts_with(problem), "{said}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_counterexample_has_its_states_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let output = check(directory.path(), &["bug:release-at-suspend", "--json"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let broken = &said["properties"][0];
    let trace = directory.path().join(broken["trace"].as_str().unwrap());
    let states = std::fs::read_to_string(trace.with_extension("itf.json")).unwrap();
    let states: Value = serde_json::from_str(&states).unwrap();
    assert_eq!(states["#meta"]["source"], "bug:release-at-suspend");
    assert_eq!(states["states"].as_array().unwrap().len() as u64, broken["length"].as_u64().unwrap() + 1);
}
