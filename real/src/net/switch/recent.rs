//! What went to the service lately: what the node that died had of it, and its survivor has not, the network sends again when
//! the service is somewhere else. TCP would do so by itself, but only when its patience is over, which has nothing to do with
//! the pair (200 ms with Linux, a second with smoltcp); whoever has a frame already, drops it as it drops any that comes twice.

use crate::net::frame::Frame;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The most bytes that are kept; the oldest go first.
const MOST_BYTES: usize = 4 << 20;

/// The frames that are kept.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// For how long; not at all, if for no time.
    kept_for: Duration,
    frames: VecDeque<(Instant, Frame)>,
    bytes: usize,
}

impl Recent {
    /// Frames are kept for so long.
    pub(super) fn keep_for(&mut self, kept_for: Duration) {
        self.kept_for = kept_for;
    }

    /// A frame goes to the service.
    pub(super) fn goes(&mut self, now: Instant, frame: &Frame) {
        if self.kept_for.is_zero() {
            return;
        }
        self.bytes += frame.len();
        self.frames.push_back((now, frame.clone()));
        self.forget_before(now);
    }

    /// What went to the service lately, oldest first.
    pub(super) fn frames(&mut self, now: Instant) -> impl Iterator<Item = &Frame> {
        self.forget_before(now);
        self.frames.iter().map(|(_, frame)| frame)
    }

    fn forget_before(&mut self, now: Instant) {
        let (kept_for, bytes) = (self.kept_for, &mut self.bytes);
        let is_old = |at: Instant, bytes: usize| now.duration_since(at) > kept_for || bytes > MOST_BYTES;
        while let Some((_, frame)) = self.frames.pop_front_if(|(at, _)| is_old(*at, *bytes)) {
            *bytes -= frame.len();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn frame(number: u8) -> Frame {
        Frame::new(&[number; 1000]).unwrap()
    }

    fn numbers(recent: &mut Recent, now: Instant) -> Vec<u8> {
        recent.frames(now).map(|frame| frame[0]).collect()
    }

    #[test]
    fn what_went_lately_is_kept_and_nothing_else() {
        let (mut recent, begin) = (Recent::default(), Instant::now());
        recent.goes(begin, &frame(0));
        assert!(numbers(&mut recent, begin).is_empty(), "nobody has asked for it");
        recent.keep_for(Duration::from_millis(100));
        let at = |ms| begin + Duration::from_millis(ms);
        for number in 1..=3 {
            recent.goes(at(u64::from(number) * 50), &frame(number));
        }
        assert_eq!(numbers(&mut recent, at(150)), [1, 2, 3]);
        assert_eq!(numbers(&mut recent, at(151)), [2, 3]);
        assert!(numbers(&mut recent, at(300)).is_empty());
        assert_eq!(recent.bytes, 0);
    }

    #[test]
    fn not_more_is_kept_than_there_is_room_for() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        recent.keep_for(Duration::from_secs(1));
        for _ in 0..10_000 {
            recent.goes(now, &frame(0));
        }
        recent.goes(now, &frame(1));
        let numbers = numbers(&mut recent, now);
        assert_eq!((numbers.len(), numbers.last()), (MOST_BYTES / 1000, Some(&1)));
    }
}
