//! The node's loop: brings inputs to the core and carries its effects out, one at a time.
//!
//! An operation advances in stages with everything else in between, so that a command that comes while state is being
//! loaded finds it half loaded, as it would in QEMU. No decision of the protocol is taken here.

use super::outgoing::{Outgoing, Progress};
use super::staging::{RAM_BLOCK, StagedDevices, Staging};
use super::vcpu::VcpuThread;
use super::{Control, NodeError};
use crate::abi::{PAGE_BYTES, Reply, Request, Slot};
use crate::control::{CheckpointFigures, FromNode, NodeConfig, RawReply, ToNode};
use crate::link::{Link, Moved};
use crate::vm::{BLOB_BYTES_MAX, CpuState, Machine, encode};
use colo_protocol::wire::{BlockName, Body, Config, DEFAULT_RAM_SECTION_ID, Decoder, Direction, Encoder};
use colo_protocol::{
    Effect, Input, Message, Node, NodeName, Operation, OutputBuffer, OutputOffset, ProtocolError,
};
use colo_trace::{Event, Kind, Moment, Plan, PlanCursor, Record};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How much is read from the link at once, bytes.
const READ_BYTES: usize = 1 << 18;

/// The bytes of a withheld unit of output.
const UNIT_BYTES: usize = size_of::<Slot>();

/// The operation in hand, and how far it has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct InHand {
    operation: Operation,
    /// Of a load: the RAM has been applied.
    halfway: bool,
}

/// A node at work.
pub(super) struct Driver {
    config: NodeConfig,
    node: Node,
    vcpu: VcpuThread,
    memory_pages: u64,
    link: Option<Link>,
    stalled_until: Option<Instant>,
    decoder: Decoder,
    inbound: Vec<u8>,
    /// How much of `inbound` has been decoded.
    decoded: usize,
    encoder: Encoder,
    block: BlockName,
    outgoing: Outgoing,
    staging: Staging,
    staged: Option<StagedDevices>,
    /// What the load in hand applies; it keeps it whatever becomes of what is staged. None of the initial state.
    loading: Option<(Staging, StagedDevices)>,
    output: OutputBuffer<Reply>,
    in_hand: Option<InHand>,
    timer: Option<Instant>,
    cursor: PlanCursor,
    commands: VecDeque<ToNode>,
    fail_load: bool,
    saved: Saved,
    times: Times,
    replies: Vec<Reply>,
}

/// The state that has been captured last, in buffers that are used again and again.
struct Saved {
    pages: Vec<u64>,
    cpu: Box<CpuState>,
    blob: Vec<u8>,
    output: Vec<u8>,
}

/// When the steps of the checkpoint in hand were taken.
#[derive(Default)]
struct Times {
    requested: Option<Instant>,
    suspended: Option<Instant>,
    released: Option<Instant>,
    loaded: Option<Instant>,
    /// Bytes ever sent, when the checkpoint was requested.
    bytes_before: u64,
}

impl Driver {
    /// A node with its initial state in place: the primary's VM stands still, the secondary has just loaded.
    pub(super) fn new(config: NodeConfig, machine: Machine, link: Link) -> Result<Self, NodeError> {
        let name = config.name;
        let direction = match name {
            NodeName::Primary => Direction::SecondaryToPrimary,
            NodeName::Secondary => Direction::PrimaryToSecondary,
        };
        let mut stream = Config::new(config.rules.dialect, direction);
        stream.max_device_state_bytes = BLOB_BYTES_MAX as u64;
        let own_faults = config.plan.faults.iter().filter(|fault| fault.at.node == name).copied().collect();
        let block =
            BlockName::new(RAM_BLOCK.as_bytes()).map_err(|error| NodeError::Internal(error.to_string()))?;
        let saved = Saved {
            pages: Vec::new(),
            cpu: Box::new(machine.cpu_state()),
            blob: Vec::new(),
            output: Vec::new(),
        };
        let loading = InHand { operation: Operation::LoadState, halfway: true };
        Ok(Self {
            memory_pages: machine.memory().pages(),
            node: Node::new(name),
            vcpu: VcpuThread::start(machine)?,
            link: Some(link),
            stalled_until: None,
            decoder: Decoder::new(stream),
            inbound: Vec::new(),
            decoded: 0,
            encoder: Encoder::new(config.rules.dialect, DEFAULT_RAM_SECTION_ID),
            block,
            outgoing: Outgoing::default(),
            staging: Staging::default(),
            staged: None,
            loading: None,
            output: OutputBuffer::default(),
            in_hand: (name == NodeName::Secondary).then_some(loading),
            timer: None,
            cursor: PlanCursor::new(&Plan::new(own_faults)),
            commands: VecDeque::new(),
            fail_load: false,
            saved,
            times: Times::default(),
            replies: Vec::new(),
            config,
        })
    }

