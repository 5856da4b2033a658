//! The latest checkpoints of a run while it runs: a table on stderr, where that is a terminal.

use super::COLUMNS;
use crate::report::{counted, grouped};
use colo_real::CheckpointFigures;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::VecDeque;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// How many checkpoints are shown.
const ROWS: usize = 8;

/// How often the table changes.
const EVERY: Duration = Duration::from_millis(200);

/// The table.
pub(super) struct Live {
    bar: ProgressBar,
    begun: Instant,
    shown: Instant,
    latest: VecDeque<CheckpointFigures>,
}

impl Live {
    /// A table with nothing in it yet.
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        let bar = ProgressStyle::with_template("{msg}").map_or(bar.clone(), |style| bar.with_style(style));
        let now = Instant::now();
        Self { bar, begun: now, shown: now, latest: VecDeque::new() }
    }

    /// One checkpoint more.
    pub(super) fn show(&mut self, figures: &CheckpointFigures) {
        if self.latest.len() == ROWS {
            self.latest.pop_front();
        }
        self.latest.push_back(*figures);
        if self.bar.is_hidden() || self.shown.elapsed() < EVERY {
            return;
        }
        self.shown = Instant::now();
        self.bar.set_message(self.table());
    }

    fn table(&self) -> String {
        let mut out = format!("{:>10}", "checkpoint");
        for (_, heading, _) in COLUMNS {
            let _ = write!(out, " {heading:>15}");
        }
        out.push('\n');
        for figures in &self.latest {
            let _ = write!(out, "{:>10}", figures.checkpoint);
            for (_, _, column) in COLUMNS {
                let _ = write!(out, " {:>15}", grouped(column(figures)));
            }
            out.push('\n');
        }
        out + &counted(self.begun.elapsed().as_secs(), "second", "seconds")
    }

    /// Leaves nothing of it: what comes behind has the figures of all.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_checkpoints_are_shown_and_fit_a_terminal() {
        let mut live = Live::new();
        for checkpoint in 1..=20 {
            live.show(&CheckpointFigures {
                checkpoint,
                dirty_pages: 1_000,
                bytes: 4_100_000_000,
                pause_us: 3_000,
                transaction_us: 3_100,
                release_us: 2_200,
            });
        }
        let table = live.table();
        assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
        let rows: Vec<_> = table.lines().skip(1).take(ROWS).collect();
        assert!(
            rows[0].trim_start().starts_with("13 ") && rows[7].trim_start().starts_with("20 "),
            "{table}"
        );
        assert!(rows[7].ends_with("4,100,000,000"), "{table}");
    }
}
