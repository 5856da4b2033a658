//! `colo verify`, the main job: the same state machines in every interleaving, in simulation, and on real machines.

use crate::check::summary as check_summary;
use crate::crash_points::crashes;
use crate::failovers::Tally;
use crate::report::{Exit, Failure, counted, grouped, print, print_json};
use crate::run::{Unfinished, node_command};
use crate::sim::{available_jobs, progress_bar};
use colo_model::{Check, Limits, Scope, Verdict, check_scopes, find_bug};
use colo_protocol::{BUGS, Bug, Liveness, PRESETS, Preset, Property};
use colo_real::{LinkKind, RunOptions, Workload, kvm_usable};
use colo_sim::{Options, Summary, sweep};
use colo_trace::{NamedRules, Plan};
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Seeds simulated per preset.
const SEEDS: u64 = 2000;

/// Check, simulate and run, one after the other.
#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// A tenth of the seeds, and a crash at every fifth protocol point only.
    #[arg(long)]
    quick: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// What one of the three ways came to.
struct Row {
    way: &'static str,
    what: String,
    how_much: String,
    expected: bool,
    verdict: String,
    seconds: f64,
    json: Value,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let mut rows = Vec::new();
    rows.extend(PRESETS.iter().map(check_preset));
    rows.extend(BUGS.iter().map(check_bug));
    let seeds = if arguments.quick { SEEDS / 10 } else { SEEDS };
    let periodic = || PRESETS.iter().filter(|preset| !preset.rules.is_hybrid());
    rows.extend(periodic().map(|preset| simulate(preset, seeds)));
    let kvm = kvm_usable();
    if kvm.is_ok() {
        for preset in periodic() {
            rows.push(run_for_real(preset, arguments.quick)?);
        }
    }
    let failed = rows.iter().any(|row| !row.expected);
    if arguments.json {
        let rows: Vec<_> = rows.iter().map(Row::document).collect();
        let verdict = if failed { "violated" } else { "holds" };
        print_json(&json!({ "schema": 1, "verdict": verdict, "kvm": kvm.is_ok(), "rows": rows }))?;
    } else {
        print(&table(&rows, kvm.is_ok()))?;
    }
    match (failed, kvm) {
        (true, _) => Ok(Exit::Violated),
        (false, Ok(())) => Ok(Exit::Holds),
        (false, Err(error)) => Err(Failure::Environment(format!(
            "the checker and the simulator hold, but nothing ran for real: {error}"
        ))),
    }
}

fn named(preset: &Preset) -> NamedRules {
    NamedRules { name: preset.name.to_owned(), rules: preset.rules }
}

/// A good preset has to hold in all that can happen, and the check has to have seen everything that it should. What is
/// known to be broken has to be.
fn check_preset(preset: &Preset) -> Row {
    let rules = named(preset);
    let bar = progress_bar(1, "checking");
    let limits = Limits { threads: available_jobs(), ..Limits::default() };
    let check = check_scopes(&rules.rules, &Scope::of(&rules.rules), &limits);
    bar.finish_and_clear();
    let as_known = breaks(&check) == preset.breaks && stalls(&check) == preset.stalls;
    let meaningful = check.complete && check.is_meaningful() && check.vacuous().next().is_none();
    let expected = as_known && meaningful;
    if !expected {
        eprint!("{}", check_summary(&rules, &check));
    }
    let verdict = match check.verdict() {
        Verdict::Holds if expected => "holds in every one",
        Verdict::Holds => "not as it is known",
        Verdict::Violated if expected => "broken, as is known",
        Verdict::Violated => "VIOLATED",
        Verdict::Incomplete if check.complete => "vacuous",
        Verdict::Incomplete => "incomplete",
    };
    check_row(&rules, &check, expected, verdict.to_owned())
}

/// The liveness properties that are broken, claimed or not.
fn stalls(check: &Check) -> Vec<Liveness> {
    let broken = check.liveness.iter().filter(|report| report.lasso.is_some());
    broken.map(|report| report.property).collect()
}

/// The claimed properties that are broken.
fn breaks(check: &Check) -> Vec<Property> {
    let broken = check.properties.iter().filter(|report| report.claimed && report.counterexample.is_some());
    broken.map(|report| report.property).collect()
}

/// A known bug has to be found: a checker that finds nothing wrong with it proves nothing.
fn check_bug(bug: &Bug) -> Row {
    let rules = NamedRules { name: bug.name.to_owned(), rules: bug.rules };
    let bar = progress_bar(1, "checking");
    let check = find_bug(bug, available_jobs());
    bar.finish_and_clear();
    let length = check.length_of(bug.named_for());
    let verdict = length.map_or_else(
        || "NOT FOUND".to_owned(),
        |length| format!("found: {} in {length} steps", bug.named_for()),
    );
    check_row(&rules, &check, length.is_some(), verdict)
}

fn check_row(rules: &NamedRules, check: &Check, expected: bool, verdict: String) -> Row {
    Row {
        way: "model",
        what: rules.name.clone(),
        how_much: format!("{}{} states", if check.complete { "all " } else { "" }, grouped(check.distinct)),
        expected,
        verdict,
        seconds: check.elapsed.as_secs_f64(),
        json: json!({ "distinct": check.distinct, "transitions": check.transitions }),
    }
}

