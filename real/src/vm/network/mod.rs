//! The host's end of the network card: virtio-net over MMIO, version 2 (the OASIS specification of virtio 1.2, 4.2 and 5.1).
//!
//! What the guest has put into the transmit queue is copied out whenever the guest has left to the host, and its buffers are given
//! back at once: what becomes of the frames afterwards is not the card's affair, and nothing of them stays in it. The card never
//! interrupts, and tells its driver not to notify: the guest leaves often enough, and each time costs as much as a thousand
//! words copied.
//!
//! Queues lie where the guest says that they do, and hold what it has written there: every access is checked, and a queue that
//! cannot be true is an error, with which the guest is not to be trusted any more.

mod buffers;
mod registers;
mod state;
#[cfg(test)]
mod tests;

use super::memory::{Mapping, Memory};
use crate::abi::{CARD_QUEUE_ENTRIES, CardParameters, FRAME_BYTES_MAX};
use crate::net::{Frame, MAX_FRAME_BYTES};
use crate::{Error, Result};
use registers::Registers;
pub use state::CardState;
pub(super) use state::check_card;
use virtio_bindings::virtio_net::virtio_net_hdr_v1;
use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};

/// What stands before each frame in a queue.
const HEADER_BYTES: usize = size_of::<virtio_net_hdr_v1>();

// The guest is told how long a frame may be, and the network has its own word for it.
const _: () = assert!(FRAME_BYTES_MAX == MAX_FRAME_BYTES);

/// The queue of frames to the guest.
const RECEIVE: usize = 0;

/// The queue of frames from the guest.
const TRANSMIT: usize = 1;

/// What a machine is told of its network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CardConfig {
    /// The card's own address.
    pub hardware_address: [u8; 6],
    /// The rest.
    pub parameters: CardParameters,
}

/// A network card.
#[derive(Debug)]
pub(super) struct NetworkCard {
    registers: Registers,
    queues: [Queue; 2],
    /// Frames that the guest has ever sent: the offset of the end of its output stream.
    sent: u64,
    /// Frames that the guest has ever been given.
    received: u64,
    /// How many of them had been when its driver became ready.
    received_before: u64,
}

impl NetworkCard {
    pub(super) fn new(config: &CardConfig) -> Result<Self> {
        Ok(Self {
            registers: Registers::of(config.hardware_address),
            queues: [fresh_queue()?, fresh_queue()?],
            sent: 0,
            received: 0,
            received_before: 0,
        })
    }

    /// The guest reads a register.
    pub(super) fn read(&self, register: u64, to: &mut [u8]) {
        self.registers.read(register, &self.queues, to);
    }

    /// The guest writes a register.
    pub(super) fn write(&mut self, register: u64, from: &[u8], memory: &Mapping) -> Result<()> {
        let (was_ready, before) = (self.is_ready(), self.registers);
        self.registers.write(register, from, &mut self.queues);
        if self.is_ready() && !was_ready {
            if let Err(refused) = self.queues.iter().try_for_each(|queue| check_place(queue, memory)) {
                // It is not ready: there is no such card.
                self.registers = before;
                return Err(refused);
            }
            self.received_before = self.received;
            self.queues
                .iter_mut()
                .try_for_each(|queue| queue.disable_notification(memory))
                .map_err(corrupt)?;
        }
        Ok(())
    }

    /// Nobody drives it any more, as after power on; what has been counted is counted on.
    pub(super) fn reset(&mut self) {
        self.registers.reset(&mut self.queues);
    }

    /// Whether the guest has a driver for it that is ready.
    pub(super) fn is_ready(&self) -> bool {
        self.registers.is_driven() && self.queues.iter().all(QueueT::ready)
    }

    /// Frames that the guest has ever sent.
    pub(super) const fn sent(&self) -> u64 {
        self.sent
    }

    /// Frames that the guest has ever been given.
    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// Those of them that it has been given since its driver is ready.
    pub(super) const fn given(&self) -> u64 {
        self.received.wrapping_sub(self.received_before)
    }

    /// Puts a frame into the receive queue; `false` when the guest has left no room there. The guest sees it when it runs.
    pub(super) fn put(&mut self, memory: &Mapping, frame: &[u8]) -> Result<bool> {
        if !self.is_ready() {
            return Ok(false);
        }
        let queue = &mut self.queues[RECEIVE];
        let Some(chain) = next(queue, memory)? else { return Ok(false) };
        let head = chain.head_index();
        let header = virtio_net_hdr_v1 { num_buffers: 1, ..virtio_net_hdr_v1::default() };
        let bytes = [header_bytes(header).as_slice(), frame].concat();
        buffers::write(chain, memory, &bytes)?;
        queue.add_used(memory, head, u32::try_from(bytes.len()).unwrap_or(u32::MAX)).map_err(corrupt)?;
        self.received = self.received.wrapping_add(1);
        Ok(true)
    }

    /// Takes the frames out of the transmit queue, in order, to the end of `frames`; says how many: at most as many as it has entries,
    /// which is all of them. What is no frame is sent by no card, and lost. Their offsets in the output stream end at [`Self::sent`].
    pub(super) fn take(&mut self, memory: &Mapping, frames: &mut Vec<Frame>) -> Result<u64> {
        if !self.is_ready() {
            return Ok(0);
        }
        let before = self.sent;
        let queue = &mut self.queues[TRANSMIT];
        // Not for as long as there are some: what is given back may lie where it is said what there is.
        for _ in 0..queue.size() {
            let Some(chain) = next(queue, memory)? else { break };
            let head = chain.head_index();
            let mut bytes = [0; HEADER_BYTES + FRAME_BYTES_MAX + 1];
            let length = buffers::read(chain, memory, &mut bytes)?;
            queue.add_used(memory, head, 0).map_err(corrupt)?;
            if let Ok(frame) = Frame::new(bytes.get(HEADER_BYTES..length).unwrap_or_default()) {
                frames.push(frame);
                self.sent = self.sent.wrapping_add(1);
            }
        }
        Ok(self.sent.wrapping_sub(before))
    }
}

/// A queue in use lies in memory, all of it.
fn check_place(queue: &Queue, memory: &Mapping) -> Result<()> {
    if queue.is_valid(memory) {
        return Ok(());
    }
    Err(Error::Card(format!(
        "a queue of {} entries at {:#x}, {:#x} and {:#x}, not all of which is memory",
        queue.size(),
        queue.desc_table(),
        queue.avail_ring(),
        queue.used_ring()
    )))
}

fn fresh_queue() -> Result<Queue> {
    Queue::new(CARD_QUEUE_ENTRIES).map_err(corrupt)
}

/// The next buffers that the guest has made available, if there are any. (`Queue::pop_descriptor_chain` does not tell a queue that is
/// empty from one that cannot be true.)
fn next<'a>(queue: &mut Queue, memory: &'a Mapping) -> Result<Option<DescriptorChain<&'a Mapping>>> {
    Ok(queue.iter(memory).map_err(corrupt)?.next())
}

/// The header as it lies in memory: little-endian, and in this program, which runs on one architecture, as it is.
fn header_bytes(header: virtio_net_hdr_v1) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    let count = header.num_buffers.to_le_bytes();
    bytes[HEADER_BYTES - count.len()..].copy_from_slice(&count);
    bytes
}

fn corrupt(error: impl std::fmt::Display) -> Error {
    Error::Card(error.to_string())
}
