//! A check of one variant of the protocol: explore the pair, judge every property, see that nothing was vacuous.

use crate::action::Action;
use crate::bounds::{Bounds, MAX_CHECKPOINTS, Scope};
use crate::checker::search::{Limits, Outcome, Search, search};
use crate::checker::{Explored, Finding, Judged, Refusal, Specification, explore_covering};
use crate::goals::Goal;
use crate::liveness::add_claims;
use crate::pair::Pair;
use crate::report::{LivenessReport, PartReport, PropertyReport, ScopeReport, TransitionReport, Verdict};
use crate::tally::Tally;
use colo_protocol::{Bug, Excuse, Liveness, PRESETS, Property, Rules, Transition, excuses};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, Instant};

/// The result of a check.
#[derive(Clone, Debug)]
pub struct Check {
    /// The rules.
    pub rules: Rules,
    /// What was explored.
    pub scopes: Vec<ScopeReport>,
    /// Each safety property.
    pub properties: Vec<PropertyReport>,
    /// Each liveness property; none where checkpoints were counted, or one safety property was looked for.
    pub liveness: Vec<LivenessReport>,
    /// States generated, with repetitions.
    pub generated: u64,
    /// Different states.
    pub distinct: u64,
    /// Steps between states.
    pub transitions: u64,
    /// Number of states on the longest shortest path.
    pub depth: usize,
    /// Memory per distinct state, bytes.
    pub bytes_per_state: usize,
    /// How often each transition was taken.
    pub(crate) taken: BTreeMap<Transition, u64>,
    /// What should have been seen.
    pub(crate) required: BTreeSet<Goal>,
    /// What has been seen of what could be required.
    pub(crate) reached: BTreeSet<Goal>,
    /// The names of what need not have been seen.
    accepted: BTreeSet<String>,
    /// Whether everything within the bounds was explored.
    pub complete: bool,
    /// How long it took.
    pub elapsed: Duration,
}

impl Check {
    /// The verdict on the whole: what is claimed, whether it was fully explored, and whether that says anything.
    pub fn verdict(&self) -> Verdict {
        let safety = self.properties.iter().map(|report| (report.claimed, report.verdict));
        let liveness = self.liveness.iter().map(|report| (report.claimed, report.verdict));
        let violated =
            safety.chain(liveness).any(|(claimed, verdict)| claimed && verdict == Verdict::Violated);
        match (violated, self.complete && self.is_meaningful()) {
            (true, _) => Verdict::Violated,
            (false, true) => Verdict::Holds,
            (false, false) => Verdict::Incomplete,
        }
    }

    /// Whether everything was seen that should have been, and nothing that a preset says cannot be.
    pub fn is_meaningful(&self) -> bool {
        self.never_fired().is_empty() && self.stale().next().is_none()
    }

    /// Holds a liveness property against the rules, whether or not they claim it.
    pub fn claim(&mut self, property: Liveness) {
        self.liveness
            .iter_mut()
            .filter(|report| report.property == property)
            .for_each(|report| report.claimed = true);
    }

    /// What should have been seen.
    pub const fn goals(&self) -> &BTreeSet<Goal> {
        &self.required
    }

    /// What should have been seen and was not, but for what is accepted. Nothing, in a complete check that means
    /// something.
    pub fn never_fired(&self) -> Vec<Goal> {
        self.unseen().filter(|goal| !self.accepts(*goal)).collect()
    }

    /// What should have been seen and was not.
    pub fn unseen(&self) -> impl Iterator<Item = Goal> {
        self.required.difference(&self.reached).copied()
    }

    /// Accepts that what has this name, a goal or a property, is never seen.
    pub fn accept(&mut self, name: &str) {
        self.accepted.insert(name.to_owned());
    }

    /// Whether a goal need not have been seen.
    pub fn accepts(&self, goal: Goal) -> bool {
        let accepted = |name: &String| goal.is_called(name);
        self.excuse(goal).is_some() || self.accepted.iter().any(accepted)
    }

    /// Why a preset says that a goal is never seen, if one does.
    pub fn excuse(&self, goal: Goal) -> Option<Excuse> {
        excuses(&self.rules).find(|excuse| goal.is_called(excuse.name))
    }

    /// What the preset that is checked says is never seen, and was.
    pub fn stale(&self) -> impl Iterator<Item = Excuse> {
        let is_preset = PRESETS.iter().any(|preset| preset.rules == self.rules);
        let own = excuses(&self.rules).filter(move |_| is_preset);
        own.filter(|excuse| self.reached.iter().any(|goal| goal.is_called(excuse.name)))
    }

