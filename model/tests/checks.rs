//! What the checker says of every preset and every known bug, and that it says so for good reasons.

use colo_model::{
    Bounds, Budgets, Check, Limits, LivenessReport, Pair, Scope, UNBOUNDED, Verdict, check, check_scopes,
    find_bug, story,
};
use colo_protocol::{
    BUGS, Bug, Detection, Execution, FailedLoad, Fencing, Liveness, PRESETS, PendingRequests, Preset,
    Property, ReleasePoint, Rules,
};
use colo_trace::diagram;
use stateright::{Checker, Model};
use std::collections::BTreeSet;

fn check_with(rules: &Rules, bounds: &Bounds, threads: usize) -> Check {
    check(rules, bounds, &Limits { threads, ..Limits::default() })
}

/// The properties that are broken, with the lengths of the shortest ways to break them.
fn broken(check: &Check) -> Vec<(Property, usize)> {
    let length = |path: &Vec<_>| path.len();
    let found = |report: &colo_model::PropertyReport| {
        Some((report.property, report.counterexample.as_ref().map(length)?))
    };
    check.properties.iter().filter_map(found).collect()
}

/// Small enough to be exhausted many times, and every known bug still shows.
fn small(rules: &Rules) -> Bounds {
    let usual = Bounds::of(rules);
    let load_errors = u8::from(rules.failed_load == FailedLoad::Forgotten);
    let disk_writes = u8::from(rules.fencing == Fencing::None);
    let mismatches = u8::from(rules.requests == PendingRequests::Counted);
    let budgets = Budgets { load_errors, disk_writes, mismatches, ..usual.budgets };
    Bounds { checkpoints: UNBOUNDED, budgets }
}

/// Without disks.
fn diskless(rules: &Rules) -> Bounds {
    let small = small(rules);
    Bounds { budgets: Budgets { disk_writes: 0, ..small.budgets }, ..small }
}

/// Small enough to be exhausted by everybody.
fn tiny(rules: &Rules) -> Bounds {
    let usual = small(rules);
    Bounds { budgets: Budgets { outputs: 1, disk_writes: 0, ..usual.budgets }, ..usual }
}

fn safety_bugs() -> impl Iterator<Item = &'static Bug> {
    BUGS.iter().filter(|bug| bug.stalls.is_none())
}

fn named() -> impl Iterator<Item = (&'static str, Rules)> {
    let presets = PRESETS.iter().map(|preset| (preset.name, preset.rules));
    presets.chain(BUGS.iter().map(|bug| (bug.name, bug.rules)))
}

fn broken_properties(check: &Check) -> BTreeSet<Property> {
    broken(check).into_iter().map(|(property, _)| property).collect()
}

#[test]
fn every_preset_holds_in_all_that_can_happen_or_breaks_what_it_is_known_to_break() {
    for preset in PRESETS {
        let check = check_with(&preset.rules, &small(&preset.rules), 2);
        let claimed = check.properties.iter().filter(|report| report.claimed);
        let broken =
            claimed.filter(|report| report.verdict == Verdict::Violated).map(|report| report.property);
        assert_eq!(broken.collect::<Vec<_>>(), preset.breaks, "{}", preset.name);
        assert!(check.complete);
        assert_eq!(check.never_fired(), [], "{}", preset.name);
    }
}

/// What QEMU breaks today, each time by one rule; with the other choices even two executions hold.
#[test]
fn both_vms_may_execute_if_no_gap_is_left() {
    for base in [Rules::V12, Rules::LATE_RELEASE, Rules::STRICT] {
        let rules = Rules { execution: Execution::Hybrid, ..base };
        let mut bounds = diskless(&rules);
        bounds.budgets.mismatches = 1;
        bounds.budgets.resets = 1 - u8::from(rules.fencing == Fencing::Arbiter);
        bounds.budgets.outputs = if rules.fencing == Fencing::Arbiter { 1 } else { 2 };
        let check = check_with(&rules, &bounds, 2);
        assert_eq!((check.verdict(), broken(&check)), (Verdict::Holds, vec![]));
        assert_eq!(check.never_fired(), []);
    }
}

