//! What happened in a run: always as a fingerprint, as records when they were asked for. Judges nothing.

use crate::fingerprint::Fingerprint;
use colo_oracle::Reply;
use colo_protocol::{CheckpointNumber, Effect, Input, NodeName, OutputOffset};
use colo_trace::{Kind, Record};

/// Where and when something happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) time_us: u64,
    pub(crate) node: Option<NodeName>,
    pub(crate) checkpoint: CheckpointNumber,
}

/// The events of a run.
#[derive(Clone, Debug)]
pub(crate) struct Tape {
    print: Fingerprint,
    records: Option<Vec<Record>>,
}

impl Tape {
    pub(crate) fn new(record: bool) -> Self {
        Self { print: Fingerprint::new(), records: record.then(Vec::new) }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.print.value()
    }

    pub(crate) fn into_records(self) -> Option<Vec<Record>> {
        self.records
    }

    /// The clock has come to an event.
    pub(crate) fn tick(&mut self, time_us: u64, order: u64) {
        self.print.word(time_us);
        self.print.word(order);
    }

    pub(crate) fn input(&mut self, place: Place, input: Input) {
        self.mix(place, Kind::Input, input.kind().name(), input.value());
        self.keep(|| match place.node {
            Some(node) => Record::input(place.time_us, node, place.checkpoint.0, input),
            None => unreachable!("an input is given to a node"),
        });
    }

    pub(crate) fn effect(&mut self, place: Place, effect: Effect) {
        self.mix(place, Kind::Effect, effect.kind().name(), effect.value());
        self.keep(|| match place.node {
            Some(node) => Record::effect(place.time_us, node, place.checkpoint.0, effect),
            None => unreachable!("an effect is carried out at a node"),
        });
    }

    /// Anything else, in words.
    pub(crate) fn other(&mut self, place: Place, kind: Kind, name: &str, detail: Option<String>) {
        self.mix(place, kind, name, None);
        self.keep(|| {
            let record = Record::other(place.time_us, place.node, place.checkpoint.0, kind, name);
            match detail {
                Some(detail) => record.with_detail(detail),
                None => record,
            }
        });
    }

    /// A reply was made by a guest, or reached a client.
    pub(crate) fn reply(&mut self, place: Place, kind: Kind, offset: OutputOffset, reply: Reply) {
        let Reply { client, sequence, serial, value } = reply;
        self.mix(place, kind, "reply", Some(offset.0));
        for word in [u64::from(client), sequence, serial, value] {
            self.print.word(word);
        }
        self.keep(|| {
            let detail = format!("client {client} request {sequence}: {value}, serial {serial}");
            let record = Record::other(place.time_us, place.node, place.checkpoint.0, kind, "reply");
            record.with_value(offset.0).with_detail(detail)
        });
    }

    fn mix(&mut self, place: Place, kind: Kind, name: &str, value: Option<u64>) {
        let node = place.node.map_or(0, |node| 1 + node as u64);
        self.print.word(place.time_us);
        self.print.word(place.checkpoint.0 << 8 | (kind as u64) << 4 | node);
        self.print.bytes(name.as_bytes());
        self.print.word(value.map_or(0, |value| value.wrapping_add(1)));
    }

    fn keep(&mut self, record: impl FnOnce() -> Record) {
        if let Some(records) = &mut self.records {
            records.push(record());
        }
    }
}
