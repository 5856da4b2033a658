//! What a run is given and what it comes to.

use super::clients::Clients;
use super::demand::Load;
use super::disks::Disks;
use super::event::PairEvent;
use super::process::NodeCommand;
use super::violation::RunViolation;
use crate::arbiter::ArbiterAddress;
use crate::control::{CheckpointFigures, ComparisonFigures, EntryFigures, NodeConfig};
use crate::disk::DiskFigures;
use crate::link::LinkKind;
use crate::net::Switch;
use crate::vm::Workload;
use colo_protocol::NodeName;
use colo_trace::{
    Fault, FaultAction, FaultKind, Gate, Header, NamedRules, Plan, Point, Record, SCHEMA, Trace, Way,
};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long a pair may take to get ready, and its clients go without a reply when nothing holds it up.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// What to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The variant of the protocol; its checkpoint delay is the interval.
    pub rules: NamedRules,
    /// Checkpoints to take before the run drains, if nothing fails before.
    pub checkpoints: u64,
    /// Guest memory, MiB.
    pub memory_mib: u64,
    /// What the guest does, besides its service.
    pub workload: Workload,
    /// What sort of link.
    pub link: LinkKind,
    /// How many bytes a second go over it, each way, if it is slow.
    pub link_rate: Option<u64>,
    /// What is to go wrong.
    pub plan: Plan,
    /// Whoever serves alone is given a replacement as often as there are plans here, each for the pair that they become.
    /// Checkpoints are counted in the last.
    pub replacements: Vec<Plan>,
    /// Clients with a request open each, if there is no other load.
    pub clients: u32,
    /// Requests that are made whether or not those before have been answered.
    pub load: Option<Load>,
    /// The run goes on for so long, instead of to a number of checkpoints.
    pub lasts: Option<Duration>,
    /// Set by whoever wants the run to end early, as if it had done enough.
    pub stop: Option<&'static AtomicBool>,
    /// Who gives the right to serve alone, where the rules ask for it; without, the harness does, in its memory.
    pub arbiter: Option<ArbiterAddress>,
    /// Hears, while the run goes on, of what somebody has to see to outside of it.
    pub warn: fn(&str),
    /// The switch at which the machines' network cards are, if they have any. Then all clients are outside.
    pub network: Option<Arc<Switch>>,
    /// The service is to last: a node that somebody else kills is one that has died, and whoever serves alone is given a replacement
    /// also when no plan is left for one.
    pub endures: bool,
    /// Where to tell what happens, while it does.
    pub events: Option<Sender<(Instant, PairEvent)>>,
    /// Whether to record every event.
    pub record: bool,
    /// Where the disks' files are made and left, if the machine has a disk; without, they are gone with the run.
    pub disk_directory: Option<PathBuf>,
    /// How to start a node.
    pub node: NodeCommand,
}