/// Between two executions there is nothing to compare any more once the primary runs ahead of its checkpoint.
#[test]
fn both_vms_may_not_execute_when_the_primary_runs_on_early() {
    let rules = Rules { execution: Execution::Hybrid, ..Rules::REMUS };
    let until = Some(Property::OutputCommit.name());
    let check = check(&rules, &diskless(&rules), &Limits { threads: 2, until, ..Limits::default() });
    assert!(broken_properties(&check).contains(&Property::OutputCommit));
}

#[test]
fn rare_surroundings_change_no_verdict() {
    for preset in PRESETS.iter().filter(|preset| preset.breaks.is_empty()) {
        let usual =
            Budgets { outputs: 1, disk_writes: 0, load_errors: 0, ..Bounds::of(&preset.rules).budgets };
        for budgets in [
            Budgets { shutdowns: 1, outputs: 2, ..usual },
            Budgets { resets: 1, cuts: 0, ..usual },
            Budgets { missing_capabilities: 1, outputs: 2, ..usual },
            Budgets { blackholes: 1, cuts: 0, ..usual },
            Budgets { crashes: 2, cuts: 0, ..usual },
            Budgets { stalls: 1, cuts: 0, ..usual },
            Budgets { partitions: 1, cuts: 0, ..usual },
            Budgets { corruptions: 1, cuts: 0, ..usual },
            Budgets { save_errors: 1, cuts: 0, ..usual },
            Budgets { disk_errors: 1, disk_writes: 1, cuts: 0, wrong_suspicions: 0, ..usual },
        ] {
            let check = check_with(&preset.rules, &Bounds { checkpoints: UNBOUNDED, budgets }, 2);
            assert_eq!(
                (check.verdict(), broken(&check)),
                (Verdict::Holds, vec![]),
                "{} {budgets:?}",
                preset.name
            );
            assert_eq!(check.never_fired(), [], "{} {budgets:?}", preset.name);
        }
    }
}

/// A replacement comes to the survivor, whichever it is, and the new pair is as good as the first was.
#[test]
fn a_survivor_is_protected_again_and_again() {
    for preset in PRESETS.iter().filter(|preset| preset.breaks.is_empty()) {
        let fenced = preset.rules.fencing == Fencing::Arbiter;
        let usual = Budgets { cuts: 0, load_errors: 0, ..Bounds::of(&preset.rules).budgets };
        let again = Budgets { replacements: 1, crashes: 2, outputs: if fenced { 1 } else { 2 }, ..usual };
        let twice = Budgets { replacements: 2, crashes: 3, outputs: 1, disk_writes: 0, ..usual };
        let twice = Budgets { wrong_suspicions: 0, ..twice };
        for budgets in [again, twice] {
            let check = check_with(&preset.rules, &Bounds { checkpoints: UNBOUNDED, budgets }, 2);
            assert_eq!(
                (check.verdict(), broken(&check)),
                (Verdict::Holds, vec![]),
                "{} {budgets:?}",
                preset.name
            );
            assert_eq!(check.never_fired(), [], "{} {budgets:?}", preset.name);
        }
    }
}

#[test]
fn every_known_bug_is_found_and_breaks_what_it_is_said_to_break() {
    for bug in safety_bugs() {
        let check = check_with(&bug.rules, &small(&bug.rules), 2);
        assert_eq!(check.verdict(), Verdict::Violated, "{}", bug.name);
        assert_eq!(broken_properties(&check), bug.breaks.iter().copied().collect(), "{}", bug.name);
    }
}

