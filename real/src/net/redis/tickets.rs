//! What is asked next, whoever comes to ask.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often each key that is no counter is asked for: not more than the tester of the oracle looks at.
const ASKED_PER_KEY: u64 = 16;

/// Likewise where there are more connections than [`FEW`]: as many may ask for it at the same time, and in how many orders they may
/// have been answered, all of which are tried, grows with the factorial.
const ASKED_BY_MANY: u64 = 6;
const FEW: u32 = 8;

/// What is asked of the service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ticket {
    /// Increment a counter that all share.
    Count { counter: u64 },
    /// Something of a key that is asked for a few times only.
    Key { key: u64, wish: Wish },
}

/// What is asked of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wish {
    Get,
    Increment,
    Set(u64),
}

/// All that is asked, in an order that the seed gives.
#[derive(Debug)]
pub(super) struct Tickets {
    seed: u64,
    counters: u64,
    asked_per_key: u64,
    given: AtomicU64,
}

impl Tickets {
    pub(super) const fn new(seed: u64, counters: u64, connections: u32) -> Self {
        let asked_per_key = if connections > FEW { ASKED_BY_MANY } else { ASKED_PER_KEY };
        Self { seed, counters, asked_per_key, given: AtomicU64::new(0) }
    }

    /// How often each key is asked for that is no counter.
    pub(super) const fn asked_per_key(&self) -> u64 {
        self.asked_per_key
    }

    pub(super) fn next(&self) -> Ticket {
        self.ticket(self.given.fetch_add(1, Ordering::Relaxed))
    }

    fn ticket(&self, number: u64) -> Ticket {
        let half = number / 2;
        match half.checked_rem(self.counters) {
            Some(counter) if number.is_multiple_of(2) => Ticket::Count { counter },
            _ => Ticket::Key { key: half / self.asked_per_key, wish: self.wish(number) },
        }
    }

    fn wish(&self, number: u64) -> Wish {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(number);
        match rng.random_range(0..3) {
            0 => Wish::Get,
            1 => Wish::Increment,
            // No value is written twice, and none is what an increment comes to.
            _ => Wish::Set(number * 1000),
        }
    }

    pub(super) fn counter_name(&self, counter: u64) -> String {
        format!("counter:{}:{counter}", self.seed)
    }

    pub(super) fn key_name(&self, key: u64) -> String {
        format!("key:{}:{key}", self.seed)
    }
}
