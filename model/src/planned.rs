//! A plan in the model: its faults strike at their points, its gates hold, and all else happens in every order.
//!
//! Everything that the plan leaves open is explored, breadth first: a plan that fixes an interleaving leaves little.
//! Guests do what they do within the usual bounds, and nothing fails but by the plan. Which steps are possible, and
//! what each does, is the pair's business.

use crate::action::Action;
use crate::bounds::{Bounds, Budgets};
use crate::given::given;
use crate::pair::Pair;
use crate::replay::{Followed, followed, unbounded};
use crate::state::State;
use crate::story::record;
use colo_protocol::{CheckpointNumber, EffectKind, InputKind, NodeName, Operation, Property, Rules};
use colo_trace::{Event, Fault, FaultAction, FaultKind, Gate, Kind, Moment, NamedRules, Plan, PlanCursor};
use foldhash::quality::FixedState;
use std::collections::HashSet;
use std::hash::BuildHasher;

/// The most states that a plan is followed through.
const MAX_STATES: usize = 100_000;

/// What following a plan came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlanFollowed {
    /// The shortest way that carries out the plan and breaks something that its rules claim; without one, the way
    /// that came furthest.
    pub run: Followed,
    /// The faults that did not strike on it.
    pub unreached: Vec<Fault>,
    /// The gates at which something waits at its end.
    pub closed: Vec<Gate>,
    /// Whether everything that the plan leaves open was seen.
    pub complete: bool,
}

/// A place on a way through the model.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place {
    state: State,
    cursor: PlanCursor,
    /// What fails when it next could.
    fails: Fails,
    /// A fault has struck that the model has no step for.
    impossible: bool,
    /// How a node dies at a point of its peer.
    deaths: Deaths,
}

/// How a node dies at a point of its peer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Deaths {
    /// In that moment.
    AtOnce,
    /// The peer waits there until it is dead, and meanwhile it goes on.
    InTime,
    /// This node is going to die, and its peer waits.
    Dying(NodeName),
}

/// Faults that strike when their occasion comes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Fails {
    /// The load in hand, or the next one.
    load: bool,
    /// The capture in hand, or the next one.
    save: bool,
    /// What is next asked of each node's disk.
    disk: [bool; 2],
    /// What next comes to each node cannot be read.
    stream: [bool; 2],
    /// Each node's next output is its own: the primary's cannot be compared, the secondary's differs.
    output: [bool; 2],
}

/// A place, and how it was reached.
struct Visited {
    place: Place,
    from: usize,
    steps: Vec<Action>,
}

/// Follows a plan through everything that it leaves open.
pub fn follow_plan(rules: &NamedRules, plan: &Plan) -> PlanFollowed {
    let mut search = Search::new(&rules.rules, plan, (undisturbed(&rules.rules, plan), Deaths::AtOnce));
    let end = search.run();
    let path = search.path(end);
    let place = &search.visited[end].place;
    PlanFollowed {
        run: followed(&search.every, &rules.name, &path),
        unreached: place.cursor.left().to_vec(),
        closed: search.shut(place),
        complete: search.complete,
    }
}

pub(crate) struct Search {
    /// With everything possible: the plan's faults are steps of this one.
    every: Pair,
    /// With what happens by itself.
    usual: Pair,
    visited: Vec<Visited>,
    /// Fingerprints of the places visited.
    seen: HashSet<u64, FixedState>,
    pub(crate) complete: bool,
}

impl Search {
    /// A search for all that `plan` leads to, where besides it only that happens which is `usual`.
    pub(crate) fn new(rules: &Rules, plan: &Plan, (usual, deaths): (Pair, Deaths)) -> Self {
        let place = Place {
            state: State::initial(),
            cursor: PlanCursor::new(plan),
            fails: Fails::default(),
            impossible: false,
            deaths,
        };
        let seen = HashSet::from_iter([fingerprint(&place)]);
        let visited = vec![Visited { place, from: 0, steps: Vec::new() }];
        Self { every: unbounded(rules), usual, visited, seen, complete: true }
    }

    /// Goes everywhere. Each step is told by the state before it and the state behind it, with whether all faults of the
    /// plan have struck by then.
    pub(crate) fn everywhere(&mut self, tell: &mut dyn FnMut(&State, &State, bool)) {
        let mut next = 0;
        while next < self.visited.len() && self.complete {
            let place = self.visited[next].place.clone();
            let known = self.visited.len();
            self.expand(next, &place);
            for Visited { place: after, .. } in &self.visited[known..] {
                tell(&place.state, &after.state, after.cursor.left().is_empty());
            }
            self.complete = self.visited.len() <= MAX_STATES;
            next += 1;
        }
    }

