//! A survivor's disk on its way to a replacement: block by block over the connection of the disks, while the guest goes on.
//!
//! What the guest writes meanwhile it does not wait for: the block is to be copied once more. When the guest stands still, and
//! nothing is left to copy, the replacement has the disk of that moment, which is that of the initial state.
//!
//! The thread is there from the node's beginning, for later it may begin none, and waits until there is something to do.

use super::device::NodeDisk;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Which blocks a replacement does not have.
#[derive(Debug)]
pub(super) struct Copy {
    missing: BTreeSet<u64>,
    /// One of them is on its way.
    on_its_way: bool,
}

impl Copy {
    /// A replacement that has nothing of a disk of so many blocks.
    pub(super) fn of(blocks: u64) -> Self {
        Self { missing: (0..blocks).collect(), on_its_way: false }
    }

    /// The guest has written a block.
    pub(super) fn is_stale(&mut self, block: u64) {
        self.missing.insert(block);
    }

    /// A block that is to be sent now, if there is one.
    pub(super) fn take(&mut self) -> Option<u64> {
        let block = self.missing.pop_first()?;
        self.on_its_way = true;
        Some(block)
    }

    /// What was on its way is there.
    pub(super) const fn arrived(&mut self) {
        self.on_its_way = false;
    }

    /// How many blocks the replacement does not have.
    pub(super) fn left(&self) -> usize {
        self.missing.len() + usize::from(self.on_its_way)
    }
}

/// Starts the thread that copies the disk whenever it is to be copied. It has begun when this returns: what the kernel must do
/// for it to begin may be refused to it later.
pub(crate) fn start(disk: &Arc<NodeDisk>) {
    let (begun, begins) = std::sync::mpsc::channel();
    let disk = Arc::clone(disk);
    std::thread::spawn(move || {
        // Who started it waits for that.
        let _ = begun.send(());
        loop {
            disk.copy_one();
        }
    });
    // It fails when the thread could not begin: then it panicked, and said so.
    let _ = begins.recv();
}
