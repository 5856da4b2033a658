//! The check of a specification: explore, judge each property, report.

use crate::checker::extent::Extent;
use crate::checker::graph::Graph;
use crate::checker::lasso::Lasso;
use crate::checker::liveness::find_traps;
use crate::checker::progress::Progress;
use crate::checker::refusal::Refusal;
use crate::checker::report::{Finding, Judged, Report};
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
    let graph = Graph::build(model, specification, extent)?;
    Ok(graph.judge(model, specification, extent))
}

impl Graph {
    /// Judges every property of the specification that the graph was built with. What `extent` says of time counts
    /// here, too: what it leaves no time for is undecided.
    pub fn judge<M>(&self, model: &M, specification: &Specification<M>, extent: &Extent) -> Report<M::Action>
    where
        M: Progress,
        M::State: PartialEq,
        M::Action: Clone + PartialEq,
    {
        let start = Instant::now();
        let properties = specification.properties();
        let mut findings: Vec<_> = properties.iter().map(|it| self.judge_states(model, &it.claim)).collect();
        for (stay, group) in groups(properties) {
            if extent.is_called_off() {
                break;
            }
            let lassos = self.find_lassos(model, &stay, &group);
            for ((number, _), lasso) in group.into_iter().zip(lassos) {
                findings[number] = match lasso {
                    Some(lasso) => {
                        let claim = &properties[number].claim;
                        debug_assert_eq!(verify_lasso(model, specification, claim, &lasso), Ok(()));
                        Finding::BrokenForEver(lasso)
                    }
                    None if self.has_every_run() => Finding::Holds,
                    None => Finding::Undecided,
                };
            }
        }
        let judged = properties.iter().zip(findings).map(|(property, finding)| Judged {
            property: property.clone(),
            finding,
            occasions: self.occasions(&property.claim),
        });
        Report { figures: *self.figures(), properties: judged.collect(), elapsed: start.elapsed() }
    }

    /// What can be said of a claim by looking at states alone.
    fn judge_states<M: Progress>(&self, model: &M, claim: &Claim) -> Finding<M::Action> {
        let complete = self.figures().complete;
        match *claim {
            Claim::Always(predicate) => match self.first(Pattern::without(predicate)) {
                Some(state) => Finding::Broken(self.path(model, state)),
                None if complete => Finding::Holds,
                None => Finding::Undecided,
            },
            Claim::Sometimes(predicate) => match self.first(Pattern::with(predicate)) {
                Some(state) => Finding::Shown(self.path(model, state)),
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
        (0..).zip(self.labels()).find(|(_, labels)| pattern.matches(**labels)).map(|(state, _)| state)
    }

    fn occasions(&self, claim: &Claim) -> u64 {
        let asks = match *claim {
            Claim::LeadsTo { from, .. } => Pattern::with(from),
            Claim::Sometimes(predicate) => Pattern::with(predicate),
            Claim::Always(_) | Claim::EventuallyAlways { .. } | Claim::AlwaysEventually { .. } => {
                Pattern::ANY
            }
        };
        self.labels().iter().filter(|labels| asks.matches(**labels)).count() as u64
    }

    fn find_lassos<M: Progress>(
        &self,
        model: &M,
        stay: &Staying,
        group: &[(usize, Breach)],
    ) -> Vec<Option<Lasso<M::Action>>> {
        let breaches: Vec<Breach> = group.iter().map(|(_, breach)| *breach).collect();
        let (components, traps) = find_traps(self, stay, &breaches);
        traps.into_iter().map(|trap| Some(self.lasso(model, stay, &components, trap?))).collect()
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
