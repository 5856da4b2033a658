//! What others got wrong about runs without an end, each as a graph small enough to be judged by eye.

mod toy;

use colo_model::checker::{Fairness, Finding};
use toy::{PLAY, REST, Toy, WORK, always_eventually, eventually_always, leads_to, states};

fn nothing() -> Fairness {
    Fairness::none()
}

#[test]
fn a_run_may_stop_where_nobody_is_fair() {
    let toy = Toy::new(&[(0, 1, WORK)]);
    let finding = leads_to(&toy, &[0], &[1], nothing());
    assert_eq!(states(&toy, &finding), (vec![0], vec![]));
    assert_eq!(leads_to(&toy, &[0], &[1], nothing().weak(WORK)), Finding::Holds);
}

#[test]
fn a_run_stops_where_nothing_can_happen_however_fair_everybody_is() {
    let toy = Toy::new(&[(0, 1, WORK), (0, 2, WORK)]);
    let finding = leads_to(&toy, &[0], &[1], nothing().strong(WORK).strong(PLAY));
    assert_eq!(states(&toy, &finding), (vec![0, 2], vec![]));
}

#[test]
fn a_run_does_not_stop_where_a_fair_class_can_go_on_though_others_stop() {
    // Nobody has to play, so the run stops in 1; it does not stop in 0.
    let toy = Toy::new(&[(0, 1, WORK), (1, 2, PLAY)]);
    let finding = leads_to(&toy, &[0], &[2], nothing().weak(WORK));
    assert_eq!(states(&toy, &finding), (vec![0, 1], vec![]));
}

#[test]
fn what_is_paid_at_once_is_paid() {
    let toy = Toy::new(&[(0, 1, WORK), (1, 0, WORK)]);
    assert_eq!(leads_to(&toy, &[0], &[0], nothing()), Finding::Holds);
    assert_eq!(leads_to(&toy, &[0, 1], &[0, 1], nothing()), Finding::Holds);
}

#[test]
fn a_step_that_changes_nothing_is_no_progress() {
    // Work in 0 and 1 leaves the state as it is: to take it again and again is not to have worked.
    let toy = Toy::new(&[(0, 0, WORK), (0, 1, PLAY), (1, 0, PLAY), (0, 2, WORK), (1, 3, WORK)]);
    assert_eq!(leads_to(&toy, &[0], &[2, 3], nothing().weak(WORK)), Finding::Holds);
}

#[test]
fn a_step_that_changes_nothing_enables_nothing() {
    // Work is all that can be done in 0, and it changes nothing: the run may stop, and never be unfair.
    let toy = Toy::new(&[(0, 0, WORK)]);
    let finding = leads_to(&toy, &[0], &[], nothing().strong(WORK));
    assert_eq!(states(&toy, &finding), (vec![0], vec![]));
}

#[test]
fn enabled_means_in_the_whole_graph() {
    // Between 0 and 1 only play is seen; the work that leads out of both is what fairness is about.
    let toy = Toy::new(&[(0, 1, PLAY), (1, 0, PLAY), (0, 2, WORK), (1, 2, WORK)]);
    assert_eq!(leads_to(&toy, &[0], &[2], nothing().weak(WORK)), Finding::Holds);
    let finding = leads_to(&toy, &[0], &[2], nothing().weak(PLAY));
    assert_eq!(states(&toy, &finding), (vec![0], vec![1, 0]));
}

#[test]
fn fairness_is_a_matter_of_the_component_not_of_the_graph() {
    // Work is disabled in 2 and taken from 2 to 3, but the run that stays in 0 and 1 sees neither.
    let toy = Toy::new(&[(0, 1, PLAY), (1, 0, PLAY), (0, 2, WORK), (1, 2, WORK), (2, 3, WORK), (3, 4, PLAY)]);
    assert_eq!(leads_to(&toy, &[0], &[2], nothing().weak(WORK).weak(PLAY)), Finding::Holds);
    // A component of which work is part is fair by that, and by no state alone.
    let toy = Toy::new(&[(0, 1, WORK), (1, 0, WORK), (0, 2, PLAY)]);
    let finding = leads_to(&toy, &[0], &[2], nothing().weak(WORK));
    assert_eq!(states(&toy, &finding).1.len(), 2);
}

#[test]
fn strong_fairness_asks_for_what_is_enabled_now_and_then() {
    // In 0 the work can be done, in 1 it cannot.
    let toy = Toy::new(&[(0, 1, PLAY), (1, 0, PLAY), (0, 2, WORK)]);
    let fairness = nothing().weak(PLAY);
    let finding = leads_to(&toy, &[0], &[2], fairness.weak(WORK));
    assert_eq!(states(&toy, &finding), (vec![0], vec![1, 0]));
    assert_eq!(leads_to(&toy, &[0], &[2], fairness.strong(WORK)), Finding::Holds);
}