    /// The number of the place at which the way to be told ends.
    fn run(&mut self) -> usize {
        let mut furthest = 0;
        let mut next = 0;
        while next < self.visited.len() {
            let place = self.visited[next].place.clone();
            if is_end(&place) {
                return next;
            }
            if rest(&place) <= rest(&self.visited[furthest].place) {
                furthest = next;
            }
            if self.visited.len() > MAX_STATES {
                self.complete = false;
                break;
            }
            self.expand(next, &place);
            next += 1;
        }
        furthest
    }

    fn expand(&mut self, from: usize, place: &Place) {
        let mut actions = Vec::new();
        self.usual.possible(&place.state, &mut actions);
        if let Deaths::Dying(victim) = place.deaths {
            let (mut after, mut steps) = (place.clone(), Vec::new());
            after.deaths = Deaths::InTime;
            after.step_if_possible(&self.every, Action::Crash(victim), &mut steps);
            self.visit(from, after, steps);
            // The peer waits, and so does everybody else for it.
            actions.retain(|action| {
                event_of(*action, &place.state, &self.every).is_some_and(|(node, _)| node == victim)
            });
        }
        for action in actions {
            let idle = matches!(action, Action::PeerSilent(_) | Action::PeerSilentWrongly(_))
                && !self.usual.rules.watches_silence();
            if idle || place.is_held(action) {
                continue;
            }
            let (after, steps) = self.take(place, action);
            self.visit(from, after, steps);
        }
    }

    fn visit(&mut self, from: usize, place: Place, steps: Vec<Action>) {
        if !place.impossible && self.seen.insert(fingerprint(&place)) {
            self.visited.push(Visited { place, from, steps });
        }
    }

    /// One step, and the faults that strike in it.
    fn take(&self, place: &Place, action: Action) -> (Place, Vec<Action>) {
        let (mut place, mut steps) = (place.clone(), Vec::new());
        let action = place.failing(action);
        let Some((node, event)) = event_of(action, &place.state, &self.every) else {
            place.step(&self.every, action, &mut steps);
            return (place, steps);
        };
        if action == Action::ApplyRam(node) {
            place.step(&self.every, action, &mut steps);
            place.arrive(&self.every, node, Moment::During, event, &mut steps);
            return (place, steps);
        }
        self.end_of_effect(&mut place, node, event, &mut steps);
        place.arrive(&self.every, node, Moment::Before, event, &mut steps);
        // A fault may have taken away what the step rests on, or the node waits there.
        let waits = place.deaths == Deaths::Dying(node.peer());
        if waits || !self.is_possible(&place, action) {
            return (place, steps);
        }
        place.step(&self.every, action, &mut steps);
        let moment = match event {
            // The first half of a load is a step of its own.
            Event::Effect(EffectKind::LoadState) => return (place, steps),
            Event::Effect(kind) if Operation::of(kind).is_some() => Moment::During,
            _ => Moment::After,
        };
        place.arrive(&self.every, node, moment, event, &mut steps);
        (place, steps)
    }

    /// The operation has ended, and its end has not been told.
    fn end_of_effect(&self, place: &mut Place, node: NodeName, event: Event, steps: &mut Vec<Action>) {
        if let Event::Input(kind) = event
            && let Some(operation) = kind.ends()
        {
            let effect = Event::Effect(operation.effect());
            place.arrive(&self.every, node, Moment::After, effect, steps);
        }
    }

    /// The gates at which a place stands.
    fn shut(&self, place: &Place) -> Vec<Gate> {
        let mut actions = Vec::new();
        self.usual.possible(&place.state, &mut actions);
        let waits = actions.into_iter().any(|action| place.is_held(action));
        let stands = |gate: &&Gate| waits && place.holds(gate.hold.node, gate.hold.moment, gate.hold.event);
        place.cursor.closed().iter().filter(stands).copied().collect()
    }

    fn is_possible(&self, place: &Place, action: Action) -> bool {
        let mut actions = Vec::new();
        self.every.possible(&place.state, &mut actions);
        actions.contains(&action)
    }

    fn path(&self, end: usize) -> Vec<Action> {
        let mut pieces = Vec::new();
        let mut at = end;
        while at != 0 {
            pieces.push(self.visited[at].steps.clone());
            at = self.visited[at].from;
        }
        pieces.into_iter().rev().flatten().collect()
    }
}

