//! Why the guest is not running: KVM's exits in this crate's words.

use std::fmt;

use kvm_ioctls::VcpuExit;

use crate::abi;

/// Why the guest is not running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It has nothing to do until the host gives it something.
    Doorbell(Doorbell),
    /// It has asked its disk for something, and waits until that is done.
    Blocks,
    /// Somebody kicked it.
    Kicked,
    /// It asks to be shut down.
    Shutdown,
    /// It asks to be reset.
    Reset,
    /// It cannot go on.
    Failed(Failure),
}

/// What the guest waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doorbell {
    /// Requests or ticks.
    Idle,
    /// Room in the reply ring.
    ReplyRingFull,
    /// Room in the card's transmit queue.
    CardFull,
}

/// How a guest failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A check in the guest's program failed.
    Panicked {
        /// The line of the program.
        line: u32,
    },
    /// A fault with no handler, or an access outside its memory.
    Fault(String),
    /// Something that the guest's program never does.
    Unexpected(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked { line } => write!(f, "the guest panicked at line {line}"),
            Self::Fault(what) => write!(f, "the guest faulted: {what}"),
            Self::Unexpected(what) => write!(f, "the guest did what it never does: {what}"),
        }
    }
}

/// What an exit from KVM means.
pub(super) fn translate(exit: &VcpuExit<'_>) -> Exit {
    let fault = |what: String| Exit::Failed(Failure::Fault(what));
    match exit {
        VcpuExit::IoOut(port, data) => translate_out(*port, data),
        VcpuExit::Shutdown => fault("a fault without a handler (triple fault)".into()),
        VcpuExit::MmioRead(address, _) => fault(format!("a read at {address:#x}, where no memory is")),
        VcpuExit::MmioWrite(address, _) => fault(format!("a write at {address:#x}, where no memory is")),
        VcpuExit::InternalError => fault("an instruction that KVM cannot emulate".into()),
        other => Exit::Failed(Failure::Unexpected(format!("{other:?}"))),
    }
}

/// What a write of `data` to `port` means.
fn translate_out(port: u16, data: &[u8]) -> Exit {
    let value = <[u8; 4]>::try_from(data).map(u32::from_le_bytes);
    match (port, value) {
        (abi::PORT_DOORBELL, Ok(abi::DOORBELL_IDLE)) => Exit::Doorbell(Doorbell::Idle),
        (abi::PORT_DOORBELL, Ok(abi::DOORBELL_REPLY_RING_FULL)) => Exit::Doorbell(Doorbell::ReplyRingFull),
        (abi::PORT_DOORBELL, Ok(abi::DOORBELL_CARD_FULL)) => Exit::Doorbell(Doorbell::CardFull),
        (abi::PORT_BLOCKS, Ok(_)) => Exit::Blocks,
        (abi::PORT_SHUTDOWN, Ok(_)) => Exit::Shutdown,
        (abi::PORT_RESET, Ok(_)) => Exit::Reset,
        (abi::PORT_PANIC, Ok(line)) => Exit::Failed(Failure::Panicked { line }),
        _ => Exit::Failed(Failure::Unexpected(format!("output of {data:x?} to port {port:#x}"))),
    }
}