    /// Works until the harness goes.
    pub(super) fn run(mut self, control: &mut Control) -> Result<(), NodeError> {
        control.tell(&FromNode::Started)?;
        loop {
            self.work(control)?;
        }
    }

    /// Does the one thing that is next: commands, then effects, then the operation in hand, then what has come in.
    fn work(&mut self, control: &mut Control) -> Result<(), NodeError> {
        if let Some(command) = self.commands.pop_front() {
            return self.command(command, control);
        }
        let next = self.node.queue().first();
        if next.is_some_and(|effect| effect.operation().is_none() || self.in_hand.is_none()) {
            return self.carry_out(control);
        }
        if let Some(in_hand) = self.in_hand.filter(|in_hand| !in_hand.operation.needs_link()) {
            return self.advance(in_hand, control);
        }
        if self.decoded < self.inbound.len() {
            return self.decode(control);
        }
        self.wait(control)
    }

    fn name(&self) -> NodeName {
        self.config.name
    }

    // Inputs.

    fn give(&mut self, input: Input, control: &mut Control) -> Result<(), NodeError> {
        let event = Event::Input(input.kind());
        self.point(Moment::Before, event, control)?;
        if input == Input::Message(Message::VmstateLoaded) {
            self.times.loaded = Some(Instant::now());
        }
        let error = self.node.input(&self.config.rules, input);
        let checkpoint = self.node.machine().checkpoint().0;
        self.record(|time| Record::input(time, self.name(), checkpoint, input), control)?;
        if let Some(error) = error {
            self.error(error, control)?;
        }
        self.point(Moment::After, event, control)
    }

    fn error(&self, error: ProtocolError, control: &mut Control) -> Result<(), NodeError> {
        self.record(|time| self.note(time, Kind::Error, error.to_string()), control)
    }

    fn note(&self, time_us: u64, kind: Kind, text: String) -> Record {
        Record::other(time_us, Some(self.name()), self.node.machine().checkpoint().0, kind, text)
    }

    fn command(&mut self, command: ToNode, control: &mut Control) -> Result<(), NodeError> {
        match command {
            ToNode::Request([client, sequence, operation, key, value]) => {
                self.vcpu.request(Request { client, sequence, operation, key, value });
            }
            ToNode::LostHeartbeat => self.give(Input::LostHeartbeat, control)?,
            ToNode::Cut => {
                if self.link.is_some() {
                    self.disconnect();
                    self.give(Input::LinkDown, control)?;
                }
            }
            ToNode::Stall { for_ms } => {
                self.stalled_until = Some(Instant::now() + Duration::from_millis(for_ms.into()));
            }
            ToNode::FailLoad => self.fail_load = true,
            ToNode::GoOn => {}
            ToNode::Start(_) => return Err(NodeError::Internal("a second Start".to_owned())),
        }
        Ok(())
    }

    /// What the guest has produced since the last look.
    fn take_output(&mut self, control: &mut Control) -> Result<(), NodeError> {
        let mut replies = std::mem::take(&mut self.replies);
        self.vcpu.take_replies(&mut replies).map_err(NodeError::Guest)?;
        for reply in replies.drain(..) {
            let end = self.output.push(reply);
            self.give(Input::GuestOutput { end }, control)?;
        }
        self.replies = replies;
        Ok(())
    }

    // Effects.

