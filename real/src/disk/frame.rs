//! What goes over the connection of the disks, and the answer: frames of a bounded length with a checksum.
//!
//! ```text
//!   request   0  4  magic "COLW"            answer   0  4  magic "COLA"
//!             4  4  CRC-32 of what follows           4  4  CRC-32 of what follows
//!             8  8  sequence, from 1                 8  8  sequence
//!            16  8  epoch; 0: a flush;              16  8  0: done; 1: it could not be done
//!                   2^64 - 1: a copy
//!            24  8  block
//!            32  …  of a write or a copy: the content
//! ```
//!
//! There is no length in them: a flush has none, a write and a copy have one block, so nothing that a peer announces is allocated.

use super::Block;

const REQUEST: [u8; 4] = *b"COLW";
const ANSWER: [u8; 4] = *b"COLA";
/// In the place of an epoch: what the block holds is as old as the disk.
const COPY: u64 = u64::MAX;

/// Bytes of a request before a write's content.
const HEAD: usize = 32;
/// Bytes of the longest request.
pub(super) const REQUEST_MAX: usize = HEAD + size_of::<Block>();
/// Bytes of an answer.
pub(super) const ANSWER_BYTES: usize = 24;

/// What the primary asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Request<'a> {
    /// To have this.
    Write {
        /// The first checkpoint that covers it.
        epoch: u64,
        /// Which block.
        block: u64,
        /// What it holds from now on.
        content: &'a Block,
    },
    /// To have this before replication starts: it is of no checkpoint.
    Copy {
        /// Which block.
        block: u64,
        /// What it holds.
        content: &'a Block,
    },
    /// To have on storage what was written before.
    Flush,
}

/// The bytes of a request.
pub(super) fn encode(sequence: u64, request: Request<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(REQUEST_MAX);
    bytes.extend_from_slice(&REQUEST);
    bytes.extend_from_slice(&[0; 4]);
    let (epoch, block) = match request {
        Request::Write { epoch, block, .. } => (epoch, block),
        Request::Copy { block, .. } => (COPY, block),
        Request::Flush => (0, 0),
    };
    bytes.extend([sequence, epoch, block].into_iter().flat_map(u64::to_le_bytes));
    if let Request::Write { content, .. } | Request::Copy { content, .. } = request {
        bytes.extend_from_slice(content);
    }
    seal(&mut bytes);
    bytes
}

/// The first request in these bytes, with its sequence number and its length; none as long as it is not all there. An error
/// says why it is none.
pub(super) fn decode(bytes: &[u8]) -> Result<Option<(u64, Request<'_>, usize)>, String> {
    expect_magic(bytes, REQUEST)?;
    let Some(head) = bytes.first_chunk::<HEAD>() else { return Ok(None) };
    let (sequence, epoch, block) = (word(head, 8), word(head, 16), word(head, 24));
    if epoch == 0 {
        expect_checksum(head)?;
        return Ok(Some((sequence, Request::Flush, HEAD)));
    }
    let Some(whole) = bytes.first_chunk::<REQUEST_MAX>() else { return Ok(None) };
    expect_checksum(whole)?;
    let content = whole.last_chunk().ok_or("a write without content")?;
    let request = match epoch {
        COPY => Request::Copy { block, content },
        _ => Request::Write { epoch, block, content },
    };
    Ok(Some((sequence, request, REQUEST_MAX)))
}

/// The bytes of an answer.
pub(super) fn answer(sequence: u64, is_done: bool) -> [u8; ANSWER_BYTES] {
    let mut bytes = [0; ANSWER_BYTES];
    bytes[..4].copy_from_slice(&ANSWER);
    bytes[8..16].copy_from_slice(&sequence.to_le_bytes());
    bytes[16] = u8::from(!is_done);
    seal(&mut bytes);
    bytes
}

/// Whether what was asked for with this number was done.
pub(super) fn parse_answer(bytes: &[u8; ANSWER_BYTES], expected: u64) -> Result<bool, String> {
    expect_magic(bytes, ANSWER)?;
    expect_checksum(bytes)?;
    match (word(bytes, 8), word(bytes, 16)) {
        (sequence, status @ (0 | 1)) if sequence == expected => Ok(status == 0),
        (sequence, status) => Err(format!("answer {status} to {sequence}, expected 0 or 1 to {expected}")),
    }
}

fn seal(bytes: &mut [u8]) {
    let checksum = crc32fast::hash(&bytes[8..]);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
}

fn expect_magic(bytes: &[u8], magic: [u8; 4]) -> Result<(), String> {
    let shown = bytes.len().min(magic.len());
    if bytes[..shown] == magic[..shown] {
        return Ok(());
    }
    Err(format!("it begins with {:02x?}, expected {magic:02x?}", &bytes[..shown]))
}

fn expect_checksum(bytes: &[u8]) -> Result<(), String> {
    let (got, want) = (crc32fast::hash(&bytes[8..]), &bytes[4..8]);
    if got.to_le_bytes() == *want {
        Ok(())
    } else {
        Err(format!("its checksum is {got:#010x}, not that in it"))
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_reads_as_it_is_written_when_all_of_it_is_there() {
        let content = [7; 4096];
        let requests = [
            Request::Flush,
            Request::Write { epoch: 3, block: 9, content: &content },
            Request::Copy { block: 9, content: &content },
        ];
        for request in requests {
            let bytes = encode(5, request);
            for come in 0..bytes.len() {
                assert_eq!(decode(&bytes[..come]).unwrap(), None, "{come} bytes");
            }
            let two = [bytes.clone(), encode(6, Request::Flush)].concat();
            assert_eq!(decode(&two).unwrap(), Some((5, request, bytes.len())));
        }
        assert_eq!([true, false].map(|done| parse_answer(&answer(8, done), 8).unwrap()), [true, false]);
        assert!(parse_answer(&answer(8, true), 9).is_err());
    }

    proptest! {
        /// Bytes of a peer are a request, or the beginning of one, or refused; never a panic.
        #[test]
        fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64), real in any::<bool>()) {
            let bytes = if real { [&REQUEST[..], &bytes].concat() } else { bytes };
            let _ = decode(&bytes);
        }

        /// One bit is seen wherever it is.
        #[test]
        fn a_bit_that_has_turned_is_seen(bit in 0..REQUEST_MAX * 8) {
            let mut bytes = encode(1, Request::Write { epoch: 1, block: 2, content: &[3; 4096] });
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!matches!(decode(&bytes), Ok(Some(_))));
        }
    }
}