    /// The properties that hold because there never was anything that they speak of.
    pub fn vacuous(&self) -> impl Iterator<Item = &'static str> {
        let safety = self.properties.iter().filter(|report| report.is_vacuous());
        let liveness = self.liveness.iter().filter(|report| report.is_vacuous());
        let liveness = liveness.map(|report| report.property.name());
        safety.map(|report| report.property.name()).chain(liveness)
    }

    /// Every transition that was taken, or should have been.
    pub fn coverage(&self) -> Vec<TransitionReport> {
        let required = self.required.iter().filter_map(|goal| match goal {
            Goal::Transition(transition) => Some(*transition),
            _ => None,
        });
        let required: BTreeSet<Transition> = required.collect();
        let report = |transition: &Transition| TransitionReport {
            transition: *transition,
            times: self.taken.get(transition).copied().unwrap_or_default(),
            required: required.contains(transition),
        };
        let all: BTreeSet<&Transition> = required.iter().chain(self.taken.keys()).collect();
        all.into_iter().map(report).collect()
    }

    /// The length of what breaks a property, by its name: of a run without an end, with its cycle once.
    pub fn length_of(&self, property: &str) -> Option<usize> {
        let safety = self.properties.iter().find(|report| report.property.name() == property);
        let path = safety.and_then(|report| report.counterexample.as_ref()).map(Vec::len);
        let liveness = self.liveness.iter().find(|report| report.property.name() == property);
        let lasso = liveness.and_then(|report| report.lasso.as_ref());
        path.or_else(|| lasso.map(|lasso| lasso.stem.len() + lasso.cycle.len()))
    }

    /// The probability that two different states were taken for one: distinct^2 / 2^65.
    pub fn collision_probability(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "an estimate")]
        let distinct = self.distinct as f64;
        distinct * distinct / 2f64.powi(65)
    }
}

/// Explores the pair under `rules` within the bounds of each scope in turn, and judges every property; a search until
/// one safety property is broken judges no other kind.
///
/// # Panics
///
/// If there is no scope, or one has more than [`MAX_CHECKPOINTS`] checkpoints and counts them.
pub fn check_scopes(rules: &Rules, scopes: &[Scope], limits: &Limits) -> Check {
    let checks = scopes.iter().map(|scope| check_scope(rules, scope, limits));
    let Some(mut check) = checks.reduce(Check::and) else { panic!("a check of nothing") };
    // Which transitions narrower bounds exclude cannot be told without exploring them: there nobody asks.
    if scopes != Scope::of(rules) {
        check.required.retain(|goal| !goal.is_transition());
    }
    check
}

/// Looks for what a known bug is named for, in the scope that is said to be the first to show it, and stops there.
pub fn find_bug(bug: &Bug, threads: usize) -> Check {
    let limits = Limits { threads, ..Limits::default() };
    let scopes = Scope::usual(&bug.rules);
    let Some(property) = bug.stalls else {
        let until = bug.breaks.first().map(|property| property.name());
        return check_scopes(&bug.rules, &scopes[..1], &Limits { until, ..limits });
    };
    let shows = |check: &Check| {
        let mut reports = check.liveness.iter();
        reports.any(|report| report.property == property && report.verdict == Verdict::Violated)
    };
    // The smallest first.
    let mut checks = scopes.iter().rev().map(|scope| check_scope(&bug.rules, scope, &limits));
    let first = checks.next();
    let Some(mut found) = first else { unreachable!("rules have scopes") };
    while !shows(&found) {
        let Some(check) = checks.next() else { break };
        found = check;
    }
    found
}

/// The same within one scope.
pub fn check(rules: &Rules, bounds: &Bounds, limits: &Limits) -> Check {
    check_scopes(rules, &[Scope { name: "as asked for", bounds: *bounds }], limits)
}

fn check_scope(rules: &Rules, scope: &Scope, limits: &Limits) -> Check {
    let bounds = scope.bounds;
    let countable = bounds.is_unbounded() || bounds.checkpoints <= MAX_CHECKPOINTS;
    assert!(countable, "{} checkpoints", bounds.checkpoints);
    let pair = Pair { rules: *rules, bounds };
    match limits.until {
        Some(_) => search_for_one(&pair, scope, limits),
        None => judge_all(&pair, scope, limits)
            .unwrap_or_else(|refusal| unreachable!("the pair's own specification: {refusal}")),
    }
}

