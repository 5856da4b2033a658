//! The machine as the guest finds it: 64-bit code in ring 3, all memory mapped one to one, ports open.
//!
//! Ring 3, because that is where guest code runs natively under every KVM: under `kvm_pvm`, which needs no
//! virtualisation hardware, ring 0 is interpreted. There is no descriptor table and no interrupt handler: a fault ends
//! the machine. The accessed and dirty bits of the page tables are set beforehand, so that walking them writes nothing.

use kvm_bindings::{kvm_dtable, kvm_regs, kvm_segment, kvm_sregs};

use super::memory::{MEMORY_MIB_MAX, Memory};
use crate::abi::{
    CARD, CARD_PARAMETERS, CardParameters, IMAGE, IMAGE_BYTES_MAX, PAGE_BYTES, PAGE_TABLES, PARAMETERS,
    Parameters, STACK_TOP, Slot,
};
use crate::{Error, Result};

/// Present, writable, user, accessed, dirty.
const TABLE: u64 = 0x67;
/// Likewise, and a page of 2 MiB instead of a table.
const LARGE_PAGE: u64 = 0xe7;
const LARGE_PAGE_BYTES: u64 = 2 << 20;
const GIB: u64 = 1 << 30;
/// Added to a page: what lies there is no memory, and nothing of it is kept in a cache.
const UNCACHED: u64 = 0x18;

/// Protection on, x87 and SSE usable, write protection, paging.
const CR0: u64 = 0x8001_0033;
/// PAE, and SSE with its exceptions.
const CR4: u64 = 0x0620;
/// Long mode enabled and active, no-execute. No system calls: they would go to ring 0, at an address that the guest has
/// written to.
const EFER: u64 = 0x0d00;
/// I/O privilege level 3, no interrupts.
const RFLAGS: u64 = 0x3002;

// The directory of the card's GiB comes last, and ends before the parameters; no memory reaches that far.
const _: () = assert!(PAGE_TABLES + (3 + CARD / GIB) * PAGE_BYTES <= PARAMETERS);
const _: () = assert!(MEMORY_MIB_MAX << 20 <= CARD && CARD.is_multiple_of(GIB));

/// Writes page tables, parameters and program into memory. A machine with a card is told of its network.
pub(super) fn write_memory(
    memory: &Memory,
    image: &[u8],
    parameters: &Parameters,
    network: Option<&CardParameters>,
) -> Result<()> {
    if image.is_empty() || image.len() as u64 > IMAGE_BYTES_MAX {
        return Err(Error::Image { got: image.len(), max: IMAGE_BYTES_MAX });
    }
    write_page_tables(memory)?;
    if let Some(network) = network {
        map_card(memory)?;
        write_slot(memory, CARD_PARAMETERS, network.to_slot())?;
    }
    let parameters = Parameters { memory_bytes: memory.bytes(), ..*parameters };
    write_slot(memory, PARAMETERS, parameters.to_slot())?;
    memory.write(IMAGE, image)
}

fn write_slot(memory: &Memory, address: u64, slot: Slot) -> Result<()> {
    memory.write(address, &super::card::to_bytes(slot))
}

/// The large page in which the card's registers are.
fn map_card(memory: &Memory) -> Result<()> {
    let pdpt = PAGE_TABLES + PAGE_BYTES;
    let directory = pdpt + (1 + CARD / GIB) * PAGE_BYTES;
    memory.write(pdpt + CARD / GIB * 8, &(directory | TABLE).to_le_bytes())?;
    memory.write(directory, &(CARD | LARGE_PAGE | UNCACHED).to_le_bytes())
}

/// One PML4, one PDPT, a page directory per GiB, large pages up to the end of memory.
fn write_page_tables(memory: &Memory) -> Result<()> {
    let pdpt = PAGE_TABLES + PAGE_BYTES;
    let directories = pdpt + PAGE_BYTES;
    let entry = |table: u64, index: u64, value: u64| memory.write(table + index * 8, &value.to_le_bytes());
    entry(PAGE_TABLES, 0, pdpt | TABLE)?;
    for gib in 0..memory.bytes().div_ceil(GIB) {
        entry(pdpt, gib, (directories + gib * PAGE_BYTES) | TABLE)?;
    }
    for large in 0..memory.bytes() / LARGE_PAGE_BYTES {
        // The directories are adjacent, so their entries are one array.
        entry(directories, large, (large * LARGE_PAGE_BYTES) | LARGE_PAGE)?;
    }
    Ok(())
}

/// The general registers at the program's entry.
pub(super) fn entry_registers() -> kvm_regs {
    kvm_regs { rip: IMAGE, rsp: STACK_TOP - 8, rflags: RFLAGS, ..kvm_regs::default() }
}

/// Turns the special registers of a fresh vCPU into those of ring 3 in long mode.
pub(super) fn enter_ring_3(sregs: &mut kvm_sregs) {
    let data = kvm_segment {
        base: 0,
        limit: u32::MAX,
        selector: 0x2b,
        type_: 3,
        present: 1,
        dpl: 3,
        db: 1,
        s: 1,
        g: 1,
        ..kvm_segment::default()
    };
    sregs.cs = kvm_segment { selector: 0x33, type_: 11, db: 0, l: 1, ..data };
    for segment in [&mut sregs.ds, &mut sregs.es, &mut sregs.fs, &mut sregs.gs, &mut sregs.ss] {
        *segment = data;
    }
    sregs.gdt = kvm_dtable::default();
    sregs.idt = kvm_dtable::default();
    sregs.cr0 = CR0;
    sregs.cr3 = PAGE_TABLES;
    sregs.cr4 = CR4;
    sregs.efer = EFER;
}
