//! A fault at every protocol point of a run: before, in the middle of and behind everything that either node does.
//!
//! The undisturbed run shows the points of a pair that is whole. Each run with a fault shows more, those of its
//! failover: a second fault goes to every one of these, behind the first fault that leads there. What a node does
//! behind two faults only gets a third, and so on. Nothing is drawn.

use crate::options::Options;
use crate::outcome::{Outcome, Verdict};
use crate::run;
use crate::sweep::in_order;
use colo_protocol::{EffectKind, InputKind, NodeName, Rules};
use colo_trace::{
    Event, Fault, FaultAction, FaultKind, Moment, NamedRules, Plan, Point, is_new_pair, points_in,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// A guest's output, and its release by a survivor alone, come as often as there are requests. The first of a
/// checkpoint and one behind it stand for all.
const REPETITIONS: u32 = 2;

/// What happens at which node, whenever.
type Happening = (NodeName, Event);

/// One run: a fault at a point, perhaps behind other faults without which the run never comes there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trial {
    /// The faults that lead to the point.
    pub lead: Vec<Fault>,
    /// The fault that is tried.
    pub fault: Fault,
}

impl Trial {
    /// The trial as a plan.
    pub fn plan(&self) -> Plan {
        Plan::new(self.faults())
    }

    fn faults(&self) -> Vec<Fault> {
        self.lead.iter().copied().chain([self.fault]).collect()
    }
}

/// What all trials came to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Enumeration {
    /// Points of the undisturbed run, both nodes'.
    pub points: u64,
    /// Points that only a run with a fault comes to, as far as they are tried.
    pub failover_points: u64,
    /// The points at each node's effects, by the effect's name.
    pub effects: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// The points at each node's inputs, by the input's name.
    pub inputs: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// The points in a transfer, by where the stream stands there.
    pub stream: BTreeMap<&'static str, u64>,
    /// Runs with each sort of fault.
    pub faults: BTreeMap<String, u64>,
    /// Runs.
    pub runs: u64,
    /// Runs that never came to their fault: the first one changed the way there.
    pub unreached: u64,
    /// Runs that broke something that the rules claim.
    pub violated: u64,
    /// Runs that broke something that the rules do not claim.
    pub unclaimed: u64,
    /// Runs that broke each property.
    pub properties: BTreeMap<&'static str, u64>,
}

/// Every fault that can be tried under these rules at a point.
pub fn faults_to_try(rules: &Rules) -> Vec<FaultAction> {
    let of_each = |action: fn(NodeName) -> FaultAction| NodeName::ALL.into_iter().map(action);
    let mut faults: Vec<_> = of_each(|node| FaultAction::Crash { node }).collect();
    // A stall that nobody minds, and one that outlasts patience.
    let stalls = [20, 600].map(|for_ms| FaultAction::Stall { for_ms });
    let once = [FaultAction::Cut, FaultAction::FailSave, FaultAction::FailLoad];
    faults.extend(once.into_iter().chain(stalls));
    faults.extend(of_each(|node| FaultAction::HalfClose { node }));
    faults.extend(of_each(|node| FaultAction::FailDisk { node }));
    faults.extend(of_each(|node| FaultAction::GuestReset { node }));
    faults.extend(of_each(|node| FaultAction::GuestShutdown { node }));
    if rules.has_manager() {
        faults.extend(of_each(|node| FaultAction::LostHeartbeat { node }));
    }
    if rules.watches_silence() {
        faults.extend(of_each(|node| FaultAction::PeerSilent { node }));
    }
    faults
}

/// Runs a seed with a fault at each of its points, `jobs` runs at a time; hands over every trial in order. Faults are
/// neither drawn nor taken from a plan of the options.
pub fn enumerate(
    rules: &NamedRules,
    seed: u64,
    options: &Options,
    jobs: usize,
    mut on_trial: impl FnMut(&Trial, &Outcome),
) -> Enumeration {
    let recorded = |plan| Options { plan: Some(plan), record: true, ..options.clone() };
    let mut undisturbed = run(rules, seed, &recorded(Plan::default()));
    let points = taken_points(&mut undisturbed);
    let mut enumeration = Enumeration { points: points.len() as u64, ..Enumeration::default() };
    let mut ways = Ways::new(&points);
    let mut next: Vec<_> = points.into_iter().map(|found| Way { lead: Vec::new(), found }).collect();
    while !next.is_empty() {
        for way in &next {
            enumeration.count_point(way.found.point);
        }
        let trials = trials(rules, std::mem::take(&mut next));
        let known = ways.points.clone();
        let one = |trial: &Trial| {
            let mut outcome = run(rules, seed, &recorded(trial.plan()));
            let new = taken_points(&mut outcome).into_iter().filter(|found| !known.contains(&found.point));
            (new.collect::<Vec<_>>(), outcome)
        };
        let mut tried = trials.iter();
        in_order(trials.iter(), jobs, one, |(new, outcome)| {
            let Some(trial) = tried.next() else { return ControlFlow::Break(()) };
            enumeration.count(trial, &outcome);
            on_trial(trial, &outcome);
            next.extend(ways.behind(trial, new));
            ControlFlow::Continue(())
        });
        ways.next_round();
    }
    enumeration.failover_points = ways.points.len() as u64 - enumeration.points;
    enumeration
}

