//! Carrying effects out: those that are done at once.

use super::disk::Connection;
use super::driver::{Driver, Times};
use super::port::Port;
use super::saved::Source;
use super::unit::Unit;
use super::{Control, NodeError};
use crate::abi::Reply;
use crate::control::{CheckpointFigures, FromNode, MAX_UNITS, RawReply};
use colo_protocol::{Effect, Input, Message, OutputOffset};
use colo_trace::{Event, Moment, Record};
use std::time::{Duration, Instant};

/// How long what a node has sent may take to leave when the node has stopped for good: a peer that takes nothing keeps nobody on.
const LEAVES_WITHIN: Duration = Duration::from_secs(2);

/// How long a guest that is powered off may take until its disk has done what it has asked for.
const OFF_WITHIN: Duration = Duration::from_millis(200);

/// What a node that has stopped for good is about to tell.
pub(super) struct LastWord {
    word: FromNode,
    /// When it is told at the latest.
    until: Instant,
}

impl Driver {
    pub(super) fn carry_out(&mut self, control: &mut Control) -> Result<(), NodeError> {
        let Some(effect) = self.node.queue().first() else { return Ok(()) };
        let event = Event::Effect(effect.kind());
        if self.announced != Some(effect) {
            self.announced = Some(effect);
            self.point(Moment::Before, event, control)?;
            if !self.commands.is_empty() {
                // What came while the node waited there comes before the effect.
                return Ok(());
            }
        }
        self.announced = None;
        let taken = self.node.next_effect(&self.config.rules);
        assert_eq!(taken, Some(effect), "only an input changes the queue");
        if effect.is_of_the_disk() && !self.is_done_to_disk(effect, control)? {
            self.give(Input::DiskFailed, control)?;
            // What the core makes of it: the harness is to know.
            self.unusable |= self.node.machine().is_over();
            return Ok(());
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
            Effect::ResumeVm => self.resume()?,
            Effect::Release(up_to) => self.release(up_to, control)?,
            Effect::ArmCheckpointTimer { delay_ms } => {
                self.timer = Some(Instant::now() + Duration::from_millis(delay_ms.into()));
            }
            Effect::CloseLink => self.disconnect(),
            Effect::DiscardStaged(_) => {
                self.staging.clear();
                self.staged = None;
            }
            Effect::ApplyRam(_) => {
                self.vcpu.while_still(|machine| self.staging.apply_ram(&self.inbound, machine))?;
            }
            // Done, before it was recorded.
            Effect::StartReplication
            | Effect::CheckpointDisk(_)
            | Effect::CommitDiskEpoch(_)
            | Effect::FailOverDisk => {}
            Effect::ShutDown => self.power_off(control)?,
            Effect::BeginFailover => {}
            Effect::ResetVm => self.reset()?,
            Effect::RedirectOutput(up_to) => self.redirect(up_to),
            Effect::ForgetPeerOutput => self.forget_peer_output(),
            Effect::ReleaseUncompared(up_to) => self.release_past(up_to, control)?,
            Effect::TakeOver => {
                self.entry = None;
                self.vcpu.serves_alone();
                self.port.iter_mut().for_each(Port::announce);
                control.tell(&FromNode::TookOver)?;
            }
            Effect::Halt => self.halt(control)?,
            Effect::Exit(reason) => {
                let reason = reason.name().to_owned();
                let (pair, unusable) = (self.config.pair, self.unusable);
                control.tell(&FromNode::ColoExit { pair, reason, unusable })?;
            }
            Effect::SuspendVm
            | Effect::SaveState(_)
            | Effect::SendRound(_)
            | Effect::SendRam(_)
            | Effect::SendDeviceState(_)
            | Effect::LockVm
            | Effect::LoadState(_)
            | Effect::AskArbiter => unreachable!("operations are begun, not done"),
        }
        Ok(())
    }

