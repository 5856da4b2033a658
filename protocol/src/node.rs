//! A node as every environment drives it: its machine and the effects that have not been carried out yet.
//!
//! What overtakes in the queue: the closing of the link, which drops what still waits to be put on it, the beginning of
//! a failover, and a halt, which drops all that the node would do with its VM and its disk.

use crate::effect::{Effect, ExitReason, Step};
use crate::error::ProtocolError;
use crate::failover::{Failover, Status};
use crate::input::Input;
use crate::output::{CheckpointNumber, WithheldOutput};
use crate::primary::Primary;
use crate::rules::Rules;
use crate::secondary::Secondary;
use arrayvec::ArrayVec;
use core::fmt;

/// The two sides of a pair, by the role with which they began this generation: a survivor that is protected again is
/// the primary of the next one, its replacement the secondary.
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

    /// The machine of a secondary that has come to protect a survivor.
    pub fn replacement() -> Self {
        Self::Secondary(Secondary::replacement())
    }

    /// See [`Primary::step`] and [`Secondary::step`]. A secondary that survived is a primary from protect on.
    pub fn step(&mut self, rules: &Rules, input: Input) -> Step {
        if let (Self::Secondary(secondary), Input::Protect) = (&*self, input)
            && let Some(primary) = secondary.as_primary()
        {
            *self = Self::Primary(primary);
        }
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

    /// The checkpoint from which it serves if it now serves alone: a secondary from the latest that its VM holds, whole; a
    /// primary goes on where it is, in the latest that it has begun.
    pub const fn serves_from(&self) -> CheckpointNumber {
        match self {
            Self::Primary(primary) => primary.checkpoint(),
            Self::Secondary(secondary) => secondary.loaded(),
        }
    }

    /// What it is to be told when somebody wants a checkpoint now: a primary that has a peer, that one is due. Nobody else takes
    /// any (QEMU: only the primary's loop waits for `colo_checkpoint_event`).
    pub fn told_of_wanted_checkpoint(&self) -> Option<Input> {
        let takes_any =
            matches!(self, Self::Primary(_)) && self.failover() == Failover::None && !self.is_over();
        takes_any.then_some(Input::CheckpointDue)
    }

    /// What it is to be told when the delay between checkpoints is changed, under rules that have the new one: a primary that
    /// a checkpoint is due (QEMU: `colo_checkpoint_delay_set`), at whose end the timer is armed with the new delay. A
    /// secondary is told when one comes.
    pub fn told_of_new_delay(&self) -> Option<Input> {
        self.told_of_wanted_checkpoint()
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

    /// What it answers to query-colo-status.
    pub fn status(&self) -> Status {
        match self {
            Self::Primary(primary) => primary.status(),
            Self::Secondary(secondary) => secondary.status(),
        }
    }

    /// Whether what comes from the network is for its VM: a primary's, or that of a secondary which serves alone. To another
    /// secondary comes what its primary passes on, if anything does (QEMU: filter-mirror and filter-redirector).
    pub fn hears_network(&self) -> bool {
        matches!(self, Self::Primary(_)) || self.failover() == Failover::Completed
    }

    /// Whether it has stopped for good: it never serves again, whatever it is told.
    pub const fn is_over(&self) -> bool {
        match self {
            Self::Primary(primary) => primary.is_over(),
            Self::Secondary(secondary) => secondary.is_over(),
        }
    }

    /// Whether it serves alone and has nothing in hand.
    pub(crate) fn can_be_protected(&self) -> bool {
        match self {
            Self::Primary(primary) => primary.can_be_protected(),
            Self::Secondary(secondary) => secondary.as_primary().is_some(),
        }
    }

    /// The marks in its output stream.
    pub const fn output(&self) -> WithheldOutput {
        match self {
            Self::Primary(primary) => primary.output(),
            Self::Secondary(secondary) => secondary.output(),
        }
    }

    /// Whether its VM executes, or has not been suspended yet.
    pub(crate) fn vm_may_execute(&self) -> bool {
        match self {
            Self::Primary(primary) => primary.vm_may_execute(),
            Self::Secondary(secondary) => secondary.vm_may_execute(),
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

    /// Whether whatever comes next of its VM and its comparison finds room: an environment that carries out nothing holds
    /// these back, as they can come any number of times.
    pub fn has_room(&self) -> bool {
        self.effects.len() <= Self::MOST_THAT_MAY_WAIT
    }

    /// Half of the queue is left to what comes of the protocol: the longest step, a failover's.
    const MOST_THAT_MAY_WAIT: usize = 8;

    /// Takes out the effect to be carried out next.
    pub fn pop(&mut self) -> Option<Effect> {
        (!self.effects.is_empty()).then(|| self.effects.remove(0))
    }

    /// Appends the effects of a step, but for those that overtake.
    fn push(&mut self, effect: Effect) {
        match effect {
            Effect::CloseLink => {
                self.drop_link_effects();
                return self.effects.insert(0, effect);
            }
            Effect::BeginFailover => return self.effects.insert(0, effect),
            Effect::Halt => self.give_up(),
            _ => {}
        }
        if let (Effect::Release(_), Some(last @ Effect::Release(_))) = (effect, self.effects.last_mut()) {
            *last = effect;
            return;
        }
        // A machine has at most one operation in hand and waits for its end: what the protocol piles up is bounded by
        // the effects of a checkpoint's step and of a failover's. What a VM piles up is bounded by who drives the node.
        self.effects.push(effect);
    }

    /// The node stops for good: its VM and its disk are left as they are, and a success that was to be told is none.
    fn give_up(&mut self) {
        self.effects.retain(|waits| matches!(waits, Effect::CloseLink | Effect::Exit(_)));
        for waits in &mut self.effects {
            if let Effect::Exit(reason) = waits {
                *reason = ExitReason::Error;
            }
        }
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

    /// The node with which a replacement begins.
    pub fn replacement() -> Self {
        Self { machine: Machine::replacement(), queue: EffectQueue::default() }
    }

    /// The machine.
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The effects that wait.
    pub const fn queue(&self) -> &EffectQueue {
        &self.queue
    }

    /// The lowest number of a checkpoint in it.
    pub fn lowest_number(&self) -> CheckpointNumber {
        match &self.machine {
            Machine::Primary(primary) => primary.lowest_number(),
            Machine::Secondary(secondary) => secondary.lowest_number(),
        }
    }

    /// The same node with the numbers of all checkpoints less by `by`. What numbers mean is in their order, and in which
    /// of them is 0, the initial state: a node that has none of it left goes on as before. For a model checker, to
    /// which two states are the same if what follows is.
    ///
    /// # Panics
    ///
    /// If that would leave a number that is not positive.
    pub fn renumber(&mut self, by: u64) {
        assert!(by == 0 || by < self.lowest_number().0, "checkpoint 0 is another than the others");
        match &mut self.machine {
            Machine::Primary(primary) => primary.renumber(by),
            Machine::Secondary(secondary) => secondary.renumber(by),
        }
        for effect in &mut self.queue.effects {
            *effect = effect.renumbered(by);
        }
    }

    /// Whether protect would be accepted: the node serves alone, and has done all that the old pair left it to do.
    pub fn can_be_protected(&self) -> bool {
        self.queue.effects.is_empty() && self.machine.can_be_protected()
    }

    /// Whether there is room in the queue for all that this input would ask for. An environment that carries effects out
    /// in time never sees the end of it; one that is given a record by a stranger has to look before it gives an input.
    pub fn has_room_for(&self, rules: &Rules, input: Input) -> bool {
        let Step { effects, .. } = { self.machine }.step(rules, input);
        effects.len() <= self.queue.effects.remaining_capacity()
    }

    /// Gives the machine one input and queues its effects; returns what was wrong with the input.
    pub fn input(&mut self, rules: &Rules, input: Input) -> Option<ProtocolError> {
        if input == Input::Protect && !self.can_be_protected() {
            return Some(ProtocolError::NotAlone { state: self.machine.phase_name() });
        }
        if input == Input::LinkDown {
            self.queue.drop_link_effects();
        }
        let Step { effects, error } = self.machine.step(rules, input);
        for effect in effects {
            self.queue.push(effect);
        }
        error
    }

    /// The next effect to carry out, taken off the queue. The beginning of a failover asks nothing of the environment:
    /// it is done with that, and what it asks for has been queued.
    ///
    /// # Panics
    ///
    /// If the machine does not begin a failover that it has accepted: a defect of the core.
    pub fn next_effect(&mut self, rules: &Rules) -> Option<Effect> {
        let effect = self.queue.pop()?;
        // It may have begun, or become pointless, by something that came between.
        if effect == Effect::BeginFailover && self.machine.failover() == Failover::Require {
            let error = self.input(rules, Input::FailoverBegins);
            assert_eq!(error, None, "a failover that was accepted can begin");
        }
        Some(effect)
    }
}
