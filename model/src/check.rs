//! A check of one variant of the protocol: explore the pair, judge every property, see that nothing was vacuous.

use crate::action::Action;
use crate::bounds::{Bounds, MAX_CHECKPOINTS, Scope};
use crate::checker::search::{Limits, Outcome, Search, search};
use crate::checker::{Explored, Finding, Judged, Lasso, Refusal, Specification, explore_covering};
use crate::goals::{Goal, Goals};
use crate::liveness::add_claims;
use crate::pair::Pair;
use colo_protocol::{Bug, Liveness, Property, Rules};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What a check says of one property.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verdict {
    /// It holds in all that can happen.
    Holds,
    /// It is not broken in what was explored, but not everything was.
    Incomplete,
    /// It is broken.
    Violated,
}

impl Verdict {
    /// The word for it in `--json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Violated => "violated",
            Self::Incomplete => "incomplete",
        }
    }
}

/// One safety property and its verdict.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PropertyReport {
    /// The property.
    pub property: Property,
    /// The verdict.
    pub verdict: Verdict,
    /// Whether the rules claim it under these bounds.
    pub claimed: bool,
    /// The shortest way to break it, if it is broken.
    pub counterexample: Option<Vec<Action>>,
    /// The bounds within which it was broken.
    pub bounds: Bounds,
}

/// One liveness property and its verdict.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LivenessReport {
    /// The property.
    pub property: Liveness,
    /// The verdict.
    pub verdict: Verdict,
    /// Whether the rules claim it.
    pub claimed: bool,
    /// A run without an end that breaks it, if it is broken.
    pub lasso: Option<Lasso<Action>>,
    /// The bounds within which it was broken.
    pub bounds: Bounds,
    /// In how many states something was called for.
    pub occasions: u64,
}

/// What one scope of a check took.
#[derive(Clone, Copy, Debug)]
pub struct ScopeReport {
    /// What it is for.
    pub name: &'static str,
    /// Its bounds.
    pub bounds: Bounds,
    /// Different states.
    pub distinct: u64,
    /// Steps between states.
    pub transitions: u64,
    /// Whether everything within the bounds was explored.
    pub complete: bool,
    /// How long it took.
    pub elapsed: Duration,
}

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
    /// What should have been seen.
    required: BTreeSet<Goal>,
    /// What has been seen of what could be required.
    reached: BTreeSet<Goal>,
    /// Whether everything within the bounds was explored.
    pub complete: bool,
    /// How long it took.
    pub elapsed: Duration,
}