impl RunOptions {
    /// Whether the run is to end early.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// Between two checkpoints.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_millis(self.rules.rules.checkpoint_delay_ms.max(1).into())
    }

    /// How a node of it runs, without a link.
    pub(crate) fn node_config(&self, name: NodeName, disks: Option<&Disks>) -> NodeConfig {
        NodeConfig {
            name,
            rules: self.rules.rules,
            memory_mib: self.memory_mib,
            workload: self.workload,
            plan: self.plan.clone(),
            record: self.record,
            link_rate: self.link_rate,
            disk: disks.map(|disks| disks.config(name)),
            has_peer: false,
            joins: false,
            pair: 0,
        }
    }

    /// The trace of a run of these that began then, by the machine's monotonic clock.
    pub(crate) fn trace(&self, mut records: Vec<Record>, started_us: u64) -> Trace {
        for record in &mut records {
            record.time_us = record.time_us.saturating_sub(started_us);
        }
        records.sort_by_key(|record| record.time_us);
        let header = Header {
            schema: SCHEMA,
            rules_name: self.rules.name.clone(),
            rules: self.rules.rules,
            seed: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            way: Way::Real,
        };
        Trace { header, records }
    }

    /// The cable of a node's network card, if there is a network.
    pub(crate) fn port(&self) -> std::io::Result<Option<OwnedFd>> {
        self.network.as_ref().map(|network| network.node_port()).transpose()
    }

    /// The clients of a run that begins now.
    pub(super) fn clients_from_now(&self) -> Clients {
        if self.network.is_some() {
            return Clients::outside();
        }
        Clients::of_load(self.clients, self.load, self.interval()).with_disk(self.workload.disk_blocks)
    }

    /// How long clients may go without any reply: replies leave with a checkpoint, which a delay and stalls hold up.
    pub(super) fn patience(&self) -> Duration {
        PATIENCE + self.longest_wait()
    }

    /// How long something may wait for a checkpoint, with all that a plan has to hold it up.
    pub(super) fn longest_wait(&self) -> Duration {
        let delay = Duration::from_millis(self.rules.rules.checkpoint_delay_ms.into());
        let plans = self.replacements.iter().chain([&self.plan]);
        let stalls =
            plans.flat_map(|plan| &plan.faults).map(|fault| Duration::from_millis(fault.action.lasts_ms()));
        // A checkpoint may have begun just before the reply was ready: it takes the one after it.
        2 * (delay + self.longest_transfer()) + stalls.sum::<Duration>()
    }

    /// How long a slow link takes at most for all of a checkpoint: all of the memory, in each round.
    fn longest_transfer(&self) -> Duration {
        let transfers = u64::from(self.rules.rules.precopy_rounds) + 1;
        let seconds = self.link_rate.map(|rate| (self.memory_mib << 20) * transfers / rate.max(1));
        Duration::from_secs(seconds.unwrap_or_default())
    }
}

/// Whether a fault of this kind can be carried out on real machines. A run refuses a plan with any other.
pub const fn can_strike(kind: FaultKind) -> bool {
    // Damage, clocks and slow disks are for the simulator.
    use FaultKind::{ClockJump, Corrupt, SlowDisk};
    !matches!(kind, ClockJump | Corrupt | SlowDisk)
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct RunOutcome {
    /// What the clients saw that they may not see, if anything; or that the pair stood still.
    pub violation: Option<RunViolation>,
    /// Whether the rules claim that this cannot happen: none claim a single server without fencing, when a node
    /// that lives was taken for dead.
    pub claimed: bool,
    /// Each completed checkpoint.
    pub checkpoints: Vec<CheckpointFigures>,
    /// What the comparison came to, where both VMs execute.
    pub comparison: ComparisonOutcome,
    /// Which nodes have powered off because their guest wanted to.
    pub powered_off: [bool; 2],
    /// Promotions.
    pub failovers: u64,
    /// That the arbiter did not answer when it was asked, and why, the first time that it did not.
    pub arbiter_was_silent: Option<String>,
    /// How many times a survivor was protected again.
    pub protected_again: u64,
    /// What that took, but for survivors that died before they could tell.
    pub entries: Vec<EntryFigures>,
    /// Replies that clients have seen.
    pub replies: u64,
    /// From each promotion to the survivor's first new reply, microseconds.
    pub takeover_us: Vec<u64>,
    /// The points at which faults struck.
    pub struck: Vec<(Point, FaultAction)>,
    /// Faults of the plan whose point was never reached.
    pub unreached: Vec<Fault>,
    /// Gates of the plan at which something waited, and that never opened.
    pub closed: Vec<Gate>,
    /// What the disks did, both together, as far as it was told.
    pub disk: DiskFigures,
    /// The records, if asked for.
    pub trace: Option<Trace>,
    /// When the trace's times begin, by the machine's monotonic clock, microseconds: with it they can be compared with what was
    /// seen elsewhere.
    pub began_us: u64,
}

impl RunOutcome {
    /// That of a run that has just begun.
    pub const fn nothing_yet() -> Self {
        Self {
            violation: None,
            claimed: true,
            checkpoints: Vec::new(),
            comparison: ComparisonOutcome::NOTHING_YET,
            powered_off: [false; 2],
            failovers: 0,
            arbiter_was_silent: None,
            protected_again: 0,
            entries: Vec::new(),
            replies: 0,
            takeover_us: Vec::new(),
            struck: Vec::new(),
            unreached: Vec::new(),
            closed: Vec::new(),
            disk: DiskFigures { writes: 0, reads: 0, errors: 0, replicated_bytes: 0 },
            trace: None,
            began_us: 0,
        }
    }
}

/// What a comparison came to, and what there was for it to find.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ComparisonOutcome {
    /// What the primary has told.
    pub figures: ComparisonFigures,
    /// Requests that were lost in the secondary's guest, by a rate or by a plan.
    pub lost: u64,
    /// How often it left the primary's execution by that, each load having brought it back.
    pub diverged: u64,
}