/// Looks for one safety property until it is broken: no graph is kept.
fn search_for_one(pair: &Pair, scope: &Scope, limits: &Limits) -> Check {
    let start = Instant::now();
    let found: Search<Action, Tally> = search(pair, limits);
    let tally = &found.coverage;
    let scope_report = ScopeReport {
        name: scope.name,
        bounds: scope.bounds,
        distinct: found.distinct,
        transitions: found.transitions,
        complete: found.complete,
        elapsed: start.elapsed(),
    };
    let properties = Property::ALL.into_iter().zip(&found.properties).map(|(property, (_, outcome))| {
        let path = match outcome {
            Outcome::Violated(path) => Some(path.clone()),
            _ => None,
        };
        safety_report(pair, property, path, found.complete, tally)
    });
    Check {
        rules: pair.rules,
        scopes: vec![scope_report],
        properties: properties.collect(),
        liveness: Vec::new(),
        taken: tally.transitions(),
        required: required(pair, &[]),
        reached: tally.reached().collect(),
        accepted: BTreeSet::new(),
        generated: found.generated,
        distinct: found.distinct,
        transitions: found.transitions,
        depth: found.depth,
        bytes_per_state: found.bytes_per_state,
        complete: found.complete,
        elapsed: scope_report.elapsed,
    }
}

