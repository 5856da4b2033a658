//! What a VM's block requests come to, and what the core's effects on the disk do. The guest's thread, the node's, and that
//! of the connection meet here.

use super::connection::Sender;
use super::copy::Copy;
use super::frame::Request;
use super::image::{Fault, Image};
use super::overlay::{Overlay, create_image};
use super::{Block, DiskConfig};
use crate::vm::BlockDevice;
use colo_protocol::{CheckpointNumber, Effect, NodeName};
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// After how long a block is read again that could not be read to be copied.
const READS_AGAIN_AFTER: Duration = Duration::from_millis(1);

/// What a node's disk has done.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DiskFigures {
    /// Blocks that the guest has written.
    pub writes: u64,
    /// Blocks that it has read.
    pub reads: u64,
    /// Its requests that failed.
    pub errors: u64,
    /// Bytes put on the connection to the secondary.
    pub replicated_bytes: u64,
}

impl DiskFigures {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            writes: self.writes + other.writes,
            reads: self.reads + other.reads,
            errors: self.errors + other.errors,
            replicated_bytes: self.replicated_bytes + other.replicated_bytes,
        }
    }
}

/// What the VM sees.
#[derive(Debug)]
enum View {
    /// The image, and what it writes goes there.
    Whole,
    /// A secondary's: the image as of a checkpoint, with its own writes on top.
    Held(Overlay),
}

/// What replication is at.
#[derive(Debug)]
enum Stage {
    /// It has not started.
    Waits,
    /// A survivor's: a replacement is being given what is there.
    Copies(Copy),
    /// The primary's writes go to the secondary.
    Replicates,
    /// The node goes on without its peer.
    Over,
}

/// What the copier has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ToCopy {
    /// To wait.
    Nothing,
    /// To come back soon.
    Unreadable,
    /// To send this block, which has been read.
    Block(u64),
}

#[derive(Debug)]
struct Store {
    image: Image,
    view: View,
    stage: Stage,
    /// A write of the primary's that this secondary does not have: why.
    missed: Option<String>,
}

/// A node's disk.
#[derive(Debug)]
pub(crate) struct NodeDisk {
    store: Mutex<Store>,
    /// There is something to copy.
    copies: Condvar,
    /// The primary's end of the connection. Whoever holds this may wait for the peer; nobody who does holds the store.
    sender: Mutex<Option<Sender>>,
    /// The first checkpoint that will cover what the VM writes now.
    epoch: AtomicU64,
    fault: Fault,
    writes: AtomicU64,
    reads: AtomicU64,
    errors: AtomicU64,
    replicated_bytes: AtomicU64,
}