impl Check {
    /// The verdict on the whole: what is claimed, and whether it was fully explored.
    pub fn verdict(&self) -> Verdict {
        let safety = self.properties.iter().map(|report| (report.claimed, report.verdict));
        let liveness = self.liveness.iter().map(|report| (report.claimed, report.verdict));
        let violated =
            safety.chain(liveness).any(|(claimed, verdict)| claimed && verdict == Verdict::Violated);
        match (violated, self.complete) {
            (true, _) => Verdict::Violated,
            (false, true) => Verdict::Holds,
            (false, false) => Verdict::Incomplete,
        }
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

    /// What should have been seen and was not. Nothing, in a complete check that means something.
    pub fn never_fired(&self) -> Vec<Goal> {
        self.required.difference(&self.reached).copied().collect()
    }

    /// The liveness properties for which nothing ever called: that they hold says nothing.
    pub fn vacuous(&self) -> impl Iterator<Item = Liveness> {
        self.liveness.iter().filter(|report| report.occasions == 0).map(|report| report.property)
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

    /// What two scopes have shown together. Both are of the same rules.
    fn and(mut self, other: Self) -> Self {
        self.scopes.extend(other.scopes);
        for (report, other) in self.properties.iter_mut().zip(other.properties) {
            report.claimed &= other.claimed;
            if other.verdict > report.verdict {
                *report = PropertyReport { claimed: report.claimed, ..other };
            }
        }
        for (report, other) in self.liveness.iter_mut().zip(other.liveness) {
            let occasions = report.occasions + other.occasions;
            // What is claimed and broken counts for more than what is broken and not claimed.
            let weight = |report: &LivenessReport| (report.claimed, report.verdict);
            let (ours, theirs) = (weight(report), weight(&other));
            let worse = match (ours.1, theirs.1) {
                (Verdict::Violated, Verdict::Violated) => theirs > ours,
                (one, another) => another > one,
            };
            if worse {
                *report = other;
            }
            report.occasions = occasions;
        }
        self.required.extend(other.required);
        self.reached.extend(other.reached);
        self.generated += other.generated;
        self.distinct += other.distinct;
        self.transitions += other.transitions;
        self.depth = self.depth.max(other.depth);
        self.bytes_per_state = self.bytes_per_state.max(other.bytes_per_state);
        self.complete &= other.complete;
        self.elapsed += other.elapsed;
        self
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
    match checks.reduce(Check::and) {
        Some(check) => check,
        None => panic!("a check of nothing"),
    }
}

/// Looks for what a known bug is named for, in the scope that is said to be the first to show it, and stops there.
pub fn find_bug(bug: &Bug, threads: usize) -> Check {
    let limits = Limits { threads, ..Limits::default() };
    let scopes = Scope::of(&bug.rules);
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
    check_scope(rules, &Scope { name: "as asked for", bounds: *bounds }, limits)
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
    let found: Search<Action, Goals> = search(pair, limits);
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
        safety_report(pair, property, path, found.complete)
    });
    Check {
        rules: pair.rules,
        scopes: vec![scope_report],
        properties: properties.collect(),
        liveness: Vec::new(),
        required: Goal::required(&pair.rules, &pair.bounds).collect(),
        reached: found.coverage.into_reached(),
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
    for property in judged {
        add_claims(&mut specification, &pair.rules, *property);
    }
    let extent = limits.extent();
    let (explored, goals): (Explored<'_, Pair>, Goals) = explore_covering(pair, &specification, &extent)?;
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
    let (safety, liveness) = report.properties.split_at(Property::ALL.len());
    let safety = Property::ALL.into_iter().zip(safety).map(|(property, judged)| {
        let path = match &judged.finding {
            Finding::Broken(path) => Some(path.actions.clone()),
            _ => None,
        };
        safety_report(pair, property, path, complete)
    });
    Ok(Check {
        rules: pair.rules,
        scopes: vec![scope_report],
        properties: safety.collect(),
        liveness: judged.iter().map(|property| liveness_report(pair, *property, liveness)).collect(),
        required: Goal::required(&pair.rules, &pair.bounds).collect(),
        reached: goals.into_reached(),
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
) -> PropertyReport {
    let verdict = match &counterexample {
        Some(_) => Verdict::Violated,
        None if complete => Verdict::Holds,
        None => Verdict::Incomplete,
    };
    let claimed = pair.rules.claims(property, pair.bounds.budgets.wrong_suspicions > 0);
    PropertyReport { property, verdict, claimed, counterexample, bounds: pair.bounds }
}

/// A property is as good as the worst of its claims, and is shown by the shortest run that breaks one.
fn liveness_report(pair: &Pair, property: Liveness, judged: &[Judged<Action>]) -> LivenessReport {
    let is_of_it = |judged: &&Judged<Action>| judged.property.name.starts_with(property.name());
    let claims: Vec<_> = judged.iter().filter(is_of_it).collect();
    let lassos = claims.iter().filter_map(|judged| match &judged.finding {
        Finding::BrokenForEver(lasso) => Some(lasso),
        _ => None,
    });
    let lasso = lassos.min_by_key(|lasso| lasso.stem.len() + lasso.cycle.len()).cloned();
    let verdict = match &lasso {
        Some(_) => Verdict::Violated,
        None if claims.iter().all(|judged| judged.finding == Finding::Holds) => Verdict::Holds,
        None => Verdict::Incomplete,
    };
    let occasions = claims.iter().map(|judged| judged.occasions).sum();
    let budgets = &pair.bounds.budgets;
    let silent_links = budgets.stalls + budgets.blackholes + budgets.partitions > 0;
    let claimed = pair.rules.claims_liveness(property, silent_links);
    LivenessReport { property, verdict, claimed, lasso, bounds: pair.bounds, occasions }
}
