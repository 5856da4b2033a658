//! What is found out about one variant: its check, its checkpoint counted on the core, its times in the simulator.

use crate::interrupt;
use colo_model::{Check, CheckpointCost, Limits, Scope, Verdict, check_scopes, checkpoint_cost};
use colo_protocol::{Rules, bug_named};
use colo_sim::{Options, Watch, sweep};
use colo_trace::{CheckpointTimes, NamedRules, checkpoint_times};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

/// Seeds simulated for a variant's times. Each draws another link and other machines.
pub(crate) const SEEDS: u64 = 100;

/// Checkpoints in each.
pub(crate) const CHECKPOINTS: u64 = 10;

/// From the end of a checkpoint to the next, whatever the rules say: all variants meet the same surroundings.
pub(crate) const INTERVAL_MS: u32 = Rules::V12.checkpoint_delay_ms;

/// A property that is broken.
pub(crate) struct Violation {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    /// Whether the rules claim it; only then it makes a verdict.
    pub(crate) claimed: bool,
    /// Steps of the shortest way to break it that was found; of a run without an end, with its cycle once.
    pub(crate) length: Option<usize>,
}

impl Violation {
    fn document(&self) -> Value {
        json!({ "name": self.name, "kind": self.kind, "length": self.length })
    }
}

/// One variant.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) safety: Verdict,
    /// None where nothing was judged: checkpoints were counted.
    pub(crate) liveness: Option<Verdict>,
    pub(crate) complete: bool,
    pub(crate) distinct: u64,
    /// The properties that are broken, claimed or not, safety first.
    pub(crate) broken: Vec<Violation>,
    /// The liveness properties for which nothing ever called.
    pub(crate) vacuous: Vec<&'static str>,
    pub(crate) cost: Option<CheckpointCost>,
    /// Medians; none after Ctrl-C.
    pub(crate) times: Option<CheckpointTimes>,
}

impl Row {
    pub(crate) fn of(rules: &NamedRules, scopes: &[Scope], limits: &Limits) -> Self {
        let mut check = check_scopes(&rules.rules, scopes, limits);
        // As in `colo check`: a known bug is held against what it is named for.
        if let Some(property) = bug_named(&rules.name).and_then(|bug| bug.stalls) {
            check.claim(property);
        }
        let broken = violations(&check);
        let verdict = |kind| {
            let violated = broken.iter().any(|violation| violation.claimed && violation.kind == kind);
            match (violated, check.complete) {
                (true, _) => Verdict::Violated,
                (false, true) => Verdict::Holds,
                (false, false) => Verdict::Incomplete,
            }
        };
        let (safety, liveness) = (verdict("safety"), verdict("liveness"));
        Self {
            name: rules.name.clone(),
            safety,
            liveness: (!check.liveness.is_empty()).then_some(liveness),
            complete: check.complete,
            distinct: check.distinct,
            vacuous: check.vacuous().collect(),
            broken,
            cost: checkpoint_cost(&rules.rules),
            times: virtual_times(rules, limits.threads),
        }
    }

    /// What is broken of what the rules claim, or of what they do not.
    pub(crate) fn broken_if(&self, claimed: bool) -> impl Iterator<Item = &Violation> {
        self.broken.iter().filter(move |violation| violation.claimed == claimed)
    }

    /// The length of the shortest counterexample to something claimed.
    pub(crate) fn shortest(&self) -> Option<usize> {
        self.broken_if(true).filter_map(|violation| violation.length).min()
    }

    fn document(&self) -> Value {
        let broken = |claimed| self.broken_if(claimed).map(Violation::document).collect::<Vec<_>>();
        json!({
            "rules": self.name,
            "safety": self.safety.name(),
            "liveness": self.liveness.map(Verdict::name),
            "distinct": self.distinct,
            "messages_per_checkpoint": self.cost.as_ref().map(|cost| cost.messages.len()),
            "round_trips": self.cost.as_ref().map(CheckpointCost::round_trips),
            "pause_us": self.times.map(|times| times.pause_us),
            "transaction_us": self.times.map(|times| times.transaction_us),
            "shortest": self.shortest(),
            "complete": self.complete,
            "round_trips_in_pause": self.cost.as_ref().map(CheckpointCost::round_trips_in_pause),
            "release_us": self.times.map(|times| times.release_us),
            "violated": broken(true),
            "not_claimed": broken(false),
            "vacuous": self.vacuous,
        })
    }
}

