//! The command `colo`: one COLO protocol core, run three ways.
//!
//! Every subcommand prints for a person, or one JSON document (or JSON lines) with `--json`; progress and prose go to
//! stderr. Exit codes: 0 holds, 1 violated, 2 wrong usage or unreadable input, 3 the environment lacks something,
//! 4 incomplete.
#![forbid(unsafe_code)]

mod bounds_flags;
mod chart;
mod check;
mod check_document;
mod clients;
mod compare;
mod conform;
mod coverage;
mod crash_points;
mod ctl;
mod decode;
mod explore;
mod failovers;
mod guest_address;
mod interrupt;
mod look;
mod mutations;
mod picture;
mod relay;
mod replay;
mod report;
mod rules;
mod run;
mod serve;
mod sim;
mod stories;
mod suspicions;
mod verify;

use clap::{Parser, Subcommand};
use report::Failure;
use std::process::ExitCode;

/// One COLO protocol core, run three ways: model-checked, simulated, and on real KVM virtual machines.
#[derive(Parser)]
#[command(name = "colo", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Check a variant of the protocol in every interleaving: is it safe, does it get everything done?
    #[command(allow_negative_numbers = true)]
    Check(check::Arguments),
    /// Be the clients of a pair on two hosts: ask whoever serves, and judge all that both sides answer.
    Clients(clients::Arguments),
    /// Compare variants, a row each: safe, live, and what a checkpoint costs.
    #[command(allow_negative_numbers = true)]
    Compare(compare::Arguments),
    /// Say whether recorded runs are behaviours of the protocol: traces, or what a QEMU pair has sent.
    #[command(allow_negative_numbers = true)]
    Conform(conform::Arguments),
    /// Manage the sides of a pair on two hosts: keys, status, failover, checkpoint, delay, shutdown.
    Ctl(ctl::Arguments),
    /// Decode a captured migration stream, message by message.
    #[command(allow_negative_numbers = true)]
    Decode(decode::Arguments),
    /// Walk through a variant in the browser, step by step: Stateright's Explorer.
    #[command(allow_negative_numbers = true)]
    Explore(explore::Arguments),
    /// Relay TCP connections between two hosts: delay, stall or cut them, as commands on stdin say.
    ///
    /// The commands, a line each: delay MILLISECONDS (each way), stall (nothing leaves, nothing is lost), go, and cut (close
    /// all connections). It ends with its input. Addresses are numbers, such as 10.0.0.2:7000.
    Relay(relay::Arguments),
    /// Let a counterexample, or a plan, happen once more: on the model, in the simulator, or on real machines.
    Replay(replay::Arguments),
    /// Draw what runs cost their clients: latency over time, and latency against the pages that were dirty.
    Report(chart::Arguments),
    /// List the presets and the known bugs, or print one with its transition tables.
    Rules(rules::Arguments),
    /// Serve Redis from a pair of real machines that does not stop: a node that dies is replaced, and connections live on.
    #[command(allow_negative_numbers = true)]
    Serve(serve::Arguments),
    /// Simulate pairs on a virtual clock, with faults drawn from seeds.
    #[command(allow_negative_numbers = true)]
    Sim(sim::Arguments),
    /// Run a pair of real virtual machines: checkpoints, their latencies, and faults from a plan.
    #[command(allow_negative_numbers = true)]
    Run(run::Arguments),
    /// The main job: check, simulate and run, one after the other (also without any command).
    Verify(verify::Arguments),
    /// One process of a pair; started by `colo run`.
    #[command(hide = true)]
    Node(run::NodeArguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Some(Command::Check(arguments)) => check::run(&arguments),
        Some(Command::Clients(arguments)) => clients::run(&arguments),
        Some(Command::Compare(arguments)) => compare::run(&arguments),
        Some(Command::Conform(arguments)) => conform::run(&arguments),
        Some(Command::Ctl(arguments)) => ctl::run(&arguments),
        Some(Command::Decode(arguments)) => decode::run(&arguments),
        Some(Command::Explore(arguments)) => explore::run(&arguments),
        Some(Command::Relay(arguments)) => relay::run(&arguments),
        Some(Command::Replay(arguments)) => replay::run(&arguments),
        Some(Command::Report(arguments)) => chart::run(&arguments),
        Some(Command::Rules(arguments)) => rules::run(&arguments),
        Some(Command::Run(arguments)) => run::run(&arguments),
        Some(Command::Serve(arguments)) => serve::run(&arguments),
        Some(Command::Sim(arguments)) => sim::run(&arguments),
        Some(Command::Verify(arguments)) => verify::run(&arguments),
        Some(Command::Node(arguments)) => run::node(&arguments),
        None => verify::run(&verify::Arguments::default()),
    };
    match result {
        Ok(exit) => exit.into(),
        // Whoever read our output has heard enough.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("colo: {failure}");
            failure.exit().into()
        }
    }
}
