//! The model's steps are taken without allocation: a check takes tens of millions of them.
#![expect(clippy::unwrap_used, reason = "a test may")]

use allocation_counter::measure;
use colo_model::{Action, Bounds, Packed, Pair};
use colo_protocol::{PRESETS, Rules};
use stateright::Model;

/// States along some ways through the model, each of which takes other steps.
fn some_states(pair: &Pair) -> Vec<Packed> {
    let mut states = Vec::new();
    for way in 0..50_usize {
        let mut state = pair.init_states().remove(0);
        for step in 0.. {
            let mut actions = Vec::new();
            pair.actions(&state, &mut actions);
            states.push(state);
            let Some(choice) = (way * 7 + step * 3).checked_rem(actions.len()) else { break };
            state = pair.next_state(&state, actions[choice]).unwrap();
            if step == 100 {
                break;
            }
        }
    }
    states
}

#[test]
fn the_steps_of_a_state_and_their_effects_allocate_nothing() {
    for preset in PRESETS {
        let pair = Pair { rules: preset.rules, bounds: Bounds::of(&preset.rules) };
        let states = some_states(&pair);
        assert!(states.len() > 500, "{}", preset.name);
        let mut actions: Vec<Action> = Vec::with_capacity(64);
        let mut taken = 0;
        let allocated = measure(|| {
            for state in &states {
                actions.clear();
                pair.actions(state, &mut actions);
                taken += actions.iter().filter_map(|action| pair.next_state(state, *action)).count();
            }
        });
        assert_eq!(allocated.count_total, 0, "{}", preset.name);
        assert!(taken > states.len(), "{}", preset.name);
    }
}

/// What measures nothing would find nothing.
#[test]
fn an_allocation_is_seen() {
    assert!(measure(|| drop(std::hint::black_box(vec![Rules::V12]))).count_total > 0);
}

#[test]
fn a_state_is_a_copy_of_at_most_160_bytes() {
    fn copied<T: Copy>() -> usize {
        size_of::<T>()
    }
    assert!(copied::<Packed>() <= 160);
}
