//! A peer that announces what it does not send, or sends what nobody asked for: each lie has its error, whole, and none
//! is believed before it is checked.

use crate::support::{Seen, decode};
use colo_protocol::Dialect::Current;
use colo_protocol::wire::{Config, Direction};

/// vmstate-send, no RAM, vmstate-size of `announced`, and these bytes.
fn with_device_state(announced: u64, bytes: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 3, 0, 0, 0, 0, 4][..], &announced.to_be_bytes(), bytes].concat()
}

fn end_of(limit: u64, stream: &[u8]) -> String {
    let config =
        Config { max_device_state_bytes: limit, ..Config::new(Current, Direction::PrimaryToSecondary) };
    let (_, whole) = decode(config, [stream]);
    assert_eq!(decode(config, stream.chunks(1)).1, whole);
    whole.map_or_else(|error| error.to_string(), |()| "ends well".to_owned())
}

#[test]
fn a_device_state_beyond_the_limit_is_refused_when_it_is_announced() {
    let limit = Config::new(Current, Direction::PrimaryToSecondary).max_device_state_bytes;
    for announced in [u64::MAX, 1 << 63, 1 << 40, limit + 1] {
        assert_eq!(
            end_of(limit, &with_device_state(announced, &[7; 100])),
            format!("offset 5: vmstate-size {announced}, expected at most 1073741824 bytes")
        );
    }
}

#[test]
fn a_device_state_that_is_announced_and_does_not_come_ends_inside() {
    for announced in [u64::MAX, 1 << 63, 1 << 40, 101] {
        let text =
            format!("offset 117: the stream ended inside the device state, 100 of {announced} bytes present");
        assert_eq!(end_of(u64::MAX, &with_device_state(announced, &[7; 100])), text);
    }
    assert_eq!(end_of(u64::MAX, &with_device_state(100, &[7; 100])), "ends well");
}

/// What follows is taken for the rest of the device state, and what follows that is read out of step.
#[test]
fn one_byte_more_than_was_sent_eats_the_next_message() {
    let next = [0, 0, 0, 1, 0, 0, 0, 3, 0];
    let text = "offset 21: invalid COLO message 256, expected 0 to 6";
    assert_eq!(end_of(u64::MAX, &[&with_device_state(4, b"abc")[..], &next].concat()), text);
}

/// What is left of it is taken for a message.
#[test]
fn one_byte_less_than_was_sent_is_no_message() {
    let text = "offset 19: invalid COLO message 1660944384, expected 0 to 6";
    assert_eq!(end_of(u64::MAX, &[&with_device_state(2, b"abc")[..], &[0, 0, 0, 1]].concat()), text);
}

#[test]
fn a_device_state_of_no_bytes_is_whole_at_once() {
    assert_eq!(end_of(0, &with_device_state(0, &[])), "ends well");
    assert_eq!(end_of(0, &with_device_state(0, &[0, 0, 0, 1])), "ends well");
    assert_eq!(end_of(0, &with_device_state(1, &[7])), "offset 5: vmstate-size 1, expected at most 0 bytes");
}

/// The frames of a zero page of this block and address.
fn zero_page(address: u64, name: &[u8]) -> Vec<Seen> {
    let length = [u8::try_from(name.len()).unwrap()];
    let header = (address | 2).to_be_bytes();
    let stream = [&[0, 0, 0, 3, 3, 0, 0, 0, 2][..], &header, &length, name, &[0]].concat();
    let (frames, end) = decode(Config::new(Current, Direction::PrimaryToSecondary), [&stream[..]]);
    let text = end.unwrap_err().to_string();
    let expected = "the stream ended inside a checkpoint's state, expected a RAM record";
    assert_eq!(text, format!("offset {}: {expected}", stream.len()), "nothing is wrong but the end");
    frames
}

/// Which blocks there are is for whoever has the memory: a name is its bytes, whatever they are.
#[test]
fn a_block_name_may_be_any_bytes() {
    let names = (0..=255).map(|byte| vec![byte; usize::from(byte)]);
    let odd = [&b"../../etc/passwd"[..], b"pc.ram\0", b"\x1b[2J", b"\xff\xfe%s%n"];
    for name in names.chain(odd.map(<[u8]>::to_vec)) {
        assert_eq!(zero_page(0x1000, &name).last().unwrap().block, name);
    }
}

/// How large a block is, too.
#[test]
fn a_page_address_may_be_any_multiple_of_the_page_size() {
    for address in [0, 0x1000, 1 << 40, 1 << 63, u64::MAX - 0xfff] {
        assert_eq!(zero_page(address, b"pc.ram").last().unwrap().address, address);
    }
}