    fn carry_out(&mut self, control: &mut Control) -> Result<(), NodeError> {
        let Some(effect) = self.node.queue().first() else { return Ok(()) };
        let event = Event::Effect(effect.kind());
        self.point(Moment::Before, event, control)?;
        if self.node.next_effect() != Some(effect) {
            return Err(NodeError::Internal(
                "the queue changed while its first effect was looked at".to_owned(),
            ));
        }
        let checkpoint = self.node.machine().checkpoint().0;
        self.record(|time| Record::effect(time, self.name(), checkpoint, effect), control)?;
        if let Some(operation) = effect.operation() {
            return self.begin(operation, control);
        }
        self.do_now(effect, control)?;
        self.point(Moment::After, event, control)
    }

    /// An effect that is done when it has been carried out.
    fn do_now(&mut self, effect: Effect, control: &mut Control) -> Result<(), NodeError> {
        match effect {
            Effect::Send(message) => self.send(message, control)?,
            Effect::ResumeVm => self.resume(control)?,
            Effect::Release(up_to) => self.release(up_to, control)?,
            Effect::ArmCheckpointTimer { delay_ms } => {
                self.timer = Some(Instant::now() + Duration::from_millis(delay_ms.into()));
            }
            Effect::CloseLink => self.disconnect(),
            Effect::DiscardStaged(_) => {
                self.staging.clear();
                self.staged = None;
            }
            Effect::TakeOver => control.tell(&FromNode::TookOver)?,
            Effect::Exit(reason) => control.tell(&FromNode::ColoExit(reason.name().to_owned()))?,
            Effect::SuspendVm
            | Effect::SaveState(_)
            | Effect::SendRam(_)
            | Effect::SendDeviceState(_)
            | Effect::LockVm
            | Effect::LoadState(_) => unreachable!("operations are begun, not done"),
        }
        Ok(())
    }

    fn send(&mut self, message: Message, control: &mut Control) -> Result<(), NodeError> {
        if message == Message::CheckpointRequest {
            let bytes_before = self.outgoing.total();
            self.times = Times { requested: Some(Instant::now()), bytes_before, ..Times::default() };
        }
        self.encoder
            .message(self.outgoing.buffer(), message)
            .map_err(|error| NodeError::Internal(error.to_string()))?;
        self.pump(control)
    }

    fn resume(&mut self, control: &mut Control) -> Result<(), NodeError> {
        self.vcpu.machine().tick()?;
        self.vcpu.resume();
        let now = Instant::now();
        let Times { requested: Some(requested), suspended: Some(suspended), released, loaded, bytes_before } =
            std::mem::take(&mut self.times)
        else {
            return Ok(());
        };
        let micros = |from: Instant, to: Option<Instant>| {
            to.map_or(0, |to| u64::try_from((to - from).as_micros()).unwrap_or(u64::MAX))
        };
        control.tell(&FromNode::Checkpoint(CheckpointFigures {
            checkpoint: self.node.machine().checkpoint().0,
            dirty_pages: self.saved.pages.len() as u64,
            bytes: self.outgoing.total() - bytes_before,
            pause_us: micros(suspended, Some(now)),
            transaction_us: micros(requested, loaded),
            release_us: micros(requested, released),
        }))
    }

    fn release(&mut self, up_to: OutputOffset, control: &mut Control) -> Result<(), NodeError> {
        self.times.released = Some(Instant::now());
        let (first, units) = self.output.release(up_to);
        let units: Vec<RawReply> = units.map(raw_reply).collect();
        if units.is_empty() { Ok(()) } else { control.tell(&FromNode::Output(first.0, units)) }
    }

    fn disconnect(&mut self) {
        if let Some(link) = self.link.take() {
            link.shut_down();
        }
        self.outgoing.clear();
        self.inbound.clear();
        self.decoded = 0;
        self.in_hand = self.in_hand.filter(|in_hand| !in_hand.operation.needs_link());
    }

    // Operations.

