//! The judge: looks at the nodes from outside and says when a property is broken. The first one ends the run.
//!
//! It reads marks that no node and no guest reads, and what it says changes nothing else in the run.

use crate::clients::Given;
use crate::guest::Guest;
use crate::options::Watch;
use crate::outcome::Broken;
use crate::side::Side;
use crate::simulation::Simulation;
use colo_oracle::RealTime;
use colo_protocol::{
    CheckpointNumber, ExitReason, Failover, Machine, Message, MessageKind, NodeName, Operation, OutputOffset,
    Property,
};
use colo_trace::Kind;
use std::collections::BTreeMap;

/// What was broken, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Judgement {
    pub(crate) broken: Broken,
    pub(crate) sentence: String,
    pub(crate) claimed: bool,
}

/// What the judge keeps of a captured state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Capture {
    memory: u64,
    output_end: OutputOffset,
}

impl Capture {
    pub(crate) fn of(guest: &Guest) -> Self {
        Self { memory: guest.memory.fingerprint(), output_end: guest.devices.output_end }
    }
}

/// What the judge has to remember.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    judgement: Option<Judgement>,
    captured: BTreeMap<CheckpointNumber, Capture>,
    /// Which nodes have given the world output that no checkpoint of the secondary holds.
    served: [bool; 2],
    /// The end of the output that the secondary has held, or was bound to hold.
    committed: OutputOffset,
    /// A living node was taken for dead, and nobody has seen to it that it is.
    pub(crate) unfenced: bool,
    /// Bytes were damaged, or lost without a trace: what they said may never be known. Of the pair's states, those up to
    /// this one may be what that has made of them.
    pub(crate) damaged: Option<CheckpointNumber>,
    /// All bytes of captured states are looked at, because something may damage them.
    pub(crate) careful: bool,
    /// Of each captured state, a fingerprint of them.
    pub(crate) contents: BTreeMap<CheckpointNumber, u64>,
}

impl Judge {
    /// One that looks at all bytes of captured states, or not.
    pub(crate) fn new(careful: bool) -> Self {
        Self { careful, ..Self::default() }
    }

    pub(crate) const fn has_judged(&self) -> bool {
        self.judgement.is_some()
    }

    pub(crate) fn verdict(&self) -> Option<Judgement> {
        self.judgement.clone()
    }

    /// Another pair begins: checkpoints are counted anew, and what each node gave the world is told anew.
    pub(crate) fn begin_generation(&mut self) {
        self.captured.clear();
        self.contents.clear();
        (self.served, self.committed, self.damaged) = ([false; 2], OutputOffset::default(), None);
    }

    /// The state of this checkpoint was captured.
    pub(crate) fn captured(&mut self, checkpoint: CheckpointNumber, capture: Capture) {
        self.captured.insert(checkpoint, capture);
    }
}

