//! The secondary: stages each checkpoint whole, applies it in one piece, and takes over when the primary is gone.
//!
//! Source: `colo_process_incoming_thread` and `colo_incoming_process_checkpoint` in QEMU, `secondary_vm_do_failover`
//! for the failover; phases S0 to S7 are those of the protocol book.

use crate::Failover;
use crate::common::Common;
use crate::effect::{Effect, Effects, ExitReason, Operation, Step};
use crate::error::ProtocolError;
use crate::input::Input;
use crate::message::{Message, MessageKind};
use crate::output::{CheckpointNumber, OutputOffset, WithheldOutput};
use crate::rules::{Detection, FailoverDeferral, Fencing, Rules};

/// Where the secondary stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum SecondaryPhase {
    /// S0: the initial state is being loaded; not protected yet.
    Incoming,
    /// S1: up to date with the latest checkpoint, waits for the next.
    WaitRequest,
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
}

impl SecondaryPhase {
    /// Every phase.
    pub const ALL: [Self; 13] = [
        Self::Incoming,
        Self::WaitRequest,
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
    ];

    /// The phase's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::WaitRequest => "wait-request",
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

    /// Whether the node is in COLO: protected, or on the way there.
    const fn in_session(self) -> bool {
        !matches!(self, Self::Error | Self::TakingOver | Self::Alone | Self::Failed | Self::Fenced)
    }
}

