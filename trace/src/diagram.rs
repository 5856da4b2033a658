//! The sequence diagram of a trace, for a terminal: 98 columns, one line an event.
//!
//! Each node has a column, messages cross between them, and what the world sees stands on the right.

use crate::record::{Kind, Record, Trace};
use colo_protocol::{EffectKind, InputKind, NodeName};
use std::fmt::Write;

/// Widths of the columns: step, primary, link, secondary.
const STEP: usize = 5;
const NODE: usize = 26;
const LINK: usize = 14;

/// Draws the events of a trace.
pub fn diagram(trace: &Trace) -> String {
    let mut out = String::new();
    line(&mut out, "step", ["primary", "", "secondary", "world"]);
    line(&mut out, "----", ["-------", "", "---------", "-----"]);
    let mut step = 0;
    for record in &trace.records {
        if record.kind == Kind::Note {
            let _ = writeln!(out, "{:>STEP$}  --- {} ---", "", record.name);
            continue;
        }
        // What is broken is broken by the step above it.
        let number = if record.kind == Kind::Violation { String::new() } else { counted(&mut step) };
        line(&mut out, &number, columns(record).each_ref().map(String::as_str));
    }
    out
}

fn counted(step: &mut usize) -> String {
    *step += 1;
    step.to_string()
}

fn line(out: &mut String, step: &str, [primary, link, secondary, world]: [&str; 4]) {
    let row = format!("{step:>STEP$}  {primary:<NODE$} {link:<LINK$} {secondary:<NODE$} {world}");
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{}", row.trim_end());
}

fn columns(record: &Record) -> [String; 4] {
    let mut columns: [String; 4] = Default::default();
    let text = text(record);
    match (record.kind, record.node) {
        (Kind::Violation | Kind::Client, _) | (Kind::Fault, None) => columns[3] = text,
        (_, Some(NodeName::Primary)) => columns[0] = text,
        (_, Some(NodeName::Secondary)) => columns[2] = text,
        (_, None) => columns[3] = text,
    }
    if let Some(node) = record.node {
        arrow(record, node).unwrap_or_default().clone_into(&mut columns[1]);
    }
    if let (Kind::Effect, "release", Some(up_to)) = (record.kind, record.name.as_str(), record.value) {
        columns[3] = format!("output before {up_to} leaves");
    }
    columns
}

/// What the event is called in its column.
fn text(record: &Record) -> String {
    let mut text = match record.kind {
        Kind::Fault => format!("*** {}", record.name),
        Kind::Violation => format!("!!! {}", record.name),
        Kind::Error => format!("error: {}", record.name),
        _ => record.name.clone(),
    };
    if let (Some(value), false) = (record.value, record.name == "arm-checkpoint-timer") {
        let _ = write!(text, " {value}");
    }
    if let Some(detail) = &record.detail {
        let _ = write!(text, " ({detail})");
    }
    text
}

/// The part of the link that a sent or received message crosses.
fn arrow(record: &Record, node: NodeName) -> Option<&'static str> {
    let sends = match EffectKind::from_name(&record.name) {
        Some(EffectKind::Send(_)) => record.kind == Kind::Effect,
        _ => matches!(record.name.as_str(), "ram-sent" | "device-state-sent"),
    };
    let receives = match InputKind::from_name(&record.name) {
        Some(InputKind::Message(_)) => record.kind == Kind::Input,
        _ => matches!(record.name.as_str(), "ram-received" | "device-state-received"),
    };
    match (node, sends, receives) {
        (NodeName::Primary, true, _) => Some("o------>"),
        (NodeName::Secondary, _, true) => Some("      ------->"),
        (NodeName::Secondary, true, _) => Some("      <------o"),
        (NodeName::Primary, _, true) => Some("<-------"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Header, SCHEMA, Way};
    use colo_protocol::{Effect, Input, Message, OutputOffset, Rules};

    #[test]
    fn a_message_crosses_from_column_to_column() {
        let header = Header {
            schema: SCHEMA,
            rules_name: "v12".to_owned(),
            rules: Rules::V12,
            seed: None,
            version: "0.0.0".to_owned(),
            way: Way::Model,
        };
        let (p, s) = (NodeName::Primary, NodeName::Secondary);
        let records = vec![
            Record::effect(1, s, 0, Effect::Send(Message::CheckpointReady)),
            Record::input(2, p, 0, Input::Message(Message::CheckpointReady)),
            Record::effect(3, p, 1, Effect::Send(Message::VmstateSize(12_953))),
            Record::input(4, s, 1, Input::Message(Message::VmstateSize(12_953))),
            Record::effect(5, p, 1, Effect::Release(OutputOffset(2))),
            Record::other(6, Some(p), 1, Kind::Fault, "crash of the primary"),
            Record::other(7, None, 1, Kind::Violation, "output commit"),
        ];
        insta::assert_snapshot!(diagram(&Trace { header, records }));
    }
}
