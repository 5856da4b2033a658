//! Frames that are no TCP: each of the peer's is the like of one of one's own that has the same bytes. Their order is not
//! compared: nothing says of what stream they are.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Bytes that are kept. Frames beyond count as missing.
pub(super) const MOST_BYTES: usize = 1 << 20;

/// What an entry takes besides its bytes, roughly: frames without any are not free.
const ENTRY_BYTES: usize = 64;

/// The peer's frames that have had no like.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Others {
    frames: BTreeMap<Vec<u8>, usize>,
    bytes: usize,
}

impl Others {
    pub(super) fn take(&mut self, frame: Vec<u8>) {
        let size = size(&frame);
        if self.bytes.saturating_add(size) <= MOST_BYTES {
            self.bytes += size;
            *self.frames.entry(frame).or_default() += 1;
        }
    }

    /// How many have come of this.
    pub(super) fn count(&self, frame: &[u8]) -> usize {
        self.frames.get(frame).copied().unwrap_or_default()
    }

    /// One of it has found its like.
    pub(super) fn drop_one(&mut self, frame: &[u8]) {
        let Some(count) = self.frames.get_mut(frame) else { return };
        *count -= 1;
        self.bytes -= size(frame);
        if *count == 0 {
            self.frames.remove(frame);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn size(frame: &[u8]) -> usize {
    frame.len().saturating_add(ENTRY_BYTES)
}
