//! How a checkpoint's RAM leaves the primary: a word for rules that differ in that, and in nothing else.

use crate::rules::{DiskCheckpoint, ResumePoint, Rules};

/// When the pages of a checkpoint are sent, and where from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// From the guest's memory, while it stands still.
    Synchronous,
    /// From a copy that is made while the guest stands still; it runs again when that is done (Remus).
    Staged,
    /// In rounds while the guest runs, and what it has written since as staged.
    PreCopy,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Synchronous, Self::Staged, Self::PreCopy];

    /// The mode's name, as the command line has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Synchronous => "synchronous",
            Self::Staged => "staged",
            Self::PreCopy => "pre-copy",
        }
    }
}

impl Rules {
    /// The same rules in this mode. A primary that runs on while its state is on the way needs a disk whose writes are
    /// known by their epoch.
    #[must_use]
    pub const fn in_mode(self, mode: Mode) -> Self {
        let rounds = if self.precopy_rounds == 0 { 1 } else { self.precopy_rounds };
        let staged = Self {
            resume: ResumePoint::AfterStaged,
            disk: DiskCheckpoint::ByEpoch,
            precopy_rounds: 0,
            ..self
        };
        match mode {
            Mode::Synchronous if matches!(self.resume, ResumePoint::AfterStaged) => {
                Self { resume: ResumePoint::AfterLoaded, precopy_rounds: 0, ..self }
            }
            Mode::Synchronous => Self { precopy_rounds: 0, ..self },
            Mode::Staged => staged,
            Mode::PreCopy => Self { precopy_rounds: rounds, ..staged },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staged_is_remus_and_synchronous_is_what_waits() {
        assert_eq!(Rules::V12.in_mode(Mode::Staged), Rules::REMUS);
        assert_eq!(Rules::REMUS.in_mode(Mode::Synchronous).resume, ResumePoint::AfterLoaded);
        for rules in [Rules::V12, Rules::FAST, Rules::STRICT] {
            assert_eq!(rules.in_mode(Mode::Synchronous), rules);
        }
    }

    #[test]
    fn rounds_are_those_of_the_rules_or_one() {
        let twice = Rules { precopy_rounds: 2, ..Rules::V12 };
        for (rules, rounds) in [(Rules::V12, 1), (twice, 2)] {
            let rules = rules.in_mode(Mode::PreCopy);
            assert_eq!((rules.precopy_rounds, rules.resume), (rounds, ResumePoint::AfterStaged));
            assert_eq!(rules.in_mode(Mode::Staged).precopy_rounds, 0);
        }
    }
}
