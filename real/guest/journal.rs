//! The guest `journal`: a key-value service that writes a record of each operation to its disk before it answers, and reads
//! the whole disk back for each that asks for a value.
//!
//! Whenever it goes on it makes a note there as well, and looks first what the one before says: a machine that goes on finds
//! the disk on which it stopped, and leaves another.
//!
//! In memory it knows the checksum of what it has written to each block. A disk that is not that of this memory, because a
//! record is missing, or one is there that this machine has not written yet, is found by the next request that reads: it is
//! answered with [`abi::STATUS_WRONG_BLOCK`].

#![no_std]
#![no_main]

#[allow(dead_code, reason = "the host's half of the agreement")]
mod abi;
mod bare;
mod disk;
#[macro_use]
mod entry;
#[allow(dead_code, reason = "the host's half of the agreement")]
mod record;
mod service;
mod writer;

use abi::{BlockRequest, Parameters, Reply, Request};
use bare::load;
use record::{JournalRecord, Words, block_of, checksum_of, journal_blocks, write_record};
use service::{Applied, Service};
use writer::{Writer, work_off_ticks};

/// Blocks that are read at once.
const AT_ONCE: usize = 16;

/// What the guest knows.
#[repr(C)]
struct State {
    service: Service,
    journal: Journal,
}

#[repr(C)]
struct Journal {
    writer: Writer,
    /// Records that have been written since the last flush.
    unflushed: u64,
    /// A wrong block that was found when nobody had asked, and 1.
    found: u64,
    /// The checksum of each block's content; 0 of one that has never been written.
    checksums: [u64; abi::DISK_BLOCKS_MAX as usize],
    buffers: [Words; AT_ONCE],
}

fn turn(state: &mut State, parameters: &Parameters) -> u32 {
    let before = load(abi::TICKS_DONE);
    work_off_ticks(&mut state.journal.writer, parameters);
    let ticks = load(abi::TICKS_DONE);
    if ticks != before {
        state.journal.note(ticks, parameters.disk_blocks);
    }
    let reason = state.service.work_off_requests(&mut state.journal, parameters);
    state.journal.flush();
    reason
}

entry!(State, turn);

impl Applied for Journal {
    fn applied(&mut self, parameters: &Parameters, request: &Request, reply: &Reply) -> Result<(), (u64, u64)> {
        self.writer.write(parameters, parameters.dirty_pages_per_request);
        self.append(parameters.disk_blocks, request, reply);
        if let Some(block) = self.found.checked_sub(1) {
            return Err((abi::STATUS_WRONG_BLOCK, block));
        }
        if request.operation == abi::OP_GET {
            self.verify(0, parameters.disk_blocks).map_err(|block| (abi::STATUS_WRONG_BLOCK, block))?;
        }
        Ok(())
    }
}

impl Journal {
    fn append(&mut self, disk_blocks: u64, request: &Request, reply: &Reply) {
        let record = JournalRecord {
            serial: reply.serial,
            client: reply.client,
            sequence: reply.sequence,
            operation: request.operation,
            key: request.key,
            value: reply.value,
        };
        self.write_block(block_of(record.serial, journal_blocks(disk_blocks)), &record);
    }

    /// Says that the machine has gone on, for the how-manieth time.
    fn note(&mut self, ticks: u64, disk_blocks: u64) {
        let note = JournalRecord { serial: ticks, ..JournalRecord::default() };
        let block = journal_blocks(disk_blocks);
        if let Err(wrong) = self.verify(block, disk_blocks) {
            self.found = wrong + 1;
        }
        self.write_block(block, &note);
    }

    fn write_block(&mut self, block: u64, record: &JournalRecord) {
        let Self { unflushed, checksums, buffers, .. } = self;
        let [buffer, ..] = buffers;
        let checksum = write_record(record, buffer);
        let address = (&raw const *buffer) as u64;
        disk::ask(core::iter::once(BlockRequest { operation: abi::BLOCK_WRITE, block, address }));
        if let Some(known) = checksums.get_mut(block as usize) {
            *known = checksum;
        }
        *unflushed += 1;
    }

    /// Reads these blocks back; an error says which is not what was written to it.
    fn verify(&mut self, mut first: u64, end: u64) -> Result<(), u64> {
        let Self { checksums, buffers, .. } = self;
        let addresses = (&raw mut *buffers) as u64;
        while first < end {
            let count = AT_ONCE.min((end - first) as usize);
            disk::ask((0..count as u64).map(|n| BlockRequest {
                operation: abi::BLOCK_READ,
                block: first + n,
                address: addresses + n * abi::BLOCK_BYTES,
            }));
            let known = checksums.iter().skip(first as usize);
            for (n, (words, known)) in buffers.iter().zip(known).take(count).enumerate() {
                if !is_what_was_written(words, *known) {
                    return Err(first + n as u64);
                }
            }
            first += count as u64;
        }
        Ok(())
    }

    fn flush(&mut self) {
        if self.unflushed > 0 {
            disk::ask(core::iter::once(BlockRequest { operation: abi::BLOCK_FLUSH, ..BlockRequest::default() }));
            self.unflushed = 0;
        }
    }
}

fn is_what_was_written(words: &Words, known: u64) -> bool {
    match known {
        0 => words.iter().all(|word| *word == 0),
        _ => checksum_of(words) == Some(known),
    }
}
