//! What a state machine asks of its environment.
//!
//! The contract. Effects are carried out one at a time, in the order in which they were asked for. Most are done when
//! they have been carried out. An [`Operation`] is only begun then; its end is told by an input, and effects of later
//! steps do not wait for it. Closing the link overtakes: see [`crate::EffectQueue`].

use crate::error::ProtocolError;
use crate::message::{Message, MessageKind};
use crate::output::{CheckpointNumber, OutputOffset};
use arrayvec::ArrayVec;
use core::fmt;

/// Why a node left the COLO state: the reason in QEMU's event `COLO_EXIT`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ExitReason {
    /// A failover was asked for and has completed.
    Request,
    /// An error, or the loss of the link.
    Error,
}

impl ExitReason {
    /// QEMU's word for it (`COLOExitReason`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Error => "error",
        }
    }
}

/// Work that takes time, of which a node has at most one in hand. An input tells its end ([`crate::InputKind::ends`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Operation {
    /// Stop the VM's execution.
    SuspendVm,
    /// Capture the state of the suspended VM.
    SaveState,
    /// Put on the link what of the RAM was written since it was sent last, while the VM executes.
    SendRound,
    /// Put the captured RAM on the link.
    SendRam,
    /// Put the captured device state on the link.
    SendDeviceState,
    /// Take the lock on the VM.
    LockVm,
    /// Apply the staged state to the VM.
    LoadState,
    /// Ask the arbiter for the right to serve alone.
    AskArbiter,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 8] = [
        Self::SuspendVm,
        Self::SaveState,
        Self::SendRound,
        Self::SendRam,
        Self::SendDeviceState,
        Self::LockVm,
        Self::LoadState,
        Self::AskArbiter,
    ];

    /// The operation that this effect begins, if it begins one.
    pub fn of(effect: EffectKind) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.effect() == effect)
    }

    /// The effect that begins it.
    pub const fn effect(self) -> EffectKind {
        match self {
            Self::SuspendVm => EffectKind::SuspendVm,
            Self::SaveState => EffectKind::SaveState,
            Self::SendRound => EffectKind::SendRound,
            Self::SendRam => EffectKind::SendRam,
            Self::SendDeviceState => EffectKind::SendDeviceState,
            Self::LockVm => EffectKind::LockVm,
            Self::LoadState => EffectKind::LoadState,
            Self::AskArbiter => EffectKind::AskArbiter,
        }
    }

    /// Whether it ends, without an input, when the link goes down or is closed.
    pub const fn needs_link(self) -> bool {
        matches!(self, Self::SendRound | Self::SendRam | Self::SendDeviceState)
    }
}

