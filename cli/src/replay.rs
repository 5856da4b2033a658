//! `colo replay`: a counterexample or a plan once more, on the model, in the simulator or on real machines.
//!
//! A trace is followed step by step on the model, a plan through everything that it leaves open; elsewhere both are
//! plans; a regression has rules, seed and size of its own. What a run means is said by whoever ran it, and nothing is judged here.

use crate::look::Look;
use crate::report::{Exit, Failure, mind_name, paragraph, print, print_json, quoted};
use crate::run::{JOURNAL_BLOCKS, Unfinished, expect_real, node_command, run_once};
use colo_model::{
    Break, Followed, ForEver, PlanFollowed, Stuck, follow_plan, follow_trace, is_beyond_the_model,
};
use colo_protocol::{Liveness, Property};
use colo_real::{Guest, LinkKind, RunOptions, RunViolation, Workload, kvm_usable};
use colo_sim::{Broken, Options, Outcome, Verdict, Watch, run as simulate};
use colo_trace::{
    Fault, Gate, Kind, NamedRules, Plan, PlanFile, Record, Regression, Trace, Way, diagram, load_rules,
    plan_of, read_trace,
};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What a run on real machines is judged by.
const CLIENT_HISTORY: &str = "client history";

/// What is broken where a disk is not that of its memory, or of what clients were told.
const DISK: &str = Property::Disk.name();

/// Let a counterexample, or a plan, happen once more.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A trace (JSON Lines, as `colo check` writes for a counterexample) or a plan (TOML).
    file: PathBuf,
    /// Where.
    #[arg(long, value_name = "WAY")]
    on: Place,
    /// The rules for a plan; a trace has its own, and a regression, unless others are given.
    #[arg(long, value_name = "RULES")]
    rules: Option<String>,
    /// The seed of the simulated surroundings; a regression has its own. 0 if nobody says.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    #[command(flatten)]
    look: Look,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Where something can happen once more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Place {
    /// The checker's model, step by step.
    Model,
    /// The simulator, as a plan.
    Sim,
    /// Two virtual machines under KVM, as a plan.
    Real,
}

/// What a file holds.
enum Source {
    Trace(Trace),
    Plan(NamedRules, PlanFile),
}

