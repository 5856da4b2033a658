//! Two nodes of the core and the link between them: what an event of a record does to them, if it can happen.
//!
//! The contract between core and environment is kept here, and no more: an operation ends once it has begun, what comes
//! from the link was put there, in that order. What a node makes of an input is asked of the core, always.

use super::log::{SeenEffect, Trouble};
use super::sight::{Sight, Sort};
use colo_protocol::{Effect, Failover, Input, Message, Node, NodeName, Operation, ProtocolError, Rules};
use std::collections::VecDeque;

/// What holds for all states of a search.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ground<'a> {
    pub(super) rules: &'a Rules,
    pub(super) sights: [Sight; 2],
    pub(super) relayed: [bool; 2],
    pub(super) apart: bool,
}

impl Ground<'_> {
    pub(super) fn shows(&self, node: NodeName, sort: Sort) -> bool {
        self.sights[node as usize].shows(sort)
    }

    /// Whether nothing of a node is in the record: neither what it did, nor what it put on the link.
    fn is_blind_to(&self, node: NodeName) -> bool {
        self.sights[node as usize].is_blind() && !self.relayed[node as usize]
    }

    /// Whether the number that a node announces can be known before it is seen on the link.
    fn knows_sizes_of(&self, node: NodeName) -> bool {
        self.shows(node, Sort::Inside)
    }
}

/// What is on the link: what the receiver will be told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Packet {
    pub(super) input: Input,
    /// The number in it is the search's, not the record's: nobody has seen the true one yet.
    guessed: bool,
}

impl Packet {
    fn is(self, seen: Input) -> bool {
        self.input == seen || (self.guessed && self.input.kind() == seen.kind())
    }
}

/// How a node is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Fate {
    /// It lives.
    Lives,
    /// It is being killed, and may have done a little more than the recorder of its death thinks.
    Dying,
    /// It does nothing any more.
    Dead,
    /// Nothing that it still does can come into the record. Whether it lives is not known, and nobody may conclude from
    /// this that it does not.
    Forgotten,
}

impl Fate {
    /// Whether it may do something that is looked at.
    pub(super) const fn acts(self) -> bool {
        matches!(self, Self::Lives | Self::Dying)
    }

    /// Whether it has been killed.
    const fn is_death(self) -> bool {
        matches!(self, Self::Dying | Self::Dead)
    }
}

/// One node with what its environment keeps of it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Side {
    pub(super) node: Node,
    pub(super) in_hand: Option<Operation>,
    pub(super) fate: Fate,
    pub(super) connected: bool,
    /// The delay between checkpoints that it has been set to, milliseconds; that of the rules if to none.
    delay_ms: Option<u32>,
    /// On the link to this node, and not yet where somebody on the link would have seen it.
    pub(super) unseen: VecDeque<Packet>,
    /// On the link to this node.
    pub(super) inbox: VecDeque<Packet>,
}

impl Side {
    /// The state with which a run begins: the secondary has its load of the initial state in hand.
    fn new(name: NodeName) -> Self {
        let in_hand = (name == NodeName::Secondary).then_some(Operation::LoadState);
        Self::with(Node::new(name), in_hand)
    }

    fn with(node: Node, in_hand: Option<Operation>) -> Self {
        let (unseen, inbox) = (VecDeque::new(), VecDeque::new());
        Self { node, in_hand, fate: Fate::Lives, connected: true, delay_ms: None, unseen, inbox }
    }

    /// The effect that can be carried out next.
    pub(super) fn ready(&self) -> Option<Effect> {
        self.node.queue().ready(self.in_hand.is_some()).filter(|_| self.fate.acts())
    }

    fn empty_inbox(&mut self) {
        self.unseen.clear();
        self.inbox.clear();
    }

    /// Its end of the link is gone, and what it was sending with it.
    fn disconnect(&mut self) {
        self.connected = false;
        self.empty_inbox();
        self.in_hand = self.in_hand.filter(|operation| !operation.needs_link());
    }

    /// Whether nothing that the peer does comes here any more, by the link or by the arbiter.
    fn is_apart(&self) -> bool {
        let machine = self.node.machine();
        !self.connected && (machine.is_over() || machine.failover() == Failover::Completed)
    }

    fn is_over(&self) -> bool {
        self.fate.is_death() || (self.node.machine().is_over() && self.node.queue().first().is_none())
    }
}

/// The pair at one moment.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Pair {
    pub(super) sides: [Side; 2],
    cut: bool,
    /// One direction is closed: what was sent may still be read, and either node finds the link gone in its time.
    half_closed: bool,
    /// To whom the arbiter has given the right to serve alone.
    arbiter: Option<NodeName>,
    /// Something has befallen the pair: from here on what only a fault brings about may happen.
    pub(super) troubled: bool,
}

