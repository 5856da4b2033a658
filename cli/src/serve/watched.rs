//! What happens to a service, as it is told and as it is answered: it is this that ends it.

use super::Arguments;
use super::failovers::{Campaign, Killing};
use super::told::Told;
use crate::report::Failure;
use colo_real::PairEvent;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// The service is to end. Ctrl-C is not heard by the pair itself: clients are first told that it is enough.
pub(super) static IS_OVER: AtomicBool = AtomicBool::new(false);

/// Clients of its own, if no number is said.
const CLIENTS: u32 = 8;

/// How often it is looked whether Ctrl-C was pressed.
const LOOKS_EVERY: Duration = Duration::from_millis(50);

/// What happens to a service.
pub(super) struct Watched<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) told: Told,
    pub(super) address: SocketAddr,
    pub(super) heard: Receiver<(Instant, PairEvent)>,
    /// Set by Ctrl-C.
    pub(super) stop: &'a AtomicBool,
}

impl Watched<'_> {
    /// Until nothing more happens. Of a campaign what it came to, at whose end the service is stopped.
    pub(super) fn watch(self) -> Result<Option<Campaign>, Failure> {
        let campaign = self.until_it_is_over();
        IS_OVER.store(true, Ordering::Relaxed);
        self.heard.iter().for_each(drop);
        campaign
    }

    fn until_it_is_over(&self) -> Result<Option<Campaign>, Failure> {
        // A machine that nobody protects has nothing to tell.
        let mut killing = if self.arguments.unprotected { self.begin()? } else { None };
        let until = self.arguments.lasts.filter(|_| self.arguments.has_clients());
        let until = until.map(|lasts| Instant::now() + lasts);
        while let Some((at, event)) = self.next_event(until) {
            if self.arguments.failovers.is_none() || self.arguments.json {
                self.told.event(at, &event)?;
            }
            if killing.is_none() {
                killing = self.begin()?;
            }
            if killing.as_mut().is_some_and(|killing| !killing.event(at, &event)) {
                break;
            }
        }
        killing.map(Killing::finish).transpose().map_err(of_clients)
    }

    /// What happens next; nothing when the time is over, somebody has had enough, or nothing more can happen.
    fn next_event(&self, until: Option<Instant>) -> Option<(Instant, PairEvent)> {
        loop {
            if self.stop.load(Ordering::Relaxed) || until.is_some_and(|until| Instant::now() >= until) {
                return None;
            }
            match self.heard.recv_timeout(LOOKS_EVERY) {
                Ok(event) => return Some(event),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// The clients of its own begin to ask, if there are any.
    fn begin(&self) -> Result<Option<Killing>, Failure> {
        if !self.arguments.has_clients() {
            return Ok(None);
        }
        let load = (self.arguments.clients.unwrap_or(CLIENTS), self.arguments.seed());
        Killing::begin(self.address, self.arguments.failovers, load).map(Some).map_err(of_clients)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn of_clients(error: io::Error) -> Failure {
    Failure::Environment(format!("the clients: {error}"))
}