/// What a replay came to, whichever way.
struct Report {
    rules: String,
    trace: Trace,
    /// What was broken, and how.
    broken: Vec<(&'static str, String)>,
    /// Why it was not followed to its end.
    unfinished: Vec<String>,
    seed: Option<u64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let source = source(&arguments.file, arguments.rules.as_deref())?;
    let mut report = match (arguments.on, source) {
        (Place::Model, Source::Trace(trace)) => on_model(&trace, &arguments.file)?,
        (Place::Model, Source::Plan(rules, file)) => plan_on_model(&rules, &file.plan, &arguments.file)?,
        (Place::Sim, source) => on_sim(source, &arguments.file, arguments.seed)?,
        (Place::Real, source) => on_real(source, arguments)?,
    };
    if let Some(stop) = arguments.look.stop(&report.trace)? {
        report.stop_after(stop);
    }
    if arguments.json {
        let mut document = report.document(arguments.on);
        arguments.look.document(&report.trace, &mut document);
        print_json(&document)?;
    } else {
        let story = arguments.look.story(&report.trace);
        print(&report.told(&story.unwrap_or_else(|| diagram(&report.trace))))?;
    }
    Ok(report.exit())
}

/// Reads a file: a plan, if its name says so or there is no trace in it.
fn source(file: &Path, rules: Option<&str>) -> Result<Source, Failure> {
    let bad = |problem: String| Failure::Input(format!("{}: {problem}", file.display()));
    if file.extension().is_some_and(|extension| extension == "toml") {
        let plan = crate::run::read_plan_file(file)?;
        let own = plan.head.as_ref().map(|head| head.rules.as_str());
        let rules = rules.or(own).ok_or_else(|| {
            bad("a plan does not say under which rules, expected --rules, for instance --rules v12"
                .to_owned())
        })?;
        return Ok(Source::Plan(load_rules(rules)?, plan));
    }
    let opened = std::fs::File::open(file).map_err(|error| bad(error.to_string()))?;
    let mut trace = read_trace(std::io::BufReader::new(opened)).map_err(|error| bad(error.to_string()))?;
    mind_name(file, &trace.header);
    if let Some(rules) = rules {
        let NamedRules { name, rules } = load_rules(rules)?;
        if rules != trace.header.rules {
            return Err(bad(format!(
                "--rules {name}: the trace has rules of its own, {}",
                trace.header.rules_name
            )));
        }
        trace.header.rules_name = name;
    }
    Ok(Source::Trace(trace))
}

fn on_model(trace: &Trace, file: &Path) -> Result<Report, Failure> {
    if trace.header.way != Way::Model {
        let problem = "it was not made by the checker, whose steps the model could follow";
        return Err(Failure::Input(format!("{}: {problem}", file.display())));
    }
    let mut report = followed(follow_trace(trace));
    if report.broken.is_empty() && report.unfinished.is_empty() {
        report
            .unfinished
            .push("the trace ends, and nothing is broken by then: it is no counterexample".to_owned());
    }
    Ok(report)
}

fn followed(run: Followed) -> Report {
    let broken = run
        .broken
        .iter()
        .map(|Break { step, property }| (property.name(), format!("in step {step}: {}", property.broken())));
    let mut report = Report {
        rules: run.trace.header.rules_name.clone(),
        broken: broken.collect(),
        unfinished: run.stuck.iter().map(where_stuck).collect(),
        trace: run.trace,
        seed: None,
    };
    match run.for_ever {
        Some(ForEver { property, flaw: None }) => {
            report.broken.push((property.name(), format!("for ever: {}", property.broken())));
        }
        Some(ForEver { property, flaw: Some(flaw) }) => {
            report.unfinished.push(format!("the run does not break \"{}\": {flaw}", property.name()));
        }
        None => {}
    }
    report
}

fn plan_on_model(rules: &NamedRules, plan: &Plan, file: &Path) -> Result<Report, Failure> {
    let mut beyond = plan.faults.iter().map(|fault| fault.action.kind());
    if let Some(kind) = beyond.find(|kind| is_beyond_the_model(*kind)) {
        let (file, kind) = (quoted(&file.display().to_string()), kind.name());
        return Err(Failure::Input(format!(
            "{file}: the model has no step for {kind}, expected a plan without; try colo replay {file} --on sim"
        )));
    }
    let PlanFollowed { run, unreached, closed, complete } = follow_plan(rules, plan);
    let mut report = followed(run);
    report.unfinished = left_over(&unreached, &closed);
    if report.broken.is_empty() && !complete {
        let problem =
            "the plan leaves more open than could be explored: nothing broken so far, nothing claimed";
        report.unfinished.push(problem.to_owned());
    }
    Ok(report)
}

/// What of a plan did not happen.
pub(crate) fn left_over(unreached: &[Fault], closed: &[Gate]) -> Vec<String> {
    let unreached =
        unreached.iter().map(|fault| format!("{} at {}: the run never came there", fault.action, fault.at));
    let closed = closed.iter().map(|gate| format!("a gate never opened: {gate}"));
    unreached.chain(closed).collect()
}

fn where_stuck(Stuck { step, wanted, possible }: &Stuck) -> String {
    let possible: Vec<_> = possible.iter().map(called).collect();
    let possible = if possible.is_empty() { "nothing".to_owned() } else { possible.join(", ") };
    format!("step {step} of the trace is {}, and possible there: {possible}", called(wanted))
}

fn called(record: &Record) -> String {
    let node = record.node.map_or(String::new(), |node| format!("{node} "));
    let value = record.value.map_or(String::new(), |value| format!(" {value}"));
    format!("{node}{}{value}", record.name)
}

/// Everything is watched for, but of a counterexample what it is known to break comes first.
fn on_sim(source: Source, file: &Path, seed: Option<u64>) -> Result<Report, Failure> {
    let mut stalled = None;
    let usual = Options { record: true, ..Options::default() };
    let (rules, own_seed, options, known) = match source {
        Source::Plan(rules, PlanFile { head: Some(head), plan }) => {
            let regression = Regression { head, plan };
            let options = Options { record: true, ..Options::of(&regression) };
            (rules, regression.head.seed, options, None)
        }
        Source::Plan(rules, PlanFile { head: None, plan }) => {
            (rules, 0, Options { plan: Some(plan), ..usual }, None)
        }
        Source::Trace(trace) => {
            let plan =
                plan_of(&trace).map_err(|error| Failure::Input(format!("{}: {error}", file.display())))?;
            let known = last_broken(&trace);
            stalled = last_violation(&trace).and_then(Liveness::from_name);
            let seed = trace.header.seed.unwrap_or(0);
            let rules = NamedRules { name: trace.header.rules_name, rules: trace.header.rules };
            // What is said of nodes that nobody looks after is to be seen without anybody.
            let manager = stalled != Some(Liveness::UnattendedRecovery);
            // In the trace of which the plan was made, no replacement came.
            (rules, seed, Options { plan: Some(plan), replacements: Some(0), manager, ..usual }, known)
        }
    };
    let seed = seed.unwrap_or(own_seed);
    let watched = |watch| simulate(&rules, seed, &Options { watch, ..options.clone() });
    let outcome = known.map(|property| watched(Watch::Only(property)));
    let outcome = outcome.filter(|outcome| outcome.verdict == Verdict::Violated);
    let mut report = simulated(&rules, outcome.unwrap_or_else(|| watched(Watch::Everything)));
    let is_broken = |stalled: &Liveness| report.broken.iter().any(|(name, _)| *name == stalled.name());
    let unseen = stalled.filter(|stalled| !is_broken(stalled));
    report.unfinished.extend(unseen.map(not_seen));
    Ok(report)
}

/// The clients judge: what they cannot see does not show. No seed is drawn, and time is what it is.
fn on_real(source: Source, Arguments { file, seed, .. }: &Arguments) -> Result<Report, Failure> {
    if seed.is_some() {
        return Err(Failure::Input(
            "--seed: nothing is drawn on real machines, expected --on sim".to_owned(),
        ));
    }
    let (rules, plan, recorded) = match source {
        Source::Plan(rules, file) => (rules, file.plan, None),
        Source::Trace(trace) => {
            let plan =
                plan_of(&trace).map_err(|error| Failure::Input(format!("{}: {error}", file.display())))?;
            let recorded = last_violation(&trace).map(str::to_owned);
            (NamedRules { name: trace.header.rules_name, rules: trace.header.rules }, plan, recorded)
        }
    };
    expect_real(&plan, file)?;
    kvm_usable().map_err(|error| Failure::Environment(error.to_string()))?;
    let options = small_pair(rules, plan)?;
    let outcome = run_once(&options, &mut |_| {}).map_err(|unfinished| match unfinished {
        Unfinished::Failure(failure) => failure,
        Unfinished::Wrong(problem) => Failure::Incomplete(format!("{}: {problem}", file.display())),
    })?;
    let what = |violation: &RunViolation| match violation {
        RunViolation::LeftOn { .. } => Liveness::Shutdown.name(),
        violation if violation.is_of_the_disk() => DISK,
        _ => CLIENT_HISTORY,
    };
    let mut broken: Vec<_> =
        outcome.violation.iter().map(|violation| (what(violation), violation.to_string())).collect();
    let mut unfinished = left_over(&outcome.unreached, &outcome.closed);
    if let Some(recorded) = recorded.filter(|_| broken.is_empty()) {
        unfinished.push(format!("\"{recorded}\" is broken in the trace, and clients saw nothing of it here"));
    }
    if !outcome.claimed {
        unfinished.extend(broken.drain(..).map(|(_, how)| format!("violated, but not claimed: {how}")));
    }
    Ok(Report {
        rules: options.rules.name,
        broken,
        unfinished,
        seed: None,
        trace: outcome.trace.unwrap_or_else(|| unreachable!("the run was recorded")),
    })
}

/// A small pair that follows a plan, and takes some checkpoints more than it names.
fn small_pair(rules: NamedRules, plan: Plan) -> Result<RunOptions, Failure> {
    let gates = plan.gates.iter().flat_map(|gate| [gate.hold, gate.until]);
    let points = plan.faults.iter().map(|fault| fault.at).chain(gates);
    let named = points.map(|point| point.checkpoint.0).max().unwrap_or(0);
    Ok(RunOptions {
        rules,
        checkpoints: named.saturating_add(3),
        memory_mib: 16,
        workload: Workload {
            guest: Guest::Journal,
            disk_blocks: JOURNAL_BLOCKS,
            pages_per_tick: 64,
            ..Workload::default()
        },
        link: LinkKind::Unix,
        plan,
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
        record: true,
        disk_directory: None,
        node: node_command()?,
    })
}

/// What a counterexample was told for.
fn last_broken(trace: &Trace) -> Option<Property> {
    last_violation(trace).and_then(Property::from_name)
}

fn last_violation(trace: &Trace) -> Option<&str> {
    let broken = trace.records.iter().rev().find(|record| record.kind == Kind::Violation);
    broken.map(|record| record.name.as_str())
}

/// The counterexample goes round for ever, and in the simulator something got it out of that.
fn not_seen(property: Liveness) -> String {
    format!(
        "\"{}\" is broken by a run without an end, which this simulation is not: --on model",
        property.name()
    )
}

fn simulated(rules: &NamedRules, outcome: Outcome) -> Report {
    let explanation = outcome.explanation.clone().unwrap_or_default();
    Report {
        rules: rules.name.clone(),
        broken: outcome.property.map(|broken| (Broken::name(broken), explanation)).into_iter().collect(),
        unfinished: left_over(&outcome.unreached, &outcome.closed),
        seed: Some(outcome.seed),
        trace: outcome.trace.unwrap_or_else(|| unreachable!("the run was recorded")),
    }
}

impl Report {
    /// What is broken is broken, also when the plan had more in store.
    fn exit(&self) -> Exit {
        match (self.broken.is_empty(), self.unfinished.is_empty()) {
            (false, _) => Exit::Violated,
            (true, false) => Exit::Incomplete,
            (true, true) => Exit::Holds,
        }
    }

