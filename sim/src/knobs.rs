//! The parameters of a run that are drawn from its seed: how large the guest, how slow the network, how patient the
//! clients. Nothing here depends on the faults, so that a recorded plan meets the same surroundings again.

use crate::draw::{Draws, Purpose, Span, index};
use crate::options::Options;
use colo_protocol::{NodeName, Rules};
use std::fmt;

/// One direction of the link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Path {
    /// Crossing it, microseconds.
    latency: Span,
    /// One segment in so many takes `jitter` longer.
    jitter_one_in: u64,
    jitter: Span,
    /// How fast it takes bytes, bytes a microsecond.
    pub(crate) bytes_per_us: u64,
    /// Of 10,000 segments so many are lost.
    pub(crate) lost: u64,
    /// Until a lost one is sent again, microseconds; twice as long each time that it is lost.
    pub(crate) retransmission_us: u64,
}

impl Path {
    /// A path that takes so long, loses nothing, and has room for all.
    pub(crate) const fn of_latency(latency: Span) -> Self {
        let jitter = Span { low: 0, high: 0 };
        Self { latency, jitter_one_in: 1, jitter, bytes_per_us: u64::MAX, lost: 0, retransmission_us: 0 }
    }

    fn draw(draws: &mut Draws) -> Self {
        let lost = if draws.one_in(4) { [1, 20, 300, 2_000][index(draws.below(4))] } else { 0 };
        Self {
            latency: draws.span(50, 3_000),
            jitter_one_in: [8, 50, 400][index(draws.below(3))],
            jitter: draws.span(1, 10_000),
            bytes_per_us: 20 + draws.below(1_200),
            lost,
            retransmission_us: [1_000, 10_000, 200_000][index(draws.below(3))],
        }
    }

    /// How long one segment takes.
    pub(crate) fn crossing_us(&self, draws: &mut Draws) -> u64 {
        let extra_us = if draws.one_in(self.jitter_one_in) { draws.within(self.jitter) } else { 0 };
        draws.within(self.latency) + extra_us
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} us (one in {} {} us more) and {} B/us",
            self.latency, self.jitter_one_in, self.jitter, self.bytes_per_us
        )?;
        if self.lost > 0 {
            write!(f, ", {} of 10,000 lost and sent again after {} us", self.lost, self.retransmission_us)?;
        }
        Ok(())
    }
}

/// What a network without a stream does to datagrams, of 10,000 of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Datagrams {
    pub(crate) dropped: u64,
    pub(crate) doubled: u64,
    /// These come later than they should, and what was sent behind them before them.
    pub(crate) late: u64,
    pub(crate) late_by: Span,
}

impl Datagrams {
    fn draw(draws: &mut Draws) -> Self {
        let mut rate = || [0, 3, 30, 500][index(draws.below(4))];
        let (dropped, doubled, late) = (rate(), rate(), rate());
        Self { dropped, doubled, late, late_by: draws.span(10, 20_000) }
    }

    /// The same network when it does nothing to them any more.
    pub(crate) fn calm(&self) -> Self {
        Self { dropped: 0, doubled: 0, late: 0, ..self.clone() }
    }
}

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
    /// The directions of the link, by their receivers.
    paths: [Path; 2],
    /// How the stream is cut up, bytes.
    pub(crate) segment_bytes: Span,
    /// Whether a node reads all that has come at once, whatever pieces it came in.
    pub(crate) reads_together: bool,
    /// What a link that delivers nothing takes all the same, bytes.
    pub(crate) window_bytes: usize,
    /// Until a lost link is noticed.
    pub(crate) notice: Span,
    /// Until the first bytes come through a network that has healed.
    pub(crate) healing: Span,
    /// One way to the arbiter, or back.
    pub(crate) arbiter: Span,
    /// Carrying out one effect.
    pub(crate) effect: Span,
    /// What a disk takes more for one.
    pub(crate) disk: Span,
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
    /// How fast the nodes' clocks go, percent.
    clock_percent: [u64; 2],
    /// What is done to datagrams, if the link is no stream.
    pub(crate) datagrams: Option<Datagrams>,
}

