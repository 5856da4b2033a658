//! Faults: at each protocol point of a run, what strikes there, by a plan or by the draw.
//!
//! A drawn fault is recorded as a plan's, at its point. Draws decide where and what only; how long it takes until a
//! lost link is noticed, say, is the network's draw, and is the same when the plan is replayed.

use crate::agenda::Event as Planned;
use crate::drawer::{Drawable, Drawer};
use crate::inputs::Basis;
use crate::link::UNTIL_HEALED;
use crate::marks::Mark;
use crate::occasions::Occasion;
use crate::options::Options;
use crate::simulation::Simulation;
use colo_protocol::{Failover, Input, InputKind, NodeName, Rules};
use colo_trace::{Event, Fault, FaultAction, FaultKind, Gate, Kind, Moment, Plan, PlanCursor, Point};
use std::collections::BTreeMap;

/// The faults of a run.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) cursor: PlanCursor,
    /// The plan's gates, open or not.
    gates: Vec<Gate>,
    drawer: Option<Drawer>,
    struck: Vec<Fault>,
    occasions: Vec<Occasion>,
}

/// What the faults of a run came to.
#[derive(Debug)]
pub(crate) struct FaultSummary {
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) plan: Plan,
    pub(crate) unreached: Vec<Fault>,
    pub(crate) occasions: Vec<Occasion>,
}

impl Faults {
    pub(crate) fn new(seed: u64, rules: &Rules, options: &Options) -> Self {
        let none = Plan::default();
        let plan = options.plan.as_ref().unwrap_or(&none);
        Self {
            cursor: PlanCursor::new(plan),
            gates: plan.gates.clone(),
            drawer: Self::drawer(seed, rules, options),
            struck: Vec::new(),
            occasions: Vec::new(),
        }
    }

    /// Who draws the faults of a run, if they are drawn.
    pub(crate) fn drawer(seed: u64, rules: &Rules, options: &Options) -> Option<Drawer> {
        let draws = options.plan.is_none() && options.faults;
        draws.then(|| Drawer::new(seed, rules))
    }

    /// Whether a fault of this kind has struck or may strike.
    pub(crate) fn may_have(&self, kind: FaultKind) -> bool {
        let planned = self.cursor.left().iter().any(|fault| fault.action.kind() == kind);
        planned || self.drawer.as_ref().is_some_and(|drawer| drawer.has(kind))
    }

    /// Whether anything has happened that does not happen by itself.
    pub(crate) const fn any(&self) -> bool {
        !self.struck.is_empty()
    }

    /// Whether something has gone wrong by which a node may see an error.
    pub(crate) fn excuse_errors(&self) -> bool {
        self.struck.iter().any(|fault| !fault.action.kind().is_harmless())
    }

    /// Whether the plan fixes an interleaving: then no draw decides what is lost.
    pub(crate) const fn has_gates(&self) -> bool {
        !self.gates.is_empty()
    }

    /// No more faults are drawn.
    pub(crate) fn stop(&mut self) {
        self.drawer = None;
    }

    pub(crate) fn finish(self) -> FaultSummary {
        let mut counts = BTreeMap::new();
        for fault in &self.struck {
            *counts.entry(fault.action.kind().name()).or_default() += 1;
        }
        let unreached = self.cursor.left().to_vec();
        let plan = Plan::new(self.struck).with_gates(self.gates);
        FaultSummary { counts, plan, unreached, occasions: self.occasions }
    }
}

