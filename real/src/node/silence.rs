//! The node's patience with its peer: a clock that runs out when nothing has been heard for too long.
//!
//! What a silence means is the core's business; here it is only noticed, once each.

use colo_protocol::Rules;
use std::time::{Duration, Instant};

/// How long a peer may be silent over an open link, beyond the time between two checkpoints, in which it has nothing
/// to say.
const PATIENCE_WITH_PEER: Duration = Duration::from_secs(1);

/// How long after the loss of the link the peer counts as silent: it cannot be heard any more.
const PATIENCE_WITHOUT_LINK: Duration = Duration::from_millis(5);

/// For how long a node of these rules hears nothing from its peer over an open link before it takes it for dead; none if
/// it never does by itself.
pub fn patience_with_peer(rules: &Rules) -> Option<Duration> {
    let delay = Duration::from_millis(rules.checkpoint_delay_ms.into());
    rules.watches_silence().then_some(PATIENCE_WITH_PEER + delay)
}

/// Watches for the peer's silence.
pub(super) struct Silence {
    /// None, if nobody asks.
    patience: Option<Duration>,
    /// When it is noticed; none once it has been.
    deadline: Option<Instant>,
}

impl Silence {
    /// A watch that begins now, over a link that is open, if rules have one.
    pub(super) fn new(rules: &Rules, now: Instant) -> Self {
        let patience = patience_with_peer(rules);
        Self { patience, deadline: patience.map(|patience| now + patience) }
    }

    /// The peer may be silent for another time between two checkpoints from now on. Who has lost the link has nothing to be
    /// patient for.
    pub(super) fn delay_is(&mut self, checkpoint_delay: Duration, now: Instant) {
        let linked = self.deadline.is_some_and(|deadline| deadline > now + PATIENCE_WITHOUT_LINK);
        self.patience = self.patience.map(|_| PATIENCE_WITH_PEER + checkpoint_delay);
        if linked {
            self.heard(now);
        }
    }

    /// The peer has shown that it is there.
    pub(super) fn heard(&mut self, now: Instant) {
        self.deadline = self.patience.map(|patience| now + patience);
    }

    /// The link is gone.
    pub(super) fn link_lost(&mut self, now: Instant) {
        self.deadline = self.patience.map(|_| now + PATIENCE_WITHOUT_LINK);
    }

    /// When to look again.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether patience has run out; true once for each silence.
    pub(super) fn has_lasted(&mut self, now: Instant) -> bool {
        self.deadline.take_if(|deadline| now >= *deadline).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(200);
    const RULES: Rules = Rules { checkpoint_delay_ms: 200, ..Rules::STRICT };

    #[test]
    fn a_silence_is_noticed_once_and_again_only_after_a_word() {
        let start = Instant::now();
        let mut silence = Silence::new(&RULES, start);
        let late = start + PATIENCE_WITH_PEER + DELAY;
        assert!(!silence.has_lasted(start + PATIENCE_WITH_PEER));
        assert!(silence.has_lasted(late));
        assert!(!silence.has_lasted(late + PATIENCE_WITH_PEER * 9));
        silence.heard(late);
        assert!(!silence.has_lasted(late + PATIENCE_WITH_PEER));
        assert!(silence.has_lasted(late + PATIENCE_WITH_PEER + DELAY));
    }

    #[test]
    fn patience_follows_the_delay_at_once() {
        let start = Instant::now();
        let mut silence = Silence::new(&RULES, start);
        silence.delay_is(DELAY * 100, start);
        assert!(!silence.has_lasted(start + PATIENCE_WITH_PEER + DELAY * 99));
        silence.delay_is(DELAY, start);
        assert!(silence.has_lasted(start + PATIENCE_WITH_PEER + DELAY));
        silence.delay_is(DELAY * 100, start);
        assert_eq!(silence.deadline(), None, "a silence is noticed once");
        let mut nobody_asks = Silence::new(&Rules::V12, start);
        nobody_asks.delay_is(DELAY, start);
        assert_eq!(nobody_asks.deadline(), None);
    }

    #[test]
    fn without_a_link_nobody_waits_for_a_word() {
        let start = Instant::now();
        let mut silence = Silence::new(&RULES, start);
        silence.link_lost(start);
        assert!(!silence.has_lasted(start));
        assert!(silence.has_lasted(start + PATIENCE_WITHOUT_LINK));
        assert_eq!(silence.deadline(), None);
    }
}
