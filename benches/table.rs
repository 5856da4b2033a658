//! What came of it all: a line for each ratio, with its limit.
//!
//! A ratio is the median of the ratios of single turns: what disturbs the machine for a while disturbs both peers alike.

use std::fmt;
use std::time::Duration;

/// The most bytes that the graph may take for each state.
const LIMIT_OF_BYTES: usize = 120;

/// One comparison.
pub(crate) struct Row {
    name: String,
    limit: f64,
    /// The times of ours and theirs, turn by turn.
    turns: Vec<(Duration, Duration)>,
    bytes_per_state: usize,
}

impl Row {
    /// A comparison of which nothing is known yet.
    pub(crate) const fn new(name: String, limit: f64) -> Self {
        Self { name, limit, turns: Vec::new(), bytes_per_state: 0 }
    }

    /// Takes in a turn.
    pub(crate) fn add(&mut self, ours: Duration, theirs: Duration, bytes_per_state: usize) {
        self.turns.push((ours, theirs));
        self.bytes_per_state = self.bytes_per_state.max(bytes_per_state);
    }

    fn median(&self, of: impl Fn(&(Duration, Duration)) -> f64) -> f64 {
        let mut values: Vec<f64> = self.turns.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }

    fn ratio(&self) -> f64 {
        self.median(|(ours, theirs)| ours.div_duration_f64(*theirs))
    }

    fn is_reached(&self) -> bool {
        self.ratio() <= self.limit && self.bytes_per_state <= LIMIT_OF_BYTES
    }
}

/// All comparisons.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Adds a comparison, unless criterion was asked to leave it out.
    pub(crate) fn add(&mut self, row: Row) {
        if !row.turns.is_empty() {
            self.rows.push(row);
        }
    }

    /// Whether all limits are.
    pub(crate) fn is_reached(&self) -> bool {
        self.rows.iter().all(Row::is_reached)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\nprocessor time, medians                      ours / stateright, safety alone = ratio, limit"
        )?;
        for row in &self.rows {
            let (ours, theirs) =
                (row.median(|turn| turn.0.as_secs_f64()), row.median(|turn| turn.1.as_secs_f64()));
            let verdict = reached(row.ratio() <= row.limit);
            let (name, ratio, limit) = (&row.name, row.ratio(), row.limit);
            writeln!(f, "{name:<44} {ours:.3} s / {theirs:.3} s = {ratio:.2}, limit {limit:.2}, {verdict}")?;
        }
        let bytes = self.rows.iter().map(|row| row.bytes_per_state).max().unwrap_or(0);
        let verdict = reached(bytes <= LIMIT_OF_BYTES);
        writeln!(f, "{:<44} {bytes}, limit {LIMIT_OF_BYTES}, {verdict}", "bytes per state, with the graph")
    }
}

const fn reached(is_reached: bool) -> &'static str {
    if is_reached { "reached" } else { "NOT reached" }
}
