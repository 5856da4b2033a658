//! A guest's memory with the card and without a machine: the rings, and the network card, for fuzzing, also where there is no
//! KVM. No part of the runner uses it.

use super::memory::MEMORY_MIB_MIN;
use super::network::{NetworkCard, check_card};
use super::{BlockDevice, CardConfig, CardState, Memory};
use crate::Result;
use crate::abi::{CardParameters, PAGE_BYTES, Reply, Request};
use crate::net::Frame;
use std::time::Duration;
use zerocopy::{FromBytes, IntoBytes};

/// See [`Machine`](super::Machine) for what each method does.
#[derive(Debug)]
#[allow(missing_docs, clippy::missing_errors_doc, reason = "each is the machine's method of the same name")]
pub struct BareCard(Memory);

#[allow(missing_docs, clippy::missing_errors_doc, reason = "each is the machine's method of the same name")]
impl BareCard {
    /// The least memory that there is, all zeros.
    pub fn new() -> Result<Self> {
        Memory::new(MEMORY_MIB_MIN, false).map(Self)
    }

    /// The guest writes.
    pub fn poke(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        self.0.write(address, bytes)
    }

    pub fn put_request(&mut self, request: &Request) -> Result<bool> {
        self.0.put_request(request)
    }

    pub fn take_replies(&mut self, replies: &mut Vec<Reply>) -> Result<u64> {
        self.0.take_replies(replies)
    }

    pub fn serve_blocks(&mut self, device: &dyn BlockDevice) -> Result<u64> {
        self.0.serve_blocks(device)
    }

    pub fn tick(&mut self) -> Result<()> {
        self.0.tick()
    }

    pub fn pass_time(&mut self, passed: Duration) -> Result<()> {
        self.0.pass_time(passed)
    }

    pub fn wakes_in(&self) -> Result<Option<Duration>> {
        self.0.wakes_in()
    }

    pub fn has_work(&self) -> Result<bool> {
        self.0.has_work()
    }
}

/// The network card's configuration.
const CARD: CardConfig = CardConfig {
    hardware_address: [2, 0, 0, 0, 0x66, 2],
    parameters: CardParameters { address: 0, prefix_bits: 0, port: 0, seed: 0 },
};

/// See [`Machine`](super::Machine) for what each method does.
#[derive(Debug)]
pub struct BareNetworkCard {
    memory: Memory,
    card: NetworkCard,
}

#[allow(
    missing_docs,
    clippy::missing_errors_doc,
    reason = "most are the machine's methods of the same names"
)]
impl BareNetworkCard {
    /// Nobody drives it, and its memory is all zeros.
    pub fn new() -> Result<Self> {
        Ok(Self { memory: Memory::new(MEMORY_MIB_MIN, false)?, card: NetworkCard::new(&CARD)? })
    }

    /// The same again: whatever has been written is zero.
    pub fn clear(&mut self) -> Result<()> {
        let mut marks = vec![0_u64; usize::try_from(self.memory.pages() / 64).unwrap_or_default()];
        self.memory.take_marks(&mut marks);
        for (word, first) in marks.iter().zip((0..).step_by(64)) {
            for page in (first..first + 64).filter(|page| word >> (page % 64) & 1 == 1) {
                self.memory.write(page * PAGE_BYTES, &[0; 4096])?;
            }
        }
        self.memory.take_marks(&mut marks);
        self.card = NetworkCard::new(&CARD)?;
        Ok(())
    }

    /// The guest writes.
    pub fn poke(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        self.memory.write(address, bytes)
    }

    pub fn read(&self, register: u64, to: &mut [u8]) {
        self.card.read(register, to);
    }

    pub fn write(&mut self, register: u64, from: &[u8]) -> Result<()> {
        self.card.write(register, from, self.memory.mapping())
    }

    pub fn is_ready(&self) -> bool {
        self.card.is_ready()
    }

    pub fn put_frame(&mut self, frame: &[u8]) -> Result<bool> {
        self.card.put(self.memory.mapping(), frame)
    }

    pub fn take_frames(&mut self, frames: &mut Vec<Frame>) -> Result<u64> {
        self.card.take(self.memory.mapping(), frames)
    }

    /// Frames that the guest has ever sent, and been given.
    pub fn counts(&self) -> [u64; 2] {
        [self.card.sent(), self.card.received()]
    }

    /// The card's part of a device state.
    pub fn state(&self) -> Vec<u8> {
        self.card.state().as_bytes().to_vec()
    }

    /// Becomes the card of this state, if there can be one.
    pub fn restore(&mut self, state: &[u8]) -> Result<()> {
        let state = CardState::read_from_bytes(state).unwrap_or_default();
        check_card(Some(&CARD), Some(&state), &self.memory)?;
        self.card.restore(&state, self.memory.mapping())
    }
}
