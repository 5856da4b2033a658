//! The parameters of a run that are drawn from its seed: how large the guest, how slow the network, how patient the
//! clients. Nothing here depends on the faults, so that a recorded plan meets the same surroundings again.

use crate::draw::{Draws, Purpose, Span};
use crate::options::Options;
use colo_protocol::Rules;
use std::fmt;

/// The drawn parameters. Spans are of microseconds unless their name says otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Knobs {
    /// Pages of guest memory, at most 64.
    pub(crate) pages: usize,
    /// Keys that the clients use.
    pub(crate) keys: u64,
    /// Device state that is neither a counter nor withheld output, bytes.
    pub(crate) device_filler_bytes: usize,
    /// From the end of a checkpoint to the next.
    pub(crate) interval_us: u64,
    /// One way between the nodes.
    pub(crate) latency: Span,
    /// How fast the link takes bytes, bytes a microsecond.
    pub(crate) bytes_per_us: u64,
    /// How the stream is cut up, bytes.
    pub(crate) segment_bytes: Span,
    /// Until a lost link is noticed.
    pub(crate) notice: Span,
    /// Carrying out one effect.
    pub(crate) effect: Span,
    /// Stopping the VM, or waiting for the lock on it.
    pub(crate) hold: Span,
    /// Capturing state, or applying it.
    pub(crate) copy: Span,
    /// Executing one request.
    pub(crate) execute: Span,
    /// One way between clients and nodes.
    pub(crate) client_latency: Span,
    /// From an answer to the client's next request.
    pub(crate) think: Span,
    /// From a request to its retry.
    pub(crate) retry_us: u64,
    /// From a failure to the manager's noticing it, and between its actions.
    pub(crate) manager: Span,
    /// From the last that was heard of the peer to taking it for dead.
    pub(crate) patience_us: u64,
}

impl fmt::Display for Knobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "pages {}, keys {}, device filler {} B, interval {} us, link {} us and {} B/us in pieces of {} B, \
             loss noticed after {} us, effect {} us, hold {} us, copy {} us, execute {} us, \
             clients {} us away, think {} us, retry after {} us, manager {} us, patience {} us",
            self.pages,
            self.keys,
            self.device_filler_bytes,
            self.interval_us,
            self.latency,
            self.bytes_per_us,
            self.segment_bytes,
            self.notice,
            self.effect,
            self.hold,
            self.copy,
            self.execute,
            self.client_latency,
            self.think,
            self.retry_us,
            self.manager,
            self.patience_us
        )
    }
}

impl Knobs {
    pub(crate) fn draw(seed: u64, rules: &Rules, options: &Options) -> Self {
        let mut draws = Draws::new(seed, Purpose::Knobs);
        let interval_us =
            options.interval_us.unwrap_or(u64::from(rules.checkpoint_delay_ms) * 1_000).clamp(1, 1 << 30);
        let pages = crate::draw::index(16 + draws.below(49));
        Self {
            pages,
            keys: 8 << draws.below(5),
            device_filler_bytes: crate::draw::index(draws.below(9_000)),
            interval_us,
            latency: draws.span(50, 3_000),
            bytes_per_us: 20 + draws.below(1_200),
            segment_bytes: segments(&mut draws),
            notice: draws.span(50, 20_000),
            effect: draws.span(1, 30),
            hold: one_of(&mut draws, [500, 5_000, 40_000]),
            copy: one_of(&mut draws, [1_000, 5_000, 30_000]),
            execute: draws.span(5, 200),
            client_latency: draws.span(50, 2_000),
            think: draws.span(10, interval_us / 2 + 10),
            retry_us: interval_us / 2 + 10_000 + draws.below(2 * interval_us),
            manager: one_of(&mut draws, [500, 5_000, 40_000]),
            // Sometimes too short for a stall, or for a checkpoint: then it suspects the living.
            patience_us: 2 * interval_us + 50_000 + draws.below(300_000),
        }
    }
}

/// A span up to one of these.
fn one_of(draws: &mut Draws, ceilings: [u64; 3]) -> Span {
    let ceiling = ceilings[crate::draw::index(draws.below(3))];
    draws.span(ceiling / 20, ceiling)
}

/// Mostly as Ethernet would do it; sometimes crumbs, sometimes large pieces.
fn segments(draws: &mut Draws) -> Span {
    let high = match draws.below(16) {
        0 => 60,
        1..4 => 500,
        4..12 => 1_460,
        _ => 20_000,
    };
    Span { low: 1, high }
}
