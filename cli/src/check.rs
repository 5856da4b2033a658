//! `colo check`: explore a variant in every interleaving, print the verdicts and the shortest counterexample.

use crate::picture::Pictures;
use crate::report::{Exit, Failure, cpu_seconds, grouped, paragraph, print, print_json};
use colo_model::{Bounds, Budgets, Check, Goal, Limits, Pair, PropertyReport, Verdict, check, itf, story};
use colo_protocol::{PRESETS, Property, bug_named};
use colo_trace::{NamedRules, Trace, diagram, load_rules, plan_of, write_trace};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

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

/// The bounds of the check; by default what the rules claim to survive.
#[derive(clap::Args)]
pub(crate) struct BoundsFlags {
    /// Checkpoints that the primary begins.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=colo_model::MAX_CHECKPOINTS))]
    checkpoints: Option<u64>,
    /// Units of output that the primary produces, or a survivor.
    #[arg(long, value_name = "N")]
    outputs: Option<u8>,
    /// Units among them that the comparison does not understand (hybrid only).
    #[arg(long, value_name = "N")]
    uncompared: Option<u8>,
    /// Times that the secondary's execution leaves the primary's (hybrid only).
    #[arg(long, value_name = "N")]
    mismatches: Option<u8>,
    /// Times that output waits for its like for too long (hybrid only).
    #[arg(long, value_name = "N")]
    held_outputs: Option<u8>,
    /// Disk writes in each epoch.
    #[arg(long, value_name = "N")]
    disk_writes: Option<u8>,
    /// Disk writes of the secondary's VM in each epoch, beside the primary's (hybrid only).
    #[arg(long, value_name = "N")]
    secondary_writes: Option<u8>,
    /// Guests that power off.
    #[arg(long, value_name = "N")]
    shutdowns: Option<u8>,
    /// Guests that are reset.
    #[arg(long, value_name = "N")]
    resets: Option<u8>,
    /// Survivors to which a replacement comes.
    #[arg(long, value_name = "N")]
    replacements: Option<u8>,
    /// Pairs of which one lacks the capability x-colo.
    #[arg(long, value_name = "N")]
    missing_capabilities: Option<u8>,
    /// Deaths of a node.
    #[arg(long, value_name = "N")]
    crashes: Option<u8>,
    /// Cuts of the link.
    #[arg(long, value_name = "N")]
    cuts: Option<u8>,
    /// Links that deliver nothing for a while.
    #[arg(long, value_name = "N")]
    stalls: Option<u8>,
    /// Links that deliver nothing any more, without a word.
    #[arg(long, value_name = "N")]
    blackholes: Option<u8>,
    /// Links that deliver nothing any more in one of their directions.
    #[arg(long, value_name = "N")]
    partitions: Option<u8>,
    /// Arrivals that cannot be read any more.
    #[arg(long, value_name = "N")]
    corruptions: Option<u8>,
    /// Times that a peer that is alive, and can be heard, is taken for dead.
    #[arg(long, value_name = "N")]
    wrong_suspicions: Option<u8>,
    /// Loads of a checkpoint that fail.
    #[arg(long, value_name = "N")]
    load_errors: Option<u8>,
    /// States that cannot be captured.
    #[arg(long, value_name = "N")]
    save_errors: Option<u8>,
    /// Disks that cannot do what they are asked for.
    #[arg(long, value_name = "N")]
    disk_errors: Option<u8>,
}

impl BoundsFlags {
    /// The rules' own bounds, but for what was asked for.
    pub(crate) fn over(&self, usual: Bounds) -> Bounds {
        let budgets = usual.budgets;
        Bounds {
            checkpoints: self.checkpoints.unwrap_or(usual.checkpoints),
            budgets: Budgets {
                outputs: self.outputs.unwrap_or(budgets.outputs),
                uncompared: self.uncompared.unwrap_or(budgets.uncompared),
                mismatches: self.mismatches.unwrap_or(budgets.mismatches),
                held_outputs: self.held_outputs.unwrap_or(budgets.held_outputs),
                disk_writes: self.disk_writes.unwrap_or(budgets.disk_writes),
                secondary_writes: self.secondary_writes.unwrap_or(budgets.secondary_writes),
                shutdowns: self.shutdowns.unwrap_or(budgets.shutdowns),
                resets: self.resets.unwrap_or(budgets.resets),
                replacements: self.replacements.unwrap_or(budgets.replacements),
                missing_capabilities: self.missing_capabilities.unwrap_or(budgets.missing_capabilities),
                crashes: self.crashes.unwrap_or(budgets.crashes),
                cuts: self.cuts.unwrap_or(budgets.cuts),
                stalls: self.stalls.unwrap_or(budgets.stalls),
                blackholes: self.blackholes.unwrap_or(budgets.blackholes),
                partitions: self.partitions.unwrap_or(budgets.partitions),
                corruptions: self.corruptions.unwrap_or(budgets.corruptions),
                wrong_suspicions: self.wrong_suspicions.unwrap_or(budgets.wrong_suspicions),
                load_errors: self.load_errors.unwrap_or(budgets.load_errors),
                save_errors: self.save_errors.unwrap_or(budgets.save_errors),
                disk_errors: self.disk_errors.unwrap_or(budgets.disk_errors),
            },
        }
    }
}

