//! Coverage marks: which rare paths a run took. A path that no run of many takes is a test that tests nothing.

use crate::options::Options;
use colo_protocol::{Fencing, Rules};
use std::collections::BTreeMap;

/// A rare path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mark {
    MessageSplit,
    RequestRetried,
    StaleRequestIgnored,
    RetryAnsweredAgain,
    DuplicateOutputDropped,
    BytesInFlightLost,
    LinkStalled,
    CutDuringTransfer,
    CrashDuringTransfer,
    CrashDuringLoad,
    StagedStateDiscarded,
    LoadFailed,
    FailoverDeferred,
    FailoverRefused,
    PrimaryTookOver,
    SecondaryTookOver,
    NodeFenced,
    LivingPeerSuspected,
    ArbiterChosePeer,
    NobodyServes,
    ReplacementCame,
    FailedOverAgain,
    OutputsMatched,
    OutputsDiffered,
    OutputHeldTooLong,
    SegmentSentAgain,
    NodePaused,
    PausedNodeFenced,
    NetworkHealed,
    HalfClosed,
    DamageRefused,
    DiskFailed,
    SaveFailed,
    GuestReset,
    PoweredOff,
    ReadTogether,
}

impl Mark {
    /// Whether the surroundings that belong to the rules have this path at all.
    fn is_possible(self, rules: &Rules, options: &Options) -> bool {
        match self {
            Self::NodeFenced | Self::PausedNodeFenced => rules.has_manager() && options.manager,
            // Of a patience that ends in the middle of a load, the draws are too few.
            Self::FailoverRefused | Self::FailoverDeferred => rules.has_manager(),
            Self::SegmentSentAgain => !options.datagrams,
            Self::ArbiterChosePeer => rules.fencing == Fencing::Arbiter,
            Self::OutputsMatched | Self::OutputsDiffered | Self::OutputHeldTooLong => rules.is_hybrid(),
            _ => true,
        }
    }
}

/// Every mark with its name, in the order of the enumeration.
const ALL: [(Mark, &str); 36] = [
    (Mark::MessageSplit, "a message came in pieces"),
    (Mark::RequestRetried, "a request was retried"),
    (Mark::StaleRequestIgnored, "a request came after its successor"),
    (Mark::RetryAnsweredAgain, "a retry was answered from the table"),
    (Mark::DuplicateOutputDropped, "a survivor's duplicate output was dropped"),
    (Mark::BytesInFlightLost, "bytes in flight were lost"),
    (Mark::LinkStalled, "the link stalled"),
    (Mark::CutDuringTransfer, "the link was cut during a transfer"),
    (Mark::CrashDuringTransfer, "a node crashed during a transfer"),
    (Mark::CrashDuringLoad, "the primary crashed during a load"),
    (Mark::StagedStateDiscarded, "staged state was discarded"),
    (Mark::LoadFailed, "a load failed"),
    (Mark::FailoverDeferred, "a failover was deferred"),
    (Mark::FailoverRefused, "a failover was refused"),
    (Mark::PrimaryTookOver, "the primary went on alone"),
    (Mark::SecondaryTookOver, "the secondary took over"),
    (Mark::NodeFenced, "the manager fenced a node"),
    (Mark::LivingPeerSuspected, "a living peer was taken for dead"),
    (Mark::ArbiterChosePeer, "the arbiter chose the peer"),
    (Mark::NobodyServes, "nobody could serve"),
    (Mark::ReplacementCame, "a survivor was given a replacement"),
    (Mark::FailedOverAgain, "a pair with a replacement failed over"),
    (Mark::OutputsMatched, "both VMs' output was the same"),
    (Mark::OutputsDiffered, "the VMs' output differed"),
    (Mark::OutputHeldTooLong, "output waited for its like for too long"),
    (Mark::SegmentSentAgain, "a segment was lost and sent again"),
    (Mark::NodePaused, "a node stood still and came back"),
    (Mark::PausedNodeFenced, "the manager fenced a node that stood still"),
    (Mark::NetworkHealed, "a silent link delivered again when the network had healed"),
    (Mark::HalfClosed, "one direction of the link was closed before the other"),
    (Mark::DamageRefused, "damaged bytes were refused"),
    (Mark::DiskFailed, "a disk failed"),
    (Mark::SaveFailed, "a capture failed"),
    (Mark::GuestReset, "a guest was reset"),
    (Mark::PoweredOff, "a guest powered off"),
    (Mark::ReadTogether, "more than one thing was read at once"),
];

/// How often each path was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    counts: [u64; ALL.len()],
}

impl Default for Marks {
    fn default() -> Self {
        Self { counts: [0; ALL.len()] }
    }
}

impl Marks {
    pub(crate) fn hit(&mut self, mark: Mark) {
        self.counts[mark as usize] += 1;
    }

    /// The paths that a run of these rules can take, with how often it took them.
    pub(crate) fn counted(&self, rules: &Rules, options: &Options) -> BTreeMap<&'static str, u64> {
        let counts = ALL.into_iter().zip(self.counts);
        let possible = counts.filter(|((mark, _), _)| mark.is_possible(rules, options));
        possible.map(|((_, name), count)| (name, count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_stands_at_its_place() {
        for (index, (mark, _)) in ALL.iter().enumerate() {
            assert_eq!(*mark as usize, index);
        }
    }
}
