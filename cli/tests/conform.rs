//! `colo conform` from outside: what QEMU has sent, what colo has recorded, and what was tampered with.
#![expect(clippy::unwrap_used, reason = "a test may")]

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A directory with copies of a real QEMU's bytes, to be tampered with.
struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Copies a file of the captures.
    fn with(self, file: &str) -> Self {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/tests/data/qemu-7.2");
        std::fs::copy(data.join(file), self.path(file)).unwrap();
        self
    }

    fn with_capture(self, name: &str) -> Self {
        let ends = ["p2s.colo.bin", "s2p.bin", "p2s.idx", "s2p.idx"];
        ends.iter().fold(self, |bench, end| bench.with(&format!("{name}.{end}")))
    }

    fn change(&self, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = std::fs::read(self.path(file)).unwrap();
        change(&mut bytes);
        std::fs::write(self.path(file), bytes).unwrap();
    }

    fn colo(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_colo"));
        command.args(arguments).current_dir(self.directory.path()).output().unwrap()
    }

    /// The exit code, and the lines of JSON.
    fn judged(&self, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
        let output = self.colo(&[&["conform", "--json"], arguments].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    /// What a person reads.
    fn told(&self, arguments: &[&str]) -> String {
        let output = self.colo(&[&["conform"], arguments].concat());
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn what_a_real_qemu_sent_conforms_and_a_cut_is_seen_where_it_was() {
    let bench =
        Bench::new().with_capture("idle").with_capture("cut-after-reply").with_capture("cut-before-loaded");
    let files = ["idle", "cut-after-reply", "cut-before-loaded"]
        .map(|name| [format!("{name}.p2s.colo.bin"), format!("{name}.s2p.bin")]);
    let files: Vec<_> = files.iter().flatten().map(String::as_str).collect();
    let conforms = |events: u64, at: Value, next: &str| json!({ "schema": 1, "verdict": "conforms", "events": events, "at": at, "got": null, "accepted": [next] });
    let lines = vec![
        conforms(41, Value::Null, "checkpoint-request"),
        conforms(19, json!({ "offset": 1_843_872, "time_us": 8_563_033 }), "vmstate-send"),
        conforms(24, json!({ "offset": 36, "time_us": 8_262_653 }), "vmstate-loaded"),
    ];
    assert_eq!(bench.judged(&files), (Some(0), lines));
    let told = bench.told(&files[2..4]);
    assert!(told.contains("conforms to qemu: all 19 events are explained"), "{told}");
    assert!(told.contains("breaks off at byte 1,843,872 of the primary's stream, at 8.563033 s"), "{told}");
}

#[test]
fn a_message_that_qemu_would_not_send_there_is_named_with_what_it_would() {
    let bench = Bench::new().with_capture("idle");
    // The second vmstate-loaded becomes vmstate-received.
    bench.change("idle.s2p.bin", |bytes| bytes[27] = 5);
    let files = ["idle.p2s.colo.bin", "idle.s2p.bin"];
    let line = json!({
        "schema": 1, "verdict": "deviates", "events": 16, "at": { "offset": 24, "time_us": 11_530_955 },
        "got": "vmstate-received", "accepted": ["vmstate-loaded"],
    });
    assert_eq!(bench.judged(&files), (Some(1), vec![line]));
    assert_eq!(
        bench.told(&files),
        "record     idle.p2s.colo.bin and idle.s2p.bin\n\
         shows      what was on the link: 41 events\n\
         verdict    deviates from qemu: of 41 events the first 16 are explained\n\
         where      at byte 24 of the secondary's stream, at 11.530955 s\n\
         got        vmstate-received from the secondary\n\
         accepted   vmstate-loaded from the secondary\n"
    );
}

#[test]
fn an_index_may_be_given_and_none_may_be_missed() {
    let bench =
        Bench::new().with("idle.p2s.colo.bin").with("idle.s2p.bin").with("idle.p2s.idx").with("idle.s2p.idx");
    let rename = |from: &str, to: &str| std::fs::rename(bench.path(from), bench.path(to)).unwrap();
    rename("idle.p2s.colo.bin", "primary");
    rename("idle.s2p.bin", "secondary");
    // Without a name the first message says whose stream it is, without an index offsets are those of the file.
    bench.change("secondary", |bytes| bytes[27] = 5);
    for (files, at) in [
        (&["primary", "secondary"][..], json!({ "offset": 24, "time_us": null })),
        (
            &["secondary", "idle.s2p.idx", "primary", "idle.p2s.idx"],
            json!({ "offset": 24, "time_us": 11_530_955 }),
        ),
    ] {
        let (code, lines) = bench.judged(files);
        assert_eq!((code, lines.len(), &lines[0]["at"]), (Some(1), 1, &at), "{files:?}: {lines:?}");
    }
}

#[test]
fn a_counterexample_conforms_to_its_own_rules_and_shows_where_others_differ() {
    let bench = Bench::new();
    let checked = bench.colo(&[
        "check",
        "bug:release-at-suspend",
        "--outputs",
        "1",
        "--crashes",
        "1",
        "--trace-dir",
        ".",
    ]);
    assert_eq!(checked.status.code(), Some(1));
    let trace = "bug-release-at-suspend.output-commit.jsonl";
    let (code, lines) = bench.judged(&[trace]);
    assert_eq!((code, &lines[0]["verdict"]), (Some(0), &json!("conforms")), "{lines:?}");
    let (code, lines) = bench.judged(&[trace, "--rules", "v12"]);
    assert_eq!((code, &lines[0]["got"]), (Some(1), &json!("primary effect release 1")), "{lines:?}");
    // How long a pair waits between checkpoints is a setting of the run.
    std::fs::write(bench.path("slow.toml"), "base = \"bug:release-at-suspend\"\ncheckpoint_delay_ms = 7")
        .unwrap();
    assert_eq!(bench.judged(&[trace, "--rules", "slow.toml"]).0, Some(0));
    // Who sees messages only does not see what is released.
    let (code, lines) = bench.judged(&[trace, "--rules", "v12", "--messages"]);
    assert_eq!((code, &lines[0]["verdict"]), (Some(0), &json!("conforms")), "{lines:?}");
}

#[test]
fn a_trace_that_was_tampered_with_deviates_at_its_line() {
    let bench = Bench::new();
    bench.colo(&["check", "bug:release-at-suspend", "--outputs", "1", "--crashes", "1", "--trace-dir", "."]);
    let file = "bug-release-at-suspend.output-commit.jsonl";
    let text = std::fs::read_to_string(bench.path(file)).unwrap();
    let line = 1 + text.lines().position(|line| line.contains("vm-suspended")).unwrap();
    bench.change(file, |bytes| *bytes = text.replace("vm-suspended", "vm-locked").into_bytes());
    let told = bench.told(&[file]);
    assert!(told.contains("shows      all that both nodes did"), "{told}");
    assert!(told.contains(&format!("where      at line {line}, at 0.0000")), "{told}");
    assert!(told.contains("got        the primary is told vm-locked"), "{told}");
    assert!(told.contains("the primary is told vm-suspended"), "{told}");
}

#[test]
fn what_cannot_be_read_gets_exit_code_2_and_a_sentence() {
    let bench = Bench::new().with_capture("idle").with("cut-after-reply.p2s.idx");
    let write = |name: &str, text: &str| std::fs::write(bench.path(name), text).unwrap();
    write("empty", "");
    write("text", "checkpoint-request");
    write("header.jsonl", "{}\n");
    write("migration.p2s.bin", "QEVM");
    write("bad.idx", "1 2\n");
    for (arguments, sentence) in [
        (&[][..], "required arguments"),
        (&["no-such-file"], "no-such-file: No such file"),
        (&["."], "Is a directory"),
        (&["empty"], "neither a trace nor a capture"),
        (&["text"], "neither a trace nor a capture"),
        (&["header.jsonl"], "trace, line 1: missing field"),
        (&["migration.p2s.bin"], "a capture begins behind the initial migration"),
        (&["idle.p2s.idx"], "an index, expected behind the capture that it is of"),
        (&["idle.p2s.colo.bin", "bad.idx"], "bad.idx: line 1: expected microseconds"),
        (&["idle.s2p.bin", "--rules", "v13"], "there are no rules \"v13\""),
        (&["idle.s2p.bin", "no-such-file"], "no-such-file: No such file"),
    ] {
        let output = bench.colo(&[&["conform"], arguments].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(stderr.contains(sentence), "{arguments:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
    }
}

/// What the README promises is what is printed.
#[test]
fn the_readme_shows_a_cut_as_it_is_printed() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let (_, shown) = readme.split_once("$ colo conform ").unwrap();
    let (command, rest) = shown.split_once('\n').unwrap();
    let (printed, _) = rest.split_once("```").unwrap();
    let bench = Bench::new().with_capture("cut-before-loaded");
    assert_eq!(bench.told(&command.split(' ').collect::<Vec<_>>()), printed);
}
