//! Captured streams as a record: what somebody on the link saw pass, each way, with the house's own decoder.
//!
//! Whatever lengths the bytes announce, nothing is allocated by them: what is kept is one event a message, one for the
//! end of a checkpoint's RAM and one for the end of its device state.

use super::index::Index;
use super::log::{Log, Observed, Place, Spot, TRACKS, What};
use super::sight::Sight;
use colo_protocol::wire::{BlockName, Body, Config, DecodeError, DecodeErrorKind, Decoder, Direction};
use colo_protocol::{Dialect, Input, NodeName};
use std::io::Read;
use thiserror::Error;

/// How much of a stream is read at once, bytes.
const CHUNK_BYTES: usize = 1 << 16;

/// The most events of a stream.
const MAX_EVENTS: usize = 1 << 20;

/// What a node has put on the link, as it passed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Capture {
    from: NodeName,
    /// The events, their places in bytes of the file.
    events: Vec<(What, u64, u64)>,
    /// How many bytes there are.
    bytes: u64,
    index: Option<Index>,
}

/// A capture that cannot be taken for one.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// The file could not be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It does not begin at a message.
    #[error("{0}; a capture begins behind the initial migration, at a COLO message")]
    Beginning(DecodeError),
    /// It is longer than anybody looks at.
    #[error("more than {MAX_EVENTS} messages")]
    TooLong,
    /// The index is that of another stream.
    #[error("the index ends at byte {end} of the stream, and there are {bytes} bytes of it")]
    Index {
        /// Where the index ends.
        end: u64,
        /// How many bytes there are.
        bytes: u64,
    },
}

impl Capture {
    /// Reads what came from this node, in this dialect; `ram_section_id` is the number that the initial migration gave
    /// to the section "ram".
    pub fn read(
        from: NodeName,
        dialect: Dialect,
        ram_section_id: u32,
        mut stream: impl Read,
        index: Option<Index>,
    ) -> Result<Self, CaptureError> {
        let direction = match from {
            NodeName::Primary => Direction::PrimaryToSecondary,
            NodeName::Secondary => Direction::SecondaryToPrimary,
        };
        let mut decoder = Decoder::new(Config { ram_section_id, ..Config::new(dialect, direction) });
        // Which block the initial migration ended with is not known, and no page is looked at.
        decoder.set_last_block(Some(BlockName::default()));
        let mut capture = Self { from, events: Vec::new(), bytes: 0, index };
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Some(piece) = next_piece(&mut stream, &mut buffer)? {
            capture.bytes += piece.len() as u64;
            // Behind what cannot be read there is nothing to look for, but the stream's length.
            if !capture.is_garbled() {
                capture.take(&mut decoder, piece)?;
            }
        }
        let end = capture.index.as_ref().map(Index::end);
        match end {
            Some(end) if end < capture.bytes => Err(CaptureError::Index { end, bytes: capture.bytes }),
            _ => Ok(capture),
        }
    }

    fn is_garbled(&self) -> bool {
        matches!(self.events.last(), Some((What::Garbled(_), ..)))
    }

    fn take(&mut self, decoder: &mut Decoder, mut piece: &[u8]) -> Result<(), CaptureError> {
        loop {
            let event = match decoder.next(&mut piece) {
                Ok(None) => return Ok(()),
                Ok(Some(frame)) => {
                    let end = frame.offset.saturating_add(frame.len as u64);
                    passed(&frame.body).map(|packet| (What::Passed(self.from, packet), frame.offset, end))
                }
                Err(error) if error.offset == 0 => return Err(CaptureError::Beginning(error)),
                Err(DecodeError { offset, kind }) => Some((What::Garbled(garbled(kind)), offset, offset)),
            };
            self.events.extend(event);
            if self.is_garbled() {
                return Ok(());
            }
            if self.events.len() > MAX_EVENTS {
                return Err(CaptureError::TooLong);
            }
        }
    }

    /// The offset of the file's first byte in the stream: an index is of the whole stream.
    fn base(&self) -> u64 {
        self.index.as_ref().map_or(0, |index| index.end().saturating_sub(self.bytes))
    }

    fn place(&self, offset: u64, time_us: Option<u64>) -> Place {
        Place { spot: Spot::Offset(self.from, offset), time_us }
    }

    fn observed(&self) -> Vec<Observed> {
        let base = self.base();
        let observed = |(what, offset, end): &(What, u64, u64)| {
            let time_us = self.index.as_ref().and_then(|index| index.time_us(base + end));
            Observed {
                what: what.clone(),
                checkpoint: None,
                rank: time_us,
                place: self.place(base + offset, time_us),
            }
        };
        self.events.iter().map(observed).collect()
    }

    fn last_us(&self) -> Option<u64> {
        self.index.as_ref().and_then(Index::last_us)
    }
}

impl Log {
    /// The run of which these are the two directions, or one of them.
    ///
    /// Where one of them has no index, only the order of what each node sent is known.
    pub fn of_captures(captures: &[Capture]) -> Self {
        let nowhere = Place { spot: Spot::Index(0), time_us: None };
        let mut log = Self {
            tracks: Default::default(),
            sights: [Sight::default(); 2],
            relayed: [false; 2],
            apart: false,
            ends: [nowhere; TRACKS],
        };
        let last_us = captures.iter().filter_map(Capture::last_us).max();
        for capture in captures {
            let track = capture.from as usize;
            log.tracks[track] = capture.observed();
            log.relayed[track] = true;
            log.ends[track] = capture.place(capture.base() + capture.bytes, last_us);
        }
        log
    }
}

fn next_piece<'a>(stream: &mut impl Read, buffer: &'a mut [u8]) -> std::io::Result<Option<&'a [u8]>> {
    let bytes = stream.read(buffer)?;
    Ok(buffer.get(..bytes).filter(|piece| !piece.is_empty()))
}

/// What the receiver will be told when this is whole.
fn passed(body: &Body<'_>) -> Option<Input> {
    match body {
        Body::Message(message) => Some(Input::Message(*message)),
        Body::EndOfRam => Some(Input::RamReceived),
        Body::DeviceState { last: true, .. } => Some(Input::DeviceStateReceived),
        _ => None,
    }
}

fn garbled(kind: DecodeErrorKind) -> String {
    match kind {
        DecodeErrorKind::UnexpectedMessage { message, .. } => message.name().to_owned(),
        other => other.to_string(),
    }
}
