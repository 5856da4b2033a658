//! `colo sim`: seeded simulations, a line each, and what they came to together.

use crate::report::{Exit, Failure, counted, grouped, only_periodic, print, print_json};
use crate::run::read_plan;
use colo_sim::{Options, Outcome, Summary, Verdict, knobs, run as simulate, sweep};
use colo_trace::{NamedRules, diagram, load_rules, write_trace};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::fmt::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Simulate pairs on a virtual clock, with faults drawn from seeds.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A preset, a known bug (`colo rules` lists them), or a TOML file.
    #[arg(default_value = "v12")]
    rules: String,
    /// One seed; without it and --seeds, one is drawn and printed.
    #[arg(long, value_name = "S", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// The seeds from A up to and without B.
    #[arg(long, value_name = "A..B", value_parser = parse_seeds)]
    seeds: Option<Range<u64>>,
    /// Runs at the same time; no result depends on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Only the k-th of every n seeds, k from 1 to n.
    #[arg(long, value_name = "K/N", value_parser = parse_shard, requires = "seeds", conflicts_with = "seed")]
    shard: Option<Shard>,
    /// Checkpoints until a run drains.
    #[arg(long, default_value_t = Options::default().checkpoints, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=colo_sim::MAX_CHECKPOINTS))]
    checkpoints: u64,
    /// Clients with a request open each.
    #[arg(long, default_value_t = Options::default().clients, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(colo_sim::MAX_CLIENTS)))]
    clients: u32,
    /// The faults, instead of those that the seed draws.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// The link carries datagrams, which get lost, come twice, and overtake each other: no stream, and no COLO's.
    #[arg(long)]
    datagrams: bool,
    /// Draw no faults.
    #[arg(long, conflicts_with = "plan")]
    no_faults: bool,
    /// Write the trace of a single run.
    #[arg(long, value_name = "FILE", conflicts_with = "seeds")]
    trace: Option<PathBuf>,
    /// Where to write the plans of runs that broke something.
    #[arg(long, default_value = "colo-plans", value_name = "DIR")]
    plan_dir: PathBuf,
    /// Print JSON lines: one a run, then the summary.
    #[arg(long)]
    json: bool,
}

/// Of what a sweep has never seen, so much is listed.
const MOST_NEVER: usize = 12;

/// The k-th of n parts, from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Shard {
    part: u64,
    parts: u64,
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let expected = "expected A..B, for instance 0..1000";
    let (from, to) = text.split_once("..").ok_or(expected)?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}, {expected}"));
    let seeds = number(from)?..number(to)?;
    if seeds.is_empty() {
        Err("there is no seed in it: B has to be greater than A".to_owned())
    } else {
        Ok(seeds)
    }
}

fn parse_shard(text: &str) -> Result<Shard, String> {
    let (part, parts) = text.split_once('/').ok_or("expected K/N, for instance 1/4")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    let shard = Shard { part: number(part)?, parts: number(parts)? };
    let fits = (1..=shard.parts).contains(&shard.part);
    if fits { Ok(shard) } else { Err(format!("expected K from 1 to N, got {text}")) }
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let rules = load_rules(&arguments.rules)?;
    only_periodic(&rules)?;
    let options = arguments.options()?;
    match &arguments.seeds {
        Some(seeds) => {
            let seeds = shard_of(seeds, arguments.shard);
            if seeds.is_empty() {
                return Err(Failure::Input("--shard: there is no seed in this part".to_owned()));
            }
            many(&rules, &seeds, &options, arguments)
        }
        None => one(&rules, arguments.seed.unwrap_or_else(drawn_seed), &options, arguments),
    }
}

impl Arguments {
    fn options(&self) -> Result<Options, Failure> {
        let plan = self.plan.as_deref().map(read_plan).transpose()?;
        Ok(Options {
            checkpoints: self.checkpoints,
            clients: self.clients,
            plan,
            faults: !self.no_faults,
            datagrams: self.datagrams,
            record: self.seeds.is_none(),
            ..Options::default()
        })
    }
}

/// A seed for somebody who has none; it is printed, so that the run can be had again.
fn drawn_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs() ^ u64::from(now.subsec_nanos())
}

/// The contiguous part of the seeds that belongs to a shard.
fn shard_of(seeds: &Range<u64>, shard: Option<Shard>) -> Range<u64> {
    let Some(Shard { part, parts }) = shard else { return seeds.clone() };
    let count = u128::from(seeds.end - seeds.start);
    let border = |part: u64| {
        let offset = count * u128::from(part) / u128::from(parts);
        seeds.start + u64::try_from(offset).unwrap_or(u64::MAX)
    };
    border(part - 1)..border(part)
}

