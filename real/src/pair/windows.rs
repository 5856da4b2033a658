//! A second opinion on the history of a run that may be long: the tester that goes by real time alone is asked window by
//! window. Each window has keys of its own, so none needs to know of another but what its keys held before.

use super::demand::KEYS;
use super::violation::RunViolation;
use crate::abi;
use colo_oracle::{RealTime, Reply, Request, Store};
use std::collections::VecDeque;

/// Requests in a window: the tester looks at the beginning of each key's, and this is not much more.
const REQUESTS: u64 = 2_048;

/// Windows until the first one's keys come again.
const ROUND: u64 = abi::KEYS as u64 / KEYS;

/// What the tester has been asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Opinion {
    /// Windows that it found an order for.
    pub windows: u64,
    /// Operations in them that it was asked about.
    pub operations: u64,
    /// Operations that it was not asked about, because too many of the same key came before.
    pub left_out: u64,
}

/// The windows that are not judged yet; requests are made in the last one.
#[derive(Debug)]
pub(super) struct Windows {
    /// Ever begun.
    begun: u64,
    unjudged: VecDeque<RealTime>,
    /// Requests in the last one.
    requests: u64,
    opinion: Opinion,
}

impl Windows {
    /// The first window.
    pub(super) fn new() -> Self {
        Self {
            begun: 1,
            unjudged: VecDeque::from([RealTime::default()]),
            requests: 0,
            opinion: Opinion::default(),
        }
    }

    /// What the tester has said so far.
    pub(super) const fn opinion(&self) -> Opinion {
        self.opinion
    }

    /// The window in which the next request is made, and the first of its keys. `store` is what the service must hold.
    pub(super) fn next(&mut self, store: &Store) -> (u64, u64) {
        // Without room it goes on: a key whose requests are open somewhere else cannot begin anew.
        if self.requests >= REQUESTS && (self.unjudged.len() as u64) < ROUND - 1 {
            self.begun += 1;
            self.requests = 0;
            let mut window = RealTime::default();
            let first_key = self.first_key();
            for key in first_key..first_key + KEYS {
                window.held(key, store.value(key));
            }
            self.unjudged.push_back(window);
        }
        (self.begun - 1, self.first_key())
    }

    fn first_key(&self) -> u64 {
        (self.begun - 1) % ROUND * KEYS
    }

    /// A request is made in the last window.
    pub(super) fn asked(&mut self, request: Request) {
        self.requests += 1;
        if let Some(window) = self.unjudged.back_mut() {
            window.asked(request);
        }
    }

    /// The first answer to a request that was made in window `number`.
    pub(super) fn answered(&mut self, number: u64, reply: Reply) -> Result<(), RunViolation> {
        let oldest = self.begun - self.unjudged.len() as u64;
        let place = number.checked_sub(oldest).and_then(|place| usize::try_from(place).ok());
        if let Some(window) = place.and_then(|place| self.unjudged.get_mut(place)) {
            window.answered(reply);
        }
        while self.unjudged.len() > 1 && self.unjudged.front().is_some_and(|window| window.open() == 0) {
            self.judge_oldest()?;
        }
        Ok(())
    }

    /// Judges what has not been judged.
    pub(super) fn judge(&mut self) -> Result<(), RunViolation> {
        while !self.unjudged.is_empty() {
            self.judge_oldest()?;
        }
        Ok(())
    }

    fn judge_oldest(&mut self) -> Result<(), RunViolation> {
        let Some(window) = self.unjudged.pop_front() else { return Ok(()) };
        let asked = window.check().map_err(|key| RunViolation::NoOrder { key })?;
        self.opinion.windows += 1;
        self.opinion.operations += asked.operations as u64;
        self.opinion.left_out += asked.left_out as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use colo_oracle::Operation;

    /// Asks for one key of each window after the other; the service answers, from request `forgets` on as if it had
    /// forgotten everything.
    fn opinion(requests: u64, forgets: u64) -> Result<Opinion, RunViolation> {
        let (mut windows, mut service) = (Windows::new(), Store::default());
        for sequence in 1..=requests {
            let (window, key) = windows.next(&service);
            let operation = Operation::Add { key, delta: 1 };
            windows.asked(Request { client: 0, sequence, operation });
            let kept = service.apply(operation);
            let value = if sequence < forgets { kept } else { 1 };
            windows.answered(window, Reply { client: 0, sequence, serial: sequence, value })?;
        }
        windows.judge()?;
        Ok(windows.opinion())
    }

    #[test]
    fn keys_that_come_again_begin_with_what_they_held() {
        let windows = ROUND + 3;
        let found = opinion(windows * REQUESTS, u64::MAX);
        assert_eq!(found.map(|opinion| opinion.windows), Ok(windows));
        // In the second round a key held something before.
        assert_eq!(opinion(windows * REQUESTS, ROUND * REQUESTS + 1), Err(RunViolation::NoOrder { key: 0 }));
    }

    #[test]
    fn a_window_is_open_until_its_last_request_is_answered() {
        let (mut windows, store) = (Windows::new(), Store::default());
        for sequence in 1..=REQUESTS * (ROUND + 5) {
            let (_, key) = windows.next(&store);
            windows.asked(Request { client: 0, sequence, operation: Operation::Get { key } });
        }
        assert_eq!((windows.begun, windows.opinion()), (ROUND - 1, Opinion::default()));
    }
}