/// One thing that a node's environment is to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Effect {
    /// Put a COLO message on the link.
    Send(Message),
    /// Stop the VM's execution; ends with vm-suspended.
    SuspendVm,
    /// Capture RAM, registers and devices of the suspended VM; ends with state-saved or save-failed.
    SaveState(CheckpointNumber),
    /// Put on the link what of the executing VM's RAM was written since it was sent last: a round of pre-copy. It belongs
    /// to the RAM of this checkpoint, whose rest comes behind; ends with round-sent.
    SendRound(CheckpointNumber),
    /// Put the captured RAM on the link; ends with ram-sent.
    SendRam(CheckpointNumber),
    /// Put the captured device state on the link; ends with device-state-sent.
    SendDeviceState(CheckpointNumber),
    /// Take the lock on the VM; ends with vm-locked.
    LockVm,
    /// Apply the staged state, RAM and devices, to the VM; ends with state-loaded or load-failed.
    LoadState(CheckpointNumber),
    /// Apply the staged RAM to the VM, without the devices.
    ApplyRam(CheckpointNumber),
    /// Throw away what has been staged of this checkpoint.
    DiscardStaged(CheckpointNumber),
    /// Let the VM execute (again).
    ResumeVm,
    /// Give the world the withheld output that stands before this offset.
    Release(OutputOffset),
    /// Give the world the unit of output before this offset, past what is withheld before it.
    ReleaseUncompared(OutputOffset),
    /// Give the primary's comparison this node's output up to here (QEMU: a filter-redirector).
    RedirectOutput(OutputOffset),
    /// The comparison forgets what the secondary sent so far: its VM is another one now.
    ForgetPeerOutput,
    /// Disk: a primary's writes go to the secondary from now on too; a secondary holds them back from its VM.
    StartReplication,
    /// Disk: what the primary has written so far is what the secondary's VM sees from now on.
    CheckpointDisk(CheckpointNumber),
    /// Disk: what the primary had written at this checkpoint, and nothing later, is what the secondary's VM sees.
    CommitDiskEpoch(CheckpointNumber),
    /// Disk: go on without the peer. A primary stops replicating; a secondary makes what its VM sees its disk.
    FailOverDisk,
    /// Reset the VM: it begins anew with its next instruction.
    ResetVm,
    /// Power the VM off.
    ShutDown,
    /// Tell checkpoint-due after this many milliseconds.
    ArmCheckpointTimer {
        /// The delay, milliseconds.
        delay_ms: u32,
    },
    /// Come to the failover that was accepted, before anything else that waits (QEMU: a bottom half of the main loop).
    BeginFailover,
    /// Close both directions of the link at once, also under a send that is stuck.
    CloseLink,
    /// Ask the arbiter, which gives it to one node only, for the right to serve alone; ends with arbiter-granted or
    /// arbiter-denied.
    AskArbiter,
    /// Stop the VM for good: the peer serves, or the VM is not fit to. What waits is not done any more.
    Halt,
    /// From now on this node is the one that serves: its promotion.
    TakeOver,
    /// Tell the manager that the node has left the COLO state (QEMU's event `COLO_EXIT`).
    Exit(ExitReason),
}

/// [`Effect`] without what it carries, but for a message's kind: what points and tables name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[allow(missing_docs, reason = "each is the effect of the same name")]
pub enum EffectKind {
    Send(MessageKind),
    SuspendVm,
    SaveState,
    SendRound,
    SendRam,
    SendDeviceState,
    LockVm,
    LoadState,
    ApplyRam,
    DiscardStaged,
    ResumeVm,
    Release,
    ReleaseUncompared,
    RedirectOutput,
    ForgetPeerOutput,
    StartReplication,
    CheckpointDisk,
    CommitDiskEpoch,
    FailOverDisk,
    ResetVm,
    ShutDown,
    ArmCheckpointTimer,
    BeginFailover,
    CloseLink,
    AskArbiter,
    Halt,
    TakeOver,
    Exit,
}

impl Effect {
    /// The effect without what it carries.
    pub const fn kind(self) -> EffectKind {
        match self {
            Self::Send(message) => EffectKind::Send(message.kind()),
            Self::SuspendVm => EffectKind::SuspendVm,
            Self::SaveState(_) => EffectKind::SaveState,
            Self::SendRound(_) => EffectKind::SendRound,
            Self::SendRam(_) => EffectKind::SendRam,
            Self::SendDeviceState(_) => EffectKind::SendDeviceState,
            Self::LockVm => EffectKind::LockVm,
            Self::LoadState(_) => EffectKind::LoadState,
            Self::ApplyRam(_) => EffectKind::ApplyRam,
            Self::DiscardStaged(_) => EffectKind::DiscardStaged,
            Self::ResumeVm => EffectKind::ResumeVm,
            Self::Release(_) => EffectKind::Release,
            Self::ReleaseUncompared(_) => EffectKind::ReleaseUncompared,
            Self::RedirectOutput(_) => EffectKind::RedirectOutput,
            Self::ForgetPeerOutput => EffectKind::ForgetPeerOutput,
            Self::StartReplication => EffectKind::StartReplication,
            Self::CheckpointDisk(_) => EffectKind::CheckpointDisk,
            Self::CommitDiskEpoch(_) => EffectKind::CommitDiskEpoch,
            Self::FailOverDisk => EffectKind::FailOverDisk,
            Self::ResetVm => EffectKind::ResetVm,
            Self::ShutDown => EffectKind::ShutDown,
            Self::ArmCheckpointTimer { .. } => EffectKind::ArmCheckpointTimer,
            Self::BeginFailover => EffectKind::BeginFailover,
            Self::CloseLink => EffectKind::CloseLink,
            Self::AskArbiter => EffectKind::AskArbiter,
            Self::Halt => EffectKind::Halt,
            Self::TakeOver => EffectKind::TakeOver,
            Self::Exit(_) => EffectKind::Exit,
        }
    }

