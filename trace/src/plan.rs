//! Plans: what is to go wrong in a run, and where, and what is to wait for what.
//!
//! A plan is a TOML file that a person can read and write. [`PlanCursor`] follows one run through it; carrying a
//! fault out, and holding what a gate holds, is the business of whoever runs.

use crate::fault::FaultAction;
use crate::gate::Gate;
use crate::point::{Event, Moment, Point};
use colo_protocol::{CheckpointNumber, NodeName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use thiserror::Error;

/// The largest plan file that is read, bytes.
const MAX_PLAN_BYTES: usize = 1 << 20;

/// The version of the plan format.
const PLAN_SCHEMA: u32 = 1;

/// The longest that all of a plan's faults last together, milliseconds: an hour, longer than any run is of use.
const MAX_LASTING_MS: u64 = 3_600_000;

/// One fault of a plan.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// Where it strikes.
    pub at: Point,
    /// What goes wrong.
    #[serde(flatten)]
    pub action: FaultAction,
}

/// A list of faults, each at its point, and of gates.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The version of the format.
    pub schema: u32,
    /// The faults.
    #[serde(default, rename = "fault", skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// The gates.
    #[serde(default, rename = "gate", skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
}

/// A plan that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum PlanError {
    /// Not TOML, or not a plan.
    #[error("not a fault plan: {0}")]
    Syntax(String),
    /// Written for another version of this tool.
    #[error("a fault plan of schema {0}, expected {PLAN_SCHEMA}")]
    Schema(u32),
    /// Faults that last longer than any run.
    #[error("faults that last {0} ms together, expected at most {MAX_LASTING_MS}")]
    TooLong(u64),
    /// Larger than any sensible plan.
    #[error("a fault plan of {0} bytes, expected at most {MAX_PLAN_BYTES}")]
    TooLarge(usize),
}

impl Default for Plan {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Plan {
    /// Nothing is to go wrong.
    pub const NOTHING: Self = Self { schema: PLAN_SCHEMA, faults: Vec::new(), gates: Vec::new() };

    /// A plan of these faults.
    pub const fn new(faults: Vec<Fault>) -> Self {
        Self { schema: PLAN_SCHEMA, faults, gates: Vec::new() }
    }

    /// The same plan with these gates.
    #[must_use]
    pub fn with_gates(self, gates: Vec<Gate>) -> Self {
        Self { gates, ..self }
    }

    /// Reads a plan from TOML.
    pub fn from_toml(text: &str) -> Result<Self, PlanError> {
        if text.len() > MAX_PLAN_BYTES {
            return Err(PlanError::TooLarge(text.len()));
        }
        let plan: Self = toml::from_str(text).map_err(|error| PlanError::Syntax(error.to_string()))?;
        if plan.schema != PLAN_SCHEMA {
            return Err(PlanError::Schema(plan.schema));
        }
        plan.expect_known_fields(text)?;
        let lasting_ms = plan.faults.iter().map(|fault| fault.action.lasts_ms()).sum();
        if lasting_ms > MAX_LASTING_MS { Err(PlanError::TooLong(lasting_ms)) } else { Ok(plan) }
    }

    /// That a fault has no field that its action does not have: a reader of flattened fields passes over those.
    fn expect_known_fields(&self, text: &str) -> Result<(), PlanError> {
        let syntax = |problem: String| PlanError::Syntax(problem);
        let given: toml::Table = text.parse().map_err(|error: toml::de::Error| syntax(error.to_string()))?;
        let faults = given.get("fault").and_then(toml::Value::as_array);
        for (fault, given) in self.faults.iter().zip(faults.into_iter().flatten()) {
            let known = toml::Table::try_from(fault).map_err(|error| syntax(error.to_string()))?;
            let unknown =
                given.as_table().and_then(|given| given.keys().find(|key| !known.contains_key(*key)));
            if let Some(unknown) = unknown {
                let (at, name) = (fault.at, fault.action.kind().name());
                let known: Vec<&str> = known.keys().map(String::as_str).collect();
                let known = known.join(", ");
                return Err(syntax(format!("unknown field `{unknown}` of {name} at {at}, expected {known}")));
            }
        }
        Ok(())
    }

