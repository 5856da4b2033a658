//! What simulated runs came to, for a person.

use super::keep::Kept;
use crate::report::{counted, grouped, quoted};
use colo_sim::{Options, Outcome, SeedSet, Summary, Verdict, knobs, run as simulate};
use colo_trace::{NamedRules, diagram};
use std::fmt::Write;

/// Of what a sweep has never seen, so much is listed.
const MOST_NEVER: usize = 12;

/// A single run for a person.
pub(super) fn told(rules: &NamedRules, outcome: &Outcome, options: &Options, plan: Option<&str>) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "seed       {} of {} (version {})",
        outcome.seed,
        rules.name,
        env!("CARGO_PKG_VERSION")
    );
    let _ = writeln!(out, "drawn      {}", knobs(rules, outcome.seed, options));
    for fault in &outcome.plan.faults {
        let _ = writeln!(out, "fault      {} at {}", fault.action, fault.at);
    }
    for fault in &outcome.unreached {
        let _ = writeln!(out, "unreached  {} at {}: the run never came there", fault.action, fault.at);
    }
    for gate in &outcome.closed {
        let _ = writeln!(out, "closed     a gate never opened: {gate}");
    }
    if let (Some(trace), Verdict::Violated) = (&outcome.trace, outcome.verdict) {
        let _ = writeln!(out, "\n{}", diagram(trace));
    }
    let _ = writeln!(
        out,
        "run        {} events, {}, {}, {} requests answered, {} virtual ms, hash {:016x}",
        grouped(outcome.events),
        counted(outcome.checkpoints, "checkpoint", "checkpoints"),
        counted(outcome.failovers, "failover", "failovers"),
        grouped(outcome.answered),
        grouped(outcome.virtual_us / 1000),
        outcome.hash,
    );
    let pair = match (outcome.protected, outcome.pairs) {
        (true, 1) => "protected".to_owned(),
        (true, pairs) => format!("protected again, with replacement {}", pairs - 1),
        (false, _) => "not protected at the end: no replacement was at hand".to_owned(),
    };
    let _ = writeln!(out, "pair       {pair}");
    let _ = match (outcome.property, &outcome.explanation) {
        (Some(property), explanation) => {
            let explanation = explanation.as_deref().unwrap_or_default();
            let claimed = if outcome.claimed { "VIOLATED" } else { "violated, but not claimed" };
            writeln!(out, "verdict    {claimed}: {property}: {explanation}")
        }
        (None, _) if outcome.unreached.is_empty() && outcome.closed.is_empty() => {
            writeln!(out, "verdict    holds")
        }
        (None, _) => writeln!(out, "verdict    incomplete: some of the plan never came to pass"),
    };
    if let Some(plan) = plan {
        let _ = writeln!(out, "plan       {plan}");
        let _ = writeln!(out, "again      {} --plan {}", again(rules, outcome.seed, options), quoted(plan));
    }
    out
}

/// The command that makes a run again.
pub(super) fn again(rules: &NamedRules, seed: u64, options: &Options) -> String {
    let usual = Options::default();
    let mut command = format!("colo sim {} --seed {seed}", quoted(&rules.name));
    if options.checkpoints != usual.checkpoints {
        let _ = write!(command, " --checkpoints {}", options.checkpoints);
    }
    if options.clients != usual.clients {
        let _ = write!(command, " --clients {}", options.clients);
    }
    if let Some(replacements) = options.replacements {
        let _ = write!(command, " --replacements {replacements}");
    }
    if options.datagrams {
        command.push_str(" --datagrams");
    }
    if !options.manager {
        command.push_str(" --no-manager");
    }
    command
}

/// Many runs for a person.
pub(super) fn summed_up(rules: &str, summary: &Summary, seeds: &SeedSet, seconds: Option<f64>) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "rules      {rules}");
    let _ = writeln!(out, "seeds      {seeds}");
    let _ = writeln!(
        out,
        "simulated  {} runs, {} events, {} checkpoints, {} failovers, {} virtual s{}",
        grouped(summary.runs),
        grouped(summary.events),
        grouped(summary.checkpoints),
        grouped(summary.failovers),
        grouped(summary.virtual_us / 1_000_000),
        seconds.map_or(String::new(), |seconds| format!(", in {seconds:.1} s")),
    );
    let faults: Vec<_> =
        summary.faults.iter().map(|(kind, count)| format!("{kind} {}", grouped(*count))).collect();
    let _ =
        writeln!(out, "faults     {}", if faults.is_empty() { "none".to_owned() } else { faults.join(", ") });
    let _ = writeln!(
        out,
        "pairs      {}, {} of them with a replacement; {} ended unprotected",
        grouped(summary.pairs),
        grouped(summary.pairs.saturating_sub(summary.runs)),
        counted(summary.unprotected, "run", "runs"),
    );
    let never = summary.never().map(|path| format!("never      {path}"));
    let unstruck = summary.never_struck().map(|occasion| format!("unstruck   {occasion}"));
    let never: Vec<_> = never.chain(unstruck).collect();
    for line in never.iter().take(MOST_NEVER) {
        let _ = writeln!(out, "{line}");
    }
    if let Some(more) = never.len().checked_sub(MOST_NEVER).filter(|more| *more > 0) {
        let counters = summary.sometimes.len() + summary.occasions.len();
        let _ = writeln!(out, "           and {more} more of {counters} (--json has them all)");
    }
    for (property, runs) in &summary.properties {
        let _ = writeln!(out, "VIOLATED   {property}: {}", counted(*runs, "run", "runs"));
    }
    for (property, runs) in &summary.not_claimed {
        let _ = writeln!(out, "violated   {property}, not claimed: {}", counted(*runs, "run", "runs"));
    }
    if summary.first_violation.is_none() {
        let what = if summary.unclaimed == 0 { "" } else { "what these rules claim " };
        let _ = writeln!(out, "verdict    {what}holds in every run");
    }
    out
}

/// The shortest story of a run that broke something.
pub(super) fn shortest(rules: &NamedRules, kept: &Kept) -> String {
    let Kept { shrunk, regression, file } = kept;
    let head = &regression.head;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "\nThe shortest plan that breaks the same, found in {}{}: {}{}, {}, {}\n",
        counted(shrunk.runs, "run", "runs"),
        if shrunk.complete { "" } else { ", the most that are tried" },
        counted(regression.plan.faults.len() as u64, "fault", "faults"),
        match regression.plan.gates.len() {
            0 => String::new(),
            gates => format!(", {}", counted(gates as u64, "gate", "gates")),
        },
        counted(head.checkpoints, "checkpoint", "checkpoints"),
        counted(head.clients.into(), "client", "clients"),
    );
    for fault in &regression.plan.faults {
        let _ = writeln!(out, "fault      {} at {}", fault.action, fault.at);
    }
    for gate in &regression.plan.gates {
        let _ = writeln!(out, "gate       {gate}");
    }
    let recorded = Options { record: true, ..shrunk.options.clone() };
    if let Some(trace) = simulate(rules, head.seed, &recorded).trace {
        let _ = writeln!(out, "\n{}", diagram(&trace));
    }
    let _ = writeln!(out, "verdict    VIOLATED: {}: {}", head.property, head.explanation);
    if let Some(file) = file {
        let _ = writeln!(out, "again      colo replay {} --on sim", quoted(file));
        let _ = writeln!(out, "regression {file}");
    }
    out
}
