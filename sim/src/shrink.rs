//! Shrinking: from a run that breaks something to the shortest plan of faults that still breaks the same.
//!
//! Delta debugging over the faults, then over the gates, the run's size, and each fault's place. Whatever is tried is
//! simpler than what there is, so the search ends; a limit on the runs ends it earlier. Nothing is drawn.

use crate::options::Options;
use crate::outcome::{Broken, Outcome, Verdict};
use crate::run;
use colo_protocol::CheckpointNumber;
use colo_trace::{Fault, FaultAction, FaultKind, Gate, Moment, NamedRules, Plan, Point};

/// The most runs that one shrinking takes.
const MOST_RUNS: u64 = 5_000;

/// The shortest run that was found.
#[derive(Clone, PartialEq, Debug)]
pub struct Shrunk {
    /// How it is run: its plan, its checkpoints, its clients.
    pub options: Options,
    /// What it comes to.
    pub outcome: Outcome,
    /// How many runs it took to find.
    pub runs: u64,
    /// Whether the search ended by itself: nothing simpler that it tries breaks the same.
    pub complete: bool,
}

impl Shrunk {
    /// The plan.
    pub const fn plan(&self) -> &Plan {
        &self.outcome.plan
    }
}

/// Shrinks a run that broke something: `outcome` is what `seed` came to with `options`. Nothing, if it broke nothing.
pub fn shrink(rules: &NamedRules, seed: u64, options: &Options, outcome: &Outcome) -> Option<Shrunk> {
    if outcome.verdict == Verdict::Holds {
        return None;
    }
    let mut search = Search {
        rules,
        broken: outcome.property,
        claimed: outcome.claimed,
        best: outcome.clone(),
        options: Options { record: false, ..options.clone() },
        runs: 0,
        seed,
    };
    let recorded = outcome.plan.clone();
    // What was drawn is a plan from now on: the same run.
    search.simplifies(Options { plan: Some(recorded), ..search.options.clone() }).then(|| {
        search.shrink();
        let complete = search.runs < MOST_RUNS;
        Shrunk { options: search.options, outcome: search.best, runs: search.runs, complete }
    })
}

/// A search for something simpler.
struct Search<'a> {
    rules: &'a NamedRules,
    seed: u64,
    broken: Option<Broken>,
    claimed: bool,
    /// The simplest so far, and what it came to.
    options: Options,
    best: Outcome,
    runs: u64,
}

