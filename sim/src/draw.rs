//! Random numbers of one run: integers only, from one seed, a stream for each purpose.
//!
//! What one purpose draws never shifts what another one gets, so a run with its faults taken from a plan draws all
//! the rest as the run did that the plan was recorded from.

use rand::rand_core::Rng;
use rand::rand_core::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::fmt;

/// What numbers are drawn for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// The run's parameters.
    Knobs,
    /// Latencies, segment boundaries, the fate of bytes in flight.
    Network,
    /// How long the nodes' operations and effects take.
    Nodes,
    /// The clients' operations and pauses.
    Clients,
    /// The manager's delays and choices.
    Manager,
    /// Which faults strike, and where.
    Faults,
    /// The parameters of the guests, and of what becomes of a pair.
    GuestKnobs,
    /// Disks, the guests' own choices, replacements.
    Guests,
}

/// An inclusive range of numbers, mostly of microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    pub(crate) low: u64,
    pub(crate) high: u64,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={}", self.low, self.high)
    }
}

/// The numbers for one purpose.
#[derive(Clone, Debug)]
pub(crate) struct Draws {
    generator: ChaCha8Rng,
}

impl Draws {
    pub(crate) fn new(seed: u64, purpose: Purpose) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(purpose as u64);
        Self { generator }
    }

    /// A number below `bound`, which is at most 2^32.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        assert!(bound <= 1 << 32, "a bound of {bound} needs more than one draw");
        (u64::from(self.generator.next_u32()) * bound) >> 32
    }

    /// A number of the span, both ends included.
    pub(crate) fn within(&mut self, span: Span) -> u64 {
        span.low + self.below(span.high.saturating_sub(span.low) + 1)
    }

    /// True one time in `bound`.
    pub(crate) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    /// A part of the span 0..=`ceiling`: both ends of it drawn.
    pub(crate) fn span(&mut self, floor: u64, ceiling: u64) -> Span {
        let (one, other) = (
            self.within(Span { low: floor, high: ceiling }),
            self.within(Span { low: floor, high: ceiling }),
        );
        Span { low: one.min(other), high: one.max(other) }
    }
}

/// A number as an index. What does not fit indexes nothing.
pub(crate) fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_do_not_shift_each_other() {
        let mut network = Draws::new(7, Purpose::Network);
        let first = network.below(1000);
        let mut faults = Draws::new(7, Purpose::Faults);
        let _ = faults.below(1000);
        assert_eq!(Draws::new(7, Purpose::Network).below(1000), first);
        let spans: Vec<u64> = (0..100).map(|_| network.within(Span { low: 3, high: 5 })).collect();
        assert!(
            spans.iter().all(|number| (3..=5).contains(number)) && spans.contains(&3) && spans.contains(&5)
        );
    }
}
