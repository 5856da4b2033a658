//! What a service tells while it lasts: in a line each, for a person or as JSON.

use super::door::Door;
use crate::report::{Failure, print, print_json};
use colo_protocol::NodeName;
use colo_real::{PairEvent, RunOptions};
use serde_json::json;
use std::time::Instant;

/// Tells what happens, when it does.
pub(super) struct Told {
    pub(super) begun: Instant,
    pub(super) json: bool,
}

impl Told {
    pub(super) fn event(&self, at: Instant, event: &PairEvent) -> Result<(), Failure> {
        let seconds = at.duration_since(self.begun).as_secs_f64();
        let (word, text, mut document) = match event {
            PairEvent::Protected { primary, secondary } => (
                "protected",
                format!("the primary is process {primary}, the secondary process {secondary}"),
                json!({ "primary": primary, "secondary": secondary }),
            ),
            PairEvent::Died { node, process, how } => (
                "died",
                format!("the {node}, process {process}: {how}"),
                json!({ "node": node.name(), "process": process, "how": how }),
            ),
            PairEvent::TookOver { node, process } => (
                "took over",
                match node {
                    NodeName::Primary => format!("the primary, process {process}, goes on alone"),
                    NodeName::Secondary => format!("the secondary, process {process}, serves alone"),
                },
                json!({ "node": node.name(), "process": process }),
            ),
        };
        if self.json {
            (document["event"], document["seconds"]) = (word.into(), seconds.into());
            return print_json(&document);
        }
        print(&format!("{seconds:>9.3} s  {word:<10} {text}\n"))
    }

    pub(super) fn serving(
        &self,
        door: &Door,
        options: &RunOptions,
        unprotected: bool,
    ) -> Result<(), Failure> {
        let address = door.address();
        if self.json {
            return print_json(&json!({
                "schema": 1,
                "event": "serving",
                "address": address.to_string(),
                "rules": options.rules.name,
                "interval_ms": options.rules.rules.checkpoint_delay_ms,
                "protected": !unprotected,
            }));
        }
        let host = if address.ip().is_loopback() { String::new() } else { format!(" -h {}", address.ip()) };
        let by = match door {
            Door::Forwarded(_) => String::new(),
            Door::Tap { device, .. } => format!(", over {device}"),
        };
        let protection = if unprotected {
            "one machine that nobody protects".to_owned()
        } else {
            let delay = options.rules.rules.checkpoint_delay_ms;
            format!("rules {}, a checkpoint every {delay} ms", options.rules.name)
        };
        print(&format!(
            "serving      Redis at {address}{by}: redis-cli{host} -p {}\npair         {protection}; Ctrl-C ends it\n",
            address.port()
        ))
    }
}
