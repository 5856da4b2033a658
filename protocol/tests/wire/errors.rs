//! Every error's text, whole: offset, what came, what was expected.

use crate::support::decode;
use colo_protocol::Dialect::{self, Current, V12};
use colo_protocol::wire::Direction::{self, PrimaryToSecondary, SecondaryToPrimary};
use colo_protocol::wire::{Config, Decoder};

/// vmstate-send.
const SEND: &[u8] = &[0, 0, 0, 3];
/// The beginning of RAM section 2.
const START: &[u8] = &[3, 0, 0, 0, 2];
/// The end of records.
const EOS: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0x10];
/// The section's footer and the RAM's end.
const END: &[u8] = &[0x7e, 0, 0, 0, 2, 0];

fn record(flags: u16, rest: &[u8]) -> Vec<u8> {
    [&(0x1_2000_u64 | u64::from(flags)).to_be_bytes(), rest].concat()
}

fn size(bytes: u64) -> Vec<u8> {
    [&[0, 0, 0, 4][..], &bytes.to_be_bytes()].concat()
}

/// How the stream of these parts ends, fed whole and fed byte by byte.
fn end_of(dialect: Dialect, direction: Direction, parts: &[&[u8]]) -> String {
    let config = Config { max_device_state_bytes: 1 << 20, ..Config::new(dialect, direction) };
    let stream = parts.concat();
    let (_, whole) = decode(config, [&stream[..]]);
    let (_, bytewise) = decode(config, stream.chunks(1));
    assert_eq!(whole, bytewise);
    whole.map_or_else(|error| error.to_string(), |()| "ends well".to_owned())
}

fn p2s(parts: &[&[u8]]) -> String {
    end_of(Current, PrimaryToSecondary, parts)
}

#[test]
fn messages() {
    for (dialect, direction, number, text) in [
        (Current, PrimaryToSecondary, 7, "offset 0: invalid COLO message 7, expected 0 to 6"),
        (Current, SecondaryToPrimary, 7, "offset 0: invalid COLO message 7, expected 0 to 6"),
        (V12, PrimaryToSecondary, 7, "ends well"),
        (V12, SecondaryToPrimary, 8, "offset 0: invalid COLO message 8, expected 0 to 7"),
        (Current, SecondaryToPrimary, 1, "ends well"),
        (Current, PrimaryToSecondary, 6, "ends well"),
        (
            Current,
            SecondaryToPrimary,
            3,
            "offset 0: unexpected COLO message vmstate-send (3), expected no state from the secondary",
        ),
        (
            V12,
            SecondaryToPrimary,
            4,
            "offset 0: unexpected COLO message vmstate-size (4), expected no state from the secondary",
        ),
        (
            Current,
            PrimaryToSecondary,
            4,
            "offset 0: unexpected COLO message vmstate-size (4), expected it only after a checkpoint's RAM",
        ),
    ] {
        assert_eq!(end_of(dialect, direction, &[&[0, 0, 0, number]]), text);
    }
}

#[test]
fn sections() {
    let bad_type =
        "section type 0x04, expected a RAM section (0x03), a command (0x08) or the RAM's end (0x00)";
    assert_eq!(p2s(&[SEND, &[4]]), format!("offset 4: {bad_type}"));
    assert_eq!(
        end_of(V12, PrimaryToSecondary, &[SEND, &[8, 0, 11, 0, 0]]),
        "offset 4: section type 0x08, expected a RAM section (0x03) or the RAM's end (0x00)"
    );
    for (parts, text) in [
        (&[SEND, &[3, 0, 0, 0, 7]][..], "offset 5: section id 7, expected 2 (ram)"),
        (&[SEND, START, EOS, &[0]], "offset 17: section type 0x00, expected a section footer (0x7e)"),
        (&[SEND, START, EOS, &[0x7e, 0, 0, 0, 9]], "offset 18: section id 9, expected 2 (ram)"),
        (&[SEND, &[8, 0, 10]], "offset 4: migration command 10, expected switchover-start (11)"),
        (&[SEND, &[8, 0, 11, 0, 4]], "offset 4: switchover-start with 4 bytes of data, expected 0"),
    ] {
        assert_eq!(p2s(parts), text);
    }
}

