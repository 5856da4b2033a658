//! The primary: runs the VM, takes checkpoints of it, withholds its output until the secondary has its state.
//!
//! Source: `colo_process_checkpoint` and `colo_do_checkpoint_transaction` in QEMU, `primary_vm_do_failover` for the
//! failover; phases P0 to P5 are those of the protocol book.

use crate::common::Common;
use crate::effect::{Effect, Effects, ExitReason, Operation, Step};
use crate::error::ProtocolError;
use crate::failover::{ColoMode, Failover, Status};
use crate::input::Input;
use crate::message::{Dialect, Message, MessageKind};
use crate::output::{CheckpointNumber, WithheldOutput};
use crate::rules::{
    Abort, Detection, Fencing, PendingRequests, PendingShutdown, ReleasePoint, ResumePoint, Rules,
    UncomparedOutput,
};

/// Where the primary stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum PrimaryPhase {
    /// P0: the secondary is loading the initial state; the VM is suspended.
    WaitReady,
    /// P1: the VM runs, until a checkpoint is due.
    Running,
    /// P2: a checkpoint has been requested; the VM still runs.
    WaitReply,
    /// P2: RAM is being sent, in rounds; the VM still runs.
    PreCopying,
    /// P3: the VM is being suspended.
    Suspending,
    /// P3: the VM's state is being captured.
    Saving,
    /// P3: the RAM is being sent; under Remus' rules the VM runs already.
    SendingRam,
    /// P3: the device state is being sent.
    SendingDeviceState,
    /// P4: the state is on its way.
    WaitReceived,
    /// P5: the secondary is applying the state.
    WaitLoaded,
    /// Out of COLO after an error or the loss of the link; only x-colo-lost-heartbeat leads on.
    Error,
    /// A failover waits for the end of the operation on the VM that is in hand, or for the arbiter's answer.
    TakingOver,
    /// Failed over: serves alone, and its output leaves at once.
    Alone,
    /// The arbiter has chosen the peer: the node has stopped for good.
    Fenced,
    /// The guest has powered off.
    ShutDown,
}

impl PrimaryPhase {
    /// Every phase.
    pub const ALL: [Self; 15] = [
        Self::WaitReady,
        Self::Running,
        Self::WaitReply,
        Self::PreCopying,
        Self::Suspending,
        Self::Saving,
        Self::SendingRam,
        Self::SendingDeviceState,
        Self::WaitReceived,
        Self::WaitLoaded,
        Self::Error,
        Self::TakingOver,
        Self::Alone,
        Self::Fenced,
        Self::ShutDown,
    ];

    /// The phase's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WaitReady => "wait-ready",
            Self::Running => "running",
            Self::WaitReply => "wait-reply",
            Self::PreCopying => "pre-copying",
            Self::Suspending => "suspending",
            Self::Saving => "saving",
            Self::SendingRam => "sending-ram",
            Self::SendingDeviceState => "sending-device-state",
            Self::WaitReceived => "wait-received",
            Self::WaitLoaded => "wait-loaded",
            Self::Error => "error",
            Self::TakingOver => "taking-over",
            Self::Alone => "alone",
            Self::Fenced => "fenced",
            Self::ShutDown => "shut-down",
        }
    }

    /// The message that the phase waits for.
    const fn expected(self) -> Option<MessageKind> {
        match self {
            Self::WaitReady => Some(MessageKind::CheckpointReady),
            Self::WaitReply => Some(MessageKind::CheckpointReply),
            Self::WaitReceived => Some(MessageKind::VmstateReceived),
            Self::WaitLoaded => Some(MessageKind::VmstateLoaded),
            _ => None,
        }
    }

    /// Whether the node has stopped for good.
    pub(crate) const fn is_over(self) -> bool {
        matches!(self, Self::Fenced | Self::ShutDown)
    }

    /// Whether the node is in COLO: protected, or on the way there.
    pub(crate) const fn in_session(self) -> bool {
        !matches!(self, Self::Error | Self::TakingOver | Self::Alone | Self::Fenced | Self::ShutDown)
    }
}

