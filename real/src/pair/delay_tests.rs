//! The delay between checkpoints is changed while a pair runs, by whoever may tell its nodes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::hostile_peer::{kvm_or_skip, node_command};
use super::{Pair, RunOptions};
use crate::control::ToNode;
use crate::link::LinkKind;
use crate::vm::Workload;
use colo_protocol::{NodeName, Rules};
use colo_trace::{Log, NamedRules, Plan, Verdict, conform};
use std::time::{Duration, Instant};

/// Longer than this test.
const LONG_MS: u32 = 20_000;

/// A pair that serves for as long as a test needs it.
pub(super) fn options(name: &str, rules: Rules) -> RunOptions {
    RunOptions {
        rules: NamedRules { name: name.to_owned(), rules },
        checkpoints: 1_000,
        memory_mib: 16,
        workload: Workload::default(),
        link: LinkKind::Unix,
        link_rate: None,
        plan: Plan::default(),
        arbiter: None,
        network: None,
        endures: false,
        events: None,
        warn: |_| {},
        replacements: Vec::new(),
        clients: 4,
        load: None,
        lasts: None,
        stop: None,
        record: true,
        disk_directory: None,
        node: node_command(),
    }
}

impl Pair<'_> {
    /// Serves for so long, or until there are so many checkpoints.
    pub(super) fn serve_for(&mut self, time: Duration, checkpoints: usize) {
        let begun = Instant::now();
        while begun.elapsed() < time && self.outcome.checkpoints.len() < checkpoints {
            self.ask();
            if let Ok(heard) = self.heard.recv_timeout(Duration::from_millis(2)) {
                self.hear(heard, &mut |_| {}).unwrap();
            }
        }
    }

    fn set_delay(&mut self, ms: u32) {
        for node in [NodeName::Secondary, NodeName::Primary] {
            self.process(node).tell(&ToNode::SetDelay { ms });
        }
    }
}

#[test]
fn a_changed_delay_takes_effect_at_once() {
    if !kvm_or_skip("a_changed_delay_takes_effect_at_once") {
        return;
    }
    for (name, rules) in [("v12", Rules::V12), ("strict", Rules::STRICT), ("remus", Rules::REMUS)] {
        let options = options(name, Rules { checkpoint_delay_ms: LONG_MS, ..rules });
        let directory = tempfile::tempdir().unwrap();
        let mut pair = Pair::start(&options, directory.path()).unwrap();
        let begun = Instant::now();
        while pair.clients.are_nobody() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{name}: it does not begin");
            pair.serve_for(Duration::from_millis(10), 1);
        }
        pair.serve_for(Duration::from_millis(200), 1);
        assert_eq!(pair.outcome.checkpoints, [], "{name}: none for 20 s");
        pair.set_delay(20);
        pair.serve_for(Duration::from_secs(10), 5);
        assert_eq!(pair.outcome.checkpoints.len(), 5, "{name}: every 20 ms");
        pair.set_delay(LONG_MS);
        // What is under way, and the one with which the new delay begins.
        pair.serve_for(Duration::from_millis(700), usize::MAX);
        let until_then = pair.outcome.checkpoints.len();
        assert!(until_then > 5, "{name}: it begins at once");
        // The secondary, too, waits for longer than it would have: patience is 1 s more than the delay.
        pair.serve_for(Duration::from_millis(1_300), until_then + 1);
        assert_eq!((pair.outcome.checkpoints.len(), pair.outcome.failovers), (until_then, 0), "{name}");
        pair.hear_the_rest();
        let trace = options.trace(std::mem::take(&mut pair.records), pair.started_us);
        let finding = conform(&Log::of_trace(&trace).unwrap(), &trace.header.rules).unwrap();
        assert_eq!(finding.verdict, Verdict::Conforms, "{name}: {:?}", finding.line());
    }
}
