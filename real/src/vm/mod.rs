//! One virtual machine, and all of its state: the lower half of the runner.
//!
//! ```text
//!   guest       the programs that there are, and what they can be told to do
//!   card        the host's end of the guest's rings: requests in, replies out, ticks, time, buttons
//!   network     the host's end of a real network card: frames in and out
//!   blocks      the host's end of the block ring: what the guest asks of its disk
//!   machine     one VM under /dev/kvm: boot, run until an exit, settle, save, restore
//!     |-- host      what /dev/kvm must offer
//!     |-- boot      ring 3 in long mode, page tables, the program
//!     |-- exit      why the guest is not running
//!     |-- kick      out of the guest from another thread
//!     |-- cpu       the processor's state, complete
//!     |-- state     what has to move for the guest to go on elsewhere, but for its memory
//!     |-- running   which pages of a guest that executes have been written, and copies of them
//!     |-- dirty     KVM's dirty log and the host's own writes, as one list of pages
//!     `-- memory    guest memory in a memfd; no write without a mark
//!   bare        rings, and a network card, in a memory without a machine, for fuzzing
//!   blob        a processor's state and the withheld output as checked bytes
//! ```
//!
//! Two rules hold the parts together. Whoever holds [`&mut Machine`](Machine) holds the guest still: [`Machine::run`]
//! needs it, and so do all host writes into guest memory, so no capture can race with either. And host writes, which
//! KVM's dirty log does not see, have one door, which marks them.
//!
//! No protocol here: nothing in this folder decides what to save, send, release or resume.

mod bare;
mod blob;
mod blocks;
mod boot;
mod card;
mod cpu;
mod dirty;
mod exit;
mod guest;
mod host;
mod kick;
mod machine;
mod memory;
mod network;
mod running;
mod state;

#[doc(hidden)]
pub use bare::{BareCard, BareNetworkCard};
pub use blob::{BLOB_BYTES_MAX, BlobError, Decoded, decode, encode};
pub use blocks::BlockDevice;
pub use card::Button;
pub use cpu::CpuState;
pub use exit::{Doorbell, Exit, Failure};
pub use guest::{Divergence, Guest, Network, Pattern, Workload};
pub use host::kvm_usable;
pub use kick::Kicker;
pub use machine::{Machine, MachineConfig};
pub use memory::{MEMORY_MIB_MAX, MEMORY_MIB_MIN, Memory, Page};
pub use network::{CardConfig, CardState};
pub use running::RunningMemory;
pub use state::MachineState;
