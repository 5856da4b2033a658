//! A history as it was recorded, to be checked afterwards. Takes no view of its own: the checker does.

use crate::checker::{Checker, Summary};
use crate::operation::{Reply, Request};
use crate::violation::Violation;
use colo_protocol::OutputOffset;

/// One thing that the world saw.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Observation {
    /// A client sent a request, for the first time or again.
    Issued(Request),
    /// A reply reached its client.
    Accepted {
        /// Its place in the service's output stream.
        offset: OutputOffset,
        /// The reply.
        reply: Reply,
    },
    /// A reply reached its client before the output that stands before it.
    AcceptedEarly {
        /// Its place in the service's output stream.
        offset: OutputOffset,
        /// The reply.
        reply: Reply,
    },
}

/// Observations in the order in which they were made.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct History {
    observations: Vec<Observation>,
}

impl History {
    /// An empty history.
    pub fn new() -> Self {
        Self::default()
    }

    /// A client has sent a request, for the first time or again.
    pub fn issued(&mut self, request: Request) {
        self.observations.push(Observation::Issued(request));
    }

    /// A reply has reached its client.
    pub fn accepted(&mut self, offset: OutputOffset, reply: Reply) {
        self.observations.push(Observation::Accepted { offset, reply });
    }

    /// The observations, oldest first.
    pub fn observations(&self) -> &[Observation] {
        &self.observations
    }

    /// Checks the history of a run that was drained: all that was asked must have been answered.
    pub fn check(&self) -> Result<Summary, Violation> {
        self.follow()?.drained()
    }

    /// Checks the history of a run that ended anywhere: requests may be open.
    pub fn check_prefix(&self) -> Result<Summary, Violation> {
        Ok(self.follow()?.summary())
    }

    fn follow(&self) -> Result<Checker, Violation> {
        let mut checker = Checker::new();
        self.observations.iter().try_for_each(|observation| checker.observe(observation))?;
        Ok(checker)
    }
}

impl FromIterator<Observation> for History {
    fn from_iter<I: IntoIterator<Item = Observation>>(observations: I) -> Self {
        Self { observations: observations.into_iter().collect() }
    }
}
