//! Failovers by the hundred: crash after crash, and one table of what came of them, point by point.

use crate::crash_points::{Crashed, crash, crash_of_turn, expected, may_diverge};
use crate::report::{counted, grouped, quoted};
use crate::run::{Unfinished, document};
use colo_model::{Survivor, Survivors, survivors};
use colo_protocol::NodeName;
use colo_real::{ComparisonOutcome, DiskFigures, RunOptions, RunOutcome};
use colo_trace::{Fault, Plan, Trace, write_trace};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Where the plans and the records of runs that went wrong are written.
const DIRECTORY: &str = "colo-traces";

/// All that came of one crash.
pub(crate) struct Row {
    fault: Fault,
    predicted: Survivors,
    outcomes: Vec<RunOutcome>,
    /// Who served alone, and how many times.
    seen: BTreeMap<Survivor, u64>,
    /// How many runs of it there were.
    runs: u64,
    wrong: Vec<Wrong>,
}

/// What went wrong once.
struct Wrong {
    problem: String,
    trace: Option<Trace>,
}

/// All crashes, each with what came of it.
pub(crate) struct Tally {
    rows: Vec<Row>,
    /// Ctrl-C came before all was done.
    pub(crate) interrupted: bool,
}

impl Tally {
    /// Kills a node of a fresh pair so many times, spread over `crashes`, or until somebody asks for what there is.
    pub(crate) fn of(
        options: &RunOptions,
        crashes: &[Fault],
        failovers: usize,
        (enough, bar): (&AtomicBool, &ProgressBar),
    ) -> Result<Self, Unfinished> {
        let rows = crashes.iter().map(|fault| Row::new(*fault, options)).collect();
        let mut tally = Self { rows, interrupted: false };
        for turn in 0..failovers {
            if enough.load(Ordering::Relaxed) {
                tally.interrupted = true;
                break;
            }
            let row = &mut tally.rows[crash_of_turn(turn, failovers, crashes.len())];
            row.take(crash(options, row.fault, &row.predicted)?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        tally.rows.retain(|row| row.runs > 0);
        Ok(tally)
    }

    /// How many nodes were killed.
    pub(crate) fn runs(&self) -> u64 {
        self.rows.iter().map(|row| row.runs).sum()
    }

    /// How many runs went wrong.
    pub(crate) fn wrong(&self) -> u64 {
        self.rows.iter().map(Row::wrong).sum()
    }

    /// At how many points something was killed, each node counted.
    pub(crate) fn crashes(&self) -> usize {
        self.rows.len()
    }

    /// A sum over all runs that came to an end.
    pub(crate) fn sum(&self, of: fn(&RunOutcome) -> u64) -> u64 {
        self.rows.iter().flat_map(|row| &row.outcomes).map(of).sum()
    }

    /// The first thing that went wrong, in a sentence.
    pub(crate) fn first_problem(&self) -> Option<String> {
        self.rows.iter().find_map(|row| {
            let wrong = row.wrong.first()?;
            Some(format!("{} at {}: {}", row.fault.action, row.fault.at, wrong.problem))
        })
    }

    /// A table for a terminal.
    pub(crate) fn table(&self) -> String {
        let mut lines = vec![
            ["killed", "at", "runs", "takeover", "us", "went on from", "the core has", "outcome"]
                .map(str::to_owned),
            ["", "", "", "median", "max", "", "", ""].map(str::to_owned),
        ];
        lines.extend(self.rows.iter().map(Row::cells));
        let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
        let widths: [usize; 7] = std::array::from_fn(width);
        let mut out = String::new();
        for [killed, at, runs, median, max, seen, predicted, outcome] in &lines {
            let [w0, w1, w2, w3, w4, w5, w6] = widths;
            let line = format!(
                "{killed:<w0$}  {at:<w1$}  {runs:>w2$}  {median:>w3$}  {max:>w4$}  {seen:<w5$}  {predicted:<w6$}  {outcome}"
            );
            let _ = writeln!(out, "{}", line.trim_end());
        }
        let crashes = counted(self.runs(), "failover", "failovers");
        let disk = self.disk_row();
        let end = if self.interrupted { ", and then Ctrl-C" } else { "" };
        let _ = match self.wrong() {
            0 => writeln!(out, "\n{crashes}{end}: nothing that a client saw was lost or contradicted{disk}"),
            wrong => writeln!(out, "\n{crashes}{end}, {wrong} of them went WRONG"),
        };
        out
    }

    /// What the disks did that held, if there were any.
    fn disk_row(&self) -> String {
        let [writes, reads, bytes] = [
            self.sum(|outcome| outcome.disk.writes),
            self.sum(|outcome| outcome.disk.reads),
            self.sum(|outcome| outcome.disk.replicated_bytes),
        ];
        if writes == 0 {
            return String::new();
        }
        let [writes, reads, bytes] = [writes, reads, bytes].map(grouped);
        format!(
            "; {writes} blocks written, {bytes} bytes replicated, {reads} blocks read back: every disk was that of \
             its memory"
        )
    }

    /// A document a row, and one of the whole.
    pub(crate) fn documents(&self, options: &RunOptions) -> Vec<Value> {
        let rows = self.rows.iter().map(|row| row.document(options));
        let whole = json!({ "summary": {
            "schema": 1,
            "rules": options.rules.name,
            "runs": self.runs(),
            "ways": self.crashes(),
            "failovers": self.sum(|outcome| outcome.failovers),
            "replies": self.sum(|outcome| outcome.replies),
            "wrong": self.wrong(),
            "interrupted": self.interrupted,
            "verdict": if self.wrong() > 0 { "violated" } else if self.interrupted { "incomplete" } else { "holds" },
        } });
        rows.chain([whole]).collect()
    }

    /// Writes what is needed to see it again, of each crash that went wrong; the commands that do so, or why there is none.
    pub(crate) fn keep(&self, rules: &str, flags: &str) -> Vec<String> {
        let wrong = self.rows.iter().filter_map(|row| Some((row, row.wrong.first()?)));
        let kept = (1..).zip(wrong).map(|(number, (row, wrong))| {
            let stem = Path::new(rules).file_stem().unwrap_or_default().to_string_lossy().replace(':', "-");
            let file = Path::new(DIRECTORY).join(format!("{stem}.crash-{number}.toml"));
            match wrong.keep(row.fault, &file) {
                Ok(()) => {
                    let [rules, file] =
                        [rules.to_owned(), file.display().to_string()].map(|word| quoted(&word));
                    format!("colo run {rules} --plan {file}{flags}")
                }
                Err(problem) => format!("cannot write {}: {problem}", file.display()),
            }
        });
        kept.collect()
    }
}

impl Wrong {
    /// Writes the plan, and beside it the record, if there is one.
    fn keep(&self, fault: Fault, file: &PathBuf) -> Result<(), String> {
        let plan = Plan::new(vec![fault]).to_toml().map_err(|error| error.to_string())?;
        std::fs::create_dir_all(DIRECTORY).map_err(|error| error.to_string())?;
        std::fs::write(file, plan).map_err(|error| error.to_string())?;
        let Some(trace) = &self.trace else { return Ok(()) };
        let mut bytes = Vec::new();
        write_trace(trace, &mut bytes).map_err(|error| error.to_string())?;
        std::fs::write(file.with_extension("jsonl"), bytes).map_err(|error| error.to_string())
    }
}

impl Row {
    fn new(fault: Fault, options: &RunOptions) -> Self {
        let predicted = if may_diverge(options) {
            Survivors::default()
        } else {
            survivors(&options.rules.rules, &Plan::new(vec![fault]))
        };
        Self { fault, predicted, outcomes: Vec::new(), seen: BTreeMap::new(), runs: 0, wrong: Vec::new() }
    }

    fn take(&mut self, Crashed { outcome, survivors, problem }: Crashed) {
        self.runs += 1;
        for survivor in survivors {
            *self.seen.entry(survivor).or_insert(0) += 1;
        }
        let (trace, outcome) = outcome.map(|mut outcome| (outcome.trace.take(), outcome)).unzip();
        self.outcomes.extend(outcome);
        self.wrong.extend(problem.map(|problem| Wrong { problem, trace: trace.flatten() }));
    }

    fn wrong(&self) -> u64 {
        self.wrong.len() as u64
    }

    /// From each promotion to the first reply, ascending.
    fn takeovers(&self) -> Vec<u64> {
        let mut all: Vec<_> =
            self.outcomes.iter().flat_map(|outcome| &outcome.takeover_us).copied().collect();
        all.sort_unstable();
        all
    }

    fn cells(&self) -> [String; 8] {
        let takeovers = self.takeovers();
        let [median, max] = [takeovers.get(takeovers.len() / 2), takeovers.last()]
            .map(|micros| micros.map_or_else(|| "-".to_owned(), |micros| grouped(*micros)));
        let seen: Vec<_> = self.seen.iter().map(|(survivor, times)| format!("{survivor}: {times}")).collect();
        let outcome = match self.wrong.first() {
            None => "held".to_owned(),
            Some(first) => format!("WRONG {}, first: {}", self.wrong(), first.problem),
        };
        [
            self.killed().to_owned(),
            self.fault.at.to_string(),
            self.runs.to_string(),
            median,
            max,
            seen.join(", "),
            expected(&self.predicted),
            outcome,
        ]
    }

    fn killed(&self) -> &'static str {
        self.fault.action.node().map_or("", NodeName::name)
    }

    fn document(&self, options: &RunOptions) -> Value {
        let mut document = document(options, &self.together());
        let takeovers = self.takeovers();
        let count = |loss| {
            let violations = self.outcomes.iter().filter_map(|outcome| outcome.violation.as_ref());
            violations.filter(|violation| violation.is_loss() == loss).count()
        };
        let seen: BTreeMap<_, _> =
            self.seen.iter().map(|(survivor, times)| (survivor.to_string(), times)).collect();
        let predicted: Vec<_> = self.predicted.possible.iter().map(Survivor::to_string).collect();
        let predicted = (self.predicted.complete || !predicted.is_empty()).then_some(predicted);
        document["killed"] = self.killed().into();
        document["at"] = self.fault.at.to_string().into();
        document["runs"] = self.runs.into();
        document["takeover_median_us"] = takeovers.get(takeovers.len() / 2).copied().into();
        document["takeover_max_us"] = takeovers.last().copied().into();
        document["went_on_from"] = json!(seen);
        document["predicted"] = predicted.into();
        document["replies"]["lost"] = count(true).into();
        document["replies"]["contradicted"] = count(false).into();
        document["wrong"] = self.wrong().into();
        document["problem"] = self.wrong.first().map(|wrong| wrong.problem.clone()).into();
        document
    }

    /// All runs as if they were one, with the first violation.
    fn together(&self) -> RunOutcome {
        let all = || self.outcomes.iter();
        RunOutcome {
            violation: all().find_map(|outcome| outcome.violation.clone()),
            claimed: all().all(|outcome| outcome.claimed),
            checkpoints: all().flat_map(|outcome| outcome.checkpoints.clone()).collect(),
            comparison: all()
                .fold(ComparisonOutcome::NOTHING_YET, |sum, outcome| sum.and(&outcome.comparison)),
            arbiter_was_silent: all().find_map(|outcome| outcome.arbiter_was_silent.clone()),
            failovers: all().map(|outcome| outcome.failovers).sum(),
            replies: all().map(|outcome| outcome.replies).sum(),
            powered_off: [false; 2],
            protected_again: 0,
            entries: Vec::new(),
            takeover_us: all().flat_map(|outcome| outcome.takeover_us.clone()).collect(),
            struck: all().flat_map(|outcome| outcome.struck.clone()).collect(),
            unreached: all().flat_map(|outcome| outcome.unreached.clone()).collect(),
            closed: Vec::new(),
            disk: all().map(|outcome| outcome.disk).fold(DiskFigures::default(), DiskFigures::and),
            trace: None,
            began_us: self.outcomes.first().map_or(0, |outcome| outcome.began_us),
        }
    }
}
