//! The node's loop: brings inputs to the core and carries its effects out, one at a time.
//!
//! An operation advances in stages, and before each the harness is listened to, so that a command that comes while
//! state is being loaded finds it half loaded, as it would in QEMU. No decision of the protocol is taken here.

use super::comparison::Comparison;
use super::disk::{Connection, Disk, device};
use super::divergence::OwnWay;
use super::effects::LastWord;
use super::inbound::Inbound;
use super::inbox::{Inbox, MOST_FRAMES_KEPT, MOST_KEPT};
use super::introduction::{Entry, Introduction};
use super::mirror::Mirror;
use super::outgoing::Outgoing;
use super::port::Port;
use super::ram_cache::RamCache;
use super::saved::Saved;
use super::silence::Silence;
use super::staging::{Limits, RAM_BLOCK, StagedDevices, Staging};
use super::unit::{Incoming, Unit};
use super::vcpu::{VcpuThread, Wish};
use super::withheld::Withheld;
use super::{Control, NodeError, wait_for};
use crate::abi::Request;
use crate::control::{FromNode, NodeConfig, ToNode};
use crate::link::{Connections, Link};
use crate::pace::Pace;
use crate::vm::{Button, Machine, RunningMemory};
use colo_protocol::wire::{BlockName, DEFAULT_RAM_SECTION_ID, Decoder, Encoder};
use colo_protocol::{
    Effect, Input, InputKind, Message, Node, NodeName, Operation, OutputOffset, ProtocolError,
};
use colo_trace::{Event, Kind, Moment, PlanCursor, Point, Record};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::time::{ClockId, clock_gettime};
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long a guest that executes may take until it minds a button, before the node does something else meanwhile.
const MINDS_WITHIN: Duration = Duration::from_millis(100);

/// The operation in hand, and how far it has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct InHand {
    pub(super) operation: Operation,
    /// Of a load: the RAM has been applied. Of a transfer: half of it has been written. Of a suspension: the VM has been
    /// told to stop, and waits for its disk.
    pub(super) halfway: bool,
}

impl InHand {
    /// Whether the node works on it; of the others the link or the harness tells the end.
    fn is_worked_on(self) -> bool {
        !self.operation.needs_link() && self.operation != Operation::AskArbiter
    }
}

/// A node at work.
pub(super) struct Driver {
    pub(super) config: NodeConfig,
    pub(super) node: Node,
    pub(super) vcpu: VcpuThread,
    pub(super) disk: Option<Disk>,
    pub(super) limits: Limits,
    /// What pre-copy looks at while the guest executes.
    pub(super) running: RunningMemory,
    pub(super) link: Option<Link>,
    pub(super) stalled_until: Option<Instant>,
    pub(super) end: LinkEnd,
    pub(super) decoder: Decoder,
    pub(super) inbound: Inbound,
    pub(super) encoder: Encoder,
    pub(super) block: BlockName,
    pub(super) outgoing: Outgoing,
    /// Some of it has not been tried to be written, because more comes at once that goes with it.
    pub(super) keeps_back: bool,
    /// What is told when all of it has left.
    pub(super) last_word: Option<LastWord>,
    pub(super) staging: Staging,
    pub(super) joining: Joining,
    /// A survivor's memory is on its way to a replacement.
    pub(super) introduction: Option<Introduction>,
    pub(super) entry: Option<Entry>,
    pub(super) staged: Option<StagedDevices>,
    /// What the load in hand applies; it keeps it whatever becomes of what is staged. None of the initial state.
    pub(super) loading: Option<(Staging, StagedDevices)>,
    /// The memory of the checkpoint that is loaded, where the guest executes beside it.
    pub(super) cache: Option<RamCache>,
    pub(super) output: Withheld,
    /// Where both VMs execute.
    pub(super) comparison: Option<Comparison>,
    /// What the guest is next asked to write is answered in a way that the comparison does not know.
    pub(super) marks_next_write: bool,
    /// The client and the number of the request whose answer that is.
    pub(super) marked: Option<(u64, u64)>,
    pub(super) in_hand: Option<InHand>,
    /// The effect whose point before it has been passed.
    pub(super) announced: Option<Effect>,
    pub(super) timer: Option<Instant>,
    pub(super) silence: Silence,
    pub(super) cursor: PlanCursor,
    pub(super) commands: VecDeque<ToNode>,
    /// Commands that a gate holds.
    pub(super) put_aside: VecDeque<ToNode>,
    /// What has come over the link and waits.
    pub(super) held: Option<Input>,
    /// The points at which gates have held something, and how many of them the harness knows.
    pub(super) stood_at: Vec<Point>,
    pub(super) gates_told: usize,
    pub(super) fails: Fails,
    /// A load or the disk has failed: the VM is of no use any more.
    pub(super) unusable: bool,
    pub(super) saved: Saved,
    pub(super) times: Times,
    /// Room for what the guest has sent.
    pub(super) units: Vec<Unit>,
    /// The cable of the machine's network card, if it has one.
    pub(super) port: Option<Port>,
}