    fn begin(&mut self, operation: Operation, control: &mut Control) -> Result<(), NodeError> {
        self.in_hand = Some(InHand { operation, halfway: false });
        match operation {
            Operation::SuspendVm => {
                self.times.suspended = Some(Instant::now());
                self.during(operation, control)
            }
            Operation::SaveState | Operation::LockVm => self.during(operation, control),
            Operation::LoadState => {
                let Some(devices) = self.staged.take() else {
                    return Err(NodeError::Internal("a load of a checkpoint that is not whole".to_owned()));
                };
                self.loading = Some((std::mem::take(&mut self.staging), devices));
                Ok(())
            }
            Operation::SendRam => {
                let start = self.outgoing.buffer().len();
                self.encode_ram()?;
                self.outgoing.mark_transfer(start);
                self.pump(control)
            }
            Operation::SendDeviceState => {
                let start = self.outgoing.buffer().len();
                self.outgoing.buffer().extend_from_slice(&self.saved.blob);
                self.outgoing.mark_transfer(start);
                self.pump(control)
            }
        }
    }

    fn during(&mut self, operation: Operation, control: &mut Control) -> Result<(), NodeError> {
        self.point(Moment::During, Event::Effect(operation.effect()), control)
    }

    /// The next stage of an operation on the VM.
    fn advance(&mut self, in_hand: InHand, control: &mut Control) -> Result<(), NodeError> {
        match in_hand.operation {
            Operation::SuspendVm => {
                self.vcpu.suspend();
                self.take_output(control)?;
                self.end(Input::VmSuspended, control)
            }
            Operation::SaveState => {
                let input = match self.save() {
                    Ok(device_bytes) => Input::StateSaved { device_bytes },
                    Err(problem) => {
                        self.record(|time| self.note(time, Kind::Error, problem), control)?;
                        Input::SaveFailed
                    }
                };
                self.end(input, control)
            }
            Operation::LockVm => self.end(Input::VmLocked, control),
            Operation::LoadState if in_hand.halfway => {
                let input = match self.load_devices() {
                    Ok(output) => Input::StateLoaded { output },
                    Err(problem) => {
                        self.record(|time| self.note(time, Kind::Error, problem), control)?;
                        Input::LoadFailed
                    }
                };
                self.end(input, control)
            }
            Operation::LoadState => {
                if let Some((pages, _)) = &self.loading {
                    self.vcpu.while_still(|machine| pages.apply_ram(machine))?;
                }
                self.in_hand = Some(InHand { halfway: true, ..in_hand });
                self.during(in_hand.operation, control)
            }
            Operation::SendRam | Operation::SendDeviceState => Ok(()),
        }
    }

    /// The operation in hand has ended.
    fn end(&mut self, input: Input, control: &mut Control) -> Result<(), NodeError> {
        if let Some(in_hand) = self.in_hand.take() {
            self.point(Moment::After, Event::Effect(in_hand.operation.effect()), control)?;
        }
        self.give(input, control)
    }

    /// Captures the VM: the list of dirty pages, and the device state with the withheld output. Its length, bytes.
    fn save(&mut self) -> Result<u64, String> {
        let mut machine = self.vcpu.machine();
        machine.harvest(&mut self.saved.pages).map_err(|error| error.to_string())?;
        machine.save(&mut self.saved.cpu).map_err(|error| error.to_string())?;
        let bytes = self.output.units().flat_map(|reply| reply.to_slot()).flat_map(u64::to_le_bytes);
        self.saved.output.clear();
        self.saved.output.extend(bytes);
        encode(&self.saved.cpu, self.output.end().0, &self.saved.output, &mut self.saved.blob)
            .map_err(|error| error.to_string())?;
        Ok(self.saved.blob.len() as u64)
    }

    fn encode_ram(&mut self) -> Result<(), NodeError> {
        let machine = self.vcpu.machine();
        let out = self.outgoing.buffer();
        let internal = |error: colo_protocol::wire::EncodeError| NodeError::Internal(error.to_string());
        self.encoder.ram_section_start(out);
        for page in &self.saved.pages {
            let (address, content) = (page * PAGE_BYTES, machine.page(*page)?);
            if content.iter().all(|byte| *byte == 0) {
                self.encoder.zero_page(out, address, &self.block, 0).map_err(internal)?;
            } else {
                self.encoder.page(out, address, &self.block, content).map_err(internal)?;
            }
        }
        self.encoder.end_of_records(out);
        self.encoder.section_footer(out);
        self.encoder.end_of_ram(out);
        Ok(())
    }

