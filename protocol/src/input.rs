//! What a node's environment tells its state machine.

use crate::effect::Operation;
use crate::message::{Message, MessageKind};
use crate::output::OutputOffset;
use core::fmt;

/// One thing that has happened to a node. Inputs are given one at a time, in the order in which they happened there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Input {
    /// A COLO message has come from the peer.
    Message(Message),
    /// The VM no longer executes, and all output that it produced before has been told ([`Effect::SuspendVm`] ended).
    ///
    /// [`Effect::SuspendVm`]: crate::Effect::SuspendVm
    VmSuspended,
    /// The suspended VM's state has been captured; its device part has this many bytes.
    StateSaved {
        /// Length of the device state, bytes.
        device_bytes: u64,
    },
    /// The VM's state cannot be captured.
    SaveFailed,
    /// A round of pre-copy is on the link.
    RoundSent,
    /// The RAM of the checkpoint is on the link.
    RamSent,
    /// The device state of the checkpoint is on the link.
    DeviceStateSent,
    /// The RAM of the checkpoint has arrived, whole, and is staged.
    RamReceived,
    /// The device state has arrived, whole, and is staged.
    DeviceStateReceived,
    /// The lock on the VM is held (QEMU's big lock, which the network task takes before it loads).
    VmLocked,
    /// The VM is, whole, the one of the checkpoint.
    StateLoaded {
        /// The end of the output that the loaded state has produced.
        output: OutputOffset,
    },
    /// The staged state cannot be applied; the VM is no longer usable.
    LoadFailed,
    /// The checkpoint timer has run out, or the delay was changed, upon which QEMU takes a checkpoint at once.
    CheckpointDue,
    /// The VM has sent output up to `end`.
    GuestOutput {
        /// The end of the node's output stream.
        end: OutputOffset,
    },
    /// The VM has sent output up to `end`, of which the last unit is of a kind that the comparison does not know
    /// (to QEMU: ARP, IPv6, VLAN).
    UncomparedOutput {
        /// The end of the node's output stream.
        end: OutputOffset,
    },
    /// The comparison has found both VMs' output the same up to here.
    OutputsMatch {
        /// The end of what is the same.
        end: OutputOffset,
    },
    /// The comparison has found that the VMs' output differs.
    OutputsDiffer,
    /// Output has waited for its like from the secondary for too long.
    OutputHeldTooLong,
    /// The guest wants to power off.
    GuestShutdown,
    /// The guest, or an operator, wants the VM to be reset.
    GuestReset,
    /// What was to be done to the disk, of the effect carried out last, cannot be done.
    DiskFailed,
    /// The peer does not have the capability x-colo: the pair cannot be protected.
    CapabilityMissing,
    /// The manager's command x-colo-lost-heartbeat: the peer is taken for dead, go on alone.
    LostHeartbeat,
    /// begin-failover has been carried out: the main loop has come to it. [`Node`] gives it by itself.
    ///
    /// [`Node`]: crate::Node
    FailoverBegins,
    /// A replacement is at the other end of a new link: a survivor is to be the primary of a new pair with it.
    Protect,
    /// Nothing has been heard of the peer for as long as the node's patience lasts. Only rules with detection by
    /// timeout make anything of it.
    PeerSilent,
    /// The arbiter has given this node the right to serve alone; no other node will ever get it.
    ArbiterGranted,
    /// The arbiter has given the right to serve alone to the peer.
    ArbiterDenied,
    /// What comes over the link cannot be decoded, or cannot be this VM's state.
    BadStream,
    /// The link is gone. Nothing more will come from it, and what was being sent over it has ended without an input.
    LinkDown,
}

/// [`Input`] without what it carries: what points, tables and error texts name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[allow(missing_docs, reason = "each is the input of the same name")]
pub enum InputKind {
    Message(MessageKind),
    VmSuspended,
    StateSaved,
    SaveFailed,
    RoundSent,
    RamSent,
    DeviceStateSent,
    RamReceived,
    DeviceStateReceived,
    VmLocked,
    StateLoaded,
    LoadFailed,
    CheckpointDue,
    GuestOutput,
    UncomparedOutput,
    OutputsMatch,
    OutputsDiffer,
    OutputHeldTooLong,
    GuestShutdown,
    GuestReset,
    DiskFailed,
    CapabilityMissing,
    LostHeartbeat,
    FailoverBegins,
    Protect,
    PeerSilent,
    ArbiterGranted,
    ArbiterDenied,
    BadStream,
    LinkDown,
}

