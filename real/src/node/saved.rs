//! The state that has been captured last, or a round of pre-copy, on its way into the link's format: some pages at a time,
//! so that the peer takes in the first while the next are looked at.

use super::outgoing::Pieces;
use crate::abi::PAGE_BYTES;
use crate::vm::{Machine, MachineState, Page, RunningMemory};
use colo_protocol::wire::{BlockName, EncodeError, Encoder};

/// Pages that are encoded at once: as many as one write takes, each with what stands before it.
pub(super) const PAGES_AT_ONCE: usize = 512;

/// A page that need not be sent.
const ZERO_PAGE: Page = [0; size_of::<Page>()];

/// A captured state, in buffers that are used again and again.
pub(super) struct Saved {
    /// The dirty pages, ascending.
    pub(super) pages: Vec<u64>,
    /// What of the RAM has been encoded and is not among what is being sent.
    pub(super) ram: Pieces,
    /// How many of the pages have been encoded.
    encoded: usize,
    /// All of the RAM has been encoded, or none is to be.
    is_whole: bool,
    /// The page in the middle of all is in `ram`.
    is_halfway: bool,
    /// More of the RAM comes behind it, in a section of its own.
    is_round: bool,
    pub(super) state: Box<MachineState>,
    pub(super) blob: Vec<u8>,
    pub(super) output: Vec<u8>,
}

/// Where a page is found, and what is done with one that is not empty.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    /// It is written from where the guest has it, and the guest stands still until then.
    InPlace(&'a Machine),
    /// It is copied: the guest is to execute.
    Copied(&'a Machine),
    /// It is copied: the guest executes.
    Running(&'a RunningMemory),
}

impl Saved {
    /// Nothing yet; the state is room for others.
    pub(super) fn nothing(state: MachineState) -> Self {
        Self {
            pages: Vec::new(),
            ram: Pieces::default(),
            encoded: 0,
            is_whole: true,
            is_halfway: false,
            is_round: false,
            state: Box::new(state),
            blob: Vec::new(),
            output: Vec::new(),
        }
    }

    /// The pages have been found: now they are to be encoded.
    pub(super) fn begin_ram(&mut self, encoder: &mut Encoder) {
        self.begin_section(false, encoder);
    }

    /// The same for pages of a guest that executes.
    pub(super) fn begin_round(&mut self, encoder: &mut Encoder) {
        self.begin_section(true, encoder);
    }

    fn begin_section(&mut self, is_round: bool, encoder: &mut Encoder) {
        self.ram.clear();
        (self.encoded, self.is_whole, self.is_halfway, self.is_round) = (0, false, false, is_round);
        encoder.ram_section_start(self.ram.bytes());
    }

    /// Nobody is to have it any more.
    pub(super) fn forget_ram(&mut self) {
        self.ram.clear();
        (self.is_whole, self.is_halfway) = (true, false);
    }

    /// Whether all of the RAM has been encoded.
    pub(super) const fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Whether some of the RAM is still to be sent.
    pub(super) fn has_more(&self) -> bool {
        !self.is_whole || self.ram.len() > 0
    }

    /// Whether the page in the middle of all is among what has been encoded since this was asked.
    pub(super) fn take_halfway(&mut self) -> bool {
        std::mem::take(&mut self.is_halfway)
    }

    /// Encodes at most so many pages more.
    pub(super) fn encode(
        &mut self,
        most: usize,
        source: Source<'_>,
        (encoder, block): (&mut Encoder, &BlockName),
    ) -> Result<(), String> {
        if self.is_whole {
            return Ok(());
        }
        let end = self.pages.len().min(self.encoded.saturating_add(most));
        let mut copy = ZERO_PAGE;
        for page in &self.pages[self.encoded..end] {
            let content = match source {
                Source::InPlace(machine) | Source::Copied(machine) => machine.page(*page),
                Source::Running(memory) => memory.copy(*page, &mut copy).map(|()| &copy),
            };
            let content = content.map_err(|error| error.to_string())?;
            let in_place = matches!(source, Source::InPlace(_));
            encode_page(&mut self.ram, (*page, content), in_place, (encoder, block))
                .map_err(|error| error.to_string())?;
        }
        let middle = self.pages.len() / 2;
        self.is_halfway |= self.encoded <= middle && (middle < end || self.pages.is_empty());
        self.encoded = end;
        if end == self.pages.len() {
            self.is_whole = true;
            let out = self.ram.bytes();
            encoder.end_of_records(out);
            encoder.section_footer(out);
            if !self.is_round {
                encoder.end_of_ram(out);
            }
        }
        Ok(())
    }
}

fn encode_page(
    ram: &mut Pieces,
    (page, content): (u64, &Page),
    in_place: bool,
    (encoder, block): (&mut Encoder, &BlockName),
) -> Result<(), EncodeError> {
    let address = page * PAGE_BYTES;
    if *content == ZERO_PAGE {
        return encoder.zero_page(ram.bytes(), address, block, 0);
    }
    encoder.page_header(ram.bytes(), address, block)?;
    if in_place {
        ram.push_page(page);
    } else {
        ram.bytes().extend_from_slice(content);
    }
    Ok(())
}
