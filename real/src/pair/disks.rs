//! The disks of a pair as the harness sees them: where their files are, what the nodes say of them, and what is on them when
//! both nodes are dead.

use super::Pair;
use super::options::{RunError, RunOptions};
use super::process::Process;
use super::violation::RunViolation;
use crate::disk::{
    Acknowledged, Block, DiskConfig, DiskFigures, End, check_survivor, check_whole, has_disk, recover,
};
use colo_protocol::NodeName;
use std::path::{Path, PathBuf};

/// The disks of a run.
#[derive(Debug)]
pub(crate) struct Disks {
    directory: PathBuf,
    /// Their files are nobody's after the run.
    is_temporary: bool,
    blocks: u64,
    files: [Files; 2],
    told: [DiskFigures; 2],
    /// What those have done that are dead, and of no pair any more.
    told_before: DiskFigures,
}

/// Where a node has its files, and the name by which they go: that of the part in which it began.
#[derive(Clone, Debug)]
struct Files {
    directory: PathBuf,
    name: NodeName,
}

impl Disks {
    /// Those of a run in this private directory; none if the machine has no disk.
    pub(crate) fn of(options: &RunOptions, directory: &Path) -> Result<Option<Self>, RunError> {
        let blocks = options.workload.disk_blocks;
        if blocks == 0 {
            return Ok(None);
        }
        let asked = options.disk_directory.as_ref();
        let directory = asked.cloned().unwrap_or_else(|| directory.join("disks"));
        std::fs::create_dir_all(&directory)?;
        expect_no_disks(&directory)?;
        Ok(Some(Self {
            files: NodeName::ALL.map(|name| Files { directory: directory.clone(), name }),
            directory,
            is_temporary: asked.is_none(),
            blocks,
            told: [DiskFigures::default(); 2],
            told_before: DiskFigures::default(),
        }))
    }

    /// What a node is told of its disk.
    pub(crate) fn config(&self, node: NodeName) -> DiskConfig {
        DiskConfig { directory: self.files[node as usize].directory.clone(), blocks: self.blocks }
    }

    /// A survivor, who is the primary from now on, keeps its disk; its replacement, in the pair of this number, has one of its
    /// own. What the dead one has left is nobody's.
    pub(super) fn begin_pair(&mut self, survivor: NodeName, pair: usize) -> std::io::Result<()> {
        let [kept, dead] = [survivor, survivor.peer()].map(|node| self.files[node as usize].clone());
        let [told, told_last] = [survivor, survivor.peer()].map(|node| self.told[node as usize]);
        if self.is_temporary && dead.directory != self.directory {
            std::fs::remove_dir_all(&dead.directory)?;
        }
        let directory = self.directory.join(format!("pair-{pair}"));
        std::fs::create_dir(&directory)?;
        self.files = [kept, Files { directory, name: NodeName::Secondary }];
        self.told = [told, DiskFigures::default()];
        self.told_before = self.told_before.and(told_last);
        Ok(())
    }

    /// What is on a dead node's disk.
    fn left_by(&self, node: NodeName) -> std::io::Result<Vec<Block>> {
        let Files { directory, name } = &self.files[node as usize];
        recover(directory, *name)
    }

    /// A node says what its disk has done so far.
    pub(super) fn told(&mut self, node: NodeName, figures: DiskFigures) {
        self.told[node as usize] = figures;
    }

    /// What both have done.
    pub(super) fn figures(&self) -> DiskFigures {
        let [primary, secondary] = self.told;
        self.told_before.and(primary.and(secondary))
    }

    /// Whether the disk of a dead node is that of one moment: whoever killed it, and when.
    pub(super) fn whole(&self, node: NodeName) -> Result<(), RunViolation> {
        let blocks = match self.left_by(node) {
            Ok(blocks) => blocks,
            // It died before it had a disk.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(RunViolation::Disk { node, problem: error.to_string() }),
        };
        check_whole(&blocks).map(drop).map_err(|problem| RunViolation::Disk { node, problem })
    }

    /// Whether the disk of the node that served last is what the clients were told.
    pub(super) fn survivor(
        &self,
        node: NodeName,
        acknowledged: &Acknowledged,
        end: End,
    ) -> Result<(), RunViolation> {
        let blocks = self.left_by(node).map_err(|error| error.to_string());
        blocks
            .and_then(|blocks| check_survivor(&blocks, acknowledged, end))
            .map_err(|problem| RunViolation::Disk { node, problem })
    }
}

/// Somebody's disks are not written over: said before a node finds out.
fn expect_no_disks(directory: &Path) -> std::io::Result<()> {
    if !has_disk(directory) {
        return Ok(());
    }
    let problem = format!("{} has disks in it already, expected a directory without", directory.display());
    Err(std::io::Error::new(std::io::ErrorKind::AlreadyExists, problem))
}

impl Drop for Disks {
    fn drop(&mut self) {
        if self.is_temporary {
            // What is left is gone with the run's directory.
            let _ = std::fs::remove_dir_all(&self.directory);
            self.directory.parent().map(std::fs::remove_dir);
        }
    }
}

impl Pair<'_> {
    /// Whether the disk of a dead node is that of one moment. A replacement that holds no checkpoint has some blocks, and
    /// they are of no use.
    fn whole_disk(&self, disks: &Disks, node: NodeName) -> Result<(), RunViolation> {
        if self.course.is_empty && node == NodeName::Secondary { Ok(()) } else { disks.whole(node) }
    }

    /// Whoever has died leaves the disk of one moment, and the survivor has another peer.
    pub(super) fn change_disks(&mut self, survivor: NodeName, pair: usize) -> Result<(), RunError> {
        let Some(mut disks) = self.disks.take() else { return Ok(()) };
        if let Err(violation) = self.whole_disk(&disks, survivor.peer()) {
            self.violate(violation);
        }
        disks.begin_pair(survivor, pair)?;
        self.disks = Some(disks);
        Ok(())
    }

    /// Both nodes are killed, and their disks looked at: what is on them is all that is left.
    pub(super) fn look_at_the_disks(&mut self) {
        let Some(disks) = self.disks.take() else { return };
        self.processes.iter_mut().for_each(Process::kill);
        self.outcome.disk = disks.figures();
        let mut found = NodeName::ALL.into_iter().find_map(|node| self.whole_disk(&disks, node).err());
        if self.outcome.violation.is_none() {
            let end = if self.has_drained() { End::Drained } else { End::PoweredOff };
            // Where both are off and neither has taken over, both have all that has left.
            let one = self.course.took_over == [false; 2];
            let off = NodeName::ALL.into_iter().filter(|node| one && self.course.power.is_off(*node));
            let mut last = off.chain([self.serving]);
            found = found.or_else(|| {
                last.find_map(|node| disks.survivor(node, &self.clients.acknowledged, end).err())
            });
        }
        if let Some(violation) = found {
            self.violate(violation);
        }
    }
}
