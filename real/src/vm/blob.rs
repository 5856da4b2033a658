//! The device state as bytes: one processor, a network card if there is one, and the output that was withheld when it was saved.
//!
//! All numbers are little-endian. Nothing in here is a pointer, every length is written down and checked, and the
//! checksum is looked at before anything else is believed.
//!
//! ```text
//!    0   8   magic "COLOVMST"
//!    8   4   version, 2
//!   12   4   zero
//!   16   8   length of the whole blob in bytes, at most BLOB_BYTES_MAX
//!   24       sections, in this order, each: tag (u32), length in bytes (u32), content
//!              1 general registers    2 special registers    3 extended state (FPU, vectors)
//!              4 extended control     5 MSRs, 16 bytes each   6 pending events
//!              7 debug registers      8 run state             9 output: end (u64), then the withheld bytes
//!             10 network card, empty if there is none
//!   -4   4   CRC-32 of all before
//! ```
//!
//! Sections 1 to 8 are the kernel's structures for x86-64 as they are: the kernel never changes their layout. What the
//! output's bytes mean is the caller's affair: `output_end` is the stream offset at which they end.

use kvm_bindings::{Msrs, kvm_msr_entry};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::cpu::CpuState;
use super::network::CardState;
use super::state::MachineState;

#[cfg(test)]
mod tests;

/// The greatest blob, in bytes; nearly all of it can be withheld output.
pub const BLOB_BYTES_MAX: usize = 64 << 20;
const MAGIC: [u8; 8] = *b"COLOVMST";
const VERSION: u32 = 2;
const HEADER_BYTES: usize = 24;
const CRC_BYTES: usize = 4;
/// The kernel's own limit is 256.
const MSRS_MAX: usize = 256;
const TAG_MSRS: u32 = 5;
const TAG_OUTPUT: u32 = 9;
const TAG_CARD: u32 = 10;

/// Why bytes are not a blob, or a state cannot become one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// It ends too early, or has bytes left over.
    #[error("a blob of {got} bytes at offset {at}: expected {want}")]
    Length {
        /// Where.
        at: usize,
        /// Bytes that are there.
        got: usize,
        /// Bytes that should be.
        want: usize,
    },
    /// It is larger than [`BLOB_BYTES_MAX`].
    #[error("a blob of {got} bytes: at most {max} are accepted")]
    TooLarge {
        /// Its size in bytes.
        got: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// It is something else.
    #[error("not a device state: it begins with {got:02x?}, expected {want:02x?}")]
    Magic {
        /// The first bytes.
        got: [u8; 8],
        /// What they should be.
        want: [u8; 8],
    },
    /// It comes from another version of this program.
    #[error("a device state of version {got}: this program knows version {want}")]
    Version {
        /// Its version.
        got: u32,
        /// The version that is known.
        want: u32,
    },
    /// It was damaged on the way.
    #[error(
        "the checksum of a device state of {bytes} bytes is {got:#010x}, expected {want:#010x}: it was damaged"
    )]
    Checksum {
        /// Size of the blob.
        bytes: usize,
        /// The checksum of what came.
        got: u32,
        /// The checksum that came with it.
        want: u32,
    },
    /// A field has a value that it cannot have.
    #[error("{field} at offset {at} of a device state is {got}, expected {want}")]
    Field {
        /// Which field.
        field: &'static str,
        /// Where.
        at: usize,
        /// Its value.
        got: u64,
        /// What it should be (a limit, for a count).
        want: u64,
    },
}

/// What a blob held.
#[derive(Clone, Debug)]
pub struct Decoded<'a> {
    /// The machine's state.
    pub state: MachineState,
    /// Offset in the output stream at which `output` ends.
    pub output_end: u64,
    /// The withheld output.
    pub output: &'a [u8],
}

