//! What a decoder takes of memory and of steps, whatever comes: both are bounded by what has come, never by what it says.

use allocation_counter::{AllocationInfo, measure};
use colo_protocol::Dialect;
use colo_protocol::wire::{Config, Decoder, Direction, MAX_FRAME_BYTES};

/// The most that a decoder ever allocates, bytes: the frame that it holds back, in a buffer that may have doubled once.
const MAX_DECODER_BYTES: u64 = 2 * MAX_FRAME_BYTES as u64;

const MIB: usize = 1 << 20;

/// Streams without an end, of which each is the worst for something.
fn worst() -> Vec<(&'static str, Vec<u8>)> {
    let send = [0, 0, 0, 3];
    let start = [3, 0, 0, 0, 2];
    let footer = [0, 0, 0, 0, 0, 0, 0, 0x10, 0x7e, 0, 0, 0, 2];
    let named = |byte: u8| [&[0, 0, 0, 0, 0, 0, 0x10, 0x02, 255][..], &[byte; 255], &[0]].concat();
    vec![
        ("messages", [0, 0, 0, 1].repeat(4 * MIB / 4)),
        ("empty sections", [&send[..], &[&start[..], &footer].concat().repeat(4 * MIB / 18)].concat()),
        ("commands", [&send[..], &[8, 0, 11, 0, 0].repeat(4 * MIB / 5)].concat()),
        ("empty checkpoints", [&send[..], &[0, 0, 0, 0, 4], &[0; 8]].concat().repeat(4 * MIB / 17)),
        (
            "names that change",
            [&send[..], &start, &[named(1), named(2)].concat().repeat(4 * MIB / 530)].concat(),
        ),
        ("a device state", [&send[..], &[0, 0, 0, 0, 4], &[0xff; 8], &vec![7; 4 * MIB]].concat()),
        ("pages", {
            let page = [&[0, 0, 0, 0, 0, 0, 0x10, 0x08, 1, b'a'][..], &[7; 4096]].concat();
            [&send[..], &start, &page.repeat(4 * MIB / page.len())].concat()
        }),
    ]
}

/// Calls of `next`, and what was allocated, decoding this in such pieces.
fn decoded(stream: &[u8], piece: usize) -> (usize, AllocationInfo) {
    let mut calls = 0;
    let info = measure(|| {
        let config = Config {
            max_device_state_bytes: u64::MAX,
            ..Config::new(Dialect::Current, Direction::PrimaryToSecondary)
        };
        let mut decoder = Decoder::new(config);
        for mut piece in stream.chunks(piece) {
            calls += 1;
            while decoder.next(&mut piece).unwrap().is_some() {
                calls += 1;
            }
        }
    });
    (calls, info)
}

#[test]
fn memory_is_bounded_whatever_comes() {
    for (name, stream) in worst() {
        for piece in [1, 7, 4096, stream.len()] {
            let stream = &stream[..if piece == 1 { MIB } else { stream.len() }];
            let (_, info) = decoded(stream, piece);
            assert!(info.bytes_total <= MAX_DECODER_BYTES, "{name} in pieces of {piece}: {info:?}");
        }
    }
}

/// A frame takes one call, a piece one more: twice the stream, twice the calls.
#[test]
fn time_is_linear_in_what_comes() {
    for (name, stream) in worst() {
        for piece in [7, 4096] {
            // Calls in a million bytes.
            let [one, two, four] = [MIB, 2 * MIB, 4 * MIB - MAX_FRAME_BYTES].map(|bytes| {
                let stream = &stream[..bytes.min(stream.len())];
                decoded(stream, piece).0 * 1_000_000 / stream.len()
            });
            for (longer, shorter) in [(two, one), (four, two)] {
                let even = longer * 10 <= shorter * 11 && shorter * 10 <= longer * 11;
                assert!(even, "{name} in pieces of {piece}: {shorter} and {longer}");
            }
        }
    }
}
