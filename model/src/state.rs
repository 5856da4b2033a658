//! A state of the model: two nodes with what their environments have in hand, the link, and what the world has seen.
//!
//! Only data. What a step does to it is in `pair`, what must hold of it in `observe`.

use crate::bounds::Budgets;
use arrayvec::ArrayVec;
use colo_protocol::{Message, Node, NodeName, Operation, OutputOffset, Property};

/// The state of a VM at a checkpoint, as far as the properties can tell it from another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Snapshot {
    /// The checkpoint.
    pub checkpoint: u8,
    /// The end of the output that led to this state.
    pub output: u8,
}

/// A virtual machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Vm {
    /// The checkpoint that its RAM is of.
    pub ram: Snapshot,
    /// The checkpoint that its registers and devices are of.
    pub devices: Snapshot,
    /// The end of the output of its history.
    pub output: u8,
    /// Whether it executes.
    pub running: bool,
}

/// What travels on the link.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Packet {
    /// A COLO message.
    Message(Message),
    /// The RAM of a checkpoint, whole.
    Ram(Snapshot),
    /// The device state of a checkpoint, whole.
    DeviceState(Snapshot),
}

/// An operation that has begun.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct InHand {
    /// Which.
    pub operation: Operation,
    /// Of a load: whether the RAM has been applied already.
    pub ram_applied: bool,
}

/// A node and its environment.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Side {
    /// The core: a machine and its effects.
    pub node: Node,
    /// Whether the node lives. A dead one is left as a blank.
    pub alive: bool,
    /// The operation that has begun and not ended.
    pub in_hand: Option<InHand>,
    /// The VM.
    pub vm: Vm,
    /// Primary: the state that has been captured. Secondary: what has been staged, RAM and devices.
    pub held: [Option<Snapshot>; 2],
    /// The load in hand has its own grip on what it applies.
    pub load: Option<[Snapshot; 2]>,
    /// What is on the link towards this node.
    pub inbox: ArrayVec<Packet, 6>,
    /// Whether the node still has its end of the link.
    pub connected: bool,
    /// Whether the checkpoint timer is armed.
    pub timer: bool,
}

impl Side {
    /// The side at the beginning.
    pub fn new(name: NodeName) -> Self {
        let secondary = name == NodeName::Secondary;
        let in_hand = secondary.then_some(InHand { operation: Operation::LoadState, ram_applied: true });
        Self {
            node: Node::new(name),
            alive: true,
            in_hand,
            vm: Vm::default(),
            held: [None; 2],
            load: secondary.then_some([Snapshot::default(); 2]),
            inbox: ArrayVec::new(),
            connected: true,
            timer: false,
        }
    }

    /// What is left of a node that has died.
    pub fn dead(name: NodeName) -> Self {
        Self { alive: false, in_hand: None, load: None, connected: false, ..Self::new(name) }
    }
}

/// What the world has seen, and what it was told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct World {
    /// The end of the output that each node has released.
    pub released: [u8; 2],
    /// The end of the output that the secondary's VM has held, or was bound to hold.
    pub committed: u8,
    /// To which node the arbiter has given the right to serve alone.
    pub arbiter: Option<NodeName>,
    /// Which nodes have been promoted.
    pub promoted: [bool; 2],
    /// Which nodes have released output that was not committed.
    pub served: [bool; 2],
    /// The properties that have been broken, a bit each in the order of [`Property::ALL`].
    pub broken: u8,
}

impl World {
    /// Notes that a property is broken.
    pub fn break_property(&mut self, property: Property) {
        self.broken |= Self::bit(property);
    }

    /// Whether a property is unbroken.
    pub fn holds(&self, property: Property) -> bool {
        self.broken & Self::bit(property) == 0
    }

    fn bit(property: Property) -> u8 {
        1 << property as u8
    }
}

/// A state of the model.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct State {
    /// The primary's side, then the secondary's.
    pub sides: [Side; 2],
    /// Whether the link carries anything new.
    pub link_up: bool,
    /// What the world has seen.
    pub world: World,
    /// What has been spent of the budgets.
    pub spent: Budgets,
}

impl State {
    /// The beginning: the initial state is on its way into the secondary's VM.
    pub fn initial() -> Self {
        Self {
            sides: NodeName::ALL.map(Side::new),
            link_up: true,
            world: World::default(),
            spent: Budgets::default(),
        }
    }

    /// One side.
    pub fn side(&self, name: NodeName) -> &Side {
        &self.sides[name as usize]
    }

    /// One side, to be changed.
    pub fn side_mut(&mut self, name: NodeName) -> &mut Side {
        &mut self.sides[name as usize]
    }
}

/// An offset as small as the model needs it.
pub(crate) fn small(offset: OutputOffset) -> u8 {
    u8::try_from(offset.0).unwrap_or(u8::MAX)
}
