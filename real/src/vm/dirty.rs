//! Which pages have changed: KVM's dirty log (the guest's writes) and the host's own marks, as one ordered list.
//!
//! Plain `KVM_GET_DIRTY_LOG`, which reads and resets the log in one call: of KVM's three ways the quickest or as quick
//! here. It is called directly because kvm-ioctls' wrapper allocates a bitmap per call; this one keeps its own.

use kvm_bindings::{KVMIO, kvm_dirty_log, kvm_dirty_log__bindgen_ty_1};
use kvm_ioctls::VmFd;
use vmm_sys_util::ioctl::ioctl_with_ref;
use vmm_sys_util::ioctl_iow_nr;

use super::host::kvm_error;
use super::memory::Memory;
use crate::Result;

ioctl_iow_nr!(KVM_GET_DIRTY_LOG, KVMIO, 0x42, kvm_dirty_log);

/// The buffer that harvests are read into; one bit per page.
#[derive(Debug)]
pub(super) struct DirtyLog {
    bitmap: Vec<u64>,
    pages: u64,
}

impl DirtyLog {
    pub(super) fn new(memory: &Memory) -> Self {
        let words = memory.pages().div_ceil(64);
        Self { bitmap: (0..words).map(|_| 0).collect(), pages: memory.pages() }
    }

    /// Takes all pages written since the last harvest, ascending, into `pages` (cleared first).
    pub(super) fn harvest(
        &mut self,
        vm: &VmFd,
        slot: u32,
        memory: &Memory,
        pages: &mut Vec<u64>,
    ) -> Result<()> {
        self.read_and_reset(vm, slot, memory)?;
        pages.clear();
        for (word, base) in self.bitmap.iter().zip((0..).step_by(64)) {
            let mut rest = *word;
            while rest != 0 {
                pages.push(base + u64::from(rest.trailing_zeros()));
                rest &= rest - 1;
            }
        }
        debug_assert!(pages.last().is_none_or(|last| *last < self.pages));
        Ok(())
    }

    /// Reads both logs into the bitmap, leaving them empty.
    pub(super) fn read_and_reset(&mut self, vm: &VmFd, slot: u32, memory: &Memory) -> Result<()> {
        assert_eq!(self.pages, memory.pages(), "the buffer was made for another memory");
        let bitmap = kvm_dirty_log__bindgen_ty_1 { dirty_bitmap: self.bitmap.as_mut_ptr().cast() };
        let request = kvm_dirty_log { slot, padding1: 0, __bindgen_anon_1: bitmap };
        // SAFETY: the descriptor is a VM's; the buffer has a bit, in whole words, for each page of the one slot, and
        // lives through the call.
        let result = unsafe { ioctl_with_ref(vm, KVM_GET_DIRTY_LOG(), &request) };
        if result != 0 {
            return Err(kvm_error("KVM_GET_DIRTY_LOG")(vmm_sys_util::errno::Error::last()));
        }
        memory.take_marks(&mut self.bitmap);
        Ok(())
    }
}
