//! The secondary: stages each checkpoint whole, applies it in one piece, and takes over when the primary is gone.
//!
//! Source: `colo_process_incoming_thread` and `colo_incoming_process_checkpoint` in QEMU, `secondary_vm_do_failover`
//! for the failover; phases S0 to S7 are those of the protocol book.

use crate::common::Common;
use crate::effect::{Effect, Effects, ExitReason, Operation, Step};
use crate::error::ProtocolError;
use crate::failover::{ColoMode, Failover, Status};
use crate::input::Input;
use crate::message::{Message, MessageKind};
use crate::output::{CheckpointNumber, OutputOffset, WithheldOutput};
use crate::primary::Primary;
use crate::rules::{
    Application, Detection, DiskCheckpoint, FailedLoad, FailoverDeferral, Fencing, Relaunch, Rules,
    UnloadedCheckpoint,
};

/// Where the secondary stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum SecondaryPhase {
    /// S0: the initial state is being loaded; not protected yet.
    Incoming,
    /// S1: up to date with the latest checkpoint, waits for the next.
    WaitRequest,
    /// S1: a checkpoint has been requested, and the VM, which executes too, is being suspended.
    Suspending,
    /// S2: a checkpoint has been agreed on.
    WaitSend,
    /// S3: RAM is coming in, and is staged.
    ReceivingRam,
    /// S4: the RAM is staged.
    WaitSize,
    /// S4: the device state is coming in, and is staged.
    ReceivingDeviceState,
    /// S5: the whole state is staged and confirmed; the lock on the VM is not held yet.
    WaitLock,
    /// S6: the staged state is being applied.
    Loading,
    /// Out of COLO after an error or the loss of the link; only x-colo-lost-heartbeat leads on.
    Error,
    /// A failover waits until the checkpoint in hand is applied, or for the arbiter's answer.
    TakingOver,
    /// Failed over: serves alone, and its output leaves at once.
    Alone,
    /// A load failed: the VM is no longer usable, and the node can never take over.
    Failed,
    /// The arbiter has chosen the peer: the node has stopped for good.
    Fenced,
    /// The guest has powered off.
    ShutDown,
}

impl SecondaryPhase {
    /// Every phase.
    pub const ALL: [Self; 15] = [
        Self::Incoming,
        Self::WaitRequest,
        Self::Suspending,
        Self::WaitSend,
        Self::ReceivingRam,
        Self::WaitSize,
        Self::ReceivingDeviceState,
        Self::WaitLock,
        Self::Loading,
        Self::Error,
        Self::TakingOver,
        Self::Alone,
        Self::Failed,
        Self::Fenced,
        Self::ShutDown,
    ];

    /// The phase's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::WaitRequest => "wait-request",
            Self::Suspending => "suspending",
            Self::WaitSend => "wait-send",
            Self::ReceivingRam => "receiving-ram",
            Self::WaitSize => "wait-size",
            Self::ReceivingDeviceState => "receiving-device-state",
            Self::WaitLock => "wait-lock",
            Self::Loading => "loading",
            Self::Error => "error",
            Self::TakingOver => "taking-over",
            Self::Alone => "alone",
            Self::Failed => "failed",
            Self::Fenced => "fenced",
            Self::ShutDown => "shut-down",
        }
    }

    /// The message that the phase waits for.
    const fn expected(self) -> Option<MessageKind> {
        match self {
            Self::WaitRequest => Some(MessageKind::CheckpointRequest),
            Self::WaitSend => Some(MessageKind::VmstateSend),
            Self::WaitSize => Some(MessageKind::VmstateSize),
            _ => None,
        }
    }

    /// Whether the node has stopped for good.
    pub(crate) const fn is_over(self) -> bool {
        matches!(self, Self::Failed | Self::Fenced | Self::ShutDown)
    }

    /// Whether the node is in COLO: protected, or on the way there.
    pub(crate) const fn in_session(self) -> bool {
        !matches!(
            self,
            Self::Error | Self::TakingOver | Self::Alone | Self::Failed | Self::Fenced | Self::ShutDown
        )
    }
}

/// The secondary's state machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Secondary {
    phase: SecondaryPhase,
    checkpoint: CheckpointNumber,
    loaded: CheckpointNumber,
    promised: CheckpointNumber,
    common: Common,
}

impl Default for Secondary {
    fn default() -> Self {
        Self::new()
    }
}

impl Secondary {
    /// A secondary that has begun to load the initial state: state-loaded is the input that it waits for.
    pub fn new() -> Self {
        Self {
            phase: SecondaryPhase::Incoming,
            checkpoint: CheckpointNumber::default(),
            loaded: CheckpointNumber::default(),
            promised: CheckpointNumber::default(),
            common: Common::new(Some(Operation::LoadState)),
        }
    }