/// The good presets do not break what a bug is named for: what finds the bugs raises no false alarm.
#[test]
fn counterexamples_are_shortest() {
    let lengths = safety_bugs().map(|bug| {
        let limits = Limits { threads: 2, until: Some(bug.breaks[0].name()), ..Limits::default() };
        let check = check(&bug.rules, &Bounds::of(&bug.rules), &limits);
        let named = broken(&check).into_iter().find(|(property, _)| *property == bug.breaks[0]);
        (bug.name, named.unwrap().1)
    });
    assert_eq!(
        lengths.collect::<Vec<_>>(),
        [
            ("bug:release-at-suspend", 23),
            ("bug:ram-first", 31),
            ("bug:failover-while-loading", 39),
            ("bug:counted-requests", 13),
            ("bug:exit-reason", 9),
            ("bug:load-after-failover", 38),
            ("bug:failed-load-forgotten", 39),
            ("bug:uncompared-output", 16),
            ("bug:untagged-writes", 41),
        ]
    );
}

/// What a preset stalls in some scope is what it is known to, and nothing is vacuous in all of them together.
#[test]
fn every_preset_gets_everything_done_or_stalls_where_it_is_known_to() {
    for preset in PRESETS {
        let less = |scope: Scope| {
            let budgets = scope.bounds.budgets;
            let outputs = budgets.outputs.min(1);
            let budgets = Budgets { outputs, disk_writes: 0, mismatches: 0, uncompared: 0, ..budgets };
            Scope { bounds: Bounds { budgets, ..scope.bounds }, ..scope }
        };
        let scopes = Scope::usual(&preset.rules).map(less);
        let check = check_scopes(&preset.rules, &scopes, &Limits { threads: 2, ..Limits::default() });
        let stalled = check.liveness.iter().filter(|report| report.lasso.is_some());
        let stalled: Vec<_> = stalled.map(|report| report.property).collect();
        assert_eq!(stalled, preset.stalls, "{}", preset.name);
        assert!(check.liveness.iter().all(|report| !report.is_vacuous()), "{}", preset.name);
        assert!(
            check.complete && check.never_fired().is_empty(),
            "{}: {:?}",
            preset.name,
            check.never_fired()
        );
    }
}

#[test]
fn every_liveness_bug_is_found_by_the_property_that_it_is_named_for() {
    let found = BUGS.iter().filter(|bug| bug.stalls.is_some()).map(|bug| {
        let check = find_bug(bug, 2);
        (bug.name, bug.named_for(), check.length_of(bug.named_for()).unwrap())
    });
    assert_eq!(
        found.collect::<Vec<_>>(),
        [
            ("bug:waits-for-a-manager", "unattended recovery", 2),
            ("bug:forgotten-shutdown", "shutdown", 16),
            ("bug:relaunch-forgotten", "deferred failover completes", 34),
            ("bug:no-abort", "failover completes", 22),
        ]
    );
}

/// A property that nothing calls for holds, and is said to be vacuous.
#[test]
fn what_bounds_exclude_is_vacuous_and_not_asked_for() {
    let limits = Limits { threads: 2, ..Limits::default() };
    let still = Bounds { checkpoints: UNBOUNDED, budgets: Budgets::default() };
    let check = check(&Rules::V12, &still, &limits);
    let speaks = |name: &&str| !check.vacuous().any(|vacuous| vacuous == *name);
    let liveness = Liveness::ALL.map(Liveness::name);
    assert_eq!(liveness.iter().copied().filter(speaks).collect::<Vec<_>>(), ["checkpoint ends"]);
    // The bounds exclude the rest, and that is no failure.
    assert_eq!((check.verdict(), check.never_fired()), (Verdict::Holds, vec![]));
}

