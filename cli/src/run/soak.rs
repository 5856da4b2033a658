//! What a long run is looked at for: whether the nodes' memory grows, and how latency drifts.

use crate::report::grouped;
use colo_protocol::NodeName;
use colo_real::{Latencies, Measured, Slice, abi};
use serde_json::{Value, json};
use std::fmt::Write;

/// Memory that a node may hold at the end more than at the beginning: buffers still find their size.
const SLACK_BYTES: u64 = 1 << 20;

/// How often a checkpoint is in a node's memory at most: two buffers, each perhaps half empty.
const COPIES: u64 = 4;

/// A node's memory, bytes.
struct Memory {
    node: NodeName,
    first: u64,
    last: u64,
}

/// What was found.
pub(super) struct Soak {
    memory: Vec<Memory>,
    /// Memory that a node may hold more at the end: buffers keep the size of the largest checkpoint that there was.
    allowed_bytes: u64,
    /// Median latencies of the first tenth and of the last, microseconds.
    drift: Option<[u64; 2]>,
}

impl Soak {
    /// Compares the last tenth of a run with its beginning. Of memory that is the second tenth: in the first, everything
    /// is touched for the first time. A node that has died has no memory to grow.
    ///
    /// Where survivors are given replacements, `of_replacements` is the guest's memory: who has been a replacement has held
    /// all of it twice while it came.
    pub(super) fn of(measured: &Measured, of_replacements: u64) -> Self {
        let slices = measured.slices();
        let tenth = (slices.len() / 10).max(1);
        let part = |number: usize| slices.iter().skip(number * tenth).take(tenth);
        let end = slices.len().saturating_sub(tenth);
        let memory = NodeName::ALL.into_iter().filter_map(|node| {
            Some(Memory { node, first: most(part(1), node)?, last: most(slices[end..].iter(), node)? })
        });
        let (first, last) = (median(part(0)), median(slices[end..].iter()));
        let largest = |slices: &[Slice]| slices.iter().map(|slice| slice.most_dirty_pages).max().unwrap_or(0);
        let later = largest(slices).saturating_sub(largest(&slices[..slices.len().min(2 * tenth)]));
        Self {
            memory: memory.collect(),
            allowed_bytes: SLACK_BYTES + COPIES * later * abi::PAGE_BYTES + 2 * of_replacements,
            drift: first.zip(last).map(|(first, last)| [first, last]),
        }
    }

    /// What is wrong, if anything is.
    pub(super) fn problem(&self) -> Option<String> {
        let grown = self.memory.iter().find(|memory| memory.last > memory.first + self.allowed_bytes)?;
        Some(format!(
            "the {}'s process has grown from {} to {} bytes, expected at most {} more",
            grown.node,
            grouped(grown.first),
            grouped(grown.last),
            grouped(self.allowed_bytes)
        ))
    }

    /// The rows for the end of the table.
    pub(super) fn told(&self) -> String {
        let mut out = String::new();
        for Memory { node, first, last } in &self.memory {
            let (first, last) = (grouped(*first), grouped(*last));
            let _ = writeln!(out, "memory       {node}: {first} bytes in the beginning, {last} in the end");
        }
        if let Some([first, last]) = self.drift.map(|drift| drift.map(grouped)) {
            let _ =
                writeln!(out, "drift        median latency {first} us in the beginning, {last} in the end");
        }
        out
    }

    /// Puts the same into the document of a run, whose verdict it may change.
    pub(super) fn enter(&self, document: &mut Value) {
        document["soak"] = self.document();
        if self.problem().is_some() {
            document["verdict"] = "violated".into();
        }
    }

    fn document(&self) -> Value {
        let memory = self.memory.iter().map(|Memory { node, first, last }| {
            json!({ "node": node.name(), "first_bytes": first, "last_bytes": last })
        });
        json!({
            "memory": memory.collect::<Vec<_>>(),
            "drift": self.drift.map(|[first, last]| json!({ "first_p50_us": first, "last_p50_us": last })),
            "problem": self.problem(),
        })
    }
}

/// The most that a node was seen to hold; none if it was never seen.
fn most<'a>(slices: impl Iterator<Item = &'a Slice>, node: NodeName) -> Option<u64> {
    slices.map(|slice| slice.resident_bytes[node as usize]).max().filter(|bytes| *bytes > 0)
}

fn median<'a>(slices: impl Iterator<Item = &'a Slice>) -> Option<u64> {
    let mut all = Latencies::default();
    slices.for_each(|slice| all.add(&slice.latency));
    all.quantile(0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soak(first: u64, last: u64) -> Soak {
        let memory = vec![Memory { node: NodeName::Secondary, first, last }];
        Soak { memory, allowed_bytes: SLACK_BYTES, drift: Some([10, 20]) }
    }

    #[test]
    fn buffers_may_find_their_size_and_nothing_may_grow_on() {
        assert_eq!(soak(5_000_000, 5_000_000 + SLACK_BYTES).problem(), None);
        assert_eq!(soak(5_000_000, 1).problem(), None);
        let problem = soak(5_000_000, 6_048_577).problem();
        let expected = "the secondary's process has grown from 5,000,000 to 6,048,577 bytes, expected at most \
                        1,048,576 more";
        assert_eq!(problem.as_deref(), Some(expected));
        assert_eq!(soak(5_000_000, 6_048_577).document()["problem"], expected);
    }
}
