//! One node with its surroundings: the core's machine, the virtual machine, the end of the link, what is staged.
//!
//! Only data. What happens to it stands in the files named after what happens.

use crate::guest::{Guest, Page};
use crate::inbox::Inbox;
use crate::knobs::Knobs;
use colo_oracle::Reply;
use colo_protocol::wire::{BlockName, Config, Decoder, Direction, Encoder};
use colo_protocol::{
    CheckpointNumber, Dialect, Effect, Input, Node, NodeName, Operation, OutputBuffer, OutputOffset,
};

/// An operation that has begun and not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct InHand {
    pub(crate) operation: Operation,
    /// The effect that began it.
    pub(crate) effect: Effect,
    /// Tells it from the node's other operations.
    pub(crate) token: u32,
    /// Its first half is done.
    pub(crate) half_done: bool,
    /// It could end, and waits for disk writes.
    pub(crate) waits_for_writes: bool,
}

/// What has come over the link and waits at a gate.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) input: Input,
    /// What has come behind it, not decoded.
    pub(crate) rest: Vec<u8>,
}

/// A checkpoint as it arrives: nothing of it is in the VM.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    pub(crate) pages: Vec<(usize, Box<Page>)>,
    pub(crate) devices: Vec<u8>,
}

/// A checkpoint as it is sent: encoded already.
#[derive(Debug, Default)]
pub(crate) struct Captured {
    pub(crate) memory: Vec<u8>,
    pub(crate) devices: Vec<u8>,
}

/// What is the matter with a node, or is to be: all by faults.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(clippy::struct_field_names, reason = "until when, each")]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, and all combinations occur")]
pub(crate) struct Trouble {
    /// It stands still.
    pub(crate) asleep_until_us: u64,
    /// Its disk does nothing.
    pub(crate) disk_until_us: u64,
    /// Its timer, or its patience, does not end before, because its clock was put back.
    pub(crate) clock_until_us: u64,
    /// What it next asks of its disk fails.
    pub(crate) fail_disk: bool,
    /// The next capture fails.
    pub(crate) fail_save: bool,
    /// The next load fails.
    pub(crate) fail_load: bool,
    /// What becomes of its guest's next write is its own: in a secondary nothing does, and what a primary's guest says
    /// of it cannot be compared.
    pub(crate) own_way: bool,
}

impl Trouble {
    /// When what has an end by itself has ended.
    pub(crate) fn ends_us(&self) -> u64 {
        self.asleep_until_us.max(self.disk_until_us).max(self.clock_until_us)
    }
}

/// A node.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, and all combinations occur")]
pub(crate) struct Side {
    pub(crate) node: Node,
    pub(crate) alive: bool,
    pub(crate) guest: Guest,
    /// Its guest has powered off.
    pub(crate) powered_off: bool,
    pub(crate) trouble: Trouble,
    /// This end of the link.
    pub(crate) open: bool,
    /// Until when its patience lasts with a peer of which it hears nothing.
    pub(crate) patient_until_us: u64,
    /// How often it has planned to ask itself whether the peer is silent.
    pub(crate) patience: u32,
    /// When it was told, or saw, that it is to go on alone.
    pub(crate) failover_us: u64,
    pub(crate) in_hand: Option<InHand>,
    /// How many operations have begun.
    pub(crate) operations: u32,
    /// The next effect has a time at which it is carried out.
    pub(crate) carrying: bool,
    /// How often the checkpoint timer was armed.
    pub(crate) timers: u32,
    /// When the timer runs out, if it is armed.
    pub(crate) timer_due_us: Option<u64>,
    pub(crate) encoder: Encoder,
    pub(crate) decoder: Decoder,
    /// Bytes that have come over the link.
    pub(crate) received: u64,
    /// The initial state comes over the link. Migration brings it, in the form of a checkpoint; no machine is told of the
    /// messages in it.
    pub(crate) migrating: bool,
    /// An input that has come over the link and waits at a gate, with the bytes behind it.
    pub(crate) held: Option<Held>,
    pub(crate) block: BlockName,
    pub(crate) captured: Captured,
    pub(crate) staged: Staged,
    /// What is being applied to the VM.
    pub(crate) loading: Staged,
    pub(crate) output: OutputBuffer<Reply>,
    pub(crate) inbox: Inbox,
    /// The guest's next look into its inbox is planned.
    pub(crate) awake: bool,
    /// For the judge: the end of what the world was given by this node.
    pub(crate) released: OutputOffset,
    /// For the judge: the node has been promoted.
    pub(crate) promoted: bool,
    /// For the judge: the latest checkpoint that the node has promised to its peer.
    pub(crate) promised: CheckpointNumber,
}