impl Fails {
    /// A fault that strikes later, or never shows: in the model everything may take as long as it likes, and no clock
    /// is ever looked at. Whether the model has it at all.
    fn wait_for(&mut self, action: FaultAction) -> bool {
        match action {
            FaultAction::FailLoad => self.load = true,
            FaultAction::FailSave => self.save = true,
            FaultAction::FailDisk { node } => self.disk[node as usize] = true,
            FaultAction::Corrupt { node, .. } => self.stream[node as usize] = true,
            FaultAction::Diverge => self.output[NodeName::Secondary as usize] = true,
            FaultAction::Uncompared => self.output[NodeName::Primary as usize] = true,
            action => return !is_beyond_the_model(action.kind()),
        }
        true
    }
}

/// Whether the model has no step for a fault of this kind: its link has two directions that end together.
pub const fn is_beyond_the_model(kind: FaultKind) -> bool {
    matches!(kind, FaultKind::HalfClose)
}

/// All faults have struck, and something is broken.
fn is_end(place: &Place) -> bool {
    let broken = Property::ALL.into_iter().any(|property| !place.state.world.holds(property));
    broken && place.cursor.left().is_empty()
}

/// How much of the plan is still to come.
fn rest(place: &Place) -> (usize, usize) {
    (place.cursor.left().len(), place.cursor.closed().len())
}

fn fingerprint(place: &Place) -> u64 {
    FixedState::default().hash_one(place)
}

/// The usual bounds without anything that only a plan brings about, and with as many checkpoints as it names.
pub(crate) fn undisturbed(rules: &Rules, plan: &Plan) -> Pair {
    let usual = Bounds::of(rules);
    let gates = plan.gates.iter().flat_map(|gate| [gate.hold, gate.until]);
    let points = plan.faults.iter().map(|fault| fault.at).chain(gates);
    let named = points.map(|point| point.checkpoint.0).max().unwrap_or(0);
    // Where both VMs execute, a difference asks for one more.
    let named = named + u64::from(rules.is_hybrid());
    let budgets = Budgets { crashes: 0, cuts: 0, wrong_suspicions: 0, load_errors: 0, ..usual.budgets };
    let checkpoints = usual.checkpoints.min(1).max(named).min(crate::bounds::MAX_CHECKPOINTS);
    Pair { rules: *rules, bounds: Bounds { checkpoints, budgets } }
}

/// The event of a plan that a step is.
fn event_of(action: Action, state: &State, pair: &Pair) -> Option<(NodeName, Event)> {
    if let Action::ApplyRam(node) = action {
        return Some((node, Event::Effect(EffectKind::LoadState)));
    }
    let mut after = state.clone();
    pair.apply(&mut after, action);
    let told = record(0, action, state, &after);
    let event = match told.kind {
        Kind::Input => Event::Input(InputKind::from_name(&told.name)?),
        Kind::Effect => Event::Effect(EffectKind::from_name(&told.name)?),
        _ => return None,
    };
    Some((told.node?, event))
}

impl Place {
    fn checkpoint(&self, node: NodeName) -> CheckpointNumber {
        self.state.side(node).node.machine().checkpoint()
    }

    fn does(&self, node: NodeName, operation: Operation) -> bool {
        self.state.side(node).in_hand.is_some_and(|in_hand| in_hand.operation == operation)
    }

    /// The step that becomes of this one, if its failure waits for it.
    fn failing(&mut self, action: Action) -> Action {
        use std::mem::take;
        match action {
            Action::EndOperation(node)
                if self.does(node, Operation::LoadState) && take(&mut self.fails.load) =>
            {
                Action::FailLoad(node)
            }
            Action::EndOperation(node)
                if self.does(node, Operation::SaveState) && take(&mut self.fails.save) =>
            {
                Action::FailSave(node)
            }
            Action::CarryOut(node) if self.asks_disk(node) && take(&mut self.fails.disk[node as usize]) => {
                Action::FailDisk(node)
            }
            Action::Deliver(node) if take(&mut self.fails.stream[node as usize]) => Action::Corrupt(node),
            Action::Output(node) if take(&mut self.fails.output[node as usize]) => match node {
                NodeName::Primary => Action::UncomparedOutput,
                NodeName::Secondary => Action::DivergingOutput,
            },
            action => action,
        }
    }

    fn asks_disk(&self, node: NodeName) -> bool {
        self.state.side(node).node.queue().first().is_some_and(colo_protocol::Effect::is_of_the_disk)
    }

