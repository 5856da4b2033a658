//! What the encoder writes the decoder reads, whatever it is.

use crate::support::decode;
use colo_protocol::wire::{
    BlockName, Body, Config, Decoder, Direction, EncodeError, Encoder, MAX_FRAME_BYTES, PAGE_BYTES,
};
use colo_protocol::{Dialect, Message, MessageKind};
use proptest::prelude::*;

const DIALECTS: [Dialect; 2] = [Dialect::V12, Dialect::Current];

#[derive(Clone, Debug)]
enum Record {
    Page(u64, u8),
    Zero(u64, u8),
}

/// One checkpoint: its RAM sections, each of records of a block, and its device state.
#[derive(Clone, Debug)]
struct Checkpoint {
    sections: Vec<Vec<(usize, Record)>>,
    device_state: Vec<u8>,
}

fn blocks() -> [BlockName; 3] {
    [&b"pc.ram"[..], b"", &[0xff; 255]].map(|name| BlockName::new(name).unwrap())
}

fn record() -> impl Strategy<Value = Record> {
    let address = any::<u64>().prop_map(|address| address & !0xfff);
    prop_oneof![
        (address.clone(), any::<u8>()).prop_map(|(address, fill)| Record::Page(address, fill)),
        (address, any::<u8>()).prop_map(|(address, fill)| Record::Zero(address, fill)),
    ]
}

fn checkpoint() -> impl Strategy<Value = Checkpoint> {
    let section = proptest::collection::vec((0..3_usize, record()), 0..6);
    let device_state = proptest::collection::vec(any::<u8>(), 0..9000);
    (proptest::collection::vec(section, 0..3), device_state)
        .prop_map(|(sections, device_state)| Checkpoint { sections, device_state })
}

