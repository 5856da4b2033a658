//! Inputs by name, and what follows in words.

use colo_protocol::{Effect, Input, InputKind, Machine, Rules};

/// Gives one input ("guest-output 3") to a machine: the effects and the phase that follow.
pub(crate) fn told(machine: &mut Machine, rules: &Rules, text: &str) -> String {
    let (name, value) = text.split_once(' ').unwrap_or((text, "0"));
    let input = Input::new(InputKind::from_name(name).unwrap(), value.parse().unwrap());
    let mut step = machine.step(rules, input);
    // A failover that was asked for begins at once.
    if step.effects.contains(&Effect::BeginFailover) {
        step = machine.step(rules, Input::FailoverBegins);
    }
    let effects: Vec<_> = step.effects.iter().map(ToString::to_string).collect();
    let error = step.error.map(|error| format!("error: {error}; ")).unwrap_or_default();
    format!("{error}[{}] {}", effects.join(", "), machine.phase_name())
}