impl Input {
    /// The input of this kind; `value` is the number that it carries, and means nothing to those that carry none.
    pub const fn new(kind: InputKind, value: u64) -> Self {
        match kind {
            InputKind::Message(message) => Self::Message(Message::new(message, value)),
            InputKind::VmSuspended => Self::VmSuspended,
            InputKind::StateSaved => Self::StateSaved { device_bytes: value },
            InputKind::SaveFailed => Self::SaveFailed,
            InputKind::RoundSent => Self::RoundSent,
            InputKind::RamSent => Self::RamSent,
            InputKind::DeviceStateSent => Self::DeviceStateSent,
            InputKind::RamReceived => Self::RamReceived,
            InputKind::DeviceStateReceived => Self::DeviceStateReceived,
            InputKind::VmLocked => Self::VmLocked,
            InputKind::StateLoaded => Self::StateLoaded { output: OutputOffset(value) },
            InputKind::LoadFailed => Self::LoadFailed,
            InputKind::CheckpointDue => Self::CheckpointDue,
            InputKind::GuestOutput => Self::GuestOutput { end: OutputOffset(value) },
            InputKind::UncomparedOutput => Self::UncomparedOutput { end: OutputOffset(value) },
            InputKind::OutputsMatch => Self::OutputsMatch { end: OutputOffset(value) },
            InputKind::OutputsDiffer => Self::OutputsDiffer,
            InputKind::OutputHeldTooLong => Self::OutputHeldTooLong,
            InputKind::GuestShutdown => Self::GuestShutdown,
            InputKind::GuestReset => Self::GuestReset,
            InputKind::DiskFailed => Self::DiskFailed,
            InputKind::CapabilityMissing => Self::CapabilityMissing,
            InputKind::LostHeartbeat => Self::LostHeartbeat,
            InputKind::FailoverBegins => Self::FailoverBegins,
            InputKind::Protect => Self::Protect,
            InputKind::PeerSilent => Self::PeerSilent,
            InputKind::ArbiterGranted => Self::ArbiterGranted,
            InputKind::ArbiterDenied => Self::ArbiterDenied,
            InputKind::BadStream => Self::BadStream,
            InputKind::LinkDown => Self::LinkDown,
        }
    }

    /// The number that it carries, if it carries one.
    pub const fn value(self) -> Option<u64> {
        match self {
            Self::Message(message) => message.value(),
            Self::StateSaved { device_bytes } => Some(device_bytes),
            Self::StateLoaded { output } => Some(output.0),
            Self::GuestOutput { end } | Self::UncomparedOutput { end } | Self::OutputsMatch { end } => {
                Some(end.0)
            }
            _ => None,
        }
    }

    /// The input without what it carries.
    pub const fn kind(self) -> InputKind {
        match self {
            Self::Message(message) => InputKind::Message(message.kind()),
            Self::VmSuspended => InputKind::VmSuspended,
            Self::StateSaved { .. } => InputKind::StateSaved,
            Self::SaveFailed => InputKind::SaveFailed,
            Self::RoundSent => InputKind::RoundSent,
            Self::RamSent => InputKind::RamSent,
            Self::DeviceStateSent => InputKind::DeviceStateSent,
            Self::RamReceived => InputKind::RamReceived,
            Self::DeviceStateReceived => InputKind::DeviceStateReceived,
            Self::VmLocked => InputKind::VmLocked,
            Self::StateLoaded { .. } => InputKind::StateLoaded,
            Self::LoadFailed => InputKind::LoadFailed,
            Self::CheckpointDue => InputKind::CheckpointDue,
            Self::GuestOutput { .. } => InputKind::GuestOutput,
            Self::UncomparedOutput { .. } => InputKind::UncomparedOutput,
            Self::OutputsMatch { .. } => InputKind::OutputsMatch,
            Self::OutputsDiffer => InputKind::OutputsDiffer,
            Self::OutputHeldTooLong => InputKind::OutputHeldTooLong,
            Self::GuestShutdown => InputKind::GuestShutdown,
            Self::GuestReset => InputKind::GuestReset,
            Self::DiskFailed => InputKind::DiskFailed,
            Self::CapabilityMissing => InputKind::CapabilityMissing,
            Self::LostHeartbeat => InputKind::LostHeartbeat,
            Self::FailoverBegins => InputKind::FailoverBegins,
            Self::Protect => InputKind::Protect,
            Self::PeerSilent => InputKind::PeerSilent,
            Self::ArbiterGranted => InputKind::ArbiterGranted,
            Self::ArbiterDenied => InputKind::ArbiterDenied,
            Self::BadStream => InputKind::BadStream,
            Self::LinkDown => InputKind::LinkDown,
        }
    }
}

