//! The bytes of QEMU 7.2: messages where the relay saw them, pages as counted, and encoding them gives them again.

use crate::support::{Seen, decode, reencode};
use colo_protocol::Dialect;
use colo_protocol::wire::{BlockName, Body, Config, Decoder, Direction, Encoder};

/// Where the initial migration ended.
const FIRST_OFFSET: u64 = 1_670_133;

const IDLE: &[u8] = include_bytes!("../data/qemu-7.2/idle.p2s.colo.bin");
const DIRTY: &[u8] = include_bytes!("../data/qemu-7.2/dirty-64KiB.p2s.checkpoint-1.bin");

macro_rules! recorded {
    ($name:literal) => {
        (
            $name,
            &include_bytes!(concat!("../data/qemu-7.2/", $name, ".s2p.bin"))[..],
            include_str!(concat!("../data/qemu-7.2/", $name, ".messages.txt")),
        )
    };
}

fn p2s() -> Config {
    Config { first_offset: FIRST_OFFSET, ..Config::new(Dialect::Current, Direction::PrimaryToSecondary) }
}

fn s2p() -> Config {
    Config::new(Dialect::Current, Direction::SecondaryToPrimary)
}

/// The offsets at the ends of the lines of a `.messages.txt` that have this text.
fn offsets(messages: &str, text: &str) -> Vec<u64> {
    let lines = messages.lines().filter(|line| line.contains(text));
    lines.map(|line| line.rsplit_once('@').unwrap().1.parse().unwrap()).collect()
}

fn offsets_of(seen: &[Seen], name: &str) -> Vec<u64> {
    seen.iter().filter(|frame| frame.name == name).map(|frame| frame.offset).collect()
}

/// How many pages each checkpoint has.
fn pages(seen: &[Seen]) -> Vec<usize> {
    let checkpoints = seen.split(|frame| frame.name == "vmstate-send").skip(1);
    checkpoints.map(|frames| frames.iter().filter(|frame| frame.name == "page").count()).collect()
}

#[test]
fn the_secondary_sends_the_messages_the_relay_saw() {
    for (name, bytes, messages) in [
        recorded!("idle"),
        recorded!("dirty-64KiB"),
        recorded!("cut-after-reply"),
        recorded!("cut-before-loaded"),
        recorded!("tcg-first-checkpoint"),
    ] {
        let (seen, end) = decode(s2p(), [bytes]);
        assert_eq!(end, Ok(()), "{name}");
        for (message, number) in [
            ("checkpoint-ready", "S>P 0"),
            ("checkpoint-reply", "S>P 2"),
            ("vmstate-received", "S>P 5"),
            ("vmstate-loaded", "S>P 6"),
        ] {
            // A message that the relay read and did not forward is not in the bytes.
            let mut expected = offsets(messages, number);
            expected.retain(|offset| *offset < bytes.len() as u64);
            assert_eq!(offsets_of(&seen, message), expected, "{name} {message}");
        }
    }
}

#[test]
fn the_primary_sends_the_checkpoints_the_relay_saw() {
    let (seen, end) = decode(p2s(), [IDLE]);
    let (_, _, messages) = recorded!("idle");
    assert_eq!(end, Ok(()));
    assert_eq!(offsets_of(&seen, "checkpoint-request"), offsets(messages, "P>S 1"));
    assert_eq!(offsets_of(&seen, "vmstate-send"), offsets(messages, "first bytes after REPLY 00000003"));
    assert_eq!(pages(&seen), [2, 1, 2, 2, 2]);
    assert_eq!(offsets_of(&seen, "vmstate-size").len(), 5);
}

