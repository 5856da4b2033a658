//! A record of the journal that the guest `journal` keeps on its disk, a block each. Compiled into both sides, so that whoever
//! opens a disk after a run reads it as the guest does.
//!
//! The last block is for a note, which the guest makes whenever it goes on: how often it has. Before it is the journal: record
//! number `n`, from 1, is in block `(n - 1) % blocks`, over the one before it there. A block that has never been written is
//! all zeros.

/// Words of a block.
pub const WORDS: usize = 512;

/// A block as words.
pub type Words = [u64; WORDS];

/// The first word of a record: "JOURNAL1".
const MAGIC: u64 = u64::from_le_bytes(*b"JOURNAL1");

/// What a record tells: an operation that was applied, and what was answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalRecord {
    /// Its place in the one order in which all operations were applied, from 1: the record's number.
    pub serial: u64,
    /// Who asked.
    pub client: u64,
    /// Which request of that client.
    pub sequence: u64,
    /// What was asked for.
    pub operation: u64,
    /// The key.
    pub key: u64,
    /// The answer.
    pub value: u64,
}

/// Blocks of the journal on a disk of so many.
pub const fn journal_blocks(disk_blocks: u64) -> u64 {
    disk_blocks.saturating_sub(1)
}

/// The block of a record in a journal of so many; of a journal without blocks, the first that there is not.
pub const fn block_of(serial: u64, blocks: u64) -> u64 {
    match serial.wrapping_sub(1).checked_rem(blocks) {
        Some(block) => block,
        None => 0,
    }
}

/// Writes a record over all of a block; its checksum, which is the last word and never 0.
pub fn write_record(record: &JournalRecord, words: &mut Words) -> u64 {
    let JournalRecord { serial, client, sequence, operation, key, value } = *record;
    let head = [MAGIC, serial, client, sequence, operation, key, value];
    let mut filler = serial;
    for (place, word) in words.iter_mut().enumerate() {
        filler = filler.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *word = head.get(place).copied().unwrap_or(filler);
    }
    let checksum = checksum(words);
    if let Some(last) = words.last_mut() {
        *last = checksum;
    }
    checksum
}

/// The checksum of a block that is a record; none of any other content.
pub fn checksum_of(words: &Words) -> Option<u64> {
    let last = words.last().copied()?;
    (words.first() == Some(&MAGIC) && last == checksum(words)).then_some(last)
}

/// What a block that is a record tells.
pub fn read_record(words: &Words) -> Option<JournalRecord> {
    checksum_of(words)?;
    let [_, serial, client, sequence, operation, key, value, ..] = *words;
    Some(JournalRecord { serial, client, sequence, operation, key, value })
}

/// Of all words but the last.
fn checksum(words: &Words) -> u64 {
    let mut sum = MAGIC;
    for word in words.iter().take(WORDS - 1) {
        sum = (sum.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    if sum == 0 { 1 } else { sum }
}
