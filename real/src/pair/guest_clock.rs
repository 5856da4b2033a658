//! What the clients have seen of the guest's own clock. It stands still at times and never goes back, on whichever node it
//! is: what a survivor goes on from is what the world has been told, or later.

use super::violation::RunViolation;
use std::collections::VecDeque;

/// Replies whose times are kept. Behind so many none comes again.
const KEPT: usize = 1 << 16;

/// The times that replies have told, one for each operation, in the order of all operations.
#[derive(Debug, Default)]
pub(super) struct GuestClock {
    /// Operations before the first that is kept.
    forgotten: u64,
    times: VecDeque<u64>,
}

impl GuestClock {
    /// A reply tells that operation number `serial`, from 1, was done at this time.
    pub(super) fn told(&mut self, serial: u64, time: u64) -> Result<(), RunViolation> {
        let Some(place) = serial.checked_sub(self.forgotten + 1) else { return Ok(()) };
        let seen = usize::try_from(place).ok().and_then(|place| self.times.get(place));
        match (seen, self.times.back()) {
            (Some(before), _) if *before != time => {
                Err(RunViolation::TwoTimes { serial, time, before: *before })
            }
            (Some(_), _) => Ok(()),
            (None, Some(before)) if *before > time => {
                Err(RunViolation::TimeWentBack { serial, time, before: *before })
            }
            (None, _) => {
                self.times.push_back(time);
                if self.times.len() > KEPT {
                    self.times.pop_front();
                    self.forgotten += 1;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stands_still_and_never_goes_back() {
        let mut clock = GuestClock::default();
        for (serial, time) in [(1, 0), (2, 5), (3, 5), (2, 5), (4, 6)] {
            assert_eq!(clock.told(serial, time), Ok(()));
        }
        let back = RunViolation::TimeWentBack { serial: 5, time: 5, before: 6 };
        assert_eq!(clock.told(5, 5), Err(back));
        assert_eq!(clock.told(3, 6), Err(RunViolation::TwoTimes { serial: 3, time: 6, before: 5 }));
    }

    #[test]
    fn what_is_long_past_is_forgotten() {
        let mut clock = GuestClock::default();
        (1..=KEPT as u64 + 3).for_each(|serial| assert_eq!(clock.told(serial, serial), Ok(())));
        assert_eq!(clock.told(3, 9), Ok(()));
        assert!(clock.told(4, 9).is_err());
    }
}
