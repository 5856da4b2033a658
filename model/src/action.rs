//! The steps of the model: everything that the environment of a pair can do next.

use colo_protocol::NodeName;

/// One step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// The node's environment carries out the oldest effect that waits (an operation: begins it).
    CarryOut(NodeName),
    /// The load in hand has applied the RAM, and has the devices before it.
    ApplyRam(NodeName),
    /// The operation in hand ends, and its input is given.
    EndOperation(NodeName),
    /// The load in hand fails.
    FailLoad(NodeName),
    /// What is first on the link arrives.
    Deliver(NodeName),
    /// The node sees that the link is gone; what was still on it is lost.
    SeeLinkDown(NodeName),
    /// The guest produces a unit of output.
    Output(NodeName),
    /// The checkpoint timer runs out.
    TimerFires,
    /// A node dies.
    Crash(NodeName),
    /// The link is cut.
    Cut,
    /// The manager sends x-colo-lost-heartbeat.
    LostHeartbeat(NodeName),
    /// The node's patience with a peer that it does not hear has run out.
    PeerSilent(NodeName),
}
