//! Guest memory: one memfd, mapped once, from guest address 0 on.
//!
//! KVM's dirty log sees what the guest writes, not what the host writes. So whatever the host writes through the mapping is
//! marked by the mapping itself, page by page, and its doors ([`Memory::write`], and [`Memory::mapping`] for the card's
//! queues) are private to this folder: from outside they are reached through `&mut Machine` only. Reading is free to all
//! threads, by copying.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;

use rustix::fs::MemfdFlags;
use vm_memory::bitmap::AtomicBitmap;
use vm_memory::mmap::MmapRegionBuilder;
use vm_memory::{
    Bytes, FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestRegionMmap, MmapRegion,
};

use crate::abi::PAGE_BYTES;
use crate::{Error, Result};

/// The least guest memory, in MiB.
pub const MEMORY_MIB_MIN: u64 = 16;
/// The most guest memory, in MiB: there are page tables for so much, and no devices that would need a hole in it.
pub const MEMORY_MIB_MAX: u64 = 4096;
/// A page of guest memory.
pub type Page = [u8; 4096];

const _: () = assert!(size_of::<Page>() as u64 == PAGE_BYTES);

/// The mapping, which marks what is written through it.
pub(super) type Mapping = GuestMemoryMmap<AtomicBitmap>;

/// The memory of one guest.
#[derive(Debug)]
pub struct Memory {
    mmap: Mapping,
    /// Where the mapping begins in this process.
    base: *mut u8,
    bytes: u64,
}

// SAFETY: `base` points into `mmap`, which lives as long and is itself Send and Sync; all access through `base` is by
// `page`, whose caller vouches that nobody writes.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Makes a memory of `mib` MiB, all zeros; with `prefault` every page is backed before this returns.
    pub(super) fn new(mib: u64, prefault: bool) -> Result<Self> {
        if !(MEMORY_MIB_MIN..=MEMORY_MIB_MAX).contains(&mib) {
            return Err(Error::MemorySize { got: mib, min: MEMORY_MIB_MIN, max: MEMORY_MIB_MAX });
        }
        let bytes = mib << 20;
        let (mmap, base) = map_memfd(bytes, prefault).map_err(|source| Error::MemorySetup { mib, source })?;
        Ok(Self { mmap, base, bytes })
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Size in pages.
    pub fn pages(&self) -> u64 {
        self.bytes / PAGE_BYTES
    }

    /// Copies out of guest memory; while the guest runs, what is copied may be half old and half new.
    ///
    /// # Errors
    /// [`Error::Address`] when the range is not all memory.
    pub fn read(&self, address: u64, to: &mut [u8]) -> Result<()> {
        self.check(address, to.len())?;
        self.mmap.read_slice(to, GuestAddress(address)).map_err(|_| self.outside(address, to.len()))
    }

    /// Reads the little-endian word at `address`.
    ///
    /// # Errors
    /// As for [`Memory::read`].
    pub fn read_word(&self, address: u64) -> Result<u64> {
        let mut word = [0; 8];
        self.read(address, &mut word)?;
        Ok(u64::from_le_bytes(word))
    }

    /// Writes guest memory.
    pub(super) fn write(&self, address: u64, from: &[u8]) -> Result<()> {
        self.check(address, from.len())?;
        self.mmap.write_slice(from, GuestAddress(address)).map_err(|_| self.outside(address, from.len()))
    }

    /// The memory, for who reads and writes structures in it.
    pub(super) const fn mapping(&self) -> &Mapping {
        &self.mmap
    }

    /// Moves the marks out into `bitmap` (a bit per page, or-ed in), leaving none.
    pub(super) fn take_marks(&self, bitmap: &mut [u64]) {
        for region in self.mmap.iter() {
            let marks = MmapRegion::bitmap(region).get_and_reset();
            debug_assert_eq!(bitmap.len(), marks.len());
            for (to, from) in bitmap.iter_mut().zip(marks) {
                *to |= from;
            }
        }
    }

    /// The page with this number, without copying.
    ///
    /// # Safety
    /// Neither the guest nor the host may write to guest memory while the reference lives.
    pub(super) unsafe fn page(&self, page: u64) -> Result<&Page> {
        let address = page.checked_mul(PAGE_BYTES).ok_or_else(|| self.outside(u64::MAX, 0))?;
        let offset = self.check(address, size_of::<Page>())?;
        // SAFETY: the offset and the page after it have just been checked to lie in the mapping; bytes need no
        // alignment and have no invalid values; the caller vouches that nobody writes.
        Ok(unsafe { &*self.base.add(offset).cast::<Page>() })
    }

    /// Where the mapping begins, for KVM's memory slot.
    pub(super) fn host_address(&self) -> u64 {
        self.base as u64
    }

    /// The offset of a range in the mapping, if all of it is memory.
    fn check(&self, address: u64, bytes: usize) -> Result<usize> {
        let end = address.checked_add(bytes as u64).filter(|end| *end <= self.bytes);
        let offset = end.and_then(|_| usize::try_from(address).ok());
        offset.ok_or_else(|| self.outside(address, bytes))
    }

    fn outside(&self, address: u64, bytes: usize) -> Error {
        Error::Address { address, bytes: bytes as u64, end: self.bytes }
    }
}

