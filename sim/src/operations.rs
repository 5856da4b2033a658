//! Operations: they begin, are half done, and end by an input, each at its own virtual time.
//!
//! A transfer hands half of its bytes to the link at each half. A load mixes the memory when it begins, has all of
//! it in place half-way, and the devices at the end: what runs in between runs torn.

use crate::agenda::Event as Planned;
use crate::guest::{Devices, decode_devices, encode_devices};
use crate::inputs::Basis;
use crate::judge::Capture;
use crate::marks::Mark;
use crate::side::{Captured, InHand, Side, Staged};
use crate::simulation::Simulation;
use colo_protocol::{CheckpointNumber, Effect, Input, Message, NodeName, Operation, OutputBuffer};
use colo_trace::{Event, Moment};

impl Simulation<'_> {
    /// The secondary starts with the initial state staged, and its load in hand.
    pub(crate) fn begin_incoming(&mut self) {
        let devices = encode_devices(&Devices::default(), &OutputBuffer::default(), 0);
        self.side_mut(NodeName::Secondary).staged = Staged { pages: Vec::new(), devices };
        let primary = &mut self.side_mut(NodeName::Primary).guest;
        primary.memory_of = Some(CheckpointNumber::default());
        primary.devices_of = primary.memory_of;
        let capture = Capture::of(primary);
        self.judge.captured(CheckpointNumber::default(), capture);
        let load = Effect::LoadState(CheckpointNumber::default());
        self.begin_operation(NodeName::Secondary, Operation::LoadState, load);
    }

    pub(crate) fn begin_operation(&mut self, node: NodeName, operation: Operation, effect: Effect) {
        let token = self.side_mut(node).begin(operation, effect);
        if operation == Operation::SendRound {
            // The guest goes on: what it writes from here on is dirty again, and comes later.
            encode_dirty(self.side_mut(node));
        }
        let halves = self.durations(node, operation);
        match operation {
            Operation::SaveState => self.judge_capture(node),
            Operation::LoadState => self.load_begins(node),
            _ => {}
        }
        self.agenda.after(halves[0], Planned::OperationHalf { node, token });
        self.agenda.after(halves[0] + halves[1], Planned::OperationEnd { node, token });
    }

    /// How long the two halves of an operation take, microseconds.
    fn durations(&mut self, node: NodeName, operation: Operation) -> [u64; 2] {
        let captured = &self.sides[node as usize].captured;
        let bytes = match operation {
            Operation::SendRound | Operation::SendRam => captured.memory.len(),
            Operation::SendDeviceState => captured.devices.len(),
            Operation::SuspendVm | Operation::LockVm => {
                return [(); 2].map(|()| self.nodes.within(self.knobs.hold));
            }
            Operation::SaveState | Operation::LoadState => {
                return [(); 2].map(|()| self.nodes.within(self.knobs.copy));
            }
            Operation::AskArbiter => return [(); 2].map(|()| self.network.within(self.knobs.arbiter)),
        };
        [(); 2].map(|()| 1 + bytes as u64 / (2 * self.knobs.path(node.peer()).bytes_per_us))
    }

    pub(crate) fn operation_half(&mut self, node: NodeName, token: u32) {
        let Some(InHand { operation, effect, .. }) = self.side(node).operation(token) else { return };
        match operation {
            Operation::SendRound | Operation::SendRam | Operation::SendDeviceState => {
                self.transfer(node, operation, true);
            }
            Operation::LoadState => self.memory_loaded(node, effect),
            _ => {}
        }
        if let Some(in_hand) = &mut self.side_mut(node).in_hand {
            in_hand.half_done = true;
        }
        self.arrive(node, Moment::During, Event::Effect(effect.kind()));
    }

    pub(crate) fn operation_end(&mut self, node: NodeName, token: u32) {
        let Some(InHand { operation, effect, half_done, .. }) = self.side(node).operation(token) else {
            return;
        };
        if !half_done {
            // The first half was put off until this very moment: it is behind this end in the order of planning.
            return self.agenda.after(0, Planned::OperationEnd { node, token });
        }
        let input = match operation {
            Operation::SuspendVm if self.waits_for_writes(node) => return,
            Operation::SuspendVm => {
                self.side_mut(node).guest.executing = false;
                Input::VmSuspended
            }
            Operation::SaveState => self.capture(node, effect),
            Operation::SendRound => {
                self.transfer(node, operation, false);
                Input::RoundSent
            }
            Operation::SendRam => {
                self.transfer(node, operation, false);
                Input::RamSent
            }
            Operation::SendDeviceState => {
                self.transfer(node, operation, false);
                Input::DeviceStateSent
            }
            Operation::LockVm => Input::VmLocked,
            Operation::LoadState => self.load_ends(node, effect),
            Operation::AskArbiter => self.arbiter_answers(node),
        };
        self.arrive(node, Moment::After, Event::Effect(effect.kind()));
        self.give(node, input, Basis::Operation(token));
        if let Input::StateLoaded { .. } = input {
            self.count_checkpoint(number_of(effect));
        }
    }

    fn transfer(&mut self, node: NodeName, operation: Operation, first: bool) {
        let captured = &mut self.side_mut(node).captured;
        let which = match operation {
            Operation::SendRound | Operation::SendRam => &mut captured.memory,
            _ => &mut captured.devices,
        };
        let bytes = std::mem::take(which);
        let (front, back) = bytes.split_at(bytes.len() / 2);
        self.put_on_link(node, if first { front } else { back });
        if first {
            let captured = &mut self.side_mut(node).captured;
            match operation {
                Operation::SendRound | Operation::SendRam => captured.memory = bytes,
                _ => captured.devices = bytes,
            }
        }
    }

    fn capture(&mut self, node: NodeName, effect: Effect) -> Input {
        let filler = self.knobs.device_filler_bytes;
        let side = self.side_mut(node);
        if std::mem::take(&mut side.trouble.fail_save) {
            self.marks.hit(Mark::SaveFailed);
            return Input::SaveFailed;
        }
        let devices = encode_devices(&side.guest.devices, &side.output, filler);
        let device_bytes = devices.len() as u64;
        encode_dirty(side);
        let Side { encoder, captured, .. } = side;
        encoder.end_of_ram(&mut captured.memory);
        side.captured.devices = devices;
        self.note_content(node, number_of(effect));
        let side = self.side_mut(node);
        if number_of(effect) == CheckpointNumber::default() {
            frame_initial_state(side);
        }
        let capture = Capture::of(&side.guest);
        self.judge.captured(number_of(effect), capture);
        self.mirror_disk(node, number_of(effect));
        Input::StateSaved { device_bytes }
    }

    /// The staged memory is put in place, and the devices are not.
    pub(crate) fn apply_ram(&mut self, node: NodeName, checkpoint: CheckpointNumber) {
        self.judge_load_step(node);
        let side = self.side_mut(node);
        let Side { staged, guest, .. } = side;
        guest.memory.take_back();
        for (index, page) in &staged.pages {
            guest.memory.put(*index, page.clone());
        }
        guest.memory_of = Some(checkpoint);
    }

    fn load_begins(&mut self, node: NodeName) {
        let side = self.side_mut(node);
        side.loading = std::mem::take(&mut side.staged);
        side.guest.memory_of = None;
        side.guest.memory.take_back();
        let half = side.loading.pages.len() / 2;
        for (index, page) in side.loading.pages.drain(..half) {
            side.guest.memory.put(index, page);
        }
    }

    fn memory_loaded(&mut self, node: NodeName, effect: Effect) {
        self.judge_load_step(node);
        let side = self.side_mut(node);
        for (index, page) in side.loading.pages.drain(..) {
            side.guest.memory.put(index, page);
        }
        side.guest.memory_of = Some(number_of(effect));
    }

    fn load_ends(&mut self, node: NodeName, effect: Effect) -> Input {
        self.judge_load_step(node);
        let side = self.side_mut(node);
        let staged = std::mem::take(&mut side.loading);
        if std::mem::take(&mut side.trouble.fail_load) {
            self.marks.hit(Mark::LoadFailed);
            return Input::LoadFailed;
        }
        // What a VM has done by itself, a checkpoint undoes.
        let keeps = self.rules.is_hybrid() && !self.side(node).promoted;
        let side = self.side_mut(node);
        let Some((devices, output)) = decode_devices(&staged.devices) else {
            // Nothing whole was staged: a load that applies nothing is a failed one.
            return Input::LoadFailed;
        };
        side.guest.devices = devices;
        side.guest.devices_of = Some(number_of(effect));
        side.output = output;
        side.inbox.go_on_at(devices.taken);
        if keeps {
            side.guest.memory.keep_pages();
        }
        self.ledger.loads(devices.output_end);
        if number_of(effect) == CheckpointNumber::default() {
            // The initial state comes with a mirror of the disk.
            self.sides[node as usize].guest.disk.mirror(&self.mirror);
        }
        if self.is_undamaged(node, number_of(effect), &staged.devices) {
            self.judge_loaded(node, number_of(effect));
        }
        Input::StateLoaded { output: devices.output_end }
    }
}

