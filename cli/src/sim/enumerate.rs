//! `colo sim --enumerate`: a fault at every protocol point of one seed's run.

use super::arguments::Arguments;
use super::keep::keep_regression;
use super::progress::progress_bar;
use super::told::again;
use crate::report::{Exit, Failure, counted, grouped, paragraph, print, print_json, quoted};
use colo_sim::{Enumeration, Options, enumerate, regression};
use colo_trace::{NamedRules, Regression};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Failing trials that are told to a person.
const TOLD: usize = 5;

/// A trial that broke something that the rules claim.
struct Failed {
    regression: Regression,
    file: Option<String>,
}

pub(super) fn every_point(
    rules: &NamedRules,
    seed: u64,
    options: &Options,
    arguments: &Arguments,
) -> Result<Exit, Failure> {
    eprintln!("seed {seed}");
    let bar = progress_bar(1, "a fault at every point");
    let mut failed = Vec::new();
    let enumeration = enumerate(rules, seed, options, arguments.jobs(), |trial, outcome| {
        bar.inc(1);
        bar.inc_length(1);
        if outcome.property.is_some() && outcome.claimed {
            let number = failed.len() + 1;
            let found_by = format!("{} --enumerate, failure {number}", again(rules, seed, options));
            let regression = regression(rules, options, outcome, trial.plan(), found_by);
            let stem = regression.file_name().replace(".toml", "");
            let file = arguments.plan_dir.join(format!("{stem}.point-{}.toml", failed.len() + 1));
            failed.push(Failed { file: keep_regression(&regression, &file), regression });
        }
    });
    bar.finish_and_clear();
    if arguments.json {
        print_json(&document(rules, seed, options, (&enumeration, &failed)))?;
    } else {
        print(&told(rules, seed, (&enumeration, &failed)))?;
    }
    Ok(if failed.is_empty() { Exit::Holds } else { Exit::Violated })
}

fn document(
    rules: &NamedRules,
    seed: u64,
    options: &Options,
    (enumeration, failed): (&Enumeration, &[Failed]),
) -> Value {
    let failed: Vec<_> = failed.iter().map(Failed::document).collect();
    let mut document = json!(enumeration);
    document["schema"] = 1.into();
    document["rules"] = rules.name.clone().into();
    document["seed"] = seed.into();
    document["checkpoints"] = options.checkpoints.into();
    document["clients"] = options.clients.into();
    document["verdict"] = if failed.is_empty() { "holds" } else { "violated" }.into();
    document["failed"] = failed.into();
    document
}

impl Failed {
    fn document(&self) -> Value {
        let Regression { head, plan } = &self.regression;
        json!({
            "property": head.property,
            "explanation": head.explanation,
            "faults": plan.faults,
            "plan": self.file,
        })
    }
}

fn told(rules: &NamedRules, seed: u64, (enumeration, failed): (&Enumeration, &[Failed])) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "rules      {}", rules.name);
    let _ = writeln!(out, "seed       {seed}");
    let _ = writeln!(
        out,
        "points     {} of the undisturbed run, {} more that a fault leads to",
        grouped(enumeration.points),
        grouped(enumeration.failover_points)
    );
    for (what, by_node) in [("effects", &enumeration.effects), ("inputs", &enumeration.inputs)] {
        for (node, counts) in by_node {
            paragraph(&mut out, &format!("{what:<10} "), &format!("{node}: {}", listed(counts)));
        }
    }
    paragraph(&mut out, "stream     ", &listed(&enumeration.stream));
    paragraph(&mut out, "faults     ", &listed(&enumeration.faults));
    let _ = writeln!(
        out,
        "tried      {} runs, of which {} never came to their fault",
        grouped(enumeration.runs),
        grouped(enumeration.unreached)
    );
    if enumeration.unclaimed > 0 {
        let runs = counted(enumeration.unclaimed, "run", "runs");
        let _ = writeln!(out, "unclaimed  {runs} broke what these rules do not claim");
    }
    for failure in failed.iter().take(TOLD) {
        failure.tell(&mut out);
    }
    for (property, runs) in &enumeration.properties {
        let _ = writeln!(out, "VIOLATED   {property}: {}", counted(*runs, "run", "runs"));
    }
    let _ = match failed.iter().find_map(|failed| failed.file.as_ref()) {
        None if failed.is_empty() => writeln!(out, "verdict    holds, whatever fails wherever"),
        None => Ok(()),
        Some(file) => {
            writeln!(out, "again      colo replay {} --on sim\nplan       {file}", quoted(file))
        }
    };
    out
}

impl Failed {
    fn tell(&self, out: &mut String) {
        let Regression { head, plan } = &self.regression;
        let faults: Vec<_> =
            plan.faults.iter().map(|fault| format!("{} at {}", fault.action, fault.at)).collect();
        paragraph(
            out,
            "broken     ",
            &format!("{}: {}: {}", faults.join(", then "), head.property, head.explanation),
        );
    }
}

fn listed<Name: AsRef<str>>(counts: &BTreeMap<Name, u64>) -> String {
    let counts: Vec<_> = counts.iter().map(|(name, count)| format!("{} {count}", name.as_ref())).collect();
    counts.join(", ")
}
