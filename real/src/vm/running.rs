//! The memory of a guest that executes, as pre-copy sees it: which pages have been written, and copies of them.
//!
//! The machine is not needed, and so not held: the guest goes on meanwhile. A copy may be half old and half new. Then the
//! page was written after the harvest that named it, so the next harvest names it again. Hence the order: first harvest,
//! then copy.

use std::fmt;
use std::sync::Arc;

use kvm_ioctls::VmFd;

use super::dirty::DirtyLog;
use super::machine::SLOT;
use super::memory::{Memory, Page};
use super::network::{CardConfig, check_card};
use super::state::MachineState;
use crate::Result;
use crate::abi::PAGE_BYTES;

/// The memory of a machine that may be executing.
// Fields are dropped in order: the VM before the memory that it uses.
pub struct RunningMemory {
    vm: Arc<VmFd>,
    memory: Arc<Memory>,
    dirty: DirtyLog,
}

impl fmt::Debug for RunningMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningMemory").field("memory_bytes", &self.memory.bytes()).finish_non_exhaustive()
    }
}

impl RunningMemory {
    pub(super) fn new(vm: Arc<VmFd>, memory: Arc<Memory>) -> Self {
        let dirty = DirtyLog::new(&memory);
        Self { vm, memory, dirty }
    }

    /// The pages written by guest or host since the last harvest, by whichever handle that was, ascending; `pages` is
    /// cleared first. The next harvest begins here.
    ///
    /// # Errors
    /// As for [`super::Machine::harvest`].
    pub fn harvest(&mut self, pages: &mut Vec<u64>) -> Result<()> {
        self.dirty.harvest(&self.vm, SLOT, &self.memory, pages)
    }

    /// Whether a machine with this memory and such a card, or none, can be in this state, as far as it can be told before it is.
    ///
    /// # Errors
    /// [`crate::Error::Card`] when it cannot.
    pub fn fits(&self, card: Option<&CardConfig>, state: &MachineState) -> Result<()> {
        check_card(card, state.card.as_ref(), &self.memory)
    }

    /// Copies a page as it is just now.
    ///
    /// # Errors
    /// [`crate::Error::Address`] beyond the end.
    pub fn copy(&self, page: u64, to: &mut Page) -> Result<()> {
        self.memory.read(page.saturating_mul(PAGE_BYTES), to)
    }
}
