//! `colo rules`: the presets and the known bugs; one of them with its fields and transition tables; `--check`.

use crate::mutations::{Found, found};
use crate::report::{Exit, Failure, paragraph, print, print_json};
use crate::sim::available_jobs;
use colo_model::find_bug;
use colo_protocol::table::{Row, transitions};
use colo_protocol::{BUGS, Bug, DEFECTS, Defect, Nature, NodeName, PRESETS, Place, Rules};
use colo_trace::{NamedRules, load_rules, rules_to_toml};
use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use serde_json::{Value, json};
use std::fmt::Write;

/// List the presets and the known bugs, or print one with its transition tables.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A preset, a known bug, or a TOML file.
    name: Option<String>,
    /// Run the checker on every known bug.
    #[arg(long, conflicts_with = "name")]
    check: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    if let Some(name) = &arguments.name {
        return one(&load_rules(name)?, arguments.json);
    }
    let findings: Vec<Finding> = BUGS.iter().map(|bug| Finding::of(bug, arguments.check)).collect();
    if arguments.json {
        print_json(&document(&findings))?;
    } else {
        print(&list(&findings))?;
    }
    let missed = findings.iter().any(|finding| finding.status == "missed");
    Ok(if missed { Exit::Violated } else { Exit::Holds })
}

/// A known bug, and whether the checker finds it.
struct Finding {
    bug: &'static Bug,
    status: &'static str,
    length: Option<usize>,
    seconds: Option<f64>,
}

impl Finding {
    fn of(bug: &'static Bug, run: bool) -> Self {
        if !run {
            return Self { bug, status: "expressible", length: None, seconds: None };
        }
        let check = find_bug(bug, available_jobs());
        let length = check.length_of(bug.named_for());
        let status = if length.is_some() { "found" } else { "missed" };
        Self { bug, status, length, seconds: Some(check.elapsed.as_secs_f64()) }
    }

    fn document(&self) -> Value {
        let bug = self.bug;
        json!({
            "name": bug.name, "section": bug.section, "fix": bug.fix, "symptom": bug.symptom, "field": bug.field,
            "kind": if bug.stalls.is_some() { "liveness" } else { "safety" }, "status": self.status,
            "reason": null, "property": bug.named_for(),
            "length": self.length, "seconds": self.seconds,
        })
    }
}

fn list(findings: &[Finding]) -> String {
    let mut out = String::from("Presets\n");
    for preset in PRESETS {
        paragraph(&mut out, &format!("  {:28} ", preset.name), preset.summary);
    }
    out.push_str("\nKnown bugs\n");
    for finding in findings {
        let bug = finding.bug;
        paragraph(&mut out, &format!("  {:28} ", bug.name), bug.symptom);
        let _ = writeln!(out, "  {:28} {}", "", bug.field);
        let _ = writeln!(out, "  {:28} breaks {}", "", bug.named_for());
        let _ = writeln!(out, "  {:28} section {}, {}", "", bug.section, bug.fixed());
        if let (Some(length), Some(seconds)) = (finding.length, finding.seconds) {
            let _ = writeln!(out, "  {:28} {} in {length} steps, {seconds:.2} s", "", finding.status);
        } else if finding.seconds.is_some() {
            let _ = writeln!(out, "  {:28} {}", "", finding.status.to_uppercase());
        }
    }
    out.push_str("\nDefects that no rule can say: a patch of the core does, or nothing here\n");
    for defect in DEFECTS {
        let (status, reason) = elsewhere(defect);
        if !reason.is_empty() {
            paragraph(
                &mut out,
                &format!("  {:8} ", defect.section),
                &format!("{}: {status}, {reason}", defect.symptom),
            );
        }
    }
    out
}

