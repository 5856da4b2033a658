//! Graphs drawn by hand, as models.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test takes what it needs, and is a test"
)]

use colo_model::checker::{
    Claim, Class, Extent, Fairness, Finding, Lasso, Predicate, Progress, Report, Specification, check,
    verify_lasso,
};
use stateright::{Model, Property};

/// What makes progress.
pub const WORK: Class = Class::new(0);
/// Other things that happen.
pub const PLAY: Class = Class::new(1);
/// Still others.
pub const REST: Class = Class::new(2);

/// A step: the `position`-th from a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    pub position: usize,
    pub class: Class,
}

/// A graph. Its states are numbers.
#[derive(Clone, Default, Debug)]
pub struct Toy {
    pub initials: Vec<u32>,
    /// For each state where its edges lead, and of which class they are.
    pub edges: Vec<Vec<(u32, Class)>>,
    /// States from this one on are beyond the boundary.
    pub boundary: Option<u32>,
}

impl Toy {
    /// A graph that begins in state 0.
    pub fn new(edges: &[(u32, u32, Class)]) -> Self {
        let states = edges.iter().map(|(from, to, _)| from.max(to) + 1).max().unwrap_or(1);
        let mut toy = Self { initials: vec![0], edges: vec![Vec::new(); states as usize], boundary: None };
        for (from, to, class) in edges {
            toy.edges[*from as usize].push((*to, *class));
        }
        toy
    }

    pub fn next(&self, state: u32, step: Step) -> u32 {
        self.edges[state as usize][step.position].0
    }
}

impl Model for Toy {
    type State = u32;
    type Action = Step;

    fn init_states(&self) -> Vec<u32> {
        self.initials.clone()
    }

    fn actions(&self, state: &u32, actions: &mut Vec<Step>) {
        let steps = self.edges[*state as usize].iter().enumerate();
        actions.extend(steps.map(|(position, (_, class))| Step { position, class: *class }));
    }

    fn next_state(&self, state: &u32, step: Step) -> Option<u32> {
        Some(self.next(*state, step))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("is a state", |toy, state| (*state as usize) < toy.edges.len())]
    }

    fn within_boundary(&self, state: &u32) -> bool {
        self.boundary.is_none_or(|boundary| *state < boundary)
    }
}

impl Progress for Toy {
    type View = ();

    fn view(&self, _: &u32) {}

    fn classes(&self) -> &'static [&'static str] {
        &["work", "play", "rest"]
    }

    fn class(&self, step: &Step) -> Class {
        step.class
    }
}

/// The predicate that holds in these states.
pub fn among(specification: &mut Specification<Toy>, states: &[u32]) -> Predicate {
    let states = states.to_vec();
    specification.predicate(format!("among {states:?}"), move |moment| states.contains(moment.state))
}

/// What is found of one claim. A lasso is right in all its steps.
pub fn judge(toy: &Toy, claim: impl Fn(&mut Specification<Toy>) -> Claim) -> Finding<Step> {
    let mut specification = Specification::new();
    let claim = claim(&mut specification);
    specification.property("claim", "what the test claims", claim);
    let report = check(toy, &specification, &Extent::default()).unwrap();
    confirm(toy, &specification, &report);
    report.properties[0].finding.clone()
}

/// Every lasso of a report is right in all its steps.
pub fn confirm(toy: &Toy, specification: &Specification<Toy>, report: &Report<Step>) {
    for judged in &report.properties {
        if let Finding::BrokenForEver(lasso) = &judged.finding {
            assert_eq!(verify_lasso(toy, specification, &judged.property.claim, lasso), Ok(()));
        }
    }
}

/// What is found of: a state among `from` leads to one among `to`.
pub fn leads_to(toy: &Toy, from: &[u32], to: &[u32], fairness: Fairness) -> Finding<Step> {
    judge(toy, |specification| {
        let [from, to] = [from, to].map(|states| among(specification, states));
        Claim::LeadsTo { from, to, fairness }
    })
}

/// What is found of: in the end always among `states`.
pub fn eventually_always(toy: &Toy, states: &[u32], fairness: Fairness) -> Finding<Step> {
    judge(toy, |specification| Claim::EventuallyAlways { holds: among(specification, states), fairness })
}

/// What is found of: again and again among `states`.
pub fn always_eventually(toy: &Toy, states: &[u32], fairness: Fairness) -> Finding<Step> {
    judge(toy, |specification| Claim::AlwaysEventually { recurs: among(specification, states), fairness })
}

/// The states that a lasso goes through: those of the stem, and those of the cycle.
pub fn states(toy: &Toy, finding: &Finding<Step>) -> (Vec<u32>, Vec<u32>) {
    let Finding::BrokenForEver(lasso) = finding else { panic!("not broken by a run: {finding:?}") };
    let Lasso { initial, stem, cycle, .. } = lasso;
    let mut state = toy.initials[*initial];
    let mut go = |steps: &Vec<Step>| {
        let mut states = vec![state];
        for step in steps {
            state = toy.next(state, *step);
            states.push(state);
        }
        states
    };
    (go(stem), go(cycle)[1..].to_vec())
}
