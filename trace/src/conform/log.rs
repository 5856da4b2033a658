//! A record as the search takes it: events on tracks, each track in its order, and what holds between the tracks.
//!
//! There is a track for what each node did, or put on the link, and one for what befell the pair. Where records are
//! made by two clocks, or by none, only the order on a track is certain. Nothing here knows what an event leads to.

use super::sight::{Sight, Sort};
use super::word::{How, Word};
use crate::record::{Kind, Record, Trace, Way};
use crate::steps::is_new_pair;
use colo_protocol::{Effect, EffectKind, Input, InputKind, NodeName};
use thiserror::Error;

/// Tracks of a record: the primary's, the secondary's, the world's.
pub(super) const TRACKS: usize = 3;

/// The track of what befalls the pair.
pub(super) const WORLD: usize = 2;

/// An effect as a record names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SeenEffect {
    pub(super) kind: EffectKind,
    pub(super) value: Option<u64>,
    pub(super) reason: Option<String>,
}

impl SeenEffect {
    /// Whether it is this effect with all that it carries.
    pub(super) fn is(&self, effect: Effect) -> bool {
        let reason = match effect {
            Effect::Exit(reason) => Some(reason.name()),
            _ => None,
        };
        self.kind == effect.kind() && self.value == effect.value() && self.reason.as_deref() == reason
    }
}

/// What befell the pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// A node dies, by itself or by a manager's hand.
    Death(NodeName),
    /// The link is cut.
    Cut,
    /// One direction of the link is closed.
    HalfClosed,
    /// A node lacks the capability x-colo.
    Unfit,
    /// Anything else.
    Other,
}

impl Trouble {
    /// As the three ways write it: the fault's own words, and the node that it is about if it has its own column.
    fn of(record: &Record) -> Self {
        let name = record.name.as_str();
        let named = NodeName::ALL.into_iter().find(|node| name.starts_with(&format!("crash of the {node}")));
        let killed = record.node.filter(|_| name.starts_with("crash") || name.contains("fence"));
        match named.or(killed) {
            Some(node) => Self::Death(node),
            None if name.starts_with("cut of the link") => Self::Cut,
            None if name.starts_with("reset of the connection") => Self::Cut,
            None if name.starts_with("end of what the ") => Self::HalfClosed,
            None if name == "a node lacks x-colo" => Self::Unfit,
            None => Self::Other,
        }
    }
}

/// What a record tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum What {
    /// A node was given an input.
    Input(NodeName, Input),
    /// A node's environment carried out an effect.
    Effect(NodeName, SeenEffect),
    /// The delay between checkpoints is a setting: a node has this one from here on, milliseconds.
    Delay(NodeName, u32),
    /// Somebody on the link saw this pass, which this node had put there: what the other will be told.
    Passed(NodeName, Input),
    /// Something befell the pair.
    Trouble(Trouble),
    /// What a node put on the link here is nothing that can be read.
    Garbled(String),
}

/// Where in a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spot {
    /// The how-manieth record of a trace, from 0.
    Index(usize),
    /// So many bytes into the stream that comes from this node.
    Offset(NodeName, u64),
}

/// Where and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Where.
    pub spot: Spot,
    /// When, microseconds; in a trace of the model the number of the step; none if the record does not know.
    pub time_us: Option<u64>,
}

/// One event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Observed {
    pub(super) what: What,
    /// The latest checkpoint that its node had begun then, if the record says so.
    pub(super) checkpoint: Option<u64>,
    /// Its order among the events of other tracks: what ranks lower came before; none if that is not known.
    pub(super) rank: Option<u64>,
    pub(super) place: Place,
}

impl Observed {
    /// What it is called.
    pub(super) fn word(&self) -> Word {
        match &self.what {
            What::Input(node, input) => Word::of_input(*node, *input),
            What::Effect(node, effect) => {
                Word::new(Some(*node), How::Effect, effect.kind.name(), effect.value)
            }
            What::Delay(node, delay_ms) => {
                Word::new(Some(*node), How::Setting, "x-checkpoint-delay", Some((*delay_ms).into()))
            }
            What::Passed(from, packet) => Word::of_packet(*from, *packet),
            What::Trouble(_) => Word::new(None, How::Trouble, "a fault", None),
            What::Garbled(problem) => Word::new(None, How::Garbled, problem, None),
        }
    }
}

/// A recorded run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    pub(super) tracks: [Vec<Observed>; TRACKS],
    /// What is recorded of each node.
    pub(super) sights: [Sight; 2],
    /// Whether somebody on the link saw what each node put there.
    pub(super) relayed: [bool; 2],
    /// Whether each node has its own recorder, so that the end of one is not that of the other, and what strikes a node
    /// strikes a little later than it is recorded.
    pub(super) apart: bool,
    /// Where each track ends.
    pub(super) ends: [Place; TRACKS],
}