    /// Writes the plan as TOML.
    pub fn to_toml(&self) -> Result<String, PlanError> {
        toml::to_string(self).map_err(|error| PlanError::Syntax(error.to_string()))
    }
}

/// Follows one run, all pairs of it: counts the events at each node, says which faults strike and which gates are closed.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct PlanCursor {
    faults: Vec<Fault>,
    closed: Vec<Gate>,
    seen: BTreeMap<(NodeName, CheckpointNumber, Moment, Event), u32>,
}

impl PlanCursor {
    /// A cursor at the beginning of `plan`.
    pub fn new(plan: &Plan) -> Self {
        Self { faults: plan.faults.clone(), closed: plan.gates.clone(), seen: BTreeMap::new() }
    }

    /// The run has come to this event at this node; returns the point, and what strikes there.
    pub fn arrive(
        &mut self,
        node: NodeName,
        checkpoint: CheckpointNumber,
        moment: Moment,
        event: Event,
    ) -> (Point, Vec<FaultAction>) {
        let occurrence = self.seen.entry((node, checkpoint, moment, event)).or_insert(0);
        *occurrence += 1;
        let point = Point { node, checkpoint, moment, event, occurrence: *occurrence };
        self.pass(point);
        (point, self.strike(point))
    }

    /// The run has passed this point, seen by somebody else: the gates that wait for it open.
    pub fn pass(&mut self, point: Point) {
        self.closed.retain(|gate| gate.until != point);
    }

    /// The point at which the run will be when it comes to this event.
    pub fn next_point(
        &self,
        node: NodeName,
        checkpoint: CheckpointNumber,
        moment: Moment,
        event: Event,
    ) -> Point {
        let seen = self.seen.get(&(node, checkpoint, moment, event)).copied().unwrap_or(0);
        Point { node, checkpoint, moment, event, occurrence: seen.saturating_add(1) }
    }

    /// The closed gates that hold what happens at `point`.
    pub fn holds(&self, point: Point) -> impl Iterator<Item = &Gate> {
        self.closed.iter().filter(move |gate| gate.hold == point)
    }

    /// Forgets the events that nothing left of the plan names: a run is the same with them counted or not.
    pub fn forget(&mut self) {
        let Self { faults, closed, seen } = self;
        let named = |key: &(NodeName, CheckpointNumber, Moment, Event)| {
            let of = |point: Point| (point.node, point.checkpoint, point.moment, point.event) == *key;
            faults.iter().any(|fault| of(fault.at))
                || closed.iter().any(|gate| of(gate.hold) || of(gate.until))
        };
        seen.retain(|key, _| named(key));
    }

    /// The gates that have not opened.
    pub fn closed(&self) -> &[Gate] {
        &self.closed
    }

    /// The faults that have not struck: after a run, those whose point it never reached.
    pub fn left(&self) -> &[Fault] {
        &self.faults
    }