/// The secondary's state machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
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

    /// How far a failover has come.
    pub const fn failover(&self) -> Failover {
        self.common.failover
    }

    /// The marks in the output stream.
    pub const fn output(&self) -> WithheldOutput {
        self.common.output
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
            Input::Message(message) => self.message(message, effects),
            Input::RamReceived if self.phase == SecondaryPhase::ReceivingRam => {
                self.phase = SecondaryPhase::WaitSize;
                Ok(())
            }
            Input::DeviceStateReceived if self.phase == SecondaryPhase::ReceivingDeviceState => {
                self.state_received(rules, effects);
                Ok(())
            }
            // What was on its way when the VM was halted.
            Input::GuestOutput { .. } if self.phase == SecondaryPhase::Fenced => Ok(()),
            Input::GuestOutput { end } => {
                self.common.guest_output(end, self.phase.name())?;
                effects.push(Effect::Release(self.common.output.release_all()));
                Ok(())
            }
            Input::LostHeartbeat => self.lost_heartbeat(rules, effects),
            Input::PeerSilent => {
                self.peer_silent(rules, effects);
                Ok(())
            }
            Input::ArbiterGranted | Input::ArbiterDenied => self.arbiter_answered(input, effects),
            Input::BadStream => Err(ProtocolError::BadStream { state: self.phase.name() }),
            Input::LinkDown => {
                self.link_down(rules, effects);
                Ok(())
            }
            Input::VmLocked => self.locked(rules, effects),
            Input::StateLoaded { output } => self.state_loaded(rules, output, effects),
            Input::LoadFailed => self.load_failed(effects),
            _ => Err(ProtocolError::UnexpectedInput { input: input.kind(), state: self.phase.name() }),
        }
    }

    fn message(&mut self, message: Message, effects: &mut Effects) -> Result<(), ProtocolError> {
        let (got, expected) = (message.kind(), self.phase.expected());
        if expected != Some(got) {
            return Err(ProtocolError::UnexpectedMessage { got, expected });
        }
        match self.phase {
            SecondaryPhase::WaitRequest => {
                self.checkpoint = self.checkpoint.next();
                self.phase = SecondaryPhase::WaitSend;
                effects.push(Effect::Send(Message::CheckpointReply));
            }
            SecondaryPhase::WaitSend => self.phase = SecondaryPhase::ReceivingRam,
            _ => self.phase = SecondaryPhase::ReceivingDeviceState,
        }
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
        if self.phase == SecondaryPhase::Alone {
            return Ok(());
        }
        self.loaded = self.checkpoint;
        self.promised = self.checkpoint;
        self.common.output.restart_at(output);
        match self.phase {
            SecondaryPhase::TakingOver => self.seek_promotion(rules, effects),
            _ if !self.common.link_open => self.leave_with_error(effects),
            SecondaryPhase::Incoming => self.ready_for_next(Message::CheckpointReady, effects),
            _ => self.ready_for_next(Message::VmstateLoaded, effects),
        }
        Ok(())
    }

    fn ready_for_next(&mut self, message: Message, effects: &mut Effects) {
        self.phase = SecondaryPhase::WaitRequest;
        effects.push(Effect::Send(message));
    }

    /// The VM is half of one checkpoint and half of another: the node stops for good.
    fn load_failed(&mut self, effects: &mut Effects) -> Result<(), ProtocolError> {
        self.common.end(Input::LoadFailed.kind(), self.phase.name())?;
        self.phase = SecondaryPhase::Failed;
        self.common.close_link(effects);
        self.common.exit(effects, ExitReason::Error);
        Ok(())
    }

    fn lost_heartbeat(&mut self, rules: &Rules, effects: &mut Effects) -> Result<(), ProtocolError> {
        if matches!(self.phase, SecondaryPhase::Incoming | SecondaryPhase::Failed) {
            return Err(ProtocolError::NotInColoMode { state: self.phase.name() });
        }
        if self.common.failover != Failover::None {
            return Err(ProtocolError::FailoverAlreadyActivated);
        }
        self.fail_over(rules, effects);
        Ok(())
    }

    fn peer_silent(&mut self, rules: &Rules, effects: &mut Effects) {
        let may_serve = self.phase != SecondaryPhase::Failed;
        if rules.detection == Detection::Timeout && self.common.failover == Failover::None && may_serve {
            self.fail_over(rules, effects);
        }
    }

    /// Takes over: at once from the checkpoint that is loaded, or when the one in hand has been applied.
    fn fail_over(&mut self, rules: &Rules, effects: &mut Effects) {
        self.common.close_link(effects);
        self.common.failover = Failover::Deferred;
        let must_wait = self.must_wait(rules);
        self.phase = SecondaryPhase::TakingOver;
        if !must_wait {
            self.discard_staged(effects);
            self.seek_promotion(rules, effects);
        }
    }

    /// The node serves alone, if it need not ask first. What is in hand ends before that.
    fn seek_promotion(&mut self, rules: &Rules, effects: &mut Effects) {
        match rules.fencing {
            Fencing::None => self.promote(effects),
            Fencing::Arbiter if self.common.pending.is_some() => {}
            Fencing::Arbiter => self.common.ask(effects, Effect::AskArbiter),
        }
    }

    fn arbiter_answered(&mut self, answer: Input, effects: &mut Effects) -> Result<(), ProtocolError> {
        self.common.end(answer.kind(), self.phase.name())?;
        if answer == Input::ArbiterGranted {
            self.promote(effects);
        } else {
            self.phase = SecondaryPhase::Fenced;
            self.common.give_up(effects);
        }
        Ok(())
    }

    /// Whether a failover waits for the end of what is being loaded. Of the initial state it always does: there is
    /// no VM before it.
    fn must_wait(&self, rules: &Rules) -> bool {
        match self.phase {
            SecondaryPhase::Incoming => true,
            SecondaryPhase::WaitLock => rules.deferral == FailoverDeferral::FromReceived,
            SecondaryPhase::Loading => rules.deferral != FailoverDeferral::Never,
            _ => false,
        }
    }

    fn promote(&mut self, effects: &mut Effects) {
        self.phase = SecondaryPhase::Alone;
        self.common.take_over(effects);
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
            Detection::LinkClosed => self.fail_over(rules, effects),
        }
    }

    /// Nothing more will come. What is being loaded is loaded first: it may be promised already, and half of it is
    /// no VM. The end of the load finds the link gone.
    fn peer_lost(&mut self, effects: &mut Effects) {
        let loading = matches!(
            self.phase,
            SecondaryPhase::Incoming | SecondaryPhase::WaitLock | SecondaryPhase::Loading
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
