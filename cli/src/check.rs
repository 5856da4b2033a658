//! `colo check`: explore a variant in every interleaving, print the verdicts and the shortest counterexample.

use crate::bounds_flags::BoundsFlags;
use crate::interrupt;
use crate::picture::Pictures;
use crate::report::{Exit, Failure, cpu_seconds, grouped, paragraph, print, print_json};
use crate::stories::{Named, Story, write_stories};
use colo_model::{Bounds, Check, Limits, LivenessReport, Pair, PropertyReport, Verdict, check_scopes};
use colo_protocol::{PRESETS, bug_named};
use colo_trace::{NamedRules, diagram, load_rules};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::PathBuf;

/// Check a variant of the protocol in every interleaving.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A preset, a known bug (`colo rules` lists them), or a TOML file.
    #[arg(default_value = "v12")]
    rules: String,
    #[command(flatten)]
    bounds: BoundsFlags,
    /// Threads that share the work; the result does not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Stop after this many steps from the beginning; the verdict is then incomplete.
    #[arg(long, value_name = "N")]
    max_depth: Option<usize>,
    /// Stop when the states take this much memory; the verdict is then incomplete.
    #[arg(long, default_value_t = 8192, value_name = "MiB")]
    max_memory: usize,
    /// Where to write the traces of counterexamples, each with its plan (TOML) and its states (ITF, NAME.itf.json).
    #[arg(long, default_value = "colo-traces", value_name = "DIR")]
    trace_dir: PathBuf,
    #[command(flatten)]
    pictures: Pictures,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn limits(&self) -> Limits {
        let available = || std::thread::available_parallelism().map_or(1, usize::from);
        Limits {
            threads: self.threads.map_or_else(available, usize::from),
            max_depth: self.max_depth,
            max_memory_bytes: Some(self.max_memory.saturating_mul(1 << 20)),
            until: None,
            stop: Some(interrupt::watch()),
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let rules = load_rules(&arguments.rules)?;
    let scopes = arguments.bounds.scopes(&rules.rules);
    let pair = Pair { rules: rules.rules, bounds: scopes[0].bounds };
    arguments.pictures.draw(&pair, &rules.name, &arguments.limits())?;
    let mut check = check_scopes(&rules.rules, &scopes, &arguments.limits());
    // A known bug stands for what it is named for, and breaks it.
    if let Some(property) = bug_named(&rules.name).and_then(|bug| bug.stalls) {
        check.claim(property);
    }
    let (stories, unwritten) = write_stories(&rules, &check, &arguments.trace_dir);
    if arguments.json {
        print_json(&document(&rules, &check, &stories))?;
    } else {
        print(&summary(&rules, &check))?;
        print(&ending(&rules, &check, &stories))?;
    }
    if let Some(problem) = unwritten {
        eprintln!("colo: {problem}");
    }
    Ok(match check.verdict() {
        Verdict::Holds => Exit::Holds,
        Verdict::Violated => Exit::Violated,
        Verdict::Incomplete => Exit::Incomplete,
    })
}

/// What was explored, and the verdict on each property.
pub(crate) fn summary(rules: &NamedRules, check: &Check) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "rules      {}", rules.name);
    for scope in &check.scopes {
        bounds_in_words(&mut out, &scope.bounds);
        let _ = writeln!(
            out,
            "explored   {} states, {} steps, in {:.2} s{}",
            grouped(scope.distinct),
            grouped(scope.transitions),
            scope.elapsed.as_secs_f64(),
            if scope.complete { ": all there is" } else { ": NOT all there is, a limit was reached" },
        );
    }
    for report in &check.properties {
        let heading = format!("{:10} ", verdict_word(report.verdict, report.claimed));
        paragraph(&mut out, &heading, &format!("{}: {}", report.property.name(), note(report)));
    }
    for report in &check.liveness {
        let word = if report.occasions == 0 && report.verdict == Verdict::Holds {
            "vacuous"
        } else {
            verdict_word(report.verdict, report.claimed)
        };
        let note = liveness_note(report);
        paragraph(&mut out, &format!("{word:10} "), &format!("{}: {note}", report.property.name()));
    }
    let (required, never) = (check.goals().len(), check.never_fired());
    let reached = required - never.len();
    let _ = writeln!(
        out,
        "reached    {reached} of {required}: every message, a failover in every phase, all that budgets allow"
    );
    for goal in never {
        let _ = writeln!(out, "           never reached: {goal}");
    }
    out
}