/// The guest's wish to power off.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
enum Shutdown {
    /// There is none.
    None,
    /// It has come, and no checkpoint has been requested since.
    Wanted,
    /// The checkpoint under way was requested after it: the guest goes when that has ended.
    Covered,
}

/// The primary's state machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Primary {
    phase: PrimaryPhase,
    /// Checkpoints that have been asked for while another was under way; more than one only if they are counted.
    due: u8,
    /// Whether the guest wants to power off; the secondary has not been told.
    shutdown: Shutdown,
    checkpoint: CheckpointNumber,
    /// Rounds of pre-copy that are to be sent, the one in hand among them.
    rounds: u8,
    /// Length of the captured device state, bytes, until it is announced.
    device_bytes: u64,
    common: Common,
}

impl Default for Primary {
    fn default() -> Self {
        Self::new()
    }
}

impl Primary {
    /// A primary whose initial state is with the secondary, its VM suspended until the secondary is ready.
    pub fn new() -> Self {
        Self {
            phase: PrimaryPhase::WaitReady,
            due: 0,
            shutdown: Shutdown::None,
            checkpoint: CheckpointNumber::default(),
            rounds: 0,
            device_bytes: 0,
            common: Common::new(None),
        }
    }

    /// Its lowest checkpoint's number: see [`crate::Node::renumber`].
    pub(crate) const fn lowest_number(&self) -> CheckpointNumber {
        self.checkpoint
    }

    pub(crate) fn renumber(&mut self, by: u64) {
        self.checkpoint = self.checkpoint.less(by);
    }

    /// Whether its guest wants to power off, and has not.
    pub const fn is_to_power_off(&self) -> bool {
        !matches!(self.shutdown, Shutdown::None)
    }

    /// Where the primary stands.
    pub const fn phase(&self) -> PrimaryPhase {
        self.phase
    }

    /// The latest checkpoint requested.
    pub const fn checkpoint(&self) -> CheckpointNumber {
        self.checkpoint
    }

    /// Requests for a checkpoint that wait until the one under way has ended.
    pub const fn pending_requests(&self) -> u8 {
        self.due
    }

    /// A survivor, about to be the primary of a new pair.
    pub(crate) fn survivor(common: Common) -> Self {
        Self { phase: PrimaryPhase::Alone, common, ..Self::new() }
    }

    /// Whether the node has stopped for good.
    pub(crate) const fn is_over(&self) -> bool {
        self.phase.is_over()
    }

    /// Whether it serves alone and has nothing in hand.
    pub(crate) fn can_be_protected(&self) -> bool {
        self.phase == PrimaryPhase::Alone && self.common.pending.is_none()
    }

    /// What the node answers to query-colo-status.
    pub fn status(&self) -> Status {
        let takes_part =
            self.phase.in_session() || matches!(self.phase, PrimaryPhase::Error | PrimaryPhase::TakingOver);
        Status::new(ColoMode::Primary, takes_part, self.common.exited, self.common.failover)
    }

    /// How far a failover has come.
    pub const fn failover(&self) -> Failover {
        self.common.failover
    }

    /// The marks in the output stream.
    pub const fn output(&self) -> WithheldOutput {
        self.common.output
    }

    pub(crate) fn vm_may_execute(&self) -> bool {
        self.common.vm_may_execute()
    }

    /// Takes one input: the effects to carry out, and what was wrong with it.
    pub fn step(&mut self, rules: &Rules, input: Input) -> Step {
        let mut effects = Effects::new();
        let error = self.take(rules, input, &mut effects).err();
        if error.is_some_and(|error| !error.is_refusal()) && self.phase.in_session() {
            self.common.close_link(&mut effects);
            self.leave_with_error(&mut effects);
        }
        Step { effects, error }
    }

