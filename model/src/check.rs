//! A check of one variant of the protocol: explore the pair, judge every property, see that nothing was vacuous.

use crate::action::Action;
use crate::bounds::{Bounds, MAX_CHECKPOINTS};
use crate::packed::Packed;
use crate::pair::Pair;
use crate::search::{Coverage, Limits, Outcome, Search, search};
use crate::state::{Packet, State};
use colo_protocol::{
    Dialect, Effect, Failover, Message, MessageKind, NodeName, PrimaryPhase, Property, Rules, SecondaryPhase,
};
use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

/// What a check has to have seen, lest it prove nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Goal {
    /// This message was put on the link.
    Message(MessageKind),
    /// A failover was accepted by a primary in this phase.
    PrimaryFailover(PrimaryPhase),
    /// A failover was accepted by a secondary in this phase.
    SecondaryFailover(SecondaryPhase),
    /// A survivor's replacement was ready.
    ProtectedAgain,
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(kind) => write!(f, "message {}", kind.name()),
            Self::PrimaryFailover(phase) => write!(f, "failover of the primary in {}", phase.name()),
            Self::SecondaryFailover(phase) => write!(f, "failover of the secondary in {}", phase.name()),
            Self::ProtectedAgain => f.write_str("a survivor protected again"),
        }
    }
}

impl Goal {
    /// All that a check has to see when its bounds allow a checkpoint and a crash.
    pub fn required(rules: &Rules, bounds: &Bounds) -> impl Iterator<Item = Self> {
        let tells_shutdown = rules.dialect == Dialect::V12 && bounds.budgets.shutdowns > 0;
        let messages = MessageKind::ALL
            .into_iter()
            .filter(move |kind| *kind != MessageKind::GuestShutdown || tells_shutdown);
        let primary = PrimaryPhase::ALL.into_iter().filter(|phase| {
            use PrimaryPhase::{Alone, Fenced, ShutDown, TakingOver};
            !matches!(phase, TakingOver | Alone | Fenced | ShutDown)
        });
        let hybrid = rules.is_hybrid();
        let secondary = SecondaryPhase::ALL.into_iter().filter(move |phase| {
            use SecondaryPhase::{Alone, Failed, Fenced, Incoming, ShutDown, Suspending, TakingOver};
            !matches!(phase, Incoming | TakingOver | Alone | Failed | Fenced | ShutDown)
                && (*phase != Suspending || hybrid)
        });
        let again = (bounds.budgets.replacements > 0).then_some(Self::ProtectedAgain);
        let messages = messages.map(Self::Message).chain(again);
        messages.chain(primary.map(Self::PrimaryFailover)).chain(secondary.map(Self::SecondaryFailover))
    }
}

/// The goals that a search has reached.
#[derive(Default, Debug)]
struct Goals(BTreeSet<Goal>);

impl Coverage<Pair> for Goals {
    fn steps(&mut self, _: &Pair, from: &Packed, steps: &[(Action, Packed)]) {
        let before = from.state();
        for (action, after) in steps {
            self.step(&before, *action, after);
        }
    }

    fn merge(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }
}

impl Goals {
    fn step(&mut self, before: &State, action: Action, after: &Packed) {
        match action {
            Action::CarryOut(name) => {
                if let Some(Effect::Send(message)) = before.side(name).node.queue().first() {
                    self.0.insert(Goal::Message(message.kind()));
                }
            }
            Action::LostHeartbeat(name) | Action::PeerSilent(name) => {
                let accepted = after.state().side(name).node.machine().failover() != Failover::None;
                if accepted {
                    self.0.insert(failover_goal(before, name));
                }
            }
            Action::Deliver(NodeName::Primary) if is_protected_again(before) => {
                self.0.insert(Goal::ProtectedAgain);
            }
            _ => {}
        }
    }
}

/// Whether the message that comes next is a replacement's checkpoint-ready.
fn is_protected_again(before: &State) -> bool {
    let ready = Packet::Message(Message::CheckpointReady);
    before.spent.replacements > 0 && before.side(NodeName::Primary).inbox.first() == Some(&ready)
}