/// How far a replacement has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Joining {
    /// The initial state comes: there is nothing here that could be spoilt, and no machine is told of the messages in it.
    Receives {
        /// Nothing has been written to the VM's memory.
        is_empty: bool,
        /// Sections of RAM that have begun.
        sections: u32,
    },
    /// All of it has come.
    Loads,
    /// It is none, or none any more.
    No,
}

/// What has become of the node's end of the link, while it has one.
#[derive(Default)]
pub(super) struct LinkEnd {
    /// What is sent over it goes nowhere.
    pub(super) unheard: bool,
    /// Nothing comes over it, also not that it has ended.
    pub(super) deaf: bool,
    /// Nothing more comes over it; the node has not been told.
    pub(super) has_ended: bool,
    /// How fast it takes what is sent, if it is slow.
    pub(super) pace: Option<Pace>,
}

impl LinkEnd {
    /// Until when nothing can be sent, because the link is slow.
    fn paced_until(&mut self, now: Instant) -> Option<Instant> {
        let pace = self.pace.as_mut()?;
        (pace.room(now) == 0).then(|| pace.room_at())
    }
}

/// What is to fail when it is next asked for.
#[derive(Default)]
pub(super) struct Fails {
    pub(super) save: bool,
    pub(super) load: bool,
}

/// When the steps of the checkpoint in hand were taken.
#[derive(Clone, Copy, Default)]
pub(super) struct Times {
    pub(super) checkpoint: u64,
    pub(super) requested: Option<Instant>,
    pub(super) suspended: Option<Instant>,
    pub(super) resumed: bool,
    pub(super) released: Option<Instant>,
    pub(super) loaded: Option<Instant>,
    /// Bytes ever sent, when the checkpoint was requested.
    pub(super) bytes_before: u64,
    /// Pages that were sent before the stop.
    pub(super) pages_in_rounds: u64,
}

impl Times {
    /// Whether all steps were taken: then only when the guest went on is to be asked.
    const fn are_whole(&self) -> bool {
        self.resumed && self.released.is_some() && self.loaded.is_some()
    }
}

