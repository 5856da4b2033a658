//! The liveness properties, as the outside sees them: what each calls for, what answers it, under which fairness.
//!
//! A property is one claim, or one for each node. What a node owes is judged from what its VM, the link and the world do,
//! and from how far its failover has come.

use crate::calls::{SECONDARY, parts};
use crate::checker::{Claim, Fairness, Moment, Specification};
use crate::pair::Pair;
use crate::possible::is_over;
use crate::progress::{
    environment_of, environments, with_manager, with_patience, with_replacement, with_timer,
};
use crate::state::{Link, State};
use colo_protocol::{
    CheckpointNumber, Failover, Liveness, Machine, NodeName, PrimaryPhase, Rules, SecondaryPhase,
};

/// Adds the claims of one property; what distinguishes each from the others, in their order.
pub(crate) fn add_claims(
    specification: &mut Specification<Pair>,
    rules: &Rules,
    property: Liveness,
) -> Vec<&'static str> {
    let before = specification.properties().len();
    let parts = parts(property, rules);
    match property {
        Liveness::FailoverCompletes => {
            for_each_node(specification, property, environment_of, is_told, has_failed_over);
        }
        Liveness::UnattendedRecovery => {
            let fairness = with_patience(environments());
            let calls = |state: &State| has_lost_something(state);
            add(specification, property, "", fairness, calls, somebody_serves_or_nobody_may);
        }
        Liveness::CheckpointEnds => {
            // One checkpoint may begin in the step in which the one before ends: they are told apart by the request.
            let fairness = with_manager(rules, with_patience(environments()));
            let requested = |state: &State| primary_phase(state) == Some(PrimaryPhase::WaitReply);
            let answered = move |state: &State| !requested(state);
            add(specification, property, "requested", fairness, requested, answered);
            let ended = |state: &State| !is_under_way(state);
            add(specification, property, "under way", fairness, is_under_way, ended);
        }
        Liveness::Release => {
            let fairness = |_| with_timer(with_manager(rules, with_patience(environments())));
            for_each_node(specification, property, fairness, withholds, |state, name| {
                !withholds(state, name)
            });
        }
        Liveness::DeferredFailoverCompletes if parts.is_empty() => {}
        Liveness::DeferredFailoverCompletes => {
            let waits = |state: &State| failover(state, NodeName::Secondary) == Failover::Relaunch;
            let answered = |state: &State| has_failed_over(state, NodeName::Secondary);
            let fairness = environment_of(NodeName::Secondary);
            add(specification, property, SECONDARY, fairness, waits, answered);
        }
        Liveness::SurvivorGoesOn => {
            let executes = |state: &State, name: NodeName| {
                let side = state.side(name);
                let free = !side.disk.replicating || side.disk.failed;
                !is_alone(state, name) || (side.vm.running && free)
            };
            for_each_node(specification, property, environment_of, is_alone, executes);
        }
        Liveness::Shutdown => {
            let fairness = |_| with_manager(rules, with_patience(environments()));
            for_each_node(specification, property, fairness, powers_off, both_have_ended);
        }
        Liveness::ProtectionAgain => {
            let fairness = with_replacement(with_manager(rules, with_patience(environments())));
            let calls = |moment: &Moment<'_, Pair>| has_replacement(moment.model, moment.view);
            let from = specification.predicate(property.name(), calls);
            let answered = |moment: &Moment<'_, Pair>| is_protected_or_cannot_be(moment.model, moment.view);
            let to = specification.predicate("protected", answered);
            let claim = Claim::LeadsTo { from, to, fairness };
            specification.property(property.name(), property.statement(), claim);
        }
    }
    assert_eq!(specification.properties().len() - before, parts.len(), "{property:?}");
    parts
}

fn for_each_node(
    specification: &mut Specification<Pair>,
    property: Liveness,
    fairness: impl Fn(NodeName) -> Fairness,
    calls: impl Fn(&State, NodeName) -> bool + Copy + Send + Sync + 'static,
    answered: impl Fn(&State, NodeName) -> bool + Copy + Send + Sync + 'static,
) {
    for name in NodeName::ALL {
        let calls = move |state: &State| calls(state, name);
        let answered = move |state: &State| answered(state, name);
        add(specification, property, name.name(), fairness(name), calls, answered);
    }
}

fn add(
    specification: &mut Specification<Pair>,
    property: Liveness,
    of: &str,
    fairness: Fairness,
    calls: impl Fn(&State) -> bool + Send + Sync + 'static,
    answered: impl Fn(&State) -> bool + Send + Sync + 'static,
) {
    let name = format!("{} {of}", property.name());
    let from = specification.predicate(format!("{name}: called for"), move |moment| calls(moment.view));
    let to = specification.predicate(format!("{name}: answered"), move |moment| answered(moment.view));
    specification.property(
        name.trim_end().to_owned(),
        property.statement(),
        Claim::LeadsTo { from, to, fairness },
    );
}

fn failover(state: &State, name: NodeName) -> Failover {
    state.side(name).node.machine().failover()
}

