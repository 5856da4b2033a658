//! What a run costs its clients: how long requests take, and over time with what the pair did meanwhile. Measures, and
//! judges nothing.

use super::failover_times::FailoverTimes;
use super::windows::Opinion;
use crate::control::CheckpointFigures;
use colo_protocol::NodeName;
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};

/// The most slices of a run: when it lasts longer each becomes twice as long.
const MOST_SLICES: usize = 400;

/// How long the first slices are, milliseconds.
const FIRST_WIDTH_MS: u64 = 100;

/// Latencies, microseconds.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self::with_digits(3)
    }
}

impl Latencies {
    /// None yet; of each so many digits are kept. It grows with what is recorded.
    fn with_digits(digits: u8) -> Self {
        Self(Histogram::new(digits).unwrap_or_else(|_| unreachable!("from none to five digits there can be")))
    }

    /// One more.
    pub fn record(&mut self, latency: Duration) {
        // There is room for any number of microseconds that a run can last.
        let _ = self.0.record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    /// All of `other`, too.
    pub fn add(&mut self, other: &Self) {
        // As above.
        let _ = self.0.add(&other.0);
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The value below which this part of them is, microseconds; none of none.
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        (self.count() > 0).then(|| self.0.value_at_quantile(quantile))
    }

    /// The longest, microseconds.
    pub fn max(&self) -> Option<u64> {
        (self.count() > 0).then(|| self.0.max())
    }
}

/// A part of a run's time.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Of requests that were to be made in it.
    pub latency: Latencies,
    /// Checkpoints that were completed in it.
    pub checkpoints: u64,
    /// The most pages of one of them.
    pub most_dirty_pages: u64,
    /// Their sums.
    pub dirty_pages: u64,
    /// How long the primary's VM stood still, microseconds.
    pub pause_us: u64,
    /// From requests to releases, microseconds.
    pub release_us: u64,
    /// The most memory that each node's process was seen to hold, bytes; 0 if nobody looked.
    pub resident_bytes: [u64; 2],
}

impl Default for Slice {
    fn default() -> Self {
        Self {
            // There are many slices.
            latency: Latencies::with_digits(2),
            checkpoints: 0,
            most_dirty_pages: 0,
            dirty_pages: 0,
            pause_us: 0,
            release_us: 0,
            resident_bytes: [0; 2],
        }
    }
}

impl Slice {
    fn add(&mut self, other: &Self) {
        self.latency.add(&other.latency);
        self.checkpoints += other.checkpoints;
        self.most_dirty_pages = self.most_dirty_pages.max(other.most_dirty_pages);
        self.dirty_pages += other.dirty_pages;
        self.pause_us += other.pause_us;
        self.release_us += other.release_us;
        for (most, seen) in self.resident_bytes.iter_mut().zip(other.resident_bytes) {
            *most = seen.max(*most);
        }
    }
}

/// What was measured in a run.
#[derive(Clone, Debug)]
pub struct Measured {
    begun: Instant,
    width_ms: u64,
    slices: Vec<Slice>,
    /// From when a request was to be made until its answer was seen.
    pub latency: Latencies,
    /// The same of those requests only that were open when a node was promoted.
    pub at_failover: Latencies,
    /// The failovers, each in its parts.
    pub failovers: Vec<FailoverTimes>,
    /// How long the run took, until it was to drain.
    pub lasted: Duration,
    /// The second opinion on its history.
    pub opinion: Opinion,
}

impl Measured {
    /// Nothing yet, of a run that begins now.
    pub fn new(begun: Instant) -> Self {
        Self {
            begun,
            width_ms: FIRST_WIDTH_MS,
            slices: Vec::new(),
            latency: Latencies::default(),
            at_failover: Latencies::default(),
            failovers: Vec::new(),
            lasted: Duration::ZERO,
            opinion: Opinion::default(),
        }
    }

    /// When the run has begun.
    pub const fn begun(&self) -> Instant {
        self.begun
    }

    /// How long a slice is, milliseconds.
    pub const fn slice_ms(&self) -> u64 {
        self.width_ms
    }

    /// The run's time in parts of equal length, one after the other.
    pub fn slices(&self) -> &[Slice] {
        &self.slices
    }

    /// A request that was to be made at `since` has been answered.
    pub(super) fn answered(&mut self, since: Instant, now: Instant, at_failover: bool) {
        let latency = now.duration_since(since);
        self.latency.record(latency);
        if at_failover {
            self.at_failover.record(latency);
        }
        self.slice(since).latency.record(latency);
    }

    /// A checkpoint has been completed.
    pub(super) fn checkpoint(&mut self, figures: &CheckpointFigures, now: Instant) {
        let slice = self.slice(now);
        slice.checkpoints += 1;
        slice.most_dirty_pages = slice.most_dirty_pages.max(figures.dirty_pages);
        slice.dirty_pages += figures.dirty_pages;
        slice.pause_us += figures.pause_us;
        slice.release_us += figures.release_us;
    }

    /// A node's process holds so much memory.
    pub(super) fn resident(&mut self, node: NodeName, bytes: u64, now: Instant) {
        let most = &mut self.slice(now).resident_bytes[node as usize];
        *most = bytes.max(*most);
    }

    /// The slice that a moment lies in.
    fn slice(&mut self, at: Instant) -> &mut Slice {
        let since_ms =
            u64::try_from(at.saturating_duration_since(self.begun).as_millis()).unwrap_or(u64::MAX);
        while since_ms / self.width_ms >= MOST_SLICES as u64 {
            self.halve();
        }
        // Below the most that there are.
        let index = usize::try_from(since_ms / self.width_ms).unwrap_or(0);
        if index >= self.slices.len() {
            self.slices.resize_with(index + 1, Slice::default);
        }
        &mut self.slices[index]
    }

    /// Makes one slice of each two.
    fn halve(&mut self) {
        self.width_ms *= 2;
        let mut pairs = std::mem::take(&mut self.slices).into_iter();
        while let Some(mut first) = pairs.next() {
            if let Some(second) = pairs.next() {
                first.add(&second);
            }
            self.slices.push(first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_run_has_longer_slices_and_loses_nothing() {
        let begun = Instant::now();
        let mut measured = Measured::new(begun);
        for second in 0..200 {
            let since = begun + Duration::from_secs(second);
            measured.answered(since, since + Duration::from_millis(second), second == 7);
            measured.resident(NodeName::Secondary, 1_000 - second, since);
        }
        assert_eq!((measured.slice_ms(), measured.slices().len()), (800, 249));
        assert_eq!(measured.slices().iter().map(|slice| slice.latency.count()).sum::<u64>(), 200);
        assert_eq!(measured.slices()[0].resident_bytes, [0, 1_000]);
        assert_eq!((measured.latency.count(), measured.at_failover.max()), (200, Some(7_003)));
    }

    #[test]
    fn what_nobody_waited_for_has_no_latency() {
        assert_eq!((Latencies::default().quantile(0.5), Latencies::default().max()), (None, None));
    }
}