fn one(rules: &NamedRules, seed: u64, options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    eprintln!("seed {seed}");
    let outcome = simulate(rules, seed, options);
    let plan = keep_plan(rules, &outcome, &arguments.plan_dir);
    if arguments.json {
        print_json(&outcome.line(plan.as_deref()))?;
    } else {
        print(&told(rules, &outcome, options, plan.as_deref()))?;
    }
    if let (Some(file), Some(trace)) = (&arguments.trace, &outcome.trace) {
        let mut bytes = Vec::new();
        write_trace(trace, &mut bytes).map_err(|error| Failure::Input(error.to_string()))?;
        std::fs::write(file, &bytes).map_err(|error| unwritable(file, &error))?;
    }
    let violated = outcome.verdict == Verdict::Violated && outcome.claimed;
    let followed = outcome.unreached.is_empty() && outcome.closed.is_empty();
    Ok(if violated || followed { exit(violated) } else { Exit::Incomplete })
}

fn many(
    rules: &NamedRules,
    seeds: &Range<u64>,
    options: &Options,
    arguments: &Arguments,
) -> Result<Exit, Failure> {
    let start = Instant::now();
    let mut summary = Summary::default();
    let mut violated = false;
    let mut failure = None;
    let mut first = None;
    let bar = progress_bar(seeds.end - seeds.start, "simulating");
    let jobs = arguments.jobs.map_or_else(available_jobs, usize::from);
    sweep(rules, seeds.clone(), jobs, options, |outcome| {
        summary.add(&outcome);
        bar.inc(1);
        let plan = keep_plan(rules, &outcome, &arguments.plan_dir);
        if arguments.json {
            failure = failure.take().or(print_json(&outcome.line(plan.as_deref())).err());
        }
        let counts = outcome.verdict == Verdict::Violated && outcome.claimed;
        if counts && !violated {
            violated = true;
            first = Some(outcome);
        }
    });
    bar.finish_and_clear();
    if let Some(failure) = failure {
        return Err(failure);
    }
    if arguments.json {
        print_json(&json!({ "summary": summary }))?;
    } else {
        print(&summed_up(rules, &summary, start.elapsed().as_secs_f64()))?;
        if let Some(outcome) = first {
            let seed = outcome.seed;
            let command = again(rules, seed, options);
            print(&format!("\nThe first run that broke it: {command}\n\n"))?;
            let outcome = simulate(rules, seed, &Options { record: true, ..options.clone() });
            let plan = plan_file(rules, seed, &arguments.plan_dir);
            let plan = plan.exists().then(|| plan.display().to_string());
            print(&told(rules, &outcome, options, plan.as_deref()))?;
        }
    }
    Ok(exit(violated))
}

fn exit(violated: bool) -> Exit {
    if violated { Exit::Violated } else { Exit::Holds }
}

/// As many as there are cores.
pub(crate) fn available_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A bar on stderr, if that is a terminal.
pub(crate) fn progress_bar(length: u64, what: &'static str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{msg:24} {bar:40} {human_pos}/{human_len} {per_sec:.dim} {eta:.dim}");
    let bar = ProgressBar::new(length).with_message(what);
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

fn plan_file(rules: &NamedRules, seed: u64, directory: &Path) -> PathBuf {
    let stem = Path::new(&rules.name).file_stem().unwrap_or_default().to_string_lossy().replace(':', "-");
    directory.join(format!("{stem}.{seed}.toml"))
}

/// Writes the plan of a run that broke something; the file's name. A plan that cannot be kept costs no verdict: the
/// seed draws it again.
fn keep_plan(rules: &NamedRules, outcome: &Outcome, directory: &Path) -> Option<String> {
    if outcome.verdict == Verdict::Holds {
        return None;
    }
    let file = plan_file(rules, outcome.seed, directory);
    let text = outcome.plan.to_toml().map_err(|error| Failure::Input(error.to_string()));
    let written = text.and_then(|text| {
        std::fs::create_dir_all(directory)
            .and_then(|()| std::fs::write(&file, text))
            .map_err(|error| unwritable(&file, &error))
    });
    written.inspect_err(|failure| eprintln!("colo: {failure}")).ok()?;
    Some(file.display().to_string())
}

fn unwritable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::Input(format!("cannot write {}: {error}", file.display()))
}

