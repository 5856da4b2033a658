//! Who writes to the working area: so many pages, a word each, in a pattern, at once or at a rate.

use super::abi::{self, Parameters};
use super::bare::{load, store};

/// Of the pages that are written in the pattern "hot", so many of 16 lie in the hot set.
const HOT_WRITES_OF_16: u64 = 15;

/// Of the area, one part of so many is the hot set.
const HOT_PART: u64 = 16;

/// How far writing has come; zero at start.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Writer {
    /// Pages ever written.
    written: u64,
    /// Of those, the ones that were written because time has passed.
    paced: u64,
    /// Behind the drawn ones, what the next is drawn from.
    drawn: u64,
}

impl Writer {
    /// Writes one word into each of the next `pages` pages of the pattern.
    pub(crate) fn write(&mut self, parameters: &Parameters, pages: u64) {
        let area = parameters.area_pages();
        if area == 0 {
            return;
        }
        for _ in 0..pages {
            let page = abi::WORK + self.next(parameters.pattern, area) * abi::PAGE_BYTES;
            self.written = self.written.wrapping_add(1);
            let word = page + self.written % (abi::PAGE_BYTES / 8) * 8;
            store(word, self.written);
        }
    }

    /// Writes what the rate asks for at this time, at most `most` pages; whether it is behind.
    #[allow(dead_code, reason = "not every guest has a rate")]
    pub(crate) fn keep_pace(&mut self, parameters: &Parameters, now_us: u64, most: u64) -> bool {
        let rate = parameters.pages_per_second;
        let owed = now_us / 1_000_000 * rate + now_us % 1_000_000 * rate / 1_000_000;
        // More than a second behind: nobody could keep this pace.
        self.paced = self.paced.max(owed.saturating_sub(rate));
        let pages = owed.saturating_sub(self.paced).min(most);
        self.write(parameters, pages);
        self.paced += pages;
        self.paced < owed
    }

    /// The next page of the pattern; `area` is not 0.
    fn next(&mut self, pattern: u64, area: u64) -> u64 {
        match pattern {
            abi::PATTERN_RANDOM => self.draw() % area,
            abi::PATTERN_HOT => {
                let hot = (area / HOT_PART).max(1);
                let is_hot = self.draw() % 16 < HOT_WRITES_OF_16;
                self.draw() % if is_hot { hot } else { area }
            }
            _ => self.written % area,
        }
    }

    /// A number that looks drawn and is the same whenever this state is: SplitMix64.
    fn draw(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.drawn ^ (self.drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Writes the pages of each tick that the host has given since the last look.
pub(crate) fn work_off_ticks(writer: &mut Writer, parameters: &Parameters) {
    let given = load(abi::TICKS_GIVEN);
    while load(abi::TICKS_DONE) != given {
        writer.write(parameters, parameters.dirty_pages_per_tick);
        store(abi::TICKS_DONE, load(abi::TICKS_DONE).wrapping_add(1));
    }
}
