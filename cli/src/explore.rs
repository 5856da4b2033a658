//! `colo explore`: the model in a browser, step by step, with the story so far drawn beside it.

use crate::bounds_flags::BoundsFlags;
use crate::report::{Exit, Failure};
use colo_model::{Bounds, ColoPair, Pair, explore};
use colo_trace::load_rules;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// How to use the page; `--help` says it.
const HELP: &str = "\
Choose a step under \"Next Action Choices\": the state and the sequence diagram are those after it.
\"Run to completion\" explores everything within the bounds, and a broken property becomes a link to a
way that breaks it (`colo check` finds the shortest). All that the page needs comes from this command.
Ctrl-C ends it.";

/// Walk through a variant in the browser, step by step: Stateright's Explorer.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// A preset, a known bug (`colo rules` lists them), or a TOML file.
    #[arg(default_value = "v12")]
    rules: String,
    #[command(flatten)]
    bounds: BoundsFlags,
    /// The port; 0 takes any that is free.
    #[arg(long, default_value_t = 3000, value_name = "N")]
    port: u16,
    /// The address; the default is for browsers of this machine only, any other lets others in.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "A")]
    address: IpAddr,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let rules = load_rules(&arguments.rules)?;
    let pair = Pair { rules: rules.rules, bounds: arguments.bounds.over(Bounds::of(&rules.rules)) };
    let model = ColoPair { pair, rules_name: rules.name.clone() };
    let address = SocketAddr::new(arguments.address, arguments.port);
    explore(model, address, |at| eprintln!("colo: {} is at http://{at}/ until Ctrl-C", rules.name))
        .map_err(|error| Failure::Environment(format!("{error} (another port: --port N, any: --port 0)")))?;
    Ok(Exit::Holds)
}
