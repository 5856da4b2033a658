//! A state of the model: two nodes with what their environments have in hand, the link, and what the world has seen.
//!
//! Only data. What a step does to it is in `pair`, what must hold of it in `observe`.

use crate::bounds::Budgets;
use arrayvec::ArrayVec;
use colo_protocol::{CheckpointNumber, Input, Message, Node, NodeName, Operation, OutputOffset, Property};
use serde::{Deserialize, Serialize};

/// The state of a VM at a checkpoint, as far as the properties can tell it from another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// The checkpoint.
    pub checkpoint: u8,
    /// The end of the output that led to this state.
    pub output: u8,
    /// How many disk writes led to this state.
    pub writes: u8,
}

/// An execution that has never left that of the peer.
const NEVER: u8 = u8::MAX;

/// A virtual machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Vm {
    /// The checkpoint that its RAM is of.
    pub ram: Snapshot,
    /// The checkpoint that its registers and devices are of.
    pub devices: Snapshot,
    /// The end of the output of its history.
    pub output: u8,
    /// The disk writes of its history.
    pub writes: u8,
    /// The first unit of its output that is another than the primary's.
    pub leaves_at: u8,
    /// How many of its writes no checkpoint has captured.
    pub uncaptured: u8,
    /// Whether it executes.
    pub running: bool,
}

impl Default for Vm {
    fn default() -> Self {
        let none = Snapshot::default();
        Self {
            ram: none,
            devices: none,
            output: 0,
            writes: 0,
            leaves_at: NEVER,
            uncaptured: 0,
            running: false,
        }
    }
}

impl Vm {
    /// How much of the primary's output this VM has produced as well.
    pub fn shared_output(&self) -> u8 {
        self.output.min(self.leaves_at)
    }
}

/// What the primary's comparison has been given of the secondary's output.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct PeerOutput {
    /// Its end.
    pub end: u8,
    /// The first unit that is another than the primary's.
    pub leaves_at: u8,
}

impl Default for PeerOutput {
    fn default() -> Self {
        Self { end: 0, leaves_at: NEVER }
    }
}

/// A node's disk. A write is known by its number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Disk {
    /// Whether replication has started.
    pub started: bool,
    /// Whether it has started and not ended.
    pub replicating: bool,
    /// Whether it has failed to do what it was asked for.
    pub failed: bool,
    /// Of a secondary: the primary's writes that have come.
    pub received: u8,
    /// Of a secondary: the writes that its VM sees; what it wrote itself is among them.
    pub seen: u8,
}

/// What travels on the link.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Packet {
    /// A COLO message.
    Message(Message),
    /// The RAM of a checkpoint, whole.
    Ram(Snapshot),
    /// The device state of a checkpoint, whole.
    DeviceState(Snapshot),
}

impl Packet {
    /// The input that it is when it arrives.
    pub(crate) const fn input(&self) -> Input {
        match self {
            Self::Message(message) => Input::Message(*message),
            Self::Ram(_) => Input::RamReceived,
            Self::DeviceState(_) => Input::DeviceStateReceived,
        }
    }
}

/// An operation that has begun.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct InHand {
    /// Which.
    pub operation: Operation,
    /// Of a load: whether the RAM has been applied already.
    pub ram_applied: bool,
}

/// A node and its environment.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
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
    /// The disk.
    pub disk: Disk,
    /// Primary: what its comparison has of the peer.
    pub peer_output: PeerOutput,
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
            disk: Disk::default(),
            peer_output: PeerOutput::default(),
        }
    }

    /// A secondary to which nothing has come yet.
    pub fn replacement() -> Self {
        let node = Node::replacement();
        Self { node, in_hand: None, load: None, ..Self::new(NodeName::Secondary) }
    }

    /// A survivor is the primary of a new pair: its execution is the one to be followed, its writes count anew.
    fn begin_generation(&mut self) {
        let Vm { output, running, .. } = self.vm;
        self.vm = Vm { output, running, ..Vm::default() };
        (self.held, self.load) = ([None; 2], None);
        (self.disk, self.peer_output) = (Disk::default(), PeerOutput::default());
        self.inbox.clear();
        self.connected = true;
    }

    /// What is left of a node that has died.
    pub fn dead(name: NodeName) -> Self {
        Self { alive: false, in_hand: None, load: None, connected: false, ..Self::new(name) }
    }
}

