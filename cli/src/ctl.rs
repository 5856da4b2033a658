//! `colo ctl`: what a pair needs beside its runs.

mod keys;

use crate::report::{Exit, Failure};
use clap::Subcommand;

/// What a pair needs beside its runs.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the keys by which the two sides of a pair know each other that run on different hosts.
    Keys(keys::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::Keys(arguments) => keys::run(arguments),
    }
}
