//! Wrong suspicions by the hundred: real pairs under rules with an arbiter, each with a node that lives and that its peer
//! takes for dead. What is judged is that one of the two serves then, never both and never neither.
//!
//! ```text
//!   mod     the ways to have a living node suspected, and the pairs that go through them, some side by side
//!   judge   what one pair came to
//!   tally   what all of them came to, as a table and as JSON
//! ```

mod judge;
mod tally;

use crate::crash_points::crashes;
use crate::report::Failure;
use crate::run::{Unfinished, run_once};
use colo_protocol::{Fencing, NodeName, PRESETS, Preset};
use colo_real::{RunOptions, RunViolation, patience_with_peer};
use colo_trace::{Fault, FaultAction, NamedRules, Plan, Point};
use indicatif::ProgressBar;
use judge::Suspected;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tally::Row;
pub(crate) use tally::Tally;

/// How much longer than its peer's patience a node stands still.
const BEYOND_PATIENCE: Duration = Duration::from_millis(500);

/// Checkpoints of a run in which nobody suspects anybody, though somebody should: it goes on long enough to see that.
pub(crate) const CHECKPOINTS: u64 = 500;

/// That these rules leave it to an arbiter who serves.
pub(crate) fn expect_arbiter(flag: &str, rules: &NamedRules) -> Result<(), Failure> {
    if rules.rules.fencing == Fencing::Arbiter {
        return Ok(());
    }
    let asks = |preset: &&Preset| preset.rules.fencing == Fencing::Arbiter;
    let names: Vec<_> = PRESETS.iter().filter(asks).map(|preset| preset.name).collect();
    let (name, names) = (&rules.name, names.join(", "));
    Err(Failure::Input(format!(
        "{flag}: nobody asks an arbiter under {name}, expected rules with fencing = \"arbiter\", as {names} has it"
    )))
}

/// That these rules have nodes that suspect each other, and an arbiter.
pub(crate) fn expect_suspicions(rules: &NamedRules) -> Result<(), Failure> {
    ways(rules).map(drop)
}

/// The ways in which a node that lives comes to be taken for dead under these rules, each as what goes wrong at a point.
fn ways(rules: &NamedRules) -> Result<Vec<Vec<FaultAction>>, Failure> {
    expect_arbiter("--suspicions", rules)?;
    let patience = patience_with_peer(&rules.rules).ok_or_else(|| {
        Failure::Input(format!(
            "--suspicions: under {} no node takes a silent peer for dead, expected detection = \"timeout\"",
            rules.name
        ))
    })?;
    let for_ms = u32::try_from((patience + BEYOND_PATIENCE).as_millis()).unwrap_or(u32::MAX);
    let [primary, secondary] = NodeName::ALL;
    let suspects = |node| FaultAction::PeerSilent { node };
    Ok(vec![
        vec![FaultAction::Cut],
        vec![FaultAction::Pause { node: primary, for_ms }],
        vec![suspects(primary)],
        vec![FaultAction::Pause { node: secondary, for_ms }],
        vec![suspects(secondary)],
        vec![FaultAction::Stall { for_ms }],
        vec![suspects(primary), suspects(secondary)],
        vec![FaultAction::Partition { node: primary }],
        vec![suspects(secondary), suspects(primary)],
        vec![FaultAction::Partition { node: secondary }],
    ])
}

/// Which way, and at which of the points, comes as the `turn`-th of `turns`: the ways in turn, each at points that are
/// evenly far from each other, and not all at the same.
const fn place_of_turn(turn: usize, turns: usize, ways: usize, points: usize) -> (usize, usize) {
    let (way, round, rounds) = (turn % ways, turn / ways, turns.div_ceil(ways));
    let step = if rounds >= points { round } else { round * points / rounds };
    (way, (step + way * points / ways) % points)
}

/// The ways, and the points at which they are gone: all of a checkpoint of an undisturbed run.
fn ways_and_points(options: &RunOptions) -> Result<(Vec<Vec<FaultAction>>, Vec<Point>), Unfinished> {
    let ways = ways(&options.rules)?;
    let mut points: Vec<_> = crashes(options)?.into_iter().map(|crash| crash.at).collect();
    points.dedup();
    Ok((ways, points))
}

/// So many suspicions, a plan each.
pub(crate) fn plans(options: &RunOptions, suspicions: usize) -> Result<Vec<Plan>, Unfinished> {
    let (ways, points) = ways_and_points(options)?;
    let of_turn = |turn| {
        let (way, point) = place_of_turn(turn, suspicions, ways.len(), points.len());
        plan(&ways[way], points[point])
    };
    Ok((0..suspicions).map(of_turn).collect())
}

