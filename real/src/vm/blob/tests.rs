//! Blobs without a machine: what goes in comes out, and whatever is done to the bytes, `decode` answers in words.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

/// A state in which no two fields look alike.
fn state(msrs: usize) -> MachineState {
    let entries: Vec<kvm_msr_entry> = (0..)
        .take(msrs)
        .map(|n| kvm_msr_entry { index: 0xc000_0000 + n, data: u64::from(n) * 7, reserved: 0 })
        .collect();
    let mut state = CpuState::with_msrs(Msrs::from_entries(&entries).unwrap());
    state.regs.rip = 0x10_0123;
    state.regs.r15 = u64::MAX;
    state.sregs.cr3 = 0x1000;
    for (word, n) in state.xsave.iter_mut().zip(3_u32..) {
        *word = n.wrapping_mul(0x9e37_79b9);
    }
    state.xcrs.nr_xcrs = 1;
    state.events.sipi_vector = 5;
    state.debugregs.dr7 = 0x400;
    state.mp_state.mp_state = 3;
    MachineState { cpu: state, card: Some(CardState::default()) }
}

fn blob(output_end: u64, output: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    encode(&state(40), output_end, output, &mut blob).unwrap();
    blob
}

/// Makes the checksum right again, so that what lies behind it is looked at.
fn seal(blob: &mut [u8]) {
    let (body, crc) = blob.split_last_chunk_mut::<CRC_BYTES>().unwrap();
    *crc = crc32fast::hash(body).to_le_bytes();
}

#[test]
fn what_goes_in_comes_out() {
    let large = vec![0xab; 100_000];
    for (msrs, output) in [(0, &b""[..]), (1, b"x"), (MSRS_MAX, &large)] {
        let mut first = b"left over from before".to_vec();
        encode(&state(msrs), u64::MAX - 1, output, &mut first).unwrap();
        let decoded = decode(&first).unwrap();
        assert_eq!((decoded.output_end, decoded.output), (u64::MAX - 1, output));
        let mut second = Vec::new();
        encode(&decoded.state, decoded.output_end, decoded.output, &mut second).unwrap();
        assert_eq!(first, second);
    }
}

#[test]
fn every_truncation_is_refused() {
    let whole = blob(10, b"abc");
    for bytes in 0..whole.len() {
        let error = decode(&whole[..bytes]).unwrap_err();
        assert!(matches!(error, BlobError::Length { got, want, .. } if got < want), "{bytes}: {error}");
    }
    for extra in 1..100 {
        let mut longer = whole.clone();
        longer.resize(whole.len() + extra, 0);
        assert!(decode(&longer).is_err(), "{extra} more");
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let mut damaged = blob(10, b"abc");
    for at in 0..damaged.len() {
        for bit in 0..8 {
            damaged[at] ^= 1 << bit;
            assert!(decode(&damaged).is_err(), "byte {at}, bit {bit}");
            damaged[at] ^= 1 << bit;
        }
    }
    assert!(decode(&damaged).is_ok());
}

#[test]
fn damage_under_a_right_checksum_is_refused_or_taken_at_its_word() {
    let whole = blob(10, b"abc");
    for at in 0..whole.len() - CRC_BYTES {
        for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] = value;
            seal(&mut damaged);
            if let Ok(decoded) = decode(&damaged) {
                let mut again = Vec::new();
                encode(&decoded.state, decoded.output_end, decoded.output, &mut again).unwrap();
                assert_eq!(again, damaged, "byte {at} = {value:#x}: two blobs mean the same");
            }
        }
    }
}

#[test]
fn every_truncation_under_a_right_checksum_and_length_is_refused() {
    let whole = blob(10, b"");
    for bytes in 0..whole.len() {
        let mut cut = whole[..bytes].to_vec();
        if let Some(total) = cut.get_mut(16..HEADER_BYTES) {
            total.copy_from_slice(&(bytes as u64).to_le_bytes());
        }
        if bytes >= CRC_BYTES {
            seal(&mut cut);
        }
        assert!(decode(&cut).is_err(), "{bytes}");
    }
}

#[test]
fn errors_say_what_came_and_what_was_expected() {
    let whole = blob(0, b"");
    let change = |at: usize, value: u8| {
        let mut blob = whole.clone();
        blob[at] = value;
        seal(&mut blob);
        decode(&blob).unwrap_err().to_string()
    };
    assert_eq!(change(8, 1), "a device state of version 1: this program knows version 2");
    assert_eq!(change(12, 9), "the reserved word at offset 12 of a device state is 9, expected 0");
    assert_eq!(change(24, 2), "a section's tag at offset 24 of a device state is 2, expected 1");
    let registers = change(28, 8);
    assert_eq!(registers, "the general registers' length at offset 28 of a device state is 8, expected 144");
    assert!(change(0, b'X').starts_with("not a device state: it begins with [58, 4f,"));
}

#[test]
fn the_size_is_capped() {
    let mut blob = vec![1];
    let output = vec![0; BLOB_BYTES_MAX];
    assert!(matches!(encode(&state(1), 0, &output, &mut blob), Err(BlobError::TooLarge { .. })));
    assert!(blob.is_empty());
    let most = BLOB_BYTES_MAX - self::blob(0, b"").len() + 39 * size_of::<kvm_msr_entry>();
    encode(&state(1), 0, &output[..most], &mut blob).unwrap();
    assert_eq!(blob.len(), BLOB_BYTES_MAX);
    assert!(decode(&blob).is_ok());
    assert!(matches!(encode(&state(1), 0, &output[..=most], &mut blob), Err(BlobError::TooLarge { .. })));
    assert!(blob.is_empty());
    assert!(matches!(decode(&vec![0; BLOB_BYTES_MAX + 1]), Err(BlobError::TooLarge { .. })));
}
