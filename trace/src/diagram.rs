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
    let [primary, secondary, world] = told(record);
    [primary, arrow(record).unwrap_or_default().to_owned(), secondary, world]
}

/// What stands in the columns of the primary, the secondary and the world.
pub(crate) fn told(record: &Record) -> [String; 3] {
    let mut told: [String; 3] = Default::default();
    let text = words(record);
    match (record.kind, record.node) {
        (Kind::Violation | Kind::Client, _) | (_, None) => told[2] = text,
        (_, Some(NodeName::Primary)) => told[0] = text,
        (_, Some(NodeName::Secondary)) => told[1] = text,
    }
    if let (Kind::Effect, "release", Some(up_to)) = (record.kind, record.name.as_str(), record.value) {
        told[2] = format!("output before {up_to} leaves");
    }
    told
}

/// What the event is called in its column, and wherever else a person reads of it.
pub fn words(record: &Record) -> String {
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

/// An end of a message's way over the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Crossing {
    /// The node has sent it.
    Sent,
    /// It has come to the node.
    Arrived,
}

/// Whether the record tells of a message, or of a state, that was sent or has arrived.
pub(crate) fn crossing(record: &Record) -> Option<Crossing> {
    let sends = match EffectKind::from_name(&record.name) {
        Some(EffectKind::Send(_)) => record.kind == Kind::Effect,
        _ => matches!(record.name.as_str(), "ram-sent" | "device-state-sent"),
    };
    let arrives = match InputKind::from_name(&record.name) {
        Some(InputKind::Message(_)) => record.kind == Kind::Input,
        _ => matches!(record.name.as_str(), "ram-received" | "device-state-received"),
    };
    match (sends, arrives) {
        (true, _) => Some(Crossing::Sent),
        (_, true) => Some(Crossing::Arrived),
        _ => None,
    }
}

/// The part of the link that a sent or received message crosses.
fn arrow(record: &Record) -> Option<&'static str> {
    Some(match (record.node?, crossing(record)?) {
        (NodeName::Primary, Crossing::Sent) => "o------>",
        (NodeName::Secondary, Crossing::Arrived) => "      ------->",
        (NodeName::Secondary, Crossing::Sent) => "      <------o",
        (NodeName::Primary, Crossing::Arrived) => "<-------",
    })
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