/// All rows as `--json` prints them.
pub(crate) fn document(rows: &[Row]) -> Value {
    let rows: Vec<_> = rows.iter().map(Row::document).collect();
    let interval_us = u64::from(INTERVAL_MS) * 1_000;
    json!({
        "schema": 1,
        "rows": rows,
        "virtual_time": { "seeds": SEEDS, "checkpoints": CHECKPOINTS, "interval_us": interval_us },
    })
}

fn violations(check: &Check) -> Vec<Violation> {
    let safety = check.properties.iter();
    let safety = safety.map(|report| (report.property.name(), "safety", report.claimed, report.verdict));
    let liveness = check.liveness.iter();
    let liveness =
        liveness.map(|report| (report.property.name(), "liveness", report.claimed, report.verdict));
    let broken = safety.chain(liveness).filter(|(.., verdict)| *verdict == Verdict::Violated);
    broken
        .map(|(name, kind, claimed, _)| Violation { name, kind, claimed, length: check.length_of(name) })
        .collect()
}

/// The medians over the checkpoints of some runs in which nothing fails; none after Ctrl-C.
fn virtual_times(rules: &NamedRules, jobs: usize) -> Option<CheckpointTimes> {
    if interrupt::watch().load(Ordering::Relaxed) {
        return None;
    }
    let options = Options {
        checkpoints: CHECKPOINTS,
        interval_us: Some(u64::from(INTERVAL_MS) * 1_000),
        faults: false,
        // Times are wanted of what is wrong, too: nobody ends a run for it.
        watch: Watch::ClientsOnly,
        record: true,
        ..Options::default()
    };
    let mut all = Vec::new();
    sweep(rules, 0..SEEDS, jobs, &options, |outcome| {
        all.extend(outcome.trace.iter().flat_map(|trace| checkpoint_times(&trace.records)));
    });
    medians(&all)
}

fn medians(all: &[CheckpointTimes]) -> Option<CheckpointTimes> {
    let median = |part: fn(&CheckpointTimes) -> u64| {
        let mut times: Vec<_> = all.iter().map(part).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    };
    Some(CheckpointTimes {
        pause_us: median(|times| times.pause_us)?,
        transaction_us: median(|times| times.transaction_us)?,
        release_us: median(|times| times.release_us)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(name: &str, rules: Rules) -> Option<CheckpointTimes> {
        virtual_times(&NamedRules { name: name.to_owned(), rules }, 2)
    }

    #[test]
    fn each_time_has_its_own_median() {
        let times = |pause_us, transaction_us| CheckpointTimes { pause_us, transaction_us, release_us: 1 };
        assert_eq!(medians(&[times(1, 9), times(2, 7), times(3, 8)]), Some(times(2, 8)));
        assert_eq!(medians(&[]), None);
    }

    #[test]
    fn virtual_times_are_the_same_whoever_looks_and_whenever() {
        let v12 = times("v12", Rules::V12);
        assert!(v12.is_some());
        assert_eq!(v12, times("v12", Rules::V12));
        // Another name is another name, and another interval is not for the simulator to see.
        assert_eq!(v12, times("mine.toml", Rules { checkpoint_delay_ms: 7, ..Rules::V12 }));
    }

    #[test]
    fn the_simulator_shows_what_each_variant_waits_for() {
        let [v12, late, remus] =
            [("v12", Rules::V12), ("late", Rules::LATE_RELEASE), ("remus", Rules::REMUS)]
                .map(|(name, rules)| times(name, rules));
        let (Some(v12), Some(late), Some(remus)) = (v12, late, remus) else { panic!("no times") };
        assert!(remus.pause_us * 2 < v12.pause_us, "{remus:?} {v12:?}");
        assert!(v12.release_us < late.release_us, "{v12:?} {late:?}");
        assert!(v12.release_us < v12.transaction_us, "{v12:?}");
        // Output that both VMs send alike leaves before any checkpoint covers it; what a checkpoint takes it takes here, too.
        assert!(times("qemu", Rules::QEMU).is_some_and(|qemu| qemu.pause_us > 0));
    }
}