#[test]
fn a_checkpoint_byte_by_byte() {
    let (seen, end) = decode(p2s(), [DIRTY]);
    assert_eq!(end, Ok(()));
    assert_eq!(pages(&seen), [18]);
    let place = |name| offsets_of(&seen, name).first().copied();
    assert_eq!(place("checkpoint-request"), Some(1_670_133));
    assert_eq!(place("vmstate-send"), Some(1_670_137));
    assert_eq!(place("ram-section"), Some(1_670_141));
    assert_eq!(offsets_of(&seen, "page")[..2], [1_670_146, 1_674_257]);
    assert_eq!(place("end-of-records"), Some(1_744_025));
    assert_eq!(place("section-footer"), Some(1_744_033));
    assert_eq!(place("end-of-ram"), Some(1_744_038));
    assert_eq!(place("vmstate-size"), Some(1_744_039));
    assert_eq!(offsets_of(&seen, "device-state"), [1_744_051, 1_748_147, 1_752_243, 1_756_339]);
    assert_eq!(offsets_of(&seen, "checkpoint-request")[1], 1_757_004);

    let pages: Vec<_> = seen.iter().filter(|frame| frame.name == "page").collect();
    assert_eq!((pages[0].address, pages[1].address), (0xe_8000, 0x10_e000));
    assert!(pages.iter().all(|page| page.block == b"pc.ram" && page.bytes.len() == 4096));
}

#[test]
fn a_first_record_may_continue_a_block_of_the_initial_migration() {
    const TCG: &[u8] = include_bytes!("../data/qemu-7.2/tcg-first-checkpoint.p2s.first-page.bin");
    let config = Config { first_offset: 1_694_565, ..p2s() };
    assert_eq!(
        decode(config, [TCG]).1.unwrap_err().to_string(),
        "offset 1694578: RAM page 0x10e000 with CONTINUE, expected a block name since no record has had one yet"
    );

    let last = BlockName::try_from("pc.ram").unwrap();
    let (mut decoder, mut encoder) =
        (Decoder::new(config), Encoder::new(config.dialect, config.ram_section_id));
    decoder.set_last_block(Some(last.clone()));
    encoder.set_last_block(Some(last.clone()));
    let (mut rest, mut again, mut pages) = (TCG, Vec::new(), 0);
    while let Some(frame) = decoder.next(&mut rest).unwrap() {
        if let Body::Page { block, .. } = frame.body {
            assert_eq!(block, &last);
            pages += 1;
        }
        encoder.body(&mut again, &frame.body).unwrap();
    }
    assert_eq!(pages, 1);
    assert!(again == TCG);
}

#[test]
fn frames_follow_each_other_without_gaps() {
    for stream in [IDLE, DIRTY] {
        let (seen, _) = decode(p2s(), [stream]);
        let end = seen.iter().fold(FIRST_OFFSET, |offset, frame| {
            assert_eq!(frame.offset, offset);
            offset + frame.len as u64
        });
        assert_eq!(end, FIRST_OFFSET + stream.len() as u64);
    }
}

#[test]
fn encoding_the_frames_gives_the_bytes_again() {
    for stream in [IDLE, DIRTY] {
        assert!(reencode(p2s(), stream) == stream);
    }
}

#[test]
fn any_pieces_give_the_same_frames() {
    for stream in [IDLE, DIRTY] {
        let whole = decode(p2s(), [stream]);
        for bytes in [1, 2, 3, 5, 7, 8, 4095, 4096, 4097, 5000, 65536] {
            assert!(decode(p2s(), stream.chunks(bytes)) == whole, "in pieces of {bytes} bytes");
        }
    }
}

#[test]
fn a_cut_anywhere_but_between_two_messages_is_an_error() {
    let (frames, _) = decode(p2s(), [DIRTY]);
    // Between messages: at the beginning, behind each request, and behind the device state.
    let requests = frames.iter().filter(|frame| frame.name == "checkpoint-request");
    let whole: Vec<u64> = requests.flat_map(|frame| [frame.offset, frame.offset + 4]).collect();
    // Around every frame's ends; inside the long ones every byte is like its neighbours.
    let near =
        frames.iter().flat_map(|frame| [0, 1, 3, 4, 5, 8, 9, 12, 15, 16].map(|more| frame.offset + more));
    for cut in near.filter(|cut| *cut <= FIRST_OFFSET + DIRTY.len() as u64) {
        let len = usize::try_from(cut - FIRST_OFFSET).unwrap();
        let (_, end) = decode(p2s(), [&DIRTY[..len]]);
        assert_eq!(end.is_ok(), whole.contains(&cut), "cut at {cut}: {end:?}");
        if let Err(error) = end {
            assert_eq!(error.offset, cut);
        }
    }
}