/// What a panic elsewhere has left is whole: each change is a call of the overlay's, which keeps its files in order.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl NodeDisk {
    /// Makes the node's files, all zeros: both sides begin with the same disk, as they do with the same memory.
    pub(crate) fn create(config: &DiskConfig, node: NodeName, sender: Option<Sender>) -> io::Result<Self> {
        let fault = Fault::default();
        let image = create_image(config, node, &fault)?;
        let view = match node {
            NodeName::Primary => View::Whole,
            NodeName::Secondary => View::Held(Overlay::create(config, node, &fault)?),
        };
        Ok(Self {
            store: Mutex::new(Store { image, view, stage: Stage::Waits, missed: None }),
            copies: Condvar::new(),
            sender: Mutex::new(sender),
            epoch: AtomicU64::new(CheckpointNumber::default().next().0),
            fault,
            writes: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            replicated_bytes: AtomicU64::new(0),
        })
    }

    /// A checkpoint has been captured, while the VM stands still: what it writes from here on is not in it.
    pub(crate) fn captured(&self, checkpoint: CheckpointNumber) {
        self.epoch.store(checkpoint.next().0, Ordering::SeqCst);
    }

    /// There is a replacement at the other end of this: it is to have all that is there. Another one's end is closed already.
    pub(crate) fn begin_to_copy(&self, sender: Sender) {
        *lock(&self.sender) = Some(sender);
        let store = &mut *lock(&self.store);
        store.stage = Stage::Copies(Copy::of(store.image.blocks()));
        self.copies.notify_all();
    }

    /// The replacement is lost, before it could be one.
    pub(crate) fn copy_no_more(&self) {
        let store = &mut *lock(&self.store);
        if matches!(store.stage, Stage::Copies(_)) {
            store.stage = Stage::Over;
        }
    }

    /// How many blocks a replacement has yet to be given.
    pub(crate) fn left_to_copy(&self) -> usize {
        match &lock(&self.store).stage {
            Stage::Copies(copy) => copy.left(),
            Stage::Waits | Stage::Replicates | Stage::Over => 0,
        }
    }

    /// Waits until there is a block to be copied, and copies it.
    pub(super) fn copy_one(&self) {
        let mut store = lock(&self.store);
        let mut content = [0; size_of::<Block>()];
        let mut next = store.take_to_copy(&mut content);
        while next == ToCopy::Nothing {
            store = self.copies.wait(store).unwrap_or_else(PoisonError::into_inner);
            next = store.take_to_copy(&mut content);
        }
        drop(store);
        if let ToCopy::Block(block) = next {
            self.ask(Request::Copy { block, content: &content });
        } else {
            std::thread::sleep(READS_AGAIN_AFTER);
        }
        if let Stage::Copies(copy) = &mut lock(&self.store).stage {
            copy.arrived();
        }
    }

    /// The next thing that is asked of the files fails.
    pub(crate) fn fail_next(&self) {
        self.fault.arm();
    }

    /// Carries an effect on the disk out. An error says why it cannot be done.
    pub(crate) fn perform(&self, effect: Effect) -> Result<(), String> {
        let store = &mut *lock(&self.store);
        self.fault.strike().map_err(|error| error.to_string())?;
        if let (Some(missed), false) = (&store.missed, effect == Effect::FailOverDisk) {
            return Err(missed.clone());
        }
        store.perform(effect).map_err(|error| error.to_string())
    }

    /// A request of the primary's has come; whether it is done. If not, the node is told at its next checkpoint.
    pub(super) fn receive(&self, request: Request<'_>) -> bool {
        let store = &mut *lock(&self.store);
        match store.receive(request) {
            Ok(()) => true,
            Err(error) => {
                store.missed.get_or_insert(format!("a write of the primary's is missing: {error}"));
                false
            }
        }
    }

    /// What it has done so far.
    pub(crate) fn figures(&self) -> DiskFigures {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DiskFigures {
            writes: count(&self.writes),
            reads: count(&self.reads),
            errors: count(&self.errors),
            replicated_bytes: count(&self.replicated_bytes),
        }
    }

    /// What the VM has asked for is asked of the secondary as well, if there is one.
    fn replicate(&self, request: Request<'_>) {
        if matches!(lock(&self.store).stage, Stage::Replicates) {
            self.ask(request);
        }
    }

    /// Asks the peer, and waits for the answer.
    fn ask(&self, request: Request<'_>) {
        if let Some(sender) = &mut *lock(&self.sender) {
            let bytes = sender.ask(request);
            self.replicated_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    fn count(&self, counter: &AtomicU64, result: io::Result<()>) -> io::Result<()> {
        let counter = if result.is_ok() { counter } else { &self.errors };
        counter.fetch_add(1, Ordering::Relaxed);
        result
    }
}

impl Store {
    /// What is to be copied now. A block that cannot be read has its turn again.
    fn take_to_copy(&mut self, content: &mut Block) -> ToCopy {
        let Self { image, stage: Stage::Copies(copy), .. } = self else { return ToCopy::Nothing };
        let Some(block) = copy.take() else { return ToCopy::Nothing };
        if image.read(block, content).is_ok() {
            return ToCopy::Block(block);
        }
        copy.is_stale(block);
        ToCopy::Unreadable
    }

    fn perform(&mut self, effect: Effect) -> io::Result<()> {
        let Self { image, view, stage, missed } = self;
        match (effect, &mut *view) {
            (Effect::StartReplication, _) => *stage = Stage::Replicates,
            (Effect::CheckpointDisk(checkpoint), View::Held(overlay)) => overlay.checkpoint(checkpoint.0)?,
            (Effect::CommitDiskEpoch(checkpoint), View::Held(overlay)) => {
                overlay.commit_epoch(checkpoint.0)?;
            }
            (Effect::FailOverDisk, View::Held(overlay)) => {
                overlay.fail_over(image)?;
                (*view, *stage, *missed) = (View::Whole, Stage::Over, None);
            }
            (Effect::FailOverDisk, View::Whole) => *stage = Stage::Over,
            // A primary's disk is seen whole whatever the checkpoint; other effects are not of the disk.
            _ => {}
        }
        Ok(())
    }

    fn receive(&mut self, request: Request<'_>) -> io::Result<()> {
        let Self { image, view, stage, .. } = self;
        match (view, &stage, request) {
            (View::Held(_), Stage::Waits, Request::Copy { block, content }) => image.write(block, content),
            (View::Held(overlay), Stage::Replicates, Request::Write { epoch, block, content }) => {
                overlay.receive(image, epoch, block, content)
            }
            // The old contents first: without them the image is of no checkpoint.
            (View::Held(overlay), Stage::Replicates, Request::Flush) => {
                overlay.flush().and_then(|()| image.flush())
            }
            _ => Err(io::Error::other("this disk takes no writes of a primary's")),
        }
    }
}

impl BlockDevice for NodeDisk {
    fn blocks(&self) -> u64 {
        lock(&self.store).image.blocks()
    }

    fn read(&self, block: u64, to: &mut Block) -> io::Result<()> {
        let Store { image, view, .. } = &*lock(&self.store);
        let read = match view {
            View::Whole => image.read(block, to),
            View::Held(overlay) => overlay.read(image, block, to),
        };
        self.count(&self.reads, read)
    }

    fn write(&self, block: u64, content: &Block) -> io::Result<()> {
        let written = {
            let Store { image, view, stage, .. } = &mut *lock(&self.store);
            if let Stage::Copies(copy) = stage {
                copy.is_stale(block);
                self.copies.notify_all();
            }
            match view {
                View::Whole => image.write(block, content),
                View::Held(overlay) => overlay.write(image, block, content),
            }
        };
        self.count(&self.writes, written)?;
        self.replicate(Request::Write { epoch: self.epoch.load(Ordering::SeqCst), block, content });
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let flushed = lock(&self.store).image.flush();
        if flushed.is_err() {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        flushed?;
        self.replicate(Request::Flush);
        Ok(())
    }
}
