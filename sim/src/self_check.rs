//! The simulator's look at itself: a run is run twice, and has to be the same run.
//!
//! What this finds is never the protocol's: a clock that was read, an unordered collection that was walked through, a
//! machine whose memory cannot be trusted. Nothing that a sweep says can be believed then.

use crate::options::Options;
use crate::outcome::Outcome;
use colo_trace::{NamedRules, Record};
use std::num::NonZeroU64;
use thiserror::Error;

/// How often a run is run twice unless somebody says otherwise: one seed in so many.
pub const SELF_CHECK: Option<NonZeroU64> = NonZeroU64::new(64);

/// One seed, two runs.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error(
    "seed {seed} is not one run: its hash is {:016x}, and {:016x} when it is run again{difference}; the simulator, or this machine, is \
     not to be trusted, and nothing is claimed",
    hashes[0],
    hashes[1]
)]
pub struct Unlike {
    /// The seed.
    pub seed: u64,
    /// What the fingerprint was, and was then.
    pub hashes: [u64; 2],
    /// Where the two part, if they do so once more when they are recorded.
    difference: String,
}

/// What runs a seed.
pub(crate) type Run<'a> = &'a (dyn Fn(&NamedRules, u64, &Options) -> Outcome + Sync);

/// Runs a seed, and once more if it is one of those that are checked.
pub(crate) fn checked(
    rules: &NamedRules,
    seed: u64,
    options: &Options,
    (every, run): (Option<NonZeroU64>, Run),
) -> Result<Outcome, Unlike> {
    let outcome = run(rules, seed, options);
    if every.is_none_or(|every| seed % every != 0) {
        return Ok(outcome);
    }
    let again = run(rules, seed, options);
    if again == outcome {
        return Ok(outcome);
    }
    let recorded = Options { record: true, ..options.clone() };
    let records = || run(rules, seed, &recorded).trace.map(|trace| trace.records).unwrap_or_default();
    Err(Unlike { seed, hashes: [outcome.hash, again.hash], difference: difference(&records(), &records()) })
}

/// The first record in which they differ, for a person.
fn difference(one: &[Record], other: &[Record]) -> String {
    let named = |record: Option<&Record>| match record {
        Some(record) => format!("{} at {} us", record.name, record.time_us),
        None => "the end".to_owned(),
    };
    let parts = (0..one.len().max(other.len())).find(|index| one.get(*index) != other.get(*index));
    parts.map_or(String::new(), |index| {
        format!(" (record {}: {}, and {})", index + 1, named(one.get(index)), named(other.get(index)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run;
    use colo_trace::load_rules;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn a_run_that_is_not_the_same_twice_is_told_with_where_it_parts() {
        let rules = load_rules("v12").unwrap();
        let calls = AtomicU64::new(0);
        // Every call is another run.
        let unsteady = |rules: &NamedRules, seed: u64, options: &Options| {
            let outcome = run(rules, seed + calls.fetch_add(1, Ordering::Relaxed), options);
            Outcome { seed, ..outcome }
        };
        let check = |seed| checked(&rules, seed, &Options::default(), (SELF_CHECK, &unsteady));
        assert!(check(63).is_ok() && check(65).is_ok());
        let told = check(64).unwrap_err().to_string();
        assert!(
            told.starts_with("seed 64 is not one run: its hash is ") && told.contains("(record "),
            "{told}"
        );
    }

    #[test]
    fn what_is_steady_is_not_minded_and_zero_is_off() {
        let rules = load_rules("v12").unwrap();
        let calls = AtomicU64::new(0);
        let counted = |rules: &NamedRules, seed: u64, options: &Options| {
            calls.fetch_add(1, Ordering::Relaxed);
            run(rules, seed, options)
        };
        for every in [SELF_CHECK, NonZeroU64::new(1), None] {
            for seed in 0..4 {
                assert!(checked(&rules, seed, &Options::default(), (every, &counted)).is_ok());
            }
        }
        assert_eq!(calls.load(Ordering::Relaxed), 5 + 8 + 4);
    }
}