/// Builds the graph of all states, and judges safety and liveness in it.
fn judge_all(pair: &Pair, scope: &Scope, limits: &Limits) -> Result<Check, Refusal> {
    let start = Instant::now();
    let mut specification = Specification::<Pair>::new();
    specification.include_properties_of(pair)?;
    // Where checkpoints are counted they come to an end, and so does what waits for one: nothing is said of progress.
    let judged: &[Liveness] = if pair.bounds.is_unbounded() { &Liveness::ALL } else { &[] };
    let claims: Vec<Claims> =
        judged.iter().map(|property| Claims::add(&mut specification, &pair.rules, *property)).collect();
    let extent = limits.extent();
    let (explored, tally): (Explored<'_, Pair>, Tally) = explore_covering(pair, &specification, &extent)?;
    let figures = *explored.figures();
    let report = explored.judge(&extent);
    let decided = report.properties.iter().all(|judged| judged.finding != Finding::Undecided);
    let complete = figures.complete && decided;
    let scope_report = ScopeReport {
        name: scope.name,
        bounds: scope.bounds,
        distinct: figures.distinct,
        transitions: figures.transitions,
        complete,
        elapsed: start.elapsed(),
    };
    let safety = Property::ALL.into_iter().zip(&report.properties).map(|(property, judged)| {
        let path = match &judged.finding {
            Finding::Broken(path) => Some(path.actions.clone()),
            _ => None,
        };
        safety_report(pair, property, path, complete, &tally)
    });
    let required = required(pair, judged);
    let liveness: Vec<_> = claims.iter().map(|it| it.report(pair, &required, &report.properties)).collect();
    Ok(Check {
        rules: pair.rules,
        scopes: vec![scope_report],
        properties: safety.collect(),
        taken: tally.transitions(),
        required,
        reached: tally.reached().chain(liveness.iter().flat_map(called_for)).collect(),
        accepted: BTreeSet::new(),
        liveness,
        generated: figures.generated,
        distinct: figures.distinct,
        transitions: figures.transitions,
        depth: figures.depth,
        bytes_per_state: figures.bytes_per_state,
        complete,
        elapsed: scope_report.elapsed,
    })
}

fn safety_report(
    pair: &Pair,
    property: Property,
    counterexample: Option<Vec<Action>>,
    complete: bool,
    tally: &Tally,
) -> PropertyReport {
    let verdict = match &counterexample {
        Some(_) => Verdict::Violated,
        None if complete => Verdict::Holds,
        None => Verdict::Incomplete,
    };
    let claimed = pair.rules.claims(property, pair.bounds.budgets.wrong_suspicions > 0);
    let occasions = tally.occasions(property);
    PropertyReport { property, verdict, claimed, counterexample, bounds: pair.bounds, occasions }
}

/// What has to be seen within a pair's bounds: progress, if it is judged.
fn required(pair: &Pair, judged: &[Liveness]) -> BTreeSet<Goal> {
    let is_asked = |goal: &Goal| match goal {
        Goal::Call(property, _) => judged.contains(property),
        _ => true,
    };
    Goal::required(&pair.rules, &pair.bounds).into_iter().filter(is_asked).collect()
}

/// What has called for something.
fn called_for(report: &LivenessReport) -> impl Iterator<Item = Goal> {
    let called = report.parts.iter().filter(|part| part.occasions > 0);
    called.map(|part| Goal::Call(report.property, part.name))
}

/// A liveness property, and where its claims are in the specification: one for each part.
struct Claims {
    property: Liveness,
    parts: Vec<&'static str>,
    places: Range<usize>,
}

impl Claims {
    fn add(specification: &mut Specification<Pair>, rules: &Rules, property: Liveness) -> Self {
        let first = specification.properties().len();
        let parts = add_claims(specification, rules, property);
        Self { property, parts, places: first..specification.properties().len() }
    }

    /// A property is as good as the worst of its claims, and is shown by the shortest run that breaks one.
    fn report(&self, pair: &Pair, required: &BTreeSet<Goal>, all: &[Judged<Action>]) -> LivenessReport {
        let (property, judged) = (self.property, &all[self.places.clone()]);
        let lassos = judged.iter().filter_map(|judged| match &judged.finding {
            Finding::BrokenForEver(lasso) => Some(lasso),
            _ => None,
        });
        let lasso = lassos.min_by_key(|lasso| lasso.stem.len() + lasso.cycle.len()).cloned();
        let verdict = match &lasso {
            Some(_) => Verdict::Violated,
            None if judged.iter().all(|judged| judged.finding == Finding::Holds) => Verdict::Holds,
            None => Verdict::Incomplete,
        };
        let parts = self.parts.iter().zip(judged).map(|(name, judged)| PartReport {
            name,
            occasions: judged.occasions,
            required: required.contains(&Goal::Call(property, name)),
        });
        let budgets = &pair.bounds.budgets;
        let silent_links =
            [budgets.stalls, budgets.blackholes, budgets.partitions].iter().any(|some| *some > 0);
        let claimed = pair.rules.claims_liveness(property, silent_links);
        let parts = parts.collect();
        LivenessReport { property, verdict, claimed, lasso, bounds: pair.bounds, parts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::Budgets;

    fn small() -> Check {
        let budgets = Budgets { outputs: 1, crashes: 1, shutdowns: 1, ..Budgets::default() };
        let bounds = Bounds { checkpoints: crate::bounds::UNBOUNDED, budgets };
        check(&Rules::V12, &bounds, &Limits { threads: 2, ..Limits::default() })
    }

    /// Whatever is taken out of what was seen, the check claims nothing any more, and says what is missing; unless
    /// somebody accepts that by its name.
    #[test]
    fn what_is_never_seen_fails_the_check_unless_it_is_accepted() {
        let check = small();
        assert_eq!((check.verdict(), check.never_fired()), (Verdict::Holds, vec![]));
        for goal in check.goals() {
            let mut poorer = check.clone();
            poorer.reached.remove(goal);
            assert_eq!((poorer.verdict(), poorer.never_fired()), (Verdict::Incomplete, vec![*goal]));
            poorer.accept(&goal.to_string());
            assert_eq!(poorer.verdict(), Verdict::Holds, "{goal}");
        }
    }

    #[test]
    fn a_property_is_accepted_with_all_its_parts() {
        let mut check = small();
        let parts = |goal: &Goal| goal.property() == Some(Liveness::Shutdown.name());
        assert_eq!(check.reached.iter().filter(|goal| parts(goal)).count(), 2);
        check.reached.retain(|goal| !parts(goal));
        assert_eq!(check.verdict(), Verdict::Incomplete);
        check.accept("shutdown");
        assert_eq!(check.verdict(), Verdict::Holds);
    }

    /// An excuse that is none any more is a failure, too.
    #[test]
    fn what_is_excused_and_seen_fails_the_check() {
        let mut check = Check { rules: Rules::QEMU, ..small() };
        let [excuse] = excuses(&Rules::QEMU).collect::<Vec<_>>()[..] else { panic!("one excuse") };
        assert!(check.is_meaningful());
        let all = Goal::all(&Rules::QEMU, &[]);
        let Some(goal) = all.into_iter().find(|goal| goal.is_called(excuse.name)) else {
            panic!("{excuse:?}")
        };
        check.required.insert(goal);
        assert!(check.is_meaningful() && check.unseen().eq([goal]));
        check.reached.insert(goal);
        assert_eq!(check.stale().collect::<Vec<_>>(), [excuse]);
        assert!(!check.is_meaningful());
    }
}
