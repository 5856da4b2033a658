//! The comparison as a table for a terminal, or in Markdown, with what stands below it. Decides nothing.

use super::row::{CHECKPOINTS, INTERVAL_MS, Row, SEEDS, Violation};
use crate::report::{grouped, paragraph};
use colo_model::{CheckpointCost, Verdict};
use std::fmt::Write;

/// What there is to say of a variant that has nothing there.
const NOTHING: &str = "-";

/// How wide a terminal is.
const TERMINAL: usize = 100;

/// Between two columns.
const GAP: usize = 2;

/// Each column: its heading, and its cell in a row.
type Column = (&'static str, fn(&Row) -> String);

const COLUMNS: [Column; 10] = [
    ("rules", |row| row.name.clone()),
    ("safety", |row| row.safety.name().to_owned()),
    ("liveness", |row| or_nothing(row.liveness.map(Verdict::name))),
    ("states", |row| grouped(row.distinct)),
    ("shortest\nsteps", |row| or_nothing(row.shortest())),
    ("messages", |row| or_nothing(row.cost.as_ref().map(|cost| cost.messages.len()))),
    ("round\ntrips", |row| or_nothing(row.cost.as_ref().map(trips))),
    ("pause\nms", |row| or_nothing(row.times.map(|times| millis(times.pause_us)))),
    ("release\nms", |row| or_nothing(row.times.map(|times| millis(times.release_us)))),
    ("transaction\nms", |row| or_nothing(row.times.map(|times| millis(times.transaction_us)))),
];

fn or_nothing(cell: Option<impl ToString>) -> String {
    cell.map_or_else(|| NOTHING.to_owned(), |cell| cell.to_string())
}

/// "2 (1)": two, one of them while the primary's VM stands still.
fn trips(cost: &CheckpointCost) -> String {
    format!("{} ({})", cost.round_trips(), cost.round_trips_in_pause())
}

/// 12345 as "12.3".
fn millis(micros: u64) -> String {
    let tenths = (micros + 50) / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn cells(row: &Row) -> Vec<String> {
    COLUMNS.iter().map(|(_, cell)| cell(row)).collect()
}

/// For a terminal of 100 columns. A name that is too long for its column has a line of its own above its row.
pub(crate) fn terminal(rows: &[Row]) -> String {
    let headings = (0..2).map(|line| COLUMNS.map(|(heading, _)| nth_line(heading, line)).to_vec());
    let lines: Vec<_> = headings.chain(rows.iter().map(cells)).collect();
    let width = |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
    let figures: Vec<_> = (1..COLUMNS.len()).map(width).collect();
    let left = TERMINAL.saturating_sub(figures.iter().map(|width| GAP + width).sum());
    let names = lines.iter().map(|cells| cells[0].chars().count());
    let first = names.filter(|width| *width <= left).max().unwrap_or(0);
    let mut out = String::new();
    for cells in lines {
        let mut line = format!("{:first$}", cells[0]);
        if cells[0].chars().count() > first {
            line = textwrap::fill(&line, TERMINAL) + "\n" + &" ".repeat(first);
        }
        for (cell, width) in cells[1..].iter().zip(&figures) {
            let _ = write!(line, "{:GAP$}{cell:width$}", "");
        }
        out = out + line.trim_end() + "\n";
    }
    out.push('\n');
    for (heading, text) in notes(rows) {
        paragraph(&mut out, &format!("{heading:<12} "), &text);
    }
    out
}

fn nth_line(heading: &str, line: usize) -> String {
    heading.lines().nth(line).unwrap_or_default().to_owned()
}

/// For a page.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut out = String::new();
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    out += &line(COLUMNS.map(|(heading, _)| heading.replace('\n', " ")).to_vec());
    let _ = writeln!(out, "|{}", "---|".repeat(COLUMNS.len()));
    for row in rows {
        // A file may be called anything.
        out += &line(cells(row).into_iter().map(|cell| cell.replace('|', "\\|")).collect());
    }
    out.push('\n');
    for (heading, text) in notes(rows) {
        let _ = writeln!(out, "* {heading}: {text}");
    }
    out
}

/// What stands below the table: a heading and its text each. First what is wrong, then what the columns mean.
fn notes(rows: &[Row]) -> Vec<(&'static str, String)> {
    let mut notes = Vec::new();
    for row in rows {
        let name = &row.name;
        for (heading, claimed) in [("violated", true), ("not claimed", false)] {
            let all: Vec<_> = row.broken_if(claimed).map(told).collect();
            if !all.is_empty() {
                notes.push((heading, format!("{name}: {}", all.join("; "))));
            }
        }
        if !row.complete {
            notes.push(("incomplete", format!("{name}: NOT all there is was explored, a limit was reached")));
        }
        if !row.vacuous.is_empty() {
            let all = row.vacuous.join(", ");
            notes.push(("vacuous", format!("{name}: within these bounds nothing ever calls for: {all}")));
        }
    }
    if rows.iter().any(|row| row.broken_if(false).next().is_some()) {
        let why = "broken as well, but the rules do not stand for it: it makes no verdict";
        notes.push(("not claimed", why.to_owned()));
    }
    if rows.iter().any(|row| row.liveness.is_none()) {
        notes.push(("liveness", "not judged where checkpoints are counted: they come to an end".to_owned()));
    }
    notes.push((
        "round trips",
        "per checkpoint, counted on the core; in brackets those in which the primary's VM stands still"
            .to_owned(),
    ));
    notes.push(("virtual time", virtual_time()));
    let timeless: Vec<_> =
        rows.iter().filter(|row| row.times.is_none()).map(|row| row.name.as_str()).collect();
    if !timeless.is_empty() {
        let why = "nothing is simulated after Ctrl-C";
        notes.push(("no times", format!("{}: {why}", timeless.join(", "))));
    }
    notes
}

fn told(violation: &Violation) -> String {
    match violation.length {
        Some(length) => format!("{} in {length} steps", violation.name),
        None => violation.name.to_owned(),
    }
}

fn virtual_time() -> String {
    format!(
        "pause: the primary's VM stands still; release: from the request until output leaves; transaction: from the \
         request to vmstate-loaded. Medians of {CHECKPOINTS} checkpoints in each of {SEEDS} simulated runs without a \
         fault, {INTERVAL_MS} ms apart whatever the rules say"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> Row {
        Row {
            name: name.to_owned(),
            safety: Verdict::Holds,
            liveness: None,
            complete: true,
            distinct: 3_272_203,
            broken: Vec::new(),
            vacuous: Vec::new(),
            cost: None,
            times: None,
        }
    }

    #[test]
    fn tenths_of_milliseconds_are_rounded() {
        for (micros, text) in [(0, "0.0"), (49, "0.0"), (50, "0.1"), (12_345, "12.3"), (99_960, "100.0")] {
            assert_eq!(millis(micros), text);
        }
    }

    #[test]
    fn the_longest_name_leaves_a_table_that_fits_a_terminal() {
        let rows = ["v12", &"long/".repeat(40), "bug:failed-load-forgotten"].map(row);
        let text = terminal(&rows);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert!(text.contains("3,272,203"), "{text}");
    }

    #[test]
    fn a_bar_in_a_name_does_not_end_its_cell() {
        assert!(markdown(&[row("a|b.toml")]).contains("| a\\|b.toml | holds | - |"));
    }
}