    fn take(&mut self, rules: &Rules, input: Input, effects: &mut Effects) -> Result<(), ProtocolError> {
        match input {
            Input::Message(message) => self.message(rules, message, effects),
            Input::CheckpointDue | Input::OutputsDiffer | Input::OutputHeldTooLong => {
                self.checkpoint_due(rules, effects);
                Ok(())
            }
            Input::GuestOutput { .. } | Input::UncomparedOutput { .. } | Input::OutputsMatch { .. } => {
                self.output_input(rules, input, effects)
            }
            Input::GuestShutdown => {
                self.guest_shutdown(rules, effects);
                Ok(())
            }
            Input::GuestReset => {
                self.guest_reset(rules, effects);
                Ok(())
            }
            Input::DiskFailed => {
                self.disk_failed(effects);
                Ok(())
            }
            Input::CapabilityMissing => self.capability_missing(rules, effects),
            Input::Protect => self.protect(rules, effects),
            Input::LostHeartbeat => self.lost_heartbeat(effects),
            Input::FailoverBegins => self.failover_begins(rules, effects),
            Input::PeerSilent => {
                self.peer_silent(rules, effects);
                Ok(())
            }
            Input::BadStream => Err(ProtocolError::BadStream { state: self.phase.name() }),
            Input::LinkDown => {
                self.link_down(rules, effects);
                Ok(())
            }
            _ => self.operation_ended(rules, input, effects),
        }
    }

    fn message(
        &mut self,
        rules: &Rules,
        message: Message,
        effects: &mut Effects,
    ) -> Result<(), ProtocolError> {
        // The node has closed the link: what was still on it means nothing any more.
        if !self.common.link_open {
            return Ok(());
        }
        let (got, expected) = (message.kind(), self.phase.expected());
        if expected != Some(got) {
            return Err(ProtocolError::UnexpectedMessage { got, expected });
        }
        match self.phase {
            PrimaryPhase::WaitReady => {
                self.release_initial(effects);
                effects.push(Effect::StartReplication);
                self.run_vm(rules, effects);
                self.ready_for_next(rules, effects);
            }
            PrimaryPhase::WaitReply => {
                self.rounds = rules.precopy_rounds;
                if self.rounds > 0 {
                    self.phase = PrimaryPhase::PreCopying;
                    effects.push(Effect::Send(Message::VmstateSend));
                }
                self.send_round_or_stop(effects);
            }
            PrimaryPhase::WaitReceived => {
                self.phase = PrimaryPhase::WaitLoaded;
                self.release(rules, ReleasePoint::AfterReceived, effects);
                self.resume(rules, ResumePoint::AfterReceived, effects);
            }
            _ => {
                self.release(rules, ReleasePoint::AfterLoaded, effects);
                self.resume(rules, ResumePoint::AfterLoaded, effects);
                self.ready_for_next(rules, effects);
            }
        }
        Ok(())
    }

    /// Sends the next round of pre-copy; behind the last one, or where there are none, the VM is stopped.
    fn send_round_or_stop(&mut self, effects: &mut Effects) {
        if self.rounds > 0 {
            self.common.ask(effects, Effect::SendRound(self.checkpoint));
            return;
        }
        self.phase = PrimaryPhase::Suspending;
        self.common.suspend_vm(effects);
    }

    /// Lets the VM run again, if the rules say that this is the moment.
    fn resume(&mut self, rules: &Rules, point: ResumePoint, effects: &mut Effects) {
        if rules.resume == point {
            self.run_vm(rules, effects);
        }
    }

    /// The VM runs until the next checkpoint is due, which it may be already.
    fn run_vm(&mut self, rules: &Rules, effects: &mut Effects) {
        self.common.resume_vm(effects);
        if self.due == 0 {
            effects.push(Effect::ArmCheckpointTimer { delay_ms: rules.checkpoint_delay_ms });
        }
    }

    /// No checkpoint is under way.
    fn ready_for_next(&mut self, rules: &Rules, effects: &mut Effects) {
        self.phase = PrimaryPhase::Running;
        if self.shutdown == Shutdown::Covered {
            effects.push(Effect::Send(Message::GuestShutdown));
            self.power_off(effects);
        } else if self.due > 0 {
            self.request(rules, effects);
        }
    }

