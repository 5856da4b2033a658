//! The two nodes as far as a counterexample has been walked through, and what comes before what.

use crate::point::Point;
use colo_protocol::{InputKind, Node, NodeName, Operation};
use std::collections::VecDeque;

/// How much of each node's events comes before something for sure: the number of its latest, from 1; 0 for nothing.
pub(super) type Clock = [usize; 2];

pub(super) fn join(one: Clock, other: Clock) -> Clock {
    [one[0].max(other[0]), one[1].max(other[1])]
}

/// An event at a node.
#[derive(Clone, Copy)]
pub(super) struct Step {
    /// The point at which it can be held.
    pub(super) before: Point,
    /// The point at which a fault strikes that comes behind it.
    pub(super) after: Point,
    /// The point that a run passes with it: an operation that begins passes the one before it.
    pub(super) passed: Point,
    pub(super) clock: Clock,
}

/// The operation that a node has in hand.
#[derive(Clone, Copy)]
pub(super) struct InHand {
    pub(super) operation: Operation,
    /// The step that began it; 0 for the load with which a secondary begins.
    pub(super) begun: usize,
    /// Of a load: its second half is still to come.
    pub(super) half: Option<Point>,
}

/// One node as far as the walk has come.
pub(super) struct Side {
    pub(super) node: Node,
    pub(super) alive: bool,
    pub(super) connected: bool,
    pub(super) in_hand: Option<InHand>,
    /// Its latest step; 0 for none.
    pub(super) last: usize,
    pub(super) last_is_delivery: bool,
    pub(super) timer: Option<usize>,
    /// What is on the link towards it, and the step that put it there.
    pub(super) inbox: VecDeque<(InputKind, usize)>,
    pub(super) last_release: usize,
    pub(super) take_over: usize,
    /// The step before the first output of its guest's that has not been found to match the peer's.
    pub(super) unmatched: Option<usize>,
}

impl Side {
    pub(super) fn new(name: NodeName) -> Self {
        let load = InHand { operation: Operation::LoadState, begun: 0, half: None };
        Self {
            node: Node::new(name),
            alive: true,
            connected: true,
            in_hand: (name == NodeName::Secondary).then_some(load),
            last: 0,
            last_is_delivery: false,
            timer: None,
            inbox: VecDeque::new(),
            last_release: 0,
            take_over: 0,
            unmatched: None,
        }
    }

    pub(super) fn disconnect(&mut self) {
        self.connected = false;
        self.inbox.clear();
        if self.in_hand.is_some_and(|in_hand| in_hand.operation.needs_link()) {
            self.in_hand = None;
        }
    }
}
