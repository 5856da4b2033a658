//! `colo serve --failovers`: clients of its own ask over a few connections while one primary after the other is killed, at any
//! time; what they saw is judged, and how long they waited is told in its parts.

use crate::report::grouped;
use colo_real::net::{RedisClients, RedisLoad, RedisOutcome};
use colo_real::{Latencies, PairEvent};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// How long a pair serves before its primary is killed: long enough for a few checkpoints, and at no time in particular.
const SERVES_MS: RangeInclusive<u64> = 20..=120;

/// What a survivor's clients are given to be answered before the next is killed.
const CALMS_DOWN: Duration = Duration::from_millis(50);

/// A primary that has been killed, and what came of it, as far as it has come.
#[derive(Clone, Copy)]
struct Killed {
    at: Instant,
    /// When the harness had found out.
    died: Option<Instant>,
    took_over: Option<Instant>,
}

/// The killing, while it goes on.
pub(super) struct Killing {
    clients: RedisClients,
    rng: ChaCha8Rng,
    /// Primaries that are still to be killed, if any are.
    left: Option<u64>,
    killed: Vec<Killed>,
}

/// What it came to.
pub(super) struct Campaign {
    killed: Vec<Killed>,
    outcome: RedisOutcome,
}

impl Killing {
    /// Clients of a service that has just begun, over so many connections.
    pub(super) fn begin(
        address: SocketAddr,
        failovers: Option<u64>,
        (connections, seed): (u32, u64),
    ) -> io::Result<Self> {
        let load = RedisLoad { connections, seed, ..RedisLoad::default() };
        let clients = RedisClients::start(address, load)?;
        Ok(Self { clients, rng: ChaCha8Rng::seed_from_u64(seed), left: failovers, killed: Vec::new() })
    }

    /// What has happened to the service; whether there is more to be done.
    pub(super) fn event(&mut self, at: Instant, event: &PairEvent) -> bool {
        match event {
            PairEvent::Protected { primary, .. } => {
                let Some(left) = &mut self.left else { return true };
                let serves = Duration::from_millis(self.rng.random_range(SERVES_MS));
                std::thread::sleep(if *left == 0 { CALMS_DOWN } else { CALMS_DOWN + serves });
                if *left == 0 {
                    return false;
                }
                *left -= 1;
                self.killed.push(Killed { at: Instant::now(), died: None, took_over: None });
                kill(*primary);
            }
            PairEvent::Died { .. } => self.latest(|killed| killed.died = killed.died.or(Some(at))),
            PairEvent::TookOver { .. } => self.latest(|killed| killed.took_over = Some(at)),
        }
        true
    }

    fn latest(&mut self, what: impl Fn(&mut Killed)) {
        self.killed.last_mut().into_iter().for_each(what);
    }

    /// Judges what the clients saw.
    pub(super) fn finish(self) -> io::Result<Campaign> {
        Ok(Campaign { killed: self.killed, outcome: self.clients.finish()? })
    }
}

/// SIGKILL to a process of this command's.
fn kill(process: u32) {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    // It fails when it has died by itself, which is told as well.
    let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
}

impl Campaign {
    /// Whether the clients saw something that no service does which never fails.
    pub(super) fn is_wrong(&self) -> bool {
        !self.outcome.violations.is_empty()
    }

    /// Primaries that were killed.
    pub(super) fn failovers(&self) -> u64 {
        self.killed.len() as u64
    }

    /// How long requests took, those that a failover held up among them.
    fn waits(&self) -> Latencies {
        let mut waits = Latencies::default();
        self.outcome.waits().for_each(|wait| waits.record(wait));
        waits
    }

    /// All that is measured: how long requests took, and what there is of failovers.
    fn rows(&self) -> Vec<(&'static str, Latencies)> {
        let parts = self.parts().into_iter().filter(|_| !self.killed.is_empty());
        [("request", self.waits())].into_iter().chain(parts).collect()
    }

    /// The gaps that clients saw, and their parts: until somebody had found out, until somebody served, and until the last of who
    /// waited then was answered.
    fn parts(&self) -> [(&'static str, Latencies); 4] {
        let mut parts =
            ["found out", "took over", "answered", "longest wait"].map(|name| (name, Latencies::default()));
        for Killed { at: killed, died, took_over } in &self.killed {
            let (Some(died), Some(took_over)) = (died, took_over) else { continue };
            let wait = self.outcome.longest_wait_between(*killed, *took_over);
            let answered = self.outcome.last_answer_of_who_waited(*took_over);
            let lasted = [
                died.saturating_duration_since(*killed),
                took_over.saturating_duration_since(*died),
                answered.map_or(Duration::ZERO, |answered| answered.saturating_duration_since(*took_over)),
                wait,
            ];
            parts.iter_mut().zip(lasted).for_each(|((_, latencies), lasted)| latencies.record(lasted));
        }
        parts
    }

    pub(super) fn table(&self) -> String {
        let RedisOutcome { answered, increments, resets, violations, .. } = &self.outcome;
        let mut out = format!(
            "clients      {} requests answered, {} of them increments; {} connections reset\n",
            grouped(*answered),
            grouped(*increments),
            resets
        );
        let _ = writeln!(out, "\n{:>28} {:>12} {:>12} {:>12}", "p50", "p90", "p99", "max");
        for (name, latencies) in self.rows() {
            let quantiles = [0.5, 0.9, 0.99].map(|quantile| latencies.quantile(quantile));
            let [p50, p90, p99] = quantiles.map(|value| grouped(value.unwrap_or_default()));
            let _ = writeln!(
                out,
                "{name:<12} us {p50:>12} {p90:>12} {p99:>12} {:>12}",
                grouped(latencies.max().unwrap_or_default())
            );
        }
        out.push('\n');
        for violation in violations {
            let _ = writeln!(out, "violation    {violation}");
        }
        if violations.is_empty() {
            out.push_str("history      linearizable; no increment lost or doubled, no connection broken\n");
        }
        out
    }

    pub(super) fn document(&self) -> Value {
        let rows = self.rows().into_iter().map(|(name, latencies)| {
            let quantile = |quantile| latencies.quantile(quantile);
            let value =
                json!({ "p50": quantile(0.5), "p90": quantile(0.9), "p99": quantile(0.99), "max": latencies.max() });
            (format!("{}_us", name.replace(' ', "_")), value)
        });
        let mut document: serde_json::Map<String, Value> = rows.collect();
        let RedisOutcome { answered, increments, resets, violations, .. } = &self.outcome;
        document.insert("killed".to_owned(), self.killed.len().into());
        document.insert("answered".to_owned(), (*answered).into());
        document.insert("increments".to_owned(), (*increments).into());
        document.insert("resets".to_owned(), (*resets).into());
        let violations: Vec<String> = violations.iter().map(ToString::to_string).collect();
        document.insert("violations".to_owned(), violations.into());
        Value::Object(document)
    }
}
