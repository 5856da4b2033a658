//! The checkpoint that is coming in: staged whole, outside of the guest's memory, until the core says to load it. A page
//! stays in the buffer that it was read to, if it lies there in one piece.
//!
//! What comes from the peer is checked here as far as it can be without applying it: addresses, block, sizes, the
//! device state's checksum.

use super::inbound::Inbound;
use super::unit::{Unit, decode_all};
use crate::abi::PAGE_BYTES;
use crate::vm::{BLOB_BYTES_MAX, CardState, Machine, MachineState, Page, decode};
use colo_protocol::OutputBuffer;
use colo_protocol::wire::{BlockName, Body};
use std::ops::Range;

#[cfg(test)]
mod tests;

/// Bytes of a page.
const PAGE: usize = size_of::<Page>();

/// Where output may end: from here no guest comes to where numbers do.
const OUTPUT_END_MAX: u64 = u64::MAX / 2;

/// The name under which the guest's memory goes over the link, as QEMU's PC machine calls it.
pub(super) const RAM_BLOCK: &str = "pc.ram";

/// What there may be of a checkpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Pages of the guest's memory: a section has at most as many.
    pub(super) memory_pages: u64,
    /// Sections of RAM.
    pub(super) ram_sections: usize,
}

/// A checkpoint's state, as far as it has arrived.
#[derive(Default)]
pub(super) struct Staging {
    /// Page numbers, in the order in which they came, and where their contents are.
    pages: Vec<(u64, Content)>,
    /// Pages that came in several pieces.
    contents: Vec<Page>,
    /// The sections of the RAM so far, the last of which began behind so many pages.
    sections: usize,
    section_from: usize,
    blob: Vec<u8>,
}

/// Where a page's content is.
enum Content {
    /// In what has been read.
    Inbound(Range<usize>),
    /// In `contents`.
    Own(usize),
    /// Nowhere: it is this byte throughout.
    Fill(u8),
}

/// A device state that has been found whole.
pub(super) struct StagedDevices {
    /// The machine, but for its memory.
    pub(super) state: Box<MachineState>,
    /// The end of the output.
    pub(super) output_end: u64,
    /// The withheld units.
    pub(super) output: OutputBuffer<Unit>,
}

impl Staging {
    /// Nothing has arrived.
    pub(super) fn clear(&mut self) {
        self.pages.clear();
        self.contents.clear();
        (self.sections, self.section_from) = (0, 0);
        self.blob.clear();
    }

    /// Whether nothing is staged.
    pub(super) fn is_empty(&self) -> bool {
        self.pages.is_empty() && self.blob.is_empty()
    }

    /// Leaves out the pages that are empty: so is the memory to which the rest goes. (Nobody sends a page twice in a section.)
    pub(super) fn leave_out_empty_pages(&mut self) {
        self.pages.retain(|(_, content)| !matches!(content, Content::Fill(0)));
    }

    /// Takes in a piece of the stream, perhaps a part of `inbound`.
    pub(super) fn take(&mut self, body: &Body<'_>, inbound: &Inbound, limits: Limits) -> Result<(), String> {
        match *body {
            Body::Page { address, block, data } => {
                self.page(address, block, limits.memory_pages)?;
                let content =
                    inbound.place_of(data).map_or(Content::Own(self.contents.len()), Content::Inbound);
                if let Content::Own(_) = content {
                    self.contents.push(*data);
                }
                self.pages.push((address / PAGE_BYTES, content));
                Ok(())
            }
            Body::ZeroPage { address, block, fill } => {
                self.page(address, block, limits.memory_pages)?;
                self.pages.push((address / PAGE_BYTES, Content::Fill(fill)));
                Ok(())
            }
            Body::DeviceState { bytes, .. } => self.devices(bytes),
            Body::RamSectionStart | Body::SwitchoverStart => self.section(limits.ram_sections),
            _ => Ok(()),
        }
    }

    /// More of the RAM comes: newer pages, if what came before was a round of pre-copy. What is read is kept until the
    /// checkpoint is applied, so a peer that sends section after section must come to an end.
    fn section(&mut self, expected: usize) -> Result<(), String> {
        // QEMU's command before the last section counts as one.
        if self.sections > expected {
            return Err(format!("too many sections of RAM in one checkpoint, expected {expected}"));
        }
        (self.sections, self.section_from) = (self.sections + 1, self.pages.len());
        Ok(())
    }

    /// Whether there may be such a page.
    fn page(&self, address: u64, block: &BlockName, memory_pages: u64) -> Result<(), String> {
        if block.as_bytes() != RAM_BLOCK.as_bytes() {
            return Err(format!("a page of RAM block {block}, expected {RAM_BLOCK}"));
        }
        let page = address / PAGE_BYTES;
        if page >= memory_pages {
            return Err(format!(
                "page {address:#x} of {block}, which ends at {:#x}",
                memory_pages * PAGE_BYTES
            ));
        }
        if (self.pages.len() - self.section_from) as u64 >= memory_pages {
            return Err(format!("more pages in one section than the memory has ({memory_pages})"));
        }
        Ok(())
    }

    fn devices(&mut self, bytes: &[u8]) -> Result<(), String> {
        if self.blob.len() + bytes.len() > BLOB_BYTES_MAX {
            return Err(format!("a device state of more than {BLOB_BYTES_MAX} bytes"));
        }
        self.blob.extend_from_slice(bytes);
        Ok(())
    }

    /// The device state, now that all of it is there, if the machine can be in it as far as `fits` knows.
    pub(super) fn whole_devices(
        &self,
        fits: impl Fn(&MachineState) -> crate::Result<()>,
    ) -> Result<StagedDevices, String> {
        let decoded = decode(&self.blob).map_err(|error| error.to_string())?;
        fits(&decoded.state).map_err(|error| error.to_string())?;
        let end = decoded.output_end;
        if end > OUTPUT_END_MAX {
            return Err(format!("{} bytes of withheld output that ends at {end}", decoded.output.len()));
        }
        if let Some(sent) = decoded.state.card.as_ref().map(CardState::sent).filter(|sent| *sent != end) {
            return Err(format!("the network card has sent {sent} frames, the output ends at {end}"));
        }
        let output = decode_all(decoded.output, end, decoded.state.card.is_some())?;
        Ok(StagedDevices { state: Box::new(decoded.state), output_end: end, output })
    }

    /// Writes the staged pages into the guest's memory, the newer over the older.
    pub(super) fn apply_ram(&self, inbound: &Inbound, machine: &mut Machine) -> crate::Result<()> {
        self.each(inbound, |page, content| machine.write_page(page, content))
    }

    /// The staged pages, with their numbers, the newer behind the older.
    pub(super) fn each(
        &self,
        inbound: &Inbound,
        mut take: impl FnMut(u64, &Page) -> crate::Result<()>,
    ) -> crate::Result<()> {
        self.pages.iter().try_for_each(|(page, content)| match content {
            Content::Inbound(place) => match inbound.part(place).first_chunk::<PAGE>() {
                Some(content) => take(*page, content),
                None => unreachable!("a page that was found in what has been read is there as a whole"),
            },
            Content::Own(index) => take(*page, &self.contents[*index]),
            Content::Fill(fill) => take(*page, &[*fill; PAGE]),
        })
    }
}
