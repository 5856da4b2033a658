//! Strategies for proptest: rules, plans, points and inputs, each simpler as it shrinks.
//!
//! Only with the feature `proptest`. What is drawn here is drawn by proptest; a run's own draws come from its seed.

use colo_protocol::{
    BUGS, CheckpointNumber, EffectKind, Input, InputKind, NodeName, PRESETS, Rules, rules_named,
};
use colo_trace::{Event, Fault, FaultAction, Moment, NamedRules, Plan, Point};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// A decision of the rules, taken over from others.
type Take = fn(&mut Rules, &Rules);

/// Every decision that a simulation can see.
const DECISIONS: [Take; 13] = [
    |to, from| to.release = from.release,
    |to, from| to.resume = from.resume,
    |to, from| to.requests = from.requests,
    |to, from| to.apply = from.apply,
    |to, from| to.deferral = from.deferral,
    |to, from| to.unloaded = from.unloaded,
    |to, from| to.failed_load = from.failed_load,
    |to, from| to.relaunch = from.relaunch,
    |to, from| to.abort = from.abort,
    |to, from| to.disk = from.disk,
    |to, from| (to.detection, to.fencing) = (from.detection, from.fencing),
    |to, from| to.exit_reason = from.exit_reason,
    |to, from| to.shutdown = from.shutdown,
];

fn named(name: &'static str) -> NamedRules {
    NamedRules { name: name.to_owned(), rules: rules_named(name).unwrap_or_default() }
}

fn periodic(names: impl Iterator<Item = &'static str>) -> Vec<NamedRules> {
    names.map(named).filter(|rules| !rules.rules.is_hybrid()).collect()
}

/// The presets that a simulation can run: they hold.
pub fn good_rules() -> impl Strategy<Value = NamedRules> {
    select(periodic(PRESETS.iter().map(|preset| preset.name)))
}

/// Any rules: a preset in which some decisions are those of another preset or of a known bug. Most do not hold.
pub fn any_rules() -> impl Strategy<Value = NamedRules> {
    let donors = PRESETS.iter().map(|preset| preset.name).chain(BUGS.iter().map(|bug| bug.name));
    let donors: Vec<_> = donors.map(|name| named(name).rules).collect();
    let decision = (select(DECISIONS.to_vec()), select(donors));
    (good_rules(), vec(decision, 0..=3)).prop_map(|(NamedRules { name, mut rules }, decisions)| {
        let name = if decisions.is_empty() { name } else { format!("a variant of {name}") };
        for (take, donor) in decisions {
            take(&mut rules, &donor);
        }
        NamedRules { name, rules }
    })
}

/// Either node.
pub fn nodes() -> impl Strategy<Value = NodeName> {
    select(NodeName::ALL.to_vec())
}

/// Anything that can go wrong.
pub fn fault_actions() -> impl Strategy<Value = FaultAction> {
    prop_oneof![
        nodes().prop_map(|node| FaultAction::Crash { node }),
        select(vec![
            FaultAction::Cut,
            FaultAction::Reset,
            FaultAction::Blackhole,
            FaultAction::FailSave,
            FaultAction::FailLoad,
            FaultAction::Diverge,
            FaultAction::Uncompared,
            FaultAction::CheckpointNow,
        ]),
        nodes().prop_map(|node| FaultAction::HalfClose { node }),
        nodes().prop_map(|node| FaultAction::Partition { node }),
        (1_u32..1_000).prop_map(|for_ms| FaultAction::Stall { for_ms }),
        (nodes(), 1_u32..1_000).prop_map(|(node, for_ms)| FaultAction::Pause { node, for_ms }),
        (nodes(), 1_u32..1_000).prop_map(|(node, for_ms)| FaultAction::SlowDisk { node, for_ms }),
        (nodes(), -1_000_i32..1_000).prop_map(|(node, by_ms)| FaultAction::ClockJump { node, by_ms }),
        (nodes(), 0_u32..1 << 18).prop_map(|(node, bit)| FaultAction::Corrupt { node, bit }),
        nodes().prop_map(|node| FaultAction::FailDisk { node }),
        nodes().prop_map(|node| FaultAction::GuestReset { node }),
        nodes().prop_map(|node| FaultAction::GuestShutdown { node }),
        nodes().prop_map(|node| FaultAction::LostHeartbeat { node }),
        nodes().prop_map(|node| FaultAction::PeerSilent { node }),
    ]
}

/// Points of the first checkpoints. Not every run comes to each.
pub fn points() -> impl Strategy<Value = Point> {
    let events: Vec<_> =
        EffectKind::all().map(Event::Effect).chain(InputKind::all().map(Event::Input)).collect();
    let moments = vec![Moment::Before, Moment::After, Moment::During];
    (nodes(), 0_u64..=5, select(moments), select(events), 1_u32..=3).prop_map(
        |(node, checkpoint, moment, event, occurrence)| Point {
            node,
            checkpoint: CheckpointNumber(checkpoint),
            moment,
            event,
            occurrence,
        },
    )
}

/// Plans of at most so many faults.
pub fn plans(faults: usize) -> impl Strategy<Value = Plan> {
    let fault = (points(), fault_actions()).prop_map(|(at, action)| Fault { at, action });
    vec(fault, 0..=faults).prop_map(Plan::new)
}

/// Inputs of a node's machine, sensible or not.
pub fn inputs() -> impl Strategy<Value = Input> {
    let kinds: Vec<_> = InputKind::all().collect();
    (select(kinds), 0_u64..1_000).prop_map(|(kind, value)| Input::new(kind, value))
}
