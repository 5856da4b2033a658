//! What rules and bounds let happen: which inputs a node is given, which steps there are, who may fail over.
//!
//! What has to have been seen in a check is asked from here (`goals`, `premises`). What is said to be possible is, within
//! any bounds; what is not may be possible all the same, by a chain of other things.

use crate::action::Action;
use crate::bounds::{Bounds, Budgets};
use colo_protocol::{
    Detection, Dialect, Fencing, InputKind, MessageKind, NodeName, PendingRequests, ResumePoint, Rules,
};

/// Rules and bounds.
#[derive(Clone, Copy)]
pub(crate) struct Allowed<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) bounds: &'a Bounds,
}

impl Allowed<'_> {
    const fn budgets(&self) -> &Budgets {
        &self.bounds.budgets
    }

    pub(crate) const fn checkpoints(&self) -> bool {
        self.bounds.checkpoints > 0
    }

    pub(crate) const fn outputs(&self) -> bool {
        self.budgets().outputs > 0
    }

    /// A node sees, at any time, that its link is gone.
    pub(crate) const fn lost_links(&self) -> bool {
        self.budgets().crashes > 0 || self.budgets().cuts > 0
    }

    /// A node hears nothing of its peer, from any time on.
    const fn silence(&self) -> bool {
        self.lost_links() || self.silence_of_the_living()
    }

    /// A node is dead, at any time, for all that its peer can know: it has died, or a manager has fenced it.
    pub(crate) fn deaths(&self) -> bool {
        self.budgets().crashes > 0 || (self.rules.has_manager() && self.budgets().cuts > 0)
    }

    /// A node is told at any time that its peer is gone.
    fn commands(&self) -> bool {
        self.deaths() || self.budgets().wrong_suspicions > 0
    }

    /// A node takes its peer for dead, at any time, by itself.
    fn suspicions(&self) -> bool {
        match self.rules.detection {
            Detection::External => false,
            Detection::LinkClosed => self.lost_links(),
            Detection::Timeout => self.silence() || self.budgets().wrong_suspicions > 0,
        }
    }

    /// Either node fails over at any time.
    pub(crate) fn failovers(&self) -> bool {
        self.commands() || self.suspicions()
    }

    /// Both nodes live, and both want to serve alone.
    fn contests(&self) -> bool {
        let Budgets { wrong_suspicions, cuts, .. } = *self.budgets();
        wrong_suspicions > 0 || (self.suspicions() && (cuts > 0 || self.silence_of_the_living()))
    }

    /// The link is gone, and nobody is told.
    pub(crate) const fn lost_silently(&self) -> bool {
        self.budgets().blackholes > 0 || self.budgets().partitions > 0
    }

    const fn silence_of_the_living(&self) -> bool {
        self.lost_silently() || self.budgets().stalls > 0
    }

    /// The secondary's VM executes some time.
    pub(crate) fn secondary_executes(&self) -> bool {
        self.rules.is_hybrid() || self.failovers()
    }

    /// Somebody wants to power off who has not been told to.
    pub(crate) const fn shutdowns(&self) -> bool {
        self.budgets().shutdowns > 0
    }

    pub(crate) const fn disk_writes(&self) -> bool {
        self.budgets().disk_writes > 0
    }

    /// A survivor gets a replacement.
    pub(crate) fn replacements(&self) -> bool {
        self.budgets().replacements > 0 && self.deaths()
    }

    /// A request for a checkpoint comes while another checkpoint is under way.
    pub(crate) fn requests_in_between(&self) -> bool {
        let Budgets { mismatches, held_outputs, resets, .. } = *self.budgets();
        let runs_on = self.rules.resume != ResumePoint::AfterLoaded;
        let compared = self.outputs() && (mismatches > 0 || held_outputs > 0);
        let counted = self.rules.requests == PendingRequests::Counted;
        let by_a_guest = self.shutdowns() && self.rules.dialect == Dialect::V12;
        let by_comparison = self.rules.is_hybrid() && (compared || resets > 0);
        self.checkpoints() && (runs_on || by_a_guest || by_comparison || (counted && self.replacements()))
    }

    /// Whether a budget, which is not zero, can be spent: by the other bounds, whatever the rules are.
    pub(crate) fn spends(&self, budget: &str) -> bool {
        match budget {
            "uncompared" | "mismatches" => self.outputs(),
            "held_outputs" => self.outputs() && self.checkpoints(),
            "save_errors" => self.checkpoints(),
            "replacements" => self.deaths(),
            _ => true,
        }
    }

    /// Whether a node is given an input of this kind.
    pub(crate) fn gives(&self, name: NodeName, input: InputKind) -> bool {
        let budgets = self.budgets();
        let (hybrid, primary) = (self.rules.is_hybrid(), name == NodeName::Primary);
        match input {
            InputKind::Message(kind) => self.sends(kind),
            InputKind::SaveFailed => budgets.save_errors > 0,
            InputKind::LoadFailed => budgets.load_errors > 0,
            InputKind::CheckpointDue => self.checkpoints(),
            InputKind::GuestOutput => self.outputs(),
            InputKind::UncomparedOutput => self.outputs() && budgets.uncompared > 0 && primary,
            InputKind::OutputsMatch => hybrid && self.outputs(),
            InputKind::OutputsDiffer => hybrid && self.outputs() && budgets.mismatches > 0,
            InputKind::OutputHeldTooLong => hybrid && self.outputs() && budgets.held_outputs > 0,
            InputKind::GuestShutdown => self.shutdowns(),
            InputKind::GuestReset => budgets.resets > 0,
            InputKind::DiskFailed => budgets.disk_errors > 0,
            InputKind::CapabilityMissing => budgets.missing_capabilities > 0,
            InputKind::LostHeartbeat | InputKind::FailoverBegins => self.commands(),
            InputKind::PeerSilent => self.rules.watches_silence() && self.suspicions(),
            InputKind::Protect => self.replacements(),
            InputKind::ArbiterGranted => self.rules.fencing == Fencing::Arbiter && self.failovers(),
            InputKind::ArbiterDenied => self.rules.fencing == Fencing::Arbiter && self.contests(),
            InputKind::BadStream => budgets.corruptions > 0,
            InputKind::LinkDown => self.lost_links(),
            InputKind::RoundSent => self.checkpoints() && self.rules.precopy_rounds > 0,
            InputKind::VmSuspended
            | InputKind::StateSaved
            | InputKind::RamSent
            | InputKind::DeviceStateSent
            | InputKind::RamReceived
            | InputKind::DeviceStateReceived
            | InputKind::VmLocked
            | InputKind::StateLoaded => true,
        }
    }

    /// Whether a message is put on the link.
    pub(crate) fn sends(&self, kind: MessageKind) -> bool {
        match kind {
            MessageKind::CheckpointReady => true,
            MessageKind::GuestShutdown => {
                self.rules.dialect == Dialect::V12 && self.checkpoints() && self.shutdowns()
            }
            _ => self.checkpoints(),
        }
    }

    /// Whether a step is ever possible.
    pub(crate) fn fires(&self, action: Action) -> bool {
        let (budgets, hybrid) = (self.budgets(), self.rules.is_hybrid());
        let runs = |name| name == NodeName::Primary || self.secondary_executes();
        let is_primary = |name| name == NodeName::Primary;
        match action {
            Action::CarryOut(_) => true,
            Action::ApplyRam(name) => !is_primary(name) && self.checkpoints(),
            Action::EndOperation(name) | Action::Deliver(name) => {
                self.checkpoints() || is_primary(name) == matches!(action, Action::Deliver(_))
            }
            Action::FailLoad(name) => !is_primary(name) && budgets.load_errors > 0,
            Action::FailSave(name) => is_primary(name) && self.checkpoints() && budgets.save_errors > 0,
            Action::SeeLinkDown(_) => self.lost_links(),
            Action::Output(name) => self.outputs() && runs(name),
            Action::DivergingOutput => hybrid && self.outputs() && budgets.mismatches > 0,
            Action::UncomparedOutput => self.outputs() && budgets.uncompared > 0,
            Action::Compare => hybrid && self.outputs(),
            Action::HoldTooLong => hybrid && self.outputs() && self.checkpoints() && budgets.held_outputs > 0,
            Action::WriteDisk(NodeName::Primary) => self.disk_writes(),
            Action::WriteDisk(NodeName::Secondary) => {
                (hybrid && budgets.secondary_writes > 0) || (self.disk_writes() && self.failovers())
            }
            Action::PowerOff(name) => self.shutdowns() && runs(name),
            Action::Reset(name) => budgets.resets > 0 && runs(name),
            Action::Replace(_) => self.replacements(),
            Action::FindCapabilityMissing => budgets.missing_capabilities > 0,
            Action::TimerFires => self.checkpoints(),
            Action::Crash(_) => budgets.crashes > 0,
            Action::Fence(_) => self.rules.has_manager() && budgets.cuts > 0,
            Action::Cut => budgets.cuts > 0,
            Action::Stall | Action::StallEnds => budgets.stalls > 0,
            Action::Blackhole => budgets.blackholes > 0,
            Action::Partition(_) => budgets.partitions > 0,
            Action::Corrupt(name) => budgets.corruptions > 0 && (is_primary(name) || self.checkpoints()),
            Action::FailDisk(_) => budgets.disk_errors > 0,
            Action::LostHeartbeat(_) => self.deaths(),
            Action::PeerSilent(_) => self.silence(),
            Action::LostHeartbeatWrongly(_) | Action::PeerSilentWrongly(_) => budgets.wrong_suspicions > 0,
        }
    }
}