const fn verdict_word(verdict: Verdict, claimed: bool) -> &'static str {
    match (verdict, claimed) {
        (Verdict::Holds, _) => "holds",
        (Verdict::Violated, true) => "VIOLATED",
        (Verdict::Violated, false) => "violated",
        (Verdict::Incomplete, _) => "unbroken",
    }
}

fn note(report: &PropertyReport) -> String {
    match (&report.counterexample, report.claimed) {
        (Some(path), true) => format!("in {} steps: {}", path.len(), report.property.broken()),
        (Some(path), false) => format!("in {} steps, as expected: not claimed without fencing", path.len()),
        (None, _) => report.property.statement().to_owned(),
    }
}

fn liveness_note(report: &LivenessReport) -> String {
    let Some(lasso) = &report.lasso else { return report.property.statement().to_owned() };
    let run = match lasso.cycle.len() {
        0 => format!("after {} steps nothing more happens", lasso.stem.len()),
        again => format!("{} steps, then {again} again and again", lasso.stem.len()),
    };
    if report.claimed {
        format!("{run}: {}", report.property.broken())
    } else {
        format!("{run}, as expected: not claimed where a manager has to see to it")
    }
}

fn bounds_in_words(out: &mut String, bounds: &Bounds) {
    let allowed = bounds.budgets.named().into_iter().filter(|(_, budget)| *budget > 0);
    let allowed = allowed.map(|(name, budget)| format!("{} {budget}", name.replace('_', " ")));
    let checkpoints = if bounds.is_unbounded() {
        "any number of checkpoints".to_owned()
    } else {
        format!("checkpoints {}", bounds.checkpoints)
    };
    let all: Vec<_> = std::iter::once(checkpoints).chain(allowed).collect();
    paragraph(out, "bounds     ", &format!("{}; none of the rest", all.join(", ")));
}

/// The verdict on the whole, with the story that leads to it.
fn ending(rules: &NamedRules, check: &Check, stories: &[Story]) -> String {
    let mut out = String::new();
    if let Some(story) = told_story(rules, check, stories) {
        let _ = writeln!(
            out,
            "\nThe shortest way to break \"{}\":\n\n{}",
            story.property.name(),
            diagram(&story.trace)
        );
        paragraph(&mut out, "legend     ", "o---> sent, ---> arrives; *** a fault; !!! a property is broken");
        paragraph(&mut out, "broken     ", story.property.broken());
        paragraph(&mut out, "claimed    ", story.property.statement());
        paragraph(&mut out, "source     ", story.property.source());
        if let Some(bug) = bug_named(&rules.name) {
            paragraph(&mut out, "rule       ", bug.field);
            paragraph(&mut out, "symptom    ", &format!("{}; {}", bug.symptom, bug.fixed()));
        }
    }
    let _ = match check.verdict() {
        Verdict::Holds if check.never_fired().is_empty() => writeln!(out, "verdict    {} holds", rules.name),
        Verdict::Holds => {
            writeln!(out, "verdict    {} holds, but these bounds do not reach everything", rules.name)
        }
        Verdict::Violated => writeln!(out, "verdict    {} is violated", rules.name),
        Verdict::Incomplete => writeln!(out, "verdict    incomplete: nothing broken so far, nothing claimed"),
    };
    let told = told_story(rules, check, stories).and_then(|story| story.file.as_ref());
    if let Some(file) = told {
        let _ = writeln!(out, "again      colo replay {} --on model", file.display());
    }
    for file in stories.iter().filter_map(|story| story.file.as_ref()) {
        let _ = writeln!(out, "trace      {}", file.display());
    }
    out
}

/// The counterexample to show: of a known bug the one that it is named for, else the shortest of those that count.
fn told_story<'a>(rules: &NamedRules, check: &Check, stories: &'a [Story]) -> Option<&'a Story> {
    let named = bug_named(&rules.name).map(colo_protocol::Bug::named_for);
    let by_name = stories.iter().find(|story| Some(story.property.name()) == named);
    let claimed = |story: &&Story| match story.property {
        Named::Safety(property) => {
            check.properties.iter().any(|report| report.property == property && report.claimed)
        }
        Named::Liveness(property) => {
            check.liveness.iter().any(|report| report.property == property && report.claimed)
        }
    };
    let is_liveness = |story: &&Story| matches!(story.property, Named::Liveness(_));
    let length = |story: &&Story| (!claimed(story), is_liveness(story), story.trace.records.len());
    by_name.or_else(|| stories.iter().min_by_key(length))
}

