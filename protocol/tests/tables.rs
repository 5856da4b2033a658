//! The transition tables of both machines under every preset: what they are today, and that a change is seen.

#![expect(clippy::unwrap_used, reason = "a test may")]

use colo_protocol::{NodeName, PRESETS, table};

fn print(node: NodeName, name: &str) -> String {
    let rules = colo_protocol::rules_named(name).unwrap();
    table::transitions(node, &rules)
        .iter()
        .map(|row| {
            let effects: Vec<_> = row.effects.iter().map(|effect| effect.name()).collect();
            let effects = if row.refused { "refused".to_owned() } else { effects.join(", ") };
            format!("{:22} {:22} -> {:22} {}", row.phase, row.input.name(), row.next, effects)
                .trim_end()
                .to_owned()
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_tables_are_what_they_were() {
    for preset in PRESETS {
        for node in NodeName::ALL {
            insta::assert_snapshot!(format!("{}-{node}", preset.name), print(node, preset.name));
        }
    }
}
