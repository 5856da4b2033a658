//! What all suspicions came to, way by way: a table for a person, JSON for a program, and what is kept of those that went
//! wrong.

use super::judge::Suspected;
use super::plan;
use crate::report::{counted, grouped, quoted};
use colo_real::RunOptions;
use colo_trace::{FaultAction, Point, Trace, write_trace};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the plans and the records of runs that went wrong are written.
const DIRECTORY: &str = "colo-traces";

/// A way to have a node suspected, and what came of it.
pub(super) struct Row {
    actions: Vec<FaultAction>,
    points: BTreeSet<Point>,
    runs: u64,
    replies: u64,
    /// Who served alone, and how many times.
    served: [u64; 2],
    granted_us: Vec<u64>,
    served_us: Vec<u64>,
    /// How many times the arbiter was silent for a while.
    silent: u64,
    wrong: Vec<Wrong>,
}

/// What went wrong once.
struct Wrong {
    problem: String,
    at: Point,
    trace: Option<Trace>,
}

/// All ways, each with what came of it.
pub(crate) struct Tally {
    rows: Vec<Row>,
    /// How many there were to be.
    expected: usize,
    /// How many side by side.
    jobs: usize,
    took: Duration,
}

impl Row {
    /// Nothing has come of it yet.
    pub(super) const fn new(actions: Vec<FaultAction>) -> Self {
        Self {
            actions,
            points: BTreeSet::new(),
            runs: 0,
            replies: 0,
            served: [0; 2],
            granted_us: Vec::new(),
            served_us: Vec::new(),
            silent: 0,
            wrong: Vec::new(),
        }
    }

    /// One run more.
    pub(super) fn take(&mut self, at: Point, suspected: Suspected) {
        let Suspected { served, granted_us, served_us, replies, was_silent, problem, trace } = suspected;
        self.runs += 1;
        self.points.insert(at);
        self.replies += replies;
        self.silent += u64::from(was_silent);
        if let Some(node) = served {
            self.served[node as usize] += 1;
        }
        self.granted_us.extend(granted_us);
        self.served_us.extend(served_us);
        self.wrong.extend(problem.map(|problem| Wrong { problem, at, trace }));
    }

    /// What is done to the pair.
    fn what(&self) -> String {
        let words: Vec<_> = self.actions.iter().map(ToString::to_string).collect();
        words.join(", ")
    }

    fn cells(&self) -> [String; 9] {
        let [primary, secondary] = self.served.map(|times| times.to_string());
        let [granted, granted_max] = times(&self.granted_us);
        let [served, served_max] = times(&self.served_us);
        let outcome = match self.wrong.first() {
            None => "held".to_owned(),
            Some(first) => format!("WRONG {}, first: {} at {}", self.wrong.len(), first.problem, first.at),
        };
        let runs = self.runs.to_string();
        [self.what(), runs, primary, secondary, granted, granted_max, served, served_max, outcome]
    }

    fn document(&self, options: &RunOptions) -> Value {
        let [primary, secondary] = self.served;
        let figures = |of: &[u64]| {
            let of = sorted(of);
            json!({ "p50": of.get(of.len() / 2), "max": of.last() })
        };
        json!({
            "schema": 1,
            "rules": options.rules.name,
            "suspicion": self.what(),
            "runs": self.runs,
            "served": { "primary": primary, "secondary": secondary },
            "arbiter_us": figures(&self.granted_us),
            "until_served_us": figures(&self.served_us),
            "arbiter_was_silent": self.silent,
            "replies": self.replies,
            "wrong": self.wrong.len(),
            "problem": self.wrong.first().map(|wrong| &wrong.problem),
        })
    }
}

impl Tally {
    /// What came of all that there was time for, of so many that there were to be, so many of them side by side.
    pub(super) fn of(mut rows: Vec<Row>, (expected, jobs): (usize, usize), took: Duration) -> Self {
        rows.retain(|row| row.runs > 0);
        Self { rows, expected, jobs, took }
    }

    /// At how many points there was a fault.
    fn points(&self) -> usize {
        self.rows.iter().flat_map(|row| &row.points).collect::<BTreeSet<_>>().len()
    }

    fn sum(&self, of: fn(&Row) -> u64) -> u64 {
        self.rows.iter().map(of).sum()
    }

    fn runs(&self) -> u64 {
        self.sum(|row| row.runs)
    }

    /// How many runs went wrong.
    pub(crate) fn wrong(&self) -> u64 {
        self.sum(|row| row.wrong.len() as u64)
    }

