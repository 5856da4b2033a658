//! Bytes on their way to the link: buffered, written as the socket takes them, with the middle of a transfer marked.

use crate::link::{Link, Moved};

/// What waits to be written.
#[derive(Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    written: usize,
    /// Bytes ever written.
    total: u64,
    /// Where the middle of the transfer in hand is, as a place in `bytes`, until it has been reached.
    middle: Option<usize>,
}

/// How far writing has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    /// Everything is written.
    Done,
    /// The middle of the transfer has just been reached.
    Middle,
    /// The socket takes no more now.
    WouldBlock,
    /// The link is gone.
    Gone,
}

impl Outgoing {
    /// Where to append.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends all of `bytes` and leaves it empty; when nothing waits, without copying.
    pub(super) fn append(&mut self, bytes: &mut Vec<u8>) {
        if self.bytes.is_empty() {
            std::mem::swap(&mut self.bytes, bytes);
        } else {
            self.bytes.append(bytes);
        }
    }

    /// Everything appended since `start` is one transfer: `pump` stops once in its middle.
    pub(super) fn mark_transfer(&mut self, start: usize) {
        self.middle = Some(start.midpoint(self.bytes.len()));
    }

    /// Whether there is anything to write.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes ever written.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// Forgets what has not been written.
    pub(super) fn clear(&mut self) {
        (self.written, self.middle) = (0, None);
        self.bytes.clear();
    }

    /// Writes what the socket takes.
    pub(super) fn pump(&mut self, link: &mut Link) -> Progress {
        while self.written < self.bytes.len() {
            let end = self.middle.map_or(self.bytes.len(), |middle| middle.max(self.written));
            if end == self.written {
                self.middle = None;
                return Progress::Middle;
            }
            match link.write(&self.bytes[self.written..end]) {
                Moved::Bytes(count) => {
                    self.written += count;
                    self.total += count as u64;
                }
                Moved::WouldBlock => return Progress::WouldBlock,
                Moved::Gone => return Progress::Gone,
            }
        }
        self.clear();
        Progress::Done
    }
}
