//! A secondary's disk while the primary's writes come in, as in QEMU's block replication: they go to the base at once, the
//! hidden overlay keeps what was there before, and the active overlay takes what the secondary's own VM writes.
//!
//! A checkpoint forgets overlays, which costs nothing, and only a failover has something to do: it puts back into the base
//! what the hidden overlay has kept, and then what the VM has written, and the base is the disk of that VM.
//!
//! The hidden overlay has a layer per epoch, so that a checkpoint can forget the old contents of the writes that it covers
//! and of no others. Two are enough: the epoch that is not covered yet, and the one that the primary has begun meanwhile.
//!
//! Hidden layers are files: without them the base is of no checkpoint. The active overlay is in memory: a VM that is gone has
//! no use for it. But when it is given up to the base it is written down first, whole, with a trailer behind it: whoever is
//! killed in the middle leaves either the disk of the checkpoint or the disk of the VM.

use super::image::{Fault, Image, Media};
use super::layer::Layer;
use super::{Block, DiskConfig};
use crate::abi::BLOCK_BYTES;
use colo_protocol::NodeName;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// Epochs that may be open at once.
const LAYERS: usize = 2;

/// The layer in which a failover writes down what it is about to do, and the block number of its trailer.
const TRAILER: u64 = u64::MAX;

/// A node's files.
fn path(directory: &Path, node: NodeName, what: &str) -> PathBuf {
    directory.join(format!("{node}.{what}"))
}

/// Makes the node's image, all zeros.
pub(super) fn create_image(config: &DiskConfig, node: NodeName, fault: &Fault) -> io::Result<Image> {
    let file = open(&path(&config.directory, node, "image"), true)?;
    file.set_len(config.blocks.saturating_mul(BLOCK_BYTES))?;
    Image::of(Media::new(file, fault.clone()))
}

