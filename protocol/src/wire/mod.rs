//! The wire codec: COLO messages, and the RAM and device state that stand between them, as QEMU writes them.
//!
//! What is here may not do I/O, may not allocate by a length read from the wire, and may not panic on any input. It
//! knows which bytes can follow which (the *grammar*); whether a message was due at all is for the state machines.
//!
//! All numbers are big-endian. The secondary sends messages only. The primary sends
//!
//! ```text
//! stream     = ( message | checkpoint-state )*
//! message    = be32 number                                  -- vmstate-send and vmstate-size only as below
//! state      = be32 3  section* 00  be32 4  be64 n  n bytes -- vmstate-send, RAM, EOF, vmstate-size, device state
//! section    = 03 be32-id  record*  EOS  7e be32-id         -- QEMU_VM_SECTION_END .. QEMU_VM_SECTION_FOOTER
//!            | 08 be16 11 be16 0                            -- QEMU_VM_COMMAND switchover-start, QEMU 10.0 to 10.2
//! record     = be64 address|flags [length name] 4096 bytes  -- PAGE
//!            | be64 address|flags [length name] 1 byte      -- ZERO: 4096 times that byte
//! EOS        = be64 0x10
//! ```
//!
//! The name is absent where the record carries CONTINUE: its block is that of the record before, which may be one of
//! an earlier checkpoint. QEMU sets up the RAM blocks once, in the initial migration, so none of that stands here;
//! the initial migration itself is not decoded (start the [`Decoder`] behind it, see [`Config::first_offset`] and
//! [`Decoder::set_last_block`]).
//!
//! Sources: QEMU's `colo_send_message`, `colo_do_checkpoint_transaction`, `colo_incoming_process_checkpoint`;
//! `save_page_header`, `ram_save_complete`, `ram_load_precopy`; `qemu_loadvm_state_main`, `save_section_footer`.

mod block;
mod decoder;
mod encoder;
mod error;
mod flags;
mod frame;
mod grammar;
mod reader;

pub use block::{BlockName, BlockNameTooLong};
pub use decoder::Decoder;
pub use encoder::{EncodeError, Encoder};
pub use error::{DecodeError, DecodeErrorKind, Expected, Part};
pub use flags::RamFlags;
pub use frame::{Body, Frame};
pub use grammar::{Config, Direction};

/// Bytes of a guest page on the wire (`TARGET_PAGE_SIZE` of every target that runs COLO).
pub const PAGE_BYTES: usize = 4096;

/// Bytes of a device-state chunk ([`Body::DeviceState`]); only the last chunk of a device state is shorter.
pub const DEVICE_STATE_CHUNK_BYTES: usize = 4096;

/// The most bytes that one frame can have, and the most that a [`Decoder`] ever holds back: a page record with the
/// longest block name.
pub const MAX_FRAME_BYTES: usize = 8 + 1 + BlockName::MAX_BYTES + PAGE_BYTES;

/// The section id that QEMU gives to "ram" on the machines captured so far.
pub const DEFAULT_RAM_SECTION_ID: u32 = 2;

/// `QEMU_VM_EOF`: ends the RAM.
const VM_EOF: u8 = 0x00;
/// `QEMU_VM_SECTION_END`: begins a RAM section (the last round of a migration, which is all a checkpoint has).
const VM_SECTION_END: u8 = 0x03;
/// `QEMU_VM_COMMAND`.
const VM_COMMAND: u8 = 0x08;
/// `QEMU_VM_SECTION_FOOTER`.
const VM_SECTION_FOOTER: u8 = 0x7e;
/// `MIG_CMD_SWITCHOVER_START`; it carries no data.
const CMD_SWITCHOVER_START: u16 = 11;
