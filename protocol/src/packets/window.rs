//! A bounded stretch of a stream's sequence space, and what is known to stand there.

use super::packet::Symbol;
use super::serial::Serial;
use alloc::collections::VecDeque;
use core::iter::repeat_n;

/// Symbols one behind the other, with gaps.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Window {
    start: Serial,
    symbols: VecDeque<Option<Symbol>>,
}

/// How far a window has to grow.
struct Growth {
    front: usize,
    back: usize,
}

/// Sequence numbers for which a window may have room though it holds none.
const SPARE: usize = 1024;

impl Window {
    /// Sequence numbers that it holds, gaps among them.
    pub(super) fn len(&self) -> usize {
        self.symbols.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }

    /// The number behind its last one; none of an empty one.
    pub(super) fn end(&self) -> Option<Serial> {
        (!self.is_empty()).then(|| self.start.advance(number_of(self.len())))
    }

    /// What stands there.
    pub(super) fn at(&self, number: Serial) -> Option<Symbol> {
        self.symbols.get(count_of(self.start.distance(number)?)).copied().flatten()
    }

    /// Writes symbols from `first` on, if the window then spans no more than `most` numbers. Nothing otherwise.
    pub(super) fn put(&mut self, first: Serial, symbols: impl Iterator<Item = Symbol> + Clone, most: usize) {
        let Some(Growth { front, back }) = self.growth(first, symbols.clone().count(), most) else { return };
        if self.is_empty() {
            self.start = first;
        }
        self.start = self.start.back(number_of(front));
        repeat_n(None, front).for_each(|gap| self.symbols.push_front(gap));
        self.symbols.extend(repeat_n(None, back));
        let skipped = self.start.distance(first).map_or(usize::MAX, count_of);
        for (place, symbol) in self.symbols.iter_mut().skip(skipped).zip(symbols) {
            *place = Some(symbol);
        }
    }

    fn growth(&self, first: Serial, length: usize, most: usize) -> Option<Growth> {
        let held = self.len();
        let growth = if self.is_empty() {
            Growth { front: 0, back: length }
        } else if let Some(behind) = self.start.distance(first) {
            Growth { front: 0, back: count_of(behind).saturating_add(length).saturating_sub(held) }
        } else {
            let front = count_of(first.distance(self.start)?);
            Growth { front, back: length.saturating_sub(front.saturating_add(held)) }
        };
        let span = held.saturating_add(growth.front).saturating_add(growth.back);
        (span <= most).then_some(growth)
    }

    /// Writes symbols from `first` on. If there is no room, what is oldest gives way to what is newest.
    pub(super) fn slide(
        &mut self,
        first: Serial,
        symbols: impl Iterator<Item = Symbol> + Clone,
        most: usize,
    ) {
        let length = symbols.clone().count();
        let skipped = length.saturating_sub(most);
        let end = first.advance(number_of(length));
        if self.end().is_some_and(|held| held.is_before(end)) {
            self.drop_before(end.back(number_of(most)));
        }
        self.put(first.advance(number_of(skipped)), symbols.skip(skipped), most);
    }

    /// What stands before `number` is gone.
    pub(super) fn drop_before(&mut self, number: Serial) {
        if let Some(count) = self.start.distance(number) {
            let count = count_of(count).min(self.len());
            self.symbols.drain(..count);
            self.start = self.start.advance(number_of(count));
            self.give_back();
        }
    }

    /// The first numbers are gone as long as `is_done` with them.
    pub(super) fn drop_while(&mut self, is_done: impl Fn(Serial) -> bool) {
        while !self.is_empty() && is_done(self.start) {
            self.symbols.pop_front();
            self.start = self.start.advance(1);
        }
        self.give_back();
    }

    /// Memory that is not needed any more: what is counted is what is held, and the one is not to be many times the other.
    fn give_back(&mut self) {
        if self.symbols.capacity() > 4 * self.len() + SPARE {
            self.symbols.shrink_to(2 * self.len());
        }
    }
}

