//! Any pieces of any stream, also of a broken one, give the same frames and the same end; memory stays bounded.

use crate::support::{Seen, decode};
use colo_protocol::Dialect;
use colo_protocol::wire::{Config, DEVICE_STATE_CHUNK_BYTES, Decoder, Direction};
use proptest::prelude::*;

const IDLE: &[u8] = include_bytes!("../data/qemu-7.2/idle.p2s.colo.bin");

fn p2s() -> Config {
    Config::new(Dialect::Current, Direction::PrimaryToSecondary)
}

/// `stream` in pieces of these lengths, over and over.
fn pieces<'s>(stream: &'s [u8], lengths: &[usize]) -> Vec<&'s [u8]> {
    let (mut rest, mut pieces) = (stream, Vec::new());
    for length in lengths.iter().cycle() {
        let (piece, later) = rest.split_at((*length).min(rest.len()));
        pieces.push(piece);
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_pieces_of_a_broken_stream_end_alike(
        frame in 0..30_usize,
        at in 0..20_usize,
        byte: u8,
        lengths in proptest::collection::vec(1..6000_usize, 1..12),
        short in proptest::collection::vec(1..12_usize, 1..8),
    ) {
        let mut stream = IDLE[..30_000].to_vec();
        // Near the beginning of a frame, where the structure is; most other bytes are as good as any.
        let frames = decode(p2s(), [&stream[..]]).0;
        let start = usize::try_from(frames[frame % frames.len()].offset).unwrap();
        stream[start + at] = byte;
        let whole = decode(p2s(), [&stream[..]]);
        prop_assert!(decode(p2s(), pieces(&stream, &lengths)) == whole);
        prop_assert!(decode(p2s(), pieces(&stream, &short)) == whole);
    }
}

/// A checkpoint without RAM whose device state has `announced` bytes, and as many of them as given.
fn with_device_state(announced: u64, bytes: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 3, 0, 0, 0, 0, 4][..], &announced.to_be_bytes(), bytes].concat()
}

fn chunks(seen: &[Seen]) -> Vec<(u64, usize, bool)> {
    let chunks = seen.iter().filter(|frame| frame.name == "device-state");
    chunks.map(|frame| (frame.address, frame.bytes.len(), frame.last)).collect()
}

#[test]
fn a_device_state_comes_in_chunks_and_its_last_chunk_says_so() {
    for (bytes, expected) in [
        (0, vec![(0, 0, true)]),
        (1, vec![(0, 1, true)]),
        (4096, vec![(0, 4096, true)]),
        (4097, vec![(0, 4096, false), (4096, 1, true)]),
        (8192, vec![(0, 4096, false), (4096, 4096, true)]),
    ] {
        let stream = with_device_state(bytes as u64, &vec![7; bytes]);
        let (seen, end) = decode(p2s(), [&stream[..]]);
        assert_eq!((end, chunks(&seen)), (Ok(()), expected.clone()));
        assert_eq!(chunks(&decode(p2s(), stream.chunks(1)).0), expected);
    }
}

#[test]
fn a_device_state_of_all_bytes_there_are_allocates_none() {
    let config = Config { max_device_state_bytes: u64::MAX, ..p2s() };
    let stream = with_device_state(u64::MAX, &[1; 3 * DEVICE_STATE_CHUNK_BYTES]);
    let mut decoder = Decoder::new(config);
    let mut frames = 0;
    for mut piece in stream.chunks(1000) {
        while decoder.next(&mut piece).unwrap().is_some() {
            frames += 1;
        }
    }
    assert_eq!(frames, 3 + 3);
    let text = decoder.finish().unwrap_err().to_string();
    let present = "12288 of 18446744073709551615 bytes present";
    assert_eq!(text, format!("offset 12305: the stream ended inside the device state, {present}"));
}