impl Pair {
    pub(super) fn new() -> Self {
        Self {
            sides: NodeName::ALL.map(Side::new),
            cut: false,
            half_closed: false,
            arbiter: None,
            troubled: false,
        }
    }

    pub(super) fn side(&self, name: NodeName) -> &Side {
        &self.sides[name as usize]
    }

    fn side_mut(&mut self, name: NodeName) -> &mut Side {
        &mut self.sides[name as usize]
    }

    /// Whether the node may find its link gone: it was cut, or the other end of it is gone.
    pub(super) fn is_link_lost(&self, name: NodeName) -> bool {
        let peer = self.side(name.peer());
        self.cut || self.half_closed || !peer.connected || peer.fate.is_death()
    }

    /// Gives a node an input, if that can have happened.
    pub(super) fn give(&mut self, ground: &Ground<'_>, name: NodeName, input: Input) -> Option<()> {
        if (input, name) == (Input::Protect, NodeName::Primary) {
            self.begin_generation()?;
        }
        if !self.side(name).fate.acts() {
            return None;
        }
        if let Some(operation) = input.kind().ends() {
            self.side_mut(name).in_hand.take_if(|in_hand| *in_hand == operation)?;
        }
        match input {
            Input::Message(_) | Input::RamReceived | Input::DeviceStateReceived => self.hear(name, input)?,
            // Of this a node tells itself.
            Input::FailoverBegins => return None,
            Input::LinkDown if !self.is_link_lost(name) => return None,
            Input::LinkDown => self.side_mut(name).disconnect(),
            // Instead of what came first.
            Input::BadStream => {
                self.side_mut(name).inbox.pop_front();
            }
            Input::DiskFailed => self.drop_disk_effect(ground, name),
            Input::ArbiterGranted => self.arbitrate(name)?,
            Input::ArbiterDenied => self.arbitrate(name.peer())?,
            _ => {}
        }
        self.tell(ground, name, input)
    }

    /// The core takes the input; none if it says that this cannot have happened where it stands.
    fn tell(&mut self, ground: &Ground<'_>, name: NodeName, input: Input) -> Option<()> {
        let side = self.side_mut(name);
        let checkpoint_delay_ms = side.delay_ms.unwrap_or(ground.rules.checkpoint_delay_ms);
        let rules = Rules { checkpoint_delay_ms, ..*ground.rules };
        if !side.node.has_room_for(&rules, input) {
            return None;
        }
        match side.node.input(&rules, input) {
            Some(ProtocolError::UnexpectedInput { .. } | ProtocolError::OutputWentBack { .. }) => None,
            _ => Some(()),
        }
    }

    /// A node is set to another delay between checkpoints.
    pub(super) fn delay_is(&mut self, name: NodeName, delay_ms: u32) {
        self.side_mut(name).delay_ms = Some(delay_ms);
    }

    /// What comes from the link is what stands first on it.
    fn hear(&mut self, name: NodeName, input: Input) -> Option<()> {
        let side = self.side_mut(name);
        side.inbox.front().filter(|packet| side.connected && packet.is(input))?;
        side.inbox.pop_front();
        Some(())
    }

    /// The arbiter gives the right to serve alone to one node only.
    fn arbitrate(&mut self, winner: NodeName) -> Option<()> {
        (*self.arbiter.get_or_insert(winner) == winner).then_some(())
    }

    /// The effect that could not be carried out is the disk's that is next, if there is one.
    fn drop_disk_effect(&mut self, ground: &Ground<'_>, name: NodeName) {
        let side = self.side_mut(name);
        if side.ready().is_some_and(Effect::is_of_the_disk) {
            side.node.next_effect(ground.rules);
        }
    }

    /// A survivor is protected again: it is the primary of a new pair, over a new link. Nobody is while its peer goes on. If
    /// there is no survivor the core will refuse.
    fn begin_generation(&mut self) -> Option<()> {
        let is_alone =
            |name: &NodeName| self.side(*name).node.can_be_protected() && !self.side(*name).is_over();
        let survives = |name: &NodeName| is_alone(name) && self.side(name.peer()).is_over();
        let Some(survivor) = NodeName::ALL.into_iter().find(survives) else {
            return (!NodeName::ALL.iter().any(is_alone)).then_some(());
        };
        let Side { node, delay_ms, .. } = self.side(survivor).clone();
        self.sides = [Side { delay_ms, ..Side::with(node, None) }, Side::with(Node::replacement(), None)];
        (self.cut, self.half_closed, self.arbiter) = (false, false, None);
        Some(())
    }

