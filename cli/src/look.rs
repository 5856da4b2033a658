//! A look into a replayed run: up to where, and what the pair is at each step.

use crate::report::{Failure, paragraph};
use colo_protocol::NodeName;
use colo_trace::{PairState, Point, Record, Steps, Trace, diagram, records_before, words};
use serde_json::{Value, json};
use std::str::FromStr;

/// What of a replayed run is looked at.
#[derive(clap::Args)]
pub(crate) struct Look {
    /// Stop after this many steps, or at this protocol point, for instance "primary checkpoint 1 before effect send-ram".
    #[arg(long, value_name = "N|POINT")]
    until: Option<Until>,
    /// Print what both nodes and the link are after each step, or where --until stops.
    #[arg(long, value_name = "WHAT")]
    show: Option<Show>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Show {
    /// Phase, failover, output marks and queue of both nodes, and the link.
    State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Until {
    Step(usize),
    Point(Point),
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(Self::Step).map_err(|error| format!("{text:?}: {error}"));
        }
        text.parse().map(Self::Point).map_err(|error: colo_trace::PointError| error.to_string())
    }
}

impl Look {
    /// After how many records the run is looked at no more.
    pub(crate) fn stop(&self, trace: &Trace) -> Result<Option<usize>, Failure> {
        match self.until {
            None => Ok(None),
            Some(Until::Step(step)) => Ok(Some(step)),
            Some(Until::Point(point)) => records_before(&trace.records, point)
                .map(Some)
                .ok_or_else(|| Failure::Incomplete(format!("the run never came to {point}"))),
        }
    }

    /// The run step by step, if states are to be shown; else the diagram stands for it.
    pub(crate) fn story(&self, trace: &Trace) -> Option<String> {
        let Some(Show::State) = self.show else { return None };
        if self.until.is_none() {
            return Some(every_step(trace));
        }
        let last = steps(trace).last().map_or_else(PairState::default, |(_, state)| state);
        Some(format!("{}\n{}", diagram(trace), told(&last)))
    }

    /// Adds what is shown to a document.
    pub(crate) fn document(&self, trace: &Trace, document: &mut Value) {
        let Some(Show::State) = self.show else { return };
        let states = steps(trace).map(|(_, state)| shown(&state));
        document["states"] = match self.until {
            None => states.collect(),
            Some(_) => states.last().into_iter().collect(),
        };
    }
}

fn steps(trace: &Trace) -> Steps<'_> {
    Steps::new(&trace.header.rules, &trace.records)
}

fn every_step(trace: &Trace) -> String {
    let mut out = String::new();
    for (number, (record, state)) in (1..).zip(steps(trace)) {
        let when = format!("{number:>5} {:>9} us  ", record.time_us);
        paragraph(&mut out, &when, &named(record));
        out.push_str(&told(&state));
    }
    out
}

fn named(record: &Record) -> String {
    let node = record.node.map_or(String::new(), |node| format!("{node}: "));
    format!("{node}{}", words(record))
}

fn told(state: &PairState) -> String {
    let mut out = String::new();
    for (node, state) in NodeName::ALL.into_iter().zip(&state.nodes) {
        paragraph(&mut out, &format!("      {node:<10} "), &state.to_string());
    }
    paragraph(&mut out, "      link       ", &state.link().to_string());
    if let Some(deviation) = &state.deviation {
        paragraph(&mut out, "      DEVIATES   ", deviation);
    }
    out
}

fn shown(state: &PairState) -> Value {
    let nodes = NodeName::ALL.map(|node| {
        let state = &state.nodes[node as usize];
        let machine = state.node.machine();
        let output = machine.output();
        let queue: Vec<_> = state.node.queue().iter().map(|effect| effect.to_string()).collect();
        json!({
            "node": node.name(),
            "alive": state.alive,
            "phase": machine.phase_name(),
            "checkpoint": machine.checkpoint().0,
            "failover": machine.failover().name(),
            "released": output.released().0,
            "sealed": output.sealed().0,
            "produced": output.produced().0,
            "in_hand": state.in_hand.map(|operation| operation.effect().name()),
            "queue": queue,
            "link_open": state.open,
            "coming": state.coming,
        })
    });
    json!({ "nodes": nodes, "faults": state.faults, "deviation": state.deviation })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_step_and_a_sentence_is_a_point() {
        assert_eq!("12".parse(), Ok(Until::Step(12)));
        let point = "primary checkpoint 1 before effect send-ram";
        assert_eq!(point.parse(), Ok(Until::Point(point.parse().unwrap())));
        for text in ["-1", "primary", "99999999999999999999999"] {
            assert!(text.parse::<Until>().is_err(), "{text}");
        }
    }
}