/// A record that cannot be taken for one.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum LogError {
    /// A record of something that there is not.
    #[error("line {line}: there is no {kind} {name:?}")]
    Name {
        /// The line of the trace, from 1.
        line: usize,
        /// Input or effect.
        kind: &'static str,
        /// What it is called there.
        name: String,
    },
    /// A record that says of no node that it did what only nodes do.
    #[error("line {line}: at which node {name:?} happened is not said")]
    Node {
        /// The line of the trace, from 1.
        line: usize,
        /// What happened.
        name: String,
    },
}

impl Log {
    /// The run that a trace tells of. What the guests and the clients did, remarks and errors are not looked at.
    pub fn of_trace(trace: &Trace) -> Result<Self, LogError> {
        let apart = trace.header.way == Way::Real;
        let last = trace.records.last().map(|record| record.time_us);
        let end = Place { spot: Spot::Index(trace.records.len()), time_us: last };
        let mut log = Self {
            tracks: Default::default(),
            sights: [Sight::default(); 2],
            relayed: [false; 2],
            apart,
            ends: [end; TRACKS],
        };
        // A new pair begins where that is remarked: what strikes it before its primary is told strikes the new pair.
        let mut begins = None;
        for (index, record) in trace.records.iter().enumerate() {
            if is_new_pair(record) {
                begins = Some(index);
            }
            let protects = record.as_input() == Some(Input::Protect);
            let place_in_order = if protects { begins.take().unwrap_or(index) } else { index };
            log.take((index, place_in_order), record)?;
        }
        Ok(log)
    }

    /// The same trace as somebody would have recorded it who saw the messages on the link only, and what befell the pair. A
    /// survivor and its replacement have another link.
    #[must_use]
    pub fn messages_of(trace: &Trace) -> Trace {
        let is_message = |record: &&Record| match record.kind {
            Kind::Fault => true,
            Kind::Input => matches!(InputKind::from_name(&record.name), Some(InputKind::Message(_))),
            Kind::Effect => matches!(EffectKind::from_name(&record.name), Some(EffectKind::Send(_))),
            _ => false,
        };
        let protects = |record: &&Record| record.as_input() == Some(Input::Protect);
        let records = trace.records.iter().take_while(|record| !protects(record));
        let records = records.filter(is_message).cloned().collect();
        Trace { header: trace.header.clone(), records }
    }

    /// How many events there are in it.
    pub fn events(&self) -> usize {
        self.tracks.iter().map(Vec::len).sum()
    }

    /// Whether all that this node did is in it, and not only what it put on the link and took off it.
    pub fn shows_inside_of(&self, node: NodeName) -> bool {
        self.sights[node as usize].shows(Sort::Inside)
    }

    /// Whether anything befell the pair.
    pub(super) fn is_troubled(&self) -> bool {
        self.tracks[WORLD].iter().any(|event| matches!(event.what, What::Trouble(_)))
    }

    fn take(&mut self, (index, order): (usize, usize), record: &Record) -> Result<(), LogError> {
        // The header is line 1.
        let line = index + 2;
        let unknown = |kind| LogError::Name { line, kind, name: record.name.clone() };
        let at = || record.node.ok_or_else(|| LogError::Node { line, name: record.name.clone() });
        let (what, sort) = match record.kind {
            Kind::Input => {
                let input = record.as_input().ok_or_else(|| unknown("input"))?;
                (What::Input(at()?, input), Sort::of_input(input.kind()))
            }
            Kind::Effect => {
                let kind = EffectKind::from_name(&record.name).ok_or_else(|| unknown("effect"))?;
                let seen = SeenEffect { kind, value: record.value, reason: record.detail.clone() };
                (What::Effect(at()?, seen), Sort::of_effect(kind))
            }
            Kind::Note => match record.as_new_delay() {
                Some(delay_ms) => (What::Delay(at()?, delay_ms), Sort::Inside),
                None => return Ok(()),
            },
            Kind::Fault => (What::Trouble(Trouble::of(record)), Sort::Inside),
            _ => return Ok(()),
        };
        let track = match what {
            What::Input(node, _) | What::Effect(node, _) | What::Delay(node, _) => {
                self.sights[node as usize].add(sort);
                node as usize
            }
            _ => WORLD,
        };
        self.tracks[track].push(self.observed(what, (index, order), record));
        Ok(())
    }

    /// One clock alone makes an order of all events: that of the lines.
    fn observed(&self, what: What, (index, order): (usize, usize), record: &Record) -> Observed {
        let rank = if self.apart { record.time_us } else { order as u64 };
        let place = Place { spot: Spot::Index(index), time_us: Some(record.time_us) };
        Observed { what, checkpoint: Some(record.checkpoint), rank: Some(rank), place }
    }
}
