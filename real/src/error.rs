//! What can go wrong with a real machine, each with what to do about it where something can be done.
//!
//! A guest that misbehaves is not an error of the host: that is `vm::Exit::Failed`. A blob that does not decode has
//! its own type, `vm::BlobError`.

use std::io;

/// Shorthand for this crate's results.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the host side.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This is not x86-64 Linux.
    #[error("virtual machines need Linux on x86-64; use the simulator (colo sim) here")]
    Unsupported,
    /// The device is missing or closed to us.
    #[error(
        "/dev/kvm cannot be opened: {0}; load the kvm module (modprobe kvm_intel or kvm_amd, kvm_pvm in a virtual \
         machine), or run as a user in group kvm"
    )]
    KvmOpen(#[source] io::Error),
    /// The kernel speaks another dialect.
    #[error(
        "/dev/kvm speaks API version {got}, this program version {want}: it is no KVM that this program knows"
    )]
    KvmVersion {
        /// What the kernel says.
        got: i32,
        /// What is needed, 12 since Linux 2.6.22.
        want: i32,
    },
    /// The kernel lacks something indispensable.
    #[error("this kernel's KVM lacks {0}, which saving and restoring a machine needs; a newer kernel has it")]
    KvmLacks(&'static str),
    /// A call into KVM failed.
    #[error("{call} failed: {source}")]
    Kvm {
        /// The call.
        call: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A register that was saved cannot be set back.
    #[error("MSR {index:#x} = {value:#x} was refused: the state comes from a processor unlike this one")]
    Msr {
        /// Which MSR.
        index: u32,
        /// The value that was to be set.
        value: u64,
    },
    /// Guest memory cannot be had.
    #[error("{mib} MiB of guest memory cannot be set up: {source}; give the guest less memory")]
    MemorySetup {
        /// The size asked for, in MiB.
        mib: u64,
        /// What the kernel said.
        source: io::Error,
    },
    /// A size outside the limits.
    #[error("guest memory of {got} MiB: it must be from {min} to {max} MiB")]
    MemorySize {
        /// The size asked for, in MiB.
        got: u64,
        /// The least, in MiB.
        min: u64,
        /// The greatest, in MiB.
        max: u64,
    },
    /// An access beyond the end of guest memory.
    #[error("guest address {address:#x}, {bytes} bytes: memory ends at {end:#x}")]
    Address {
        /// First byte.
        address: u64,
        /// Length of the access.
        bytes: u64,
        /// Size of the memory in bytes.
        end: u64,
    },
    /// An image that does not fit.
    #[error("a guest image of {got} bytes: it must have from 1 to {max} bytes")]
    Image {
        /// Its size in bytes.
        got: usize,
        /// The greatest size in bytes.
        max: u64,
    },
    /// The guest's network card cannot be true: its queues, or the state that it is to go on from.
    #[error("the network card: {0}; the guest cannot be trusted any more")]
    Card(String),
    /// The guest has overwritten a counter of its rings.
    #[error(
        "the {ring} ring is corrupt: {put} put, {taken} taken, {slots} slots; the guest cannot be trusted any more"
    )]
    Ring {
        /// Which ring.
        ring: &'static str,
        /// Entries ever put.
        put: u64,
        /// Entries ever taken.
        taken: u64,
        /// Slots that there are.
        slots: u64,
    },
    /// The signal that gets the vCPU's thread out of the guest cannot be set up.
    #[error("the kick signal {signal} cannot be set up: {source}")]
    KickSignal {
        /// Its number.
        signal: i32,
        /// What the kernel said.
        source: io::Error,
    },
}
