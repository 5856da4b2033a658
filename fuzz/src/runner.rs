//! What a hostile peer or guest can hand to the runner: a device state, and rings in guest memory. Neither needs KVM.

use colo_real::abi::{self, BLOCK_SLOTS, RING_SLOTS, Request};
use colo_real::vm::{BLOB_BYTES_MAX, BareCard, BlockDevice, Page, decode, encode};
use std::cell::RefCell;
use std::time::Duration;

/// A device state. Byte 0 says whether magic, length and checksum are made right, so that what is behind them is read.
pub fn device_state(input: &[u8]) {
    let Some((choice, blob)) = input.split_first() else { return };
    let mut blob = blob.to_vec();
    if choice & 1 == 1 {
        seal(&mut blob);
    }
    let Ok(decoded) = decode(&blob) else { return };
    assert!(decoded.output.len() < blob.len() && blob.len() <= BLOB_BYTES_MAX);
    let mut again = Vec::new();
    encode(&decoded.state, decoded.output_end, decoded.output, &mut again).expect("what was read fits");
    assert!(again == blob, "two device states mean the same");
}

fn seal(blob: &mut [u8]) {
    let length = (blob.len() as u64).to_le_bytes();
    let Some((body, crc)) = blob.split_last_chunk_mut::<4>() else { return };
    if let Some(header) = body.first_chunk_mut::<24>() {
        header[..8].copy_from_slice(b"COLOVMST");
        header[8..16].copy_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0]);
        header[16..].copy_from_slice(&length);
    }
    *crc = crc32fast::hash(body).to_le_bytes();
}

/// What the guest may write of its rings: counters and slots.
const RINGS: std::ops::Range<u64> = abi::REQUESTS_PUT..abi::BLOCK_RING + BLOCK_SLOTS * abi::SLOT_BYTES;

thread_local! {
    /// Guest memory is made once: it is larger than all else that a run needs.
    static CARD: RefCell<BareCard> = RefCell::new(BareCard::new().expect("16 MiB can be had"));
}

/// A disk of four blocks, all zeros whatever is written: what a run leaves in memory is nothing to the next.
struct Zeros;

impl BlockDevice for Zeros {
    fn blocks(&self) -> u64 {
        4
    }

    fn read(&self, block: u64, to: &mut Page) -> std::io::Result<()> {
        assert!(block < self.blocks(), "a block that there is not");
        *to = [0; 4096];
        Ok(())
    }

    fn write(&self, block: u64, _: &Page) -> std::io::Result<()> {
        assert!(block < self.blocks(), "a block that there is not");
        if block == 3 { Err(std::io::ErrorKind::Other.into()) } else { Ok(()) }
    }

    fn flush(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A guest that writes whatever it likes to its rings, between the host's accesses: eleven bytes an act.
pub fn rings(input: &[u8]) {
    CARD.with_borrow_mut(|card| {
        let mut touched = Vec::new();
        let (acts, _) = input.as_chunks::<11>();
        for [act, place @ .., a, b, c, d, e, f, g, h] in acts.iter().take(200) {
            let word = u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            if act & 0x80 == 0 {
                let address = guest_address(*act, u16::from_le_bytes(*place));
                touched.push(address);
                card.poke(address, &word.to_le_bytes()).expect("the rings lie in memory");
            } else {
                host_acts(card, *act, word);
            }
        }
        for address in touched {
            card.poke(address, &[0; 8]).expect("the rings lie in memory");
        }
        for counter in
            [abi::REQUESTS_PUT, abi::REPLIES_TAKEN, abi::TICKS_GIVEN, abi::TIME_US, abi::BLOCKS_DONE]
        {
            card.poke(counter, &[0; 8]).expect("the counters lie in memory");
        }
    });
}

/// Mostly a counter, or else any word of the rings.
fn guest_address(act: u8, place: u16) -> u64 {
    let counters = [
        abi::REQUESTS_PUT,
        abi::REPLIES_TAKEN,
        abi::TICKS_GIVEN,
        abi::TIME_US,
        abi::REQUESTS_TAKEN,
        abi::REPLIES_PUT,
        abi::TICKS_DONE,
        abi::NEXT_US,
        abi::BLOCKS_DONE,
        abi::BLOCKS_PUT,
        abi::BLOCKS_SEEN,
    ];
    match counters.get(usize::from(act & 0xf)) {
        Some(counter) => *counter,
        None => RINGS.start + u64::from(place) * 8 % (RINGS.end - RINGS.start),
    }
}

fn host_acts(card: &mut BareCard, act: u8, word: u64) {
    match act & 7 {
        0 | 1 => {
            let mut replies = Vec::new();
            match card.take_replies(&mut replies) {
                Ok(taken) => assert!(taken == replies.len() as u64 && taken <= RING_SLOTS),
                Err(_) => assert!(replies.is_empty(), "of a corrupt ring nothing is taken"),
            }
        }
        2 | 3 => {
            let request =
                Request { client: word, sequence: 1, operation: word & 7, key: word >> 8, value: word };
            let put = card.put_request(&request);
            assert!(put.is_err() || card.has_work().is_ok() || put.is_ok());
        }
        4 => card.tick().expect("the counters lie in memory"),
        5 => card.pass_time(Duration::from_micros(word)).expect("the counters lie in memory"),
        6 => drop(card.wakes_in().expect("the counters lie in memory")),
        _ if act & 8 == 0 => drop(card.has_work()),
        _ => {
            // Of a corrupt ring nothing is done, and of any other no more than it has.
            let done = card.serve_blocks(&Zeros);
            assert!(done.is_err() || done.is_ok_and(|done| done <= BLOCK_SLOTS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the seeds are for: behind a change of the format they would stop at its first byte, and nobody would notice.
    #[test]
    fn the_seeds_of_device_states_are_read_to_their_ends_with_a_card_and_without() {
        let read = |seed: &str| {
            let path = format!("{}/corpus/device_state/{seed}", env!("CARGO_MANIFEST_DIR"));
            let mut blob = std::fs::read(path).unwrap();
            blob.remove(0);
            decode(&blob).map(|decoded| decoded.state.card.is_some())
        };
        for (seed, has_card) in [("seed-card", true), ("seed-no-msrs", false), ("seed-whole", false)] {
            assert_eq!(read(seed), Ok(has_card), "{seed}");
        }
    }
}