/// Dead, or stopped for good.
fn is_out(state: &State, name: NodeName) -> bool {
    !state.side(name).alive || state.side(name).node.machine().is_over()
}

fn is_alone(state: &State, name: NodeName) -> bool {
    state.world.promoted[name as usize] && !is_out(state, name)
}

fn serves(state: &State, name: NodeName) -> bool {
    is_alone(state, name) && state.side(name).vm.running
}

/// The node was told, and the command was not refused; or it fails over by itself.
fn is_told(state: &State, name: NodeName) -> bool {
    let under_way = !matches!(failover(state, name), Failover::None | Failover::Completed);
    state.world.told[name as usize] || under_way
}

fn has_failed_over(state: &State, name: NodeName) -> bool {
    serves(state, name) || is_out(state, name)
}

/// Something of the pair is gone.
fn has_lost_something(state: &State) -> bool {
    state.link != Link::Up && state.link != Link::Stalled || state.sides.iter().any(|side| !side.alive)
}

fn somebody_serves_or_nobody_may(state: &State) -> bool {
    let somebody = NodeName::ALL.into_iter().any(|name| serves(state, name));
    let nobody = NodeName::ALL.into_iter().all(|name| is_out(state, name) || has_no_vm(state, name));
    somebody || nobody
}

/// A secondary into which the initial state has not come, and is not about to.
fn has_no_vm(state: &State, name: NodeName) -> bool {
    let side = state.side(name);
    match side.node.machine() {
        Machine::Primary(_) => false,
        Machine::Secondary(secondary) => {
            secondary.phase() == SecondaryPhase::Incoming && side.in_hand.is_none() && side.inbox.is_empty()
        }
    }
}

fn primary_phase(state: &State) -> Option<PrimaryPhase> {
    let side = state.side(NodeName::Primary);
    match side.node.machine() {
        Machine::Primary(primary) if side.alive => Some(primary.phase()),
        _ => None,
    }
}

/// A checkpoint, or the initial state of a pair, is on its way from the primary.
fn is_under_way(state: &State) -> bool {
    use PrimaryPhase::{
        PreCopying, Saving, SendingDeviceState, SendingRam, Suspending, WaitLoaded, WaitReady, WaitReceived,
    };
    matches!(
        primary_phase(state),
        Some(
            PreCopying
                | Suspending
                | Saving
                | SendingRam
                | SendingDeviceState
                | WaitReceived
                | WaitLoaded
                | WaitReady
        )
    )
}

/// The secondary has at least the initial state.
fn is_protected(state: &State) -> bool {
    let some = state.side(NodeName::Primary).node.machine().checkpoint() > CheckpointNumber(0);
    match primary_phase(state) {
        Some(PrimaryPhase::Running | PrimaryPhase::WaitReply) => true,
        _ => some && is_under_way(state),
    }
}

/// The node's VM has sent something that the world has not been given, and may be yet. The node's mark says it, too:
/// what was never compared may leave before what was sent earlier.
fn withholds(state: &State, name: NodeName) -> bool {
    let output = state.side(name).node.machine().output();
    let not_given = state.world.released[name as usize] < state.side(name).vm.output;
    let of_its_own = match state.side(name).node.machine() {
        Machine::Primary(_) => true,
        Machine::Secondary(_) => is_alone(state, name),
    };
    let discarded = state.world.promoted[name.peer() as usize];
    let withheld = not_given || output.released() < output.produced();
    of_its_own && !discarded && !is_out(state, name) && withheld
}

/// The guest has wanted to power off.
fn powers_off(state: &State, name: NodeName) -> bool {
    state.side(name).alive && state.world.powers_off[name as usize]
}

/// The node has ended, VM and all, and if nothing has failed its peer as well.
fn both_have_ended(state: &State, name: NodeName) -> bool {
    let has_ended = |name| is_out(state, name) && !state.side(name).vm.running;
    has_ended(name) && (has_ended(name.peer()) || state.spent.any_fault())
}

/// A survivor has nobody, and somebody is at hand.
fn has_replacement(pair: &Pair, state: &State) -> bool {
    let left = state.spent.replacements < pair.bounds.budgets.replacements;
    let survives = |name: NodeName| is_alone(state, name) && is_over(state, name.peer());
    left && NodeName::ALL.into_iter().any(survives)
}

/// The pair is one again; or there is nobody left to protect, or to protect it with.
fn is_protected_or_cannot_be(pair: &Pair, state: &State) -> bool {
    let protected = is_protected(state);
    let nobody = NodeName::ALL.into_iter().all(|name| is_out(state, name));
    let used_up = state.spent.replacements >= pair.bounds.budgets.replacements
        && NodeName::ALL.into_iter().any(|name| is_alone(state, name));
    let replacement_only = state.spent.replacements > 0
        && is_out(state, NodeName::Primary)
        && has_no_vm(state, NodeName::Secondary);
    protected || nobody || used_up || replacement_only
}
