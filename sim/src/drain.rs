//! The end of a run: faults and new requests stop, the network heals, and everything that is under way has to end.
//!
//! What has not ended when the time is up is broken by the name of the liveness property that says so. Nothing is told
//! to a node here but what its surroundings would tell it anyway.

use crate::agenda::Event;
use crate::outcome::Broken;
use crate::side::Side;
use crate::simulation::Simulation;
use colo_protocol::{Failover, Fencing, Liveness, Machine, NodeName, PrimaryPhase};

/// The longest that a failover takes, microseconds, unless its node stands still: all that it may have to wait for is
/// in its own node, or the arbiter.
const FAILOVER_US: u64 = 1_500_000;

/// What has not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Remains {
    /// A failover is under way.
    Failover(NodeName),
    /// A failover waits for a load.
    DeferredFailover(NodeName),
    /// Nobody serves, and this node could.
    NobodyServes(NodeName),
    /// The VM of the node that serves alone does not execute.
    StandsStill(NodeName),
    /// Output is withheld.
    Withheld(NodeName),
    /// A checkpoint is under way.
    Checkpoint,
    /// The pair is whole, and no secondary holds a checkpoint.
    Unprotected,
    /// A replacement is at hand, and the survivor takes none.
    TakesNone(NodeName),
    /// The guest wants to power off.
    PowerOff(NodeName),
}

impl Remains {
    /// The property by which it should have ended.
    const fn liveness(self) -> Liveness {
        match self {
            Self::Failover(_) => Liveness::FailoverCompletes,
            Self::DeferredFailover(_) => Liveness::DeferredFailoverCompletes,
            Self::NobodyServes(_) => Liveness::UnattendedRecovery,
            Self::StandsStill(_) => Liveness::SurvivorGoesOn,
            Self::Withheld(_) => Liveness::Release,
            Self::Checkpoint => Liveness::CheckpointEnds,
            Self::Unprotected | Self::TakesNone(_) => Liveness::ProtectionAgain,
            Self::PowerOff(_) => Liveness::Shutdown,
        }
    }

    fn sentence(self) -> String {
        match self {
            Self::Failover(node) => format!("the {node}'s failover is under way"),
            Self::DeferredFailover(node) => format!("the {node}'s failover waits for a load"),
            Self::NobodyServes(node) => format!("nobody serves, and the {node} could"),
            Self::StandsStill(node) => format!("the {node} serves alone, and its VM does not execute"),
            Self::Withheld(node) => format!("the {node} withholds output"),
            Self::Checkpoint => "a checkpoint is under way".to_owned(),
            Self::Unprotected => "the pair is whole, and the secondary holds no checkpoint".to_owned(),
            Self::TakesNone(node) => format!("the {node} serves alone, and takes no replacement"),
            Self::PowerOff(node) => format!("the {node}'s guest wants to power off"),
        }
    }
}

