//! The faults of a checker's trace: each a step of its own, in the words of the record that tells it.
//!
//! A step has no point and no time; what fault of a plan comes of it, is said where plans are made of traces.

use crate::record::{Kind, Record};
use colo_protocol::NodeName;
use std::fmt;

/// A step of the checker's in which something goes wrong by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepFault {
    /// A node dies.
    Crash(NodeName),
    /// The manager sees to it that a node is dead.
    Fence(NodeName),
    /// The link is cut.
    Cut,
    /// The link delivers nothing for a while.
    Stall,
    /// The link delivers again.
    StallEnds,
    /// The link delivers nothing any more.
    Blackhole,
    /// The link delivers nothing to this node any more.
    Partition(NodeName),
    /// The nodes find that one of them lacks the capability x-colo.
    CapabilityMissing,
}

impl StepFault {
    fn all() -> impl Iterator<Item = Self> {
        let of_a_node = [Self::Crash, Self::Fence, Self::Partition];
        let of_the_link = [Self::Cut, Self::Stall, Self::StallEnds, Self::Blackhole, Self::CapabilityMissing];
        of_a_node.into_iter().flat_map(|fault| NodeName::ALL.map(fault)).chain(of_the_link)
    }

    /// What a record of a fault tells; none if no step of the checker is called so.
    pub fn of(record: &Record) -> Option<Self> {
        Self::all().find(|fault| record.kind == Kind::Fault && record.name == fault.to_string())
    }

    /// The node in whose column it is told.
    pub const fn node(self) -> Option<NodeName> {
        match self {
            Self::Crash(node) | Self::Fence(node) => Some(node),
            _ => None,
        }
    }
}

impl fmt::Display for StepFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash(node) => write!(f, "crash of the {node}"),
            Self::Fence(node) => write!(f, "the manager fences the {node}"),
            Self::Cut => f.write_str("cut of the link"),
            Self::Stall => f.write_str("the link stalls"),
            Self::StallEnds => f.write_str("the link delivers"),
            Self::Blackhole => f.write_str("the link goes silent"),
            Self::Partition(to) => write!(f, "{to} cut off"),
            Self::CapabilityMissing => f.write_str("a node lacks x-colo"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_found_again_in_its_words() {
        for fault in StepFault::all() {
            let record = Record::other(1, fault.node(), 0, Kind::Fault, fault.to_string());
            assert_eq!(StepFault::of(&record), Some(fault));
        }
        let other = Record::other(1, None, 0, Kind::Fault, "the link sings");
        assert_eq!(StepFault::of(&other), None);
    }
}
