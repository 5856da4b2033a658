//! What a caller can ask of a run besides its rules and its seed.

use colo_protocol::Property;
use colo_trace::Plan;

/// The most clients that a run has.
pub const MAX_CLIENTS: u32 = 64;

/// The most checkpoints that a run has.
pub const MAX_CHECKPOINTS: u64 = 10_000;

/// Who looks on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Watch {
    /// The judge looks at the nodes, and the clients at what they are answered.
    #[default]
    Everything,
    /// The clients only: whatever they do not notice, the outside world never can.
    ClientsOnly,
    /// The judge, for one property only: a run goes on behind whatever else it breaks.
    Only(Property),
}

/// How a run is to be.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a choice of its own, and all combinations occur")]
pub struct Options {
    /// At most [`MAX_CHECKPOINTS`] checkpoints until faults and new requests stop and the run drains.
    pub checkpoints: u64,
    /// Clients, each with one open request; at most [`MAX_CLIENTS`].
    pub clients: u32,
    /// Microseconds from the end of a checkpoint to the request of the next; none for the delay of the rules.
    pub interval_us: Option<u64>,
    /// Replacements that are at hand for survivors; none for as many as the seed draws, or, with a
    /// plan that has gates, for none.
    pub replacements: Option<u64>,
    /// The faults, if they are not to be drawn.
    pub plan: Option<Plan>,
    /// Whether faults are drawn from the seed. Means nothing with a plan.
    pub faults: bool,
    /// Whether the link is no stream but datagrams, which get lost, come twice, and overtake each other.
    pub datagrams: bool,
    /// Whether somebody outside tells a node that its peer is gone, where the rules need somebody who does.
    pub manager: bool,
    /// Who looks on.
    pub watch: Watch,
    /// Whether the run's trace is kept.
    pub record: bool,
}

impl Options {
    /// Whether the plan fixes an interleaving: then nothing happens by itself that would change it. No replacement
    /// comes, guests diverge only as the plan says, and what is sent over a silent link stays where it is.
    pub(crate) fn fixes_an_interleaving(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| !plan.gates.is_empty())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            checkpoints: 5,
            clients: 4,
            interval_us: None,
            replacements: None,
            plan: None,
            faults: true,
            datagrams: false,
            manager: true,
            watch: Watch::Everything,
            record: false,
        }
    }
}
