//! The simulated virtual machine: memory, devices, a disk, and the service that lives in all three.
//!
//! A guest knows nothing of checkpoints. The marks that say which checkpoint its memory and its devices are of stand
//! beside it for the judge, and no guest reads them.

mod devices;
mod disk;
mod memory;
mod service;

pub(crate) use devices::{Devices, decode_devices, encode_devices};
pub(crate) use disk::{Disk, DiskWrite};
pub(crate) use memory::{Memory, Page};

use colo_protocol::CheckpointNumber;

/// A virtual machine.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) memory: Memory,
    pub(crate) devices: Devices,
    pub(crate) disk: Disk,
    pub(crate) executing: bool,
    /// The checkpoint that all of the memory descends from; none while it is mixed.
    pub(crate) memory_of: Option<CheckpointNumber>,
    /// The checkpoint that the devices descend from; none before the first.
    pub(crate) devices_of: Option<CheckpointNumber>,
}

impl Guest {
    /// A machine of so many pages, all zero. It is of no checkpoint yet.
    pub(crate) fn new(pages: usize) -> Self {
        Self {
            memory: Memory::new(pages),
            devices: Devices::default(),
            disk: Disk::default(),
            executing: false,
            memory_of: None,
            devices_of: None,
        }
    }

    /// Another pair begins with this machine: it is what checkpoint 0 will be made of, all of it.
    pub(crate) fn begin_generation(&mut self) {
        self.memory.mark_all_dirty();
        self.memory.keep_no_pages();
        self.disk.begin_generation();
        self.memory_of = Some(CheckpointNumber::default());
        self.devices_of = self.memory_of;
    }

    /// The checkpoint that it descends from, all of it; none if it is torn between two.
    pub(crate) fn checkpoint(&self) -> Option<CheckpointNumber> {
        self.memory_of.filter(|_| self.memory_of == self.devices_of)
    }
}
