//! Which faults a run draws: a swarm. Each run has some kinds and lacks the others, so that no kind hides another.
//!
//! What is drawn depends on the seed and on what the run comes to; a kind that makes no sense where the run stands is
//! not drawn there.

use crate::draw::{Draws, Purpose, Span, index};
use colo_protocol::{EffectKind, InputKind, NodeName, Property, Rules};
use colo_trace::{Event, FaultAction, FaultKind};
use std::fmt;

/// The points between two faults that come together.
const AT_ONCE: Span = Span { low: 1, high: 4 };

/// How often each kind is drawn, where all of them are.
const fn weight(kind: FaultKind) -> u64 {
    match kind {
        FaultKind::Crash => 24,
        FaultKind::Cut => 16,
        FaultKind::FailLoad | FaultKind::LostHeartbeat => 6,
        FaultKind::GuestShutdown => 1,
        FaultKind::GuestReset => 3,
        _ => 2,
    }
}

/// A kind at one node, or at none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Drawable {
    pub(crate) kind: FaultKind,
    pub(crate) node: NodeName,
}

/// Draws faults for a run: which kinds, how many, how densely.
#[derive(Debug)]
pub(crate) struct Drawer {
    draws: Draws,
    /// The kinds that this run can have.
    kinds: Vec<FaultKind>,
    left: u64,
    /// Points between two faults, about.
    distance: Span,
    until_next: u64,
}

impl fmt::Display for Drawer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
        let kinds = if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") };
        write!(f, "at most {} faults, one in {} points, of {kinds}", self.left, self.distance)
    }
}

impl Drawer {
    pub(crate) fn new(seed: u64, rules: &Rules) -> Self {
        let mut draws = Draws::new(seed, Purpose::Faults);
        let mean = [8, 30, 80, 200][index(draws.below(4))];
        let distance = Span { low: 1, high: 2 * mean };
        let left = if draws.one_in(8) { draws.below(16) } else { draws.below(7) };
        let rarity = [1, 2, 2, 4][index(draws.below(4))];
        let kinds = FaultKind::ALL.into_iter().filter(|kind| !kind.is_of_the_guest());
        let kinds = kinds.filter(|kind| draws.one_in(rarity) && is_survived(*kind, rules)).collect();
        Self { kinds, left, distance, until_next: draws.within(distance), draws }
    }

    /// Whether a fault of this kind can strike.
    pub(crate) fn has(&self, kind: FaultKind) -> bool {
        self.left > 0 && self.kinds.contains(&kind)
    }

    /// Whether a fault strikes at this point. Output comes often and says little: most of its points do not count.
    pub(crate) fn strikes(&mut self, event: Event) -> bool {
        let dull = matches!(
            event,
            Event::Input(InputKind::GuestOutput | InputKind::UncomparedOutput | InputKind::OutputsMatch)
                | Event::Effect(EffectKind::Release | EffectKind::RedirectOutput)
        );
        if self.left == 0 || (dull && !self.draws.one_in(8)) {
            return false;
        }
        self.until_next -= 1;
        if self.until_next > 0 {
            return false;
        }
        // Troubles seldom come alone: where nothing goes on any more, there is no point left for a second one.
        let together = self.draws.one_in(4);
        self.until_next = self.draws.within(if together { AT_ONCE } else { self.distance });
        true
    }

    /// One of the enabled kinds that make sense where the run stands; none if there is none.
    pub(crate) fn draw(&mut self, makes_sense: impl Fn(Drawable) -> bool) -> Option<FaultAction> {
        let each = |kind| NodeName::ALL.into_iter().map(move |node| Drawable { kind, node });
        let all = self.kinds.iter().copied().flat_map(each);
        let possible: Vec<Drawable> = all.filter(|drawable| makes_sense(*drawable)).collect();
        let total = possible.iter().map(|drawable| weight(drawable.kind)).sum();
        if total == 0 {
            return None;
        }
        let mut left = self.draws.below(total);
        let chosen = possible.into_iter().find(|drawable| {
            let found = left < weight(drawable.kind);
            left = left.saturating_sub(weight(drawable.kind));
            found
        })?;
        self.left -= 1;
        Some(self.action(chosen))
    }

