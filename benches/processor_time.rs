//! Processor time as what criterion measures: on a machine that others use too, the clock on the wall says little.
//!
//! It is the time of the whole process, so a peer that works in a thread of its own is counted as well.

use colo_model::checker::processor_time;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use std::time::Duration;

/// Processor time.
pub(crate) struct ProcessorTime;

impl Measurement for ProcessorTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        processor_time()
    }

    fn end(&self, start: Duration) -> Duration {
        processor_time().saturating_sub(start)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    /// A second is a second.
    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}
