//! The COLO messages: their names and numbers as QEMU spells them, per dialect.
//!
//! Source: `COLOMessage` in QEMU's migration schema (2.8 and later), `COLOCommand` in series v12. What goes on the
//! wire around them is in [`crate::wire`]; when they may be sent is in the state machines.

use core::fmt;

/// Which version of the protocol's vocabulary is spoken on the link.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum Dialect {
    /// Series v12 (2015), `COLOCommand`: the seven messages, and 7 is guest-shutdown.
    V12,
    /// QEMU 3.1 to today, `COLOMessage`: the seven messages, and 7 is invalid.
    #[default]
    Current,
}

/// The kind of a COLO message: its name and number, without a payload.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum MessageKind {
    /// Secondary to primary: the initial state is loaded.
    CheckpointReady,
    /// Primary to secondary: a checkpoint begins.
    CheckpointRequest,
    /// Secondary to primary: go on with the checkpoint.
    CheckpointReply,
    /// Primary to secondary: the VM's state follows.
    VmstateSend,
    /// Primary to secondary: the device state's length in bytes, which then follows.
    VmstateSize,
    /// Secondary to primary: the whole state has arrived; nothing of it has been applied yet.
    VmstateReceived,
    /// Secondary to primary: the state has been applied.
    VmstateLoaded,
    /// Primary to secondary, in the v12 dialect only: the guest has asked to shut down.
    GuestShutdown,
}

impl MessageKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::CheckpointReady,
        Self::CheckpointRequest,
        Self::CheckpointReply,
        Self::VmstateSend,
        Self::VmstateSize,
        Self::VmstateReceived,
        Self::VmstateLoaded,
        Self::GuestShutdown,
    ];

    /// The number on the wire.
    pub const fn number(self) -> u32 {
        match self {
            Self::CheckpointReady => 0,
            Self::CheckpointRequest => 1,
            Self::CheckpointReply => 2,
            Self::VmstateSend => 3,
            Self::VmstateSize => 4,
            Self::VmstateReceived => 5,
            Self::VmstateLoaded => 6,
            Self::GuestShutdown => 7,
        }
    }

    /// The kind that `number` means in `dialect`, if it means any.
    pub fn from_number(number: u32, dialect: Dialect) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number && kind.exists_in(dialect))
    }

    /// Whether `dialect` has this message.
    pub const fn exists_in(self, dialect: Dialect) -> bool {
        !matches!((self, dialect), (Self::GuestShutdown, Dialect::Current))
    }

    /// QEMU's name of the message.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CheckpointReady => "checkpoint-ready",
            Self::CheckpointRequest => "checkpoint-request",
            Self::CheckpointReply => "checkpoint-reply",
            Self::VmstateSend => "vmstate-send",
            Self::VmstateSize => "vmstate-size",
            Self::VmstateReceived => "vmstate-received",
            Self::VmstateLoaded => "vmstate-loaded",
            Self::GuestShutdown => "guest-shutdown",
        }
    }

    /// The kind with QEMU's name `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.number())
    }
}

/// A COLO message with its payload.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// See [`MessageKind::CheckpointReady`].
    CheckpointReady,
    /// See [`MessageKind::CheckpointRequest`].
    CheckpointRequest,
    /// See [`MessageKind::CheckpointReply`].
    CheckpointReply,
    /// See [`MessageKind::VmstateSend`].
    VmstateSend,
    /// See [`MessageKind::VmstateSize`]; the length is in bytes.
    VmstateSize(u64),
    /// See [`MessageKind::VmstateReceived`].
    VmstateReceived,
    /// See [`MessageKind::VmstateLoaded`].
    VmstateLoaded,
    /// See [`MessageKind::GuestShutdown`].
    GuestShutdown,
}

impl Message {
    /// The message of this kind; `value` is the payload of vmstate-size, and means nothing to the others.
    pub const fn new(kind: MessageKind, value: u64) -> Self {
        match kind {
            MessageKind::CheckpointReady => Self::CheckpointReady,
            MessageKind::CheckpointRequest => Self::CheckpointRequest,
            MessageKind::CheckpointReply => Self::CheckpointReply,
            MessageKind::VmstateSend => Self::VmstateSend,
            MessageKind::VmstateSize => Self::VmstateSize(value),
            MessageKind::VmstateReceived => Self::VmstateReceived,
            MessageKind::VmstateLoaded => Self::VmstateLoaded,
            MessageKind::GuestShutdown => Self::GuestShutdown,
        }
    }

    /// The payload, if the message has one.
    pub const fn value(self) -> Option<u64> {
        match self {
            Self::VmstateSize(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The message without its payload.
    pub const fn kind(self) -> MessageKind {
        match self {
            Self::CheckpointReady => MessageKind::CheckpointReady,
            Self::CheckpointRequest => MessageKind::CheckpointRequest,
            Self::CheckpointReply => MessageKind::CheckpointReply,
            Self::VmstateSend => MessageKind::VmstateSend,
            Self::VmstateSize(_) => MessageKind::VmstateSize,
            Self::VmstateReceived => MessageKind::VmstateReceived,
            Self::VmstateLoaded => MessageKind::VmstateLoaded,
            Self::GuestShutdown => MessageKind::GuestShutdown,
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VmstateSize(bytes) => write!(f, "{} {bytes}", self.kind().name()),
            _ => f.write_str(self.kind().name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_is_guest_shutdown_in_v12_and_nothing_today() {
        assert_eq!(MessageKind::from_number(7, Dialect::V12), Some(MessageKind::GuestShutdown));
        assert_eq!(MessageKind::from_number(7, Dialect::Current), None);
        assert_eq!(MessageKind::from_number(8, Dialect::V12), None);
    }

    #[test]
    fn names_and_numbers_go_both_ways() {
        for kind in MessageKind::ALL {
            assert_eq!(MessageKind::from_name(kind.name()), Some(kind));
            assert_eq!(MessageKind::from_number(kind.number(), Dialect::V12), Some(kind));
        }
    }
}
