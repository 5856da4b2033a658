//! The judge: looks at the nodes from outside and says when a property is broken. The first one ends the run.
//!
//! It reads marks that no node and no guest reads, and what it says changes nothing else in the run.

use crate::guest::Guest;
use crate::options::Watch;
use crate::outcome::Broken;
use crate::side::Side;
use crate::simulation::Simulation;
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
    /// A living node was taken for dead, and nobody has seen to it that it is.
    pub(crate) unfenced: bool,
    /// Bytes were damaged, or lost without a trace: what they said may never be known.
    pub(crate) damaged: bool,
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

    /// The state of this checkpoint was captured.
    pub(crate) fn captured(&mut self, checkpoint: CheckpointNumber, capture: Capture) {
        self.captured.insert(checkpoint, capture);
    }
}

impl Simulation<'_> {
    pub(crate) fn violated(&mut self, property: Property, sentence: String) {
        if self.options.watch == Watch::ClientsOnly {
            return;
        }
        self.broken(Broken::Property(property), sentence);
    }

    pub(crate) fn broken(&mut self, broken: Broken, sentence: String) {
        let ignored = |only| broken != Broken::Property(only);
        if self.judge.has_judged() || matches!(self.options.watch, Watch::Only(only) if ignored(only)) {
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
            Broken::ClientHistory => !self.judge.unfenced && !self.judge.damaged,
            Broken::NotDrained(property) => self.rules.claims_liveness(property, self.judge.damaged),
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
            Some(checkpoint) => self.judge_promise(node, checkpoint),
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

    /// A node is promoted. Of a torn VM no property can be told but that it may not run.
    pub(crate) fn judge_promotion(&mut self, node: NodeName) {
        let (side, peer) = (self.side(node), self.side(node.peer()));
        let Some(checkpoint) = side.guest.checkpoint() else { return };
        let (history, released) = (side.guest.devices.output_end, peer.released);
        // What a peer released after its own promotion is the business of single server.
        if released > history && !peer.promoted {
            let sentence = format!(
                "the {node} is promoted with a history of {history} units of output, and the {} has released {released}",
                node.peer()
            );
            self.violated(Property::OutputCommit, sentence);
            return;
        }
        self.judge_promise(node, checkpoint);
    }

    /// A node tells the manager why it has left COLO.
    pub(crate) fn judge_exit(&mut self, node: NodeName, reason: ExitReason) {
        if (reason == ExitReason::Request) != self.side(node).promoted {
            let done = if self.side(node).promoted { "has been promoted" } else { "has not been promoted" };
            self.violated(Property::ExitReason, format!("the {node} {done} and says {}", reason.name()));
        }
    }

    /// A node gives the world output up to `end`.
    pub(crate) fn judge_release(&mut self, node: NodeName, end: OutputOffset) {
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

    /// The end of the output that the secondary holds, or will when it has loaded what it promised.
    fn committed(&self) -> OutputOffset {
        let secondary = self.side(NodeName::Secondary);
        let loaded = secondary.guest.checkpoint().unwrap_or_default();
        let held = self.judge.captured.get(&loaded.max(secondary.promised));
        held.copied().unwrap_or_default().output_end
    }

    /// The run is over: if somebody serves, everything is answered, and the store is what the answers say.
    pub(crate) fn judge_end(&mut self) {
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

    /// The node that serves the clients, if one does.
    pub(crate) fn server(&self) -> Option<NodeName> {
        let whole = |side: &Side| side.alive && side.open && !side.unusable;
        let protected = self.link.is_up() && self.sides.iter().all(whole);
        let alone = NodeName::ALL.into_iter().find(|node| self.is_alone(*node));
        alone.or(protected.then_some(NodeName::Primary))
    }

    /// Whether a node serves alone.
    pub(crate) fn is_alone(&self, node: NodeName) -> bool {
        let side = self.side(node);
        side.alive && !side.unusable && side.node.machine().failover() == Failover::Completed
    }
}
