//! The arbiter of a run: what the nodes ask is carried to it, and its answers back. While it is silent nobody is told
//! anything, and so nobody takes over; that is said.

use super::Pair;
use super::options::RunOptions;
use super::process::Heard;
use super::violation::RunViolation;
use crate::arbiter::{Arbiter, Asking, Claim, MemoryArbiter, RunId, Told};
use crate::control::ToNode;
use colo_protocol::NodeName;
use colo_trace::Kind;
use std::io;
use std::sync::mpsc::Sender;

/// The arbiter as the harness knows it.
#[derive(Debug)]
pub(super) struct Arbitration {
    /// What this run is called before it.
    run: RunId,
    asking: Asking,
}

impl Arbitration {
    /// The arbiter of these options, whose answers are heard among all else.
    pub(super) fn of(options: &RunOptions, heard: Sender<Heard>) -> io::Result<Self> {
        let arbiter: Box<dyn Arbiter> = match &options.arbiter {
            Some(address) => address.arbiter(),
            None => Box::new(MemoryArbiter::default()),
        };
        let tell = move |told| {
            // It fails when the run has ended.
            let _ = heard.send(Heard::Arbiter(told));
        };
        Ok(Self { run: RunId::drawn()?, asking: Asking::start(arbiter, tell) })
    }

    /// A node's claim to serve alone in this pair of the service.
    fn claim(&self, pair: usize, claimant: NodeName) -> Claim {
        Claim { run: self.run.clone(), generation: pair as u64, claimant }
    }
}

impl Pair<'_> {
    /// A node asks for the right to serve alone.
    pub(super) fn arbitrate(&mut self, asker: NodeName) {
        self.course.asks[asker as usize] = true;
        self.arbitration.asking.ask(self.arbitration.claim(self.pairs, asker));
    }

    /// A node that is dead wants no right. That the arbiter is silent concerns nobody when nobody asks.
    pub(super) fn stop_asking(&mut self, node: NodeName) {
        if std::mem::take(&mut self.course.asks[node as usize]) {
            self.arbitration.asking.withdraw(self.arbitration.claim(self.pairs, node));
        }
        if self.course.asks == [false; 2] {
            self.course.arbiter_is_silent = None;
        }
    }

    /// The arbiter has answered, or does not.
    pub(super) fn arbiter_says(&mut self, Told { claim, answer }: Told) {
        let asker = claim.claimant;
        if claim != self.arbitration.claim(self.pairs, asker) || !self.course.asks[asker as usize] {
            // Who asked is dead; another may have its name in the next pair.
            return;
        }
        match answer {
            Ok(granted) => {
                self.course.asks[asker as usize] = false;
                if self.course.arbiter_is_silent.take().is_some() {
                    self.note(None, Kind::Note, "the arbiter answers".to_owned());
                }
                self.process(asker).tell(&ToNode::ArbiterAnswer(granted));
            }
            Err(error) => self.arbiter_is_silent(&error.to_string()),
        }
    }

    fn arbiter_is_silent(&mut self, problem: &str) {
        if self.course.arbiter_is_silent.is_some() {
            return;
        }
        let name = self.options.arbiter.as_ref().map_or_else(|| "in memory".to_owned(), ToString::to_string);
        let silent = format!("the arbiter ({name}) does not answer: {problem}");
        let said = format!("{silent}; nobody takes over until it does");
        self.note(None, Kind::Note, said.clone());
        (self.options.warn)(&said);
        self.outcome.arbiter_was_silent.get_or_insert(said);
        self.course.arbiter_is_silent = Some(silent);
    }

    /// Clients have heard nothing for so long. If a node only waits for the arbiter, it is not the protocol's fault.
    pub(super) fn silence(&self, seconds: u64) -> RunViolation {
        match &self.course.arbiter_is_silent {
            Some(silent) => RunViolation::ArbiterSilent { seconds, problem: silent.clone() },
            None => RunViolation::Silence { seconds },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::delay_tests::options;
    use super::super::hostile_peer::kvm_or_skip;
    use super::*;
    use colo_protocol::Rules;

    #[test]
    fn the_arbiters_silence_is_nobodys_when_who_asked_is_dead() {
        if !kvm_or_skip("the_arbiters_silence_is_nobodys_when_who_asked_is_dead") {
            return;
        }
        let options = options("strict", Rules::STRICT);
        let directory = tempfile::tempdir().unwrap();
        let mut pair = Pair::start(&options, directory.path()).unwrap();
        pair.course.asks = [true; 2];
        pair.arbiter_is_silent("no route");
        for (dead, is_arbiters) in [(NodeName::Primary, true), (NodeName::Secondary, false)] {
            pair.stop_asking(dead);
            let silence = pair.silence(7);
            assert_eq!(matches!(silence, RunViolation::ArbiterSilent { .. }), is_arbiters, "{silence:?}");
        }
    }
}
