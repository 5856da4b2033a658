//! All of a machine but its memory: what has to move for the guest to go on elsewhere as if nothing had happened.

use super::cpu::CpuState;
use super::network::CardState;

/// The state of a machine's devices, its processor among them. Made by [`Machine::state`](super::Machine::state) or by decoding
/// a blob.
#[derive(Clone, Debug)]
pub struct MachineState {
    /// The processor.
    pub cpu: CpuState,
    /// The network card, of a machine that has one.
    pub card: Option<CardState>,
}