/// Runs so many fresh pairs, `jobs` of them side by side, or until somebody asks for what there is.
pub(crate) fn suspect_often(
    options: &RunOptions,
    (suspicions, jobs): (usize, usize),
    (enough, bar): (&AtomicBool, &ProgressBar),
) -> Result<Tally, Unfinished> {
    let (ways, points) = ways_and_points(options)?;
    let begun = Instant::now();
    let rows = Mutex::new(ways.iter().cloned().map(Row::new).collect::<Vec<_>>());
    let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
    let work = || {
        while !enough.load(Ordering::Relaxed) && lock(&failure).is_none() {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            if turn >= suspicions {
                return;
            }
            let (way, point) = place_of_turn(turn, suspicions, ways.len(), points.len());
            match suspect(options, &ways[way], points[point]) {
                Ok(suspected) => lock(&rows)[way].take(points[point], suspected),
                Err(problem) => *lock(&failure) = Some(problem),
            }
            bar.inc(1);
        }
    };
    std::thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(work))));
    bar.finish_and_clear();
    if let Some(problem) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(problem);
    }
    let rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Tally::of(rows, (suspicions, jobs), begun.elapsed()))
}

/// What another thread has panicked over is whole all the same: each change is one.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a fresh pair in which a node is suspected.
fn suspect(options: &RunOptions, actions: &[FaultAction], at: Point) -> Result<Suspected, Unfinished> {
    let options =
        RunOptions { plan: plan(actions, at), checkpoints: CHECKPOINTS, record: true, ..options.clone() };
    match run_once(&options, &mut |_| {}) {
        // Nothing can be seen without an arbiter.
        Ok(outcome) => match &outcome.violation {
            Some(silent @ RunViolation::ArbiterSilent { .. }) => {
                Err(Failure::Environment(silent.to_string()).into())
            }
            _ => Ok(Suspected::of(outcome)),
        },
        Err(Unfinished::Wrong(problem)) => Ok(Suspected::gone_wrong(problem)),
        Err(failure @ Unfinished::Failure(_)) => Err(failure),
    }
}

/// All of it at one point.
fn plan(actions: &[FaultAction], at: Point) -> Plan {
    Plan::new(actions.iter().map(|action| Fault { at, action: *action }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use colo_protocol::Rules;
    use std::collections::BTreeSet;

    fn named(name: &str, rules: Rules) -> NamedRules {
        NamedRules { name: name.to_owned(), rules }
    }

    #[test]
    fn every_way_comes_at_every_point_if_there_are_turns_enough() {
        let (ways, points) = (10, 7);
        let all: BTreeSet<_> = (0..ways * points).map(|turn| place_of_turn(turn, 70, ways, points)).collect();
        assert_eq!(all.len(), ways * points);
    }

    #[test]
    fn few_turns_are_spread_over_the_ways_and_the_points() {
        let places: Vec<_> = (0..10).map(|turn| place_of_turn(turn, 10, 10, 50)).collect();
        assert_eq!(places, (0..10).map(|way| (way, way * 5)).collect::<Vec<_>>());
        let places: Vec<_> = (0..20).map(|turn| place_of_turn(turn, 20, 10, 50)).collect();
        assert_eq!((places[0], places[10], places[19]), ((0, 0), (0, 25), (9, 20)));
    }

    #[test]
    fn whoever_stands_still_does_so_for_longer_than_its_peers_patience() {
        let rules = named("strict", Rules { checkpoint_delay_ms: 40, ..Rules::STRICT });
        let patience = u64::try_from(patience_with_peer(&rules.rules).unwrap().as_millis()).unwrap();
        let lasts: Vec<_> = ways(&rules).unwrap().iter().flatten().map(|action| action.lasts_ms()).collect();
        assert_eq!(lasts.iter().filter(|lasts| **lasts > patience).count(), 3);
        assert!(lasts.iter().all(|lasts| *lasts == 0 || *lasts > patience), "{lasts:?}");
    }

    #[test]
    fn rules_under_which_nobody_asks_or_nobody_suspects_are_refused() {
        for (rules, expected) in [
            (named("v12", Rules::V12), "as strict has it"),
            (
                named("attended", Rules { detection: Rules::V12.detection, ..Rules::STRICT }),
                "expected detection = \"timeout\"",
            ),
        ] {
            let Err(Failure::Input(problem)) = ways(&rules) else { panic!("{}", rules.name) };
            assert!(problem.contains(&rules.name) && problem.ends_with(expected), "{problem}");
        }
    }
}