/// A single run for a person.
fn told(rules: &NamedRules, outcome: &Outcome, options: &Options, plan: Option<&str>) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "seed       {} of {} (version {})",
        outcome.seed,
        rules.name,
        env!("CARGO_PKG_VERSION")
    );
    let _ = writeln!(out, "drawn      {}", knobs(rules, outcome.seed, options));
    for fault in &outcome.plan.faults {
        let _ = writeln!(out, "fault      {} at {}", fault.action, fault.at);
    }
    for fault in &outcome.unreached {
        let _ = writeln!(out, "unreached  {} at {}: the run never came there", fault.action, fault.at);
    }
    for gate in &outcome.closed {
        let _ = writeln!(out, "closed     a gate never opened: {gate}");
    }
    if let (Some(trace), Verdict::Violated) = (&outcome.trace, outcome.verdict) {
        let _ = writeln!(out, "\n{}", diagram(trace));
    }
    let _ = writeln!(
        out,
        "run        {} events, {}, {}, {} requests answered, {} virtual ms, hash {:016x}",
        grouped(outcome.events),
        counted(outcome.checkpoints, "checkpoint", "checkpoints"),
        counted(outcome.failovers, "failover", "failovers"),
        grouped(outcome.answered),
        grouped(outcome.virtual_us / 1000),
        outcome.hash,
    );
    let _ = match (outcome.property, &outcome.explanation) {
        (Some(property), explanation) => {
            let explanation = explanation.as_deref().unwrap_or_default();
            let claimed = if outcome.claimed { "VIOLATED" } else { "violated, but not claimed" };
            writeln!(out, "verdict    {claimed}: {property}: {explanation}")
        }
        (None, _) => writeln!(out, "verdict    holds"),
    };
    if let Some(plan) = plan {
        let _ = writeln!(out, "plan       {plan}");
        let _ = writeln!(out, "again      {} --plan {plan}", again(rules, outcome.seed, options));
    }
    out
}

/// The command that makes a run again.
fn again(rules: &NamedRules, seed: u64, options: &Options) -> String {
    let usual = Options::default();
    let mut command = format!("colo sim {} --seed {seed}", rules.name);
    if options.checkpoints != usual.checkpoints {
        let _ = write!(command, " --checkpoints {}", options.checkpoints);
    }
    if options.clients != usual.clients {
        let _ = write!(command, " --clients {}", options.clients);
    }
    if options.datagrams {
        command.push_str(" --datagrams");
    }
    command
}

/// Many runs for a person.
fn summed_up(rules: &NamedRules, summary: &Summary, seconds: f64) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "rules      {}", rules.name);
    let _ = writeln!(
        out,
        "simulated  {} runs, {} events, {} checkpoints, {} failovers, {} virtual s, in {seconds:.1} s",
        grouped(summary.runs),
        grouped(summary.events),
        grouped(summary.checkpoints),
        grouped(summary.failovers),
        grouped(summary.virtual_us / 1_000_000),
    );
    let faults: Vec<_> =
        summary.faults.iter().map(|(kind, count)| format!("{kind} {}", grouped(*count))).collect();
    let _ =
        writeln!(out, "faults     {}", if faults.is_empty() { "none".to_owned() } else { faults.join(", ") });
    let never = summary.never();
    for path in never.iter().take(MOST_NEVER) {
        let _ = writeln!(out, "never      {path}");
    }
    if let Some(more) = never.len().checked_sub(MOST_NEVER).filter(|more| *more > 0) {
        let _ = writeln!(out, "never      {more} more of {} (--json has them all)", summary.sometimes.len());
    }
    for (property, runs) in &summary.properties {
        let _ = writeln!(out, "VIOLATED   {property}: {}", counted(*runs, "run", "runs"));
    }
    for (property, runs) in &summary.not_claimed {
        let _ = writeln!(out, "violated   {property}, not claimed: {}", counted(*runs, "run", "runs"));
    }
    if summary.first_violation.is_none() {
        let _ = writeln!(out, "verdict    holds in every run");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_cover_all_seeds_once() {
        let parts: Vec<_> = (1..=3).map(|part| shard_of(&(5..15), Some(Shard { part, parts: 3 }))).collect();
        assert_eq!(parts, [5..8, 8..11, 11..15]);
        assert_eq!(shard_of(&(0..u64::MAX), Some(Shard { part: 2, parts: 2 })).end, u64::MAX);
    }

    #[test]
    fn bad_ranges_say_what_was_expected() {
        assert_eq!(parse_seeds("0..10"), Ok(0..10));
        for text in ["10", "5..5", "9..3", "a..b", "-1..4", ".."] {
            assert!(parse_seeds(text).is_err(), "{text}");
        }
        for text in ["0/4", "5/4", "1", "1/0", "x/y"] {
            assert!(parse_shard(text).is_err(), "{text}");
        }
    }
}