    fn verdict(&self) -> &'static str {
        match self.exit() {
            Exit::Violated => "violated",
            Exit::Incomplete => "incomplete",
            _ => "holds",
        }
    }

    /// The run goes on behind what is looked at: what breaks there is not told.
    fn stop_after(&mut self, records: usize) {
        let all = self.trace.records.len();
        if records < all {
            self.trace.records.truncate(records);
            self.broken.clear();
            self.unfinished = vec![format!("stopped after step {records} of {all}, as was asked for")];
        }
    }

    fn told(&self, story: &str) -> String {
        let mut out = format!("{story}\n");
        let _ = writeln!(out, "rules      {}", self.rules);
        if let Some(seed) = self.seed {
            let _ = writeln!(out, "seed       {seed}");
        }
        for problem in &self.unfinished {
            paragraph(&mut out, "unfinished ", problem);
        }
        for (property, how) in &self.broken {
            paragraph(&mut out, "VIOLATED   ", &format!("{property}: {how}"));
        }
        let _ = match self.exit() {
            Exit::Incomplete => writeln!(out, "verdict    incomplete: it could not be followed to its end"),
            _ => writeln!(
                out,
                "verdict    {} {}",
                self.rules,
                if self.broken.is_empty() { "holds" } else { "is violated" }
            ),
        };
        out
    }

    fn document(&self, on: Place) -> Value {
        let broken: Vec<_> =
            self.broken.iter().map(|(property, how)| json!({ "property": property, "how": how })).collect();
        json!({
            "schema": 1,
            "on": match on { Place::Model => "model", Place::Sim => "sim", Place::Real => "real" },
            "rules": self.rules,
            "seed": self.seed,
            "verdict": self.verdict(),
            "broken": broken,
            "unfinished": self.unfinished,
            "events": self.trace.records,
        })
    }
}