    /// A secondary that waits for the state of a survivor: ram-received and device-state-received bring it.
    pub fn replacement() -> Self {
        Self { common: Common::new(None), ..Self::new() }
    }

    /// Its lowest checkpoint's number: see [`crate::Node::renumber`].
    pub(crate) fn lowest_number(&self) -> CheckpointNumber {
        self.loaded.min(self.promised).min(self.checkpoint)
    }

    pub(crate) fn renumber(&mut self, by: u64) {
        for number in [&mut self.checkpoint, &mut self.loaded, &mut self.promised] {
            *number = number.less(by);
        }
    }

    /// Where the secondary stands.
    pub const fn phase(&self) -> SecondaryPhase {
        self.phase
    }

    /// The latest checkpoint that the primary has requested.
    pub const fn checkpoint(&self) -> CheckpointNumber {
        self.checkpoint
    }

    /// The latest checkpoint that the VM holds, whole.
    pub const fn loaded(&self) -> CheckpointNumber {
        self.loaded
    }

    /// The latest checkpoint behind which the node may not go back, whatever happens.
    pub const fn promised(&self) -> CheckpointNumber {
        self.promised
    }

    /// The primary of the next generation, if it serves alone and has nothing in hand.
    pub(crate) fn as_primary(&self) -> Option<Primary> {
        let alone = self.phase == SecondaryPhase::Alone && self.common.pending.is_none();
        alone.then(|| Primary::survivor(self.common))
    }

