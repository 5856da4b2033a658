//! The simulated virtual machine: memory, devices, and the service that lives in both.
//!
//! A guest knows nothing of checkpoints. The marks that say which checkpoint its memory and its devices are of stand
//! beside it for the judge, and no guest reads them.

mod devices;
mod memory;
mod service;

pub(crate) use devices::{Devices, decode_devices, encode_devices};
pub(crate) use memory::{Memory, Page};

use colo_protocol::CheckpointNumber;

/// A virtual machine.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) memory: Memory,
    pub(crate) devices: Devices,
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
            executing: false,
            memory_of: None,
            devices_of: None,
        }
    }

    /// The checkpoint that it descends from, all of it; none if it is torn between two.
    pub(crate) fn checkpoint(&self) -> Option<CheckpointNumber> {
        self.memory_of.filter(|_| self.memory_of == self.devices_of)
    }
}
