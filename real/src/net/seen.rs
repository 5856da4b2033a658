//! Which places of the guest's output stream have come by: a survivor sends again what the one that died may have sent,
//! and nobody is to have it twice. Unlike a client of the service, a network loses what it has no room for, so that a place
//! may never come, and two ports are heard in any order, so that it may come late.

use std::collections::BTreeSet;

/// How many places that have not come are remembered, below those that have. What is further back has come.
const MOST_MISSING: usize = 1 << 14;

/// The places that have come.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Behind the last one that has come.
    next: u64,
    /// Those before it that have not.
    missing: BTreeSet<u64>,
}

impl Seen {
    /// Something has come at this place. Whether it is the first time.
    pub(super) fn is_new(&mut self, place: u64) -> bool {
        if place < self.next {
            return self.missing.remove(&place);
        }
        let first_missing = self.next.max(place.saturating_sub(MOST_MISSING as u64));
        self.missing.extend(first_missing..place);
        while self.missing.len() > MOST_MISSING {
            self.missing.pop_first();
        }
        self.next = place.saturating_add(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_survivor_sends_again_has_come_already() {
        let mut seen = Seen::default();
        assert!((0..10).all(|place| seen.is_new(place)));
        assert!((6..10).all(|place| !seen.is_new(place)));
        assert!((10..20).all(|place| seen.is_new(place)));
    }

    #[test]
    fn behind_a_gap_it_goes_on_and_what_fills_the_gap_comes_once() {
        let mut seen = Seen::default();
        assert!(seen.is_new(0));
        assert!(seen.is_new(3));
        assert!(seen.is_new(1));
        assert!(!seen.is_new(1));
        assert!(!seen.is_new(3));
        assert!(seen.is_new(2));
        assert!(seen.is_new(4));
    }

    #[test]
    fn a_gap_as_long_as_the_stream_takes_no_more_room_than_another() {
        let mut seen = Seen::default();
        assert!(seen.is_new(5));
        assert!(seen.is_new(u64::MAX - 1));
        assert_eq!(seen.missing.len(), MOST_MISSING);
        assert!(!seen.is_new(0), "too far back to be known");
        assert!(seen.is_new(u64::MAX - 2));
    }
}