impl Side {
    pub(crate) fn new(name: NodeName, dialect: Dialect, knobs: &Knobs) -> Self {
        let config = config(name, dialect);
        Self {
            node: Node::new(name),
            alive: true,
            guest: Guest::new(knobs.pages),
            powered_off: false,
            trouble: Trouble::default(),
            open: true,
            patient_until_us: 0,
            patience: 0,
            failover_us: 0,
            in_hand: None,
            operations: 0,
            carrying: false,
            timers: 0,
            timer_due_us: None,
            encoder: Encoder::new(dialect, config.ram_section_id),
            decoder: Decoder::new(config),
            received: 0,
            migrating: false,
            held: None,
            block: BlockName::new(b"pc.ram").unwrap_or_default(),
            captured: Captured::default(),
            staged: Staged::default(),
            loading: Staged::default(),
            output: OutputBuffer::default(),
            inbox: Inbox::default(),
            awake: false,
            released: OutputOffset::default(),
            promoted: false,
            promised: CheckpointNumber::default(),
        }
    }

    /// A secondary to which nothing has come yet.
    pub(crate) fn replacement(dialect: Dialect, knobs: &Knobs) -> Self {
        let side = Self::new(NodeName::Secondary, dialect, knobs);
        Self { node: Node::replacement(), migrating: true, ..side }
    }

    /// A survivor is the primary of a new pair, at one end of a new link. It has nothing in hand, and serves.
    pub(crate) fn begin_generation(&mut self, dialect: Dialect) {
        let config = config(NodeName::Primary, dialect);
        (self.encoder, self.decoder) = (Encoder::new(dialect, config.ram_section_id), Decoder::new(config));
        (self.open, self.received, self.timer_due_us, self.failover_us) = (true, 0, None, 0);
        (self.held, self.carrying, self.awake) = (None, false, false);
        self.trouble = Trouble::default();
        self.captured = Captured::default();
        (self.staged, self.loading) = (Staged::default(), Staged::default());
        (self.promoted, self.promised) = (false, CheckpointNumber::default());
        self.guest.begin_generation();
    }

    /// Whether nothing waits to be carried out, and nothing is in hand.
    pub(crate) fn has_nothing_to_do(&self) -> bool {
        self.node.queue().first().is_none() && self.in_hand.is_none()
    }

    /// The latest checkpoint that the machine has begun.
    pub(crate) const fn checkpoint(&self) -> CheckpointNumber {
        self.node.machine().checkpoint()
    }

    /// Whether the node never serves again, whatever it is told: it is dead, or says so.
    pub(crate) const fn is_over(&self) -> bool {
        !self.alive || self.node.machine().is_over()
    }

    /// The effect that can be carried out next.
    pub(crate) fn ready(&self) -> Option<Effect> {
        self.node.queue().ready(self.in_hand.is_some()).filter(|_| self.alive)
    }

    /// An operation begins; its token is returned.
    pub(crate) fn begin(&mut self, operation: Operation, effect: Effect) -> u32 {
        assert!(self.in_hand.is_none(), "{operation:?} begins while {:?} is in hand", self.in_hand);
        self.operations += 1;
        self.in_hand = Some(InHand {
            operation,
            effect,
            token: self.operations,
            half_done: false,
            waits_for_writes: false,
        });
        self.operations
    }

    /// The operation in hand, if it is the one of this token.
    pub(crate) fn operation(&self, token: u32) -> Option<InHand> {
        self.in_hand.filter(|in_hand| in_hand.token == token && self.alive)
    }

    /// This end of the link is closed: what was being sent has ended.
    pub(crate) fn close_end(&mut self) {
        self.open = false;
        self.held = None;
        if self.in_hand.is_some_and(|in_hand| in_hand.operation.needs_link()) {
            self.in_hand = None;
        }
    }
}

/// What a node's decoder has to know.
const fn config(name: NodeName, dialect: Dialect) -> Config {
    let incoming = match name {
        NodeName::Primary => Direction::SecondaryToPrimary,
        NodeName::Secondary => Direction::PrimaryToSecondary,
    };
    Config::new(dialect, incoming)
}
