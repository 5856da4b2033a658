//! A slow link: a token bucket of bytes for each connection, from which a node takes what it writes there. It knows no messages and decides nothing.

use std::time::{Duration, Instant};

/// What may leave at once after a while in which nothing has, in time: what a slow link's queue holds.
const QUEUE: Duration = Duration::from_millis(10);

/// The least that is worth a write, bytes.
const LEAST: u64 = 1 << 12;

/// Bytes that may leave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    per_second: u64,
    tokens: u64,
    filled_at: Instant,
}

impl Pace {
    /// So many bytes a second, at least one; the bucket is full.
    pub(crate) fn new(per_second: u64, now: Instant) -> Self {
        let mut pace = Self { per_second: per_second.max(1), tokens: 0, filled_at: now };
        pace.tokens = pace.most();
        pace
    }

    /// What the bucket holds when it is full.
    fn most(&self) -> u64 {
        self.in_time(QUEUE).max(LEAST)
    }

    fn in_time(&self, time: Duration) -> u64 {
        let bytes = u128::from(self.per_second) * time.as_micros() / 1_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// How many bytes may leave now; none, or enough for a write.
    pub(crate) fn room(&mut self, now: Instant) -> usize {
        let come = self.in_time(now.saturating_duration_since(self.filled_at));
        if come > 0 {
            self.tokens = self.tokens.saturating_add(come).min(self.most());
            self.filled_at = now;
        }
        if self.tokens < LEAST { 0 } else { usize::try_from(self.tokens).unwrap_or(usize::MAX) }
    }

    /// So many have left.
    pub(crate) fn take(&mut self, bytes: usize) {
        self.tokens = self.tokens.saturating_sub(bytes as u64);
    }

    /// When there is room again.
    pub(crate) fn room_at(&self) -> Instant {
        let missing = LEAST.saturating_sub(self.tokens);
        let micros = u128::from(missing) * 1_000_000 / u128::from(self.per_second) + 1;
        self.filled_at + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_in_a_second_is_the_rate_and_what_the_bucket_held() {
        let begun = Instant::now();
        let mut pace = Pace::new(1 << 20, begun);
        let (mut now, mut left) = (begun, 0);
        while now < begun + Duration::from_secs(1) {
            let room = pace.room(now);
            pace.take(room);
            left += room;
            now = pace.room_at();
        }
        let rate = 1 << 20;
        assert!((rate..=rate + rate / 50).contains(&left), "{left}");
    }

    #[test]
    fn an_empty_bucket_says_when_there_is_room() {
        let now = Instant::now();
        let mut pace = Pace::new(1 << 20, now);
        let all = pace.room(now);
        pace.take(all);
        assert_eq!(pace.room(now), 0);
        assert!(pace.room(pace.room_at()) >= 1 << 12);
    }
}
