//! The arithmetic of TCP's sequence and acknowledgement numbers (RFC 9293 section 3.4, RFC 1982): 32 bits that wrap.
//!
//! Of two numbers the later one is that which is reached from the other by fewer than 2^31 steps. There is no order over
//! all of them, so there is no `Ord`. Two numbers that are exactly 2^31 apart have no order (RFC 1982 section 3.2 leaves
//! it undefined): here neither is before, at or after the other, so that whoever asks for a proof is not given one.

use core::fmt;

/// A sequence or an acknowledgement number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Serial(pub u32);

/// As far apart as two numbers can be: which of them is the later one is not defined.
const HALF_WAY: u32 = 1 << 31;

impl Serial {
    /// The number that many steps on.
    #[must_use]
    pub const fn advance(self, by: u32) -> Self {
        Self(self.0.wrapping_add(by))
    }

    /// The number that many steps back.
    #[must_use]
    pub const fn back(self, by: u32) -> Self {
        Self(self.0.wrapping_sub(by))
    }

    /// How many steps lead on to `later`; none if it is earlier, or half-way round.
    pub const fn distance(self, later: Self) -> Option<u32> {
        let steps = later.0.wrapping_sub(self.0);
        if steps < HALF_WAY { Some(steps) } else { None }
    }

    /// Whether `other` is later.
    pub const fn is_before(self, other: Self) -> bool {
        matches!(self.distance(other), Some(1..))
    }

    /// Whether `other` is the same, or later.
    pub const fn is_at_or_before(self, other: Self) -> bool {
        self.distance(other).is_some()
    }

    /// Whether `other` is the same, or earlier. Half-way round this does not follow from its not being before.
    pub const fn is_at_or_after(self, other: Self) -> bool {
        other.is_at_or_before(self)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_end_of_all_numbers_is_before_the_first() {
        let (last, first) = (Serial(u32::MAX), Serial(0));
        assert_eq!((last.advance(1), first.back(1)), (first, last));
        assert!(last.is_before(first) && first.is_at_or_after(last));
        assert!(!first.is_before(last) && !last.is_at_or_after(first));
        assert_eq!((last.distance(first), first.distance(last)), (Some(1), None));
    }

    #[test]
    fn half_way_round_there_is_no_order() {
        for number in [0, 1, HALF_WAY, u32::MAX] {
            let (one, other) = (Serial(number), Serial(number).advance(HALF_WAY));
            for (one, other) in [(one, other), (other, one)] {
                assert_eq!(one.distance(other), None);
                assert!(!one.is_before(other) && !one.is_at_or_before(other) && !one.is_at_or_after(other));
            }
            assert!(one.is_before(other.back(1)) && other.advance(1).is_before(one));
        }
    }

    /// Numbers on both sides of the wrap, or anywhere.
    fn serial() -> impl Strategy<Value = Serial> {
        prop_oneof![0..1000_u32, u32::MAX - 1000..=u32::MAX, any::<u32>()].prop_map(Serial)
    }

    proptest! {
        #[test]
        fn what_has_been_advanced_lies_as_far_on(from in serial(), by in 0..HALF_WAY) {
            let to = from.advance(by);
            prop_assert_eq!(from.distance(to), Some(by));
            prop_assert_eq!(to.back(by), from);
            prop_assert!(from.is_at_or_before(to) && to.is_at_or_after(from));
            prop_assert_eq!(from.is_before(to), by > 0);
            prop_assert!(!to.is_before(from));
        }

        #[test]
        fn of_two_numbers_exactly_one_holds(one in serial(), other in serial()) {
            let holds = [one == other, one.is_before(other), other.is_before(one), one.0 ^ other.0 == HALF_WAY];
            prop_assert_eq!(holds.into_iter().filter(|holds| *holds).count(), 1);
        }

        /// A wide integer that never wraps says the same as long as numbers are near enough to be compared.
        #[test]
        fn the_order_is_that_of_a_counter_that_does_not_wrap(
            start in (1_u64 << 32)..(1 << 40), by in -i64::from(HALF_WAY) + 1..i64::from(HALF_WAY),
        ) {
            let end = start.checked_add_signed(by).expect("near enough");
            let narrow = |wide: u64| Serial(u32::try_from(wide % (1 << 32)).expect("32 bits"));
            prop_assert_eq!(narrow(start).is_before(narrow(end)), start < end);
            prop_assert_eq!(narrow(start).is_at_or_before(narrow(end)), start <= end);
            prop_assert_eq!(narrow(start).is_at_or_after(narrow(end)), start >= end);
        }
    }
}
