//! Frames that arrive later than they came: delayed by so much, or until another one has overtaken them.

use super::port::PortNumber;
use crate::net::faults::Direction;
use crate::net::frame::Frame;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The most frames that are kept; what comes beyond is dropped.
const MOST: usize = 1 << 14;

/// How long a frame waits for another to overtake it, at most.
const WAIT: Duration = Duration::from_millis(10);

/// A frame on its way between the service and a client.
#[derive(Clone, Debug)]
pub(super) struct Crossing {
    pub(super) from: PortNumber,
    pub(super) direction: Direction,
    pub(super) frame: Frame,
}

/// When a frame arrives, and the how-manieth that was kept it was: those of the same time keep their order.
type Turn = (Instant, u64);

/// The frames that are kept.
#[derive(Debug, Default)]
pub(super) struct Late {
    frames: BTreeMap<Turn, Crossing>,
    kept: u64,
    /// Those that wait for another to overtake them.
    overtaken: Vec<Turn>,
}

impl Late {
    /// Keeps a frame until then. Whether there is room.
    pub(super) fn keep(&mut self, until: Instant, crossing: Crossing) -> bool {
        self.put(until, crossing).is_some()
    }

    /// Keeps a frame until another of its direction has passed. Whether there is room.
    pub(super) fn keep_behind(&mut self, now: Instant, crossing: Crossing) -> bool {
        let turn = self.put(now + WAIT, crossing);
        self.overtaken.extend(turn);
        turn.is_some()
    }

    fn put(&mut self, until: Instant, crossing: Crossing) -> Option<Turn> {
        let turn = (until, self.kept);
        (self.frames.len() < MOST).then(|| {
            self.kept += 1;
            self.frames.insert(turn, crossing);
            turn
        })
    }

    /// Those that waited for a frame of this direction to overtake them, which is now on its way: they arrive behind it.
    pub(super) fn waiting(&mut self, direction: Direction) -> Vec<Turn> {
        self.overtaken.retain(|turn| self.frames.contains_key(turn));
        let is_of = |turn: &mut Turn| self.frames.get(turn).is_some_and(|late| late.direction == direction);
        self.overtaken.extract_if(.., is_of).collect()
    }

    /// Takes out what waits for its turn.
    pub(super) fn take(&mut self, turn: Turn) -> Option<Crossing> {
        self.frames.remove(&turn)
    }

    /// Takes out one whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Option<Crossing> {
        let first = self.frames.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// When the time of the next one comes.
    pub(super) fn next(&self) -> Option<Instant> {
        self.frames.first_key_value().map(|((at, _), _)| *at)
    }
}
