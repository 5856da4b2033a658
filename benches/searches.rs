//! The two that are compared, and what each has to find: the same states, and the same broken properties.
//!
//! Each does its work the way its users call it, on one thread, on the same `Pair`. What `stateright` frees at the end
//! is not held against it.

use colo_model::checker::{Extent, Finding, processor_time};
use colo_model::{Limits, Pair, Verdict};
use colo_protocol::Liveness;
use stateright::{Checker, Model};
use std::collections::BTreeSet;
use std::time::Duration;

/// What was found, which does not depend on who looked.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// Different states.
    distinct: u64,
    /// States generated, with repetitions.
    generated: u64,
    /// The safety properties that do not hold.
    broken: BTreeSet<String>,
}

/// What our checker found, and the memory that it keeps for each state.
pub(crate) struct Ours {
    /// What it found.
    pub(crate) found: Found,
    /// Bytes of its graph for each state.
    pub(crate) bytes_per_state: usize,
}

/// The processor time that some work took, and what came of it.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = processor_time();
    let result = work();
    (result, processor_time().saturating_sub(start))
}

/// `stateright`, breadth first: safety alone, which is all that it can judge of such a model.
pub(crate) fn stateright(pair: Pair) -> (Found, Duration) {
    let (checker, time) = timed(|| pair.checker().threads(1).spawn_bfs().join());
    let found = Found {
        distinct: checker.unique_state_count() as u64,
        generated: checker.state_count() as u64,
        broken: checker.discoveries().into_keys().map(str::to_owned).collect(),
    };
    (found, time)
}

/// Our checker: safety, and one liveness property.
///
/// # Panics
///
/// If it leaves anything open.
pub(crate) fn safety_and(pair: &Pair, property: Liveness) -> Ours {
    let specification = pair.specification(&[property]);
    let report = colo_model::checker::check(pair, &specification, &Extent::everything(1))
        .unwrap_or_else(|refusal| panic!("{refusal}"));
    let undecided = report.properties.iter().any(|judged| judged.finding == Finding::Undecided);
    assert!(report.figures.complete && !undecided, "something was left open");
    let broken = report.properties.iter().filter(|judged| matches!(judged.finding, Finding::Broken(_)));
    let found = Found {
        distinct: report.figures.distinct,
        generated: report.figures.generated,
        broken: broken.map(|judged| judged.property.name.to_string()).collect(),
    };
    Ours { found, bytes_per_state: report.figures.bytes_per_state }
}

/// Our checker as `colo check` uses it: safety, all of liveness, and whether everything was seen that should be.
///
/// # Panics
///
/// If it leaves anything open.
pub(crate) fn safety_and_all(pair: &Pair) -> Ours {
    let Pair { rules, bounds } = pair;
    let check = colo_model::check(rules, bounds, &Limits::default());
    assert!(check.complete && check.liveness.len() == Liveness::ALL.len(), "something was left open");
    let broken = check.properties.iter().filter(|report| report.verdict == Verdict::Violated);
    let found = Found {
        distinct: check.distinct,
        generated: check.generated,
        broken: broken.map(|report| report.property.name().to_owned()).collect(),
    };
    Ours { found, bytes_per_state: check.bytes_per_state }
}
