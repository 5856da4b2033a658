//! What a guest is given, and what it sends: requests and replies by the rings of a machine without a network card, frames by
//! the card of one that has it.

use crate::abi::{Reply, Request, Slot};
use crate::net::Frame;
use colo_protocol::{OutputBuffer, OutputOffset};

/// The bytes of a withheld reply.
const REPLY_BYTES: usize = size_of::<Slot>();

/// The bytes of a withheld frame's length, in front of it.
const LENGTH_BYTES: usize = 4;

/// What comes in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Incoming {
    Request(Request),
    Frame(Frame),
}

/// A unit of output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Unit {
    Reply(Reply),
    Frame(Frame),
}

impl Incoming {
    /// Its content, to the end of `bytes`.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Request(request) => put_slot(request.to_slot(), bytes),
            Self::Frame(frame) => bytes.extend_from_slice(frame),
        }
    }

    /// What these bytes are to a machine that has a card or not.
    pub(super) fn decode(bytes: &[u8], has_card: bool) -> Option<Self> {
        if has_card {
            return Frame::new(bytes).ok().map(Self::Frame);
        }
        Some(Self::Request(Request::from_slot(slot(bytes.as_array()?))))
    }
}

impl Unit {
    /// Its content, to the end of `bytes`.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Reply(reply) => put_slot(reply.to_slot(), bytes),
            Self::Frame(frame) => bytes.extend_from_slice(frame),
        }
    }

    /// Whether it is the answer to this client's request of this number.
    pub(super) const fn answers(&self, (client, sequence): (u64, u64)) -> bool {
        matches!(self, Self::Reply(reply) if reply.client == client && reply.sequence == sequence)
    }

    /// What these bytes are of a machine that has a card or not.
    pub(super) fn decode(bytes: &[u8], has_card: bool) -> Option<Self> {
        if has_card {
            return Frame::new(bytes).ok().map(Self::Frame);
        }
        Some(Self::Reply(Reply::from_slot(slot(bytes.as_array()?))))
    }
}

/// How much of a checkpoint a unit of withheld output is, bytes.
pub(super) fn carried_bytes(unit: &Unit) -> usize {
    match unit {
        Unit::Reply(_) => REPLY_BYTES,
        Unit::Frame(frame) => LENGTH_BYTES + frame.len(),
    }
}

/// Withheld output as it travels with a checkpoint, to the end of `bytes`: replies one behind the other, in front of each frame its
/// length.
pub(super) fn encode_all<'a>(units: impl Iterator<Item = &'a Unit>, bytes: &mut Vec<u8>) {
    for unit in units {
        if let Unit::Frame(frame) = unit {
            bytes.extend_from_slice(&u32::try_from(frame.len()).unwrap_or(u32::MAX).to_le_bytes());
        }
        unit.encode(bytes);
    }
}

/// The withheld output that came with a checkpoint and ends at `end`, of a machine that has a card or not.
pub(super) fn decode_all(bytes: &[u8], end: u64, has_card: bool) -> Result<OutputBuffer<Unit>, String> {
    let refused = |why: String| format!("{} bytes of withheld output that ends at {end}: {why}", bytes.len());
    let mut units = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let left = rest.len();
        let unit = take_content(&mut rest, has_card).and_then(|content| Unit::decode(content, has_card));
        units.push(unit.ok_or_else(|| refused(format!("the last {left} are no unit")))?);
    }
    let start = end.checked_sub(units.len() as u64);
    let start = start.ok_or_else(|| refused(format!("they are {} units", units.len())))?;
    let mut buffer = OutputBuffer::starting_at(OutputOffset(start));
    for unit in units {
        buffer.push(unit);
    }
    Ok(buffer)
}

/// The content of the first unit.
fn take_content<'a>(bytes: &mut &'a [u8], has_card: bool) -> Option<&'a [u8]> {
    let length = if has_card {
        let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
        *bytes = rest;
        usize::try_from(u32::from_le_bytes(*length)).ok()?
    } else {
        REPLY_BYTES
    };
    let (content, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(content)
}

fn put_slot(slot: Slot, bytes: &mut Vec<u8>) {
    bytes.extend(slot.into_iter().flat_map(u64::to_le_bytes));
}

fn slot(bytes: &[u8; size_of::<Slot>()]) -> Slot {
    let (words, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|place| words.get(place).map_or(0, |word| u64::from_le_bytes(*word)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn frame(bytes: usize) -> Unit {
        Unit::Frame(Frame::new(&vec![7; bytes]).unwrap())
    }

    #[test]
    fn withheld_output_comes_back_as_it_was() {
        let replies = [1, 2].map(|serial| Unit::Reply(Reply { serial, ..Reply::default() }));
        let frames = [14, 60, 1514].map(frame);
        for (units, has_card) in [(&replies[..], false), (&frames, true), (&[], true), (&[], false)] {
            let mut bytes = Vec::new();
            encode_all(units.iter(), &mut bytes);
            let buffer = decode_all(&bytes, 10, has_card).unwrap();
            assert_eq!(buffer.end(), OutputOffset(10));
            assert_eq!(buffer.units().cloned().collect::<Vec<_>>(), units);
        }
    }

    #[test]
    fn what_is_no_output_is_refused_in_words() {
        let mut two = Vec::new();
        encode_all([frame(14), frame(20)].iter(), &mut two);
        let table: [(&[u8], u64, bool, &str); 6] = [
            (&two, 1, true, "42 bytes of withheld output that ends at 1: they are 2 units"),
            (&two[..41], 9, true, "41 bytes of withheld output that ends at 9: the last 23 are no unit"),
            (&two[..20], 9, true, "20 bytes of withheld output that ends at 9: the last 2 are no unit"),
            (
                &[13, 0, 0, 0, 1, 2, 3],
                9,
                true,
                "7 bytes of withheld output that ends at 9: the last 7 are no unit",
            ),
            (&[0xff; 8], 9, true, "8 bytes of withheld output that ends at 9: the last 8 are no unit"),
            (&[0; 65], 9, false, "65 bytes of withheld output that ends at 9: the last 1 are no unit"),
        ];
        for (bytes, end, has_card, words) in table {
            assert_eq!(decode_all(bytes, end, has_card).unwrap_err(), words);
        }
    }
}
