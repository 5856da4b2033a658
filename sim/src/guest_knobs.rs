//! The parameters of a run that concern its guests, their disks and what becomes of a pair: drawn from the seed in a
//! stream of their own, so that a recorded plan meets the same guests again.

use crate::draw::{Draws, Purpose, Span};
use crate::options::Options;
use crate::replacement::MAX_REPLACEMENTS;
use std::fmt;

/// The drawn parameters. Spans are of microseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct GuestKnobs {
    /// From a disk write of the primary to its arrival at the secondary.
    pub(crate) disk: Span,
    /// How many replacements there are.
    pub(crate) replacements: u64,
    /// From a failover to the replacement's coming.
    pub(crate) replacement: Span,
}

impl fmt::Display for GuestKnobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "disk {} us away, replacements {} after {} us",
            self.disk, self.replacements, self.replacement
        )
    }
}

impl GuestKnobs {
    pub(crate) fn draw(seed: u64, options: &Options) -> Self {
        let mut draws = Draws::new(seed, Purpose::GuestKnobs);
        let drawn = draws.below(MAX_REPLACEMENTS + 1);
        // A plan that fixes an interleaving says itself what happens.
        let fixed = options.plan.as_ref().is_some_and(|plan| !plan.gates.is_empty());
        let replacements = if fixed { 0 } else { drawn };
        Self {
            disk: draws.span(50, 4_000),
            replacements: options.replacements.unwrap_or(replacements),
            replacement: draws.span(100, 150_000),
        }
    }
}
