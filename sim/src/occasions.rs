//! In which phase of which machine a fault of which kind struck: what a sweep has to have seen all of.

use colo_protocol::{Machine, NodeName, PrimaryPhase, Property, Rules, SecondaryPhase};
use colo_trace::FaultKind;
use std::sync::LazyLock;

/// The phases of both machines, the primary's first.
const PHASES: usize = PrimaryPhase::ALL.len() + SecondaryPhase::ALL.len();

/// A fault of a kind, while a machine was in a phase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Occasion {
    kind: FaultKind,
    phase: Phase,
}

/// A phase of either machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Primary(PrimaryPhase),
    Secondary(SecondaryPhase),
}

impl Occasion {
    /// A fault of this kind strikes this machine, or the link at whose end it is.
    pub(crate) const fn of(kind: FaultKind, machine: &Machine) -> Self {
        let phase = match machine {
            Machine::Primary(primary) => Phase::Primary(primary.phase()),
            Machine::Secondary(secondary) => Phase::Secondary(secondary.phase()),
        };
        Self { kind, phase }
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
        let (node, phase) = match self.phase {
            Phase::Primary(phase) => (NodeName::Primary, phase.name()),
            Phase::Secondary(phase) => (NodeName::Secondary, phase.name()),
        };
        let preposition = if self.kind.is_of_the_link() { "with" } else { "of" };
        format!("{} {preposition} the {node} in {phase}", self.kind.name())
    }

    /// Every occasion that a run of these rules can have.
    pub(crate) fn possible(rules: &Rules) -> impl Iterator<Item = Self> {
        Self::all().filter(|occasion| occasion.is_possible(rules))
    }

    /// A node that has stopped for good has nothing left that could go wrong; a node that is out of COLO has no link.
    fn is_possible(self, rules: &Rules) -> bool {
        let Self { kind, phase } = self;
        match kind {
            FaultKind::Cut | FaultKind::Reset | FaultKind::HalfClose => {
                phase.in_session(rules) && rules.claims(Property::SingleServer, false)
            }
            FaultKind::Stall | FaultKind::Blackhole | FaultKind::Partition | FaultKind::Corrupt => {
                phase.in_session(rules)
            }
            FaultKind::ClockJump => phase.in_session(rules),
            FaultKind::FailSave | FaultKind::CheckpointNow => phase.is_primary() && phase.in_session(rules),
            FaultKind::FailLoad => !phase.is_primary() && phase.in_session(rules),
            FaultKind::FailDisk | FaultKind::SlowDisk => phase.in_session(rules) || phase.fails_over(),
            FaultKind::GuestReset | FaultKind::GuestShutdown => phase.executes(rules),
            FaultKind::PeerSilent => rules.watches_silence() && phase.can_go_on(rules),
            FaultKind::Crash | FaultKind::Pause | FaultKind::LostHeartbeat => phase.can_go_on(rules),
        }
    }
}

impl Phase {
    const fn is_primary(self) -> bool {
        matches!(self, Self::Primary(_))
    }

    /// In COLO, or on the way there: with a link.
    fn in_session(self, rules: &Rules) -> bool {
        use {PrimaryPhase as P, SecondaryPhase as S};
        match self {
            Self::Primary(P::Error | P::TakingOver | P::Alone | P::Fenced | P::ShutDown) => false,
            Self::Primary(_) => true,
            // There is nothing to suspend where the secondary's VM does not execute.
            Self::Secondary(S::Suspending) => rules.is_hybrid(),
            Self::Secondary(S::Error | S::TakingOver | S::Alone | S::Failed | S::Fenced | S::ShutDown) => {
                false
            }
            Self::Secondary(_) => true,
        }
    }

    /// A failover that takes more than a step: by an operation in hand, a load, or the arbiter.
    const fn fails_over(self) -> bool {
        matches!(self, Self::Primary(PrimaryPhase::TakingOver) | Self::Secondary(SecondaryPhase::TakingOver))
    }

    /// Not stopped for good.
    fn can_go_on(self, rules: &Rules) -> bool {
        use {PrimaryPhase as P, SecondaryPhase as S};
        let out = matches!(
            self,
            Self::Primary(P::Error | P::TakingOver | P::Alone)
                | Self::Secondary(S::Error | S::TakingOver | S::Alone)
        );
        out || self.in_session(rules)
    }

    /// Its VM may execute.
    fn executes(self, rules: &Rules) -> bool {
        use {PrimaryPhase as P, SecondaryPhase as S};
        match self {
            Self::Primary(
                P::Running | P::WaitReply | P::Suspending | P::Error | P::TakingOver | P::Alone,
            ) => true,
            // What has been captured may be executed from.
            Self::Primary(P::SendingRam | P::SendingDeviceState | P::WaitReceived) => {
                rules.resume == colo_protocol::ResumePoint::AfterStaged
            }
            Self::Primary(P::WaitLoaded) => rules.resume != colo_protocol::ResumePoint::AfterLoaded,
            Self::Secondary(S::Alone) => true,
            _ => false,
        }
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