/// At the bounds that a check has by default, every transition of both machines is taken, and every action, and there is
/// something that every property speaks of. The large presets are `colo verify`'s.
#[test]
fn nothing_is_vacuous_in_a_preset_and_every_transition_is_taken() {
    for preset in
        PRESETS.iter().filter(|preset| matches!(preset.name, "v12" | "late-release" | "remus" | "fast"))
    {
        let limits = Limits { threads: 2, ..Limits::default() };
        let check = check_scopes(&preset.rules, &Scope::of(&preset.rules), &limits);
        let (unseen, stale) = (check.unseen().collect::<Vec<_>>(), check.stale().collect::<Vec<_>>());
        assert_eq!((check.verdict(), unseen, stale), (Verdict::Holds, vec![], vec![]), "{}", preset.name);
        assert_eq!(check.vacuous().next(), None, "{}", preset.name);
        // What is taken is what one machine can take: the pair is no other environment.
        assert!(check.coverage().iter().all(|report| report.required), "{}", preset.name);
        if preset.name == "v12" {
            insta::assert_snapshot!("coverage-v12", covered(&check));
        }
    }
}

fn covered(check: &Check) -> String {
    let row = |report: &colo_model::TransitionReport| format!("{} {}", report.transition, report.times);
    check.coverage().iter().map(row).collect::<Vec<_>>().join("\n")
}

/// A wrong suspicion in one scope, where two servers are no violation, takes nothing back of what another claims.
#[test]
fn what_is_broken_where_it_is_claimed_stays_broken() {
    let rules = Rules { release: ReleasePoint::AtSuspend, ..Rules::V12 };
    let budgets = Budgets { outputs: 2, crashes: 1, ..Budgets::default() };
    let trusting = Bounds { checkpoints: UNBOUNDED, budgets };
    let suspicious = Bounds { budgets: Budgets { wrong_suspicions: 1, ..budgets }, ..trusting };
    let scope = |name, bounds| Scope { name, bounds };
    let [one, other] = [scope("trusting", trusting), scope("suspicious", suspicious)];
    for scopes in [[one, other], [other, one]] {
        let check = check_scopes(&rules, &scopes, &Limits { threads: 2, ..Limits::default() });
        let report = check.properties.iter().find(|it| it.property == Property::SingleServer).unwrap();
        assert_eq!((report.verdict, report.claimed), (Verdict::Violated, true));
        assert_eq!(report.bounds, trusting);
    }
}

/// The link goes down between a lost-heartbeat and its failover, and what is captured then is never sent.
#[test]
fn a_failover_that_was_asked_for_does_not_wait_for_a_link_that_is_gone() {
    let rules = Rules { detection: Detection::LinkClosed, ..Rules::V12 };
    let bounds = Bounds { checkpoints: UNBOUNDED, budgets: Budgets { crashes: 1, ..Budgets::default() } };
    let check = check(&rules, &bounds, &Limits { threads: 2, ..Limits::default() });
    let completes = |report: &&LivenessReport| report.property == Liveness::FailoverCompletes;
    assert_eq!(check.liveness.iter().find(completes).unwrap().verdict, Verdict::Holds);
}

/// Time that is up ends a check in the middle of a level, and what was seen until then is what there is.
#[test]
fn a_check_that_has_no_time_claims_nothing() {
    let deadline = Some(std::time::Instant::now());
    let limits = Limits { deadline, ..Limits::default() };
    let check = check_scopes(&Rules::STRICT, &Scope::of(&Rules::STRICT), &limits);
    assert_eq!((check.verdict(), check.complete), (Verdict::Incomplete, false));
    assert!(!check.never_fired().is_empty());
}

#[test]
fn a_counterexample_reads_as_a_story() {
    for bug in safety_bugs() {
        let limits = Limits { threads: 2, until: Some(bug.breaks[0].name()), ..Limits::default() };
        let check = check(&bug.rules, &Bounds::of(&bug.rules), &limits);
        let report = check.properties.iter().find(|report| report.property == bug.breaks[0]).unwrap();
        let pair = Pair { rules: bug.rules, bounds: check.scopes[0].bounds };
        let trace = story(&pair, bug.name, report.counterexample.as_ref().unwrap());
        let diagram = diagram(&trace);
        assert!(diagram.lines().all(|line| line.chars().count() <= 100), "{diagram}");
        insta::assert_snapshot!(bug.name.replace(':', "-"), diagram);
    }
}