impl fmt::Display for Knobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "pages {}, keys {}, device filler {} B, interval {} us, to the primary {}, to the secondary {}, \
             in pieces of {} B, read {}, {} B in between, loss noticed after {} us, healing {} us, arbiter {} us away, \
             effect {} us, disk {} us, hold {} us, copy {} us, execute {} us, \
             clients {} us away, think {} us, retry after {} us, manager {} us, patience {} us, clocks at {} and {} %",
            self.pages,
            self.keys,
            self.device_filler_bytes,
            self.interval_us,
            self.path(NodeName::Primary),
            self.path(NodeName::Secondary),
            self.segment_bytes,
            if self.reads_together { "together" } else { "one by one" },
            self.window_bytes,
            self.notice,
            self.healing,
            self.arbiter,
            self.effect,
            self.disk,
            self.hold,
            self.copy,
            self.execute,
            self.client_latency,
            self.think,
            self.retry_us,
            self.manager,
            self.patience_us,
            self.clock_percent[0],
            self.clock_percent[1],
        )?;
        if let Some(Datagrams { dropped, doubled, late, late_by }) = &self.datagrams {
            let rates = format!("{dropped} dropped, {doubled} doubled, {late} late by {late_by} us");
            write!(f, ", of 10,000 datagrams {rates}")?;
        }
        Ok(())
    }
}

impl Knobs {
    pub(crate) fn draw(seed: u64, rules: &Rules, options: &Options) -> Self {
        let mut draws = Draws::new(seed, Purpose::Knobs);
        let window_bytes = |drawn| if options.fixes_an_interleaving() { 0 } else { drawn };
        let interval_us =
            options.interval_us.unwrap_or(u64::from(rules.checkpoint_delay_ms) * 1_000).clamp(1, 1 << 30);
        Self {
            pages: index(16 + draws.below(49)),
            keys: 8 << draws.below(5),
            device_filler_bytes: index(draws.below(9_000)),
            interval_us,
            paths: [(); 2].map(|()| Path::draw(&mut draws)),
            segment_bytes: segments(&mut draws),
            reads_together: draws.one_in(2),
            window_bytes: window_bytes([0, 4_000, 64_000, 4_000_000][index(draws.below(4))]),
            notice: draws.span(50, 20_000),
            healing: one_of(&mut draws, [1_000, 50_000, 400_000]),
            arbiter: draws.span(50, 3_000),
            effect: draws.span(1, 30),
            disk: one_of(&mut draws, [20, 500, 20_000]),
            hold: one_of(&mut draws, [500, 5_000, 40_000]),
            copy: one_of(&mut draws, [1_000, 5_000, 30_000]),
            execute: draws.span(5, 200),
            client_latency: draws.span(50, 2_000),
            think: draws.span(10, interval_us / 2 + 10),
            // Who asks again sooner than a slow pair has come round keeps it from ever coming to rest.
            retry_us: (interval_us / 2 + 10_000).max(50_000) + draws.below(2 * interval_us),
            manager: one_of(&mut draws, [500, 5_000, 40_000]),
            // Sometimes too short for a stall, or for a checkpoint: then it suspects the living.
            patience_us: 2 * interval_us + 50_000 + draws.below(300_000),
            clock_percent: [(); 2].map(|()| if draws.one_in(3) { 50 + draws.below(151) } else { 100 }),
            datagrams: options.datagrams.then(|| Datagrams::draw(&mut draws)),
        }
    }

    /// The same with these datagrams, whole, in the place of a stream.
    pub(crate) fn over_datagrams(self, path: &Path, fate: Datagrams) -> Self {
        let whole = Span { low: u64::MAX, high: u64::MAX };
        let paths = [path.clone(), path.clone()];
        Self { paths, datagrams: Some(fate), segment_bytes: whole, ..self }
    }

    /// The direction of the link to this end.
    pub(crate) const fn path(&self, to: NodeName) -> &Path {
        &self.paths[to as usize]
    }

    /// How long the time from one checkpoint to the next may well be, if nothing fails.
    pub(crate) fn round_us(&self) -> u64 {
        let sent_again =
            self.paths.iter().filter(|path| path.lost > 0).map(|path| 16 * path.retransmission_us);
        let clocks = NodeName::ALL.map(|node| self.by_clock(node, self.interval_us));
        clocks.into_iter().fold(0, u64::max) + sent_again.sum::<u64>() + 250_000
    }

    /// How long it is when this node's clock says that it is so long.
    pub(crate) fn by_clock(&self, node: NodeName, us: u64) -> u64 {
        us.saturating_mul(100) / self.clock_percent[node as usize]
    }
}

/// A span up to one of these.
fn one_of(draws: &mut Draws, ceilings: [u64; 3]) -> Span {
    let ceiling = ceilings[index(draws.below(3))];
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
