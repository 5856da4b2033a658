//! What of a node a record shows: the sorts of its steps that are in the record whenever they happen.
//!
//! A record does not say what it leaves out, so this is read off it: a sort of which there is one step is taken to be
//! recorded always. Nothing here knows what a step means.

use colo_protocol::{EffectKind, InputKind};

/// A sort of step, by who could see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sort {
    /// A message is put on the link.
    Sent,
    /// A message comes from the link.
    Heard,
    /// RAM, or device state, is on the link.
    StateSent,
    /// RAM, or device state, has come from the link.
    StateHeard,
    /// Everything that only the node itself sees.
    Inside,
}

impl Sort {
    pub(super) const fn of_input(kind: InputKind) -> Self {
        match kind {
            InputKind::Message(_) => Self::Heard,
            InputKind::RamReceived | InputKind::DeviceStateReceived => Self::StateHeard,
            InputKind::RoundSent | InputKind::RamSent | InputKind::DeviceStateSent => Self::StateSent,
            _ => Self::Inside,
        }
    }

    pub(super) const fn of_effect(kind: EffectKind) -> Self {
        match kind {
            EffectKind::Send(_) => Self::Sent,
            _ => Self::Inside,
        }
    }
}

/// The sorts that a record of a node shows, a bit each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Sight(u8);

impl Sight {
    /// One more sort. Whoever records what is inside of a node records all of it.
    pub(super) const fn add(&mut self, sort: Sort) {
        self.0 |= match sort {
            Sort::Inside => u8::MAX,
            other => 1 << other as u8,
        };
    }

    /// Whether it shows nothing at all.
    pub(super) const fn is_blind(self) -> bool {
        self.0 == 0
    }

    /// Without what is inside.
    pub(super) const fn of_the_link(self) -> Self {
        Self(self.0 & !(1 << Sort::Inside as u8))
    }

    pub(super) const fn shows(self, sort: Sort) -> bool {
        self.0 & (1 << sort as u8) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_records_the_inside_records_all_and_who_records_messages_only_them() {
        let mut sight = Sight::default();
        assert!(!sight.shows(Sort::Sent));
        sight.add(Sort::Sent);
        assert!(sight.shows(Sort::Sent) && !sight.shows(Sort::Heard) && !sight.shows(Sort::Inside));
        sight.add(Sort::Inside);
        assert!(sight.shows(Sort::StateHeard) && sight.shows(Sort::Inside));
    }
}
