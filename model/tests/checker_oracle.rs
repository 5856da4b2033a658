//! Random small graphs, judged by the engine and by an oracle that has nothing in common with it.
//!
//! The oracle looks at every set of states as the set that a run visits again and again: there is such a run if and
//! only if each state of the set leads to each other within it, the set can be reached, and the definitions of fairness
//! are true of it word for word. No component, no search: reachability is the closure of a relation.

mod toy;

use colo_model::checker::{Claim, Class, Extent, Fairness, Finding, Specification, Strength, check};
use proptest::prelude::*;
use toy::{Toy, among, confirm};

const STATES: u32 = 7;
const CLASSES: u8 = 3;

fn states(toy: &Toy) -> impl Iterator<Item = u32> + Clone {
    (0..).take(toy.edges.len())
}

/// Which states lead to which by edges whose ends `may` be used, by any number of steps.
fn closure(toy: &Toy, may: impl Fn(u32) -> bool) -> Vec<Vec<bool>> {
    let alone = |from| states(toy).map(|to| from == to && may(from)).collect();
    let mut leads: Vec<Vec<bool>> = states(toy).map(alone).collect();
    for (from, edges) in states(toy).zip(&toy.edges) {
        for (to, _) in edges {
            leads[from as usize][*to as usize] |= may(from) && may(*to);
        }
    }
    let count = toy.edges.len();
    for by in 0..count {
        for from in 0..count {
            for to in 0..count {
                leads[from][to] |= leads[from][by] && leads[by][to];
            }
        }
    }
    leads
}

/// Whether a run can visit all of `set` and nothing else again and again, and be fair.
fn is_fair_for_ever(toy: &Toy, set: &[u32], fairness: &[(Class, Strength)]) -> bool {
    let leads = closure(toy, |state| set.contains(&state));
    let connected = set.iter().all(|from| set.iter().all(|to| leads[*from as usize][*to as usize]));
    let moves = |state: u32, class: Class| {
        let steps = toy.edges[state as usize].iter();
        steps.filter(move |(to, of)| *to != state && *of == class).map(|(to, _)| *to)
    };
    let enabled = |state: &u32, class| moves(*state, class).count() > 0;
    let taken = |class| set.iter().any(|state| moves(*state, class).any(|to| set.contains(&to)));
    let fair = |(class, strength): &(Class, Strength)| match strength {
        Strength::Weak => taken(*class) || set.iter().any(|state| !enabled(state, *class)),
        Strength::Strong => taken(*class) || set.iter().all(|state| !enabled(state, *class)),
    };
    connected && fairness.iter().all(fair)
}

/// Whether some fair run begins where `begins`, goes through states of `within` only from then on, and is among
/// `again` again and again.
fn oracle(
    toy: &Toy,
    begins: impl Fn(u32) -> bool,
    within: impl Fn(u32) -> bool,
    again: impl Fn(u32) -> bool,
    fairness: &[(Class, Strength)],
) -> bool {
    let everywhere = closure(toy, |_| true);
    let inside = closure(toy, &within);
    let owed = |state: u32| {
        begins(state) && toy.initials.iter().any(|initial| everywhere[*initial as usize][state as usize])
    };
    let reached = |state: u32| states(toy).any(|from| owed(from) && inside[from as usize][state as usize]);
    (1u32..1 << toy.edges.len()).any(|bits| {
        let set: Vec<u32> = states(toy).filter(|state| bits & (1 << state) != 0).collect();
        set.iter().all(|state| within(*state) && reached(*state))
            && set.iter().any(|state| again(*state))
            && is_fair_for_ever(toy, &set, fairness)
    })
}

fn graphs() -> impl Strategy<Value = Toy> {
    let edge = (0..STATES, 0..STATES, (0..CLASSES).prop_map(Class::new));
    let edges = prop::collection::vec(edge, 0..24);
    (prop::collection::vec(0..STATES, 1..3), edges).prop_map(|(initials, edges)| {
        let last = (STATES - 1, STATES - 1, Class::new(0));
        Toy { initials, ..Toy::new(&[edges, vec![last]].concat()) }
    })
}

