//! Values and not bytes: whatever checkpoints there can be, what the encoder writes is what the grammar of the protocol
//! book makes of them, and the decoder reads the same values.

use crate::structured::{Dialogue, Item, content};
use arbitrary::{Arbitrary, Unstructured};
use colo_protocol::wire::{BlockName, Body, Config, Decoder, Direction, EncodeError, Encoder};

/// A dialogue drawn from the fuzzer's bytes, through the encoder and back.
pub fn round_trip(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let Ok(dialogue) = Dialogue::arbitrary(&mut input) else { return };
    let piece = usize::from(input.arbitrary::<u16>().unwrap_or(1)) + 1;
    let encoded = encode(&dialogue);
    assert!(encoded == dialogue.written().bytes, "the encoder's stream is the grammar's");
    let direction = Direction::PrimaryToSecondary;
    let config = Config { max_device_state_bytes: u64::MAX, ..Config::new(dialogue.dialect, direction) };
    assert_eq!(decode(config, &encoded, piece), dialogue.items);
}

fn encode(dialogue: &Dialogue) -> Vec<u8> {
    let mut encoder = Encoder::new(dialogue.dialect, 2);
    let mut out = Vec::new();
    for item in &dialogue.items {
        put(&mut encoder, &mut out, item).expect("a dialogue has nothing that its dialect has not");
    }
    out
}

fn put(encoder: &mut Encoder, out: &mut Vec<u8>, item: &Item) -> Result<(), EncodeError> {
    match item {
        Item::Message(message) => return encoder.message(out, *message),
        Item::Page { address, block, fill } => {
            return encoder.page(out, *address, &name(block), &content(*fill));
        }
        Item::Zero { address, block, fill } => return encoder.zero_page(out, *address, &name(block), *fill),
        Item::SectionStart => encoder.ram_section_start(out),
        Item::EndOfRecords => encoder.end_of_records(out),
        Item::Footer => encoder.section_footer(out),
        Item::EndOfRam => encoder.end_of_ram(out),
        Item::Switchover => encoder.switchover_start(out),
        Item::DeviceState(bytes) => out.extend_from_slice(bytes),
    }
    Ok(())
}

fn name(block: &[u8]) -> BlockName {
    BlockName::new(block).expect("names are drawn no longer than they may be")
}

fn decode(config: Config, stream: &[u8], piece: usize) -> Vec<Item> {
    let mut decoder = Decoder::new(config);
    let (mut items, mut device_state) = (Vec::new(), Vec::new());
    for mut piece in stream.chunks(piece) {
        while let Some(frame) = decoder.next(&mut piece).expect("what was encoded decodes") {
            items.extend(item(&frame.body, &mut device_state));
        }
    }
    decoder.finish().expect("what was encoded is whole");
    items
}

fn item(body: &Body<'_>, device_state: &mut Vec<u8>) -> Option<Item> {
    Some(match *body {
        Body::Message(message) => Item::Message(message),
        Body::RamSectionStart => Item::SectionStart,
        Body::Page { address, block, data } => {
            let fill = data[0];
            assert!(*data == content(fill), "a page's bytes are its own");
            Item::Page { address, block: block.to_vec(), fill }
        }
        Body::ZeroPage { address, block, fill } => Item::Zero { address, block: block.to_vec(), fill },
        Body::EndOfRecords => Item::EndOfRecords,
        Body::SectionFooter => Item::Footer,
        Body::EndOfRam => Item::EndOfRam,
        Body::SwitchoverStart => Item::Switchover,
        Body::DeviceState { position, bytes, last } => {
            assert_eq!(position, device_state.len() as u64);
            device_state.extend_from_slice(bytes);
            return last.then(|| Item::DeviceState(std::mem::take(device_state)));
        }
    })
}
