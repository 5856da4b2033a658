//! Large graphs: nothing recurses, nothing depends on the number of threads, and a state takes little memory.

mod toy;

use colo_model::checker::{
    Claim, Class, Extent, Fairness, Finding, Predicate, Progress, Report, Specification, check, explore,
    verify_lasso,
};
use stateright::Model;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use toy::{PLAY, REST, WORK};

/// A long chain whose end leads back to one of its states, or nowhere.
#[derive(Clone, Copy)]
struct Chain {
    length: u32,
    back_to: Option<u32>,
    /// A state from which rest leads out of it all.
    exit: Option<u32>,
}

const OUT: u32 = u32::MAX;

impl Model for Chain {
    type State = u32;
    type Action = Class;

    fn init_states(&self) -> Vec<u32> {
        vec![0]
    }

    fn actions(&self, state: &u32, actions: &mut Vec<Class>) {
        let is_last = state.wrapping_add(1) == self.length;
        let goes_on = *state != OUT && (!is_last || self.back_to.is_some());
        actions.extend(goes_on.then_some(WORK));
        actions.extend((self.exit == Some(*state)).then_some(REST));
    }

    fn next_state(&self, state: &u32, class: Class) -> Option<u32> {
        if class == REST {
            return Some(OUT);
        }
        if *state + 1 == self.length { self.back_to } else { Some(*state + 1) }
    }
}

/// A wide graph without order, the same every time: some twenty thousand states on a level, and cycles everywhere.
#[derive(Clone, Copy)]
struct Thicket {
    states: u32,
}

impl Model for Thicket {
    type State = u32;
    type Action = (u32, Class);

    fn init_states(&self) -> Vec<u32> {
        vec![0, 1]
    }

    fn actions(&self, state: &u32, actions: &mut Vec<(u32, Class)>) {
        let mixed = |salt: u32| (state ^ salt.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b) >> 7;
        let classes = [WORK, PLAY, REST];
        actions
            .extend((1..=4).map(|salt| (mixed(salt) % self.states, classes[mixed(salt + 9) as usize % 3])));
    }

    fn next_state(&self, _: &u32, (target, _): (u32, Class)) -> Option<u32> {
        Some(target)
    }
}

macro_rules! three_classes {
    ($model:ty, $action:ty, $class:expr) => {
        impl Progress for $model {
            type View = ();

            fn view(&self, _: &u32) {}

            fn classes(&self) -> &'static [&'static str] {
                &["work", "play", "rest"]
            }

            fn class(&self, action: &$action) -> Class {
                $class(*action)
            }
        }
    };
}

three_classes!(Chain, Class, |class| class);
three_classes!(Thicket, (u32, Class), |(_, class)| class);

fn multiples<M: Progress<State = u32>>(
    specification: &mut Specification<M>,
    of: u32,
    rest: u32,
) -> Predicate {
    specification.predicate(format!("{rest} of {of}"), move |moment| moment.state % of == rest)
}

#[test]
fn a_chain_of_a_million_states_is_judged_without_recursion() {
    let weak = Fairness::none().weak(WORK);
    for back_to in [None, Some(0), Some(999_990)] {
        let chain = Chain { length: 1_000_000, back_to, exit: None };
        let mut specification = Specification::<Chain>::new();
        let first = specification.predicate("first", |moment| *moment.state == 0);
        let last = specification.predicate("last", |moment| *moment.state == 999_999);
        let never = specification.predicate("never", |_| false);
        specification.property("arrives", "", Claim::LeadsTo { from: first, to: last, fairness: weak });
        specification.property("never ends", "", Claim::LeadsTo { from: first, to: never, fairness: weak });
        let report = check(&chain, &specification, &Extent::default()).unwrap();
        assert_eq!((report.figures.distinct, report.figures.depth), (1_000_000, 1_000_000));
        assert_eq!(report.finding("arrives"), Some(&Finding::Holds));
        let Some(Finding::BrokenForEver(lasso)) = report.finding("never ends") else { panic!() };
        let (stem, cycle) = match back_to {
            None => (999_999, 0),
            Some(0) => (0, 1_000_000),
            Some(_) => (999_990, 10),
        };
        assert_eq!((lasso.stem.len(), lasso.cycle.len()), (stem, cycle));
    }
}

/// Rest is enabled in one state of a million, now and then; without that state there is no cycle left.
#[test]
fn a_component_of_a_million_states_is_taken_apart_without_recursion() {
    let chain = Chain { length: 1_000_000, back_to: Some(0), exit: Some(500_000) };
    let mut specification = Specification::<Chain>::new();
    let out = specification.predicate("out", |moment| *moment.state == OUT);
    let weak = Fairness::none().weak(WORK).weak(REST);
    for (name, fairness) in [("weak", weak), ("strong", weak.strong(REST))] {
        specification.property(name, "", Claim::AlwaysEventually { recurs: out, fairness });
    }
    let report = check(&chain, &specification, &Extent::default()).unwrap();
    let Some(Finding::BrokenForEver(lasso)) = report.finding("weak") else { panic!() };
    assert_eq!(lasso.cycle.len(), 1_000_000);
    assert_eq!(report.finding("strong"), Some(&Finding::Holds));
}