impl Search<'_> {
    fn shrink(&mut self) {
        let passes = [
            Self::fewer_faults,
            Self::fewer_gates,
            Self::smaller,
            Self::plainer,
            Self::earlier,
            Self::simpler_points,
            Self::shorter,
        ];
        // Each pass can open a way for the others.
        while self.runs < MOST_RUNS {
            let shrunk = passes.map(|pass| pass(self));
            if !shrunk.contains(&true) {
                break;
            }
        }
    }

    /// Whether a run with these options breaks the same; if so, it is the simplest so far. What of its plan did not
    /// come to pass is left out.
    fn simplifies(&mut self, options: Options) -> bool {
        if self.runs >= MOST_RUNS {
            return false;
        }
        self.runs += 1;
        let outcome = run(self.rules, self.seed, &options);
        let same = outcome.property == self.broken && outcome.claimed == self.claimed;
        if !same || !outcome.closed.is_empty() {
            return false;
        }
        self.options = options;
        self.options.plan = Some(outcome.plan.clone());
        self.best = Outcome { unreached: Vec::new(), ..outcome };
        true
    }

    fn simplifies_by_plan(&mut self, plan: Plan) -> bool {
        self.simplifies(Options { plan: Some(plan), ..self.options.clone() })
    }

    fn faults(&self) -> &[Fault] {
        &self.best.plan.faults
    }

    fn gates(&self) -> &[Gate] {
        &self.best.plan.gates
    }

    fn with_faults(&self, faults: Vec<Fault>) -> Plan {
        Plan::new(faults).with_gates(self.gates().to_vec())
    }

    /// Halves of the faults, quarters, single ones are left out for as long as that breaks the same.
    fn fewer_faults(&mut self) -> bool {
        let before = self.faults().len();
        let mut size = before;
        while size > 0 {
            let mut from = 0;
            while from < self.faults().len() {
                let faults = self.faults();
                let to = faults.len().min(from + size);
                let rest = [&faults[..from], &faults[to..]].concat();
                if !self.simplifies_by_plan(self.with_faults(rest)) {
                    from += size;
                }
            }
            size /= 2;
        }
        self.faults().len() < before
    }

    fn fewer_gates(&mut self) -> bool {
        let before = self.gates().len();
        let mut index = 0;
        while index < self.gates().len() {
            let mut gates = self.gates().to_vec();
            gates.remove(index);
            if !self.simplifies_by_plan(self.best.plan.clone().with_gates(gates)) {
                index += 1;
            }
        }
        self.gates().len() < before
    }

    /// Fewer checkpoints, fewer clients.
    fn smaller(&mut self) -> bool {
        let Options { checkpoints, clients, .. } = self.options;
        let fewer = below(checkpoints)
            .any(|checkpoints| self.simplifies(Options { checkpoints, ..self.options.clone() }));
        let fewer_clients = below(u64::from(clients)).any(|clients| {
            let clients = u32::try_from(clients).unwrap_or(u32::MAX);
            self.simplifies(Options { clients, ..self.options.clone() })
        });
        fewer || fewer_clients
    }

    /// The whole plan, so many checkpoints earlier.
    fn earlier(&mut self) -> bool {
        let plan = &self.best.plan;
        let gates = plan.gates.iter().flat_map(|gate| [gate.hold, gate.until]);
        let points = plan.faults.iter().map(|fault| fault.at).chain(gates);
        let first = points.map(|point| point.checkpoint.0).min().unwrap_or(0);
        below(first + 1).take_while(|left| *left <= first).any(|left| {
            let by = first + 1 - left;
            let plan = moved(&self.best.plan, by);
            self.simplifies_by_plan(plan)
        })
    }

    /// Each fault by itself as one that everybody knows, and that real machines can have as well.
    fn plainer(&mut self) -> bool {
        (0..self.faults().len()).fold(false, |shrunk, index| {
            let Some(fault) = self.faults().get(index).copied() else { return shrunk };
            let plain = plainer(fault).any(|action| self.replaces(index, Fault { action, ..fault }));
            plain || shrunk
        })
    }

    /// Each fault by itself at a simpler point.
    fn simpler_points(&mut self) -> bool {
        (0..self.faults().len()).fold(false, |shrunk, index| {
            let Some(fault) = self.faults().get(index).copied() else { return shrunk };
            let simplified = simpler(fault.at).any(|at| self.replaces(index, Fault { at, ..fault }));
            simplified || shrunk
        })
    }

    /// Each fault by itself for a shorter time.
    fn shorter(&mut self) -> bool {
        (0..self.faults().len()).fold(false, |shrunk, index| {
            let Some(fault) = self.faults().get(index).copied() else { return shrunk };
            let shortened =
                shorter(fault.action).any(|action| self.replaces(index, Fault { action, ..fault }));
            shortened || shrunk
        })
    }

    /// Whether the run is the same story with this fault in the place of another. Nothing may be lost by it: that is
    /// another pass's business, and would move the places of the others.
    fn replaces(&mut self, index: usize, fault: Fault) -> bool {
        let mut faults = self.faults().to_vec();
        faults[index] = fault;
        self.simplifies_by_plan(self.with_faults(faults))
    }
}

/// Numbers from 1 to below `number`, the small ones first, in growing steps.
fn below(number: u64) -> impl Iterator<Item = u64> {
    let next = |last: &u64| Some(last + (last / 4).max(1));
    std::iter::successors(Some(1), next).take_while(move |candidate| *candidate < number)
}

/// A node that dies, or a link that is cut, in the place of what is less plain.
fn plainer(fault: Fault) -> impl Iterator<Item = FaultAction> {
    let is_plain = matches!(fault.action.kind(), FaultKind::Crash | FaultKind::Cut);
    let node = fault.action.node().unwrap_or(fault.at.node);
    let plain = [FaultAction::Crash { node }, FaultAction::Cut];
    plain.into_iter().filter(move |_| !is_plain)
}

