//! The steps of the model: everything that the environment of a pair can do next.

use colo_protocol::NodeName;

/// One step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Action {
    /// The node's environment carries out the oldest effect that waits (an operation: begins it).
    CarryOut(NodeName),
    /// The load in hand has applied the RAM, and has the devices before it.
    ApplyRam(NodeName),
    /// The operation in hand ends, and its input is given.
    EndOperation(NodeName),
    /// The load in hand fails.
    FailLoad(NodeName),
    /// The capture in hand fails.
    FailSave(NodeName),
    /// What is first on the link arrives.
    Deliver(NodeName),
    /// The node sees that the link is gone; what was still on it is lost.
    SeeLinkDown(NodeName),
    /// The guest produces a unit of output.
    Output(NodeName),
    /// The secondary's guest produces another unit of output than the primary's at the same place.
    DivergingOutput,
    /// The primary's guest produces a unit of output that the comparison does not understand.
    UncomparedOutput,
    /// The comparison looks at the next unit of both VMs' output.
    Compare,
    /// Output has waited for the secondary's for too long.
    HoldTooLong,
    /// The guest writes to its disk.
    WriteDisk(NodeName),
    /// The guest powers off.
    PowerOff(NodeName),
    /// The guest, or an operator, resets the VM.
    Reset(NodeName),
    /// A replacement comes to the survivor, which is protected again.
    Replace(NodeName),
    /// The nodes find that one of them lacks the capability x-colo.
    FindCapabilityMissing,
    /// The checkpoint timer runs out.
    TimerFires,
    /// A node dies.
    Crash(NodeName),
    /// The manager, to which both nodes have been lost from each other, sees to it that this one is dead.
    Fence(NodeName),
    /// The link is cut.
    Cut,
    /// The link delivers nothing for a while.
    Stall,
    /// The link delivers again.
    StallEnds,
    /// The link delivers nothing any more, and does not say so.
    Blackhole,
    /// The link delivers nothing to this node any more, and does not say so.
    Partition(NodeName),
    /// What is first on the link cannot be read when it arrives.
    Corrupt(NodeName),
    /// The disk cannot do what it is asked for by the oldest effect that waits.
    FailDisk(NodeName),
    /// The manager sends x-colo-lost-heartbeat.
    LostHeartbeat(NodeName),
    /// The same about a peer that lives.
    LostHeartbeatWrongly(NodeName),
    /// The node's patience with a peer that it does not hear has run out.
    PeerSilent(NodeName),
    /// The same with a peer that lives and can be heard.
    PeerSilentWrongly(NodeName),
}

impl Action {
    /// Every one: those of a node for both.
    pub fn all() -> impl Iterator<Item = Self> {
        let of_a_node: [fn(NodeName) -> Self; 21] = [
            Self::CarryOut,
            Self::ApplyRam,
            Self::EndOperation,
            Self::FailLoad,
            Self::FailSave,
            Self::Deliver,
            Self::SeeLinkDown,
            Self::Output,
            Self::WriteDisk,
            Self::PowerOff,
            Self::Reset,
            Self::Replace,
            Self::Crash,
            Self::Fence,
            Self::Partition,
            Self::Corrupt,
            Self::FailDisk,
            Self::LostHeartbeat,
            Self::LostHeartbeatWrongly,
            Self::PeerSilent,
            Self::PeerSilentWrongly,
        ];
        let of_the_pair = [
            Self::DivergingOutput,
            Self::UncomparedOutput,
            Self::Compare,
            Self::HoldTooLong,
            Self::FindCapabilityMissing,
            Self::TimerFires,
            Self::Cut,
            Self::Stall,
            Self::StallEnds,
            Self::Blackhole,
        ];
        of_a_node.into_iter().flat_map(|action| NodeName::ALL.map(action)).chain(of_the_pair)
    }
}
