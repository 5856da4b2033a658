//! The flags that bound what a check explores: one for checkpoints, one for each budget.

use colo_model::{Bounds, Budgets, MAX_CHECKPOINTS, Scope, UNBOUNDED};
use colo_protocol::Rules;

/// The bounds of the check; by default what the rules claim to survive.
#[derive(clap::Args)]
pub(crate) struct BoundsFlags {
    /// Checkpoints that the primary begins; "unbounded" for any number of them.
    #[arg(long, value_name = "N|unbounded", value_parser = checkpoints)]
    checkpoints: Option<u64>,
    /// Units of output that the primary produces, or a survivor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(..=8))]
    outputs: Option<u8>,
    /// Units among them that the comparison does not understand (hybrid only).
    #[arg(long, value_name = "N")]
    uncompared: Option<u8>,
    /// Times that the secondary's execution leaves the primary's (hybrid only).
    #[arg(long, value_name = "N")]
    mismatches: Option<u8>,
    /// Times that output waits for its like for too long (hybrid only).
    #[arg(long, value_name = "N")]
    held_outputs: Option<u8>,
    /// Disk writes in each epoch.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(..=4))]
    disk_writes: Option<u8>,
    /// Disk writes of the secondary's VM in each epoch, beside the primary's (hybrid only).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(..=4))]
    secondary_writes: Option<u8>,
    /// Guests that power off.
    #[arg(long, value_name = "N")]
    shutdowns: Option<u8>,
    /// Guests that are reset.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(..=4))]
    resets: Option<u8>,
    /// Survivors to which a replacement comes.
    #[arg(long, value_name = "N")]
    replacements: Option<u8>,
    /// Pairs of which one lacks the capability x-colo.
    #[arg(long, value_name = "N")]
    missing_capabilities: Option<u8>,
    /// Deaths of a node.
    #[arg(long, value_name = "N")]
    crashes: Option<u8>,
    /// Cuts of the link.
    #[arg(long, value_name = "N")]
    cuts: Option<u8>,
    /// Links that deliver nothing for a while.
    #[arg(long, value_name = "N")]
    stalls: Option<u8>,
    /// Links that deliver nothing any more, without a word.
    #[arg(long, value_name = "N")]
    blackholes: Option<u8>,
    /// Links that deliver nothing any more in one of their directions.
    #[arg(long, value_name = "N")]
    partitions: Option<u8>,
    /// Arrivals that cannot be read any more.
    #[arg(long, value_name = "N")]
    corruptions: Option<u8>,
    /// Times that a peer that is alive, and can be heard, is taken for dead.
    #[arg(long, value_name = "N")]
    wrong_suspicions: Option<u8>,
    /// Loads of a checkpoint that fail.
    #[arg(long, value_name = "N")]
    load_errors: Option<u8>,
    /// States that cannot be captured.
    #[arg(long, value_name = "N")]
    save_errors: Option<u8>,
    /// Disks that cannot do what they are asked for.
    #[arg(long, value_name = "N")]
    disk_errors: Option<u8>,
}

/// A number of checkpoints that a state can count, or any.
fn checkpoints(text: &str) -> Result<u64, String> {
    match text.parse() {
        _ if text == "unbounded" => Ok(UNBOUNDED),
        Ok(count) if count <= MAX_CHECKPOINTS => Ok(count),
        _ => Err(format!("expected a number from 0 to {MAX_CHECKPOINTS}, or \"unbounded\"")),
    }
}

impl BoundsFlags {
    /// What is to be explored: what was asked for, or else everything that belongs to the rules.
    pub(crate) fn scopes(&self, rules: &Rules) -> Vec<Scope> {
        let usual = Bounds::of(rules);
        if self.is_empty() {
            return Scope::of(rules);
        }
        vec![Scope { name: "as asked for", bounds: self.over(usual) }]
    }

    /// Whether nothing was asked for.
    fn is_empty(&self) -> bool {
        let budgets = [
            self.outputs,
            self.uncompared,
            self.mismatches,
            self.held_outputs,
            self.disk_writes,
            self.secondary_writes,
            self.shutdowns,
            self.resets,
            self.replacements,
            self.missing_capabilities,
            self.crashes,
            self.cuts,
            self.stalls,
            self.blackholes,
            self.partitions,
            self.corruptions,
            self.wrong_suspicions,
            self.load_errors,
            self.save_errors,
            self.disk_errors,
        ];
        self.checkpoints.is_none() && budgets.iter().all(Option::is_none)
    }

    /// The rules' own bounds, but for what was asked for.
    pub(crate) fn over(&self, usual: Bounds) -> Bounds {
        let budgets = usual.budgets;
        Bounds {
            checkpoints: self.checkpoints.unwrap_or(usual.checkpoints),
            budgets: Budgets {
                outputs: self.outputs.unwrap_or(budgets.outputs),
                uncompared: self.uncompared.unwrap_or(budgets.uncompared),
                mismatches: self.mismatches.unwrap_or(budgets.mismatches),
                held_outputs: self.held_outputs.unwrap_or(budgets.held_outputs),
                disk_writes: self.disk_writes.unwrap_or(budgets.disk_writes),
                secondary_writes: self.secondary_writes.unwrap_or(budgets.secondary_writes),
                shutdowns: self.shutdowns.unwrap_or(budgets.shutdowns),
                resets: self.resets.unwrap_or(budgets.resets),
                replacements: self.replacements.unwrap_or(budgets.replacements),
                missing_capabilities: self.missing_capabilities.unwrap_or(budgets.missing_capabilities),
                crashes: self.crashes.unwrap_or(budgets.crashes),
                cuts: self.cuts.unwrap_or(budgets.cuts),
                stalls: self.stalls.unwrap_or(budgets.stalls),
                blackholes: self.blackholes.unwrap_or(budgets.blackholes),
                partitions: self.partitions.unwrap_or(budgets.partitions),
                corruptions: self.corruptions.unwrap_or(budgets.corruptions),
                wrong_suspicions: self.wrong_suspicions.unwrap_or(budgets.wrong_suspicions),
                load_errors: self.load_errors.unwrap_or(budgets.load_errors),
                save_errors: self.save_errors.unwrap_or(budgets.save_errors),
                disk_errors: self.disk_errors.unwrap_or(budgets.disk_errors),
            },
        }
    }
}
