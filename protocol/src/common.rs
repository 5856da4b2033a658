//! What both machines keep of their node, whatever the phase: the link, the VM, the operation in hand, the output.
//!
//! Bookkeeping that keeps effects and state together. What differs between rules or roles is decided in the machines;
//! here is only what a promotion, a reset, an end of a session always is.

use crate::effect::{Effect, Effects, ExitReason, Operation};
use crate::error::ProtocolError;
use crate::failover::Failover;
use crate::input::InputKind;
use crate::output::{OutputOffset, WithheldOutput};
use crate::rules::Rules;

/// The state that primary and secondary have in common.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, and all combinations occur")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Common {
    pub(crate) link_open: bool,
    pub(crate) vm_running: bool,
    pub(crate) exited: bool,
    pub(crate) disk_failed_over: bool,
    /// The VM is to be reset before it executes again.
    pub(crate) reset: bool,
    pub(crate) failover: Failover,
    /// The operation in hand: asked for, and its end not yet told.
    pub(crate) pending: Option<Operation>,
    pub(crate) output: WithheldOutput,
}

impl Common {
    /// A node whose VM is suspended, with an open link.
    pub(crate) fn new(pending: Option<Operation>) -> Self {
        Self {
            link_open: true,
            vm_running: false,
            exited: false,
            disk_failed_over: false,
            reset: false,
            failover: Failover::None,
            pending,
            output: WithheldOutput::default(),
        }
    }

    /// The same node, its output as it is, at the beginning of another session with another peer: the VM is about to
    /// be suspended.
    pub(crate) fn in_new_session(self) -> Self {
        Self { output: self.output, ..Self::new(None) }
    }

    /// Asks for an effect; if it is an operation it is now in hand.
    pub(crate) fn ask(&mut self, effects: &mut Effects, effect: Effect) {
        if let Some(operation) = effect.operation() {
            assert!(self.pending.is_none(), "{operation:?} asked for while {:?} is in hand", self.pending);
            self.pending = Some(operation);
        }
        effects.push(effect);
    }

    /// An operation has ended. An error if it is not the one in hand.
    pub(crate) fn end(&mut self, input: InputKind, state: &'static str) -> Result<(), ProtocolError> {
        if self.pending.is_none() || input.ends() != self.pending {
            return Err(ProtocolError::UnexpectedInput { input, state });
        }
        self.pending = None;
        Ok(())
    }

    /// Whether the VM executes, or has not been suspended yet.
    pub(crate) fn vm_may_execute(&self) -> bool {
        self.vm_running || self.pending == Some(Operation::SuspendVm)
    }

    /// The VM may still send output until its suspension has ended; the machine counts it.
    pub(crate) fn guest_output(
        &mut self,
        end: OutputOffset,
        state: &'static str,
    ) -> Result<(), ProtocolError> {
        if !self.vm_may_execute() {
            return Err(ProtocolError::UnexpectedInput { input: InputKind::GuestOutput, state });
        }
        let produced = self.output.produced();
        if self.output.produce(end) { Ok(()) } else { Err(ProtocolError::OutputWentBack { end, produced }) }
    }

    /// The link is gone: an operation that needs it has ended without an input.
    pub(crate) fn link_lost(&mut self) {
        self.link_open = false;
        if self.pending.is_some_and(Operation::needs_link) {
            self.pending = None;
        }
    }

    /// Closes the link, unless it is gone already.
    pub(crate) fn close_link(&mut self, effects: &mut Effects) {
        if self.link_open {
            self.link_lost();
            effects.push(Effect::CloseLink);
        }
    }

    pub(crate) fn suspend_vm(&mut self, effects: &mut Effects) {
        self.vm_running = false;
        self.ask(effects, Effect::SuspendVm);
    }

    /// Lets the VM execute, unless it does already.
    pub(crate) fn resume_vm(&mut self, effects: &mut Effects) {
        if self.vm_running {
            return;
        }
        self.vm_running = true;
        if core::mem::take(&mut self.reset) {
            effects.push(Effect::ResetVm);
        }
        effects.push(Effect::ResumeVm);
    }

    /// The VM is to begin anew: at once, or when it executes again. A suspended one is what a checkpoint is made of,
    /// and stays as it is.
    pub(crate) fn reset_vm(&mut self, effects: &mut Effects) {
        if self.vm_running {
            effects.push(Effect::ResetVm);
        } else {
            self.reset = true;
        }
    }

    /// A failover has been accepted, and begins as soon as the node comes to it.
    pub(crate) fn require_failover(&mut self, effects: &mut Effects) {
        self.failover = Failover::Require;
        effects.push(Effect::BeginFailover);
    }

    /// Tells the manager, once, that the node has left COLO (QEMU emits `COLO_EXIT` once per session).
    pub(crate) fn exit(&mut self, effects: &mut Effects, reason: ExitReason) {
        if !self.exited {
            self.exited = true;
            effects.push(Effect::Exit(reason));
        }
    }

    /// This node never serves again: the arbiter has chosen the peer, or there is no VM that could.
    pub(crate) fn halt(&mut self, effects: &mut Effects) {
        self.vm_running = false;
        self.failover = Failover::None;
        effects.push(Effect::Halt);
        self.exit(effects, ExitReason::Error);
    }

    /// Promotion: from here on this node serves alone, and withholds nothing.
    pub(crate) fn take_over(&mut self, rules: &Rules, effects: &mut Effects) {
        assert!(!self.link_open, "the link is closed before a promotion");
        self.failover = Failover::Completed;
        self.fail_over_disk(effects);
        effects.push(Effect::TakeOver);
        effects.push(Effect::Release(self.output.release_all()));
        self.resume_vm(effects);
        self.exit(effects, rules.reason_of_completion());
    }

    /// The disk goes on without the peer, from now on and for good.
    pub(crate) fn fail_over_disk(&mut self, effects: &mut Effects) {
        if !self.disk_failed_over {
            self.disk_failed_over = true;
            effects.push(Effect::FailOverDisk);
        }
    }
}
