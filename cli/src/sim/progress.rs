//! How far a sweep is: one line on stderr, where that is a terminal.

use crate::report::grouped;
use colo_sim::Summary;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

/// How often the line changes.
const EVERY: Duration = Duration::from_millis(100);

/// A bar on stderr, if that is a terminal.
pub(crate) fn progress_bar(length: u64, what: &'static str) -> ProgressBar {
    bar(length, "{msg:24} {bar:40} {human_pos}/{human_len} {per_sec:.dim} {eta:.dim}").with_message(what)
}

fn bar(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    ProgressStyle::with_template(template).map_or(bar.clone(), |style| bar.with_style(style))
}

/// The line of a sweep.
pub(super) struct Progress {
    bar: ProgressBar,
    begun: Instant,
    shown: Instant,
    /// What was there before it began.
    before: (u64, u64),
}

impl Progress {
    /// A sweep of so many runs, or of as many as there is time for, on top of those that were there before.
    pub(super) fn new(runs: Option<u64>, before: &Summary) -> Self {
        let bar = match runs {
            Some(runs) => bar(runs, "{bar:24} {human_pos}/{human_len} runs, {msg}, {eta} left"),
            None => bar(0, "{human_pos} runs, {msg}, {elapsed} so far"),
        };
        let now = Instant::now();
        Self { bar, begun: now, shown: now, before: (before.runs, before.events) }
    }

    /// One run more.
    pub(super) fn show(&mut self, summary: &Summary) {
        if self.bar.is_hidden() || self.shown.elapsed() < EVERY {
            return;
        }
        self.shown = Instant::now();
        self.bar.set_position(summary.runs - self.before.0);
        self.bar.set_message(self.figures(summary));
    }

    fn figures(&self, summary: &Summary) -> String {
        let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = |count: u64| count.saturating_mul(1_000) / millis;
        format!(
            "{} runs/s, {} events/s, {} faults, {} failures",
            grouped(rate(summary.runs - self.before.0)),
            grouped(rate(summary.events - self.before.1)),
            grouped(summary.all_faults()),
            grouped(summary.violated)
        )
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_counts_from_where_the_sweep_went_on() {
        let mut before = Summary { runs: 10, events: 100, ..Summary::default() };
        let progress = Progress::new(Some(5), &before);
        before.runs += 2;
        before.violated = 1;
        before.faults.insert("crash".to_owned(), 3);
        let figures = progress.figures(&before);
        assert!(figures.ends_with(" runs/s, 0 events/s, 3 faults, 1 failures"), "{figures}");
    }
}
