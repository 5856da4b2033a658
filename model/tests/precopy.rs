//! Rounds of pre-copy break nothing, wherever the VM goes on; and the bug of torn loads is found with them, too.

use colo_model::{Limits, Scope, Verdict, check_scopes, find_bug};
use colo_protocol::{BUGS, Bug, PRESETS, Rules};

/// Judged within the default scopes, with nothing left that should have been seen.
#[test]
fn the_presets_hold_with_rounds() {
    let wanted = |name: &str| matches!(name, "v12" | "remus" | "fast");
    for preset in PRESETS.iter().filter(|preset| wanted(preset.name)) {
        let rules = Rules { precopy_rounds: 2, ..preset.rules };
        let check = check_scopes(&rules, &Scope::of(&rules), &Limits { threads: 2, ..Limits::default() });
        let unseen: Vec<_> = check.unseen().collect();
        assert_eq!((check.verdict(), unseen), (Verdict::Holds, vec![]), "{}", preset.name);
        assert!(check.coverage().iter().any(|it| it.transition.to_string().contains("round-sent")));
        let none = check_scopes(&preset.rules, &Scope::of(&preset.rules), &Limits::default());
        assert!(none.distinct < check.distinct, "{}: {}", preset.name, check.distinct);
    }
}

/// Rounds make no bug go away that their rules have.
#[test]
fn known_bugs_are_found_with_rounds() {
    for bug in BUGS.iter().filter(|bug| bug.rules.precopy_rounds == 0) {
        let with_rounds = Bug { rules: Rules { precopy_rounds: 1, ..bug.rules }, ..*bug };
        let found = find_bug(&with_rounds, 2);
        assert!(found.length_of(bug.named_for()).is_some(), "{}", bug.name);
    }
}
