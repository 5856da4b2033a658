//! A node's disk: a few sectors that its VM sees, and, on a secondary, what of the primary's writes the VM does not.
//!
//! As in QEMU's block replication: the VM of a secondary sees the primary's disk as of a checkpoint, with its own
//! writes on top; what the primary writes meanwhile is kept aside until an effect of the core says what becomes of it.

use crate::fingerprint::Fingerprint;
use colo_protocol::CheckpointNumber;
use std::collections::VecDeque;

/// Words of a sector; the last one counts its writes, so that two states of it never look alike by chance.
pub(crate) const SECTOR_WORDS: usize = 8;

/// Sectors of a disk: a bit of the log of writes each.
pub(crate) const SECTORS: usize = 8;

type Sector = [u64; SECTOR_WORDS];
type Sectors = [Sector; SECTORS];

/// A sector as the primary's VM has written it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DiskWrite {
    sector: usize,
    content: Sector,
    /// The first checkpoint that covers it.
    epoch: CheckpointNumber,
}

/// A disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    /// What the VM sees.
    view: Sectors,
    /// What is below its own writes: the primary's disk as of the latest checkpoint.
    base: Sectors,
    /// The primary's writes since, oldest first.
    received: VecDeque<DiskWrite>,
    /// The sectors that the VM has written and nobody has asked for yet.
    written: u8,
    /// The first checkpoint that will cover what the VM writes now.
    epoch: CheckpointNumber,
    /// Replication has started.
    pub(crate) started: bool,
    /// Replication has started and not ended.
    pub(crate) replicating: bool,
}

impl Disk {
    /// The number at this word of this sector.
    pub(crate) fn read(&self, sector: usize, word: usize) -> u64 {
        self.view[sector][word]
    }

    /// Writes a number; by what that changes the [digest](Self::digest) of the disk.
    pub(crate) fn write(&mut self, sector: usize, word: usize, value: u64) -> u64 {
        assert!(word < SECTOR_WORDS - 1, "the last word of a sector counts its writes");
        self.written |= 1 << sector;
        let content = &mut self.view[sector];
        let before = mixed(sector, content);
        content[word] = value;
        content[SECTOR_WORDS - 1] += 1;
        before ^ mixed(sector, content)
    }

    /// The sectors written since the last call, as they are now.
    pub(crate) fn take_written(&mut self) -> impl Iterator<Item = DiskWrite> {
        let written = std::mem::take(&mut self.written);
        let Self { view, epoch, .. } = self;
        let sectors = (0..SECTORS).filter(move |sector| written & (1 << sector) != 0);
        sectors.map(|sector| DiskWrite { sector, content: view[sector], epoch: *epoch })
    }

    /// A checkpoint has been captured: what is written from here on is not in it.
    pub(crate) fn captured(&mut self, checkpoint: CheckpointNumber) {
        self.epoch = checkpoint.next();
    }

    /// A write of the primary has come.
    pub(crate) fn receive(&mut self, write: DiskWrite) {
        if self.replicating {
            self.received.push_back(write);
        }
    }

    /// The VM sees the primary's disk with all writes that have come, and nothing of its own any more.
    pub(crate) fn checkpoint(&mut self) {
        self.show(|_| true);
    }

    /// The VM sees the primary's disk as of this checkpoint; what was written later is kept aside.
    pub(crate) fn commit_epoch(&mut self, checkpoint: CheckpointNumber) {
        self.show(|write| write.epoch <= checkpoint);
    }

    fn show(&mut self, covered: impl Fn(&DiskWrite) -> bool) {
        while let Some(write) = self.received.pop_front_if(|write| covered(write)) {
            self.base[write.sector] = write.content;
        }
        self.view = self.base;
    }

    /// The disk goes on without the peer: what the VM sees is all there is.
    pub(crate) fn fail_over(&mut self) {
        self.replicating = false;
        self.received.clear();
    }

    /// The disk becomes a mirror of `other`, as the VM of that one sees it.
    pub(crate) fn mirror(&mut self, other: &Self) {
        (self.view, self.base) = (other.view, other.view);
    }

    /// Another pair begins, with this disk as it is.
    pub(crate) fn begin_generation(&mut self) {
        *self = Self { view: self.view, base: self.view, ..Self::default() };
    }

    /// A fingerprint of what the VM sees.
    pub(crate) fn digest(&self) -> u64 {
        self.view.iter().enumerate().fold(0, |digest, (sector, content)| digest ^ mixed(sector, content))
    }
}

/// What a sector contributes to a digest; one that was never written nothing.
fn mixed(sector: usize, content: &Sector) -> u64 {
    if content[SECTOR_WORDS - 1] == 0 {
        return 0;
    }
    let mut print = Fingerprint::new();
    print.word(sector as u64);
    for word in content {
        print.word(*word);
    }
    print.value()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(disk: &mut Disk) -> Vec<DiskWrite> {
        disk.take_written().collect()
    }

    #[test]
    fn a_digest_follows_the_writes() {
        let mut disk = Disk::default();
        let mut digest = disk.digest();
        for (sector, word, value) in [(0, 0, 5), (3, 6, 0), (0, 0, 5)] {
            digest ^= disk.write(sector, word, value);
            assert_eq!(digest, disk.digest());
        }
        assert_ne!(digest, 0);
        assert_eq!(written(&mut disk).len(), 2);
        assert_eq!(written(&mut disk), []);
    }

    #[test]
    fn a_secondary_sees_whole_epochs_or_all_that_has_come() {
        let mut primary = Disk::default();
        let [mut tagged, mut untagged] =
            [(); 2].map(|()| Disk { started: true, replicating: true, ..Disk::default() });
        primary.captured(CheckpointNumber(0));
        primary.write(1, 0, 10);
        let first = written(&mut primary);
        let covered = primary.digest();
        primary.captured(CheckpointNumber(1));
        primary.write(1, 0, 20);
        for write in first.into_iter().chain(written(&mut primary)) {
            tagged.receive(write);
            untagged.receive(write);
        }
        tagged.write(2, 0, 99);
        tagged.commit_epoch(CheckpointNumber(1));
        untagged.checkpoint();
        assert_eq!((tagged.read(1, 0), tagged.read(2, 0), tagged.digest()), (10, 0, covered));
        assert_eq!((untagged.read(1, 0), untagged.digest()), (20, primary.digest()));
        tagged.fail_over();
        tagged.commit_epoch(CheckpointNumber(2));
        assert_eq!(tagged.read(1, 0), 10);
    }
}
