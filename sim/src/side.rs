//! One node with its surroundings: the core's machine, the virtual machine, the end of the link, what is staged.
//!
//! Only data. What happens to it stands in the files named after what happens.

use crate::guest::{Guest, Page};
use crate::knobs::Knobs;
use colo_oracle::{Reply, Request};
use colo_protocol::wire::{BlockName, Config, Decoder, Direction, Encoder};
use colo_protocol::{
    CheckpointNumber, Dialect, Effect, Input, Node, NodeName, Operation, OutputBuffer, OutputOffset,
};
use std::collections::VecDeque;

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
pub(crate) struct Trouble {
    /// It stands still.
    pub(crate) asleep_until_us: u64,
    /// Its disk does nothing.
    pub(crate) disk_until_us: u64,
    /// What it next asks of its disk fails.
    pub(crate) fail_disk: bool,
    /// The next capture fails.
    pub(crate) fail_save: bool,
    /// The next load fails.
    pub(crate) fail_load: bool,
}

/// A node.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, and all combinations occur")]
pub(crate) struct Side {
    pub(crate) node: Node,
    pub(crate) alive: bool,
    pub(crate) guest: Guest,
    /// The VM can never run again: a load has failed, or the arbiter has chosen the peer.
    pub(crate) unusable: bool,
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
    /// It has told the manager that it has left COLO.
    pub(crate) exited: bool,
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
    /// An input that has come over the link and waits at a gate, with the bytes behind it.
    pub(crate) held: Option<Held>,
    pub(crate) block: BlockName,
    pub(crate) captured: Captured,
    pub(crate) staged: Staged,
    /// What is being applied to the VM.
    pub(crate) loading: Staged,
    pub(crate) output: OutputBuffer<Reply>,
    pub(crate) inbox: VecDeque<Request>,
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
        let incoming = match name {
            NodeName::Primary => Direction::SecondaryToPrimary,
            NodeName::Secondary => Direction::PrimaryToSecondary,
        };
        let config = Config::new(dialect, incoming);
        Self {
            node: Node::new(name),
            alive: true,
            guest: Guest::new(knobs.pages),
            unusable: false,
            powered_off: false,
            trouble: Trouble::default(),
            open: true,
            patient_until_us: 0,
            patience: 0,
            failover_us: 0,
            exited: false,
            in_hand: None,
            operations: 0,
            carrying: false,
            timers: 0,
            timer_due_us: None,
            encoder: Encoder::new(dialect, config.ram_section_id),
            decoder: Decoder::new(config),
            received: 0,
            held: None,
            block: BlockName::new(b"pc.ram").unwrap_or_default(),
            captured: Captured::default(),
            staged: Staged::default(),
            loading: Staged::default(),
            output: OutputBuffer::default(),
            inbox: VecDeque::new(),
            awake: false,
            released: OutputOffset::default(),
            promoted: false,
            promised: CheckpointNumber::default(),
        }
    }

    /// The latest checkpoint that the machine has begun.
    pub(crate) const fn checkpoint(&self) -> CheckpointNumber {
        self.node.machine().checkpoint()
    }

    /// The effect that can be carried out next.
    pub(crate) fn ready(&self) -> Option<Effect> {
        self.node.queue().ready(self.in_hand.is_some()).filter(|_| self.alive)
    }

    /// An operation begins; its token is returned.
    pub(crate) fn begin(&mut self, operation: Operation, effect: Effect) -> u32 {
        assert!(self.in_hand.is_none(), "{operation:?} begins while {:?} is in hand", self.in_hand);
        self.operations += 1;
        self.in_hand = Some(InHand { operation, effect, token: self.operations, half_done: false });
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