    /// The number that it carries, if it carries one: a checkpoint, an offset, a length, a delay.
    pub const fn value(self) -> Option<u64> {
        match self {
            Self::Send(message) => message.value(),
            Self::SaveState(checkpoint)
            | Self::SendRound(checkpoint)
            | Self::SendRam(checkpoint)
            | Self::SendDeviceState(checkpoint)
            | Self::LoadState(checkpoint)
            | Self::ApplyRam(checkpoint)
            | Self::CheckpointDisk(checkpoint)
            | Self::CommitDiskEpoch(checkpoint)
            | Self::DiscardStaged(checkpoint) => Some(checkpoint.0),
            Self::Release(up_to) | Self::ReleaseUncompared(up_to) | Self::RedirectOutput(up_to) => {
                Some(up_to.0)
            }
            Self::ArmCheckpointTimer { delay_ms } => Some(delay_ms as u64),
            _ => None,
        }
    }

    /// The operation that carrying the effect out begins, if it begins one.
    pub const fn operation(self) -> Option<Operation> {
        match self {
            Self::SuspendVm => Some(Operation::SuspendVm),
            Self::SaveState(_) => Some(Operation::SaveState),
            Self::SendRound(_) => Some(Operation::SendRound),
            Self::SendRam(_) => Some(Operation::SendRam),
            Self::SendDeviceState(_) => Some(Operation::SendDeviceState),
            Self::LockVm => Some(Operation::LockVm),
            Self::LoadState(_) => Some(Operation::LoadState),
            Self::AskArbiter => Some(Operation::AskArbiter),
            _ => None,
        }
    }

    /// The same effect with its checkpoint's number, if it carries one, less by `by`.
    pub(crate) const fn renumbered(self, by: u64) -> Self {
        match self {
            Self::SaveState(checkpoint) => Self::SaveState(checkpoint.less(by)),
            Self::SendRound(checkpoint) => Self::SendRound(checkpoint.less(by)),
            Self::SendRam(checkpoint) => Self::SendRam(checkpoint.less(by)),
            Self::SendDeviceState(checkpoint) => Self::SendDeviceState(checkpoint.less(by)),
            Self::LoadState(checkpoint) => Self::LoadState(checkpoint.less(by)),
            Self::ApplyRam(checkpoint) => Self::ApplyRam(checkpoint.less(by)),
            Self::DiscardStaged(checkpoint) => Self::DiscardStaged(checkpoint.less(by)),
            Self::CheckpointDisk(checkpoint) => Self::CheckpointDisk(checkpoint.less(by)),
            Self::CommitDiskEpoch(checkpoint) => Self::CommitDiskEpoch(checkpoint.less(by)),
            other => other,
        }
    }

    /// Whether it does something to the disk: carrying it out may end with disk-failed.
    pub const fn is_of_the_disk(self) -> bool {
        matches!(
            self,
            Self::StartReplication | Self::CheckpointDisk(_) | Self::CommitDiskEpoch(_) | Self::FailOverDisk
        )
    }

    /// Whether it means nothing without a link.
    pub const fn needs_link(self) -> bool {
        match self.operation() {
            Some(operation) => operation.needs_link(),
            None => matches!(self, Self::Send(_) | Self::RedirectOutput(_)),
        }
    }
}