fn fairness() -> impl Strategy<Value = Vec<(Class, Strength)>> {
    let strength =
        prop_oneof![1 => Just(None), 2 => Just(Some(Strength::Weak)), 2 => Just(Some(Strength::Strong))];
    prop::collection::vec(strength, usize::from(CLASSES)).prop_map(|strengths| {
        let classes = (0..).map(Class::new).zip(strengths);
        classes.filter_map(|(class, strength)| Some((class, strength?))).collect()
    })
}

fn sets() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(0..STATES, 0..5)
}

/// What the engine says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    Holds,
    Broken,
    Undecided,
}

/// What the engine says of: `p` leads to `q`, in the end always `q`, again and again `q`.
fn judged(toy: &Toy, extent: &Extent, classes: &[(Class, Strength)], p: &[u32], q: &[u32]) -> [Found; 3] {
    let fairness: Fairness = classes.iter().copied().collect();
    let mut specification = Specification::new();
    let [from, to] = [p, q].map(|states| among(&mut specification, states));
    let claims = [
        Claim::LeadsTo { from, to, fairness },
        Claim::EventuallyAlways { holds: to, fairness },
        Claim::AlwaysEventually { recurs: to, fairness },
    ];
    for (name, claim) in ["leads to", "in the end always", "again and again"].into_iter().zip(claims) {
        specification.property(name, "", claim);
    }
    let report = check(toy, &specification, extent).unwrap_or_else(|refusal| panic!("{refusal}"));
    confirm(toy, &specification, &report);
    std::array::from_fn(|number| match report.properties[number].finding {
        Finding::Holds => Found::Holds,
        Finding::BrokenForEver(_) => Found::Broken,
        _ => Found::Undecided,
    })
}

/// What the oracle says of the same.
fn broken(toy: &Toy, classes: &[(Class, Strength)], p: &[u32], q: &[u32]) -> [bool; 3] {
    let (in_p, not_q, any) = (|state| p.contains(&state), |state| !q.contains(&state), |_: u32| true);
    [
        oracle(toy, |state| in_p(state) && not_q(state), not_q, any, classes),
        oracle(toy, any, any, not_q, classes),
        oracle(toy, not_q, not_q, any, classes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_and_the_oracle_agree(
        toy in graphs(), classes in fairness(), p in sets(), q in sets(),
    ) {
        let (found, broken) = (judged(&toy, &Extent::default(), &classes, &p, &q), broken(&toy, &classes, &p, &q));
        let expected = broken.map(|broken| if broken { Found::Broken } else { Found::Holds });
        prop_assert_eq!(found, expected);
    }

    /// Beyond a boundary, or below a depth, nobody knows what happens. What is found broken is broken all the same.
    #[test]
    fn what_was_not_explored_to_the_end_never_holds_and_is_never_wrongly_broken(
        toy in graphs(), classes in fairness(), p in sets(), q in sets(),
        boundary in 1..STATES, depth in 0..3usize,
    ) {
        let broken = broken(&toy, &classes, &p, &q);
        let nearest = toy.initials.iter().copied().min().unwrap_or(0);
        let bounded = Toy { boundary: Some(boundary.max(nearest + 1)), ..toy.clone() };
        let shallow = Extent { max_depth: Some(depth), ..Extent::default() };
        for found in [
            judged(&bounded, &Extent::default(), &classes, &p, &q),
            judged(&toy, &shallow, &classes, &p, &q),
            judged(&bounded, &shallow, &classes, &p, &q),
        ] {
            for (found, broken) in found.into_iter().zip(broken) {
                let is_right = match found {
                    Found::Broken => broken,
                    // Of a graph that was seen to its end after all.
                    Found::Holds => !broken,
                    Found::Undecided => true,
                };
                prop_assert!(is_right, "{:?} {}", found, broken);
            }
        }
    }
}
