//! The lines of a sweep, read again: to go on where it ended, and to add shards up.
//!
//! A line that is not what it should be is named with its file and its number, but for the last one of a sweep that
//! was cut off while it wrote it.

use crate::report::Failure;
use colo_sim::{LINE_SCHEMA, Line, SeedSet, Summary};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The longest line that is read, bytes.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// The last line of a sweep.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Ending {
    pub(super) schema: u32,
    pub(super) summary: Summary,
    pub(super) rules: String,
    pub(super) sweep: String,
    /// The seeds that were run, in ranges.
    pub(super) seeds: Vec<[u64; 2]>,
    /// Whether these were all that were asked for.
    pub(super) complete: bool,
    /// What the first run that broke something shrank to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) shrunk: Option<Value>,
}

/// What the lines of one sweep, or of several shards, have in common, and what they add up to.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Runs {
    pub(super) rules: String,
    pub(super) sweep: String,
    pub(super) summary: Summary,
    pub(super) seeds: SeedSet,
}

/// A file of lines.
pub(super) struct Lines {
    /// What its runs are, if there is one in it.
    pub(super) runs: Option<Runs>,
    /// How the sweep says that it ended, if it came to that.
    pub(super) complete: Option<bool>,
    /// How many bytes from the beginning hold whole lines of runs.
    pub(super) whole_bytes: u64,
    /// Whether there is more behind them that is no line.
    pub(super) cut_off: bool,
}

/// Reads the lines of a file, on top of the runs that are known.
pub(super) fn read(path: &Path, known: Option<Runs>) -> Result<Lines, Failure> {
    let bad = |problem: String| Failure::Input(format!("{}: {problem}", path.display()));
    let mut input = BufReader::new(File::open(path).map_err(|error| bad(error.to_string()))?);
    let mut lines = Lines { runs: known, complete: None, whole_bytes: 0, cut_off: false };
    let mut text = Vec::new();
    for number in 1_u64.. {
        text.clear();
        let read = (&mut input).take(MAX_LINE_BYTES).read_until(b'\n', &mut text);
        let bytes = read.map_err(|error| bad(error.to_string()))?;
        if bytes == 0 {
            break;
        }
        if !text.ends_with(b"\n") && bytes < MAX_LINE_BYTES.try_into().unwrap_or(usize::MAX) {
            lines.cut_off = true;
            break;
        }
        lines.take(&text).map_err(|problem| bad(format!("line {number}: {problem}")))?;
    }
    Ok(lines)
}

/// Tells the last line from the others.
#[derive(Deserialize)]
struct Probe {
    summary: Option<IgnoredAny>,
}

impl Lines {
    fn take(&mut self, text: &[u8]) -> Result<(), String> {
        let wrong = |error: serde_json::Error| error.to_string();
        if self.complete.is_some() {
            return Err("it stands behind the summary, which is the last line of a sweep".to_owned());
        }
        if serde_json::from_slice::<Probe>(text).map_err(wrong)?.summary.is_some() {
            let ending: Ending = serde_json::from_slice(text).map_err(wrong)?;
            self.end(ending)
        } else {
            self.whole_bytes += text.len() as u64;
            self.run(&serde_json::from_slice(text).map_err(wrong)?)
        }
    }

    fn run(&mut self, line: &Line) -> Result<(), String> {
        expect_schema(line.schema)?;
        let (Some(rules), Some(sweep)) = (&line.rules, &line.sweep) else {
            return Err("it does not say of which rules and which sweep it is".to_owned());
        };
        let runs = self.runs.get_or_insert_with(|| Runs::none(rules, sweep));
        runs.expect_sweep(rules, sweep)?;
        if !runs.seeds.insert(line.seed) {
            return Err(format!("seed {} was run already", line.seed));
        }
        runs.summary.add_line(line);
        Ok(())
    }

    /// The summary is what its lines are, and knows what no run did.
    fn end(&mut self, ending: Ending) -> Result<(), String> {
        expect_schema(ending.schema)?;
        let Ending { rules, sweep, summary, complete, .. } = ending;
        let runs = self.runs.get_or_insert_with(|| Runs::none(&rules, &sweep));
        runs.expect_sweep(&rules, &sweep)?;
        for path in summary.sometimes.into_keys() {
            runs.summary.sometimes.entry(path).or_default();
        }
        for occasion in summary.occasions.into_keys() {
            runs.summary.occasions.entry(occasion).or_default();
        }
        self.complete = Some(complete);
        Ok(())
    }
}

impl Runs {
    fn none(rules: &str, sweep: &str) -> Self {
        let (rules, sweep) = (rules.to_owned(), sweep.to_owned());
        Self { rules, sweep, summary: Summary::default(), seeds: SeedSet::default() }
    }

    fn expect_sweep(&self, rules: &str, sweep: &str) -> Result<(), String> {
        if self.sweep == sweep {
            return Ok(());
        }
        Err(format!("a run of {rules} with other rules or other flags than those before, of {}", self.rules))
    }
}

fn expect_schema(schema: u32) -> Result<(), String> {
    if schema == LINE_SCHEMA { Ok(()) } else { Err(format!("schema {schema}, expected {LINE_SCHEMA}")) }
}