fn thicket() -> (Thicket, Specification<Thicket>) {
    let mut specification = Specification::new();
    let [a, b, c] = [(97, 3), (5, 0), (1009, 5)].map(|(of, rest)| multiples(&mut specification, of, rest));
    let weak = Fairness::none().weak(WORK).weak(PLAY).weak(REST);
    let strong = Fairness::none().strong(WORK).strong(PLAY).strong(REST);
    specification.property("always", "", Claim::Always(a));
    specification.property("sometimes", "", Claim::Sometimes(c));
    for (name, fairness) in [("nobody", Fairness::none()), ("weak", weak), ("strong", strong)] {
        let claims = [
            ("leads to", Claim::LeadsTo { from: a, to: b, fairness }),
            ("also leads to", Claim::LeadsTo { from: c, to: b, fairness }),
            ("in the end", Claim::EventuallyAlways { holds: a, fairness }),
            ("again", Claim::AlwaysEventually { recurs: c, fairness }),
        ];
        for (claim_name, claim) in claims {
            specification.property(format!("{claim_name}, {name} fair"), "", claim);
        }
    }
    (Thicket { states: 150_000 }, specification)
}

fn confirm(model: &Thicket, specification: &Specification<Thicket>, report: &Report<(u32, Class)>) {
    for judged in &report.properties {
        if let Finding::BrokenForEver(lasso) = &judged.finding {
            assert_eq!(verify_lasso(model, specification, &judged.property.claim, lasso), Ok(()));
            assert!(lasso.stem.len() + lasso.cycle.len() < 100, "{} is long", judged.property.name);
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let (model, specification) = thicket();
    let [one, two, three] = [1, 2, 3].map(|threads| {
        let report = check(&model, &specification, &Extent::everything(threads)).unwrap();
        confirm(&model, &specification, &report);
        let figures = report.figures;
        let counts = (figures.generated, figures.distinct, figures.transitions, figures.depth);
        let memory = (figures.bytes_per_state, figures.peak_bytes_per_state);
        (counts, memory, report.properties)
    });
    assert!(one.0.1 > 100_000, "{:?}", one.0);
    assert_eq!(one, two);
    assert_eq!(one, three);
}

#[test]
fn a_state_takes_little_memory() {
    let (model, specification) = thicket();
    let explored = explore(&model, &specification, &Extent::everything(2)).unwrap();
    let figures = explored.figures();
    assert!(figures.bytes_per_state <= 40, "{figures:?}");
    assert!(figures.peak_bytes_per_state <= 80, "{figures:?}");
}

#[test]
fn what_was_not_explored_to_the_end_never_holds() {
    static STOP: AtomicBool = AtomicBool::new(true);
    let chain = Chain { length: 1000, back_to: None, exit: None };
    let mut specification = Specification::<Chain>::new();
    let small = specification.predicate("small", |moment| *moment.state < 50);
    let large = specification.predicate("large", |moment| *moment.state > 900);
    let fairness = Fairness::none().weak(WORK);
    specification.property("always", "", Claim::Always(small));
    specification.property("never", "", Claim::Always(large));
    specification.property("sometimes", "", Claim::Sometimes(large));
    specification.property("leads to", "", Claim::LeadsTo { from: small, to: large, fairness });
    specification.property(
        "leads to, unfair",
        "",
        Claim::LeadsTo { from: small, to: large, fairness: Fairness::none() },
    );
    let past = Instant::now().checked_sub(Duration::from_secs(1)).or(Some(Instant::now()));
    for extent in [
        Extent { max_depth: Some(10), ..Extent::default() },
        Extent { max_memory_bytes: Some(1), ..Extent::default() },
        Extent { deadline: past, ..Extent::default() },
        Extent { stop: Some(&STOP), ..Extent::default() },
    ] {
        let report = check(&chain, &specification, &extent).unwrap();
        assert!(!report.figures.complete);
        assert_eq!(report.finding("always"), Some(&Finding::Undecided));
        assert!(matches!(report.finding("never"), Some(Finding::Broken(_))));
        assert_eq!(report.finding("sometimes"), Some(&Finding::Undecided));
        assert_eq!(report.finding("leads to"), Some(&Finding::Undecided));
    }
    let bounded = Extent { max_depth: Some(10), ..Extent::default() };
    let report = check(&chain, &specification, &bounded).unwrap();
    assert_eq!((report.figures.distinct, report.figures.depth), (11, 11));
    // What was explored is enough to show a run that nobody is fair to.
    assert!(matches!(report.finding("leads to, unfair"), Some(Finding::BrokenForEver(_))));
}
