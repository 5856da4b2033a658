//! The checkpoint that is coming in: staged whole, outside of the guest's memory, until the core says to load it.
//!
//! What comes from the peer is checked here as far as it can be without applying it: addresses, block, sizes, the
//! device state's checksum.

use crate::abi::PAGE_BYTES;
use crate::vm::{BLOB_BYTES_MAX, CpuState, Machine, Page, decode};
use colo_protocol::wire::{BlockName, Body};

/// Bytes of a page.
const PAGE: usize = size_of::<Page>();

/// The name under which the guest's memory goes over the link, as QEMU's PC machine calls it.
pub(super) const RAM_BLOCK: &str = "pc.ram";

/// A checkpoint's state, as far as it has arrived.
#[derive(Default)]
pub(super) struct Staging {
    /// Page numbers, in the order in which they came; a page's content stands at the same place in `contents`.
    pages: Vec<u64>,
    contents: Vec<u8>,
    blob: Vec<u8>,
}

/// A device state that has been found whole.
pub(super) struct StagedDevices {
    /// The processor.
    pub(super) cpu: Box<CpuState>,
    /// The end of the output.
    pub(super) output_end: u64,
    /// The withheld units, as they were encoded.
    pub(super) output: Vec<u8>,
}

impl Staging {
    /// Nothing has arrived.
    pub(super) fn clear(&mut self) {
        self.pages.clear();
        self.contents.clear();
        self.blob.clear();
    }

    /// Takes in a piece of the stream; `memory_pages` is the size of the guest's memory.
    pub(super) fn take(&mut self, body: &Body<'_>, memory_pages: u64) -> Result<(), String> {
        match *body {
            Body::Page { address, block, data } => self.page(address, block, data, memory_pages),
            Body::ZeroPage { address, block, fill } => self.page(address, block, &[fill; PAGE], memory_pages),
            Body::DeviceState { bytes, .. } => self.devices(bytes),
            _ => Ok(()),
        }
    }

    fn page(
        &mut self,
        address: u64,
        block: &BlockName,
        data: &Page,
        memory_pages: u64,
    ) -> Result<(), String> {
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
        if self.pages.len() as u64 >= memory_pages {
            return Err(format!("more pages in one checkpoint than the memory has ({memory_pages})"));
        }
        self.pages.push(page);
        self.contents.extend_from_slice(data);
        Ok(())
    }

    fn devices(&mut self, bytes: &[u8]) -> Result<(), String> {
        if self.blob.len() + bytes.len() > BLOB_BYTES_MAX {
            return Err(format!("a device state of more than {BLOB_BYTES_MAX} bytes"));
        }
        self.blob.extend_from_slice(bytes);
        Ok(())
    }

    /// The device state, now that all of it is there.
    pub(super) fn whole_devices(&self) -> Result<StagedDevices, String> {
        let decoded = decode(&self.blob).map_err(|error| error.to_string())?;
        let output = decoded.output.to_vec();
        Ok(StagedDevices { cpu: Box::new(decoded.cpu), output_end: decoded.output_end, output })
    }

    /// Writes the staged pages into the guest's memory.
    pub(super) fn apply_ram(&self, machine: &mut Machine) -> crate::Result<()> {
        let (contents, _) = self.contents.as_chunks::<PAGE>();
        self.pages.iter().zip(contents).try_for_each(|(page, content)| machine.write_page(*page, content))
    }
}
