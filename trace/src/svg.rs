//! The sequence diagram of a trace as a picture: one self-contained SVG, no script, no font from elsewhere.
//!
//! It tells what [`crate::diagram()`] tells, row by row. Here a message is one arrow, from where it was sent to where
//! it arrived; one that has not arrived is dashed, and ends between the nodes. The same trace gives the same bytes.

use crate::diagram::{Crossing, crossing, told};
use crate::record::{Kind, Record, Trace, Way};
use colo_protocol::NodeName;
use std::collections::VecDeque;
use std::fmt::Write;

/// The height of a row, and of what is above the first one.
const ROW: usize = 20;
const HEAD: usize = 64;
/// The room between the two lifelines, and around anything else.
const LINK: usize = 170;
const GAP: usize = 14;
/// Where step numbers end.
const STEP: usize = 40;
/// Columns are at least this wide, in letters.
const MIN_LETTERS: usize = 22;

const INK: &str = "#1d2733";
const FAINT: &str = "#8a97a5";
const MESSAGE: &str = "#2b5672";
const OUTPUT: &str = "#1f7a3d";
const FAULT: &str = "#b3261e";

/// Where the columns are.
struct Columns {
    primary: usize,
    secondary: usize,
    world: usize,
    width: usize,
}

impl Columns {
    fn of(rows: &[Row]) -> Self {
        let letters = |column: usize| {
            let longest = rows.iter().map(|row| row.told[column].chars().count()).max();
            wide(longest.unwrap_or(0).max(MIN_LETTERS))
        };
        let primary = STEP + GAP + letters(0) + GAP;
        let secondary = primary + LINK;
        let world = secondary + GAP + letters(1) + GAP;
        Self { primary, secondary, world, width: world + letters(2) + GAP }
    }

    const fn of_node(&self, node: NodeName) -> usize {
        match node {
            NodeName::Primary => self.primary,
            NodeName::Secondary => self.secondary,
        }
    }
}

/// A line of the diagram.
struct Row<'a> {
    record: &'a Record,
    /// The step's number; what is broken is broken by the step above it, and has none.
    step: Option<usize>,
    told: [String; 3],
    y: usize,
}

/// A message on its way: from a node in a row to its peer, in another row if it has arrived.
struct Arrow {
    from: NodeName,
    sent: Option<usize>,
    arrived: Option<usize>,
}

/// Draws the events of a trace as SVG.
pub fn svg(trace: &Trace) -> String {
    let rows = rows(trace);
    let columns = Columns::of(&rows);
    let bottom = HEAD + rows.len() * ROW;
    let (width, height) = (columns.width, bottom + GAP);
    let mut out = String::new();
    line(
        &mut out,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"monospace\" font-size=\"12\" fill=\"{INK}\">"
        ),
    );
    let title = escaped(&title(trace));
    line(&mut out, format_args!("<title>{title}</title>"));
    line(&mut out, format_args!("<rect width=\"{width}\" height=\"{height}\" rx=\"6\" fill=\"#ffffff\"/>"));
    line(&mut out, format_args!("<text x=\"{GAP}\" y=\"22\" fill=\"{FAINT}\">{title}</text>"));
    // What comes later lies above.
    for row in rows.iter().filter(|row| row.record.kind == Kind::Violation) {
        band(&mut out, &columns, row.y);
    }
    lifelines(&mut out, &columns, bottom);
    for row in rows.iter().filter(|row| row.record.kind == Kind::Fault) {
        marks(&mut out, &columns, row);
    }
    for arrow in arrows(&rows) {
        draw_arrow(&mut out, &columns, &arrow);
    }
    for row in &rows {
        texts(&mut out, &columns, row);
    }
    out.push_str("</svg>\n");
    out
}

fn title(trace: &Trace) -> String {
    let way = match trace.header.way {
        Way::Model => "model",
        Way::Sim => "simulation",
        Way::Real => "real machines",
    };
    let seed = trace.header.seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
    format!("{}, {way}{seed}", trace.header.rules_name)
}

fn rows(trace: &Trace) -> Vec<Row<'_>> {
    let mut steps = 0;
    let numbered = trace.records.iter().enumerate().map(|(index, record)| {
        let counts = !matches!(record.kind, Kind::Violation | Kind::Note);
        steps += usize::from(counts);
        Row { record, step: counts.then_some(steps), told: told(record), y: HEAD + index * ROW + ROW / 2 }
    });
    numbered.collect()
}

