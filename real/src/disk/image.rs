//! A file of blocks, and the one door through which a node's disk files are read and written: it is here that I/O fails when
//! a plan has it so.

use super::Block;
use crate::abi::BLOCK_BYTES;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Which thing that is asked of a node's files is to fail, once; all of its files share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Fault(Arc<AtomicUsize>);

impl Fault {
    /// The next thing fails.
    pub(super) fn arm(&self) {
        self.arm_after(0);
    }

    /// So many things are done, and the one behind them fails.
    pub(super) fn arm_after(&self, things: usize) {
        self.0.store(things.saturating_add(1), Ordering::SeqCst);
    }

    /// Fails, if it is this one.
    pub(super) fn strike(&self) -> io::Result<()> {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left == Ok(1) { Err(io::Error::from(rustix::io::Errno::IO)) } else { Ok(()) }
    }
}

/// A file and what may befall it.
#[derive(Debug)]
pub(super) struct Media {
    file: File,
    pub(super) fault: Fault,
}

impl Media {
    pub(super) const fn new(file: File, fault: Fault) -> Self {
        Self { file, fault }
    }

    pub(super) fn read(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        self.fault.strike()?;
        self.file.read_exact_at(to, offset)
    }

    pub(super) fn write(&self, offset: u64, from: &[u8]) -> io::Result<()> {
        self.fault.strike()?;
        self.file.write_all_at(from, offset)
    }

    /// Cuts the file off there.
    pub(super) fn cut(&self, length: u64) -> io::Result<()> {
        self.fault.strike()?;
        self.file.set_len(length)
    }

    /// Waits until the storage has what was written.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.fault.strike()?;
        self.file.sync_data()
    }

    pub(super) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

/// A disk's blocks. A block is written as one: it lies in one page of the file.
#[derive(Debug)]
pub(super) struct Image {
    media: Media,
    blocks: u64,
}

impl Image {
    /// The image in this file, whose length is the disk's.
    pub(super) fn of(media: Media) -> io::Result<Self> {
        let blocks = media.length()? / BLOCK_BYTES;
        Ok(Self { media, blocks })
    }

    pub(super) const fn blocks(&self) -> u64 {
        self.blocks
    }

    pub(super) fn read(&self, block: u64, to: &mut Block) -> io::Result<()> {
        self.media.read(self.offset(block)?, to)
    }

    pub(super) fn write(&self, block: u64, from: &Block) -> io::Result<()> {
        self.media.write(self.offset(block)?, from)
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        self.media.flush()
    }

    fn offset(&self, block: u64) -> io::Result<u64> {
        if block < self.blocks {
            return Ok(block * BLOCK_BYTES);
        }
        let problem = format!("block {block} of a disk of {}", self.blocks);
        Err(io::Error::new(ErrorKind::InvalidInput, problem))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_block_beyond_the_end_is_refused_and_an_error_strikes_once() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(2 * BLOCK_BYTES).unwrap();
        let fault = Fault::default();
        let image = Image::of(Media::new(file, fault.clone())).unwrap();
        for block in [2, u64::MAX / BLOCK_BYTES, u64::MAX] {
            assert_eq!(image.write(block, &[1; 4096]).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        fault.arm();
        assert_eq!(image.write(1, &[1; 4096]).unwrap_err().raw_os_error(), Some(libc::EIO));
        let mut content = [9; 4096];
        image.read(1, &mut content).unwrap();
        assert_eq!(content, [0; 4096]);
        image.write(1, &[1; 4096]).unwrap();
        image.read(1, &mut content).unwrap();
        assert_eq!(content, [1; 4096]);
    }
}
