//! Runs as they were written down, read as what is drawn of them. A file can come from anywhere: what is not in it is
//! named.

use crate::report::Failure;
use colo_protocol::{EffectKind, InputKind};
use colo_trace::{Kind, Record, read_trace};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// How long a slice of a trace is.
const TRACE_SLICE_MS: u64 = 100;

/// The most slices that are drawn.
const MOST_SLICES: usize = 100_000;

/// A run as it is drawn.
pub(super) struct Run {
    /// What to call it.
    pub(super) name: String,
    /// The parts of its time in which something was answered.
    pub(super) slices: Vec<Slice>,
}

/// A part of a run's time.
pub(super) struct Slice {
    /// When it begins.
    pub(super) from_ms: u64,
    /// Latencies of the requests that were to be made in it, microseconds.
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    /// Dirty pages of a checkpoint, on average, if that is known.
    pub(super) dirty_pages: Option<u64>,
}

/// What `colo run --json` prints, as far as it is needed.
#[derive(Deserialize)]
struct Document {
    schema: u64,
    rules: String,
    protected: bool,
    interval_ms: u64,
    slice_ms: u64,
    slices: Vec<DocumentSlice>,
}

#[derive(Deserialize)]
struct DocumentSlice {
    latency_us: Option<Percentiles>,
    dirty_pages: Option<u64>,
}

#[derive(Deserialize)]
struct Percentiles {
    p50: u64,
    p99: u64,
}

/// Reads a run from a file.
pub(super) fn run(file: &Path) -> Result<Run, Failure> {
    let bad = |problem: String| Failure::Input(format!("{}: {problem}", file.display()));
    let bytes = std::fs::read(file).map_err(|error| bad(error.to_string()))?;
    let stem = file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let run = from_bytes(&bytes, &stem).map_err(bad)?;
    if run.slices.is_empty() {
        return Err(bad("nothing was answered in this run, and so there is nothing to draw".to_owned()));
    }
    Ok(run)
}

fn from_bytes(bytes: &[u8], stem: &str) -> Result<Run, String> {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let first: Value = serde_json::from_slice(line).unwrap_or_default();
    if first.get("rules_name").is_some() {
        return from_trace(bytes, stem);
    }
    if first.get("slices").is_none() {
        return Err("expected what `colo run --json` prints, or a trace of a run".to_owned());
    }
    let document: Document = serde_json::from_value(first).map_err(|error| error.to_string())?;
    from_document(document, stem)
}

fn from_document(document: Document, stem: &str) -> Result<Run, String> {
    let Document { schema, rules, protected, interval_ms, slice_ms, slices } = document;
    if schema != 1 {
        return Err(format!("schema {schema}, expected 1"));
    }
    if slices.len() > MOST_SLICES {
        return Err(format!("{} slices, expected at most {MOST_SLICES}", slices.len()));
    }
    let what = if protected { format!("{rules}, every {interval_ms} ms") } else { "unprotected".to_owned() };
    let slices = (0..).zip(slices).filter_map(|(place, slice): (u64, _)| {
        let Percentiles { p50, p99 } = slice.latency_us?;
        let from_ms = place.saturating_mul(slice_ms);
        Some(Slice { from_ms, p50_us: p50, p99_us: p99, dirty_pages: slice.dirty_pages })
    });
    Ok(Run { name: format!("{stem} ({what})"), slices: slices.collect() })
}

/// A trace knows of no requests: what is drawn is how long output was held back.
fn from_trace(bytes: &[u8], stem: &str) -> Result<Run, String> {
    let trace = read_trace(bytes).map_err(|error| error.to_string())?;
    let mut held = BTreeMap::<u64, Vec<u64>>::new();
    for (made_us, released_us) in held_back(&trace.records) {
        let latency = released_us.saturating_sub(made_us);
        held.entry(made_us / 1_000 / TRACE_SLICE_MS).or_default().push(latency);
    }
    let slices = held.into_iter().take(MOST_SLICES).map(|(place, mut latencies)| {
        latencies.sort_unstable();
        let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
        let from_ms = place.saturating_mul(TRACE_SLICE_MS);
        Slice { from_ms, p50_us: at(50), p99_us: at(99), dirty_pages: None }
    });
    let name = format!("{stem} ({}, output held back)", trace.header.rules_name);
    Ok(Run { name, slices: slices.collect() })
}

/// When each unit of output was first made, and when it left.
fn held_back(records: &[Record]) -> Vec<(u64, u64)> {
    let (mut made, mut left) = (BTreeMap::new(), Vec::new());
    for record in records {
        let Some(up_to) = record.value else { continue };
        if record.kind == Kind::Input && record.name == InputKind::GuestOutput.name() {
            made.entry(up_to).or_insert(record.time_us);
        } else if record.kind == Kind::Effect && record.name == EffectKind::Release.name() {
            let later = made.split_off(&up_to.saturating_add(1));
            left.extend(std::mem::replace(&mut made, later).into_values().map(|time| (time, record.time_us)));
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use colo_protocol::{Effect, Input, NodeName, OutputOffset};

    #[test]
    fn output_is_held_back_until_it_is_released_whoever_releases_it() {
        let (p, s) = (NodeName::Primary, NodeName::Secondary);
        let made =
            |time, node, end| Record::input(time, node, 1, Input::GuestOutput { end: OutputOffset(end) });
        let released =
            |time, node, up_to| Record::effect(time, node, 1, Effect::Release(OutputOffset(up_to)));
        let records = [
            made(10, p, 1),
            made(20, p, 2),
            released(30, p, 1),
            made(40, p, 3),
            made(50, s, 3),
            released(60, s, 3),
        ];
        assert_eq!(held_back(&records), [(10, 30), (20, 60), (40, 60)]);
    }

    #[test]
    fn what_is_no_run_is_said_to_be_none() {
        let document =
            r#"{"schema":1,"rules":"v12","protected":true,"interval_ms":20,"slice_ms":100,"slices":[
            {"latency_us":null,"dirty_pages":null},{"latency_us":{"p50":7,"p99":9},"dirty_pages":3}]}"#
                .replace('\n', "");
        let run = from_bytes(document.as_bytes(), "one").map(|run| (run.name, run.slices[0].from_ms));
        assert_eq!(run, Ok(("one (v12, every 20 ms)".to_owned(), 100)));
        for (text, problem) in [
            (String::new(), "expected what `colo run --json` prints"),
            ("{}".to_owned(), "expected what `colo run --json` prints"),
            (document.replace("\"schema\":1", "\"schema\":2"), "schema 2, expected 1"),
            (document.replace("\"p50\":7", "\"p50\":-7"), "invalid value"),
            (document.replace("\"slice_ms\":100,", ""), "missing field `slice_ms`"),
            ("{\"rules_name\":1}".to_owned(), "trace, line 1"),
        ] {
            let error = from_bytes(text.as_bytes(), "one").map(|run| run.name).unwrap_err();
            assert!(error.starts_with(problem), "{error}");
        }
    }
}
