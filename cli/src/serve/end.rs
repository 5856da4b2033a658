//! What a service came to, for a person and as JSON.

use super::door::Door;
use super::failovers::Campaign;
use crate::report::{counted, grouped};
use colo_real::{Latencies, Measured, RunOptions, RunOutcome};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What a service came to.
pub(super) struct End<'a> {
    pub(super) options: &'a RunOptions,
    pub(super) outcome: &'a RunOutcome,
    pub(super) measured: &'a Measured,
    pub(super) pauses: &'a Latencies,
    pub(super) door: &'a Door,
    pub(super) campaign: Option<&'a Campaign>,
}

impl End<'_> {
    pub(super) fn summary(&self) -> String {
        let Self { options, outcome, measured, pauses, door, campaign } = self;
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
        match campaign {
            Some(campaign) => out.push_str(&campaign.table()),
            None => {
                let failovers = measured.failovers.iter().take(LISTED);
                failovers.for_each(|times| out.push_str(&crate::run::latency::parts(times)));
            }
        }
        if let Door::Forwarded(forwarder) = door {
            let figures = forwarder.figures();
            let _ = writeln!(
                out,
                "connections  {} accepted, {} reset by the guest",
                grouped(figures.accepted),
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
        let Self { options, outcome, pauses, door, campaign, .. } = self;
        let connections = match door {
            Door::Forwarded(forwarder) => {
                let figures = forwarder.figures();
                json!({ "accepted": figures.accepted, "reset": figures.reset_by_guest })
            }
            Door::Tap { .. } => Value::Null,
        };
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
            "campaign": campaign.map(Campaign::document),
            "violation": outcome.violation.as_ref().map(ToString::to_string),
        })
    }
}

/// Failovers whose parts are told.
const LISTED: usize = 20;
