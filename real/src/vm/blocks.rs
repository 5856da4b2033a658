//! The host's end of the block ring: what the guest asks of its disk is done here, in order, each before the next.
//!
//! The counters and slots are in guest memory, and the guest can write what it likes into them. An impossible count is an
//! error; any block, address or operation that there is not is refused to the guest, and nothing is done.

use super::card::from_bytes;
use super::memory::Page;
use super::{Machine, Memory};
use crate::abi::{self, BLOCK_SLOTS, BlockRequest, Slot};
use crate::{Error, Result};
use std::io;

/// What a guest's block requests come to. One call is one request, and is over when the request is done.
pub trait BlockDevice {
    /// How many blocks there are.
    fn blocks(&self) -> u64;

    /// Reads a block.
    ///
    /// # Errors
    /// The guest is told that it could not be done.
    fn read(&self, block: u64, to: &mut Page) -> io::Result<()>;

    /// Writes a block.
    ///
    /// # Errors
    /// As for [`BlockDevice::read`]; what the block holds then is not known.
    fn write(&self, block: u64, content: &Page) -> io::Result<()>;

    /// Waits until what was written is on storage.
    ///
    /// # Errors
    /// As for [`BlockDevice::read`].
    fn flush(&self) -> io::Result<()>;
}

/// A machine without a disk has one of no blocks.
impl BlockDevice for () {
    fn blocks(&self) -> u64 {
        0
    }

    fn read(&self, _: u64, _: &mut Page) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn write(&self, _: u64, _: &Page) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Machine {
    /// Does what waits in the block ring; how many requests that were.
    ///
    /// # Errors
    /// [`Error::Ring`] when the guest has corrupted the ring; then nothing is done.
    pub fn serve_blocks(&mut self, device: &dyn BlockDevice) -> Result<u64> {
        self.memory().serve_blocks(device)
    }
}

impl Memory {
    pub(super) fn serve_blocks(&self, device: &dyn BlockDevice) -> Result<u64> {
        let (put, done) = (self.read_word(abi::BLOCKS_PUT)?, self.read_word(abi::BLOCKS_DONE)?);
        let waiting = put.wrapping_sub(done);
        if waiting > BLOCK_SLOTS {
            return Err(Error::Ring { ring: "block", put, taken: done, slots: BLOCK_SLOTS });
        }
        for n in (0..waiting).map(|from| done.wrapping_add(from)) {
            let slot = abi::block_slot_address(n);
            let mut bytes = [0; size_of::<Slot>()];
            self.read(slot, &mut bytes)?;
            let status = self.serve_block(BlockRequest::from_slot(from_bytes(&bytes)), device);
            self.write(slot + 8 * abi::BLOCK_STATUS as u64, &status.to_le_bytes())?;
        }
        self.write(abi::BLOCKS_DONE, &put.to_le_bytes())?;
        Ok(waiting)
    }

    /// Does one request; its status.
    fn serve_block(
        &self,
        BlockRequest { operation, block, address }: BlockRequest,
        device: &dyn BlockDevice,
    ) -> u64 {
        let mut content = [0; size_of::<Page>()];
        let is_there = block < device.blocks() && self.read(address, &mut content).is_ok();
        let done = match operation {
            abi::BLOCK_FLUSH => device.flush(),
            abi::BLOCK_WRITE if is_there => device.write(block, &content),
            abi::BLOCK_READ if is_there => device.read(block, &mut content).and_then(|()| {
                // It has just been found to be all memory.
                self.write(address, &content).map_err(io::Error::other)
            }),
            _ => return abi::BLOCK_REFUSED,
        };
        if done.is_ok() { abi::BLOCK_OK } else { abi::BLOCK_ERROR }
    }

    /// Whether something has been done of which the guest has not seen what became: it was stopped in the middle.
    pub(super) fn sees_no_blocks(&self) -> Result<bool> {
        Ok(self.read_word(abi::BLOCKS_PUT)? != self.read_word(abi::BLOCKS_SEEN)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::card::to_bytes;
    use super::super::memory::MEMORY_MIB_MIN;
    use super::*;
    use std::cell::{Cell, RefCell};

    /// A disk in memory that may fail.
    #[derive(Default)]
    struct Disk {
        blocks: RefCell<[[u8; 32]; 4]>,
        fails: Cell<bool>,
    }

    impl BlockDevice for Disk {
        fn blocks(&self) -> u64 {
            4
        }

        fn read(&self, block: u64, to: &mut Page) -> io::Result<()> {
            to[..32].copy_from_slice(&self.blocks.borrow()[usize::try_from(block).unwrap()]);
            if self.fails.take() { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
        }

        fn write(&self, block: u64, content: &Page) -> io::Result<()> {
            self.blocks.borrow_mut()[usize::try_from(block).unwrap()].copy_from_slice(&content[..32]);
            if self.fails.take() { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn put(memory: &Memory, requests: &[BlockRequest]) {
        let put = memory.read_word(abi::BLOCKS_PUT).unwrap();
        for (n, request) in (put..).zip(requests) {
            memory.write(abi::block_slot_address(n), &to_bytes(request.to_slot())).unwrap();
        }
        memory.write(abi::BLOCKS_PUT, &(put + requests.len() as u64).to_le_bytes()).unwrap();
    }

    fn status(memory: &Memory, n: u64) -> u64 {
        memory.read_word(abi::block_slot_address(n) + 24).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back_and_what_there_is_not_is_refused() {
        let (memory, disk) = (Memory::new(MEMORY_MIB_MIN, false).unwrap(), Disk::default());
        memory.write(abi::WORK, &[7; 4096]).unwrap();
        let request = |operation, block, address| BlockRequest { operation, block, address };
        put(
            &memory,
            &[
                request(abi::BLOCK_WRITE, 3, abi::WORK),
                request(abi::BLOCK_READ, 3, abi::WORK + 4096 + 13),
                request(abi::BLOCK_FLUSH, u64::MAX, u64::MAX),
                request(abi::BLOCK_READ, 4, abi::WORK),
                request(abi::BLOCK_READ, 0, memory.bytes() - 4095),
                request(abi::BLOCK_WRITE, 0, u64::MAX),
                request(9, 0, abi::WORK),
            ],
        );
        assert_eq!(memory.serve_blocks(&disk).unwrap(), 7);
        let statuses: Vec<_> = (0..7).map(|n| status(&memory, n)).collect();
        assert_eq!(statuses, [0, 0, 0, 2, 2, 2, 2]);
        let mut read = [0; 4096];
        memory.read(abi::WORK + 4096 + 13, &mut read).unwrap();
        assert_eq!((read[31], read[32]), (7, 0));
        assert_eq!(memory.serve_blocks(&disk).unwrap(), 0);
        disk.fails.set(true);
        put(&memory, &[request(abi::BLOCK_WRITE, 1, abi::WORK)]);
        assert_eq!((memory.serve_blocks(&disk).unwrap(), status(&memory, 7)), (1, abi::BLOCK_ERROR));
    }

    #[test]
    fn an_impossible_count_is_an_error_and_nothing_is_done() {
        let memory = Memory::new(MEMORY_MIB_MIN, false).unwrap();
        for put in [BLOCK_SLOTS + 1, u64::MAX] {
            memory.write(abi::BLOCKS_PUT, &put.to_le_bytes()).unwrap();
            assert!(matches!(memory.serve_blocks(&()), Err(Error::Ring { ring: "block", .. })), "{put}");
            assert_eq!(memory.read_word(abi::BLOCKS_DONE).unwrap(), 0);
        }
    }
}
