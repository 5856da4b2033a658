//! Sets of seeds, as few ranges as it takes: seeds come in order, mostly.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// A set of seeds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SeedSet {
    /// Where each range begins and ends; they neither meet nor overlap.
    ranges: BTreeMap<u64, u64>,
}

impl SeedSet {
    /// Whether the seed is in it.
    pub fn contains(&self, seed: u64) -> bool {
        self.range_before(seed).is_some_and(|(_, end)| seed < end)
    }

    /// Puts a seed in; whether it was not there. The last of all numbers is in no range that excludes its end.
    pub fn insert(&mut self, seed: u64) -> bool {
        if self.contains(seed) || seed == u64::MAX {
            return false;
        }
        let behind = self.ranges.remove(&(seed + 1));
        let end = behind.unwrap_or(seed + 1);
        match self.range_before(seed).filter(|(_, end)| *end == seed) {
            Some((start, _)) => self.ranges.insert(start, end),
            None => self.ranges.insert(seed, end),
        };
        true
    }

    /// The ranges, in order.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        self.ranges.iter().map(|(start, end)| *start..*end)
    }

    /// What of a range is not in the set.
    pub fn missing_from(&self, whole: &Range<u64>) -> Vec<Range<u64>> {
        let mut missing = Vec::new();
        let mut next = whole.start;
        for range in self.ranges().filter(|range| range.end > whole.start && range.start < whole.end) {
            missing.push(next..range.start.max(next));
            next = range.end.min(whole.end);
        }
        missing.push(next..whole.end);
        missing.retain(|range| !range.is_empty());
        missing
    }

    /// What is between the first and the last of them and not in the set.
    pub fn gaps(&self) -> Vec<Range<u64>> {
        let ends = self.ranges.first_key_value().zip(self.ranges.last_key_value());
        ends.map(|((start, _), (_, end))| self.missing_from(&(*start..*end))).unwrap_or_default()
    }

    fn range_before(&self, seed: u64) -> Option<(u64, u64)> {
        self.ranges.range(..=seed).next_back().map(|(start, end)| (*start, *end))
    }
}

impl fmt::Display for SeedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges: Vec<_> = self.ranges().map(|Range { start, end }| format!("{start}..{end}")).collect();
        f.write_str(&ranges.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(seeds: &[u64]) -> SeedSet {
        let mut set = SeedSet::default();
        for seed in seeds {
            assert!(set.insert(*seed), "{seed}");
        }
        set
    }

    #[test]
    fn ranges_grow_together() {
        assert_eq!(of(&[0, 1, 2, 7, 5, 6]).to_string(), "0..3, 5..8");
        let mut set = of(&[3, 1, 2]);
        assert!(!set.insert(2) && set.contains(3) && !set.contains(4));
        assert_eq!(set.to_string(), "1..4");
    }

    #[test]
    fn what_is_missing_is_the_rest() {
        let set = of(&[2, 3, 7]);
        assert_eq!(set.missing_from(&(0..9)), [0..2, 4..7, 8..9]);
        assert_eq!(set.missing_from(&(2..4)), []);
        assert_eq!(set.gaps().first(), Some(&(4..7)));
        assert_eq!((set.gaps().len(), SeedSet::default().gaps().len()), (1, 0));
        assert_eq!(set.missing_from(&(3..8)).first(), Some(&(4..7)));
        assert_eq!(SeedSet::default().missing_from(&(5..6)).first(), Some(&(5..6)));
    }
}
