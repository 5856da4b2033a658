//! A node as every environment drives it: its machine and the effects that have not been carried out yet.
//!
//! The queue's one rule is the link's: when the link is closed or gone, what still waits to be put on it is dropped.

use crate::Failover;
use crate::effect::{Effect, Step};
use crate::error::ProtocolError;
use crate::input::Input;
use crate::output::{CheckpointNumber, WithheldOutput};
use crate::primary::Primary;
use crate::rules::Rules;
use crate::secondary::Secondary;
use arrayvec::ArrayVec;
use core::fmt;

/// The two sides of a pair, by the role that they began with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum NodeName {
    /// The side whose VM ran first.
    Primary,
    /// The side that was kept ready.
    Secondary,
}

impl NodeName {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Primary, Self::Secondary];

    /// The other side.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Primary => Self::Secondary,
            Self::Secondary => Self::Primary,
        }
    }

    /// "primary" or "secondary".
    pub const fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One of the two state machines.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Machine {
    /// A primary.
    Primary(Primary),
    /// A secondary.
    Secondary(Secondary),
}

impl Machine {
    /// The machine with which a side begins.
    pub fn new(name: NodeName) -> Self {
        match name {
            NodeName::Primary => Self::Primary(Primary::new()),
            NodeName::Secondary => Self::Secondary(Secondary::new()),
        }
    }

    /// See [`Primary::step`] and [`Secondary::step`].
    pub fn step(&mut self, rules: &Rules, input: Input) -> Step {
        match self {
            Self::Primary(primary) => primary.step(rules, input),
            Self::Secondary(secondary) => secondary.step(rules, input),
        }
    }

    /// The name of the phase it is in.
    pub const fn phase_name(&self) -> &'static str {
        match self {
            Self::Primary(primary) => primary.phase().name(),
            Self::Secondary(secondary) => secondary.phase().name(),
        }
    }

    /// The latest checkpoint that it has begun.
    pub const fn checkpoint(&self) -> CheckpointNumber {
        match self {
            Self::Primary(primary) => primary.checkpoint(),
            Self::Secondary(secondary) => secondary.checkpoint(),
        }
    }

    /// Requests for a checkpoint that wait until the one under way has ended.
    pub const fn pending_requests(&self) -> u8 {
        match self {
            Self::Primary(primary) => primary.pending_requests(),
            Self::Secondary(_) => 0,
        }
    }

    /// How far a failover has come.
    pub const fn failover(&self) -> Failover {
        match self {
            Self::Primary(primary) => primary.failover(),
            Self::Secondary(secondary) => secondary.failover(),
        }
    }

    /// The marks in its output stream.
    pub const fn output(&self) -> WithheldOutput {
        match self {
            Self::Primary(primary) => primary.output(),
            Self::Secondary(secondary) => secondary.output(),
        }
    }
}

/// Effects that have been asked for and not been carried out, oldest first.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct EffectQueue {
    effects: ArrayVec<Effect, 16>,
}

impl EffectQueue {
    /// The effects, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Effect> {
        self.effects.iter().copied()
    }

    /// The effect to be carried out next.
    pub fn first(&self) -> Option<Effect> {
        self.effects.first().copied()
    }

    /// The effect that can be carried out next: an operation waits until the one in hand, if there is one, has ended.
    pub fn ready(&self, in_hand: bool) -> Option<Effect> {
        self.first().filter(|effect| effect.operation().is_none() || !in_hand)
    }

    /// Takes out the effect to be carried out next.
    pub fn pop(&mut self) -> Option<Effect> {
        (!self.effects.is_empty()).then(|| self.effects.remove(0))
    }

    /// Appends the effects of a step. A closing of the link drops what still waits to be put on it, and goes first.
    fn push(&mut self, effect: Effect) {
        if effect == Effect::CloseLink {
            self.drop_link_effects();
            self.effects.insert(0, effect);
            return;
        }
        if let (Effect::Release(_), Some(last @ Effect::Release(_))) = (effect, self.effects.last_mut()) {
            *last = effect;
            return;
        }
        // A machine has at most one operation in hand and waits for its end: what can pile up is bounded by the
        // effects of a checkpoint's step and of a failover's.
        self.effects.push(effect);
    }

    fn drop_link_effects(&mut self) {
        self.effects.retain(|effect| !effect.needs_link());
    }
}

/// A machine with its queue.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Node {
    machine: Machine,
    queue: EffectQueue,
}

impl Node {
    /// The node with which a side begins.
    pub fn new(name: NodeName) -> Self {
        Self { machine: Machine::new(name), queue: EffectQueue::default() }
    }

    /// The machine.
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The effects that wait.
    pub const fn queue(&self) -> &EffectQueue {
        &self.queue
    }

    /// Gives the machine one input and queues its effects; returns what was wrong with the input.
    pub fn input(&mut self, rules: &Rules, input: Input) -> Option<ProtocolError> {
        if input == Input::LinkDown {
            self.queue.drop_link_effects();
        }
        let Step { effects, error } = self.machine.step(rules, input);
        for effect in effects {
            self.queue.push(effect);
        }
        error
    }

    /// The next effect to carry out, taken off the queue.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.queue.pop()
    }
}
