//! The machine's disk at a node: set up before the node is confined, ordered about by the core's effects, and cut off with the
//! link. No decision of the protocol is taken here.

use super::driver::{Driver, InHand};
use super::vcpu::Device;
use super::{Control, NodeError};
use crate::control::{FromNode, NodeConfig};
pub(super) use crate::disk::Control as Connection;
use crate::disk::{NodeDisk, Receiver, Sender, start_copier};
use crate::link::{Connections, Link};
use colo_protocol::{CheckpointNumber, Effect, NodeName, Operation};
use colo_trace::Kind;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the node looks whether a guest that waits for its disk stands still.
const LOOKS_EVERY: Duration = Duration::from_millis(1);

/// When no more blocks than these are missing, they may as well be copied while the guest stands still.
const FEW_BLOCKS: usize = 16;

/// How often the harness is told what the disk has done.
const TELLS_EVERY: Duration = Duration::from_millis(5);

/// A machine's disk.
pub(super) struct Disk {
    files: Arc<NodeDisk>,
    /// The node's end of the connection to the peer's disk, if it has one.
    connection: Option<Connection>,
    told: Option<Instant>,
}

/// The disk of a node of a pair: a primary's sends what it writes, a secondary's takes that in.
pub(super) fn of_pair(
    config: &NodeConfig,
    Connections { link, replication, .. }: &mut Connections,
) -> Result<Option<Disk>, NodeError> {
    let (Some(files), Some(replication)) = (&config.disk, replication.take()) else { return Ok(None) };
    let create = |sender| NodeDisk::create(files, config.name, sender).map(Arc::new);
    let (files, connection) = match config.name {
        NodeName::Primary => {
            let sender = Sender::new(replication, link, config.link_rate).map_err(NodeError::Disk)?;
            let connection = sender.control();
            (create(Some(sender)).map_err(NodeError::Disk)?, connection)
        }
        NodeName::Secondary => {
            let receiver = Receiver::new(replication, link).map_err(NodeError::Disk)?;
            let connection = receiver.control();
            let files = create(None).map_err(NodeError::Disk)?;
            receiver.start(Arc::clone(&files));
            (files, connection)
        }
    };
    start_copier(&files);
    Ok(Some(Disk { files, connection: Some(connection), told: None }))
}

/// The disk of a machine that nobody protects.
pub(super) fn of_nobody(config: &NodeConfig) -> Result<Option<Disk>, NodeError> {
    let Some(files) = &config.disk else { return Ok(None) };
    let disk = Arc::new(NodeDisk::create(files, config.name, None).map_err(NodeError::Disk)?);
    Ok(Some(Disk { files: disk, connection: None, told: None }))
}

/// What the guest's thread uses.
pub(super) fn device(disk: Option<&Disk>) -> Device {
    match disk {
        Some(disk) => Arc::<NodeDisk>::clone(&disk.files),
        None => Arc::new(()),
    }
}

impl Disk {
    /// What is next asked of it fails.
    pub(super) fn fail_next(&self) {
        self.files.fail_next();
    }

    /// A replacement, at the other end of this, is to have all that is there.
    fn begin_to_copy(&mut self, replication: Link, link: &Link, rate: Option<u64>) -> Result<(), NodeError> {
        let sender = Sender::new(replication, link, rate).map_err(NodeError::Disk)?;
        self.connection = Some(sender.control());
        self.files.begin_to_copy(sender);
        Ok(())
    }

    /// The state of a checkpoint has been captured, and with it begins the next.
    pub(super) fn captured(&self, checkpoint: CheckpointNumber) {
        self.files.captured(checkpoint);
    }
}

impl Driver {
    /// Does something to the connection of the disks, if there is one.
    pub(super) fn on_connection(&self, what: impl FnOnce(&Connection)) {
        if let Some(connection) = self.disk.as_ref().and_then(|disk| disk.connection.as_ref()) {
            what(connection);
        }
    }

    /// Carries an effect on the disk out; whether it could be done. Without a disk there is nothing to do.
    pub(super) fn is_done_to_disk(&self, effect: Effect, control: &mut Control) -> Result<bool, NodeError> {
        let Some(Err(problem)) = self.disk.as_ref().map(|disk| disk.files.perform(effect)) else {
            return Ok(true);
        };
        self.record(|time| self.note(time, Kind::Error, format!("{effect}: {problem}")), control)?;
        Ok(false)
    }

    /// Whether the suspension in hand waits for what the guest has asked its disk for. Meanwhile the node does whatever else
    /// there is to do: if it closes the link, the wait is over.
    pub(super) fn waits_for_writes(&self, in_hand: InHand) -> bool {
        let suspends = in_hand.operation == Operation::SuspendVm && in_hand.halfway;
        suspends && (!self.vcpu.stands_still() || self.is_missing_blocks(0))
    }

    /// Whether a replacement lacks more blocks of the disk than these.
    pub(super) fn is_missing_blocks(&self, few: usize) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.files.left_to_copy() > few)
    }

    /// Whether the introduction of a replacement waits for its disk.
    pub(super) fn waits_for_the_copy(&self) -> bool {
        self.introduction.is_some() && self.is_missing_blocks(FEW_BLOCKS)
    }

    /// There is a replacement at the other end of these.
    pub(super) fn begin_to_copy(&mut self, replication: Option<Link>, link: &Link) -> Result<(), NodeError> {
        match (&mut self.disk, replication) {
            (Some(disk), Some(replication)) => disk.begin_to_copy(replication, link, self.config.link_rate),
            _ => Ok(()),
        }
    }

    /// The replacement is lost.
    pub(super) fn copy_no_more(&self) {
        self.disk.iter().for_each(|disk| disk.files.copy_no_more());
    }

    /// When to look again whether it does, or whether a replacement's disk has come far enough.
    pub(super) fn looks_for_suspension_at(&self) -> Option<Instant> {
        let suspends = self.in_hand.is_some_and(|in_hand| self.waits_for_writes(in_hand));
        let waits = suspends || self.waits_for_the_copy();
        waits.then(|| Instant::now() + LOOKS_EVERY)
    }

    /// Tells the harness what the disk has done, from time to time.
    pub(super) fn tell_disk(&mut self, control: &mut Control) -> Result<(), NodeError> {
        tell(self.disk.as_mut(), control)
    }
}

/// Tells the harness what the disk has done, from time to time.
pub(super) fn tell(disk: Option<&mut Disk>, control: &mut Control) -> Result<(), NodeError> {
    let Some(disk) = disk else { return Ok(()) };
    let now = Instant::now();
    if disk.told.is_some_and(|told| now.duration_since(told) < TELLS_EVERY) {
        return Ok(());
    }
    disk.told = Some(now);
    control.tell(&FromNode::Disk(disk.files.figures()))
}
