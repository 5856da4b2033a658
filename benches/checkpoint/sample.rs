//! Values of one quantity, and their median.

/// What was measured.
#[derive(Default)]
pub(crate) struct Sample(Vec<u64>);

impl Sample {
    pub(crate) fn add(&mut self, value: u64) {
        self.0.push(value);
    }

    /// The median; 0 of nothing.
    pub(crate) fn median(&mut self) -> u64 {
        self.0.sort_unstable();
        self.0.get(self.0.len() / 2).copied().unwrap_or(0)
    }
}
