//! When requests are made and what they ask for. It knows nothing of answers: an open load goes on whether there are
//! any or not, which is what it is for.

use colo_oracle::Operation;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::{Duration, Instant};

/// Keys that requests of one window ask for, so many that they seldom meet.
pub(super) const KEYS: u64 = 256;

/// A load that does not wait for answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    /// Requests a second, on average.
    pub per_second: u32,
    /// What the times and the requests are drawn from.
    pub seed: u64,
}

/// When the next request is made.
#[derive(Debug)]
pub(crate) enum Demand {
    /// As soon as there is somebody to make it: a client asks, waits for the answer, and asks again.
    Closed,
    /// At its time.
    Open(Box<Schedule>),
    /// By clients that are not here, over the network: nothing is made here, and how much is seen is counted in frames.
    Outside,
}

/// Seeded times, one after the other. From one to the next it is between nothing and twice the average.
#[derive(Debug)]
pub(crate) struct Schedule {
    begun: Instant,
    rng: ChaCha8Rng,
    longest_gap_ns: u64,
    /// Since the beginning.
    next_ns: u64,
    /// After that nothing is asked.
    end: Option<Instant>,
}

impl Demand {
    /// The demand of a run that begins now.
    pub(super) fn new(load: Option<Load>, now: Instant) -> Self {
        load.map_or(Self::Closed, |load| Self::Open(Box::new(Schedule::new(load, now))))
    }

    /// When a client begins to wait that has nothing to do: at the time of the next request, if that has come.
    pub(super) fn next(&mut self, now: Instant) -> Option<Instant> {
        match self {
            Self::Closed => Some(now),
            Self::Open(schedule) => schedule.next(now),
            Self::Outside => None,
        }
    }

    /// When the next request is to be made, if that is known.
    pub(super) fn due(&self) -> Option<Instant> {
        match self {
            Self::Closed | Self::Outside => None,
            Self::Open(schedule) => schedule.due(),
        }
    }

    /// No requests whose time has not come by now.
    pub(super) fn end(&mut self, now: Instant) {
        if let Self::Open(schedule) = self {
            schedule.end.get_or_insert(now);
        }
    }

    /// What client `client` asks for with its request `sequence`.
    pub(super) fn operation(&mut self, client: u32, sequence: u64, first_key: u64) -> Operation {
        let (what, key, value) = match self {
            Self::Closed | Self::Outside => (sequence, sequence * 7 + u64::from(client), sequence),
            Self::Open(schedule) => schedule.rng.random(),
        };
        let key = first_key + key % KEYS;
        match what % 3 {
            0 => Operation::Get { key },
            1 => Operation::Add { key, delta: value },
            _ => Operation::Put { key, value: (u64::from(client) << 32) | (value & 0xffff_ffff) },
        }
    }
}

impl Schedule {
    fn new(load: Load, begun: Instant) -> Self {
        let longest_gap_ns = 2 * 1_000_000_000 / u64::from(load.per_second.max(1));
        let rng = ChaCha8Rng::seed_from_u64(load.seed);
        Self { begun, rng, longest_gap_ns, next_ns: 0, end: None }
    }

    fn due(&self) -> Option<Instant> {
        let due = self.begun + Duration::from_nanos(self.next_ns);
        self.end.is_none_or(|end| due <= end).then_some(due)
    }

    fn next(&mut self, now: Instant) -> Option<Instant> {
        let due = self.due().filter(|due| *due <= now)?;
        self.next_ns += self.rng.random_range(0..=self.longest_gap_ns);
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(seed: u64, begun: Instant, until: Duration) -> Vec<Duration> {
        let mut demand = Demand::new(Some(Load { per_second: 1_000, seed }), begun);
        let now = begun + until;
        std::iter::from_fn(|| demand.next(now)).map(|due| due - begun).collect()
    }

    #[test]
    fn the_same_seed_asks_at_the_same_times_and_on_average_as_often_as_was_said() {
        let (begun, until) = (Instant::now(), Duration::from_secs(10));
        let asked = times(7, begun, until);
        assert_eq!(asked, times(7, begun, until));
        assert_ne!(asked, times(8, begun, until));
        assert!((9_700..10_300).contains(&asked.len()), "{}", asked.len());
    }

    #[test]
    fn what_was_due_before_the_end_is_asked_and_nothing_after_it() {
        let begun = Instant::now();
        let (middle, late) = (begun + Duration::from_secs(1), begun + Duration::from_secs(9));
        let mut demand = Demand::new(Some(Load { per_second: 1_000, seed: 7 }), begun);
        demand.end(middle);
        let asked: Vec<_> = std::iter::from_fn(|| demand.next(late)).collect();
        assert!(asked.len() > 900 && asked.iter().all(|due| *due <= middle), "{}", asked.len());
        assert_eq!(demand.due(), None);
    }
}
