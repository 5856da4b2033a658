//! A machine that is told anything at all, in any order: it answers with effects or with an error, and what its
//! environment relies on holds after each step.
//!
//! Byte 0 chooses the rules, among all presets and known bugs; then come inputs of two bytes, the kind and a number.

use colo_protocol::{
    BUGS, ColoMode, Detection, Effect, FailedLoad, FailoverDeferral, Fencing, Input, InputKind, Machine,
    NodeName, Operation, PRESETS, ProtocolError, Rules, Step, UnloadedCheckpoint,
};

/// The most inputs: what a longer row does, a shorter one does, too.
const MOST_INPUTS: usize = 300;

/// A primary.
pub fn primary(input: &[u8]) {
    play(Machine::new(NodeName::Primary), None, input);
}

/// A secondary; the highest bit of byte 0 makes it a replacement.
pub fn secondary(input: &[u8]) {
    let replaces = input.first().is_some_and(|choice| choice & 0x80 != 0);
    if replaces {
        play(Machine::replacement(), None, input);
    } else {
        play(Machine::new(NodeName::Secondary), Some(Operation::LoadState), input);
    }
}

fn play(machine: Machine, in_hand: Option<Operation>, input: &[u8]) {
    let Some((choice, rest)) = input.split_first() else { return };
    let rules = rules(choice & 0x7f);
    let mut watched = Watched::new(machine, in_hand);
    for input in inputs(rest) {
        watched.step(&rules, input);
    }
}

/// In which phases a machine takes which inputs, when it is told these.
#[cfg(test)]
pub(crate) fn taken(
    name: NodeName,
    input: &[u8],
) -> std::collections::BTreeSet<(&'static str, &'static str)> {
    let Some((choice, rest)) = input.split_first() else { return std::collections::BTreeSet::new() };
    let replaces = name == NodeName::Secondary && choice & 0x80 != 0;
    let mut machine = if replaces { Machine::replacement() } else { Machine::new(name) };
    let rules = rules(choice & 0x7f);
    let mut taken = std::collections::BTreeSet::new();
    for input in inputs(rest) {
        let phase = machine.phase_name();
        if machine.step(&rules, input).error.is_none() {
            taken.insert((phase, input.kind().name()));
        }
    }
    taken
}

/// The rules of this number: a preset's, a known bug's, or, last of all, what no preset has: rounds of pre-copy, and the end
/// of the link taken for the peer's death.
fn rules(number: u8) -> Rules {
    let all: Vec<Rules> =
        PRESETS.iter().map(|preset| preset.rules).chain(BUGS.iter().map(|bug| bug.rules)).collect();
    let detection = Detection::LinkClosed;
    match number {
        125 => Rules { precopy_rounds: 2, ..Rules::REMUS },
        126 => Rules { detection, ..Rules::V12 },
        127 => Rules {
            detection,
            fencing: Fencing::Arbiter,
            unloaded: UnloadedCheckpoint::Discarded,
            ..Rules::QEMU
        },
        _ => all[usize::from(number) % all.len()],
    }
}

/// The inputs that these bytes are.
pub(crate) fn inputs(bytes: &[u8]) -> Vec<Input> {
    let kinds: Vec<InputKind> = InputKind::all().collect();
    let (pairs, _) = bytes.as_chunks::<2>();
    let input = |[kind, number]: &[u8; 2]| {
        // The largest numbers are of interest, too.
        let number = if *number == 255 { u64::MAX } else { u64::from(*number) };
        Input::new(kinds[usize::from(*kind) % kinds.len()], number)
    };
    pairs.iter().take(MOST_INPUTS).map(input).collect()
}

/// A machine, and what whoever drives it knows of it.
struct Watched {
    machine: Machine,
    in_hand: Option<Operation>,
    link_open: bool,
    exited: bool,
    serves: bool,
    disk_failed_over: bool,
    last_saved: u64,
}

impl Watched {
    const fn new(machine: Machine, in_hand: Option<Operation>) -> Self {
        let (exited, serves, disk_failed_over) = (false, false, false);
        Self { machine, in_hand, link_open: true, exited, serves, disk_failed_over, last_saved: 0 }
    }