#[test]
fn records() {
    for (flags, named) in [
        (0x00, "0x0 (none)"),
        (0x01, "0x1 (FULL)"),
        (0x04, "0x4 (MEM_SIZE)"),
        (0x0a, "0xa (ZERO|PAGE)"),
        (0x18, "0x18 (PAGE|EOS)"),
        (0x20, "0x20 (CONTINUE)"),
        (0x30, "0x30 (EOS|CONTINUE)"),
        (0x40, "0x40 (XBZRLE)"),
        (0x60, "0x60 (CONTINUE|XBZRLE)"),
        (0x80, "0x80 (HOOK)"),
        (0x100, "0x100 (COMPRESS_PAGE)"),
        (0x200, "0x200 (MULTIFD_FLUSH)"),
        (0x400, "0x400 (unknown 0x400)"),
    ] {
        let expected = "PAGE or ZERO, each alone or with CONTINUE, or EOS alone";
        let text = format!("offset 9: RAM page flags {named}, expected {expected}");
        assert_eq!(p2s(&[SEND, START, &record(flags, &[])]), text);
    }
    assert_eq!(p2s(&[SEND, START, &record(0x10, &[])]), "offset 9: EOS with address 0x12000, expected none");
    assert_eq!(
        p2s(&[SEND, START, &record(0x22, &[0])]),
        "offset 9: RAM page 0x12000 with CONTINUE, expected a block name since no record has had one yet"
    );
}

#[test]
fn sizes() {
    for (parts, text) in [
        (
            &[SEND, &[0], &[0, 0, 0, 6]][..],
            "offset 5: unexpected COLO message vmstate-loaded (6), expected vmstate-size (4)",
        ),
        (&[SEND, &[0], &[0, 0, 1, 0]], "offset 5: invalid COLO message 256, expected vmstate-size (4)"),
        (
            &[SEND, &[0], &size((1 << 20) + 1)],
            "offset 5: vmstate-size 1048577, expected at most 1048576 bytes",
        ),
        (&[SEND, &[0], &size(0)], "ends well"),
        (&[SEND, &[8, 0, 11, 0, 0], &[0], &size(3), b"abc", SEND, &[0], &size(0)], "ends well"),
    ] {
        assert_eq!(p2s(parts), text);
    }
}

#[test]
fn ends() {
    let zero = record(0x02, b"\x01a\x00");
    for (parts, text) in [
        (&[&[0, 0, 0][..]][..], "offset 3: the stream ended inside a COLO message, 3 of 4 bytes present"),
        (
            &[SEND],
            "offset 4: the stream ended inside a checkpoint's state, expected a RAM section (0x03), a command (0x08) \
             or the RAM's end (0x00)",
        ),
        (&[SEND, &[3, 0]], "offset 6: the stream ended inside a section id, 1 of 4 bytes present"),
        (&[SEND, &[8, 0, 11]], "offset 7: the stream ended inside a migration command, 0 of 2 bytes present"),
        (&[SEND, START], "offset 9: the stream ended inside a checkpoint's state, expected a RAM record"),
        (
            &[SEND, START, &[0; 5]],
            "offset 14: the stream ended inside a RAM record's header, 5 of 8 bytes present",
        ),
        (
            &[SEND, START, &record(0x08, b"\x06pc")],
            "offset 20: the stream ended inside a RAM block's name, 2 of 6 bytes present",
        ),
        (
            &[SEND, START, &record(0x08, b"\x01a"), &[7; 1234]],
            "offset 1253: the stream ended inside a RAM page, 1234 of 4096 bytes present",
        ),
        (
            &[SEND, START, &record(0x02, b"\x01a")],
            "offset 19: the stream ended inside a zero page, 0 of 1 bytes present",
        ),
        (
            &[SEND, START, &zero, EOS],
            "offset 28: the stream ended inside a checkpoint's state, expected a section footer (0x7e)",
        ),
        (
            &[SEND, START, EOS, END],
            "offset 23: the stream ended inside a checkpoint's state, expected vmstate-size (4)",
        ),
        (
            &[SEND, &[0], &size(9)[..7]],
            "offset 12: the stream ended inside the length of vmstate-size, 3 of 8 bytes present",
        ),
        (
            &[SEND, &[0], &size(12953)],
            "offset 17: the stream ended inside the device state, 0 of 12953 bytes present",
        ),
        (
            &[SEND, &[0], &size(12953), &[0; 8195]],
            "offset 8212: the stream ended inside the device state, 8195 of 12953 bytes present",
        ),
    ] {
        assert_eq!(p2s(parts), text);
    }
}

#[test]
fn a_failed_decoder_yields_its_error_for_ever() {
    let mut decoder = Decoder::new(Config::new(Current, SecondaryToPrimary));
    let error = decoder.next(&mut &[0, 0, 0, 9][..]).unwrap_err();
    assert_eq!(decoder.next(&mut &[0, 0, 0, 0][..]), Err(error));
    assert_eq!(decoder.finish(), Err(error));
}

#[test]
fn offsets_count_from_the_first_offset_and_do_not_overflow() {
    let config = Config { first_offset: u64::MAX - 1, ..Config::new(Current, SecondaryToPrimary) };
    let (seen, end) = decode(config, [&[0, 0, 0, 0, 0, 0, 0, 2, 9][..]]);
    assert_eq!(seen.iter().map(|frame| frame.offset).collect::<Vec<_>>(), [u64::MAX - 1, u64::MAX]);
    assert_eq!(end.unwrap_err().offset, u64::MAX);
}