impl Driver {
    /// A node with its initial state in place: the primary's VM stands still, the secondary has just loaded.
    pub(super) fn new(
        config: NodeConfig,
        machine: Machine,
        Connections { link, comparison, .. }: Connections,
        disk: Option<Disk>,
        port: Option<Port>,
    ) -> Result<Self, NodeError> {
        let name = config.name;
        let block =
            BlockName::new(RAM_BLOCK.as_bytes()).map_err(|error| NodeError::Internal(error.to_string()))?;
        let saved = Saved::nothing(machine.state());
        let follows = name == NodeName::Secondary && config.rules.is_hybrid();
        let has_card = machine.has_card();
        let most_kept = if has_card { MOST_FRAMES_KEPT } else { MOST_KEPT };
        let (kept, rate) = if follows { (most_kept, config.workload.divergence) } else { (0, None) };
        let loading = InHand { operation: Operation::LoadState, halfway: true };
        Ok(Self {
            limits: Limits {
                memory_pages: machine.memory().pages(),
                ram_sections: config.rules.ram_sections(),
            },
            running: machine.running_memory(),
            node: if config.joins { Node::replacement() } else { Node::new(name) },
            cache: follows.then(|| RamCache::of(&machine)).transpose()?,
            vcpu: VcpuThread::start(
                machine,
                device(disk.as_ref()),
                Inbox::keeping(kept),
                OwnWay::with(rate),
            )?,
            disk,
            link: Some(link),
            stalled_until: None,
            end: LinkEnd {
                pace: config.link_rate.map(|rate| Pace::new(rate, Instant::now())),
                ..LinkEnd::default()
            },
            decoder: Decoder::new(config.stream()),
            inbound: Inbound::default(),
            encoder: Encoder::new(config.rules.dialect, DEFAULT_RAM_SECTION_ID),
            block,
            outgoing: Outgoing::default(),
            keeps_back: false,
            last_word: None,
            staging: Staging::default(),
            staged: None,
            loading: None,
            output: Withheld::default(),
            comparison: comparison.map(|link| Comparison::over(Mirror::new(link), has_card)),
            marks_next_write: false,
            marked: None,
            announced: None,
            in_hand: (name == NodeName::Secondary && !config.joins).then_some(loading),
            joining: if config.joins {
                Joining::Receives { is_empty: true, sections: 0 }
            } else {
                Joining::No
            },
            introduction: None,
            entry: None,
            timer: None,
            silence: Silence::new(&config.rules, Instant::now()),
            cursor: config.cursor(),
            commands: VecDeque::new(),
            put_aside: VecDeque::new(),
            held: None,
            stood_at: Vec::new(),
            gates_told: 0,
            fails: Fails::default(),
            unusable: false,
            saved,
            times: Times::default(),
            units: Vec::new(),
            port,
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
            if self.command_is_held(&command) {
                self.put_aside.push_back(command);
                return Ok(());
            }
            return self.command(command, control);
        }
        if self.times.are_whole() && self.node.queue().first().is_none() {
            // Told later, if the guest's thread has not come to it.
            if let Some(went_on) = self.vcpu.went_on() {
                self.tell_figures(went_on, control)?;
            }
        }
        if self.entry.is_some() {
            self.tell_entry(control)?;
        }
        if self.node.queue().ready(self.in_hand.is_some()).is_some() && !self.effect_is_held() {
            return self.carry_out(control);
        }
        if std::mem::take(&mut self.keeps_back) {
            return self.pump(control);
        }
        if self.tell_last_word(control)? || self.compare(control)? {
            return Ok(());
        }
        let worked_on =
            self.in_hand.filter(|in_hand| in_hand.is_worked_on() && !self.waits_for_writes(*in_hand));
        if let Some(in_hand) = worked_on.filter(|in_hand| !self.operation_is_held(*in_hand)) {
            return match control.overhear()? {
                Some(command) => {
                    self.commands.push_back(command);
                    Ok(())
                }
                None => self.advance(in_hand, control),
            };
        }
        if self.introduction_is_due() {
            return self.go_on_introducing(control);
        }
        if self.next_is_free() {
            return self.decode(control);
        }
        if self.may_see_the_end() {
            return self.link_gone(control);
        }
        self.wait(control)
    }

    pub(super) fn name(&self) -> NodeName {
        self.config.name
    }

    pub(super) fn give(&mut self, input: Input, control: &mut Control) -> Result<(), NodeError> {
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
        if let Some(ProtocolError::NotInColoMode { .. }) = error {
            control.tell(&FromNode::NotInColo)?;
        }
        self.point(Moment::After, event, control)
    }

    fn error(&self, error: ProtocolError, control: &mut Control) -> Result<(), NodeError> {
        self.record(|time| self.note(time, Kind::Error, error.to_string()), control)
    }

    pub(super) fn note(&self, time_us: u64, kind: Kind, text: String) -> Record {
        Record::other(time_us, Some(self.name()), self.node.machine().checkpoint().0, kind, text)
    }

    fn command(&mut self, command: ToNode, control: &mut Control) -> Result<(), NodeError> {
        match command {
            ToNode::Request([client, sequence, operation, key, value]) => {
                self.comes_in(Incoming::Request(Request { client, sequence, operation, key, value }));
            }
            ToNode::LostHeartbeat { planned } => {
                if planned {
                    // What the manager has said and a gate holds has been said with that.
                    self.put_aside.retain(|aside| !matches!(aside, ToNode::LostHeartbeat { .. }));
                }
                self.give(Input::LostHeartbeat, control)?;
            }
            ToNode::Passed(point) => {
                self.cursor.pass(point);
                self.let_go();
            }
            ToNode::Cut => self.cut(control)?,
            ToNode::Stall { for_ms } => {
                let until = Instant::now() + Duration::from_millis(for_ms.into());
                self.stalled_until = Some(until);
                self.on_connection(|connection| connection.stall(until));
            }
            ToNode::HalfClose => self.half_close(control)?,
            ToNode::Deaf => self.hears_nothing_more(control)?,
            ToNode::PeerSilent => self.give(Input::PeerSilent, control)?,
            ToNode::FailSave => self.fails.save = true,
            ToNode::FailLoad => self.fails.load = true,
            ToNode::FailDisk => self.disk.iter().for_each(Disk::fail_next),
            ToNode::Diverge => self.vcpu.diverge(),
            ToNode::Uncompared => self.marks_next_write = true,
            ToNode::CheckpointNow => match self.node.machine().told_of_wanted_checkpoint() {
                Some(input) => self.give(input, control)?,
                None => control.tell(&FromNode::TakesNoCheckpoint)?,
            },
            ToNode::SetDelay { ms } => self.set_delay(ms, control)?,
            ToNode::Protect { pair, plan } => {
                let connections = control.take_connections(&self.config)?;
                self.introduce(connections, (pair, *plan), control)?;
            }
            ToNode::ArbiterAnswer(granted) => self.arbiter_answered(granted, control)?,
            ToNode::Say(number) => control.tell(&FromNode::Said(number))?,
            ToNode::Press(button) => self.press(button, control)?,
            ToNode::GoOn => {}
            other @ (ToNode::Start(_) | ToNode::Tick) => {
                return Err(NodeError::Internal(format!("{other:?} to a node of a pair")));
            }
        }
        Ok(())
    }

    /// Another time between two checkpoints: the rules have it from now on, and the core says whether one is due with that. The
    /// timer that was armed before is none any more; patience with a peer that may now be silent for longer, or less, begins
    /// anew.
    fn set_delay(&mut self, ms: u32, control: &mut Control) -> Result<(), NodeError> {
        self.config.rules.checkpoint_delay_ms = ms;
        self.silence.delay_is(Duration::from_millis(ms.into()), Instant::now());
        let checkpoint = self.node.machine().checkpoint().0;
        self.record(|time| Record::new_delay(time, self.name(), checkpoint, ms), control)?;
        if let Some(input) = self.node.machine().told_of_new_delay() {
            self.timer = None;
            self.give(input, control)?;
        }
        Ok(())
    }

    fn hears_nothing_more(&mut self, control: &mut Control) -> Result<(), NodeError> {
        self.end.deaf = true;
        self.on_connection(Connection::deafen);
        control.tell(&FromNode::IsDeaf)
    }

    /// Somebody presses a button. A guest that executes minds it at once, so that what comes of it comes where a plan has it.
    fn press(&mut self, button: Button, control: &mut Control) -> Result<(), NodeError> {
        if self.vcpu.press(button, MINDS_WITHIN) {
            self.tell_wishes(control)?;
        }
        control.tell(&FromNode::Pressed)
    }

    /// What the guest wants of its machine.
    fn tell_wishes(&mut self, control: &mut Control) -> Result<(), NodeError> {
        while let Some(wish) = self.vcpu.take_wish() {
            match wish {
                Wish::PowerOff => {
                    control.tell(&FromNode::WantsOff)?;
                    self.give(Input::GuestShutdown, control)?;
                }
                Wish::Reset => self.give(Input::GuestReset, control)?,
            }
        }
        Ok(())
    }

    /// What the guest has produced since the last look, and what it wants.
    pub(super) fn take_output(&mut self, control: &mut Control) -> Result<(), NodeError> {
        let mut units = std::mem::take(&mut self.units);
        self.vcpu.take_output(&mut units).map_err(NodeError::Guest)?;
        self.tell_divergence(control)?;
        let last = units.len().saturating_sub(1);
        for (place, unit) in units.drain(..).enumerate() {
            let is_marked = self.marked.take_if(|of| unit.answers(*of)).is_some();
            let end = self.output.push(unit);
            if is_marked {
                self.pass_over(end, control)?;
            } else if place == last || !self.tells_once() {
                self.give(Input::GuestOutput { end }, control)?;
            }
        }
        self.units = units;
        if let Some(comparison) = &mut self.comparison {
            comparison.look();
        }
        self.tell_wishes(control)
    }

    /// Whether of what the guest has sent since the last look only the end is told: where each word of it asks for an
    /// effect, and there may be more of them than have room.
    fn tells_once(&self) -> bool {
        self.comparison.is_some() && self.name() == NodeName::Secondary
    }

    /// The last unit of the output is of a kind that the comparison does not know.
    fn pass_over(&mut self, end: OutputOffset, control: &mut Control) -> Result<(), NodeError> {
        if let Some(comparison) = &mut self.comparison {
            comparison.passes_over(OutputOffset(end.0 - 1));
        }
        self.give(Input::UncomparedOutput { end }, control)
    }

    /// Waits until something happens, and takes it in.
    fn wait(&mut self, control: &mut Control) -> Result<(), NodeError> {
        if control.has_buffered() {
            self.commands.push_back(control.listen()?);
            return Ok(());
        }
        let stalled = self.is_stalled();
        self.tell_gates(control)?;
        let timer = self.timer.filter(|_| !self.input_would_wait(InputKind::CheckpointDue));
        let silence = self.silence.deadline().filter(|_| !self.input_would_wait(InputKind::PeerSilent));
        let paced = self.end.paced_until(Instant::now()).filter(|_| !self.outgoing.is_empty());
        let suspended = self.looks_for_suspension_at();
        let held = self.held_until(Instant::now());
        let held = held.filter(|_| !self.input_would_wait(InputKind::OutputHeldTooLong));
        // The next part of the memory that goes to a replacement.
        let sends_part = self.introduction.is_some() && self.outgoing.is_empty() && self.saved.has_more();
        let part = sends_part.then(Instant::now);
        let last_word = self.last_word_until().filter(|_| !stalled);
        let announces = self.port.as_ref().and_then(Port::announces_at);
        let deadlines =
            [announces, part, timer, self.stalled_until, silence, paced, held, suspended, last_word];
        let deadline = deadlines.into_iter().flatten().min();
        let timeout = deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
        let [harness, guest, link_in, link_out, mirror_in, mirror_out, port_in, port_out] =
            self.poll(control, stalled, timeout.as_ref())?;
        if harness {
            self.commands.push_back(control.listen()?);
        }
        if guest {
            self.take_output(control)?;
        }
        if link_out || sends_part {
            self.pump(control)?;
        }
        if link_in {
            self.read_link();
        }
        if mirror_out {
            self.write_mirror();
        }
        if mirror_in {
            self.read_mirror();
        }
        self.port.iter_mut().for_each(|port| port.announce_if_due(Instant::now()));
        if port_out {
            self.flush_port();
        }
        if port_in {
            self.read_port();
        }
        self.mind_what_waits(control)?;
        if self.timer.is_some_and(|timer| Instant::now() >= timer)
            && !self.input_is_held(InputKind::CheckpointDue)
        {
            self.timer = None;
            self.give(Input::CheckpointDue, control)?;
        }
        // Behind the link: what was said while this node was busy has been heard by now.
        if !self.input_would_wait(InputKind::PeerSilent) && self.silence.has_lasted(Instant::now()) {
            self.give(Input::PeerSilent, control)?;
        }
        Ok(())
    }

    /// Whether the harness, the guest, and the two directions of the link, of the comparison's connection and of the card's cable
    /// have something.
    fn poll(
        &mut self,
        control: &Control,
        stalled: bool,
        timeout: Option<&Timespec>,
    ) -> Result<[bool; 8], NodeError> {
        // What waits at a gate, or finds no room, is looked at again when something else has happened.
        let outputs = self.node.queue().has_room()
            && self.output.has_room()
            && !self.input_would_wait(InputKind::GuestOutput);
        let paced = self.end.paced_until(Instant::now()).is_some();
        let sends = !self.outgoing.is_empty() && !paced && !self.transfer_is_held();
        let mut polled = vec![
            PollFd::from_borrowed_fd(control.output.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(
                self.vcpu.event().as_fd(),
                if outputs { PollFlags::IN } else { PollFlags::empty() },
            ),
        ];
        let mirror = self.comparison.as_ref().and_then(|comparison| comparison.mirror.as_ref());
        let ends = [
            self.link.as_ref().filter(|_| !self.end.has_ended).map(|link| (link, sends)),
            mirror.map(|mirror| (&mirror.link, mirror.has_waiting())),
        ];
        let flag = |flag, wanted| if wanted { flag } else { PollFlags::empty() };
        let places = ends.map(|end| {
            let (link, sends) = end.filter(|_| !stalled)?;
            let flags = flag(PollFlags::IN, !self.end.deaf) | flag(PollFlags::OUT, sends);
            (!flags.is_empty()).then(|| {
                polled.push(PollFd::from_borrowed_fd(link.as_fd(), flags));
                polled.len() - 1
            })
        });
        let port = self.port.as_ref().map(|port| {
            let flags = PollFlags::IN | flag(PollFlags::OUT, port.has_waiting());
            polled.push(PollFd::from_borrowed_fd(port.as_fd(), flags));
            polled.len() - 1
        });
        wait_for(&mut polled, timeout)?;
        let ready = |place: Option<usize>, flags: PollFlags| {
            let polled = place.and_then(|place| polled.get(place));
            polled.is_some_and(|fd| fd.revents().intersects(flags | PollFlags::HUP | PollFlags::ERR))
        };
        let [link, mirror] = places;
        Ok([
            ready(Some(0), PollFlags::IN),
            ready(Some(1), PollFlags::IN),
            !self.end.deaf && ready(link, PollFlags::IN),
            ready(link, PollFlags::OUT),
            !self.end.deaf && ready(mirror, PollFlags::IN),
            ready(mirror, PollFlags::OUT),
            ready(port, PollFlags::IN),
            ready(port, PollFlags::OUT),
        ])
    }

    /// The run has come to a point: if a fault of the plan strikes here, the harness carries it out meanwhile.
    pub(super) fn point(
        &mut self,
        moment: Moment,
        event: Event,
        control: &mut Control,
    ) -> Result<(), NodeError> {
        if self.cursor.left().is_empty() && self.cursor.closed().is_empty() {
            return Ok(());
        }
        let next = self.next_point(moment, event);
        let opens = self.cursor.closed().iter().any(|gate| gate.until == next);
        let (point, actions) =
            self.cursor.arrive(self.config.name, self.node.machine().checkpoint(), moment, event);
        self.cursor.forget();
        if opens {
            self.pass(point, control)?;
        }
        if actions.is_empty() {
            return Ok(());
        }
        control.tell(&FromNode::AtPoint(self.config.pair, point, actions))?;
        loop {
            match control.listen()? {
                ToNode::GoOn => return Ok(()),
                // The peer may wait for it at a point of its own.
                ToNode::Deaf => self.hears_nothing_more(control)?,
                // Now, before anything else that the plan has here. What is next may not be what it was.
                ToNode::Press(button) => {
                    self.press(button, control)?;
                    self.commands.push_back(ToNode::GoOn);
                }
                other => self.commands.push_back(other),
            }
        }
    }

    pub(super) fn record(
        &self,
        record: impl FnOnce(u64) -> Record,
        control: &mut Control,
    ) -> Result<(), NodeError> {
        if !self.config.record {
            return Ok(());
        }
        control.tell(&FromNode::Record(record(monotonic_us())))
    }
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
