//! The simulator's network by itself, with its clock and its fingerprint, and no protocol over it.
//!
//! For comparisons with other simulators: what plays over it is the caller's. Not part of what this crate promises.

use crate::agenda::{Agenda, Event};
use crate::draw::{Draws, Purpose, Span};
use crate::fingerprint::Fingerprint;
use crate::knobs::{Datagrams, Knobs, Path};
use crate::link::Link;
use crate::options::Options;
use colo_protocol::{NodeName, Rules};

/// What has happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Happening {
    /// A datagram has come to this end.
    Arrived(NodeName),
    /// A time that somebody wanted to be told of has come.
    Woke(u64),
}

/// Two ends, and datagrams between them, each of which is lost or takes its time.
#[derive(Debug)]
pub struct DatagramNetwork {
    agenda: Agenda,
    link: Link,
    knobs: Knobs,
    draws: Draws,
    fingerprint: Fingerprint,
}

impl DatagramNetwork {
    /// A network in which, of 10,000 datagrams, `lost` are lost, and the others take from `least_us` to `most_us`.
    pub fn new(seed: u64, lost: u64, (least_us, most_us): (u64, u64)) -> Self {
        let never = Span { low: 0, high: 0 };
        let path = Path::of_latency(Span { low: least_us, high: most_us });
        let fate = Datagrams { dropped: lost, doubled: 0, late: 0, late_by: never };
        let knobs = Knobs::draw(seed, &Rules::V12, &Options::default()).over_datagrams(&path, fate);
        Self {
            agenda: Agenda::default(),
            link: Link::new(),
            knobs,
            draws: Draws::new(seed, Purpose::Network),
            fingerprint: Fingerprint::new(),
        }
    }

    /// Sends a datagram to this end.
    pub fn send(&mut self, to: NodeName, bytes: &[u8]) {
        self.link.put(to, bytes, (&mut self.agenda, &self.knobs, &mut self.draws));
    }

    /// Tells of `number` in so many microseconds.
    pub fn wake(&mut self, after_us: u64, number: u64) {
        self.agenda.after(after_us, Event::Retry { client: 0, sequence: number });
    }

    /// Goes on to what happens next; the bytes of a datagram take the place of what is in `into`.
    pub fn next(&mut self, into: &mut Vec<u8>) -> Option<Happening> {
        loop {
            let (_, event) = self.agenda.next()?;
            self.fingerprint.word(self.agenda.now_us());
            match event {
                Event::Datagram { to, epoch, number } => {
                    into.clear();
                    self.link.take_datagram(to, epoch, number, into);
                    self.fingerprint.bytes(into);
                    return Some(Happening::Arrived(to));
                }
                Event::Retry { sequence, .. } => return Some(Happening::Woke(sequence)),
                _ => {}
            }
        }
    }

    /// The fingerprint of all that has happened.
    pub const fn hash(&self) -> u64 {
        self.fingerprint.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_arrive_or_are_lost_and_the_same_seed_does_the_same() {
        let played = |seed| {
            let mut network = DatagramNetwork::new(seed, 2_500, (1_000, 10_000));
            (0..1_000_u32).for_each(|number| network.send(NodeName::Primary, &number.to_le_bytes()));
            network.wake(20_000, 7);
            let (mut bytes, mut arrived) = (Vec::new(), 0);
            while network.next(&mut bytes) == Some(Happening::Arrived(NodeName::Primary)) {
                arrived += 1;
            }
            assert_eq!(bytes.len(), 4);
            (arrived, network.hash())
        };
        assert!((700..800).contains(&played(1).0));
        assert!(played(1) == played(1) && played(1) != played(2));
    }
}
