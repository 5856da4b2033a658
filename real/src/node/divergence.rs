//! A guest that goes its own way: some of its requests are lost in it, by a rate or by a plan, as they might be in any
//! service. What it answers from then on is not what another answers that has got them.

use super::unit::Incoming;
use crate::abi::{OP_ADD, OP_PUT, Request};
use crate::vm::Divergence;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a guest makes of its requests.
#[derive(Debug, Default)]
pub(super) struct OwnWay {
    rate: Option<Divergence>,
    next_write: bool,
    /// Lost since that was last asked.
    lost: u64,
}

impl OwnWay {
    /// That of a guest which loses requests at a rate, if there is one.
    pub(super) fn with(rate: Option<Divergence>) -> Self {
        Self { rate, ..Self::default() }
    }

    /// The next request that writes is lost.
    pub(super) const fn lose_next_write(&mut self) {
        self.next_write = true;
    }

    /// What the guest is given for this request: it, or one that asks for nothing.
    pub(super) fn meets(&self, number: u64, incoming: Incoming) -> Incoming {
        if !self.loses(number, &incoming) {
            return incoming;
        }
        match incoming {
            Incoming::Request(request) => Incoming::Request(Request { sequence: 0, ..request }),
            Incoming::Frame(frame) => Incoming::Frame(frame::altered(&frame).unwrap_or(frame)),
        }
    }

    /// It has been given that.
    pub(super) fn has_met(&mut self, number: u64, incoming: &Incoming) {
        if self.loses(number, incoming) {
            self.lost += 1;
            self.next_write &= !writes(incoming);
        }
    }

    /// How many have been lost since the last call.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Drawn for each request by itself: the guest may be asked about it more than once.
    fn loses(&self, number: u64, incoming: &Incoming) -> bool {
        let is_anything = match incoming {
            Incoming::Request(_) => true,
            // What asks for nothing is not lost, and not counted.
            Incoming::Frame(_) => writes(incoming),
        };
        let by_rate = is_anything
            && self.rate.is_some_and(|Divergence { of, lost, seed }| {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                rng.set_stream(number);
                rng.random_range(0..of.max(1)) < lost
            });
        by_rate || (self.next_write && writes(incoming))
    }
}

/// Whether it may change something in the guest's service.
pub(super) fn writes(incoming: &Incoming) -> bool {
    match incoming {
        Incoming::Request(request) => matches!(request.operation, OP_PUT | OP_ADD),
        Incoming::Frame(frame) => frame::command(frame).is_some(),
    }
}

mod frame;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::OP_GET;

    fn request(operation: u64) -> Incoming {
        Incoming::Request(Request { sequence: 1, operation, ..Request::default() })
    }

    fn sequence(incoming: &Incoming) -> u64 {
        let Incoming::Request(request) = incoming else { return 0 };
        request.sequence
    }

    #[test]
    fn the_same_requests_are_lost_at_the_rate_however_often_they_are_met() {
        let mut own_way = OwnWay::with(Some(Divergence { of: 100, lost: 1, seed: 7 }));
        let lost = |own_way: &OwnWay| -> Vec<_> {
            (0..10_000).filter(|number| sequence(&own_way.meets(*number, request(OP_GET))) == 0).collect()
        };
        let once = lost(&own_way);
        assert!((60..140).contains(&once.len()), "{}", once.len());
        assert_eq!(lost(&own_way), once);
        assert_ne!(lost(&OwnWay::with(Some(Divergence { of: 100, lost: 1, seed: 8 }))), once);
        (0..10_000).for_each(|number| own_way.has_met(number, &request(OP_GET)));
        assert_eq!((own_way.take_lost(), own_way.take_lost()), (once.len() as u64, 0));
    }

    #[test]
    fn a_plan_loses_one_write() {
        let mut own_way = OwnWay::default();
        own_way.lose_next_write();
        let mut meet = |operation| {
            let met = own_way.meets(0, request(operation));
            own_way.has_met(0, &request(operation));
            sequence(&met)
        };
        assert_eq!([OP_GET, OP_PUT, OP_PUT, OP_ADD].map(&mut meet), [1, 0, 1, 1]);
    }
}