/// Writes a state and the withheld output, which ends at stream offset `output_end`, into `blob` (cleared first).
///
/// # Errors
/// [`BlobError::TooLarge`]; then `blob` is empty.
pub fn encode(
    state: &MachineState,
    output_end: u64,
    output: &[u8],
    blob: &mut Vec<u8>,
) -> Result<(), BlobError> {
    let MachineState { cpu, card } = state;
    blob.clear();
    check_size(output.len())?;
    blob.extend_from_slice(&MAGIC);
    blob.extend_from_slice(&VERSION.to_le_bytes());
    blob.extend_from_slice(&[0; 12]);
    let sections: [&[&[u8]]; 10] = [
        &[cpu.regs.as_bytes()],
        &[cpu.sregs.as_bytes()],
        &[cpu.xsave.as_bytes()],
        &[cpu.xcrs.as_bytes()],
        &[cpu.msrs.as_slice().as_bytes()],
        &[cpu.events.as_bytes()],
        &[cpu.debugregs.as_bytes()],
        &[cpu.mp_state.as_bytes()],
        &[&output_end.to_le_bytes(), output],
        &[card.as_ref().map_or(&[], |card| card.as_bytes())],
    ];
    for (tag, parts) in (1_u32..).zip(sections) {
        write_section(blob, tag, parts);
    }
    let total = blob.len() + CRC_BYTES;
    if let Err(error) = check_size(total) {
        blob.clear();
        return Err(error);
    }
    blob[16..HEADER_BYTES].copy_from_slice(&(total as u64).to_le_bytes());
    blob.extend_from_slice(&crc32fast::hash(blob).to_le_bytes());
    Ok(())
}

/// Appends a section of these parts, whose lengths are within the cap and so within 32 bits.
fn write_section(blob: &mut Vec<u8>, tag: u32, parts: &[&[u8]]) {
    let length = u32::try_from(parts.iter().map(|part| part.len()).sum::<usize>()).unwrap_or(u32::MAX);
    blob.extend_from_slice(&tag.to_le_bytes());
    blob.extend_from_slice(&length.to_le_bytes());
    for part in parts {
        blob.extend_from_slice(part);
    }
}

/// Reads a blob; the output is borrowed from it.
///
/// # Errors
/// What came, what was expected, where. No input makes it panic.
pub fn decode(blob: &[u8]) -> Result<Decoded<'_>, BlobError> {
    let mut reader = Reader { blob: check_frame(blob)?, at: HEADER_BYTES };
    let mut cpu = CpuState::with_msrs(empty_msrs());
    cpu.regs = reader.structure(1, "the general registers' length")?;
    cpu.sregs = reader.structure(2, "the special registers' length")?;
    cpu.xsave = reader.structure(3, "the extended state's length")?;
    cpu.xcrs = reader.structure(4, "the extended control registers' length")?;
    cpu.msrs = reader.msrs()?;
    cpu.events = reader.structure(6, "the events' length")?;
    cpu.debugregs = reader.structure(7, "the debug registers' length")?;
    cpu.mp_state = reader.structure(8, "the run state's length")?;
    let (output_end, output) = reader.output()?;
    let card = reader.card()?;
    let left = reader.blob.len() - reader.at;
    if left != 0 {
        return Err(BlobError::Length { at: reader.at, got: left, want: 0 });
    }
    Ok(Decoded { state: MachineState { cpu, card }, output_end, output })
}

/// Checks all that can be checked without looking inside; gives the blob without its checksum.
fn check_frame(blob: &[u8]) -> Result<&[u8], BlobError> {
    check_size(blob.len())?;
    let least = HEADER_BYTES + CRC_BYTES;
    let mut header = Reader { blob, at: 0 };
    let magic = header.take(8).map_err(|_| BlobError::Length { at: 0, got: blob.len(), want: least })?;
    let got = <[u8; 8]>::try_from(magic).unwrap_or_default();
    if got != MAGIC {
        return Err(BlobError::Magic { got, want: MAGIC });
    }
    let version = header.u32()?;
    if version != VERSION {
        return Err(BlobError::Version { got: version, want: VERSION });
    }
    header.field("the reserved word", 0)?;
    let total = header.u64()?;
    if total != blob.len() as u64 {
        let want = usize::try_from(total).unwrap_or(usize::MAX);
        return Err(BlobError::Length { at: 0, got: blob.len(), want });
    }
    let too_short = BlobError::Length { at: 0, got: blob.len(), want: least };
    let (body, crc) = blob.split_last_chunk::<CRC_BYTES>().ok_or(too_short.clone())?;
    if body.len() < HEADER_BYTES {
        return Err(too_short);
    }
    let (got, want) = (crc32fast::hash(body), u32::from_le_bytes(*crc));
    if got != want {
        return Err(BlobError::Checksum { bytes: blob.len(), got, want });
    }
    Ok(body)
}