    fn holds(&self, node: NodeName, moment: Moment, event: Event) -> bool {
        let point = self.cursor.next_point(node, self.checkpoint(node), moment, event);
        self.cursor.holds(point).next().is_some()
    }

    /// Whether a closed gate holds this step.
    fn is_held(&self, action: Action) -> bool {
        if self.cursor.closed().is_empty() {
            return false;
        }
        let input = |node, kind| self.holds(node, Moment::Before, Event::Input(kind));
        match action {
            Action::CarryOut(node) => {
                let first = self.state.side(node).node.queue().first();
                first.is_some_and(|effect| self.holds(node, Moment::Before, Event::Effect(effect.kind())))
            }
            Action::ApplyRam(node) => self.holds(node, Moment::During, Event::Effect(EffectKind::LoadState)),
            Action::EndOperation(node) | Action::FailLoad(node) | Action::FailSave(node) => {
                let operation = self.state.side(node).in_hand.map(|in_hand| in_hand.operation);
                InputKind::all()
                    .any(|kind| kind.ends() == operation && operation.is_some() && input(node, kind))
            }
            Action::Deliver(node) => {
                let first = self.state.side(node).inbox.first();
                first.is_some_and(|packet| input(node, packet.input().kind()))
            }
            action => given(&self.state, action).into_iter().any(|(node, told)| input(node, told.kind())),
        }
    }

    fn step(&mut self, pair: &Pair, action: Action, steps: &mut Vec<Action>) {
        self.state = pair.after(self.state.clone(), action).state();
        steps.push(action);
    }

    /// The run has come to a point: whatever strikes here strikes now.
    fn arrive(&mut self, pair: &Pair, node: NodeName, moment: Moment, event: Event, steps: &mut Vec<Action>) {
        if !self.state.side(node).alive {
            return;
        }
        let (_, struck) = self.cursor.arrive(node, self.checkpoint(node), moment, event);
        self.cursor.forget();
        for action in struck {
            match action {
                FaultAction::Crash { node: victim } if victim != node && self.deaths == Deaths::InTime => {
                    self.deaths = Deaths::Dying(victim);
                }
                action => self.strike(pair, action, steps),
            }
        }
    }

    fn strike(&mut self, pair: &Pair, action: FaultAction, steps: &mut Vec<Action>) {
        let step = match action {
            FaultAction::Crash { node } => Action::Crash(node),
            FaultAction::Cut => Action::Cut,
            FaultAction::LostHeartbeat { node } => return self.suspect(pair, node, false, steps),
            FaultAction::PeerSilent { node } => return self.suspect(pair, node, true, steps),
            FaultAction::Blackhole => Action::Blackhole,
            FaultAction::Partition { node } => Action::Partition(node),
            FaultAction::GuestReset { node } => Action::Reset(node),
            FaultAction::GuestShutdown { node } => Action::PowerOff(node),
            // Between a cut and a reset there is only time.
            FaultAction::Reset => Action::Cut,
            // While a checkpoint is under way no timer runs, and the next one may be due as soon as that has ended.
            FaultAction::CheckpointNow if !self.state.side(NodeName::Primary).timer => return,
            FaultAction::CheckpointNow => Action::TimerFires,
            action => {
                self.impossible |= !self.fails.wait_for(action);
                return;
            }
        };
        self.step_if_possible(pair, step, steps);
    }

    fn suspect(&mut self, pair: &Pair, node: NodeName, silent: bool, steps: &mut Vec<Action>) {
        let (right, wrong, kind) = if silent {
            (Action::PeerSilent(node), Action::PeerSilentWrongly(node), InputKind::PeerSilent)
        } else {
            (Action::LostHeartbeat(node), Action::LostHeartbeatWrongly(node), InputKind::LostHeartbeat)
        };
        self.arrive(pair, node, Moment::Before, Event::Input(kind), steps);
        let mut possible = Vec::new();
        pair.possible(&self.state, &mut possible);
        let step = if possible.contains(&wrong) { wrong } else { right };
        self.step_if_possible(pair, step, steps);
        self.arrive(pair, node, Moment::After, Event::Input(kind), steps);
    }

    /// What is not possible any more, a second crash of the same node say, is no way to follow the plan.
    fn step_if_possible(&mut self, pair: &Pair, step: Action, steps: &mut Vec<Action>) {
        let mut possible = Vec::new();
        pair.possible(&self.state, &mut possible);
        if possible.contains(&step) {
            self.step(pair, step, steps);
        } else {
            self.impossible = true;
        }
    }
}
