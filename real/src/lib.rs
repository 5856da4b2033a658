//! The COLO core on two KVM virtual machines, in two processes that really die.
//!
//! ```text
//!   pair      the harness: starts both processes; is the clients and the manager; carries out a plan's faults
//!   arbiter   who gives the right to serve alone: in memory, on shared storage, in etcd
//!   control   what harness and nodes tell each other
//!   host      one side of a pair whose other side is on another host, and the clients of such a pair
//!   node      a node's process: the core, a VM, an end of the link
//!   handing   descriptors that go over the control channel
//!   link      the socket between the nodes
//!   peer      how two sides meet that run on different hosts
//!   net       the network outside of the machines: a switch, and who is at its ports
//!   disk      a node's disk: its files, replication, and what is checked of them after a run
//!   packets   what a guest's frame says, for the comparison
//!   vm        one virtual machine under /dev/kvm, and the guest's ABI
//! ```
//!
//! No protocol here: what is saved, sent, released or resumed, and when, is decided in `colo-protocol`; this crate
//! carries it out. On anything but x86-64 Linux the crate compiles, and says that there is no KVM.

#[path = "../guest/abi.rs"]
pub mod abi;
mod error;
#[doc(hidden)]
#[path = "../guest/misdeed.rs"]
pub mod misdeed;
pub mod packets;
#[path = "../guest/record.rs"]
pub mod record;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod arbiter;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod control;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod disk;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod handing;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod host;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod link;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod net;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod node;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod pace;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod pair;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod peer;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod vm;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use control::{CheckpointFigures, ComparisonFigures, EntryFigures};
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use disk::DiskFigures;
pub use error::{Error, Result};
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use link::LinkKind;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use node::{NodeError, patience_with_peer, run_node};
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use pair::{
    ComparisonOutcome, FailoverTimes, Latencies, Load, Measured, NodeCommand, Opinion, PairEvent, RunError,
    RunOptions, RunOutcome, RunViolation, Slice, can_strike, measure_pair, run_alone, run_pair,
};
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use peer::{Address, AddressError, Keys, KeysError, Listener, PeerError, Stranger, Terms, make_keys};
#[doc(hidden)]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use peer::{Heard, hear_hello};
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use vm::{Divergence, Guest, Network, Pattern, Workload, kvm_usable};

/// Whether virtual machines can be run here: on this target they cannot.
///
/// # Errors
/// Always [`Error::Unsupported`].
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub fn kvm_usable() -> Result<()> {
    Err(Error::Unsupported)
}