    /// What the node answers to query-colo-status.
    pub fn status(&self) -> Status {
        let takes_part = match self.phase {
            SecondaryPhase::Incoming => false,
            SecondaryPhase::Error | SecondaryPhase::TakingOver => true,
            phase => phase.in_session(),
        };
        Status::new(ColoMode::Secondary, takes_part, self.common.exited, self.common.failover)
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
            self.peer_lost(&mut effects);
        }
        Step { effects, error }
    }

    fn take(&mut self, rules: &Rules, input: Input, effects: &mut Effects) -> Result<(), ProtocolError> {
        match input {
            Input::Message(message) => self.message(rules, message, effects),
            Input::RamReceived if self.phase == SecondaryPhase::ReceivingRam => {
                self.phase = SecondaryPhase::WaitSize;
                if rules.apply == Application::RamFirst {
                    effects.push(Effect::ApplyRam(self.checkpoint));
                }
                Ok(())
            }
            Input::DeviceStateReceived if self.phase == SecondaryPhase::ReceivingDeviceState => {
                self.state_received(rules, effects);
                Ok(())
            }
            Input::RamReceived | Input::DeviceStateReceived if !self.common.link_open => Ok(()),
            Input::RamReceived if self.is_empty() => Ok(()),
            Input::DeviceStateReceived if self.is_empty() => {
                self.common.ask(effects, Effect::LoadState(self.checkpoint));
                Ok(())
            }
            Input::GuestOutput { end } | Input::UncomparedOutput { end } => self.guest_output(end, effects),
            Input::GuestShutdown => {
                self.guest_shutdown(effects);
                Ok(())
            }
            Input::GuestReset => {
                self.guest_reset(effects);
                Ok(())
            }
            Input::DiskFailed => {
                self.disk_failed(rules, effects);
                Ok(())
            }
            Input::Protect => Err(ProtocolError::NotAlone { state: self.phase.name() }),
            Input::CapabilityMissing => self.capability_missing(effects),
            Input::VmSuspended => self.suspended(rules, effects),
            Input::LostHeartbeat => self.lost_heartbeat(effects),
            Input::FailoverBegins => self.failover_begins(rules, effects),
            Input::PeerSilent => {
                self.peer_silent(rules, effects);
                Ok(())
            }
            Input::ArbiterGranted | Input::ArbiterDenied => self.arbiter_answered(rules, input, effects),
            Input::BadStream => Err(ProtocolError::BadStream { state: self.phase.name() }),
            Input::LinkDown => {
                self.link_down(rules, effects);
                Ok(())
            }
            Input::VmLocked => self.locked(rules, effects),
            Input::StateLoaded { output } => self.state_loaded(rules, output, effects),
            Input::LoadFailed => self.load_failed(rules, effects),
            _ => Err(ProtocolError::UnexpectedInput { input: input.kind(), state: self.phase.name() }),
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
        if self.phase == SecondaryPhase::WaitRequest && message == Message::GuestShutdown {
            self.power_off(effects);
            return Ok(());
        }
        if expected != Some(got) {
            return Err(ProtocolError::UnexpectedMessage { got, expected });
        }
        match self.phase {
            SecondaryPhase::WaitRequest => {
                self.checkpoint = self.checkpoint.next();
                if rules.is_hybrid() {
                    self.phase = SecondaryPhase::Suspending;
                    self.common.suspend_vm(effects);
                } else {
                    self.reply(effects);
                }
            }
            SecondaryPhase::WaitSend => self.phase = SecondaryPhase::ReceivingRam,
            _ => self.phase = SecondaryPhase::ReceivingDeviceState,
        }
        Ok(())
    }

    fn reply(&mut self, effects: &mut Effects) {
        self.phase = SecondaryPhase::WaitSend;
        effects.push(Effect::Send(Message::CheckpointReply));
    }

    /// The VM stands still: the checkpoint that was requested can come, unless the node goes on alone.
    fn suspended(&mut self, rules: &Rules, effects: &mut Effects) -> Result<(), ProtocolError> {
        self.common.end(Input::VmSuspended.kind(), self.phase.name())?;
        match self.phase {
            SecondaryPhase::Suspending if self.common.link_open => self.reply(effects),
            SecondaryPhase::Suspending => self.leave_with_error(effects),
            SecondaryPhase::TakingOver => self.seek_promotion(rules, effects),
            _ => {}
        }
        Ok(())
    }

    /// In COLO, the primary's comparison gets what the VM sends; alone, the world does.
    fn guest_output(&mut self, end: OutputOffset, effects: &mut Effects) -> Result<(), ProtocolError> {
        if self.is_over() {
            return Ok(());
        }
        self.common.guest_output(end, self.phase.name())?;
        if self.phase == SecondaryPhase::Alone {
            effects.push(Effect::Release(self.common.output.release_all()));
        } else if self.common.link_open {
            effects.push(Effect::RedirectOutput(end));
        }
        Ok(())
    }

    /// The guest wants to power off: it executes here too, so it does so by itself.
    fn guest_shutdown(&mut self, effects: &mut Effects) {
        if self.is_over() || !(self.phase.in_session() || self.common.vm_may_execute()) {
            return;
        }
        self.common.close_link(effects);
        self.power_off(effects);
    }

    fn power_off(&mut self, effects: &mut Effects) {
        self.phase = SecondaryPhase::ShutDown;
        self.common.vm_running = false;
        effects.push(Effect::ShutDown);
    }

    /// The guest begins anew, if it executes; in COLO, the primary's does not know, and the comparison will tell. A VM
    /// that does not execute is the primary's, as of a checkpoint.
    fn guest_reset(&mut self, effects: &mut Effects) {
        if self.common.vm_may_execute() {
            self.common.reset_vm(effects);
        }
    }

    /// The disk is not that of the memory. What was to come behind it, a promotion perhaps, is not to be any more.
    fn disk_failed(&mut self, rules: &Rules, effects: &mut Effects) {
        if self.is_over() {
            return;
        }
        self.state_unusable(rules, effects);
        if self.is_over() {
            self.common.halt(effects);
        }
    }

    /// Whether the node has stopped for good.
    pub(crate) const fn is_over(&self) -> bool {
        self.phase.is_over()
    }

    /// Whether it is a replacement to which nothing has been given yet.
    fn is_empty(&self) -> bool {
        self.phase == SecondaryPhase::Incoming && self.common.pending.is_none()
    }

    /// The pair cannot be: there is nothing that this node could ever serve.
    fn capability_missing(&mut self, effects: &mut Effects) -> Result<(), ProtocolError> {
        if self.phase != SecondaryPhase::Incoming {
            let (input, state) = (Input::CapabilityMissing.kind(), self.phase.name());
            return Err(ProtocolError::UnexpectedInput { input, state });
        }
        self.fail(effects);
        Ok(())
    }

    /// The whole state is staged. What vmstate-received promises holds from here on, before it is said.
    fn state_received(&mut self, rules: &Rules, effects: &mut Effects) {
        if rules.promises_at_received() {
            self.promised = self.checkpoint;
        }
        self.phase = SecondaryPhase::WaitLock;
        effects.push(Effect::Send(Message::VmstateReceived));
        self.common.ask(effects, Effect::LockVm);
    }

    /// The lock is held: load, unless the node goes on alone without the checkpoint.
    fn locked(&mut self, rules: &Rules, effects: &mut Effects) -> Result<(), ProtocolError> {
        self.common.end(Input::VmLocked.kind(), self.phase.name())?;
        match self.phase {
            SecondaryPhase::WaitLock => self.phase = SecondaryPhase::Loading,
            SecondaryPhase::TakingOver if self.checkpoint == self.loaded => {
                self.seek_promotion(rules, effects);
                return Ok(());
            }
            SecondaryPhase::TakingOver => {}
            _ => return Ok(()),
        }
        self.common.ask(effects, Effect::LoadState(self.checkpoint));
        Ok(())
    }

    fn state_loaded(
        &mut self,
        rules: &Rules,
        output: OutputOffset,
        effects: &mut Effects,
    ) -> Result<(), ProtocolError> {
        self.common.end(Input::StateLoaded { output }.kind(), self.phase.name())?;
        if !self.phase.in_session() && self.phase != SecondaryPhase::TakingOver {
            return Ok(());
        }
        self.loaded = self.checkpoint;
        self.promised = self.checkpoint;
        self.common.reset = false;
        self.common.output.restart_at(output);
        self.checkpoint_disk(rules, effects);
        match self.phase {
            SecondaryPhase::TakingOver => self.seek_promotion(rules, effects),
            _ if !self.common.link_open => self.leave_with_error(effects),
            SecondaryPhase::Incoming => self.ready_for_next(rules, Message::CheckpointReady, effects),
            _ => self.ready_for_next(rules, Message::VmstateLoaded, effects),
        }
        Ok(())
    }

    /// The disk follows the memory, unless it has been failed over: then it takes no checkpoint any more
    /// (QEMU: `replication_do_checkpoint` in stage FAILOVER, since 08ddb4eb6d).
    fn checkpoint_disk(&self, rules: &Rules, effects: &mut Effects) {
        let effect = match (self.checkpoint, rules.disk) {
            _ if self.common.disk_failed_over => return,
            (CheckpointNumber(0), _) => Effect::StartReplication,
            (checkpoint, DiskCheckpoint::AllWrites) => Effect::CheckpointDisk(checkpoint),
            (checkpoint, DiskCheckpoint::ByEpoch) => Effect::CommitDiskEpoch(checkpoint),
        };
        effects.push(effect);
    }

    fn ready_for_next(&mut self, rules: &Rules, message: Message, effects: &mut Effects) {
        self.phase = SecondaryPhase::WaitRequest;
        if rules.is_hybrid() {
            self.common.resume_vm(effects);
        }
        effects.push(Effect::Send(message));
    }

    /// The VM is half of one checkpoint and half of another.
    fn load_failed(&mut self, rules: &Rules, effects: &mut Effects) -> Result<(), ProtocolError> {
        self.common.end(Input::LoadFailed.kind(), self.phase.name())?;
        if !self.is_over() {
            self.state_unusable(rules, effects);
        }
        Ok(())
    }

    /// Memory and disk are not those of one checkpoint: there is nothing from which the node could go on.
    fn state_unusable(&mut self, rules: &Rules, effects: &mut Effects) {
        if self.common.failover == Failover::Relaunch && rules.relaunch == Relaunch::AfterSuccess {
            return;
        }
        match (rules.failed_load, self.phase) {
            _ if self.awaits_initial_state() => self.fail(effects),
            (FailedLoad::Fatal, _) => self.fail(effects),
            // What is in hand ends first.
            (FailedLoad::Forgotten, SecondaryPhase::TakingOver) if self.common.pending.is_some() => {}
            (FailedLoad::Forgotten, SecondaryPhase::TakingOver) => self.seek_promotion(rules, effects),
            (FailedLoad::Forgotten, SecondaryPhase::Alone) => {}
            (FailedLoad::Forgotten, _) => {
                self.common.close_link(effects);
                self.leave_with_error(effects);
            }
        }
    }

    /// Whether there is no VM yet: the initial state is being loaded, perhaps for a failover that waits for it.
    fn awaits_initial_state(&self) -> bool {
        let waits = self.common.failover == Failover::Relaunch && self.checkpoint == self.loaded;
        self.phase == SecondaryPhase::Incoming || (waits && self.phase == SecondaryPhase::TakingOver)
    }

    /// The node stops for good: it can never take over.
    fn fail(&mut self, effects: &mut Effects) {
        self.phase = SecondaryPhase::Failed;
        self.common.failover = Failover::None;
        self.common.close_link(effects);
        self.common.exit(effects, ExitReason::Error);
    }

    fn lost_heartbeat(&mut self, effects: &mut Effects) -> Result<(), ProtocolError> {
        if matches!(self.phase, SecondaryPhase::Incoming | SecondaryPhase::Alone) || self.is_over() {
            return Err(ProtocolError::NotInColoMode { state: self.phase.name() });
        }
        if self.common.failover != Failover::None {
            return Err(ProtocolError::FailoverAlreadyActivated);
        }
        self.common.require_failover(effects);
        Ok(())
    }

    /// A replacement that has nothing yet has nobody to wait for.
    fn peer_silent(&mut self, rules: &Rules, effects: &mut Effects) {
        let watches = rules.detection == Detection::Timeout && self.common.failover == Failover::None;
        if !watches || self.is_over() {
            return;
        }
        if self.is_empty() {
            self.fail(effects);
        } else {
            self.fail_over(rules, effects);
        }
    }

    /// The node comes to the failover that it has accepted; it may have failed or powered off since.
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

    /// Takes over: at once from the checkpoint that is loaded, or when the one in hand has been applied.
    fn fail_over(&mut self, rules: &Rules, effects: &mut Effects) {
        self.common.close_link(effects);
        self.common.failover = Failover::Active;
        let before = self.phase;
        self.phase = SecondaryPhase::TakingOver;
        if must_wait(rules, before) {
            self.common.failover = Failover::Relaunch;
            return;
        }
        if before == SecondaryPhase::WaitLock && rules.unloaded == UnloadedCheckpoint::LoadedAnyway {
            self.common.fail_over_disk(effects);
            return;
        }
        self.discard_staged(effects);
        if before != SecondaryPhase::Suspending {
            self.seek_promotion(rules, effects);
        }
    }

    /// The node serves alone, if it need not ask first. What is in hand ends before that.
    fn seek_promotion(&mut self, rules: &Rules, effects: &mut Effects) {
        self.common.failover = Failover::Active;
        match rules.fencing {
            Fencing::None => self.promote(rules, effects),
            Fencing::Arbiter if self.common.pending.is_some() => {}
            Fencing::Arbiter => self.common.ask(effects, Effect::AskArbiter),
        }
    }

    fn arbiter_answered(
        &mut self,
        rules: &Rules,
        answer: Input,
        effects: &mut Effects,
    ) -> Result<(), ProtocolError> {
        self.common.end(answer.kind(), self.phase.name())?;
        if self.is_over() {
            return Ok(());
        }
        if answer == Input::ArbiterGranted {
            self.promote(rules, effects);
        } else {
            self.phase = SecondaryPhase::Fenced;
            self.common.halt(effects);
        }
        Ok(())
    }

    fn promote(&mut self, rules: &Rules, effects: &mut Effects) {
        self.phase = SecondaryPhase::Alone;
        self.common.take_over(rules, effects);
    }

    /// Throws away the checkpoint in hand, if there is one.
    fn discard_staged(&mut self, effects: &mut Effects) {
        if self.checkpoint != self.loaded {
            effects.push(Effect::DiscardStaged(self.checkpoint));
            self.checkpoint = self.loaded;
        }
    }

    fn link_down(&mut self, rules: &Rules, effects: &mut Effects) {
        self.common.link_lost();
        if !self.phase.in_session() {
            return;
        }
        match rules.detection {
            Detection::External | Detection::Timeout => self.peer_lost(effects),
            Detection::LinkClosed if self.is_empty() => self.fail(effects),
            Detection::LinkClosed => self.fail_over(rules, effects),
        }
    }

    /// Nothing more will come. What is being loaded is loaded first: it may be promised already, and half of it is
    /// no VM. The end of the load finds the link gone.
    fn peer_lost(&mut self, effects: &mut Effects) {
        if self.is_empty() {
            return self.fail(effects);
        }
        let loading = matches!(
            self.phase,
            SecondaryPhase::Incoming
                | SecondaryPhase::Suspending
                | SecondaryPhase::WaitLock
                | SecondaryPhase::Loading
        );
        if !loading {
            self.leave_with_error(effects);
        }
    }

    /// Out of COLO, with the checkpoint that is loaded; what is staged is not whole.
    fn leave_with_error(&mut self, effects: &mut Effects) {
        self.discard_staged(effects);
        self.phase = SecondaryPhase::Error;
        self.common.exit(effects, ExitReason::Error);
    }
}

/// Whether a failover in this phase waits for the end of what is being loaded. Of the initial state it always
/// does: there is no VM before it.
fn must_wait(rules: &Rules, phase: SecondaryPhase) -> bool {
    match phase {
        SecondaryPhase::Incoming => true,
        SecondaryPhase::WaitLock => rules.deferral == FailoverDeferral::FromReceived,
        SecondaryPhase::Loading => rules.deferral != FailoverDeferral::Never,
        _ => false,
    }
}
