//! A guest's memory with the card and without a machine: the rings, for fuzzing, also where there is no KVM. No part of
//! the runner uses it.

use super::memory::MEMORY_MIB_MIN;
use super::{BlockDevice, Memory};
use crate::Result;
use crate::abi::{Reply, Request};
use std::time::Duration;

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
