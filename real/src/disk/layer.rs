//! A layer of a secondary's hidden overlay: what the blocks held that the primary has overwritten in one epoch.
//!
//! ```text
//!    0   4   magic "COLB"
//!    4   4   CRC-32 of all that follows
//!    8   8   the epoch: the first checkpoint that covers the write
//!   16   8   the block
//!   24   …   its content before
//! ```
//!
//! All numbers are little-endian. Records are appended, each before the block that it is of is overwritten, so a record that
//! is not whole is of a block that nobody has touched: what cannot be read ends the file.

use super::Block;
use super::image::Media;
use std::collections::BTreeMap;
use std::io;

const MAGIC: [u8; 4] = *b"COLB";
const CONTENT_AT: usize = 24;
/// Bytes of a record.
const RECORD: usize = CONTENT_AT + size_of::<Block>();

/// The layer in one file. It has records of one epoch only.
#[derive(Debug)]
pub(super) struct Layer {
    media: Media,
    epoch: u64,
    /// Where in the file the content of which block begins.
    places: BTreeMap<u64, u64>,
    end: u64,
}

impl Layer {
    /// What is in this file. Records of no use, behind the last whole one, are overwritten by the next.
    pub(super) fn open(media: Media) -> io::Result<Self> {
        let mut layer = Self { media, epoch: 0, places: BTreeMap::new(), end: 0 };
        let length = layer.media.length()?;
        let mut record = [0; RECORD];
        while layer.end + RECORD as u64 <= length {
            layer.media.read(layer.end, &mut record)?;
            let Some((epoch, block)) = parse(&record) else { break };
            if layer.is_empty() {
                layer.epoch = epoch;
            } else if layer.epoch != epoch {
                break;
            }
            layer.note(block);
        }
        Ok(layer)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The epoch of its records, if it has any.
    pub(super) fn epoch(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.epoch)
    }

    pub(super) fn has(&self, block: u64) -> bool {
        self.places.contains_key(&block)
    }

    /// Its blocks, ascending.
    pub(super) fn blocks(&self) -> impl Iterator<Item = u64> {
        self.places.keys().copied()
    }

    /// What the block held; none if it was not overwritten in this epoch.
    pub(super) fn read(&self, block: u64, to: &mut Block) -> io::Result<bool> {
        let Some(place) = self.places.get(&block) else { return Ok(false) };
        self.media.read(*place, to)?;
        Ok(true)
    }

    /// Keeps what a block holds, which is about to be overwritten. An empty layer begins with this epoch.
    pub(super) fn keep(&mut self, epoch: u64, block: u64, content: &Block) -> io::Result<()> {
        if self.is_empty() {
            self.epoch = epoch;
        }
        assert_eq!(self.epoch, epoch, "a layer has records of one epoch");
        self.media.write(self.end, &record(epoch, block, content))?;
        self.note(block);
        Ok(())
    }

    /// Forgets all of it: the file is empty then, in one step.
    pub(super) fn drop_all(&mut self) -> io::Result<()> {
        if self.end > 0 {
            self.media.cut(0)?;
        }
        self.places.clear();
        self.end = 0;
        Ok(())
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        if self.is_empty() { Ok(()) } else { self.media.flush() }
    }

    fn note(&mut self, block: u64) {
        self.places.insert(block, self.end + CONTENT_AT as u64);
        self.end += RECORD as u64;
    }
}

fn record(epoch: u64, block: u64, content: &Block) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..4].copy_from_slice(&MAGIC);
    record[8..16].copy_from_slice(&epoch.to_le_bytes());
    record[16..CONTENT_AT].copy_from_slice(&block.to_le_bytes());
    record[CONTENT_AT..].copy_from_slice(content);
    let checksum = crc32fast::hash(&record[8..]);
    record[4..8].copy_from_slice(&checksum.to_le_bytes());
    record
}

/// The epoch and the block of a record that is whole.
fn parse(record: &[u8; RECORD]) -> Option<(u64, u64)> {
    let checksum = crc32fast::hash(&record[8..]).to_le_bytes();
    if record[..4] != MAGIC || record[4..8] != checksum {
        return None;
    }
    let word = |at: usize| record[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    Some((word(8), word(16)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::image::Fault;
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    fn reopened(file: &File) -> Layer {
        Layer::open(Media::new(file.try_clone().unwrap(), Fault::default())).unwrap()
    }

    #[test]
    fn what_is_kept_is_found_again_up_to_a_record_that_is_not_whole() {
        let file = tempfile::tempfile().unwrap();
        let mut layer = reopened(&file);
        for block in [7, 3, 5] {
            layer.keep(2, block, &[u8::try_from(block).unwrap(); 4096]).unwrap();
        }
        // Killed in the middle of the last one.
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
        let mut layer = reopened(&file);
        let mut content = [0; 4096];
        assert!(layer.read(3, &mut content).unwrap() && content == [3; 4096]);
        assert_eq!((layer.epoch(), layer.blocks().collect::<Vec<_>>()), (Some(2), vec![3, 7]));
        layer.keep(2, 5, &[50; 4096]).unwrap();
        assert!(reopened(&file).read(5, &mut content).unwrap() && content == [50; 4096]);
        // A bit has turned in the second.
        let place = RECORD as u64 + 2_000;
        file.write_all_at(&[0xff], place).unwrap();
        assert_eq!(reopened(&file).blocks().collect::<Vec<_>>(), [7]);
        layer.drop_all().unwrap();
        assert!(reopened(&file).is_empty() && layer.epoch().is_none());
    }
}