/// The same for a shorter time, if it takes time.
fn shorter(action: FaultAction) -> impl Iterator<Item = FaultAction> {
    let times_ms = below(action.lasts_ms()).filter_map(|for_ms| u32::try_from(for_ms).ok());
    times_ms.map(move |for_ms| lasting(action, for_ms))
}

fn lasting(action: FaultAction, for_ms: u32) -> FaultAction {
    match action {
        FaultAction::Stall { .. } => FaultAction::Stall { for_ms },
        FaultAction::Pause { node, .. } => FaultAction::Pause { node, for_ms },
        FaultAction::SlowDisk { node, .. } => FaultAction::SlowDisk { node, for_ms },
        FaultAction::ClockJump { node, by_ms } => {
            let size_ms = i32::try_from(for_ms).unwrap_or(i32::MAX);
            FaultAction::ClockJump { node, by_ms: size_ms * by_ms.signum() }
        }
        other => other,
    }
}

fn moved(plan: &Plan, by: u64) -> Plan {
    let point = |at: Point| Point { checkpoint: CheckpointNumber(at.checkpoint.0.saturating_sub(by)), ..at };
    let faults = plan.faults.iter().map(|fault| Fault { at: point(fault.at), ..*fault });
    let gates = plan.gates.iter().map(|gate| Gate { hold: point(gate.hold), until: point(gate.until) });
    Plan::new(faults.collect()).with_gates(gates.collect())
}

/// Simpler points: the same event of an earlier checkpoint, an earlier one of the checkpoint, another moment of it.
/// What has not happened is simpler than what has, and that than what has half happened.
fn simpler(at: Point) -> impl Iterator<Item = Point> {
    let checkpoints = below(at.checkpoint.0 + 1).map(|above| CheckpointNumber(above - 1));
    let earlier = checkpoints.map(move |checkpoint| Point { checkpoint, ..at });
    let sooner = below(u64::from(at.occurrence)).filter_map(|occurrence| u32::try_from(occurrence).ok());
    let sooner = sooner.map(move |occurrence| Point { occurrence, ..at });
    let rank = |moment| match moment {
        Moment::Before => 0,
        Moment::After => 1,
        Moment::During => 2,
    };
    let moments =
        [Moment::Before, Moment::After].into_iter().filter(move |moment| rank(*moment) < rank(at.moment));
    earlier.chain(sooner).chain(moments.map(move |moment| Point { moment, ..at }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use colo_protocol::NodeName;

    #[test]
    fn small_numbers_come_first() {
        assert_eq!(below(4).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(below(1).count(), 0);
        assert!(below(10_000).count() < 50 && below(10_000).is_sorted());
    }

    #[test]
    fn what_has_no_length_gets_no_shorter() {
        let stalls = shorter(FaultAction::Stall { for_ms: 3 });
        assert!(stalls.eq([1, 2].map(|for_ms| FaultAction::Stall { for_ms })));
        assert_eq!(shorter(FaultAction::FailLoad).count(), 0);
    }

    #[test]
    fn what_is_plain_stays_as_it_is() {
        let plain = |action| {
            let at = "secondary checkpoint 1 after effect lock-vm".parse().unwrap();
            plainer(Fault { at, action }).map(|action| action.to_string()).collect::<Vec<_>>()
        };
        let primary = NodeName::Primary;
        assert_eq!(plain(FaultAction::Reset), ["crash of the secondary", "cut of the link"]);
        let of_the_primary = plain(FaultAction::FailDisk { node: primary });
        assert_eq!(of_the_primary, ["crash of the primary", "cut of the link"]);
        assert!(plain(FaultAction::Cut).is_empty() && plain(FaultAction::Crash { node: primary }).is_empty());
    }

    #[test]
    fn simpler_points_are_earlier_and_whole() {
        let at: Point = "primary checkpoint 2 during effect send-ram occurrence 2".parse().unwrap();
        let points: Vec<_> = simpler(at).map(|point| point.to_string()).collect();
        assert_eq!(
            points,
            [
                "primary checkpoint 0 during effect send-ram occurrence 2",
                "primary checkpoint 1 during effect send-ram occurrence 2",
                "primary checkpoint 2 during effect send-ram",
                "primary checkpoint 2 before effect send-ram occurrence 2",
                "primary checkpoint 2 after effect send-ram occurrence 2",
            ]
        );
    }
}