/// A record's name, address, block and first byte.
type Said = (&'static str, u64, Vec<u8>, u8);

/// The stream of these checkpoints, and its records.
fn encode(checkpoints: &[Checkpoint], dialect: Dialect) -> (Vec<u8>, Vec<Said>) {
    let blocks = blocks();
    let mut encoder = Encoder::new(dialect, 5);
    let (mut out, mut said) = (Vec::new(), Vec::new());
    for checkpoint in checkpoints {
        encoder.message(&mut out, Message::VmstateSend).unwrap();
        for records in &checkpoint.sections {
            encoder.ram_section_start(&mut out);
            for (block, record) in records {
                match *record {
                    Record::Page(address, fill) => {
                        encoder.page(&mut out, address, &blocks[*block], &[fill; PAGE_BYTES]).unwrap();
                        said.push(("page", address, blocks[*block].to_vec(), fill));
                    }
                    Record::Zero(address, fill) => {
                        encoder.zero_page(&mut out, address, &blocks[*block], fill).unwrap();
                        said.push(("zero-page", address, blocks[*block].to_vec(), fill));
                    }
                }
            }
            encoder.end_of_records(&mut out);
            encoder.section_footer(&mut out);
        }
        encoder.end_of_ram(&mut out);
        encoder.message(&mut out, Message::VmstateSize(checkpoint.device_state.len() as u64)).unwrap();
        out.extend_from_slice(&checkpoint.device_state);
    }
    (out, said)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_decodes(
        checkpoints in proptest::collection::vec(checkpoint(), 1..4),
        v12: bool,
        piece in 1..9000_usize,
    ) {
        let dialect = if v12 { Dialect::V12 } else { Dialect::Current };
        let (stream, said) = encode(&checkpoints, dialect);
        let config = Config { ram_section_id: 5, ..Config::new(dialect, Direction::PrimaryToSecondary) };
        let (seen, end) = decode(config, stream.chunks(piece));
        prop_assert_eq!(end, Ok(()));
        let records = seen.iter().filter(|frame| frame.name.ends_with("page"));
        let heard = records.map(|frame| (frame.name, frame.address, frame.block.clone(), frame.bytes[0]));
        prop_assert_eq!(heard.collect::<Vec<_>>(), said);
        let device_states = seen.iter().filter(|frame| frame.name == "device-state");
        let bytes: Vec<u8> = device_states.flat_map(|frame| frame.bytes.iter().copied()).collect();
        prop_assert!(bytes == checkpoints.iter().flat_map(|c| c.device_state.clone()).collect::<Vec<_>>());
    }
}

#[test]
fn every_message_of_a_dialect_is_four_bytes_and_no_other_is_sent() {
    for (dialect, kind) in
        DIALECTS.into_iter().flat_map(|dialect| MessageKind::ALL.map(|kind| (dialect, kind)))
    {
        let message = match kind {
            MessageKind::CheckpointReady => Message::CheckpointReady,
            MessageKind::CheckpointRequest => Message::CheckpointRequest,
            MessageKind::CheckpointReply => Message::CheckpointReply,
            MessageKind::VmstateSend => Message::VmstateSend,
            MessageKind::VmstateSize => Message::VmstateSize(0x1_0000_0002),
            MessageKind::VmstateReceived => Message::VmstateReceived,
            MessageKind::VmstateLoaded => Message::VmstateLoaded,
            MessageKind::GuestShutdown => Message::GuestShutdown,
        };
        let mut out = Vec::new();
        let sent = Encoder::new(dialect, 2).message(&mut out, message);
        match (dialect, kind) {
            (Dialect::Current, MessageKind::GuestShutdown) => {
                assert_eq!((sent, &out[..]), (Err(EncodeError::NotInDialect(kind)), &[][..]));
            }
            (_, MessageKind::VmstateSize) => assert_eq!(out, [0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2]),
            _ => assert_eq!(out, kind.number().to_be_bytes()),
        }
    }
}

#[test]
fn the_longest_frame_is_a_page_with_the_longest_name() {
    let [.., longest] = blocks();
    let mut encoder = Encoder::new(Dialect::Current, 2);
    let (mut before, mut page) = (Vec::new(), Vec::new());
    encoder.message(&mut before, Message::VmstateSend).unwrap();
    encoder.ram_section_start(&mut before);
    encoder.page(&mut page, 0x1000, &longest, &[7; PAGE_BYTES]).unwrap();
    assert_eq!(page.len(), MAX_FRAME_BYTES);

    let config = Config { first_offset: 100, ..Config::new(Dialect::Current, Direction::PrimaryToSecondary) };
    let mut decoder = Decoder::new(config);
    assert_eq!(decoder.offset(), 100);
    let mut rest = &before[..];
    while decoder.next(&mut rest).unwrap().is_some() {}
    let begins = 100 + before.len() as u64;
    assert_eq!(decoder.offset(), begins);
    let (mut most, mut last) = page.split_at(page.len() - 1);
    assert_eq!(decoder.next(&mut most), Ok(None));
    assert_eq!(decoder.offset(), begins, "half a frame does not count");
    assert_eq!(decoder.next(&mut last).unwrap().map(|frame| frame.len), Some(MAX_FRAME_BYTES));
    assert_eq!(decoder.offset(), begins + page.len() as u64);
}

#[test]
fn a_block_name_is_its_bytes() {
    for bytes in [&b"pc.ram"[..], b"", &[0xff; 255]] {
        let name = BlockName::new(bytes).unwrap();
        assert_eq!((name.as_bytes(), &*name), (bytes, bytes));
    }
    assert_eq!(BlockName::try_from("pc.ram").unwrap(), BlockName::new(b"pc.ram").unwrap());
    assert_eq!(BlockName::new(b"pc.ram").unwrap().to_string(), "pc.ram");
}

#[test]
fn a_record_names_its_block_only_where_it_changes() {
    let [ram, _, other] = blocks();
    let mut encoder = Encoder::new(Dialect::Current, 2);
    let mut lengths = Vec::new();
    for (block, forget) in [(&ram, false), (&ram, false), (&other, false), (&ram, false), (&ram, true)] {
        if forget {
            encoder.set_last_block(None);
        }
        let mut out = Vec::new();
        encoder.page_header(&mut out, 0x1000, block).unwrap();
        lengths.push(out.len());
    }
    assert_eq!(lengths, [15, 8, 264, 15, 15]);
}

#[test]
fn an_unaligned_address_is_refused_and_leaves_nothing_behind() {
    let [ram, ..] = blocks();
    let mut encoder = Encoder::new(Dialect::Current, 2);
    let mut out = Vec::new();
    let refused = encoder.zero_page(&mut out, 0x1001, &ram, 0).unwrap_err();
    assert_eq!(refused.to_string(), "RAM page address 0x1001 is not a multiple of 4096");
    assert!(out.is_empty());
    encoder.zero_page(&mut out, 0x1000, &ram, 0).unwrap();
    assert_eq!(out.len(), 8 + 1 + 6 + 1, "the refused record did not count as one of the block");
}

#[test]
fn a_body_encodes_as_its_own_method_does() {
    let mut encoder = Encoder::new(Dialect::Current, 2);
    let mut out = Vec::new();
    for body in [Body::SwitchoverStart, Body::EndOfRecords, Body::SectionFooter, Body::EndOfRam] {
        encoder.body(&mut out, &body).unwrap();
    }
    assert_eq!(out, [8, 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x7e, 0, 0, 0, 2, 0]);
}
