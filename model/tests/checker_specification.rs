//! What a user may say, what is refused because it would mean nothing, and the lighter ways to look at a model.

mod toy;

use colo_model::checker::{
    Claim, Class, Extent, Fairness, Finding, Flaw, Judged, Lasso, Path, Predicate, Refusal, Search,
    Specification, Strength, Walk, check, successors, try_search, verify_lasso, walk,
};
use colo_model::{Limits, checker};
use stateright::{Checker, Model, Property};
use toy::{PLAY, Step, Toy, WORK, among, leads_to};

/// Why a check is refused. A walk is refused for the same reason.
#[allow(clippy::unwrap_used, reason = "a test")]
fn refused(toy: &Toy, specification: &Specification<Toy>) -> Refusal {
    let refusal = check(toy, specification, &Extent::default()).unwrap_err();
    assert_eq!(walk(toy, specification, Walk::new(0)).unwrap_err(), refusal);
    refusal
}

fn toy() -> Toy {
    Toy::new(&[(0, 1, WORK), (1, 2, PLAY), (2, 0, WORK), (1, 1, WORK)])
}

#[test]
fn a_property_is_a_name_a_statement_and_a_claim() {
    let mut specification = Specification::<Toy>::new();
    let small = among(&mut specification, &[0, 1]);
    specification.property("small", "no state is larger than one", Claim::Always(small));
    let report = check(&toy(), &specification, &Extent::default()).unwrap();
    let judged = &report.properties[0];
    assert_eq!(
        (&*judged.property.name, &*judged.property.statement),
        ("small", "no state is larger than one")
    );
    let Finding::Broken(Path { initial: 0, actions }) = &judged.finding else { panic!("{judged:?}") };
    assert_eq!(actions.len(), 2);
}

#[test]
fn the_properties_of_the_model_itself_can_be_taken_over() {
    let mut specification = Specification::new();
    specification.include_properties_of(&toy()).unwrap();
    let report = check(&toy(), &specification, &Extent::default()).unwrap();
    assert_eq!(report.finding("is a state"), Some(&Finding::Holds));
}