fn check_size(bytes: usize) -> Result<(), BlobError> {
    if bytes > BLOB_BYTES_MAX {
        return Err(BlobError::TooLarge { got: bytes, max: BLOB_BYTES_MAX });
    }
    Ok(())
}

fn empty_msrs() -> Msrs {
    Msrs::from_entries(&[]).unwrap_or_else(|_| unreachable!("an empty list is within any limit"))
}

/// A place in a blob.
struct Reader<'a> {
    blob: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// The next `bytes` bytes.
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], BlobError> {
        let rest = self.blob.get(self.at..).unwrap_or_default();
        let taken =
            rest.get(..bytes).ok_or(BlobError::Length { at: self.at, got: rest.len(), want: bytes })?;
        self.at += bytes;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, BlobError> {
        self.take(4).map(|bytes| u32::read_from_bytes(bytes).unwrap_or_default())
    }

    fn u64(&mut self) -> Result<u64, BlobError> {
        self.take(8).map(|bytes| u64::read_from_bytes(bytes).unwrap_or_default())
    }

    /// A u32 that can have one value only.
    fn field(&mut self, field: &'static str, want: u32) -> Result<(), BlobError> {
        let at = self.at;
        let got = self.u32()?;
        if got != want {
            return Err(BlobError::Field { field, at, got: got.into(), want: want.into() });
        }
        Ok(())
    }

    /// The content of a section that must have this tag.
    fn section(&mut self, tag: u32) -> Result<&'a [u8], BlobError> {
        self.field("a section's tag", tag)?;
        let length = self.u32()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// A section that is one structure.
    fn structure<T: FromBytes + IntoBytes + Immutable>(
        &mut self,
        tag: u32,
        field: &'static str,
    ) -> Result<T, BlobError> {
        let at = self.at + 4;
        let content = self.section(tag)?;
        T::read_from_bytes(content).map_err(|_| BlobError::Field {
            field,
            at,
            got: content.len() as u64,
            want: size_of::<T>() as u64,
        })
    }

    /// The section of MSRs.
    fn msrs(&mut self) -> Result<Msrs, BlobError> {
        let at = self.at + 4;
        let content = self.section(TAG_MSRS)?;
        let entry = size_of::<kvm_msr_entry>();
        let got = content.len() as u64;
        if !content.len().is_multiple_of(entry) {
            let want = (content.len() / entry * entry) as u64;
            return Err(BlobError::Field { field: "the MSRs' length", at, got, want });
        }
        let limit = BlobError::Field { field: "the MSRs' length", at, got, want: (MSRS_MAX * entry) as u64 };
        if content.len() > MSRS_MAX * entry {
            return Err(limit);
        }
        let entries: Vec<kvm_msr_entry> = content
            .chunks_exact(entry)
            .filter_map(|bytes| kvm_msr_entry::read_from_bytes(bytes).ok())
            .collect();
        Msrs::from_entries(&entries).map_err(|_| limit)
    }

    /// The section of the network card.
    fn card(&mut self) -> Result<Option<CardState>, BlobError> {
        let at = self.at + 4;
        let content = self.section(TAG_CARD)?;
        if content.is_empty() {
            return Ok(None);
        }
        let want = size_of::<CardState>() as u64;
        let field = "the network card's length";
        let card = CardState::read_from_bytes(content);
        card.map(Some).map_err(|_| BlobError::Field { field, at, got: content.len() as u64, want })
    }

    /// The section of output: where it ends, and the bytes.
    fn output(&mut self) -> Result<(u64, &'a [u8]), BlobError> {
        let at = self.at + 4;
        let content = self.section(TAG_OUTPUT)?;
        let short = BlobError::Field { field: "the output's length", at, got: content.len() as u64, want: 8 };
        let (end, output) = content.split_first_chunk::<8>().ok_or(short)?;
        Ok((u64::from_le_bytes(*end), output))
    }
}
