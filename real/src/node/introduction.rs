//! How a survivor comes by a new secondary: it sends all of its memory to a replacement, in rounds, while its guest goes on
//! and its output leaves. When a round has left little, the core is told of the replacement; the rest, captured while the
//! guest stands still, is the initial state of the new pair. The disk goes by its own connection at the same time; what is left
//! of it is copied in the stop as well, which does not end before.
//!
//! Until then nothing of the protocol has begun, so there is nothing to decide: a link that is lost leaves a survivor that
//! nobody protects, as before.

use super::comparison::Comparison;
use super::driver::{Driver, Fails, LinkEnd, Times};
use super::mirror::Mirror;
use super::{Control, NodeError};
use crate::control::{EntryFigures, FromNode, NodeConfig};
use crate::link::Connections;
use crate::pace::Pace;
use colo_protocol::wire::{DEFAULT_RAM_SECTION_ID, Decoder, Encoder};
use colo_protocol::{Input, Message, NodeName};
use colo_trace::{Kind, Plan, Record, new_pair};
use std::time::Instant;

/// A round that has left no more pages than this was the last: they take about as long as a small checkpoint.
const FEW_PAGES: usize = 256;

/// Rounds, at most: a guest that writes faster than the link takes it leaves no less with the next one.
pub(super) const MOST_ROUNDS: u32 = 8;

/// An initial synchronisation in hand.
#[derive(Debug)]
pub(super) struct Introduction {
    /// Which pair is to be, and what is to go wrong in it.
    pair: (usize, Plan),
    sending: Sending,
    /// What is being sent is the last round.
    is_last: bool,
}

/// What has been sent of it.
#[derive(Clone, Copy, Debug)]
struct Sending {
    begun: Instant,
    bytes_before: u64,
    rounds: u32,
    pages: u64,
}

/// The stop behind it, until the guest goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    sending: Sending,
    pub(super) suspended: Option<Instant>,
    pub(super) is_over: bool,
}

impl Driver {
    /// There is a replacement at the other end of new connections.
    pub(super) fn introduce(
        &mut self,
        connections: Connections,
        pair: (usize, Plan),
        control: &mut Control,
    ) -> Result<(), NodeError> {
        self.change_links(connections)?;
        self.encode(Message::VmstateSend)?;
        // All pages are in the first round, whatever has been written before.
        self.running.harvest(&mut self.saved.pages)?;
        self.saved.pages.clear();
        self.saved.pages.extend(0..self.limits.memory_pages);
        let bytes_before = self.outgoing.total();
        let sending = Sending { begun: Instant::now(), bytes_before, rounds: 0, pages: 0 };
        self.introduction = Some(Introduction { pair, sending, is_last: false });
        self.mirror_what_waits();
        self.begin_round_of_introduction();
        self.pump(control)
    }

    /// Nothing is left of what the old link has brought or was to take.
    fn change_links(
        &mut self,
        Connections { link, comparison, replication }: Connections,
    ) -> Result<(), NodeError> {
        let now = Instant::now();
        self.disconnect();
        self.inbound.clear();
        self.staging.clear();
        (self.staged, self.loading, self.timer, self.stalled_until) = (None, None, None, None);
        let stream = NodeConfig { name: NodeName::Primary, ..self.config.clone() }.stream();
        self.decoder = Decoder::new(stream);
        self.encoder = Encoder::new(self.config.rules.dialect, DEFAULT_RAM_SECTION_ID);
        self.end =
            LinkEnd { pace: self.config.link_rate.map(|rate| Pace::new(rate, now)), ..LinkEnd::default() };
        self.silence.heard(now);
        self.begin_to_copy(replication, &link)?;
        self.link = Some(link);
        // Who has been a secondary is none any more: its guest has the only memory.
        self.cache = None;
        let has_card = self.config.workload.card().is_some();
        self.comparison = comparison.map(|link| Comparison::over(Mirror::new(link), has_card));
        (self.marks_next_write, self.marked) = (false, None);
        Ok(())
    }

    fn begin_round_of_introduction(&mut self) {
        if let Some(Introduction { sending, .. }) = &mut self.introduction {
            sending.rounds += 1;
            sending.pages += self.saved.pages.len() as u64;
        }
        self.saved.begin_round(&mut self.encoder);
    }

    /// Whether all that there was to send has been sent, and the introduction can go on.
    pub(super) fn introduction_is_due(&self) -> bool {
        let sent = self.outgoing.is_empty() && !self.saved.has_more() && !self.waits_for_the_copy();
        sent && self.introduction.as_ref().is_some_and(|it| !it.is_last || self.node.can_be_protected())
    }

    /// Another round, or the core's turn.
    pub(super) fn go_on_introducing(&mut self, control: &mut Control) -> Result<(), NodeError> {
        if let Some(Introduction { pair, sending, .. }) = self.introduction.take_if(|it| it.is_last) {
            self.entry = Some(Entry { sending, suspended: None, is_over: false });
            return self.protect(pair, control);
        }
        self.running.harvest(&mut self.saved.pages)?;
        if let Some(introduction) = &mut self.introduction {
            let left = self.saved.pages.len();
            introduction.is_last = left <= FEW_PAGES || introduction.sending.rounds + 1 >= MOST_ROUNDS;
        }
        self.begin_round_of_introduction();
        self.pump(control)
    }

    /// From here on the node is the primary of a pair.
    fn protect(&mut self, (pair, plan): (usize, Plan), control: &mut Control) -> Result<(), NodeError> {
        let survivor = self.name();
        self.record(|time| Record::other(time, None, 0, Kind::Note, new_pair(survivor)), control)?;
        (self.config.name, self.config.pair, self.config.plan) = (NodeName::Primary, pair, plan);
        self.cursor = self.config.cursor();
        self.put_aside.clear();
        self.stood_at.clear();
        self.gates_told = 0;
        self.times = Times::default();
        self.fails = Fails::default();
        self.give(Input::Protect, control)
    }

    /// Tells the figures of the stop with which protection began, once the guest has gone on.
    pub(super) fn tell_entry(&mut self, control: &mut Control) -> Result<(), NodeError> {
        let Some(Entry { sending, suspended: Some(suspended), is_over: true }) = self.entry else {
            return Ok(());
        };
        let Some(went_on) = self.vcpu.went_on() else { return Ok(()) };
        self.entry = None;
        let micros = |from: Instant, to: Instant| u64::try_from((to - from).as_micros()).unwrap_or(u64::MAX);
        control.tell(&FromNode::Protected(EntryFigures {
            rounds: sending.rounds,
            pages: sending.pages + self.saved.pages.len() as u64,
            bytes: self.outgoing.total() - sending.bytes_before,
            synchronisation_us: micros(sending.begun, suspended),
            pause_us: micros(suspended, went_on),
        }))
    }
}