impl Simulation<'_> {
    /// Faults and new requests stop; what is open has some time to end.
    pub(crate) fn drain(&mut self) {
        if self.draining {
            return;
        }
        // Over a silent link a failover has to complete as well.
        for node in NodeName::ALL {
            self.judge_patience_with(node);
        }
        self.draining = true;
        self.faults.stop();
        self.link.calm_down();
        self.heal();
        self.drains_until_quiet();
    }

    /// The time begins when nothing is the surroundings' fault any more: a link that is stalled still is a fault that
    /// has not ended.
    pub(crate) fn drains_until_quiet(&mut self) {
        self.drained_us = self.agenda.now_us().max(self.standstill_ends_us());
        self.drained_at = self.checkpoints;
        self.agenda.at(self.drained_us + self.drain_us(), Event::Deadline);
    }

    /// How long it may take until everything has ended, microseconds.
    const fn drain_us(&self) -> u64 {
        20 * (self.knobs.interval_us + self.knobs.retry_us) + 3_000_000
    }

    /// The time is up, unless a fault of the plan has struck in between.
    pub(crate) fn deadline(&mut self) {
        self.expired = self.agenda.now_us() >= self.drained_us + self.drain_us();
    }

    fn judge_patience_with(&mut self, node: NodeName) {
        let (side, now_us) = (self.side(node), self.agenda.now_us());
        let still_us = side.trouble.asleep_until_us.max(side.trouble.disk_until_us);
        let since_us = side.failover_us.max(still_us);
        let late = side.alive && now_us > since_us + FAILOVER_US;
        let waits = self.anything_waits();
        if let Some(remains) = self.failover_under_way(node).filter(|_| late && !waits) {
            let passed_ms = (now_us - side.failover_us) / 1_000;
            self.not_drained(remains, &format!("{passed_ms} ms after it was accepted"));
        }
    }

    fn failover_under_way(&self, node: NodeName) -> Option<Remains> {
        match self.side(node).node.machine().failover() {
            _ if self.side(node).is_over() => None,
            Failover::None | Failover::Completed => None,
            Failover::Relaunch => Some(Remains::DeferredFailover(node)),
            Failover::Require | Failover::Active => Some(Remains::Failover(node)),
        }
    }

    /// The first thing that has not ended.
    pub(crate) fn remains(&self) -> Option<Remains> {
        let under_way = NodeName::ALL.into_iter().find_map(|node| self.failover_under_way(node));
        let serves = || match self.server() {
            Some(node) if self.is_alone(node) => self.survivor_remains(node),
            Some(node) => self.pair_remains(node),
            None => self.recovery_remains(),
        };
        under_way.or_else(serves).or_else(|| self.power_off_remains())
    }

    fn survivor_remains(&self, node: NodeName) -> Option<Remains> {
        let side = self.side(node);
        let withheld = side.output.units().len() > 0;
        if !side.guest.executing {
            return Some(Remains::StandsStill(node));
        }
        if withheld {
            return Some(Remains::Withheld(node));
        }
        // The disk, too, has to be the survivor's own.
        if side.node.queue().first().is_some() {
            return Some(Remains::Failover(node));
        }
        (!side.node.can_be_protected()).then_some(Remains::TakesNone(node))
    }

    fn pair_remains(&self, node: NodeName) -> Option<Remains> {
        let side = self.side(node);
        // Where the VM runs on while its state is on the way, one checkpoint may follow the other without a pause.
        let ended = match side.node.machine() {
            Machine::Primary(primary) => {
                primary.phase() == PrimaryPhase::Running || self.checkpoints > self.drained_at
            }
            Machine::Secondary(_) => false,
        };
        if !ended {
            return Some(Remains::Checkpoint);
        }
        if side.output.units().len() > 0 {
            return Some(Remains::Withheld(node));
        }
        (!self.is_protected()).then_some(Remains::Unprotected)
    }

    /// Nobody serves. Somebody has to, if there is a VM that could and the guest has not powered off.
    fn recovery_remains(&self) -> Option<Remains> {
        let could = |node: &NodeName| !self.side(*node).is_over();
        let node = NodeName::ALL.into_iter().find(could)?;
        (!self.guest_is_gone()).then_some(Remains::NobodyServes(node))
    }

    /// A guest that serves and wants to power off does; where nothing fails, the peer's VM ends as well. Of a guest that
    /// has been superseded the wish is, too.
    fn power_off_remains(&self) -> Option<Remains> {
        let wants = |node: &NodeName| match self.side(*node).node.machine() {
            Machine::Primary(primary) => primary.is_to_power_off(),
            Machine::Secondary(_) => false,
        };
        let left_on = |node: &NodeName| {
            let [side, peer] = [self.side(*node), self.side(node.peer())];
            let linked = self.link.takes_both_ways() && side.open && peer.open;
            // A replacement to which nothing has come has no VM.
            let has_vm = side.guest.devices_of.is_some();
            !side.is_over() && has_vm && peer.powered_off && linked && !self.damage_lasts()
        };
        let wanting = self.server().filter(wants);
        wanting.or_else(|| NodeName::ALL.into_iter().find(left_on)).map(Remains::PowerOff)
    }

    /// Whether a node that lives does not know yet that the arbiter has chosen its peer: what it does when it comes to
    /// itself is worth waiting for.
    pub(crate) fn has_rival(&self) -> bool {
        let fenced = self.rules.fencing == Fencing::Arbiter;
        let rivals = |node: NodeName| !self.side(node).is_over() && self.is_alone(node.peer());
        fenced && NodeName::ALL.into_iter().any(rivals)
    }

    /// Whether the guest has powered off, and nobody who does not know of it goes on.
    pub(crate) fn guest_is_gone(&self) -> bool {
        let off = self.sides.iter().any(|side| side.powered_off);
        let unaware = |side: &Side| !side.is_over();
        off && (self.rules.has_manager() || !self.sides.iter().any(unaware))
    }

    /// The run is over, and the time was up: whatever has not ended is broken.
    pub(crate) fn judge_drained(&mut self) {
        if !self.expired || self.anything_waits() {
            return;
        }
        if let Some(remains) = self.remains() {
            let passed_ms = self.agenda.now_us().saturating_sub(self.drained_us) / 1_000;
            self.not_drained(remains, &format!("{passed_ms} ms after the last fault"));
        }
    }

    fn not_drained(&mut self, remains: Remains, when: &str) {
        let broken = Broken::NotDrained(remains.liveness());
        self.broken(broken, format!("{when}, {}", remains.sentence()));
    }
}