/// What the world has seen, and what it was told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct World {
    /// The end of the output that each node has released.
    pub released: [u8; 2],
    /// The end of the output that the secondary's VM has held, or was bound to hold.
    pub committed: u8,
    /// Which nodes have been told, by command, that their peer is gone.
    pub told: [bool; 2],
    /// To which node the arbiter has given the right to serve alone.
    pub arbiter: Option<NodeName>,
    /// Which nodes have been promoted.
    pub promoted: [bool; 2],
    /// On which nodes the guest has wanted to power off.
    pub powers_off: [bool; 2],
    /// Which nodes have released output that was not committed.
    pub served: [bool; 2],
    /// The properties that have been broken, a bit each in the order of [`Property::ALL`].
    pub broken: u16,
}

impl World {
    /// Another pair begins, in which the survivor is the primary.
    fn begin_generation(&mut self, survivor: NodeName) {
        let released = [self.released[survivor as usize], 0];
        *self = Self { released, broken: self.broken, ..Self::default() };
    }

    /// Notes that a property is broken.
    pub fn break_property(&mut self, property: Property) {
        self.broken |= Self::bit(property);
    }

    /// Whether a property is unbroken.
    pub fn holds(&self, property: Property) -> bool {
        self.broken & Self::bit(property) == 0
    }

    const fn bit(property: Property) -> u16 {
        1 << property as u8
    }
}

/// What the link does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Link {
    /// It delivers, in order.
    Up,
    /// It delivers nothing for now.
    Stalled,
    /// It delivers nothing, and does not say so.
    Blackhole,
    /// It delivers nothing to this node, and does not say so.
    Partitioned(NodeName),
    /// It is gone, and both ends can see that.
    Down,
}

/// A state of the model.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct State {
    /// The primary's side, then the secondary's.
    pub sides: [Side; 2],
    /// What the link does.
    pub link: Link,
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
            link: Link::Up,
            world: World::default(),
            spent: Budgets::default(),
        }
    }

    /// Whether this is the secondary, executing beside the primary.
    pub fn follows(&self, name: NodeName) -> bool {
        name == NodeName::Secondary && !self.world.promoted[name as usize]
    }

    /// The unit of output that the primary's comparison looks at next.
    pub fn next_compared(&self) -> u8 {
        small(self.side(NodeName::Primary).node.machine().output().released())
    }

    /// Whether the initial state is still on its way into the secondary.
    pub fn is_negotiating(&self) -> bool {
        let secondary = self.side(NodeName::Secondary);
        let loads = secondary.in_hand.is_some_and(|in_hand| in_hand.operation == Operation::LoadState);
        loads && self.sides.iter().all(|side| side.node.machine().checkpoint() == CheckpointNumber(0))
    }

    /// A node has closed the link: its peer sees it, unless nothing comes through to it.
    pub fn close_link(&mut self, by: NodeName) {
        let passes = match self.link {
            Link::Up => true,
            Link::Partitioned(to) => to != by.peer(),
            Link::Stalled | Link::Blackhole | Link::Down => false,
        };
        if passes {
            self.link = Link::Down;
        }
    }

    /// The link delivers again, and tells that an end has been closed meanwhile.
    pub fn end_stall(&mut self) {
        let whole = self.sides.iter().all(|side| side.alive && side.connected);
        self.link = if whole { Link::Up } else { Link::Down };
    }

    /// A replacement has come to the survivor, which is the primary's side from here on; the link between them is new,
    /// and a disk mirrored. What the old pair was, no one will ask again.
    pub fn replace(&mut self, survivor: NodeName) {
        self.world.begin_generation(survivor);
        if survivor == NodeName::Secondary {
            self.sides.swap(0, 1);
        }
        self.link = Link::Up;
        let [primary, secondary] = &mut self.sides;
        primary.begin_generation();
        *secondary = Side::replacement();
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
