//! What a run cost its clients, as text and as JSON.

use crate::report::{counted, grouped};
use colo_real::{FailoverTimes, Latencies, Measured, RunOptions, Slice};
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

/// The percentiles that are told: name and quantile.
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)];

/// The rows of latencies for the table of figures.
pub(crate) fn rows(measured: &Measured) -> String {
    let mut out = String::new();
    row(&mut out, "latency, us", &measured.latency);
    row(&mut out, "at failover, us", &measured.at_failover);
    out
}

fn row(out: &mut String, heading: &str, latencies: &Latencies) {
    let Some(max) = latencies.max() else { return };
    let _ = write!(out, "{heading:<15}");
    for (_, quantile) in QUANTILES {
        let _ = write!(out, " {:>12}", grouped(latencies.quantile(quantile).unwrap_or_default()));
    }
    let _ = writeln!(out, " {:>12}", grouped(max));
}

/// A failover in its parts, as a line.
pub(crate) fn parts(times: &FailoverTimes) -> String {
    let micros = |time: Duration| grouped(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    let part = |name: &str, time: Option<Duration>| {
        time.map_or_else(String::new, |time| format!("{name} {} us, ", micros(time)))
    };
    format!(
        "             {}{}promoted {} us, first reply {} us later\n",
        part("SIGKILL to death", times.death),
        part("told", times.detection),
        micros(times.promotion),
        micros(times.reply)
    )
}

/// What the clients did, in a line or two.
pub(super) fn told(options: &RunOptions, measured: &Measured, replies: u64) -> String {
    let load = match options.load {
        Some(load) => format!(
            "{} requests a second, whether answered or not, seed {}",
            grouped(load.per_second.into()),
            load.seed
        ),
        None => format!("{}, one request open each", counted(options.clients.into(), "client", "clients")),
    };
    let mut out = format!("clients      {load}\n             {} replies seen", grouped(replies));
    if measured.at_failover.count() > 0 {
        let _ =
            write!(out, ", {} of them asked for before a failover", grouped(measured.at_failover.count()));
    }
    let opinion = measured.opinion;
    let _ = writeln!(
        out,
        "\nhistory      an order was found in {} by the answers alone ({} operations)",
        counted(opinion.windows, "window", "windows"),
        grouped(opinion.operations)
    );
    out
}

/// The same as JSON, to be put into the document of a run.
pub(crate) fn document(measured: &Measured, document: &mut Value) {
    document["lasted_ms"] = u64::try_from(measured.lasted.as_millis()).unwrap_or(u64::MAX).into();
    document["latency_us"] = percentiles(&measured.latency);
    document["at_failover_us"] = percentiles(&measured.at_failover);
    document["failover_parts"] = measured.failovers.iter().map(failover).collect();
    let opinion = measured.opinion;
    document["linearizable"] = json!({
        "windows": opinion.windows,
        "operations": opinion.operations,
        "left_out": opinion.left_out,
    });
    document["slice_ms"] = measured.slice_ms().into();
    document["slices"] = measured.slices().iter().map(slice).collect();
}

fn percentiles(latencies: &Latencies) -> Value {
    let Some(max) = latencies.max() else { return Value::Null };
    let mut document = json!({ "count": latencies.count(), "max": max });
    for (name, quantile) in QUANTILES {
        document[name] = latencies.quantile(quantile).into();
    }
    document
}

fn failover(times: &FailoverTimes) -> Value {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    json!({
        "death_us": times.death.map(micros),
        "detection_us": times.detection.map(micros),
        "promotion_us": micros(times.promotion),
        "reply_us": micros(times.reply),
    })
}

/// A slice of the run's time; means over its checkpoints.
fn slice(slice: &Slice) -> Value {
    let mean = |sum: u64| sum.checked_div(slice.checkpoints);
    json!({
        "latency_us": percentiles(&slice.latency),
        "checkpoints": slice.checkpoints,
        "dirty_pages": mean(slice.dirty_pages),
        "pause_us": mean(slice.pause_us),
        "release_us": mean(slice.release_us),
        "resident_bytes": slice.resident_bytes,
    })
}
