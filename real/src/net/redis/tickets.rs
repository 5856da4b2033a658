//! What is asked next, whoever comes to ask.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often each key that is no counter is asked for: not more than the tester of the oracle looks at.
pub(super) const ASKED_PER_KEY: u64 = 16;

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
    given: AtomicU64,
}

impl Tickets {
    pub(super) const fn new(seed: u64, counters: u64) -> Self {
        Self { seed, counters, given: AtomicU64::new(0) }
    }

    pub(super) fn next(&self) -> Ticket {
        self.ticket(self.given.fetch_add(1, Ordering::Relaxed))
    }

    fn ticket(&self, number: u64) -> Ticket {
        let half = number / 2;
        match half.checked_rem(self.counters) {
            Some(counter) if number.is_multiple_of(2) => Ticket::Count { counter },
            _ => Ticket::Key { key: half / ASKED_PER_KEY, wish: self.wish(number) },
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