impl ComparisonOutcome {
    /// That of a run that has just begun.
    pub const NOTHING_YET: Self = Self {
        figures: ComparisonFigures { compared: 0, released: 0, differences: 0, held_too_long: 0 },
        lost: 0,
        diverged: 0,
    };

    /// The sums of both.
    #[must_use]
    pub const fn and(self, other: &Self) -> Self {
        let (one, two) = (self.figures, other.figures);
        let figures = ComparisonFigures {
            compared: one.compared + two.compared,
            released: one.released + two.released,
            differences: one.differences + two.differences,
            held_too_long: one.held_too_long + two.held_too_long,
        };
        Self { figures, lost: self.lost + other.lost, diverged: self.diverged + other.diverged }
    }
}

/// Why a run could not be made at all.
#[derive(Debug, Error)]
pub enum RunError {
    /// The machine lacks something.
    #[error(transparent)]
    Environment(#[from] crate::Error),
    /// The operating system refused something.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A node gave up, other than by a fault of the plan.
    #[error("the {0} failed: {1}")]
    Node(NodeName, String),
    /// The plan has a fault that no run can carry out.
    #[error("{} cannot be carried out on real machines", .0.name())]
    Plan(FaultKind),
    /// The pair did not get ready.
    #[error("the pair did not get ready within {} s", PATIENCE.as_secs())]
    NotReady,
}

#[cfg(test)]
mod tests {
    use super::*;
    use colo_protocol::{CheckpointNumber, EffectKind, Rules};
    use colo_trace::{Event, Fault, Moment};

    #[test]
    fn patience_waits_for_the_next_checkpoint_and_for_every_stall() {
        let at = Point {
            node: NodeName::Primary,
            checkpoint: CheckpointNumber(1),
            moment: Moment::After,
            event: Event::Effect(EffectKind::ResumeVm),
            occurrence: 1,
        };
        let stall = Fault { at, action: FaultAction::Stall { for_ms: 40_000 } };
        let rules = Rules { checkpoint_delay_ms: 30_000, ..Rules::V12 };
        let options = RunOptions {
            rules: NamedRules { name: "slow".to_owned(), rules },
            checkpoints: 1,
            memory_mib: 16,
            workload: Workload::default(),
            link: LinkKind::Unix,
            link_rate: None,
            plan: Plan::new(vec![stall, stall]),
            replacements: Vec::new(),
            clients: 1,
            load: None,
            lasts: None,
            stop: None,
            arbiter: None,
            network: None,
            endures: false,
            events: None,
            warn: |_| {},
            record: false,
            disk_directory: None,
            node: NodeCommand { program: "none".into(), arguments: Vec::new() },
        };
        assert_eq!(options.patience(), PATIENCE + Duration::from_secs(60 + 80));
        let slow = RunOptions { link_rate: Some(1 << 20), ..options };
        assert_eq!(slow.patience(), PATIENCE + Duration::from_secs(60 + 80 + 2 * 16));
    }
}