/// A count of sequence numbers. What is larger than there are numbers wraps, as they do.
#[expect(clippy::cast_possible_truncation, reason = "it wraps")]
pub(super) const fn number_of(count: usize) -> u32 {
    count as u32
}

fn count_of(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    const MOST: usize = 8;

    fn symbols(text: &str) -> impl Iterator<Item = Symbol> + Clone {
        text.bytes().map(Symbol::Byte)
    }

    /// Where it starts, and what stands there, a dot a gap.
    fn held(window: &Window) -> (u32, String) {
        let shown = |symbol: &Option<Symbol>| match symbol {
            Some(Symbol::Byte(byte)) => char::from(*byte),
            Some(_) => '!',
            None => '.',
        };
        (window.start.0, window.symbols.iter().map(shown).collect())
    }

    fn window(start: u32, text: &str) -> Window {
        let mut window = Window::default();
        window.put(Serial(start), symbols(text), MOST);
        window
    }

    #[test]
    fn it_grows_both_ways_across_the_wrap_and_no_further_than_it_may() {
        let cases = [
            (1, "XY", (u32::MAX, "abXYe")),
            (4, "f", (u32::MAX, "abcdef")),
            (6, "f", (u32::MAX, "abcde..f")),
            (7, "f", (u32::MAX, "abcde")),
            (u32::MAX - 2, "XY", (u32::MAX - 2, "XYabcde")),
            (u32::MAX - 2, "XYZZY!!!", (u32::MAX - 2, "XYZZY!!!")),
            (u32::MAX - 3, "X", (u32::MAX - 3, "X..abcde")),
            (u32::MAX - 4, "X", (u32::MAX, "abcde")),
            (u32::MAX.wrapping_add(1 << 31), "X", (u32::MAX, "abcde")),
        ];
        for (first, text, (start, expected)) in cases {
            let mut window = window(u32::MAX, "abcde");
            window.put(Serial(first), symbols(text), MOST);
            assert_eq!(held(&window), (start, expected.into()), "{text} at {first}");
        }
    }

    #[test]
    fn what_slides_keeps_the_newest() {
        let cases = [
            (5, "fgh", (0, "abcdefgh")),
            (5, "fghi", (1, "bcdefghi")),
            (3, "XYZ", (0, "abcXYZ")),
            (100, "far", (100, "far")),
            (1_u32.wrapping_sub(2), "zab", (u32::MAX, "zabcde")),
            (1_u32.wrapping_sub(9), "zab", (0, "abcde")),
            (2, "0123456789", (4, "23456789")),
        ];
        for (first, text, (start, expected)) in cases {
            let mut window = window(0, "abcde");
            window.slide(Serial(first), symbols(text), MOST);
            assert_eq!(held(&window), (start, expected.into()), "{text} at {first}");
        }
    }

    #[test]
    fn what_is_not_needed_is_given_back() {
        let mut window = Window::default();
        window.put(Serial(0), symbols("a"), 1 << 20);
        window.put(Serial(300_000), symbols("b"), 1 << 20);
        assert!(window.symbols.capacity() >= 300_000);
        window.drop_before(Serial(300_000));
        assert_eq!(held(&window), (300_000, "b".into()));
        assert!(window.symbols.capacity() <= 4 + SPARE, "{}", window.symbols.capacity());
    }

    #[test]
    fn what_was_dropped_is_not_there_any_more() {
        let mut window = window(u32::MAX, "abc");
        window.drop_before(Serial(0));
        assert_eq!(held(&window), (0, "bc".into()));
        window.drop_before(Serial(u32::MAX));
        assert_eq!((window.at(Serial(0)), window.at(Serial(u32::MAX))), (Some(Symbol::Byte(b'b')), None));
        window.drop_while(|number| number == Serial(0));
        assert_eq!((held(&window), window.end()), ((1, "c".into()), Some(Serial(2))));
        window.drop_before(Serial(900));
        assert_eq!((window.is_empty(), window.end()), (true, None));
    }
}
