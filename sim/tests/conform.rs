//! Simulated runs are behaviours of the core: as they are recorded, and as somebody would have seen them on the link.
//! With one message dropped, doubled or out of its place they are not.
#![allow(clippy::unwrap_used, reason = "a test may")]

use colo_protocol::{MessageKind, NodeName, PRESETS, Rules};
use colo_sim::{Options, run};
use colo_trace::{Finding, Kind, Log, Record, Trace, Verdict, conform, load_rules};

/// The trace of a run, with whatever faults the seed draws.
fn trace(rules: &str, seed: u64, faults: bool) -> Trace {
    let options = Options { record: true, faults, checkpoints: 3, ..Options::default() };
    run(&load_rules(rules).unwrap(), seed, &options).trace.unwrap()
}

fn judged(trace: &Trace, rules: &Rules) -> Finding {
    conform(&Log::of_trace(trace).unwrap(), rules).unwrap()
}

fn simulated() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().filter(|preset| !preset.rules.is_hybrid()).map(|preset| preset.name)
}

fn assert_conforms(trace: &Trace, what: &str) {
    let finding = judged(trace, &trace.header.rules);
    assert_eq!(finding.verdict, Verdict::Conforms, "{what}: {:?}", finding.line());
    assert!(finding.events > 0, "{what}");
}

#[test]
fn what_is_simulated_conforms_by_all_that_is_recorded_and_by_its_messages_alone() {
    for rules in simulated() {
        let (mut failovers, mut cuts, mut crashes) = (0, 0, 0);
        for seed in 0..150 {
            let trace = trace(rules, seed, true);
            assert_conforms(&trace, &format!("{rules}, seed {seed}"));
            if seed < 40 {
                assert_conforms(&Log::messages_of(&trace), &format!("{rules}, seed {seed}, messages only"));
            }
            let has = |kind, name: &str| {
                trace.records.iter().any(|record| record.kind == kind && record.name.starts_with(name))
            };
            failovers += u64::from(has(Kind::Effect, "take-over"));
            cuts += u64::from(has(Kind::Fault, "cut of the link"));
            crashes += u64::from(has(Kind::Fault, "crash of the"));
        }
        assert!(failovers > 30 && cuts > 5 && crashes > 30, "{rules}: {failovers}, {cuts}, {crashes}");
    }
}

/// Where a message was sent, and where it came.
#[derive(Clone, Copy, Debug)]
struct Crossed {
    sent: usize,
    came: usize,
}

/// The messages of a trace that came, in the order in which they were sent: the protocol's chain.
fn chain(trace: &Trace) -> Vec<Crossed> {
    let is = |record: &Record, kind| record.kind == kind && MessageKind::from_name(&record.name).is_some();
    let places = |kind, node| {
        let here = move |(_, record): &(usize, &Record)| is(record, kind) && record.node == Some(node);
        trace.records.iter().enumerate().filter(here).map(|(place, _)| place).collect::<Vec<_>>()
    };
    let crossed = |from: NodeName| {
        let ends = places(Kind::Effect, from).into_iter().zip(places(Kind::Input, from.peer()));
        ends.map(|(sent, came)| Crossed { sent, came }).collect::<Vec<_>>()
    };
    let mut chain: Vec<_> = NodeName::ALL.into_iter().flat_map(crossed).collect();
    chain.sort_by_key(|crossed| crossed.sent);
    chain
}

/// Every way to drop, double or exchange messages, and what it is called.
fn mutations(trace: &Trace) -> Vec<(String, Trace)> {
    let chain = chain(trace);
    let mut mutations = Vec::new();
    let mut add = |what: String, change: &dyn Fn(&mut Vec<Record>)| {
        let mut mutated = trace.clone();
        change(&mut mutated.records);
        mutations.push((what, mutated));
    };
    for (number, Crossed { sent, came }) in chain.iter().copied().enumerate() {
        let name = &trace.records[sent].name;
        // The last of a record can be missing: then it is a record that ended earlier.
        if number + 1 < chain.len() {
            add(format!("{number} {name} is dropped"), &|records| {
                records.remove(came);
                records.remove(sent);
            });
            add(format!("{number} {name} never comes"), &|records| drop(records.remove(came)));
        }
        add(format!("{number} {name} was never sent"), &|records| drop(records.remove(sent)));
        add(format!("{number} {name} is doubled"), &|records| {
            records.insert(came + 1, records[came].clone());
            records.insert(sent + 1, records[sent].clone());
        });
        add(format!("{number} {name} is sent twice"), &|records| {
            records.insert(sent + 1, records[sent].clone());
        });
        add(format!("{number} {name} comes twice"), &|records| {
            records.insert(came + 1, records[came].clone());
        });
        add(format!("{number} {name} comes before it was sent"), &|records| records.swap(sent, came));
        if let Some(next) = chain.get(number + 1) {
            add(format!("{number} {name} and the next are exchanged"), &|records| {
                records.swap(sent, next.sent);
                records.swap(came, next.came);
            });
        }
    }
    mutations
}

#[test]
fn a_trace_with_one_message_dropped_doubled_or_out_of_its_place_deviates() {
    for rules in simulated() {
        for seed in [1, 2] {
            let full = trace(rules, seed, false);
            let messages = Log::messages_of(&full);
            for trace in [full, messages] {
                let chain = chain(&trace);
                assert!(chain.len() > 15, "{rules}: {chain:?}");
                for (what, mutated) in mutations(&trace) {
                    let finding = judged(&mutated, &mutated.header.rules);
                    let line = finding.line();
                    assert_eq!(finding.verdict, Verdict::Deviates, "{rules}, seed {seed}: {what}: {line:?}");
                    assert!(finding.at.is_some() && !finding.accepted.is_empty(), "{what}: {line:?}");
                }
            }
        }
    }
}

#[test]
fn a_trace_without_its_last_message_breaks_off_where_it_would_have_come() {
    let mut trace = Log::messages_of(&trace("v12", 1, false));
    let Some(last) = chain(&trace).last().copied() else { panic!("no messages") };
    let name = trace.records[last.sent].name.clone();
    trace.records.truncate(last.sent);
    let finding = judged(&trace, &trace.header.rules);
    assert_eq!((finding.verdict, finding.events), (Verdict::Conforms, last.sent));
    assert!(finding.at.is_some(), "{:?}", finding.line());
    assert_eq!(finding.accepted.iter().map(colo_trace::Word::name).collect::<Vec<_>>(), [name]);
}

/// Each rule that a run without faults can break, by what the nodes do and not by what they say.
#[test]
fn a_trace_deviates_from_other_rules_than_its_own() {
    let trace = trace("v12", 3, false);
    for (rules, got, accepted) in [
        ("late-release", "primary effect release 4", "secondary input vm-locked"),
        ("bug:release-at-suspend", "primary effect save-state 1", "primary effect release"),
        ("bug:ram-first", "secondary effect vmstate-received", "secondary effect apply-ram 1"),
        ("remus", "primary effect vmstate-send", "primary effect resume-vm"),
    ] {
        let finding = judged(&trace, &load_rules(rules).unwrap().rules);
        assert_eq!(finding.verdict, Verdict::Deviates, "{rules}");
        let line = format!("{:?}", finding.line());
        assert!(finding.got.unwrap().to_string().starts_with(got), "{rules}: {line}");
        assert!(
            finding.accepted.iter().any(|word| word.to_string().starts_with(accepted)),
            "{rules}: {line}"
        );
    }
}