    fn request(&mut self, rules: &Rules, effects: &mut Effects) {
        self.due = match rules.requests {
            PendingRequests::Coalesced => 0,
            PendingRequests::Counted => self.due.saturating_sub(1),
        };
        if self.shutdown == Shutdown::Wanted {
            self.shutdown = Shutdown::Covered;
        }
        self.checkpoint = self.checkpoint.next();
        self.phase = PrimaryPhase::WaitReply;
        effects.push(Effect::Send(Message::CheckpointRequest));
    }

    fn checkpoint_due(&mut self, rules: &Rules, effects: &mut Effects) {
        match self.phase {
            PrimaryPhase::Running => self.request(rules, effects),
            // A timer that was armed before the node left COLO.
            phase if !phase.in_session() => {}
            _ => {
                self.due = match rules.requests {
                    PendingRequests::Coalesced => 1,
                    PendingRequests::Counted => self.due.saturating_add(1),
                }
            }
        }
    }

    /// The VM has sent something, or what it sent has been compared.
    fn output_input(
        &mut self,
        rules: &Rules,
        input: Input,
        effects: &mut Effects,
    ) -> Result<(), ProtocolError> {
        match input {
            // What was on its way when the VM was halted or powered off.
            _ if self.is_over() => {}
            Input::OutputsMatch { end } if rules.is_hybrid() && self.phase.in_session() => {
                effects.push(Effect::Release(self.common.output.release_to(end)));
            }
            Input::GuestOutput { end } | Input::UncomparedOutput { end } => {
                self.common.guest_output(end, self.phase.name())?;
                let sent_at_once = rules.is_hybrid() && rules.uncompared == UncomparedOutput::SentAtOnce;
                if self.phase == PrimaryPhase::Alone {
                    effects.push(Effect::Release(self.common.output.release_all()));
                } else if sent_at_once && matches!(input, Input::UncomparedOutput { .. }) {
                    effects.push(Effect::ReleaseUncompared(end));
                }
            }
            // A comparison that ended after the node left COLO.
            _ => {}
        }
        Ok(())
    }

    /// The guest wants to power off. In the v12 dialect the secondary is told, behind one more checkpoint; otherwise
    /// the node just goes, as QEMU does since COLO was merged.
    fn guest_shutdown(&mut self, rules: &Rules, effects: &mut Effects) {
        match (self.phase, rules.dialect) {
            (PrimaryPhase::Alone, _) => self.power_off(effects),
            (PrimaryPhase::Fenced | PrimaryPhase::ShutDown, _) => {}
            (phase, Dialect::Current) if phase.in_session() => {
                self.common.close_link(effects);
                self.power_off(effects);
            }
            (PrimaryPhase::Running, Dialect::V12) => {
                self.shutdown = Shutdown::Wanted;
                self.request(rules, effects);
            }
            // The checkpoint under way may have been captured before: what the guest sent since needs another one.
            (phase, _) => {
                self.shutdown = Shutdown::Wanted;
                if phase.in_session() {
                    self.due = self.due.max(1);
                }
            }
        }
    }

    fn power_off(&mut self, effects: &mut Effects) {
        self.shutdown = Shutdown::None;
        self.phase = PrimaryPhase::ShutDown;
        self.common.vm_running = false;
        effects.push(Effect::ShutDown);
    }

    /// The guest begins anew. Where the secondary's guest executes too, it has to follow soon.
    fn guest_reset(&mut self, rules: &Rules, effects: &mut Effects) {
        if self.is_over() {
            return;
        }
        self.common.reset_vm(effects);
        if rules.is_hybrid() {
            self.checkpoint_due(rules, effects);
        }
    }

    /// Without replication there is no protection. A survivor's disk is its own.
    fn disk_failed(&mut self, effects: &mut Effects) {
        if self.phase.in_session() {
            self.common.close_link(effects);
            self.leave_with_error(effects);
        }
    }

