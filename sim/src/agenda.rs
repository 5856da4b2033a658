//! What is to happen, in the order of virtual time. What is due at the same time happens in the order of planning.

use colo_oracle::Request;
use colo_protocol::{Input, NodeName, OutputOffset};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Something that happens at a moment of virtual time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// A node's environment carries out the next effect.
    CarryOut(NodeName),
    /// Half of an operation is done.
    OperationHalf { node: NodeName, token: u32 },
    /// An operation is done.
    OperationEnd { node: NodeName, token: u32 },
    /// A node's checkpoint timer runs out, if no later one was armed.
    Timer { node: NodeName, token: u32 },
    /// The next bytes of the stream arrive.
    Segment { to: NodeName, epoch: u32 },
    /// A datagram arrives.
    Datagram { to: NodeName, epoch: u32, number: u32 },
    /// What has come over the link and waits at a gate looks whether that has opened.
    HeldInput(NodeName),
    /// A node finds its link gone.
    LinkDown(NodeName),
    /// A guest looks for a request to execute.
    GuestTurn(NodeName),
    /// The primary compares what both VMs have sent.
    Compare,
    /// The world had been given output up to here: has it been given any since?
    OutputWaits { since: OutputOffset },
    /// A request has crossed the network.
    Arrival(Request),
    /// Units of output reach the clients.
    Output { units: usize },
    /// Writes of the primary arrive at the secondary's disk.
    DiskWrites { count: usize, epoch: u32 },
    /// A client sends its next request.
    Issue(u32),
    /// A client has waited long enough for this answer.
    Retry { client: u32, sequence: u64 },
    /// A node asks itself whether its peer has been silent for too long.
    Patience { node: NodeName, token: u32 },
    /// A command reaches a node.
    Told { node: NodeName, input: Input },
    /// A replacement has come for whoever serves alone.
    Replacement,
    /// The manager looks whether the pair is whole.
    ManagerLook,
    /// Faults and new requests stop.
    Drain,
    /// The run is given up.
    Deadline,
}

impl Event {
    /// The node that has a part in it: it does not happen while that stands still.
    pub(crate) const fn node(self) -> Option<NodeName> {
        match self {
            Self::CarryOut(node) | Self::HeldInput(node) | Self::LinkDown(node) | Self::GuestTurn(node) => {
                Some(node)
            }
            Self::OperationHalf { node, .. }
            | Self::OperationEnd { node, .. }
            | Self::Timer { node, .. }
            | Self::Patience { node, .. }
            | Self::Told { node, .. } => Some(node),
            Self::Segment { to, .. } | Self::Datagram { to, .. } => Some(to),
            Self::Compare | Self::OutputWaits { .. } => Some(NodeName::Primary),
            Self::DiskWrites { .. } => Some(NodeName::Secondary),
            Self::Arrival(_)
            | Self::Output { .. }
            | Self::Issue(_)
            | Self::Retry { .. }
            | Self::Replacement
            | Self::ManagerLook
            | Self::Drain
            | Self::Deadline => None,
        }
    }

    /// Whether it is about the two nodes as they are paired now, or about the end of the run that they have.
    pub(crate) const fn is_of_the_pair(self) -> bool {
        matches!(self, Self::Drain) || self.node().is_some()
    }
}

#[derive(PartialEq, Eq, Debug)]
struct Planned {
    at_us: u64,
    order: u64,
    event: Event,
}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_us, self.order).cmp(&(other.at_us, other.order))
    }
}

/// All events that are planned, and the virtual clock.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    now_us: u64,
    planned: BinaryHeap<Reverse<Planned>>,
    count: u64,
}

impl Agenda {
    /// The virtual time, microseconds from the start of the run.
    pub(crate) const fn now_us(&self) -> u64 {
        self.now_us
    }

    /// Plans an event for this time, or for now if that is past.
    pub(crate) fn at(&mut self, at_us: u64, event: Event) {
        self.count += 1;
        self.planned.push(Reverse(Planned { at_us: at_us.max(self.now_us), order: self.count, event }));
    }

    /// Plans an event for so many microseconds from now.
    pub(crate) fn after(&mut self, delay_us: u64, event: Event) {
        self.at(self.now_us + delay_us, event);
    }

    /// Strikes out what is planned and `forgets` names.
    pub(crate) fn forget(&mut self, forgets: impl Fn(Event) -> bool) {
        self.planned.retain(|Reverse(planned)| !forgets(planned.event));
    }

    /// Moves the clock to the next event; returns it and its number in the order of planning.
    pub(crate) fn next(&mut self) -> Option<(u64, Event)> {
        let Reverse(Planned { at_us, order, event }) = self.planned.pop()?;
        assert!(at_us >= self.now_us, "the clock never goes back");
        self.now_us = at_us;
        Some((order, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_by_planning() {
        let mut agenda = Agenda::default();
        agenda.at(5, Event::Issue(1));
        agenda.at(3, Event::Issue(2));
        agenda.at(5, Event::Issue(3));
        let order: Vec<Event> = std::iter::from_fn(|| agenda.next().map(|(_, event)| event)).collect();
        assert_eq!(order, [Event::Issue(2), Event::Issue(1), Event::Issue(3)]);
        assert_eq!(agenda.now_us(), 5);
    }
}
