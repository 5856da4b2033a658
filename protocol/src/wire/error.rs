//! Why a stream could not be decoded: where, what came, what was expected. Words and numbers only; no decisions.

use super::RamFlags;
use crate::{Dialect, MessageKind};
use core::fmt;
use thiserror::Error;

/// The stream breaks the grammar, or ends too early.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("offset {offset}: {kind}")]
pub struct DecodeError {
    /// Where what came stands, in bytes as in [`super::Frame::offset`]; where the stream ended, its length.
    pub offset: u64,
    /// What came and what was expected.
    pub kind: DecodeErrorKind,
}

/// What came, and what was expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// A number that is no message in the dialect (QEMU: "Invalid message").
    #[error("invalid COLO message {number}, expected {expected}")]
    InvalidMessage {
        /// The number that came.
        number: u32,
        /// What could have come.
        expected: Expected,
    },
    /// A message that cannot stand here (QEMU: "Unexpected COLO message %d, expected %d").
    #[error("unexpected COLO message {message}, expected {expected}")]
    UnexpectedMessage {
        /// The message that came.
        message: MessageKind,
        /// What could have come.
        expected: Expected,
    },
    /// A vmstate-size beyond [`super::Config::max_device_state_bytes`].
    #[error("vmstate-size {bytes}, expected at most {limit} bytes")]
    DeviceStateTooLong {
        /// The length announced, in bytes.
        bytes: u64,
        /// The longest accepted, in bytes.
        limit: u64,
    },
    /// A byte that begins no section of a checkpoint's RAM, or not the one due.
    #[error("section type 0x{byte:02x}, expected {expected}")]
    SectionType {
        /// The byte that came.
        byte: u8,
        /// What could have come.
        expected: Expected,
    },
    /// A section, or its footer, that is not RAM's.
    #[error("section id {got}, expected {expected} (ram)")]
    SectionId {
        /// The id that came.
        got: u32,
        /// [`super::Config::ram_section_id`].
        expected: u32,
    },
    /// A `QEMU_VM_COMMAND` other than switchover-start.
    #[error("migration command {number}, expected switchover-start (11)")]
    Command {
        /// The command's number (`MIG_CMD_*`).
        number: u16,
    },
    /// A switchover-start that announces data.
    #[error("switchover-start with {bytes} bytes of data, expected 0")]
    CommandData {
        /// The length announced, in bytes.
        bytes: u16,
    },
    /// A RAM record of a kind that checkpoints do not have.
    #[error("RAM page flags {flags}, expected PAGE or ZERO, each alone or with CONTINUE, or EOS alone")]
    RamFlags {
        /// The flags that came.
        flags: RamFlags,
    },
    /// An end of records that carries an address.
    #[error("EOS with address 0x{address:x}, expected none")]
    EosAddress {
        /// The address that came, in bytes.
        address: u64,
    },
    /// CONTINUE before any record has named a block.
    #[error("RAM page 0x{address:x} with CONTINUE, expected a block name since no record has had one yet")]
    NoBlock {
        /// The page's address, in bytes.
        address: u64,
    },
    /// The stream ended inside a frame.
    #[error("the stream ended inside {part}, {present} of {len} bytes present")]
    EndedInside {
        /// The part of the frame that is not whole.
        part: Part,
        /// How many bytes of it came.
        present: u64,
        /// How many it has.
        len: u64,
    },
    /// The stream ended between two frames of a checkpoint's state.
    #[error("the stream ended inside a checkpoint's state, expected {expected}")]
    EndedBetween {
        /// What could have come.
        expected: Expected,
    },
}

/// What the grammar accepts at some place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Expected {
    /// Any message of the dialect.
    Message(Dialect),
    /// Any message but vmstate-size.
    MessageOutsideState,
    /// A message without state: all that the secondary sends.
    MessageOfSecondary,
    /// vmstate-size.
    VmstateSize,
    /// The beginning of a RAM section, a command, or the end of the RAM.
    SectionStart(Dialect),
    /// The footer of a section.
    SectionFooter,
    /// A RAM record, or the end of records.
    RamRecord,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Message(Dialect::Current) => "0 to 6",
            Self::Message(Dialect::V12) => "0 to 7",
            Self::MessageOutsideState => "it only after a checkpoint's RAM",
            Self::MessageOfSecondary => "no state from the secondary",
            Self::VmstateSize => "vmstate-size (4)",
            Self::SectionStart(Dialect::Current) => {
                "a RAM section (0x03), a command (0x08) or the RAM's end (0x00)"
            }
            Self::SectionStart(Dialect::V12) => "a RAM section (0x03) or the RAM's end (0x00)",
            Self::SectionFooter => "a section footer (0x7e)",
            Self::RamRecord => "a RAM record",
        })
    }
}

/// A part of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Part {
    /// A message's number.
    Message,
    /// The be64 of vmstate-size.
    VmstateSize,
    /// The byte that begins a section.
    SectionType,
    /// A section id, in front of the records or in the footer.
    SectionId,
    /// A command's number and length.
    Command,
    /// A RAM record's be64.
    RecordHeader,
    /// A RAM block's name with its length byte.
    BlockName,
    /// A page's bytes.
    Page,
    /// A zero page's byte.
    FillByte,
    /// The device state.
    DeviceState,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Message => "a COLO message",
            Self::VmstateSize => "the length of vmstate-size",
            Self::SectionType => "a section type",
            Self::SectionId => "a section id",
            Self::Command => "a migration command",
            Self::RecordHeader => "a RAM record's header",
            Self::BlockName => "a RAM block's name",
            Self::Page => "a RAM page",
            Self::FillByte => "a zero page",
            Self::DeviceState => "the device state",
        })
    }
}