    /// Applies the staged device state; the end of the output that led to it.
    fn load_devices(&mut self) -> Result<OutputOffset, String> {
        if std::mem::take(&mut self.fail_load) {
            return Err("the load fails, as the plan has it".to_owned());
        }
        let (output, end) = match self.loading.take() {
            Some((mut pages, devices)) => {
                let loaded = self.vcpu.while_still(|machine| restore(machine, &devices));
                pages.clear();
                self.staging = pages;
                loaded?;
                (buffered(&devices)?, devices.output_end)
            }
            // The initial state: both sides have booted the same program.
            None => (OutputBuffer::default(), 0),
        };
        self.output = output;
        Ok(OutputOffset(end))
    }

    // The link.

    /// Writes what the link takes; ends the transfer in hand when all is written.
    fn pump(&mut self, control: &mut Control) -> Result<(), NodeError> {
        while !self.outgoing.is_empty() && !self.is_stalled() {
            let Some(link) = &mut self.link else { break };
            let transfer =
                self.in_hand.map(|in_hand| in_hand.operation).filter(|operation| operation.needs_link());
            match (self.outgoing.pump(link), transfer) {
                (Progress::Middle, Some(operation)) => self.during(operation, control)?,
                (Progress::Done, Some(operation)) => {
                    let input = match operation {
                        Operation::SendRam => Input::RamSent,
                        _ => Input::DeviceStateSent,
                    };
                    return self.end(input, control);
                }
                (Progress::WouldBlock, _) => break,
                (Progress::Gone, _) => return self.link_gone(control),
                (Progress::Middle | Progress::Done, None) => {}
            }
        }
        Ok(())
    }

    fn link_gone(&mut self, control: &mut Control) -> Result<(), NodeError> {
        self.disconnect();
        self.give(Input::LinkDown, control)
    }

    fn read_link(&mut self, control: &mut Control) -> Result<(), NodeError> {
        let Some(link) = &mut self.link else { return Ok(()) };
        self.inbound.resize(READ_BYTES, 0);
        self.decoded = 0;
        let moved = link.read(&mut self.inbound);
        self.inbound.truncate(if let Moved::Bytes(count) = moved { count } else { 0 });
        if moved == Moved::Gone { self.link_gone(control) } else { Ok(()) }
    }

    /// Decodes what has come in, up to the first thing that the core has to know of.
    fn decode(&mut self, control: &mut Control) -> Result<(), NodeError> {
        let input = self.decode_input();
        match input {
            Ok(Some(input)) => self.give(input, control),
            Ok(None) => Ok(()),
            Err(problem) => {
                self.record(|time| self.note(time, Kind::Error, problem), control)?;
                self.link_gone(control)
            }
        }
    }

    fn decode_input(&mut self) -> Result<Option<Input>, String> {
        let mut rest = &self.inbound[self.decoded..];
        let mut found = None;
        while found.is_none() {
            let Some(frame) = self.decoder.next(&mut rest).map_err(|error| error.to_string())? else { break };
            self.staging.take(&frame.body, self.memory_pages)?;
            found = match frame.body {
                Body::Message(message) => Some(Input::Message(message)),
                Body::EndOfRam => Some(Input::RamReceived),
                Body::DeviceState { last: true, .. } => Some(Input::DeviceStateReceived),
                _ => None,
            };
        }
        self.decoded = self.inbound.len() - rest.len();
        if found == Some(Input::DeviceStateReceived) {
            self.staged = Some(self.staging.whole_devices()?);
        }
        Ok(found)
    }

    fn is_stalled(&mut self) -> bool {
        self.stalled_until = self.stalled_until.filter(|until| Instant::now() < *until);
        self.stalled_until.is_some()
    }

    // Waiting.

