//! The requests that have come to a node's VM, numbered in the order in which they came.
//!
//! How many of them a VM has taken is part of its state and travels with a checkpoint: a secondary that executes beside
//! its primary goes on behind a load with the request that the loaded VM would have taken next.

use colo_oracle::Request;
use std::collections::VecDeque;

/// Requests, of which the VM has taken some.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inbox {
    /// The number of the first one kept.
    first: u64,
    requests: VecDeque<Request>,
}

impl Inbox {
    /// One more has come.
    pub(crate) fn push(&mut self, request: Request) {
        self.requests.push_back(request);
    }

    /// The number of the next one that comes.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.requests.len() as u64
    }

    /// The request of this number, if it has come.
    pub(crate) fn get(&self, number: u64) -> Option<Request> {
        self.index(number).and_then(|index| self.requests.get(index)).copied()
    }

    /// The request of this number lets the one behind it pass, if there is one.
    pub(crate) fn overtake(&mut self, number: u64) {
        if let Some(index) = self.index(number).filter(|index| index + 1 < self.requests.len()) {
            self.requests.swap(index, index + 1);
        }
    }

    /// Nobody will ask any more for what comes before this number, which is the next that a VM takes.
    pub(crate) fn go_on_at(&mut self, number: u64) {
        while self.first < number && self.requests.pop_front().is_some() {
            self.first += 1;
        }
        if self.requests.is_empty() {
            self.first = number;
        }
    }

    /// A VM has gone, and what had come to it.
    pub(crate) fn clear(&mut self) {
        self.requests.clear();
    }

    fn index(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use colo_oracle::Operation;

    #[test]
    fn numbers_stay_when_requests_are_forgotten() {
        let request = |sequence| Request { client: 0, sequence, operation: Operation::Get { key: 1 } };
        let mut inbox = Inbox::default();
        (1..=4).for_each(|sequence| inbox.push(request(sequence)));
        inbox.overtake(1);
        inbox.overtake(3);
        inbox.go_on_at(1);
        assert_eq!(
            [0, 1, 2, 3, 4].map(|number| inbox.get(number).map(|request| request.sequence)),
            [None, Some(3), Some(2), Some(4), None]
        );
        inbox.go_on_at(9);
        inbox.push(request(5));
        assert_eq!(inbox.get(9), Some(request(5)));
    }
}
