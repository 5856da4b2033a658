//! What is written reads the same again: rules, plans, regressions, traces, whatever is in them.

use colo_protocol::{CheckpointNumber, EffectKind, InputKind, NodeName, Rules};
use colo_trace::{
    Event, Fault, FaultAction, Head, Header, Kind, Moment, Plan, Point, Record, Regression, SCHEMA, Trace,
    Way, read_trace, rules_from_toml, rules_to_toml, write_trace,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Every decision of the rules, and every way to take it.
const DECISIONS: [(&str, &[&str]); 17] = [
    ("dialect", &["v12", "current"]),
    ("execution", &["periodic", "hybrid"]),
    ("release", &["at-suspend", "after-received", "after-loaded"]),
    ("uncompared", &["withheld", "sent-at-once"]),
    ("resume", &["after-staged", "after-received", "after-loaded"]),
    ("requests", &["coalesced", "counted"]),
    ("apply", &["whole", "ram-first"]),
    ("deferral", &["never", "while-loading", "from-received"]),
    ("unloaded", &["discarded", "loaded-anyway"]),
    ("failed_load", &["fatal", "forgotten"]),
    ("relaunch", &["after-any-end", "after-success"]),
    ("abort", &["at-once", "never"]),
    ("disk", &["all-writes", "by-epoch"]),
    ("detection", &["external", "link-closed", "timeout"]),
    ("fencing", &["none", "arbiter"]),
    ("exit_reason", &["completion", "request"]),
    ("shutdown", &["honoured", "forgotten"]),
];

/// A file of rules: some of the decisions, each taken somehow.
fn rules_file() -> impl Strategy<Value = String> {
    let base = option::of(select(vec!["v12", "late-release", "remus", "fast", "strict", "qemu"]));
    let decisions = vec(option::of(any::<prop::sample::Index>()), DECISIONS.len());
    (base, decisions, any::<u32>()).prop_map(|(base, taken, delay_ms)| {
        let base = base.map(|name| format!("base = \"{name}\"\n")).unwrap_or_default();
        let lines = DECISIONS.iter().zip(taken).filter_map(|((field, values), index)| {
            Some(format!("{field} = \"{}\"\n", values[index?.index(values.len())]))
        });
        format!("{base}checkpoint_delay_ms = {delay_ms}\n{}", lines.collect::<String>())
    })
}

fn node() -> impl Strategy<Value = NodeName> {
    select(NodeName::ALL.to_vec())
}

fn point() -> impl Strategy<Value = Point> {
    let inputs = InputKind::all().map(Event::Input);
    let events: Vec<Event> = EffectKind::all().map(Event::Effect).chain(inputs).collect();
    let moment = select(vec![Moment::Before, Moment::During, Moment::After]);
    (node(), any::<u64>(), moment, select(events), 1..=u32::MAX).prop_map(
        |(node, checkpoint, moment, event, occurrence)| Point {
            node,
            checkpoint: CheckpointNumber(checkpoint),
            moment,
            event,
            occurrence,
        },
    )
}

fn action() -> impl Strategy<Value = FaultAction> {
    let bare = [FaultAction::Cut, FaultAction::Reset, FaultAction::Blackhole, FaultAction::FailLoad];
    prop_oneof![
        select(bare.to_vec()),
        node().prop_map(|node| FaultAction::Crash { node }),
        (0..10_000_u32).prop_map(|for_ms| FaultAction::Stall { for_ms }),
        (node(), -10_000..10_000_i32).prop_map(|(node, by_ms)| FaultAction::ClockJump { node, by_ms }),
        (node(), any::<u32>()).prop_map(|(node, bit)| FaultAction::Corrupt { node, bit }),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    vec((point(), action()).prop_map(|(at, action)| Fault { at, action }), 0..8).prop_map(Plan::new)
}

fn regression() -> impl Strategy<Value = Regression> {
    let texts = [any::<String>(), any::<String>(), any::<String>(), any::<String>()];
    let numbers = (any::<u64>(), 0..=i64::MAX as u64, any::<u32>(), option::of(0..=i64::MAX as u64));
    (plan(), texts, numbers, any::<[bool; 2]>()).prop_map(
        |(plan, texts, numbers, [datagrams, no_manager])| {
            let [rules, property, explanation, found_by] = texts;
            let (seed, checkpoints, clients, interval_us) = numbers;
            let replacements = interval_us;
            let head = Head {
                rules,
                seed,
                checkpoints,
                clients,
                interval_us,
                replacements,
                datagrams,
                no_manager,
                property,
                explanation,
                found_by,
            };
            Regression { head, plan }
        },
    )
}

fn record() -> impl Strategy<Value = Record> {
    let kinds = [Kind::Input, Kind::Effect, Kind::Fault, Kind::Error, Kind::Guest, Kind::Client];
    let others = [Kind::Violation, Kind::Note];
    let kind = select([&kinds[..], &others].concat());
    (
        any::<[u64; 2]>(),
        option::of(node()),
        kind,
        any::<String>(),
        option::of(any::<u64>()),
        option::of(any::<String>()),
    )
        .prop_map(|([time_us, checkpoint], node, kind, name, value, detail)| Record {
            time_us,
            node,
            checkpoint,
            kind,
            name,
            value,
            detail,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rules_read_as_they_are_written(text in rules_file()) {
        let rules = rules_from_toml(&text).unwrap();
        prop_assert_eq!(rules_from_toml(&rules_to_toml(&rules).unwrap()), Ok(rules));
    }

    #[test]
    fn a_point_reads_as_it_is_written(point in point()) {
        prop_assert_eq!(point.to_string().parse::<Point>().unwrap(), point);
    }

    #[test]
    fn a_plan_reads_as_it_is_written(plan in plan()) {
        prop_assert_eq!(Plan::from_toml(&plan.to_toml().unwrap()), Ok(plan));
    }

    #[test]
    fn a_regression_reads_as_it_is_written(regression in regression()) {
        prop_assert_eq!(Regression::from_toml(&regression.to_toml().unwrap()), Ok(regression));
    }

    #[test]
    fn a_trace_reads_as_it_is_written(
        records in vec(record(), 0..12),
        name: String,
        seed in option::of(any::<u64>()),
        way in select(vec![Way::Model, Way::Sim, Way::Real]),
    ) {
        let version = "0.0.0".to_owned();
        let header = Header { schema: SCHEMA, rules_name: name, rules: Rules::V12, seed, version, way };
        let (trace, mut bytes) = (Trace { header, records }, Vec::new());
        write_trace(&trace, &mut bytes).unwrap();
        prop_assert_eq!(read_trace(&bytes[..]).unwrap(), trace);
    }
}
