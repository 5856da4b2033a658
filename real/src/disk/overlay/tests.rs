//! The overlay against a model without files, layers or rollbacks: the list of the primary's writes, each with its epoch, and
//! a map of the VM's own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use proptest::prelude::*;

const COUNT: usize = 4;
const BLOCKS: u64 = COUNT as u64;
const NODE: NodeName = NodeName::Secondary;

/// What may happen to a secondary's disk.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A write of the primary's, of the epoch in hand or of the next.
    Receive { next: bool, block: u64, fill: u8 },
    /// A write of the VM's.
    Write { block: u64, fill: u8 },
    /// The effect checkpoint-disk.
    Checkpoint,
    /// The effect commit-disk-epoch.
    Commit,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (any::<bool>(), 0..BLOCKS, 1..u8::MAX)
            .prop_map(|(next, block, fill)| Step::Receive { next, block, fill }),
        1 => (0..BLOCKS, 1..u8::MAX).prop_map(|(block, fill)| Step::Write { block, fill }),
        1 => Just(Step::Checkpoint),
        2 => Just(Step::Commit),
    ];
    prop::collection::vec(step, 0..40)
}

/// What the bytes of each block are.
type Fills = [u8; COUNT];

#[derive(Default)]
struct Model {
    /// The primary's writes: epoch, block, fill.
    received: Vec<(u64, u64, u8)>,
    /// Of those, the ones that are seen whatever their epoch: they came before a checkpoint that saw all.
    seen: usize,
    own: BTreeMap<u64, u8>,
    covered: u64,
}

impl Model {
    /// The primary's disk as of the checkpoint.
    fn checkpoint(&self) -> Fills {
        let mut fills = Fills::default();
        for (place, (epoch, block, fill)) in self.received.iter().enumerate() {
            if *epoch <= self.covered || place < self.seen {
                fills[usize::try_from(*block).unwrap()] = *fill;
            }
        }
        fills
    }

    /// What the VM sees.
    fn view(&self) -> Fills {
        let mut fills = self.checkpoint();
        for (block, fill) in &self.own {
            fills[usize::try_from(*block).unwrap()] = *fill;
        }
        fills
    }

    /// The epoch of a write that comes now: what an epoch has begun, none before it goes on.
    fn epoch(&self, next: bool) -> u64 {
        let begun = self.received[self.seen..].last().map_or(0, |(epoch, ..)| *epoch);
        begun.max(self.covered + 1 + u64::from(next))
    }
}

/// A disk in a directory of its own.
struct Rig {
    directory: tempfile::TempDir,
    image: Image,
    overlay: Overlay,
    fault: Fault,
    model: Model,
}

impl Rig {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = DiskConfig { directory: directory.path().to_owned(), blocks: BLOCKS };
        let fault = Fault::default();
        let image = create_image(&config, NODE, &fault).unwrap();
        let overlay = Overlay::create(&config, NODE, &fault).unwrap();
        Self { directory, image, overlay, fault, model: Model::default() }
    }

    fn take(&mut self, step: Step) {
        let Self { image, overlay, model, .. } = self;
        match step {
            Step::Receive { next, block, fill } => {
                let epoch = model.epoch(next);
                overlay.receive(image, epoch, block, &[fill; 4096]).unwrap();
                model.received.push((epoch, block, fill));
            }
            Step::Write { block, fill } => {
                overlay.write(image, block, &[fill; 4096]).unwrap();
                model.own.insert(block, fill);
            }
            Step::Checkpoint => {
                model.covered += 1;
                overlay.checkpoint(model.covered).unwrap();
                (model.seen, model.own) = (model.received.len(), BTreeMap::new());
            }
            Step::Commit => {
                model.covered += 1;
                overlay.commit_epoch(model.covered).unwrap();
                model.own.clear();
            }
        }
    }

    fn take_all(&mut self, steps: &[Step]) {
        for step in steps {
            self.take(*step);
        }
    }

    fn view(&self) -> Fills {
        std::array::from_fn(|block| {
            let mut content = [0; 4096];
            self.overlay.read(&self.image, block as u64, &mut content).unwrap();
            fill_of(&content)
        })
    }

    /// What somebody finds who opens the files now: the process was killed.
    fn found(&self) -> Fills {
        let blocks = recover(self.directory.path(), NODE).unwrap();
        std::array::from_fn(|block| fill_of(&blocks[block]))
    }
}

fn fill_of(content: &Block) -> u8 {
    assert!(content.iter().all(|byte| *byte == content[0]), "a block of two writes");
    content[0]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// After each step the VM sees what the model has, and after the failover that is the image.
    #[test]
    fn a_vm_sees_what_the_checkpoint_covers_and_a_failover_makes_it_the_image(steps in steps()) {
        let mut rig = Rig::new();
        for step in steps {
            rig.take(step);
            prop_assert_eq!(rig.view(), rig.model.view(), "{:?}", step);
        }
        rig.overlay.fail_over(&rig.image).unwrap();
        prop_assert_eq!(rig.found(), rig.model.view());
    }

    /// Whoever is killed leaves the disk of the checkpoint; in the middle of a failover, or behind it, perhaps that of the
    /// VM. The I/O that fails stands for the death: nothing is done from there on. It may be any.
    #[test]
    fn who_is_killed_leaves_the_disk_of_the_checkpoint_or_of_the_vm(steps in steps()) {
        for dies_at in 0.. {
            let mut rig = Rig::new();
            rig.take_all(&steps);
            let [checkpoint, view] = [rig.model.checkpoint(), rig.model.view()];
            rig.fault.arm_after(dies_at);
            let failed = rig.overlay.fail_over(&rig.image).is_err();
            let found = rig.found();
            prop_assert!(
                found == view || (failed && found == checkpoint),
                "{dies_at}: {found:?}, expected {checkpoint:?} or {view:?}"
            );
            // And to find it does not change it.
            prop_assert_eq!(rig.found(), found);
            if !failed {
                break;
            }
        }
    }

    /// The same of a death between two steps, which no failover came before.
    #[test]
    fn who_is_killed_between_two_steps_leaves_the_disk_of_the_checkpoint(steps in steps()) {
        let mut rig = Rig::new();
        rig.take_all(&steps);
        prop_assert_eq!(rig.found(), rig.model.checkpoint());
    }
}

#[test]
fn a_write_that_fails_leaves_the_old_content_to_be_seen() {
    let mut rig = Rig::new();
    for dies_at in 0..3 {
        rig.fault.arm_after(dies_at);
        assert!(rig.overlay.receive(&rig.image, 1, 2, &[7; 4096]).is_err(), "{dies_at}");
        assert_eq!(rig.view(), [0; 4]);
        // Its old content may have been kept by now: then less I/O is left that could fail.
        if rig.overlay.hidden[place(1)].has(2) {
            break;
        }
    }
    assert_eq!(rig.found(), [0; 4]);
}

#[test]
fn an_epoch_that_cannot_be_is_refused() {
    let mut rig = Rig::new();
    for epoch in [0, 3, u64::MAX] {
        assert!(rig.overlay.receive(&rig.image, epoch, 0, &[1; 4096]).is_err(), "{epoch}");
    }
    rig.overlay.receive(&rig.image, 2, 0, &[1; 4096]).unwrap();
    assert!(rig.overlay.receive(&rig.image, 1, 0, &[1; 4096]).is_err(), "an epoch that is over");
    assert!(rig.overlay.receive(&rig.image, 2, BLOCKS, &[1; 4096]).is_err(), "beyond the end");
    assert_eq!(rig.view(), [0; 4]);
}
