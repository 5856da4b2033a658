//! Sweeps from outside: shards, merging, resuming, time, reports, what is kept of the first failure.
#![expect(clippy::unwrap_used, reason = "a test may")]

use colo_real::can_strike;
use colo_trace::Regression;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

fn colo(directory: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_colo"));
    command.args(arguments).current_dir(directory.path()).output().unwrap()
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn run(directory: &TempDir, line: &str, code: i32) -> String {
    let output = colo(directory, &words(line));
    assert_eq!(output.status.code(), Some(code), "colo {line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn temporary() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The last line of a sweep.
fn ending(lines: &str) -> Value {
    serde_json::from_str(lines.lines().last().unwrap()).unwrap()
}

fn read(directory: &TempDir, file: &str) -> String {
    std::fs::read_to_string(directory.path().join(file)).unwrap()
}

fn write(directory: &TempDir, file: &str, text: &str) {
    std::fs::write(directory.path().join(file), text).unwrap();
}

#[test]
fn shards_add_up_to_the_whole_sweep() {
    let directory = temporary();
    let whole = ending(&run(&directory, "sim --seeds 0..300 --json", 0));
    for part in ["1", "2", "3"] {
        run(&directory, &format!("sim --seeds 0..300 --shard {part}/3 --out {part}.jsonl"), 0);
    }
    let merged = ending(&run(&directory, "sim merge 3.jsonl 1.jsonl 2.jsonl --json", 0));
    assert_eq!(merged, whole);
    assert_eq!(
        (merged["seeds"].to_string(), &merged["complete"]),
        ("[[0,300]]".to_owned(), &Value::Bool(true))
    );
    let gap = colo(&directory, &words("sim merge 3.jsonl 1.jsonl"));
    let told = String::from_utf8(gap.stderr).unwrap();
    assert!(gap.status.code() == Some(4) && told.contains("none of the files has the seeds"), "{told}");
    let again = colo(&directory, &words("sim v12 --seeds 0..2 --out 3.jsonl"));
    let told = String::from_utf8(again.stderr).unwrap();
    assert!(again.status.code() == Some(2) && told.contains("there are lines in it already"), "{told}");
    let text = run(&directory, "sim merge 3.jsonl 1.jsonl 2.jsonl", 0);
    assert!(text.contains("seeds      0..300\n") && text.contains("300 runs"), "{text}");
}

#[test]
fn what_does_not_belong_together_is_named_with_file_and_line() {
    let directory = temporary();
    run(&directory, "sim --seeds 0..20 --out one.jsonl", 0);
    run(&directory, "sim --seeds 10..30 --out other.jsonl", 0);
    run(&directory, "sim --seeds 20..30 --clients 2 --out clients.jsonl", 0);
    run(&directory, "sim remus --seeds 20..30 --out remus.jsonl", 0);
    let one = read(&directory, "one.jsonl");
    write(&directory, "broken.jsonl", &one.replacen("\"seed\":3,", "\"seed\":\"x\",", 1));
    write(&directory, "schema.jsonl", &one.replacen("\"schema\":1", "\"schema\":9", 1));
    write(&directory, "cut.jsonl", &one[..one.len() / 2]);
    write(&directory, "twice.jsonl", &format!("{one}{one}"));
    write(&directory, "no.jsonl", "hello\n");
    write(&directory, "nothing.jsonl", "");
    for (files, problem) in [
        ("one.jsonl other.jsonl", "other.jsonl: line 1: seed 10 was run already"),
        ("one.jsonl one.jsonl", "one.jsonl: line 1: seed 0 was run already"),
        ("one.jsonl clients.jsonl", "clients.jsonl: line 1: a run of v12 with other rules or other flags"),
        ("one.jsonl remus.jsonl", "remus.jsonl: line 1: a run of remus with other rules or other flags"),
        ("broken.jsonl", "broken.jsonl: line 4: "),
        ("schema.jsonl", "schema.jsonl: line 1: schema 9, expected 1"),
        ("cut.jsonl", "cut.jsonl: the last line is cut off"),
        ("twice.jsonl", "twice.jsonl: line 22: it stands behind the summary"),
        ("no.jsonl", "no.jsonl: line 1: expected value"),
        ("nothing.jsonl", "there is no run in any of the files"),
        ("none.jsonl", "none.jsonl: No such file"),
    ] {
        let output = colo(&directory, &words(&format!("sim merge {files}")));
        assert_eq!(output.status.code(), Some(2), "{files}: {output:?}");
        assert!(told(&output).contains(problem), "{files}: {}", told(&output));
    }
}

#[test]
fn a_sweep_that_was_cut_off_goes_on_where_it_was() {
    let directory = temporary();
    let whole = run(&directory, "sim --seeds 0..120 --out whole.jsonl --json", 0);
    assert_eq!(read(&directory, "whole.jsonl"), whole);
    let cut = |bytes: usize| write(&directory, "cut.jsonl", &whole[..bytes]);
    // In the middle of a line, at the end of one, before anything, in the summary, and behind it.
    let lines: Vec<_> = whole.match_indices('\n').map(|(at, _)| at + 1).collect();
    for bytes in [lines[40] + 30, lines[40], 0, lines[119] + 5, whole.len()] {
        cut(bytes);
        let text = run(&directory, "sim --seeds 0..120 --resume cut.jsonl", 0);
        assert_eq!(read(&directory, "cut.jsonl"), whole, "cut off at {bytes}");
        assert!(text.contains("seeds      0..120\n"), "{text}");
    }
    cut(lines[40]);
    for (line, problem) in [
        (
            "sim --seeds 0..30 --resume cut.jsonl",
            "cut.jsonl: it has seeds 0..41, expected seeds of 0..30 only",
        ),
        ("sim --seeds 0..120 --clients 1 --resume cut.jsonl", "cut.jsonl: line 1: a run of v12 with other"),
        ("sim --seeds 0..120 --resume none.jsonl", "none.jsonl: No such file"),
        ("sim --resume cut.jsonl", "--seeds"),
        ("sim --seeds 0..120 --resume cut.jsonl --out other.jsonl", "cannot be used with"),
    ] {
        let output = colo(&directory, &words(line));
        assert!(output.status.code() == Some(2) && told(&output).contains(problem), "{line}: {output:?}");
    }
}

#[test]
fn time_ends_a_sweep() {
    let directory = temporary();
    // Without seeds, as many as there is time for: that is what was asked for.
    let text = run(&directory, "sim --time 1s --no-shrink --out timed.jsonl", 0);
    assert!(text.contains("holds in every run"), "{text}");
    assert_eq!(ending(&read(&directory, "timed.jsonl"))["complete"], true);
    // With seeds it is a limit.
    let text = run(&directory, "sim --time 1s --seeds 0..1000000000 --out limited.jsonl", 4);
    assert!(text.contains("stopped    before the last seed"), "{text}");
    let ending = ending(&read(&directory, "limited.jsonl"));
    assert!(ending["complete"] == false && ending["summary"]["runs"].as_u64().unwrap() > 10, "{ending}");
    run(&directory, "sim merge limited.jsonl", 4);
    run(&directory, "sim --time 10", 2);
    run(&directory, "sim --time 1s --seed 3", 2);
}

#[test]
fn an_interrupted_sweep_says_what_it_has_seen_and_can_go_on() {
    let directory = temporary();
    let mut command = Command::new(env!("CARGO_BIN_EXE_colo"));
    command.args(words("sim --seeds 0..1000000000 --out lines.jsonl")).current_dir(directory.path());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(700));
    let id = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let output = child.stdout.take();
    assert_eq!(child.wait().unwrap().code(), Some(4));
    let text = std::io::read_to_string(output.unwrap()).unwrap();
    assert!(text.contains("stopped    before the last seed"), "{text}");
    let runs = ending(&read(&directory, "lines.jsonl"))["summary"]["runs"].as_u64().unwrap();
    let seeds = format!("sim --seeds 0..{} --resume lines.jsonl", runs + 10);
    let text = run(&directory, &seeds, 0);
    assert!(text.contains(&format!("seeds      0..{}\n", runs + 10)), "{text}");
}

#[test]
fn the_first_failure_of_a_sweep_is_shrunk_and_replayed_by_the_command_that_is_printed() {
    let directory = temporary();
    let text = run(&directory, "sim bug:release-at-suspend --seeds 12..60", 1);
    assert!(text.contains("The shortest plan that breaks the same"), "{text}");
    let last = text.lines().last().unwrap();
    let file = last.strip_prefix("regression ").unwrap();
    assert!(file.starts_with("regressions/bug-release-at-suspend.output-commit."), "{file}");
    let again = text.lines().rev().find_map(|line| line.strip_prefix("again      colo ")).unwrap();
    let replayed = run(&directory, again, 1);
    assert!(replayed.contains("VIOLATED   output commit"), "{replayed}");
    run(&directory, &format!("replay {file} --on sim --rules v12"), 0);
    run(&directory, &format!("sim v12 --seed 7 --plan {file}"), 2);
    run(&directory, &format!("replay {file} --on model"), 1);
    let json = run(&directory, "sim bug:release-at-suspend --seeds 12..60 --json", 1);
    let shrunk = &ending(&json)["shrunk"];
    assert!(shrunk["faults"].as_array().unwrap().len() == 1 && shrunk["complete"] == true, "{shrunk}");
}

#[test]
fn shrinking_can_be_left_out_and_asked_for() {
    let directory = temporary();
    let text = run(&directory, "sim bug:release-at-suspend --seeds 12..60 --no-shrink", 1);
    assert!(!text.contains("The shortest") && !directory.path().join("regressions").exists(), "{text}");
    assert!(text.lines().last().unwrap().contains(" --plan colo-plans/"), "{text}");
    run(&directory, "sim bug:release-at-suspend --seed 7", 1);
    assert!(!directory.path().join("regressions").exists());
    let text = run(&directory, "sim bug:release-at-suspend --seed 7 --shrink --regression-dir kept", 1);
    assert!(text.contains("regression kept/bug-release-at-suspend.output-commit.7.toml"), "{text}");
}

#[test]
fn a_rare_path_that_no_run_took_is_named_and_can_be_required() {
    let directory = temporary();
    let text = run(&directory, "sim --seeds 0..3 --out few.jsonl", 0);
    assert!(text.contains("\nnever      a failover was deferred\n"), "{text}");
    run(&directory, "sim --seeds 0..3 --require-sometimes", 1);
    run(&directory, "sim merge few.jsonl --require-sometimes", 1);
    run(&directory, "sim --seeds 0..2000 --require-sometimes", 0);
    let text = run(&directory, "sim --seeds 0..2000 --require-occasions", 1);
    assert!(text.contains("\nunstruck   ") && text.contains("\nrequired   "), "{text}");
    run(&directory, "sim --seed 1 --require-sometimes", 2);
}

#[test]
fn a_sweep_is_a_report_that_ci_systems_read() {
    let directory = temporary();
    run(&directory, "sim bug:release-at-suspend --seeds 0..40 --no-shrink --junit report.xml", 1);
    let report = read(&directory, "report.xml");
    for part in [
        "<testsuite name=\"colo sim bug:release-at-suspend\"",
        "type=\"output commit\"",
        "again: colo sim bug:release-at-suspend --seed ",
        "plan: colo-plans/bug-release-at-suspend.",
        "<testcase name=\"seeds 0..4\"",
        "<testcase name=\"sometimes: the link stalled\"",
        "<skipped/>",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    let required = "--require-sometimes --require-occasions";
    run(&directory, &format!("sim --seeds 0..3 {required} --junit required.xml"), 1);
    let report = read(&directory, "required.xml");
    for part in ["in no run of 3", "<testcase name=\"occasion: crash of the primary in saving\""] {
        assert!(report.contains(part), "{part}: {report}");
    }
}

#[test]
fn a_fault_at_every_point_is_counted_and_what_fails_is_a_plan() {
    let directory = temporary();
    let text = run(&directory, "sim --enumerate --seed 8 --checkpoints 2", 0);
    for part in [
        "points     ",
        "effects    primary: arm-checkpoint-timer ",
        "in RAM ",
        "holds, whatever fails wherever",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    let json =
        run(&directory, "sim bug:failover-while-loading --enumerate --seed 1 --checkpoints 1 --json", 1);
    let document: Value = serde_json::from_str(&json).unwrap();
    let failed = document["failed"].as_array().unwrap();
    assert_eq!(failed.len() as u64, document["violated"].as_u64().unwrap());
    assert!(document["effects"]["secondary"]["load-state"].as_u64() > Some(2), "{document}");
    let plan = failed[0]["plan"].as_str().unwrap();
    run(&directory, &format!("replay {plan} --on sim"), 1);
    run(&directory, "sim --enumerate --seeds 0..5", 2);
}

#[test]
fn a_replay_stops_where_it_is_told_and_shows_what_the_pair_is() {
    let directory = temporary();
    run(&directory, "sim bug:release-at-suspend --seeds 12..60", 1);
    let entry = std::fs::read_dir(directory.path().join("regressions")).unwrap().next().unwrap().unwrap();
    let file = entry.path();
    let replay = |more: &[&str], code: i32| {
        let arguments = [&["replay", file.to_str().unwrap(), "--on", "sim"], more].concat();
        let output = colo(&directory, &arguments);
        assert_eq!(output.status.code(), Some(code), "{more:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let all = replay(&["--show", "state"], 1);
    assert!(all.contains("    1 ") && all.contains("VIOLATED   output commit"), "{all}");
    assert!(all.contains("failover none") && all.contains("waiting start-replication"), "{all}");
    assert!(all.lines().all(|line| line.chars().count() <= 100), "{all}");
    let point = "primary checkpoint 1 after effect suspend-vm";
    let some = replay(&["--until", point, "--show", "state"], 4);
    assert!(some.contains("stopped after step") && some.contains("both ends open"), "{some}");
    assert_eq!(some.matches("      link  ").count(), 1, "{some}");
    let json: Value =
        serde_json::from_str(&replay(&["--until", "5", "--show", "state", "--json"], 4)).unwrap();
    assert_eq!((json["events"].as_array().unwrap().len(), json["states"].as_array().unwrap().len()), (5, 1));
    assert_eq!(json["states"][0]["deviation"], Value::Null);
    replay(&["--until", "primary checkpoint 99 after effect release"], 4);
    replay(&["--until", "somewhere"], 2);
    replay(&["--show", "everything"], 2);
}

/// What is committed is the same file for the simulator and for real machines, which refuse faults that they do not have.
#[test]
fn kept_regressions_are_plans_for_real_machines_too() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../regressions");
    if let Err(error) = colo_real::kvm_usable() {
        let required = std::env::var_os("COLO_REQUIRE_KVM").is_some_and(|value| value == "1");
        assert!(!required, "COLO_REQUIRE_KVM=1, but: {error}");
        eprintln!("SKIPPED, no real virtual machines: {error}");
        return;
    }
    let directory = temporary();
    let mut strike = 0;
    for entry in std::fs::read_dir(kept).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let Regression { head, plan } =
            Regression::from_toml(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let can_be = plan.faults.iter().all(|fault| can_strike(fault.action.kind()));
        let size = "--memory-mib 16 --interval-ms 10 --checkpoints 5 --plan";
        let line = format!("run {} {size} {}", head.rules, file.display());
        let output = colo(&directory, &words(&line));
        // Whether a client noticed is up to the machines. Where no gate says so, what a plan waits for need not come: a node
        // may have learned of a death before, and no survivor is protected again.
        let (code, told) = (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap());
        strike += u32::from(code < 2);
        let expected: &[i32] = if can_be { &[0, 1, 4] } else { &[2] };
        assert!(expected.contains(&code), "{line}: {told}");
        assert_eq!(code == 4, told.contains("the run never came there"), "{line}: {told}");
    }
    assert!(strike >= 5, "{strike}");
}

/// The same line serves a batch scheduler's array: a shard a task.
#[test]
fn gnu_parallel_runs_shards_side_by_side() {
    if Command::new("parallel").arg("--version").stdout(Stdio::null()).status().is_err() {
        let required = std::env::var_os("COLO_REQUIRE_PARALLEL").is_some_and(|value| value == "1");
        assert!(!required, "COLO_REQUIRE_PARALLEL=1, but there is no parallel");
        eprintln!("SKIPPED, no GNU parallel: nothing runs shards side by side");
        return;
    }
    let directory = temporary();
    let whole = ending(&run(&directory, "sim strict --seeds 0..200 --json", 0));
    let shard = "sim strict --seeds 0..200 --shard {}/2 --jobs 1 --out shard-{}.jsonl";
    let mut command = Command::new("parallel");
    command.args(["--jobs", "2", env!("CARGO_BIN_EXE_colo")]).args(words(shard)).args([":::", "1", "2"]);
    let output = command.current_dir(directory.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let merged = ending(&run(&directory, "sim merge shard-1.jsonl shard-2.jsonl --json", 0));
    assert_eq!(merged, whole);
}

/// The script of the Kubernetes example, as its pods run it: a pod that is lost goes on in the next one.
#[test]
fn the_shards_of_the_kubernetes_job_are_the_whole_sweep() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/kubernetes/sweep.yaml");
    let job = std::fs::read_to_string(file).unwrap();
    let (_, rest) = job.split_once("            - |\n").unwrap();
    let script: Vec<_> = rest.lines().map_while(|line| line.strip_prefix("              ")).collect();
    let script = script.join("\n");
    let directory = temporary();
    let commands = Path::new(env!("CARGO_BIN_EXE_colo")).parent().unwrap();
    let pod = |index: &str| {
        let mut command = Command::new("sh");
        let path = format!("{}:{}", commands.display(), std::env::var("PATH").unwrap());
        command.args(["-c", &script]).env("PATH", path).env("JOB_COMPLETION_INDEX", index);
        command.env("RULES", "v12").env("SEEDS", "0..90").env("SHARDS", "3").env("SWEEP", directory.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    ["0", "1", "2"].into_iter().for_each(pod);
    let whole = read(&directory, "shard-2.jsonl");
    write(&directory, "shard-2.jsonl", &whole[..whole.len() / 3]);
    pod("1");
    assert_eq!(read(&directory, "shard-2.jsonl"), whole);
    let merged = run(&directory, "sim merge shard-1.jsonl shard-2.jsonl shard-3.jsonl --json", 0);
    assert_eq!(ending(&merged), ending(&run(&directory, "sim --seeds 0..90 --json", 0)));
}
