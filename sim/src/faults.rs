//! Faults: at each protocol point of a run, what strikes there, by a plan or by the draw.
//!
//! A drawn fault is recorded as a plan's, at its point. Draws decide where and what only; how long it takes until a
//! lost link is noticed, say, is the network's draw, and is the same when the plan is replayed.

use crate::draw::{Draws, Purpose, Span, index};
use crate::inputs::Basis;
use crate::marks::Mark;
use crate::options::Options;
use crate::simulation::Simulation;
use colo_protocol::{EffectKind, Input, InputKind, NodeName, Property, Rules};
use colo_trace::{Event, Fault, FaultAction, Gate, Kind, Moment, Plan, PlanCursor, Point};
use std::collections::BTreeMap;

/// The kinds of faults that can be drawn, the crash once for each node.
const KINDS: usize = 5;

/// Draws faults for a run: which kinds, how many, how densely.
#[derive(Debug)]
struct Drawer {
    draws: Draws,
    /// A bit for each kind that this run can have.
    kinds: u64,
    left: u64,
    /// Points between two faults, about.
    distance: Span,
    until_next: u64,
    cuts: bool,
}

impl Drawer {
    fn new(seed: u64, rules: &Rules) -> Self {
        let mut draws = Draws::new(seed, Purpose::Faults);
        let mean = [8, 30, 100, 250][index(draws.below(4))];
        let distance = Span { low: 1, high: 2 * mean };
        Self {
            kinds: 1 + draws.below((1 << KINDS) - 1),
            left: draws.below(4),
            distance,
            until_next: draws.within(distance),
            // Where nobody fences, a cut makes two servers: such rules do not claim to survive it.
            cuts: rules.claims(Property::SingleServer, false),
            draws,
        }
    }

    /// Whether a fault strikes at this point. Output comes often and says little: most of its points do not count.
    fn strikes(&mut self, event: Event) -> bool {
        let dull = matches!(
            event,
            Event::Input(InputKind::GuestOutput | InputKind::UncomparedOutput | InputKind::OutputsMatch)
                | Event::Effect(EffectKind::Release | EffectKind::RedirectOutput)
        );
        if self.left == 0 || (dull && !self.draws.one_in(8)) {
            return false;
        }
        self.until_next -= 1;
        if self.until_next > 0 {
            return false;
        }
        self.until_next = self.draws.within(self.distance);
        true
    }

    /// One of the enabled kinds that make sense where the run stands; none if there is none.
    fn draw(&mut self, both_live: bool, link_up: bool, loads: bool) -> Option<FaultAction> {
        let sensible = [both_live, both_live, link_up && self.cuts, link_up, loads];
        let enabled = |kind: &u64| self.kinds & (1 << kind) != 0 && sensible[index(*kind)];
        let kinds: Vec<u64> = (0..).take(KINDS).filter(enabled).collect();
        if kinds.is_empty() {
            return None;
        }
        self.left -= 1;
        Some(match kinds[index(self.draws.below(kinds.len() as u64))] {
            0 => FaultAction::Crash { node: NodeName::Primary },
            1 => FaultAction::Crash { node: NodeName::Secondary },
            2 => FaultAction::Cut,
            3 => FaultAction::Stall { for_ms: self.stall_ms() },
            _ => FaultAction::FailLoad,
        })
    }

    fn stall_ms(&mut self) -> u32 {
        let ceiling = [5, 50, 400][index(self.draws.below(3))];
        u32::try_from(1 + self.draws.below(ceiling)).unwrap_or(u32::MAX)
    }
}

/// The faults of a run.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) cursor: PlanCursor,
    /// The plan's gates, open or not.
    gates: Vec<Gate>,
    drawer: Option<Drawer>,
    struck: Vec<Fault>,
}

/// What the faults of a run came to.
#[derive(Debug)]
pub(crate) struct FaultSummary {
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) plan: Plan,
    pub(crate) unreached: Vec<Fault>,
}

impl Faults {
    pub(crate) fn new(seed: u64, rules: &Rules, options: &Options) -> Self {
        let none = Plan::default();
        let plan = options.plan.as_ref().unwrap_or(&none);
        let draws = options.plan.is_none() && options.faults;
        Self {
            cursor: PlanCursor::new(plan),
            gates: plan.gates.clone(),
            drawer: draws.then(|| Drawer::new(seed, rules)),
            struck: Vec::new(),
        }
    }

    /// Whether anything has gone wrong yet.
    pub(crate) const fn any(&self) -> bool {
        !self.struck.is_empty()
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
            *counts.entry(kind_name(fault.action)).or_default() += 1;
        }
        let unreached = self.cursor.left().to_vec();
        FaultSummary { counts, plan: Plan::new(self.struck).with_gates(self.gates), unreached }
    }
}

const fn kind_name(action: FaultAction) -> &'static str {
    match action {
        FaultAction::Crash { .. } => "crash",
        FaultAction::Cut => "cut",
        FaultAction::Stall { .. } => "stall",
        FaultAction::LostHeartbeat { .. } => "lost-heartbeat",
        FaultAction::PeerSilent { .. } => "peer-silent",
        FaultAction::FailLoad => "fail-load",
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
        if self.faults.drawer.as_mut().is_some_and(|drawer| drawer.strikes(event))
            && let Some(action) = self.drawn()
        {
            self.strike(point, action);
        }
    }

    fn drawn(&mut self) -> Option<FaultAction> {
        let both_live = self.sides.iter().all(|side| side.alive);
        let link_up = self.link.is_up() && self.sides.iter().all(|side| side.open);
        let secondary = self.side(NodeName::Secondary);
        let loads = link_up && secondary.alive && !secondary.fail_load;
        self.faults.drawer.as_mut()?.draw(both_live, link_up, loads)
    }

    fn strike(&mut self, at: Point, action: FaultAction) {
        self.faults.struck.push(Fault { at, action });
        let node = match action {
            FaultAction::Crash { node }
            | FaultAction::LostHeartbeat { node }
            | FaultAction::PeerSilent { node } => Some(node),
            _ => None,
        };
        self.tape.other(self.place(node), Kind::Fault, &action.to_string(), None);
        match action {
            FaultAction::Crash { node } => self.die(node),
            FaultAction::Cut => {
                self.cut();
                self.manager_hears();
            }
            FaultAction::Stall { for_ms } => self.stall(for_ms),
            FaultAction::LostHeartbeat { node } => {
                self.suspects(node);
                self.give(node, Input::LostHeartbeat, Basis::Node);
            }
            FaultAction::PeerSilent { node } => {
                self.suspects(node);
                self.give(node, Input::PeerSilent, Basis::Node);
            }
            FaultAction::FailLoad => self.side_mut(NodeName::Secondary).fail_load = true,
        }
    }

    fn stall(&mut self, for_ms: u32) {
        self.marks.hit(Mark::LinkStalled);
        self.link.stall(self.agenda.now_us() + u64::from(for_ms) * 1_000);
    }
}
