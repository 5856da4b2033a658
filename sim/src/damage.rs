//! Damage: bytes that are not as they were sent. The wire format has no checksum, so what can be decoded may be loaded.
//!
//! Whoever cannot decode says so: a protocol error, which is as it should be. What is loaded and is not what was captured
//! is silent damage, and only the judge sees it, who looks at both ends. No rules claim that it cannot be.

use crate::fingerprint::Fingerprint;
use crate::guest::Guest;
use crate::outcome::Broken;
use crate::simulation::Simulation;
use colo_protocol::{CheckpointNumber, NodeName};

/// A fingerprint of every byte of a state.
fn content(guest: &Guest, devices: &[u8]) -> u64 {
    let mut print = Fingerprint::new();
    print.word(guest.memory.content());
    print.bytes(devices);
    print.value()
}

impl Simulation<'_> {
    /// Something on its way to this node is not, or may not be, as it was sent.
    pub(crate) fn damaged(&mut self, to: NodeName) {
        let staged = self.side(to).checkpoint().0.saturating_add(1);
        self.judge.damaged = self.judge.damaged.max(Some(CheckpointNumber(staged)));
    }

    /// Whether a node may wait for ever for bytes that a length announced and that nobody sends. Who closes the link
    /// waits no more.
    pub(crate) fn damage_lasts(&self) -> bool {
        let whole = self.link.takes_both_ways() && self.sides.iter().all(|side| side.alive && side.open);
        self.judge.damaged.is_some() && whole
    }

    /// A state has been captured. All of its bytes matter only where something may damage them.
    pub(crate) fn note_content(&mut self, node: NodeName, checkpoint: CheckpointNumber) {
        if self.judge.careful {
            let side = self.side(node);
            let content = content(&side.guest, &side.captured.devices);
            self.judge.contents.insert(checkpoint, content);
        }
    }

    /// A state has been applied; whether it is, byte for byte, the captured one.
    pub(crate) fn is_undamaged(
        &mut self,
        node: NodeName,
        checkpoint: CheckpointNumber,
        devices: &[u8],
    ) -> bool {
        let may_be = self.judge.damaged.is_some_and(|last| checkpoint <= last);
        let Some(captured) = self.judge.contents.get(&checkpoint).filter(|_| may_be) else { return true };
        if *captured == content(&self.side(node).guest, devices) {
            return true;
        }
        let sentence = format!(
            "the {node} has loaded checkpoint {checkpoint}, some of its bytes are not those that were captured, and \
             nothing in the stream could have told"
        );
        self.broken(Broken::SilentDamage, sentence);
        false
    }
}