    fn step(&mut self, rules: &Rules, input: Input) {
        let before = self.machine;
        let Step { effects, error } = self.machine.step(rules, input);
        if error.is_some_and(ProtocolError::is_refusal) {
            assert!(self.machine == before && effects.is_empty(), "a refusal changes nothing");
            return;
        }
        if error.is_none() && input.kind().ends() == self.in_hand {
            self.in_hand = None;
        }
        if input == Input::LinkDown {
            self.lose_link();
        }
        if input == Input::Protect && error.is_none() {
            *self = Self { in_hand: self.in_hand, ..Self::new(self.machine, None) };
        }
        for effect in &effects {
            self.carry_out(rules, *effect);
        }
        self.hold(before, error);
    }

    fn carry_out(&mut self, rules: &Rules, effect: Effect) {
        if let Some(operation) = effect.operation() {
            assert_eq!(self.in_hand, None, "{operation:?} is asked for while another is in hand");
            self.in_hand = Some(operation);
        }
        match effect {
            Effect::Send(_) | Effect::SendRam(_) | Effect::SendDeviceState(_) | Effect::RedirectOutput(_) => {
                assert!(self.link_open, "{effect} over a link that is gone");
            }
            Effect::CloseLink => {
                assert!(self.link_open, "a link is closed once");
                self.lose_link();
            }
            Effect::SaveState(checkpoint) => {
                assert!(checkpoint.0 >= self.last_saved, "checkpoints go on");
                self.last_saved = checkpoint.0;
            }
            Effect::CheckpointDisk(_) | Effect::CommitDiskEpoch(_) => {
                assert!(!self.disk_failed_over, "a disk that has been failed over takes no checkpoint");
            }
            Effect::FailOverDisk => {
                assert!(!self.disk_failed_over, "a disk is failed over once");
                self.disk_failed_over = true;
            }
            Effect::TakeOver => self.take_over(rules),
            Effect::Exit(_) => {
                assert!(!self.exited, "a node leaves COLO once");
                self.exited = true;
            }
            Effect::Release(up_to) => assert!(up_to <= self.machine.output().produced()),
            _ => {}
        }
    }

    fn take_over(&mut self, rules: &Rules) {
        assert!(!self.serves && !self.link_open, "a node is promoted once, and without a peer");
        self.serves = true;
        let keeps_promises = rules.failed_load == FailedLoad::Fatal
            && (rules.deferral == FailoverDeferral::FromReceived
                || rules.deferral == FailoverDeferral::WhileLoading && !rules.promises_at_received());
        if let (Machine::Secondary(secondary), true) = (&self.machine, keeps_promises) {
            assert!(secondary.loaded() >= secondary.promised(), "a promised checkpoint is served");
        }
    }

    fn lose_link(&mut self) {
        self.link_open = false;
        self.in_hand = self.in_hand.filter(|operation| !operation.needs_link());
    }

    /// What holds after every step.
    fn hold(&self, before: Machine, error: Option<ProtocolError>) {
        let output = self.machine.output();
        assert!(output.released() <= output.sealed() && output.sealed() <= output.produced(), "{output:?}");
        assert!(self.machine.is_over() || !before.is_over(), "who has stopped for good has stopped");
        let unreadable =
            matches!(error, Some(ProtocolError::UnexpectedMessage { .. } | ProtocolError::BadStream { .. }));
        assert!(!unreadable || !self.link_open || !self.in_colo(), "an error in COLO closes the link");
        if let Machine::Secondary(secondary) = &self.machine {
            assert!(secondary.loaded() <= secondary.checkpoint(), "nothing is loaded that was not asked for");
        }
        let status = self.machine.status();
        assert!(status.mode == ColoMode::None || status.mode == status.last_mode, "{status:?}");
        assert!(
            self.machine.serves_from() <= self.machine.checkpoint(),
            "nobody serves from what has not begun"
        );
        // Error states have a name, and so has every other.
        assert!(!self.machine.phase_name().is_empty());
    }

    fn in_colo(&self) -> bool {
        !matches!(
            self.machine.phase_name(),
            "error" | "taking-over" | "alone" | "failed" | "fenced" | "shut-down"
        )
    }
}