impl Simulation<'_> {
    pub(crate) fn violated(&mut self, property: Property, sentence: String) {
        self.broken(Broken::Property(property), sentence);
    }

    pub(crate) fn broken(&mut self, broken: Broken, sentence: String) {
        let ignored = match self.options.watch {
            Watch::Everything => false,
            Watch::ClientsOnly => broken != Broken::ClientHistory,
            Watch::Only(only) => broken != Broken::Property(only),
        };
        if ignored || self.judge.has_judged() {
            return;
        }
        self.tape.other(self.place(None), Kind::Violation, broken.name(), Some(sentence.clone()));
        let claimed = self.is_claimed(broken);
        self.judge.judgement = Some(Judgement { broken, sentence, claimed });
    }

    /// Whether the rules claim, of a run in which went wrong what has, that this cannot break.
    fn is_claimed(&self, broken: Broken) -> bool {
        match broken {
            Broken::Property(Property::SingleServer) => !self.judge.unfenced,
            Broken::ClientHistory => !self.judge.unfenced,
            Broken::NotDrained(property) => self.rules.claims_liveness(property, self.damage_lasts()),
            Broken::SilentDamage => false,
            Broken::Property(_) => true,
        }
    }

    /// The secondary says something: it may be its promise.
    pub(crate) fn note_promise(&mut self, node: NodeName, message: Message) {
        let promises = match message.kind() {
            MessageKind::VmstateReceived => self.rules.promises_at_received(),
            MessageKind::VmstateLoaded => true,
            _ => false,
        };
        if promises {
            let side = self.side_mut(node);
            side.promised = side.checkpoint();
        }
    }

    /// The state of a VM begins to be captured.
    pub(crate) fn judge_capture(&mut self, node: NodeName) {
        if self.side(node).guest.executing {
            let sentence = format!("the {node}'s VM executes while its state is being captured");
            self.violated(Property::StillDuringCapture, sentence);
        }
    }

    /// A VM is about to execute.
    pub(crate) fn judge_resume(&mut self, node: NodeName) {
        let side = self.side(node);
        if side.in_hand.is_some_and(|in_hand| in_hand.operation == Operation::SaveState) {
            let sentence = format!("the {node}'s VM is resumed while its state is being captured");
            self.violated(Property::StillDuringCapture, sentence);
            return;
        }
        match side.guest.checkpoint() {
            None => {
                let sentence = format!("the {node}'s VM is resumed, and {}", self.torn(node));
                self.violated(Property::CheckpointAtomicity, sentence);
            }
            Some(checkpoint) => {
                self.judge_disk(node);
                self.judge_promise(node, checkpoint);
            }
        }
    }

    /// State is applied to a VM.
    pub(crate) fn judge_load_step(&mut self, node: NodeName) {
        if self.side(node).guest.executing {
            let sentence =
                format!("the {node}'s VM executes, and state is applied to it: {}", self.torn(node));
            self.violated(Property::CheckpointAtomicity, sentence);
        }
    }

    fn torn(&self, node: NodeName) -> String {
        let guest = &self.side(node).guest;
        let of = |checkpoint: Option<CheckpointNumber>| match checkpoint {
            Some(checkpoint) => format!("of checkpoint {checkpoint}"),
            None => "of more than one checkpoint".to_owned(),
        };
        format!("its memory is {}, its devices are {}", of(guest.memory_of), of(guest.devices_of))
    }

    /// All of a checkpoint has been applied: is it the one that was captured?
    pub(crate) fn judge_loaded(&mut self, node: NodeName, checkpoint: CheckpointNumber) {
        let guest = &self.side(node).guest;
        let captured = self.judge.captured.get(&checkpoint).copied();
        if captured != Some(Capture::of(guest)) || guest.checkpoint() != Some(checkpoint) {
            let sentence =
                format!("the {node} has loaded checkpoint {checkpoint}, and its VM is not the captured one");
            self.violated(Property::CheckpointAtomicity, sentence);
        }
        if self.side(node).guest.executing {
            self.judge_disk(node);
        }
    }

    fn judge_promise(&mut self, node: NodeName, checkpoint: CheckpointNumber) {
        let side = self.side(node);
        // As in the model: what is staged whole is promised, also when the word that says so was lost with the link.
        let promised = match side.node.machine() {
            Machine::Primary(_) => side.promised,
            Machine::Secondary(secondary) => side.promised.max(secondary.promised()),
        };
        if checkpoint < promised {
            let sentence =
                format!("the {node} goes on from checkpoint {checkpoint}, and had promised {promised}");
            self.violated(Property::Promise, sentence);
        }
    }

    /// A node is promoted. Of a torn VM the first thing to be told is that it is.
    pub(crate) fn judge_promotion(&mut self, node: NodeName) {
        let guest = &self.side(node).guest;
        let checkpoint = guest
            .devices_of
            .unwrap_or_default()
            .min(guest.memory_of.or(guest.devices_of).unwrap_or_default());
        if guest.checkpoint().is_none() {
            let sentence = format!("the {node} is promoted, and {}", self.torn(node));
            self.violated(Property::CheckpointAtomicity, sentence);
        }
        self.judge_disk(node);
        let shared = self.ledger.shared();
        let (side, peer) = (self.side(node), self.side(node.peer()));
        let (history, released) = match node {
            NodeName::Primary => (side.guest.devices.output_end, peer.released),
            NodeName::Secondary => (shared, peer.released),
        };
        // What a peer released after its own promotion is the business of single server.
        if released > history && !peer.promoted {
            let sentence = format!(
                "the {node} is promoted with {history} units of the {peer}'s output in its history, and the {peer} has \
                 released {released}",
                peer = node.peer()
            );
            self.violated(Property::OutputCommit, sentence);
        }
        self.judge_promise(node, checkpoint);
        if node == NodeName::Secondary {
            // From here on its execution is its own.
            self.judge.committed = self.judge.committed.max(shared);
        }
    }

    /// One request for a checkpoint waits at most.
    pub(crate) fn judge_requests(&mut self, node: NodeName) {
        let pending = self.side(node).node.machine().pending_requests();
        if pending > 1 {
            let sentence = format!("{pending} requests for a checkpoint wait at the {node}");
            self.violated(Property::Coalescing, sentence);
        }
    }

    /// A node tells the manager why it has left COLO.
    pub(crate) fn judge_exit(&mut self, node: NodeName, reason: ExitReason) {
        if (reason == ExitReason::Request) != self.side(node).promoted {
            let done = if self.side(node).promoted { "has been promoted" } else { "has not been promoted" };
            self.violated(Property::ExitReason, format!("the {node} {done} and says {}", reason.name()));
        }
    }

    /// A node has given the world the last so many units of what is on its way to the clients.
    pub(crate) fn judge_release(&mut self, node: NodeName, count: usize) {
        let given = self.world.iter().skip(self.world.len() - count);
        let other = given.clone().find(|given| !self.ledger.holds(node, given.offset, given.reply));
        let end = OutputOffset(given.last().map_or(0, |last| last.offset.0 + 1));
        if let Some(Given { offset, reply, .. }) = other {
            let sentence = format!("the {node} releases what its VM never sent: at output {offset}, {reply}");
            self.violated(Property::OutputCommit, sentence);
        }
        let onward = end > self.side(node).released;
        let committed = self.committed();
        let side = self.side_mut(node);
        side.released = side.released.max(end);
        if !onward || end <= committed {
            return;
        }
        self.judge.served[node as usize] = true;
        if self.judge.served == [true; 2] {
            let sentence = format!(
                "the {node} releases output up to {end}, of which the secondary holds {committed} only, and the {} \
                 has released output that no checkpoint held",
                node.peer()
            );
            self.violated(Property::SingleServer, sentence);
        }
    }

    /// The end of the output that the secondary holds, or will when it has loaded what it promised. What its VM has
    /// sent by itself counts as long as it is the primary's, too.
    fn committed(&mut self) -> OutputOffset {
        let secondary = self.side(NodeName::Secondary);
        let loaded = secondary.guest.checkpoint().unwrap_or_default();
        let held = self.judge.captured.get(&loaded.max(secondary.promised)).copied().unwrap_or_default();
        let promoted = secondary.promoted;
        self.judge.committed = self.judge.committed.max(held.output_end);
        if promoted { self.judge.committed } else { self.judge.committed.max(self.ledger.shared()) }
    }

    /// The run is over: if somebody serves, everything is answered, and the store is what the answers say.
    pub(crate) fn judge_end(&mut self) {
        self.ask_for_second_opinion();
        self.judge_drained();
        // What a gate still holds has not been left out by anybody.
        let Some(server) = self.server().filter(|_| !self.anything_waits() && !self.judge.has_judged())
        else {
            return;
        };
        if let Err(violation) = self.clients.checker().drained() {
            let passed_ms = self.agenda.now_us().saturating_sub(self.drained_us) / 1_000;
            let sentence =
                format!("{violation}, although the {server} has served undisturbed for {passed_ms} ms");
            self.broken(Broken::ClientHistory, sentence);
            return;
        }
        if self.clients.checker().is_ahead() {
            return;
        }
        let store = self.clients.checker().store();
        let guest = &self.side(server).guest;
        let wrong = (0..self.knobs.keys).find(|key| guest.value(*key) != store.value(*key));
        if let Some(key) = wrong {
            let sentence = format!(
                "the {server} holds {} for key {key}, and by all answers it must hold {}",
                guest.value(key),
                store.value(key)
            );
            self.broken(Broken::ClientHistory, sentence);
        }
    }

    /// The checker goes by the serials in the replies; who does without must come to the same.
    fn ask_for_second_opinion(&mut self) {
        let real_time = self.clients.real_time().filter(|_| !self.judge.has_judged());
        if let Some(Err(key)) = real_time.map(RealTime::check) {
            let sentence =
                format!("no order of the operations on key {key} explains what the clients were answered");
            self.broken(Broken::ClientHistory, sentence);
        }
    }

    /// The node that serves the clients, if one does.
    pub(crate) fn server(&self) -> Option<NodeName> {
        let whole = |side: &Side| side.open && !side.is_over();
        let protected = self.link.is_up() && self.sides.iter().all(whole);
        let alone = NodeName::ALL.into_iter().find(|node| self.is_alone(*node));
        alone.or(protected.then_some(NodeName::Primary))
    }

    /// Whether a node serves alone.
    pub(crate) fn is_alone(&self, node: NodeName) -> bool {
        let side = self.side(node);
        !side.is_over() && side.node.machine().failover() == Failover::Completed
    }
}