#[test]
fn a_property_that_nothing_calls_for_is_said_to_be_vacuous() {
    let mut specification = Specification::<Toy>::new();
    let [from, to, never] = [&[1][..], &[2], &[7]].map(|states| among(&mut specification, states));
    let fairness = Fairness::none().weak(PLAY);
    specification.property("called for", "", Claim::LeadsTo { from, to, fairness });
    specification.property("not called for", "", Claim::LeadsTo { from: never, to, fairness });
    let report = check(&toy(), &specification, &Extent::default()).unwrap();
    assert_eq!(report.properties.iter().map(Judged::is_vacuous).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn what_would_mean_nothing_is_refused() {
    let nothing = Specification::new();
    assert_eq!(refused(&toy(), &nothing), Refusal::NoProperties);

    let mut twice = Specification::new();
    let predicate = among(&mut twice, &[0]);
    twice.property("same", "", Claim::Always(predicate));
    assert_eq!(refused(&Toy { initials: vec![], ..toy() }, &twice), Refusal::NoInitialState);
    twice.property("same", "", Claim::Sometimes(predicate));
    assert_eq!(refused(&toy(), &twice), Refusal::SameName { name: "same".into() });

    let mut unknown = Specification::new();
    unknown.property("of another", "", Claim::Always(predicate));
    assert_eq!(refused(&toy(), &unknown), Refusal::UnknownPredicate { property: "of another".into() });

    let mut unfair = Specification::new();
    let recurs = among(&mut unfair, &[0]);
    let fairness = Fairness::none().weak(Class::new(9));
    unfair.property("fair", "", Claim::AlwaysEventually { recurs, fairness });
    let refusal = Refusal::UnknownClass { property: "fair".into(), class: 9, count: 3 };
    assert_eq!(refused(&toy(), &unfair), refusal);

    let mut crowded = Specification::new();
    let predicates: Vec<Predicate> = (0..65).map(|state| among(&mut crowded, &[state])).collect();
    crowded.property("crowded", "", Claim::Always(predicates[64]));
    assert_eq!(refused(&toy(), &crowded), Refusal::TooManyPredicates { count: 65, most: 64 });
}

#[test]
fn an_action_of_a_class_without_a_name_is_refused() {
    let mut specification = Specification::new();
    let recurs = among(&mut specification, &[0]);
    specification.property("recurs", "", Claim::AlwaysEventually { recurs, fairness: Fairness::none() });
    let toy = Toy::new(&[(0, 1, Class::new(3))]);
    let refusal = check(&toy, &specification, &Extent::default()).unwrap_err();
    assert_eq!(refusal, Refusal::UnnamedClass { class: 3, count: 3 });
}

#[test]
#[should_panic(expected = "64 classes at most")]
fn there_is_no_class_that_no_model_can_name() {
    let _ = Class::new(64);
}

/// A graph with what `stateright` calls `eventually`.
#[derive(Clone)]
struct Eventual(Toy);

impl Model for Eventual {
    type State = u32;
    type Action = Step;

    fn init_states(&self) -> Vec<u32> {
        self.0.init_states()
    }

    fn actions(&self, state: &u32, actions: &mut Vec<Step>) {
        self.0.actions(state, actions);
    }

    fn next_state(&self, state: &u32, step: Step) -> Option<u32> {
        self.0.next_state(state, step)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::eventually("state 9", |_, state| *state == 9),
            // Never seen: with it the search sees everything before it ends.
            Property::sometimes("state 10", |_, state| *state == 10),
        ]
    }
}

/// In the first graph the run goes round and round; in the second it ends in 3, which another way has reached before.
#[test]
fn a_run_that_stateright_misses_is_found() {
    let cycle = Toy::new(&[(0, 1, WORK), (1, 0, WORK), (1, 9, WORK)]);
    let join = Toy::new(&[(0, 9, WORK), (0, 1, WORK), (9, 3, WORK), (1, 2, WORK), (2, 3, WORK)]);
    for toy in [cycle, join] {
        let stateright = Eventual(toy.clone()).checker().spawn_bfs().join();
        assert!(stateright.discovery("state 9").is_none());
        let finding = leads_to(&toy, &[0], &[9], Fairness::none().weak(WORK));
        assert!(matches!(finding, Finding::BrokenForEver(_)), "{finding:?}");
    }
}

#[test]
fn the_search_for_safety_refuses_what_it_cannot_judge() {
    let model = Eventual(toy());
    let search: Result<Search<Step, ()>, Refusal> = try_search(&model, &Limits::default());
    assert_eq!(search.unwrap_err(), Refusal::Eventually { name: "state 9" });
}

#[test]
fn a_lasso_with_a_flaw_is_seen_through() {
    // Play goes round between 0 and 1; work leads out of both.
    let toy = Toy::new(&[(0, 1, PLAY), (1, 0, PLAY), (0, 2, WORK), (1, 2, WORK), (0, 0, WORK)]);
    let mut specification = Specification::new();
    let [from, to] = [&[1][..], &[2]].map(|states| among(&mut specification, states));
    let claim = |fairness| Claim::LeadsTo { from, to, fairness };
    let step = |position, class| Step { position, class };
    let right = Lasso {
        initial: 0,
        stem: vec![step(0, PLAY)],
        owed_after: 1,
        cycle: vec![step(0, PLAY), step(0, PLAY)],
    };
    let verify = |fairness, lasso: &Lasso<Step>| verify_lasso(&toy, &specification, &claim(fairness), lasso);
    let weak = |class| Fairness::none().weak(class);
    assert_eq!(verify(weak(PLAY), &right), Ok(()));
    assert_eq!(verify(weak(WORK), &right), Err(Flaw::Unfair { class: WORK }));

    let stops = Lasso { cycle: vec![], ..right.clone() };
    assert_eq!(verify(Fairness::none(), &stops), Ok(()));
    assert_eq!(verify(weak(PLAY), &stops), Err(Flaw::Unfair { class: PLAY }));
    let idle = Lasso { cycle: vec![step(0, PLAY), step(2, WORK), step(0, PLAY)], ..right.clone() };
    assert_eq!(verify(weak(WORK), &idle), Err(Flaw::Unfair { class: WORK }));

    let open = Lasso { cycle: vec![step(0, PLAY)], ..right.clone() };
    assert_eq!(verify(weak(PLAY), &open), Err(Flaw::NotClosed));
    let early = Lasso { owed_after: 0, ..right.clone() };
    assert_eq!(verify(weak(PLAY), &early), Err(Flaw::NothingOwed { step: 0 }));
    let late = Lasso { owed_after: 2, ..right.clone() };
    assert_eq!(verify(weak(PLAY), &late), Err(Flaw::NothingOwed { step: 2 }));
    let paid = Lasso { stem: vec![step(0, PLAY), step(1, WORK)], cycle: vec![], ..right.clone() };
    assert_eq!(verify(weak(PLAY), &paid), Err(Flaw::Paid { step: 2 }));
    let impossible = Lasso { stem: vec![step(0, WORK)], ..right.clone() };
    assert_eq!(verify(weak(PLAY), &impossible), Err(Flaw::NoSuchStep { step: 1 }));
    let nowhere = Lasso { initial: 1, ..right.clone() };
    assert_eq!(verify(weak(PLAY), &nowhere), Err(Flaw::NoSuchStart));
    assert_eq!(verify_lasso(&toy, &specification, &Claim::Always(from), &right), Err(Flaw::NotAboutRuns));
    let recurs = Claim::EventuallyAlways { holds: to, fairness: weak(PLAY) };
    assert_eq!(verify_lasso(&toy, &specification, &recurs, &right), Ok(()));
}

#[test]
fn strong_fairness_implies_weak_in_whatever_order_they_are_asked_for() {
    let strong = Fairness::none().strong(WORK);
    assert_eq!(strong.weak(WORK), strong);
    assert_eq!(Fairness::none().weak(WORK).strong(WORK), strong);
    let list = [(PLAY, Strength::Weak), (WORK, Strength::Strong)];
    assert_eq!(list.into_iter().collect::<Fairness>(), strong.weak(PLAY));
    assert_eq!(strong.weak(PLAY).classes().collect::<Vec<_>>(), [list[1], list[0]]);
}

#[test]
fn a_walk_is_the_same_for_the_same_seed() {
    let mut specification = Specification::new();
    let small = among(&mut specification, &[0, 1]);
    specification.property("small", "", Claim::Always(small));
    let walked = |seed| walk(&toy(), &specification, Walk::new(seed)).unwrap();
    assert_eq!(walked(7), walked(7));
    assert_eq!(format!("{:?}", walked(7)), format!("{:?}", walked(7)));
    let lengths = |walk: checker::Walked<Step>| walk.broken.map(|(_, path)| path.actions.len());
    let mut different: Vec<_> = (0..20).map(|seed| lengths(walked(seed))).collect();
    different.sort_unstable();
    different.dedup();
    assert!(different.len() > 2, "{different:?}");
}

#[test]
fn a_walk_ends_at_what_it_finds_and_otherwise_takes_all_its_steps() {
    let mut specification = Specification::new();
    let [small, all] = [&[0, 1][..], &[0, 1, 2]].map(|states| among(&mut specification, states));
    specification.property("all", "", Claim::Always(all));
    let walk_of = Walk { seed: 1, steps: 1000, longest: 10 };
    let walked = walk(&toy(), &specification, walk_of).unwrap();
    assert_eq!((walked.steps, walked.beginnings, walked.broken), (1000, 100, None));

    specification.property("small", "", Claim::Always(small));
    let walked = walk(&toy(), &specification, walk_of).unwrap();
    let (property, Path { initial: 0, actions }) = walked.broken.unwrap() else { panic!() };
    assert_eq!(property.name, "small");
    assert_eq!(actions.into_iter().fold(0, |state, step| toy().next(state, step)), 2);
}

#[test]
fn a_walk_with_nothing_to_look_at_or_nowhere_to_go_ends() {
    let mut specification = Specification::new();
    let all = among(&mut specification, &[0]);
    specification.property("again", "", Claim::AlwaysEventually { recurs: all, fairness: Fairness::none() });
    assert_eq!(walk(&toy(), &specification, Walk::new(0)).unwrap_err(), Refusal::NothingAboutStates);
    specification.property("all", "", Claim::Always(all));
    let stuck = walk(&Toy::new(&[]), &specification, Walk { steps: 5, ..Walk::new(0) }).unwrap();
    assert_eq!((stuck.steps, stuck.beginnings), (0, 5));
}

#[test]
fn a_state_is_expanded_on_demand() {
    let mut specification = Specification::<Toy>::new();
    let small = among(&mut specification, &[0, 1]);
    let toy = Toy { boundary: Some(2), ..toy() };
    let found = successors(&toy, &specification, &1);
    let seen =
        found.iter().map(|it| (it.state, it.class, it.changes, it.is_within_boundary, it.labels.has(small)));
    assert_eq!(seen.collect::<Vec<_>>(), [(2, PLAY, true, false, false), (1, WORK, false, true, true)]);
}
