//! Protection again: whoever serves alone is given a replacement, a fresh process to which all of its state is sent while
//! it goes on serving. The two are a pair like the first, in which the next plan has its turn.

use super::options::RunError;
use super::process::Process;
use super::{Course, Pair};
use crate::control::ToNode;
use crate::node::monotonic_us;
use colo_protocol::NodeName;
use colo_trace::{Fault, Plan};
use std::time::{Duration, Instant};

/// A replacement that could not be started is tried again after so long.
const TRIES_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Pair<'_> {
    /// What is to go wrong in this pair.
    pub(super) fn plan(&self) -> &Plan {
        let later = self.pairs.checked_sub(1).and_then(|index| self.options.replacements.get(index));
        let first = (self.pairs == 0).then_some(&self.options.plan);
        later.or(first).unwrap_or(const { &Plan::NOTHING })
    }

    /// Whether there is another replacement for whoever serves alone.
    pub(super) fn has_replacements(&self) -> bool {
        self.options.endures || self.pairs < self.options.replacements.len()
    }

    /// Gives the survivor a replacement, if it has shown that it serves, and nothing more comes of its peer.
    pub(super) fn replace(&mut self) -> Result<(), RunError> {
        if self.joins && self.joins_since.elapsed() > self.options.patience() {
            // It hangs. Its survivor finds out, and there is another.
            self.kill(NodeName::Secondary);
        }
        let is_too_early = self.no_replacement_before.is_some_and(|before| Instant::now() < before);
        let wanted = self.has_replacements() && !self.joins && !self.has_done_enough() && !is_too_early;
        let Some((_, replies)) = self.latest_failover.filter(|_| wanted) else {
            return Ok(());
        };
        let (survivor, peer) = (self.serving, self.serving.peer());
        let serves = self.process(survivor).is_alive()
            && !self.course.asks[survivor as usize]
            && self.clients.are_served_since(replies);
        if !serves || !self.is_settled(peer) {
            return Ok(());
        }
        if self.process(peer).is_alive() {
            // It has stopped for good, or is of no use. What it has said by then is heard first.
            self.kill(peer);
        }
        if self.course.ended[peer as usize] { self.begin_pair(survivor) } else { Ok(()) }
    }

    fn begin_pair(&mut self, survivor: NodeName) -> Result<(), RunError> {
        let sender = self.sender.clone();
        let started = Process::start(NodeName::Secondary, &self.options.node, &self.directory, sender);
        let parts = started.and_then(|process| Ok((process, self.connections()?, self.options.port()?)));
        let (replacement, [survivors, replacements], port) = match parts {
            Ok(parts) => parts,
            Err(error) if self.options.endures => {
                (self.options.warn)(&format!("no replacement can be started: {error}; it is tried again"));
                self.no_replacement_before = Some(Instant::now() + TRIES_AGAIN_AFTER);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        self.end_pair();
        self.change_disks(survivor, self.pairs + 1)?;
        if survivor == NodeName::Secondary {
            self.processes.swap(0, 1);
        }
        let [primary, secondary] = &mut self.processes;
        primary.becomes(NodeName::Primary);
        *secondary = replacement;
        self.serving = NodeName::Primary;
        self.pairs += 1;
        self.joins = true;
        self.joins_since = Instant::now();
        self.manager.begin_pair();
        self.course = Course { is_empty: true, began_us: monotonic_us(), ..Course::default() };
        let plan = self.plan().clone();
        let mut config = self.options.node_config(NodeName::Secondary, self.disks.as_ref());
        (config.joins, config.plan, config.pair) = (true, plan, self.pairs);
        self.process(NodeName::Secondary).configure(config, Some(&replacements), port.as_ref());
        self.course.introduces = Some(survivors);
        Ok(())
    }

    /// The replacement has started: now the survivor hears of it. Before, it would have nobody to read what it sends.
    pub(super) fn introduce(&mut self) {
        let Some(connections) = self.course.introduces.take() else { return };
        let protect = ToNode::Protect { pair: self.pairs, plan: Box::new(self.plan().clone()) };
        self.process(NodeName::Primary).hand(&protect, &connections);
    }

    /// What the plan of this pair has come to.
    pub(super) fn end_pair(&mut self) {
        let struck = self.outcome.struck.get(self.struck_before..).unwrap_or_default();
        let unreached = |fault: &&Fault| !struck.contains(&(fault.at, fault.action));
        let unreached: Vec<_> = self.plan().faults.iter().filter(unreached).copied().collect();
        let closed: Vec<_> = self.closed().copied().collect();
        self.struck_before = self.outcome.struck.len();
        self.outcome.unreached.extend(unreached);
        self.outcome.closed.extend(closed);
        self.compared_before = self.outcome.comparison.figures;
    }

    /// The replacement could take over: from here on it is a pair like the first.
    pub(super) fn joined(&mut self) {
        (self.joins, self.course.is_empty) = (false, false);
        self.manager.joined();
        if self.course.took_over == [false; 2] {
            // If its survivor has taken over again meanwhile, and was heard first, there is nothing to be forgotten.
            self.latest_failover = None;
        }
        self.checkpoints_before = self.outcome.checkpoints.len() as u64;
        self.outcome.protected_again += 1;
        self.tell(self.protected());
    }
}