/// A fresh memfd of this size, mapped, and where.
fn map_memfd(bytes: u64, prefault: bool) -> io::Result<(Mapping, *mut u8)> {
    let size = usize::try_from(bytes).map_err(io::Error::other)?;
    let file = File::from(rustix::fs::memfd_create("colo-guest", MemfdFlags::CLOEXEC)?);
    file.set_len(bytes)?;
    let populate = if prefault { libc::MAP_POPULATE } else { 0 };
    let page = const { NonZeroUsize::new(size_of::<Page>()).unwrap() };
    let mapping = MmapRegionBuilder::new_with_bitmap(size, AtomicBitmap::new(size, page))
        .with_mmap_prot(libc::PROT_READ | libc::PROT_WRITE)
        .with_mmap_flags(libc::MAP_SHARED | libc::MAP_NORESERVE | populate)
        .with_file_offset(FileOffset::new(file, 0))
        .build()
        .map_err(io::Error::other)?;
    let base = mapping.as_ptr();
    let region = GuestRegionMmap::new(mapping, GuestAddress(0))
        .ok_or_else(|| io::Error::other("guest addresses overflow"))?;
    let mmap = GuestMemoryMmap::from_regions(vec![region]).map_err(io::Error::other)?;
    Ok((mmap, base))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn marks(memory: &Memory) -> Vec<u64> {
        let mut bitmap = vec![0; usize::try_from(memory.pages()).unwrap().div_ceil(64)];
        memory.take_marks(&mut bitmap);
        (0..memory.pages())
            .filter(|page| bitmap[usize::try_from(page / 64).unwrap()] >> (page % 64) & 1 == 1)
            .collect()
    }

    #[test]
    fn every_page_of_a_write_is_marked_once() {
        let memory = Memory::new(16, false).unwrap();
        memory.write(4095, &[1, 2]).unwrap();
        memory.write(64 * 4096, &[3; 4097]).unwrap();
        memory.write(memory.bytes() - 1, &[4]).unwrap();
        memory.write(7 * 4096, &[]).unwrap();
        assert_eq!(marks(&memory), [0, 1, 64, 65, memory.pages() - 1]);
        assert_eq!(marks(&memory), [] as [u64; 0]);
    }

    #[test]
    fn accesses_beyond_the_end_are_refused_and_leave_no_mark() {
        let memory = Memory::new(16, false).unwrap();
        for address in [memory.bytes() - 7, memory.bytes(), u64::MAX - 3, u64::MAX] {
            assert!(matches!(memory.write(address, &[9; 8]), Err(Error::Address { .. })), "{address:#x}");
            assert!(matches!(memory.read_word(address), Err(Error::Address { .. })), "{address:#x}");
        }
        for page in [memory.pages(), u64::MAX / 4096, u64::MAX] {
            // SAFETY: nobody writes; no reference comes back.
            assert!(unsafe { memory.page(page) }.is_err(), "{page}");
        }
        assert_eq!(marks(&memory), [] as [u64; 0]);
    }

    #[test]
    fn the_size_has_limits() {
        for mib in [0, 15, MEMORY_MIB_MAX + 1, u64::MAX] {
            assert!(matches!(Memory::new(mib, false), Err(Error::MemorySize { .. })), "{mib}");
        }
    }
}
