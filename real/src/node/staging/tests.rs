//! A peer that sends what the grammar allows and no VM can be: each is refused in words, and nothing is kept of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use colo_protocol::wire::{Config, DecodeError, Decoder, Direction, Encoder};
use colo_protocol::{Dialect, Message};

/// Pages of a guest of 16 MiB.
const MEMORY_PAGES: u64 = 4096;

fn staged(body: &Body<'_>, staging: &mut Staging) -> Result<(), String> {
    staging.take(body, &Inbound::default(), Limits { memory_pages: MEMORY_PAGES, ram_sections: 3 })
}

fn refused(body: &Body<'_>) -> String {
    let mut staging = Staging::default();
    let problem = staged(body, &mut staging).unwrap_err();
    assert!(staging.is_empty());
    problem
}

fn zero_page(address: u64, block: &BlockName) -> Body<'_> {
    Body::ZeroPage { address, block, fill: 0 }
}

#[test]
fn a_page_outside_of_the_memory_is_refused() {
    let ram = BlockName::try_from(RAM_BLOCK).unwrap();
    for (address, text) in [
        (MEMORY_PAGES * 4096, "page 0x1000000 of pc.ram, which ends at 0x1000000"),
        (1 << 63, "page 0x8000000000000000 of pc.ram, which ends at 0x1000000"),
        (u64::MAX - 0xfff, "page 0xfffffffffffff000 of pc.ram, which ends at 0x1000000"),
    ] {
        assert_eq!(refused(&zero_page(address, &ram)), text);
        assert_eq!(refused(&Body::Page { address, block: &ram, data: &[7; PAGE] }), text);
    }
    let last = (MEMORY_PAGES - 1) * 4096;
    assert_eq!(staged(&zero_page(last, &ram), &mut Staging::default()), Ok(()));
}

#[test]
fn a_page_of_any_other_block_is_refused_whatever_bytes_name_it() {
    for (name, shown) in [
        (&b"vga.vram"[..], "vga.vram"),
        (b"", ""),
        (b"pc.ram\0", "pc.ram\\0"),
        (b"PC.RAM", "PC.RAM"),
        (b"\x1b[2J", "\\u{1b}[2J"),
        (b"\xff\xfe", "\u{fffd}\u{fffd}"),
        (b"../../etc\n", "../../etc\\n"),
    ] {
        let block = BlockName::new(name).unwrap();
        assert_eq!(refused(&zero_page(0, &block)), format!("a page of RAM block {shown}, expected pc.ram"));
    }
}

#[test]
fn a_section_has_no_more_pages_than_the_memory() {
    let ram = BlockName::try_from(RAM_BLOCK).unwrap();
    let mut staging = Staging::default();
    for page in 0..MEMORY_PAGES {
        staged(&zero_page(page * 4096, &ram), &mut staging).unwrap();
    }
    let problem = staged(&zero_page(0, &ram), &mut staging).unwrap_err();
    assert_eq!(problem, "more pages in one section than the memory has (4096)");
}

#[test]
fn a_checkpoint_has_no_end_of_empty_sections() {
    for section in [Body::RamSectionStart, Body::SwitchoverStart] {
        let mut staging = Staging::default();
        for _ in 0..4 {
            staged(&section, &mut staging).unwrap();
        }
        let problem = staged(&section, &mut staging).unwrap_err();
        assert_eq!(problem, "too many sections of RAM in one checkpoint, expected 3");
        staging.clear();
        assert_eq!(staged(&section, &mut staging), Ok(()), "the next checkpoint has its own");
    }
}

/// What the runner's decoder says of a device state of so many bytes, before one of them has come.
fn announced(bytes: u64) -> Result<(), DecodeError> {
    let config = Config {
        max_device_state_bytes: BLOB_BYTES_MAX as u64,
        ..Config::new(Dialect::V12, Direction::PrimaryToSecondary)
    };
    let (mut stream, encoder) = (Vec::new(), Encoder::new(Dialect::V12, 2));
    encoder.message(&mut stream, Message::VmstateSend).unwrap();
    encoder.end_of_ram(&mut stream);
    encoder.message(&mut stream, Message::VmstateSize(bytes)).unwrap();
    let (mut decoder, mut rest) = (Decoder::new(config), &stream[..]);
    while decoder.next(&mut rest)?.is_some() {}
    Ok(())
}

#[test]
fn a_device_state_that_is_too_long_is_refused_when_it_is_announced() {
    for bytes in [u64::MAX, 1 << 63, 1 << 40, (64 << 20) + 1] {
        let text = format!("offset 5: vmstate-size {bytes}, expected at most 67108864 bytes");
        assert_eq!(announced(bytes).unwrap_err().to_string(), text);
    }
    assert_eq!(announced(64 << 20), Ok(()));
}

#[test]
fn a_device_state_that_is_none_is_refused_when_it_is_whole() {
    for (bytes, text) in [
        (&b""[..], "a blob of 0 bytes at offset 0: expected 28"),
        (b"QEVM", "a blob of 4 bytes at offset 0: expected 28"),
    ] {
        let mut staging = Staging::default();
        staged(&Body::DeviceState { position: 0, bytes, last: true }, &mut staging).unwrap();
        assert_eq!(staging.whole_devices(|_| Ok(())).err().unwrap(), text);
    }
}
