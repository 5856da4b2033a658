//! The arbiter as one side knows it: what its node asks is carried there, in the name of the service that both sides are of.

use crate::arbiter::{ArbiterAddress, Asking, Claim, RunId};
use crate::pair::process::Heard;
use colo_protocol::NodeName;
use std::sync::mpsc::Sender;

/// The only pair of a service on two hosts.
const GENERATION: u64 = 0;

/// The arbiter, where the rules have one.
pub(super) struct Arbitration {
    asking: Option<Asking>,
    /// What the service is called, when the sides have met.
    run: Option<RunId>,
}

impl Arbitration {
    /// The arbiter at this address, whose answers are heard among all else.
    pub(super) fn of<E: From<Heard> + Send + 'static>(
        address: Option<&ArbiterAddress>,
        heard: &Sender<E>,
    ) -> Self {
        let asking = address.map(|address| {
            let heard = heard.clone();
            Asking::start(address.arbiter(), move |told| {
                // It fails when the side has ended.
                let _ = heard.send(Heard::Arbiter(told).into());
            })
        });
        Self { asking, run: None }
    }

    /// Both sides call the service so.
    pub(super) fn belongs_to(&mut self, run: &str) {
        self.run = RunId::new(run);
    }

    /// A node asks for the right to serve alone. Without an arbiter it waits for ever.
    pub(super) fn ask(&self, claimant: NodeName) {
        let Self { asking: Some(asking), run: Some(run) } = self else { return };
        asking.ask(Claim { run: run.clone(), generation: GENERATION, claimant });
    }
}