/// The checkpoint that a save or a load is of.
fn number_of(effect: Effect) -> CheckpointNumber {
    CheckpointNumber(effect.value().unwrap_or_default())
}

/// The initial state travels as a checkpoint would, though no machine sends the messages.
fn frame_initial_state(side: &mut Side) {
    let Side { encoder, captured: Captured { memory, devices }, .. } = side;
    for (message, content) in
        [(Message::VmstateSend, memory), (Message::VmstateSize(devices.len() as u64), devices)]
    {
        let mut framed = Vec::with_capacity(content.len() + 12);
        let encoded = encoder.message(&mut framed, message);
        assert!(encoded.is_ok(), "every dialect has the messages of a checkpoint: {encoded:?}");
        framed.append(content);
        *content = framed;
    }
}

/// The dirty pages as the wire has them: a section of the RAM, behind which more may come.
fn encode_dirty(side: &mut Side) {
    let Side { guest, encoder, block, captured, .. } = side;
    let out = &mut captured.memory;
    out.clear();
    encoder.ram_section_start(out);
    for (index, page) in guest.memory.take_dirty() {
        let address = (index * page.len()) as u64;
        let encoded = match page {
            [first, rest @ ..] if rest.iter().all(|byte| byte == first) => {
                encoder.zero_page(out, address, block, *first)
            }
            _ => encoder.page(out, address, block, page),
        };
        assert!(encoded.is_ok(), "pages are aligned: {encoded:?}");
    }
    encoder.end_of_records(out);
    encoder.section_footer(out);
}
