//! To normalise a state and then to take a step is the same as to take the step and then to normalise.

use colo_model::{Bounds, Budgets, Packed, Pair, UNBOUNDED};
use colo_protocol::{BUGS, PRESETS, Rules};
use proptest::prelude::*;
use stateright::Model;

/// Everything that can happen at all, checkpoints counted up to what a state can hold.
fn everything(rules: Rules) -> Pair {
    let budgets = Budgets {
        outputs: 6,
        uncompared: 2,
        mismatches: 2,
        held_outputs: 2,
        disk_writes: 2,
        secondary_writes: 2,
        shutdowns: 1,
        resets: 2,
        replacements: 2,
        missing_capabilities: 1,
        crashes: 2,
        cuts: 1,
        stalls: 1,
        blackholes: 1,
        partitions: 1,
        corruptions: 1,
        wrong_suspicions: 1,
        load_errors: 1,
        save_errors: 1,
        disk_errors: 1,
    };
    Pair { rules, bounds: Bounds { checkpoints: 40, budgets } }
}

fn normal(state: &Packed) -> Packed {
    let mut state = state.state();
    state.normalise();
    Packed::new(&state)
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let presets = PRESETS.iter().map(|preset| preset.rules);
    prop::sample::select(presets.chain(BUGS.iter().map(|bug| bug.rules)).collect::<Vec<_>>())
}

/// Which of the possible steps to take: faults seldom, so that runs are long.
fn choice(pair: &Pair, state: &Packed, draw: u32) -> Option<colo_model::Action> {
    use colo_model::Action::{
        ApplyRam, CarryOut, Compare, Deliver, EndOperation, Output, TimerFires, WriteDisk,
    };
    let mut actions = Vec::new();
    pair.actions(state, &mut actions);
    let usual: Vec<_> = actions
        .iter()
        .filter(|action| {
            matches!(
                action,
                CarryOut(_)
                    | EndOperation(_)
                    | ApplyRam(_)
                    | Deliver(_)
                    | TimerFires
                    | Compare
                    | Output(_)
                    | WriteDisk(_)
            )
        })
        .collect();
    let pick = draw as usize / 64;
    if usual.is_empty() || draw.is_multiple_of(64) {
        return actions.get(pick.checked_rem(actions.len())?).copied();
    }
    Some(*usual[pick % usual.len()])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn normalising_commutes_with_every_step(
        rules in any_rules(),
        draws in prop::collection::vec(any::<u32>(), 1..400),
    ) {
        let pair = everything(rules);
        let mut state = pair.init_states().remove(0);
        for draw in draws {
            let Some(action) = choice(&pair, &state, draw) else { break };
            let (mut counted, mut uncounted) = (Vec::new(), Vec::new());
            pair.actions(&state, &mut counted);
            pair.actions(&normal(&state), &mut uncounted);
            prop_assert_eq!(&counted, &uncounted);
            let next = pair.next_state(&state, action).unwrap();
            let next_of_normal = pair.next_state(&normal(&state), action).unwrap();
            prop_assert_eq!(normal(&next), normal(&next_of_normal), "{:?}", action);
            prop_assert_eq!(normal(&normal(&next)), normal(&next));
            state = next;
        }
    }
}

/// The runs above do come so far that something is taken off.
#[test]
fn a_pair_takes_one_checkpoint_after_the_other_and_comes_back_to_where_it_was() {
    let bounds = Bounds { checkpoints: UNBOUNDED, budgets: Budgets::default() };
    let pair = Pair { rules: Rules::V12, bounds };
    let mut state = pair.init_states().remove(0);
    let mut seen = vec![state];
    let again = loop {
        let mut actions = Vec::new();
        pair.actions(&state, &mut actions);
        state = pair.next_state(&state, actions[0]).unwrap();
        if let Some(place) = seen.iter().position(|known| *known == state) {
            break place;
        }
        seen.push(state);
    };
    assert!(again > 5 && seen.len() - again > 15, "a checkpoint has many steps: {again} of {}", seen.len());
}