    fn action(&mut self, Drawable { kind, node }: Drawable) -> FaultAction {
        match kind {
            FaultKind::Crash => FaultAction::Crash { node },
            FaultKind::Cut => FaultAction::Cut,
            FaultKind::Reset => FaultAction::Reset,
            FaultKind::HalfClose => FaultAction::HalfClose { node },
            FaultKind::Stall => FaultAction::Stall { for_ms: self.while_ms() },
            FaultKind::Blackhole => FaultAction::Blackhole,
            FaultKind::Partition => FaultAction::Partition { node },
            FaultKind::Corrupt => FaultAction::Corrupt { node, bit: self.number(1 << 18) },
            FaultKind::Pause => FaultAction::Pause { node, for_ms: self.while_ms() },
            FaultKind::ClockJump => {
                let by_ms = i32::try_from(self.while_ms()).unwrap_or(i32::MAX);
                FaultAction::ClockJump { node, by_ms: if self.draws.one_in(2) { by_ms } else { -by_ms } }
            }
            FaultKind::SlowDisk => FaultAction::SlowDisk { node, for_ms: self.while_ms() },
            FaultKind::FailDisk => FaultAction::FailDisk { node },
            FaultKind::FailSave => FaultAction::FailSave,
            FaultKind::FailLoad => FaultAction::FailLoad,
            FaultKind::GuestReset => FaultAction::GuestReset { node },
            FaultKind::GuestShutdown => FaultAction::GuestShutdown { node },
            FaultKind::Diverge => FaultAction::Diverge,
            FaultKind::Uncompared => FaultAction::Uncompared,
            FaultKind::CheckpointNow => FaultAction::CheckpointNow,
            FaultKind::LostHeartbeat => FaultAction::LostHeartbeat { node },
            FaultKind::PeerSilent => FaultAction::PeerSilent { node },
        }
    }

    /// How long something lasts: a moment, longer than a round trip, longer than a checkpoint, longer than patience.
    fn while_ms(&mut self) -> u32 {
        let ceiling = [5, 50, 400, 1_500][index(self.draws.below(4))];
        1 + self.number(ceiling)
    }

    fn number(&mut self, bound: u64) -> u32 {
        u32::try_from(self.draws.below(bound)).unwrap_or(u32::MAX)
    }
}

/// Whether rules claim anything of a run with such a fault. Where nobody fences, a closed link that is taken for a death
/// makes two servers; and nobody's patience ends who does not watch.
fn is_survived(kind: FaultKind, rules: &Rules) -> bool {
    match kind {
        FaultKind::Cut | FaultKind::Reset | FaultKind::HalfClose => {
            rules.claims(Property::SingleServer, false)
        }
        FaultKind::PeerSilent => rules.watches_silence(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_runs_have_all_kinds_and_some_few() {
        let kinds = |seed| Drawer::new(seed, &Rules::STRICT).kinds.len();
        let counts: Vec<usize> = (0..200).map(kinds).collect();
        let drawn = FaultKind::ALL.into_iter().filter(|kind| !kind.is_of_the_guest()).count();
        assert!(counts.contains(&drawn) && counts.iter().any(|count| *count < 4) && counts.contains(&9));
    }

    #[test]
    fn every_kind_is_drawn_where_it_makes_sense_and_nowhere_else() {
        for kind in FaultKind::ALL.into_iter().filter(|kind| !kind.is_of_the_guest()) {
            for node in NodeName::ALL {
                let wanted = Drawable { kind, node };
                let drawn = (0..100).find_map(|seed| {
                    let mut drawer = Drawer::new(seed, &Rules::STRICT);
                    drawer.left = 1;
                    drawer.draw(|drawable| drawable == wanted)
                });
                let action = drawn.map(|action| (action.kind(), action.node().unwrap_or(node)));
                let fixed =
                    matches!(kind, FaultKind::FailSave | FaultKind::FailLoad | FaultKind::CheckpointNow);
                assert!(
                    action.is_some_and(|(drawn, at)| drawn == kind && (fixed || at == node)),
                    "{wanted:?}"
                );
            }
        }
    }
}