    /// A survivor becomes the primary of a new pair: its state, captured as checkpoint 0, is the initial state of the
    /// replacement. What the guest sends from here on is withheld.
    fn protect(&mut self, rules: &Rules, effects: &mut Effects) -> Result<(), ProtocolError> {
        if !self.can_be_protected() {
            return Err(ProtocolError::NotAlone { state: self.phase.name() });
        }
        *self = Self::survivor(self.common.in_new_session());
        self.phase = PrimaryPhase::Suspending;
        if rules.is_hybrid() {
            effects.push(Effect::ForgetPeerOutput);
        }
        self.common.suspend_vm(effects);
        Ok(())
    }

    /// Whether what is under way is the initial state: migration brings it, the messages of COLO begin behind it.
    fn is_initial(&self) -> bool {
        self.checkpoint == CheckpointNumber(0)
    }

    /// The pair cannot be: the node goes on as the ordinary VM that it was before.
    fn capability_missing(&mut self, rules: &Rules, effects: &mut Effects) -> Result<(), ProtocolError> {
        if self.phase != PrimaryPhase::WaitReady {
            let (input, state) = (Input::CapabilityMissing.kind(), self.phase.name());
            return Err(ProtocolError::UnexpectedInput { input, state });
        }
        self.common.close_link(effects);
        self.common.exit(effects, ExitReason::Error);
        self.fail_over(rules, effects);
        Ok(())
    }

    fn operation_ended(
        &mut self,
        rules: &Rules,
        input: Input,
        effects: &mut Effects,
    ) -> Result<(), ProtocolError> {
        // A link that the node has closed, and that is not gone yet, may still have taken what was being sent.
        let needs_link = input.kind().ends().is_some_and(Operation::needs_link);
        if needs_link && !self.common.link_open {
            return Ok(());
        }
        self.common.end(input.kind(), self.phase.name())?;
        match (self.phase, input) {
            (PrimaryPhase::PreCopying, _) => {
                self.rounds = self.rounds.saturating_sub(1);
                self.send_round_or_stop(effects);
            }
            (PrimaryPhase::Suspending, _) => {
                self.release(rules, ReleasePoint::AtSuspend, effects);
                self.phase = PrimaryPhase::Saving;
                self.common.ask(effects, Effect::SaveState(self.checkpoint));
            }
            (PrimaryPhase::Saving, Input::StateSaved { device_bytes }) => {
                self.common.output.seal();
                self.device_bytes = device_bytes;
                self.phase = PrimaryPhase::SendingRam;
                if !self.is_initial() {
                    self.resume(rules, ResumePoint::AfterStaged, effects);
                    if rules.precopy_rounds == 0 {
                        effects.push(Effect::Send(Message::VmstateSend));
                    }
                }
                self.common.ask(effects, Effect::SendRam(self.checkpoint));
            }
            (PrimaryPhase::Saving, _) => {
                self.common.close_link(effects);
                self.leave_with_error(effects);
            }
            (PrimaryPhase::SendingRam, _) => {
                self.phase = PrimaryPhase::SendingDeviceState;
                if !self.is_initial() {
                    effects.push(Effect::Send(Message::VmstateSize(self.device_bytes)));
                }
                self.device_bytes = 0;
                self.common.ask(effects, Effect::SendDeviceState(self.checkpoint));
            }
            (PrimaryPhase::SendingDeviceState, _) if self.is_initial() => {
                self.phase = PrimaryPhase::WaitReady;
            }
            (PrimaryPhase::SendingDeviceState, _) => self.phase = PrimaryPhase::WaitReceived,
            (PrimaryPhase::TakingOver, Input::ArbiterGranted) => self.promote(rules, effects),
            (PrimaryPhase::TakingOver, Input::ArbiterDenied) => {
                self.phase = PrimaryPhase::Fenced;
                self.common.halt(effects);
            }
            (PrimaryPhase::TakingOver, _) => self.seek_promotion(rules, effects),
            // What was in hand when the node left COLO.
            _ => {}
        }
        Ok(())
    }