impl EffectKind {
    /// Every kind but the messages.
    const PLAIN: [Self; 27] = [
        Self::SuspendVm,
        Self::SaveState,
        Self::SendRound,
        Self::SendRam,
        Self::SendDeviceState,
        Self::LockVm,
        Self::LoadState,
        Self::ApplyRam,
        Self::DiscardStaged,
        Self::ResumeVm,
        Self::Release,
        Self::ReleaseUncompared,
        Self::RedirectOutput,
        Self::ForgetPeerOutput,
        Self::StartReplication,
        Self::CheckpointDisk,
        Self::CommitDiskEpoch,
        Self::FailOverDisk,
        Self::ResetVm,
        Self::ShutDown,
        Self::ArmCheckpointTimer,
        Self::BeginFailover,
        Self::CloseLink,
        Self::AskArbiter,
        Self::Halt,
        Self::TakeOver,
        Self::Exit,
    ];

    /// Every kind: the messages by number, then the rest.
    pub fn all() -> impl Iterator<Item = Self> {
        MessageKind::ALL.into_iter().map(Self::Send).chain(Self::PLAIN)
    }

    /// The kind's name: a message's is QEMU's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Send(kind) => kind.name(),
            Self::SuspendVm => "suspend-vm",
            Self::SaveState => "save-state",
            Self::SendRound => "send-round",
            Self::SendRam => "send-ram",
            Self::SendDeviceState => "send-device-state",
            Self::LockVm => "lock-vm",
            Self::LoadState => "load-state",
            Self::ApplyRam => "apply-ram",
            Self::DiscardStaged => "discard-staged",
            Self::ResumeVm => "resume-vm",
            Self::Release => "release",
            Self::ReleaseUncompared => "release-uncompared",
            Self::RedirectOutput => "redirect-output",
            Self::ForgetPeerOutput => "forget-peer-output",
            Self::StartReplication => "start-replication",
            Self::CheckpointDisk => "checkpoint-disk",
            Self::CommitDiskEpoch => "commit-disk-epoch",
            Self::FailOverDisk => "fail-over-disk",
            Self::ResetVm => "reset-vm",
            Self::ShutDown => "shut-down",
            Self::ArmCheckpointTimer => "arm-checkpoint-timer",
            Self::BeginFailover => "begin-failover",
            Self::CloseLink => "close-link",
            Self::AskArbiter => "ask-arbiter",
            Self::Halt => "halt",
            Self::TakeOver => "take-over",
            Self::Exit => "colo-exit",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for EffectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(message) => message.fmt(f),
            Self::SaveState(checkpoint)
            | Self::SendRound(checkpoint)
            | Self::SendRam(checkpoint)
            | Self::SendDeviceState(checkpoint)
            | Self::LoadState(checkpoint)
            | Self::ApplyRam(checkpoint)
            | Self::CheckpointDisk(checkpoint)
            | Self::CommitDiskEpoch(checkpoint)
            | Self::DiscardStaged(checkpoint) => write!(f, "{} {checkpoint}", self.kind()),
            Self::Release(up_to) | Self::ReleaseUncompared(up_to) | Self::RedirectOutput(up_to) => {
                write!(f, "{} {up_to}", self.kind())
            }
            Self::ArmCheckpointTimer { delay_ms } => write!(f, "arm-checkpoint-timer {delay_ms}"),
            Self::Exit(reason) => write!(f, "colo-exit {}", reason.name()),
            _ => self.kind().fmt(f),
        }
    }
}

/// The effects of one step, in order, inline.
pub type Effects = ArrayVec<Effect, 8>;

/// What one input led to. An error comes with effects too: the node says that it has left COLO and closes the link.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Step {
    /// What the environment is to do, in order.
    pub effects: Effects,
    /// What was wrong with the input, if anything was.
    pub error: Option<ProtocolError>,
}
