//! The check of a specification: explore, judge each property, report.

use crate::checker::extent::Extent;
use crate::checker::graph::Graph;
use crate::checker::lasso::Lasso;
use crate::checker::liveness::find_traps;
use crate::checker::progress::Progress;
use crate::checker::refusal::Refusal;
use crate::checker::report::{Figures, Finding, Judged, Report};
use crate::checker::search::Coverage;
use crate::checker::specification::{Breach, Claim, Pattern, Property, Specification, Staying};
use crate::checker::verify::verify_lasso;
use std::hash::Hash;
use std::time::Instant;

/// Explores a model as far as `extent` allows, and judges every property of the specification.
pub fn check<M>(
    model: &M,
    specification: &Specification<M>,
    extent: &Extent,
) -> Result<Report<M::Action>, Refusal>
where
    M: Progress + Sync,
    M::State: Hash + PartialEq + Send + Sync,
    M::Action: Clone + PartialEq,
{
    Ok(explore(model, specification, extent)?.judge(extent))
}

/// Explores a model as far as `extent` allows, and keeps what the specification says of its states.
pub fn explore<'a, M>(
    model: &'a M,
    specification: &'a Specification<M>,
    extent: &Extent,
) -> Result<Explored<'a, M>, Refusal>
where
    M: Progress + Sync,
    M::State: Hash + Send + Sync,
{
    explore_covering::<M, ()>(model, specification, extent).map(|(explored, ())| explored)
}

/// The same, and what is to be collected over all steps besides.
pub fn explore_covering<'a, M, C>(
    model: &'a M,
    specification: &'a Specification<M>,
    extent: &Extent,
) -> Result<(Explored<'a, M>, C), Refusal>
where
    M: Progress + Sync,
    M::State: Hash + Send + Sync,
    C: Coverage<M>,
{
    let (graph, coverage) = Graph::build(model, specification, extent)?;
    Ok((Explored { model, specification, graph }, coverage))
}

/// A model that has been explored.
pub struct Explored<'a, M: Progress> {
    model: &'a M,
    specification: &'a Specification<M>,
    graph: Graph,
}

impl<M: Progress> Explored<'_, M> {
    /// What the exploration took, and what came of it.
    pub fn figures(&self) -> &Figures {
        self.graph.figures()
    }

    /// Judges every property of the specification. What `extent` says of time counts here, too: what it leaves no time
    /// for is undecided.
    pub fn judge(&self, extent: &Extent) -> Report<M::Action>
    where
        M::State: PartialEq,
        M::Action: Clone + PartialEq,
    {
        let start = Instant::now();
        let properties = self.specification.properties();
        let mut findings: Vec<_> = properties.iter().map(|it| self.judge_states(&it.claim)).collect();
        for (stay, group) in groups(properties) {
            if extent.is_called_off() {
                break;
            }
            let lassos = self.find_lassos(&stay, &group);
            for ((number, _), lasso) in group.into_iter().zip(lassos) {
                findings[number] = self.judge_runs(&properties[number].claim, lasso);
            }
        }
        let judged = properties.iter().zip(findings).map(|(property, finding)| Judged {
            property: property.clone(),
            finding,
            occasions: self.occasions(&property.claim),
        });
        Report { figures: *self.figures(), properties: judged.collect(), elapsed: start.elapsed() }
    }

    fn judge_runs(&self, claim: &Claim, lasso: Option<Lasso<M::Action>>) -> Finding<M::Action>
    where
        M::State: PartialEq,
        M::Action: Clone + PartialEq,
    {
        match lasso {
            Some(lasso) => {
                debug_assert_eq!(verify_lasso(self.model, self.specification, claim, &lasso), Ok(()));
                Finding::BrokenForEver(lasso)
            }
            None if self.graph.has_every_run() => Finding::Holds,
            None => Finding::Undecided,
        }
    }

    /// What can be said of a claim by looking at states alone.
    fn judge_states(&self, claim: &Claim) -> Finding<M::Action> {
        let complete = self.figures().complete;
        match *claim {
            Claim::Always(predicate) => match self.first(Pattern::without(predicate)) {
                Some(state) => Finding::Broken(self.graph.path(self.model, state)),
                None if complete => Finding::Holds,
                None => Finding::Undecided,
            },
            Claim::Sometimes(predicate) => match self.first(Pattern::with(predicate)) {
                Some(state) => Finding::Shown(self.graph.path(self.model, state)),
                None if complete => Finding::NeverShown,
                None => Finding::Undecided,
            },
            Claim::LeadsTo { .. } | Claim::EventuallyAlways { .. } | Claim::AlwaysEventually { .. } => {
                Finding::Undecided
            }
        }
    }

    /// The nearest state that matches.
    fn first(&self, pattern: Pattern) -> Option<u32> {
        (0..).zip(self.graph.labels()).find(|(_, labels)| pattern.matches(**labels)).map(|(state, _)| state)
    }

    fn occasions(&self, claim: &Claim) -> u64 {
        let asks = match *claim {
            Claim::LeadsTo { from, .. } => Pattern::with(from),
            Claim::Sometimes(predicate) => Pattern::with(predicate),
            Claim::Always(_) | Claim::EventuallyAlways { .. } | Claim::AlwaysEventually { .. } => {
                Pattern::ANY
            }
        };
        self.graph.labels().iter().filter(|labels| asks.matches(**labels)).count() as u64
    }

    fn find_lassos(&self, stay: &Staying, group: &[(usize, Breach)]) -> Vec<Option<Lasso<M::Action>>> {
        let breaches: Vec<Breach> = group.iter().map(|(_, breach)| *breach).collect();
        let (components, traps) = find_traps(&self.graph, stay, &breaches);
        let lasso = |trap| self.graph.lasso(self.model, stay, &components, trap);
        traps.into_iter().map(|trap| trap.map(lasso)).collect()
    }
}

/// The claims about runs without an end, those together that need the same components.
fn groups(properties: &[Property]) -> Vec<(Staying, Vec<(usize, Breach)>)> {
    let mut groups: Vec<(Staying, Vec<(usize, Breach)>)> = Vec::new();
    for (number, property) in properties.iter().enumerate() {
        let Some(breach) = property.claim.breach() else { continue };
        match groups.iter_mut().find(|(stay, _)| *stay == breach.stay) {
            Some((_, group)) => group.push((number, breach)),
            None => groups.push((breach.stay, vec![(number, breach)])),
        }
    }
    groups
}
