//! `colo clients`: the clients of a pair on two hosts, who judge what they are told.

use crate::interrupt;
use crate::report::{Exit, Failure, counted, grouped, print, print_json};
use crate::run::{measured_document, measured_rows};
use crate::sim::{drawn_seed, parse_time};
use colo_real::Load;
use colo_real::host::{RemoteOptions, run_clients};
use colo_real::peer::Address;
use serde_json::json;
use std::fmt::Write;
use std::time::Duration;

/// Be the clients of a pair on two hosts: ask whoever serves, and judge all that both sides answer.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where each side has its service, as `colo run --service` was told.
    #[arg(required = true, num_args = 1..=2, value_name = "ADDRESS")]
    services: Vec<Address>,
    /// Clients with a request open each.
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    clients: u32,
    /// Requests a second, made at times drawn from --seed whether or not those before are answered.
    #[arg(long, value_name = "N/s", value_parser = crate::run::parse_rate, conflicts_with = "clients")]
    load: Option<u32>,
    /// What the times and requests of --load are drawn from; without, one is drawn and printed.
    #[arg(long, value_name = "S", requires = "load")]
    seed: Option<u64>,
    /// For how long they ask; then what is open is waited for.
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = parse_time)]
    time: Duration,
    /// How long they go without any answer before they give up.
    #[arg(long, default_value = "20s", value_name = "TIME", value_parser = parse_time)]
    patience: Duration,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let seed = arguments.seed.unwrap_or_else(drawn_seed);
    let load = arguments.load.map(|per_second| Load { per_second, seed });
    let outcome = run_clients(&RemoteOptions {
        services: &arguments.services,
        clients: arguments.clients,
        load,
        lasts: arguments.time,
        patience: arguments.patience,
        stop: interrupt::watch(),
    });
    if !outcome.was_served {
        let services: Vec<_> = arguments.services.iter().map(ToString::to_string).collect();
        let problem = format!("nobody serves at {}: expected the --service of a side", services.join(" or "));
        return Err(Failure::Environment(problem));
    }
    let violation = outcome.violation.as_ref();
    let verdict = if violation.is_some() { "violated" } else { "holds" };
    if arguments.json {
        let lost = violation.filter(|violation| violation.is_loss()).map_or(0, |_| 1);
        let mut document = json!({
            "schema": 1,
            "replies": {
                "seen": outcome.replies,
                "lost": lost,
                "contradicted": u64::from(violation.is_some()) - lost,
            },
            "moves": outcome.moves,
            "load": load.map(|load| json!({ "per_second": load.per_second, "seed": load.seed })),
            "violation": violation.map(ToString::to_string),
            "verdict": verdict,
        });
        measured_document(&outcome.measured, &mut document);
        print_json(&document)?;
    } else {
        let mut out = format!("{:>28} {:>12} {:>12} {:>12}\n", "p50", "p90", "p99", "max");
        out.push_str(&measured_rows(&outcome.measured));
        let moves = counted(outcome.moves, "time", "times");
        let _ = writeln!(
            out,
            "\nclients      {} replies seen; the service moved {moves}",
            grouped(outcome.replies)
        );
        if let Some(load) = load {
            let _ = writeln!(
                out,
                "             {} requests a second, seed {}",
                grouped(load.per_second.into()),
                load.seed
            );
        }
        let _ = match violation {
            None => writeln!(out, "verdict      holds: nothing that a client saw was lost or contradicted"),
            Some(violation) => writeln!(out, "verdict      VIOLATED: {violation}"),
        };
        print(&out)?;
    }
    Ok(if violation.is_some() { Exit::Violated } else { Exit::Holds })
}
