//! The judge's books: what the guest of each node has sent in its history, unit by unit, from the first on.
//!
//! Content counts, not only places: what a secondary's history has in common with its primary's is what both have sent
//! alike. No node and no guest reads them.

use colo_oracle::Reply;
use colo_protocol::{NodeName, OutputOffset};

/// The books of a pair.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    sent: [Vec<Reply>; 2],
    /// How much of the secondary's history came with a checkpoint of the primary.
    copied: usize,
    /// How much the two are known to have in common.
    shared: usize,
}

impl Ledger {
    /// A node's guest has sent a unit, which stands at `offset`.
    pub(crate) fn sends(&mut self, node: NodeName, offset: OutputOffset, reply: Reply) {
        let sent = &mut self.sent[node as usize];
        sent.truncate(place(offset));
        sent.push(reply);
    }

    /// The secondary's VM is the primary's now, as it was when it had sent output up to `end`.
    pub(crate) fn loads(&mut self, end: OutputOffset) {
        let [primary, secondary] = &mut self.sent;
        let end = place(end).min(primary.len());
        let copied = self.copied.min(end);
        secondary.truncate(copied);
        secondary.extend_from_slice(&primary[copied..end]);
        (self.copied, self.shared) = (end, end);
    }

    /// How much of the primary's output the secondary has sent as well.
    pub(crate) fn shared(&mut self) -> OutputOffset {
        let [primary, secondary] = &self.sent;
        let behind = primary.iter().zip(secondary).skip(self.shared);
        self.shared += behind.take_while(|(one, other)| one == other).count();
        OutputOffset(self.shared as u64)
    }

    /// Whether a node's history has this unit at this place.
    pub(crate) fn holds(&self, node: NodeName, offset: OutputOffset, reply: Reply) -> bool {
        self.sent[node as usize].get(place(offset)) == Some(&reply)
    }

    /// Another pair begins with this survivor.
    pub(crate) fn begin_generation(&mut self, survivor: NodeName) {
        let history = std::mem::take(&mut self.sent[survivor as usize]);
        *self = Self { sent: [history, Vec::new()], ..Self::default() };
    }
}

fn place(offset: OutputOffset) -> usize {
    crate::draw::index(offset.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(value: u64) -> Reply {
        Reply { client: 0, sequence: 1, serial: 1, value }
    }

    #[test]
    fn what_is_sent_alike_is_shared_up_to_the_first_difference() {
        let mut ledger = Ledger::default();
        let send = |ledger: &mut Ledger, node, offset, value| {
            ledger.sends(node, OutputOffset(offset), reply(value));
        };
        for (offset, value) in [(0, 1), (1, 2), (2, 3), (3, 4)] {
            send(&mut ledger, NodeName::Primary, offset, value);
        }
        assert_eq!(ledger.shared(), OutputOffset(0));
        ledger.loads(OutputOffset(2));
        send(&mut ledger, NodeName::Secondary, 2, 3);
        assert_eq!(ledger.shared(), OutputOffset(3));
        send(&mut ledger, NodeName::Secondary, 3, 5);
        send(&mut ledger, NodeName::Secondary, 4, 6);
        assert_eq!(ledger.shared(), OutputOffset(3));
        assert!(ledger.holds(NodeName::Secondary, OutputOffset(3), reply(5)));
        ledger.loads(OutputOffset(4));
        assert_eq!(ledger.shared(), OutputOffset(4));
        assert!(!ledger.holds(NodeName::Secondary, OutputOffset(4), reply(6)));
        ledger.begin_generation(NodeName::Secondary);
        assert_eq!(ledger.shared(), OutputOffset(0));
        assert!(ledger.holds(NodeName::Primary, OutputOffset(3), reply(4)));
    }
}
