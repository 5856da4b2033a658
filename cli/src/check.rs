//! `colo check`: explore a variant in every interleaving, print the verdicts and the shortest counterexample.

use crate::bounds_flags::BoundsFlags;
use crate::check_document::document;
use crate::coverage::{Accepted, coverage_table, seen};
use crate::interrupt;
use crate::picture::Pictures;
use crate::report::{Exit, Failure, grouped, paragraph, print, print_json};
use crate::stories::{Named, Story, write_stories};
use colo_model::{
    Bounds, Check, Limits, LivenessReport, Pair, PropertyReport, ScopeReport, Verdict, check_scopes,
};
use colo_protocol::bug_named;
use colo_trace::{NamedRules, diagram, load_rules};
use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

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
    /// Stop after this time, in seconds or as in "10m"; the verdict is then incomplete.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    time_limit: Option<Duration>,
    /// Accept that this is never seen, by the name with which the check complains of it; may be given again.
    #[arg(long, value_name = "NAME")]
    allow_vacuous: Vec<String>,
    /// Print every transition of both machines, and how often it was taken.
    #[arg(long)]
    coverage: bool,
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
            // What is further away than any clock can tell is no limit.
            deadline: self.time_limit.and_then(|time| Instant::now().checked_add(time)),
            stop: Some(interrupt::watch()),
        }
    }
}

/// A time: seconds, or with its units.
fn duration(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text)
            .map_err(|problem| format!("expected seconds, or a time as in \"10m\" or \"1h 30m\": {problem}")),
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let rules = load_rules(&arguments.rules)?;
    let scopes = arguments.bounds.scopes(&rules.rules);
    let accepted = Accepted::new(&rules.rules, &scopes, &arguments.allow_vacuous)?;
    let limits = arguments.limits();
    let pair = Pair { rules: rules.rules, bounds: scopes[0].bounds };
    arguments.pictures.draw(&pair, &rules.name, &limits)?;
    let mut check = check_scopes(&rules.rules, &scopes, &limits);
    accepted.apply(&mut check);
    // A known bug stands for what it is named for, and breaks it.
    if let Some(property) = bug_named(&rules.name).and_then(|bug| bug.stalls) {
        check.claim(property);
    }
    let (stories, unwritten) = write_stories(&rules, &check, &arguments.trace_dir);
    if arguments.json {
        print_json(&document(&rules, &check, &stories))?;
    } else {
        if arguments.coverage {
            print(&coverage_table(&check))?;
        }
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
        let _ = writeln!(out, "scope      {}", scope.name);
        bounds_in_words(&mut out, &scope.bounds);
        let _ = writeln!(
            out,
            "explored   {} states, {} steps, in {:.2} s{}",
            grouped(scope.distinct),
            grouped(scope.transitions),
            scope.elapsed.as_secs_f64(),
            extent_in_words(scope),
        );
    }
    for report in &check.properties {
        let word = verdict_word(report.verdict, report.claimed, report.is_vacuous());
        paragraph(&mut out, &format!("{word:10} "), &format!("{}: {}", report.property.name(), note(report)));
    }
    for report in &check.liveness {
        let word = verdict_word(report.verdict, report.claimed, report.is_vacuous());
        let note = liveness_note(report);
        paragraph(&mut out, &format!("{word:10} "), &format!("{}: {note}", report.property.name()));
    }
    if check.liveness.is_empty() {
        paragraph(
            &mut out,
            "progress   ",
            "not judged: checkpoints that are counted come to an end, and what waits for one with them",
        );
    }
    out.push_str(&seen(check));
    out
}

const fn extent_in_words(scope: &ScopeReport) -> &'static str {
    match (scope.complete, scope.transitions) {
        (true, _) => ": all there is",
        (false, 0) => ": NOT begun, a limit was reached, or Ctrl-C pressed",
        (false, _) => ": NOT all there is, a limit was reached, or Ctrl-C pressed",
    }
}

const fn verdict_word(verdict: Verdict, claimed: bool, vacuous: bool) -> &'static str {
    match (verdict, claimed) {
        (Verdict::Holds, _) if vacuous => "vacuous",
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
        (None, _) if report.is_vacuous() => NOTHING.to_owned(),
        (None, _) => report.property.statement().to_owned(),
    }
}

/// What is said of a property that says nothing.
const NOTHING: &str = "nothing that it speaks of ever happens within these bounds";

fn liveness_note(report: &LivenessReport) -> String {
    if report.is_vacuous() {
        return NOTHING.to_owned();
    }
    let Some(lasso) = &report.lasso else { return report.property.statement().to_owned() };
    let run = match lasso.cycle.len() {
        0 => format!("after {} steps nothing more happens", lasso.stem.len()),
        again => format!("{} steps, then {again} again and again", lasso.stem.len()),
    };
    if report.claimed {
        format!("{run}: {}", report.property.broken())
    } else {
        format!("{run}, as expected: not claimed of these rules within these bounds")
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
    paragraph(&mut out, "verdict    ", &verdict_in_words(rules, check));
    let told = told_story(rules, check, stories).and_then(|story| story.file.as_ref());
    if let Some(file) = told {
        let _ = writeln!(out, "again      colo replay {} --on model", file.display());
    }
    for file in stories.iter().filter_map(|story| story.file.as_ref()) {
        let _ = writeln!(out, "trace      {}", file.display());
    }
    out
}

/// Within bounds that somebody asked for a property may hold because nothing ever calls for it.
fn what_says_nothing(check: &Check) -> String {
    match check.vacuous().count() {
        0 => String::new(),
        1 => " within these bounds, which never put one of the properties to the test".to_owned(),
        several => format!(" within these bounds, which never put {several} of the properties to the test"),
    }
}

fn verdict_in_words(rules: &NamedRules, check: &Check) -> String {
    match check.verdict() {
        Verdict::Holds => format!("{} holds{}", rules.name, what_says_nothing(check)),
        Verdict::Violated => format!("{} is violated", rules.name),
        Verdict::Incomplete if check.complete => {
            let never = check.never_fired().into_iter().map(|goal| goal.to_string());
            let stale = check.stale().map(|excuse| excuse.name.to_owned());
            let names: Vec<_> = never.chain(stale).collect();
            format!("{} is vacuous, and nothing claimed: {}", rules.name, names.join("; "))
        }
        Verdict::Incomplete => "incomplete: nothing broken so far, nothing claimed".to_owned(),
    }
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
