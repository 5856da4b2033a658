//! A failover in its parts, from SIGKILL to the survivor's first reply. Measures, and decides nothing.

use std::time::{Duration, Instant};

/// The parts of a failover, in their order. A part that the run does not have, because nobody was killed or nobody was
/// told, is nothing, and its time is in the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FailoverTimes {
    /// From SIGKILL until the kernel has cleared the process away, and its end of the link is closed.
    pub death: Option<Duration>,
    /// From there until the survivor is told x-colo-lost-heartbeat.
    pub detection: Option<Duration>,
    /// From there until it serves.
    pub promotion: Duration,
    /// From there to its first new reply.
    pub reply: Duration,
}

/// When the parts of the failover in hand have ended.
#[derive(Debug, Default)]
pub(super) struct FailoverClock {
    killed: Option<Instant>,
    dead: Option<Instant>,
    told: Option<Instant>,
    promoted: Option<Instant>,
}

impl FailoverClock {
    /// A node was killed, and is dead now.
    pub(super) fn died(&mut self, killed: Instant) {
        self.killed = Some(killed);
        self.dead = Some(Instant::now());
    }

    /// The survivor is told now.
    pub(super) fn told(&mut self) {
        self.told.get_or_insert_with(Instant::now);
    }

    /// A node has taken over; whether it is the first to do so is for who asks.
    pub(super) fn promoted(&mut self) {
        self.promoted = Some(Instant::now());
    }

    /// It has sent its first new reply: the parts, once.
    pub(super) fn replied(&mut self) -> Option<FailoverTimes> {
        // Until then it is the peer that is heard.
        let promoted = self.promoted?;
        let Self { killed, dead, told, .. } = std::mem::take(self);
        let since = told.or(dead).unwrap_or(promoted);
        Some(FailoverTimes {
            death: killed.zip(dead).map(|(killed, dead)| dead.saturating_duration_since(killed)),
            detection: dead.zip(told).map(|(dead, told)| told.saturating_duration_since(dead)),
            promotion: promoted.saturating_duration_since(since),
            reply: promoted.elapsed(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failover_is_told_once_and_only_when_there_was_one() {
        let mut clock = FailoverClock::default();
        clock.died(Instant::now());
        clock.told();
        assert!(clock.replied().is_none(), "who served before is still heard");
        clock.promoted();
        let times = clock.replied().map(|times| (times.death.is_some(), times.detection.is_some()));
        assert_eq!((times, clock.replied()), (Some((true, true)), None));
    }

    #[test]
    fn who_was_not_told_has_no_detection() {
        let mut clock = FailoverClock::default();
        clock.promoted();
        let times = clock.replied().map(|times| (times.death, times.detection, times.promotion));
        assert_eq!(times, Some((None, None, Duration::ZERO)));
    }
}