    pub(super) fn send(&mut self, message: Message, control: &mut Control) -> Result<(), NodeError> {
        if message == Message::CheckpointRequest {
            // When this one was due at once, nobody has told yet of the one before.
            self.tell_figures(self.vcpu.went_on().unwrap_or_else(Instant::now), control)?;
            self.times = Times {
                checkpoint: self.node.machine().checkpoint().0,
                requested: Some(Instant::now()),
                bytes_before: self.outgoing.total(),
                ..Times::default()
            };
        }
        self.encode(message)?;
        self.keeps_back = self.waits_at_no_point();
        if self.keeps_back { Ok(()) } else { self.pump(control) }
    }

    /// Appends a message to what goes out.
    pub(super) fn encode(&mut self, message: Message) -> Result<(), NodeError> {
        let encoded = self.encoder.message(self.outgoing.buffer(), message);
        encoded.map_err(|error| NodeError::Internal(error.to_string()))
    }

    /// The VM executes. What is still to be sent of its memory is copied before.
    fn resume(&mut self) -> Result<(), NodeError> {
        self.copy_what_is_to_be_sent()?;
        self.vcpu.machine().tick()?;
        self.vcpu.resume();
        self.times.resumed = true;
        if let Some(entry) = &mut self.entry {
            entry.is_over = entry.suspended.is_some();
        }
        Ok(())
    }

    /// The memory of a VM that stands still is about to change: what is still to be sent of it is copied.
    fn copy_what_is_to_be_sent(&mut self) -> Result<(), NodeError> {
        let machine = self.vcpu.machine();
        self.outgoing.copy_pages(&machine)?;
        let encoder = (&mut self.encoder, &self.block);
        self.saved.encode(usize::MAX, Source::Copied(&machine), encoder).map_err(NodeError::Internal)
    }

    /// The VM begins anew, with its next instruction. One that stands still was captured as it is.
    fn reset(&mut self) -> Result<(), NodeError> {
        if !self.vcpu.is_let_run() {
            self.copy_what_is_to_be_sent()?;
        }
        let workload = &self.config.workload;
        let (image, parameters) = (workload.guest.image(), workload.parameters());
        self.vcpu.while_still(|machine| machine.reset(image, &parameters))?;
        self.vcpu.begins_anew();
        Ok(())
    }

    /// The machine is off. What its guest has asked its disk for is done before, unless a peer that is not there keeps it from
    /// being done: a machine that is off waits for nobody.
    fn power_off(&mut self, control: &mut Control) -> Result<(), NodeError> {
        if !self.vcpu.suspend_within(OFF_WITHIN) {
            self.on_connection(Connection::close);
        }
        self.vcpu.suspend();
        self.timer = None;
        self.stops_for_good(FromNode::PoweredOff, control)
    }

    /// The VM stands still, and nothing lets it run again.
    fn halt(&mut self, control: &mut Control) -> Result<(), NodeError> {
        self.vcpu.suspend();
        self.timer = None;
        self.stops_for_good(FromNode::Halted, control)
    }

    /// The node has stopped for good. Whoever hears of that may end its process, so it is told when all that was sent before has
    /// left: the peer is to hear why there will be nobody.
    fn stops_for_good(&mut self, word: FromNode, control: &mut Control) -> Result<(), NodeError> {
        self.last_word = Some(LastWord { word, until: Instant::now() + LEAVES_WITHIN });
        self.tell_last_word(control).map(drop)
    }

    /// Tells that the node has stopped for good, if that is to be told and nothing has to leave before; whether it did.
    pub(super) fn tell_last_word(&mut self, control: &mut Control) -> Result<bool, NodeError> {
        let has_left = self.link.is_none() || self.outgoing.is_empty();
        let waits = !has_left
            && (self.is_stalled() || self.last_word_until().is_some_and(|until| Instant::now() < until));
        match self.last_word.take_if(|_| !waits) {
            Some(LastWord { word, .. }) => control.tell(&word).map(|()| true),
            None => Ok(false),
        }
    }