impl Arguments {
    fn limits(&self) -> Limits {
        let available = || std::thread::available_parallelism().map_or(1, usize::from);
        Limits {
            threads: self.threads.map_or_else(available, usize::from),
            max_depth: self.max_depth,
            max_memory_bytes: Some(self.max_memory.saturating_mul(1 << 20)),
            until: None,
            stop: Some(&INTERRUPTED),
        }
    }
}

/// Ctrl-C was pressed.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// A counterexample, drawn and written.
struct Story {
    property: Property,
    trace: Trace,
    /// Where it was written, if it could be.
    file: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let rules = load_rules(&arguments.rules)?;
    // The first Ctrl-C asks for what there is so far. Without a handler it ends the command: no harm either.
    let _ = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(Exit::Incomplete as i32);
        }
    });
    let bounds = arguments.bounds.over(Bounds::of(&rules.rules));
    arguments.pictures.draw(&Pair { rules: rules.rules, bounds }, &rules.name, &arguments.limits())?;
    let check = check(&rules.rules, &bounds, &arguments.limits());
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

/// The counterexamples, each in a file if that can be written. A trace that cannot be kept costs no verdict: the same
/// check finds it again.
fn write_stories(rules: &NamedRules, check: &Check, directory: &Path) -> (Vec<Story>, Option<String>) {
    let pair = Pair { rules: check.rules, bounds: check.bounds };
    let broken =
        check.properties.iter().filter_map(|report| Some((report.property, report.counterexample.as_ref()?)));
    let mut unwritten = None;
    let stories = broken.map(|(property, path)| {
        let trace = story(&pair, &rules.name, path);
        let file = directory.join(file_name(&rules.name, property));
        let written = write_story(&trace, &file).and_then(|()| {
            let states = itf(&pair, &rules.name, path);
            std::fs::write(file.with_extension("itf.json"), states).map_err(|error| error.to_string())
        });
        let file = written.as_ref().is_ok().then(|| file.clone());
        if let Err(problem) = written {
            unwritten.get_or_insert(format!("cannot write traces to {}: {problem}", directory.display()));
        }
        Story { property, trace, file }
    });
    (stories.collect(), unwritten)
}

fn file_name(rules: &str, property: Property) -> String {
    let plain = |text: &str| -> String {
        text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect()
    };
    let stem = Path::new(rules)
        .file_stem()
        .map_or_else(|| rules.to_owned(), |stem| stem.to_string_lossy().into_owned());
    format!("{}.{}.jsonl", plain(&stem), plain(property.name()))
}

fn write_story(trace: &Trace, file: &Path) -> Result<(), String> {
    let mut bytes = Vec::new();
    write_trace(trace, &mut bytes).map_err(|error| error.to_string())?;
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory).map_err(|error| error.to_string())?;
    }
    std::fs::write(file, bytes).map_err(|error| error.to_string())?;
    write_plan(trace, &file.with_extension("toml"))
}

/// The plan beside a trace, of the same name. A run that no plan can say has its trace only.
fn write_plan(trace: &Trace, file: &Path) -> Result<(), String> {
    let Ok(plan) = plan_of(trace) else { return remove_stale(file) };
    let text = plan.to_toml().map_err(|error| error.to_string())?;
    std::fs::write(file, text).map_err(|error| error.to_string())
}

/// The plan of another run would be taken for this one's.
fn remove_stale(file: &Path) -> Result<(), String> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
        _ => Ok(()),
    }
}