#[test]
fn unfenced_rules_break_single_server_under_a_wrong_suspicion_and_nothing_else() {
    let good = |preset: &&Preset| preset.breaks.is_empty() && preset.rules.fencing == Fencing::None;
    for preset in PRESETS.iter().filter(good) {
        let mut bounds = diskless(&preset.rules);
        bounds.budgets.wrong_suspicions = 1;
        let check = check_with(&preset.rules, &bounds, 2);
        assert_eq!(broken_properties(&check), BTreeSet::from([Property::SingleServer]), "{}", preset.name);
        assert_eq!(check.verdict(), Verdict::Holds, "not claimed, so not held against it");
    }
}

#[test]
fn with_an_arbiter_no_suspicion_makes_two_servers() {
    for rules in [Rules::STRICT, Rules { fencing: Fencing::Arbiter, ..Rules::V12 }] {
        let check = check_with(&rules, &small(&rules), 2);
        assert_eq!(check.scopes[0].bounds.budgets.wrong_suspicions, 1);
        assert_eq!((check.verdict(), broken(&check)), (Verdict::Holds, vec![]));
        assert!(check.properties.iter().all(|report| report.claimed));
    }
}

#[test]
fn silence_taken_for_a_death_makes_two_servers_without_an_arbiter() {
    let rules = Rules { fencing: Fencing::None, ..Rules::STRICT };
    let broken = broken_properties(&check_with(&rules, &small(&rules), 2));
    assert_eq!(broken, BTreeSet::from([Property::SingleServer]));
}

#[test]
fn a_closed_link_taken_for_a_death_makes_two_servers_when_it_was_only_cut() {
    let rules = Rules { detection: Detection::LinkClosed, ..Rules::V12 };
    let mut bounds = small(&rules);
    assert_eq!(broken_properties(&check_with(&rules, &bounds, 2)), BTreeSet::from([Property::SingleServer]));
    bounds.budgets.cuts = 0;
    assert_eq!(broken(&check_with(&rules, &bounds, 2)), []);
}

#[test]
fn a_search_cut_short_claims_nothing() {
    let limits = Limits { max_depth: Some(10), ..Limits::default() };
    let check = check(&Rules::V12, &Bounds::of(&Rules::V12), &limits);
    assert_eq!((check.verdict(), check.complete), (Verdict::Incomplete, false));
    assert!(!check.never_fired().is_empty());
}

#[test]
fn the_number_of_threads_changes_nothing() {
    for (name, rules) in named() {
        let [one, three] = [1, 3].map(|threads| check_with(&rules, &tiny(&rules), threads));
        assert_eq!(one.properties, three.properties, "{name}");
        let figures = |check: &Check| (check.generated, check.distinct, check.transitions, check.depth);
        assert_eq!(figures(&one), figures(&three), "{name}");
    }
}

#[test]
fn stateright_agrees_on_states_and_verdicts() {
    for (name, rules) in named() {
        let small = tiny(&rules);
        let ours = check_with(&rules, &small, 1);
        let model = Pair { rules, bounds: small };
        // Stateright stops when every property is decided; one that always holds makes it see everything.
        let breadth_first = model.checker().spawn_bfs().join();
        let depth_first = model.checker().spawn_dfs().join();
        assert_eq!(breadth_first.unique_state_count() as u64, ours.distinct, "{name}");
        assert_eq!(depth_first.unique_state_count() as u64, ours.distinct, "{name}");
        assert_eq!(breadth_first.state_count() as u64, ours.generated, "{name}");
        for (property, _) in broken(&ours) {
            assert!(breadth_first.discovery(property.name()).is_some(), "{name}: {property:?}");
            assert!(depth_first.discovery(property.name()).is_some(), "{name}: {property:?}");
        }
        assert_eq!(breadth_first.discoveries().len(), broken(&ours).len(), "{name}");
        assert_eq!(depth_first.discoveries().len(), broken(&ours).len(), "{name}");
    }
}