fn simulate(preset: &Preset, seeds: u64) -> Row {
    let rules = named(preset);
    let start = Instant::now();
    let bar = progress_bar(seeds, "simulating");
    let mut summary = Summary::default();
    sweep(&rules, 0..seeds, available_jobs(), &Options::default(), |outcome| {
        summary.add(&outcome);
        bar.inc(1);
    });
    bar.finish_and_clear();
    let faults: u64 = summary.faults.values().sum();
    let verdict = summary.first_violation.map_or_else(
        || "holds in every one".to_owned(),
        |seed| format!("VIOLATED: colo sim {} --seed {seed}", rules.name),
    );
    Row {
        way: "simulation",
        how_much: format!(
            "{} seeds, {} faults, {} failovers",
            grouped(seeds),
            grouped(faults),
            grouped(summary.failovers)
        ),
        what: rules.name,
        expected: summary.first_violation.is_none(),
        verdict,
        seconds: start.elapsed().as_secs_f64(),
        json: json!({ "summary": summary }),
    }
}

/// Real pairs, each killed at another protocol point of a checkpoint. A pair that goes wrong by itself is a row, too:
/// the others are still to be told of.
fn run_for_real(preset: &Preset, quick: bool) -> Result<Row, Failure> {
    let start = Instant::now();
    let tally = kill_for_real(preset, quick);
    let seconds = start.elapsed().as_secs_f64();
    match tally {
        Ok(tally) => Ok(real_row(preset, &tally, seconds)),
        Err(Unfinished::Wrong(problem)) => Ok(wrong_row(preset, &problem, seconds)),
        Err(Unfinished::Failure(failure)) => Err(failure),
    }
}

fn kill_for_real(preset: &Preset, quick: bool) -> Result<Tally, Unfinished> {
    let mut rules = named(preset);
    rules.rules.checkpoint_delay_ms = 5;
    let options = RunOptions {
        rules,
        checkpoints: 4,
        memory_mib: 16,
        workload: Workload { pages_per_tick: 64, ..Workload::default() },
        link: LinkKind::Unix,
        plan: Plan::default(),
        replacements: Vec::new(),
        clients: 4,
        load: None,
        lasts: None,
        stop: None,
        arbiter: None,
        network: None,
        endures: false,
        events: None,
        warn: |_| {},
        link_rate: None,
        record: false,
        disk_directory: None,
        node: node_command()?,
    };
    let crashes = crashes(&options)?;
    let failovers = if quick { crashes.len().div_ceil(5) } else { crashes.len() };
    let bar = progress_bar(failovers as u64, "killing real machines");
    Tally::of(&options, &crashes, failovers, (&AtomicBool::new(false), &bar))
}

fn wrong_row(preset: &Preset, problem: &str, seconds: f64) -> Row {
    Row {
        way: "real machines",
        what: preset.name.to_owned(),
        how_much: "not all that was to be killed".to_owned(),
        expected: false,
        verdict: format!("WRONG: {problem}"),
        seconds,
        json: json!({ "problem": problem }),
    }
}

fn real_row(preset: &Preset, tally: &Tally, seconds: f64) -> Row {
    let problem = tally.first_problem();
    let replies = tally.sum(|outcome| outcome.replies);
    let kills = counted(tally.runs(), "SIGKILL", "SIGKILLs");
    Row {
        way: "real machines",
        what: preset.name.to_owned(),
        how_much: format!("{kills} at protocol points, {} replies", grouped(replies)),
        expected: problem.is_none(),
        verdict: problem.map_or_else(
            || "no reply lost or contradicted".to_owned(),
            |problem| format!("WRONG, {problem}"),
        ),
        seconds,
        json: json!({ "failovers": tally.sum(|outcome| outcome.failovers), "replies": replies }),
    }
}

impl Row {
    fn document(&self) -> Value {
        let mut document = json!({
            "way": self.way, "rules": self.what, "expected": self.expected, "verdict": self.verdict,
            "seconds": self.seconds,
        });
        document["figures"] = self.json.clone();
        document
    }
}

fn table(rows: &[Row], real: bool) -> String {
    let mut out = String::from("\nOne COLO protocol core, run three ways.\n\n");
    let width = |column: fn(&Row) -> &str| rows.iter().map(|row| column(row).len()).max().unwrap_or(0);
    let (what, verdict) = (width(|row| &row.what), width(|row| &row.verdict));
    let mut way = "";
    for row in rows {
        let first = if row.way == way { "" } else { row.way };
        way = row.way;
        let mark = if row.expected { "ok" } else { "!!" };
        let _ = writeln!(
            out,
            "{first:<13}  {:<what$}  {mark}  {:<verdict$}  {} ({:.1} s)",
            row.what, row.verdict, row.how_much, row.seconds
        );
    }
    let bad = rows.iter().filter(|row| !row.expected).count();
    let _ = match bad {
        0 => {
            let real = if real { "" } else { " Nothing ran on real virtual machines." };
            let expected = "All as expected: the good presets hold, and what is known to be wrong is found.";
            writeln!(out, "\n{expected}{real}")
        }
        bad => writeln!(out, "\n{} not as it should be.", counted(bad as u64, "row is", "rows are")),
    };
    out
}
