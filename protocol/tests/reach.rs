//! What a machine can take: a part of its tables, found anew under each rules, and less of it the less it is given.

use colo_protocol::{
    BUGS, Input, InputKind, Machine, NodeName, PRESETS, Phase, PrimaryPhase, Rules, Transition, excuses,
    reach, table,
};
use std::collections::BTreeSet;

fn all(node: NodeName, rules: &Rules) -> BTreeSet<Transition> {
    reach::transitions(node, rules, |_| true)
}

/// What cannot be read is an error, and errors have no row.
#[test]
fn every_transition_that_is_no_error_has_a_row_in_the_table() {
    let named = PRESETS.iter().map(|preset| preset.rules).chain(BUGS.iter().map(|bug| bug.rules));
    for rules in named {
        for node in NodeName::ALL {
            let rows = table::transitions(node, &rules);
            for transition in all(node, &rules).into_iter().filter(|it| it.input != InputKind::BadStream) {
                let Transition { from, input, to } = transition;
                let is_it =
                    |row: &table::Row| (row.phase, row.input, row.next) == (from.name(), input, to.name());
                assert!(rows.iter().any(|row| is_it(row) && !row.refused), "{transition}");
            }
        }
    }
}

#[test]
fn a_machine_that_is_given_less_takes_less() {
    for preset in PRESETS {
        for node in NodeName::ALL {
            let everything = all(node, &preset.rules);
            for kind in InputKind::all() {
                let less = reach::transitions(node, &preset.rules, |given| given != kind);
                assert!(less.is_subset(&everything) && less.iter().all(|it| it.input != kind), "{kind}");
            }
        }
    }
}

#[test]
fn an_environment_keeps_its_word() {
    let primary = all(NodeName::Primary, &Rules::V12);
    let phases = |input| {
        let of = primary.iter().filter(move |transition| transition.input == input);
        of.map(|transition| transition.from.name()).collect::<BTreeSet<_>>()
    };
    // A disk is asked for something at the beginning, a VM that is being captured does nothing, and who sends hears
    // nothing.
    assert_eq!(phases(InputKind::DiskFailed), BTreeSet::from(["running", "wait-reply"]));
    assert!(!phases(InputKind::GuestShutdown).contains("saving"));
    let listens = ["wait-ready", "wait-reply", "wait-received", "wait-loaded"];
    assert_eq!(phases(InputKind::BadStream), BTreeSet::from(listens));
    assert_eq!(phases(InputKind::OutputsMatch), BTreeSet::new());
    // The arbiter is asked behind what the disk is asked for: a node whose disk has failed has not asked it.
    let denied = |it: &&Transition| it.from.name() == "failed" && it.input == InputKind::ArbiterDenied;
    assert_eq!(all(NodeName::Secondary, &Rules::STRICT).iter().find(denied), None);
}

#[test]
fn what_is_refused_or_wrong_or_changes_nothing_is_no_transition() {
    let machine = Machine::new(NodeName::Primary);
    for input in [
        Input::PeerSilent,
        Input::RoundSent,
        Input::RamSent,
        Input::Protect,
        Input::OutputsMatch { end: colo_protocol::OutputOffset(1) },
    ] {
        assert_eq!(Transition::take(&Rules::V12, &machine, input), None, "{input:?}");
    }
    let taken = Transition::take(&Rules::V12, &machine, Input::BadStream).unwrap();
    let [from, to] = [PrimaryPhase::WaitReady, PrimaryPhase::Error].map(Phase::Primary);
    assert_eq!(taken, Transition { from, input: InputKind::BadStream, to });
    assert_eq!(taken.to_string(), "primary wait-ready bad-stream error");
}

/// Who is no preset is excused what any preset is; a preset what it says of itself only.
#[test]
fn excuses_have_reasons_and_say_something_that_there_is() {
    let own: usize = PRESETS.iter().map(|preset| preset.vacuous.len()).sum();
    let variant = Rules { checkpoint_delay_ms: 1, ..Rules::QEMU };
    assert_eq!(excuses(&variant).count(), own);
    assert_eq!(excuses(&Rules::V12).count(), 0);
    for preset in PRESETS {
        let names: BTreeSet<_> = NodeName::ALL
            .into_iter()
            .flat_map(|node| all(node, &preset.rules))
            .map(|transition| transition.to_string())
            .collect();
        for excuse in preset.vacuous {
            assert!(names.contains(excuse.name) && !excuse.reason.is_empty(), "{}", excuse.name);
        }
    }
}

/// A survivor that is protected again goes over from one machine to the other.
#[test]
fn a_secondary_that_survives_becomes_a_primary() {
    let protect = |it: &Transition| it.input == InputKind::Protect;
    let found: Vec<_> = all(NodeName::Secondary, &Rules::V12).into_iter().filter(protect).collect();
    assert_eq!(
        found.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["secondary alone protect suspending"]
    );
    assert_eq!(found[0].to.node(), NodeName::Primary);
}