/// What was explored, and the verdict on each property.
pub(crate) fn summary(rules: &NamedRules, check: &Check) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "rules      {}", rules.name);
    bounds_in_words(&mut out, &check.bounds);
    let _ = writeln!(
        out,
        "explored   {} states, {} steps, {} deep, in {:.2} s{}",
        grouped(check.distinct),
        grouped(check.transitions),
        check.depth,
        check.elapsed.as_secs_f64(),
        if check.complete { ": all there is" } else { ": NOT all there is, a limit was reached" },
    );
    for report in &check.properties {
        let heading = format!("{:10} ", verdict_word(report));
        paragraph(&mut out, &heading, &format!("{}: {}", report.property.name(), note(report)));
    }
    let required = check.goals;
    let reached = required - check.never_fired.len();
    let _ = writeln!(out, "reached    {reached} of {required}: every message, a failover in every phase");
    for goal in &check.never_fired {
        let _ = writeln!(out, "           never reached: {goal}");
    }
    out
}

fn verdict_word(report: &PropertyReport) -> &'static str {
    match (report.verdict, report.claimed) {
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

fn bounds_in_words(out: &mut String, bounds: &Bounds) {
    let named = |(name, _): &(&str, u8)| name.replace('_', " ");
    let (allowed, none): (Vec<_>, Vec<_>) =
        bounds.budgets.named().into_iter().partition(|(_, budget)| *budget > 0);
    let allowed = allowed.iter().map(|budget| format!("{} {}", named(budget), budget.1));
    let all: Vec<_> = std::iter::once(format!("checkpoints {}", bounds.checkpoints)).chain(allowed).collect();
    paragraph(out, "bounds     ", &all.join(", "));
    let none: Vec<_> = none.iter().map(named).collect();
    paragraph(out, "           ", &format!("none of: {}", none.join(", ")));
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
        Verdict::Holds if check.never_fired.is_empty() => writeln!(out, "verdict    {} holds", rules.name),
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
    let named = bug_named(&rules.name).map(|bug| bug.breaks[0]);
    let by_name = stories.iter().find(|story| Some(story.property) == named);
    let claimed = |story: &&Story| {
        check.properties.iter().any(|report| report.property == story.property && report.claimed)
    };
    let length = |story: &&Story| (!claimed(story), story.trace.records.len());
    by_name.or_else(|| stories.iter().min_by_key(length))
}

fn document(rules: &NamedRules, check: &Check, stories: &[Story]) -> Value {
    let reachable = Goal::required(&check.rules, &check.bounds).map(|goal| {
        let verdict = if check.never_fired.contains(&goal) { "vacuous" } else { "holds" };
        json!({
            "name": goal.to_string(), "kind": "reachable", "verdict": verdict, "claimed": true, "expected": "holds",
            "length": null, "trace": null,
        })
    });
    let safety = check.properties.iter().map(|report| property_document(rules, report, stories));
    let mut bounds = json!({ "checkpoints": check.bounds.checkpoints });
    for (name, budget) in check.bounds.budgets.named() {
        bounds[name] = budget.into();
    }
    json!({
        "schema": 1,
        "rules": rules.name,
        "verdict": check.verdict().name(),
        "properties": safety.chain(reachable).collect::<Vec<_>>(),
        "generated": check.generated,
        "distinct": check.distinct,
        "transitions": check.transitions,
        "depth": check.depth,
        "seconds": check.elapsed.as_secs_f64(),
        "cpu_seconds": cpu_seconds(),
        "bytes_per_state": check.bytes_per_state,
        "collision_probability": check.collision_probability(),
        "bounds": bounds,
        "never_fired": check.never_fired.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn property_document(rules: &NamedRules, report: &PropertyReport, stories: &[Story]) -> Value {
    let preset = PRESETS.iter().find(|preset| preset.name == rules.name).map(|preset| preset.breaks);
    let known = bug_named(&rules.name).map(|bug| bug.breaks).or(preset).unwrap_or_default();
    let expected_broken = known.contains(&report.property);
    let story = stories.iter().find(|story| story.property == report.property);
    json!({
        "name": report.property.name(),
        "kind": "safety",
        "verdict": report.verdict.name(),
        "claimed": report.claimed,
        "expected": if expected_broken || !report.claimed { "violated" } else { "holds" },
        "length": report.counterexample.as_ref().map(Vec::len),
        "trace": story.and_then(|story| Some(story.file.as_ref()?.display().to_string())),
    })
}