    /// Lets go what the latest captured checkpoint covers, if the rules say that this is the moment.
    fn release(&mut self, rules: &Rules, point: ReleasePoint, effects: &mut Effects) {
        if rules.release != point {
            return;
        }
        if point == ReleasePoint::AtSuspend {
            self.common.output.seal();
        }
        effects.push(Effect::Release(self.common.output.release_sealed()));
        if rules.is_hybrid() {
            effects.push(Effect::ForgetPeerOutput);
        }
    }

    /// The secondary that said checkpoint-ready holds what a survivor's guest had sent before it was captured.
    fn release_initial(&mut self, effects: &mut Effects) {
        if self.common.output.released() < self.common.output.sealed() {
            effects.push(Effect::Release(self.common.output.release_sealed()));
        }
    }

    fn lost_heartbeat(&mut self, effects: &mut Effects) -> Result<(), ProtocolError> {
        if self.phase == PrimaryPhase::Alone || self.is_over() {
            return Err(ProtocolError::NotInColoMode { state: self.phase.name() });
        }
        if self.common.failover != Failover::None {
            return Err(ProtocolError::FailoverAlreadyActivated);
        }
        self.common.require_failover(effects);
        Ok(())
    }

    fn peer_silent(&mut self, rules: &Rules, effects: &mut Effects) {
        let watches = rules.detection == Detection::Timeout && self.common.failover == Failover::None;
        if watches && !self.is_over() {
            self.fail_over(rules, effects);
        }
    }

    /// The node comes to the failover that it has accepted; it may have powered off since.
    fn failover_begins(&mut self, rules: &Rules, effects: &mut Effects) -> Result<(), ProtocolError> {
        match self.common.failover {
            _ if self.is_over() => self.common.failover = Failover::None,
            Failover::Require => self.fail_over(rules, effects),
            _ => {
                let (input, state) = (Input::FailoverBegins.kind(), self.phase.name());
                return Err(ProtocolError::UnexpectedInput { input, state });
            }
        }
        Ok(())
    }

    /// Goes on alone: at once, or when the operation on the VM that is in hand has ended.
    fn fail_over(&mut self, rules: &Rules, effects: &mut Effects) {
        if rules.abort == Abort::AtOnce {
            self.common.close_link(effects);
        }
        self.common.failover = Failover::Active;
        self.phase = PrimaryPhase::TakingOver;
        self.rounds = 0;
        if self.common.pending.is_none() {
            self.seek_promotion(rules, effects);
        }
    }

    /// Nothing is in hand any more: the node serves alone, if it need not ask first.
    fn seek_promotion(&mut self, rules: &Rules, effects: &mut Effects) {
        self.common.close_link(effects);
        match rules.fencing {
            Fencing::None => self.promote(rules, effects),
            Fencing::Arbiter => self.common.ask(effects, Effect::AskArbiter),
        }
    }

    fn promote(&mut self, rules: &Rules, effects: &mut Effects) {
        self.phase = PrimaryPhase::Alone;
        self.common.take_over(rules, effects);
        if self.is_to_power_off() && rules.shutdown == PendingShutdown::Honoured {
            self.power_off(effects);
        }
    }

    fn link_down(&mut self, rules: &Rules, effects: &mut Effects) {
        let sent = self.common.pending.is_some_and(Operation::needs_link);
        self.common.link_lost();
        if sent && self.phase == PrimaryPhase::TakingOver {
            return self.seek_promotion(rules, effects);
        }
        if !self.phase.in_session() {
            return;
        }
        match rules.detection {
            Detection::External | Detection::Timeout => self.leave_with_error(effects),
            Detection::LinkClosed => self.fail_over(rules, effects),
        }
    }

    fn leave_with_error(&mut self, effects: &mut Effects) {
        self.phase = PrimaryPhase::Error;
        self.rounds = 0;
        self.common.exit(effects, ExitReason::Error);
    }
}
