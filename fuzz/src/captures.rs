//! Captured streams with their indices, as `colo conform` takes them.
//!
//! Byte 0 chooses rules and whether there is an index, then the lengths of both streams (two bytes each), the primary's
//! stream, the secondary's, and the text of the primary's index.

use colo_protocol::{NodeName, Rules};
use colo_trace::{Capture, CaptureError, Index, IndexError, Log, conform};

/// The most events that are searched: the search takes time that grows with them.
const MOST_EVENTS: usize = 40;

/// Both directions of a link, and an index.
pub fn conform_captures(input: &[u8]) {
    let [choices, a, b, c, d, rest @ ..] = input else { return };
    let lengths = [[*a, *b], [*c, *d]].map(|bytes| usize::from(u16::from_be_bytes(bytes)));
    let Some((primary, rest)) = rest.split_at_checked(lengths[0]) else { return };
    let Some((secondary, text)) = rest.split_at_checked(lengths[1]) else { return };
    let rules = if choices & 1 == 0 { Rules::QEMU } else { Rules::V12 };
    let index = index(text).filter(|_| choices & 2 != 0);
    let read = |from, bytes: &[u8], index| said(Capture::read(from, rules.dialect, 2, bytes, index));
    let captures = [read(NodeName::Primary, primary, index), read(NodeName::Secondary, secondary, None)];
    let captures: Vec<Capture> = captures.into_iter().flatten().collect();
    let log = Log::of_captures(&captures);
    if log.events() <= MOST_EVENTS {
        let _ = conform(&log, &rules);
    }
}

fn index(text: &[u8]) -> Option<Index> {
    match Index::read(text) {
        Ok(index) => Some(index),
        Err(IndexError::Io(error)) => panic!("memory can be read: {error}"),
        Err(IndexError::Line { line, .. }) => {
            assert!(line <= text.iter().filter(|byte| **byte == b'\n').count() + 1 + text.len() / 128);
            None
        }
    }
}

fn said(read: Result<Capture, CaptureError>) -> Option<Capture> {
    match read {
        Ok(capture) => Some(capture),
        Err(CaptureError::Io(error)) => panic!("memory can be read: {error}"),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}
