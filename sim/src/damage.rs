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
    /// Something on the link is not, or may not be, as it was sent.
    pub(crate) fn damaged(&mut self) {
        self.judge.damaged = true;
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
        let Some(captured) = self.judge.contents.get(&checkpoint).filter(|_| self.judge.damaged) else {
            return true;
        };
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