/// A point, and whether the pair that comes to it is one with a replacement.
#[derive(Clone, Copy)]
struct Found {
    point: Point,
    replaced: bool,
}

/// The faults that lead to a point.
struct Way {
    lead: Vec<Fault>,
    found: Found,
}

/// The points that are known, and how many faults it takes to come to those that are new.
struct Ways {
    points: BTreeSet<Point>,
    /// What happens at all, by what the rounds that are over have shown.
    happenings: BTreeSet<Happening>,
    round: u32,
}

impl Ways {
    fn new(points: &[Found]) -> Self {
        let points: BTreeSet<_> = points.iter().map(|found| found.point).collect();
        let happenings = happenings(&points);
        Self { points, happenings, round: 1 }
    }

    fn next_round(&mut self) {
        self.happenings = happenings(&self.points);
        self.round += 1;
    }

    /// The ways that a trial has opened. Behind one fault every point is another place for the next; behind two it has
    /// to be something that has not happened anywhere.
    fn behind(&mut self, trial: &Trial, new: Vec<Found>) -> Vec<Way> {
        let wanted = |Found { point, .. }: &Found| {
            self.round == 1 || !self.happenings.contains(&(point.node, point.event))
        };
        let new: Vec<_> = new.into_iter().filter(wanted).collect();
        let first = new.into_iter().filter(|found| self.points.insert(found.point));
        first.map(|found| Way { lead: trial.faults(), found }).collect()
    }
}

fn happenings(points: &BTreeSet<Point>) -> BTreeSet<Happening> {
    points.iter().map(|point| (point.node, point.event)).collect()
}

/// The points of a run that are tried; its trace is not needed any more.
fn taken_points(outcome: &mut Outcome) -> Vec<Found> {
    let records = outcome.trace.take().map(|trace| trace.records).unwrap_or_default();
    let first_pair = records.iter().position(is_new_pair).unwrap_or(records.len());
    let before: BTreeSet<_> = points_in(&records[..first_pair]).into_iter().collect();
    let taken = |point: &Point| point.occurrence <= REPETITIONS || !repeats(point.event);
    let found = |point: Point| Found { point, replaced: !before.contains(&point) };
    points_in(&records).into_iter().filter(taken).map(found).collect()
}

const fn repeats(event: Event) -> bool {
    matches!(event, Event::Input(InputKind::GuestOutput) | Event::Effect(EffectKind::Release))
}

fn trials(rules: &NamedRules, ways: Vec<Way>) -> Vec<Trial> {
    let faults = faults_to_try(&rules.rules);
    let at = |Way { lead, found: Found { point: at, replaced } }: Way| {
        // Who died before has been replaced.
        let sensible = faults.iter().filter(|action| replaced || has_an_object(&lead, **action));
        let trial = |action: &FaultAction| Trial { lead: lead.clone(), fault: Fault { at, action: *action } };
        let mut trials: Vec<_> = sensible.map(trial).collect();
        trials.extend(over_a_silent_link(&trials));
        trials
    };
    ways.into_iter().flat_map(at).collect()
}

/// A failover that a manager asks for is tried over a silent link as well: nothing that is being sent ends there.
fn over_a_silent_link(trials: &[Trial]) -> Vec<Trial> {
    let told = |trial: &&Trial| trial.fault.action.kind() == FaultKind::LostHeartbeat;
    let silenced = |Trial { lead, fault }: &Trial| {
        let silence = Fault { action: FaultAction::Blackhole, ..*fault };
        Trial { lead: [lead.as_slice(), &[silence]].concat(), fault: *fault }
    };
    trials.iter().filter(told).map(silenced).collect()
}

/// Whether what a fault strikes is still there: nobody dies twice, and the dead are told nothing.
fn has_an_object(lead: &[Fault], action: FaultAction) -> bool {
    let dead = |node| lead.iter().any(|fault| fault.action == FaultAction::Crash { node });
    action.kind().is_of_the_link() || !action.node().is_some_and(dead)
}