    /// Waits until something happens, and takes it in.
    fn wait(&mut self, control: &mut Control) -> Result<(), NodeError> {
        if control.has_buffered() {
            self.commands.push_back(control.listen()?);
            return Ok(());
        }
        let stalled = self.is_stalled();
        let deadline = [self.timer, self.stalled_until].into_iter().flatten().min();
        let timeout = deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
        let [harness, guest, link_in, link_out] = self.poll(control, stalled, timeout.as_ref())?;
        if harness {
            self.commands.push_back(control.listen()?);
        }
        if guest {
            self.take_output(control)?;
        }
        if link_out {
            self.pump(control)?;
        }
        if link_in && self.decoded >= self.inbound.len() {
            self.read_link(control)?;
        }
        if self.timer.is_some_and(|timer| Instant::now() >= timer) {
            self.timer = None;
            self.give(Input::CheckpointDue, control)?;
        }
        Ok(())
    }

    /// Whether the harness, the guest, and the two directions of the link have something.
    fn poll(
        &self,
        control: &Control,
        stalled: bool,
        timeout: Option<&Timespec>,
    ) -> Result<[bool; 4], NodeError> {
        let mut polled = vec![
            PollFd::from_borrowed_fd(control.output.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.vcpu.event().as_fd(), PollFlags::IN),
        ];
        if let Some(link) = self.link.as_ref().filter(|_| !stalled) {
            let out = if self.outgoing.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            polled.push(PollFd::from_borrowed_fd(link.as_fd(), PollFlags::IN | out));
        }
        match poll(&mut polled, timeout) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(NodeError::Internal(format!("poll: {error}"))),
        }
        let ready = |place: usize, flags: PollFlags| {
            polled
                .get(place)
                .is_some_and(|fd| fd.revents().intersects(flags | PollFlags::HUP | PollFlags::ERR))
        };
        Ok([
            ready(0, PollFlags::IN),
            ready(1, PollFlags::IN),
            ready(2, PollFlags::IN),
            ready(2, PollFlags::OUT),
        ])
    }

    // Points and records.

    /// The run has come to a point: if a fault of the plan strikes here, the harness carries it out meanwhile.
    fn point(&mut self, moment: Moment, event: Event, control: &mut Control) -> Result<(), NodeError> {
        if self.cursor.left().is_empty() {
            return Ok(());
        }
        let (point, actions) =
            self.cursor.arrive(self.config.name, self.node.machine().checkpoint(), moment, event);
        if actions.is_empty() {
            return Ok(());
        }
        control.tell(&FromNode::AtPoint(point, actions))?;
        loop {
            match control.listen()? {
                ToNode::GoOn => return Ok(()),
                other => self.commands.push_back(other),
            }
        }
    }

    fn record(&self, record: impl FnOnce(u64) -> Record, control: &mut Control) -> Result<(), NodeError> {
        if !self.config.record {
            return Ok(());
        }
        control.tell(&FromNode::Record(record(monotonic_us())))
    }
}

/// Gives the processor its staged state, and sees that it fits the memory.
fn restore(machine: &mut Machine, devices: &StagedDevices) -> Result<(), String> {
    machine.restore(&devices.cpu).map_err(|error| error.to_string())?;
    let held = machine.output_end().map_err(|error| error.to_string())?;
    if held != devices.output_end {
        return Err(format!("RAM has output up to {held}, the device state up to {}", devices.output_end));
    }
    Ok(())
}

/// The units of output that came with a checkpoint.
fn buffered(devices: &StagedDevices) -> Result<OutputBuffer<Reply>, String> {
    let (units, rest) = devices.output.as_chunks::<UNIT_BYTES>();
    let count = units.len() as u64;
    if !rest.is_empty() || count > devices.output_end {
        return Err(format!(
            "{} bytes of withheld output that ends at {}",
            devices.output.len(),
            devices.output_end
        ));
    }
    let mut buffer = OutputBuffer::starting_at(OutputOffset(devices.output_end - count));
    for unit in units {
        let (words, _) = unit.as_chunks::<8>();
        let slot = std::array::from_fn(|place| words.get(place).map_or(0, |word| u64::from_le_bytes(*word)));
        buffer.push(Reply::from_slot(slot));
    }
    Ok(buffer)
}

fn raw_reply(reply: Reply) -> RawReply {
    [reply.client, reply.sequence, reply.serial, reply.status, reply.value]
}

/// The machine's monotonic clock, which all processes share, microseconds.
pub(crate) fn monotonic_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let duration = Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0));
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
