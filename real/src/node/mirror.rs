//! The connection of the comparison, beside the link: requests from the primary's network to the secondary's guest (QEMU:
//! a filter-mirror), and the secondary's output to the primary's comparison (a filter-redirector).
//!
//! Frames of one size, so there is no length to believe. Both directions have bounded buffers. What finds no room is
//! dropped, as by any network: numbers and offsets show that something is missing, and a checkpoint makes up for it.

use crate::abi::{Reply, Request, Slot};
use crate::link::{Link, Moved};
use colo_protocol::{CheckpointNumber, OutputOffset};
use std::io::IoSlice;

/// Words in a frame.
const WORDS: usize = 8;

/// Bytes in a frame.
const FRAME: usize = 8 * WORDS;

/// What may wait to be written, bytes.
const MOST_WAITING: usize = 4 << 20;

/// What is read at once, bytes.
const READ_BYTES: usize = 1 << 16;

/// Two words of its own, and the first six of a ring's slot: the others are always zero.
pub(super) type Frame = [u64; WORDS];

/// A request that the primary's guest is given as number `number`.
pub(super) fn of_request(number: u64, request: Request) -> Frame {
    frame([0, number], request.to_slot())
}

/// The request and its number.
pub(super) fn to_request(frame: Frame) -> (u64, Request) {
    let (number, slot) = slot(frame);
    (number, Request::from_slot(slot))
}

/// A unit of output of a VM that goes on from a checkpoint, and where it stands.
pub(super) fn of_unit(from: CheckpointNumber, offset: OutputOffset, unit: Reply) -> Frame {
    frame([from.0, offset.0], unit.to_slot())
}

/// The unit, where it stands, and from which checkpoint its VM has gone on.
pub(super) fn to_unit(frame: Frame) -> (CheckpointNumber, OutputOffset, Reply) {
    let (offset, slot) = slot(frame);
    (CheckpointNumber(frame[0]), OutputOffset(offset), Reply::from_slot(slot))
}

fn frame(own: [u64; 2], slot: Slot) -> Frame {
    let mut words = own.into_iter().chain(slot);
    std::array::from_fn(|_| words.next().unwrap_or_default())
}

/// A frame's second word, and the slot.
fn slot([_, number, words @ ..]: Frame) -> (u64, Slot) {
    (number, std::array::from_fn(|place| words.get(place).copied().unwrap_or_default()))
}

/// A node's end of the connection.
pub(super) struct Mirror {
    pub(super) link: Link,
    outgoing: Vec<u8>,
    /// How much of it has been written.
    written: usize,
    inbound: Vec<u8>,
    /// How much of it has been read to.
    filled: usize,
}

impl Mirror {
    pub(super) fn new(link: Link) -> Self {
        Self { link, outgoing: Vec::new(), written: 0, inbound: vec![0; READ_BYTES], filled: 0 }
    }

    /// Puts a frame behind what waits, or drops it if that is too much.
    pub(super) fn put(&mut self, frame: Frame) {
        if self.outgoing.len() - self.written + FRAME <= MOST_WAITING {
            self.outgoing.extend(frame.into_iter().flat_map(u64::to_le_bytes));
        }
    }

    /// Whether something waits to be written.
    pub(super) const fn has_waiting(&self) -> bool {
        self.written < self.outgoing.len()
    }

    /// Forgets what waits: nobody hears it.
    pub(super) fn forget(&mut self) {
        self.outgoing.clear();
        self.written = 0;
    }

    /// Writes what the socket takes. Whether the connection is still there.
    pub(super) fn write(&mut self) -> bool {
        while self.has_waiting() {
            match self.link.write(&[IoSlice::new(&self.outgoing[self.written..])]) {
                Moved::Bytes(count) => self.written += count,
                Moved::WouldBlock => {
                    // What has been written is not kept for ever because something always waits.
                    self.outgoing.drain(..self.written);
                    self.written = 0;
                    return true;
                }
                Moved::Gone => return false,
            }
        }
        self.forget();
        true
    }

    /// Reads what is there, in part, and takes the whole frames to the end of `frames`. Whether the connection is still
    /// there.
    pub(super) fn read(&mut self, frames: &mut Vec<Frame>) -> bool {
        let moved = self.link.read(&mut self.inbound[self.filled..]);
        if let Moved::Bytes(count) = moved {
            self.filled += count;
        }
        let (whole, rest) = self.inbound[..self.filled].as_chunks::<FRAME>();
        frames.extend(whole.iter().map(from_bytes));
        let rest = rest.len();
        self.inbound.copy_within(self.filled - rest..self.filled, 0);
        self.filled = rest;
        moved != Moved::Gone
    }
}

fn from_bytes(bytes: &[u8; FRAME]) -> Frame {
    let (words, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|place| words.get(place).map_or(0, |word| u64::from_le_bytes(*word)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn pair() -> [Mirror; 2] {
        Link::pair(crate::LinkKind::Unix).unwrap().map(Mirror::new)
    }

    #[test]
    fn what_is_put_in_comes_out() {
        let request = Request { client: 1, sequence: 2, operation: 3, key: 4, value: 5 };
        assert_eq!(to_request(of_request(6, request)), (6, request));
        let unit = Reply { client: 1, sequence: 2, serial: 3, status: 4, value: 5, time: 6 };
        let (from, offset) = (CheckpointNumber(7), OutputOffset(8));
        assert_eq!(to_unit(of_unit(from, offset, unit)), (from, offset, unit));
    }

    #[test]
    fn frames_come_whole_however_the_bytes_come() {
        let [mut here, mut there] = pair();
        let frame: Frame = std::array::from_fn(|place| place as u64 + 1);
        let bytes: Vec<u8> = [frame; 3].into_iter().flatten().flat_map(u64::to_le_bytes).collect();
        let mut frames = Vec::new();
        for piece in bytes.chunks(50) {
            assert_eq!(there.link.write(&[IoSlice::new(piece)]), Moved::Bytes(piece.len()));
            assert!(here.read(&mut frames));
        }
        assert_eq!(frames, [frame; 3]);
        there.link.shut_down(std::net::Shutdown::Both);
        assert!(!here.read(&mut frames));
    }

    #[test]
    fn what_nobody_reads_has_an_end() {
        let [_here, mut there] = pair();
        for number in 0..(3 * MOST_WAITING / FRAME) as u64 {
            there.put(of_request(number, Request::default()));
            assert!(there.write());
        }
        assert!(there.outgoing.len() <= MOST_WAITING, "{} bytes wait", there.outgoing.len());
        there.forget();
        assert!(!there.has_waiting());
    }
}
