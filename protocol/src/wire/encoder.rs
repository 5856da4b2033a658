//! The encoder: appends pieces of the stream to a buffer of the caller's. It writes what it is told in the order it
//! is told; whether that order is the grammar's, and whether a message is due, is for the caller.

use super::flags::RamFlags;
use super::{BlockName, Body, CMD_SWITCHOVER_START, PAGE_BYTES};
use super::{VM_COMMAND, VM_EOF, VM_SECTION_END, VM_SECTION_FOOTER};
use crate::{Dialect, Message, MessageKind};
use alloc::vec::Vec;
use thiserror::Error;

/// What cannot be put on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The dialect has no such message.
    #[error("the dialect has no COLO message {0}")]
    NotInDialect(MessageKind),
    /// The address has bits where the wire has the flags.
    #[error("RAM page address 0x{0:x} is not a multiple of 4096")]
    UnalignedAddress(u64),
}

/// Encodes one direction of a COLO link.
///
/// Every method appends to `out`, so that a caller who sends pages straight from guest memory can collect the headers
/// in one buffer and hand both to a vectored write ([`page_header`](Self::page_header)). Nothing is appended on error.
#[derive(Clone, Debug)]
pub struct Encoder {
    dialect: Dialect,
    ram_section_id: u32,
    /// The block of the last record; it lives on across checkpoints (QEMU's `last_sent_block`).
    block: Option<BlockName>,
}

impl Encoder {
    /// An encoder that has sent no RAM record yet.
    pub const fn new(dialect: Dialect, ram_section_id: u32) -> Self {
        Self { dialect, ram_section_id, block: None }
    }

    /// A message; vmstate-size with its be64 (`colo_send_message`, `colo_send_message_value`).
    pub fn message(&self, out: &mut Vec<u8>, message: Message) -> Result<(), EncodeError> {
        let kind = message.kind();
        if !kind.exists_in(self.dialect) {
            return Err(EncodeError::NotInDialect(kind));
        }
        out.extend_from_slice(&kind.number().to_be_bytes());
        if let Message::VmstateSize(bytes) = message {
            out.extend_from_slice(&bytes.to_be_bytes());
        }
        Ok(())
    }

    /// The beginning of the RAM section (`qemu_savevm_state_complete_precopy_iterable`).
    pub fn ram_section_start(&self, out: &mut Vec<u8>) {
        out.push(VM_SECTION_END);
        out.extend_from_slice(&self.ram_section_id.to_be_bytes());
    }

    /// All of a page record but its 4096 bytes, which have to follow (`save_page_header`).
    pub fn page_header(
        &mut self,
        out: &mut Vec<u8>,
        address: u64,
        block: &BlockName,
    ) -> Result<(), EncodeError> {
        self.record_header(out, address, block, RamFlags::PAGE)
    }

    /// A page record with its bytes (`ram_save_page`).
    pub fn page(
        &mut self,
        out: &mut Vec<u8>,
        address: u64,
        block: &BlockName,
        data: &[u8; PAGE_BYTES],
    ) -> Result<(), EncodeError> {
        self.page_header(out, address, block)?;
        out.extend_from_slice(data);
        Ok(())
    }

    /// The record of a page that holds `fill` 4096 times (`save_zero_page`, where `fill` is 0).
    pub fn zero_page(
        &mut self,
        out: &mut Vec<u8>,
        address: u64,
        block: &BlockName,
        fill: u8,
    ) -> Result<(), EncodeError> {
        self.record_header(out, address, block, RamFlags::ZERO)?;
        out.push(fill);
        Ok(())
    }

    /// The end of the section's records (`ram_save_complete`).
    pub fn end_of_records(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&u64::from(RamFlags::EOS.bits()).to_be_bytes());
    }

    /// The section's footer (`save_section_footer`).
    pub fn section_footer(&self, out: &mut Vec<u8>) {
        out.push(VM_SECTION_FOOTER);
        out.extend_from_slice(&self.ram_section_id.to_be_bytes());
    }

    /// The end of the checkpoint's RAM (`QEMU_VM_EOF`).
    pub fn end_of_ram(&self, out: &mut Vec<u8>) {
        out.push(VM_EOF);
    }

    /// The command switchover-start (`qemu_savevm_maybe_send_switchover_start`, QEMU 10.0 to 10.2).
    pub fn switchover_start(&self, out: &mut Vec<u8>) {
        out.push(VM_COMMAND);
        out.extend_from_slice(&CMD_SWITCHOVER_START.to_be_bytes());
        out.extend_from_slice(&0_u16.to_be_bytes());
    }

    /// A frame as the decoder yields it; encoding all frames of a stream of QEMU's gives that stream again.
    pub fn body(&mut self, out: &mut Vec<u8>, body: &Body<'_>) -> Result<(), EncodeError> {
        match *body {
            Body::Message(message) => self.message(out, message)?,
            Body::RamSectionStart => self.ram_section_start(out),
            Body::Page { address, block, data } => self.page(out, address, block, data)?,
            Body::ZeroPage { address, block, fill } => self.zero_page(out, address, block, fill)?,
            Body::EndOfRecords => self.end_of_records(out),
            Body::SectionFooter => self.section_footer(out),
            Body::EndOfRam => self.end_of_ram(out),
            Body::SwitchoverStart => self.switchover_start(out),
            Body::DeviceState { bytes, .. } => out.extend_from_slice(bytes),
        }
        Ok(())
    }

    /// Sets the block of the record before the next: the next record of that block will carry CONTINUE in place of
    /// its name. `None` makes it carry its name whatever came before.
    pub fn set_last_block(&mut self, block: Option<BlockName>) {
        self.block = block;
    }

    /// A record's be64, and the block's name unless it is that of the record before (`save_page_header`).
    fn record_header(
        &mut self,
        out: &mut Vec<u8>,
        address: u64,
        block: &BlockName,
        flags: RamFlags,
    ) -> Result<(), EncodeError> {
        if address & RamFlags::MASK != 0 {
            return Err(EncodeError::UnalignedAddress(address));
        }
        if self.block.as_ref() == Some(block) {
            out.extend_from_slice(&(address | u64::from(flags.continued().bits())).to_be_bytes());
            return Ok(());
        }
        out.extend_from_slice(&(address | u64::from(flags.bits())).to_be_bytes());
        out.push(block.length_byte());
        out.extend_from_slice(block);
        self.block = Some(block.clone());
        Ok(())
    }
}