fn document(rules: &NamedRules, check: &Check, stories: &[Story]) -> Value {
    let never = check.never_fired();
    let reachable = check.goals().iter().map(|goal| {
        let verdict = if never.contains(goal) { "vacuous" } else { "holds" };
        json!({
            "name": goal.to_string(), "kind": "reachable", "verdict": verdict, "claimed": true, "expected": "holds",
            "length": null, "trace": null,
        })
    });
    let safety = check.properties.iter().map(|report| property_document(rules, report, stories));
    let liveness = check.liveness.iter().map(|report| liveness_document(rules, report, stories));
    let scopes = check.scopes.iter().map(|scope| {
        json!({
            "name": scope.name, "bounds": bounds_document(&scope.bounds), "distinct": scope.distinct,
            "transitions": scope.transitions, "complete": scope.complete, "seconds": scope.elapsed.as_secs_f64(),
        })
    });
    json!({
        "schema": 1,
        "rules": rules.name,
        "verdict": check.verdict().name(),
        "properties": safety.chain(liveness).chain(reachable).collect::<Vec<_>>(),
        "generated": check.generated,
        "distinct": check.distinct,
        "transitions": check.transitions,
        "depth": check.depth,
        "seconds": check.elapsed.as_secs_f64(),
        "cpu_seconds": cpu_seconds(),
        "bytes_per_state": check.bytes_per_state,
        "collision_probability": check.collision_probability(),
        "bounds": check.scopes.first().map(|scope| bounds_document(&scope.bounds)),
        "scopes": scopes.collect::<Vec<_>>(),
        "never_fired": never.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn bounds_document(bounds: &Bounds) -> Value {
    let checkpoints = if bounds.is_unbounded() { json!("unbounded") } else { json!(bounds.checkpoints) };
    let mut document = json!({ "checkpoints": checkpoints });
    for (name, budget) in bounds.budgets.named() {
        document[name] = budget.into();
    }
    document
}

fn property_document(rules: &NamedRules, report: &PropertyReport, stories: &[Story]) -> Value {
    let preset = PRESETS.iter().find(|preset| preset.name == rules.name).map(|preset| preset.breaks);
    let known = bug_named(&rules.name).map(|bug| bug.breaks).or(preset).unwrap_or_default();
    let expected_broken = known.contains(&report.property) || !report.claimed;
    json!({
        "name": report.property.name(),
        "kind": "safety",
        "verdict": report.verdict.name(),
        "claimed": report.claimed,
        "expected": if expected_broken { "violated" } else { "holds" },
        "length": report.counterexample.as_ref().map(Vec::len),
        "trace": file_of(Named::Safety(report.property), stories),
    })
}

fn liveness_document(rules: &NamedRules, report: &LivenessReport, stories: &[Story]) -> Value {
    let preset = PRESETS.iter().find(|preset| preset.name == rules.name);
    let stalls = preset.is_some_and(|preset| preset.stalls.contains(&report.property));
    let bug = bug_named(&rules.name).and_then(|bug| bug.stalls) == Some(report.property);
    let vacuous = report.verdict == Verdict::Holds && report.occasions == 0;
    json!({
        "name": report.property.name(),
        "kind": "liveness",
        "verdict": if vacuous { "vacuous" } else { report.verdict.name() },
        "claimed": report.claimed,
        "expected": if stalls || bug || !report.claimed { "violated" } else { "holds" },
        "length": report.lasso.as_ref().map(|lasso| lasso.stem.len() + lasso.cycle.len()),
        "cycle": report.lasso.as_ref().map(|lasso| lasso.cycle.len()),
        "occasions": report.occasions,
        "trace": file_of(Named::Liveness(report.property), stories),
    })
}

fn file_of(property: Named, stories: &[Story]) -> Option<String> {
    let story = stories.iter().find(|story| story.property == property)?;
    Some(story.file.as_ref()?.display().to_string())
}
