//! The connection of the comparison, beside the link: requests from the primary's network to the secondary's guest (QEMU:
//! a filter-mirror), and the secondary's output to the primary's comparison (a filter-redirector).
//!
//! Parcels whose lengths are bounded by what a frame may have. Both directions have bounded buffers. What finds no room is
//! dropped, as by any network: numbers and offsets show that something is missing, and a checkpoint makes up for it.

use super::unit::{Incoming, Unit};
use crate::link::{Link, Moved};
use crate::net::MAX_FRAME_BYTES;
use colo_protocol::{CheckpointNumber, OutputOffset};
use std::io::IoSlice;

/// What stands before a parcel's content: two words, and the length of the content.
const HEAD: usize = 8 + 8 + 4;

/// What may wait to be written, bytes.
const MOST_WAITING: usize = 4 << 20;

/// What is read at once, bytes.
const READ_BYTES: usize = 1 << 16;

const _: () = assert!(HEAD + MAX_FRAME_BYTES <= READ_BYTES);

/// What is carried: two words, and the content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Parcel {
    words: [u64; 2],
    content: Vec<u8>,
}

impl Parcel {
    /// The same, of what is given as number `number`.
    pub(super) const fn numbered(mut self, number: u64) -> Self {
        self.words[1] = number;
        self
    }
}

/// What the primary's guest is given as number `number`.
pub(super) fn of_incoming(number: u64, incoming: &Incoming) -> Parcel {
    let mut content = Vec::new();
    incoming.encode(&mut content);
    Parcel { words: [0, number], content }
}

/// What the guest is given, which has a card or not, and its number; none if it is nothing that it could be given.
pub(super) fn to_incoming(parcel: &Parcel, has_card: bool) -> Option<(u64, Incoming)> {
    Some((parcel.words[1], Incoming::decode(&parcel.content, has_card)?))
}

/// A unit of output of a VM that goes on from a checkpoint, and where it stands.
pub(super) fn of_unit(from: CheckpointNumber, offset: OutputOffset, unit: &Unit) -> Parcel {
    let mut content = Vec::new();
    unit.encode(&mut content);
    Parcel { words: [from.0, offset.0], content }
}

/// The unit, where it stands, and from which checkpoint its VM has gone on; none if it is no unit of a machine that has a card or
/// not.
pub(super) fn to_unit(parcel: &Parcel, has_card: bool) -> Option<(CheckpointNumber, OutputOffset, Unit)> {
    let [from, offset] = parcel.words;
    Some((CheckpointNumber(from), OutputOffset(offset), Unit::decode(&parcel.content, has_card)?))
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

    /// Puts a parcel behind what waits, or drops it if that is too much.
    pub(super) fn put(&mut self, Parcel { words, content }: &Parcel) {
        if self.outgoing.len() - self.written + HEAD + content.len() <= MOST_WAITING {
            let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
            self.outgoing.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            self.outgoing.extend(length.to_le_bytes());
            self.outgoing.extend(content);
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

    /// Reads what is there, in part, and takes the whole parcels to the end of `parcels`. Whether the connection is still
    /// there, and brings parcels.
    pub(super) fn read(&mut self, parcels: &mut Vec<Parcel>) -> bool {
        let moved = self.link.read(&mut self.inbound[self.filled..]);
        if let Moved::Bytes(count) = moved {
            self.filled += count;
        }
        let mut rest = &self.inbound[..self.filled];
        let are_parcels = loop {
            match take(&mut rest) {
                Ok(Some(parcel)) => parcels.push(parcel),
                Ok(None) => break true,
                Err(TooLong) => break false,
            }
        };
        let rest = rest.len();
        self.inbound.copy_within(self.filled - rest..self.filled, 0);
        self.filled = rest;
        moved != Moved::Gone && are_parcels
    }
}

/// A parcel longer than there are any.
struct TooLong;

/// The first parcel, if all of it is there.
fn take(bytes: &mut &[u8]) -> Result<Option<Parcel>, TooLong> {
    let Some((head, behind)) = bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
    let word = |at: usize| {
        let word = head.get(at..at + 8).and_then(|bytes| bytes.first_chunk());
        word.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    };
    let length = head.last_chunk().map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes));
    let length = usize::try_from(length).ok().filter(|length| *length <= MAX_FRAME_BYTES).ok_or(TooLong)?;
    let Some((content, rest)) = behind.split_at_checked(length) else { return Ok(None) };
    *bytes = rest;
    Ok(Some(Parcel { words: [word(0), word(8)], content: content.to_vec() }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::abi::{Reply, Request};
    use crate::net::Frame;

    /// A frame that looks like a request of the first numbers, if it is as long.
    fn frame(bytes: usize) -> Frame {
        let words = [1_u64, 2, 3, 4, 5].into_iter().chain(std::iter::repeat(0));
        Frame::new(&words.flat_map(u64::to_le_bytes).take(bytes).collect::<Vec<_>>()).unwrap()
    }

    fn pair() -> [Mirror; 2] {
        Link::pair(crate::LinkKind::Unix).unwrap().map(Mirror::new)
    }

    #[test]
    fn what_is_put_in_comes_out() {
        let request = Incoming::Request(Request { client: 1, sequence: 2, operation: 3, key: 4, value: 5 });
        assert_eq!(to_incoming(&of_incoming(6, &request), false), Some((6, request.clone())));
        assert_eq!(to_incoming(&of_incoming(6, &request), true), Some((6, Incoming::Frame(frame(64)))));
        let reply = Reply { client: 1, sequence: 2, serial: 3, status: 4, value: 5, time: 6 };
        let (from, offset) = (CheckpointNumber(7), OutputOffset(8));
        for (unit, has_card) in [(Unit::Reply(reply), false), (Unit::Frame(frame(1514)), true)] {
            assert_eq!(to_unit(&of_unit(from, offset, &unit), has_card), Some((from, offset, unit)));
        }
    }

    #[test]
    fn parcels_come_whole_however_the_bytes_come() {
        let [mut here, mut there] = pair();
        let parcels = [14, 300, 1514].map(|bytes| of_incoming(9, &Incoming::Frame(frame(bytes))));
        for parcel in &parcels {
            there.put(parcel);
        }
        let bytes = std::mem::take(&mut there.outgoing);
        let mut received = Vec::new();
        for piece in bytes.chunks(50) {
            assert_eq!(there.link.write(&[IoSlice::new(piece)]), Moved::Bytes(piece.len()));
            assert!(here.read(&mut received));
        }
        assert_eq!(received, parcels);
        there.link.shut_down(std::net::Shutdown::Both);
        assert!(!here.read(&mut received));
    }

    #[test]
    fn a_length_that_no_parcel_has_is_not_believed() {
        let [mut here, mut there] = pair();
        let head = [&[0; 16], &1515_u32.to_le_bytes()[..]].concat();
        assert_eq!(there.link.write(&[IoSlice::new(&head)]), Moved::Bytes(HEAD));
        assert!(!here.read(&mut Vec::new()));
    }

    #[test]
    fn what_nobody_reads_has_an_end() {
        let [_here, mut there] = pair();
        for number in 0..(3 * MOST_WAITING / 1514) as u64 {
            there.put(&of_incoming(number, &Incoming::Frame(frame(1514))));
            assert!(there.write());
        }
        assert!(there.outgoing.len() <= MOST_WAITING, "{} bytes wait", there.outgoing.len());
        there.forget();
        assert!(!there.has_waiting());
    }
}