    /// Takes off what makes no difference to a record of the link alone: all of a node whose end of the link is gone, or of
    /// which there is nothing in the record and whose peer has nothing more to do with it, and how many checkpoints there have
    /// been.
    pub(super) fn normalise(&mut self, ground: &Ground<'_>) {
        // Of both, before anything is taken off: what is left of one tells nothing of the other.
        let unheeded = NodeName::ALL.map(|name| {
            let gone = !self.side(name).connected && !ground.shows(name, Sort::Inside);
            gone || (ground.is_blind_to(name) && self.side(name.peer()).is_apart())
        });
        for name in NodeName::ALL.into_iter().filter(|name| unheeded[*name as usize]) {
            let Side { fate, connected, .. } = *self.side(name);
            let fate = if fate.is_death() { Fate::Dead } else { Fate::Forgotten };
            *self.side_mut(name) = Side { fate, connected, in_hand: None, ..Side::new(name) };
        }
        if NodeName::ALL.into_iter().any(|name| ground.shows(name, Sort::Inside)) {
            return;
        }
        let left = || self.sides.iter().filter(|side| side.fate.acts());
        let lowest = left().map(|side| side.node.lowest_number().0).min().unwrap_or(0);
        let left = self.sides.iter_mut().filter(|side| side.fate.acts());
        left.for_each(|side| side.node.renumber(lowest.saturating_sub(1)));
    }

    /// A node carries out this effect, if it is the next.
    pub(super) fn carry_out(&mut self, ground: &Ground<'_>, name: NodeName, seen: &SeenEffect) -> Option<()> {
        let effect = self.side(name).ready()?;
        let unknown = matches!(effect, Effect::Send(_)) && !ground.knows_sizes_of(name);
        let same = if unknown { seen.kind == effect.kind() } else { seen.is(effect) };
        if !same {
            return None;
        }
        self.carry_out_next(ground, name)?;
        if let (true, Effect::Send(message)) = (unknown, effect) {
            let message = Message::new(message.kind(), seen.value.unwrap_or(0));
            self.saw_sent(name, message);
        }
        Some(())
    }

    /// A message that was just put on the link is this one.
    fn saw_sent(&mut self, from: NodeName, message: Message) {
        let to = self.side_mut(from.peer());
        if let Some(packet) = to.unseen.back_mut().or(to.inbox.back_mut()).filter(|packet| packet.guessed) {
            *packet = Packet { input: Input::Message(message), guessed: false };
        }
    }

    /// A node carries out the effect that is next; of an operation, its beginning.
    pub(super) fn carry_out_next(&mut self, ground: &Ground<'_>, name: NodeName) -> Option<()> {
        let side = self.side_mut(name);
        let effect = side.ready()?;
        let begins = effect == Effect::BeginFailover && side.node.machine().failover() == Failover::Require;
        if begins && !side.node.has_room_for(ground.rules, Input::FailoverBegins) {
            return None;
        }
        side.node.next_effect(ground.rules);
        side.in_hand = effect.operation().or(side.in_hand);
        match effect {
            Effect::Send(message) => self.put(ground, name, Input::Message(message)),
            // Its end may be read before the sender knows that all of it has been taken.
            Effect::SendRam(_) => self.put(ground, name, Input::RamReceived),
            Effect::SendDeviceState(_) => self.put(ground, name, Input::DeviceStateReceived),
            Effect::CloseLink => self.side_mut(name).disconnect(),
            _ => {}
        }
        Some(())
    }

    fn put(&mut self, ground: &Ground<'_>, from: NodeName, input: Input) {
        let open = self.side(from).connected && (!self.cut || ground.apart);
        if !open {
            return;
        }
        let guessed =
            matches!(input, Input::Message(Message::VmstateSize(_))) && !ground.knows_sizes_of(from);
        let to = self.side_mut(from.peer());
        let lane = if ground.relayed[from as usize] { &mut to.unseen } else { &mut to.inbox };
        lane.push_back(Packet { input, guessed });
    }

    /// Somebody on the link sees this pass.
    pub(super) fn pass(&mut self, from: NodeName, seen: Input) -> Option<()> {
        let to = self.side_mut(from.peer());
        to.unseen.front().filter(|packet| packet.is(seen))?;
        to.unseen.pop_front();
        to.inbox.push_back(Packet { input: seen, guessed: false });
        Some(())
    }

    /// Something befalls the pair.
    pub(super) fn befall(&mut self, ground: &Ground<'_>, trouble: Trouble) -> Option<()> {
        self.troubled = true;
        match trouble {
            Trouble::Death(name) if ground.apart => self.side_mut(name).fate = Fate::Dying,
            Trouble::Death(name) => {
                let side = self.side_mut(name);
                side.disconnect();
                (side.fate, side.in_hand) = (Fate::Dead, None);
            }
            // What had come through before may still be read.
            Trouble::Cut => self.cut = true,
            Trouble::HalfClosed => self.half_closed = true,
            Trouble::Unfit => {
                for name in NodeName::ALL {
                    if self.side(name).fate == Fate::Lives {
                        self.tell(ground, name, Input::CapabilityMissing)?;
                    }
                }
            }
            Trouble::Other => {}
        }
        Some(())
    }
}
