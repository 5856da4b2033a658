//! A node's disk: an image file that its VM reads and writes in blocks, and, on a secondary, what of the primary's writes the
//! VM does not see yet.
//!
//! ```text
//!   device       what the VM's block requests come to: the image, the overlays, and the peer
//!     |-- overlay    a secondary's image during replication: old contents kept, own writes aside; given up at failover
//!     |     `-- layer    the old contents of one epoch, in a file of checksummed records
//!     |-- image      the image file, and the one place where I/O fails on purpose
//!     |-- frame      a replicated write as it goes over the connection, and the answer
//!     |-- connection an end of that connection: the primary's sends and waits, the secondary's is a thread of its own
//!     `-- copy       a survivor's disk on its way to a replacement, a thread of its own as well
//!   check        an image after a run, held against what the clients were told
//! ```
//!
//! **What survives.** A process may be killed at any instruction. Before a block of the base is overwritten its old content
//! is in a layer's file; so whoever opens the files next ([`recover`]) gets the disk of the checkpoint that the secondary
//! would have gone on from. The machine's own death is not covered: nothing waits for the storage between two flushes.
//!
//! No decision of the protocol is taken here: when replication starts, what a checkpoint covers and when the disk fails over
//! are effects of the core.

mod check;
mod connection;
mod copy;
mod device;
mod frame;
mod image;
mod layer;
mod overlay;

pub(crate) use check::{Acknowledged, End, check_survivor, check_whole};
pub(crate) use connection::{Control, Receiver, Sender};
pub(crate) use copy::start as start_copier;
pub use device::DiskFigures;
pub(crate) use device::NodeDisk;
pub(crate) use overlay::{has_disk, recover};

use crate::abi::BLOCK_BYTES;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The content of a block.
pub(crate) type Block = [u8; 4096];

const _: () = assert!(size_of::<Block>() as u64 == BLOCK_BYTES);

/// The disk of a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct DiskConfig {
    /// Where its files are.
    pub directory: PathBuf,
    /// How many blocks it has.
    pub blocks: u64,
}
