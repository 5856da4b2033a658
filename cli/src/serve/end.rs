//! What a service came to, for a person and as JSON.

use super::failovers::Campaign;
use crate::report::{Exit, counted, grouped};
use colo_real::net::ForwarderFigures;
use colo_real::{Latencies, Measured, RunOptions, RunOutcome};
use colo_trace::write_trace;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};

/// What a service came to.
pub(super) struct End<'a> {
    pub(super) options: &'a RunOptions,
    pub(super) outcome: RunOutcome,
    pub(super) measured: Measured,
    pub(super) pauses: Latencies,
    /// None over a TAP device, behind which nobody here looks.
    pub(super) connections: Option<ForwarderFigures>,
    pub(super) campaign: Option<Campaign>,
}

impl End<'_> {
    pub(super) fn summary(&self) -> String {
        let Self { options, outcome, measured, pauses, connections, campaign } = self;
        let mut out = format!(
            "served       {} of output, {}, protected again {}\n",
            counted(outcome.replies, "frame", "frames"),
            counted(outcome.failovers, "failover", "failovers"),
            counted(outcome.protected_again, "time", "times"),
        );
        if let (Some(p50), Some(p99)) = (pauses.quantile(0.5), pauses.quantile(0.99)) {
            let _ = writeln!(
                out,
                "pause        p50 {} us, p99 {} us, in {}",
                grouped(p50),
                grouped(p99),
                counted(pauses.count(), "checkpoint", "checkpoints")
            );
        }
        if let Some(campaign) = campaign {
            out.push_str(&campaign.table());
        } else {
            let failovers = measured.failovers.iter().take(LISTED);
            failovers.for_each(|times| out.push_str(&crate::run::latency::parts(times)));
        }
        if let Some(figures) = connections {
            let _ = writeln!(
                out,
                "connections  {} accepted, {} of them refused by the guest, {} reset by it",
                grouped(figures.accepted),
                grouped(figures.refused),
                grouped(figures.reset_by_guest)
            );
        }
        out.push_str(&crate::run::comparison::told(options, outcome));
        if let Some(violation) = &outcome.violation {
            let _ = writeln!(out, "violation    {violation}");
        }
        out
    }

    pub(super) fn document(&self) -> Value {
        let Self { options, outcome, pauses, connections, campaign, .. } = self;
        let connections = connections.map(|ForwarderFigures { accepted, refused, reset_by_guest, .. }| {
            json!({ "accepted": accepted, "refused": refused, "reset": reset_by_guest })
        });
        json!({
            "event": "ended",
            "frames": outcome.replies,
            "failovers": outcome.failovers,
            "protected_again": outcome.protected_again,
            "checkpoints": pauses.count(),
            "pause_us": { "p50": pauses.quantile(0.5), "p99": pauses.quantile(0.99), "max": pauses.max() },
            "takeover_us": outcome.takeover_us,
            "connections": connections,
            "comparison": crate::run::comparison::document(options, outcome),
            "campaign": campaign.as_ref().map(Campaign::document),
            "violation": outcome.violation.as_ref().map(ToString::to_string),
        })
    }

    /// Writes the record, if there is one.
    pub(super) fn write_trace(&self, mut file: File) -> io::Result<()> {
        let Some(recorded) = &self.outcome.trace else { return Ok(()) };
        let mut bytes = Vec::new();
        write_trace(recorded, &mut bytes).map_err(io::Error::other)?;
        file.write_all(&bytes)
    }

    /// How the command ends that was to see so many failovers.
    pub(super) fn exit(&self, failovers: u64) -> Exit {
        let campaign = self.campaign.as_ref();
        let is_broken = self.outcome.violation.is_some() && self.outcome.claimed;
        if is_broken || campaign.is_some_and(Campaign::is_wrong) {
            return Exit::Violated;
        }
        let is_whole = campaign.map_or(failovers == 0, |campaign| campaign.failovers() == failovers);
        if is_whole { Exit::Holds } else { Exit::Incomplete }
    }
}

/// Failovers whose parts are told.
const LISTED: usize = 20;