impl Simulation<'_> {
    /// The run has come to a protocol point: whatever strikes here strikes now.
    pub(crate) fn arrive(&mut self, node: NodeName, moment: Moment, event: Event) {
        if !self.side(node).alive {
            return;
        }
        let checkpoint = self.side(node).checkpoint();
        let closed = self.faults.cursor.closed().len();
        let (point, planned) = self.faults.cursor.arrive(node, checkpoint, moment, event);
        for action in planned {
            self.strike(point, action);
        }
        if self.faults.cursor.closed().len() < closed {
            self.let_go();
        }
        // In a trace a new pair begins when its primary is told to protect it, and nothing is drawn in between.
        let between_pairs = (moment, event) == (Moment::Before, Event::Input(InputKind::Protect));
        if !between_pairs
            && self.faults.drawer.as_mut().is_some_and(|drawer| drawer.strikes(event))
            && let Some(action) = self.drawn()
        {
            self.strike(point, action);
        }
    }

    fn drawn(&mut self) -> Option<FaultAction> {
        let mut drawer = self.faults.drawer.take()?;
        let action = drawer.draw(|drawable| self.makes_sense(drawable));
        self.faults.drawer = Some(drawer);
        action
    }

    /// Whether a fault would do anything where the run stands, other than to leave nobody who could serve.
    fn makes_sense(&self, Drawable { kind, node }: Drawable) -> bool {
        let side = self.side(node);
        let both_live = self.sides.iter().all(|side| side.alive);
        let link_up = self.link.takes_both_ways() && self.sides.iter().all(|side| side.open);
        let fails_over = !matches!(side.node.machine().failover(), Failover::None | Failover::Completed);
        let whole = NodeName::Primary;
        match kind {
            FaultKind::Crash => side.alive && (both_live || fails_over) && !side.powered_off,
            FaultKind::Cut | FaultKind::Reset | FaultKind::Stall | FaultKind::Blackhole => {
                link_up && node == whole
            }
            FaultKind::HalfClose | FaultKind::Partition | FaultKind::Corrupt => link_up,
            FaultKind::Pause => side.alive && !self.is_asleep(node),
            FaultKind::ClockJump => side.alive && link_up,
            FaultKind::SlowDisk => side.alive && (link_up || fails_over),
            FaultKind::FailDisk => side.alive && (link_up || fails_over) && !side.trouble.fail_disk,
            FaultKind::FailSave => node == whole && link_up && side.alive && !side.trouble.fail_save,
            FaultKind::FailLoad => node != whole && link_up && side.alive && !side.trouble.fail_load,
            FaultKind::GuestReset | FaultKind::GuestShutdown => side.alive && side.guest.executing,
            FaultKind::Diverge | FaultKind::Uncompared => self.rules.is_hybrid() && side.alive,
            FaultKind::CheckpointNow => node == whole && side.alive && link_up,
            FaultKind::LostHeartbeat | FaultKind::PeerSilent => {
                side.alive && (both_live || fails_over) && !side.is_over()
            }
        }
    }

    fn strike(&mut self, at: Point, action: FaultAction) {
        self.faults.struck.push(Fault { at, action });
        for node in NodeName::ALL {
            let concerns = action.kind().is_of_the_link() || action.node() == Some(node);
            if concerns && self.side(node).alive {
                let machine = self.side(node).node.machine();
                self.faults.occasions.push(Occasion::of(action.kind(), machine));
            }
        }
        self.tape.other(self.place(action.node()), Kind::Fault, &action.to_string(), None);
        match action {
            FaultAction::Crash { node } => self.die(node),
            FaultAction::Cut => {
                self.cut();
                self.manager_hears();
            }
            FaultAction::Reset => {
                self.reset_connection();
                self.manager_hears();
            }
            FaultAction::HalfClose { node } => self.half_close(node),
            FaultAction::Stall { for_ms } => {
                self.marks.hit(Mark::LinkStalled);
                let until_us = self.agenda.now_us() + u64::from(for_ms) * 1_000;
                self.silence_both(until_us);
            }
            FaultAction::Blackhole => self.silence_both(UNTIL_HEALED),
            FaultAction::Partition { node } => self.silence(node, UNTIL_HEALED),
            FaultAction::Corrupt { node, bit } => self.link.flip(node, bit),
            FaultAction::Pause { node, for_ms } => self.pause(node, for_ms),
            FaultAction::ClockJump { node, by_ms } => self.clock_jumps(node, by_ms),
            FaultAction::SlowDisk { node, for_ms } => self.slow_disk(node, for_ms),
            FaultAction::FailDisk { node } => self.side_mut(node).trouble.fail_disk = true,
            FaultAction::FailSave => self.side_mut(NodeName::Primary).trouble.fail_save = true,
            FaultAction::FailLoad => self.side_mut(NodeName::Secondary).trouble.fail_load = true,
            FaultAction::GuestReset { node } => self.told(node, Input::GuestReset),
            FaultAction::GuestShutdown { node } => self.told(node, Input::GuestShutdown),
            FaultAction::Diverge => self.side_mut(NodeName::Secondary).trouble.own_way = true,
            FaultAction::Uncompared => self.side_mut(NodeName::Primary).trouble.own_way = true,
            FaultAction::CheckpointNow => self.told(NodeName::Primary, Input::CheckpointDue),
            FaultAction::LostHeartbeat { node } => {
                self.suspects(node);
                self.told(node, Input::LostHeartbeat);
            }
            FaultAction::PeerSilent { node } => {
                self.suspects(node);
                self.told(node, Input::PeerSilent);
            }
        }
        if self.draining {
            self.drains_until_quiet();
        }
    }

    /// Somebody tells a node something; if it stands still, it hears it when it goes on.
    pub(crate) fn told(&mut self, node: NodeName, input: Input) {
        if self.is_asleep(node) {
            self.agenda.after(0, Planned::Told { node, input });
        } else {
            self.give(node, input, Basis::Node);
        }
    }
}
