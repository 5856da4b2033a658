//! In which phase of which machine a fault of which kind struck: what a sweep has to have seen all of.

use colo_protocol::{
    InputKind, Machine, NodeName, Phase, PrimaryPhase, Property, Rules, SecondaryPhase, reach,
};
use colo_trace::FaultKind;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// The phases of both machines, the primary's first.
const PHASES: usize = PrimaryPhase::ALL.len() + SecondaryPhase::ALL.len();

/// A fault of a kind, while a machine was in a phase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Occasion {
    kind: FaultKind,
    phase: Phase,
}

/// What the machines can come to under some rules, by the core's own account.
struct Reach {
    phases: BTreeSet<Phase>,
    /// Those in which the guest may execute.
    executing: BTreeSet<Phase>,
}

impl Reach {
    fn of(rules: &Rules) -> Self {
        let found = NodeName::ALL.map(|node| reach::transitions(node, rules, |_| true));
        let all = || found.iter().flatten();
        Self {
            phases: all().flat_map(|transition| [transition.from, transition.to]).collect(),
            executing: all()
                .filter(|transition| transition.input == InputKind::GuestShutdown)
                .map(|transition| transition.from)
                .collect(),
        }
    }
}

impl Occasion {
    /// A fault of this kind strikes this machine, or the link at whose end it is.
    pub(crate) const fn of(kind: FaultKind, machine: &Machine) -> Self {
        Self { kind, phase: Phase::of(machine) }
    }

    fn all() -> impl Iterator<Item = Self> {
        let primary = PrimaryPhase::ALL.map(Phase::Primary);
        let secondary = SecondaryPhase::ALL.map(Phase::Secondary);
        let phases = primary.into_iter().chain(secondary);
        FaultKind::ALL.into_iter().flat_map(move |kind| phases.clone().map(move |phase| Self { kind, phase }))
    }

    const fn index(self) -> usize {
        let phase = match self.phase {
            Phase::Primary(phase) => phase as usize,
            Phase::Secondary(phase) => PrimaryPhase::ALL.len() + phase as usize,
        };
        self.kind as usize * PHASES + phase
    }

    /// "crash of the primary in saving", "cut with the secondary in loading".
    pub(crate) fn name(self) -> &'static str {
        static NAMES: LazyLock<Vec<String>> =
            LazyLock::new(|| Occasion::all().map(Occasion::words).collect());
        NAMES.get(self.index()).map_or("", String::as_str)
    }

    fn words(self) -> String {
        let (node, phase) = (self.phase.node(), self.phase.name());
        let preposition = if self.kind.is_of_the_link() { "with" } else { "of" };
        format!("{} {preposition} the {node} in {phase}", self.kind.name())
    }

    /// Every occasion that a run of these rules can have.
    pub(crate) fn possible(rules: &Rules) -> impl Iterator<Item = Self> {
        let reach = Reach::of(rules);
        Self::all().filter(move |occasion| occasion.is_possible(rules, &reach))
    }

    /// A node that has stopped for good has nothing left that could go wrong; a node that is out of COLO has no link.
    fn is_possible(self, rules: &Rules, reach: &Reach) -> bool {
        let Self { kind, phase } = self;
        let in_session = phase.in_session();
        let of = |node: NodeName| in_session && phase.node() == node;
        let fails_over = matches!(
            phase,
            Phase::Primary(PrimaryPhase::TakingOver) | Phase::Secondary(SecondaryPhase::TakingOver)
        );
        let makes_sense = match kind {
            FaultKind::Cut | FaultKind::Reset | FaultKind::HalfClose => {
                in_session && rules.claims(Property::SingleServer, false)
            }
            FaultKind::Stall
            | FaultKind::Blackhole
            | FaultKind::Partition
            | FaultKind::Corrupt
            | FaultKind::ClockJump => in_session,
            FaultKind::FailSave | FaultKind::CheckpointNow => of(NodeName::Primary),
            FaultKind::FailLoad => of(NodeName::Secondary),
            // A failover that takes more than a step: by an operation in hand, a load, or the arbiter.
            FaultKind::FailDisk | FaultKind::SlowDisk => in_session || fails_over,
            FaultKind::Diverge | FaultKind::Uncompared => false,
            FaultKind::GuestReset | FaultKind::GuestShutdown => reach.executing.contains(&phase),
            FaultKind::PeerSilent => rules.watches_silence() && !phase.is_over(),
            FaultKind::Crash | FaultKind::Pause | FaultKind::LostHeartbeat => !phase.is_over(),
        };
        makes_sense && reach.phases.contains(&phase)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_occasion_has_its_place_and_its_name() {
        for (index, occasion) in Occasion::all().enumerate() {
            assert_eq!(occasion.index(), index);
        }
        let primary = Machine::new(NodeName::Primary);
        assert_eq!(Occasion::of(FaultKind::Crash, &primary).name(), "crash of the primary in wait-ready");
        assert_eq!(Occasion::of(FaultKind::Cut, &primary).name(), "cut with the primary in wait-ready");
    }

    #[test]
    fn what_cannot_occur_is_not_listed() {
        let possible: Vec<&str> = Occasion::possible(&Rules::V12).map(Occasion::name).collect();
        for never in [
            "cut with the primary in alone",
            "crash of the secondary in suspending",
            "peer-silent of the primary in running",
            "guest-reset of the secondary in loading",
        ] {
            assert!(!possible.contains(&never), "{never}");
        }
        assert!(possible.contains(&"crash of the primary in saving"));
    }
}
