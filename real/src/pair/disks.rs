//! The disks of a pair as the harness sees them: where their files are, what the nodes say of them, and what is on them when
//! both nodes are dead.

use super::Pair;
use super::options::{RunError, RunOptions};
use super::process::Process;
use super::violation::RunViolation;
use crate::disk::{
    Acknowledged, DiskConfig, DiskFigures, End, check_survivor, check_whole, has_disk, recover,
};
use colo_protocol::NodeName;
use std::path::{Path, PathBuf};

/// The disks of a run.
#[derive(Debug)]
pub(super) struct Disks {
    directory: PathBuf,
    /// Their files are nobody's after the run.
    is_temporary: bool,
    blocks: u64,
    told: [DiskFigures; 2],
}

impl Disks {
    /// Those of a run in this private directory; none if the machine has no disk.
    pub(super) fn of(options: &RunOptions, directory: &Path) -> Result<Option<Self>, RunError> {
        let blocks = options.workload.disk_blocks;
        if blocks == 0 {
            return Ok(None);
        }
        let asked = options.disk_directory.as_ref();
        let directory = asked.cloned().unwrap_or_else(|| directory.join("disks"));
        std::fs::create_dir_all(&directory)?;
        expect_no_disks(&directory)?;
        let told = [DiskFigures::default(); 2];
        Ok(Some(Self { directory, is_temporary: asked.is_none(), blocks, told }))
    }

    /// What a node is told of its disk.
    pub(super) fn config(&self) -> DiskConfig {
        DiskConfig { directory: self.directory.clone(), blocks: self.blocks }
    }

    /// A node says what its disk has done so far.
    pub(super) fn told(&mut self, node: NodeName, figures: DiskFigures) {
        self.told[node as usize] = figures;
    }

    /// What both have done.
    pub(super) fn figures(&self) -> DiskFigures {
        let [primary, secondary] = self.told;
        primary.and(secondary)
    }

    /// Whether the disk of a dead node is that of one moment: whoever killed it, and when.
    pub(super) fn whole(&self, node: NodeName) -> Result<(), RunViolation> {
        let blocks = match recover(&self.directory, node) {
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
        let blocks = recover(&self.directory, node).map_err(|error| error.to_string());
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
    /// Both nodes are killed, and their disks looked at: what is on them is all that is left.
    pub(super) fn look_at_the_disks(&mut self) {
        let Some(disks) = self.disks.take() else { return };
        self.processes.iter_mut().for_each(Process::kill);
        self.outcome.disk = disks.figures();
        let mut found = NodeName::ALL.into_iter().find_map(|node| disks.whole(node).err());
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