/// What becomes of a defect that no rule can say, and where or why; nothing for the others. What a patch does is what
/// the script that applies it has found.
fn elsewhere(defect: &Defect) -> (&'static str, String) {
    match defect.place {
        Place::Rule(_) => ("", String::new()),
        Place::Mutation(name, breaks) => match found(name) {
            Some(Found { steps, seconds, .. }) => {
                let how = format!("in {steps} steps, {seconds} s: {breaks}, by mutations/{name}");
                ("found", how)
            }
            None => ("deferred", format!("to mutations/run {name}: {breaks}")),
        },
        Place::Outside(why) => ("not-expressible", why.to_owned()),
    }
}

/// Every documented defect, and the known bugs that are not one of QEMU's.
fn document(findings: &[Finding]) -> Value {
    let presets: Vec<_> =
        PRESETS.iter().map(|preset| json!({ "name": preset.name, "fields": preset.rules })).collect();
    let others = DEFECTS.iter().filter(|defect| !matches!(defect.place, Place::Rule(_)));
    let others = others.map(|defect| {
        let (status, reason) = elsewhere(defect);
        let (property, patch) = match defect.place {
            Place::Mutation(name, breaks) => (Some(breaks), Some(name)),
            _ => (None, None),
        };
        let record = patch.and_then(found);
        let kind = match defect.nature {
            Nature::Safety => "safety",
            Nature::Liveness => "liveness",
        };
        json!({
            "name": null, "section": defect.section, "fix": defect.fix, "symptom": defect.symptom, "field": null,
            "kind": kind, "status": status, "reason": reason, "property": property, "patch": patch,
            "length": record.as_ref().map(|record| record.steps), "seconds": record.map(|record| record.seconds),
        })
    });
    let bugs: Vec<_> = findings.iter().map(Finding::document).chain(others).collect();
    json!({ "schema": 1, "presets": presets, "bugs": bugs })
}

fn one(named: &NamedRules, json: bool) -> Result<Exit, Failure> {
    if json {
        let table = |node| transitions(node, &named.rules).iter().map(row_document).collect::<Vec<_>>();
        print_json(&json!({
            "schema": 1, "name": named.name, "fields": named.rules,
            "primary": table(NodeName::Primary), "secondary": table(NodeName::Secondary),
        }))?;
    } else {
        print(&described(named)?)?;
    }
    Ok(Exit::Holds)
}

fn row_document(row: &Row) -> Value {
    let effects: Vec<_> = row.effects.iter().map(|effect| effect.name()).collect();
    json!({
        "phase": row.phase, "input": row.input.name(), "effects": effects, "next": row.next, "refused": row.refused,
    })
}

fn described(named: &NamedRules) -> Result<String, Failure> {
    let fields = rules_to_toml(&named.rules).map_err(|error| Failure::Input(error.to_string()))?;
    let mut out = format!("# {}\n{fields}", named.name);
    for node in NodeName::ALL {
        let _ = write!(out, "\n{}", tabulated(node, &named.rules));
    }
    out.push_str("\nEvery other input is a protocol error: the link is closed, and the node waits for lost-heartbeat.\n");
    Ok(out)
}

/// A machine's transitions, a row each; what a phase hears without doing anything is one row.
fn tabulated(node: NodeName, rules: &Rules) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(100);
    table.set_header([node.name(), "input", "next", "effects"]);
    let rows = transitions(node, rules);
    for phase in rows.chunk_by(|one, other| one.phase == other.phase) {
        let (idle, active): (Vec<_>, Vec<_>) =
            phase.iter().partition(|row| row.next == row.phase && row.effects.is_empty() && !row.refused);
        for row in active {
            let effects: Vec<_> = row.effects.iter().map(|effect| effect.name()).collect();
            let effects = if row.refused { "refused".to_owned() } else { effects.join(", ") };
            table.add_row([row.phase, row.input.name(), row.next, &effects]);
        }
        let idle: Vec<_> = idle.iter().map(|row| row.input.name()).collect();
        if let Some(row) = phase.first().filter(|_| !idle.is_empty()) {
            table.add_row([row.phase, "any of", "", &format!("nothing: {}", idle.join(", "))]);
        }
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    lines.concat()
}