    fn strike(&mut self, point: Point) -> Vec<FaultAction> {
        if self.faults.is_empty() {
            return Vec::new();
        }
        let struck = self.faults.iter().filter(|fault| fault.at == point).map(|fault| fault.action).collect();
        self.faults.retain(|fault| fault.at != point);
        struck
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use colo_protocol::{EffectKind, MessageKind};

    const TEXT: &str = r#"schema = 1

[[fault]]
at = "primary checkpoint 3 after effect vmstate-size"
action = "crash"
node = "primary"

[[fault]]
at = "secondary checkpoint 2 before effect lock-vm"
action = "stall"
for_ms = 40
"#;

    #[test]
    fn a_plan_reads_as_it_is_written() {
        let plan = Plan::from_toml(TEXT).unwrap();
        assert_eq!(plan.to_toml().unwrap(), TEXT);
    }

    const GATED: &str = r#"schema = 1

[[fault]]
at = "primary checkpoint 1 after effect release"
action = "peer-silent"
node = "secondary"

[[gate]]
hold = "secondary checkpoint 3 before effect load-state"
until = "secondary checkpoint 3 after input lost-heartbeat"
"#;

    #[test]
    fn gates_read_as_they_are_written() {
        let plan = Plan::from_toml(GATED).unwrap();
        assert_eq!((plan.gates.len(), plan.to_toml().unwrap().as_str()), (1, GATED));
    }

    #[test]
    fn a_bad_gate_says_on_which_line_it_is_wrong() {
        for (from, to, problem) in [
            ("until =", "untill =", "unknown field `untill`"),
            ("until = \"secondary checkpoint 3 after input lost-heartbeat\"", "", "missing field `until`"),
            ("3 before", "3 after", "cannot be held"),
            ("3 after input lost-heartbeat", "3 before effect load-state", "never opens"),
            ("hold = \"secondary", "hold = \"tertiary", "\"tertiary\" is not primary or secondary"),
        ] {
            let error = Plan::from_toml(&GATED.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains("at line "), "{error}");
        }
    }

    #[test]
    fn a_gate_holds_until_its_point_has_passed() {
        let mut cursor = PlanCursor::new(&Plan::from_toml(GATED).unwrap());
        let three = CheckpointNumber(3);
        let secondary = NodeName::Secondary;
        let load = Event::Effect(EffectKind::LoadState);
        let held = |cursor: &PlanCursor| {
            cursor.holds(cursor.next_point(secondary, three, Moment::Before, load)).count()
        };
        assert_eq!(held(&cursor), 1);
        let suspected = Event::Input(colo_protocol::InputKind::LostHeartbeat);
        cursor.arrive(secondary, three, Moment::Before, suspected);
        assert_eq!(held(&cursor), 1);
        cursor.arrive(secondary, three, Moment::After, suspected);
        assert_eq!((held(&cursor), cursor.closed().len()), (0, 0));
    }

    #[test]
    fn a_bad_plan_says_what_is_wrong() {
        for (text, problem) in [
            ("schema = 2", "a fault plan of schema 2, expected 1"),
            ("schema = 1\nfoult = 3", "unknown field `foult`"),
            (
                "schema = 1\n[[fault]]\nat = \"primary\"\naction = \"cut\"",
                "cannot read the point \"primary\"",
            ),
            (
                "schema = 1\n[[fault]]\nat = \"primary checkpoint 1 after effect release\"\naction = \"explode\"",
                "unknown variant `explode`",
            ),
            (
                &TEXT.replace("for_ms = 40", "for_ms = 3600001"),
                "faults that last 3600001 ms together, expected at most 3600000",
            ),
            (
                &TEXT.replace("\"stall\"\nfor_ms = 40", "\"cut\"\ncolour = \"red\""),
                "unknown field `colour` of cut at secondary checkpoint 2 before effect lock-vm, expected action, at",
            ),
            ("\0", "not a fault plan"),
        ] {
            let error = Plan::from_toml(text).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn a_fault_strikes_once_at_its_occurrence() {
        let at = "primary checkpoint 1 after effect release occurrence 2".parse().unwrap();
        let plan = Plan::new(vec![Fault { at, action: FaultAction::Cut }]);
        let mut cursor = PlanCursor::new(&plan);
        let mut arrive = |effect| {
            cursor.arrive(NodeName::Primary, CheckpointNumber(1), Moment::After, Event::Effect(effect)).1
        };
        assert_eq!(arrive(EffectKind::Release), []);
        assert_eq!(arrive(EffectKind::Send(MessageKind::VmstateSend)), []);
        assert_eq!(arrive(EffectKind::Release), [FaultAction::Cut]);
        assert_eq!(arrive(EffectKind::Release), []);
        assert_eq!(cursor.left(), []);
    }
}
