//! What several scopes have shown together.
//!
//! What is worst counts, and of what is broken first what is claimed where it is broken: what one scope does not claim
//! takes nothing back of what another does.

use crate::check::Check;
use crate::report::{LivenessReport, PropertyReport, Verdict};

impl Check {
    /// What two checks of the same rules have shown together.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.scopes.extend(other.scopes);
        for (report, other) in self.properties.iter_mut().zip(other.properties) {
            report.add(other);
        }
        for (report, other) in self.liveness.iter_mut().zip(other.liveness) {
            report.add(other);
        }
        for (transition, times) in other.taken {
            *self.taken.entry(transition).or_default() += times;
        }
        self.required.extend(other.required);
        self.reached.extend(other.reached);
        self.generated += other.generated;
        self.distinct += other.distinct;
        self.transitions += other.transitions;
        self.depth = self.depth.max(other.depth);
        self.bytes_per_state = self.bytes_per_state.max(other.bytes_per_state);
        self.complete &= other.complete;
        self.elapsed += other.elapsed;
        self
    }
}

impl PropertyReport {
    fn add(&mut self, other: Self) {
        let occasions = self.occasions + other.occasions;
        let claimed = self.claimed || other.claimed;
        if is_worse((other.verdict, other.claimed), (self.verdict, self.claimed)) {
            *self = other;
        }
        self.occasions = occasions;
        self.claimed = if self.verdict == Verdict::Violated { self.claimed } else { claimed };
    }
}

impl LivenessReport {
    fn add(&mut self, other: Self) {
        let mut parts = std::mem::take(&mut self.parts);
        for (part, other) in parts.iter_mut().zip(&other.parts) {
            part.occasions += other.occasions;
            part.required |= other.required;
        }
        let claimed = self.claimed || other.claimed;
        if is_worse((other.verdict, other.claimed), (self.verdict, self.claimed)) {
            *self = other;
        }
        self.parts = parts;
        self.claimed = if self.verdict == Verdict::Violated { self.claimed } else { claimed };
    }
}

/// Whether what another scope says, and whether it is claimed there, is worse.
fn is_worse(other: (Verdict, bool), ours: (Verdict, bool)) -> bool {
    match (other.0, ours.0) {
        (Verdict::Violated, Verdict::Violated) => other.1 && !ours.1,
        (other, ours) => other > ours,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is broken where it is claimed is a claimed violation, wherever else it is not claimed.
    #[test]
    fn a_claimed_violation_stays_one() {
        let (broken, holds) = (Verdict::Violated, Verdict::Holds);
        assert!(is_worse((broken, true), (broken, false)));
        assert!(!is_worse((broken, false), (broken, true)));
        assert!(is_worse((broken, false), (holds, true)));
        assert!(!is_worse((holds, true), (broken, true)));
    }
}
