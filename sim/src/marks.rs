//! Coverage marks: which rare paths a run took. A path that no run of many takes is a test that tests nothing.

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
    NobodyServes,
}

/// Every mark with its name, in the order of the enumeration.
const ALL: [(Mark, &str); 18] = [
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
    (Mark::NobodyServes, "nobody could serve"),
];

/// How often each path was taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks {
    counts: [u64; ALL.len()],
}

impl Marks {
    pub(crate) fn hit(&mut self, mark: Mark) {
        self.counts[mark as usize] += 1;
    }

    /// The names of all marks.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        ALL.iter().map(|(_, name)| *name)
    }

    /// The paths that were taken.
    pub(crate) fn taken(&self) -> BTreeMap<&'static str, u64> {
        Self::names().zip(self.counts).filter(|(_, count)| *count > 0).collect()
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