/// Where the stream stands at a point, if the point is one of a transfer.
const fn place_in_stream(point: &Point) -> Option<&'static str> {
    use colo_protocol::MessageKind::{VmstateReceived, VmstateSend, VmstateSize};
    match (point.event, point.moment) {
        (Event::Effect(EffectKind::Send(VmstateSend)), Moment::Before) => Some("before vmstate-send"),
        (Event::Effect(EffectKind::SendRound), Moment::Before) => Some("before a round"),
        (Event::Effect(EffectKind::SendRound), Moment::During) => Some("in a round"),
        (Event::Effect(EffectKind::SendRound), Moment::After) => Some("behind a round"),
        (Event::Effect(EffectKind::SendRam), Moment::Before) => Some("before RAM"),
        (Event::Effect(EffectKind::SendRam), Moment::During) => Some("in RAM"),
        (Event::Effect(EffectKind::SendRam), Moment::After) => Some("behind RAM"),
        (Event::Effect(EffectKind::Send(VmstateSize)), Moment::Before) => Some("before vmstate-size"),
        (Event::Effect(EffectKind::SendDeviceState), Moment::Before) => Some("before device state"),
        (Event::Effect(EffectKind::SendDeviceState), Moment::During) => Some("in device state"),
        (Event::Effect(EffectKind::SendDeviceState), Moment::After) => Some("behind device state"),
        (Event::Effect(EffectKind::Send(VmstateReceived)), Moment::Before) => Some("before vmstate-received"),
        _ => None,
    }
}

impl Enumeration {
    fn count_point(&mut self, point: Point) {
        let by_node = match point.event {
            Event::Effect(_) => &mut self.effects,
            Event::Input(_) => &mut self.inputs,
        };
        *by_node.entry(point.node.name()).or_default().entry(point.event.name()).or_default() += 1;
        if let Some(place) = place_in_stream(&point) {
            *self.stream.entry(place).or_default() += 1;
        }
    }

    fn count(&mut self, trial: &Trial, outcome: &Outcome) {
        self.runs += 1;
        *self.faults.entry(trial.fault.action.to_string()).or_default() += 1;
        self.unreached += u64::from(outcome.unreached.contains(&trial.fault));
        let Some(broken) = outcome.property.filter(|_| outcome.verdict == Verdict::Violated) else { return };
        if outcome.claimed {
            self.violated += 1;
            *self.properties.entry(broken.name()).or_default() += 1;
        } else {
            self.unclaimed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever adds a sort of fault is led here by the compiler, and says whether it is to be tried at every point.
    const fn is_tried(action: FaultAction) -> bool {
        match action {
            FaultAction::Crash { .. }
            | FaultAction::Cut
            | FaultAction::HalfClose { .. }
            | FaultAction::Stall { .. }
            | FaultAction::FailDisk { .. }
            | FaultAction::GuestReset { .. }
            | FaultAction::GuestShutdown { .. }
            | FaultAction::LostHeartbeat { .. }
            | FaultAction::PeerSilent { .. }
            | FaultAction::FailSave
            | FaultAction::FailLoad => true,
            // A reset is a cut that is noticed sooner; what damage does is up to the bit; silence comes with a failover, and
            // as the stall that outlasts patience; the others are drawn.
            FaultAction::Diverge
            | FaultAction::Uncompared
            | FaultAction::Reset
            | FaultAction::Blackhole
            | FaultAction::Partition { .. }
            | FaultAction::Pause { .. }
            | FaultAction::Corrupt { .. }
            | FaultAction::ClockJump { .. }
            | FaultAction::SlowDisk { .. }
            | FaultAction::CheckpointNow => false,
        }
    }

    #[test]
    fn every_sort_of_fault_is_tried() {
        let under = |rules: Rules| faults_to_try(&rules);
        assert_eq!(under(Rules::V12).len(), 17);
        assert!(under(Rules::V12).into_iter().chain(under(Rules::STRICT)).all(is_tried));
        let silent = FaultAction::PeerSilent { node: NodeName::Primary };
        assert!(under(Rules::STRICT).contains(&silent) && !under(Rules::V12).contains(&silent));
    }

    #[test]
    fn the_dead_neither_die_nor_are_told_anything() {
        let (p, s) = (NodeName::Primary, NodeName::Secondary);
        let lead = Fault {
            at: "primary checkpoint 1 after effect release".parse().unwrap(),
            action: FaultAction::Crash { node: p },
        };
        for (action, expected) in [
            (FaultAction::Crash { node: p }, false),
            (FaultAction::LostHeartbeat { node: p }, false),
            (FaultAction::LostHeartbeat { node: s }, true),
            (FaultAction::Cut, true),
        ] {
            assert_eq!(has_an_object(&[lead], action), expected, "{action}");
            assert!(has_an_object(&[], action));
        }
    }
}
