//! The parameters of a run that concern its guests, their disks and what becomes of a pair: drawn from the seed in a
//! stream of their own, so that a recorded plan meets the same guests again.

use crate::draw::{Draws, Purpose, Span, index};
use crate::options::Options;
use crate::replacement::MAX_REPLACEMENTS;
use std::fmt;

/// One run in so many has a second opinion on its clients' history.
const SECOND_OPINIONS: u64 = 16;

/// The drawn parameters. Spans are of microseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct GuestKnobs {
    /// From a disk write of the primary to its arrival at the secondary.
    pub(crate) disk: Span,
    /// From what both VMs have sent to its comparison.
    pub(crate) compare: Span,
    /// How long output waits for its like until that is too long, microseconds.
    pub(crate) hold_us: u64,
    /// One request in so many is lost in a guest, or lets the next one pass, where both VMs execute.
    pub(crate) divergence: Option<u64>,
    /// So many clients, the first ones, use a protocol that the comparison does not know.
    pub(crate) uncompared: u32,
    /// A tester that knows nothing of serials looks at the clients' history, too.
    pub(crate) second_opinion: bool,
    /// How many replacements there are.
    pub(crate) replacements: u64,
    /// From a failover to the replacement's coming.
    pub(crate) replacement: Span,
}

impl fmt::Display for GuestKnobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "disk {} us away, comparison {} us, output held {} us, divergence {}, uncompared clients {}, \
             replacements {} after {} us",
            self.disk,
            self.compare,
            self.hold_us,
            self.divergence.map_or_else(|| "never".to_owned(), |one_in| format!("1 in {one_in}")),
            self.uncompared,
            self.replacements,
            self.replacement
        )
    }
}

impl GuestKnobs {
    pub(crate) fn draw(seed: u64, options: &Options) -> Self {
        let mut draws = Draws::new(seed, Purpose::GuestKnobs);
        let at_hand = draws.below(MAX_REPLACEMENTS + 1);
        let fixed = options.fixes_an_interleaving();
        let replacements = if fixed { 0 } else { at_hand };
        Self {
            disk: draws.span(50, 4_000),
            replacements: options.replacements.unwrap_or(replacements),
            replacement: draws.span(100, 150_000),
            compare: draws.span(20, 1_000),
            hold_us: 10_000 + draws.below(200_000),
            divergence: Some([4, 16, 64, 1_000][index(draws.below(4))]).filter(|_| !fixed),
            uncompared: Some([0, 0, 1, 2][index(draws.below(4))]).filter(|_| !fixed).unwrap_or(0),
            second_opinion: draws.one_in(SECOND_OPINIONS),
        }
    }

    /// Whether what this client is answered is nothing that can be compared.
    pub(crate) const fn is_uncompared(&self, client: u32) -> bool {
        client < self.uncompared
    }
}
