//! What a sweep has to have seen, beside the verdict on what it saw.

use colo_sim::Summary;

/// What has to have come to pass in some run.
#[derive(clap::Args, Clone, Copy)]
pub(crate) struct Required {
    /// Fail when a rare path that the runs can take was taken by none.
    #[arg(long = "require-sometimes")]
    pub(super) sometimes: bool,
    /// Fail when a kind of fault never struck in a phase in which it can.
    #[arg(long = "require-occasions")]
    pub(super) occasions: bool,
}

impl Required {
    /// Whether anything is.
    pub(super) const fn any(self) -> bool {
        self.sometimes || self.occasions
    }

    /// How much of it is missing.
    pub(super) fn missing(self, summary: &Summary) -> u64 {
        let paths = summary.never().filter(|_| self.sometimes);
        let occasions = summary.never_struck().filter(|_| self.occasions);
        paths.chain(occasions).count() as u64
    }
}