    /// Whether there were fewer than there were to be.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.runs() < self.expected as u64
    }

    /// A table for a terminal.
    pub(crate) fn table(&self, options: &RunOptions) -> String {
        let headings = [
            ["suspicion", "runs", "served:", "", "granted in, us", "", "served after, us", "", "outcome"],
            ["", "", "primary", "secondary", "median", "max", "median", "max", ""],
        ];
        let mut lines: Vec<_> = headings.map(|heading| heading.map(str::to_owned)).into();
        lines.extend(self.rows.iter().map(Row::cells));
        let widths: [usize; 9] =
            std::array::from_fn(|column| lines.iter().map(|line| line[column].len()).max().unwrap_or(0));
        let mut out = String::new();
        for [what, figures @ .., outcome] in &lines {
            let _ = write!(out, "{what:<width$}", width = widths[0]);
            for (figure, width) in figures.iter().zip(&widths[1..]) {
                let _ = write!(out, "  {figure:>width$}");
            }
            let _ = writeln!(out, "  {outcome}");
        }
        out = out.lines().fold(String::new(), |all, line| all + line.trim_end() + "\n");
        out + &self.verdict(options)
    }

    fn verdict(&self, options: &RunOptions) -> String {
        let suspicions = counted(self.runs(), "wrong suspicion", "wrong suspicions");
        let arbiter = options.arbiter.as_ref().map_or_else(|| "in memory".to_owned(), ToString::to_string);
        let points = counted(self.points() as u64, "point", "points");
        let (seconds, replies) = (self.took.as_secs(), grouped(self.sum(|row| row.replies)));
        let end = if self.is_incomplete() { ", and then Ctrl-C" } else { "" };
        let silent = match self.sum(|row| row.silent) {
            0 => String::new(),
            times => format!("; in {times} of them the arbiter was silent for a while"),
        };
        let came = match self.wrong() {
            0 => format!(
                "one served each time, never two, never nobody; {replies} replies, none lost or contradicted"
            ),
            wrong => format!("{wrong} of them went WRONG"),
        };
        let jobs = counted(self.jobs as u64, "pair", "pairs");
        format!(
            "\n{suspicions} at {points}, arbiter {arbiter}, in {seconds} s, {jobs} side by side{end}: {came}{silent}\n"
        )
    }

    /// A document a row, and one of the whole.
    pub(crate) fn documents(&self, options: &RunOptions) -> Vec<Value> {
        let rows = self.rows.iter().map(|row| row.document(options));
        let verdict = match self.wrong() {
            1.. => "violated",
            0 if self.is_incomplete() => "incomplete",
            0 => "holds",
        };
        let whole = json!({ "summary": {
            "schema": 1,
            "rules": options.rules.name,
            "arbiter": options.arbiter.as_ref().map(ToString::to_string),
            "runs": self.runs(),
            "ways": self.rows.len(),
            "points": self.points(),
            "jobs": self.jobs,
            "seconds": self.took.as_secs_f64(),
            "replies": self.sum(|row| row.replies),
            "arbiter_was_silent": self.sum(|row| row.silent),
            "wrong": self.wrong(),
            "interrupted": self.is_incomplete(),
            "verdict": verdict,
        } });
        rows.chain([whole]).collect()
    }

    /// Writes what is needed to see it again, of each way that went wrong; the commands that do so, or why there is none.
    pub(crate) fn keep(&self, rules: &str, flags: &str) -> Vec<String> {
        let wrong = self.rows.iter().filter_map(|row| Some((row, row.wrong.first()?)));
        let kept = (1..).zip(wrong).map(|(number, (row, wrong))| {
            let stem = Path::new(rules).file_stem().unwrap_or_default().to_string_lossy().replace(':', "-");
            let file = Path::new(DIRECTORY).join(format!("{stem}.suspicion-{number}.toml"));
            match wrong.keep(&row.actions, &file) {
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
    fn keep(&self, actions: &[FaultAction], file: &PathBuf) -> Result<(), String> {
        let plan = plan(actions, self.at).to_toml().map_err(|error| error.to_string())?;
        std::fs::create_dir_all(DIRECTORY).map_err(|error| error.to_string())?;
        std::fs::write(file, plan).map_err(|error| error.to_string())?;
        let Some(trace) = &self.trace else { return Ok(()) };
        let mut bytes = Vec::new();
        write_trace(trace, &mut bytes).map_err(|error| error.to_string())?;
        std::fs::write(file.with_extension("jsonl"), bytes).map_err(|error| error.to_string())
    }
}

fn sorted(of: &[u64]) -> Vec<u64> {
    let mut sorted = of.to_vec();
    sorted.sort_unstable();
    sorted
}

/// The median and the greatest, for a person.
fn times(of: &[u64]) -> [String; 2] {
    let sorted = sorted(of);
    [sorted.get(sorted.len() / 2), sorted.last()]
        .map(|micros| micros.map_or_else(|| "-".to_owned(), |micros| grouped(*micros)))
}
