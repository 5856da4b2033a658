//! What the decoder yields and the encoder takes: one piece of the stream. Plain data that borrows the page's and
//! the device state's bytes; it decides nothing.

use super::{BlockName, PAGE_BYTES};
use crate::Message;

/// One piece of the stream with its place in it. Frames follow each other without gaps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// Where the frame's first byte stands, counted in bytes from [`super::Config::first_offset`].
    pub offset: u64,
    /// How many bytes the frame has on the wire, its header included; 0 only for an empty device state.
    pub len: usize,
    /// What it is.
    pub body: Body<'a>,
}

/// What a piece of the stream is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body<'a> {
    /// A COLO message (with the be64 of vmstate-size).
    Message(Message),
    /// A RAM section begins: `QEMU_VM_SECTION_END` and the section id.
    RamSectionStart,
    /// A page of guest memory (`ram_save_page`).
    Page {
        /// The page's place in its block, in bytes, a multiple of 4096.
        address: u64,
        /// The block it belongs to, named by this record or by an earlier one.
        block: &'a BlockName,
        /// What the page holds.
        data: &'a [u8; PAGE_BYTES],
    },
    /// A page of guest memory that holds one byte 4096 times (`save_zero_page`).
    ZeroPage {
        /// The page's place in its block, in bytes, a multiple of 4096.
        address: u64,
        /// The block it belongs to, named by this record or by an earlier one.
        block: &'a BlockName,
        /// The byte; 0 from every QEMU that runs COLO.
        fill: u8,
    },
    /// `RAM_SAVE_FLAG_EOS`: the section's records end.
    EndOfRecords,
    /// `QEMU_VM_SECTION_FOOTER` and the section id.
    SectionFooter,
    /// `QEMU_VM_EOF`: the checkpoint's RAM ends.
    EndOfRam,
    /// `QEMU_VM_COMMAND` with `MIG_CMD_SWITCHOVER_START` (QEMU 10.0 to 10.2).
    SwitchoverStart,
    /// Device state: as many of these as vmstate-size announced bytes for, at least one.
    DeviceState {
        /// How many bytes of the device state stand before these.
        position: u64,
        /// These bytes: [`super::DEVICE_STATE_CHUNK_BYTES`], fewer only where `last`.
        bytes: &'a [u8],
        /// Whether the device state ends with these.
        last: bool,
    },
}

impl Body<'_> {
    /// A short name in the words of the wire: the message's name, or what else it is ("page", "ram-section", ...).
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Message(message) => message.kind().name(),
            Self::RamSectionStart => "ram-section",
            Self::Page { .. } => "page",
            Self::ZeroPage { .. } => "zero-page",
            Self::EndOfRecords => "end-of-records",
            Self::SectionFooter => "section-footer",
            Self::EndOfRam => "end-of-ram",
            Self::SwitchoverStart => "switchover-start",
            Self::DeviceState { .. } => "device-state",
        }
    }
}
