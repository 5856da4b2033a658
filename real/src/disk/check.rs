//! A disk after a run, held against what the clients were told: the journal that the guest `journal` has kept on it.

use super::Block;
use crate::record::{JournalRecord, WORDS, Words, block_of, journal_blocks, read_record};
use std::collections::BTreeMap;

/// The latest operations that clients were told of, as many as a disk has blocks, by their place in the one order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Acknowledged {
    /// By serial: client, sequence, value.
    replies: BTreeMap<u64, [u64; 3]>,
    blocks: usize,
}

impl Acknowledged {
    /// None yet, for a disk of so many blocks.
    pub(crate) fn new(blocks: u64) -> Self {
        let blocks = usize::try_from(journal_blocks(blocks)).unwrap_or(usize::MAX);
        Self { replies: BTreeMap::new(), blocks }
    }

    /// A client has been told this.
    pub(crate) fn note(&mut self, serial: u64, reply: [u64; 3]) {
        self.replies.insert(serial, reply);
        while self.replies.len() > self.blocks {
            self.replies.pop_first();
        }
    }

    fn latest(&self) -> u64 {
        self.replies.last_key_value().map_or(0, |(serial, _)| *serial)
    }
}

/// Whether a disk is that of one moment: each block has the record that was the latest there when the latest of all was
/// written. That record's number; an error says what is wrong.
pub(crate) fn check_whole(disk: &[Block]) -> Result<u64, String> {
    let records = read_journal(disk)?;
    let latest = records.iter().flatten().map(|record| record.serial).max().unwrap_or(0);
    let count = records.len() as u64;
    for (block, record) in (0..).zip(&records) {
        let expected = latest_in(block, count, latest);
        let got = record.map_or(0, |record| record.serial);
        if got != expected {
            return Err(format!(
                "block {block} has record {got} and the latest record is {latest}: expected {expected}"
            ));
        }
    }
    Ok(latest)
}

/// How the service has ended whose disk it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// Every client was answered.
    Drained,
    /// Its guest has powered off: what it did last, nobody may have been told of.
    PoweredOff,
}

/// Whether the disk of the node that served last has all that clients were told, as they were told it, and nothing that they
/// were not, unless it is of the end of a service that has ended by itself.
pub(crate) fn check_survivor(disk: &[Block], acknowledged: &Acknowledged, end: End) -> Result<(), String> {
    let (latest, told) = (check_whole(disk)?, acknowledged.latest());
    if latest < told || (latest > told && end == End::Drained) {
        let what = if latest < told { "is missing" } else { "is of a future that nobody was told of" };
        return Err(format!(
            "record {} {what}: the latest is {latest}, clients know of {told}",
            latest.max(told)
        ));
    }
    for record in read_journal(disk)?.into_iter().flatten() {
        let JournalRecord { serial, client, sequence, value, .. } = record;
        let written = [client, sequence, value];
        match acknowledged.replies.get(&serial) {
            Some(told) if *told == written => {}
            Some(told) => {
                return Err(format!("record {serial} has {written:?}, the client was told {told:?}"));
            }
            None if serial > told && end == End::PoweredOff => {}
            None => return Err(format!("record {serial} is of an operation that nobody was told of")),
        }
    }
    Ok(())
}

/// The number of the latest record in this block when the latest of all is `latest`; 0 if there is none.
fn latest_in(block: u64, blocks: u64, latest: u64) -> u64 {
    let Some(behind) = latest.checked_sub(1) else { return 0 };
    let back = (block_of(latest, blocks) + blocks - block) % blocks;
    if back <= behind { latest - back } else { 0 }
}

/// What is in each block of the journal; the note behind it has to be whole.
fn read_journal(disk: &[Block]) -> Result<Vec<Option<JournalRecord>>, String> {
    let read = |(place, block): (usize, &Block)| {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let record = read_record(&words(block));
        record.map(Some).ok_or_else(|| format!("block {place} is no record, or a damaged one"))
    };
    let mut records = disk.iter().enumerate().map(read).collect::<Result<Vec<_>, String>>()?;
    records.pop();
    Ok(records)
}

fn words(block: &Block) -> Words {
    let (words, _) = block.as_chunks::<8>();
    let mut all = [0; WORDS];
    for (to, from) in all.iter_mut().zip(words) {
        *to = u64::from_le_bytes(*from);
    }
    all
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::record::write_record;

    const BLOCKS: u64 = 5;
    const DISK_BLOCKS: u64 = BLOCKS + 1;

    /// A disk after so many operations, and what the clients were told.
    fn after(operations: u64) -> (Vec<Block>, Acknowledged) {
        let mut disk = vec![[0; 4096]; usize::try_from(DISK_BLOCKS).unwrap()];
        let mut acknowledged = Acknowledged::new(DISK_BLOCKS);
        for serial in 1..=operations {
            put(&mut disk, serial);
            acknowledged.note(serial, [0, serial, serial * 3]);
        }
        (disk, acknowledged)
    }

    fn put(disk: &mut [Block], serial: u64) {
        let mut words = [0; WORDS];
        write_record(
            &JournalRecord { serial, sequence: serial, value: serial * 3, ..Default::default() },
            &mut words,
        );
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        disk[usize::try_from(block_of(serial, BLOCKS)).unwrap()].copy_from_slice(&bytes);
    }

    #[test]
    fn the_disk_of_a_moment_is_whole_and_has_what_was_told() {
        for operations in 0..13 {
            let (disk, acknowledged) = after(operations);
            assert_eq!(check_whole(&disk), Ok(operations));
            assert_eq!(check_survivor(&disk, &acknowledged, End::Drained), Ok(()));
        }
    }

    #[test]
    fn a_missing_a_future_a_foreign_and_a_damaged_record_are_seen() {
        let (disk, acknowledged) = after(7);
        let (_, more) = after(8);
        let found =
            |disk: &[Block], acknowledged| check_survivor(disk, acknowledged, End::Drained).unwrap_err();
        assert_eq!(found(&disk, &more), "record 8 is missing: the latest is 7, clients know of 8");
        let (later, _) = after(8);
        assert_eq!(
            found(&later, &acknowledged),
            "record 8 is of a future that nobody was told of: the latest is 8, clients know of 7"
        );
        // Two epochs in one disk.
        let mut torn = disk.clone();
        put(&mut torn, 9);
        assert_eq!(
            found(&torn, &acknowledged),
            "block 2 has record 3 and the latest record is 9: expected 8"
        );
        let mut damaged = disk.clone();
        damaged[1][100] ^= 1;
        assert_eq!(found(&damaged, &acknowledged), "block 1 is no record, or a damaged one");
        let mut other = acknowledged.clone();
        other.note(7, [0, 7, 22]);
        assert_eq!(found(&disk, &other), "record 7 has [0, 7, 21], the client was told [0, 7, 22]");
    }
}