/// Which arrival belongs to which sending: the link keeps the order, so what was passed over is lost.
fn arrows(rows: &[Row<'_>]) -> Vec<Arrow> {
    let mut arrows: Vec<Arrow> = Vec::new();
    let mut under_way: [VecDeque<(usize, &Record)>; 2] = Default::default();
    for row in rows {
        let (Some(node), Some(crossing)) = (row.record.node, crossing(row.record)) else { continue };
        match crossing {
            Crossing::Sent => {
                under_way[node as usize].push_back((arrows.len(), row.record));
                arrows.push(Arrow { from: node, sent: Some(row.y), arrived: None });
            }
            Crossing::Arrived => {
                let from = node.peer();
                let waiting = &mut under_way[from as usize];
                match waiting.iter().position(|(_, sent)| is_arrival_of(row.record, sent)) {
                    Some(place) => {
                        arrows[waiting[place].0].arrived = Some(row.y);
                        waiting.drain(..=place);
                    }
                    None => arrows.push(Arrow { from, sent: None, arrived: Some(row.y) }),
                }
            }
        }
    }
    arrows
}

fn is_arrival_of(arrived: &Record, sent: &Record) -> bool {
    match sent.name.strip_suffix("-sent") {
        Some(what) => arrived.name.strip_suffix("-received") == Some(what),
        None => arrived.name == sent.name && arrived.value == sent.value,
    }
}

fn lifelines(out: &mut String, columns: &Columns, bottom: usize) {
    let y = HEAD - ROW / 2;
    for (x, anchor, name) in [
        (columns.primary - GAP, "end", "primary"),
        (columns.secondary + GAP, "start", "secondary"),
        (columns.world, "start", "world"),
    ] {
        line(
            out,
            format_args!(
                "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\" font-weight=\"bold\">{name}</text>"
            ),
        );
    }
    for x in [columns.primary, columns.secondary] {
        let top = HEAD - ROW;
        line(
            out,
            format_args!(
                "<line x1=\"{x}\" y1=\"{top}\" x2=\"{x}\" y2=\"{bottom}\" stroke=\"{FAINT}\" stroke-width=\"2\"/>"
            ),
        );
    }
}

/// The row in which something breaks.
fn band(out: &mut String, columns: &Columns, y: usize) {
    let (width, top) = (columns.width, y - ROW / 2);
    line(out, format_args!("<rect y=\"{top}\" width=\"{width}\" height=\"{ROW}\" fill=\"#fde3e1\"/>"));
}

/// Where a fault strikes: a cross on a node's lifeline, a line across the link.
fn marks(out: &mut String, columns: &Columns, row: &Row<'_>) {
    if let Some(node) = row.record.node {
        return cross(out, columns.of_node(node), row.y);
    }
    let (x1, x2, y) = (columns.primary, columns.world - GAP, row.y);
    line(
        out,
        format_args!(
            "<line x1=\"{x1}\" y1=\"{y}\" x2=\"{x2}\" y2=\"{y}\" stroke=\"{FAULT}\" stroke-dasharray=\"2 4\"/>"
        ),
    );
}

fn cross(out: &mut String, x: usize, y: usize) {
    let (left, right, top, bottom) = (x - 6, x + 6, y - 6, y + 6);
    line(
        out,
        format_args!(
            "<path d=\"M{left} {top}L{right} {bottom}M{left} {bottom}L{right} {top}\" stroke=\"{FAULT}\" \
             stroke-width=\"3\"/>"
        ),
    );
}

/// An arrow from lifeline to lifeline; half of one where an end is not known.
fn draw_arrow(out: &mut String, columns: &Columns, arrow: &Arrow) {
    let (start, end) = (columns.of_node(arrow.from), columns.of_node(arrow.from.peer()));
    let middle = columns.primary + LINK / 2;
    let (x1, x2) = match (arrow.sent, arrow.arrived) {
        (None, _) => (middle, end),
        (_, None) => (start, middle),
        _ => (start, end),
    };
    let Some(y1) = arrow.sent.or(arrow.arrived) else { return };
    let y2 = arrow.arrived.unwrap_or(y1);
    let dashes = if arrow.arrived.is_none() { " stroke-dasharray=\"5 4\"" } else { "" };
    line(
        out,
        format_args!(
            "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" stroke=\"{MESSAGE}\" \
             stroke-width=\"1.5\"{dashes}/>"
        ),
    );
    // The head lies flat: markers would need names, and two pictures in one page would share them.
    let back = if x2 > x1 { x2 - 9 } else { x2 + 9 };
    let (top, bottom) = (y2 - 4, y2 + 4);
    line(out, format_args!("<path d=\"M{x2} {y2}L{back} {top}L{back} {bottom}Z\" fill=\"{MESSAGE}\"/>"));
    if arrow.sent.is_some() {
        line(out, format_args!("<circle cx=\"{x1}\" cy=\"{y1}\" r=\"3\" fill=\"{MESSAGE}\"/>"));
    }
}

fn texts(out: &mut String, columns: &Columns, row: &Row<'_>) {
    let y = row.y + 4;
    if let Some(step) = row.step {
        line(
            out,
            format_args!("<text x=\"{STEP}\" y=\"{y}\" text-anchor=\"end\" fill=\"{FAINT}\">{step}</text>"),
        );
    }
    let colour = match row.record.kind {
        Kind::Fault | Kind::Error | Kind::Violation => Some(FAULT),
        _ => None,
    };
    let weight = if row.record.kind == Kind::Violation { " font-weight=\"bold\"" } else { "" };
    for (text, x, anchor, ink) in [
        (&row.told[0], columns.primary - GAP, " text-anchor=\"end\"", INK),
        (&row.told[1], columns.secondary + GAP, "", INK),
        (&row.told[2], columns.world, "", OUTPUT),
    ] {
        if !text.is_empty() {
            let (text, ink) = (escaped(text), colour.unwrap_or(ink));
            line(out, format_args!("<text x=\"{x}\" y=\"{y}\"{anchor} fill=\"{ink}\"{weight}>{text}</text>"));
        }
    }
}

/// The width of so many letters, in whole pixels and rather too wide.
const fn wide(letters: usize) -> usize {
    letters * 15 / 2
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

/// Text as XML takes it. A trace can come from anywhere: what XML cannot hold at all becomes a replacement character.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {
                out.push(char::REPLACEMENT_CHARACTER);
            }
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Header, SCHEMA};
    use colo_protocol::{Effect, Input, Message, OutputOffset, Rules};

    fn trace(records: Vec<Record>) -> Trace {
        let header = Header {
            schema: SCHEMA,
            rules_name: "v12".to_owned(),
            rules: Rules::V12,
            seed: None,
            version: "0.0.0".to_owned(),
            way: Way::Model,
        };
        Trace { header, records }
    }

    fn story() -> Trace {
        let (p, s) = (NodeName::Primary, NodeName::Secondary);
        trace(vec![
            Record::effect(1, s, 0, Effect::Send(Message::CheckpointReady)),
            Record::input(2, p, 0, Input::Message(Message::CheckpointReady)),
            Record::input(3, p, 1, Input::RamSent),
            Record::effect(4, p, 1, Effect::Release(OutputOffset(2))),
            Record::input(5, s, 1, Input::RamReceived),
            Record::effect(6, p, 1, Effect::Send(Message::VmstateSize(12_953))),
            Record::other(7, None, 1, Kind::Fault, "cut of the link"),
            Record::other(8, Some(p), 1, Kind::Fault, "crash of the primary"),
            Record::other(8, None, 1, Kind::Violation, "output commit"),
        ])
    }

    #[test]
    fn a_story_is_drawn_with_its_arrows_faults_and_what_breaks() {
        insta::assert_snapshot!(svg(&story()));
    }

    #[test]
    fn the_same_trace_gives_the_same_bytes_and_nothing_from_elsewhere() {
        let drawn = svg(&story());
        assert_eq!(drawn, svg(&story()));
        for foreign in ["<script", "href", "url(", "<style", "@import"] {
            assert!(!drawn.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn text_from_a_trace_is_text_only() {
        let name = "</text><script>alert(\"1\" & '2')</script>\u{1b}";
        let drawn = svg(&trace(vec![Record::other(1, None, 0, Kind::Client, name)]));
        assert!(
            drawn.contains("&lt;/text&gt;&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)"),
            "{drawn}"
        );
        assert!(!drawn.contains("<script") && !drawn.contains('\u{1b}'));
    }

    #[test]
    fn a_message_that_was_passed_over_is_lost_and_one_that_nobody_sent_comes_from_between() {
        let (p, s) = (NodeName::Primary, NodeName::Secondary);
        let told = trace(vec![
            Record::effect(1, p, 1, Effect::Send(Message::CheckpointRequest)),
            Record::effect(2, p, 1, Effect::Send(Message::VmstateSend)),
            Record::input(3, s, 1, Input::Message(Message::VmstateSend)),
            Record::input(4, p, 1, Input::Message(Message::CheckpointReply)),
        ]);
        let known: Vec<_> = arrows(&rows(&told))
            .iter()
            .map(|arrow| (arrow.sent.is_some(), arrow.arrived.is_some()))
            .collect();
        assert_eq!(known, [(true, false), (true, true), (false, true)]);
    }
}
