//! What a check tells: figures of the exploration, and a verdict on each property.
//!
//! The only place with a clock; nothing is decided by it.

use crate::checker::lasso::{Lasso, Path};
use crate::checker::specification::Property;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// What an exploration took, and what came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Figures {
    /// States generated, with repetitions, the initial ones included.
    pub generated: u64,
    /// Different states.
    pub distinct: u64,
    /// Steps between states within the model's boundary: the edges of the graph.
    pub transitions: u64,
    /// The number of states on the longest shortest path, as `stateright` counts it.
    pub depth: usize,
    /// Whether everything within the model's boundary was seen.
    pub complete: bool,
    /// Memory per distinct state that the graph takes.
    pub bytes_per_state: usize,
    /// The same at the end of the exploration, its index included, without the states of a level.
    pub peak_bytes_per_state: usize,
    /// How long it took.
    pub elapsed: Duration,
    /// The processor time that the whole process spent meanwhile.
    pub processor_time: Duration,
}

impl Figures {
    /// Different states per second.
    pub fn states_per_second(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "an estimate")]
        let distinct = self.distinct as f64;
        distinct / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// The probability that two different states were taken for one: distinct^2 / 2^65.
    pub fn collision_probability(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "an estimate")]
        let distinct = self.distinct as f64;
        distinct * distinct / 2f64.powi(65)
    }
}

/// A verdict on a property.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding<A> {
    /// It holds in everything that can happen; a claim about states, within the model's boundary.
    Holds,
    /// A state that breaks it, and the shortest way to it.
    Broken(Path<A>),
    /// A run without an end that breaks it.
    BrokenForEver(Lasso<A>),
    /// `sometimes`: a state that shows it, and the shortest way to it.
    Shown(Path<A>),
    /// `sometimes`: nothing that can happen shows it.
    NeverShown,
    /// Nothing was found, and not everything was looked at.
    Undecided,
}

impl<A> Finding<A> {
    /// Whether the property is known to be true.
    pub const fn is_good(&self) -> bool {
        matches!(self, Self::Holds | Self::Shown(_))
    }

    /// Whether the property is known to be false.
    pub const fn is_bad(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::BrokenForEver(_) | Self::NeverShown)
    }
}

/// A property, and what was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judged<A> {
    /// The property.
    pub property: Property,
    /// The verdict.
    pub finding: Finding<A>,
    /// In how many states it asks for something. If in none, it holds and says nothing.
    pub occasions: u64,
}

impl<A> Judged<A> {
    /// Whether it holds only because nothing ever called for it.
    pub const fn is_vacuous(&self) -> bool {
        matches!(self.finding, Finding::Holds) && self.occasions == 0
    }
}

/// The result of a check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report<A> {
    /// What the exploration took.
    pub figures: Figures,
    /// Each property, in the order of the specification.
    pub properties: Vec<Judged<A>>,
    /// How long all properties took.
    pub elapsed: Duration,
}

impl<A> Report<A> {
    /// What was found of a property.
    pub fn finding(&self, name: &str) -> Option<&Finding<A>> {
        self.properties.iter().find(|judged| judged.property.name == name).map(|judged| &judged.finding)
    }
}

/// Measures how long something takes.
pub(crate) struct Stopwatch {
    start: Instant,
    processor: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), processor: processor_time() }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn processor_time(&self) -> Duration {
        processor_time().saturating_sub(self.processor)
    }
}

/// The processor time that the whole process has spent.
pub fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}