#[test]
fn strong_fairness_leaves_a_smaller_cycle_that_never_enables() {
    // 0, 1, 2 are one component; only the part 1, 2 never enables work.
    let toy = Toy::new(&[(0, 1, PLAY), (1, 0, PLAY), (1, 2, PLAY), (2, 1, PLAY), (0, 3, WORK)]);
    let finding = leads_to(&toy, &[0], &[3], nothing().strong(WORK).weak(PLAY));
    assert_eq!(states(&toy, &finding), (vec![0, 1], vec![2, 1]));
}

#[test]
fn strong_fairness_is_taken_apart_again_and_again() {
    // Without 0, which enables work, 1 to 3 fall apart; 2 and 3 enable rest now and then, and it leads out.
    let toy = Toy::new(&[
        (0, 1, PLAY),
        (1, 2, PLAY),
        (2, 3, PLAY),
        (3, 2, PLAY),
        (3, 0, PLAY),
        (0, 9, WORK),
        (2, 9, REST),
        (3, 1, PLAY),
    ]);
    let fairness = nothing().strong(WORK).weak(PLAY);
    let finding = leads_to(&toy, &[0], &[9], fairness);
    assert_eq!(states(&toy, &finding).1.len(), 2);
    assert_eq!(leads_to(&toy, &[0], &[9], fairness.strong(REST)), Finding::Holds);
}

#[test]
fn a_cycle_is_shown_and_not_its_whole_component() {
    // A ring of a hundred states with a chord: the run that avoids 1,000 needs the two states of the chord only.
    let ring = (0..100).map(|state| (state, (state + 1) % 100, PLAY));
    let toy = Toy::new(&ring.chain([(50, 49, PLAY), (0, 1000, WORK)]).collect::<Vec<_>>());
    let finding = leads_to(&toy, &[0], &[1000], nothing().weak(PLAY).weak(WORK));
    let (stem, cycle) = states(&toy, &finding);
    assert_eq!((stem.len() - 1, cycle.len()), (49, 2));
}

#[test]
fn each_assumption_has_its_witness_in_the_cycle() {
    // Work, play and rest are each enabled everywhere in the triangle or taken in it.
    let toy = Toy::new(&[(0, 1, WORK), (1, 2, PLAY), (2, 0, REST), (1, 0, REST), (0, 3, PLAY)]);
    let all = nothing().strong(WORK).strong(PLAY).strong(REST);
    let finding = leads_to(&toy, &[0], &[3], all);
    assert_eq!(states(&toy, &finding), (vec![0], vec![1, 2, 0]));
}

#[test]
fn the_stem_is_the_shortest_to_where_something_is_owed_and_on() {
    // From 5 something is owed; it is reached in one step, too, from where the way on is longer.
    let toy = Toy::new(&[(0, 1, PLAY), (1, 5, PLAY), (0, 5, PLAY), (5, 6, PLAY), (6, 7, WORK), (6, 8, WORK)]);
    let finding = leads_to(&toy, &[5], &[7], nothing().weak(WORK).weak(PLAY));
    assert_eq!(states(&toy, &finding), (vec![0, 5, 6, 8], vec![]));
    let Finding::BrokenForEver(lasso) = finding else { unreachable!() };
    assert_eq!(lasso.owed_after, 1);
}

#[test]
fn in_the_end_always_is_more_than_again_and_again() {
    let toy = Toy::new(&[(0, 1, PLAY), (1, 0, PLAY), (1, 2, WORK)]);
    let fairness = nothing().weak(PLAY);
    assert_eq!(always_eventually(&toy, &[1, 2], fairness), Finding::Holds);
    let finding = eventually_always(&toy, &[1, 2], fairness);
    assert_eq!(states(&toy, &finding), (vec![0], vec![1, 0]));
    assert_eq!(eventually_always(&toy, &[2], fairness.strong(WORK)), Finding::Holds);
}

#[test]
fn what_does_not_hold_at_the_end_does_not_hold_always() {
    let toy = Toy::new(&[(0, 1, WORK)]);
    let finding = eventually_always(&toy, &[0], nothing().weak(WORK));
    assert_eq!(states(&toy, &finding), (vec![0, 1], vec![]));
    assert_eq!(eventually_always(&toy, &[1], nothing().weak(WORK)), Finding::Holds);
}

#[test]
fn a_run_that_leaves_the_boundary_is_neither_held_against_a_model_nor_forgotten() {
    let toy = Toy { boundary: Some(2), ..Toy::new(&[(0, 1, WORK), (1, 2, WORK), (0, 0, PLAY)]) };
    // In 1 work is enabled, though where it leads is not known: the run does not stop there.
    assert_eq!(leads_to(&toy, &[0], &[7], nothing().weak(WORK)), Finding::Undecided);
    let finding = leads_to(&toy, &[0], &[7], nothing().weak(PLAY));
    assert_eq!(states(&toy, &finding), (vec![0], vec![]));
}

#[test]
fn a_run_that_begins_beyond_the_boundary_is_not_forgotten() {
    let toy = Toy { initials: vec![0, 5], boundary: Some(3), ..Toy::new(&[(0, 1, WORK), (5, 6, WORK)]) };
    assert_eq!(leads_to(&toy, &[0], &[1], nothing().weak(WORK)), Finding::Undecided);
}