fn open(path: &Path, new: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(new)
        .open(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Where the old contents and the VM's own writes are.
#[derive(Debug)]
pub(super) struct Overlay {
    hidden: [Layer; LAYERS],
    /// What a failover writes into the base, written down before.
    intent: Layer,
    active: BTreeMap<u64, Box<Block>>,
    /// The checkpoint up to which the primary's writes are seen.
    covered: u64,
}

impl Overlay {
    /// Makes the files of a secondary's overlays, empty.
    pub(super) fn create(config: &DiskConfig, node: NodeName, fault: &Fault) -> io::Result<Self> {
        Self::open(&config.directory, node, true, fault)
    }

    fn open(directory: &Path, node: NodeName, new: bool, fault: &Fault) -> io::Result<Self> {
        let layer =
            |what: &str| Layer::open(Media::new(open(&path(directory, node, what), new)?, fault.clone()));
        Ok(Self {
            hidden: [layer("hidden-0")?, layer("hidden-1")?],
            intent: layer("intent")?,
            active: BTreeMap::new(),
            covered: 0,
        })
    }

    /// A write of the primary's, which the first checkpoint covers that has this epoch's number.
    pub(super) fn receive(
        &mut self,
        image: &Image,
        epoch: u64,
        block: u64,
        content: &Block,
    ) -> io::Result<()> {
        let newest = self.layers().last().and_then(Layer::epoch).unwrap_or(self.covered + 1);
        let next = self.covered + LAYERS as u64;
        if !(newest..=next).contains(&epoch) {
            let problem = format!("a write of epoch {epoch}, expected {newest} to {next}");
            return Err(io::Error::new(ErrorKind::InvalidData, problem));
        }
        let layer = &mut self.hidden[place(epoch)];
        if !layer.has(block) {
            let mut before = [0; size_of::<Block>()];
            image.read(block, &mut before)?;
            layer.keep(epoch, block, &before)?;
        }
        image.write(block, content)
    }

    /// A write of the secondary's own VM.
    pub(super) fn write(&mut self, image: &Image, block: u64, content: &Block) -> io::Result<()> {
        // For the bounds.
        image.read(block, &mut [0; size_of::<Block>()])?;
        self.active.insert(block, Box::new(*content));
        Ok(())
    }

    /// What the secondary's VM sees.
    pub(super) fn read(&self, image: &Image, block: u64, to: &mut Block) -> io::Result<()> {
        if let Some(content) = self.active.get(&block) {
            *to = **content;
            return Ok(());
        }
        self.read_covered(image, block, to)
    }

    /// The primary's disk as of the checkpoint: what the oldest layer has kept, if any has.
    fn read_covered(&self, image: &Image, block: u64, to: &mut Block) -> io::Result<()> {
        for layer in self.layers() {
            if layer.read(block, to)? {
                return Ok(());
            }
        }
        image.read(block, to)
    }

    /// The layers that have something, the oldest first.
    fn layers(&self) -> impl DoubleEndedIterator<Item = &Layer> {
        let mut layers: Vec<_> = self.hidden.iter().filter(|layer| !layer.is_empty()).collect();
        layers.sort_by_key(|layer| layer.epoch());
        layers.into_iter()
    }

    /// The VM sees all of the primary's writes that have come, and nothing of its own any more.
    pub(super) fn checkpoint(&mut self, checkpoint: u64) -> io::Result<()> {
        self.forget(checkpoint, u64::MAX)
    }

    /// The VM sees the primary's writes that this checkpoint covers, and nothing of its own any more.
    pub(super) fn commit_epoch(&mut self, checkpoint: u64) -> io::Result<()> {
        self.forget(checkpoint, checkpoint)
    }

    fn forget(&mut self, checkpoint: u64, epochs: u64) -> io::Result<()> {
        // The oldest first: what is left of both at a death in between is the disk at the end of an epoch.
        let mut layers = self.layers_mut();
        layers.retain(|layer| layer.epoch().is_some_and(|epoch| epoch <= epochs));
        layers.into_iter().try_for_each(Layer::drop_all)?;
        self.active.clear();
        self.covered = checkpoint;
        Ok(())
    }

    /// All layers, the oldest first.
    fn layers_mut(&mut self) -> Vec<&mut Layer> {
        let mut layers: Vec<_> = self.hidden.iter_mut().collect();
        layers.sort_by_key(|layer| layer.epoch());
        layers
    }

    /// Makes what the VM sees the content of the image, for good.
    pub(super) fn fail_over(&mut self, image: &Image) -> io::Result<()> {
        self.write_down(image)?;
        self.roll_back(image)?;
        self.active.iter().try_for_each(|(block, content)| image.write(*block, content))?;
        self.is_done()
    }

    /// What the VM has written is written down before any of it goes into the base: half of it is nobody's disk.
    fn write_down(&mut self, image: &Image) -> io::Result<()> {
        if self.active.is_empty() {
            return Ok(());
        }
        let changed = self.layers().flat_map(Layer::blocks).chain(self.active.keys().copied());
        let changed: BTreeSet<u64> = changed.collect();
        let mut content = [0; size_of::<Block>()];
        for block in changed {
            self.read(image, block, &mut content)?;
            self.intent.keep(self.covered, block, &content)?;
        }
        self.intent.keep(self.covered, TRAILER, &[0; size_of::<Block>()])
    }

    /// Puts back what was kept, the newest epoch first. To do it again, after half of it, is the same.
    fn roll_back(&self, image: &Image) -> io::Result<()> {
        self.layers().rev().try_for_each(|layer| put_back(layer, image))
    }

    /// The base is the disk: overlays are of no use any more. Until the last of them is gone, to do it all again is the same:
    /// the oldest goes last, which has the last word when it is put back.
    fn is_done(&mut self) -> io::Result<()> {
        self.layers_mut().into_iter().rev().try_for_each(Layer::drop_all)?;
        self.intent.drop_all()?;
        self.active.clear();
        Ok(())
    }

    /// What somebody has left who was killed.
    fn recover(&mut self, image: &Image) -> io::Result<()> {
        if self.intent.has(TRAILER) {
            put_back(&self.intent, image)?;
        } else {
            self.roll_back(image)?;
        }
        self.is_done()
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        self.hidden.iter().try_for_each(Layer::flush)
    }
}

fn put_back(layer: &Layer, image: &Image) -> io::Result<()> {
    let mut content = [0; size_of::<Block>()];
    layer.blocks().filter(|block| *block != TRAILER).try_for_each(|block| {
        layer.read(block, &mut content)?;
        image.write(block, &content)
    })
}

/// The file of an epoch's layer.
fn place(epoch: u64) -> usize {
    usize::from(!epoch.is_multiple_of(LAYERS as u64))
}

/// Whether a node has made its files there.
pub(crate) fn has_disk(directory: &Path) -> bool {
    NodeName::ALL.into_iter().any(|node| path(directory, node, "image").exists())
}

/// The disk that a node has left, whoever killed it and when: of a secondary that had not gone on alone, that of the latest
/// checkpoint. Nobody else may use the files.
pub(crate) fn recover(directory: &Path, node: NodeName) -> io::Result<Vec<Block>> {
    let fault = Fault::default();
    let image = Image::of(Media::new(open(&path(directory, node, "image"), false)?, fault.clone()))?;
    if path(directory, node, "hidden-0").exists() {
        Overlay::open(directory, node, false, &fault)?.recover(&image)?;
    }
    let mut blocks = Vec::new();
    for block in 0..image.blocks() {
        let mut content = [0; size_of::<Block>()];
        image.read(block, &mut content)?;
        blocks.push(content);
    }
    Ok(blocks)
}