impl InputKind {
    /// Every kind but the messages.
    const PLAIN: [Self; 29] = [
        Self::VmSuspended,
        Self::StateSaved,
        Self::SaveFailed,
        Self::RoundSent,
        Self::RamSent,
        Self::DeviceStateSent,
        Self::RamReceived,
        Self::DeviceStateReceived,
        Self::VmLocked,
        Self::StateLoaded,
        Self::LoadFailed,
        Self::CheckpointDue,
        Self::GuestOutput,
        Self::UncomparedOutput,
        Self::OutputsMatch,
        Self::OutputsDiffer,
        Self::OutputHeldTooLong,
        Self::GuestShutdown,
        Self::GuestReset,
        Self::DiskFailed,
        Self::CapabilityMissing,
        Self::LostHeartbeat,
        Self::FailoverBegins,
        Self::Protect,
        Self::PeerSilent,
        Self::ArbiterGranted,
        Self::ArbiterDenied,
        Self::BadStream,
        Self::LinkDown,
    ];

    /// Every kind: the messages by number, then the rest.
    pub fn all() -> impl Iterator<Item = Self> {
        MessageKind::ALL.into_iter().map(Self::Message).chain(Self::PLAIN)
    }

    /// The kind's name: a message's is QEMU's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Message(kind) => kind.name(),
            Self::VmSuspended => "vm-suspended",
            Self::StateSaved => "state-saved",
            Self::SaveFailed => "save-failed",
            Self::RoundSent => "round-sent",
            Self::RamSent => "ram-sent",
            Self::DeviceStateSent => "device-state-sent",
            Self::RamReceived => "ram-received",
            Self::DeviceStateReceived => "device-state-received",
            Self::VmLocked => "vm-locked",
            Self::StateLoaded => "state-loaded",
            Self::LoadFailed => "load-failed",
            Self::CheckpointDue => "checkpoint-due",
            Self::GuestOutput => "guest-output",
            Self::UncomparedOutput => "uncompared-output",
            Self::OutputsMatch => "outputs-match",
            Self::OutputsDiffer => "outputs-differ",
            Self::OutputHeldTooLong => "output-held-too-long",
            Self::GuestShutdown => "guest-powers-off",
            Self::GuestReset => "guest-resets",
            Self::DiskFailed => "disk-failed",
            Self::CapabilityMissing => "capability-missing",
            Self::LostHeartbeat => "lost-heartbeat",
            Self::FailoverBegins => "failover-begins",
            Self::Protect => "protect",
            Self::PeerSilent => "peer-silent",
            Self::ArbiterGranted => "arbiter-granted",
            Self::ArbiterDenied => "arbiter-denied",
            Self::BadStream => "bad-stream",
            Self::LinkDown => "link-down",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.name() == name)
    }

    /// The operation that this input ends, if it ends one.
    pub const fn ends(self) -> Option<Operation> {
        match self {
            Self::VmSuspended => Some(Operation::SuspendVm),
            Self::StateSaved | Self::SaveFailed => Some(Operation::SaveState),
            Self::RoundSent => Some(Operation::SendRound),
            Self::RamSent => Some(Operation::SendRam),
            Self::DeviceStateSent => Some(Operation::SendDeviceState),
            Self::VmLocked => Some(Operation::LockVm),
            Self::StateLoaded | Self::LoadFailed => Some(Operation::LoadState),
            Self::ArbiterGranted | Self::ArbiterDenied => Some(Operation::AskArbiter),
            _ => None,
        }
    }
}

impl fmt::Display for InputKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