    /// Until when the last word waits at most for what is to leave before it.
    pub(super) fn last_word_until(&self) -> Option<Instant> {
        self.last_word.as_ref().map(|last| last.until)
    }

    /// Tells the figures of a checkpoint that is over: the VM runs again, since `went_on`; the secondary has loaded;
    /// output has left.
    pub(super) fn tell_figures(&mut self, went_on: Instant, control: &mut Control) -> Result<(), NodeError> {
        let Times {
            checkpoint,
            requested: Some(requested),
            suspended: Some(suspended),
            resumed: true,
            released: Some(released),
            loaded: Some(loaded),
            bytes_before,
            pages_in_rounds,
        } = self.times
        else {
            return Ok(());
        };
        self.times = Times::default();
        let micros = |from: Instant, to: Instant| u64::try_from((to - from).as_micros()).unwrap_or(u64::MAX);
        control.tell(&FromNode::Checkpoint(CheckpointFigures {
            checkpoint,
            dirty_pages: pages_in_rounds + self.saved.pages.len() as u64,
            bytes: self.outgoing.total() - bytes_before,
            pause_us: micros(suspended, went_on),
            transaction_us: micros(requested, loaded),
            release_us: micros(requested, released),
        }))
    }

    pub(super) fn release(&mut self, up_to: OutputOffset, control: &mut Control) -> Result<(), NodeError> {
        if self.comparison.is_none() {
            self.times.released = Some(Instant::now());
        }
        self.tell_disk(control)?;
        self.leaves(up_to);
        let (first, units) = self.output.release(up_to);
        send_off(first.0, units.into_iter(), self.port.as_mut(), control)
    }
}

impl Driver {
    /// What the secondary sent is another VM's now: the checkpoint's, with which all that it covers has left.
    fn forget_peer_output(&mut self) {
        self.times.released = Some(Instant::now());
        let checkpoint = self.node.machine().checkpoint();
        if let Some(comparison) = &mut self.comparison {
            comparison.forget(checkpoint);
        }
    }

    /// The one unit before `up_to` leaves past what is withheld before it, and stays where it is, too.
    fn release_past(&mut self, up_to: OutputOffset, control: &mut Control) -> Result<(), NodeError> {
        let output = self.output.units();
        let Some(index) = up_to.0.checked_sub(output.start().0 + 1) else { return Ok(()) };
        let unit = usize::try_from(index).ok().and_then(|index| output.units().nth(index));
        match (unit, &mut self.port) {
            (Some(Unit::Reply(reply)), _) => {
                control.tell(&FromNode::EarlyOutput(up_to.0 - 1, raw_reply(*reply)))?;
            }
            (Some(Unit::Frame(frame)), Some(port)) => port.send(up_to.0 - 1, frame),
            _ => {}
        }
        Ok(())
    }
}

/// Output leaves that begins at `first`: frames by the port; replies by the harness, in messages that are not too long. Of frames the
/// harness is told how many.
pub(super) fn send_off(
    first: u64,
    units: impl Iterator<Item = Unit>,
    mut port: Option<&mut Port>,
    control: &mut Control,
) -> Result<(), NodeError> {
    let (mut replies, mut frames) = (Vec::new(), 0);
    for (place, unit) in (first..).zip(units) {
        match unit {
            Unit::Reply(reply) => replies.push(raw_reply(reply)),
            Unit::Frame(frame) => {
                frames += 1;
                if let Some(port) = port.as_deref_mut() {
                    port.send(place, &frame);
                }
            }
        }
    }
    if frames > 0 {
        return control.tell(&FromNode::Frames { first, count: frames });
    }
    let mut messages = (first..).step_by(MAX_UNITS).zip(replies.chunks(MAX_UNITS));
    messages.try_for_each(|(first, replies)| control.tell(&FromNode::Output(first, replies.to_vec())))
}

fn raw_reply(reply: Reply) -> RawReply {
    [reply.client, reply.sequence, reply.serial, reply.status, reply.value, reply.time]
}