fn failover_goal(before: &State, name: NodeName) -> Goal {
    match before.side(name).node.machine() {
        colo_protocol::Machine::Primary(primary) => Goal::PrimaryFailover(primary.phase()),
        colo_protocol::Machine::Secondary(secondary) => Goal::SecondaryFailover(secondary.phase()),
    }
}

/// What a check says of one property.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It holds in every reachable state.
    Holds,
    /// It is broken.
    Violated,
    /// It is not broken in what was explored, but not everything was.
    Incomplete,
}

impl Verdict {
    /// The word for it in `--json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Violated => "violated",
            Self::Incomplete => "incomplete",
        }
    }
}

/// One property and its verdict.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PropertyReport {
    /// The property.
    pub property: Property,
    /// The verdict.
    pub verdict: Verdict,
    /// Whether the rules claim it under these bounds.
    pub claimed: bool,
    /// The shortest way to break it, if it is broken.
    pub counterexample: Option<Vec<Action>>,
}

/// The result of a check.
#[derive(Clone, Debug)]
pub struct Check {
    /// The rules.
    pub rules: Rules,
    /// The bounds.
    pub bounds: Bounds,
    /// Each property.
    pub properties: Vec<PropertyReport>,
    /// What should have been seen and was not. Empty in a complete check that means something.
    pub never_fired: Vec<Goal>,
    /// States generated, with repetitions.
    pub generated: u64,
    /// Different states.
    pub distinct: u64,
    /// Steps between states.
    pub transitions: u64,
    /// Number of states on the longest shortest path.
    pub depth: usize,
    /// Memory per distinct state, bytes.
    pub bytes_per_state: usize,
    /// What should have been seen, all in all.
    pub goals: usize,
    /// Whether everything within the bounds was explored.
    pub complete: bool,
    /// How long it took.
    pub elapsed: Duration,
}

impl Check {
    /// The verdict on the whole: what is claimed, and whether it was fully explored.
    pub fn verdict(&self) -> Verdict {
        let claimed = || self.properties.iter().filter(|report| report.claimed);
        if claimed().any(|report| report.verdict == Verdict::Violated) {
            return Verdict::Violated;
        }
        if self.complete { Verdict::Holds } else { Verdict::Incomplete }
    }

    /// The probability that two different states were taken for one: distinct^2 / 2^65.
    pub fn collision_probability(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "an estimate")]
        let distinct = self.distinct as f64;
        distinct * distinct / 2f64.powi(65)
    }
}

/// Explores the pair under `rules` within `bounds` and judges every property.
///
/// # Panics
///
/// If the bounds have more than [`MAX_CHECKPOINTS`] checkpoints.
pub fn check(rules: &Rules, bounds: &Bounds, limits: &Limits) -> Check {
    assert!(
        bounds.is_unbounded() || bounds.checkpoints <= MAX_CHECKPOINTS,
        "{} checkpoints",
        bounds.checkpoints
    );
    let model = Pair { rules: *rules, bounds: *bounds };
    let start = Instant::now();
    let found: Search<Action, Goals> = search(&model, limits);
    let elapsed = start.elapsed();
    let properties = Property::ALL.into_iter().zip(&found.properties);
    Check {
        rules: *rules,
        bounds: *bounds,
        properties: properties
            .map(|(property, (_, outcome))| report(&model, property, outcome, found.complete))
            .collect(),
        never_fired: Goal::required(rules, bounds).filter(|goal| !found.coverage.0.contains(goal)).collect(),
        goals: Goal::required(rules, bounds).count(),
        generated: found.generated,
        distinct: found.distinct,
        transitions: found.transitions,
        depth: found.depth,
        bytes_per_state: found.bytes_per_state,
        complete: found.complete,
        elapsed,
    }
}

fn report(model: &Pair, property: Property, outcome: &Outcome<Action>, complete: bool) -> PropertyReport {
    let (verdict, counterexample) = match outcome {
        Outcome::Violated(path) => (Verdict::Violated, Some(path.clone())),
        _ if complete => (Verdict::Holds, None),
        _ => (Verdict::Incomplete, None),
    };
    let wrong_suspicions = model.bounds.budgets.wrong_suspicions > 0;
    let claimed = model.rules.claims(property, wrong_suspicions);
    PropertyReport { property, verdict, claimed, counterexample }
}
