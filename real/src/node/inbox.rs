//! What has come to a node's guest, requests or frames, numbered in the order in which it came.
//!
//! The numbers are those of the primary's ring, or card: a checkpoint says how many the guest has been given. Where both
//! VMs execute, a secondary goes on behind a load with the request that the primary's guest was to be given next, though
//! its own may have had it already; so it keeps some that it has given.

use super::unit::Incoming;
use std::collections::VecDeque;

/// Requests that may wait for the guest; the network drops what comes beyond.
const MOST_WAITING: usize = 4096;

/// Requests that have been given and are kept, because a load may ask for them again. Behind so many it asks in vain, and
/// the guest waits for the next load.
pub(super) const MOST_KEPT: usize = 1 << 16;

/// Likewise frames, which are larger.
pub(super) const MOST_FRAMES_KEPT: usize = 1 << 14;

/// The requests.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// The number of the first one that is here.
    first: u64,
    requests: VecDeque<Incoming>,
    /// The number of the one that the guest is given next.
    next: u64,
    /// Of those that it has been given, so many are kept.
    kept: usize,
}

impl Inbox {
    /// Nothing has come. Of what has been given so much is kept.
    pub(super) fn keeping(kept: usize) -> Self {
        Self { kept, ..Self::default() }
    }

    /// One more has come from the network; its number, unless it is dropped.
    pub(super) fn push(&mut self, request: Incoming) -> Option<u64> {
        if self.requests.is_empty() || self.next < self.first {
            // What is missing before it will not come any more.
            self.requests.clear();
            self.first = self.next;
        }
        let number = self.end();
        (number.saturating_sub(self.next) < MOST_WAITING as u64).then(|| {
            self.requests.push_back(request);
            number
        })
    }

    /// One has come from the peer, which has numbered it. Behind one that is missing, what was here is of no use until a
    /// load says where to go on.
    pub(super) fn mirrored(&mut self, number: u64, request: Incoming) {
        if number < self.end() && !self.requests.is_empty() || number < self.next {
            return;
        }
        if self.requests.is_empty() || number > self.end() {
            self.requests.clear();
            self.first = number;
        }
        if self.requests.len() < MOST_WAITING + self.kept {
            self.requests.push_back(request);
        }
    }

    /// The one that the guest is given next, with its number, if it is here.
    pub(super) fn next(&self) -> Option<(u64, Incoming)> {
        let index = usize::try_from(self.next.checked_sub(self.first)?).ok()?;
        Some((self.next, self.requests.get(index)?.clone()))
    }

    /// From here on nobody goes back.
    pub(super) fn keep_nothing(&mut self) {
        self.kept = 0;
    }

    /// Those that the guest has not been given, with their numbers.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (u64, &Incoming)> {
        let skipped = usize::try_from(self.next.saturating_sub(self.first)).unwrap_or(usize::MAX);
        // The first number is a peer's word: it may be the last that there is.
        let first = self.next.max(self.first);
        let numbers = (0..).map(move |behind| first.wrapping_add(behind));
        numbers.zip(self.requests.iter().skip(skipped))
    }

    /// The guest has been given it.
    pub(super) fn give(&mut self) {
        self.next = self.next.wrapping_add(1);
        while self.next.saturating_sub(self.first) > self.kept as u64 && self.requests.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// A load has put a guest in the place of the one before, which is given this one next; nobody asks for what comes
    /// before it any more.
    pub(super) fn go_on_at(&mut self, number: u64) {
        while self.first < number && self.requests.pop_front().is_some() {
            self.first += 1;
        }
        self.next = number;
    }

    /// The number of the next one that comes.
    fn end(&self) -> u64 {
        self.first.saturating_add(self.requests.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Request;

    fn request(sequence: u64) -> Incoming {
        Incoming::Request(Request { sequence, ..Request::default() })
    }

    fn given(inbox: &mut Inbox) -> Vec<u64> {
        let next = || {
            let (_, Incoming::Request(request)) = inbox.next()? else { return None };
            inbox.give();
            Some(request.sequence)
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn what_a_primary_is_given_is_numbered_and_forgotten() {
        let mut inbox = Inbox::default();
        assert_eq!((inbox.push(request(10)), inbox.push(request(11))), (Some(0), Some(1)));
        assert_eq!(given(&mut inbox), [10, 11]);
        assert_eq!((inbox.push(request(12)), inbox.requests.len()), (Some(2), 1));
    }

    #[test]
    fn the_network_drops_what_comes_beyond() {
        let mut inbox = Inbox::default();
        let numbers: Vec<_> = (0..=MOST_WAITING as u64).map(|number| inbox.push(request(number))).collect();
        assert_eq!(numbers[MOST_WAITING - 1..], [Some(MOST_WAITING as u64 - 1), None]);
    }

    #[test]
    fn behind_a_load_a_secondary_goes_on_where_the_primary_was() {
        let mut inbox = Inbox::keeping(MOST_KEPT);
        (0..5).for_each(|number| inbox.mirrored(number, request(number)));
        assert_eq!(given(&mut inbox), [0, 1, 2, 3, 4]);
        inbox.go_on_at(2);
        assert_eq!(given(&mut inbox), [2, 3, 4], "the primary was behind");
        inbox.go_on_at(8);
        (5..10).for_each(|number| inbox.mirrored(number, request(number)));
        assert_eq!(given(&mut inbox), [8, 9], "the primary was ahead of what had come");
        inbox.mirrored(9, request(9));
        assert!(given(&mut inbox).is_empty(), "once each");
    }

    #[test]
    fn behind_a_gap_nothing_is_given_until_a_load() {
        let mut inbox = Inbox::keeping(MOST_KEPT);
        (0..2).for_each(|number| inbox.mirrored(number, request(number)));
        (4..6).for_each(|number| inbox.mirrored(number, request(number)));
        assert!(given(&mut inbox).is_empty());
        inbox.go_on_at(5);
        assert_eq!(given(&mut inbox), [5]);
    }

    #[test]
    fn who_serves_alone_waits_for_nothing_that_is_missing() {
        let mut inbox = Inbox::keeping(MOST_KEPT);
        inbox.mirrored(7, request(7));
        assert_eq!(inbox.next(), None);
        assert_eq!(inbox.push(request(20)), Some(0));
        assert_eq!(given(&mut inbox), [20]);
    }

    #[test]
    fn a_peer_may_number_a_request_as_it_likes() {
        let mut inbox = Inbox::keeping(MOST_KEPT);
        inbox.mirrored(u64::MAX, request(1));
        inbox.mirrored(u64::MAX, request(2));
        let waiting: Vec<_> = inbox.waiting().map(|(number, _)| number).collect();
        assert_eq!(waiting, [u64::MAX, 0]);
        inbox.go_on_at(u64::MAX);
        assert_eq!(given(&mut inbox), [1], "behind it there is no number");
        assert_eq!(inbox.push(request(3)), Some(0), "and the next begins anew");
    }

    #[test]
    fn what_is_kept_has_an_end() {
        let mut inbox = Inbox::keeping(3);
        for number in 0..10 {
            inbox.mirrored(number, request(number));
            given(&mut inbox);
        }
        assert_eq!((inbox.first, inbox.requests.len()), (7, 3));
        (10..MOST_WAITING as u64 * 2).for_each(|number| {
            inbox.mirrored(number, request(number));
            assert!(inbox.requests.len() <= MOST_WAITING + 3, "{}", inbox.requests.len());
        });
    }
}
